/* SPDX-License-Identifier: MIT */
/*
 * Gradient diagnostics of a run that has them (RUN/graddiag.jsonl and graddiag_head.f32):
 * the published ratios of norms, each width's own gradient and its share of every ring of
 * channels, the angles between widths, and the direction of the last layer's gradient
 * over time. Draws what the files say and computes only the projection.
 */
#include "report_int.h"

#include <math.h>
#include <string.h>

/* So many records, and so many bytes of their text, are held parsed at once; of a longer
 * run every stride-th. */
enum { RECORDS_MOST = 20000, SCATTER_MOST = 400, LAYERS_MOST = 512 };
static const int64_t TEXT_MOST = (int64_t)64 << 20, LINE_MOST = (int64_t)16 << 20;

/* One number of each record, found by a path; NaN where there is none. */
struct records {
    json_t *list;      /* of objects */
    int64_t n, stride; /* the i-th is line i * stride of the file when none is damaged */
    int64_t n_damaged; /* of the lines that were looked at */
    int64_t n_lines;
    int n_widths;
    double *step;
};

/* Whole lines and their bytes; the last may be being written. */
static enum sl_status count_lines(struct sl_error *err, const char *path, int64_t *n,
                                  int64_t *size)
{
    struct sl_line_reader *reader = NULL;
    struct sl_line line = {.text = ""};
    *n = 0;
    SL_TRY(sl_lines_open(err, SL_ERROR_DATA, path, LINE_MOST, &reader));
    enum sl_status status = sl_lines_next(err, reader, &line);
    while (status == SL_OK && line.text != NULL) {
        ++*n;
        status = sl_lines_next(err, reader, &line);
    }
    *size = sl_lines_at(reader);
    sl_lines_close(reader);
    return status;
}

static void add_record(struct records *records, const char *line, size_t length)
{
    json_error_t problem;
    json_t *root = json_loadb(line, length, 0, &problem);
    if (json_is_integer(json_object_get(root, "step")) &&
        json_array_size(json_object_get(root, "widths")) == (size_t)records->n_widths) {
        json_array_append(records->list, root);
    } else {
        records->n_damaged++;
    }
    json_decref(root);
}

/* The run may go on meanwhile, or be resumed and rewrite the file: then there are as many
 * records as are found. */
static enum sl_status read_lines(struct sl_error *err, const char *path,
                                 struct records *records)
{
    struct sl_line_reader *reader = NULL;
    struct sl_line line = {0};
    int64_t size = 0;
    SL_TRY(count_lines(err, path, &records->n_lines, &size));
    int64_t by_count = (records->n_lines + RECORDS_MOST - 1) / RECORDS_MOST;
    int64_t by_size = (size + TEXT_MOST - 1) / TEXT_MOST;
    records->stride = by_count > by_size ? by_count : by_size;
    SL_TRY(sl_lines_open(err, SL_ERROR_DATA, path, LINE_MOST, &reader));
    enum sl_status status = SL_OK;
    for (int64_t i = 0; i < records->n_lines && status == SL_OK; i++) {
        status = sl_lines_next(err, reader, &line);
        if (line.text == NULL) {
            break;
        }
        if (i % records->stride == 0) {
            add_record(records, line.text, (size_t)line.length);
        }
    }
    sl_lines_close(reader);
    return status;
}

static enum sl_status read_records(struct sl_error *err, struct report *report,
                                   const char *path, struct records *records)
{
    records->list = json_array();
    records->n_widths = report->widths.n;
    SL_TRY(read_lines(err, path, records));
    records->n = (int64_t)json_array_size(records->list);
    SL_TRY(sl_arena_alloc(err, report->arena, records->n, sizeof *records->step,
                          &records->step));
    for (int64_t i = 0; i < records->n; i++) {
        records->step[i] = json_number_value(
            json_object_get(json_array_get(records->list, (size_t)i), "step"));
    }
    return SL_OK;
}

/* value[group][key], then as many indices as are not negative. */
static double number_at(const json_t *root, const char *group, const char *key, int first,
                        int second)
{
    const json_t *value = json_object_get(json_object_get(root, group), key);
    if (first >= 0) {
        value = json_array_get(value, (size_t)first);
    }
    if (second >= 0) {
        value = json_array_get(value, (size_t)second);
    }
    return json_is_number(value) ? json_number_value(value) : NAN;
}

static enum sl_status column_of(struct sl_error *err, struct report *report,
                                const struct records *records, const char *group,
                                const char *key, int first, int second, double **column)
{
    SL_TRY(
        sl_arena_alloc(err, report->arena, records->n, sizeof **column, (void *)column));
    for (int64_t i = 0; i < records->n; i++) {
        (*column)[i] = number_at(json_array_get(records->list, (size_t)i), group, key,
                                 first, second);
    }
    return SL_OK;
}

static const char *width_name(struct report *report, int width)
{
    char text[16];
    sl_multiplier_text(report->widths.at[width], text, sizeof text);
    return report_keep(report, "%s", text);
}

/* A plot over steps, with the end of slow start. */
static struct sl_plot over_steps(struct report *report, const char *id, const char *title,
                                 const char *y_name, const struct sl_series *series,
                                 int n_series, struct sl_reference *up)
{
    struct sl_plot plot = {.id = id,
                           .title = title,
                           .x_name = "step",
                           .y_name = y_name,
                           .has_x_range = report->last_step > 0,
                           .x_high = 1.01 * (double)report->last_step,
                           .series = series,
                           .n_series = n_series};
    if (report->slow_step > 0.0) {
        *up = (struct sl_reference){report->slow_step, "sub-networks join"};
        plot.up = up;
        plot.n_up = 1;
    }
    return plot;
}

/* ---- the figures ------------------------------------------------------------------- */

static enum sl_status draw_ratios(struct sl_error *err, struct report *report,
                                  const struct records *records)
{
    double *a = NULL, *b = NULL;
    struct sl_reference up;
    const struct sl_reference one = {1.0, "1: the inner block has as much as the rest"};
    SL_TRY(column_of(err, report, records, "published", "ratio_a", -1, -1, &a));
    SL_TRY(column_of(err, report, records, "published", "ratio_b", -1, -1, &b));
    const struct sl_series series[] = {{.name = "A: whole / inner block",
                                        .colour = 7,
                                        .draw = SL_DRAW_LINE,
                                        .n = records->n,
                                        .x = records->step,
                                        .y = a},
                                       {.name = "B: outer rest / inner block",
                                        .colour = 4,
                                        .draw = SL_DRAW_LINE,
                                        .n = records->n,
                                        .x = records->step,
                                        .y = b}};
    struct sl_plot plot = over_steps(report, "gradient-ratios", "Who moves the weights",
                                     "ratio of gradient norms", series, 2, &up);
    plot.across = &one;
    plot.n_across = 1;
    return report_figure(
        err, report, &plot,
        "The paper&#39;s measure, on the summed gradient: the norm of the whole (A) and "
        "of "
        "what lies outside the narrowest width&#39;s block (B), over the norm of that "
        "block. Where B is below 1, the small block dominates the training of the "
        "whole.");
}

static enum sl_status draw_norms(struct sl_error *err, struct report *report,
                                 const struct records *records)
{
    struct sl_series series[SL_WIDTHS_MAX] = {{0}};
    struct sl_reference up;
    for (int w = 0; w < records->n_widths; w++) {
        double *y = NULL;
        SL_TRY(column_of(err, report, records, "total", "norm", w, -1, &y));
        for (int64_t i = 0; i < records->n; i++) { /* not trained yet */
            y[i] = y[i] > 0.0 ? y[i] : NAN;
        }
        series[w] = (struct sl_series){
            .name = report_keep(report, "width %s", width_name(report, w)),
            .colour = w % SL_COLOURS,
            .draw = SL_DRAW_LINE,
            .n = records->n,
            .x = records->step,
            .y = y};
    }
    struct sl_plot plot =
        over_steps(report, "gradient-norms", "Each width's own gradient", "L2 norm",
                   series, records->n_widths, &up);
    plot.is_log_y = true;
    return report_figure(
        err, report, &plot,
        "Length of each width&#39;s gradient on the shared weights before "
        "the sum, with the weight that its loss has.");
}

/* Bands of one ring: width above width, to 100 %. */
static enum sl_status draw_shares(struct sl_error *err, struct report *report,
                                  const struct records *records, int ring)
{
    struct sl_series series[SL_WIDTHS_MAX] = {{0}};
    struct sl_reference up;
    double *below = NULL;
    int last = records->n_widths - 1;
    SL_TRY(sl_arena_alloc(err, report->arena, records->n, sizeof *below, &below));
    for (int w = 0; w <= ring; w++) {
        double *y = NULL;
        SL_TRY(column_of(err, report, records, "total", "ring_share", w, ring, &y));
        for (int64_t i = 0; i < records->n; i++) {
            y[i] += below[i];
        }
        series[w] = (struct sl_series){
            .name = report_keep(report, "width %s", width_name(report, w)),
            .colour = w % SL_COLOURS,
            .draw = SL_DRAW_BAND,
            .n = records->n,
            .x = records->step,
            .y = y,
            .base = below};
        below = y;
    }
    const char *title =
        ring == last
            ? report_keep(report, "Who moves the inner block (width %s)",
                          width_name(report, ring))
            : report_keep(report, "Who moves the ring from %s to %s",
                          width_name(report, ring + 1), width_name(report, ring));
    struct sl_plot plot = over_steps(
        report, report_keep(report, "gradient-share-%s", width_name(report, ring)), title,
        "share of the squared gradient", series, ring + 1, &up);
    plot.is_percent = true;
    plot.has_y_range = true;
    plot.y_low = 0.0;
    plot.y_high = 1.0;
    return report_figure(err, report, &plot,
                         "Of the squared gradient that reaches these weights, each "
                         "width&#39;s own part.");
}

static enum sl_status draw_cosines(struct sl_error *err, struct report *report,
                                   const struct records *records)
{
    struct sl_series series[SL_WIDTHS_MAX] = {{0}};
    struct sl_reference up;
    const struct sl_reference zero = {0.0, "0: nothing in common"};
    int n = 0;
    for (int w = 1; w < records->n_widths; w++) {
        double *y = NULL;
        SL_TRY(column_of(err, report, records, "total", "cosine", 0, w, &y));
        series[n] = (struct sl_series){
            .name = report_keep(report, "full and %s", width_name(report, w)),
            .colour = w % SL_COLOURS,
            .draw = SL_DRAW_LINE,
            .n = records->n,
            .x = records->step,
            .y = y};
        n++;
    }
    struct sl_plot plot =
        over_steps(report, "gradient-cosine", "Do the widths pull the same way?",
                   "cosine", series, n, &up);
    plot.across = &zero;
    plot.n_across = 1;
    return report_figure(err, report, &plot,
                         "Cosine between the full width&#39;s own gradient and each "
                         "narrower one&#39;s, on the block they share. 1 = the same "
                         "direction, 0 = none in common, below 0 = against one another.");
}

/* Mean over the last quarter of the records that have a value. */
static double late_mean(const struct records *records, size_t layer, int width)
{
    double sum = 0.0;
    int64_t n = 0;
    for (int64_t i = records->n - 1 - (records->n - 1) / 4; i < records->n; i++) {
        json_t *root = json_array_get(records->list, (size_t)i);
        json_t *one = json_array_get(json_object_get(root, "layers"), layer);
        json_t *value = json_array_get(json_array_get(json_object_get(one, "cosine"), 0),
                                       (size_t)width);
        if (json_is_number(value)) {
            sum += json_number_value(value);
            n++;
        }
    }
    return n > 0 ? sum / (double)n : NAN;
}

static enum sl_status draw_layers(struct sl_error *err, struct report *report,
                                  const struct records *records)
{
    struct sl_series series[SL_WIDTHS_MAX] = {{0}};
    const struct sl_reference zero = {0.0, "0: nothing in common"};
    json_t *layers =
        json_object_get(json_array_get(records->list, (size_t)records->n - 1), "layers");
    size_t n_layers = json_array_size(layers);
    double *x = NULL;
    if (n_layers < 2 || n_layers > LAYERS_MOST) {
        return SL_OK;
    }
    SL_TRY(sl_arena_alloc(err, report->arena, (int64_t)n_layers, sizeof *x, &x));
    for (size_t k = 0; k < n_layers; k++) {
        x[k] = (double)k + 1.0;
    }
    for (int w = 1; w < records->n_widths; w++) {
        double *y = NULL;
        SL_TRY(sl_arena_alloc(err, report->arena, (int64_t)n_layers, sizeof *y, &y));
        for (size_t k = 0; k < n_layers; k++) {
            y[k] = late_mean(records, k, w);
        }
        series[w - 1] = (struct sl_series){
            .name = report_keep(report, "full and %s", width_name(report, w)),
            .colour = w % SL_COLOURS,
            .draw = SL_DRAW_LINE,
            .n = (int64_t)n_layers,
            .x = x,
            .y = y};
    }
    const struct sl_plot plot = {.id = "gradient-cosine-layers",
                                 .title = "The same, layer by layer",
                                 .x_name = "layer, from the pictures (1) to the head",
                                 .y_name = "cosine",
                                 .has_x_range = true,
                                 .x_low = 0.5,
                                 .x_high = (double)n_layers + 0.5,
                                 .series = series,
                                 .n_series = records->n_widths - 1,
                                 .across = &zero,
                                 .n_across = 1};
    return report_figure(err, report, &plot,
                         "Mean of the last quarter of the records, for every shared "
                         "weight in the order of the network.");
}

/* ---- direction of the last layer's gradient ---------------------------------------- */

/* False when the file has not so many bytes there, or cannot be read. */
static bool read_part(const char *path, int64_t offset, int64_t count, void *bytes)
{
    struct sl_error ignored = {0};
    int64_t got = 0;
    return sl_file_read_at(&ignored, SL_ERROR_DATA, path, offset, count, bytes, &got) ==
               SL_OK &&
           got == count;
}

/* Every `stride`-th row of the file, as rows of `d`; *there is false when the file is too
 * short for them. */
static enum sl_status read_head(struct sl_error *err, const char *path, int64_t d,
                                int64_t n, int64_t stride, float **rows, bool *there)
{
    const int64_t bytes = d * 4;
    unsigned char four[4];
    /* The last number of the last row, before memory is taken. */
    *there = read_part(path, (n - 1) * stride * bytes + bytes - 4, 4, four);
    if (!*there) {
        return SL_OK;
    }
    SL_TRY(sl_heap_alloc(err, "gradients of the last layer", n * d, sizeof **rows,
                         (void *)rows));
    for (int64_t i = 0; i < n && *there; i++) {
        float *row = *rows + i * d;
        *there = read_part(path, i * stride * bytes, bytes, row);
        for (int64_t k = 0; k < d && *there; k++) { /* little-endian in the file */
            memcpy(four, row + k, sizeof four);
            uint32_t bits = (uint32_t)four[0] | (uint32_t)four[1] << 8 |
                            (uint32_t)four[2] << 16 | (uint32_t)four[3] << 24;
            memcpy(row + k, &bits, sizeof bits);
        }
    }
    return SL_OK;
}

/* How strong its strongest directions are, and all of them together. */
static enum sl_status draw_singular(struct sl_error *err, struct report *report,
                                    const struct records *records)
{
    static const char *const names[] = {"largest", "second", "all together"};
    double *y[SL_COUNT(names)] = {NULL};
    struct sl_series series[SL_COUNT(names)];
    struct sl_reference up;
    bool is_there = false;
    for (int i = 0; i < SL_COUNT(names); i++) {
        bool is_norm = i == SL_COUNT(names) - 1;
        SL_TRY(column_of(err, report, records, "head", is_norm ? "norm" : "singular",
                         is_norm ? -1 : i, -1, &y[i]));
        series[i] = (struct sl_series){.name = names[i],
                                       .colour = is_norm  ? -1
                                                 : i == 0 ? 7
                                                          : 4,
                                       .draw = is_norm ? SL_DRAW_DOTTED : SL_DRAW_LINE,
                                       .n = records->n,
                                       .x = records->step,
                                       .y = y[i]};
    }
    for (int64_t i = 0; i < records->n; i++) {
        is_there = is_there || isfinite(y[0][i]);
    }
    if (!is_there) { /* a net without a head that is a matrix */
        return SL_OK;
    }
    struct sl_plot plot = over_steps(report, "gradient-singular",
                                     "Singular values of the last layer's gradient",
                                     "singular value", series, SL_COUNT(names), &up);
    return report_figure(
        err, report, &plot,
        "The summed gradient of the head&#39;s last layer is a matrix; its singular "
        "values say how strongly it pulls along its strongest directions, at one step. "
        "Dotted: all of them together, the gradient&#39;s length. Where the largest is "
        "nearly that, the whole layer is pushed one way.");
}

static enum sl_status draw_direction(struct sl_error *err, struct report *report,
                                     const struct records *records, int64_t n,
                                     int64_t stride, const double *const *places,
                                     const double share[2])
{
    static const char *const ids[] = {"gradient-direction-1", "gradient-direction-2"};
    static const char *const titles[] = {
        "Direction of the last layer's gradient: first",
        "Direction of the last layer's gradient: second"};
    double *x = NULL;
    double most = 0.0; /* both figures have the same axis: their clouds are compared */
    SL_TRY(sl_arena_alloc(err, report->arena, n, sizeof *x, &x));
    for (int64_t i = 0; i < n; i++) {
        x[i] = records->step[i * stride];
        most = fmax(most, fmax(fabs(places[0][i]), fabs(places[1][i])));
    }
    for (int part = 0; part < 2; part++) {
        char caption[256];
        struct sl_reference up;
        const struct sl_series series = {
            .colour = 7, .draw = SL_DRAW_POINTS, .n = n, .x = x, .y = places[part]};
        struct sl_plot plot = over_steps(report, ids[part], titles[part],
                                         "along that component (L2)", &series, 1, &up);
        plot.has_y_range = most > 0.0;
        plot.y_low = -1.05 * most;
        plot.y_high = 1.05 * most;
        (void)snprintf(
            caption, sizeof caption,
            "The summed gradient of the head&#39;s last layer along its %s "
            "principal component over the run (%.0f %% of the spread). A wide, "
            "disordered cloud is a direction that diverges.",
            part == 0 ? "first" : "second", 100.0 * share[part]);
        SL_TRY(report_figure(err, report, &plot, caption));
    }
    return SL_OK;
}

static enum sl_status draw_head(struct sl_error *err, struct report *report,
                                const struct records *records)
{
    char path[REPORT_PATH];
    enum sl_status status = SL_OK;
    float *rows = NULL;
    double *places[2] = {NULL, NULL};
    double share[2];
    double values = number_at(json_array_get(records->list, 0), "head", "values", -1, -1);
    if (!(values >= 1.0 && values <= 1e8) || records->n < 3 ||
        !sl_path_join(path, sizeof path, report->run, "graddiag_head.f32") ||
        sl_path_kind(path) != SL_PATH_FILE) {
        return SL_OK;
    }
    int64_t d = (int64_t)values;
    /* Of the records that were read; the file of the head has a row for each line. */
    int64_t stride = (records->n + SCATTER_MOST - 1) / SCATTER_MOST;
    int64_t n = (records->n + stride - 1) / stride;
    int64_t rows_between = stride * records->stride;
    bool there = records->n_damaged == 0;
    if (there) {
        SL_TRY_OUT(read_head(err, path, d, n, rows_between, &rows, &there));
    }
    if (!there) {
        report_gap(report,
                   "graddiag_head.f32 does not fit graddiag.jsonl, so the "
                   "direction of the last layer's gradient is not drawn.",
                   NULL);
        goto out;
    }
    SL_TRY_OUT(sl_arena_alloc(err, report->arena, n, sizeof **places, &places[0]));
    SL_TRY_OUT(sl_arena_alloc(err, report->arena, n, sizeof **places, &places[1]));
    SL_TRY_OUT(sl_project(err, n, d, rows, true, places[0], places[1], share));
    SL_TRY_OUT(draw_direction(err, report, records, n, stride,
                              (const double *const *)places, share));
out:
    sl_heap_free(rows);
    return status;
}

bool report_has_gradients(const struct report *report)
{
    char path[REPORT_PATH];
    return sl_path_join(path, sizeof path, report->run, "graddiag.jsonl") &&
           sl_path_kind(path) == SL_PATH_FILE;
}

/* ---- the section ------------------------------------------------------------------- */

static enum sl_status draw_all(struct sl_error *err, struct report *report,
                               const struct records *records)
{
    sl_text_add(&report->page, "<div class=\"figures\">\n");
    if (records->n_widths > 1) {
        SL_TRY(draw_ratios(err, report, records));
    }
    SL_TRY(draw_norms(err, report, records));
    for (int ring = records->n_widths - 1; ring >= 1; ring--) {
        SL_TRY(draw_shares(err, report, records, ring));
    }
    if (records->n_widths > 1) {
        SL_TRY(draw_cosines(err, report, records));
        SL_TRY(draw_layers(err, report, records));
    }
    SL_TRY(draw_singular(err, report, records));
    enum sl_status status = draw_head(err, report, records);
    sl_text_add(&report->page, "</div>\n");
    return status;
}

enum sl_status report_gradients(struct sl_error *err, struct report *report)
{
    char path[REPORT_PATH];
    struct records records = {0};
    enum sl_status status = SL_OK;
    bool is_there = report_has_gradients(report);
    if (!is_there && !sl_conf_has(report->run_conf, "grad-diag")) {
        return SL_OK; /* this program makes none */
    }
    sl_page_section(&report->page, "gradients", "What the gradients say");
    if (!is_there || !sl_path_join(path, sizeof path, report->run, "graddiag.jsonl")) {
        report_gap(report, "The run kept no gradient diagnostics; this would:",
                   "slimclr pretrain … --grad-diag on");
        sl_page_section_end(&report->page);
        return SL_OK;
    }
    struct sl_error reason = {0};
    status = read_records(&reason, report, path, &records);
    if (status != SL_OK) {
        if (status == SL_ERROR_RUN) { /* a lack of memory */
            *err = reason;
            goto out;
        }
        report_gap(report, reason.text, NULL);
        sl_page_section_end(&report->page);
        status = SL_OK;
        goto out;
    }
    if (records.stride > 1) {
        report_words(report,
                     "Thinned: of %lld lines of graddiag.jsonl one in %lld is shown.",
                     (long long)records.n_lines, (long long)records.stride);
    }
    if (records.n_damaged > 0) {
        report_words(report,
                     "Damaged: %lld lines of graddiag.jsonl are no record of this "
                     "run's widths; they are left out.",
                     (long long)records.n_damaged);
    }
    if (records.n == 0) {
        report_gap(report, "No record was made yet.", NULL);
    } else {
        SL_TRY_OUT(draw_all(err, report, &records));
    }
    sl_page_section_end(&report->page);
out:
    json_decref(records.list);
    return status;
}
