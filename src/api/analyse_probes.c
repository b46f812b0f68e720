/* SPDX-License-Identifier: MIT */
/*
 * `slimclr analyse probes`: what it costs when widths share one linear probe, in closed
 * form on frozen features (docs/analyse.md, "What sharing a probe costs").
 */
#include "analyse/analyse.h"
#include "evaluate_int.h"

#include <string.h>

enum { PATH_LENGTH = 4096 };

struct probes {
    struct api_judge *judge;
    struct sl_ridge_config config;
    struct sl_ridge_width result[SL_WIDTHS_MAX];
};

/* The widths that were asked for, as a list of their own. */
static struct sl_widths chosen(const struct api_judge *judge)
{
    struct sl_widths widths = {.n = judge->n_widths};
    for (int i = 0; i < judge->n_widths; i++) {
        widths.at[i] = judge->model.net->widths.at[judge->widths[i]];
    }
    return widths;
}

static enum sl_status compare(struct sl_error *err, struct probes *probes)
{
    struct api_judge *judge = probes->judge;
    const struct sl_widths widths = chosen(judge);
    probes->config.n_classes = judge->classes;
    probes->config.ridge = sl_conf_real(judge->conf, "ridge");
    SL_TRY(sl_width_weights_parse(err, sl_conf_text(judge->conf, "width-weights"),
                                  &widths, probes->config.weights));
    if (judge->widths[0] != 0) {
        char full[16];
        sl_multiplier_text(judge->model.net->widths.at[0], full, sizeof full);
        return SL_FAIL(err, SL_ERROR_USAGE,
                       "--widths %s: the probes of all widths are held against the full "
                       "width's; name %s too",
                       sl_conf_text(judge->conf, "widths"), full);
    }
    SL_TRY(api_judge_features(err, judge));
    return sl_ridge_compare(err, &probes->config, judge->n_widths, judge->train_features,
                            judge->test_features, probes->result);
}

static json_t *result_json(const struct probes *probes)
{
    const struct api_judge *judge = probes->judge;
    const struct sl_widths widths = chosen(judge);
    json_t *root = json_object();
    json_t *results = json_array();
    json_object_set_new(root, "analyse", json_string("probes"));
    json_object_set_new(root, "data", json_string(judge->data));
    json_object_set_new(root, "step", json_integer(judge->model.step));
    json_object_set_new(root, "features",
                        json_string(sl_conf_text(judge->conf, "features")));
    json_object_set_new(root, "ridge", json_real(probes->config.ridge));
    json_object_set_new(root, "n_train", json_integer(judge->train_features[0].n));
    json_object_set_new(root, "n_test", json_integer(judge->test_features[0].n));
    json_object_set_new(root, "classes", json_integer(judge->classes));
    for (int i = 0; i < judge->n_widths; i++) {
        const struct sl_ridge_width *row = &probes->result[i];
        json_t *one = json_object();
        json_object_set_new(one, "width",
                            api_judge_fraction(sl_multiplier_value(widths.at[i])));
        json_object_set_new(one, "dimension", json_integer(judge->train_features[i].d));
        json_object_set_new(one, "weight", json_real(probes->config.weights[i]));
        json_object_set_new(one, "private_acc1", api_judge_fraction(row->own_acc));
        json_object_set_new(one, "shared_acc1", api_judge_fraction(row->shared_acc));
        json_object_set_new(one, "prefix_acc1", api_judge_fraction(row->prefix_acc));
        json_object_set_new(one, "private_loss", json_real(row->own_loss));
        json_object_set_new(one, "shared_loss", json_real(row->shared_loss));
        json_object_set_new(one, "prefix_loss", json_real(row->prefix_loss));
        if (i > 0) {
            json_object_set_new(one, "coupling", json_real(row->coupling));
            json_object_set_new(one, "shift", json_real(row->shift));
            json_object_set_new(one, "gap", json_real(row->gap));
        }
        json_array_append_new(results, one);
    }
    json_object_set_new(root, "results", results);
    return root;
}

static void result_text(const struct probes *probes, struct sl_text *text)
{
    const struct api_judge *judge = probes->judge;
    const struct sl_widths widths = chosen(judge);
    sl_text_add(text,
                "model after %lld steps; %lld pictures to learn from, %lld to judge by, "
                "%d classes (chance %.1f%%); ridge %g\n\n",
                (long long)judge->model.step, (long long)judge->train_features[0].n,
                (long long)judge->test_features[0].n, judge->classes,
                100.0 / judge->classes, probes->config.ridge);
    sl_text_add(text, "%6s %6s   %-26s   %-17s\n", "", "", "accuracy", "train error");
    sl_text_add(text, "%6s %6s   %8s %8s %8s   %8s %8s   %9s %7s %7s\n", "width",
                "values", "private", "shared", "prefix", "private", "shared", "coupling",
                "shift", "gap");
    for (int i = 0; i < judge->n_widths; i++) {
        const struct sl_ridge_width *row = &probes->result[i];
        sl_text_add(text, "%6.2f %6d   %7.1f%% %7.1f%% %7.1f%%   %8.5f %8.5f",
                    sl_multiplier_value(widths.at[i]), judge->train_features[i].d,
                    100.0 * row->own_acc, 100.0 * row->shared_acc,
                    100.0 * row->prefix_acc, row->own_loss, row->shared_loss);
        if (i > 0) {
            sl_text_add(text, "   %9.4f %7.3f %7.3f\n", row->coupling, row->shift,
                        row->gap);
        } else {
            sl_text_add(text, "   %9s %7s %7s\n", "-", "-", "-");
        }
    }
    sl_text_add(
        text,
        "\nleast squares on one-hot classes. private: the best probe of each width; "
        "shared: one,\nsliced, best for all widths together; prefix: the full width's, "
        "sliced. error: mean squared\nerror on the train part. coupling: |X1'X2 T2| / "
        "|X1'Y|, 0 where one probe could serve both.\nshift: how far the full width's "
        "prefix is from the best probe on X1; gap: how far the width's\nown features are "
        "from X1. X1: the full width's features at the width's channels,\nX2 its "
        "others.\n");
}

/* RUN/analyse/probes.json, where a run directory was named. */
static enum sl_status write_result(struct sl_error *err, const char *model,
                                   const char *json)
{
    char folder[PATH_LENGTH];
    char path[PATH_LENGTH];
    struct sl_text line = {0};
    if (sl_path_kind(model) != SL_PATH_DIRECTORY) {
        return SL_OK;
    }
    sl_text_add(&line, "%s\n", json);
    enum sl_status status = SL_OK;
    if (line.failed || !sl_path_join(folder, sizeof folder, model, "analyse") ||
        !sl_path_join(path, sizeof path, folder, "probes.json")) {
        status = SL_FAIL(err, SL_ERROR_RUN, "%s: cannot name or hold the result", model);
        goto out;
    }
    SL_TRY_OUT(sl_dir_create(err, folder));
    SL_TRY_OUT(sl_file_write(err, path, line.text, line.length));
out:
    sl_text_finish(&line);
    return status;
}

slim_status slim_analyse_probes(const slim_options *options, const char *model,
                                const char *data, bool json, const slim_hooks *hooks,
                                char **text, slim_error *error)
{
    struct sl_error err = {0};
    enum sl_status status = SL_OK;
    struct probes probes = {0};
    struct sl_text line = {0};
    struct sl_text table = {0};
    *text = NULL;
    SL_TRY_OUT(sl_heap_alloc(&err, "probes", 1, sizeof *probes.judge, &probes.judge));
    SL_TRY_OUT(api_judge_open(&err, probes.judge, options, model, data, hooks));
    SL_TRY_OUT(compare(&err, &probes));
    SL_TRY_OUT(api_json_add(&err, &line, result_json(&probes)));
    result_text(&probes, &table);
    SL_TRY_OUT(write_result(&err, model, line.text));
    SL_TRY_OUT(api_text_out(&err, json ? &line : &table, text));
out:
    sl_text_finish(&line);
    sl_text_finish(&table);
    api_judge_close(probes.judge);
    return api_leave(&err, status, error);
}
