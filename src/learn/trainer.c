/* SPDX-License-Identifier: MIT */
/*
 * The trainer owns parameters, target, statistics, plans and the method's memory, and
 * runs one step from a batch to the update; of the method it knows only the table.
 * Everything is allocated when it is created; a
 * step allocates nothing and can fail only by numbers that are not finite.
 */
#include "learn/learn_int.h"

#include <math.h>
#include <string.h>

/* ---- creation ---------------------------------------------------------------------- */

static enum sl_status check_config(struct sl_error *err,
                                   const struct sl_trainer_config *config,
                                   const struct sl_net *net)
{
    SL_ASSERT(config->method != NULL);
    SL_TRY(sl_check_range(err, "--batch-size", config->batch, 1, 1 << 20));
    SL_TRY(sl_check_range(err, "--momentum", config->optim.momentum, 0, 1));
    SL_TRY(sl_check_range(err, "--adam-beta1", config->optim.beta1, 0, 0.999999));
    SL_TRY(sl_check_range(err, "--adam-beta2", config->optim.beta2, 0, 0.999999999));
    if (config->distill != SL_DISTILL_NONE) {
        SL_TRY(sl_check_range(err, "--distill-weight", config->distill_weight, 0, 1));
        SL_TRY(sl_check_range(err, "--distill-temp", config->distill_temperature, 1e-4,
                              1e4));
    }
    return config->method->check(err, config, net);
}

/* The trainer's own part of the method's block, then the method's. Returns the bytes of
 * all of it; with base NULL nothing is kept of it. */
static size_t lay_out(struct sl_trainer *trainer, float *base)
{
    const struct sl_net *net = trainer->net;
    const struct sl_value *input = &net->values[net->input];
    struct sl_carver carver = {.base = base};
    int64_t pictures = (int64_t)trainer->config.batch * input->height * input->width *
                       sl_net_channels(net, net->input, 0) *
                       (int64_t)sl_dtype_bytes(trainer->config.type);

    for (int i = 0; i < trainer->method->n_pictures; i++) {
        trainer->pictures[i] = sl_carve(&carver, pictures / (int64_t)sizeof(float));
    }
    trainer->saved_mean = sl_carve(&carver, net->stats_total);
    trainer->saved_variance = sl_carve(&carver, net->stats_total);
    if (trainer->method->info.has_target) {
        trainer->saved_target_mean = sl_carve(&carver, net->stats_total);
        trainer->saved_target_variance = sl_carve(&carver, net->stats_total);
    }
    trainer->method->layout(trainer, &carver);
    return (size_t)carver.used * sizeof(float);
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
    if (trainer->method->info.has_target) {
        config.output = trainer->net->projection;
        config.role = SL_ROLE_TARGET;
        SL_TRY(sl_plan_create(err, &config, &trainer->target_plan));
        trainer->block_bytes = sl_plan_bytes(trainer->target_plan);
    }
    config.role = SL_ROLE_TRAIN;
    config.output = trainer->net->embedding;
    for (int i = 0; i < trainer->method->n_passes * trainer->net->widths.n; i++) {
        struct sl_plan **plan =
            &trainer->plan[i / trainer->net->widths.n][i % trainer->net->widths.n];
        config.width = i % trainer->net->widths.n;
        SL_TRY(sl_plan_create(err, &config, plan));
        size_t bytes = sl_plan_bytes(*plan);
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
    bool has_target = trainer->method->info.has_target;
    SL_TRY(sl_params_create(err, trainer->net, device, true, &trainer->params));
    SL_TRY(
        sl_optim_create(err, &trainer->config.optim, trainer->params, &trainer->optim));
    SL_TRY(sl_stats_create(err, trainer->net, device, &trainer->stats));
    if (has_target) {
        SL_TRY(sl_params_create(err, trainer->net, device, false, &trainer->target));
        SL_TRY(sl_stats_create(err, trainer->net, device, &trainer->target_stats));
    }
    for (int pass = 0; pass < trainer->method->n_passes; pass++) {
        SL_TRY(table->alloc(err, device->state, "activations", trainer->block_bytes,
                            &trainer->block[pass]));
        for (int width = 0; width < trainer->net->widths.n; width++) {
            sl_plan_attach(trainer->plan[pass][width], trainer->block[pass]);
        }
    }
    if (has_target) {
        sl_plan_attach(trainer->target_plan, trainer->block[0]);
    }
    SL_TRY(table->alloc(err, device->state, "pictures, embeddings and logits",
                        trainer->method_bytes, &trainer->method_block));
    (void)lay_out(trainer, trainer->method_block);
    if (trainer->config.grad_every > 0) {
        SL_TRY(sl_graddiag_create(err, trainer->net, device, &trainer->graddiag));
    }
    return sl_heap_alloc(err, "order of the rows", trainer->config.batch, sizeof(int32_t),
                         &trainer->order);
}

/* The keyed start. */
static enum sl_status start(struct sl_error *err, struct sl_trainer *trainer)
{
    const struct sl_device *device = trainer->device;
    SL_TRY(sl_params_init(err, trainer->params, trainer->config.seed));
    if (trainer->target != NULL) {
        device->table->copy(device->state, trainer->target->weight,
                            trainer->params->weight,
                            (size_t)trainer->net->total * sizeof(float));
    }
    return trainer->method->start == NULL ? SL_OK : trainer->method->start(err, trainer);
}

/* A trainer with its plans, and all sizes known; nothing of the device's is allocated. */
static enum sl_status describe(struct sl_error *err,
                               const struct sl_trainer_config *config,
                               const struct sl_net *net, const struct sl_device *device,
                               struct sl_trainer **trainer_pointer)
{
    struct sl_trainer *trainer = NULL;
    SL_TRY(check_config(err, config, net));
    SL_TRY(sl_heap_alloc(err, "trainer", 1, sizeof(*trainer), &trainer));
    *trainer_pointer = trainer;
    trainer->config = *config;
    trainer->method = config->method;
    trainer->net = net;
    trainer->device = device;
    SL_TRY(sl_heap_alloc(err, "method", (int64_t)config->method->own_size, 1,
                         &trainer->own));
    trainer->method_bytes = lay_out(trainer, NULL);
    return create_plans(err, trainer);
}

enum sl_status sl_trainer_create(struct sl_error *err,
                                 const struct sl_trainer_config *config,
                                 const struct sl_net *net, const struct sl_device *device,
                                 struct sl_trainer **trainer_pointer)
{
    struct sl_trainer *trainer = NULL;
    enum sl_status status = SL_OK;
    *trainer_pointer = NULL;
    SL_TRY_OUT(describe(err, config, net, device, &trainer));
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
    for (int i = 0; i < SL_PASSES_MAX * SL_WIDTHS_MAX; i++) {
        sl_plan_destroy(trainer->plan[i / SL_WIDTHS_MAX][i % SL_WIDTHS_MAX]);
    }
    sl_plan_destroy(trainer->target_plan);
    sl_graddiag_destroy(trainer->graddiag);
    sl_optim_destroy(trainer->optim);
    sl_params_destroy(trainer->params);
    sl_params_destroy(trainer->target);
    sl_stats_destroy(trainer->stats);
    sl_stats_destroy(trainer->target_stats);
    for (int pass = 0; pass < SL_PASSES_MAX; pass++) {
        if (trainer->block[pass] != NULL) {
            device->table->free(device->state, trainer->block[pass]);
        }
    }
    if (trainer->method_block != NULL) {
        device->table->free(device->state, trainer->method_block);
    }
    sl_heap_free(trainer->own);
    sl_heap_free(trainer->order);
    sl_heap_free(trainer);
}

/* ---- the step ---------------------------------------------------------------------- */

/* Running statistics before the step, so that a discarded step leaves none behind: a
 * single infinity would never average out of them again. */
static void copy_stats(struct sl_trainer *trainer, bool restore)
{
    const struct sl_device *device = trainer->device;
    const struct sl_stats *stats[] = {trainer->stats, trainer->target_stats};
    float *saved[][2] = {{trainer->saved_mean, trainer->saved_variance},
                         {trainer->saved_target_mean, trainer->saved_target_variance}};
    const size_t bytes = (size_t)trainer->net->stats_total * sizeof(float);
    for (int i = 0; i < SL_COUNT(stats); i++) {
        if (stats[i] == NULL) {
            continue;
        }
        float *live[] = {stats[i]->mean, stats[i]->variance};
        for (int k = 0; k < SL_COUNT(live); k++) {
            device->table->copy(device->state, restore ? live[k] : saved[i][k],
                                restore ? saved[i][k] : live[k], bytes);
        }
    }
}

/* An update between the widths of a batch. Whatever once had a gradient moves, by its
 * momentum and decay at least, other widths' private parameters included: PyTorch's
 * behaviour where clearing gradients writes zeros. */
static enum sl_status update_after_width(struct sl_error *err, struct sl_trainer *trainer,
                                         int width, double lr)
{
    const struct sl_trainer_config *config = &trainer->config;
    int before = trainer->step == 0
                     ? 0
                     : sl_widths_active(&trainer->net->widths, config->slow_start_step,
                                        trainer->step - 1);
    double start_time = sl_clock();
    sl_optim_update(trainer->optim, lr, 0, width < before ? before : width + 1);
    trainer->times.update += sl_clock() - start_time;
    return trainer->updated == NULL
               ? SL_OK
               : trainer->updated(err, trainer->updated_context, width);
}

/* Target and keys, then width by width forward, losses and backward, widest first: the
 * gradients of the step are in params->diff, unless each was used up by an update. */
static enum sl_status gradients(struct sl_error *err, struct sl_trainer *trainer,
                                const struct sl_batch *batch,
                                struct sl_step_numbers *numbers)
{
    double start_time = sl_clock();
    SL_TRY(trainer->method->begin(err, trainer, batch));
    double now = sl_clock();
    trainer->times = (struct sl_step_times){.keys = now - start_time};
    for (int width = 0; width < numbers->active; width++) {
        start_time = now;
        SL_TRY(trainer->method->width(err, trainer, width, numbers));
        now = sl_clock();
        trainer->times.width[width] = now - start_time;
        if (trainer->measured) {
            sl_graddiag_keep(trainer->graddiag, width, trainer->params->diff);
        }
        if (trainer->config.update == SL_UPDATE_PER_WIDTH) {
            SL_TRY(update_after_width(err, trainer, width, numbers->lr));
        }
        now = sl_clock();
    }
    return SL_OK;
}

/* A measure that fails is left out; it is no reason to end a run. */
static void measure(struct sl_trainer *trainer, int active)
{
    struct sl_error err = {0};
    if (sl_graddiag_finish(&err, trainer->graddiag, active,
                           trainer->config.update == SL_UPDATE_PER_WIDTH) != SL_OK) {
        sl_log(SL_LOG_WARNING, "step %lld: gradients were not measured: %s",
               (long long)trainer->step, err.text);
        trainer->measured = false;
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
    trainer->measured =
        trainer->graddiag != NULL && (trainer->step + 1) % config->grad_every == 0;
    copy_stats(trainer, false);
    enum sl_status status = gradients(err, trainer, batch, numbers);
    if (status != SL_OK) {
        trainer->measured = false;
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
    if (trainer->measured) {
        measure(trainer, numbers->active);
    }
    double start_time = sl_clock();
    if (config->update == SL_UPDATE_JOINT) {
        sl_optim_update(trainer->optim, numbers->lr, 0, numbers->active);
    }
    if (trainer->method->after != NULL) {
        trainer->method->after(trainer);
    }
    trainer->step++;
    trainer->times.update += sl_clock() - start_time;
    return SL_OK;
}

double sl_trainer_chance(const struct sl_trainer_config *config, const struct sl_net *net)
{
    return config->method->chance(config, net);
}

int64_t sl_trainer_steps(const struct sl_trainer *trainer)
{
    return trainer->step;
}

void sl_trainer_on_update(struct sl_trainer *trainer, sl_updated_fn updated,
                          void *context)
{
    trainer->updated = updated;
    trainer->updated_context = context;
}

const struct sl_grad_record *sl_trainer_gradients(const struct sl_trainer *trainer)
{
    return trainer->measured ? &trainer->graddiag->record : NULL;
}

/* ---- state ------------------------------------------------------------------------- */

enum sl_status sl_trainer_state(struct sl_error *err, struct sl_trainer *trainer,
                                struct sl_named_list *list)
{
    const struct sl_net *net = trainer->net;
    const int64_t one = 1;
    SL_TRY(sl_params_state(err, net, trainer->params->weight, "", list));
    SL_TRY(sl_stats_state(err, trainer->stats, "", list));
    if (trainer->target != NULL) {
        SL_TRY(sl_params_state_of(err, net, net->projection, trainer->target->weight,
                                  "target.", list));
        SL_TRY(sl_stats_state_of(err, trainer->target_stats, net->projection, "target.",
                                 list));
    }
    SL_TRY(sl_optim_state(err, trainer->optim, list));
    if (trainer->method->state != NULL) {
        SL_TRY(trainer->method->state(err, trainer, list));
    }
    return sl_named_add(err, list, "step",
                        sl_tensor_make(&trainer->step, SL_I64, 1, &one));
}

enum sl_status sl_trainer_restored(struct sl_error *err, struct sl_trainer *trainer)
{
    if (trainer->method->restored != NULL) {
        SL_TRY(trainer->method->restored(err, trainer));
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
    /* Weight, gradient and target; mean and variance of each network. */
    int64_t copies = trainer->method->info.has_target ? 2 : 1;
    size_t floats = (size_t)((1 + copies) * net->total + 2 * copies * net->stats_total);
    return (struct sl_trainer_memory){
        .params = floats * sizeof(float) + sl_optim_bytes(&trainer->config.optim, net),
        .block = (size_t)trainer->method->n_passes * trainer->block_bytes,
        .method = trainer->method_bytes,
        .measure = trainer->config.grad_every > 0 ? sl_graddiag_bytes(net) : 0};
}

enum sl_status sl_trainer_plan_memory(struct sl_error *err,
                                      const struct sl_trainer_config *config,
                                      const struct sl_net *net,
                                      const struct sl_device *device,
                                      struct sl_trainer_memory *memory)
{
    struct sl_trainer *trainer = NULL; /* plans only; nothing is attached */
    enum sl_status status = SL_OK;
    SL_TRY_OUT(describe(err, config, net, device, &trainer));
    *memory = sl_trainer_memory(trainer);
out:
    sl_trainer_destroy(trainer);
    return status;
}

void *sl_trainer_scratch(const struct sl_trainer *trainer, size_t *bytes)
{
    *bytes = trainer->block_bytes;
    return trainer->block[0];
}

struct sl_step_times sl_trainer_times(const struct sl_trainer *trainer)
{
    return trainer->times;
}
