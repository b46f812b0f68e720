/* SPDX-License-Identifier: MIT */
/*
 * Writes tar archives (POSIX ustar) whose bytes depend on names and contents alone: no
 * time, no owner. Invariant: every member begins at a multiple of 512 bytes.
 */
#include "data/data_int.h"

#include <string.h>

enum { NAME_BYTES = 100, SIZE_AT = 124, SUM_AT = 148, SUM_BYTES = 8 };

static const unsigned char zeros[2 * SL_TAR_BLOCK];

int64_t sl_tar_bytes(int64_t size)
{
    return SL_TAR_BLOCK + (size + SL_TAR_BLOCK - 1) / SL_TAR_BLOCK * SL_TAR_BLOCK;
}

static void make_header(unsigned char header[SL_TAR_BLOCK], const char *name,
                        int64_t size)
{
    unsigned int sum = 0;
    char text[16];
    memset(header, 0, SL_TAR_BLOCK);
    memcpy(header, name, strlen(name));
    memcpy(header + 100, "0000644", 8);      /* mode */
    memcpy(header + 108, "0000000", 8);      /* owner */
    memcpy(header + 116, "0000000", 8);      /* group */
    memcpy(header + 136, "00000000000", 12); /* time */
    (void)snprintf(text, sizeof(text), "%011llo", (unsigned long long)size);
    memcpy(header + SIZE_AT, text, 12);
    header[156] = '0'; /* a regular file */
    memcpy(header + 257, "ustar", 6);
    memcpy(header + 263, "00", 2);
    /* The sum is taken with blanks in its own place. */
    memset(header + SUM_AT, ' ', SUM_BYTES);
    for (int i = 0; i < SL_TAR_BLOCK; i++) {
        sum += header[i];
    }
    (void)snprintf(text, sizeof(text), "%06o", sum);
    memcpy(header + SUM_AT, text, 7);
}

enum sl_status sl_tar_member(struct sl_error *err, struct sl_file_writer *writer,
                             const char *name, const void *bytes, int64_t size)
{
    unsigned char header[SL_TAR_BLOCK];
    SL_ASSERT(strlen(name) < NAME_BYTES && size >= 0 && size < INT64_C(1) << 33);
    make_header(header, name, size);
    SL_TRY(sl_file_writer_write(err, writer, header, sizeof(header)));
    SL_TRY(sl_file_writer_write(err, writer, bytes, (size_t)size));
    int64_t rest = sl_tar_bytes(size) - SL_TAR_BLOCK - size;
    return sl_file_writer_write(err, writer, zeros, (size_t)rest);
}

enum sl_status sl_tar_end(struct sl_error *err, struct sl_file_writer *writer)
{
    return sl_file_writer_write(err, writer, zeros, sizeof(zeros));
}
