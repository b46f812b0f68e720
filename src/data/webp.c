/* SPDX-License-Identifier: MIT */
/*
 * WebP to pixels through libwebp; the only file that includes it. Lossy and lossless
 * still pictures; transparency is composited, an Exif orientation is applied. Animations
 * are refused: which of its pictures would be meant? Invariant: the library writes into
 * memory of ours, taken after the sizes were checked.
 */
#include "data/data_int.h"

#include <string.h>
#include <webp/decode.h>

enum { RIFF_HEADER_BYTES = 12, CHUNK_HEADER_BYTES = 8 };

static enum sl_status fail_webp(struct sl_error *err, const struct sl_encoded *encoded,
                                VP8StatusCode code)
{
    switch (code) {
    case VP8_STATUS_NOT_ENOUGH_DATA:
    case VP8_STATUS_SUSPENDED:
        return sl_fail_cut_short(err, encoded, "WebP");
    case VP8_STATUS_OUT_OF_MEMORY:
        return SL_FAIL(err, SL_ERROR_RUN, "%s: out of memory while reading WebP",
                       encoded->name);
    case VP8_STATUS_UNSUPPORTED_FEATURE:
        return sl_fail_damaged(err, encoded, "WebP", "it has a feature that is unknown");
    default:
        return sl_fail_damaged(err, encoded, "WebP", "its bits are not valid");
    }
}

static int64_t little_endian(const unsigned char *bytes)
{
    return bytes[0] | bytes[1] << 8 | bytes[2] << 16 | (int64_t)bytes[3] << 24;
}

/* The container says how long it is; the library would decode what is there of a file
 * that lacks only chunks at its end. */
static bool is_whole(const struct sl_encoded *encoded)
{
    return little_endian(encoded->bytes + 4) + CHUNK_HEADER_BYTES <= encoded->size;
}

static int find_orientation(const struct sl_encoded *encoded)
{
    const unsigned char *bytes = encoded->bytes;
    int64_t at = RIFF_HEADER_BYTES;
    while (at <= encoded->size - CHUNK_HEADER_BYTES) {
        int64_t length = little_endian(bytes + at + 4);
        const unsigned char *content = bytes + at + CHUNK_HEADER_BYTES;
        int64_t left = encoded->size - at - CHUNK_HEADER_BYTES;
        if (memcmp(bytes + at, "EXIF", 4) == 0) {
            return sl_exif_orientation(content, length < left ? length : left);
        }
        at += CHUNK_HEADER_BYTES + length + length % 2;
    }
    return 1;
}

static enum sl_status read_header(struct sl_error *err, const struct sl_encoded *encoded,
                                  WebPDecoderConfig *config)
{
    if (!WebPInitDecoderConfig(config)) {
        return SL_FAIL(err, SL_ERROR_RUN,
                       "the WebP library has another version than the "
                       "one this program was built for");
    }
    VP8StatusCode code =
        WebPGetFeatures(encoded->bytes, (size_t)encoded->size, &config->input);
    if (code != VP8_STATUS_OK) {
        return fail_webp(err, encoded, code);
    }
    if (config->input.has_animation) {
        return SL_FAIL(err, SL_ERROR_DATA,
                       "%s: an animated WebP, which is not read; keep one picture of it",
                       encoded->name);
    }
    SL_TRY(sl_image_check(err, encoded, config->input.height, config->input.width));
    return is_whole(encoded) ? SL_OK : sl_fail_cut_short(err, encoded, "WebP");
}

static enum sl_status decode_webp(struct sl_error *err, const struct sl_encoded *encoded,
                                  struct sl_arena *arena, struct sl_image *image)
{
    WebPDecoderConfig config;
    unsigned char *target = NULL;
    SL_TRY(read_header(err, encoded, &config));
    SL_TRY(sl_image_alloc(err, arena, config.input.height, config.input.width, 3, image));
    int64_t n = (int64_t)image->height * image->width;
    bool has_alpha = config.input.has_alpha != 0;
    int numbers = has_alpha ? 4 : 3;
    target = image->pixels;
    if (has_alpha) {
        SL_TRY(sl_arena_alloc(err, arena, n * numbers, 1, &target));
    }
    config.output.colorspace = has_alpha ? MODE_RGBA : MODE_RGB;
    config.output.is_external_memory = 1;
    config.output.u.RGBA.rgba = target;
    config.output.u.RGBA.stride = image->width * numbers;
    config.output.u.RGBA.size = (size_t)(n * numbers);
    VP8StatusCode code = WebPDecode(encoded->bytes, (size_t)encoded->size, &config);
    WebPFreeDecBuffer(&config.output);
    if (code != VP8_STATUS_OK) {
        return fail_webp(err, encoded, code);
    }
    if (has_alpha) {
        encoded->facts->has_alpha =
            sl_flatten_8(encoded->options, target, n, image->pixels);
    }
    return sl_image_orient(err, arena, find_orientation(encoded), image);
}

const struct sl_decoder sl_decoder_webp = {
    .name = "webp",
    .built = true,
    .matches = sl_is_webp,
    .decode = decode_webp,
};
