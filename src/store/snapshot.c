/* SPDX-License-Identifier: MIT */
/*
 * Snapshots: parameters and statistics as they were along a run, one file a moment in one
 * folder. A moment is known by its name alone, so that a run which is taken up again
 * writes over its own and none stands twice.
 */
#include "store/store.h"

#include <stdlib.h>
#include <string.h>

static const char ENDING[] = ".safetensors";

enum { PATH_LENGTH = 4096 };

void sl_snapshot_name(int64_t epoch, int64_t step, const char *width, char *dst,
                      size_t size)
{
    (void)snprintf(dst, size, "epoch=%04lld-step=%08lld%s%s%s", (long long)epoch,
                   (long long)step, width[0] != '\0' ? "-w" : "", width, ENDING);
}

/* Reads "WORD" and digits; NULL when something else stands there. */
static const char *take_number(const char *at, const char *word, int64_t *value)
{
    char digits[20];
    size_t length = strlen(word);
    if (at == NULL || strncmp(at, word, length) != 0) {
        return NULL;
    }
    at += length;
    size_t n = strspn(at, "0123456789");
    if (n == 0 || n >= sizeof digits) {
        return NULL;
    }
    memcpy(digits, at, n);
    digits[n] = '\0';
    return sl_parse_int(digits, value) ? at + n : NULL;
}

/* Parts of a name that sl_snapshot_name makes; false for others. */
static bool read_name(const char *name, struct sl_snapshot *snapshot)
{
    *snapshot = (struct sl_snapshot){0};
    const char *at = take_number(name, "epoch=", &snapshot->epoch);
    at = take_number(at, "-step=", &snapshot->step);
    if (at == NULL) {
        return false;
    }
    if (strncmp(at, "-w", 2) == 0) {
        size_t n = strspn(at + 2, "0123456789.");
        n -= n > 0 && at[2 + n - 1] == '.' ? 1 : 0; /* the ending's */
        if (n == 0 || n >= sizeof snapshot->width) {
            return false;
        }
        memcpy(snapshot->width, at + 2, n);
        at += 2 + n;
    }
    return strcmp(at, ENDING) == 0 &&
           sl_text_copy(snapshot->name, sizeof snapshot->name, name);
}

/* By step; of one step the wider width first, which was updated first. */
static int compare(const void *a, const void *b)
{
    const struct sl_snapshot *x = a;
    const struct sl_snapshot *y = b;
    double widths[2] = {0.0, 0.0};
    if (x->step != y->step) {
        return x->step < y->step ? -1 : 1;
    }
    (void)sl_parse_real(x->width, &widths[0]);
    (void)sl_parse_real(y->width, &widths[1]);
    return (widths[0] < widths[1]) - (widths[0] > widths[1]);
}

enum sl_status sl_snapshot_list(struct sl_error *err, const char *directory,
                                struct sl_snapshot **list, int64_t *n)
{
    enum sl_status status = SL_OK;
    struct sl_dir_list names = {0};
    *list = NULL;
    *n = 0;
    SL_TRY_OUT(sl_dir_list(err, SL_ERROR_RUN, directory, &names));
    SL_TRY_OUT(sl_heap_alloc(err, "names of snapshots", names.n, sizeof **list, list));
    for (int64_t i = 0; i < names.n; i++) {
        *n += read_name(names.names[i], *list + *n);
    }
    qsort(*list, (size_t)*n, sizeof **list, compare);
out:
    sl_dir_list_finish(&names);
    return status;
}

void sl_snapshot_cut(const char *directory, int64_t through)
{
    struct sl_error ignored = {0};
    struct sl_dir_list names = {0};
    char path[PATH_LENGTH];
    if (sl_path_kind(directory) != SL_PATH_DIRECTORY ||
        sl_dir_list(&ignored, SL_ERROR_RUN, directory, &names) != SL_OK) {
        return;
    }
    for (int64_t i = 0; i < names.n; i++) {
        struct sl_snapshot snapshot;
        bool torn = strstr(names.names[i], ".safetensors.tmp.") != NULL;
        if ((torn || (read_name(names.names[i], &snapshot) && snapshot.step > through)) &&
            sl_path_join(path, sizeof path, directory, names.names[i])) {
            (void)sl_file_remove(path);
        }
    }
    sl_dir_list_finish(&names);
}
