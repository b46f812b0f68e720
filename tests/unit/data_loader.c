/* SPDX-License-Identifier: MIT */
/*
 * The loader: the same bits for any number of workers and slots, batches that follow from
 * the step alone (so that a run can begin anywhere), every picture once an epoch, damaged
 * pictures handled by each policy at the same place whatever the timing, and no memory
 * taken once warm. The thread sanitizer runs this.
 */
#include "unit/data_testkit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { SIZE = 12, ROW = SIZE * SIZE * 3 };

static struct sl_loader_config config_of(const struct sl_source *source, int batch,
                                         int workers)
{
    struct sl_error err = {0};
    const float mean[3] = {0.4f, 0.5f, 0.6f}, std[3] = {0.2f, 0.3f, 0.4f};
    struct sl_loader_config config = {.source = source,
                                      .n_views = 2,
                                      .batch = batch,
                                      .n_workers = workers,
                                      .seed = 5,
                                      .end_step = 12,
                                      .max_bad = 0.5};
    assert_int_equal(sl_recipe_named(&err, "mocov2", SIZE, mean, std, &config.recipe),
                     SL_OK);
    return config;
}

static struct sl_loader *loader_of(const struct sl_loader_config *config)
{
    struct sl_error err = {0};
    struct sl_loader *loader = NULL;
    if (sl_loader_create(&err, config, &loader) != SL_OK) {
        fail_msg("%s", err.text);
    }
    return loader;
}

/* Hash of everything in a batch. */
static uint64_t hash_batch(const struct sl_batch *batch, int n_views)
{
    uint64_t hash = SL_HASH_START;
    for (int v = 0; v < n_views; v++) {
        hash = sl_hash(hash, batch->views[v], (size_t)batch->rows * ROW * sizeof(float));
    }
    hash = sl_hash(hash, batch->labels, (size_t)batch->rows * sizeof(int32_t));
    hash = sl_hash(hash, batch->ids, (size_t)batch->rows * sizeof(int32_t));
    hash = sl_hash(hash, &batch->step, sizeof(batch->step));
    return sl_hash(hash, &batch->epoch, sizeof(batch->epoch));
}

/* Hashes of all batches of a run; returns how many there were. */
static int run_hashes(const struct sl_loader_config *config, uint64_t hashes[64])
{
    struct sl_error err = {0};
    struct sl_loader *loader = loader_of(config);
    int n = 0;
    for (;;) {
        struct sl_batch batch;
        double waited = -1;
        if (sl_loader_acquire(&err, loader, &batch, &waited) != SL_OK) {
            fail_msg("%s", err.text);
        }
        assert_true(waited >= 0);
        if (batch.rows == 0) {
            break;
        }
        assert_true(n < 64);
        hashes[n++] = hash_batch(&batch, config->n_views);
        sl_loader_release(loader);
    }
    sl_loader_destroy(loader);
    return n;
}

static void test_workers(void **state)
{
    (void)state;
    struct sl_source *source = kit_open("synthetic:size=16,n=50", SL_PART_TRAIN, true);
    uint64_t want[64], got[64];
    struct sl_loader_config config = config_of(source, 8, 1);
    assert_int_equal(run_hashes(&config, want), 12);
    for (int i = 1; i < 12; i++) {
        assert_true(want[i] != want[i - 1]);
    }
    for (int workers = 2; workers <= 4; workers += 2) {
        config = config_of(source, 8, workers);
        assert_int_equal(run_hashes(&config, got), 12);
        assert_memory_equal(got, want, 12 * sizeof(uint64_t));
    }
    config.n_slots = 1;
    assert_int_equal(run_hashes(&config, got), 12);
    assert_memory_equal(got, want, 12 * sizeof(uint64_t));
    config.n_slots = 7;
    config.first_step = 7; /* in the second epoch: six batches an epoch */
    assert_int_equal(run_hashes(&config, got), 5);
    assert_memory_equal(got, want + 7, 5 * sizeof(uint64_t));
    sl_source_close(source);
}

static void test_epochs(void **state)
{
    (void)state;
    struct sl_error err = {0};
    struct sl_source *source = kit_open("synthetic:size=16,n=50", SL_PART_TRAIN, true);
    struct sl_loader_config config = config_of(source, 8, 2);
    struct sl_loader *loader = loader_of(&config);
    int32_t order[50];
    int n_seen[50] = {0};
    for (int step = 0; step < 12; step++) {
        struct sl_batch batch;
        assert_int_equal(sl_loader_acquire(&err, loader, &batch, NULL), SL_OK);
        assert_int_equal(batch.rows, 8);
        assert_int_equal(batch.step, step);
        assert_int_equal(batch.epoch, step / 6);
        sl_sampler_order(config.seed, (uint32_t)(step / 6), 50, order);
        for (int r = 0; r < 8; r++) {
            assert_int_equal(batch.ids[r], order[step % 6 * 8 + r]);
            assert_int_equal(batch.labels[r], sl_source_label(source, batch.ids[r]));
            n_seen[batch.ids[r]] += step < 6 ? 1 : 0;
        }
        sl_loader_release(loader);
    }
    for (int i = 0; i < 50; i++) {
        assert_true(n_seen[i] <= 1);
    }
    sl_loader_destroy(loader);
    sl_source_close(source);
}

/* A row is sl_augment of its picture under the documented key. */
static void test_rows_are_views(void **state)
{
    (void)state;
    struct sl_error err = {0};
    struct sl_source *source = kit_open("synthetic:size=16,n=50", SL_PART_TRAIN, true);
    struct sl_loader_config config = config_of(source, 8, 2);
    config.first_step = 9;
    struct sl_loader *loader = loader_of(&config);
    struct sl_arena *arena = kit_arena();
    struct sl_batch batch;
    float want[ROW];
    assert_int_equal(sl_loader_acquire(&err, loader, &batch, NULL), SL_OK);
    for (int r = 0; r < 8; r++) {
        for (uint32_t v = 0; v < 2; v++) {
            struct sl_image image;
            sl_arena_reset_all(arena);
            assert_int_equal(sl_source_read(&err, source, batch.ids[r], arena, &image),
                             SL_OK);
            assert_int_equal(sl_augment(&err, &config.recipe, &image, 5, 1,
                                        (uint32_t)batch.ids[r], v, arena, want),
                             SL_OK);
            assert_memory_equal(batch.views[v] + r * ROW, want, sizeof(want));
        }
    }
    sl_arena_destroy(arena);
    sl_loader_destroy(loader); /* with a batch still lent */
    sl_source_close(source);
}

static void test_sequential(void **state)
{
    (void)state;
    struct sl_error err = {0};
    struct sl_source *source = kit_open("synthetic:size=16,n=50", SL_PART_TRAIN, true);
    static const int32_t subset[5] = {40, 3, 3, 49, 0};
    for (int pass = 0; pass < 2; pass++) {
        struct sl_loader_config config = config_of(source, pass == 0 ? 8 : 3, 3);
        config.sequential = true;
        config.n_views = 1;
        config.subset = pass == 0 ? NULL : subset;
        config.n_subset = pass == 0 ? 0 : 5;
        assert_int_equal(sl_recipe_named(&err, "eval", SIZE, config.recipe.mean,
                                         config.recipe.std, &config.recipe),
                         SL_OK);
        struct sl_loader *loader = loader_of(&config);
        int n = 0;
        for (;;) {
            struct sl_batch batch;
            assert_int_equal(sl_loader_acquire(&err, loader, &batch, NULL), SL_OK);
            if (batch.rows == 0) {
                break;
            }
            for (int r = 0; r < batch.rows; r++, n++) {
                assert_int_equal(batch.ids[r], pass == 0 ? n : subset[n]);
            }
            sl_loader_release(loader);
        }
        assert_int_equal(n, pass == 0 ? 50 : 5);
        sl_loader_destroy(loader);
    }
    sl_source_close(source);
}

static void test_usage(void **state)
{
    (void)state;
    struct sl_error err = {0};
    struct sl_loader *loader = NULL;
    struct sl_source *source = kit_open("synthetic:size=16,n=50", SL_PART_TRAIN, true);
    struct sl_loader_config config = config_of(source, 51, 1);
    assert_int_equal(sl_loader_create(&err, &config, &loader), SL_ERROR_USAGE);
    assert_non_null(strstr(err.text, "larger than the data"));
    assert_null(loader);
    sl_error_clear(&err);
    config.batch = 0;
    assert_int_equal(sl_loader_create(&err, &config, &loader), SL_ERROR_USAGE);
    sl_source_close(source);
}

/* ---- damaged pictures -------------------------------------------------------------- */

/* Twenty pictures, of which those with number 3, 4 and 11 are not. */
static struct sl_source *damaged_source(void)
{
    for (int i = 0; i < 20; i++) {
        char path[64];
        snprintf(path, sizeof(path), "damaged/%02d.ppm", i);
        if (i == 3 || i == 4 || i == 11) {
            kit_write(path, "P6\n9 9\n255\n cut", 15);
        } else {
            kit_write_ppm(path, 14, 10 + i, i);
        }
    }
    return kit_open("damaged", SL_PART_TRAIN, true);
}

static bool is_damaged(int32_t id)
{
    return id == 3 || id == 4 || id == 11;
}

static void test_skip(void **state)
{
    (void)state;
    struct sl_error err = {0};
    struct sl_source *source = damaged_source();
    uint64_t want[64], got[64];
    struct sl_loader_config config = config_of(source, 5, 1);
    int n = run_hashes(&config, want);
    assert_int_equal(n, 12);
    config.n_workers = 4;
    assert_int_equal(run_hashes(&config, got), 12);
    assert_memory_equal(want, got, 12 * sizeof(uint64_t));
    struct sl_loader *loader = loader_of(&config);
    for (int step = 0; step < 4; step++) {
        struct sl_batch batch;
        int32_t order[20];
        sl_sampler_order(config.seed, 0, 20, order);
        assert_int_equal(sl_loader_acquire(&err, loader, &batch, NULL), SL_OK);
        assert_int_equal(batch.rows, 5);
        for (int r = 0; r < 5; r++) {
            int p = step * 5 + r;
            while (is_damaged(order[p % 20])) {
                p++;
            }
            assert_int_equal(batch.ids[r], order[p % 20]);
        }
        sl_loader_release(loader);
    }
    assert_int_equal(sl_loader_bad_count(loader), 3);
    for (int64_t i = 0; i < 3; i++) {
        const char *name = sl_loader_bad_name(loader, i);
        assert_true(strcmp(name, "damaged/03.ppm") == 0 ||
                    strcmp(name, "damaged/04.ppm") == 0 ||
                    strcmp(name, "damaged/11.ppm") == 0);
        assert_string_equal(sl_loader_bad_reason(loader, i),
                            "damaged PNM: the file is cut short");
    }
    sl_loader_destroy(loader);
    sl_source_close(source);
}

/* The batch at which a run ends, or -1. */
static int fails_at(const struct sl_loader_config *config, const char *word)
{
    struct sl_loader *loader = loader_of(config);
    int at = -1;
    for (int step = 0; step < 12 && at < 0; step++) {
        struct sl_error err = {0};
        struct sl_batch batch;
        enum sl_status status = sl_loader_acquire(&err, loader, &batch, NULL);
        if (status == SL_OK) {
            sl_loader_release(loader);
            continue;
        }
        assert_int_equal(status, SL_ERROR_DATA);
        if (strstr(err.text, word) == NULL) {
            fail_msg("the message is: %s", err.text);
        }
        at = step;
    }
    sl_loader_destroy(loader);
    return at;
}

/* Where in the epoch's order the k-th damaged picture (k from 1) stands, in batches of 5.
 */
static int batch_of_damaged(uint64_t seed, int k)
{
    int32_t order[20];
    sl_sampler_order(seed, 0, 20, order);
    for (int p = 0;; p++) {
        k -= is_damaged(order[p]) ? 1 : 0;
        if (k == 0) {
            return p / 5;
        }
    }
}

/* The threshold bites at the same batch for any number of workers, and not before. */
static void test_threshold(void **state)
{
    (void)state;
    struct sl_source *source = damaged_source();
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct sl_loader_config config = config_of(source, 5, 1);
        config.seed = seed;
        config.max_bad = 0.11; /* two of twenty */
        int at = fails_at(&config, "3 of 20 pictures are damaged");
        assert_true(at >= 0 && at <= batch_of_damaged(seed, 3));
        config.n_workers = 3;
        assert_int_equal(fails_at(&config, "3 of 20 pictures are damaged"), at);
        config.max_bad = 0.15; /* three are let through */
        assert_int_equal(fails_at(&config, ""), -1);
        config.bad_policy = SL_BAD_STOP;
        assert_int_equal(fails_at(&config, "cut short"), batch_of_damaged(seed, 1));
    }
    sl_source_close(source);
}

static void test_all_damaged(void **state)
{
    (void)state;
    for (int i = 0; i < 6; i++) {
        char path[64];
        snprintf(path, sizeof(path), "hopeless/%d.ppm", i);
        kit_write(path, "not a picture\n", 14);
    }
    struct sl_source *source = kit_open("hopeless", SL_PART_TRAIN, true);
    struct sl_loader_config config = config_of(source, 2, 2);
    assert_int_equal(fails_at(&config, "4 of 6 pictures are damaged"), 0);
    config.max_bad = 1.0;
    assert_int_equal(fails_at(&config, "no readable picture is left"), 0);
    sl_source_close(source);
}

static void test_grey(void **state)
{
    (void)state;
    struct sl_error err = {0};
    struct sl_source *source = damaged_source();
    struct sl_loader_config config = config_of(source, 5, 2);
    config.bad_policy = SL_BAD_GREY;
    config.recipe.jitter_p = 0;
    struct sl_loader *loader = loader_of(&config);
    int n_grey = 0;
    for (int step = 0; step < 4; step++) {
        struct sl_batch batch;
        assert_int_equal(sl_loader_acquire(&err, loader, &batch, NULL), SL_OK);
        for (int r = 0; r < 5; r++) {
            const float *row = batch.views[1] + r * ROW;
            bool is_grey = true;
            for (int i = 0; i < ROW; i++) {
                float value =
                    row[i] * config.recipe.std[i % 3] + config.recipe.mean[i % 3];
                is_grey = is_grey && value > 0.5f && value < 0.504f;
            }
            assert_int_equal(is_grey, is_damaged(batch.ids[r]));
            n_grey += is_grey;
        }
        sl_loader_release(loader);
    }
    assert_int_equal(n_grey, 3);
    assert_int_equal(sl_loader_bad_count(loader), 3);
    sl_loader_destroy(loader);
    sl_source_close(source);
}

/* In order and once, the damaged ones are left out and the rest moves up. */
static void test_sequential_skip(void **state)
{
    (void)state;
    struct sl_error err = {0};
    struct sl_source *source = damaged_source();
    for (int workers = 1; workers <= 3; workers++) {
        struct sl_loader_config config = config_of(source, 6, workers);
        config.sequential = true;
        config.n_views = 1;
        struct sl_loader *loader = loader_of(&config);
        int32_t next = 0;
        for (;;) {
            struct sl_batch batch;
            float want[ROW];
            assert_int_equal(sl_loader_acquire(&err, loader, &batch, NULL), SL_OK);
            if (batch.rows == 0) {
                break;
            }
            for (int r = 0; r < batch.rows; r++, next++) {
                struct sl_image image;
                struct sl_arena *arena = kit_arena();
                next += next == 3 ? 2 : next == 11 ? 1 : 0;
                assert_int_equal(batch.ids[r], next);
                assert_int_equal(sl_source_read(&err, source, next, arena, &image),
                                 SL_OK);
                assert_int_equal(sl_augment(&err, &config.recipe, &image, 5, 0,
                                            (uint32_t)next, 0, arena, want),
                                 SL_OK);
                assert_memory_equal(batch.views[0] + r * ROW, want, sizeof(want));
                sl_arena_destroy(arena);
            }
            sl_loader_release(loader);
        }
        assert_int_equal(next, 20);
        /* A whole batch of damaged ones is passed over, not taken for the end. */
        static const int32_t subset[5] = {3, 4, 11, 3, 7};
        sl_loader_destroy(loader);
        config.subset = subset;
        config.n_subset = 5;
        config.batch = 2;
        loader = loader_of(&config);
        struct sl_batch batch;
        assert_int_equal(sl_loader_acquire(&err, loader, &batch, NULL), SL_OK);
        assert_int_equal(batch.rows, 1);
        assert_int_equal(batch.ids[0], 7);
        sl_loader_release(loader);
        sl_loader_destroy(loader);
    }
    sl_source_close(source);
}

/* ---- memory ------------------------------------------------------------------------ */

static void test_no_allocation_when_warm(void **state)
{
    (void)state;
    struct sl_error err = {0};
    struct sl_source *source = kit_open("synthetic:size=16,n=50", SL_PART_TRAIN, true);
    struct sl_loader_config config = config_of(source, 8, 2);
    config.end_step = 40;
    struct sl_loader *loader = loader_of(&config);
    int64_t calls = 0;
    for (int step = 0; step < 40; step++) {
        struct sl_batch batch;
        assert_int_equal(sl_loader_acquire(&err, loader, &batch, NULL), SL_OK);
        calls = step == 1 ? sl_heap_calls() : calls;
        sl_loader_release(loader);
    }
    assert_int_equal(sl_heap_calls(), calls);
    sl_loader_destroy(loader);
    sl_source_close(source);
}

/* Fifty epochs over files of several formats and sizes, some of them damaged, take what
 * the first one took. */
static void test_flat_over_epochs(void **state)
{
    static const char *const names[] = {"420.jpg", "rgb.png", "grey.jpg",
                                        "progressive.jpg"};
    enum { FILES = 24, STEPS = FILES / 8, EPOCHS = 50 };
    (void)state;
    struct sl_error err = {0};
    char path[64];
    if (!kit_is_read("a.jpg") || !kit_is_read("a.png")) {
        skip();
    }
    kit_remove("flat");
    for (int i = 0; i < FILES; i++) {
        (void)snprintf(path, sizeof(path), "flat/%02d.%s", i, i % 6 == 5 ? "ppm" : "jpg");
        if (i % 6 == 5) {
            kit_write_ppm(path, 30 + i, 50 - i, i);
        } else {
            kit_copy_golden(names[i % 4], path, i % 8 == 2 ? 300 : -1);
        }
    }
    struct sl_source *source = kit_open("flat", SL_PART_TRAIN, true);
    struct sl_loader_config config = config_of(source, 8, 1);
    config.end_step = (int64_t)EPOCHS * STEPS;
    config.max_bad = 1.0;
    struct sl_loader *loader = loader_of(&config);
    int64_t calls = 0, bytes = 0, bad = 0;
    for (int step = 0; step < EPOCHS * STEPS; step++) {
        struct sl_batch batch;
        assert_int_equal(sl_loader_acquire(&err, loader, &batch, NULL), SL_OK);
        if (step == 2 * STEPS) { /* every file was met */
            calls = sl_heap_calls();
            bytes = sl_heap_bytes();
            bad = sl_loader_bad_count(loader);
        }
        sl_loader_release(loader);
    }
    assert_int_equal(bad, 3);
    assert_int_equal(sl_loader_bad_count(loader), bad);
    assert_int_equal(sl_heap_calls(), calls);
    assert_int_equal(sl_heap_bytes(), bytes);
    sl_loader_destroy(loader);
    sl_source_close(source);
}

/* Every allocation of opening may fail: an error, and nothing is left behind. */
static void test_failing_allocations(void **state)
{
    (void)state;
    struct sl_source *source = kit_open("synthetic:size=16,n=50", SL_PART_TRAIN, true);
    struct sl_loader_config config = config_of(source, 8, 2);
    int64_t held = sl_heap_bytes();
    int n_failures = 0;
    for (int64_t k = 1; k < 200; k++) {
        struct sl_error err = {0};
        struct sl_loader *loader = NULL;
        sl_heap_fail_at(k);
        enum sl_status status = sl_loader_create(&err, &config, &loader);
        if (status == SL_OK) { /* the failure may hit a worker, which reports it in its
                                  row */
            struct sl_batch batch;
            status = sl_loader_acquire(&err, loader, &batch, NULL);
        }
        sl_heap_fail_at(0);
        sl_loader_destroy(loader);
        assert_int_equal(sl_heap_bytes(), held);
        assert_true(status == SL_OK || status == SL_ERROR_RUN);
        n_failures += status != SL_OK;
    }
    assert_true(n_failures > 10);
    sl_source_close(source);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_workers),
        cmocka_unit_test(test_epochs),
        cmocka_unit_test(test_rows_are_views),
        cmocka_unit_test(test_sequential),
        cmocka_unit_test(test_usage),
        cmocka_unit_test(test_skip),
        cmocka_unit_test(test_threshold),
        cmocka_unit_test(test_all_damaged),
        cmocka_unit_test(test_grey),
        cmocka_unit_test(test_sequential_skip),
        cmocka_unit_test(test_no_allocation_when_warm),
        cmocka_unit_test(test_flat_over_epochs),
        cmocka_unit_test(test_failing_allocations),
    };
    return cmocka_run_group_tests_name("data_loader", tests, NULL, NULL);
}
