/* SPDX-License-Identifier: MIT */
/*
 * Gaussian blur of 8-bit planes as PIL approximates it: three passes of an extended box
 * along the rows, three down the columns, each rounded to 8 bits. Invariant: the same
 * bytes as PIL.
 */
#include "data/data_int.h"
#include "data/pixel_rows_int.h"

#include <math.h>
#include <string.h>

enum { PASSES = 3 };

/* The box that, applied three times, has the Gaussian's variance (Gwosdek et al.,
 * "Theoretical foundations of Gaussian convolution by extended box filtering", 2011). */
static struct sl_box_filter box_of(float sigma)
{
    float variance = sigma * sigma / 3;
    float length = (float)sqrt(12.0 * (double)variance + 1.0);
    float whole = (float)floor(((double)length - 1.0) / 2.0);
    float part = (2 * whole + 1) * (whole * (whole + 1) - 3 * variance);
    part /= 6 * (variance - (whole + 1) * (whole + 1));
    float radius = whole + part;
    struct sl_box_filter box = {.radius = (int)radius};
    box.inner = (uint32_t)((float)(1 << 24) / (radius * 2 + 1));
    box.outer = ((1U << 24) - (uint32_t)(box.radius * 2 + 1) * box.inner) / 2;
    return box;
}

static int clamp_index(int i, int n)
{
    return i < 0 ? 0 : i >= n ? n - 1 : i;
}

struct blur {
    const struct sl_pixel_rows *loops;
    struct sl_box_filter box;
    unsigned char *lines[2];     /* padded rows; a pass goes from one to the other */
    unsigned char *copy;         /* a plane between passes */
    const unsigned char **taken; /* 2 radius + 3 */
};

/* All passes along one row, which stays in two lines. */
static void blur_row(const struct blur *blur, int width, unsigned char *row)
{
    int pad = blur->box.radius + 1;
    memcpy(blur->lines[0] + pad, row, (size_t)width);
    for (int pass = 0; pass < PASSES; pass++) {
        unsigned char *from = blur->lines[pass % 2];
        unsigned char *to = blur->lines[(pass + 1) % 2] + pad;
        memset(from, from[pad], (size_t)pad);
        memset(from + pad + width, from[pad + width - 1], (size_t)pad);
        for (int r = 0; r < 2 * pad + 1; r++) {
            blur->taken[r] = from + r;
        }
        blur->loops->box(width, &blur->box, blur->taken, pass == PASSES - 1 ? row : to);
    }
}

/* One pass down the columns. */
static void blur_columns(const struct blur *blur, int height, int width,
                         const unsigned char *src, unsigned char *dst)
{
    int pad = blur->box.radius + 1;
    for (int y = 0; y < height; y++) {
        for (int r = 0; r < 2 * pad + 1; r++) {
            blur->taken[r] = src + (int64_t)clamp_index(y + r - pad, height) * width;
        }
        blur->loops->box(width, &blur->box, blur->taken, dst + (int64_t)y * width);
    }
}

static void blur_plane(const struct blur *blur, int height, int width,
                       unsigned char *plane)
{
    for (int y = 0; y < height; y++) {
        blur_row(blur, width, plane + (int64_t)y * width);
    }
    memcpy(blur->copy, plane, (size_t)height * (size_t)width);
    blur_columns(blur, height, width, blur->copy, plane);
    blur_columns(blur, height, width, plane, blur->copy);
    blur_columns(blur, height, width, blur->copy, plane);
}

enum sl_status sl_pixels_blur(struct sl_error *err, struct sl_arena *arena,
                              struct sl_planes *planes, float radius)
{
    if (radius <= 0) {
        return SL_OK;
    }
    struct sl_arena_mark mark = sl_arena_mark_now(arena);
    struct blur blur = {.loops = sl_pixel_rows_at(0), .box = box_of(radius)};
    int pad = blur.box.radius + 1;
    int64_t line = planes->width + 2 * (int64_t)pad;
    SL_TRY(sl_arena_alloc(err, arena, line, 1, &blur.lines[0]));
    SL_TRY(sl_arena_alloc(err, arena, line, 1, &blur.lines[1]));
    SL_TRY(sl_arena_alloc(err, arena, (int64_t)planes->width * planes->height, 1,
                          &blur.copy));
    SL_TRY(sl_arena_alloc(err, arena, 2 * (int64_t)pad + 1, sizeof(*blur.taken),
                          &blur.taken));
    for (int c = 0; c < planes->channels; c++) {
        blur_plane(&blur, planes->height, planes->width, planes->at[c]);
    }
    sl_arena_reset(arena, mark);
    return SL_OK;
}
