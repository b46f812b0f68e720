/* SPDX-License-Identifier: MIT */
/*
 * The reader over an index: names, labels and parts are the same for folders, lists,
 * archives and databases; only where the bytes come from differs, and that is the
 * collection's fetch. Invariant: pictures first..first+count of the index are the part
 * that was taken, in the index's order.
 */
#include "data/index_int.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- bytes ------------------------------------------------------------------------- */

/* Reads until `size` bytes are in or the file ends; returns the bytes read, or -1. */
static int64_t read_all(int file, unsigned char *dst, int64_t size)
{
    int64_t done = 0;
    while (done < size) {
        ssize_t got = read(file, dst + done, (size_t)(size - done));
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return -1;
        }
        if (got == 0) {
            break;
        }
        done += got;
    }
    return done;
}

/* Into the arena rather than the heap or a map: a worker's arena is warm after a few
 * files, and a file that shrinks under a map would end the process. */
enum sl_status sl_fetch_file(struct sl_error *err, const char *path,
                             const struct sl_decode_options *decode,
                             struct sl_arena *arena, unsigned char **bytes, int64_t *size)
{
    struct stat info;
    enum sl_status status = SL_OK;
    /* O_NONBLOCK: a pipe is refused, not waited for. */
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0 || fstat(file, &info) != 0) {
        status =
            SL_FAIL(err, SL_ERROR_DATA, "%s: cannot be read: %s", path, strerror(errno));
        goto out;
    }
    if (!S_ISREG(info.st_mode)) {
        status = SL_FAIL(err, SL_ERROR_DATA, "%s: not a regular file", path);
        goto out;
    }
    SL_TRY_OUT(sl_bytes_check(err, path, (int64_t)info.st_size, decode));
    SL_TRY_OUT(sl_arena_alloc(err, arena, (int64_t)info.st_size, 1, bytes));
    *size = read_all(file, *bytes, (int64_t)info.st_size);
    if (*size < 0) {
        status =
            SL_FAIL(err, SL_ERROR_DATA, "%s: cannot be read: %s", path, strerror(errno));
    }
out:
    if (file >= 0) {
        close(file);
    }
    return status;
}

enum sl_status sl_fetch_named(struct sl_error *err,
                              const struct sl_collection *collection, int64_t i,
                              const char *name, struct sl_arena *arena,
                              unsigned char **bytes, int64_t *size)
{
    (void)i;
    return sl_fetch_file(err, name, &collection->decode, arena, bytes, size);
}

/* ---- the reader -------------------------------------------------------------------- */

/* In front of the path below: the archive that holds the picture, else the root. */
static const char *front_of(const struct sl_collection *collection, int64_t at)
{
    const struct sl_index *index = &collection->index;
    bool in_archive = index->offset != NULL;
    return in_archive ? index->pool + index->places[sl_index_dir(index, at)->place].text
                      : collection->root;
}

static bool full_name(const struct sl_collection *collection, int64_t at, char *dst,
                      size_t size)
{
    char below[SL_INDEX_PATH];
    bool fits = sl_index_path(&collection->index, at, below, sizeof(below));
    const char *front = front_of(collection, at);
    bool is_whole = below[0] == '/' || front[0] == '\0';
    return (is_whole ? sl_text_copy(dst, size, below)
                     : sl_path_join(dst, size, front, below)) &&
           fits;
}

static enum sl_status bytes_of(struct sl_error *err, const struct sl_reader *reader,
                               int64_t i, struct sl_arena *arena, unsigned char **bytes,
                               int64_t *size)
{
    const struct sl_collection *collection = reader->state;
    char name[SL_INDEX_PATH];
    int64_t at = collection->first + i;
    if (!full_name(collection, at, name, sizeof(name))) {
        return SL_FAIL(err, SL_ERROR_DATA, "%s: the path is longer than %d bytes", name,
                       SL_INDEX_PATH - 1);
    }
    return collection->fetch(err, collection, at, name, arena, bytes, size);
}

static enum sl_status read_part(struct sl_error *err, const struct sl_reader *reader,
                                int64_t i, struct sl_part_wish *wish,
                                struct sl_arena *arena, struct sl_image *image)
{
    const struct sl_collection *collection = reader->state;
    struct sl_decode_options decode = collection->decode;
    char name[SL_INDEX_PATH];
    unsigned char *bytes = NULL;
    int64_t size = 0;
    SL_TRY(bytes_of(err, reader, i, arena, &bytes, &size));
    (void)full_name(collection, collection->first + i, name, sizeof(name));
    decode.part = wish;
    return sl_decode(err, name, bytes, size, &decode, arena, image);
}

static enum sl_status read_picture(struct sl_error *err, const struct sl_reader *reader,
                                   int64_t i, struct sl_arena *arena,
                                   struct sl_image *image)
{
    return read_part(err, reader, i, NULL, arena, image);
}

static void name_of(const struct sl_reader *reader, int64_t i, char *dst, size_t size)
{
    const struct sl_collection *collection = reader->state;
    (void)full_name(collection, collection->first + i, dst, size);
}

static int label_of(const struct sl_reader *reader, int64_t i)
{
    const struct sl_collection *collection = reader->state;
    return sl_index_label(&collection->index, collection->first + i);
}

static const char *class_name_of(const struct sl_reader *reader, int label)
{
    const struct sl_collection *collection = reader->state;
    return collection->class_names.lines.n > 0
               ? sl_class_names_at(&collection->class_names, label)
               : collection->index.pool + collection->index.classes[label];
}

static const char *word_of(const struct sl_reader *reader)
{
    const struct sl_collection *collection = reader->state;
    return collection->word;
}

static void close_collection(struct sl_reader *reader)
{
    struct sl_collection *collection = reader->state;
    if (collection == NULL) {
        return;
    }
    if (collection->store_close != NULL) {
        collection->store_close(collection->store);
    }
    sl_index_finish(&collection->index);
    sl_class_names_finish(&collection->class_names);
    sl_heap_free(collection->root);
    sl_heap_free(collection);
    reader->state = NULL;
}

static const struct sl_reader_kind collection_kind = {
    .read = read_picture,
    .read_part = read_part,
    .bytes = bytes_of,
    .name = name_of,
    .label = label_of,
    .class_name = class_name_of,
    .word = word_of,
    .mean_std = sl_mean_std_imagenet,
    .close = close_collection,
};

enum sl_status sl_collection_create(struct sl_error *err, const char *word,
                                    const char *root,
                                    const struct sl_decode_options *decode,
                                    struct sl_reader *reader,
                                    struct sl_collection **collection)
{
    struct sl_collection *made = NULL;
    size_t length = strlen(root);
    *reader = (struct sl_reader){.kind = &collection_kind};
    SL_TRY(sl_heap_alloc(err, "collection", 1, sizeof(*made), &made));
    reader->state = made;
    made->word = word;
    made->decode = *decode;
    made->fetch = sl_fetch_named;
    SL_TRY(sl_heap_alloc(err, "path", (int64_t)length + 1, 1, &made->root));
    memcpy(made->root, root, length);
    *collection = made;
    return SL_OK;
}

void sl_collection_note(const struct sl_collection *collection, bool is_cached,
                        double begun)
{
    const struct sl_index_head *head = collection->index.head;
    double bytes = (double)head->total_bytes;
    sl_log(
        SL_LOG_DEBUG,
        "index:  %lld pictures in %lld directories, %.1f MB (%.1f bytes a picture), %s "
        "in %.3f s",
        (long long)head->count, (long long)head->n_dirs, bytes / 1e6,
        head->count > 0 ? bytes / (double)head->count : 0.0,
        is_cached ? "from the cache" : "made", sl_clock() - begun);
}

void sl_collection_parts(const struct sl_reader *reader, struct sl_parts *parts)
{
    const struct sl_collection *collection = reader->state;
    const struct sl_index_head *head = collection->index.head;
    /* A train/ without pictures is still the train part: it is refused when taken. */
    parts->train = head->n_train > 0 || (head->flags & SL_INDEX_PARTED) != 0;
    parts->test = head->count > head->n_train;
}

enum sl_status sl_collection_take(struct sl_error *err, const char *data,
                                  enum sl_part part, struct sl_reader *reader)
{
    struct sl_collection *collection = reader->state;
    const struct sl_index_head *head = collection->index.head;
    bool is_test = part == SL_PART_TEST;
    collection->first = is_test ? head->n_train : 0;
    reader->count = is_test ? head->count - head->n_train : head->n_train;
    int64_t n_names = collection->class_names.lines.n;
    reader->n_classes = (int)(n_names > 0 ? n_names : head->n_classes);
    reader->fingerprint = head->fingerprint[is_test ? 1 : 0];
    if (reader->count == 0) {
        bool is_parted = (head->flags & SL_INDEX_PARTED) != 0;
        return SL_FAIL(
            err, SL_ERROR_DATA,
            "%s%s: no images in this %s or below it (looked for .jpg .jpeg "
            ".png .webp .bmp .tif .tiff .pbm .pgm .ppm .pnm); give what holds them",
            data, is_parted ? (is_test ? ", val/ or test/" : ", train/") : "",
            collection->word);
    }
    return SL_OK;
}
