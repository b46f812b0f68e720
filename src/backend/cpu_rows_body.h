/* SPDX-License-Identifier: MIT */
/*
 * The row and element loops of the cpu backend, written once in plain C and included by
 * cpu_rows_base.c, cpu_rows_avx2.c and cpu_rows_avx512.c, which name the table
 * (SL_CPU_ROWS, SL_CPU_ROWS_NAME) and are compiled with different flags. What each loop
 * computes is said in cpu_rows_int.h. Nothing else may include this file.
 *
 * Loops are shaped for the compiler's vectoriser: no calls, no early exits, sums kept in
 * short blocks of floats and then in double.
 */
#ifndef SRC_BACKEND_CPU_ROWS_BODY_H
#define SRC_BACKEND_CPU_ROWS_BODY_H

#include "backend/cpu_rows_int.h"

#include <math.h>
#include <string.h>

static int64_t min_count(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

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

/* ---- batch norm -------------------------------------------------------------------- */

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

static void sum_tile(int64_t n, const float *restrict x, const float *restrict shift,
                     float *restrict first, float *restrict second)
{
    for (int64_t j = 0; j < n; j++) {
        const float distance = x[j] - shift[j];
        first[j] += distance;
        second[j] += distance * distance;
    }
}

static void norm_sums(const struct sl_cpu_tile *tile, int64_t count, const float *x,
                      const float *shift, const struct sl_cpu_sums *sums)
{
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

static void apply_tile(int64_t n, const float *x, const struct sl_cpu_norm_forward *norm,
                       float *y)
{
    const float *mean = norm->mean;
    const float *slope = norm->slope;
    const float *shift = norm->shift;
#pragma omp simd
    for (int64_t j = 0; j < n; j++) {
        y[j] = (x[j] - mean[j]) * slope[j] + shift[j];
    }
}

static void apply_tile_relu(int64_t n, const float *x,
                            const struct sl_cpu_norm_forward *norm, float *y)
{
    const float *mean = norm->mean;
    const float *slope = norm->slope;
    const float *shift = norm->shift;
#pragma omp simd
    for (int64_t j = 0; j < n; j++) {
        y[j] = relu_of((x[j] - mean[j]) * slope[j] + shift[j]);
    }
}

static void apply_tile_add_relu(int64_t n, const float *x, const float *added,
                                const struct sl_cpu_norm_forward *norm, float *y)
{
    const float *mean = norm->mean;
    const float *slope = norm->slope;
    const float *shift = norm->shift;
#pragma omp simd
    for (int64_t j = 0; j < n; j++) {
        y[j] = relu_of((x[j] - mean[j]) * slope[j] + shift[j] + added[j]);
    }
}

static void norm_apply(const struct sl_cpu_tile *tile, int64_t count, const float *x,
                       const float *added, const struct sl_cpu_norm_forward *norm,
                       float *y)
{
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

static void gradient_sum_tile(int64_t n, const float *restrict g, const float *restrict x,
                              const float *restrict mean, float *restrict first,
                              float *restrict second)
{
    for (int64_t j = 0; j < n; j++) {
        first[j] += g[j];
        second[j] += g[j] * (x[j] - mean[j]);
    }
}

static void gradient_sum_tile_masked(int64_t n, const float *restrict g,
                                     const float *restrict x, const float *restrict dst,
                                     const float *restrict mean, float *restrict first,
                                     float *restrict second)
{
    for (int64_t j = 0; j < n; j++) {
        const float passed = passed_of(dst[j], g[j]);
        first[j] += passed;
        second[j] += passed * (x[j] - mean[j]);
    }
}

/* diff may be g itself. */
static void pass_gradient(int64_t n, const float *g, const float *dst, bool add,
                          float *diff)
{
    if (add) {
#pragma omp simd
        for (int64_t j = 0; j < n; j++) {
            diff[j] += passed_of(dst[j], g[j]);
        }
    } else {
#pragma omp simd
        for (int64_t j = 0; j < n; j++) {
            diff[j] = passed_of(dst[j], g[j]);
        }
    }
}

static void norm_gradient_sums(const struct sl_cpu_tile *tile, int64_t count,
                               const float *g, const float *x, const float *dst,
                               const float *mean, float *diff_added, bool diff_added_add,
                               const struct sl_cpu_sums *sums)
{
    const int64_t block = TILES_A_BLOCK * tile->length;
    float *first = sums->work;
    float *second = sums->work + tile->length;
    for (int64_t begin = 0; begin < count; begin += block) {
        const int64_t end = min_count(begin + block, count);
        memset(sums->work, 0, 2 * (size_t)tile->length * sizeof(float));
        for (int64_t at = begin; at < end; at += tile->length) {
            const int64_t n = min_count(tile->length, end - at);
            if (dst == NULL) {
                gradient_sum_tile(n, g + at, x + at, mean, first, second);
            } else {
                gradient_sum_tile_masked(n, g + at, x + at, dst + at, mean, first,
                                         second);
            }
            if (diff_added != NULL) {
                /* the tile is still in the nearest cache */
                pass_gradient(n, g + at, dst + at, diff_added_add, diff_added + at);
            }
        }
        fold_sums(tile, sums);
    }
}

/* `masked` and `add` are constants where these two are called, so that each call becomes
 * its own branchless loop. diff may be g itself: every element is read before it is
 * written. */
static inline void gradient_tile(int64_t n, const float *g, const float *x,
                                 const float *dst,
                                 const struct sl_cpu_norm_backward *norm, bool masked,
                                 bool add, float *diff)
{
    const float *mean = norm->mean;
    const float *slope = norm->slope;
    const float *by_g = norm->by_g;
    const float *by_x = norm->by_x;
#pragma omp simd
    for (int64_t j = 0; j < n; j++) {
        /* cppcheck-suppress nullPointer ; dst is read only where there is a mask */
        const float passed = masked ? passed_of(dst[j], g[j]) : g[j];
        const float value = slope[j] * passed - by_g[j] - (x[j] - mean[j]) * by_x[j];
        diff[j] = add ? diff[j] + value : value;
    }
}

static void norm_gradient_apply(const struct sl_cpu_tile *tile, int64_t count,
                                const float *g, const float *x, const float *dst,
                                const struct sl_cpu_norm_backward *norm, float *diff)
{
    for (int64_t at = 0; at < count; at += tile->length) {
        const int64_t n = min_count(tile->length, count - at);
        if (norm->masked && norm->add) {
            gradient_tile(n, g + at, x + at, dst + at, norm, true, true, diff + at);
        } else if (norm->masked) {
            gradient_tile(n, g + at, x + at, dst + at, norm, true, false, diff + at);
        } else if (norm->add) {
            gradient_tile(n, g + at, x + at, NULL, norm, false, true, diff + at);
        } else {
            gradient_tile(n, g + at, x + at, NULL, norm, false, false, diff + at);
        }
    }
}

/* ---- pooling and ReLU -------------------------------------------------------------- */

/* Channels of one window that are worked on side by side. */
enum { POOL_CHANNELS = 64 };

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

static inline void take_larger(int n, int32_t tap, const float *restrict x,
                               float *restrict best, int32_t *restrict where)
{
    for (int c = 0; c < n; c++) {
        const bool wins = x[c] > best[c] || x[c] != x[c];
        best[c] = wins ? x[c] : best[c];
        where[c] = wins ? tap : where[c];
    }
}

/* n channels of one window; picture points at channel 0 of them. */
static void maxpool_window(const struct sl_op_desc *d, const struct window *w, int n,
                           const float *picture, float *dst, uint8_t *winner)
{
    float best[POOL_CHANNELS];
    int32_t where[POOL_CHANNELS];
    const int first = w->y_begin * d->kernel + w->x_begin;
    const int64_t start = w->corner + (int64_t)w->y_begin * d->src_w + w->x_begin;
    for (int c = 0; c < n; c++) {
        best[c] = picture[start * d->src_c + c];
        where[c] = first;
    }
    for (int y = w->y_begin; y < w->y_end; y++) {
        for (int x = w->x_begin; x < w->x_end; x++) {
            const int64_t pixel = w->corner + (int64_t)y * d->src_w + x;
            take_larger(n, y * d->kernel + x, picture + pixel * d->src_c, best, where);
        }
    }
    memcpy(dst, best, (size_t)n * sizeof(float));
    for (int c = 0; winner != NULL && c < n; c++) {
        winner[c] = (uint8_t)where[c];
    }
}

static void maxpool(const struct sl_op_desc *d, int64_t begin, int64_t end,
                    const float *src, float *dst, uint8_t *winner)
{
    const int64_t picture = (int64_t)d->src_h * d->src_w * d->src_c;
    const int64_t windows = (int64_t)d->dst_h * d->dst_w;
    for (int64_t i = begin * windows; i < end * windows; i++) {
        const int64_t at = i % windows;
        const struct window w = window_at(d, (int)(at / d->dst_w), (int)(at % d->dst_w));
        for (int c = 0; c < d->dst_c; c += POOL_CHANNELS) {
            const int n = (int)min_count(POOL_CHANNELS, d->dst_c - c);
            maxpool_window(d, &w, n, src + i / windows * picture + c,
                           dst + i * d->dst_c + c,
                           winner == NULL ? NULL : winner + i * d->dst_c + c);
        }
    }
}

static inline void give_winner(int n, uint8_t tap, const uint8_t *restrict winner,
                               const float *restrict g, float *restrict diff)
{
    for (int c = 0; c < n; c++) {
        const float value = g[c];
        diff[c] += winner[c] == tap ? value : 0.0f;
    }
}

static void maxpool_backward(const struct sl_op_desc *d, int64_t begin, int64_t end,
                             const uint8_t *winner, const float *diff_dst, bool add,
                             float *diff_src)
{
    const int64_t picture = (int64_t)d->src_h * d->src_w * d->src_c;
    const int64_t windows = (int64_t)d->dst_h * d->dst_w;
    if (!add) {
        memset(diff_src + begin * picture, 0,
               (size_t)((end - begin) * picture) * sizeof(float));
    }
    for (int64_t i = begin * windows; i < end * windows; i++) {
        const int64_t at = i % windows;
        const struct window w = window_at(d, (int)(at / d->dst_w), (int)(at % d->dst_w));
        float *to = diff_src + i / windows * picture;
        for (int y = w.y_begin; y < w.y_end; y++) {
            for (int x = w.x_begin; x < w.x_end; x++) {
                const int64_t pixel = w.corner + (int64_t)y * d->src_w + x;
                give_winner(d->dst_c, (uint8_t)(y * d->kernel + x), winner + i * d->dst_c,
                            diff_dst + i * d->dst_c, to + pixel * d->src_c);
            }
        }
    }
}

static void avgpool(const struct sl_op_desc *d, int64_t begin, int64_t end,
                    const float *src, float *dst)
{
    const int64_t area = (int64_t)d->src_h * d->src_w;
    const int64_t c = d->src_c;
    const float share = 1.0f / (float)area;
    for (int64_t i = begin; i < end; i++) {
        float *restrict sum = dst + i * c;
        memset(sum, 0, (size_t)c * sizeof(float));
        for (int64_t pixel = 0; pixel < area; pixel++) {
            const float *restrict x = src + (i * area + pixel) * c;
            for (int64_t j = 0; j < c; j++) {
                sum[j] += x[j];
            }
        }
        for (int64_t j = 0; j < c; j++) {
            sum[j] *= share;
        }
    }
}

static void avgpool_backward(const struct sl_op_desc *d, int64_t begin, int64_t end,
                             const float *diff_dst, bool add, float *diff_src)
{
    const int64_t area = (int64_t)d->src_h * d->src_w;
    const int64_t c = d->src_c;
    const float share = 1.0f / (float)area;
    for (int64_t i = begin * area; i < end * area; i++) {
        const float *restrict g = diff_dst + i / area * c;
        float *restrict diff = diff_src + i * c;
        for (int64_t j = 0; j < c; j++) {
            diff[j] = (add ? diff[j] : 0.0f) + share * g[j];
        }
    }
}

static void relu(int64_t n, const float *x, float *y)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        y[i] = relu_of(x[i]);
    }
}

static void relu_backward(int64_t n, const float *dst, const float *g, bool add,
                          float *diff)
{
    pass_gradient(n, g, dst, add, diff);
}

/* ---- flat memory ------------------------------------------------------------------- */

static double dot(int64_t n, const float *a, const float *b)
{
    double sum = 0.0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; i++) {
        sum += (double)a[i] * (double)b[i];
    }
    return sum;
}

static double add(int64_t n, const float *restrict x, float *restrict y)
{
    double squares = 0.0;
#pragma omp simd reduction(+ : squares)
    for (int64_t i = 0; i < n; i++) {
        y[i] += x[i];
        squares += (double)x[i] * (double)x[i];
    }
    return squares;
}

static void accumulate(int64_t n, const float *restrict x, float *restrict y)
{
    for (int64_t i = 0; i < n; i++) {
        y[i] += x[i];
    }
}

static void axpy(int64_t n, float factor, const float *restrict x, float *restrict y)
{
    for (int64_t i = 0; i < n; i++) {
        y[i] += factor * x[i];
    }
}

static void combine(int64_t n, float factor_x, const float *x, float factor_y,
                    const float *y, float *out)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        out[i] = factor_x * x[i] + factor_y * y[i];
    }
}

enum { SCAN = 4096 };

/* x - x is 0 for every finite x and NaN for the others. */
static int64_t find_nonfinite(int64_t n, const float *x)
{
    for (int64_t begin = 0; begin < n; begin += SCAN) {
        const int64_t end = min_count(begin + SCAN, n);
        int32_t bad = 0;
#pragma omp simd reduction(+ : bad)
        for (int64_t i = begin; i < end; i++) {
            bad += x[i] - x[i] != 0.0f;
        }
        for (int64_t i = begin; bad > 0 && i < end; i++) {
            if (!isfinite(x[i])) {
                return i;
            }
        }
    }
    return -1;
}

static void average(int64_t n, float pace, const float *restrict online,
                    float *restrict target)
{
    for (int64_t i = 0; i < n; i++) {
        target[i] += pace * (online[i] - target[i]);
    }
}

static void sgd(int64_t n, float lr, float momentum, float weight_decay,
                const float *restrict g, float *restrict v, float *restrict p)
{
    for (int64_t i = 0; i < n; i++) {
        const float force = g[i] + weight_decay * p[i];
        v[i] = momentum * v[i] + force;
        p[i] -= lr * v[i];
    }
}

/* ---- rows of losses ---------------------------------------------------------------- */

/* e^x for x <= 0 (a little above is fine too), 0 below -87 where float32 is about to
 * leave its normal numbers; a NaN stays one. x = k ln 2 + r with |r| <= ln 2 / 2; e^r by
 * its series to r^7 (what is left out is below 6e-9 of the value); 2^k through the
 * exponent bits. */
static inline float exp_of(float x)
{
    const float round = 12582912.0f; /* 1.5 2^23: adding it leaves a whole number */
    const float shifted = x * 1.44269504f + round;
    const float k = shifted - round;
    const float r = (x - k * 0.693359375f) - k * -2.12194440e-4f; /* ln 2 in two parts */
    float e = 1.0f / 5040.0f;
    e = e * r + 1.0f / 720.0f;
    e = e * r + 1.0f / 120.0f;
    e = e * r + 1.0f / 24.0f;
    e = e * r + 1.0f / 6.0f;
    e = e * r + 0.5f;
    e = e * r + 1.0f;
    e = e * r + 1.0f;
    uint32_t bits;
    memcpy(&bits, &shifted, sizeof(bits));
    bits = (bits << 23) + 0x3f800000u; /* the low bits of `shifted` are k */
    float power;
    memcpy(&power, &bits, sizeof(power));
    return x < -87.0f ? 0.0f : e * power;
}

/* Values whose sums are kept in float before they join a double. */
enum { LOSS_BLOCK = 1024 };

/* Largest value, of LANES that are looked at side by side; a NaN is never larger. */
static float largest(int64_t n, const float *x)
{
    enum { LANES = 32 };
    float lanes[LANES];
    const int64_t whole = n / LANES * LANES;
    for (int k = 0; k < LANES; k++) {
        lanes[k] = x[0];
    }
    for (int64_t i = 0; i < whole; i += LANES) {
        for (int k = 0; k < LANES; k++) {
            lanes[k] = x[i + k] > lanes[k] ? x[i + k] : lanes[k];
        }
    }
    float top = lanes[0];
    for (int k = 1; k < LANES; k++) {
        top = lanes[k] > top ? lanes[k] : top;
    }
    for (int64_t i = whole; i < n; i++) {
        top = x[i] > top ? x[i] : top;
    }
    return top;
}

/* (x - top) / T - log_sum: log p of a row, or the exponent alone with log_sum 0 */
static inline float log_of(float x, float top, float inverse_temperature, float log_sum)
{
    return (x - top) * inverse_temperature - log_sum;
}

static struct sl_cpu_softmax softmax(int64_t n, const float *x, float temperature)
{
    const float top = largest(n, x);
    const float inverse = 1.0f / temperature;
    double total = 0.0;
    for (int64_t begin = 0; begin < n; begin += LOSS_BLOCK) {
        const int64_t end = min_count(begin + LOSS_BLOCK, n);
        float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
        for (int64_t j = begin; j < end; j++) {
            sum += exp_of(log_of(x[j], top, inverse, 0.0f));
        }
        total += (double)sum;
    }
    /* The largest entry adds exp(0) = 1, so that total is at least 1. */
    /* cppcheck-suppress invalidFunctionArg */
    const double log_sum = log(total);
    return (struct sl_cpu_softmax){
        .top = top, .inverse_temperature = inverse, .log_sum = log_sum};
}

static int64_t count_below(int64_t n, const float *x, float bound)
{
    int64_t total = 0;
    for (int64_t begin = 0; begin < n; begin += SCAN) {
        const int64_t end = min_count(begin + SCAN, n);
        int32_t below = 0;
#pragma omp simd reduction(+ : below)
        for (int64_t j = begin; j < end; j++) {
            below += x[j] < bound;
        }
        total += below;
    }
    return total;
}

/* Loops below add; a gradient that is to be written starts from 0. */
static void begin_gradient(int64_t n, bool add_to, float *diff)
{
    if (!add_to) {
        memset(diff, 0, (size_t)n * sizeof(float));
    }
}

static void softmax_gradient(int64_t n, const float *restrict x,
                             const struct sl_cpu_softmax *p, float factor, bool add_to,
                             float *restrict diff)
{
    const float top = p->top;
    const float inverse = p->inverse_temperature;
    const float log_sum = (float)p->log_sum;
    begin_gradient(n, add_to, diff);
    for (int64_t j = 0; j < n; j++) {
        diff[j] += factor * exp_of(log_of(x[j], top, inverse, log_sum));
    }
}

/* With e_j = exp((u_j - top_u) / T_u):
 * sum_j t_j (x_j - top) / T = sum_j e_j (x_j - top) / T / sum_j e_j, and log p_j adds
 * -log_sum; t alike with itself. */
static void cross_entropy(int64_t n, const float *restrict x,
                          const struct sl_cpu_softmax *p, const float *restrict u,
                          const struct sl_cpu_softmax *t, double *cross, double *self)
{
    const float top = p->top;
    const float inverse = p->inverse_temperature;
    const float teacher_top = t->top;
    const float teacher_inverse = t->inverse_temperature;
    double all = 0.0;
    double by_student = 0.0;
    double by_teacher = 0.0;
    for (int64_t begin = 0; begin < n; begin += LOSS_BLOCK) {
        const int64_t end = min_count(begin + LOSS_BLOCK, n);
        float sum = 0.0f;
        float sum_student = 0.0f;
        float sum_teacher = 0.0f;
#pragma omp simd reduction(+ : sum, sum_student, sum_teacher)
        for (int64_t j = begin; j < end; j++) {
            const float own = log_of(u[j], teacher_top, teacher_inverse, 0.0f);
            const float e = exp_of(own);
            sum += e;
            sum_student += e * log_of(x[j], top, inverse, 0.0f);
            sum_teacher += e * own;
        }
        all += (double)sum;
        by_student += (double)sum_student;
        by_teacher += (double)sum_teacher;
    }
    *cross = p->log_sum - by_student / all;
    *self = t->log_sum - by_teacher / all;
}

static void cross_gradient(int64_t n, const float *restrict x,
                           const struct sl_cpu_softmax *p, const float *restrict u,
                           const struct sl_cpu_softmax *t, float factor, bool add_to,
                           float *restrict diff)
{
    const float top = p->top;
    const float inverse = p->inverse_temperature;
    const float log_sum = (float)p->log_sum;
    const float teacher_top = t->top;
    const float teacher_inverse = t->inverse_temperature;
    const float teacher_log_sum = (float)t->log_sum;
    begin_gradient(n, add_to, diff);
    for (int64_t j = 0; j < n; j++) {
        const float p_j = exp_of(log_of(x[j], top, inverse, log_sum));
        const float t_j =
            exp_of(log_of(u[j], teacher_top, teacher_inverse, teacher_log_sum));
        diff[j] += factor * (p_j - t_j);
    }
}

static double distance(int64_t n, const float *restrict x, const float *restrict u,
                       float factor, bool add_to, float *restrict diff)
{
    double squares = 0.0;
#pragma omp simd reduction(+ : squares)
    for (int64_t j = 0; j < n; j++) {
        const double gap = (double)x[j] - (double)u[j];
        squares += gap * gap;
    }
    if (diff != NULL) {
        begin_gradient(n, add_to, diff);
        for (int64_t j = 0; j < n; j++) {
            diff[j] += factor * (x[j] - u[j]);
        }
    }
    return squares;
}

/* ---- the table --------------------------------------------------------------------- */

const struct sl_cpu_rows SL_CPU_ROWS = {
    .name = SL_CPU_ROWS_NAME,
    .norm_sums = norm_sums,
    .norm_apply = norm_apply,
    .norm_gradient_sums = norm_gradient_sums,
    .norm_gradient_apply = norm_gradient_apply,
    .maxpool = maxpool,
    .maxpool_backward = maxpool_backward,
    .avgpool = avgpool,
    .avgpool_backward = avgpool_backward,
    .relu = relu,
    .relu_backward = relu_backward,
    .dot = dot,
    .add = add,
    .accumulate = accumulate,
    .axpy = axpy,
    .combine = combine,
    .find_nonfinite = find_nonfinite,
    .average = average,
    .sgd = sgd,
    .softmax = softmax,
    .count_below = count_below,
    .softmax_gradient = softmax_gradient,
    .cross_entropy = cross_entropy,
    .cross_gradient = cross_gradient,
    .distance = distance,
};

#endif
