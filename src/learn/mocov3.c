/* SPDX-License-Identifier: MIT */
/*
 * SlimCLR-MoCo v3: spec sections 4.2 and 5. No queue: the keys of the batch are each
 * other's negatives. Both views are queries and both are keys, and the loss is the sum of
 * the two directions, each of which is the whole objective of spec 5.3. Since it
 * separates, a width runs view 1 to its gradient before view 2 begins, and only one
 * pass's activations live at a time; running statistics move with view 1, then with
 * view 2. The predictor stands on the query's side only: keys are the target's
 * projection.
 */
#include "learn/learn_int.h"

#include <math.h>

enum { DIRECTIONS = 2 };

/* Of arrays with two directions, direction 0 comes first: query of view 1, keys of view
 * 2. */
struct mocov3 {
    int64_t dim;
    float *keys[DIRECTIONS];          /* (rows, dim): of view 1, of view 2 */
    float *norms;                     /* (rows) */
    struct sl_slots embedding;        /* (directions, rows, dim) */
    struct sl_slots logits;           /* (directions, rows, rows) */
    float *diff_logits;               /* (rows, rows) */
    float *diff_embedding, *diff_out; /* (rows, dim): of the unit row, of the output */
    float *scratch;                   /* (4, rows) */
    float *gradient;                  /* (net->total): a width's, of both directions */
    int32_t *labels;                  /* (rows): key i is query i's */
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
    const struct sl_trainer_config *config = &trainer->config;
    const struct sl_net *net = trainer->net;
    struct mocov3 *own = trainer->own;
    int64_t rows = config->batch;
    int64_t dim = sl_net_channels(net, net->embedding, 0);
    int n_slots = sl_slots_needed(config, net->widths.n);
    int n_logits = sl_distill_on_logits(config->distill) ? n_slots : 1;

    own->dim = dim;
    sl_slots_carve(&own->embedding, carver, n_slots, DIRECTIONS * rows * dim);
    sl_slots_carve(&own->logits, carver, n_logits, DIRECTIONS * rows * rows);
    for (int view = 0; view < DIRECTIONS; view++) {
        own->keys[view] = sl_carve(carver, rows * dim);
    }
    own->norms = sl_carve(carver, rows);
    own->diff_logits = sl_carve(carver, rows * rows);
    own->diff_embedding = sl_carve(carver, rows * dim);
    own->diff_out = sl_carve(carver, rows * dim);
    own->scratch = sl_carve(carver, 4 * rows);
    own->gradient = sl_carve(carver, net->total);
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
        device->table->row_normalize(device->state, trainer->config.batch, own->dim,
                                     output, own->keys[view], own->norms);
    }
    return SL_OK;
}

/* L = 2T CE(s / T, i), s = q K^T of cosines   (spec 5.1; distillation reads them without
 * T). */
static struct sl_objective objective_of(const struct sl_trainer *trainer)
{
    const struct sl_trainer_config *config = &trainer->config;
    const struct mocov3 *own = trainer->own;
    return (struct sl_objective){
        .device = trainer->device,
        .rows = config->batch,
        .cols = config->batch,
        .stride = config->batch,
        .dim = own->dim,
        .labels = own->labels,
        .temperature = config->temperature,
        .factor = 2.0 * config->temperature,
        .distill = config->distill,
        .distill_temperature = config->distill_temperature,
        .scratch = own->scratch,
    };
}

/* One direction's part of a width's outputs. */
static struct sl_query query_at(const struct mocov3 *own, const struct sl_objective *o,
                                int width, int direction)
{
    return (struct sl_query){
        sl_slot(&own->embedding, width) + direction * o->rows * o->dim,
        sl_slot(&own->logits, width) + direction * o->rows * o->rows};
}

static enum sl_status fail_loss(struct sl_error *err, const struct sl_trainer *trainer,
                                int width, const struct sl_query *query,
                                const struct sl_loss_values *values)
{
    const struct mocov3 *own = trainer->own;
    const int64_t count = trainer->config.batch * own->dim;
    const struct sl_suspect suspects[] = {{"key embedding", own->keys[0], count},
                                          {"key embedding", own->keys[1], count},
                                          {"query embedding", query->embedding, count}};
    return sl_fail_loss(err, trainer, width, suspects, SL_COUNT(suspects),
                        isfinite(values->contrast) ? values->distill : values->contrast);
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
    const struct sl_query query = query_at(own, &o, width, direction);
    float *embedding = sl_slot(&own->embedding, width) + direction * o.rows * o.dim;
    float *logits = sl_slot(&own->logits, width) + direction * o.rows * o.rows;

    const float *output = sl_exec_forward(plan, trainer->params, trainer->stats,
                                          trainer->pictures[direction]);
    table->row_normalize(device->state, o.rows, o.dim, output, embedding, own->norms);
    table->gemm(device->state, false, true, o.rows, o.rows, o.dim, 1.0F, embedding, o.dim,
                keys, o.dim, 0.0F, logits, o.stride);

    const struct sl_query teacher = query_at(own, &o, 0, direction);
    const struct sl_teachers_given given = {&teacher,
                                            sl_teachers_of(&trainer->config, width)};
    struct sl_loss_values values;
    sl_logit_losses(&o, &query, given, weights, own->diff_logits, &values);
    table->gemm(device->state, false, false, o.rows, o.dim, o.rows, 1.0F,
                own->diff_logits, o.stride, keys, o.dim, 0.0F, own->diff_embedding,
                o.dim);
    sl_embedding_losses(&o, &query, given, weights, own->diff_embedding, &values);
    if (!isfinite(values.contrast) || !isfinite(values.distill)) {
        return fail_loss(err, trainer, width, &query, &values);
    }
    sum->contrast += values.contrast;
    sum->distill += values.distill;
    sum->accuracy += values.accuracy / DIRECTIONS;
    *emb_std +=
        table->embedding_std(device->state, o.rows, o.dim, embedding) / DIRECTIONS;

    table->row_normalize_backward(device->state, o.rows, o.dim, embedding, own->norms,
                                  own->diff_embedding, own->diff_out);
    (void)sl_exec_backward(plan, gradient, own->diff_out);
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
    numbers->width[width].grad_norm = sqrt(squares);
    return isfinite(squares) ? SL_OK : sl_fail_gradient(err, trainer, width, squares);
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
