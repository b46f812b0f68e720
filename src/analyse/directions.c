/* SPDX-License-Identifier: MIT */
/*
 * Two directions through the space of the parameters and where snapshots lie on their
 * plane (docs/analyse.md, "The path and the surface"). Principal components come from the
 * products of the rows, an (n, n) matrix, so that memory does not grow with the net but
 * for the directions themselves.
 */
#include "analyse_int.h"

#include <math.h>
#include <string.h>

static enum sl_status make_directions(struct sl_error *err, const struct sl_net *net,
                                      struct sl_directions *directions)
{
    *directions = (struct sl_directions){0};
    for (int k = 0; k < 2; k++) {
        SL_TRY(sl_heap_alloc(err, "directions", net->total, sizeof(float),
                             &directions->d[k]));
    }
    return SL_OK;
}

void sl_directions_finish(struct sl_directions *directions)
{
    sl_heap_free(directions->d[0]);
    sl_heap_free(directions->d[1]);
    *directions = (struct sl_directions){0};
}

/* ---- a walk over all weights in stripes -------------------------------------------- */

struct stripe {
    int weight; /* number among the weights */
    int64_t first;
    int count;
    int64_t at; /* of the first value in flat arrays */
};

/* The next stripe; start with {.weight = -1}. False behind the last one. */
static bool next_stripe(const struct sl_net *net, int *param, struct stripe *stripe)
{
    int64_t done = stripe->first + stripe->count;
    if (stripe->weight < 0 || done == net->params[*param].count) {
        int i = stripe->weight < 0 ? 0 : *param + 1;
        while (i < net->n_params && net->params[i].kind != SL_PARAM_WEIGHT) {
            i++;
        }
        if (i == net->n_params) {
            return false;
        }
        *param = i;
        stripe->weight++;
        done = 0;
    }
    int64_t left = net->params[*param].count - done;
    stripe->first = done;
    stripe->count = left < STRIPE ? (int)left : STRIPE;
    stripe->at = net->params[*param].offset + done;
    return true;
}

/* ---- principal components ---------------------------------------------------------- */

/* Products of the centred rows, both triangles. */
static void centre(int n, double *gram)
{
    for (int i = 0; i < n; i++) {
        for (int j = i + 1; j < n; j++) {
            gram[(int64_t)i * n + j] = gram[(int64_t)j * n + i];
        }
    }
    for (int i = 0; i < n; i++) { /* columns, then rows */
        double sum = 0.0;
        for (int j = 0; j < n; j++) {
            sum += gram[(int64_t)j * n + i];
        }
        for (int j = 0; j < n; j++) {
            gram[(int64_t)j * n + i] -= sum / n;
        }
    }
    for (int i = 0; i < n; i++) {
        double sum = 0.0;
        for (int j = 0; j < n; j++) {
            sum += gram[(int64_t)i * n + j];
        }
        for (int j = 0; j < n; j++) {
            gram[(int64_t)i * n + j] -= sum / n;
        }
    }
    for (int i = 0; i < n; i++) { /* what rounding made uneven */
        for (int j = i + 1; j < n; j++) {
            double mean = 0.5 * (gram[(int64_t)i * n + j] + gram[(int64_t)j * n + i]);
            gram[(int64_t)i * n + j] = gram[(int64_t)j * n + i] = mean;
        }
    }
}

/* A component is a combination of the centred rows, and so of the rows themselves: the
 * coefficients, which sum to 0. */
static void coefficients(int n, double value, const double *vector, double *out)
{
    double mean = 0.0;
    for (int i = 0; i < n; i++) {
        mean += vector[i] / n;
    }
    for (int i = 0; i < n; i++) {
        out[i] = (vector[i] - mean) / sqrt(value);
    }
}

static enum sl_status solve_pca(struct sl_error *err, int n, double *gram,
                                double *vectors, double *mixes, double explained[2])
{
    enum sl_status status = SL_OK;
    double *values = NULL;
    double trace = 0.0;
    centre(n, gram);
    for (int i = 0; i < n; i++) {
        trace += gram[(int64_t)i * n + i];
    }
    SL_TRY(sl_heap_alloc(err, "variances", n, sizeof *values, &values));
    SL_TRY_OUT(sl_eigen_symmetric(err, n, gram, values, vectors));
    if (n < 3 || !(values[1] > 1e-12 * trace)) {
        status = SL_FAIL(err, SL_ERROR_USAGE,
                         "the path of %d snapshots has no two principal directions; at "
                         "least 3 snapshots that differ are needed",
                         n);
        goto out;
    }
    for (int k = 0; k < 2; k++) {
        explained[k] = values[k] / trace;
        coefficients(n, values[k], vectors + (int64_t)k * n, mixes + (int64_t)k * n);
    }
out:
    sl_heap_free(values);
    return status;
}

enum sl_status sl_directions_pca(struct sl_error *err, const struct sl_net *net,
                                 const struct sl_snapshot_rows *rows, const float *final,
                                 struct sl_directions *directions)
{
    enum sl_status status = SL_OK;
    int64_t n = rows->n;
    double *gram = NULL;
    double *vectors = NULL;
    double *mixes = NULL;
    double *block = NULL;
    int param = 0;
    *directions = (struct sl_directions){0};
    SL_TRY_OUT(sl_heap_alloc(err, "products of snapshots", n * n, sizeof *gram, &gram));
    SL_TRY_OUT(sl_heap_alloc(err, "components", n * n, sizeof *vectors, &vectors));
    SL_TRY_OUT(sl_heap_alloc(err, "components", 2 * n, sizeof *mixes, &mixes));
    SL_TRY_OUT(sl_heap_alloc(err, "stripe", n * STRIPE, sizeof *block, &block));
    SL_TRY_OUT(make_directions(err, net, directions));
    for (struct stripe at = {.weight = -1}; next_stripe(net, &param, &at);) {
        sl_snapshot_rows_stripe(rows, at.weight, at.first, at.count, final + at.at,
                                block);
        sl_gram_add((int)n, at.count, block, STRIPE, gram);
    }
    SL_TRY_OUT(solve_pca(err, (int)n, gram, vectors, mixes, directions->explained));
    for (struct stripe at = {.weight = -1}; next_stripe(net, &param, &at);) {
        sl_snapshot_rows_stripe(rows, at.weight, at.first, at.count, final + at.at,
                                block);
        for (int k = 0; k < 2; k++) {
            for (int c = 0; c < at.count; c++) {
                double sum = 0.0;
                for (int64_t i = 0; i < n; i++) {
                    sum += mixes[k * n + i] * block[i * STRIPE + c];
                }
                directions->d[k][at.at + c] = (float)sum;
            }
        }
    }
out:
    sl_heap_free(gram);
    sl_heap_free(vectors);
    sl_heap_free(mixes);
    sl_heap_free(block);
    if (status != SL_OK) {
        sl_directions_finish(directions);
    }
    return status;
}

/* ---- random ones ------------------------------------------------------------------- */

/* One filter: as long as the final one's (Li et al., arXiv 1712.09913). */
static void normalise_filter(int64_t n, const float *final, float *d)
{
    double length = 0.0;
    double wanted = 0.0;
    for (int64_t i = 0; i < n; i++) {
        length += (double)d[i] * (double)d[i];
        wanted += (double) final[i] * (double) final[i];
    }
    double scale = length > 0.0 ? sqrt(wanted / length) : 0.0;
    for (int64_t i = 0; i < n; i++) {
        d[i] = (float)((double)d[i] * scale);
    }
}

enum sl_status sl_directions_random(struct sl_error *err, const struct sl_net *net,
                                    const float *final, uint64_t seed,
                                    struct sl_directions *directions)
{
    enum sl_status status = SL_OK;
    uint32_t key = 0;
    SL_TRY_OUT(make_directions(err, net, directions));
    for (int i = 0; i < net->n_params; i++) {
        const struct sl_param *param = &net->params[i];
        if (param->kind != SL_PARAM_WEIGHT) {
            continue;
        }
        int64_t size = param->fan_in;
        int64_t filters = param->count / size;
        for (int k = 0; k < 2; k++) {
            float *d = directions->d[k] + param->offset;
            sl_rng_fill_normal(seed, SL_RNG_DIRECTION, key++, 1.0F, param->count, d);
            for (int64_t f = 0; f < filters; f++) {
                normalise_filter(size, final + param->offset + f * size, d + f * size);
            }
        }
    }
out:
    if (status != SL_OK) {
        sl_directions_finish(directions);
    }
    return status;
}

/* ---- the plane --------------------------------------------------------------------- */

static double product(int n, const double *a, const float *b)
{
    double sum[4] = {0};
    int i = 0;
    for (; i + 4 <= n; i += 4) {
        for (int k = 0; k < 4; k++) {
            sum[k] += a[i + k] * (double)b[i + k];
        }
    }
    for (; i < n; i++) {
        sum[0] += a[i] * (double)b[i];
    }
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

/* Least squares in two unknowns: [a c; c b] p = (u, v). */
static void nearest(double a, double b, double c, double point[2])
{
    double u = point[0];
    double v = point[1];
    double rest = a * b - c * c;
    point[0] = (u * b - v * c) / rest;
    point[1] = (v * a - u * c) / rest;
}

enum sl_status sl_directions_project(struct sl_error *err, const struct sl_net *net,
                                     const struct sl_snapshot_rows *rows,
                                     const float *final,
                                     const struct sl_directions *directions,
                                     double (*points)[2])
{
    double *block = NULL;
    double a = 0.0;
    double b = 0.0;
    double c = 0.0;
    int param = 0;
    SL_TRY(
        sl_heap_alloc(err, "stripe", (int64_t)rows->n * STRIPE, sizeof *block, &block));
    memset(points, 0, sizeof *points * (size_t)rows->n);
    for (int64_t i = 0; i < net->total; i++) {
        double x = (double)directions->d[0][i];
        double y = (double)directions->d[1][i];
        a += x * x;
        b += y * y;
        c += x * y;
    }
    for (struct stripe at = {.weight = -1}; next_stripe(net, &param, &at);) {
        sl_snapshot_rows_stripe(rows, at.weight, at.first, at.count, final + at.at,
                                block);
        for (int i = 0; i < rows->n; i++) {
            for (int k = 0; k < 2; k++) {
                points[i][k] += product(at.count, block + (int64_t)i * STRIPE,
                                        directions->d[k] + at.at);
            }
        }
    }
    for (int i = 0; i < rows->n; i++) {
        nearest(a, b, c, points[i]);
    }
    sl_heap_free(block);
    return SL_OK;
}
