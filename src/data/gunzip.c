/* SPDX-License-Identifier: MIT */
/*
 * Unpacks deflated bytes with zlib; the only file that includes it: a gzipped IDX file
 * into memory, a .tar.gz into a file, a zip member into the caller's bytes. Invariant:
 * never takes more memory or disk than the sizes known beforehand and the limits say.
 */
#include "data/data_int.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

/* Deflate cannot do better than about 1032 to 1. */
enum { MAX_RATIO = 1040 };
enum { IN_BLOCK = 64 * 1024, OUT_BLOCK = 256 * 1024 };

static enum sl_status fail_gzip(struct sl_error *err, const char *name, int code)
{
    if (code == Z_MEM_ERROR) {
        return SL_FAIL(err, SL_ERROR_RUN, "%s: out of memory while unpacking", name);
    }
    if (code == Z_BUF_ERROR || code == Z_OK) {
        return SL_FAIL(err, SL_ERROR_DATA,
                       "%s: truncated: the gzip data is cut short; fetch the file again",
                       name);
    }
    return SL_FAIL(err, SL_ERROR_DATA, "%s: damaged gzip data", name);
}

/* Fills dst as far as there is input; returns zlib's last word. */
static int inflate_into(z_stream *stream, const unsigned char *packed,
                        int64_t packed_size, unsigned char *dst, int64_t size)
{
    int code = Z_OK;
    int64_t done = 0;
    while (code == Z_OK && done < size) {
        int64_t left_in = packed_size - (int64_t)stream->total_in;
        stream->next_in = (z_const Bytef *)(packed + stream->total_in);
        stream->avail_in = left_in < UINT_MAX ? (uInt)left_in : UINT_MAX;
        int64_t room = size - done;
        stream->next_out = dst + done;
        stream->avail_out = room < UINT_MAX ? (uInt)room : UINT_MAX;
        uInt before = stream->avail_out;
        code = inflate(stream, Z_NO_FLUSH);
        done += before - stream->avail_out;
    }
    return code;
}

static enum sl_status unpack(struct sl_error *err, const char *name, z_stream *stream,
                             const unsigned char *packed, int64_t packed_size, int n_dims,
                             unsigned char **bytes, int64_t *size)
{
    unsigned char head[16] = {0};
    struct sl_idx_header header;
    int64_t head_bytes = 4 + 4 * n_dims;
    int code = inflate_into(stream, packed, packed_size, head, head_bytes);
    if ((int64_t)stream->total_out < head_bytes && code != Z_STREAM_END) {
        return fail_gzip(err, name, code);
    }
    SL_TRY(sl_idx_parse(err, name, head, (int64_t)stream->total_out, n_dims, &header));
    if (header.payload_bytes / MAX_RATIO > packed_size) {
        return SL_FAIL(err, SL_ERROR_DATA,
                       "%s: truncated: its header promises %lld bytes, more than %lld "
                       "packed bytes can hold",
                       name, (long long)header.payload_bytes, (long long)packed_size);
    }
    *size = head_bytes + header.payload_bytes;
    SL_TRY(sl_heap_alloc(err, name, *size, 1, bytes));
    memcpy(*bytes, head, (size_t)head_bytes);
    code = inflate_into(stream, packed, packed_size, *bytes + head_bytes,
                        header.payload_bytes);
    if (code == Z_OK) { /* all taken; the end mark and the check sum are still to come */
        unsigned char extra = 0;
        code = inflate_into(stream, packed, packed_size, &extra, 1);
    }
    if (code != Z_STREAM_END) {
        return (int64_t)stream->total_out > *size
                   ? sl_idx_check_size(err, name, (int64_t)stream->total_out, &header)
                   : fail_gzip(err, name, code);
    }
    return sl_idx_check_size(err, name, (int64_t)stream->total_out, &header);
}

enum sl_status sl_gunzip_idx(struct sl_error *err, const char *name,
                             const unsigned char *packed, int64_t packed_size, int n_dims,
                             unsigned char **bytes, int64_t *size)
{
    z_stream stream;
    memset(&stream, 0, sizeof(stream));
    *bytes = NULL;
    *size = 0;
    int code = inflateInit2(&stream, 15 + 16); /* 16: expect the gzip wrapper */
    if (code != Z_OK) {
        return fail_gzip(err, name, code);
    }
    enum sl_status status =
        unpack(err, name, &stream, packed, packed_size, n_dims, bytes, size);
    inflateEnd(&stream);
    if (status != SL_OK) {
        sl_heap_free(*bytes);
        *bytes = NULL;
    }
    return status;
}

/* ---- a zip member ------------------------------------------------------------------ */

uint32_t sl_crc32(const unsigned char *bytes, int64_t size)
{
    return (uint32_t)crc32_z(0, bytes, (size_t)size);
}

/* The next packed bytes at *at; 0 at the end of the file, -1 when it cannot be read. */
static ssize_t read_block(int fd, unsigned char *block, int64_t *at)
{
    ssize_t got = 0;
    do {
        got = pread(fd, block, IN_BLOCK, (off_t)*at);
    } while (got < 0 && errno == EINTR);
    *at += got > 0 ? got : 0;
    return got;
}

static enum sl_status inflate_member(struct sl_error *err, const char *name,
                                     z_stream *stream, int fd, int64_t at,
                                     unsigned char *dst, int64_t size,
                                     unsigned char *extra)
{
    unsigned char block[IN_BLOCK];
    bool is_full = size == 0;
    int code = Z_OK;
    stream->next_out = is_full ? extra : dst;
    stream->avail_out = is_full ? 1 : (uInt)size;
    while (code == Z_OK) {
        if (stream->avail_in == 0) {
            ssize_t got = read_block(fd, block, &at);
            if (got <= 0) {
                return SL_FAIL(err, SL_ERROR_DATA,
                               "%s: damaged: the packed bytes of the picture are cut "
                               "short",
                               name);
            }
            stream->next_in = block;
            stream->avail_in = (uInt)got;
        }
        code = inflate(stream, Z_NO_FLUSH);
        code = code == Z_BUF_ERROR ? Z_OK : code;
        if (code == Z_OK && stream->avail_out == 0) {
            if (is_full) {
                break; /* one byte more than promised */
            }
            is_full = true; /* only the end mark may still come */
            stream->next_out = extra;
            stream->avail_out = 1;
        }
    }
    if (code != Z_STREAM_END || (int64_t)stream->total_out != size) {
        return SL_FAIL(err, SL_ERROR_DATA,
                       "%s: damaged: the picture does not unpack to the %lld bytes that "
                       "the archive promises",
                       name, (long long)size);
    }
    return SL_OK;
}

enum sl_status sl_inflate_at(struct sl_error *err, const char *name, int fd, int64_t at,
                             unsigned char *dst, int64_t size)
{
    z_stream stream;
    unsigned char extra = 0; /* room for one byte too many */
    memset(&stream, 0, sizeof(stream));
    SL_ASSERT(size <= UINT_MAX);
    int code = inflateInit2(&stream, -15); /* negative: no wrapper around the data */
    if (code != Z_OK) {
        return fail_gzip(err, name, code);
    }
    enum sl_status status = inflate_member(err, name, &stream, fd, at, dst, size, &extra);
    inflateEnd(&stream);
    return status;
}

/* ---- a whole file ------------------------------------------------------------------ */

struct unpacking {
    const char *path;
    int fd;
    struct sl_file_writer *writer;
    unsigned char *in, *out;
    int64_t limit, done;
};

/* Inflates all that came in; *code is Z_STREAM_END after the end of a member. */
static enum sl_status unpack_block(struct sl_error *err, struct unpacking *job,
                                   z_stream *stream, int *code)
{
    do {
        if (*code == Z_STREAM_END) { /* gzip files may stand one behind the other */
            (void)inflateReset(stream);
        }
        stream->next_out = job->out;
        stream->avail_out = OUT_BLOCK;
        *code = inflate(stream, Z_NO_FLUSH);
        if (*code != Z_OK && *code != Z_STREAM_END && *code != Z_BUF_ERROR) {
            return fail_gzip(err, job->path, *code);
        }
        size_t made = OUT_BLOCK - stream->avail_out;
        job->done += (int64_t)made;
        if (job->done > job->limit) {
            return SL_FAIL(err, SL_ERROR_DATA,
                           "%s: unpacks to more than %lld bytes, the limit here; unpack "
                           "it yourself and give the .tar",
                           job->path, (long long)job->limit);
        }
        SL_TRY(sl_file_writer_write(err, job->writer, job->out, made));
    } while (stream->avail_in > 0 || stream->avail_out == 0);
    return SL_OK;
}

static enum sl_status unpack_file(struct sl_error *err, struct unpacking *job,
                                  z_stream *stream)
{
    int64_t at = 0;
    int code = Z_OK;
    for (;;) {
        ssize_t got = read_block(job->fd, job->in, &at);
        if (got < 0) {
            return SL_FAIL(err, SL_ERROR_DATA, "%s: cannot be read: %s", job->path,
                           strerror(errno));
        }
        if (got == 0) {
            return code == Z_STREAM_END ? SL_OK : fail_gzip(err, job->path, Z_BUF_ERROR);
        }
        stream->next_in = job->in;
        stream->avail_in = (uInt)got;
        SL_TRY(unpack_block(err, job, stream, &code));
    }
}

enum sl_status sl_gunzip_file(struct sl_error *err, const char *path, const char *target,
                              int64_t limit)
{
    enum sl_status status = SL_OK;
    struct unpacking job = {.path = path, .limit = limit};
    z_stream stream;
    memset(&stream, 0, sizeof(stream));
    job.fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (job.fd < 0) {
        return SL_FAIL(err, SL_ERROR_DATA, "%s: cannot be read: %s", path,
                       strerror(errno));
    }
    SL_TRY_OUT(sl_heap_alloc(err, path, IN_BLOCK, 1, &job.in));
    SL_TRY_OUT(sl_heap_alloc(err, path, OUT_BLOCK, 1, &job.out));
    SL_TRY_OUT(sl_file_writer_begin(err, target, &job.writer));
    int code = inflateInit2(&stream, 15 + 16);
    if (code != Z_OK) {
        status = fail_gzip(err, path, code);
        goto out;
    }
    status = unpack_file(err, &job, &stream);
    inflateEnd(&stream);
    SL_TRY_OUT(status);
    SL_TRY_OUT(sl_file_writer_commit(err, job.writer));
    job.writer = NULL;
out:
    sl_file_writer_abort(job.writer);
    sl_heap_free(job.in);
    sl_heap_free(job.out);
    (void)close(job.fd);
    return status;
}
