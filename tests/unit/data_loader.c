/* SPDX-License-Identifier: MIT */
/*
 * The loader: the same bits for any number of workers and from any starting step, views
 * that are those of sl_augment, damaged pictures replaced, shown grey or refused as the
 * policy says, and counted in the order of rows; sequential passes with a short last
 * batch. The thread sanitizer runs it too.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "data_testkit.h"

enum { SIZE = 16, BATCH = 8, N = 40 };

static const char SYNTHETIC[] = "synthetic:size=16,n=40,test=10,seed=3";

static struct sl_loader_config training(const struct sl_source *source, int n_workers)
{
    static const float mean[3] = {0.5f, 0.5f, 0.5f}, std[3] = {0.25f, 0.25f, 0.25f};
    struct sl_loader_config config = {
        .source = source,
        .n_views = 2,
        .batch = BATCH,
        .n_workers = n_workers,
        .seed = 7,
        .end_step = 12,
        .max_bad = 0.5,
    };
    struct sl_error err = {0};
    assert_int_equal(sl_recipe_named(&err, "mocov2", SIZE, mean, std, &config.recipe),
                     SL_OK);
    return config;
}

static struct sl_loader *create(const struct sl_loader_config *config)
{
    struct sl_error err = {0};
    struct sl_loader *loader = NULL;
    enum sl_status status = sl_loader_create(&err, config, &loader);
    assert_string_equal(err.text, "");
    assert_int_equal(status, SL_OK);
    return loader;
}

/* Hash of views, labels, ids and numbers of all batches; *n_batches of them. */
static uint64_t hash_all(const struct sl_loader_config *config, int *n_batches)
{
    struct sl_loader *loader = create(config);
    uint64_t hash = SL_HASH_START;
    for (*n_batches = 0;; ++*n_batches) {
        struct sl_error err = {0};
        struct sl_batch batch;
        assert_int_equal(sl_loader_acquire(&err, loader, &batch, NULL), SL_OK);
        if (batch.rows == 0) {
            break;
        }
        size_t rows = (size_t)batch.rows;
        size_t view = rows * SIZE * SIZE * 3 * sizeof(float);
        for (int v = 0; v < config->n_views; v++) {
            hash = sl_hash(hash, batch.views[v], view);
        }
        hash = sl_hash(hash, batch.labels, rows * sizeof(int32_t));
        hash = sl_hash(hash, batch.ids, rows * sizeof(int32_t));
        hash = sl_hash(hash, &batch.step, sizeof(batch.step));
        hash = sl_hash(hash, &batch.epoch, sizeof(batch.epoch));
        sl_loader_release(loader);
    }
    sl_loader_destroy(loader);
    return hash;
}

static void test_same_bits_for_any_workers(void **state)
{
    (void)state;
    struct sl_source *source = kit_open(SYNTHETIC, SL_PART_TRAIN, true);
    int n_batches = 0;
    struct sl_loader_config config = training(source, 1);
    uint64_t one = hash_all(&config, &n_batches);
    assert_int_equal(n_batches, 12);
    for (int workers = 2; workers <= 4; workers++) {
        config.n_workers = workers;
        assert_true(hash_all(&config, &n_batches) == one);
        assert_int_equal(n_batches, 12);
    }
    config.seed++;
    assert_true(hash_all(&config, &n_batches) != one);
    sl_source_close(source);
}

/* A resumed loader gives what the uninterrupted one gives from there, and every view is
 * the one that sl_augment makes of the picture the batch names. */
static void test_resumes_and_names_its_pictures(void **state)
{
    (void)state;
    struct sl_source *source = kit_open(SYNTHETIC, SL_PART_TRAIN, true);
    struct sl_loader_config config = training(source, 2), later = config;
    later.first_step = 7;
    struct sl_loader *whole = create(&config), *rest = create(&later);
    struct sl_arena *arena = kit_arena();
    struct sl_error err = {0};
    float view[SIZE * SIZE * 3];
    int seen[N] = {0};
    for (int64_t step = 0; step < config.end_step; step++) {
        struct sl_batch a, b;
        assert_int_equal(sl_loader_acquire(&err, whole, &a, NULL), SL_OK);
        assert_true(a.step == step && a.epoch == step / (N / BATCH) && a.rows == BATCH);
        for (int row = 0; row < a.rows && step < N / BATCH; row++) {
            seen[a.ids[row]]++;
        }
        for (uint32_t v = 0; v < 2; v++) {
            struct sl_image image;
            sl_arena_reset_all(arena);
            assert_int_equal(sl_source_read(&err, source, a.ids[3], arena, &image),
                             SL_OK);
            assert_int_equal(sl_augment(&err, &config.recipe, &image, config.seed,
                                        (uint32_t)a.epoch, (uint32_t)a.ids[3], v, arena,
                                        view),
                             SL_OK);
            assert_memory_equal(view, a.views[v] + 3 * SIZE * SIZE * 3, sizeof(view));
        }
        if (step >= later.first_step) {
            assert_int_equal(sl_loader_acquire(&err, rest, &b, NULL), SL_OK);
            assert_memory_equal(a.views[1], b.views[1], sizeof(view) * BATCH);
            assert_memory_equal(a.ids, b.ids, sizeof(*a.ids) * BATCH);
            sl_loader_release(rest);
        }
        sl_loader_release(whole);
    }
    for (int i = 0; i < N; i++) {
        assert_int_equal(seen[i], 1); /* an epoch shows every picture once */
    }
    sl_loader_destroy(whole);
    sl_loader_destroy(rest);
    sl_arena_destroy(arena);
    sl_source_close(source);
}

/* 12 good pictures and 4 that are only words. */
static struct sl_source *damaged_folder(void)
{
    char path[64];
    for (int i = 0; i < 16; i++) {
        (void)snprintf(path, sizeof(path), "mixed/p%02d.ppm", i);
        if (i % 4 == 1) {
            kit_write(path, "these are words", 15);
        } else {
            kit_write_ppm(path, 20, 24, i);
        }
    }
    return kit_open("mixed", SL_PART_TRAIN, true);
}

static void test_damaged_pictures_are_replaced(void **state)
{
    (void)state;
    struct sl_source *source = damaged_folder();
    struct sl_loader_config config = training(source, 1);
    config.end_step = 6;
    int n_batches = 0;
    uint64_t one = hash_all(&config, &n_batches);
    config.n_workers = 4;
    assert_true(hash_all(&config, &n_batches) == one);
    assert_int_equal(n_batches, 6);

    struct sl_loader *loader = create(&config);
    struct sl_error err = {0};
    for (int step = 0; step < 2; step++) { /* one epoch meets every picture */
        struct sl_batch batch;
        assert_int_equal(sl_loader_acquire(&err, loader, &batch, NULL), SL_OK);
        for (int row = 0; row < batch.rows; row++) {
            assert_int_not_equal(batch.ids[row] % 4, 1);
        }
        sl_loader_release(loader);
    }
    assert_int_equal(sl_loader_bad_count(loader), 4);
    for (int i = 0; i < 4; i++) {
        assert_non_null(strstr(sl_loader_bad_name(loader, i), ".ppm"));
        assert_true(strlen(sl_loader_bad_reason(loader, i)) > 10);
    }
    sl_loader_destroy(loader);
    sl_source_close(source);
}

/* The status of the first acquire that fails, and the step it was at. */
static enum sl_status first_failure(const struct sl_loader_config *config, int64_t *step)
{
    struct sl_loader *loader = create(config);
    enum sl_status status = SL_OK;
    for (*step = 0; status == SL_OK; ++*step) {
        struct sl_error err = {0};
        struct sl_batch batch;
        status = sl_loader_acquire(&err, loader, &batch, NULL);
        if (status == SL_OK && batch.rows == 0) {
            break;
        }
        if (status == SL_OK) {
            sl_loader_release(loader);
        } else {
            assert_true(strlen(err.text) > 10);
        }
    }
    sl_loader_destroy(loader);
    return status;
}

static void test_policies_and_threshold(void **state)
{
    (void)state;
    struct sl_source *source = damaged_folder();
    struct sl_loader_config config = training(source, 1);
    int64_t one = 0, many = 0;
    config.end_step = 6;
    config.max_bad = 0.1; /* 4 of 16 are damaged */
    assert_int_equal(first_failure(&config, &one), SL_ERROR_DATA);
    config.n_workers = 4;
    assert_int_equal(first_failure(&config, &many), SL_ERROR_DATA);
    assert_true(one == many);
    config.max_bad = 0.5;
    config.bad_policy = SL_BAD_STOP;
    assert_int_equal(first_failure(&config, &one), SL_ERROR_DATA);
    config.bad_policy = SL_BAD_GREY;
    assert_int_equal(first_failure(&config, &one), SL_OK);
    sl_source_close(source);
}

static void test_sequential_pass(void **state)
{
    (void)state;
    static const int32_t subset[] = {3, 1, 30, 12, 7, 9, 22, 5, 39, 0, 11};
    struct sl_source *source = kit_open(SYNTHETIC, SL_PART_TRAIN, true);
    struct sl_loader_config config = training(source, 3);
    struct sl_error err = {0};
    struct sl_batch batch;
    int64_t at = 0;
    config.sequential = true;
    config.n_views = 1;
    config.subset = subset;
    config.n_subset = SL_COUNT(subset);
    struct sl_loader *loader = create(&config);
    for (;;) {
        assert_int_equal(sl_loader_acquire(&err, loader, &batch, NULL), SL_OK);
        if (batch.rows == 0) {
            break;
        }
        for (int row = 0; row < batch.rows; row++) {
            assert_int_equal(batch.ids[row], subset[at]);
            assert_int_equal(batch.labels[row], sl_source_label(source, subset[at]));
            at++;
        }
        sl_loader_release(loader);
    }
    assert_int_equal(at, SL_COUNT(subset));
    sl_loader_destroy(loader);
    sl_source_close(source);

    /* Damaged ones are left out: rows shrink, order stays. */
    source = damaged_folder();
    config = training(source, 2);
    config.sequential = true;
    config.n_views = 1;
    config.max_bad = 1.0;
    loader = create(&config);
    int32_t last = -1;
    for (at = 0;; at += batch.rows) {
        assert_int_equal(sl_loader_acquire(&err, loader, &batch, NULL), SL_OK);
        if (batch.rows == 0) {
            break;
        }
        for (int row = 0; row < batch.rows; row++) {
            assert_true(batch.ids[row] > last && batch.ids[row] % 4 != 1);
            last = batch.ids[row];
        }
        sl_loader_release(loader);
    }
    assert_int_equal(at, 12);
    assert_int_equal(sl_loader_bad_count(loader), 4);
    sl_loader_destroy(loader);
    sl_source_close(source);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_bits_for_any_workers),
        cmocka_unit_test(test_resumes_and_names_its_pictures),
        cmocka_unit_test(test_damaged_pictures_are_replaced),
        cmocka_unit_test(test_policies_and_threshold),
        cmocka_unit_test(test_sequential_pass),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
