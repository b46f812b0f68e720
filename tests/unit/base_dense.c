/* SPDX-License-Identifier: MIT */
/*
 * Small dense matrices: eigenvalues and vectors by what they are defined by (A v = value
 * v, unit length, right angles, order, the sum of values = the trace), on random,
 * degenerate and graded matrices; positive definite systems by their residual; what must
 * be refused.
 */
#include "base/base.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { MOST = 40 };

static double uniform(struct sl_rng *rng)
{
    return sl_rng_between(rng, -1.0, 1.0);
}

/* X X' of X (n, rank): symmetric, of that rank. */
static void gram(int n, int rank, uint32_t key, double *a)
{
    struct sl_rng rng = sl_rng_at(3, SL_RNG_TEST, key, 0);
    double x[MOST * MOST];
    for (int i = 0; i < n * rank; i++) {
        x[i] = uniform(&rng);
    }
    for (int i = 0; i < n; i++) {
        for (int j = 0; j < n; j++) {
            a[i * n + j] = 0.0;
            for (int k = 0; k < rank; k++) {
                a[i * n + j] += x[i * rank + k] * x[j * rank + k];
            }
        }
    }
}

static void check_eigen(int n, const double *a)
{
    struct sl_error err = {0};
    double copy[MOST * MOST];
    double values[MOST];
    double alone[MOST];
    double vectors[MOST * MOST];
    double trace = 0.0;
    double size = 1e-300;
    memcpy(copy, a, sizeof *a * (size_t)(n * n));
    assert_int_equal(sl_eigen_symmetric(&err, n, copy, values, vectors), SL_OK);
    memcpy(copy, a, sizeof *a * (size_t)(n * n));
    assert_int_equal(sl_eigen_symmetric(&err, n, copy, alone, NULL), SL_OK);
    for (int i = 0; i < n * n; i++) {
        size = fmax(size, fabs(a[i]));
    }
    for (int i = 0; i < n; i++) {
        const double *v = vectors + i * n;
        assert_true(values[i] == alone[i]);
        assert_true(i == 0 || values[i] <= values[i - 1]);
        trace += a[i * n + i] - values[i];
        double peak = v[0];
        for (int row = 0; row < n; row++) {
            double product = 0.0;
            for (int j = 0; j < n; j++) {
                product += a[row * n + j] * v[j];
            }
            assert_true(fabs(product - values[i] * v[row]) < 1e-13 * size * n);
            peak = fabs(v[row]) > fabs(peak) ? v[row] : peak;
        }
        assert_true(peak > 0.0);
        for (int k = 0; k <= i; k++) {
            double product = 0.0;
            for (int j = 0; j < n; j++) {
                product += v[j] * vectors[k * n + j];
            }
            assert_true(fabs(product - (k == i)) < 1e-13 * n);
        }
    }
    assert_true(fabs(trace) < 1e-13 * size * n * n);
}

static void test_random(void **state)
{
    (void)state;
    static const int sizes[] = {1, 2, 3, 4, 7, 16, MOST};
    for (int i = 0; i < SL_COUNT(sizes); i++) {
        double a[MOST * MOST];
        struct sl_rng rng = sl_rng_at(4, SL_RNG_TEST, (uint32_t)i, 0);
        for (int row = 0; row < sizes[i]; row++) {
            for (int j = 0; j <= row; j++) {
                a[row * sizes[i] + j] = a[j * sizes[i] + row] = uniform(&rng);
            }
        }
        check_eigen(sizes[i], a);
    }
}

/* Values that are equal, zero, or of very different size. */
static void test_degenerate(void **state)
{
    (void)state;
    double a[MOST * MOST] = {0};
    check_eigen(MOST, a);
    for (int i = 0; i < MOST; i++) {
        a[i * MOST + i] = 1.0;
    }
    check_eigen(MOST, a);
    for (int i = 0; i < MOST; i++) {
        a[i * MOST + i] = pow(10.0, -i);
    }
    check_eigen(MOST, a);
    gram(MOST, 1, 1, a);
    check_eigen(MOST, a);
    gram(MOST, 5, 2, a);
    check_eigen(MOST, a);
}

/* A matrix whose values are known: 2 on the diagonal, -1 beside it. */
static void test_known(void **state)
{
    (void)state;
    struct sl_error err = {0};
    double a[MOST * MOST] = {0};
    double values[MOST];
    for (int i = 0; i < MOST; i++) {
        a[i * MOST + i] = 2.0;
        if (i > 0) {
            a[i * MOST + i - 1] = a[(i - 1) * MOST + i] = -1.0;
        }
    }
    assert_int_equal(sl_eigen_symmetric(&err, MOST, a, values, NULL), SL_OK);
    for (int i = 0; i < MOST; i++) {
        double s = sin((MOST - i) * acos(-1.0) / (2.0 * (MOST + 1)));
        assert_true(fabs(values[i] - 4.0 * s * s) < 1e-13);
    }
}

static void test_not_finite(void **state)
{
    (void)state;
    struct sl_error err = {0};
    double a[4] = {1.0, NAN, NAN, 1.0};
    double values[2];
    assert_int_equal(sl_eigen_symmetric(&err, 2, a, values, NULL), SL_ERROR_NUMBERS);
}

static void test_solve(void **state)
{
    (void)state;
    enum { COLUMNS = 3 };
    struct sl_error err = {0};
    struct sl_rng rng = sl_rng_at(5, SL_RNG_TEST, 0, 0);
    double a[MOST * MOST];
    double factor[MOST * MOST];
    double b[MOST * COLUMNS];
    double x[MOST * COLUMNS];
    gram(MOST, MOST, 3, a);
    for (int i = 0; i < MOST; i++) {
        a[i * MOST + i] += 0.1;
        for (int j = i + 1; j < MOST; j++) {
            factor[i * MOST + j] = NAN; /* the upper triangle is not looked at */
        }
        for (int j = 0; j <= i; j++) {
            factor[i * MOST + j] = a[i * MOST + j];
        }
    }
    for (int i = 0; i < MOST * COLUMNS; i++) {
        x[i] = b[i] = uniform(&rng);
    }
    assert_int_equal(sl_cholesky_factor(&err, MOST, factor), SL_OK);
    sl_cholesky_solve(MOST, factor, COLUMNS, x);
    for (int i = 0; i < MOST; i++) {
        for (int c = 0; c < COLUMNS; c++) {
            double product = 0.0;
            for (int j = 0; j < MOST; j++) {
                product += a[i * MOST + j] * x[j * COLUMNS + c];
            }
            assert_true(fabs(product - b[i * COLUMNS + c]) < 1e-12);
        }
    }
    double singular[4] = {1.0, 0.0, 1.0, 1.0};
    assert_int_equal(sl_cholesky_factor(&err, 2, singular), SL_ERROR_NUMBERS);
    assert_non_null(strstr(err.text, "not positive definite"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random), cmocka_unit_test(test_degenerate),
        cmocka_unit_test(test_known),  cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_solve),
    };
    return cmocka_run_group_tests_name("dense", tests, NULL, NULL);
}
