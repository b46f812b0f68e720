/* SPDX-License-Identifier: MIT */
/*
 * The tables of the page about the network itself: the settings that matter and all
 * others, and what each width costs; and how numbers stand in tables.
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

/* What is there whatever the method, but changes nothing in this run. */
static bool is_idle(const struct report *report, const char *key)
{
    static const char *const of_distillation[] = {"teachers", "distill-weight",
                                                  "distill-temp"};
    static const char *const of_second_view[] = {"aug-blur-2", "aug-solarise-2"};
    const struct sl_conf *conf = report->run_conf;
    const struct sl_method_info *info =
        sl_method_info(sl_method_find(sl_conf_text(conf, "method")));
    bool distils =
        report->widths.n > 1 && strcmp(sl_conf_text(conf, "distill"), "none") != 0;
    for (int i = 0; !distils && i < SL_COUNT(of_distillation); i++) {
        if (strcmp(key, of_distillation[i]) == 0) {
            return true;
        }
    }
    for (int i = 0; info->n_views < 2 && i < SL_COUNT(of_second_view); i++) {
        if (strcmp(key, of_second_view[i]) == 0) {
            return true;
        }
    }
    if (strcmp(key, "slow-start-lr") == 0) {
        double slow = 0.0;
        return sl_parse_real(sl_conf_text(conf, "slow-start"), &slow) && slow == 0.0;
    }
    return strcmp(key, "bn-splits") == 0 && !info->has_queue;
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
                strcmp(sl_conf_text(conf, key), "auto") == 0 || is_idle(report, key)) {
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

/* ---- numbers in tables ------------------------------------------------------------- */

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

void report_width_text(double width, char *dst, size_t size)
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

void report_width_cell(struct report *report, double width)
{
    char text[24];
    report_width_text(width, text, sizeof text);
    int index = report_width(report, text);
    sl_text_add(&report->page, "<td class=\"w\">");
    if (index >= 0) {
        sl_text_add(&report->page, "<span class=\"dot k%d\"></span>", index % SL_COLOURS);
    }
    sl_text_add(&report->page, "%s</td>", text);
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
        char count[32], work[32];
        int64_t params = 0, macs = 0;
        sl_net_cost(net, net->features, i, &params, &macs);
        full = i == 0 ? macs : full;
        report_count(count, sizeof count, (double)params);
        report_count(work, sizeof work, (double)macs);
        sl_text_add(&report->page, "<tr>");
        report_width_cell(report, sl_multiplier_value(net->widths.at[i]));
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
