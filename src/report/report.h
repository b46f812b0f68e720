/* SPDX-License-Identifier: MIT */
/*
 * report: what a run says about itself in files. Metric lines: one JSON object a line,
 * append-only, with a CSV twin and TensorBoard's event files; all keep exactly the lines
 * up to the step a run resumes from. And what a page about it needs: metric lines read
 * back, the page's frame. Figures are in draw; what a page says is put together in api.
 */
#ifndef SRC_REPORT_REPORT_H
#define SRC_REPORT_REPORT_H

#include "base/base.h"
#include "tensor/tensor.h"

/* ---- metric lines (metrics.c) ------------------------------------------------------ */

struct sl_metric {
    char key[48];
    double value; /* not finite: JSON null, empty in CSV */
};
struct sl_metrics;
/* Opens DIR/metrics.jsonl and metrics.csv, whose columns are `columns` in that order.
 * `keep_through` < 0: new files; else lines whose "step" is greater are cut off (a torn
 * last line too), and writing goes on behind. */
enum sl_status sl_metrics_open(struct sl_error *err, const char *directory,
                               const char *const *columns, int n_columns,
                               int64_t keep_through, struct sl_metrics **metrics);
/* One line; keys must be among the columns; integers are printed as integers, others with
 * 9 significant digits at most. Flushed. */
enum sl_status sl_metrics_write(struct sl_error *err, struct sl_metrics *metrics,
                                const struct sl_metric *values, int n);
void sl_metrics_close(struct sl_metrics *metrics);
/* Cuts a file of JSON lines back to its whole lines whose "step" is not greater than
 * `through`, and says how many those are; lines behind the first one that cannot be read
 * are lost. A file that is not there has none. */
enum sl_status sl_lines_cut(struct sl_error *err, const char *path, int64_t through,
                            int64_t *kept);

/* ---- TensorBoard's event files (tfevents.c) ---------------------------------------- */

struct sl_events;
/* A new file events.out.tfevents.SECONDS.HOST.PID.0 in the directory, behind those that
 * are there. Those are removed when keep_through < 0, else their records of a greater
 * step (and what is torn) are cut off. */
enum sl_status sl_events_open(struct sl_error *err, const char *directory,
                              int64_t keep_through, struct sl_events **events);
/* One event with all the values but "step", which is its step. Flushed. */
enum sl_status sl_events_write(struct sl_error *err, struct sl_events *events,
                               const struct sl_metric *values, int n);
void sl_events_close(struct sl_events *events);
/* Removes the event files of a directory that is there. */
enum sl_status sl_events_clear(struct sl_error *err, const char *directory);
/* The bytes at the head of an event file that are whole records of steps up to
 * `through`. */
int64_t sl_events_keep(const unsigned char *bytes, int64_t size, int64_t through);

/* ---- reading metric lines (metrics_read.c) ----------------------------------------- */

enum { SL_METRIC_COLUMNS_MOST = 256 };

/* Columns in the order in which keys first came; NaN where a line has no number. */
struct sl_metric_table {
    int64_t n_rows;
    int n_columns;
    char (*names)[48];
    double **columns;   /* (n_rows) each */
    int64_t n_lines;    /* that the rows are made of */
    int64_t stride;     /* lines of a row (of the last, perhaps fewer): the mean of what
                           they have; "step" and "epoch" are those of the last line */
    int64_t n_left_out; /* lines that are no metric line, or whose step does not rise */
    /* the reader's own */
    int64_t room, rows_most;
    struct sl_metric_group *group;
};
/* Whole lines only: what stands behind the last newline is being written. A line is a row
 * as long as there are no more than rows_most (even), else two lines, or four, … are, so
 * that memory stays the same however many there are; a file is not held as a whole, and
 * may change meanwhile. For lack of memory both fail with SL_ERROR_RUN, and a file that
 * cannot be read is SL_ERROR_DATA. The table is the caller's to finish, after a failure
 * too. */
enum sl_status sl_metric_table_parse(struct sl_error *err, const char *bytes,
                                     int64_t size, int64_t rows_most,
                                     struct sl_metric_table *table);
enum sl_status sl_metric_table_read(struct sl_error *err, const char *path,
                                    int64_t rows_most, struct sl_metric_table *table);
void sl_metric_table_finish(struct sl_metric_table *table);
/* A column's values, or NULL: there is none of that name. */
const double *sl_metric_table_column(const struct sl_metric_table *table,
                                     const char *key);

/* ---- page (page.c) ----------------------------------------------------------------- */

/* One HTML document that needs nothing from outside, in light and dark. */
void sl_page_begin(struct sl_text *text, const char *title);
void sl_page_section(struct sl_text *text, const char *id, const char *heading);
void sl_page_section_end(struct sl_text *text);
void sl_page_end(struct sl_text *text);

#endif
