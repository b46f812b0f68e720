/* SPDX-License-Identifier: MIT */
/*
 * What a run can keep of its way: gradient measures, snapshots, one update a width. None
 * of it but the last changes the numbers; a run that was killed and goes on leaves the
 * same files as one that never stopped, nothing lost and nothing twice.
 */
#include "cli/clikit.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define LAST "/checkpoints/last.safetensors"
/* 3 epochs of 8 steps; the second width joins after the first. One thread: the steps are
 * too small to share. */
#define PATH_DATA "synthetic:size=16,n=128,test=10"
#define PATH_RUN                                                                         \
    PATH_DATA, "-a", "resnet8-b16", "-w", "1,0.5", "-b", "16", "-q", "--log-every", "1", \
        "-e", "3", "--slow-start", "1", "--save-steps", "5", "--moco-k", "64", "--head", \
        "linear", "--threads", "1"
#define WATCHED "--grad-diag", "every=3", "--snapshots", "--update", "per-width"

enum { EPOCH = 8, STEPS = 3 * EPOCH, MEASURES = STEPS / 3 };

static const char *const snapshots[] = {
    "epoch=0000-step=00000000.safetensors",
    "epoch=0001-step=00000008-w1.00.safetensors",
    "epoch=0002-step=00000016-w1.00.safetensors",
    "epoch=0002-step=00000016-w0.50.safetensors",
    "epoch=0003-step=00000024-w1.00.safetensors",
    "epoch=0003-step=00000024-w0.50.safetensors",
};
enum { SNAPSHOTS = (int)(sizeof snapshots / sizeof snapshots[0]) };

static int whole_run(void **state)
{
    (void)state;
    cli_remove("whole");
    cli_expect_done(RUN("pretrain", PATH_RUN, WATCHED, "-o", "whole"));
    return 0;
}

static const char *in(const char *run, const char *folder, const char *name)
{
    static char path[2][512];
    static int turn;
    turn = 1 - turn;
    snprintf(path[turn], sizeof path[turn], "%s/%s%s%s", run, folder,
             folder[0] != '\0' ? "/" : "", name);
    return path[turn];
}

/* ---- what is written --------------------------------------------------------------- */

static json_t *line_of(const char *text, int number)
{
    const char *at = text;
    for (int i = 0; i < number; i++) {
        at = strchr(at, '\n');
        assert_non_null(at);
        at++;
    }
    const char *end = strchr(at, '\n');
    assert_non_null(end);
    json_error_t problem;
    json_t *root = json_loadb(at, (size_t)(end - at), 0, &problem);
    assert_non_null(root);
    return root;
}

static double number_at(json_t *root, const char *array, int i, int j)
{
    json_t *value = json_array_get(json_object_get(root, array), (size_t)i);
    value = j >= 0 ? json_array_get(value, (size_t)j) : value;
    assert_true(json_is_number(value));
    return json_number_value(value);
}

static void test_gradients(void **state)
{
    (void)state;
    int64_t size = 0;
    unsigned char *text = cli_read("whole/graddiag.jsonl", &size);
    for (int i = 0; i < MEASURES; i++) {
        json_t *root = line_of((const char *)text, i);
        json_t *total = json_object_get(root, "total");
        int step = (int)json_integer_value(json_object_get(root, "step"));
        int active = (int)json_integer_value(json_object_get(root, "active"));
        assert_int_equal(step, 3 * (i + 1));
        assert_int_equal(active, step <= EPOCH ? 1 : 2);
        assert_int_equal(json_array_size(json_object_get(root, "layers")), 10);
        /* Shares of a ring sum to 1; the narrow width has none in the outer one. */
        for (int ring = 0; ring < 2; ring++) {
            double sum = number_at(total, "ring_share", 0, ring) +
                         number_at(total, "ring_share", 1, ring);
            assert_true(sum > 0.999999 && sum < 1.000001);
        }
        assert_true(number_at(total, "ring_norm", 1, 0) == 0.0);
        assert_true((number_at(total, "norm", 1, -1) > 0.0) == (active == 2));
        json_t *cosine =
            json_array_get(json_array_get(json_object_get(total, "cosine"), 0), 1);
        assert_true(active == 2 ? json_is_number(cosine) : json_is_null(cosine));
        json_t *published = json_object_get(root, "published");
        assert_true(number_at(published, "mean", 0, -1) >
                    number_at(published, "mean", 1, -1));
        json_t *head = json_object_get(root, "head");
        assert_string_equal(json_string_value(json_object_get(head, "layer")),
                            "head.0.weight");
        assert_int_equal(json_integer_value(json_object_get(head, "values")), 128 * 64);
        json_decref(root);
    }
    cli_free(text);
    cli_free(cli_read("whole/graddiag_head.f32", &size));
    assert_int_equal(size, MEASURES * 128 * 64 * 4);
    /* The published text: a line of step and means, then one a width. */
    text = cli_read("whole/graddiag.txt", &size);
    int lines = 0;
    for (int64_t i = 0; i < size; i++) {
        lines += text[i] == '\n';
    }
    assert_int_equal(lines, MEASURES * 3);
    int step = 0;
    double means[2] = {0, 0};
    char rest = '\0';
    assert_int_equal(
        sscanf((const char *)text, "%d %lf %lf%c", &step, &means[0], &means[1], &rest),
        4);
    assert_true(step == 3 && means[0] > means[1] && rest == '\n');
    cli_free(text);
}

static void test_snapshots(void **state)
{
    (void)state;
    uint64_t seen[SNAPSHOTS];
    for (int i = 0; i < SNAPSHOTS; i++) {
        const char *path = in("whole", "snapshots", snapshots[i]);
        assert_true(cli_exists(path));
        seen[i] = cli_hash(path);
        for (int k = 0; k < i; k++) {
            assert_true(seen[k] != seen[i]);
        }
    }
    /* Beforehand it said how many: none of the narrow width before it joins. */
    unsigned char *text = cli_read("whole/train.log", NULL);
    char said[32];
    snprintf(said, sizeof said, " %d snapshots of ", SNAPSHOTS);
    assert_non_null(strstr((const char *)text, said));
    cli_free(text);
    /* A snapshot is a model: the last one judges as the run does. */
    const struct cli_result *result =
        RUN("eval", "knn", in("whole", "snapshots", snapshots[SNAPSHOTS - 1]), PATH_DATA,
            "--json", "-q", "--device", "ref");
    cli_expect_done(result);
    json_t *ours = cli_json(result);
    result = RUN("eval", "knn", "whole", PATH_DATA, "--json", "-q", "--device", "ref");
    json_t *runs = cli_json(result);
    assert_true(
        json_equal(json_object_get(ours, "results"), json_object_get(runs, "results")));
    assert_int_equal(json_integer_value(json_object_get(ours, "step")), STEPS);
    json_decref(ours);
    json_decref(runs);
}

/* ---- nothing else changes ---------------------------------------------------------- */

static void test_same_numbers(void **state)
{
    (void)state;
    cli_remove("run");
    cli_expect_done(RUN("pretrain", PATH_RUN, "--update", "per-width", "-o", "run"));
    cli_same_bytes("run" LAST, "whole" LAST);
    assert_false(cli_exists("run/graddiag.jsonl"));
    assert_false(cli_exists("run/snapshots"));
    /* One update a batch is another run, and has one snapshot an epoch; what the run
     * before left is gone. */
    cli_expect_done(RUN("pretrain", PATH_RUN, "--snapshots", "-o", "run", "--overwrite"));
    assert_true(cli_hash("run" LAST) != cli_hash("whole" LAST));
    assert_true(cli_exists("run/snapshots/epoch=0002-step=00000016.safetensors"));
    assert_false(cli_exists("run/snapshots/epoch=0002-step=00000016-w1.00.safetensors"));
    cli_expect_done(RUN("pretrain", PATH_RUN, "--snapshots", "-o", "run", "--overwrite",
                        "--steps", "10", "--slow-start", "0"));
    assert_true(cli_exists("run/snapshots/epoch=0001-step=00000010.safetensors"));
    assert_false(cli_exists("run/snapshots/epoch=0002-step=00000016.safetensors"));
    cli_remove("run");
}

/* Killed where files are ahead of the last checkpoint. */
static void test_killed(void **state)
{
    (void)state;
    cli_remove("run");
    pid_t child = START("pretrain", PATH_RUN, WATCHED, "-o", "run");
    cli_wait_for_step("run", EPOCH + 4, child);
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(cli_finish(child)->signal, SIGKILL);
    /* As if the kill had come later: what lies beyond the checkpoint. */
    cli_copy("whole/graddiag.jsonl", "run/graddiag.jsonl", -1);
    cli_copy("whole/graddiag.txt", "run/graddiag.txt", -1);
    cli_copy("whole/graddiag_head.f32", "run/graddiag_head.f32", -1);
    cli_copy("whole" LAST, in("run", "snapshots", snapshots[SNAPSHOTS - 1]), 1000);
    cli_expect_done(RUN("pretrain", "-o", "run", "-q", "--resume"));
    cli_same_bytes("run" LAST, "whole" LAST);
    cli_same_bytes("run/graddiag.jsonl", "whole/graddiag.jsonl");
    cli_same_bytes("run/graddiag.txt", "whole/graddiag.txt");
    cli_same_bytes("run/graddiag_head.f32", "whole/graddiag_head.f32");
    for (int i = 0; i < SNAPSHOTS; i++) {
        cli_same_bytes(in("run", "snapshots", snapshots[i]),
                       in("whole", "snapshots", snapshots[i]));
    }
    cli_no_torn_files("run");
    /* Records that are gone cannot be made again. */
    cli_copy("whole" LAST, "run/graddiag_head.f32", 100);
    const struct cli_result *result =
        RUN("pretrain", "-o", "run", "-q", "--resume", "-e", "4");
    assert_int_equal(result->status, 1);
    assert_non_null(strstr(result->err, "remove both"));
    cli_remove("run");
}

static void test_refused(void **state)
{
    (void)state;
    cli_remove("run");
    static const char *const bad[] = {"every=", "every=-3", "every=x", "often", "-1"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char word[64];
        snprintf(word, sizeof word, "--grad-diag=%s", bad[i]);
        cli_expect_refused(RUN("pretrain", PATH_RUN, "-o", "run", word), 2,
                           "--grad-diag");
    }
    cli_expect_refused(RUN("pretrain", PATH_RUN, "-o", "run", "--update", "never"), 2,
                       "update");
    assert_false(cli_exists("run"));
    /* How a run is updated cannot change on its way. */
    cli_expect_refused(
        RUN("pretrain", "-o", "whole", "-q", "--resume", "--update", "joint"), 2,
        "--update");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gradients),    cmocka_unit_test(test_snapshots),
        cmocka_unit_test(test_same_numbers), cmocka_unit_test(test_killed),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests_name("paths", tests, whole_run, NULL);
}
