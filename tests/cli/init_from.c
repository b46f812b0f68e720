/* SPDX-License-Identifier: MIT */
/*
 * `--init-from`: a run that begins with another's weights. The trunk is the other's bit
 * for bit; the head only where it has the same form and, a classifier's, where its
 * outputs mean the same classes in the same order.
 */
#include "cli/clikit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define LAST "/checkpoints/last.safetensors"
#define LABELS "labels"
#define TURNED "turned"
#define NET "-a", "resnet8-b8", "-w", "1,0.5", "-b", "12", "--image-size", "16"
#define FAST "--threads", "1"

/* Three classes of four pictures. */
static void write_classes(const char *set, const char *const names[3])
{
    char path[64];
    for (int i = 0; i < 12; i++) {
        (void)snprintf(path, sizeof path, "%s/%s/%d.ppm", set, names[i % 3], i);
        cli_write_noise(path, 16, 16, (uint32_t)i);
    }
}

static int make_runs(void **state)
{
    static const char *const old[] = {LABELS, TURNED, "moco", "taught", "narrow", "run"};
    (void)state;
    for (size_t i = 0; i < sizeof old / sizeof old[0]; i++) {
        cli_remove(old[i]);
    }
    write_classes(LABELS, (const char *const[]){"ash", "beech", "cedar"});
    write_classes(TURNED, (const char *const[]){"beech", "cedar", "dogwood"});
    cli_expect_done(RUN("pretrain", LABELS, "-o", "moco", NET, "-e", "2", "-q", FAST));
    cli_expect_done(RUN("pretrain", LABELS, "-o", "taught", NET, "-e", "2", "-q", FAST,
                        "--method", "supervised"));
    return 0;
}

static int fresh(void **state)
{
    (void)state;
    cli_remove("run");
    return 0;
}

static bool is_same(const char *a, const char *tensor_a, const char *b,
                    const char *tensor_b)
{
    size_t n = 0;
    size_t m = 0;
    float *x = cli_tensor(a, tensor_a, &n);
    float *y = cli_tensor(b, tensor_b, &m);
    bool same = n == m && memcmp(x, y, n * sizeof *x) == 0;
    cli_free(x);
    cli_free(y);
    return same;
}

static const char *const trunk[] = {"encoder.conv1.weight",
                                    "encoder.layer1.0.conv1.weight"};

/* The untrained run that `result` made has the trunk of `from`, and says whether its head
 * is new. */
static void expect_start(const struct cli_result *result, const char *from,
                         bool is_head_new)
{
    char path[64];
    (void)snprintf(path, sizeof path, "%s" LAST, from);
    cli_expect_done(result);
    assert_non_null(strstr(result->err, path));
    assert_int_equal(strstr(result->err, "starts anew") != NULL, is_head_new);
    for (size_t i = 0; i < sizeof trunk / sizeof trunk[0]; i++) {
        assert_true(is_same("run" LAST, trunk[i], path, trunk[i]));
    }
    assert_int_equal(is_same("run" LAST, "head.0.weight", path, "head.0.weight"),
                     !is_head_new);
}

/* Head and statistics too, and the momentum encoder begins as a copy: not as the other
 * run's, which lags behind. */
static void test_same_method(void **state)
{
    (void)state;
    expect_start(
        RUN("pretrain", LABELS, "-o", "run", NET, "-e", "0", FAST, "--init-from", "moco"),
        "moco", false);
    assert_false(
        is_same("moco" LAST, "head.0.weight", "moco" LAST, "target.head.0.weight"));
    assert_true(is_same("run" LAST, "head.0.weight", "run" LAST, "target.head.0.weight"));
}

static void test_other_method(void **state)
{
    (void)state;
    expect_start(RUN("pretrain", LABELS, "-o", "run", NET, "-e", "0", FAST, "--init-from",
                     "moco", "--method", "supervised"),
                 "moco", true);
    cli_remove("run");
    expect_start(RUN("pretrain", LABELS, "-o", "run", NET, "-e", "0", FAST, "--init-from",
                     "taught" LAST),
                 "taught", true);
    assert_true(is_same("run" LAST, "head.0.weight", "run" LAST, "target.head.0.weight"));
}

/* Three classes are there each time; only the same three are the classifier's. */
static void test_classes(void **state)
{
    (void)state;
    expect_start(RUN("pretrain", LABELS, "-o", "run", NET, "-e", "0", FAST, "--init-from",
                     "taught", "--method", "supervised"),
                 "taught", false);
    cli_remove("run");
    expect_start(RUN("pretrain", TURNED, "-o", "run", NET, "-e", "0", FAST, "--init-from",
                     "taught", "--method", "supervised"),
                 "taught", true);
}

/* A width of the other run may be left out, not added. */
static void test_widths(void **state)
{
    (void)state;
    cli_expect_done(RUN("pretrain", LABELS, "-o", "run", NET, "-w", "1", "-e", "0", FAST,
                        "--init-from", "moco"));
    cli_remove("narrow");
    cli_expect_refused(RUN("pretrain", LABELS, "-o", "narrow", NET, "-w", "1,0.25", "-e",
                           "0", "-q", FAST, "--init-from", "moco"),
                       2, "widths");
    assert_false(cli_exists("narrow"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_same_method, fresh),
        cmocka_unit_test_setup(test_other_method, fresh),
        cmocka_unit_test_setup(test_classes, fresh),
        cmocka_unit_test_setup(test_widths, fresh),
    };
    return cmocka_run_group_tests(tests, make_runs, NULL);
}
