/* SPDX-License-Identifier: MIT */
/*
 * Pieces of a step that methods share: pictures put where the passes read them, the
 * target's average, the gradient of a width that has several passes, and what was
 * measured of a width.
 */
#include "learn/learn_int.h"

#include <math.h>

void sl_put_pictures(struct sl_trainer *trainer, const float *view, const int32_t *order,
                     void *pictures)
{
    const struct sl_device *device = trainer->device;
    const enum sl_dtype type = trainer->config.type;
    const struct sl_value *input = &trainer->net->values[trainer->net->input];
    const int64_t rows = trainer->config.batch;
    const int64_t picture = (int64_t)input->height * input->width *
                            sl_net_channels(trainer->net, trainer->net->input, 0);
    char *to = pictures;

    if (order == NULL) {
        device->table->put_map(device->state, type, rows * picture, view, to);
        return;
    }
    for (int64_t i = 0; i < rows; i++) {
        device->table->put_map(device->state, type, picture, view + order[i] * picture,
                               to + i * picture * sl_dtype_bytes(type));
    }
}

/* The predictor of the target, which nothing reads, is averaged with the rest. */
void sl_average_target(struct sl_trainer *trainer)
{
    const struct sl_trainer_config *config = &trainer->config;
    const struct sl_average_config average = {.momentum = config->ema_momentum,
                                              .cosine = config->ema_cosine,
                                              .total_steps = config->total_steps};
    trainer->device->table->average(
        trainer->device->state, trainer->net->total,
        (float)sl_average_momentum_at(&average, trainer->step), trainer->params->weight,
        trainer->target->weight);
}

struct sl_params sl_own_gradient(const struct sl_trainer *trainer, float *own)
{
    struct sl_params params = *trainer->params;
    params.diff = own;
    trainer->device->table->zero(trainer->device->state, own,
                                 (size_t)trainer->net->total * sizeof(float));
    return params;
}

double sl_join_gradient(const struct sl_trainer *trainer, const struct sl_params *own)
{
    return trainer->device->table->add(trainer->device->state, trainer->net->total,
                                       own->diff, trainer->params->diff);
}

enum sl_status sl_note_gradient(struct sl_error *err, const struct sl_trainer *trainer,
                                int width, double squares,
                                struct sl_step_numbers *numbers)
{
    numbers->width[width].grad_norm = sqrt(squares);
    return sl_check_gradient(err, trainer, width, squares);
}

void sl_note_losses(struct sl_step_numbers *numbers, int width,
                    const struct sl_loss_weights *weights,
                    const struct sl_loss_values *values)
{
    struct sl_width_numbers *measured = &numbers->width[width];
    measured->loss = values->contrast;
    measured->distill = values->distill;
    measured->contrast_acc = values->accuracy;
    numbers->loss +=
        weights->contrast * values->contrast + weights->distill * values->distill;
}
