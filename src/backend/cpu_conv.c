/* SPDX-License-Identifier: MIT */
/*
 * Convolution of the cpu backend, and the way between masters and oneDNN's layouts.
 * Packed weights hold forward's layout and, when backward-data wants another one, that as
 * well; a packed gradient has the layout of backward-weights. A slice of a master goes
 * through dense memory (out, in, kernel, kernel) of the state's, so that all reorders are
 * made in prepare whatever the strides of the master are.
 */
#include "backend/cpu_int.h"

struct sl_cpu_conv_op {
    struct sl_cpu_primitive forward, backward_data, backward_weights;
    struct sl_cpu_primitive pack_forward, pack_data, unpack;
    bool two_layouts;   /* backward-data's weights stand at data_offset of packed */
    size_t data_offset; /* 0 when it reads forward's */
    size_t sum_offset;  /* scratch: backward-data's result that is to be added */
};

static int64_t slice_count(const struct sl_op_desc *d)
{
    return (int64_t)d->dst_c * d->src_c * d->kernel * d->kernel;
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* ---- prepare ----------------------------------------------------------------------- */

static enum sl_status grow_staging(struct sl_error *err, struct sl_cpu_state *state,
                                   size_t bytes)
{
    if (bytes <= state->staging_bytes) {
        return SL_OK;
    }
    float *memory = NULL;
    SL_TRY(sl_heap_alloc(err, "staging of weights", (int64_t)bytes, 1, &memory));
    sl_heap_free(state->staging);
    state->staging = memory;
    state->staging_bytes = bytes;
    return SL_OK;
}

static enum sl_status prepare_data(struct sl_error *err, struct sl_cpu_state *state,
                                   struct sl_prepared *op,
                                   const struct sl_cpu_layout *forward,
                                   struct sl_op_sizes *sizes)
{
    struct sl_cpu_conv_op *conv = op->conv;
    const struct sl_op_desc *d = &op->desc;
    struct sl_cpu_layout layout;
    SL_TRY(sl_cpu_conv_make(err, state, d, SL_CPU_BACKWARD_DATA, &conv->backward_data,
                            &layout));
    if (!sl_cpu_layout_equal(forward, &layout)) {
        conv->two_layouts = true;
        conv->data_offset = sl_cpu_round(forward->bytes);
        sizes->packed = conv->data_offset + layout.bytes;
        SL_TRY(sl_cpu_reorder_make(err, state, d, &layout, false, &conv->pack_data));
    }
    conv->sum_offset = sl_cpu_round(conv->backward_data.scratch_bytes);
    const size_t diff_src =
        (size_t)d->n * (size_t)d->src_h * (size_t)d->src_w * (size_t)d->src_c;
    sizes->scratch = larger(
        sizes->scratch, conv->sum_offset + diff_src * (size_t)sl_dtype_bytes(d->type));
    return SL_OK;
}

static enum sl_status conv_prepare(struct sl_error *err, struct sl_cpu_state *state,
                                   struct sl_prepared *op, struct sl_op_sizes *sizes)
{
    const struct sl_op_desc *d = &op->desc;
    struct sl_cpu_layout layout;
    SL_TRY(sl_heap_alloc(err, "a prepared convolution", 1, sizeof(*op->conv), &op->conv));
    struct sl_cpu_conv_op *conv = op->conv;
    SL_TRY(grow_staging(err, state, (size_t)slice_count(d) * sizeof(float)));
    SL_TRY(sl_cpu_conv_make(err, state, d, SL_CPU_FORWARD, &conv->forward, &layout));
    SL_TRY(sl_cpu_reorder_make(err, state, d, &layout, false, &conv->pack_forward));
    sizes->packed = layout.bytes;
    sizes->scratch = conv->forward.scratch_bytes;
    if (!d->backward) {
        return SL_OK;
    }
    sizes->backward_reads_src = true;
    if (d->need_diff_src) {
        SL_TRY(prepare_data(err, state, op, &layout, sizes));
    }
    SL_TRY(sl_cpu_conv_make(err, state, d, SL_CPU_BACKWARD_WEIGHTS,
                            &conv->backward_weights, &layout));
    SL_TRY(sl_cpu_reorder_make(err, state, d, &layout, true, &conv->unpack));
    sizes->packed_diff = layout.bytes;
    sizes->scratch = larger(sizes->scratch, conv->backward_weights.scratch_bytes);
    return SL_OK;
}

static void conv_drop(struct sl_prepared *op)
{
    struct sl_cpu_conv_op *conv = op->conv;
    if (conv == NULL) {
        return;
    }
    sl_cpu_primitive_finish(&conv->forward);
    sl_cpu_primitive_finish(&conv->backward_data);
    sl_cpu_primitive_finish(&conv->backward_weights);
    sl_cpu_primitive_finish(&conv->pack_forward);
    sl_cpu_primitive_finish(&conv->pack_data);
    sl_cpu_primitive_finish(&conv->unpack);
    sl_heap_free(conv);
}

/* ---- run --------------------------------------------------------------------------- */

static void conv_forward(struct sl_cpu_state *state, struct sl_prepared *op,
                         const struct sl_op_args *args)
{
    const void *operands[] = {args->src, args->packed, args->dst};
    sl_cpu_run(state, &op->conv->forward, operands, args->scratch);
}

static void conv_backward_data(struct sl_cpu_state *state, struct sl_prepared *op,
                               const struct sl_op_args *args)
{
    struct sl_cpu_conv_op *conv = op->conv;
    const struct sl_op_desc *d = &op->desc;
    void *made = args->diff_src;
    if (args->diff_src_add) {
        made = (char *)args->scratch + conv->sum_offset;
    }
    const void *weights = (const char *)args->packed + conv->data_offset;
    const void *operands[] = {args->diff_dst, weights, made};
    sl_cpu_run(state, &conv->backward_data, operands, args->scratch);
    if (args->diff_src_add) {
        sl_cpu_accumulate(state, d, (int64_t)d->n * d->src_h * d->src_w * d->src_c, made,
                          args->diff_src);
    }
}

static void conv_backward(struct sl_cpu_state *state, struct sl_prepared *op,
                          const struct sl_op_args *args)
{
    const void *operands[] = {args->src, args->diff_dst, args->packed_diff};
    sl_cpu_run(state, &op->conv->backward_weights, operands, args->scratch);
    if (op->desc.need_diff_src) {
        conv_backward_data(state, op, args);
    }
}

/* ---- masters ----------------------------------------------------------------------- */

static bool is_dense(const struct sl_slice *s)
{
    const int64_t taps = (int64_t)s->kernel * s->kernel;
    return s->in_stride == taps && s->out_stride == taps * s->in;
}

static void conv_pack(struct sl_cpu_state *state, struct sl_prepared *op,
                      const struct sl_slice *master, void *packed)
{
    struct sl_cpu_conv_op *conv = op->conv;
    const float *dense = master->data;
    if (!is_dense(master)) {
        sl_cpu_gather(state, master, state->staging);
        dense = state->staging;
    }
    const void *forward[] = {dense, packed};
    sl_cpu_run(state, &conv->pack_forward, forward, NULL);
    if (conv->two_layouts) {
        const void *data[] = {dense, (char *)packed + conv->data_offset};
        sl_cpu_run(state, &conv->pack_data, data, NULL);
    }
}

static double conv_unpack_add(struct sl_cpu_state *state, struct sl_prepared *op,
                              const void *packed_diff, const struct sl_slice *master)
{
    const void *operands[] = {packed_diff, state->staging};
    sl_cpu_run(state, &op->conv->unpack, operands, NULL);
    return sl_cpu_scatter(state, master, state->staging,
                          (int64_t)master->in * master->kernel * master->kernel);
}

const struct sl_cpu_kind sl_cpu_conv = {
    .prepare = conv_prepare,
    .drop = conv_drop,
    .forward = conv_forward,
    .backward = conv_backward,
    .pack = conv_pack,
    .unpack_add = conv_unpack_add,
};
