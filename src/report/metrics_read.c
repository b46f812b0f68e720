/* SPDX-License-Identifier: MIT */
/*
 * Reads metric lines back as a table of columns. The file may be of any run, of one that
 * is still going, or damaged: a line that is none is left out and counted, and nothing in
 * the bytes is trusted before it was looked at. It may also be larger than memory: lines
 * come one by one, and when there are more of them than rows are wanted, a row holds what
 * several lines in a row have on the average.
 */
#include "report/report.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

enum { LINE_MOST = 1 << 20, ROWS_AT_FIRST = 256 };

/* What a row of several lines is put together from, column by column. */
struct sl_metric_group {
    double sum[SL_METRIC_COLUMNS_MOST];
    int64_t count[SL_METRIC_COLUMNS_MOST];
    int64_t n_lines;
    double last_step; /* of the table's last line; -1: has none */
};

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

static enum sl_status begin(struct sl_error *err, int64_t rows_most,
                            struct sl_metric_table *table)
{
    SL_ASSERT(rows_most >= 2 && rows_most % 2 == 0);
    *table = (struct sl_metric_table){.rows_most = rows_most, .stride = 1};
    table->room = rows_most < ROWS_AT_FIRST ? rows_most : ROWS_AT_FIRST;
    SL_TRY(sl_heap_alloc(err, "names of metrics", SL_METRIC_COLUMNS_MOST,
                         sizeof *table->names, &table->names));
    SL_TRY(sl_heap_alloc(err, "columns of metrics", SL_METRIC_COLUMNS_MOST,
                         sizeof *table->columns, &table->columns));
    SL_TRY(
        sl_heap_alloc(err, "a row of metrics", 1, sizeof *table->group, &table->group));
    table->group->last_step = -1.0;
    return SL_OK;
}

/* ---- rows -------------------------------------------------------------------------- */

static enum sl_status add_column(struct sl_error *err, struct sl_metric_table *table,
                                 const char *key)
{
    int i = table->n_columns;
    SL_TRY(sl_heap_alloc(err, "column of metrics", table->room, sizeof **table->columns,
                         &table->columns[i]));
    for (int64_t row = 0; row < table->n_rows; row++) {
        table->columns[i][row] = NAN;
    }
    (void)sl_text_copy(table->names[i], sizeof table->names[i], key);
    table->n_columns++;
    return SL_OK;
}

/* Where a row stands is where the last of its lines does. */
static bool is_place(const char *name)
{
    return strcmp(name, "step") == 0 || strcmp(name, "epoch") == 0;
}

/* Two neighbouring rows become one, so that there is room for as many again. */
static void halve_rows(struct sl_metric_table *table)
{
    table->n_rows /= 2;
    table->stride *= 2;
    for (int i = 0; i < table->n_columns; i++) {
        double *column = table->columns[i];
        bool places = is_place(table->names[i]);
        for (int64_t row = 0; row < table->n_rows; row++) {
            double a = column[2 * row];
            double b = column[2 * row + 1];
            column[row] = isnan(a) || (places && !isnan(b)) ? b
                          : isnan(b)                        ? a
                                                            : a / 2 + b / 2;
        }
    }
}

static enum sl_status double_room(struct sl_error *err, struct sl_metric_table *table)
{
    int64_t room =
        2 * table->room < table->rows_most ? 2 * table->room : table->rows_most;
    for (int i = 0; i < table->n_columns; i++) {
        double *larger = NULL;
        SL_TRY(sl_heap_alloc(err, "column of metrics", room, sizeof *larger, &larger));
        memcpy(larger, table->columns[i], (size_t)table->n_rows * sizeof *larger);
        sl_heap_free(table->columns[i]);
        table->columns[i] = larger;
    }
    table->room = room;
    return SL_OK;
}

/* The lines since the last row become one. */
static enum sl_status end_row(struct sl_error *err, struct sl_metric_table *table)
{
    struct sl_metric_group *group = table->group;
    if (table->n_rows == table->room && table->room < table->rows_most) {
        SL_TRY(double_room(err, table));
    }
    for (int i = 0; i < table->n_columns; i++) {
        table->columns[i][table->n_rows] =
            group->count[i] > 0 ? group->sum[i] / (double)group->count[i] : NAN;
        group->sum[i] = 0.0;
        group->count[i] = 0;
    }
    group->n_lines = 0;
    table->n_rows++;
    return SL_OK;
}

/* ---- lines ------------------------------------------------------------------------- */

/* Is it an object whose keys can all be columns, with a step above the last line's? */
static bool is_row(const struct sl_metric_table *table, json_t *root)
{
    const char *key = NULL;
    json_t *value = NULL;
    json_t *step = json_object_get(root, "step");
    int n_new = 0;
    if (!json_is_integer(step) || json_integer_value(step) < 0 ||
        (double)json_integer_value(step) <= table->group->last_step) {
        return false;
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
                              json_t *root)
{
    struct sl_metric_group *group = table->group;
    const char *key = NULL;
    json_t *value = NULL;
    /* Only now, when there is one row too many: as many as may be are kept apart. */
    if (group->n_lines == 0 && table->n_rows == table->rows_most) {
        halve_rows(table);
    }
    json_object_foreach(root, key, value)
    {
        int i = find_column(table, key);
        if (i < 0) {
            i = table->n_columns;
            SL_TRY(add_column(err, table, key));
        }
        if (json_is_number(value)) {
            bool places = is_place(key);
            group->sum[i] = json_number_value(value) + (places ? 0.0 : group->sum[i]);
            group->count[i] = places ? 1 : group->count[i] + 1;
        }
    }
    group->last_step = (double)json_integer_value(json_object_get(root, "step"));
    table->n_lines++;
    return ++group->n_lines == table->stride ? end_row(err, table) : SL_OK;
}

static enum sl_status add_line(struct sl_error *err, struct sl_metric_table *table,
                               const char *line, int64_t length)
{
    json_error_t problem;
    enum sl_status status = SL_OK;
    json_t *root = json_loadb(line, (size_t)length, 0, &problem);
    if (is_row(table, root)) {
        status = add_row(err, table, root);
    } else {
        table->n_left_out++;
    }
    json_decref(root);
    return status;
}

static enum sl_status end(struct sl_error *err, struct sl_metric_table *table)
{
    return table->group->n_lines > 0 ? end_row(err, table) : SL_OK;
}

enum sl_status sl_metric_table_parse(struct sl_error *err, const char *bytes,
                                     int64_t size, int64_t rows_most,
                                     struct sl_metric_table *table)
{
    SL_TRY(begin(err, rows_most, table));
    /* What stands behind the last newline is being written, or was torn. */
    for (int64_t at = 0; at < size;) {
        const char *line = bytes + at;
        const char *newline = memchr(line, '\n', (size_t)(size - at));
        if (newline == NULL) {
            break;
        }
        SL_TRY(add_line(err, table, line, newline - line));
        at += newline - line + 1;
    }
    return end(err, table);
}

enum sl_status sl_metric_table_read(struct sl_error *err, const char *path,
                                    int64_t rows_most, struct sl_metric_table *table)
{
    enum sl_status status = SL_OK;
    struct sl_line_reader *reader = NULL;
    struct sl_line line;
    SL_TRY_OUT(begin(err, rows_most, table));
    SL_TRY_OUT(sl_lines_open(err, SL_ERROR_DATA, path, LINE_MOST, &reader));
    for (;;) {
        SL_TRY_OUT(sl_lines_next(err, reader, &line));
        if (line.text == NULL) {
            break;
        }
        SL_TRY_OUT(add_line(err, table, line.text, line.length));
    }
    SL_TRY_OUT(end(err, table));
out:
    sl_lines_close(reader);
    return status;
}

void sl_metric_table_finish(struct sl_metric_table *table)
{
    for (int i = 0; table->columns != NULL && i < table->n_columns; i++) {
        sl_heap_free(table->columns[i]);
    }
    sl_heap_free(table->columns);
    sl_heap_free(table->names);
    sl_heap_free(table->group);
    *table = (struct sl_metric_table){0};
}
