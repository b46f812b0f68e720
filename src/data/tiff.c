/* SPDX-License-Identifier: MIT */
/*
 * TIFF to pixels through libtiff; the only file that includes it. Strips and tiles, one
 * plane or several, every compression the library has; black and white, grey, palette,
 * RGB and CMYK of 1 to 16 bit are put together here, so that 16 bit is rounded and
 * transparency composited as in every other format; rarer colours (YCbCr, Lab, …) go
 * through the library's own conversion. The first picture of a file counts. Invariant:
 * the sizes of picture and tiles are checked before memory is taken, and nothing outside
 * of the bytes at hand is read.
 */
#include "data/data_int.h"

#include <stdarg.h>
#include <string.h>
#include <tiffio.h>

enum {
    SAMPLES_MOST = 8,
    FULL = 65535,
    /* The library's own tables and buffers, above the bytes of the file. */
    LIBRARY_BYTES = 64 * 1024 * 1024
};

enum colours { COLOURS_GREY, COLOURS_RGB, COLOURS_PALETTE, COLOURS_INK, COLOURS_OTHER };

/* The bytes as the library reads them, and what it said. */
struct stream {
    const struct sl_encoded *encoded;
    int64_t at;
    bool was_short; /* it wanted more than there is */
    char said[160]; /* its first error */
};

struct tiff {
    struct stream stream;
    TIFF *file;
    int64_t width, height;
    enum colours colours;
    int bits, samples, n_colours; /* n_colours: samples that are colour */
    bool is_planar, is_inverted, is_tiled;
    uint16_t alpha; /* EXTRASAMPLE_*; unspecified = none */
    int orientation;
    const uint16_t *palette[3];
    bool palette_is_8_bit;
    /* A block is a tile, or a strip; the memory holds one of each plane that is read. */
    int64_t block_width, block_height, block_bytes, row_bytes;
    unsigned char *block[SAMPLES_MOST];
    uint16_t *line; /* 4 numbers for each pixel of a block's row */
};

/* ---- the library's call-backs ------------------------------------------------------ */

static tmsize_t stream_read(thandle_t handle, void *dst, tmsize_t size)
{
    struct stream *stream = handle;
    int64_t left = stream->encoded->size - stream->at;
    left = left < 0 ? 0 : left;
    stream->was_short = stream->was_short || size > left;
    size = size > left ? (tmsize_t)left : size;
    if (size > 0) {
        memcpy(dst, stream->encoded->bytes + stream->at, (size_t)size);
        stream->at += size;
    }
    return size;
}

static tmsize_t stream_write(thandle_t handle, void *src, tmsize_t size)
{
    (void)handle;
    (void)src;
    (void)size;
    return 0;
}

static toff_t stream_seek(thandle_t handle, toff_t offset, int whence)
{
    struct stream *stream = handle;
    int64_t base = whence == SEEK_SET   ? 0
                   : whence == SEEK_CUR ? stream->at
                                        : stream->encoded->size;
    if (offset > (toff_t)INT64_MAX - (toff_t)base) {
        return (toff_t)-1;
    }
    stream->at = base + (int64_t)offset;
    return (toff_t)stream->at;
}

static toff_t stream_size(thandle_t handle)
{
    const struct stream *stream = handle;
    return (toff_t)stream->encoded->size;
}

static int stream_close(thandle_t handle)
{
    (void)handle;
    return 0;
}

static int on_error(TIFF *file, void *context, const char *module, const char *format,
                    va_list arguments)
{
    struct stream *stream = context;
    (void)file;
    (void)module;
    if (stream->said[0] == '\0') {
        (void)vsnprintf(stream->said, sizeof(stream->said), format, arguments);
    }
    return 1; /* handled: not to standard error */
}

static int on_warning(TIFF *file, void *context, const char *module, const char *format,
                      va_list arguments)
{
    (void)file;
    (void)context;
    (void)module;
    (void)format;
    (void)arguments;
    return 1;
}

static enum sl_status fail_tiff(struct sl_error *err, const struct tiff *tiff)
{
    const struct stream *stream = &tiff->stream;
    if (stream->was_short) {
        return sl_fail_cut_short(err, stream->encoded, "TIFF");
    }
    return sl_fail_damaged(err, stream->encoded, "TIFF",
                           stream->said[0] != '\0' ? stream->said
                                                   : "its structure is not valid");
}

static enum sl_status open_file(struct sl_error *err, struct tiff *tiff)
{
    struct stream *stream = &tiff->stream;
    TIFFOpenOptions *options = TIFFOpenOptionsAlloc();
    if (options == NULL) {
        return SL_FAIL(err, SL_ERROR_RUN, "%s: out of memory while reading TIFF",
                       stream->encoded->name);
    }
    TIFFOpenOptionsSetMaxSingleMemAlloc(
        options, (tmsize_t)(stream->encoded->size + LIBRARY_BYTES));
    TIFFOpenOptionsSetErrorHandlerExtR(options, on_error, stream);
    TIFFOpenOptionsSetWarningHandlerExtR(options, on_warning, stream);
    tiff->file =
        TIFFClientOpenExt(stream->encoded->name, "rm", stream, stream_read, stream_write,
                          stream_seek, stream_close, stream_size, NULL, NULL, options);
    TIFFOpenOptionsFree(options);
    return tiff->file != NULL ? SL_OK : fail_tiff(err, tiff);
}

/* ---- the header -------------------------------------------------------------------- */

static int field_16(const struct tiff *tiff, uint32_t tag, int otherwise)
{
    uint16_t value = 0;
    return TIFFGetFieldDefaulted(tiff->file, tag, &value) == 1 ? value : otherwise;
}

static int64_t field_32(const struct tiff *tiff, uint32_t tag)
{
    uint32_t value = 0;
    return TIFFGetFieldDefaulted(tiff->file, tag, &value) == 1 ? (int64_t)value : 0;
}

/* Old writers stored palettes of 8 bit in fields of 16. */
static bool is_shallow(const uint16_t *const palette[3], int n)
{
    for (int c = 0; c < 3; c++) {
        for (int i = 0; i < n; i++) {
            if (palette[c][i] > 255) {
                return false;
            }
        }
    }
    return true;
}

static bool take_palette(struct tiff *tiff)
{
    uint16_t *red = NULL, *green = NULL, *blue = NULL;
    if (tiff->bits > 8 ||
        TIFFGetField(tiff->file, TIFFTAG_COLORMAP, &red, &green, &blue) != 1) {
        return false;
    }
    tiff->palette[0] = red;
    tiff->palette[1] = green;
    tiff->palette[2] = blue;
    tiff->palette_is_8_bit = is_shallow(tiff->palette, 1 << tiff->bits);
    return true;
}

/* Which colours the samples are; COLOURS_OTHER is left to the library. */
static void take_colours(struct tiff *tiff)
{
    int photometric = field_16(tiff, TIFFTAG_PHOTOMETRIC, PHOTOMETRIC_MINISBLACK);
    int compression = field_16(tiff, TIFFTAG_COMPRESSION, COMPRESSION_NONE);
    tiff->is_inverted = photometric == PHOTOMETRIC_MINISWHITE;
    tiff->colours = COLOURS_OTHER;
    switch (photometric) {
    case PHOTOMETRIC_MINISWHITE:
    case PHOTOMETRIC_MINISBLACK:
        tiff->colours = COLOURS_GREY;
        tiff->n_colours = 1;
        break;
    case PHOTOMETRIC_PALETTE:
        tiff->colours = take_palette(tiff) ? COLOURS_PALETTE : COLOURS_OTHER;
        tiff->n_colours = 1;
        break;
    case PHOTOMETRIC_YCBCR:
        if (compression != COMPRESSION_JPEG || tiff->is_planar ||
            TIFFSetField(tiff->file, TIFFTAG_JPEGCOLORMODE, JPEGCOLORMODE_RGB) != 1) {
            break;
        }
        tiff->colours = COLOURS_RGB;
        tiff->n_colours = 3;
        break;
    case PHOTOMETRIC_RGB:
        tiff->colours = COLOURS_RGB;
        tiff->n_colours = 3;
        break;
    case PHOTOMETRIC_SEPARATED:
        tiff->colours = field_16(tiff, TIFFTAG_INKSET, INKSET_CMYK) == INKSET_CMYK
                            ? COLOURS_INK
                            : COLOURS_OTHER;
        tiff->n_colours = 4;
        break;
    default:
        break;
    }
}

/* The first sample beside the colours may be transparency. */
static void take_alpha(struct tiff *tiff)
{
    uint16_t n = 0;
    uint16_t *kinds = NULL;
    tiff->alpha = EXTRASAMPLE_UNSPECIFIED;
    if (tiff->samples > tiff->n_colours &&
        TIFFGetFieldDefaulted(tiff->file, TIFFTAG_EXTRASAMPLES, &n, &kinds) == 1 &&
        n > 0 && (tiff->colours == COLOURS_GREY || tiff->colours == COLOURS_RGB)) {
        tiff->alpha = kinds[0];
    }
}

static enum sl_status read_header(struct sl_error *err, struct tiff *tiff)
{
    const struct sl_encoded *encoded = tiff->stream.encoded;
    tiff->width = field_32(tiff, TIFFTAG_IMAGEWIDTH);
    tiff->height = field_32(tiff, TIFFTAG_IMAGELENGTH);
    SL_TRY(sl_image_check(err, encoded, tiff->height, tiff->width));
    tiff->bits = field_16(tiff, TIFFTAG_BITSPERSAMPLE, 1);
    tiff->samples = field_16(tiff, TIFFTAG_SAMPLESPERPIXEL, 1);
    tiff->orientation = field_16(tiff, TIFFTAG_ORIENTATION, 1);
    tiff->is_planar = tiff->samples > 1 &&
                      field_16(tiff, TIFFTAG_PLANARCONFIG, 1) == PLANARCONFIG_SEPARATE;
    int format = field_16(tiff, TIFFTAG_SAMPLEFORMAT, SAMPLEFORMAT_UINT);
    bool is_whole = tiff->bits == 1 || tiff->bits == 2 || tiff->bits == 4 ||
                    tiff->bits == 8 || tiff->bits == 16;
    if ((format != SAMPLEFORMAT_UINT && format != SAMPLEFORMAT_VOID) || !is_whole ||
        tiff->samples < 1 || tiff->samples > SAMPLES_MOST) {
        return SL_FAIL(err, SL_ERROR_DATA,
                       "%s: a TIFF of %d samples of %d bit, format %d; read are up to %d "
                       "unsigned ones of 1, 2, 4, 8 or 16 bit",
                       encoded->name, tiff->samples, tiff->bits, format,
                       (int)SAMPLES_MOST);
    }
    take_colours(tiff);
    encoded->facts->is_deep = tiff->bits > 8;
    encoded->facts->has_ink = tiff->colours == COLOURS_INK;
    if (tiff->samples < tiff->n_colours) {
        return sl_fail_damaged(err, encoded, "TIFF", "it has too few samples a pixel");
    }
    take_alpha(tiff);
    return SL_OK;
}

/* ---- blocks ------------------------------------------------------------------------ */

static enum sl_status plan_blocks(struct sl_error *err, struct tiff *tiff,
                                  struct sl_arena *arena)
{
    tiff->is_tiled = TIFFIsTiled(tiff->file) != 0;
    if (tiff->is_tiled) {
        tiff->block_width = field_32(tiff, TIFFTAG_TILEWIDTH);
        tiff->block_height = field_32(tiff, TIFFTAG_TILELENGTH);
        SL_TRY(sl_image_check(err, tiff->stream.encoded, tiff->block_height,
                              tiff->block_width));
    } else {
        int64_t rows = field_32(tiff, TIFFTAG_ROWSPERSTRIP);
        tiff->block_width = tiff->width;
        tiff->block_height = rows < 1 || rows > tiff->height ? tiff->height : rows;
    }
    int planes = tiff->is_planar ? tiff->samples : 1;
    int64_t numbers = tiff->block_width * (tiff->is_planar ? 1 : tiff->samples);
    tiff->row_bytes = (numbers * tiff->bits + 7) / 8;
    tiff->block_bytes = tiff->row_bytes * tiff->block_height;
    int64_t theirs = tiff->is_tiled ? (int64_t)TIFFTileSize64(tiff->file)
                                    : (int64_t)TIFFStripSize64(tiff->file);
    if (theirs != tiff->block_bytes) {
        return fail_tiff(err, tiff);
    }
    for (int p = 0; p < planes; p++) {
        SL_TRY(sl_arena_alloc(err, arena, tiff->block_bytes, 1, &tiff->block[p]));
    }
    return sl_arena_alloc(err, arena, tiff->block_width * 4, sizeof(uint16_t),
                          &tiff->line);
}

/* At most so many bytes come out of one: none, runs of 128 in 2, codes of 12 bit for
 * 4096, 258 in 2 bits. 0 = not known, as where a bit may stand for a whole row. */
static int64_t inflation_most(int compression)
{
    switch (compression) {
    case COMPRESSION_NONE:
        return 1;
    case COMPRESSION_PACKBITS:
        return 64;
    case COMPRESSION_LZW:
        return 4096;
    case COMPRESSION_DEFLATE:
    case COMPRESSION_ADOBE_DEFLATE:
        return 1032;
    default:
        return 0;
    }
}

/* A small file cannot hold the pixels of a large picture: known before memory is taken.
 */
static enum sl_status check_promise(struct sl_error *err, const struct tiff *tiff)
{
    int64_t most = inflation_most(field_16(tiff, TIFFTAG_COMPRESSION, COMPRESSION_NONE));
    int64_t bits = tiff->width * tiff->samples * tiff->bits * tiff->height;
    if (most > 0 && bits / 8 > tiff->stream.encoded->size * most) {
        return sl_fail_cut_short(err, tiff->stream.encoded, "TIFF");
    }
    return SL_OK;
}

/* The planes of the block whose first pixel is (y, x); `rows` of it lie in the picture.
 */
static enum sl_status read_block(struct sl_error *err, struct tiff *tiff, int64_t y,
                                 int64_t x, int64_t rows)
{
    int planes = tiff->is_planar ? tiff->samples : 1;
    for (int p = 0; p < planes; p++) {
        int64_t wanted = tiff->block_bytes;
        int64_t got = 0;
        if (tiff->is_tiled) {
            uint32_t tile =
                TIFFComputeTile(tiff->file, (uint32_t)x, (uint32_t)y, 0, (uint16_t)p);
            got = TIFFReadEncodedTile(tiff->file, tile, tiff->block[p], (tmsize_t)wanted);
        } else {
            uint32_t strip = TIFFComputeStrip(tiff->file, (uint32_t)y, (uint16_t)p);
            wanted = rows * tiff->row_bytes;
            got =
                TIFFReadEncodedStrip(tiff->file, strip, tiff->block[p], (tmsize_t)wanted);
        }
        if (got != wanted) {
            return fail_tiff(err, tiff);
        }
    }
    return SL_OK;
}

/* ---- pixels ------------------------------------------------------------------------ */

/* Number `index` of a row, as it is stored. */
static uint32_t stored_number(const unsigned char *row, int bits, int64_t index)
{
    if (bits == 16) {
        uint16_t value = 0;
        memcpy(&value, row + 2 * index, 2); /* the library put it in our byte order */
        return value;
    }
    int per_byte = 8 / bits;
    int shift = (int)(per_byte - 1 - index % per_byte) * bits;
    return (uint32_t)row[index / per_byte] >> shift & ((1u << bits) - 1u);
}

static uint32_t sample(const struct tiff *tiff, int64_t y, int64_t x, int c)
{
    int plane = tiff->is_planar ? c : 0;
    int64_t index = tiff->is_planar ? x : x * tiff->samples + c;
    return stored_number(tiff->block[plane] + y * tiff->row_bytes, tiff->bits, index);
}

/* The same in 0..65535: exact, because 65535 is a multiple of every depth's largest. */
static uint16_t sample_16(const struct tiff *tiff, int64_t y, int64_t x, int c)
{
    uint32_t top = (1u << tiff->bits) - 1u;
    return (uint16_t)(sample(tiff, y, x, c) * (FULL / top));
}

/* Writers fill the 16 bit of a palette with v x 256 or v x 257: the high byte is v. */
static uint16_t palette_16(const struct tiff *tiff, int c, uint32_t index)
{
    int value = tiff->palette[c][index];
    return (uint16_t)((tiff->palette_is_8_bit ? value : value >> 8) * 257);
}

/* Colours that were multiplied by their alpha, as if they had not been. */
static uint16_t divided(uint32_t value, uint32_t alpha)
{
    uint32_t whole = alpha > 0 ? (value * (uint32_t)FULL + alpha / 2) / alpha : 0;
    return (uint16_t)(whole > FULL ? FULL : whole);
}

/* Row y of a block into tiff->line: 1 number a pixel (grey) or 4. */
static void fill_line(struct tiff *tiff, int64_t y, int64_t n, int numbers)
{
    uint16_t *dst = tiff->line;
    for (int64_t x = 0; x < n; x++, dst += numbers) {
        for (int c = 0; c < numbers && tiff->colours == COLOURS_PALETTE; c++) {
            dst[c] = c < 3 ? palette_16(tiff, c, sample(tiff, y, x, 0)) : (uint16_t)FULL;
        }
        for (int c = 0; c < numbers && tiff->colours != COLOURS_PALETTE; c++) {
            bool is_grey = tiff->colours == COLOURS_GREY;
            bool is_alpha = c == 3 && tiff->colours != COLOURS_INK;
            uint16_t value = FULL;
            if (!is_alpha || tiff->alpha != EXTRASAMPLE_UNSPECIFIED) {
                value = sample_16(tiff, y, x,
                                  is_alpha  ? tiff->n_colours
                                  : is_grey ? 0
                                            : c);
            }
            dst[c] = (uint16_t)(tiff->is_inverted && !is_alpha ? FULL - value : value);
        }
        for (int c = 0; c < 3 && tiff->alpha == EXTRASAMPLE_ASSOCALPHA; c++) {
            dst[c] = divided(dst[c], dst[3]);
        }
    }
}

/* The line's pixels into the image; `dst` is the first of them. */
static void put_line(struct tiff *tiff, int64_t n, int numbers, unsigned char *dst)
{
    const struct sl_encoded *encoded = tiff->stream.encoded;
    if (numbers == 1) {
        sl_narrow(tiff->line, n, dst);
    } else if (tiff->colours == COLOURS_INK) {
        for (int64_t x = 0; x < n; x++) {
            unsigned char ink[4];
            sl_narrow(tiff->line + 4 * x, 4, ink);
            sl_from_cmyk(ink, 1, dst + 3 * x);
        }
    } else {
        bool has_alpha = sl_flatten_16(encoded->options, tiff->line, n, dst);
        encoded->facts->has_alpha = encoded->facts->has_alpha || has_alpha;
    }
}

/* Opaque colours of 8 bit side by side: what the lines above would give, byte by byte. */
static bool is_simple(const struct tiff *tiff)
{
    bool is_kind = tiff->colours == COLOURS_GREY || tiff->colours == COLOURS_PALETTE ||
                   (tiff->colours == COLOURS_RGB && !tiff->is_inverted);
    return is_kind && tiff->bits == 8 && !tiff->is_planar &&
           tiff->alpha == EXTRASAMPLE_UNSPECIFIED;
}

static void put_simple(const struct tiff *tiff, int64_t y, int64_t n, unsigned char *dst)
{
    const unsigned char *src = tiff->block[0] + y * tiff->row_bytes;
    int samples = tiff->samples, channels = tiff->colours == COLOURS_GREY ? 1 : 3;
    if (tiff->colours == COLOURS_PALETTE) {
        for (int64_t x = 0; x < n; x++, src += samples, dst += 3) {
            for (int c = 0; c < 3; c++) {
                dst[c] = (unsigned char)(palette_16(tiff, c, src[0]) / 257);
            }
        }
    } else if (samples == channels && !tiff->is_inverted) {
        memcpy(dst, src, (size_t)(n * channels));
    } else {
        unsigned char flip = tiff->is_inverted ? 255 : 0;
        for (int64_t x = 0; x < n; x++, src += samples, dst += channels) {
            for (int c = 0; c < channels; c++) {
                dst[c] = src[c] ^ flip; /* 255 - v */
            }
        }
    }
}

static enum sl_status read_blocks(struct sl_error *err, struct tiff *tiff,
                                  struct sl_arena *arena, struct sl_image *image)
{
    bool is_grey =
        tiff->colours == COLOURS_GREY && tiff->alpha == EXTRASAMPLE_UNSPECIFIED;
    bool is_direct = is_simple(tiff);
    int numbers = is_grey ? 1 : 4, channels = is_grey ? 1 : 3;
    SL_TRY(check_promise(err, tiff));
    SL_TRY(plan_blocks(err, tiff, arena));
    SL_TRY(
        sl_image_alloc(err, arena, (int)tiff->height, (int)tiff->width, channels, image));
    for (int64_t top = 0; top < tiff->height; top += tiff->block_height) {
        int64_t rows = tiff->height - top;
        rows = rows > tiff->block_height ? tiff->block_height : rows;
        for (int64_t left = 0; left < tiff->width; left += tiff->block_width) {
            int64_t n = tiff->width - left;
            n = n > tiff->block_width ? tiff->block_width : n;
            SL_TRY(read_block(err, tiff, top, left, rows));
            for (int64_t y = 0; y < rows; y++) {
                int64_t at = (top + y) * tiff->width + left;
                unsigned char *dst = image->pixels + at * channels;
                if (is_direct) {
                    put_simple(tiff, y, n, dst);
                } else {
                    fill_line(tiff, y, n, numbers);
                    put_line(tiff, n, numbers, dst);
                }
            }
        }
    }
    return SL_OK;
}

/* Colours that only the library knows how to turn into RGB. */
static enum sl_status read_other(struct sl_error *err, struct tiff *tiff,
                                 struct sl_arena *arena, struct sl_image *image)
{
    const struct sl_encoded *encoded = tiff->stream.encoded;
    char why[1024] = "";
    uint32_t *raster = NULL;
    int64_t n = tiff->height * tiff->width;
    if (TIFFRGBAImageOK(tiff->file, why) != 1) {
        return SL_FAIL(err, SL_ERROR_DATA, "%s: a TIFF that is not read: %.200s",
                       encoded->name, why);
    }
    if (TIFFIsTiled(tiff->file)) {
        SL_TRY(sl_image_check(err, encoded, field_32(tiff, TIFFTAG_TILELENGTH),
                              field_32(tiff, TIFFTAG_TILEWIDTH)));
    }
    SL_TRY(sl_arena_alloc(err, arena, n, sizeof(*raster), &raster));
    SL_TRY(sl_image_alloc(err, arena, (int)tiff->height, (int)tiff->width, 3, image));
    /* Asked for in the file's own orientation, the rows come as they are stored. */
    if (TIFFReadRGBAImageOriented(tiff->file, (uint32_t)tiff->width,
                                  (uint32_t)tiff->height, raster, tiff->orientation,
                                  1) != 1) {
        return fail_tiff(err, tiff);
    }
    for (int64_t i = 0; i < n; i++) {
        image->pixels[3 * i] = (unsigned char)TIFFGetR(raster[i]);
        image->pixels[3 * i + 1] = (unsigned char)TIFFGetG(raster[i]);
        image->pixels[3 * i + 2] = (unsigned char)TIFFGetB(raster[i]);
    }
    return SL_OK;
}

static enum sl_status decode_tiff(struct sl_error *err, const struct sl_encoded *encoded,
                                  struct sl_arena *arena, struct sl_image *image)
{
    struct tiff tiff = {.stream = {.encoded = encoded}};
    enum sl_status status = SL_OK;
    SL_TRY_OUT(open_file(err, &tiff));
    SL_TRY_OUT(read_header(err, &tiff));
    SL_TRY_OUT(tiff.colours == COLOURS_OTHER ? read_other(err, &tiff, arena, image)
                                             : read_blocks(err, &tiff, arena, image));
    status = sl_image_orient(err, arena, tiff.orientation, image);
out:
    if (tiff.file != NULL) {
        TIFFClose(tiff.file);
    }
    return status;
}

const struct sl_decoder sl_decoder_tiff = {
    .name = "tiff",
    .built = true,
    .matches = sl_is_tiff,
    .decode = decode_tiff,
};
