/* SPDX-License-Identifier: MIT */
/*
 * Collection of a directory tree of image files, at any depth. Files are taken by their
 * extension and decoded by their content; classes are the first-level directories below
 * the part, when there are any. Names and kinds come from the directories alone: no file
 * is looked at before it is read. Links to files and directories are followed after
 * everything that is really there was seen, in byte order, each directory is walked once
 * and each real file taken once, so that a cycle of links ends. Invariant: the order of
 * the pictures is the byte order of their paths below the part, whatever the file
 * system's own order.
 */
#include "data/index_int.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct place {
    uint64_t device, inode;
};

/* A directory still to be walked, or a link still to be followed. */
struct pending {
    uint64_t text; /* path below the root, in `texts` */
    struct sl_build_dir like;
};

struct walk {
    const char *root;
    struct sl_builder *builder;
    struct sl_rows visited; /* struct place, a hash table of capacity slots */
    struct sl_rows files;   /* the same, of files reached by links */
    struct sl_text texts;
    struct sl_rows dirs, links, file_links; /* struct pending */
};

/* ---- visited places ---------------------------------------------------------------- */

/* The slot of a place in the table, or the empty one where it belongs. */
static struct place *place_slot(const struct sl_rows *table, struct place place)
{
    struct place *slots = table->items;
    uint64_t hash = sl_hash(SL_HASH_START, &place.inode, sizeof(place.inode));
    hash = sl_hash(hash, &place.device, sizeof(place.device));
    uint64_t n = (uint64_t)table->capacity;
    for (uint64_t at = hash % n;; at = (at + 1) % n) {
        bool is_it = slots[at].inode == place.inode && slots[at].device == place.device;
        if (is_it || slots[at].inode == 0) { /* no file system hands out inode 0 */
            return &slots[at];
        }
    }
}

static bool is_visited(const struct sl_rows *table, struct place place)
{
    return table->capacity > 0 && place_slot(table, place)->inode != 0;
}

/* *is_new tells whether the place was not seen before. */
static enum sl_status visit(struct sl_error *err, struct sl_rows *table,
                            struct place place, bool *is_new)
{
    if (table->n * 2 >= table->capacity) {
        struct sl_rows grown = {
            .n = table->n, .capacity = table->capacity > 0 ? table->capacity * 2 : 64};
        SL_TRY(sl_heap_alloc(err, "list of directories", grown.capacity,
                             sizeof(struct place), &grown.items));
        const struct place *old = table->items;
        for (int64_t i = 0; i < table->capacity; i++) {
            if (old[i].inode != 0) {
                *place_slot(&grown, old[i]) = old[i];
            }
        }
        sl_heap_free(table->items);
        *table = grown;
    }
    struct place *slot = place_slot(table, place);
    *is_new = slot->inode == 0;
    *slot = place;
    table->n += *is_new ? 1 : 0;
    return SL_OK;
}

static struct place place_of(const struct sl_place *look)
{
    return (struct place){look->device, look->inode};
}

/* ---- walking ----------------------------------------------------------------------- */

static enum sl_status fail_long(struct sl_error *err, const struct walk *walk,
                                const char *below, const char *name)
{
    return SL_FAIL(err, SL_ERROR_DATA, "%s/%s/%s: the path is longer than %d bytes",
                   walk->root, below, name, SL_INDEX_PATH - 1);
}

static bool join_below(char *dst, const char *dir, const char *name)
{
    return dir[0] == '\0'    ? sl_text_copy(dst, SL_INDEX_PATH, name)
           : name[0] == '\0' ? sl_text_copy(dst, SL_INDEX_PATH, dir)
                             : sl_path_join(dst, SL_INDEX_PATH, dir, name);
}

static enum sl_status put_off(struct sl_error *err, struct walk *walk,
                              struct sl_rows *rows, const char *below,
                              const struct sl_build_dir *like)
{
    SL_TRY(sl_rows_grow(err, rows, sizeof(struct pending)));
    struct pending *pending = (struct pending *)rows->items + rows->n;
    *pending = (struct pending){.text = walk->texts.length, .like = *like};
    sl_text_add_bytes(&walk->texts, below, strlen(below) + 1);
    if (walk->texts.failed) {
        return SL_FAIL(err, SL_ERROR_RUN, "out of memory for the names of directories");
    }
    rows->n++;
    return SL_OK;
}

/* Kind of a name as its directory tells it; asked of the file only where it does not. */
static unsigned char kind_of(const char *full, const char *name,
                             const struct dirent *entry)
{
    char path[SL_INDEX_PATH];
    struct stat info;
    if (entry->d_type != DT_UNKNOWN) {
        return entry->d_type;
    }
    if (!join_below(path, full, name) || lstat(path, &info) != 0) {
        return DT_UNKNOWN;
    }
    return S_ISDIR(info.st_mode)   ? DT_DIR
           : S_ISREG(info.st_mode) ? DT_REG
           : S_ISLNK(info.st_mode) ? DT_LNK
                                   : DT_UNKNOWN;
}

/* One name in a directory: a file is noted, a directory or link put off, all else left
 * alone. *dir is the directory's number in the index once it has a picture. */
static enum sl_status walk_name(struct sl_error *err, struct walk *walk,
                                const char *below, const char *full,
                                const struct sl_build_dir *like,
                                const struct dirent *entry, int64_t *dir)
{
    char path[SL_INDEX_PATH];
    const char *name = entry->d_name;
    if (name[0] == '.') {
        return SL_OK;
    }
    unsigned char kind = kind_of(full, name, entry);
    if (kind == DT_REG && sl_has_image_name(name)) {
        if (*dir < 0) {
            uint32_t number = 0;
            SL_TRY(
                sl_builder_dir(err, walk->builder, below, strlen(below), like, &number));
            *dir = (int64_t)number;
        }
        if (strlen(full) + strlen(name) + 2 > SL_INDEX_PATH) {
            return fail_long(err, walk, below, name);
        }
        return sl_builder_add_in(err, walk->builder, (uint32_t)*dir, name, -1);
    }
    if (kind != DT_DIR && kind != DT_LNK) {
        return SL_OK;
    }
    if (!join_below(path, below, name)) {
        return fail_long(err, walk, below, name);
    }
    return put_off(err, walk, kind == DT_DIR ? &walk->dirs : &walk->links, path, like);
}

static enum sl_status walk_entries(struct sl_error *err, struct walk *walk, DIR *stream,
                                   const char *below, const char *full,
                                   const struct sl_build_dir *like)
{
    int64_t dir = -1;
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(stream);
        if (entry == NULL) {
            return errno == 0 ? SL_OK
                              : SL_FAIL(err, SL_ERROR_DATA, "%s: cannot be read: %s",
                                        full, strerror(errno));
        }
        SL_TRY(walk_name(err, walk, below, full, like, entry, &dir));
    }
}

static enum sl_status walk_one(struct sl_error *err, struct walk *walk, const char *below,
                               const struct sl_build_dir *like)
{
    char full[SL_INDEX_PATH];
    struct sl_place look;
    bool is_new = false;
    if (!join_below(full, walk->root, below)) {
        return fail_long(err, walk, below, "");
    }
    /* Looked at before it is read: a change meanwhile makes the cached index stale. */
    DIR *stream = sl_place_look(full, &look) ? opendir(full) : NULL;
    if (stream == NULL) {
        return SL_FAIL(err, SL_ERROR_DATA, "%s: cannot be read: %s; check owner and mode",
                       full, strerror(errno));
    }
    enum sl_status status = visit(err, &walk->visited, place_of(&look), &is_new);
    if (status == SL_OK && is_new) {
        status = sl_builder_place(err, walk->builder, below, &look);
    }
    if (status == SL_OK && is_new) {
        status = walk_entries(err, walk, stream, below, full, like);
    }
    (void)closedir(stream);
    return status;
}

/* A directory and all real ones below it, without recursion: trees may be deep. */
static enum sl_status walk_tree(struct sl_error *err, struct walk *walk,
                                const char *below, const struct sl_build_dir *like)
{
    SL_TRY(put_off(err, walk, &walk->dirs, below, like));
    while (walk->dirs.n > 0) {
        char path[SL_INDEX_PATH];
        struct pending next = ((struct pending *)walk->dirs.items)[--walk->dirs.n];
        SL_ASSERT(sl_text_copy(path, sizeof(path), walk->texts.text + next.text));
        SL_TRY(walk_one(err, walk, path, &next.like));
    }
    return SL_OK;
}

/* ---- links ------------------------------------------------------------------------- */

struct link_row {
    const char *path;
    struct sl_build_dir like;
};

static int by_link_path(const void *a, const void *b)
{
    return strcmp(((const struct link_row *)a)->path, ((const struct link_row *)b)->path);
}

/* Takes the pending links out, sorted; `texts` keeps their paths until the caller is
 * done.
 */
static enum sl_status take_links(struct sl_error *err, struct sl_rows *from,
                                 const char *texts, struct link_row **links, int64_t *n)
{
    const struct pending *pending = from->items;
    *n = from->n;
    SL_TRY(sl_heap_alloc(err, "list of links", *n, sizeof(**links), links));
    for (int64_t i = 0; i < *n; i++) {
        (*links)[i] = (struct link_row){texts + pending[i].text, pending[i].like};
    }
    from->n = 0;
    if (*n > 1) {
        qsort(*links, (size_t)*n, sizeof(**links), by_link_path);
    }
    return SL_OK;
}

static enum sl_status follow_link(struct sl_error *err, struct walk *walk,
                                  const struct link_row *link)
{
    char full[SL_INDEX_PATH];
    struct stat info;
    if (!join_below(full, walk->root, link->path)) {
        return fail_long(err, walk, link->path, "");
    }
    if (stat(full, &info) != 0) {
        return SL_OK; /* a link to nowhere */
    }
    if (S_ISDIR(info.st_mode)) {
        return walk_tree(err, walk, link->path, &link->like);
    }
    bool is_picture = S_ISREG(info.st_mode) && sl_has_image_name(strrchr(full, '/') + 1);
    return is_picture ? put_off(err, walk, &walk->file_links, link->path, &link->like)
                      : SL_OK;
}

/* Follows links to directories, then those that were met there, until there are none. */
static enum sl_status follow_links(struct sl_error *err, struct walk *walk)
{
    enum sl_status status = SL_OK;
    while (walk->links.n > 0 && status == SL_OK) {
        struct link_row *links = NULL;
        int64_t n = 0;
        struct sl_text texts = walk->texts;
        walk->texts = (struct sl_text){0};
        /* Files put off in an earlier round keep their texts. */
        struct pending *files = walk->file_links.items;
        for (int64_t i = 0; i < walk->file_links.n && status == SL_OK; i++) {
            const char *path = texts.text + files[i].text;
            files[i].text = walk->texts.length;
            sl_text_add_bytes(&walk->texts, path, strlen(path) + 1);
        }
        status = take_links(err, &walk->links, texts.text, &links, &n);
        for (int64_t i = 0; i < n && status == SL_OK; i++) {
            status = follow_link(err, walk, &links[i]);
        }
        sl_heap_free(links);
        sl_text_finish(&texts);
    }
    return status;
}

/* Does the walk list the file behind a link under its own name already? */
static bool is_listed(const struct walk *walk, const char *full)
{
    char real[SL_INDEX_PATH];
    struct sl_place look;
    if (realpath(full, real) == NULL) {
        return false;
    }
    char *slash = strrchr(real, '/');
    if (slash == NULL || !sl_has_image_name(slash + 1)) {
        return false;
    }
    slash[slash == real ? 1 : 0] = '\0';
    return sl_place_look(real, &look) && is_visited(&walk->visited, place_of(&look));
}

static enum sl_status add_file_links(struct sl_error *err, struct walk *walk)
{
    enum sl_status status = SL_OK;
    struct link_row *links = NULL;
    int64_t n = 0;
    SL_TRY(take_links(err, &walk->file_links, walk->texts.text, &links, &n));
    for (int64_t i = 0; i < n; i++) {
        char full[SL_INDEX_PATH];
        struct sl_place look;
        bool is_new = false;
        if (!join_below(full, walk->root, links[i].path) || !sl_place_look(full, &look) ||
            is_listed(walk, full)) {
            continue;
        }
        SL_TRY_OUT(visit(err, &walk->files, place_of(&look), &is_new));
        if (is_new) {
            SL_TRY_OUT(sl_builder_add(err, walk->builder, links[i].path, &links[i].like,
                                      NULL, -1));
        }
    }
out:
    sl_heap_free(links);
    return status;
}

/* ---- opening ----------------------------------------------------------------------- */

/* Name of the part's directory below `path`, or NULL. */
static const char *part_name(const char *path, enum sl_part part)
{
    static const char *const names[2][2] = {{"train", NULL}, {"val", "test"}};
    for (int i = 0; i < 2 && names[part][i] != NULL; i++) {
        char dir[SL_INDEX_PATH];
        if (sl_path_join(dir, sizeof(dir), path, names[part][i]) &&
            sl_path_kind(dir) == SL_PATH_DIRECTORY) {
            return names[part][i];
        }
    }
    return NULL;
}

/* Without train/ the tree is one part, whatever else it holds. */
static enum sl_status walk_parts(struct sl_error *err, struct walk *walk)
{
    struct sl_place look;
    const char *train = part_name(walk->root, SL_PART_TRAIN);
    const char *test = part_name(walk->root, SL_PART_TEST);
    struct sl_build_dir like = {.part = SL_PART_TRAIN};
    if (train == NULL) {
        SL_TRY(walk_tree(err, walk, "", &like));
        SL_TRY(follow_links(err, walk));
        return add_file_links(err, walk);
    }
    walk->builder->parted = true;
    /* A part that comes or goes changes the root. */
    if (sl_place_look(walk->root, &look)) {
        SL_TRY(sl_builder_place(err, walk->builder, "", &look));
    }
    like.below = (uint32_t)strlen(train) + 1;
    SL_TRY(walk_tree(err, walk, train, &like));
    if (test != NULL) {
        like = (struct sl_build_dir){.part = SL_PART_TEST,
                                     .below = (uint32_t)strlen(test) + 1};
        SL_TRY(walk_tree(err, walk, test, &like));
    }
    SL_TRY(follow_links(err, walk));
    return add_file_links(err, walk);
}

static enum sl_status scan(struct sl_error *err, const char *root, const char *key,
                           struct sl_index *index)
{
    struct sl_builder builder = {0};
    struct walk walk = {.root = root, .builder = &builder};
    enum sl_status status = walk_parts(err, &walk);
    if (status == SL_OK) {
        status = sl_builder_freeze(err, &builder, key, index);
    }
    sl_builder_finish(&builder);
    sl_heap_free(walk.visited.items);
    sl_heap_free(walk.files.items);
    sl_heap_free(walk.dirs.items);
    sl_heap_free(walk.links.items);
    sl_heap_free(walk.file_links.items);
    sl_text_finish(&walk.texts);
    return status;
}

static enum sl_status begin(struct sl_error *err, const struct sl_source_config *config,
                            struct sl_reader *reader, struct sl_collection **collection,
                            char **key)
{
    if (strlen(config->data) > SL_INDEX_PATH - 1) {
        return SL_FAIL(err, SL_ERROR_DATA, "%s: the path is longer than %d bytes",
                       config->data, SL_INDEX_PATH - 1);
    }
    SL_TRY(sl_collection_create(err, "folder", config->data, &config->decode, reader,
                                collection));
    return sl_cache_key(err, "folder", config->data, key);
}

enum sl_status sl_folder_open_cached(struct sl_error *err,
                                     const struct sl_source_config *config,
                                     struct sl_reader *reader, bool *found)
{
    struct sl_collection *collection = NULL;
    char *key = NULL;
    double begun = sl_clock();
    *found = false;
    if (config->cache_directory == NULL) {
        return SL_OK;
    }
    enum sl_status status = begin(err, config, reader, &collection, &key);
    if (status == SL_OK) {
        *found =
            sl_cache_load(config->cache_directory, key, config->data, &collection->index);
    }
    if (*found) {
        sl_collection_note(collection, true, begun);
    }
    if (!*found && reader->kind != NULL) {
        reader->kind->close(reader);
        *reader = (struct sl_reader){0};
    }
    sl_heap_free(key);
    return status;
}

enum sl_status sl_folder_open(struct sl_error *err, const struct sl_source_config *config,
                              struct sl_reader *reader)
{
    struct sl_collection *collection = NULL;
    char *key = NULL;
    int64_t begun_s = sl_time_now();
    double begun = sl_clock();
    enum sl_status status = begin(err, config, reader, &collection, &key);
    if (status == SL_OK) {
        status = scan(err, config->data, key, &collection->index);
    }
    if (status == SL_OK) {
        sl_collection_note(collection, false, begun);
        sl_cache_store(config->cache_directory, &collection->index, begun_s);
    }
    sl_heap_free(key);
    return status;
}
