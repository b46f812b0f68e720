/* SPDX-License-Identifier: MIT */
/*
 * The cpu backend's team of threads: over very many tiny pieces of work every part is
 * done exactly once, and is over when the call returns, whether workers are awake, asleep
 * or late. The thread sanitizer runs this program too. No verdict depends on time.
 */
#include "backend/cpu_team_int.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>

#include <cmocka.h>

enum { PARTS_MAX = 64 };

/* Gone when the call has returned: it lies on the caller's stack, and each piece has one
 * of its own, so that a part done late or for another piece is seen. */
struct piece {
    int64_t number;
    int parts;
    int64_t *results; /* of each part; plain memory, so that missing order is a race */
    int *n_done;
    atomic_int *n_wrong;
};

/* Part p of piece k gives k * 1000 + p. */
static void do_part(const void *context, int part)
{
    const struct piece *piece = context;
    if (part < 0 || part >= piece->parts) {
        atomic_fetch_add(piece->n_wrong, 1);
        return;
    }
    piece->n_done[part]++;
    piece->results[part] += piece->number * 1000 + part;
}

static struct sl_cpu_team *start(int threads)
{
    struct sl_error err = {0};
    struct sl_cpu_team *team = NULL;
    assert_int_equal(sl_cpu_team_create(&err, threads, &team), SL_OK);
    return team;
}

static void run_piece(struct sl_cpu_team *team, int parts, int64_t number)
{
    int64_t results[PARTS_MAX] = {0};
    int n_done[PARTS_MAX] = {0};
    atomic_int n_wrong = 0;
    const struct piece piece = {.number = number,
                                .parts = parts,
                                .results = results,
                                .n_done = n_done,
                                .n_wrong = &n_wrong};
    sl_cpu_team_run(team, do_part, &piece);
    assert_int_equal(atomic_load(&n_wrong), 0);
    for (int p = 0; p < parts; p++) {
        assert_int_equal(n_done[p], 1);
        assert_int_equal(results[p], number * 1000 + p);
    }
}

static void pause_ms(int64_t ms)
{
    const double end = sl_clock() + (double)ms * 1e-3;
    while (sl_clock() < end) {
    }
}

static void every_part_once(void **state)
{
    (void)state;
    static const int sizes[] = {1, 2, 5, PARTS_MAX};
    for (int i = 0; i < SL_COUNT(sizes); i++) {
        struct sl_cpu_team *team = start(sizes[i]);
        const int64_t pieces = sizes[i] < PARTS_MAX ? 20000 : 500;
        for (int64_t k = 0; k < pieces; k++) {
            run_piece(team, sizes[i], k);
        }
        sl_cpu_team_destroy(team);
    }
}

/* Between pieces workers have the time to fall asleep. */
static void sleepers_wake(void **state)
{
    (void)state;
    struct sl_cpu_team *team = start(3);
    for (int64_t k = 0; k < 50; k++) {
        pause_ms(k % 3);
        run_piece(team, 3, k);
    }
    sl_cpu_team_destroy(team);
}

/* Parts of uneven length: the caller must wait for those that others have taken. */
struct uneven {
    int64_t number;
    int64_t *sums;
};

static void sum_part(const void *context, int part)
{
    const struct uneven *uneven = context;
    struct sl_rng rng =
        sl_rng_at(1, SL_RNG_TEST, (uint32_t)part, (uint32_t)uneven->number);
    const int64_t n = 1 + sl_rng_below(&rng, 20000);
    int64_t sum = 0;
    for (int64_t i = 0; i < n; i++) {
        sum += (int64_t)(sl_rng_u32(&rng) >> 8);
    }
    uneven->sums[part] = sum;
}

static void sums_are_equal(void **state)
{
    (void)state;
    static const int sizes[] = {2, 5};
    for (int i = 0; i < SL_COUNT(sizes); i++) {
        struct sl_cpu_team *team = start(sizes[i]);
        for (int64_t k = 0; k < 300; k++) {
            int64_t alone[PARTS_MAX] = {0};
            int64_t shared[PARTS_MAX] = {0};
            for (int p = 0; p < sizes[i]; p++) {
                sum_part(&(struct uneven){.number = k, .sums = alone}, p);
            }
            sl_cpu_team_run(team, sum_part,
                            &(struct uneven){.number = k, .sums = shared});
            assert_memory_equal(shared, alone, sizeof(alone));
        }
        sl_cpu_team_destroy(team);
    }
}

/* Two parts that wait for each other end only when two threads have one each. */
static void meet(const void *context, int part)
{
    atomic_int *const *arrived = context;
    (void)part;
    atomic_fetch_add(*arrived, 1);
    while (atomic_load(*arrived) < 2) {
    }
}

static void parts_run_at_the_same_time(void **state)
{
    (void)state;
    struct sl_cpu_team *team = start(2);
    for (int k = 0; k < 100; k++) {
        atomic_int arrived = 0;
        atomic_int *pointer = &arrived;
        pause_ms(k % 2);
        sl_cpu_team_run(team, meet, &pointer);
        assert_int_equal(atomic_load(&arrived), 2);
    }
    sl_cpu_team_destroy(team);
}

/* A part that waits until the caller has done all the others: its thread is as good as
 * one that was not scheduled, and the caller does not leave those others to it. */
struct held {
    atomic_int *others_done;
    atomic_bool *is_held;
    int parts;
};

static void hold_one(const void *context, int part)
{
    const struct held *held = context;
    (void)part;
    if (!atomic_exchange(held->is_held, true)) {
        while (atomic_load(held->others_done) < held->parts - 1) {
        }
        return;
    }
    atomic_fetch_add(held->others_done, 1);
}

static void nobody_waits_to_begin(void **state)
{
    (void)state;
    for (int parts = 2; parts <= 9; parts++) {
        struct sl_cpu_team *team = start(parts);
        for (int k = 0; k < 50; k++) {
            atomic_int others_done = 0;
            atomic_bool is_held = false;
            const struct held held = {
                .others_done = &others_done, .is_held = &is_held, .parts = parts};
            sl_cpu_team_run(team, hold_one, &held);
            assert_int_equal(atomic_load(&others_done), parts - 1);
        }
        sl_cpu_team_destroy(team);
    }
}

/* Where every part waits for all the others, each thread holds exactly one. */
struct holders {
    atomic_int *arrived;
    int parts;
    pthread_t *threads; /* of each part */
};

static void hold_own(const void *context, int part)
{
    const struct holders *holders = context;
    holders->threads[part] = pthread_self();
    atomic_fetch_add(holders->arrived, 1);
    while (atomic_load(holders->arrived) < holders->parts) {
        (void)sched_yield(); /* there may be fewer cores than threads */
    }
}

/* What a part wrote in one piece it finds in its core's cache in the next. */
static void threads_keep_to_their_parts(void **state)
{
    (void)state;
    enum { PARTS = 4, PIECES = 200 };
    struct sl_cpu_team *team = start(PARTS);
    pthread_t first[PARTS];
    for (int k = 0; k < PIECES; k++) {
        pthread_t now[PARTS];
        atomic_int arrived = 0;
        const struct holders holders = {
            .arrived = &arrived, .parts = PARTS, .threads = k == 0 ? first : now};
        pause_ms(k % 2);
        sl_cpu_team_run(team, hold_own, &holders);
        assert_true(pthread_equal(first[0], pthread_self()));
        for (int p = 0; k > 0 && p < PARTS; p++) {
            assert_true(pthread_equal(now[p], first[p]));
        }
    }
    sl_cpu_team_destroy(team);
}

/* Two teams at once, as two trainers in one process have them. */
static void teams_are_separate(void **state)
{
    (void)state;
    struct sl_cpu_team *one = start(2);
    struct sl_cpu_team *other = start(5);
    for (int64_t k = 0; k < 2000; k++) {
        run_piece(one, 2, k);
        run_piece(other, 5, k);
    }
    sl_cpu_team_destroy(one);
    sl_cpu_team_destroy(other);
}

/* Workers that never had anything to do are joined, and memory is given back. */
static void ends_at_once(void **state)
{
    (void)state;
    const int64_t before = sl_heap_bytes();
    for (int threads = 1; threads <= 20; threads++) {
        sl_cpu_team_destroy(start(threads));
    }
    sl_cpu_team_destroy(NULL);
    assert_int_equal(sl_heap_bytes(), before);
}

static void memory_runs_out(void **state)
{
    (void)state;
    const int64_t before = sl_heap_bytes();
    for (int64_t k = 1; k <= 2; k++) {
        struct sl_error err = {0};
        struct sl_cpu_team *team = NULL;
        sl_heap_fail_at(k);
        assert_int_equal(sl_cpu_team_create(&err, 3, &team), SL_ERROR_RUN);
        assert_null(team);
    }
    sl_heap_fail_at(0);
    assert_int_equal(sl_heap_bytes(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_part_once),
        cmocka_unit_test(sleepers_wake),
        cmocka_unit_test(sums_are_equal),
        cmocka_unit_test(parts_run_at_the_same_time),
        cmocka_unit_test(nobody_waits_to_begin),
        cmocka_unit_test(threads_keep_to_their_parts),
        cmocka_unit_test(teams_are_separate),
        cmocka_unit_test(ends_at_once),
        cmocka_unit_test(memory_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
