/* SPDX-License-Identifier: MIT */
/*
 * The numbers group of the reference backend: matrix product, row-wise operations on
 * embeddings, and the updates of flat memory. Sums that end in one number are in double;
 * the matrix product adds in `real`, over k ascending, whatever m and n are.
 */
#include "backend/ref_int.h"

#include <math.h>

/* The floor under ||z||: q = z / max(||z||, 1e-12), as PyTorch's normalize has it. */
static const double norm_floor = 1e-12;

/* ---- matrix product ---------------------------------------------------------------- */

enum { GEMM_COLUMNS = 8 }; /* sums carried side by side; each keeps its own order */

struct matrix {
    const real *data;
    int64_t row_step, column_step;
};

static struct matrix matrix_of(const real *data, int64_t ld, bool transposed)
{
    return (struct matrix){
        .data = data,
        .row_step = transposed ? 1 : ld,
        .column_step = transposed ? ld : 1,
    };
}

/* sums[j] = sum over p of a(row, p) b(p, column + j) */
static void gemm_block(const struct matrix *a, const struct matrix *b, int64_t row,
                       int64_t column, int64_t columns, int64_t k, real *sums)
{
    for (int64_t j = 0; j < columns; j++) {
        sums[j] = 0;
    }
    const real *x = a->data + row * a->row_step;
    for (int64_t p = 0; p < k; p++) {
        const real *y = b->data + p * b->row_step + column * b->column_step;
        const real factor = x[p * a->column_step];
        for (int64_t j = 0; j < columns; j++) {
            sums[j] += factor * y[j * b->column_step];
        }
    }
}

void SL_REF(gemm)(void *state SL_UNUSED, bool transpose_a, bool transpose_b, int64_t m,
                  int64_t n, int64_t k, float alpha, const float *a, int64_t lda,
                  const float *b, int64_t ldb, float beta, float *c, int64_t ldc)
{
    const struct matrix left = matrix_of(ref_in(a), lda, transpose_a);
    const struct matrix right = matrix_of(ref_in(b), ldb, transpose_b);
    for (int64_t i = 0; i < m; i++) {
        real *row = ref_out(c) + i * ldc;
        for (int64_t j = 0; j < n; j += GEMM_COLUMNS) {
            int64_t columns = n - j < GEMM_COLUMNS ? n - j : GEMM_COLUMNS;
            real sums[GEMM_COLUMNS];
            gemm_block(&left, &right, i, j, columns, k, sums);
            for (int64_t jj = 0; jj < columns; jj++) {
                real product = (real)alpha * sums[jj];
                row[j + jj] = beta != 0.0f ? (real)beta * row[j + jj] + product : product;
            }
        }
    }
}

/* ---- rows -------------------------------------------------------------------------- */

static double dot(int64_t d, const real *a, const real *b)
{
    double sum = 0.0;
    for (int64_t j = 0; j < d; j++) {
        sum += (double)a[j] * (double)b[j];
    }
    return sum;
}

void SL_REF(row_normalize)(void *state SL_UNUSED, int64_t rows, int64_t d, const float *z,
                           float *q, float *norms)
{
    for (int64_t i = 0; i < rows; i++) {
        const real *from = ref_in(z) + i * d;
        real *to = ref_out(q) + i * d;
        double norm = sqrt(dot(d, from, from));
        ref_out(norms)[i] = (real)norm;
        for (int64_t j = 0; j < d; j++) {
            to[j] = (real)((double)from[j] / fmax(norm, norm_floor));
        }
    }
}

void SL_REF(row_normalize_backward)(void *state SL_UNUSED, int64_t rows, int64_t d,
                                    const float *q, const float *norms, const float *g,
                                    float *diff_z)
{
    for (int64_t i = 0; i < rows; i++) {
        const real *unit = ref_in(q) + i * d;
        const real *diff_unit = ref_in(g) + i * d;
        real *diff = ref_out(diff_z) + i * d;
        double norm = fmax((double)ref_in(norms)[i], norm_floor);
        double along = dot(d, diff_unit, unit);
        for (int64_t j = 0; j < d; j++) {
            diff[j] = (real)(((double)diff_unit[j] - along * (double)unit[j]) / norm);
        }
    }
}

void SL_REF(row_dot)(void *state SL_UNUSED, int64_t rows, int64_t d, const float *a,
                     const float *b, float *out, int64_t out_stride)
{
    for (int64_t i = 0; i < rows; i++) {
        ref_out(out)[i * out_stride] = (real)dot(d, ref_in(a) + i * d, ref_in(b) + i * d);
    }
}

void SL_REF(row_axpy)(void *state SL_UNUSED, int64_t rows, int64_t d,
                      const float *coefficients, int64_t stride, const float *x, float *y)
{
    for (int64_t i = 0; i < rows; i++) {
        const real factor = ref_in(coefficients)[i * stride];
        const real *from = ref_in(x) + i * d;
        real *to = ref_out(y) + i * d;
        for (int64_t j = 0; j < d; j++) {
            to[j] += factor * from[j];
        }
    }
}

/* Standard deviation of column j over the rows, biased. */
static double column_std(int64_t rows, int64_t d, const real *q, int64_t j)
{
    double mean = 0.0;
    for (int64_t i = 0; i < rows; i++) {
        mean += (double)q[i * d + j];
    }
    mean /= (double)rows;
    double squares = 0.0;
    for (int64_t i = 0; i < rows; i++) {
        double distance = (double)q[i * d + j] - mean;
        squares += distance * distance;
    }
    return sqrt(squares / (double)rows);
}

double SL_REF(embedding_std)(void *state SL_UNUSED, int64_t rows, int64_t d,
                             const float *q)
{
    double sum = 0.0;
    for (int64_t j = 0; j < d; j++) {
        sum += column_std(rows, d, ref_in(q), j);
    }
    return sum / (double)d * sqrt((double)d);
}

/* ---- flat memory ------------------------------------------------------------------- */

double SL_REF(sum_squares)(void *state SL_UNUSED, int64_t n, const float *x)
{
    return dot(n, ref_in(x), ref_in(x));
}

double SL_REF(add)(void *state SL_UNUSED, int64_t n, const float *x, float *y)
{
    const real *from = ref_in(x);
    real *to = ref_out(y);
    double squares = 0.0;
    for (int64_t i = 0; i < n; i++) {
        to[i] += from[i];
        squares += (double)from[i] * (double)from[i];
    }
    return squares;
}

int64_t SL_REF(find_nonfinite)(void *state SL_UNUSED, int64_t n, const float *x)
{
    const real *values = ref_in(x);
    for (int64_t i = 0; i < n; i++) {
        if (!isfinite(values[i])) {
            return i;
        }
    }
    return -1;
}

void SL_REF(average)(void *state SL_UNUSED, int64_t n, float m, const float *online,
                     float *target)
{
    const real *from = ref_in(online);
    real *to = ref_out(target);
    const real pace = (real)1 - (real)m;
    for (int64_t i = 0; i < n; i++) {
        to[i] += pace * (from[i] - to[i]);
    }
}

void SL_REF(sgd)(void *state SL_UNUSED, int64_t n, float lr, float momentum,
                 float weight_decay, const float *g, float *v, float *p)
{
    const real *gradient = ref_in(g);
    real *velocity = ref_out(v);
    real *parameter = ref_out(p);
    for (int64_t i = 0; i < n; i++) {
        real force = gradient[i] + (real)weight_decay * parameter[i];
        velocity[i] = (real)momentum * velocity[i] + force;
        parameter[i] -= (real)lr * velocity[i];
    }
}

void SL_REF(lars_norms)(void *state SL_UNUSED, int64_t n, float weight_decay,
                        const float *g, const float *p, double *squares_p,
                        double *squares_g)
{
    const real *gradient = ref_in(g);
    const real *parameter = ref_in(p);
    *squares_p = dot(n, parameter, parameter);
    *squares_g = 0.0;
    for (int64_t i = 0; i < n; i++) {
        real force = gradient[i] + (real)weight_decay * parameter[i];
        *squares_g += (double)force * (double)force;
    }
}

void SL_REF(lars)(void *state SL_UNUSED, int64_t n, float lr, float momentum,
                  float weight_decay, float ratio, const float *g, float *v, float *p)
{
    const real *gradient = ref_in(g);
    real *velocity = ref_out(v);
    real *parameter = ref_out(p);
    for (int64_t i = 0; i < n; i++) {
        real force = gradient[i] + (real)weight_decay * parameter[i];
        velocity[i] = (real)momentum * velocity[i] + (real)ratio * force;
        parameter[i] -= (real)lr * velocity[i];
    }
}

void SL_REF(adamw)(void *state SL_UNUSED, int64_t n, const struct sl_adamw *rule,
                   const float *g, float *m, float *v, float *p)
{
    const real *gradient = ref_in(g);
    real *mean = ref_out(m);
    real *square = ref_out(v);
    real *parameter = ref_out(p);
    const double unbias1 = 1.0 - pow(rule->beta1, (double)rule->step);
    const double unbias2 = 1.0 - pow(rule->beta2, (double)rule->step);
    const real pace1 = (real)(1.0 - rule->beta1);
    const real pace2 = (real)(1.0 - rule->beta2);
    const real keep = (real)(1.0 - rule->lr * rule->weight_decay);
    const real rate = (real)(rule->lr / unbias1);
    const real root = (real)sqrt(unbias2);
    for (int64_t i = 0; i < n; i++) {
        parameter[i] *= keep;
        mean[i] += pace1 * (gradient[i] - mean[i]);
        square[i] = (real)rule->beta2 * square[i] + pace2 * gradient[i] * gradient[i];
        real size = (real)sqrt((double)square[i]) / root + (real)rule->epsilon;
        parameter[i] -= rate * mean[i] / size;
    }
}
