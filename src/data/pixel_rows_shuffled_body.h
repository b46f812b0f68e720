/* SPDX-License-Identifier: MIT */
/*
 * What the tables of AVX2 and AVX-512 have in the same words, both for lines packed as
 * SL_TAPS_SHUFFLED: taking interleaved colours apart, and resizing where the bytes of
 * neighbouring places lie far apart. The including file gives resize_near, for where they
 * are near, and the three macros of pixel_rows_body.h, which stands behind.
 */
#ifndef SRC_DATA_PIXEL_ROWS_SHUFFLED_BODY_H
#define SRC_DATA_PIXEL_ROWS_SHUFFLED_BODY_H

#include <string.h>

/* Sixteen pixels at a time: each plane's bytes come from all three loads. */
static void split_run(int64_t n, const unsigned char *rgb, unsigned char *r,
                      unsigned char *g, unsigned char *b)
{
    static const signed char picks[3][3][16] = {
        {{0, 3, 6, 9, 12, 15, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1},
         {-1, -1, -1, -1, -1, -1, 2, 5, 8, 11, 14, -1, -1, -1, -1, -1},
         {-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 1, 4, 7, 10, 13}},
        {{1, 4, 7, 10, 13, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1},
         {-1, -1, -1, -1, -1, 0, 3, 6, 9, 12, 15, -1, -1, -1, -1, -1},
         {-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 2, 5, 8, 11, 14}},
        {{2, 5, 8, 11, 14, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1},
         {-1, -1, -1, -1, -1, 1, 4, 7, 10, 13, -1, -1, -1, -1, -1, -1},
         {-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 0, 3, 6, 9, 12, 15}}};
    unsigned char *const planes[3] = {r, g, b};
    __m128i pick[3][3];
    int64_t i = 0;
    for (int c = 0; c < 3; c++) {
        for (int k = 0; k < 3; k++) {
            pick[c][k] = _mm_loadu_si128((const void *)picks[c][k]);
        }
    }
    for (; i + 16 <= n; i += 16) {
        const __m128i x = _mm_loadu_si128((const void *)(rgb + 3 * i));
        const __m128i y = _mm_loadu_si128((const void *)(rgb + 3 * i + 16));
        const __m128i z = _mm_loadu_si128((const void *)(rgb + 3 * i + 32));
        for (int c = 0; c < 3; c++) {
            const __m128i plane =
                _mm_or_si128(_mm_or_si128(_mm_shuffle_epi8(x, pick[c][0]),
                                          _mm_shuffle_epi8(y, pick[c][1])),
                             _mm_shuffle_epi8(z, pick[c][2]));
            _mm_storeu_si128((void *)(planes[c] + i), plane);
        }
    }
    for (; i < n; i++) {
        r[i] = rgb[3 * i];
        g[i] = rgb[3 * i + 1];
        b[i] = rgb[3 * i + 2];
    }
}

/* Eight sums that add up to place x before rounding: its taps sixteen at a time. */
static inline __m256i wide_sums(const struct sl_taps *taps, const unsigned char *src,
                                int64_t x)
{
    x = x < taps->to ? x : taps->to - 1;
    const unsigned char *bytes = src + taps->first[x];
    const int16_t *parts = taps->wide + x * taps->n_blocks * 32;
    __m256i high = _mm256_setzero_si256(), low = high;
    for (int k = 0; k < taps->n[x]; k += 16, parts += 32) {
        const __m256i words =
            _mm256_cvtepu8_epi16(_mm_loadu_si128((const void *)(bytes + k)));
        high = _mm256_add_epi32(
            high, _mm256_madd_epi16(words, _mm256_loadu_si256((const void *)parts)));
        low = _mm256_add_epi32(
            low,
            _mm256_madd_epi16(words, _mm256_loadu_si256((const void *)(parts + 16))));
    }
    return _mm256_add_epi32(_mm256_slli_epi32(high, SL_TAP_LOW_BITS), low);
}

/* Shrinking by so much that four places' bytes lie far apart: four places at a time. */
static void resize_wide(const struct sl_taps *taps, const unsigned char *src,
                        unsigned char *dst)
{
    const __m128i half = _mm_set1_epi32(SL_TAP_HALF);
    for (int64_t x = 0; x < taps->to; x += 4) {
        const __m256i sums = _mm256_hadd_epi32(
            _mm256_hadd_epi32(wide_sums(taps, src, x), wide_sums(taps, src, x + 1)),
            _mm256_hadd_epi32(wide_sums(taps, src, x + 2), wide_sums(taps, src, x + 3)));
        const __m128i four = _mm_srai_epi32(
            _mm_add_epi32(half, _mm_add_epi32(_mm256_castsi256_si128(sums),
                                              _mm256_extracti128_si256(sums, 1))),
            SL_TAP_BITS);
        const __m128i words = _mm_packs_epi32(four, four);
        const int32_t packed = _mm_cvtsi128_si32(_mm_packus_epi16(words, words));
        memcpy(dst + x, &packed, sizeof(packed));
    }
}

/* Thousands of taps: one after another. */
static unsigned char resize_place(const unsigned char *p, const int32_t *w, int n)
{
    int32_t sum = SL_TAP_HALF;
#pragma omp simd reduction(+ : sum)
    for (int k = 0; k < n; k++) {
        sum += p[k] * w[k];
    }
    sum >>= SL_TAP_BITS;
    return (unsigned char)(sum > 255 ? 255 : sum);
}

static void resize_line(const struct sl_taps *taps, const unsigned char *src,
                        unsigned char *dst)
{
    if (taps->n_groups == 0 && taps->wide != NULL) {
        resize_wide(taps, src, dst);
        return;
    }
    if (taps->n_groups == 0) {
        for (int x = 0; x < taps->to; x++) {
            dst[x] = resize_place(src + taps->first[x],
                                  taps->weights + (int64_t)x * taps->n_most, taps->n[x]);
        }
        return;
    }
    resize_near(taps, src, dst);
}

#include "data/pixel_rows_body.h"

#endif
