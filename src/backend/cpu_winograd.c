/* SPDX-License-Identifier: MIT */
/*
 * The 3x3 convolution of bfloat16 maps with stride 1 as Winograd's F(2x2, 3x3): memory,
 * threads and the order of work around the loops of cpu_winograd_int.h. It takes the
 * place of the library's convolution where it is faster (sl_cpu_winograd_suits): 16
 * products instead of 36, at the price of going to the points and back, which pays at
 * sixteen channels and from two dozen on.
 *
 * Packed weights are points: those of forward, then, when the source's gradient is
 * wanted, those of the turned kernel with the channels' roles exchanged. A packed
 * gradient is float32 points (16, out, in lanes).
 */
#include "backend/cpu_int.h"
#include "backend/cpu_prefetch_int.h"
#include "backend/cpu_winograd_int.h"

#include <string.h>

enum {
    POINTS = SL_WINOGRAD_POINTS,
    /* With fewer channels, but for a vector full of them, too much is padding. */
    CHANNELS_LEAST = 24,
    /* Tiles worked on at a time, and the bytes of their points and products, which should
     * stay in a core's own cache. */
    TILES_LEAST = 12,
    TILES_MOST = 96,
    TILE_BYTES = 480 * 1024,
    /* The same for the gradient of the weights. */
    PAIRED_LEAST = 32,
    PAIRED_MOST = 512,
    PAIRED_BYTES = 512 * 1024,
    /* Points of the weights' gradient up to which each thread has its own sums; with
     * more, threads share the points instead, and the tiles at a time are many. */
    OWN_SUMS_BYTES = 1280 * 1024,
    SHARED_BYTES = 8 * 1024 * 1024
};

struct sl_cpu_winograd_op {
    struct sl_winograd_map src, dst;
    int64_t tiles;                     /* of either map */
    int64_t forward_tiles, data_tiles; /* at a time */
    int64_t paired_tiles;              /* at a time, even */
    bool own_sums;
    size_t data_offset; /* of the turned kernel in packed weights */
};

/* ---- prepare ----------------------------------------------------------------------- */

bool sl_cpu_winograd_suits(const struct sl_cpu_state *state, const struct sl_op_desc *d)
{
    const int fewest = d->src_c < d->dst_c ? d->src_c : d->dst_c;
    return state->has_bf16 && d->type == SL_BF16 && d->kernel == 3 && d->stride == 1 &&
           d->pad == 1 &&
           (fewest >= CHANNELS_LEAST ||
            (d->src_c == SL_CPU_LANES && d->dst_c == SL_CPU_LANES));
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t between(int64_t value, int64_t least, int64_t most)
{
    return value < least ? least : value > most ? most : value;
}

/* Tiles at a time, a multiple of the rows of a block of products. */
static int64_t tiles_at_a_time(const struct sl_winograd_map *from,
                               const struct sl_winograd_map *to)
{
    const int64_t bytes = POINTS * (2 * from->lanes + 4 * to->lanes);
    return between(TILE_BYTES / bytes / TILES_LEAST * TILES_LEAST, TILES_LEAST,
                   TILES_MOST);
}

/* Values between the points of what the names say. */
static int64_t weights_stride(int64_t in_lanes, int64_t out_lanes)
{
    return sl_winograd_stride(in_lanes * out_lanes, sizeof(uint16_t));
}

static int64_t tiles_stride(int64_t tiles, const struct sl_winograd_map *map)
{
    return sl_winograd_stride(tiles * map->lanes, sizeof(uint16_t));
}

static int64_t products_stride(int64_t tiles, const struct sl_winograd_map *map)
{
    return sl_winograd_stride(tiles * map->lanes, sizeof(float));
}

static int64_t sums_stride(const struct sl_cpu_winograd_op *w)
{
    return sl_winograd_stride(w->dst.channels * w->src.lanes, sizeof(float));
}

static size_t weights_bytes(int64_t in_lanes, int64_t out_lanes)
{
    return (size_t)(POINTS * weights_stride(in_lanes, out_lanes)) * sizeof(uint16_t);
}

static size_t sums_bytes(const struct sl_cpu_winograd_op *w)
{
    return (size_t)(POINTS * sums_stride(w)) * sizeof(float);
}

/* Points of `tiles` tiles from one map and their products for another. */
static size_t pass_bytes(int64_t tiles, const struct sl_winograd_map *from,
                         const struct sl_winograd_map *to)
{
    return (size_t)(POINTS *
                    (2 * tiles_stride(tiles, from) + 4 * products_stride(tiles, to)));
}

static size_t paired_bytes(const struct sl_cpu_winograd_op *w)
{
    return (size_t)(POINTS * 2 *
                    (tiles_stride(w->paired_tiles, &w->src) +
                     tiles_stride(w->paired_tiles, &w->dst)));
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static enum sl_status winograd_prepare(struct sl_error *err, struct sl_cpu_state *state,
                                       struct sl_prepared *op, struct sl_op_sizes *sizes)
{
    const struct sl_op_desc *d = &op->desc;
    const size_t threads = (size_t)state->threads;
    SL_TRY(sl_heap_alloc(err, "a prepared convolution", 1, sizeof(*op->winograd),
                         &op->winograd));
    struct sl_cpu_winograd_op *w = op->winograd;
    w->src = sl_winograd_map_of(d->n, d->src_h, d->src_w, d->src_c);
    w->dst = sl_winograd_map_of(d->n, d->dst_h, d->dst_w, d->dst_c);
    w->tiles = sl_winograd_tiles(&w->src);
    w->forward_tiles = tiles_at_a_time(&w->src, &w->dst);
    sizes->packed = weights_bytes(w->src.lanes, w->dst.lanes);
    sizes->scratch = threads * pass_bytes(w->forward_tiles, &w->src, &w->dst);
    if (!d->backward) {
        return SL_OK;
    }
    sizes->backward_reads_src = true;
    if (d->need_diff_src) {
        w->data_tiles = tiles_at_a_time(&w->dst, &w->src);
        w->data_offset = sl_cpu_round(sizes->packed);
        sizes->packed = w->data_offset + weights_bytes(w->dst.lanes, w->src.lanes);
        sizes->scratch =
            larger(sizes->scratch, threads * pass_bytes(w->data_tiles, &w->dst, &w->src));
    }
    const int64_t tile_bytes = POINTS * 2 * (w->src.lanes + w->dst.lanes);
    w->own_sums = sums_bytes(w) <= OWN_SUMS_BYTES;
    w->paired_tiles = w->own_sums ? between(PAIRED_BYTES / tile_bytes / 2 * 2,
                                            PAIRED_LEAST, PAIRED_MOST)
                                  : between(SHARED_BYTES / tile_bytes / 2 * 2,
                                            PAIRED_LEAST, (w->tiles + 1) / 2 * 2);
    sizes->packed_diff = sums_bytes(w);
    sizes->scratch =
        larger(sizes->scratch,
               w->own_sums ? threads * (sl_cpu_round(sums_bytes(w)) + paired_bytes(w))
                           : paired_bytes(w));
    return SL_OK;
}

static void winograd_drop(struct sl_prepared *op)
{
    sl_heap_free(op->winograd);
}

/* ---- forward, and the gradient of the source --------------------------------------- */

/* The part of a map under `count` tiles from `first` on: each of the products asks for a
 * sixteenth of what comes after them. */
static void prefetch_tiles(struct sl_cpu_prefetch *prefetch,
                           const struct sl_winograd_map *map, const uint16_t *at,
                           int64_t first, int64_t count, bool written)
{
    const struct sl_winograd_span span = sl_winograd_span_of(map, first, count);
    sl_cpu_prefetch_add(prefetch, at + span.begin,
                        (span.end - span.begin) * (int64_t)sizeof(*at), written);
}

/* dst (=|+=) the convolution of src with the points of a kernel, tile by tile. */
struct pass {
    const struct sl_winograd_map *from, *to;
    const uint16_t *src, *weights;
    uint16_t *dst;
    void *scratch;
    int64_t tiles; /* at a time */
    bool add;
};

/* `next` tiles follow in the same part. */
static void run_tiles(const struct pass *pass, int64_t first, int64_t count, int64_t next,
                      unsigned char *scratch)
{
    const int64_t in = pass->from->lanes;
    const int64_t out = pass->to->lanes;
    const int64_t v_stride = tiles_stride(count, pass->from);
    const int64_t m_stride = products_stride(count, pass->to);
    uint16_t *v = (uint16_t *)(void *)scratch;           /* (16, count, in) */
    float *m = (float *)(void *)(v + POINTS * v_stride); /* (16, count, out) */
    sl_winograd_input(pass->from, pass->src, first, count, v_stride, v);
    struct sl_cpu_prefetch prefetch = {0};
    prefetch_tiles(&prefetch, pass->to, pass->dst, first, count, true);
    prefetch_tiles(&prefetch, pass->from, pass->src, first + count, next, false);
    for (int p = 0; p < POINTS; p++) {
        const struct sl_cpu_product product = {
            .rows = count,
            .vectors = out / SL_CPU_LANES,
            .pairs = in / 2,
            .a = v + p * v_stride,
            .a_row = in,
            .a_pair = 2,
            .b = pass->weights + p * weights_stride(in, out),
            .b_vector = in * SL_CPU_LANES,
            .b_pair = (int64_t)2 * SL_CPU_LANES,
            .next = sl_cpu_prefetch_share(&prefetch, p, POINTS),
        };
        sl_cpu_product_f32(&product, m + p * m_stride, out, false);
    }
    sl_winograd_output(pass->to, m, first, count, m_stride, pass->dst, pass->add);
}

static void pass_tiles(const void *context, struct sl_cpu_range tiles, int part)
{
    const struct pass *pass = context;
    const size_t room = pass_bytes(pass->tiles, pass->from, pass->to);
    for (int64_t first = tiles.begin; first < tiles.end; first += pass->tiles) {
        const int64_t left = tiles.end - first;
        const int64_t count = least(left, pass->tiles);
        run_tiles(pass, first, count, least(left - count, pass->tiles),
                  (unsigned char *)pass->scratch + (size_t)part * room);
    }
}

static void winograd_forward(struct sl_cpu_state *state, struct sl_prepared *op,
                             const struct sl_op_args *args)
{
    const struct sl_cpu_winograd_op *w = op->winograd;
    const struct pass pass = {
        .from = &w->src,
        .to = &w->dst,
        .src = args->src,
        .weights = args->packed,
        .dst = args->dst,
        .scratch = args->scratch,
        .tiles = w->forward_tiles,
    };
    sl_cpu_split(state, w->tiles, pass_tiles, &pass);
}

/* ---- the gradient of the weights --------------------------------------------------- */

/* dU (16, out, in lanes) (=|+=) products of `count` paired tiles, points begin .. end. */
static void add_points(const struct sl_cpu_winograd_op *w, int64_t count,
                       const uint16_t *v, const uint16_t *y, struct sl_cpu_range points,
                       bool add, const struct sl_cpu_prefetch *prefetch, float *du)
{
    const int64_t in = w->src.lanes;
    const int64_t out = w->dst.lanes;
    for (int64_t p = points.begin; p < points.end; p++) {
        const struct sl_cpu_product product = {
            .rows = w->dst.channels,
            .vectors = in / SL_CPU_LANES,
            .pairs = count / 2,
            .a = y + p * tiles_stride(count, &w->dst),
            .a_row = 2,
            .a_pair = 2 * out,
            .b = v + p * tiles_stride(count, &w->src),
            .b_vector = (int64_t)2 * SL_CPU_LANES,
            .b_pair = 2 * in,
            .next = sl_cpu_prefetch_share(prefetch, (int)p, POINTS),
        };
        sl_cpu_product_f32(&product, du + p * sums_stride(w), in, add);
    }
}

static int64_t even(int64_t n)
{
    return (n + 1) / 2 * 2;
}

/* What a part of it works on. */
struct weights_call {
    const struct sl_cpu_winograd_op *w;
    const struct sl_op_args *args;
    int64_t first, count; /* tiles, where all threads work on the same */
};

/* Scratch of a part that has its own sums, then its points. */
static unsigned char *own_room(const struct sl_cpu_winograd_op *w,
                               const struct sl_op_args *args, int part)
{
    const size_t room = sl_cpu_round(sums_bytes(w)) + paired_bytes(w);
    return (unsigned char *)args->scratch + (size_t)part * room;
}

/* Ranges are of pairs of tiles, so that those of two parts do not overlap. */
static void sum_tiles(const void *context, struct sl_cpu_range pairs, int part)
{
    const struct weights_call *call = context;
    const struct sl_cpu_winograd_op *w = call->w;
    unsigned char *own = own_room(w, call->args, part);
    float *du = part == 0 ? call->args->packed_diff : (float *)(void *)own;
    uint16_t *v = (uint16_t *)(void *)(own + sl_cpu_round(sums_bytes(w)));
    if (pairs.begin == pairs.end) {
        memset(du, 0, sums_bytes(w));
    }
    const int64_t end = 2 * pairs.end;
    for (int64_t first = 2 * pairs.begin; first < end; first += w->paired_tiles) {
        const int64_t left = end - first;
        const int64_t count = least(left, w->paired_tiles);
        uint16_t *y = v + POINTS * tiles_stride(count, &w->src);
        sl_winograd_input_pairs(&w->src, call->args->src, first, count,
                                tiles_stride(count, &w->src), v);
        sl_winograd_gradient_pairs(&w->dst, call->args->diff_dst, first, count,
                                   tiles_stride(count, &w->dst), y);
        struct sl_cpu_prefetch prefetch = {0};
        const int64_t next = least(left - count, w->paired_tiles);
        prefetch_tiles(&prefetch, &w->src, call->args->src, first + count, next, false);
        prefetch_tiles(&prefetch, &w->dst, call->args->diff_dst, first + count, next,
                       false);
        add_points(w, count, v, y, (struct sl_cpu_range){0, POINTS},
                   first > 2 * pairs.begin, &prefetch, du);
    }
}

/* Each part sums its own tiles; part 0 in the result itself, the others beside it, joined
 * in the order of parts. */
static void weights_by_tiles(struct sl_cpu_state *state, const struct sl_prepared *op,
                             const struct sl_op_args *args)
{
    const struct sl_cpu_winograd_op *w = op->winograd;
    const struct weights_call call = {.w = w, .args = args};
    sl_cpu_split(state, (w->tiles + 1) / 2, sum_tiles, &call);
    for (int t = 1; t < state->threads; t++) {
        sl_cpu_accumulate(state, &(struct sl_op_desc){.type = SL_F32},
                          POINTS * sums_stride(w), own_room(w, args, t),
                          args->packed_diff);
    }
}

/* Scratch that all threads share has the points of x, then those of the gradient. */
static uint16_t *gradient_points(const struct weights_call *call)
{
    return (uint16_t *)call->args->scratch +
           POINTS * tiles_stride(call->count, &call->w->src);
}

static void go_to_points(const void *context, struct sl_cpu_range pairs,
                         int part SL_UNUSED)
{
    const struct weights_call *call = context;
    const struct sl_cpu_winograd_op *w = call->w;
    uint16_t *v = call->args->scratch;
    const int64_t at = 2 * pairs.begin;
    const int64_t tiles = 2 * (pairs.end - pairs.begin);
    sl_winograd_input_pairs(&w->src, call->args->src, call->first + at, tiles,
                            tiles_stride(call->count, &w->src), v + at * w->src.lanes);
    sl_winograd_gradient_pairs(&w->dst, call->args->diff_dst, call->first + at, tiles,
                               tiles_stride(call->count, &w->dst),
                               gradient_points(call) + at * w->dst.lanes);
}

static void sum_points(const void *context, struct sl_cpu_range points,
                       int part SL_UNUSED)
{
    const struct weights_call *call = context;
    const struct sl_cpu_prefetch nothing = {0};
    add_points(call->w, call->count, call->args->scratch, gradient_points(call), points,
               call->first > 0, &nothing, call->args->packed_diff);
}

/* All threads go to the points of many tiles, then each sums some of the points. */
static void weights_by_points(struct sl_cpu_state *state, const struct sl_prepared *op,
                              const struct sl_op_args *args)
{
    const struct sl_cpu_winograd_op *w = op->winograd;
    const int64_t end = even(w->tiles);
    for (int64_t first = 0; first < end; first += w->paired_tiles) {
        const int64_t left = end - first;
        const struct weights_call call = {
            .w = w, .args = args, .first = first, .count = least(left, w->paired_tiles)};
        sl_cpu_split(state, call.count / 2, go_to_points, &call);
        sl_cpu_split(state, POINTS, sum_points, &call);
    }
}

static void winograd_backward(struct sl_cpu_state *state, struct sl_prepared *op,
                              const struct sl_op_args *args)
{
    const struct sl_cpu_winograd_op *w = op->winograd;
    if (w->own_sums) {
        weights_by_tiles(state, op, args);
    } else {
        weights_by_points(state, op, args);
    }
    if (op->desc.need_diff_src) {
        const struct pass pass = {
            .from = &w->dst,
            .to = &w->src,
            .src = args->diff_dst,
            .weights = (const uint16_t *)((const void *)((const char *)args->packed +
                                                         w->data_offset)),
            .dst = args->diff_src,
            .scratch = args->scratch,
            .tiles = w->data_tiles,
            .add = args->diff_src_add,
        };
        sl_cpu_split(state, w->tiles, pass_tiles, &pass);
    }
}

/* ---- masters ----------------------------------------------------------------------- */

struct pack_call {
    const struct sl_winograd_weights *weights;
    uint16_t *u;
};

static void pack_vectors(const void *context, struct sl_cpu_range vectors,
                         int part SL_UNUSED)
{
    const struct pack_call *call = context;
    const int64_t in = sl_cpu_lanes_up(call->weights->rows);
    const int64_t out = sl_cpu_lanes_up(call->weights->columns);
    for (int64_t vector = vectors.begin; vector < vectors.end; vector++) {
        struct sl_winograd_weights rest = *call->weights;
        rest.g += vector * SL_CPU_LANES * rest.column_stride;
        rest.columns -= (int)(vector * SL_CPU_LANES);
        sl_winograd_weights(&rest, in / 2, weights_stride(in, out),
                            call->u + vector * SL_CPU_LANES * in);
    }
}

/* Points of a kernel that sums over `rows` channels and makes `columns`. */
static void pack_points(const struct sl_cpu_state *state,
                        const struct sl_winograd_weights *weights, uint16_t *u)
{
    const struct pack_call call = {.weights = weights, .u = u};
    sl_cpu_split(state, sl_cpu_lanes_up(weights->columns) / SL_CPU_LANES, pack_vectors,
                 &call);
}

static void winograd_pack(struct sl_cpu_state *state, struct sl_prepared *op,
                          const struct sl_slice *master, void *packed)
{
    const struct sl_cpu_winograd_op *w = op->winograd;
    const struct sl_winograd_weights forward = {
        .g = master->data,
        .row_stride = master->in_stride,
        .column_stride = master->out_stride,
        .rows = master->in,
        .columns = master->out,
    };
    pack_points(state, &forward, packed);
    if (w->data_offset > 0) {
        const struct sl_winograd_weights turned = {
            .g = master->data,
            .row_stride = master->out_stride,
            .column_stride = master->in_stride,
            .rows = master->out,
            .columns = master->in,
            .flip = true,
        };
        pack_points(state, &turned,
                    (uint16_t *)((void *)((char *)packed + w->data_offset)));
    }
}

struct unpack_call {
    const struct sl_cpu_winograd_op *w;
    const float *du;
    const struct sl_slice *master;
    double *squares; /* of each part */
};

static void unpack_channels(const void *context, struct sl_cpu_range out, int part)
{
    const struct unpack_call *call = context;
    const struct sl_slice *master = call->master;
    double sum = 0.0;
    for (int64_t o = out.begin; o < out.end; o++) {
        sum += sl_winograd_weights_gradient(
            call->du + o * call->w->src.lanes, sums_stride(call->w), master->in,
            master->in_stride, master->data + o * master->out_stride);
    }
    call->squares[part] = sum;
}

static double winograd_unpack_add(struct sl_cpu_state *state, struct sl_prepared *op,
                                  const void *packed_diff, const struct sl_slice *master)
{
    double squares[SL_CPU_THREADS_MAX];
    const struct unpack_call call = {
        .w = op->winograd, .du = packed_diff, .master = master, .squares = squares};
    sl_cpu_split(state, master->out, unpack_channels, &call);
    double total = 0.0;
    for (int t = 0; t < state->threads; t++) {
        total += squares[t];
    }
    return total;
}

const struct sl_cpu_kind sl_cpu_winograd = {
    .prepare = winograd_prepare,
    .drop = winograd_drop,
    .forward = winograd_forward,
    .backward = winograd_backward,
    .pack = winograd_pack,
    .unpack_add = winograd_unpack_add,
};
