/* SPDX-License-Identifier: MIT */
/*
 * The curves of a run: every column of its metrics, those of one quantity at several
 * widths in one figure. Names come from the file; what is known of a quantity (title,
 * unit, what it means, where chance lies) is a row of a table here, and one that is not
 * known is drawn under its own name.
 */
#include "report_int.h"

#include <math.h>
#include <string.h>

enum { COLLAPSE_LINES = 20, SERIES_MOST = SL_WIDTHS_MAX + 1 };
static const double COLLAPSE_STD = 0.05;

enum chance { NO_CHANCE, LOSS_CHANCE, SHARE_CHANCE, KNN_CHANCE };

/* Captions are HTML of ours. */
struct quantity {
    const char *key;
    bool is_by_width;
    const char *title, *y_name;
    bool is_percent;
    enum chance chance;
    const char *caption;
};

static const struct quantity known[] = {
    {"loss", true, "Loss of each width", "loss (nats)", false, LOSS_CHANCE,
     "The loss of the method at each width. Lower is better; at the dashed line the "
     "network guesses."},
    {"contrast_acc", true, "Partner ranked first", "share of pictures", true,
     SHARE_CHANCE,
     "How often the other view of the same picture is the most similar of all "
     "candidates."},
    {"acc", true, "Training accuracy", "share of pictures", true, SHARE_CHANCE,
     "How often the class is right on the training pictures of the step."},
    {"emb_std", true, "Spread of the embeddings", "spread (0 = all alike, 1 = even)",
     false, NO_CHANCE,
     "How far the embeddings of a batch lie apart. At 1 they fill all directions evenly; "
     "below 0.05 all pictures look alike to the network: it has collapsed."},
    {"knn_acc1", true, "Nearest neighbours while training", "right answers", true,
     KNN_CHANCE,
     "Labelled test pictures (<code>--eval-data</code>), judged by their most similar "
     "training pictures."},
    {"distill", true, "Distillation", "divergence from the teacher (nats)", false,
     NO_CHANCE,
     "How far each narrower width is from what the wider one answers, the teacher's own "
     "entropy taken off: 0 is perfect agreement."},
    {"grad_norm", true, "Size of the gradients", "L2 norm", false, NO_CHANCE,
     "Length of each width&#39;s own gradient, with its weight, before they are summed."},
    {"loss", false, "Objective of the step", "objective (nats)", false, NO_CHANCE,
     "What the optimiser sees: the losses of all active widths with their weights."},
    {"lr", false, "Learning rate", "learning rate", false, NO_CHANCE,
     "Its planned course: warm-up, then the schedule."},
    {"images_per_sec", false, "Speed", "pictures a second", false, NO_CHANCE,
     "Pictures trained on a second, evaluation and saving not counted; it falls when the "
     "sub-networks join, since every picture then passes through all widths."},
    {"data_wait", false, "Waiting for pictures", "share of the time", true, NO_CHANCE,
     "Share of the time in which the computation waited for the loader. More than a few "
     "percent: <code>slimclr pack</code>, or more <code>--workers</code>."},
};

/* ---- one figure -------------------------------------------------------------------- */

struct figure {
    struct sl_plot plot;
    struct sl_series series[SERIES_MOST];
    struct sl_reference across[2], up[1];
};

/* Values that come now and then (an evaluation an epoch) are joined over the lines
 * between them; elsewhere a line without a value is a gap. */
static enum sl_status add_series(struct sl_error *err, struct report *report,
                                 const double *column, const char *name, int colour,
                                 struct figure *figure)
{
    const double *steps = sl_metric_table_column(&report->metrics, "step");
    int64_t n = report->metrics.n_rows;
    int64_t first = n, last = -1, there = 0;
    for (int64_t i = 0; i < n; i++) {
        if (isfinite(column[i])) {
            first = i < first ? i : first;
            last = i;
            there++;
        }
    }
    if (there == 0 || figure->plot.n_series == SERIES_MOST) {
        return SL_OK;
    }
    struct sl_series *one = &figure->series[figure->plot.n_series++];
    *one = (struct sl_series){.name = name, .colour = colour, .draw = SL_DRAW_LINE};
    if (2 * there > last - first + 1) {
        one->n = last - first + 1;
        one->x = steps + first;
        one->y = column + first;
        return SL_OK;
    }
    double *x = NULL, *y = NULL;
    SL_TRY(sl_arena_alloc(err, report->arena, there, sizeof *x, &x));
    SL_TRY(sl_arena_alloc(err, report->arena, there, sizeof *y, &y));
    for (int64_t i = first; i <= last; i++) {
        if (isfinite(column[i])) {
            x[one->n] = steps[i];
            y[one->n++] = column[i];
        }
    }
    one->x = x;
    one->y = y;
    return SL_OK;
}

/* What a guess is worth, as the run logged it last, or 0: by the key, the method's loss
 * of it or the share that it gets right of labelled pictures. */
static double chance_of(const struct report *report, const char *key)
{
    const double *column = sl_metric_table_column(&report->metrics, key);
    for (int64_t i = report->metrics.n_rows - 1; column != NULL && i >= 0; i--) {
        if (isfinite(column[i]) && column[i] > 0.0) {
            return column[i];
        }
    }
    return 0.0;
}

/* Runs of earlier versions did not log it: an evaluation on the same data knows it. */
static double knn_chance(const struct report *report)
{
    double chance = chance_of(report, "knn_chance");
    const char *data = sl_conf_text(report->run_conf, "eval-data");
    for (int i = 0; chance == 0.0 && i < report->n_evals; i++) {
        const json_t *root = report->evals[i].root;
        const char *theirs = json_string_value(json_object_get(root, "data"));
        if (theirs != NULL && strcmp(theirs, data) == 0) {
            chance = report_chance_of(root);
        }
    }
    return chance;
}

/* Lines that the eye should measure by. */
static void add_references(struct report *report, const struct quantity *quantity,
                           struct figure *figure)
{
    double chance =
        quantity->chance == KNN_CHANCE ? knn_chance(report) : chance_of(report, "chance");
    struct sl_plot *plot = &figure->plot;
    plot->across = figure->across;
    plot->up = figure->up;
    if (quantity->chance == LOSS_CHANCE && chance > 0.0) {
        figure->across[plot->n_across++] = (struct sl_reference){
            chance, report_keep(report, "chance: %.4g nats", chance)};
    }
    if ((quantity->chance == SHARE_CHANCE || quantity->chance == KNN_CHANCE) &&
        chance > 0.0) {
        /* a guess among n has the loss ln n */
        double share = quantity->chance == SHARE_CHANCE ? exp(-chance) : chance;
        figure->across[plot->n_across++] = (struct sl_reference){
            share, report_keep(report, "chance: %.2g %%", 100.0 * share)};
    }
    if (strcmp(quantity->key, "emb_std") == 0) {
        figure->across[plot->n_across++] =
            (struct sl_reference){COLLAPSE_STD, "collapse: below 0.05"};
    }
    if (report->slow_step > 0.0 && report->slow_step < (double)report->last_step &&
        report->widths.n > 1) {
        figure->up[plot->n_up++] =
            (struct sl_reference){report->slow_step, "sub-networks join"};
    }
}

/* Sizes that span decades are seen on a logarithmic axis. */
static bool spans_decades(const struct figure *figure)
{
    double low = INFINITY, high = -INFINITY;
    for (int i = 0; i < figure->plot.n_series; i++) {
        for (int64_t k = 0; k < figure->series[i].n; k++) {
            double y = figure->series[i].y[k];
            if (isfinite(y)) {
                low = fmin(low, y);
                high = fmax(high, y);
            }
        }
    }
    return low > 0.0 && high / low > 30.0;
}

static enum sl_status draw(struct sl_error *err, struct report *report,
                           const struct quantity *quantity, struct figure *figure)
{
    char id[64];
    char caption[1024];
    struct sl_plot *plot = &figure->plot;
    if (plot->n_series == 0) {
        return SL_OK;
    }
    size_t at =
        (size_t)snprintf(id, sizeof id, "%s", quantity->is_by_width ? "" : "run-");
    for (const char *c = quantity->key; *c != '\0' && at + 1 < sizeof id; c++) {
        bool is_plain = (*c >= 'a' && *c <= 'z') || (*c >= '0' && *c <= '9') ||
                        *c == '-' || *c == '_';
        id[at++] = is_plain ? *c : '-';
    }
    id[at] = '\0';
    plot->id = id;
    plot->title = quantity->title;
    plot->x_name =
        report->per_epoch > 0.0
            ? report_keep(report, "step (%.5g are an epoch)", report->per_epoch)
            : "step";
    plot->y_name = quantity->y_name;
    plot->is_percent = quantity->is_percent;
    plot->series = figure->series;
    plot->has_x_range = report->last_step > 0;
    plot->x_high = 1.01 * (double)report->last_step;
    add_references(report, quantity, figure);
    plot->is_log_y = strcmp(quantity->key, "grad_norm") == 0 && spans_decades(figure);
    int64_t bucket = 1;
    for (int i = 0; i < plot->n_series; i++) {
        int64_t one = sl_plot_bucket(figure->series[i].n);
        bucket = one > bucket ? one : bucket;
    }
    int length = snprintf(caption, sizeof caption, "%s", quantity->caption);
    if (bucket > 1) {
        (void)snprintf(caption + length, sizeof caption - (size_t)length,
                       " A point of the line is the mean of %lld logged lines.",
                       (long long)bucket);
    }
    return report_figure(err, report, plot, caption);
}

/* "emb_std/w0.50" is quantity "emb_std" at width "0.50"; others stand alone. */
static const char *width_of(const char *name)
{
    const char *slash = strrchr(name, '/');
    return slash != NULL && slash[1] == 'w' && slash[2] >= '0' && slash[2] <= '9'
               ? slash + 2
               : NULL;
}

static bool is_of(const char *name, const struct quantity *quantity)
{
    const char *width = width_of(name);
    size_t length = width != NULL ? (size_t)(width - 2 - name) : strlen(name);
    return (width != NULL) == quantity->is_by_width && strlen(quantity->key) == length &&
           strncmp(name, quantity->key, length) == 0;
}

static bool is_zero(const struct report *report, int column)
{
    for (int64_t i = 0; i < report->metrics.n_rows; i++) {
        if (isfinite(report->metrics.columns[column][i]) &&
            report->metrics.columns[column][i] != 0.0) {
            return false;
        }
    }
    return true;
}

static enum sl_status draw_quantity(struct sl_error *err, struct report *report,
                                    const struct quantity *quantity)
{
    struct figure figure = {0};
    int others = report->widths.n;
    for (int i = 0; i < report->metrics.n_columns; i++) {
        const char *name = report->metrics.names[i];
        if (!is_of(name, quantity)) {
            continue;
        }
        const char *width = width_of(name);
        int index = width != NULL ? report_width(report, width) : -1;
        if (strcmp(quantity->key, "distill") == 0 && is_zero(report, i)) {
            continue; /* without a teacher a row of zeros is no curve */
        }
        int colour = width == NULL ? -1 : index >= 0 ? index : others++;
        SL_TRY(add_series(err, report, report->metrics.columns[i],
                          width != NULL ? report_keep(report, "width %s", width) : NULL,
                          colour % SL_COLOURS, &figure));
    }
    return draw(err, report, quantity, &figure);
}

/* ---- all of them ------------------------------------------------------------------- */

static bool is_known(const char *name)
{
    static const char *const not_drawn[] = {"step", "epoch", "chance", "knn_chance"};
    for (int i = 0; i < SL_COUNT(not_drawn); i++) {
        if (strcmp(name, not_drawn[i]) == 0) {
            return true;
        }
    }
    for (int i = 0; i < SL_COUNT(known); i++) {
        if (is_of(name, &known[i])) {
            return true;
        }
    }
    return false;
}

/* A quantity this program does not know, once, at the first of its columns. */
static enum sl_status draw_unknown(struct sl_error *err, struct report *report, int i)
{
    char key[48];
    const char *name = report->metrics.names[i];
    const char *width = width_of(name);
    (void)sl_text_copy(key, sizeof key, name);
    if (width != NULL) {
        key[width - 2 - name] = '\0';
    }
    const struct quantity quantity = {.key = key,
                                      .is_by_width = width != NULL,
                                      .title = key,
                                      .y_name = key,
                                      .caption = "As the run logged it."};
    for (int k = 0; k < i; k++) {
        if (is_of(report->metrics.names[k], &quantity)) {
            return SL_OK;
        }
    }
    return draw_quantity(err, report, &quantity);
}

enum sl_status report_curves(struct sl_error *err, struct report *report)
{
    sl_page_section(&report->page, "training", "How training went");
    if (!report->has_metrics || report->metrics.n_rows == 0) {
        report_gap(report,
                   report->metrics_problem != NULL
                       ? report->metrics_problem
                       : "No step was logged: the checkpoint is untrained, or the run "
                         "has just begun.",
                   NULL);
        sl_page_section_end(&report->page);
        return SL_OK;
    }
    if (report->metrics.n_left_out > 0) {
        report_words(report,
                     "Damaged: %lld lines of metrics.jsonl are no metric line, or step "
                     "back; they are left out of all that follows.",
                     (long long)report->metrics.n_left_out);
    }
    if (report->metrics.stride > 1) {
        report_words(report,
                     "Thinned: of the %lld lines of metrics.jsonl every %lld in a row "
                     "are shown as one, their mean.",
                     (long long)report->metrics.n_lines,
                     (long long)report->metrics.stride);
    }
    sl_text_add(&report->page, "<div class=\"figures\">\n");
    for (int i = 0; i < SL_COUNT(known); i++) {
        SL_TRY(draw_quantity(err, report, &known[i]));
    }
    for (int i = 0; i < report->metrics.n_columns; i++) {
        if (!is_known(report->metrics.names[i])) {
            SL_TRY(draw_unknown(err, report, i));
        }
    }
    sl_text_add(&report->page, "</div>\n");
    if (sl_metric_table_column(&report->metrics, "step") != NULL) {
        bool judged = false;
        for (int i = 0; i < report->metrics.n_columns; i++) {
            judged = judged || strncmp(report->metrics.names[i], "knn_acc1", 8) == 0;
        }
        if (!judged) {
            report_gap(report,
                       "The widths were not judged while training; the same run with "
                       "labelled pictures would add that curve:",
                       "slimclr pretrain … --eval-data DATA");
        }
    }
    report_collapse(report);
    sl_page_section_end(&report->page);
    return SL_OK;
}

/* ---- collapse in words ------------------------------------------------------------- */

static const double *spread_of(const struct report *report, int width)
{
    char text[16];
    char key[48];
    sl_multiplier_text(report->widths.at[width], text, sizeof text);
    (void)snprintf(key, sizeof key, "emb_std/w%s", text);
    return sl_metric_table_column(&report->metrics, key);
}

/* The rows that hold as many lines as must lie below the threshold. */
static int64_t rows_needed(const struct report *report)
{
    int64_t stride = report->metrics.stride;
    return (COLLAPSE_LINES + stride - 1) / stride;
}

/* The rows below the threshold that end at row `end`: their number, and the first. */
static int64_t rows_below(const struct report *report, const double *spread, int64_t end,
                          int64_t *first)
{
    const double *steps = sl_metric_table_column(&report->metrics, "step");
    int64_t n = 0;
    for (int64_t i = end; i >= 0 && steps[i] >= report->warm_step; i--) {
        if (isfinite(spread[i])) {
            if (spread[i] >= COLLAPSE_STD) {
                break;
            }
            *first = i;
            n++;
        }
    }
    return n;
}

int64_t report_collapsed_since(const struct report *report, int width)
{
    const double *spread = spread_of(report, width);
    int64_t first = 0;
    if (spread == NULL || report->metrics.n_rows == 0) {
        return -1;
    }
    int64_t n = rows_below(report, spread, report->metrics.n_rows - 1, &first);
    /* A run may be over before so many lines were logged: then its end decides, as in the
     * run's own warning. */
    bool counts = n >= rows_needed(report) || (n > 0 && report->is_finished);
    return counts ? (int64_t)sl_metric_table_column(&report->metrics, "step")[first] : -1;
}

static void add_width_words(struct report *report, int width)
{
    char text[16];
    const double *spread = spread_of(report, width);
    const double *steps = sl_metric_table_column(&report->metrics, "step");
    int64_t n = report->metrics.n_rows;
    int64_t last = -1, since = report_collapsed_since(report, width), first = 0;
    sl_multiplier_text(report->widths.at[width], text, sizeof text);
    for (int64_t i = 0; spread != NULL && i < n; i++) {
        last = isfinite(spread[i]) ? i : last;
    }
    sl_text_add(&report->page, "<li><span class=\"dot k%d\"></span>width %s: ", width,
                text);
    if (last < 0) {
        sl_text_add(&report->page,
                    "<span class=\"quiet\">not trained yet: it has no spread</span>");
    } else if (since >= 0) {
        sl_text_add(
            &report->page,
            "<span class=\"bad\">collapsed</span> since step %lld: spread %.2g at "
            "step %.0f",
            (long long)since, spread[last], steps[last]);
    } else {
        sl_text_add(&report->page,
                    "<span class=\"good\">not collapsed</span>: spread %.2f at step %.0f",
                    spread[last], steps[last]);
        for (int64_t i = 0; i < n; i++) { /* it may have been, for a while */
            if (rows_below(report, spread, i, &first) == rows_needed(report)) {
                sl_text_add(&report->page,
                            "; it lay below %.2g from step %.0f on, and recovered",
                            COLLAPSE_STD, steps[first]);
                break;
            }
        }
    }
    sl_text_add(&report->page, "</li>\n");
}

void report_collapse(struct report *report)
{
    if (!report->has_metrics || report->metrics.n_rows == 0 ||
        spread_of(report, 0) == NULL) {
        return;
    }
    sl_text_add(&report->page, "<h3>Has it collapsed?</h3>\n<ul>\n");
    for (int i = 0; i < report->widths.n; i++) {
        add_width_words(report, i);
    }
    sl_text_add(&report->page,
                "</ul>\n<p class=\"quiet small\">A width counts as collapsed when its "
                "spread stays below %.2g on %d logged lines in a row after the warm-up, "
                "or at the end of a run that is shorter.</p>\n",
                COLLAPSE_STD, (int)COLLAPSE_LINES);
}
