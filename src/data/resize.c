/* SPDX-License-Identifier: MIT */
/*
 * Crop and resize of 8-bit pixels: the antialiased bilinear that PIL and torchvision
 * compute. Two passes, along the rows and down the columns, each rounded to 8 bits; the
 * coefficients are whole numbers in 22-bit fixed point. Invariant: nothing outside of the
 * box is read; a pass that would change nothing is left out.
 */
#include "data/data_int.h"

#include <string.h>

enum { FRACTION_BITS = 22 };

/* For each output place, the first input place and its weights. */
struct taps {
    int n_most; /* weights per place, the row length of `weights` */
    int *first, *n;
    int32_t *weights;
};

static double triangle(double x)
{
    x = x < 0.0 ? -x : x;
    return x < 1.0 ? 1.0 - x : 0.0;
}

/* Weights of one output place whose centre is `centre` in input places. */
static void place_taps(double centre, double scale, int first, int n, double *shares,
                       int32_t *weights)
{
    double sum = 0.0, inverse = 1.0 / scale;
    for (int k = 0; k < n; k++) {
        shares[k] = triangle((k + first - centre + 0.5) * inverse);
        sum += shares[k];
    }
    for (int k = 0; k < n; k++) {
        double share = sum != 0.0 ? shares[k] / sum : shares[k];
        weights[k] = (int32_t)(share * (1 << FRACTION_BITS) + 0.5);
    }
}

static enum sl_status make_taps(struct sl_error *err, struct sl_arena *arena, int from,
                                int to, struct taps *taps)
{
    double step = (double)from / to;
    double scale = step < 1.0 ? 1.0 : step; /* also the triangle's half width */
    double *shares = NULL;
    taps->n_most = 2 * ((int)scale + ((double)(int)scale < scale ? 1 : 0)) + 1;
    SL_TRY(sl_arena_alloc(err, arena, to, sizeof(int), &taps->first));
    SL_TRY(sl_arena_alloc(err, arena, to, sizeof(int), &taps->n));
    SL_TRY(sl_arena_alloc(err, arena, (int64_t)to * taps->n_most, sizeof(int32_t),
                          &taps->weights));
    SL_TRY(sl_arena_alloc(err, arena, taps->n_most, sizeof(double), &shares));
    for (int i = 0; i < to; i++) {
        double centre = (i + 0.5) * step;
        int first = (int)(centre - scale + 0.5), end = (int)(centre + scale + 0.5);
        first = centre - scale + 0.5 < 0.0 ? 0 : first;
        end = end > from ? from : end;
        taps->first[i] = first;
        taps->n[i] = end - first;
        place_taps(centre, scale, first, end - first, shares,
                   taps->weights + (int64_t)i * taps->n_most);
    }
    return SL_OK;
}

static unsigned char clip(int32_t sum)
{
    int32_t value = sum >> FRACTION_BITS;
    return (unsigned char)(value < 0 ? 0 : value > 255 ? 255 : value);
}

static void row_rgb(const struct taps *taps, int width, const unsigned char *src,
                    unsigned char *dst)
{
    for (int x = 0; x < width; x++) {
        const unsigned char *p = src + 3 * (int64_t)taps->first[x];
        const int32_t *w = taps->weights + (int64_t)x * taps->n_most;
        int32_t r = 1 << (FRACTION_BITS - 1), g = r, b = r;
        for (int k = 0; k < taps->n[x]; k++, p += 3) {
            r += p[0] * w[k];
            g += p[1] * w[k];
            b += p[2] * w[k];
        }
        dst[3 * x] = clip(r);
        dst[3 * x + 1] = clip(g);
        dst[3 * x + 2] = clip(b);
    }
}

static void row_grey(const struct taps *taps, int width, const unsigned char *src,
                     unsigned char *dst)
{
    for (int x = 0; x < width; x++) {
        const unsigned char *p = src + taps->first[x];
        const int32_t *w = taps->weights + (int64_t)x * taps->n_most;
        int32_t sum = 1 << (FRACTION_BITS - 1);
        for (int k = 0; k < taps->n[x]; k++) {
            sum += p[k] * w[k];
        }
        dst[x] = clip(sum);
    }
}

/* One output row from the rows above and below: whole rows at a time. */
static void blend_rows(const int32_t *weights, int n, const unsigned char *src,
                       int64_t bytes, int32_t *sums, unsigned char *dst)
{
    for (int64_t i = 0; i < bytes; i++) {
        sums[i] = 1 << (FRACTION_BITS - 1);
    }
    for (int k = 0; k < n; k++) {
        const unsigned char *row = src + k * bytes;
        int32_t w = weights[k];
        for (int64_t i = 0; i < bytes; i++) {
            sums[i] += row[i] * w;
        }
    }
    for (int64_t i = 0; i < bytes; i++) {
        dst[i] = clip(sums[i]);
    }
}

/* The box's rows at the new width. */
static enum sl_status resize_rows(struct sl_error *err, struct sl_arena *arena,
                                  const struct sl_image *src, struct sl_box box,
                                  int width, unsigned char *dst)
{
    int64_t stride = (int64_t)src->width * src->channels;
    const unsigned char *from =
        src->pixels + box.top * stride + (int64_t)box.left * src->channels;
    int64_t bytes = (int64_t)width * src->channels;
    struct taps taps;
    if (width != box.width) {
        SL_TRY(make_taps(err, arena, box.width, width, &taps));
    }
    for (int y = 0; y < box.height; y++) {
        const unsigned char *row = from + y * stride;
        if (width == box.width) {
            memcpy(dst + y * bytes, row, (size_t)bytes);
        } else if (src->channels == 3) {
            row_rgb(&taps, width, row, dst + y * bytes);
        } else {
            row_grey(&taps, width, row, dst + y * bytes);
        }
    }
    return SL_OK;
}

static enum sl_status resize_columns(struct sl_error *err, struct sl_arena *arena,
                                     const unsigned char *src, int from, int64_t bytes,
                                     int height, unsigned char *dst)
{
    struct taps taps;
    int32_t *sums = NULL;
    SL_TRY(make_taps(err, arena, from, height, &taps));
    SL_TRY(sl_arena_alloc(err, arena, bytes, sizeof(int32_t), &sums));
    for (int y = 0; y < height; y++) {
        blend_rows(taps.weights + (int64_t)y * taps.n_most, taps.n[y],
                   src + taps.first[y] * bytes, bytes, sums, dst + y * bytes);
    }
    return SL_OK;
}

enum sl_status sl_pixels_resize(struct sl_error *err, struct sl_arena *arena,
                                const struct sl_image *src, struct sl_box box, int height,
                                int width, struct sl_image *dst)
{
    SL_ASSERT(box.top >= 0 && box.left >= 0 && box.height > 0 && box.width > 0 &&
              box.top <= src->height - box.height && box.left <= src->width - box.width);
    SL_ASSERT(height > 0 && width > 0);
    struct sl_image between = {0};
    struct sl_image done = {0};
    SL_TRY(sl_image_alloc(err, arena, height, width, src->channels, &done));
    if (height == box.height) {
        SL_TRY(resize_rows(err, arena, src, box, width, done.pixels));
    } else {
        SL_TRY(sl_image_alloc(err, arena, box.height, width, src->channels, &between));
        SL_TRY(resize_rows(err, arena, src, box, width, between.pixels));
        SL_TRY(resize_columns(err, arena, between.pixels, box.height,
                              (int64_t)width * src->channels, height, done.pixels));
    }
    *dst = done;
    return SL_OK;
}
