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

/* What a part of a call works on. */
struct call {
    const struct sl_cpu_maps *maps;
    const struct sl_op_desc *desc;
    const struct sl_op_args *args;
};

static void split(const struct sl_cpu_state *state, const struct sl_prepared *op,
                  const struct sl_op_args *args, int64_t n,
                  void (*work)(const void *context, struct sl_cpu_range range, int part))
{
    const struct call call = {
        .maps = sl_cpu_maps_of(state, &op->desc), .desc = &op->desc, .args = args};
    sl_cpu_split(state, n, work, &call);
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

static void maxpool_pictures(const void *context, struct sl_cpu_range n,
                             int part SL_UNUSED)
{
    const struct call *call = context;
    const struct sl_op_args *args = call->args;
    uint8_t *winner = call->desc->backward ? args->workspace : NULL;
    call->maps->maxpool(call->desc, n.begin, n.end, args->src, args->dst, winner);
}

static void maxpool_forward(struct sl_cpu_state *state, struct sl_prepared *op,
                            const struct sl_op_args *args)
{
    split(state, op, args, op->desc.n, maxpool_pictures);
}

static void maxpool_backward_pictures(const void *context, struct sl_cpu_range n,
                                      int part SL_UNUSED)
{
    const struct call *call = context;
    const struct sl_op_args *args = call->args;
    call->maps->maxpool_backward(call->desc, n.begin, n.end, args->workspace,
                                 args->diff_dst, args->diff_src_add, args->diff_src);
}

static void maxpool_backward(struct sl_cpu_state *state, struct sl_prepared *op,
                             const struct sl_op_args *args)
{
    if (op->desc.need_diff_src) {
        split(state, op, args, op->desc.n, maxpool_backward_pictures);
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

static void avgpool_pictures(const void *context, struct sl_cpu_range n,
                             int part SL_UNUSED)
{
    const struct call *call = context;
    call->maps->avgpool(call->desc, n.begin, n.end, call->args->src, call->args->dst);
}

static void avgpool_forward(struct sl_cpu_state *state, struct sl_prepared *op,
                            const struct sl_op_args *args)
{
    split(state, op, args, op->desc.n, avgpool_pictures);
}

static void avgpool_backward_pictures(const void *context, struct sl_cpu_range n,
                                      int part SL_UNUSED)
{
    const struct call *call = context;
    const struct sl_op_args *args = call->args;
    call->maps->avgpool_backward(call->desc, n.begin, n.end, args->diff_dst,
                                 args->diff_src_add, args->diff_src);
}

static void avgpool_backward(struct sl_cpu_state *state, struct sl_prepared *op,
                             const struct sl_op_args *args)
{
    if (op->desc.need_diff_src) {
        split(state, op, args, op->desc.n, avgpool_backward_pictures);
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

static void relu_values(const void *context, struct sl_cpu_range i, int part SL_UNUSED)
{
    const struct call *call = context;
    const struct sl_op_desc *d = call->desc;
    const void *src = sl_cpu_at(d, call->args->src, i.begin);
    void *dst = sl_cpu_at_out(d, call->args->dst, i.begin);
    if (d->tail == SL_TAIL_ADD_RELU) {
        call->maps->add_relu(i.end - i.begin, src,
                             sl_cpu_at(d, call->args->added, i.begin), dst);
    } else {
        call->maps->relu(i.end - i.begin, src, dst);
    }
}

static void relu_forward(struct sl_cpu_state *state, struct sl_prepared *op,
                         const struct sl_op_args *args)
{
    split(state, op, args, src_count(&op->desc), relu_values);
}

/* What passes the mask of dst goes to one of the sources. */
static void relu_gradient(const struct call *call, struct sl_cpu_range i, bool add,
                          void *diff)
{
    const struct sl_op_desc *d = call->desc;
    call->maps->relu_backward(i.end - i.begin, sl_cpu_at(d, call->args->dst, i.begin),
                              sl_cpu_at(d, call->args->diff_dst, i.begin), add,
                              sl_cpu_at_out(d, diff, i.begin));
}

static void relu_src_gradient(const void *context, struct sl_cpu_range i,
                              int part SL_UNUSED)
{
    const struct call *call = context;
    relu_gradient(call, i, call->args->diff_src_add, call->args->diff_src);
}

static void relu_added_gradient(const void *context, struct sl_cpu_range i,
                                int part SL_UNUSED)
{
    const struct call *call = context;
    relu_gradient(call, i, call->args->diff_added_add, call->args->diff_added);
}

static void relu_backward(struct sl_cpu_state *state, struct sl_prepared *op,
                          const struct sl_op_args *args)
{
    const struct sl_op_desc *d = &op->desc;
    if (d->need_diff_src) {
        split(state, op, args, src_count(d), relu_src_gradient);
    }
    if (d->tail == SL_TAIL_ADD_RELU) {
        split(state, op, args, src_count(d), relu_added_gradient);
    }
}

const struct sl_cpu_kind sl_cpu_relu = {
    .prepare = relu_prepare,
    .forward = relu_forward,
    .backward = relu_backward,
};
