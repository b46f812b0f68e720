/* SPDX-License-Identifier: MIT */
/*
 * `slimclr pretrain`: opens data, net and trainer, resumes or starts, runs the loop, and
 * keeps the run directory. The one invariant: whatever happens, the last checkpoint is
 * complete and resuming from it gives the same bits as never having stopped.
 */
#include "run_int.h"

#include <math.h>
#include <string.h>

enum { COLLAPSE_LINES = 20 }; /* logged lines in a row below COLLAPSE_STD */
static const double COLLAPSE_STD = 0.05;

/* ---- opening ----------------------------------------------------------------------- */

static enum sl_status open_pictures(struct sl_error *err, struct api_run *run,
                                    struct api_pictures *pictures)
{
    SL_TRY(api_pictures_open(err, run->conf, run->data.names, run->data.n, &run->source,
                             pictures));
    run->fingerprint = sl_source_fingerprint(run->source);
    char text[32];
    (void)snprintf(text, sizeof text, "%016llx", (unsigned long long)run->fingerprint);
    if (sl_conf_is_auto(run->conf, "data-fingerprint")) {
        return api_resolve(err, run->conf, "data-fingerprint", text);
    }
    if (strcmp(text, sl_conf_text(run->conf, "data-fingerprint")) != 0) {
        return SL_FAIL(
            err, SL_ERROR_USAGE,
            "%s: not the pictures this run began with (%lld of them, fingerprint %s, "
            "expected %s); give the same data",
            run->data.names[0], (long long)pictures->count, text,
            sl_conf_text(run->conf, "data-fingerprint"));
    }
    return SL_OK;
}

static enum sl_status open_trainer(struct sl_error *err, struct api_run *run)
{
    SL_TRY(sl_resnet_build(err, &run->settings.resnet, &run->net));
    SL_TRY(sl_trainer_create(err, &run->settings.trainer, run->net, &run->device,
                             &run->trainer));
    SL_TRY(sl_trainer_state(err, run->trainer, &run->state));
    return api_run_take_weights(err, run);
}

/* Opens the loader and takes the first batch, unless no step is left. */
static enum sl_status open_loader(struct sl_error *err, struct api_run *run)
{
    double max_bad = 0.0;
    SL_TRY(api_parse_fraction(err, sl_conf_text(run->conf, "max-bad"), "--max-bad",
                              &max_bad));
    if (sl_trainer_steps(run->trainer) >= run->settings.trainer.total_steps) {
        return SL_OK;
    }
    run->seconds_left = api_run_estimate(run);
    SL_TRY(sl_loader_create(
        err,
        &(struct sl_loader_config){
            .source = run->source,
            .recipe = run->settings.recipe,
            .n_views = sl_method_info(run->settings.trainer.method)->n_views,
            .batch = run->settings.trainer.batch,
            .n_workers = run->settings.workers,
            .seed = run->settings.trainer.seed,
            .first_step = sl_trainer_steps(run->trainer),
            .end_step = run->settings.trainer.total_steps,
            .bad_policy = api_bad_policy(run->conf),
            .max_bad = max_bad,
        },
        &run->loader));
    if (run->resumed) {
        SL_TRY(api_run_recall_bad_files(err, run));
    }
    SL_TRY(sl_loader_acquire(err, run->loader, &run->ahead, &run->ahead_waited));
    run->has_ahead = true;
    run->seconds_left = api_run_with_loading(run, run->seconds_left);
    return SL_OK;
}

static enum sl_status next_batch(struct sl_error *err, struct api_run *run,
                                 struct sl_batch *batch, double *waited)
{
    if (!run->has_ahead) {
        return sl_loader_acquire(err, run->loader, batch, waited);
    }
    *batch = run->ahead;
    *waited = 0.0; /* it was waited for before the first step began */
    run->has_ahead = false;
    return SL_OK;
}

/* ---- the loop ---------------------------------------------------------------------- */

static int add_metric(struct sl_metric *values, int n, double value, const char *key)
{
    (void)sl_text_copy(values[n].key, sizeof values[n].key, key);
    values[n].value = value;
    return n + 1;
}

static int add_width_metric(const struct api_run *run, struct sl_metric *values, int n,
                            double value, const char *key, int width)
{
    char text[16];
    char name[48];
    sl_multiplier_text(run->net->widths.at[width], text, sizeof text);
    (void)snprintf(name, sizeof name, "%s/w%s", key, text);
    return add_metric(values, n, value, name);
}

/* The last active width whose embeddings lie together, or -1. */
static int collapsed_width(const struct sl_step_numbers *numbers)
{
    int low = -1;
    for (int i = 0; i < numbers->active; i++) {
        if (numbers->width[i].emb_std < COLLAPSE_STD) {
            low = i;
        }
    }
    return low;
}

static void say_collapse(struct api_run *run, const struct sl_step_numbers *numbers,
                         int low, const char *when)
{
    char width[16];
    sl_multiplier_text(run->net->widths.at[low], width, sizeof width);
    if (!run->collapse_said) {
        run->collapse_said = true;
        sl_log(SL_LOG_WARNING,
               "step %lld: width %s: embeddings have collapsed (emb_std %.2g, below %.2g "
               "%s): all pictures look alike to the net; try --head-init fan-in, a lower "
               "--lr, or other data",
               (long long)numbers->step, width, numbers->width[low].emb_std, COLLAPSE_STD,
               when);
    }
}

static enum sl_status watch_collapse(struct sl_error *err, struct api_run *run,
                                     const struct sl_step_numbers *numbers)
{
    const struct sl_trainer_config *trainer = &run->settings.trainer;
    int low = collapsed_width(numbers);
    bool warming = (double)numbers->step < trainer->lr.warmup_steps;
    run->collapse_lines = low >= 0 && !warming ? run->collapse_lines + 1 : 0;
    if (run->collapse_lines < COLLAPSE_LINES) {
        /* A run may be over before so many lines were logged. */
        if (run->collapse_lines > 0 &&
            sl_trainer_steps(run->trainer) == trainer->total_steps) {
            say_collapse(run, numbers, low, "at the end of the run");
        }
        return SL_OK;
    }
    char when[48];
    (void)snprintf(when, sizeof when, "on %d logged lines", (int)COLLAPSE_LINES);
    if (sl_conf_bool(run->conf, "stop-on-collapse")) {
        char width[16];
        sl_multiplier_text(run->net->widths.at[low], width, sizeof width);
        return SL_FAIL(
            err, SL_ERROR_NUMBERS,
            "step %lld: width %s: embeddings have collapsed (emb_std %.2g, below %.2g "
            "%s); try --head-init fan-in, a lower --lr, or other data",
            (long long)numbers->step, width, numbers->width[low].emb_std, COLLAPSE_STD,
            when);
    }
    say_collapse(run, numbers, low, when);
    return SL_OK;
}

static enum sl_status log_step(struct sl_error *err, struct api_run *run,
                               const struct sl_step_numbers *numbers,
                               const struct api_knn *knn)
{
    struct sl_metric values[8 + SL_WIDTHS_MAX * 6];
    int n = 0;
    n = add_metric(values, n, (double)sl_trainer_steps(run->trainer), "step");
    n = add_metric(values, n, api_run_epoch(run, sl_trainer_steps(run->trainer)),
                   "epoch");
    n = add_metric(values, n, numbers->lr, "lr");
    n = add_metric(values, n, api_window_rate(&run->window), "images_per_sec");
    n = add_metric(values, n, api_window_wait(&run->window), "data_wait");
    n = add_metric(values, n, numbers->loss, "loss");
    n = add_metric(values, n, sl_trainer_chance(&run->settings.trainer, run->net),
                   "chance");
    bool has_labels = sl_method_info(run->settings.trainer.method)->has_labels;
    for (int i = 0; i < numbers->active; i++) {
        const struct sl_width_numbers *w = &numbers->width[i];
        n = add_width_metric(run, values, n, w->loss, "loss", i);
        n = add_width_metric(run, values, n, w->distill, "distill", i);
        n = add_width_metric(run, values, n, w->contrast_acc,
                             has_labels ? "acc" : "contrast_acc", i);
        if (!has_labels) {
            n = add_width_metric(run, values, n, w->emb_std, "emb_std", i);
        }
        n = add_width_metric(run, values, n, w->grad_norm, "grad_norm", i);
    }
    for (int i = 0; knn != NULL && i < run->net->widths.n; i++) {
        n = add_width_metric(run, values, n, knn->width[i].acc1, "knn_acc1", i);
    }
    if (knn != NULL) {
        n = add_metric(values, n, 1.0 / knn->classes, "knn_chance");
    }
    run->window = (struct api_window){0};
    SL_TRY(sl_metrics_write(err, run->metrics, values, n));
    if (run->events != NULL) {
        SL_TRY(sl_events_write(err, run->events, values, n));
    }
    return numbers->skipped || has_labels ? SL_OK : watch_collapse(err, run, numbers);
}

static void report_progress(struct api_run *run, const struct sl_step_numbers *numbers,
                            bool logged, double seconds, double waited)
{
    int64_t step = sl_trainer_steps(run->trainer);
    const struct sl_trainer_config *trainer = &run->settings.trainer;
    api_pace_step(&run->pace, numbers->active, trainer->batch, seconds, waited);
    if (run->hooks == NULL || run->hooks->progress == NULL) {
        return;
    }
    const slim_progress progress = {
        .step = step,
        .total_steps = trainer->total_steps,
        .epoch = api_run_epoch(run, step),
        .epochs = run->settings.epochs,
        .loss = numbers->width[0].loss,
        .chance = sl_trainer_chance(trainer, run->net),
        .images_per_sec = run->pace.rate,
        .eta_s = api_pace_left(&run->pace, step, trainer->slow_start_step,
                               trainer->total_steps, trainer->batch),
        .data_wait = run->pace.wait,
        .active_widths = numbers->active,
        .logged = logged,
    };
    run->hooks->progress(run->hooks->context, &progress);
}

/* What is due after a step, which took so many seconds: metric line, evaluation,
 * checkpoint. */
static enum sl_status after_step(struct sl_error *err, struct api_run *run,
                                 const struct sl_step_numbers *numbers, double seconds,
                                 double waited)
{
    int64_t step = sl_trainer_steps(run->trainer);
    int64_t per_epoch = run->settings.steps_per_epoch;
    int64_t total = run->settings.trainer.total_steps;
    bool last = step == total;
    bool epoch_end = step % per_epoch == 0;
    int64_t epoch = step / per_epoch;
    bool logged = step % run->settings.log_every == 0 || last;
    struct api_knn knn = {0};
    const char *eval_data = sl_conf_text(run->conf, "eval-data");
    bool judged =
        eval_data[0] != '\0' &&
        ((epoch_end && epoch % sl_conf_int(run->conf, "eval-every") == 0) || last);
    if (judged) {
        struct sl_recipe view;
        SL_TRY(api_knn_view(err, &run->settings, &view));
        SL_TRY(
            api_knn_widths(err,
                           &(struct sl_frozen){.device = &run->device,
                                               .net = run->net,
                                               .params = sl_trainer_params(run->trainer),
                                               .stats = sl_trainer_stats(run->trainer),
                                               .type = run->settings.trainer.type},
                           run->conf, &view, eval_data, run->settings.workers, &knn));
    }
    SL_TRY(api_run_write_bad_files(err, run));
    SL_TRY(api_run_write_gradients(err, run));
    SL_TRY(api_run_take_snapshot(err, run));
    if (logged || judged) {
        SL_TRY(log_step(err, run, numbers, judged ? &knn : NULL));
    }
    if (epoch_end || last) {
        api_run_say_epoch(run, numbers, judged ? &knn : NULL);
    }
    int64_t save_steps = sl_conf_int(run->conf, "save-steps");
    bool numbered =
        (epoch_end && epoch % sl_conf_int(run->conf, "save-every") == 0) || last;
    if (numbered || (save_steps > 0 && step % save_steps == 0)) {
        SL_TRY(api_run_save(err, run, numbered));
    }
    report_progress(run, numbers, logged || judged, seconds, waited);
    return SL_OK;
}

static enum sl_status loop(struct sl_error *err, struct api_run *run)
{
    int joined =
        sl_widths_active(&run->net->widths, run->settings.trainer.slow_start_step,
                         sl_trainer_steps(run->trainer));
    while (sl_trainer_steps(run->trainer) < run->settings.trainer.total_steps) {
        struct sl_batch batch;
        struct sl_step_numbers numbers = {0};
        double waited = 0.0;
        double start = sl_clock();
        SL_TRY(next_batch(err, run, &batch, &waited));
        enum sl_status status = sl_trainer_step(err, run->trainer, &batch, &numbers);
        sl_loader_release(run->loader);
        SL_TRY(status);
        if (numbers.active > joined) {
            joined = numbers.active;
            sl_log(SL_LOG_INFO,
                   "step %lld: slow start ends; all %d widths train from here",
                   (long long)numbers.step, joined);
        }
        double seconds = sl_clock() - start;
        api_window_step(&run->window, run->settings.trainer.batch, seconds, waited);
        SL_TRY(after_step(err, run, &numbers, seconds, waited));
        if (sl_trainer_steps(run->trainer) < run->settings.trainer.total_steps &&
            api_stop_requested(run->hooks)) {
            SL_TRY(api_run_save(err, run, false));
            return SL_FAIL(
                err, SL_STOPPED,
                "stopped at step %lld; the checkpoint is written: add --resume to go on",
                (long long)sl_trainer_steps(run->trainer));
        }
    }
    return SL_OK;
}

static enum sl_status freeze_relative(struct sl_error *err, struct api_run *run)
{
    /* "50%" would mean another step after --epochs grew: the record holds epochs. */
    double slow = (double)run->settings.trainer.slow_start_step /
                  (double)run->settings.steps_per_epoch;
    return api_resolve_real(err, run->conf, "slow-start", slow);
}

static enum sl_status execute(struct sl_error *err, struct api_run *run,
                              const char *const *data, int n_data)
{
    struct api_pictures pictures;
    char path[RUN_PATH_LENGTH];
    SL_TRY(api_run_check_directory(err, run));
    SL_TRY(api_run_settle(err, run));
    SL_TRY(api_run_take_data(err, run, data, n_data));
    SL_TRY(open_pictures(err, run, &pictures));
    SL_TRY(api_device_open(err, run->conf, &run->device));
    SL_TRY(api_settings_resolve(err, run->conf, &pictures, &run->device, &run->settings));
    SL_TRY(freeze_relative(err, run));
    SL_TRY(api_conf_record(err, run->conf, &run->checkpoint_conf));
    /* Where --classes asks for more outputs than the data has classes, some have no name.
     */
    if (sl_method_info(run->settings.trainer.method)->has_labels &&
        run->settings.resnet.dim == pictures.n_classes) {
        SL_TRY(api_classes_of(err, run->source, &run->classes));
    }
    SL_TRY(open_trainer(err, run));
    if (sl_trainer_steps(run->trainer) > run->settings.trainer.total_steps) {
        return SL_FAIL(
            err, SL_ERROR_USAGE,
            "resume: the checkpoint is at step %lld, past the end at %lld; raise "
            "--epochs",
            (long long)sl_trainer_steps(run->trainer),
            (long long)run->settings.trainer.total_steps);
    }
    if (sl_conf_text(run->conf, "eval-data")[0] != '\0') {
        SL_TRY(api_knn_check(err, run->conf, sl_conf_text(run->conf, "eval-data")));
    }
    SL_TRY(open_loader(err, run));
    /* Nothing is written before everything that could be refused was. */
    SL_TRY(sl_dir_create(err, run->checkpoints));
    if (sl_conf_bool(run->conf, "overwrite")) {
        SL_TRY(api_run_clear(err, run));
    }
    if (!run->resumed) {
        api_run_forget_bad_files(run);
    }
    SL_TRY(api_run_write_config(err, run));
    if (!sl_path_join(path, sizeof path, run->directory, "train.log")) {
        return SL_FAIL(err, SL_ERROR_RUN, "%s: path too long", run->directory);
    }
    SL_TRY(sl_file_log_open(err, path, &run->log));
    SL_TRY(sl_file_log_line(err, run->log, run->command.text));
    api_log_tee(run->log);
    SL_TRY(api_run_open_metrics(err, run));
    SL_TRY(api_run_open_gradients(err, run));
    api_run_say_start(run);
    if (run->loader != NULL) {
        api_run_say_loader(run);
    }
    SL_TRY(api_run_open_snapshots(err, run));
    if (run->settings.trainer.total_steps == 0) {
        sl_log(SL_LOG_INFO, "run:    no steps: the untrained checkpoint is written");
        SL_TRY(api_run_save(err, run, true));
        api_run_say_end(run);
        return SL_OK;
    }
    if (run->resumed) {
        sl_log(SL_LOG_INFO, "resume: from step %lld",
               (long long)sl_trainer_steps(run->trainer));
    }
    if (sl_trainer_steps(run->trainer) == run->settings.trainer.total_steps) {
        sl_log(SL_LOG_INFO, "run:    already complete; more --epochs would go on");
        api_run_say_end(run);
        return SL_OK;
    }
    api_run_say_duration(run);
    enum sl_status status = loop(err, run);
    if (status != SL_OK) { /* too many damaged pictures: the list says which */
        struct sl_error ignored = {0};
        (void)api_run_write_bad_files(&ignored, run);
        return status;
    }
    api_run_say_end(run);
    return SL_OK;
}

slim_status slim_pretrain(const slim_options *options, const char *const *data,
                          int n_data, const slim_hooks *hooks, slim_error *error)
{
    struct sl_error err = {0};
    enum sl_status status = SL_OK;
    struct api_run *run = NULL;
    SL_TRY_OUT(sl_heap_alloc(&err, "run", 1, sizeof *run, &run));
    run->hooks = hooks;
    SL_TRY_OUT(api_conf_complete(&err, options, &run->conf));
    sl_text_add(&run->command, "command: ");
    api_command_add(&run->command, "pretrain", run->conf, data, n_data);
    if (run->command.failed) {
        status = SL_FAIL(&err, SL_ERROR_RUN, "out of memory for the command's text");
        goto out;
    }
    status = execute(&err, run, data, n_data);
    if (run->log != NULL && status != SL_OK) {
        struct sl_error ignored = {0};
        (void)sl_file_log_line(&ignored, run->log, err.text);
    }
out:
    if (run != NULL) {
        api_log_tee(NULL);
        sl_loader_destroy(run->loader);
        sl_metrics_close(run->metrics);
        sl_events_close(run->events);
        sl_file_log_close(run->bad_log);
        sl_file_log_close(run->log);
        api_run_close_gradients(run);
        sl_named_finish(&run->snapshot);
        sl_named_finish(&run->state);
        sl_text_finish(&run->checkpoint_conf);
        sl_classes_finish(&run->classes);
        sl_text_finish(&run->command);
        sl_trainer_destroy(run->trainer);
        sl_net_destroy(run->net);
        sl_device_close(&run->device);
        sl_source_close(run->source);
        api_data_finish(&run->data);
        sl_conf_destroy(run->conf);
        sl_heap_free(run);
    }
    return api_leave(&err, status, error);
}
