/* SPDX-License-Identifier: MIT */
/*
 * Lines of a file: whole ones of any length up to the longest, whatever the file does
 * meanwhile. That it is cut shorter while it is read would end a process that had mapped
 * it. And parts of a file by their place.
 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char path[] = "base_lines.scratch";

static void put(const void *bytes, size_t count)
{
    struct sl_error err = {0};
    assert_int_equal(sl_file_write(&err, path, bytes, count), SL_OK);
}

static struct sl_line_reader *open_lines(int64_t longest)
{
    struct sl_error err = {0};
    struct sl_line_reader *reader = NULL;
    assert_int_equal(sl_lines_open(&err, SL_ERROR_DATA, path, longest, &reader), SL_OK);
    return reader;
}

static struct sl_line next(struct sl_line_reader *reader)
{
    struct sl_error err = {0};
    struct sl_line line;
    assert_int_equal(sl_lines_next(&err, reader, &line), SL_OK);
    return line;
}

static void expect(struct sl_line_reader *reader, const char *text, int64_t at)
{
    struct sl_line line = next(reader);
    assert_non_null(line.text);
    assert_int_equal(line.length, strlen(text));
    assert_memory_equal(line.text, text, strlen(text));
    assert_int_equal(sl_lines_at(reader), at);
}

static void expect_end(struct sl_line_reader *reader)
{
    assert_null(next(reader).text);
    assert_null(next(reader).text);
    sl_lines_close(reader);
}

static void test_lines(void **state)
{
    (void)state;
    put("one\n\nthree\r\ntorn", 16);
    struct sl_line_reader *reader = open_lines(100);
    expect(reader, "one", 4);
    expect(reader, "", 5);
    expect(reader, "three\r", 12);
    expect_end(reader);
    put("", 0);
    expect_end(open_lines(100));
    put("\n", 1);
    reader = open_lines(0);
    expect(reader, "", 1);
    expect_end(reader);
}

/* Longer than what is read at a time, as long as may be, and longer. */
static void test_long_lines(void **state)
{
    enum { FILL = 500000, LONGEST = 300000 };
    static char bytes[FILL];
    static const int64_t lengths[] = {3, LONGEST, LONGEST + 1, 5, 190000};
    int64_t at = 0;
    (void)state;
    memset(bytes, 'x', sizeof bytes);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    for (int i = 0; i < SL_COUNT(lengths); i++) {
        assert_int_equal(fwrite(bytes, 1, (size_t)lengths[i], file), lengths[i]);
        assert_int_equal(fputc('\n', file), '\n');
    }
    assert_int_equal(fclose(file), 0);
    struct sl_line_reader *reader = open_lines(LONGEST);
    for (int i = 0; i < SL_COUNT(lengths); i++) {
        struct sl_line line = next(reader);
        at += lengths[i] + 1;
        assert_int_equal(line.length, lengths[i] > LONGEST ? 0 : lengths[i]);
        assert_memory_equal(line.text, bytes, (size_t)line.length);
        assert_int_equal(sl_lines_at(reader), at);
    }
    expect_end(reader);
}

static void fill_lines(int n)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    for (int i = 0; i < n; i++) {
        assert_true(fprintf(file, "line %d of many, as a run writes them\n", i) > 0);
    }
    assert_int_equal(fclose(file), 0);
}

static void test_cut_while_read(void **state)
{
    struct sl_error err = {0};
    int n = 1;
    (void)state;
    fill_lines(50000);
    struct sl_line_reader *reader = open_lines(100);
    assert_non_null(next(reader).text);
    assert_int_equal(sl_file_truncate(&err, path, 10), SL_OK);
    for (struct sl_line line = next(reader); line.text != NULL; line = next(reader)) {
        assert_memory_equal(line.text, "line ", 5);
        n++;
    }
    assert_true(n < 50000); /* no more than had been read */
    expect_end(reader);
}

/* What was held when the file was cut is not the beginning of what is written after. */
static void test_cut_and_written_anew(void **state)
{
    struct sl_error err = {0};
    struct sl_file_log *log = NULL;
    (void)state;
    put("first\nhalf", 10);
    struct sl_line_reader *reader = open_lines(100);
    expect(reader, "first", 6);
    assert_null(next(reader).text);
    assert_int_equal(sl_file_truncate(&err, path, 0), SL_OK);
    assert_null(next(reader).text);
    assert_int_equal(sl_file_log_open(&err, path, &log), SL_OK);
    assert_int_equal(sl_file_log_line(&err, log, "0123456789ab"), SL_OK);
    assert_int_equal(sl_file_log_line(&err, log, "whole"), SL_OK);
    sl_file_log_close(log);
    expect(reader, "", 13); /* the rest of a line is none */
    expect(reader, "whole", 19);
    expect_end(reader);
}

static void test_grows_while_read(void **state)
{
    struct sl_error err = {0};
    struct sl_file_log *log = NULL;
    (void)state;
    put("first\nsec", 9);
    struct sl_line_reader *reader = open_lines(100);
    expect(reader, "first", 6);
    assert_int_equal(sl_file_log_open(&err, path, &log), SL_OK);
    assert_int_equal(sl_file_log_line(&err, log, "ond"), SL_OK);
    expect(reader, "second", 13);
    sl_file_log_close(log);
    expect_end(reader);
}

static void test_refused(void **state)
{
    struct sl_error err = {0};
    struct sl_line_reader *reader = NULL;
    (void)state;
    assert_int_equal(sl_lines_open(&err, SL_ERROR_DATA, "absent", 9, &reader),
                     SL_ERROR_DATA);
    assert_null(reader);
    assert_non_null(strstr(err.text, "absent"));
    sl_error_clear(&err);
    assert_int_equal(sl_lines_open(&err, SL_ERROR_RUN, ".", 9, &reader), SL_ERROR_RUN);
    sl_lines_close(NULL);
}

static void test_read_at(void **state)
{
    struct sl_error err = {0};
    char part[8] = {0};
    int64_t got = 0;
    (void)state;
    put("0123456789", 10);
    assert_int_equal(sl_file_read_at(&err, SL_ERROR_RUN, path, 3, 4, part, &got), SL_OK);
    assert_int_equal(got, 4);
    assert_memory_equal(part, "3456", 4);
    assert_int_equal(sl_file_read_at(&err, SL_ERROR_RUN, path, 8, 4, part, &got), SL_OK);
    assert_int_equal(got, 2);
    assert_int_equal(sl_file_read_at(&err, SL_ERROR_RUN, path, 99, 4, part, &got), SL_OK);
    assert_int_equal(got, 0);
    assert_int_equal(sl_file_read_at(&err, SL_ERROR_RUN, "absent", 0, 4, part, &got),
                     SL_ERROR_RUN);
}

static int clean(void **state)
{
    (void)state;
    (void)sl_file_remove(path);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_long_lines),
        cmocka_unit_test(test_cut_while_read),
        cmocka_unit_test(test_cut_and_written_anew),
        cmocka_unit_test(test_grows_while_read),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_read_at),
    };
    return cmocka_run_group_tests(tests, NULL, clean);
}
