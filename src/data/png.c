/* SPDX-License-Identifier: MIT */
/*
 * PNG to RGB through libspng; the only file that includes it. Palette and grey become
 * RGB, 16 bit is rounded to 8, transparency is composited on white, gamma is ignored as
 * other readers of image data sets do. Invariant: what the library may take from memory
 * is bounded by the limits set here.
 */
#include "data/data_int.h"

#include <spng.h>

/* Text and colour-profile chunks have no use here; more than this is an attack. */
enum { MAX_CHUNK_BYTES = 8 * 1024 * 1024, MAX_CHUNK_CACHE = 16 * 1024 * 1024 };

static enum sl_status fail_png(struct sl_error *err, const char *name, int code)
{
    if (code == SPNG_IO_EOF || code == SPNG_EIDAT_TOO_SHORT) {
        return SL_FAIL(err, SL_ERROR_DATA, "%s: damaged PNG: the file is cut short",
                       name);
    }
    if (code == SPNG_EMEM) {
        return SL_FAIL(err, SL_ERROR_RUN, "%s: out of memory while reading PNG", name);
    }
    return SL_FAIL(err, SL_ERROR_DATA, "%s: damaged PNG: %s", name, spng_strerror(code));
}

/* value x alpha + white x (1 - alpha), all in 0..top, rounded to 0..255. */
static unsigned char on_white(int64_t value, int64_t alpha, int64_t top)
{
    int64_t mixed = value * alpha + top * (top - alpha); /* in 0 .. top^2 */
    int64_t whole = top * top;
    return (unsigned char)((mixed * 255 + whole / 2) / whole);
}

static void from_8_bit(const unsigned char *src, int64_t n, unsigned char *dst)
{
    for (int64_t i = 0; i < n; i++) {
        for (int c = 0; c < 3; c++) {
            dst[3 * i + c] = on_white(src[4 * i + c], src[4 * i + 3], 255);
        }
    }
}

static void from_16_bit(const uint16_t *src, int64_t n, unsigned char *dst)
{
    for (int64_t i = 0; i < n; i++) {
        for (int c = 0; c < 3; c++) {
            dst[3 * i + c] = on_white(src[4 * i + c], src[4 * i + 3], 65535);
        }
    }
}

/* Without transparency and with 8 bits, straight into the image; else through four
 * channels. */
static enum sl_status decode_pixels(struct sl_error *err, const char *name,
                                    spng_ctx *context, const struct spng_ihdr *header,
                                    struct sl_arena *arena, struct sl_image *image)
{
    struct spng_trns transparency;
    bool has_alpha =
        (header->color_type & 4) != 0 || spng_get_trns(context, &transparency) == SPNG_OK;
    int format = header->bit_depth == 16 ? SPNG_FMT_RGBA16
                 : has_alpha             ? SPNG_FMT_RGBA8
                                         : SPNG_FMT_RGB8;
    int64_t n = (int64_t)image->height * image->width;
    size_t bytes = 0;
    int code = spng_decoded_image_size(context, format, &bytes);
    if (code != SPNG_OK) {
        return fail_png(err, name, code);
    }
    int64_t pixel_bytes = format == SPNG_FMT_RGBA16  ? 8
                          : format == SPNG_FMT_RGBA8 ? 4
                                                     : 3;
    SL_ASSERT((int64_t)bytes == n * pixel_bytes);
    unsigned char *target = image->pixels;
    if (format != SPNG_FMT_RGB8) {
        SL_TRY(sl_arena_alloc(err, arena, n, (size_t)pixel_bytes, &target));
    }
    code = spng_decode_image(context, target, bytes, format, SPNG_DECODE_TRNS);
    if (code == SPNG_OK) {
        code = spng_decode_chunks(context); /* to the end mark, so that a cut is seen */
    }
    if (code != SPNG_OK) {
        return fail_png(err, name, code);
    }
    if (format == SPNG_FMT_RGBA16) {
        from_16_bit((const uint16_t *)(const void *)target, n, image->pixels);
    } else if (format == SPNG_FMT_RGBA8) {
        from_8_bit(target, n, image->pixels);
    }
    return SL_OK;
}

static enum sl_status decode_context(struct sl_error *err, const char *name,
                                     spng_ctx *context, const unsigned char *bytes,
                                     int64_t size, int64_t max_pixels,
                                     struct sl_arena *arena, struct sl_image *image)
{
    struct spng_ihdr header;
    int code = spng_set_chunk_limits(context, MAX_CHUNK_BYTES, MAX_CHUNK_CACHE);
    if (code == SPNG_OK) { /* a wrong check sum matters where pixels are */
        code = spng_set_crc_action(context, SPNG_CRC_ERROR, SPNG_CRC_DISCARD);
    }
    if (code == SPNG_OK) {
        code = spng_set_png_buffer(context, bytes, (size_t)size);
    }
    if (code == SPNG_OK) {
        code = spng_get_ihdr(context, &header);
    }
    if (code != SPNG_OK) {
        return fail_png(err, name, code);
    }
    SL_TRY(sl_image_check(err, name, header.height, header.width, max_pixels));
    SL_TRY(sl_image_alloc(err, arena, (int)header.height, (int)header.width, 3, image));
    return decode_pixels(err, name, context, &header, arena, image);
}

static enum sl_status decode_png(struct sl_error *err, const char *name,
                                 const unsigned char *bytes, int64_t size,
                                 int64_t max_pixels, struct sl_arena *arena,
                                 struct sl_image *image)
{
    spng_ctx *context = spng_ctx_new(0);
    if (context == NULL) {
        return SL_FAIL(err, SL_ERROR_RUN, "%s: out of memory while reading PNG", name);
    }
    enum sl_status status =
        decode_context(err, name, context, bytes, size, max_pixels, arena, image);
    spng_ctx_free(context);
    return status;
}

const struct sl_decoder sl_decoder_png = {
    .name = "png",
    .built = true,
    .matches = sl_is_png,
    .decode = decode_png,
};
