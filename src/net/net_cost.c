/* SPDX-License-Identifier: MIT */
/*
 * What a net costs and how it reads: parameters, multiply-adds and the list of ops for
 * people. Nothing here changes a net. Counts are of the true channels of a width, without
 * padding.
 */
#include "net/net_int.h"

const char *sl_op_kind_name(enum sl_op_kind kind)
{
    static const char *const names[SL_OP_KINDS] = {
        [SL_OP_CONV] = "conv",       [SL_OP_NORM] = "norm",
        [SL_OP_MAXPOOL] = "maxpool", [SL_OP_AVGPOOL] = "avgpool",
        [SL_OP_LINEAR] = "linear",   [SL_OP_RELU] = "relu"};

    return names[kind];
}

const char *sl_tail_name(enum sl_tail tail)
{
    switch (tail) {
    case SL_TAIL_NONE:
        return "none";
    case SL_TAIL_RELU:
        return "relu";
    case SL_TAIL_ADD_RELU:
        return "add+relu";
    }
    return "?";
}

/* ---- cost -------------------------------------------------------------------------- */

/* Weights of a conv or linear at a width. */
static int64_t weight_count(const struct sl_net *net, const struct sl_op *op, int width)
{
    const struct sl_param *weight = &net->params[op->weight];
    int64_t out = sl_net_span(net, weight->axis_out, width).count;
    int64_t in = sl_net_span(net, weight->axis_in, width).count;

    return out * in * weight->kernel * weight->kernel;
}

static int64_t op_params(const struct sl_net *net, const struct sl_op *op, int width)
{
    int64_t count = 0;

    if (op->weight >= 0) {
        count += weight_count(net, op, width);
    }
    if (op->bias >= 0) {
        count += sl_net_channels(net, op->dst, width);
    }
    if (op->norm >= 0 && op->scale[width] >= 0) {
        count += 2 * (int64_t)sl_net_channels(net, op->dst, width);
    }
    return count;
}

static int64_t op_macs(const struct sl_net *net, const struct sl_op *op, int width)
{
    const struct sl_value *dst = &net->values[op->dst];

    /* Every weight is used once a pixel. */
    return op->weight < 0 ? 0 : weight_count(net, op, width) * dst->height * dst->width;
}

void sl_net_cost(const struct sl_net *net, int value, int width, int64_t *params,
                 int64_t *macs)
{
    *params = 0;
    *macs = 0;
    for (int i = 0; i <= net->values[value].producer; i++) {
        *params += op_params(net, &net->ops[i], width);
        *macs += op_macs(net, &net->ops[i], width);
    }
}

bool sl_net_uneven(const struct sl_net *net, int *width, int *axis)
{
    for (*width = 0; *width < net->widths.n; (*width)++) {
        for (*axis = 0; *axis < net->n_axes; (*axis)++) {
            const struct sl_axis *seen = &net->axes[*axis];
            if (!seen->fixed && seen->span[*width].count % 8 != 0) {
                return true;
            }
        }
    }
    return false;
}

/* ---- print ------------------------------------------------------------------------- */

/* "32x32x16,12,8,4": pixels, then channels by width; one number for a fixed axis. */
static void shape_format(const struct sl_net *net, int value, char *dst, size_t size)
{
    const struct sl_value *v = &net->values[value];
    int widths = net->axes[v->axis].fixed ? 1 : net->widths.n;
    int used = snprintf(dst, size, "%dx%d", v->height, v->width);

    for (int w = 0; w < widths && used >= 0 && (size_t)used < size; w++) {
        used += snprintf(dst + used, size - (size_t)used, "%s%d", w == 0 ? "x" : ",",
                         sl_net_channels(net, value, w));
    }
}

static void kind_format(const struct sl_op *op, char *dst, size_t size)
{
    const char *kind = sl_op_kind_name(op->kind);

    switch (op->kind) {
    case SL_OP_CONV:
    case SL_OP_MAXPOOL:
        snprintf(dst, size, "%s %dx%d/%d", kind, op->kernel, op->kernel, op->stride);
        break;
    case SL_OP_NORM:
        snprintf(dst, size, "%s%s%s", kind, op->tail == SL_TAIL_NONE ? "" : " ",
                 op->tail == SL_TAIL_NONE ? "" : sl_tail_name(op->tail));
        break;
    case SL_OP_RELU:
        snprintf(dst, size, "%s%s", op->added >= 0 ? "add+" : "", kind);
        break;
    default:
        snprintf(dst, size, "%s%s", kind, op->bias >= 0 ? " bias" : "");
        break;
    }
}

void sl_net_print(const struct sl_net *net, struct sl_text *text)
{
    char kind[32];
    char src[128];
    char dst[128];

    for (int i = 0; i < net->n_ops; i++) {
        const struct sl_op *op = &net->ops[i];
        kind_format(op, kind, sizeof kind);
        shape_format(net, op->src, src, sizeof src);
        shape_format(net, op->dst, dst, sizeof dst);
        sl_text_add(text, "%3d  %-34s %-14s %s -> %s", i, op->name, kind, src, dst);
        if (op->added >= 0) {
            int producer = net->values[op->added].producer;
            sl_text_add(text, "  + %s", net->ops[producer].name);
        }
        sl_text_add(text, "\n");
    }
}
