/* SPDX-License-Identifier: MIT */
/*
 * The loader alone, timed: batches are taken as fast as they come and thrown away, so
 * that what is seen is reading, decoding and augmenting. The first batches, which take
 * memory and fill the ring, are not counted.
 */
#include "bench/bench.h"

#include <time.h>

/* Processor seconds of all threads of the process. */
static double cpu_clock(void)
{
    struct timespec time = {0};
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

enum sl_status sl_bench_loader(struct sl_error *err,
                               const struct sl_loader_config *config, double seconds,
                               struct sl_bench_loader_result *result)
{
    enum sl_status status = SL_OK;
    struct sl_loader *loader = NULL;
    struct sl_loader_work before = {0};
    double start = 0.0, now = 0.0, cpu_start = 0.0;
    int64_t n_batches = 0;
    *result = (struct sl_bench_loader_result){0};
    SL_TRY(sl_loader_create(err, config, &loader));
    int64_t warm = sl_loader_memory(loader).slots + 1;
    for (int64_t i = 0; i <= warm || now - start < seconds; i++) {
        struct sl_batch batch;
        SL_TRY_OUT(sl_loader_acquire(err, loader, &batch, NULL));
        sl_loader_release(loader);
        now = sl_clock();
        if (i == warm) {
            start = now;
            cpu_start = cpu_clock();
            before = sl_loader_work(loader);
        }
        n_batches += i > warm ? 1 : 0;
    }
    struct sl_loader_work after = sl_loader_work(loader);
    int64_t rows = after.rows - before.rows;
    double views = (double)rows * config->n_views;
    result->rows = rows;
    result->batches = n_batches;
    result->seconds = now - start;
    result->views_per_sec = views / result->seconds;
    result->views_per_cpu_sec = views / (cpu_clock() - cpu_start);
    result->decode_ms = 1e3 * (after.decode_s - before.decode_s) / (double)rows;
    result->augment_ms = 1e3 * (after.augment_s - before.augment_s) / views;
    result->memory = sl_loader_memory(loader);
    result->peak_rss = sl_peak_rss();
out:
    sl_loader_destroy(loader);
    return status;
}
