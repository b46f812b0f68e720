/* SPDX-License-Identifier: MIT */
/*
 * The members of one tar or zip archive, found through libarchive; the only file that
 * includes it. Only headers are read here: a member becomes a position and a size, and is
 * read there later, by many threads at once. The label of a sample stands in a member of
 * the same name with .cls (WebDataset), which is read at once. Invariant: what is noted
 * lies inside the archive, whatever its headers say.
 */
#include "data/index_int.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <locale.h>
#include <string.h>
#include <unistd.h>

const bool sl_archive_built = true;

enum { BLOCK = 16 * 1024, LABEL_BYTES = 32 };

struct input {
    struct sl_archive_bytes archive;
    int64_t at;
    unsigned char *block;
};

/* The sample that is being put together: members of one name before the first dot. */
struct sample {
    char key[SL_INDEX_PATH];
    int64_t first; /* its first entry */
    int32_t label; /* INT32_MIN = not seen yet */
};

struct scan {
    struct sl_error *err;
    const char *name;
    int64_t size;
    uint32_t place;
    struct sl_builder *builder;
    struct sample sample;
    struct sl_rows sums; /* of a zip */
    bool has_sums;       /* they were looked for */
    int64_t n_unsummed;  /* members of a zip whose sum was not found */
};

/* ---- input ------------------------------------------------------------------------- */

static la_ssize_t on_read(struct archive *archive, void *context, const void **buffer)
{
    struct input *input = context;
    int64_t left = input->archive.size - input->at;
    if (left <= 0) {
        return 0;
    }
    if (input->archive.fd < 0) {
        *buffer = input->archive.bytes + input->at;
        input->at = input->archive.size;
        return (la_ssize_t)left;
    }
    ssize_t got = 0;
    do {
        got = pread(input->archive.fd, input->block, left < BLOCK ? (size_t)left : BLOCK,
                    (off_t)input->at);
    } while (got < 0 && errno == EINTR);
    if (got < 0) {
        archive_set_error(archive, errno, "%s", strerror(errno));
        return ARCHIVE_FATAL;
    }
    *buffer = input->block;
    input->at += got;
    return got;
}

static la_int64_t on_skip(struct archive *archive, void *context, la_int64_t request)
{
    struct input *input = context;
    int64_t left = input->archive.size - input->at;
    (void)archive;
    int64_t step = request < 0 ? 0 : request < left ? request : left;
    input->at += step;
    return step;
}

static la_int64_t on_seek(struct archive *archive, void *context, la_int64_t offset,
                          int whence)
{
    struct input *input = context;
    int64_t from = whence == SEEK_SET   ? 0
                   : whence == SEEK_CUR ? input->at
                                        : input->archive.size;
    if (offset > input->archive.size || offset < -input->archive.size) {
        archive_set_error(archive, EINVAL, "position %lld is outside of the file",
                          (long long)offset);
        return ARCHIVE_FATAL;
    }
    int64_t to = from + offset;
    input->at = to < 0 ? 0 : to > input->archive.size ? input->archive.size : to;
    return input->at;
}

/* ---- members ----------------------------------------------------------------------- */

/* The path without "./" and slashes in front, or NULL for what is not listed: hidden
 * names and directories, absurd lengths. */
static const char *clean_path(const char *path)
{
    while (path[0] == '/' || (path[0] == '.' && path[1] == '/')) {
        path += path[0] == '/' ? 1 : 2;
    }
    if (path[0] == '\0' || path[0] == '.' || strstr(path, "/.") != NULL ||
        strstr(path, "//") != NULL || strlen(path) >= SL_INDEX_PATH) {
        return NULL;
    }
    return path;
}

static void begin_sample(struct scan *scan, const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;
    size_t length = (size_t)(name - path) + strcspn(name, ".");
    struct sample *sample = &scan->sample;
    if (strncmp(sample->key, path, length) != 0 || sample->key[length] != '\0') {
        memcpy(sample->key, path, length);
        sample->key[length] = '\0';
        sample->first = scan->builder->entries.n;
        sample->label = INT32_MIN;
    }
}

/* The number in a .cls member goes to all pictures of its sample. */
static enum sl_status take_label(struct scan *scan, struct archive *archive,
                                 const char *path)
{
    char text[LABEL_BYTES + 1] = {0};
    int64_t value = 0;
    la_ssize_t got = archive_read_data(archive, text, LABEL_BYTES);
    size_t length = got > 0 ? (size_t)got : 0;
    while (length > 0 && strchr(" \r\n\t", text[length - 1]) != NULL) {
        length--;
    }
    text[length] = '\0';
    if (!sl_parse_int(text, &value) || value < 0 || value >= SL_INDEX_CLASSES_MAX) {
        return SL_FAIL(scan->err, SL_ERROR_DATA,
                       "%s/%s: a label must be a number from 0 to %d (seen: '%s')",
                       scan->name, path, SL_INDEX_CLASSES_MAX - 1, text);
    }
    scan->builder->has_labels = true;
    scan->sample.label = (int32_t)value;
    struct sl_build_entry *entries = scan->builder->entries.items;
    for (int64_t i = scan->sample.first; i < scan->builder->entries.n; i++) {
        entries[i].label = (int32_t)value;
    }
    return SL_OK;
}

static bool is_zip_format(struct archive *archive)
{
    return archive_format(archive) == ARCHIVE_FORMAT_ZIP;
}

static enum sl_status take_picture(struct scan *scan, struct archive *archive,
                                   struct archive_entry *entry, const char *path)
{
    const struct sl_build_dir like = {.part = SL_PART_TRAIN, .place = scan->place};
    struct sl_extent extent = {0};
    int64_t size = archive_entry_size(entry);
    int64_t at = archive_filter_bytes(archive, 0);
    const char *format = archive_format_name(archive);
    bool is_zip = is_zip_format(archive);
    bool is_deflated = is_zip && strstr(format, "(deflation)") != NULL;
    bool is_stored = !is_zip || strstr(format, "(uncompressed)") != NULL;
    const char *why = archive_entry_is_encrypted(entry)       ? "it is encrypted"
                      : archive_entry_sparse_count(entry) > 0 ? "it is sparse"
                      : !is_deflated && !is_stored
                          ? "it is packed by other means than deflate"
                      : !archive_entry_size_is_set(entry) ? "its size is not said"
                                                          : NULL;
    if (why != NULL) {
        return SL_FAIL(
            scan->err, SL_ERROR_DATA,
            "%s/%s: this member cannot be read: %s (%s); pack the archive anew",
            scan->name, path, why, format);
    }
    if (size < 0 || at < 0 || at > scan->size || (is_stored && size > scan->size - at)) {
        return SL_FAIL(scan->err, SL_ERROR_DATA,
                       "%s/%s: cut short: the member has %lld bytes from position %lld, "
                       "and the archive ends at %lld; fetch it again",
                       scan->name, path, (long long)size, (long long)at,
                       (long long)scan->size);
    }
    extent.offset = (uint64_t)at | (is_deflated ? SL_EXTENT_DEFLATED : 0);
    extent.size = size < UINT32_MAX ? (uint32_t)size : UINT32_MAX;
    if (is_zip && sl_zip_sum_of(&scan->sums, at, &extent.sum)) {
        extent.offset |= SL_EXTENT_SUMMED;
    } else if (is_zip) {
        scan->n_unsummed++;
    }
    int32_t label = scan->sample.label != INT32_MIN ? scan->sample.label : -1;
    return sl_builder_add(scan->err, scan->builder, path, &like, &extent, label);
}

static enum sl_status take_member(struct scan *scan, struct archive *archive,
                                  struct archive_entry *entry)
{
    const char *path = archive_entry_pathname(entry);
    path = path != NULL ? clean_path(path) : NULL;
    if (path == NULL || archive_entry_filetype(entry) != AE_IFREG ||
        archive_entry_hardlink(entry) != NULL) {
        return SL_OK;
    }
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;
    const char *dot = strrchr(name, '.');
    if (dot != NULL && strcmp(dot, ".cls") == 0) {
        begin_sample(scan, path);
        return take_label(scan, archive, path);
    }
    if (!sl_has_image_name(name)) {
        return SL_OK;
    }
    begin_sample(scan, path);
    return take_picture(scan, archive, entry, path);
}

static enum sl_status find_sums(struct scan *scan, struct archive *archive,
                                const struct input *input)
{
    if (!is_zip_format(archive) || scan->has_sums) {
        return SL_OK;
    }
    scan->has_sums = true;
    return sl_zip_sums_read(scan->err, &input->archive, &scan->sums);
}

static enum sl_status take_members(struct scan *scan, struct archive *archive,
                                   const struct input *input)
{
    for (int64_t n = 0;; n++) {
        struct archive_entry *entry = NULL;
        int code = archive_read_next_header(archive, &entry);
        if (code == ARCHIVE_EOF) {
            return SL_OK;
        }
        if (code != ARCHIVE_OK && code != ARCHIVE_WARN) {
            const char *why = archive_error_string(archive);
            return SL_FAIL(scan->err, SL_ERROR_DATA,
                           "%s: damaged or not an archive, after %lld members: %s; fetch "
                           "it again",
                           scan->name, (long long)n, why != NULL ? why : "no reason");
        }
        SL_TRY(find_sums(scan, archive, input));
        SL_TRY(take_member(scan, archive, entry));
    }
}

static enum sl_status scan_input(struct sl_error *err, const char *name,
                                 struct input *input, uint32_t place,
                                 struct sl_builder *builder)
{
    enum sl_status status = SL_OK;
    struct scan *scan = NULL;
    struct archive *archive = archive_read_new();
    /* libarchive hands out names in the locale's encoding; the thread's, so that nothing
     * of the process changes. */
    locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    locale_t before = utf8 != (locale_t)0 ? uselocale(utf8) : (locale_t)0;
    SL_TRY_OUT(sl_heap_alloc(err, "archive", 1, sizeof(*scan), &scan));
    SL_TRY_OUT(sl_heap_alloc(err, "archive", BLOCK, 1, &input->block));
    *scan = (struct scan){.err = err,
                          .name = name,
                          .size = input->archive.size,
                          .place = place,
                          .builder = builder};
    scan->sample.label = INT32_MIN;
    if (archive == NULL) {
        status = SL_FAIL(err, SL_ERROR_RUN, "%s: out of memory", name);
        goto out;
    }
    (void)archive_read_support_format_tar(archive);
    (void)archive_read_support_format_zip_seekable(archive);
    (void)archive_read_set_read_callback(archive, on_read);
    (void)archive_read_set_skip_callback(archive, on_skip);
    (void)archive_read_set_seek_callback(archive, on_seek);
    (void)archive_read_set_callback_data(archive, input);
    if (archive_read_open1(archive) != ARCHIVE_OK) {
        status =
            SL_FAIL(err, SL_ERROR_DATA,
                    "%s: not a tar or zip archive that can be read (%lld bytes): %s",
                    name, (long long)input->archive.size, archive_error_string(archive));
        goto out;
    }
    SL_TRY_OUT(take_members(scan, archive, input));
    if (scan->n_unsummed > 0) {
        sl_log(
            SL_LOG_WARNING,
            "%s: the check sums of %lld pictures are not found in its directory: those "
            "are read without",
            name, (long long)scan->n_unsummed);
    }
out:
    if (archive != NULL) {
        (void)archive_read_free(archive);
    }
    if (utf8 != (locale_t)0) {
        (void)uselocale(before);
        freelocale(utf8);
    }
    sl_heap_free(input->block);
    if (scan != NULL) {
        sl_heap_free(scan->sums.items);
    }
    sl_heap_free(scan);
    return status;
}

enum sl_status sl_archive_scan(struct sl_error *err, const char *path, int fd,
                               int64_t bytes, uint32_t place, struct sl_builder *builder)
{
    struct input input = {.archive = {.fd = fd, .size = bytes}};
    return scan_input(err, path, &input, place, builder);
}

enum sl_status sl_archive_scan_bytes(struct sl_error *err, const char *name,
                                     const unsigned char *bytes, int64_t size,
                                     struct sl_builder *builder)
{
    struct input input = {.archive = {.fd = -1, .bytes = bytes, .size = size}};
    return scan_input(err, name, &input, 0, builder);
}
