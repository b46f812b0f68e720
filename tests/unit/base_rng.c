/* SPDX-License-Identifier: MIT */
/*
 * Random numbers: the published Philox4x32-10 vectors, the layout of the counter, the
 * formulas of base.h recomputed from the raw words, and the ranges. Statistics are tested
 * with bounds of many standard deviations on fixed seeds, so that a verdict never changes
 * from run to run.
 */
#include "base/base.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

struct vector {
    uint32_t counter[4]; /* block, b, a, stream */
    uint64_t key;
    uint32_t expected[4];
};

static void known_answers(void **state)
{
    (void)state;
    static const struct vector vectors[] = {
        {{0, 0, 0, 0}, 0, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         UINT64_MAX,
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         UINT64_C(0x299f31d0a4093822),
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (int i = 0; i < SL_COUNT(vectors); i++) {
        const uint32_t *counter = vectors[i].counter;
        uint32_t out[4];
        sl_rng_block(vectors[i].key, counter[3], counter[2], counter[1], counter[0], out);
        assert_memory_equal(out, vectors[i].expected, sizeof out);
    }
}

static void reader_walks_the_blocks(void **state)
{
    (void)state;
    struct sl_rng rng = sl_rng_at(77, SL_RNG_TEST, 5, 6);
    for (uint32_t block = 0; block < 20; block++) {
        uint32_t out[4];
        sl_rng_block(77, SL_RNG_TEST, 5, 6, block, out);
        for (int i = 0; i < 4; i++) {
            assert_int_equal(sl_rng_u32(&rng), out[i]);
        }
    }
}

static void reals_follow_their_formulas(void **state)
{
    (void)state;
    struct sl_rng words = sl_rng_at(1, SL_RNG_TEST, 2, 3);
    struct sl_rng uniform = words;
    struct sl_rng between = words;
    double sum = 0.0;
    enum { N = 20000 };
    for (int i = 0; i < N; i++) {
        uint32_t word = sl_rng_u32(&words);
        float u = sl_rng_uniform(&uniform);
        assert_true(u == (float)(word >> 8) / 16777216.0f);
        assert_true(u >= 0.0f && u < 1.0f);
        sum += (double)u;
        double v = sl_rng_between(&between, -2.0, 3.0);
        assert_true(v == -2.0 + 5.0 * ((double)word / 4294967296.0));
        assert_true(v >= -2.0 && v < 3.0);
    }
    /* sd of the mean: 0.2887 / sqrt(N) = 0.002 */
    assert_true(fabs(sum / N - 0.5) < 0.01);
}

static void below_is_even(void **state)
{
    (void)state;
    struct sl_rng rng = sl_rng_at(9, SL_RNG_TEST, 0, 0);
    int counts[7] = {0};
    for (int i = 0; i < 70000; i++) {
        uint32_t k = sl_rng_below(&rng, 7);
        assert_true(k < 7);
        counts[k]++;
    }
    for (int k = 0; k < 7; k++) {
        assert_in_range(counts[k], 9500, 10500); /* 5 sd */
    }
    assert_int_equal(sl_rng_below(&rng, 1), 0);
    assert_true(sl_rng_below(&rng, UINT32_C(0x80000000)) < UINT32_C(0x80000000));
}

/* With a bound of 3 * 2^29 a quarter of all words has to be drawn again. Without the
 * rejection the results would come up 3 : 3 : 2 by their rest modulo 3. */
static void below_rejects(void **state)
{
    (void)state;
    const uint32_t bound = UINT32_C(3) << 29;
    struct sl_rng rng = sl_rng_at(10, SL_RNG_TEST, 0, 0);
    struct sl_rng words = rng;
    int n_rejected = 0;
    int by_rest[3] = {0};
    for (int i = 0; i < 30000; i++) {
        uint64_t product = (uint64_t)sl_rng_u32(&words) * bound;
        while ((uint32_t)product < UINT64_C(0x100000000) % bound) {
            n_rejected++;
            product = (uint64_t)sl_rng_u32(&words) * bound;
        }
        uint32_t k = sl_rng_below(&rng, bound);
        assert_int_equal(k, (uint32_t)(product >> 32));
        by_rest[k % 3]++;
    }
    assert_in_range(n_rejected, 9000, 11000);
    for (int r = 0; r < 3; r++) {
        assert_in_range(by_rest[r], 9500, 10500);
    }
}

static void shuffle_is_fisher_yates(void **state)
{
    (void)state;
    enum { N = 1000 };
    int32_t items[N];
    int32_t expected[N];
    for (int i = 0; i < N; i++) {
        items[i] = i;
        expected[i] = i;
    }
    struct sl_rng rng = sl_rng_at(3, SL_RNG_TEST, 1, 0);
    struct sl_rng twin = rng;
    sl_rng_shuffle(&rng, items, N);
    bool seen[N] = {false};
    for (int i = N - 1; i > 0; i--) {
        uint32_t j = sl_rng_below(&twin, (uint32_t)i + 1);
        int32_t item = expected[i];
        expected[i] = expected[j];
        expected[j] = item;
    }
    int n_fixed = 0;
    for (int i = 0; i < N; i++) {
        assert_int_equal(items[i], expected[i]);
        assert_false(seen[items[i]]);
        seen[items[i]] = true;
        n_fixed += items[i] == i;
    }
    assert_true(n_fixed < 10);
    sl_rng_shuffle(&rng, items, 0); /* nothing to do, nothing drawn */
    sl_rng_shuffle(&rng, items, 1);
    assert_int_equal(sl_rng_u32(&rng), sl_rng_u32(&twin));
}

static void normals_follow_their_formula(void **state)
{
    (void)state;
    enum { N = 4001 };
    static float got[N];
    static float part[10];
    sl_rng_fill_normal(123, SL_RNG_INIT, 4, 0.5f, N, got);
    double sum = 0.0;
    double squares = 0.0;
    for (int i = 0; i < N; i++) {
        uint32_t x[4];
        sl_rng_block(123, SL_RNG_INIT, 4, (uint32_t)i / 4, 0, x);
        int pair = i % 4 / 2 * 2;
        double u = ((double)x[pair] + 0.5) / 4294967296.0;
        double angle = 2.0 * acos(-1.0) * ((double)x[pair + 1] / 4294967296.0);
        double z = sqrt(-2.0 * log(u)) * (i % 2 == 0 ? cos(angle) : sin(angle));
        assert_true(fabs((double)got[i] - 0.5 * z) < 1e-6);
        sum += z;
        squares += z * z;
    }
    assert_true(fabs(sum / N) < 0.08); /* 5 sd */
    assert_true(fabs(squares / N - 1.0) < 0.12);
    /* A shorter fill is the beginning of the same sequence. */
    sl_rng_fill_normal(123, SL_RNG_INIT, 4, 0.5f, 10, part);
    assert_memory_equal(part, got, sizeof part);
}

static void uniforms_follow_their_formula(void **state)
{
    (void)state;
    float got[11] = {0};
    sl_rng_fill_uniform(5, SL_RNG_INIT, 2, -0.25, 0.75, 10, got);
    for (int i = 0; i < 10; i++) {
        uint32_t x[4];
        sl_rng_block(5, SL_RNG_INIT, 2, (uint32_t)i / 4, 0, x);
        assert_true(got[i] == (float)(-0.25 + 1.0 * ((double)x[i % 4] / 4294967296.0)));
    }
    assert_true(got[10] == 0.0f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answers),
        cmocka_unit_test(reader_walks_the_blocks),
        cmocka_unit_test(reals_follow_their_formulas),
        cmocka_unit_test(below_is_even),
        cmocka_unit_test(below_rejects),
        cmocka_unit_test(shuffle_is_fisher_yates),
        cmocka_unit_test(normals_follow_their_formula),
        cmocka_unit_test(uniforms_follow_their_formula),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
