/* SPDX-License-Identifier: MIT */
/*
 * `bench ops`: the cases that were asked for, one JSON line each.
 */
#include "api_int.h"
#include "bench/bench.h"

#include <jansson.h>
#include <string.h>

static json_t *part_json(const struct sl_bench_part *part)
{
    json_t *root = json_object();
    json_object_set_new(root, "best_s", json_real(part->best_s));
    json_object_set_new(root, "median_s", json_real(part->median_s));
    json_object_set_new(root, "runs", json_integer(part->runs));
    if (part->macs > 0.0) {
        json_object_set_new(root, "gflops",
                            json_real(2.0 * part->macs / part->median_s / 1e9));
        json_object_set_new(root, "best_gflops",
                            json_real(2.0 * part->macs / part->best_s / 1e9));
    }
    json_object_set_new(root, "bytes", json_real(part->bytes));
    json_object_set_new(root, "gb_per_sec",
                        json_real(part->bytes / part->median_s / 1e9));
    return root;
}

static json_t *case_json(const struct sl_device *device,
                         const struct sl_bench_case *result)
{
    json_t *root = json_object();
    json_object_set_new(root, "bench", json_string("ops"));
    json_object_set_new(root, "case", json_string(result->text));
    if (result->shape[0] != '\0') {
        json_object_set_new(root, "shape", json_string(result->shape));
    }
    json_object_set_new(root, "device", json_string(device->table->name));
    json_object_set_new(root, "precision",
                        json_string(result->type == SL_BF16 ? "bf16" : "fp32"));
    for (int i = 0; i < result->n_parts; i++) {
        json_object_set_new(root, result->parts[i].name, part_json(&result->parts[i]));
    }
    return root;
}

/* One case: its line goes to `line`, which receives it at once, as a list takes minutes.
 */
static enum sl_status run_case(struct sl_error *err, const char *text,
                               const struct sl_conf *conf, enum sl_dtype type,
                               const struct sl_device *device, slim_line_fn line,
                               void *context)
{
    enum sl_status status = SL_OK;
    struct sl_bench_case result;
    struct sl_text made = {0};
    SL_TRY(sl_bench_ops(err, text, type, device, sl_conf_real(conf, "seconds"), &result));
    SL_TRY_OUT(api_json_add(err, &made, case_json(device, &result)));
    line(context, made.text);
out:
    sl_text_finish(&made);
    return status;
}

/* The cases of a list separated by ';'. */
static enum sl_status run_list(struct sl_error *err, const char *list,
                               const struct sl_conf *conf, enum sl_dtype type,
                               const struct sl_device *device, slim_line_fn line,
                               void *context)
{
    for (const char *at = list; *at != '\0';) {
        char text[2 * SL_BENCH_TEXT] = "";
        at += strspn(at, "; ");
        size_t length = strcspn(at, ";");
        size_t taken = length < sizeof text ? length : sizeof text - 1;
        memcpy(text, at, taken);
        while (taken > 0 && text[taken - 1] == ' ') {
            text[--taken] = '\0';
        }
        if (taken > 0) {
            SL_TRY(run_case(err, text, conf, type, device, line, context));
        }
        at += length;
    }
    return SL_OK;
}

slim_status slim_bench_ops(const slim_options *options, slim_line_fn line, void *context,
                           slim_error *error)
{
    struct sl_error err = {0};
    enum sl_status status = SL_OK;
    struct sl_conf *conf = NULL;
    struct sl_device device = {0};
    enum sl_dtype type = SL_F32;
    SL_TRY_OUT(api_conf_complete(&err, options, &conf));
    SL_TRY_OUT(api_device_open(&err, conf, &device));
    SL_TRY_OUT(api_precision(&err, conf, &device, &type));
    const char *list = sl_conf_text(conf, "case");
    if (list[0] != '\0') {
        status = run_list(&err, list, conf, type, &device, line, context);
        goto out;
    }
    for (int i = 0; sl_bench_case_text(i) != NULL; i++) {
        SL_TRY_OUT(
            run_case(&err, sl_bench_case_text(i), conf, type, &device, line, context));
    }
out:
    sl_device_close(&device);
    sl_conf_destroy(conf);
    return api_leave(&err, status, error);
}
