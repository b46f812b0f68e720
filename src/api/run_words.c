/* SPDX-License-Identifier: MIT */
/*
 * What a run says to a person: what it is about to do, how long that will take, and how
 * each epoch went.
 */
#include "run_int.h"

#include <math.h>

static const double LONG_RUN_SECONDS = 3600.0;

void api_say_uneven(const struct sl_net *net, const char *arch)
{
    int width = 0;
    int axis = 0;
    char text[16];
    if (!sl_net_uneven(net, &width, &axis)) {
        return;
    }
    sl_multiplier_text(net->widths.at[width], text, sizeof text);
    sl_log(
        SL_LOG_INFO,
        "note:   %s at width %s has %d channels in %s: not a multiple of 8, which many "
        "devices run slower than its size promises",
        arch, text, net->axes[axis].span[width].count, net->axes[axis].name);
}

static void say_run(const struct api_run *run)
{
    const struct sl_trainer_config *trainer = &run->settings.trainer;
    char joins[64] = "";
    char queue[48] = "";
    char later[32] = "";
    if (sl_method_info(trainer->method)->has_queue) {
        (void)snprintf(queue, sizeof queue, "; queue %lld", (long long)trainer->queue);
    }
    if (trainer->lr.second_from < trainer->total_steps &&
        trainer->lr.second_peak != trainer->lr.peak) {
        (void)snprintf(later, sizeof later, ", then %.4g", trainer->lr.second_peak);
    }
    bool several = run->net->widths.n > 1 && trainer->total_steps > 0;
    if (several && trainer->slow_start_step > 0) {
        (void)snprintf(joins, sizeof joins, "; sub-networks join at step %lld",
                       (long long)trainer->slow_start_step);
    } else if (several) {
        (void)snprintf(joins, sizeof joins, "; all widths train from the start");
    }
    sl_log(SL_LOG_INFO,
           "run:    %lld step%s (%.4g epoch%s of %lld) of %d picture%s; lr %.4g%s%s%s",
           (long long)trainer->total_steps, sl_plural((double)trainer->total_steps),
           run->settings.epochs, sl_plural(run->settings.epochs),
           (long long)run->settings.steps_per_epoch, trainer->batch,
           sl_plural(trainer->batch), trainer->lr.peak, later, queue, joins);
}

void api_run_say_start(const struct api_run *run)
{
    char described[256];
    char widths[128] = "";
    size_t at = 0;
    run->device.table->describe(run->device.state, described, sizeof described);
    for (int i = 0; i < run->net->widths.n; i++) {
        char one[16];
        sl_multiplier_text(run->net->widths.at[i], one, sizeof one);
        at += (size_t)snprintf(widths + at, sizeof widths - at, "%s%s", i > 0 ? " " : "",
                               one);
    }
    struct sl_trainer_memory memory = sl_trainer_memory(run->trainer);
    sl_log(SL_LOG_INFO, "data:   %s: %lld picture%s (%s)", run->data.names[0],
           (long long)sl_source_count(run->source),
           sl_plural((double)sl_source_count(run->source)), sl_source_kind(run->source));
    sl_log(SL_LOG_INFO, "net:    %s at width%s %s, %d px, %s stem, taught by %s",
           sl_conf_text(run->conf, "arch"), sl_plural(run->net->widths.n), widths,
           run->settings.resnet.image_size, sl_conf_text(run->conf, "stem"),
           sl_method_info(run->settings.trainer.method)->name);
    api_say_uneven(run->net, sl_conf_text(run->conf, "arch"));
    say_run(run);
    sl_log(SL_LOG_INFO,
           "device: %s; %d loader workers; %.0f MB for the model, %.0f MB for a step",
           described, run->settings.workers,
           (double)(memory.params + memory.method) / 1e6, (double)memory.block / 1e6);
}

void api_run_say_loader(const struct api_run *run)
{
    struct sl_loader_memory memory = sl_loader_memory(run->loader);
    sl_log(SL_LOG_INFO,
           "loader: %d batches in turn, %.0f MB, taken now; each of %d workers adds what "
           "its largest picture takes",
           memory.slots, (double)memory.ring / 1e6, run->settings.workers);
}

/* Seconds of one forward at a width, measured on zeros where steps will compute; 0 when
 * it cannot be had. */
static double forward_seconds(const struct api_run *run, int width)
{
    struct sl_error ignored = {0};
    struct sl_plan *plan = NULL;
    double seconds = 0.0;
    size_t room = 0;
    char *block = sl_trainer_scratch(run->trainer, &room);
    size_t side = (size_t)run->settings.resnet.image_size;
    const struct sl_backend *table = run->device.table;
    const struct sl_plan_config config = {
        .net = run->net,
        .device = &run->device,
        .width = width,
        .batch = run->settings.trainer.batch,
        .role = SL_ROLE_INFER,
        .groups = 1,
        .output = run->net->embedding,
        .type = run->settings.trainer.type,
    };
    size_t bytes = side * side * (size_t)run->settings.resnet.channels * sizeof(float) *
                   (size_t)config.batch;
    /* The pictures stand first, the plan behind them; both begin at multiples of 64. */
    size_t first = (bytes + 63) / 64 * 64;
    if (sl_plan_create(&ignored, &config, &plan) == SL_OK &&
        first + sl_plan_bytes(plan) <= room) {
        table->zero(run->device.state, block, bytes);
        sl_plan_attach(plan, block + first);
        sl_exec_refresh(plan, sl_trainer_params(run->trainer));
        for (int i = 0; i < 2; i++) {
            double start = sl_clock();
            (void)sl_exec_forward(plan, sl_trainer_params(run->trainer),
                                  sl_trainer_stats(run->trainer), block);
            seconds = sl_clock() - start;
        }
    }
    sl_plan_destroy(plan);
    return seconds;
}

double api_run_estimate(struct api_run *run)
{
    /* Keys take a forward of the full width each; a width's forward and backward about
     * three and a half. */
    const struct sl_method_info *info = sl_method_info(run->settings.trainer.method);
    double width = 3.5 * info->n_queries;
    double full = (info->n_keys + width) * forward_seconds(run, 0);
    double all = full;
    for (int i = 1; i < run->net->widths.n; i++) {
        all += width * forward_seconds(run, i);
    }
    run->pace.n_widths = run->net->widths.n;
    run->pace.join_factor = full > 0.0 ? all / full : 1.0;
    int64_t done = sl_trainer_steps(run->trainer);
    int64_t total = run->settings.trainer.total_steps;
    int64_t slow = run->settings.trainer.slow_start_step;
    slow = slow < done ? done : slow > total ? total : slow;
    return full * (double)(slow - done) + all * (double)(total - slow);
}

double api_run_with_loading(const struct api_run *run, double seconds)
{
    /* The first batch was made by all workers on cores that did nothing else. Later ones
     * share the cores with the computation, and never come faster than the first. */
    int cores = sl_cpu_count();
    double busy =
        run->settings.workers < cores ? (double)run->settings.workers / cores : 1.0;
    int64_t steps = run->settings.trainer.total_steps - sl_trainer_steps(run->trainer);
    double loading = run->ahead_waited * (double)steps;
    return fmax(loading, seconds + busy * loading);
}

void api_run_say_duration(const struct api_run *run)
{
    double seconds = run->seconds_left;
    if (seconds >= LONG_RUN_SECONDS) {
        sl_log(SL_LOG_INFO,
               "time:   about %.1f hours; fewer --epochs, --limit N pictures, a smaller "
               "--image-size or --arch would shorten it",
               seconds / 3600.0);
    } else if (seconds >= 90.0) {
        sl_log(SL_LOG_INFO, "time:   about %.0f minutes", ceil(seconds / 60.0));
    } else {
        sl_log(SL_LOG_INFO, "time:   about %.0f seconds",
               fmax(5.0 * ceil(seconds / 5.0), 5.0));
    }
}

void api_run_say_end(const struct api_run *run)
{
    bool has_labels = sl_method_info(run->settings.trainer.method)->has_labels;
    sl_log(SL_LOG_INFO,
           "done:   %s; judge it with labelled pictures: slimclr eval %s %s DATA",
           run->last, has_labels ? "classifier" : "knn", run->directory);
}

void api_run_say_epoch(const struct api_run *run, const struct sl_step_numbers *numbers,
                       const struct api_knn *knn)
{
    struct sl_text text = {0};
    sl_text_add(&text, "epoch %.4g/%.4g  step %lld  lr %.3g  loss by width (chance %.2f)",
                api_run_epoch(run, sl_trainer_steps(run->trainer)), run->settings.epochs,
                (long long)sl_trainer_steps(run->trainer), numbers->lr,
                sl_trainer_chance(&run->settings.trainer, run->net));
    for (int i = 0; i < numbers->active; i++) {
        sl_text_add(&text, " %.3f", numbers->width[i].loss);
    }
    bool has_labels = sl_method_info(run->settings.trainer.method)->has_labels;
    sl_text_add(&text, has_labels ? "  right in training" : "  spread");
    for (int i = 0; i < numbers->active; i++) {
        if (has_labels) {
            sl_text_add(&text, " %.1f%%", 100.0 * numbers->width[i].contrast_acc);
        } else {
            sl_text_add(&text, " %.2f", numbers->width[i].emb_std);
        }
    }
    if (knn != NULL) {
        sl_text_add(&text, "  kNN (chance %.1f%%)", 100.0 / knn->classes);
        for (int i = 0; i < run->net->widths.n; i++) {
            sl_text_add(&text, " %.1f%%", 100.0 * knn->width[i].acc1);
        }
    }
    if (!text.failed) {
        sl_log(SL_LOG_INFO, "%s", text.text);
    }
    sl_text_finish(&text);
}
