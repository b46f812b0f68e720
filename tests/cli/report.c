/* SPDX-License-Identifier: MIT */
/*
 * What a run leaves for people to look at: event files for TensorBoard, and the report
 * page.
 */
#include "cli/clikit.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* Event files in the run's folder, and their bytes together. */
static int count_events(const char *run, int64_t *bytes)
{
    int n = 0;
    *bytes = 0;
    DIR *folder = opendir(run);
    assert_non_null(folder);
    for (struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        if (strncmp(entry->d_name, "events.out.tfevents.", 20) == 0) {
            char path[512];
            int64_t size = 0;
            (void)snprintf(path, sizeof path, "%s/%s", run, entry->d_name);
            cli_free(cli_read(path, &size));
            *bytes += size;
            n++;
        }
    }
    (void)closedir(folder);
    return n;
}

/* A record of one width is as long as another: what a resumed run cuts off and writes
 * anew adds nothing but the version at the head of its own file. */
static void test_events(void **state)
{
    enum { VERSION = 40 };
    int64_t once = 0, twice = 0;
    (void)state;
    cli_remove("events");
    cli_expect_done(RUN("pretrain", CLI_DATA, "-o", "events", CLI_NET, "-e", "2",
                        "--slow-start", "0", "--keep", "2"));
    assert_int_equal(count_events("events", &once), 1);
    assert_true(once > 16 * 100);
    cli_expect_done(RUN("pretrain", "-o", "events", "-q",
                        "--resume=events/checkpoints/"
                        "epoch=0001-step=00000008.safetensors"));
    assert_int_equal(count_events("events", &twice), 2);
    assert_int_equal(twice, once + VERSION);
    cli_expect_done(RUN("pretrain", CLI_DATA, "-o", "events", CLI_NET, "--steps", "1",
                        "--no-tensorboard", "--overwrite"));
    assert_int_equal(count_events("events", &once), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_events),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
