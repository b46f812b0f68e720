/* SPDX-License-Identifier: MIT */
/*
 * Private to the cpu backend: products of matrices of bfloat16 with sums in float32, on
 * operands that are laid out for them, by hand for x86-64 with AVX-512 BF16. They are
 * serial: a caller gives each thread a product of its own. Convolutions of ours
 * (cpu_winograd.c, cpu_pointwise.c) are made of them where they beat the library's.
 *
 * The instruction underneath multiplies pairs: k runs over pairs of neighbouring values
 * of both operands. Columns come in vectors of 16.
 */
#ifndef SRC_BACKEND_CPU_PRODUCT_INT_H
#define SRC_BACKEND_CPU_PRODUCT_INT_H

#include "backend/cpu_prefetch_int.h"

enum { SL_CPU_LANES = 16 };

/* n rounded up to whole vectors. */
static inline int64_t sl_cpu_lanes_up(int64_t n)
{
    return (n + SL_CPU_LANES - 1) / SL_CPU_LANES * SL_CPU_LANES;
}

/* C (rows, 16 vectors) = sum over pairs k of A(r, k) B(k, column). Strides are in values
 * of the operand. Pair k of row r stands at a[r*a_row + k*a_pair], two values; that of
 * column 16 v + l at b[v*b_vector + k*b_pair + 2 l]. A may be read in any stride, so that
 * its rows can be pixels, tiles or channels; B is read in whole vectors of 64 bytes. */
struct sl_cpu_product {
    int64_t rows, vectors, pairs; /* each at least 1 */
    const uint16_t *a;
    int64_t a_row, a_pair;
    const uint16_t *b;
    int64_t b_vector, b_pair;
    /* Memory that is touched after the product and asked for during it; nothing: the rows
     * of A that follow, where rows follow each other. */
    struct sl_cpu_prefetch_span next;
};

/* C float32, at c[r*c_row + column]; written, or added to. */
void sl_cpu_product_f32(const struct sl_cpu_product *product, float *c, int64_t c_row,
                        bool add);
/* C rounded to bfloat16; only the first `columns` of the last vector's are touched. */
void sl_cpu_product_bf16(const struct sl_cpu_product *product, int64_t columns,
                         uint16_t *c, int64_t c_row, bool add);

#endif
