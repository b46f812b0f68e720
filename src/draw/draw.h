/* SPDX-License-Identifier: MIT */
/*
 * draw: figures as SVG, which a page or a file of its own can hold, and their numbers as
 * CSV. One record in, one text out; nothing here knows what is drawn, or from where it
 * came. All figures share one style, in light and dark.
 */
#ifndef SRC_DRAW_DRAW_H
#define SRC_DRAW_DRAW_H

#include "base/base.h"

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

/* ---- contour lines (contour.c) ----------------------------------------------------- */

struct sl_grid {
    int nx, ny;
    double x[2], y[2]; /* from, to */
    double *value;     /* (ny, nx); NaN: not known */
};
double sl_grid_x(const struct sl_grid *grid, int i);
double sl_grid_y(const struct sl_grid *grid, int j);
/* Calls `piece` for every straight piece of the line value = level. */
typedef void (*sl_contour_fn)(void *context, double x0, double y0, double x1, double y1);
void sl_contour(const struct sl_grid *grid, double level, sl_contour_fn piece,
                void *context);

/* ---- style and pieces of all figures (svg.c) --------------------------------------- */

enum { SL_COLOURS = 8 };
/* The style that figures in a page need once; light and dark. Class kN is the colour of
 * series colour N for text. */
void sl_svg_style(struct sl_text *text);
/* The element's beginning with its title for readers without eyes; alone: as a file of
 * its own, with its style. */
void sl_svg_open(struct sl_text *text, int width, int height, const char *title,
                 bool alone);
/* A text with classes and anchor (NULL = none). */
void sl_svg_text(struct sl_text *text, double x, double y, const char *classes,
                 const char *anchor, const char *words);

/* ---- curves, bands, points, planes (plot.c) ---------------------------------------- */

enum sl_draw {
    SL_DRAW_LINE,
    SL_DRAW_DOTTED,
    SL_DRAW_POINTS,
    SL_DRAW_BAND,
    SL_DRAW_PATH /* through places of a plane in their order; the end is marked */
};

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
/* Contour lines at first, first + step, … below a series; the key stands at the right. */
struct sl_contours {
    const struct sl_grid *grid;
    double first, step;
    int n_levels;
    const char *name;
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
    bool is_plane; /* x and y are places of a plane: larger, in a frame, both ranges
                      given, and what lies outside is cut off */
    const struct sl_contours *contours; /* of a plane; NULL = none */
};
/* Adds the figure as an SVG element; alone: as a file of its own, with its style. */
void sl_plot_svg(const struct sl_plot *plot, bool alone, struct sl_text *text);
/* Adds its numbers: series, x, y (and base) a line. */
void sl_plot_csv(const struct sl_plot *plot, struct sl_text *text);
/* Points of a line of n that are drawn as one, their mean; 1 = every one. */
int64_t sl_plot_bucket(int64_t n);

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

#endif
