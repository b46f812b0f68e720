/* SPDX-License-Identifier: MIT */
/*
 * Stands in for tiff.c in a build without its library: TIFF files are still recognised,
 * so that the message says what is missing instead of "not an image". Invariant: exactly
 * one of the two files is in a build.
 */
#include "data/data_int.h"

static enum sl_status decode_none(struct sl_error *err, const struct sl_encoded *encoded,
                                  struct sl_arena *arena, struct sl_image *image)
{
    (void)arena;
    (void)image;
    return SL_FAIL(err, SL_ERROR_DATA,
                   "%s: a TIFF file, and this build has no TIFF reader", encoded->name);
}

const struct sl_decoder sl_decoder_tiff = {
    .name = "tiff",
    .built = false,
    .matches = sl_is_tiff,
    .decode = decode_none,
};
