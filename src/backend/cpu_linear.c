/* SPDX-License-Identifier: MIT */
/*
 * Linear layers of the cpu backend: oneDNN's matrix product on a dense copy (out, in) of
 * the slice. Adding to the gradient of the source is the product's own beta, so that no
 * scratch memory is needed.
 */
#include "backend/cpu_int.h"

#include <string.h>

/* Whether forward makes the turned product, (out, n), and turns it back: the library is
 * slow at few rows by many columns when the second matrix is given by its columns (16 by
 * 2048: 10 ms against 1). */
static bool is_turned(const struct sl_op_desc *d)
{
    return 2 * d->n <= d->dst_c;
}

static enum sl_status linear_prepare(struct sl_error *err SL_UNUSED,
                                     struct sl_cpu_state *state SL_UNUSED,
                                     struct sl_prepared *op, struct sl_op_sizes *sizes)
{
    const struct sl_op_desc *d = &op->desc;
    sizes->packed = (size_t)d->dst_c * (size_t)d->src_c * sizeof(float);
    sizes->scratch = is_turned(d) ? (size_t)d->dst_c * (size_t)d->n * sizeof(float) : 0;
    if (d->backward) {
        sizes->packed_diff = sizes->packed;
        sizes->backward_reads_src = true;
    }
    return SL_OK;
}

/* dst (n, out) = src (n, in) w^T + bias */
static void linear_forward(struct sl_cpu_state *state, struct sl_prepared *op,
                           const struct sl_op_args *args)
{
    const struct sl_op_desc *d = &op->desc;
    float *dst = args->dst;
    if (is_turned(d)) {
        const float *turned = args->scratch;
        sl_cpu_gemm(state, false, true, d->dst_c, d->n, d->src_c, 1.0f, args->packed,
                    d->src_c, args->src, d->src_c, 0.0f, args->scratch, d->n);
        for (int64_t i = 0; i < d->n; i++) {
            for (int64_t o = 0; o < d->dst_c; o++) {
                dst[i * d->dst_c + o] =
                    turned[o * d->n + i] + (d->bias ? args->bias[o] : 0.0f);
            }
        }
        return;
    }
    for (int64_t i = 0; d->bias && i < d->n; i++) {
        memcpy(dst + i * d->dst_c, args->bias, (size_t)d->dst_c * sizeof(float));
    }
    sl_cpu_gemm(state, false, true, d->n, d->dst_c, d->src_c, 1.0f, args->src, d->src_c,
                args->packed, d->src_c, d->bias ? 1.0f : 0.0f, args->dst, d->dst_c);
}

/* diff_w (out, in) = diff_dst^T src, diff_src (n, in) (+)= diff_dst w,
 * diff_bias = sums of diff_dst over its rows */
static void linear_backward(struct sl_cpu_state *state, struct sl_prepared *op,
                            const struct sl_op_args *args)
{
    const struct sl_op_desc *d = &op->desc;
    sl_cpu_gemm(state, true, false, d->dst_c, d->src_c, d->n, 1.0f, args->diff_dst,
                d->dst_c, args->src, d->src_c, 0.0f, args->packed_diff, d->src_c);
    if (d->need_diff_src) {
        sl_cpu_gemm(state, false, false, d->n, d->src_c, d->dst_c, 1.0f, args->diff_dst,
                    d->dst_c, args->packed, d->src_c, args->diff_src_add ? 1.0f : 0.0f,
                    args->diff_src, d->src_c);
    }
    if (d->bias) {
        const float *diff_dst = args->diff_dst;
        memset(args->diff_bias, 0, (size_t)d->dst_c * sizeof(float));
        for (int64_t i = 0; i < d->n; i++) {
            state->rows->accumulate(d->dst_c, diff_dst + i * d->dst_c, args->diff_bias);
        }
    }
}

static void linear_pack(struct sl_cpu_state *state, struct sl_prepared *op SL_UNUSED,
                        const struct sl_slice *master, void *packed)
{
    sl_cpu_gather(state, master, packed);
}

static double linear_unpack_add(struct sl_cpu_state *state,
                                struct sl_prepared *op SL_UNUSED, const void *packed_diff,
                                const struct sl_slice *master)
{
    return sl_cpu_scatter(state, master, packed_diff, master->in);
}

const struct sl_cpu_kind sl_cpu_linear = {
    .prepare = linear_prepare,
    .forward = linear_forward,
    .backward = linear_backward,
    .pack = linear_pack,
    .unpack_add = linear_unpack_add,
};
