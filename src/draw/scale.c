/* SPDX-License-Identifier: MIT */
/*
 * Axes of a figure: from the range of the data to a range, ticks and their texts that a
 * person reads without effort. Pure functions.
 */
#include "draw/draw.h"

#include <math.h>
#include <stdlib.h>

/* The round number 1, 2 or 5 times a power of ten that is not below `value`. */
static double round_up(double value)
{
    double power = pow(10.0, floor(log10(value)));
    double digit = value / power;
    /* A little slack, so that 0.3 / 3 is 0.1. */
    return power * (digit < 1.0 + 1e-9   ? 1.0
                    : digit < 2.0 + 1e-9 ? 2.0
                    : digit < 5.0 + 1e-9 ? 5.0
                                         : 10.0);
}

struct sl_scale sl_scale_make(double low, double high, bool is_log)
{
    struct sl_scale scale = {.is_log = is_log && low > 0.0 && high > 0.0};
    if (!isfinite(high - low) || low > high) {
        return (struct sl_scale){0.0, 1.0, false};
    }
    if (scale.is_log) {
        double room = pow(high / low, 0.04);
        room = room < 1.05 ? 1.3 : room;
        scale.low = low / room;
        scale.high = high * room;
        return scale;
    }
    if (high - low <= 1e-12 * fmax(fabs(low), fabs(high))) { /* one value */
        double room = low == 0.0 ? 1.0 : 0.5 * fabs(low);
        scale.low = low < 0.0 || low - room > 0.0 ? low - room : 0.0;
        scale.high = high + room;
        return scale;
    }
    double room = 0.05 * (high - low);
    /* An axis that is nearly at zero begins there. */
    scale.low = low >= 0.0 && low < 0.35 * high ? 0.0 : low - room;
    scale.high = high <= 0.0 && high > 0.35 * low ? 0.0 : high + room;
    return scale;
}

double sl_scale_place(const struct sl_scale *scale, double value)
{
    if (scale->is_log) {
        return value > 0.0 ? log(value / scale->low) / log(scale->high / scale->low)
                           : -INFINITY;
    }
    return (value - scale->low) / (scale->high - scale->low);
}

static void linear_ticks(const struct sl_scale *scale, int wanted, struct sl_ticks *ticks)
{
    double step = round_up((scale->high - scale->low) / wanted);
    /* A range between two round numbers takes the next finer step: 5, 2, 1, 0.5 … */
    for (int tries = 0; ticks->n < 2 && tries < 4; tries++, step = round_up(0.4 * step)) {
        double slack = 1e-9 * step;
        ticks->n = 0;
        ticks->step = step;
        for (double k = ceil((scale->low - slack) / step);
             k * step <= scale->high + slack && ticks->n < SL_TICKS_MOST; k += 1.0) {
            ticks->at[ticks->n++] = k == 0.0 ? 0.0 : k * step;
        }
    }
}

static void log_ticks(const struct sl_scale *scale, int wanted, struct sl_ticks *ticks)
{
    static const double few[] = {1.0}, some[] = {1.0, 3.0}, more[] = {1.0, 2.0, 5.0};
    double decades = log10(scale->high / scale->low);
    int every = (int)ceil(decades / wanted);
    const double *digits = decades > wanted        ? few
                           : decades * 2 > wanted  ? few
                           : decades * 3 <= wanted ? more
                                                   : some;
    int n_digits = digits == few ? 1 : digits == some ? 2 : 3;
    every = every < 1 ? 1 : every;
    int first = (int)floor(log10(scale->low));
    for (int power = first; power <= (int)ceil(log10(scale->high)); power++) {
        for (int k = 0; k < n_digits && ticks->n < SL_TICKS_MOST; k++) {
            double at = digits[k] * pow(10.0, power);
            if (at >= scale->low * (1 - 1e-9) && at <= scale->high * (1 + 1e-9) &&
                (power - first) % every == 0) {
                ticks->at[ticks->n++] = at;
            }
        }
    }
}

struct sl_ticks sl_scale_ticks(const struct sl_scale *scale, int wanted)
{
    struct sl_ticks ticks = {0};
    wanted = wanted < 2 ? 2 : wanted > SL_TICKS_MOST - 2 ? SL_TICKS_MOST - 2 : wanted;
    if (scale->is_log) {
        log_ticks(scale, wanted, &ticks);
        if (ticks.n >= 2) {
            return ticks;
        }
        ticks.n = 0; /* less than a decade: the numbers of a plain axis serve better */
    }
    linear_ticks(scale, wanted, &ticks);
    return ticks;
}

/* 2e-5 as 2×10⁻⁵. */
static void power_text(double value, char *dst, size_t size)
{
    static const char *const raised[] = {"⁰", "¹", "²", "³", "⁴",
                                         "⁵", "⁶", "⁷", "⁸", "⁹"};
    int power = (int)floor(log10(fabs(value)) + 1e-9);
    char digits[24];
    char exponent[32] = "";
    size_t at = 0;
    (void)snprintf(digits, sizeof digits, "%.3g", value / pow(10.0, power));
    for (int rest = abs(power), ten = rest >= 100  ? 100
                                      : rest >= 10 ? 10
                                                   : 1;
         ten > 0; ten /= 10) {
        at += (size_t)snprintf(exponent + at, sizeof exponent - at, "%s",
                               raised[rest / ten % 10]);
    }
    (void)snprintf(dst, size, "%s×10%s%s", digits, power < 0 ? "⁻" : "", exponent);
}

void sl_tick_text(double value, double step, bool is_percent, char *dst, size_t size)
{
    double shown = is_percent ? 100.0 * value : value;
    double fine = is_percent ? 100.0 * step : step;
    double large = fabs(shown);
    const char *unit = is_percent ? " %" : "";
    if (large == 0.0) {
        (void)snprintf(dst, size, "0%s", unit);
        return;
    }
    if (!is_percent && (large < 1e-3 || (large < 1.0 && fine > 0.0 && fine < 1e-4))) {
        power_text(value, dst, size);
        return;
    }
    if (!is_percent && large >= 1e4) {
        int kind = large >= 1e9 ? 2 : large >= 1e6 ? 1 : 0;
        static const char *const names[] = {"k", "M", "G"};
        static const double sizes[] = {1e3, 1e6, 1e9};
        (void)snprintf(dst, size, "%.*g %s", large >= 1e12 ? 3 : 6, shown / sizes[kind],
                       names[kind]);
        return;
    }
    int decimals = fine > 0.0 ? (int)ceil(-log10(fine) - 1e-9) : -1;
    if (fine > 0.0) {
        decimals = decimals < 0 ? 0 : decimals > 9 ? 9 : decimals;
        (void)snprintf(dst, size, "%.*f%s", decimals, shown, unit);
    } else {
        (void)snprintf(dst, size, "%.4g%s", shown, unit);
    }
}
