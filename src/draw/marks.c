/* SPDX-License-Identifier: MIT */
/*
 * What stands in the box of a figure: lines with their gaps, points, bands, and paths
 * over a plane.
 */
#include "draw/draw_int.h"

#include <math.h>

enum {
    LINE_POINTS = 640, /* no screen shows more of a line */
    MARKED_MOST = 24   /* lines of so few points show them */
};

static void class_of(const struct sl_series *one, char dst[8])
{
    (void)snprintf(dst, 8, one->colour < 0 ? "g" : "c%d", one->colour);
}

int64_t sl_plot_bucket(int64_t n)
{
    return (n + LINE_POINTS - 1) / LINE_POINTS > 1 ? (n + LINE_POINTS - 1) / LINE_POINTS
                                                   : 1;
}

/* The mean of up to `bucket` finite values from row k on; NaN without any. */
static void bucket_mean(const struct sl_series *one, int64_t k, int64_t bucket, double *x,
                        double *y)
{
    int64_t n = 0;
    *x = 0.0;
    *y = 0.0;
    for (int64_t i = k; i < k + bucket && i < one->n; i++) {
        if (sl_frame_shows(one->y[i], false) && sl_frame_shows(one->x[i], false)) {
            *x += one->x[i];
            *y += one->y[i];
            n++;
        }
    }
    *x = n > 0 ? *x / (double)n : NAN;
    *y = n > 0 ? *y / (double)n : NAN;
}

static void add_point(struct sl_frame *frame, const char *colour, double x, double y,
                      double radius)
{
    sl_text_add(frame->text,
                "<circle class=\"p %s\" cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\"/>", colour,
                sl_frame_x(frame, x), sl_frame_y(frame, y), radius);
}

/* A path that is broken where there is no value; a value alone is a point. */
static void add_line(struct sl_frame *frame, const struct sl_series *one,
                     const char *colour)
{
    int64_t bucket = sl_plot_bucket(one->n);
    bool shows_points = one->n <= MARKED_MOST && one->draw == SL_DRAW_LINE;
    struct sl_text points = {0};
    struct sl_text *page = frame->text;
    int run = 0;
    double x = NAN, y = NAN, x_before = NAN, y_before = NAN;
    sl_text_add(frame->text, "<path class=\"l %s%s\" d=\"", colour,
                one->draw == SL_DRAW_DOTTED ? " d" : "");
    for (int64_t k = 0; k < one->n; k += bucket) {
        bucket_mean(one, k, bucket, &x, &y);
        bool is_there = isfinite(y) && sl_frame_shows(y, frame->y.is_log);
        frame->text = &points;
        if (shows_points && is_there) {
            add_point(frame, colour, x, y, 3.5);
        } else if (!shows_points && !is_there && run == 1) {
            add_point(frame, colour, x_before, y_before, 3.0);
        }
        frame->text = page;
        if (is_there) {
            sl_text_add(page, "%s%.1f %.1f", run == 0 ? "M" : "L", sl_frame_x(frame, x),
                        sl_frame_y(frame, y));
        }
        run = is_there ? run + 1 : 0;
        x_before = x;
        y_before = y;
    }
    sl_text_add(page, "\"/>");
    if (run == 1 && !shows_points) {
        add_point(frame, colour, x, y, 3.0);
    }
    if (points.length > 0) {
        sl_text_add_bytes(page, points.text, points.length);
    }
    page->failed = page->failed || points.failed;
    sl_text_finish(&points);
}

/* One filled shape for each run of values; bases are drawn backwards. */
static void add_band(struct sl_frame *frame, const struct sl_series *one,
                     const char *colour)
{
    for (int64_t begin = 0; begin < one->n;) {
        int64_t end = begin;
        while (end < one->n && sl_frame_shows(one->y[end], frame->y.is_log) &&
               sl_frame_shows(one->base[end], frame->y.is_log)) {
            end++;
        }
        if (end > begin) {
            sl_text_add(frame->text, "<path class=\"b %s\" d=\"", colour);
            for (int64_t k = begin; k < end; k++) {
                sl_text_add(frame->text, "%s%.1f %.1f", k == begin ? "M" : "L",
                            sl_frame_x(frame, one->x[k]), sl_frame_y(frame, one->y[k]));
            }
            for (int64_t k = end - 1; k >= begin; k--) {
                sl_text_add(frame->text, "L%.1f %.1f", sl_frame_x(frame, one->x[k]),
                            sl_frame_y(frame, one->base[k]));
            }
            sl_text_add(frame->text, "Z\"/>");
        }
        begin = end + 1;
    }
}

/* Paths of odd colours are broken, with square marks: told apart without colours. */
static bool is_odd(const struct sl_series *one)
{
    return one->colour % 2 != 0;
}

static void add_mark(struct sl_text *text, bool odd, const char *colour, double x,
                     double y, double radius)
{
    if (odd) {
        sl_text_add(text,
                    "<rect class=\"%s\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" "
                    "height=\"%.1f\"/>",
                    colour, x - radius, y - radius, 2 * radius, 2 * radius);
    } else {
        sl_text_add(text, "<circle class=\"%s\" cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\"/>",
                    colour, x, y, radius);
    }
}

static void add_steps(struct sl_frame *frame, const struct sl_series *one,
                      const char *classes)
{
    sl_text_add(frame->text, "<path class=\"l %s\" d=\"", classes);
    for (int64_t k = 0; k < one->n; k++) {
        sl_text_add(frame->text, "%s%.1f %.1f", k == 0 ? "M" : "L",
                    sl_frame_x(frame, one->x[k]), sl_frame_y(frame, one->y[k]));
    }
    sl_text_add(frame->text, "\"/>");
}

void sl_marks_hem(struct sl_frame *frame, const struct sl_series *one)
{
    if (one->draw == SL_DRAW_PATH) {
        add_steps(frame, one, "halo");
    }
}

/* Paths often coincide: round marks are larger than the square ones, which come to lie on
 * them. */
static void add_path(struct sl_frame *frame, const struct sl_series *one,
                     const char *colour)
{
    char classes[16];
    bool odd = is_odd(one);
    (void)snprintf(classes, sizeof classes, "%s%s", colour, odd ? " s" : "");
    add_steps(frame, one, classes);
    (void)snprintf(classes, sizeof classes, "p %s", colour);
    for (int64_t k = 0; k < one->n; k++) {
        double x = sl_frame_x(frame, one->x[k]);
        double y = sl_frame_y(frame, one->y[k]);
        bool is_last = k == one->n - 1;
        add_mark(frame->text, odd, classes, x, y,
                 is_last ? (odd ? 5.5 : 9.0) : (odd ? 2.5 : 4.0));
        if (is_last) {
            add_mark(frame->text, odd, "paper", x, y, 2.5);
        }
    }
}

void sl_marks_add(struct sl_frame *frame, const struct sl_series *one)
{
    char colour[8];
    class_of(one, colour);
    switch (one->draw) {
    case SL_DRAW_BAND:
        add_band(frame, one, colour);
        break;
    case SL_DRAW_PATH:
        add_path(frame, one, colour);
        break;
    case SL_DRAW_LINE:
    case SL_DRAW_DOTTED:
        add_line(frame, one, colour);
        break;
    case SL_DRAW_POINTS:
        break;
    }
    for (int64_t k = 0; k < one->n; k++) {
        bool is_there = sl_frame_shows(one->y[k], frame->y.is_log) &&
                        sl_frame_shows(one->x[k], frame->x.is_log);
        if (one->draw == SL_DRAW_POINTS && is_there) {
            add_point(frame, colour, one->x[k], one->y[k], one->n > 100 ? 2.5 : 4.5);
        }
        if (one->labels != NULL && is_there) {
            sl_svg_text(frame->text, sl_frame_x(frame, one->x[k]),
                        sl_frame_y(frame, one->y[k]) - 10, "halo", "middle",
                        one->labels[k]);
        }
    }
    sl_text_add(frame->text, "\n");
}

void sl_marks_sample(struct sl_text *text, const struct sl_series *one, double x,
                     double y)
{
    char colour[8];
    char classes[16];
    class_of(one, colour);
    (void)snprintf(classes, sizeof classes, "p %s", colour);
    if (one->draw == SL_DRAW_BAND) {
        sl_text_add(text,
                    "<rect class=\"b %s\" x=\"%.1f\" y=\"%.1f\" width=\"20\" "
                    "height=\"10\"/>",
                    colour, x, y - 9);
    } else if (one->draw == SL_DRAW_POINTS) {
        add_mark(text, false, classes, x + 10, y - 4.5, 5.0);
    } else {
        bool is_path = one->draw == SL_DRAW_PATH;
        sl_text_add(text, "<path class=\"l %s%s\" d=\"M%.1f %.1fh20\"/>", colour,
                    one->draw == SL_DRAW_DOTTED ? " d"
                    : is_path && is_odd(one)    ? " s"
                                                : "",
                    x, y - 4.5);
        if (is_path) {
            add_mark(text, is_odd(one), classes, x + 10, y - 4.5, 4.0);
        }
    }
}
