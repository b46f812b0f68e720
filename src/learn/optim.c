/* SPDX-License-Identifier: MIT */
/*
 * The optimiser: one rule over the flat parameters (docs/methods.md), and what it
 * remembers of each of them. What an update may write is decided here by ranges: the
 * shared part and the private blocks of the widths that took part; a width that did not
 * is left exactly as it was. Arithmetic is the backend's.
 */
#include "learn/learn.h"

#include <math.h>

enum { SLOTS_MAX = 2, OWNERS_MAX = 1 + SL_WIDTHS_MAX };

/* LARS' step of a tensor is this part of the tensor's own norm. */
static const double trust = 0.001;

struct sl_optim {
    struct sl_optim_config config;
    struct sl_params *params;
    float *slots; /* n_slots(rule) flat arrays: velocity, or AdamW's mean and square */
    /* AdamW: updates so far of the shared parameters, then of each width's private ones.
     * Those that join late start at 1, as PyTorch's do, which counts by tensor. */
    int64_t steps[OWNERS_MAX];
};

static int n_slots(enum sl_optimizer optimizer)
{
    return optimizer == SL_OPTIMIZER_ADAMW ? 2 : 1;
}

static float *slot(const struct sl_optim *optim, int i)
{
    return optim->slots + i * optim->params->net->total;
}

size_t sl_optim_bytes(const struct sl_optim_config *config, const struct sl_net *net)
{
    return (size_t)(n_slots(config->optimizer) * net->total) * sizeof(float);
}

enum sl_status sl_optim_create(struct sl_error *err, const struct sl_optim_config *config,
                               struct sl_params *params, struct sl_optim **optim_pointer)
{
    const struct sl_device *device = params->device;
    struct sl_optim *optim = NULL;
    void *memory = NULL;
    enum sl_status status = SL_OK;
    *optim_pointer = NULL;
    SL_TRY(sl_heap_alloc(err, "optimiser", 1, sizeof(*optim), &optim));
    optim->config = *config;
    optim->params = params;
    SL_TRY_OUT(device->table->alloc(err, device->state, "momentum",
                                    sl_optim_bytes(config, params->net), &memory));
    optim->slots = memory;
    *optim_pointer = optim;
    optim = NULL;
out:
    sl_optim_destroy(optim);
    return status;
}

void sl_optim_destroy(struct sl_optim *optim)
{
    if (optim == NULL) {
        return;
    }
    const struct sl_device *device = optim->params->device;
    if (optim->slots != NULL) {
        device->table->free(device->state, optim->slots);
    }
    sl_heap_free(optim);
}

/* ---- the update -------------------------------------------------------------------- */

/* Neighbours in the flat arrays that are updated alike. */
struct run {
    int64_t begin, end;
    bool exempt; /* from decay, and from LARS' scaling */
};

/* 0.001 ||p|| / ||g + wd p||, or 1 where a norm is 0. */
static double lars_ratio(const struct sl_optim *optim, const struct run *run)
{
    const struct sl_params *params = optim->params;
    const struct sl_device *device = params->device;
    double of_p = 0.0, of_g = 0.0;
    device->table->lars_norms(
        device->state, run->end - run->begin, (float)optim->config.weight_decay,
        params->diff + run->begin, params->weight + run->begin, &of_p, &of_g);
    return of_p > 0.0 && of_g > 0.0 ? trust * sqrt(of_p) / sqrt(of_g) : 1.0;
}

static void update_run(const struct sl_optim *optim, const struct run *run, double lr,
                       int64_t step)
{
    const struct sl_optim_config *config = &optim->config;
    const struct sl_params *params = optim->params;
    const struct sl_device *device = params->device;
    const int64_t begin = run->begin, n = run->end - run->begin;
    const float decay = run->exempt ? 0.0f : (float)config->weight_decay;
    if (n == 0) {
        return;
    }
    float *gradient = params->diff + begin, *weight = params->weight + begin;
    float *first = slot(optim, 0) + begin;
    if (config->optimizer == SL_OPTIMIZER_ADAMW) {
        const struct sl_adamw rule = {.lr = lr,
                                      .beta1 = config->beta1,
                                      .beta2 = config->beta2,
                                      .epsilon = config->epsilon,
                                      .weight_decay =
                                          run->exempt ? 0.0 : config->weight_decay,
                                      .step = step};
        device->table->adamw(device->state, n, &rule, gradient, first,
                             slot(optim, 1) + begin, weight);
    } else if (config->optimizer == SL_OPTIMIZER_LARS && !run->exempt) {
        device->table->lars(device->state, n, (float)lr, (float)config->momentum, decay,
                            (float)lars_ratio(optim, run), gradient, first, weight);
    } else {
        device->table->sgd(device->state, n, (float)lr, (float)config->momentum, decay,
                           gradient, first, weight);
    }
    device->table->zero(device->state, gradient, (size_t)n * sizeof(float));
}

/* Parameters of one owner (-1: shared): tensor by tensor where LARS scales each by its
 * own norm, else as many at a time as are treated alike. */
static void update_owner(struct sl_optim *optim, double lr, int owner)
{
    const struct sl_net *net = optim->params->net;
    const int64_t step = ++optim->steps[1 + owner];
    struct run run = {0};
    for (int i = 0; i < net->n_params; i++) {
        const struct sl_param *param = &net->params[i];
        if (param->owner != owner) {
            continue;
        }
        bool exempt = optim->config.exclude_vectors && param->kind != SL_PARAM_WEIGHT;
        bool alone = optim->config.optimizer == SL_OPTIMIZER_LARS && !exempt;
        if (alone || run.exempt != exempt || run.end != param->offset) {
            update_run(optim, &run, lr, step);
            run = (struct run){param->offset, param->offset, exempt};
        }
        run.end += param->count;
    }
    update_run(optim, &run, lr, step);
}

void sl_optim_update(struct sl_optim *optim, double lr, int first, int end)
{
    update_owner(optim, lr, -1);
    for (int width = first; width < end; width++) {
        update_owner(optim, lr, width);
    }
}

void sl_optim_discard(struct sl_optim *optim)
{
    const struct sl_params *params = optim->params;
    params->device->table->zero(params->device->state, params->diff,
                                (size_t)params->net->total * sizeof(float));
}

/* ---- state ------------------------------------------------------------------------- */

enum sl_status sl_optim_state(struct sl_error *err, struct sl_optim *optim,
                              struct sl_named_list *list)
{
    static const char *const prefixes[SLOTS_MAX] = {"slot.", "slot2."};
    const struct sl_net *net = optim->params->net;
    const int64_t owners = 1 + net->widths.n;
    for (int i = 0; i < n_slots(optim->config.optimizer); i++) {
        SL_TRY(sl_params_state(err, net, slot(optim, i), prefixes[i], list));
    }
    if (optim->config.optimizer != SL_OPTIMIZER_ADAMW) {
        return SL_OK;
    }
    return sl_named_add(err, list, "slot.steps",
                        sl_tensor_make(optim->steps, SL_I64, 1, &owners));
}

enum sl_status sl_optim_restored(struct sl_error *err, const struct sl_optim *optim)
{
    for (int i = 0; i < 1 + optim->params->net->widths.n; i++) {
        if (optim->steps[i] < 0) {
            return SL_FAIL(err, SL_ERROR_RUN,
                           "slot.steps: %lld is negative; the checkpoint is damaged",
                           (long long)optim->steps[i]);
        }
    }
    return SL_OK;
}
