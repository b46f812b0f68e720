/* SPDX-License-Identifier: MIT */
/*
 * Grey input through the program: pre-training with --channels 1, evaluating, stopping
 * and going on to the same bits; transparency and limits as options; and damaged files
 * listed alike for any number of workers, also across a stop.
 */
#include "cli/clikit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { DIGITS = 64, SIDE = 12, PICTURES = 60 };

static void put_number(unsigned char *dst, int value)
{
    dst[0] = dst[1] = 0;
    dst[2] = (unsigned char)(value >> 8);
    dst[3] = (unsigned char)value;
}

/* One part of an IDX set of two classes: bars that lie and bars that stand. */
static void write_part(const char *part, int n)
{
    static unsigned char images[16 + DIGITS * SIDE * SIDE] = {0, 0, 8, 3};
    static unsigned char labels[8 + DIGITS] = {0, 0, 8, 1};
    char path[64];
    put_number(images + 4, n);
    put_number(images + 8, SIDE);
    put_number(images + 12, SIDE);
    put_number(labels + 4, n);
    for (int i = 0; i < n; i++) {
        labels[8 + i] = (unsigned char)(i % 2);
        for (int y = 0; y < SIDE; y++) {
            for (int x = 0; x < SIDE; x++) {
                int at = i % 2 == 0 ? y : x;
                bool is_on = (at + i / 2) % 5 < 2;
                images[16 + (i * SIDE + y) * SIDE + x] =
                    (unsigned char)(is_on ? 200 + i % 50 : (x * y + i) % 40);
            }
        }
    }
    (void)snprintf(path, sizeof path, "bars/%s-images-idx3-ubyte", part);
    cli_write(path, images, (size_t)(16 + n * SIDE * SIDE));
    (void)snprintf(path, sizeof path, "bars/%s-labels-idx1-ubyte", part);
    cli_write(path, labels, (size_t)(8 + n));
}

/* A constant rate, so that a run of two epochs may also be one epoch and then another. */
#define GREY                                                                             \
    "-a", "resnet8-b16", "-w", "1,0.5", "-b", "16", "-q", "--log-every", "1",            \
        "--channels", "1", "--slow-start", "0", "-e", "2", "--lr-schedule", "constant",  \
        "--warmup-epochs", "0", "--threads", "1"

static void expect_setting(const char *run, const char *line)
{
    char path[64];
    (void)snprintf(path, sizeof path, "%s/config.ini", run);
    char *config = (char *)cli_read(path, NULL);
    if (strstr(config, line) == NULL) {
        fail_msg("no '%s' in: %s", line, config);
    }
    cli_free(config);
}

/* Train, evaluate, and the same bits in two parts as in one. */
static void grey_run(const char *data, const char *mean, const char *limit)
{
    cli_remove("whole");
    cli_remove("parts");
    cli_expect_done(RUN("pretrain", data, "-o", "whole", "--limit", limit, GREY));
    cli_expect_steps("whole", 8);
    expect_setting("whole", "\nchannels = 1\n");
    expect_setting("whole", mean);
    json_t *root = cli_json(RUN("eval", "knn", "whole", data, "--json", "-q", "--raw",
                                "--limit", "500", "--limit-test", "100"));
    json_t *row = json_array_get(json_object_get(root, "results"), 0);
    assert_true(json_number_value(json_object_get(row, "acc1")) > 0.2);
    json_decref(root);
    cli_expect_done(RUN("eval", "linear", "whole", data, "-q", "--limit", "200",
                        "--limit-test", "50", "--probe-epochs", "2"));
    cli_expect_done(
        RUN("pretrain", data, "-o", "parts", "--limit", limit, GREY, "-e", "1"));
    cli_expect_done(RUN("pretrain", "-o", "parts", "--resume", "-e", "2", "-q"));
    cli_expect_steps("parts", 8);
    cli_same_bytes("whole/checkpoints/last.safetensors",
                   "parts/checkpoints/last.safetensors");
    cli_expect_refused(
        RUN("pretrain", "-o", "parts", "--resume", "--channels", "3", "-q"), 2,
        "channels");
}

static void test_grey(void **state)
{
    (void)state;
    write_part("train", DIGITS);
    write_part("t10k", 20);
    grey_run("bars", "\nmean = 0.1307\n", "0");
}

static void test_grey_mnist(void **state)
{
    (void)state;
    const char *digits = cli_unpacked("mnist");
    if (digits == NULL) {
        print_message("skipped: no mnist; set SLIMCLR_TEST_DATA\n");
        skip();
    }
    grey_run(digits, "\nmean = 0.1307\n", "64");
}

/* Colour pictures become grey; the mean of ImageNet's three numbers is 0.449. */
static void test_grey_from_colour(void **state)
{
    (void)state;
    cli_remove("run");
    cli_expect_done(RUN("pretrain", CLI_DATA, "-o", "run", CLI_NET, "--channels", "1",
                        "--steps", "2", "--eval-data", CLI_DATA));
    expect_setting("run", "\nmean = 0.449\n");
    expect_setting("run", "\nstd = 0.226\n");
    cli_expect_refused(RUN("pretrain", CLI_DATA, "-o", "no", CLI_NET, "--channels", "1",
                           "--mean", "0.1,0.2,0.3"),
                       2, "one number");
    cli_expect_refused(RUN("pretrain", CLI_DATA, "-o", "no", CLI_NET, "--channels", "2"),
                       2, "--channels");
    cli_expect_refused(
        RUN("pretrain", CLI_DATA, "-o", "no", CLI_NET, "--alpha-on", "1,2,300"), 2,
        "--alpha-on '1,2,300'");
    const char *words[] = {"white", "black", "grey", "ignore", "12,0,255"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        cli_expect_done(RUN("pretrain", CLI_DATA, "-o", "run", "--overwrite", CLI_NET,
                            "-e", "0", "--alpha-on", words[i]));
    }
    json_t *root = cli_json(
        RUN("plan", "--channels", "1", "-a", "resnet20", "--json", "--image-size", "32"));
    json_decref(root);
    cli_expect_done(RUN("bench", "step", CLI_NET, "--channels", "1", "--image-size", "16",
                        "--steps", "1"));
}

/* ---- damaged pictures -------------------------------------------------------------- */

/* Every tenth picture is damaged, each in another way; one name holds a tab. */
static void make_folder(const char *folder)
{
    static const char *const bad[] = {"05.png", "15.bmp", "25.tif", "35.webp",
                                      "4\t5.ppm"};
    static const char *const bytes[] = {"\x89PNG\r\n\x1a\n....", "BM", "II*",
                                        "RIFF....WEBP", "P6\n9 9\n255\ncut"};
    static const int sizes[] = {12, 2, 4, 12, 14};
    char path[256];
    cli_remove(folder);
    for (uint32_t i = 0; i < PICTURES; i++) {
        (void)snprintf(path, sizeof path, "%s/%02u.ppm", folder, i);
        cli_write_noise(path, 16, 16, i);
    }
    for (int i = 0; i < 5; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", folder, bad[i]);
        cli_write(path, bytes[i], (size_t)sizes[i]);
    }
}

#define TORN                                                                             \
    "torn", CLI_NET, "-b", "13", "--image-size", "16", "-e", "3", "--seed", "4",         \
        "--slow-start", "0", "--threads", "1"

static int count_lines(const char *path)
{
    char *text = (char *)cli_read(path, NULL);
    int n = 0;
    for (const char *at = text; *at != '\0'; at++) {
        n += *at == '\n';
    }
    cli_free(text);
    return n;
}

static void test_same_for_any_workers(void **state)
{
    static const char *const runs[] = {"j1", "j2", "j4"};
    (void)state;
    make_folder("torn");
    for (int i = 0; i < 3; i++) {
        cli_remove(runs[i]);
        cli_expect_done(RUN("pretrain", TORN, "-o", runs[i], "-j", runs[i] + 1));
    }
    assert_int_equal(count_lines("j1/bad_files.txt"), 5);
    for (int i = 1; i < 3; i++) {
        char path[64];
        (void)snprintf(path, sizeof path, "%s/bad_files.txt", runs[i]);
        cli_same_bytes("j1/bad_files.txt", path);
        (void)snprintf(path, sizeof path, "%s/checkpoints/last.safetensors", runs[i]);
        cli_same_bytes("j1/checkpoints/last.safetensors", path);
    }
    char *list = (char *)cli_read("j1/bad_files.txt", NULL);
    assert_non_null(
        strstr(list, "torn/4\\x095.ppm\tdamaged PNM: the file is cut short\n"));
    assert_non_null(strstr(list, "torn/15.bmp\tdamaged BMP: the file is cut short\n"));
    cli_free(list);
}

/* A run that stops half-way and goes on lists what the other run lists. */
static void test_list_survives_resume(void **state)
{
    (void)state;
    make_folder("torn");
    cli_remove("stopped");
    cli_expect_done(RUN("pretrain", TORN, "-o", "stopped", "-e", "1"));
    int first = count_lines("stopped/bad_files.txt");
    assert_true(first > 0);
    cli_expect_done(RUN("pretrain", "-o", "stopped", "--resume", "-q", "-e", "3"));
    cli_same_bytes("j1/bad_files.txt", "stopped/bad_files.txt");
    /* Afresh, the list begins anew. */
    cli_expect_done(RUN("pretrain", TORN, "-o", "stopped", "--overwrite", "-e", "1"));
    assert_int_equal(count_lines("stopped/bad_files.txt"), first);
}

/* Too many: exit 3, and the list says which they were. */
static void test_too_many(void **state)
{
    (void)state;
    make_folder("torn");
    cli_remove("many");
    cli_expect_silent(RUN("pretrain", TORN, "-o", "many", "--max-bad", "7%"), 3);
    const char *const limits[] = {"--max-pixels", "--max-side", "--max-bytes"};
    const char *const values[] = {"255", "15", "100"};
    for (int i = 0; i < 3; i++) {
        cli_remove("limited");
        cli_expect_refused(
            RUN("pretrain", "torn", "-o", "limited", CLI_NET, limits[i], values[i]), 3,
            limits[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grey),
        cmocka_unit_test(test_grey_mnist),
        cmocka_unit_test(test_grey_from_colour),
        cmocka_unit_test(test_same_for_any_workers),
        cmocka_unit_test(test_list_survives_resume),
        cmocka_unit_test(test_too_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
