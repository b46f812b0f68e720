/* SPDX-License-Identifier: MIT */
/*
 * report: what a run says about itself in files. Metric lines: one JSON object a line,
 * append-only, with a CSV twin and TensorBoard's event files; all keep exactly the lines
 * up to the step a run resumes from.
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

#endif
