/* SPDX-License-Identifier: MIT */
/*
 * Checkpoints: a run's named state and its settings in one sealed tensor file. Restoring
 * checks every tensor before it writes the first, so that a refused checkpoint changes
 * nothing.
 */
#include "store/store.h"

#include <string.h>

static const char CONF_KEY[] = "conf";
static const char FORMAT_KEY[] = "format";
static const char FORMAT[] = "slimclr-checkpoint-1";

enum { NAME_LENGTH = 4096 };

enum sl_status sl_checkpoint_save(struct sl_error *err, const char *path,
                                  const struct sl_device *device,
                                  const struct sl_named_list *state, const char *conf)
{
    const struct sl_meta meta[] = {{FORMAT_KEY, FORMAT}, {CONF_KEY, conf}};
    return sl_tensor_file_write(err, path, device, state, meta, SL_COUNT(meta));
}

enum sl_status sl_checkpoint_open(struct sl_error *err, const char *path,
                                  struct sl_tensor_file **file)
{
    SL_TRY(sl_tensor_file_open(err, path, true, file));
    const char *format = sl_tensor_file_meta(*file, FORMAT_KEY);
    if (format == NULL || strcmp(format, FORMAT) != 0 ||
        sl_checkpoint_conf(*file) == NULL) {
        sl_tensor_file_close(*file);
        *file = NULL;
        return SL_FAIL(err, SL_ERROR_RUN, "%s: not a checkpoint of slimclr (no %s in it)",
                       path, FORMAT);
    }
    return SL_OK;
}

const char *sl_checkpoint_conf(const struct sl_tensor_file *file)
{
    return sl_tensor_file_meta(file, CONF_KEY);
}

/* "F32 [16, 3, 3, 3]" */
static void describe(const struct sl_tensor *tensor, char *dst, size_t size)
{
    size_t at = (size_t)snprintf(dst, size, "%s [", sl_dtype_name(tensor->dtype));
    for (int d = 0; d < tensor->n_dims && at < size; d++) {
        at += (size_t)snprintf(dst + at, size - at, "%s%lld", d > 0 ? ", " : "",
                               (long long)tensor->dims[d]);
    }
    if (at < size) {
        (void)snprintf(dst + at, size - at, "]");
    }
}

static bool same_form(const struct sl_tensor *a, const struct sl_tensor *b)
{
    return a->dtype == b->dtype && a->n_dims == b->n_dims &&
           memcmp(a->dims, b->dims, sizeof a->dims[0] * (size_t)a->n_dims) == 0;
}

enum sl_status sl_checkpoint_restore(struct sl_error *err,
                                     const struct sl_tensor_file *file,
                                     const struct sl_device *device,
                                     const struct sl_named_list *state, bool exact)
{
    const struct sl_named_list *there = sl_tensor_file_list(file);
    char has[96];
    char wants[96];
    for (int i = 0; i < state->n; i++) {
        const struct sl_named *to = &state->items[i];
        const struct sl_named *from = sl_named_find(there, to->name);
        describe(&to->tensor, wants, sizeof wants);
        if (from == NULL) {
            return SL_FAIL(
                err, SL_ERROR_USAGE,
                "checkpoint: has no '%s' (%s): it belongs to another architecture, head "
                "or widths",
                to->name, wants);
        }
        if (!same_form(&from->tensor, &to->tensor)) {
            describe(&from->tensor, has, sizeof has);
            return SL_FAIL(
                err, SL_ERROR_USAGE,
                "checkpoint: '%s' is %s, and %s is needed: it belongs to another "
                "architecture or other settings",
                to->name, has, wants);
        }
    }
    for (int i = 0; exact && i < there->n; i++) {
        if (sl_named_find(state, there->items[i].name) == NULL) {
            return SL_FAIL(
                err, SL_ERROR_USAGE,
                "checkpoint: holds '%s', which this run lacks: it belongs to another "
                "architecture or other widths",
                there->items[i].name);
        }
    }
    for (int i = 0; i < state->n; i++) {
        const struct sl_named *to = &state->items[i];
        const struct sl_named *from = sl_named_find(there, to->name);
        device->table->put(device->state, to->tensor.data, from->tensor.data,
                           sl_tensor_bytes(&to->tensor));
    }
    return SL_OK;
}

enum sl_status sl_checkpoint_find(struct sl_error *err, const char *run_or_file,
                                  char *path, size_t size)
{
    enum sl_path_kind kind = sl_path_kind(run_or_file);
    if (kind == SL_PATH_MISSING) {
        return SL_FAIL(err, SL_ERROR_RUN, "%s: no such run directory or checkpoint",
                       run_or_file);
    }
    bool fits = kind == SL_PATH_DIRECTORY ? sl_path_join(path, size, run_or_file,
                                                         "checkpoints/last.safetensors")
                                          : sl_text_copy(path, size, run_or_file);
    if (!fits) {
        return SL_FAIL(err, SL_ERROR_RUN, "%.80s…: the path is too long", run_or_file);
    }
    if (sl_path_kind(path) != SL_PATH_FILE) {
        return SL_FAIL(err, SL_ERROR_RUN, "%s: no checkpoint there yet (%s)", run_or_file,
                       path);
    }
    return SL_OK;
}

void sl_checkpoint_name(int64_t epoch, int64_t step, char *dst, size_t size)
{
    (void)snprintf(dst, size, "epoch=%04lld-step=%08lld.safetensors", (long long)epoch,
                   (long long)step);
}

static bool ends_with(const char *name, const char *ending)
{
    size_t n = strlen(name);
    size_t m = strlen(ending);
    return n >= m && strcmp(name + n - m, ending) == 0;
}

void sl_checkpoint_prune(const char *directory, int keep)
{
    struct sl_error ignored = {0};
    struct sl_dir_list list = {0};
    char path[NAME_LENGTH];
    if (sl_dir_list(&ignored, SL_ERROR_RUN, directory, &list) != SL_OK) {
        return;
    }
    /* Names sort by epoch and step, so the newest come last. */
    int kept = 0;
    for (int64_t i = list.n - 1; i >= 0; i--) {
        const char *name = list.names[i];
        bool numbered =
            strncmp(name, "epoch=", 6) == 0 && ends_with(name, ".safetensors");
        bool torn = strstr(name, ".safetensors.tmp.") != NULL;
        if (numbered && kept < keep) {
            kept++;
        } else if ((numbered || torn) &&
                   sl_path_join(path, sizeof path, directory, name)) {
            (void)sl_file_remove(path);
        }
    }
    sl_dir_list_finish(&list);
}
