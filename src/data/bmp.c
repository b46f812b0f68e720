/* SPDX-License-Identifier: MIT */
/*
 * BMP to pixels, without any library: 1, 4, 8, 16, 24 and 32 bit, palettes and bit masks,
 * bottom-up and top-down, headers of OS/2 and of all versions of Windows. Run-length
 * coding and embedded JPEG or PNG are refused by name. Invariant: the header's sizes are
 * checked against the bytes at hand before any pixel is read or any memory taken.
 */
#include "data/data_int.h"

#include <string.h>

enum {
    FILE_HEADER_BYTES = 14,
    CORE_HEADER_BYTES = 12, /* OS/2 1.x */
    INFO_HEADER_BYTES = 40,
    MASKS_END = 52,      /* a header at least this long has three masks inside */
    ALPHA_MASK_END = 56, /* and one at least this long four */
    COLOURS_MOST = 256,
    PLAIN = 0, /* compression */
    RUNS_8 = 1,
    RUNS_4 = 2,
    MASKS = 3,
    ALPHA_MASKS = 6
};

/* One colour inside a pixel of 16 or 32 bit. */
struct field {
    uint32_t mask;
    int shift;
    uint32_t top; /* its largest value; 0 = there is none */
};

struct bmp {
    const struct sl_encoded *encoded;
    int64_t header_bytes, width, height, pixels_at, row_bytes;
    int64_t compression;
    int bits;
    bool is_top_down;
    struct field fields[4]; /* red, green, blue, alpha */
    int n_colours;
    unsigned char palette[COLOURS_MOST][3]; /* red, green, blue */
};

static uint32_t number_at(const struct bmp *bmp, int64_t at, int n_bytes)
{
    uint32_t value = 0;
    SL_ASSERT(at >= 0 && at + n_bytes <= bmp->encoded->size);
    for (int i = n_bytes - 1; i >= 0; i--) {
        value = value << 8 | bmp->encoded->bytes[at + i];
    }
    return value;
}

static int64_t signed_at(const struct bmp *bmp, int64_t at)
{
    uint32_t value = number_at(bmp, at, 4);
    return value < 0x80000000u ? (int64_t)value : (int64_t)value - ((int64_t)1 << 32);
}

static enum sl_status cut_short(struct sl_error *err, const struct bmp *bmp)
{
    return sl_fail_cut_short(err, bmp->encoded, "BMP");
}

/* The letters alone are common words' beginning; the header's length makes it sure. */
static bool matches_bmp(const unsigned char *bytes, int64_t size)
{
    if (size < 2 || bytes[0] != 'B' || bytes[1] != 'M') {
        return false;
    }
    return size < FILE_HEADER_BYTES + 4 ||
           (bytes[14] >= CORE_HEADER_BYTES && bytes[15] == 0 && bytes[16] == 0 &&
            bytes[17] == 0);
}

/* ---- the header -------------------------------------------------------------------- */

static enum sl_status read_sizes(struct sl_error *err, struct bmp *bmp)
{
    int64_t planes = 1;
    if (bmp->encoded->size < FILE_HEADER_BYTES + CORE_HEADER_BYTES) {
        return cut_short(err, bmp);
    }
    bmp->pixels_at = number_at(bmp, 10, 4);
    bmp->header_bytes = number_at(bmp, 14, 4);
    if (bmp->encoded->size < FILE_HEADER_BYTES + bmp->header_bytes) {
        return cut_short(err, bmp);
    }
    if (bmp->header_bytes == CORE_HEADER_BYTES) {
        bmp->width = number_at(bmp, 18, 2);
        bmp->height = number_at(bmp, 20, 2);
        planes = number_at(bmp, 22, 2);
        bmp->bits = (int)number_at(bmp, 24, 2);
    } else if (bmp->header_bytes >= INFO_HEADER_BYTES) {
        bmp->width = signed_at(bmp, 18);
        bmp->height = signed_at(bmp, 22);
        planes = number_at(bmp, 26, 2);
        bmp->bits = (int)number_at(bmp, 28, 2);
        bmp->compression = number_at(bmp, 30, 4);
    } else {
        return sl_fail_damaged(err, bmp->encoded, "BMP",
                               "its header has no known length");
    }
    if (planes != 1) {
        return sl_fail_damaged(err, bmp->encoded, "BMP", "it has not one plane");
    }
    bmp->is_top_down = bmp->height < 0;
    bmp->height = bmp->is_top_down ? -bmp->height : bmp->height;
    return sl_image_check(err, bmp->encoded, bmp->height, bmp->width);
}

static enum sl_status check_coding(struct sl_error *err, const struct bmp *bmp)
{
    const char *name = bmp->encoded->name;
    bool is_known = bmp->bits == 1 || bmp->bits == 4 || bmp->bits == 8 ||
                    bmp->bits == 16 || bmp->bits == 24 || bmp->bits == 32;
    bool has_masks = bmp->compression == MASKS || bmp->compression == ALPHA_MASKS;
    if (bmp->compression == RUNS_8 || bmp->compression == RUNS_4) {
        return SL_FAIL(err, SL_ERROR_DATA,
                       "%s: a run-length coded BMP, which is not read; save it without",
                       name);
    }
    if (bmp->compression != PLAIN && !has_masks) {
        return SL_FAIL(
            err, SL_ERROR_DATA,
            "%s: a BMP of compression %lld, which is not read; save it without", name,
            (long long)bmp->compression);
    }
    if (!is_known || (has_masks && bmp->bits != 16 && bmp->bits != 32)) {
        return SL_FAIL(err, SL_ERROR_DATA,
                       "%s: damaged BMP: %d bits a pixel with compression %lld", name,
                       bmp->bits, (long long)bmp->compression);
    }
    return SL_OK;
}

static struct field field_of(uint32_t mask)
{
    struct field field = {.mask = mask};
    while (mask != 0 && (mask & 1) == 0) {
        mask >>= 1;
        field.shift++;
    }
    field.top = mask;
    return field;
}

/* Masks stand in the header, or behind one of 40 bytes. */
static enum sl_status read_fields(struct sl_error *err, struct bmp *bmp)
{
    static const uint32_t of_16[4] = {0x7c00, 0x3e0, 0x1f, 0};
    static const uint32_t of_32[4] = {0xff0000, 0xff00, 0xff, 0};
    bool has_masks = bmp->compression != PLAIN;
    bool has_alpha =
        bmp->compression == ALPHA_MASKS || bmp->header_bytes >= ALPHA_MASK_END;
    int64_t at = FILE_HEADER_BYTES + INFO_HEADER_BYTES;
    if (has_masks && at + (has_alpha ? 16 : 12) > bmp->encoded->size) {
        return cut_short(err, bmp);
    }
    for (int c = 0; c < 4; c++) {
        uint32_t mask = bmp->bits == 16 ? of_16[c] : of_32[c];
        if (has_masks) {
            mask = c == 3 && !has_alpha ? 0 : number_at(bmp, at + (int64_t)4 * c, 4);
        }
        bmp->fields[c] = field_of(mask);
        uint32_t top = bmp->fields[c].top;
        if ((top & (top + 1)) != 0 || (c < 3 && top == 0)) {
            return sl_fail_damaged(err, bmp->encoded, "BMP",
                                   "a colour mask is empty or has gaps");
        }
    }
    return SL_OK;
}

static enum sl_status read_palette(struct sl_error *err, struct bmp *bmp)
{
    bool is_core = bmp->header_bytes == CORE_HEADER_BYTES;
    int64_t entry = is_core ? 3 : 4, at = FILE_HEADER_BYTES + bmp->header_bytes;
    int64_t n = (int64_t)1 << bmp->bits;
    int64_t stated = is_core ? 0 : number_at(bmp, 46, 4);
    n = stated > 0 && stated < n ? stated : n;
    /* Some writers state no number and store fewer: up to the pixels. */
    if (bmp->pixels_at > at && (bmp->pixels_at - at) / entry < n) {
        n = (bmp->pixels_at - at) / entry;
    }
    if (at + n * entry > bmp->encoded->size) {
        return cut_short(err, bmp);
    }
    for (int64_t i = 0; i < n; i++) {
        for (int c = 0; c < 3; c++) {
            bmp->palette[i][c] = bmp->encoded->bytes[at + i * entry + 2 - c];
        }
    }
    bmp->n_colours = (int)n;
    return SL_OK;
}

static enum sl_status read_header(struct sl_error *err, struct bmp *bmp)
{
    SL_TRY(read_sizes(err, bmp));
    SL_TRY(check_coding(err, bmp));
    if (bmp->bits <= 8) {
        SL_TRY(read_palette(err, bmp));
    } else if (bmp->bits != 24) {
        SL_TRY(read_fields(err, bmp));
    }
    bmp->row_bytes = (bmp->width * bmp->bits + 31) / 32 * 4;
    /* The last row's filling may be missing; its pixels may not. */
    int64_t last_row = (bmp->width * bmp->bits + 7) / 8;
    int64_t least = bmp->row_bytes * (bmp->height - 1) + last_row;
    if (bmp->pixels_at < FILE_HEADER_BYTES + bmp->header_bytes ||
        bmp->pixels_at > bmp->encoded->size - least) {
        return cut_short(err, bmp);
    }
    return SL_OK;
}

/* ---- the pixels -------------------------------------------------------------------- */

static const unsigned char *row_of(const struct bmp *bmp, int64_t y)
{
    int64_t stored = bmp->is_top_down ? y : bmp->height - 1 - y;
    return bmp->encoded->bytes + bmp->pixels_at + stored * bmp->row_bytes;
}

static enum sl_status read_indexed(struct sl_error *err, const struct bmp *bmp,
                                   unsigned char *dst)
{
    int per_byte = 8 / bmp->bits, mask = (1 << bmp->bits) - 1;
    for (int64_t y = 0; y < bmp->height; y++) {
        const unsigned char *row = row_of(bmp, y);
        for (int64_t x = 0; x < bmp->width; x++, dst += 3) {
            int shift = (int)(per_byte - 1 - x % per_byte) * bmp->bits;
            int index = row[x / per_byte] >> shift & mask;
            if (index >= bmp->n_colours) {
                return sl_fail_damaged(err, bmp->encoded, "BMP",
                                       "a pixel has a colour that is not in the palette");
            }
            memcpy(dst, bmp->palette[index], 3);
        }
    }
    return SL_OK;
}

static void read_24(const struct bmp *bmp, unsigned char *dst)
{
    for (int64_t y = 0; y < bmp->height; y++) {
        const unsigned char *src = row_of(bmp, y);
        for (int64_t x = 0; x < bmp->width; x++, src += 3, dst += 3) {
            dst[0] = src[2];
            dst[1] = src[1];
            dst[2] = src[0];
        }
    }
}

static unsigned char value_of(const struct field *field, uint32_t pixel)
{
    uint64_t value = (pixel & field->mask) >> field->shift;
    return (unsigned char)((value * 255 + field->top / 2) / field->top);
}

/* 16 and 32 bit, into red, green, blue, alpha. An alpha of nothing but zeros was not
 * meant: many writers leave the fourth byte empty. */
static void read_fielded(const struct bmp *bmp, unsigned char *rgba)
{
    bool has_alpha = false;
    unsigned char *dst = rgba;
    int bytes = bmp->bits / 8;
    for (int64_t y = 0; y < bmp->height; y++) {
        const unsigned char *src = row_of(bmp, y);
        for (int64_t x = 0; x < bmp->width; x++, src += bytes, dst += 4) {
            uint32_t pixel = (uint32_t)src[0] | (uint32_t)src[1] << 8;
            pixel |= bytes == 4 ? (uint32_t)src[2] << 16 | (uint32_t)src[3] << 24 : 0;
            for (int c = 0; c < 3; c++) {
                dst[c] = value_of(&bmp->fields[c], pixel);
            }
            dst[3] = bmp->fields[3].top > 0 ? value_of(&bmp->fields[3], pixel) : 0;
            has_alpha = has_alpha || dst[3] > 0;
        }
    }
    for (int64_t i = 0; !has_alpha && i < bmp->height * bmp->width; i++) {
        rgba[4 * i + 3] = 255;
    }
}

static enum sl_status decode_bmp(struct sl_error *err, const struct sl_encoded *encoded,
                                 struct sl_arena *arena, struct sl_image *image)
{
    struct bmp bmp = {.encoded = encoded};
    SL_TRY(read_header(err, &bmp));
    SL_TRY(sl_image_alloc(err, arena, (int)bmp.height, (int)bmp.width, 3, image));
    if (bmp.bits <= 8) {
        return read_indexed(err, &bmp, image->pixels);
    }
    if (bmp.bits == 24) {
        read_24(&bmp, image->pixels);
        return SL_OK;
    }
    unsigned char *rgba = NULL;
    int64_t n = bmp.height * bmp.width;
    SL_TRY(sl_arena_alloc(err, arena, n, 4, &rgba));
    read_fielded(&bmp, rgba);
    encoded->facts->has_alpha = sl_flatten_8(encoded->options, rgba, n, image->pixels);
    return SL_OK;
}

const struct sl_decoder sl_decoder_bmp = {
    .name = "bmp",
    .built = true,
    .matches = matches_bmp,
    .decode = decode_bmp,
};
