/* SPDX-License-Identifier: MIT */
/*
 * Convolution of the cpu backend by oneDNN, and the way between masters and its layouts.
 * Each part computes its own pictures with primitives of its own, so that the library
 * never waits for a thread.
 * Packed weights hold forward's layout and, when backward-data wants another one, that as
 * well; a packed gradient has the layout of backward-weights, whose sums are our own
 * in most strided 3x3 convolutions (cpu_conv_weights_int.h). A slice of a master
 * goes through dense memory (out, in, kernel, kernel) of the state's, so that all
 * reorders are made in prepare whatever the strides of the master are.
 */
#include "backend/cpu_conv_weights_int.h"
#include "backend/cpu_int.h"

/* A part's primitives: the library computes some of the pictures in one thread. A part
 * without pictures has none. */
struct conv_part {
    struct sl_cpu_primitive forward, backward_data, backward_weights;
};

struct sl_cpu_conv_op {
    int n_parts;            /* as many as threads */
    struct conv_part *part; /* (n_parts) */
    int n_sums;             /* parts that the gradient of the weights is made of */
    bool own_weights;       /* their gradient is summed by `weights`, not by primitives */
    struct sl_conv_weights weights;
    struct sl_cpu_primitive pack_forward, pack_data, unpack;
    bool two_layouts;   /* backward-data's weights stand at data_offset of packed */
    size_t data_offset; /* 0 when it reads forward's */
    size_t room;        /* scratch: bytes of each part */
    size_t behind;      /* scratch behind the rooms: backward-data's result that is to be
                           added; before, the sums for the weights, but for the first */
    size_t sum_bytes;   /* of one of them */
    int64_t sum_values;
};

/* Gradients of weights that wait to be added up take so many bytes at most. */
static const size_t sums_most = (size_t)256 << 20;

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

static struct sl_cpu_primitive *primitive_of(struct conv_part *part,
                                             enum sl_cpu_direction direction)
{
    return direction == SL_CPU_FORWARD         ? &part->forward
           : direction == SL_CPU_BACKWARD_DATA ? &part->backward_data
                                               : &part->backward_weights;
}

/* One direction for all `parts`; the first one's layout of the weights holds for all. */
static enum sl_status make_parts(struct sl_error *err, const struct sl_cpu_state *state,
                                 struct sl_prepared *op, enum sl_cpu_direction direction,
                                 int parts, struct sl_cpu_layout *layout)
{
    struct sl_cpu_conv_op *conv = op->conv;
    *layout = (struct sl_cpu_layout){0};
    for (int i = 0; i < parts; i++) {
        const struct sl_cpu_range range = sl_cpu_part(op->desc.n, parts, i);
        struct sl_cpu_primitive *primitive = primitive_of(&conv->part[i], direction);
        struct sl_op_desc desc = op->desc;
        desc.n = (int)(range.end - range.begin);
        if (desc.n > 0) {
            SL_TRY(sl_cpu_conv_make(err, state, &desc, direction, primitive, layout));
            conv->room = larger(conv->room, sl_cpu_round(primitive->scratch_bytes));
        }
    }
    return SL_OK;
}

static enum sl_status prepare_data(struct sl_error *err, struct sl_cpu_state *state,
                                   struct sl_prepared *op,
                                   const struct sl_cpu_layout *forward,
                                   struct sl_op_sizes *sizes)
{
    struct sl_cpu_conv_op *conv = op->conv;
    struct sl_cpu_layout layout;
    SL_TRY(make_parts(err, state, op, SL_CPU_BACKWARD_DATA, conv->n_parts, &layout));
    if (!sl_cpu_layout_equal(forward, &layout)) {
        conv->two_layouts = true;
        conv->data_offset = sl_cpu_round(forward->bytes);
        sizes->packed = conv->data_offset + layout.bytes;
        SL_TRY(
            sl_cpu_reorder_make(err, state, &op->desc, &layout, false, &conv->pack_data));
    }
    return SL_OK;
}

/* How the gradient of the weights is laid out, and what makes it. */
static enum sl_status prepare_sums(struct sl_error *err, struct sl_cpu_state *state,
                                   struct sl_prepared *op, size_t *bytes)
{
    const struct sl_op_desc *d = &op->desc;
    struct sl_cpu_conv_op *conv = op->conv;
    conv->own_weights = sl_cpu_conv_weights_suits(state, d);
    if (conv->own_weights) {
        conv->weights = sl_conv_weights_of(d->src_h, d->src_w, d->src_c, d->dst_h,
                                           d->dst_w, d->dst_c);
        conv->room = larger(conv->room, conv->weights.room);
        *bytes = (size_t)conv->weights.values * sizeof(float);
        return SL_OK;
    }
    struct sl_cpu_layout layout;
    SL_TRY(make_parts(err, state, op, SL_CPU_BACKWARD_WEIGHTS, conv->n_sums, &layout));
    SL_TRY(sl_cpu_reorder_make(err, state, d, &layout, true, &conv->unpack));
    *bytes = layout.bytes;
    return SL_OK;
}

static enum sl_status prepare_weights(struct sl_error *err, struct sl_cpu_state *state,
                                      struct sl_prepared *op, struct sl_op_sizes *sizes)
{
    struct sl_cpu_conv_op *conv = op->conv;
    const size_t fit = sums_most / ((size_t)slice_count(&op->desc) * sizeof(float)) + 1;
    conv->n_sums = (size_t)conv->n_parts < fit ? conv->n_parts : (int)fit;
    if (conv->n_sums > op->desc.n) {
        conv->n_sums = op->desc.n; /* none is without pictures */
    }
    SL_TRY(prepare_sums(err, state, op, &sizes->packed_diff));
    conv->sum_values = (int64_t)(sizes->packed_diff / sizeof(float));
    conv->sum_bytes = sl_cpu_round(sizes->packed_diff);
    return SL_OK;
}

/* Scratch: each part's room, and behind them what is to be added. */
static size_t scratch_bytes(const struct sl_op_desc *d, struct sl_cpu_conv_op *conv)
{
    const size_t diff_src = (size_t)d->n * (size_t)d->src_h * (size_t)d->src_w *
                            (size_t)d->src_c * (size_t)sl_dtype_bytes(d->type);
    const size_t rooms = (size_t)conv->n_parts * conv->room;
    conv->behind = rooms;
    size_t bytes = rooms;
    if (d->backward) {
        bytes = rooms + (size_t)(conv->n_sums - 1) * conv->sum_bytes;
    }
    return d->backward && d->need_diff_src ? larger(bytes, rooms + diff_src) : bytes;
}

static enum sl_status conv_prepare(struct sl_error *err, struct sl_cpu_state *state,
                                   struct sl_prepared *op, struct sl_op_sizes *sizes)
{
    const struct sl_op_desc *d = &op->desc;
    struct sl_cpu_layout layout;
    SL_TRY(sl_heap_alloc(err, "a prepared convolution", 1, sizeof(*op->conv), &op->conv));
    struct sl_cpu_conv_op *conv = op->conv;
    SL_TRY(sl_heap_alloc(err, "a prepared convolution", state->threads,
                         sizeof(*conv->part), &conv->part));
    conv->n_parts = state->threads;
    SL_TRY(grow_staging(err, state, (size_t)slice_count(d) * sizeof(float)));
    SL_TRY(make_parts(err, state, op, SL_CPU_FORWARD, conv->n_parts, &layout));
    SL_TRY(sl_cpu_reorder_make(err, state, d, &layout, false, &conv->pack_forward));
    sizes->packed = layout.bytes;
    if (d->backward) {
        sizes->backward_reads_src = true;
        if (d->need_diff_src) {
            SL_TRY(prepare_data(err, state, op, &layout, sizes));
        }
        SL_TRY(prepare_weights(err, state, op, sizes));
    }
    sizes->scratch = scratch_bytes(d, conv);
    return SL_OK;
}

static void conv_drop(struct sl_prepared *op)
{
    struct sl_cpu_conv_op *conv = op->conv;
    if (conv == NULL) {
        return;
    }
    for (int i = 0; i < conv->n_parts; i++) {
        sl_cpu_primitive_finish(&conv->part[i].forward);
        sl_cpu_primitive_finish(&conv->part[i].backward_data);
        sl_cpu_primitive_finish(&conv->part[i].backward_weights);
    }
    sl_cpu_primitive_finish(&conv->pack_forward);
    sl_cpu_primitive_finish(&conv->pack_data);
    sl_cpu_primitive_finish(&conv->unpack);
    sl_heap_free(conv->part);
    sl_heap_free(conv);
}

/* ---- run --------------------------------------------------------------------------- */

/* One direction of a convolution. */
struct conv_call {
    const struct sl_prepared *op;
    const struct sl_op_args *args;
    void *made; /* backward-data's */
};

/* Picture n of the source, or of the result, of `map`. */
static void *src_at(const struct sl_op_desc *d, const void *map, int64_t n)
{
    return sl_cpu_at_out(d, (void *)map, n * d->src_h * d->src_w * d->src_c);
}

static void *dst_at(const struct sl_op_desc *d, const void *map, int64_t n)
{
    return sl_cpu_at_out(d, (void *)map, n * d->dst_h * d->dst_w * d->dst_c);
}

static void *room_at(const struct conv_call *call, int part)
{
    return (char *)call->args->scratch + (size_t)part * call->op->conv->room;
}

static void forward_part(const void *context, struct sl_cpu_range range, int part)
{
    const struct conv_call *call = context;
    const struct sl_op_desc *d = &call->op->desc;
    if (range.begin < range.end) {
        const void *operands[] = {src_at(d, call->args->src, range.begin),
                                  call->args->packed,
                                  dst_at(d, call->args->dst, range.begin)};
        sl_cpu_run(&call->op->conv->part[part].forward, operands, room_at(call, part));
    }
}

static void conv_forward(struct sl_cpu_state *state, struct sl_prepared *op,
                         const struct sl_op_args *args)
{
    const struct conv_call call = {.op = op, .args = args};
    sl_cpu_split(state, op->desc.n, forward_part, &call);
}

static void data_part(const void *context, struct sl_cpu_range range, int part)
{
    const struct conv_call *call = context;
    const struct sl_op_desc *d = &call->op->desc;
    if (range.begin < range.end) {
        const void *operands[] = {dst_at(d, call->args->diff_dst, range.begin),
                                  (const char *)call->args->packed +
                                      call->op->conv->data_offset,
                                  src_at(d, call->made, range.begin)};
        sl_cpu_run(&call->op->conv->part[part].backward_data, operands,
                   room_at(call, part));
    }
}

static void conv_backward_data(struct sl_cpu_state *state, struct sl_prepared *op,
                               const struct sl_op_args *args)
{
    const struct sl_op_desc *d = &op->desc;
    const struct conv_call call = {
        .op = op,
        .args = args,
        .made = args->diff_src_add ? (char *)args->scratch + op->conv->behind
                                   : (char *)args->diff_src,
    };
    sl_cpu_split(state, d->n, data_part, &call);
    if (args->diff_src_add) {
        sl_cpu_accumulate(state, d, (int64_t)d->n * d->src_h * d->src_w * d->src_c,
                          call.made, args->diff_src);
    }
}

/* Part 0's sum is the result itself, the others' stand in scratch memory. */
static void *sum_at(const struct conv_call *call, int part)
{
    const struct sl_cpu_conv_op *conv = call->op->conv;
    return part == 0 ? call->args->packed_diff
                     : (char *)call->args->scratch + conv->behind +
                           (size_t)(part - 1) * conv->sum_bytes;
}

/* The range is of parts, each a range of pictures. */
static void weights_parts(const void *context, struct sl_cpu_range range,
                          int room SL_UNUSED)
{
    const struct conv_call *call = context;
    const struct sl_op_desc *d = &call->op->desc;
    struct sl_cpu_conv_op *conv = call->op->conv;
    for (int i = (int)range.begin; i < (int)range.end; i++) {
        const struct sl_cpu_range pictures = sl_cpu_part(d->n, conv->n_sums, i);
        const void *src = src_at(d, call->args->src, pictures.begin);
        const void *diff_dst = dst_at(d, call->args->diff_dst, pictures.begin);
        if (conv->own_weights) {
            sl_conv_weights_sum(&conv->weights, src, diff_dst,
                                pictures.end - pictures.begin, room_at(call, i),
                                sum_at(call, i));
        } else {
            const void *operands[] = {src, diff_dst, sum_at(call, i)};
            sl_cpu_run(&conv->part[i].backward_weights, operands, room_at(call, i));
        }
    }
}

static void conv_backward(struct sl_cpu_state *state, struct sl_prepared *op,
                          const struct sl_op_args *args)
{
    const struct sl_cpu_conv_op *conv = op->conv;
    const struct conv_call call = {.op = op, .args = args};
    sl_cpu_split(state, conv->n_sums, weights_parts, &call);
    for (int i = 1; i < conv->n_sums; i++) {
        sl_cpu_accumulate(state, &(struct sl_op_desc){.type = SL_F32}, conv->sum_values,
                          sum_at(&call, i), args->packed_diff);
    }
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

struct pack_call {
    struct sl_cpu_conv_op *conv;
    const float *dense;
    char *packed;
};

/* The range is of layouts: forward's and backward-data's. */
static void pack_layouts(const void *context, struct sl_cpu_range range,
                         int part SL_UNUSED)
{
    const struct pack_call *call = context;
    struct sl_cpu_conv_op *conv = call->conv;
    for (int64_t i = range.begin; i < range.end; i++) {
        const void *operands[] = {call->dense,
                                  call->packed + (i == 0 ? 0 : conv->data_offset)};
        sl_cpu_run(i == 0 ? &conv->pack_forward : &conv->pack_data, operands, NULL);
    }
}

static void conv_pack(struct sl_cpu_state *state, struct sl_prepared *op,
                      const struct sl_slice *master, void *packed)
{
    struct pack_call call = {.conv = op->conv, .dense = master->data, .packed = packed};
    if (!is_dense(master)) {
        sl_cpu_gather(state, master, state->staging);
        call.dense = state->staging;
    }
    sl_cpu_split(state, call.conv->two_layouts ? 2 : 1, pack_layouts, &call);
}

struct unpack_call {
    const struct sl_conv_weights *weights;
    const float *packed;
    float *dense;
};

/* Our own sums (out / 16, 3, 3, in, 16) -> dense, for a range of output channels. */
static void unpack_own(const void *context, struct sl_cpu_range out, int part SL_UNUSED)
{
    enum { LANES = SL_CONV_WEIGHTS_LANES, KERNEL = SL_CONV_WEIGHTS_KERNEL };
    const struct unpack_call *call = context;
    const int64_t in = call->weights->src_c;
    const int64_t taps = (int64_t)KERNEL * KERNEL;
    for (int64_t o = out.begin; o < out.end; o++) {
        const float *from = call->packed + o / LANES * taps * in * LANES + o % LANES;
        float *to = call->dense + o * in * taps;
        for (int64_t i = 0; i < in; i++) {
            for (int64_t tap = 0; tap < taps; tap++) {
                to[i * taps + tap] = from[(tap * in + i) * LANES];
            }
        }
    }
}

static double conv_unpack_add(struct sl_cpu_state *state, struct sl_prepared *op,
                              const void *packed_diff, const struct sl_slice *master)
{
    if (op->conv->own_weights) {
        const struct unpack_call call = {.weights = &op->conv->weights,
                                         .packed = packed_diff,
                                         .dense = state->staging};
        sl_cpu_split(state, master->out, unpack_own, &call);
    } else {
        const void *operands[] = {packed_diff, state->staging};
        sl_cpu_run(&op->conv->unpack, operands, NULL);
    }
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
