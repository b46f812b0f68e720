/* SPDX-License-Identifier: MIT */
/*
 * The reference backend against numbers worked out by hand: forward of each op kind, ties
 * and zeros, running statistics, the numbers group, what prepare refuses. With the
 * gradients of gradient.c this is what makes it the oracle of the other backends. The
 * last part is the property of slices: a narrow op gives the same bits from a wide master
 * as from its own.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "backend/backend.h"

extern const struct sl_backend sl_backend_ref;
static const struct sl_backend *const ref = &sl_backend_ref;

/* ---- tools ------------------------------------------------------------------------- */

enum { BLOCK = 4096 }; /* floats or bytes enough for every case here */

/* An op with memory of its own for whatever it asks. */
struct op {
    struct sl_prepared *prepared;
    struct sl_op_sizes sizes;
    float packed[BLOCK], packed_diff[BLOCK], workspace[BLOCK];
    double scratch[BLOCK];
};

static struct op the_op;

static struct op *op_open(const struct sl_op_desc *desc)
{
    struct sl_error err = {0};
    struct op *op = &the_op;
    memset(op, 0, sizeof(*op));
    assert_int_equal(ref->prepare(&err, NULL, desc, &op->prepared, &op->sizes), SL_OK);
    assert_true(op->sizes.packed <= sizeof(op->packed));
    assert_true(op->sizes.packed_diff <= sizeof(op->packed_diff));
    assert_true(op->sizes.workspace <= sizeof(op->workspace));
    assert_true(op->sizes.scratch <= sizeof(op->scratch));
    return op;
}

static struct sl_op_args op_args(struct op *op, const float *src, float *dst)
{
    return (struct sl_op_args){
        .src = src,
        .dst = dst,
        .packed = op->packed,
        .packed_diff = op->packed_diff,
        .workspace = op->workspace,
        .scratch = op->scratch,
    };
}

static void assert_floats(const float *values, const float *expected, int n)
{
    for (int i = 0; i < n; i++) {
        if (!(fabsf(values[i] - expected[i]) <=
              1e-6f * fmaxf(1.0f, fabsf(expected[i])))) {
            fail_msg("value %d is %.9g but must be %.9g", i, (double)values[i],
                     (double)expected[i]);
        }
    }
}

static struct sl_op_desc plain_desc(enum sl_op_kind kind, int n, int h, int w, int c)
{
    return (struct sl_op_desc){
        .kind = kind,
        .n = n,
        .src_h = h,
        .src_w = w,
        .src_c = c,
        .dst_h = h,
        .dst_w = w,
        .dst_c = c,
        .backward = true,
        .need_diff_src = true,
    };
}

/* ---- ops by hand ------------------------------------------------------------------- */

/* Weights and picture both 1 … 9: the kernel is not flipped, padding counts as 0. */
static void conv_by_hand(void **state SL_UNUSED)
{
    float nine[] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
    const struct sl_slice slice = {
        .data = nine, .out = 1, .in = 1, .kernel = 3, .out_stride = 9, .in_stride = 9};
    struct sl_op_desc desc = plain_desc(SL_OP_CONV, 1, 3, 3, 1);
    desc.kernel = 3;
    desc.stride = 1;
    desc.pad = 1;
    float dst[9];
    struct op *op = op_open(&desc);
    ref->pack(NULL, op->prepared, &slice, op->packed);
    struct sl_op_args args = op_args(op, nine, dst);
    ref->forward(NULL, op->prepared, &args);
    assert_floats(dst, (const float[]){94, 154, 106, 186, 285, 186, 106, 154, 94}, 9);
    ref->drop(NULL, op->prepared);

    desc.stride = 2;
    desc.dst_h = 2;
    desc.dst_w = 2;
    op = op_open(&desc);
    ref->pack(NULL, op->prepared, &slice, op->packed);
    args = op_args(op, nine, dst);
    ref->forward(NULL, op->prepared, &args);
    assert_floats(dst, (const float[]){94, 106, 106, 94}, 4);
    ref->drop(NULL, op->prepared);
}

/* Two inputs, one output, from a master whose slice begins inside it. */
static void linear_by_hand(void **state SL_UNUSED)
{
    float master[] = {9, 9, 9, 9, 2, -1}; /* (2, 3); slice: row 1, columns 1 and 2 */
    const struct sl_slice slice = {.data = master + 4,
                                   .out = 1,
                                   .in = 2,
                                   .kernel = 1,
                                   .out_stride = 3,
                                   .in_stride = 1};
    struct sl_op_desc desc = plain_desc(SL_OP_LINEAR, 2, 1, 1, 2);
    desc.dst_c = 1;
    desc.bias = true;
    struct op *op = op_open(&desc);
    const float src[] = {1, 2, 3, 5};
    const float bias[] = {0.5f};
    float dst[2];
    struct sl_op_args args = op_args(op, src, dst);
    args.bias = bias;
    ref->pack(NULL, op->prepared, &slice, op->packed);
    ref->forward(NULL, op->prepared, &args);
    assert_floats(dst, (const float[]){0.5f, 1.5f}, 2);

    const float diff_dst[] = {1, 2};
    float diff_src[4];
    float diff_bias[1];
    float diff_master[6] = {0};
    args.diff_dst = diff_dst;
    args.diff_src = diff_src;
    args.diff_bias = diff_bias;
    ref->backward(NULL, op->prepared, &args);
    assert_floats(diff_src, (const float[]){2, -1, 4, -2}, 4);
    assert_floats(diff_bias, (const float[]){3}, 1);
    struct sl_slice diff = slice;
    diff.data = diff_master + 4;
    double squares = ref->unpack_add(NULL, op->prepared, op->packed_diff, &diff);
    assert_floats(diff_master, (const float[]){0, 0, 0, 0, 7, 12}, 6);
    assert_true(squares == 49.0 + 144.0);
    ref->drop(NULL, op->prepared);
}

/* Two groups of two rows, two channels; epsilon 3 makes the roots whole. */
static void norm_by_hand(void **state SL_UNUSED)
{
    struct sl_op_desc desc = plain_desc(SL_OP_NORM, 4, 1, 1, 2);
    desc.batch_statistics = true;
    desc.groups = 2;
    desc.epsilon = 3.0f;
    struct op *op = op_open(&desc);
    const float src[] = {0, 10, 2, 16, -5, 1, -5, 3};
    const float scale[] = {2, 4};
    const float shift[] = {1, -1};
    float dst[8];
    struct sl_op_args args = op_args(op, src, dst);
    args.scale = scale;
    args.shift = shift;
    ref->forward(NULL, op->prepared, &args);
    /* group 0: means 1, 13, variances 1, 9; group 1: means -5, 2, variances 0, 1 */
    const float inverse_12 = 0.288675135f;
    const float inverse_3 = 0.577350269f;
    assert_floats(dst,
                  (const float[]){1 - 1, -1 - 12 * inverse_12, 1 + 1,
                                  -1 + 12 * inverse_12, 1, -1 - 2, 1, -1 + 2},
                  8);
    assert_floats(
        op->workspace,
        (const float[]){1, 13, -5, 2, 0.5f, inverse_12, inverse_3, 0.5f, 1, 9, 0, 1}, 12);
    /* unbiased variances: 2, 18 and 0, 2; means over groups: -2, 7.5 and 1, 10 */
    float mean[] = {0, 10};
    float variance[] = {1, 1};
    ref->norm_update(NULL, 2, 2, 2, 0.1f, op->workspace, mean, variance);
    assert_floats(mean, (const float[]){-0.2f, 9.75f}, 2);
    assert_floats(variance, (const float[]){1.0f, 1.9f}, 2);
    ref->drop(NULL, op->prepared);

    /* running statistics and both ReLU tails */
    desc.batch_statistics = false;
    desc.groups = 0;
    desc.tail = SL_TAIL_ADD_RELU;
    desc.n = 1;
    op = op_open(&desc);
    assert_int_equal(op->sizes.workspace, 0);
    const float running_variance[] = {1, 13};
    const float running_mean[] = {1, 2};
    const float added[] = {-3, 20};
    args = op_args(op, src, dst);
    args.scale = scale;
    args.shift = shift;
    args.added = added;
    args.running_mean = running_mean;
    args.running_variance = running_variance;
    ref->forward(NULL, op->prepared, &args);
    assert_floats(dst, (const float[]){0, 8 - 1 + 20}, 2);
    ref->drop(NULL, op->prepared);
}

/* The first of equals wins and alone gets the gradient; padding does not win over what is
 * below 0; a NaN is let through. */
static void maxpool_by_hand(void **state SL_UNUSED)
{
    struct sl_op_desc desc = plain_desc(SL_OP_MAXPOOL, 1, 4, 4, 1);
    desc.kernel = 3;
    desc.stride = 2;
    desc.pad = 1;
    desc.dst_h = 2;
    desc.dst_w = 2;
    struct op *op = op_open(&desc);
    float src[] = {-4, -3, -3, -9, -5, -3, -8, -9, -6, -7, -1, -1, -6, -7, -1, -1};
    float dst[4];
    float diff_src[16];
    const float diff_dst[] = {1, 10, 100, 1000};
    struct sl_op_args args = op_args(op, src, dst);
    args.diff_dst = diff_dst;
    args.diff_src = diff_src;
    ref->forward(NULL, op->prepared, &args);
    assert_floats(dst, (const float[]){-3, -3, -3, -1}, 4);
    ref->backward(NULL, op->prepared, &args);
    /* windows: rows and columns -1..1 and 1..3. Winners: (0,1); (0,1); (1,1); (2,2) */
    assert_floats(diff_src,
                  (const float[]){0, 11, 0, 0, 0, 100, 0, 0, 0, 0, 1000, 0, 0, 0, 0, 0},
                  16);
    src[5] = NAN;
    ref->forward(NULL, op->prepared, &args);
    for (int i = 0; i < 4; i++) {
        assert_true(isnan(dst[i])); /* every window holds pixel (1, 1) */
    }
    ref->drop(NULL, op->prepared);
}

static void avgpool_and_relu_by_hand(void **state SL_UNUSED)
{
    struct sl_op_desc desc = plain_desc(SL_OP_AVGPOOL, 1, 2, 2, 2);
    desc.dst_h = 1;
    desc.dst_w = 1;
    struct op *op = op_open(&desc);
    const float src[] = {1, -1, 2, -2, 3, -3, 6, -4};
    float dst[6];
    struct sl_op_args args = op_args(op, src, dst);
    ref->forward(NULL, op->prepared, &args);
    assert_floats(dst, (const float[]){3, -2.5f}, 2);
    ref->drop(NULL, op->prepared);

    desc = plain_desc(SL_OP_RELU, 1, 1, 1, 5);
    op = op_open(&desc);
    const float signs[] = {-1, 0, 2, -0.0f, NAN};
    const float diff_dst[] = {5, 6, 7, 8, 9};
    float diff_src[5];
    args = op_args(op, signs, dst);
    args.diff_dst = diff_dst;
    args.diff_src = diff_src;
    ref->forward(NULL, op->prepared, &args);
    assert_floats(dst, (const float[]){0, 0, 2, 0}, 4);
    assert_true(isnan(dst[4]));
    ref->backward(NULL, op->prepared, &args);
    assert_floats(diff_src, (const float[]){0, 0, 7, 0}, 4);
    ref->drop(NULL, op->prepared);
}

/* ---- numbers by hand --------------------------------------------------------------- */

static void gemm_by_hand(void **state SL_UNUSED)
{
    /* A (2, 3) = [1 2 3; 4 5 6], B (3, 2) = [1 -1; 0 2; 2 1]; AB = [7 6; 16 12] */
    const float a[] = {1, 2, 3, 4, 5, 6};
    const float a_t[] = {1, 4, 2, 5, 3, 6};
    const float b[] = {1, -1, 0, 2, 2, 1};
    const float b_t[] = {1, 0, 2, -1, 2, 1};
    for (int i = 0; i < 4; i++) {
        const bool ta = i / 2 == 1;
        const bool tb = i % 2 == 1;
        float c[] = {NAN, NAN, -1, NAN, NAN, -1}; /* rows of 3, of which 2 are C's */
        ref->gemm(NULL, ta, tb, 2, 2, 3, 1.0f, ta ? a_t : a, ta ? 2 : 3, tb ? b_t : b,
                  tb ? 3 : 2, 0.0f, c, 3);
        assert_floats(c, (const float[]){7, 6, -1, 16, 12, -1}, 6);
        ref->gemm(NULL, ta, tb, 2, 2, 3, 2.0f, ta ? a_t : a, ta ? 2 : 3, tb ? b_t : b,
                  tb ? 3 : 2, 0.5f, c, 3);
        assert_floats(c, (const float[]){17.5f, 15, -1, 40, 30, -1}, 6);
    }
}

static void rows_by_hand(void **state SL_UNUSED)
{
    const float z[] = {3, 4, 0, 0, -2, 0};
    float q[6];
    float norms[3];
    ref->row_normalize(NULL, 3, 2, z, q, norms);
    assert_floats(q, (const float[]){0.6f, 0.8f, 0, 0, -1, 0}, 6);
    assert_floats(norms, (const float[]){5, 0, 2}, 3);
    float diff[6];
    const float g[] = {1, 0, 0, 0, 1, 3};
    ref->row_normalize_backward(NULL, 3, 2, q, norms, g, diff);
    assert_floats(diff, (const float[]){0.64f / 5, -0.48f / 5, 0, 0, 0, 1.5f}, 6);

    float out[] = {9, 9, 9, 9, 9};
    ref->row_dot(NULL, 3, 2, z, g, out, 2);
    assert_floats(out, (const float[]){3, 9, 0, 9, -2}, 5);
    float y[] = {1, 1, 1, 1, 1, 1};
    ref->row_axpy(NULL, 3, 2, out, 2, z, y);
    assert_floats(y, (const float[]){10, 13, 1, 1, 5, 1}, 6);

    /* two columns with deviations 1 and 3, times sqrt(2) */
    const float spread[] = {1, -3, 3, 3};
    assert_true(fabs(ref->embedding_std(NULL, 2, 2, spread) - 2.0 * sqrt(2.0)) < 1e-9);
    const float collapsed[] = {0.6f, 0.8f, 0.6f, 0.8f};
    assert_true(ref->embedding_std(NULL, 2, 2, collapsed) < 1e-7);
}

static void flat_by_hand(void **state SL_UNUSED)
{
    const float x[] = {1, -2, 3};
    float y[] = {10, 20, 30};
    assert_true(ref->sum_squares(NULL, 3, x) == 14.0);
    assert_true(ref->add(NULL, 3, x, y) == 14.0);
    assert_floats(y, (const float[]){11, 18, 33}, 3);

    float values[] = {1, 2, -INFINITY, NAN};
    assert_int_equal(ref->find_nonfinite(NULL, 4, values), 2);
    values[2] = 3.4e38f;
    assert_int_equal(ref->find_nonfinite(NULL, 4, values), 3);
    assert_int_equal(ref->find_nonfinite(NULL, 3, values), -1);

    float target[] = {1, -2, 7};
    ref->average(NULL, 3, 0.75f, x, target);
    assert_floats(target, (const float[]){1, -2, 6}, 3);
    float same[] = {0.1f, -2e-38f, 3e30f};
    const float online[] = {0.1f, -2e-38f, 3e30f};
    ref->average(NULL, 3, 0.999f, online, same);
    assert_memory_equal(same, online, sizeof(same));

    /* g + wd p = 1.2; v = 0.5 * 4 + 1.2 = 3.2; p = 2 - 0.25 * 3.2 */
    const float g[] = {1};
    float v[] = {4};
    float p[] = {2};
    ref->sgd(NULL, 1, 0.25f, 0.5f, 0.1f, g, v, p);
    assert_floats(v, (const float[]){3.2f}, 1);
    assert_floats(p, (const float[]){1.2f}, 1);
}

static void updates_by_hand(void **state SL_UNUSED)
{
    /* g + wd p = (2, 4); v = 0.5 * 4 + 0.25 * (2, 4); p -= 2 v */
    const float g[] = {1, 2};
    float p[] = {2, 4};
    float v[] = {4, 4};
    double squares_p = 0.0;
    double squares_g = 0.0;
    ref->lars_norms(NULL, 2, 0.5f, g, p, &squares_p, &squares_g);
    assert_true(squares_p == 20.0 && squares_g == 20.0);
    ref->lars(NULL, 2, 2.0f, 0.5f, 0.5f, 0.25f, g, v, p);
    assert_floats(v, (const float[]){2.5f, 3}, 2);
    assert_floats(p, (const float[]){-3, -2}, 2);

    /* The first step of AdamW: both means without their bias are g and g^2, so p goes
     * down by lr g / (|g| + eps), after its decay by lr wd = 1/16. */
    const struct sl_adamw rule = {.lr = 0.25,
                                  .beta1 = 0.5,
                                  .beta2 = 0.75,
                                  .epsilon = 1.0,
                                  .weight_decay = 0.25,
                                  .step = 1};
    float mean[] = {0, 0};
    float square[] = {0, 0};
    const float gradient[] = {1, -3};
    float parameter[] = {16, 32};
    ref->adamw(NULL, 2, &rule, gradient, mean, square, parameter);
    assert_floats(mean, (const float[]){0.5f, -1.5f}, 2);
    assert_floats(square, (const float[]){0.25f, 2.25f}, 2);
    assert_floats(parameter, (const float[]){15 - 0.125f, 30 + 0.1875f}, 2);
}

/* ---- memory and refusals ----------------------------------------------------------- */

static void memory_is_zeroed_and_aligned(void **state SL_UNUSED)
{
    struct sl_error err = {0};
    void *memory = NULL;
    assert_int_equal(ref->alloc(&err, NULL, "a test's block", 1000, &memory), SL_OK);
    assert_int_equal((uintptr_t)memory % 64, 0);
    unsigned char host[1000];
    memset(host, 0xff, sizeof(host));
    ref->get(NULL, host, memory, sizeof(host));
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(host[i], 0);
    }
    ref->put(NULL, memory, "four", 5);
    ref->copy(NULL, (char *)memory + 100, memory, 5);
    assert_string_equal((char *)memory + 100, "four");
    ref->zero(NULL, memory, 2);
    assert_int_equal(((char *)memory)[1], 0);
    assert_int_equal(((char *)memory)[2], 'u');
    ref->free(NULL, memory);
}

static void refuse(struct sl_op_desc desc, const char *word)
{
    struct sl_error err = {0};
    struct sl_prepared *op = NULL;
    struct sl_op_sizes sizes;
    assert_int_equal(ref->prepare(&err, NULL, &desc, &op, &sizes), SL_ERROR_USAGE);
    assert_null(op);
    if (strstr(err.text, word) == NULL) {
        fail_msg("'%s' does not say '%s'", err.text, word);
    }
}

static void prepare_refuses(void **state SL_UNUSED)
{
    struct sl_op_desc norm = plain_desc(SL_OP_NORM, 6, 2, 2, 3);
    norm.epsilon = 1e-5f;
    norm.batch_statistics = true;
    norm.groups = 4;
    refuse(norm, "equal groups");
    norm.groups = 2;
    norm.dst_h = 1;
    refuse(norm, "norm: output is 1x2x3");
    norm = plain_desc(SL_OP_NORM, 6, 2, 2, 3);
    refuse(norm, "epsilon");

    struct sl_op_desc conv = plain_desc(SL_OP_CONV, 1, 2, 2, 3);
    conv.kernel = 5;
    conv.stride = 1;
    conv.pad = 1;
    refuse(conv, "smaller than the 5x5 window");
    conv.kernel = 3;
    conv.dst_h = 3;
    refuse(conv, "output is 3x2 but must be 2x2");
    conv.stride = 0;
    refuse(conv, "stride 0");
    conv.n = 0;
    refuse(conv, "0 pictures");
    struct sl_op_desc huge = plain_desc(SL_OP_CONV, INT32_MAX, INT32_MAX, INT32_MAX, 3);
    huge.kernel = 1;
    huge.stride = 1;
    refuse(huge, "do not fit in memory");

    struct sl_op_desc pool = plain_desc(SL_OP_MAXPOOL, 1, 40, 40, 2);
    pool.kernel = 17;
    pool.stride = 1;
    pool.pad = 8;
    refuse(pool, "at most 15");
    refuse(plain_desc(SL_OP_AVGPOOL, 1, 4, 4, 2), "must be 1x1x2");
    refuse(plain_desc(SL_OP_LINEAR, 1, 4, 4, 2), "must be 1x1");
    struct sl_op_desc relu = plain_desc(SL_OP_RELU, 1, 4, 4, 2);
    relu.dst_c = 3;
    refuse(relu, "relu: output is 4x4x3");
}

static void devices_by_name(void **state SL_UNUSED)
{
    struct sl_error err = {0};
    struct sl_device device;
    const struct sl_backend_options options = {0};
    assert_int_equal(sl_device_open(&err, "auto", &options, &device), SL_OK);
    assert_string_equal(device.table->name, sl_backend_name(0));
    sl_device_close(&device);
    assert_null(device.table);
    sl_device_close(&device);
    assert_int_equal(sl_device_open(&err, "ref", &options, &device), SL_OK);
    char text[80];
    device.table->describe(device.state, text, sizeof(text));
    assert_non_null(strstr(text, "ref"));
    sl_device_close(&device);
    assert_int_equal(sl_device_open(&err, "gpu9", &options, &device), SL_ERROR_USAGE);
    assert_non_null(strstr(err.text, "'gpu9'"));
    assert_non_null(strstr(err.text, "auto, "));
    assert_non_null(strstr(err.text, ", ref"));
    int n = 0;
    while (sl_backend_name(n) != NULL) {
        n++;
    }
    assert_string_equal(sl_backend_name(n - 1), "ref");
    assert_null(sl_backend_name(-1));
}

/* ---- slices ------------------------------------------------------------------------ */

enum { WIDE_OUT = 12, WIDE_IN = 7, OUT = 5, IN = 3, TAPS = 9, SIDE = 6, PICTURES = 2 };
enum { PIXELS = PICTURES * SIDE * SIDE };

struct conv_result {
    float dst[PIXELS * WIDE_OUT], diff_src[PIXELS * WIDE_IN],
        diff[WIDE_OUT * WIDE_IN * TAPS];
    double squares;
};

static void conv_run(int out, int in, const struct sl_slice *slice, const float *src,
                     const float *diff_dst, struct conv_result *result)
{
    struct sl_op_desc desc = plain_desc(SL_OP_CONV, PICTURES, SIDE, SIDE, in);
    desc.dst_c = out;
    desc.kernel = 3;
    desc.stride = 1;
    desc.pad = 1;
    struct op *op = op_open(&desc);
    struct sl_op_args args = op_args(op, src, result->dst);
    args.diff_dst = diff_dst;
    args.diff_src = result->diff_src;
    ref->pack(NULL, op->prepared, slice, op->packed);
    ref->forward(NULL, op->prepared, &args);
    ref->backward(NULL, op->prepared, &args);
    struct sl_slice diff = *slice;
    diff.data = result->diff;
    memset(result->diff, 0, sizeof(result->diff));
    result->squares = ref->unpack_add(NULL, op->prepared, op->packed_diff, &diff);
    ref->drop(NULL, op->prepared);
}

/* The slice of a wide master and a narrow master of its own: same bits forward, backward
 * and in the master's gradient. And with zero weights behind the slice's inputs, the wide
 * op's leading outputs equal the narrow op's, though it sums over more channels. */
static void slices_keep_bits(void **state SL_UNUSED)
{
    static float wide[WIDE_OUT * WIDE_IN * TAPS], narrow[OUT * IN * TAPS];
    static float src[PIXELS * IN], wide_src[PIXELS * WIDE_IN],
        diff_dst[PIXELS * WIDE_OUT];
    static struct conv_result from_wide, alone, whole;
    sl_rng_fill_normal(1, SL_RNG_TEST, 1, 1.0f, SL_COUNT(wide), wide);
    sl_rng_fill_normal(1, SL_RNG_TEST, 2, 1.0f, SL_COUNT(wide_src), wide_src);
    sl_rng_fill_normal(1, SL_RNG_TEST, 3, 1.0f, SL_COUNT(diff_dst), diff_dst);
    const struct sl_slice wide_slice = {.data = wide,
                                        .out = OUT,
                                        .in = IN,
                                        .kernel = 3,
                                        .out_stride = (int64_t)WIDE_IN * TAPS,
                                        .in_stride = TAPS};
    struct sl_slice narrow_slice = wide_slice;
    narrow_slice.data = narrow;
    narrow_slice.out_stride = (int64_t)IN * TAPS;
    for (int o = 0; o < OUT; o++) {
        memcpy(narrow + (size_t)o * IN * TAPS, wide + (size_t)o * WIDE_IN * TAPS,
               IN * TAPS * sizeof(float));
    }
    for (int i = 0; i < PIXELS; i++) {
        memcpy(src + (size_t)i * IN, wide_src + (size_t)i * WIDE_IN, IN * sizeof(float));
    }
    conv_run(OUT, IN, &wide_slice, src, diff_dst, &from_wide);
    conv_run(OUT, IN, &narrow_slice, src, diff_dst, &alone);
    assert_memory_equal(from_wide.dst, alone.dst, PIXELS * OUT * sizeof(float));
    assert_memory_equal(from_wide.diff_src, alone.diff_src, PIXELS * IN * sizeof(float));
    assert_true(from_wide.squares == alone.squares && alone.squares > 0.0);
    for (int o = 0; o < OUT; o++) {
        assert_memory_equal(from_wide.diff + (size_t)o * WIDE_IN * TAPS,
                            alone.diff + (size_t)o * IN * TAPS,
                            IN * TAPS * sizeof(float));
    }

    struct sl_slice whole_slice = wide_slice;
    whole_slice.out = WIDE_OUT;
    whole_slice.in = WIDE_IN;
    for (int i = 0; i < WIDE_OUT * WIDE_IN; i++) {
        if (i % WIDE_IN >= IN) {
            memset(wide + (size_t)i * TAPS, 0, TAPS * sizeof(float));
        }
    }
    conv_run(WIDE_OUT, WIDE_IN, &whole_slice, wide_src, diff_dst, &whole);
    for (int i = 0; i < PIXELS; i++) {
        assert_memory_equal(whole.dst + (size_t)i * WIDE_OUT, alone.dst + (size_t)i * OUT,
                            OUT * sizeof(float));
    }
}

/* A part of a product gives the same bits as the whole product's part. */
static void gemm_keeps_bits(void **state SL_UNUSED)
{
    enum { M = 9, N = 21, K = 33 };
    static float a[M * K], b[N * K], whole[M * N], part[M * N];
    sl_rng_fill_normal(1, SL_RNG_TEST, 4, 1.0f, SL_COUNT(a), a);
    sl_rng_fill_normal(1, SL_RNG_TEST, 5, 1.0f, SL_COUNT(b), b);
    ref->gemm(NULL, false, true, M, N, K, 1.0f, a, K, b, K, 0.0f, whole, N);
    ref->gemm(NULL, false, true, 4, 10, K, 1.0f, a + (size_t)2 * K, K, b + (size_t)5 * K,
              K, 0.0f, part, N);
    for (int i = 0; i < 4; i++) {
        assert_memory_equal(part + (size_t)i * N, whole + (size_t)(2 + i) * N + 5,
                            10 * sizeof(float));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conv_by_hand),
        cmocka_unit_test(linear_by_hand),
        cmocka_unit_test(norm_by_hand),
        cmocka_unit_test(maxpool_by_hand),
        cmocka_unit_test(avgpool_and_relu_by_hand),
        cmocka_unit_test(gemm_by_hand),
        cmocka_unit_test(rows_by_hand),
        cmocka_unit_test(flat_by_hand),
        cmocka_unit_test(updates_by_hand),
        cmocka_unit_test(memory_is_zeroed_and_aligned),
        cmocka_unit_test(prepare_refuses),
        cmocka_unit_test(devices_by_name),
        cmocka_unit_test(slices_keep_bits),
        cmocka_unit_test(gemm_keeps_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
