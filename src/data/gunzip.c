/* SPDX-License-Identifier: MIT */
/*
 * Unpacks a gzipped IDX file into memory with zlib; the only file that includes it.
 * Invariant: never takes more memory than the sizes in the IDX header say, and those are
 * held against the most that so many packed bytes can unpack to.
 */
#include "data/data_int.h"

#include <limits.h>
#include <string.h>
#include <zlib.h>

/* Deflate cannot do better than about 1032 to 1. */
enum { MAX_RATIO = 1040 };

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
