/* SPDX-License-Identifier: MIT */
/*
 * What `slimclr analyse` left in RUN/analyse: the picture of the parameters' path, as the
 * command drew it, and the table of probes. Nothing is computed here; the sentences say
 * what is seen to somebody who does not know the commands.
 */
#include "report_int.h"

#include <math.h>
#include <string.h>

static const int64_t PICTURE_MOST = (int64_t)16 << 20, RESULT_MOST = (int64_t)16 << 20;

static bool path_in(const struct report *report, const char *folder, const char *name,
                    char path[REPORT_PATH])
{
    char place[REPORT_PATH];
    return sl_path_join(place, sizeof place, report->run, folder) &&
           sl_path_join(path, REPORT_PATH, place, name);
}

static bool has_file(const struct report *report, const char *name)
{
    char path[REPORT_PATH];
    return path_in(report, "analyse", name, path) && sl_path_kind(path) == SL_PATH_FILE;
}

/* Snapshots are kept, so that the path could be drawn. */
static bool has_snapshots(const struct report *report)
{
    char path[REPORT_PATH];
    return sl_path_join(path, sizeof path, report->run, "snapshots") &&
           sl_path_kind(path) == SL_PATH_DIRECTORY;
}

bool report_has_analyses(const struct report *report)
{
    return has_file(report, "trajectory.svg") || has_file(report, "probes.json") ||
           has_snapshots(report);
}

/* A result of one of the commands, or NULL: it is not there, or cannot be read, which is
 * said. The caller's to release. */
static json_t *read_result(struct report *report, const char *name, const char *kind)
{
    char path[REPORT_PATH];
    unsigned char *bytes = NULL;
    int64_t size = 0;
    struct sl_error reason = {0};
    json_error_t problem;
    if (!has_file(report, name) || !path_in(report, "analyse", name, path)) {
        return NULL;
    }
    if (sl_file_read(&reason, SL_ERROR_RUN, path, RESULT_MOST, &bytes, &size) != SL_OK) {
        report_gap(report, reason.text, NULL);
        return NULL;
    }
    json_t *root = json_loadb((const char *)bytes, (size_t)size, 0, &problem);
    const char *said = json_string_value(json_object_get(root, "analyse"));
    sl_heap_free(bytes);
    if (said == NULL || strcmp(said, kind) != 0) {
        report_gap(report,
                   report_keep(report,
                               "%s: holds no result of `slimclr analyse %s`; left out",
                               path, kind),
                   NULL);
        json_decref(root);
        return NULL;
    }
    return root;
}

static double real_of(const json_t *root, const char *key)
{
    const json_t *value = json_object_get(root, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

static const char *text_of(const json_t *root, const char *key)
{
    const char *text = json_string_value(json_object_get(root, key));
    return text != NULL ? text : "";
}

/* " The run has gone on since", for what was made at an earlier step. */
static const char *age_words(const struct report *report, double step)
{
    return (double)report->last_step > step ? " The run has gone on since; analyse it "
                                              "anew."
                                            : "";
}

static void add_command(struct report *report, const char *why, const char *kind,
                        const char *data)
{
    struct sl_text command = {0};
    sl_text_add(&command, "slimclr analyse %s ", kind);
    api_shell_add(&command, report->run);
    sl_text_add(&command, " %s", data);
    report_gap(report, why, command.text != NULL ? command.text : "");
    sl_text_finish(&command);
}

/* ---- the path of the parameters ---------------------------------------------------- */

/* The last step on any of the paths. */
static double last_step_of(const json_t *root)
{
    double last = 0.0;
    size_t p = 0, i = 0;
    json_t *path = NULL, *point = NULL;
    json_array_foreach(json_object_get(root, "paths"), p, path)
    {
        json_array_foreach(json_object_get(path, "points"), i, point)
        {
            last = fmax(last, json_number_value(json_object_get(point, "step")));
        }
    }
    return last;
}

static void add_path_words(struct report *report, const json_t *root)
{
    const json_t *explained = json_object_get(root, "explained");
    size_t n_paths = json_array_size(json_object_get(root, "paths"));
    report_words(
        report,
        "All weights of the network together are one point in a space of very many "
        "dimensions, which moves as the network is trained. This is its path, laid on a "
        "plane: a mark for each epoch that was kept, the ring is the end%s.%s",
        n_paths > 1 ? ", and each width has a path of its own, since it was updated "
                      "apart from the others"
                    : "",
        age_words(report, last_step_of(root)));
    if (json_array_size(explained) == 2) {
        report_words(
            report,
            "The plane is the one over which the path spreads most: %.1f %% of its "
            "variance lies along x, %.1f %% along y; what it did across the "
            "plane cannot be seen.",
            100.0 * json_number_value(json_array_get(explained, 0)),
            100.0 * json_number_value(json_array_get(explained, 1)));
    } else {
        report_words(report, "The plane was laid at random through the end of the path; "
                             "what the path did across it cannot be seen.");
    }
}

static void add_surface_words(struct report *report, const json_t *surface)
{
    char width[24];
    if (surface == NULL) {
        add_command(report,
                    "The error around the end was not computed; with labelled pictures:",
                    "trajectory", "DATA");
        return;
    }
    report_width_text(real_of(surface, "width"), width, sizeof width);
    report_words(
        report,
        "The thin lines join places of equal error: there the network at width %s, given "
        "the weights of that place, is as often wrong on test pictures of %s (%s; %.1f "
        "%% "
        "at the best place, %.1f %% at the worst). Lines close together are a steep "
        "slope; a wide plain around the ring is an end that small changes of the weights "
        "do not spoil.",
        width, text_of(surface, "data"),
        strcmp(text_of(surface, "judge"), "classifier") == 0 ? "by its own classifier"
                                                             : "by nearest neighbours",
        real_of(surface, "least_error"), real_of(surface, "most_error"));
}

/* The picture as a file within the page: as an image it can run nothing and fetch
 * nothing, whatever is in it. */
static bool add_picture(struct report *report)
{
    char path[REPORT_PATH];
    unsigned char *bytes = NULL;
    int64_t size = 0;
    struct sl_error reason = {0};
    if (!path_in(report, "analyse", "trajectory.svg", path) ||
        sl_file_read(&reason, SL_ERROR_RUN, path, PICTURE_MOST, &bytes, &size) != SL_OK) {
        report_gap(report, reason.text, NULL);
        return false;
    }
    sl_text_add(&report->page,
                "<figure id=\"figure-trajectory\"><img class=\"wide\" alt=\"Path of the "
                "parameters on a plane\" src=\"data:image/svg+xml;base64,");
    sl_base64_add(&report->page, bytes, (size_t)size);
    sl_text_add(&report->page, "\">\n<figcaption>As <code>slimclr analyse "
                               "trajectory</code> drew it; its numbers lie in "
                               "<code>analyse/</code>.</figcaption></figure>\n");
    sl_heap_free(bytes);
    report->n_figures++;
    return true;
}

static void add_trajectory(struct report *report)
{
    if (!has_file(report, "trajectory.svg")) {
        if (has_snapshots(report)) {
            add_command(report,
                        "The run kept snapshots of its weights; their path can be drawn, "
                        "with the error around its end where DATA is labelled:",
                        "trajectory", "DATA");
        }
        return;
    }
    sl_text_add(&report->page, "<h3>The path of the weights</h3>\n");
    json_t *root = read_result(report, "trajectory.json", "trajectory");
    if (root != NULL) {
        add_path_words(report, root);
    }
    if (add_picture(report) && root != NULL) {
        add_surface_words(report, json_object_get(root, "surface"));
    }
    json_decref(root);
}

/* ---- probes ------------------------------------------------------------------------ */

/* Columns in two tables: what a probe is worth, and why. */
struct column {
    const char *key, *head;
    int decimals; /* PERCENT: a share */
};
enum { PERCENT = -1 };

static void add_table(struct report *report, const json_t *results,
                      const struct column *columns, int n)
{
    size_t i = 0;
    json_t *row = NULL;
    sl_text_add(&report->page, "<div class=\"table\"><table>\n<tr><th>width</th>");
    for (int c = 0; c < n; c++) {
        sl_text_add(&report->page, "<th class=\"n\">%s</th>", columns[c].head);
    }
    sl_text_add(&report->page, "</tr>\n");
    json_array_foreach(results, i, row)
    {
        if (json_object_get(row, columns[0].key) == NULL) {
            continue; /* the full width, which the others are held against */
        }
        sl_text_add(&report->page, "<tr>");
        report_width_cell(report, real_of(row, "width"));
        for (int c = 0; c < n; c++) {
            double value = real_of(row, columns[c].key);
            if (!isfinite(value)) {
                sl_text_add(&report->page, "<td class=\"n\">–</td>");
            } else if (columns[c].decimals == PERCENT) {
                sl_text_add(&report->page, "<td class=\"n\">%.1f %%</td>", 100.0 * value);
            } else {
                sl_text_add(&report->page, "<td class=\"n\">%.*f</td>",
                            columns[c].decimals, value);
            }
        }
        sl_text_add(&report->page, "</tr>\n");
    }
    sl_text_add(&report->page, "</table></div>\n");
}

static void add_probes(struct report *report)
{
    static const struct column worth[] = {
        {"private_acc1", "right: own probe", PERCENT},
        {"shared_acc1", "one for all", PERCENT},
        {"prefix_acc1", "full width&#39;s", PERCENT},
        {"private_loss", "training error: own probe", 4},
        {"shared_loss", "one for all", 4},
        {"prefix_loss", "full width&#39;s", 4}};
    static const struct column reasons[] = {
        {"coupling", "coupling", 2}, {"shift", "shift", 2}, {"gap", "gap", 2}};
    json_t *root = read_result(report, "probes.json", "probes");
    const json_t *results = json_object_get(root, "results");
    double classes = real_of(root, "classes");
    double step = real_of(root, "step");
    if (root == NULL) {
        return;
    }
    sl_text_add(&report->page, "<h3>May the widths share one probe?</h3>\n");
    report_words(
        report,
        "A probe is a linear classifier on the frozen features. Here it is the best one "
        "in closed form (least squares), so that nothing depends on how it was trained: "
        "one of each width's own; one for all widths, of which each uses the part of its "
        "own features; and the full width's own probe, of which each uses that part. The "
        "nearer the three, the less it costs to share. Training error: mean square, a 1 "
        "for the class of the picture and a 0 for every other.");
    report_words(report,
                 "Data %s; %.0f pictures to learn from, %.0f to judge by, %.0f classes: "
                 "guessing would be right in %.1f %%; checkpoint of step %.0f.%s",
                 text_of(root, "data"), real_of(root, "n_train"), real_of(root, "n_test"),
                 classes, classes > 0.0 ? 100.0 / classes : 0.0, step,
                 age_words(report, step));
    add_table(report, results, worth, SL_COUNT(worth));
    if (json_array_size(results) > 1) {
        report_words(
            report,
            "Why: one probe could serve the full width and a narrower one only if the "
            "features that both have were unrelated to the rest (coupling 0), so that "
            "the full width's probe were the best on them alone (shift 0), and if the "
            "narrower width, run by itself, gave these same features (gap 0). Each is "
            "relative to the size of what it is held against.");
        add_table(report, results, reasons, SL_COUNT(reasons));
    }
    json_decref(root);
}

void report_analyses(struct report *report)
{
    if (!report_has_analyses(report)) {
        return; /* most runs are not looked into */
    }
    sl_page_section(&report->page, "analysis", "Looking into the run");
    add_trajectory(report);
    add_probes(report);
    if (!has_file(report, "probes.json")) {
        add_command(report,
                    "What it costs that widths share one linear probe was not computed; "
                    "with labelled pictures:",
                    "probes", "DATA");
    }
    sl_page_section_end(&report->page);
}
