/* SPDX-License-Identifier: MIT */
/*
 * Weighted nearest neighbours against a slow implementation in double that sorts the
 * whole bank, and the rules a formula does not show: ties, how far k is reduced, rows
 * without labels, ranks beyond the first.
 */
#include "eval/eval.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct sl_device device;

static int begin(void **state)
{
    struct sl_error err = {0};
    (void)state;
    return sl_device_open(&err, "ref", &(struct sl_backend_options){.threads = 1},
                          &device);
}

static int end(void **state)
{
    (void)state;
    sl_device_close(&device);
    return 0;
}

static struct sl_features make(int64_t n, int d)
{
    struct sl_error err = {0};
    struct sl_features features = {.n = n, .d = d};
    assert_int_equal(sl_heap_alloc(&err, "t", n * d, sizeof(float), &features.values),
                     SL_OK);
    assert_int_equal(sl_heap_alloc(&err, "t", n, sizeof(int32_t), &features.labels),
                     SL_OK);
    assert_int_equal(sl_heap_alloc(&err, "t", n, sizeof(int32_t), &features.ids), SL_OK);
    for (int64_t i = 0; i < n; i++) {
        features.ids[i] = (int32_t)i;
    }
    return features;
}

/* Random rows of random lengths that lean towards their class. */
static struct sl_features make_random(int64_t n, int d, int n_classes, uint32_t key)
{
    struct sl_features features = make(n, d);
    struct sl_rng rng = sl_rng_at(7, SL_RNG_TEST, key, 0);
    sl_rng_fill_normal(7, SL_RNG_TEST, 100 + key, 1.0F, n * d, features.values);
    for (int64_t i = 0; i < n; i++) {
        float length = 0.1F + 10.0F * sl_rng_uniform(&rng);
        int label = (int)sl_rng_below(&rng, (uint32_t)n_classes);
        features.labels[i] = label;
        features.values[i * d + label % d] += 1.5F;
        for (int c = 0; c < d; c++) {
            features.values[i * d + c] *= length;
        }
    }
    return features;
}

static struct sl_score score_of(const struct sl_features *bank,
                                const struct sl_features *query, int n_classes, int k,
                                double temperature, int *used)
{
    struct sl_error err = {0};
    struct sl_score score = {0};
    const struct sl_knn_config config = {
        .n_classes = n_classes, .k = k, .temperature = temperature};
    if (sl_knn(&err, &device, &config, bank, query, &score, used) != SL_OK) {
        fail_msg("%s", err.text);
    }
    return score;
}

/* ---- the slow implementation ------------------------------------------------------- */

struct near {
    double cosine;
    int64_t index;
};

static int compare_near(const void *a, const void *b)
{
    const struct near *x = a;
    const struct near *y = b;
    if (x->cosine != y->cosine) {
        return x->cosine > y->cosine ? -1 : 1;
    }
    return x->index < y->index ? -1 : 1;
}

static bool has_label(const struct sl_features *features, int64_t i, int n_classes)
{
    return features->labels[i] >= 0 && features->labels[i] < n_classes;
}

static double dot(const float *a, const float *b, int d)
{
    double sum = 0.0;
    for (int c = 0; c < d; c++) {
        sum += (double)a[c] * (double)b[c];
    }
    return sum;
}

static int slow_rank(const struct near *near, int k, double temperature,
                     const struct sl_features *bank, int n_classes, int32_t label)
{
    double votes[64] = {0};
    int rank = 0;
    for (int i = 0; i < k; i++) {
        votes[bank->labels[near[i].index]] += exp(near[i].cosine / temperature);
    }
    for (int c = 0; c < n_classes; c++) {
        rank += votes[c] > votes[label] || (votes[c] == votes[label] && c < label);
    }
    return rank;
}

static struct sl_score slow_knn(const struct sl_features *bank,
                                const struct sl_features *query, int n_classes, int k,
                                double temperature)
{
    struct near *near = calloc((size_t)bank->n, sizeof *near);
    int d = bank->d;
    int64_t right1 = 0;
    int64_t right5 = 0;
    int64_t asked = 0;
    assert_non_null(near);
    for (int64_t q = 0; q < query->n; q++) {
        const float *x = query->values + q * d;
        int64_t n = 0;
        if (!has_label(query, q, n_classes)) {
            continue;
        }
        for (int64_t i = 0; i < bank->n; i++) {
            const float *y = bank->values + i * d;
            if (has_label(bank, i, n_classes)) {
                near[n].cosine = dot(x, y, d) / sqrt(dot(x, x, d) * dot(y, y, d));
                near[n++].index = i;
            }
        }
        qsort(near, (size_t)n, sizeof *near, compare_near);
        int rank = slow_rank(near, k, temperature, bank, n_classes, query->labels[q]);
        right1 += rank < 1;
        right5 += rank < 5;
        asked++;
    }
    free(near);
    return (struct sl_score){(double)right1 / (double)asked,
                             (double)right5 / (double)asked};
}

/* ---- tests ------------------------------------------------------------------------- */

/* More rows than one block of the bank and one of queries; some rows unlabelled, some
 * with labels beyond the classes. */
static void test_equals_the_slow_implementation(void **state)
{
    enum { CLASSES = 12 };
    struct sl_features bank = make_random(4500, 9, CLASSES + 1, 1);
    struct sl_features query = make_random(650, 9, CLASSES + 1, 2);
    static const struct {
        int k;
        double temperature;
    } cases[] = {{1, 0.1}, {5, 0.1}, {5, 1.0}, {37, 0.07}, {130, 0.5}};
    (void)state;
    for (int64_t i = 0; i < bank.n; i += 11) {
        bank.labels[i] = -1;
    }
    for (int64_t i = 0; i < query.n; i += 7) {
        query.labels[i] = -1;
    }
    for (int i = 0; i < SL_COUNT(cases); i++) {
        int used = 0;
        struct sl_score fast =
            score_of(&bank, &query, CLASSES, cases[i].k, cases[i].temperature, &used);
        struct sl_score slow =
            slow_knn(&bank, &query, CLASSES, cases[i].k, cases[i].temperature);
        assert_int_equal(used, cases[i].k);
        assert_true(fast.acc1 == slow.acc1 && fast.acc5 == slow.acc5);
        /* Neither chance nor perfection: the comparison says something. */
        assert_true(slow.acc1 > 0.2 && slow.acc1 < 0.9 && slow.acc5 > slow.acc1);
    }
    sl_features_finish(&bank);
    sl_features_finish(&query);
}

struct counter {
    int64_t done, most;
    int asked;
};

static bool count_up(void *context, int64_t done)
{
    struct counter *counter = context;
    assert_true(done >= counter->done);
    counter->done = done;
    counter->asked++;
    return done < counter->most;
}

/* Asked after every block of similarities, and ended by a no with all memory given
 * back. */
static void test_tells_and_stops(void **state)
{
    struct sl_features bank = make_random(4500, 9, 5, 7);
    struct sl_features query = make_random(650, 9, 5, 8);
    struct counter counter = {.most = 10000};
    struct sl_knn_config config = {.n_classes = 5,
                                   .k = 5,
                                   .temperature = 0.1,
                                   .go_on = count_up,
                                   .go_on_context = &counter};
    struct sl_error err = {0};
    struct sl_score score = {0};
    int used = 0;
    (void)state;
    query.labels[3] = -1;
    assert_int_equal(sl_knn(&err, &device, &config, &bank, &query, &score, &used), SL_OK);
    assert_int_equal(counter.done, 649);
    assert_true(counter.asked > 2);
    struct sl_score silent = score_of(&bank, &query, 5, 5, 0.1, &used);
    assert_true(score.acc1 == silent.acc1 && score.acc5 == silent.acc5);
    counter = (struct counter){.most = 300};
    int64_t held = sl_heap_bytes();
    assert_int_equal(sl_knn(&err, &device, &config, &bank, &query, &score, &used),
                     SL_STOPPED);
    assert_true(counter.done >= 300 && counter.done < 649);
    assert_int_equal(sl_heap_bytes(), held);
    sl_features_finish(&bank);
    sl_features_finish(&query);
}

/* The other backend may round differently, which can move a row or two. */
static void test_backends_agree(void **state)
{
    struct sl_error err = {0};
    struct sl_features bank = make_random(4500, 48, 10, 3);
    struct sl_features query = make_random(400, 48, 10, 4);
    struct sl_score other = {0};
    struct sl_device fast;
    int used = 0;
    (void)state;
    struct sl_score score = score_of(&bank, &query, 10, 20, 0.1, &used);
    assert_int_equal(
        sl_device_open(&err, "auto", &(struct sl_backend_options){.threads = 2}, &fast),
        SL_OK);
    const struct sl_knn_config config = {.n_classes = 10, .k = 20, .temperature = 0.1};
    assert_int_equal(sl_knn(&err, &fast, &config, &bank, &query, &other, &used), SL_OK);
    assert_true(fabs(score.acc1 - other.acc1) <= 2.0 / 400);
    assert_true(fabs(score.acc5 - other.acc5) <= 2.0 / 400);
    sl_device_close(&fast);
    sl_features_finish(&bank);
    sl_features_finish(&query);
}

/* Every row of the bank is the same picture: the first k win, also when a nearer one
 * comes late and drives one of them out. */
static void test_ties_go_to_the_lower_index(void **state)
{
    static const int32_t labels[] = {1, 0, 1, 0, 1, 1, 1, 0, 0, 0, 0, 1};
    struct sl_features bank = make(SL_COUNT(labels), 3);
    struct sl_features query = make(1, 3);
    int used = 0;
    (void)state;
    for (int i = 0; i < SL_COUNT(labels); i++) {
        bank.labels[i] = labels[i];
        bank.values[i * 3 + 1] = 2.0F;
    }
    query.values[0] = 1.0F;
    query.values[1] = 1.0F;
    query.labels[0] = 1;
    assert_true(score_of(&bank, &query, 2, 3, 0.1, &used).acc1 == 1.0);
    assert_int_equal(used, 3);
    /* Row 7, of class 0, is nearer and 2 the last of its equals: 7, 0, 1 stay. */
    query.labels[0] = 0;
    bank.labels[0] = 0;
    bank.labels[1] = 1;
    bank.values[7 * 3] = 1.0F;
    assert_true(score_of(&bank, &query, 2, 3, 100.0, &used).acc1 == 1.0);
    bank.values[7 * 3] = 0.0F;
    bank.labels[0] = 1;
    bank.labels[1] = 0;
    query.labels[0] = 1;
    /* One vote each: the lower class ranks first. */
    assert_true(score_of(&bank, &query, 2, 2, 0.1, &used).acc1 == 0.0);
    query.labels[0] = 0;
    assert_true(score_of(&bank, &query, 2, 2, 0.1, &used).acc1 == 1.0);
    sl_features_finish(&bank);
    sl_features_finish(&query);
}

/* Duplicates among random rows, so that the cut at k falls between equal similarities. */
static void test_ties_among_random_rows(void **state)
{
    enum { KINDS = 40, COPIES = 120, D = 6 };
    struct sl_features bank = make_random((int64_t)KINDS * COPIES, D, 5, 5);
    struct sl_features query = make_random(60, D, 5, 6);
    int used = 0;
    (void)state;
    for (int64_t i = KINDS; i < bank.n; i++) {
        memcpy(bank.values + i * D, bank.values + i % KINDS * D, D * sizeof(float));
    }
    struct sl_score fast = score_of(&bank, &query, 5, 100, 0.1, &used);
    struct sl_score slow = slow_knn(&bank, &query, 5, 100, 0.1);
    assert_int_equal(used, 100);
    assert_true(fast.acc1 == slow.acc1 && fast.acc5 == slow.acc5);
    sl_features_finish(&bank);
    sl_features_finish(&query);
}

static void test_k_is_at_most_half_the_smallest_class(void **state)
{
    static const struct {
        int count[3], k, used;
    } cases[] = {{{20, 7, 30}, 200, 3}, {{20, 7, 30}, 2, 2}, {{20, 8, 30}, 4, 4},
                 {{20, 8, 30}, 5, 4},   {{4, 1, 4}, 200, 1}, {{10, 0, 10}, 200, 5}};
    (void)state;
    for (int i = 0; i < SL_COUNT(cases); i++) {
        const int *count = cases[i].count;
        /* Three rows more, without a label: they count for nothing. */
        struct sl_features bank =
            make_random(count[0] + count[1] + count[2] + 3, 4, 3, 20 + (uint32_t)i);
        int64_t at = 0;
        int used = 0;
        for (int c = 0; c < 3; c++) {
            for (int r = 0; r < count[c]; r++) {
                bank.labels[at++] = c;
            }
        }
        while (at < bank.n) {
            bank.labels[at++] = -1;
        }
        (void)score_of(&bank, &bank, 3, cases[i].k, 0.1, &used);
        assert_int_equal(used, cases[i].used);
        sl_features_finish(&bank);
    }
}

/* Seven classes, each with one row near the query, nearer the lower the class; all other
 * rows point away. */
static void test_top_five(void **state)
{
    enum { CLASSES = 7, EACH = 14 };
    struct sl_features bank = make(CLASSES * EACH, 2);
    struct sl_features query = make(1, 2);
    int used = 0;
    (void)state;
    for (int i = 0; i < CLASSES * EACH; i++) {
        int label = i % CLASSES;
        double angle = i < CLASSES ? 0.1 * (label + 1) : 3.0;
        bank.labels[i] = label;
        bank.values[2 * i] = (float)cos(angle);
        bank.values[2 * i + 1] = (float)sin(angle);
    }
    query.values[0] = 5.0F;
    for (int label = 0; label < CLASSES; label++) {
        query.labels[0] = label;
        struct sl_score score = score_of(&bank, &query, CLASSES, 200, 0.1, &used);
        assert_int_equal(used, CLASSES);
        assert_true(score.acc1 == (label < 1 ? 1.0 : 0.0));
        assert_true(score.acc5 == (label < 5 ? 1.0 : 0.0));
        /* A temperature at which exp underflows for all but the nearest. */
        assert_true(score_of(&bank, &query, CLASSES, 200, 1e-5, &used).acc1 ==
                    (label < 1 ? 1.0 : 0.0));
    }
    sl_features_finish(&bank);
    sl_features_finish(&query);
}

/* The nearest are far and the temperature small: votes must not all vanish. */
static void test_small_temperature_far_neighbours(void **state)
{
    struct sl_features bank = make(4, 2);
    struct sl_features query = make(1, 2);
    static const float values[] = {-1.0F, 0.5F, -1.0F, 0.6F, -1.0F, 0.0F, -1.0F, 0.1F};
    int used = 0;
    (void)state;
    memcpy(bank.values, values, sizeof values);
    bank.labels[0] = bank.labels[1] = 1;
    query.values[0] = 1.0F;
    query.labels[0] = 1;
    assert_true(score_of(&bank, &query, 2, 1, 1e-4, &used).acc1 == 1.0);
    sl_features_finish(&bank);
    sl_features_finish(&query);
}

/* A row of zeros has no direction; it is as far from all. */
static void test_zero_rows(void **state)
{
    struct sl_features bank = make(8, 2);
    struct sl_features query = make(2, 2);
    int used = 0;
    (void)state;
    for (int i = 0; i < 8; i++) {
        bank.labels[i] = i % 2;
        bank.values[2 * i] = i % 2 == 0 ? 1.0F : -1.0F;
    }
    bank.values[0] = 0.0F;
    query.labels[0] = 0;
    query.labels[1] = 1;
    query.values[2] = -3.0F;
    struct sl_score score = score_of(&bank, &query, 2, 2, 0.1, &used);
    /* The first query sees only ties: rows 0 and 1, one vote each, class 0 first. */
    assert_true(score.acc1 == 1.0);
    sl_features_finish(&bank);
    sl_features_finish(&query);
}

static void assert_fails(const struct sl_features *bank, const struct sl_features *query,
                         int k, double temperature, enum sl_status status)
{
    struct sl_error err = {0};
    struct sl_score score = {0};
    int used = 0;
    int64_t held = sl_heap_bytes();
    const struct sl_knn_config config = {
        .n_classes = 3, .k = k, .temperature = temperature};
    assert_int_equal(sl_knn(&err, &device, &config, bank, query, &score, &used), status);
    assert_true(err.text[0] != '\0');
    assert_int_equal(sl_heap_bytes(), held);
}

static void test_refusals(void **state)
{
    struct sl_features bank = make_random(30, 4, 3, 30);
    struct sl_features query = make_random(10, 4, 3, 31);
    (void)state;
    assert_fails(&bank, &query, 0, 0.1, SL_ERROR_USAGE);
    assert_fails(&bank, &query, 5, 0.0, SL_ERROR_USAGE);
    assert_fails(&bank, &query, 5, (double)NAN, SL_ERROR_USAGE);
    float keep = query.values[17];
    query.values[17] = NAN;
    assert_fails(&bank, &query, 5, 0.1, SL_ERROR_NUMBERS);
    query.values[17] = keep;
    bank.values[3] = INFINITY;
    assert_fails(&bank, &query, 5, 0.1, SL_ERROR_NUMBERS);
    bank.values[3] = 0.0F;
    for (int i = 0; i < 10; i++) {
        query.labels[i] = -1;
    }
    assert_fails(&bank, &query, 5, 0.1, SL_ERROR_DATA);
    assert_fails(&query, &bank, 5, 0.1, SL_ERROR_DATA);
    sl_features_finish(&bank);
    sl_features_finish(&query);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equals_the_slow_implementation),
        cmocka_unit_test(test_tells_and_stops),
        cmocka_unit_test(test_backends_agree),
        cmocka_unit_test(test_ties_go_to_the_lower_index),
        cmocka_unit_test(test_ties_among_random_rows),
        cmocka_unit_test(test_k_is_at_most_half_the_smallest_class),
        cmocka_unit_test(test_top_five),
        cmocka_unit_test(test_small_temperature_far_neighbours),
        cmocka_unit_test(test_zero_rows),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
