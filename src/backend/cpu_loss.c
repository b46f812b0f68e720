/* SPDX-License-Identifier: MIT */
/*
 * Row losses of the cpu backend: fast copies of the common kinds (CLASS, SOFT, MSE); the
 * rare ones run ref's own function, each thread on rows of its own. Formulae and
 * derivatives stand in ref_loss.c.
 */
#include "backend/cpu_int.h"

#include <math.h>

extern const struct sl_backend sl_backend_ref;

/* ---- rows -------------------------------------------------------------------------- */

/* Row i of a loss. `scale` is weight / N. */
struct row {
    int64_t cols;
    const float *logits, *teacher;
    float *diff; /* NULL: value only */
    bool add;
    double scale;
};

static struct row row_at(const struct sl_row_loss *loss, int64_t i)
{
    const int64_t at = i * loss->stride;
    return (struct row){
        .cols = loss->cols,
        .logits = loss->logits + at,
        .teacher = loss->teacher == NULL ? NULL : loss->teacher + at,
        .diff = loss->diff == NULL ? NULL : loss->diff + at,
        .add = loss->add,
        .scale = (double)loss->weight / (double)loss->rows,
    };
}

/* -log softmax(s / T)_y; derivative (softmax(s / T)_j - 1[j = y]) / T */
static double class_row(const struct sl_cpu_rows *rows, const struct row *row,
                        float temperature, int64_t label)
{
    SL_ASSERT(label >= 0 && label < row->cols);
    const struct sl_cpu_softmax p = rows->softmax(row->cols, row->logits, temperature);
    if (row->diff != NULL) {
        const float factor = (float)(row->scale / (double)temperature);
        rows->softmax_gradient(row->cols, row->logits, &p, factor, row->add, row->diff);
        row->diff[label] -= factor;
    }
    const double own = ((double)row->logits[label] - (double)p.top) / (double)temperature;
    return p.log_sum - own;
}

/* T^2 of the cross entropy; derivative T (p_j - t_j) */
static double soft_row(const struct sl_cpu_rows *rows, const struct row *row,
                       float temperature, float teacher_temperature, double *entropy)
{
    const struct sl_cpu_softmax p = rows->softmax(row->cols, row->logits, temperature);
    const struct sl_cpu_softmax t =
        rows->softmax(row->cols, row->teacher, teacher_temperature);
    double cross = 0.0;
    double self = 0.0;
    rows->cross_entropy(row->cols, row->logits, &p, row->teacher, &t, &cross, &self);
    if (row->diff != NULL) {
        const float factor = (float)(row->scale * (double)temperature);
        rows->cross_gradient(row->cols, row->logits, &p, row->teacher, &t, factor,
                             row->add, row->diff);
    }
    const double square = (double)temperature * (double)temperature;
    *entropy = square * self;
    return square * cross;
}

/* mean of (s - u)^2; derivative 2 / M (s_j - u_j) */
static double mse_row(const struct sl_cpu_rows *rows, const struct row *row)
{
    const float factor = (float)(2.0 * row->scale / (double)row->cols);
    return rows->distance(row->cols, row->logits, row->teacher, factor, row->add,
                          row->diff) /
           (double)row->cols;
}

/* ---- ranges of rows ---------------------------------------------------------------- */

static int64_t label_of(const struct sl_row_loss *loss, int64_t i)
{
    return loss->labels == NULL ? 0 : loss->labels[i];
}

/* Whether the target is strictly greater than every other column. */
static bool is_first(const struct sl_cpu_rows *rows, const struct row *row, int64_t label)
{
    return rows->count_below(row->cols, row->logits, row->logits[label]) == row->cols - 1;
}

/* Sums, not yet means, over the range. */
static struct sl_row_loss_result own_range(const struct sl_cpu_rows *rows,
                                           const struct sl_row_loss *loss,
                                           struct sl_cpu_range range)
{
    struct sl_row_loss_result sum = {0};
    for (int64_t i = range.begin; i < range.end; i++) {
        const struct row row = row_at(loss, i);
        double entropy = 0.0;
        switch (loss->kind) {
        case SL_LOSS_CLASS:
            sum.value += class_row(rows, &row, loss->temperature, label_of(loss, i));
            sum.first += is_first(rows, &row, label_of(loss, i)) ? 1 : 0;
            break;
        case SL_LOSS_SOFT:
            sum.value += soft_row(rows, &row, loss->temperature,
                                  loss->teacher_temperature, &entropy);
            sum.teacher_entropy += entropy;
            break;
        case SL_LOSS_MSE:
            sum.value += mse_row(rows, &row);
            break;
        default:
            SL_ASSERT(false);
        }
    }
    return sum;
}

/* The range as a loss of its own for ref: its mean is over fewer rows, which the weight
 * makes up for. */
static struct sl_row_loss_result ref_range(const struct sl_row_loss *loss,
                                           struct sl_cpu_range range)
{
    const int64_t rows = range.end - range.begin;
    struct sl_row_loss_result result = {0};
    if (rows == 0) {
        return result;
    }
    struct sl_row_loss part = *loss;
    part.rows = rows;
    part.logits += range.begin * loss->stride;
    part.teacher += range.begin * loss->stride;
    part.labels = loss->labels == NULL ? NULL : loss->labels + range.begin;
    if (part.diff != NULL) {
        part.diff += range.begin * loss->stride;
    }
    if (part.scratch != NULL) {
        part.scratch += 4 * range.begin;
    }
    part.weight = (float)((double)loss->weight * (double)rows / (double)loss->rows);
    sl_backend_ref.row_loss(NULL, &part, &result);
    result.value *= (double)rows;
    result.teacher_entropy *= (double)rows;
    return result;
}

struct loss_call {
    const struct sl_cpu_rows *rows;
    const struct sl_row_loss *loss;
    struct sl_row_loss_result *results; /* of each part */
};

static void loss_range(const void *context, struct sl_cpu_range range, int part)
{
    const struct loss_call *call = context;
    const bool rare = call->loss->kind == SL_LOSS_ATKD || call->loss->kind == SL_LOSS_DKD;
    call->results[part] =
        rare ? ref_range(call->loss, range) : own_range(call->rows, call->loss, range);
}

void sl_cpu_row_loss(void *opened, const struct sl_row_loss *loss,
                     struct sl_row_loss_result *result)
{
    const struct sl_cpu_state *state = opened;
    struct sl_row_loss_result parts[SL_CPU_THREADS_MAX] = {{0}};
    SL_ASSERT(loss->rows > 0 && loss->cols > 0 && loss->stride >= loss->cols);
    SL_ASSERT(loss->kind == SL_LOSS_CLASS || loss->teacher != NULL);
    const struct loss_call call = {.rows = state->rows, .loss = loss, .results = parts};
    sl_cpu_split(state, loss->rows, loss_range, &call);
    *result = (struct sl_row_loss_result){0};
    for (int t = 0; t < state->threads; t++) {
        result->value += parts[t].value;
        result->teacher_entropy += parts[t].teacher_entropy;
        result->first += parts[t].first;
    }
    result->value /= (double)loss->rows;
    result->teacher_entropy /= (double)loss->rows;
}
