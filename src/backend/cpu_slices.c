/* SPDX-License-Identifier: MIT */
/*
 * The way between a slice of a master, which has strides, and dense memory
 * (out, in, kernel, kernel): the first half of packing and the last of unpacking. What
 * oneDNN makes of the dense form is not known here.
 */
#include "backend/cpu_int.h"

#include <string.h>

/* All of one output channel into dense memory. */
static void gather_channel(const struct sl_slice *s, int64_t o, float *to)
{
    const int64_t taps = (int64_t)s->kernel * s->kernel;
    const float *from = s->data + o * s->out_stride;
    if (s->in_stride == taps) {
        memcpy(to, from, (size_t)(taps * s->in) * sizeof(float));
        return;
    }
    for (int64_t i = 0; i < s->in; i++) {
        memcpy(to + i * taps, from + i * s->in_stride, (size_t)taps * sizeof(float));
    }
}

/* Dense memory added to one output channel; sum of squares of what was added. */
static double scatter_channel(const struct sl_cpu_rows *rows, const struct sl_slice *s,
                              int64_t o, const float *from)
{
    const int64_t taps = (int64_t)s->kernel * s->kernel;
    float *to = s->data + o * s->out_stride;
    if (s->in_stride == taps) {
        return rows->add(taps * s->in, from, to);
    }
    double squares = 0.0;
    for (int64_t i = 0; i < s->in; i++) {
        squares += rows->add(taps, from + i * taps, to + i * s->in_stride);
    }
    return squares;
}

void sl_cpu_gather(const struct sl_cpu_state *state, const struct sl_slice *s,
                   float *dense)
{
    const int64_t channel = (int64_t)s->in * s->kernel * s->kernel;
#pragma omp parallel for schedule(static, 1) num_threads(state->threads)
    for (int t = 0; t < state->threads; t++) {
        const struct sl_cpu_range part = sl_cpu_part(s->out, state->threads, t);
        for (int64_t o = part.begin; o < part.end; o++) {
            gather_channel(s, o, dense + o * channel);
        }
    }
}

double sl_cpu_scatter(const struct sl_cpu_state *state, const struct sl_slice *s,
                      const float *dense, int64_t channel)
{
    double squares[SL_CPU_THREADS_MAX];
#pragma omp parallel for schedule(static, 1) num_threads(state->threads)
    for (int t = 0; t < state->threads; t++) {
        const struct sl_cpu_range part = sl_cpu_part(s->out, state->threads, t);
        double sum = 0.0;
        for (int64_t o = part.begin; o < part.end; o++) {
            sum += scatter_channel(state->rows, s, o, dense + o * channel);
        }
        squares[t] = sum;
    }
    double total = 0.0;
    for (int t = 0; t < state->threads; t++) {
        total += squares[t];
    }
    return total;
}
