/* SPDX-License-Identifier: MIT */
/*
 * Collection named by a list file, "@files.txt": a path a line, and after a tab its label
 * when there is one. Relative paths begin at the list file's own folder. The order of the
 * lines is the order of the pictures, and a line that stands twice counts twice: the list
 * is the user's word. Invariant: no file on the list is looked at before it is read.
 */
#include "data/index_int.h"

#include <stdlib.h>
#include <string.h>

static const int64_t LIST_BYTES_MAX = INT64_C(1) << 32;

bool sl_list_is(const char *data)
{
    return data[0] == '@' && data[1] != '\0';
}

/* ---- labels ------------------------------------------------------------------------ */

/* A label word and the entry it belongs to. */
struct label_row {
    const char *text;
    int64_t entry;
};

static int by_word(const void *a, const void *b)
{
    return strcmp(((const struct label_row *)a)->text,
                  ((const struct label_row *)b)->text);
}

static bool all_numbers(const struct sl_rows *labels, int64_t *most)
{
    const struct label_row *rows = labels->items;
    *most = -1;
    for (int64_t i = 0; i < labels->n; i++) {
        int64_t value = 0;
        if (!sl_parse_int(rows[i].text, &value) || value < 0 ||
            value >= sl_classes_most(labels->n)) {
            return false;
        }
        *most = value > *most ? value : *most;
    }
    return true;
}

/* Labels that are all numbers are the classes' numbers; words are sorted and numbered. */
static enum sl_status number_labels(struct sl_error *err, struct sl_builder *builder,
                                    struct sl_rows *labels)
{
    struct label_row *rows = labels->items;
    struct sl_build_entry *entries = builder->entries.items;
    int64_t most = 0;
    if (labels->n == 0) {
        return SL_OK;
    }
    builder->has_labels = true;
    if (all_numbers(labels, &most)) {
        for (int64_t i = 0; i < labels->n; i++) {
            int64_t value = 0;
            (void)sl_parse_int(rows[i].text, &value);
            entries[rows[i].entry].label = (int32_t)value;
        }
        return sl_builder_number_classes(err, "list", builder, most + 1);
    }
    qsort(rows, (size_t)labels->n, sizeof(*rows), by_word);
    for (int64_t i = 0; i < labels->n; i++) {
        if (i == 0 || strcmp(rows[i - 1].text, rows[i].text) != 0) {
            SL_TRY(sl_builder_class(err, builder, rows[i].text));
        }
        entries[rows[i].entry].label = (int32_t)builder->classes.n - 1;
    }
    return SL_OK;
}

/* ---- lines ------------------------------------------------------------------------- */

static enum sl_status add_line(struct sl_error *err, const char *name, int64_t number,
                               char *line, struct sl_builder *builder,
                               struct sl_rows *labels)
{
    static const struct sl_build_dir like = {.part = SL_PART_TRAIN};
    char *tab = strchr(line, '\t');
    const char *label = "";
    if (tab != NULL) {
        *tab = '\0';
        label = tab + 1;
    }
    size_t length = strlen(line);
    if (length == 0 || line[length - 1] == '/') {
        return SL_FAIL(err, SL_ERROR_DATA, "%s:%lld: no file is named before the %s",
                       name, (long long)number, length == 0 ? "tab" : "end");
    }
    if (length > SL_INDEX_PATH - 1) {
        return SL_FAIL(err, SL_ERROR_DATA, "%s:%lld: the path is longer than %d bytes",
                       name, (long long)number, SL_INDEX_PATH - 1);
    }
    if (label[0] != '\0') {
        SL_TRY(sl_rows_grow(err, labels, sizeof(struct label_row)));
        struct label_row *row = (struct label_row *)labels->items + labels->n++;
        *row = (struct label_row){label, builder->entries.n};
    }
    return sl_builder_add(err, builder, line, &like, NULL, -1);
}

enum sl_status sl_list_parse(struct sl_error *err, const char *name, char *bytes,
                             int64_t size, struct sl_builder *builder)
{
    enum sl_status status = SL_OK;
    struct sl_rows labels = {0};
    int64_t number = 0;
    builder->keep_order = true;
    if (memchr(bytes, '\0', (size_t)size) != NULL) {
        return SL_FAIL(err, SL_ERROR_DATA,
                       "%s: not a list of files: it holds a zero byte", name);
    }
    for (char *line = bytes; line < bytes + size;) {
        size_t length = strcspn(line, "\n");
        char *next = line + length + 1;
        line[length] = '\0';
        number++;
        length -= length > 0 && line[length - 1] == '\r' ? 1 : 0;
        line[length] = '\0';
        if (line[strspn(line, " \t")] != '\0') {
            SL_TRY_OUT(add_line(err, name, number, line, builder, &labels));
        }
        line = next;
    }
    SL_TRY_OUT(number_labels(err, builder, &labels));
out:
    sl_heap_free(labels.items);
    return status;
}

enum sl_status sl_list_open(struct sl_error *err, const struct sl_source_config *config,
                            struct sl_reader *reader)
{
    const char *path = config->data + 1;
    const char *slash = strrchr(path, '/');
    char folder[SL_INDEX_PATH] = "";
    unsigned char *bytes = NULL;
    int64_t size = 0;
    enum sl_status status = SL_OK;
    struct sl_builder builder = {0};
    struct sl_collection *collection = NULL;
    if (slash != NULL) {
        if ((size_t)(slash - path) + 2 > sizeof(folder)) {
            return SL_FAIL(err, SL_ERROR_DATA, "%s: the path is longer than %d bytes",
                           path, SL_INDEX_PATH - 1);
        }
        memcpy(folder, path, (size_t)(slash - path) + 1);
    }
    SL_TRY(
        sl_collection_create(err, "list", folder, &config->decode, reader, &collection));
    SL_TRY(sl_file_read(err, SL_ERROR_DATA, path, LIST_BYTES_MAX, &bytes, &size));
    SL_TRY_OUT(sl_list_parse(err, path, (char *)bytes, size, &builder));
    SL_TRY_OUT(sl_builder_freeze(err, &builder, "list", &collection->index));
out:
    sl_builder_finish(&builder);
    sl_heap_free(bytes);
    return status;
}
