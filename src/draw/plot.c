/* SPDX-License-Identifier: MIT */
/*
 * A figure from one record to SVG: series over a plain or logarithmic axis, or over a
 * plane, with reference lines and a legend. Ranges, layout and all that stands around the
 * box are here; what stands in it is in marks.c. The same SVG stands in a page, whose
 * style it then shares, and alone in a file.
 */
#include "draw/draw_int.h"

#include <math.h>

enum {
    WIDTH = 640,
    HEIGHT = 372,
    PLANE_WIDTH = 860,
    PLANE_HEIGHT = 640,
    RIGHT = 22,
    BELOW = 50,
    TOP_TITLE = 22,
    LEGEND_ROW = 20
};
static const double LETTER = 7.2; /* pixels of one, at 13 px, on the generous side */

/* ---- ranges ------------------------------------------------------------------------ */

bool sl_frame_shows(double value, bool is_log)
{
    return fabs(value) < 1e150 && (is_log ? value > 1e-150 : true);
}

static void widen(double value, bool is_log, double *low, double *high)
{
    if (sl_frame_shows(value, is_log)) {
        value = fabs(value) < 1e-150 ? 0.0 : value;
        *low = fmin(*low, value);
        *high = fmax(*high, value);
    }
}

/* A range that the data would not fill is not stretched to hold a reference line far
 * away; one that is near is shown. */
static void find_ranges(struct sl_frame *frame)
{
    const struct sl_plot *plot = frame->plot;
    double x_low = INFINITY, x_high = -INFINITY, y_low = INFINITY, y_high = -INFINITY;
    for (int i = 0; i < plot->n_series; i++) {
        const struct sl_series *one = &plot->series[i];
        for (int64_t k = 0; k < one->n; k++) {
            if (sl_frame_shows(one->y[k], plot->is_log_y)) {
                widen(one->x[k], plot->is_log_x, &x_low, &x_high);
                widen(one->y[k], plot->is_log_y, &y_low, &y_high);
            }
            if (one->base != NULL) {
                widen(one->base[k], plot->is_log_y, &y_low, &y_high);
            }
        }
    }
    for (int i = 0; i < plot->n_across; i++) {
        widen(plot->across[i].at, plot->is_log_y, &y_low, &y_high);
    }
    frame->y = sl_scale_make(y_low, y_high, plot->is_log_y);
    if (plot->has_y_range) {
        frame->y = (struct sl_scale){plot->y_low, plot->y_high, false};
    }
    frame->x = sl_scale_make(x_low, x_high, plot->is_log_x);
    if (!frame->x.is_log && isfinite(x_low) && x_high > x_low) { /* lines fill their box
                                                                  */
        frame->x.low = x_low >= 0.0 && x_low < 0.2 * x_high ? 0.0 : x_low;
        frame->x.high = x_high + 0.01 * (x_high - x_low);
    }
    if (plot->has_x_range) {
        frame->x = (struct sl_scale){plot->x_low, plot->x_high, false};
    }
}

double sl_frame_x(const struct sl_frame *frame, double value)
{
    return frame->left + frame->width * sl_scale_place(&frame->x, value);
}

double sl_frame_y(const struct sl_frame *frame, double value)
{
    double place = sl_scale_place(&frame->y, value);
    if (!frame->plot->is_plane) { /* which is cut off at its frame */
        place = place < -0.02 ? -0.02 : place > 1.02 ? 1.02 : place;
    }
    return frame->top + frame->height * (1.0 - place);
}

static void y_text(const struct sl_frame *frame, double value, char *dst, size_t size)
{
    sl_tick_text(value, frame->y_ticks.step, frame->plot->is_percent, dst, size);
}

/* The legend names the series that have a name, then the lines across: beside their lines
 * words would lie on the data, wherever that is. */
static int legend_count(const struct sl_plot *plot)
{
    return plot->n_series + plot->n_across;
}

static bool is_in_sight(const struct sl_frame *frame, const struct sl_reference *across)
{
    double place = sl_scale_place(&frame->y, across->at);
    return place >= 0.0 && place <= 1.0;
}

/* NULL: it is not named. */
static const char *legend_name(const struct sl_frame *frame, int i)
{
    const struct sl_plot *plot = frame->plot;
    if (i < plot->n_series) {
        return plot->series[i].name;
    }
    const struct sl_reference *one = &plot->across[i - plot->n_series];
    return is_in_sight(frame, one) ? one->text : NULL;
}

/* Room for the longest text at the left, for the legend's rows above. */
static void lay_out(struct sl_frame *frame)
{
    char words[64];
    int longest = 3;
    double at = 0.0;
    frame->across = frame->plot->is_plane ? PLANE_WIDTH : WIDTH;
    frame->down = frame->plot->is_plane ? PLANE_HEIGHT : HEIGHT;
    frame->y_ticks = sl_scale_ticks(&frame->y, 6);
    for (int i = 0; i < frame->y_ticks.n; i++) {
        y_text(frame, frame->y_ticks.at[i], words, sizeof words);
        int columns = sl_markup_columns(words);
        longest = columns > longest ? columns : longest;
    }
    frame->left = 16.0 + LETTER * longest;
    frame->width = frame->across - frame->left -
                   (frame->plot->contours != NULL ? SL_CONTOURS_KEY : RIGHT);
    frame->x_ticks = sl_scale_ticks(&frame->x, 7);
    for (int i = 0; i < legend_count(frame->plot); i++) {
        const char *name = legend_name(frame, i);
        if (name != NULL) {
            double wide = 44.0 + LETTER * sl_markup_columns(name);
            bool fits = at > 0.0 && frame->left + at + wide <= frame->across;
            frame->legend_rows += fits ? 0 : 1;
            at = fits ? at + wide : wide;
        }
    }
    frame->top = TOP_TITLE + LEGEND_ROW * frame->legend_rows + 30.0;
    frame->height = frame->down - BELOW - frame->top;
}

/* ---- parts of the figure ----------------------------------------------------------- */

static void add_axes(struct sl_frame *frame)
{
    struct sl_text *text = frame->text;
    double bottom = frame->top + frame->height;
    double right = frame->left + frame->width;
    bool plane = frame->plot->is_plane;
    char words[64];
    for (int i = 0; i < frame->y_ticks.n; i++) {
        double y = sl_frame_y(frame, frame->y_ticks.at[i]);
        sl_text_add(text,
                    "<line class=\"%s\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" "
                    "y2=\"%.1f\"/>",
                    plane ? "axis" : "grid", frame->left, y,
                    plane ? frame->left - 5 : right, y);
        y_text(frame, frame->y_ticks.at[i], words, sizeof words);
        sl_svg_text(text, frame->left - 8, y + 4.5, "q", "end", words);
    }
    for (int i = 0; i < frame->x_ticks.n; i++) {
        double x = sl_frame_x(frame, frame->x_ticks.at[i]);
        sl_text_add(text,
                    "<line class=\"axis\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" "
                    "y2=\"%.1f\"/>",
                    x, bottom, x, bottom + 5);
        sl_tick_text(frame->x_ticks.at[i], frame->x_ticks.step, false, words,
                     sizeof words);
        /* A text at the end stays inside of the picture. */
        bool is_last = x + LETTER * 0.5 * sl_markup_columns(words) > frame->across - 2;
        sl_svg_text(text, is_last ? frame->across - 2 : x, bottom + 20, "q",
                    is_last ? "end" : "middle", words);
    }
    sl_text_add(text, "<path class=\"axis\" d=\"M%.1f %.1fH%.1f", frame->left, bottom,
                right);
    if (plane) {
        sl_text_add(text, "V%.1fH%.1fZ", frame->top, frame->left);
    }
    sl_text_add(text, "\"/>\n");
    sl_svg_text(text, frame->left + frame->width / 2, bottom + 40, "q", "middle",
                frame->plot->x_name);
    sl_svg_text(text, 4, frame->top - 12, "q", NULL, frame->plot->y_name);
}

static void add_legend(struct sl_frame *frame)
{
    struct sl_text *text = frame->text;
    double at = 0.0;
    double y = TOP_TITLE + 20.0;
    bool is_first = true;
    for (int i = 0; i < legend_count(frame->plot); i++) {
        const char *name = legend_name(frame, i);
        if (name == NULL) {
            continue;
        }
        double wide = 44.0 + LETTER * sl_markup_columns(name);
        if (!is_first && frame->left + at + wide > frame->across) {
            at = 0.0;
            y += LEGEND_ROW;
        }
        if (i < frame->plot->n_series) {
            sl_marks_sample(text, &frame->plot->series[i], frame->left + at, y);
        } else {
            sl_text_add(text, "<path class=\"ref\" d=\"M%.1f %.1fh20\"/>",
                        frame->left + at, y - 4.5);
        }
        sl_svg_text(text, frame->left + at + 27, y, NULL, NULL, name);
        at += wide;
        is_first = false;
    }
}

static void add_references(struct sl_frame *frame)
{
    struct sl_text *text = frame->text;
    double right = frame->left + frame->width;
    double bottom = frame->top + frame->height;
    for (int i = 0; i < frame->plot->n_up; i++) {
        const struct sl_reference *one = &frame->plot->up[i];
        double place = sl_scale_place(&frame->x, one->at);
        if (!(place >= 0.0 && place <= 1.0)) {
            continue;
        }
        double x = frame->left + frame->width * place;
        sl_text_add(text, "<path class=\"ref\" d=\"M%.1f %.1fV%.1f\"/>", x,
                    frame->top - 7, bottom);
        /* Its words stand above the data, beside the name of the axis. */
        double wide = LETTER * sl_markup_columns(one->text);
        double least = 16.0 + LETTER * sl_markup_columns(frame->plot->y_name);
        double begin = fmin(fmax(x - wide / 2, least), frame->across - 2 - wide);
        sl_svg_text(text, begin, frame->top - 12, "q", NULL, one->text);
    }
    for (int i = 0; i < frame->plot->n_across; i++) {
        const struct sl_reference *one = &frame->plot->across[i];
        if (!is_in_sight(frame, one)) {
            continue;
        }
        double y = sl_frame_y(frame, one->at);
        sl_text_add(text, "<path class=\"ref\" d=\"M%.1f %.1fH%.1f\"/>", frame->left, y,
                    right);
    }
}

void sl_plot_svg(const struct sl_plot *plot, bool alone, struct sl_text *text)
{
    struct sl_frame frame = {.plot = plot, .text = text};
    find_ranges(&frame);
    lay_out(&frame);
    sl_svg_open(text, (int)frame.across, (int)frame.down, plot->title, alone);
    sl_svg_text(text, 4, TOP_TITLE - 4, "t", NULL, plot->title);
    add_legend(&frame);
    if (plot->is_plane) { /* the frame stands on top of what it cuts off */
        sl_text_add(text,
                    "<clipPath id=\"box-%s\"><rect x=\"%.1f\" y=\"%.1f\" "
                    "width=\"%.1f\" height=\"%.1f\"/></clipPath>\n",
                    plot->id, frame.left, frame.top, frame.width, frame.height);
    } else {
        add_axes(&frame);
    }
    if (plot->contours != NULL) {
        sl_contours_add(&frame);
    }
    if (plot->is_plane) {
        sl_text_add(text, "<g clip-path=\"url(#box-%s)\">\n", plot->id);
    }
    for (int i = 0; i < plot->n_series; i++) {
        sl_marks_hem(&frame, &plot->series[i]);
    }
    for (int i = 0; i < plot->n_series; i++) {
        sl_marks_add(&frame, &plot->series[i]);
    }
    if (plot->is_plane) {
        sl_text_add(text, "</g>\n");
        add_axes(&frame);
    }
    add_references(&frame);
    sl_text_add(text, "</svg>\n");
}
