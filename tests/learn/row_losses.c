/* SPDX-License-Identifier: MIT */
/*
 * Row losses of every backend in this build: values and gradients against PyTorch's
 * (tests/golden/losses.h), the level of chance for random unit vectors, no gradient where
 * student and teacher agree, the teacher's entropy and the count of first places.
 * Gradients against differences are in tests/op/gradient.c.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "backend/backend.h"
#include "golden/losses.h"

/* ---- tools ------------------------------------------------------------------------- */

typedef void (*device_fn)(const struct sl_device *device);

static bool is_ref(const struct sl_device *device)
{
    return strcmp(device->table->name, "ref") == 0;
}

static void on_every_backend(device_fn work)
{
    for (int i = 0; sl_backend_name(i) != NULL; i++) {
        struct sl_error err = {0};
        const struct sl_backend_options options = {.threads = 2};
        struct sl_device device;
        assert_int_equal(sl_device_open(&err, sl_backend_name(i), &options, &device),
                         SL_OK);
        work(&device);
        sl_device_close(&device);
    }
}

static void *block(const struct sl_device *device, int64_t count)
{
    struct sl_error err = {0};
    void *memory = NULL;
    assert_int_equal(device->table->alloc(&err, device->state, "a test's block",
                                          (size_t)count * sizeof(float), &memory),
                     SL_OK);
    return memory;
}

static void drop(const struct sl_device *device, void *memory)
{
    device->table->free(device->state, memory);
}

static struct sl_row_loss_result run(const struct sl_device *device,
                                     struct sl_row_loss loss)
{
    struct sl_row_loss_result result;
    loss.scratch = block(device, 4 * loss.rows);
    device->table->row_loss(device->state, &loss, &result);
    drop(device, loss.scratch);
    return result;
}

static void assert_close(const char *what, double value, double expected,
                         double tolerance)
{
    if (!(fabs(value - expected) <= tolerance)) {
        fail_msg("%s is %.12g but must be %.12g within %.3g", what, value, expected,
                 tolerance);
    }
}

/* ---- against PyTorch --------------------------------------------------------------- */

enum { GOLDEN_STRIDE = GOLDEN_COLS + 3 };

/* Rows of GOLDEN_COLS values into rows of GOLDEN_STRIDE; the gap holds something harmful.
 */
static float *spread(const struct sl_device *device, const float *dense)
{
    float *rows = block(device, (int64_t)GOLDEN_ROWS * GOLDEN_STRIDE);
    for (int i = 0; i < GOLDEN_ROWS * GOLDEN_STRIDE; i++) {
        rows[i] = 1e30f;
    }
    for (int i = 0; i < GOLDEN_ROWS; i++) {
        memcpy(rows + (size_t)i * GOLDEN_STRIDE, dense + (size_t)i * GOLDEN_COLS,
               GOLDEN_COLS * sizeof(float));
    }
    return rows;
}

static void check_golden(const struct sl_device *device, const struct golden_loss *golden,
                         bool add, float weight)
{
    const float gap = 7.0f;
    const float under = add ? 0.5f : 0.0f;
    float *logits = spread(device, golden_logits);
    float *teacher = spread(device, golden_teacher);
    float *diff = block(device, (int64_t)GOLDEN_ROWS * GOLDEN_STRIDE);
    for (int i = 0; i < GOLDEN_ROWS * GOLDEN_STRIDE; i++) {
        diff[i] = i % GOLDEN_STRIDE < GOLDEN_COLS && add ? under : gap;
    }
    struct sl_row_loss loss = {
        .kind = golden->kind,
        .rows = GOLDEN_ROWS,
        .cols = GOLDEN_COLS,
        .stride = GOLDEN_STRIDE,
        .logits = logits,
        .teacher = golden->kind == SL_LOSS_CLASS ? NULL : teacher,
        .labels = golden->labels ? golden_labels : NULL,
        .temperature = golden->temperature,
        .teacher_temperature = golden->teacher_temperature,
        .weight = weight,
        .add = add,
        .diff = diff,
    };
    const struct sl_row_loss_result result = run(device, loss);
    loss.diff = NULL;
    const struct sl_row_loss_result value_only = run(device, loss);
    assert_close(golden->name, result.value, golden->value, 2e-6 * fabs(golden->value));
    assert_close(golden->name, value_only.value, golden->value,
                 2e-6 * fabs(golden->value));
    assert_close("entropy", result.teacher_entropy, golden->teacher_entropy,
                 2e-6 * golden->teacher_entropy);
    for (int i = 0; i < GOLDEN_ROWS * GOLDEN_STRIDE; i++) {
        const int row = i / GOLDEN_STRIDE;
        const int column = i % GOLDEN_STRIDE;
        if (column >= GOLDEN_COLS) {
            assert_true(diff[i] == gap);
            continue;
        }
        double expected = (double)weight * golden->diff[row * GOLDEN_COLS + column];
        assert_close(golden->name, (double)(diff[i] - under), expected, 2e-6);
    }
    drop(device, logits);
    drop(device, teacher);
    drop(device, diff);
}

static void golden_on(const struct sl_device *device)
{
    for (int i = 0; i < SL_COUNT(golden_losses); i++) {
        check_golden(device, &golden_losses[i], false, 1.0f);
        check_golden(device, &golden_losses[i], true, 1.0f);
        check_golden(device, &golden_losses[i], true, 2.5f);
        check_golden(device, &golden_losses[i], false, 0.5f);
    }
}

static void losses_equal_pytorch(void **state SL_UNUSED)
{
    on_every_backend(golden_on);
}

/* ---- the level of chance ----------------------------------------------------------- */

enum { CHANCE_ROWS = 48, CHANCE_DIM = 128, CHANCE_QUEUE = 65536 };
enum { CHANCE_COLS = CHANCE_QUEUE + 1 };

/* `rows` independent random unit vectors. */
static float *unit_vectors(const struct sl_device *device, uint32_t purpose, int64_t rows)
{
    float *z = block(device, rows * CHANCE_DIM);
    float *q = block(device, rows * CHANCE_DIM);
    float *norms = block(device, rows);
    sl_rng_fill_normal(3407, SL_RNG_TEST, purpose, 1.0f, rows * CHANCE_DIM, z);
    device->table->row_normalize(device->state, rows, CHANCE_DIM, z, q, norms);
    drop(device, z);
    drop(device, norms);
    return q;
}

/* MoCo v2's logits: column 0 the cosine with the own key, then with the queue. */
static float *chance_logits(const struct sl_device *device, uint32_t purpose,
                            const float *keys, const float *queue)
{
    float *q = unit_vectors(device, purpose, CHANCE_ROWS);
    float *logits = block(device, (int64_t)CHANCE_ROWS * CHANCE_COLS);
    device->table->row_dot(device->state, CHANCE_ROWS, CHANCE_DIM, q, keys, logits,
                           CHANCE_COLS);
    device->table->gemm(device->state, false, true, CHANCE_ROWS, CHANCE_QUEUE, CHANCE_DIM,
                        1.0f, q, CHANCE_DIM, queue, CHANCE_DIM, 0.0f, logits + 1,
                        CHANCE_COLS);
    drop(device, q);
    return logits;
}

/* 1/2 mean over rows of Var_j(a_j - b_j), b NULL = 0: the high-temperature form of the
 * distillation loss is made of it. */
static double half_variance(const float *a, const float *b)
{
    double total = 0.0;
    for (int64_t i = 0; i < CHANCE_ROWS; i++) {
        double sum = 0.0;
        double squares = 0.0;
        for (int64_t j = i * CHANCE_COLS; j < (i + 1) * CHANCE_COLS; j++) {
            double x = (double)a[j] - (b == NULL ? 0.0 : (double)b[j]);
            sum += x;
            squares += x * x;
        }
        double mean = sum / CHANCE_COLS;
        total += 0.5 * (squares / CHANCE_COLS - mean * mean);
    }
    return total / CHANCE_ROWS;
}

static void chance_on(const struct sl_device *device)
{
    float *keys = unit_vectors(device, 1, CHANCE_ROWS);
    float *queue = unit_vectors(device, 2, CHANCE_QUEUE);
    float *student = chance_logits(device, 3, keys, queue);
    float *teacher = chance_logits(device, 4, keys, queue);
    struct sl_row_loss loss = {.kind = SL_LOSS_CLASS,
                               .rows = CHANCE_ROWS,
                               .cols = CHANCE_COLS,
                               .stride = CHANCE_COLS,
                               .logits = student,
                               .temperature = 0.2f,
                               .weight = 1.0f};
    /* ln 65537 + 1 / (2 128 0.2^2) = 11.19, the positive logits being random around 0
     * with a deviation of 1 / (0.2 sqrt(128)) = 0.44: 0.06 for the mean of 48 rows. */
    double expected = log(65537.0) + 1.0 / (2.0 * 128.0 * 0.2 * 0.2);
    assert_close("11.19 for MoCo v2", expected, 11.19, 0.005);
    assert_close("InfoNCE of random unit vectors", run(device, loss).value, expected,
                 0.18);

    /* tau^2 ln 65537 = 277.26, less 1/2 Var(u), plus 1/2 Var(s - u) */
    loss.kind = SL_LOSS_SOFT;
    loss.teacher = teacher;
    loss.temperature = 5.0f;
    loss.teacher_temperature = 5.0f;
    const struct sl_row_loss_result soft = run(device, loss);
    assert_close("distillation of random unit vectors", soft.value, 277.26, 0.02);
    assert_close("its high-temperature form", soft.value,
                 25.0 * log(65537.0) - half_variance(teacher, NULL) +
                     half_variance(student, teacher),
                 1e-3);
    assert_close("T^2 KL", soft.value - soft.teacher_entropy,
                 half_variance(student, teacher), 1e-3);

    /* A classifier that knows nothing: equal logits give ln of the number of classes. */
    memset(student, 0, 40 * sizeof(float));
    const int32_t labels[] = {3, 9, 0, 5};
    const struct sl_row_loss classes = {.kind = SL_LOSS_CLASS,
                                        .rows = 4,
                                        .cols = 10,
                                        .stride = 10,
                                        .logits = student,
                                        .labels = labels,
                                        .temperature = 1.0f};
    assert_close("classes at chance", run(device, classes).value, log(10.0), 1e-6);
    drop(device, keys);
    drop(device, queue);
    drop(device, student);
    drop(device, teacher);
}

static void item_6_random_unit_vectors(void **state SL_UNUSED)
{
    on_every_backend(chance_on);
}

/* ---- student and teacher agree, and the teacher's entropy -------------------------- */

enum { SAME_ROWS = 5, SAME_COLS = 1031 };

static void same_teacher_kind(const struct sl_device *device, enum sl_row_loss_kind kind)
{
    const int64_t n = (int64_t)SAME_ROWS * SAME_COLS;
    float *logits = block(device, n);
    float *diff = block(device, n);
    sl_rng_fill_uniform(1, SL_RNG_TEST, 7, -1.0, 1.0, n, logits);
    memset(diff, 0x41, (size_t)n * sizeof(float)); /* about 12 */
    const struct sl_row_loss loss = {.kind = kind,
                                     .rows = SAME_ROWS,
                                     .cols = SAME_COLS,
                                     .stride = SAME_COLS,
                                     .logits = logits,
                                     .teacher = logits,
                                     .temperature = 5.0f,
                                     .teacher_temperature = 5.0f,
                                     .weight = 1.0f,
                                     .diff = diff};
    const struct sl_row_loss_result result = run(device, loss);
    const float zero = 0.0f;
    for (int64_t i = 0; i < n; i++) {
        if (is_ref(device)) {
            assert_memory_equal(&diff[i], &zero, sizeof(zero));
        } else {
            assert_close("gradient towards an equal teacher", (double)diff[i], 0.0, 1e-9);
        }
    }
    double rest = result.value - result.teacher_entropy;
    assert_close("loss towards an equal teacher", rest, 0.0, is_ref(device) ? 0.0 : 1e-4);
    drop(device, logits);
    drop(device, diff);
}

static void same_teacher_on(const struct sl_device *device)
{
    same_teacher_kind(device, SL_LOSS_SOFT);
    same_teacher_kind(device, SL_LOSS_MSE);
    same_teacher_kind(device, SL_LOSS_ATKD);
    same_teacher_kind(device, SL_LOSS_DKD);
}

static void item_7_equal_teacher(void **state SL_UNUSED)
{
    on_every_backend(same_teacher_on);
}

/* value - teacher_entropy = T^2 KL(teacher || student), for different temperatures as
 * well: against the sum of t (log t - log p) by hand for two columns. */
static void entropy_on(const struct sl_device *device)
{
    float *logits = block(device, 2);
    float *teacher = block(device, 2);
    logits[0] = 0.75f;
    teacher[1] = 1.5f;
    const double t_student = 0.5;
    const double t_teacher = 2.0;
    const struct sl_row_loss loss = {.kind = SL_LOSS_SOFT,
                                     .rows = 1,
                                     .cols = 2,
                                     .stride = 2,
                                     .logits = logits,
                                     .teacher = teacher,
                                     .temperature = (float)t_student,
                                     .teacher_temperature = (float)t_teacher};
    const struct sl_row_loss_result result = run(device, loss);
    double p = 1.0 / (1.0 + exp(-0.75 / t_student));
    double t = 1.0 / (1.0 + exp(1.5 / t_teacher));
    double divergence = t * log(t / p) + (1.0 - t) * log((1.0 - t) / (1.0 - p));
    double entropy = -t * log(t) - (1.0 - t) * log(1.0 - t);
    assert_close("T^2 KL", result.value - result.teacher_entropy,
                 t_student * t_student * divergence, 1e-6);
    assert_close("entropy", result.teacher_entropy, t_student * t_student * entropy,
                 1e-6);
    drop(device, logits);
    drop(device, teacher);
}

static void teacher_entropy(void **state SL_UNUSED)
{
    on_every_backend(entropy_on);
}

/* ---- first places ------------------------------------------------------------------ */

/* Only a target strictly above all others counts: a tie is no first place, so that
 * collapsed embeddings, whose logits are all equal, do not look accurate. */
static void first_on(const struct sl_device *device)
{
    static const float rows[5][4] = {
        {0.9f, 0.1f, 0.2f, 0.3f}, /* column 0 wins */
        {0.5f, 0.5f, 0.2f, 0.3f}, /* ties with column 1 */
        {0.1f, 0.2f, 0.9f, 0.3f}, /* column 2 wins */
        {0.4f, 0.4f, 0.4f, 0.4f}, /* all equal */
        {-0.2f, -0.5f, -0.9f, -0.3f},
    };
    static const int32_t labels[] = {0, 1, 2, 3, 1};
    float *logits = block(device, 20);
    memcpy(logits, rows, sizeof(rows));
    struct sl_row_loss loss = {.kind = SL_LOSS_CLASS,
                               .rows = 5,
                               .cols = 4,
                               .stride = 4,
                               .logits = logits,
                               .temperature = 0.2f};
    assert_int_equal(run(device, loss).first, 2); /* rows 0 and 4 by column 0 */
    loss.labels = labels;
    assert_int_equal(run(device, loss).first, 2); /* rows 0 and 2 by label */
    loss.kind = SL_LOSS_MSE;
    loss.labels = NULL;
    loss.teacher = logits;
    assert_int_equal(run(device, loss).first, 0);
    drop(device, logits);
}

static void first_places(void **state SL_UNUSED)
{
    on_every_backend(first_on);
}

/* ---- what is not finite ------------------------------------------------------------ */

/* A NaN or an infinity among the logits must show in the value: the run stops by it. */
static void nonfinite_on(const struct sl_device *device)
{
    const float bad[] = {NAN, INFINITY};
    float *logits = block(device, 24);
    for (int i = 0; i < SL_COUNT(bad); i++) {
        memset(logits, 0, 24 * sizeof(float));
        logits[17] = bad[i];
        const struct sl_row_loss loss = {.kind = SL_LOSS_CLASS,
                                         .rows = 2,
                                         .cols = 12,
                                         .stride = 12,
                                         .logits = logits,
                                         .temperature = 0.2f};
        assert_false(isfinite(run(device, loss).value));
    }
    drop(device, logits);
}

static void nonfinite_shows(void **state SL_UNUSED)
{
    on_every_backend(nonfinite_on);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(losses_equal_pytorch),
        cmocka_unit_test(item_6_random_unit_vectors),
        cmocka_unit_test(item_7_equal_teacher),
        cmocka_unit_test(teacher_entropy),
        cmocka_unit_test(first_places),
        cmocka_unit_test(nonfinite_shows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
