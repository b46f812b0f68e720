/* SPDX-License-Identifier: MIT */
/*
 * Private to the files of `slimclr report`: one page with everything it is made from.
 * report.c opens the run and puts the page together; each of the others adds the sections
 * its name says. A section that cannot be filled says why, and what would fill it; only a
 * lack of memory or of room on the disk ends the command.
 */
#ifndef SRC_API_REPORT_INT_H
#define SRC_API_REPORT_INT_H

#include "api_int.h"
#include "draw/draw.h"
#include "report/report.h"

#include <jansson.h>

enum { REPORT_PATH = 4096, REPORT_EVALS_MOST = 32 };

struct report_eval {
    char name[128]; /* of its file, without .json */
    json_t *root;
};

struct report {
    struct sl_conf *conf; /* of this command */
    char run[REPORT_PATH], plots[REPORT_PATH], out[REPORT_PATH];
    struct api_table table;
    struct sl_conf *run_conf; /* RUN/config.ini */
    struct sl_widths widths;
    struct api_data data;
    struct sl_metric_table metrics;
    bool has_metrics;
    const char *metrics_problem; /* why they cannot be read, or NULL */
    double per_epoch;            /* steps; 0 = not known */
    double slow_step;            /* end of slow start; 0 = none */
    double warm_step;            /* end of the warm-up */
    int64_t last_step;           /* of the metrics */
    bool is_finished;
    struct report_eval evals[REPORT_EVALS_MOST];
    int n_evals;
    bool has_model;
    struct api_model model;
    char model_problem[SL_ERROR_TEXT_MAX];
    double ms[SL_WIDTHS_MAX]; /* a picture; 0 = not timed */
    struct sl_arena *arena;   /* lives as long as the page is made */
    struct sl_text page;
    int n_figures, n_gaps; /* drawn; sections that say what is missing */
};

/* ---- report.c ---------------------------------------------------------------------- */

/* Adds a figure with its caption (HTML, NULL = none) to the page, and writes it and its
 * numbers to RUN/plots. */
enum sl_status report_figure(struct sl_error *err, struct report *report,
                             const struct sl_plot *plot, const char *caption);
/* The same two files for a figure that is made otherwise. */
enum sl_status report_files(struct sl_error *err, struct report *report, const char *id,
                            const struct sl_text *svg, const struct sl_text *csv);
/* A paragraph that says what is missing, and the command that would fill it (NULL =
 * none). */
void report_gap(struct report *report, const char *why, const char *command);
/* Formatted text of ours and of others: everything is escaped. */
void report_words(struct report *report, const char *format, ...) SL_PRINTF(2, 3);
/* Did training see labels? */
bool report_is_supervised(const struct report *report);
/* Index of "0.50" among the run's widths, or -1. */
int report_width(const struct report *report, const char *text);
const char *report_keep(struct report *report, const char *format, ...) SL_PRINTF(2, 3);

/* ---- sections ---------------------------------------------------------------------- */

/* report_curves.c: the curves of the metrics, and collapse in words. collapsed_since: the
 * step since which a width's embeddings lie together, -1 = they do not. */
enum sl_status report_curves(struct sl_error *err, struct report *report);
int64_t report_collapsed_since(const struct report *report, int width);
void report_collapse(struct report *report);

/* report_tables.c: settings, cost. */
void report_settings(struct report *report);
void report_all_settings(struct report *report);
void report_cost(struct report *report);
/* Best of a few embeddings of one picture at each width into report->ms. */
void report_time(struct report *report);
void report_count(char *dst, size_t size, double count);
/* "0.50" of a number; the cell of a table with it and the width's colour. */
void report_width_text(double width, char *dst, size_t size);
void report_width_cell(struct report *report, double width);

/* report_pictures.c: pictures and views, map, neighbours. Opens the data on its own. */
enum sl_status report_views(struct sl_error *err, struct report *report);
enum sl_status report_embeddings(struct sl_error *err, struct report *report);

/* report_judged.c: what the evaluations found. chance_of: the share that a guess gets
 * right in one, of its classes; 0 = not known. */
enum sl_status report_judged(struct sl_error *err, struct report *report);
double report_chance_of(const json_t *root);

/* report_analyse.c: what `slimclr analyse` found; nothing where there is nothing. */
bool report_has_analyses(const struct report *report);
void report_analyses(struct report *report);

/* report_gradients.c: nothing where neither the run nor this program has them. */
bool report_has_gradients(const struct report *report);
enum sl_status report_gradients(struct sl_error *err, struct report *report);

#endif
