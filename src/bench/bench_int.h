/* SPDX-License-Identifier: MIT */
/*
 * Private to bench: how a case is timed, and the cases that are not ops of the table.
 */
#ifndef SRC_BENCH_BENCH_INT_H
#define SRC_BENCH_BENCH_INT_H

#include "bench/bench.h"

/* Sorts `values` and returns their median; n >= 1. */
double sl_bench_median(double *values, int n);

/* Calls `run` once to warm up, then until `seconds` have passed, but at least three times
 * and at most a thousand; fills best_s, median_s and runs of `part`. */
void sl_bench_time(double seconds, void (*run)(void *context), void *context,
                   struct sl_bench_part *part);

/* Numbers that are made once and repeated to the end of `n` values of `type` at backend
 * memory `dst`; another `draw`, other numbers. */
void sl_bench_fill(const struct sl_device *device, enum sl_dtype type, uint32_t draw,
                   float scale, int64_t n, void *dst);

/* Whether the case is one of numbers.c: its first word is gemm, sgd, lars, adamw, average
 * or a row loss. */
bool sl_bench_is_numbers(const char *text);
enum sl_status sl_bench_numbers(struct sl_error *err, const char *text,
                                const struct sl_device *device, double seconds,
                                struct sl_bench_case *result);

#endif
