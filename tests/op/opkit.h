/* SPDX-License-Identifier: MIT */
/*
 * What tests of the cpu backend's ops share: random numbers for one op, the op prepared
 * and run forward and backward on one backend, and the devices that are compared. Memory
 * that an op must write holds NaN beforehand.
 */
#ifndef TESTS_OP_OPKIT_H
#define TESTS_OP_OPKIT_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "backend/cpu_int.h"
#include "bench/cases.h"

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

static inline void *bytes_of(size_t count)
{
    struct sl_error err = {0};
    void *memory = NULL;
    assert_int_equal(sl_heap_alloc(&err, "a test's memory", (int64_t)count, 1, &memory),
                     SL_OK);
    return memory;
}

static inline float *floats(int64_t count, float value)
{
    float *memory = bytes_of((size_t)count * sizeof(float));
    for (int64_t i = 0; i < count; i++) {
        memory[i] = value;
    }
    return memory;
}

static inline float *random_floats(int64_t count, uint32_t draw, float scale)
{
    float *memory = floats(count, 0.0f);
    sl_rng_fill_normal(2026, SL_RNG_TEST, draw, scale, count, memory);
    return memory;
}

/* ---- bfloat16 ---------------------------------------------------------------------- */

static inline uint16_t *bf16_of(int64_t n, const float *x)
{
    uint16_t *half = bytes_of((size_t)n * sizeof(*half));
    sl_cpu_maps_bf16_base.put(n, x, half);
    return half;
}

static inline void widen(int64_t n, const uint16_t *half, float *x)
{
    for (int64_t i = 0; i < n; i++) {
        const uint32_t bits = (uint32_t)half[i] << 16;
        memcpy(&x[i], &bits, sizeof(bits));
    }
}

/* Rounds the numbers themselves, and gives them in bfloat16. */
static inline uint16_t *round_to_bf16(int64_t n, float *x)
{
    uint16_t *half = bf16_of(n, x);
    widen(n, half, x);
    return half;
}

static inline bool has_weights(const struct sl_op_desc *d)
{
    return d->kind == SL_OP_CONV || d->kind == SL_OP_LINEAR;
}

/* The slice begins inside the master; with `add` its input channels are also apart. */
static inline void given_master(struct given *g)
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

static inline struct sl_slice slice_in(const struct given *g, float *master)
{
    struct sl_slice slice = g->slice;
    slice.data = master + g->slice_offset;
    return slice;
}

static inline void given_init(struct given *g, const char *text,
                              const struct sl_op_desc *desc, bool add)
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

static inline void given_round(struct given *g)
{
    g->src16 = round_to_bf16(g->n_src, g->src);
    g->added16 = round_to_bf16(g->n_dst, g->added);
    /* A pooled map's gradient is float32. */
    float *diff_dst = g->diff_dst;
    g->diff_dst16 = g->desc.kind == SL_OP_AVGPOOL ? bf16_of(g->n_dst, diff_dst)
                                                  : round_to_bf16(g->n_dst, diff_dst);
    sl_heap_free(round_to_bf16(g->n_master, g->master));
}

static inline void given_finish(struct given *g)
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

static inline void made_init(struct made *m, const struct given *g,
                             struct sl_device device)
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

static inline void made_finish(struct made *m)
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
static inline void narrow_args(const struct given *g, struct made *m,
                               struct sl_op_args *args)
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

static inline struct sl_op_args args_of(const struct given *g, struct made *m)
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

static inline void run_forward(const struct given *g, struct made *m)
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

/* The gradient of what was added begins in the memory of the sum's. */
static inline void join_gradients(const struct given *g, const struct made *m,
                                  struct sl_op_args *args)
{
    memcpy(args->diff_added, args->diff_dst,
           (size_t)g->n_dst * (m->dst16 != NULL ? sizeof(uint16_t) : sizeof(float)));
    args->diff_dst = args->diff_added;
}

/* dst: whose ReLU mask is used. joined: diff_added is diff_dst itself */
static inline void run_backward_as(const struct given *g, struct made *m, float *dst,
                                   bool joined)
{
    struct sl_op_args args = args_of(g, m);
    if (joined) {
        join_gradients(g, m, &args);
    }
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

static inline void run_backward(const struct given *g, struct made *m, float *dst)
{
    run_backward_as(g, m, dst, false);
}

/* ---- devices ----------------------------------------------------------------------- */

/* ref first, then cpu once for each table of row loops, with 1, 2, 3 … threads. */
enum { DEVICES_MAX = 8 };
struct devices {
    int n;
    struct sl_device at[DEVICES_MAX];
};

static inline void devices_open(struct devices *devices)
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

static inline void devices_close(struct devices *devices)
{
    for (int i = 0; i < devices->n; i++) {
        sl_device_close(&devices->at[i]);
    }
}

/* Of the cases. */
static const struct sl_multiplier widths[] = {{1, 1}, {3, 4}, {1, 2}, {1, 4}};

#endif
