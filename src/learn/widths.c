/* SPDX-License-Identifier: MIT */
/*
 * Width policy: which widths take part at a step (slow start), who teaches whom, and how
 * much each one's loss weighs. Pure functions of their arguments; weights by the modes of
 * the published code, three of which are rounded to three decimals as there.
 */
#include "learn/learn_int.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static double round3(double value)
{
    return rint(value * 1000.0) / 1000.0;
}

void sl_width_weights_of(enum sl_width_weights mode, const struct sl_widths *widths,
                         double weights[SL_WIDTHS_MAX])
{
    double value[SL_WIDTHS_MAX] = {0}, sum = 0, cumulative_sum = 0, largest = 0;
    int n = widths->n;
    for (int i = 0; i < n; i++) {
        value[i] = sl_multiplier_value(widths->at[i]);
        sum += value[i];
        if (i > 0) {
            largest = fmax(largest, value[i]);
        }
    }
    double narrower = 0; /* sum of the widths below i */
    for (int i = n - 1; i >= 0; i--) {
        weights[i] = 1.0;
        switch (mode) {
        case SL_WEIGHTS_UNIFORM:
            break;
        case SL_WEIGHTS_SHARE:
            weights[i] = round3(value[i] / sum);
            break;
        case SL_WEIGHTS_WIDTH:
            weights[i] = value[i];
            break;
        case SL_WEIGHTS_WIDTH_MEAN:
            weights[i] = round3(n * value[i] / sum);
            break;
        case SL_WEIGHTS_DOMINANT:
            weights[i] = i == 0 ? 1.0 + narrower : 1.0;
            break;
        case SL_WEIGHTS_CUMULATIVE:
            weights[i] = 1.0 + narrower;
            cumulative_sum += weights[i];
            break;
        case SL_WEIGHTS_DOMINANT_MAX:
            weights[i] = i == 0 ? 1.0 + largest : 1.0;
            break;
        }
        narrower += value[i];
    }
    if (mode == SL_WEIGHTS_CUMULATIVE) {
        for (int i = 0; i < n; i++) {
            weights[i] = round3(weights[i] * n / cumulative_sum);
        }
    }
}

static const struct {
    const char *number, *name;
    enum sl_width_weights mode;
} modes[] = {
    {"0", "uniform", SL_WEIGHTS_UNIFORM},
    {"1", "share", SL_WEIGHTS_SHARE},
    {"2", "width", SL_WEIGHTS_WIDTH},
    {"3", "width-mean", SL_WEIGHTS_WIDTH_MEAN},
    {"4", "uniform", SL_WEIGHTS_UNIFORM},
    {"5", "dominant", SL_WEIGHTS_DOMINANT},
    {"6", "cumulative", SL_WEIGHTS_CUMULATIVE},
    {"7", "dominant-max", SL_WEIGHTS_DOMINANT_MAX},
};

/* One value a width, separated by commas. */
static enum sl_status parse_list(struct sl_error *err, const char *text,
                                 const struct sl_widths *widths,
                                 double weights[SL_WIDTHS_MAX])
{
    int n = 0;
    double sum = 0;
    for (const char *at = text;; at++) {
        size_t length = strcspn(at, ",");
        char item[64];
        double value;
        if (length >= sizeof(item)) {
            return SL_FAIL(err, SL_ERROR_USAGE,
                           "--width-weights: '%s' has an item that is not a number",
                           text);
        }
        memcpy(item, at, length);
        item[length] = '\0';
        if (!sl_parse_real(item, &value) || !(value >= 0) || !isfinite(value)) {
            return SL_FAIL(err, SL_ERROR_USAGE,
                           "--width-weights: '%s' in '%s' is not a number of 0 or more",
                           item, text);
        }
        if (n < widths->n) {
            weights[n] = value;
        }
        n++;
        sum += value;
        at += length;
        if (*at == '\0') {
            break;
        }
    }
    if (n != widths->n) {
        return SL_FAIL(
            err, SL_ERROR_USAGE,
            "--width-weights: '%s' has %d values for %d widths; give one a width, "
            "widest first",
            text, n, widths->n);
    }
    if (!(sum > 0) || !isfinite(sum)) {
        return SL_FAIL(err, SL_ERROR_USAGE,
                       "--width-weights: '%s' leaves nothing to train; one value must be "
                       "above 0",
                       text);
    }
    return SL_OK;
}

enum sl_status sl_width_weights_parse(struct sl_error *err, const char *text,
                                      const struct sl_widths *widths,
                                      double weights[SL_WIDTHS_MAX])
{
    if (strchr(text, ',') != NULL) {
        return parse_list(err, text, widths, weights);
    }
    for (int i = 0; i < SL_COUNT(modes); i++) {
        if (strcmp(text, modes[i].number) == 0 || strcmp(text, modes[i].name) == 0) {
            sl_width_weights_of(modes[i].mode, widths, weights);
            return SL_OK;
        }
    }
    return SL_FAIL(
        err, SL_ERROR_USAGE,
        "--width-weights: '%s' is not one of uniform (0), share (1), width (2), "
        "width-mean (3), dominant (5), cumulative (6), dominant-max (7), nor a list "
        "with a comma",
        text);
}

enum sl_status sl_slow_start_parse(struct sl_error *err, const char *text, double epochs,
                                   double steps_per_epoch, int64_t *step)
{
    size_t length = strlen(text);
    bool percent = length > 0 && text[length - 1] == '%';
    char number[64];
    double value = 0;
    if (length < sizeof(number)) {
        memcpy(number, text, length + 1);
        if (percent) {
            number[length - 1] = '\0';
        }
    }
    if (length >= sizeof(number) || !sl_parse_real(number, &value) || !(value >= 0) ||
        !isfinite(value) || (percent && value > 100)) {
        return SL_FAIL(
            err, SL_ERROR_USAGE,
            "--slow-start: '%s' is neither epochs (0 or more) nor a percentage "
            "(0%% to 100%%)",
            text);
    }
    double steps = (percent ? value / 100.0 * epochs : value) * steps_per_epoch;
    if (!(steps < 9e15)) {
        return SL_FAIL(err, SL_ERROR_USAGE,
                       "--slow-start: '%s' is more steps than can be counted", text);
    }
    /* A product that is whole but for its rounding must not become one step more. */
    double whole = rint(steps);
    bool is_whole = fabs(steps - whole) <= 1e-9 * fmax(1.0, whole);
    *step = (int64_t)(is_whole ? whole : ceil(steps));
    return SL_OK;
}

int sl_widths_active(const struct sl_widths *widths, int64_t slow_start_step,
                     int64_t step)
{
    return step < slow_start_step ? 1 : widths->n;
}

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
