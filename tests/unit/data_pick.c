/* SPDX-License-Identifier: MIT */
/*
 * Picks of labelled pictures: even over the classes as far as these reach, distinct and
 * labelled, nested for one seed, other for another, and whole when all are asked for.
 * Then the loader that trains on one.
 */
#include "unit/data_testkit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { MOST = 64, CLASSES_MOST = 8 };

/* A list file: class c has sizes[c] pictures, mixed; `unlabelled` more have no class. */
static struct sl_source *open_list(const char *name, const int *sizes, int n_classes,
                                   int unlabelled)
{
    char text[8192];
    char at[64];
    size_t length = 0;
    int left[CLASSES_MOST + 1];
    int n = 0;
    for (int c = 0; c < n_classes; c++) {
        left[c] = sizes[c];
    }
    left[n_classes] = unlabelled;
    for (bool any = true; any;) {
        any = false;
        for (int c = 0; c <= n_classes; c++) {
            if (left[c] == 0) {
                continue;
            }
            left[c]--;
            any = true;
            (void)snprintf(at, sizeof at, "pick/%02d.ppm", n);
            kit_write_ppm(at, 12, 12, n);
            int added = c == n_classes ? snprintf(text + length, sizeof text - length,
                                                  "%02d.ppm\n", n)
                                       : snprintf(text + length, sizeof text - length,
                                                  "%02d.ppm\tclass%d\n", n, c);
            length += (size_t)added;
            n++;
        }
    }
    (void)snprintf(at, sizeof at, "pick/%s.txt", name);
    kit_write(at, text, length);
    (void)snprintf(at, sizeof at, "@pick/%s.txt", name);
    return kit_open(at, SL_PART_TRAIN, true);
}

static struct sl_pick pick_of(const struct sl_source *source, int64_t n, uint64_t seed)
{
    struct sl_error err = {0};
    struct sl_pick pick;
    if (sl_pick_create(&err, source, n, seed, &pick) != SL_OK) {
        fail_msg("%s", err.text);
    }
    return pick;
}

/* What holds for every pick; gives how many each class got. */
static void check_pick(const struct sl_source *source, const struct sl_pick *pick,
                       int64_t n, const int *sizes, int got[CLASSES_MOST])
{
    int n_classes = sl_source_classes(source);
    int64_t smallest = INT64_MAX;
    memset(got, 0, sizeof(int) * CLASSES_MOST);
    assert_int_equal(pick->n, n);
    for (int64_t i = 0; i < n; i++) {
        int label = sl_source_label(source, pick->ids[i]);
        assert_true(i == 0 || pick->ids[i] > pick->ids[i - 1]);
        assert_true(label >= 0);
        got[label]++;
    }
    int most = 0;
    for (int c = 0; c < n_classes; c++) {
        most = got[c] > most ? got[c] : most;
        smallest = got[c] < smallest ? got[c] : smallest;
    }
    for (int c = 0; c < n_classes; c++) {
        assert_true(got[c] >= most - 1 || got[c] == sizes[c]);
    }
    assert_int_equal(pick->level, most);
    assert_int_equal(pick->smallest, smallest);
    assert_int_equal(got[pick->smallest_class], smallest);
}

static bool holds(const struct sl_pick *larger, const struct sl_pick *smaller)
{
    int64_t k = 0;
    for (int64_t i = 0; i < larger->n && k < smaller->n; i++) {
        k += larger->ids[i] == smaller->ids[k];
    }
    return k == smaller->n;
}

static void check_all(const char *name, const int *sizes, int n_classes, int unlabelled)
{
    struct sl_source *source = open_list(name, sizes, n_classes, unlabelled);
    int64_t labelled = sl_source_labelled(source);
    int got[CLASSES_MOST];
    int64_t total = 0;
    for (int c = 0; c < n_classes; c++) {
        total += sizes[c];
    }
    assert_int_equal(labelled, total);
    assert_int_equal(sl_source_count(source), total + unlabelled);
    for (uint64_t seed = 0; seed < 3; seed++) {
        struct sl_pick before = {0};
        for (int64_t n = 1; n <= labelled; n++) {
            struct sl_pick pick = pick_of(source, n, seed);
            struct sl_pick again = pick_of(source, n, seed);
            check_pick(source, &pick, n, sizes, got);
            assert_memory_equal(pick.ids, again.ids, (size_t)n * sizeof *pick.ids);
            assert_true(holds(&pick, &before));
            sl_pick_finish(&before);
            sl_pick_finish(&again);
            before = pick;
        }
        for (int c = 0; c < n_classes; c++) {
            assert_int_equal(got[c], sizes[c]);
        }
        sl_pick_finish(&before);
    }
    sl_source_close(source);
}

static void test_picks(void **state)
{
    static const int even[] = {9, 9, 9, 9};
    static const int uneven[] = {1, 20, 4, 7, 2};
    static const int one[] = {11};
    (void)state;
    check_all("even", even, 4, 0);
    check_all("uneven", uneven, 5, 6);
    check_all("one", one, 1, 1);
}

static void test_seeds_differ(void **state)
{
    static const int sizes[] = {12, 12, 12};
    struct sl_source *source = open_list("seeds", sizes, 3, 0);
    struct sl_pick a = pick_of(source, 9, 1);
    struct sl_pick b = pick_of(source, 9, 2);
    (void)state;
    assert_memory_not_equal(a.ids, b.ids, 9 * sizeof *a.ids);
    sl_pick_finish(&a);
    sl_pick_finish(&b);
    sl_source_close(source);
}

/* A loader that trains on a pick shows each of its pictures once an epoch, in the order
 * of the epoch, whatever the number of workers, and no other. */
static void test_training_on_a_pick(void **state)
{
    static const int sizes[] = {10, 10, 10};
    const float mean[3] = {0.4f, 0.5f, 0.6f}, std[3] = {0.2f, 0.3f, 0.4f};
    struct sl_error err = {0};
    struct sl_source *source = open_list("train", sizes, 3, 5);
    struct sl_pick pick = pick_of(source, 12, 4);
    uint64_t first = 0;
    (void)state;
    for (int workers = 1; workers <= 3; workers++) {
        struct sl_loader_config config = {.source = source,
                                          .n_views = 1,
                                          .batch = 4,
                                          .n_workers = workers,
                                          .seed = 5,
                                          .end_step = 6,
                                          .max_bad = 0.1,
                                          .subset = pick.ids,
                                          .n_subset = pick.n};
        struct sl_loader *loader = NULL;
        uint64_t hash = SL_HASH_START;
        int32_t order[12];
        assert_int_equal(sl_recipe_named(&err, "mocov2", 12, mean, std, &config.recipe),
                         SL_OK);
        assert_int_equal(sl_loader_create(&err, &config, &loader), SL_OK);
        for (int step = 0; step < 6; step++) {
            struct sl_batch batch;
            assert_int_equal(sl_loader_acquire(&err, loader, &batch, NULL), SL_OK);
            assert_int_equal(batch.rows, 4);
            assert_int_equal(batch.epoch, step / 3);
            sl_sampler_order(config.seed, (uint32_t)(step / 3), 12, order);
            for (int r = 0; r < 4; r++) {
                assert_int_equal(batch.ids[r], pick.ids[order[step % 3 * 4 + r]]);
                assert_int_equal(batch.labels[r], sl_source_label(source, batch.ids[r]));
            }
            hash = sl_hash(hash, batch.views[0], (size_t)4 * 12 * 12 * 3 * sizeof(float));
            sl_loader_release(loader);
        }
        assert_true(workers == 1 || hash == first);
        first = hash;
        sl_loader_destroy(loader);
        config.batch = 13;
        assert_int_equal(sl_loader_create(&err, &config, &loader), SL_ERROR_USAGE);
        assert_non_null(strstr(err.text, "12"));
    }
    sl_pick_finish(&pick);
    sl_source_close(source);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_picks),
        cmocka_unit_test(test_seeds_differ),
        cmocka_unit_test(test_training_on_a_pick),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
