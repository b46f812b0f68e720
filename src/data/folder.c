/* SPDX-License-Identifier: MIT */
/*
 * Source of a directory tree of image files, at any depth. Files are taken by their
 * extension and decoded by their content; classes are the first-level directories below
 * the part, when there are any. Links to files and directories are followed; each
 * directory is visited once, so that a cycle of links ends. Invariant: the order of the
 * pictures is the byte order of their paths below the part, whatever the file system's
 * own order.
 */
#include "data/data_int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_BYTES = 4096 };

static const char *const extensions[] = {".jpg",  ".jpeg", ".jpe", ".jfif", ".png",
                                         ".webp", ".bmp",  ".dib", ".tif",  ".tiff",
                                         ".pbm",  ".pgm",  ".ppm", ".pnm"};

struct entry {
    const char *path; /* below the part's directory */
    int64_t size;
    int label;
};

/* A growing list of fixed-size items on the heap. */
struct list {
    void *items;
    int64_t n, capacity;
};

struct place {
    dev_t device;
    ino_t inode;
};

struct folder {
    struct sl_arena *arena; /* of the texts */
    const char *root;       /* with the part's directory */
    struct sl_decode_options decode;
    struct list entries; /* struct entry */
    struct list classes; /* const char * */
    struct list visited; /* struct place, a hash table of capacity slots */
};

static enum sl_status list_grow(struct sl_error *err, struct list *list, size_t size)
{
    if (list->n < list->capacity) {
        return SL_OK;
    }
    int64_t capacity = list->capacity > 0 ? list->capacity * 2 : 256;
    void *items = NULL;
    SL_TRY(sl_heap_alloc(err, "list of files", capacity, size, &items));
    if (list->n > 0) {
        memcpy(items, list->items, (size_t)list->n * size);
    }
    sl_heap_free(list->items);
    list->items = items;
    list->capacity = capacity;
    return SL_OK;
}

/* ---- visited directories ----------------------------------------------------------- */

static bool place_put(struct place *table, int64_t capacity, struct place place)
{
    uint64_t hash = sl_hash(SL_HASH_START, &place.inode, sizeof(place.inode));
    hash = sl_hash(hash, &place.device, sizeof(place.device));
    for (int64_t at = (int64_t)(hash % (uint64_t)capacity);; at = (at + 1) % capacity) {
        if (table[at].inode == place.inode && table[at].device == place.device) {
            return false;
        }
        if (table[at].inode == 0) { /* no file system hands out inode 0 */
            table[at] = place;
            return true;
        }
    }
}

/* *is_new tells whether the directory was not seen before. */
static enum sl_status visit(struct sl_error *err, struct list *visited,
                            const struct stat *info, bool *is_new)
{
    if (visited->n * 2 >= visited->capacity) {
        int64_t capacity = visited->capacity > 0 ? visited->capacity * 2 : 64;
        struct place *table = NULL;
        SL_TRY(
            sl_heap_alloc(err, "list of directories", capacity, sizeof(*table), &table));
        const struct place *old = visited->items;
        for (int64_t i = 0; i < visited->capacity; i++) {
            if (old[i].inode != 0) {
                place_put(table, capacity, old[i]);
            }
        }
        sl_heap_free(visited->items);
        visited->items = table;
        visited->capacity = capacity;
    }
    struct place place;
    memset(&place, 0, sizeof(place));
    place.device = info->st_dev;
    place.inode = info->st_ino;
    *is_new = place_put(visited->items, visited->capacity, place);
    visited->n += *is_new ? 1 : 0;
    return SL_OK;
}

/* ---- walking ----------------------------------------------------------------------- */

static bool has_image_name(const char *name)
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

static enum sl_status add_entry(struct sl_error *err, struct folder *folder,
                                const char *below, int64_t size)
{
    SL_TRY(list_grow(err, &folder->entries, sizeof(struct entry)));
    struct entry *entry = (struct entry *)folder->entries.items + folder->entries.n;
    *entry = (struct entry){.size = size, .label = -1};
    SL_TRY(sl_arena_text(err, folder->arena, below, &entry->path));
    folder->entries.n++;
    if (folder->entries.n > INT32_MAX) {
        return SL_FAIL(err, SL_ERROR_DATA, "%s: more than %d files", folder->root,
                       INT32_MAX);
    }
    return SL_OK;
}

static enum sl_status walk(struct sl_error *err, struct folder *folder,
                           const char *below);

/* One name in a directory: a file is noted, a directory walked, all else left alone. */
static enum sl_status walk_name(struct sl_error *err, struct folder *folder,
                                const char *below, const char *name)
{
    char path[PATH_BYTES], full[PATH_BYTES];
    struct stat info;
    bool fits = below[0] == '\0' ? sl_text_copy(path, sizeof(path), name)
                                 : sl_path_join(path, sizeof(path), below, name);
    if (!fits || !sl_path_join(full, sizeof(full), folder->root, path)) {
        return SL_FAIL(err, SL_ERROR_DATA, "%s/%s/%s: the path is longer than %d bytes",
                       folder->root, below, name, PATH_BYTES - 1);
    }
    if (name[0] == '.' || stat(full, &info) != 0) {
        return SL_OK; /* hidden, or a link to nowhere */
    }
    if (S_ISDIR(info.st_mode)) {
        bool is_new = false;
        SL_TRY(visit(err, &folder->visited, &info, &is_new));
        return is_new ? walk(err, folder, path) : SL_OK;
    }
    if (S_ISREG(info.st_mode) && has_image_name(name)) {
        return add_entry(err, folder, path, (int64_t)info.st_size);
    }
    return SL_OK;
}

static enum sl_status walk(struct sl_error *err, struct folder *folder, const char *below)
{
    char full[PATH_BYTES];
    struct sl_dir_list list = {0};
    enum sl_status status = SL_OK;
    bool fits = below[0] == '\0' ? sl_text_copy(full, sizeof(full), folder->root)
                                 : sl_path_join(full, sizeof(full), folder->root, below);
    SL_ASSERT(fits);
    SL_TRY(sl_dir_list(err, SL_ERROR_DATA, full, &list));
    for (int64_t i = 0; i < list.n; i++) {
        SL_TRY_OUT(walk_name(err, folder, below, list.names[i]));
    }
out:
    sl_dir_list_finish(&list);
    return status;
}

static int by_path(const void *a, const void *b)
{
    const struct entry *left = a, *right = b;
    return strcmp(left->path, right->path);
}

/* ---- classes ----------------------------------------------------------------------- */

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Adds the first-level directories of a finished, sorted list of entries. */
static enum sl_status note_classes(struct sl_error *err, const struct folder *from,
                                   struct folder *to)
{
    char last[PATH_BYTES] = "";
    const struct entry *entries = from->entries.items;
    for (int64_t i = 0; i < from->entries.n; i++) {
        size_t length = strcspn(entries[i].path, "/");
        if (entries[i].path[length] == '\0' ||
            (strncmp(last, entries[i].path, length) == 0 && last[length] == '\0')) {
            continue;
        }
        memcpy(last, entries[i].path, length);
        last[length] = '\0';
        SL_TRY(list_grow(err, &to->classes, sizeof(const char *)));
        const char **name = (const char **)to->classes.items + to->classes.n;
        SL_TRY(sl_arena_text(err, to->arena, last, name));
        to->classes.n++;
    }
    return SL_OK;
}

static void unique_classes(struct folder *folder)
{
    const char **names = folder->classes.items;
    int64_t kept = 0;
    if (folder->classes.n == 0) {
        return;
    }
    qsort(names, (size_t)folder->classes.n, sizeof(*names), by_text);
    for (int64_t i = 1; i < folder->classes.n; i++) {
        if (strcmp(names[kept], names[i]) != 0) {
            names[++kept] = names[i];
        }
    }
    folder->classes.n = kept + 1;
}

static void label_entries(struct folder *folder)
{
    char name[PATH_BYTES];
    const char *key = name;
    struct entry *entries = folder->entries.items;
    for (int64_t i = 0; i < folder->entries.n && folder->classes.n > 0; i++) {
        size_t length = strcspn(entries[i].path, "/");
        if (entries[i].path[length] == '\0') {
            continue; /* lies beside the class folders */
        }
        memcpy(name, entries[i].path, length);
        name[length] = '\0';
        const char **found =
            bsearch(&key, folder->classes.items, (size_t)folder->classes.n,
                    sizeof(const char *), by_text);
        SL_ASSERT(found != NULL);
        entries[i].label = (int)(found - (const char **)folder->classes.items);
    }
}

/* ---- reading ----------------------------------------------------------------------- */

static const struct entry *entry_of(const struct sl_reader *reader, int64_t i)
{
    const struct folder *folder = reader->state;
    return (const struct entry *)folder->entries.items + i;
}

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
static enum sl_status slurp(struct sl_error *err, const char *path,
                            const struct sl_decode_options *decode,
                            struct sl_arena *arena, unsigned char **bytes, int64_t *size)
{
    struct stat info;
    enum sl_status status = SL_OK;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0 || fstat(file, &info) != 0) {
        status =
            SL_FAIL(err, SL_ERROR_DATA, "%s: cannot be read: %s", path, strerror(errno));
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

static enum sl_status read_folder_part(struct sl_error *err,
                                       const struct sl_reader *reader, int64_t i,
                                       struct sl_part_wish *wish, struct sl_arena *arena,
                                       struct sl_image *image)
{
    const struct folder *folder = reader->state;
    struct sl_decode_options decode = folder->decode;
    decode.part = wish;
    char path[PATH_BYTES];
    unsigned char *bytes = NULL;
    int64_t size = 0;
    SL_ASSERT(sl_path_join(path, sizeof(path), folder->root, entry_of(reader, i)->path));
    SL_TRY(slurp(err, path, &folder->decode, arena, &bytes, &size));
    return sl_decode(err, path, bytes, size, &decode, arena, image);
}

static enum sl_status read_folder(struct sl_error *err, const struct sl_reader *reader,
                                  int64_t i, struct sl_arena *arena,
                                  struct sl_image *image)
{
    return read_folder_part(err, reader, i, NULL, arena, image);
}

static void name_folder(const struct sl_reader *reader, int64_t i, char *dst, size_t size)
{
    const struct folder *folder = reader->state;
    snprintf(dst, size, "%s/%s", folder->root, entry_of(reader, i)->path);
}

static int label_folder(const struct sl_reader *reader, int64_t i)
{
    return entry_of(reader, i)->label;
}

static const char *class_name_folder(const struct sl_reader *reader, int label)
{
    const struct folder *folder = reader->state;
    return ((const char *const *)folder->classes.items)[label];
}

static const char *word_folder(const struct sl_reader *reader)
{
    (void)reader;
    return "folder";
}

static void folder_finish(struct folder *folder)
{
    sl_heap_free(folder->entries.items);
    sl_heap_free(folder->classes.items);
    sl_heap_free(folder->visited.items);
    sl_arena_destroy(folder->arena);
    memset(folder, 0, sizeof(*folder));
}

static void close_folder(struct sl_reader *reader)
{
    struct folder *folder = reader->state;
    if (folder != NULL) {
        folder_finish(folder);
        sl_heap_free(folder);
        reader->state = NULL;
    }
}

static const struct sl_reader_kind folder_kind = {
    .read = read_folder,
    .read_part = read_folder_part,
    .name = name_folder,
    .label = label_folder,
    .class_name = class_name_folder,
    .word = word_folder,
    .mean_std = sl_mean_std_imagenet,
    .close = close_folder,
};

/* ---- opening ----------------------------------------------------------------------- */

/* The part's directory below `path`; false when there is none. Without train/ the tree is
 * one part, whatever else it holds. */
static bool part_path(const char *path, enum sl_part part, char *dst, size_t size)
{
    static const char *const names[2][2] = {{"train", NULL}, {"val", "test"}};
    for (int i = 0; i < 2 && names[part][i] != NULL; i++) {
        if (sl_path_join(dst, size, path, names[part][i]) &&
            sl_path_kind(dst) == SL_PATH_DIRECTORY) {
            return true;
        }
    }
    return false;
}

void sl_folder_parts(const char *path, struct sl_parts *parts)
{
    char below[PATH_BYTES];
    parts->train = part_path(path, SL_PART_TRAIN, below, sizeof(below));
    parts->test = parts->train && part_path(path, SL_PART_TEST, below, sizeof(below));
}

/* Fills a zeroed folder with the sorted entries below a root. */
static enum sl_status folder_scan(struct sl_error *err, const char *root,
                                  struct folder *folder)
{
    struct stat info;
    bool is_new = false;
    SL_TRY(sl_arena_create(err, 64 * 1024, &folder->arena));
    SL_TRY(sl_arena_text(err, folder->arena, root, &folder->root));
    if (stat(root, &info) == 0) {
        SL_TRY(visit(err, &folder->visited, &info, &is_new));
    }
    SL_TRY(walk(err, folder, ""));
    if (folder->entries.n > 0) {
        qsort(folder->entries.items, (size_t)folder->entries.n, sizeof(struct entry),
              by_path);
    }
    return SL_OK;
}

/* A class has the same number in both parts: the other part's directories count as well.
 */
static enum sl_status other_classes(struct sl_error *err, const char *path,
                                    enum sl_part part, struct folder *folder)
{
    char root[PATH_BYTES];
    struct folder other = {0};
    enum sl_part other_part = part == SL_PART_TRAIN ? SL_PART_TEST : SL_PART_TRAIN;
    if (!part_path(path, other_part, root, sizeof(root))) {
        return SL_OK;
    }
    enum sl_status status = folder_scan(err, root, &other);
    if (status == SL_OK) {
        status = note_classes(err, &other, folder);
    }
    folder_finish(&other);
    return status;
}

enum sl_status sl_folder_open(struct sl_error *err, const char *path, enum sl_part part,
                              const struct sl_decode_options *decode,
                              struct sl_reader *reader)
{
    char root[PATH_BYTES];
    struct folder *folder = NULL;
    struct sl_parts parts;
    *reader = (struct sl_reader){.kind = &folder_kind};
    SL_TRY(sl_heap_alloc(err, "folder", 1, sizeof(*folder), &folder));
    reader->state = folder;
    folder->decode = *decode;
    sl_folder_parts(path, &parts);
    if (!parts.train || !part_path(path, part, root, sizeof(root))) {
        if (!sl_text_copy(root, sizeof(root), path)) {
            return SL_FAIL(err, SL_ERROR_DATA, "%s: the path is longer than %d bytes",
                           path, PATH_BYTES - 1);
        }
    }
    SL_TRY(folder_scan(err, root, folder));
    if (folder->entries.n == 0) {
        return SL_FAIL(err, SL_ERROR_DATA,
                       "%s: no images in this folder or below it (looked for .jpg .jpeg "
                       ".png .webp .bmp .tif .tiff .pbm .pgm .ppm .pnm); give the folder "
                       "that holds them",
                       root);
    }
    SL_TRY(note_classes(err, folder, folder));
    if (parts.train) {
        SL_TRY(other_classes(err, path, part, folder));
    }
    unique_classes(folder);
    label_entries(folder);
    reader->count = folder->entries.n;
    reader->n_classes = (int)folder->classes.n;
    reader->fingerprint = SL_HASH_START;
    const struct entry *entries = folder->entries.items;
    for (int64_t i = 0; i < folder->entries.n; i++) {
        const struct entry *e = &entries[i];
        reader->fingerprint = sl_hash(reader->fingerprint, e->path, strlen(e->path) + 1);
        reader->fingerprint = sl_hash(reader->fingerprint, &e->size, sizeof(e->size));
    }
    return SL_OK;
}
