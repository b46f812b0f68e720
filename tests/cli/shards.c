/* SPDX-License-Identifier: MIT */
/*
 * `slimclr pack` on real photos: killed in between and gone on, the shards are those of
 * an uninterrupted packing, and a run trains from them and resumes in mid-epoch.
 */
#include "cli/clikit.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include <cmocka.h>

#define SMALL "--max-side", "96", "--limit", "400", "--shard-size", "400000", "-q"

static const char *photos;

static void wait_for(const char *path, pid_t child)
{
    const struct timespec pause = {.tv_nsec = 2000000};
    for (int i = 0; i < 60000 && !cli_exists(path); i++) {
        assert_int_equal(kill(child, 0), 0);
        (void)nanosleep(&pause, NULL);
    }
    assert_true(cli_exists(path));
}

static void test_killed_and_gone_on(void **state)
{
    (void)state;
    char left[64], right[64];
    int n = 0;
    cli_remove("shards");
    cli_expect_done(RUN("pack", photos, "-o", "shards/whole", SMALL, "-j", "1"));
    for (int round = 0; round < 3; round++) {
        (void)snprintf(left, sizeof left, "shards/cut-%06d.tar", round);
        pid_t child = START("pack", photos, "-o", "shards/cut", SMALL, "-j", "2");
        wait_for(left, child);
        (void)kill(child, SIGKILL);
        (void)cli_finish(child);
    }
    assert_false(cli_exists("shards/cut.bad_files.txt"));
    cli_expect_done(RUN("pack", photos, "-o", "shards/cut", SMALL, "-j", "2"));
    cli_no_torn_files("shards");
    for (;; n++) {
        (void)snprintf(left, sizeof left, "shards/whole-%06d.tar", n);
        (void)snprintf(right, sizeof right, "shards/cut-%06d.tar", n);
        if (!cli_exists(left)) {
            break;
        }
        cli_same_bytes(left, right);
    }
    assert_true(n > 4);
    assert_false(cli_exists(right));
    json_t *root = cli_json(RUN("pack", photos, "-o", "shards/cut", SMALL, "--json"));
    assert_int_equal(json_integer_value(json_object_get(root, "pictures")), 800);
    assert_int_equal(json_integer_value(json_object_get(root, "kept")), n);
    json_decref(root);
}

#define NET                                                                              \
    "-a", "resnet8-b16", "-w", "1,0.5", "-b", "32", "--image-size", "32", "-e", "1",     \
        "-q", "--log-every", "1"

/* 400 train pictures: 12 steps; stopped after 5 by their number and gone on. */
static void test_training_from_shards(void **state)
{
    (void)state;
    char name[64];
    int n = 0;
    for (;; n++) {
        (void)snprintf(name, sizeof name, "shards/whole-%06d.tar", n);
        if (!cli_exists(name)) {
            break;
        }
    }
    (void)snprintf(name, sizeof name, "shards/whole-{000000..%06d}.tar", n - 1);
    cli_remove("whole");
    cli_remove("half");
    cli_expect_done(RUN("pretrain", name, "-o", "whole", NET));
    cli_expect_steps("whole", 12);
    pid_t child = START("pretrain", name, "-o", "half", NET, "--save-steps", "1");
    cli_wait_for_step("half", 4, child);
    (void)kill(child, SIGKILL);
    (void)cli_finish(child);
    cli_expect_done(RUN("pretrain", name, "-o", "half", NET, "--save-steps", "1",
                        "--resume", "-j", "3"));
    cli_expect_steps("half", 12);
    cli_same_bytes("whole/checkpoints/last.safetensors",
                   "half/checkpoints/last.safetensors");
    json_t *root =
        cli_json(RUN("eval", "knn", "whole", name, "--json", "-q", "--limit", "200"));
    assert_int_equal(json_integer_value(json_object_get(root, "n_test")), 400);
    json_decref(root);
}

static void test_refused(void **state)
{
    (void)state;
    cli_expect_refused(RUN("pack", photos), 2, "-o");
    cli_expect_refused(RUN("pack", "-o", "x"), 2, "DATA");
    cli_expect_refused(RUN("pack", "not-there", "-o", "x"), 3, "not-there");
    cli_expect_refused(RUN("pack", photos, "-o", "x", "--quality", "101"), 2,
                       "--quality");
    cli_expect_refused(RUN("pack", photos, "-o", "x", "--alpha-on", "purple"), 2,
                       "alpha-on");
    cli_write("plain", "x", 1);
    cli_expect_refused(RUN("pack", photos, "-o", "plain/x", "--limit", "2", "-q"), 1,
                       "plain");
    cli_remove("tight");
    cli_limit_files(100000);
    cli_expect_refused(RUN("pack", photos, "-o", "tight/x", SMALL), 1, "disk full");
    cli_limit_files(0);
    assert_false(cli_exists("tight/x-000000.tar"));
    cli_no_torn_files("tight");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_killed_and_gone_on),
        cmocka_unit_test(test_training_from_shards),
        cmocka_unit_test(test_refused),
    };
    photos = cli_unpacked("imagenette-224");
    const struct cli_result *formats = RUN("list", "formats");
    if (photos == NULL || strstr(formats->out, "(WebDataset) (not") != NULL) {
        print_message("skipped: no imagenette-224 (set SLIMCLR_TEST_DATA), or no tar in "
                      "this build\n");
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
