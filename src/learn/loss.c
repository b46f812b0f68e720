/* SPDX-License-Identifier: MIT */
/*
 * The losses of one width as functions of its embeddings: cosines with its key and the
 * queue, InfoNCE on them (spec 5.1), distillation from larger widths (spec 5.2, 5.4), and
 * the gradient with respect to the embedding. Keys, queue and teachers are constants.
 * Soft-max and its derivative are the backend's row loss; no logit is looped over here.
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

/* s_i = [q_i . k_i, q_i . n_1, …, q_i . n_K]: cosines, without the temperature. */
void sl_contrast_logits(const struct sl_contrast *contrast, const float *embedding,
                        float *logits)
{
    const struct sl_device *device = contrast->device;
    int64_t stride = 1 + contrast->negatives;
    device->table->row_dot(device->state, contrast->rows, contrast->dim, embedding,
                           contrast->keys, logits, stride);
    device->table->gemm(device->state, false, true, contrast->rows, contrast->negatives,
                        contrast->dim, 1.0F, embedding, contrast->dim, contrast->queue,
                        contrast->dim, 0.0F, logits + 1, stride);
}

/* dL/dq_i = dL/ds_i0 k_i + sum_j dL/ds_ij n_j   (spec 5.5). */
static void logits_backward(const struct sl_contrast *contrast, float *diff_embedding)
{
    const struct sl_device *device = contrast->device;
    int64_t stride = 1 + contrast->negatives;
    device->table->gemm(device->state, false, false, contrast->rows, contrast->dim,
                        contrast->negatives, 1.0F, contrast->diff_logits + 1, stride,
                        contrast->queue, contrast->dim, 0.0F, diff_embedding,
                        contrast->dim);
    device->table->row_axpy(device->state, contrast->rows, contrast->dim,
                            contrast->diff_logits, stride, contrast->keys,
                            diff_embedding);
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
static double distill(const struct sl_contrast *contrast, const struct sl_query *query,
                      const struct sl_query *teachers, int n_teachers, double weight,
                      float *diff)
{
    const struct sl_device *device = contrast->device;
    bool on_logits = sl_distill_on_logits(contrast->distill);
    int64_t cols = on_logits ? 1 + contrast->negatives : contrast->dim;
    double sum = 0;
    for (int i = 0; i < n_teachers; i++) {
        struct sl_row_loss_result result = {0};
        device->table->row_loss(
            device->state,
            &(struct sl_row_loss){
                .kind = distill_kind(contrast->distill),
                .rows = contrast->rows,
                .cols = cols,
                .stride = cols,
                .logits = on_logits ? query->logits : query->embedding,
                .teacher = on_logits ? teachers[i].logits : teachers[i].embedding,
                .temperature = (float)contrast->distill_temperature,
                .teacher_temperature = (float)contrast->distill_temperature,
                .weight = (float)(weight / n_teachers),
                .add = true,
                .diff = diff,
                .scratch = contrast->scratch,
            },
            &result);
        sum += result.value - result.teacher_entropy;
    }
    return sum / n_teachers;
}

void sl_contrast_loss(const struct sl_contrast *contrast, const struct sl_query *query,
                      const struct sl_query *teachers, int n_teachers,
                      const struct sl_loss_weights *weights, float *diff_embedding,
                      struct sl_loss_values *values)
{
    const struct sl_device *device = contrast->device;
    struct sl_row_loss_result result = {0};
    device->table->row_loss(device->state,
                            &(struct sl_row_loss){
                                .kind = SL_LOSS_CLASS,
                                .rows = contrast->rows,
                                .cols = 1 + contrast->negatives,
                                .stride = 1 + contrast->negatives,
                                .logits = query->logits,
                                .temperature = (float)contrast->temperature,
                                .weight = (float)weights->contrast,
                                .diff = contrast->diff_logits,
                                .scratch = contrast->scratch,
                            },
                            &result);
    values->contrast = result.value;
    values->accuracy = (double)result.first / (double)contrast->rows;
    values->distill = 0;
    bool distilled = contrast->distill != SL_DISTILL_NONE && n_teachers > 0;
    bool on_logits = sl_distill_on_logits(contrast->distill);
    if (distilled && on_logits) {
        values->distill = distill(contrast, query, teachers, n_teachers, weights->distill,
                                  contrast->diff_logits);
    }
    logits_backward(contrast, diff_embedding);
    if (distilled && !on_logits) {
        values->distill = distill(contrast, query, teachers, n_teachers, weights->distill,
                                  diff_embedding);
    }
}
