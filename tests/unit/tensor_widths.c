/* SPDX-License-Identifier: MIT */
/*
 * Tensors, widths and named state: sizes, the grammar and order of a width list, channel
 * counts in integers where floating point comes out one too low, and the names widths are
 * printed as.
 */
#include "tensor/tensor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void sizes(void **state)
{
    (void)state;
    char data = 0;
    struct sl_tensor tensor =
        sl_tensor_make(&data, SL_F32, 4, (const int64_t[]){2, 3, 5, 7});
    assert_int_equal(sl_tensor_count(&tensor), 210);
    assert_int_equal(sl_tensor_bytes(&tensor), 840);
    assert_ptr_equal(tensor.data, &data);
    tensor = sl_tensor_make(NULL, SL_I64, 0, NULL);
    assert_int_equal(sl_tensor_count(&tensor), 1);
    assert_int_equal(sl_tensor_bytes(&tensor), 8);
    tensor = sl_tensor_make(NULL, SL_BF16, 2, (const int64_t[]){0, 9});
    assert_int_equal(sl_tensor_bytes(&tensor), 0);
    static const enum sl_dtype dtypes[] = {SL_F32, SL_BF16, SL_U8, SL_I32, SL_I64};
    static const char *const names[] = {"F32", "BF16", "U8", "I32", "I64"};
    static const int bytes[] = {4, 2, 1, 4, 8};
    for (int i = 0; i < SL_COUNT(dtypes); i++) {
        assert_string_equal(sl_dtype_name(dtypes[i]), names[i]);
        assert_int_equal(sl_dtype_bytes(dtypes[i]), bytes[i]);
    }
}

/* The list as keys, in order. */
static void assert_widths(const char *text, const char *expected)
{
    struct sl_error err = {0};
    struct sl_widths widths;
    enum sl_status status = sl_widths_parse(&err, text, false, "--widths", &widths);
    assert_string_equal(err.text, "");
    assert_int_equal(status, SL_OK);
    struct sl_text got = {0};
    for (int i = 0; i < widths.n; i++) {
        char key[40];
        sl_multiplier_key(widths.at[i], key, sizeof key);
        sl_text_add(&got, "%s%s", i > 0 ? " " : "", key);
        assert_int_equal(sl_widths_find(&widths, widths.at[i]), i);
    }
    assert_string_equal(got.text, expected);
    sl_text_finish(&got);
}

static void lists_are_read_and_ordered(void **state)
{
    (void)state;
    assert_widths("1,0.75,0.5,0.25", "1 0.75 0.5 0.25");
    assert_widths("0.25, 1.0 ,\t.5,0.750000", "1 0.75 0.5 0.25");
    assert_widths("1/3,3/4,1/1", "1 0.75 0.333333");
    assert_widths("0.5", "0.5");
}

static void refuse(const char *text, bool need_full, const char *words)
{
    struct sl_error err = {0};
    struct sl_widths widths = {.n = 3};
    assert_int_equal(sl_widths_parse(&err, text, need_full, "--widths", &widths),
                     SL_ERROR_USAGE);
    assert_int_equal(strncmp(err.text, "--widths: ", 10), 0);
    if (strstr(err.text, words) == NULL) {
        fail_msg("'%s' does not say '%s'", err.text, words);
    }
    assert_int_equal(widths.n, 0);
}

static void bad_lists_are_refused(void **state)
{
    (void)state;
    refuse("1,0", true, "above 0 and at most 1, not '0'");
    refuse("1,1.5", true, "above 0 and at most 1, not '1.5'");
    refuse("5/4", false, "above 0 and at most 1, not '5/4'");
    refuse("100000", false, "above 0");
    refuse("1,0.5,2/4", true, "width 0.5 is listed twice");
    refuse("1/3,0.333333", false, "width 0.333333 is listed twice");
    refuse("0.5,0.25", true, "full width 1");
    refuse("1,.9,.8,.7,.6,.5,.4,.3,.2", true, "more than 8");
    static const char *const words[] = {
        "",     " ",     "1,",        ",1",   "1,,0.5",       "-0.5", "0.5x",
        "half", ".",     "1.",        "1/0",  "/2",           "1/",   "1e-1",
        "0x1",  "1/2/3", "0.1234567", "1 /2", "1234567890123"};
    for (int i = 0; i < SL_COUNT(words); i++) {
        refuse(words[i], false, "is not a width");
    }
    char longest[3000];
    memset(longest, '1', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    refuse(longest, false, "is not a width");
}

/* floor(full * num / den) for every width in hundredths; 0.29 * 100 is 28.999… as a
 * double. */
static void channels_are_counted_in_integers(void **state)
{
    (void)state;
    for (int hundredths = 1; hundredths <= 100; hundredths++) {
        struct sl_error err = {0};
        struct sl_widths widths;
        char text[40];
        (void)snprintf(text, sizeof text, "%d/100", hundredths);
        assert_int_equal(sl_widths_parse(&err, text, false, "w", &widths), SL_OK);
        assert_int_equal(sl_multiplier_of(widths.at[0], 100), hundredths);
        assert_int_equal(sl_multiplier_of(widths.at[0], 2048), 2048 * hundredths / 100);
        (void)snprintf(text, sizeof text, "%d.%02d", hundredths / 100, hundredths % 100);
        struct sl_widths decimal;
        assert_int_equal(sl_widths_parse(&err, text, false, "w", &decimal), SL_OK);
        assert_memory_equal(&decimal.at[0], &widths.at[0], sizeof decimal.at[0]);
        assert_true(sl_multiplier_value(decimal.at[0]) == hundredths / 100.0);
    }
    assert_int_equal((int)(0.29 * 100), 28);
    assert_int_equal(sl_multiplier_of((struct sl_multiplier){29, 100}, 100), 29);
    assert_int_equal(sl_multiplier_of((struct sl_multiplier){1, 3}, 2), 0);
}

static void find_needs_the_same_width(void **state)
{
    (void)state;
    struct sl_error err = {0};
    struct sl_widths widths;
    assert_int_equal(sl_widths_parse(&err, "1,0.5", true, "w", &widths), SL_OK);
    assert_int_equal(sl_widths_find(&widths, (struct sl_multiplier){1, 2}), 1);
    assert_int_equal(sl_widths_find(&widths, (struct sl_multiplier){1, 4}), -1);
}

static void prints(void **state)
{
    (void)state;
    static const struct {
        struct sl_multiplier multiplier;
        const char *text, *key;
    } cases[] = {
        {{1, 1}, "1.00", "1"},
        {{3, 4}, "0.75", "0.75"},
        {{1, 2}, "0.50", "0.5"},
        {{1, 8}, "0.125", "0.125"},
        {{1, 10}, "0.10", "0.1"},
        {{1, 3}, "0.333333", "0.333333"},
        {{2, 3}, "0.666667", "0.666667"},
        {{1, 1000000}, "0.000001", "0.000001"},
        {{999999, 1000000}, "0.999999", "0.999999"},
    };
    for (int i = 0; i < SL_COUNT(cases); i++) {
        char text[40];
        sl_multiplier_text(cases[i].multiplier, text, sizeof text);
        assert_string_equal(text, cases[i].text);
        sl_multiplier_key(cases[i].multiplier, text, sizeof text);
        assert_string_equal(text, cases[i].key);
    }
}

static void named_tensors(void **state)
{
    (void)state;
    struct sl_error err = {0};
    struct sl_named_list list = {0};
    char data[300];
    int64_t held = sl_heap_bytes();
    for (int i = 0; i < 300; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "layer%d.weight", i);
        struct sl_tensor tensor =
            sl_tensor_make(data + i, SL_U8, 1, (const int64_t[]){1});
        assert_int_equal(sl_named_add(&err, &list, name, tensor), SL_OK);
    }
    assert_int_equal(list.n, 300);
    assert_ptr_equal(sl_named_find(&list, "layer217.weight")->tensor.data, data + 217);
    assert_string_equal(list.items[299].name, "layer299.weight");
    assert_null(sl_named_find(&list, "layer300.weight"));
    struct sl_tensor tensor = list.items[0].tensor;
    assert_int_equal(sl_named_add(&err, &list, "layer0.weight", tensor), SL_ERROR_RUN);
    assert_non_null(strstr(err.text, "layer0.weight"));
    char longest[SL_NAME_MAX + 1];
    memset(longest, 'n', sizeof longest);
    longest[SL_NAME_MAX] = '\0';
    sl_error_clear(&err);
    assert_int_equal(sl_named_add(&err, &list, longest, tensor), SL_ERROR_RUN);
    sl_error_clear(&err);
    longest[SL_NAME_MAX - 1] = '\0';
    assert_int_equal(sl_named_add(&err, &list, longest, tensor), SL_OK);
    assert_string_equal(list.items[300].name, longest);
    sl_named_finish(&list);
    assert_int_equal(list.n, 0);
    sl_heap_fail_at(1);
    assert_int_equal(sl_named_add(&err, &list, "x", tensor), SL_ERROR_RUN);
    assert_int_equal(list.n, 0);
    sl_named_finish(&list);
    assert_int_equal(sl_heap_bytes(), held);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes),
        cmocka_unit_test(lists_are_read_and_ordered),
        cmocka_unit_test(bad_lists_are_refused),
        cmocka_unit_test(channels_are_counted_in_integers),
        cmocka_unit_test(find_needs_the_same_width),
        cmocka_unit_test(prints),
        cmocka_unit_test(named_tensors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
