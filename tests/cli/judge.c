/* SPDX-License-Identifier: MIT */
/*
 * `eval knn` and `eval linear`: one JSON object or one table, sensible numbers, every
 * width asked for, and a model that is the same before and after.
 */
#include "cli/clikit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include <cmocka.h>

#define LAST "run/checkpoints/last.safetensors"

static int make_run(void **state)
{
    (void)state;
    cli_remove("run");
    cli_expect_done(RUN("pretrain", CLI_DATA, "-o", "run", CLI_NET, "-e", "2"));
    return 0;
}

static void expect_fraction(json_t *row, const char *key)
{
    json_t *value = json_object_get(row, key);
    if (!json_is_number(value) || json_number_value(value) < 0.0 ||
        json_number_value(value) > 1.0) {
        fail_msg("%s is no fraction", key);
    }
}

static int64_t integer(json_t *object, const char *key)
{
    json_t *value = json_object_get(object, key);
    if (!json_is_integer(value)) {
        fail_msg("%s is no integer", key);
    }
    return json_integer_value(value);
}

/* Rows for the widths, larger ones dearer; takes the reference. */
static void expect_rows(json_t *root, const char *kind, const double *widths, size_t n)
{
    json_t *rows = json_object_get(root, "results");
    bool linear = strcmp(kind, "linear") == 0;
    assert_string_equal(json_string_value(json_object_get(root, "eval")), kind);
    assert_string_equal(json_string_value(json_object_get(root, "data")), CLI_DATA);
    assert_int_equal(integer(root, "n_train"), 256);
    assert_int_equal(integer(root, "n_test"), 100);
    assert_int_equal(json_array_size(rows), n);
    for (size_t i = 0; i < n; i++) {
        json_t *row = json_array_get(rows, i);
        assert_true(json_number_value(json_object_get(row, "width")) == widths[i]);
        expect_fraction(row, "acc1");
        expect_fraction(row, "acc5");
        assert_true(json_number_value(json_object_get(row, "acc1")) <=
                    json_number_value(json_object_get(row, "acc5")));
        if (linear) {
            expect_fraction(row, "slim_acc1");
            expect_fraction(row, "slim_acc5");
        }
        if (i > 0) {
            json_t *larger = json_array_get(rows, i - 1);
            assert_true(integer(row, "params") < integer(larger, "params"));
            assert_true(integer(row, "macs") < integer(larger, "macs"));
        }
    }
    json_decref(root);
}

static void test_knn(void **state)
{
    static const double both[] = {1.0, 0.5};
    uint64_t before = cli_hash(LAST);
    (void)state;
    json_t *root = cli_json(RUN("eval", "knn", "run", CLI_DATA, "--json"));
    assert_true(integer(root, "k") >= 1 && integer(root, "k") <= 200);
    expect_rows(root, "knn", both, 2);
    assert_true(cli_exists("run/eval/knn.json"));
    /* A checkpoint by its path is the same model, and nothing is written beside it. */
    cli_remove("run/eval");
    expect_rows(cli_json(RUN("eval", "knn", LAST, CLI_DATA, "--json", "-w", "0.5")),
                "knn", both + 1, 1);
    assert_false(cli_exists("run/eval"));
    assert_true(cli_hash(LAST) == before);
}

static void test_linear(void **state)
{
    static const double both[] = {1.0, 0.5};
    uint64_t before = cli_hash(LAST);
    (void)state;
    expect_rows(cli_json(RUN("eval", "linear", "run", CLI_DATA, "--json")), "linear",
                both, 2);
    assert_true(cli_exists("run/eval/linear.json"));
    assert_true(cli_hash(LAST) == before);
}

/* The further probes stand beside the plain one, which stays what it was. */
static void test_further_probes(void **state)
{
    static const char *const fields[] = {"acc1", "acc5", "slim_acc1", "slim_acc5"};
    static const char *const prefixes[] = {"distill_", "paper_"};
    uint64_t before = cli_hash(LAST);
    (void)state;
    json_t *plain = cli_json(RUN("eval", "linear", "run", CLI_DATA, "--json"));
    json_t *all = cli_json(RUN("eval", "linear", "run", CLI_DATA, "--json",
                               "--probe-distill", "--as-paper", "--probe-epochs", "2",
                               "--probe-lr", "0.5", "--probe-schedule", "cosine"));
    for (size_t i = 0; i < 2; i++) {
        json_t *a = json_array_get(json_object_get(plain, "results"), i);
        json_t *b = json_array_get(json_object_get(all, "results"), i);
        for (size_t f = 0; f < 4; f++) {
            assert_true(json_number_value(json_object_get(a, fields[f])) ==
                        json_number_value(json_object_get(b, fields[f])));
            for (size_t p = 0; p < 2; p++) {
                char key[32];
                (void)snprintf(key, sizeof key, "%s%s", prefixes[p], fields[f]);
                expect_fraction(b, key);
                assert_null(json_object_get(a, key));
            }
        }
        /* The full width has no teacher. */
        bool same = json_number_value(json_object_get(b, "acc1")) ==
                    json_number_value(json_object_get(b, "distill_acc1"));
        assert_true(i > 0 || same);
    }
    assert_int_equal(integer(all, "epochs"), 100);
    json_t *paper = json_object_get(all, "paper");
    assert_string_equal(json_string_value(json_object_get(paper, "rates_of")), "mocov2");
    assert_string_equal(json_string_value(json_object_get(paper, "schedule")), "cosine");
    assert_int_equal(integer(paper, "epochs"), 2);
    assert_int_equal(integer(paper, "batch"), 1024);
    assert_non_null(strstr(json_string_value(json_object_get(paper, "note")), "last"));
    json_decref(all);

    /* Fresh views do not depend on who makes them. */
    char first[8192];
    const char *const workers[] = {"1", "3"};
    for (size_t i = 0; i < 2; i++) {
        const struct cli_result *result =
            RUN("eval", "linear", LAST, CLI_DATA, "--json", "--as-paper",
                "--probe-epochs", "1", "-j", workers[i]);
        cli_expect_done(result);
        assert_true(i == 0 || strcmp(first, result->out) == 0);
        (void)snprintf(first, sizeof first, "%s", result->out);
    }
    json_decref(plain);
    assert_true(cli_hash(LAST) == before);
    const struct cli_result *result =
        RUN("eval", "linear", "run", CLI_DATA, "-q", "--probe-distill", "--as-paper",
            "--probe-epochs", "1");
    cli_expect_done(result);
    assert_non_null(strstr(result->out, "taught:"));
    assert_non_null(strstr(result->out, "each epoch; sub-networks learn"));
    result = RUN("eval", "linear", "run", CLI_DATA, "-q", "-w", "1", "--as-paper",
                 "--probe-epochs", "1");
    cli_expect_done(result);
    assert_non_null(strstr(result->out, "as the paper: crops"));
    assert_null(strstr(result->out, "sub-networks"));
    assert_non_null(strstr(result->out, "as the paper:"));
    assert_non_null(strstr(result->out, "differs from the paper"));
}

#define TINY                                                                             \
    "--train", "seen/train", "--test", "seen/test", "-j", "1", "--as-paper",             \
        "--image-size", "72"

/* A picture that one view takes and the other refuses: a strip of 16000 x 1, far too
 * large once its short side is that of the fixed view, fits a random crop. It must not
 * move the rows behind it against their labels. */
static void test_paper_views_keep_their_labels(void **state)
{
    (void)state;
    cli_remove("seen");
    cli_write_ppm("seen/train/red/0.ppm", 1, 16000, 0, 0, 255);
    cli_write_ppm("seen/train/red/1.ppm", 80, 80, 255, 0, 0);
    cli_write_ppm("seen/train/zinc/0.ppm", 80, 80, 0, 0, 255);
    cli_write_ppm("seen/test/red/0.ppm", 80, 80, 255, 0, 0);
    cli_write_ppm("seen/test/zinc/0.ppm", 80, 80, 0, 0, 255);
    json_t *root = cli_json(RUN("eval", "linear", LAST, TINY, "--probe-epochs", "20",
                                "--probe-lr", "0.5", "--json", "-q"));
    assert_int_equal(integer(root, "n_train"), 2);
    assert_int_equal(integer(root, "n_bad"), 1);
    for (size_t i = 0; i < 2; i++) {
        json_t *row = json_array_get(json_object_get(root, "results"), i);
        assert_true(json_number_value(json_object_get(row, "acc1")) == 1.0);
        assert_true(json_number_value(json_object_get(row, "paper_acc1")) == 1.0);
    }
    json_decref(root);

    /* Nor may one that is gone meanwhile. The probe has more epochs than it can get
     * through before the test sees it begin. */
    cli_remove("program.err");
    pid_t child = START("eval", "linear", LAST, TINY, "--probe-epochs", "100000",
                        "--probe-lr", "0.01");
    for (bool begun = false; !begun;) {
        char *said =
            cli_exists("program.err") ? (char *)cli_read("program.err", NULL) : NULL;
        begun = said != NULL && strstr(said, "as the paper") != NULL;
        cli_free(said);
        int ended = 0;
        if (!begun && waitpid(child, &ended, WNOHANG) != 0) {
            fail_msg("the evaluation ended before its probe began");
        }
        (void)nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    cli_remove("seen/train/red/1.ppm");
    const struct cli_result *result = cli_finish(child);
    assert_int_equal(result->status, 3);
    assert_string_equal(result->out, "");
    assert_non_null(strstr(result->err, "1 of the 2 train pictures"));
}

/* The same numbers whoever asks: twice, and with other numbers of workers. */
static void test_repeats(void **state)
{
    (void)state;
    const char *const kinds[] = {"knn", "linear"};
    for (size_t i = 0; i < 2; i++) {
        char first[8192];
        const struct cli_result *result =
            RUN("eval", kinds[i], "run", CLI_DATA, "--json", "-j", "1");
        cli_expect_done(result);
        (void)snprintf(first, sizeof first, "%s", result->out);
        result = RUN("eval", kinds[i], "run", CLI_DATA, "--json", "-j", "3");
        cli_expect_done(result);
        assert_string_equal(result->out, first);
    }
}

static void test_tables(void **state)
{
    (void)state;
    const struct cli_result *result = RUN("eval", "knn", "run", CLI_DATA, "-q", "--raw");
    cli_expect_done(result);
    assert_non_null(
        strstr(result->out, "model after 16 steps; 256 pictures in the bank"));
    assert_non_null(strstr(result->out, "params"));
    assert_non_null(strstr(result->out, "top-5"));
    assert_non_null(strstr(result->out, "\n  1.00 "));
    assert_non_null(strstr(result->out, "\n  0.50 "));
    assert_non_null(strstr(result->out, "raw pixels at 16 px"));
    assert_string_equal(result->err, "");
    json_t *root = cli_json(RUN("eval", "knn", "run", CLI_DATA, "-q", "--raw", "--json",
                                "--image-size", "48"));
    assert_int_equal(integer(root, "raw_side"), 32);
    json_decref(root);
    result = RUN("eval", "linear", "run", CLI_DATA, "-q");
    cli_expect_done(result);
    assert_non_null(strstr(result->out, "private probe"));
    assert_non_null(strstr(result->out, "shared probe"));
    assert_non_null(strstr(result->out, "\n  0.50 "));
}

static void test_refused(void **state)
{
    (void)state;
    const struct cli_result *result =
        RUN("eval", "knn", "run", CLI_DATA, "-q", "-w", "0.33");
    cli_expect_refused(result, 2, "0.33");
    assert_non_null(strstr(result->err, "1.00 0.50"));
    cli_expect_refused(RUN("eval", "linear", "run", CLI_DATA, "-q", "-w", "0"), 2,
                       "--widths");
    /* The full width's probe teaches: it must be there, and so must somebody to teach. */
    cli_expect_refused(
        RUN("eval", "linear", "run", CLI_DATA, "-q", "-w", "0.5", "--as-paper"), 2,
        "--widths 0.5: with --as-paper");
    cli_expect_refused(
        RUN("eval", "linear", "run", CLI_DATA, "-q", "-w", "0.5", "--probe-distill"), 2,
        "--widths 0.5: with --probe-distill");
    cli_expect_refused(
        RUN("eval", "linear", "run", CLI_DATA, "-q", "-w", "1", "--probe-distill"), 2,
        "--probe-distill: one width");
    cli_expect_refused(RUN("eval", "knn", "run", CLI_DATA, "--test", CLI_DATA, "-q"), 2,
                       "contradict");
    cli_expect_refused(RUN("eval", "knn", "run", CLI_DATA, "extra", "-q"), 2, "--test");
    cli_expect_refused(
        RUN("eval", "knn", "run", CLI_DATA, "--json", "-q", "--knn-k", "0"), 2,
        "--knn-k");
    /* Pictures without labels can be trained on, and not judged by. */
    for (uint32_t i = 0; i < 20; i++) {
        char path[64];
        (void)snprintf(path, sizeof path, "plain/%02u.ppm", i);
        cli_write_noise(path, 16, 16, i);
    }
    cli_expect_refused(RUN("eval", "knn", "run", "plain", "-q"), 3, "labels");
    cli_expect_refused(
        RUN("pretrain", CLI_DATA, "-o", "blind", CLI_NET, "--eval-data", "plain"), 3,
        "labels");
    assert_false(cli_exists("blind"));
}

/* The two parts named one by one are the two parts of DATA; kNN while training writes its
 * own columns. */
static void test_parts_and_while_training(void **state)
{
    static const double both[] = {1.0, 0.5};
    (void)state;
    json_t *one = cli_json(RUN("eval", "knn", LAST, CLI_DATA, "--json", "-q"));
    json_t *two = cli_json(RUN("eval", "knn", LAST, "--train", CLI_DATA, "--test",
                               CLI_DATA, "--json", "-q"));
    assert_true(
        json_equal(json_object_get(one, "results"), json_object_get(two, "results")));
    json_decref(one);
    expect_rows(two, "knn", both, 2);

    uint64_t before = cli_hash(LAST);
    cli_remove("watched");
    cli_expect_done(RUN("pretrain", CLI_DATA, "-o", "watched", CLI_NET, "-e", "2",
                        "--eval-data", CLI_DATA));
    char *metrics = (char *)cli_read("watched/metrics.jsonl", NULL);
    const char *first = strstr(metrics, "knn_acc1/w0.50");
    assert_non_null(first);
    assert_non_null(strstr(first + 1, "knn_acc1/w0.50"));
    /* What a guess among ten classes is worth stands beside them. */
    assert_non_null(strstr(metrics, "\"knn_chance\":0.1,"));
    cli_free(metrics);
    /* Looking on changes nothing. */
    assert_true(cli_hash("watched/checkpoints/last.safetensors") == before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_knn),
        cmocka_unit_test(test_linear),
        cmocka_unit_test(test_further_probes),
        cmocka_unit_test(test_paper_views_keep_their_labels),
        cmocka_unit_test(test_repeats),
        cmocka_unit_test(test_tables),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_parts_and_while_training),
    };
    return cmocka_run_group_tests(tests, make_run, NULL);
}
