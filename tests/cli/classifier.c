/* SPDX-License-Identifier: MIT */
/*
 * `eval classifier`: a supervised run and fine-tuned networks judged by their own
 * classifier. Its numbers are those that other ways lead to: the public features times
 * the weights in the checkpoint's file, the middle of an error surface, and what
 * `eval finetune` said of the network when it kept it.
 */
#include "cli/clikit.h"

#include <slimclr.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define LAST "run/checkpoints/last.safetensors"
#define FAST "--threads", "1", "-q"
#define EXACT "--precision", "fp32"
#define OTHERS "synthetic:size=16,n=240,test=120,classes=4"

enum { SIDE = 16, CLASSES = 3, TRAIN = 48, TEST = 30, WIDTHS = 2 };
enum { BYTES = SIDE * SIDE * 3, VALUES_MOST = 256 };

static uint32_t chance_state;

static uint32_t draw(uint32_t below)
{
    chance_state = chance_state * 1664525U + 1013904223U;
    return (chance_state >> 8) % below;
}

/* Pictures of one colour with noise; a class has more of its own channel, which other
 * chances often hide. */
static void draw_pixels(const char *part, int label, int i, unsigned char *pixels)
{
    int base[3];
    chance_state = (uint32_t)(1000 * label + i + (part[1] == 'e' ? 500 : 0));
    for (int c = 0; c < 3; c++) {
        base[c] = 40 + (c == label ? 45 : 0) + (int)draw(100);
    }
    for (int k = 0; k < BYTES; k++) {
        pixels[k] = (unsigned char)(base[k % 3] + (int)draw(40));
    }
}

static const char *const colours[CLASSES] = {"amber", "blue", "coral"};

/* The same pictures whatever their classes are called; a class without a name is left
 * out. */
static void write_part(const char *set, const char *part, const char *const *names, int n)
{
    static const char head[] = "P6 16 16 255\n";
    unsigned char file[sizeof head - 1 + BYTES];
    char path[64];
    memcpy(file, head, sizeof head - 1);
    for (int label = 0; label < CLASSES; label++) {
        for (int i = 0; i < n && names[label] != NULL; i++) {
            draw_pixels(part, label, i, file + sizeof head - 1);
            (void)snprintf(path, sizeof path, "%s/%s/%s/%02d.ppm", set, part,
                           names[label], i);
            cli_write(path, file, sizeof file);
        }
    }
}

static int make_runs(void **state)
{
    static const char *const old[] = {"set",     "run",    "plain",   "saved",
                                      "swapped", "turned", "numbers", "others",
                                      "front",   "ends",   "back"};
    (void)state;
    for (size_t i = 0; i < sizeof old / sizeof old[0]; i++) {
        cli_remove(old[i]);
    }
    write_part("set", "train", colours, TRAIN);
    write_part("set", "test", colours, TEST);
    cli_expect_done(RUN("pretrain", "set", "-o", "run", "--method", "supervised", "-a",
                        "resnet8-b8", "-w", "1,0.5", "-b", "16", "-e", "5", "--lr",
                        "0.05", "--image-size", "16", "--aug", "none", "--snapshots",
                        EXACT, FAST));
    cli_expect_done(RUN("pretrain", OTHERS, "-o", "plain", "-a", "resnet8-b8", "-w",
                        "1,0.5", "-b", "32", "-e", "0", FAST));
    return 0;
}

static double number(json_t *row, const char *key)
{
    json_t *value = json_object_get(row, key);
    if (!json_is_number(value)) {
        fail_msg("%s is no number", key);
    }
    return json_number_value(value);
}

static json_t *row_of(json_t *root, size_t i)
{
    json_t *row = json_array_get(json_object_get(root, "results"), i);
    assert_non_null(row);
    return row;
}

/* ---- the classifier by hand -------------------------------------------------------- */

static bool is_right(const float *features, int d, const float *weight, size_t stride,
                     const float *bias, int label)
{
    double best = -1e30;
    int answer = -1;
    for (int k = 0; k < CLASSES; k++) {
        double logit = (double)bias[k];
        for (int c = 0; c < d; c++) {
            logit += (double)weight[(size_t)k * stride + (size_t)c] * (double)features[c];
        }
        answer = logit > best ? k : answer;
        best = logit > best ? logit : best;
    }
    return answer == label;
}

static int count_right(slim_model *model, int width, const float *weight, size_t stride,
                       const float *bias)
{
    unsigned char pixels[BYTES];
    float features[VALUES_MOST];
    slim_error error;
    int right = 0;
    int d = 0;
    assert_int_equal(slim_model_width(model, width, NULL, &d, NULL, NULL), SLIM_OK);
    assert_true(d <= VALUES_MOST);
    for (int label = 0; label < CLASSES; label++) {
        for (int i = 0; i < TEST; i++) {
            draw_pixels("test", label, i, pixels);
            assert_int_equal(
                slim_model_embed(model, width, pixels, 1, SIDE, SIDE, features, &error),
                SLIM_OK);
            right += is_right(features, d, weight, stride, bias, label);
        }
    }
    return right;
}

static void test_equals_its_weights(void **state)
{
    size_t n_weights = 0;
    size_t n_biases = 0;
    float *weight = cli_tensor(LAST, "head.0.weight", &n_weights);
    float *bias = cli_tensor(LAST, "head.0.bias", &n_biases);
    uint64_t before = cli_hash(LAST);
    slim_model *model = NULL;
    slim_error error;
    (void)state;
    assert_int_equal(n_biases, CLASSES);
    assert_int_equal(slim_model_open("run", &model, &error), SLIM_OK);
    json_t *root = cli_json(RUN("eval", "classifier", "run", "set", "--json", EXACT));
    assert_string_equal(json_string_value(json_object_get(root, "eval")), "classifier");
    assert_string_equal(json_string_value(json_object_get(root, "data")), "set");
    assert_true(number(root, "n_test") == (double)(CLASSES * TEST));
    assert_true(number(root, "classes") == (double)CLASSES);
    assert_null(json_object_get(root, "n_train"));
    for (int i = 0; i < WIDTHS; i++) {
        json_t *row = row_of(root, (size_t)i);
        int right = count_right(model, i, weight, n_weights / CLASSES, bias);
        double acc = number(row, "acc1") * (double)(CLASSES * TEST);
        assert_true(number(row, "width") == (i == 0 ? 1.0 : 0.5));
        assert_true(acc > right - 0.01 && acc < right + 0.01);
        /* It has learned something, and not everything: the comparison says something. */
        assert_true(number(row, "acc1") > 0.45 && number(row, "acc1") < 0.99);
        assert_true(number(row, "acc5") == 1.0);
    }
    json_decref(root);
    slim_model_close(model);
    cli_free(weight);
    cli_free(bias);
    assert_true(cli_hash(LAST) == before);
    cli_no_torn_files("run");
}

/* The middle of the surface is the model itself. */
static void test_equals_the_surface(void **state)
{
    (void)state;
    json_t *root = cli_json(
        RUN("eval", "classifier", "run", "set", "-w", "0.5", "--json", EXACT, FAST));
    double expected = 100.0 * (1.0 - number(row_of(root, 0), "acc1"));
    double found = -1.0;
    json_decref(root);
    root = cli_json(RUN("analyse", "trajectory", "run", "set", "--grid", "3",
                        "--x-range=-1,1", "--y-range=-1,1", "--surface-width", "0.5",
                        "--limit-test", "0", "--json", EXACT, FAST));
    json_t *surface = json_object_get(root, "surface");
    assert_string_equal(json_string_value(json_object_get(surface, "judge")),
                        "classifier");
    json_decref(root);
    char *text = (char *)cli_read("run/analyse/surface.csv", NULL);
    const char *middle = strstr(text, "\n0,0,");
    assert_non_null(middle);
    found = strtod(middle + strlen("\n0,0,"), NULL);
    cli_free(text);
    assert_true(found > expected - 0.001 && found < expected + 0.001);
}

/* ---- networks that `eval finetune` kept -------------------------------------------- */

static void expect_same(json_t *tuned, size_t at, const char *path, size_t i)
{
    json_t *own = cli_json(RUN("eval", "classifier", path, OTHERS, "--json", FAST));
    json_t *then = row_of(tuned, at);
    json_t *now = row_of(own, i);
    assert_true(number(then, "width") == number(now, "width"));
    assert_true(number(then, "acc1") == number(now, "acc1"));
    assert_true(number(then, "acc5") == number(now, "acc5"));
    json_decref(own);
}

static void test_equals_what_finetune_said(void **state)
{
    (void)state;
    json_t *each = cli_json(RUN("eval", "finetune", "plain", OTHERS, "--labels", "100%",
                                "-e", "4", "--save", "saved", "--json", FAST));
    expect_same(each, 0, "saved/w1.00.safetensors", 0);
    expect_same(each, 1, "saved/w0.50.safetensors", 0);
    /* Otherwise equal numbers would be those of a guess. */
    assert_true(number(row_of(each, 0), "acc1") > 0.3);
    json_decref(each);
    assert_false(cli_exists("saved/eval"));
    /* Of data with one part the network has seen another share than is drawn here. */
    cli_remove("four");
    for (int i = 0; i < 20; i++) {
        char path[64];
        (void)snprintf(path, sizeof path, "four/%d/%02d.ppm", i % 4, i);
        cli_write_noise(path, SIDE, SIDE, (uint32_t)i);
    }
    const struct cli_result *result =
        RUN("eval", "classifier", "saved/w1.00.safetensors", "four", FAST);
    cli_expect_done(result);
    assert_non_null(strstr(result->err, "with the --seed and --test-fraction of then"));
    cli_remove("saved");
    json_t *joint =
        cli_json(RUN("eval", "finetune", "plain", OTHERS, "--labels", "50%", "-e", "4",
                     "--joint", "--save", "saved", "--json", FAST));
    expect_same(joint, 0, "saved/joint.safetensors", 0);
    expect_same(joint, 1, "saved/joint.safetensors", 1);
    json_decref(joint);
}

/* ---- what a person sees ------------------------------------------------------------ */

static void test_table_and_page(void **state)
{
    (void)state;
    cli_remove("run/eval");
    cli_expect_done(RUN("report", "run", FAST));
    char *page = (char *)cli_read("run/report.html", NULL);
    assert_non_null(strstr(page, "slimclr eval classifier run DATA"));
    cli_free(page);
    cli_expect_done(RUN("eval", "classifier", LAST, "set", FAST));
    assert_false(cli_exists("run/eval"));
    const struct cli_result *result = RUN("eval", "classifier", "run", "set", FAST);
    cli_expect_done(result);
    assert_string_equal(result->err, "");
    assert_non_null(strstr(result->out, "; 90 pictures to judge by, 3 classes (chance"));
    assert_non_null(strstr(result->out, "top-5"));
    assert_non_null(strstr(result->out, "\n  0.50 "));
    assert_true(cli_exists("run/eval/classifier.json"));
    cli_expect_done(RUN("report", "run", FAST));
    page = (char *)cli_read("run/report.html", NULL);
    assert_null(strstr(page, "slimclr eval classifier run DATA"));
    assert_non_null(strstr(page, "<h3>Its own classifier</h3>"));
    assert_non_null(strstr(page, "Data set; 90 pictures to judge by, 3 classes"));
    cli_free(page);
}

/* --test takes pictures whole; a DATA of one part is split, which for a run that learned
 * from all of it deserves a word. */
static void test_parts(void **state)
{
    (void)state;
    json_t *named = cli_json(
        RUN("eval", "classifier", LAST, "--test", "set/test", "--json", EXACT, FAST));
    json_t *both =
        cli_json(RUN("eval", "classifier", LAST, "set", "--json", EXACT, FAST));
    assert_true(
        json_equal(json_object_get(named, "results"), json_object_get(both, "results")));
    json_decref(named);
    json_decref(both);
    const struct cli_result *result = RUN("eval", "classifier", LAST, "set/test",
                                          "--test-fraction", "0.5", "--threads", "1");
    cli_expect_done(result);
    assert_non_null(strstr(result->err, "warning: set/test: if the run learned from"));
    assert_non_null(strstr(result->out, "; 45 pictures to judge by"));
}

/* ---- names of classes -------------------------------------------------------------- */

/* A copy of the checkpoint with other words of the same length in its header, sealed
 * anew as one that was written so. */
static void edit(const char *to, const char *const *words, int n)
{
    static const char mark[] = "\"checksum\":\"";
    int64_t size = 0;
    unsigned char *bytes = cli_read(LAST, &size);
    char *head = (char *)bytes + 8;
    uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a of 64 bit */
    char digits[17];
    for (int i = 0; i < n; i += 2) {
        char *at = strstr(head, words[i]);
        assert_non_null(at);
        assert_int_equal(strlen(words[i]), strlen(words[i + 1]));
        memcpy(at, words[i + 1], strlen(words[i]));
    }
    char *sum = strstr(head, mark);
    assert_non_null(sum);
    sum += strlen(mark);
    memset(sum, '0', 16);
    for (int64_t i = 8; i < size; i++) {
        hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
    }
    (void)snprintf(digits, sizeof digits, "%016llx", (unsigned long long)hash);
    memcpy(sum, digits, 16);
    cli_write(to, bytes, (size_t)size);
    cli_free(bytes);
}
#define EDIT(to, ...)                                                                    \
    edit(to, (const char *const[]){__VA_ARGS__},                                         \
         (int)(sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *)))

/* The accuracies must be those of `model` on `data`, said with `word` and no other. */
static void expect_results(json_t *expected, const char *model, const char *data,
                           const char *word)
{
    json_t *root =
        cli_json(RUN("eval", "classifier", model, data, "--json", EXACT, FAST));
    assert_true(json_equal(json_object_get(root, "results"),
                           json_object_get(expected, "results")));
    json_decref(root);
    const struct cli_result *result =
        RUN("eval", "classifier", model, data, EXACT, "--threads", "1");
    cli_expect_done(result);
    if (word != NULL) {
        assert_non_null(strstr(result->err, word));
    } else {
        assert_null(strstr(result->err, "warning"));
        assert_null(strstr(result->err, "classes"));
    }
}

/* The outputs' names count, not their places: a network whose first output means coral
 * is right on data where amber pictures lie in a folder `coral`. */
static void test_order_of_classes(void **state)
{
    static const char *const swapped[CLASSES] = {"coral", "blue", "amber"};
    static const char *const turned[CLASSES] = {"blue", "coral", "amber"};
    (void)state;
    json_t *expected =
        cli_json(RUN("eval", "classifier", LAST, "set", "--json", EXACT, FAST));
    write_part("swapped", "train", swapped, 1);
    write_part("swapped", "test", swapped, TEST);
    write_part("turned", "test", turned, TEST);
    EDIT("swapped.safetensors", "\\\"amber\\\"", "\\\"cor_l\\\"", "\\\"coral\\\"",
         "\\\"amber\\\"", "\\\"cor_l\\\"", "\\\"coral\\\"");
    EDIT("turned.safetensors", "amber\\\",\\\"blue\\\",\\\"coral",
         "blue\\\",\\\"coral\\\",\\\"amber");
    expect_results(expected, LAST, "set", NULL);
    expect_results(expected, "swapped.safetensors", "swapped",
                   "swapped has them in another order than swapped.safetensors");
    const struct cli_result *result = RUN("eval", "classifier", "turned.safetensors",
                                          "--test", "turned/test", "--json", EXACT, FAST);
    json_t *root = cli_json(result);
    assert_string_equal(result->err, "");
    assert_true(json_equal(json_object_get(root, "results"),
                           json_object_get(expected, "results")));
    json_decref(root);
    json_decref(expected);
}

/* Without names on either side the order is taken on trust, as numbers have it. */
static void test_classes_without_names(void **state)
{
    static const char *const numbers[CLASSES] = {"0", "1", "2"};
    (void)state;
    json_t *expected =
        cli_json(RUN("eval", "classifier", LAST, "set", "--json", EXACT, FAST));
    write_part("numbers", "train", numbers, TRAIN);
    write_part("numbers", "test", numbers, TEST);
    EDIT("older.safetensors", "slimclr.classes", "slimclr.nothing");
    expect_results(expected, "older.safetensors", "set",
                   "warning: older.safetensors does not say what its classes are called");
    expect_results(expected, LAST, "numbers",
                   "warning: numbers knows its classes by number alone");
    cli_remove("count");
    cli_expect_done(RUN("pretrain", "numbers", "-o", "count", "--method", "supervised",
                        "-a", "resnet8-b8", "-w", "1,0.5", "-b", "16", "-e", "5", "--lr",
                        "0.05", "--image-size", "16", "--aug", "none", EXACT, FAST));
    expect_results(expected, "count/checkpoints/last.safetensors", "numbers", NULL);
    expect_results(expected, "count/checkpoints/last.safetensors", "set",
                   "warning: count/checkpoints/last.safetensors knows its classes by");
    json_decref(expected);
    /* More outputs than classes: some have no name, so that none has. */
    cli_remove("more");
    cli_expect_done(RUN("pretrain", "set", "-o", "more", "--method", "supervised", "-a",
                        "resnet8-b8", "-w", "1", "-b", "16", "-e", "0", "--classes", "4",
                        "--image-size", "16", EXACT, FAST));
    const struct cli_result *result =
        RUN("eval", "classifier", "more", OTHERS, "--threads", "1");
    cli_expect_done(result);
    assert_non_null(strstr(result->err, "does not say what its classes are called"));
}

static void test_other_classes(void **state)
{
    static const char *const others[CLASSES] = {"amber", "green", "coral"};
    static const char *const refusal =
        "others: class 'green' is none of those of run/checkpoints/last.safetensors "
        "('amber', 'blue', 'coral'); give data whose classes are among them";
    (void)state;
    write_part("others", "train", others, 1);
    write_part("others", "test", others, 1);
    cli_expect_refused(RUN("eval", "classifier", "run", "others", FAST), 3, refusal);
    cli_expect_refused(RUN("analyse", "trajectory", "run", "others", "--grid", "2", FAST),
                       3, "others: class 'green' is none of those");
    EDIT("fewer.safetensors", "blue\\\",\\\"coral", "blue_____coral");
    cli_expect_refused(RUN("eval", "classifier", "fewer.safetensors", "set", FAST), 1,
                       "names 2 classes, and its classifier has 3");
}

/* What is right among pictures of two classes, for each two of the three: every picture
 * is judged twice, so that the mean is what is right among all. */
static void expect_mean_of_pairs(const char *const *words, const char *all)
{
    static const char *const pairs[][CLASSES] = {
        {"amber", "blue", NULL}, {"amber", NULL, "coral"}, {NULL, "blue", "coral"}};
    static const char *const sets[] = {"front/test", "ends/test", "back/test"};
    const char *line[24];
    double right[WIDTHS] = {0};
    int n = 0;
    for (; words[n] != NULL; n++) {
        line[n] = words[n];
    }
    line[n + 1] = NULL;
    for (int k = 0; k <= 3; k++) {
        if (k < 3) {
            char set[16];
            (void)snprintf(set, sizeof set, "%.*s", (int)strcspn(sets[k], "/"), sets[k]);
            write_part(set, "test", pairs[k], TEST);
        }
        line[n] = k < 3 ? sets[k] : all;
        json_t *root = cli_json(cli_run(line));
        assert_int_equal(json_integer_value(json_object_get(root, "classes")), CLASSES);
        for (size_t i = 0; i < WIDTHS; i++) {
            double acc = number(row_of(root, i), "acc1");
            right[i] += k < 3 ? acc : -3.0 * acc;
        }
        json_decref(root);
    }
    for (int i = 0; i < WIDTHS; i++) {
        assert_float_equal(right[i], 0.0, 1e-6);
    }
}

/* Pictures of some of the classes get the numbers that those have in the model, or in the
 * bank. */
static void test_some_classes(void **state)
{
    (void)state;
    expect_mean_of_pairs((const char *const[]){"eval", "classifier", "run", "--json",
                                               EXACT, FAST, "--test", NULL},
                         "set/test");
    expect_mean_of_pairs((const char *const[]){"eval", "knn", "run", "--json", EXACT,
                                               FAST, "--train", "set/train", "--test",
                                               NULL},
                         "set/test");
    const struct cli_result *result =
        RUN("eval", "classifier", "run", "--test", "back/test", "--threads", "1");
    cli_expect_done(result);
    assert_non_null(strstr(result->err, "back/test has 2 of the 3 of run/checkpoints/"));
    /* By number alone, some will not do. */
    EDIT("older.safetensors", "slimclr.classes", "slimclr.nothing");
    cli_expect_refused(
        RUN("eval", "classifier", "older.safetensors", "--test", "back/test", FAST), 3,
        "back/test: 2 classes, but the classifier of older.safetensors has 3");
    cli_expect_refused(
        RUN("eval", "knn", "run", "--train", "back/test", "--test", "set/test", FAST), 3,
        "the test part: class 'amber' is none of those of the train part "
        "('blue', 'coral')");
}

/* ---- refusals, stops --------------------------------------------------------------- */

static void test_refused(void **state)
{
    char path[64];
    (void)state;
    cli_expect_refused(RUN("eval", "classifier", "plain", OTHERS, FAST), 2,
                       "eval linear");
    cli_expect_refused(RUN("eval", "classifier", "run", OTHERS, FAST), 3,
                       "4 classes, but the classifier of run/checkpoints/"
                       "last.safetensors has 3");
    cli_expect_refused(RUN("analyse", "trajectory", "run", OTHERS, "--grid", "2", FAST),
                       3, "4 classes, but the classifier");
    cli_expect_refused(RUN("eval", "classifier", "run", FAST), 2, "--test");
    cli_expect_refused(RUN("eval", "classifier", "run", "set", "--test", "set", FAST), 2,
                       "contradict");
    cli_expect_refused(RUN("eval", "classifier", "run", "set", "-w", "0.75", FAST), 2,
                       "1.00 0.50");
    cli_expect_refused(RUN("eval", "classifier", "run", "set", "--train", "set", FAST), 2,
                       "--train");
    for (int i = 0; i < 20; i++) {
        (void)snprintf(path, sizeof path, "bare/%02d.ppm", i);
        cli_write_noise(path, SIDE, SIDE, (uint32_t)i);
    }
    cli_expect_refused(RUN("eval", "classifier", "run", "bare", FAST), 3, "labels");
    cli_expect_refused(RUN("eval", "classifier", "run", "--test", "bare", FAST), 3,
                       "labels");
}

/* A test part without one of the classes says the same by itself as beside its train
 * part, which has them all. */
static void test_gap(void **state)
{
    (void)state;
    cli_remove("gap");
    cli_write_noise("gap/train/amber/0.ppm", SIDE, SIDE, 1);
    cli_write_noise("gap/train/blue/0.ppm", SIDE, SIDE, 2);
    cli_write_noise("gap/train/coral/0.ppm", SIDE, SIDE, 3);
    cli_write_noise("gap/test/blue/0.ppm", SIDE, SIDE, 4);
    cli_write_noise("gap/test/coral/0.ppm", SIDE, SIDE, 5);
    json_t *beside = cli_json(RUN("eval", "classifier", LAST, "gap", "--json", FAST));
    json_t *alone =
        cli_json(RUN("eval", "classifier", LAST, "--test", "gap/test", "--json", FAST));
    assert_true(json_equal(json_object_get(beside, "results"),
                           json_object_get(alone, "results")));
    json_decref(beside);
    json_decref(alone);
}

/* One step so long that the network it ends in has no numbers any more. */
static void test_diverged(void **state)
{
    (void)state;
    cli_remove("far");
    cli_expect_done(RUN("pretrain", "set", "-o", "far", "--method", "supervised", "-a",
                        "resnet8-b8", "-w", "1", "-b", "16", "--steps", "1", "--lr",
                        "1e36", "--warmup-epochs", "0", "--image-size", "16", EXACT,
                        FAST));
    cli_expect_refused(RUN("eval", "classifier", "far", "set", EXACT, FAST), 4,
                       "width 1.00: the classifier's outputs for picture");
    assert_false(cli_exists("far/eval"));
}

struct watch {
    int64_t done, total;
    bool stop;
};

static void on_passed(void *context, int64_t done, int64_t total)
{
    struct watch *watch = context;
    watch->done = done;
    watch->total = total;
}

static bool on_stop(void *context)
{
    return ((const struct watch *)context)->stop;
}

static void test_progress_and_stop(void **state)
{
    struct watch watch = {0};
    const slim_hooks hooks = {
        .stop_requested = on_stop, .passed = on_passed, .context = &watch};
    slim_options *options = NULL;
    slim_error error;
    slim_scores scores;
    (void)state;
    cli_remove("run/eval");
    assert_int_equal(slim_options_create("eval classifier", &options, &error), SLIM_OK);
    assert_int_equal(slim_options_set(options, "batch-size", "32", &error), SLIM_OK);
    watch.stop = true;
    assert_int_equal(slim_eval_classifier(options, "run", "set", &hooks, &scores, &error),
                     SLIM_STOPPED);
    assert_true(watch.done == 32 && watch.total == (int64_t)CLASSES * TEST);
    assert_false(cli_exists("run/eval"));
    watch.stop = false;
    assert_int_equal(slim_eval_classifier(options, "run", "set", &hooks, &scores, &error),
                     SLIM_OK);
    assert_true(watch.done == watch.total && scores.n_widths == WIDTHS);
    assert_true(scores.n_train == 0 && scores.n_test == (int64_t)CLASSES * TEST);
    slim_options_destroy(options);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equals_its_weights),
        cmocka_unit_test(test_equals_the_surface),
        cmocka_unit_test(test_equals_what_finetune_said),
        cmocka_unit_test(test_table_and_page),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_order_of_classes),
        cmocka_unit_test(test_classes_without_names),
        cmocka_unit_test(test_other_classes),
        cmocka_unit_test(test_some_classes),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_gap),
        cmocka_unit_test(test_diverged),
        cmocka_unit_test(test_progress_and_stop),
    };
    return cmocka_run_group_tests(tests, make_runs, NULL);
}
