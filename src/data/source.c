/* SPDX-License-Identifier: MIT */
/*
 * Opens whatever a DATA argument names: picks the reader by what is there, decides which
 * part is meant, joins several DATA, and applies the limit. A source is a list of readers
 * and an order over their pictures; nothing changes after opening. Invariant: picture i
 * is found in two look-ups and depends on files and settings alone.
 */
#include "data/index_int.h"

#include <stdlib.h>
#include <string.h>

enum { SPLIT_ORDER = 1, LIMIT_ORDER = 0 }; /* `a` of SL_RNG_LIMIT */

/* One DATA of a source: a reader, and which of its pictures belong. */
struct member {
    struct sl_reader reader;
    int32_t *chosen; /* NULL = all */
    int64_t count, first;
    int *labels; /* reader's class -> source's class; NULL = the same */
};

struct sl_source {
    struct member *members;
    int n_members;
    int32_t *order; /* of the limit; NULL = as they come */
    int64_t count;
    bool was_split, has_parts;
    int channels;
    int n_classes;
    const char **class_names; /* borrowed from the readers */
    uint64_t fingerprint;
};

void sl_mean_std_imagenet(const struct sl_reader *reader, float mean[3], float std[3])
{
    static const float imagenet_mean[3] = {.485f, .456f, .406f};
    static const float imagenet_std[3] = {.229f, .224f, .225f};
    (void)reader;
    memcpy(mean, imagenet_mean, sizeof(imagenet_mean));
    memcpy(std, imagenet_std, sizeof(imagenet_std));
}

/* ---- one DATA ---------------------------------------------------------------------- */

static int by_number(const void *a, const void *b)
{
    int32_t left = *(const int32_t *)a, right = *(const int32_t *)b;
    return left < right ? -1 : left > right ? 1 : 0;
}

/* A keyed order of 0..n). */
static enum sl_status keyed_order(struct sl_error *err, uint64_t seed, uint32_t purpose,
                                  int64_t n, int32_t **order)
{
    SL_TRY(sl_heap_alloc(err, "order of pictures", n, sizeof(**order), order));
    for (int64_t i = 0; i < n; i++) {
        (*order)[i] = (int32_t)i;
    }
    struct sl_rng rng = sl_rng_at(seed, SL_RNG_LIMIT, purpose, 0);
    sl_rng_shuffle(&rng, *order, n);
    return SL_OK;
}

/* The only part there is becomes two: the first test_fraction of a keyed order is the
 * test part. Both keep the order of the files. */
static enum sl_status split(struct sl_error *err, const struct sl_source_config *config,
                            struct member *member)
{
    int32_t *order = NULL;
    int64_t n = member->reader.count;
    int64_t n_test = (int64_t)((double)n * config->test_fraction + 0.5);
    n_test = n_test < 1 ? 1 : n_test > n - 1 ? n - 1 : n_test;
    if (n < 2) {
        return SL_FAIL(err, SL_ERROR_DATA,
                       "%s: one picture cannot be split into a train and a test part",
                       config->data);
    }
    SL_TRY(keyed_order(err, config->seed, SPLIT_ORDER, n, &order));
    int64_t from = config->part == SL_PART_TEST ? 0 : n_test;
    member->count = config->part == SL_PART_TEST ? n_test : n - n_test;
    memmove(order, order + from, (size_t)member->count * sizeof(*order));
    qsort(order, (size_t)member->count, sizeof(*order), by_number);
    member->chosen = order;
    return SL_OK;
}

static bool ends(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    while (n > 1 && text[n - 1] == '/') {
        n--;
    }
    return n >= m && strncmp(text + n - m, end, m) == 0;
}

static enum sl_status open_path(struct sl_error *err,
                                const struct sl_source_config *config,
                                struct sl_reader *reader)
{
    const char *data = config->data;
    enum sl_path_kind kind = sl_path_kind(data);
    bool is_pattern = strchr(data, '{') != NULL;
    if (ends(data, ".lmdb")) {
        return sl_lmdb_open(err, config, reader);
    }
    if (sl_archive_is(data) && (kind == SL_PATH_FILE || is_pattern)) {
        return sl_archive_open(err, config, reader);
    }
    if (kind == SL_PATH_MISSING) {
        return SL_FAIL(err, SL_ERROR_DATA,
                       "%s: no such file or directory; DATA is a folder of images, "
                       "archives, a list file, a folder of CIFAR or IDX files, or "
                       "synthetic: (see `slimclr list formats`)",
                       data);
    }
    if (kind != SL_PATH_DIRECTORY) {
        return SL_FAIL(err, SL_ERROR_DATA,
                       "%s: not a known kind of data: a single file must be an archive "
                       "(.tar .tar.gz .zip), an .lmdb, a CIFAR *_batch*.bin, train.bin "
                       "or test.bin, or an IDX *-images-idx3-ubyte[.gz]; a list of "
                       "files is named with @ in front",
                       data);
    }
    return sl_archive_is_folder(data) ? sl_archive_open(err, config, reader)
                                      : sl_folder_open(err, config, reader);
}

/* Takes the part that is meant, or the only one there is. */
static enum sl_part choose_part(const struct sl_source_config *config,
                                const struct sl_parts *parts)
{
    bool has_both = parts->train && parts->test;
    return has_both ? config->part : parts->test ? SL_PART_TEST : SL_PART_TRAIN;
}

static enum sl_status open_reader(struct sl_error *err,
                                  const struct sl_source_config *config,
                                  struct sl_reader *reader, struct sl_parts *parts)
{
    const char *data = config->data;
    bool found = false;
    *parts = (struct sl_parts){true, true};
    if (sl_procedural_is(data)) {
        return sl_procedural_open(err, data, config->part, reader);
    }
    if (sl_path_kind(data) == SL_PATH_DIRECTORY) {
        /* Before anything else reads the directory, which may be large. */
        SL_TRY(sl_folder_open_cached(err, config, reader, &found));
    }
    if (found) {
        ; /* known, and unchanged */
    } else if (sl_list_is(data)) {
        SL_TRY(sl_list_open(err, config, reader));
    } else if (sl_raw_probe(data, parts)) {
        return sl_raw_open(err, data, choose_part(config, parts), reader);
    } else {
        SL_TRY(open_path(err, config, reader));
    }
    sl_collection_parts(reader, parts);
    return sl_collection_take(err, data, choose_part(config, parts), reader);
}

static enum sl_status open_member(struct sl_error *err,
                                  const struct sl_source_config *config,
                                  struct member *member, struct sl_source *source)
{
    struct sl_parts parts;
    SL_TRY(open_reader(err, config, &member->reader, &parts));
    member->count = member->reader.count;
    source->has_parts = parts.train && parts.test;
    if (!source->has_parts && !config->whole) {
        SL_TRY(split(err, config, member));
        source->was_split = true;
    }
    return SL_OK;
}

/* ---- several ----------------------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Makes a sorted list free of repetitions. */
static int unique_names(const char **names, int64_t n)
{
    int kept = 0;
    qsort(names, (size_t)n, sizeof(*names), by_name);
    for (int64_t i = 0; i < n; i++) {
        if (i == 0 || strcmp(names[kept - 1], names[i]) != 0) {
            names[kept++] = names[i];
        }
    }
    return kept;
}

static enum sl_status map_classes(struct sl_error *err, const struct sl_source *source,
                                  struct member *member)
{
    const struct sl_reader *reader = &member->reader;
    SL_TRY(sl_heap_alloc(err, "class table", reader->n_classes, sizeof(int),
                         &member->labels));
    for (int c = 0; c < reader->n_classes; c++) {
        const char *name = reader->kind->class_name(reader, c);
        const char **found =
            bsearch(&name, source->class_names, (size_t)source->n_classes,
                    sizeof(const char *), by_name);
        member->labels[c] = (int)(found - source->class_names);
    }
    return SL_OK;
}

/* The classes of one DATA stay as they are; those of several are united by name. */
static enum sl_status join_classes(struct sl_error *err, struct sl_source *source)
{
    int64_t most = 0, n = 0;
    for (int m = 0; m < source->n_members; m++) {
        most += source->members[m].reader.n_classes;
    }
    SL_TRY(sl_heap_alloc(err, "class names", most, sizeof(char *), &source->class_names));
    for (int m = 0; m < source->n_members; m++) {
        const struct sl_reader *reader = &source->members[m].reader;
        for (int c = 0; c < reader->n_classes; c++) {
            source->class_names[n++] = reader->kind->class_name(reader, c);
        }
    }
    if (source->n_members == 1 || n == 0) {
        source->n_classes = (int)n;
        return SL_OK;
    }
    source->n_classes = unique_names(source->class_names, n);
    for (int m = 0; m < source->n_members; m++) {
        SL_TRY(map_classes(err, source, &source->members[m]));
    }
    return SL_OK;
}

static enum sl_status apply_limit(struct sl_error *err,
                                  const struct sl_source_config *config,
                                  struct sl_source *source)
{
    if (config->limit < 0) {
        return SL_FAIL(err, SL_ERROR_USAGE, "limit must not be negative (seen: %lld)",
                       (long long)config->limit);
    }
    if (config->limit == 0 || config->limit >= source->count) {
        return SL_OK;
    }
    SL_TRY(keyed_order(err, config->seed, LIMIT_ORDER, source->count, &source->order));
    source->count = config->limit;
    return SL_OK;
}

static void hash_source(struct sl_source *source)
{
    uint64_t hash = SL_HASH_START;
    for (int m = 0; m < source->n_members; m++) {
        const struct member *member = &source->members[m];
        hash = sl_hash(hash, &member->reader.fingerprint, sizeof(uint64_t));
        hash = sl_hash(hash, &member->count, sizeof(member->count));
        if (member->chosen != NULL) {
            hash = sl_hash(hash, member->chosen, (size_t)member->count * sizeof(int32_t));
        }
    }
    if (source->order != NULL) {
        hash = sl_hash(hash, source->order, (size_t)source->count * sizeof(int32_t));
    }
    source->fingerprint = hash;
}

static enum sl_status open_members(struct sl_error *err,
                                   const struct sl_source_config *config,
                                   const char *const *data, int n_data,
                                   struct sl_source *source)
{
    source->channels = config->decode.channels == 1 ? 1 : 3;
    SL_TRY(sl_heap_alloc(err, "sources", n_data, sizeof(*source->members),
                         &source->members));
    for (int m = 0; m < n_data; m++) {
        struct sl_source_config one = *config;
        struct member *member = &source->members[m];
        one.data = data[m];
        source->n_members = m + 1;
        SL_TRY(open_member(err, &one, member, source));
        member->first = source->count;
        source->count += member->count;
    }
    if (source->count > INT32_MAX) {
        return SL_FAIL(err, SL_ERROR_DATA, "%lld pictures are more than %d",
                       (long long)source->count, INT32_MAX);
    }
    SL_TRY(join_classes(err, source));
    SL_TRY(apply_limit(err, config, source));
    hash_source(source);
    return SL_OK;
}

enum sl_status sl_source_open_all(struct sl_error *err,
                                  const struct sl_source_config *config,
                                  const char *const *data, int n_data,
                                  struct sl_source **source)
{
    *source = NULL;
    if (n_data < 1) {
        return SL_FAIL(err, SL_ERROR_USAGE, "no DATA was given");
    }
    SL_TRY(sl_heap_alloc(err, "source", 1, sizeof(**source), source));
    enum sl_status status = open_members(err, config, data, n_data, *source);
    if (status != SL_OK) {
        sl_source_close(*source);
        *source = NULL;
    }
    return status;
}

enum sl_status sl_source_open(struct sl_error *err, const struct sl_source_config *config,
                              struct sl_source **source)
{
    return sl_source_open_all(err, config, &config->data, 1, source);
}

void sl_source_close(struct sl_source *source)
{
    if (source == NULL) {
        return;
    }
    for (int m = 0; m < source->n_members; m++) {
        struct member *member = &source->members[m];
        if (member->reader.kind != NULL) {
            member->reader.kind->close(&member->reader);
        }
        sl_heap_free(member->chosen);
        sl_heap_free(member->labels);
    }
    sl_heap_free(source->members);
    sl_heap_free(source->order);
    sl_heap_free(source->class_names);
    sl_heap_free(source);
}

/* ---- reading ----------------------------------------------------------------------- */

/* The reader of picture i, and the picture's number there. */
static const struct member *find(const struct sl_source *source, int64_t i, int64_t *at)
{
    SL_ASSERT(i >= 0 && i < source->count);
    int64_t k = source->order != NULL ? source->order[i] : i;
    const struct member *member = source->members;
    while (k >= member->first + member->count) {
        member++;
    }
    k -= member->first;
    *at = member->chosen != NULL ? member->chosen[k] : k;
    return member;
}

int64_t sl_source_count(const struct sl_source *source)
{
    return source->count;
}

const char *sl_source_kind(const struct sl_source *source)
{
    const struct sl_reader *reader = &source->members[0].reader;
    return reader->kind->word(reader);
}

int sl_source_side_fixed(const struct sl_source *source, int *height, int *width)
{
    const struct sl_reader *first = &source->members[0].reader;
    *height = first->height;
    *width = first->width;
    for (int m = 1; m < source->n_members; m++) {
        const struct sl_reader *reader = &source->members[m].reader;
        if (reader->height != first->height || reader->width != first->width) {
            *height = *width = 0;
        }
    }
    return *height > 0;
}

bool sl_source_was_split(const struct sl_source *source)
{
    return source->was_split;
}

bool sl_source_has_parts(const struct sl_source *source)
{
    return source->has_parts;
}

void sl_source_name(const struct sl_source *source, int64_t i, char *dst, size_t size)
{
    int64_t at = 0;
    const struct member *member = find(source, i, &at);
    member->reader.kind->name(&member->reader, at, dst, size);
}

int sl_source_label(const struct sl_source *source, int64_t i)
{
    int64_t at = 0;
    const struct member *member = find(source, i, &at);
    int label = member->reader.kind->label(&member->reader, at);
    return label < 0 || member->labels == NULL ? label : member->labels[label];
}

int sl_source_classes(const struct sl_source *source)
{
    return source->n_classes;
}

const char *sl_source_class_name(const struct sl_source *source, int label)
{
    SL_ASSERT(label >= 0 && label < source->n_classes);
    return source->class_names[label];
}

/* From the reader's classes to the new numbers, by way of the old ones. */
static enum sl_status number_member(struct sl_error *err, struct member *member,
                                    const int *numbers)
{
    int n = member->reader.n_classes;
    if (member->labels == NULL) {
        SL_TRY(sl_heap_alloc(err, "class table", n, sizeof(int), &member->labels));
        for (int c = 0; c < n; c++) {
            member->labels[c] = c;
        }
    }
    for (int c = 0; c < n; c++) {
        member->labels[c] = numbers[member->labels[c]];
    }
    return SL_OK;
}

enum sl_status sl_source_number_classes(struct sl_error *err, struct sl_source *source,
                                        const char *const *names, const int *numbers,
                                        int n)
{
    const char **kept = NULL;
    SL_ASSERT(n >= source->n_classes);
    SL_TRY(sl_heap_alloc(err, "class names", n, sizeof(char *), &kept));
    memcpy(kept, names, (size_t)n * sizeof(char *));
    sl_heap_free(source->class_names);
    source->class_names = kept;
    source->fingerprint = sl_hash(source->fingerprint, numbers,
                                  (size_t)source->n_classes * sizeof(*numbers));
    source->n_classes = n;
    for (int m = 0; m < source->n_members; m++) {
        SL_TRY(number_member(err, &source->members[m], numbers));
    }
    return SL_OK;
}

uint64_t sl_source_fingerprint(const struct sl_source *source)
{
    return source->fingerprint;
}

void sl_source_mean_std(const struct sl_source *source, float mean[3], float std[3])
{
    const struct sl_reader *reader = &source->members[0].reader;
    reader->kind->mean_std(reader, mean, std);
}

enum sl_status sl_source_read_part(struct sl_error *err, const struct sl_source *source,
                                   int64_t i, struct sl_part_wish *wish,
                                   struct sl_arena *arena, struct sl_image *image)
{
    int64_t at = 0;
    const struct member *member = find(source, i, &at);
    const struct sl_reader *reader = &member->reader;
    if (reader->kind->read_part == NULL) {
        SL_TRY(reader->kind->read(err, reader, at, arena, image));
        wish->window = sl_window_whole(image);
    } else {
        SL_TRY(reader->kind->read_part(err, reader, at, wish, arena, image));
    }
    return sl_pixels_set_channels(err, arena, image, source->channels);
}

enum sl_status sl_source_read(struct sl_error *err, const struct sl_source *source,
                              int64_t i, struct sl_arena *arena, struct sl_image *image)
{
    int64_t at = 0;
    const struct member *member = find(source, i, &at);
    SL_TRY(member->reader.kind->read(err, &member->reader, at, arena, image));
    return sl_pixels_set_channels(err, arena, image, source->channels);
}

enum sl_status sl_source_bytes(struct sl_error *err, const struct sl_source *source,
                               int64_t i, struct sl_arena *arena, unsigned char **bytes,
                               int64_t *size)
{
    int64_t at = 0;
    const struct member *member = find(source, i, &at);
    *bytes = NULL;
    *size = 0;
    return member->reader.kind->bytes == NULL
               ? SL_OK
               : member->reader.kind->bytes(err, &member->reader, at, arena, bytes, size);
}
