/* SPDX-License-Identifier: MIT */
/*
 * Learning-rate schedules as pure functions of the step, and the update over flat memory.
 * What a step may write is decided here by ranges: the shared part and the private blocks
 * of the widths that took part; a width that did not is left exactly as it was
 * (spec 6.4, 19.4).
 */
#include "learn/learn_int.h"

#include <math.h>

static const double pi = 3.14159265358979323846;
static const double lr_floor = 1e-8;

double sl_lr_at(const struct sl_lr_config *config, int64_t step)
{
    double peak = step >= config->second_from ? config->second_peak : config->peak;
    double t = (double)step, warmup = config->warmup_steps;
    double lr;
    if (warmup > 0 && t <= warmup) {
        lr = fmin(t / warmup * (peak - lr_floor) + lr_floor, peak);
    } else if (config->schedule == SL_LR_CONSTANT) {
        lr = peak;
    } else {
        double left = (double)config->total_steps - warmup;
        double progress = left > 0 ? fmin((t - warmup) / left, 1.0) : 1.0;
        lr = 0.5 * peak * (1.0 + cos(pi * progress));
    }
    return fmax(lr, lr_floor);
}

static void update_range(const struct sl_params *params, const struct sl_optim_rule *rule,
                         int64_t begin, int64_t end)
{
    const struct sl_device *device = params->device;
    if (end <= begin) {
        return;
    }
    device->table->sgd(device->state, end - begin, (float)rule->lr, (float)rule->momentum,
                       (float)rule->weight_decay, params->diff + begin,
                       params->slot + begin, params->weight + begin);
    device->table->zero(device->state, params->diff + begin,
                        (size_t)(end - begin) * sizeof(float));
}

void sl_optim_update(const struct sl_params *params, const struct sl_optim_rule *rule,
                     int active)
{
    const struct sl_net *net = params->net;
    update_range(params, rule, 0, net->shared);
    for (int width = 0; width < active; width++) {
        update_range(params, rule, net->private_begin[width], net->private_end[width]);
    }
}

void sl_optim_discard(const struct sl_params *params)
{
    params->device->table->zero(params->device->state, params->diff,
                                (size_t)params->net->total * sizeof(float));
}
