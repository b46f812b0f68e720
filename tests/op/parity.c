/* SPDX-License-Identifier: MIT */
/*
 * The cpu backend's ops against ref's: every case of bench/cases.h at four widths,
 * gradients written and added, weights taken from a slice inside a larger master, once
 * for each set of row loops this machine can run, each with another number of threads.
 *
 * max|a - b| <= tolerance max|b| per tensor, with the tolerances of one table below,
 * which docs/vendor-differences.md explains. Backward gets ref's output for its ReLU
 * mask where it reads one, so that a rounding at the kink does not count; cpu's norm with
 * a ReLU alone works its mask out again, and is besides held to what its own forward let
 * through.
 *
 * In bfloat16 both sides are given the same numbers, rounded beforehand; what cpu then
 * writes as bfloat16 may besides be off by that rounding, half a unit in the last place
 * of each value.
 */
#include "opkit.h"

/* ---- tolerances -------------------------------------------------------------------- */

enum quantity {
    DST,
    STATISTICS,
    DIFF_SRC,
    DIFF_ADDED,
    DIFF_WEIGHTS,
    DIFF_CHANNELS,
    SQUARES,
    QUANTITIES
};

static const char *const quantity_names[QUANTITIES] = {
    "dst",          "statistics",    "diff_src", "diff_added",
    "diff_weights", "diff_channels", "squares",
};

/* 0: the same bits. */
static const double tolerances[SL_OP_KINDS][QUANTITIES] = {
    [SL_OP_CONV] =
        {[DST] = 5e-6, [DIFF_SRC] = 5e-6, [DIFF_WEIGHTS] = 5e-6, [SQUARES] = 1e-6},
    [SL_OP_LINEAR] = {[DST] = 5e-6,
                      [DIFF_SRC] = 5e-6,
                      [DIFF_WEIGHTS] = 5e-6,
                      [DIFF_CHANNELS] = 1e-6,
                      [SQUARES] = 1e-6},
    [SL_OP_NORM] = {[DST] = 1e-6,
                    [STATISTICS] = 1e-6,
                    [DIFF_SRC] = 1e-6,
                    [DIFF_ADDED] = 0,
                    [DIFF_CHANNELS] = 2e-6},
    [SL_OP_AVGPOOL] = {[DST] = 1e-6, [DIFF_SRC] = 1e-6},
};

/* Winograd's way to a convolution of bfloat16 maps rounds once more: its points, which
 * are sums of up to four pixels, to bfloat16. */
static const double winograd_tolerance = 1e-2;

static double worst[SL_OP_KINDS][QUANTITIES];

/* ---- comparison -------------------------------------------------------------------- */

/* Half a unit in the last place of a map's value; a convolution's gradient that is added
 * was rounded before as well. */
static double rounding_of(const struct given *g, enum quantity quantity, float value)
{
    const bool is_map = quantity == DST || quantity == DIFF_SRC || quantity == DIFF_ADDED;
    if (g->desc.type != SL_BF16 || !is_map) {
        return 0.0;
    }
    const bool twice = g->add && g->desc.kind == SL_OP_CONV && quantity == DIFF_SRC;
    const double before = twice ? fabs((double)value - (double)base_value) : 0.0;
    return (fabs((double)value) + before) / 256.0;
}

static double tolerance_of(const struct given *g, enum quantity quantity)
{
    const struct sl_cpu_state any = {.has_bf16 = sl_cpu_features().avx512_bf16};
    return sl_cpu_winograd_suits(&any, &g->desc) && !sl_cpu_planar_suits(&any, &g->desc)
               ? winograd_tolerance
               : tolerances[g->desc.kind][quantity];
}

static void compare(const struct given *g, enum quantity quantity, int64_t n,
                    const float *a, const float *b)
{
    const enum sl_op_kind kind = g->desc.kind;
    double distance = 0.0;
    double size = 0.0;
    for (int64_t i = 0; i < n; i++) {
        if (!isfinite(a[i]) || !isfinite(b[i])) {
            fail_msg("%s: %s of width %d is %g at %lld, ref has %g", g->text,
                     quantity_names[quantity], g->desc.src_c, (double)a[i], (long long)i,
                     (double)b[i]);
        }
        distance = fmax(distance, fabs((double)a[i] - (double)b[i]) -
                                      rounding_of(g, quantity, b[i]));
        size = fmax(size, fabs((double)b[i]));
    }
    worst[kind][quantity] =
        fmax(worst[kind][quantity], size > 0.0 ? distance / size : distance);
    if (distance > tolerance_of(g, quantity) * size) {
        fail_msg("%s: %s of width %d differs by %g of %g", g->text,
                 quantity_names[quantity], g->desc.src_c, distance, size);
    }
}

static bool in_slice(const struct given *g, int64_t i)
{
    const int64_t at = i - g->slice_offset;
    const int64_t taps = (int64_t)g->slice.kernel * g->slice.kernel;
    if (at < 0) {
        return false;
    }
    const int64_t inside = at % g->slice.out_stride;
    return at / g->slice.out_stride < g->slice.out &&
           inside / g->slice.in_stride < g->slice.in &&
           inside % g->slice.in_stride < taps;
}

static void compare_forward(const struct given *g, const struct made *a,
                            const struct made *b)
{
    compare(g, DST, g->n_dst, a->dst, b->dst);
    if (g->desc.kind == SL_OP_NORM && g->desc.batch_statistics) {
        const int64_t n = (int64_t)g->desc.groups * g->desc.src_c;
        for (int k = 0; k < 3; k++) {
            compare(g, STATISTICS, n, (const float *)a->workspace + k * n,
                    (const float *)b->workspace + k * n);
        }
    }
}

static void compare_backward(const struct given *g, const struct made *a,
                             const struct made *b)
{
    const struct sl_op_desc *d = &g->desc;
    if (d->need_diff_src) {
        compare(g, DIFF_SRC, g->n_src, a->diff_src, b->diff_src);
    }
    if (d->tail == SL_TAIL_ADD_RELU) {
        compare(g, DIFF_ADDED, g->n_dst, a->diff_added, b->diff_added);
    }
    if (d->bias) {
        compare(g, DIFF_CHANNELS, d->dst_c, a->diff_bias, b->diff_bias);
    }
    if (d->kind == SL_OP_NORM && !d->no_affine) {
        compare(g, DIFF_CHANNELS, d->dst_c, a->diff_scale, b->diff_scale);
        compare(g, DIFF_CHANNELS, d->dst_c, a->diff_shift, b->diff_shift);
    }
    if (has_weights(d)) {
        compare(g, DIFF_WEIGHTS, g->n_master, a->diff_master, b->diff_master);
        for (int64_t i = 0; i < g->n_master; i++) {
            if (!in_slice(g, i)) {
                assert_true(a->diff_master[i] == base_value);
            }
        }
        const double gap = fabs(a->squares - b->squares);
        worst[d->kind][SQUARES] = fmax(worst[d->kind][SQUARES], gap / b->squares);
        assert_true(gap <= tolerance_of(g, SQUARES) * b->squares);
    }
}

/* ---- tests ------------------------------------------------------------------------- */

static void same_floats(int64_t n, const float *a, const float *b)
{
    assert_memory_equal(a, b, (size_t)n * sizeof(*a));
}

/* Where values join, the gradient of what was added may take the place of the sum's: that
 * changes no bit. `apart` ran with memory of its own for each. */
static void check_joined(const struct given *g, const struct made *apart, float *mask)
{
    const struct sl_op_desc *d = &g->desc;
    struct made joined;
    if (d->tail != SL_TAIL_ADD_RELU || g->add) {
        return;
    }
    made_init(&joined, g, apart->device);
    run_forward(g, &joined);
    run_backward_as(g, &joined, mask, true);
    same_floats(g->n_dst, joined.diff_added, apart->diff_added);
    if (d->need_diff_src) {
        same_floats(g->n_src, joined.diff_src, apart->diff_src);
    }
    if (d->kind == SL_OP_NORM && !d->no_affine) {
        same_floats(d->dst_c, joined.diff_scale, apart->diff_scale);
        same_floats(d->dst_c, joined.diff_shift, apart->diff_shift);
    }
    made_finish(&joined);
}

static void check_op(const struct devices *devices, const char *text,
                     const struct sl_op_desc *desc, bool add)
{
    struct given given;
    struct made ref;
    given_init(&given, text, desc, add);
    if (desc->type == SL_BF16) {
        given_round(&given);
    }
    made_init(&ref, &given, devices->at[0]);
    run_forward(&given, &ref);
    if (desc->backward) {
        run_backward(&given, &ref, ref.dst);
        check_joined(&given, &ref, ref.dst);
    }
    for (int i = 1; i < devices->n; i++) {
        struct made cpu;
        made_init(&cpu, &given, devices->at[i]);
        run_forward(&given, &cpu);
        compare_forward(&given, &cpu, &ref);
        if (desc->backward) {
            /* a norm may work its mask out again; nobody keeps what ref does not need */
            assert_true(!cpu.sizes.backward_reads_dst || ref.sizes.backward_reads_dst);
            run_backward(&given, &cpu, ref.dst);
            compare_backward(&given, &cpu, &ref);
            check_joined(&given, &cpu, ref.dst);
        }
        made_finish(&cpu);
    }
    made_finish(&ref);
    given_finish(&given);
}

static void check_kind_in(enum sl_op_kind kind, enum sl_dtype type)
{
    struct devices devices;
    int checked = 0;
    devices_open(&devices);
    for (int i = 0; sl_case_text(i) != NULL; i++) {
        struct sl_error err = {0};
        struct sl_case parsed;
        const char *text = sl_case_text(i);
        if (sl_case_parse(&err, text, &parsed) != SL_OK) {
            fail_msg("%s", err.text);
        }
        for (int w = 0; parsed.desc.kind == kind && w < SL_COUNT(widths); w++) {
            struct sl_op_desc desc = sl_case_at(&parsed, widths[w]);
            desc.type = type;
            check_op(&devices, text, &desc, false);
            check_op(&devices, text, &desc, true);
            desc.backward = false;
            check_op(&devices, text, &desc, false);
            checked++;
        }
    }
    devices_close(&devices);
    assert_true(checked >= SL_COUNT(widths));
    for (int q = 0; q < QUANTITIES; q++) {
        if (worst[kind][q] > 0.0) {
            print_message("  worst %s: %.2g\n", quantity_names[q], worst[kind][q]);
        }
    }
}

static void check_kind(enum sl_op_kind kind)
{
    check_kind_in(kind, SL_F32);
}

/* Our own loops run anywhere, the engine's bfloat16 only where the machine has it. */
static void check_kind_bf16(enum sl_op_kind kind)
{
    if (kind == SL_OP_CONV && !sl_cpu_features().avx512_bf16) {
        print_message("  no bfloat16 on this machine\n");
        skip();
    }
    memset(worst[kind], 0, sizeof(worst[kind]));
    check_kind_in(kind, SL_BF16);
}

static void test_conv(void **state SL_UNUSED)
{
    check_kind(SL_OP_CONV);
}

static void test_conv_bf16(void **state SL_UNUSED)
{
    check_kind_bf16(SL_OP_CONV);
}

/* Where our own convolutions go over more than they take at a time: too dear to be run at
 * each width, both with gradients written and with gradients added. */
static void test_conv_rounds(void **state SL_UNUSED)
{
    struct devices devices;
    if (!sl_cpu_features().avx512_bf16) {
        print_message("  no bfloat16 on this machine\n");
        skip();
    }
    devices_open(&devices);
    for (int i = 0; sl_case_large_text(i) != NULL; i++) {
        struct sl_error err = {0};
        struct sl_case parsed;
        const char *text = sl_case_large_text(i);
        assert_int_equal(sl_case_parse(&err, text, &parsed), SL_OK);
        struct sl_op_desc desc = sl_case_at(&parsed, widths[0]);
        desc.type = SL_BF16;
        check_op(&devices, text, &desc, i % 2 != 0);
    }
    devices_close(&devices);
}

static void test_norm_bf16(void **state SL_UNUSED)
{
    check_kind_bf16(SL_OP_NORM);
}

static void test_maxpool_bf16(void **state SL_UNUSED)
{
    check_kind_bf16(SL_OP_MAXPOOL);
}

static void test_avgpool_bf16(void **state SL_UNUSED)
{
    check_kind_bf16(SL_OP_AVGPOOL);
}

static void test_relu_bf16(void **state SL_UNUSED)
{
    check_kind_bf16(SL_OP_RELU);
}

static void test_norm(void **state SL_UNUSED)
{
    check_kind(SL_OP_NORM);
}

static void test_maxpool(void **state SL_UNUSED)
{
    check_kind(SL_OP_MAXPOOL);
}

static void test_avgpool(void **state SL_UNUSED)
{
    check_kind(SL_OP_AVGPOOL);
}

static void test_linear(void **state SL_UNUSED)
{
    check_kind(SL_OP_LINEAR);
}

static void test_relu(void **state SL_UNUSED)
{
    check_kind(SL_OP_RELU);
}

/* A mean a thousand times the spread: the variance must come out right, which the
 * textbook E x^2 - (E x)^2 in float32 would not; and equal inputs have none at all. */
static void test_norm_far_from_zero(void **state SL_UNUSED)
{
    struct devices devices;
    struct sl_error err = {0};
    struct sl_case parsed;
    devices_open(&devices);
    assert_int_equal(sl_case_parse(&err, "norm n8 16x16 c12", &parsed), SL_OK);
    const struct sl_op_desc desc = sl_case_at(&parsed, widths[0]);
    for (int constant = 0; constant < 2; constant++) {
        struct given given;
        struct made made[DEVICES_MAX];
        given_init(&given, "far from zero", &desc, false);
        for (int64_t i = 0; i < given.n_src; i++) {
            given.src[i] = constant == 1 ? 0.1f : given.src[i] + 1000.0f;
        }
        for (int i = 0; i < devices.n; i++) {
            made_init(&made[i], &given, devices.at[i]);
            run_forward(&given, &made[i]);
            compare(&given, STATISTICS, desc.src_c, made[i].workspace, made[0].workspace);
            const float *variance = (const float *)made[i].workspace + 2 * desc.src_c;
            const float *expected = (const float *)made[0].workspace + 2 * desc.src_c;
            for (int c = 0; c < desc.src_c; c++) {
                const double gap = fabs((double)variance[c] - (double)expected[c]);
                assert_true(gap <= 1e-5 * (double)expected[c] + 1e-12);
            }
        }
        for (int i = 0; i < devices.n; i++) {
            made_finish(&made[i]);
        }
        given_finish(&given);
    }
    devices_close(&devices);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conv),
        cmocka_unit_test(test_norm),
        cmocka_unit_test(test_maxpool),
        cmocka_unit_test(test_avgpool),
        cmocka_unit_test(test_linear),
        cmocka_unit_test(test_relu),
        cmocka_unit_test(test_conv_bf16),
        cmocka_unit_test(test_norm_bf16),
        cmocka_unit_test(test_maxpool_bf16),
        cmocka_unit_test(test_avgpool_bf16),
        cmocka_unit_test(test_relu_bf16),
        cmocka_unit_test(test_conv_rounds),
        cmocka_unit_test(test_norm_far_from_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
