/* SPDX-License-Identifier: MIT */
/*
 * What the methods that contrast embeddings (MoCo v2, v3 and SimCLR) keep of a width in
 * the same way: unit embeddings and logits in slots, room for their gradients, and the
 * settings of the losses. What a logit is, each method says itself.
 */
#include "learn/learn_int.h"

void sl_contrast_carve(struct sl_contrast *contrast, const struct sl_trainer *trainer,
                       struct sl_carver *carver, int n_passes, int64_t rows,
                       int64_t n_logits)
{
    const struct sl_trainer_config *config = &trainer->config;
    const struct sl_net *net = trainer->net;
    const int64_t dim = sl_net_channels(net, net->embedding, 0);
    const int n_slots = sl_slots_needed(config, net->widths.n);
    /* Nobody reads a teacher's logits where embeddings are compared. */
    const int n_kept = sl_distill_on_logits(config->distill) ? n_slots : 1;

    contrast->rows = rows;
    contrast->dim = dim;
    contrast->n_logits = n_logits;
    sl_slots_carve(&contrast->embedding, carver, n_slots, n_passes * rows * dim);
    sl_slots_carve(&contrast->logits, carver, n_kept, n_passes * n_logits);
    contrast->norms = sl_carve(carver, rows);
    contrast->diff_logits = sl_carve(carver, n_logits);
    contrast->diff_embedding = sl_carve(carver, rows * dim);
    contrast->diff_out = sl_carve(carver, rows * dim);
    contrast->scratch = sl_carve(carver, 4 * rows);
}

float *sl_contrast_embedding(const struct sl_contrast *contrast, int width, int pass)
{
    return sl_slot(&contrast->embedding, width) + pass * contrast->rows * contrast->dim;
}

float *sl_contrast_logits(const struct sl_contrast *contrast, int width, int pass)
{
    return sl_slot(&contrast->logits, width) + pass * contrast->n_logits;
}

struct sl_objective sl_contrast_objective(const struct sl_contrast *contrast,
                                          const struct sl_trainer *trainer)
{
    const struct sl_trainer_config *config = &trainer->config;
    return (struct sl_objective){
        .device = trainer->device,
        .rows = contrast->rows,
        .dim = contrast->dim,
        .temperature = config->temperature,
        .factor = 1.0,
        .distill = config->distill,
        .distill_temperature = config->distill_temperature,
        .scratch = contrast->scratch,
    };
}
