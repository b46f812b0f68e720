/* SPDX-License-Identifier: MIT */
/*
 * Contour lines in the box of a figure, in a scale of colours from low to high, and their
 * key beside it.
 */
#include "draw/draw_int.h"

#include <math.h>

enum { SHADES = 16, ROW = 18 };
static const double LENGTH_LEAST = 2.0; /* of a line that can be seen */

/* Red, green and blue at equal steps from low to high: from a dark violet to a warm
 * yellow on white; on near black no end is dark. */
static const unsigned char on_white[][3] = {{68, 1, 84},    {65, 68, 135},
                                            {42, 120, 142}, {34, 168, 132},
                                            {122, 209, 81}, {222, 200, 37}};
static const unsigned char on_black[][3] = {{146, 100, 208}, {104, 116, 206},
                                            {66, 150, 186},  {54, 186, 144},
                                            {140, 215, 95},  {244, 222, 90}};

static void add_shades(struct sl_text *text, const unsigned char (*ramp)[3], int n)
{
    for (int i = 0; i < SHADES; i++) {
        double at = (double)i * (n - 1) / (SHADES - 1);
        int below = (int)at < n - 2 ? (int)at : n - 2;
        sl_text_add(text, ".v%d{stroke:#", i);
        for (int c = 0; c < 3; c++) {
            double from = ramp[below][c];
            double to = ramp[below + 1][c];
            sl_text_add(text, "%02x",
                        (unsigned)(from + (at - below) * (to - from) + 0.5));
        }
        sl_text_add(text, "}");
    }
}

static void add_style(struct sl_text *text)
{
    sl_text_add(text, "<style>\n.v{fill:none;stroke-width:1.1}.m{stroke-width:1.8}"
                      ".w{stroke-width:3}");
    add_shades(text, on_white, SL_COUNT(on_white));
    sl_text_add(text, "@media (prefers-color-scheme:dark){");
    add_shades(text, on_black, SL_COUNT(on_black));
    sl_text_add(text, "}\n</style>\n");
}

/* One level's line, in pieces. */
struct line {
    const struct sl_frame *frame;
    struct sl_text pieces;
    double length; /* in pixels */
};

static void add_piece(void *context, double x0, double y0, double x1, double y1)
{
    struct line *line = context;
    double from[2] = {sl_frame_x(line->frame, x0), sl_frame_y(line->frame, y0)};
    double to[2] = {sl_frame_x(line->frame, x1), sl_frame_y(line->frame, y1)};
    sl_text_add(&line->pieces, "M%.1f %.1fL%.1f %.1f", from[0], from[1], to[0], to[1]);
    line->length += hypot(to[0] - from[0], to[1] - from[1]);
}

/* The levels that the values reach: from *low to *high, none when *low is above. */
static void find_levels(const struct sl_contours *contours, int *low, int *high)
{
    const struct sl_grid *grid = contours->grid;
    double least = INFINITY, most = -INFINITY;
    for (int64_t i = 0; i < (int64_t)grid->nx * grid->ny; i++) {
        if (isfinite(grid->value[i])) {
            least = fmin(least, grid->value[i]);
            most = fmax(most, grid->value[i]);
        }
    }
    double last = contours->n_levels - 1;
    double from = ceil((least - contours->first) / contours->step);
    double to = floor((most - contours->first) / contours->step);
    *low = (int)fmin(fmax(from, 0.0), last + 1);
    *high = (int)fmax(fmin(to, last), -1.0);
}

void sl_contours_add(struct sl_frame *frame)
{
    const struct sl_contours *contours = frame->plot->contours;
    struct sl_text *text = frame->text;
    double x = frame->left + frame->width + 16;
    double y = frame->top + 10;
    int low = 0, high = 0;
    find_levels(contours, &low, &high);
    add_style(text);
    sl_svg_text(text, x, y, "q", NULL, contours->name);
    for (int level = high; level >= low; level--) {
        char words[32];
        struct line line = {.frame = frame};
        int shade = high > low ? (level - low) * (SHADES - 1) / (high - low) : 0;
        double value = contours->first + level * contours->step;
        sl_contour(contours->grid, value, add_piece, &line);
        text->failed = text->failed || line.pieces.failed;
        if (line.length < LENGTH_LEAST) { /* a level that is only touched has no line */
            sl_text_finish(&line.pieces);
            continue;
        }
        y += ROW;
        sl_text_add(text, "<path class=\"v v%d%s\" d=\"", shade,
                    level % 2 == 0 ? " m" : "");
        sl_text_add_bytes(text, line.pieces.text, line.pieces.length);
        sl_text_finish(&line.pieces);
        sl_text_add(text, "\"/><path class=\"v v%d w\" d=\"M%.1f %.1fh26\"/>", shade, x,
                    y - 4.5);
        sl_tick_text(value, contours->step, false, words, sizeof words);
        sl_svg_text(text, x + 34, y, NULL, NULL, words);
    }
}
