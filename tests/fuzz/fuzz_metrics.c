/* SPDX-License-Identifier: MIT */
/*
 * Fuzz target of metric lines read back, and of the figure they become. Rows have rising
 * steps; every line is in a row or was left out, also where rows are few; the figure
 * holds no number that is none.
 */
#include "draw/draw.h"
#include "report/report.h"

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void draw(const struct sl_metric_table *table, int column)
{
    struct sl_text svg = {0};
    const struct sl_series series = {.name = table->names[column],
                                     .n = table->n_rows,
                                     .x = sl_metric_table_column(table, "step"),
                                     .y = table->columns[column]};
    const struct sl_plot plot = {.id = "figure",
                                 .title = table->names[column],
                                 .x_name = "step",
                                 .y_name = "value",
                                 .is_log_y = column % 2 == 1,
                                 .series = &series,
                                 .n_series = 1};
    sl_plot_svg(&plot, true, &svg);
    SL_ASSERT(!svg.failed);
    SL_ASSERT(strstr(svg.text, "\"nan") == NULL && strstr(svg.text, "\"inf") == NULL &&
              strstr(svg.text, "\"-nan") == NULL && strstr(svg.text, "\"-inf") == NULL);
    sl_text_finish(&svg);
}

static void read_back(const uint8_t *bytes, size_t size, int64_t rows_most)
{
    struct sl_error err = {0};
    struct sl_metric_table table;
    int64_t n_lines = 0;
    for (size_t i = 0; i < size; i++) {
        n_lines += bytes[i] == '\n';
    }
    SL_ASSERT(sl_metric_table_parse(&err, (const char *)bytes, (int64_t)size, rows_most,
                                    &table) == SL_OK);
    SL_ASSERT(table.n_lines + table.n_left_out == n_lines);
    SL_ASSERT(table.n_rows <= rows_most &&
              table.n_rows == (table.n_lines + table.stride - 1) / table.stride);
    const double *step = sl_metric_table_column(&table, "step");
    for (int64_t i = 0; i < table.n_rows; i++) {
        SL_ASSERT(step[i] >= 0.0 && (i == 0 || step[i] > step[i - 1]));
    }
    for (int i = 0; i < table.n_columns && i < 8; i++) {
        draw(&table, i);
    }
    sl_metric_table_finish(&table);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    read_back(bytes, size, 1 << 16);
    read_back(bytes, size, 2);
    return 0;
}
