/* SPDX-License-Identifier: MIT */
/*
 * Places on the plane of principal components, held against points whose components are
 * known by construction; and who is most alike to whom.
 */
#include "eval/eval.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { N = 40, D = 5 };

/* Rows mean + a_i u + b_i v with u, v at right angles, and of unit length; a, b centred
 * and uncorrelated, a the longer. */
static void make(float *rows, double *a, double *b, double longer, double shorter)
{
    static const double u[D] = {0.6, 0.0, 0.8, 0.0, 0.0},
                        v[D] = {0.0, 1.0, 0.0, 0.0, 0.0};
    static const double mean[D] = {3, -2, 1, 7, 0.5};
    for (int i = 0; i < N; i++) {
        double turn = 2.0 * 3.14159265358979 * i / N;
        a[i] = longer * cos(turn);
        b[i] = shorter * sin(turn);
        for (int c = 0; c < D; c++) {
            rows[i * D + c] = (float)(mean[c] + a[i] * u[c] + b[i] * v[c]);
        }
    }
}

/* Equal up to one sign for all. */
static void expect_axis(const double *seen, const double *wanted, double offset)
{
    double sum = 0.0;
    for (int i = 0; i < N; i++) {
        sum += seen[i] * wanted[i];
    }
    double sign = sum < 0.0 ? -1.0 : 1.0;
    for (int i = 0; i < N; i++) {
        assert_true(fabs(sign * seen[i] - wanted[i] - offset) < 1e-4);
    }
}

static void test_places(void **state)
{
    float rows[N * D];
    double a[N], b[N], x[N], y[N], share[2];
    struct sl_error err = {0};
    (void)state;
    make(rows, a, b, 4.0, 1.5);
    assert_int_equal(sl_project(&err, N, D, rows, false, x, y, share), SL_OK);
    expect_axis(x, a, 0.0);
    expect_axis(y, b, 0.0);
    assert_true(fabs(share[0] - 16.0 / (16.0 + 2.25)) < 1e-5);
    assert_true(fabs(share[0] + share[1] - 1.0) < 1e-5);
    /* With the mean: shifted by its part along each axis. */
    assert_int_equal(sl_project(&err, N, D, rows, true, x, y, share), SL_OK);
    expect_axis(x, a, 3 * 0.6 + 1 * 0.8);
    expect_axis(y, b, -2);
}

/* Components of nearly the same spread are told apart as well as any others. */
static void test_close_components(void **state)
{
    float rows[N * D];
    double a[N], b[N], x[N], y[N], share[2];
    struct sl_error err = {0};
    (void)state;
    make(rows, a, b, 4.0, 3.99);
    assert_int_equal(sl_project(&err, N, D, rows, false, x, y, share), SL_OK);
    expect_axis(x, a, 0.0);
    expect_axis(y, b, 0.0);
    assert_true(share[0] > share[1] && fabs(share[0] + share[1] - 1.0) < 1e-5);
    /* A single row is its own mean. */
    assert_int_equal(sl_project(&err, 1, D, rows, true, x, y, share), SL_OK);
    assert_true(x[0] == 0.0 && y[0] == 0.0 && share[0] == 0.0);
}

static void test_degenerate(void **state)
{
    float rows[N * D] = {0};
    double x[N], y[N], share[2];
    struct sl_error err = {0};
    (void)state;
    assert_int_equal(sl_project(&err, N, D, rows, false, x, y, share), SL_OK);
    assert_true(share[0] == 0.0 && x[N - 1] == 0.0 && y[0] == 0.0);
    for (int i = 0; i < N; i++) { /* one direction only */
        rows[i * D] = (float)i;
    }
    assert_int_equal(sl_project(&err, N, D, rows, false, x, y, share), SL_OK);
    assert_true(fabs(share[0] - 1.0) < 1e-9 && share[1] < 1e-9);
    assert_true(fabs(fabs(x[0] - x[N - 1]) - (N - 1)) < 1e-6);
    for (int i = 0; i < N; i++) {
        assert_true(fabs(y[i]) < 1e-3);
    }
    rows[7] = NAN;
    assert_int_equal(sl_project(&err, N, D, rows, false, x, y, share), SL_ERROR_NUMBERS);
}

static void test_nearest(void **state)
{
    float values[] = {2, 0, 0, 3, 1, 1, 5, 0.1F, 0, 0, 4, 4};
    struct sl_features features = {.n = 6, .d = 2, .values = values};
    int64_t rows[5];
    double cosines[5];
    (void)state;
    sl_features_normalise(&features);
    assert_int_equal(sl_features_nearest(&features, 0, 4, rows, cosines), 4);
    assert_int_equal(rows[0], 3);
    assert_int_equal(rows[1], 2); /* of equals (2 and 5) the first */
    assert_int_equal(rows[2], 5);
    assert_int_equal(rows[3], 1);
    assert_true(fabs(cosines[1] - sqrt(0.5)) < 1e-6 && cosines[3] == 0.0);
    assert_int_equal(sl_features_nearest(&features, 4, 5, rows, cosines), 5);
    assert_int_equal(rows[0], 0); /* a row of zeros is alike to none */
    features.n = 1;
    assert_int_equal(sl_features_nearest(&features, 0, 4, rows, cosines), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_close_components),
        cmocka_unit_test(test_degenerate),
        cmocka_unit_test(test_nearest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
