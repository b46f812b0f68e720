/* SPDX-License-Identifier: MIT */
/*
 * Features of a source: every batch is read once and run at each width in evaluation
 * mode; raw pixels, shrunk, as the baseline. Parameters and statistics are only read.
 * Each width keeps its own block, so that its weights are packed once.
 */
#include "eval/eval.h"

#include <math.h>
#include <string.h>

/* Sets the random views of one epoch apart from another's: a sequential pass has no
 * epochs of its own. */
static const uint64_t EPOCH_STEP = UINT64_C(0x9e3779b97f4a7c15);

void sl_features_finish(struct sl_features *features)
{
    sl_heap_free(features->values);
    sl_heap_free(features->labels);
    sl_heap_free(features->ids);
    *features = (struct sl_features){0};
}

int64_t sl_features_first_nonfinite(const struct sl_features *features)
{
    for (int64_t i = 0; i < features->n * features->d; i++) {
        if (!isfinite(features->values[i])) {
            return i / features->d;
        }
    }
    return -1;
}

static enum sl_status make_features(struct sl_error *err, int64_t n, int d,
                                    struct sl_features *features)
{
    int64_t count = 0;
    *features = (struct sl_features){.d = d};
    if (!sl_mul_checked(n, d, &count)) {
        return SL_FAIL(err, SL_ERROR_RUN, "features of %lld pictures x %d do not fit",
                       (long long)n, d);
    }
    SL_TRY(sl_heap_alloc(err, "features", count, sizeof(float), &features->values));
    SL_TRY(sl_heap_alloc(err, "feature labels", n, sizeof(int32_t), &features->labels));
    return sl_heap_alloc(err, "feature ids", n, sizeof(int32_t), &features->ids);
}

static struct sl_loader_config loader_config(const struct sl_features_config *config)
{
    return (struct sl_loader_config){
        .source = config->source,
        .recipe = config->recipe,
        .n_views = 1,
        .batch = config->batch,
        .n_workers = config->n_workers,
        .seed = config->seed + EPOCH_STEP * config->epoch,
        .sequential = true,
        .bad_policy = SL_BAD_SKIP,
        .max_bad = 1.0,
        .subset = config->subset,
        .n_subset = config->n_subset,
    };
}

static enum sl_status open_loader(struct sl_error *err,
                                  const struct sl_features_config *config,
                                  struct sl_loader **loader)
{
    const struct sl_loader_config described = loader_config(config);
    return sl_loader_create(err, &described, loader);
}

static int64_t count_of(const struct sl_features_config *config)
{
    return config->subset != NULL ? config->n_subset : sl_source_count(config->source);
}

static enum sl_status ask(struct sl_error *err, const struct sl_features_config *config,
                          int64_t done)
{
    return config->go_on == NULL || config->go_on(config->go_on_context, done)
               ? SL_OK
               : SL_FAIL(err, SL_STOPPED, "stopped; nothing was written");
}

/* The plans of one pass. */
struct passes {
    struct sl_plan *plan[SL_WIDTHS_MAX];
    void *block[SL_WIDTHS_MAX];
    void *pictures; /* (batch, size, size, channels) of the model's type in backend memory
                     */
    int64_t picture; /* values of one */
};

static enum sl_status make_plan(struct sl_error *err, const struct sl_frozen *model,
                                const struct sl_features_config *config, int width,
                                struct sl_plan **plan)
{
    return sl_plan_create(
        err,
        &(struct sl_plan_config){
            .net = model->net,
            .device = model->device,
            .width = width,
            .batch = config->batch,
            .role = SL_ROLE_INFER,
            .groups = 1,
            .output = config->head ? model->net->projection : model->net->features,
            .type = model->type,
        },
        plan);
}

static int64_t picture_values(const struct sl_features_config *config)
{
    return (int64_t)config->recipe.size * config->recipe.size * config->recipe.channels;
}

static enum sl_status open_passes(struct sl_error *err, const struct sl_frozen *model,
                                  const struct sl_features_config *config,
                                  const int *widths, int n_widths, struct passes *passes)
{
    const struct sl_device *device = model->device;
    for (int i = 0; i < n_widths; i++) {
        SL_TRY(make_plan(err, model, config, widths[i], &passes->plan[i]));
        SL_TRY(device->table->alloc(err, device->state, "evaluation",
                                    sl_plan_bytes(passes->plan[i]), &passes->block[i]));
        sl_plan_attach(passes->plan[i], passes->block[i]);
        sl_exec_refresh(passes->plan[i], model->params);
    }
    passes->picture = picture_values(config);
    return device->table->alloc(
        err, device->state, "pictures",
        (size_t)(passes->picture * config->batch * sl_dtype_bytes(model->type)),
        &passes->pictures);
}

static void close_passes(const struct sl_device *device, struct passes *passes)
{
    for (int i = 0; i < SL_WIDTHS_MAX; i++) {
        sl_plan_destroy(passes->plan[i]);
        if (passes->block[i] != NULL) {
            device->table->free(device->state, passes->block[i]);
        }
    }
    if (passes->pictures != NULL) {
        device->table->free(device->state, passes->pictures);
    }
}

/* Rows behind a short last batch hold old pictures; their outputs are dropped. */
static void run_batch(const struct sl_frozen *model, const struct passes *passes,
                      const struct sl_batch *batch, int n_widths,
                      struct sl_features *features)
{
    const struct sl_device *device = model->device;
    size_t rows = (size_t)batch->rows;
    device->table->put_map(device->state, model->type, passes->picture * batch->rows,
                           batch->views[0], passes->pictures);
    for (int i = 0; i < n_widths; i++) {
        struct sl_features *to = &features[i];
        const float *output = sl_exec_forward(passes->plan[i], model->params,
                                              model->stats, passes->pictures);
        device->table->get(device->state, to->values + to->n * to->d, output,
                           rows * (size_t)to->d * sizeof(float));
        memcpy(to->labels + to->n, batch->labels, rows * sizeof *to->labels);
        memcpy(to->ids + to->n, batch->ids, rows * sizeof *to->ids);
        to->n += batch->rows;
    }
}

enum sl_status sl_features_compute(struct sl_error *err, const struct sl_frozen *model,
                                   const struct sl_features_config *config,
                                   const int *widths, int n_widths,
                                   struct sl_features *features, int64_t *n_bad)
{
    enum sl_status status = SL_OK;
    struct passes passes = {0};
    struct sl_loader *loader = NULL;
    memset(features, 0, sizeof *features * (size_t)n_widths);
    SL_TRY_OUT(open_passes(err, model, config, widths, n_widths, &passes));
    for (int i = 0; i < n_widths; i++) {
        SL_TRY_OUT(make_features(err, count_of(config),
                                 sl_plan_output_channels(passes.plan[i]), &features[i]));
        features[i].first = sl_net_first_channel(
            model->net, config->head ? model->net->projection : model->net->features,
            widths[i]);
    }
    SL_TRY_OUT(open_loader(err, config, &loader));
    for (;;) {
        struct sl_batch batch;
        SL_TRY_OUT(sl_loader_acquire(err, loader, &batch, NULL));
        if (batch.rows == 0) {
            break;
        }
        run_batch(model, &passes, &batch, n_widths, features);
        sl_loader_release(loader);
        SL_TRY_OUT(ask(err, config, features[0].n));
    }
    *n_bad = sl_loader_bad_count(loader);
    if (features[0].n == 0) {
        status =
            SL_FAIL(err, SL_ERROR_DATA, "evaluation: no picture of the data can be read");
    }
out:
    sl_loader_destroy(loader);
    close_passes(model->device, &passes);
    for (int i = 0; status != SL_OK && i < n_widths; i++) {
        sl_features_finish(&features[i]);
    }
    return status;
}

enum sl_status sl_features_plan_memory(struct sl_error *err,
                                       const struct sl_frozen *model,
                                       const struct sl_features_config *config,
                                       const int *widths, int n_widths,
                                       struct sl_features_memory *memory)
{
    const struct sl_loader_config described = loader_config(config);
    struct sl_loader_memory loader = sl_loader_plan_memory(&described);
    size_t n = (size_t)count_of(config);
    *memory = (struct sl_features_memory){
        .pass = loader.ring + loader.workers +
                (size_t)(picture_values(config) * config->batch *
                         sl_dtype_bytes(model->type))};
    for (int i = 0; i < n_widths; i++) {
        struct sl_plan *plan = NULL;
        SL_TRY(make_plan(err, model, config, widths[i], &plan));
        size_t d = (size_t)sl_plan_output_channels(plan);
        memory->pass += sl_plan_bytes(plan);
        memory->features += n * (d * sizeof(float) + 2 * sizeof(int32_t));
        sl_plan_destroy(plan);
    }
    return SL_OK;
}

/* ---- raw pixels -------------------------------------------------------------------- */

int sl_raw_side(int size)
{
    return size < SL_RAW_SIDE_MOST ? size : (int)SL_RAW_SIDE_MOST;
}

/* How much of pixel i lies between two places on its axis. */
static double overlap(int i, double from, double to)
{
    return fmin(to, (double)i + 1.0) - fmax(from, (double)i);
}

/* A square picture (side, side, channels) made smaller, (to, to, channels): each new
 * pixel is the mean of the old ones below it, weighted by the area that lies below it. */
static void area_average(const float *src, int side, int channels, int to, float *dst)
{
    double scale = (double)side / to;
    for (int y = 0; y < to; y++) {
        double top = y * scale;
        double bottom = (y + 1) * scale;
        for (int x = 0; x < to; x++) {
            double left = x * scale;
            double right = (x + 1) * scale;
            double sum[3] = {0.0, 0.0, 0.0};
            for (int i = (int)top; i < side && i < bottom; i++) {
                for (int j = (int)left; j < side && j < right; j++) {
                    const float *pixel =
                        src + ((size_t)i * (size_t)side + (size_t)j) * (size_t)channels;
                    double area = overlap(i, top, bottom) * overlap(j, left, right);
                    for (int c = 0; c < channels; c++) {
                        sum[c] += area * (double)pixel[c];
                    }
                }
            }
            for (int c = 0; c < channels; c++) {
                *dst++ = (float)(sum[c] / (scale * scale));
            }
        }
    }
}

enum sl_status sl_features_raw(struct sl_error *err,
                               const struct sl_features_config *config,
                               struct sl_features *features)
{
    enum sl_status status = SL_OK;
    struct sl_loader *loader = NULL;
    struct sl_features_config plain = *config;
    int size = config->recipe.size;
    int side = sl_raw_side(size);
    int channels = config->recipe.channels;
    int d = side * side * channels;
    for (int c = 0; c < 3; c++) {
        plain.recipe.mean[c] = 0.0F;
        plain.recipe.std[c] = 1.0F;
    }
    SL_TRY_OUT(make_features(err, count_of(config), d, features));
    SL_TRY_OUT(open_loader(err, &plain, &loader));
    for (;;) {
        struct sl_batch batch;
        SL_TRY_OUT(sl_loader_acquire(err, loader, &batch, NULL));
        if (batch.rows == 0) {
            break;
        }
        for (int row = 0; row < batch.rows; row++) {
            const float *view = batch.views[0] + (size_t)row * (size_t)size *
                                                     (size_t)size * (size_t)channels;
            area_average(view, size, channels, side,
                         features->values + (features->n + row) * d);
        }
        size_t rows = (size_t)batch.rows;
        memcpy(features->labels + features->n, batch.labels, rows * sizeof(int32_t));
        memcpy(features->ids + features->n, batch.ids, rows * sizeof(int32_t));
        features->n += batch.rows;
        sl_loader_release(loader);
        SL_TRY_OUT(ask(err, config, features->n));
    }
out:
    sl_loader_destroy(loader);
    if (status != SL_OK) {
        sl_features_finish(features);
    }
    return status;
}

enum { COLUMN_BLOCK = 512 };

static void subtract(struct sl_features *features, int first, int columns,
                     const double *mean)
{
    for (int64_t i = 0; i < features->n; i++) {
        float *row = features->values + i * features->d + first;
        for (int c = 0; c < columns; c++) {
            row[c] -= (float)mean[c];
        }
    }
}

/* Block by block of columns, so that rows are read along their length. */
void sl_features_centre(struct sl_features *train, struct sl_features *test)
{
    SL_ASSERT(train->d == test->d);
    for (int first = 0; train->n > 0 && first < train->d; first += COLUMN_BLOCK) {
        int columns =
            train->d - first < COLUMN_BLOCK ? train->d - first : (int)COLUMN_BLOCK;
        double mean[COLUMN_BLOCK] = {0};
        for (int64_t i = 0; i < train->n; i++) {
            const float *row = train->values + i * train->d + first;
            for (int c = 0; c < columns; c++) {
                mean[c] += (double)row[c];
            }
        }
        for (int c = 0; c < columns; c++) {
            mean[c] /= (double)train->n;
        }
        subtract(train, first, columns, mean);
        subtract(test, first, columns, mean);
    }
}
