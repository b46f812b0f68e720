/* SPDX-License-Identifier: MIT */
/*
 * analyse: what a finished run can be asked, at leisure. The path that the parameters
 * took and the error around its end; closed-form linear probes that show what it costs
 * when widths share one (docs/analyse.md). A wing: nothing else in the library needs it,
 * and it changes no model.
 */
#ifndef SRC_ANALYSE_ANALYSE_H
#define SRC_ANALYSE_ANALYSE_H

#include "backend/backend.h"
#include "base/base.h"
#include "data/data.h"
#include "eval/eval.h"
#include "net/net.h"
#include "store/store.h"
#include "tensor/tensor.h"

/* ---- snapshots as rows (rows.c) ---------------------------------------------------- */

/* Opened snapshots of one net. Vectors (biases, scales, shifts) do not count: only the
 * weights of convolutions and linear layers are a row's values. */
struct sl_snapshot_rows;
/* Every file must hold all weights of the net in their shapes (SL_ERROR_USAGE). The paths
 * are not kept. */
enum sl_status sl_snapshot_rows_open(struct sl_error *err, const struct sl_net *net,
                                     const char *const *paths, int n,
                                     struct sl_snapshot_rows **rows);
void sl_snapshot_rows_close(struct sl_snapshot_rows *rows);
int sl_snapshot_rows_count(const struct sl_snapshot_rows *rows);
/* Values of a row: the sum of the weights' sizes. */
int64_t sl_snapshot_rows_length(const struct sl_snapshot_rows *rows);

/* ---- directions (directions.c) ----------------------------------------------------- */

/* Two directions in the space of the parameters, as flat host arrays of net->total
 * values, 0 where vectors stand. */
struct sl_directions {
    float *d[2];
    double explained[2]; /* PCA: share of the rows' variance; else 0 */
};
void sl_directions_finish(struct sl_directions *directions);
/* The two leading principal components of the rows theta_t - theta_final, centred, of
 * unit length; their largest weight of the rows is positive. Needs 3 rows that differ
 * (SL_ERROR_USAGE). Work space: n^2 doubles and a stripe of the rows. */
enum sl_status sl_directions_pca(struct sl_error *err, const struct sl_net *net,
                                 const struct sl_snapshot_rows *rows, const float *final,
                                 struct sl_directions *directions);
/* Keyed random directions, each filter (output channel) as long as the final one's. */
enum sl_status sl_directions_random(struct sl_error *err, const struct sl_net *net,
                                    const float *final, uint64_t seed,
                                    struct sl_directions *directions);
/* Where each row lies: points[i] = (x, y), such that theta_final + x d0 + y d1 is the
 * point of the plane nearest to it. For directions at right angles that is <r, d> /
 * |d|^2, for unit ones the published <r, d> / |d|. */
enum sl_status sl_directions_project(struct sl_error *err, const struct sl_net *net,
                                     const struct sl_snapshot_rows *rows,
                                     const float *final,
                                     const struct sl_directions *directions,
                                     double (*points)[2]);

/* ---- the error around a point (surface.c) ------------------------------------------ */

struct sl_surface_config {
    const struct sl_device *device;
    const struct sl_net *net;
    struct sl_params *params; /* written at every point */
    struct sl_stats *stats;   /* of the final model; read only */
    enum sl_dtype type;
    int width;       /* judged */
    bool classifier; /* the head's outputs are classes; else kNN on them */
    int n_classes;
    int knn_k;
    double knn_t;
    const struct sl_source *bank, *test; /* bank: only for kNN */
    struct sl_recipe view;
    int batch, n_workers;
    bool features; /* kNN on the pooled features instead of the head's output */
};
/* Pictures are read once and kept. */
struct sl_surface;
enum sl_status sl_surface_open(struct sl_error *err,
                               const struct sl_surface_config *config,
                               struct sl_surface **surface);
void sl_surface_close(struct sl_surface *surface);
/* Test error in percent at final + x d0 + y d1; 100 where outputs are not finite. */
enum sl_status sl_surface_error(struct sl_error *err, struct sl_surface *surface,
                                const float *final,
                                const struct sl_directions *directions, double x,
                                double y, double *error);

/* ---- closed-form probes (ridge.c) -------------------------------------------------- */

struct sl_ridge_config {
    int n_classes;
    double ridge;                  /* added to the diagonal of X'X */
    double weights[SL_WIDTHS_MAX]; /* of the widths' errors in the shared probe */
};
/* Of one width. Losses are mean squared errors on the train rows, accuracies on the test
 * rows. */
struct sl_ridge_width {
    double own_acc, shared_acc, prefix_acc; /* its own probe; the shared one, sliced; the
                                               full width's, sliced */
    double own_loss, shared_loss, prefix_loss;
    double coupling; /* |X1' X2 T2| / |X1' Y| of the full width's features and probe at
                        this width's cut; 0 for the full width */
    double shift;    /* |T1 - T| / |T|: the full width's prefix against the best probe on
                        X1 */
    double gap; /* |X^ - X1| / |X1|: this width's features against the full width's at
                   the same channels */
};
/* train[i], test[i]: features of width i, descending, the full one first, all with the
 * same rows; each stands for the full width's d features from its `first` on. Rows are
 * (1, x); targets one-hot. Closed form, in double, on one thread: the same bits every
 * time. SL_ERROR_DATA without a labelled row, SL_ERROR_NUMBERS on features that are not
 * finite or a system that cannot be solved. */
enum sl_status sl_ridge_compare(struct sl_error *err,
                                const struct sl_ridge_config *config, int n_widths,
                                const struct sl_features *train,
                                const struct sl_features *test,
                                struct sl_ridge_width *result);

#endif
