/* SPDX-License-Identifier: MIT */
/*
 * The cpu backend's ops against ref's: every case of bench/cases.h at four widths,
 * gradients written and added, weights taken from a slice inside a larger master, once
 * for each set of row loops this machine can run, each with another number of threads.
 *
 * max|a - b| <= tolerance max|b| per tensor, with the tolerances of one table below,
 * which docs/vendor-differences.md explains. Backward gets ref's output for its ReLU
 * mask where it reads one, so that a rounding at the kink does not count.
 *
 * In bfloat16 both sides are given the same numbers, rounded beforehand; what cpu then
 * writes as bfloat16 may besides be off by that rounding, half a unit in the last place
 * of each value.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "backend/cpu_int.h"
#include "bench/cases.h"

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

/* ---- one op on one backend --------------------------------------------------------- */

/* What both backends are given; maps also as bfloat16, for ops of that type. Channel
 * vectors have dst_c values. */
struct given {
    const char *text;
    struct sl_op_desc desc;
    bool add;
    int64_t n_src, n_dst, n_master;
    struct sl_slice slice; /* data is an offset's place in `master` */
    int64_t slice_offset;
    float *src, *added, *diff_dst, *master, *bias, *scale, *shift, *running_mean,
        *running_variance;
    uint16_t *src16, *added16, *diff_dst16;
};

/* Maps of a bfloat16 op are made in the second row and widened into the first. */
struct made {
    struct sl_device device;
    struct sl_prepared *op;
    struct sl_op_sizes sizes;
    float *dst, *diff_src, *diff_added, *diff_master, *diff_bias, *diff_scale,
        *diff_shift;
    uint16_t *dst16, *diff_src16, *diff_added16, *mask16;
    void *packed, *packed_diff, *workspace, *scratch;
    double squares;
};

static const float base_value = 0.5f;

static void *bytes_of(size_t count)
{
    struct sl_error err = {0};
    void *memory = NULL;
    assert_int_equal(sl_heap_alloc(&err, "a test's memory", (int64_t)count, 1, &memory),
                     SL_OK);
    return memory;
}

static float *floats(int64_t count, float value)
{
    float *memory = bytes_of((size_t)count * sizeof(float));
    for (int64_t i = 0; i < count; i++) {
        memory[i] = value;
    }
    return memory;
}

static float *random_floats(int64_t count, uint32_t draw, float scale)
{
    float *memory = floats(count, 0.0f);
    sl_rng_fill_normal(2026, SL_RNG_TEST, draw, scale, count, memory);
    return memory;
}

/* ---- bfloat16 ---------------------------------------------------------------------- */

static uint16_t *bf16_of(int64_t n, const float *x)
{
    uint16_t *half = bytes_of((size_t)n * sizeof(*half));
    sl_cpu_maps_bf16_base.put(n, x, half);
    return half;
}

static void widen(int64_t n, const uint16_t *half, float *x)
{
    for (int64_t i = 0; i < n; i++) {
        const uint32_t bits = (uint32_t)half[i] << 16;
        memcpy(&x[i], &bits, sizeof(bits));
    }
}

/* Rounds the numbers themselves, and gives them in bfloat16. */
static uint16_t *round_to_bf16(int64_t n, float *x)
{
    uint16_t *half = bf16_of(n, x);
    widen(n, half, x);
    return half;
}

static bool has_weights(const struct sl_op_desc *d)
{
    return d->kind == SL_OP_CONV || d->kind == SL_OP_LINEAR;
}

/* The slice begins inside the master; with `add` its input channels are also apart. */
static void given_master(struct given *g)
{
    const struct sl_op_desc *d = &g->desc;
    const int kernel = d->kind == SL_OP_LINEAR ? 1 : d->kernel;
    const int64_t taps = (int64_t)kernel * kernel;
    g->slice = (struct sl_slice){.out = d->dst_c, .in = d->src_c, .kernel = kernel};
    g->slice.in_stride = taps * (g->add ? 2 : 1);
    g->slice.out_stride = (d->src_c + 3) * g->slice.in_stride;
    g->slice_offset = g->slice.out_stride + g->slice.in_stride;
    g->n_master = (d->dst_c + 2) * g->slice.out_stride;
    g->master = random_floats(g->n_master, 1, 0.1f);
}

static struct sl_slice slice_in(const struct given *g, float *master)
{
    struct sl_slice slice = g->slice;
    slice.data = master + g->slice_offset;
    return slice;
}

static void given_init(struct given *g, const char *text, const struct sl_op_desc *desc,
                       bool add)
{
    *g = (struct given){.text = text, .desc = *desc, .add = add};
    const struct sl_op_desc *d = desc;
    g->n_src = (int64_t)d->n * d->src_h * d->src_w * d->src_c;
    g->n_dst = (int64_t)d->n * d->dst_h * d->dst_w * d->dst_c;
    g->src = random_floats(g->n_src, 2, 1.0f);
    g->added = random_floats(g->n_dst, 3, 1.0f);
    g->diff_dst = random_floats(g->n_dst, 4, 1.0f);
    given_master(g);
    g->bias = random_floats(d->dst_c, 5, 1.0f);
    g->scale = random_floats(d->dst_c, 6, 1.0f);
    g->shift = random_floats(d->dst_c, 7, 1.0f);
    g->running_mean = random_floats(d->dst_c, 8, 1.0f);
    g->running_variance = random_floats(d->dst_c, 9, 1.0f);
    for (int c = 0; c < d->dst_c; c++) {
        g->running_variance[c] = fabsf(g->running_variance[c]) + 0.3f;
    }
    /* channels far from 0 and of different spread, as behind a convolution */
    for (int64_t i = 0; d->kind == SL_OP_NORM && i < g->n_src; i++) {
        const int64_t c = i % d->src_c;
        g->src[i] = g->src[i] * (0.2f + 0.1f * (float)(c % 7)) + (float)(c % 5) - 2.0f;
    }
}

static void given_round(struct given *g)
{
    g->src16 = round_to_bf16(g->n_src, g->src);
    g->added16 = round_to_bf16(g->n_dst, g->added);
    /* A pooled map's gradient is float32. */
    float *diff_dst = g->diff_dst;
    g->diff_dst16 = g->desc.kind == SL_OP_AVGPOOL ? bf16_of(g->n_dst, diff_dst)
                                                  : round_to_bf16(g->n_dst, diff_dst);
    sl_heap_free(round_to_bf16(g->n_master, g->master));
}

static void given_finish(struct given *g)
{
    float *const all[] = {g->src,    g->added,        g->diff_dst,
                          g->master, g->bias,         g->scale,
                          g->shift,  g->running_mean, g->running_variance};
    for (int i = 0; i < SL_COUNT(all); i++) {
        sl_heap_free(all[i]);
    }
    sl_heap_free(g->src16);
    sl_heap_free(g->added16);
    sl_heap_free(g->diff_dst16);
}

static void made_init(struct made *m, const struct given *g, struct sl_device device)
{
    struct sl_error err = {0};
    struct sl_op_desc desc = g->desc;
    const struct sl_op_desc *d = &desc;
    if (!device.table->computes(device.state, d->type) &&
        strcmp(device.table->name, "ref") == 0) {
        desc.type = SL_F32;
    }
    *m = (struct made){.device = device};
    if (device.table->prepare(&err, device.state, d, &m->op, &m->sizes) != SL_OK) {
        fail_msg("%s: %s", g->text, err.text);
    }
    m->dst = floats(g->n_dst, NAN);
    m->diff_src = floats(g->n_src, g->add ? base_value : NAN);
    m->diff_added = floats(g->n_dst, g->add ? base_value : NAN);
    m->diff_master = floats(g->n_master, base_value);
    m->diff_bias = floats(d->dst_c, NAN);
    m->diff_scale = floats(d->dst_c, NAN);
    m->diff_shift = floats(d->dst_c, NAN);
    if (d->type == SL_BF16) {
        m->dst16 = bf16_of(g->n_dst, m->dst);
        m->diff_src16 = bf16_of(g->n_src, m->diff_src);
        m->diff_added16 = bf16_of(g->n_dst, m->diff_added);
    }
    m->packed = bytes_of(m->sizes.packed);
    m->packed_diff = bytes_of(m->sizes.packed_diff);
    m->workspace = bytes_of(m->sizes.workspace);
    m->scratch = bytes_of(m->sizes.scratch);
    memset(m->packed, 0xff, m->sizes.packed);
    memset(m->packed_diff, 0xff, m->sizes.packed_diff);
    memset(m->workspace, 0xff, m->sizes.workspace);
    memset(m->scratch, 0xff, m->sizes.scratch);
}

static void made_finish(struct made *m)
{
    void *const all[] = {m->dst,         m->diff_src,     m->diff_added, m->diff_master,
                         m->diff_bias,   m->diff_scale,   m->diff_shift, m->packed,
                         m->packed_diff, m->workspace,    m->scratch,    m->dst16,
                         m->diff_src16,  m->diff_added16, m->mask16};
    m->device.table->drop(m->device.state, m->op);
    for (int i = 0; i < SL_COUNT(all); i++) {
        sl_heap_free(all[i]);
    }
}

/* The same with the maps in bfloat16. */
static void narrow_args(const struct given *g, struct made *m, struct sl_op_args *args)
{
    args->src = g->src16;
    args->added = args->added == NULL ? NULL : g->added16;
    if (g->desc.kind != SL_OP_AVGPOOL) {
        args->dst = m->dst16;
        args->diff_dst = g->diff_dst16;
    }
    args->diff_src = args->diff_src == NULL ? NULL : m->diff_src16;
    args->diff_added = args->diff_added == NULL ? NULL : m->diff_added16;
}

static struct sl_op_args args_of(const struct given *g, struct made *m)
{
    const struct sl_op_desc *d = &g->desc;
    struct sl_op_args args = {
        .src = g->src,
        .added = d->tail == SL_TAIL_ADD_RELU ? g->added : NULL,
        .dst = m->dst,
        .packed = m->packed,
        .bias = d->bias ? g->bias : NULL,
        .scale = d->no_affine ? NULL : g->scale,
        .shift = d->no_affine ? NULL : g->shift,
        .running_mean = d->batch_statistics ? NULL : g->running_mean,
        .running_variance = d->batch_statistics ? NULL : g->running_variance,
        .workspace = m->workspace,
        .scratch = m->scratch,
        .diff_dst = g->diff_dst,
        .diff_src = d->need_diff_src ? m->diff_src : NULL,
        .diff_src_add = g->add,
        .diff_added = d->tail == SL_TAIL_ADD_RELU ? m->diff_added : NULL,
        .diff_added_add = g->add,
        .packed_diff = m->packed_diff,
        .diff_bias = m->diff_bias,
        .diff_scale = d->no_affine ? NULL : m->diff_scale,
        .diff_shift = d->no_affine ? NULL : m->diff_shift,
    };
    if (m->dst16 != NULL) {
        narrow_args(g, m, &args);
    }
    return args;
}

static void run_forward(const struct given *g, struct made *m)
{
    if (has_weights(&g->desc)) {
        const struct sl_slice slice = slice_in(g, g->master);
        m->device.table->pack(m->device.state, m->op, &slice, m->packed);
    }
    const struct sl_op_args args = args_of(g, m);
    m->device.table->forward(m->device.state, m->op, &args);
    if (m->dst16 != NULL && g->desc.kind != SL_OP_AVGPOOL) {
        widen(g->n_dst, m->dst16, m->dst);
    }
}

/* dst: whose ReLU mask is used */
static void run_backward(const struct given *g, struct made *m, float *dst)
{
    struct sl_op_args args = args_of(g, m);
    if (m->dst16 != NULL) {
        m->mask16 = bf16_of(g->n_dst, dst);
    }
    const void *mask = m->dst16 != NULL ? (const void *)m->mask16 : dst;
    args.dst = m->sizes.backward_reads_dst ? (void *)mask : NULL;
    args.src = m->sizes.backward_reads_src ? args.src : NULL;
    m->device.table->backward(m->device.state, m->op, &args);
    if (m->dst16 != NULL) {
        widen(g->n_src, m->diff_src16, m->diff_src);
        widen(g->n_dst, m->diff_added16, m->diff_added);
    }
    if (has_weights(&g->desc)) {
        const struct sl_slice slice = slice_in(g, m->diff_master);
        m->squares =
            m->device.table->unpack_add(m->device.state, m->op, m->packed_diff, &slice);
    }
}

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

/* ---- devices ----------------------------------------------------------------------- */

/* ref first, then cpu once for each table of row loops, with 1, 2, 3 … threads. */
enum { DEVICES_MAX = 8 };
struct devices {
    int n;
    struct sl_device at[DEVICES_MAX];
};

static void devices_open(struct devices *devices)
{
    struct sl_error err = {0};
    devices->n = 1;
    assert_int_equal(sl_device_open(&err, "ref", NULL, &devices->at[0]), SL_OK);
    for (int i = 0; sl_cpu_rows_at(i) != NULL; i++) {
        const struct sl_backend_options options = {.threads = i + 1};
        struct sl_device *device = &devices->at[devices->n++];
        assert_int_equal(sl_device_open(&err, "cpu", &options, device), SL_OK);
        ((struct sl_cpu_state *)device->state)->rows = sl_cpu_rows_at(i);
    }
}

static void devices_close(struct devices *devices)
{
    for (int i = 0; i < devices->n; i++) {
        sl_device_close(&devices->at[i]);
    }
}

/* ---- tests ------------------------------------------------------------------------- */

static const struct sl_multiplier widths[] = {{1, 1}, {3, 4}, {1, 2}, {1, 4}};

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

/* Numbers that are not finite must be seen behind a norm and its ReLU. */
static void test_norm_shows_nonfinite(void **state SL_UNUSED)
{
    const float bad[] = {NAN, INFINITY, 1e30f};
    struct devices devices;
    struct sl_error err = {0};
    struct sl_case parsed;
    devices_open(&devices);
    assert_int_equal(sl_case_parse(&err, "norm n4 8x8 c16 relu", &parsed), SL_OK);
    const struct sl_op_desc desc = sl_case_at(&parsed, widths[0]);
    for (int b = 0; b < SL_COUNT(bad); b++) {
        for (int i = 1; i < devices.n; i++) {
            const struct sl_device *device = &devices.at[i];
            struct given given;
            struct made cpu;
            given_init(&given, "not finite", &desc, false);
            given.src[given.n_src / 2] = bad[b];
            made_init(&cpu, &given, *device);
            run_forward(&given, &cpu);
            assert_true(
                device->table->find_nonfinite(device->state, given.n_dst, cpu.dst) >= 0);
            made_finish(&cpu);
            given_finish(&given);
        }
    }
    devices_close(&devices);
}

/* The same number of threads gives the same bits, from one opened device to the next. */
static void test_same_bits(void **state SL_UNUSED)
{
    const char *const texts[] = {"conv n8 16x16 c16 o32 k3 s2 p1",
                                 "norm n16 16x16 c16 add g2", "linear n16 c64 o64 bias",
                                 "maxpool n4 17x17 c16 k3 s2 p1"};
    for (int i = 0; i < SL_COUNT(texts); i++) {
        struct sl_error err = {0};
        struct sl_case parsed;
        struct given given;
        struct made made[2];
        struct sl_device device[2];
        assert_int_equal(sl_case_parse(&err, texts[i], &parsed), SL_OK);
        const struct sl_op_desc desc = sl_case_at(&parsed, widths[0]);
        given_init(&given, texts[i], &desc, true);
        for (int k = 0; k < 2; k++) {
            const struct sl_backend_options options = {.threads = 3};
            assert_int_equal(sl_device_open(&err, "cpu", &options, &device[k]), SL_OK);
            made_init(&made[k], &given, device[k]);
            run_forward(&given, &made[k]);
            run_backward(&given, &made[k], made[k].dst);
        }
        const size_t float_bytes = sizeof(float);
        assert_memory_equal(made[0].dst, made[1].dst, (size_t)given.n_dst * float_bytes);
        assert_memory_equal(made[0].diff_src, made[1].diff_src,
                            (size_t)given.n_src * float_bytes);
        assert_memory_equal(made[0].diff_master, made[1].diff_master,
                            (size_t)given.n_master * float_bytes);
        assert_memory_equal(made[0].diff_scale, made[1].diff_scale,
                            (size_t)desc.dst_c * float_bytes);
        assert_true(made[0].squares == made[1].squares);
        for (int k = 0; k < 2; k++) {
            made_finish(&made[k]);
            sl_device_close(&device[k]);
        }
        given_finish(&given);
    }
}

/* What means nothing is refused by prepare in a line of words. */
static void test_refused(void **state SL_UNUSED)
{
    const char *const texts[] = {"conv n1 4x4 c4 o4 k9 s1 p0", "norm n5 4x4 c4 g2",
                                 "maxpool n1 8x8 c4 k3 s0 p1", "relu n0 4x4 c4"};
    struct sl_device device;
    struct sl_error err = {0};
    assert_int_equal(sl_device_open(&err, "cpu", NULL, &device), SL_OK);
    for (int i = 0; i < SL_COUNT(texts); i++) {
        struct sl_case parsed;
        struct sl_op_sizes sizes;
        struct sl_prepared *op = NULL;
        assert_int_equal(sl_case_parse(&err, texts[i], &parsed), SL_OK);
        const struct sl_op_desc desc = sl_case_at(&parsed, widths[0]);
        assert_int_not_equal(
            device.table->prepare(&err, device.state, &desc, &op, &sizes), SL_OK);
        assert_null(op);
        assert_true(strlen(err.text) > 10);
        sl_error_clear(&err);
    }
    sl_device_close(&device);
}

/* Every allocation of prepare may fail: one line of words, nothing left behind, and the
 * device works on. (The address sanitizer sees leaks.) */
static void test_prepare_out_of_memory(void **state SL_UNUSED)
{
    struct sl_device device;
    struct sl_error err = {0};
    struct sl_case parsed;
    assert_int_equal(sl_device_open(&err, "cpu", NULL, &device), SL_OK);
    assert_int_equal(sl_case_parse(&err, "conv n1 5x5 c16 o64 k3 s1 p1", &parsed), SL_OK);
    const struct sl_op_desc desc = sl_case_at(&parsed, widths[0]);
    int failures = 0;
    for (int k = 1; k < 100; k++) {
        struct sl_op_sizes sizes;
        struct sl_prepared *op = NULL;
        sl_heap_fail_at(k);
        const enum sl_status status =
            device.table->prepare(&err, device.state, &desc, &op, &sizes);
        sl_heap_fail_at(0);
        if (status == SL_OK) {
            device.table->drop(device.state, op);
            break;
        }
        assert_int_equal(status, SL_ERROR_RUN);
        assert_null(op);
        sl_error_clear(&err);
        failures++;
    }
    assert_in_range(failures, 3, 50);
    sl_device_close(&device);
}

/* Once prepared, nothing of ours allocates. */
static void test_running_allocates_nothing(void **state SL_UNUSED)
{
    struct sl_device device;
    struct sl_error err = {0};
    assert_int_equal(sl_device_open(&err, "cpu", NULL, &device), SL_OK);
    for (int i = 0; sl_case_text(i) != NULL; i++) {
        struct sl_case parsed;
        struct given given;
        struct made made;
        assert_int_equal(sl_case_parse(&err, sl_case_text(i), &parsed), SL_OK);
        const struct sl_op_desc desc = sl_case_at(&parsed, widths[0]);
        given_init(&given, sl_case_text(i), &desc, true);
        made_init(&made, &given, device);
        const int64_t before = sl_heap_calls();
        run_forward(&given, &made);
        run_backward(&given, &made, made.dst);
        assert_int_equal(sl_heap_calls(), before);
        made_finish(&made);
        given_finish(&given);
    }
    sl_device_close(&device);
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
        cmocka_unit_test(test_norm_far_from_zero),
        cmocka_unit_test(test_norm_shows_nonfinite),
        cmocka_unit_test(test_same_bits),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_prepare_out_of_memory),
        cmocka_unit_test(test_running_allocates_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
