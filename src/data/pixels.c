/* SPDX-License-Identifier: MIT */
/*
 * Pure functions on 8-bit pixels, with PIL's arithmetic: flip, colours, blur, solarise,
 * normalise. Resizing is in resize.c. Nothing here draws a random number or knows a
 * recipe. Invariant: the same bytes as PIL for the same arguments; the golden test holds
 * each of them against PIL's output. On one channel, what needs colour does nothing.
 */
#include "data/data.h"

#include <math.h>
#include <string.h>

static int64_t n_pixels(const struct sl_image *image)
{
    return (int64_t)image->height * image->width;
}

void sl_pixels_flip(struct sl_image *image)
{
    int channels = image->channels;
    for (int y = 0; y < image->height; y++) {
        unsigned char *left = image->pixels + (int64_t)y * image->width * channels;
        unsigned char *right = left + (int64_t)(image->width - 1) * channels;
        for (; left < right; left += channels, right -= channels) {
            for (int c = 0; c < channels; c++) {
                unsigned char kept = left[c];
                left[c] = right[c];
                right[c] = kept;
            }
        }
    }
}

/* ---- colours ----------------------------------------------------------------------- */

/* ITU-R 601 luma in 16-bit fixed point. */
static int luma(const unsigned char *rgb)
{
    return (19595 * rgb[0] + 38470 * rgb[1] + 7471 * rgb[2] + 0x8000) >> 16;
}

enum sl_status sl_pixels_set_channels(struct sl_error *err, struct sl_arena *arena,
                                      struct sl_image *image, int channels)
{
    struct sl_image made = *image;
    int64_t n = n_pixels(image);
    SL_ASSERT(channels == 1 || channels == 3);
    if (image->channels == channels) {
        return SL_OK;
    }
    made.channels = channels;
    SL_TRY(sl_arena_alloc(err, arena, n * channels, 1, &made.pixels));
    const unsigned char *src = image->pixels;
    for (int64_t i = 0; channels == 1 && i < n; i++) {
        made.pixels[i] = (unsigned char)luma(src + 3 * i);
    }
    for (int64_t i = 0; channels == 3 && i < n; i++) {
        memset(made.pixels + 3 * i, src[i], 3);
    }
    *image = made;
    return SL_OK;
}

void sl_pixels_grey(struct sl_image *image)
{
    if (image->channels == 1) {
        return;
    }
    unsigned char *pixels = image->pixels;
    for (int64_t i = 0; i < n_pixels(image); i++) {
        unsigned char value = (unsigned char)luma(pixels + 3 * i);
        pixels[3 * i] = value;
        pixels[3 * i + 1] = value;
        pixels[3 * i + 2] = value;
    }
}

/* Mixes a value with the picture's: factor 0 gives `from`, 1 the picture; above 1 is
 * clipped. */
static unsigned char blend(int from, int to, float factor)
{
    float mixed = (float)from + factor * (float)(to - from);
    mixed = mixed < 0.0f ? 0.0f : mixed > 255.0f ? 255.0f : mixed;
    return (unsigned char)mixed;
}

/* Every value is mixed with one and the same: a table of 256. */
static void blend_constant(struct sl_image *image, int from, float factor)
{
    unsigned char table[256];
    int64_t n = n_pixels(image) * image->channels;
    for (int v = 0; v < 256; v++) {
        table[v] = blend(from, v, factor);
    }
    for (int64_t i = 0; i < n; i++) {
        image->pixels[i] = table[image->pixels[i]];
    }
}

void sl_pixels_brightness(struct sl_image *image, float factor)
{
    blend_constant(image, 0, factor);
}

void sl_pixels_contrast(struct sl_image *image, float factor)
{
    int64_t sum = 0, n = n_pixels(image);
    bool is_grey = image->channels == 1;
    for (int64_t i = 0; i < n; i++) {
        sum += is_grey ? image->pixels[i] : luma(image->pixels + 3 * i);
    }
    blend_constant(image, (int)((double)sum / (double)n + 0.5), factor);
}

void sl_pixels_saturation(struct sl_image *image, float factor)
{
    if (image->channels == 1) {
        return;
    }
    unsigned char *pixels = image->pixels;
    for (int64_t i = 0; i < n_pixels(image); i++) {
        int grey = luma(pixels + 3 * i);
        pixels[3 * i] = blend(grey, pixels[3 * i], factor);
        pixels[3 * i + 1] = blend(grey, pixels[3 * i + 1], factor);
        pixels[3 * i + 2] = blend(grey, pixels[3 * i + 2], factor);
    }
}

static int largest(const unsigned char *rgb)
{
    int most = rgb[0] > rgb[1] ? rgb[0] : rgb[1];
    return most > rgb[2] ? most : rgb[2];
}

static int smallest(const unsigned char *rgb)
{
    int least = rgb[0] < rgb[1] ? rgb[0] : rgb[1];
    return least < rgb[2] ? least : rgb[2];
}

/* Hue 0..255 of a colour that is not grey. Single precision where PIL has it, double
 * where C promotes in PIL. */
static int hue_of(const unsigned char *rgb, int most, float spread)
{
    float red = (float)(most - rgb[0]) / spread;
    float green = (float)(most - rgb[1]) / spread;
    float blue = (float)(most - rgb[2]) / spread;
    float sixths = rgb[0] == most   ? blue - green
                   : rgb[1] == most ? (float)(2.0 + (double)red - (double)blue)
                                    : (float)(4.0 + (double)green - (double)red);
    double turns = (double)sixths / 6.0 + 1.0; /* in 0.83 .. 1.84 */
    turns = turns >= 1.0 ? turns - 1.0 : turns;
    return (int)((double)(float)turns * 255.0);
}

/* round() half away from zero of a value that is not negative. */
static unsigned char round_up(double value)
{
    return (unsigned char)(int)(value + 0.5);
}

static void from_hsv(int hue, int saturation, int value, unsigned char *rgb)
{
    int sixth = (int)((double)hue * 6.0 / 255.0);
    float part = (float)((double)hue * 6.0 / 255.0 - (double)sixth);
    float strength = (float)((double)saturation / 255.0);
    unsigned char v = (unsigned char)value;
    unsigned char p = round_up((double)value * (1.0 - (double)strength));
    unsigned char q = round_up((double)value * (1.0 - (double)(strength * part)));
    unsigned char t =
        round_up((double)value * (1.0 - (double)strength * (1.0 - (double)part)));
    const unsigned char rows[6][3] = {{v, t, p}, {q, v, p}, {p, v, t},
                                      {p, q, v}, {t, p, v}, {v, p, q}};
    memcpy(rgb, rows[sixth % 6], 3);
}

void sl_pixels_hue(struct sl_image *image, float shift)
{
    if (image->channels == 1) {
        return;
    }
    int turn = (int)((double)shift * 255.0) & 255;
    for (int64_t i = 0; i < n_pixels(image); i++) {
        unsigned char *rgb = image->pixels + 3 * i;
        int most = largest(rgb), least = smallest(rgb);
        if (most == least) {
            continue; /* grey has no saturation, so that its hue says nothing */
        }
        float spread = (float)(most - least);
        float strength = spread / (float)most;
        int saturation = (int)((double)strength * 255.0);
        int hue = (hue_of(rgb, most, spread) + turn) & 255;
        if (saturation == 0) {
            memset(rgb, most, 3);
        } else {
            from_hsv(hue, saturation, most, rgb);
        }
    }
}

void sl_pixels_solarise(struct sl_image *image, int threshold)
{
    int64_t n = n_pixels(image) * image->channels;
    for (int64_t i = 0; i < n; i++) {
        int value = image->pixels[i];
        image->pixels[i] = (unsigned char)(value < threshold ? value : 255 - value);
    }
}

/* ---- blur -------------------------------------------------------------------------- */

/* An extended box: 2 radius + 1 pixels of weight `inner`, one more at each end of weight
 * `outer`, in 24-bit fixed point. */
struct box {
    int radius;
    uint32_t inner, outer;
};

/* The box that, applied three times, has the Gaussian's variance (Gwosdek et al.,
 * "Theoretical foundations of Gaussian convolution by extended box filtering", 2011). */
static struct box box_of(float sigma)
{
    float variance = sigma * sigma / 3;
    float length = (float)sqrt(12.0 * (double)variance + 1.0);
    float whole = (float)floor(((double)length - 1.0) / 2.0);
    float part = (2 * whole + 1) * (whole * (whole + 1) - 3 * variance);
    part /= 6 * (variance - (whole + 1) * (whole + 1));
    float radius = whole + part;
    struct box box = {.radius = (int)radius};
    box.inner = (uint32_t)((float)(1 << 24) / (radius * 2 + 1));
    box.outer = ((1u << 24) - (uint32_t)(box.radius * 2 + 1) * box.inner) / 2;
    return box;
}

static int clamp_index(int i, int n)
{
    return i < 0 ? 0 : i >= n ? n - 1 : i;
}

/* dst[i] from `rows` of n bytes: the box across the rows. Used with rows of a picture
 * (down the columns), and with the same row shifted (along it). */
static void box_bytes(const struct box *box, const unsigned char *const *rows, int64_t n,
                      unsigned char *dst, uint32_t *sums)
{
    int last = 2 * box->radius + 2;
    for (int64_t i = 0; i < n; i++) {
        sums[i] = 0;
    }
    for (int r = 1; r < last; r++) {
        const unsigned char *row = rows[r];
        for (int64_t i = 0; i < n; i++) {
            sums[i] += row[i];
        }
    }
    const unsigned char *first_row = rows[0], *last_row = rows[last];
    for (int64_t i = 0; i < n; i++) {
        uint32_t ends = (uint32_t)(first_row[i] + last_row[i]);
        dst[i] =
            (unsigned char)((sums[i] * box->inner + ends * box->outer + (1u << 23)) >>
                            24);
    }
}

struct blur {
    struct box box;
    unsigned char *line;        /* a padded row */
    unsigned char *copy;        /* the picture before a vertical pass */
    uint32_t *sums;             /* a row */
    const unsigned char **rows; /* 2 radius + 3 */
};

static void blur_rows(const struct blur *blur, struct sl_image *image)
{
    int channels = image->channels, pad = blur->box.radius + 1;
    int64_t bytes = (int64_t)image->width * channels;
    for (int y = 0; y < image->height; y++) {
        unsigned char *row = image->pixels + y * bytes;
        unsigned char *middle = blur->line + (int64_t)pad * channels;
        memcpy(middle, row, (size_t)bytes);
        for (int p = 1; p <= pad; p++) {
            memcpy(middle - (int64_t)p * channels, row, (size_t)channels);
            memcpy(middle + bytes + (int64_t)(p - 1) * channels, row + bytes - channels,
                   (size_t)channels);
        }
        for (int r = 0; r < 2 * pad + 1; r++) {
            blur->rows[r] = blur->line + (int64_t)r * channels;
        }
        box_bytes(&blur->box, blur->rows, bytes, row, blur->sums);
    }
}

static void blur_columns(const struct blur *blur, struct sl_image *image)
{
    int pad = blur->box.radius + 1;
    int64_t bytes = (int64_t)image->width * image->channels;
    memcpy(blur->copy, image->pixels, (size_t)(bytes * image->height));
    for (int y = 0; y < image->height; y++) {
        for (int r = 0; r < 2 * pad + 1; r++) {
            int from = clamp_index(y + r - pad, image->height);
            blur->rows[r] = blur->copy + from * bytes;
        }
        box_bytes(&blur->box, blur->rows, bytes, image->pixels + y * bytes, blur->sums);
    }
}

enum sl_status sl_pixels_blur(struct sl_error *err, struct sl_arena *arena,
                              struct sl_image *image, float radius)
{
    if (radius <= 0) {
        return SL_OK;
    }
    struct blur blur = {.box = box_of(radius)};
    int64_t bytes = (int64_t)image->width * image->channels;
    int pad = blur.box.radius + 1;
    SL_TRY(sl_arena_alloc(err, arena, bytes + 2 * (int64_t)pad * image->channels, 1,
                          &blur.line));
    SL_TRY(sl_arena_alloc(err, arena, bytes * image->height, 1, &blur.copy));
    SL_TRY(sl_arena_alloc(err, arena, bytes, sizeof(uint32_t), &blur.sums));
    SL_TRY(sl_arena_alloc(err, arena, 2 * pad + 1, sizeof(*blur.rows), &blur.rows));
    for (int pass = 0; pass < 3; pass++) {
        blur_rows(&blur, image);
    }
    for (int pass = 0; pass < 3; pass++) {
        blur_columns(&blur, image);
    }
    return SL_OK;
}

/* ---- numbers ----------------------------------------------------------------------- */

void sl_pixels_normalise(const struct sl_image *image, const float mean[3],
                         const float std[3], float *dst)
{
    float table[3][256];
    for (int c = 0; c < 3; c++) {
        for (int v = 0; v < 256; v++) {
            table[c][v] = ((float)v / 255.0f - mean[c]) / std[c];
        }
    }
    const unsigned char *src = image->pixels;
    int64_t n = n_pixels(image);
    for (int64_t i = 0; image->channels == 1 && i < n; i++) {
        dst[i] = table[0][src[i]];
    }
    for (int64_t i = 0; image->channels == 3 && i < n; i++, src += 3) {
        dst[3 * i] = table[0][src[0]];
        dst[3 * i + 1] = table[1][src[1]];
        dst[3 * i + 2] = table[2][src[2]];
    }
}
