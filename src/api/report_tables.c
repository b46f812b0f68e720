/* SPDX-License-Identifier: MIT */
/*
 * The tables of the page: the settings that matter and all others, what the evaluations
 * found, and what each width costs.
 */
#include "report_int.h"

#include <math.h>
#include <string.h>

/* ---- settings ---------------------------------------------------------------------- */

/* What a reader asks first, in groups; what a run does not have ("auto") is left out. */
static const struct {
    const char *heading;
    const char *keys[20];
} groups[] = {
    {"Method",
     {"method", "distill", "teachers", "distill-weight", "distill-temp", "width-weights",
      "slow-start", "slow-start-lr", "moco-k", "moco-m", "moco-m-cos", "moco-t",
      "moco-dim", "moco-mlp-dim", "classes", "head", "head-init", "bn-splits", "update"}},
    {"Network",
     {"arch", "widths", "slices", "stem", "block", "image-size", "channels",
      "precision"}},
    {"Optimisation",
     {"epochs", "steps", "batch-size", "optimizer", "lr", "weight-decay", "momentum",
      "warmup-epochs", "lr-schedule", "seed"}},
    {"Pictures",
     {"limit", "aug", "crop-min", "crop-pad", "aug-jitter", "aug-grey", "aug-blur",
      "aug-solarise", "aug-blur-2", "aug-solarise-2", "aug-lighting", "aug-flip", "mean",
      "std"}},
};

/* Lists may break behind their commas. */
static void add_value(struct report *report, const char *value)
{
    for (const char *at = value; *at != '\0';) {
        char part[256];
        size_t length = strcspn(at, ",");
        (void)snprintf(part, sizeof part, "%.*s", (int)(length < 250 ? length : 250), at);
        sl_markup_add(&report->page, part);
        at += length;
        if (*at == ',') {
            sl_text_add(&report->page, ", ");
            at++;
        }
    }
}

void report_settings(struct report *report)
{
    const struct sl_conf *conf = report->run_conf;
    sl_page_section(&report->page, "settings", "Settings that matter");
    sl_text_add(&report->page, "<div class=\"facts settings\">\n");
    for (int g = 0; g < SL_COUNT(groups); g++) {
        sl_text_add(&report->page, "<div><h3>%s</h3><table>\n", groups[g].heading);
        for (int k = 0; k < SL_COUNT(groups[g].keys) && groups[g].keys[k] != NULL; k++) {
            const char *key = groups[g].keys[k];
            if (sl_conf_text(conf, key)[0] == '\0' ||
                strcmp(sl_conf_text(conf, key), "auto") == 0) {
                continue;
            }
            bool is_all = strcmp(key, "limit") == 0 && sl_conf_int(conf, key) == 0;
            sl_text_add(&report->page, "<tr><td class=\"quiet\">%s</td><td>", key);
            add_value(report, is_all ? "all" : sl_conf_text(conf, key));
            sl_text_add(&report->page, "%s</td></tr>\n",
                        strcmp(key, "slow-start") == 0 ? " epochs" : "");
        }
        sl_text_add(&report->page, "</table></div>\n");
    }
    sl_text_add(&report->page, "</div>\n");
    sl_page_section_end(&report->page);
}

void report_all_settings(struct report *report)
{
    struct sl_text all = {0};
    sl_conf_write(report->run_conf, &all);
    sl_text_add(&report->page,
                "<details><summary>All settings, resolved (RUN/config.ini; a valid "
                "<code>--config</code>)</summary>\n<pre>");
    sl_markup_add(&report->page, all.text != NULL ? all.text : "");
    sl_text_add(&report->page, "</pre></details>\n");
    report->page.failed = report->page.failed || all.failed;
    sl_text_finish(&all);
}

/* ---- evaluations ------------------------------------------------------------------- */

void report_count(char *dst, size_t size, double count)
{
    double shown = count >= 1e9   ? count / 1e9
                   : count >= 1e6 ? count / 1e6
                   : count >= 1e3 ? count / 1e3
                                  : count;
    const char *unit = count >= 1e9   ? " G"
                       : count >= 1e6 ? " M"
                       : count >= 1e3 ? " k"
                                      : "";
    (void)snprintf(dst, size, shown >= 100.0 || unit[0] == '\0' ? "%.0f%s" : "%.1f%s",
                   shown, unit);
}

static bool is_share(const char *key)
{
    return strstr(key, "acc") != NULL || strcmp(key, "share") == 0;
}

/* "KEY_low" and "KEY_high" stand in KEY's column. Where labels were varied there are
 * columns enough: best guesses, the rest is in the file, and costs in a table of theirs.
 */
static bool has_column(const json_t *row, const char *key)
{
    static const char *const no_columns[] = {
        "epochs", "batch", "lr", "scratch_lr", "acc5", "scratch_acc5", "params", "macs"};
    size_t length = strlen(key);
    bool is_tuned = json_object_get(row, "labels") != NULL;
    for (int i = 0; is_tuned && i < SL_COUNT(no_columns); i++) {
        if (strcmp(key, no_columns[i]) == 0) {
            return false;
        }
    }
    return !(length > 4 && strcmp(key + length - 4, "_low") == 0) &&
           !(length > 5 && strcmp(key + length - 5, "_high") == 0);
}

/* Heads of columns that are known; others show their key. */
static const char *head_of(const char *key)
{
    static const char *const heads[][2] = {
        {"acc1", "top-1"},
        {"acc5", "top-5"},
        {"knn_acc1", "frozen, neighbours"},
        {"probe_acc1", "frozen, probe"},
        {"scratch_acc1", "from scratch"},
        {"slim_acc1", "top-1, one probe shared by all widths"},
        {"slim_acc5", "top-5, shared"},
        {"params", "parameters"},
        {"macs", "multiply-adds a picture"},
    };
    for (int i = 0; i < SL_COUNT(heads); i++) {
        if (strcmp(key, heads[i][0]) == 0) {
            return heads[i][1];
        }
    }
    return key;
}

/* "0.50" of a number. */
static void width_text(double width, char *dst, size_t size)
{
    struct sl_widths parsed;
    struct sl_error ignored = {0};
    char number[32];
    (void)snprintf(number, sizeof number, "%.6g", width);
    if (width > 0.0 && width <= 1.0 &&
        sl_widths_parse(&ignored, number, false, "", &parsed) == SL_OK) {
        sl_multiplier_text(parsed.at[0], dst, size);
    } else {
        (void)snprintf(dst, size, "%.4g", width);
    }
}

static void add_width_cell(struct report *report, const char *text)
{
    int index = report_width(report, text);
    sl_text_add(&report->page, "<td class=\"w\">");
    if (index >= 0) {
        sl_text_add(&report->page, "<span class=\"dot k%d\"></span>", index % SL_COLOURS);
    }
    sl_text_add(&report->page, "%s</td>", text);
}

/* " (low–high)" of a share that is the mean of several. */
static void add_range(struct report *report, const json_t *row, const char *key)
{
    char name[64];
    (void)snprintf(name, sizeof name, "%.50s_low", key);
    const json_t *low = json_object_get(row, name);
    (void)snprintf(name, sizeof name, "%.50s_high", key);
    const json_t *high = json_object_get(row, name);
    if (json_is_number(low) && json_is_number(high) &&
        json_number_value(low) < json_number_value(high)) {
        sl_text_add(&report->page, " (%.1f–%.1f)", 100.0 * json_number_value(low),
                    100.0 * json_number_value(high));
    }
}

static void add_cell(struct report *report, const char *key, const json_t *row)
{
    char text[64] = "";
    const json_t *value = json_object_get(row, key);
    double number = json_number_value(value);
    if (strcmp(key, "width") == 0 && json_is_number(value)) {
        width_text(number, text, sizeof text);
        add_width_cell(report, text);
        return;
    }
    sl_text_add(&report->page, "<td class=\"n\">");
    if (json_is_string(value)) {
        sl_markup_add(&report->page, json_string_value(value));
    } else if (json_is_number(value)) {
        if (is_share(key)) {
            (void)snprintf(text, sizeof text, "%.1f %%", 100.0 * number);
        } else if (json_is_integer(value)) {
            report_count(text, sizeof text, number);
        } else {
            (void)snprintf(text, sizeof text, "%.4g", number);
        }
        sl_text_add(&report->page, "%s", text);
        add_range(report, row, key);
    } else {
        sl_text_add(&report->page, "–");
    }
    sl_text_add(&report->page, "</td>");
}

static const char *text_of(const json_t *root, const char *key)
{
    const char *text = json_string_value(json_object_get(root, key));
    return text != NULL ? text : "";
}

/* What was done, as a sentence. */
static void add_protocol(struct report *report, const struct report_eval *eval)
{
    const json_t *root = eval->root;
    json_int_t n_train = json_integer_value(json_object_get(root, "n_train"));
    json_int_t n_test = json_integer_value(json_object_get(root, "n_test"));
    json_int_t step = json_integer_value(json_object_get(root, "step"));
    char bank[48] = "";
    if (n_train > 0) {
        (void)snprintf(bank, sizeof bank, "%lld pictures to learn from, ",
                       (long long)n_train);
    }
    report_words(
        report, "Data %s; %s%lld%s to judge by, %lld classes; checkpoint of step %lld.%s",
        text_of(root, "data"), bank, (long long)n_test, n_train > 0 ? "" : " pictures",
        (long long)json_integer_value(json_object_get(root, "classes")), (long long)step,
        report->last_step > step ? " The run has gone on since; judge it anew." : "");
}

static void add_results(struct report *report, const struct report_eval *eval)
{
    json_t *results = json_object_get(eval->root, "results");
    json_t *first = json_array_get(results, 0);
    const char *key = NULL;
    json_t *value = NULL;
    json_t *row = NULL;
    size_t i = 0;
    bool is_tuned = json_object_get(first, "labels") != NULL;
    sl_text_add(&report->page, "<div class=\"table\"><table>\n<tr>");
    json_object_foreach(first, key, value)
    {
        if (!has_column(first, key)) {
            continue;
        }
        sl_text_add(&report->page, "<th%s>",
                    strcmp(key, "width") == 0 ? "" : " class=\"n\"");
        sl_markup_add(&report->page,
                      strcmp(key, "acc1") == 0 && is_tuned ? "fine-tuned" : head_of(key));
        sl_text_add(&report->page, "</th>");
    }
    sl_text_add(&report->page, "</tr>\n");
    json_array_foreach(results, i, row)
    {
        sl_text_add(&report->page, "<tr>");
        json_object_foreach(first, key, value)
        {
            if (has_column(first, key)) {
                add_cell(report, key, row);
            }
        }
        sl_text_add(&report->page, "</tr>\n");
    }
    sl_text_add(&report->page, "</table></div>\n");
    if (is_tuned) {
        report_words(report,
                     "Top-1; frozen: the trunk as it was pre-trained; in brackets "
                     "the lowest and highest of the repeats.");
    }
    json_t *raw = json_object_get(eval->root, "raw_acc1");
    json_int_t classes = json_integer_value(json_object_get(eval->root, "classes"));
    if (json_is_number(raw)) {
        report_words(report,
                     "For comparison, the same neighbours on raw pixels: %.1f %%; "
                     "guessing: %.1f %%.",
                     100.0 * json_number_value(raw),
                     classes > 0 ? 100.0 / (double)classes : 0.0);
    } else if (classes > 0) {
        report_words(report, "Guessing would be right in %.1f %%.",
                     100.0 / (double)classes);
    }
}

static const char *title_of(const struct report_eval *eval)
{
    static const char *const titles[][2] = {{"knn", "Nearest neighbours"},
                                            {"linear", "Linear probe"},
                                            {"classifier", "Its own classifier"},
                                            {"finetune", "Fine-tuned with labels"}};
    for (int i = 0; i < SL_COUNT(titles); i++) {
        if (strcmp(eval->name, titles[i][0]) == 0) {
            return titles[i][1];
        }
    }
    return eval->name;
}

enum { WORTH_MOST = 12 };

/* The widths of one evaluation as a line; of rows [first, end), which have the same
 * number of labels where that was varied. */
static enum sl_status add_worth(struct sl_error *err, struct report *report,
                                const struct report_eval *eval, size_t first, size_t end,
                                struct sl_plot *plot, struct sl_series *series)
{
    const json_t *results = json_object_get(eval->root, "results");
    const json_t *labelled = json_object_get(json_array_get(results, first), "labels");
    double *x = NULL, *y = NULL;
    const char **labels = NULL;
    int n = 0;
    int64_t most = (int64_t)(end - first);
    SL_TRY(sl_arena_alloc(err, report->arena, most, sizeof *x, &x));
    SL_TRY(sl_arena_alloc(err, report->arena, most, sizeof *y, &y));
    SL_TRY(sl_arena_alloc(err, report->arena, most, sizeof *labels, &labels));
    for (size_t i = first; i < end; i++) {
        const json_t *row = json_array_get(results, i);
        const json_t *acc = json_object_get(row, "acc1");
        double macs = json_number_value(json_object_get(row, "macs"));
        if (json_is_number(acc) && macs > 0.0 && n < SL_WIDTHS_MAX) {
            char text[24];
            width_text(json_number_value(json_object_get(row, "width")), text,
                       sizeof text);
            x[n] = macs;
            y[n] = json_number_value(acc);
            labels[n++] = report_keep(report, "%s", text);
        }
    }
    if (n < 2 || plot->n_series == WORTH_MOST) {
        return SL_OK;
    }
    const char *name = title_of(eval);
    if (json_is_integer(labelled)) {
        name = report_keep(report, "Fine-tuned, %lld labels",
                           (long long)json_integer_value(labelled));
    }
    series[plot->n_series] =
        (struct sl_series){.name = name,
                           /* colours of widths mean widths: theirs come from the other
                              end */
                           .colour = SL_COLOURS - 1 - plot->n_series % SL_COLOURS,
                           .draw = SL_DRAW_LINE,
                           .n = n,
                           .x = x,
                           .y = y,
                           .labels = plot->n_series == 0 ? labels : NULL};
    plot->n_series++;
    return SL_OK;
}

/* Whether two rows are of one number of labels, or of none that is said. */
static bool same_labels(const json_t *results, size_t a, size_t b)
{
    const json_t *one = json_object_get(json_array_get(results, a), "labels");
    const json_t *other = json_object_get(json_array_get(results, b), "labels");
    return one == NULL ? other == NULL : json_equal(one, other) != 0;
}

/* Right answers against multiply-adds: what a width costs and what it is worth. */
static enum sl_status draw_worth(struct sl_error *err, struct report *report)
{
    struct sl_series series[WORTH_MOST] = {{0}};
    struct sl_plot plot = {.id = "accuracy-cost",
                           .title = "What a width is worth",
                           .x_name = "multiply-adds a picture",
                           .y_name = "right answers",
                           .is_percent = true,
                           .is_log_x = true,
                           .series = series};
    for (int e = 0; e < report->n_evals; e++) {
        const json_t *results = json_object_get(report->evals[e].root, "results");
        size_t n = json_array_size(results);
        for (size_t first = 0, end = 0; first < n; first = end) {
            for (end = first + 1; end < n && same_labels(results, first, end); end++) {
            }
            SL_TRY(add_worth(err, report, &report->evals[e], first, end, &plot, series));
        }
    }
    if (plot.n_series == 0) {
        return SL_OK;
    }
    sl_text_add(&report->page, "<div class=\"figures\">\n");
    SL_TRY(
        report_figure(err, report, &plot,
                      "Each point is a width of the one network. Up is better, left is "
                      "cheaper."));
    sl_text_add(&report->page, "</div>\n");
    return SL_OK;
}

static bool has_eval(const struct report *report, const char *name)
{
    for (int i = 0; i < report->n_evals; i++) {
        if (strcmp(report->evals[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

enum sl_status report_judged(struct sl_error *err, struct report *report)
{
    static const char *const kinds[][2] = {
        {"knn", "Not yet judged by nearest neighbours; with labelled pictures:"},
        {"linear", "Not yet judged by a linear probe; with labelled pictures:"},
        {"classifier", "Not yet judged by its own classifier; with labelled pictures:"}};
    bool classifies = report->has_model && api_model_classifies(&report->model);
    sl_page_section(&report->page, "judged", "How good the features are");
    for (int i = 0; i < report->n_evals; i++) {
        sl_text_add(&report->page, "<h3>");
        sl_markup_add(&report->page, title_of(&report->evals[i]));
        sl_text_add(&report->page, "</h3>\n");
        add_protocol(report, &report->evals[i]);
        add_results(report, &report->evals[i]);
    }
    SL_TRY(draw_worth(err, report));
    for (int i = 0; i < SL_COUNT(kinds) - (classifies ? 0 : 1); i++) {
        if (!has_eval(report, kinds[i][0])) {
            struct sl_text command = {0};
            sl_text_add(&command, "slimclr eval %s ", kinds[i][0]);
            api_shell_add(&command, report->run);
            sl_text_add(&command, " DATA");
            report_gap(report, kinds[i][1], command.text);
            sl_text_finish(&command);
        }
    }
    sl_page_section_end(&report->page);
    return SL_OK;
}

/* ---- cost -------------------------------------------------------------------------- */

enum { TIMED_MOST = 20, TIMED_LEAST = 3 };
static const double TIMED_SECONDS = 0.4; /* a width */

void report_time(struct report *report)
{
    slim_model *model = NULL;
    float *features = NULL;
    unsigned char *picture = NULL;
    struct sl_error err = {0};
    slim_error error = {0};
    int side = report->model.resnet.image_size;
    int64_t bytes = (int64_t)side * side * 3;
    int dimension = sl_net_channels(report->model.net, report->model.net->features, 0);
    if (slim_model_open(report->model.path, &model, &error) != SLIM_OK) {
        return;
    }
    if (sl_heap_alloc(&err, "picture", bytes, 1, &picture) != SL_OK ||
        sl_heap_alloc(&err, "features", dimension, sizeof *features, &features) !=
            SL_OK) {
        goto out;
    }
    for (int64_t i = 0; i < bytes; i++) {
        picture[i] = (unsigned char)(i * 7 % 256);
    }
    for (int i = 0; i < slim_model_widths(model); i++) {
        double best = INFINITY;
        double begin = sl_clock();
        for (int k = 0;
             k < TIMED_MOST && (k < TIMED_LEAST || sl_clock() - begin < TIMED_SECONDS);
             k++) {
            double start = sl_clock();
            if (slim_model_embed(model, i, picture, 1, side, side, features, &error) !=
                SLIM_OK) {
                goto out;
            }
            best = fmin(best, sl_clock() - start);
        }
        report->ms[i] = 1e3 * best;
    }
out: /* what could not be timed is not shown */
    slim_model_close(model);
    sl_heap_free(picture);
    sl_heap_free(features);
}

void report_cost(struct report *report)
{
    sl_page_section(&report->page, "cost", "What each width costs");
    if (!report->has_model) {
        report_gap(report, report->model_problem, NULL);
        sl_page_section_end(&report->page);
        return;
    }
    const struct sl_net *net = report->model.net;
    sl_text_add(&report->page,
                "<div class=\"table\"><table>\n<tr><th>width</th><th class=\"n\">features"
                "</th><th class=\"n\">parameters</th><th class=\"n\">multiply-adds a "
                "picture</th><th class=\"n\">of the full width</th><th class=\"n\">ms a "
                "picture</th></tr>\n");
    int64_t full = 0;
    for (int i = 0; i < net->widths.n; i++) {
        char width[16], count[32], work[32];
        int64_t params = 0, macs = 0;
        sl_net_cost(net, net->features, i, &params, &macs);
        full = i == 0 ? macs : full;
        sl_multiplier_text(net->widths.at[i], width, sizeof width);
        report_count(count, sizeof count, (double)params);
        report_count(work, sizeof work, (double)macs);
        sl_text_add(&report->page, "<tr>");
        add_width_cell(report, width);
        sl_text_add(
            &report->page,
            "<td class=\"n\">%d</td><td class=\"n\">%s</td><td class=\"n\">%s</td>"
            "<td class=\"n\">%.0f %%</td>",
            sl_net_channels(net, net->features, i), count, work,
            full > 0 ? 100.0 * (double)macs / (double)full : 0.0);
        sl_text_add(&report->page,
                    report->ms[i] > 0.0 ? "<td class=\"n\">%.2f</td></tr>\n"
                                        : "<td class=\"n\">–</td></tr>\n",
                    report->ms[i]);
    }
    char described[256];
    report->model.device.table->describe(report->model.device.state, described,
                                         sizeof described);
    sl_text_add(&report->page, "</table></div>\n");
    report_words(report,
                 "Of the encoder without its head, for pictures of %d px. Time: one "
                 "picture at a time in float32, the best of a few, when this page was "
                 "made (%s).",
                 report->model.resnet.image_size, described);
    sl_page_section_end(&report->page);
}
