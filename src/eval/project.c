/* SPDX-License-Identifier: MIT */
/*
 * Vectors for people to look at: their places on the plane that holds most of their
 * spread (the first two principal components), and which of them are most alike. Exact
 * for the few hundred that fit a picture, by the Gram matrix; nothing random.
 */
#include "eval/eval.h"

#include <math.h>
#include <string.h>

/* gram (n, n) = inner products of the rows. */
static void fill_gram(int64_t n, int64_t d, const float *rows, double *gram)
{
    for (int64_t i = 0; i < n; i++) {
        for (int64_t k = 0; k <= i; k++) {
            const float *a = rows + i * d;
            const float *b = rows + k * d;
            double sum = 0.0;
            for (int64_t c = 0; c < d; c++) {
                sum += (double)a[c] * (double)b[c];
            }
            gram[i * n + k] = sum;
            gram[k * n + i] = sum;
        }
    }
}

/* Inner products of the rows without their mean, in place of those with it; means: what
 * each row's products had in common, the row's product with the mean. */
static void centre_gram(int64_t n, double *gram, double *means)
{
    double mean = 0.0;
    for (int64_t i = 0; i < n; i++) {
        means[i] = 0.0;
        for (int64_t k = 0; k < n; k++) {
            means[i] += gram[i * n + k];
        }
        means[i] /= (double)n;
        mean += means[i] / (double)n;
    }
    for (int64_t i = 0; i < n; i++) {
        for (int64_t k = 0; k < n; k++) {
            gram[i * n + k] += mean - means[i] - means[k];
        }
    }
}

enum sl_status sl_project(struct sl_error *err, int64_t n, int64_t d, const float *rows,
                          bool keep_mean, double *x, double *y, double share[2])
{
    enum sl_status status = SL_OK;
    double *gram = NULL, *means = NULL, *values = NULL, *vectors = NULL;
    double total = 0.0;
    share[0] = share[1] = 0.0;
    SL_TRY_OUT(sl_heap_alloc(err, "projection", n * n, sizeof *gram, &gram));
    SL_TRY_OUT(sl_heap_alloc(err, "projection", n, sizeof *means, &means));
    SL_TRY_OUT(sl_heap_alloc(err, "projection", n, sizeof *values, &values));
    SL_TRY_OUT(sl_heap_alloc(err, "projection", n * n, sizeof *vectors, &vectors));
    fill_gram(n, d, rows, gram);
    centre_gram(n, gram, means);
    for (int64_t i = 0; i < n; i++) {
        total += gram[i * n + i];
    }
    if (!isfinite(total)) {
        status = SL_FAIL(err, SL_ERROR_NUMBERS, "a vector to be drawn is not finite");
        goto out;
    }
    SL_TRY_OUT(sl_eigen_symmetric(err, (int)n, gram, values, vectors));
    for (int64_t part = 0; part < 2; part++) {
        const double *vector = vectors + part * n;
        double *place = part == 0 ? x : y;
        double value = part < n ? values[part] : 0.0;
        bool is_there = value > 1e-12 * total && value > 0.0;
        double size = is_there ? sqrt(value) : 0.0;
        double offset = 0.0;
        share[part] = is_there ? value / total : 0.0;
        /* The unit direction is sum_t a_t (x_t - mean) / sqrt(value). Row i has
         * sqrt(value) a_i of it from the mean, and the mean what all rows have besides.
         */
        for (int64_t t = 0; is_there && keep_mean && t < n; t++) {
            offset += vector[t] * means[t] / size;
        }
        for (int64_t i = 0; i < n; i++) {
            place[i] = is_there ? size * vector[i] + offset : 0.0;
        }
    }
out:
    sl_heap_free(gram);
    sl_heap_free(means);
    sl_heap_free(values);
    sl_heap_free(vectors);
    return status;
}

void sl_features_normalise(struct sl_features *features)
{
    for (int64_t i = 0; i < features->n; i++) {
        float *row = features->values + i * features->d;
        double sum = 0.0;
        for (int c = 0; c < features->d; c++) {
            sum += (double)row[c] * (double)row[c];
        }
        double scale = sum > 0.0 ? 1.0 / sqrt(sum) : 0.0;
        for (int c = 0; c < features->d; c++) {
            row[c] = (float)(row[c] * scale);
        }
    }
}

int sl_features_nearest(const struct sl_features *features, int64_t of, int wanted,
                        int64_t *rows, double *cosines)
{
    int n = 0;
    const float *query = features->values + of * features->d;
    for (int64_t i = 0; i < features->n; i++) {
        const float *row = features->values + i * features->d;
        double cosine = 0.0;
        for (int c = 0; c < features->d; c++) {
            cosine += (double)query[c] * (double)row[c];
        }
        if (i == of || (n == wanted && cosine <= cosines[n - 1])) {
            continue;
        }
        int at = n < wanted ? n++ : n - 1;
        for (; at > 0 && cosines[at - 1] < cosine; at--) {
            rows[at] = rows[at - 1];
            cosines[at] = cosines[at - 1];
        }
        rows[at] = i;
        cosines[at] = cosine;
    }
    return n;
}
