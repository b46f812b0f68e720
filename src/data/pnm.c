/* SPDX-License-Identifier: MIT */
/*
 * PNM to pixels: P1 to P6, that is bits, grey and colour, written in digits or in bytes,
 * up to 16 bit. Without any library: what is left to read pictures on a bare machine.
 * Invariant: the header's sizes are checked against the bytes at hand before any pixel is
 * read or any memory taken.
 */
#include "data/data_int.h"

#include <string.h>

/* One file being read. */
struct pnm {
    const struct sl_encoded *encoded;
    int64_t at; /* of the next byte */
    int64_t width, height, top;
    bool is_bits, is_plain; /* P1 P4; P1 P2 P3 */
    int channels;
};

static bool is_space(unsigned char byte)
{
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

static bool matches_pnm(const unsigned char *bytes, int64_t size)
{
    return size >= 3 && bytes[0] == 'P' && bytes[1] >= '1' && bytes[1] <= '6' &&
           (bytes[2] == '#' || is_space(bytes[2]));
}

/* Past white space and comments. */
static void skip_space(struct pnm *pnm)
{
    const unsigned char *bytes = pnm->encoded->bytes;
    int64_t size = pnm->encoded->size;
    while (pnm->at < size && (is_space(bytes[pnm->at]) || bytes[pnm->at] == '#')) {
        if (bytes[pnm->at] == '#') {
            while (pnm->at < size && bytes[pnm->at] != '\n' && bytes[pnm->at] != '\r') {
                pnm->at++;
            }
        } else {
            pnm->at++;
        }
    }
}

/* A decimal number; false when there is none or it is absurd. */
static bool take_number(struct pnm *pnm, int64_t *value)
{
    const unsigned char *bytes = pnm->encoded->bytes;
    int digits = 0;
    skip_space(pnm);
    *value = 0;
    while (pnm->at < pnm->encoded->size && bytes[pnm->at] >= '0' &&
           bytes[pnm->at] <= '9' && digits < 10) {
        *value = *value * 10 + (bytes[pnm->at] - '0');
        pnm->at++;
        digits++;
    }
    return digits > 0 && digits < 10;
}

static enum sl_status read_header(struct sl_error *err, struct pnm *pnm)
{
    char kind = (char)pnm->encoded->bytes[1];
    pnm->at = 2;
    pnm->is_plain = kind <= '3';
    pnm->is_bits = kind == '1' || kind == '4';
    pnm->channels = kind == '3' || kind == '6' ? 3 : 1;
    pnm->top = 1;
    bool is_good = take_number(pnm, &pnm->width) && take_number(pnm, &pnm->height) &&
                   (pnm->is_bits || take_number(pnm, &pnm->top)) &&
                   pnm->at < pnm->encoded->size && is_space(pnm->encoded->bytes[pnm->at]);
    if (!is_good || pnm->top < 1 || pnm->top > 65535) {
        return sl_fail_damaged(err, pnm->encoded, "PNM",
                               "the header is not width, height and 1 <= maximum "
                               "<= 65535");
    }
    pnm->at++;
    return sl_image_check(err, pnm->encoded, pnm->height, pnm->width);
}

/* The least bytes that can hold the picture; a digit each when plain, and a space between
 * numbers. */
static int64_t bytes_needed(const struct pnm *pnm)
{
    int64_t numbers = pnm->width * pnm->height * pnm->channels;
    if (pnm->is_bits) {
        return pnm->is_plain ? numbers : (pnm->width + 7) / 8 * pnm->height;
    }
    if (pnm->is_plain) {
        return 2 * numbers - 1;
    }
    return pnm->top > 255 ? 2 * numbers : numbers;
}

static unsigned char scaled(const struct pnm *pnm, int64_t value)
{
    return (unsigned char)((value * 255 + pnm->top / 2) / pnm->top);
}

/* A set bit is black. */
static void read_packed_bits(const struct pnm *pnm, unsigned char *dst)
{
    int64_t row_bytes = (pnm->width + 7) / 8;
    const unsigned char *src = pnm->encoded->bytes + pnm->at;
    for (int64_t y = 0; y < pnm->height; y++, src += row_bytes) {
        for (int64_t x = 0; x < pnm->width; x++) {
            *dst++ = (src[x / 8] >> (7 - x % 8) & 1) != 0 ? 0 : 255;
        }
    }
}

static void read_bytes(const struct pnm *pnm, int64_t n, unsigned char *dst)
{
    const unsigned char *src = pnm->encoded->bytes + pnm->at;
    unsigned char levels[256];
    if (pnm->top == 255) {
        memcpy(dst, src, (size_t)n);
        return;
    }
    for (int64_t v = 0; v < 256; v++) {
        levels[v] = scaled(pnm, v > pnm->top ? pnm->top : v);
    }
    for (int64_t i = 0; i < n; i++) {
        dst[i] = levels[src[i]];
    }
}

static void read_packed(const struct pnm *pnm, int64_t n, unsigned char *dst)
{
    const unsigned char *src = pnm->encoded->bytes + pnm->at;
    if (pnm->top <= 255) {
        read_bytes(pnm, n, dst);
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        int64_t value = src[2 * i] * 256 + src[2 * i + 1];
        dst[i] = scaled(pnm, value > pnm->top ? pnm->top : value);
    }
}

static enum sl_status read_plain_bits(struct sl_error *err, struct pnm *pnm, int64_t n,
                                      unsigned char *dst)
{
    for (int64_t i = 0; i < n; i++) {
        skip_space(pnm);
        if (pnm->at >= pnm->encoded->size) {
            return sl_fail_cut_short(err, pnm->encoded, "PNM");
        }
        unsigned char digit = pnm->encoded->bytes[pnm->at++];
        if (digit != '0' && digit != '1') {
            return sl_fail_damaged(err, pnm->encoded, "PNM", "a bit is not 0 or 1");
        }
        dst[i] = digit == '1' ? 0 : 255;
    }
    return SL_OK;
}

static enum sl_status read_plain(struct sl_error *err, struct pnm *pnm, int64_t n,
                                 unsigned char *dst)
{
    for (int64_t i = 0; i < n; i++) {
        int64_t value = 0;
        bool is_good = take_number(pnm, &value) && value <= pnm->top;
        if (!is_good && pnm->at >= pnm->encoded->size) {
            return sl_fail_cut_short(err, pnm->encoded, "PNM");
        }
        if (!is_good) {
            return sl_fail_damaged(err, pnm->encoded, "PNM",
                                   "a number is above the maximum, or is none");
        }
        dst[i] = scaled(pnm, value);
    }
    return SL_OK;
}

static enum sl_status decode_pnm(struct sl_error *err, const struct sl_encoded *encoded,
                                 struct sl_arena *arena, struct sl_image *image)
{
    struct pnm pnm = {.encoded = encoded};
    SL_TRY(read_header(err, &pnm));
    if (encoded->size - pnm.at < bytes_needed(&pnm)) {
        return sl_fail_cut_short(err, encoded, "PNM");
    }
    SL_TRY(
        sl_image_alloc(err, arena, (int)pnm.height, (int)pnm.width, pnm.channels, image));
    encoded->facts->is_deep = pnm.top > 255;
    int64_t n = pnm.height * pnm.width * pnm.channels;
    if (pnm.is_plain) {
        return pnm.is_bits ? read_plain_bits(err, &pnm, n, image->pixels)
                           : read_plain(err, &pnm, n, image->pixels);
    }
    if (pnm.is_bits) {
        read_packed_bits(&pnm, image->pixels);
    } else {
        read_packed(&pnm, n, image->pixels);
    }
    return SL_OK;
}

const struct sl_decoder sl_decoder_pnm = {
    .name = "pnm",
    .built = true,
    .matches = matches_pnm,
    .decode = decode_pnm,
};
