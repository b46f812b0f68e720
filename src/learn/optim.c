/* SPDX-License-Identifier: MIT */
/*
 * The optimiser: one rule over the flat parameters, and what it remembers of each of
 * them. What an update may write is decided here by ranges: the shared part and the
 * private blocks of the widths that took part; a width that did not is left exactly as it
 * was (spec 6.4, 19.4). Arithmetic is the backend's.
 */
#include "learn/learn.h"

struct sl_optim {
    struct sl_optim_config config;
    struct sl_params *params;
    float *slot;
};

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
    optim->slot = memory;
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
    if (optim->slot != NULL) {
        device->table->free(device->state, optim->slot);
    }
    sl_heap_free(optim);
}

size_t sl_optim_bytes(const struct sl_optim_config *config, const struct sl_net *net)
{
    (void)config;
    return (size_t)net->total * sizeof(float);
}

/* ---- the update -------------------------------------------------------------------- */

static void update_range(const struct sl_optim *optim, double lr, int64_t begin,
                         int64_t end)
{
    const struct sl_params *params = optim->params;
    const struct sl_device *device = params->device;
    if (end <= begin) {
        return;
    }
    device->table->sgd(device->state, end - begin, (float)lr,
                       (float)optim->config.momentum, (float)optim->config.weight_decay,
                       params->diff + begin, optim->slot + begin, params->weight + begin);
    device->table->zero(device->state, params->diff + begin,
                        (size_t)(end - begin) * sizeof(float));
}

void sl_optim_update(struct sl_optim *optim, double lr, int first, int end)
{
    const struct sl_net *net = optim->params->net;
    update_range(optim, lr, 0, net->shared);
    for (int width = first; width < end; width++) {
        update_range(optim, lr, net->private_begin[width], net->private_end[width]);
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
    return sl_params_state(err, optim->params->net, optim->slot, "slot.", list);
}

enum sl_status sl_optim_restored(struct sl_error *err, const struct sl_optim *optim)
{
    (void)err;
    (void)optim;
    return SL_OK;
}
