/* SPDX-License-Identifier: MIT */
/*
 * `eval finetune` through the program: few labels, every width, each as a network of its
 * own and jointly; the honest baseline; what is kept and what is not; refusals.
 */
#include "cli/clikit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define DATA "synthetic:size=16,n=240,test=120,classes=4"
#define LAST "tuned-run/checkpoints/last.safetensors"
#define FAST "--threads", "1", "-q"

static int make_run(void **state)
{
    (void)state;
    cli_remove("tuned-run");
    cli_remove("saved");
    cli_expect_done(RUN("pretrain", DATA, "-o", "tuned-run", "-a", "resnet8-b8", "-w",
                        "1,0.5", "-b", "32", "-e", "0", FAST));
    return 0;
}

static json_t *row_of(json_t *root, size_t i)
{
    json_t *row = json_array_get(json_object_get(root, "results"), i);
    assert_non_null(row);
    return row;
}

static double number(json_t *row, const char *key)
{
    json_t *value = json_object_get(row, key);
    if (!json_is_number(value)) {
        fail_msg("%s is no number", key);
    }
    return json_number_value(value);
}

/* All weights learn what a classifier on a random trunk cannot; and the baseline is
 * honest: from an untrained trunk of the same seed fine-tuning and training from scratch
 * are one and the same. */
static void test_learns_and_is_honest(void **state)
{
    uint64_t before = cli_hash(LAST);
    (void)state;
    json_t *root = cli_json(RUN("eval", "finetune", "tuned-run", DATA, "--labels", "100%",
                                "-e", "12", "--from-scratch", "--json", FAST));
    assert_string_equal(json_string_value(json_object_get(root, "eval")), "finetune");
    for (size_t i = 0; i < 2; i++) {
        json_t *row = row_of(root, i);
        assert_true(number(row, "labels") == 240.0 && number(row, "share") == 1.0);
        assert_true(number(row, "width") == (i == 0 ? 1.0 : 0.5));
        assert_true(number(row, "acc1") > number(row, "probe_acc1") + 0.1);
        assert_true(number(row, "acc1") <= number(row, "acc5"));
        assert_true(number(row, "acc1") == number(row, "scratch_acc1"));
        assert_true(number(row, "lr") == number(row, "scratch_lr"));
    }
    json_decref(root);
    assert_true(cli_hash(LAST) == before);
    assert_true(cli_exists("tuned-run/eval/finetune.json"));
    cli_no_torn_files("tuned-run");
}

/* The same bits whoever makes the batches; other seeds are other labels. */
static void test_repeats(void **state)
{
    char first[16384];
    const char *const workers[] = {"1", "3"};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        const struct cli_result *result =
            RUN("eval", "finetune", LAST, DATA, "--labels", "20%,80", "-e", "2",
                "--repeats", "2", "--json", "-j", workers[i], FAST);
        cli_expect_done(result);
        assert_true(i == 0 || strcmp(first, result->out) == 0);
        (void)snprintf(first, sizeof first, "%s", result->out);
    }
    json_t *root = json_loads(first, 0, NULL);
    assert_non_null(root);
    assert_int_equal(json_array_size(json_object_get(root, "results")), 4);
    for (size_t i = 0; i < 4; i++) {
        json_t *row = row_of(root, i);
        assert_true(number(row, "labels") == (i < 2 ? 48.0 : 80.0));
        assert_true(number(row, "acc1_low") <= number(row, "acc1") &&
                    number(row, "acc1") <= number(row, "acc1_high"));
        assert_null(json_object_get(row, "scratch_acc1"));
    }
    json_decref(root);
    const struct cli_result *result = RUN("eval", "finetune", LAST, DATA, "--labels",
                                          "20%", "-e", "1", "--repeats", "2", FAST);
    cli_expect_done(result);
    assert_non_null(strstr(result->out, "48 (20%)"));
    assert_non_null(strstr(result->out, "fine-tuned"));
    assert_non_null(strstr(result->out, "mean of 2 seeds"));
}

/* What is saved can be judged like any checkpoint: a width by itself, and all together
 * with a classifier each; and can be fine-tuned again. */
static void test_saved(void **state)
{
    (void)state;
    cli_expect_done(RUN("eval", "finetune", LAST, DATA, "--labels", "50%", "-e", "2",
                        "--save", "saved", FAST));
    assert_true(cli_exists("saved/w1.00.safetensors"));
    const char *const half = "saved/w0.50.safetensors";
    json_t *one = cli_json(RUN("eval", "knn", half, DATA, "--json", FAST));
    assert_int_equal(json_array_size(json_object_get(one, "results")), 1);
    assert_true(number(row_of(one, 0), "width") == 0.5);
    json_decref(one);
    /* Its head's outputs are logits. */
    cli_expect_done(RUN("eval", "linear", half, DATA, "--features", "head",
                        "--probe-epochs", "2", FAST));
    cli_expect_done(
        RUN("eval", "finetune", half, DATA, "--labels", "50%", "-e", "1", FAST));
    cli_expect_refused(RUN("eval", "knn", half, DATA, "-w", "1", FAST), 2, "0.50");
    cli_expect_refused(RUN("eval", "finetune", LAST, DATA, "--save", "saved", FAST), 2,
                       "not an empty directory");
    cli_remove("saved");
    json_t *joint = cli_json(RUN("eval", "finetune", LAST, DATA, "--labels", "50%", "-e",
                                 "2", "--joint", "--save", "saved", "--json", FAST));
    assert_true(json_is_true(json_object_get(joint, "joint")));
    json_decref(joint);
    json_t *both =
        cli_json(RUN("eval", "knn", "saved/joint.safetensors", DATA, "--json", FAST));
    assert_int_equal(json_array_size(json_object_get(both, "results")), 2);
    json_decref(both);
    cli_expect_refused(
        RUN("pretrain", DATA, "-o", "never", "--head", "classifiers", "-b", "32", FAST),
        2, "classifiers");
}

static void test_refused(void **state)
{
    static const struct {
        const char *option, *value, *word;
        int status;
    } cases[] = {
        {"--labels", "many", "--labels 'many'", 2},
        {"--labels", "0", "--labels '0'", 2},
        {"--labels", "101%", "--labels '101%'", 2},
        {"--labels", "", "--labels ''", 2},
        {"--labels", "1%", "4 classes", 2},
        {"--labels", "241", "240", 2},
        {"--labels", "10%,24", "24 labels are named twice", 2},
        {"--limit", "3", "3 labelled pictures of 4 classes", 3},
        {"--scratch-lr", "0.1", "add --from-scratch", 2},
        {"--labels", "1%,2%,3%,4%,5%,6%,7%", "", 2},
        {"--batch-size", "100", "--batch-size 100", 2},
        {"--lr", "1e38", "not finite", 4},
        {"--warmup-epochs", "2", "are trained for 2 epochs", 2},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cli_expect_refused(RUN("eval", "finetune", LAST, DATA, "-e", "2", cases[i].option,
                               cases[i].value, FAST),
                           cases[i].status, cases[i].word);
    }
    cli_expect_refused(RUN("eval", "finetune", LAST, DATA, "--joint", "-w", "0.5", FAST),
                       2, "--joint: one width");
    cli_expect_refused(RUN("eval", "finetune", LAST, DATA, "--labels", "10%,20%",
                           "--save", "never", FAST),
                       2, "--save");
    assert_false(cli_exists("never"));
    for (uint32_t i = 0; i < 20; i++) {
        char path[64];
        (void)snprintf(path, sizeof path, "bare/%02u.ppm", i);
        cli_write_noise(path, 16, 16, i);
    }
    cli_expect_refused(RUN("eval", "finetune", LAST, "bare", FAST), 3, "labels");
    cli_expect_refused(RUN("eval", "finetune", "bare/01.ppm", DATA, FAST), 1,
                       "bare/01.ppm: not a safetensors file");
}

/* One part is split; a class with fewer pictures than its share gives what it has, which
 * is said. */
static void test_uneven_classes(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 48; i++) {
        char path[64];
        const char *name = i < 4 ? "rare" : i % 2 == 0 ? "even" : "odd";
        (void)snprintf(path, sizeof path, "uneven/%s/%02u.ppm", name, i);
        cli_write_noise(path, 16, 16, i);
    }
    const struct cli_result *result =
        RUN("eval", "finetune", LAST, "uneven", "--labels", "24", "--test-fraction",
            "0.25", "-e", "1", "-b", "8", "--threads", "1");
    cli_expect_done(result);
    assert_non_null(strstr(result->err, "only one part"));
    assert_non_null(strstr(result->err, "warning: 24 labels: class 'rare' has only"));
    assert_non_null(strstr(result->err, ": 1 epoch of 3 steps of 8 pictures"));
    assert_non_null(strstr(result->out, "24 ("));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_learns_and_is_honest),
        cmocka_unit_test(test_repeats),
        cmocka_unit_test(test_saved),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_uneven_classes),
    };
    return cmocka_run_group_tests(tests, make_run, NULL);
}
