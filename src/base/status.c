/* SPDX-License-Identifier: MIT */
/*
 * Status codes, the error record and the log: how a failure is recorded where it is
 * detected and carried up in words. This is not where messages are composed; who detects
 * a failure writes its sentence. Invariant: the first failure of an operation stays,
 * later ones are dropped. The log sink is the only global of the library besides the test
 * counters.
 */
#include "base/base.h"

#include <stdlib.h>
#include <string.h>

static sl_log_fn log_sink;
static void *log_context;

/* One line, printable: newlines and other control characters become spaces, so that
 * neither a strange file name nor a damaged file can steer the terminal. */
static void flatten(char *text)
{
    for (char *at = text; *at != '\0'; at++) {
        unsigned char c = (unsigned char)*at;
        if (c < 0x20 || c == 0x7f) {
            *at = ' ';
        }
    }
}

enum sl_status sl_error_set(struct sl_error *err, const char *file, int line,
                            enum sl_status status, const char *format, ...)
{
    SL_ASSERT(err != NULL);
    SL_ASSERT(status != SL_OK);
    if (err->status != SL_OK) {
        return err->status;
    }
    va_list args;
    va_start(args, format);
    int length = vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    if (length < 0) {
        sl_text_copy(err->text, sizeof err->text, "error message could not be formatted");
    }
    flatten(err->text);
    err->status = status;
    err->file = file;
    err->line = line;
    return status;
}

void sl_error_clear(struct sl_error *err)
{
    *err = (struct sl_error){0};
}

int sl_status_exit(enum sl_status status)
{
    switch (status) {
    case SL_OK:
        return 0;
    case SL_ERROR_RUN:
        return 1;
    case SL_ERROR_USAGE:
        return 2;
    case SL_ERROR_DATA:
        return 3;
    case SL_ERROR_NUMBERS:
        return 4;
    case SL_STOPPED:
        return 75;
    }
    return 1;
}

void sl_assert_failed(const char *condition, const char *file, int line)
{
    fprintf(stderr, "slimclr: bug: %s:%d: %s does not hold\n", file, line, condition);
    fflush(stderr);
    abort();
}

void sl_log_set(sl_log_fn sink, void *context)
{
    log_sink = sink;
    log_context = context;
}

void sl_log(enum sl_log_level level, const char *format, ...)
{
    if (log_sink == NULL) {
        return;
    }
    char line[2048];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (length < 0) {
        return;
    }
    flatten(line);
    log_sink(log_context, level, line);
}
