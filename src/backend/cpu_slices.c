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

struct gather {
    const struct sl_slice *slice;
    float *dense;
};

static void gather_range(const void *context, struct sl_cpu_range out, int part SL_UNUSED)
{
    const struct gather *gather = context;
    const struct sl_slice *s = gather->slice;
    const int64_t channel = (int64_t)s->in * s->kernel * s->kernel;
    for (int64_t o = out.begin; o < out.end; o++) {
        gather_channel(s, o, gather->dense + o * channel);
    }
}

void sl_cpu_gather(const struct sl_cpu_state *state, const struct sl_slice *s,
                   float *dense)
{
    const struct gather gather = {.slice = s, .dense = dense};
    sl_cpu_split(state, s->out, gather_range, &gather);
}

struct scatter {
    const struct sl_cpu_rows *rows;
    const struct sl_slice *slice;
    const float *dense;
    int64_t channel;
    double *squares; /* of each part */
};

static void scatter_range(const void *context, struct sl_cpu_range out, int part)
{
    const struct scatter *scatter = context;
    double sum = 0.0;
    for (int64_t o = out.begin; o < out.end; o++) {
        sum += scatter_channel(scatter->rows, scatter->slice, o,
                               scatter->dense + o * scatter->channel);
    }
    scatter->squares[part] = sum;
}

double sl_cpu_scatter(const struct sl_cpu_state *state, const struct sl_slice *s,
                      const float *dense, int64_t channel)
{
    double squares[SL_CPU_THREADS_MAX];
    const struct scatter scatter = {.rows = state->rows,
                                    .slice = s,
                                    .dense = dense,
                                    .channel = channel,
                                    .squares = squares};
    sl_cpu_split(state, s->out, scatter_range, &scatter);
    double total = 0.0;
    for (int t = 0; t < state->threads; t++) {
        total += squares[t];
    }
    return total;
}
