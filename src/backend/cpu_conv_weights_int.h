/* SPDX-License-Identifier: MIT */
/*
 * Private to the cpu backend: the gradient of the weights of a 3x3 convolution with
 * stride 2, from bfloat16 maps whose channels fill vectors of sixteen, by hand for x86-64
 * with AVX-512 BF16.
 *
 * The sum runs over pixels, and the machine multiplies pairs of what is summed over. So
 * rows of pixels become rows of pairs: of the result's gradient, two neighbours; of the
 * source, the two pixels that meet them under each column of the kernel. A block of 24
 * sums, three columns by eight source channels, stays in registers while pairs go by,
 * each a vector of sixteen channels of the result.
 */
#ifndef SRC_BACKEND_CPU_CONV_WEIGHTS_INT_H
#define SRC_BACKEND_CPU_CONV_WEIGHTS_INT_H

#include "base/base.h"

enum {
    SL_CONV_WEIGHTS_LANES = 16,
    SL_CONV_WEIGHTS_KERNEL = 3,
    SL_CONV_WEIGHTS_STRIDE = 2
};

struct sl_conv_weights {
    int src_h, src_w, src_c, dst_h, dst_w, dst_c;
    int pairs; /* of a row of the result */
    /* What is worked on at a time: some rows of the result of one picture, or all of some
     * pictures; and the source rows under `rows`. */
    int rows, pictures, src_rows;
    /* Values of the pairs of a row of sixteen channels, and of all that is worked on. */
    int64_t src_row, dst_row, src_lanes, dst_lanes;
    int64_t values; /* of the sums: (dst_c / 16, 3, 3, src_c, 16) */
    size_t room;    /* bytes that a thread works in */
};

/* cpu_conv_weights.c; the picture is padded by one pixel. */
struct sl_conv_weights sl_conv_weights_of(int src_h, int src_w, int src_c, int dst_h,
                                          int dst_w, int dst_c);

/* sums = the gradient over `pictures` pictures. src (pictures, src_h, src_w, src_c) and
 * diff_dst (pictures, dst_h, dst_w, dst_c) are bfloat16. */
void sl_conv_weights_sum(const struct sl_conv_weights *w, const uint16_t *src,
                         const uint16_t *diff_dst, int64_t pictures, void *room,
                         float *sums);

#endif
