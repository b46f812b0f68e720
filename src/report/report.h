/* SPDX-License-Identifier: MIT */
/*
 * report: what a run says about itself in files. Metric lines: one JSON object a line,
 * append-only, with a CSV twin and TensorBoard's event files; all keep exactly the lines
 * up to the step a run resumes from. And the parts of a page about it: metric lines read
 * back, figures as SVG, texts escaped. What a page says is put together in api.
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
    int64_t n_left_out; /* lines that are no metric line, or whose step does not rise */
};
/* Whole lines only: what stands behind the last newline is being written. Fails for lack
 * of memory alone. The table is the caller's to finish, after a failure too. */
enum sl_status sl_metric_table_parse(struct sl_error *err, const char *bytes,
                                     int64_t size, struct sl_metric_table *table);
enum sl_status sl_metric_table_read(struct sl_error *err, const char *path,
                                    struct sl_metric_table *table);
void sl_metric_table_finish(struct sl_metric_table *table);
/* A column's values, or NULL: there is none of that name. */
const double *sl_metric_table_column(const struct sl_metric_table *table,
                                     const char *key);

/* ---- texts in pages and figures (markup.c) ----------------------------------------- */

/* Adds words as text of HTML or XML, also within quotes of an attribute: markup is
 * escaped; what is no UTF-8, and control characters, become U+FFFD. */
void sl_markup_add(struct sl_text *text, const char *words);
/* Characters of a UTF-8 text. */
int sl_markup_columns(const char *words);
void sl_base64_add(struct sl_text *text, const void *bytes, size_t count);

/* ---- axes (scale.c) ---------------------------------------------------------------- */

struct sl_scale {
    double low, high;
    bool is_log;
};
/* A range a little wider than [low, high]; an axis that is nearly at zero begins there.
 * No finite range is [0, 1]; logarithmic only where both ends are above zero. */
struct sl_scale sl_scale_make(double low, double high, bool is_log);
/* Where a value lies: 0 = low, 1 = high. */
double sl_scale_place(const struct sl_scale *scale, double value);
enum { SL_TICKS_MOST = 16 };
struct sl_ticks {
    int n;
    double at[SL_TICKS_MOST];
    double step; /* between them; 0 on a logarithmic axis */
};
/* About `wanted` round numbers within the range. */
struct sl_ticks sl_scale_ticks(const struct sl_scale *scale, int wanted);
/* "0.25", "40 %" (of fractions), "12.5 k", "2×10⁻⁵": a tick among ticks `step` apart, or
 * any number (step 0). */
void sl_tick_text(double value, double step, bool is_percent, char *dst, size_t size);

/* ---- figures (plot.c) -------------------------------------------------------------- */

enum { SL_COLOURS = 8 };
enum sl_draw { SL_DRAW_LINE, SL_DRAW_DOTTED, SL_DRAW_POINTS, SL_DRAW_BAND };

/* Everything is borrowed. */
struct sl_series {
    const char *name; /* in the legend; NULL = not there */
    int colour;       /* 0 … SL_COLOURS-1, or -1: grey */
    enum sl_draw draw;
    int64_t n;
    const double *x, *y;       /* y not finite: a gap */
    const double *base;        /* lower edge of a band */
    const char *const *labels; /* beside the points; NULL = none */
};
struct sl_reference {
    double at;
    const char *text;
};
struct sl_plot {
    const char *id;                      /* name of its files */
    const char *title, *x_name, *y_name; /* axes with their units */
    bool is_log_x, is_log_y;
    bool is_percent;               /* y are fractions, shown in percent */
    bool has_x_range, has_y_range; /* else from the data */
    double x_low, x_high, y_low, y_high;
    const struct sl_series *series;
    int n_series;
    const struct sl_reference *across, *up; /* lines at a y, at an x */
    int n_across, n_up;
};
/* Adds the figure as an SVG element; alone: as a file of its own, with its style. */
void sl_plot_svg(const struct sl_plot *plot, bool alone, struct sl_text *text);
/* Adds its numbers: series, x, y (and base) a line. */
void sl_plot_csv(const struct sl_plot *plot, struct sl_text *text);
/* The style that figures in a page need once; light and dark. Class kN is the colour of
 * series colour N for text. */
void sl_plot_style(struct sl_text *text);
/* Points of a line of n that are drawn as one, their mean; 1 = every one. */
int64_t sl_plot_bucket(int64_t n);
/* Pieces for other figures of the same looks: the element's beginning with its title for
 * readers without eyes; a text with classes and anchor (NULL = none). */
void sl_svg_open(struct sl_text *text, int width, int height, const char *title,
                 bool alone);
void sl_svg_text(struct sl_text *text, double x, double y, const char *classes,
                 const char *anchor, const char *words);

/* ---- map of pictures (map.c) ------------------------------------------------------- */

/* Pictures at places of the plane: as many as fit without hiding one another, the others
 * as dots. */
struct sl_map {
    const char *id, *title, *x_name, *y_name;
    int n;
    const double *x, *y;
    const int *groups; /* of each picture, -1 = none; NULL = no groups */
    const char *const *group_names;
    int n_groups;              /* at most SL_MAP_GROUPS are told apart by colour */
    const char *const *images; /* data: addresses */
    const char *const *names;  /* shown when pointed at */
};
enum { SL_MAP_GROUPS = 10 };
/* Within a page pictures are drawn by reference to sl_map_images; alone they are in the
 * file. */
void sl_map_svg(const struct sl_map *map, bool alone, struct sl_text *text);
void sl_map_csv(const struct sl_map *map, struct sl_text *text);
/* The pictures for all maps of a page, once. */
void sl_map_images(const struct sl_map *map, struct sl_text *text);
void sl_map_style(struct sl_text *text);

/* ---- page (page.c) ----------------------------------------------------------------- */

/* One HTML document that needs nothing from outside, in light and dark. */
void sl_page_begin(struct sl_text *text, const char *title);
void sl_page_section(struct sl_text *text, const char *id, const char *heading);
void sl_page_section_end(struct sl_text *text);
void sl_page_end(struct sl_text *text);

#endif
