/* SPDX-License-Identifier: MIT */
/*
 * The whole training step, timed: keys, every width's forward, loss and backward, and the
 * update. Pictures are numbers made beforehand, so that the loader has no part in it.
 */
#include "bench/bench_int.h"

enum { STEPS_MOST = 1000, WARM_STEPS = 1 };

/* Columns that a row of logits is computed for; a classifier's belong to the net. */
static double logit_columns(const struct sl_trainer_config *config)
{
    const struct sl_method_info *info = sl_method_info(config->method);
    if (info->has_queue) {
        return (double)config->queue;
    }
    if (info->has_labels) {
        return 0.0;
    }
    return info->has_target ? config->batch : (double)info->n_queries * config->batch;
}

/* Multiply-adds of one step. Backward costs a width twice its forward, but for the first
 * layer, which has no gradient towards the pictures. */
static double step_macs(const struct sl_trainer_config *config, const struct sl_net *net)
{
    const struct sl_method_info *info = sl_method_info(config->method);
    double total = 0.0;
    double rows = (double)info->n_queries * config->batch;
    int64_t params = 0;
    int64_t macs = 0;
    double dim = (double)sl_net_channels(net, net->embedding, 0);
    for (int i = 0; i < net->widths.n; i++) {
        int64_t first = 0;
        sl_net_cost(net, net->embedding, i, &params, &macs);
        sl_net_cost(net, net->ops[0].dst, i, &params, &first);
        total += (3.0 * (double)macs - (double)first) * rows;
        total += 2.0 * dim * logit_columns(config) * rows;
    }
    sl_net_cost(net, net->projection, 0, &params, &macs);
    return total + (double)macs * info->n_keys * config->batch;
}

enum sl_status sl_bench_step(struct sl_error *err, const struct sl_trainer_config *config,
                             const struct sl_net *net, const struct sl_device *device,
                             int steps, struct sl_bench_step_result *result)
{
    enum sl_status status = SL_OK;
    struct sl_trainer *trainer = NULL;
    float *views[2] = {NULL, NULL};
    int32_t *labels = NULL;
    double *times = NULL;
    double *parts[SL_WIDTHS_MAX + 2] = {NULL};
    int n_widths = net->widths.n;
    const struct sl_value *input = &net->values[net->input];
    int64_t count = (int64_t)config->batch * input->height * input->width *
                    sl_net_channels(net, net->input, 0);

    *result = (struct sl_bench_step_result){.steps = steps};
    if (steps < 1 || steps > STEPS_MOST) {
        return SL_FAIL(err, SL_ERROR_USAGE, "--steps %d: a bench takes 1 to %d", steps,
                       (int)STEPS_MOST);
    }
    for (int v = 0; v < 2; v++) {
        SL_TRY_OUT(sl_heap_alloc(err, "views", count, sizeof(float), &views[v]));
        sl_rng_fill_normal(config->seed, SL_RNG_TEST, (uint32_t)v, 1.0F, count, views[v]);
    }
    SL_TRY_OUT(sl_heap_alloc(err, "labels", config->batch, sizeof *labels, &labels));
    for (int32_t i = 0; i < config->batch; i++) {
        labels[i] = i % (int32_t)sl_net_channels(net, net->embedding, 0);
    }
    SL_TRY_OUT(sl_heap_alloc(err, "times", steps, sizeof *times, &times));
    for (int i = 0; i < n_widths + 2; i++) {
        SL_TRY_OUT(sl_heap_alloc(err, "times", steps, sizeof(double), &parts[i]));
    }
    double begun = sl_clock();
    SL_TRY_OUT(sl_trainer_create(err, config, net, device, &trainer));
    for (int i = 0; i < WARM_STEPS + steps; i++) {
        const struct sl_batch batch = {.views = {views[0], views[1]},
                                       .labels = labels,
                                       .rows = config->batch,
                                       .step = i};
        struct sl_step_numbers numbers;
        double start = sl_clock();
        SL_TRY_OUT(sl_trainer_step(err, trainer, &batch, &numbers));
        double end = sl_clock();
        if (i < WARM_STEPS) {
            result->first_s = end - begun;
            result->since_start_s = sl_process_age();
            continue;
        }
        struct sl_step_times split = sl_trainer_times(trainer);
        times[i - WARM_STEPS] = end - start;
        parts[0][i - WARM_STEPS] = split.keys;
        parts[1][i - WARM_STEPS] = split.update;
        for (int w = 0; w < n_widths; w++) {
            parts[2 + w][i - WARM_STEPS] = split.width[w];
        }
    }
    result->median_s = sl_bench_median(times, steps);
    result->best_s = times[0];
    result->images_per_sec = config->batch / result->median_s;
    result->gflops = 2.0 * step_macs(config, net) / result->median_s / 1e9;
    result->keys_s = sl_bench_median(parts[0], steps);
    result->update_s = sl_bench_median(parts[1], steps);
    for (int w = 0; w < n_widths; w++) {
        result->width_s[w] = sl_bench_median(parts[2 + w], steps);
    }
    result->peak_rss = sl_peak_rss();
out:
    sl_trainer_destroy(trainer);
    for (int v = 0; v < 2; v++) {
        sl_heap_free(views[v]);
    }
    sl_heap_free(labels);
    sl_heap_free(times);
    for (int i = 0; i < SL_COUNT(parts); i++) {
        sl_heap_free(parts[i]);
    }
    return status;
}
