/* SPDX-License-Identifier: MIT */
/*
 * Stands in for png_write.c in a build without its library. Invariant: exactly one of the
 * two files is in a build.
 */
#include "data/data_int.h"

bool sl_png_is_written(void)
{
    return false;
}

enum sl_status sl_png_write(struct sl_error *err, const char *path,
                            const struct sl_image *image)
{
    (void)image;
    return SL_FAIL(err, SL_ERROR_USAGE,
                   "%s: this build has no PNG writer; build it with libspng", path);
}

enum sl_status sl_png_encode(struct sl_error *err, const struct sl_image *image,
                             struct sl_text *bytes)
{
    (void)image;
    (void)bytes;
    return SL_FAIL(err, SL_ERROR_USAGE,
                   "this build has no PNG writer; build it with libspng");
}
