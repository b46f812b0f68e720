/* SPDX-License-Identifier: MIT */
/*
 * `slimclr bench loader`: the pictures and the recipe of a pretrain command, without the
 * training.
 */
#include "api_int.h"
#include "bench/bench.h"

#include <jansson.h>
#include <string.h>

static enum sl_status print_result(struct sl_error *err,
                                   const struct sl_loader_config *config,
                                   const struct sl_bench_loader_result *result,
                                   struct sl_text *text)
{
    char line[1024];
    json_t *root = json_object();
    json_object_set_new(root, "bench", json_string("loader"));
    json_object_set_new(root, "image_size", json_integer(config->recipe.size));
    json_object_set_new(root, "batch", json_integer(config->batch));
    json_object_set_new(root, "workers", json_integer(config->n_workers));
    json_object_set_new(root, "seconds", json_real(result->seconds));
    json_object_set_new(root, "views_per_sec", json_real(result->views_per_sec));
    json_object_set_new(root, "views_per_cpu_sec", json_real(result->views_per_cpu_sec));
    json_object_set_new(root, "decode_ms", json_real(result->decode_ms));
    json_object_set_new(root, "augment_ms", json_real(result->augment_ms));
    json_object_set_new(root, "ring_mb", json_real((double)result->memory.ring / 1e6));
    json_object_set_new(root, "workers_mb",
                        json_real((double)result->memory.workers / 1e6));
    json_object_set_new(root, "peak_rss_mb", json_real((double)result->peak_rss / 1e6));
    size_t length =
        json_dumpb(root, line, sizeof line, JSON_COMPACT | JSON_REAL_PRECISION(7));
    json_decref(root);
    if (length == 0 || length > sizeof line) {
        return SL_FAIL(err, SL_ERROR_RUN, "the result does not fit into its text");
    }
    sl_text_add_bytes(text, line, length);
    sl_text_add(text, "\n");
    return SL_OK;
}

slim_status slim_bench_loader(const slim_options *options, const char *const *data,
                              int n_data, char **out, slim_error *error)
{
    struct sl_error err = {0};
    enum sl_status status = SL_OK;
    struct sl_conf *conf = NULL;
    struct sl_source *source = NULL;
    struct sl_device device = {0}; /* only asked what it could compute in */
    struct api_pictures pictures;
    struct api_settings settings;
    struct sl_bench_loader_result result;
    struct sl_text text = {0};
    double max_bad = 0.0;
    *out = NULL;
    SL_TRY_OUT(api_conf_complete(&err, options, &conf));
    SL_TRY_OUT(api_pictures_open(&err, conf, data, n_data, &source, &pictures));
    SL_TRY_OUT(api_device_open(&err, conf, &device));
    SL_TRY_OUT(api_settings_resolve(&err, conf, &pictures, &device, &settings));
    SL_TRY_OUT(
        api_parse_fraction(&err, sl_conf_text(conf, "max-bad"), "--max-bad", &max_bad));
    const struct sl_loader_config config = {
        .source = source,
        .recipe = settings.recipe,
        .n_views = sl_method_info(settings.trainer.method)->n_views,
        .batch = settings.trainer.batch,
        .n_workers = settings.workers,
        .seed = settings.trainer.seed,
        .end_step = INT64_MAX,
        .bad_policy = api_bad_policy(conf),
        .max_bad = max_bad,
    };
    SL_TRY_OUT(sl_bench_loader(&err, &config, sl_conf_real(conf, "seconds"), &result));
    SL_TRY_OUT(print_result(&err, &config, &result, &text));
    SL_TRY_OUT(api_text_out(&err, &text, out));
out:
    sl_text_finish(&text);
    sl_source_close(source);
    sl_device_close(&device);
    sl_conf_destroy(conf);
    return api_leave(&err, status, error);
}
