/* SPDX-License-Identifier: MIT */
/*
 * Pure functions on 8-bit planes, with PIL's arithmetic: shift, flip, colours, solarise,
 * light, normalise. Resizing is in resize.c, blurring in blur.c, the loops themselves in
 * pixel_rows_*.c. Nothing here draws a random number or knows a recipe. Invariant: the
 * same bytes as PIL for the same arguments; the golden test holds each of them against
 * PIL's output. On one channel, what needs colour does nothing.
 */
#include "data/data_int.h"
#include "data/pixel_rows_int.h"

#include <math.h>
#include <string.h>

static int64_t n_pixels(const struct sl_planes *planes)
{
    return (int64_t)planes->height * planes->width;
}

enum sl_status sl_planes_alloc(struct sl_error *err, struct sl_arena *arena, int height,
                               int width, int channels, struct sl_planes *planes)
{
    int64_t count = (int64_t)height * width, bytes = 0;
    *planes = (struct sl_planes){.height = height, .width = width, .channels = channels};
    if (!sl_mul_checked(count + SL_ROW_SLACK, channels, &bytes)) {
        return SL_FAIL(err, SL_ERROR_RUN, "an image of %d x %d pixels is too large",
                       height, width);
    }
    unsigned char *memory = NULL;
    SL_TRY(sl_arena_alloc_dirty(err, arena, bytes, 1, &memory));
    for (int c = 0; c < channels; c++) {
        planes->at[c] = memory + c * (count + SL_ROW_SLACK);
    }
    return SL_OK;
}

enum sl_status sl_pixels_set_channels(struct sl_error *err, struct sl_arena *arena,
                                      struct sl_image *image, int channels)
{
    struct sl_image made = *image;
    int64_t n = (int64_t)image->height * image->width;
    SL_ASSERT(channels == 1 || channels == 3);
    if (image->channels == channels) {
        return SL_OK;
    }
    made.channels = channels;
    SL_TRY(sl_arena_alloc(err, arena, n * channels, 1, &made.pixels));
    const unsigned char *src = image->pixels;
    for (int64_t i = 0; channels == 1 && i < n; i++, src += 3) {
        int luma = (19595 * src[0] + 38470 * src[1] + 7471 * src[2] + 0x8000) >> 16;
        made.pixels[i] = (unsigned char)luma;
    }
    for (int64_t i = 0; channels == 3 && i < n; i++) {
        memset(made.pixels + 3 * i, src[i], 3);
    }
    *image = made;
    return SL_OK;
}

enum sl_status sl_pixels_shift(struct sl_error *err, struct sl_arena *arena,
                               const struct sl_planes *src, int top, int left,
                               struct sl_planes *dst)
{
    int64_t width = src->width, height = src->height;
    int64_t from = left > 0 ? left : 0, to = left < 0 ? -(int64_t)left : 0;
    int64_t n = width - from - to;
    SL_TRY(sl_planes_alloc(err, arena, src->height, src->width, src->channels, dst));
    for (int c = 0; c < src->channels; c++) {
        memset(dst->at[c], 0, (size_t)n_pixels(src));
        for (int64_t y = 0; y < height && n > 0; y++) {
            if (y + top >= 0 && y + top < height) {
                memcpy(dst->at[c] + y * width + to, src->at[c] + (y + top) * width + from,
                       (size_t)n);
            }
        }
    }
    return SL_OK;
}

static void reverse(unsigned char *bytes, int n)
{
    for (int left = 0, right = n - 1; left < right; left++, right--) {
        unsigned char kept = bytes[left];
        bytes[left] = bytes[right];
        bytes[right] = kept;
    }
}

void sl_pixels_flip(struct sl_planes *planes)
{
    for (int c = 0; c < planes->channels; c++) {
        for (int y = 0; y < planes->height; y++) {
            reverse(planes->at[c] + (int64_t)y * planes->width, planes->width);
        }
    }
}

void sl_pixels_grey(struct sl_planes *planes)
{
    if (planes->channels == 1) {
        return;
    }
    int64_t n = n_pixels(planes);
    unsigned char *const *at = planes->at;
    /* In blocks, so that the luma may replace what it is made of. */
    for (int64_t i = 0; i < n; i += 1024) {
        unsigned char luma[1024];
        int64_t m = n - i < 1024 ? n - i : 1024;
        sl_pixel_rows_at(0)->luma(m, at[0] + i, at[1] + i, at[2] + i, luma);
        for (int c = 0; c < 3; c++) {
            memcpy(at[c] + i, luma, (size_t)m);
        }
    }
}

static void blend_all(struct sl_planes *planes, int from, float factor)
{
    for (int c = 0; c < planes->channels; c++) {
        sl_pixel_rows_at(0)->blend(n_pixels(planes), from, factor, planes->at[c]);
    }
}

void sl_pixels_brightness(struct sl_planes *planes, float factor)
{
    blend_all(planes, 0, factor);
}

void sl_pixels_contrast(struct sl_planes *planes, float factor)
{
    /* Of three equal channels the luma is the channel. */
    int step = planes->channels == 3 ? 1 : 0;
    int64_t n = n_pixels(planes);
    int64_t sum = sl_pixel_rows_at(0)->luma_sum(n, planes->at[0], planes->at[step],
                                                planes->at[2 * step]);
    blend_all(planes, (int)((double)sum / (double)n + 0.5), factor);
}

void sl_pixels_saturation(struct sl_planes *planes, float factor)
{
    if (planes->channels == 1) {
        return;
    }
    sl_pixel_rows_at(0)->saturate(n_pixels(planes), factor, planes->at[0], planes->at[1],
                                  planes->at[2]);
}

void sl_pixels_hue(struct sl_planes *planes, float shift)
{
    if (planes->channels == 1) {
        return;
    }
    int turn = (int)((double)shift * 255.0) & 255;
    sl_pixel_rows_at(0)->hue(n_pixels(planes), turn, planes->at[0], planes->at[1],
                             planes->at[2]);
}

void sl_pixels_solarise(struct sl_planes *planes, int threshold)
{
    for (int c = 0; c < planes->channels; c++) {
        sl_pixel_rows_at(0)->solarise(n_pixels(planes), threshold, planes->at[c]);
    }
}

/* Cutting a level plus a fraction off at the point is the same whole step for every level
 * that stays above zero. Bounds first and bytes throughout, so that a compiler makes
 * bytes side by side of it. */
static void add_step(int64_t n, int step, unsigned char *at)
{
    const unsigned char least = (unsigned char)(step < 0 ? -step : 0);
    const unsigned char most = (unsigned char)(step > 0 ? 255 - step : 255);
    const unsigned char added = (unsigned char)step;
    for (int64_t i = 0; i < n; i++) {
        unsigned char level = at[i] < least ? least : at[i];
        level = level > most ? most : level;
        at[i] = (unsigned char)(level + added);
    }
}

void sl_pixels_light(struct sl_planes *planes, const float levels[3])
{
    for (int c = 0; c < 3 && planes->channels == 3; c++) {
        float below = floorf(levels[c]);
        int step = below < -255.0F ? -255 : below > 255.0F ? 255 : (int)below;
        if (step != 0) {
            add_step(n_pixels(planes), step, planes->at[c]);
        }
    }
}

static void normalise_grey(const struct sl_planes *planes, float mean, float std,
                           bool mirrored, float *dst)
{
    int64_t width = planes->width;
    float table[256];
    for (int v = 0; v < 256; v++) {
        table[v] = ((float)v / 255.0F - mean) / std;
    }
    for (int64_t y = 0; y < planes->height; y++) {
        const unsigned char *row = planes->at[0] + y * width;
        for (int64_t x = 0; x < width; x++) {
            dst[y * width + x] = table[row[mirrored ? width - 1 - x : x]];
        }
    }
}

void sl_pixels_normalise(const struct sl_planes *planes, const float mean[3],
                         const float std[3], bool mirrored, float *dst)
{
    const struct sl_pixel_rows *rows = sl_pixel_rows_at(0);
    if (planes->channels == 1) {
        normalise_grey(planes, mean[0], std[0], mirrored, dst);
        return;
    }
    /* Forwards the picture is one run; backwards each of its rows is. */
    int64_t run = mirrored ? planes->width : n_pixels(planes);
    for (int64_t at = 0; at < n_pixels(planes); at += run) {
        rows->normalise(run, planes->at[0] + at, planes->at[1] + at, planes->at[2] + at,
                        mirrored, mean, std, dst + 3 * at);
    }
}
