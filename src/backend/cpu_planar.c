/* SPDX-License-Identifier: MIT */
/*
 * The 3x3 convolution of bfloat16 maps with few channels and stride 1: memory, threads
 * and the order of work around the loops of cpu_planar_int.h. It takes the place of the
 * library's convolution (sl_cpu_planar_suits), which fills its vectors with channels and
 * falls to a fifth of the machine's speed at four of them. Threads share the pictures.
 *
 * Packed weights are pairs over the input channels (out, in / 2, 9), then, when the
 * source's gradient is wanted, those of the turned kernel with the channels' roles
 * exchanged. A packed gradient is float32 (out, in, 9).
 */
#include "backend/cpu_int.h"
#include "backend/cpu_planar_int.h"

#include <string.h>

enum {
    CHANNELS_MOST = 22,
    /* A vector full of channels, in and out, where Winograd's way is faster, as it is
     * from 24 channels on. */
    CHANNELS_FULL = 16,
    TAPS = SL_PLANAR_TAPS,
    LANES = SL_PLANAR_LANES,
    /* Positions of planes that the gradient of the weights takes at a time. */
    POSITIONS = 2048,
    /* Values that a vector may reach beyond a set of planes. */
    BEYOND = 128
};

struct sl_cpu_planar_op {
    struct sl_planar_map src, dst; /* of one picture; they differ in channels */
    int64_t group;      /* pictures at a time for the gradient of the weights */
    int64_t stride;     /* of its planes */
    size_t data_offset; /* of the turned kernel in packed weights */
};

/* ---- prepare ----------------------------------------------------------------------- */

bool sl_cpu_planar_suits(const struct sl_cpu_state *state, const struct sl_op_desc *d)
{
    const int most = d->src_c > d->dst_c ? d->src_c : d->dst_c;
    const bool fills = d->src_c == CHANNELS_FULL && d->dst_c == CHANNELS_FULL;
    return state->has_bf16 && d->type == SL_BF16 && d->kernel == 3 && d->stride == 1 &&
           d->pad == 1 && d->src_c % 2 == 0 && d->dst_c % 2 == 0 &&
           most <= CHANNELS_MOST && !fills;
}

/* What one part works in. */
struct room {
    uint32_t *from, *to; /* pairs of a picture of either map */
    uint32_t *made;      /* of the source's gradient */
    uint16_t *x, *y;     /* single values of a group of pictures */
    float *sums;         /* (out, in, 9, lanes) */
};

static void *take(unsigned char *base, size_t *used, size_t bytes)
{
    void *part = base == NULL ? NULL : base + *used;
    *used += sl_cpu_round(bytes);
    return part;
}

/* With base NULL the room is only measured. */
static size_t room_in(const struct sl_cpu_planar_op *w, bool backward,
                      unsigned char *base, struct room *room)
{
    const int most =
        w->src.channels > w->dst.channels ? w->src.channels : w->dst.channels;
    const size_t pairs =
        (size_t)(most / 2 * w->src.plane + w->src.pitch + BEYOND) * sizeof(uint32_t);
    size_t used = 0;
    room->from = take(base, &used, pairs);
    room->to = take(base, &used, pairs);
    if (backward) {
        room->made = take(base, &used, pairs);
        room->x = take(base, &used,
                       (size_t)(w->src.channels * w->stride + BEYOND) * sizeof(uint16_t));
        room->y = take(base, &used,
                       (size_t)(w->dst.channels * w->stride + BEYOND) * sizeof(uint16_t));
        room->sums = take(base, &used,
                          (size_t)w->dst.channels * (size_t)w->src.channels * TAPS *
                              LANES * sizeof(float));
    }
    return used;
}

static enum sl_status planar_prepare(struct sl_error *err, struct sl_cpu_state *state,
                                     struct sl_prepared *op, struct sl_op_sizes *sizes)
{
    const struct sl_op_desc *d = &op->desc;
    const size_t weights = (size_t)d->dst_c * (size_t)d->src_c * TAPS;
    struct room room;
    SL_TRY(sl_heap_alloc(err, "a prepared convolution", 1, sizeof(*op->planar),
                         &op->planar));
    struct sl_cpu_planar_op *w = op->planar;
    w->src = sl_planar_map_of(d->src_h, d->src_w, d->src_c);
    w->dst = sl_planar_map_of(d->dst_h, d->dst_w, d->dst_c);
    w->group = POSITIONS / w->src.step < 1 ? 1 : POSITIONS / w->src.step;
    /* A set of planes ends with room for a vector and the last tap's shift. */
    w->stride = (w->group * w->src.step + 2 * w->src.pitch + BEYOND + 31) / 32 * 32;
    sizes->packed = weights * sizeof(uint16_t);
    if (d->backward) {
        sizes->backward_reads_src = true;
        sizes->packed_diff = weights * sizeof(float);
        if (d->need_diff_src) {
            w->data_offset = sl_cpu_round(sizes->packed);
            sizes->packed = w->data_offset + weights * sizeof(uint16_t);
        }
    }
    sizes->scratch =
        (size_t)state->threads * sl_cpu_round(room_in(w, d->backward, NULL, &room));
    return SL_OK;
}

static void planar_drop(struct sl_prepared *op)
{
    sl_heap_free(op->planar);
}

static struct room room_of(const struct sl_prepared *op, void *scratch, int t)
{
    struct room room = {0};
    const size_t bytes =
        sl_cpu_round(room_in(op->planar, op->desc.backward, NULL, &room));
    (void)room_in(op->planar, op->desc.backward,
                  (unsigned char *)scratch + (size_t)t * bytes, &room);
    return room;
}

/* The border of planes, once: pictures only write what is inside. */
static void clear_planes(const struct sl_planar_map *map, uint32_t *planes)
{
    memset(planes, 0,
           (size_t)(map->channels / 2 * map->plane + map->pitch + BEYOND) *
               sizeof(*planes));
}

/* ---- forward ----------------------------------------------------------------------- */

/* Bytes of a picture. */
static int64_t bytes_of(const struct sl_planar_map *map)
{
    return (int64_t)map->height * map->width * map->channels * (int64_t)sizeof(uint16_t);
}

/* Picture n of a map. */
static void *picture_of(const struct sl_planar_map *map, const void *maps, int64_t n)
{
    return (char *)maps + n * bytes_of(map);
}

/* What a part of a call works on. */
struct call {
    const struct sl_prepared *op;
    const struct sl_op_args *args;
};

static void forward_pictures(const void *context, struct sl_cpu_range pictures, int part)
{
    const struct call *call = context;
    const struct sl_cpu_planar_op *w = call->op->planar;
    const struct sl_op_args *args = call->args;
    const struct room room = room_of(call->op, args->scratch, part);
    clear_planes(&w->src, room.from);
    for (int64_t n = pictures.begin; n < pictures.end; n++) {
        uint16_t *dst = picture_of(&w->dst, args->dst, n);
        struct sl_cpu_prefetch prefetch = {0};
        sl_cpu_prefetch_add(&prefetch, dst, bytes_of(&w->dst), true);
        if (n + 1 < pictures.end) {
            sl_cpu_prefetch_add(&prefetch, picture_of(&w->src, args->src, n + 1),
                                bytes_of(&w->src), false);
        }
        sl_planar_spread(&w->src, picture_of(&w->src, args->src, n), room.from);
        sl_planar_convolve(&w->src, w->dst.channels, room.from, args->packed, &prefetch,
                           room.to);
        sl_planar_gather(&w->dst, room.to, dst, false);
    }
}

static void planar_forward(struct sl_cpu_state *state, struct sl_prepared *op,
                           const struct sl_op_args *args)
{
    const struct call call = {.op = op, .args = args};
    sl_cpu_split(state, op->desc.n, forward_pictures, &call);
}

/* ---- backward ---------------------------------------------------------------------- */

/* Gradients of positions begin .. end become 0: a short group has those of the one before
 * behind it, and sums go to the end of a vector. */
static void clear_behind(const struct sl_cpu_planar_op *w, int64_t begin, int64_t end,
                         uint16_t *y)
{
    for (int64_t c = 0; c < w->dst.channels; c++) {
        memset(y + c * w->stride + begin, 0, (size_t)(end - begin) * sizeof(*y));
    }
}

/* The source's gradient of picture n, whose planes of dst's gradient are in `room`. */
static void make_source(const struct sl_prepared *op, const struct sl_op_args *args,
                        const struct room *room, int64_t n, bool is_last)
{
    const struct sl_cpu_planar_op *w = op->planar;
    uint16_t *diff_src = picture_of(&w->src, args->diff_src, n);
    struct sl_cpu_prefetch prefetch = {0};
    sl_cpu_prefetch_add(&prefetch, diff_src, bytes_of(&w->src), true);
    if (!is_last) {
        sl_cpu_prefetch_add(&prefetch, picture_of(&w->src, args->src, n + 1),
                            bytes_of(&w->src), false);
        sl_cpu_prefetch_add(&prefetch, picture_of(&w->dst, args->diff_dst, n + 1),
                            bytes_of(&w->dst), false);
    }
    sl_planar_convolve(
        &w->dst, w->src.channels, room->to,
        (const void *)((const unsigned char *)args->packed + w->data_offset), &prefetch,
        room->made);
    sl_planar_gather(&w->src, room->made, diff_src, args->diff_src_add);
}

/* Pictures begin .. end of a part: the source's gradient, and sums for the weights'. */
static void run_backward(const struct sl_prepared *op, const struct sl_op_args *args,
                         const struct room *room, struct sl_cpu_range part)
{
    const struct sl_cpu_planar_op *w = op->planar;
    /* What lies between pictures and behind the last must be numbers: it meets zeros. */
    memset(room->x, 0, (size_t)(w->src.channels * w->stride) * sizeof(*room->x));
    memset(room->y, 0, (size_t)(w->dst.channels * w->stride) * sizeof(*room->y));
    clear_planes(&w->src, room->from);
    clear_planes(&w->dst, room->to);
    for (int64_t first = part.begin; first < part.end; first += w->group) {
        const int64_t left = part.end - first;
        const int64_t n = left < w->group ? left : w->group;
        for (int64_t i = 0; i < n; i++) {
            sl_planar_spread(&w->src, picture_of(&w->src, args->src, first + i),
                             room->from);
            sl_planar_single(&w->src, room->from, room->x + i * w->src.step, w->stride);
            sl_planar_spread(&w->dst, picture_of(&w->dst, args->diff_dst, first + i),
                             room->to);
            /* a result's position (0, 0) stands behind the border of one row and one */
            sl_planar_single(&w->dst, room->to + w->dst.pitch + 1,
                             room->y + i * w->dst.step, w->stride);
            if (op->desc.need_diff_src) {
                make_source(op, args, room, first + i, first + i + 1 == part.end);
            }
        }
        const int64_t count = (n * w->src.step + 31) / 32 * 32;
        clear_behind(w, n * w->src.step, count, room->y);
        sl_planar_weights(&w->src, w->src.channels, w->dst.channels, room->x, room->y,
                          w->stride, count, room->sums);
    }
}

/* The lanes of all parts' sums, in the order of parts. */
static void join_sums(const struct sl_cpu_state *state, const struct sl_prepared *op,
                      const struct sl_op_args *args)
{
    const struct sl_cpu_planar_op *w = op->planar;
    const int64_t n = (int64_t)w->dst.channels * w->src.channels * TAPS;
    float *total = args->packed_diff;
    for (int t = 0; t < state->threads; t++) {
        const float *sums = room_of(op, args->scratch, t).sums;
        for (int64_t i = 0; i < n; i++) {
            float sum = 0.0f;
            for (int64_t lane = 0; lane < LANES; lane++) {
                sum += sums[i * LANES + lane];
            }
            total[i] = t == 0 ? sum : total[i] + sum;
        }
    }
}

static void backward_pictures(const void *context, struct sl_cpu_range pictures, int part)
{
    const struct call *call = context;
    const struct sl_cpu_planar_op *w = call->op->planar;
    const size_t sums = (size_t)w->dst.channels * (size_t)w->src.channels * TAPS * LANES;
    const struct room room = room_of(call->op, call->args->scratch, part);
    memset(room.sums, 0, sums * sizeof(*room.sums));
    run_backward(call->op, call->args, &room, pictures);
}

static void planar_backward(struct sl_cpu_state *state, struct sl_prepared *op,
                            const struct sl_op_args *args)
{
    const struct call call = {.op = op, .args = args};
    sl_cpu_split(state, op->desc.n, backward_pictures, &call);
    join_sums(state, op, args);
}

/* ---- masters ----------------------------------------------------------------------- */

/* Pairs (columns, rows / 2, 9) of a kernel that sums over `rows` channels. */
static void pack_pairs(const struct sl_cpu_state *state, const float *g, int rows,
                       int64_t row_stride, int columns, int64_t column_stride, bool turn,
                       void *packed)
{
    float pairs[CHANNELS_MOST * TAPS]; /* of one column */
    uint16_t *to = packed;
    for (int column = 0; column < columns; column++) {
        for (int row = 0; row < rows; row++) {
            const float *kernel = g + row * row_stride + column * column_stride;
            for (int tap = 0; tap < TAPS; tap++) {
                pairs[(row / 2 * TAPS + tap) * 2 + row % 2] =
                    kernel[turn ? TAPS - 1 - tap : tap];
            }
        }
        const int64_t n = (int64_t)rows * TAPS;
        state->rows->maps[SL_BF16]->put(n, pairs, to + column * n);
    }
}

static void planar_pack(struct sl_cpu_state *state, struct sl_prepared *op,
                        const struct sl_slice *s, void *packed)
{
    pack_pairs(state, s->data, s->in, s->in_stride, s->out, s->out_stride, false, packed);
    if (op->planar->data_offset > 0) {
        pack_pairs(state, s->data, s->out, s->out_stride, s->in, s->in_stride, true,
                   (char *)packed + op->planar->data_offset);
    }
}

static double planar_unpack_add(struct sl_cpu_state *state,
                                struct sl_prepared *op SL_UNUSED, const void *packed_diff,
                                const struct sl_slice *master)
{
    return sl_cpu_scatter(state, master, packed_diff, (int64_t)master->in * TAPS);
}

const struct sl_cpu_kind sl_cpu_planar = {
    .prepare = planar_prepare,
    .drop = planar_drop,
    .forward = planar_forward,
    .backward = planar_backward,
    .pack = planar_pack,
    .unpack_add = planar_unpack_add,
};
