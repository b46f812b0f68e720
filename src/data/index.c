/* SPDX-License-Identifier: MIT */
/*
 * Builds the index of a collection: texts go into one pool, pictures and directories into
 * tables; freezing sorts them, numbers the classes and packs all of it into one block.
 * What the pictures are and where they lie is the business of those who add them.
 * Invariant: the frozen index is a function of what was added, not of the order in which
 * a file system listed it.
 */
#include "data/index_int.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *const extensions[] = {".jpg",  ".jpeg", ".jpe", ".jfif", ".png",
                                         ".webp", ".bmp",  ".dib", ".tif",  ".tiff",
                                         ".pbm",  ".pgm",  ".ppm", ".pnm"};

bool sl_has_image_name(const char *name)
{
    const char *dot = strrchr(name, '.');
    if (dot == NULL || name[0] == '.') {
        return false;
    }
    for (int i = 0; i < SL_COUNT(extensions); i++) {
        if (strcasecmp(dot, extensions[i]) == 0) {
            return true;
        }
    }
    return false;
}

uint64_t sl_image_names_hash(void)
{
    uint64_t hash = SL_HASH_START;
    for (int i = 0; i < SL_COUNT(extensions); i++) {
        hash = sl_hash(hash, extensions[i], strlen(extensions[i]) + 1);
    }
    return hash;
}

/* ---- adding ------------------------------------------------------------------------ */

enum sl_status sl_rows_grow(struct sl_error *err, struct sl_rows *rows, size_t size)
{
    if (rows->n < rows->capacity) {
        return SL_OK;
    }
    int64_t capacity = rows->capacity > 0 ? rows->capacity * 2 : 256;
    void *items = NULL;
    SL_TRY(sl_heap_alloc(err, "index of pictures", capacity, size, &items));
    if (rows->n > 0) {
        memcpy(items, rows->items, (size_t)rows->n * size);
    }
    sl_heap_free(rows->items);
    rows->items = items;
    rows->capacity = capacity;
    return SL_OK;
}

static enum sl_status fail_memory(struct sl_error *err)
{
    return SL_FAIL(err, SL_ERROR_RUN, "out of memory for the index of pictures");
}

enum sl_status sl_builder_text(struct sl_error *err, struct sl_builder *builder,
                               const char *text, size_t length, uint64_t *at)
{
    *at = builder->pool.length;
    sl_text_add_bytes(&builder->pool, text, length);
    sl_text_add_bytes(&builder->pool, "", 1);
    return builder->pool.failed ? fail_memory(err) : SL_OK;
}

static uint64_t dir_hash(const char *text, size_t length, uint32_t place)
{
    uint64_t hash = sl_hash(SL_HASH_START, text, length);
    return sl_hash(hash, &place, sizeof(place));
}

/* The slot of a directory, or the empty one where it belongs. */
static uint32_t *dir_slot(const struct sl_builder *builder, const char *text,
                          size_t length, uint32_t place)
{
    uint32_t *slots = builder->dir_slots.items;
    const struct sl_build_dir *dirs = builder->dirs.items;
    uint64_t mask = (uint64_t)builder->dir_slots.capacity - 1;
    for (uint64_t at = dir_hash(text, length, place) & mask;; at = (at + 1) & mask) {
        if (slots[at] == 0) {
            return &slots[at];
        }
        const struct sl_build_dir *dir = &dirs[slots[at] - 1];
        const char *other = builder->pool.text + dir->text;
        if (dir->place == place && strncmp(other, text, length) == 0 &&
            other[length] == '\0') {
            return &slots[at];
        }
    }
}

static enum sl_status dir_slots_grow(struct sl_error *err, struct sl_builder *builder)
{
    struct sl_rows old = builder->dir_slots;
    if (builder->dirs.n * 2 < old.capacity) {
        return SL_OK;
    }
    int64_t capacity = old.capacity > 0 ? old.capacity * 2 : 64;
    builder->dir_slots = (struct sl_rows){.capacity = capacity};
    enum sl_status status = sl_heap_alloc(err, "index of directories", capacity,
                                          sizeof(uint32_t), &builder->dir_slots.items);
    if (status != SL_OK) {
        builder->dir_slots = old;
        return status;
    }
    const struct sl_build_dir *dirs = builder->dirs.items;
    for (int64_t d = 0; d < builder->dirs.n; d++) {
        const char *text = builder->pool.text + dirs[d].text;
        *dir_slot(builder, text, strlen(text), dirs[d].place) = (uint32_t)d + 1;
    }
    sl_heap_free(old.items);
    return SL_OK;
}

enum sl_status sl_builder_dir(struct sl_error *err, struct sl_builder *builder,
                              const char *text, size_t length,
                              const struct sl_build_dir *like, uint32_t *number)
{
    SL_TRY(dir_slots_grow(err, builder));
    uint32_t *slot = dir_slot(builder, text, length, like->place);
    if (*slot == 0) {
        SL_TRY(sl_rows_grow(err, &builder->dirs, sizeof(struct sl_build_dir)));
        struct sl_build_dir *dir =
            (struct sl_build_dir *)builder->dirs.items + builder->dirs.n;
        *dir = *like;
        dir->below = like->below < length ? like->below : (uint32_t)length;
        SL_TRY(sl_builder_text(err, builder, text, length, &dir->text));
        *slot = (uint32_t)++builder->dirs.n;
    }
    *number = *slot - 1;
    return SL_OK;
}

static enum sl_status add_entry(struct sl_error *err, struct sl_builder *builder,
                                uint32_t dir, const char *name,
                                const struct sl_extent *extent, int32_t label)
{
    SL_TRY(sl_rows_grow(err, &builder->entries, sizeof(struct sl_build_entry)));
    struct sl_build_entry *entry =
        (struct sl_build_entry *)builder->entries.items + builder->entries.n;
    *entry = (struct sl_build_entry){.dir = dir, .label = label};
    if (extent != NULL) {
        entry->offset = extent->offset;
        entry->size = extent->size;
        entry->sum = extent->sum;
        builder->has_extents = true;
        builder->has_sums = builder->has_sums || (extent->offset & SL_EXTENT_SUMMED) != 0;
    }
    SL_TRY(sl_builder_text(err, builder, name, strlen(name), &entry->name));
    if (++builder->entries.n > INT32_MAX) {
        return SL_FAIL(err, SL_ERROR_DATA, "%s: more than %d pictures", name, INT32_MAX);
    }
    return SL_OK;
}

enum sl_status sl_builder_add(struct sl_error *err, struct sl_builder *builder,
                              const char *path, const struct sl_build_dir *like,
                              const struct sl_extent *extent, int32_t label)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;
    /* "/name" keeps its slash as the directory, so that the path stays absolute. */
    size_t length = slash == NULL ? 0 : slash == path ? 1 : (size_t)(slash - path);
    uint32_t dir = 0;
    SL_TRY(sl_builder_dir(err, builder, path, length, like, &dir));
    return add_entry(err, builder, dir, name, extent, label);
}

enum sl_status sl_builder_add_in(struct sl_error *err, struct sl_builder *builder,
                                 uint32_t dir, const char *name, int32_t label)
{
    return add_entry(err, builder, dir, name, NULL, label);
}

enum sl_status sl_builder_place(struct sl_error *err, struct sl_builder *builder,
                                const char *text, const struct sl_place *place)
{
    SL_TRY(sl_rows_grow(err, &builder->places, sizeof(struct sl_place)));
    struct sl_place *made = (struct sl_place *)builder->places.items + builder->places.n;
    *made = *place;
    SL_TRY(sl_builder_text(err, builder, text, strlen(text), &made->text));
    builder->places.n++;
    return SL_OK;
}

static enum sl_status add_class(struct sl_error *err, struct sl_builder *builder,
                                const char *text, size_t length)
{
    SL_TRY(sl_rows_grow(err, &builder->classes, sizeof(uint64_t)));
    uint64_t *class = (uint64_t *)builder->classes.items + builder->classes.n;
    SL_TRY(sl_builder_text(err, builder, text, length, class));
    builder->classes.n++;
    return SL_OK;
}

enum sl_status sl_builder_class(struct sl_error *err, struct sl_builder *builder,
                                const char *text)
{
    return add_class(err, builder, text, strlen(text));
}

int64_t sl_classes_most(int64_t n_pictures)
{
    return n_pictures < SL_INDEX_CLASSES_FEW   ? SL_INDEX_CLASSES_FEW
           : n_pictures > SL_INDEX_CLASSES_MAX ? SL_INDEX_CLASSES_MAX
                                               : n_pictures;
}

enum sl_status sl_builder_number_classes(struct sl_error *err, const char *name,
                                         struct sl_builder *builder, int64_t n)
{
    int64_t most = sl_classes_most(builder->entries.n);
    if (n > most) {
        return SL_FAIL(err, SL_ERROR_DATA,
                       "%s: a label is %lld; with %lld pictures they go from 0 to %lld "
                       "at most: number the classes from 0 on",
                       name, (long long)n - 1, (long long)builder->entries.n,
                       (long long)most - 1);
    }
    for (int64_t c = builder->classes.n; c < n; c++) {
        char text[24];
        int length = snprintf(text, sizeof(text), "%lld", (long long)c);
        SL_TRY(add_class(err, builder, text, (size_t)length));
    }
    return SL_OK;
}

void sl_builder_finish(struct sl_builder *builder)
{
    sl_text_finish(&builder->pool);
    sl_heap_free(builder->entries.items);
    sl_heap_free(builder->dirs.items);
    sl_heap_free(builder->places.items);
    sl_heap_free(builder->classes.items);
    sl_heap_free(builder->dir_slots.items);
    memset(builder, 0, sizeof(*builder));
}

/* ---- order ------------------------------------------------------------------------- */

/* What an entry is sorted by. */
struct sort_row {
    const char *dir, *name;
    int64_t entry;
    uint32_t part, place;
};

/* Byte order of "dir/name", without putting it together. */
static int compare_paths(const struct sort_row *a, const struct sort_row *b)
{
    if (a->dir == b->dir) {
        return strcmp(a->name, b->name);
    }
    const char *p = a->dir, *q = b->dir;
    const char *p_next = a->name, *q_next = b->name;
    for (;;) {
        int left = (unsigned char)*p++, right = (unsigned char)*q++;
        if (left == '\0' && p_next != NULL) {
            left = a->dir[0] != '\0' ? '/' : (unsigned char)*p_next++;
            p = p_next;
            p_next = NULL;
        }
        if (right == '\0' && q_next != NULL) {
            right = b->dir[0] != '\0' ? '/' : (unsigned char)*q_next++;
            q = q_next;
            q_next = NULL;
        }
        if (left != right || left == '\0') {
            return left - right;
        }
    }
}

static int by_place_and_path(const void *first, const void *second)
{
    const struct sort_row *a = first, *b = second;
    if (a->part != b->part) {
        return a->part < b->part ? -1 : 1;
    }
    if (a->place != b->place) {
        return a->place < b->place ? -1 : 1;
    }
    int order = compare_paths(a, b);
    /* The same path twice in one archive: as they come. */
    return order != 0 ? order : a->entry < b->entry ? -1 : a->entry > b->entry ? 1 : 0;
}

/* In an archive the last member of a name counts, as for those who unpack it. */
static int64_t drop_replaced(struct sort_row *rows, int64_t n)
{
    int64_t kept = 0;
    for (int64_t i = 0; i < n; i++) {
        bool is_replaced = i + 1 < n && rows[i].part == rows[i + 1].part &&
                           rows[i].place == rows[i + 1].place &&
                           compare_paths(&rows[i], &rows[i + 1]) == 0;
        if (!is_replaced) {
            rows[kept++] = rows[i];
        }
    }
    return kept;
}

/* The rows of all pictures that belong, in order. */
static enum sl_status order_entries(struct sl_error *err,
                                    const struct sl_builder *builder,
                                    struct sort_row **rows, int64_t *n)
{
    const struct sl_build_entry *entries = builder->entries.items;
    const struct sl_build_dir *dirs = builder->dirs.items;
    *n = 0;
    SL_TRY(sl_heap_alloc(err, "order of pictures", builder->entries.n, sizeof(**rows),
                         rows));
    for (int64_t i = 0; i < builder->entries.n; i++) {
        const struct sl_build_dir *dir = &dirs[entries[i].dir];
        if (dir->part == SL_PART_NEITHER || entries[i].label == INT32_MIN) {
            continue;
        }
        (*rows)[(*n)++] = (struct sort_row){
            .dir = builder->pool.text + dir->text,
            .name = builder->pool.text + entries[i].name,
            .entry = i,
            .part = (uint32_t)dir->part,
            .place = dir->place,
        };
    }
    if (!builder->keep_order) {
        if (*n > 1) {
            qsort(*rows, (size_t)*n, sizeof(**rows), by_place_and_path);
        }
        *n = drop_replaced(*rows, *n);
    }
    return SL_OK;
}

/* ---- classes ----------------------------------------------------------------------- */

struct class_row {
    const char *text;
    size_t length;
};

static int by_class(const void *first, const void *second)
{
    const struct class_row *a = first, *b = second;
    size_t shorter = a->length < b->length ? a->length : b->length;
    int order = memcmp(a->text, b->text, shorter);
    return order != 0              ? order
           : a->length < b->length ? -1
           : a->length > b->length ? 1
                                   : 0;
}

/* The first directory below the part; length 0: the pictures lie beside the classes. */
static struct class_row class_of_dir(const struct sl_builder *builder,
                                     const struct sl_build_dir *dir)
{
    const char *text = builder->pool.text + dir->text + dir->below;
    return (struct class_row){text, strcspn(text, "/")};
}

/* Classes are the first directories of all pictures that belong, those of both parts, so
 * that a class has the same number in each. labels[d]: of the pictures in directory d. */
static enum sl_status classes_from_dirs(struct sl_error *err, struct sl_builder *builder,
                                        const bool *is_used, int32_t *labels)
{
    enum sl_status status = SL_OK;
    struct class_row *rows = NULL;
    struct sl_text names = {0};
    int64_t n = 0, kept = 0;
    const struct sl_build_dir *dirs = builder->dirs.items;
    SL_TRY(sl_heap_alloc(err, "classes", builder->dirs.n, sizeof(*rows), &rows));
    for (int64_t d = 0; d < builder->dirs.n; d++) {
        rows[n] = class_of_dir(builder, &dirs[d]);
        n += is_used[d] && rows[n].length > 0 ? 1 : 0;
    }
    if (n > 1) {
        qsort(rows, (size_t)n, sizeof(*rows), by_class);
    }
    for (int64_t i = 0; i < n; i++) {
        if (i == 0 || by_class(&rows[kept - 1], &rows[i]) != 0) {
            rows[kept++] = rows[i];
        }
    }
    for (int64_t d = 0; d < builder->dirs.n; d++) {
        struct class_row key = class_of_dir(builder, &dirs[d]);
        const struct class_row *found =
            key.length == 0 || kept == 0
                ? NULL
                : bsearch(&key, rows, (size_t)kept, sizeof(*rows), by_class);
        labels[d] = found != NULL ? (int32_t)(found - rows) : -1;
    }
    /* The pool may move while it grows: the names go by a copy. */
    for (int64_t c = 0; c < kept; c++) {
        sl_text_add_bytes(&names, rows[c].text, rows[c].length);
        sl_text_add_bytes(&names, "", 1);
    }
    if (names.failed) {
        status = fail_memory(err);
    }
    const char *at = names.text;
    for (int64_t c = 0; c < kept && status == SL_OK; c++) {
        status = add_class(err, builder, at, strlen(at));
        at += strlen(at) + 1;
    }
    sl_text_finish(&names);
    sl_heap_free(rows);
    return status;
}

/* ---- freezing ---------------------------------------------------------------------- */

/* What freezing needs besides the builder. */
struct freeze {
    struct sl_builder *builder;
    struct sort_row *rows;
    int64_t n;
    bool *is_used;      /* by directory of the builder */
    int32_t *dir_label; /* the same */
    uint32_t *dir_to;   /* number in the frozen index */
    int64_t n_dirs;
    uint64_t pool_used;
};

/* Directories are numbered as their first pictures come. */
static void number_dirs(struct freeze *freeze)
{
    const struct sl_build_entry *entries = freeze->builder->entries.items;
    for (int64_t i = 0; i < freeze->n; i++) {
        uint32_t d = entries[freeze->rows[i].entry].dir;
        if (!freeze->is_used[d]) {
            freeze->is_used[d] = true;
            freeze->dir_to[d] = (uint32_t)freeze->n_dirs++;
        }
    }
}

static uint64_t pool_put(struct freeze *freeze, struct sl_index *index, const char *text)
{
    uint64_t at = freeze->pool_used;
    size_t size = strlen(text) + 1;
    memcpy((char *)(uintptr_t)index->pool + at, text, size);
    freeze->pool_used += size;
    return at;
}

static int64_t pool_need(const struct freeze *freeze, const char *key)
{
    const struct sl_builder *builder = freeze->builder;
    const struct sl_build_dir *dirs = builder->dirs.items;
    const struct sl_place *places = builder->places.items;
    const uint64_t *classes = builder->classes.items;
    size_t need = strlen(key) + 1;
    for (int64_t i = 0; i < freeze->n; i++) {
        need += strlen(freeze->rows[i].name) + 1;
    }
    for (int64_t d = 0; d < builder->dirs.n; d++) {
        need += freeze->is_used[d] ? strlen(builder->pool.text + dirs[d].text) + 1 : 0;
    }
    for (int64_t p = 0; p < builder->places.n; p++) {
        need += strlen(builder->pool.text + places[p].text) + 1;
    }
    for (int64_t c = 0; c < builder->classes.n; c++) {
        need += strlen(builder->pool.text + classes[c]) + 1;
    }
    return (int64_t)need;
}

static void put_tables(struct freeze *freeze, struct sl_index *index)
{
    const struct sl_builder *builder = freeze->builder;
    const struct sl_build_dir *dirs = builder->dirs.items;
    const uint64_t *classes = builder->classes.items;
    struct sl_place *places = (struct sl_place *)(uintptr_t)index->places;
    if (builder->places.n > 0) {
        memcpy(places, builder->places.items,
               (size_t)builder->places.n * sizeof(*places));
    }
    for (int64_t p = 0; p < builder->places.n; p++) {
        places[p].text = pool_put(freeze, index, builder->pool.text + places[p].text);
    }
    for (int64_t d = 0; d < builder->dirs.n; d++) {
        if (freeze->is_used[d]) {
            struct sl_index_dir *dir =
                (struct sl_index_dir *)(uintptr_t)index->dirs + freeze->dir_to[d];
            dir->text = pool_put(freeze, index, builder->pool.text + dirs[d].text);
            dir->place = dirs[d].place;
            dir->label = freeze->dir_label[d];
        }
    }
    for (int64_t c = 0; c < builder->classes.n; c++) {
        ((uint64_t *)(uintptr_t)index->classes)[c] =
            pool_put(freeze, index, builder->pool.text + classes[c]);
    }
}

static void put_entries(struct freeze *freeze, struct sl_index *index)
{
    const struct sl_build_entry *entries = freeze->builder->entries.items;
    uint64_t *base = (uint64_t *)(uintptr_t)index->base;
    uint32_t *name = (uint32_t *)(uintptr_t)index->name;
    uint32_t *dir = (uint32_t *)(uintptr_t)index->dir;
    uint64_t *offset = (uint64_t *)(uintptr_t)index->offset;
    uint32_t *size = (uint32_t *)(uintptr_t)index->size;
    uint32_t *sum = (uint32_t *)(uintptr_t)index->sum;
    int32_t *label = (int32_t *)(uintptr_t)index->label;
    for (int64_t i = 0; i < freeze->n; i++) {
        const struct sl_build_entry *entry = &entries[freeze->rows[i].entry];
        uint64_t at = pool_put(freeze, index, freeze->rows[i].name);
        if (i % SL_INDEX_CHUNK == 0) {
            base[i / SL_INDEX_CHUNK] = at;
        }
        name[i] = (uint32_t)(at - base[i / SL_INDEX_CHUNK]);
        dir[i] = freeze->dir_to[entry->dir];
        if (offset != NULL) {
            offset[i] = entry->offset;
            size[i] = entry->size;
        }
        if (sum != NULL) {
            sum[i] = entry->sum;
        }
        if (label != NULL) {
            label[i] = entry->label;
        }
    }
}

/* Of one part: the path of each picture below the part, its size where an archive lists
 * it, and its label. */
static uint64_t hash_part(const struct freeze *freeze, const struct sl_index *index,
                          int64_t first, int64_t end)
{
    const struct sl_builder *builder = freeze->builder;
    const struct sl_build_entry *entries = builder->entries.items;
    const struct sl_build_dir *dirs = builder->dirs.items;
    uint64_t hash = SL_HASH_START;
    for (int64_t i = first; i < end; i++) {
        const struct sl_build_dir *dir = &dirs[entries[freeze->rows[i].entry].dir];
        const char *below = freeze->rows[i].dir + dir->below;
        const char *name = sl_index_name(index, i);
        int32_t label = sl_index_label(index, i);
        hash = sl_hash(hash, below, strlen(below) + 1);
        hash = sl_hash(hash, name, strlen(name) + 1);
        hash = sl_hash(hash, &label, sizeof(label));
        if (index->size != NULL) {
            hash = sl_hash(hash, &index->size[i], sizeof(index->size[i]));
        }
    }
    return hash;
}

static enum sl_status pack(struct sl_error *err, struct freeze *freeze, const char *key,
                           struct sl_index *index)
{
    const struct sl_builder *builder = freeze->builder;
    struct sl_index_head head = {
        .magic = "SLIDX02",
        .order_mark = UINT64_C(0x0102030405060708),
        .flags = (builder->has_labels ? SL_INDEX_LABELS : 0U) |
                 (builder->has_extents ? SL_INDEX_EXTENTS : 0U) |
                 (builder->parted ? SL_INDEX_PARTED : 0U) |
                 (builder->has_sums ? SL_INDEX_SUMS : 0U),
        .count = freeze->n,
        .n_dirs = freeze->n_dirs,
        .n_places = builder->places.n,
        .n_classes = builder->classes.n,
        .pool_bytes = pool_need(freeze, key),
    };
    while (head.n_train < freeze->n && freeze->rows[head.n_train].part == SL_PART_TRAIN) {
        head.n_train++;
    }
    int64_t total = 0;
    *index = (struct sl_index){.head = &head};
    if (!sl_index_lay_out(index, &total)) {
        return fail_memory(err);
    }
    head.total_bytes = (uint64_t)total;
    unsigned char *block = NULL;
    SL_TRY(sl_heap_alloc(err, "index of pictures", total, 1, &block));
    memcpy(block, &head, sizeof(head));
    struct sl_index_head *made = (struct sl_index_head *)(void *)block;
    index->block = block;
    index->head = made;
    (void)sl_index_lay_out(index, &total);
    made->key = pool_put(freeze, index, key);
    put_tables(freeze, index);
    put_entries(freeze, index);
    SL_ASSERT((int64_t)freeze->pool_used == head.pool_bytes);
    made->fingerprint[0] = hash_part(freeze, index, 0, head.n_train);
    made->fingerprint[1] = hash_part(freeze, index, head.n_train, head.count);
    made->checksum = sl_index_checksum(block, total);
    return SL_OK;
}

enum sl_status sl_builder_freeze(struct sl_error *err, struct sl_builder *builder,
                                 const char *key, struct sl_index *index)
{
    enum sl_status status = SL_OK;
    struct freeze freeze = {.builder = builder};
    int64_t n_dirs = builder->dirs.n;
    *index = (struct sl_index){0};
    SL_TRY_OUT(order_entries(err, builder, &freeze.rows, &freeze.n));
    SL_TRY_OUT(sl_heap_alloc(err, "directories", n_dirs, sizeof(bool), &freeze.is_used));
    SL_TRY_OUT(
        sl_heap_alloc(err, "directories", n_dirs, sizeof(uint32_t), &freeze.dir_to));
    SL_TRY_OUT(
        sl_heap_alloc(err, "directories", n_dirs, sizeof(int32_t), &freeze.dir_label));
    number_dirs(&freeze);
    if (builder->classes.n == 0 && !builder->has_labels && !builder->keep_order) {
        SL_TRY_OUT(classes_from_dirs(err, builder, freeze.is_used, freeze.dir_label));
        /* The pool has grown, and may have moved. */
        sl_heap_free(freeze.rows);
        freeze.rows = NULL;
        SL_TRY_OUT(order_entries(err, builder, &freeze.rows, &freeze.n));
    } else {
        for (int64_t d = 0; d < n_dirs; d++) {
            freeze.dir_label[d] = -1;
        }
    }
    if (builder->classes.n > SL_INDEX_CLASSES_MAX) {
        status = SL_FAIL(err, SL_ERROR_DATA, "%s: %lld classes are more than %d", key,
                         (long long)builder->classes.n, SL_INDEX_CLASSES_MAX);
        goto out;
    }
    SL_TRY_OUT(pack(err, &freeze, key, index));
out:
    sl_heap_free(freeze.rows);
    sl_heap_free(freeze.is_used);
    sl_heap_free(freeze.dir_to);
    sl_heap_free(freeze.dir_label);
    return status;
}

/* ---- asking ------------------------------------------------------------------------ */

const char *sl_index_name(const struct sl_index *index, int64_t i)
{
    return index->pool + index->base[i / SL_INDEX_CHUNK] + index->name[i];
}

const struct sl_index_dir *sl_index_dir(const struct sl_index *index, int64_t i)
{
    return &index->dirs[index->dir[i]];
}

int sl_index_label(const struct sl_index *index, int64_t i)
{
    return index->label != NULL ? index->label[i] : sl_index_dir(index, i)->label;
}

bool sl_index_path(const struct sl_index *index, int64_t i, char *dst, size_t size)
{
    const char *dir = index->pool + sl_index_dir(index, i)->text;
    const char *name = sl_index_name(index, i);
    return dir[0] != '\0' ? sl_path_join(dst, size, dir, name)
                          : sl_text_copy(dst, size, name);
}

void sl_index_finish(struct sl_index *index)
{
    sl_heap_free(index->block);
    *index = (struct sl_index){0};
}
