/* SPDX-License-Identifier: MIT */
/*
 * A small pre-training, evaluation and opening of a model, again and again, with the k-th
 * allocation or the k-th written byte failing. Each must end with an error record, leave
 * no torn file, give all its memory back, and keep the last good checkpoint. Which k are
 * tried is spread evenly over all of them, so that the time does not grow with the code.
 */
#include <slimclr.h>

#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { TRIES = 60, KINDS = 3 };

static const char DATA[] = "synthetic:size=8,n=32,test=20";

static const char RUN[] = "tortured";
static const char LAST[] = "tortured/checkpoints/last.safetensors";

static slim_status pretrain(slim_error *error)
{
    static const char *const settings[][2] = {
        {"out", "tortured"},  {"arch", "resnet8-b8"}, {"widths", "1,0.5"},
        {"batch-size", "8"},  {"steps", "2"},         {"slow-start", "0"},
        {"moco-dim", "16"},   {"log-every", "1"},     {"save-steps", "1"},
        {"overwrite", "yes"}, {"workers", "1"},       {"threads", "1"},
        {"image-size", "8"},  {"keep", "1"},          {"eval-data", DATA},
    };
    slim_options *options = NULL;
    const char *data[] = {DATA};
    slim_status status = slim_options_create("pretrain", &options, error);
    for (int i = 0; status == SLIM_OK && i < SL_COUNT(settings); i++) {
        status = slim_options_set(options, settings[i][0], settings[i][1], error);
    }
    if (status == SLIM_OK) {
        status = slim_pretrain(options, data, 1, NULL, error);
    }
    slim_options_destroy(options);
    return status;
}

static slim_status judge(slim_error *error)
{
    slim_options *options = NULL;
    slim_scores scores;
    slim_status status = slim_options_create("eval linear", &options, error);
    if (status == SLIM_OK) {
        status = slim_options_set(options, "probe-epochs", "1", error);
    }
    if (status == SLIM_OK) {
        status = slim_eval_linear(options, RUN, DATA, NULL, &scores, error);
    }
    slim_options_destroy(options);
    return status;
}

static slim_status embed(slim_error *error)
{
    static const unsigned char pixels[8 * 8 * 3];
    static float features[256];
    slim_model *model = NULL;
    slim_status status = slim_model_open(RUN, &model, error);
    if (status == SLIM_OK) {
        status = slim_model_embed(model, 1, pixels, 1, 8, 8, features, error);
    }
    slim_model_close(model);
    return status;
}

static slim_status (*const jobs[KINDS])(slim_error *error) = {pretrain, judge, embed};

static void expect_done(slim_status status, const slim_error *error)
{
    if (status != SLIM_OK) {
        fail_msg("%s", error->text);
    }
}

/* Nothing half-written, and what stands under the checkpoint's name opens. */
static void expect_sound(void)
{
    struct sl_error err = {0};
    struct sl_dir_list list = {0};
    static const char *const folders[] = {"tortured", "tortured/checkpoints",
                                          "tortured/eval", "tortured/plots"};
    for (int i = 0; i < SL_COUNT(folders); i++) {
        if (sl_path_kind(folders[i]) != SL_PATH_DIRECTORY) {
            continue;
        }
        assert_int_equal(sl_dir_list(&err, SL_ERROR_RUN, folders[i], &list), SL_OK);
        for (int64_t k = 0; k < list.n; k++) {
            if (strstr(list.names[k], ".tmp.") != NULL) {
                fail_msg("%s was left behind", list.names[k]);
            }
        }
        sl_dir_list_finish(&list);
    }
    if (sl_path_kind(LAST) == SL_PATH_FILE) {
        slim_model *model = NULL;
        slim_error error = {0};
        expect_done(slim_model_open(LAST, &model, &error), &error);
        slim_model_close(model);
    }
}

static uint64_t last_hash(void)
{
    struct sl_error err = {0};
    unsigned char *bytes = NULL;
    int64_t size = 0;
    if (sl_file_read(&err, SL_ERROR_RUN, LAST, INT64_C(1) << 30, &bytes, &size) !=
        SL_OK) {
        fail_msg("%s", err.text);
    }
    uint64_t hash = sl_hash(SL_HASH_START, bytes, (size_t)size);
    sl_heap_free(bytes);
    return hash;
}

static void expect_failed(slim_status status, const slim_error *error, const char *what,
                          int64_t k)
{
    if (status != SLIM_ERROR_RUN || error->text[0] == '\0') {
        fail_msg("%s %lld failing gave status %d, '%s'", what, (long long)k, (int)status,
                 error->text);
    }
    assert_null(strchr(error->text, '\n'));
}

static int make_run(void **state)
{
    slim_error error = {0};
    (void)state;
    expect_done(pretrain(&error), &error);
    return 0;
}

/* Allocation k of n. The few whose failure a job may do without (an estimate, a line for
 * people) are told by the job being done, with the same bytes. */
static void test_memory(void **state)
{
    (void)state;
    for (int kind = 0; kind < KINDS; kind++) {
        slim_error error = {0};
        int64_t start = sl_heap_calls();
        expect_done(jobs[kind](&error), &error);
        int64_t n = sl_heap_calls() - start;
        int64_t held = sl_heap_bytes();
        uint64_t whole = last_hash();
        int failed = 0;
        int tried = 0;
        assert_true(n > 0);
        int64_t by = n / TRIES > 0 ? n / TRIES : 1;
        for (int64_t k = 1; k <= n; k += by) {
            error = (slim_error){0};
            sl_heap_fail_at(k);
            slim_status status = jobs[kind](&error);
            sl_heap_fail_at(0);
            tried++;
            if (status != SLIM_OK) {
                expect_failed(status, &error, "allocation", k);
                failed++;
            } else {
                assert_true(last_hash() == whole);
            }
            if (sl_heap_bytes() != held) {
                fail_msg("job %d, allocation %lld: %lld bytes were not given back", kind,
                         (long long)k, (long long)(sl_heap_bytes() - held));
            }
            expect_sound();
            assert_int_equal(sl_heap_bytes(), held);
        }
        if (failed * 4 < tried * 3) {
            fail_msg("job %d: only %d of %d failures were reported", kind, failed, tried);
        }
        expect_done(pretrain(&error), &error);
    }
}

/* The disk is full after k bytes. */
static void test_disk(void **state)
{
    (void)state;
    int64_t size = 0;
    unsigned char *bytes = NULL;
    struct sl_error err = {0};
    assert_int_equal(
        sl_file_read(&err, SL_ERROR_RUN, LAST, INT64_C(1) << 30, &bytes, &size), SL_OK);
    sl_heap_free(bytes);
    int64_t held = sl_heap_bytes();
    for (int i = 0; i < TRIES; i++) {
        slim_error error = {0};
        /* Two steps save three whole checkpoints and more. */
        int64_t k = 2 * size * i / TRIES;
        sl_file_fail_after(k);
        slim_status status = pretrain(&error);
        sl_file_fail_after(-1);
        expect_failed(status, &error, "byte", k);
        assert_non_null(strstr(error.text, "disk full"));
        expect_sound();
        assert_int_equal(sl_heap_bytes(), held);
    }
    /* An evaluation writes only its result. */
    slim_error error = {0};
    expect_done(pretrain(&error), &error);
    sl_file_fail_after(10);
    slim_status status = judge(&error);
    sl_file_fail_after(-1);
    expect_failed(status, &error, "byte", 10);
    expect_sound();
    assert_int_equal(sl_heap_bytes(), held);
}

/* ---- the page ---------------------------------------------------------------------- */

static slim_status make_page(slim_error *error)
{
    slim_options *options = NULL;
    char *text = NULL;
    slim_status status = slim_options_create("report", &options, error);
    if (status == SLIM_OK) {
        status = slim_options_set(options, "pictures", "12", error);
    }
    if (status == SLIM_OK) {
        status = slim_report(options, RUN, false, &text, error);
    }
    slim_text_free(text);
    slim_options_destroy(options);
    return status;
}

static void expect_whole_page(void)
{
    static const char end[] = "</html>\n";
    struct sl_error err = {0};
    unsigned char *bytes = NULL;
    int64_t size = 0;
    if (sl_path_kind("tortured/report.html") == SL_PATH_FILE) {
        assert_int_equal(sl_file_read(&err, SL_ERROR_RUN, "tortured/report.html",
                                      INT64_C(1) << 30, &bytes, &size),
                         SL_OK);
        assert_true(size > 1000);
        assert_string_equal((const char *)bytes + size - (sizeof end - 1), end);
        sl_heap_free(bytes);
    }
}

/* A page is there whole, or was not made; what it can do without (a checkpoint that does
 * not open, a width that is not timed) it may leave out. */
static void test_page(void **state)
{
    slim_error error = {0};
    int n_failed = 0;
    (void)state;
    expect_done(pretrain(&error), &error);
    int64_t start = sl_heap_calls();
    expect_done(make_page(&error), &error);
    int64_t n = sl_heap_calls() - start;
    int64_t held = sl_heap_bytes();
    int64_t by = n / TRIES > 0 ? n / TRIES : 1;
    for (int64_t k = 1; k <= n; k += by) {
        error = (slim_error){0};
        sl_heap_fail_at(k);
        slim_status status = make_page(&error);
        sl_heap_fail_at(0);
        if (status != SLIM_OK) {
            expect_failed(status, &error, "allocation", k);
            n_failed++;
        }
        if (sl_heap_bytes() != held) {
            fail_msg("allocation %lld: %lld bytes were not given back", (long long)k,
                     (long long)(sl_heap_bytes() - held));
        }
        expect_whole_page();
        expect_sound();
    }
    assert_true(n_failed > 0);
    for (int64_t k = 0; k < 40000; k += 4000) {
        error = (slim_error){0};
        sl_file_fail_after(k);
        slim_status status = make_page(&error);
        sl_file_fail_after(-1);
        expect_failed(status, &error, "byte", k);
        expect_whole_page();
        expect_sound();
        assert_int_equal(sl_heap_bytes(), held);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_disk),
        cmocka_unit_test(test_page),
    };
    return cmocka_run_group_tests(tests, make_run, NULL);
}
