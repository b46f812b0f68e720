/* SPDX-License-Identifier: MIT */
/*
 * The loops over feature maps of the cpu backend: pooling, ReLU, and batch norm
 * (cpu_maps_norm_body.h). Written once in plain C and compiled for each type of the maps
 * and each instruction set by the cpu_maps_*.c files, which name the table (SL_CPU_MAPS)
 * and define SL_CPU_MAPS_BF16 where a map's values are bfloat16. A file that has its own
 * norm_* functions defines SL_CPU_MAPS_NORM_BY_HAND. What each loop computes is said in
 * cpu_rows_int.h. Nothing else may include this file.
 *
 * Values are widened to float when they are read and rounded once when they are written.
 * Loops are shaped for the compiler's vectoriser: no calls, no early exits, sums kept in
 * short blocks of floats and then in double.
 */
#ifndef SRC_BACKEND_CPU_MAPS_BODY_H
#define SRC_BACKEND_CPU_MAPS_BODY_H

#include "backend/cpu_rows_int.h"

#include <math.h>
#include <string.h>

/* ---- values ------------------------------------------------------------------------ */

#ifdef SL_CPU_MAPS_BF16
/* The upper half of a float32. */
typedef uint16_t element;

static inline float value_of(element x)
{
    const union {
        uint32_t bits;
        float value;
    } wide = {.bits = (uint32_t)x << 16};
    return wide.value;
}

/* To nearest, ties to even; a NaN stays one. */
static inline element element_of(float x)
{
    const union {
        float value;
        uint32_t bits;
    } wide = {.value = x};
    const uint32_t rounded = (wide.bits + 0x7fffU + ((wide.bits >> 16) & 1U)) >> 16;
    const uint32_t nan = (wide.bits >> 16) | 0x40U;
    return (element)((wide.bits & 0x7fffffffU) > 0x7f800000U ? nan : rounded);
}
#else
typedef float element;

static inline float value_of(element x)
{
    return x;
}

static inline element element_of(float x)
{
    return x;
}
#endif

/* max(x, 0), letting a NaN through */
static inline float relu_of(float x)
{
    return x <= 0.0f ? 0.0f : x;
}

/* A gradient behind a ReLU: 0 where its output is not above 0. Both values are read in
 * any case, which keeps loops free of branches. */
static inline float passed_of(float dst, float g)
{
    return dst <= 0.0f ? 0.0f : g;
}

/* diff may be g itself. */
static void pass_gradient(int64_t n, const element *g, const element *dst, bool add,
                          element *diff)
{
    if (add) {
#pragma omp simd
        for (int64_t j = 0; j < n; j++) {
            diff[j] = element_of(value_of(diff[j]) +
                                 passed_of(value_of(dst[j]), value_of(g[j])));
        }
    } else {
#pragma omp simd
        for (int64_t j = 0; j < n; j++) {
            diff[j] = element_of(passed_of(value_of(dst[j]), value_of(g[j])));
        }
    }
}

#ifndef SL_CPU_MAPS_NORM_BY_HAND
#include "backend/cpu_maps_norm_body.h"
#endif

/* ---- pooling and ReLU -------------------------------------------------------------- */

/* Channels of one window that are worked on side by side: blocks of lengths that the
 * compiler knows, so that no block runs in the left-over of a longer loop's vectors. */
enum { POOL_CHANNELS = 64 };

static inline int pool_block(int channels)
{
    return channels >= POOL_CHANNELS ? POOL_CHANNELS
           : channels >= 32          ? 32
           : channels >= 16          ? 16
           : channels >= 8           ? 8
                                     : channels;
}

/* work(n, ...), inlined for each length that is known. */
#define IN_POOL_BLOCK(n, work, ...)                                                      \
    do {                                                                                 \
        switch (n) {                                                                     \
        case POOL_CHANNELS:                                                              \
            work(POOL_CHANNELS, __VA_ARGS__);                                            \
            break;                                                                       \
        case 32:                                                                         \
            work(32, __VA_ARGS__);                                                       \
            break;                                                                       \
        case 16:                                                                         \
            work(16, __VA_ARGS__);                                                       \
            break;                                                                       \
        case 8:                                                                          \
            work(8, __VA_ARGS__);                                                        \
            break;                                                                       \
        default:                                                                         \
            work(n, __VA_ARGS__);                                                        \
            break;                                                                       \
        }                                                                                \
    } while (0)

/* The part of a window, rows and columns, that lies inside the picture. */
struct window {
    int y_begin, y_end, x_begin, x_end; /* taps */
    int64_t corner; /* offset of tap (0, 0)'s pixel in the picture; may lie outside */
};

static struct window window_at(const struct sl_op_desc *d, int oy, int ox)
{
    const int y = oy * d->stride - d->pad;
    const int x = ox * d->stride - d->pad;
    struct window w = {
        .y_begin = y < 0 ? -y : 0,
        .y_end = y + d->kernel > d->src_h ? d->src_h - y : d->kernel,
        .x_begin = x < 0 ? -x : 0,
        .x_end = x + d->kernel > d->src_w ? d->src_w - x : d->kernel,
        .corner = (int64_t)y * d->src_w + x,
    };
    return w;
}

static inline void take_larger(int n, int32_t tap, const element *restrict x,
                               float *restrict best, int32_t *restrict where)
{
#pragma omp simd
    for (int c = 0; c < n; c++) {
        const float value = value_of(x[c]);
        const bool wins = value > best[c] || value != value;
        best[c] = wins ? value : best[c];
        where[c] = wins ? tap : where[c];
    }
}

/* n channels of one window; picture points at channel 0 of them. */
static inline void maxpool_window(int n, const struct sl_op_desc *d,
                                  const struct window *w, const element *picture,
                                  element *dst, uint8_t *winner)
{
    float best[POOL_CHANNELS];
    int32_t where[POOL_CHANNELS];
    const int first = w->y_begin * d->kernel + w->x_begin;
    const int64_t start = w->corner + (int64_t)w->y_begin * d->src_w + w->x_begin;
#pragma omp simd
    for (int c = 0; c < n; c++) {
        best[c] = value_of(picture[start * d->src_c + c]);
        where[c] = first;
    }
    for (int y = w->y_begin; y < w->y_end; y++) {
        for (int x = w->x_begin; x < w->x_end; x++) {
            const int64_t pixel = w->corner + (int64_t)y * d->src_w + x;
            take_larger(n, y * d->kernel + x, picture + pixel * d->src_c, best, where);
        }
    }
#pragma omp simd
    for (int c = 0; c < n; c++) {
        dst[c] = element_of(best[c]);
    }
    if (winner != NULL) {
#pragma omp simd
        for (int c = 0; c < n; c++) {
            winner[c] = (uint8_t)where[c];
        }
    }
}

static void maxpool(const struct sl_op_desc *d, int64_t begin, int64_t end,
                    const void *map, void *to, uint8_t *winner)
{
    const element *src = map;
    element *dst = to;
    const int64_t picture = (int64_t)d->src_h * d->src_w * d->src_c;
    const int64_t windows = (int64_t)d->dst_h * d->dst_w;
    for (int64_t i = begin * windows; i < end * windows; i++) {
        const int64_t at = i % windows;
        const struct window w = window_at(d, (int)(at / d->dst_w), (int)(at % d->dst_w));
        for (int c = 0, n = 0; c < d->dst_c; c += n) {
            n = pool_block(d->dst_c - c);
            IN_POOL_BLOCK(n, maxpool_window, d, &w, src + i / windows * picture + c,
                          dst + i * d->dst_c + c,
                          winner == NULL ? NULL : winner + i * d->dst_c + c);
        }
    }
}

/* sum_c += g_c where the window's winner is this tap */
static inline void take_won(int n, uint8_t tap, const uint8_t *restrict winner,
                            const element *restrict g, float *restrict sum)
{
#pragma omp simd
    for (int c = 0; c < n; c++) {
        const float value = value_of(g[c]);
        sum[c] += winner[c] == tap ? value : 0.0f;
    }
}

/* Windows along one side that a pixel lies in: first .. last. */
struct over {
    int first, last;
};

static struct over windows_over(const struct sl_op_desc *d, int pixel, int count)
{
    const int reach = pixel + d->pad - d->kernel + 1; /* of the first window's corner */
    const int last = (pixel + d->pad) / d->stride;
    return (struct over){
        .first = reach <= 0 ? 0 : (reach + d->stride - 1) / d->stride,
        .last = last < count ? last : count - 1,
    };
}

/* Gradients of n channels of pixel (y, x): of all windows that it won, rounded once. */
static inline void maxpool_pixel_gradient(int n, const struct sl_op_desc *d, int y, int x,
                                          const struct over *rows,
                                          const struct over *columns,
                                          const uint8_t *winner, const element *g,
                                          bool add, element *diff)
{
    float sum[POOL_CHANNELS];
#pragma omp simd
    for (int c = 0; c < n; c++) {
        sum[c] = add ? value_of(diff[c]) : 0.0f;
    }
    for (int oy = rows->first; oy <= rows->last; oy++) {
        for (int ox = columns->first; ox <= columns->last; ox++) {
            const int row = y + d->pad - oy * d->stride;
            const int column = x + d->pad - ox * d->stride;
            const int64_t at = ((int64_t)oy * d->dst_w + ox) * d->dst_c;
            take_won(n, (uint8_t)(row * d->kernel + column), winner + at, g + at, sum);
        }
    }
#pragma omp simd
    for (int c = 0; c < n; c++) {
        diff[c] = element_of(sum[c]);
    }
}

/* One row of one picture, whose first window is at `winner` and `g`. */
static void maxpool_row_gradient(const struct sl_op_desc *d, int y, const uint8_t *winner,
                                 const element *g, bool add, element *diff)
{
    const struct over rows = windows_over(d, y, d->dst_h);
    for (int x = 0; x < d->src_w; x++) {
        const struct over columns = windows_over(d, x, d->dst_w);
        for (int c = 0, n = 0; c < d->dst_c; c += n) {
            n = pool_block(d->dst_c - c);
            IN_POOL_BLOCK(n, maxpool_pixel_gradient, d, y, x, &rows, &columns, winner + c,
                          g + c, add, diff + (int64_t)x * d->dst_c + c);
        }
    }
}

static void maxpool_backward(const struct sl_op_desc *d, int64_t begin, int64_t end,
                             const uint8_t *winner, const void *gradient, bool add,
                             void *diff)
{
    const element *diff_dst = gradient;
    element *diff_src = diff;
    const int64_t row = (int64_t)d->src_w * d->src_c;
    const int64_t windows = (int64_t)d->dst_h * d->dst_w * d->dst_c;
    for (int64_t i = begin; i < end; i++) {
        for (int y = 0; y < d->src_h; y++) {
            maxpool_row_gradient(d, y, winner + i * windows, diff_dst + i * windows, add,
                                 diff_src + (i * d->src_h + y) * row);
        }
    }
}

static void avgpool(const struct sl_op_desc *d, int64_t begin, int64_t end,
                    const void *map, float *dst)
{
    const element *src = map;
    const int64_t area = (int64_t)d->src_h * d->src_w;
    const int64_t c = d->src_c;
    const float share = 1.0f / (float)area;
    for (int64_t i = begin; i < end; i++) {
        float *restrict sum = dst + i * c;
        memset(sum, 0, (size_t)c * sizeof(float));
        for (int64_t pixel = 0; pixel < area; pixel++) {
            const element *restrict x = src + (i * area + pixel) * c;
            for (int64_t j = 0; j < c; j++) {
                sum[j] += value_of(x[j]);
            }
        }
        for (int64_t j = 0; j < c; j++) {
            sum[j] *= share;
        }
    }
}

static void avgpool_backward(const struct sl_op_desc *d, int64_t begin, int64_t end,
                             const float *diff_dst, bool add, void *diff_map)
{
    element *diff_src = diff_map;
    const int64_t area = (int64_t)d->src_h * d->src_w;
    const int64_t c = d->src_c;
    const float share = 1.0f / (float)area;
    for (int64_t i = begin * area; i < end * area; i++) {
        const float *restrict g = diff_dst + i / area * c;
        element *restrict diff = diff_src + i * c;
        for (int64_t j = 0; j < c; j++) {
            diff[j] = element_of((add ? value_of(diff[j]) : 0.0f) + share * g[j]);
        }
    }
}

static void relu(int64_t n, const void *map, void *to)
{
    const element *x = map;
    element *y = to;
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        y[i] = element_of(relu_of(value_of(x[i])));
    }
}

static void add_relu(int64_t n, const void *map, const void *other, void *to)
{
    const element *x = map;
    const element *added = other;
    element *y = to;
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        y[i] = element_of(relu_of(value_of(x[i]) + value_of(added[i])));
    }
}

static void relu_backward(int64_t n, const void *dst, const void *g, bool add, void *diff)
{
    pass_gradient(n, g, dst, add, diff);
}

/* ---- moving ------------------------------------------------------------------------ */

static void put(int64_t n, const float *restrict x, void *to)
{
    element *restrict y = to;
    for (int64_t i = 0; i < n; i++) {
        y[i] = element_of(x[i]);
    }
}

static void accumulate(int64_t n, const void *map, void *to)
{
    const element *restrict x = map;
    element *restrict y = to;
    for (int64_t i = 0; i < n; i++) {
        y[i] = element_of(value_of(y[i]) + value_of(x[i]));
    }
}

static void add_row(int64_t n, const void *map, double *restrict sums)
{
    const element *restrict x = map;
    for (int64_t i = 0; i < n; i++) {
        sums[i] += (double)value_of(x[i]);
    }
}

/* ---- the table --------------------------------------------------------------------- */

const struct sl_cpu_maps SL_CPU_MAPS = {
    .norm_sums = norm_sums,
    .norm_apply = norm_apply,
    .norm_gradient_sums = norm_gradient_sums,
    .norm_gradient_apply = norm_gradient_apply,
    .maxpool = maxpool,
    .maxpool_backward = maxpool_backward,
    .avgpool = avgpool,
    .avgpool_backward = avgpool_backward,
    .relu = relu,
    .add_relu = add_relu,
    .relu_backward = relu_backward,
    .put = put,
    .accumulate = accumulate,
    .add_row = add_row,
};

#endif
