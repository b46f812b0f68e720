/* SPDX-License-Identifier: MIT */
/*
 * The planner: one net at one width, batch size and role, with every op prepared and
 * every address decided. It computes no number (exec.c does) and allocates nothing once
 * the plan is made.
 *
 * Time is counted in ops. Of n ops, op k runs forward at time k; at time n the caller
 * reads the output; op k runs backward at time 2n - k. A value, a gradient or a workspace
 * lives from the first to the last time it is touched, and two that live at a common time
 * never share a byte, but for one case: where values join, the gradient of the one that
 * was added begins as that of the sum, masked in its place. That is the whole contract
 * with the executor.
 */
#include "net/net_int.h"

#include <stdlib.h>
#include <string.h>

enum { ALIGNMENT = 64 };

/* ---- sizes ------------------------------------------------------------------------- */

static enum sl_status too_large(struct sl_error *err, const struct sl_plan_config *config)
{
    return SL_FAIL(
        err, SL_ERROR_RUN,
        "a plan for batches of %d needs more bytes than any machine has; use a smaller "
        "batch, picture or net",
        config->batch);
}

/* Adds `bytes`, rounded up to the alignment, to a running total and gives the total
 * before it. */
static bool reserve(int64_t *total, int64_t bytes, int64_t *offset)
{
    *offset = *total;
    if (bytes < 0 || bytes > INT64_MAX - ALIGNMENT - *total) {
        return false;
    }
    *total += (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    return true;
}

/* Bytes of a value of the net at the plan's width and batch. */
static bool value_bytes(const struct sl_plan *plan, int value, int64_t *bytes)
{
    const struct sl_plan_config *config = &plan->config;
    const struct sl_value *v = &config->net->values[value];

    *bytes = sl_dtype_bytes(plan->types[value]);
    return sl_mul_checked(*bytes, config->batch, bytes) &&
           sl_mul_checked(*bytes, v->height, bytes) &&
           sl_mul_checked(*bytes, v->width, bytes) &&
           sl_mul_checked(*bytes, sl_net_channels(config->net, value, config->width),
                          bytes);
}

/* ---- which ops --------------------------------------------------------------------- */

/* Takes the ops that the output depends on, in the order of the net. */
static enum sl_status choose_ops(struct sl_error *err, struct sl_plan *plan)
{
    const struct sl_net *net = plan->config.net;
    bool *needed = NULL;

    SL_TRY(sl_arena_alloc(err, plan->arena, net->n_values, sizeof *needed, &needed));
    needed[plan->config.output] = true;
    for (int i = net->n_ops - 1; i >= 0; i--) {
        const struct sl_op *op = &net->ops[i];
        if (needed[op->dst]) {
            plan->n_calls++;
            needed[op->src] = true;
            if (op->added >= 0) {
                needed[op->added] = true;
            }
        }
    }
    SL_TRY(sl_arena_alloc(err, plan->arena, plan->n_calls, sizeof *plan->calls,
                          &plan->calls));
    for (int i = 0, k = 0; i < net->n_ops; i++) {
        if (needed[net->ops[i].dst]) {
            plan->calls[k++].op = &net->ops[i];
        }
    }
    return SL_OK;
}

/* ---- types ------------------------------------------------------------------------- */

/* Feature maps have the plan's type; pooled features and all that follows are float32. */
static enum sl_status find_types(struct sl_error *err, struct sl_plan *plan)
{
    const struct sl_net *net = plan->config.net;

    SL_TRY(sl_arena_alloc(err, plan->arena, net->n_values, sizeof *plan->types,
                          &plan->types));
    plan->types[net->input] = plan->config.type;
    for (int i = 0; i < net->n_ops; i++) {
        const struct sl_op *op = &net->ops[i];
        bool ends_maps = op->kind == SL_OP_AVGPOOL || op->kind == SL_OP_LINEAR;
        plan->types[op->dst] = ends_maps ? SL_F32 : plan->types[op->src];
        SL_ASSERT(op->kind != SL_OP_LINEAR || plan->types[op->src] == SL_F32);
    }
    return SL_OK;
}

/* ---- preparing ops ----------------------------------------------------------------- */

static struct sl_op_desc describe(const struct sl_plan *plan, const struct sl_op *op)
{
    const struct sl_plan_config *config = &plan->config;
    const struct sl_net *net = config->net;
    const struct sl_value *src = &net->values[op->src];
    const struct sl_value *dst = &net->values[op->dst];
    bool is_norm = op->kind == SL_OP_NORM;
    int groups = config->role == SL_ROLE_INFER ? 1 : config->groups;
    bool need_diff_src = op->src != net->input;
    /* An op without parameters that reads the pictures has nothing to do backward. */
    bool has_backward = need_diff_src || op->weight >= 0 || is_norm;

    return (struct sl_op_desc){
        .kind = op->kind,
        .type = plan->types[op->src],
        .n = config->batch,
        .src_h = src->height,
        .src_w = src->width,
        .src_c = sl_net_channels(net, op->src, config->width),
        .dst_h = dst->height,
        .dst_w = dst->width,
        .dst_c = sl_net_channels(net, op->dst, config->width),
        .kernel = op->kernel,
        .stride = op->stride,
        .pad = op->pad,
        .bias = op->bias >= 0,
        .tail = op->tail,
        .batch_statistics = is_norm && config->role != SL_ROLE_INFER,
        .groups = is_norm ? groups : 0,
        .epsilon = is_norm ? NORM_EPSILON : 0.0f,
        .no_affine = is_norm && op->scale[config->width] < 0,
        .backward = config->role == SL_ROLE_TRAIN && has_backward,
        .need_diff_src = config->role == SL_ROLE_TRAIN && need_diff_src,
    };
}

static enum sl_status check_statistics(struct sl_error *err, const struct sl_call *call)
{
    const struct sl_op_desc *desc = &call->desc;

    if (desc->batch_statistics && desc->n / desc->groups == 1 &&
        desc->src_h * desc->src_w == 1) {
        return SL_FAIL(
            err, SL_ERROR_USAGE,
            "%s: batch statistics of one picture of 1x1 pixels are undefined; use a "
            "larger batch, fewer groups or larger pictures",
            call->op->name);
    }
    return SL_OK;
}

static enum sl_status prepare_ops(struct sl_error *err, struct sl_plan *plan)
{
    const struct sl_device *device = plan->config.device;

    for (int k = 0; k < plan->n_calls; k++) {
        struct sl_call *call = &plan->calls[k];
        call->desc = describe(plan, call->op);
        SL_TRY(check_statistics(err, call));
        SL_TRY(device->table->prepare(err, device->state, &call->desc, &call->prepared,
                                      &call->sizes));
    }
    return SL_OK;
}

/* ---- who writes a gradient first --------------------------------------------------- */

/* In backward order the first op to reach a value's gradient writes it and the later ones
 * add. */
static enum sl_status order_writers(struct sl_error *err, struct sl_plan *plan)
{
    bool *written = NULL;

    SL_TRY(sl_arena_alloc(err, plan->arena, plan->config.net->n_values, sizeof *written,
                          &written));
    for (int k = plan->n_calls - 1; k >= 0; k--) {
        struct sl_call *call = &plan->calls[k];
        call->diff_src_add = written[call->op->src];
        written[call->op->src] = true;
        if (call->op->added >= 0) {
            call->diff_added_add = written[call->op->added];
            written[call->op->added] = true;
        }
    }
    return SL_OK;
}

/* ---- lifetimes --------------------------------------------------------------------- */

static void touch(struct sl_item *item, int time)
{
    if (item->birth < 0) {
        item->birth = item->death = time;
    }
    item->birth = time < item->birth ? time : item->birth;
    item->death = time > item->death ? time : item->death;
}

static void touch_forward(struct sl_plan *plan, int k)
{
    const struct sl_op *op = plan->calls[k].op;

    touch(&plan->values[op->src], k);
    touch(&plan->values[op->dst], k);
    touch(&plan->workspaces[k], k);
    if (op->added >= 0) {
        touch(&plan->values[op->added], k);
    }
}

static void touch_backward(struct sl_plan *plan, int k)
{
    const struct sl_call *call = &plan->calls[k];
    const struct sl_op *op = call->op;
    int time = 2 * plan->n_calls - k;

    touch(&plan->workspaces[k], time);
    touch(&plan->diffs[op->dst], time);
    if (call->sizes.backward_reads_src) {
        touch(&plan->values[op->src], time);
    }
    if (call->sizes.backward_reads_dst) {
        touch(&plan->values[op->dst], time);
    }
    if (call->desc.need_diff_src) {
        touch(&plan->diffs[op->src], time);
    }
    if (op->added >= 0) {
        touch(&plan->diffs[op->added], time);
    }
}

/* The pictures and the output's gradient are the caller's memory and take none of ours.
 */
static enum sl_status size_items(struct sl_error *err, struct sl_plan *plan)
{
    const struct sl_plan_config *config = &plan->config;

    for (int v = 0; v < config->net->n_values; v++) {
        int64_t bytes = 0;
        if (!value_bytes(plan, v, &bytes)) {
            return too_large(err, config);
        }
        plan->values[v].bytes = v == config->net->input ? 0 : bytes;
        plan->diffs[v].bytes = v == config->net->input || v == config->output ? 0 : bytes;
    }
    for (int k = 0; k < plan->n_calls; k++) {
        plan->workspaces[k].bytes = (int64_t)plan->calls[k].sizes.workspace;
    }
    return SL_OK;
}

static void find_lifetimes(struct sl_plan *plan)
{
    for (int k = 0; k < plan->n_calls; k++) {
        touch_forward(plan, k);
        if (plan->calls[k].desc.backward) {
            touch_backward(plan, k);
        }
    }
    touch(&plan->values[plan->config.output], plan->n_calls);
}

/* The gradient of what was added takes the memory of the sum's, which nobody reads after
 * the op: a whole chain of residual blocks has one gradient, and the op's backward writes
 * where it has just read. */
static void share_joins(struct sl_plan *plan)
{
    for (int k = plan->n_calls - 1; k >= 0; k--) {
        const struct sl_call *call = &plan->calls[k];
        if (call->op->added < 0 || call->diff_added_add || !call->desc.backward) {
            continue;
        }
        struct sl_item *added = &plan->diffs[call->op->added];
        struct sl_item *sum = &plan->diffs[call->op->dst];
        sum = sum->within != NULL ? sum->within : sum;
        if (added->bytes > 0 && added->bytes == sum->bytes) {
            touch(sum, added->birth);
            touch(sum, added->death);
            added->within = sum;
        }
    }
}

/* ---- placement --------------------------------------------------------------------- */

static bool lives(const struct sl_item *item)
{
    return item->bytes > 0 && item->birth >= 0 && item->within == NULL;
}

static bool meet(const struct sl_item *a, const struct sl_item *b)
{
    return a->birth <= b->death && b->birth <= a->death;
}

/* Largest first, the older first among equals; the place in plan->items settles the rest.
 */
static int by_size(const void *left, const void *right)
{
    const struct sl_item *a = *(const struct sl_item *const *)left;
    const struct sl_item *b = *(const struct sl_item *const *)right;

    if (a->bytes != b->bytes) {
        return a->bytes > b->bytes ? -1 : 1;
    }
    if (a->birth != b->birth) {
        return a->birth < b->birth ? -1 : 1;
    }
    return a < b ? -1 : a > b;
}

/* The lowest place where the item meets none of `n` items that are sorted by offset. */
static int64_t first_fit(struct sl_item *const *placed, int n, const struct sl_item *item,
                         bool reuse_off)
{
    int64_t offset = 0;

    for (int i = 0; i < n; i++) {
        const struct sl_item *other = placed[i];
        int64_t unused = 0;
        int64_t end = other->offset;
        reserve(&end, other->bytes, &unused);
        if ((reuse_off || meet(other, item)) && end > offset) {
            if (other->offset - offset >= item->bytes) {
                break;
            }
            offset = end;
        }
    }
    return offset;
}

/* Offline first fit, largest first: offsets from the beginning of the items' region. */
static enum sl_status place_items(struct sl_error *err, struct sl_plan *plan,
                                  struct sl_item **order, int n)
{
    struct sl_item **placed = NULL; /* by offset */

    SL_TRY(sl_arena_alloc(err, plan->arena, n, sizeof *placed, &placed));
    qsort(order, (size_t)n, sizeof *order, by_size);
    for (int i = 0; i < n; i++) {
        struct sl_item *item = order[i];
        item->offset = first_fit(placed, i, item, plan->config.reuse_off);
        int64_t unused = 0;
        int64_t end = item->offset;
        if (!reserve(&end, item->bytes, &unused)) {
            return too_large(err, &plan->config);
        }
        plan->item_bytes = end > plan->item_bytes ? end : plan->item_bytes;
        int at = i;
        for (; at > 0 && placed[at - 1]->offset > item->offset; at--) {
            placed[at] = placed[at - 1];
        }
        placed[at] = item;
    }
    return SL_OK;
}

/* ---- layout of the block ----------------------------------------------------------- */

/* Packed weights, then the items, then scratch. */
static enum sl_status lay_out_packed(struct sl_error *err, struct sl_plan *plan)
{
    for (int k = 0; k < plan->n_calls; k++) {
        struct sl_call *call = &plan->calls[k];
        if (!reserve(&plan->packed_bytes, (int64_t)call->sizes.packed, &call->packed)) {
            return too_large(err, &plan->config);
        }
    }
    return SL_OK;
}

static enum sl_status lay_out_items(struct sl_error *err, struct sl_plan *plan)
{
    struct sl_item **order = NULL;
    int n = 0;

    SL_TRY(sl_arena_alloc(err, plan->arena, plan->n_items, sizeof *order, &order));
    SL_TRY(size_items(err, plan));
    find_lifetimes(plan);
    if (!plan->config.reuse_off) {
        share_joins(plan);
    }
    for (int i = 0; i < plan->n_items; i++) {
        if (lives(&plan->items[i])) {
            order[n++] = &plan->items[i];
        }
    }
    SL_TRY(place_items(err, plan, order, n));
    if (plan->item_bytes > INT64_MAX - plan->packed_bytes) {
        return too_large(err, &plan->config);
    }
    for (int i = 0; i < n; i++) {
        order[i]->offset += plan->packed_bytes;
    }
    for (int i = 0; i < plan->n_items; i++) {
        if (plan->items[i].within != NULL) {
            plan->items[i].offset = plan->items[i].within->offset;
        }
    }
    for (int k = 0; k < plan->n_calls; k++) {
        plan->calls[k].workspace = plan->workspaces[k].offset;
    }
    return SL_OK;
}

/* One op at a time uses the scratch: the backend's own, then the gradients of the op's
 * parameters on their way to the master: its packed weight, its bias or its scale and
 * shift. */
static enum sl_status lay_out_scratch(struct sl_error *err, struct sl_plan *plan)
{
    int64_t begin = plan->packed_bytes + plan->item_bytes;

    for (int k = 0; k < plan->n_calls; k++) {
        struct sl_call *call = &plan->calls[k];
        int64_t end = begin;
        int64_t vectors =
            call->desc.backward ? 2 * (int64_t)sizeof(float) * call->desc.dst_c : 0;
        int64_t packed_diff = call->desc.backward ? (int64_t)call->sizes.packed_diff : 0;
        if (!reserve(&end, (int64_t)call->sizes.scratch, &call->scratch) ||
            !reserve(&end, packed_diff, &call->packed_diff) ||
            !reserve(&end, vectors, &call->vector_diff)) {
            return too_large(err, &plan->config);
        }
        plan->scratch_bytes =
            end - begin > plan->scratch_bytes ? end - begin : plan->scratch_bytes;
    }
    return SL_OK;
}

/* ---- creation ---------------------------------------------------------------------- */

static enum sl_status check_config(struct sl_error *err,
                                   const struct sl_plan_config *config)
{
    const struct sl_net *net = config->net;

    SL_ASSERT(config->width >= 0 && config->width < net->widths.n);
    SL_ASSERT(config->output >= 0 && config->output < net->n_values);
    SL_ASSERT(config->output != net->input);
    int groups = config->groups == 0 ? 1 : config->groups;
    if (config->batch < 1 || groups < 1 || config->batch % groups != 0) {
        return SL_FAIL(err, SL_ERROR_USAGE,
                       "a batch of %d does not fall into %d equal norm groups; choose a "
                       "batch that is a multiple of the groups",
                       config->batch, groups);
    }
    return SL_OK;
}

/* One array holds all items, so that their addresses are in the same order in every run.
 */
static enum sl_status alloc_items(struct sl_error *err, struct sl_plan *plan)
{
    int n_values = plan->config.net->n_values;

    plan->n_items = 2 * n_values + plan->n_calls;
    SL_TRY(sl_arena_alloc(err, plan->arena, plan->n_items, sizeof *plan->items,
                          &plan->items));
    plan->values = plan->items;
    plan->diffs = plan->values + n_values;
    plan->workspaces = plan->diffs + n_values;
    for (int i = 0; i < plan->n_items; i++) {
        plan->items[i] = (struct sl_item){.birth = -1, .death = -1};
    }
    return SL_OK;
}

static enum sl_status make(struct sl_error *err, struct sl_plan *plan)
{
    SL_TRY(choose_ops(err, plan));
    SL_TRY(find_types(err, plan));
    SL_TRY(alloc_items(err, plan));
    SL_TRY(prepare_ops(err, plan));
    SL_TRY(order_writers(err, plan));
    SL_TRY(lay_out_packed(err, plan));
    SL_TRY(lay_out_items(err, plan));
    return lay_out_scratch(err, plan);
}

enum sl_status sl_plan_create(struct sl_error *err, const struct sl_plan_config *config,
                              struct sl_plan **plan)
{
    enum sl_status status = SL_OK;
    struct sl_arena *arena = NULL;
    struct sl_plan *made = NULL;

    *plan = NULL;
    SL_TRY(check_config(err, config));
    SL_TRY(sl_arena_create(err, 64 * 1024, &arena));
    status = sl_arena_alloc(err, arena, 1, sizeof *made, &made);
    if (status != SL_OK) {
        sl_arena_destroy(arena);
        return status;
    }
    made->arena = arena;
    made->config = *config;
    made->config.groups = config->groups == 0 ? 1 : config->groups;
    SL_TRY_OUT(make(err, made));
    *plan = made;
    made = NULL;
out:
    sl_plan_destroy(made);
    return status;
}

void sl_plan_destroy(struct sl_plan *plan)
{
    if (plan == NULL) {
        return;
    }
    const struct sl_device *device = plan->config.device;
    for (int k = 0; k < plan->n_calls && plan->calls != NULL; k++) {
        if (plan->calls[k].prepared != NULL) {
            device->table->drop(device->state, plan->calls[k].prepared);
        }
    }
    sl_arena_destroy(plan->arena); /* which holds the plan itself */
}

/* ---- use --------------------------------------------------------------------------- */

size_t sl_plan_bytes(const struct sl_plan *plan)
{
    return (size_t)(plan->packed_bytes + plan->item_bytes + plan->scratch_bytes);
}

void sl_plan_bytes_split(const struct sl_plan *plan, size_t *packed, size_t *activations,
                         size_t *scratch)
{
    *packed = (size_t)plan->packed_bytes;
    *activations = (size_t)plan->item_bytes;
    *scratch = (size_t)plan->scratch_bytes;
}

void sl_plan_attach(struct sl_plan *plan, void *block)
{
    plan->block = block;
    plan->can_backward = false;
}

enum sl_dtype sl_plan_type(const struct sl_plan *plan)
{
    return plan->config.type;
}

int sl_plan_output_channels(const struct sl_plan *plan)
{
    return sl_net_channels(plan->config.net, plan->config.output, plan->config.width);
}

/* ---- print ------------------------------------------------------------------------- */

/* The name of the op whose result a gradient belongs to. */
static const char *diff_name(const struct sl_plan *plan, const struct sl_item *diff)
{
    const struct sl_net *net = plan->config.net;

    return net->ops[net->values[diff - plan->diffs].producer].name;
}

/* An item that has another's memory says whose. */
static void print_item(const struct sl_plan *plan, struct sl_text *text, const char *name,
                       const char *what, const char *shape, const struct sl_item *item)
{
    if (item->bytes == 0 || item->birth < 0) {
        return;
    }
    sl_text_add(text, "%-34s %-9s %-16s %12lld %5d %5d %12lld", name, what, shape,
                (long long)item->bytes, item->birth, item->death,
                (long long)item->offset);
    if (item->within != NULL) {
        sl_text_add(text, " in %s", diff_name(plan, item->within));
    }
    sl_text_add(text, "\n");
}

void sl_plan_print(const struct sl_plan *plan, struct sl_text *text)
{
    const struct sl_net *net = plan->config.net;

    sl_text_add(text, "%-34s %-9s %-16s %12s %5s %5s %12s\n", "name", "what", "shape",
                "bytes", "birth", "death", "offset");
    for (int k = 0; k < plan->n_calls; k++) {
        const struct sl_op *op = plan->calls[k].op;
        const struct sl_value *v = &net->values[op->dst];
        char shape[64];
        snprintf(shape, sizeof shape, "%dx%dx%dx%d", plan->config.batch, v->height,
                 v->width, sl_net_channels(net, op->dst, plan->config.width));
        print_item(plan, text, op->name, "value", shape, &plan->values[op->dst]);
        print_item(plan, text, op->name, "workspace", "-", &plan->workspaces[k]);
        print_item(plan, text, op->name, "gradient", shape, &plan->diffs[op->dst]);
    }
}
