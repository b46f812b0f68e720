/* SPDX-License-Identifier: MIT */
/*
 * Bad pictures and bad words given to `pretrain`: one clear line, the right exit status,
 * and no run directory left behind. Damaged pictures among good ones are replaced,
 * reported, or end the run, as asked.
 */
#include "cli/clikit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { GOOD = 30 };

static int fresh(void **state)
{
    (void)state;
    cli_remove("run");
    return 0;
}

/* The run is refused before anything is written. */
#define REFUSED(status, word, ...)                                                       \
    do {                                                                                 \
        cli_expect_refused(RUN("pretrain", __VA_ARGS__), status, word);                  \
        assert_false(cli_exists("run"));                                                 \
    } while (0)

static void test_no_pictures(void **state)
{
    (void)state;
    cli_remove("empty");
    cli_folder("empty/deeper");
    REFUSED(3, "empty", "empty", "-o", "run", CLI_NET);
    cli_write("empty/deeper/notes.txt", "words", 5);
    REFUSED(3, "empty", "empty", "-o", "run", CLI_NET);
    REFUSED(3, "not-there", "not-there", "-o", "run", CLI_NET);
    REFUSED(2, "n must be", "synthetic:n=x", "-o", "run", CLI_NET);
}

static void test_truncated_cifar(void **state)
{
    static const unsigned char zeros[3073 * 3];
    (void)state;
    cli_write("cifar/data_batch_1.bin", zeros, sizeof zeros - 1);
    cli_write("cifar/test_batch.bin", zeros, sizeof zeros);
    REFUSED(3, "data_batch_1.bin", "cifar", "-o", "run", CLI_NET);
    cli_write("cifar/data_batch_1.bin", zeros, 0);
    REFUSED(3, "data_batch_1.bin", "cifar", "-o", "run", CLI_NET);
}

static void test_truncated_idx(void **state)
{
    /* 3 pictures of 8 x 8 promised, two and a half there. */
    static const unsigned char idx[16 + 160] = {0, 0, 8, 3, 0, 0, 0, 3,
                                                0, 0, 0, 8, 0, 0, 0, 8};
    (void)state;
    cli_write("idx/train-images-idx3-ubyte", idx, sizeof idx);
    REFUSED(3, "train-images-idx3-ubyte", "idx", "-o", "run", CLI_NET);
}

static void cut_jpeg(const char *path)
{
    int64_t size = 0;
    const char *whole = cli_source("tests/golden/pixels/444.jpg");
    cli_free(cli_read(whole, &size));
    cli_copy(whole, path, size / 2);
}

/* Each kind of damage, alone in a folder: there is nothing to replace it by. */
static void test_alone(void **state)
{
    (void)state;
    cut_jpeg("half/a.jpg");
    REFUSED(3, "half/a.jpg", "half", "-o", "run", CLI_NET, "-b", "1");
    cli_write("text/a.png", "these are words\n", 16);
    REFUSED(3, "text/a.png", "text", "-o", "run", CLI_NET, "-b", "1");
    cli_write("zero/a.jpg", "", 0);
    REFUSED(3, "zero/a.jpg", "zero", "-o", "run", CLI_NET, "-b", "1");
}

static void make_mixed(const char *folder)
{
    char path[256];
    for (uint32_t i = 0; i < GOOD; i++) {
        (void)snprintf(path, sizeof path, "%s/%02u.ppm", folder, i);
        cli_write_noise(path, 16, 16, i);
    }
    (void)snprintf(path, sizeof path, "%s/03x.jpg", folder);
    cut_jpeg(path);
    (void)snprintf(path, sizeof path, "%s/11x.png", folder);
    cli_write(path, "these are words\n", 16);
}

#define MIXED "mixed", "-o", "run", CLI_NET, "-b", "16", "--image-size", "16", "-e", "2"

/* Two of 32 are damaged: replaced, named in bad_files.txt, the run goes on. */
static void test_among_good_skip(void **state)
{
    (void)state;
    make_mixed("mixed");
    const struct cli_result *result = RUN("pretrain", MIXED);
    cli_expect_done(result);
    assert_non_null(strstr(result->err, "damaged picture: mixed/11x.png: "));
    cli_expect_steps("run", 4);
    char *bad = (char *)cli_read("run/bad_files.txt", NULL);
    assert_non_null(strstr(bad, "03x.jpg"));
    assert_non_null(strstr(bad, "11x.png"));
    assert_null(strstr(bad, "ppm"));
    cli_free(bad);
}

static void test_among_good_stop(void **state)
{
    (void)state;
    make_mixed("mixed");
    const struct cli_result *result =
        RUN("pretrain", MIXED, "--on-bad-image", "stop", "-j", "2");
    cli_expect_silent(result, 3);
    assert_true(strstr(result->err, "03x.jpg") != NULL ||
                strstr(result->err, "11x.png") != NULL);
    assert_false(cli_exists("run/checkpoints/last.safetensors"));
    cli_remove("run");
    /* More damage than allowed ends it too; without, grey stands in. */
    cli_expect_silent(RUN("pretrain", MIXED, "--max-bad", "3%"), 3);
    cli_remove("run");
    cli_expect_done(RUN("pretrain", MIXED, "--on-bad-image", "grey"));
}

static void test_bad_values(void **state)
{
    (void)state;
    REFUSED(2, "'0'", CLI_DATA, "-o", "run", CLI_NET, "-w", "1,0");
    REFUSED(2, "'1.5'", CLI_DATA, "-o", "run", CLI_NET, "-w", "1.5,1");
    REFUSED(2, "--widths", CLI_DATA, "-o", "run", CLI_NET, "-w", "0.5");
    REFUSED(2, "--batch-size 512", CLI_DATA, "-o", "run", CLI_NET, "-b", "512");
    REFUSED(2, "--batch-size", CLI_DATA, "-o", "run", CLI_NET, "-b", "0");
    REFUSED(2, "--batch-size", CLI_DATA, "-o", "run", CLI_NET, "-b", "12x");
    REFUSED(2, "--lr", CLI_DATA, "-o", "run", CLI_NET, "--lr", "nan");
    REFUSED(2, "fp16", CLI_DATA, "-o", "run", CLI_NET, "--precision", "fp16");
    REFUSED(2, "resnet19", CLI_DATA, "-o", "run", CLI_NET, "-a", "resnet19");
    REFUSED(2, "--moco-k 33", CLI_DATA, "-o", "run", CLI_NET, "--moco-k", "33");
    REFUSED(2, "--bn-splits 3", CLI_DATA, "-o", "run", CLI_NET, "--bn-splits", "3");
    REFUSED(2, "--max-bad", CLI_DATA, "-o", "run", CLI_NET, "--max-bad", "300%");
    REFUSED(2, "--slow-start", CLI_DATA, "-o", "run", CLI_NET, "--slow-start", "soon");
    /* Eight steps an epoch: the narrow width would join after the end, or at it, or in
     * the last step's rounding. */
    REFUSED(2, "--slow-start 5", CLI_DATA, "-o", "run", CLI_NET, "-e", "4",
            "--slow-start", "5");
    REFUSED(2, "ends after step 32", CLI_DATA, "-o", "run", CLI_NET, "-e", "4",
            "--slow-start", "4");
    REFUSED(2, "--slow-start 100%", CLI_DATA, "-o", "run", CLI_NET, "--slow-start",
            "100%");
    REFUSED(2, "--slow-start 90%", CLI_DATA, "-o", "run", CLI_NET, "--steps", "5",
            "--slow-start", "90%");
    cli_expect_refused(RUN("plan", "-e", "50", "--recipe", "slimclr-mocov2-200ep"), 2,
                       "--slow-start 100");
    REFUSED(2, "--base-lr", CLI_DATA, "-o", "run", CLI_NET, "--lr", "1", "--base-lr",
            "1");
    REFUSED(2, "no-recipe", CLI_DATA, "-o", "run", CLI_NET, "--recipe", "no-recipe");
    REFUSED(3, "not-there", CLI_DATA, "-o", "run", CLI_NET, "--eval-data", "not-there");
}

/* The neighbours of what test_bad_values refuses: one width alone has nobody to wait for,
 * and a run of one step by default trains all. */
static void test_slow_start_at_the_edge(void **state)
{
    (void)state;
    /* One width has nobody who could join too late; a recipe or file may say so. */
    cli_write("late.ini", "slow-start = 100%\n", 18);
    cli_expect_done(RUN("pretrain", CLI_DATA, "-o", "run", CLI_NET, "--steps", "2",
                        "--config", "late.ini", "-w", "1"));
    cli_remove("run");
    cli_expect_done(RUN("pretrain", CLI_DATA, "-o", "run", CLI_NET, "--steps", "9",
                        "--slow-start", "1"));
    char *metrics = (char *)cli_read("run/metrics.jsonl", NULL);
    assert_non_null(strstr(metrics, "loss/w0.50"));
    cli_free(metrics);
    cli_remove("run");
    cli_expect_done(RUN("pretrain", CLI_DATA, "-o", "run", CLI_NET, "--steps", "1"));
    metrics = (char *)cli_read("run/metrics.jsonl", NULL);
    assert_non_null(strstr(metrics, "loss/w0.50"));
    cli_free(metrics);
}

static void test_bad_words(void **state)
{
    (void)state;
    REFUSED(2, "'--learning-rate'", CLI_DATA, "-o", "run", "--learning-rate", "1");
    REFUSED(2, "-o", CLI_DATA, "-o");
    REFUSED(2, "-o DIR", CLI_DATA, CLI_NET);
    REFUSED(2, "DATA", "-o", "run", CLI_NET);
    cli_write("bad.ini", "arch = resnet20\nbach-size = 32\n", 31);
    REFUSED(2, "bad.ini:2", CLI_DATA, "-o", "run", "-q", "--config", "bad.ini");
    REFUSED(2, "batch-size", CLI_DATA, "-o", "run", "-q", "--config", "bad.ini");
    cli_write("bad.ini", "batch-size = many\n", 18);
    REFUSED(2, "bad.ini:1", CLI_DATA, "-o", "run", "-q", "--config", "bad.ini");
    REFUSED(2, "none.ini", CLI_DATA, "-o", "run", "-q", "--config", "none.ini");
}

/* Below a regular file no directory can be made, whoever asks. */
static void test_bad_directory(void **state)
{
    (void)state;
    cli_write("plain", "x", 1);
    REFUSED(1, "plain", CLI_DATA, "-o", "plain/run", CLI_NET);
    REFUSED(1, "plain", CLI_DATA, "-o", "plain", CLI_NET);
    cli_remove("full");
    cli_write("full/mine.txt", "mine", 4);
    cli_expect_refused(RUN("pretrain", CLI_DATA, "-o", "full", CLI_NET), 2, "not empty");
    assert_false(cli_exists("full/config.ini"));
    cli_expect_refused(
        RUN("pretrain", CLI_DATA, "-o", "full", CLI_NET, "--resume", "--overwrite"), 2,
        "contradict");
    /* --overwrite takes what a run writes, and leaves what it did not. */
    cli_expect_done(
        RUN("pretrain", CLI_DATA, "-o", "full", CLI_NET, "-e", "1", "--overwrite"));
    char *mine = (char *)cli_read("full/mine.txt", NULL);
    assert_string_equal(mine, "mine");
    cli_free(mine);
    cli_expect_steps("full", 8);
    cli_expect_done(
        RUN("pretrain", CLI_DATA, "-o", "full", CLI_NET, "--steps", "2", "--overwrite"));
    cli_expect_steps("full", 2);
    assert_false(cli_exists("full/checkpoints/epoch=0001-step=00000008.safetensors"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_no_pictures, fresh),
        cmocka_unit_test_setup(test_truncated_cifar, fresh),
        cmocka_unit_test_setup(test_truncated_idx, fresh),
        cmocka_unit_test_setup(test_alone, fresh),
        cmocka_unit_test_setup(test_among_good_skip, fresh),
        cmocka_unit_test_setup(test_among_good_stop, fresh),
        cmocka_unit_test_setup(test_bad_values, fresh),
        cmocka_unit_test_setup(test_slow_start_at_the_edge, fresh),
        cmocka_unit_test_setup(test_bad_words, fresh),
        cmocka_unit_test_setup(test_bad_directory, fresh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
