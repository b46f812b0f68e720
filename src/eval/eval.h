/* SPDX-License-Identifier: MIT */
/*
 * eval: how good are the features of each width? Frozen features of a source at one
 * width; weighted nearest neighbours on them; linear probes, one private classifier per
 * width (switchable) and one sliced by all (slimmable). Evaluation never changes a model:
 * it only reads parameters and statistics.
 */
#ifndef SRC_EVAL_EVAL_H
#define SRC_EVAL_EVAL_H

#include "backend/backend.h"
#include "base/base.h"
#include "data/data.h"
#include "net/net.h"
#include "tensor/tensor.h"

/* ---- features (features.c) --------------------------------------------------------- */

/* Host memory; rows that could be read, in source order. */
struct sl_features {
    int64_t n;
    int d;
    int first;       /* of the d channels among the full width's; 0 but where slices are
                        disjoint */
    float *values;   /* (n, d) */
    int32_t *labels; /* -1 = none */
    int32_t *ids;
};
void sl_features_finish(struct sl_features *features);
/* The first row that holds a value which is not finite, or -1. */
int64_t sl_features_first_nonfinite(const struct sl_features *features);

/* A frozen model: borrowed parts. */
struct sl_frozen {
    const struct sl_device *device;
    const struct sl_net *net;
    const struct sl_params *params;
    struct sl_stats *stats; /* read only: INFER */
    enum sl_dtype type;     /* compute type of feature maps; features are float32 */
};
struct sl_features_config {
    const struct sl_source *source;
    struct sl_recipe recipe;
    uint64_t seed; /* with a random recipe: views of (seed, epoch) */
    uint32_t epoch;
    int batch, n_workers;
    bool head; /* its output, before any predictor, instead of pooled trunk features */
    /* Asked after each batch with the rows there are; false = SL_STOPPED; may be NULL. */
    bool (*go_on)(void *context, int64_t done);
    void *go_on_context;
    const int32_t *subset; /* NULL = all */
    int64_t n_subset;
};
/* One pass over the source for ALL the given widths at once (each batch is decoded once
 * and run at every width): features[i] belongs to widths[i] (indices into net->widths).
 * Damaged pictures are left out and counted. */
enum sl_status sl_features_compute(struct sl_error *err, const struct sl_frozen *model,
                                   const struct sl_features_config *config,
                                   const int *widths, int n_widths,
                                   struct sl_features *features, int64_t *n_bad);
/* What that takes, in bytes: while it goes, beside the features, which stay; a worker's
 * largest picture is not known (sl_loader_plan_memory). Of the model only device, net and
 * type are looked at. */
struct sl_features_memory {
    size_t pass, features;
};
enum sl_status sl_features_plan_memory(struct sl_error *err,
                                       const struct sl_frozen *model,
                                       const struct sl_features_config *config,
                                       const int *widths, int n_widths,
                                       struct sl_features_memory *memory);
/* Pixels of the evaluation view in [0, 1] as features (raw-pixel baseline): 3 values a
 * pixel of a square of sl_raw_side(config->recipe.size). Larger views are shrunk by area
 * average: a baseline of whole photographs would take gigabytes and judge no better. */
enum { SL_RAW_SIDE_MOST = 32 };
int sl_raw_side(int size);
enum sl_status sl_features_raw(struct sl_error *err,
                               const struct sl_features_config *config,
                               struct sl_features *features);
/* Subtracts the train part's mean picture from both parts. */
void sl_features_centre(struct sl_features *train, struct sl_features *test);

/* ---- for people to look at (project.c) --------------------------------------------- */

/* Places of n rows of d on their first two principal components (of the rows without
 * their mean): x and y (n); from the mean, or, with keep_mean, from the origin. share: of
 * the spread on each. A component that is not there has zeros. Memory 2 n x n,
 * time n^3: for some hundred rows. */
enum sl_status sl_project(struct sl_error *err, int64_t n, int64_t d, const float *rows,
                          bool keep_mean, double *x, double *y, double share[2]);
/* Each row to length 1; one of zeros stays. */
void sl_features_normalise(struct sl_features *features);
/* The `wanted` rows most alike to row `of` of normalised features, itself left out, most
 * alike first, of equals the first: their number, rows and cosines. */
int sl_features_nearest(const struct sl_features *features, int64_t of, int wanted,
                        int64_t *rows, double *cosines);

/* ---- accuracies (score.c) ---------------------------------------------------------- */

struct sl_score {
    double acc1, acc5; /* fractions */
};
/* How many classes rank before the label: equal logits rank by number, and a logit that
 * is not a number is never right. */
int sl_score_rank(const float *logits, int n_classes, int label);
/* Of features that are logits (d = number of classes); rows without a label are left out.
 * SL_ERROR_DATA when none has one. */
enum sl_status sl_score_logits(struct sl_error *err, const struct sl_features *logits,
                               struct sl_score *score);

/* ---- nearest neighbours (knn.c) ---------------------------------------------------- */

struct sl_knn_config {
    int n_classes, k;
    double temperature;
    /* Asked after each block of similarities with the queries that are done, of those
     * with a label; false = SL_STOPPED; may be NULL. */
    bool (*go_on)(void *context, int64_t done);
    void *go_on_context;
};
/* Rows are L2-normalised (a copy), similarity = cosine; score of a class = sum over the k
 * most similar of exp(cos / temperature); ties of similarity by lower index. k is reduced
 * to half the smallest class (at least 1): *k_used. Rows without a label are left out of
 * both sides; classes with equal votes rank by number. SL_ERROR_DATA without a labelled
 * row on a side, SL_ERROR_NUMBERS on a feature that is not finite. */
enum sl_status sl_knn(struct sl_error *err, const struct sl_device *device,
                      const struct sl_knn_config *config, const struct sl_features *bank,
                      const struct sl_features *query, struct sl_score *score,
                      int *k_used);
/* The bytes that it takes of a bank and queries that all have labels: k neighbours at
 * most. */
size_t sl_knn_plan_memory(const struct sl_knn_config *config, int64_t n_bank,
                          int64_t n_query, int d);

/* ---- linear probes (linear.c) ------------------------------------------------------ */

struct sl_probe_config {
    int n_classes, epochs, batch;
    double lr, momentum, weight_decay;
    bool cosine;       /* else x 0.1 at 60 % and 80 % of the epochs */
    bool distill;      /* sub-networks: 1/2 CE + 1/2 soft-CE with the full width's probe,
                          temperature 1, in every epoch */
    bool standardise;  /* each width by the mean and deviation of its train part */
    bool normal_start; /* N(0, 0.01) instead of zero (as the paper) */
    uint64_t seed;
    /* Called before each epoch, or NULL. May write fresh train features over
     * features[0..n_widths) in place (same n, d, labels; as the paper: augmented views);
     * else the cached ones serve every epoch. What it fails with, the probe fails with.
     */
    enum sl_status (*before_epoch)(struct sl_error *err, void *context, int epoch,
                                   struct sl_features *features);
    void *context;
};
struct sl_probe_result {
    struct sl_score switchable[SL_WIDTHS_MAX], slimmable[SL_WIDTHS_MAX];
    /* Mean training losses over the rows of the last epoch, each row's taken before its
     * batch's update. */
    double switchable_loss[SL_WIDTHS_MAX], slimmable_loss[SL_WIDTHS_MAX];
};
/* train[i], test[i]: features of width i, descending, all with the same rows; the first
 * is the teacher of `distill`. Deterministic for a seed. Both probes are trained in one
 * call: every epoch visits rows in the keyed order SL_RNG_PROBE. They are judged once,
 * after the last epoch: an epoch chosen by the test part would be judged by what chose
 * it. A loss of either kind that is not finite is SL_ERROR_NUMBERS; no labelled row,
 * SL_ERROR_DATA. */
enum sl_status sl_linear_probe(struct sl_error *err, const struct sl_device *device,
                               const struct sl_probe_config *config, int n_widths,
                               struct sl_features *train, struct sl_features *test,
                               struct sl_probe_result *result);

#endif
