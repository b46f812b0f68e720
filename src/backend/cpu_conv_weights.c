/* SPDX-License-Identifier: MIT */
/*
 * Which gradients of convolutions' weights are summed by our own loops
 * (cpu_conv_weights_int.h), and how much they work on at a time. The library sums those
 * of strided convolutions at half to two thirds of the machine's speed.
 */
#include "backend/cpu_conv_weights_int.h"

#include "backend/cpu_int.h"

enum {
    LANES = SL_CONV_WEIGHTS_LANES,
    KERNEL = SL_CONV_WEIGHTS_KERNEL,
    STRIDE = SL_CONV_WEIGHTS_STRIDE,
    PAIR = 2 * LANES, /* values of a pair of pixels */
    /* Bytes of pairs at a time, which come from a core's own cache again and again. */
    BAND_BYTES = 320 * 1024
};

bool sl_cpu_conv_weights_suits(const struct sl_cpu_state *state,
                               const struct sl_op_desc *d)
{
    return state->has_bf16 && d->type == SL_BF16 && d->kernel == KERNEL &&
           d->stride == STRIDE && d->pad == 1 && d->src_c % LANES == 0 &&
           d->dst_c % LANES == 0;
}

/* Some rows of some pictures at a time. */
static void take(struct sl_conv_weights *w, int rows, int pictures)
{
    w->rows = rows;
    w->pictures = pictures;
    w->src_rows = (rows - 1) * STRIDE + KERNEL;
    w->src_lanes = pictures * w->src_rows * w->src_row;
    w->dst_lanes = pictures * rows * w->dst_row;
    const int64_t values =
        w->src_c / LANES * w->src_lanes + w->dst_c / LANES * w->dst_lanes;
    w->room = sl_cpu_round((size_t)values * sizeof(uint16_t));
}

struct sl_conv_weights sl_conv_weights_of(int src_h, int src_w, int src_c, int dst_h,
                                          int dst_w, int dst_c)
{
    struct sl_conv_weights w = {
        .src_h = src_h,
        .src_w = src_w,
        .src_c = src_c,
        .dst_h = dst_h,
        .dst_w = dst_w,
        .dst_c = dst_c,
        .pairs = (dst_w + 1) / 2,
        .values = (int64_t)dst_c * KERNEL * KERNEL * src_c,
    };
    /* A source row becomes a row of pairs for each column of the kernel. */
    w.src_row = (int64_t)KERNEL * w.pairs * PAIR;
    w.dst_row = (int64_t)w.pairs * PAIR;
    take(&w, 1, 1);
    while (w.rows < dst_h && w.room < BAND_BYTES) {
        take(&w, w.rows + 1, 1);
    }
    const int bands = (dst_h + w.rows - 1) / w.rows;
    take(&w, (dst_h + bands - 1) / bands, 1); /* of nearly equal height */
    while (bands == 1 && w.room < BAND_BYTES) {
        take(&w, dst_h, w.pictures + 1);
    }
    return w;
}
