/* SPDX-License-Identifier: MIT */
/*
 * Stands in for jpeg_write.c in a build without libjpeg. Invariant: exactly one of the
 * two files is in a build.
 */
#include "data/data_int.h"

enum sl_status sl_jpeg_encode(struct sl_error *err, const struct sl_image *image,
                              int quality, struct sl_text *out)
{
    (void)image;
    (void)quality;
    (void)out;
    return SL_FAIL(err, SL_ERROR_USAGE,
                   "this build writes no JPEG (libjpeg was left out); build with it to "
                   "pack pictures");
}
