/* SPDX-License-Identifier: MIT */
/*
 * The error record keeps the first failure in one printable line, statuses become the
 * exit codes of the interface, and the log passes whole lines to its sink. Not tested
 * here: who uses them.
 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void first_failure_stays(void **state)
{
    (void)state;
    struct sl_error err = {0};
    assert_int_equal(SL_FAIL(&err, SL_ERROR_DATA, "%s: %d", "first", 1), SL_ERROR_DATA);
    assert_int_equal(SL_FAIL(&err, SL_ERROR_RUN, "second"), SL_ERROR_DATA);
    assert_string_equal(err.text, "first: 1");
    assert_int_equal(err.status, SL_ERROR_DATA);
    assert_non_null(strstr(err.file, "base_status.c"));
    assert_true(err.line > 0);
    sl_error_clear(&err);
    assert_int_equal(err.status, SL_OK);
    assert_int_equal(SL_FAIL(&err, SL_ERROR_RUN, "again"), SL_ERROR_RUN);
    assert_string_equal(err.text, "again");
}

static void message_is_one_printable_line(void **state)
{
    (void)state;
    struct sl_error err = {0};
    (void)SL_FAIL(&err, SL_ERROR_DATA, "a\nb\r\tc\033[2J %s", "d\n");
    assert_string_equal(err.text, "a b  c [2J d ");
}

static void long_message_is_cut(void **state)
{
    (void)state;
    char text[2 * SL_ERROR_TEXT_MAX];
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    struct sl_error err = {0};
    (void)SL_FAIL(&err, SL_ERROR_RUN, "%s", text);
    assert_int_equal(strlen(err.text), SL_ERROR_TEXT_MAX - 1);
}

static enum sl_status pass_on(struct sl_error *err, bool fail, int *reached)
{
    enum sl_status status = SL_OK;
    SL_TRY_OUT(fail ? SL_FAIL(err, SL_STOPPED, "stop") : SL_OK);
    *reached += 1;
out:
    *reached += 10;
    return status;
}

static enum sl_status pass_on_twice(struct sl_error *err, bool fail, int *reached)
{
    SL_TRY(pass_on(err, fail, reached));
    *reached += 100;
    return SL_OK;
}

static void failures_are_passed_on(void **state)
{
    (void)state;
    struct sl_error err = {0};
    int reached = 0;
    assert_int_equal(pass_on_twice(&err, false, &reached), SL_OK);
    assert_int_equal(reached, 111);
    reached = 0;
    assert_int_equal(pass_on_twice(&err, true, &reached), SL_STOPPED);
    assert_int_equal(reached, 10);
}

static void exit_codes(void **state)
{
    (void)state;
    assert_int_equal(sl_status_exit(SL_OK), 0);
    assert_int_equal(sl_status_exit(SL_ERROR_RUN), 1);
    assert_int_equal(sl_status_exit(SL_ERROR_USAGE), 2);
    assert_int_equal(sl_status_exit(SL_ERROR_DATA), 3);
    assert_int_equal(sl_status_exit(SL_ERROR_NUMBERS), 4);
    assert_int_equal(sl_status_exit(SL_STOPPED), 75);
}

struct heard {
    int n;
    enum sl_log_level level;
    char line[128];
};

static void hear(void *context, enum sl_log_level level, const char *line)
{
    struct heard *heard = context;
    heard->n++;
    heard->level = level;
    (void)sl_text_copy(heard->line, sizeof heard->line, line);
}

static void log_goes_to_the_sink(void **state)
{
    (void)state;
    struct heard heard = {0};
    sl_log(SL_LOG_INFO, "dropped");
    sl_log_set(hear, &heard);
    sl_log(SL_LOG_WARNING, "step %d\n", 7);
    sl_log_set(NULL, NULL);
    sl_log(SL_LOG_INFO, "dropped");
    assert_int_equal(heard.n, 1);
    assert_int_equal(heard.level, SL_LOG_WARNING);
    assert_string_equal(heard.line, "step 7 ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_failure_stays),
        cmocka_unit_test(message_is_one_printable_line),
        cmocka_unit_test(long_message_is_cut),
        cmocka_unit_test(failures_are_passed_on),
        cmocka_unit_test(exit_codes),
        cmocka_unit_test(log_goes_to_the_sink),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
