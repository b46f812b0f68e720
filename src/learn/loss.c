/* SPDX-License-Identifier: MIT */
/*
 * The losses of one width as functions of its logits and embeddings: contrast or classes
 * and distillation from larger widths (docs/methods.md, "What all share"), with their
 * gradients. Teachers are constants. What logits are, and how their gradient reaches the
 * embeddings, is each method's. Soft-max and its derivative are the backend's row loss;
 * no logit is looped over here.
 */
#include "learn/learn_int.h"

bool sl_distill_on_logits(enum sl_distill distill)
{
    switch (distill) {
    case SL_DISTILL_SEED:
    case SL_DISTILL_MSE_LOGITS:
    case SL_DISTILL_ATKD:
    case SL_DISTILL_DKD:
        return true;
    case SL_DISTILL_NONE:
    case SL_DISTILL_INPLACE:
    case SL_DISTILL_MSE_EMBEDDING:
        return false;
    }
    return false;
}

static enum sl_row_loss_kind distill_kind(enum sl_distill distill)
{
    switch (distill) {
    case SL_DISTILL_MSE_EMBEDDING:
    case SL_DISTILL_MSE_LOGITS:
        return SL_LOSS_MSE;
    case SL_DISTILL_ATKD:
        return SL_LOSS_ATKD;
    case SL_DISTILL_DKD:
        return SL_LOSS_DKD;
    case SL_DISTILL_NONE:
    case SL_DISTILL_SEED:
    case SL_DISTILL_INPLACE:
        break;
    }
    return SL_LOSS_SOFT;
}

/* Mean over the teachers; gradients are added to diff (of logits or of the embedding). */
static double distill(const struct sl_objective *objective, const struct sl_query *query,
                      struct sl_teachers_given teachers, double weight, float *diff)
{
    const struct sl_device *device = objective->device;
    bool on_logits = sl_distill_on_logits(objective->distill);
    double sum = 0;
    for (int i = 0; i < teachers.n; i++) {
        const struct sl_query *teacher = &teachers.at[i];
        struct sl_row_loss_result result = {0};
        device->table->row_loss(
            device->state,
            &(struct sl_row_loss){
                .kind = distill_kind(objective->distill),
                .rows = objective->rows,
                .cols = on_logits ? objective->cols : objective->dim,
                .stride = on_logits ? objective->stride : objective->dim,
                .logits = on_logits ? query->logits : query->embedding,
                .teacher = on_logits ? teacher->logits : teacher->embedding,
                .labels = on_logits ? objective->labels : NULL,
                .temperature = (float)objective->distill_temperature,
                .teacher_temperature = (float)objective->distill_temperature,
                .weight = (float)(weight / teachers.n),
                .add = true,
                .diff = diff,
                .scratch = objective->scratch,
            },
            &result);
        sum += result.value - result.teacher_entropy;
    }
    return sum / teachers.n;
}

void sl_logit_losses(const struct sl_objective *objective, const struct sl_query *query,
                     struct sl_teachers_given teachers,
                     const struct sl_loss_weights *weights, float *diff_logits,
                     struct sl_loss_values *values)
{
    const struct sl_device *device = objective->device;
    struct sl_row_loss_result result = {0};
    device->table->row_loss(device->state,
                            &(struct sl_row_loss){
                                .kind = SL_LOSS_CLASS,
                                .rows = objective->rows,
                                .cols = objective->cols,
                                .stride = objective->stride,
                                .logits = query->logits,
                                .labels = objective->labels,
                                .temperature = (float)objective->temperature,
                                .weight = (float)(weights->contrast * objective->factor),
                                .diff = diff_logits,
                                .scratch = objective->scratch,
                            },
                            &result);
    *values = (struct sl_loss_values){
        .contrast = objective->factor * result.value,
        .accuracy = (double)result.first / (double)objective->rows,
    };
    if (teachers.n > 0 && sl_distill_on_logits(objective->distill)) {
        values->distill =
            distill(objective, query, teachers, weights->distill, diff_logits);
    }
}

void sl_embedding_losses(const struct sl_objective *objective,
                         const struct sl_query *query, struct sl_teachers_given teachers,
                         const struct sl_loss_weights *weights, float *diff_embedding,
                         struct sl_loss_values *values)
{
    if (teachers.n > 0 && !sl_distill_on_logits(objective->distill)) {
        values->distill =
            distill(objective, query, teachers, weights->distill, diff_embedding);
    }
}
