/* SPDX-License-Identifier: MIT */
/*
 * The numbers group and the row losses of the cpu backend against ref's, once for each
 * set of row loops this machine can run, each with another number of threads, over
 * lengths that fill vectors and lengths that do not. Tolerances as in parity.c:
 * max|a - b| <= tolerance max|b|.
 */
#include <dlfcn.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "backend/cpu_int.h"

static const double product_tolerance = 5e-6; /* long sums in float32, in another order */
static const double row_tolerance = 1e-6;
static const double loss_tolerance = 1e-5; /* of gradients; values are in double */
static const double value_tolerance = 1e-6;

/* ---- devices and numbers ----------------------------------------------------------- */

enum { DEVICES_MAX = 8 };
static struct sl_device ref;
static struct sl_device cpus[DEVICES_MAX];
static int n_cpus;

static int open_devices(void **state SL_UNUSED)
{
    struct sl_error err = {0};
    assert_int_equal(sl_device_open(&err, "ref", NULL, &ref), SL_OK);
    for (n_cpus = 0; sl_cpu_rows_at(n_cpus) != NULL; n_cpus++) {
        const struct sl_backend_options options = {.threads = n_cpus + 1};
        assert_int_equal(sl_device_open(&err, "cpu", &options, &cpus[n_cpus]), SL_OK);
        ((struct sl_cpu_state *)cpus[n_cpus].state)->rows = sl_cpu_rows_at(n_cpus);
    }
    return 0;
}

static int close_devices(void **state SL_UNUSED)
{
    sl_device_close(&ref);
    for (int i = 0; i < n_cpus; i++) {
        sl_device_close(&cpus[i]);
    }
    return 0;
}

static float *floats(int64_t count)
{
    struct sl_error err = {0};
    float *memory = NULL;
    assert_int_equal(
        sl_heap_alloc(&err, "a test's numbers", count, sizeof(*memory), &memory), SL_OK);
    return memory;
}

static float *random_floats(int64_t count, uint32_t draw, float scale)
{
    float *memory = floats(count);
    sl_rng_fill_normal(2026, SL_RNG_TEST, draw, scale, count, memory);
    return memory;
}

static float *copy_of(const float *from, int64_t count)
{
    float *memory = floats(count);
    memcpy(memory, from, (size_t)count * sizeof(float));
    return memory;
}

static void check_close(const char *what, int64_t n, const float *a, const float *b,
                        double tolerance)
{
    double distance = 0.0;
    double size = 0.0;
    for (int64_t i = 0; i < n; i++) {
        assert_true(isfinite(a[i]) && isfinite(b[i]));
        distance = fmax(distance, fabs((double)a[i] - (double)b[i]));
        size = fmax(size, fabs((double)b[i]));
    }
    if (distance > tolerance * size) {
        fail_msg("%s: differs by %g of %g", what, distance, size);
    }
}

static void check_number(const char *what, double a, double b, double tolerance)
{
    if (!(fabs(a - b) <= tolerance * fabs(b))) {
        fail_msg("%s: %.12g, ref has %.12g", what, a, b);
    }
}

/* ---- matrix product ---------------------------------------------------------------- */

struct product {
    bool transpose_a, transpose_b;
    int64_t m, n, k;
    float alpha, beta;
};

static void check_product(const struct product *p)
{
    /* rows are longer than they need be: leading dimensions are not the sizes */
    const int64_t lda = (p->transpose_a ? p->m : p->k) + 3;
    const int64_t ldb = (p->transpose_b ? p->k : p->n) + 1;
    const int64_t ldc = p->n + 2;
    const int64_t count = p->m * ldc;
    float *a = random_floats((p->transpose_a ? p->k : p->m) * lda, 1, 1.0f);
    float *b = random_floats((p->transpose_b ? p->n : p->k) * ldb, 2, 1.0f);
    float *start = random_floats(count, 3, 1.0f);
    for (int64_t i = 0; p->beta == 0.0f && i < count; i++) {
        start[i] = i % ldc < p->n ? NAN : 0.0f; /* beta 0 never reads C */
    }
    float *expected = copy_of(start, count);
    ref.table->gemm(ref.state, p->transpose_a, p->transpose_b, p->m, p->n, p->k, p->alpha,
                    a, lda, b, ldb, p->beta, expected, ldc);
    for (int i = 0; i < n_cpus; i++) {
        float *c = copy_of(start, count);
        cpus[i].table->gemm(cpus[i].state, p->transpose_a, p->transpose_b, p->m, p->n,
                            p->k, p->alpha, a, lda, b, ldb, p->beta, c, ldc);
        check_close("gemm", count, c, expected, product_tolerance);
        sl_heap_free(c);
    }
    sl_heap_free(a);
    sl_heap_free(b);
    sl_heap_free(start);
    sl_heap_free(expected);
}

static void test_gemm(void **state SL_UNUSED)
{
    const struct product products[] = {
        {false, false, 5, 7, 3, 1.0f, 0.0f},     {false, true, 16, 513, 128, 1.0f, 0.0f},
        {true, false, 33, 20, 64, 0.5f, 1.0f},   {true, true, 9, 8, 17, -1.0f, 0.25f},
        {false, true, 1, 1, 300, 1.0f, 0.0f},    {false, false, 64, 64, 1, 2.0f, 1.0f},
        {false, false, 32, 128, 700, 1.0f, 1.0f}};
    for (int i = 0; i < SL_COUNT(products); i++) {
        check_product(&products[i]);
    }
}

/* ---- rows -------------------------------------------------------------------------- */

static void check_rows(int64_t rows, int64_t d)
{
    const int64_t count = rows * d;
    float *z = random_floats(count, 4, 3.0f);
    float *g = random_floats(count, 5, 1.0f);
    memset(z, 0, (size_t)d * sizeof(float)); /* the first row has no length */
    float *q = floats(count);
    float *norms = floats(rows);
    float *diff = floats(count);
    float *dots = floats(rows * 3);
    float *y = copy_of(g, count);
    ref.table->row_normalize(ref.state, rows, d, z, q, norms);
    ref.table->row_normalize_backward(ref.state, rows, d, q, norms, g, diff);
    ref.table->row_dot(ref.state, rows, d, z, g, dots, 3);
    ref.table->row_axpy(ref.state, rows, d, dots, 3, z, y);
    for (int i = 0; i < n_cpus; i++) {
        const struct sl_device *cpu = &cpus[i];
        float *own = floats(count);
        float *own_norms = floats(rows);
        float *own_dots = floats(rows * 3);
        cpu->table->row_normalize(cpu->state, rows, d, z, own, own_norms);
        check_close("row_normalize", count, own, q, row_tolerance);
        check_close("norms", rows, own_norms, norms, row_tolerance);
        cpu->table->row_normalize_backward(cpu->state, rows, d, q, norms, g, own);
        check_close("backward, row 0", d, own, diff, row_tolerance);
        check_close("backward", count - d, own + d, diff + d, row_tolerance);
        cpu->table->row_dot(cpu->state, rows, d, z, g, own_dots, 3);
        check_close("row_dot", rows * 3, own_dots, dots, row_tolerance);
        memcpy(own, g, (size_t)count * sizeof(float));
        cpu->table->row_axpy(cpu->state, rows, d, dots, 3, z, own);
        check_close("row_axpy", count, own, y, row_tolerance);
        check_number("embedding_std", cpu->table->embedding_std(cpu->state, rows, d, q),
                     ref.table->embedding_std(ref.state, rows, d, q), 1e-9);
        sl_heap_free(own);
        sl_heap_free(own_norms);
        sl_heap_free(own_dots);
    }
    float *const all[] = {z, g, q, norms, diff, dots, y};
    for (int i = 0; i < SL_COUNT(all); i++) {
        sl_heap_free(all[i]);
    }
}

/* Whoever uses the library may have OpenMP threads of his own: their number stays. It is
 * asked of the run-time library that oneDNN brought with it, if there is one. */
static void test_openmp_keeps_its_threads(void **state SL_UNUSED)
{
    int (*threads)(void) = NULL;
    void (*set_threads)(int) = NULL;
    *(void **)(&threads) = dlsym(RTLD_DEFAULT, "omp_get_max_threads");
    *(void **)(&set_threads) = dlsym(RTLD_DEFAULT, "omp_set_num_threads");
    if (threads == NULL || set_threads == NULL) {
        skip();
    }
    enum { SIDE = 128 };
    float *a = floats((int64_t)SIDE * SIDE);
    float *c = floats((int64_t)SIDE * SIDE);
    set_threads(3);
    cpus[0].table->gemm(cpus[0].state, false, false, SIDE, SIDE, SIDE, 1.0f, a, SIDE, a,
                        SIDE, 0.0f, c, SIDE);
    assert_int_equal(threads(), 3);
    sl_heap_free(a);
    sl_heap_free(c);
}

static void test_rows(void **state SL_UNUSED)
{
    check_rows(5, 7);
    check_rows(16, 128);
    check_rows(300, 65);
}

/* ---- flat memory ------------------------------------------------------------------- */

/* LARS and AdamW from the same start on both backends; the gradient g, the parameter p,
 * the slot v, of which AdamW's second takes the squares. */
static void check_updates(const struct sl_device *cpu, int64_t n, const float *g,
                          const float *p, const float *v)
{
    const struct sl_adamw rule = {.lr = 0.01,
                                  .beta1 = 0.9,
                                  .beta2 = 0.999,
                                  .epsilon = 1e-8,
                                  .weight_decay = 0.1,
                                  .step = 3};
    const struct sl_device *devices[2] = {&ref, cpu};
    double norms[2][2];
    float *out[2][5]; /* LARS: parameter, slot; AdamW: parameter, slots */

    for (int d = 0; d < 2; d++) {
        const struct sl_backend *table = devices[d]->table;
        for (int k = 0; k < 5; k++) {
            out[d][k] = copy_of(k == 0 || k == 2 ? p : v, n);
        }
        for (int64_t i = 0; i < n; i++) {
            out[d][4][i] *= v[i];
        }
        table->lars_norms(devices[d]->state, n, 0.1f, g, p, &norms[d][0], &norms[d][1]);
        table->lars(devices[d]->state, n, 0.3f, 0.9f, 0.1f, 0.7f, g, out[d][1],
                    out[d][0]);
        table->adamw(devices[d]->state, n, &rule, g, out[d][3], out[d][4], out[d][2]);
    }
    check_number("lars_norms: parameter", norms[1][0], norms[0][0], 1e-12);
    check_number("lars_norms: gradient", norms[1][1], norms[0][1], 1e-6);
    for (int k = 0; k < 5; k++) {
        check_close(k < 2 ? "lars" : "adamw", n, out[1][k], out[0][k], row_tolerance);
        sl_heap_free(out[0][k]);
        sl_heap_free(out[1][k]);
    }
}

static void check_flat(int64_t n)
{
    float *x = random_floats(n, 6, 1.0f);
    float *y = random_floats(n, 7, 1.0f);
    float *v = random_floats(n, 8, 1.0f);
    float *sum = copy_of(y, n);
    float *mean = copy_of(y, n);
    float *p = copy_of(y, n);
    float *velocity = copy_of(v, n);
    const double squares = ref.table->add(ref.state, n, x, sum);
    ref.table->average(ref.state, n, 0.99f, x, mean);
    ref.table->sgd(ref.state, n, 0.03f, 0.9f, 1e-2f, x, velocity, p);
    for (int i = 0; i < n_cpus; i++) {
        const struct sl_device *cpu = &cpus[i];
        float *own = copy_of(y, n);
        float *own_v = copy_of(v, n);
        check_number("sum_squares", cpu->table->sum_squares(cpu->state, n, x), squares,
                     1e-12);
        check_number("add", cpu->table->add(cpu->state, n, x, own), squares, 1e-12);
        assert_memory_equal(own, sum, (size_t)n * sizeof(float));
        memcpy(own, y, (size_t)n * sizeof(float));
        cpu->table->average(cpu->state, n, 0.99f, x, own);
        check_close("average", n, own, mean, row_tolerance);
        memcpy(own, x, (size_t)n * sizeof(float));
        cpu->table->average(cpu->state, n, 0.99f, x, own);
        assert_memory_equal(own, x, (size_t)n * sizeof(float)); /* equal stays equal */
        memcpy(own, y, (size_t)n * sizeof(float));
        cpu->table->sgd(cpu->state, n, 0.03f, 0.9f, 1e-2f, x, own_v, own);
        check_close("sgd: velocity", n, own_v, velocity, row_tolerance);
        check_close("sgd: parameter", n, own, p, row_tolerance);
        check_updates(cpu, n, x, y, v);
        sl_heap_free(own);
        sl_heap_free(own_v);
    }
    float *const all[] = {x, y, v, sum, mean, p, velocity};
    for (int i = 0; i < SL_COUNT(all); i++) {
        sl_heap_free(all[i]);
    }
}

static void test_flat(void **state SL_UNUSED)
{
    check_flat(1);
    check_flat(1000);
    check_flat(100003);
}

static void test_find_nonfinite(void **state SL_UNUSED)
{
    enum { N = 50000 };
    const float bad[] = {NAN, INFINITY, -INFINITY};
    const int64_t places[] = {0, 1, 4095, 4096, 24999, 25000, N - 1};
    float *x = random_floats(N, 9, 1e30f);
    for (int i = 0; i < n_cpus; i++) {
        const struct sl_device *cpu = &cpus[i];
        assert_int_equal(cpu->table->find_nonfinite(cpu->state, N, x), -1);
        assert_int_equal(cpu->table->find_nonfinite(cpu->state, 0, x), -1);
        for (int k = 0; k < SL_COUNT(places) * SL_COUNT(bad); k++) {
            const int64_t at = places[k / SL_COUNT(bad)];
            const float before = x[at];
            const float last = x[N - 1];
            x[N - 1] = NAN; /* the first of two counts */
            x[at] = bad[k % SL_COUNT(bad)];
            assert_int_equal(cpu->table->find_nonfinite(cpu->state, N, x), at);
            x[N - 1] = last;
            x[at] = before;
        }
    }
    sl_heap_free(x);
}

static void test_norm_update(void **state SL_UNUSED)
{
    enum { C = 37, GROUPS = 3 };
    float *workspace = random_floats(3 * C * GROUPS, 10, 1.0f);
    float *mean = random_floats(C, 11, 1.0f);
    float *variance = random_floats(C, 12, 1.0f);
    for (int rows = 1; rows <= 100; rows += 99) {
        float *expected_mean = copy_of(mean, C);
        float *expected_variance = copy_of(variance, C);
        ref.table->norm_update(ref.state, C, GROUPS, rows, 0.1f, workspace, expected_mean,
                               expected_variance);
        for (int i = 0; i < n_cpus; i++) {
            float *own_mean = copy_of(mean, C);
            float *own_variance = copy_of(variance, C);
            cpus[i].table->norm_update(cpus[i].state, C, GROUPS, rows, 0.1f, workspace,
                                       own_mean, own_variance);
            check_close("running mean", C, own_mean, expected_mean, row_tolerance);
            check_close("running variance", C, own_variance, expected_variance,
                        row_tolerance);
            sl_heap_free(own_mean);
            sl_heap_free(own_variance);
        }
        sl_heap_free(expected_mean);
        sl_heap_free(expected_variance);
    }
    sl_heap_free(workspace);
    sl_heap_free(mean);
    sl_heap_free(variance);
}

/* ---- row losses -------------------------------------------------------------------- */

struct loss_case {
    const char *name;
    struct sl_row_loss loss; /* pointers are filled in */
    bool labels;
    float spread; /* of the logits */
};

static void check_loss(const struct loss_case *c, bool add)
{
    const int64_t rows = c->loss.rows;
    const int64_t count = rows * c->loss.stride;
    float *logits = random_floats(count, 13, c->spread);
    float *teacher = random_floats(count, 14, c->spread);
    float *start = random_floats(count, 15, 1e-3f);
    float *scratch = floats(4 * rows);
    int32_t labels[64];
    assert_true(rows <= SL_COUNT(labels));
    for (int64_t i = 0; i < rows; i++) {
        labels[i] = (int32_t)((i * 7 + 3) % c->loss.cols);
        logits[i * c->loss.stride + (i % 2 == 0 ? labels[i] : 0)] += 4.0f * c->spread;
    }
    /* one row whose target has an equal: not the first */
    logits[0] = logits[labels[0]];
    struct sl_row_loss loss = c->loss;
    struct sl_row_loss_result expected;
    loss.logits = logits;
    loss.teacher = loss.kind == SL_LOSS_CLASS ? NULL : teacher;
    loss.labels = c->labels ? labels : NULL;
    loss.scratch = scratch;
    loss.add = add;
    float *diff = copy_of(start, count);
    loss.diff = diff;
    ref.table->row_loss(ref.state, &loss, &expected);
    for (int i = 0; i < n_cpus; i++) {
        struct sl_row_loss_result result;
        struct sl_row_loss_result value_only;
        float *own = copy_of(start, count);
        loss.diff = own;
        cpus[i].table->row_loss(cpus[i].state, &loss, &result);
        check_number(c->name, result.value, expected.value, value_tolerance);
        check_number("entropy", result.teacher_entropy, expected.teacher_entropy,
                     value_tolerance);
        assert_int_equal(result.first, expected.first);
        check_close(c->name, count, own, diff, loss_tolerance);
        loss.diff = NULL;
        cpus[i].table->row_loss(cpus[i].state, &loss, &value_only);
        assert_true(value_only.value == result.value);
        sl_heap_free(own);
    }
    sl_heap_free(logits);
    sl_heap_free(teacher);
    sl_heap_free(start);
    sl_heap_free(scratch);
    sl_heap_free(diff);
}

static void test_losses(void **state SL_UNUSED)
{
    const struct loss_case cases[] = {
        {"contrast",
         {.kind = SL_LOSS_CLASS,
          .rows = 9,
          .cols = 4097,
          .stride = 4097,
          .temperature = 0.2f,
          .weight = 2.5f},
         false,
         0.1f},
        {"classes",
         {.kind = SL_LOSS_CLASS,
          .rows = 33,
          .cols = 10,
          .stride = 13,
          .temperature = 1.0f,
          .weight = 1.0f},
         true,
         3.0f},
        {"sharp classes",
         {.kind = SL_LOSS_CLASS,
          .rows = 2,
          .cols = 100,
          .stride = 100,
          .temperature = 0.05f,
          .weight = 1.0f},
         true,
         20.0f},
        {"soft",
         {.kind = SL_LOSS_SOFT,
          .rows = 5,
          .cols = 4097,
          .stride = 4100,
          .temperature = 5.0f,
          .teacher_temperature = 4.0f,
          .weight = 0.5f},
         false,
         0.3f},
        {"soft, sharp",
         {.kind = SL_LOSS_SOFT,
          .rows = 7,
          .cols = 65,
          .stride = 65,
          .temperature = 0.5f,
          .teacher_temperature = 0.25f,
          .weight = 1.0f},
         false,
         1.0f},
        {"mse",
         {.kind = SL_LOSS_MSE, .rows = 6, .cols = 130, .stride = 131, .weight = 1.5f},
         false,
         1.0f},
        {"atkd",
         {.kind = SL_LOSS_ATKD, .rows = 5, .cols = 129, .stride = 129, .weight = 1.5f},
         false,
         0.3f},
        {"dkd",
         {.kind = SL_LOSS_DKD, .rows = 5, .cols = 129, .stride = 130, .weight = 0.5f},
         false,
         0.3f},
        {"dkd, labels",
         {.kind = SL_LOSS_DKD, .rows = 7, .cols = 33, .stride = 40, .weight = 0.5f},
         true,
         0.3f},
        {"one row",
         {.kind = SL_LOSS_ATKD, .rows = 1, .cols = 33, .stride = 33, .weight = 1.0f},
         false,
         0.3f},
    };
    for (int i = 0; i < SL_COUNT(cases); i++) {
        check_loss(&cases[i], false);
        check_loss(&cases[i], true);
    }
}

/* A student that equals its teacher is taught nothing at all. */
static void test_equal_rows_have_no_gradient(void **state SL_UNUSED)
{
    enum { ROWS = 3, COLS = 1001 };
    float *logits = random_floats(ROWS * COLS, 16, 0.3f);
    float *diff = floats(ROWS * COLS);
    float scratch[4 * ROWS];
    for (int i = 0; i < n_cpus; i++) {
        const struct sl_row_loss loss = {.kind = SL_LOSS_SOFT,
                                         .rows = ROWS,
                                         .cols = COLS,
                                         .stride = COLS,
                                         .logits = logits,
                                         .teacher = logits,
                                         .temperature = 5.0f,
                                         .teacher_temperature = 5.0f,
                                         .weight = 1.0f,
                                         .diff = diff,
                                         .scratch = scratch};
        struct sl_row_loss_result result;
        cpus[i].table->row_loss(cpus[i].state, &loss, &result);
        for (int j = 0; j < ROWS * COLS; j++) {
            assert_true(diff[j] == 0.0f);
        }
        check_number("value", result.value, result.teacher_entropy, 1e-9);
    }
    sl_heap_free(logits);
    sl_heap_free(diff);
}

/* A logit that is not finite must show in the value. */
static void test_losses_show_nonfinite(void **state SL_UNUSED)
{
    enum { COLS = 77 };
    const float bad[] = {NAN, INFINITY};
    float *logits = random_floats(COLS, 17, 0.3f);
    for (int i = 0; i < n_cpus; i++) {
        for (int k = 0; k < SL_COUNT(bad) * COLS; k++) {
            const float before = logits[k % COLS];
            float scratch[4];
            logits[k % COLS] = bad[k / COLS];
            const struct sl_row_loss loss = {.kind = SL_LOSS_CLASS,
                                             .rows = 1,
                                             .cols = COLS,
                                             .stride = COLS,
                                             .logits = logits,
                                             .temperature = 0.2f,
                                             .weight = 1.0f,
                                             .scratch = scratch};
            struct sl_row_loss_result result;
            cpus[i].table->row_loss(cpus[i].state, &loss, &result);
            assert_false(isfinite(result.value));
            /* infinity is greater than the rest, a NaN is nothing */
            assert_true(result.first == 0 || bad[k / COLS] == INFINITY);
            logits[k % COLS] = before;
        }
    }
    sl_heap_free(logits);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gemm),
        cmocka_unit_test(test_openmp_keeps_its_threads),
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_flat),
        cmocka_unit_test(test_find_nonfinite),
        cmocka_unit_test(test_norm_update),
        cmocka_unit_test(test_losses),
        cmocka_unit_test(test_equal_rows_have_no_gradient),
        cmocka_unit_test(test_losses_show_nonfinite),
    };
    return cmocka_run_group_tests(tests, open_devices, close_devices);
}
