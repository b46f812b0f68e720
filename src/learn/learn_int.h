/* SPDX-License-Identifier: MIT */
/*
 * What the files of learn share and nobody else sees: the trainer's own record, the
 * queue, and the pieces of a step. Device memory of the method is one block, carved by
 * sl_mocov2_layout.
 */
#ifndef SRC_LEARN_LEARN_INT_H
#define SRC_LEARN_LEARN_INT_H

#include "learn/learn.h"

/* ---- memory.c ---------------------------------------------------------------------- */

/* First in, first out: `capacity` rows of `dim` in device memory; the next batch of keys
 * goes to `position`. Rows come in batches that divide the capacity, so a batch never
 * wraps. */
struct sl_queue {
    const struct sl_device *device;
    float *rows;
    int64_t capacity, dim;
    int64_t position;
};
/* Keyed random unit rows; computed on the host in double, so that every backend starts
 * with the same bits. */
enum sl_status sl_queue_fill(struct sl_error *err, struct sl_queue *queue, uint64_t seed);
void sl_queue_push(struct sl_queue *queue, const float *keys, int64_t n);

/* ---- loss.c ------------------------------------------------------------------------ */

/* The constants of one step's losses: shapes, temperatures, keys, the queue as it was
 * when the step began, and work space. */
struct sl_contrast {
    const struct sl_device *device;
    int64_t rows, dim, negatives;
    double temperature; /* of InfoNCE */
    enum sl_distill distill;
    double distill_temperature;
    const float *keys;  /* (rows, dim), unit length */
    const float *queue; /* (negatives, dim) */
    float *diff_logits; /* (rows, 1 + negatives) */
    float *scratch;     /* (4, rows) */
};
/* One width's query. */
struct sl_query {
    const float *embedding; /* (rows, dim), unit length */
    const float *logits;    /* (rows, 1 + negatives): cosines with own key, then with the
                               queue */
};
struct sl_loss_weights {
    double contrast, distill; /* of the gradient */
};
struct sl_loss_values {
    double contrast, distill; /* unweighted; the teacher's entropy is taken off */
    double accuracy;
};
/* True for the forms that compare logits; the others compare embeddings. */
bool sl_distill_on_logits(enum sl_distill distill);
void sl_contrast_logits(const struct sl_contrast *contrast, const float *embedding,
                        float *logits);
/* Value of both terms and diff_embedding = weights.contrast dL/dq + weights.distill
 * dD/dq, D being the mean over the teachers. Teachers and keys are constants. */
void sl_contrast_loss(const struct sl_contrast *contrast, const struct sl_query *query,
                      const struct sl_query *teachers, int n_teachers,
                      const struct sl_loss_weights *weights, float *diff_embedding,
                      struct sl_loss_values *values);

/* ---- mocov2.c ---------------------------------------------------------------------- */

/* The method's memory, carved from one block. `slot`s hold a width's query for as long as
 * a narrower one is taught by it. */
struct sl_mocov2 {
    int n_embeddings, n_logits; /* slots */
    void *pictures; /* (rows, h, w, c) of the trainer's type: keys' first, then
                       the queries' */
    float *keys;    /* (rows, dim) */
    float *norms;   /* (rows) */
    float *embedding[SL_WIDTHS_MAX];
    float *logits[SL_WIDTHS_MAX];
    float *diff_logits, *diff_embedding, *diff_output, *scratch;
    float *saved_mean, *saved_variance, *saved_target_mean, *saved_target_variance;
    struct sl_queue queue;
    int32_t *order; /* host: the key batch's permutation */
};

struct sl_trainer {
    struct sl_trainer_config config;
    const struct sl_net *net;
    const struct sl_device *device;
    struct sl_params *params, *target;
    struct sl_optim *optim;
    struct sl_stats *stats, *target_stats;
    struct sl_plan *plan[SL_WIDTHS_MAX], *target_plan;
    void *block, *method_block; /* shared by all plans; carved into `method` */
    size_t block_bytes, method_bytes;
    struct sl_mocov2 method;
    int64_t step;
    int skipped; /* steps discarded in a row */
    struct sl_step_times times;
};

/* Points the method's arrays into `base` (NULL: only measures) and returns the bytes it
 * needs. */
size_t sl_mocov2_layout(struct sl_mocov2 *method, const struct sl_trainer_config *config,
                        const struct sl_net *net, float *base);
/* Target average, keys, then width by width forward, losses and backward: gradients of
 * the step are in params->diff. SL_ERROR_NUMBERS at the first number that is not finite.
 */
enum sl_status sl_mocov2_gradients(struct sl_error *err, struct sl_trainer *trainer,
                                   const struct sl_batch *batch,
                                   struct sl_step_numbers *numbers);
/* After the update: the keys join the queue. */
void sl_mocov2_after(struct sl_trainer *trainer);

#endif
