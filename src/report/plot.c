/* SPDX-License-Identifier: MIT */
/*
 * A figure from one record to SVG, and its numbers to CSV: lines, points and bands over a
 * plain or logarithmic axis, with reference lines and a legend. Nothing here knows what
 * is drawn. The same SVG stands in a page, whose style it then shares, and alone in a
 * file.
 */
#include "report/report.h"

#include <math.h>
#include <string.h>

enum {
    WIDTH = 640,
    HEIGHT = 372,
    RIGHT = 22,
    BELOW = 50,
    LINE_POINTS = 640, /* no screen shows more of a line */
    MARKED_MOST = 24,  /* lines of so few points show them */
    TOP_TITLE = 22,
    LEGEND_ROW = 20
};
static const double LETTER = 7.2; /* pixels of one, at 13 px, on the generous side */

struct frame {
    const struct sl_plot *plot;
    struct sl_scale x, y;
    struct sl_ticks x_ticks, y_ticks;
    double left, top, width, height;
    int legend_rows;
    struct sl_text *text;
};

/* ---- style ------------------------------------------------------------------------- */

/* Colours that eyes of every kind tell apart (after Okabe and Ito), on white and on near
 * black. */
static const char *const on_white[SL_COLOURS] = {"#0072b2", "#d55e00", "#009e73",
                                                 "#b8568f", "#8a6d00", "#3a9bd9",
                                                 "#7a4fb5", "#5f5f5f"};
static const char *const on_black[SL_COLOURS] = {"#56b4e9", "#ff8f4d", "#2fc79c",
                                                 "#e79bc9", "#e6c229", "#8fd0ff",
                                                 "#b79af0", "#b5b5b5"};

static void add_colours(struct sl_text *text, const char *const *colours, const char *ink,
                        const char *quiet, const char *grid, const char *paper)
{
    for (int i = 0; i < SL_COLOURS; i++) {
        sl_text_add(text, ".l.c%d{stroke:%s}.p.c%d,.b.c%d{fill:%s}", i, colours[i], i, i,
                    colours[i]);
        sl_text_add(text, ".k%d{color:%s}", i, colours[i]);
    }
    sl_text_add(text,
                ".l.g{stroke:%s}.p.g{fill:%s}.plot text{fill:%s}.plot .q{fill:%s}"
                ".grid{stroke:%s}.axis,.ref{stroke:%s}.paper{fill:%s}"
                ".p,.halo{stroke:%s}\n",
                quiet, quiet, ink, quiet, grid, quiet, paper, paper);
}

void sl_plot_style(struct sl_text *text)
{
    sl_text_add(text,
                ".plot{font:13px system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica "
                "Neue','DejaVu Sans',sans-serif}"
                ".plot .t{font-weight:600;font-size:15px}"
                ".l{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}"
                ".l.d{stroke-dasharray:2 5}.p{stroke-width:1}.b{fill-opacity:.8}"
                ".grid{stroke-width:1}.axis{stroke-width:1;fill:none}"
                ".ref{stroke-width:1.3;stroke-dasharray:6 4;fill:none}"
                ".halo{stroke-width:4;paint-order:stroke;stroke-linejoin:round}\n");
    add_colours(text, on_white, "#1c1c1c", "#5c5c5c", "#e4e4e4", "#ffffff");
    sl_text_add(text, "@media (prefers-color-scheme:dark){");
    add_colours(text, on_black, "#ececec", "#a8a8a8", "#333333", "#16181b");
    sl_text_add(text, "}\n");
}

void sl_svg_open(struct sl_text *text, int width, int height, const char *title,
                 bool alone)
{
    sl_text_add(text, "<svg%s class=\"plot\" viewBox=\"0 0 %d %d\" role=\"img\"",
                alone ? " xmlns=\"http://www.w3.org/2000/svg\"" : "", width, height);
    if (alone) {
        sl_text_add(text, " width=\"%d\" height=\"%d\"", width, height);
    }
    sl_text_add(text, ">\n<title>");
    sl_markup_add(text, title);
    sl_text_add(text, "</title>\n");
    if (alone) {
        sl_text_add(text, "<style>\n");
        sl_plot_style(text);
        sl_text_add(text,
                    "</style>\n<rect class=\"paper\" width=\"%d\" height=\"%d\"/>\n",
                    width, height);
    }
}

void sl_svg_text(struct sl_text *text, double x, double y, const char *classes,
                 const char *anchor, const char *words)
{
    sl_text_add(text, "<text x=\"%.1f\" y=\"%.1f\"", x, y);
    if (classes != NULL) {
        sl_text_add(text, " class=\"%s\"", classes);
    }
    if (anchor != NULL) {
        sl_text_add(text, " text-anchor=\"%s\"", anchor);
    }
    sl_text_add(text, ">");
    sl_markup_add(text, words);
    sl_text_add(text, "</text>\n");
}

/* ---- ranges ------------------------------------------------------------------------ */

/* Numbers whose differences or quotients would leave the range of a double cannot be
 * placed on an axis. */
static bool is_shown(double value, bool is_log)
{
    return fabs(value) < 1e150 && (is_log ? value > 1e-150 : true);
}

static void widen(double value, bool is_log, double *low, double *high)
{
    if (is_shown(value, is_log)) {
        value = fabs(value) < 1e-150 ? 0.0 : value;
        *low = fmin(*low, value);
        *high = fmax(*high, value);
    }
}

/* A range that the data would not fill is not stretched to hold a reference line far
 * away; one that is near is shown. */
static void find_ranges(struct frame *frame)
{
    const struct sl_plot *plot = frame->plot;
    double x_low = INFINITY, x_high = -INFINITY, y_low = INFINITY, y_high = -INFINITY;
    for (int i = 0; i < plot->n_series; i++) {
        const struct sl_series *one = &plot->series[i];
        for (int64_t k = 0; k < one->n; k++) {
            if (is_shown(one->y[k], plot->is_log_y)) {
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

static double place_x(const struct frame *frame, double value)
{
    return frame->left + frame->width * sl_scale_place(&frame->x, value);
}

static double place_y(const struct frame *frame, double value)
{
    double place = sl_scale_place(&frame->y, value);
    place = place < -0.02 ? -0.02 : place > 1.02 ? 1.02 : place;
    return frame->top + frame->height * (1.0 - place);
}

static void y_text(const struct frame *frame, double value, char *dst, size_t size)
{
    sl_tick_text(value, frame->y_ticks.step, frame->plot->is_percent, dst, size);
}

/* Room for the longest text at the left, for the legend's rows above. */
static void lay_out(struct frame *frame)
{
    char words[64];
    int longest = 3;
    double at = 0.0;
    frame->y_ticks = sl_scale_ticks(&frame->y, 6);
    for (int i = 0; i < frame->y_ticks.n; i++) {
        y_text(frame, frame->y_ticks.at[i], words, sizeof words);
        int columns = sl_markup_columns(words);
        longest = columns > longest ? columns : longest;
    }
    frame->left = 16.0 + LETTER * longest;
    frame->width = WIDTH - RIGHT - frame->left;
    frame->x_ticks = sl_scale_ticks(&frame->x, 7);
    for (int i = 0; i < frame->plot->n_series; i++) {
        if (frame->plot->series[i].name != NULL) {
            double wide = 44.0 + LETTER * sl_markup_columns(frame->plot->series[i].name);
            bool fits = at > 0.0 && frame->left + at + wide <= WIDTH;
            frame->legend_rows += fits ? 0 : 1;
            at = fits ? at + wide : wide;
        }
    }
    frame->top = TOP_TITLE + LEGEND_ROW * frame->legend_rows + 30.0;
    frame->height = HEIGHT - BELOW - frame->top;
}

/* ---- parts of the figure ----------------------------------------------------------- */

static void add_axes(struct frame *frame)
{
    struct sl_text *text = frame->text;
    double bottom = frame->top + frame->height;
    double right = frame->left + frame->width;
    char words[64];
    for (int i = 0; i < frame->y_ticks.n; i++) {
        double y = place_y(frame, frame->y_ticks.at[i]);
        sl_text_add(text,
                    "<line class=\"grid\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" "
                    "y2=\"%.1f\"/>",
                    frame->left, y, right, y);
        y_text(frame, frame->y_ticks.at[i], words, sizeof words);
        sl_svg_text(text, frame->left - 8, y + 4.5, "q", "end", words);
    }
    for (int i = 0; i < frame->x_ticks.n; i++) {
        double x = place_x(frame, frame->x_ticks.at[i]);
        sl_text_add(text,
                    "<line class=\"axis\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" "
                    "y2=\"%.1f\"/>",
                    x, bottom, x, bottom + 5);
        sl_tick_text(frame->x_ticks.at[i], frame->x_ticks.step, false, words,
                     sizeof words);
        /* A text at the end stays inside of the picture. */
        bool is_last = x + LETTER * 0.5 * sl_markup_columns(words) > WIDTH - 2;
        sl_svg_text(text, is_last ? WIDTH - 2 : x, bottom + 20, "q",
                    is_last ? "end" : "middle", words);
    }
    sl_text_add(text, "<path class=\"axis\" d=\"M%.1f %.1fH%.1f\"/>\n", frame->left,
                bottom, right);
    sl_svg_text(text, frame->left + frame->width / 2, bottom + 40, "q", "middle",
                frame->plot->x_name);
    sl_svg_text(text, 4, frame->top - 12, "q", NULL, frame->plot->y_name);
}

static void add_legend(struct frame *frame)
{
    struct sl_text *text = frame->text;
    double at = 0.0;
    double y = TOP_TITLE + 20.0;
    bool is_first = true;
    for (int i = 0; i < frame->plot->n_series; i++) {
        const struct sl_series *one = &frame->plot->series[i];
        if (one->name == NULL) {
            continue;
        }
        double wide = 44.0 + LETTER * sl_markup_columns(one->name);
        if (!is_first && frame->left + at + wide > WIDTH) {
            at = 0.0;
            y += LEGEND_ROW;
        }
        char colour[8];
        (void)snprintf(colour, sizeof colour, one->colour < 0 ? "g" : "c%d", one->colour);
        if (one->draw == SL_DRAW_BAND) {
            sl_text_add(text,
                        "<rect class=\"b %s\" x=\"%.1f\" y=\"%.1f\" width=\"20\" "
                        "height=\"10\"/>",
                        colour, frame->left + at, y - 9);
        } else if (one->draw == SL_DRAW_POINTS) {
            sl_text_add(text, "<circle class=\"p %s\" cx=\"%.1f\" cy=\"%.1f\" r=\"5\"/>",
                        colour, frame->left + at + 10, y - 4.5);
        } else {
            sl_text_add(text, "<path class=\"l %s%s\" d=\"M%.1f %.1fh20\"/>", colour,
                        one->draw == SL_DRAW_DOTTED ? " d" : "", frame->left + at,
                        y - 4.5);
        }
        sl_svg_text(text, frame->left + at + 27, y, NULL, NULL, one->name);
        at += wide;
        is_first = false;
    }
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
        if (is_shown(one->y[i], false) && is_shown(one->x[i], false)) {
            *x += one->x[i];
            *y += one->y[i];
            n++;
        }
    }
    *x = n > 0 ? *x / (double)n : NAN;
    *y = n > 0 ? *y / (double)n : NAN;
}

static void add_point(struct frame *frame, const char *colour, double x, double y,
                      double radius)
{
    sl_text_add(frame->text,
                "<circle class=\"p %s\" cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\"/>", colour,
                place_x(frame, x), place_y(frame, y), radius);
}

/* A path that is broken where there is no value; a value alone is a point. */
static void add_line(struct frame *frame, const struct sl_series *one, const char *colour)
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
        bool is_there = isfinite(y) && is_shown(y, frame->y.is_log);
        frame->text = &points;
        if (shows_points && is_there) {
            add_point(frame, colour, x, y, 3.5);
        } else if (!shows_points && !is_there && run == 1) {
            add_point(frame, colour, x_before, y_before, 3.0);
        }
        frame->text = page;
        if (is_there) {
            sl_text_add(page, "%s%.1f %.1f", run == 0 ? "M" : "L", place_x(frame, x),
                        place_y(frame, y));
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
static void add_band(struct frame *frame, const struct sl_series *one, const char *colour)
{
    for (int64_t begin = 0; begin < one->n;) {
        int64_t end = begin;
        while (end < one->n && is_shown(one->y[end], frame->y.is_log) &&
               is_shown(one->base[end], frame->y.is_log)) {
            end++;
        }
        if (end > begin) {
            sl_text_add(frame->text, "<path class=\"b %s\" d=\"", colour);
            for (int64_t k = begin; k < end; k++) {
                sl_text_add(frame->text, "%s%.1f %.1f", k == begin ? "M" : "L",
                            place_x(frame, one->x[k]), place_y(frame, one->y[k]));
            }
            for (int64_t k = end - 1; k >= begin; k--) {
                sl_text_add(frame->text, "L%.1f %.1f", place_x(frame, one->x[k]),
                            place_y(frame, one->base[k]));
            }
            sl_text_add(frame->text, "Z\"/>");
        }
        begin = end + 1;
    }
}

static void add_series(struct frame *frame, const struct sl_series *one)
{
    char colour[8];
    (void)snprintf(colour, sizeof colour, one->colour < 0 ? "g" : "c%d", one->colour);
    if (one->draw == SL_DRAW_BAND) {
        add_band(frame, one, colour);
    } else if (one->draw != SL_DRAW_POINTS) {
        add_line(frame, one, colour);
    }
    for (int64_t k = 0; k < one->n; k++) {
        bool is_there =
            is_shown(one->y[k], frame->y.is_log) && is_shown(one->x[k], frame->x.is_log);
        if (one->draw == SL_DRAW_POINTS && is_there) {
            add_point(frame, colour, one->x[k], one->y[k], one->n > 100 ? 2.5 : 4.5);
        }
        if (one->labels != NULL && is_there) {
            sl_svg_text(frame->text, place_x(frame, one->x[k]),
                        place_y(frame, one->y[k]) - 10, "halo", "middle", one->labels[k]);
        }
    }
    sl_text_add(frame->text, "\n");
}

/* Words of lines across stand at the right, above their line, or below it near the top.
 */
static void add_references(struct frame *frame)
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
        double begin = fmin(fmax(x - wide / 2, least), WIDTH - 2 - wide);
        sl_svg_text(text, begin, frame->top - 12, "q", NULL, one->text);
    }
    for (int i = 0; i < frame->plot->n_across; i++) {
        const struct sl_reference *one = &frame->plot->across[i];
        double place = sl_scale_place(&frame->y, one->at);
        if (!(place >= 0.0 && place <= 1.0)) {
            continue;
        }
        double y = place_y(frame, one->at);
        sl_text_add(text, "<path class=\"ref\" d=\"M%.1f %.1fH%.1f\"/>", frame->left, y,
                    right);
        sl_svg_text(text, right - 4, place > 0.92 ? y + 16 : y - 6, "q halo", "end",
                    one->text);
    }
}

void sl_plot_svg(const struct sl_plot *plot, bool alone, struct sl_text *text)
{
    struct frame frame = {.plot = plot, .text = text};
    find_ranges(&frame);
    lay_out(&frame);
    sl_svg_open(text, WIDTH, HEIGHT, plot->title, alone);
    sl_svg_text(text, 4, TOP_TITLE - 4, "t", NULL, plot->title);
    add_legend(&frame);
    add_axes(&frame);
    for (int i = 0; i < plot->n_series; i++) {
        add_series(&frame, &plot->series[i]);
    }
    add_references(&frame);
    sl_text_add(text, "</svg>\n");
}

/* ---- the numbers ------------------------------------------------------------------- */

/* A field of CSV (RFC 4180): quoted, quotes doubled. */
static void add_quoted(struct sl_text *text, const char *words)
{
    sl_text_add(text, "\"");
    for (const char *at = words; *at != '\0'; at++) {
        sl_text_add(text, *at == '"' ? "\"\"" : "%c", *at);
    }
    sl_text_add(text, "\"");
}

void sl_plot_csv(const struct sl_plot *plot, struct sl_text *text)
{
    bool has_base = false;
    for (int i = 0; i < plot->n_series; i++) {
        has_base = has_base || plot->series[i].base != NULL;
    }
    sl_text_add(text, "series,");
    add_quoted(text, plot->x_name);
    sl_text_add(text, ",");
    add_quoted(text, plot->y_name);
    sl_text_add(text, "%s\n", has_base ? ",base" : "");
    for (int i = 0; i < plot->n_series; i++) {
        const struct sl_series *one = &plot->series[i];
        for (int64_t k = 0; k < one->n; k++) {
            if (!isfinite(one->y[k])) {
                continue;
            }
            add_quoted(text, one->name != NULL ? one->name : plot->y_name);
            sl_text_add(text, ",%.9g,%.9g", one->x[k], one->y[k]);
            if (has_base) {
                sl_text_add(text, one->base != NULL ? ",%.9g" : ",",
                            one->base != NULL ? one->base[k] : 0.0);
            }
            sl_text_add(text, "\n");
        }
    }
}
