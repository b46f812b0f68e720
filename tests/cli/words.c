/* SPDX-License-Identifier: MIT */
/*
 * Commands that train nothing: help, version, lists, info, plan and bench; and words the
 * program does not know.
 */
#include "cli/clikit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void expect_words(const char *text, const char *const *words)
{
    for (; *words != NULL; words++) {
        if (strstr(text, *words) == NULL) {
            fail_msg("no '%s' in: %s", *words, text);
        }
    }
}
#define HOLDS(text, ...) expect_words(text, (const char *const[]){__VA_ARGS__, NULL})

/* Help names what works, and only that; each named command has a help of its own. */
static void test_help(void **state)
{
    static const char *const works[] = {"pretrain", "eval", "check", "stats",
                                        "views",    "pack", "plan",  "bench",
                                        "demo",     "info", "list",  "report"};
    static const char *const later[] = {"embed", "export"};
    (void)state;
    const struct cli_result *help = RUN("help");
    cli_expect_done(help);
    assert_string_equal(help->err, "");
    HOLDS(help->out, "pretrain DATA", "eval knn|linear", "bench step|loader|ops",
          "--version");
    for (size_t i = 0; i < sizeof later / sizeof later[0]; i++) {
        char word[64];
        (void)snprintf(word, sizeof word, "slimclr %s", later[i]);
        help = RUN("help");
        assert_null(strstr(help->out, word));
        cli_expect_refused(RUN(later[i]), 2, "does not exist yet");
        cli_expect_refused(RUN("help", later[i]), 2, "does not exist yet");
    }
    for (size_t i = 0; i < sizeof works / sizeof works[0]; i++) {
        const struct cli_result *one = RUN("help", works[i]);
        cli_expect_done(one);
        assert_non_null(strstr(one->out, works[i]));
    }
    HOLDS(RUN("help", "pretrain")->out, "--batch-size N", "-o, --out DIR", "--slow-start",
          "(50%)", "seed|inplace");
    HOLDS(RUN("pretrain", "--help")->out, "--batch-size N");
    HOLDS(RUN("help", "eval")->out, "eval knn", "eval linear", "--knn-k", "--probe-lr");
    /* Of several kinds, one alone, by either way. */
    HOLDS(RUN("help", "eval", "finetune")->out, "slimclr eval finetune RUN|CKPT DATA",
          "--labels");
    assert_null(strstr(RUN("help", "eval", "finetune")->out, "--knn-k"));
    HOLDS(RUN("eval", "linear", "--help")->out, "slimclr eval linear RUN|CKPT DATA",
          "--probe-lr", "[cosine|step]");
    assert_null(strstr(RUN("eval", "linear", "--help")->out, "--labels"));
    HOLDS(RUN("help", "analyse", "probes")->out, "slimclr analyse probes", "--ridge");
    assert_null(strstr(RUN("help", "analyse", "probes")->out, "--grid"));
}

/* Help fits a terminal of 100 columns. */
static void test_help_is_wrapped(void **state)
{
    static const char *const topics[][2] = {{"help", "pretrain"},
                                            {"help", "eval"},
                                            {"help", "plan"},
                                            {"help", "--help"},
                                            {"list", "recipes"}};
    (void)state;
    for (size_t i = 0; i < sizeof topics / sizeof topics[0]; i++) {
        const struct cli_result *result = RUN(topics[i][0], topics[i][1]);
        cli_expect_done(result);
        const char *line = result->out;
        while (*line != '\0') {
            size_t length = strcspn(line, "\n");
            if (length > 100) {
                fail_msg("%.*s", (int)length, line);
            }
            line += length + (line[length] == '\n');
        }
    }
}

/* Every command tells its options when asked in the usual way. */
static void test_help_of_each(void **state)
{
    static const char *const commands[] = {
        "pretrain", "eval", "analyse", "check", "stats", "views", "pack",
        "report",   "plan", "bench",   "demo",  "info",  "list"};
    (void)state;
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        char start[64];
        const struct cli_result *result = RUN(commands[i], "--help");
        cli_expect_done(result);
        (void)snprintf(start, sizeof start, "slimclr %s", commands[i]);
        assert_true(strncmp(result->out, start, strlen(start)) == 0);
    }
}

static void test_unknown_words(void **state)
{
    (void)state;
    cli_expect_refused(cli_run((const char *const[]){NULL}), 2, "no command");
    cli_expect_refused(RUN("pretrian"), 2, "'pretrian'");
    cli_expect_refused(RUN("eval"), 2, "eval knn");
    cli_expect_refused(RUN("eval", "svm", "a", "b"), 2, "eval knn");
    cli_expect_refused(RUN("bench"), 2, "bench step|ops");
    cli_expect_refused(RUN("bench", "opus"), 2, "bench step|ops");
    cli_expect_refused(RUN("list"), 2, "archs");
    cli_expect_refused(RUN("list", "colours"), 2, "colours");
    cli_expect_refused(RUN("info", "--yaml"), 2, "--yaml");
    cli_expect_refused(RUN("plan", "extra"), 3, "extra");
    cli_expect_refused(RUN("plan", "--arch"), 2, "--arch");
    cli_expect_refused(RUN("plan", "--arch", "resnet19"), 2, "resnet19");
    cli_expect_refused(RUN("plan", "--batchsize", "4"), 2, "--batchsize");
}

/* A shortened option is taken, but not where it is what other commands call something
 * else: `eval classifier` has --limit-test alone. */
static void test_shortened_words(void **state)
{
    (void)state;
    cli_expect_done(RUN("plan", "--weight-dec", "0", "--weight-d=0", "--json"));
    cli_expect_refused(RUN("eval", "classifier", "a", "b", "--limit", "9"), 2,
                       "unknown option '--limit'; did you mean --limit-test?");
    cli_expect_refused(RUN("eval", "classifier", "--limit=9", "a", "b"), 2,
                       "'--limit=9'; did you mean --limit-test?");
    cli_expect_refused(RUN("eval", "classifier", "a", "b", "--limit-t", "9"), 1, "a");
}

/* An empty name among the DATA is one mistake, whoever reads them. */
static void test_empty_data(void **state)
{
    static const char *const texts[] = {CLI_DATA ";", ";" CLI_DATA,
                                        CLI_DATA ";;" CLI_DATA};
    (void)state;
    cli_remove("run");
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        cli_expect_refused(RUN("plan", "--data", texts[i]), 2, "an empty name beside");
        cli_expect_refused(RUN("pretrain", "--data", texts[i], "-o", "run", CLI_NET), 2,
                           "an empty name beside");
    }
    cli_expect_refused(RUN("pretrain", CLI_DATA, "", "-o", "run", CLI_NET), 2,
                       "an empty name beside");
    cli_expect_done(RUN("plan", "--data", CLI_DATA ";" CLI_DATA, "--json"));
    assert_false(cli_exists("run"));
}

static void test_version_lists_info(void **state)
{
    (void)state;
    const struct cli_result *result = RUN("--version");
    cli_expect_done(result);
    assert_int_equal(strncmp(result->out, "slimclr ", 8), 0);
    HOLDS(RUN("list", "archs")->out, "resnet18", "resnet50", "resnet20");
    HOLDS(RUN("list", "methods")->out, "mocov2");
    HOLDS(RUN("list", "recipes")->out, "demo", "cifar10", "photos-small",
          "slimclr-mocov2-200ep");
    HOLDS(RUN("list", "formats")->out, "cifar", "idx", "synthetic:");
    result = RUN("info");
    cli_expect_done(result);
    assert_true(strlen(result->out) > 0);
    json_decref(cli_json(RUN("info", "--json")));
}

static void expect_costs(const char *arch, const char *size, const int64_t params[4],
                         const int64_t macs[4])
{
    json_t *plan = cli_json(RUN("plan", "--arch", arch, "--image-size", size, "--json",
                                "-q", "-b", "4", "--moco-k", "8"));
    json_t *widths = json_object_get(plan, "widths");
    assert_int_equal(json_array_size(widths), 4);
    for (size_t i = 0; i < 4; i++) {
        json_t *row = json_array_get(widths, i);
        assert_true(json_number_value(json_object_get(row, "width")) ==
                    1.0 - 0.25 * (double)i);
        assert_int_equal(json_integer_value(json_object_get(row, "params")), params[i]);
        if (macs != NULL) {
            assert_int_equal(json_integer_value(json_object_get(row, "macs")), macs[i]);
        }
    }
    json_decref(plan);
}

/* The published sizes: trunk parameters of slimmable ResNet-50 and ResNet-18. */
static void test_plan_costs(void **state)
{
    static const int64_t resnet50[4] = {23508032, 13234992, 5892640, 1480976};
    static const int64_t resnet50_macs[4] = {4087136256, 2321141760, 1051287552,
                                             277573632};
    static const int64_t resnet18[4] = {11176512, 6290352, 2798880, 702096};
    (void)state;
    expect_costs("resnet50", "224", resnet50, resnet50_macs);
    expect_costs("resnet18", "224", resnet18, NULL);
}

static int64_t planned(const json_t *plan, const char *key)
{
    const json_t *value = json_object_get(plan, key);
    assert_non_null(value);
    return json_integer_value(value);
}

/* The total is the sum of its parts, those of the pictures among them; with DATA, or a
 * recipe that names some, settings are those that a run on it would have. */
static void test_plan_memory(void **state)
{
    static const char *const parts[] = {"params_bytes",  "block_bytes",  "method_bytes",
                                        "measure_bytes", "loader_bytes", "workers_bytes",
                                        "process_bytes"};
    int64_t sum = 0;
    (void)state;
#define PLAN(...)                                                                        \
    cli_json(RUN("plan", "-a", "resnet8-b16", "-b", "16", "-j", "2", "--json", "-q",     \
                 __VA_ARGS__))
    json_t *plan = PLAN("--image-size", "16", "--grad-diag", "on");
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        assert_true(planned(plan, parts[i]) > 0);
        sum += planned(plan, parts[i]);
    }
    assert_int_equal(planned(plan, "total_bytes"), sum);
    /* Three batches of two views with label and number; a megabyte for each worker. */
    int64_t ring = 3 * 16 * (2 * 16 * 16 * 3 * (int64_t)sizeof(float) + 8);
    assert_int_equal(planned(plan, "loader_bytes"), ring);
    assert_int_equal(planned(plan, "workers_bytes"), 2 * 1024 * 1024);
    json_decref(plan);
    plan = PLAN("synthetic:size=16,n=256,test=10");
    assert_int_equal(planned(plan, "image_size"), 16);
    assert_int_equal(planned(plan, "queue"), 64);
    assert_int_equal(planned(plan, "loader_bytes"), ring);
    assert_int_equal(planned(plan, "workers_bytes"), 2 * (1024 * 1024 + 256 * 4));
    json_decref(plan);
    plan = PLAN("--data", "synthetic:size=16,n=128;synthetic:size=16,n=128,seed=2");
    assert_int_equal(planned(plan, "queue"), 64);
    json_decref(plan);
    plan = PLAN("--recipe", "demo");
    assert_int_equal(planned(plan, "image_size"), 32);
    json_decref(plan);
}

static void test_plan_ops(void **state)
{
    (void)state;
    const struct cli_result *result = RUN("plan", "--arch", "resnet20", "--image-size",
                                          "32", "--ops", "-q", "-b", "32");
    cli_expect_done(result);
    HOLDS(result->out, "conv", "norm", "1.00", "0.25");
}

/* Channel counts that no vector unit likes are worth one line to who plans or trains, and
 * none to who asked for quiet or uses the net. */
static void test_uneven_channels(void **state)
{
#define UNEVEN "-a", "resnet8-b16", "-w", "1,0.75", "-b", "32"
    static const char words[] = "not a multiple of 8";
    (void)state;
    const char *said = strstr(RUN("plan", UNEVEN, "--image-size", "16")->err, words);
    assert_non_null(said);
    assert_null(strstr(said + 1, words));
    assert_string_equal(RUN("plan", UNEVEN, "--image-size", "16", "-q")->err, "");
    assert_null(
        strstr(RUN("plan", "--image-size", "224", "-b", "2", "-w", "1,0.5")->err, words));
    cli_remove("run");
    const struct cli_result *result =
        RUN("pretrain", CLI_DATA, "-o", "run", UNEVEN, "-e", "0");
    cli_expect_done(result);
    said = strstr(result->err, words);
    assert_non_null(said);
    assert_null(strstr(said + 1, words));
    assert_string_equal(
        RUN("pretrain", CLI_DATA, "-o", "run", "--overwrite", "-q", UNEVEN, "-e", "0")
            ->err,
        "");
    result = RUN("eval", "knn", "run", CLI_DATA);
    cli_expect_done(result);
    assert_null(strstr(result->err, words));
}

/* A device that does not compute in bfloat16 says so and trains in float32; what was used
 * is what the run's settings say. */
static void test_precision(void **state)
{
    (void)state;
    cli_remove("run");
    const struct cli_result *result =
        RUN("pretrain", CLI_DATA, "-o", "run", "-a", "resnet8-b8", "-w", "1,0.5", "-b",
            "32", "-e", "0", "-q", "--device", "ref", "--precision", "bf16");
    cli_expect_done(result);
    HOLDS(result->err, "does not compute in bfloat16", "using fp32");
    char *config = (char *)cli_read("run/config.ini", NULL);
    assert_non_null(strstr(config, "\nprecision = fp32\n"));
    cli_free(config);
}

/* A run says what it is going to do in whole words, and at its end what to do next. */
static void test_what_a_run_says(void **state)
{
    (void)state;
    cli_remove("run");
    const struct cli_result *result =
        RUN("pretrain", CLI_DATA, "-o", "run", "-a", "resnet8-b16", "-w", "1,0.5", "-b",
            "256", "-e", "2", "--slow-start", "1");
    cli_expect_done(result);
    HOLDS(result->err, "run:    2 steps (2 epochs of 1) of 256 pictures",
          "sub-networks join at step 1", "time:   about ", "epoch 2/2  step 2",
          "slimclr eval knn run DATA");
    result = RUN("pretrain", CLI_DATA, "-o", "run", "--overwrite", "-a", "resnet8-b16",
                 "-w", "1", "-b", "256", "-e", "1");
    cli_expect_done(result);
    HOLDS(result->err, "run:    1 step (1 epoch of 1) of 256 pictures");
    assert_null(strstr(result->err, "sub-networks"));
    result = RUN("pretrain", CLI_DATA, "-o", "run", "--overwrite", "-a", "resnet8-b16",
                 "-w", "1,0.5", "-b", "256", "-e", "1", "--slow-start", "0");
    cli_expect_done(result);
    HOLDS(result->err, "all widths train from the start");
}

/* One JSON line with the fields that scripts rely on; no time is compared with anything.
 */
static void test_bench(void **state)
{
    static const char *const keys[] = {"best_s", "median_s",    "images_per_sec",
                                       "gflops", "peak_rss_mb", "start_to_first_step_s"};
    (void)state;
    json_t *line =
        cli_json(RUN("bench", "step", "--arch", "resnet8-b16", "--image-size", "16", "-b",
                     "16", "--moco-k", "32", "--widths", "1,0.5", "--steps", "2", "-q"));
    assert_string_equal(json_string_value(json_object_get(line, "bench")), "step");
    assert_int_equal(json_integer_value(json_object_get(line, "batch")), 16);
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        assert_true(json_number_value(json_object_get(line, keys[i])) > 0.0);
    }
    json_t *widths = json_object_get(line, "per_width_s");
    assert_int_equal(json_object_size(widths), 2);
    assert_non_null(json_object_get(widths, "1.00"));
    assert_non_null(json_object_get(widths, "0.50"));
    json_decref(line);
}

static void expect_positive(const json_t *object, const char *const *keys)
{
    for (; *keys != NULL; keys++) {
        if (json_number_value(json_object_get(object, *keys)) <= 0.0) {
            fail_msg("'%s' is not a number above 0", *keys);
        }
    }
}

/* One line a case, with the calls it has; sums have a rate, others only bytes. */
static void test_bench_ops(void **state)
{
    static const struct {
        const char *text, *parts[5];
        bool sums;
    } cases[] = {
        {"conv n2 8x8 c8 o16 k3 s1 p1", {"pack", "forward", "backward", "unpack"}, true},
        {"norm n2 8x8 c8 add", {"forward", "backward"}, false},
        {"norm n2 8x8 c8 running", {"forward"}, false},
        {"maxpool n2 9x9 c8 k3 s2 p1", {"forward", "backward"}, false},
        {"linear n4 c8 o8 bias", {"pack", "forward", "backward", "unpack"}, true},
        {"gemm n4 c8 o32", {"run"}, true},
        {"class n4 c33", {"run"}, false},
        {"soft n4 c33", {"run"}, false},
        {"sgd c100", {"run"}, false},
        {"lars c100", {"run"}, false},
        {"adamw c100", {"run"}, false},
        {"average c100", {"run"}, false},
    };
    char list[1024] = "";
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t length = strlen(list);
        (void)snprintf(list + length, sizeof list - length, "%s; ", cases[i].text);
    }
    const struct cli_result *result = RUN("bench", "ops", "--seconds", "0", "--precision",
                                          "fp32", "-q", "--case", list);
    cli_expect_done(result);
    const char *at = result->out;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        json_error_t error;
        json_t *line = json_loads(at, JSON_DISABLE_EOF_CHECK, &error);
        assert_non_null(line);
        assert_string_equal(json_string_value(json_object_get(line, "bench")), "ops");
        assert_string_equal(json_string_value(json_object_get(line, "case")),
                            cases[i].text);
        assert_string_equal(json_string_value(json_object_get(line, "precision")),
                            "fp32");
        size_t n = 0;
        for (; cases[i].parts[n] != NULL; n++) {
            const json_t *part = json_object_get(line, cases[i].parts[n]);
            expect_positive(part, (const char *const[]){"best_s", "median_s", "runs",
                                                        "bytes", "gb_per_sec", NULL});
            bool moves = strcmp(cases[i].parts[n], "pack") == 0 ||
                         strcmp(cases[i].parts[n], "unpack") == 0;
            assert_int_equal(json_object_get(part, "gflops") != NULL,
                             cases[i].sums && !moves);
        }
        assert_int_equal(json_object_size(line), 4 + n);
        json_decref(line);
        at = strchr(at, '\n') + 1;
    }
    assert_string_equal(at, "");
}

/* Maps are of the compute type where the machine has it; a linear op and numbers are not.
 */
static void test_bench_ops_types(void **state)
{
    static const char list[] = "norm n2 8x8 c8 relu;avgpool n2 3x3 c8;linear n4 c8 o8;"
                               "conv n2 8x8 c8 o16 k3 s1 p1;sgd c10";
    static const bool maps[] = {true, true, false, true, false};
    (void)state;
    const struct cli_result *result = RUN("bench", "ops", "--seconds", "0", "--precision",
                                          "bf16", "-q", "--case", list);
    cli_expect_done(result);
    const char *computed = result->err[0] == '\0' ? "bf16" : "fp32";
    HOLDS(result->err, strcmp(computed, "bf16") == 0 ? "" : "using fp32");
    const char *at = result->out;
    for (size_t i = 0; i < sizeof maps / sizeof maps[0]; i++) {
        json_t *line = json_loads(at, JSON_DISABLE_EOF_CHECK, NULL);
        assert_non_null(line);
        assert_string_equal(json_string_value(json_object_get(line, "precision")),
                            maps[i] ? computed : "fp32");
        json_decref(line);
        at = strchr(at, '\n') + 1;
    }
    assert_string_equal(at, "");
}

/* Cases that are no case: one line, and nothing is timed. */
static void test_bench_ops_refuses(void **state)
{
    static const char *const wrong[][2] = {
        {"conv2d n2 8x8", "'conv2d'"},
        {"conv n2 8x8 c8 o8 k3 s1 p1 q4", "'q4'"},
        {"conv n2 8x8 c8 o8", "conv"},
        {"conv n2 2x2 c8 o8 k7 s1 p0", "conv"},
        {"conv n0 8x8 c8 o8 k3 s1 p1", "conv"},
        {"norm n3 8x8 c8 g2", "norm"},
        {"conv n1048576 1048576x1048576 c1048576 o8 k1 s1 p0", "smaller"},
        {"gemm n1073741824 c1073741824 o2", "smaller"},
        {"gemm n4 c4", "gemm takes"},
        {"adamw n4 c4", "average c"},
        {"sgd c0", "'c0'"},
        {"soft n4 c-4", "'c-4'"},
        {"class x4", "'x4'"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        cli_expect_refused(
            RUN("bench", "ops", "--seconds", "0", "-q", "--case", wrong[i][0]), 2,
            wrong[i][1]);
    }
    cli_expect_refused(RUN("bench", "ops", "extra"), 2, "extra");
}

/* The same for the loader, on built-in pictures. */
static void test_bench_loader(void **state)
{
    static const char *const keys[] = {"views_per_sec", "decode_ms", "augment_ms",
                                       "seconds",       "ring_mb",   "workers_mb"};
    (void)state;
    json_t *line = cli_json(RUN("bench", "loader", "synthetic:size=16,n=64", "--aug",
                                "mocov2", "--image-size", "16", "-b", "8", "--workers",
                                "2", "--seconds", "0.05", "-q"));
    assert_string_equal(json_string_value(json_object_get(line, "bench")), "loader");
    assert_int_equal(json_integer_value(json_object_get(line, "workers")), 2);
    assert_int_equal(json_integer_value(json_object_get(line, "image_size")), 16);
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        assert_true(json_number_value(json_object_get(line, keys[i])) > 0.0);
    }
    json_decref(line);
    cli_expect_refused(RUN("bench", "loader", "-q"), 2, "no DATA");
    cli_expect_refused(RUN("bench", "loader", "nowhere", "-q"), 3, "nowhere");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_help),
        cmocka_unit_test(test_help_is_wrapped),
        cmocka_unit_test(test_help_of_each),
        cmocka_unit_test(test_unknown_words),
        cmocka_unit_test(test_shortened_words),
        cmocka_unit_test(test_empty_data),
        cmocka_unit_test(test_version_lists_info),
        cmocka_unit_test(test_plan_costs),
        cmocka_unit_test(test_plan_memory),
        cmocka_unit_test(test_plan_ops),
        cmocka_unit_test(test_uneven_channels),
        cmocka_unit_test(test_precision),
        cmocka_unit_test(test_what_a_run_says),
        cmocka_unit_test(test_bench),
        cmocka_unit_test(test_bench_ops),
        cmocka_unit_test(test_bench_ops_types),
        cmocka_unit_test(test_bench_ops_refuses),
        cmocka_unit_test(test_bench_loader),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
