/* SPDX-License-Identifier: MIT */
/*
 * What it costs when widths share one linear probe, in closed form (docs/analyse.md):
 * ridge least squares on one-hot targets, a private probe for each width against one
 * of which every width uses its rows. With X = [X1 X2] the full width's features, its
 * optimum has T1 = (X1'X1)^-1 X1'(Y - X2 T2): right for a narrower width on X1 only where
 * X1'X2 T2 vanishes, and that width's own features are not even X1. Rows are (1, x), so
 * that row 0 of a probe is its bias. X1 are the full width's features at the channels
 * that the narrower width has: the first ones, but where slices are disjoint.
 */
#include "analyse/analyse.h"

#include <math.h>
#include <string.h>

enum { ROWS = 256 };

/* One width's normal equations and probes. */
struct part {
    const struct sl_features *train, *test;
    int n;         /* 1 + d unknowns */
    int first;     /* of its features among the full width's */
    double *gram;  /* (n, n): X'X, lower triangle */
    double *cross; /* (n, classes): X'Y */
    double *own;   /* (n, classes) */
};

struct ridge {
    const struct sl_ridge_config *config;
    int n_widths, classes;
    int64_t n_rows; /* labelled train rows */
    struct part part[SL_WIDTHS_MAX];
    double *shared;  /* (n of the full width, classes) */
    double *columns; /* (n of the full width, ROWS): rows of X turned over */
    double *work;    /* (n, n) of the full width: a factor */
};

static bool labelled(const struct ridge *ridge, const struct sl_features *features,
                     int64_t i)
{
    return features->labels[i] >= 0 && features->labels[i] < ridge->classes;
}

/* The full width's unknown that is the i-th of a width whose features begin at `first`
 * there. Rises with i. */
static int place(int first, int i)
{
    return i == 0 ? 0 : first + i;
}

/* ---- normal equations -------------------------------------------------------------- */

static enum sl_status add_rows(struct sl_error *err, struct ridge *ridge,
                               struct part *part)
{
    const struct sl_features *train = part->train;
    int classes = ridge->classes;
    int filled = 0;
    for (int64_t i = 0; i < train->n; i++) {
        const float *x = train->values + i * train->d;
        if (labelled(ridge, train, i)) {
            double *to = part->cross + train->labels[i];
            for (int c = 0; c < part->n; c++) {
                double value = c == 0 ? 1.0 : (double)x[c - 1];
                ridge->columns[(int64_t)c * ROWS + filled] = value;
                to[(int64_t)c * classes] += value;
                if (!isfinite(value)) {
                    return SL_FAIL(err, SL_ERROR_NUMBERS,
                                   "probes: the features of picture %d are not finite; "
                                   "is the model damaged, or did its training diverge?",
                                   (int)train->ids[i]);
                }
            }
            filled++;
        }
        if (filled == ROWS || (filled > 0 && i + 1 == train->n)) {
            sl_gram_add(part->n, filled, ridge->columns, ROWS, part->gram);
            filled = 0;
        }
    }
    return SL_OK;
}

/* The best probe on the n unknowns of normal equations that begin at `first`: the
 * solution of (G + ridge I) T = C into `probe`. */
static enum sl_status solve(struct sl_error *err, struct ridge *ridge, int n, int first,
                            const double *gram, int64_t stride, const double *cross,
                            double *probe)
{
    size_t row = (size_t)ridge->classes * sizeof *probe;
    for (int i = 0; i < n; i++) {
        const double *from = gram + place(first, i) * stride;
        double *to = ridge->work + (int64_t)i * n;
        to[0] = from[0];
        memcpy(to + 1, from + first + 1, (size_t)i * sizeof *gram);
        to[i] += ridge->config->ridge;
    }
    SL_TRY(sl_cholesky_factor(err, n, ridge->work));
    memcpy(probe, cross, row);
    memcpy(probe + ridge->classes, cross + ((int64_t)first + 1) * ridge->classes,
           ((size_t)n - 1) * row);
    sl_cholesky_solve(n, ridge->work, ridge->classes, probe);
    return SL_OK;
}

/* Sum over the widths of weight |Y - X_i T|^2, each on its rows of T. */
static enum sl_status solve_shared(struct sl_error *err, struct ridge *ridge)
{
    enum sl_status status = SL_OK;
    int n = ridge->part[0].n;
    int classes = ridge->classes;
    double *gram = NULL;
    double *cross = NULL;
    SL_TRY_OUT(sl_heap_alloc(err, "shared probe", (int64_t)n * n, sizeof *gram, &gram));
    SL_TRY_OUT(
        sl_heap_alloc(err, "shared probe", (int64_t)n * classes, sizeof *cross, &cross));
    for (int w = 0; w < ridge->n_widths; w++) {
        const struct part *part = &ridge->part[w];
        double weight = ridge->config->weights[w];
        for (int i = 0; i < part->n; i++) {
            int64_t row = place(part->first, i);
            for (int j = 0; j <= i; j++) {
                gram[row * n + place(part->first, j)] +=
                    weight * part->gram[(int64_t)i * part->n + j];
            }
            for (int c = 0; c < classes; c++) {
                cross[row * classes + c] +=
                    weight * part->cross[(int64_t)i * classes + c];
            }
        }
    }
    SL_TRY_OUT(solve(err, ridge, n, 0, gram, n, cross, ridge->shared));
out:
    sl_heap_free(gram);
    sl_heap_free(cross);
    return status;
}

/* ---- judging ----------------------------------------------------------------------- */

/* Scores of one row into `scores`, by a probe whose unknowns for it begin at `first`. */
static void classify(const struct ridge *ridge, const struct sl_features *features,
                     int64_t row, const double *probe, int first, double *scores)
{
    int classes = ridge->classes;
    const float *x = features->values + row * features->d;
    memcpy(scores, probe, (size_t)classes * sizeof *scores);
    for (int c = 0; c < features->d; c++) {
        const double *weights = probe + (int64_t)place(first, c + 1) * classes;
        for (int k = 0; k < classes; k++) {
            scores[k] += (double)x[c] * weights[k];
        }
    }
}

/* Top-1 accuracy on the test rows; equal scores rank by number. */
static double accuracy(const struct ridge *ridge, const struct part *part,
                       const double *probe, int first, double *scores)
{
    int64_t right = 0;
    int64_t judged = 0;
    for (int64_t i = 0; i < part->test->n; i++) {
        if (!labelled(ridge, part->test, i)) {
            continue;
        }
        classify(ridge, part->test, i, probe, first, scores);
        int best = 0;
        for (int k = 1; k < ridge->classes; k++) {
            best = scores[k] > scores[best] ? k : best;
        }
        right += best == part->test->labels[i];
        judged++;
    }
    return (double)right / (double)judged;
}

/* Mean squared error on the train rows, over rows and classes. */
static double loss(const struct ridge *ridge, const struct part *part,
                   const double *probe, int first, double *scores)
{
    double sum = 0.0;
    for (int64_t i = 0; i < part->train->n; i++) {
        if (!labelled(ridge, part->train, i)) {
            continue;
        }
        classify(ridge, part->train, i, probe, first, scores);
        for (int k = 0; k < ridge->classes; k++) {
            double off = scores[k] - (k == part->train->labels[i] ? 1.0 : 0.0);
            sum += off * off;
        }
    }
    return sum / ((double)ridge->n_rows * ridge->classes);
}

static double norm(int64_t n, const double *a)
{
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++) {
        sum += a[i] * a[i];
    }
    return sqrt(sum);
}

/* |X1' X2 T2| / |X1' Y|: X1 of the full width's unknowns those that the part has. */
static double coupling(const struct ridge *ridge, const struct part *part, double *row)
{
    const struct part *full = &ridge->part[0];
    int64_t n = full->n;
    int classes = ridge->classes;
    int begin = part->first + 1;
    int end = part->first + part->n;
    double squares = 0.0;
    double targets = 0.0;
    for (int p = 0; p < part->n; p++) {
        int i = place(part->first, p);
        memset(row, 0, (size_t)classes * sizeof *row);
        for (int j = 1; j < n; j++) {
            bool is_own = j >= begin && j < end;
            double product = full->gram[j > i ? j * n + i : i * n + j];
            const double *weights = full->own + (int64_t)j * classes;
            for (int k = 0; k < classes && !is_own; k++) {
                row[k] += product * weights[k];
            }
        }
        double length = norm(classes, row);
        double target = norm(classes, full->cross + (int64_t)i * classes);
        squares += length * length;
        targets += target * target;
    }
    return sqrt(squares / targets);
}

/* |X^ - X1| / |X1| over the labelled train rows. */
static double feature_gap(const struct ridge *ridge, const struct part *part)
{
    const struct sl_features *full = ridge->part[0].train;
    double off = 0.0;
    double size = 0.0;
    for (int64_t i = 0; i < full->n; i++) {
        for (int c = 0; labelled(ridge, full, i) && c < part->train->d; c++) {
            double x = (double)full->values[i * full->d + part->first + c];
            double d = (double)part->train->values[i * part->train->d + c] - x;
            off += d * d;
            size += x * x;
        }
    }
    return size > 0.0 ? sqrt(off / size) : 0.0;
}

/* |T1 - T| / |T|, T the best probe on X1 alone. */
static enum sl_status prefix_shift(struct sl_error *err, struct ridge *ridge,
                                   const struct part *part, double *shift)
{
    const struct part *full = &ridge->part[0];
    int classes = ridge->classes;
    int64_t count = (int64_t)part->n * classes;
    double *best = NULL;
    enum sl_status status = SL_OK;
    SL_TRY(sl_heap_alloc(err, "probe", count, sizeof *best, &best));
    SL_TRY_OUT(
        solve(err, ridge, part->n, part->first, full->gram, full->n, full->cross, best));
    double size = norm(count, best);
    for (int i = 0; i < part->n; i++) {
        const double *own = full->own + (int64_t)place(part->first, i) * classes;
        for (int k = 0; k < classes; k++) {
            best[(int64_t)i * classes + k] -= own[k];
        }
    }
    *shift = size > 0.0 ? norm(count, best) / size : 0.0;
out:
    sl_heap_free(best);
    return status;
}

/* ---- the whole --------------------------------------------------------------------- */

static enum sl_status check(struct sl_error *err, struct ridge *ridge)
{
    int64_t judged = 0;
    const struct part *full = &ridge->part[0];
    for (int w = 0; w < ridge->n_widths; w++) {
        const struct part *part = &ridge->part[w];
        SL_ASSERT(part->train->n == full->train->n && part->test->n == full->test->n &&
                  part->train->d == part->test->d && part->train->first >= 0 &&
                  part->train->first + part->train->d <= full->train->d);
    }
    for (int64_t i = 0; i < full->train->n; i++) {
        ridge->n_rows += labelled(ridge, full->train, i);
    }
    for (int64_t i = 0; i < full->test->n; i++) {
        judged += labelled(ridge, full->test, i);
    }
    if (ridge->n_rows == 0 || judged == 0) {
        return SL_FAIL(err, SL_ERROR_DATA,
                       "probes: no labelled picture in the train or in the test part");
    }
    return SL_OK;
}

static enum sl_status open_part(struct sl_error *err, struct ridge *ridge,
                                struct part *part)
{
    int64_t n = part->n;
    SL_TRY(
        sl_heap_alloc(err, "products of features", n * n, sizeof(double), &part->gram));
    SL_TRY(sl_heap_alloc(err, "products with the targets", n * ridge->classes,
                         sizeof(double), &part->cross));
    SL_TRY(sl_heap_alloc(err, "probe", n * ridge->classes, sizeof(double), &part->own));
    SL_TRY(add_rows(err, ridge, part));
    return solve(err, ridge, part->n, 0, part->gram, n, part->cross, part->own);
}

static enum sl_status judge(struct sl_error *err, struct ridge *ridge,
                            struct sl_ridge_width *result)
{
    enum sl_status status = SL_OK;
    double *scores = NULL;
    SL_TRY(sl_heap_alloc(err, "scores", ridge->classes, sizeof *scores, &scores));
    for (int w = 0; w < ridge->n_widths; w++) {
        const struct part *part = &ridge->part[w];
        const double *prefix = ridge->part[0].own;
        int first = part->first;
        result[w] = (struct sl_ridge_width){
            .own_acc = accuracy(ridge, part, part->own, 0, scores),
            .shared_acc = accuracy(ridge, part, ridge->shared, first, scores),
            .prefix_acc = accuracy(ridge, part, prefix, first, scores),
            .own_loss = loss(ridge, part, part->own, 0, scores),
            .shared_loss = loss(ridge, part, ridge->shared, first, scores),
            .prefix_loss = loss(ridge, part, prefix, first, scores),
        };
        if (w > 0) {
            result[w].coupling = coupling(ridge, part, scores);
            result[w].gap = feature_gap(ridge, part);
            SL_TRY_OUT(prefix_shift(err, ridge, part, &result[w].shift));
        }
    }
out:
    sl_heap_free(scores);
    return status;
}

enum sl_status sl_ridge_compare(struct sl_error *err,
                                const struct sl_ridge_config *config, int n_widths,
                                const struct sl_features *train,
                                const struct sl_features *test,
                                struct sl_ridge_width *result)
{
    enum sl_status status = SL_OK;
    struct ridge ridge = {
        .config = config, .n_widths = n_widths, .classes = config->n_classes};
    for (int w = 0; w < n_widths; w++) {
        ridge.part[w] = (struct part){.train = &train[w],
                                      .test = &test[w],
                                      .n = 1 + train[w].d,
                                      .first = train[w].first};
    }
    int64_t n = ridge.part[0].n;
    SL_TRY_OUT(check(err, &ridge));
    SL_TRY_OUT(sl_heap_alloc(err, "rows", n * ROWS, sizeof(double), &ridge.columns));
    SL_TRY_OUT(sl_heap_alloc(err, "linear system", n * n, sizeof(double), &ridge.work));
    SL_TRY_OUT(sl_heap_alloc(err, "shared probe", n * ridge.classes, sizeof(double),
                             &ridge.shared));
    for (int w = 0; w < n_widths; w++) {
        SL_TRY_OUT(open_part(err, &ridge, &ridge.part[w]));
    }
    SL_TRY_OUT(solve_shared(err, &ridge));
    SL_TRY_OUT(judge(err, &ridge, result));
out:
    for (int w = 0; w < n_widths; w++) {
        sl_heap_free(ridge.part[w].gram);
        sl_heap_free(ridge.part[w].cross);
        sl_heap_free(ridge.part[w].own);
    }
    sl_heap_free(ridge.columns);
    sl_heap_free(ridge.work);
    sl_heap_free(ridge.shared);
    return status;
}
