/* SPDX-License-Identifier: MIT */
/*
 * Worker threads: every number is made once and taken in order whatever the number of
 * workers, a borrowed slot is not touched, and a pool can be left at any moment. The
 * thread sanitizer runs this program too. No verdict depends on time.
 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>

#include <cmocka.h>

enum { SLOTS_MAX = 16 };

struct work {
    int n_workers, n_slots;
    int64_t content[SLOTS_MAX]; /* written by the worker that owns the slot */
    atomic_llong n_made;
    atomic_int n_wrong;
};

static void fill(void *context, int worker, int slot, int64_t number)
{
    struct work *work = context;
    if (worker < 0 || worker >= work->n_workers ||
        slot != (int)(number % work->n_slots)) {
        atomic_fetch_add(&work->n_wrong, 1);
    }
    /* Work of uneven length, so that numbers get done out of order. */
    struct sl_rng rng = sl_rng_at(1, SL_RNG_TEST, 0, (uint32_t)number);
    uint32_t n = sl_rng_below(&rng, 2000);
    for (uint32_t i = 0; i < n; i++) {
        (void)sl_rng_u32(&rng);
    }
    work->content[slot] = number * 3 + 1;
    atomic_fetch_add(&work->n_made, 1);
}

static struct sl_pool *start(struct work *work, int n_workers, int n_slots, int64_t first,
                             int64_t end)
{
    *work = (struct work){.n_workers = n_workers, .n_slots = n_slots};
    struct sl_error err = {0};
    struct sl_pool *pool = NULL;
    struct sl_pool_config config = {.n_workers = n_workers,
                                    .n_slots = n_slots,
                                    .first = first,
                                    .end = end,
                                    .fill = fill,
                                    .context = work};
    assert_int_equal(sl_pool_create(&err, &config, &pool), SL_OK);
    return pool;
}

static void numbers_come_in_order(void **state)
{
    (void)state;
    static const int shapes[][2] = {{1, 1}, {1, 3}, {2, 2}, {3, 1}, {4, 8}, {8, 16}};
    for (int i = 0; i < SL_COUNT(shapes); i++) {
        struct work work;
        struct sl_pool *pool = start(&work, shapes[i][0], shapes[i][1], 5, 505);
        int64_t number = -1;
        for (int64_t expected = 5; expected < 505; expected++) {
            double waited = -1.0;
            int slot = sl_pool_acquire(pool, &number, &waited);
            assert_int_equal(number, expected);
            assert_int_equal(slot, expected % shapes[i][1]);
            assert_int_equal(work.content[slot], expected * 3 + 1);
            assert_true(waited >= 0.0);
            sl_pool_release(pool);
        }
        assert_int_equal(sl_pool_acquire(pool, &number, NULL), -1);
        assert_int_equal(sl_pool_acquire(pool, NULL, NULL), -1);
        sl_pool_destroy(pool);
        assert_int_equal(atomic_load(&work.n_made), 500);
        assert_int_equal(atomic_load(&work.n_wrong), 0);
    }
}

/* Three slots borrowed, released oldest first. Content must stay while it is borrowed. */
static void several_may_be_borrowed(void **state)
{
    (void)state;
    struct work work;
    struct sl_pool *pool = start(&work, 3, 4, 0, INT64_MAX);
    int slots[3];
    for (int64_t i = 0; i < 300; i++) {
        slots[i % 3] = sl_pool_acquire(pool, NULL, NULL);
        if (i < 2) {
            continue;
        }
        for (int64_t back = 0; back < 3; back++) {
            int64_t number = i - back;
            assert_int_equal(work.content[slots[number % 3]], number * 3 + 1);
        }
        sl_pool_release(pool);
    }
    sl_pool_destroy(pool);
    /* Bounded: never more than the ring ahead of what was released. */
    assert_true(atomic_load(&work.n_made) <= 298 + 4);
    assert_int_equal(atomic_load(&work.n_wrong), 0);
}

static void pool_can_be_left_early(void **state)
{
    (void)state;
    int64_t bytes = sl_heap_bytes();
    for (int i = 0; i < 50; i++) {
        struct work work;
        struct sl_pool *pool = start(&work, 1 + i % 4, 1 + i % 5, 0, INT64_MAX);
        for (int k = 0; k < i % 7; k++) {
            (void)sl_pool_acquire(pool, NULL, NULL);
            sl_pool_release(pool);
        }
        sl_pool_destroy(pool);
    }
    sl_pool_destroy(NULL);
    assert_int_equal(sl_heap_bytes(), bytes);
}

static void empty_range_ends_at_once(void **state)
{
    (void)state;
    struct work work;
    struct sl_pool *pool = start(&work, 2, 2, 9, 9);
    assert_int_equal(sl_pool_acquire(pool, NULL, NULL), -1);
    sl_pool_destroy(pool);
    assert_int_equal(atomic_load(&work.n_made), 0);
}

static void creation_survives_lack_of_memory(void **state)
{
    (void)state;
    struct work work = {.n_workers = 2, .n_slots = 2};
    struct sl_pool_config config = {
        .n_workers = 2, .n_slots = 2, .end = 10, .fill = fill, .context = &work};
    int64_t bytes = sl_heap_bytes();
    for (int64_t k = 1; k <= 3; k++) {
        struct sl_error err = {0};
        struct sl_pool *pool = NULL;
        sl_heap_fail_at(k);
        assert_int_equal(sl_pool_create(&err, &config, &pool), SL_ERROR_RUN);
        assert_null(pool);
    }
    assert_int_equal(sl_heap_bytes(), bytes);
}

static void machine_facts_are_sane(void **state)
{
    (void)state;
    assert_in_range(sl_cpu_count(), 1, 65536);
    double before = sl_clock();
    assert_true(sl_clock() >= before);
    assert_true(sl_peak_rss() > 100000);
    double age = sl_process_age();
    assert_true(age >= 0.0 && age < 1e6);
    assert_true(sl_process_age() >= age);
    struct sl_cpu_features features = sl_cpu_features();
    assert_true(!features.avx512 || features.avx2);
    assert_true(!features.avx512_bf16 || features.avx512);
    assert_true(!features.avx512_vnni || features.avx512);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_come_in_order),
        cmocka_unit_test(several_may_be_borrowed),
        cmocka_unit_test(pool_can_be_left_early),
        cmocka_unit_test(empty_range_ends_at_once),
        cmocka_unit_test(creation_survives_lack_of_memory),
        cmocka_unit_test(machine_facts_are_sane),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
