/* SPDX-License-Identifier: MIT */
/*
 * Private to the cpu backend: memory that is wanted next. What is read or written after a
 * long calculation is asked for during it, a little at a time, so that neither waits for
 * the other.
 */
#ifndef SRC_BACKEND_CPU_AHEAD_INT_H
#define SRC_BACKEND_CPU_AHEAD_INT_H

#include "base/base.h"

struct sl_cpu_ahead {
    int n;
    struct {
        const char *begin;
        int64_t bytes;
        bool written;
    } at[3];
    /* How far asking is: the span and its next line, and lines asked for at a time. */
    int span;
    int64_t line, each;
};

enum { SL_CPU_LINE = 64 };

/* `bytes` of memory are wanted, to be written or read; nothing where bytes is 0 or less.
 */
static inline void sl_cpu_want(struct sl_cpu_ahead *ahead, const void *begin,
                               int64_t bytes, bool written)
{
    if (bytes > 0 && ahead->n < SL_COUNT(ahead->at)) {
        ahead->at[ahead->n].begin = begin;
        ahead->at[ahead->n].bytes = bytes;
        ahead->at[ahead->n].written = written;
        ahead->n++;
    }
}

/* Part `i` of `n` of what is wanted, cut off where a span ends. */
struct sl_cpu_piece {
    const char *begin; /* NULL: nothing */
    int64_t bytes;
};
static inline struct sl_cpu_piece sl_cpu_ahead_part(const struct sl_cpu_ahead *ahead,
                                                    int i, int n)
{
    int64_t all = 0;
    for (int k = 0; k < ahead->n; k++) {
        all += ahead->at[k].bytes;
    }
    int64_t at = all / n * i;
    for (int k = 0; k < ahead->n; k++) {
        const int64_t left = ahead->at[k].bytes - at;
        if (left > 0) {
            return (struct sl_cpu_piece){ahead->at[k].begin + at,
                                         left < all / n ? left : all / n};
        }
        at -= ahead->at[k].bytes;
    }
    return (struct sl_cpu_piece){NULL, 0};
}

/* What is wanted falls to `times` calls of sl_cpu_ask. */
static inline void sl_cpu_ask_in(struct sl_cpu_ahead *ahead, int64_t times)
{
    int64_t lines = 0;
    for (int i = 0; i < ahead->n; i++) {
        lines += (ahead->at[i].bytes + SL_CPU_LINE - 1) / SL_CPU_LINE;
    }
    ahead->each = (lines + times - 1) / times;
}

/* What is read should come into a core's second cache, what is written is taken from
 * others'. */
static inline void sl_cpu_ask(struct sl_cpu_ahead *ahead)
{
    for (int64_t k = 0; k < ahead->each && ahead->span < ahead->n; k++) {
        const char *from = ahead->at[ahead->span].begin + ahead->line * SL_CPU_LINE;
        if (ahead->at[ahead->span].written) {
            __builtin_prefetch(from, 1);
        } else {
            __builtin_prefetch(from, 0, 2);
        }
        ahead->line++;
        if (ahead->line * SL_CPU_LINE >= ahead->at[ahead->span].bytes) {
            ahead->span++;
            ahead->line = 0;
        }
    }
}

#endif
