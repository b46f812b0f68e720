/* SPDX-License-Identifier: MIT */
/*
 * The test error of one width at points around a model: pictures are read and laid out
 * once, then each point writes its parameters, runs both parts forward in evaluation mode
 * and judges. Norms keep the final model's scales, shifts and running statistics, since
 * the directions are 0 there.
 */
#include "analyse/analyse.h"

#include <string.h>

/* One part of the data: views on the host, and its outputs at the present point. */
struct part {
    float *views; /* (n, picture) */
    struct sl_features outputs;
    int64_t n;
};

struct sl_surface {
    struct sl_surface_config config;
    struct sl_plan *plan;
    void *block, *pictures;
    int64_t picture; /* values of one */
    struct part bank, test;
    float *point; /* parameters on the host */
};

/* ---- opening ----------------------------------------------------------------------- */

static enum sl_status read_part(struct sl_error *err, const struct sl_surface *surface,
                                const struct sl_source *source, struct part *part)
{
    const struct sl_surface_config *config = &surface->config;
    enum sl_status status = SL_OK;
    struct sl_loader *loader = NULL;
    int64_t most = sl_source_count(source);
    int64_t values = 0;
    int d = sl_plan_output_channels(surface->plan);
    if (!sl_mul_checked(most, surface->picture, &values)) {
        return SL_FAIL(err, SL_ERROR_RUN,
                       "%lld pictures do not fit in memory; lower "
                       "--limit",
                       (long long)most);
    }
    part->outputs.d = d;
    SL_TRY(sl_heap_alloc(err, "pictures", values, sizeof(float), &part->views));
    SL_TRY(sl_heap_alloc(err, "outputs", most * d, sizeof(float), &part->outputs.values));
    SL_TRY(sl_heap_alloc(err, "labels", most, sizeof(int32_t), &part->outputs.labels));
    SL_TRY(sl_heap_alloc(err, "ids", most, sizeof(int32_t), &part->outputs.ids));
    SL_TRY_OUT(sl_loader_create(err,
                                &(struct sl_loader_config){.source = source,
                                                           .recipe = config->view,
                                                           .n_views = 1,
                                                           .batch = config->batch,
                                                           .n_workers = config->n_workers,
                                                           .sequential = true,
                                                           .bad_policy = SL_BAD_SKIP,
                                                           .max_bad = 1.0},
                                &loader));
    for (;;) {
        struct sl_batch batch;
        SL_TRY_OUT(sl_loader_acquire(err, loader, &batch, NULL));
        if (batch.rows == 0) {
            break;
        }
        size_t rows = (size_t)batch.rows;
        memcpy(part->views + part->n * surface->picture, batch.views[0],
               rows * (size_t)surface->picture * sizeof(float));
        memcpy(part->outputs.labels + part->n, batch.labels, rows * sizeof(int32_t));
        memcpy(part->outputs.ids + part->n, batch.ids, rows * sizeof(int32_t));
        part->n += batch.rows;
        sl_loader_release(loader);
    }
    part->outputs.n = part->n;
    if (part->n == 0) {
        status = SL_FAIL(err, SL_ERROR_DATA,
                         "surface: no picture of the data can be "
                         "read");
    }
out:
    sl_loader_destroy(loader);
    return status;
}

static enum sl_status open_surface(struct sl_error *err, struct sl_surface *surface)
{
    const struct sl_surface_config *config = &surface->config;
    const struct sl_backend *table = config->device->table;
    void *state = config->device->state;
    int64_t side = config->view.size;
    bool pooled = config->features && !config->classifier;
    surface->picture = side * side * config->view.channels;
    SL_TRY(sl_plan_create(
        err,
        &(struct sl_plan_config){
            .net = config->net,
            .device = config->device,
            .width = config->width,
            .batch = config->batch,
            .role = SL_ROLE_INFER,
            .groups = 1,
            .output = pooled ? config->net->features : config->net->projection,
            .type = config->type,
        },
        &surface->plan));
    SL_TRY(table->alloc(err, state, "evaluation", sl_plan_bytes(surface->plan),
                        &surface->block));
    sl_plan_attach(surface->plan, surface->block);
    SL_TRY(table->alloc(
        err, state, "pictures",
        (size_t)(surface->picture * config->batch * sl_dtype_bytes(config->type)),
        &surface->pictures));
    SL_TRY(sl_heap_alloc(err, "a point's parameters", config->net->total, sizeof(float),
                         &surface->point));
    if (!config->classifier) {
        SL_TRY(read_part(err, surface, config->bank, &surface->bank));
    }
    return read_part(err, surface, config->test, &surface->test);
}

enum sl_status sl_surface_open(struct sl_error *err,
                               const struct sl_surface_config *config,
                               struct sl_surface **surface)
{
    struct sl_surface *made = NULL;
    *surface = NULL;
    SL_TRY(sl_heap_alloc(err, "surface", 1, sizeof *made, &made));
    made->config = *config;
    enum sl_status status = open_surface(err, made);
    if (status != SL_OK) {
        sl_surface_close(made);
        return status;
    }
    *surface = made;
    return SL_OK;
}

void sl_surface_close(struct sl_surface *surface)
{
    if (surface == NULL) {
        return;
    }
    const struct sl_device *device = surface->config.device;
    sl_plan_destroy(surface->plan);
    if (surface->block != NULL) {
        device->table->free(device->state, surface->block);
    }
    if (surface->pictures != NULL) {
        device->table->free(device->state, surface->pictures);
    }
    sl_heap_free(surface->bank.views);
    sl_heap_free(surface->test.views);
    sl_features_finish(&surface->bank.outputs);
    sl_features_finish(&surface->test.outputs);
    sl_heap_free(surface->point);
    sl_heap_free(surface);
}

/* ---- one point --------------------------------------------------------------------- */

/* Outputs of a part; false when one of them is not finite. */
static bool run_part(struct sl_surface *surface, struct part *part)
{
    const struct sl_surface_config *config = &surface->config;
    const struct sl_device *device = config->device;
    int64_t d = part->outputs.d;
    for (int64_t first = 0; first < part->n; first += config->batch) {
        int64_t rows = part->n - first < config->batch ? part->n - first : config->batch;
        device->table->put_map(device->state, config->type, rows * surface->picture,
                               part->views + first * surface->picture, surface->pictures);
        const float *output = sl_exec_forward(surface->plan, config->params,
                                              config->stats, surface->pictures);
        device->table->get(device->state, part->outputs.values + first * d, output,
                           (size_t)(rows * d) * sizeof(float));
    }
    return sl_features_first_nonfinite(&part->outputs) < 0;
}

enum sl_status sl_surface_error(struct sl_error *err, struct sl_surface *surface,
                                const float *final,
                                const struct sl_directions *directions, double x,
                                double y, double *error)
{
    const struct sl_surface_config *config = &surface->config;
    const struct sl_device *device = config->device;
    for (int64_t i = 0; i < config->net->total; i++) {
        surface->point[i] = (float)((double) final[i] + x * (double)directions->d[0][i] +
                                    y * (double)directions->d[1][i]);
    }
    device->table->put(device->state, config->params->weight, surface->point,
                       (size_t)config->net->total * sizeof(float));
    sl_exec_refresh(surface->plan, config->params);
    struct sl_score score;
    *error = 100.0;
    if (!run_part(surface, &surface->test)) {
        return SL_OK;
    }
    if (config->classifier) {
        SL_TRY(sl_score_logits(err, &surface->test.outputs, &score));
        *error = 100.0 * (1.0 - score.acc1);
        return SL_OK;
    }
    if (!run_part(surface, &surface->bank)) {
        return SL_OK;
    }
    int used = 0;
    SL_TRY(sl_knn(err, device,
                  &(struct sl_knn_config){.n_classes = config->n_classes,
                                          .k = config->knn_k,
                                          .temperature = config->knn_t},
                  &surface->bank.outputs, &surface->test.outputs, &score, &used));
    *error = 100.0 * (1.0 - score.acc1);
    return SL_OK;
}
