/* SPDX-License-Identifier: MIT */
/*
 * Row losses of the reference backend: each kind is one function with the formula of the
 * value and of its derivative above the lines that compute them. N = rows, M = columns, s
 * = a row of logits, u = the teacher's row, a constant. What they are for,
 * docs/methods.md says.
 *
 * Student and teacher go through the same function, so that equal rows and temperatures
 * give a derivative of exactly 0.
 */
#include "backend/ref_int.h"

#include <math.h>

/* softmax(x / T) of a row: p_j = exp((x_j - top) / T) / sum, log p_j = (x_j - top) / T -
 * log_sum */
struct softmax {
    const real *x;
    double temperature, top, sum, log_sum;
};

/* Over all columns but `without` (-1: over all). */
static struct softmax softmax_of(const real *x, int64_t cols, int64_t without,
                                 double temperature)
{
    const int64_t first = without == 0 ? 1 : 0;
    struct softmax s = {.x = x, .temperature = temperature, .top = (double)x[first]};
    for (int64_t j = first + 1; j < cols; j++) {
        /* a NaN must win, so that the value shows it */
        if (j != without && !((double)x[j] <= s.top)) {
            s.top = (double)x[j];
        }
    }
    for (int64_t j = first; j < cols; j++) {
        s.sum += j == without ? 0.0 : exp(((double)x[j] - s.top) / temperature);
    }
    s.log_sum = log(s.sum);
    return s;
}

static double softmax_p(const struct softmax *s, int64_t j)
{
    return exp(((double)s->x[j] - s->top) / s->temperature) / s->sum;
}

static double softmax_log(const struct softmax *s, int64_t j)
{
    return ((double)s->x[j] - s->top) / s->temperature - s->log_sum;
}

/* One row's part of a loss. The value is the row's own, before the mean over rows;
 * `scale` is weight / N, the factor of the gradient. */
struct row {
    int64_t cols;
    const real *logits, *teacher;
    real *diff; /* NULL: value only */
    bool add;
    double scale;
};

static void put_gradient(const struct row *row, int64_t j, double derivative)
{
    ref_put(&row->diff[j], row->add, (real)(row->scale * derivative));
}

/* ---- CLASS: contrast with the positive in one column, or classes ------------------- */

/* L = -log softmax(s / T)_y
 * dL/ds_j = (softmax(s / T)_j - 1[j = y]) / T */
static double class_row(const struct row *row, double temperature, int64_t label)
{
    struct softmax p = softmax_of(row->logits, row->cols, -1, temperature);
    for (int64_t j = 0; row->diff != NULL && j < row->cols; j++) {
        put_gradient(row, j, (softmax_p(&p, j) - (j == label ? 1.0 : 0.0)) / temperature);
    }
    return -softmax_log(&p, label);
}

/* Whether the target is strictly greater than every other column. */
static bool is_first(const real *logits, int64_t cols, int64_t label)
{
    for (int64_t j = 0; j < cols; j++) {
        if (j != label && !(logits[label] > logits[j])) {
            return false;
        }
    }
    return true;
}

/* ---- SOFT: distillation, SEED's (arXiv 2101.04731) --------------------------------- */

/* D = -T^2 sum_j t_j log p_j        t = softmax(u / T_u), p = softmax(s / T)
 * dD/ds_j = T (p_j - t_j)
 * D - T^2 H(t) = T^2 KL(t || p), H(t) = -sum_j t_j log t_j */
static double soft_row(const struct row *row, double temperature,
                       double teacher_temperature, double *entropy)
{
    struct softmax p = softmax_of(row->logits, row->cols, -1, temperature);
    struct softmax t = softmax_of(row->teacher, row->cols, -1, teacher_temperature);
    double cross = 0.0;
    double self = 0.0;
    for (int64_t j = 0; j < row->cols; j++) {
        double t_j = softmax_p(&t, j);
        cross -= t_j * softmax_log(&p, j);
        self -= t_j * softmax_log(&t, j);
        if (row->diff != NULL) {
            put_gradient(row, j, temperature * (softmax_p(&p, j) - t_j));
        }
    }
    *entropy = temperature * temperature * self;
    return temperature * temperature * cross;
}

/* ---- MSE --------------------------------------------------------------------------- */

/* L = 1/M sum_j (s_j - u_j)^2
 * dL/ds_j = 2/M (s_j - u_j) */
static double mse_row(const struct row *row)
{
    const double share = 1.0 / (double)row->cols;
    double squares = 0.0;
    for (int64_t j = 0; j < row->cols; j++) {
        double distance = (double)row->logits[j] - (double)row->teacher[j];
        squares += distance * distance;
        if (row->diff != NULL) {
            put_gradient(row, j, 2.0 * share * distance);
        }
    }
    return share * squares;
}

/* ---- ATKD: logits standardised by rows --------------------------------------------- */

static const double atkd_epsilon = 1e-5;
static const double atkd_spread = 2.0;
static const double atkd_temperature = 4.0;

/* z_j = (x_j - mean) inverse, inverse = 1 / sqrt(variance + eps), a_j = 2 z_j, and
 * softmax(a / 4): log p_j = a_j / 4 - log_sum. |z| is at most sqrt(M), so that exp needs
 * no shift up to two million columns. */
struct standard {
    const real *x;
    double mean, inverse, log_sum;
};

static double standard_z(const struct standard *s, int64_t j)
{
    return ((double)s->x[j] - s->mean) * s->inverse;
}

static double standard_log(const struct standard *s, int64_t j)
{
    return atkd_spread / atkd_temperature * standard_z(s, j) - s->log_sum;
}

static struct standard standard_of(const real *x, int64_t cols)
{
    struct standard s = {.x = x};
    for (int64_t j = 0; j < cols; j++) {
        s.mean += (double)x[j];
    }
    s.mean /= (double)cols;
    double variance = 0.0;
    for (int64_t j = 0; j < cols; j++) {
        double distance = (double)x[j] - s.mean;
        variance += distance * distance;
    }
    s.inverse = 1.0 / sqrt(variance / (double)cols + atkd_epsilon);
    double sum = exp(standard_log(&s, 0)); /* log_sum is still 0 */
    for (int64_t j = 1; j < cols; j++) {
        sum += exp(standard_log(&s, j));
    }
    s.log_sum = log(sum);
    return s;
}

/* L = 16 sum_j t_j (log t_j - log p_j)     t, p = softmax(a / 4) of teacher and student
 * dL/da_j = 16 / 4 (p_j - t_j),  dL/dz_j = e_j = 2 dL/da_j
 * dL/ds_j = inverse (e_j - mean(e) - z_j mean(e z)) */
static double atkd_row(const struct row *row)
{
    const double square = atkd_temperature * atkd_temperature;
    const double slope = square * atkd_spread / atkd_temperature;
    struct standard p = standard_of(row->logits, row->cols);
    struct standard t = standard_of(row->teacher, row->cols);
    double divergence = 0.0;
    double mean_e = 0.0;
    double mean_ez = 0.0;
    for (int64_t j = 0; j < row->cols; j++) {
        double log_p = standard_log(&p, j);
        double log_t = standard_log(&t, j);
        double e = slope * (exp(log_p) - exp(log_t));
        divergence += exp(log_t) * (log_t - log_p);
        mean_e += e / (double)row->cols;
        mean_ez += e * standard_z(&p, j) / (double)row->cols;
    }
    for (int64_t j = 0; row->diff != NULL && j < row->cols; j++) {
        double e = slope * (exp(standard_log(&p, j)) - exp(standard_log(&t, j)));
        put_gradient(row, j, p.inverse * (e - mean_e - standard_z(&p, j) * mean_ez));
    }
    return square * divergence;
}

/* ---- DKD: target and rest apart ---------------------------------------------------- */

static const double dkd_target_weight = 1.0;
static const double dkd_rest_weight = 0.5;

/* A row seen in two ways: the target y against all the rest together, and the rest among
 * themselves, which is what suppressing the target by -1000 leaves. */
struct decoupled {
    struct softmax rest;
    double log_target, log_rest; /* of the two-way distribution */
};

static struct decoupled decoupled_of(const real *x, int64_t cols, int64_t label)
{
    struct decoupled d = {.rest = softmax_of(x, cols, label, 1.0)};
    double target = (double)x[label];
    double rest = d.rest.top + d.rest.log_sum; /* log sum of the others' exponentials */
    double top = target > rest ? target : rest;
    double log_both = top + log(exp(target - top) + exp(rest - top));
    d.log_target = target - log_both;
    d.log_rest = rest - log_both;
    return d;
}

/* L = 1.0 TCKD + 0.5 NCKD
 * TCKD = t_y log(t_y / p_y) + t_r log(t_r / p_r)           two-way: target, rest
 * NCKD = sum_{j!=y} v_j log(v_j / r_j)                     v, r = softmax over the rest
 * dTCKD/ds_y = p_y - t_y;  dTCKD/ds_j = (p_r - t_r) r_j    since d log(sum of rest)/ds_j
 * = r_j dNCKD/ds_y = 0;          dNCKD/ds_j = r_j - v_j */
static double dkd_row(const struct row *row, int64_t label)
{
    struct decoupled p = decoupled_of(row->logits, row->cols, label);
    struct decoupled t = decoupled_of(row->teacher, row->cols, label);
    const double t_y = exp(t.log_target);
    const double t_r = exp(t.log_rest);
    const double target =
        t_y * (t.log_target - p.log_target) + t_r * (t.log_rest - p.log_rest);
    const double diff_target = exp(p.log_target) - t_y;
    const double diff_rest = exp(p.log_rest) - t_r;
    if (row->diff != NULL) {
        put_gradient(row, label, dkd_target_weight * diff_target);
    }
    double rest = 0.0;
    for (int64_t j = 0; j < row->cols; j++) {
        if (j == label) {
            continue;
        }
        double v = softmax_p(&t.rest, j);
        double r = softmax_p(&p.rest, j);
        rest += v * (softmax_log(&t.rest, j) - softmax_log(&p.rest, j));
        if (row->diff != NULL) {
            put_gradient(row, j,
                         dkd_target_weight * diff_rest * r + dkd_rest_weight * (r - v));
        }
    }
    return dkd_target_weight * target + dkd_rest_weight * rest;
}

/* ---- all rows ---------------------------------------------------------------------- */

static void check_loss(const struct sl_row_loss *loss)
{
    SL_ASSERT(loss->rows > 0 && loss->cols > 0 && loss->stride >= loss->cols);
    SL_ASSERT(loss->kind == SL_LOSS_CLASS || loss->teacher != NULL);
    if (loss->kind == SL_LOSS_CLASS || loss->kind == SL_LOSS_SOFT) {
        SL_ASSERT(loss->temperature > 0.0f);
    }
    if (loss->kind == SL_LOSS_SOFT) {
        SL_ASSERT(loss->teacher_temperature > 0.0f);
    }
    if (loss->kind == SL_LOSS_DKD) {
        SL_ASSERT(loss->cols >= 2);
    }
}

static int64_t label_of(const struct sl_row_loss *loss, int64_t i)
{
    int64_t label = loss->labels == NULL ? 0 : loss->labels[i];
    SL_ASSERT(label >= 0 && label < loss->cols);
    return label;
}

/* Value of row i; its part of the other results is added. */
static double one_row(const struct sl_row_loss *loss, int64_t i, const struct row *row,
                      struct sl_row_loss_result *result)
{
    double entropy = 0.0;
    double value = 0.0;
    switch (loss->kind) {
    case SL_LOSS_CLASS:
        result->first += is_first(row->logits, row->cols, label_of(loss, i)) ? 1 : 0;
        return class_row(row, (double)loss->temperature, label_of(loss, i));
    case SL_LOSS_SOFT:
        value = soft_row(row, (double)loss->temperature,
                         (double)loss->teacher_temperature, &entropy);
        result->teacher_entropy += entropy / (double)loss->rows;
        return value;
    case SL_LOSS_MSE:
        return mse_row(row);
    case SL_LOSS_ATKD:
        return atkd_row(row);
    case SL_LOSS_DKD:
        return dkd_row(row, label_of(loss, i));
    }
    SL_ASSERT(false);
    return 0.0;
}

void SL_REF(row_loss)(void *state SL_UNUSED, const struct sl_row_loss *loss,
                      struct sl_row_loss_result *result)
{
    check_loss(loss);
    *result = (struct sl_row_loss_result){0};
    const double n = (double)loss->rows;
    for (int64_t i = 0; i < loss->rows; i++) {
        const int64_t at = i * loss->stride;
        const struct row row = {
            .cols = loss->cols,
            .logits = ref_in(loss->logits) + at,
            .teacher = loss->teacher == NULL ? NULL : ref_in(loss->teacher) + at,
            .diff = loss->diff == NULL ? NULL : ref_out(loss->diff) + at,
            .add = loss->add,
            .scale = (double)loss->weight / n,
        };
        result->value += one_row(loss, i, &row, result) / n;
    }
}
