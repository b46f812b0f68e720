/* SPDX-License-Identifier: MIT */
/*
 * Private to src/analyse: the inside of opened snapshots, which are read in stripes of
 * STRIPE values of one weight, all rows at a time.
 */
#ifndef SRC_ANALYSE_ANALYSE_INT_H
#define SRC_ANALYSE_ANALYSE_INT_H

#include "analyse/analyse.h"

enum { STRIPE = 4096 };

struct sl_snapshot_rows {
    int n, n_weights;
    int64_t length;
    struct sl_tensor_file **files;
    const unsigned char **values; /* [row * n_weights + weight]: float32 in the map */
};
/* theta_t - theta_final for values first … first+count-1 of a weight (the weight-th of
 * the net), count <= STRIPE; `final` points at the first of them. stripe (n, STRIPE). */
void sl_snapshot_rows_stripe(const struct sl_snapshot_rows *rows, int weight,
                             int64_t first, int count, const float *final,
                             double *stripe);

#endif
