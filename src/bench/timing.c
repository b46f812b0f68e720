/* SPDX-License-Identifier: MIT */
/*
 * How one call is timed: many times in one process, best and median kept. The warm-up
 * call is not counted, so that first touches of memory and lazily made code of the
 * libraries stay out.
 */
#include "bench/bench_int.h"

enum { RUNS_LEAST = 3, RUNS_MOST = 1000, CHUNK = 4096 };

double sl_bench_median(double *values, int n)
{
    for (int i = 1; i < n; i++) {
        double value = values[i];
        int k = i;
        for (; k > 0 && values[k - 1] > value; k--) {
            values[k] = values[k - 1];
        }
        values[k] = value;
    }
    return n % 2 == 1 ? values[n / 2] : 0.5 * (values[n / 2 - 1] + values[n / 2]);
}

void sl_bench_time(double seconds, void (*run)(void *context), void *context,
                   struct sl_bench_part *part)
{
    double times[RUNS_MOST];
    int n = 0;
    run(context);
    double begun = sl_clock();
    double end = begun;
    while (n < RUNS_LEAST || (n < RUNS_MOST && end - begun < seconds)) {
        double start = end;
        run(context);
        end = sl_clock();
        times[n++] = end - start;
    }
    part->median_s = sl_bench_median(times, n);
    part->best_s = times[0];
    part->runs = n;
}

void sl_bench_fill(const struct sl_device *device, enum sl_dtype type, uint32_t draw,
                   float scale, int64_t n, void *dst)
{
    float numbers[CHUNK];
    sl_rng_fill_normal(0, SL_RNG_TEST, draw, scale, CHUNK, numbers);
    for (int64_t at = 0; at < n; at += CHUNK) {
        int64_t count = n - at < CHUNK ? n - at : CHUNK;
        device->table->put_map(device->state, type, count, numbers,
                               (char *)dst + at * sl_dtype_bytes(type));
    }
}
