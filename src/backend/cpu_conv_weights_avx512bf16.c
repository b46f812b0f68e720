/* SPDX-License-Identifier: MIT */
/*
 * The gradient of a convolution's weights (cpu_conv_weights_int.h).
 */
#include "backend/cpu_conv_weights_int.h"

#include "backend/cpu_lanes_int.h"

#include <string.h>

enum {
    LANES = SL_CONV_WEIGHTS_LANES,
    PAIR = 2 * LANES, /* values of a pair of pixels */
    CHANNELS = 8,     /* of the source in a block of sums */
    KERNEL = SL_CONV_WEIGHTS_KERNEL,
    STRIDE = SL_CONV_WEIGHTS_STRIDE
};

/* ---- pairs ------------------------------------------------------------------------- */

/* Sixteen channels of a pixel of a row of `width`; zeros beyond its ends. */
static inline __m512i pixel_of(const uint16_t *row, int width, int64_t channels, int x)
{
    return x < 0 || x >= width ? _mm512_setzero_si512()
                               : _mm512_cvtepu16_epi32(_mm256_loadu_si256(
                                     (const void *)(row + x * channels)));
}

/* Pairs of the pixels first + 2 i step and first + (2 i + 1) step. */
static void pair_row(const uint16_t *row, int width, int64_t channels, int first,
                     int step, int pairs, uint16_t *to)
{
    for (int i = 0; i < pairs; i++) {
        const int x = first + 2 * i * step;
        const __m512i low = pixel_of(row, width, channels, x);
        const __m512i high = pixel_of(row, width, channels, x + step);
        _mm512_storeu_si512(to + (int64_t)i * PAIR,
                            _mm512_or_si512(low, _mm512_slli_epi32(high, 16)));
    }
}

/* The part of the maps that is worked on. */
struct band {
    const uint16_t *src, *diff_dst; /* of its first picture */
    int pictures;
    int row, rows;   /* of the result */
    uint16_t *x, *y; /* pairs: (src_c / 16, pictures, src_rows, …), (dst_c / 16, …) */
};

static bool is_inside(const struct sl_conv_weights *w, int src_row)
{
    return src_row >= 0 && src_row < w->src_h;
}

static void pair_src(const struct sl_conv_weights *w, const struct band *band)
{
    const int used = (band->rows - 1) * STRIDE + KERNEL;
    for (int picture = 0; picture < band->pictures; picture++) {
        for (int i = 0; i < used; i++) {
            const int src_row = band->row * STRIDE - 1 + i;
            if (!is_inside(w, src_row)) {
                continue; /* no block reads it */
            }
            const uint16_t *row =
                band->src + ((int64_t)picture * w->src_h + src_row) * w->src_w * w->src_c;
            uint16_t *to = band->x + ((int64_t)picture * w->src_rows + i) * w->src_row;
            for (int c = 0; c < w->src_c / LANES; c++) {
                for (int k = 0; k < KERNEL; k++) {
                    pair_row(row + c * LANES, w->src_w, w->src_c, k - 1, STRIDE, w->pairs,
                             to + c * w->src_lanes + (int64_t)k * w->pairs * PAIR);
                }
            }
        }
    }
}

static void pair_dst(const struct sl_conv_weights *w, const struct band *band)
{
    for (int picture = 0; picture < band->pictures; picture++) {
        for (int i = 0; i < band->rows; i++) {
            const uint16_t *row =
                band->diff_dst +
                ((int64_t)picture * w->dst_h + band->row + i) * w->dst_w * w->dst_c;
            uint16_t *to = band->y + ((int64_t)picture * w->rows + i) * w->dst_row;
            for (int c = 0; c < w->dst_c / LANES; c++) {
                pair_row(row + c * LANES, w->dst_w, w->dst_c, 0, 1, w->pairs,
                         to + c * w->dst_lanes);
            }
        }
    }
}

/* ---- sums -------------------------------------------------------------------------- */

static inline __m512bh pair_at(const uint16_t *x)
{
    int32_t pair = 0;
    memcpy(&pair, x, sizeof(pair));
    return (__m512bh)_mm512_set1_epi32(pair);
}

/* Adds to the sums of one row of the kernel and CHANNELS channels of the source, whose
 * pairs are x, with sixteen channels of the result, whose pairs are y. */
static void sum_block(const struct sl_conv_weights *w, const struct band *band,
                      int kernel_row, const uint16_t *x, const uint16_t *y, float *sums)
{
    __m512 block[KERNEL][CHANNELS];
    SL_UNROLL
    for (int i = 0; i < KERNEL * CHANNELS; i++) {
        block[i / CHANNELS][i % CHANNELS] = _mm512_setzero_ps();
    }
    for (int picture = 0; picture < band->pictures; picture++) {
        for (int row = 0; row < band->rows; row++) {
            const int at = row * STRIDE + kernel_row;
            if (!is_inside(w, band->row * STRIDE - 1 + at)) {
                continue;
            }
            const uint16_t *pairs =
                x + ((int64_t)picture * w->src_rows + at) * w->src_row;
            const uint16_t *pixels = y + ((int64_t)picture * w->rows + row) * w->dst_row;
            const uint16_t *from[KERNEL];
            SL_UNROLL
            for (int k = 0; k < KERNEL; k++) {
                from[k] = pairs + (int64_t)k * w->pairs * PAIR;
            }
            for (int64_t j = 0; j < (int64_t)w->pairs * PAIR; j += PAIR) {
                const __m512bh pixel = (__m512bh)_mm512_loadu_si512(pixels + j);
                SL_UNROLL
                for (int k = 0; k < KERNEL; k++) {
                    SL_UNROLL
                    for (int c = 0; c < CHANNELS; c++) {
                        block[k][c] = _mm512_dpbf16_ps(block[k][c], pixel,
                                                       pair_at(from[k] + j + 2 * c));
                    }
                }
            }
        }
    }
    SL_UNROLL
    for (int k = 0; k < KERNEL; k++) {
        SL_UNROLL
        for (int c = 0; c < CHANNELS; c++) {
            float *sum = sums + ((int64_t)k * w->src_c + c) * LANES;
            _mm512_storeu_ps(sum, _mm512_add_ps(_mm512_loadu_ps(sum), block[k][c]));
        }
    }
}

/* All blocks of sixteen channels of the result. */
static void sum_lanes(const struct sl_conv_weights *w, const struct band *band,
                      const uint16_t *y, float *sums)
{
    for (int64_t c = 0; c < w->src_c; c += CHANNELS) {
        const uint16_t *x = band->x + c / LANES * w->src_lanes + 2 * (c % LANES);
        for (int row = 0; row < KERNEL; row++) {
            sum_block(w, band, row, x, y,
                      sums + ((int64_t)row * KERNEL * w->src_c + c) * LANES);
        }
    }
}

static void sum_band(const struct sl_conv_weights *w, const struct band *band,
                     float *sums)
{
    const int64_t lanes = w->values / w->dst_c * LANES;
    pair_src(w, band);
    pair_dst(w, band);
    for (int c = 0; c < w->dst_c / LANES; c++) {
        sum_lanes(w, band, band->y + c * w->dst_lanes, sums + c * lanes);
    }
}

void sl_conv_weights_sum(const struct sl_conv_weights *w, const uint16_t *src,
                         const uint16_t *diff_dst, int64_t pictures, void *room,
                         float *sums)
{
    memset(sums, 0, (size_t)w->values * sizeof(*sums));
    struct band band = {.x = room};
    band.y = band.x + w->src_c / LANES * w->src_lanes;
    for (int64_t first = 0; first < pictures; first += w->pictures) {
        const int64_t left = pictures - first;
        band.pictures = left < w->pictures ? (int)left : w->pictures;
        band.src = src + first * w->src_h * w->src_w * w->src_c;
        band.diff_dst = diff_dst + first * w->dst_h * w->dst_w * w->dst_c;
        for (band.row = 0; band.row < w->dst_h; band.row += w->rows) {
            const int rows = w->dst_h - band.row;
            band.rows = rows < w->rows ? rows : w->rows;
            sum_band(w, &band, sums);
        }
    }
}
