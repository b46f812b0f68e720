/* SPDX-License-Identifier: MIT */
/*
 * `slimclr report`: one page about a run, for somebody who was not there. Opens what the
 * run left, whatever of it there is, puts the sections together, and writes the page and
 * beside it every figure with its numbers. The run itself is only read.
 */
#include "report_int.h"

#include <math.h>
#include <string.h>

static const int64_t TEXT_MOST = (int64_t)64 << 20;
enum { ROWS_MOST = 1 << 16 }; /* of metrics, a hundred times what a figure shows */

/* ---- for the sections -------------------------------------------------------------- */

static void format_into(struct sl_text *text, const char *format, va_list args)
{
    char words[4096];
    (void)vsnprintf(words, sizeof words, format, args);
    sl_text_add(text, "%s", words);
}

void report_words(struct report *report, const char *format, ...)
{
    struct sl_text words = {0};
    va_list args;
    va_start(args, format);
    format_into(&words, format, args);
    va_end(args);
    sl_text_add(&report->page, "<p>");
    sl_markup_add(&report->page, words.text != NULL ? words.text : "");
    sl_text_add(&report->page, "</p>\n");
    report->page.failed = report->page.failed || words.failed;
    sl_text_finish(&words);
}

const char *report_keep(struct report *report, const char *format, ...)
{
    struct sl_text words = {0};
    struct sl_error ignored = {0};
    const char *kept = "";
    va_list args;
    va_start(args, format);
    format_into(&words, format, args);
    va_end(args);
    if (words.failed ||
        sl_arena_text(&ignored, report->arena, words.text, &kept) != SL_OK) {
        report->page.failed = true;
    }
    sl_text_finish(&words);
    return kept;
}

void report_gap(struct report *report, const char *why, const char *command)
{
    report->n_gaps++;
    sl_text_add(&report->page, "<p class=\"quiet\">");
    sl_markup_add(&report->page, why);
    sl_text_add(&report->page, "</p>\n");
    if (command != NULL) {
        sl_text_add(&report->page, "<pre>");
        sl_markup_add(&report->page, command);
        sl_text_add(&report->page, "</pre>\n");
    }
}

bool report_is_supervised(const struct report *report)
{
    return strcmp(sl_conf_text(report->run_conf, "method"), "supervised") == 0;
}

int report_width(const struct report *report, const char *text)
{
    for (int i = 0; i < report->widths.n; i++) {
        char one[16];
        sl_multiplier_text(report->widths.at[i], one, sizeof one);
        if (strcmp(one, text) == 0) {
            return i;
        }
    }
    return -1;
}

static enum sl_status write_beside(struct sl_error *err, const struct report *report,
                                   const char *id, const char *extension,
                                   const struct sl_text *text)
{
    char name[128];
    char path[REPORT_PATH];
    (void)snprintf(name, sizeof name, "%s.%s", id, extension);
    if (!sl_path_join(path, sizeof path, report->plots, name)) {
        return SL_FAIL(err, SL_ERROR_RUN, "%s: the path is too long", report->plots);
    }
    if (text->failed) {
        return SL_FAIL(err, SL_ERROR_RUN, "%s: out of memory for a figure", path);
    }
    return sl_file_write(err, path, text->text, text->length);
}

enum sl_status report_files(struct sl_error *err, struct report *report, const char *id,
                            const struct sl_text *svg, const struct sl_text *csv)
{
    report->n_figures++;
    SL_TRY(write_beside(err, report, id, "svg", svg));
    return write_beside(err, report, id, "csv", csv);
}

enum sl_status report_figure(struct sl_error *err, struct report *report,
                             const struct sl_plot *plot, const char *caption)
{
    struct sl_text svg = {0}, csv = {0};
    sl_text_add(&report->page, "<figure id=\"figure-%s\">\n", plot->id);
    sl_plot_svg(plot, false, &report->page);
    sl_text_add(&report->page, "<figcaption>%s</figcaption></figure>\n",
                caption != NULL ? caption : "");
    sl_plot_svg(plot, true, &svg);
    sl_plot_csv(plot, &csv);
    enum sl_status status = report_files(err, report, plot->id, &svg, &csv);
    sl_text_finish(&svg);
    sl_text_finish(&csv);
    return status;
}

/* ---- what the run left ------------------------------------------------------------- */

static enum sl_status open_config(struct sl_error *err, struct report *report)
{
    char path[REPORT_PATH];
    if (sl_path_kind(report->run) == SL_PATH_MISSING) {
        return SL_FAIL(err, SL_ERROR_RUN, "%s: no such run directory", report->run);
    }
    if (!sl_path_join(path, sizeof path, report->run, "config.ini") ||
        sl_path_kind(path) != SL_PATH_FILE) {
        return SL_FAIL(
            err, SL_ERROR_RUN,
            "%s: holds no config.ini: not the directory of a run; give the one "
            "that `slimclr pretrain -o` made",
            report->run);
    }
    SL_TRY(api_table_create(err, "pretrain", &report->table));
    SL_TRY(sl_conf_create(err, report->table.keys, report->table.n, &report->run_conf));
    SL_TRY(api_conf_load_run(err, report->run_conf, path));
    SL_TRY(sl_widths_parse(err, sl_conf_text(report->run_conf, "widths"), true,
                           "config.ini: widths", &report->widths));
    /* Data by its names, and where this command may keep indices of it. */
    SL_TRY(api_data_split(err, sl_conf_text(report->run_conf, "data"), &report->data));
    static const char *const said_anew[] = {"cache-dir", "no-cache", "workers"};
    for (int i = 0; i < SL_COUNT(said_anew); i++) {
        SL_TRY(api_resolve(err, report->run_conf, said_anew[i],
                           sl_conf_text(report->conf, said_anew[i])));
    }
    return SL_OK;
}

/* Steps an epoch and the ends of its parts, as far as config.ini and metrics tell. */
static void place_in_time(struct report *report)
{
    const struct sl_metric_table *metrics = &report->metrics;
    const double *step = sl_metric_table_column(metrics, "step");
    const double *epoch = sl_metric_table_column(metrics, "epoch");
    const struct sl_conf *conf = report->run_conf;
    double slow = 0.0, warm = 0.0;
    if (step == NULL || metrics->n_rows == 0) {
        return;
    }
    int64_t last = metrics->n_rows - 1;
    report->last_step = (int64_t)step[last];
    if (epoch != NULL && epoch[last] > 0.0) {
        report->per_epoch = step[last] / epoch[last];
        if (fabs(report->per_epoch - round(report->per_epoch)) < 0.01) {
            report->per_epoch = round(report->per_epoch);
        }
    }
    if (sl_parse_real(sl_conf_text(conf, "slow-start"), &slow) && report->per_epoch > 0) {
        report->slow_step = ceil(slow * report->per_epoch - 1e-6);
    }
    if (sl_parse_real(sl_conf_text(conf, "warmup-epochs"), &warm)) {
        report->warm_step = warm * report->per_epoch;
    }
    double total = sl_conf_is_auto(conf, "steps")
                       ? (double)sl_conf_int(conf, "epochs") * report->per_epoch
                       : (double)sl_conf_int(conf, "steps");
    report->is_finished = total > 0.0 && step[last] >= total - 0.5;
}

static enum sl_status open_metrics(struct sl_error *err, struct report *report)
{
    char path[REPORT_PATH];
    if (!sl_path_join(path, sizeof path, report->run, "metrics.jsonl") ||
        sl_path_kind(path) != SL_PATH_FILE) {
        return SL_OK;
    }
    struct sl_error reason = {0};
    enum sl_status status =
        sl_metric_table_read(&reason, path, ROWS_MOST, &report->metrics);
    if (status != SL_OK) {
        if (status == SL_ERROR_RUN) { /* a lack of memory */
            *err = reason;
            return status;
        }
        sl_log(SL_LOG_WARNING, "%s; left out", reason.text);
        report->metrics_problem = report_keep(report, "%s", reason.text);
        sl_metric_table_finish(&report->metrics); /* the rows before it, of an unknown end
                                                   */
        return SL_OK;
    }
    report->has_metrics = true;
    if (report->metrics.n_left_out > 0) {
        sl_log(SL_LOG_WARNING,
               "%s: %lld lines are no metric line, or step back; they are left out", path,
               (long long)report->metrics.n_left_out);
    }
    place_in_time(report);
    return SL_OK;
}

/* Every *.json in RUN/eval that holds results. */
static enum sl_status open_evals(struct sl_error *err, struct report *report)
{
    char folder[REPORT_PATH], path[REPORT_PATH];
    struct sl_dir_list list = {0};
    if (!sl_path_join(folder, sizeof folder, report->run, "eval") ||
        sl_path_kind(folder) != SL_PATH_DIRECTORY) {
        return SL_OK;
    }
    SL_TRY(sl_dir_list(err, SL_ERROR_RUN, folder, &list));
    for (int64_t i = 0; i < list.n && report->n_evals < REPORT_EVALS_MOST; i++) {
        const char *dot = strrchr(list.names[i], '.');
        unsigned char *bytes = NULL;
        int64_t size = 0;
        json_error_t problem;
        struct report_eval *eval = &report->evals[report->n_evals];
        if (dot == NULL || strcmp(dot, ".json") != 0 ||
            (size_t)(dot - list.names[i]) >= sizeof eval->name ||
            !sl_path_join(path, sizeof path, folder, list.names[i])) {
            continue;
        }
        struct sl_error reason = {0};
        if (sl_file_read(&reason, SL_ERROR_RUN, path, TEXT_MOST, &bytes, &size) !=
            SL_OK) {
            sl_log(SL_LOG_WARNING, "%s; left out", reason.text);
            continue;
        }
        json_t *root = json_loadb((const char *)bytes, (size_t)size, 0, &problem);
        sl_heap_free(bytes);
        if (!json_is_object(json_array_get(json_object_get(root, "results"), 0))) {
            sl_log(SL_LOG_WARNING, "%s: holds no results of an evaluation; left out",
                   path);
            json_decref(root);
            continue;
        }
        memcpy(eval->name, list.names[i], (size_t)(dot - list.names[i]));
        eval->root = root;
        report->n_evals++;
    }
    sl_dir_list_finish(&list);
    return SL_OK;
}

static void open_model(struct report *report)
{
    struct sl_error err = {0};
    report->has_model =
        api_model_open(&err, report->run, 0, report->conf, &report->model) == SL_OK;
    if (!report->has_model) {
        (void)snprintf(report->model_problem, sizeof report->model_problem,
                       "There is no checkpoint that could be opened: %.900s", err.text);
    }
}

static enum sl_status open_all(struct sl_error *err, struct report *report,
                               const slim_options *options, const char *run)
{
    SL_TRY(api_conf_complete(err, options, &report->conf));
    const char *out = sl_conf_text(report->conf, "out");
    if (!sl_text_copy(report->run, sizeof report->run, run) ||
        !sl_path_join(report->plots, sizeof report->plots, run, "plots") ||
        !(out[0] != '\0'
              ? sl_text_copy(report->out, sizeof report->out, out)
              : sl_path_join(report->out, sizeof report->out, run, "report.html"))) {
        return SL_FAIL(err, SL_ERROR_USAGE, "%.80s…: the path is too long", run);
    }
    /* RUN/ and RUN are one directory. */
    for (size_t n = strlen(report->run); n > 1 && report->run[n - 1] == '/'; n--) {
        report->run[n - 1] = '\0';
    }
    SL_TRY(sl_arena_create(err, 1 << 16, &report->arena));
    SL_TRY(open_config(err, report));
    SL_TRY(open_metrics(err, report));
    SL_TRY(open_evals(err, report));
    open_model(report);
    return sl_dir_create(err, report->plots);
}

/* ---- the head of the page ---------------------------------------------------------- */

/* A command line that breaks before its options, not within them. */
static void add_command(struct report *report, char *command)
{
    for (char *at = command; at != NULL;) {
        char *next = strstr(at, " -");
        if (next != NULL) {
            *next++ = '\0';
        }
        sl_text_add(&report->page, at == command ? "<code>" : " <span>");
        sl_markup_add(&report->page, at);
        sl_text_add(&report->page, at == command ? "</code>" : "</span>");
        at = next;
    }
}

/* Lines of train.log that say how the run was started, or what would repeat it. */
static void add_commands(struct report *report)
{
    static const char mark[] = "command: ";
    char path[REPORT_PATH];
    unsigned char *bytes = NULL;
    int64_t size = 0;
    int n = 0;
    sl_text_add(&report->page, "<h3>The command</h3>\n<pre>");
    if (sl_path_join(path, sizeof path, report->run, "train.log") &&
        sl_path_kind(path) == SL_PATH_FILE) {
        struct sl_error reason = {0};
        if (sl_file_read(&reason, SL_ERROR_RUN, path, TEXT_MOST, &bytes, &size) !=
            SL_OK) {
            sl_log(SL_LOG_WARNING, "%s; left out", reason.text);
        }
        for (char *line = (char *)bytes; line != NULL && *line != '\0';) {
            char *end = strchr(line, '\n');
            if (end != NULL) {
                *end++ = '\0';
            }
            if (strncmp(line, mark, sizeof mark - 1) == 0) {
                sl_text_add(&report->page, n++ > 0 ? "\n" : "");
                add_command(report, line + sizeof mark - 1);
            }
            line = end;
        }
        sl_heap_free(bytes);
    }
    if (n == 0) { /* of a run that did not write it down */
        struct sl_text command = {0};
        sl_text_add(&command, "slimclr pretrain --config ");
        if (sl_path_join(path, sizeof path, report->run, "config.ini")) {
            api_shell_add(&command, path);
        }
        sl_text_add(&command, " -o RUN");
        sl_markup_add(&report->page, command.text != NULL ? command.text : "");
        sl_text_finish(&command);
    }
    sl_text_add(&report->page, "</pre>\n");
    if (n == 0) {
        report_words(report, "The run did not write its command down; this one has the "
                             "same settings.");
    }
}

static void add_fact(struct report *report, const char *classes, const char *value,
                     const char *what)
{
    sl_text_add(&report->page, "<div><b class=\"%s\">", classes);
    sl_markup_add(&report->page, value);
    sl_text_add(&report->page, "</b><span>");
    sl_markup_add(&report->page, what);
    sl_text_add(&report->page, "</span></div>\n");
}

/* "74.1 – 81.3 %" of an evaluation's widths. */
static bool range_of(const struct report_eval *eval, char *dst, size_t size)
{
    double low = INFINITY, high = -INFINITY;
    json_t *row = NULL;
    size_t i = 0;
    json_array_foreach(json_object_get(eval->root, "results"), i, row)
    {
        json_t *acc = json_object_get(row, "acc1");
        if (json_is_number(acc)) {
            low = fmin(low, json_number_value(acc));
            high = fmax(high, json_number_value(acc));
        }
    }
    if (low < high) {
        (void)snprintf(dst, size, "%.1f – %.1f %%", 100.0 * low, 100.0 * high);
    } else {
        (void)snprintf(dst, size, "%.1f %%", 100.0 * low);
    }
    return isfinite(low);
}

/* What an evaluation of a known kind says of the run as a whole. */
static void add_eval_fact(struct report *report, const struct report_eval *eval)
{
    static const char *const words[][2] = {
        {"knn", "right by nearest neighbours, over the widths"},
        {"linear", "right by a linear probe, over the widths"},
        {"classifier", "right by its own classifier, over the widths"}};
    double chance = report_chance_of(eval->root);
    char text[64];
    for (int i = 0; i < SL_COUNT(words); i++) {
        if (strcmp(eval->name, words[i][0]) == 0 && range_of(eval, text, sizeof text)) {
            add_fact(report, "", text,
                     chance > 0.0 ? report_keep(report, "%s; guessing: %.3g %%",
                                                words[i][1], 100.0 * chance)
                                  : words[i][1]);
        }
    }
}

static void add_state_fact(struct report *report)
{
    char text[64];
    (void)snprintf(text, sizeof text, "step %lld", (long long)report->last_step);
    add_fact(report, "", report->is_finished ? "finished" : "not finished",
             report->last_step == 0 ? "no step logged yet"
             : report->is_finished  ? report_keep(report, "at %s", text)
                                    : report_keep(report,
                                                  "%s was logged last; this "
                                                   "page shows what there is",
                                                  text));
}

static void add_facts(struct report *report)
{
    char text[96];
    int n_collapsed = 0;
    bool has_spread = false;
    sl_text_add(&report->page, "<div class=\"facts\">\n");
    add_state_fact(report);
    for (int i = 0; i < report->widths.n; i++) {
        n_collapsed += report_collapsed_since(report, i) >= 0;
    }
    for (int i = 0; i < report->metrics.n_columns; i++) {
        has_spread = has_spread || strncmp(report->metrics.names[i], "emb_std", 7) == 0;
    }
    if (has_spread) {
        (void)snprintf(text, sizeof text, "%d of %d widths collapsed", n_collapsed,
                       report->widths.n);
        add_fact(report, n_collapsed > 0 ? "bad" : "good",
                 n_collapsed > 0 ? text : "not collapsed",
                 n_collapsed > 0 ? "there different pictures look alike to the network"
                                 : "different pictures look different to the network");
    }
    for (int i = 0; i < report->n_evals; i++) {
        add_eval_fact(report, &report->evals[i]);
    }
    if (report->has_model) {
        const struct sl_net *net = report->model.net;
        char most[32], least[32];
        int64_t params = 0, macs = 0;
        sl_net_cost(net, net->features, 0, &params, &macs);
        report_count(most, sizeof most, (double)macs);
        sl_net_cost(net, net->features, net->widths.n - 1, &params, &macs);
        report_count(least, sizeof least, (double)macs);
        (void)snprintf(text, sizeof text, net->widths.n > 1 ? "%s – %s" : "%s", least,
                       most);
        add_fact(report, "", text, "multiply-adds a picture, narrowest to full width");
    }
    sl_text_add(&report->page, "</div>\n");
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL && slash[1] != '\0' ? slash + 1 : path;
}

/* What the widths have of one another, or nothing where there is one. */
static const char *sharing_words(const struct report *report)
{
    if (report->widths.n < 2) {
        return "";
    }
    return strcmp(sl_conf_text(report->run_conf, "slices"), "disjoint") == 0
               ? ", so that parts of its channels alone are networks as well, each "
                 "narrow "
                 "width on channels that no other narrow one has"
               : ", so that its leading channels alone are a network as well";
}

static void add_head(struct report *report)
{
    static const char *const links[][2] = {
        {"pictures", "Pictures"}, {"settings", "Settings"},
        {"training", "Training"}, {"gradients", "Gradients"},
        {"judged", "Evaluation"}, {"analysis", "Analysis"},
        {"map", "Map"},           {"neighbours", "Neighbours"},
        {"cost", "Cost"}};
    const struct sl_conf *conf = report->run_conf;
    const char *title = report_keep(report, "slimclr run: %s", base_name(report->run));
    sl_page_begin(&report->page, title);
    sl_text_add(&report->page, "<h1>");
    sl_markup_add(&report->page, title);
    sl_text_add(&report->page, "</h1>\n");
    report_words(report,
                 "One %s network (%s), trained at %d width%s by %s on %s%s. This page "
                 "says what went in, how training went, and what came out.",
                 report->widths.n > 1 ? "slimmable" : "plain", sl_conf_text(conf, "arch"),
                 report->widths.n, report->widths.n > 1 ? "s" : "",
                 sl_conf_text(conf, "method"), sl_conf_text(conf, "data"),
                 sharing_words(report));
    add_facts(report);
    sl_text_add(&report->page, "<nav>\n");
    for (int i = 0; i < SL_COUNT(links); i++) {
        if (strcmp(links[i][0], "gradients") == 0 && !report_has_gradients(report) &&
            !sl_conf_has(report->run_conf, "grad-diag")) {
            continue;
        }
        if (strcmp(links[i][0], "analysis") == 0 && !report_has_analyses(report)) {
            continue;
        }
        sl_text_add(&report->page, "<a href=\"#%s\">%s</a>\n", links[i][0], links[i][1]);
    }
    sl_text_add(&report->page, "</nav>\n");
    add_commands(report);
}

/* ---- the whole --------------------------------------------------------------------- */

static enum sl_status make_page(struct sl_error *err, struct report *report)
{
    add_head(report);
    SL_TRY(report_views(err, report));
    report_settings(report);
    SL_TRY(report_curves(err, report));
    SL_TRY(report_gradients(err, report));
    SL_TRY(report_judged(err, report));
    report_analyses(report);
    if (report->has_model) {
        report_time(report);
    }
    SL_TRY(report_embeddings(err, report));
    report_cost(report);
    report_all_settings(report);
    sl_text_add(&report->page, "<footer>Made by slimclr %s from ", slim_version());
    sl_markup_add(&report->page, report->run);
    sl_text_add(&report->page,
                ". Every figure lies beside this page as SVG with its numbers as CSV, in "
                "<code>plots/</code>. What the figures mean is described in "
                "<code>docs/report.md</code>.</footer>\n");
    sl_page_end(&report->page);
    if (report->page.failed) {
        return SL_FAIL(err, SL_ERROR_RUN, "%s: out of memory for the page", report->out);
    }
    return sl_file_write(err, report->out, report->page.text, report->page.length);
}

static void close_all(struct report *report)
{
    for (int i = 0; i < report->n_evals; i++) {
        json_decref(report->evals[i].root);
    }
    if (report->has_model) {
        api_model_close(&report->model);
    }
    sl_metric_table_finish(&report->metrics);
    sl_conf_destroy(report->conf);
    sl_conf_destroy(report->run_conf);
    api_table_finish(&report->table);
    api_data_finish(&report->data);
    sl_arena_destroy(report->arena);
    sl_text_finish(&report->page);
}

static enum sl_status say(struct sl_error *err, const struct report *report, bool json,
                          struct sl_text *text)
{
    if (!json) {
        char path[4 * REPORT_PATH + 1];
        api_path_text(path, sizeof path, report->out);
        sl_text_add(text, "%s\n", path);
        return SL_OK;
    }
    json_t *root = json_object();
    json_object_set_new(root, "report", api_path_json(report->out));
    json_object_set_new(root, "bytes", json_integer((json_int_t)report->page.length));
    json_object_set_new(root, "figures", json_integer(report->n_figures));
    json_object_set_new(root, "gaps", json_integer(report->n_gaps));
    json_object_set_new(root, "left_out_lines",
                        json_integer((json_int_t)report->metrics.n_left_out));
    return api_json_add(err, text, root);
}

enum sl_status api_report_clear(struct sl_error *err, const char *run)
{
    char path[REPORT_PATH], plots[REPORT_PATH];
    struct sl_dir_list list = {0};
    if (sl_path_join(path, sizeof path, run, "report.html")) {
        (void)sl_file_remove(path);
    }
    if (!sl_path_join(plots, sizeof plots, run, "plots") ||
        sl_path_kind(plots) != SL_PATH_DIRECTORY) {
        return SL_OK;
    }
    SL_TRY(sl_dir_list(err, SL_ERROR_RUN, plots, &list));
    for (int64_t i = 0; i < list.n; i++) {
        const char *dot = strrchr(list.names[i], '.');
        bool is_figure =
            dot != NULL && (strcmp(dot, ".svg") == 0 || strcmp(dot, ".csv") == 0);
        if (is_figure && sl_path_join(path, sizeof path, plots, list.names[i])) {
            (void)sl_file_remove(path);
        }
    }
    sl_dir_list_finish(&list);
    return SL_OK;
}

slim_status slim_report(const slim_options *options, const char *run, bool json,
                        char **out, slim_error *error)
{
    struct sl_error err = {0};
    enum sl_status status = SL_OK;
    struct report *report = NULL;
    struct sl_text text = {0};
    *out = NULL;
    SL_TRY_OUT(sl_heap_alloc(&err, "report", 1, sizeof *report, &report));
    SL_TRY_OUT(open_all(&err, report, options, run));
    SL_TRY_OUT(make_page(&err, report));
    SL_TRY_OUT(say(&err, report, json, &text));
    SL_TRY_OUT(api_text_out(&err, &text, out));
out:
    sl_text_finish(&text);
    if (report != NULL) {
        close_all(report);
        sl_heap_free(report);
    }
    return api_leave(&err, status, error);
}
