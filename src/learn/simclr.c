/* SPDX-License-Identifier: MIT */
/*
 * SlimCLR on SimCLR (arXiv 2002.05709; docs/methods.md). No target and no queue: a
 * picture's other view is its positive, all other embeddings of the batch are its
 * negatives, and both factors of every cosine carry gradient. So the two views of a width
 * live at once, each in a block of its own; running statistics move with view 1, then
 * with view 2.
 *
 * The n = 2B embeddings e give n x (n-1) logits, row i being e_i against all others. They
 * are a view into the product of e (n, d) and e below itself (2n, d): from element 1 on,
 * with n - 1 columns and 2n + 1 elements between rows, row i is e_i . e_(i+1), …,
 * e_i . e_(i+n-1), counted modulo n. The diagonal stands between the rows and is never
 * read, and the positive of every row is column B - 1. The order of columns is no matter
 * to any loss, and is the same for student and teacher.
 */
#include "learn/learn_int.h"

#include <math.h>

enum { VIEWS = 2 };

struct simclr {
    /* Of n rows, view 1, then view 2. Of its logits (n, 2n) the view above is read; of
     * their gradient what no row covers stays 0. */
    struct sl_contrast contrast;
    float *twice;      /* (2n, dim): the embeddings below themselves */
    float *diff_twice; /* (2n, dim) */
    float *gradient;   /* (net->total): a width's, of both views */
    int32_t *labels;   /* (n): B - 1 */
};

/* ---- checks and memory ------------------------------------------------------------- */

static enum sl_status check(struct sl_error *err, const struct sl_trainer_config *config,
                            const struct sl_net *net)
{
    SL_TRY(sl_check_range(err, "--moco-t", config->temperature, 1e-4, 1e4));
    SL_TRY(sl_check_pairs(err, config));
    SL_TRY(sl_check_mocov2_only(err, config));
    if (config->distill == SL_DISTILL_INPLACE) {
        return SL_FAIL(err, SL_ERROR_USAGE,
                       "--distill inplace: not defined for simclr; take seed, "
                       "mse-embedding, mse-logits, atkd, dkd or none");
    }
    return sl_check_head(err, net);
}

static void layout(struct sl_trainer *trainer, struct sl_carver *carver)
{
    struct simclr *own = trainer->own;
    int64_t n = VIEWS * (int64_t)trainer->config.batch;

    sl_contrast_carve(&own->contrast, trainer, carver, 1, n, n * 2 * n);
    own->twice = sl_carve(carver, 2 * n * own->contrast.dim);
    own->diff_twice = sl_carve(carver, 2 * n * own->contrast.dim);
    own->gradient = sl_carve(carver, trainer->net->total);
    own->labels = (int32_t *)sl_carve(carver, n);
}

static enum sl_status start(struct sl_error *err SL_UNUSED, struct sl_trainer *trainer)
{
    const struct sl_device *device = trainer->device;
    const struct simclr *own = trainer->own;
    const int32_t positive = trainer->config.batch - 1;
    const int64_t n = VIEWS * (int64_t)trainer->config.batch;

    for (int64_t i = 0; i < n; i++) {
        device->table->put(device->state, own->labels + i, &positive, sizeof positive);
    }
    device->table->zero(device->state, own->contrast.diff_logits,
                        (size_t)(n * 2 * n) * sizeof(float));
    return SL_OK;
}

/* ---- the step ---------------------------------------------------------------------- */

static enum sl_status begin(struct sl_error *err SL_UNUSED, struct sl_trainer *trainer,
                            const struct sl_batch *batch)
{
    for (int view = 0; view < VIEWS; view++) {
        sl_put_pictures(trainer, batch->views[view], NULL, trainer->pictures[view]);
    }
    return SL_OK;
}

static struct sl_objective objective_of(const struct sl_trainer *trainer)
{
    const struct simclr *own = trainer->own;
    struct sl_objective o = sl_contrast_objective(&own->contrast, trainer);
    o.cols = o.rows - 1;
    o.stride = 2 * o.rows + 1;
    o.labels = own->labels;
    return o;
}

/* A width's outputs as the losses read them. */
static struct sl_query query_of(const struct simclr *own, int width)
{
    return (struct sl_query){sl_contrast_embedding(&own->contrast, width, 0),
                             sl_contrast_logits(&own->contrast, width, 0) + 1};
}

/* The product of the embeddings with themselves twice. */
static void make_logits(const struct sl_objective *o, const struct simclr *own,
                        const float *embedding, float *product)
{
    const struct sl_backend *table = o->device->table;
    const int64_t count = o->rows * o->dim;
    for (int half = 0; half < 2; half++) {
        table->copy(o->device->state, own->twice + half * count, embedding,
                    (size_t)count * sizeof(float));
    }
    table->gemm(o->device->state, false, true, o->rows, 2 * o->rows, o->dim, 1.0F,
                embedding, o->dim, own->twice, o->dim, 0.0F, product, 2 * o->rows);
}

/* With G = dL/d product: dL/de = G e' + the two halves of G^T e, e' being e twice. */
static void logits_backward(const struct sl_objective *o, const struct simclr *own,
                            const float *embedding)
{
    const struct sl_backend *table = o->device->table;
    const int64_t n = o->rows;
    table->gemm(o->device->state, false, false, n, o->dim, 2 * n, 1.0F,
                own->contrast.diff_logits, 2 * n, own->twice, o->dim, 0.0F,
                own->contrast.diff_embedding, o->dim);
    table->gemm(o->device->state, true, false, 2 * n, o->dim, n, 1.0F,
                own->contrast.diff_logits, 2 * n, embedding, o->dim, 0.0F,
                own->diff_twice, o->dim);
    for (int half = 0; half < 2; half++) {
        (void)table->add(o->device->state, n * o->dim,
                         own->diff_twice + half * n * o->dim,
                         own->contrast.diff_embedding);
    }
}

static enum sl_status run_width(struct sl_error *err, struct sl_trainer *trainer,
                                int width, struct sl_step_numbers *numbers)
{
    const struct sl_device *device = trainer->device;
    const struct sl_backend *table = device->table;
    const struct sl_objective o = objective_of(trainer);
    struct simclr *own = trainer->own;
    const int64_t rows = trainer->config.batch;
    float *embedding = sl_contrast_embedding(&own->contrast, width, 0);

    for (int view = 0; view < VIEWS; view++) {
        struct sl_plan *plan = trainer->plan[view][width];
        sl_exec_refresh(plan, trainer->params);
        const float *output = sl_exec_forward(plan, trainer->params, trainer->stats,
                                              trainer->pictures[view]);
        table->row_normalize(device->state, rows, o.dim, output,
                             embedding + view * rows * o.dim,
                             own->contrast.norms + view * rows);
    }
    make_logits(&o, own, embedding, sl_contrast_logits(&own->contrast, width, 0));

    const struct sl_query query = query_of(own, width);
    const struct sl_query teacher = query_of(own, 0);
    const struct sl_teachers_given given = {&teacher,
                                            sl_teachers_of(&trainer->config, width)};
    const struct sl_loss_weights weights =
        sl_weights_of(&trainer->config, width, numbers->active);
    struct sl_loss_values values;
    sl_logit_losses(&o, &query, given, &weights, own->contrast.diff_logits + 1, &values);
    logits_backward(&o, own, embedding);
    sl_embedding_losses(&o, &query, given, &weights, own->contrast.diff_embedding,
                        &values);
    sl_note_losses(numbers, width, &weights, &values);
    numbers->width[width].emb_std =
        table->embedding_std(device->state, o.rows, o.dim, embedding);
    const struct sl_suspect suspect = {"embedding", embedding, o.rows * o.dim};
    SL_TRY(sl_check_losses(err, trainer, width, &suspect, 1, &values));

    table->row_normalize_backward(device->state, o.rows, o.dim, embedding,
                                  own->contrast.norms, own->contrast.diff_embedding,
                                  own->contrast.diff_out);
    const struct sl_params gradient = sl_own_gradient(trainer, own->gradient);
    for (int view = 0; view < VIEWS; view++) {
        (void)sl_exec_backward(trainer->plan[view][width], &gradient,
                               own->contrast.diff_out + view * rows * o.dim);
    }
    double squares = sl_join_gradient(trainer, &gradient);
    return sl_note_gradient(err, trainer, width, squares, numbers);
}

static double chance(const struct sl_trainer_config *config,
                     const struct sl_net *net SL_UNUSED)
{
    return log((double)(VIEWS * (int64_t)config->batch - 1));
}

const struct sl_method sl_simclr = {
    .info = {.name = "simclr",
             .about = "contrast of two views among all views of the batch (slimmable "
                      "SimCLR)",
             .n_views = VIEWS,
             .head = SL_HEAD_SIMCLR,
             .n_queries = VIEWS},
    .own_size = sizeof(struct simclr),
    .n_pictures = VIEWS,
    .n_passes = VIEWS,
    .check = check,
    .layout = layout,
    .start = start,
    .begin = begin,
    .width = run_width,
    .chance = chance,
};
