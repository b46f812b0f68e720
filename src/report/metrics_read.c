/* SPDX-License-Identifier: MIT */
/*
 * Reads metric lines back as a table of columns. The file may be of any run, of one that
 * is still going, or damaged: a line that is none is left out and counted, and nothing in
 * the bytes is trusted before it was looked at.
 */
#include "report/report.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

static const int64_t FILE_MOST = (int64_t)256 << 20;

static int find_column(const struct sl_metric_table *table, const char *key)
{
    for (int i = 0; i < table->n_columns; i++) {
        if (strcmp(table->names[i], key) == 0) {
            return i;
        }
    }
    return -1;
}

const double *sl_metric_table_column(const struct sl_metric_table *table, const char *key)
{
    int i = find_column(table, key);
    return i < 0 ? NULL : table->columns[i];
}

static enum sl_status add_column(struct sl_error *err, struct sl_metric_table *table,
                                 const char *key, int64_t capacity)
{
    int i = table->n_columns;
    SL_TRY(sl_heap_alloc(err, "column of metrics", capacity, sizeof **table->columns,
                         &table->columns[i]));
    for (int64_t row = 0; row < capacity; row++) {
        table->columns[i][row] = NAN;
    }
    (void)sl_text_copy(table->names[i], sizeof table->names[i], key);
    table->n_columns++;
    return SL_OK;
}

/* Is it an object whose keys can all be columns, with a step above the last row's? */
static bool is_row(const struct sl_metric_table *table, json_t *root)
{
    const char *key = NULL;
    json_t *value = NULL;
    json_t *step = json_object_get(root, "step");
    int n_new = 0;
    if (!json_is_integer(step) || json_integer_value(step) < 0) {
        return false;
    }
    if (table->n_rows > 0) {
        double last = sl_metric_table_column(table, "step")[table->n_rows - 1];
        if ((double)json_integer_value(step) <= last) {
            return false;
        }
    }
    json_object_foreach(root, key, value)
    {
        if (strlen(key) >= sizeof table->names[0]) {
            return false;
        }
        n_new += find_column(table, key) < 0;
    }
    return table->n_columns + n_new <= SL_METRIC_COLUMNS_MOST;
}

static enum sl_status add_row(struct sl_error *err, struct sl_metric_table *table,
                              json_t *root, int64_t capacity)
{
    const char *key = NULL;
    json_t *value = NULL;
    json_object_foreach(root, key, value)
    {
        int i = find_column(table, key);
        if (i < 0) {
            i = table->n_columns;
            SL_TRY(add_column(err, table, key, capacity));
        }
        if (json_is_number(value)) {
            table->columns[i][table->n_rows] = json_number_value(value);
        }
    }
    table->n_rows++;
    return SL_OK;
}

enum sl_status sl_metric_table_parse(struct sl_error *err, const char *bytes,
                                     int64_t size, struct sl_metric_table *table)
{
    int64_t n_lines = 0;
    *table = (struct sl_metric_table){0};
    for (int64_t i = 0; i < size; i++) {
        n_lines += bytes[i] == '\n';
    }
    SL_TRY(sl_heap_alloc(err, "names of metrics", SL_METRIC_COLUMNS_MOST,
                         sizeof *table->names, &table->names));
    SL_TRY(sl_heap_alloc(err, "columns of metrics", SL_METRIC_COLUMNS_MOST,
                         sizeof *table->columns, &table->columns));
    /* What stands behind the last newline is being written, or was torn. */
    for (int64_t at = 0; n_lines > 0 && at < size;) {
        const char *line = bytes + at;
        const char *end = memchr(line, '\n', (size_t)(size - at));
        json_error_t problem;
        enum sl_status status = SL_OK;
        if (end == NULL) {
            break;
        }
        json_t *root = json_loadb(line, (size_t)(end - line), 0, &problem);
        if (is_row(table, root)) {
            status = add_row(err, table, root, n_lines);
        } else {
            table->n_left_out++;
        }
        json_decref(root);
        SL_TRY(status);
        at += end - line + 1;
    }
    return SL_OK;
}

enum sl_status sl_metric_table_read(struct sl_error *err, const char *path,
                                    struct sl_metric_table *table)
{
    unsigned char *bytes = NULL;
    int64_t size = 0;
    *table = (struct sl_metric_table){0};
    SL_TRY(sl_file_read(err, SL_ERROR_RUN, path, FILE_MOST, &bytes, &size));
    enum sl_status status = sl_metric_table_parse(err, (const char *)bytes, size, table);
    sl_heap_free(bytes);
    return status;
}

void sl_metric_table_finish(struct sl_metric_table *table)
{
    for (int i = 0; table->columns != NULL && i < table->n_columns; i++) {
        sl_heap_free(table->columns[i]);
    }
    sl_heap_free(table->columns);
    sl_heap_free(table->names);
    *table = (struct sl_metric_table){0};
}
