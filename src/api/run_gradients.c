/* SPDX-License-Identifier: MIT */
/*
 * Gradient measures of a run in files: graddiag.jsonl (an object a measured step),
 * graddiag.txt (the published text: docs/analyse.md) and graddiag_head.f32 (the head's
 * last gradient, a record of raw floats a line). A record is written before its line, so
 * that every line has its record.
 */
#include "run_int.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

static const char *const files[] = {"graddiag.jsonl", "graddiag.txt",
                                    "graddiag_head.f32"};
enum { LINES, TEXT, HEAD, FILES };
static const int64_t FILE_MOST = (int64_t)1 << 32;

const char *api_run_gradients_file(int i)
{
    return i < FILES ? files[i] : NULL;
}

static enum sl_status path_of(struct sl_error *err, const struct api_run *run, int file,
                              char path[RUN_PATH_LENGTH])
{
    return sl_path_join(path, RUN_PATH_LENGTH, run->directory, files[file])
               ? SL_OK
               : SL_FAIL(err, SL_ERROR_RUN, "%s: path too long", run->directory);
}

/* ---- going on ---------------------------------------------------------------------- */

/* The text keeps the lines of as many records as there are JSON lines. */
static enum sl_status cut_text(struct sl_error *err, const char *path, int64_t lines)
{
    unsigned char *bytes = NULL;
    int64_t size = 0;
    int64_t keep = 0;
    if (sl_path_kind(path) == SL_PATH_MISSING) {
        return SL_OK;
    }
    SL_TRY(sl_file_read(err, SL_ERROR_RUN, path, FILE_MOST, &bytes, &size));
    for (int64_t i = 0; i < lines && keep < size; i++) {
        const unsigned char *end = memchr(bytes + keep, '\n', (size_t)(size - keep));
        keep = end != NULL ? end - bytes + 1 : size;
    }
    sl_heap_free(bytes);
    return keep == size ? SL_OK : sl_file_truncate(err, path, keep);
}

enum sl_status api_run_open_gradients(struct sl_error *err, struct api_run *run)
{
    char path[RUN_PATH_LENGTH];
    int64_t through = run->resumed ? sl_trainer_steps(run->trainer) : -1;
    SL_TRY(path_of(err, run, LINES, path));
    SL_TRY(sl_lines_cut(err, path, through, &run->gradients_kept));
    SL_TRY(path_of(err, run, TEXT, path));
    return cut_text(err, path, run->gradients_kept * (1 + run->net->widths.n));
}

/* Records behind the last line go; one that is missing cannot be made again. */
static enum sl_status cut_head(struct sl_error *err, const char *path, int64_t bytes)
{
    struct sl_file_map map = {0};
    if (sl_path_kind(path) != SL_PATH_MISSING) {
        SL_TRY(sl_file_map_open(err, SL_ERROR_RUN, path, &map));
    }
    int64_t size = map.size;
    sl_file_map_close(&map);
    if (size < bytes) {
        return SL_FAIL(err, SL_ERROR_RUN,
                       "%s: %lld bytes instead of %lld: it has not a record for each "
                       "line of %s; remove both",
                       path, (long long)size, (long long)bytes, files[LINES]);
    }
    return size == bytes ? SL_OK : sl_file_truncate(err, path, bytes);
}

/* At the first measure: the size of a record is known now. */
static enum sl_status open_files(struct sl_error *err, struct api_run *run,
                                 int64_t n_values)
{
    char path[RUN_PATH_LENGTH];
    SL_TRY(path_of(err, run, HEAD, path));
    SL_TRY(cut_head(err, path, run->gradients_kept * n_values * (int64_t)sizeof(float)));
    SL_TRY(sl_file_log_open(err, path, &run->gradients_head));
    SL_TRY(path_of(err, run, TEXT, path));
    SL_TRY(sl_file_log_open(err, path, &run->gradients_text));
    SL_TRY(path_of(err, run, LINES, path));
    return sl_file_log_open(err, path, &run->gradients);
}

void api_run_close_gradients(struct api_run *run)
{
    sl_file_log_close(run->gradients_head);
    sl_file_log_close(run->gradients_text);
    sl_file_log_close(run->gradients);
}

/* ---- one record as JSON ------------------------------------------------------------ */

static json_t *number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *numbers(const double *values, int n)
{
    json_t *array = json_array();
    for (int i = 0; i < n; i++) {
        json_array_append_new(array, number(values[i]));
    }
    return array;
}

static json_t *roots(const double *squares, int n)
{
    double values[SL_WIDTHS_MAX];
    for (int i = 0; i < n; i++) {
        values[i] = sqrt(squares[i]);
    }
    return numbers(values, n);
}

/* What is said of a layer and of all of them alike. */
static void add_layer(json_t *to, const struct sl_grad_layer *layer, int n)
{
    json_t *norm = json_array();
    json_t *own = json_array();
    json_t *cosine = json_array();
    double square = 0.0;
    for (int i = 0; i < n; i++) {
        double row[SL_WIDTHS_MAX];
        square += layer->sum_ring[i];
        json_array_append_new(norm, number(sl_grad_norm(layer, i)));
        json_array_append_new(own, roots(layer->own_ring[i], n));
        for (int j = 0; j < n; j++) {
            row[j] = sl_grad_cosine(layer, i, j);
        }
        json_array_append_new(cosine, numbers(row, n));
    }
    json_object_set_new(to, "norm", norm);
    json_object_set_new(to, "sum_norm", number(sqrt(square)));
    json_object_set_new(to, "ring_norm", own);
    json_object_set_new(to, "ring_sum_norm", roots(layer->sum_ring, n));
    json_object_set_new(to, "cosine", cosine);
}

/* Each width's part of the squares in each ring, and the rings' sizes. */
static void add_shares(json_t *to, const struct sl_grad_layer *total, int n)
{
    json_t *shares = json_array();
    json_t *sizes = json_array();
    for (int i = 0; i < n; i++) {
        double row[SL_WIDTHS_MAX];
        for (int ring = 0; ring < n; ring++) {
            double sum = 0.0;
            for (int w = 0; w < n; w++) {
                sum += total->own_ring[w][ring];
            }
            row[ring] = total->own_ring[i][ring] / sum;
        }
        json_array_append_new(shares, numbers(row, n));
        json_array_append_new(sizes, json_integer(total->ring_size[i]));
    }
    json_object_set_new(to, "ring_share", shares);
    json_object_set_new(to, "ring_size", sizes);
}

static json_t *published_json(const struct sl_grad_record *record, int n)
{
    json_t *published = json_object();
    json_object_set_new(published, "mean", numbers(record->mean, n));
    json_object_set_new(published, "counted", json_integer(record->counted));
    json_object_set_new(published, "tensors", json_integer(record->n_layers));
    json_object_set_new(published, "ratio_a", number(record->ratio_a));
    json_object_set_new(published, "ratio_b", number(record->ratio_b));
    return published;
}

static json_t *head_json(const struct sl_net *net, const struct sl_grad_record *record)
{
    json_t *head = json_object();
    json_object_set_new(head, "layer", json_string(net->params[record->head].name));
    json_object_set_new(head, "rows", json_integer(record->head_rows));
    json_object_set_new(head, "cols", json_integer(record->head_cols));
    json_object_set_new(head, "singular", numbers(record->singular, 2));
    json_object_set_new(head, "norm", number(record->head_norm));
    json_object_set_new(head, "values", json_integer(record->n_values));
    json_object_set_new(head, "sketched", json_boolean(record->sketched));
    return head;
}

static json_t *record_json(const struct api_run *run, const struct sl_grad_record *record,
                           double lr)
{
    const struct sl_net *net = run->net;
    int n = net->widths.n;
    int64_t step = sl_trainer_steps(run->trainer);
    double widths[SL_WIDTHS_MAX];
    json_t *root = json_object();
    json_t *total = json_object();
    json_t *layers = json_array();
    for (int i = 0; i < n; i++) {
        widths[i] = sl_multiplier_value(net->widths.at[i]);
    }
    json_object_set_new(root, "step", json_integer(step));
    json_object_set_new(root, "epoch", number(api_run_epoch(run, step)));
    json_object_set_new(root, "lr", number(lr));
    json_object_set_new(root, "active", json_integer(record->active));
    json_object_set_new(root, "widths", numbers(widths, n));
    json_object_set_new(root, "published", published_json(record, n));
    add_layer(total, &record->total, n);
    add_shares(total, &record->total, n);
    json_object_set_new(root, "total", total);
    for (int i = 0; i < record->n_layers; i++) {
        const struct sl_grad_layer *layer = &record->layers[i];
        json_t *one = json_object();
        json_object_set_new(one, "name", json_string(net->params[layer->param].name));
        json_object_set_new(one, "published", numbers(layer->published, n));
        add_layer(one, layer, n);
        json_array_append_new(layers, one);
    }
    json_object_set_new(root, "layers", layers);
    if (record->head >= 0) {
        json_object_set_new(root, "head", head_json(net, record));
    }
    return root;
}

/* ---- writing ----------------------------------------------------------------------- */

/* "step g_1 … g_n", then a line a width with the norms of all tensors; the last end of
 * line is the log's. */
static void published_text(const struct sl_grad_record *record, int64_t step, int n,
                           struct sl_text *text)
{
    sl_text_add(text, "%lld", (long long)step);
    for (int w = 0; w < n; w++) {
        sl_text_add(text, " %.5f", record->mean[w]);
    }
    for (int w = 0; w < n; w++) {
        for (int i = 0; i < record->n_layers; i++) {
            sl_text_add(text, "%s%.5f", i == 0 ? "\n" : " ",
                        record->layers[i].published[w]);
        }
    }
}

enum sl_status api_run_write_gradients(struct sl_error *err, struct api_run *run)
{
    const struct sl_grad_record *record = sl_trainer_gradients(run->trainer);
    struct sl_text published = {0};
    struct sl_text line = {0};
    enum sl_status status = SL_OK;
    if (record == NULL) {
        return SL_OK;
    }
    int64_t step = sl_trainer_steps(run->trainer);
    if (run->gradients == NULL) {
        SL_TRY(open_files(err, run, record->n_values));
    }
    published_text(record, step, run->net->widths.n, &published);
    SL_TRY_OUT(api_json_add(
        err, &line,
        record_json(run, record, sl_lr_at(&run->settings.trainer.lr, step - 1))));
    if (published.failed || line.failed) {
        status = SL_FAIL(err, SL_ERROR_RUN, "%s: out of memory", files[LINES]);
        goto out;
    }
    if (record->head >= 0) {
        SL_TRY_OUT(sl_file_log_bytes(err, run->gradients_head, record->values,
                                     (size_t)record->n_values * sizeof(float)));
    }
    SL_TRY_OUT(sl_file_log_line(err, run->gradients_text, published.text));
    SL_TRY_OUT(sl_file_log_line(err, run->gradients, line.text));
out:
    sl_text_finish(&published);
    sl_text_finish(&line);
    return status;
}
