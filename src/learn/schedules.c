/* SPDX-License-Identifier: MIT */
/*
 * Schedules as pure functions of the step: the learning rate and the momentum of a target
 * network's average; and the text of milestones. Nothing here has a state.
 */
#include "learn/learn.h"

#include <math.h>
#include <string.h>

static const double pi = 3.14159265358979323846;
static const double lr_floor = 1e-8;

/* Half a cosine from 1 at progress 0 to 0 at progress 1, and 0 from there on. */
static double half_cosine(double progress)
{
    return 0.5 * (1.0 + cos(pi * fmin(progress, 1.0)));
}

static double cosine(const struct sl_lr_config *config, double t)
{
    double left = (double)config->total_steps - config->warmup_steps;
    return half_cosine(left > 0 ? (t - config->warmup_steps) / left : 1.0);
}

/* Constant within an epoch; epoch e = 1, 2, … of E has phase (e - 1) / (E + 1), so that
 * the last one still learns: the published CIFAR loop. */
static double epoch_cosine(const struct sl_lr_config *config, int64_t step)
{
    int64_t epoch = step / config->epoch_steps;
    double epochs = (double)config->total_steps / (double)config->epoch_steps;
    return half_cosine((double)epoch / (ceil(epochs) + 1.0));
}

static double steps_down(const struct sl_lr_config *config, int64_t step)
{
    double factor = 1.0;
    for (int i = 0; i < config->n_milestones; i++) {
        factor *= config->milestones[i] <= step ? 0.1 : 1.0;
    }
    return factor;
}

double sl_lr_at(const struct sl_lr_config *config, int64_t step)
{
    double peak = step >= config->second_from ? config->second_peak : config->peak;
    double t = (double)step, warmup = config->warmup_steps;
    double lr = peak;
    if (warmup > 0 && t <= warmup) {
        lr = fmin(t / warmup * (peak - lr_floor) + lr_floor, peak);
    } else {
        switch (config->schedule) {
        case SL_LR_COSINE:
            lr = peak * cosine(config, t);
            break;
        case SL_LR_EPOCH_COSINE:
            lr = peak * epoch_cosine(config, step);
            break;
        case SL_LR_STEP:
            lr = peak * steps_down(config, step);
            break;
        case SL_LR_CONSTANT:
            break;
        }
    }
    return fmax(lr, lr_floor);
}

/* The number that ends at a comma or at the text's end, and what follows; NULL where
 * there is none. */
static const char *next_number(const char *at, double *value)
{
    char number[32];
    size_t length = strcspn(at, ",");
    if (length >= sizeof(number)) {
        return NULL;
    }
    memcpy(number, at, length);
    number[length] = '\0';
    if (!sl_parse_real(number, value) || !(*value > 0) || !(*value < 1e9)) {
        return NULL;
    }
    return at + length;
}

enum sl_status sl_milestones_parse(struct sl_error *err, const char *text,
                                   double steps_per_epoch, struct sl_lr_config *config)
{
    const char *at = text;
    config->n_milestones = 0;
    for (;;) {
        double epoch = 0;
        at = next_number(at, &epoch);
        int64_t step = at == NULL ? 0 : (int64_t)ceil(epoch * steps_per_epoch - 1e-9);
        bool rises = config->n_milestones == 0 ||
                     step > config->milestones[config->n_milestones - 1];
        if (at == NULL || !rises || config->n_milestones == SL_MILESTONES_MAX) {
            return SL_FAIL(err, SL_ERROR_USAGE,
                           "--lr-milestones '%s': 1 to %d rising epochs above 0 with "
                           "commas between are needed, as 60,80",
                           text, (int)SL_MILESTONES_MAX);
        }
        if (config->total_steps > 0 && step >= config->total_steps) {
            return SL_FAIL(err, SL_ERROR_USAGE,
                           "--lr-milestones '%s': epoch %g is not before the end of the "
                           "run, at epoch %.4g, and would never be reached; leave it out",
                           text, epoch, (double)config->total_steps / steps_per_epoch);
        }
        config->milestones[config->n_milestones++] = step;
        if (*at == '\0') {
            return SL_OK;
        }
        at++;
    }
}

double sl_average_momentum_at(const struct sl_average_config *config, int64_t step)
{
    if (!config->cosine) {
        return config->momentum;
    }
    double progress =
        config->total_steps > 0 ? (double)step / (double)config->total_steps : 1.0;
    return 1.0 - half_cosine(progress) * (1.0 - config->momentum);
}
