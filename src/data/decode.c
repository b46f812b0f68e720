/* SPDX-License-Identifier: MIT */
/*
 * Bytes to pixels: recognises the format by content, applies the limits, and hands the
 * work to one decoder. File names decide nothing here; they only appear in messages.
 * Invariant: no pixel memory is taken before a header's sizes have passed sl_image_check.
 */
#include "data/data_int.h"

#include <string.h>

enum { MAX_PIXELS = 100 * 1000 * 1000, MAX_BYTES = 256 * 1024 * 1024 };

static const struct sl_decoder *const decoders[] = {
    &sl_decoder_jpeg,
    &sl_decoder_png,
    &sl_decoder_pnm,
};

/* Formats that are recognised only to be named in the message. */
struct foreign {
    const char *name;
    int64_t offset;
    const char *magic;
};
static const struct foreign foreigners[] = {
    {"WebP", 8, "WEBP"},   {"GIF", 0, "GIF8"},       {"BMP", 0, "BM"},
    {"TIFF", 0, "II*"},    {"TIFF", 0, "MM"},        {"AVIF", 4, "ftypavif"},
    {"HEIF", 4, "ftyphe"}, {"JPEG XL", 4, "JXL "},   {"PDF", 0, "%PDF"},
    {"SVG", 0, "<svg"},    {"HTML", 0, "<!DOCTYPE"}, {"gzip", 0, "\x1f\x8b"},
};

bool sl_is_jpeg(const unsigned char *bytes, int64_t size)
{
    return size >= 3 && bytes[0] == 0xff && bytes[1] == 0xd8 && bytes[2] == 0xff;
}

bool sl_is_png(const unsigned char *bytes, int64_t size)
{
    static const unsigned char magic[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    return size >= 8 && memcmp(bytes, magic, 8) == 0;
}

enum sl_status sl_image_alloc(struct sl_error *err, struct sl_arena *arena, int height,
                              int width, int channels, struct sl_image *image)
{
    int64_t count = 0;
    if (!sl_mul_checked(height, width, &count) ||
        !sl_mul_checked(count, channels, &count)) {
        return SL_FAIL(err, SL_ERROR_RUN, "an image of %d x %d pixels is too large",
                       height, width);
    }
    SL_TRY(sl_arena_alloc(err, arena, count, 1, &image->pixels));
    image->height = height;
    image->width = width;
    image->channels = channels;
    return SL_OK;
}

enum sl_status sl_image_check(struct sl_error *err, const char *name, int64_t height,
                              int64_t width, int64_t max_pixels)
{
    if (height < 1 || width < 1) {
        return SL_FAIL(err, SL_ERROR_DATA,
                       "%s: damaged image: its header says %lld x %lld", name,
                       (long long)width, (long long)height);
    }
    int64_t pixels = 0;
    if (height > INT32_MAX || width > INT32_MAX ||
        !sl_mul_checked(height, width, &pixels) || pixels > max_pixels) {
        return SL_FAIL(err, SL_ERROR_DATA,
                       "%s: %lld x %lld pixels is more than the limit of %lld", name,
                       (long long)width, (long long)height, (long long)max_pixels);
    }
    return SL_OK;
}

static const char *foreign_name(const unsigned char *bytes, int64_t size)
{
    for (int i = 0; i < SL_COUNT(foreigners); i++) {
        const struct foreign *f = &foreigners[i];
        size_t length = strlen(f->magic);
        if (size - f->offset >= (int64_t)length &&
            memcmp(bytes + f->offset, f->magic, length) == 0) {
            return f->name;
        }
    }
    return NULL;
}

static bool is_text(const unsigned char *bytes, int64_t size)
{
    int64_t n = size < 256 ? size : 256;
    for (int64_t i = 0; i < n; i++) {
        if (bytes[i] < 0x20 && bytes[i] != '\n' && bytes[i] != '\r' && bytes[i] != '\t') {
            return false;
        }
    }
    return true;
}

static enum sl_status fail_unknown(struct sl_error *err, const char *name,
                                   const unsigned char *bytes, int64_t size)
{
    const char *foreign = foreign_name(bytes, size);
    if (foreign != NULL) {
        return SL_FAIL(err, SL_ERROR_DATA,
                       "%s: its content is %s, which is not read (formats: %s)", name,
                       foreign, sl_decode_formats());
    }
    if (is_text(bytes, size)) {
        return SL_FAIL(err, SL_ERROR_DATA,
                       "%s: not an image: its content is text (formats: %s)", name,
                       sl_decode_formats());
    }
    return SL_FAIL(err, SL_ERROR_DATA,
                   "%s: not an image of a known format: it begins with byte 0x%02x "
                   "(formats: %s)",
                   name, bytes[0], sl_decode_formats());
}

int64_t sl_limit_bytes(const struct sl_decode_limits *limits)
{
    return limits != NULL && limits->max_bytes > 0 ? limits->max_bytes : MAX_BYTES;
}

enum sl_status sl_decode(struct sl_error *err, const char *name,
                         const unsigned char *bytes, int64_t size,
                         const struct sl_decode_limits *limits, struct sl_arena *arena,
                         struct sl_image *image)
{
    int64_t max_pixels =
        limits != NULL && limits->max_pixels > 0 ? limits->max_pixels : MAX_PIXELS;
    int64_t max_bytes = sl_limit_bytes(limits);
    *image = (struct sl_image){0};
    if (size <= 0) {
        return SL_FAIL(err, SL_ERROR_DATA, "%s: empty file (0 bytes)", name);
    }
    if (size > max_bytes) {
        return SL_FAIL(err, SL_ERROR_DATA,
                       "%s: %lld bytes is more than the limit of %lld", name,
                       (long long)size, (long long)max_bytes);
    }
    for (int i = 0; i < SL_COUNT(decoders); i++) {
        if (decoders[i]->matches(bytes, size)) {
            return decoders[i]->decode(err, name, bytes, size, max_pixels, arena, image);
        }
    }
    return fail_unknown(err, name, bytes, size);
}

const char *sl_decode_formats(void)
{
    static const char *const texts[4] = {"pnm", "jpeg pnm", "png pnm", "jpeg png pnm"};
    return texts[(sl_decoder_jpeg.built ? 1 : 0) + (sl_decoder_png.built ? 2 : 0)];
}
