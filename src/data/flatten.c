/* SPDX-License-Identifier: MIT */
/*
 * What every decoder needs at its end: depths above 8 bit, transparency and ink become
 * opaque 8-bit light, because everything after decoding works on 8-bit pixels. Pure
 * functions of numbers. Invariant: each rounds once, to the nearest level; transparency
 * of 16 bit is composited before it is rounded.
 */
#include "data/data_int.h"

void sl_narrow(const uint16_t *src, int64_t n, unsigned char *dst)
{
    for (int64_t i = 0; i < n; i++) {
        dst[i] = (unsigned char)((src[i] + 128u) / 257u); /* v x 255 / 65535 */
    }
}

/* value x alpha + below x (1 - alpha), all in 0..top, rounded to 0..255. */
static unsigned char composite(int64_t value, int64_t alpha, int64_t below, int64_t top)
{
    int64_t mixed = value * alpha + below * (top - alpha); /* in 0 .. top^2 */
    int64_t whole = top * top;
    return (unsigned char)((mixed * 255 + whole / 2) / whole);
}

bool sl_flatten_8(const struct sl_decode_options *options, const unsigned char *rgba,
                  int64_t n, unsigned char *rgb)
{
    bool has_alpha = false;
    for (int64_t i = 0; i < n; i++, rgba += 4, rgb += 3) {
        int alpha = options->alpha_ignored ? 255 : rgba[3];
        has_alpha = has_alpha || rgba[3] < 255;
        for (int c = 0; c < 3; c++) {
            rgb[c] = alpha == 255 ? rgba[c]
                                  : composite(rgba[c], alpha, options->alpha_on[c], 255);
        }
    }
    return has_alpha;
}

bool sl_flatten_16(const struct sl_decode_options *options, const uint16_t *rgba,
                   int64_t n, unsigned char *rgb)
{
    bool has_alpha = false;
    for (int64_t i = 0; i < n; i++, rgba += 4, rgb += 3) {
        int64_t alpha = options->alpha_ignored ? 65535 : rgba[3];
        has_alpha = has_alpha || rgba[3] < 65535;
        for (int c = 0; c < 3; c++) {
            int64_t below = (int64_t)options->alpha_on[c] * 257;
            rgb[c] = composite(rgba[c], alpha, below, 65535);
        }
    }
    return has_alpha;
}

void sl_from_cmyk(const unsigned char *cmyk, int64_t n, unsigned char *rgb)
{
    for (int64_t i = 0; i < n; i++, cmyk += 4, rgb += 3) {
        int light = 255 - cmyk[3];
        for (int c = 0; c < 3; c++) {
            rgb[c] = (unsigned char)(light - (cmyk[c] * light + 127) / 255);
        }
    }
}
