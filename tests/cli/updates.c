/* SPDX-License-Identifier: MIT */
/*
 * Update rules and schedules through the program: what a run records of them, that a run
 * that goes on has forgotten nothing, and that settings which contradict each other are
 * refused in one line.
 */
#include "cli/clikit.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define LAST "/checkpoints/last.safetensors"
/* Eight steps an epoch, whose course does not depend on the length of the run. */
#define EVEN                                                                             \
    CLI_DATA, CLI_NET, "--slow-start", "0", "--lr-schedule", "constant",                 \
        "--warmup-epochs", "0", "--threads", "1"

static int fresh(void **state)
{
    (void)state;
    cli_remove("run");
    cli_remove("whole");
    return 0;
}

static void expect_setting(const char *line)
{
    char *config = (char *)cli_read("run/config.ini", NULL);
    if (strstr(config, line) == NULL) {
        fail_msg("config.ini lacks '%s'", line);
    }
    cli_free(config);
}

/* One epoch and another one are two epochs, bit for bit. */
static void test_each_rule_goes_on(void **state)
{
    static const char *const rules[] = {"sgd", "lars", "adamw"};
    uint64_t hashes[3];
    (void)state;
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        (void)fresh(NULL);
        cli_expect_done(
            RUN("pretrain", EVEN, "--optimizer", rules[i], "-e", "2", "-o", "whole"));
        cli_expect_done(
            RUN("pretrain", EVEN, "--optimizer", rules[i], "-e", "1", "-o", "run"));
        cli_expect_done(RUN("pretrain", "-o", "run", "--resume", "-e", "2", "-q"));
        cli_same_bytes("run" LAST, "whole" LAST);
        cli_expect_refused(RUN("pretrain", "-o", "run", "--resume", "-q", "--optimizer",
                               i == 0 ? "lars" : "sgd"),
                           2, "--optimizer");
        hashes[i] = cli_hash("run" LAST);
    }
    assert_true(hashes[0] != hashes[1] && hashes[1] != hashes[2]);
}

/* What "auto" became, each rule with its own; what a rule lacks stays open. */
static void test_defaults(void **state)
{
    static const struct {
        const char *rule, *lines[6];
    } cases[] = {
        {"auto",
         {"optimizer = sgd\n", "momentum = 0.9\n", "lr = 0.0075\n",
          "weight-decay = 0.0005\n", "exclude-bias-n-norm-wd = no\n",
          "adam-beta1 = auto\n"}},
        {"lars",
         {"optimizer = lars\n", "momentum = 0.9\n", "lr = 0.0375\n",
          "weight-decay = 1e-06\n", "exclude-bias-n-norm-wd = yes\n",
          "adam-epsilon = auto\n"}},
        {"adamw",
         {"optimizer = adamw\n", "momentum = auto\n", "adam-beta1 = 0.9\n",
          "adam-beta2 = 0.999\n", "adam-epsilon = 1e-08\n", "weight-decay = 0.01\n"}},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        (void)fresh(NULL);
        cli_expect_done(RUN("pretrain", CLI_DATA, CLI_NET, "--optimizer", cases[i].rule,
                            "-e", "0", "-o", "run"));
        for (size_t k = 0; k < 6; k++) {
            expect_setting(cases[i].lines[k]);
        }
    }
}

static double params_bytes(const char *rule)
{
    json_t *plan = cli_json(RUN("plan", "--json", "-a", "resnet8-b16", "-w", "1,0.5",
                                "--image-size", "16", "--optimizer", rule));
    double bytes = json_number_value(json_object_get(plan, "params_bytes"));
    double all = json_number_value(json_object_get(plan, "params_total"));
    json_decref(plan);
    assert_true(bytes > 4 * 4 * all);
    return bytes / all;
}

/* What measuring gradients takes has a line of its own. */
static void test_planned_measure(void **state)
{
    (void)state;
    const struct cli_result *plan = RUN("plan", "-a", "resnet8-b16", "-w", "1,0.5",
                                        "--image-size", "16", "--grad-diag", "on");
    assert_non_null(strstr(plan->out, "gradients of each width (--grad-diag): "));
    plan = RUN("plan", "-a", "resnet8-b16", "-w", "1,0.5", "--image-size", "16");
    assert_null(strstr(plan->out, "--grad-diag"));
}

static double planned(const char *data, const char *key)
{
    json_t *plan = cli_json(RUN("plan", CLI_DATA, "--json", "-a", "resnet8-b16", "-w",
                                "1,0.5", "-b", "32", "--eval-data", data));
    double bytes = json_number_value(json_object_get(plan, key));
    json_decref(plan);
    return bytes;
}

/* kNN while training counts, and its pictures' features as many times as there are
 * widths: 64 and 32 floats, a label and a number at each. */
static void test_planned_judging(void **state)
{
    (void)state;
    double few = planned("synthetic:size=16,n=1000,test=100", "eval_bytes");
    double many = planned("synthetic:size=16,n=3000,test=100", "eval_bytes");
    assert_true(few > 1e6 && many - few == 2000.0 * ((64 + 32) * 4 + 2 * 2 * 4));
    assert_true(planned("", "eval_bytes") == 0.0);
    double total = 0.0;
    json_t *plan = cli_json(RUN("plan", "--json", "-a", "resnet8-b16", "-w", "1,0.5",
                                "--image-size", "16", "--eval-data", CLI_DATA));
    const char *key = NULL;
    json_t *value = NULL;
    json_object_foreach(plan, key, value)
    {
        bool is_part = strstr(key, "_bytes") != NULL && strcmp(key, "total_bytes") != 0;
        total += is_part ? json_number_value(value) : 0.0;
    }
    assert_true(total == json_number_value(json_object_get(plan, "total_bytes")));
    json_decref(plan);
    cli_expect_refused(
        RUN("plan", "-a", "resnet8-b16", "-w", "1,0.5", "--eval-data", "gone"), 3,
        "gone");
    const struct cli_result *text = RUN("plan", "-a", "resnet8-b16", "-w", "1,0.5",
                                        "--image-size", "16", "--eval-data", CLI_DATA);
    assert_non_null(strstr(text->out, "while training (--eval-data): "));
}

/* A second slot is four bytes more of each parameter. */
static void test_planned_memory(void **state)
{
    (void)state;
    assert_true(params_bytes("sgd") == params_bytes("lars"));
    assert_true(fabs(params_bytes("adamw") - params_bytes("sgd") - 4.0) < 1e-9);
}

/* The learning rate of each logged step. */
static void expect_rates(const double *expected, int n)
{
    char *metrics = (char *)cli_read("run/metrics.jsonl", NULL);
    const char *at = metrics;
    for (int i = 0; i < n; i++) {
        at = strstr(at, "\"lr\":");
        assert_non_null(at);
        at += strlen("\"lr\":");
        double lr = strtod(at, NULL);
        if (!(fabs(lr - expected[i]) <= 1e-6 * expected[i])) {
            fail_msg("step %d: lr %g instead of %g", i + 1, lr, expected[i]);
        }
    }
    cli_free(metrics);
}

/* Steps 1 to 8 are epoch 1. */
static void test_schedules(void **state)
{
    const double pi = 3.14159265358979323846;
    double expected[16];
    (void)state;
    cli_expect_done(RUN("pretrain", CLI_DATA, CLI_NET, "-o", "run", "-e", "2",
                        "--slow-start", "0", "--lr", "0.08", "--warmup-epochs", "0",
                        "--lr-schedule", "step", "--lr-milestones", "0.5,1.25"));
    for (int i = 0; i < 16; i++) {
        expected[i] = i < 4 ? 0.08 : i < 10 ? 0.008 : 0.0008;
    }
    expect_rates(expected, 16);
    (void)fresh(NULL);
    cli_expect_done(RUN("pretrain", CLI_DATA, CLI_NET, "-o", "run", "-e", "2",
                        "--slow-start", "0", "--lr", "0.08", "--lr-schedule",
                        "cosine-epoch"));
    for (int i = 0; i < 16; i++) {
        expected[i] = i < 8 ? 0.08 : 0.04 * (1.0 + cos(pi / 3.0));
    }
    expect_rates(expected, 16);
    expect_setting("warmup-epochs = 0\n");
}

#define REFUSED(word, ...)                                                               \
    cli_expect_refused(RUN("pretrain", CLI_DATA, CLI_NET, "-o", "run", __VA_ARGS__), 2,  \
                       word);                                                            \
    assert_false(cli_exists("run"))

static void test_contradictions(void **state)
{
    (void)state;
    REFUSED("--base-lr", "--lr", "0.1", "--base-lr", "0.06");
    REFUSED("--momentum 0.9", "--optimizer", "adamw", "--momentum", "0.9");
    REFUSED("--adam-beta1 0.9", "--adam-beta1", "0.9");
    REFUSED("--adam-beta2 0.99", "--optimizer", "lars", "--adam-beta2", "0.99");
    REFUSED("--adam-epsilon", "--optimizer", "sgd", "--adam-epsilon", "1e-8");
    REFUSED("--adam-beta2", "--optimizer", "adamw", "--adam-beta2", "1");
    REFUSED("--optimizer", "--optimizer", "adam");
    REFUSED("--lr-milestones 1", "--lr-milestones", "1");
    REFUSED("--lr-milestones 1", "--lr-schedule", "constant", "--lr-milestones", "1");
    REFUSED("--lr-milestones", "--lr-schedule", "step");
    REFUSED("rising", "--lr-schedule", "step", "--lr-milestones", "2,1");
    REFUSED("rising", "--lr-schedule", "step", "--lr-milestones", "1,");
    REFUSED("rising", "--lr-schedule", "step", "--lr-milestones", "0,1");
    REFUSED("rising", "--lr-schedule", "step", "--lr-milestones", "x");
    REFUSED("rising", "--lr-schedule", "step", "--lr-milestones", "1,nan");
    REFUSED("never be reached", "--lr-schedule", "step", "--lr-milestones", "1,3", "-e",
            "3");
    REFUSED("--warmup-epochs", "--lr-schedule", "cosine-epoch", "--warmup-epochs", "1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_each_rule_goes_on, fresh),
        cmocka_unit_test_setup(test_defaults, fresh),
        cmocka_unit_test(test_planned_memory),
        cmocka_unit_test(test_planned_measure),
        cmocka_unit_test(test_planned_judging),
        cmocka_unit_test_setup(test_schedules, fresh),
        cmocka_unit_test_setup(test_contradictions, fresh),
    };
    return cmocka_run_group_tests_name("updates", tests, NULL, NULL);
}
