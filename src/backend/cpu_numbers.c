/* SPDX-License-Identifier: MIT */
/*
 * The numbers group of the cpu backend but for row losses: matrix product (oneDNN's),
 * row-wise operations on embeddings, the updates of flat memory, and the split of work
 * among threads that all cpu files use.
 */
#include "backend/cpu_int.h"

#include <math.h>

/* The floor under ||z||: q = z / max(||z||, 1e-12). */
static const double norm_floor = 1e-12;

/* Elements below which waking other threads costs more than it saves. */
enum { SERIAL_BELOW = 16384 };

/* ---- threads ----------------------------------------------------------------------- */

size_t sl_cpu_round(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

struct sl_cpu_range sl_cpu_part(int64_t n, int parts, int i)
{
    const int64_t each = n / parts;
    const int64_t longer = n % parts; /* parts that have one more */
    const int64_t before = i < longer ? i : longer;
    const int64_t begin = each * i + before;
    return (struct sl_cpu_range){.begin = begin, .end = begin + each + (i < longer)};
}

void sl_cpu_enter(const struct sl_cpu_state *state)
{
    sl_cpu_threads_set(state->threads);
}

/* Sum of the threads' results, in their order. */
static double join(const struct sl_cpu_state *state, const double *parts)
{
    double total = 0.0;
    for (int t = 0; t < state->threads; t++) {
        total += parts[t];
    }
    return total;
}

/* ---- matrix product ---------------------------------------------------------------- */

void sl_cpu_gemm(void *state, bool transpose_a, bool transpose_b, int64_t m, int64_t n,
                 int64_t k, float alpha, const float *a, int64_t lda, const float *b,
                 int64_t ldb, float beta, float *c, int64_t ldc)
{
    sl_cpu_enter(state);
    const dnnl_status_t status =
        dnnl_sgemm(transpose_a ? 'T' : 'N', transpose_b ? 'T' : 'N', m, n, k, alpha, a,
                   lda, b, ldb, beta, c, ldc);
    SL_ASSERT(status == dnnl_success);
}

/* ---- rows -------------------------------------------------------------------------- */

void sl_cpu_row_normalize(void *opened, int64_t rows, int64_t d, const float *z, float *q,
                          float *norms)
{
    const struct sl_cpu_state *state = opened;
#pragma omp parallel for schedule(static)                                                \
    num_threads(state->threads) if (rows * d >= SERIAL_BELOW)
    for (int64_t i = 0; i < rows; i++) {
        const float *from = z + i * d;
        const double norm = sqrt(state->rows->dot(d, from, from));
        const float inverse = (float)(1.0 / fmax(norm, norm_floor));
        norms[i] = (float)norm;
        state->rows->combine(d, inverse, from, 0.0f, from, q + i * d);
    }
}

void sl_cpu_row_normalize_backward(void *opened, int64_t rows, int64_t d, const float *q,
                                   const float *norms, const float *g, float *diff_z)
{
    const struct sl_cpu_state *state = opened;
#pragma omp parallel for schedule(static)                                                \
    num_threads(state->threads) if (rows * d >= SERIAL_BELOW)
    for (int64_t i = 0; i < rows; i++) {
        const double inverse = 1.0 / fmax((double)norms[i], norm_floor);
        const double along = state->rows->dot(d, g + i * d, q + i * d);
        state->rows->combine(d, (float)inverse, g + i * d, (float)(-along * inverse),
                             q + i * d, diff_z + i * d);
    }
}

void sl_cpu_row_dot(void *opened, int64_t rows, int64_t d, const float *a, const float *b,
                    float *out, int64_t out_stride)
{
    const struct sl_cpu_state *state = opened;
#pragma omp parallel for schedule(static)                                                \
    num_threads(state->threads) if (rows * d >= SERIAL_BELOW)
    for (int64_t i = 0; i < rows; i++) {
        out[i * out_stride] = (float)state->rows->dot(d, a + i * d, b + i * d);
    }
}

void sl_cpu_row_axpy(void *opened, int64_t rows, int64_t d, const float *coefficients,
                     int64_t stride, const float *x, float *y)
{
    const struct sl_cpu_state *state = opened;
#pragma omp parallel for schedule(static)                                                \
    num_threads(state->threads) if (rows * d >= SERIAL_BELOW)
    for (int64_t i = 0; i < rows; i++) {
        state->rows->axpy(d, coefficients[i * stride], x + i * d, y + i * d);
    }
}

/* Standard deviation of column j over the rows, biased. */
static double column_std(int64_t rows, int64_t d, const float *q, int64_t j)
{
    double mean = 0.0;
    for (int64_t i = 0; i < rows; i++) {
        mean += (double)q[i * d + j];
    }
    mean /= (double)rows;
    double squares = 0.0;
    for (int64_t i = 0; i < rows; i++) {
        const double distance = (double)q[i * d + j] - mean;
        squares += distance * distance;
    }
    return sqrt(squares / (double)rows);
}

double sl_cpu_embedding_std(void *opened, int64_t rows, int64_t d, const float *q)
{
    const struct sl_cpu_state *state = opened;
    double parts[SL_CPU_THREADS_MAX];
#pragma omp parallel for schedule(static, 1)                                             \
    num_threads(state->threads) if (rows * d >= SERIAL_BELOW)
    for (int t = 0; t < state->threads; t++) {
        const struct sl_cpu_range part = sl_cpu_part(d, state->threads, t);
        double sum = 0.0;
        for (int64_t j = part.begin; j < part.end; j++) {
            sum += column_std(rows, d, q, j);
        }
        parts[t] = sum;
    }
    return join(state, parts) / (double)d * sqrt((double)d);
}

/* ---- flat memory ------------------------------------------------------------------- */

double sl_cpu_sum_squares(void *opened, int64_t n, const float *x)
{
    const struct sl_cpu_state *state = opened;
    double parts[SL_CPU_THREADS_MAX];
#pragma omp parallel for schedule(static, 1)                                             \
    num_threads(state->threads) if (n >= SERIAL_BELOW)
    for (int t = 0; t < state->threads; t++) {
        const struct sl_cpu_range part = sl_cpu_part(n, state->threads, t);
        parts[t] =
            state->rows->dot(part.end - part.begin, x + part.begin, x + part.begin);
    }
    return join(state, parts);
}

double sl_cpu_add(void *opened, int64_t n, const float *x, float *y)
{
    const struct sl_cpu_state *state = opened;
    double parts[SL_CPU_THREADS_MAX];
#pragma omp parallel for schedule(static, 1)                                             \
    num_threads(state->threads) if (n >= SERIAL_BELOW)
    for (int t = 0; t < state->threads; t++) {
        const struct sl_cpu_range part = sl_cpu_part(n, state->threads, t);
        parts[t] =
            state->rows->add(part.end - part.begin, x + part.begin, y + part.begin);
    }
    return join(state, parts);
}

const struct sl_cpu_maps *sl_cpu_maps_of(const struct sl_cpu_state *state,
                                         const struct sl_op_desc *desc)
{
    return state->rows->maps[desc->type];
}

const void *sl_cpu_at(const struct sl_op_desc *desc, const void *map, int64_t i)
{
    return (const char *)map + i * sl_dtype_bytes(desc->type);
}

void *sl_cpu_at_out(const struct sl_op_desc *desc, void *map, int64_t i)
{
    return (char *)map + i * sl_dtype_bytes(desc->type);
}

void sl_cpu_accumulate(const struct sl_cpu_state *state, const struct sl_op_desc *desc,
                       int64_t n, const void *x, void *y)
{
#pragma omp parallel for schedule(static, 1)                                             \
    num_threads(state->threads) if (n >= SERIAL_BELOW)
    for (int t = 0; t < state->threads; t++) {
        const struct sl_cpu_range part = sl_cpu_part(n, state->threads, t);
        sl_cpu_maps_of(state, desc)
            ->accumulate(part.end - part.begin, sl_cpu_at(desc, x, part.begin),
                         sl_cpu_at_out(desc, y, part.begin));
    }
}

int64_t sl_cpu_find_nonfinite(void *opened, int64_t n, const float *x)
{
    const struct sl_cpu_state *state = opened;
    int64_t found[SL_CPU_THREADS_MAX];
#pragma omp parallel for schedule(static, 1)                                             \
    num_threads(state->threads) if (n >= SERIAL_BELOW)
    for (int t = 0; t < state->threads; t++) {
        const struct sl_cpu_range part = sl_cpu_part(n, state->threads, t);
        const int64_t at =
            state->rows->find_nonfinite(part.end - part.begin, x + part.begin);
        found[t] = at < 0 ? -1 : part.begin + at;
    }
    for (int t = 0; t < state->threads; t++) {
        if (found[t] >= 0) {
            return found[t];
        }
    }
    return -1;
}

void sl_cpu_average(void *opened, int64_t n, float m, const float *online, float *target)
{
    const struct sl_cpu_state *state = opened;
#pragma omp parallel for schedule(static, 1)                                             \
    num_threads(state->threads) if (n >= SERIAL_BELOW)
    for (int t = 0; t < state->threads; t++) {
        const struct sl_cpu_range part = sl_cpu_part(n, state->threads, t);
        state->rows->average(part.end - part.begin, 1.0f - m, online + part.begin,
                             target + part.begin);
    }
}

void sl_cpu_sgd(void *opened, int64_t n, float lr, float momentum, float weight_decay,
                const float *g, float *v, float *p)
{
    const struct sl_cpu_state *state = opened;
#pragma omp parallel for schedule(static, 1)                                             \
    num_threads(state->threads) if (n >= SERIAL_BELOW)
    for (int t = 0; t < state->threads; t++) {
        const struct sl_cpu_range part = sl_cpu_part(n, state->threads, t);
        state->rows->sgd(part.end - part.begin, lr, momentum, weight_decay,
                         g + part.begin, v + part.begin, p + part.begin);
    }
}

/* Parts of a sum whose order must not depend on the number of threads. */
enum { FIXED_PARTS = 64 };

void sl_cpu_lars_norms(void *opened, int64_t n, float weight_decay, const float *g,
                       const float *p, double *squares_p, double *squares_g)
{
    const struct sl_cpu_state *state = opened;
    double of_p[FIXED_PARTS];
    double of_g[FIXED_PARTS];
#pragma omp parallel for schedule(static)                                                \
    num_threads(state->threads) if (n >= SERIAL_BELOW)
    for (int t = 0; t < FIXED_PARTS; t++) {
        const struct sl_cpu_range part = sl_cpu_part(n, FIXED_PARTS, t);
        state->rows->lars_norms(part.end - part.begin, weight_decay, g + part.begin,
                                p + part.begin, &of_p[t], &of_g[t]);
    }
    *squares_p = 0.0;
    *squares_g = 0.0;
    for (int t = 0; t < FIXED_PARTS; t++) {
        *squares_p += of_p[t];
        *squares_g += of_g[t];
    }
}

void sl_cpu_lars(void *opened, int64_t n, float lr, float momentum, float weight_decay,
                 float ratio, const float *g, float *v, float *p)
{
    const struct sl_cpu_state *state = opened;
#pragma omp parallel for schedule(static, 1)                                             \
    num_threads(state->threads) if (n >= SERIAL_BELOW)
    for (int t = 0; t < state->threads; t++) {
        const struct sl_cpu_range part = sl_cpu_part(n, state->threads, t);
        state->rows->lars(part.end - part.begin, lr, momentum, weight_decay, ratio,
                          g + part.begin, v + part.begin, p + part.begin);
    }
}

void sl_cpu_adamw(void *opened, int64_t n, const struct sl_adamw *rule, const float *g,
                  float *m, float *v, float *p)
{
    const struct sl_cpu_state *state = opened;
    const double unbias1 = 1.0 - pow(rule->beta1, (double)rule->step);
    const double unbias2 = 1.0 - pow(rule->beta2, (double)rule->step);
    const struct sl_cpu_adamw factors = {
        .keep = (float)(1.0 - rule->lr * rule->weight_decay),
        .pace1 = (float)(1.0 - rule->beta1),
        .beta2 = (float)rule->beta2,
        .pace2 = (float)(1.0 - rule->beta2),
        .rate = (float)(rule->lr / unbias1),
        .root = (float)sqrt(unbias2),
        .epsilon = (float)rule->epsilon,
    };
#pragma omp parallel for schedule(static, 1)                                             \
    num_threads(state->threads) if (n >= SERIAL_BELOW)
    for (int t = 0; t < state->threads; t++) {
        const struct sl_cpu_range part = sl_cpu_part(n, state->threads, t);
        state->rows->adamw(part.end - part.begin, &factors, g + part.begin,
                           m + part.begin, v + part.begin, p + part.begin);
    }
}
