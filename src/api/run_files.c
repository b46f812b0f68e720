/* SPDX-License-Identifier: MIT */
/*
 * The files of a run's directory: config.ini, metrics, checkpoints, bad_files.txt. Each
 * is whole at every moment, or append-only by lines.
 */
#include "run_int.h"

#include <string.h>

enum sl_status api_run_write_config(struct sl_error *err, struct api_run *run)
{
    char path[RUN_PATH_LENGTH];
    char described[256];
    struct sl_text text = {0};
    enum sl_status status = SL_OK;
    run->device.table->describe(run->device.state, described, sizeof described);
    sl_text_add(&text, "# slimclr %s; %s\n", slim_version(), described);
    sl_text_add(&text, "# every setting of this run, resolved; a valid --config\n");
    /* Relative words become absolute epochs, so that a longer schedule does not move what
     * has begun. */
    int n = sl_conf_key_count(run->conf);
    for (int i = 0; i < n; i++) {
        const char *name = sl_conf_key(run->conf, i)->name;
        if (strcmp(name, "resume") != 0 && strcmp(name, "overwrite") != 0 &&
            strcmp(name, "config") != 0 && strcmp(name, "recipe") != 0) {
            sl_text_add(&text, "%s = %s\n", name, sl_conf_text(run->conf, name));
        }
    }
    if (text.failed || !sl_path_join(path, sizeof path, run->directory, "config.ini")) {
        status = SL_FAIL(err, SL_ERROR_RUN, "%s: cannot name or hold config.ini",
                         run->directory);
        goto out;
    }
    SL_TRY_OUT(sl_file_write(err, path, text.text, text.length));
out:
    sl_text_finish(&text);
    return status;
}

enum sl_status api_run_open_metrics(struct sl_error *err, struct api_run *run)
{
    static const char *const first[] = {"step",      "epoch", "lr",    "images_per_sec",
                                        "data_wait", "loss",  "chance"};
    static const char *const per_width[] = {"loss",    "distill",   "contrast_acc",
                                            "emb_std", "grad_norm", "knn_acc1"};
    char names[SL_COUNT(first) + SL_WIDTHS_MAX * SL_COUNT(per_width)][48];
    const char *columns[SL_COUNT(names)];
    int n = 0;
    for (int i = 0; i < SL_COUNT(first); i++) {
        (void)snprintf(names[n++], sizeof names[0], "%s", first[i]);
    }
    for (int k = 0; k < SL_COUNT(per_width); k++) {
        for (int w = 0; w < run->net->widths.n; w++) {
            char width[16];
            sl_multiplier_text(run->net->widths.at[w], width, sizeof width);
            (void)snprintf(names[n++], sizeof names[0], "%s/w%s", per_width[k], width);
        }
    }
    for (int i = 0; i < n; i++) {
        columns[i] = names[i];
    }
    int64_t through = run->resumed ? sl_trainer_steps(run->trainer) : -1;
    return sl_metrics_open(err, run->directory, columns, n, through, &run->metrics);
}

double api_run_epoch(const struct api_run *run, int64_t step)
{
    return (double)step / (double)run->settings.steps_per_epoch;
}

enum sl_status api_run_save(struct sl_error *err, struct api_run *run, bool numbered)
{
    int64_t step = sl_trainer_steps(run->trainer);
    int keep = (int)sl_conf_int(run->conf, "keep");
    if (numbered && keep > 0) {
        char name[96];
        char path[RUN_PATH_LENGTH];
        sl_checkpoint_name(step / run->settings.steps_per_epoch, step, name, sizeof name);
        if (!sl_path_join(path, sizeof path, run->checkpoints, name)) {
            return SL_FAIL(err, SL_ERROR_RUN, "%s: path too long", run->checkpoints);
        }
        SL_TRY(sl_checkpoint_save(err, path, &run->device, &run->state,
                                  run->checkpoint_conf.text));
    }
    SL_TRY(sl_checkpoint_save(err, run->last, &run->device, &run->state,
                              run->checkpoint_conf.text));
    sl_checkpoint_prune(run->checkpoints, keep);
    return SL_OK;
}

/* bad_files.txt grows as damaged pictures are met; the whole file is written anew, so it
 * is never torn. */
enum sl_status api_run_write_bad_files(struct sl_error *err, struct api_run *run)
{
    int64_t n = sl_loader_bad_count(run->loader);
    if (n == run->bad_written) {
        return SL_OK;
    }
    char path[RUN_PATH_LENGTH];
    struct sl_text text = {0};
    enum sl_status status = SL_OK;
    for (int64_t i = 0; i < n; i++) {
        if (i >= run->bad_written) {
            sl_log(SL_LOG_WARNING, "damaged picture: %s: %s",
                   sl_loader_bad_name(run->loader, i),
                   sl_loader_bad_reason(run->loader, i));
        }
        sl_text_add(&text, "%s\t%s\n", sl_loader_bad_name(run->loader, i),
                    sl_loader_bad_reason(run->loader, i));
    }
    if (text.failed ||
        !sl_path_join(path, sizeof path, run->directory, "bad_files.txt")) {
        status =
            SL_FAIL(err, SL_ERROR_RUN, "%s: cannot hold bad_files.txt", run->directory);
        goto out;
    }
    SL_TRY_OUT(sl_file_write(err, path, text.text, text.length));
    run->bad_written = n;
out:
    sl_text_finish(&text);
    return status;
}
