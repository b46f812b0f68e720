/* SPDX-License-Identifier: MIT */
/*
 * Parameters and running statistics as flat arrays in backend memory: creation, keyed
 * start, views by width, and names for checkpoints. Updating them is the optimiser's
 * work, using them the executor's. The invariant: a parameter's place is a function of
 * the net alone, the same in weight, diff and the slots of an optimiser.
 */
#include "net/net_int.h"

#include <math.h>

/* ---- flat arrays ------------------------------------------------------------------- */

static enum sl_status flat_alloc(struct sl_error *err, const struct sl_device *device,
                                 const char *what, int64_t count, float **flat)
{
    void *memory = NULL;
    int64_t bytes = 0;

    if (!sl_mul_checked(count, (int64_t)sizeof(float), &bytes)) {
        return SL_FAIL(err, SL_ERROR_RUN,
                       "%s: %lld values are more than any memory holds", what,
                       (long long)count);
    }
    SL_TRY(device->table->alloc(err, device->state, what, (size_t)bytes, &memory));
    *flat = memory;
    return SL_OK;
}

static void flat_free(const struct sl_device *device, float *flat)
{
    if (flat != NULL) {
        device->table->free(device->state, flat);
    }
}

/* ---- parameters -------------------------------------------------------------------- */

enum sl_status sl_params_create(struct sl_error *err, const struct sl_net *net,
                                const struct sl_device *device, bool trainable,
                                struct sl_params **params)
{
    enum sl_status status = SL_OK;
    struct sl_params *made = NULL;

    *params = NULL;
    SL_TRY(sl_heap_alloc(err, "parameters", 1, sizeof *made, &made));
    made->net = net;
    made->device = device;
    SL_TRY_OUT(flat_alloc(err, device, "weights", net->total, &made->weight));
    if (trainable) {
        SL_TRY_OUT(flat_alloc(err, device, "gradients", net->total, &made->diff));
    }
    *params = made;
    made = NULL;
out:
    sl_params_destroy(made);
    return status;
}

void sl_params_destroy(struct sl_params *params)
{
    if (params == NULL) {
        return;
    }
    flat_free(params->device, params->weight);
    flat_free(params->device, params->diff);
    sl_heap_free(params);
}

/* ---- the keyed start --------------------------------------------------------------- */

static void fill(float *dst, int64_t count, float value)
{
    for (int64_t i = 0; i < count; i++) {
        dst[i] = value;
    }
}

static const uint32_t PRIVATE_KEYS = UINT32_C(0x20000);

/* One parameter's start, a function of seed, key and full shape. */
static void param_start(const struct sl_net *net, const struct sl_param *param,
                        uint64_t seed, uint32_t key, float *dst)
{
    int64_t n = param->count;

    switch (param->init) {
    case SL_INIT_ZERO:
        fill(dst, n, 0.0f);
        break;
    case SL_INIT_ONE:
        fill(dst, n, 1.0f);
        break;
    case SL_INIT_KAIMING_FAN_OUT: {
        double fan_out =
            (double)param->kernel * param->kernel * net->axes[param->axis_out].full;
        sl_rng_fill_normal(seed, SL_RNG_INIT, key, (float)sqrt(2.0 / fan_out), n, dst);
        break;
    }
    case SL_INIT_NORMAL_001:
        sl_rng_fill_normal(seed, SL_RNG_INIT, key, 0.01f, n, dst);
        break;
    case SL_INIT_FAN_IN: {
        double bound = 1.0 / sqrt((double)param->fan_in);
        sl_rng_fill_uniform(seed, SL_RNG_INIT, key, -bound, bound, n, dst);
        break;
    }
    }
}

enum sl_status sl_params_init(struct sl_error *err, struct sl_params *params,
                              uint64_t seed)
{
    const struct sl_net *net = params->net;
    const struct sl_device *device = params->device;
    int64_t largest = 0;
    uint32_t shared = 0; /* the next key of the shared parameters */
    uint32_t own[SL_WIDTHS_MAX] = {0};
    float *host = NULL;

    for (int i = 0; i < net->n_params; i++) {
        largest = net->params[i].count > largest ? net->params[i].count : largest;
    }
    SL_TRY(sl_heap_alloc(err, "one parameter's start", largest, sizeof *host, &host));
    for (int i = 0; i < net->n_params; i++) {
        const struct sl_param *param = &net->params[i];
        /* Private parameters take no key of the shared ones' row: their number, which
         * grows with the list of widths, moves no shared start. */
        uint32_t *next = param->owner < 0 ? &shared : &own[param->owner];
        bool is_of_norm = param->kind == SL_PARAM_SCALE || param->kind == SL_PARAM_SHIFT;
        param_start(net, param, seed,
                    param->owner < 0 ? shared : PRIVATE_KEYS + shared + *next, host);
        *next += param->owner >= 0 && is_of_norm ? 0 : 1; /* which draws nothing */
        device->table->put(device->state, params->weight + param->offset, host,
                           (size_t)param->count * sizeof *host);
    }
    sl_heap_free(host);
    return SL_OK;
}

/* ---- views by width ---------------------------------------------------------------- */

struct sl_slice sl_params_slice(const struct sl_net *net, int param, int width,
                                float *flat)
{
    const struct sl_param *p = &net->params[param];
    SL_ASSERT(p->kind == SL_PARAM_WEIGHT);
    struct sl_span out = sl_net_span(net, p->axis_out, width);
    struct sl_span in = sl_net_span(net, p->axis_in, width);
    int64_t in_stride = (int64_t)p->kernel * p->kernel;
    bool is_private = p->owner >= 0; /* holds its width's channels and nothing else */
    SL_ASSERT(!is_private || p->owner == width);
    int64_t out_stride = in_stride * (is_private ? in.count : net->axes[p->axis_in].full);
    int64_t first = is_private ? 0 : out.begin * out_stride + in.begin * in_stride;

    return (struct sl_slice){.data = flat + p->offset + first,
                             .out = out.count,
                             .in = in.count,
                             .kernel = p->kernel,
                             .out_stride = out_stride,
                             .in_stride = in_stride};
}

float *sl_params_vector(const struct sl_net *net, int param, int width, float *flat,
                        int64_t *count)
{
    const struct sl_param *p = &net->params[param];
    SL_ASSERT(p->kind != SL_PARAM_WEIGHT && (p->owner < 0 || p->owner == width));
    struct sl_span span = sl_net_span(net, p->axis_out, width);

    *count = span.count;
    /* A private vector holds its width's channels and nothing else. */
    return flat + p->offset + (p->owner < 0 ? span.begin : 0);
}

/* ---- state ------------------------------------------------------------------------- */

static enum sl_status state_add(struct sl_error *err, struct sl_named_list *list,
                                const char *prefix, const char *name, const char *suffix,
                                struct sl_tensor tensor)
{
    char full[SL_NAME_MAX];
    int length = snprintf(full, sizeof full, "%s%s%s", prefix, name, suffix);

    if (length < 0 || (size_t)length >= sizeof full) {
        return SL_FAIL(err, SL_ERROR_RUN, "%s%s%s: a name longer than %d characters",
                       prefix, name, suffix, (int)SL_NAME_MAX - 1);
    }
    return sl_named_add(err, list, full, tensor);
}

/* Vectors have one dimension, linear weights two (out, in), conv weights four (out, in,
 * kernel, kernel). */
static struct sl_tensor param_tensor(const struct sl_net *net,
                                     const struct sl_param *param, bool linear,
                                     float *flat)
{
    float *data = flat + param->offset;

    if (param->kind != SL_PARAM_WEIGHT) {
        return sl_tensor_make(data, SL_F32, 1, &param->count);
    }
    const struct sl_axis *out = &net->axes[param->axis_out];
    const struct sl_axis *in = &net->axes[param->axis_in];
    bool shared = param->owner < 0;
    const int64_t dims[4] = {shared ? out->full : out->span[param->owner].count,
                             shared ? in->full : in->span[param->owner].count,
                             param->kernel, param->kernel};
    return sl_tensor_make(data, SL_F32, linear ? 2 : 4, dims);
}

/* Number of parameters that the ops up to the producer of `value` own: they are the first
 * ones, since ops and parameters have the same order. */
static int params_until(const struct sl_net *net, int value)
{
    int n = 0;

    for (int i = 0; i <= net->values[value].producer; i++) {
        const struct sl_op *op = &net->ops[i];
        n += ((op->weight >= 0) + (op->bias >= 0)) * (op->is_private ? net->widths.n : 1);
        for (int w = 0; w < net->widths.n; w++) {
            n += (op->scale[w] >= 0) + (op->shift[w] >= 0);
        }
    }
    return n;
}

static bool owns_weight(const struct sl_net *net, const struct sl_op *op, int param)
{
    for (int w = 0; w < (op->is_private ? net->widths.n : 1); w++) {
        if (sl_op_weight(op, w) == param) {
            return true;
        }
    }
    return false;
}

enum sl_status sl_params_state(struct sl_error *err, const struct sl_net *net,
                               float *flat, const char *prefix,
                               struct sl_named_list *list)
{
    return sl_params_state_of(err, net, net->n_values - 1, flat, prefix, list);
}

/* Parameters in the order of creation, found again through the ops that own them. */
enum sl_status sl_params_state_of(struct sl_error *err, const struct sl_net *net,
                                  int value, float *flat, const char *prefix,
                                  struct sl_named_list *list)
{
    int n = params_until(net, value);
    int op = 0;

    for (int i = 0; i < n; i++) {
        const struct sl_param *param = &net->params[i];
        if (param->kind == SL_PARAM_WEIGHT) {
            while (!owns_weight(net, &net->ops[op], i)) {
                op++; /* ops and their weights have the same order */
            }
        }
        bool linear = net->ops[op].kind == SL_OP_LINEAR;
        SL_TRY(state_add(err, list, prefix, param->name, "",
                         param_tensor(net, param, linear, flat)));
    }
    return SL_OK;
}

/* ---- running statistics ------------------------------------------------------------ */

static enum sl_status stats_start(struct sl_error *err, struct sl_stats *stats)
{
    const struct sl_device *device = stats->device;
    int64_t n = stats->net->stats_total;
    float *ones = NULL;

    SL_TRY(sl_heap_alloc(err, "statistics' start", n, sizeof *ones, &ones));
    fill(ones, n, 1.0f);
    device->table->zero(device->state, stats->mean, (size_t)n * sizeof *ones);
    device->table->put(device->state, stats->variance, ones, (size_t)n * sizeof *ones);
    sl_heap_free(ones);
    return SL_OK;
}

enum sl_status sl_stats_create(struct sl_error *err, const struct sl_net *net,
                               const struct sl_device *device, struct sl_stats **stats)
{
    enum sl_status status = SL_OK;
    struct sl_stats *made = NULL;

    *stats = NULL;
    SL_TRY(sl_heap_alloc(err, "statistics", 1, sizeof *made, &made));
    made->net = net;
    made->device = device;
    SL_TRY_OUT(flat_alloc(err, device, "running means", net->stats_total, &made->mean));
    SL_TRY_OUT(
        flat_alloc(err, device, "running variances", net->stats_total, &made->variance));
    SL_TRY_OUT(stats_start(err, made));
    *stats = made;
    made = NULL;
out:
    sl_stats_destroy(made);
    return status;
}

void sl_stats_destroy(struct sl_stats *stats)
{
    if (stats == NULL) {
        return;
    }
    flat_free(stats->device, stats->mean);
    flat_free(stats->device, stats->variance);
    sl_heap_free(stats);
}

enum sl_status sl_stats_state(struct sl_error *err, struct sl_stats *stats,
                              const char *prefix, struct sl_named_list *list)
{
    return sl_stats_state_of(err, stats, stats->net->n_values - 1, prefix, list);
}

enum sl_status sl_stats_state_of(struct sl_error *err, struct sl_stats *stats, int value,
                                 const char *prefix, struct sl_named_list *list)
{
    const struct sl_net *net = stats->net;

    for (int i = 0; i <= net->values[value].producer; i++) {
        const struct sl_op *op = &net->ops[i];
        for (int w = 0; w < net->widths.n && op->norm >= 0; w++) {
            char key[32];
            char suffix[64];
            int64_t count = sl_net_channels(net, op->src, w);
            int64_t offset = net->stats_offset[op->norm * SL_WIDTHS_MAX + w];
            sl_multiplier_key(net->widths.at[w], key, sizeof key);
            snprintf(suffix, sizeof suffix, "@%s.running_mean", key);
            SL_TRY(state_add(err, list, prefix, op->name, suffix,
                             sl_tensor_make(stats->mean + offset, SL_F32, 1, &count)));
            snprintf(suffix, sizeof suffix, "@%s.running_variance", key);
            SL_TRY(
                state_add(err, list, prefix, op->name, suffix,
                          sl_tensor_make(stats->variance + offset, SL_F32, 1, &count)));
        }
    }
    return SL_OK;
}
