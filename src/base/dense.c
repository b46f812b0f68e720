/* SPDX-License-Identifier: MIT */
/*
 * Small dense matrices in double: the eigenvalues and eigenvectors of a symmetric one,
 * and linear systems with a positive definite one. For Gram matrices of some hundred or
 * thousand rows; what is large stays outside, in products that made them. Results are a
 * function of the arguments alone: no threads, no random start.
 */
#include "base/base.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* ---- eigenvalues ------------------------------------------------------------------- */

/* In four sums, which the processor works on side by side. */
static double dot(int n, const double *a, const double *b)
{
    double sum[4] = {0};
    int i = 0;
    for (; i + 4 <= n; i += 4) {
        for (int k = 0; k < 4; k++) {
            sum[k] += a[i + k] * b[i + k];
        }
    }
    for (; i < n; i++) {
        sum[0] += a[i] * b[i];
    }
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

/* A = Q T Q' by Householder reflections H_k = I - beta v v', one a column: `diagonal` (n)
 * and `beside` (n-1) are T. The v stand in the rows of A above the diagonal. */
static void tridiagonalise(int n, double *a, double *beta, double *work, double *diagonal,
                           double *beside)
{
    for (int k = 0; k + 2 < n; k++) {
        int m = n - k - 1;
        double *v = a + (int64_t)k * n + k + 1;
        double norm = sqrt(dot(m, v, v));
        beta[k] = 0.0;
        beside[k] = norm;
        if (norm > 0.0) {
            double alpha = v[0] > 0.0 ? -norm : norm; /* no cancellation */
            v[0] -= alpha;
            beta[k] = 2.0 / dot(m, v, v);
            beside[k] = alpha;
        }
        for (int i = 0; i < m; i++) { /* p = beta B v, B the rest of A */
            work[i] = beta[k] * dot(m, a + (int64_t)(k + 1 + i) * n + k + 1, v);
        }
        double half = 0.5 * beta[k] * dot(m, v, work);
        for (int i = 0; i < m; i++) {
            work[i] -= half * v[i];
        }
        for (int i = 0; i < m; i++) { /* B -= v q' + q v' */
            double *row = a + (int64_t)(k + 1 + i) * n + k + 1;
            for (int j = 0; j < m; j++) {
                row[j] -= v[i] * work[j] + work[i] * v[j];
            }
        }
    }
    for (int i = 0; i < n; i++) {
        diagonal[i] = a[(int64_t)i * n + i];
    }
    if (n > 1) {
        beside[n - 2] = a[(int64_t)(n - 2) * n + n - 1];
    }
}

/* Q' row by row: the product of the reflections, the last one first. */
static void gather_reflections(int n, const double *a, const double *beta,
                               double *vectors)
{
    memset(vectors, 0, (size_t)n * (size_t)n * sizeof *vectors);
    for (int i = 0; i < n; i++) {
        vectors[(int64_t)i * n + i] = 1.0;
    }
    for (int k = n - 3; k >= 0; k--) {
        int m = n - k - 1;
        const double *v = a + (int64_t)k * n + k + 1;
        for (int i = k + 1; i < n; i++) {
            double *row = vectors + (int64_t)i * n + k + 1;
            double scale = beta[k] * dot(m, row, v);
            for (int j = 0; j < m; j++) {
                row[j] -= scale * v[j];
            }
        }
    }
}

static void rotate_rows(int n, double c, double s, double *first, double *second)
{
    for (int j = 0; j < n; j++) {
        double x = first[j];
        double y = second[j];
        first[j] = c * x + s * y;
        second[j] = c * y - s * x;
    }
}

/* One implicit QR step with Wilkinson's shift on rows low … high of T. */
static void qr_step(int n, int low, int high, double *d, double *e, double *vectors)
{
    double delta = 0.5 * (d[high - 1] - d[high]);
    double last = e[high - 1];
    double root = hypot(delta, last);
    double shift = d[high] - last * last / (delta + (delta < 0.0 ? -root : root));
    double x = d[low] - shift;
    double z = e[low];
    for (int k = low; k < high; k++) {
        double r = hypot(x, z);
        double c = r > 0.0 ? x / r : 1.0;
        double s = r > 0.0 ? z / r : 0.0;
        double a = d[k];
        double b = e[k];
        double g = d[k + 1];
        if (k > low) {
            e[k - 1] = r;
        }
        d[k] = c * c * a + 2.0 * c * s * b + s * s * g;
        d[k + 1] = s * s * a - 2.0 * c * s * b + c * c * g;
        e[k] = c * s * (g - a) + (c * c - s * s) * b;
        x = e[k];
        if (k + 1 < high) {
            z = s * e[k + 1];
            e[k + 1] *= c;
        }
        if (vectors != NULL) {
            rotate_rows(n, c, s, vectors + (int64_t)k * n,
                        vectors + (int64_t)(k + 1) * n);
        }
    }
}

/* T becomes diagonal; false when it does not within the steps allowed. */
static bool diagonalise(int n, double *d, double *e, double *vectors)
{
    enum { STEPS_A_VALUE = 60 };
    int high = n - 1;
    for (int step = 0; high > 0; step++) {
        int low = high;
        while (low > 0 &&
               fabs(e[low - 1]) > DBL_EPSILON * (fabs(d[low - 1]) + fabs(d[low]))) {
            low--;
        }
        if (low == high) {
            high--;
            step = 0;
        } else if (step > STEPS_A_VALUE) {
            return false;
        } else {
            qr_step(n, low, high, d, e, vectors);
        }
    }
    return true;
}

static void swap_rows(int n, double *a, double *b)
{
    for (int j = 0; j < n; j++) {
        double x = a[j];
        a[j] = b[j];
        b[j] = x;
    }
}

/* A vector is known but for its sign: the largest entry becomes positive. */
static void make_positive(int n, double *row)
{
    int peak = 0;
    for (int j = 1; j < n; j++) {
        peak = fabs(row[j]) > fabs(row[peak]) ? j : peak;
    }
    double sign = row[peak] < 0.0 ? -1.0 : 1.0;
    for (int j = 0; j < n; j++) {
        row[j] *= sign;
    }
}

/* Largest first. */
static void put_in_order(int n, double *values, double *vectors)
{
    for (int i = 0; i < n; i++) {
        int most = i;
        for (int j = i + 1; j < n; j++) {
            most = values[j] > values[most] ? j : most;
        }
        if (most != i) {
            double value = values[i];
            values[i] = values[most];
            values[most] = value;
            if (vectors != NULL) {
                swap_rows(n, vectors + (int64_t)i * n, vectors + (int64_t)most * n);
            }
        }
        if (vectors != NULL) {
            make_positive(n, vectors + (int64_t)i * n);
        }
    }
}

enum sl_status sl_eigen_symmetric(struct sl_error *err, int n, double *matrix,
                                  double *values, double *vectors)
{
    enum sl_status status = SL_OK;
    double *work = NULL; /* beta, p, and T's off-diagonal */
    for (int64_t i = 0; i < (int64_t)n * n; i++) {
        if (!isfinite(matrix[i])) {
            return SL_FAIL(err, SL_ERROR_NUMBERS,
                           "eigenvalues: entry %lld of a matrix of %d rows is not finite",
                           (long long)i, n);
        }
    }
    SL_TRY(sl_heap_alloc(err, "eigenvalues", 3 * (int64_t)n, sizeof *work, &work));
    double *beside = work + 2 * (int64_t)n;
    tridiagonalise(n, matrix, work, work + n, values, beside);
    if (vectors != NULL) {
        gather_reflections(n, matrix, work, vectors);
    }
    if (!diagonalise(n, values, beside, vectors)) {
        status = SL_FAIL(err, SL_ERROR_NUMBERS,
                         "eigenvalues: no convergence for a matrix of %d rows", n);
        goto out;
    }
    put_in_order(n, values, vectors);
out:
    sl_heap_free(work);
    return status;
}

/* ---- products ---------------------------------------------------------------------- */

void sl_gram_add(int n, int count, const double *rows, int64_t stride, double *gram)
{
    for (int i = 0; i < n; i++) {
        for (int j = 0; j <= i; j++) {
            gram[(int64_t)i * n + j] += dot(count, rows + i * stride, rows + j * stride);
        }
    }
}

/* ---- positive definite systems ----------------------------------------------------- */

enum sl_status sl_cholesky_factor(struct sl_error *err, int n, double *a)
{
    for (int i = 0; i < n; i++) {
        double *row = a + (int64_t)i * n;
        for (int j = 0; j < i; j++) {
            const double *above = a + (int64_t)j * n;
            row[j] = (row[j] - dot(j, row, above)) / above[j];
        }
        double rest = row[i] - dot(i, row, row);
        if (!(rest > 0.0) || !isfinite(rest)) {
            return SL_FAIL(err, SL_ERROR_NUMBERS,
                           "a linear system of %d unknowns is not positive definite at "
                           "row %d (%g left); raise the ridge",
                           n, i, rest);
        }
        row[i] = sqrt(rest);
    }
    return SL_OK;
}

void sl_cholesky_solve(int n, const double *factor, int columns, double *b)
{
    for (int i = 0; i < n; i++) { /* L y = b */
        const double *row = factor + (int64_t)i * n;
        double *to = b + (int64_t)i * columns;
        for (int j = 0; j < i; j++) {
            const double *from = b + (int64_t)j * columns;
            for (int c = 0; c < columns; c++) {
                to[c] -= row[j] * from[c];
            }
        }
        for (int c = 0; c < columns; c++) {
            to[c] /= row[i];
        }
    }
    for (int i = n - 1; i >= 0; i--) { /* L' x = y, by columns of L' */
        const double *row = factor + (int64_t)i * n;
        double *from = b + (int64_t)i * columns;
        for (int c = 0; c < columns; c++) {
            from[c] /= row[i];
        }
        for (int j = 0; j < i; j++) {
            double *to = b + (int64_t)j * columns;
            for (int c = 0; c < columns; c++) {
                to[c] -= row[j] * from[c];
            }
        }
    }
}
