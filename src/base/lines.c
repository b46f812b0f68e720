/* SPDX-License-Identifier: MIT */
/*
 * Lines of a text file, one after another, however large the file is, and although
 * another process may append to it or cut it off meanwhile: a line is never joined of
 * what was before a cut and what came after, as long as the file was seen shorter than
 * what had been read of it. No more than one line is held. Such a file must not be
 * mapped, since a page that is cut off behind a map ends the process that reads it.
 */
#include "base/file_int.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ROOM = 1 << 16 }; /* read at a time, and held at first */

struct sl_line_reader {
    int fd;
    enum sl_status missing;
    char *path;
    char *bytes; /* room of them: those from `begin` to `end` are not yet lines */
    int64_t room, longest;
    int64_t begin, end;
    int64_t at; /* of the file: where the next line begins */
    bool skips; /* a line that is too long or was cut, until its end */
};

enum sl_status sl_lines_open(struct sl_error *err, enum sl_status missing,
                             const char *path, int64_t longest,
                             struct sl_line_reader **reader)
{
    enum sl_status status = SL_OK;
    struct sl_line_reader *made = NULL;
    int64_t size = 0;
    *reader = NULL;
    SL_TRY(sl_heap_alloc(err, path, 1, sizeof *made, &made));
    made->fd = -1;
    made->missing = missing;
    made->longest = longest;
    made->room = ROOM;
    SL_TRY_OUT(sl_heap_alloc(err, path, (int64_t)strlen(path) + 1, 1, &made->path));
    memcpy(made->path, path, strlen(path) + 1);
    SL_TRY_OUT(sl_heap_alloc(err, path, made->room, 1, &made->bytes));
    SL_TRY_OUT(sl_file_open_regular(err, missing, path, &made->fd, &size));
    *reader = made;
    made = NULL;
out:
    sl_lines_close(made);
    return status;
}

void sl_lines_close(struct sl_line_reader *reader)
{
    if (reader == NULL) {
        return;
    }
    if (reader->fd >= 0) {
        (void)close(reader->fd);
    }
    sl_heap_free(reader->bytes);
    sl_heap_free(reader->path);
    sl_heap_free(reader);
}

/* Room behind what is held: moved to the front, or to twice the room. What is held of a
 * line that is too long, or was cut off, is let go. */
static enum sl_status make_room(struct sl_error *err, struct sl_line_reader *reader)
{
    int64_t held = reader->end - reader->begin;
    if (held > reader->longest || reader->skips) {
        reader->skips = true;
        reader->at += held;
        held = 0;
    }
    if (held == reader->room) {
        char *larger = NULL;
        SL_TRY(sl_heap_alloc(err, reader->path, 2 * reader->room, 1, &larger));
        memcpy(larger, reader->bytes + reader->begin, (size_t)held);
        sl_heap_free(reader->bytes);
        reader->bytes = larger;
        reader->room *= 2;
    } else if (held > 0) {
        memmove(reader->bytes, reader->bytes + reader->begin, (size_t)held);
    }
    reader->begin = 0;
    reader->end = held;
    return SL_OK;
}

/* Where the file is shorter than what was read of it, it was cut off, and perhaps is
 * being written anew: what is held of a line does not go on with what comes. */
static enum sl_status see_cut(struct sl_error *err, struct sl_line_reader *reader)
{
    struct stat info;
    if (fstat(reader->fd, &info) != 0) {
        return sl_file_fail(err, reader->missing, "read", reader->path, errno);
    }
    reader->skips = reader->skips ||
                    (int64_t)info.st_size < reader->at + (reader->end - reader->begin);
    return SL_OK;
}

/* More bytes behind those that are held; *is_end when there are none. */
static enum sl_status read_more(struct sl_error *err, struct sl_line_reader *reader,
                                bool *is_end)
{
    ssize_t n = 0;
    SL_TRY(see_cut(err, reader));
    SL_TRY(make_room(err, reader));
    do {
        n = read(reader->fd, reader->bytes + reader->end,
                 (size_t)(reader->room - reader->end));
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        return sl_file_fail(err, reader->missing, "read", reader->path, errno);
    }
    reader->end += n;
    *is_end = n == 0;
    return SL_OK;
}

enum sl_status sl_lines_next(struct sl_error *err, struct sl_line_reader *reader,
                             struct sl_line *line)
{
    int64_t looked = 0; /* of what is held: holds no newline */
    bool is_end = false;
    *line = (struct sl_line){0};
    while (!is_end) {
        const char *first = reader->bytes + reader->begin;
        int64_t held = reader->end - reader->begin;
        const char *newline = memchr(first + looked, '\n', (size_t)(held - looked));
        if (newline != NULL) {
            int64_t length = newline - first;
            bool is_long = reader->skips || length > reader->longest;
            *line = (struct sl_line){.text = first, .length = is_long ? 0 : length};
            reader->begin += length + 1;
            reader->at += length + 1;
            reader->skips = false;
            return SL_OK;
        }
        looked = held;
        SL_TRY(read_more(err, reader, &is_end));
        looked = reader->skips ? 0 : looked;
    }
    return SL_OK;
}

int64_t sl_lines_at(const struct sl_line_reader *reader)
{
    return reader->at;
}
