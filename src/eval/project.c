/* SPDX-License-Identifier: MIT */
/*
 * Vectors for people to look at: their places on the plane that holds most of their
 * spread (the first two principal components), and which of them are most alike. Exact
 * for the few hundred that fit a picture, by the Gram matrix; nothing random.
 */
#include "eval/eval.h"

#include <math.h>
#include <string.h>

enum { ROUNDS = 600 };

static double dot(const double *a, const double *b, int64_t n)
{
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++) {
        sum += a[i] * b[i];
    }
    return sum;
}

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

/* The leading eigenvector of a symmetric matrix by power iteration, at right angles to
 * `before` (NULL = none); its eigenvalue. */
static double leading(int64_t n, const double *matrix, const double *before,
                      double *vector, double *next)
{
    double value = 0.0;
    for (int64_t i = 0; i < n; i++) { /* no data is at right angles to it by chance */
        vector[i] =
            1.0 + 0.37 * (double)(i % 7) + 1e-3 * (double)i * (i % 2 ? 1.0 : -1.0);
    }
    for (int round = 0; round < ROUNDS; round++) {
        double along = before != NULL ? dot(vector, before, n) : 0.0;
        for (int64_t i = 0; before != NULL && i < n; i++) {
            vector[i] -= along * before[i];
        }
        double size = sqrt(dot(vector, vector, n));
        if (!(size > 0.0)) {
            return 0.0;
        }
        for (int64_t i = 0; i < n; i++) {
            vector[i] /= size;
        }
        for (int64_t i = 0; i < n; i++) {
            next[i] = dot(matrix + i * n, vector, n);
        }
        double now = dot(next, vector, n);
        bool is_done = fabs(now - value) <= 1e-13 * fabs(now);
        value = now;
        if (is_done || !(value > 0.0)) {
            break;
        }
        memcpy(vector, next, (size_t)n * sizeof *vector);
    }
    double size = sqrt(dot(vector, vector, n));
    int64_t largest = 0;
    for (int64_t i = 0; i < n; i++) {
        largest = fabs(vector[i]) > fabs(vector[largest]) ? i : largest;
    }
    /* Of the two signs the one in which the largest entry is positive. */
    double scale = (vector[largest] < 0.0 ? -1.0 : 1.0) / (size > 0.0 ? size : 1.0);
    for (int64_t i = 0; i < n; i++) {
        vector[i] *= scale;
    }
    return value;
}

/* Inner products of the rows without their mean, from those with it. */
static void centre_gram(int64_t n, const double *gram, double *means, double *centred)
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
            centred[i * n + k] = gram[i * n + k] - means[i] - means[k] + mean;
        }
    }
}

enum sl_status sl_project(struct sl_error *err, int64_t n, int64_t d, const float *rows,
                          bool keep_mean, double *x, double *y, double share[2])
{
    enum sl_status status = SL_OK;
    double *gram = NULL, *centred = NULL, *means = NULL, *vectors = NULL;
    double total = 0.0;
    share[0] = share[1] = 0.0;
    SL_TRY_OUT(sl_heap_alloc(err, "projection", n * n, sizeof *gram, &gram));
    SL_TRY_OUT(sl_heap_alloc(err, "projection", n * n, sizeof *centred, &centred));
    SL_TRY_OUT(sl_heap_alloc(err, "projection", n, sizeof *means, &means));
    SL_TRY_OUT(sl_heap_alloc(err, "projection", 3 * n, sizeof *vectors, &vectors));
    fill_gram(n, d, rows, gram);
    centre_gram(n, gram, means, centred);
    for (int64_t i = 0; i < n; i++) {
        total += centred[i * n + i];
    }
    if (!isfinite(total)) {
        status = SL_FAIL(err, SL_ERROR_NUMBERS, "a vector to be drawn is not finite");
        goto out;
    }
    for (int part = 0; part < 2; part++) {
        double *vector = vectors + part * n;
        double *place = part == 0 ? x : y;
        double value = total > 0.0 ? leading(n, centred, part == 1 ? vectors : NULL,
                                             vector, vectors + 2 * n)
                                   : 0.0;
        bool is_there = value > 1e-12 * total && value > 0.0;
        share[part] = is_there ? value / total : 0.0;
        /* The unit direction is sum_t a_t (x_t - mean) / sqrt(value). */
        for (int64_t i = 0; i < n; i++) {
            double sum = 0.0;
            for (int64_t t = 0; is_there && t < n; t++) {
                sum += vector[t] *
                       (keep_mean ? gram[i * n + t] - means[i] : centred[i * n + t]);
            }
            place[i] = is_there ? sum / sqrt(value) : 0.0;
        }
    }
out:
    sl_heap_free(gram);
    sl_heap_free(centred);
    sl_heap_free(means);
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
