/* SPDX-License-Identifier: MIT */
/*
 * Every op kind and every row loss: the derivative of the reference backend, computed in
 * double, against central differences with step 1e-5, to 1e-6 of the largest derivative
 * of the tensor. Inputs are kept away from the kinks of ReLU and max pooling. The scalar
 * that is differentiated is the sum of dst times a fixed random tensor, which is then
 * diff_dst.
 *
 * This says that backward belongs to forward; that forward is right is ref_values.c's
 * business.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "backend/ref_double.h"

static const struct sl_backend *const ref = &sl_backend_ref_double;
static const double difference_step = 1e-5;
static const double tolerance = 1e-6;
static const double kink_distance = 2e-4; /* a step moves a pre-activation by less */
static const double sentinel = 7.25;      /* fills what must not be touched */
static const double base_value = 0.5;     /* fills what is added to */

/* ---- tools ------------------------------------------------------------------------- */

static double *doubles(int64_t count)
{
    struct sl_error err = {0};
    double *memory = NULL;
    assert_int_equal(
        sl_heap_alloc(&err, "a test's numbers", count, sizeof(*memory), &memory), SL_OK);
    return memory;
}

static void fill_random(double *x, int64_t n, uint32_t purpose, uint32_t draw)
{
    struct sl_rng rng = sl_rng_at(2026, SL_RNG_TEST, purpose, draw);
    for (int64_t i = 0; i < n; i++) {
        x[i] = sl_rng_between(&rng, -1.0, 1.0);
    }
}

static void fill_constant(double *x, int64_t n, double value)
{
    for (int64_t i = 0; i < n; i++) {
        x[i] = value;
    }
}

/* Values 0.01 apart in random order: no two of a window are within a step of each other.
 */
static void fill_distinct(double *x, int64_t n)
{
    struct sl_rng rng = sl_rng_at(2026, SL_RNG_TEST, 99, 0);
    for (int64_t i = 0; i < n; i++) {
        x[i] = 0.01 * (double)(i + 1 - n / 2);
    }
    for (int64_t i = n - 1; i > 0; i--) {
        int64_t j = sl_rng_below(&rng, (uint32_t)(i + 1));
        double swap = x[i];
        x[i] = x[j];
        x[j] = swap;
    }
}

/* ---- one op and all its memory ----------------------------------------------------- */

struct bench {
    const char *name;
    struct sl_op_desc desc;
    bool add; /* gradients of activations join what is there */
    struct sl_prepared *op;
    struct sl_op_sizes sizes;
    int64_t n_src, n_dst, n_master;
    double *src, *added, *dst, *master, *bias, *scale, *shift, *running_mean,
        *running_variance;
    double *diff_dst, *diff_src, *diff_added, *diff_master, *diff_bias, *diff_scale,
        *diff_shift;
    void *packed, *packed_diff, *workspace, *scratch;
    struct sl_slice slice;
};

static bool has_weights(const struct bench *b)
{
    return b->desc.kind == SL_OP_CONV || b->desc.kind == SL_OP_LINEAR;
}

/* The master is larger than the slice in both directions, which begins inside it. */
static void bench_master(struct bench *b)
{
    const int kernel = b->desc.kind == SL_OP_LINEAR ? 1 : b->desc.kernel;
    const int64_t window = (int64_t)kernel * kernel;
    b->slice.out = b->desc.dst_c;
    b->slice.in = b->desc.src_c;
    b->slice.kernel = kernel;
    b->slice.in_stride = window;
    b->slice.out_stride = (b->desc.src_c + 3) * window;
    b->n_master = (b->desc.dst_c + 2) * b->slice.out_stride;
    b->master = doubles(b->n_master);
    b->diff_master = doubles(b->n_master);
    fill_random(b->master, b->n_master, 1, 0);
}

static struct sl_slice slice_of(const struct bench *b, double *master)
{
    struct sl_slice slice = b->slice;
    slice.data = (void *)(master + slice.out_stride + slice.in_stride);
    return slice;
}

static void bench_open(struct bench *b)
{
    struct sl_error err = {0};
    const struct sl_op_desc *d = &b->desc;
    assert_int_equal(ref->prepare(&err, NULL, d, &b->op, &b->sizes), SL_OK);
    b->n_src = (int64_t)d->n * d->src_h * d->src_w * d->src_c;
    b->n_dst = (int64_t)d->n * d->dst_h * d->dst_w * d->dst_c;
    b->src = doubles(b->n_src);
    b->diff_src = doubles(b->n_src);
    b->added = doubles(b->n_dst);
    b->dst = doubles(b->n_dst);
    b->diff_dst = doubles(b->n_dst);
    b->diff_added = doubles(b->n_dst);
    bench_master(b);
    double **const channels[] = {&b->bias,         &b->scale,           &b->shift,
                                 &b->diff_bias,    &b->diff_scale,      &b->diff_shift,
                                 &b->running_mean, &b->running_variance};
    for (int i = 0; i < SL_COUNT(channels); i++) {
        *channels[i] = doubles(d->dst_c);
        fill_random(*channels[i], d->dst_c, 20 + (uint32_t)i, 0);
    }
    for (int c = 0; c < d->dst_c; c++) {
        b->scale[c] += b->scale[c] < 0 ? -0.5 : 0.5;
        b->running_variance[c] = fabs(b->running_variance[c]) + 0.3;
    }
    void **const blocks[] = {&b->packed, &b->packed_diff, &b->workspace, &b->scratch};
    const size_t bytes[] = {b->sizes.packed, b->sizes.packed_diff, b->sizes.workspace,
                            b->sizes.scratch};
    for (int i = 0; i < SL_COUNT(blocks); i++) {
        assert_int_equal(ref->alloc(&err, NULL, "a test's block", bytes[i], blocks[i]),
                         SL_OK);
    }
    fill_random(b->diff_dst, b->n_dst, 2, 0);
}

static void bench_close(struct bench *b)
{
    void *const all[] = {b->src,       b->added,       b->dst,        b->master,
                         b->bias,      b->scale,       b->shift,      b->running_mean,
                         b->diff_dst,  b->diff_src,    b->diff_added, b->diff_master,
                         b->diff_bias, b->diff_scale,  b->diff_shift, b->running_variance,
                         b->packed,    b->packed_diff, b->workspace,  b->scratch};
    for (int i = 0; i < SL_COUNT(all); i++) {
        sl_heap_free(all[i]);
    }
    ref->drop(NULL, b->op);
}

static struct sl_op_args bench_args(const struct bench *b)
{
    return (struct sl_op_args){
        .src = (void *)b->src,
        .added = (void *)b->added,
        .dst = (void *)b->dst,
        .packed = b->packed,
        .bias = (void *)b->bias,
        .scale = b->desc.no_affine ? NULL : (void *)b->scale,
        .shift = b->desc.no_affine ? NULL : (void *)b->shift,
        .running_mean = (void *)b->running_mean,
        .running_variance = (void *)b->running_variance,
        .workspace = b->workspace,
        .scratch = b->scratch,
        .diff_dst = (void *)b->diff_dst,
        .diff_src = b->desc.need_diff_src ? (void *)b->diff_src : NULL,
        .diff_src_add = b->add,
        .diff_added = (void *)b->diff_added,
        .diff_added_add = b->add,
        .packed_diff = b->packed_diff,
        .diff_bias = (void *)b->diff_bias,
        .diff_scale = b->desc.no_affine ? NULL : (void *)b->diff_scale,
        .diff_shift = b->desc.no_affine ? NULL : (void *)b->diff_shift,
    };
}

static void bench_forward(struct bench *b, struct sl_prepared *op)
{
    if (has_weights(b)) {
        const struct sl_slice slice = slice_of(b, b->master);
        ref->pack(NULL, op, &slice, b->packed);
    }
    const struct sl_op_args args = bench_args(b);
    ref->forward(NULL, op, &args);
}

/* The scalar whose derivative is taken. */
static double bench_value(struct bench *b)
{
    bench_forward(b, b->op);
    double sum = 0.0;
    for (int64_t i = 0; i < b->n_dst; i++) {
        sum += b->dst[i] * b->diff_dst[i];
    }
    return sum;
}

/* Smallest distance from 0 of what the norm's ReLU reads. */
static double kink_margin(struct bench *b)
{
    struct sl_error err = {0};
    struct sl_op_desc plain = b->desc;
    plain.tail = SL_TAIL_NONE;
    struct sl_prepared *op = NULL;
    struct sl_op_sizes sizes;
    assert_int_equal(ref->prepare(&err, NULL, &plain, &op, &sizes), SL_OK);
    bench_forward(b, op);
    ref->drop(NULL, op);
    double margin = INFINITY;
    for (int64_t i = 0; i < b->n_dst; i++) {
        double joined = b->desc.tail == SL_TAIL_ADD_RELU ? b->added[i] : 0.0;
        margin = fmin(margin, fabs(b->dst[i] + joined));
    }
    return margin;
}

static void bench_fill(struct bench *b)
{
    if (b->desc.kind == SL_OP_MAXPOOL) {
        fill_distinct(b->src, b->n_src);
        return;
    }
    fill_random(b->src, b->n_src, 3, 0);
    fill_random(b->added, b->n_dst, 4, 0);
    if (b->desc.kind == SL_OP_RELU) {
        for (int64_t i = 0; i < b->n_src; i++) {
            double joined = b->desc.tail == SL_TAIL_ADD_RELU ? b->added[i] : 0.0;
            b->src[i] += b->src[i] + joined < 0 ? -0.01 : 0.01;
        }
    }
    if (b->desc.kind != SL_OP_NORM || b->desc.tail == SL_TAIL_NONE) {
        return;
    }
    for (uint32_t draw = 1; kink_margin(b) < kink_distance; draw++) {
        assert_true(draw < 1000);
        fill_random(b->src, b->n_src, 3, draw);
        fill_random(b->added, b->n_dst, 4, draw);
    }
}

/* ---- the comparison ---------------------------------------------------------------- */

/* Derivatives `analytic` (with `base` under them) of the bench's value by x[0 .. n). */
static void compare(struct bench *b, const char *what, double *x, int64_t n,
                    const double *analytic, double base)
{
    double *numeric = doubles(n);
    double largest = 0.0;
    for (int64_t i = 0; i < n; i++) {
        const double kept = x[i];
        x[i] = kept + difference_step;
        double above = bench_value(b);
        x[i] = kept - difference_step;
        double below = bench_value(b);
        x[i] = kept;
        numeric[i] = (above - below) / (2.0 * difference_step);
        largest = fmax(largest, fabs(numeric[i]));
    }
    assert_true(largest > 1e-4); /* a derivative that is 0 throughout would prove nothing
                                  */
    for (int64_t i = 0; i < n; i++) {
        double error = fabs(analytic[i] - base - numeric[i]);
        if (!(error <= tolerance * largest)) {
            fail_msg("%s: d/d%s[%lld] is %.12g, differences say %.12g (largest %.3g)",
                     b->name, what, (long long)i, analytic[i] - base, numeric[i],
                     largest);
        }
    }
    sl_heap_free(numeric);
}

/* The gradient of the master: joined inside the slice, untouched outside. */
static void compare_weights(struct bench *b)
{
    fill_constant(b->diff_master, b->n_master, base_value);
    const struct sl_slice diff = slice_of(b, b->diff_master);
    double squares = ref->unpack_add(NULL, b->op, b->packed_diff, &diff);
    double expected = 0.0;
    int64_t changed = 0;
    for (int64_t i = 0; i < b->n_master; i++) {
        double joined = b->diff_master[i] - base_value;
        expected += joined * joined;
        changed += joined != 0.0 ? 1 : 0;
    }
    assert_true(fabs(squares - expected) <= 1e-9 * expected);
    assert_true(changed <=
                (int64_t)b->slice.out * b->slice.in * b->slice.kernel * b->slice.kernel);
    /* outside the slice both the derivative and the difference are 0 */
    compare(b, "weight", b->master, b->n_master, b->diff_master, base_value);
}

static void check_op(struct bench *b)
{
    bench_open(b);
    bench_fill(b);
    const double base = b->add ? base_value : 0.0;
    const double start = b->add ? base_value : sentinel;
    fill_constant(b->diff_src, b->n_src, b->desc.need_diff_src ? start : sentinel);
    fill_constant(b->diff_added, b->n_dst, start);
    (void)bench_value(b);
    const struct sl_op_args args = bench_args(b);
    ref->backward(NULL, b->op, &args);
    if (b->desc.need_diff_src) {
        compare(b, "src", b->src, b->n_src, b->diff_src, base);
    } else {
        for (int64_t i = 0; i < b->n_src; i++) {
            assert_true(b->diff_src[i] == sentinel);
        }
    }
    if (b->desc.tail == SL_TAIL_ADD_RELU) {
        compare(b, "added", b->added, b->n_dst, b->diff_added, base);
    }
    if (has_weights(b)) {
        compare_weights(b);
    }
    if (b->desc.bias) {
        compare(b, "bias", b->bias, b->desc.dst_c, b->diff_bias, 0.0);
    }
    if (b->desc.kind == SL_OP_NORM && !b->desc.no_affine) {
        compare(b, "scale", b->scale, b->desc.dst_c, b->diff_scale, 0.0);
        compare(b, "shift", b->shift, b->desc.dst_c, b->diff_shift, 0.0);
    }
    bench_close(b);
}

/* ---- the table of ops -------------------------------------------------------------- */

static void conv_gradients(void **state SL_UNUSED)
{
    /* n, h, w, ic, oc, kernel, stride, pad, add, diff_src */
    static const int cases[][10] = {
        {2, 5, 4, 3, 4, 3, 1, 1, 0, 1}, {1, 6, 6, 2, 3, 3, 2, 1, 0, 1},
        {1, 7, 5, 3, 2, 3, 2, 1, 1, 1}, {2, 4, 4, 5, 3, 1, 1, 0, 0, 1},
        {2, 5, 5, 3, 4, 1, 2, 0, 1, 1}, {1, 9, 9, 3, 2, 7, 2, 3, 0, 1},
        {1, 4, 4, 1, 1, 2, 2, 0, 0, 1}, {1, 6, 5, 2, 2, 5, 1, 2, 0, 1},
        {3, 1, 1, 4, 6, 1, 1, 0, 1, 1}, {2, 5, 4, 3, 4, 3, 1, 1, 0, 0},
        {1, 5, 5, 2, 2, 3, 1, 0, 1, 1}, {1, 8, 8, 2, 2, 3, 3, 1, 0, 1},
    };
    for (int i = 0; i < SL_COUNT(cases); i++) {
        const int *c = cases[i];
        struct bench b = {
            .name = "conv",
            .desc = {.kind = SL_OP_CONV,
                     .n = c[0],
                     .src_h = c[1],
                     .src_w = c[2],
                     .src_c = c[3],
                     .dst_h = (c[1] + 2 * c[7] - c[5]) / c[6] + 1,
                     .dst_w = (c[2] + 2 * c[7] - c[5]) / c[6] + 1,
                     .dst_c = c[4],
                     .kernel = c[5],
                     .stride = c[6],
                     .pad = c[7],
                     .backward = true,
                     .need_diff_src = c[9] != 0},
            .add = c[8] != 0,
        };
        check_op(&b);
    }
}

static void linear_gradients(void **state SL_UNUSED)
{
    /* n, in, out, bias, add, diff_src */
    static const int cases[][6] = {
        {3, 5, 4, 1, 0, 1},
        {1, 1, 1, 1, 0, 1},
        {4, 3, 7, 0, 1, 1},
        {5, 6, 2, 1, 0, 0},
    };
    for (int i = 0; i < SL_COUNT(cases); i++) {
        const int *c = cases[i];
        struct bench b = {
            .name = "linear",
            .desc = {.kind = SL_OP_LINEAR,
                     .n = c[0],
                     .src_h = 1,
                     .src_w = 1,
                     .src_c = c[1],
                     .dst_h = 1,
                     .dst_w = 1,
                     .dst_c = c[2],
                     .bias = c[3] != 0,
                     .backward = true,
                     .need_diff_src = c[5] != 0},
            .add = c[4] != 0,
        };
        check_op(&b);
    }
}

static void norm_gradients(void **state SL_UNUSED)
{
    /* n, h, w, c, tail, batch statistics, groups, add */
    static const int cases[][8] = {
        {4, 2, 3, 3, SL_TAIL_NONE, 1, 1, 0},     {4, 2, 2, 5, SL_TAIL_RELU, 1, 1, 0},
        {4, 3, 2, 2, SL_TAIL_ADD_RELU, 1, 1, 0}, {4, 2, 2, 3, SL_TAIL_NONE, 1, 2, 1},
        {6, 2, 1, 4, SL_TAIL_RELU, 1, 3, 1},     {4, 2, 2, 3, SL_TAIL_ADD_RELU, 1, 2, 1},
        {8, 1, 1, 3, SL_TAIL_NONE, 1, 1, 0},     {3, 2, 2, 3, SL_TAIL_NONE, 0, 0, 0},
        {3, 2, 2, 3, SL_TAIL_RELU, 0, 0, 1},     {2, 2, 2, 3, SL_TAIL_ADD_RELU, 0, 0, 0},
    };
    for (int i = 0; i < 2 * SL_COUNT(cases); i++) {
        const int *c = cases[i / 2];
        struct bench b = {
            .name = i % 2 == 0 ? "norm" : "norm without scale and shift",
            .desc = {.kind = SL_OP_NORM,
                     .n = c[0],
                     .src_h = c[1],
                     .src_w = c[2],
                     .src_c = c[3],
                     .dst_h = c[1],
                     .dst_w = c[2],
                     .dst_c = c[3],
                     .tail = (enum sl_tail)c[4],
                     .batch_statistics = c[5] != 0,
                     .groups = c[6],
                     .epsilon = 1e-5f,
                     .no_affine = i % 2 == 1,
                     .backward = true,
                     .need_diff_src = true},
            .add = c[7] != 0,
        };
        check_op(&b);
    }
}

static void pool_gradients(void **state SL_UNUSED)
{
    /* n, h, w, c, kernel, stride, pad, add; kernel 0 = global average */
    static const int cases[][8] = {
        {2, 6, 6, 3, 3, 2, 1, 0}, {1, 7, 5, 2, 3, 2, 1, 1}, {2, 4, 4, 3, 2, 2, 0, 0},
        {1, 5, 6, 4, 3, 1, 1, 0}, {2, 3, 4, 3, 0, 0, 0, 0}, {1, 1, 1, 5, 0, 0, 0, 1},
    };
    for (int i = 0; i < SL_COUNT(cases); i++) {
        const int *c = cases[i];
        const bool average = c[4] == 0;
        struct bench b = {
            .name = average ? "avgpool" : "maxpool",
            .desc = {.kind = average ? SL_OP_AVGPOOL : SL_OP_MAXPOOL,
                     .n = c[0],
                     .src_h = c[1],
                     .src_w = c[2],
                     .src_c = c[3],
                     .dst_h = average ? 1 : (c[1] + 2 * c[6] - c[4]) / c[5] + 1,
                     .dst_w = average ? 1 : (c[2] + 2 * c[6] - c[4]) / c[5] + 1,
                     .dst_c = c[3],
                     .kernel = c[4],
                     .stride = c[5],
                     .pad = c[6],
                     .backward = true,
                     .need_diff_src = true},
            .add = c[7] != 0,
        };
        check_op(&b);
    }
}

static void relu_gradients(void **state SL_UNUSED)
{
    for (int i = 0; i < 4; i++) {
        struct bench b = {
            .name = "relu",
            .desc = {.kind = SL_OP_RELU,
                     .tail = i < 2 ? SL_TAIL_NONE : SL_TAIL_ADD_RELU,
                     .n = 3,
                     .src_h = 2,
                     .src_w = 3,
                     .src_c = 5,
                     .dst_h = 2,
                     .dst_w = 3,
                     .dst_c = 5,
                     .backward = true,
                     .need_diff_src = true},
            .add = i % 2 != 0,
        };
        check_op(&b);
    }
}

/* ---- row losses and the normalised embedding --------------------------------------- */

static double loss_value(const struct sl_row_loss *loss)
{
    struct sl_row_loss value_only = *loss;
    value_only.diff = NULL;
    struct sl_row_loss_result result;
    ref->row_loss(NULL, &value_only, &result);
    return result.value;
}

static void check_loss(const char *name, struct sl_row_loss loss)
{
    const int64_t n = loss.rows * loss.stride;
    double *logits = doubles(n);
    double *teacher = doubles(n);
    double *diff = doubles(n);
    double *scratch = doubles(4 * loss.rows);
    fill_random(logits, n, 5, 0);
    fill_random(teacher, n, 6, 0);
    fill_constant(diff, n, loss.add ? base_value : sentinel);
    loss.logits = (void *)logits;
    loss.teacher = loss.kind == SL_LOSS_CLASS ? NULL : (void *)teacher;
    loss.diff = (void *)diff;
    loss.scratch = (void *)scratch;
    struct sl_row_loss_result result;
    ref->row_loss(NULL, &loss, &result);
    assert_true(result.value == loss_value(&loss));
    double largest = 0.0;
    for (int64_t i = 0; i < n; i++) {
        if (i % loss.stride >= loss.cols) {
            assert_true(diff[i] == (loss.add ? base_value : sentinel));
            continue;
        }
        const double kept = logits[i];
        logits[i] = kept + difference_step;
        double above = loss_value(&loss);
        logits[i] = kept - difference_step;
        double below = loss_value(&loss);
        logits[i] = kept;
        double numeric = (double)loss.weight * (above - below) / (2.0 * difference_step);
        double analytic = diff[i] - (loss.add ? base_value : 0.0);
        largest = fmax(largest, fabs(numeric));
        if (!(fabs(analytic - numeric) <= tolerance * fmax(fabs(numeric), 0.1))) {
            fail_msg("%s: d/ds[%lld] is %.12g, differences say %.12g", name, (long long)i,
                     analytic, numeric);
        }
    }
    assert_true(largest > 1e-3);
    sl_heap_free(logits);
    sl_heap_free(teacher);
    sl_heap_free(diff);
    sl_heap_free(scratch);
}

static void loss_gradients(void **state SL_UNUSED)
{
    static const int32_t labels[] = {3, 0, 5, 2};
    static const struct {
        const char *name;
        struct sl_row_loss loss;
    } cases[] = {
        {"class, column 0",
         {.kind = SL_LOSS_CLASS,
          .rows = 3,
          .cols = 7,
          .stride = 7,
          .temperature = 0.2f,
          .weight = 1}},
        {"class, labels",
         {.kind = SL_LOSS_CLASS,
          .rows = 4,
          .cols = 6,
          .stride = 9,
          .temperature = 1,
          .labels = labels,
          .weight = 2.5f,
          .add = true}},
        {"soft",
         {.kind = SL_LOSS_SOFT,
          .rows = 3,
          .cols = 7,
          .stride = 8,
          .temperature = 5,
          .teacher_temperature = 5,
          .weight = 1}},
        {"soft, two temperatures",
         {.kind = SL_LOSS_SOFT,
          .rows = 2,
          .cols = 5,
          .stride = 5,
          .temperature = 0.5f,
          .teacher_temperature = 2,
          .weight = 0.5f,
          .add = true}},
        {"mse", {.kind = SL_LOSS_MSE, .rows = 3, .cols = 4, .stride = 6, .weight = 1}},
        {"mse, added",
         {.kind = SL_LOSS_MSE,
          .rows = 2,
          .cols = 5,
          .stride = 5,
          .weight = 3,
          .add = true}},
        {"atkd", {.kind = SL_LOSS_ATKD, .rows = 3, .cols = 9, .stride = 11, .weight = 1}},
        {"atkd, added",
         {.kind = SL_LOSS_ATKD,
          .rows = 1,
          .cols = 5,
          .stride = 5,
          .weight = 0.5f,
          .add = true}},
        {"dkd", {.kind = SL_LOSS_DKD, .rows = 3, .cols = 8, .stride = 8, .weight = 1}},
        {"dkd, labels",
         {.kind = SL_LOSS_DKD,
          .rows = 4,
          .cols = 6,
          .stride = 9,
          .labels = labels,
          .weight = 1,
          .add = true}},
        {"dkd, two columns, added",
         {.kind = SL_LOSS_DKD,
          .rows = 2,
          .cols = 2,
          .stride = 4,
          .weight = 2,
          .add = true}},
    };
    for (int i = 0; i < SL_COUNT(cases); i++) {
        check_loss(cases[i].name, cases[i].loss);
    }
}

enum { EMBEDDINGS = 4, DIMENSIONS = 6 };

/* Sum of q times g, q the normalised rows of z. */
static double embedding_value(double *z, const double *g)
{
    double q[EMBEDDINGS * DIMENSIONS];
    double norms[EMBEDDINGS];
    ref->row_normalize(NULL, EMBEDDINGS, DIMENSIONS, (void *)z, (void *)q, (void *)norms);
    double sum = 0.0;
    for (int i = 0; i < EMBEDDINGS * DIMENSIONS; i++) {
        sum += q[i] * g[i];
    }
    return sum;
}

static void normalize_gradient(void **state SL_UNUSED)
{
    double z[EMBEDDINGS * DIMENSIONS];
    double g[EMBEDDINGS * DIMENSIONS];
    double q[EMBEDDINGS * DIMENSIONS];
    double diff[EMBEDDINGS * DIMENSIONS];
    double norms[EMBEDDINGS];
    fill_random(z, SL_COUNT(z), 7, 0);
    fill_random(g, SL_COUNT(g), 8, 0);
    ref->row_normalize(NULL, EMBEDDINGS, DIMENSIONS, (void *)z, (void *)q, (void *)norms);
    ref->row_normalize_backward(NULL, EMBEDDINGS, DIMENSIONS, (void *)q, (void *)norms,
                                (void *)g, (void *)diff);
    for (int i = 0; i < SL_COUNT(z); i++) {
        const double kept = z[i];
        z[i] = kept + difference_step;
        double above = embedding_value(z, g);
        z[i] = kept - difference_step;
        double below = embedding_value(z, g);
        z[i] = kept;
        double numeric = (above - below) / (2.0 * difference_step);
        assert_true(fabs(diff[i] - numeric) <= tolerance * fmax(fabs(numeric), 1.0));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conv_gradients),     cmocka_unit_test(linear_gradients),
        cmocka_unit_test(norm_gradients),     cmocka_unit_test(pool_gradients),
        cmocka_unit_test(relu_gradients),     cmocka_unit_test(loss_gradients),
        cmocka_unit_test(normalize_gradient),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
