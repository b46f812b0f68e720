/* SPDX-License-Identifier: MIT */
/*
 * JPEG to pixels through libjpeg-turbo's libjpeg interface; the only file that includes
 * it. The library leaves by a call-back, so there is one setjmp here and nowhere else.
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

enum {
    /* More scans than any real progressive file has; each costs a pass over the whole
     * picture. */
    MAX_SCANS = 200,
    MARKER_EXIF = JPEG_APP0 + 1,
    MARKER_BYTES = 0xffff /* of one marker, all of it */
};

/* libjpeg hands back `manager`, which must stay first: its address is the job's. */
struct job {
    struct jpeg_error_mgr manager;
    struct jpeg_progress_mgr progress;
    struct jpeg_decompress_struct jpeg;
    jmp_buf leave;
    struct sl_error *err;
    const struct sl_encoded *encoded;
    struct sl_arena *arena;
    struct sl_image *image;
    int orientation;
    enum sl_status status;
};

/* ---- the library's call-backs ------------------------------------------------------ */

/* Goes on only when the status is good. */
static void go_on(struct job *job, enum sl_status status)
{
    if (status != SL_OK) {
        job->status = status;
        longjmp(job->leave, 1);
    }
}

static bool is_cut_short(int code)
{
    return code == JERR_INPUT_EOF || code == JERR_INPUT_EMPTY || code == JWRN_JPEG_EOF ||
           code == JWRN_HIT_MARKER;
}

static void fail_job(struct job *job)
{
    char text[JMSG_LENGTH_MAX];
    int code = job->manager.msg_code;
    if (is_cut_short(code)) {
        go_on(job, sl_fail_cut_short(job->err, job->encoded, "JPEG"));
    }
    if (code == JERR_OUT_OF_MEMORY) {
        go_on(job, SL_FAIL(job->err, SL_ERROR_RUN, "%s: out of memory while reading JPEG",
                           job->encoded->name));
    }
    job->manager.format_message((j_common_ptr)&job->jpeg, text);
    go_on(job, sl_fail_damaged(job->err, job->encoded, "JPEG", text));
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
        go_on(job, SL_FAIL(job->err, SL_ERROR_DATA,
                           "%s: damaged JPEG: more than the limit of %d scans",
                           job->encoded->name, MAX_SCANS));
    }
}

/* ---- the header -------------------------------------------------------------------- */

/* A block of 64 coefficients takes a bit at least, so that a small file which promises
 * many blocks is cut short: known here, before the library takes memory for them. */
static void check_promise(struct job *job)
{
    const struct jpeg_decompress_struct *jpeg = &job->jpeg;
    int64_t blocks = 0;
    for (int c = 0; c < jpeg->num_components; c++) {
        blocks += (int64_t)jpeg->comp_info[c].width_in_blocks *
                  (int64_t)jpeg->comp_info[c].height_in_blocks;
    }
    if (!jpeg->arith_code && blocks > 8 * job->encoded->size) {
        go_on(job, sl_fail_cut_short(job->err, job->encoded, "JPEG"));
    }
}

static int find_orientation(const struct jpeg_decompress_struct *jpeg)
{
    for (jpeg_saved_marker_ptr m = jpeg->marker_list; m != NULL; m = m->next) {
        if (m->data_length >= 6 && memcmp(m->data, "Exif\0\0", 6) == 0) {
            return sl_exif_orientation(m->data, (int64_t)m->data_length);
        }
    }
    return 1;
}

/* What libjpeg is to make of the stored colours: ink stays ink here (row_from_ink), grey
 * stays grey when no colour is wanted. */
static J_COLOR_SPACE wanted_colours(const struct job *job)
{
    switch (job->jpeg.jpeg_color_space) {
    case JCS_CMYK:
    case JCS_YCCK:
        return JCS_CMYK;
    case JCS_GRAYSCALE:
        return job->encoded->options->channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
    default:
        return JCS_RGB;
    }
}

static void read_header(struct job *job)
{
    struct jpeg_decompress_struct *jpeg = &job->jpeg;
    jpeg_mem_src(jpeg, job->encoded->bytes, (unsigned long)job->encoded->size);
    jpeg_save_markers(jpeg, MARKER_EXIF, MARKER_BYTES);
    jpeg_read_header(jpeg, TRUE);
    go_on(job,
          sl_image_check(job->err, job->encoded, jpeg->image_height, jpeg->image_width));
    check_promise(job);
    job->orientation = find_orientation(jpeg);
    jpeg->out_color_space = wanted_colours(job);
    job->encoded->facts->has_ink = jpeg->out_color_space == JCS_CMYK;
    job->encoded->facts->is_grey = jpeg->jpeg_color_space == JCS_GRAYSCALE;
}

/* ---- the pixels -------------------------------------------------------------------- */

/* Ink is stored inverted, 255 = none: so Adobe's programs write it, and so Pillow and
 * browsers read every file of four channels, with Adobe's marker or without. */
static void row_from_ink(unsigned char *ink, int width, unsigned char *dst)
{
    for (int64_t i = 0; i < (int64_t)width * 4; i++) {
        ink[i] = (unsigned char)(255 - ink[i]);
    }
    sl_from_cmyk(ink, width, dst);
}

static void read_whole(struct job *job)
{
    struct jpeg_decompress_struct *jpeg = &job->jpeg;
    int channels = jpeg->out_color_space == JCS_GRAYSCALE ? 1 : 3;
    go_on(job, sl_image_alloc_dirty(job->err, job->arena, (int)jpeg->image_height,
                                    (int)jpeg->image_width, channels, job->image));
    jpeg_start_decompress(jpeg);
    struct sl_image *image = job->image;
    int64_t row_bytes = (int64_t)image->width * image->channels;
    unsigned char *ink = NULL;
    if (jpeg->out_color_space == JCS_CMYK) {
        go_on(job,
              sl_arena_alloc(job->err, job->arena, (int64_t)image->width * 4, 1, &ink));
    }
    while (jpeg->output_scanline < jpeg->output_height) {
        unsigned char *dst = image->pixels + (int64_t)jpeg->output_scanline * row_bytes;
        JSAMPROW target = ink != NULL ? ink : dst;
        jpeg_read_scanlines(jpeg, &target, 1);
        if (ink != NULL) {
            row_from_ink(ink, image->width, dst);
        }
    }
    jpeg_finish_decompress(jpeg);
}

/* ---- a part of them ---------------------------------------------------------------- */

/* How far a pixel's colour reaches: the smooth enlarging of chroma looks one sample
 * aside, which lies in the next unit of the grid at most. */
static JDIMENSION unit_width(const struct jpeg_decompress_struct *jpeg)
{
    return (JDIMENSION)(jpeg->max_h_samp_factor * jpeg->min_DCT_scaled_size);
}

/* The columns that are decoded: the box's, a unit on either side, and what the library
 * adds to begin at a unit. */
static void crop_columns(struct job *job, const struct sl_box *box)
{
    struct jpeg_decompress_struct *jpeg = &job->jpeg;
    JDIMENSION unit = unit_width(jpeg);
    JDIMENSION left = (JDIMENSION)box->left > unit ? (JDIMENSION)box->left - unit : 0;
    JDIMENSION right = (JDIMENSION)(box->left + box->width) + unit;
    right = right > jpeg->output_width ? jpeg->output_width : right;
    JDIMENSION width = right - left;
    if (width < jpeg->output_width) {
        jpeg_crop_scanline(jpeg, &left, &width);
    }
    job->encoded->options->part->window.left = (int)left;
}

/* Goes through the rest of the file, so that damage behind the box is found as well: the
 * rows between are only parsed; the last one cannot be skipped without leaving them out.
 */
static void finish_rows(struct job *job, unsigned char *row)
{
    struct jpeg_decompress_struct *jpeg = &job->jpeg;
    JDIMENSION left = jpeg->output_height - jpeg->output_scanline;
    if (left > 1) {
        (void)jpeg_skip_scanlines(jpeg, left - 1);
    }
    if (left > 0) {
        jpeg_read_scanlines(jpeg, &row, 1);
    }
    jpeg_finish_decompress(jpeg);
}

/* The box at the size that is decoded: all pixels it touches. */
static struct sl_box reduced_box(const struct jpeg_decompress_struct *jpeg,
                                 struct sl_box box, int eighths)
{
    int64_t top = (int64_t)box.top * eighths / 8, left = (int64_t)box.left * eighths / 8;
    int64_t bottom = ((int64_t)(box.top + box.height) * eighths + 7) / 8;
    int64_t right = ((int64_t)(box.left + box.width) * eighths + 7) / 8;
    bottom = bottom > jpeg->output_height ? jpeg->output_height : bottom;
    right = right > jpeg->output_width ? jpeg->output_width : right;
    return (struct sl_box){.top = (int)top,
                           .left = (int)left,
                           .height = (int)(bottom - top),
                           .width = (int)(right - left)};
}

static void read_part(struct job *job)
{
    struct jpeg_decompress_struct *jpeg = &job->jpeg;
    struct sl_part_wish *part = job->encoded->options->part;
    struct sl_image *image = job->image;
    struct sl_box box = {0};
    unsigned char *spare = NULL;
    int channels = jpeg->out_color_space == JCS_GRAYSCALE ? 1 : 3;
    part->window = (struct sl_window){.height = (int)jpeg->image_height,
                                      .width = (int)jpeg->image_width};
    part->choose(part->context, part->window.height, part->window.width, &box,
                 &part->window.eighths);
    jpeg->scale_num = (unsigned int)part->window.eighths;
    jpeg->scale_denom = 8;
    jpeg_start_decompress(jpeg);
    box = reduced_box(jpeg, box, part->window.eighths);
    crop_columns(job, &box);
    part->window.top = box.top;
    go_on(job, sl_image_alloc_dirty(job->err, job->arena, box.height,
                                    (int)jpeg->output_width, channels, image));
    int64_t row_bytes = (int64_t)image->width * channels;
    go_on(job, sl_arena_alloc(job->err, job->arena, row_bytes, 1, &spare));
    if (box.top > 0) {
        (void)jpeg_skip_scanlines(jpeg, (JDIMENSION)box.top);
    }
    for (int y = 0; y < box.height; y++) {
        JSAMPROW target = image->pixels + y * row_bytes;
        jpeg_read_scanlines(jpeg, &target, 1);
    }
    if (part->window.eighths < 8) {
        jpeg_abort_decompress(jpeg);
    } else {
        finish_rows(job, spare);
    }
}

/* A turned picture is read whole, as is ink, which goes another way. */
static void read_pixels(struct job *job)
{
    if (job->encoded->options->part != NULL && job->orientation <= 1 &&
        job->jpeg.out_color_space != JCS_CMYK) {
        read_part(job);
    } else {
        read_whole(job);
    }
}

/* The one setjmp. `job` belongs to the caller, so that what it holds is defined after the
 * jump. */
static void run_guarded(struct job *job)
{
    if (setjmp(job->leave) != 0) {
        return;
    }
    jpeg_create_decompress(&job->jpeg);
    job->progress.progress_monitor = on_progress;
    job->jpeg.progress = &job->progress;
    read_header(job);
    read_pixels(job);
}

static enum sl_status decode_jpeg(struct sl_error *err, const struct sl_encoded *encoded,
                                  struct sl_arena *arena, struct sl_image *image)
{
    struct job job;
    memset(&job, 0, sizeof(job));
    job.err = err;
    job.encoded = encoded;
    job.arena = arena;
    job.image = image;
    job.jpeg.err = jpeg_std_error(&job.manager);
    job.manager.error_exit = on_error;
    job.manager.emit_message = on_message;
    job.manager.output_message = on_output;
    run_guarded(&job);
    jpeg_destroy_decompress(&job.jpeg);
    SL_TRY(job.status);
    return sl_image_orient(err, arena, job.orientation, image);
}

const struct sl_decoder sl_decoder_jpeg = {
    .name = "jpeg",
    .built = true,
    .matches = sl_is_jpeg,
    .decode = decode_jpeg,
};
