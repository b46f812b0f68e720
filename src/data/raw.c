/* SPDX-License-Identifier: MIT */
/*
 * Source of fixed-size records: CIFAR-10 and CIFAR-100 in the binary version, and IDX
 * (MNIST and its kin), plain or gzipped. A DATA is the folder that holds such files or
 * one of them. Files are mapped, or unpacked into memory when gzipped; reading a picture
 * is a copy. Invariant: after opening, every record of every file is known to be there.
 */
#include "data/data_int.h"

#include <string.h>

enum family { FAMILY_NONE, FAMILY_CIFAR10, FAMILY_CIFAR100, FAMILY_IDX };
enum { RAW_FILES_MAX = 64, CIFAR100_CLASSES = 100, LABELS_MAX = 256 };

static const char *const cifar10_names[] = {"airplane", "automobile", "bird", "cat",
                                            "deer",     "dog",        "frog", "horse",
                                            "ship",     "truck"};

/* What a file name says. */
struct kind {
    enum family family;
    enum sl_part part;
};

struct raw_file {
    const char *name; /* without the folder */
    struct sl_file_map map;
    unsigned char *unpacked; /* NULL when mapped as it is */
    const unsigned char *records;
    int64_t first, count;
};

struct raw {
    struct sl_arena *arena; /* of all texts here */
    enum family family;
    int n_files;
    struct raw_file files[RAW_FILES_MAX];
    int64_t record_bytes;  /* label included */
    unsigned char *labels; /* IDX only; NULL = none */
    const char *class_names[LABELS_MAX];
};

/* ---- names ------------------------------------------------------------------------- */

static bool begins(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

static bool ends(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

static struct kind kind_of_name(const char *name)
{
    if (ends(name, ".bin")) {
        if (begins(name, "data_batch")) {
            return (struct kind){FAMILY_CIFAR10, SL_PART_TRAIN};
        }
        if (begins(name, "test_batch")) {
            return (struct kind){FAMILY_CIFAR10, SL_PART_TEST};
        }
        if (strcmp(name, "train.bin") == 0) {
            return (struct kind){FAMILY_CIFAR100, SL_PART_TRAIN};
        }
        if (strcmp(name, "test.bin") == 0) {
            return (struct kind){FAMILY_CIFAR100, SL_PART_TEST};
        }
    }
    bool is_idx = ends(name, "images-idx3-ubyte") || ends(name, "images-idx3-ubyte.gz") ||
                  ends(name, "images.idx3-ubyte") || ends(name, "images.idx3-ubyte.gz");
    if (is_idx) {
        bool is_test = strstr(name, "t10k") != NULL || strstr(name, "test") != NULL;
        return (struct kind){FAMILY_IDX, is_test ? SL_PART_TEST : SL_PART_TRAIN};
    }
    return (struct kind){FAMILY_NONE, SL_PART_TRAIN};
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

/* Notes the parts per family; the first family with any file wins. */
static enum family scan(const char *path, struct sl_parts *parts)
{
    struct sl_parts found[FAMILY_IDX + 1];
    memset(found, 0, sizeof(found));
    *parts = (struct sl_parts){0};
    struct sl_dir_list list = {0};
    struct sl_error ignored = {0};
    if (sl_path_kind(path) == SL_PATH_FILE) {
        struct kind kind = kind_of_name(base_name(path));
        parts->train = kind.part == SL_PART_TRAIN;
        parts->test = !parts->train;
        return kind.family;
    }
    if (sl_dir_list(&ignored, SL_ERROR_DATA, path, &list) != SL_OK) {
        return FAMILY_NONE;
    }
    for (int64_t i = 0; i < list.n; i++) {
        struct kind kind = kind_of_name(list.names[i]);
        found[kind.family].train |= kind.part == SL_PART_TRAIN;
        found[kind.family].test |= kind.part == SL_PART_TEST;
    }
    sl_dir_list_finish(&list);
    for (int f = FAMILY_CIFAR10; f <= FAMILY_IDX; f++) {
        if (found[f].train || found[f].test) {
            *parts = found[f];
            return (enum family)f;
        }
    }
    return FAMILY_NONE;
}

bool sl_raw_probe(const char *path, struct sl_parts *parts)
{
    return scan(path, parts) != FAMILY_NONE;
}

/* ---- opening ----------------------------------------------------------------------- */

static enum sl_status arena_path(struct sl_error *err, struct sl_arena *arena,
                                 const char *dir, const char *name, const char **path)
{
    size_t size = strlen(dir) + strlen(name) + 2;
    char *text = NULL;
    SL_TRY(sl_arena_alloc(err, arena, (int64_t)size, 1, &text));
    SL_ASSERT(sl_path_join(text, size, dir, name));
    *path = text;
    return SL_OK;
}

/* Maps the file and, when gzipped, unpacks it; *bytes and *size are its content. */
static enum sl_status open_content(struct sl_error *err, const char *path, int idx_dims,
                                   struct raw_file *file, const unsigned char **bytes,
                                   int64_t *size)
{
    SL_TRY(sl_file_map_open(err, SL_ERROR_DATA, path, &file->map));
    *bytes = file->map.bytes;
    *size = file->map.size;
    if (ends(path, ".gz")) {
        SL_TRY(sl_gunzip_idx(err, path, file->map.bytes, file->map.size, idx_dims,
                             &file->unpacked, size));
        *bytes = file->unpacked;
        sl_file_map_close(&file->map);
        file->map = (struct sl_file_map){0};
    }
    return SL_OK;
}

static enum sl_status open_cifar(struct sl_error *err, const char *path,
                                 struct sl_reader *reader, struct raw_file *file)
{
    struct raw *raw = reader->state;
    int label_bytes = raw->family == FAMILY_CIFAR10 ? 1 : 2;
    int64_t size = 0;
    SL_TRY(open_content(err, path, 0, file, &file->records, &size));
    SL_TRY(sl_cifar_check(err, path, file->records, size, label_bytes, reader->n_classes,
                          &file->count));
    raw->record_bytes = SL_CIFAR_PIXELS + label_bytes;
    return SL_OK;
}

/* The label file beside an image file: "images" becomes "labels" and idx3 idx1, with or
 * without .gz. False when there is none. */
static bool find_labels(const char *images, char *dst, size_t size)
{
    if (!sl_text_copy(dst, size - 4, images)) {
        return false;
    }
    size_t length = strlen(dst);
    if (ends(dst, ".gz")) {
        length -= 3;
        dst[length] = '\0';
    }
    size_t tail = strlen("images-idx3-ubyte");
    memcpy(dst + length - tail, "labels", strlen("labels"));
    dst[length - strlen("3-ubyte")] = '1';
    if (sl_path_kind(dst) == SL_PATH_FILE) {
        return true;
    }
    memcpy(dst + length, ".gz", 4);
    return sl_path_kind(dst) == SL_PATH_FILE;
}

static enum sl_status copy_labels(struct sl_error *err, const char *path,
                                  struct sl_reader *reader, const unsigned char *bytes,
                                  int64_t size, int64_t first, int64_t count)
{
    struct raw *raw = reader->state;
    struct sl_idx_header header;
    SL_TRY(sl_idx_parse(err, path, bytes, size, 1, &header));
    SL_TRY(sl_idx_check_size(err, path, size, &header));
    if (header.dims[0] != count) {
        return SL_FAIL(err, SL_ERROR_DATA,
                       "%s: %lld labels beside %lld pictures: the files do not belong "
                       "together",
                       path, (long long)header.dims[0], (long long)count);
    }
    SL_ASSERT(first == 0);
    SL_TRY(sl_arena_alloc(err, raw->arena, count, 1, &raw->labels));
    memcpy(raw->labels, bytes + header.header_bytes, (size_t)count);
    for (int64_t i = 0; i < count; i++) {
        if (raw->labels[i] >= reader->n_classes) {
            reader->n_classes = raw->labels[i] + 1;
        }
    }
    return SL_OK;
}

static enum sl_status open_labels(struct sl_error *err, const char *images,
                                  struct sl_reader *reader, const struct raw_file *file)
{
    char path[4096];
    if (!find_labels(images, path, sizeof(path))) {
        return SL_OK;
    }
    struct raw_file labels = {0};
    const unsigned char *bytes = NULL;
    int64_t size = 0;
    enum sl_status status = open_content(err, path, 1, &labels, &bytes, &size);
    if (status == SL_OK) {
        status = copy_labels(err, path, reader, bytes, size, file->first, file->count);
    }
    sl_heap_free(labels.unpacked);
    sl_file_map_close(&labels.map);
    return status;
}

static enum sl_status open_idx(struct sl_error *err, const char *path,
                               struct sl_reader *reader, struct raw_file *file)
{
    struct raw *raw = reader->state;
    struct sl_idx_header header;
    const unsigned char *bytes = NULL;
    int64_t size = 0;
    if (raw->n_files > 1) {
        return SL_FAIL(
            err, SL_ERROR_DATA,
            "%s: a second IDX image file of the same part; name the one that is "
            "meant instead of the folder",
            path);
    }
    SL_TRY(open_content(err, path, 3, file, &bytes, &size));
    SL_TRY(sl_idx_parse(err, path, bytes, size, 3, &header));
    SL_TRY(sl_idx_check_size(err, path, size, &header));
    file->records = bytes + header.header_bytes;
    file->count = header.dims[0];
    reader->height = (int)header.dims[1];
    reader->width = (int)header.dims[2];
    raw->record_bytes = header.dims[1] * header.dims[2];
    return open_labels(err, path, reader, file);
}

static enum sl_status add_file(struct sl_error *err, const char *dir, const char *name,
                               struct sl_reader *reader)
{
    struct raw *raw = reader->state;
    const char *path = NULL;
    if (raw->n_files == RAW_FILES_MAX) {
        return SL_FAIL(err, SL_ERROR_DATA, "%s: more than %d record files", dir,
                       RAW_FILES_MAX);
    }
    struct raw_file *file = &raw->files[raw->n_files++];
    file->first = reader->count;
    SL_TRY(sl_arena_text(err, raw->arena, name, &file->name));
    SL_TRY(dir != NULL ? arena_path(err, raw->arena, dir, name, &path)
                       : sl_arena_text(err, raw->arena, name, &path));
    if (dir == NULL) {
        file->name = base_name(file->name);
    }
    SL_TRY(raw->family == FAMILY_IDX ? open_idx(err, path, reader, file)
                                     : open_cifar(err, path, reader, file));
    reader->count += file->count;
    return SL_OK;
}

/* True for "x.gz" when "x" stands in the same list. */
static bool has_plain_twin(const struct sl_dir_list *list, const char *name)
{
    size_t length = strlen(name);
    if (!ends(name, ".gz")) {
        return false;
    }
    for (int64_t i = 0; i < list->n; i++) {
        const char *other = list->names[i];
        if (strlen(other) == length - 3 && strncmp(other, name, length - 3) == 0) {
            return true;
        }
    }
    return false;
}

static enum sl_status add_folder(struct sl_error *err, const char *dir, enum sl_part part,
                                 struct sl_reader *reader)
{
    struct raw *raw = reader->state;
    struct sl_dir_list list = {0};
    enum sl_status status = SL_OK;
    SL_TRY(sl_dir_list(err, SL_ERROR_DATA, dir, &list));
    for (int64_t i = 0; i < list.n; i++) {
        struct kind kind = kind_of_name(list.names[i]);
        if (kind.family == raw->family && kind.part == part &&
            !has_plain_twin(&list, list.names[i])) {
            SL_TRY_OUT(add_file(err, dir, list.names[i], reader));
        }
    }
out:
    sl_dir_list_finish(&list);
    return status;
}

/* ---- classes ----------------------------------------------------------------------- */

static enum sl_status number_names(struct sl_error *err, struct raw *raw, int n_classes)
{
    for (int c = 0; c < n_classes; c++) {
        char text[16];
        snprintf(text, sizeof(text), "%d", c);
        if (raw->class_names[c] == NULL) {
            SL_TRY(sl_arena_text(err, raw->arena, text, &raw->class_names[c]));
        }
    }
    return SL_OK;
}

/* One name a line, as CIFAR-100's fine_label_names.txt. */
static enum sl_status names_from_file(struct sl_error *err, struct raw *raw,
                                      const char *path, int n_classes)
{
    unsigned char *bytes = NULL;
    int64_t size = 0;
    enum sl_status status = SL_OK;
    SL_TRY(sl_file_read(err, SL_ERROR_DATA, path, 64 * 1024, &bytes, &size));
    char *line = (char *)bytes;
    for (int c = 0; c < n_classes && *line != '\0'; c++) {
        size_t length = strcspn(line, "\r\n");
        char after = line[length];
        line[length] = '\0';
        if (length > 0) {
            SL_TRY_OUT(sl_arena_text(err, raw->arena, line, &raw->class_names[c]));
        }
        line += length + (after != '\0' ? 1 : 0);
        line += after == '\r' && *line == '\n' ? 1 : 0;
    }
out:
    sl_heap_free(bytes);
    return status;
}

static enum sl_status name_classes(struct sl_error *err, const char *dir,
                                   struct sl_reader *reader)
{
    struct raw *raw = reader->state;
    char path[4096];
    if (raw->family == FAMILY_CIFAR10) {
        memcpy(raw->class_names, cifar10_names, sizeof(cifar10_names));
    }
    if (raw->family == FAMILY_CIFAR100 && dir != NULL &&
        sl_path_join(path, sizeof(path), dir, "fine_label_names.txt") &&
        sl_path_kind(path) == SL_PATH_FILE) {
        SL_TRY(names_from_file(err, raw, path, reader->n_classes));
    }
    return number_names(err, raw, reader->n_classes);
}

/* Names and sizes of the files, all labels, and every 251st record. */
static uint64_t fingerprint(const struct sl_reader *reader)
{
    const struct raw *raw = reader->state;
    uint64_t hash = SL_HASH_START;
    for (int f = 0; f < raw->n_files; f++) {
        const struct raw_file *file = &raw->files[f];
        hash = sl_hash(hash, file->name, strlen(file->name) + 1);
        hash = sl_hash(hash, &file->count, sizeof(file->count));
        for (int64_t i = 0; i < file->count; i += 251) {
            hash = sl_hash(hash, file->records + i * raw->record_bytes,
                           (size_t)raw->record_bytes);
        }
    }
    for (int64_t i = 0; i < reader->count; i++) {
        int label = reader->kind->label(reader, i);
        hash = sl_hash(hash, &label, sizeof(label));
    }
    return hash;
}

/* ---- reading ----------------------------------------------------------------------- */

static const struct raw_file *file_of(const struct raw *raw, int64_t i)
{
    int f = 0;
    while (i >= raw->files[f].first + raw->files[f].count) {
        f++;
    }
    return &raw->files[f];
}

static const unsigned char *record_of(const struct raw *raw, int64_t i)
{
    const struct raw_file *file = file_of(raw, i);
    return file->records + (i - file->first) * raw->record_bytes;
}

static enum sl_status read_raw(struct sl_error *err, const struct sl_reader *reader,
                               int64_t i, struct sl_arena *arena, struct sl_image *image)
{
    const struct raw *raw = reader->state;
    int64_t plane = (int64_t)reader->height * reader->width;
    bool is_grey = raw->family == FAMILY_IDX;
    const unsigned char *record = record_of(raw, i);
    SL_TRY(sl_image_alloc(err, arena, reader->height, reader->width, is_grey ? 1 : 3,
                          image));
    if (is_grey) {
        memcpy(image->pixels, record, (size_t)plane);
        return SL_OK;
    }
    const unsigned char *red = record + raw->record_bytes - 3 * plane;
    const unsigned char *green = red + plane, *blue = green + plane;
    unsigned char *dst = image->pixels;
    for (int64_t p = 0; p < plane; p++) {
        dst[3 * p] = red[p];
        dst[3 * p + 1] = green[p];
        dst[3 * p + 2] = blue[p];
    }
    return SL_OK;
}

static void name_raw(const struct sl_reader *reader, int64_t i, char *dst, size_t size)
{
    const struct raw_file *file = file_of(reader->state, i);
    snprintf(dst, size, "%s#%lld", file->name, (long long)(i - file->first));
}

static int label_raw(const struct sl_reader *reader, int64_t i)
{
    const struct raw *raw = reader->state;
    if (raw->family == FAMILY_IDX) {
        return raw->labels != NULL ? raw->labels[i] : -1;
    }
    return record_of(raw, i)[raw->record_bytes - SL_CIFAR_PIXELS - 1];
}

static const char *class_name_raw(const struct sl_reader *reader, int label)
{
    const struct raw *raw = reader->state;
    return raw->class_names[label];
}

static const char *word_raw(const struct sl_reader *reader)
{
    static const char *const words[] = {"", "cifar10", "cifar100", "idx"};
    const struct raw *raw = reader->state;
    return words[raw->family];
}

static void mean_std_raw(const struct sl_reader *reader, float mean[3], float std[3])
{
    static const float cifar_mean[3] = {.4914f, .4822f, .4465f};
    static const float cifar_std[3] = {.2023f, .1994f, .2010f};
    const struct raw *raw = reader->state;
    bool is_idx = raw->family == FAMILY_IDX;
    for (int c = 0; c < 3; c++) {
        mean[c] = is_idx ? .1307f : cifar_mean[c];
        std[c] = is_idx ? .3081f : cifar_std[c];
    }
}

static void close_raw(struct sl_reader *reader)
{
    struct raw *raw = reader->state;
    if (raw == NULL) {
        return;
    }
    for (int f = 0; f < raw->n_files; f++) {
        sl_file_map_close(&raw->files[f].map);
        sl_heap_free(raw->files[f].unpacked);
    }
    sl_arena_destroy(raw->arena);
    sl_heap_free(raw);
    reader->state = NULL;
}

static const struct sl_reader_kind raw_kind = {
    .read = read_raw,
    .name = name_raw,
    .label = label_raw,
    .class_name = class_name_raw,
    .word = word_raw,
    .mean_std = mean_std_raw,
    .close = close_raw,
};

enum sl_status sl_raw_open(struct sl_error *err, const char *path, enum sl_part part,
                           struct sl_reader *reader)
{
    struct raw *raw = NULL;
    struct sl_parts parts;
    bool is_file = sl_path_kind(path) == SL_PATH_FILE;
    *reader = (struct sl_reader){.kind = &raw_kind};
    SL_TRY(sl_heap_alloc(err, "raw data", 1, sizeof(*raw), &raw));
    reader->state = raw;
    raw->family = scan(path, &parts);
    SL_TRY(sl_arena_create(err, 4096, &raw->arena));
    if (raw->family != FAMILY_IDX) {
        reader->height = reader->width = SL_CIFAR_SIDE;
        reader->n_classes =
            raw->family == FAMILY_CIFAR10 ? SL_COUNT(cifar10_names) : CIFAR100_CLASSES;
    }
    SL_TRY(is_file ? add_file(err, NULL, path, reader)
                   : add_folder(err, path, part, reader));
    SL_TRY(name_classes(err, is_file ? NULL : path, reader));
    reader->fingerprint = fingerprint(reader);
    return SL_OK;
}
