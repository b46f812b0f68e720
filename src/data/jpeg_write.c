/* SPDX-License-Identifier: MIT */
/*
 * RGB pixels to JPEG through libjpeg-turbo's libjpeg interface; the only file that writes
 * JPEG. Baseline, 4:2:0, optimised tables: the bytes follow from pixels, quality and the
 * library's version. The library leaves by a call-back, hence the setjmp.
 */
#include "data/data_int.h"

/* jpeglib.h wants size_t and FILE declared before it, which base.h did. */
#include <jpeglib.h>
#include <setjmp.h>
#include <string.h>

enum { BLOCK = 32 * 1024 };

/* libjpeg hands back `manager` and `target`, which must stay first and second. */
struct job {
    struct jpeg_error_mgr manager;
    struct jpeg_destination_mgr target;
    struct jpeg_compress_struct jpeg;
    jmp_buf leave;
    struct sl_error *err;
    enum sl_status status;
    struct sl_text *out;
    unsigned char block[BLOCK];
};

static void on_error(j_common_ptr common)
{
    struct job *job = (struct job *)(void *)common->err;
    char text[JMSG_LENGTH_MAX];
    common->err->format_message(common, text);
    job->status = SL_FAIL(job->err, SL_ERROR_RUN, "cannot write a JPEG: %s", text);
    longjmp(job->leave, 1);
}

static void on_output(j_common_ptr common)
{
    (void)common;
}

static void put_block(j_compress_ptr jpeg, size_t used)
{
    struct job *job = jpeg->client_data;
    sl_text_add_bytes(job->out, job->block, used);
    if (job->out->failed) {
        job->status = SL_FAIL(job->err, SL_ERROR_RUN, "out of memory for a JPEG");
        longjmp(job->leave, 1);
    }
    job->target.next_output_byte = job->block;
    job->target.free_in_buffer = BLOCK;
}

static void on_begin(j_compress_ptr jpeg)
{
    put_block(jpeg, 0);
}

static boolean on_full(j_compress_ptr jpeg)
{
    put_block(jpeg, BLOCK);
    return TRUE;
}

static void on_end(j_compress_ptr jpeg)
{
    const struct job *job = jpeg->client_data;
    put_block(jpeg, BLOCK - job->target.free_in_buffer);
}

static void encode(struct job *job, const struct sl_image *image, int quality)
{
    struct jpeg_compress_struct *jpeg = &job->jpeg;
    if (setjmp(job->leave) != 0) {
        return;
    }
    jpeg_create_compress(jpeg);
    jpeg->client_data = job;
    jpeg->dest = &job->target;
    jpeg->image_width = (JDIMENSION)image->width;
    jpeg->image_height = (JDIMENSION)image->height;
    jpeg->input_components = image->channels;
    jpeg->in_color_space = image->channels == 3 ? JCS_RGB : JCS_GRAYSCALE;
    jpeg_set_defaults(jpeg);
    jpeg_set_quality(jpeg, quality, TRUE);
    jpeg->optimize_coding = TRUE;
    jpeg->dct_method = JDCT_ISLOW;
    jpeg_start_compress(jpeg, TRUE);
    while (jpeg->next_scanline < jpeg->image_height) {
        int64_t stride = (int64_t)image->width * image->channels;
        JSAMPROW row = image->pixels + (int64_t)jpeg->next_scanline * stride;
        jpeg_write_scanlines(jpeg, &row, 1);
    }
    jpeg_finish_compress(jpeg);
}

enum sl_status sl_jpeg_encode(struct sl_error *err, const struct sl_image *image,
                              int quality, struct sl_text *out)
{
    struct job *job = NULL;
    SL_TRY(sl_heap_alloc(err, "JPEG", 1, sizeof(*job), &job));
    job->err = err;
    job->out = out;
    job->jpeg.err = jpeg_std_error(&job->manager);
    job->manager.error_exit = on_error;
    job->manager.output_message = on_output;
    job->target.init_destination = on_begin;
    job->target.empty_output_buffer = on_full;
    job->target.term_destination = on_end;
    encode(job, image, quality);
    jpeg_destroy_compress(&job->jpeg);
    enum sl_status status = job->status;
    sl_heap_free(job);
    return status;
}
