/* SPDX-License-Identifier: MIT */
/*
 * Private to the cpu backend: how operands of a 1x1 convolution of bfloat16 maps are laid
 * out for products (cpu_product_int.h), by hand for x86-64 with AVX-512 BF16. A map of
 * pixels is a matrix (pixels, channels) as it stands; what has to be moved are weights,
 * into vectors of columns, and for the gradient of the weights, whose sum runs over
 * pixels, the maps themselves, into pairs of pixels.
 */
#ifndef SRC_BACKEND_CPU_POINTWISE_INT_H
#define SRC_BACKEND_CPU_POINTWISE_INT_H

#include "backend/cpu_product_int.h"

/* Rows (count, channels) in pairs: v (count / 2, lanes, 2); an odd last row is paired
 * with zeros, channels are padded with zeros to `lanes`, whole vectors. */
void sl_pointwise_pairs(const uint16_t *rows, int64_t count, int64_t channels,
                        int64_t lanes, uint16_t *v);

/* Vector `columns` .. of a weight matrix as bfloat16: u (rows / 2, 16, 2); weight (row,
 * column) stands at g[row*row_stride + column*column_stride]; `columns` of the sixteen
 * are there. `rows`, which are summed over, are even. Fast where
 * one of the strides is 1. */
struct sl_pointwise_weights {
    const float *g;
    int64_t row_stride, column_stride;
    int64_t rows, columns;
};
void sl_pointwise_weights(const struct sl_pointwise_weights *weights, uint16_t *u);

#endif
