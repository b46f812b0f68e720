/* SPDX-License-Identifier: MIT */
/*
 * The safetensors container: 8 bytes little-endian header length, a JSON header of that
 * length, then the tensors' bytes. Reading trusts nothing: lengths, names, types, shapes
 * and offsets are checked against the file before a tensor may view it. Writing adds a
 * checksum over header and buffer.
 */
#include "store/store.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum {
    LENGTH_BYTES = 8,
    CHECKSUM_DIGITS = 16,
    HEADER_MOST = 100 * 1000 * 1000, /* the format's own limit */
    TENSORS_MOST = 1 << 16,
    FETCH_BYTES = 1 << 20
};
static const char METADATA[] = "__metadata__";
static const char CHECKSUM_KEY[] = "checksum";
static const char ZEROS[] = "0000000000000000";

struct sl_tensor_file {
    struct sl_file_map map; /* bytes NULL when parsed from borrowed memory */
    json_t *header;
    struct sl_named_list list;
    char *name; /* as it was opened, for messages */
    char checksum[CHECKSUM_DIGITS + 1];
};

/* ---- writing ----------------------------------------------------------------------- */

static void put_length(unsigned char bytes[LENGTH_BYTES], uint64_t length)
{
    for (int i = 0; i < LENGTH_BYTES; i++) {
        bytes[i] = (unsigned char)(length >> (8 * i) & 0xff);
    }
}

static uint64_t take_length(const unsigned char *bytes)
{
    uint64_t length = 0;
    for (int i = LENGTH_BYTES - 1; i >= 0; i--) {
        length = length << 8 | bytes[i];
    }
    return length;
}

static int append_json(const char *bytes, size_t count, void *context)
{
    sl_text_add_bytes(context, bytes, count);
    return ((struct sl_text *)context)->failed ? -1 : 0;
}

static json_t *describe_tensor(const struct sl_tensor *tensor, json_int_t offset)
{
    json_t *shape = json_array();
    for (int d = 0; d < tensor->n_dims; d++) {
        json_array_append_new(shape, json_integer(tensor->dims[d]));
    }
    return json_pack("{s:s, s:o, s:[I, I]}", "dtype", sl_dtype_name(tensor->dtype),
                     "shape", shape, "data_offsets", offset,
                     offset + (json_int_t)sl_tensor_bytes(tensor));
}

/* Adds an entry. Fails on a name that is there already, on text that is not UTF-8, and
 * without memory. */
static enum sl_status add_entry(struct sl_error *err, const char *path, json_t *object,
                                const char *key, json_t *value)
{
    bool is_new = json_object_get(object, key) == NULL;
    if (!is_new || value == NULL) {
        json_decref(value);
    } else if (json_object_set_new(object, key, value) == 0) {
        return SL_OK;
    }
    return SL_FAIL(err, SL_ERROR_RUN, "%s: cannot write '%.60s': %s", path, key,
                   is_new ? "its text is not UTF-8, or memory is out"
                          : "the name is taken already");
}

static enum sl_status fill_header(struct sl_error *err, const char *path,
                                  const struct sl_named_list *list,
                                  const struct sl_meta *meta, int n_meta, json_t *root,
                                  json_t *strings)
{
    json_int_t offset = 0;
    SL_TRY(add_entry(err, path, strings, CHECKSUM_KEY, json_string(ZEROS)));
    for (int i = 0; i < n_meta; i++) {
        SL_TRY(add_entry(err, path, strings, meta[i].key, json_string(meta[i].value)));
    }
    for (int i = 0; i < list->n; i++) {
        const struct sl_tensor *tensor = &list->items[i].tensor;
        SL_TRY(add_entry(err, path, root, list->items[i].name,
                         describe_tensor(tensor, offset)));
        offset += (json_int_t)sl_tensor_bytes(tensor);
    }
    return SL_OK;
}

/* The header's JSON with a zero checksum, padded with blanks to a multiple of eight. */
static enum sl_status make_header(struct sl_error *err, const char *path,
                                  const struct sl_named_list *list,
                                  const struct sl_meta *meta, int n_meta,
                                  struct sl_text *text)
{
    enum sl_status status = SL_OK;
    json_t *root = json_object();
    json_t *strings = json_object();
    /* The metadata go first, and the checksum first among them. */
    SL_TRY_OUT(add_entry(err, path, root, METADATA, json_incref(strings)));
    SL_TRY_OUT(fill_header(err, path, list, meta, n_meta, root, strings));
    int written = json_dump_callback(root, append_json, text, JSON_COMPACT);
    while (!text->failed && text->length % LENGTH_BYTES != 0) {
        sl_text_add(text, " ");
    }
    if (written != 0 || text->failed) {
        status =
            SL_FAIL(err, SL_ERROR_RUN, "%s: cannot make the header: out of memory", path);
    }
out:
    json_decref(strings);
    json_decref(root);
    return status;
}

/* Visits all tensor bytes in order, fetched through the device in pieces. */
typedef enum sl_status (*visit_fn)(struct sl_error *err, void *context, const void *bytes,
                                   size_t count);

static enum sl_status visit_tensors(struct sl_error *err, const struct sl_device *device,
                                    const struct sl_named_list *list,
                                    unsigned char *piece, visit_fn visit, void *context)
{
    for (int i = 0; i < list->n; i++) {
        const struct sl_tensor *tensor = &list->items[i].tensor;
        size_t total = sl_tensor_bytes(tensor);
        for (size_t at = 0; at < total; at += FETCH_BYTES) {
            size_t count = total - at < FETCH_BYTES ? total - at : FETCH_BYTES;
            device->table->get(device->state, piece, (const char *)tensor->data + at,
                               count);
            SL_TRY(visit(err, context, piece, count));
        }
    }
    return SL_OK;
}

static enum sl_status visit_hash(struct sl_error *err, void *context, const void *bytes,
                                 size_t count)
{
    uint64_t *hash = context;
    (void)err;
    *hash = sl_hash(*hash, bytes, count);
    return SL_OK;
}

static enum sl_status visit_write(struct sl_error *err, void *context, const void *bytes,
                                  size_t count)
{
    return sl_file_writer_write(err, context, bytes, count);
}

enum sl_status sl_tensor_file_write(struct sl_error *err, const char *path,
                                    const struct sl_device *device,
                                    const struct sl_named_list *list,
                                    const struct sl_meta *meta, int n_meta)
{
    enum sl_status status = SL_OK;
    struct sl_text header = {0};
    struct sl_file_writer *writer = NULL;
    unsigned char *piece = NULL;
    unsigned char length[LENGTH_BYTES];
    char digits[CHECKSUM_DIGITS + 1];

    SL_TRY_OUT(sl_heap_alloc(err, "piece of a tensor file", FETCH_BYTES, 1, &piece));
    SL_TRY_OUT(make_header(err, path, list, meta, n_meta, &header));
    uint64_t hash = sl_hash(SL_HASH_START, header.text, header.length);
    SL_TRY_OUT(visit_tensors(err, device, list, piece, visit_hash, &hash));
    (void)snprintf(digits, sizeof digits, "%016llx", (unsigned long long)hash);
    /* The first member of the first object is the checksum: its zeros come first in the
     * text. */
    char *zeros = strstr(header.text, ZEROS);
    SL_ASSERT(zeros != NULL);
    memcpy(zeros, digits, CHECKSUM_DIGITS);

    SL_TRY_OUT(sl_file_writer_begin(err, path, &writer));
    put_length(length, header.length);
    SL_TRY_OUT(sl_file_writer_write(err, writer, length, sizeof length));
    SL_TRY_OUT(sl_file_writer_write(err, writer, header.text, header.length));
    SL_TRY_OUT(visit_tensors(err, device, list, piece, visit_write, writer));
    SL_TRY_OUT(sl_file_writer_commit(err, writer));
    writer = NULL;
out:
    sl_file_writer_abort(writer);
    sl_text_finish(&header);
    sl_heap_free(piece);
    return status;
}

/* ---- reading ----------------------------------------------------------------------- */

static bool dtype_of(const char *name, enum sl_dtype *dtype)
{
    static const enum sl_dtype known[] = {SL_F32, SL_BF16, SL_U8, SL_I32, SL_I64};
    for (int i = 0; i < SL_COUNT(known); i++) {
        if (strcmp(sl_dtype_name(known[i]), name) == 0) {
            *dtype = known[i];
            return true;
        }
    }
    return false;
}

/* One entry of the header. The buffer is looked at only when all entries are in order. */
struct entry {
    const char *name;
    int64_t begin, end;
    enum sl_dtype dtype;
    int n_dims;
    int64_t dims[SL_DIMS_MAX];
};

static enum sl_status parse_shape(struct sl_error *err, const char *file, json_t *shape,
                                  struct entry *entry)
{
    int64_t bytes = sl_dtype_bytes(entry->dtype);
    entry->n_dims = (int)json_array_size(shape);
    for (int d = 0; d < entry->n_dims; d++) {
        json_t *size = json_array_get(shape, (size_t)d);
        entry->dims[d] = json_integer_value(size);
        if (!json_is_integer(size) || !sl_mul_checked(bytes, entry->dims[d], &bytes)) {
            return SL_FAIL(err, SL_ERROR_RUN, "%s: tensor '%.60s': impossible shape",
                           file, entry->name);
        }
    }
    if (entry->begin < 0 || entry->end < entry->begin ||
        entry->end - entry->begin != bytes) {
        return SL_FAIL(
            err, SL_ERROR_RUN,
            "%s: tensor '%.60s': bytes %lld to %lld do not fit its shape: damaged", file,
            entry->name, (long long)entry->begin, (long long)entry->end);
    }
    return SL_OK;
}

static enum sl_status parse_entry(struct sl_error *err, const char *file,
                                  const char *name, json_t *value, struct entry *entry)
{
    json_t *shape = json_object_get(value, "shape");
    json_t *offsets = json_object_get(value, "data_offsets");
    json_t *begin = json_array_get(offsets, 0);
    json_t *end = json_array_get(offsets, 1);
    const char *word = json_string_value(json_object_get(value, "dtype"));
    entry->name = name;
    if (name[0] == '\0' || strlen(name) >= SL_NAME_MAX) {
        return SL_FAIL(
            err, SL_ERROR_RUN,
            "%s: tensor '%.60s': a name has 1 to %d bytes: damaged, or not ours", file,
            name, SL_NAME_MAX - 1);
    }
    if (word == NULL || !json_is_array(shape) || json_array_size(shape) > SL_DIMS_MAX ||
        json_array_size(offsets) != 2 || !json_is_integer(begin) ||
        !json_is_integer(end)) {
        return SL_FAIL(
            err, SL_ERROR_RUN,
            "%s: tensor '%.60s': dtype, shape (up to %d sizes) and data_offsets are "
            "needed: damaged, or not ours",
            file, name, (int)SL_DIMS_MAX);
    }
    if (!dtype_of(word, &entry->dtype)) {
        return SL_FAIL(err, SL_ERROR_RUN,
                       "%s: tensor '%.60s': type '%.16s' is not one we read", file, name,
                       word);
    }
    entry->begin = json_integer_value(begin);
    entry->end = json_integer_value(end);
    return parse_shape(err, file, shape, entry);
}

/* By place in the buffer; empty tensors before the one that begins where they stand. */
static int compare_entries(const void *a, const void *b)
{
    const struct entry *first = a;
    const struct entry *second = b;
    if (first->begin != second->begin) {
        return first->begin < second->begin ? -1 : 1;
    }
    if (first->end != second->end) {
        return first->end < second->end ? -1 : 1;
    }
    return strcmp(first->name, second->name);
}

/* The sorted entries must fill the buffer without overlap or hole. Names are unique,
 * since they are keys of one JSON object: no search is needed to add them. */
static enum sl_status place_entries(struct sl_error *err, const char *name,
                                    const struct entry *entries, int n,
                                    const unsigned char *buffer, int64_t buffer_size,
                                    struct sl_named_list *list)
{
    int64_t next = 0;
    SL_TRY(sl_heap_alloc(err, "list of tensors", n, sizeof *list->items, &list->items));
    list->capacity = n;
    for (int i = 0; i < n; i++) {
        const struct entry *entry = &entries[i];
        if (entry->begin != next || entry->end > buffer_size) {
            return SL_FAIL(
                err, SL_ERROR_RUN,
                "%s: tensor '%.60s': bytes %lld to %lld, when %lld is next and %lld the "
                "end: cut short or damaged",
                name, entry->name, (long long)entry->begin, (long long)entry->end,
                (long long)next, (long long)buffer_size);
        }
        next = entry->end;
        /* The map is read-only; a tensor's data pointer is not, but nobody writes through
         * this list. */
        void *data = NULL;
        const unsigned char *at = buffer + entry->begin;
        memcpy(&data, &at, sizeof data);
        struct sl_named *item = &list->items[list->n++];
        (void)sl_text_copy(item->name, sizeof item->name, entry->name);
        item->tensor = sl_tensor_make(data, entry->dtype, entry->n_dims, entry->dims);
    }
    if (next != buffer_size) {
        return SL_FAIL(
            err, SL_ERROR_RUN,
            "%s: tensors take %lld bytes, the file holds %lld: cut short or damaged",
            name, (long long)next, (long long)buffer_size);
    }
    return SL_OK;
}

static enum sl_status parse_tensors(struct sl_error *err, const char *name,
                                    const unsigned char *buffer, int64_t buffer_size,
                                    struct sl_tensor_file *file)
{
    enum sl_status status = SL_OK;
    struct entry *entries = NULL;
    const char *key = NULL;
    json_t *value = NULL;
    int n = 0;
    SL_TRY_OUT(sl_heap_alloc(err, "header of a tensor file",
                             (int64_t)json_object_size(file->header), sizeof *entries,
                             &entries));
    json_object_foreach(file->header, key, value)
    {
        if (strcmp(key, METADATA) != 0) {
            SL_TRY_OUT(parse_entry(err, name, key, value, &entries[n]));
            n++;
        } else if (!json_is_object(value)) {
            status = SL_FAIL(err, SL_ERROR_RUN, "%s: %s is not an object: damaged", name,
                             METADATA);
            goto out;
        }
    }
    qsort(entries, (size_t)n, sizeof *entries, compare_entries);
    SL_TRY_OUT(place_entries(err, name, entries, n, buffer, buffer_size, &file->list));
out:
    sl_heap_free(entries);
    return status;
}

/* ---- checksum ---------------------------------------------------------------------- */

static enum sl_status check_sum(struct sl_error *err, const char *name,
                                const unsigned char *bytes, int64_t size,
                                uint64_t header_length, bool needed,
                                struct sl_tensor_file *file)
{
    const char *said = sl_tensor_file_meta(file, CHECKSUM_KEY);
    if (said == NULL || strlen(said) != CHECKSUM_DIGITS) {
        return needed ? SL_FAIL(err, SL_ERROR_RUN,
                                "%s: has no checksum: not a checkpoint of slimclr", name)
                      : SL_OK;
    }
    const char *header = (const char *)bytes + LENGTH_BYTES;
    const char *end = header + header_length;
    const char *at = header;
    while (end - at >= CHECKSUM_DIGITS && memcmp(at, said, CHECKSUM_DIGITS) != 0) {
        at++;
    }
    if (end - at < CHECKSUM_DIGITS) {
        return SL_FAIL(err, SL_ERROR_RUN,
                       "%s: checksum is written in an odd way: damaged", name);
    }
    uint64_t hash = sl_hash(SL_HASH_START, header, (size_t)(at - header));
    hash = sl_hash(hash, ZEROS, CHECKSUM_DIGITS);
    at += CHECKSUM_DIGITS;
    hash = sl_hash(hash, at, (size_t)((const char *)bytes + size - at));
    (void)snprintf(file->checksum, sizeof file->checksum, "%016llx",
                   (unsigned long long)hash);
    if (strcmp(file->checksum, said) != 0) {
        return SL_FAIL(
            err, SL_ERROR_RUN,
            "%s: checksum differs (%s in the file, %s computed): damaged; use an earlier "
            "checkpoint",
            name, said, file->checksum);
    }
    return SL_OK;
}

static enum sl_status parse(struct sl_error *err, const char *name,
                            const unsigned char *bytes, int64_t size, bool need_checksum,
                            struct sl_tensor_file *file)
{
    json_error_t problem;
    if (size < LENGTH_BYTES) {
        return SL_FAIL(err, SL_ERROR_RUN, "%s: cut short: %lld bytes are no tensor file",
                       name, (long long)size);
    }
    uint64_t length = take_length(bytes);
    if (length > HEADER_MOST) {
        return SL_FAIL(err, SL_ERROR_RUN,
                       "%s: not a safetensors file, as checkpoints are; name a run "
                       "directory, or a file in its checkpoints",
                       name);
    }
    if ((int64_t)length > size - LENGTH_BYTES) {
        return SL_FAIL(
            err, SL_ERROR_RUN,
            "%s: header of %llu bytes in a file of %lld: cut short, or no tensor file",
            name, (unsigned long long)length, (long long)size);
    }
    file->header = json_loadb((const char *)bytes + LENGTH_BYTES, (size_t)length,
                              JSON_REJECT_DUPLICATES, &problem);
    if (!json_is_object(file->header) || json_object_size(file->header) > TENSORS_MOST) {
        return SL_FAIL(err, SL_ERROR_RUN, "%s: header is not a JSON object: damaged",
                       name);
    }
    const unsigned char *buffer = bytes + LENGTH_BYTES + length;
    int64_t buffer_size = size - LENGTH_BYTES - (int64_t)length;
    SL_TRY(parse_tensors(err, name, buffer, buffer_size, file));
    return check_sum(err, name, bytes, size, length, need_checksum, file);
}

enum sl_status sl_tensor_file_parse(struct sl_error *err, const char *name,
                                    const unsigned char *bytes, int64_t size,
                                    bool need_checksum, struct sl_tensor_file **file)
{
    enum sl_status status = SL_OK;
    struct sl_tensor_file *made = NULL;
    *file = NULL;
    size_t length = strlen(name) + 1;
    SL_TRY_OUT(sl_heap_alloc(err, "tensor file", 1, sizeof *made, &made));
    SL_TRY_OUT(
        sl_heap_alloc(err, "name of a tensor file", (int64_t)length, 1, &made->name));
    memcpy(made->name, name, length);
    SL_TRY_OUT(parse(err, name, bytes, size, need_checksum, made));
    *file = made;
    made = NULL;
out:
    sl_tensor_file_close(made);
    return status;
}

enum sl_status sl_tensor_file_open(struct sl_error *err, const char *path,
                                   bool need_checksum, struct sl_tensor_file **file)
{
    struct sl_file_map map = {0};
    *file = NULL;
    SL_TRY(sl_file_map_open(err, SL_ERROR_RUN, path, &map));
    enum sl_status status =
        sl_tensor_file_parse(err, path, map.bytes, map.size, need_checksum, file);
    if (status != SL_OK) {
        sl_file_map_close(&map);
        return status;
    }
    (*file)->map = map;
    return SL_OK;
}

void sl_tensor_file_close(struct sl_tensor_file *file)
{
    if (file == NULL) {
        return;
    }
    json_decref(file->header);
    sl_named_finish(&file->list);
    sl_heap_free(file->name);
    if (file->map.bytes != NULL) {
        sl_file_map_close(&file->map);
    }
    sl_heap_free(file);
}

const char *sl_tensor_file_name(const struct sl_tensor_file *file)
{
    return file->name;
}

const struct sl_named_list *sl_tensor_file_list(const struct sl_tensor_file *file)
{
    return &file->list;
}

const char *sl_tensor_file_meta(const struct sl_tensor_file *file, const char *key)
{
    return json_string_value(
        json_object_get(json_object_get(file->header, METADATA), key));
}

const char *sl_tensor_file_checksum(const struct sl_tensor_file *file)
{
    return file->checksum;
}
