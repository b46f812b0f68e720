/* SPDX-License-Identifier: MIT */
/*
 * Variants of the net through the program: each is part of what a checkpoint is, goes on
 * to the same bytes, and can be judged at every width.
 */
#include "cli/clikit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define LAST "/checkpoints/last.safetensors"
/* Eight steps an epoch, whose course does not depend on the length of the run. */
#define EVEN                                                                             \
    CLI_DATA, "-a", "resnet8-b16", "-w", "1,0.5,0.25", "-b", "32", "-q", "--slow-start", \
        "0", "--lr-schedule", "constant", "--warmup-epochs", "0", "--threads", "1"

static int fresh(void **state)
{
    (void)state;
    cli_remove("run");
    cli_remove("whole");
    return 0;
}

/* Trains two epochs at once and one by one, and judges what came out. */
static uint64_t train_and_judge(const char *option, const char *value)
{
    (void)fresh(NULL);
    cli_expect_done(RUN("pretrain", EVEN, option, value, "-e", "2", "-o", "whole"));
    cli_expect_done(RUN("pretrain", EVEN, option, value, "-e", "1", "-o", "run"));
    cli_expect_done(RUN("pretrain", "-o", "run", "--resume", "-e", "2", "-q"));
    cli_same_bytes("run" LAST, "whole" LAST);
    json_t *knn = cli_json(RUN("eval", "knn", "run", CLI_DATA, "--json"));
    assert_int_equal(json_array_size(json_object_get(knn, "results")), 3);
    json_decref(knn);
    /* The narrow ones alone: neither need contain the other. */
    json_t *linear = cli_json(RUN("eval", "linear", "run", CLI_DATA, "--json", "-w",
                                  "0.5,0.25", "--probe-epochs", "2"));
    assert_int_equal(json_array_size(json_object_get(linear, "results")), 2);
    json_decref(linear);
    return cli_hash("run" LAST);
}

static void test_variants(void **state)
{
    (void)state;
    uint64_t usual = train_and_judge("--slices", "nested");
    uint64_t apart = train_and_judge("--slices", "disjoint");
    cli_expect_refused(
        RUN("pretrain", "-o", "run", "--resume", "-q", "--slices", "nested"), 2,
        "--slices");
    uint64_t block = train_and_judge("--block", "slimclr-cifar");
    assert_true(usual != apart && usual != block && apart != block);
    cli_expect_refused(RUN("pretrain", "-o", "run", "--resume", "-q", "--block", "basic"),
                       2, "--block");
    uint64_t heads = train_and_judge("--head", "switch");
    assert_true(heads != usual && heads != apart && heads != block);
    cli_expect_refused(RUN("pretrain", "-o", "run", "--resume", "-q", "--head", "mlp"), 2,
                       "--head");
}

static json_int_t parameters_with(const char *head)
{
    json_t *plan = cli_json(RUN("plan", "--json", "-a", "resnet8-b16", "-w", "1,0.5",
                                "--image-size", "32", "-b", "16", "--head", head));
    json_int_t n = json_integer_value(json_object_get(plan, "params_total"));
    json_decref(plan);
    return n;
}

/* A head of its own for width 0.5: Linear(32, 32), Linear(32, 128) and their biases. */
static void test_plan_of_heads(void **state)
{
    (void)state;
    assert_int_equal(parameters_with("switch") - parameters_with("mlp"),
                     32 * 33 + 33 * 128);
}

static void test_refused(void **state)
{
    (void)state;
    cli_expect_refused(
        RUN("pretrain", EVEN, "-o", "run", "--slices", "disjoint", "-w", "1,0.75,0.5"), 2,
        "add up to 1.25");
    cli_expect_refused(
        RUN("pretrain", EVEN, "-o", "run", "--block", "slimclr-cifar", "-a", "resnet18"),
        2, "--block slimclr-cifar");
    assert_false(cli_exists("run"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_variants, fresh),
        cmocka_unit_test(test_plan_of_heads),
        cmocka_unit_test_setup(test_refused, fresh),
    };
    return cmocka_run_group_tests_name("nets", tests, NULL, NULL);
}
