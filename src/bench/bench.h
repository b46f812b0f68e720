/* SPDX-License-Identifier: MIT */
/*
 * bench: what `slimclr bench` runs. Each case is timed many times in one process; best
 * and median are reported, and nothing is ever compared with a clock in a test.
 */
#ifndef SRC_BENCH_BENCH_H
#define SRC_BENCH_BENCH_H

#include "backend/backend.h"
#include "base/base.h"
#include "data/data.h"
#include "learn/learn.h"
#include "net/net.h"

struct sl_bench_step_result {
    int steps;
    double best_s, median_s;
    double first_s;        /* the first step, warm-up of the libraries included */
    double since_start_s;  /* from the start of the process to the end of the first step;
                              0 where the system does not tell */
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

/* ---- single ops (ops.c, numbers.c, standing.c) ------------------------------------- */

/* One timed call of a case. */
struct sl_bench_part {
    const char *name; /* "forward", "backward", "pack", "unpack"; "run" of what has one */
    double best_s, median_s;
    int runs;
    double macs;  /* true multiply-adds; 0 where sums are not what it does */
    double bytes; /* of all operands, each read or written once: the least that moves */
};

enum { SL_BENCH_PARTS = 4, SL_BENCH_TEXT = 128 };
struct sl_bench_case {
    char text[SL_BENCH_TEXT];  /* as it was asked for */
    char shape[SL_BENCH_TEXT]; /* of "peak": the case that was fastest; else empty */
    enum sl_dtype type;        /* it was computed in */
    int n_parts;
    struct sl_bench_part parts[SL_BENCH_PARTS];
};

/* The i-th standing case; NULL past the end. */
const char *sl_bench_case_text(int i);
/* Times a case, each of its calls for about `seconds`: an op in the words of cases.h (at
 * full width), computed in `type` (a linear op in float32 all the same); or of the
 * numbers group, always in float32: gemm n64 c128 o4096                     (n, c) times
 * the transpose of (o, c) class soft mse atkd dkd, with n64 c4097 value and gradient of a
 * row loss (n, c) sgd, lars, adamw, average c1000         over flat memory or "peak": the
 * fastest of a few large products, the ceiling for all others. A case that cannot be read
 * or is nonsense is SL_ERROR_USAGE. */
enum sl_status sl_bench_ops(struct sl_error *err, const char *text, enum sl_dtype type,
                            const struct sl_device *device, double seconds,
                            struct sl_bench_case *result);
struct sl_bench_loader_result {
    int64_t rows, batches;
    double seconds, views_per_sec;
    double views_per_cpu_sec; /* of all threads: what a machine with other work still
                                 measures */
    double decode_ms;         /* of one worker, for a picture: reading and decoding */
    double augment_ms;        /* of one worker, for a view */
    struct sl_loader_memory memory;
    int64_t peak_rss;
};
/* Takes batches for that long, after a few that are not counted. */
enum sl_status sl_bench_loader(struct sl_error *err,
                               const struct sl_loader_config *config, double seconds,
                               struct sl_bench_loader_result *result);

#endif
