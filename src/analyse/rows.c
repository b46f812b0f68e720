/* SPDX-License-Identifier: MIT */
/*
 * Snapshots as the rows of a matrix that is never whole in memory: the files stay mapped,
 * and whoever wants numbers takes a stripe of all rows at a time. Every weight was found
 * and checked when the rows were opened.
 */
#include "analyse_int.h"

#include <string.h>

static const struct sl_named *find_weight(const struct sl_tensor_file *file,
                                          const struct sl_param *param)
{
    return sl_named_find(sl_tensor_file_list(file), param->name);
}

static enum sl_status open_row(struct sl_error *err, const struct sl_net *net,
                               const char *path, struct sl_snapshot_rows *rows, int row)
{
    SL_TRY(sl_tensor_file_open(err, path, true, &rows->files[row]));
    int n = 0;
    for (int i = 0; i < net->n_params; i++) {
        const struct sl_param *param = &net->params[i];
        if (param->kind != SL_PARAM_WEIGHT) {
            continue;
        }
        const struct sl_named *found = find_weight(rows->files[row], param);
        if (found == NULL || found->tensor.dtype != SL_F32 ||
            sl_tensor_count(&found->tensor) != param->count) {
            return SL_FAIL(err, SL_ERROR_USAGE,
                           "%s: has no '%s' of %lld values: it is not a snapshot of this "
                           "run's net",
                           path, param->name, (long long)param->count);
        }
        rows->values[(int64_t)row * rows->n_weights + n++] = found->tensor.data;
    }
    return SL_OK;
}

enum sl_status sl_snapshot_rows_open(struct sl_error *err, const struct sl_net *net,
                                     const char *const *paths, int n,
                                     struct sl_snapshot_rows **rows)
{
    enum sl_status status = SL_OK;
    struct sl_snapshot_rows *made = NULL;
    *rows = NULL;
    SL_TRY(sl_heap_alloc(err, "snapshots", 1, sizeof *made, &made));
    made->n = n;
    for (int i = 0; i < net->n_params; i++) {
        if (net->params[i].kind == SL_PARAM_WEIGHT) {
            made->n_weights++;
            made->length += net->params[i].count;
        }
    }
    SL_TRY_OUT(sl_heap_alloc(err, "snapshots", n, sizeof *made->files, &made->files));
    SL_TRY_OUT(sl_heap_alloc(err, "snapshots", (int64_t)n * made->n_weights,
                             sizeof *made->values, &made->values));
    for (int i = 0; i < n; i++) {
        SL_TRY_OUT(open_row(err, net, paths[i], made, i));
    }
    *rows = made;
    made = NULL;
out:
    sl_snapshot_rows_close(made);
    return status;
}

void sl_snapshot_rows_close(struct sl_snapshot_rows *rows)
{
    if (rows == NULL) {
        return;
    }
    for (int i = 0; rows->files != NULL && i < rows->n; i++) {
        sl_tensor_file_close(rows->files[i]);
    }
    sl_heap_free(rows->files);
    sl_heap_free(rows->values);
    sl_heap_free(rows);
}

int sl_snapshot_rows_count(const struct sl_snapshot_rows *rows)
{
    return rows->n;
}

int64_t sl_snapshot_rows_length(const struct sl_snapshot_rows *rows)
{
    return rows->length;
}

void sl_snapshot_rows_stripe(const struct sl_snapshot_rows *rows, int weight,
                             int64_t first, int count, const float *final, double *stripe)
{
    for (int row = 0; row < rows->n; row++) {
        const unsigned char *from = rows->values[(int64_t)row * rows->n_weights + weight];
        double *to = stripe + (int64_t)row * STRIPE;
        for (int k = 0; k < count; k++) {
            float value; /* a file's values may stand anywhere */
            memcpy(&value, from + (first + k) * (int64_t)sizeof value, sizeof value);
            to[k] = (double)value - (double) final[k];
        }
    }
}
