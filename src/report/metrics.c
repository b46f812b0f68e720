/* SPDX-License-Identifier: MIT */
/*
 * Metric lines in two files with the same numbers: metrics.jsonl (an object a line) and
 * metrics.csv (one column a key). On resume the first is cut back to the checkpoint's
 * step, so that no step stands twice, and the second is made anew from it, so that they
 * agree whatever a killed run left.
 */
#include "report/report.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

enum { PATH_LENGTH = 4096, DIGITS = 9 /* a float has no more */ };
static const int64_t LINE_MOST = (int64_t)64 << 20;

struct sl_metrics {
    struct sl_file_log *json, *csv;
    char **columns;
    int n_columns;
};

/* Integers as integers, others with nine digits; "" where a value is not finite. */
static void format_value(double value, char *dst, size_t size)
{
    if (!isfinite(value)) {
        dst[0] = '\0';
    } else if (value == floor(value) && fabs(value) < 1e15) {
        (void)snprintf(dst, size, "%.0f", value);
    } else {
        sl_format_digits(dst, size, value, DIGITS);
    }
}

/* Step of a line, or -1 when it has none that can be read. */
static int64_t json_step(const char *line, size_t length)
{
    json_error_t problem;
    json_t *root = json_loadb(line, length, 0, &problem);
    json_t *step = json_object_get(root, "step");
    int64_t value = json_is_integer(step) ? json_integer_value(step) : -1;
    json_decref(root);
    return value;
}

enum sl_status sl_lines_cut(struct sl_error *err, const char *path, int64_t through,
                            int64_t *kept)
{
    enum sl_status status = SL_OK;
    struct sl_line_reader *reader = NULL;
    int64_t keep = 0;
    *kept = 0;
    if (sl_path_kind(path) == SL_PATH_MISSING) {
        return SL_OK;
    }
    SL_TRY_OUT(sl_lines_open(err, SL_ERROR_RUN, path, LINE_MOST, &reader));
    for (;;) {
        struct sl_line line;
        SL_TRY_OUT(sl_lines_next(err, reader, &line));
        int64_t step = line.text != NULL ? json_step(line.text, (size_t)line.length) : -1;
        if (step < 0 || step > through) {
            break;
        }
        keep = sl_lines_at(reader);
        ++*kept;
    }
    SL_TRY_OUT(sl_file_truncate(err, path, keep));
out:
    sl_lines_close(reader);
    return status;
}

static void add_head(const struct sl_metrics *metrics, struct sl_text *text)
{
    for (int i = 0; i < metrics->n_columns; i++) {
        sl_text_add(text, "%s%s", i > 0 ? "," : "", metrics->columns[i]);
    }
    sl_text_add(text, "\n");
}

/* One JSON line as a line of the table; numbers print as they were written. */
static void add_row(const struct sl_metrics *metrics, const char *line, size_t length,
                    struct sl_text *text)
{
    json_error_t problem;
    char number[64];
    json_t *root = json_loadb(line, length, 0, &problem);
    for (int i = 0; i < metrics->n_columns; i++) {
        json_t *value = json_object_get(root, metrics->columns[i]);
        number[0] = '\0';
        if (json_is_number(value)) {
            format_value(json_number_value(value), number, sizeof number);
        }
        sl_text_add(text, "%s%s", i > 0 ? "," : "", number);
    }
    sl_text_add(text, "\n");
    json_decref(root);
}

/* Writes what was put into the text, and empties it. */
static enum sl_status write_text(struct sl_error *err, struct sl_file_writer *writer,
                                 const char *path, struct sl_text *text)
{
    enum sl_status status =
        text->failed ? SL_FAIL(err, SL_ERROR_RUN,
                               "%s: out of memory for a line of the table", path)
                     : sl_file_writer_write(err, writer, text->text, text->length);
    sl_text_finish(text);
    return status;
}

/* Writes the table of what the JSON lines hold, of which one at a time is in memory. */
static enum sl_status make_table(struct sl_error *err, const struct sl_metrics *metrics,
                                 const char *json, const char *csv)
{
    enum sl_status status = SL_OK;
    struct sl_line_reader *reader = NULL;
    struct sl_file_writer *writer = NULL;
    struct sl_line line = {0};
    struct sl_text text = {0};
    SL_TRY_OUT(sl_file_writer_begin(err, csv, &writer));
    add_head(metrics, &text);
    SL_TRY_OUT(write_text(err, writer, csv, &text));
    if (sl_path_kind(json) != SL_PATH_MISSING) {
        SL_TRY_OUT(sl_lines_open(err, SL_ERROR_RUN, json, LINE_MOST, &reader));
        SL_TRY_OUT(sl_lines_next(err, reader, &line));
    }
    while (line.text != NULL) {
        add_row(metrics, line.text, (size_t)line.length, &text);
        SL_TRY_OUT(write_text(err, writer, csv, &text));
        SL_TRY_OUT(sl_lines_next(err, reader, &line));
    }
    SL_TRY_OUT(sl_file_writer_commit(err, writer));
    writer = NULL;
out:
    sl_file_writer_abort(writer);
    sl_lines_close(reader);
    return status;
}

static enum sl_status keep_columns(struct sl_error *err, struct sl_metrics *metrics,
                                   const char *const *columns, int n_columns)
{
    SL_TRY(sl_heap_alloc(err, "metric columns", n_columns, sizeof *metrics->columns,
                         &metrics->columns));
    metrics->n_columns = n_columns;
    for (int i = 0; i < n_columns; i++) {
        size_t size = strlen(columns[i]) + 1;
        SL_TRY(
            sl_heap_alloc(err, "metric column", (int64_t)size, 1, &metrics->columns[i]));
        memcpy(metrics->columns[i], columns[i], size);
    }
    return SL_OK;
}

enum sl_status sl_metrics_open(struct sl_error *err, const char *directory,
                               const char *const *columns, int n_columns,
                               int64_t keep_through, struct sl_metrics **metrics)
{
    enum sl_status status = SL_OK;
    struct sl_metrics *made = NULL;
    char json[PATH_LENGTH];
    char csv[PATH_LENGTH];
    *metrics = NULL;
    if (!sl_path_join(json, sizeof json, directory, "metrics.jsonl") ||
        !sl_path_join(csv, sizeof csv, directory, "metrics.csv")) {
        return SL_FAIL(err, SL_ERROR_RUN, "%.80s…: the path is too long", directory);
    }
    SL_TRY_OUT(sl_heap_alloc(err, "metrics", 1, sizeof *made, &made));
    SL_TRY_OUT(keep_columns(err, made, columns, n_columns));
    if (keep_through < 0) {
        (void)sl_file_remove(json);
    } else {
        int64_t kept = 0;
        SL_TRY_OUT(sl_lines_cut(err, json, keep_through, &kept));
    }
    SL_TRY_OUT(make_table(err, made, json, csv));
    SL_TRY_OUT(sl_file_log_open(err, json, &made->json));
    SL_TRY_OUT(sl_file_log_open(err, csv, &made->csv));
    *metrics = made;
    made = NULL;
out:
    sl_metrics_close(made);
    return status;
}

static const struct sl_metric *find(const struct sl_metric *values, int n,
                                    const char *key)
{
    for (int i = 0; i < n; i++) {
        if (strcmp(values[i].key, key) == 0) {
            return &values[i];
        }
    }
    return NULL;
}

enum sl_status sl_metrics_write(struct sl_error *err, struct sl_metrics *metrics,
                                const struct sl_metric *values, int n)
{
    struct sl_text json = {0};
    struct sl_text csv = {0};
    enum sl_status status = SL_OK;
    char number[64];
    int found = 0;
    sl_text_add(&json, "{");
    for (int i = 0; i < metrics->n_columns; i++) {
        const struct sl_metric *value = find(values, n, metrics->columns[i]);
        number[0] = '\0';
        if (value != NULL) {
            format_value(value->value, number, sizeof number);
            sl_text_add(&json, "%s\"%s\":%s", found > 0 ? "," : "", metrics->columns[i],
                        number[0] != '\0' ? number : "null");
            found++;
        }
        sl_text_add(&csv, "%s%s", i > 0 ? "," : "", number);
    }
    sl_text_add(&json, "}");
    SL_ASSERT(found == n);
    if (json.failed || csv.failed) {
        status = SL_FAIL(err, SL_ERROR_RUN, "metrics: out of memory for a line");
        goto out;
    }
    SL_TRY_OUT(sl_file_log_line(err, metrics->json, json.text));
    SL_TRY_OUT(sl_file_log_line(err, metrics->csv, csv.text));
out:
    sl_text_finish(&json);
    sl_text_finish(&csv);
    return status;
}

void sl_metrics_close(struct sl_metrics *metrics)
{
    if (metrics == NULL) {
        return;
    }
    for (int i = 0; metrics->columns != NULL && i < metrics->n_columns; i++) {
        sl_heap_free(metrics->columns[i]);
    }
    sl_heap_free(metrics->columns);
    sl_file_log_close(metrics->json);
    sl_file_log_close(metrics->csv);
    sl_heap_free(metrics);
}
