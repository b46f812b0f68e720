/* SPDX-License-Identifier: MIT */
/*
 * The layer over oneDNN 2.x: engine, convolution primitives, reorders, running them. It
 * is the only file that depends on the library's version. Activations are fixed to NHWC;
 * the layout of weights is left to the library, which then finds a fast kernel below 16
 * channels too. Scratch memory is the caller's.
 */
#include "backend/cpu_int.h"

#include <string.h>

/* ---- engine ------------------------------------------------------------------------ */

static const char *status_text(dnnl_status_t status)
{
    switch (status) {
    case dnnl_out_of_memory:
        return "out of memory";
    case dnnl_invalid_arguments:
        return "invalid arguments";
    case dnnl_unimplemented:
        return "not implemented on this machine";
    default:
        return "internal error";
    }
}

/* Records a failure of the library; `what` is the object. */
static enum sl_status check(struct sl_error *err, dnnl_status_t status, const char *what)
{
    if (status == dnnl_success) {
        return SL_OK;
    }
    return SL_FAIL(err, SL_ERROR_RUN, "oneDNN cannot make %s: %s (status %d)", what,
                   status_text(status), (int)status);
}

enum sl_status sl_cpu_engine_open(struct sl_error *err, struct sl_cpu_state *state)
{
    return check(err, dnnl_engine_create(&state->engine, dnnl_cpu, 0), "a CPU engine");
}

void sl_cpu_engine_close(struct sl_cpu_state *state)
{
    if (state->engine != NULL) {
        (void)dnnl_engine_destroy(state->engine);
    }
}

static const char *isa_text(void)
{
    switch (dnnl_get_effective_cpu_isa()) {
    case dnnl_cpu_isa_sse41:
        return "sse41";
    case dnnl_cpu_isa_avx:
        return "avx";
    case dnnl_cpu_isa_avx2:
        return "avx2";
    case dnnl_cpu_isa_avx2_vnni:
        return "avx2_vnni";
    case dnnl_cpu_isa_avx512_core:
        return "avx512_core";
    case dnnl_cpu_isa_avx512_core_vnni:
        return "avx512_core_vnni";
    case dnnl_cpu_isa_avx512_core_bf16:
        return "avx512_core_bf16";
    default:
        return "other instruction set";
    }
}

void sl_cpu_engine_describe(char *dst, size_t size)
{
    const dnnl_version_t *version = dnnl_version();
    (void)snprintf(dst, size, "oneDNN %d.%d.%d (%s)", version->major, version->minor,
                   version->patch, isa_text());
}

/* ---- layouts ----------------------------------------------------------------------- */

bool sl_cpu_layout_equal(const struct sl_cpu_layout *a, const struct sl_cpu_layout *b)
{
    return dnnl_memory_desc_equal(&a->desc, &b->desc) != 0;
}

static dnnl_data_type_t type_of(const struct sl_op_desc *d)
{
    return d->type == SL_BF16 ? dnnl_bf16 : dnnl_f32;
}

static enum sl_status activation_desc(struct sl_error *err, const struct sl_op_desc *d,
                                      int h, int w, int c, dnnl_memory_desc_t *desc)
{
    const dnnl_dims_t dims = {d->n, c, h, w};
    return check(err, dnnl_memory_desc_init_by_tag(desc, 4, dims, type_of(d), dnnl_nhwc),
                 "a description of activations");
}

static enum sl_status weights_desc(struct sl_error *err, const struct sl_op_desc *d,
                                   dnnl_data_type_t type, dnnl_format_tag_t tag,
                                   dnnl_memory_desc_t *desc)
{
    const dnnl_dims_t dims = {d->dst_c, d->src_c, d->kernel, d->kernel};
    return check(err, dnnl_memory_desc_init_by_tag(desc, 4, dims, type, tag),
                 "a description of weights");
}

/* ---- primitives -------------------------------------------------------------------- */

/* One operand: which argument of the primitive, and how it is laid out. */
struct operand {
    int arg;
    const dnnl_memory_desc_t *desc;
};

/* From a primitive's description to the primitive and its memory objects. Takes the
 * description over. */
static enum sl_status finish_primitive(struct sl_error *err,
                                       const struct sl_cpu_state *state,
                                       dnnl_primitive_desc_t primitive_desc,
                                       const struct operand *operands, int n_operands,
                                       struct sl_cpu_primitive *primitive)
{
    enum sl_status status = SL_OK;
    const dnnl_memory_desc_t *scratch = NULL;
    SL_TRY_OUT(check(err, dnnl_primitive_create(&primitive->primitive, primitive_desc),
                     "a primitive"));
    SL_TRY_OUT(check(
        err,
        dnnl_stream_create(&primitive->stream, state->engine, dnnl_stream_default_flags),
        "a CPU stream"));
    for (int i = 0; i < n_operands; i++) {
        primitive->args[i].arg = operands[i].arg;
        SL_TRY_OUT(check(err,
                         dnnl_memory_create(&primitive->args[i].memory, operands[i].desc,
                                            state->engine, DNNL_MEMORY_NONE),
                         "a memory object"));
        primitive->n_operands = i + 1;
    }
    scratch = dnnl_primitive_desc_query_md(primitive_desc, dnnl_query_scratchpad_md, 0);
    if (scratch != NULL) {
        primitive->scratch_bytes = dnnl_memory_desc_get_size(scratch);
    }
    if (primitive->scratch_bytes > 0) {
        dnnl_exec_arg_t *last = &primitive->args[n_operands];
        last->arg = DNNL_ARG_SCRATCHPAD;
        SL_TRY_OUT(check(
            err,
            dnnl_memory_create(&last->memory, scratch, state->engine, DNNL_MEMORY_NONE),
            "a memory object"));
    }
out:
    (void)dnnl_primitive_desc_destroy(primitive_desc);
    return status;
}

void sl_cpu_primitive_finish(struct sl_cpu_primitive *primitive)
{
    for (int i = 0; i < SL_COUNT(primitive->args); i++) {
        if (primitive->args[i].memory != NULL) {
            (void)dnnl_memory_destroy(primitive->args[i].memory);
        }
    }
    if (primitive->stream != NULL) {
        (void)dnnl_stream_destroy(primitive->stream);
    }
    if (primitive->primitive != NULL) {
        (void)dnnl_primitive_destroy(primitive->primitive);
    }
    *primitive = (struct sl_cpu_primitive){0};
}

void sl_cpu_run(struct sl_cpu_primitive *primitive, const void *const operands[],
                void *scratch)
{
    const int before = sl_cpu_openmp_alone();
    int n = primitive->n_operands;
    dnnl_status_t status = dnnl_success;
    for (int i = 0; i < n && status == dnnl_success; i++) {
        /* The library has no const; operands that are only read are not written. */
        status =
            dnnl_memory_set_data_handle(primitive->args[i].memory, (void *)operands[i]);
    }
    if (primitive->scratch_bytes > 0 && status == dnnl_success) {
        SL_ASSERT(scratch != NULL);
        status = dnnl_memory_set_data_handle(primitive->args[n++].memory, scratch);
    }
    if (status == dnnl_success) {
        status = dnnl_primitive_execute(primitive->primitive, primitive->stream, n,
                                        primitive->args);
    }
    if (status == dnnl_success) {
        status = dnnl_stream_wait(primitive->stream);
    }
    sl_cpu_openmp_again(before);
    SL_ASSERT(status == dnnl_success);
}

/* ---- convolution ------------------------------------------------------------------- */

/* The descriptions of one convolution's three tensors. */
struct conv_descs {
    dnnl_memory_desc_t src, weights, dst;
};

/* The library's description of the operation; padding below and right is what the
 * output's size leaves over, negative where the last pixels are not reached. */
static dnnl_status_t conv_desc_init(const struct sl_op_desc *d,
                                    enum sl_cpu_direction direction,
                                    const struct conv_descs *descs,
                                    dnnl_convolution_desc_t *conv)
{
    const dnnl_dims_t strides = {d->stride, d->stride};
    const dnnl_dims_t dilates = {0, 0};
    const dnnl_dims_t before = {d->pad, d->pad};
    const dnnl_dims_t after = {
        (d->dst_h - 1) * d->stride + d->kernel - d->src_h - d->pad,
        (d->dst_w - 1) * d->stride + d->kernel - d->src_w - d->pad,
    };
    switch (direction) {
    case SL_CPU_FORWARD:
        return dnnl_dilated_convolution_forward_desc_init(
            conv, d->backward ? dnnl_forward_training : dnnl_forward_inference,
            dnnl_convolution_direct, &descs->src, &descs->weights, NULL, &descs->dst,
            strides, dilates, before, after);
    case SL_CPU_BACKWARD_DATA:
        return dnnl_dilated_convolution_backward_data_desc_init(
            conv, dnnl_convolution_direct, &descs->src, &descs->weights, &descs->dst,
            strides, dilates, before, after);
    case SL_CPU_BACKWARD_WEIGHTS:
        return dnnl_dilated_convolution_backward_weights_desc_init(
            conv, dnnl_convolution_direct, &descs->src, &descs->weights, NULL,
            &descs->dst, strides, dilates, before, after);
    }
    return dnnl_invalid_arguments;
}

/* Backward is chosen with forward's choice as a hint, which oneDNN demands. */
static enum sl_status conv_primitive_desc(struct sl_error *err,
                                          const struct sl_cpu_state *state,
                                          const struct sl_op_desc *d,
                                          enum sl_cpu_direction direction,
                                          const struct conv_descs *descs,
                                          dnnl_primitive_desc_t *primitive_desc)
{
    enum sl_status status = SL_OK;
    dnnl_primitive_attr_t attr = NULL;
    dnnl_primitive_desc_t hint = NULL;
    dnnl_convolution_desc_t conv;
    *primitive_desc = NULL;
    SL_TRY_OUT(check(err, dnnl_primitive_attr_create(&attr), "attributes"));
    SL_TRY_OUT(check(
        err, dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user),
        "attributes"));
    if (direction != SL_CPU_FORWARD) {
        struct conv_descs hinted = *descs;
        SL_TRY_OUT(
            weights_desc(err, d, type_of(d), dnnl_format_tag_any, &hinted.weights));
        SL_TRY_OUT(check(err, conv_desc_init(d, SL_CPU_FORWARD, &hinted, &conv),
                         "a convolution"));
        SL_TRY_OUT(check(
            err, dnnl_primitive_desc_create(&hint, &conv, attr, state->engine, NULL),
            "a convolution"));
    }
    SL_TRY_OUT(check(err, conv_desc_init(d, direction, descs, &conv), "a convolution"));
    SL_TRY_OUT(check(
        err, dnnl_primitive_desc_create(primitive_desc, &conv, attr, state->engine, hint),
        "a convolution"));
out:
    if (hint != NULL) {
        (void)dnnl_primitive_desc_destroy(hint);
    }
    if (attr != NULL) {
        (void)dnnl_primitive_attr_destroy(attr);
    }
    return status;
}

enum sl_status sl_cpu_conv_make(struct sl_error *err, const struct sl_cpu_state *state,
                                const struct sl_op_desc *desc,
                                enum sl_cpu_direction direction,
                                struct sl_cpu_primitive *primitive,
                                struct sl_cpu_layout *weights)
{
    struct conv_descs descs;
    SL_TRY(activation_desc(err, desc, desc->src_h, desc->src_w, desc->src_c, &descs.src));
    SL_TRY(activation_desc(err, desc, desc->dst_h, desc->dst_w, desc->dst_c, &descs.dst));
    /* Gradients of weights leave in float32 whatever the maps are. */
    const dnnl_data_type_t type =
        direction == SL_CPU_BACKWARD_WEIGHTS ? dnnl_f32 : type_of(desc);
    if (weights->bytes > 0) {
        descs.weights = weights->desc;
    } else {
        SL_TRY(weights_desc(err, desc, type, dnnl_format_tag_any, &descs.weights));
    }
    dnnl_primitive_desc_t primitive_desc = NULL;
    SL_TRY(conv_primitive_desc(err, state, desc, direction, &descs, &primitive_desc));

    const dnnl_query_t which = direction == SL_CPU_BACKWARD_WEIGHTS
                                   ? dnnl_query_diff_weights_md
                                   : dnnl_query_weights_md;
    weights->desc = *dnnl_primitive_desc_query_md(primitive_desc, which, 0);
    weights->bytes = dnnl_memory_desc_get_size(&weights->desc);
    const struct operand operands[][3] = {
        [SL_CPU_FORWARD] = {{DNNL_ARG_SRC, &descs.src},
                            {DNNL_ARG_WEIGHTS, &weights->desc},
                            {DNNL_ARG_DST, &descs.dst}},
        [SL_CPU_BACKWARD_DATA] = {{DNNL_ARG_DIFF_DST, &descs.dst},
                                  {DNNL_ARG_WEIGHTS, &weights->desc},
                                  {DNNL_ARG_DIFF_SRC, &descs.src}},
        [SL_CPU_BACKWARD_WEIGHTS] = {{DNNL_ARG_SRC, &descs.src},
                                     {DNNL_ARG_DIFF_DST, &descs.dst},
                                     {DNNL_ARG_DIFF_WEIGHTS, &weights->desc}},
    };
    return finish_primitive(err, state, primitive_desc, operands[direction], 3,
                            primitive);
}

/* ---- reorder ----------------------------------------------------------------------- */

enum sl_status sl_cpu_reorder_make(struct sl_error *err, const struct sl_cpu_state *state,
                                   const struct sl_op_desc *desc,
                                   const struct sl_cpu_layout *layout, bool to_dense,
                                   struct sl_cpu_primitive *primitive)
{
    dnnl_memory_desc_t dense;
    SL_TRY(weights_desc(err, desc, dnnl_f32, dnnl_oihw, &dense));
    const dnnl_memory_desc_t *from = to_dense ? &layout->desc : &dense;
    const dnnl_memory_desc_t *to = to_dense ? &dense : &layout->desc;
    dnnl_primitive_desc_t primitive_desc = NULL;
    SL_TRY(check(err,
                 dnnl_reorder_primitive_desc_create(&primitive_desc, from, state->engine,
                                                    to, state->engine, NULL),
                 "a reorder of weights"));
    const struct operand operands[2] = {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}};
    return finish_primitive(err, state, primitive_desc, operands, 2, primitive);
}
