/* SPDX-License-Identifier: MIT */
/*
 * Stands in for gunzip.c in a build without zlib: gzipped IDX files are recognised, and
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
