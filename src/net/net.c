/* SPDX-License-Identifier: MIT */
/*
 * The builder of nets: appends axes, values, ops and parameters, and applies the shape
 * rules. It is not where architectures live (resnet.c), nor where memory is decided
 * (plan.c). The invariant: after a failure every further call returns -1 and changes
 * nothing, and sl_net_finish reports that first failure.
 *
 * Order of parameters (tools that re-create the keyed start rely on it): a parameter's
 * index is its place in the order of creation. A conv makes its weight; a linear its
 * weight, then its bias; a norm makes for each width, descending, its scale, then its
 * shift. In the flat arrays all shared parameters come first in index order, then those
 * private to width 0 in index order, then width 1's, and so on.
 */
#include "net/net_int.h"

#include <string.h>

struct sl_span sl_net_span(const struct sl_net *net, int axis, int width)
{
    return net->axes[axis].span[width];
}

int sl_net_channels(const struct sl_net *net, int value, int width)
{
    return sl_net_span(net, net->values[value].axis, width).count;
}

int sl_net_first_channel(const struct sl_net *net, int value, int width)
{
    return sl_net_span(net, net->values[value].axis, width).begin;
}

/* Private parameters of a linear op are made weight, bias, weight, bias, … by width. */
static int at_width(const struct sl_op *op, int param, int width)
{
    return param < 0 || !op->is_private ? param : param + 2 * width;
}

int sl_op_weight(const struct sl_op *op, int width)
{
    return at_width(op, op->weight, width);
}

int sl_op_bias(const struct sl_op *op, int width)
{
    return at_width(op, op->bias, width);
}

/* ---- creation ---------------------------------------------------------------------- */

static enum sl_status check_widths(struct sl_error *err, const struct sl_widths *widths)
{
    if (widths->n < 1 || widths->n > SL_WIDTHS_MAX) {
        return SL_FAIL(err, SL_ERROR_USAGE, "a net needs 1 to %d widths, not %d",
                       (int)SL_WIDTHS_MAX, widths->n);
    }
    for (int i = 1; i < widths->n; i++) {
        const struct sl_multiplier *a = &widths->at[i - 1];
        const struct sl_multiplier *b = &widths->at[i];
        if ((int64_t)a->num * b->den <= (int64_t)b->num * a->den) {
            return SL_FAIL(
                err, SL_ERROR_USAGE,
                "widths must be distinct and descending, but %d/%d precedes %d/%d",
                a->num, a->den, b->num, b->den);
        }
    }
    return SL_OK;
}

enum sl_status sl_net_create(struct sl_error *err, const struct sl_widths *widths,
                             struct sl_net **net)
{
    enum sl_status status = SL_OK;
    struct sl_arena *arena = NULL;
    struct sl_net *made = NULL;

    *net = NULL;
    SL_TRY(check_widths(err, widths));
    SL_TRY(sl_arena_create(err, 256 * 1024, &arena));
    SL_TRY_OUT(sl_arena_alloc(err, arena, 1, sizeof *made, &made));
    made->arena = arena;
    made->widths = *widths;
    made->input = made->features = made->projection = made->embedding = -1;
    *net = made;
    arena = NULL;
out:
    sl_arena_destroy(arena);
    return status;
}

enum sl_status sl_net_slice(struct sl_error *err, struct sl_net *net,
                            enum sl_slices slices)
{
    double sum = 0.0;

    SL_ASSERT(net->n_axes == 0);
    for (int w = 1; w < net->widths.n; w++) {
        sum += sl_multiplier_value(net->widths.at[w]);
    }
    if (slices == SL_SLICES_DISJOINT && sum > 1.0 + 1e-9) {
        return SL_FAIL(
            err, SL_ERROR_USAGE,
            "--slices disjoint: the narrow widths add up to %.6g, more than the "
            "full one; leave some out (--widths 1,0.5,0.25)",
            sum);
    }
    net->slices = slices;
    return SL_OK;
}

void sl_net_destroy(struct sl_net *net)
{
    if (net != NULL) {
        sl_arena_destroy(net->arena); /* which holds the net itself */
    }
}

/* ---- growing arrays ---------------------------------------------------------------- */

static bool failed(const struct sl_net *net)
{
    return net->failure.status != SL_OK;
}

/* Makes room for one more record in an array of the arena. What it leaves behind is never
 * more than what it holds, and goes with the net. */
static bool grow(struct sl_net *net, void *array_pointer, int n, int *capacity,
                 size_t size)
{
    if (failed(net)) {
        return false;
    }
    if (n < *capacity) {
        return true;
    }
    int wanted = *capacity == 0 ? 32 : 2 * *capacity;
    void *old = NULL;
    void *larger = NULL;
    memcpy(&old, array_pointer, sizeof old);
    if (sl_arena_alloc(&net->failure, net->arena, wanted, size, &larger) != SL_OK) {
        return false;
    }
    if (n > 0) {
        memcpy(larger, old, (size_t)n * size);
    }
    memcpy(array_pointer, &larger, sizeof larger);
    *capacity = wanted;
    return true;
}

static bool valid_value(struct sl_net *net, const char *name, int value)
{
    if (failed(net)) {
        return false;
    }
    if (value < 0 || value >= net->n_values) {
        SL_FAIL(&net->failure, SL_ERROR_USAGE, "%s: there is no value %d to read", name,
                value);
        return false;
    }
    return true;
}

static bool valid_axis(struct sl_net *net, const char *name, int axis)
{
    if (failed(net)) {
        return false;
    }
    if (axis < 0 || axis >= net->n_axes) {
        SL_FAIL(&net->failure, SL_ERROR_USAGE, "%s: there is no axis %d", name, axis);
        return false;
    }
    return true;
}

/* Writes "prefix[@width].suffix". */
static bool name_format(struct sl_net *net, char dst[SL_NAME_MAX], const char *prefix,
                        const char *width, const char *suffix)
{
    int length = snprintf(dst, SL_NAME_MAX, "%s%s%s%s", prefix, width == NULL ? "" : "@",
                          width == NULL ? "" : width, suffix);
    if (length < 0 || length >= SL_NAME_MAX) {
        SL_FAIL(&net->failure, SL_ERROR_USAGE, "%s: a name longer than %d characters",
                prefix, (int)SL_NAME_MAX - 1);
        return false;
    }
    return true;
}

static int add_value(struct sl_net *net, int axis, int height, int width, int producer)
{
    if (!grow(net, &net->values, net->n_values, &net->values_capacity,
              sizeof *net->values)) {
        return -1;
    }
    net->values[net->n_values] = (struct sl_value){
        .axis = axis, .height = height, .width = width, .producer = producer};
    return net->n_values++;
}

/* Appends an op and the value it makes, of shape (n, height, width, axis); returns the
 * op, or NULL after a failure. The op's parameters are still to come. */
static struct sl_op *add_op(struct sl_net *net, const char *name,
                            const struct sl_op *record, int axis, int height, int width)
{
    if (!grow(net, &net->ops, net->n_ops, &net->ops_capacity, sizeof *net->ops)) {
        return NULL;
    }
    for (int i = 0; i < net->n_ops; i++) {
        if (strcmp(net->ops[i].name, name) == 0) {
            SL_FAIL(&net->failure, SL_ERROR_USAGE, "%s: this name is taken by another op",
                    name);
            return NULL;
        }
    }
    struct sl_op *op = &net->ops[net->n_ops];
    *op = *record;
    if (!name_format(net, op->name, name, NULL, "")) {
        return NULL;
    }
    op->weight = op->bias = op->norm = -1;
    for (int w = 0; w < SL_WIDTHS_MAX; w++) {
        op->scale[w] = op->shift[w] = -1;
    }
    op->dst = add_value(net, axis, height, width, net->n_ops);
    if (op->dst < 0) {
        return NULL;
    }
    net->n_ops++;
    return op;
}

/* Appends a parameter; its count follows from its axes, its place in the flat arrays
 * comes in finish. */
static int add_param(struct sl_net *net, const struct sl_param *record,
                     const char *prefix, const char *width, const char *suffix)
{
    if (!grow(net, &net->params, net->n_params, &net->params_capacity,
              sizeof *net->params)) {
        return -1;
    }
    struct sl_param *param = &net->params[net->n_params];
    *param = *record;
    if (!name_format(net, param->name, prefix, width, suffix)) {
        return -1;
    }
    const struct sl_axis *out = &net->axes[param->axis_out];
    param->count = param->owner < 0 ? out->full : out->span[param->owner].count;
    if (param->kind == SL_PARAM_WEIGHT &&
        (!sl_mul_checked(param->count, param->fan_in, &param->count) ||
         param->count > INT64_MAX / 1024)) {
        SL_FAIL(&net->failure, SL_ERROR_USAGE,
                "%s: the weight is too large; use a smaller net", prefix);
        return -1;
    }
    return net->n_params++;
}

/* ---- axes and input ---------------------------------------------------------------- */

/* The narrow widths' spans one behind the other, the smallest first. Counts are rounded
 * down, so their sum is no more than the full axis. */
static void set_apart(const struct sl_net *net, struct sl_axis *axis)
{
    int begin = 0;

    for (int w = net->widths.n - 1; w > 0; w--) {
        axis->span[w].begin = begin;
        begin += axis->span[w].count;
    }
}

int sl_net_axis(struct sl_net *net, const char *name, int full, bool fixed)
{
    struct sl_axis axis = {.full = full, .fixed = fixed};

    if (!grow(net, &net->axes, net->n_axes, &net->axes_capacity, sizeof *net->axes)) {
        return -1;
    }
    if (full < 1 || !sl_text_copy(axis.name, sizeof axis.name, name)) {
        SL_FAIL(
            &net->failure, SL_ERROR_USAGE,
            "axis %s: needs at least one channel and a name shorter than %zu characters, "
            "not %d channels",
            name, sizeof axis.name, full);
        return -1;
    }
    for (int w = 0; w < net->widths.n; w++) {
        struct sl_multiplier multiplier = net->widths.at[w];
        int count = fixed ? full : (int)sl_multiplier_of(multiplier, full);
        if (count < 1) {
            char text[32];
            sl_multiplier_text(multiplier, text, sizeof text);
            SL_FAIL(
                &net->failure, SL_ERROR_USAGE,
                "width %s leaves axis %s (%d channels at full width) without channels; "
                "use a larger width or a wider net",
                text, name, full);
            return -1;
        }
        axis.span[w] = (struct sl_span){.begin = 0, .count = count};
    }
    if (net->slices == SL_SLICES_DISJOINT && !fixed) {
        set_apart(net, &axis);
    }
    net->axes[net->n_axes] = axis;
    return net->n_axes++;
}

int sl_net_input(struct sl_net *net, int axis, int height, int width)
{
    if (!valid_axis(net, "input", axis)) {
        return -1;
    }
    if (net->input >= 0 || height < 1 || width < 1) {
        SL_FAIL(&net->failure, SL_ERROR_USAGE,
                "input: a net has one, of at least 1x1 pixels; seen: %s of %dx%d",
                net->input >= 0 ? "a second one" : "one", height, width);
        return -1;
    }
    net->input = add_value(net, axis, height, width, -1);
    return net->input;
}

/* ---- ops --------------------------------------------------------------------------- */

/* Number of places of a square window along a side, or 0 when it does not fit once. */
static int window_places(int side, int kernel, int stride, int pad)
{
    int64_t room = (int64_t)side + 2 * (int64_t)pad - kernel;

    return room < 0 ? 0 : (int)(room / stride + 1);
}

/* Checks a window over a value and gives the size of what it makes. */
static bool window_shape(struct sl_net *net, const char *name, int src, int kernel,
                         int stride, int pad, int *height, int *width)
{
    if (!valid_value(net, name, src)) {
        return false;
    }
    if (kernel < 1 || stride < 1 || pad < 0 || pad >= kernel) {
        SL_FAIL(
            &net->failure, SL_ERROR_USAGE,
            "%s: kernel and stride must be at least 1 and the padding smaller than the "
            "kernel; seen kernel %d, stride %d, padding %d",
            name, kernel, stride, pad);
        return false;
    }
    *height = window_places(net->values[src].height, kernel, stride, pad);
    *width = window_places(net->values[src].width, kernel, stride, pad);
    if (*height < 1 || *width < 1) {
        SL_FAIL(&net->failure, SL_ERROR_USAGE,
                "%s: a %dx%d window does not fit into %dx%d with padding %d; use larger "
                "pictures",
                name, kernel, kernel, net->values[src].height, net->values[src].width,
                pad);
        return false;
    }
    return true;
}

int sl_net_conv(struct sl_net *net, const char *name, int src, int axis_out, int kernel,
                int stride, int pad)
{
    int height = 0;
    int width = 0;

    if (!window_shape(net, name, src, kernel, stride, pad, &height, &width) ||
        !valid_axis(net, name, axis_out)) {
        return -1;
    }
    struct sl_op record = {.kind = SL_OP_CONV,
                           .src = src,
                           .added = -1,
                           .kernel = kernel,
                           .stride = stride,
                           .pad = pad};
    struct sl_op *op = add_op(net, name, &record, axis_out, height, width);
    if (op == NULL) {
        return -1;
    }
    int axis_in = net->values[src].axis;
    struct sl_param weight = {.kind = SL_PARAM_WEIGHT,
                              .axis_out = axis_out,
                              .axis_in = axis_in,
                              .kernel = kernel,
                              .owner = -1,
                              .init = SL_INIT_KAIMING_FAN_OUT,
                              .fan_in =
                                  (int64_t)kernel * kernel * net->axes[axis_in].full};
    op->weight = add_param(net, &weight, name, NULL, ".weight");
    return failed(net) ? -1 : op->dst;
}

/* Same channels at every width, same pixels. */
static bool same_shape(const struct sl_net *net, int a, int b)
{
    for (int w = 0; w < net->widths.n; w++) {
        if (sl_net_channels(net, a, w) != sl_net_channels(net, b, w)) {
            return false;
        }
    }
    return net->values[a].height == net->values[b].height &&
           net->values[a].width == net->values[b].width;
}

static bool valid_tail(struct sl_net *net, const char *name, int src, enum sl_tail tail,
                       int added)
{
    if (!valid_value(net, name, src)) {
        return false;
    }
    if (tail != SL_TAIL_ADD_RELU) {
        if (added != -1) {
            SL_FAIL(&net->failure, SL_ERROR_USAGE,
                    "%s: only the add+relu tail takes a value to add, seen tail %s", name,
                    sl_tail_name(tail));
        }
        return !failed(net);
    }
    if (!valid_value(net, name, added)) {
        return false;
    }
    /* The input has no gradient, and an op writes two gradients to two places. */
    if (added == src || added == net->input || !same_shape(net, src, added)) {
        SL_FAIL(
            &net->failure, SL_ERROR_USAGE,
            "%s: the value added must have the shape of the source and be neither the "
            "source nor the input; seen value %d added to value %d",
            name, added, src);
        return false;
    }
    return true;
}

/* Appends a norm without its parameters; NULL after a failure. */
static struct sl_op *add_norm(struct sl_net *net, const char *name, int src,
                              enum sl_tail tail, int added)
{
    if (!valid_tail(net, name, src, tail, added)) {
        return NULL;
    }
    struct sl_value from = net->values[src];
    struct sl_op record = {.kind = SL_OP_NORM, .src = src, .added = added, .tail = tail};
    struct sl_op *op = add_op(net, name, &record, from.axis, from.height, from.width);
    if (op != NULL) {
        op->norm = net->n_norms++;
    }
    return op;
}

int sl_net_norm_bare(struct sl_net *net, const char *name, int src)
{
    const struct sl_op *op = add_norm(net, name, src, SL_TAIL_NONE, -1);
    return op == NULL ? -1 : op->dst;
}

int sl_net_norm(struct sl_net *net, const char *name, int src, enum sl_tail tail,
                int added, enum sl_init scale_init)
{
    struct sl_op *op = add_norm(net, name, src, tail, added);
    if (op == NULL) {
        return -1;
    }
    for (int w = 0; w < net->widths.n; w++) {
        char key[32];
        sl_multiplier_key(net->widths.at[w], key, sizeof key);
        struct sl_param vector = {.kind = SL_PARAM_SCALE,
                                  .axis_out = net->values[src].axis,
                                  .axis_in = -1,
                                  .kernel = 1,
                                  .owner = w,
                                  .init = scale_init};
        op->scale[w] = add_param(net, &vector, name, key, ".scale");
        vector.kind = SL_PARAM_SHIFT;
        vector.init = SL_INIT_ZERO;
        op->shift[w] = add_param(net, &vector, name, key, ".shift");
    }
    return failed(net) ? -1 : op->dst;
}

int sl_net_maxpool(struct sl_net *net, const char *name, int src, int kernel, int stride,
                   int pad)
{
    int height = 0;
    int width = 0;

    if (!window_shape(net, name, src, kernel, stride, pad, &height, &width)) {
        return -1;
    }
    struct sl_op record = {.kind = SL_OP_MAXPOOL,
                           .src = src,
                           .added = -1,
                           .kernel = kernel,
                           .stride = stride,
                           .pad = pad};
    struct sl_op *op = add_op(net, name, &record, net->values[src].axis, height, width);
    return op == NULL ? -1 : op->dst;
}

int sl_net_avgpool(struct sl_net *net, const char *name, int src)
{
    if (!valid_value(net, name, src)) {
        return -1;
    }
    struct sl_op record = {.kind = SL_OP_AVGPOOL, .src = src, .added = -1};
    struct sl_op *op = add_op(net, name, &record, net->values[src].axis, 1, 1);
    return op == NULL ? -1 : op->dst;
}

/* Appends a linear op without its parameters; NULL after a failure. */
static struct sl_op *add_linear(struct sl_net *net, const char *name, int src,
                                int axis_out)
{
    if (!valid_value(net, name, src) || !valid_axis(net, name, axis_out)) {
        return NULL;
    }
    struct sl_value from = net->values[src];
    if (from.height != 1 || from.width != 1) {
        SL_FAIL(&net->failure, SL_ERROR_USAGE,
                "%s: a linear op reads 1x1 pixels, not %dx%d; pool first", name,
                from.height, from.width);
        return NULL;
    }
    struct sl_op record = {.kind = SL_OP_LINEAR, .src = src, .added = -1};
    return add_op(net, name, &record, axis_out, 1, 1);
}

int sl_net_linear(struct sl_net *net, const char *name, int src, int axis_out, bool bias,
                  enum sl_init weight_init, enum sl_init bias_init)
{
    struct sl_op *op = add_linear(net, name, src, axis_out);
    if (op == NULL) {
        return -1;
    }
    int axis_in = net->values[src].axis;
    struct sl_param param = {.kind = SL_PARAM_WEIGHT,
                             .axis_out = axis_out,
                             .axis_in = axis_in,
                             .kernel = 1,
                             .owner = -1,
                             .init = weight_init,
                             .fan_in = net->axes[axis_in].full};
    op->weight = add_param(net, &param, name, NULL, ".weight");
    if (bias) {
        param.kind = SL_PARAM_BIAS;
        param.axis_in = -1;
        param.init = bias_init;
        op->bias = add_param(net, &param, name, NULL, ".bias");
    }
    return failed(net) ? -1 : op->dst;
}

int sl_net_linear_private(struct sl_net *net, const char *name, int src, int axis_out,
                          enum sl_init weight_init, enum sl_init bias_init)
{
    struct sl_op *op = add_linear(net, name, src, axis_out);
    if (op == NULL) {
        return -1;
    }
    op->is_private = true;
    for (int w = 0; w < net->widths.n; w++) {
        char key[32];
        int axis_in = net->values[src].axis;
        sl_multiplier_key(net->widths.at[w], key, sizeof key);
        struct sl_param param = {.kind = SL_PARAM_WEIGHT,
                                 .axis_out = axis_out,
                                 .axis_in = axis_in,
                                 .kernel = 1,
                                 .owner = w,
                                 .init = weight_init,
                                 .fan_in = sl_net_span(net, axis_in, w).count};
        int weight = add_param(net, &param, name, key, ".weight");
        param.kind = SL_PARAM_BIAS;
        param.axis_in = -1;
        param.init = bias_init;
        int bias = add_param(net, &param, name, key, ".bias");
        op->weight = w == 0 ? weight : op->weight;
        op->bias = w == 0 ? bias : op->bias;
    }
    return failed(net) ? -1 : op->dst;
}

static int add_relu(struct sl_net *net, const char *name, int src, enum sl_tail tail,
                    int added)
{
    if (!valid_tail(net, name, src, tail, added)) {
        return -1;
    }
    struct sl_value from = net->values[src];
    struct sl_op record = {.kind = SL_OP_RELU, .src = src, .added = added, .tail = tail};
    struct sl_op *op = add_op(net, name, &record, from.axis, from.height, from.width);
    return op == NULL ? -1 : op->dst;
}

int sl_net_relu(struct sl_net *net, const char *name, int src)
{
    return add_relu(net, name, src, SL_TAIL_NONE, -1);
}

int sl_net_add_relu(struct sl_net *net, const char *name, int src, int added)
{
    return add_relu(net, name, src, SL_TAIL_ADD_RELU, added);
}

/* ---- finish ------------------------------------------------------------------------ */

/* Gives every parameter of one owner (-1: shared) its place, in index order. */
static void place_params(struct sl_net *net, int owner)
{
    for (int i = 0; i < net->n_params; i++) {
        struct sl_param *param = &net->params[i];
        if (param->owner == owner) {
            param->offset = net->total;
            net->total += param->count;
        }
    }
}

/* Running statistics lie by width, then by norm. */
static enum sl_status place_stats(struct sl_error *err, struct sl_net *net)
{
    SL_TRY(sl_arena_alloc(err, net->arena, (int64_t)net->n_norms * SL_WIDTHS_MAX,
                          sizeof *net->stats_offset, &net->stats_offset));
    for (int w = 0; w < net->widths.n; w++) {
        for (int i = 0; i < net->n_ops; i++) {
            const struct sl_op *op = &net->ops[i];
            if (op->norm >= 0) {
                net->stats_offset[op->norm * SL_WIDTHS_MAX + w] = net->stats_total;
                net->stats_total += sl_net_channels(net, op->src, w);
            }
        }
    }
    return SL_OK;
}

enum sl_status sl_net_finish(struct sl_error *err, struct sl_net *net, int features,
                             int projection, int embedding)
{
    if (failed(net)) {
        *err = net->failure;
        return net->failure.status;
    }
    const int outputs[] = {features, projection, embedding};
    for (int i = 0; i < SL_COUNT(outputs); i++) {
        int value = outputs[i];
        if (value < 0 || value >= net->n_values || value == net->input ||
            net->values[value].height != 1 || net->values[value].width != 1) {
            return SL_FAIL(
                err, SL_ERROR_USAGE,
                "features, projection and embedding must be values of 1x1 pixels made "
                "by an op, "
                "which value %d is not",
                value);
        }
    }
    net->features = features;
    net->projection = projection;
    net->embedding = embedding;
    net->total = 0;
    place_params(net, -1);
    net->shared = net->total;
    for (int w = 0; w < net->widths.n; w++) {
        net->private_begin[w] = net->total;
        place_params(net, w);
        net->private_end[w] = net->total;
    }
    return place_stats(err, net);
}
