/* SPDX-License-Identifier: MIT */
/*
 * How fast a run goes and how long it will take: a function of its steps and of what each
 * took. Steps get dearer when the sub-networks join, by a factor that is estimated before
 * and measured after; what was before then says nothing of what comes. And the same of
 * the steps between two metric lines, as they were.
 */
#include "run_int.h"

static const double KEPT = 0.95; /* of the rate so far, at each step */

void api_pace_step(struct api_pace *pace, int active, double pictures, double seconds,
                   double waited)
{
    double rate = seconds > 0.0 ? pictures / seconds : 0.0;
    double wait = seconds > 0.0 ? waited / seconds : 0.0;
    if (active != pace->active) {
        pace->rate = 0.0;
        pace->active = active;
    }
    bool is_first = !(pace->rate > 0.0);
    pace->rate = is_first ? rate : KEPT * pace->rate + (1.0 - KEPT) * rate;
    pace->wait = is_first ? wait : KEPT * pace->wait + (1.0 - KEPT) * wait;
}

/* The steps still to do, in steps as dear as the present one. */
static double steps_left(const struct api_pace *pace, int64_t step, int64_t join,
                         int64_t total)
{
    int64_t left = total - step;
    int64_t before = join - step;
    if (pace->active == pace->n_widths) {
        return (double)left;
    }
    before = before < 0 ? 0 : before > left ? left : before;
    return (double)before + (double)(left - before) * pace->join_factor;
}

double api_pace_left(const struct api_pace *pace, int64_t step, int64_t join,
                     int64_t total, double pictures)
{
    return pace->rate > 0.0 ? steps_left(pace, step, join, total) * pictures / pace->rate
                            : 0.0;
}

/* ---- between two metric lines ------------------------------------------------------ */

void api_window_step(struct api_window *window, double pictures, double seconds,
                     double waited)
{
    window->pictures += pictures;
    window->seconds += seconds;
    window->waited += waited;
}

double api_window_rate(const struct api_window *window)
{
    return window->seconds > 0.0 ? window->pictures / window->seconds : 0.0;
}

double api_window_wait(const struct api_window *window)
{
    return window->seconds > 0.0 ? window->waited / window->seconds : 0.0;
}
