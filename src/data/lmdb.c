/* SPDX-License-Identifier: MIT */
/*
 * Collection in an LMDB of encoded pictures under keys class/file; the only file that
 * includes lmdb.h. A JSON of keys and labels beside it ("train.lmdb" and
 * "train_list.json", there or in the folder above) says which keys count; without one
 * every key of a picture counts and its first part is the class. The database is opened
 * read-only and without locks. Invariant: the file is as long as its own head says before
 * anything else of it is looked at.
 */
#include "data/index_int.h"

#include <lmdb.h>
#include <string.h>

const bool sl_lmdb_built = true;

static const int64_t KEYS_BYTES_MAX = INT64_C(1) << 30;

struct store {
    MDB_env *env;
    MDB_dbi dbi;
};

static enum sl_status fail_lmdb(struct sl_error *err, const char *path, int code)
{
    return SL_FAIL(err, SL_ERROR_DATA, "%s: not a readable LMDB: %s", path,
                   mdb_strerror(code));
}

/* ---- the database ------------------------------------------------------------------ */

static void close_store(void *context)
{
    struct store *store = context;
    if (store != NULL) {
        if (store->env != NULL) {
            mdb_env_close(store->env);
        }
        sl_heap_free(store);
    }
}

/* A file that was cut short would end the process when its missing pages are touched. */
static enum sl_status check_length(struct sl_error *err, const char *path, MDB_env *env,
                                   int64_t size)
{
    MDB_envinfo info;
    MDB_stat stat;
    int64_t need = 0;
    int code = mdb_env_info(env, &info);
    code = code == 0 ? mdb_env_stat(env, &stat) : code;
    if (code != 0) {
        return fail_lmdb(err, path, code);
    }
    if (info.me_last_pgno >= INT64_MAX ||
        !sl_mul_checked((int64_t)info.me_last_pgno + 1, (int64_t)stat.ms_psize, &need) ||
        need > size) {
        return SL_FAIL(err, SL_ERROR_DATA,
                       "%s: cut short: %lld bytes, and its head promises %lld; fetch the "
                       "file again",
                       path, (long long)size, (long long)need);
    }
    return SL_OK;
}

static enum sl_status open_env(struct sl_error *err, const char *path,
                               struct store *store)
{
    struct sl_place look;
    char file[SL_INDEX_PATH];
    bool is_folder = sl_path_kind(path) == SL_PATH_DIRECTORY;
    bool fits = is_folder ? sl_path_join(file, sizeof(file), path, "data.mdb")
                          : sl_text_copy(file, sizeof(file), path);
    unsigned int flags = MDB_RDONLY | MDB_NOLOCK | MDB_NOTLS | MDB_NORDAHEAD;
    if (!fits || !sl_place_look(file, &look)) {
        return SL_FAIL(err, SL_ERROR_DATA, "%s: no such file or directory", file);
    }
    int code = mdb_env_create(&store->env);
    if (code == 0) {
        /* As much address space as the file has bytes, not the terabytes it may grow to.
         */
        code = mdb_env_set_mapsize(store->env, (size_t)look.size);
    }
    if (code == 0) {
        code = mdb_env_open(store->env, path, flags | (is_folder ? 0 : MDB_NOSUBDIR),
                            (mdb_mode_t)0444);
    }
    if (code != 0) {
        return fail_lmdb(err, path, code);
    }
    SL_TRY(check_length(err, path, store->env, look.size));
    MDB_txn *txn = NULL;
    code = mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn);
    if (code == 0) {
        code = mdb_dbi_open(txn, NULL, 0, &store->dbi);
    }
    if (code == 0) {
        code = mdb_txn_commit(txn); /* the handle outlives it */
    } else if (txn != NULL) {
        mdb_txn_abort(txn);
    }
    return code == 0 ? SL_OK : fail_lmdb(err, path, code);
}

static enum sl_status fetch_value(struct sl_error *err,
                                  const struct sl_collection *collection, int64_t i,
                                  const char *name, struct sl_arena *arena,
                                  unsigned char **bytes, int64_t *size)
{
    const struct store *store = collection->store;
    char path[SL_INDEX_PATH];
    MDB_txn *txn = NULL;
    MDB_val value = {0};
    enum sl_status status = SL_OK;
    SL_ASSERT(sl_index_path(&collection->index, i, path, sizeof(path)));
    MDB_val key = {.mv_size = strlen(path), .mv_data = path};
    /* A transaction of its own for each picture: one may not be shared by threads. */
    int code = mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn);
    if (code == 0) {
        code = mdb_get(txn, store->dbi, &key, &value);
    }
    if (code == MDB_NOTFOUND) {
        status = SL_FAIL(err, SL_ERROR_DATA, "%s: the database has no such key", name);
    } else if (code != 0) {
        status = fail_lmdb(err, name, code);
    } else {
        *size = (int64_t)value.mv_size;
        status = sl_bytes_check(err, name, *size, &collection->decode);
        status = status == SL_OK ? sl_arena_alloc(err, arena, *size, 1, bytes) : status;
        if (status == SL_OK && *size > 0) {
            memcpy(*bytes, value.mv_data, value.mv_size);
        }
    }
    if (txn != NULL) {
        mdb_txn_abort(txn);
    }
    return status;
}

/* ---- keys -------------------------------------------------------------------------- */

static enum sl_status add_key(struct sl_error *err, const MDB_val *key,
                              struct sl_builder *builder)
{
    static const struct sl_build_dir like = {.part = SL_PART_TRAIN};
    char path[SL_INDEX_PATH];
    size_t size = key->mv_size;
    if (size == 0 || size >= sizeof(path) || memchr(key->mv_data, 0, size) != NULL) {
        return SL_OK;
    }
    memcpy(path, key->mv_data, size);
    path[size] = '\0';
    const char *slash = strrchr(path, '/');
    bool is_picture =
        sl_has_image_name(slash != NULL ? slash + 1 : path) && strstr(path, "//") == NULL;
    return is_picture ? sl_builder_add(err, builder, path, &like, NULL, -1) : SL_OK;
}

static enum sl_status walk_keys(struct sl_error *err, const char *path,
                                const struct store *store, struct sl_builder *builder)
{
    MDB_txn *txn = NULL;
    MDB_cursor *cursor = NULL;
    MDB_val key = {0}, value = {0};
    enum sl_status status = SL_OK;
    int code = mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn);
    if (code == 0) {
        code = mdb_cursor_open(txn, store->dbi, &cursor);
    }
    while (code == 0 && status == SL_OK) {
        code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
        if (code == 0) {
            status = add_key(err, &key, builder);
        }
    }
    if (status == SL_OK && code != MDB_NOTFOUND) {
        status = fail_lmdb(err, path, code);
    }
    if (cursor != NULL) {
        mdb_cursor_close(cursor);
    }
    if (txn != NULL) {
        mdb_txn_abort(txn);
    }
    return status;
}

/* "a/train.lmdb" -> "a/train_list.json", else "train_list.json" in the folder above. */
static bool find_list(const char *path, char *dst, size_t size)
{
    char folder[SL_INDEX_PATH], up[SL_INDEX_PATH], name[SL_INDEX_PATH];
    if (!sl_text_copy(folder, sizeof(folder), path)) {
        return false;
    }
    size_t end = strlen(folder);
    while (end > 1 && folder[end - 1] == '/') {
        folder[--end] = '\0';
    }
    char *slash = strrchr(folder, '/');
    const char *base = slash != NULL ? slash + 1 : folder;
    int stem = (int)strlen(base) - (int)strlen(".lmdb");
    int length =
        snprintf(name, sizeof(name), "%.*s_list.json", stem > 0 ? stem : 0, base);
    if (length < 0 || length >= (int)sizeof(name)) {
        return false;
    }
    if (slash != NULL) {
        slash[slash == folder ? 1 : 0] = '\0';
    }
    const char *beside = slash != NULL ? folder : ".";
    return (sl_path_join(dst, size, beside, name) && sl_path_kind(dst) == SL_PATH_FILE) ||
           (sl_path_join(up, sizeof(up), beside, "..") &&
            sl_path_join(dst, size, up, name) && sl_path_kind(dst) == SL_PATH_FILE);
}

static enum sl_status read_keys(struct sl_error *err, const char *path,
                                const struct store *store, struct sl_builder *builder)
{
    char list[SL_INDEX_PATH];
    unsigned char *bytes = NULL;
    int64_t size = 0;
    if (!find_list(path, list, sizeof(list))) {
        return walk_keys(err, path, store, builder);
    }
    SL_TRY(sl_file_read(err, SL_ERROR_DATA, list, KEYS_BYTES_MAX, &bytes, &size));
    enum sl_status status = sl_lmdb_keys_parse(err, list, bytes, size, builder);
    sl_heap_free(bytes);
    return status;
}

enum sl_status sl_lmdb_open(struct sl_error *err, const struct sl_source_config *config,
                            struct sl_reader *reader)
{
    struct sl_collection *collection = NULL;
    struct store *store = NULL;
    struct sl_builder builder = {0};
    enum sl_status status = SL_OK;
    SL_TRY(sl_collection_create(err, "lmdb", config->data, &config->decode, reader,
                                &collection));
    SL_TRY(sl_heap_alloc(err, "LMDB", 1, sizeof(*store), &store));
    collection->store = store;
    collection->store_close = close_store;
    collection->fetch = fetch_value;
    SL_TRY(open_env(err, config->data, store));
    SL_TRY_OUT(read_keys(err, config->data, store, &builder));
    SL_TRY_OUT(sl_builder_freeze(err, &builder, "lmdb", &collection->index));
out:
    sl_builder_finish(&builder);
    return status;
}
