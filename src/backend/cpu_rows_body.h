/* SPDX-License-Identifier: MIT */
/*
 * The loops over embeddings, losses and flat memory, written once in plain C and included
 * by cpu_rows_base.c, cpu_rows_avx2.c and cpu_rows_avx512.c, which name the table
 * (SL_CPU_ROWS, SL_CPU_ROWS_NAME) and the loops over feature maps that go with it
 * (SL_CPU_ROWS_MAPS_F32, SL_CPU_ROWS_MAPS_BF16; cpu_maps_body.h), and are compiled with
 * different flags. What each loop computes is said in cpu_rows_int.h. Nothing else may
 * include this file.
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

static void lars_norms(int64_t n, float weight_decay, const float *g, const float *p,
                       double *squares_p, double *squares_g)
{
    double of_p = 0.0;
    double of_g = 0.0;
#pragma omp simd reduction(+ : of_p, of_g)
    for (int64_t i = 0; i < n; i++) {
        const float force = g[i] + weight_decay * p[i];
        of_p += (double)p[i] * (double)p[i];
        of_g += (double)force * (double)force;
    }
    *squares_p = of_p;
    *squares_g = of_g;
}

static void lars(int64_t n, float lr, float momentum, float weight_decay, float ratio,
                 const float *restrict g, float *restrict v, float *restrict p)
{
    for (int64_t i = 0; i < n; i++) {
        const float force = g[i] + weight_decay * p[i];
        v[i] = momentum * v[i] + ratio * force;
        p[i] -= lr * v[i];
    }
}

static void adamw(int64_t n, const struct sl_cpu_adamw *rule, const float *restrict g,
                  float *restrict m, float *restrict v, float *restrict p)
{
    const struct sl_cpu_adamw r = *rule;
    for (int64_t i = 0; i < n; i++) {
        m[i] += r.pace1 * (g[i] - m[i]);
        v[i] = r.beta2 * v[i] + r.pace2 * g[i] * g[i];
        p[i] = r.keep * p[i] - r.rate * m[i] / (sqrtf(v[i]) / r.root + r.epsilon);
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
    /* In double: a distillation loss is the difference of two such sums' logarithms,
     * times the square of a temperature. */
    double total = 0.0;
#pragma omp simd reduction(+ : total)
    for (int64_t j = 0; j < n; j++) {
        total += (double)exp_of(log_of(x[j], top, inverse, 0.0f));
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
    .maps = {[SL_F32] = &SL_CPU_ROWS_MAPS_F32, [SL_BF16] = &SL_CPU_ROWS_MAPS_BF16},
    .dot = dot,
    .add = add,
    .accumulate = accumulate,
    .axpy = axpy,
    .combine = combine,
    .find_nonfinite = find_nonfinite,
    .average = average,
    .sgd = sgd,
    .lars_norms = lars_norms,
    .lars = lars,
    .adamw = adamw,
    .softmax = softmax,
    .count_below = count_below,
    .softmax_gradient = softmax_gradient,
    .cross_entropy = cross_entropy,
    .cross_gradient = cross_gradient,
    .distance = distance,
};

#endif
