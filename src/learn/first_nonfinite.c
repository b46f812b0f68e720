/* SPDX-License-Identifier: MIT */
/*
 * The search for the number that was the first not to be finite, once a loss or a
 * gradient is not: a parameter, an embedding or the loss itself. It is made only when a
 * step has failed, and ends in one line that names what was found.
 */
#include "learn/learn_int.h"

#include <math.h>

struct nonfinite {
    char name[SL_NAME_MAX + 32];
    double value;
};

/* The first value that is not finite among n at `array`. */
static bool find_in(const struct sl_device *device, int64_t n, const float *array,
                    struct nonfinite *first)
{
    int64_t at = device->table->find_nonfinite(device->state, n, array);
    if (at < 0) {
        return false;
    }
    float value;
    device->table->get(device->state, &value, array + at, sizeof(value));
    first->value = value;
    return true;
}

/* The first parameter of this width, in the net's order, whose entry in `flat` is not
 * finite. */
static bool find_parameter(const struct sl_trainer *trainer, int width, const float *flat,
                           const char *what, struct nonfinite *first)
{
    for (int i = 0; i < trainer->net->n_params; i++) {
        const struct sl_param *param = &trainer->net->params[i];
        if ((param->owner == -1 || param->owner == width) &&
            find_in(trainer->device, param->count, flat + param->offset, first)) {
            snprintf(first->name, sizeof(first->name), "%s%s", what, param->name);
            return true;
        }
    }
    return false;
}

static bool find_suspect(const struct sl_trainer *trainer,
                         const struct sl_suspect *suspects, int n_suspects,
                         struct nonfinite *first)
{
    for (int i = 0; i < n_suspects; i++) {
        if (find_in(trainer->device, suspects[i].count, suspects[i].values, first)) {
            snprintf(first->name, sizeof(first->name), "%s", suspects[i].name);
            return true;
        }
    }
    return false;
}

static enum sl_status fail_numbers(struct sl_error *err, const struct sl_trainer *trainer,
                                   int width, const struct nonfinite *first)
{
    char multiplier[16];
    sl_multiplier_text(trainer->net->widths.at[width], multiplier, sizeof(multiplier));
    char value[32]; /* without the sign of a NaN, which means nothing */
    snprintf(value, sizeof(value), "%g", first->value);
    return SL_FAIL(err, SL_ERROR_NUMBERS,
                   "step %lld: width %s: %s is not finite (%s); lower --lr or lengthen "
                   "--warmup-epochs",
                   (long long)trainer->step, multiplier, first->name,
                   isnan(first->value) ? "nan" : value);
}

enum sl_status sl_check_losses(struct sl_error *err, const struct sl_trainer *trainer,
                               int width, const struct sl_suspect *suspects,
                               int n_suspects, const struct sl_loss_values *values)
{
    if (isfinite(values->contrast) && isfinite(values->distill)) {
        return SL_OK;
    }
    double loss = isfinite(values->contrast) ? values->distill : values->contrast;
    struct nonfinite first = {.name = "loss", .value = loss};
    if (!find_parameter(trainer, width, trainer->params->weight, "", &first)) {
        (void)find_suspect(trainer, suspects, n_suspects, &first);
    }
    return fail_numbers(err, trainer, width, &first);
}

enum sl_status sl_check_gradient(struct sl_error *err, const struct sl_trainer *trainer,
                                 int width, double squares)
{
    if (isfinite(squares)) {
        return SL_OK;
    }
    struct nonfinite first = {.name = "norm of the gradient", .value = squares};
    (void)find_parameter(trainer, width, trainer->params->diff, "gradient of ", &first);
    return fail_numbers(err, trainer, width, &first);
}
