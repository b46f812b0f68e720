/* SPDX-License-Identifier: MIT */
/*
 * The built-in pictures: the same bytes on every machine (their hash stands here), each a
 * function of (seed, part, i), and settings that are checked.
 */
#include "unit/data_testkit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* Who changes the generator changes these, and says so in the changelog: every table of
 * results on synthetic data is then of other data. */
static void test_bytes(void **state)
{
    (void)state;
    struct sl_source *train = kit_open("synthetic:", SL_PART_TRAIN, true);
    struct sl_source *test = kit_open("synthetic:", SL_PART_TEST, false);
    struct sl_source *large =
        kit_open("synthetic:size=75,classes=25,seed=9", SL_PART_TRAIN, true);
    uint64_t hashes[3] = {kit_hash(train, 0, 100), kit_hash(test, 1900, 2000),
                          kit_hash(large, 0, 25)};
    static const uint64_t want[3] = {UINT64_C(0x456adef408126849),
                                     UINT64_C(0x2817f1d0c5018de0),
                                     UINT64_C(0x76780f1b557a5d4c)};
    for (int k = 0; k < 3; k++) {
        if (hashes[k] != want[k]) {
            fail_msg("hash %d is %llx", k, (unsigned long long)hashes[k]);
        }
    }
    sl_source_close(train);
    sl_source_close(test);
    sl_source_close(large);
}

static void test_facts(void **state)
{
    (void)state;
    struct sl_source *train = kit_open("synthetic:", SL_PART_TRAIN, true);
    struct sl_source *test = kit_open("synthetic:", SL_PART_TEST, false);
    int height = 0, width = 0, counts[10] = {0};
    assert_string_equal(sl_source_kind(train), "synthetic");
    assert_int_equal(sl_source_count(train), 20000);
    assert_int_equal(sl_source_count(test), 2000);
    assert_int_equal(sl_source_classes(train), 10);
    assert_string_equal(sl_source_class_name(train, 6), "striped cross");
    assert_true(sl_source_side_fixed(train, &height, &width));
    assert_int_equal(height * 100 + width, 3232);
    assert_false(sl_source_was_split(test));
    for (int64_t i = 0; i < 2000; i++) {
        counts[sl_source_label(test, i)]++;
    }
    for (int c = 0; c < 10; c++) {
        assert_int_equal(counts[c], 200);
    }
    sl_source_close(train);
    sl_source_close(test);
}

/* Neither n nor anything read before matters; seed, part and number do. */
static void test_function_of_key(void **state)
{
    (void)state;
    struct sl_source *a = kit_open("synthetic:n=50", SL_PART_TRAIN, true);
    struct sl_source *b = kit_open("synthetic:n=60,test=50", SL_PART_TRAIN, true);
    struct sl_source *c = kit_open("synthetic:seed=2,n=60", SL_PART_TRAIN, true);
    struct sl_source *t = kit_open("synthetic:n=60,test=50", SL_PART_TEST, true);
    uint64_t hash = kit_hash(a, 17, 18);
    (void)kit_hash(b, 0, 3);
    assert_true(hash == kit_hash(b, 17, 18));
    assert_true(hash != kit_hash(b, 18, 19));
    assert_true(hash != kit_hash(c, 17, 18));
    assert_true(hash != kit_hash(t, 17, 18));
    assert_true(sl_source_fingerprint(a) != sl_source_fingerprint(b));
    assert_true(sl_source_fingerprint(b) != sl_source_fingerprint(t));
    sl_source_close(a);
    sl_source_close(b);
    sl_source_close(c);
    sl_source_close(t);
}

static void test_settings(void **state)
{
    (void)state;
    kit_open_fails("synthetic:size=4", SL_PART_TRAIN, true, SL_ERROR_USAGE, "8 to 1024");
    kit_open_fails("synthetic:size=big", SL_PART_TRAIN, true, SL_ERROR_USAGE, "big");
    kit_open_fails("synthetic:colour=3", SL_PART_TRAIN, true, SL_ERROR_USAGE, "colour");
    kit_open_fails("synthetic:classes=26", SL_PART_TRAIN, true, SL_ERROR_USAGE,
                   "2 to 25");
    kit_open_fails("synthetic:n=0", SL_PART_TRAIN, true, SL_ERROR_USAGE, "n must be");
    kit_open_fails("synthetic:n", SL_PART_TRAIN, true, SL_ERROR_USAGE, "not a setting");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_facts),
        cmocka_unit_test(test_function_of_key),
        cmocka_unit_test(test_settings),
    };
    return cmocka_run_group_tests_name("data_synthetic", tests, NULL, NULL);
}
