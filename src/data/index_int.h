/* SPDX-License-Identifier: MIT */
/*
 * Private to src/data: the index, one compact table of all pictures of a collection
 * (folder, list file, archives, LMDB), what builds it, where it is cached, and the reader
 * over it. Never included from outside.
 *
 * A frozen index is one block of memory whose layout is also that of the cache file: a
 * head, tables of fixed-size rows, and one pool of texts. A picture costs 8 bytes and its
 * file name; 4 more with a label of its own, 12 more with a position in an archive, 4
 * more with a check sum (zip). Directories are stored once.
 */
#ifndef SRC_DATA_INDEX_INT_H
#define SRC_DATA_INDEX_INT_H

#include "data/data_int.h"

enum { SL_INDEX_PATH = 4096, SL_INDEX_CLASSES_MAX = 1 << 20, SL_INDEX_CHUNK = 1 << 16 };
/* As many classes are believed of labels that are numbers, whatever the number of
 * pictures: a few bytes must not cost a table of a million. */
enum { SL_INDEX_CLASSES_FEW = 1 << 16 };

/* ---- the frozen index (index.c, index_file.c) -------------------------------------- */

/* A directory that was walked, or an archive: how it looked then. `text` is a position in
 * the pool: the path below the root (folder), or the path of the archive. */
struct sl_place {
    uint64_t device, inode;
    int64_t size, modified_s, modified_ns, changed_s, changed_ns;
    uint64_t text;
};

/* A directory that holds pictures. */
struct sl_index_dir {
    uint64_t text;
    uint32_t place; /* archive that holds it; 0 for folders */
    int32_t label;  /* class of its pictures, or -1 */
};

enum {
    SL_INDEX_LABELS = 1,
    SL_INDEX_EXTENTS = 2,
    SL_INDEX_PARTED = 4,
    SL_INDEX_SUMS = 8
};

struct sl_index_head {
    char magic[8];
    uint64_t order_mark; /* other byte orders are foreign */
    uint64_t total_bytes;
    uint64_t checksum; /* of all that follows it */
    uint64_t flags;
    int64_t count, n_train; /* pictures; the first n_train are the train part */
    int64_t n_dirs, n_places, n_classes, pool_bytes;
    uint64_t key; /* text: what this is an index of */
    uint64_t fingerprint[2];
};

struct sl_index {
    unsigned char *block; /* owned, heap */
    const struct sl_index_head *head;
    const struct sl_place *places;
    const struct sl_index_dir *dirs;
    const uint64_t *classes; /* texts, sorted or numbered */
    const uint64_t *base;    /* of the names of each SL_INDEX_CHUNK pictures */
    /* Extents only: where the bytes begin, and what SL_EXTENT_* says of them in the top
     * bits; the size, UINT32_MAX = that or more; the check sum (NULL: no member has one)
     */
    const uint64_t *offset;
    const uint32_t *size;
    const uint32_t *sum;
    const uint32_t *name, *dir;
    const int32_t *label; /* NULL = the directory's */
    const char *pool;
};

/* Makes a block of bytes (heap) an index, which owns it from then on when SL_OK. Nothing
 * is trusted: sizes, positions, numbers and the checksum are all looked at.
 * SL_ERROR_DATA says what is wrong. */
enum sl_status sl_index_adopt(struct sl_error *err, unsigned char *block, int64_t size,
                              struct sl_index *index);
/* Bytes of each table in a block with this head; false when they do not fit in 63 bits.
 * Sets the pointers of `index` into its block. */
bool sl_index_lay_out(struct sl_index *index, int64_t *total);
uint64_t sl_index_checksum(const unsigned char *block, int64_t size);
void sl_index_finish(struct sl_index *index);

const char *sl_index_name(const struct sl_index *index, int64_t i);
const struct sl_index_dir *sl_index_dir(const struct sl_index *index, int64_t i);
int sl_index_label(const struct sl_index *index, int64_t i);
/* "directory/name"; false when cut. */
bool sl_index_path(const struct sl_index *index, int64_t i, char *dst, size_t size);

/* ---- building (index.c) ------------------------------------------------------------ */

/* A growing table of equal rows on the heap. */
struct sl_rows {
    void *items;
    int64_t n, capacity;
};
/* Makes room for one more row of `size` bytes; the caller counts it. */
enum sl_status sl_rows_grow(struct sl_error *err, struct sl_rows *rows, size_t size);

enum { SL_PART_NEITHER = 2 };

struct sl_build_dir {
    uint64_t text;
    uint32_t place;
    int32_t part;   /* enum sl_part or SL_PART_NEITHER: its pictures are left out */
    uint32_t below; /* where in the text the path below the part begins */
};

struct sl_extent {
    uint64_t offset;
    uint32_t size, sum;
};
/* In the top bits of an offset; SUMMED: the sum is known, CRC 32 of the picture. */
#define SL_EXTENT_DEFLATED (UINT64_C(1) << 63)
#define SL_EXTENT_SUMMED (UINT64_C(1) << 62)
#define SL_EXTENT_AT(offset) ((offset) & ~(SL_EXTENT_DEFLATED | SL_EXTENT_SUMMED))

struct sl_build_entry {
    uint64_t name;
    uint64_t offset;
    uint32_t size, sum, dir;
    int32_t label;
};

/* Zero-initialise; sl_builder_finish also frees what is in it. */
struct sl_builder {
    struct sl_text pool;
    struct sl_rows entries, dirs, places;
    struct sl_rows classes; /* uint64_t texts; none: the first directories are classes */
    struct sl_rows dir_slots; /* hash table over dirs: number + 1, 0 = empty */
    bool keep_order;          /* as added; else by part, archive and path */
    bool parted;              /* there is a train/ */
    bool has_labels, has_extents, has_sums;
};
enum sl_status sl_builder_text(struct sl_error *err, struct sl_builder *builder,
                               const char *text, size_t length, uint64_t *at);
/* Number of a directory, new or known. */
enum sl_status sl_builder_dir(struct sl_error *err, struct sl_builder *builder,
                              const char *text, size_t length,
                              const struct sl_build_dir *like, uint32_t *number);
/* The path's directory is found or made (as `like`), its last part becomes the name. */
enum sl_status sl_builder_add(struct sl_error *err, struct sl_builder *builder,
                              const char *path, const struct sl_build_dir *like,
                              const struct sl_extent *extent, int32_t label);
enum sl_status sl_builder_add_in(struct sl_error *err, struct sl_builder *builder,
                                 uint32_t dir, const char *name, int32_t label);
enum sl_status sl_builder_place(struct sl_error *err, struct sl_builder *builder,
                                const char *text, const struct sl_place *place);
/* The next class of labels given with the entries. */
enum sl_status sl_builder_class(struct sl_error *err, struct sl_builder *builder,
                                const char *text);
/* One more than labels that are numbers may be at most, with so many pictures. */
int64_t sl_classes_most(int64_t n_pictures);
/* Classes "0" … "n-1", for labels that are numbers; SL_ERROR_DATA about `name` when they
 * are more than the pictures make believable. */
enum sl_status sl_builder_number_classes(struct sl_error *err, const char *name,
                                         struct sl_builder *builder, int64_t n);
/* Sorts, numbers classes, drops what is in neither part, and freezes. */
enum sl_status sl_builder_freeze(struct sl_error *err, struct sl_builder *builder,
                                 const char *key, struct sl_index *index);
void sl_builder_finish(struct sl_builder *builder);

/* The extension of a file that is taken for a picture, in either case. */
bool sl_has_image_name(const char *name);
/* Changes with the list of extensions: an index made with another one is another index.
 */
uint64_t sl_image_names_hash(void);

/* ---- the cache of indices (cache.c) ------------------------------------------------ */

/* How a path looks now; false when it is not there. */
bool sl_place_look(const char *path, struct sl_place *place);
bool sl_place_same(const struct sl_place *a, const struct sl_place *b);
/* The place changed so shortly before `since_s` (seconds of the real-time clock) that a
 * later change could look the same. */
bool sl_place_is_fresh(const struct sl_place *place, int64_t since_s);
int64_t sl_time_now(void);

/* "folder-HASH /canonical/path": what a cached index is known by; HASH is of the names
 * taken for pictures. Heap. */
enum sl_status sl_cache_key(struct sl_error *err, const char *kind, const char *path,
                            char **key);
/* The cached index of `key`, when there is one, whole and still true: each place, below
 * `root` (NULL = as it stands), looks as it did. directory NULL = no cache. */
bool sl_cache_load(const char *directory, const char *key, const char *root,
                   struct sl_index *index);
/* Keeps an index for the next time; what hinders it is a note in the log and no more. */
void sl_cache_store(const char *directory, const struct sl_index *index, int64_t begun_s);

/* ---- names of numbered classes (class_names.c) ------------------------------------- */

struct sl_class_names {
    char *text; /* owned, cut into the lines */
    struct sl_rows lines;
};
/* "a/b-000012.tar" -> "a/b.classes.txt"; false for what is no shard's name. */
bool sl_class_names_path(const char *shard, char *dst, size_t size);
/* A name's line. */
void sl_class_names_add(struct sl_text *text, const char *name);
/* Into zeroed names, which are finished by the caller also when this fails. */
enum sl_status sl_class_names_read(struct sl_error *err, const char *path,
                                   struct sl_class_names *names);
/* The same of bytes that outlive the names and are cut up; bytes[size] is NUL. */
enum sl_status sl_class_names_parse(struct sl_error *err, const char *name, char *bytes,
                                    int64_t size, struct sl_class_names *names);
const char *sl_class_names_at(const struct sl_class_names *names, int64_t i);
void sl_class_names_finish(struct sl_class_names *names);

/* ---- the reader over an index (collection.c) --------------------------------------- */

struct sl_collection {
    struct sl_index index;
    struct sl_class_names class_names; /* in place of the index's, when there are any */
    const char *word;                  /* sl_source_kind */
    char *root;                        /* in front of names; owned */
    int64_t first;                     /* of the part taken */
    struct sl_decode_options decode;
    /* Bytes of picture i of the index, in the arena. `name` is for messages. */
    enum sl_status (*fetch)(struct sl_error *err, const struct sl_collection *collection,
                            int64_t i, const char *name, struct sl_arena *arena,
                            unsigned char **bytes, int64_t *size);
    void *store; /* what fetch needs; owned */
    void (*store_close)(void *store);
};
/* A reader without pictures yet; its state is a collection. */
enum sl_status sl_collection_create(struct sl_error *err, const char *word,
                                    const char *root,
                                    const struct sl_decode_options *decode,
                                    struct sl_reader *reader,
                                    struct sl_collection **collection);
/* A line for those who want to know (-v) about an index just opened. */
void sl_collection_note(const struct sl_collection *collection, bool is_cached,
                        double begun);
void sl_collection_parts(const struct sl_reader *reader, struct sl_parts *parts);
/* The reader shows this part from now on; SL_ERROR_DATA when it is empty. */
enum sl_status sl_collection_take(struct sl_error *err, const char *data,
                                  enum sl_part part, struct sl_reader *reader);
/* A whole file into the arena, below the limit. */
enum sl_status sl_fetch_file(struct sl_error *err, const char *path,
                             const struct sl_decode_options *decode,
                             struct sl_arena *arena, unsigned char **bytes,
                             int64_t *size);
/* fetch of folders and lists: the picture's name is its path. */
enum sl_status sl_fetch_named(struct sl_error *err,
                              const struct sl_collection *collection, int64_t i,
                              const char *name, struct sl_arena *arena,
                              unsigned char **bytes, int64_t *size);

/* ---- kinds of collections ---------------------------------------------------------- */

/* folder.c: a directory tree. */
enum sl_status sl_folder_open(struct sl_error *err, const struct sl_source_config *config,
                              struct sl_reader *reader);
/* The same from the cache alone: *found, or the reader is left empty. */
enum sl_status sl_folder_open_cached(struct sl_error *err,
                                     const struct sl_source_config *config,
                                     struct sl_reader *reader, bool *found);

/* list.c: "@files.txt". */
bool sl_list_is(const char *data);
enum sl_status sl_list_open(struct sl_error *err, const struct sl_source_config *config,
                            struct sl_reader *reader);
/* The lines of a list file; bytes[size] is NUL. */
enum sl_status sl_list_parse(struct sl_error *err, const char *name, char *bytes,
                             int64_t size, struct sl_builder *builder);

/* archive.c: .tar, .tar.gz, .tgz, .zip, shards by brace name, a folder of .tar files. */
bool sl_archive_is(const char *data);
bool sl_archive_is_folder(const char *path);
enum sl_status sl_archive_open(struct sl_error *err,
                               const struct sl_source_config *config,
                               struct sl_reader *reader);
/* "a-{000..012}.tar" and the like, in order. Free with sl_shards_finish. */
struct sl_shards {
    char **paths;
    int64_t n;
};
enum { SL_SHARDS_MAX = 100000 };
enum sl_status sl_shards_expand(struct sl_error *err, const char *pattern,
                                struct sl_shards *shards);
void sl_shards_finish(struct sl_shards *shards);
/* Once all archives of a set were scanned: which part each directory is of, and the
 * classes of .cls labels. */
enum sl_status sl_archive_settle(struct sl_error *err, struct sl_builder *builder);

/* archive_scan.c or archive_scan_none.c: adds the members of one archive to the index,
 * those that are pictures or .cls labels. `place` is its number. A member's position and
 * size lie inside the file (size `bytes`). */
extern const bool sl_archive_built;
enum sl_status sl_archive_scan(struct sl_error *err, const char *path, int fd,
                               int64_t bytes, uint32_t place, struct sl_builder *builder);
/* The same over bytes in memory, for the fuzz target. */
enum sl_status sl_archive_scan_bytes(struct sl_error *err, const char *name,
                                     const unsigned char *bytes, int64_t size,
                                     struct sl_builder *builder);

/* An archive's bytes: of a file, or in memory where fd is -1. */
struct sl_archive_bytes {
    int fd;
    const unsigned char *bytes;
    int64_t size;
};
/* Reads exactly `size` bytes at a position; false when they are not there (archive.c). */
bool sl_read_at(int fd, unsigned char *dst, int64_t size, int64_t at);

/* The picture at an extent, in the arena: read, inflated, its check sum looked at
 * (archive.c). */
enum sl_status sl_archive_fetch(struct sl_error *err, int fd, const char *name,
                                const struct sl_extent *extent, struct sl_arena *arena,
                                unsigned char **bytes);

/* zip_sums.c: CRC 32 of a zip's members, by the positions of their local headers, in
 * order of these; free items. No directory that can be read: none. */
struct sl_zip_sum {
    int64_t header;
    uint32_t sum;
};
enum sl_status sl_zip_sums_read(struct sl_error *err,
                                const struct sl_archive_bytes *archive,
                                struct sl_rows *sums);
/* The sum of the member whose bytes begin at `data`; false when there is none. */
bool sl_zip_sum_of(const struct sl_rows *sums, int64_t data, uint32_t *sum);

/* lmdb.c or lmdb_none.c: a database of encoded pictures. */
extern const bool sl_lmdb_built;
/* ".lmdb", a file or the folder of one (source.c asks by name). */
enum sl_status sl_lmdb_open(struct sl_error *err, const struct sl_source_config *config,
                            struct sl_reader *reader);
/* lmdb_keys.c: the JSON beside it, key -> label. bytes[size] is NUL. */
enum sl_status sl_lmdb_keys_parse(struct sl_error *err, const char *name,
                                  const unsigned char *bytes, int64_t size,
                                  struct sl_builder *builder);

#endif
