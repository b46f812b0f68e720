/* SPDX-License-Identifier: MIT */
/*
 * Stands in for archive_scan.c in a build without libarchive: archives are recognised,
 * and the message says how to use them all the same. Invariant: exactly one of the two
 * files is in a build.
 */
#include "data/index_int.h"

const bool sl_archive_built = false;

enum sl_status sl_archive_scan_bytes(struct sl_error *err, const char *name,
                                     const unsigned char *bytes, int64_t size,
                                     struct sl_builder *builder)
{
    (void)bytes;
    (void)size;
    (void)builder;
    return SL_FAIL(err, SL_ERROR_DATA,
                   "%s: this build reads no archives (libarchive was left out); unpack "
                   "it into a folder",
                   name);
}

enum sl_status sl_archive_scan(struct sl_error *err, const char *path, int fd,
                               int64_t bytes, uint32_t place, struct sl_builder *builder)
{
    (void)fd;
    (void)place;
    return sl_archive_scan_bytes(err, path, NULL, bytes, builder);
}
