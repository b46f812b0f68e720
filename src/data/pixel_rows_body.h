/* SPDX-License-Identifier: MIT */
/*
 * Loops over runs of 8-bit pixels, written once in plain C and included by
 * pixel_rows_base.c, pixel_rows_avx2.c, pixel_rows_avx512.c and pixel_rows_avx512vnni.c,
 * which name the table (SL_PIXEL_ROWS, …_NAME, …_PACKING), define split_run and
 * resize_line before (two of them by pixel_rows_shuffled_body.h), and are compiled with
 * different flags. What each loop computes is said in pixel_rows_int.h. Nothing else may
 * include this file.
 *
 * The arithmetic is PIL's. Where it has floating point, the steps here are either PIL's
 * own or ones that round to the same numbers, which the tests show for every colour; no
 * step is left to the compiler's choice (no contraction), so all tables agree.
 */
#ifndef SRC_DATA_PIXEL_ROWS_BODY_H
#define SRC_DATA_PIXEL_ROWS_BODY_H

#include "data/pixel_rows_int.h"

/* ---- weighted sums of lines -------------------------------------------------------- */

static void blend_one(int64_t n, const int32_t *weights,
                      const unsigned char *restrict line, unsigned char *restrict dst)
{
    const int32_t w = weights[0];
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        dst[i] = (unsigned char)((SL_TAP_HALF + line[i] * w) >> SL_TAP_BITS);
    }
}

static void blend_two(int64_t n, const int32_t *weights, const unsigned char *restrict a,
                      const unsigned char *restrict b, unsigned char *restrict dst)
{
    const int32_t v = weights[0], w = weights[1];
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        dst[i] = (unsigned char)((SL_TAP_HALF + a[i] * v + b[i] * w) >> SL_TAP_BITS);
    }
}

static void blend_three(int64_t n, const int32_t *weights,
                        const unsigned char *restrict a, const unsigned char *restrict b,
                        const unsigned char *restrict c, unsigned char *restrict dst)
{
    const int32_t u = weights[0], v = weights[1], w = weights[2];
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        dst[i] = (unsigned char)((SL_TAP_HALF + a[i] * u + b[i] * v + c[i] * w) >>
                                 SL_TAP_BITS);
    }
}

enum { SUM_BLOCK = 256 };

/* Any number of lines. Thousands of weights may each have been rounded up, so that the
 * sum has to be clipped. */
static void blend_many(int64_t n, const int32_t *weights, int n_taps,
                       const unsigned char *restrict src, int64_t stride,
                       unsigned char *restrict dst)
{
    int32_t sums[SUM_BLOCK];
    for (int64_t at = 0; at < n; at += SUM_BLOCK) {
        const int64_t m = n - at < SUM_BLOCK ? n - at : SUM_BLOCK;
        for (int64_t i = 0; i < m; i++) {
            sums[i] = SL_TAP_HALF;
        }
        for (int k = 0; k < n_taps; k++) {
            const unsigned char *line = src + k * stride + at;
            const int32_t w = weights[k];
#pragma omp simd
            for (int64_t i = 0; i < m; i++) {
                sums[i] += line[i] * w;
            }
        }
#pragma omp simd
        for (int64_t i = 0; i < m; i++) {
            const int32_t value = sums[i] >> SL_TAP_BITS;
            dst[at + i] = (unsigned char)(value > 255 ? 255 : value);
        }
    }
}

static void blend_lines(int64_t n, const int32_t *weights, int n_taps,
                        const unsigned char *src, int64_t stride, unsigned char *dst)
{
    switch (n_taps) {
    case 1:
        blend_one(n, weights, src, dst);
        break;
    case 2:
        blend_two(n, weights, src, src + stride, dst);
        break;
    case 3:
        blend_three(n, weights, src, src + stride, src + 2 * stride, dst);
        break;
    default:
        blend_many(n, weights, n_taps, src, stride, dst);
        break;
    }
}

/* ---- box filter -------------------------------------------------------------------- */

static void box_three(int64_t n, const struct sl_box_filter *box,
                      const unsigned char *restrict a, const unsigned char *restrict b,
                      const unsigned char *restrict c, unsigned char *restrict dst)
{
    const uint32_t inner = box->inner, outer = box->outer;
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        dst[i] = (unsigned char)((b[i] * inner + (uint32_t)(a[i] + c[i]) * outer +
                                  (1U << 23)) >>
                                 24);
    }
}

static void box_five(int64_t n, const struct sl_box_filter *box,
                     const unsigned char *restrict a, const unsigned char *restrict b,
                     const unsigned char *restrict c, const unsigned char *restrict d,
                     const unsigned char *restrict e, unsigned char *restrict dst)
{
    const uint32_t inner = box->inner, outer = box->outer;
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        const uint32_t middle = (uint32_t)(b[i] + c[i] + d[i]);
        const uint32_t ends = (uint32_t)(a[i] + e[i]);
        dst[i] = (unsigned char)((middle * inner + ends * outer + (1U << 23)) >> 24);
    }
}

static void box_many(int64_t n, const struct sl_box_filter *box,
                     const unsigned char *const *lines, unsigned char *restrict dst)
{
    uint32_t sums[SUM_BLOCK];
    const int last = 2 * box->radius + 2;
    const uint32_t inner = box->inner, outer = box->outer;
    for (int64_t at = 0; at < n; at += SUM_BLOCK) {
        const int64_t m = n - at < SUM_BLOCK ? n - at : SUM_BLOCK;
        const unsigned char *first_line = lines[0] + at, *last_line = lines[last] + at;
        for (int64_t i = 0; i < m; i++) {
            sums[i] = 0;
        }
        for (int k = 1; k < last; k++) {
            const unsigned char *line = lines[k] + at;
#pragma omp simd
            for (int64_t i = 0; i < m; i++) {
                sums[i] += line[i];
            }
        }
#pragma omp simd
        for (int64_t i = 0; i < m; i++) {
            const uint32_t ends = (uint32_t)(first_line[i] + last_line[i]);
            dst[at + i] =
                (unsigned char)((sums[i] * inner + ends * outer + (1U << 23)) >> 24);
        }
    }
}

static void box_lines(int64_t n, const struct sl_box_filter *box,
                      const unsigned char *const *lines, unsigned char *dst)
{
    switch (box->radius) {
    case 0:
        box_three(n, box, lines[0], lines[1], lines[2], dst);
        break;
    case 1:
        box_five(n, box, lines[0], lines[1], lines[2], lines[3], lines[4], dst);
        break;
    default:
        box_many(n, box, lines, dst);
        break;
    }
}

/* ---- colours ----------------------------------------------------------------------- */

/* In 16-bit fixed point. */
static inline int luma_of(int r, int g, int b)
{
    return (19595 * r + 38470 * g + 7471 * b + 0x8000) >> 16;
}

static void luma_run(int64_t n, const unsigned char *restrict r,
                     const unsigned char *restrict g, const unsigned char *restrict b,
                     unsigned char *restrict dst)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        dst[i] = (unsigned char)luma_of(r[i], g[i], b[i]);
    }
}

static int64_t luma_sum(int64_t n, const unsigned char *restrict r,
                        const unsigned char *restrict g, const unsigned char *restrict b)
{
    enum { PART = 1 << 20 }; /* 2^20 luma values fit an int32_t */
    int64_t total = 0;
    for (int64_t at = 0; at < n; at += PART) {
        const int64_t end = n - at < PART ? n : at + PART;
        int32_t sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int64_t i = at; i < end; i++) {
            sum += luma_of(r[i], g[i], b[i]);
        }
        total += sum;
    }
    return total;
}

/* Mixes a value with the picture's: factor 0 gives `from`, 1 the picture; above 1 is
 * clipped. */
static inline unsigned char mix(float from, float to, float factor)
{
    float mixed = from + factor * (to - from);
    mixed = mixed < 0.0F ? 0.0F : mixed;
    mixed = mixed > 255.0F ? 255.0F : mixed;
    return (unsigned char)(int)mixed;
}

static void blend_run(int64_t n, int from, float factor, unsigned char *x)
{
    const float start = (float)from;
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        x[i] = mix(start, (float)x[i], factor);
    }
}

/* Colours are widened a block at a time, so that the loops that compute have one kind of
 * number in them. */
enum { BLOCK = 128 };

static void widen(int64_t n, const unsigned char *restrict x, float *restrict out)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        out[i] = (float)x[i];
    }
}

static void narrow(int64_t n, const float *restrict x, unsigned char *restrict out)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        out[i] = (unsigned char)(int)x[i];
    }
}

/* A mixed value before its fraction is cut off. */
static inline float mix_wide(float from, float to, float factor)
{
    float mixed = from + factor * (to - from);
    mixed = mixed < 0.0F ? 0.0F : mixed;
    return mixed > 255.0F ? 255.0F : mixed;
}

static void saturate_block(int64_t n, float factor, float *restrict r, float *restrict g,
                           float *restrict b)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        /* luma_of in float: every sum is below 2^24 and exact. */
        const float sum = 19595.0F * r[i] + 38470.0F * g[i] + 7471.0F * b[i] + 32768.0F;
        const float grey = (float)(int)(sum * 0x1p-16F);
        r[i] = mix_wide(grey, r[i], factor);
        g[i] = mix_wide(grey, g[i], factor);
        b[i] = mix_wide(grey, b[i], factor);
    }
}

static void saturate_run(int64_t n, float factor, unsigned char *restrict r,
                         unsigned char *restrict g, unsigned char *restrict b)
{
    float wide[3][BLOCK];
    for (int64_t at = 0; at < n; at += BLOCK) {
        const int64_t m = n - at < BLOCK ? n - at : BLOCK;
        widen(m, r + at, wide[0]);
        widen(m, g + at, wide[1]);
        widen(m, b + at, wide[2]);
        saturate_block(m, factor, wide[0], wide[1], wide[2]);
        narrow(m, wide[0], r + at);
        narrow(m, wide[1], g + at);
        narrow(m, wide[2], b + at);
    }
}

static void solarise_run(int64_t n, int threshold, unsigned char *x)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        const int value = x[i];
        x[i] = (unsigned char)(value < threshold ? value : 255 - value);
    }
}

/* ---- hue --------------------------------------------------------------------------- */

/* x / 255 of a whole x in 0..255, rounded as the division is: the first product is exact,
 * the second reaches far enough beyond it. */
static inline float part_of_255(float x)
{
    return x * 0x1.01p-8F + x * 0x1.0101p-24F;
}

/* A block of colours on its way through HSV. */
struct hue_block {
    float colour[3][BLOCK];
    float value[BLOCK], strength[BLOCK], sixths[BLOCK], part[BLOCK];
    int32_t saturation[BLOCK], hue[BLOCK], sixth[BLOCK];
    float low[BLOCK], middle[BLOCK];
};

/* Value, its saturation before rounding to 8 bits, and the hue in sixths of a turn, -1 ..
 * 5. PIL takes the distances of two channels from the largest, divides each by the spread
 * and subtracts; one of the two is the smallest channel and its quotient 1, so that one
 * division and one rounded sum give the same. */
static void hue_begin(int64_t n, struct hue_block *restrict block)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        const float red = block->colour[0][i], green = block->colour[1][i];
        const float blue = block->colour[2][i];
        float most = red > green ? red : green;
        most = most > blue ? most : blue;
        float least = red < green ? red : green;
        least = least < blue ? least : blue;
        const float spread = most - least;
        const float from_green = green == most ? red : green;
        const float plus = most - (red == most ? blue : from_green);
        const float for_green = green == most ? blue : red;
        const float minus = most - (red == most ? green : for_green);
        const float for_rest = green == most ? 2.0F : 4.0F;
        const float base = red == most ? 0.0F : for_rest;
        const float rest =
            (plus == spread ? minus : plus) / (spread > 0.0F ? spread : 1.0F);
        const float falling = (base + 1.0F) - rest;
        const float rising = (base - 1.0F) + rest;
        block->sixths[i] = plus == spread ? falling : rising;
        block->strength[i] = spread / (most > 0.0F ? most : 1.0F);
        block->value[i] = most;
    }
}

/* To 8 bits, in double where C promotes in PIL. */
static void hue_round(int64_t n, struct hue_block *restrict block)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        double turns = (double)block->sixths[i] * (1.0 / 6.0) + 1.0; /* 0.83 .. 1.84 */
        turns = turns >= 1.0 ? turns - 1.0 : turns;
        block->hue[i] = (int32_t)((double)(float)turns * 255.0);
        block->saturation[i] = (int32_t)((double)block->strength[i] * 255.0);
    }
}

/* The turned hue as a sixth of the circle and a part of it; the smallest channel. */
static void hue_turn(int64_t n, int turn, struct hue_block *restrict block)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        const int32_t six = 6 * ((block->hue[i] + turn) & 255);
        const int32_t sixth = ((six + 1) * 257) >> 16; /* six / 255 */
        block->sixth[i] = sixth;
        block->part[i] = part_of_255((float)(six - 255 * sixth));
        block->strength[i] = part_of_255((float)block->saturation[i]);
        /* value (1 - saturation / 255), rounded: never halfway */
        const int32_t whole = (int32_t)block->value[i] * (255 - block->saturation[i]);
        block->low[i] = (float)((whole + 128 + ((whole + 128) >> 8)) >> 8);
    }
}

/* The channel between. In odd sixths it falls: PIL's product is in float there (the one
 * in double is exact, and rounded to it), in double elsewhere. */
static void hue_back(int64_t n, struct hue_block *restrict block)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        const bool is_falling = (block->sixth[i] & 1) != 0;
        const double part = (double)block->part[i];
        const double share = is_falling ? part : 1.0 - part;
        const double product = (double)block->strength[i] * share;
        const double rounded = (double)(float)product;
        const double taken = is_falling ? rounded : product;
        const double value = (double)block->value[i];
        block->middle[i] = (float)(value * (1.0 - taken) + 0.5);
    }
}

/* A channel is highest in two neighbouring sixths, between in the next on either side,
 * and lowest in the other two; `sixth` counts from the second of the highest. */
static inline float channel_of(int32_t sixth, float high, float middle, float low)
{
    const int32_t away = sixth < 5 - sixth ? sixth : 5 - sixth;
    const float other = away == 1 ? middle : low;
    return away == 0 ? high : other;
}

static void hue_end(int64_t n, struct hue_block *restrict block)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        const int32_t sixth = block->sixth[i] == 6 ? 0 : block->sixth[i];
        const int32_t for_green = sixth < 2 ? sixth + 4 : sixth - 2;
        const int32_t for_blue = sixth < 4 ? sixth + 2 : sixth - 4;
        const float high = block->value[i], low = block->low[i];
        const float middle = block->middle[i];
        block->colour[0][i] = channel_of(sixth, high, middle, low);
        block->colour[1][i] = channel_of(for_green, high, middle, low);
        block->colour[2][i] = channel_of(for_blue, high, middle, low);
    }
}

static void hue_run(int64_t n, int turn, unsigned char *r, unsigned char *g,
                    unsigned char *b)
{
    struct hue_block block = {0}; /* once a run: a trifle, and no analyser doubts */
    for (int64_t at = 0; at < n; at += BLOCK) {
        const int64_t m = n - at < BLOCK ? n - at : BLOCK;
        widen(m, r + at, block.colour[0]);
        widen(m, g + at, block.colour[1]);
        widen(m, b + at, block.colour[2]);
        hue_begin(m, &block);
        hue_round(m, &block);
        hue_turn(m, turn, &block);
        hue_back(m, &block);
        hue_end(m, &block);
        narrow(m, block.colour[0], r + at);
        narrow(m, block.colour[1], g + at);
        narrow(m, block.colour[2], b + at);
    }
}

/* ---- numbers ----------------------------------------------------------------------- */

/* (x / 255 - mean) / std in float. The last division is a product in double, whose error
 * is smaller than the distance of any quotient of floats from where rounding changes. */
static inline float normal_of(float x, float mean, double inverse)
{
    return (float)((double)(part_of_255(x) - mean) * inverse);
}

static void normalise_run(int64_t n, const unsigned char *restrict r,
                          const unsigned char *restrict g,
                          const unsigned char *restrict b, bool backwards,
                          const float mean[3], const float std[3], float *restrict dst)
{
    const float mean_r = mean[0], mean_g = mean[1], mean_b = mean[2];
    const double by_r = 1.0 / (double)std[0], by_g = 1.0 / (double)std[1];
    const double by_b = 1.0 / (double)std[2];
    float wide[3][BLOCK];
    for (int64_t at = 0; at < n; at += BLOCK) {
        const int64_t m = n - at < BLOCK ? n - at : BLOCK;
        const int64_t from = backwards ? n - at - m : at;
        float *out = dst + 3 * at;
        widen(m, r + from, wide[0]);
        widen(m, g + from, wide[1]);
        widen(m, b + from, wide[2]);
        if (backwards) {
#pragma omp simd
            for (int64_t i = 0; i < m; i++) {
                out[3 * i] = normal_of(wide[0][m - 1 - i], mean_r, by_r);
                out[3 * i + 1] = normal_of(wide[1][m - 1 - i], mean_g, by_g);
                out[3 * i + 2] = normal_of(wide[2][m - 1 - i], mean_b, by_b);
            }
        } else {
#pragma omp simd
            for (int64_t i = 0; i < m; i++) {
                out[3 * i] = normal_of(wide[0][i], mean_r, by_r);
                out[3 * i + 1] = normal_of(wide[1][i], mean_g, by_g);
                out[3 * i + 2] = normal_of(wide[2][i], mean_b, by_b);
            }
        }
    }
}

const struct sl_pixel_rows SL_PIXEL_ROWS = {
    .name = SL_PIXEL_ROWS_NAME,
    .packing = SL_PIXEL_ROWS_PACKING,
    .split = split_run,
    .resize = resize_line,
    .blend_lines = blend_lines,
    .box = box_lines,
    .luma = luma_run,
    .luma_sum = luma_sum,
    .blend = blend_run,
    .saturate = saturate_run,
    .hue = hue_run,
    .solarise = solarise_run,
    .normalise = normalise_run,
};

#endif
