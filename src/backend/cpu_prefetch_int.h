/* SPDX-License-Identifier: MIT */
/*
 * Private to the cpu backend: prefetching of memory that a long calculation will be
 * followed by. It is asked for during the calculation, a little at a time, so that
 * neither waits for the other.
 */
#ifndef SRC_BACKEND_CPU_PREFETCH_INT_H
#define SRC_BACKEND_CPU_PREFETCH_INT_H

#include "base/base.h"

enum { SL_CPU_PREFETCH_SPANS = 3, SL_CPU_LINE = 64 };

struct sl_cpu_prefetch_span {
    const char *begin; /* NULL: nothing */
    int64_t bytes;
    bool written; /* sl_cpu_prefetch_next then takes its lines from other cores' caches */
};

struct sl_cpu_prefetch {
    int n;
    struct sl_cpu_prefetch_span span[SL_CPU_PREFETCH_SPANS];
    /* How far sl_cpu_prefetch_next is: the span and its next line, and lines at a time.
     */
    int at;
    int64_t line, each;
};

/* `bytes` of memory will be read, or written; nothing where bytes is 0 or less. At most
 * SL_CPU_PREFETCH_SPANS times. */
static inline void sl_cpu_prefetch_add(struct sl_cpu_prefetch *prefetch,
                                       const void *begin, int64_t bytes, bool written)
{
    if (bytes > 0) {
        SL_ASSERT(prefetch->n < SL_CPU_PREFETCH_SPANS);
        prefetch->span[prefetch->n++] = (struct sl_cpu_prefetch_span){
            .begin = begin, .bytes = bytes, .written = written};
    }
}

/* Share i of n equal ones of all spans, cut off where a span ends: for a product, which
 * asks for it line by line. */
static inline struct sl_cpu_prefetch_span sl_cpu_prefetch_share(
    const struct sl_cpu_prefetch *prefetch, int i, int n)
{
    int64_t all = 0;
    for (int k = 0; k < prefetch->n; k++) {
        all += prefetch->span[k].bytes;
    }
    int64_t offset = all / n * i;
    for (int k = 0; k < prefetch->n; k++) {
        struct sl_cpu_prefetch_span share = prefetch->span[k];
        if (offset < share.bytes) {
            share.begin += offset;
            share.bytes = share.bytes - offset < all / n ? share.bytes - offset : all / n;
            return share;
        }
        offset -= share.bytes;
    }
    return (struct sl_cpu_prefetch_span){.begin = NULL};
}

/* All spans are spread over `times` calls of sl_cpu_prefetch_next. */
static inline void sl_cpu_prefetch_spread(struct sl_cpu_prefetch *prefetch, int64_t times)
{
    int64_t lines = 0;
    for (int k = 0; k < prefetch->n; k++) {
        lines += (prefetch->span[k].bytes + SL_CPU_LINE - 1) / SL_CPU_LINE;
    }
    prefetch->each = (lines + times - 1) / times;
}

/* What is read should come into a core's second cache. */
static inline void sl_cpu_prefetch_next(struct sl_cpu_prefetch *prefetch)
{
    for (int64_t k = 0; k < prefetch->each && prefetch->at < prefetch->n; k++) {
        const struct sl_cpu_prefetch_span *span = &prefetch->span[prefetch->at];
        const char *line = span->begin + prefetch->line * SL_CPU_LINE;
        if (span->written) {
            __builtin_prefetch(line, 1);
        } else {
            __builtin_prefetch(line, 0, 2);
        }
        prefetch->line++;
        if (prefetch->line * SL_CPU_LINE >= span->bytes) {
            prefetch->at++;
            prefetch->line = 0;
        }
    }
}

#endif
