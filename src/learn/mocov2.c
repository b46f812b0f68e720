/* SPDX-License-Identifier: MIT */
/*
 * SlimCLR-MoCo v2: one step as spec sections 4.1 and 8 write it. The target network runs
 * at full width only and before the queries (its average uses the parameters as they are
 * before the update, so the order makes no difference); then each active width from full
 * to narrow goes forward, takes its losses and goes backward, so that only one width's
 * activations live at a time. Embeddings that teach narrower widths stay in their slots
 * until the step ends.
 */
#include "learn/learn_int.h"

#include <math.h>

/* ---- memory ------------------------------------------------------------------------ */

/* The next n floats of the block, each array at a multiple of 64 bytes. */
static float *take(float *base, int64_t *used, int64_t n)
{
    float *array = base == NULL ? NULL : base + *used;
    *used += (n + 15) / 16 * 16;
    return array;
}

size_t sl_mocov2_layout(struct sl_mocov2 *method, const struct sl_trainer_config *config,
                        const struct sl_net *net, float *base)
{
    const struct sl_value *input = &net->values[net->input];
    int64_t rows = config->batch, used = 0;
    int64_t dim = sl_net_channels(net, net->embedding, 0);
    int64_t logits = rows * (1 + config->queue);
    int64_t picture =
        (int64_t)input->height * input->width * sl_net_channels(net, net->input, 0);
    int n_slots = 1; /* who is taught must not overwrite who teaches */
    if (config->distill != SL_DISTILL_NONE && net->widths.n > 1) {
        n_slots = config->teachers == SL_TEACHERS_ALL_LARGER ? net->widths.n : 2;
    }
    method->n_embeddings = n_slots;
    method->n_logits = sl_distill_on_logits(config->distill) ? n_slots : 1;
    for (int i = 0; i < method->n_embeddings; i++) {
        method->embedding[i] = take(base, &used, rows * dim);
    }
    for (int i = 0; i < method->n_logits; i++) {
        method->logits[i] = take(base, &used, logits);
    }
    method->pictures =
        take(base, &used,
             rows * picture * sl_dtype_bytes(config->type) / (int64_t)sizeof(float));
    method->keys = take(base, &used, rows * dim);
    method->norms = take(base, &used, rows);
    method->diff_logits = take(base, &used, logits);
    method->diff_embedding = take(base, &used, rows * dim);
    method->diff_output = take(base, &used, rows * dim);
    method->scratch = take(base, &used, 4 * rows);
    method->saved_mean = take(base, &used, net->stats_total);
    method->saved_variance = take(base, &used, net->stats_total);
    method->saved_target_mean = take(base, &used, net->stats_total);
    method->saved_target_variance = take(base, &used, net->stats_total);
    method->queue.rows = take(base, &used, config->queue * dim);
    method->queue.capacity = config->queue;
    method->queue.dim = dim;
    return (size_t)used * sizeof(float);
}

/* The slot of a width's embedding or logits among n. */
static int slot_of(int width, int n)
{
    return width < n ? width : n - 1;
}

/* ---- numbers that are not finite --------------------------------------------------- */

struct culprit {
    char name[SL_NAME_MAX + 32];
    double value;
};

/* The first value that is not finite among n at `array`. */
static bool find_in(const struct sl_device *device, int64_t n, const float *array,
                    struct culprit *culprit)
{
    int64_t at = device->table->find_nonfinite(device->state, n, array);
    if (at < 0) {
        return false;
    }
    float value;
    device->table->get(device->state, &value, array + at, sizeof(value));
    culprit->value = value;
    return true;
}

/* The first parameter of this width, in the net's order, whose entry in `flat` is not
 * finite. */
static bool find_parameter(const struct sl_trainer *trainer, int width, const float *flat,
                           const char *what, struct culprit *culprit)
{
    for (int i = 0; i < trainer->net->n_params; i++) {
        const struct sl_param *param = &trainer->net->params[i];
        if ((param->owner == -1 || param->owner == width) &&
            find_in(trainer->device, param->count, flat + param->offset, culprit)) {
            snprintf(culprit->name, sizeof(culprit->name), "%s%s", what, param->name);
            return true;
        }
    }
    return false;
}

static bool find_rows(const struct sl_trainer *trainer, const float *rows,
                      const char *name, struct culprit *culprit)
{
    int64_t count = (int64_t)trainer->config.batch * trainer->method.queue.dim;
    if (!find_in(trainer->device, count, rows, culprit)) {
        return false;
    }
    snprintf(culprit->name, sizeof(culprit->name), "%s", name);
    return true;
}

static enum sl_status fail_numbers(struct sl_error *err, const struct sl_trainer *trainer,
                                   int width, const struct culprit *culprit)
{
    char multiplier[16];
    sl_multiplier_text(trainer->net->widths.at[width], multiplier, sizeof(multiplier));
    char value[32]; /* without the sign of a NaN, which means nothing */
    snprintf(value, sizeof(value), "%g", culprit->value);
    return SL_FAIL(err, SL_ERROR_NUMBERS,
                   "step %lld: width %s: %s is not finite (%s); lower --lr or lengthen "
                   "--warmup-epochs",
                   (long long)trainer->step, multiplier, culprit->name,
                   isnan(culprit->value) ? "nan" : value);
}

/* Looks from the cause to the effect: parameters, keys, the query, and last the loss
 * itself. */
static enum sl_status fail_loss(struct sl_error *err, const struct sl_trainer *trainer,
                                int width, const float *embedding, double loss)
{
    struct culprit culprit = {.name = "loss", .value = loss};
    if (!find_parameter(trainer, width, trainer->params->weight, "", &culprit) &&
        !find_rows(trainer, trainer->method.keys, "key embedding", &culprit)) {
        (void)find_rows(trainer, embedding, "query embedding", &culprit);
    }
    return fail_numbers(err, trainer, width, &culprit);
}

static enum sl_status fail_gradient(struct sl_error *err,
                                    const struct sl_trainer *trainer, int width,
                                    double squares)
{
    struct culprit culprit = {.name = "norm of the gradient", .value = squares};
    (void)find_parameter(trainer, width, trainer->params->diff, "gradient of ", &culprit);
    return fail_numbers(err, trainer, width, &culprit);
}

/* ---- the step ---------------------------------------------------------------------- */

/* Pictures of a view, `order` of them (NULL: as they come), into the memory that the
 * passes read, in their type. */
static void put_pictures(struct sl_trainer *trainer, const float *view,
                         const int32_t *order)
{
    const struct sl_device *device = trainer->device;
    const enum sl_dtype type = trainer->config.type;
    const struct sl_value *input = &trainer->net->values[trainer->net->input];
    const int64_t rows = trainer->config.batch;
    const int64_t picture = (int64_t)input->height * input->width *
                            sl_net_channels(trainer->net, trainer->net->input, 0);
    char *to = trainer->method.pictures;

    if (order == NULL) {
        device->table->put_map(device->state, type, rows * picture, view, to);
        return;
    }
    for (int64_t i = 0; i < rows; i++) {
        device->table->put_map(device->state, type, picture, view + order[i] * picture,
                               to + i * picture * sl_dtype_bytes(type));
    }
}

/* Target average, then keys of view 1. With bn_splits > 1 the rows are permuted first, so
 * that key groups differ from query groups, and the embeddings put back in order after.
 */
static void make_keys(struct sl_trainer *trainer, const struct sl_batch *batch)
{
    const struct sl_device *device = trainer->device;
    const struct sl_backend *table = device->table;
    struct sl_mocov2 *method = &trainer->method;
    int64_t rows = trainer->config.batch, dim = method->queue.dim;
    bool shuffled = trainer->config.bn_splits > 1;
    if (shuffled) {
        for (int32_t i = 0; i < rows; i++) {
            method->order[i] = i;
        }
        struct sl_rng rng = sl_rng_at(trainer->config.seed, SL_RNG_KEY_SHUFFLE,
                                      (uint32_t)trainer->step, 0);
        sl_rng_shuffle(&rng, method->order, rows);
    }
    put_pictures(trainer, batch->views[1], shuffled ? method->order : NULL);
    table->average(device->state, trainer->net->total,
                   (float)trainer->config.ema_momentum, trainer->params->weight,
                   trainer->target->weight);
    sl_exec_refresh(trainer->target_plan, trainer->target);
    const float *output = sl_exec_forward(trainer->target_plan, trainer->target,
                                          trainer->target_stats, method->pictures);
    if (!shuffled) {
        table->row_normalize(device->state, rows, dim, output, method->keys,
                             method->norms);
        return;
    }
    float *permuted = method->diff_embedding; /* free until the first loss */
    table->row_normalize(device->state, rows, dim, output, permuted, method->norms);
    for (int64_t i = 0; i < rows; i++) {
        table->copy(device->state, method->keys + method->order[i] * dim,
                    permuted + i * dim, (size_t)dim * sizeof(float));
    }
}

/* Weights of a width's two terms: the full width alone has weight 1 (slow start), with
 * others lambda_1; a narrower one lambda (1 - alpha) and lambda alpha   (spec 5.3). */
static struct sl_loss_weights weights_of(const struct sl_trainer_config *config,
                                         int width, int active)
{
    double lambda = active > 1 ? config->width_weights[width] : 1.0;
    if (width == 0 || config->distill == SL_DISTILL_NONE) {
        return (struct sl_loss_weights){.contrast = lambda};
    }
    return (struct sl_loss_weights){.contrast = lambda * (1.0 - config->distill_weight),
                                    .distill = lambda * config->distill_weight};
}

/* Forward, losses and backward of one width. */
static enum sl_status run_width(struct sl_error *err, struct sl_trainer *trainer,
                                const struct sl_contrast *contrast, int width,
                                struct sl_step_numbers *numbers)
{
    const struct sl_device *device = trainer->device;
    const struct sl_backend *table = device->table;
    struct sl_mocov2 *method = &trainer->method;
    struct sl_width_numbers *measured = &numbers->width[width];
    float *embedding = method->embedding[slot_of(width, method->n_embeddings)];
    float *logits = method->logits[slot_of(width, method->n_logits)];

    sl_exec_refresh(trainer->plan[width], trainer->params);
    const float *output = sl_exec_forward(trainer->plan[width], trainer->params,
                                          trainer->stats, method->pictures);
    table->row_normalize(device->state, contrast->rows, contrast->dim, output, embedding,
                         method->norms);
    sl_contrast_logits(contrast, embedding, logits);

    struct sl_query teachers[SL_WIDTHS_MAX];
    int n_teachers = 0;
    if (contrast->distill != SL_DISTILL_NONE && width > 0) {
        n_teachers = trainer->config.teachers == SL_TEACHERS_ALL_LARGER ? width : 1;
        for (int i = 0; i < n_teachers; i++) {
            teachers[i].embedding = method->embedding[slot_of(i, method->n_embeddings)];
            teachers[i].logits = method->logits[slot_of(i, method->n_logits)];
        }
    }
    struct sl_loss_weights weights = weights_of(&trainer->config, width, numbers->active);
    struct sl_loss_values values;
    sl_contrast_loss(contrast, &(struct sl_query){embedding, logits}, teachers,
                     n_teachers, &weights, method->diff_embedding, &values);
    measured->loss = values.contrast;
    measured->distill = values.distill;
    measured->contrast_acc = values.accuracy;
    measured->emb_std =
        table->embedding_std(device->state, contrast->rows, contrast->dim, embedding);
    double objective =
        weights.contrast * values.contrast + weights.distill * values.distill;
    numbers->loss += objective;
    if (!isfinite(values.contrast) || !isfinite(values.distill)) {
        return fail_loss(err, trainer, width, embedding,
                         isfinite(values.contrast) ? values.distill : values.contrast);
    }

    table->row_normalize_backward(device->state, contrast->rows, contrast->dim, embedding,
                                  method->norms, method->diff_embedding,
                                  method->diff_output);
    double squares =
        sl_exec_backward(trainer->plan[width], trainer->params, method->diff_output);
    measured->grad_norm = sqrt(squares);
    if (!isfinite(squares)) {
        return fail_gradient(err, trainer, width, squares);
    }
    return SL_OK;
}

enum sl_status sl_mocov2_gradients(struct sl_error *err, struct sl_trainer *trainer,
                                   const struct sl_batch *batch,
                                   struct sl_step_numbers *numbers)
{
    struct sl_mocov2 *method = &trainer->method;
    int64_t rows = trainer->config.batch;
    double start = sl_clock();
    make_keys(trainer, batch);
    put_pictures(trainer, batch->views[0], NULL);
    double now = sl_clock();
    trainer->times = (struct sl_step_times){.keys = now - start};

    const struct sl_contrast contrast = {
        .device = trainer->device,
        .rows = rows,
        .dim = method->queue.dim,
        .negatives = method->queue.capacity,
        .temperature = trainer->config.temperature,
        .distill = trainer->config.distill,
        .distill_temperature = trainer->config.distill_temperature,
        .keys = method->keys,
        .queue = method->queue.rows,
        .diff_logits = method->diff_logits,
        .scratch = method->scratch,
    };
    for (int width = 0; width < numbers->active; width++) {
        start = now;
        SL_TRY(run_width(err, trainer, &contrast, width, numbers));
        now = sl_clock();
        trainer->times.width[width] = now - start;
    }
    return SL_OK;
}

void sl_mocov2_after(struct sl_trainer *trainer)
{
    sl_queue_push(&trainer->method.queue, trainer->method.keys, trainer->config.batch);
}
