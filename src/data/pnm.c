/* SPDX-License-Identifier: MIT */
/*
 * Binary PNM (P5 grey, P6 colour; 8 or 16 bit) to RGB, without any library: what is left
 * to read pictures on a bare machine. Invariant: the header's sizes are checked against
 * the bytes at hand before any is read.
 */
#include "data/data_int.h"

static bool matches_pnm(const unsigned char *bytes, int64_t size)
{
    return size >= 3 && bytes[0] == 'P' && (bytes[1] == '5' || bytes[1] == '6') &&
           (bytes[2] == '#' || bytes[2] == ' ' || bytes[2] == '\t' || bytes[2] == '\n' ||
            bytes[2] == '\r');
}

static bool is_space(unsigned char byte)
{
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

/* A decimal number after white space and comments; false when there is none or it is
 * absurd. */
static bool header_number(const unsigned char *bytes, int64_t size, int64_t *at,
                          int64_t *value)
{
    while (*at < size && (is_space(bytes[*at]) || bytes[*at] == '#')) {
        if (bytes[*at] == '#') {
            while (*at < size && bytes[*at] != '\n' && bytes[*at] != '\r') {
                (*at)++;
            }
        } else {
            (*at)++;
        }
    }
    int digits = 0;
    *value = 0;
    while (*at < size && bytes[*at] >= '0' && bytes[*at] <= '9' && digits < 10) {
        *value = *value * 10 + (bytes[*at] - '0');
        (*at)++;
        digits++;
    }
    return digits > 0 && digits < 10;
}

static enum sl_status decode_pnm(struct sl_error *err, const char *name,
                                 const unsigned char *bytes, int64_t size,
                                 int64_t max_pixels, struct sl_arena *arena,
                                 struct sl_image *image)
{
    int64_t at = 2, width = 0, height = 0, top = 0;
    bool is_good = header_number(bytes, size, &at, &width) &&
                   header_number(bytes, size, &at, &height) &&
                   header_number(bytes, size, &at, &top) && at < size &&
                   is_space(bytes[at]);
    if (!is_good || top < 1 || top > 65535) {
        return SL_FAIL(
            err, SL_ERROR_DATA,
            "%s: damaged PNM: the header is not width, height and 1 <= maximum "
            "<= 65535",
            name);
    }
    at++;
    SL_TRY(sl_image_check(err, name, height, width, max_pixels));
    int channels = bytes[1] == '6' ? 3 : 1;
    int64_t wide = top > 255 ? 2 : 1;
    if (size - at < height * width * channels * wide) {
        return SL_FAIL(err, SL_ERROR_DATA, "%s: damaged PNM: the file is cut short",
                       name);
    }
    SL_TRY(sl_image_alloc(err, arena, (int)height, (int)width, 3, image));
    const unsigned char *src = bytes + at;
    for (int64_t i = 0; i < height * width * 3; i++) {
        int64_t from = (channels == 3 ? i : i / 3) * wide;
        int64_t value = wide == 2 ? src[from] * 256 + src[from + 1] : src[from];
        value = value > top ? top : value;
        image->pixels[i] = (unsigned char)((value * 255 + top / 2) / top);
    }
    return SL_OK;
}

const struct sl_decoder sl_decoder_pnm = {
    .name = "pnm",
    .built = true,
    .matches = matches_pnm,
    .decode = decode_pnm,
};
