/* SPDX-License-Identifier: MIT */
/*
 * Pooling and the lone ReLU of the cpu backend. Max pooling remembers the winning tap of
 * each output value as a byte; each thread has pictures of its own, so that overlapping
 * windows never meet.
 */
#include "backend/cpu_int.h"

static int64_t src_count(const struct sl_op_desc *d)
{
    return (int64_t)d->n * d->src_h * d->src_w * d->src_c;
}

/* ---- max pooling ------------------------------------------------------------------- */

static enum sl_status maxpool_prepare(struct sl_error *err SL_UNUSED,
                                      struct sl_cpu_state *state SL_UNUSED,
                                      struct sl_prepared *op, struct sl_op_sizes *sizes)
{
    const struct sl_op_desc *d = &op->desc;
    if (d->backward) {
        sizes->workspace =
            (size_t)d->n * (size_t)d->dst_h * (size_t)d->dst_w * (size_t)d->dst_c;
    }
    return SL_OK;
}

static void maxpool_forward(struct sl_cpu_state *state, struct sl_prepared *op,
                            const struct sl_op_args *args)
{
    const struct sl_op_desc *d = &op->desc;
    uint8_t *winner = d->backward ? args->workspace : NULL;
#pragma omp parallel for schedule(static, 1) num_threads(state->threads)
    for (int t = 0; t < state->threads; t++) {
        const struct sl_cpu_range part = sl_cpu_part(d->n, state->threads, t);
        sl_cpu_maps_of(state, d)->maxpool(d, part.begin, part.end, args->src, args->dst,
                                          winner);
    }
}

static void maxpool_backward(struct sl_cpu_state *state, struct sl_prepared *op,
                             const struct sl_op_args *args)
{
    const struct sl_op_desc *d = &op->desc;
    if (!d->need_diff_src) {
        return;
    }
#pragma omp parallel for schedule(static, 1) num_threads(state->threads)
    for (int t = 0; t < state->threads; t++) {
        const struct sl_cpu_range part = sl_cpu_part(d->n, state->threads, t);
        sl_cpu_maps_of(state, d)->maxpool_backward(d, part.begin, part.end,
                                                   args->workspace, args->diff_dst,
                                                   args->diff_src_add, args->diff_src);
    }
}

const struct sl_cpu_kind sl_cpu_maxpool = {
    .prepare = maxpool_prepare,
    .forward = maxpool_forward,
    .backward = maxpool_backward,
};

/* ---- average pooling --------------------------------------------------------------- */

static enum sl_status avgpool_prepare(struct sl_error *err SL_UNUSED,
                                      struct sl_cpu_state *state SL_UNUSED,
                                      struct sl_prepared *op SL_UNUSED,
                                      struct sl_op_sizes *sizes SL_UNUSED)
{
    return SL_OK;
}

static void avgpool_forward(struct sl_cpu_state *state, struct sl_prepared *op,
                            const struct sl_op_args *args)
{
    const struct sl_op_desc *d = &op->desc;
#pragma omp parallel for schedule(static, 1) num_threads(state->threads)
    for (int t = 0; t < state->threads; t++) {
        const struct sl_cpu_range part = sl_cpu_part(d->n, state->threads, t);
        sl_cpu_maps_of(state, d)->avgpool(d, part.begin, part.end, args->src, args->dst);
    }
}

static void avgpool_backward(struct sl_cpu_state *state, struct sl_prepared *op,
                             const struct sl_op_args *args)
{
    const struct sl_op_desc *d = &op->desc;
    if (!d->need_diff_src) {
        return;
    }
#pragma omp parallel for schedule(static, 1) num_threads(state->threads)
    for (int t = 0; t < state->threads; t++) {
        const struct sl_cpu_range part = sl_cpu_part(d->n, state->threads, t);
        sl_cpu_maps_of(state, d)->avgpool_backward(
            d, part.begin, part.end, args->diff_dst, args->diff_src_add, args->diff_src);
    }
}

const struct sl_cpu_kind sl_cpu_avgpool = {
    .prepare = avgpool_prepare,
    .forward = avgpool_forward,
    .backward = avgpool_backward,
};

/* ---- ReLU -------------------------------------------------------------------------- */

static enum sl_status relu_prepare(struct sl_error *err SL_UNUSED,
                                   struct sl_cpu_state *state SL_UNUSED,
                                   struct sl_prepared *op, struct sl_op_sizes *sizes)
{
    sizes->backward_reads_dst = op->desc.backward;
    return SL_OK;
}

static void relu_forward(struct sl_cpu_state *state, struct sl_prepared *op,
                         const struct sl_op_args *args)
{
    const struct sl_op_desc *d = &op->desc;
    const int64_t count = src_count(d);
#pragma omp parallel for schedule(static, 1) num_threads(state->threads)
    for (int t = 0; t < state->threads; t++) {
        const struct sl_cpu_range part = sl_cpu_part(count, state->threads, t);
        const struct sl_cpu_maps *maps = sl_cpu_maps_of(state, d);
        const int64_t n = part.end - part.begin;
        const void *src = sl_cpu_at(d, args->src, part.begin);
        void *dst = sl_cpu_at_out(d, args->dst, part.begin);
        if (d->tail == SL_TAIL_ADD_RELU) {
            maps->add_relu(n, src, sl_cpu_at(d, args->added, part.begin), dst);
        } else {
            maps->relu(n, src, dst);
        }
    }
}

/* What passes the mask of dst goes to one of the sources. */
static void relu_gradient(const struct sl_cpu_state *state, const struct sl_op_desc *d,
                          const struct sl_op_args *args, bool add, void *diff)
{
    const int64_t count = src_count(d);
#pragma omp parallel for schedule(static, 1) num_threads(state->threads)
    for (int t = 0; t < state->threads; t++) {
        const struct sl_cpu_range part = sl_cpu_part(count, state->threads, t);
        sl_cpu_maps_of(state, d)->relu_backward(part.end - part.begin,
                                                sl_cpu_at(d, args->dst, part.begin),
                                                sl_cpu_at(d, args->diff_dst, part.begin),
                                                add, sl_cpu_at_out(d, diff, part.begin));
    }
}

static void relu_backward(struct sl_cpu_state *state, struct sl_prepared *op,
                          const struct sl_op_args *args)
{
    const struct sl_op_desc *d = &op->desc;
    if (d->need_diff_src) {
        relu_gradient(state, d, args, args->diff_src_add, args->diff_src);
    }
    if (d->tail == SL_TAIL_ADD_RELU) {
        relu_gradient(state, d, args, args->diff_added_add, args->diff_added);
    }
}

const struct sl_cpu_kind sl_cpu_relu = {
    .prepare = relu_prepare,
    .forward = relu_forward,
    .backward = relu_backward,
};
