/* SPDX-License-Identifier: MIT */
/*
 * The loops over pixels compiled for x86-64 with AVX-512; flags come from the build by
 * this file's name. Resizing a line sixteen places at a time is written for it by hand.
 * What it shares with AVX2 is in pixel_rows_shuffled_body.h.
 */
#include "data/pixel_rows_int.h"

#include <immintrin.h>

/* Four quads: sixteen places from four windows of sixteen bytes. */
static inline __m512i resize_quads(const struct sl_taps *taps, const unsigned char *src,
                                   int q)
{
    const __m512i zero = _mm512_setzero_si512();
    const int64_t part = (int64_t)taps->n_quads * 8;
    __m512i window =
        _mm512_castsi128_si512(_mm_loadu_si128((const void *)(src + taps->start[q])));
    window = _mm512_inserti32x4(
        window, _mm_loadu_si128((const void *)(src + taps->start[q + 1])), 1);
    window = _mm512_inserti32x4(
        window, _mm_loadu_si128((const void *)(src + taps->start[q + 2])), 2);
    window = _mm512_inserti32x4(
        window, _mm_loadu_si128((const void *)(src + taps->start[q + 3])), 3);
    __m512i high = zero, low = _mm512_set1_epi32(SL_TAP_HALF);
    for (int g = 0; g < taps->n_groups; g++) {
        const unsigned char *pick = taps->pick + ((int64_t)g * taps->n_quads + q) * 16;
        const int16_t *parts = taps->parts + 4 * g * part + (int64_t)q * 8;
        const __m512i bytes = _mm512_shuffle_epi8(window, _mm512_loadu_si512(pick));
        const __m512i first = _mm512_unpacklo_epi8(bytes, zero);
        const __m512i second = _mm512_unpackhi_epi8(bytes, zero);
        high =
            _mm512_add_epi32(high, _mm512_madd_epi16(first, _mm512_loadu_si512(parts)));
        low = _mm512_add_epi32(
            low, _mm512_madd_epi16(first, _mm512_loadu_si512(parts + part)));
        high = _mm512_add_epi32(
            high, _mm512_madd_epi16(second, _mm512_loadu_si512(parts + 2 * part)));
        low = _mm512_add_epi32(
            low, _mm512_madd_epi16(second, _mm512_loadu_si512(parts + 3 * part)));
    }
    return _mm512_srai_epi32(
        _mm512_add_epi32(_mm512_slli_epi32(high, SL_TAP_LOW_BITS), low), SL_TAP_BITS);
}

static void resize_near(const struct sl_taps *taps, const unsigned char *src,
                        unsigned char *dst)
{
    for (int q = 0; 4 * q < taps->to; q += 4) {
        _mm_storeu_si128((void *)(dst + 4 * (int64_t)q),
                         _mm512_cvtepi32_epi8(resize_quads(taps, src, q)));
    }
}

#define SL_PIXEL_ROWS sl_pixel_rows_avx512
#define SL_PIXEL_ROWS_NAME "avx512"
#define SL_PIXEL_ROWS_PACKING SL_TAPS_SHUFFLED
#include "data/pixel_rows_shuffled_body.h"
