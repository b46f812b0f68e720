/* SPDX-License-Identifier: MIT */
/*
 * Files: reading whole or mapped, writing to a temporary that is renamed, append-only
 * logs, directories. Every I/O error of the library is put into words here and nowhere
 * else. What the bytes mean is the caller's business. Invariant: a file written through
 * sl_file_writer is complete on disk under its name, or the name is as it was.
 */
#include "base/file_int.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- errors in words --------------------------------------------------------------- */

enum { REASON_MAX = 512 };

/* The shortest leading part of the path that exists and is not a directory. */
static bool part_not_directory(const char *path, char *part, size_t size)
{
    if (!sl_text_copy(part, size, path)) {
        return false;
    }
    for (char *at = part; *at != '\0'; at++) {
        if (*at != '/' || at == part) {
            continue;
        }
        *at = '\0';
        enum sl_path_kind kind = sl_path_kind(part);
        if (kind == SL_PATH_FILE || kind == SL_PATH_OTHER) {
            return true;
        }
        *at = '/';
    }
    return false;
}

/* What errno `code` means for `path`, and what to do about it. */
static void reason_of(int code, const char *path, char reason[REASON_MAX])
{
    char part[REASON_MAX - 64];
    const char *words = NULL;
    switch (code) {
    case ENOENT:
        words = "no such file or directory; check the path";
        break;
    case ENOTDIR:
        if (part_not_directory(path, part, sizeof part)) {
            (void)snprintf(reason, REASON_MAX,
                           "%s is not a directory; choose another path", part);
            return;
        }
        words = "not a directory; choose another path";
        break;
    case EISDIR:
        words = "is a directory, a file is needed; choose another path";
        break;
    case EACCES:
    case EPERM:
        words = "permission denied; check owner and mode, or choose another path";
        break;
    case EROFS:
        words = "the file system is read-only; choose another path";
        break;
    case ENOSPC:
        words = "disk full; free some space or choose another disk";
        break;
    case EDQUOT:
        words =
            "disk full (your quota is used up); free some space or choose another disk";
        break;
    case EFBIG:
        words =
            "disk full (the largest file size allowed is reached); raise the limit or "
            "choose another disk";
        break;
    case EMFILE:
    case ENFILE:
        words = "too many open files; raise the limit (ulimit -n)";
        break;
    case ENAMETOOLONG:
        words = "the name is too long; choose a shorter path";
        break;
    case ELOOP:
        words = "a symbolic link that leads nowhere or may not be followed; choose "
                "another path";
        break;
    case ENOMEM:
        words = "out of memory; free some memory";
        break;
    case EIO:
        words = "the device reports an input/output error; check the disk";
        break;
    default:
        break;
    }
    if (words != NULL) {
        (void)sl_text_copy(reason, REASON_MAX, words);
        return;
    }
    if (strerror_r(code, part, sizeof part) != 0) {
        (void)snprintf(part, sizeof part, "error %d", code);
    }
    (void)snprintf(reason, REASON_MAX, "%s; check the path and the disk", part);
}

enum sl_status sl_file_fail(struct sl_error *err, enum sl_status status, const char *verb,
                            const char *path, int code)
{
    char reason[REASON_MAX];
    reason_of(code, path, reason);
    return SL_FAIL(err, status, "cannot %s %s: %s", verb, path, reason);
}

/* ---- paths ------------------------------------------------------------------------- */

enum sl_path_kind sl_path_kind(const char *path)
{
    struct stat info;
    if (stat(path, &info) != 0) {
        return SL_PATH_MISSING;
    }
    if (S_ISREG(info.st_mode)) {
        return SL_PATH_FILE;
    }
    return S_ISDIR(info.st_mode) ? SL_PATH_DIRECTORY : SL_PATH_OTHER;
}

bool sl_path_join(char *dst, size_t size, const char *dir, const char *name)
{
    size_t length = strlen(dir);
    const char *slash = length == 0 || dir[length - 1] == '/' ? "" : "/";
    int written = snprintf(dst, size, "%s%s%s", dir, slash, name);
    return written >= 0 && (size_t)written < size;
}

/* Heap copy of two texts, one behind the other. */
static enum sl_status text_concat(struct sl_error *err, const char *first,
                                  const char *second, char **made)
{
    size_t n_first = strlen(first);
    size_t n_second = strlen(second);
    SL_TRY(sl_heap_alloc(err, "path", (int64_t)(n_first + n_second + 1), 1, made));
    memcpy(*made, first, n_first);
    memcpy(*made + n_first, second, n_second);
    return SL_OK;
}

/* The directory a path lies in: "a/b" -> "a", "b" -> ".", "/b" -> "/". Heap. */
static enum sl_status path_parent(struct sl_error *err, const char *path, char **parent)
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL) {
        return text_concat(err, ".", "", parent);
    }
    SL_TRY(text_concat(err, path, "", parent));
    size_t length = slash == path ? 1 : (size_t)(slash - path);
    (*parent)[length] = '\0';
    return SL_OK;
}

/* ---- reading ----------------------------------------------------------------------- */

enum sl_status sl_file_open_regular(struct sl_error *err, enum sl_status missing,
                                    const char *path, int *fd, int64_t *size)
{
    /* O_NONBLOCK, so that opening a pipe among the data returns. */
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (*fd < 0) {
        return sl_file_fail(err, missing, "read", path, errno);
    }
    enum sl_status status = SL_OK;
    struct stat info;
    if (fstat(*fd, &info) != 0) {
        status = sl_file_fail(err, missing, "read", path, errno);
    } else if (S_ISDIR(info.st_mode)) {
        status = sl_file_fail(err, missing, "read", path, EISDIR);
    } else if (!S_ISREG(info.st_mode)) {
        status = SL_FAIL(
            err, missing,
            "cannot read %s: it is a pipe, socket or device; give a regular file", path);
    }
    if (status != SL_OK) {
        (void)close(*fd);
        *fd = -1;
        return status;
    }
    *size = (int64_t)info.st_size;
    return SL_OK;
}

static enum sl_status read_all(struct sl_error *err, enum sl_status missing,
                               const char *path, int fd, unsigned char *bytes,
                               int64_t size)
{
    int64_t done = 0;
    while (done < size) {
        ssize_t n = read(fd, bytes + done, (size_t)(size - done));
        if (n > 0) {
            done += n;
        } else if (n == 0) {
            return SL_FAIL(
                err, missing,
                "cannot read %s: it ended after %lld of %lld bytes; was it changed "
                "while it was read?",
                path, (long long)done, (long long)size);
        } else if (errno != EINTR) {
            return sl_file_fail(err, missing, "read", path, errno);
        }
    }
    return SL_OK;
}

enum sl_status sl_file_read(struct sl_error *err, enum sl_status missing,
                            const char *path, int64_t limit, unsigned char **bytes,
                            int64_t *size)
{
    enum sl_status status = SL_OK;
    int fd = -1;
    int64_t found = 0;
    unsigned char *made = NULL;
    *bytes = NULL;
    *size = 0;
    SL_TRY(sl_file_open_regular(err, missing, path, &fd, &found));
    if (found > limit) {
        status =
            SL_FAIL(err, missing,
                    "cannot read %s: it has %lld bytes, at most %lld are allowed here; "
                    "check that it is the right file",
                    path, (long long)found, (long long)limit);
        goto out;
    }
    SL_TRY_OUT(sl_heap_alloc(err, path, found + 1, 1, &made));
    SL_TRY_OUT(read_all(err, missing, path, fd, made, found));
    *bytes = made;
    *size = found;
    made = NULL;
out:
    sl_heap_free(made);
    (void)close(fd);
    return status;
}

enum sl_status sl_file_read_at(struct sl_error *err, enum sl_status missing,
                               const char *path, int64_t offset, int64_t count,
                               void *bytes, int64_t *got)
{
    int fd = -1;
    int64_t size = 0;
    enum sl_status status = SL_OK;
    *got = 0;
    SL_TRY(sl_file_open_regular(err, missing, path, &fd, &size));
    while (*got < count && status == SL_OK) {
        ssize_t n = pread(fd, (unsigned char *)bytes + *got, (size_t)(count - *got),
                          (off_t)(offset + *got));
        if (n == 0) {
            break;
        }
        if (n > 0) {
            *got += n;
        } else if (errno != EINTR) {
            status = sl_file_fail(err, missing, "read", path, errno);
        }
    }
    (void)close(fd);
    return status;
}

enum sl_status sl_file_map_open(struct sl_error *err, enum sl_status missing,
                                const char *path, struct sl_file_map *map)
{
    static const unsigned char nothing[1] = {0};
    int fd = -1;
    int64_t size = 0;
    *map = (struct sl_file_map){0};
    SL_TRY(sl_file_open_regular(err, missing, path, &fd, &size));
    enum sl_status status = SL_OK;
    if (size == 0) {
        map->bytes = nothing; /* an empty range cannot be mapped */
    } else {
        void *bytes = mmap(NULL, (size_t)size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (bytes == MAP_FAILED) {
            status = sl_file_fail(err, missing, "map", path, errno);
        } else {
            map->bytes = bytes;
            map->size = size;
        }
    }
    (void)close(fd);
    return status;
}

void sl_file_map_close(struct sl_file_map *map)
{
    if (map->size > 0) {
        /* munmap takes a pointer to writable memory although it only forgets it. */
        (void)munmap((void *)(uintptr_t)map->bytes, (size_t)map->size);
    }
    *map = (struct sl_file_map){0};
}

/* ---- writing ----------------------------------------------------------------------- */

/* Bytes that may still be written before the disk plays full; negative: no limit. */
static atomic_int_fast64_t write_budget = -1;

void sl_file_fail_after(int64_t bytes)
{
    atomic_store(&write_budget, bytes < 0 ? -1 : bytes);
}

/* How many of `count` bytes the test hook lets through. */
static size_t write_allowed(size_t count)
{
    int_fast64_t left = atomic_load(&write_budget);
    for (;;) {
        if (left < 0) {
            return count;
        }
        size_t allowed = (uint64_t)left < count ? (size_t)left : count;
        if (atomic_compare_exchange_weak(&write_budget, &left, left - (int64_t)allowed)) {
            return allowed;
        }
    }
}

/* 0, or the errno of the failure. */
static int write_all(int fd, const void *bytes, size_t count)
{
    const char *at = bytes;
    size_t allowed = write_allowed(count);
    size_t left = allowed;
    while (left > 0) {
        ssize_t n = write(fd, at, left);
        if (n > 0) {
            at += n;
            left -= (size_t)n;
        } else if (n == 0) {
            return ENOSPC;
        } else if (errno != EINTR) {
            return errno;
        }
    }
    return allowed < count ? ENOSPC : 0;
}

struct sl_file_writer {
    int fd; /* -1 once closed */
    char *path;
    char *temporary;
    bool exists; /* the temporary is there and has to be renamed or removed */
};

/* Ends the temporary; the writer itself stays until abort or a successful commit. */
static void writer_discard(struct sl_file_writer *writer)
{
    if (writer->fd >= 0) {
        (void)close(writer->fd);
        writer->fd = -1;
    }
    if (writer->exists) {
        (void)unlink(writer->temporary);
        writer->exists = false;
    }
}

static void writer_free(struct sl_file_writer *writer)
{
    sl_heap_free(writer->path);
    sl_heap_free(writer->temporary);
    sl_heap_free(writer);
}

enum sl_status sl_file_writer_begin(struct sl_error *err, const char *path,
                                    struct sl_file_writer **writer)
{
    enum sl_status status = SL_OK;
    struct sl_file_writer *made = NULL;
    *writer = NULL;
    enum sl_path_kind kind = sl_path_kind(path);
    if (kind == SL_PATH_DIRECTORY) {
        return sl_file_fail(err, SL_ERROR_RUN, "write", path, EISDIR);
    }
    if (kind == SL_PATH_OTHER) {
        return SL_FAIL(
            err, SL_ERROR_RUN,
            "cannot write %s: it is a pipe, socket or device; give a regular file", path);
    }
    char suffix[32];
    (void)snprintf(suffix, sizeof suffix, ".tmp.%ld", (long)getpid());
    SL_TRY(sl_heap_alloc(err, "file writer", 1, sizeof *made, &made));
    made->fd = -1;
    SL_TRY_OUT(text_concat(err, path, "", &made->path));
    SL_TRY_OUT(text_concat(err, path, suffix, &made->temporary));
    /* O_TRUNC and not O_EXCL: process numbers come again, in containers at once, and a
     * killed run leaves its temporary behind. */
    made->fd = open(made->temporary,
                    O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, (mode_t)0666);
    if (made->fd < 0) {
        status = sl_file_fail(err, SL_ERROR_RUN, "write", path, errno);
        goto out;
    }
    made->exists = true;
    *writer = made;
    made = NULL;
out:
    sl_file_writer_abort(made);
    return status;
}

enum sl_status sl_file_writer_write(struct sl_error *err, struct sl_file_writer *writer,
                                    const void *bytes, size_t count)
{
    SL_ASSERT(writer->fd >= 0);
    int code = write_all(writer->fd, bytes, count);
    if (code != 0) {
        writer_discard(writer);
        return sl_file_fail(err, SL_ERROR_RUN, "write", writer->path, code);
    }
    return SL_OK;
}

/* Puts the new name itself on disk. */
static int sync_directory(const char *directory)
{
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        /* A directory that may be written and searched but not read: nothing more to do.
         */
        return errno == EACCES ? 0 : errno;
    }
    int code = fsync(fd) == 0 ? 0 : errno;
    (void)close(fd);
    /* Some network file systems have no such call for directories. */
    return code == EINVAL || code == ENOTSUP ? 0 : code;
}

enum sl_status sl_file_writer_commit(struct sl_error *err, struct sl_file_writer *writer)
{
    SL_ASSERT(writer->fd >= 0);
    enum sl_status status = SL_OK;
    char *parent = NULL;
    SL_TRY_OUT(path_parent(err, writer->path, &parent));
    int code = fsync(writer->fd) == 0 ? 0 : errno;
    if (close(writer->fd) != 0 && code == 0 && errno != EINTR) {
        code = errno;
    }
    writer->fd = -1;
    if (code == 0 && rename(writer->temporary, writer->path) != 0) {
        code = errno;
    }
    if (code == 0) {
        writer->exists = false;
        code = sync_directory(parent);
    }
    if (code != 0) {
        status = sl_file_fail(err, SL_ERROR_RUN, "write", writer->path, code);
    }
out:
    sl_heap_free(parent);
    if (status != SL_OK) {
        writer_discard(writer);
        return status;
    }
    writer_free(writer);
    return SL_OK;
}

void sl_file_writer_abort(struct sl_file_writer *writer)
{
    if (writer == NULL) {
        return;
    }
    writer_discard(writer);
    writer_free(writer);
}

enum sl_status sl_file_write(struct sl_error *err, const char *path, const void *bytes,
                             size_t count)
{
    enum sl_status status = SL_OK;
    struct sl_file_writer *writer = NULL;
    SL_TRY(sl_file_writer_begin(err, path, &writer));
    SL_TRY_OUT(sl_file_writer_write(err, writer, bytes, count));
    SL_TRY_OUT(sl_file_writer_commit(err, writer));
    writer = NULL;
out:
    sl_file_writer_abort(writer);
    return status;
}

/* ---- append-only logs -------------------------------------------------------------- */

enum { LOG_LINE_ROOM = 8192 };

struct sl_file_log {
    int fd;
    char *path;
    char *line; /* one line with its newline, so that it goes out in one write */
    size_t capacity;
};

enum sl_status sl_file_log_open(struct sl_error *err, const char *path,
                                struct sl_file_log **log)
{
    enum sl_status status = SL_OK;
    struct sl_file_log *made = NULL;
    *log = NULL;
    SL_TRY(sl_heap_alloc(err, "log file", 1, sizeof *made, &made));
    made->fd = -1;
    SL_TRY_OUT(text_concat(err, path, "", &made->path));
    SL_TRY_OUT(sl_heap_alloc(err, "log file", LOG_LINE_ROOM, 1, &made->line));
    made->capacity = LOG_LINE_ROOM;
    made->fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, (mode_t)0666);
    if (made->fd < 0) {
        status = sl_file_fail(err, SL_ERROR_RUN, "write", path, errno);
        goto out;
    }
    *log = made;
    made = NULL;
out:
    sl_file_log_close(made);
    return status;
}

enum sl_status sl_file_log_bytes(struct sl_error *err, struct sl_file_log *log,
                                 const void *bytes, size_t count)
{
    struct stat before;
    bool known = fstat(log->fd, &before) == 0 && S_ISREG(before.st_mode);
    int code = write_all(log->fd, bytes, count);
    if (code != 0) {
        /* No torn line stays behind. */
        if (known && ftruncate(log->fd, before.st_size) != 0) {
            return sl_file_fail(err, SL_ERROR_RUN, "write", log->path, errno);
        }
        return sl_file_fail(err, SL_ERROR_RUN, "write", log->path, code);
    }
    return SL_OK;
}

enum sl_status sl_file_log_line(struct sl_error *err, struct sl_file_log *log,
                                const char *line)
{
    size_t length = strlen(line);
    if (length + 1 > log->capacity) {
        char *grown = NULL;
        SL_TRY(sl_heap_alloc(err, "log line", (int64_t)length + 1, 2, &grown));
        sl_heap_free(log->line);
        log->line = grown;
        log->capacity = (length + 1) * 2;
    }
    memcpy(log->line, line, length);
    log->line[length] = '\n';
    return sl_file_log_bytes(err, log, log->line, length + 1);
}

void sl_file_log_close(struct sl_file_log *log)
{
    if (log == NULL) {
        return;
    }
    if (log->fd >= 0) {
        (void)close(log->fd);
    }
    sl_heap_free(log->path);
    sl_heap_free(log->line);
    sl_heap_free(log);
}

/* ---- directories and the rest ------------------------------------------------------ */

/* mkdir that is content with a directory that is there already. 0 or errno. */
static int make_directory(const char *path)
{
    if (mkdir(path, (mode_t)0777) == 0) {
        return 0;
    }
    int code = errno;
    enum sl_path_kind kind = sl_path_kind(path);
    if (kind == SL_PATH_DIRECTORY) {
        return 0;
    }
    return kind == SL_PATH_MISSING ? code : ENOTDIR;
}

enum sl_status sl_dir_create(struct sl_error *err, const char *path)
{
    if (path[0] == '\0') {
        return SL_FAIL(err, SL_ERROR_RUN, "cannot create a directory: its name is empty");
    }
    char *copy = NULL;
    SL_TRY(text_concat(err, path, "/", &copy)); /* the slash ends the last part as well */
    int code = 0;
    for (char *at = copy + 1; *at != '\0' && code == 0; at++) {
        if (*at != '/' || at[-1] == '/') {
            continue;
        }
        *at = '\0';
        code = make_directory(copy);
        *at = '/';
    }
    enum sl_status status = SL_OK;
    if (code != 0) {
        char reason[REASON_MAX];
        reason_of(code, copy, reason);
        status =
            SL_FAIL(err, SL_ERROR_RUN, "cannot create directory %s: %s", path, reason);
    }
    sl_heap_free(copy);
    return status;
}

static int compare_names(const void *a, const void *b)
{
    const char *const *first = a;
    const char *const *second = b;
    return strcmp(*first, *second);
}

/* All names of a directory, each with its NUL. 0 or errno. */
static int gather_names(DIR *dir, struct sl_text *blob, int64_t *n)
{
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(dir);
        if (entry == NULL) {
            return errno;
        }
        const char *name = entry->d_name;
        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
            continue;
        }
        sl_text_add_bytes(blob, name, strlen(name) + 1);
        if (blob->failed) {
            return ENOMEM;
        }
        (*n)++;
    }
}

enum sl_status sl_dir_list(struct sl_error *err, enum sl_status missing, const char *path,
                           struct sl_dir_list *list)
{
    enum sl_status status = SL_OK;
    struct sl_text blob = {0};
    int64_t n = 0;
    *list = (struct sl_dir_list){0};
    DIR *dir = opendir(path);
    if (dir == NULL) {
        return sl_file_fail(err, missing, "read directory", path, errno);
    }
    int code = gather_names(dir, &blob, &n);
    (void)closedir(dir);
    if (code != 0) {
        status = sl_file_fail(err, code == ENOMEM ? SL_ERROR_RUN : missing,
                              "read directory", path, code);
        goto out;
    }
    /* Pointers and the text they point to share one piece of memory. */
    int64_t table = n * (int64_t)sizeof *list->names;
    SL_TRY_OUT(sl_heap_alloc(err, path, table + (int64_t)blob.length, 1, &list->names));
    char *text = (char *)list->names + table;
    if (blob.length > 0) {
        memcpy(text, blob.text, blob.length);
    }
    for (int64_t i = 0; i < n; i++) {
        list->names[i] = text;
        text += strlen(text) + 1;
    }
    list->n = n;
    if (n > 1) {
        qsort(list->names, (size_t)n, sizeof *list->names, compare_names);
    }
out:
    sl_text_finish(&blob);
    return status;
}

void sl_dir_list_finish(struct sl_dir_list *list)
{
    sl_heap_free(list->names);
    *list = (struct sl_dir_list){0};
}

bool sl_file_remove(const char *path)
{
    return unlink(path) == 0;
}

enum sl_status sl_file_truncate(struct sl_error *err, const char *path, int64_t size)
{
    struct stat info;
    if (stat(path, &info) != 0) {
        return sl_file_fail(err, SL_ERROR_RUN, "shorten", path, errno);
    }
    if ((int64_t)info.st_size <= size) {
        return SL_OK; /* never longer than it was */
    }
    if (truncate(path, (off_t)size) != 0) {
        return sl_file_fail(err, SL_ERROR_RUN, "shorten", path, errno);
    }
    return SL_OK;
}
