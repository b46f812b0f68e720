/* SPDX-License-Identifier: MIT */
/*
 * Event files as TensorBoard reads them: a run that was resumed, written here and read
 * with Python's tensorboard package (report_second_opinion.py, which holds the same
 * formulas). Without Python or the package it is skipped: exit status 77.
 */
#include "report/report.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { SKIPPED = 77, NOT_STARTED = 127 };

static int reader_status;

static void write_steps(int64_t keep_through, int from, int to)
{
    struct sl_error err = {0};
    struct sl_events *events = NULL;
    if (sl_events_open(&err, "events", keep_through, &events) != SL_OK) {
        fail_msg("%s", err.text);
    }
    for (int step = from; step <= to; step++) {
        const struct sl_metric values[] = {
            {"step", step}, {"loss", 0.5 * step}, {"emb_std/w0.50", 0.125 * step}};
        assert_int_equal(sl_events_write(&err, events, values, SL_COUNT(values)), SL_OK);
    }
    sl_events_close(events);
}

/* Runs the script; its exit status, or that of a command that could not be started. */
static int run_reader(void)
{
    const char *source = getenv("SLIMCLR_SOURCE");
    char script[1024];
    int state = 0;
    if (source == NULL || !sl_path_join(script, sizeof script, source,
                                        "tests/unit/report_second_opinion.py")) {
        fail_msg("SLIMCLR_SOURCE is not set; run the tests by ctest");
    }
    pid_t child = fork();
    if (child == 0) {
        (void)execlp("python3", "python3", script, "events", (char *)NULL);
        _exit(NOT_STARTED);
    }
    assert_true(child > 0 && waitpid(child, &state, 0) == child && WIFEXITED(state));
    return WEXITSTATUS(state);
}

static void test_second_reader(void **state)
{
    struct sl_error err = {0};
    (void)state;
    assert_int_equal(sl_dir_create(&err, "events"), SL_OK);
    write_steps(-1, 1, 7);
    write_steps(5, 6, 9);
    reader_status = run_reader();
    if (reader_status == SKIPPED || reader_status == NOT_STARTED) {
        skip();
    }
    assert_int_equal(reader_status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_second_reader)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return failed == 0 && reader_status != 0 ? SKIPPED : failed;
}
