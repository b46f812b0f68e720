/* SPDX-License-Identifier: MIT */
/*
 * SlimCLR on MoCo v3 (arXiv 2104.02057; docs/methods.md). No queue: the keys of the batch
 * are each other's negatives. Both views are queries and both are keys, and the loss is
 * the sum of the two directions, each of which is the whole objective. Since it
 * separates, a width runs view 1 to its gradient before view 2 begins, and only one
 * pass's activations live at a time; running statistics move with view 1, then with view
 * 2. The predictor stands on the query's side only: keys are the target's projection.
 */
#include "learn/learn_int.h"

#include <math.h>

enum { DIRECTIONS = 2 };

/* Of arrays with two directions, direction 0 comes first: query of view 1, keys of view
 * 2. */
struct mocov3 {
    struct sl_contrast contrast; /* a pass a direction; logits (rows, rows) */
    float *keys[DIRECTIONS];     /* (rows, dim): of view 1, of view 2 */
    float *gradient;             /* (net->total): a width's, of both directions */
    int32_t *labels;             /* (rows): key i is query i's */
};

/* ---- checks and memory ------------------------------------------------------------- */

static enum sl_status check(struct sl_error *err, const struct sl_trainer_config *config,
                            const struct sl_net *net)
{
    SL_TRY(sl_check_range(err, "--moco-m", config->ema_momentum, 0, 1));
    SL_TRY(sl_check_range(err, "--moco-t", config->temperature, 1e-4, 1e4));
    SL_TRY(sl_check_pairs(err, config));
    SL_TRY(sl_check_mocov2_only(err, config));
    SL_TRY(sl_check_head(err, net));
    if (net->embedding == net->projection) {
        return SL_FAIL(err, SL_ERROR_USAGE,
                       "the network has no predictor; mocov3 needs one");
    }
    return SL_OK;
}

static void layout(struct sl_trainer *trainer, struct sl_carver *carver)
{
    struct mocov3 *own = trainer->own;
    int64_t rows = trainer->config.batch;

    sl_contrast_carve(&own->contrast, trainer, carver, DIRECTIONS, rows, rows * rows);
    for (int view = 0; view < DIRECTIONS; view++) {
        own->keys[view] = sl_carve(carver, rows * own->contrast.dim);
    }
    own->gradient = sl_carve(carver, trainer->net->total);
    own->labels = (int32_t *)sl_carve(carver, rows);
}

static enum sl_status start(struct sl_error *err SL_UNUSED, struct sl_trainer *trainer)
{
    const struct mocov3 *own = trainer->own;
    for (int32_t i = 0; i < trainer->config.batch; i++) {
        trainer->order[i] = i;
    }
    trainer->device->table->put(trainer->device->state, own->labels, trainer->order,
                                (size_t)trainer->config.batch * sizeof(int32_t));
    return SL_OK;
}

/* ---- the step ---------------------------------------------------------------------- */

static enum sl_status begin(struct sl_error *err SL_UNUSED, struct sl_trainer *trainer,
                            const struct sl_batch *batch)
{
    const struct sl_device *device = trainer->device;
    struct mocov3 *own = trainer->own;

    sl_average_target(trainer);
    sl_exec_refresh(trainer->target_plan, trainer->target);
    for (int view = 0; view < DIRECTIONS; view++) {
        sl_put_pictures(trainer, batch->views[view], NULL, trainer->pictures[view]);
        const float *output =
            sl_exec_forward(trainer->target_plan, trainer->target, trainer->target_stats,
                            trainer->pictures[view]);
        device->table->row_normalize(device->state, trainer->config.batch,
                                     own->contrast.dim, output, own->keys[view],
                                     own->contrast.norms);
    }
    return SL_OK;
}

/* L = 2T CE(s / T, i), s = q K^T of cosines; distillation reads them without T. */
static struct sl_objective objective_of(const struct sl_trainer *trainer)
{
    const struct mocov3 *own = trainer->own;
    struct sl_objective o = sl_contrast_objective(&own->contrast, trainer);
    o.cols = o.stride = o.rows;
    o.labels = own->labels;
    o.factor = 2.0 * o.temperature;
    return o;
}

/* Forward, losses and backward of one view as the query; what it measures is added. */
static enum sl_status run_direction(struct sl_error *err, struct sl_trainer *trainer,
                                    int width, int direction,
                                    const struct sl_loss_weights *weights,
                                    const struct sl_params *gradient,
                                    struct sl_loss_values *sum, double *emb_std)
{
    const struct sl_device *device = trainer->device;
    const struct sl_backend *table = device->table;
    const struct sl_objective o = objective_of(trainer);
    struct mocov3 *own = trainer->own;
    const float *keys = own->keys[1 - direction];
    struct sl_plan *plan = trainer->plan[0][width];
    float *embedding = sl_contrast_embedding(&own->contrast, width, direction);
    float *logits = sl_contrast_logits(&own->contrast, width, direction);

    const float *output = sl_exec_forward(plan, trainer->params, trainer->stats,
                                          trainer->pictures[direction]);
    table->row_normalize(device->state, o.rows, o.dim, output, embedding,
                         own->contrast.norms);
    table->gemm(device->state, false, true, o.rows, o.rows, o.dim, 1.0F, embedding, o.dim,
                keys, o.dim, 0.0F, logits, o.stride);

    const struct sl_query query = {embedding, logits};
    const struct sl_query teacher = {sl_contrast_embedding(&own->contrast, 0, direction),
                                     sl_contrast_logits(&own->contrast, 0, direction)};
    const struct sl_teachers_given given = {&teacher,
                                            sl_teachers_of(&trainer->config, width)};
    struct sl_loss_values values;
    sl_logit_losses(&o, &query, given, weights, own->contrast.diff_logits, &values);
    table->gemm(device->state, false, false, o.rows, o.dim, o.rows, 1.0F,
                own->contrast.diff_logits, o.stride, keys, o.dim, 0.0F,
                own->contrast.diff_embedding, o.dim);
    sl_embedding_losses(&o, &query, given, weights, own->contrast.diff_embedding,
                        &values);
    const int64_t count = o.rows * o.dim;
    const struct sl_suspect suspects[] = {{"key embedding", own->keys[0], count},
                                          {"key embedding", own->keys[1], count},
                                          {"query embedding", embedding, count}};
    SL_TRY(sl_check_losses(err, trainer, width, suspects, SL_COUNT(suspects), &values));
    sum->contrast += values.contrast;
    sum->distill += values.distill;
    sum->accuracy += values.accuracy / DIRECTIONS;
    *emb_std +=
        table->embedding_std(device->state, o.rows, o.dim, embedding) / DIRECTIONS;

    table->row_normalize_backward(device->state, o.rows, o.dim, embedding,
                                  own->contrast.norms, own->contrast.diff_embedding,
                                  own->contrast.diff_out);
    (void)sl_exec_backward(plan, gradient, own->contrast.diff_out);
    return SL_OK;
}

static enum sl_status run_width(struct sl_error *err, struct sl_trainer *trainer,
                                int width, struct sl_step_numbers *numbers)
{
    struct mocov3 *own = trainer->own;
    const struct sl_params gradient = sl_own_gradient(trainer, own->gradient);
    const struct sl_loss_weights weights =
        sl_weights_of(&trainer->config, width, numbers->active);
    struct sl_loss_values values = {0};

    sl_exec_refresh(trainer->plan[0][width], trainer->params);
    for (int direction = 0; direction < DIRECTIONS; direction++) {
        SL_TRY(run_direction(err, trainer, width, direction, &weights, &gradient, &values,
                             &numbers->width[width].emb_std));
    }
    sl_note_losses(numbers, width, &weights, &values);
    /* People read it beside ln B: one direction's, without the factor of the objective.
     */
    numbers->width[width].loss /= DIRECTIONS * 2.0 * trainer->config.temperature;
    double squares = sl_join_gradient(trainer, &gradient);
    return sl_note_gradient(err, trainer, width, squares, numbers);
}

static double chance(const struct sl_trainer_config *config,
                     const struct sl_net *net SL_UNUSED)
{
    return log((double)config->batch);
}

const struct sl_method sl_mocov3 = {
    .info = {.name = "mocov3",
             .about = "contrast among the keys of the batch, both ways, with a predictor "
                      "(SlimCLR-MoCo v3)",
             .n_views = 2,
             .head = SL_HEAD_MOCOV3,
             .n_queries = DIRECTIONS,
             .n_keys = DIRECTIONS,
             .has_target = true},
    .own_size = sizeof(struct mocov3),
    .n_pictures = 2,
    .n_passes = 1,
    .check = check,
    .layout = layout,
    .start = start,
    .begin = begin,
    .width = run_width,
    .chance = chance,
};
