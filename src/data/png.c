/* SPDX-License-Identifier: MIT */
/*
 * PNG to pixels through libspng; the only file that includes it. Palettes become RGB, 16
 * bit is rounded to 8, transparency is composited, an Exif orientation is applied; gamma
 * is ignored as other readers of image data sets do. Invariant: what the library may take
 * from memory is bounded by the limits set here.
 */
#include "data/data_int.h"

#include <spng.h>

enum {
    /* Text and colour-profile chunks have no use here; more than this is an attack. */
    MAX_CHUNK_BYTES = 8 * 1024 * 1024,
    MAX_CHUNK_CACHE = 16 * 1024 * 1024,
    /* Deflate makes at most this many bytes out of one (RFC 1951: 258 out of 2 bits). */
    INFLATION_MOST = 1032,
    COLOUR_BIT = 2,
    ALPHA_BIT = 4
};

/* A file being read. */
struct job {
    const struct sl_encoded *encoded;
    spng_ctx *context;
    struct spng_ihdr header;
    struct sl_arena *arena;
    struct sl_image *image;
};

/* How the library hands out pixels: so many numbers each, of so many bytes. */
struct layout {
    int format, numbers, bytes;
};

static enum sl_status fail_png(struct sl_error *err, const struct sl_encoded *encoded,
                               int code)
{
    if (code == SPNG_IO_EOF || code == SPNG_EIDAT_TOO_SHORT) {
        return sl_fail_cut_short(err, encoded, "PNG");
    }
    if (code == SPNG_EMEM) {
        return SL_FAIL(err, SL_ERROR_RUN, "%s: out of memory while reading PNG",
                       encoded->name);
    }
    return sl_fail_damaged(err, encoded, "PNG", spng_strerror(code));
}

/* A small file cannot hold the pixels of a large picture: known before memory is taken.
 */
static enum sl_status check_promise(struct sl_error *err, const struct job *job)
{
    static const int numbers[7] = {1, 0, 3, 1, 2, 0, 4};
    const struct spng_ihdr *header = &job->header;
    int64_t bits =
        (int64_t)header->width * numbers[header->color_type % 7] * header->bit_depth;
    if ((bits / 8 + 1) * header->height > job->encoded->size * INFLATION_MOST) {
        return sl_fail_cut_short(err, job->encoded, "PNG");
    }
    return SL_OK;
}

static struct layout layout_of(const struct job *job)
{
    struct spng_trns transparency;
    bool is_deep = job->header.bit_depth == 16;
    job->encoded->facts->is_deep = is_deep;
    bool has_alpha = (job->header.color_type & ALPHA_BIT) != 0 ||
                     spng_get_trns(job->context, &transparency) == SPNG_OK;
    if (has_alpha) {
        return is_deep ? (struct layout){SPNG_FMT_RGBA16, 4, 2}
                       : (struct layout){SPNG_FMT_RGBA8, 4, 1};
    }
    if (is_deep) { /* as stored, in this machine's byte order */
        int numbers = (job->header.color_type & COLOUR_BIT) != 0 ? 3 : 1;
        return (struct layout){SPNG_FMT_PNG, numbers, 2};
    }
    return (job->header.color_type & COLOUR_BIT) != 0 /* palettes too */
               ? (struct layout){SPNG_FMT_RGB8, 3, 1}
               : (struct layout){SPNG_FMT_G8, 1, 1};
}

static void to_image(const struct job *job, const struct layout *layout,
                     const void *stored)
{
    const struct sl_decode_options *options = job->encoded->options;
    struct sl_file_facts *facts = job->encoded->facts;
    struct sl_image *image = job->image;
    int64_t n = (int64_t)image->height * image->width;
    if (layout->numbers == 4 && layout->bytes == 2) {
        facts->has_alpha = sl_flatten_16(options, stored, n, image->pixels);
    } else if (layout->numbers == 4) {
        facts->has_alpha = sl_flatten_8(options, stored, n, image->pixels);
    } else if (layout->bytes == 2) {
        sl_narrow(stored, n * layout->numbers, image->pixels);
    }
}

/* Opaque 8-bit pixels go straight into the image, all others through memory of their own.
 */
static enum sl_status read_pixels(struct sl_error *err, const struct job *job)
{
    struct layout layout = layout_of(job);
    struct sl_image *image = job->image;
    int64_t n = (int64_t)job->header.height * job->header.width;
    size_t bytes = 0;
    SL_TRY(sl_image_alloc(err, job->arena, (int)job->header.height,
                          (int)job->header.width, layout.numbers == 1 ? 1 : 3, image));
    int code = spng_decoded_image_size(job->context, layout.format, &bytes);
    if (code != SPNG_OK) {
        return fail_png(err, job->encoded, code);
    }
    SL_ASSERT((int64_t)bytes == n * layout.numbers * layout.bytes);
    bool is_direct = layout.bytes == 1 && layout.numbers < 4;
    unsigned char *target = image->pixels;
    if (!is_direct) {
        SL_TRY(sl_arena_alloc(err, job->arena, (int64_t)bytes, 1, &target));
    }
    code =
        spng_decode_image(job->context, target, bytes, layout.format, SPNG_DECODE_TRNS);
    if (code == SPNG_OK) {
        code = spng_decode_chunks(job->context); /* to the end mark: a cut is seen */
    }
    if (code != SPNG_OK) {
        return fail_png(err, job->encoded, code);
    }
    to_image(job, &layout, target);
    return SL_OK;
}

static enum sl_status read_header(struct sl_error *err, struct job *job)
{
    int code = spng_set_chunk_limits(job->context, MAX_CHUNK_BYTES, MAX_CHUNK_CACHE);
    if (code == SPNG_OK) { /* a wrong check sum matters where pixels are */
        code = spng_set_crc_action(job->context, SPNG_CRC_ERROR, SPNG_CRC_DISCARD);
    }
    if (code == SPNG_OK) {
        code = spng_set_png_buffer(job->context, job->encoded->bytes,
                                   (size_t)job->encoded->size);
    }
    if (code == SPNG_OK) {
        code = spng_get_ihdr(job->context, &job->header);
    }
    if (code != SPNG_OK) {
        return fail_png(err, job->encoded, code);
    }
    SL_TRY(sl_image_check(err, job->encoded, job->header.height, job->header.width));
    return check_promise(err, job);
}

static enum sl_status decode_png(struct sl_error *err, const struct sl_encoded *encoded,
                                 struct sl_arena *arena, struct sl_image *image)
{
    struct job job = {.encoded = encoded, .arena = arena, .image = image};
    struct spng_exif exif;
    enum sl_status status = SL_OK;
    job.context = spng_ctx_new(0);
    if (job.context == NULL) {
        return fail_png(err, encoded, SPNG_EMEM);
    }
    SL_TRY_OUT(read_header(err, &job));
    SL_TRY_OUT(read_pixels(err, &job));
    if (spng_get_exif(job.context, &exif) == SPNG_OK) {
        int orientation =
            sl_exif_orientation((const unsigned char *)exif.data, (int64_t)exif.length);
        status = sl_image_orient(err, arena, orientation, image);
    }
out:
    spng_ctx_free(job.context);
    return status;
}

const struct sl_decoder sl_decoder_png = {
    .name = "png",
    .built = true,
    .matches = sl_is_png,
    .decode = decode_png,
};
