/* SPDX-License-Identifier: MIT */
/*
 * The executor: walks a plan's ops forward and backward over the plan's block. Every
 * decision was made when the plan was; what is left is to name each op's memory and to
 * join its parameter gradients to the master. Nothing here allocates or can fail. The
 * invariant: what is read was written earlier in the same pass, so the block may hold
 * anything before (tests fill it with NaN).
 */
#include "net/net_int.h"

static void *at(const struct sl_plan *plan, int64_t offset)
{
    return plan->block + offset;
}

/* A value's memory; the input is the caller's. */
static void *value_at(const struct sl_plan *plan, int value)
{
    return at(plan, plan->values[value].offset);
}

static void *diff_at(const struct sl_plan *plan, int value)
{
    return at(plan, plan->diffs[value].offset);
}

/* Where scales, shifts and biases of the plan's width stand. */
static const float *vector_at(const struct sl_plan *plan, const struct sl_params *params,
                              int param)
{
    int64_t count = 0;

    return param < 0 ? NULL
                     : sl_params_vector(plan->config.net, param, plan->config.width,
                                        params->weight, &count);
}

/* What forward and backward of an op have in common. */
static struct sl_op_args common_args(const struct sl_plan *plan,
                                     const struct sl_call *call,
                                     const struct sl_params *params)
{
    const struct sl_op *op = call->op;
    int width = plan->config.width;

    return (struct sl_op_args){
        .src =
            op->src == plan->config.net->input ? plan->pictures : value_at(plan, op->src),
        .added = op->added < 0 ? NULL : value_at(plan, op->added),
        .dst = value_at(plan, op->dst),
        .packed = op->weight < 0 ? NULL : at(plan, call->packed),
        .bias = vector_at(plan, params, sl_op_bias(op, width)),
        .scale = vector_at(plan, params, op->scale[width]),
        .shift = vector_at(plan, params, op->shift[width]),
        .workspace = at(plan, call->workspace),
        .scratch = at(plan, call->scratch),
    };
}

/* ---- refresh ----------------------------------------------------------------------- */

void sl_exec_refresh(struct sl_plan *plan, const struct sl_params *params)
{
    const struct sl_plan_config *config = &plan->config;
    const struct sl_device *device = config->device;

    SL_ASSERT(plan->block != NULL && params->net == config->net);
    for (int k = 0; k < plan->n_calls; k++) {
        const struct sl_call *call = &plan->calls[k];
        if (call->op->weight >= 0) {
            struct sl_slice slice =
                sl_params_slice(config->net, sl_op_weight(call->op, config->width),
                                config->width, params->weight);
            device->table->pack(device->state, call->prepared, &slice,
                                at(plan, call->packed));
        }
    }
}

/* ---- forward ----------------------------------------------------------------------- */

/* A norm's running statistics at the plan's width. */
static void running_stats(const struct sl_plan *plan, const struct sl_call *call,
                          struct sl_stats *stats, float **mean, float **variance)
{
    const struct sl_net *net = plan->config.net;
    int64_t offset =
        net->stats_offset[call->op->norm * SL_WIDTHS_MAX + plan->config.width];

    *mean = stats->mean + offset;
    *variance = stats->variance + offset;
}

/* INFER reads the running statistics, the other roles move them. */
static void forward_norm(const struct sl_plan *plan, const struct sl_call *call,
                         struct sl_op_args *args, struct sl_stats *stats)
{
    const struct sl_device *device = plan->config.device;
    const struct sl_op_desc *desc = &call->desc;
    float *mean = NULL;
    float *variance = NULL;

    running_stats(plan, call, stats, &mean, &variance);
    if (!desc->batch_statistics) {
        args->running_mean = mean;
        args->running_variance = variance;
    }
    device->table->forward(device->state, call->prepared, args);
    if (desc->batch_statistics) {
        int64_t rows = (int64_t)(desc->n / desc->groups) * desc->src_h * desc->src_w;
        device->table->norm_update(device->state, desc->src_c, desc->groups, rows,
                                   NORM_MOMENTUM, args->workspace, mean, variance);
    }
}

const float *sl_exec_forward(struct sl_plan *plan, const struct sl_params *params,
                             struct sl_stats *stats, const void *pictures)
{
    const struct sl_device *device = plan->config.device;

    SL_ASSERT(plan->block != NULL && params->net == plan->config.net &&
              stats->net == plan->config.net);
    plan->pictures = pictures;
    for (int k = 0; k < plan->n_calls; k++) {
        const struct sl_call *call = &plan->calls[k];
        struct sl_op_args args = common_args(plan, call, params);
        if (call->op->kind == SL_OP_NORM) {
            forward_norm(plan, call, &args, stats);
        } else {
            device->table->forward(device->state, call->prepared, &args);
        }
    }
    plan->can_backward = plan->config.role == SL_ROLE_TRAIN;
    return value_at(plan, plan->config.output);
}

/* ---- backward ---------------------------------------------------------------------- */

/* Adds a bias', scale's or shift's gradient to the master's; gives its sum of squares. */
static double join_vector(const struct sl_plan *plan, const struct sl_params *params,
                          int param, const float *diff)
{
    const struct sl_device *device = plan->config.device;
    int64_t count = 0;
    float *master = sl_params_vector(plan->config.net, param, plan->config.width,
                                     params->diff, &count);

    return device->table->add(device->state, count, diff, master);
}

/* Joins the gradients of all parameters of an op. */
static double join_params(const struct sl_plan *plan, const struct sl_call *call,
                          const struct sl_params *params, const struct sl_op_args *args)
{
    const struct sl_device *device = plan->config.device;
    const struct sl_op *op = call->op;
    int width = plan->config.width;
    double squares = 0.0;

    if (op->weight >= 0) {
        struct sl_slice slice = sl_params_slice(plan->config.net, sl_op_weight(op, width),
                                                width, params->diff);
        squares += device->table->unpack_add(device->state, call->prepared,
                                             args->packed_diff, &slice);
    }
    if (op->bias >= 0) {
        squares += join_vector(plan, params, sl_op_bias(op, width), args->diff_bias);
    }
    if (op->norm >= 0 && op->scale[width] >= 0) {
        squares += join_vector(plan, params, op->scale[width], args->diff_scale);
        squares += join_vector(plan, params, op->shift[width], args->diff_shift);
    }
    return squares;
}

static double backward_op(const struct sl_plan *plan, const struct sl_call *call,
                          const struct sl_params *params, const float *diff_output)
{
    const struct sl_device *device = plan->config.device;
    const struct sl_op *op = call->op;
    float *vectors = at(plan, call->vector_diff); /* two of dst_c */
    struct sl_op_args args = common_args(plan, call, params);

    args.diff_dst = op->dst == plan->config.output ? diff_output : diff_at(plan, op->dst);
    args.diff_src = call->desc.need_diff_src ? diff_at(plan, op->src) : NULL;
    args.diff_src_add = call->diff_src_add;
    args.diff_added = op->added < 0 ? NULL : diff_at(plan, op->added);
    args.diff_added_add = call->diff_added_add;
    args.packed_diff = op->weight < 0 ? NULL : at(plan, call->packed_diff);
    args.diff_bias = op->bias < 0 ? NULL : vectors;
    bool is_affine = op->norm >= 0 && !call->desc.no_affine;
    args.diff_scale = is_affine ? vectors : NULL;
    args.diff_shift = is_affine ? vectors + call->desc.dst_c : NULL;
    device->table->backward(device->state, call->prepared, &args);
    return join_params(plan, call, params, &args);
}

double sl_exec_backward(struct sl_plan *plan, const struct sl_params *params,
                        const float *diff_output)
{
    double squares = 0.0;

    SL_ASSERT(plan->can_backward && params->diff != NULL &&
              params->net == plan->config.net);
    plan->can_backward = false;
    for (int k = plan->n_calls - 1; k >= 0; k--) {
        const struct sl_call *call = &plan->calls[k];
        if (call->desc.backward) {
            squares += backward_op(plan, call, params, diff_output);
        }
    }
    return squares;
}
