/* SPDX-License-Identifier: MIT */
/*
 * MoCo v3, SimCLR and supervised training through the program: each trains, goes on
 * without having forgotten anything, can be judged, planned and timed; what a method does
 * not have is refused in one line; its defaults are its own.
 */
#include "cli/clikit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define LAST "/checkpoints/last.safetensors"
/* Eight steps an epoch, whose course does not depend on the length of the run: hence no
 * cosine of the key encoder either. */
#define EVEN                                                                             \
    CLI_DATA, CLI_NET, "--slow-start", "0.5", "--lr-schedule", "constant",               \
        "--warmup-epochs", "0", "--threads", "1"

enum { METHODS = 3 };
static const char *const methods[METHODS] = {"mocov3", "simclr", "supervised"};
/* An option and its value that keep each method's run small and even. */
static const char *const small[METHODS][4] = {
    {"--moco-mlp-dim", "32", "--moco-m-cos", "no"},
    {"--moco-mlp-dim", "32", "--moco-dim", "16"},
    {"--distill", "inplace", "--width-weights", "dominant"},
};
#define SMALL(i) small[i][0], small[i][1], small[i][2], small[i][3]

static int fresh(void **state)
{
    (void)state;
    cli_remove("run");
    cli_remove("whole");
    cli_remove("bare");
    return 0;
}

static void expect_text(const char *path, const char *text, bool there)
{
    char *whole = (char *)cli_read(path, NULL);
    if ((strstr(whole, text) != NULL) != there) {
        fail_msg("%s %s '%s'", path, there ? "lacks" : "should not hold", text);
    }
    cli_free(whole);
}

/* One epoch and another one are two epochs, bit for bit; the checkpoint can be judged. */
static void test_each_goes_on(void **state)
{
    (void)state;
    for (int i = 0; i < METHODS; i++) {
        (void)fresh(NULL);
        cli_expect_done(
            RUN("pretrain", EVEN, "-m", methods[i], SMALL(i), "-e", "2", "-o", "whole"));
        cli_expect_done(
            RUN("pretrain", EVEN, "-m", methods[i], SMALL(i), "-e", "1", "-o", "run"));
        cli_expect_done(RUN("pretrain", "-o", "run", "--resume", "-e", "2", "-q"));
        cli_same_bytes("run" LAST, "whole" LAST);
        json_t *knn = cli_json(RUN("eval", "knn", "run", CLI_DATA, "--json", "-q"));
        assert_int_equal(json_array_size(json_object_get(knn, "results")), 2);
        json_decref(knn);
        bool has_labels = strcmp(methods[i], "supervised") == 0;
        expect_text("run/metrics.jsonl", "emb_std/w0.50", !has_labels);
        expect_text("run/metrics.csv", "emb_std/w0.50", !has_labels);
        cli_expect_done(RUN("report", "run", "-q"));
        expect_text("run/metrics.jsonl", "\"acc/w0.50", has_labels);
        /* Another method cannot go on with it. */
        cli_expect_refused(RUN("pretrain", "-o", "run", "--resume", "-q", "-m", "mocov2"),
                           2, "--method");
    }
}

/* One width is a plain net: the whole list, or a single narrower one beside the full. */
static void test_plain(void **state)
{
    (void)state;
    for (int i = 0; i < METHODS; i++) {
        (void)fresh(NULL);
        const char *hidden = i < 2 ? "32" : "auto";
        cli_expect_done(RUN("pretrain", CLI_DATA, CLI_NET, "-m", methods[i], "-w", "1",
                            "--moco-mlp-dim", hidden, "--steps", "2", "-o", "run"));
        expect_text("run/metrics.jsonl", "w0.50", false);
        cli_expect_done(RUN("eval", "knn", "run", CLI_DATA, "-q"));
    }
}

static void test_planned_and_timed(void **state)
{
    (void)state;
    const char *list = RUN("list", "methods")->out;
    for (int i = 0; i < METHODS; i++) {
        assert_non_null(strstr(list, methods[i]));
    }
    double target[METHODS];
    for (int i = 0; i < METHODS; i++) {
        json_t *plan = cli_json(RUN("plan", "--json", "-m", methods[i], "-a",
                                    "resnet8-b16", "-w", "1,0.5", "--image-size", "16",
                                    "--optimizer", "sgd", "-b", "16"));
        assert_string_equal(json_string_value(json_object_get(plan, "method")),
                            methods[i]);
        target[i] = json_number_value(json_object_get(plan, "params_bytes")) /
                    json_number_value(json_object_get(plan, "params_total"));
        assert_int_equal(json_integer_value(json_object_get(plan, "queue")), 0);
        json_decref(plan);
        json_t *bench = cli_json(RUN("bench", "step", "--method", methods[i], "-a",
                                     "resnet8-b16", "-w", "1,0.5", "--image-size", "16",
                                     "-b", "16", "--steps", "1", "-q"));
        assert_true(json_number_value(json_object_get(bench, "gflops")) > 0);
        json_decref(bench);
    }
    /* Weight, gradient, momentum; the target's four bytes are MoCo v3's alone. */
    assert_true(target[0] > 16.0 && target[1] < 14.0 && target[2] < 14.0);
}

#define REFUSED(status, word, ...)                                                       \
    cli_expect_refused(RUN("pretrain", CLI_DATA, "-o", "run", CLI_NET, __VA_ARGS__),     \
                       status, word)

/* What a method does not have. */
static void test_contradictions(void **state)
{
    (void)state;
    REFUSED(2, "--moco-mlp-dim 64", "-m", "mocov2", "--moco-mlp-dim", "64");
    REFUSED(2, "--classes 10", "-m", "mocov2", "--classes", "10");
    REFUSED(2, "--moco-k 64", "-m", "mocov3", "--moco-k", "64");
    REFUSED(2, "--head linear", "-m", "mocov3", "--head", "linear");
    REFUSED(2, "--head switch", "-m", "mocov3", "--head", "switch");
    REFUSED(2, "--head switch", "-m", "simclr", "--head", "switch");
    REFUSED(2, "--head switch", "-m", "supervised", "--head", "switch");
    REFUSED(2, "--bn-splits 2", "-m", "mocov3", "--bn-splits", "2");
    REFUSED(2, "--teachers all-larger", "-m", "mocov3", "--teachers", "all-larger");
    REFUSED(2, "--moco-k 64", "-m", "simclr", "--moco-k", "64");
    REFUSED(2, "--moco-m 0.9", "-m", "simclr", "--moco-m", "0.9");
    REFUSED(2, "--moco-m-cos yes", "-m", "simclr", "--moco-m-cos", "yes");
    REFUSED(2, "--distill inplace", "-m", "simclr", "--distill", "inplace");
    REFUSED(2, "--teachers all-larger", "-m", "simclr", "--teachers", "all-larger");
    REFUSED(2, "--moco-t 0.2", "-m", "supervised", "--moco-t", "0.2");
    REFUSED(2, "--moco-dim 64", "-m", "supervised", "--moco-dim", "64");
    REFUSED(2, "--distill", "-m", "supervised", "--distill", "seed");
    REFUSED(2, "--bn-splits 2", "-m", "supervised", "--bn-splits", "2");
    REFUSED(2, "--classes 3", "-m", "supervised", "--classes", "3");
    REFUSED(2, "--batch-size 1: --method mocov3", "-m", "mocov3", "-b", "1");
    REFUSED(2, "--batch-size 1: --method simclr", "-m", "simclr", "-b", "1");
    assert_false(cli_exists("run"));
}

/* What would change nothing is refused when somebody says it. */
static void test_idle(void **state)
{
    (void)state;
    REFUSED(2, "--stop-on-collapse: --method supervised", "-m", "supervised",
            "--stop-on-collapse");
    REFUSED(2, "--aug-blur-2 0.5", "-m", "supervised", "--aug-blur-2", "0.5");
    REFUSED(2, "--aug-solarise-2 0.5", "-m", "supervised", "--aug-solarise-2", "0.5");
    REFUSED(2, "--crop-min 0.2: --aug padded", "--aug", "padded", "--crop-min", "0.2");
    REFUSED(2, "--crop-pad 2: --aug mocov2", "--crop-pad", "2");
    REFUSED(2, "--crop-pad 2: --aug none", "--aug", "none", "--crop-pad", "2");
    REFUSED(2, "--teachers full: --distill none", "--distill", "none", "--teachers",
            "full");
    REFUSED(2, "--distill-weight 0.3: --distill none", "--distill", "none",
            "--distill-weight", "0.3");
    REFUSED(2, "--distill-temp 3: --distill none", "--distill", "none", "--distill-temp",
            "3");
    REFUSED(2, "--distill-weight 0.3: --distill none", "-m", "supervised",
            "--distill-weight", "0.3");
    static const char *const fixed[] = {"mse-embedding", "mse-logits", "atkd", "dkd"};
    for (size_t i = 0; i < sizeof fixed / sizeof fixed[0]; i++) {
        REFUSED(2, "--distill-temp 3", "--distill", fixed[i], "--distill-temp", "3");
    }
    REFUSED(2, "--slow-start-lr 3: --slow-start 0", "--slow-start", "0",
            "--slow-start-lr", "3");
    REFUSED(2, "--slow-start-lr 3: --slow-start 0", "-m", "supervised", "--slow-start-lr",
            "3");
    assert_false(cli_exists("run"));
}

/* One width has no company: no join, nothing to distil to, nothing to weigh. */
static void test_alone(void **state)
{
    static const char *const words[][2] = {
        {"--slow-start", "50%"},     {"--slow-start-lr", "3"},
        {"--distill", "seed"},       {"--teachers", "all-larger"},
        {"--distill-weight", "0.3"}, {"--width-weights", "dominant"},
        {"--update", "per-width"},   {"--slices", "disjoint"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        char said[64];
        (void)snprintf(said, sizeof said, "%s %s: --widths 1 has no narrower width",
                       words[i][0], words[i][1]);
        cli_expect_refused(RUN("pretrain", CLI_DATA, "-o", "run", "-a", "resnet8-b8",
                               "-w", "1", words[i][0], words[i][1]),
                           2, said);
    }
    assert_false(cli_exists("run"));
    cli_expect_done(RUN("pretrain", CLI_DATA, "-o", "run", "-a", "resnet8-b8", "-w", "1",
                        "-b", "32", "-e", "0", "--slow-start", "0", "--distill", "none",
                        "--width-weights", "uniform", "--update", "joint", "--slices",
                        "nested", "-q"));
}

/* A recipe's second rate is for when the others join: a plain network keeps the first. */
static void test_alone_in_recipe(void **state)
{
    (void)state;
    cli_write("bare", "slow-start-lr = 0.5\nlr-schedule = constant\n", 42);
    cli_expect_done(RUN("pretrain", CLI_DATA, "-o", "run", "-a", "resnet8-b8", "-w", "1",
                        "-b", "32", "-e", "2", "--warmup-epochs", "0", "--lr", "0.01",
                        "--config", "bare", "-q", "--log-every", "1"));
    expect_text("run/metrics.jsonl", "\"lr\":0.01,", true);
    expect_text("run/metrics.jsonl", "\"lr\":0.5,", false);
    cli_remove("run");
    const struct cli_result *result =
        RUN("pretrain", CLI_DATA, CLI_NET, "--quiet=no", "-o", "run", "-e", "2",
            "--warmup-epochs", "0", "--lr", "0.01", "--config", "bare");
    cli_expect_done(result);
    assert_non_null(strstr(result->err, "lr 0.01, then 0.5;"));
    expect_text("run/metrics.jsonl", "\"lr\":0.5,", true);
}

/* Words about what the run does not do, and numbers that teach nothing. */
static void test_nothing(void **state)
{
    (void)state;
    cli_write("bare", "steps = 2\n", 10);
    REFUSED(2, "--epochs 3: the file's steps = 2", "-e", "3", "--config", "bare");
    REFUSED(2, "--eval-every 2: nothing is evaluated", "--eval-every", "2");
    REFUSED(2, "--aug-grey 0.2: --channels 1", "--channels", "1", "--aug-grey", "0.2");
    REFUSED(2, "--aug-hue 0.1: --channels 1", "--channels", "1", "--aug-hue", "0.1");
    REFUSED(2, "--max-bad 50%: --on-bad-image stop", "--on-bad-image", "stop",
            "--max-bad", "50%");
    REFUSED(2, "--grad-diag 'every=0'", "--grad-diag", "every=0");
    REFUSED(2, "--lr 0: at this rate", "--lr", "0");
    REFUSED(2, "--base-lr 0: at this rate", "--base-lr", "0");
    REFUSED(2, "--slow-start-lr 0: at this rate", "--slow-start-lr", "0");
    REFUSED(2, "--momentum", "--momentum", "1");
    REFUSED(2, "--width-weights 0,1: the full width", "--width-weights", "0,1");
    REFUSED(2, "--warmup-epochs 3: the run ends at epoch 3", "-e", "3", "--warmup-epochs",
            "3");
    assert_false(cli_exists("run"));
}

/* What is odd, but may be meant. */
static void test_warned(void **state)
{
    static const struct {
        const char *words[2], *warning;
    } cases[] = {
        {{"--moco-k", "4096"}, "the queue is longer than the data"},
        {{"--grad-diag", "every=1000"}, "nothing is measured"},
        {{"--recipe", "slimclr-simclr-100ep"}, "warm-up of 10 epochs is longer than"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cli_remove("run");
        const struct cli_result *result =
            RUN("pretrain", CLI_DATA, CLI_NET, "-o", "run", "--steps", "2",
                "--slow-start", "0", cases[i].words[0], cases[i].words[1]);
        cli_expect_done(result);
        assert_non_null(strstr(result->err, "warning: "));
        assert_non_null(strstr(result->err, cases[i].warning));
    }
}

/* Recipes and files of other runs may name what changes nothing, and so may the command
 * that goes on with a run. */
static void test_idle_in_files(void **state)
{
    (void)state;
    cli_expect_done(RUN("pretrain", CLI_DATA, CLI_NET, "--steps", "1", "--distill",
                        "none", "--slow-start", "0", "-o", "run"));
    expect_text("run/config.ini", "\ndistill-temp = 5\n", true);
    cli_expect_done(RUN("pretrain", "--config", "run/config.ini", "-o", "whole"));
    cli_expect_done(
        RUN("pretrain", "-o", "run", "--resume", "--distill-temp", "5", "-q"));
    cli_expect_done(RUN("plan", "--recipe", "slimclr-mocov3-300ep", "--distill", "none",
                        "--slow-start", "0"));
    cli_expect_done(RUN("plan", "--recipe", "cifar10-moco", "--aug", "padded"));
    cli_expect_done(RUN("plan", "--recipe", "cifar10-supervised", "--aug", "supervised"));
}

/* What a recipe or a file switches on, a word switches off, and the record says so. */
static void test_switch(void **state)
{
    (void)state;
    cli_write("bare", "snapshots = yes\n", 16);
#define SWITCHED(word)                                                                   \
    RUN("pretrain", CLI_DATA, CLI_NET, "-e", "0", "-o", "run", "--overwrite",            \
        "--config", "bare", word)
    cli_expect_done(SWITCHED("-q"));
    expect_text("run/config.ini", "\nsnapshots = yes\n", true);
    cli_expect_done(SWITCHED("--snapshots=no"));
    expect_text("run/config.ini", "\nsnapshots = no\n", true);
    expect_text("run/train.log", "--snapshots=no", true);
    cli_expect_refused(SWITCHED("--snapshots=maybe"), 2, "--snapshots must be yes or no");
    cli_expect_done(SWITCHED("--snapshots=yes"));
    expect_text("run/config.ini", "\nsnapshots = yes\n", true);
    json_t *plan = cli_json(RUN("plan", "--json=no", "--json=yes"));
    json_decref(plan);
}

/* The record of a run with padded crops holds the pad, and nothing of other crops. */
static void test_padded(void **state)
{
    (void)state;
    cli_expect_done(RUN("pretrain", CLI_DATA, CLI_NET, "-m", "supervised", "--steps", "2",
                        "--aug", "padded", "-o", "run"));
    expect_text("run/config.ini", "\naug = padded\n", true);
    expect_text("run/config.ini", "\ncrop-pad = 2\n", true);
    expect_text("run/config.ini", "\ncrop-min = auto\n", true);
    expect_text("run/config.ini", "\naug-jitter = 0\n", true);
    cli_expect_done(RUN("pretrain", "--config", "run/config.ini", "-o", "whole"));
    cli_same_bytes("run/checkpoints/last.safetensors",
                   "whole/checkpoints/last.safetensors");
}

/* Pictures without labels teach nothing to a classifier. */
static void test_no_labels(void **state)
{
    (void)state;
    cli_folder("bare");
    for (uint32_t i = 0; i < 4; i++) {
        char path[64];
        (void)snprintf(path, sizeof path, "bare/%u.ppm", (unsigned)i);
        cli_write_noise(path, 16, 16, i);
    }
    cli_expect_refused(RUN("pretrain", "bare", "-o", "run", CLI_NET, "-b", "2",
                           "--image-size", "16", "-m", "supervised"),
                       3, "label");
    assert_false(cli_exists("run"));
}

/* What "auto" becomes; what a method lacks stays open. */
static void test_defaults(void **state)
{
    static const struct {
        const char *method, *lines[10];
    } cases[] = {
        {"mocov3",
         {"\noptimizer = lars\n", "\nmoco-t = 1\n", "\nmoco-dim = 256\n",
          "\nmoco-mlp-dim = 4096\n", "\nmoco-m = 0.99\n", "\nmoco-m-cos = yes\n",
          "\naug = mocov3\n", "\ndistill-temp = 1\n", "\nmoco-k = auto\n",
          "\nbase-lr = 0.3\n"}},
        {"simclr",
         {"\noptimizer = lars\n", "\nmoco-t = 0.1\n", "\nmoco-dim = 128\n",
          "\nmoco-mlp-dim = 2048\n", "\nmoco-m = auto\n", "\naug = simclr\n",
          "\ndistill-temp = 5\n", "\ndistill = seed\n", "\nweight-decay = 1e-06\n",
          "\ncrop-min = 0.08\n"}},
        {"supervised",
         {"\noptimizer = sgd\n", "\nbase-lr = 0.1\n", "\nclasses = 10\n",
          "\ndistill = none\n", "\nwidth-weights = uniform\n", "\nslow-start = 0\n",
          "\naug = supervised\n", "\nmoco-t = auto\n", "\nmoco-dim = auto\n",
          "\nweight-decay = 0.0001\n"}},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        (void)fresh(NULL);
        cli_expect_done(RUN("pretrain", CLI_DATA, CLI_NET, "-m", cases[i].method, "-e",
                            "0", "-o", "run"));
        for (size_t k = 0; k < 10; k++) {
            expect_text("run/config.ini", cases[i].lines[k], true);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_each_goes_on, fresh),
        cmocka_unit_test_setup(test_plain, fresh),
        cmocka_unit_test_setup(test_planned_and_timed, fresh),
        cmocka_unit_test_setup(test_contradictions, fresh),
        cmocka_unit_test_setup(test_idle, fresh),
        cmocka_unit_test_setup(test_idle_in_files, fresh),
        cmocka_unit_test_setup(test_alone, fresh),
        cmocka_unit_test_setup(test_alone_in_recipe, fresh),
        cmocka_unit_test_setup(test_nothing, fresh),
        cmocka_unit_test_setup(test_warned, fresh),
        cmocka_unit_test_setup(test_padded, fresh),
        cmocka_unit_test_setup(test_switch, fresh),
        cmocka_unit_test_setup(test_no_labels, fresh),
        cmocka_unit_test_setup(test_defaults, fresh),
    };
    return cmocka_run_group_tests_name("frameworks", tests, NULL, NULL);
}
