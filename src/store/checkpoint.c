/* SPDX-License-Identifier: MIT */
/*
 * Checkpoints: a run's named state and its settings in one sealed tensor file. Restoring
 * checks every tensor before it writes the first, so that a refused checkpoint changes
 * nothing.
 */
#include "store/store.h"

#include <stdlib.h>
#include <string.h>

static const char CONF_KEY[] = "conf";
static const char FORMAT_KEY[] = "slimclr.format";
static const char FORMAT[] = "slimclr-checkpoint-1";
static const char ENDING[] = ".safetensors";

enum { NAME_LENGTH = 4096 };

enum sl_status sl_checkpoint_save(struct sl_error *err, const char *path,
                                  const struct sl_device *device,
                                  const struct sl_named_list *state, const char *conf,
                                  const struct sl_classes *classes)
{
    enum sl_status status = SL_OK;
    struct sl_text names = {0};
    if (classes != NULL) {
        SL_TRY_OUT(sl_classes_write(err, classes, &names));
    }
    /* "format" belongs to the container's readers: PyTorch's look for their own mark. */
    const struct sl_meta meta[] = {{"format", "pt"},
                                   {FORMAT_KEY, FORMAT},
                                   {CONF_KEY, conf},
                                   {sl_classes_key(), names.text}};
    int n_meta = SL_COUNT(meta) - (names.length == 0 ? 1 : 0);
    SL_TRY_OUT(sl_tensor_file_write(err, path, device, state, meta, n_meta));
out:
    sl_text_finish(&names);
    return status;
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
    const char *path = sl_tensor_file_name(file);
    char has[96];
    char wants[96];
    for (int i = 0; i < state->n; i++) {
        const struct sl_named *to = &state->items[i];
        const struct sl_named *from = sl_named_find(there, to->name);
        describe(&to->tensor, wants, sizeof wants);
        if (from == NULL) {
            return SL_FAIL(err, SL_ERROR_USAGE,
                           "%s: has no '%s' (%s): it belongs to another architecture, "
                           "head or widths",
                           path, to->name, wants);
        }
        if (!same_form(&from->tensor, &to->tensor)) {
            describe(&from->tensor, has, sizeof has);
            return SL_FAIL(
                err, SL_ERROR_USAGE,
                "%s: '%s' is %s, and %s is needed: it belongs to another architecture or "
                "other settings",
                path, to->name, has, wants);
        }
    }
    for (int i = 0; exact && i < there->n; i++) {
        if (sl_named_find(state, there->items[i].name) == NULL) {
            return SL_FAIL(err, SL_ERROR_USAGE,
                           "%s: holds '%s', which this run lacks: it belongs to another "
                           "architecture "
                           "or other widths",
                           path, there->items[i].name);
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
    (void)snprintf(dst, size, "epoch=%04lld-step=%08lld%s", (long long)epoch,
                   (long long)step, ENDING);
}

/* Reads "WORD" and digits; NULL when something else stands there. */
static const char *take_number(const char *at, const char *word, int64_t *value)
{
    size_t length = strlen(word);
    if (strncmp(at, word, length) != 0) {
        return NULL;
    }
    at += length;
    size_t n = strspn(at, "0123456789");
    char digits[20];
    if (n == 0 || n >= sizeof digits) {
        return NULL;
    }
    memcpy(digits, at, n);
    digits[n] = '\0';
    return sl_parse_int(digits, value) ? at + n : NULL;
}

/* True for names that sl_checkpoint_name makes. */
static bool is_numbered(const char *name, int64_t *epoch, int64_t *step)
{
    const char *at = take_number(name, "epoch=", epoch);
    at = at != NULL ? take_number(at, "-step=", step) : NULL;
    return at != NULL && strcmp(at, ENDING) == 0;
}

/* True for the temporary of a checkpoint: "….safetensors.tmp.PID". */
static bool is_temporary(const char *name)
{
    static const char middle[] = ".safetensors.tmp.";
    int64_t pid = 0;
    const char *at = strstr(name, middle);
    at = at != NULL ? take_number(at, middle, &pid) : NULL;
    return at != NULL && *at == '\0';
}

/* A numbered checkpoint and its place in the listing. */
struct numbered {
    int64_t epoch, step, place;
};

/* Newest first: as numbers, since "epoch=10000" sorts before "epoch=9999" as text. */
static int compare_numbered(const void *a, const void *b)
{
    const struct numbered *first = a;
    const struct numbered *second = b;
    if (first->epoch != second->epoch) {
        return first->epoch > second->epoch ? -1 : 1;
    }
    return (first->step < second->step) - (first->step > second->step);
}

static void remove_in(const char *directory, const char *name)
{
    char path[NAME_LENGTH];
    if (sl_path_join(path, sizeof path, directory, name)) {
        (void)sl_file_remove(path);
    }
}

void sl_checkpoint_prune(const char *directory, int keep)
{
    struct sl_error ignored = {0};
    struct sl_dir_list list = {0};
    struct numbered *found = NULL;
    int64_t n = 0;
    if (sl_dir_list(&ignored, SL_ERROR_RUN, directory, &list) != SL_OK ||
        sl_heap_alloc(&ignored, "names of checkpoints", list.n, sizeof *found, &found) !=
            SL_OK) {
        sl_dir_list_finish(&list);
        return;
    }
    for (int64_t i = 0; i < list.n; i++) {
        if (is_numbered(list.names[i], &found[n].epoch, &found[n].step)) {
            found[n++].place = i;
        } else if (is_temporary(list.names[i])) {
            remove_in(directory, list.names[i]);
        }
    }
    qsort(found, (size_t)n, sizeof *found, compare_numbered);
    for (int64_t i = keep > 0 ? keep : 0; i < n; i++) {
        remove_in(directory, list.names[found[i].place]);
    }
    sl_heap_free(found);
    sl_dir_list_finish(&list);
}
