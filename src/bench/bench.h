/* SPDX-License-Identifier: MIT */
/*
 * bench: what `slimclr bench` runs. Each case is timed many times in one process; best
 * and median are reported, and nothing is ever compared with a clock in a test.
 */
#ifndef SRC_BENCH_BENCH_H
#define SRC_BENCH_BENCH_H

#include "backend/backend.h"
#include "base/base.h"
#include "learn/learn.h"
#include "net/net.h"

struct sl_bench_step_result {
    int steps;
    double best_s, median_s;
    double first_s;        /* the first step, warm-up of the libraries included */
    double images_per_sec; /* at the median */
    double gflops; /* 2 x true multiply-adds of keys, widths (forward and both gradients)
                      and logits / median */
    double keys_s, update_s, width_s[SL_WIDTHS_MAX]; /* medians */
    int64_t peak_rss;
};
/* One whole training step, images already in memory: keyed normal numbers in place of
 * pictures. All widths are active. */
enum sl_status sl_bench_step(struct sl_error *err, const struct sl_trainer_config *config,
                             const struct sl_net *net, const struct sl_device *device,
                             int steps, struct sl_bench_step_result *result);

#endif
