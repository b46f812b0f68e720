/* SPDX-License-Identifier: MIT */
/*
 * Collection of pictures in archives: .tar, .zip, compressed .tar.gz, WebDataset shards.
 * An archive is looked through once (archive_scan.c); a picture is then read by one pread
 * at its position, from any thread. A deflated zip member is inflated by itself; a
 * .tar.gz is unpacked into the cache directory once. Invariant: the number of open files
 * is known when the collection is open and does not change.
 */
#include "data/index_int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OPEN_MOST = 4096, OPEN_SPARE = 128 };

/* The archives of a collection, in the order of the index's places. */
struct store {
    int64_t n;
    char **files; /* what is read: the archive, or what it was unpacked into */
    int *fds;     /* -1: opened anew for each picture, because there are too many */
};

/* ---- names ------------------------------------------------------------------------- */

static bool ends(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcasecmp(text + n - m, end) == 0;
}

static bool is_gzipped(const char *path)
{
    return ends(path, ".tar.gz") || ends(path, ".tgz");
}

bool sl_archive_is(const char *data)
{
    return ends(data, ".tar") || ends(data, ".zip") || is_gzipped(data);
}

/* The first number range {000..012} in a pattern. */
static bool find_range(const char *pattern, size_t *begin, size_t *end, int64_t *from,
                       int64_t *to, int *digits)
{
    for (const char *open = strchr(pattern, '{'); open != NULL;
         open = strchr(open + 1, '{')) {
        size_t first = strspn(open + 1, "0123456789");
        const char *dots = open + 1 + first;
        if (first < 1 || first > 12 || strncmp(dots, "..", 2) != 0) {
            continue;
        }
        size_t second = strspn(dots + 2, "0123456789");
        if (second < 1 || second > 12 || dots[2 + second] != '}') {
            continue;
        }
        *begin = (size_t)(open - pattern);
        *end = (size_t)(dots + 2 + second + 1 - pattern);
        *from = strtoll(open + 1, NULL, 10);
        *to = strtoll(dots + 2, NULL, 10);
        *digits = (int)first;
        return true;
    }
    return false;
}

static enum sl_status add_path(struct sl_error *err, struct sl_rows *rows,
                               const char *path)
{
    char *copy = NULL;
    size_t size = strlen(path) + 1;
    SL_TRY(sl_rows_grow(err, rows, sizeof(char *)));
    SL_TRY(sl_heap_alloc(err, "path", (int64_t)size, 1, &copy));
    memcpy(copy, path, size);
    ((char **)rows->items)[rows->n++] = copy;
    return SL_OK;
}

/* Ranges are opened from left to right; each expansion holds one range less. */
static enum sl_status expand(struct sl_error *err, const char *whole, const char *pattern,
                             struct sl_rows *rows)
{
    size_t begin = 0, end = 0;
    int64_t from = 0, to = 0;
    int digits = 0;
    char path[SL_INDEX_PATH];
    if (!find_range(pattern, &begin, &end, &from, &to, &digits)) {
        if (rows->n == SL_SHARDS_MAX) {
            return SL_FAIL(err, SL_ERROR_DATA, "%s: more than %d archives", whole,
                           SL_SHARDS_MAX);
        }
        return add_path(err, rows, pattern);
    }
    if (from > to) {
        return SL_FAIL(err, SL_ERROR_DATA,
                       "%s: the range {%lld..%lld} runs backwards; put the smaller "
                       "number first",
                       whole, (long long)from, (long long)to);
    }
    for (int64_t i = from; i <= to; i++) {
        int length = snprintf(path, sizeof(path), "%.*s%0*lld%s", (int)begin, pattern,
                              digits, (long long)i, pattern + end);
        if (length < 0 || length >= (int)sizeof(path)) {
            return SL_FAIL(err, SL_ERROR_DATA, "%s: the path is longer than %d bytes",
                           whole, SL_INDEX_PATH - 1);
        }
        SL_TRY(expand(err, whole, path, rows));
    }
    return SL_OK;
}

enum sl_status sl_shards_expand(struct sl_error *err, const char *pattern,
                                struct sl_shards *shards)
{
    struct sl_rows rows = {0};
    /* A file that is really called so is taken as it is. */
    enum sl_status status = sl_path_kind(pattern) == SL_PATH_FILE
                                ? add_path(err, &rows, pattern)
                                : expand(err, pattern, pattern, &rows);
    *shards = (struct sl_shards){.paths = rows.items, .n = rows.n};
    if (status != SL_OK) {
        sl_shards_finish(shards);
    }
    return status;
}

void sl_shards_finish(struct sl_shards *shards)
{
    for (int64_t i = 0; i < shards->n; i++) {
        sl_heap_free(shards->paths[i]);
    }
    sl_heap_free(shards->paths);
    *shards = (struct sl_shards){0};
}

/* A folder of shards: .tar files and nothing that a folder of pictures would have. */
bool sl_archive_is_folder(const char *path)
{
    struct sl_error ignored = {0};
    struct sl_dir_list list = {0};
    int64_t n_tar = 0;
    bool has_other = sl_dir_list(&ignored, SL_ERROR_DATA, path, &list) != SL_OK;
    for (int64_t i = 0; i < list.n && !has_other; i++) {
        char full[SL_INDEX_PATH];
        n_tar += ends(list.names[i], ".tar") ? 1 : 0;
        has_other = sl_has_image_name(list.names[i]) ||
                    !sl_path_join(full, sizeof(full), path, list.names[i]) ||
                    sl_path_kind(full) == SL_PATH_DIRECTORY;
    }
    sl_dir_list_finish(&list);
    return !has_other && n_tar > 0;
}

static enum sl_status list_folder(struct sl_error *err, const char *path,
                                  struct sl_shards *shards)
{
    struct sl_dir_list list = {0};
    struct sl_rows rows = {0};
    enum sl_status status = SL_OK;
    SL_TRY(sl_dir_list(err, SL_ERROR_DATA, path, &list));
    for (int64_t i = 0; i < list.n; i++) {
        char full[SL_INDEX_PATH];
        if (ends(list.names[i], ".tar") && list.names[i][0] != '.' &&
            sl_path_join(full, sizeof(full), path, list.names[i])) {
            SL_TRY_OUT(add_path(err, &rows, full));
        }
    }
out:
    *shards = (struct sl_shards){.paths = rows.items, .n = rows.n};
    sl_dir_list_finish(&list);
    if (status != SL_OK) {
        sl_shards_finish(shards);
    }
    return status;
}

/* ---- parts and labels -------------------------------------------------------------- */

/* Length of the first directory at `text`, 0 for none. */
static size_t first_part(const char *text)
{
    return strcspn(text, "/");
}

static bool is_part_name(const char *text, size_t length)
{
    static const char *const names[] = {"train", "val", "test"};
    for (int i = 0; i < SL_COUNT(names); i++) {
        if (strlen(names[i]) == length && strncmp(text, names[i], length) == 0) {
            return true;
        }
    }
    return false;
}

/* Archives are often made of one folder that holds all: "photos/cat/1.jpg". That folder
 * is no class; returns how many bytes of every directory's text such folders take. */
static uint32_t common_front(const struct sl_builder *builder)
{
    const struct sl_build_dir *dirs = builder->dirs.items;
    const char *pool = builder->pool.text;
    size_t skip = 0;
    while (builder->dirs.n > 0) {
        const char *model = pool + dirs[0].text;
        size_t length = first_part(model + skip);
        if (length == 0 || model[skip + length] != '/' ||
            is_part_name(model + skip, length)) {
            break;
        }
        size_t next = skip + length + 1;
        bool is_common = true;
        for (int64_t d = 1; d < builder->dirs.n && is_common; d++) {
            is_common = strncmp(pool + dirs[d].text, model, next) == 0;
        }
        if (!is_common) {
            break;
        }
        skip = next;
    }
    return (uint32_t)skip;
}

static bool is_below(const char *text, const char *name)
{
    size_t length = strlen(name);
    return strncmp(text, name, length) == 0 &&
           (text[length] == '/' || text[length] == '\0');
}

static bool any_below(const struct sl_builder *builder, uint32_t skip, const char *name)
{
    const struct sl_build_dir *dirs = builder->dirs.items;
    for (int64_t d = 0; d < builder->dirs.n; d++) {
        if (is_below(builder->pool.text + dirs[d].text + skip, name)) {
            return true;
        }
    }
    return false;
}

static void settle_dir(const struct sl_builder *builder, struct sl_build_dir *dir,
                       uint32_t skip, const char *test)
{
    const char *text = builder->pool.text + dir->text;
    size_t length = strlen(text), below = skip;
    dir->part = SL_PART_TRAIN;
    if (builder->parted) {
        bool is_train = is_below(text + skip, "train");
        bool is_test = is_below(text + skip, test);
        dir->part = is_train ? SL_PART_TRAIN : is_test ? SL_PART_TEST : SL_PART_NEITHER;
        below += is_train ? strlen("train/") : is_test ? strlen(test) + 1 : 0;
    }
    dir->below = (uint32_t)(below < length ? below : length);
}

enum sl_status sl_archive_settle(struct sl_error *err, struct sl_builder *builder)
{
    struct sl_build_dir *dirs = builder->dirs.items;
    struct sl_build_entry *entries = builder->entries.items;
    uint32_t skip = common_front(builder);
    int64_t most = -1;
    builder->parted = any_below(builder, skip, "train");
    const char *test = any_below(builder, skip, "val") ? "val" : "test";
    for (int64_t d = 0; d < builder->dirs.n; d++) {
        settle_dir(builder, &dirs[d], skip, test);
    }
    if (!builder->has_labels) {
        return SL_OK;
    }
    /* Samples in the manner of WebDataset: "7.jpg" is the picture of sample 7, and
     * "7.seg.png" something else about it. */
    for (int64_t i = 0; i < builder->entries.n; i++) {
        const char *name = builder->pool.text + entries[i].name;
        most = entries[i].label > most ? entries[i].label : most;
        if (strchr(name, '.') != strrchr(name, '.')) {
            entries[i].label = INT32_MIN;
        }
    }
    const struct sl_place *places = builder->places.items;
    const char *first =
        builder->places.n > 0 ? builder->pool.text + places[0].text : "archive";
    return sl_builder_number_classes(err, first, builder, most + 1);
}

/* ---- unpacked archives ------------------------------------------------------------- */

/* Removes what an earlier state of the same archive was unpacked into. */
static void remove_older(const char *directory, const char *prefix, const char *keep)
{
    struct sl_error ignored = {0};
    struct sl_dir_list list = {0};
    if (sl_dir_list(&ignored, SL_ERROR_RUN, directory, &list) != SL_OK) {
        return;
    }
    for (int64_t i = 0; i < list.n; i++) {
        char path[SL_INDEX_PATH];
        if (strncmp(list.names[i], prefix, strlen(prefix)) == 0 &&
            ends(list.names[i], ".tar") && strcmp(list.names[i], keep) != 0 &&
            sl_path_join(path, sizeof(path), directory, list.names[i])) {
            (void)sl_file_remove(path);
        }
    }
    sl_dir_list_finish(&list);
}

/* The plain .tar of a compressed one, made when it is not there yet. */
static enum sl_status unpack(struct sl_error *err, const char *directory,
                             const char *path, char *dst, size_t size)
{
    char prefix[64], name[96], *key = NULL;
    struct sl_place look;
    if (directory == NULL) {
        return SL_FAIL(err, SL_ERROR_DATA,
                       "%s: a compressed archive is unpacked into the cache directory "
                       "once, and there is none; leave --no-cache out or gunzip it "
                       "yourself",
                       path);
    }
    if (!sl_place_look(path, &look)) {
        return SL_FAIL(err, SL_ERROR_DATA, "%s: no such file or directory", path);
    }
    SL_TRY(sl_cache_key(err, "unpacked", path, &key));
    uint64_t hash = sl_hash(SL_HASH_START, key, strlen(key));
    sl_heap_free(key);
    (void)snprintf(prefix, sizeof(prefix), "unpacked-%016llx-", (unsigned long long)hash);
    look.text = 0;
    hash = sl_hash(SL_HASH_START, &look, sizeof(look));
    (void)snprintf(name, sizeof(name), "%s%016llx.tar", prefix, (unsigned long long)hash);
    if (!sl_path_join(dst, size, directory, name)) {
        return SL_FAIL(err, SL_ERROR_DATA, "%s: the cache directory's path is too long",
                       directory);
    }
    if (sl_path_kind(dst) == SL_PATH_FILE) {
        return SL_OK;
    }
    SL_TRY(sl_dir_create(err, directory));
    sl_log(SL_LOG_INFO, "data:   %s is unpacked once into %s", path, dst);
    SL_TRY(sl_gunzip_file(err, path, dst, SL_UNPACK_MAX));
    remove_older(directory, prefix, name);
    return SL_OK;
}

/* ---- the store --------------------------------------------------------------------- */

static void close_store(void *context)
{
    struct store *store = context;
    for (int64_t i = 0; store != NULL && i < store->n; i++) {
        if (store->files != NULL) {
            sl_heap_free(store->files[i]);
        }
        if (store->fds != NULL && store->fds[i] >= 0) {
            (void)close(store->fds[i]);
        }
    }
    if (store != NULL) {
        sl_heap_free(store->files);
        sl_heap_free(store->fds);
        sl_heap_free(store);
    }
}

static enum sl_status open_archive(struct sl_error *err, const char *path, int *fd,
                                   int64_t *size)
{
    struct stat info;
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (*fd < 0 || fstat(*fd, &info) != 0) {
        return SL_FAIL(err, SL_ERROR_DATA, "%s: cannot be read: %s", path,
                       strerror(errno));
    }
    if (!S_ISREG(info.st_mode)) {
        return SL_FAIL(err, SL_ERROR_DATA, "%s: not a regular file", path);
    }
    *size = (int64_t)info.st_size;
    return SL_OK;
}

/* How many archives may stay open: the rest of the process wants files, too. */
static int64_t open_most(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) {
        return OPEN_MOST;
    }
    int64_t left = ((int64_t)limit.rlim_cur - OPEN_SPARE) / 2;
    return left < 0 ? 0 : left < OPEN_MOST ? left : OPEN_MOST;
}

static enum sl_status make_store(struct sl_error *err, const struct sl_shards *shards,
                                 const char *cache_directory, struct store *store)
{
    SL_TRY(sl_heap_alloc(err, "archives", shards->n, sizeof(char *), &store->files));
    SL_TRY(sl_heap_alloc(err, "archives", shards->n, sizeof(int), &store->fds));
    store->n = shards->n;
    for (int64_t i = 0; i < store->n; i++) {
        store->fds[i] = -1;
    }
    for (int64_t i = 0; i < store->n; i++) {
        char path[SL_INDEX_PATH];
        const char *from = shards->paths[i];
        if (is_gzipped(from)) {
            SL_TRY(unpack(err, cache_directory, from, path, sizeof(path)));
            from = path;
        }
        size_t size = strlen(from) + 1;
        SL_TRY(sl_heap_alloc(err, "path", (int64_t)size, 1, &store->files[i]));
        memcpy(store->files[i], from, size);
    }
    bool stay_open = store->n <= open_most();
    if (!stay_open) {
        sl_log(SL_LOG_INFO,
               "data:   %lld archives are more than may stay open (%lld): each picture "
               "opens its own; raise the limit (ulimit -n) to spare that",
               (long long)store->n, (long long)open_most());
    }
    for (int64_t i = 0; i < store->n && stay_open; i++) {
        int64_t size = 0;
        SL_TRY(open_archive(err, store->files[i], &store->fds[i], &size));
    }
    return SL_OK;
}

/* ---- pictures ---------------------------------------------------------------------- */

bool sl_read_at(int fd, unsigned char *dst, int64_t size, int64_t at)
{
    int64_t done = 0;
    while (done < size) {
        ssize_t got = pread(fd, dst + done, (size_t)(size - done), (off_t)(at + done));
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return false;
        }
        done += got;
    }
    return true;
}

enum sl_status sl_archive_fetch(struct sl_error *err, int fd, const char *name,
                                const struct sl_extent *extent, struct sl_arena *arena,
                                unsigned char **bytes)
{
    int64_t at = (int64_t)SL_EXTENT_AT(extent->offset), size = (int64_t)extent->size;
    SL_TRY(sl_arena_alloc(err, arena, size, 1, bytes));
    if ((extent->offset & SL_EXTENT_DEFLATED) != 0) {
        SL_TRY(sl_inflate_at(err, name, fd, at, *bytes, size));
    } else if (!sl_read_at(fd, *bytes, size, at)) {
        return SL_FAIL(err, SL_ERROR_DATA,
                       "%s: the archive ends before the picture does; was it changed "
                       "while it was in use?",
                       name);
    }
    uint32_t sum =
        (extent->offset & SL_EXTENT_SUMMED) != 0 ? sl_crc32(*bytes, size) : extent->sum;
    if (sum != extent->sum) {
        return SL_FAIL(err, SL_ERROR_DATA,
                       "%s: damaged: its bytes have the check sum %08lx, and the archive "
                       "says %08lx; fetch the archive again",
                       name, (unsigned long)sum, (unsigned long)extent->sum);
    }
    return SL_OK;
}

static enum sl_status fetch_member(struct sl_error *err,
                                   const struct sl_collection *collection, int64_t i,
                                   const char *name, struct sl_arena *arena,
                                   unsigned char **bytes, int64_t *size)
{
    const struct store *store = collection->store;
    const struct sl_index *index = &collection->index;
    uint32_t place = sl_index_dir(index, i)->place;
    int64_t archive_size = 0;
    int fd = store->fds[place];
    enum sl_status status = SL_OK;
    *size = (int64_t)index->size[i];
    SL_TRY(sl_bytes_check(err, name, *size, &collection->decode));
    if (index->size[i] == UINT32_MAX) {
        return SL_FAIL(err, SL_ERROR_DATA,
                       "%s: 4 GiB and more is too large for a picture", name);
    }
    if (fd < 0) {
        status = open_archive(err, store->files[place], &fd, &archive_size);
    }
    if (status == SL_OK) {
        const struct sl_extent extent = {.offset = index->offset[i],
                                         .size = index->size[i],
                                         .sum = index->sum != NULL ? index->sum[i] : 0};
        status = sl_archive_fetch(err, fd, name, &extent, arena, bytes);
    }
    if (store->fds[place] < 0 && fd >= 0) {
        (void)close(fd);
    }
    return status;
}

/* ---- opening ----------------------------------------------------------------------- */

static enum sl_status scan_all(struct sl_error *err, const struct sl_shards *shards,
                               const struct store *store, const char *key,
                               struct sl_index *index)
{
    struct sl_builder builder = {0};
    enum sl_status status = SL_OK;
    for (int64_t i = 0; i < shards->n; i++) {
        struct sl_place look;
        int fd = -1;
        int64_t size = 0;
        if (!sl_place_look(shards->paths[i], &look)) {
            status = SL_FAIL(err, SL_ERROR_DATA,
                             "%s: no such file or directory; check the path",
                             shards->paths[i]);
            goto out;
        }
        SL_TRY_OUT(sl_builder_place(err, &builder, shards->paths[i], &look));
        status = open_archive(err, store->files[i], &fd, &size);
        if (status == SL_OK) {
            /* Opened anew: the store's descriptor may be -1. */
            status =
                sl_archive_scan(err, shards->paths[i], fd, size, (uint32_t)i, &builder);
        }
        if (fd >= 0) {
            (void)close(fd);
        }
        SL_TRY_OUT(status);
    }
    builder.has_extents = true;
    SL_TRY_OUT(sl_archive_settle(err, &builder));
    SL_TRY_OUT(sl_builder_freeze(err, &builder, key, index));
out:
    sl_builder_finish(&builder);
    return status;
}

/* Labels of .cls members are numbers; their names may lie beside the shards. They are
 * read anew each time: the index would not notice that they changed. */
static enum sl_status find_class_names(struct sl_error *err, const char *shard,
                                       struct sl_collection *collection)
{
    const struct sl_index_head *head = collection->index.head;
    char path[SL_INDEX_PATH];
    if ((head->flags & SL_INDEX_LABELS) == 0 ||
        !sl_class_names_path(shard, path, sizeof(path)) ||
        sl_path_kind(path) != SL_PATH_FILE) {
        return SL_OK;
    }
    SL_TRY(sl_class_names_read(err, path, &collection->class_names));
    if (collection->class_names.lines.n < head->n_classes) {
        return SL_FAIL(err, SL_ERROR_DATA,
                       "%s: %lld class names, and the shards have labels up to %lld; a "
                       "line for each, or remove the file",
                       path, (long long)collection->class_names.lines.n,
                       (long long)head->n_classes - 1);
    }
    return SL_OK;
}

static enum sl_status open_shards(struct sl_error *err,
                                  const struct sl_source_config *config,
                                  const struct sl_shards *shards,
                                  struct sl_collection *collection)
{
    enum sl_status status = SL_OK;
    struct store *store = NULL;
    char *first = NULL;
    struct sl_text key = {0};
    int64_t begun_s = sl_time_now();
    double begun = sl_clock();
    bool is_cached = false;
    SL_TRY_OUT(sl_heap_alloc(err, "archives", 1, sizeof(*store), &store));
    collection->store = store;
    collection->store_close = close_store;
    collection->fetch = fetch_member;
    SL_TRY_OUT(make_store(err, shards, config->cache_directory, store));
    SL_TRY_OUT(sl_cache_key(err, "archives", shards->paths[0], &first));
    sl_text_add(&key, "%s %lld %s", first, (long long)shards->n, config->data);
    if (key.failed) {
        status = SL_FAIL(err, SL_ERROR_RUN, "out of memory for the names of archives");
        goto out;
    }
    is_cached =
        sl_cache_load(config->cache_directory, key.text, NULL, &collection->index) &&
        collection->index.head->n_places == shards->n && collection->index.offset != NULL;
    if (!is_cached) {
        sl_index_finish(&collection->index);
        SL_TRY_OUT(scan_all(err, shards, store, key.text, &collection->index));
        sl_cache_store(config->cache_directory, &collection->index, begun_s);
    }
    sl_collection_note(collection, is_cached, begun);
    SL_TRY_OUT(find_class_names(err, shards->paths[0], collection));
out:
    sl_heap_free(first);
    sl_text_finish(&key);
    return status;
}

enum sl_status sl_archive_open(struct sl_error *err,
                               const struct sl_source_config *config,
                               struct sl_reader *reader)
{
    struct sl_shards shards = {0};
    struct sl_collection *collection = NULL;
    bool is_folder = sl_path_kind(config->data) == SL_PATH_DIRECTORY;
    SL_TRY(is_folder ? list_folder(err, config->data, &shards)
                     : sl_shards_expand(err, config->data, &shards));
    const char *word = shards.n > 1                    ? "shards"
                       : ends(shards.paths[0], ".zip") ? "zip"
                                                       : "tar";
    enum sl_status status =
        sl_collection_create(err, word, "", &config->decode, reader, &collection);
    if (status == SL_OK) {
        status = open_shards(err, config, &shards, collection);
    }
    sl_shards_finish(&shards);
    return status;
}
