/* SPDX-License-Identifier: MIT */
/*
 * The list of methods, and what they have in common: memory carved from one block, slots
 * for who teaches whom, weights of a width's terms, pictures put where the passes read
 * them, the target's average, and the search for the first number that is not finite. No
 * method's own algebra stands here.
 */
#include "learn/learn_int.h"

#include <math.h>
#include <string.h>

/* ---- the list ---------------------------------------------------------------------- */

static const struct sl_method *const methods[] = {&sl_mocov2, &sl_mocov3, &sl_simclr,
                                                  &sl_supervised};

const struct sl_method *sl_method_at(int i)
{
    return i >= 0 && i < SL_COUNT(methods) ? methods[i] : NULL;
}

const struct sl_method *sl_method_find(const char *name)
{
    for (int i = 0; i < SL_COUNT(methods); i++) {
        if (strcmp(methods[i]->info.name, name) == 0) {
            return methods[i];
        }
    }
    return NULL;
}

const struct sl_method_info *sl_method_info(const struct sl_method *method)
{
    return &method->info;
}

/* ---- memory ------------------------------------------------------------------------ */

float *sl_carve(struct sl_carver *carver, int64_t n)
{
    float *array = carver->base == NULL ? NULL : carver->base + carver->used;
    carver->used += (n + 15) / 16 * 16;
    return array;
}

int sl_slots_needed(const struct sl_trainer_config *config, int n_widths)
{
    if (config->distill == SL_DISTILL_NONE || n_widths == 1) {
        return 1;
    }
    return config->teachers == SL_TEACHERS_ALL_LARGER ? n_widths : 2;
}

void sl_slots_carve(struct sl_slots *slots, struct sl_carver *carver, int n,
                    int64_t floats)
{
    slots->n = n;
    for (int i = 0; i < n; i++) {
        slots->at[i] = sl_carve(carver, floats);
    }
}

float *sl_slot(const struct sl_slots *slots, int width)
{
    return slots->at[width < slots->n ? width : slots->n - 1];
}

/* ---- who teaches, and what counts how much ----------------------------------------- */

int sl_teachers_of(const struct sl_trainer_config *config, int width)
{
    if (config->distill == SL_DISTILL_NONE || width == 0) {
        return 0;
    }
    return config->teachers == SL_TEACHERS_ALL_LARGER ? width : 1;
}

struct sl_loss_weights sl_weights_of(const struct sl_trainer_config *config, int width,
                                     int active)
{
    double lambda = active > 1 ? config->width_weights[width] : 1.0;
    if (width == 0 || config->distill == SL_DISTILL_NONE) {
        return (struct sl_loss_weights){.contrast = lambda};
    }
    return (struct sl_loss_weights){.contrast = lambda * (1.0 - config->distill_weight),
                                    .distill = lambda * config->distill_weight};
}

/* ---- checks ------------------------------------------------------------------------ */

enum sl_status sl_check_range(struct sl_error *err, const char *option, double value,
                              double low, double high)
{
    if (!(value >= low && value <= high)) {
        char seen[32];
        char least[32];
        char most[32];
        sl_format_real(seen, sizeof(seen), value);
        sl_format_real(least, sizeof(least), low);
        sl_format_real(most, sizeof(most), high);
        return SL_FAIL(err, SL_ERROR_USAGE,
                       "%s %s: not from %s to %s; give a value between them", option,
                       seen, least, most);
    }
    return SL_OK;
}

enum sl_status sl_check_pairs(struct sl_error *err,
                              const struct sl_trainer_config *config)
{
    if (config->batch < 2) {
        return SL_FAIL(err, SL_ERROR_USAGE,
                       "--batch-size %d: --method %s tells the pictures of a batch from "
                       "each other and needs 2 at least; give 2 or more",
                       config->batch, config->method->info.name);
    }
    return SL_OK;
}

enum sl_status sl_check_mocov2_only(struct sl_error *err,
                                    const struct sl_trainer_config *config)
{
    const char *name = config->method->info.name;
    if (config->bn_splits > 1) {
        return SL_FAIL(
            err, SL_ERROR_USAGE,
            "--bn-splits %d: %s normalises over the whole batch; leave it out, "
            "or take --method mocov2",
            config->bn_splits, name);
    }
    if (config->distill != SL_DISTILL_NONE &&
        config->teachers == SL_TEACHERS_ALL_LARGER) {
        return SL_FAIL(err, SL_ERROR_USAGE,
                       "--teachers all-larger: the full width alone teaches in %s; leave "
                       "it out, or take --method mocov2",
                       name);
    }
    return SL_OK;
}

enum sl_status sl_check_head(struct sl_error *err, const struct sl_net *net)
{
    if (net->embedding == net->features) {
        return SL_FAIL(
            err, SL_ERROR_USAGE,
            "the network has no projection head; contrastive training needs one");
    }
    return SL_OK;
}

/* ---- pieces of a step -------------------------------------------------------------- */

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

/* ---- numbers that are not finite --------------------------------------------------- */

struct culprit {
    char name[SL_NAME_MAX + 32];
    double value;
};

/* The first value that is not finite among n at `array`. */
static bool find_in(const struct sl_device *device, int64_t n, const float *array,
                    struct culprit *culprit)
{
    int64_t at = device->table->find_nonfinite(device->state, n, array);
    if (at < 0) {
        return false;
    }
    float value;
    device->table->get(device->state, &value, array + at, sizeof(value));
    culprit->value = value;
    return true;
}

/* The first parameter of this width, in the net's order, whose entry in `flat` is not
 * finite. */
static bool find_parameter(const struct sl_trainer *trainer, int width, const float *flat,
                           const char *what, struct culprit *culprit)
{
    for (int i = 0; i < trainer->net->n_params; i++) {
        const struct sl_param *param = &trainer->net->params[i];
        if ((param->owner == -1 || param->owner == width) &&
            find_in(trainer->device, param->count, flat + param->offset, culprit)) {
            snprintf(culprit->name, sizeof(culprit->name), "%s%s", what, param->name);
            return true;
        }
    }
    return false;
}

static bool find_suspect(const struct sl_trainer *trainer,
                         const struct sl_suspect *suspects, int n_suspects,
                         struct culprit *culprit)
{
    for (int i = 0; i < n_suspects; i++) {
        if (find_in(trainer->device, suspects[i].count, suspects[i].values, culprit)) {
            snprintf(culprit->name, sizeof(culprit->name), "%s", suspects[i].name);
            return true;
        }
    }
    return false;
}

static enum sl_status fail_numbers(struct sl_error *err, const struct sl_trainer *trainer,
                                   int width, const struct culprit *culprit)
{
    char multiplier[16];
    sl_multiplier_text(trainer->net->widths.at[width], multiplier, sizeof(multiplier));
    char value[32]; /* without the sign of a NaN, which means nothing */
    snprintf(value, sizeof(value), "%g", culprit->value);
    return SL_FAIL(err, SL_ERROR_NUMBERS,
                   "step %lld: width %s: %s is not finite (%s); lower --lr or lengthen "
                   "--warmup-epochs",
                   (long long)trainer->step, multiplier, culprit->name,
                   isnan(culprit->value) ? "nan" : value);
}

enum sl_status sl_fail_loss(struct sl_error *err, const struct sl_trainer *trainer,
                            int width, const struct sl_suspect *suspects, int n_suspects,
                            double loss)
{
    struct culprit culprit = {.name = "loss", .value = loss};
    if (!find_parameter(trainer, width, trainer->params->weight, "", &culprit)) {
        (void)find_suspect(trainer, suspects, n_suspects, &culprit);
    }
    return fail_numbers(err, trainer, width, &culprit);
}

enum sl_status sl_fail_gradient(struct sl_error *err, const struct sl_trainer *trainer,
                                int width, double squares)
{
    struct culprit culprit = {.name = "norm of the gradient", .value = squares};
    (void)find_parameter(trainer, width, trainer->params->diff, "gradient of ", &culprit);
    return fail_numbers(err, trainer, width, &culprit);
}
