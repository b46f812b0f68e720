/* SPDX-License-Identifier: MIT */
/*
 * JPEG to RGB through libjpeg-turbo's libjpeg interface; the only file that includes it.
 * The library leaves by a call-back, so there is one setjmp here and nowhere else.
 * Invariant: a picture whose stored bits were not all there or not all valid is an error,
 * never a picture with a grey lower half; harmless oddities (extra bytes between markers,
 * unknown versions) are let through.
 */
#include "data/data_int.h"

/* jpeglib.h wants size_t and FILE declared before it, which base.h did. */
#include <jerror.h>
#include <jpeglib.h>
#include <setjmp.h>
#include <string.h>

/* More scans than any real progressive file has; each costs a pass over the whole
 * picture. */
enum { MAX_SCANS = 200 };

/* libjpeg hands back `manager`, which must stay first: its address is the job's. */
struct job {
    struct jpeg_error_mgr manager;
    struct jpeg_progress_mgr progress;
    struct jpeg_decompress_struct jpeg;
    jmp_buf leave;
    struct sl_error *err;
    const char *name;
    enum sl_status status;
};

static void leave_with(struct job *job, enum sl_status status)
{
    job->status = status;
    longjmp(job->leave, 1);
}

static bool is_cut_short(int code)
{
    return code == JERR_INPUT_EOF || code == JERR_INPUT_EMPTY || code == JWRN_JPEG_EOF ||
           code == JWRN_HIT_MARKER;
}

static void fail_job(struct job *job)
{
    char text[JMSG_LENGTH_MAX];
    if (is_cut_short(job->manager.msg_code)) {
        leave_with(job, SL_FAIL(job->err, SL_ERROR_DATA,
                                "%s: damaged JPEG: the file is cut short", job->name));
    }
    job->manager.format_message((j_common_ptr)&job->jpeg, text);
    leave_with(job,
               SL_FAIL(job->err, SL_ERROR_DATA, "%s: damaged JPEG: %s", job->name, text));
}

static void on_error(j_common_ptr common)
{
    fail_job((struct job *)(void *)common->err);
}

/* Level -1 is a warning: the library has met wrong data and would carry on with a guess.
 */
static void on_message(j_common_ptr common, int level)
{
    if (level >= 0) {
        return;
    }
    struct job *job = (struct job *)(void *)common->err;
    switch (job->manager.msg_code) {
    case JWRN_ADOBE_XFORM:
    case JWRN_BOGUS_ICC:
    case JWRN_BOGUS_PROGRESSION:
    case JWRN_EXTRANEOUS_DATA:
    case JWRN_JFIF_MAJOR:
    case JWRN_NOT_SEQUENTIAL:
    case JWRN_TOO_MUCH_DATA:
        return;
    default:
        fail_job(job);
    }
}

static void on_output(j_common_ptr common)
{
    (void)common;
}

static void on_progress(j_common_ptr common)
{
    struct job *job = (struct job *)(void *)common->err;
    if (job->jpeg.input_scan_number > MAX_SCANS) {
        leave_with(job,
                   SL_FAIL(job->err, SL_ERROR_DATA,
                           "%s: damaged JPEG: more than %d scans", job->name, MAX_SCANS));
    }
}

/* One row of four channels to RGB. Adobe writes the inks inverted (255 = no ink). */
static void row_from_cmyk(const unsigned char *src, int width, bool inverted,
                          unsigned char *dst)
{
    int flip = inverted ? 0 : 255;
    for (int x = 0; x < width; x++) {
        int k = src[4 * x + 3] ^ flip;
        for (int c = 0; c < 3; c++) {
            int ink = src[4 * x + c] ^ flip;
            dst[3 * x + c] = (unsigned char)((ink * k + 127) / 255);
        }
    }
}

static void read_rows(struct job *job, struct sl_arena *arena, struct sl_image *image)
{
    struct jpeg_decompress_struct *jpeg = &job->jpeg;
    bool is_cmyk = jpeg->out_color_space == JCS_CMYK;
    unsigned char *row = NULL;
    if (is_cmyk) {
        enum sl_status status =
            sl_arena_alloc(job->err, arena, (int64_t)image->width * 4, 1, &row);
        if (status != SL_OK) {
            leave_with(job, status);
        }
    }
    while (jpeg->output_scanline < jpeg->output_height) {
        unsigned char *dst =
            image->pixels + (int64_t)jpeg->output_scanline * image->width * 3;
        JSAMPROW target = is_cmyk ? row : dst;
        jpeg_read_scanlines(jpeg, &target, 1);
        if (is_cmyk) {
            row_from_cmyk(row, image->width, jpeg->saw_Adobe_marker != 0, dst);
        }
    }
}

static void decode_job(struct job *job, const unsigned char *bytes, int64_t size,
                       int64_t max_pixels, struct sl_arena *arena, struct sl_image *image)
{
    struct jpeg_decompress_struct *jpeg = &job->jpeg;
    jpeg_mem_src(jpeg, bytes, (unsigned long)size);
    jpeg_read_header(jpeg, TRUE);
    enum sl_status status = sl_image_check(job->err, job->name, jpeg->image_height,
                                           jpeg->image_width, max_pixels);
    if (status != SL_OK) {
        leave_with(job, status);
    }
    bool has_four =
        jpeg->jpeg_color_space == JCS_CMYK || jpeg->jpeg_color_space == JCS_YCCK;
    jpeg->out_color_space = has_four ? JCS_CMYK : JCS_RGB;
    status = sl_image_alloc(job->err, arena, (int)jpeg->image_height,
                            (int)jpeg->image_width, 3, image);
    if (status != SL_OK) {
        leave_with(job, status);
    }
    jpeg_start_decompress(jpeg);
    read_rows(job, arena, image);
    jpeg_finish_decompress(jpeg);
}

/* The one setjmp. `job` belongs to the caller, so that what it holds is defined after the
 * jump. */
static void decode_guarded(struct job *job, const unsigned char *bytes, int64_t size,
                           int64_t max_pixels, struct sl_arena *arena,
                           struct sl_image *image)
{
    if (setjmp(job->leave) != 0) {
        return;
    }
    jpeg_create_decompress(&job->jpeg);
    job->progress.progress_monitor = on_progress;
    job->jpeg.progress = &job->progress;
    decode_job(job, bytes, size, max_pixels, arena, image);
}

static enum sl_status decode_jpeg(struct sl_error *err, const char *name,
                                  const unsigned char *bytes, int64_t size,
                                  int64_t max_pixels, struct sl_arena *arena,
                                  struct sl_image *image)
{
    struct job job;
    memset(&job, 0, sizeof(job));
    job.err = err;
    job.name = name;
    job.jpeg.err = jpeg_std_error(&job.manager);
    job.manager.error_exit = on_error;
    job.manager.emit_message = on_message;
    job.manager.output_message = on_output;
    decode_guarded(&job, bytes, size, max_pixels, arena, image);
    jpeg_destroy_decompress(&job.jpeg);
    return job.status;
}

const struct sl_decoder sl_decoder_jpeg = {
    .name = "jpeg",
    .built = true,
    .matches = sl_is_jpeg,
    .decode = decode_jpeg,
};
