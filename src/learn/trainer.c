/* SPDX-License-Identifier: MIT */
/*
 * The trainer owns parameters, target, statistics, plans and the method's memory, and
 * runs one step from a batch to the update. Everything is allocated when it is created; a
 * step allocates nothing and can fail only by numbers that are not finite.
 */
#include "learn/learn_int.h"

#include <math.h>
#include <string.h>

/* ---- creation ---------------------------------------------------------------------- */

static enum sl_status check_range(struct sl_error *err, const char *option, double value,
                                  double low, double high)
{
    if (!(value >= low && value <= high)) {
        return SL_FAIL(err, SL_ERROR_USAGE, "%s: %g is outside %g to %g", option, value,
                       low, high);
    }
    return SL_OK;
}

static enum sl_status check_config(struct sl_error *err,
                                   const struct sl_trainer_config *config,
                                   const struct sl_net *net)
{
    SL_TRY(check_range(err, "--batch-size", config->batch, 1, 1 << 20));
    SL_TRY(check_range(err, "--moco-k", (double)config->queue, 1, 1 << 28));
    SL_TRY(check_range(err, "--moco-m", config->ema_momentum, 0, 1));
    SL_TRY(check_range(err, "--moco-t", config->temperature, 1e-4, 1e4));
    SL_TRY(check_range(err, "--bn-splits", config->bn_splits, 1, config->batch));
    SL_TRY(check_range(err, "--momentum", config->optim.momentum, 0, 1));
    if (config->distill != SL_DISTILL_NONE) {
        SL_TRY(check_range(err, "--distill-weight", config->distill_weight, 0, 1));
        SL_TRY(
            check_range(err, "--distill-temp", config->distill_temperature, 1e-4, 1e4));
    }
    if (config->queue % config->batch != 0) {
        return SL_FAIL(
            err, SL_ERROR_USAGE,
            "--moco-k: the queue of %lld must be a multiple of the batch size %d; "
            "take %lld",
            (long long)config->queue, config->batch,
            (long long)((config->queue / config->batch + 1) * config->batch));
    }
    if (config->batch % config->bn_splits != 0) {
        return SL_FAIL(
            err, SL_ERROR_USAGE,
            "--bn-splits: the batch of %d cannot be split into %d equal groups",
            config->batch, config->bn_splits);
    }
    if (net->embedding == net->features) {
        return SL_FAIL(
            err, SL_ERROR_USAGE,
            "the network has no projection head; contrastive training needs one");
    }
    return SL_OK;
}

/* Plans of all widths and of the target, not attached. */
static enum sl_status create_plans(struct sl_error *err, struct sl_trainer *trainer)
{
    struct sl_plan_config config = {
        .net = trainer->net,
        .device = trainer->device,
        .batch = trainer->config.batch,
        .groups = trainer->config.bn_splits,
        .output = trainer->net->embedding,
        .reuse_off = trainer->config.reuse_off,
        .type = trainer->config.type,
    };
    config.role = SL_ROLE_TARGET;
    SL_TRY(sl_plan_create(err, &config, &trainer->target_plan));
    trainer->block_bytes = sl_plan_bytes(trainer->target_plan);
    config.role = SL_ROLE_TRAIN;
    for (int width = 0; width < trainer->net->widths.n; width++) {
        config.width = width;
        SL_TRY(sl_plan_create(err, &config, &trainer->plan[width]));
        size_t bytes = sl_plan_bytes(trainer->plan[width]);
        if (bytes > trainer->block_bytes) {
            trainer->block_bytes = bytes;
        }
    }
    return SL_OK;
}

static enum sl_status allocate(struct sl_error *err, struct sl_trainer *trainer)
{
    const struct sl_device *device = trainer->device;
    const struct sl_backend *table = device->table;
    struct sl_mocov2 *method = &trainer->method;
    SL_TRY(sl_params_create(err, trainer->net, device, true, &trainer->params));
    SL_TRY(sl_params_create(err, trainer->net, device, false, &trainer->target));
    SL_TRY(
        sl_optim_create(err, &trainer->config.optim, trainer->params, &trainer->optim));
    SL_TRY(sl_stats_create(err, trainer->net, device, &trainer->stats));
    SL_TRY(sl_stats_create(err, trainer->net, device, &trainer->target_stats));
    SL_TRY(table->alloc(err, device->state, "activations", trainer->block_bytes,
                        &trainer->block));
    sl_plan_attach(trainer->target_plan, trainer->block);
    for (int width = 0; width < trainer->net->widths.n; width++) {
        sl_plan_attach(trainer->plan[width], trainer->block);
    }
    SL_TRY(table->alloc(err, device->state, "queue, embeddings and logits",
                        trainer->method_bytes, &trainer->method_block));
    (void)sl_mocov2_layout(method, &trainer->config, trainer->net, trainer->method_block);
    method->queue.device = device;
    return sl_heap_alloc(err, "order of the keys", trainer->config.batch, sizeof(int32_t),
                         &method->order);
}

/* The keyed start. */
static enum sl_status start(struct sl_error *err, struct sl_trainer *trainer)
{
    const struct sl_device *device = trainer->device;
    SL_TRY(sl_params_init(err, trainer->params, trainer->config.seed));
    device->table->copy(device->state, trainer->target->weight, trainer->params->weight,
                        (size_t)trainer->net->total * sizeof(float));
    return sl_queue_fill(err, &trainer->method.queue, trainer->config.seed);
}

enum sl_status sl_trainer_create(struct sl_error *err,
                                 const struct sl_trainer_config *config,
                                 const struct sl_net *net, const struct sl_device *device,
                                 struct sl_trainer **trainer_pointer)
{
    struct sl_trainer *trainer = NULL;
    enum sl_status status = SL_OK;
    *trainer_pointer = NULL;
    SL_TRY(check_config(err, config, net));
    SL_TRY(sl_heap_alloc(err, "trainer", 1, sizeof(*trainer), &trainer));
    trainer->config = *config;
    trainer->net = net;
    trainer->device = device;
    trainer->method_bytes = sl_mocov2_layout(&trainer->method, config, net, NULL);
    SL_TRY_OUT(create_plans(err, trainer));
    SL_TRY_OUT(allocate(err, trainer));
    SL_TRY_OUT(start(err, trainer));
    *trainer_pointer = trainer;
    trainer = NULL;
out:
    sl_trainer_destroy(trainer);
    return status;
}

void sl_trainer_destroy(struct sl_trainer *trainer)
{
    if (trainer == NULL) {
        return;
    }
    const struct sl_device *device = trainer->device;
    for (int width = 0; width < SL_WIDTHS_MAX; width++) {
        sl_plan_destroy(trainer->plan[width]);
    }
    sl_plan_destroy(trainer->target_plan);
    sl_optim_destroy(trainer->optim);
    sl_params_destroy(trainer->params);
    sl_params_destroy(trainer->target);
    sl_stats_destroy(trainer->stats);
    sl_stats_destroy(trainer->target_stats);
    if (trainer->block != NULL) {
        device->table->free(device->state, trainer->block);
    }
    if (trainer->method_block != NULL) {
        device->table->free(device->state, trainer->method_block);
    }
    sl_heap_free(trainer->method.order);
    sl_heap_free(trainer);
}

/* ---- the step ---------------------------------------------------------------------- */

/* Running statistics before the step, so that a discarded step leaves none behind: a
 * single infinity would never average out of them again. */
static void copy_stats(struct sl_trainer *trainer, bool restore)
{
    const struct sl_device *device = trainer->device;
    struct sl_mocov2 *method = &trainer->method;
    float *live[] = {trainer->stats->mean, trainer->stats->variance,
                     trainer->target_stats->mean, trainer->target_stats->variance};
    float *saved[] = {method->saved_mean, method->saved_variance,
                      method->saved_target_mean, method->saved_target_variance};
    for (int i = 0; i < SL_COUNT(live); i++) {
        device->table->copy(device->state, restore ? live[i] : saved[i],
                            restore ? saved[i] : live[i],
                            (size_t)trainer->net->stats_total * sizeof(float));
    }
}

enum sl_status sl_trainer_step(struct sl_error *err, struct sl_trainer *trainer,
                               const struct sl_batch *batch,
                               struct sl_step_numbers *numbers)
{
    const struct sl_trainer_config *config = &trainer->config;
    if (batch->rows != config->batch) {
        return SL_FAIL(err, SL_ERROR_RUN,
                       "step %lld: the batch has %d pictures instead of %d",
                       (long long)trainer->step, batch->rows, config->batch);
    }
    memset(numbers, 0, sizeof(*numbers));
    numbers->step = trainer->step;
    numbers->lr = sl_lr_at(&config->lr, trainer->step);
    numbers->active =
        sl_widths_active(&trainer->net->widths, config->slow_start_step, trainer->step);
    copy_stats(trainer, false);
    enum sl_status status = sl_mocov2_gradients(err, trainer, batch, numbers);
    if (status != SL_OK) {
        sl_optim_discard(trainer->optim);
        copy_stats(trainer, true);
        if (status != SL_ERROR_NUMBERS || trainer->skipped >= config->skip_nonfinite) {
            return status;
        }
        trainer->skipped++;
        sl_log(SL_LOG_WARNING, "%s; the step is discarded (%d of %d in a row)", err->text,
               trainer->skipped, config->skip_nonfinite);
        sl_error_clear(err);
        numbers->skipped = true;
        trainer->step++;
        return SL_OK;
    }
    trainer->skipped = 0;
    double start_time = sl_clock();
    sl_optim_update(trainer->optim, numbers->lr, 0, numbers->active);
    sl_mocov2_after(trainer);
    trainer->step++;
    trainer->times.update = sl_clock() - start_time;
    return SL_OK;
}

int64_t sl_trainer_steps(const struct sl_trainer *trainer)
{
    return trainer->step;
}

/* ---- state ------------------------------------------------------------------------- */

enum sl_status sl_trainer_state(struct sl_error *err, struct sl_trainer *trainer,
                                struct sl_named_list *list)
{
    const struct sl_net *net = trainer->net;
    struct sl_queue *queue = &trainer->method.queue;
    const int64_t one = 1, rows[2] = {queue->capacity, queue->dim};
    SL_TRY(sl_params_state(err, net, trainer->params->weight, "", list));
    SL_TRY(sl_stats_state(err, trainer->stats, "", list));
    SL_TRY(sl_params_state(err, net, trainer->target->weight, "target.", list));
    SL_TRY(sl_stats_state(err, trainer->target_stats, "target.", list));
    SL_TRY(sl_optim_state(err, trainer->optim, list));
    SL_TRY(
        sl_named_add(err, list, "queue", sl_tensor_make(queue->rows, SL_F32, 2, rows)));
    SL_TRY(sl_named_add(err, list, "queue.position",
                        sl_tensor_make(&queue->position, SL_I64, 1, &one)));
    return sl_named_add(err, list, "step",
                        sl_tensor_make(&trainer->step, SL_I64, 1, &one));
}

enum sl_status sl_trainer_restored(struct sl_error *err, struct sl_trainer *trainer)
{
    const struct sl_queue *queue = &trainer->method.queue;
    int64_t position = queue->position;
    if (position < 0 || position >= queue->capacity ||
        position % trainer->config.batch != 0) {
        return SL_FAIL(
            err, SL_ERROR_RUN,
            "queue.position: %lld is no multiple of the batch size %d below %lld; "
            "the checkpoint belongs to other settings",
            (long long)position, trainer->config.batch, (long long)queue->capacity);
    }
    if (trainer->step < 0) {
        return SL_FAIL(err, SL_ERROR_RUN,
                       "step: %lld is negative; the checkpoint is damaged",
                       (long long)trainer->step);
    }
    trainer->skipped = 0;
    return sl_optim_restored(err, trainer->optim);
}

struct sl_params *sl_trainer_params(struct sl_trainer *trainer)
{
    return trainer->params;
}

struct sl_stats *sl_trainer_stats(struct sl_trainer *trainer)
{
    return trainer->stats;
}

/* ---- what it costs ----------------------------------------------------------------- */

struct sl_trainer_memory sl_trainer_memory(const struct sl_trainer *trainer)
{
    const struct sl_net *net = trainer->net;
    /* Weight, gradient and target; mean and variance of both networks. */
    size_t floats = (size_t)(3 * net->total + 4 * net->stats_total);
    return (struct sl_trainer_memory){
        .params = floats * sizeof(float) + sl_optim_bytes(&trainer->config.optim, net),
        .block = trainer->block_bytes,
        .method = trainer->method_bytes};
}

enum sl_status sl_trainer_plan_memory(struct sl_error *err,
                                      const struct sl_trainer_config *config,
                                      const struct sl_net *net,
                                      const struct sl_device *device,
                                      struct sl_trainer_memory *memory)
{
    struct sl_trainer *trainer = NULL; /* plans only; nothing is attached */
    enum sl_status status = SL_OK;
    SL_TRY(check_config(err, config, net));
    SL_TRY(sl_heap_alloc(err, "trainer", 1, sizeof(*trainer), &trainer));
    trainer->config = *config;
    trainer->net = net;
    trainer->device = device;
    trainer->method_bytes = sl_mocov2_layout(&trainer->method, config, net, NULL);
    SL_TRY_OUT(create_plans(err, trainer));
    *memory = sl_trainer_memory(trainer);
out:
    sl_trainer_destroy(trainer);
    return status;
}

struct sl_step_times sl_trainer_times(const struct sl_trainer *trainer)
{
    return trainer->times;
}
