/* SPDX-License-Identifier: MIT */
/*
 * How fast a pass over pictures goes and how long it will take, from what is known at
 * each moment of it: a function of counts and times, which are the caller's.
 */
#include "cli.h"

void cli_pace_begin(struct cli_pace *pace, double time)
{
    *pace = (struct cli_pace){.begun = time, .seen = time};
}

void cli_pace_step(struct cli_pace *pace, int64_t done, int64_t total, double time)
{
    if (done < pace->done) {
        pace->begun = pace->seen; /* where the pass before it ended */
    }
    pace->done = done;
    pace->seen = time;
    double seconds = time - pace->begun;
    pace->per_second = seconds > 0.0 ? (double)done / seconds : 0.0;
    pace->left_s = done > 0 ? seconds / (double)done * (double)(total - done) : 0.0;
}
