/* SPDX-License-Identifier: MIT */
/*
 * What the evaluations in RUN/eval found: their tables, with all that their numbers must
 * be held against, and what each width is worth for its cost. Kinds that are not known
 * are shown under their own names.
 */
#include "report_int.h"

#include <string.h>

/* ---- tables ------------------------------------------------------------------------ */

static bool is_share(const char *key)
{
    return strstr(key, "acc") != NULL || strcmp(key, "share") == 0;
}

/* Probes that `eval linear` trains beside the plain one: their columns begin with the
 * prefix, and stand in a table of their own. */
static const char *const other_probes[] = {"distill_", "paper_"};

/* The key without the prefix; NULL: it is not one of that probe's ("" = the plain one).
 */
static const char *key_within(const char *key, const char *prefix)
{
    for (int i = 0; prefix[0] == '\0' && i < SL_COUNT(other_probes); i++) {
        if (strncmp(key, other_probes[i], strlen(other_probes[i])) == 0) {
            return NULL;
        }
    }
    return strncmp(key, prefix, strlen(prefix)) == 0 ? key + strlen(prefix) : NULL;
}

static bool has_probe(const json_t *results, const char *prefix)
{
    char key[32];
    (void)snprintf(key, sizeof key, "%sacc1", prefix);
    return json_object_get(json_array_get(results, 0), key) != NULL;
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
        {"slim_acc1", "top-1, shared probe"},
        {"slim_acc5", "top-5, shared probe"},
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
        report_width_cell(report, number);
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

double report_chance_of(const json_t *root)
{
    json_int_t classes = json_integer_value(json_object_get(root, "classes"));
    return classes > 1 ? 1.0 / (double)classes : 0.0;
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

/* The rows of an evaluation, with the columns of one probe (prefix "" = what is no other
 * probe's). */
static void add_rows(struct report *report, const json_t *results, const char *prefix)
{
    json_t *first = json_array_get(results, 0);
    const char *key = NULL;
    json_t *value = NULL;
    json_t *row = NULL;
    size_t i = 0;
    bool is_tuned = json_object_get(first, "labels") != NULL;
    bool is_other = prefix[0] != '\0';
    sl_text_add(&report->page, "<div class=\"table\"><table>\n<tr>%s",
                is_other ? "<th>width</th>" : "");
    json_object_foreach(first, key, value)
    {
        const char *within = key_within(key, prefix);
        if (within == NULL || !has_column(first, key)) {
            continue;
        }
        sl_text_add(&report->page, "<th%s>",
                    strcmp(key, "width") == 0 ? "" : " class=\"n\"");
        sl_markup_add(&report->page, strcmp(key, "acc1") == 0 && is_tuned
                                         ? "fine-tuned"
                                         : head_of(within));
        sl_text_add(&report->page, "</th>");
    }
    sl_text_add(&report->page, "</tr>\n");
    json_array_foreach(results, i, row)
    {
        sl_text_add(&report->page, "<tr>");
        if (is_other) {
            report_width_cell(report, json_number_value(json_object_get(row, "width")));
        }
        json_object_foreach(first, key, value)
        {
            if (key_within(key, prefix) != NULL && has_column(first, key)) {
                add_cell(report, key, row);
            }
        }
        sl_text_add(&report->page, "</tr>\n");
    }
    sl_text_add(&report->page, "</table></div>\n");
}

/* How the paper's probe was trained, with the note that its numbers need. */
static void add_paper_words(struct report *report, const json_t *paper)
{
    const char *note = text_of(paper, "note");
    bool is_cosine = strcmp(text_of(paper, "schedule"), "cosine") == 0;
    report_words(
        report,
        "As the paper trains it (--as-paper): other crops and flips of the pictures in "
        "each epoch; the narrower widths learn half from the full width's probe; rates "
        "of %s unless others were given: learning rate %g%s %lld epochs, batches of "
        "%lld.%s%s%s",
        text_of(paper, "rates_of"), json_number_value(json_object_get(paper, "lr")),
        is_cosine ? " along a cosine over" : ", cut to a tenth at 60 and 80 % of",
        (long long)json_integer_value(json_object_get(paper, "epochs")),
        (long long)json_integer_value(json_object_get(paper, "batch")),
        note[0] != '\0' ? " Note: this " : "", note, note[0] != '\0' ? "." : "");
}

static void add_other_probes(struct report *report, const json_t *root)
{
    const json_t *results = json_object_get(root, "results");
    if (has_probe(results, "distill_")) {
        report_words(report,
                     "The same probe, taught (--probe-distill): the narrower widths "
                     "learn half from the labels, half from the full width's probe.");
        add_rows(report, results, "distill_");
    }
    if (has_probe(results, "paper_")) {
        add_paper_words(report, json_object_get(root, "paper"));
        add_rows(report, results, "paper_");
    }
}

/* What the numbers must be held against. */
static void add_baselines(struct report *report, const json_t *root)
{
    const json_t *raw = json_object_get(root, "raw_acc1");
    const json_t *centred = json_object_get(root, "raw_centred_acc1");
    char guess[64] = "";
    double chance = report_chance_of(root);
    if (chance > 0.0) {
        (void)snprintf(guess, sizeof guess, "%.1f %%", 100.0 * chance);
    }
    if (json_is_number(raw) && json_is_number(centred)) {
        report_words(report,
                     "For comparison, the same neighbours on raw pixels: %.1f %%, and "
                     "%.1f %% with the mean picture taken off, which is the one to "
                     "beat%s%s.",
                     100.0 * json_number_value(raw), 100.0 * json_number_value(centred),
                     guess[0] != '\0' ? "; guessing: " : "", guess);
    } else if (json_is_number(raw)) {
        report_words(report,
                     "For comparison, the same neighbours on raw pixels: %.1f %%%s%s.",
                     100.0 * json_number_value(raw),
                     guess[0] != '\0' ? "; guessing: " : "", guess);
    } else if (guess[0] != '\0') {
        report_words(report, "Guessing would be right in %s.", guess);
    }
}

static void add_results(struct report *report, const struct report_eval *eval)
{
    const json_t *results = json_object_get(eval->root, "results");
    add_rows(report, results, "");
    if (json_object_get(json_array_get(results, 0), "labels") != NULL) {
        report_words(report,
                     "Top-1; frozen: the trunk as it was pre-trained; in brackets "
                     "the lowest and highest of the repeats.");
    }
    if (has_probe(results, "slim_")) {
        report_words(report, "Shared: one probe for all widths, of which each uses the "
                             "part of its own features; else each width has its own.");
    }
    add_baselines(report, eval->root);
    add_other_probes(report, eval->root);
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

/* ---- worth against cost ------------------------------------------------------------ */

enum { WORTH_MOST = 12, CHANCES_MOST = 4 };

/* The share that a guess gets right in the evaluations that are drawn, each once. */
static int find_chances(struct report *report, struct sl_reference *chances)
{
    int n = 0;
    for (int e = 0; e < report->n_evals; e++) {
        double chance = report_chance_of(report->evals[e].root);
        bool is_new = chance > 0.0 && n < CHANCES_MOST;
        for (int i = 0; i < n; i++) {
            is_new = is_new && chances[i].at != chance;
        }
        if (is_new) {
            chances[n++] = (struct sl_reference){
                chance, report_keep(report, "chance: %.3g %%", 100.0 * chance)};
        }
    }
    return n;
}

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
            report_width_text(json_number_value(json_object_get(row, "width")), text,
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
    struct sl_reference chances[CHANCES_MOST];
    struct sl_plot plot = {.id = "accuracy-cost",
                           .title = "What a width is worth",
                           .x_name = "multiply-adds a picture",
                           .y_name = "right answers",
                           .is_percent = true,
                           .is_log_x = true,
                           .series = series,
                           .across = chances,
                           .n_across = find_chances(report, chances)};
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

/* ---- the section ------------------------------------------------------------------- */

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
