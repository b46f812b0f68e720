/* SPDX-License-Identifier: MIT */
/*
 * The JSON beside an LMDB of pictures: an object of key and label, a list of such pairs,
 * or a list of keys alone. No database is touched here, so that the fuzz target reaches
 * all of it. Invariant: a key that was noted comes back from the index byte for byte.
 */
#include "data/index_int.h"

#include <jansson.h>
#include <string.h>

static enum sl_status fail_item(struct sl_error *err, const char *name, int64_t number,
                                const char *rule)
{
    return SL_FAIL(err, SL_ERROR_DATA, "%s: item %lld: %s", name, (long long)number,
                   rule);
}

/* label: NULL = none. */
static enum sl_status add_key(struct sl_error *err, const char *name, int64_t number,
                              const char *key, const json_t *label,
                              struct sl_builder *builder, int64_t *most)
{
    static const struct sl_build_dir like = {.part = SL_PART_TRAIN};
    size_t length = strlen(key);
    int64_t value = -1;
    if (length == 0 || length >= SL_INDEX_PATH || key[length - 1] == '/' ||
        strstr(key, "//") != NULL) {
        return fail_item(err, name, number,
                         "a key must be a path as class/file, without empty parts");
    }
    if (label != NULL) {
        value = json_is_integer(label) ? (int64_t)json_integer_value(label) : -1;
        if (value < 0 || value >= SL_INDEX_CLASSES_MAX) {
            return fail_item(err, name, number,
                             "a label must be a number from 0 to 1048575");
        }
        builder->has_labels = true;
        *most = value > *most ? value : *most;
    }
    return sl_builder_add(err, builder, key, &like, NULL, (int32_t)value);
}

static enum sl_status add_object(struct sl_error *err, const char *name, json_t *root,
                                 struct sl_builder *builder, int64_t *most)
{
    const char *key = NULL;
    json_t *label = NULL;
    int64_t number = 0;
    json_object_foreach(root, key, label)
    {
        SL_TRY(add_key(err, name, number++, key, label, builder, most));
    }
    return SL_OK;
}

static enum sl_status add_array(struct sl_error *err, const char *name, json_t *root,
                                struct sl_builder *builder, int64_t *most)
{
    size_t i = 0;
    json_t *item = NULL;
    json_array_foreach(root, i, item)
    {
        bool is_pair = json_is_array(item) && json_array_size(item) == 2;
        const json_t *key = is_pair ? json_array_get(item, 0) : item;
        const json_t *label = is_pair ? json_array_get(item, 1) : NULL;
        if (!json_is_string(key)) {
            return fail_item(err, name, (int64_t)i,
                             "expected a key, or a pair of key and label");
        }
        SL_TRY(
            add_key(err, name, (int64_t)i, json_string_value(key), label, builder, most));
    }
    return SL_OK;
}

enum sl_status sl_lmdb_keys_parse(struct sl_error *err, const char *name,
                                  const unsigned char *bytes, int64_t size,
                                  struct sl_builder *builder)
{
    json_error_t where;
    int64_t most = -1;
    enum sl_status status = SL_OK;
    json_t *root = json_loadb((const char *)bytes, (size_t)size, 0, &where);
    if (root == NULL) {
        return SL_FAIL(err, SL_ERROR_DATA, "%s:%d: damaged JSON: %s", name, where.line,
                       where.text);
    }
    if (json_is_object(root)) {
        SL_TRY_OUT(add_object(err, name, root, builder, &most));
    } else {
        SL_TRY_OUT(add_array(err, name, root, builder, &most));
    }
    if (builder->has_labels) {
        SL_TRY_OUT(sl_builder_number_classes(err, name, builder, most + 1));
    }
out:
    json_decref(root);
    return status;
}
