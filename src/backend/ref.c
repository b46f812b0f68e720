/* SPDX-License-Identifier: MIT */
/*
 * The reference backend: plain loops, one thread, no library. It is the specification
 * that the other backends are measured against. This file holds the table, memory, the
 * checks of prepare and the way between masters and packed weights; the arithmetic is in
 * ref_ops.c, ref_numbers.c and ref_loss.c. All four are built twice: see ref_int.h.
 */
#include "backend/ref_int.h"

#include <string.h>

/* ---- life and memory --------------------------------------------------------------- */

static enum sl_status ref_open(struct sl_error *err SL_UNUSED,
                               const struct sl_backend_options *options SL_UNUSED,
                               void **state)
{
    *state = NULL; /* nothing is remembered between calls */
    return SL_OK;
}

static void ref_close(void *state SL_UNUSED)
{
}

static bool ref_computes(void *state SL_UNUSED, enum sl_dtype type)
{
    return type == SL_F32;
}

static void ref_describe(void *state SL_UNUSED, char *dst, size_t size)
{
    (void)snprintf(dst, size, "%s: plain loops, 1 thread", SL_REF_TITLE);
}

static enum sl_status ref_alloc(struct sl_error *err, void *state SL_UNUSED,
                                const char *what, size_t bytes, void **memory)
{
    return sl_heap_alloc(err, what, (int64_t)bytes, 1, memory);
}

static void ref_free(void *state SL_UNUSED, void *memory)
{
    sl_heap_free(memory);
}

static void ref_move(void *state SL_UNUSED, void *dst, const void *src, size_t bytes)
{
    if (bytes > 0) {
        memmove(dst, src, bytes);
    }
}

static void ref_put_map(void *state SL_UNUSED, enum sl_dtype type, int64_t n,
                        const float *host, void *dst)
{
    SL_ASSERT(type == SL_F32);
    ref_move(NULL, dst, host, (size_t)n * sizeof(real));
}

static void ref_zero(void *state SL_UNUSED, void *dst, size_t bytes)
{
    if (bytes > 0) {
        memset(dst, 0, bytes);
    }
}

/* ---- prepare ----------------------------------------------------------------------- */

static const char *const kind_names[SL_OP_KINDS] = {
    [SL_OP_CONV] = "conv",       [SL_OP_NORM] = "norm",     [SL_OP_MAXPOOL] = "maxpool",
    [SL_OP_AVGPOOL] = "avgpool", [SL_OP_LINEAR] = "linear", [SL_OP_RELU] = "relu",
};

/* Output pixels of a window sliding along `size` pixels; 0 when it does not fit. */
static int64_t window_count(const struct sl_op_desc *d, int size)
{
    int64_t room = (int64_t)size + 2 * (int64_t)d->pad - d->kernel;
    return room < 0 ? 0 : room / d->stride + 1;
}

static enum sl_status check_window(struct sl_error *err, const struct sl_op_desc *d)
{
    const char *kind = kind_names[d->kind];
    if (d->kernel < 1 || d->stride < 1 || d->pad < 0 || d->pad >= d->kernel) {
        return SL_FAIL(err, SL_ERROR_USAGE,
                       "%s: kernel %d, stride %d, pad %d: kernel and stride must be at "
                       "least 1 and pad in 0 .. kernel-1",
                       kind, d->kernel, d->stride, d->pad);
    }
    int64_t h = window_count(d, d->src_h);
    int64_t w = window_count(d, d->src_w);
    if (h < 1 || w < 1) {
        return SL_FAIL(err, SL_ERROR_USAGE,
                       "%s: a %dx%d picture is smaller than the %dx%d window; use larger "
                       "images",
                       kind, d->src_h, d->src_w, d->kernel, d->kernel);
    }
    if (h != d->dst_h || w != d->dst_w) {
        return SL_FAIL(err, SL_ERROR_USAGE, "%s: output is %dx%d but must be %lldx%lld",
                       kind, d->dst_h, d->dst_w, (long long)h, (long long)w);
    }
    return SL_OK;
}

static enum sl_status check_same(struct sl_error *err, const struct sl_op_desc *d)
{
    if (d->dst_h != d->src_h || d->dst_w != d->src_w || d->dst_c != d->src_c) {
        return SL_FAIL(err, SL_ERROR_USAGE,
                       "%s: output is %dx%dx%d but must have the input's shape %dx%dx%d",
                       kind_names[d->kind], d->dst_h, d->dst_w, d->dst_c, d->src_h,
                       d->src_w, d->src_c);
    }
    return SL_OK;
}

static enum sl_status check_norm(struct sl_error *err, const struct sl_op_desc *d)
{
    SL_TRY(check_same(err, d));
    if (!(d->epsilon > 0.0f)) {
        return SL_FAIL(err, SL_ERROR_USAGE, "norm: epsilon is %g but must be above 0",
                       (double)d->epsilon);
    }
    if (d->batch_statistics && (d->groups < 1 || d->n % d->groups != 0)) {
        return SL_FAIL(err, SL_ERROR_USAGE,
                       "norm: a batch of %d does not fall into %d equal groups; choose a "
                       "batch size that the number of splits divides",
                       d->n, d->groups);
    }
    return SL_OK;
}

static enum sl_status check_desc(struct sl_error *err, const struct sl_op_desc *d)
{
    SL_ASSERT(d->kind >= 0 && d->kind < SL_OP_KINDS);
    if (d->type != SL_F32) {
        return SL_FAIL(err, SL_ERROR_USAGE,
                       "%s: %s computes in float32 only, not in %s; use --precision fp32",
                       kind_names[d->kind], SL_REF_TITLE, sl_dtype_name(d->type));
    }
    if (d->n < 1 || d->src_h < 1 || d->src_w < 1 || d->src_c < 1 || d->dst_h < 1 ||
        d->dst_w < 1 || d->dst_c < 1) {
        return SL_FAIL(
            err, SL_ERROR_USAGE,
            "%s: %d pictures of %dx%dx%d to %dx%dx%d: every size must be at least "
            "1",
            kind_names[d->kind], d->n, d->src_h, d->src_w, d->src_c, d->dst_h, d->dst_w,
            d->dst_c);
    }
    switch (d->kind) {
    case SL_OP_CONV:
        return check_window(err, d);
    case SL_OP_MAXPOOL:
        SL_TRY(check_window(err, d));
        if (d->kernel * d->kernel > UINT8_MAX || 2 * d->pad > d->kernel ||
            d->src_c != d->dst_c) {
            return SL_FAIL(err, SL_ERROR_USAGE,
                           "maxpool: kernel %d (at most 15), pad %d (at most half the "
                           "kernel), channels %d to %d (must be equal)",
                           d->kernel, d->pad, d->src_c, d->dst_c);
        }
        return SL_OK;
    case SL_OP_AVGPOOL:
        if (d->dst_h != 1 || d->dst_w != 1 || d->src_c != d->dst_c) {
            return SL_FAIL(err, SL_ERROR_USAGE,
                           "avgpool: output is %dx%dx%d but must be 1x1x%d", d->dst_h,
                           d->dst_w, d->dst_c, d->src_c);
        }
        return SL_OK;
    case SL_OP_LINEAR:
        if (d->src_h != 1 || d->src_w != 1 || d->dst_h != 1 || d->dst_w != 1) {
            return SL_FAIL(err, SL_ERROR_USAGE,
                           "linear: pictures are %dx%d to %dx%d but must be 1x1",
                           d->src_h, d->src_w, d->dst_h, d->dst_w);
        }
        return SL_OK;
    case SL_OP_NORM:
        return check_norm(err, d);
    default:
        return check_same(err, d);
    }
}

/* first * a * b * c in bytes; fails when that does not fit. */
static enum sl_status count_bytes(struct sl_error *err, const struct sl_op_desc *d,
                                  int64_t first, int64_t a, int64_t b, int64_t c,
                                  size_t *bytes)
{
    int64_t product = first;
    if (!sl_mul_checked(product, a, &product) || !sl_mul_checked(product, b, &product) ||
        !sl_mul_checked(product, c, &product)) {
        return SL_FAIL(err, SL_ERROR_USAGE,
                       "%s: %lld x %lld x %lld x %lld bytes do not fit in memory; use "
                       "smaller images or a smaller batch",
                       kind_names[d->kind], (long long)first, (long long)a, (long long)b,
                       (long long)c);
    }
    *bytes = (size_t)product;
    return SL_OK;
}

static enum sl_status weight_sizes(struct sl_error *err, const struct sl_op_desc *d,
                                   struct sl_op_sizes *sizes)
{
    const int64_t item = sizeof(real);
    const int64_t taps = (int64_t)d->kernel * d->kernel;
    SL_TRY(count_bytes(err, d, item, taps, d->src_c, d->dst_c, &sizes->packed_diff));
    SL_TRY(count_bytes(err, d, 2 * item, taps, d->src_c, d->dst_c, &sizes->packed));
    SL_TRY(count_bytes(err, d, item, d->src_c, 1, 1, &sizes->scratch));
    sizes->backward_reads_src = d->backward;
    return SL_OK;
}

static enum sl_status op_sizes(struct sl_error *err, const struct sl_op_desc *d,
                               struct sl_op_sizes *sizes)
{
    const int64_t item = sizeof(real);
    *sizes = (struct sl_op_sizes){0};
    /* Everything below indexes with int64_t: the activations themselves must be
     * countable. */
    size_t bytes = 0;
    SL_TRY(count_bytes(err, d, item * d->n, d->src_h, d->src_w, d->src_c, &bytes));
    SL_TRY(count_bytes(err, d, item * d->n, d->dst_h, d->dst_w, d->dst_c, &bytes));
    switch (d->kind) {
    case SL_OP_CONV:
    case SL_OP_LINEAR:
        return weight_sizes(err, d, sizes);
    case SL_OP_NORM:
        if (d->batch_statistics) {
            SL_TRY(
                count_bytes(err, d, 3 * item, d->groups, d->src_c, 1, &sizes->workspace));
        }
        sizes->backward_reads_src = d->backward;
        sizes->backward_reads_dst = d->backward && d->tail != SL_TAIL_NONE;
        return count_bytes(err, d, sizeof(double), 5, d->src_c, 1, &sizes->scratch);
    case SL_OP_MAXPOOL:
        if (d->backward) {
            SL_TRY(count_bytes(err, d, d->n, d->dst_h, d->dst_w, d->dst_c,
                               &sizes->workspace));
        }
        return SL_OK;
    case SL_OP_RELU:
        sizes->backward_reads_dst = d->backward;
        return SL_OK;
    default:
        return SL_OK;
    }
}

static enum sl_status ref_prepare(struct sl_error *err, void *state SL_UNUSED,
                                  const struct sl_op_desc *desc, struct sl_prepared **op,
                                  struct sl_op_sizes *sizes)
{
    *op = NULL;
    SL_TRY(check_desc(err, desc));
    struct sl_op_desc meaning = *desc;
    if (meaning.kind == SL_OP_LINEAR) {
        meaning.kernel = 1;
        meaning.stride = 1;
        meaning.pad = 0;
    }
    SL_TRY(op_sizes(err, &meaning, sizes));
    struct sl_prepared *made = NULL;
    SL_TRY(sl_heap_alloc(err, "a prepared op", 1, sizeof(*made), &made));
    made->desc = meaning;
    *op = made;
    return SL_OK;
}

static void ref_drop(void *state SL_UNUSED, struct sl_prepared *op)
{
    sl_heap_free(op);
}

/* ---- weights ----------------------------------------------------------------------- */

/* Packed weights are two dense copies of the slice: (kernel, kernel, in, out), read by
 * forward, and (kernel, kernel, out, in), read by the gradient of the source. A packed
 * gradient is one, in the first order. */
static int64_t inner_out(const struct sl_slice *s, int64_t tap, int64_t o, int64_t i)
{
    return (tap * s->in + i) * s->out + o;
}

static int64_t inner_in(const struct sl_slice *s, int64_t tap, int64_t o, int64_t i)
{
    return (tap * s->out + o) * s->in + i;
}

static void check_slice(const struct sl_prepared *op, const struct sl_slice *slice)
{
    SL_ASSERT(op->desc.kind == SL_OP_CONV || op->desc.kind == SL_OP_LINEAR);
    SL_ASSERT(slice->out == op->desc.dst_c && slice->in == op->desc.src_c);
    SL_ASSERT(slice->kernel == op->desc.kernel);
}

static void ref_pack(void *state SL_UNUSED, struct sl_prepared *op,
                     const struct sl_slice *master, void *packed)
{
    check_slice(op, master);
    const int64_t taps = (int64_t)master->kernel * master->kernel;
    const real *weights = ref_in(master->data);
    real *first = ref_out(packed);
    real *second = first + taps * master->in * master->out;
    for (int64_t o = 0; o < master->out; o++) {
        for (int64_t i = 0; i < master->in; i++) {
            const real *window = weights + o * master->out_stride + i * master->in_stride;
            for (int64_t tap = 0; tap < taps; tap++) {
                first[inner_out(master, tap, o, i)] = window[tap];
                second[inner_in(master, tap, o, i)] = window[tap];
            }
        }
    }
}

static double ref_unpack_add(void *state SL_UNUSED, struct sl_prepared *op,
                             const void *packed_diff, const struct sl_slice *master)
{
    check_slice(op, master);
    const int64_t taps = (int64_t)master->kernel * master->kernel;
    const real *diff = ref_in(packed_diff);
    real *sums = ref_out(master->data);
    double squares = 0.0;
    for (int64_t o = 0; o < master->out; o++) {
        for (int64_t i = 0; i < master->in; i++) {
            real *window = sums + o * master->out_stride + i * master->in_stride;
            for (int64_t tap = 0; tap < taps; tap++) {
                real value = diff[inner_out(master, tap, o, i)];
                window[tap] += value;
                squares += (double)value * (double)value;
            }
        }
    }
    return squares;
}

/* ---- the table --------------------------------------------------------------------- */

const struct sl_backend SL_REF_TABLE = {
    .name = SL_REF_TITLE,
    .open = ref_open,
    .close = ref_close,
    .computes = ref_computes,
    .describe = ref_describe,
    .alloc = ref_alloc,
    .free = ref_free,
    .put = ref_move,
    .get = ref_move,
    .copy = ref_move,
    .put_map = ref_put_map,
    .zero = ref_zero,
    .prepare = ref_prepare,
    .drop = ref_drop,
    .forward = SL_REF(forward),
    .backward = SL_REF(backward),
    .pack = ref_pack,
    .unpack_add = ref_unpack_add,
    .norm_update = SL_REF(norm_update),
    .gemm = SL_REF(gemm),
    .row_normalize = SL_REF(row_normalize),
    .row_normalize_backward = SL_REF(row_normalize_backward),
    .row_dot = SL_REF(row_dot),
    .row_axpy = SL_REF(row_axpy),
    .row_loss = SL_REF(row_loss),
    .embedding_std = SL_REF(embedding_std),
    .sum_squares = SL_REF(sum_squares),
    .add = SL_REF(add),
    .find_nonfinite = SL_REF(find_nonfinite),
    .average = SL_REF(average),
    .sgd = SL_REF(sgd),
    .lars_norms = SL_REF(lars_norms),
    .lars = SL_REF(lars),
    .adamw = SL_REF(adamw),
};
