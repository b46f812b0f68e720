/* SPDX-License-Identifier: MIT */
/*
 * A checkpoint opened for use: the net its settings describe, with its parameters and
 * statistics, frozen. Both evaluation and the public slim_model_* functions stand on
 * api_model.
 */
#include "api_int.h"

#include <string.h>

static enum sl_status take_classes(struct sl_error *err,
                                   const struct sl_tensor_file *file,
                                   struct api_model *model)
{
    if (!api_model_classifies(model)) {
        return SL_OK;
    }
    SL_TRY(sl_checkpoint_classes(err, file, &model->classes));
    int n = model->classes.n;
    return n == 0 || n == model->resnet.dim
               ? SL_OK
               : SL_FAIL(err, SL_ERROR_RUN,
                         "%s: names %d classes, and its classifier has %d: damaged",
                         model->path, n, model->resnet.dim);
}

enum sl_status api_model_open(struct sl_error *err, const char *run_or_file,
                              int image_size, struct sl_conf *device_conf,
                              struct api_model *model)
{
    enum sl_status status = SL_OK;
    struct sl_tensor_file *file = NULL;
    struct sl_named_list state = {0};
    *model = (struct api_model){0};

    SL_TRY_OUT(sl_checkpoint_find(err, run_or_file, model->path, sizeof model->path));
    SL_TRY_OUT(sl_checkpoint_open(err, model->path, &file));
    SL_TRY_OUT(api_table_create(err, "pretrain", &model->table));
    SL_TRY_OUT(sl_conf_create(err, model->table.keys, model->table.n, &model->conf));
    SL_TRY_OUT(sl_conf_parse(err, model->conf, sl_checkpoint_conf(file), model->path,
                             SL_FROM_FILE));
    SL_TRY_OUT(
        api_settings_frozen(err, model->conf, image_size, &model->resnet, &model->view));
    SL_TRY_OUT(api_device_open(err, device_conf, &model->device));
    if (device_conf != NULL) {
        SL_TRY_OUT(api_precision(err, device_conf, &model->device, &model->type));
    }
    SL_TRY_OUT(sl_resnet_build(err, &model->resnet, &model->net));
    SL_TRY_OUT(sl_params_create(err, model->net, &model->device, false, &model->params));
    SL_TRY_OUT(sl_stats_create(err, model->net, &model->device, &model->stats));
    SL_TRY_OUT(sl_params_state(err, model->net, model->params->weight, "", &state));
    SL_TRY_OUT(sl_stats_state(err, model->stats, "", &state));
    SL_TRY_OUT(sl_checkpoint_restore(err, file, &model->device, &state, false));
    SL_TRY_OUT(take_classes(err, file, model));
    const struct sl_named *step = sl_named_find(sl_tensor_file_list(file), "step");
    if (step != NULL && step->tensor.dtype == SL_I64 &&
        sl_tensor_count(&step->tensor) == 1) {
        memcpy(&model->step, step->tensor.data, sizeof model->step);
    }
out:
    sl_named_finish(&state);
    sl_tensor_file_close(file);
    if (status != SL_OK) {
        api_model_close(model);
    }
    return status;
}

bool api_is_of_trunk(const char *name)
{
    static const char prefix[] = "encoder.";
    return strncmp(name, prefix, sizeof prefix - 1) == 0;
}

bool api_model_classifies(const struct api_model *model)
{
    return model->resnet.head == SL_HEAD_CLASSIFIER ||
           model->resnet.head == SL_HEAD_CLASSIFIERS;
}

void api_model_close(struct api_model *model)
{
    sl_classes_finish(&model->classes);
    sl_stats_destroy(model->stats);
    sl_params_destroy(model->params);
    sl_net_destroy(model->net);
    sl_device_close(&model->device);
    sl_conf_destroy(model->conf);
    api_table_finish(&model->table);
    *model = (struct api_model){0};
}

/* ---- the public functions ---------------------------------------------------------- */

/* One picture at a time goes through its width's plan: small devices embed what the
 * camera gives. */
struct slim_model {
    struct api_model model;
    struct sl_plan *plan[SL_WIDTHS_MAX];
    void *block[SL_WIDTHS_MAX];
    void *picture;
    struct sl_arena *arena;
};

void slim_model_close(slim_model *model)
{
    if (model == NULL) {
        return;
    }
    for (int i = 0; i < SL_WIDTHS_MAX; i++) {
        sl_plan_destroy(model->plan[i]);
        if (model->block[i] != NULL) {
            model->model.device.table->free(model->model.device.state, model->block[i]);
        }
    }
    if (model->picture != NULL) {
        model->model.device.table->free(model->model.device.state, model->picture);
    }
    sl_arena_destroy(model->arena);
    api_model_close(&model->model);
    sl_heap_free(model);
}

static enum sl_status open_plans(struct sl_error *err, slim_model *model)
{
    const struct api_model *inner = &model->model;
    size_t side = (size_t)inner->resnet.image_size;
    size_t channels = (size_t)inner->resnet.channels;
    for (int i = 0; i < inner->net->widths.n; i++) {
        SL_TRY(sl_plan_create(err,
                              &(struct sl_plan_config){.net = inner->net,
                                                       .device = &inner->device,
                                                       .width = i,
                                                       .batch = 1,
                                                       .role = SL_ROLE_INFER,
                                                       .groups = 1,
                                                       .output = inner->net->features},
                              &model->plan[i]));
        SL_TRY(inner->device.table->alloc(err, inner->device.state, "model",
                                          sl_plan_bytes(model->plan[i]),
                                          &model->block[i]));
        sl_plan_attach(model->plan[i], model->block[i]);
        sl_exec_refresh(model->plan[i], inner->params);
    }
    SL_TRY(inner->device.table->alloc(err, inner->device.state, "picture",
                                      side * side * channels * sizeof(float),
                                      &model->picture));
    return sl_arena_create(err, (size_t)1 << 20, &model->arena);
}

slim_status slim_model_open(const char *run_or_file, slim_model **model,
                            slim_error *error)
{
    struct sl_error err = {0};
    enum sl_status status = SL_OK;
    slim_model *made = NULL;
    *model = NULL;
    SL_TRY_OUT(sl_heap_alloc(&err, "model", 1, sizeof *made, &made));
    SL_TRY_OUT(api_model_open(&err, run_or_file, 0, NULL, &made->model));
    SL_TRY_OUT(open_plans(&err, made));
    *model = made;
    made = NULL;
out:
    slim_model_close(made);
    return api_leave(&err, status, error);
}

int slim_model_widths(const slim_model *model)
{
    return model->model.net->widths.n;
}

slim_status slim_model_width(const slim_model *model, int i, double *width,
                             int *dimension, int64_t *params, int64_t *macs)
{
    const struct sl_net *net = model->model.net;
    if (i < 0 || i >= net->widths.n) {
        return SLIM_ERROR_USAGE;
    }
    int64_t n_params = 0;
    int64_t n_macs = 0;
    sl_net_cost(net, net->features, i, &n_params, &n_macs);
    if (width != NULL) {
        *width = sl_multiplier_value(net->widths.at[i]);
    }
    if (dimension != NULL) {
        *dimension = sl_net_channels(net, net->features, i);
    }
    if (params != NULL) {
        *params = n_params;
    }
    if (macs != NULL) {
        *macs = n_macs;
    }
    return SLIM_OK;
}

int slim_model_pick(const slim_model *model, int64_t max_macs)
{
    int n = slim_model_widths(model);
    for (int i = 0; i < n; i++) {
        int64_t macs = 0;
        if (slim_model_width(model, i, NULL, NULL, NULL, &macs) == SLIM_OK &&
            macs <= max_macs) {
            return i;
        }
    }
    return n - 1;
}

static enum sl_status embed_one(struct sl_error *err, slim_model *model, int width,
                                const struct sl_image *image, float *features)
{
    const struct api_model *inner = &model->model;
    size_t side = (size_t)inner->resnet.image_size;
    size_t numbers = side * side * (size_t)inner->resnet.channels;
    struct sl_image picture = *image;
    float *view = NULL;
    sl_arena_reset_all(model->arena);
    SL_TRY(sl_arena_alloc(err, model->arena, (int64_t)numbers, sizeof *view, &view));
    SL_TRY(sl_pixels_set_channels(err, model->arena, &picture, inner->resnet.channels));
    SL_TRY(sl_augment(err, &inner->view, &picture, 0, 0, 0, 0, model->arena, view));
    inner->device.table->put(inner->device.state, model->picture, view,
                             numbers * sizeof *view);
    const float *output =
        sl_exec_forward(model->plan[width], inner->params, inner->stats, model->picture);
    inner->device.table->get(inner->device.state, features, output,
                             (size_t)sl_plan_output_channels(model->plan[width]) *
                                 sizeof *features);
    return SL_OK;
}

slim_status slim_model_embed(slim_model *model, int i, const unsigned char *pixels, int n,
                             int height, int width, float *features, slim_error *error)
{
    struct sl_error err = {0};
    enum sl_status status = SL_OK;
    if (i < 0 || i >= slim_model_widths(model) || n < 0 || height < 1 || width < 1) {
        status = SL_FAIL(&err, SL_ERROR_USAGE,
                         "embed: width index %d, %d pictures of %d x %d: out of range", i,
                         n, height, width);
        goto out;
    }
    size_t picture_bytes = (size_t)height * (size_t)width * 3;
    int dimension = sl_plan_output_channels(model->plan[i]);
    for (int row = 0; row < n; row++) {
        /* The view functions take an image they may change, and leave an evaluation
         * source as it is. */
        struct sl_image image = {.height = height, .width = width, .channels = 3};
        void *copy = NULL;
        SL_TRY_OUT(sl_heap_alloc(&err, "picture", (int64_t)picture_bytes, 1, &copy));
        memcpy(copy, pixels + (size_t)row * picture_bytes, picture_bytes);
        image.pixels = copy;
        status =
            embed_one(&err, model, i, &image, features + (size_t)row * (size_t)dimension);
        sl_heap_free(copy);
        if (status != SL_OK) {
            goto out;
        }
    }
out:
    return api_leave(&err, status, error);
}
