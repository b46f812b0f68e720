/* SPDX-License-Identifier: MIT */
/*
 * The picture of a surface and of paths over it, as an SVG that stands alone: contour
 * lines in a scale from dark (low) to light (high), a key beside them, each path with its
 * points and its end marked. Nothing is computed here.
 */
#include "analyse/analyse.h"

#include <math.h>

enum { WIDTH = 860, HEIGHT = 600, LEFT = 80, TOP = 56, RIGHT = 170, BOTTOM = 66 };
enum { LEVELS = 20, LEVEL_STEP = 5, TICKS = 6 };

/* Red, green and blue at equal steps of the scale (a dark violet to a warm yellow). */
static const unsigned char ramp[][3] = {{68, 1, 84},    {65, 68, 135},  {42, 120, 142},
                                        {34, 168, 132}, {122, 209, 81}, {222, 200, 37}};
/* The paths: orange, blue, green, … in turn (told apart without colour by their marks).
 */
static const char *const inks[] = {"#d62728", "#1f5fd0", "#222222", "#9c27b0"};

struct canvas {
    const struct sl_figure *figure;
    struct sl_text *text;
};

static double place_x(const struct sl_figure *figure, double x)
{
    return LEFT +
           (x - figure->x[0]) / (figure->x[1] - figure->x[0]) * (WIDTH - LEFT - RIGHT);
}

static double place_y(const struct sl_figure *figure, double y)
{
    return HEIGHT - BOTTOM -
           (y - figure->y[0]) / (figure->y[1] - figure->y[0]) * (HEIGHT - TOP - BOTTOM);
}

/* Of the share in [0, 1] of the way up the levels that are there. */
static void colour_of(double share, char *dst, size_t size)
{
    double at = share * (SL_COUNT(ramp) - 1);
    int below = (int)at;
    below = below > SL_COUNT(ramp) - 2 ? SL_COUNT(ramp) - 2 : below;
    double t = at - below;
    int rgb[3];
    for (int c = 0; c < 3; c++) {
        rgb[c] = (int)(ramp[below][c] + t * (ramp[below + 1][c] - ramp[below][c]) + 0.5);
    }
    (void)snprintf(dst, size, "#%02x%02x%02x", (unsigned)rgb[0] & 0xffU,
                   (unsigned)rgb[1] & 0xffU, (unsigned)rgb[2] & 0xffU);
}

/* Words of others may hold signs that mean something to the reader of the file. */
static void add_words(struct sl_text *text, const char *words)
{
    for (const char *at = words; *at != '\0'; at++) {
        switch (*at) {
        case '<':
            sl_text_add(text, "&lt;");
            break;
        case '&':
            sl_text_add(text, "&amp;");
            break;
        default:
            sl_text_add_bytes(text, at, 1);
        }
    }
}

static void add_label(struct sl_text *text, double x, double y, const char *extra,
                      const char *words)
{
    sl_text_add(text, "<text x=\"%.1f\" y=\"%.1f\"%s>", x, y, extra);
    add_words(text, words);
    sl_text_add(text, "</text>\n");
}

/* ---- axes -------------------------------------------------------------------------- */

/* A round step so that about TICKS of them fill the range. */
static double tick_step(double range)
{
    static const double nice[] = {1.0, 2.0, 5.0, 10.0};
    double rough = range / TICKS;
    double ten = pow(10.0, floor(log10(rough)));
    int i = 0;
    while (i < SL_COUNT(nice) - 1 && nice[i] * ten < rough) {
        i++;
    }
    return nice[i] * ten;
}

static void add_axes(const struct sl_figure *figure, struct sl_text *text)
{
    char words[32];
    double step = tick_step(figure->x[1] - figure->x[0]);
    for (double v = ceil(figure->x[0] / step) * step; v <= figure->x[1]; v += step) {
        double x = place_x(figure, v);
        sl_text_add(text, "<path d=\"M%.1f %dv6\" stroke=\"#444\" stroke-width=\"1\"/>\n",
                    x, HEIGHT - BOTTOM);
        (void)snprintf(words, sizeof words, "%.4g", fabs(v) < step * 1e-9 ? 0.0 : v);
        add_label(text, x, HEIGHT - BOTTOM + 21, " text-anchor=\"middle\"", words);
    }
    step = tick_step(figure->y[1] - figure->y[0]);
    for (double v = ceil(figure->y[0] / step) * step; v <= figure->y[1]; v += step) {
        double y = place_y(figure, v);
        sl_text_add(text, "<path d=\"M%d %.1fh-6\" stroke=\"#444\"/>\n", LEFT, y);
        (void)snprintf(words, sizeof words, "%.4g", fabs(v) < step * 1e-9 ? 0.0 : v);
        add_label(text, LEFT - 10, y + 4, " text-anchor=\"end\"", words);
    }
    sl_text_add(text,
                "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" fill=\"none\" "
                "stroke=\"#444\"/>\n",
                LEFT, TOP, WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM);
    add_label(text, LEFT + (WIDTH - LEFT - RIGHT) / 2.0, HEIGHT - 18.0,
              " text-anchor=\"middle\"", figure->x_label);
    sl_text_add(text, "<g transform=\"translate(22 %d) rotate(-90)\">\n",
                TOP + (HEIGHT - TOP - BOTTOM) / 2);
    add_label(text, 0, 0, " text-anchor=\"middle\"", figure->y_label);
    sl_text_add(text, "</g>\n");
    add_label(text, LEFT, 30, " font-size=\"16\" font-weight=\"600\"", figure->title);
}

/* ---- contour lines ----------------------------------------------------------------- */

static void add_piece(void *context, double x0, double y0, double x1, double y1)
{
    const struct canvas *canvas = context;
    sl_text_add(canvas->text, "M%.1f %.1fL%.1f %.1f", place_x(canvas->figure, x0),
                place_y(canvas->figure, y0), place_x(canvas->figure, x1),
                place_y(canvas->figure, y1));
}

/* The levels that are there, in a column beside the picture; returns its end. */
static double add_lines(const struct sl_figure *figure, struct sl_text *text)
{
    struct canvas canvas = {figure, text};
    double y = TOP + 26;
    double least = LEVELS * LEVEL_STEP;
    double most = 0.0;
    const struct sl_grid *grid = figure->grid;
    for (int64_t i = 0; i < (int64_t)grid->nx * grid->ny; i++) {
        if (isfinite(grid->value[i])) {
            least = fmin(least, grid->value[i]);
            most = fmax(most, grid->value[i]);
        }
    }
    add_label(text, WIDTH - RIGHT + 22, TOP + 10, " font-weight=\"600\"",
              figure->value_label);
    int low = (int)ceil(fmax(least, 0.0) / LEVEL_STEP);
    int high = (int)floor(fmin(most, (LEVELS - 1) * LEVEL_STEP) / LEVEL_STEP);
    for (int level = high; level >= low; level--) {
        char colour[16];
        char words[16];
        double value = level * LEVEL_STEP;
        colour_of(high > low ? (double)(level - low) / (high - low) : 0.0, colour,
                  sizeof colour);
        sl_text_add(text, "<path fill=\"none\" stroke=\"%s\" stroke-width=\"%s\" d=\"",
                    colour, level % 2 == 0 ? "1.8" : "1.1");
        sl_contour(grid, value, add_piece, &canvas);
        sl_text_add(text,
                    "\"/>\n<path d=\"M%d %.1fh26\" stroke=\"%s\" "
                    "stroke-width=\"3\"/>\n",
                    WIDTH - RIGHT + 22, y, colour);
        (void)snprintf(words, sizeof words, "%.0f", value);
        add_label(text, WIDTH - RIGHT + 56, y + 4, "", words);
        y += 18;
    }
    return y;
}

/* ---- paths ------------------------------------------------------------------------- */

static void add_mark(struct sl_text *text, int number, double x, double y, double r,
                     const char *ink)
{
    if (number % 2 == 0) {
        sl_text_add(text, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\" fill=\"%s\"/>\n", x,
                    y, r, ink);
    } else {
        sl_text_add(text,
                    "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" "
                    "fill=\"%s\"/>\n",
                    x - r, y - r, 2 * r, 2 * r, ink);
    }
}

static void add_path(const struct sl_figure *figure, int number, double key_y,
                     struct sl_text *text)
{
    const struct sl_figure_path *path = &figure->paths[number];
    const char *ink = inks[number % SL_COUNT(inks)];
    sl_text_add(text,
                "<g clip-path=\"url(#inside)\">\n<path fill=\"none\" stroke=\"%s\" "
                "stroke-width=\"1.6\" stroke-linejoin=\"round\"%s d=\"",
                ink, number % 2 == 0 ? "" : " stroke-dasharray=\"7 5\"");
    for (int i = 0; i < path->n; i++) {
        sl_text_add(text, "%s%.1f %.1f", i == 0 ? "M" : "L",
                    place_x(figure, path->points[i][0]),
                    place_y(figure, path->points[i][1]));
    }
    sl_text_add(text, "\"/>\n");
    for (int i = 0; i < path->n; i++) {
        bool last = i == path->n - 1;
        double x = place_x(figure, path->points[i][0]);
        double y = place_y(figure, path->points[i][1]);
        add_mark(text, number, x, y, last ? 6.0 : 2.0, ink);
        if (last) {
            add_mark(text, number, x, y, 2.5, "#fff");
        }
    }
    sl_text_add(text, "</g>\n");
    sl_text_add(text, "<path d=\"M%d %.1fh26\" stroke=\"%s\" stroke-width=\"1.6\"/>\n",
                WIDTH - RIGHT + 22, key_y, ink);
    add_mark(text, number, WIDTH - RIGHT + 35, key_y, 3.5, ink);
    add_label(text, WIDTH - RIGHT + 56, key_y + 4, "", path->label);
}

void sl_figure_write(const struct sl_figure *figure, struct sl_text *text)
{
    sl_text_add(text,
                "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
                "viewBox=\"0 0 %d %d\" font-family=\"sans-serif\" font-size=\"13\" "
                "fill=\"#222\">\n<rect width=\"100%%\" height=\"100%%\" "
                "fill=\"#fff\"/>\n<clipPath id=\"inside\"><rect x=\"%d\" y=\"%d\" "
                "width=\"%d\" height=\"%d\"/></clipPath>\n",
                WIDTH, HEIGHT, WIDTH, HEIGHT, LEFT, TOP, WIDTH - LEFT - RIGHT,
                HEIGHT - TOP - BOTTOM);
    double key_y = TOP + 10;
    if (figure->grid != NULL) {
        key_y = add_lines(figure, text) + 16;
    }
    for (int i = 0; i < figure->n_paths; i++) {
        add_path(figure, i, key_y + 20.0 * i, text);
    }
    add_axes(figure, text);
    sl_text_add(text, "</svg>\n");
}
