/* SPDX-License-Identifier: MIT */
/*
 * Stands in for gunzip.c in a build without zlib: packed files are recognised, and
 * the message says how to use them all the same. Invariant: exactly one of the two files
 * is in a build.
 */
#include "data/data_int.h"

enum sl_status sl_gunzip_idx(struct sl_error *err, const char *name,
                             const unsigned char *packed, int64_t packed_size, int n_dims,
                             unsigned char **bytes, int64_t *size)
{
    (void)packed;
    (void)packed_size;
    (void)n_dims;
    *bytes = NULL;
    *size = 0;
    return SL_FAIL(err, SL_ERROR_DATA,
                   "%s: this build reads no gzip; unpack the file with gunzip first",
                   name);
}

/* A bit at a time: slow beside zlib's, and right. */
uint32_t sl_crc32(const unsigned char *bytes, int64_t size)
{
    uint32_t sum = UINT32_MAX;
    for (int64_t i = 0; i < size; i++) {
        sum ^= bytes[i];
        for (int bit = 0; bit < 8; bit++) {
            sum = sum >> 1 ^ ((sum & 1) != 0 ? UINT32_C(0xedb88320) : 0);
        }
    }
    return ~sum;
}

enum sl_status sl_inflate_at(struct sl_error *err, const char *name, int fd, int64_t at,
                             unsigned char *dst, int64_t size)
{
    (void)fd;
    (void)at;
    (void)dst;
    (void)size;
    return SL_FAIL(err, SL_ERROR_DATA,
                   "%s: this build unpacks nothing (zlib was left out); make the zip "
                   "without compression (zip -0)",
                   name);
}

enum sl_status sl_gunzip_file(struct sl_error *err, const char *path, const char *target,
                              int64_t limit)
{
    (void)target;
    (void)limit;
    return SL_FAIL(err, SL_ERROR_DATA,
                   "%s: this build unpacks nothing (zlib was left out); gunzip it first",
                   path);
}
