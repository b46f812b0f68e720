/* SPDX-License-Identifier: MIT */
/*
 * Findings over looks that are made up here: which pictures are the same, when hashes say
 * so and when bytes do not.
 */
#include "data/data.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* Pictures of one letter have the same bytes. */
struct letters {
    const char *of;
    int asked;
    enum sl_status status;
};

static enum sl_status compare(struct sl_error *err, void *context, int64_t i, int64_t j,
                              bool *same)
{
    struct letters *letters = context;
    letters->asked++;
    assert_true(j < i);
    *same = letters->of[i] == letters->of[j];
    return letters->status == SL_OK
               ? SL_OK
               : SL_FAIL(err, letters->status, "no bytes of picture %lld", (long long)i);
}

/* Each picture's hash is its digit. */
static struct sl_findings *findings_of(const char *hashes)
{
    const struct sl_findings_limits limits = {.min_side = 1, .max_aspect = 10};
    struct sl_findings *findings = NULL;
    struct sl_error err = {0};
    int64_t n = (int64_t)strlen(hashes);
    assert_int_equal(sl_findings_create(&err, n, &limits, &findings), SL_OK);
    for (int64_t i = 0; i < n; i++) {
        const struct sl_look look = {.hash = (uint64_t)hashes[i],
                                     .height = 4,
                                     .width = 4,
                                     .channels = 3,
                                     .damage = hashes[i] == '!' ? "cut short" : NULL};
        assert_int_equal(sl_findings_add(&err, findings, "x.jpg", &look), SL_OK);
    }
    return findings;
}

static void expect(const char *hashes, const char *bytes, const int *of, int asked)
{
    struct sl_error err = {0};
    struct letters letters = {.of = bytes};
    const struct sl_comparer comparer = {.is_same = compare, .context = &letters};
    struct sl_findings *findings = findings_of(hashes);
    int64_t n = 0;
    assert_int_equal(sl_findings_match(&err, findings, &comparer), SL_OK);
    for (int i = 0; hashes[i] != '\0'; i++) {
        assert_int_equal(sl_findings_at(findings, i).of, of[i]);
        n += of[i] >= 0;
    }
    assert_int_equal(sl_findings_duplicates(findings), n);
    assert_int_equal(letters.asked, asked);
    sl_findings_destroy(findings);
}

static void test_same_bytes(void **state)
{
    (void)state;
    expect("12131", "abaca", (const int[]){-1, -1, 0, -1, 0}, 2);
}

static void test_hash_alone_is_not_enough(void **state)
{
    (void)state;
    /* Five of one hash and two kinds of bytes. */
    expect("11111", "abbab", (const int[]){-1, -1, 1, 0, 1}, 1 + 2 + 1 + 2);
}

static void test_damaged_are_not_compared(void **state)
{
    (void)state;
    expect("!1!", "aaa", (const int[]){-1, -1, -1}, 0);
    expect("", "", NULL, 0);
}

static void test_bytes_that_cannot_be_compared(void **state)
{
    (void)state;
    struct sl_error err = {0};
    struct letters letters = {.of = "aa", .status = SL_ERROR_RUN};
    const struct sl_comparer comparer = {.is_same = compare, .context = &letters};
    struct sl_findings *findings = findings_of("11");
    assert_int_equal(sl_findings_match(&err, findings, &comparer), SL_ERROR_RUN);
    assert_non_null(strstr(err.text, "no bytes of picture 1"));
    sl_findings_destroy(findings);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_bytes),
        cmocka_unit_test(test_hash_alone_is_not_enough),
        cmocka_unit_test(test_damaged_are_not_compared),
        cmocka_unit_test(test_bytes_that_cannot_be_compared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
