/* SPDX-License-Identifier: MIT */
/*
 * A picture as PNG through libspng, for people to look at: into a file, which is written
 * piece by piece into a temporary that gets its name when it is complete, or into memory.
 */
#include "data/data_int.h"

#include <spng.h>

struct target {
    struct sl_file_writer *writer; /* or */
    struct sl_text *memory;
    struct sl_error *err;
    enum sl_status status;
};

static int put(spng_ctx *context, void *user, void *bytes, size_t count)
{
    struct target *target = user;
    (void)context;
    if (target->memory != NULL) {
        sl_text_add_bytes(target->memory, bytes, count);
        return target->memory->failed ? SPNG_IO_ERROR : 0;
    }
    target->status = sl_file_writer_write(target->err, target->writer, bytes, count);
    return target->status == SL_OK ? 0 : SPNG_IO_ERROR;
}

bool sl_png_is_written(void)
{
    return true;
}

static int encode(spng_ctx *context, struct target *target, const struct sl_image *image)
{
    struct spng_ihdr header = {
        .width = (uint32_t)image->width,
        .height = (uint32_t)image->height,
        .bit_depth = 8,
        .color_type =
            image->channels == 1 ? SPNG_COLOR_TYPE_GRAYSCALE : SPNG_COLOR_TYPE_TRUECOLOR,
    };
    size_t bytes = (size_t)image->height * (size_t)image->width * (size_t)image->channels;
    int code = spng_set_png_stream(context, put, target);
    if (code == SPNG_OK) {
        code = spng_set_ihdr(context, &header);
    }
    return code != SPNG_OK ? code
                           : spng_encode_image(context, image->pixels, bytes,
                                               SPNG_FMT_PNG, SPNG_ENCODE_FINALIZE);
}

enum sl_status sl_png_write(struct sl_error *err, const char *path,
                            const struct sl_image *image)
{
    struct target target = {.err = err};
    enum sl_status status = SL_OK;
    spng_ctx *context = spng_ctx_new(SPNG_CTX_ENCODER);
    if (context == NULL) {
        return SL_FAIL(err, SL_ERROR_RUN, "%s: out of memory while writing PNG", path);
    }
    SL_TRY_OUT(sl_file_writer_begin(err, path, &target.writer));
    int code = encode(context, &target, image);
    SL_TRY_OUT(target.status);
    if (code != SPNG_OK) {
        status = SL_FAIL(err, SL_ERROR_RUN, "%s: cannot be written as PNG: %s", path,
                         spng_strerror(code));
        goto out;
    }
    SL_TRY_OUT(sl_file_writer_commit(err, target.writer));
    target.writer = NULL;
out:
    spng_ctx_free(context);
    sl_file_writer_abort(target.writer);
    return status;
}

enum sl_status sl_png_encode(struct sl_error *err, const struct sl_image *image,
                             struct sl_text *bytes)
{
    struct target target = {.err = err, .memory = bytes};
    spng_ctx *context = spng_ctx_new(SPNG_CTX_ENCODER);
    int code = context != NULL ? encode(context, &target, image) : SPNG_EMEM;
    spng_ctx_free(context);
    return code == SPNG_OK ? SL_OK
                           : SL_FAIL(err, SL_ERROR_RUN, "a picture of %d x %d as PNG: %s",
                                     image->width, image->height, spng_strerror(code));
}
