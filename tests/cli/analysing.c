/* SPDX-License-Identifier: MIT */
/*
 * `slimclr analyse`: the path of a small run with one update a width, the error around
 * its end (at the end itself that of `eval knn`), a surface that goes on where it was,
 * and closed-form probes.
 */
#include "cli/clikit.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define SET "synthetic:size=16,n=128,test=60"
#define ONE "--threads", "1", "-q", "--precision", "fp32"
#define NET                                                                              \
    SET, "-a", "resnet8-b8", "-w", "1,0.5", "-b", "16", "-e", "4", "--head", "linear",   \
        "--slow-start", "0", "--snapshots", "--moco-k", "32", "--lr", "0.1", ONE
#define SMALL "--grid", "3", "--x-range=-1,1", "--y-range=-2,2", "--limit-test", "50"

enum { EPOCHS = 4 };

static int make_runs(void **state)
{
    (void)state;
    cli_remove("run");
    cli_remove("joint");
    cli_remove("predicted");
    cli_expect_done(RUN("pretrain", NET, "--update", "per-width", "-o", "run"));
    cli_expect_done(RUN("pretrain", NET, "-o", "joint"));
    cli_expect_done(RUN("pretrain", SET, "-a", "resnet8-b8", "-w", "1,0.5", "-b", "16",
                        "-e", "1", "--method", "mocov3", "--slow-start", "0",
                        "--snapshots", "-o", "predicted", ONE));
    return 0;
}

static int fresh(void **state)
{
    (void)state;
    cli_remove("run/analyse");
    return 0;
}

static double real_of(json_t *object, const char *key)
{
    json_t *value = json_object_get(object, key);
    assert_true(json_is_number(value));
    return json_number_value(value);
}

static json_t *trajectory(const char *const *words)
{
    return cli_json(cli_run(words));
}
#define TRAJECTORY(...)                                                                  \
    trajectory((const char *const[]){"analyse", "trajectory", __VA_ARGS__, ONE,          \
                                     "--json", NULL})

/* ---- the path ---------------------------------------------------------------------- */

static void test_path(void **state)
{
    (void)state;
    json_t *root = TRAJECTORY("run");
    json_t *paths = json_object_get(root, "paths");
    assert_int_equal(json_array_size(paths), 2);
    for (size_t p = 0; p < 2; p++) {
        json_t *path = json_array_get(paths, p);
        json_t *points = json_object_get(path, "points");
        assert_string_equal(json_string_value(json_object_get(path, "width")),
                            p == 0 ? "1.00" : "0.50");
        assert_int_equal(json_array_size(points), EPOCHS + 1);
        json_t *last = json_array_get(points, EPOCHS);
        assert_int_equal(json_integer_value(json_object_get(last, "step")), 32);
        double far = hypot(real_of(last, "x"), real_of(last, "y"));
        json_t *start = json_array_get(points, 0);
        assert_true(hypot(real_of(start, "x"), real_of(start, "y")) > 0.1);
        assert_true(p == 0 ? far > 0 : far == 0); /* the last update is the narrow one */
    }
    assert_string_equal(json_string_value(json_object_get(root, "final")),
                        "epoch=0004-step=00000032-w0.50.safetensors");
    assert_int_equal(json_integer_value(json_object_get(root, "fit_snapshots")),
                     EPOCHS + 1);
    json_t *explained = json_object_get(root, "explained");
    double first = json_number_value(json_array_get(explained, 0));
    double second = json_number_value(json_array_get(explained, 1));
    assert_true(first > second && second > 0 && first + second <= 1.0000001);
    assert_null(json_object_get(root, "surface"));
    json_decref(root);
    assert_true(cli_exists("run/analyse/trajectory.svg"));
    assert_true(cli_exists("run/analyse/trajectory.csv"));
    assert_true(cli_exists("run/analyse/trajectory.json"));
    assert_false(cli_exists("run/analyse/surface.csv"));

    root = TRAJECTORY("run", "--fit-width", "0.5", "-w", "0.5");
    paths = json_object_get(root, "paths");
    assert_int_equal(json_array_size(paths), 1);
    assert_true(real_of(root, "fit_width") == 0.5);
    json_decref(root);
    root = TRAJECTORY("run", "--directions", "random", "--seed", "3");
    assert_null(json_object_get(root, "explained"));
    json_decref(root);
    /* One update a batch: one path for all widths. */
    root = TRAJECTORY("joint");
    paths = json_object_get(root, "paths");
    assert_int_equal(json_array_size(paths), 1);
    assert_string_equal(
        json_string_value(json_object_get(json_array_get(paths, 0), "width")), "all");
    json_decref(root);
    const struct cli_result *result = RUN("analyse", "trajectory", "run", ONE);
    cli_expect_done(result);
    assert_non_null(strstr(result->out, "width 0.50"));
}

/* A run that began to keep snapshots when it was resumed, before its narrow widths had
 * joined, and lost some since: what is not there is left out, and said. */
static void test_missing_snapshots(void **state)
{
    (void)state;
    cli_remove("part");
    for (int epoch = 1; epoch <= EPOCHS; epoch++) {
        char name[2][128];
        for (int i = 0; i < 2; i++) {
            snprintf(name[i], sizeof name[i],
                     "%s/snapshots/epoch=%04d-step=%08d-w1.00.safetensors",
                     i == 0 ? "run" : "part", epoch, 8 * epoch);
        }
        cli_copy(name[0], name[1], -1);
    }
    const struct cli_result *result =
        RUN("analyse", "trajectory", "part", "--threads", "1");
    cli_expect_done(result);
    assert_non_null(strstr(result->err, "width 0.50: no snapshot of it"));
    assert_non_null(strstr(result->out, "width 1.00"));
    assert_null(strstr(result->out, "width 0.50"));
    json_t *root = TRAJECTORY("part");
    assert_int_equal(json_array_size(json_object_get(root, "paths")), 1);
    json_decref(root);
    cli_expect_refused(RUN("analyse", "trajectory", "part", "--fit-width", "0.5", ONE), 2,
                       "0 snapshots");
    result = RUN("analyse", "trajectory", "part", "-w", "0.5", ONE);
    cli_expect_silent(result, 2);
    assert_non_null(strstr(result->err, "--widths 0.5: "));
    cli_remove("part");
}

/* ---- the surface ------------------------------------------------------------------- */

/* The error in the j-th row and i-th column of a surface of three columns. */
static double error_at(const char *path, int i, int j)
{
    int64_t size = 0;
    unsigned char *text = cli_read(path, &size);
    const char *at = strchr((const char *)text, '\n') + 1;
    double x = 0;
    double y = 0;
    double error = -1;
    for (int line = 0; line < 3 * j + i; line++) {
        at = strchr(at, '\n') + 1;
    }
    assert_int_equal(sscanf(at, "%lf,%lf,%lf", &x, &y, &error), 3);
    assert_true(x == i - 1.0 && y == 2.0 * (j - 1));
    cli_free(text);
    return error;
}

/* At the end itself the surface has the error of `eval knn` on the head's output. */
static void expect_knn_at_end(const char *run, const char *last)
{
    char path[256];
    snprintf(path, sizeof path, "%s/snapshots/%s.safetensors", run, last);
    json_t *root = cli_json(RUN("eval", "knn", path, SET, "--features", "head",
                                "--limit-test", "50", "-w", "1", "--json", ONE));
    double accuracy =
        real_of(json_array_get(json_object_get(root, "results"), 0), "acc1");
    json_decref(root);
    snprintf(path, sizeof path, "%s/analyse/surface.csv", run);
    assert_true(fabs(error_at(path, 1, 1) - 100 * (1 - accuracy)) < 1e-3);
}

static void test_surface(void **state)
{
    (void)state;
    json_t *root = TRAJECTORY("run", SET, SMALL);
    json_t *surface = json_object_get(root, "surface");
    assert_string_equal(json_string_value(json_object_get(surface, "judge")), "knn");
    assert_int_equal(json_integer_value(json_object_get(surface, "n_test")), 50);
    assert_true(real_of(surface, "least_error") <= real_of(surface, "most_error"));
    json_decref(root);
    expect_knn_at_end("run", "epoch=0004-step=00000032-w0.50");
    /* A predictor behind the head is no part of what is judged. */
    json_decref(TRAJECTORY("predicted", SET, SMALL, "--directions", "random"));
    expect_knn_at_end("predicted", "epoch=0001-step=00000008");
}

/* Known points are not computed again, and only those of the same surface are taken. */
static void test_goes_on(void **state)
{
    (void)state;
    int64_t size = 0;
    json_decref(TRAJECTORY("run", SET, SMALL));
    double last = error_at("run/analyse/surface.csv", 2, 2);
    cli_copy("run/analyse/surface.csv", "whole.csv", -1);
    cli_copy("run/analyse/trajectory.json", "whole.json", -1);
    json_decref(TRAJECTORY("run", SET, SMALL)); /* all of it is known */
    cli_same_bytes("run/analyse/trajectory.json", "whole.json");
    unsigned char *text = cli_read("run/analyse/surface.jsonl", &size);
    const char *end = (const char *)text;
    for (int line = 0; line < 5; line++) { /* the head and four points */
        end = strchr(end, '\n') + 1;
    }
    int64_t keep = end - (const char *)text;
    cli_write("run/analyse/surface.jsonl", text, (size_t)keep + 5); /* and a torn line */
    json_decref(TRAJECTORY("run", SET, SMALL));
    cli_same_bytes("run/analyse/surface.csv", "whole.csv");
    cli_same_bytes("run/analyse/trajectory.json", "whole.json");

    char mark[] = "{\"i\":2,\"j\":2,\"error\":12.25}\n";
    char *made = (char *)text;
    memcpy(made + keep, mark, sizeof mark - 1);
    cli_write("run/analyse/surface.jsonl", made, (size_t)keep + sizeof mark - 1);
    json_decref(TRAJECTORY("run", SET, SMALL));
    assert_true(error_at("run/analyse/surface.csv", 2, 2) == 12.25);
    json_decref(TRAJECTORY("run", SET, SMALL, "--knn-t", "0.11"));
    assert_true(error_at("run/analyse/surface.csv", 2, 2) != 12.25);
    json_decref(TRAJECTORY("run", SET, SMALL));
    assert_true(error_at("run/analyse/surface.csv", 2, 2) == last);
    cli_free(text);
    cli_no_torn_files("run");
}

/* ---- probes ------------------------------------------------------------------------ */

static void test_probes(void **state)
{
    (void)state;
    json_t *root = cli_json(RUN("analyse", "probes", "run", SET, "--json", ONE));
    json_t *rows = json_object_get(root, "results");
    assert_int_equal(json_array_size(rows), 2);
    for (size_t i = 0; i < 2; i++) {
        json_t *row = json_array_get(rows, i);
        assert_true(real_of(row, "private_loss") <= real_of(row, "shared_loss") + 1e-6);
        assert_true(real_of(row, "private_acc1") >= 0.05);
    }
    json_t *narrow = json_array_get(rows, 1);
    assert_true(real_of(narrow, "coupling") > 0 && real_of(narrow, "gap") > 0);
    assert_int_equal(json_integer_value(json_object_get(narrow, "dimension")), 16);
    assert_null(json_object_get(json_array_get(rows, 0), "coupling"));
    json_decref(root);
    assert_true(cli_exists("run/analyse/probes.json"));
    const struct cli_result *result = RUN("analyse", "probes", "run", SET, ONE);
    cli_expect_done(result);
    assert_non_null(strstr(result->out, "coupling"));
    /* All weight on the full width: the shared probe is its own. */
    root = cli_json(
        RUN("analyse", "probes", "run", SET, "--json", "--width-weights", "1,0", ONE));
    json_t *full = json_array_get(json_object_get(root, "results"), 0);
    assert_true(real_of(full, "private_loss") == real_of(full, "shared_loss"));
    json_decref(root);
}

/* ---- refused ----------------------------------------------------------------------- */

static void test_refused(void **state)
{
    (void)state;
    cli_expect_refused(RUN("analyse"), 2, "say what");
    cli_expect_refused(RUN("analyse", "trajectory"), 2, "run directory");
    cli_expect_refused(RUN("analyse", "trajectory", "nowhere"), 1, "no such run");
    cli_folder("bare");
    cli_expect_refused(RUN("analyse", "trajectory", "bare"), 2, "--snapshots");
    cli_remove("bare");
    static const char *const bad[] = {
        "--grid=1",        "--grid=9y9",   "--x-range=3,1",        "--y-range=1",
        "--fit-width=0.3", "--widths=0.3", "--surface-width=1,0.5"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char option[32];
        snprintf(option, sizeof option, "%.*s", (int)strcspn(bad[i], "="), bad[i]);
        cli_expect_refused(RUN("analyse", "trajectory", "run", bad[i], ONE), 2, option);
    }
    /* What would change nothing. */
    cli_expect_refused(RUN("analyse", "trajectory", "run", "--directions", "random",
                           "--fit-width", "0.5", ONE),
                       2, "--fit-width 0.5: --directions random");
    cli_expect_refused(RUN("analyse", "trajectory", "joint", "--fit-width", "0.5", ONE),
                       2, "--fit-width 0.5");
    cli_expect_refused(RUN("analyse", "trajectory", "joint", "-w", "0.5", ONE), 2,
                       "--widths 0.5");
    cli_expect_refused(RUN("analyse", "trajectory", "run", "--grid", "9", ONE), 2,
                       "--grid 9: without DATA");
    cli_expect_refused(RUN("analyse", "trajectory", "run", "--knn-k", "9", ONE), 2,
                       "--knn-k 9: without DATA");
    assert_false(cli_exists("run/analyse"));
    cli_expect_refused(RUN("analyse", "probes", "run", SET, "--ridge=-1", ONE), 2,
                       "ridge");
    cli_expect_refused(RUN("analyse", "probes", "run", ONE), 2, "DATA");
    cli_expect_refused(RUN("analyse", "probes", "run", SET, "-w", "0.5", ONE), 2,
                       "--widths 0.5: ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_path, fresh),
        cmocka_unit_test_setup(test_missing_snapshots, fresh),
        cmocka_unit_test_setup(test_surface, fresh),
        cmocka_unit_test_setup(test_goes_on, fresh),
        cmocka_unit_test_setup(test_probes, fresh),
        cmocka_unit_test_setup(test_refused, fresh),
    };
    return cmocka_run_group_tests_name("analysing", tests, make_runs, NULL);
}
