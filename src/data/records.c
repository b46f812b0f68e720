/* SPDX-License-Identifier: MIT */
/*
 * The rules of the raw record formats, CIFAR binary and IDX, on bytes in memory. No files
 * are touched here, so that the fuzz target reaches all of it. Invariant: whoever indexes
 * records later may do so without further checks, because sizes and labels have all been
 * looked at here.
 */
#include "data/data_int.h"

enum { IDX_TYPE_UBYTE = 8, IDX_SIDE_MAX = 16384 };

enum sl_status sl_cifar_check(struct sl_error *err, const char *name,
                              const unsigned char *bytes, int64_t size, int label_bytes,
                              int n_classes, int64_t *count)
{
    int64_t record = SL_CIFAR_PIXELS + label_bytes;
    if (size == 0) {
        return SL_FAIL(err, SL_ERROR_DATA, "%s: empty file (0 bytes), not CIFAR records",
                       name);
    }
    if (size % record != 0) {
        return SL_FAIL(
            err, SL_ERROR_DATA,
            "%s: truncated: %lld bytes is not a whole number of records of %lld "
            "bytes; fetch the file again",
            name, (long long)size, (long long)record);
    }
    *count = size / record;
    for (int64_t i = 0; i < *count; i++) {
        int label = bytes[i * record + label_bytes - 1];
        if (label >= n_classes) {
            return SL_FAIL(err, SL_ERROR_DATA,
                           "%s: record %lld has class %d, above %d: damaged, or not a "
                           "CIFAR-%d file",
                           name, (long long)i, label, n_classes - 1, n_classes);
        }
    }
    return SL_OK;
}

static int64_t big_endian(const unsigned char *bytes)
{
    return ((int64_t)bytes[0] << 24) | ((int64_t)bytes[1] << 16) |
           ((int64_t)bytes[2] << 8) | bytes[3];
}

enum sl_status sl_idx_parse(struct sl_error *err, const char *name,
                            const unsigned char *bytes, int64_t size, int n_dims,
                            struct sl_idx_header *header)
{
    *header = (struct sl_idx_header){.dims = {1, 1, 1}, .header_bytes = 4 + 4 * n_dims};
    if (size < header->header_bytes) {
        return SL_FAIL(err, SL_ERROR_DATA,
                       "%s: truncated: %lld bytes is less than the header of an IDX file "
                       "(%lld)",
                       name, (long long)size, (long long)header->header_bytes);
    }
    if (bytes[0] != 0 || bytes[1] != 0 || bytes[2] != IDX_TYPE_UBYTE ||
        bytes[3] != n_dims) {
        return SL_FAIL(
            err, SL_ERROR_DATA,
            "%s: not an IDX file of unsigned bytes with %d dimensions: it begins "
            "with %02x %02x %02x %02x",
            name, n_dims, bytes[0], bytes[1], bytes[2], bytes[3]);
    }
    header->payload_bytes = 1;
    for (int d = 0; d < n_dims; d++) {
        header->dims[d] = big_endian(bytes + 4 + 4 * d);
        bool is_good = header->dims[d] >= 1 && header->dims[d] <= INT32_MAX &&
                       (d == 0 || header->dims[d] <= IDX_SIDE_MAX) &&
                       sl_mul_checked(header->payload_bytes, header->dims[d],
                                      &header->payload_bytes);
        if (!is_good) {
            return SL_FAIL(err, SL_ERROR_DATA,
                           "%s: damaged IDX header: dimension %d is %lld", name, d,
                           (long long)header->dims[d]);
        }
    }
    return SL_OK;
}

enum sl_status sl_idx_check_size(struct sl_error *err, const char *name, int64_t size,
                                 const struct sl_idx_header *header)
{
    int64_t need = header->header_bytes + header->payload_bytes;
    if (size < need) {
        return SL_FAIL(
            err, SL_ERROR_DATA,
            "%s: truncated: %lld bytes, and its header promises %lld; fetch the "
            "file again",
            name, (long long)size, (long long)need);
    }
    if (size > need) {
        return SL_FAIL(err, SL_ERROR_DATA,
                       "%s: damaged: %lld bytes, and its header promises only %lld", name,
                       (long long)size, (long long)need);
    }
    return SL_OK;
}
