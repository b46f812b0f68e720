/* SPDX-License-Identifier: MIT */
/*
 * Batch norm's loops over feature maps in plain C: a part of cpu_maps_body.h, which alone
 * includes it, and the twin of what is written by hand. Each direction reads its maps
 * twice: once for the sums, once to write.
 */
#ifndef SRC_BACKEND_CPU_MAPS_NORM_BODY_H
#define SRC_BACKEND_CPU_MAPS_NORM_BODY_H

/* ---- batch norm -------------------------------------------------------------------- */

static int64_t min_count(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Tiles whose sums are kept in float before they join the double ones: their rounding
 * stays near 64 * 2^-24 of the block's own sum. */
enum { TILES_A_BLOCK = 64 };

/* sums of a block (length, = repeated channels) -> per channel, in double */
static void fold_sums(const struct sl_cpu_tile *tile, const struct sl_cpu_sums *sums)
{
    const float *first = sums->work;
    const float *second = sums->work + tile->length;
    for (int64_t at = 0; at < tile->length; at += tile->c) {
        for (int64_t c = 0; c < tile->c; c++) {
            sums->first[c] += (double)first[at + c];
            sums->second[c] += (double)second[at + c];
        }
    }
}

static void sum_tile(int64_t n, const element *restrict x, const float *restrict shift,
                     float *restrict first, float *restrict second)
{
    for (int64_t j = 0; j < n; j++) {
        const float distance = value_of(x[j]) - shift[j];
        first[j] += distance;
        second[j] += distance * distance;
    }
}

static void norm_sums(const struct sl_cpu_tile *tile, int64_t count, const void *map,
                      const float *shift, const struct sl_cpu_sums *sums)
{
    const element *x = map;
    const int64_t block = TILES_A_BLOCK * tile->length;
    for (int64_t begin = 0; begin < count; begin += block) {
        const int64_t end = min_count(begin + block, count);
        memset(sums->work, 0, 2 * (size_t)tile->length * sizeof(float));
        for (int64_t at = begin; at < end; at += tile->length) {
            sum_tile(min_count(tile->length, end - at), x + at, shift, sums->work,
                     sums->work + tile->length);
        }
        fold_sums(tile, sums);
    }
}

static void apply_tile(int64_t n, const element *x,
                       const struct sl_cpu_norm_forward *norm, element *y)
{
    const float *mean = norm->mean;
    const float *slope = norm->slope;
    const float *shift = norm->shift;
#pragma omp simd
    for (int64_t j = 0; j < n; j++) {
        y[j] = element_of((value_of(x[j]) - mean[j]) * slope[j] + shift[j]);
    }
}

static void apply_tile_relu(int64_t n, const element *x,
                            const struct sl_cpu_norm_forward *norm, element *y)
{
    const float *mean = norm->mean;
    const float *slope = norm->slope;
    const float *shift = norm->shift;
#pragma omp simd
    for (int64_t j = 0; j < n; j++) {
        y[j] = element_of(relu_of((value_of(x[j]) - mean[j]) * slope[j] + shift[j]));
    }
}

static void apply_tile_add_relu(int64_t n, const element *x, const element *added,
                                const struct sl_cpu_norm_forward *norm, element *y)
{
    const float *mean = norm->mean;
    const float *slope = norm->slope;
    const float *shift = norm->shift;
#pragma omp simd
    for (int64_t j = 0; j < n; j++) {
        y[j] = element_of(relu_of((value_of(x[j]) - mean[j]) * slope[j] + shift[j] +
                                  value_of(added[j])));
    }
}

static void norm_apply(const struct sl_cpu_tile *tile, int64_t count, const void *map,
                       const void *added_map, const struct sl_cpu_norm_forward *norm,
                       void *to)
{
    const element *x = map;
    const element *added = added_map;
    element *y = to;
    for (int64_t at = 0; at < count; at += tile->length) {
        const int64_t n = min_count(tile->length, count - at);
        switch (norm->tail) {
        case SL_TAIL_NONE:
            apply_tile(n, x + at, norm, y + at);
            break;
        case SL_TAIL_RELU:
            apply_tile_relu(n, x + at, norm, y + at);
            break;
        case SL_TAIL_ADD_RELU:
            apply_tile_add_relu(n, x + at, added + at, norm, y + at);
            break;
        }
    }
}

/* g where the tail let something through: a ReLU's y is worked out again from x, a sum's
 * is read. `tail` is a constant where this is called. */
static inline float passed_by(enum sl_tail tail, const struct sl_cpu_norm_forward *norm,
                              int64_t j, float x, const element *dst, float g)
{
    if (tail == SL_TAIL_RELU) {
        return passed_of((x - norm->mean[j]) * norm->slope[j] + norm->shift[j], g);
    }
    return tail == SL_TAIL_ADD_RELU ? passed_of(value_of(dst[j]), g) : g;
}

static inline void gradient_sum_tile(int64_t n, enum sl_tail tail,
                                     const element *restrict g, const element *restrict x,
                                     const element *restrict dst,
                                     const struct sl_cpu_norm_forward *norm,
                                     float *restrict first, float *restrict second)
{
    for (int64_t j = 0; j < n; j++) {
        const float at = value_of(x[j]);
        const float passed = passed_by(tail, norm, j, at, dst, value_of(g[j]));
        first[j] += passed;
        second[j] += passed * (at - norm->mean[j]);
    }
}

static void norm_gradient_sums(const struct sl_cpu_tile *tile, int64_t count,
                               const void *gradient, const void *map, const void *output,
                               const struct sl_cpu_norm_forward *norm, void *diff_map,
                               bool diff_added_add, const struct sl_cpu_sums *sums)
{
    const element *g = gradient;
    const element *x = map;
    const element *dst = output;
    element *diff_added = diff_map;
    const int64_t block = TILES_A_BLOCK * tile->length;
    float *first = sums->work;
    float *second = sums->work + tile->length;
    for (int64_t begin = 0; begin < count; begin += block) {
        const int64_t end = min_count(begin + block, count);
        memset(sums->work, 0, 2 * (size_t)tile->length * sizeof(float));
        for (int64_t at = begin; at < end; at += tile->length) {
            const int64_t n = min_count(tile->length, end - at);
            switch (norm->tail) {
            case SL_TAIL_NONE:
                gradient_sum_tile(n, SL_TAIL_NONE, g + at, x + at, NULL, norm, first,
                                  second);
                break;
            case SL_TAIL_RELU:
                gradient_sum_tile(n, SL_TAIL_RELU, g + at, x + at, NULL, norm, first,
                                  second);
                break;
            case SL_TAIL_ADD_RELU:
                gradient_sum_tile(n, SL_TAIL_ADD_RELU, g + at, x + at, dst + at, norm,
                                  first, second);
                break;
            }
            if (diff_added != NULL) {
                /* the tile is still in the nearest cache */
                pass_gradient(n, g + at, dst + at, diff_added_add, diff_added + at);
            }
        }
        fold_sums(tile, sums);
    }
}

/* `tail` and `add` are constants where this is called, so that each call becomes its own
 * branchless loop. diff may be g itself: every element is read before it is written. */
static inline void gradient_tile(int64_t n, enum sl_tail tail, const element *g,
                                 const element *x, const element *dst,
                                 const struct sl_cpu_norm_backward *norm, bool add,
                                 element *diff)
{
    const struct sl_cpu_norm_forward *forward = &norm->forward;
    const float *mean = forward->mean;
    const float *slope = forward->slope;
    const float *by_g = norm->by_g;
    const float *by_x = norm->by_x;
#pragma omp simd
    for (int64_t j = 0; j < n; j++) {
        const float at = value_of(x[j]);
        const float passed = passed_by(tail, forward, j, at, dst, value_of(g[j]));
        const float value = slope[j] * passed - by_g[j] - (at - mean[j]) * by_x[j];
        diff[j] = element_of(add ? value_of(diff[j]) + value : value);
    }
}

static inline void gradient_tile_tail(int64_t n, enum sl_tail tail, const element *g,
                                      const element *x, const element *dst,
                                      const struct sl_cpu_norm_backward *norm,
                                      element *diff)
{
    if (norm->add) {
        gradient_tile(n, tail, g, x, dst, norm, true, diff);
    } else {
        gradient_tile(n, tail, g, x, dst, norm, false, diff);
    }
}

static void norm_gradient_apply(const struct sl_cpu_tile *tile, int64_t count,
                                const void *gradient, const void *map, const void *output,
                                const struct sl_cpu_norm_backward *norm, void *to)
{
    const element *g = gradient;
    const element *x = map;
    const element *dst = output;
    element *diff = to;
    for (int64_t at = 0; at < count; at += tile->length) {
        const int64_t n = min_count(tile->length, count - at);
        switch (norm->forward.tail) {
        case SL_TAIL_NONE:
            gradient_tile_tail(n, SL_TAIL_NONE, g + at, x + at, NULL, norm, diff + at);
            break;
        case SL_TAIL_RELU:
            gradient_tile_tail(n, SL_TAIL_RELU, g + at, x + at, NULL, norm, diff + at);
            break;
        case SL_TAIL_ADD_RELU:
            gradient_tile_tail(n, SL_TAIL_ADD_RELU, g + at, x + at, dst + at, norm,
                               diff + at);
            break;
        }
    }
}

#endif
