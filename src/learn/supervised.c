/* SPDX-License-Identifier: MIT */
/*
 * Supervised slimmable training, the control (arXiv 1812.08928): one view, one classifier
 * sliced on its input, cross-entropy with the labels at every width. With --distill
 * inplace the sub-networks take the full width's soft-max, a constant, in place of the
 * labels (or beside them, by the weight of distillation).
 */
#include "learn/learn_int.h"

#include <math.h>

struct supervised {
    int64_t classes;
    struct sl_slots logits; /* (rows, classes) */
    float *diff_logits;     /* (rows, classes) */
    float *scratch;         /* (4, rows) */
    int32_t *labels;        /* (rows) */
};

/* ---- checks and memory ------------------------------------------------------------- */

static enum sl_status check(struct sl_error *err, const struct sl_trainer_config *config,
                            const struct sl_net *net)
{
    SL_TRY(sl_check_mocov2_only(err, config));
    if (config->distill != SL_DISTILL_NONE && config->distill != SL_DISTILL_INPLACE) {
        return SL_FAIL(err, SL_ERROR_USAGE,
                       "--distill: supervised training has inplace or none; the other "
                       "forms compare what is contrasted");
    }
    if (net->embedding == net->features) {
        return SL_FAIL(err, SL_ERROR_USAGE,
                       "the network has no classifier; supervised training needs one");
    }
    return SL_OK;
}

static void layout(struct sl_trainer *trainer, struct sl_carver *carver)
{
    const struct sl_net *net = trainer->net;
    struct supervised *own = trainer->own;
    int64_t rows = trainer->config.batch;

    own->classes = sl_net_channels(net, net->embedding, 0);
    sl_slots_carve(&own->logits, carver, sl_slots_needed(&trainer->config, net->widths.n),
                   rows * own->classes);
    own->diff_logits = sl_carve(carver, rows * own->classes);
    own->scratch = sl_carve(carver, 4 * rows);
    own->labels = (int32_t *)sl_carve(carver, rows);
}

/* ---- the step ---------------------------------------------------------------------- */

static enum sl_status begin(struct sl_error *err, struct sl_trainer *trainer,
                            const struct sl_batch *batch)
{
    const struct supervised *own = trainer->own;

    for (int i = 0; i < batch->rows; i++) {
        int32_t label = batch->labels == NULL ? -1 : batch->labels[i];
        if (label < 0 || label >= own->classes) {
            return SL_FAIL(err, SL_ERROR_DATA,
                           "step %lld: a picture has label %d, but the classifier has "
                           "classes 0 to %lld; give data in which every picture has a "
                           "label",
                           (long long)trainer->step, (int)label,
                           (long long)own->classes - 1);
        }
    }
    trainer->device->table->put(trainer->device->state, own->labels, batch->labels,
                                (size_t)batch->rows * sizeof(int32_t));
    sl_put_pictures(trainer, batch->views[0], NULL, trainer->pictures[0]);
    return SL_OK;
}

/* The classifier's outputs are what is compared: as logits with the labels, and, in the
 * place of embeddings, with the full width's. */
static struct sl_objective objective_of(const struct sl_trainer *trainer)
{
    const struct sl_trainer_config *config = &trainer->config;
    const struct supervised *own = trainer->own;
    return (struct sl_objective){
        .device = trainer->device,
        .rows = config->batch,
        .cols = own->classes,
        .stride = own->classes,
        .dim = own->classes,
        .labels = own->labels,
        .temperature = 1.0,
        .factor = 1.0,
        .distill = config->distill,
        .distill_temperature = config->distill_temperature,
        .scratch = own->scratch,
    };
}

static enum sl_status run_width(struct sl_error *err, struct sl_trainer *trainer,
                                int width, struct sl_step_numbers *numbers)
{
    const struct sl_device *device = trainer->device;
    const struct sl_objective o = objective_of(trainer);
    struct supervised *own = trainer->own;
    struct sl_plan *plan = trainer->plan[0][width];
    float *logits = sl_slot(&own->logits, width);

    sl_exec_refresh(plan, trainer->params);
    const float *output =
        sl_exec_forward(plan, trainer->params, trainer->stats, trainer->pictures[0]);
    device->table->copy(device->state, logits, output,
                        (size_t)(o.rows * o.cols) * sizeof(float));

    const struct sl_query query = {logits, logits};
    const struct sl_query teacher = {sl_slot(&own->logits, 0), sl_slot(&own->logits, 0)};
    const struct sl_teachers_given given = {&teacher,
                                            sl_teachers_of(&trainer->config, width)};
    const struct sl_loss_weights weights =
        sl_weights_of(&trainer->config, width, numbers->active);
    struct sl_loss_values values;
    sl_logit_losses(&o, &query, given, &weights, own->diff_logits, &values);
    sl_embedding_losses(&o, &query, given, &weights, own->diff_logits, &values);
    sl_note_losses(numbers, width, &weights, &values);
    const struct sl_suspect suspect = {"output of the classifier", logits,
                                       o.rows * o.cols};
    SL_TRY(sl_check_losses(err, trainer, width, &suspect, 1, &values));
    double squares = sl_exec_backward(plan, trainer->params, own->diff_logits);
    return sl_note_gradient(err, trainer, width, squares, numbers);
}

static double chance(const struct sl_trainer_config *config SL_UNUSED,
                     const struct sl_net *net)
{
    return log((double)sl_net_channels(net, net->embedding, 0));
}

const struct sl_method sl_supervised = {
    .info = {.name = "supervised",
             .about = "cross-entropy with the labels at every width (the control)",
             .n_views = 1,
             .head = SL_HEAD_CLASSIFIER,
             .n_queries = 1,
             .has_labels = true},
    .own_size = sizeof(struct supervised),
    .n_pictures = 1,
    .n_passes = 1,
    .check = check,
    .layout = layout,
    .begin = begin,
    .width = run_width,
    .chance = chance,
};
