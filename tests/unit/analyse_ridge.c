/* SPDX-License-Identifier: MIT */
/*
 * Closed-form probes: every number against numpy (tools/golden_ridge.py) on keyed
 * features; what theory says of features at right angles, of one width alone and of
 * unlabelled rows; what must be refused.
 */
#include "analyse/analyse.h"
#include "learn/goldenkit.h"

enum { TRAIN = 300, TEST = 120, CLASSES = 4, WIDE = 12, NARROW = 7 };

struct set {
    float wide[TRAIN * WIDE], narrow[TRAIN * NARROW], noise[TRAIN * NARROW];
    int32_t labels[TRAIN], ids[TRAIN];
    struct sl_features features[2];
};

/* As the golden file's maker makes them. */
static void make(struct set *set, uint32_t first, int n)
{
    sl_rng_fill_normal(8, SL_RNG_TEST, first, 1.0F, (int64_t)n * WIDE, set->wide);
    sl_rng_fill_normal(8, SL_RNG_TEST, first + 1, 0.5F, (int64_t)n * NARROW, set->noise);
    for (int i = 0; i < n; i++) {
        const float *x = set->wide + i * WIDE;
        int best = 0;
        for (int k = 0; k < CLASSES; k++) {
            best = x[k] + x[WIDE - CLASSES + k] > x[best] + x[WIDE - CLASSES + best]
                       ? k
                       : best;
        }
        for (int c = 0; c < NARROW; c++) {
            set->narrow[i * NARROW + c] = x[c] + set->noise[i * NARROW + c];
        }
        set->labels[i] = best;
        set->ids[i] = i;
    }
    set->features[0] = (struct sl_features){
        .n = n, .d = WIDE, .values = set->wide, .labels = set->labels, .ids = set->ids};
    set->features[1] = set->features[0];
    set->features[1].d = NARROW;
    set->features[1].values = set->narrow;
}

static struct set train, test;
static const struct sl_ridge_config config = {
    .n_classes = CLASSES, .ridge = 0.5, .weights = {1.0, 2.0}};

static void expect(const char *text, const char *name, double a, double b)
{
    double x = 0.0;
    double y = 0.0;
    const char *at = strstr(text, name);
    assert_non_null(at);
    assert_int_equal(sscanf(at + strlen(name), "%lf %lf", &x, &y), 2);
    if (!(fabs(a - x) < 1e-9 && fabs(b - y) < 1e-9)) {
        fail_msg("%s: %.12g and %.12g instead of %.12g and %.12g", name, a, b, x, y);
    }
}

static void test_golden(void **state)
{
    (void)state;
    struct sl_error err = {0};
    struct sl_ridge_width r[2];
    int64_t size = 0;
    make(&train, 50, TRAIN);
    make(&test, 60, TEST);
    kit_ok(sl_ridge_compare(&err, &config, 2, train.features, test.features, r), &err);
    char *text = golden_read("ridge.txt", &size);
    expect(text, "own_acc", r[0].own_acc, r[1].own_acc);
    expect(text, "own_loss", r[0].own_loss, r[1].own_loss);
    expect(text, "shared_acc", r[0].shared_acc, r[1].shared_acc);
    expect(text, "shared_loss", r[0].shared_loss, r[1].shared_loss);
    expect(text, "prefix_acc", r[0].prefix_acc, r[1].prefix_acc);
    expect(text, "prefix_loss", r[0].prefix_loss, r[1].prefix_loss);
    expect(text, "coupling", r[0].coupling, r[1].coupling);
    expect(text, "shift", r[0].shift, r[1].shift);
    expect(text, "gap", r[0].gap, r[1].gap);
    sl_heap_free(text);
    /* Rows without a label change nothing. */
    struct sl_ridge_width again[2];
    train.labels[TRAIN - 1] = -1;
    train.features[0].n = train.features[1].n = TRAIN - 1;
    kit_ok(sl_ridge_compare(&err, &config, 2, train.features, test.features, r), &err);
    train.features[0].n = train.features[1].n = TRAIN;
    kit_ok(sl_ridge_compare(&err, &config, 2, train.features, test.features, again),
           &err);
    assert_memory_equal(r, again, sizeof r);
}

/* X1 and X2 at right angles (each with the ones as well), narrow features that are X1:
 * one probe serves both widths. */
static void test_right_angles(void **state)
{
    (void)state;
    struct sl_error err = {0};
    struct sl_ridge_width r[2];
    make(&train, 50, TRAIN);
    for (int i = 0; i < TRAIN; i++) {
        for (int c = 0; c < WIDE; c++) { /* columns of a Hadamard matrix of 16 */
            int ones = 0;
            for (int bits = (i % 16) & (c + 1); bits != 0; bits >>= 1) {
                ones += bits & 1;
            }
            train.wide[i * WIDE + c] = ones % 2 == 0 ? 1.0F : -1.0F;
        }
        memcpy(train.narrow + i * NARROW, train.wide + i * WIDE, NARROW * sizeof(float));
        train.labels[i] = i * 7 % CLASSES;
    }
    for (int i = 0; i < 2; i++) { /* 288 = 18 times 16 rows */
        train.features[i].n = 288;
    }
    struct sl_ridge_config equal = {
        .n_classes = CLASSES, .ridge = 1e-6, .weights = {1.0, 1.0}};
    kit_ok(sl_ridge_compare(&err, &equal, 2, train.features, train.features, r), &err);
    assert_true(r[1].coupling < 1e-12 && r[1].shift < 1e-12 && r[1].gap == 0.0);
    for (int i = 0; i < 2; i++) {
        assert_true(fabs(r[i].own_loss - r[i].shared_loss) < 1e-9);
        assert_true(r[i].own_acc == r[i].prefix_acc && r[i].own_loss > 0.0);
    }
}

static void expect_close(double a, double b)
{
    if (!(fabs(a - b) < 1e-9)) {
        fail_msg("%.12g instead of %.12g", b, a);
    }
}

/* The order of a width's features has no meaning, so a narrow width may as well lie in
 * the middle of the full one: everything stays as it was, once `first` says where. */
static void test_disjoint_slices(void **state)
{
    enum { FIRST = 3 };
    (void)state;
    struct sl_error err = {0};
    struct sl_ridge_width r[2];
    struct sl_ridge_width moved[2];
    struct set *const sets[] = {&train, &test};
    make(&train, 50, TRAIN);
    make(&test, 60, TEST);
    kit_ok(sl_ridge_compare(&err, &config, 2, train.features, test.features, r), &err);
    for (size_t s = 0; s < 2; s++) {
        for (int64_t i = 0; i < sets[s]->features[0].n; i++) {
            float row[WIDE];
            float *wide = sets[s]->wide + i * WIDE;
            memcpy(row, wide, sizeof row);
            for (int c = 0; c < WIDE; c++) {
                wide[(c + FIRST) % WIDE] = row[c];
            }
        }
        sets[s]->features[1].first = FIRST;
    }
    kit_ok(sl_ridge_compare(&err, &config, 2, train.features, test.features, moved),
           &err);
    for (size_t i = 0; i < 2; i++) {
        expect_close(r[i].own_acc, moved[i].own_acc);
        expect_close(r[i].shared_acc, moved[i].shared_acc);
        expect_close(r[i].prefix_acc, moved[i].prefix_acc);
        expect_close(r[i].own_loss, moved[i].own_loss);
        expect_close(r[i].shared_loss, moved[i].shared_loss);
        expect_close(r[i].prefix_loss, moved[i].prefix_loss);
        expect_close(r[i].coupling, moved[i].coupling);
        expect_close(r[i].shift, moved[i].shift);
        expect_close(r[i].gap, moved[i].gap);
    }
}

/* A private probe is never worse on what it was fitted to; one width alone shares with
 * nobody. */
static void test_order(void **state)
{
    (void)state;
    struct sl_error err = {0};
    struct sl_ridge_width r[2];
    make(&train, 70, TRAIN);
    make(&test, 80, TEST);
    kit_ok(sl_ridge_compare(&err, &config, 2, train.features, test.features, r), &err);
    for (int i = 0; i < 2; i++) {
        assert_true(r[i].own_loss < r[i].shared_loss + 1e-4);
    }
    assert_true(r[1].own_loss < r[1].prefix_loss);
    kit_ok(sl_ridge_compare(&err, &config, 1, train.features, test.features, r), &err);
    assert_true(r[0].own_loss == r[0].shared_loss && r[0].own_acc == r[0].prefix_acc);
}

static void test_refused(void **state)
{
    (void)state;
    struct sl_error err = {0};
    struct sl_ridge_width r[2];
    make(&train, 50, TRAIN);
    make(&test, 60, TEST);
    train.narrow[5] = INFINITY;
    assert_int_equal(sl_ridge_compare(&err, &config, 2, train.features, test.features, r),
                     SL_ERROR_NUMBERS);
    sl_error_clear(&err);
    make(&train, 50, TRAIN);
    for (int i = 0; i < TRAIN; i++) { /* two columns alike, and no ridge */
        train.wide[i * WIDE + 1] = train.wide[i * WIDE];
    }
    struct sl_ridge_config bare = {.n_classes = CLASSES, .weights = {1.0, 1.0}};
    assert_int_equal(sl_ridge_compare(&err, &bare, 1, train.features, test.features, r),
                     SL_ERROR_NUMBERS);
    assert_non_null(strstr(err.text, "ridge"));
    sl_error_clear(&err);
    for (int i = 0; i < TEST; i++) {
        test.labels[i] = -1;
    }
    assert_int_equal(sl_ridge_compare(&err, &config, 1, train.features, test.features, r),
                     SL_ERROR_DATA);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),          cmocka_unit_test(test_right_angles),
        cmocka_unit_test(test_disjoint_slices), cmocka_unit_test(test_order),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests_name("ridge", tests, NULL, NULL);
}
