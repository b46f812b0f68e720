/* SPDX-License-Identifier: MIT */
/*
 * The ops of the reference backend, forward and backward, as plain loops with the formula
 * beside the code. Activations are (n, h, w, c). A sum of products is taken over the
 * window's rows and columns and then the channels, ascending, in `real`; taps that fall
 * on padding are left out. Nothing here can fail: prepare in ref.c has checked the
 * meaning.
 */
#include "backend/ref_int.h"

#include <math.h>
#include <string.h>

/* ---- pixels and windows ------------------------------------------------------------ */

/* Offset of the channels of pixel (n, y, x). */
static int64_t src_at(const struct sl_op_desc *d, int64_t n, int64_t y, int64_t x)
{
    return ((n * d->src_h + y) * d->src_w + x) * d->src_c;
}

static int64_t dst_at(const struct sl_op_desc *d, int64_t n, int64_t y, int64_t x)
{
    return ((n * d->dst_h + y) * d->dst_w + x) * d->dst_c;
}

static int64_t src_count(const struct sl_op_desc *d)
{
    return src_at(d, d->n, 0, 0);
}

static int64_t dst_count(const struct sl_op_desc *d)
{
    return dst_at(d, d->n, 0, 0);
}

/* Offset of the source pixel under tap (ky, kx) of output pixel (n, oy, ox), or -1 on
 * padding. */
static int64_t tap_src(const struct sl_op_desc *d, int64_t n, int oy, int ox, int ky,
                       int kx)
{
    int64_t y = (int64_t)oy * d->stride - d->pad + ky;
    int64_t x = (int64_t)ox * d->stride - d->pad + kx;
    bool inside = y >= 0 && y < d->src_h && x >= 0 && x < d->src_w;
    return inside ? src_at(d, n, y, x) : -1;
}

/* The inverse: offset of the output pixel whose tap (ky, kx) lies on source pixel (n, y,
 * x), or -1 when there is none. */
static int64_t tap_dst(const struct sl_op_desc *d, int64_t n, int y, int x, int ky,
                       int kx)
{
    int64_t up = (int64_t)y + d->pad - ky;
    int64_t left = (int64_t)x + d->pad - kx;
    if (up < 0 || left < 0 || up % d->stride != 0 || left % d->stride != 0) {
        return -1;
    }
    int64_t oy = up / d->stride;
    int64_t ox = left / d->stride;
    return oy < d->dst_h && ox < d->dst_w ? dst_at(d, n, oy, ox) : -1;
}

/* ---- convolution and linear -------------------------------------------------------- */

/* sums_o += sum_i x_i w(i, o), w dense with o inner; per o the order is i ascending. */
static void add_products(int nx, const real *x, const real *w, int n_sums, real *sums)
{
    for (int64_t i = 0; i < nx; i++) {
        for (int64_t o = 0; o < n_sums; o++) {
            sums[o] += x[i] * w[i * n_sums + o];
        }
    }
}

/* dst(n, oy, ox, o) = sum over ky, kx, i of src(n, oy s - p + ky, ox s - p + kx, i) w(o,
 * i, ky, kx) */
static void conv_pixel(const struct sl_op_desc *d, const struct sl_op_args *args,
                       int64_t n, int oy, int ox)
{
    const real *weights = ref_in(args->packed);
    real *sums = ref_out(args->dst) + dst_at(d, n, oy, ox);
    memset(sums, 0, (size_t)d->dst_c * sizeof(*sums));
    for (int ky = 0; ky < d->kernel; ky++) {
        for (int kx = 0; kx < d->kernel; kx++) {
            int64_t from = tap_src(d, n, oy, ox, ky, kx);
            if (from >= 0) {
                int64_t tap = (int64_t)ky * d->kernel + kx;
                add_products(d->src_c, ref_in(args->src) + from,
                             weights + tap * d->src_c * d->dst_c, d->dst_c, sums);
            }
        }
    }
}

/* diff_src(n, y, x, i) = sum over ky, kx, o of diff_dst(n, oy, ox, o) w(o, i, ky, kx),
 * oy = (y + p - ky) / s where that is whole, ox alike */
static void conv_pixel_diff_src(const struct sl_op_desc *d, const struct sl_op_args *args,
                                int64_t n, int y, int x)
{
    /* the second copy of the packed weights: i inner */
    const int64_t taps = (int64_t)d->kernel * d->kernel;
    const real *weights = ref_in(args->packed) + taps * d->src_c * d->dst_c;
    real *sums = ref_out(args->scratch);
    memset(sums, 0, (size_t)d->src_c * sizeof(*sums));
    for (int ky = 0; ky < d->kernel; ky++) {
        for (int kx = 0; kx < d->kernel; kx++) {
            int64_t from = tap_dst(d, n, y, x, ky, kx);
            if (from >= 0) {
                int64_t tap = (int64_t)ky * d->kernel + kx;
                add_products(d->dst_c, ref_in(args->diff_dst) + from,
                             weights + tap * d->src_c * d->dst_c, d->src_c, sums);
            }
        }
    }
    real *to = ref_out(args->diff_src) + src_at(d, n, y, x);
    for (int i = 0; i < d->src_c; i++) {
        ref_put(&to[i], args->diff_src_add, sums[i]);
    }
}

/* One output pixel's part of
 * diff_w(o, i, ky, kx) = sum over n, oy, ox of src(n, oy s - p + ky, ox s - p + kx, i)
 * diff_dst(n, oy, ox, o) */
static void conv_pixel_diff_weights(const struct sl_op_desc *d,
                                    const struct sl_op_args *args, int64_t n, int oy,
                                    int ox)
{
    const real *g = ref_in(args->diff_dst) + dst_at(d, n, oy, ox);
    for (int ky = 0; ky < d->kernel; ky++) {
        for (int kx = 0; kx < d->kernel; kx++) {
            int64_t from = tap_src(d, n, oy, ox, ky, kx);
            if (from < 0) {
                continue;
            }
            const real *x = ref_in(args->src) + from;
            real *sums = ref_out(args->packed_diff) +
                         ((int64_t)ky * d->kernel + kx) * d->src_c * d->dst_c;
            for (int i = 0; i < d->src_c; i++) {
                add_products(1, &x[i], g, d->dst_c, sums + (int64_t)i * d->dst_c);
            }
        }
    }
}

typedef void (*pixel_fn)(const struct sl_op_desc *d, const struct sl_op_args *args,
                         int64_t n, int y, int x);

static void for_pixels(const struct sl_op_desc *d, const struct sl_op_args *args, int h,
                       int w, pixel_fn work)
{
    for (int64_t n = 0; n < d->n; n++) {
        for (int y = 0; y < h; y++) {
            for (int x = 0; x < w; x++) {
                work(d, args, n, y, x);
            }
        }
    }
}

static void conv_forward(const struct sl_op_desc *d, const struct sl_op_args *args)
{
    for_pixels(d, args, d->dst_h, d->dst_w, conv_pixel);
    if (!d->bias) {
        return;
    }
    const real *bias = ref_in(args->bias);
    real *dst = ref_out(args->dst);
    for (int64_t n = 0; n < d->n; n++) {
        for (int o = 0; o < d->dst_c; o++) {
            dst[n * d->dst_c + o] += bias[o];
        }
    }
}

static void conv_backward(const struct sl_op_desc *d, const struct sl_op_args *args)
{
    const size_t weights =
        (size_t)d->kernel * (size_t)d->kernel * (size_t)d->src_c * (size_t)d->dst_c;
    memset(args->packed_diff, 0, weights * sizeof(real));
    for_pixels(d, args, d->dst_h, d->dst_w, conv_pixel_diff_weights);
    if (d->need_diff_src) {
        for_pixels(d, args, d->src_h, d->src_w, conv_pixel_diff_src);
    }
    if (!d->bias) {
        return;
    }
    /* diff_bias_o = sum over n of diff_dst(n, o) */
    const real *g = ref_in(args->diff_dst);
    for (int o = 0; o < d->dst_c; o++) {
        real sum = 0;
        for (int64_t n = 0; n < d->n; n++) {
            sum += g[n * d->dst_c + o];
        }
        ref_out(args->diff_bias)[o] = sum;
    }
}

/* ---- batch norm -------------------------------------------------------------------- */

/* The block of rows that is normalised together, (rows, c) of every tensor, and the
 * statistics it is normalised with. With running statistics it is the whole batch. */
struct norm_group {
    int64_t rows, c;
    int64_t begin; /* offset of the first row in all tensors */
    const real *mean, *inverse_std;
};

static int norm_groups(const struct sl_op_desc *d)
{
    return d->batch_statistics ? d->groups : 1;
}

static struct norm_group norm_group_at(const struct sl_op_desc *d,
                                       const struct sl_op_args *args,
                                       const real *inverse_std, int64_t k)
{
    struct norm_group group = {.c = d->src_c};
    group.rows = (int64_t)d->n / norm_groups(d) * d->src_h * d->src_w;
    group.begin = k * group.rows * group.c;
    if (d->batch_statistics) {
        const real *kept = ref_in(args->workspace);
        group.mean = kept + k * group.c;
        group.inverse_std = kept + (d->groups + k) * group.c;
    } else {
        group.mean = ref_in(args->running_mean);
        group.inverse_std = inverse_std;
    }
    return group;
}

/* mean_c = 1/rows sum x, variance_c = 1/rows sum (x - mean)^2, inverse_std = (variance +
 * epsilon)^-1/2 */
static void norm_statistics(const struct sl_op_desc *d, const struct sl_op_args *args,
                            int64_t k)
{
    const struct norm_group group = norm_group_at(d, args, NULL, k);
    const real *x = ref_in(args->src) + group.begin;
    double *mean = args->scratch;
    double *variance = mean + group.c;
    memset(mean, 0, 2 * (size_t)group.c * sizeof(*mean));
    for (int64_t row = 0; row < group.rows; row++) {
        for (int64_t c = 0; c < group.c; c++) {
            mean[c] += (double)x[row * group.c + c];
        }
    }
    for (int64_t c = 0; c < group.c; c++) {
        mean[c] /= (double)group.rows;
    }
    for (int64_t row = 0; row < group.rows; row++) {
        for (int64_t c = 0; c < group.c; c++) {
            double distance = (double)x[row * group.c + c] - mean[c];
            variance[c] += distance * distance;
        }
    }
    real *kept_mean = ref_out(args->workspace) + k * group.c;
    real *kept_inverse = kept_mean + d->groups * group.c;
    real *kept_variance = kept_inverse + d->groups * group.c;
    for (int64_t c = 0; c < group.c; c++) {
        variance[c] /= (double)group.rows;
        kept_mean[c] = (real)mean[c];
        kept_inverse[c] = (real)(1.0 / sqrt(variance[c] + (double)d->epsilon));
        kept_variance[c] = (real)variance[c];
    }
}

static void running_inverse_std(const struct sl_op_desc *d, const struct sl_op_args *args,
                                real *inverse_std)
{
    const real *variance = ref_in(args->running_variance);
    for (int c = 0; c < d->src_c; c++) {
        inverse_std[c] = (real)(1.0 / sqrt((double)variance[c] + (double)d->epsilon));
    }
}

/* max(x, 0), letting a NaN through */
static real relu(real x)
{
    return x <= 0 ? 0 : x;
}

/* y = scale x^ + shift (+ added), x^ = (x - mean) inverse_std; then the tail */
static void norm_apply(const struct sl_op_desc *d, const struct sl_op_args *args,
                       const struct norm_group *group)
{
    const real *scale = ref_in(args->scale);
    const real *shift = ref_in(args->shift);
    for (int64_t row = 0; row < group->rows; row++) {
        const int64_t at = group->begin + row * group->c;
        const real *x = ref_in(args->src) + at;
        real *y = ref_out(args->dst) + at;
        for (int64_t c = 0; c < group->c; c++) {
            real value = (x[c] - group->mean[c]) * group->inverse_std[c];
            if (!d->no_affine) {
                value = value * scale[c] + shift[c];
            }
            if (d->tail == SL_TAIL_ADD_RELU) {
                value += ref_in(args->added)[at + c];
            }
            y[c] = d->tail == SL_TAIL_NONE ? value : relu(value);
        }
    }
}

static void norm_forward(const struct sl_op_desc *d, const struct sl_op_args *args)
{
    real *inverse_std = ref_out(args->scratch);
    if (!d->batch_statistics) {
        running_inverse_std(d, args, inverse_std);
    }
    for (int64_t k = 0; k < norm_groups(d); k++) {
        if (d->batch_statistics) {
            norm_statistics(d, args, k);
        }
        const struct norm_group group = norm_group_at(d, args, inverse_std, k);
        norm_apply(d, args, &group);
    }
}

/* Gradient behind the tail: 0 where the ReLU gave 0. */
static real norm_tail_gradient(const struct sl_op_desc *d, const struct sl_op_args *args,
                               int64_t at)
{
    const real g = ref_in(args->diff_dst)[at];
    return d->tail != SL_TAIL_NONE && ref_in(args->dst)[at] <= 0 ? 0 : g;
}

static real norm_x_hat(const struct sl_op_args *args, const struct norm_group *group,
                       int64_t at, int64_t c)
{
    return (ref_in(args->src)[at] - group->mean[c]) * group->inverse_std[c];
}

/* Scratch of backward: c values each. */
struct norm_sums {
    double *g, *gx;             /* of one group: sum of g, sum of g x^ */
    double *total_g, *total_gx; /* of all groups */
    real *inverse_std;          /* running statistics only */
};

static struct norm_sums norm_sums_in(void *scratch, int c)
{
    double *base = scratch;
    return (struct norm_sums){
        .g = base,
        .gx = base + c,
        .total_g = base + 2 * (int64_t)c,
        .total_gx = base + 3 * (int64_t)c,
        .inverse_std = ref_out(base + 4 * (int64_t)c),
    };
}

static void norm_sum_gradients(const struct sl_op_desc *d, const struct sl_op_args *args,
                               const struct norm_group *group,
                               const struct norm_sums *sums)
{
    memset(sums->g, 0, (size_t)group->c * sizeof(double));
    memset(sums->gx, 0, (size_t)group->c * sizeof(double));
    for (int64_t row = 0; row < group->rows; row++) {
        for (int64_t c = 0; c < group->c; c++) {
            const int64_t at = group->begin + row * group->c + c;
            const double g = (double)norm_tail_gradient(d, args, at);
            sums->g[c] += g;
            sums->gx[c] += g * (double)norm_x_hat(args, group, at, c);
        }
    }
    for (int64_t c = 0; c < group->c; c++) {
        sums->total_g[c] += sums->g[c];
        sums->total_gx[c] += sums->gx[c];
    }
}

/* Batch statistics:   diff_x = scale inverse_std (g - mean(g) - x^ mean(g x^)), means
 * over the group running statistics: diff_x = scale inverse_std g diff_added = g */
static void norm_apply_gradients(const struct sl_op_desc *d,
                                 const struct sl_op_args *args,
                                 const struct norm_group *group,
                                 const struct norm_sums *sums)
{
    const real *scale = ref_in(args->scale);
    const double share = d->batch_statistics ? 1.0 / (double)group->rows : 0.0;
    for (int64_t row = 0; row < group->rows; row++) {
        for (int64_t c = 0; c < group->c; c++) {
            const int64_t at = group->begin + row * group->c + c;
            const real g = norm_tail_gradient(d, args, at);
            if (d->tail == SL_TAIL_ADD_RELU) {
                ref_put(&ref_out(args->diff_added)[at], args->diff_added_add, g);
            }
            if (d->need_diff_src) {
                double x_hat = (double)norm_x_hat(args, group, at, c);
                double centred =
                    (double)g - share * sums->g[c] - x_hat * share * sums->gx[c];
                double slope = (d->no_affine ? 1.0 : (double)scale[c]) *
                               (double)group->inverse_std[c];
                ref_put(&ref_out(args->diff_src)[at], args->diff_src_add,
                        (real)(slope * centred));
            }
        }
    }
}

static void norm_backward(const struct sl_op_desc *d, const struct sl_op_args *args)
{
    const struct norm_sums sums = norm_sums_in(args->scratch, d->src_c);
    memset(sums.total_g, 0, 2 * (size_t)d->src_c * sizeof(double));
    if (!d->batch_statistics) {
        running_inverse_std(d, args, sums.inverse_std);
    }
    for (int64_t k = 0; k < norm_groups(d); k++) {
        const struct norm_group group = norm_group_at(d, args, sums.inverse_std, k);
        norm_sum_gradients(d, args, &group, &sums);
        norm_apply_gradients(d, args, &group, &sums);
    }
    /* diff_scale = sum g x^, diff_shift = sum g, over all groups */
    for (int c = 0; c < d->src_c && !d->no_affine; c++) {
        ref_out(args->diff_scale)[c] = (real)sums.total_gx[c];
        ref_out(args->diff_shift)[c] = (real)sums.total_g[c];
    }
}

/* running = (1 - m) running + m mean over groups of (mean, variance rows / (rows - 1)) */
void SL_REF(norm_update)(void *state SL_UNUSED, int channels, int groups, int64_t rows,
                         float momentum, const void *workspace, float *running_mean,
                         float *running_variance)
{
    const real *kept_mean = ref_in(workspace);
    const real *kept_variance = kept_mean + 2 * (int64_t)groups * channels;
    /* one row has no spread to estimate: its variance 0 stays 0 */
    const double unbiased = rows > 1 ? (double)rows / (double)(rows - 1) : 1.0;
    const double m = (double)momentum;
    for (int64_t c = 0; c < channels; c++) {
        double mean = 0.0;
        double variance = 0.0;
        for (int64_t k = 0; k < groups; k++) {
            mean += (double)kept_mean[k * channels + c] / groups;
            variance += unbiased * (double)kept_variance[k * channels + c] / groups;
        }
        real *to_mean = ref_out(running_mean) + c;
        real *to_variance = ref_out(running_variance) + c;
        *to_mean = (real)((1.0 - m) * (double)*to_mean + m * mean);
        *to_variance = (real)((1.0 - m) * (double)*to_variance + m * variance);
    }
}

/* ---- pooling and ReLU -------------------------------------------------------------- */

/* dst = largest of the window, padding left out; the first in scan order wins a tie, and
 * its tap is remembered for backward. A NaN wins over all, so that it is seen. */
static void maxpool_pixel(const struct sl_op_desc *d, const struct sl_op_args *args,
                          int64_t n, int oy, int ox)
{
    const int64_t to = dst_at(d, n, oy, ox);
    real *best = ref_out(args->dst) + to;
    uint8_t *winner = d->backward ? (uint8_t *)args->workspace + to : NULL;
    bool first = true;
    for (int tap = 0; tap < d->kernel * d->kernel; tap++) {
        int64_t from = tap_src(d, n, oy, ox, tap / d->kernel, tap % d->kernel);
        if (from < 0) {
            continue;
        }
        const real *x = ref_in(args->src) + from;
        for (int c = 0; c < d->dst_c; c++) {
            if (first || x[c] > best[c] || isnan(x[c])) {
                best[c] = x[c];
                if (winner != NULL) {
                    winner[c] = (uint8_t)tap;
                }
            }
        }
        first = false;
    }
}

/* diff_src at the winner += diff_dst */
static void maxpool_pixel_backward(const struct sl_op_desc *d,
                                   const struct sl_op_args *args, int64_t n, int oy,
                                   int ox)
{
    const int64_t at = dst_at(d, n, oy, ox);
    const uint8_t *winner = (const uint8_t *)args->workspace + at;
    const real *g = ref_in(args->diff_dst) + at;
    for (int c = 0; c < d->dst_c; c++) {
        int tap = winner[c];
        int64_t to = tap_src(d, n, oy, ox, tap / d->kernel, tap % d->kernel);
        ref_out(args->diff_src)[to + c] += g[c];
    }
}

static void maxpool_backward(const struct sl_op_desc *d, const struct sl_op_args *args)
{
    if (!args->diff_src_add) {
        memset(args->diff_src, 0, (size_t)src_count(d) * sizeof(real));
    }
    for_pixels(d, args, d->dst_h, d->dst_w, maxpool_pixel_backward);
}

/* dst(n, c) = mean over y, x of src(n, y, x, c) */
static void avgpool_forward(const struct sl_op_desc *d, const struct sl_op_args *args)
{
    const int64_t area = (int64_t)d->src_h * d->src_w;
    for (int64_t n = 0; n < d->n; n++) {
        const real *x = ref_in(args->src) + n * area * d->src_c;
        for (int c = 0; c < d->src_c; c++) {
            double sum = 0.0;
            for (int64_t i = 0; i < area; i++) {
                sum += (double)x[i * d->src_c + c];
            }
            ref_out(args->dst)[n * d->dst_c + c] = (real)(sum / (double)area);
        }
    }
}

/* diff_src(n, y, x, c) = diff_dst(n, c) / (h w) */
static void avgpool_backward(const struct sl_op_desc *d, const struct sl_op_args *args)
{
    const int64_t area = (int64_t)d->src_h * d->src_w;
    for (int64_t i = 0; i < d->n * area; i++) {
        const real *g = ref_in(args->diff_dst) + i / area * d->dst_c;
        real *to = ref_out(args->diff_src) + i * d->src_c;
        for (int c = 0; c < d->src_c; c++) {
            ref_put(&to[c], args->diff_src_add, (real)((double)g[c] / (double)area));
        }
    }
}

static void relu_forward(const struct sl_op_desc *d, const struct sl_op_args *args)
{
    for (int64_t i = 0; i < dst_count(d); i++) {
        real value = ref_in(args->src)[i];
        if (d->tail == SL_TAIL_ADD_RELU) {
            value += ref_in(args->added)[i];
        }
        ref_out(args->dst)[i] = relu(value);
    }
}

/* The gradient passes where the output is above 0; at exactly 0 it is 0. */
static void relu_backward(const struct sl_op_desc *d, const struct sl_op_args *args)
{
    for (int64_t i = 0; i < src_count(d); i++) {
        const real g = ref_in(args->dst)[i] <= 0 ? 0 : ref_in(args->diff_dst)[i];
        if (d->need_diff_src) {
            ref_put(&ref_out(args->diff_src)[i], args->diff_src_add, g);
        }
        if (d->tail == SL_TAIL_ADD_RELU) {
            ref_put(&ref_out(args->diff_added)[i], args->diff_added_add, g);
        }
    }
}

/* ---- by kind ----------------------------------------------------------------------- */

void SL_REF(forward)(void *state SL_UNUSED, struct sl_prepared *op,
                     const struct sl_op_args *args)
{
    const struct sl_op_desc *d = &op->desc;
    switch (d->kind) {
    case SL_OP_CONV:
    case SL_OP_LINEAR:
        conv_forward(d, args);
        break;
    case SL_OP_NORM:
        norm_forward(d, args);
        break;
    case SL_OP_MAXPOOL:
        for_pixels(d, args, d->dst_h, d->dst_w, maxpool_pixel);
        break;
    case SL_OP_AVGPOOL:
        avgpool_forward(d, args);
        break;
    case SL_OP_RELU:
        relu_forward(d, args);
        break;
    default:
        SL_ASSERT(false);
    }
}

void SL_REF(backward)(void *state SL_UNUSED, struct sl_prepared *op,
                      const struct sl_op_args *args)
{
    const struct sl_op_desc *d = &op->desc;
    SL_ASSERT(d->backward);
    switch (d->kind) {
    case SL_OP_CONV:
    case SL_OP_LINEAR:
        conv_backward(d, args);
        break;
    case SL_OP_NORM:
        norm_backward(d, args);
        break;
    case SL_OP_MAXPOOL:
        if (d->need_diff_src) {
            maxpool_backward(d, args);
        }
        break;
    case SL_OP_AVGPOOL:
        if (d->need_diff_src) {
            avgpool_backward(d, args);
        }
        break;
    case SL_OP_RELU:
        relu_backward(d, args);
        break;
    default:
        SL_ASSERT(false);
    }
}
