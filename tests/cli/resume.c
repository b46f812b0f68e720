/* SPDX-License-Identifier: MIT */
/*
 * A run that is cut off, by SIGKILL or by a polite signal, and goes on, ends with the
 * same bytes as one that never stopped; so does one with other numbers of loader workers,
 * and one made again from the written config.ini.
 */
#include "cli/clikit.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define LAST "/checkpoints/last.safetensors"
#define MIDDLE "=run/checkpoints/epoch=0001-step=00000008.safetensors" /* of --resume */
/* 3 epochs of 40 steps; the second width joins in the middle of the second epoch. The net
 * is wide enough for a step to take longer than the look at its metrics. */
#define LONG_DATA "synthetic:size=24,n=640,test=10"
#define LONG_RUN                                                                         \
    LONG_DATA, "-a", "resnet8-b16", "-w", "1,0.5", "-b", "16", "-q", "--log-every", "1", \
        "-e", "3", "--slow-start", "50%", "--save-steps", "10", "--moco-k", "64"

enum { STEPS = 120, JOIN = 60 };

/* The run that never stopped. */
static int whole_run(void **state)
{
    (void)state;
    cli_remove("whole");
    cli_expect_done(RUN("pretrain", LONG_RUN, "-o", "whole"));
    cli_expect_steps("whole", STEPS);
    return 0;
}

static int fresh(void **state)
{
    (void)state;
    cli_remove("run");
    return 0;
}

static void expect_as_whole(void)
{
    cli_same_bytes("run" LAST, "whole" LAST);
    cli_expect_steps("run", STEPS);
    cli_no_torn_files("run");
}

/* Killed without warning three times: before the first checkpoint, between two
 * checkpoints within an epoch, and after the second width joined. */
static void test_killed(void **state)
{
    static const int64_t at[] = {5, 27, JOIN + 6};
    (void)state;
    for (size_t i = 0; i < sizeof at / sizeof at[0]; i++) {
        pid_t child = i == 0 ? START("pretrain", LONG_RUN, "-o", "run")
                             : START("pretrain", LONG_RUN, "-o", "run", "--resume");
        cli_wait_for_step("run", at[i], child);
        assert_int_equal(kill(child, SIGKILL), 0);
        const struct cli_result *result = cli_finish(child);
        assert_int_equal(result->signal, SIGKILL);
        assert_true(cli_last_step("run") < STEPS);
    }
    cli_expect_done(RUN("pretrain", LONG_RUN, "-o", "run", "--resume"));
    expect_as_whole();
    /* Nothing is left to do, and nothing is done. */
    cli_expect_done(RUN("pretrain", "-o", "run", "--resume", "-q"));
    expect_as_whole();
}

/* SIGTERM, SIGINT and SIGUSR1 finish the step, save, and exit 75; resuming needs no word
 * but the directory. */
static void test_stopped(void **state)
{
    static const int signals[] = {SIGTERM, SIGINT, SIGUSR1};
    (void)state;
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        pid_t child = i == 0 ? START("pretrain", LONG_RUN, "-o", "run")
                             : START("pretrain", "-o", "run", "-q", "--resume");
        cli_wait_for_step("run", 9 + 22 * (int64_t)i, child);
        assert_int_equal(kill(child, signals[i]), 0);
        cli_expect_refused(cli_finish(child), 75, "--resume");
        assert_true(cli_exists("run" LAST));
        assert_true(cli_last_step("run") < STEPS);
        cli_no_torn_files("run");
    }
    cli_expect_done(RUN("pretrain", "-o", "run", "-q", "--resume"));
    expect_as_whole();
}

/* 50 steps go past the end of an epoch and of the slow start. */
static void test_workers(void **state)
{
    static const char *const workers[] = {"1", "2", "4"};
    (void)state;
    cli_expect_done(
        RUN("pretrain", LONG_RUN, "-o", "run", "--slow-start", "20%", "--steps", "50"));
    uint64_t first = cli_hash("run" LAST);
    for (size_t i = 0; i < sizeof workers / sizeof workers[0]; i++) {
        cli_expect_done(RUN("pretrain", LONG_RUN, "-o", "run", "--slow-start", "20%",
                            "--steps", "50", "--overwrite", "-j", workers[i], "--keep",
                            "0"));
        cli_expect_steps("run", 50);
        assert_true(cli_hash("run" LAST) == first);
    }
}

/* The written settings are a configuration of their own; another seed is another run. */
static void test_written_config(void **state)
{
    (void)state;
    cli_expect_done(RUN("pretrain", "--config", "whole/config.ini", "-o", "run"));
    expect_as_whole();
    /* A number that was worked out, 5 % of three epochs, looks written. */
    char *config = (char *)cli_read("run/config.ini", NULL);
    assert_non_null(strstr(config, "\nwarmup-epochs = 0.15\n"));
    cli_free(config);
    cli_remove("run");
    /* Its slow start is in epochs, so that a shorter run is told to choose another. */
    cli_expect_refused(
        RUN("pretrain", "--config", "whole/config.ini", "-o", "run", "--steps", "20"), 2,
        "--slow-start 1.5");
    cli_expect_done(RUN("pretrain", "--config", "whole/config.ini", "-o", "run", "--seed",
                        "1", "--steps", "20", "--slow-start", "50%"));
    cli_expect_done(
        RUN("pretrain", LONG_RUN, "-o", "run", "--overwrite", "--steps", "20"));
    uint64_t zero = cli_hash("run" LAST);
    cli_expect_done(RUN("pretrain", LONG_RUN, "-o", "run", "--overwrite", "--steps", "20",
                        "--seed", "1"));
    assert_true(cli_hash("run" LAST) != zero);
}

/* A run that was begun when there was no lighting yet goes on without it. */
static void test_older_config(void **state)
{
    static const char line[] = "\naug-lighting = 0\n";
    (void)state;
    cli_expect_done(RUN("pretrain", CLI_DATA, CLI_NET, "-o", "run", "--method",
                        "supervised", "--aug-lighting", "0", "-e", "2", "--save-every",
                        "1", "--keep", "2"));
    cli_copy("run" LAST, "unlit.safetensors", -1);
    char *config = (char *)cli_read("run/config.ini", NULL);
    char *at = strstr(config, line);
    assert_non_null(at);
    memmove(at, at + sizeof line - 2, strlen(at + sizeof line - 2) + 1);
    cli_write("run/config.ini", config, strlen(config));
    cli_free(config);
    cli_expect_refused(
        RUN("pretrain", "-o", "run", "-q", "--resume" MIDDLE, "--aug-lighting", "0.1"), 2,
        "the run being resumed has 0;");
    cli_expect_done(RUN("pretrain", "-o", "run", "-q", "--resume" MIDDLE));
    cli_same_bytes("run" LAST, "unlit.safetensors");
    cli_remove("unlit.safetensors");
    config = (char *)cli_read("run/config.ini", NULL);
    assert_non_null(strstr(config, line));
    cli_free(config);
}

/* --resume where nothing is yet starts afresh; more epochs are taken, aloud. */
static void test_resume_edges(void **state)
{
    (void)state;
    cli_expect_done(
        RUN("pretrain", CLI_DATA, "-o", "run", CLI_NET, "-e", "1", "--resume"));
    cli_expect_steps("run", 8);
    const struct cli_result *result =
        RUN("pretrain", CLI_DATA, "-o", "run", "-q", "-e", "2", "--resume");
    cli_expect_silent(result, 0);
    assert_non_null(strstr(result->err, "schedule changes"));
    cli_expect_steps("run", 16);
    /* The untrained checkpoint. */
    cli_remove("run");
    cli_expect_done(RUN("pretrain", CLI_DATA, "-o", "run", CLI_NET, "-e", "0"));
    assert_true(cli_exists("run" LAST));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_killed, fresh),
        cmocka_unit_test_setup(test_stopped, fresh),
        cmocka_unit_test_setup(test_workers, fresh),
        cmocka_unit_test_setup(test_written_config, fresh),
        cmocka_unit_test_setup(test_older_config, fresh),
        cmocka_unit_test_setup(test_resume_edges, fresh),
    };
    return cmocka_run_group_tests(tests, whole_run, NULL);
}
