/* SPDX-License-Identifier: MIT */
/*
 * Damaged, foreign and missing checkpoints, a full disk, and numbers that run away: the
 * right exit status, one clear line, and the last good checkpoint as it was.
 */
#include "cli/clikit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define LAST "/checkpoints/last.safetensors"

/* One finished run and one of another architecture, for all tests below. */
static int make_runs(void **state)
{
    (void)state;
    cli_remove("good");
    cli_remove("other");
    cli_expect_done(RUN("pretrain", CLI_DATA, "-o", "good", CLI_NET, "-e", "1"));
    cli_expect_done(RUN("pretrain", CLI_DATA, "-o", "other", "-a", "resnet8-b8", "-w",
                        "1", "-b", "32", "-q", "-e", "1"));
    return 0;
}

static int fresh(void **state)
{
    (void)state;
    cli_remove("run");
    return 0;
}

static void test_other_architecture(void **state)
{
    (void)state;
    uint64_t before = cli_hash("good" LAST);
    cli_expect_refused(
        RUN("pretrain", CLI_DATA, "-o", "good", "-q", "--resume=other" LAST), 2,
        "architecture");
    cli_expect_refused(
        RUN("pretrain", CLI_DATA, "-o", "run", CLI_NET, "--init-from", "other"), 2,
        "architecture");
    /* The file is named as well as the tensor. */
    assert_non_null(strstr(
        RUN("pretrain", CLI_DATA, "-o", "run", CLI_NET, "--init-from", "other")->err,
        "pretrain: other" LAST ": "));
    assert_false(cli_exists("run"));
    /* Said anew, and not what the run began with. */
    cli_expect_refused(
        RUN("pretrain", CLI_DATA, "-o", "good", "-q", "--resume", "-a", "resnet20"), 2,
        "resnet20");
    cli_expect_refused(
        RUN("pretrain", CLI_DATA, "-o", "good", "-q", "--resume", "--lr", "0.5"), 2,
        "--lr");
    cli_expect_refused(RUN("pretrain", "synthetic:size=16,n=128,test=100", "-o", "good",
                           "-q", "--resume"),
                       2, "fingerprint");
    assert_true(cli_hash("good" LAST) == before);
    cli_expect_steps("good", 8);
}

static void test_missing(void **state)
{
    (void)state;
    cli_expect_refused(
        RUN("pretrain", CLI_DATA, "-o", "run", CLI_NET, "--resume=not-there"), 1,
        "not-there");
    assert_false(cli_exists("run"));
    cli_expect_refused(
        RUN("pretrain", CLI_DATA, "-o", "run", CLI_NET, "--init-from", "not-there"), 1,
        "not-there");
    cli_expect_refused(
        RUN("pretrain", CLI_DATA, "-o", "run", CLI_NET, "--resume=good" LAST), 2,
        "config.ini");
    assert_false(cli_exists("run"));
    cli_expect_refused(RUN("eval", "knn", "not-there", CLI_DATA, "-q"), 1, "not-there");
    cli_folder("hollow");
    cli_expect_refused(RUN("eval", "knn", "hollow", CLI_DATA, "-q"), 1, "no checkpoint");
    cli_expect_refused(RUN("eval", "linear", "good", "not-there", "-q"), 3, "not-there");
    cli_expect_refused(RUN("eval", "knn", "good", "-q"), 2, "DATA");
}

/* Every command that opens the damaged file refuses it and leaves it alone. */
static void expect_damaged(const char *path)
{
    char resume[128];
    uint64_t before = cli_hash(path);
    uint64_t good = cli_hash("good" LAST);
    (void)snprintf(resume, sizeof resume, "--resume=%s", path);
    cli_expect_refused(RUN("eval", "knn", path, CLI_DATA, "-q"), 1, path);
    cli_expect_refused(RUN("pretrain", CLI_DATA, "-o", "good", "-q", resume), 1, path);
    cli_expect_refused(
        RUN("pretrain", CLI_DATA, "-o", "run", CLI_NET, "--init-from", path), 1, path);
    assert_false(cli_exists("run"));
    assert_true(cli_hash(path) == before);
    assert_true(cli_hash("good" LAST) == good);
}

static void test_truncated(void **state)
{
    int64_t size = 0;
    (void)state;
    cli_free(cli_read("good" LAST, &size));
    const int64_t lengths[] = {0, 7, 100, size / 2, size - 1};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        cli_copy("good" LAST, "cut.safetensors", lengths[i]);
        expect_damaged("cut.safetensors");
    }
    cli_write("text.safetensors", "these are words, not tensors\n", 29);
    expect_damaged("text.safetensors");
}

/* One bit anywhere: length of the header, its text, the numbers. */
static void test_bit_flipped(void **state)
{
    int64_t size = 0;
    (void)state;
    unsigned char *bytes = cli_read("good" LAST, &size);
    const int64_t places[] = {0, 5, 40, 3000, size / 2, size - 2};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        bytes[places[i]] ^= 0x10;
        cli_write("flip.safetensors", bytes, (size_t)size);
        bytes[places[i]] ^= 0x10;
        expect_damaged("flip.safetensors");
    }
    cli_free(bytes);
}

/* A damaged last checkpoint of the run itself is not silently begun afresh. */
static void test_damaged_own(void **state)
{
    (void)state;
    cli_expect_done(RUN("pretrain", CLI_DATA, "-o", "run", CLI_NET, "-e", "1"));
    int64_t size = 0;
    unsigned char *bytes = cli_read("run" LAST, &size);
    bytes[size / 2] ^= 1;
    cli_write("run" LAST, bytes, (size_t)size);
    cli_free(bytes);
    uint64_t before = cli_hash("run" LAST);
    cli_expect_refused(RUN("pretrain", CLI_DATA, "-o", "run", "-q", "--resume"), 1,
                       "last.safetensors");
    assert_true(cli_hash("run" LAST) == before);
    cli_expect_steps("run", 8);
}

/* No checkpoint fits: exit 1, nothing torn; with room again the run goes on to the same
 * bytes as if nothing had been. */
static void test_full_disk(void **state)
{
    (void)state;
    cli_limit_files(60000);
    const struct cli_result *result =
        RUN("pretrain", CLI_DATA, "-o", "run", CLI_NET, "-e", "1");
    cli_limit_files(0);
    cli_expect_refused(result, 1, "disk full");
    assert_false(cli_exists("run" LAST));
    cli_no_torn_files("run");
    cli_expect_done(
        RUN("pretrain", CLI_DATA, "-o", "run", CLI_NET, "-e", "1", "--resume"));
    cli_expect_steps("run", 8);
    cli_same_bytes("run" LAST, "good" LAST);
}

/* The disk fills in a later epoch: the earlier checkpoint stays whole. */
static void test_full_disk_later(void **state)
{
    (void)state;
    cli_expect_done(RUN("pretrain", CLI_DATA, "-o", "run", CLI_NET, "-e", "1"));
    uint64_t before = cli_hash("run" LAST);
    cli_limit_files(60000);
    const struct cli_result *result =
        RUN("pretrain", CLI_DATA, "-o", "run", "-q", "-e", "2", "--resume");
    cli_limit_files(0);
    cli_expect_silent(result, 1);
    assert_non_null(strstr(result->err, "disk full"));
    cli_no_torn_files("run");
    assert_true(cli_hash("run" LAST) == before);
}

static void test_numbers_run_away(void **state)
{
    (void)state;
    cli_expect_refused(
        RUN("pretrain", CLI_DATA, "-o", "run", CLI_NET, "-e", "1", "--lr", "1e30"), 4,
        "step ");
    assert_false(cli_exists("run" LAST));
    cli_no_torn_files("run");
    cli_remove("run");
    /* With a checkpoint before it: that one stays. */
    const struct cli_result *result = RUN("pretrain", CLI_DATA, "-o", "run", CLI_NET,
                                          "-e", "1", "--lr", "1e30", "--save-steps", "1");
    cli_expect_refused(result, 4, "not finite");
    cli_no_torn_files("run");
    assert_true(cli_exists("run" LAST));
    int64_t reached = cli_last_step("run");
    cli_expect_steps("run", reached);
}

/* Black pictures are one picture, whatever the augmentation: the embeddings collapse,
 * which is said once, or ends the run on request. */
static void test_identical_pictures(void **state)
{
    char path[64];
    (void)state;
    for (int i = 0; i < 32; i++) {
        (void)snprintf(path, sizeof path, "black/%02d.ppm", i);
        cli_write_ppm(path, 16, 16, 0, 0, 0);
    }
#define BLACK "black", "-o", "run", CLI_NET, "-b", "16", "--image-size", "16", "-e", "20"
    const struct cli_result *result = RUN("pretrain", BLACK);
    cli_expect_silent(result, 0);
    const char *said = strstr(result->err, "collapsed");
    assert_non_null(said);
    assert_null(strstr(said + 1, "collapsed"));
    assert_int_equal(strncmp(result->err, "warning: ", 9), 0);
    cli_remove("run");
    cli_expect_refused(RUN("pretrain", BLACK, "--stop-on-collapse"), 4, "collapsed");
    /* A run that ends before so many lines says it at its end. */
    cli_remove("run");
    result = RUN("pretrain", BLACK, "--log-every", "20");
    cli_expect_silent(result, 0);
    said = strstr(result->err, "collapsed");
    assert_non_null(said);
    assert_null(strstr(said + 1, "collapsed"));
    /* Real pictures do not set it off. */
    cli_remove("run");
    result = RUN("pretrain", CLI_DATA, "-o", "run", CLI_NET, "-e", "4");
    cli_expect_silent(result, 0);
    assert_null(strstr(result->err, "collapsed"));
}

/* A discarded step is one warning, which says what was not finite. */
static void test_discarded_once(void **state)
{
    (void)state;
    const struct cli_result *result =
        RUN("pretrain", CLI_DATA, "-o", "run", CLI_NET, "-e", "1", "--lr", "1e30",
            "--warmup-epochs", "0", "--skip-nonfinite", "2");
    assert_int_equal(result->status, 4);
    int discarded = 0;
    for (const char *at = result->err; (at = strstr(at, "discarded")) != NULL; at++) {
        discarded++;
    }
    assert_int_equal(discarded, 2);
    assert_non_null(strstr(result->err, "is discarded (2 of 2 in a row)"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_other_architecture, fresh),
        cmocka_unit_test_setup(test_missing, fresh),
        cmocka_unit_test_setup(test_truncated, fresh),
        cmocka_unit_test_setup(test_bit_flipped, fresh),
        cmocka_unit_test_setup(test_damaged_own, fresh),
        cmocka_unit_test_setup(test_full_disk, fresh),
        cmocka_unit_test_setup(test_full_disk_later, fresh),
        cmocka_unit_test_setup(test_numbers_run_away, fresh),
        cmocka_unit_test_setup(test_identical_pictures, fresh),
        cmocka_unit_test_setup(test_discarded_once, fresh),
    };
    return cmocka_run_group_tests(tests, make_runs, NULL);
}
