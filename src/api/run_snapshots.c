/* SPDX-License-Identifier: MIT */
/*
 * Snapshots of a run: the parameters at its start and at the end of every epoch, so that
 * the path they took can be looked at afterwards (docs/analyse.md). A snapshot is a
 * checkpoint that cannot be resumed from, and any command that takes a model takes it.
 */
#include "run_int.h"

enum sl_status api_run_snapshots_path(struct sl_error *err, const struct api_run *run,
                                      char path[RUN_PATH_LENGTH])
{
    return sl_path_join(path, RUN_PATH_LENGTH, run->directory, "snapshots")
               ? SL_OK
               : SL_FAIL(err, SL_ERROR_RUN, "%s: path too long", run->directory);
}

/* The parameters as they are now, `step` steps done; width "": after the update of all.
 */
static enum sl_status save(struct sl_error *err, struct api_run *run, int64_t step,
                           const char *width)
{
    char name[96];
    char path[RUN_PATH_LENGTH];
    sl_snapshot_name(step / run->settings.steps_per_epoch, step, width, name,
                     sizeof name);
    if (!sl_path_join(path, sizeof path, run->snapshots, name)) {
        return SL_FAIL(err, SL_ERROR_RUN, "%s: path too long", run->snapshots);
    }
    run->snapshot_step = step;
    return sl_checkpoint_save(err, path, &run->device, &run->snapshot,
                              run->checkpoint_conf.text, &run->classes);
}

static bool is_due(const struct api_run *run, int64_t step)
{
    return run->snapshot.n > 0 && (step % run->settings.steps_per_epoch == 0 ||
                                   step == run->settings.trainer.total_steps);
}

/* Within the step, after the update that followed one width. */
static enum sl_status after_width(struct sl_error *err, void *context, int width)
{
    struct api_run *run = context;
    int64_t step = sl_trainer_steps(run->trainer) + 1;
    char text[16];
    sl_multiplier_text(run->net->widths.at[width], text, sizeof text);
    return is_due(run, step) ? save(err, run, step, text) : SL_OK;
}

enum sl_status api_run_take_snapshot(struct sl_error *err, struct api_run *run)
{
    int64_t step = sl_trainer_steps(run->trainer);
    bool joint = run->settings.trainer.update == SL_UPDATE_JOINT;
    return joint && is_due(run, step) ? save(err, run, step, "") : SL_OK;
}

/* Files after `done` steps: one at each moment, or one for each width that the update
 * there is made for. */
static int64_t files_at(const struct api_run *run, int64_t done)
{
    const struct sl_trainer_config *trainer = &run->settings.trainer;
    if (done == 0 || trainer->update != SL_UPDATE_PER_WIDTH) {
        return 1;
    }
    return sl_widths_active(&run->net->widths, trainer->slow_start_step, done - 1);
}

/* The files that this start of the run will write. */
static int64_t files_to_come(const struct api_run *run)
{
    int64_t total = run->settings.trainer.total_steps;
    int64_t an_epoch = run->settings.steps_per_epoch;
    int64_t done = sl_trainer_steps(run->trainer);
    int64_t n = done == 0 ? files_at(run, 0) : 0;
    while (done < total) {
        int64_t next = (done / an_epoch + 1) * an_epoch;
        done = next < total ? next : total;
        n += files_at(run, done);
    }
    return n;
}

static void say(const struct api_run *run)
{
    int64_t bytes = 0;
    for (int i = 0; i < run->snapshot.n; i++) {
        bytes += (int64_t)sl_tensor_bytes(&run->snapshot.items[i].tensor);
    }
    sl_log(SL_LOG_INFO, "paths:  %lld snapshots of %.1f MB to come in %s",
           (long long)files_to_come(run), (double)bytes / 1e6, run->snapshots);
}

enum sl_status api_run_open_snapshots(struct sl_error *err, struct api_run *run)
{
    static const int64_t one = 1;
    int64_t step = sl_trainer_steps(run->trainer);
    SL_TRY(api_run_snapshots_path(err, run, run->snapshots));
    sl_snapshot_cut(run->snapshots, step);
    if (!sl_conf_bool(run->conf, "snapshots")) {
        return SL_OK;
    }
    SL_TRY(sl_params_state(err, run->net, sl_trainer_params(run->trainer)->weight, "",
                           &run->snapshot));
    SL_TRY(sl_stats_state(err, sl_trainer_stats(run->trainer), "", &run->snapshot));
    SL_TRY(sl_named_add(err, &run->snapshot, "step",
                        sl_tensor_make(&run->snapshot_step, SL_I64, 1, &one)));
    SL_TRY(sl_dir_create(err, run->snapshots));
    say(run);
    sl_trainer_on_update(run->trainer, after_width, run);
    return step == 0 ? save(err, run, 0, "") : SL_OK;
}
