/* SPDX-License-Identifier: MIT */
/*
 * Batch norm of the cpu backend, forward and backward with its tails, in loops of our own
 * (cpu_rows_body.h): all of it is bound by memory, so each direction reads its inputs
 * twice and writes once. Pooling is not here but in cpu_pool.c.
 *
 * The variance comes from one reading: sums of (x - s) and (x - s)^2 around a shift s
 * near the mean, so that nothing cancels.
 */
#include "backend/cpu_int.h"

#include <math.h>
#include <string.h>

/* Rows whose mean is the shift. */
enum { SHIFT_ROWS = 32 };

/* Elements below which waking other threads costs more than it saves. */
enum { SERIAL_BELOW = 8192 };

/* ---- prepare ----------------------------------------------------------------------- */

static int64_t greatest_divisor(int64_t a, int64_t b)
{
    while (b != 0) {
        const int64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* A multiple of c that is also one of 16 floats (a cache line), long enough for the
 * vector units; c itself where that would be long. */
static struct sl_cpu_tile tile_of(int64_t c)
{
    enum { LINE = 16, LONG_ENOUGH = 256, TOO_LONG = 8192 };
    int64_t length = c / greatest_divisor(c, LINE) * LINE;
    if (length > TOO_LONG) {
        length = c;
    }
    while (length < LONG_ENOUGH) {
        length *= 2;
    }
    return (struct sl_cpu_tile){.c = c, .length = length};
}

/* Scratch of one call. */
struct room {
    float *constants[5]; /* numbers of the channels, repeated over the tile */
    double *sums;        /* (threads, sums_stride) */
    int64_t sums_stride;
    float *work; /* (threads, 2 * length) */
};

/* With scratch NULL the room is only measured. */
static size_t room_in(const struct sl_cpu_state *state, const struct sl_cpu_tile *tile,
                      char *scratch, struct room *room)
{
    size_t used = 0;
    const size_t constant = sl_cpu_round((size_t)tile->length * sizeof(float));
    const size_t sums = sl_cpu_round(2 * (size_t)tile->c * sizeof(double));
    const size_t threads = (size_t)state->threads;
    *room = (struct room){.sums_stride = (int64_t)(sums / sizeof(double))};
    if (scratch != NULL) {
        for (int i = 0; i < SL_COUNT(room->constants); i++) {
            room->constants[i] = (float *)(scratch + (size_t)i * constant);
        }
    }
    used += SL_COUNT(room->constants) * constant;
    if (scratch != NULL) {
        room->sums = (double *)(scratch + used);
    }
    used += threads * sums;
    if (scratch != NULL) {
        room->work = (float *)(scratch + used);
    }
    return used + threads * 2 * constant;
}

static enum sl_status norm_prepare(struct sl_error *err SL_UNUSED,
                                   struct sl_cpu_state *state, struct sl_prepared *op,
                                   struct sl_op_sizes *sizes)
{
    const struct sl_op_desc *d = &op->desc;
    struct room room;
    op->tile = tile_of(d->src_c);
    if (d->batch_statistics) {
        sizes->workspace = 3 * (size_t)d->groups * (size_t)d->src_c * sizeof(float);
    }
    sizes->scratch = room_in(state, &op->tile, NULL, &room);
    sizes->backward_reads_src = d->backward;
    /* What a ReLU alone let through is worked out again from src, which is read anyway.
     */
    sizes->backward_reads_dst = d->backward && d->tail == SL_TAIL_ADD_RELU;
    return SL_OK;
}

/* ---- groups ------------------------------------------------------------------------ */

/* Rows normalised together: (rows, c) of every tensor from element `begin` on. With
 * running statistics it is the whole batch. */
struct group {
    int64_t rows, begin;
    float *mean, *inverse_std, *variance; /* (c), in the workspace; NULL: running ones */
};

static int n_groups(const struct sl_op_desc *d)
{
    return d->batch_statistics ? d->groups : 1;
}

static struct group group_at(const struct sl_op_desc *d, const struct sl_op_args *args,
                             int64_t k)
{
    struct group group = {0};
    group.rows = (int64_t)d->n / n_groups(d) * d->src_h * d->src_w;
    group.begin = k * group.rows * d->src_c;
    if (d->batch_statistics) {
        float *kept = args->workspace;
        group.mean = kept + k * d->src_c;
        group.inverse_std = group.mean + (int64_t)d->groups * d->src_c;
        group.variance = group.inverse_std + (int64_t)d->groups * d->src_c;
    }
    return group;
}

/* What a part works on: rows of one group. */
struct call {
    const struct sl_cpu_maps *maps;
    const struct sl_prepared *op;
    const struct sl_op_args *args;
    const struct group *group;
    const struct room *room;
    const struct sl_cpu_norm_forward *forward;   /* apply_group's, sum_gradients' */
    const struct sl_cpu_norm_backward *backward; /* apply_gradients' */
};

static void split_rows(const struct sl_cpu_state *state, const struct call *call,
                       void (*work)(const void *context, struct sl_cpu_range rows,
                                    int part))
{
    const int64_t rows = call->group->rows;
    sl_cpu_split_long(state, rows * call->op->tile.c >= SERIAL_BELOW, rows, work, call);
}

/* The first c values repeated over the tile. */
static void spread(const struct sl_cpu_tile *tile, float *constant)
{
    for (int64_t j = tile->c; j < tile->length; j++) {
        constant[j] = constant[j - tile->c];
    }
}

/* A part's share of the sums, at 0. */
static struct sl_cpu_sums sums_of(const struct sl_cpu_tile *tile, const struct room *room,
                                  int t)
{
    const struct sl_cpu_sums sums = {
        .first = room->sums + t * room->sums_stride,
        .second = room->sums + t * room->sums_stride + tile->c,
        .work = room->work + t * 2 * tile->length,
    };
    memset(sums.first, 0, 2 * (size_t)tile->c * sizeof(double));
    return sums;
}

/* All parts' sums joined in part 0's, in their order. */
static struct sl_cpu_sums join_sums(const struct sl_cpu_state *state,
                                    const struct sl_cpu_tile *tile,
                                    const struct room *room)
{
    double *total = room->sums;
    for (int t = 1; t < state->threads; t++) {
        const double *part = room->sums + t * room->sums_stride;
        for (int64_t c = 0; c < 2 * tile->c; c++) {
            total[c] += part[c];
        }
    }
    return (struct sl_cpu_sums){.first = total, .second = total + tile->c};
}

/* ---- forward ----------------------------------------------------------------------- */

/* Mean of a few rows spread over the group: within a fraction of a standard deviation of
 * the group's, and exact where all rows are equal. */
static void find_shift(const struct sl_cpu_state *state, const struct sl_prepared *op,
                       int64_t rows, const void *x, double *sums, float *shift)
{
    const struct sl_cpu_tile *tile = &op->tile;
    const int64_t taken = rows < SHIFT_ROWS ? rows : SHIFT_ROWS;
    memset(sums, 0, (size_t)tile->c * sizeof(*sums));
    for (int64_t i = 0; i < taken; i++) {
        sl_cpu_maps_of(state, &op->desc)
            ->add_row(tile->c, sl_cpu_at(&op->desc, x, (i * rows / taken) * tile->c),
                      sums);
    }
    for (int64_t c = 0; c < tile->c; c++) {
        shift[c] = (float)(sums[c] / (double)taken);
    }
    spread(tile, shift);
}

static void sum_rows(const void *context, struct sl_cpu_range rows, int part)
{
    const struct call *call = context;
    const struct sl_cpu_tile *tile = &call->op->tile;
    const struct sl_cpu_sums sums = sums_of(tile, call->room, part);
    const int64_t at = call->group->begin + rows.begin * tile->c;
    call->maps->norm_sums(tile, (rows.end - rows.begin) * tile->c,
                          sl_cpu_at(&call->op->desc, call->args->src, at),
                          call->room->constants[0], &sums);
}

/* mean = s + sum(x - s) / N, variance = sum(x - s)^2 / N - (sum(x - s) / N)^2 */
static void find_statistics(const struct sl_cpu_state *state,
                            const struct sl_prepared *op, const struct group *group,
                            const struct sl_op_args *args, const struct room *room)
{
    const struct sl_cpu_tile *tile = &op->tile;
    float *shift = room->constants[0];
    find_shift(state, op, group->rows, sl_cpu_at(&op->desc, args->src, group->begin),
               room->sums, shift);
    const struct call call = {.maps = sl_cpu_maps_of(state, &op->desc),
                              .op = op,
                              .args = args,
                              .group = group,
                              .room = room};
    split_rows(state, &call, sum_rows);
    const struct sl_cpu_sums total = join_sums(state, tile, room);
    for (int64_t c = 0; c < tile->c; c++) {
        const double offset = total.first[c] / (double)group->rows;
        const double square = total.second[c] / (double)group->rows;
        const double variance = fmax(square - offset * offset, 0.0);
        group->mean[c] = (float)((double)shift[c] + offset);
        group->variance[c] = (float)variance;
        group->inverse_std[c] = (float)(1.0 / sqrt(variance + (double)op->desc.epsilon));
        if (!isfinite(square) || !isfinite(offset)) {
            /* Numbers whose square leaves float32 must be seen, not turned to 0. */
            group->mean[c] = NAN;
            group->variance[c] = NAN;
            group->inverse_std[c] = NAN;
        }
    }
}

/* mean and inverse standard deviation of the channels, the group's or the running ones */
static double mean_of(const struct group *group, const struct sl_op_args *args, int64_t c)
{
    return (double)(group->mean != NULL ? group->mean[c] : args->running_mean[c]);
}

static double inverse_of(const struct sl_op_desc *d, const struct group *group,
                         const struct sl_op_args *args, int64_t c)
{
    if (group->mean != NULL) {
        return (double)group->inverse_std[c];
    }
    return 1.0 / sqrt((double)args->running_variance[c] + (double)d->epsilon);
}

static void apply_rows(const void *context, struct sl_cpu_range rows, int part SL_UNUSED)
{
    const struct call *call = context;
    const struct sl_op_desc *d = &call->op->desc;
    const struct sl_op_args *args = call->args;
    const struct sl_cpu_tile *tile = &call->op->tile;
    const int64_t at = call->group->begin + rows.begin * tile->c;
    const bool adds = d->tail == SL_TAIL_ADD_RELU;
    call->maps->norm_apply(tile, (rows.end - rows.begin) * tile->c,
                           sl_cpu_at(d, args->src, at),
                           adds ? sl_cpu_at(d, args->added, at) : NULL, call->forward,
                           sl_cpu_at_out(d, args->dst, at));
}

static double scale_of(const struct sl_op_desc *d, const struct sl_op_args *args,
                       int64_t c)
{
    return d->no_affine ? 1.0 : (double)args->scale[c];
}

/* What forward does to each value, in the first three constants; the same bits whenever
 * it is asked for. */
static struct sl_cpu_norm_forward forward_of(const struct sl_prepared *op,
                                             const struct group *group,
                                             const struct sl_op_args *args,
                                             const struct room *room)
{
    const struct sl_op_desc *d = &op->desc;
    const struct sl_cpu_tile *tile = &op->tile;
    float *mean = room->constants[0];
    float *slope = room->constants[1];
    float *shift = room->constants[2];
    for (int64_t c = 0; c < tile->c; c++) {
        mean[c] = (float)mean_of(group, args, c);
        slope[c] = (float)(inverse_of(d, group, args, c) * scale_of(d, args, c));
        shift[c] = d->no_affine ? 0.0F : args->shift[c];
    }
    spread(tile, mean);
    spread(tile, slope);
    spread(tile, shift);
    return (struct sl_cpu_norm_forward){
        .mean = mean, .slope = slope, .shift = shift, .tail = d->tail};
}

static void apply_group(const struct sl_cpu_state *state, const struct sl_prepared *op,
                        const struct group *group, const struct sl_op_args *args,
                        const struct room *room)
{
    const struct sl_cpu_norm_forward norm = forward_of(op, group, args, room);
    const struct call call = {.maps = sl_cpu_maps_of(state, &op->desc),
                              .op = op,
                              .args = args,
                              .group = group,
                              .room = room,
                              .forward = &norm};
    split_rows(state, &call, apply_rows);
}

static void norm_forward(struct sl_cpu_state *state, struct sl_prepared *op,
                         const struct sl_op_args *args)
{
    struct room room;
    (void)room_in(state, &op->tile, args->scratch, &room);
    for (int k = 0; k < n_groups(&op->desc); k++) {
        const struct group group = group_at(&op->desc, args, k);
        if (op->desc.batch_statistics) {
            find_statistics(state, op, &group, args, &room);
        }
        apply_group(state, op, &group, args, &room);
    }
}

/* ---- backward ---------------------------------------------------------------------- */

/* The tensors of one part's range, from its first element on. */
struct operands {
    const void *g, *x, *dst; /* dst NULL: not read */
    void *diff_src, *diff_added;
};

static struct operands operands_at(const struct sl_op_desc *d,
                                   const struct sl_op_args *args, int64_t at)
{
    return (struct operands){
        .g = sl_cpu_at(d, args->diff_dst, at),
        .x = sl_cpu_at(d, args->src, at),
        .dst = d->tail == SL_TAIL_ADD_RELU ? sl_cpu_at(d, args->dst, at) : NULL,
        .diff_src = d->need_diff_src ? sl_cpu_at_out(d, args->diff_src, at) : NULL,
        .diff_added =
            d->tail == SL_TAIL_ADD_RELU ? sl_cpu_at_out(d, args->diff_added, at) : NULL,
    };
}

static void sum_gradient_rows(const void *context, struct sl_cpu_range rows, int part)
{
    const struct call *call = context;
    const struct sl_op_args *args = call->args;
    const struct sl_cpu_tile *tile = &call->op->tile;
    const struct sl_cpu_sums sums = sums_of(tile, call->room, part);
    const struct operands o =
        operands_at(&call->op->desc, args, call->group->begin + rows.begin * tile->c);
    call->maps->norm_gradient_sums(tile, (rows.end - rows.begin) * tile->c, o.g, o.x,
                                   o.dst, call->forward, o.diff_added,
                                   args->diff_added_add, &sums);
}

/* Sums of g and g (x - mean), and diff_added on the way. */
static struct sl_cpu_sums sum_gradients(const struct sl_cpu_state *state,
                                        const struct sl_prepared *op,
                                        const struct group *group,
                                        const struct sl_op_args *args,
                                        const struct room *room,
                                        const struct sl_cpu_norm_forward *forward)
{
    const struct call call = {.maps = sl_cpu_maps_of(state, &op->desc),
                              .op = op,
                              .args = args,
                              .group = group,
                              .room = room,
                              .forward = forward};
    split_rows(state, &call, sum_gradient_rows);
    return join_sums(state, &op->tile, room);
}

/* Whether diff_added, when it was just written, is the masked gradient already. */
static bool is_masked(const struct sl_prepared *op, const struct sl_op_args *args)
{
    return op->desc.tail == SL_TAIL_ADD_RELU && !args->diff_added_add;
}

static void apply_gradient_rows(const void *context, struct sl_cpu_range rows,
                                int part SL_UNUSED)
{
    const struct call *call = context;
    const struct sl_cpu_tile *tile = &call->op->tile;
    const struct operands o = operands_at(&call->op->desc, call->args,
                                          call->group->begin + rows.begin * tile->c);
    call->maps->norm_gradient_apply(tile, (rows.end - rows.begin) * tile->c,
                                    is_masked(call->op, call->args) ? o.diff_added : o.g,
                                    o.x, o.dst, call->backward, o.diff_src);
}

static void apply_gradients(const struct sl_cpu_state *state,
                            const struct sl_prepared *op, const struct group *group,
                            const struct sl_op_args *args, const struct room *room,
                            const struct sl_cpu_norm_forward *forward)
{
    struct sl_cpu_norm_backward norm = {
        .forward = *forward,
        .by_g = room->constants[3],
        .by_x = room->constants[4],
        .add = args->diff_src_add,
    };
    if (is_masked(op, args)) {
        norm.forward.tail = SL_TAIL_NONE;
    }
    const struct call call = {.maps = sl_cpu_maps_of(state, &op->desc),
                              .op = op,
                              .args = args,
                              .group = group,
                              .room = room,
                              .backward = &norm};
    split_rows(state, &call, apply_gradient_rows);
}

/* With a = scale inverse_std and x^ = (x - mean) inverse_std, for batch statistics:
 * diff_x = a (g - mean(g) - x^ mean(g x^)) = a g - a sum(g) / N
 *          - (x - mean) a inverse_std^2 sum(g (x - mean)) / N
 * and for running ones diff_x = a g. diff_scale = sum g x^, diff_shift = sum g. */
static void backward_group(const struct sl_cpu_state *state, const struct sl_prepared *op,
                           const struct group *group, const struct sl_op_args *args,
                           const struct room *room, bool first)
{
    const struct sl_op_desc *d = &op->desc;
    const struct sl_cpu_tile *tile = &op->tile;
    const struct sl_cpu_norm_forward forward = forward_of(op, group, args, room);
    const struct sl_cpu_sums sums = sum_gradients(state, op, group, args, room, &forward);
    const double share = d->batch_statistics ? 1.0 / (double)group->rows : 0.0;
    for (int64_t c = 0; c < tile->c; c++) {
        const double inverse = inverse_of(d, group, args, c);
        const double slope = inverse * scale_of(d, args, c);
        room->constants[3][c] = (float)(slope * share * sums.first[c]);
        room->constants[4][c] =
            (float)(slope * inverse * inverse * share * sums.second[c]);
        if (d->no_affine) {
            continue;
        }
        const double sum_x_hat = inverse * sums.second[c];
        args->diff_scale[c] =
            (float)((first ? 0.0 : (double)args->diff_scale[c]) + sum_x_hat);
        args->diff_shift[c] =
            (float)((first ? 0.0 : (double)args->diff_shift[c]) + sums.first[c]);
    }
    spread(tile, room->constants[3]);
    spread(tile, room->constants[4]);
    if (d->need_diff_src) {
        apply_gradients(state, op, group, args, room, &forward);
    }
}

static void norm_backward(struct sl_cpu_state *state, struct sl_prepared *op,
                          const struct sl_op_args *args)
{
    struct room room;
    (void)room_in(state, &op->tile, args->scratch, &room);
    for (int k = 0; k < n_groups(&op->desc); k++) {
        const struct group group = group_at(&op->desc, args, k);
        backward_group(state, op, &group, args, &room, k == 0);
    }
}

/* ---- running statistics ------------------------------------------------------------ */

/* running = (1 - m) running + m mean over groups of (mean, variance rows / (rows - 1)) */
void sl_cpu_norm_update(void *state SL_UNUSED, int channels, int groups, int64_t rows,
                        float momentum, const void *workspace, float *running_mean,
                        float *running_variance)
{
    const float *kept_mean = workspace;
    const float *kept_variance = kept_mean + 2 * (int64_t)groups * channels;
    const double unbiased = rows > 1 ? (double)rows / (double)(rows - 1) : 1.0;
    const double m = (double)momentum;
    for (int64_t c = 0; c < channels; c++) {
        double mean = 0.0;
        double variance = 0.0;
        for (int64_t k = 0; k < groups; k++) {
            mean += (double)kept_mean[k * channels + c] / groups;
            variance += unbiased * (double)kept_variance[k * channels + c] / groups;
        }
        running_mean[c] = (float)((1.0 - m) * (double)running_mean[c] + m * mean);
        running_variance[c] =
            (float)((1.0 - m) * (double)running_variance[c] + m * variance);
    }
}

const struct sl_cpu_kind sl_cpu_norm = {
    .prepare = norm_prepare,
    .forward = norm_forward,
    .backward = norm_backward,
};
