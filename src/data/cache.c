/* SPDX-License-Identifier: MIT */
/*
 * Indices of earlier runs, kept in the cache directory and used again as long as every
 * directory or archive they were made of looks as it did. Invariant: whatever lies in the
 * cache directory, and whatever hinders writing there, the pictures are those a fresh
 * look would find; a cache saves time and nothing else.
 */
#include "data/index_int.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum { FRESH_S = 2 };
static const int64_t CACHE_FILE_MAX = INT64_C(1) << 33;

int64_t sl_time_now(void)
{
    struct timespec now = {0};
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec;
}

bool sl_place_look(const char *path, struct sl_place *place)
{
    struct stat info;
    memset(place, 0, sizeof(*place));
    if (stat(path, &info) != 0) {
        return false;
    }
    place->device = (uint64_t)info.st_dev;
    place->inode = (uint64_t)info.st_ino;
    place->size = (int64_t)info.st_size;
    place->modified_s = (int64_t)info.st_mtim.tv_sec;
    place->modified_ns = (int64_t)info.st_mtim.tv_nsec;
    place->changed_s = (int64_t)info.st_ctim.tv_sec;
    place->changed_ns = (int64_t)info.st_ctim.tv_nsec;
    return true;
}

bool sl_place_same(const struct sl_place *a, const struct sl_place *b)
{
    return a->device == b->device && a->inode == b->inode && a->size == b->size &&
           a->modified_s == b->modified_s && a->modified_ns == b->modified_ns &&
           a->changed_s == b->changed_s && a->changed_ns == b->changed_ns;
}

/* Clocks of file systems are coarse: what changes twice within one tick looks the same
 * after the first change and after the second. */
bool sl_place_is_fresh(const struct sl_place *place, int64_t since_s)
{
    return place->modified_s >= since_s - FRESH_S;
}

enum sl_status sl_cache_key(struct sl_error *err, const char *kind, const char *path,
                            char **key)
{
    char real[SL_INDEX_PATH];
    const char *named = realpath(path, real) != NULL ? real : path;
    size_t size = strlen(kind) + strlen(named) + 19;
    SL_TRY(sl_heap_alloc(err, "name of an index", (int64_t)size, 1, key));
    (void)snprintf(*key, size, "%s-%016llx %s", kind,
                   (unsigned long long)sl_image_names_hash(), named);
    return SL_OK;
}

static bool file_of_key(const char *directory, const char *key, char *dst, size_t size)
{
    char name[64];
    uint64_t hash = sl_hash(SL_HASH_START, key, strlen(key));
    (void)snprintf(name, sizeof(name), "index-%016llx.slidx", (unsigned long long)hash);
    return sl_path_join(dst, size, directory, name);
}

static bool still_true(const struct sl_index *index, const char *root)
{
    for (int64_t p = 0; p < index->head->n_places; p++) {
        char path[SL_INDEX_PATH];
        struct sl_place now;
        const char *text = index->pool + index->places[p].text;
        bool fits = root == NULL      ? sl_text_copy(path, sizeof(path), text)
                    : text[0] == '\0' ? sl_text_copy(path, sizeof(path), root)
                                      : sl_path_join(path, sizeof(path), root, text);
        if (!fits || !sl_place_look(path, &now) ||
            !sl_place_same(&now, &index->places[p])) {
            return false;
        }
    }
    return true;
}

bool sl_cache_load(const char *directory, const char *key, const char *root,
                   struct sl_index *index)
{
    char path[SL_INDEX_PATH];
    struct sl_error reason = {0};
    unsigned char *bytes = NULL;
    int64_t size = 0;
    *index = (struct sl_index){0};
    if (directory == NULL || !file_of_key(directory, key, path, sizeof(path)) ||
        sl_path_kind(path) != SL_PATH_FILE) {
        return false;
    }
    enum sl_status status =
        sl_file_read(&reason, SL_ERROR_DATA, path, CACHE_FILE_MAX, &bytes, &size);
    if (status == SL_OK) {
        status = sl_index_adopt(&reason, bytes, size, index);
    }
    if (status != SL_OK) {
        sl_heap_free(bytes);
        sl_log(SL_LOG_INFO, "cache: %s is not used and made anew: %s", path, reason.text);
        return false;
    }
    if (strcmp(index->pool + index->head->key, key) != 0 || !still_true(index, root)) {
        sl_index_finish(index);
        return false;
    }
    return true;
}

void sl_cache_store(const char *directory, const struct sl_index *index, int64_t begun_s)
{
    char path[SL_INDEX_PATH];
    struct sl_error reason = {0};
    if (directory == NULL ||
        !file_of_key(directory, index->pool + index->head->key, path, sizeof(path))) {
        return;
    }
    for (int64_t p = 0; p < index->head->n_places; p++) {
        if (sl_place_is_fresh(&index->places[p], begun_s)) {
            sl_log(SL_LOG_DEBUG, "cache: %s changed a moment ago; not kept this time",
                   index->pool + index->places[p].text);
            return;
        }
    }
    enum sl_status status = sl_dir_create(&reason, directory);
    if (status == SL_OK) {
        status =
            sl_file_write(&reason, path, index->block, (size_t)index->head->total_bytes);
    }
    if (status != SL_OK) {
        sl_log(SL_LOG_INFO, "cache: the index of pictures is not kept: %s", reason.text);
    }
}

bool sl_cache_directory(char *dst, size_t size)
{
    const char *base = getenv("XDG_CACHE_HOME");
    if (base != NULL && base[0] == '/') {
        return sl_path_join(dst, size, base, "slimclr");
    }
    base = getenv("HOME");
    return base != NULL && base[0] == '/' &&
           sl_path_join(dst, size, base, ".cache/slimclr");
}
