/* SPDX-License-Identifier: MIT */
/*
 * Bytes to pixels: recognises the format by content, applies the limits, and hands the
 * work to one decoder. File names decide nothing here; they only appear in messages.
 * Invariant: no pixel memory is taken before a header's sizes have passed sl_image_check.
 */
#include "data/data_int.h"

#include <string.h>

enum { MAX_PIXELS = 100 * 1000 * 1000, MAX_BYTES = 256 * 1024 * 1024, MAX_SIDE = 65535 };

static const struct sl_decoder *const decoders[] = {
    &sl_decoder_jpeg, &sl_decoder_png, &sl_decoder_webp,
    &sl_decoder_tiff, &sl_decoder_bmp, &sl_decoder_pnm,
};

/* Formats that are recognised only to be named in the message. */
struct foreign {
    const char *name;
    int64_t offset;
    const char *magic;
};
static const struct foreign foreigners[] = {
    {"GIF", 0, "GIF8"},       {"AVIF", 4, "ftypavif"}, {"HEIF", 4, "ftyphe"},
    {"HEIF", 4, "ftypmif"},   {"JPEG XL", 4, "JXL "},  {"JPEG XL", 0, "\xff\x0a"},
    {"JPEG 2000", 4, "jP  "}, {"PDF", 0, "%PDF"},      {"SVG", 0, "<svg"},
    {"HTML", 0, "<!DOCTYPE"}, {"PAM", 0, "P7\n"},      {"gzip", 0, "\x1f\x8b"},
    {"Photoshop", 0, "8BPS"},
};

/* ---- recognising ------------------------------------------------------------------- */

bool sl_is_jpeg(const unsigned char *bytes, int64_t size)
{
    return size >= 3 && bytes[0] == 0xff && bytes[1] == 0xd8 && bytes[2] == 0xff;
}

bool sl_is_png(const unsigned char *bytes, int64_t size)
{
    static const unsigned char magic[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    return size >= 8 && memcmp(bytes, magic, 8) == 0;
}

bool sl_is_webp(const unsigned char *bytes, int64_t size)
{
    return size >= 12 && memcmp(bytes, "RIFF", 4) == 0 &&
           memcmp(bytes + 8, "WEBP", 4) == 0;
}

/* Classic and big TIFF, in both byte orders. */
bool sl_is_tiff(const unsigned char *bytes, int64_t size)
{
    static const char *const magics[4] = {"II*\0", "MM\0*", "II+\0", "MM\0+"};
    for (int i = 0; i < 4 && size >= 4; i++) {
        if (memcmp(bytes, magics[i], 4) == 0) {
            return true;
        }
    }
    return false;
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

const char *sl_decode_format(int i, bool *is_built)
{
    if (i >= SL_COUNT(decoders)) {
        return NULL;
    }
    *is_built = decoders[i]->built;
    return decoders[i]->name;
}

void sl_decode_formats(char *dst, size_t size)
{
    size_t length = 0;
    dst[0] = '\0';
    for (int i = 0; i < SL_COUNT(decoders); i++) {
        if (decoders[i]->built && length < size) {
            length += (size_t)snprintf(dst + length, size - length, "%s%s",
                                       length > 0 ? " " : "", decoders[i]->name);
        }
    }
}

static enum sl_status fail_unknown(struct sl_error *err, const char *name,
                                   const unsigned char *bytes, int64_t size)
{
    const char *foreign = foreign_name(bytes, size);
    char formats[SL_FORMATS_BYTES];
    sl_decode_formats(formats, sizeof(formats));
    if (foreign != NULL) {
        return SL_FAIL(err, SL_ERROR_DATA,
                       "%s: its content is %s, which is not read (formats: %s)", name,
                       foreign, formats);
    }
    if (is_text(bytes, size)) {
        return SL_FAIL(err, SL_ERROR_DATA,
                       "%s: not an image: its content is text (formats: %s)", name,
                       formats);
    }
    return SL_FAIL(err, SL_ERROR_DATA,
                   "%s: not an image of a known format: it begins with byte 0x%02x "
                   "(formats: %s)",
                   name, bytes[0], formats);
}

/* ---- limits and messages ----------------------------------------------------------- */

enum sl_status sl_image_check(struct sl_error *err, const struct sl_encoded *encoded,
                              int64_t height, int64_t width)
{
    const struct sl_decode_options *options = encoded->options;
    if (height < 1 || width < 1) {
        return SL_FAIL(err, SL_ERROR_DATA,
                       "%s: damaged image: its header says %lld x %lld", encoded->name,
                       (long long)width, (long long)height);
    }
    if (height > options->max_side || width > options->max_side) {
        return SL_FAIL(err, SL_ERROR_DATA,
                       "%s: a side of %lld x %lld pixels is more than the limit of %lld; "
                       "raise --max-side or leave the file out",
                       encoded->name, (long long)width, (long long)height,
                       (long long)options->max_side);
    }
    int64_t pixels = 0;
    if (!sl_mul_checked(height, width, &pixels) || pixels > options->max_pixels) {
        return SL_FAIL(err, SL_ERROR_DATA,
                       "%s: %lld x %lld pixels is more than the limit of %lld; raise "
                       "--max-pixels or leave the file out",
                       encoded->name, (long long)width, (long long)height,
                       (long long)options->max_pixels);
    }
    return SL_OK;
}

enum sl_status sl_bytes_check(struct sl_error *err, const char *name, int64_t size,
                              const struct sl_decode_options *options)
{
    int64_t most =
        options != NULL && options->max_bytes > 0 ? options->max_bytes : MAX_BYTES;
    if (size > most) {
        return SL_FAIL(err, SL_ERROR_DATA,
                       "%s: %lld bytes is more than the limit of %lld; raise --max-bytes "
                       "or leave the file out",
                       name, (long long)size, (long long)most);
    }
    return SL_OK;
}

enum sl_status sl_fail_damaged(struct sl_error *err, const struct sl_encoded *encoded,
                               const char *format, const char *what)
{
    return SL_FAIL(err, SL_ERROR_DATA, "%s: damaged %s: %s", encoded->name, format, what);
}

enum sl_status sl_fail_cut_short(struct sl_error *err, const struct sl_encoded *encoded,
                                 const char *format)
{
    return sl_fail_damaged(err, encoded, format, "the file is cut short");
}

/* Messages begin with the picture's name, where one line must stay one: a control
 * character became a space. */
const char *sl_without_name(const char *message, const char *name)
{
    size_t length = strlen(name);
    for (size_t i = 0; i < length; i++) {
        bool is_space = (unsigned char)name[i] < 0x20 && message[i] == ' ';
        if (message[i] != name[i] && !is_space) {
            return message;
        }
    }
    return strncmp(message + length, ": ", 2) == 0 ? message + length + 2 : message;
}

static struct sl_decode_options filled_in(const struct sl_decode_options *options)
{
    struct sl_decode_options all = {0};
    if (options != NULL) {
        all = *options;
    }
    all.max_pixels = all.max_pixels > 0 ? all.max_pixels : MAX_PIXELS;
    all.max_bytes = all.max_bytes > 0 ? all.max_bytes : MAX_BYTES;
    all.max_side = all.max_side > 0 ? all.max_side : MAX_SIDE;
    all.channels = all.channels > 0 ? all.channels : 3;
    SL_ASSERT(all.channels == 1 || all.channels == 3);
    SL_ASSERT(all.max_side <= INT32_MAX);
    if (!all.alpha_chosen) {
        memset(all.alpha_on, 255, sizeof(all.alpha_on));
    }
    return all;
}

/* ---- pixels ------------------------------------------------------------------------ */

static enum sl_status alloc(struct sl_error *err, struct sl_arena *arena, int height,
                            int width, int channels, bool is_cleared,
                            struct sl_image *image)
{
    int64_t count = 0;
    if (!sl_mul_checked(height, width, &count) ||
        !sl_mul_checked(count, channels, &count)) {
        return SL_FAIL(err, SL_ERROR_RUN, "an image of %d x %d pixels is too large",
                       height, width);
    }
    SL_TRY(is_cleared ? sl_arena_alloc(err, arena, count, 1, &image->pixels)
                      : sl_arena_alloc_dirty(err, arena, count, 1, &image->pixels));
    image->height = height;
    image->width = width;
    image->channels = channels;
    return SL_OK;
}

enum sl_status sl_image_alloc(struct sl_error *err, struct sl_arena *arena, int height,
                              int width, int channels, struct sl_image *image)
{
    return alloc(err, arena, height, width, channels, true, image);
}

enum sl_status sl_image_alloc_dirty(struct sl_error *err, struct sl_arena *arena,
                                    int height, int width, int channels,
                                    struct sl_image *image)
{
    return alloc(err, arena, height, width, channels, false, image);
}

struct sl_window sl_window_whole(const struct sl_image *image)
{
    return (struct sl_window){
        .height = image->height, .width = image->width, .eighths = 8};
}

enum sl_status sl_decode(struct sl_error *err, const char *name,
                         const unsigned char *bytes, int64_t size,
                         const struct sl_decode_options *options, struct sl_arena *arena,
                         struct sl_image *image)
{
    struct sl_decode_options all = filled_in(options);
    struct sl_file_facts unasked = {0};
    struct sl_encoded encoded = {.name = name,
                                 .bytes = bytes,
                                 .size = size,
                                 .options = &all,
                                 .facts = all.facts != NULL ? all.facts : &unasked};
    *image = (struct sl_image){0};
    *encoded.facts = (struct sl_file_facts){0};
    if (size <= 0) {
        return SL_FAIL(err, SL_ERROR_DATA, "%s: empty file (0 bytes)", name);
    }
    SL_TRY(sl_bytes_check(err, name, size, &all));
    for (int i = 0; i < SL_COUNT(decoders); i++) {
        if (decoders[i]->matches(bytes, size)) {
            if (all.part != NULL) {
                all.part->window = (struct sl_window){0};
            }
            encoded.facts->format = decoders[i]->name;
            SL_TRY(decoders[i]->decode(err, &encoded, arena, image));
            if (all.part != NULL && all.part->window.height == 0) {
                all.part->window = sl_window_whole(image);
            }
            return sl_pixels_set_channels(err, arena, image, all.channels);
        }
    }
    return fail_unknown(err, name, bytes, size);
}
