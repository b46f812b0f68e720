/* SPDX-License-Identifier: MIT */
/*
 * The 1x1 convolution of bfloat16 maps with stride 1: products of matrices on the maps as
 * they stand, threads and the order of work. It takes the place of the library's
 * convolution (sl_cpu_pointwise_suits), whose kernels for maps of this layout reach three
 * quarters of the machine and whose weights have to be moved twice.
 *
 * Packed weights are vectors of output channels over input channels, then, when the
 * source's gradient is wanted, the other way round. A packed gradient is float32 (out, in
 * lanes).
 */
#include "backend/cpu_int.h"
#include "backend/cpu_pointwise_int.h"

#include <string.h>

enum {
    /* Bytes of rows taken at a time, which should stay in a core's own cache while
     * columns go by. */
    ROWS_BYTES = 256 * 1024,
    /* Of pixels in pairs, for the gradient of the weights. */
    PAIRED_BYTES = 256 * 1024,
    /* Gradients of weights up to which each thread has its own sums; with more, threads
     * share the output channels instead, and the pixels at a time are many. */
    OWN_SUMS_BYTES = 512 * 1024,
    SHARED_BYTES = 4 * 1024 * 1024
};

struct sl_cpu_pointwise_op {
    int64_t pixels;
    int64_t in, out;             /* channels */
    int64_t in_lanes, out_lanes; /* padded to whole vectors */
    int64_t paired;              /* pixels at a time, even */
    bool own_sums;
    size_t data_offset; /* of the weights for the source's gradient in packed ones */
};

/* ---- prepare ----------------------------------------------------------------------- */

bool sl_cpu_pointwise_suits(const struct sl_cpu_state *state, const struct sl_op_desc *d)
{
    /* Pairs of channels must not reach beyond a pixel. */
    return state->has_bf16 && d->type == SL_BF16 && d->kernel == 1 && d->stride == 1 &&
           d->pad == 0 && d->src_c % 2 == 0 && d->dst_c % 2 == 0;
}

static size_t sums_bytes(const struct sl_cpu_pointwise_op *w)
{
    return (size_t)(w->out * w->in_lanes) * sizeof(float);
}

static size_t paired_bytes(const struct sl_cpu_pointwise_op *w)
{
    return (size_t)(w->paired * (w->in_lanes + w->out_lanes)) * sizeof(uint16_t);
}

static enum sl_status pointwise_prepare(struct sl_error *err, struct sl_cpu_state *state,
                                        struct sl_prepared *op, struct sl_op_sizes *sizes)
{
    const struct sl_op_desc *d = &op->desc;
    SL_TRY(sl_heap_alloc(err, "a prepared convolution", 1, sizeof(*op->pointwise),
                         &op->pointwise));
    struct sl_cpu_pointwise_op *w = op->pointwise;
    w->pixels = (int64_t)d->n * d->src_h * d->src_w;
    w->in = d->src_c;
    w->out = d->dst_c;
    w->in_lanes = sl_cpu_lanes_up(w->in);
    w->out_lanes = sl_cpu_lanes_up(w->out);
    sizes->packed = (size_t)(w->in * w->out_lanes) * sizeof(uint16_t);
    if (!d->backward) {
        return SL_OK;
    }
    sizes->backward_reads_src = true;
    if (d->need_diff_src) {
        w->data_offset = sl_cpu_round(sizes->packed);
        sizes->packed =
            w->data_offset + (size_t)(w->out * w->in_lanes) * sizeof(uint16_t);
    }
    w->own_sums = sums_bytes(w) <= OWN_SUMS_BYTES;
    const int64_t pixel = (w->in_lanes + w->out_lanes) * (int64_t)sizeof(uint16_t);
    const int64_t bytes = w->own_sums ? PAIRED_BYTES : SHARED_BYTES;
    const int64_t all = (w->pixels + 1) / 2 * 2;
    w->paired = bytes / pixel / 2 * 2;
    w->paired = w->paired < 2 ? 2 : w->paired > all ? all : w->paired;
    sizes->packed_diff = sums_bytes(w);
    sizes->scratch = w->own_sums ? (size_t)state->threads *
                                       (sl_cpu_round(sums_bytes(w)) + paired_bytes(w))
                                 : paired_bytes(w);
    return SL_OK;
}

static void pointwise_drop(struct sl_prepared *op)
{
    sl_heap_free(op->pointwise);
}

/* ---- forward, and the gradient of the source --------------------------------------- */

struct pass {
    int64_t pixels, in, out;
    const uint16_t *src, *weights;
    uint16_t *dst;
    bool add;
};

/* Pixels begin .. end. */
static void run_pixels(const struct pass *pass, struct sl_cpu_range part)
{
    const int64_t most = ROWS_BYTES / (pass->in * (int64_t)sizeof(uint16_t));
    const int64_t at_a_time = most < 1 ? 1 : most;
    for (int64_t first = part.begin; first < part.end; first += at_a_time) {
        const int64_t left = part.end - first;
        const struct sl_cpu_product product = {
            .rows = left < at_a_time ? left : at_a_time,
            .vectors = sl_cpu_lanes_up(pass->out) / SL_CPU_LANES,
            .pairs = pass->in / 2,
            .a = pass->src + first * pass->in,
            .a_row = pass->in,
            .a_pair = 2,
            .b = pass->weights,
            .b_vector = pass->in * SL_CPU_LANES,
            .b_pair = (int64_t)2 * SL_CPU_LANES,
        };
        sl_cpu_product_bf16(&product, pass->out, pass->dst + first * pass->out, pass->out,
                            pass->add);
    }
}

static void pass_pixels(const void *context, struct sl_cpu_range pixels,
                        int part SL_UNUSED)
{
    run_pixels(context, pixels);
}

static void run_pass(const struct sl_cpu_state *state, const struct pass *pass)
{
    sl_cpu_split(state, pass->pixels, pass_pixels, pass);
}

static void pointwise_forward(struct sl_cpu_state *state, struct sl_prepared *op,
                              const struct sl_op_args *args)
{
    const struct sl_cpu_pointwise_op *w = op->pointwise;
    const struct pass pass = {.pixels = w->pixels,
                              .in = w->in,
                              .out = w->out,
                              .src = args->src,
                              .weights = args->packed,
                              .dst = args->dst};
    run_pass(state, &pass);
}

/* ---- backward ---------------------------------------------------------------------- */

static struct pass pass_to_source(const struct sl_prepared *op,
                                  const struct sl_op_args *args)
{
    const struct sl_cpu_pointwise_op *w = op->pointwise;
    return (struct pass){.pixels = w->pixels,
                         .in = w->out,
                         .out = w->in,
                         .src = args->diff_dst,
                         .weights =
                             (const void *)((const char *)args->packed + w->data_offset),
                         .dst = args->diff_src,
                         .add = args->diff_src_add};
}

/* dW (out, in lanes) (=|+=) products of `count` paired pixels, output channels begin ..
 * end. */
static void add_pixels(const struct sl_cpu_pointwise_op *w, int64_t count,
                       const uint16_t *x, const uint16_t *y, struct sl_cpu_range out,
                       bool add, struct sl_cpu_prefetch_span next, float *dw)
{
    if (out.begin == out.end) {
        return;
    }
    const struct sl_cpu_product product = {
        .rows = out.end - out.begin,
        .vectors = w->in_lanes / SL_CPU_LANES,
        .pairs = (count + 1) / 2,
        .a = y + 2 * out.begin,
        .a_row = 2,
        .a_pair = 2 * w->out_lanes,
        .b = x,
        .b_vector = (int64_t)2 * SL_CPU_LANES,
        .b_pair = 2 * w->in_lanes,
        .next = next,
    };
    sl_cpu_product_f32(&product, dw + out.begin * w->in_lanes, w->in_lanes, add);
}

/* What a part of it works on. */
struct weights_call {
    const struct sl_prepared *op;
    const struct sl_op_args *args;
    int64_t first, count; /* pixels, where all threads work on the same */
};

/* Scratch of a part that has its own sums, then its pairs. */
static unsigned char *own_room(const struct sl_cpu_pointwise_op *w,
                               const struct sl_op_args *args, int part)
{
    const size_t room = sl_cpu_round(sums_bytes(w)) + paired_bytes(w);
    return (unsigned char *)args->scratch + (size_t)part * room;
}

/* The products of pixels that are a part's own, and of the maps what its `left` others
 * will read next: the source during some of the output channels, the gradient during the
 * rest, so that each takes as long as its size asks for. */
static void add_own(const struct weights_call *call, struct sl_cpu_range pixels,
                    int64_t left, const uint16_t *x, const uint16_t *y, bool add,
                    float *dw)
{
    const struct sl_cpu_pointwise_op *w = call->op->pointwise;
    const int64_t count = pixels.end - pixels.begin;
    const int64_t next = left < w->paired ? left : w->paired;
    const int64_t item = sizeof(uint16_t);
    const int64_t split = w->out * w->in / (w->in + w->out);
    struct sl_cpu_prefetch_span src = {.begin = NULL};
    struct sl_cpu_prefetch_span diff_dst = {.begin = NULL};
    if (next > 0) {
        src.begin = (const char *)call->args->src + pixels.end * w->in * item;
        src.bytes = next * w->in * item;
        diff_dst.begin = (const char *)call->args->diff_dst + pixels.end * w->out * item;
        diff_dst.bytes = next * w->out * item;
    }
    add_pixels(w, count, x, y, (struct sl_cpu_range){0, split}, add, src, dw);
    add_pixels(w, count, x, y, (struct sl_cpu_range){split, w->out}, add, diff_dst, dw);
}

static void backward_pixels(const void *context, struct sl_cpu_range pixels, int part)
{
    const struct weights_call *call = context;
    const struct sl_cpu_pointwise_op *w = call->op->pointwise;
    const struct pass to_source = pass_to_source(call->op, call->args);
    const uint16_t *src = call->args->src;
    const uint16_t *diff_dst = call->args->diff_dst;
    unsigned char *own = own_room(w, call->args, part);
    float *dw = part == 0 ? call->args->packed_diff : (float *)(void *)own;
    uint16_t *x = (uint16_t *)(void *)(own + sl_cpu_round(sums_bytes(w)));
    uint16_t *y = x + w->paired * w->in_lanes;
    if (pixels.begin == pixels.end) {
        memset(dw, 0, sums_bytes(w));
    }
    for (int64_t first = pixels.begin; first < pixels.end; first += w->paired) {
        const int64_t left = pixels.end - first;
        const int64_t count = left < w->paired ? left : w->paired;
        sl_pointwise_pairs(src + first * w->in, count, w->in, w->in_lanes, x);
        sl_pointwise_pairs(diff_dst + first * w->out, count, w->out, w->out_lanes, y);
        add_own(call, (struct sl_cpu_range){first, first + count}, left - count, x, y,
                first > pixels.begin, dw);
        if (call->op->desc.need_diff_src) {
            run_pixels(&to_source, (struct sl_cpu_range){first, first + count});
        }
    }
}

/* Each part sums its own pixels; part 0 in the result itself, the others beside it,
 * joined in the order of parts. The source's gradient of some pixels follows while those
 * of dst are still near. */
static void backward_by_pixels(struct sl_cpu_state *state, const struct sl_prepared *op,
                               const struct sl_op_args *args)
{
    const struct sl_cpu_pointwise_op *w = op->pointwise;
    const struct weights_call call = {.op = op, .args = args};
    sl_cpu_split(state, w->pixels, backward_pixels, &call);
    for (int t = 1; t < state->threads; t++) {
        sl_cpu_accumulate(state, &(struct sl_op_desc){.type = SL_F32},
                          w->out * w->in_lanes, own_room(w, args, t), args->packed_diff);
    }
}

static void pair_pixels(const void *context, struct sl_cpu_range pairs,
                        int part SL_UNUSED)
{
    const struct weights_call *call = context;
    const struct sl_cpu_pointwise_op *w = call->op->pointwise;
    const uint16_t *src = call->args->src;
    const uint16_t *diff_dst = call->args->diff_dst;
    uint16_t *x = call->args->scratch;
    uint16_t *y = x + w->paired * w->in_lanes;
    const int64_t begin = 2 * pairs.begin;
    const int64_t end = 2 * pairs.end < call->count ? 2 * pairs.end : call->count;
    sl_pointwise_pairs(src + (call->first + begin) * w->in, end - begin, w->in,
                       w->in_lanes, x + begin * w->in_lanes);
    sl_pointwise_pairs(diff_dst + (call->first + begin) * w->out, end - begin, w->out,
                       w->out_lanes, y + begin * w->out_lanes);
}

static void sum_channels(const void *context, struct sl_cpu_range out, int part SL_UNUSED)
{
    const struct weights_call *call = context;
    const struct sl_cpu_pointwise_op *w = call->op->pointwise;
    const uint16_t *x = call->args->scratch;
    const uint16_t *y = x + w->paired * w->in_lanes;
    add_pixels(w, call->count, x, y, out, call->first > 0,
               (struct sl_cpu_prefetch_span){.begin = NULL}, call->args->packed_diff);
}

/* All threads pair many pixels, then each sums some of the output channels. */
static void weights_by_channels(struct sl_cpu_state *state, const struct sl_prepared *op,
                                const struct sl_op_args *args)
{
    const struct sl_cpu_pointwise_op *w = op->pointwise;
    for (int64_t first = 0; first < w->pixels; first += w->paired) {
        const int64_t left = w->pixels - first;
        const struct weights_call call = {.op = op,
                                          .args = args,
                                          .first = first,
                                          .count = left < w->paired ? left : w->paired};
        sl_cpu_split(state, (call.count + 1) / 2, pair_pixels, &call);
        sl_cpu_split(state, w->out, sum_channels, &call);
    }
}

static void pointwise_backward(struct sl_cpu_state *state, struct sl_prepared *op,
                               const struct sl_op_args *args)
{
    const struct sl_cpu_pointwise_op *w = op->pointwise;
    if (w->own_sums) {
        backward_by_pixels(state, op, args);
        return;
    }
    weights_by_channels(state, op, args);
    if (op->desc.need_diff_src) {
        const struct pass to_source = pass_to_source(op, args);
        run_pass(state, &to_source);
    }
}

/* ---- masters ----------------------------------------------------------------------- */

struct pack_call {
    const struct sl_pointwise_weights *weights;
    uint16_t *u;
};

static void pack_vectors(const void *context, struct sl_cpu_range vectors,
                         int part SL_UNUSED)
{
    const struct pack_call *call = context;
    for (int64_t vector = vectors.begin; vector < vectors.end; vector++) {
        struct sl_pointwise_weights rest = *call->weights;
        rest.g += vector * SL_CPU_LANES * rest.column_stride;
        rest.columns -= vector * SL_CPU_LANES;
        sl_pointwise_weights(&rest, call->u + vector * SL_CPU_LANES * rest.rows);
    }
}

static void pack_weights(const struct sl_cpu_state *state,
                         const struct sl_pointwise_weights *weights, uint16_t *u)
{
    const struct pack_call call = {.weights = weights, .u = u};
    sl_cpu_split(state, sl_cpu_lanes_up(weights->columns) / SL_CPU_LANES, pack_vectors,
                 &call);
}

static void pointwise_pack(struct sl_cpu_state *state, struct sl_prepared *op,
                           const struct sl_slice *master, void *packed)
{
    const struct sl_cpu_pointwise_op *w = op->pointwise;
    const struct sl_pointwise_weights forward = {
        .g = master->data,
        .row_stride = master->in_stride,
        .column_stride = master->out_stride,
        .rows = master->in,
        .columns = master->out,
    };
    pack_weights(state, &forward, packed);
    if (w->data_offset > 0) {
        const struct sl_pointwise_weights turned = {
            .g = master->data,
            .row_stride = master->out_stride,
            .column_stride = master->in_stride,
            .rows = master->out,
            .columns = master->in,
        };
        pack_weights(state, &turned, (void *)((char *)packed + w->data_offset));
    }
}

static double pointwise_unpack_add(struct sl_cpu_state *state, struct sl_prepared *op,
                                   const void *packed_diff, const struct sl_slice *master)
{
    return sl_cpu_scatter(state, master, packed_diff, op->pointwise->in_lanes);
}

const struct sl_cpu_kind sl_cpu_pointwise = {
    .prepare = pointwise_prepare,
    .drop = pointwise_drop,
    .forward = pointwise_forward,
    .backward = pointwise_backward,
    .pack = pointwise_pack,
    .unpack_add = pointwise_unpack_add,
};
