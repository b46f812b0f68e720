/* SPDX-License-Identifier: MIT */
/*
 * Private to src/draw: where values lie in a figure of plot.c, for those who draw into
 * its box.
 */
#ifndef SRC_DRAW_DRAW_INT_H
#define SRC_DRAW_DRAW_INT_H

#include "draw/draw.h"

struct sl_frame {
    const struct sl_plot *plot;
    struct sl_scale x, y;
    struct sl_ticks x_ticks, y_ticks;
    double left, top, width, height; /* of the box, in pixels */
    double across, down;             /* of the whole picture */
    int legend_rows;
    struct sl_text *text;
};
/* plot.c: pixels of a value. */
double sl_frame_x(const struct sl_frame *frame, double value);
double sl_frame_y(const struct sl_frame *frame, double value);
/* Numbers whose differences or quotients would leave the range of a double cannot be
 * placed on an axis. */
bool sl_frame_shows(double value, bool is_log);

/* marks.c: a series in the box; what lies below paths, so that they stand out from
 * contour lines and not from each other; a sample in a legend, 20 pixels wide, whose
 * words stand on the line y. */
void sl_marks_hem(struct sl_frame *frame, const struct sl_series *one);
void sl_marks_add(struct sl_frame *frame, const struct sl_series *one);
void sl_marks_sample(struct sl_text *text, const struct sl_series *one, double x,
                     double y);

/* contour_draw.c: style, lines and, beside the box, the key of the plot's contours. */
enum { SL_CONTOURS_KEY = 104 /* pixels that the key takes at the right */ };
void sl_contours_add(struct sl_frame *frame);

#endif
