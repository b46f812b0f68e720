/* SPDX-License-Identifier: MIT */
/*
 * SlimCLR on MoCo v2 (arXiv 2003.04297; docs/methods.md). The target network runs at full
 * width only and before the queries (its average uses the parameters as they are before
 * the update, so the order makes no difference); then each active width from full to
 * narrow goes forward, takes its losses and goes backward, so that only one width's
 * activations live at a time. Embeddings that teach narrower widths stay in their slots
 * until the step ends.
 */
#include "learn/learn_int.h"

#include <math.h>

struct mocov2 {
    struct sl_contrast contrast; /* logits (rows, 1 + K) */
    float *keys;                 /* (rows, dim) */
    struct sl_queue queue;
};

/* ---- checks and memory ------------------------------------------------------------- */

static enum sl_status check(struct sl_error *err, const struct sl_trainer_config *config,
                            const struct sl_net *net)
{
    SL_TRY(sl_check_range(err, "--moco-k", (double)config->queue, 1, 1 << 28));
    SL_TRY(sl_check_range(err, "--moco-m", config->ema_momentum, 0, 1));
    SL_TRY(sl_check_range(err, "--moco-t", config->temperature, 1e-4, 1e4));
    SL_TRY(sl_check_range(err, "--bn-splits", config->bn_splits, 1, config->batch));
    if (config->queue % config->batch != 0) {
        return SL_FAIL(err, SL_ERROR_USAGE,
                       "--moco-k %lld: not a multiple of the batch size %d; take %lld",
                       (long long)config->queue, config->batch,
                       (long long)((config->queue / config->batch + 1) * config->batch));
    }
    if (config->batch % config->bn_splits != 0) {
        return SL_FAIL(
            err, SL_ERROR_USAGE,
            "--bn-splits %d: does not divide the batch size %d; take one that does",
            config->bn_splits, config->batch);
    }
    return sl_check_head(err, net);
}

static void layout(struct sl_trainer *trainer, struct sl_carver *carver)
{
    const struct sl_trainer_config *config = &trainer->config;
    struct mocov2 *own = trainer->own;
    int64_t rows = config->batch;

    sl_contrast_carve(&own->contrast, trainer, carver, 1, rows,
                      rows * (1 + config->queue));
    own->keys = sl_carve(carver, rows * own->contrast.dim);
    own->queue =
        (struct sl_queue){.device = trainer->device,
                          .rows = sl_carve(carver, config->queue * own->contrast.dim),
                          .capacity = config->queue,
                          .dim = own->contrast.dim};
}

static enum sl_status start(struct sl_error *err, struct sl_trainer *trainer)
{
    struct mocov2 *own = trainer->own;
    return sl_queue_fill(err, &own->queue, trainer->config.seed);
}

/* ---- the step ---------------------------------------------------------------------- */

/* Target average, then keys of view 1. With bn_splits > 1 the rows are permuted first, so
 * that key groups differ from query groups, and the embeddings put back in order after.
 */
static void make_keys(struct sl_trainer *trainer, const struct sl_batch *batch)
{
    const struct sl_device *device = trainer->device;
    const struct sl_backend *table = device->table;
    struct mocov2 *own = trainer->own;
    int64_t rows = trainer->config.batch, dim = own->queue.dim;
    int32_t *order = trainer->order;
    bool shuffled = trainer->config.bn_splits > 1;
    if (shuffled) {
        for (int32_t i = 0; i < rows; i++) {
            order[i] = i;
        }
        struct sl_rng rng = sl_rng_at(trainer->config.seed, SL_RNG_KEY_SHUFFLE,
                                      (uint32_t)trainer->step, 0);
        sl_rng_shuffle(&rng, order, rows);
    }
    void *pictures = trainer->pictures[0]; /* the keys', then the queries' */
    sl_put_pictures(trainer, batch->views[1], shuffled ? order : NULL, pictures);
    sl_average_target(trainer);
    sl_exec_refresh(trainer->target_plan, trainer->target);
    const float *output = sl_exec_forward(trainer->target_plan, trainer->target,
                                          trainer->target_stats, pictures);
    if (!shuffled) {
        table->row_normalize(device->state, rows, dim, output, own->keys,
                             own->contrast.norms);
        return;
    }
    float *permuted = own->contrast.diff_embedding; /* free until the first loss */
    table->row_normalize(device->state, rows, dim, output, permuted, own->contrast.norms);
    for (int64_t i = 0; i < rows; i++) {
        table->copy(device->state, own->keys + order[i] * dim, permuted + i * dim,
                    (size_t)dim * sizeof(float));
    }
}

static enum sl_status begin(struct sl_error *err SL_UNUSED, struct sl_trainer *trainer,
                            const struct sl_batch *batch)
{
    make_keys(trainer, batch);
    sl_put_pictures(trainer, batch->views[0], NULL, trainer->pictures[0]);
    return SL_OK;
}

static struct sl_objective objective_of(const struct sl_trainer *trainer)
{
    const struct mocov2 *own = trainer->own;
    struct sl_objective objective = sl_contrast_objective(&own->contrast, trainer);
    objective.cols = objective.stride = 1 + own->queue.capacity;
    return objective;
}

/* s_i = [q_i . k_i, q_i . n_1, …, q_i . n_K]: cosines, without the temperature. */
static void make_logits(const struct sl_objective *o, const struct mocov2 *own,
                        const float *embedding, float *logits)
{
    const struct sl_backend *table = o->device->table;
    table->row_dot(o->device->state, o->rows, o->dim, embedding, own->keys, logits,
                   o->stride);
    table->gemm(o->device->state, false, true, o->rows, own->queue.capacity, o->dim, 1.0F,
                embedding, o->dim, own->queue.rows, o->dim, 0.0F, logits + 1, o->stride);
}

/* dL/dq_i = dL/ds_i0 k_i + sum_j dL/ds_ij n_j. */
static void logits_backward(const struct sl_objective *o, const struct mocov2 *own)
{
    const struct sl_backend *table = o->device->table;
    table->gemm(o->device->state, false, false, o->rows, o->dim, own->queue.capacity,
                1.0F, own->contrast.diff_logits + 1, o->stride, own->queue.rows, o->dim,
                0.0F, own->contrast.diff_embedding, o->dim);
    table->row_axpy(o->device->state, o->rows, o->dim, own->contrast.diff_logits,
                    o->stride, own->keys, own->contrast.diff_embedding);
}

static enum sl_status run_width(struct sl_error *err, struct sl_trainer *trainer,
                                int width, struct sl_step_numbers *numbers)
{
    const struct sl_device *device = trainer->device;
    const struct sl_backend *table = device->table;
    const struct sl_objective objective = objective_of(trainer);
    struct mocov2 *own = trainer->own;
    float *embedding = sl_contrast_embedding(&own->contrast, width, 0);
    float *logits = sl_contrast_logits(&own->contrast, width, 0);

    sl_exec_refresh(trainer->plan[0][width], trainer->params);
    const float *output = sl_exec_forward(trainer->plan[0][width], trainer->params,
                                          trainer->stats, trainer->pictures[0]);
    table->row_normalize(device->state, objective.rows, objective.dim, output, embedding,
                         own->contrast.norms);
    make_logits(&objective, own, embedding, logits);

    struct sl_query teachers[SL_WIDTHS_MAX];
    const struct sl_teachers_given given = {teachers,
                                            sl_teachers_of(&trainer->config, width)};
    for (int i = 0; i < given.n; i++) {
        teachers[i].embedding = sl_contrast_embedding(&own->contrast, i, 0);
        teachers[i].logits = sl_contrast_logits(&own->contrast, i, 0);
    }
    const struct sl_query query = {embedding, logits};
    const struct sl_loss_weights weights =
        sl_weights_of(&trainer->config, width, numbers->active);
    struct sl_loss_values values;
    sl_logit_losses(&objective, &query, given, &weights, own->contrast.diff_logits,
                    &values);
    logits_backward(&objective, own);
    sl_embedding_losses(&objective, &query, given, &weights, own->contrast.diff_embedding,
                        &values);
    sl_note_losses(numbers, width, &weights, &values);
    numbers->width[width].emb_std =
        table->embedding_std(device->state, objective.rows, objective.dim, embedding);
    const int64_t count = objective.rows * objective.dim;
    const struct sl_suspect suspects[] = {{"key embedding", own->keys, count},
                                          {"query embedding", embedding, count}};
    SL_TRY(sl_check_losses(err, trainer, width, suspects, SL_COUNT(suspects), &values));

    table->row_normalize_backward(device->state, objective.rows, objective.dim, embedding,
                                  own->contrast.norms, own->contrast.diff_embedding,
                                  own->contrast.diff_out);
    double squares = sl_exec_backward(trainer->plan[0][width], trainer->params,
                                      own->contrast.diff_out);
    return sl_note_gradient(err, trainer, width, squares, numbers);
}

static void after(struct sl_trainer *trainer)
{
    struct mocov2 *own = trainer->own;
    sl_queue_push(&own->queue, own->keys, trainer->config.batch);
}

/* ---- state ------------------------------------------------------------------------- */

static enum sl_status state(struct sl_error *err, struct sl_trainer *trainer,
                            struct sl_named_list *list)
{
    struct mocov2 *own = trainer->own;
    struct sl_queue *queue = &own->queue;
    const int64_t one = 1, rows[2] = {queue->capacity, queue->dim};
    SL_TRY(
        sl_named_add(err, list, "queue", sl_tensor_make(queue->rows, SL_F32, 2, rows)));
    return sl_named_add(err, list, "queue.position",
                        sl_tensor_make(&queue->position, SL_I64, 1, &one));
}

static enum sl_status restored(struct sl_error *err, const struct sl_trainer *trainer)
{
    const struct mocov2 *own = trainer->own;
    int64_t position = own->queue.position;
    if (position < 0 || position >= own->queue.capacity ||
        position % trainer->config.batch != 0) {
        return SL_FAIL(
            err, SL_ERROR_RUN,
            "queue.position: %lld is no multiple of the batch size %d below %lld; "
            "the checkpoint belongs to other settings",
            (long long)position, trainer->config.batch, (long long)own->queue.capacity);
    }
    return SL_OK;
}

static double chance(const struct sl_trainer_config *config,
                     const struct sl_net *net SL_UNUSED)
{
    return log(1.0 + (double)config->queue);
}

const struct sl_method sl_mocov2 = {
    .info = {.name = "mocov2",
             .about = "contrast against a queue of keys from a momentum encoder "
                      "(SlimCLR-MoCo v2)",
             .n_views = 2,
             .head = SL_HEAD_MLP,
             .n_queries = 1,
             .n_keys = 1,
             .has_target = true,
             .has_queue = true},
    .own_size = sizeof(struct mocov2),
    .n_pictures = 1,
    .n_passes = 1,
    .check = check,
    .layout = layout,
    .start = start,
    .begin = begin,
    .width = run_width,
    .after = after,
    .state = state,
    .restored = restored,
    .chance = chance,
};
