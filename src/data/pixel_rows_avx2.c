/* SPDX-License-Identifier: MIT */
/*
 * The loops over pixels compiled for x86-64 with AVX2; flags come from the build by this
 * file's name. Resizing a line eight places at a time is written for it by hand. What it
 * shares with AVX-512 is in pixel_rows_shuffled_body.h.
 */
#include "data/pixel_rows_int.h"

#include <immintrin.h>

/* Two quads: eight places from two windows of sixteen bytes. */
static inline __m256i resize_quads(const struct sl_taps *taps, const unsigned char *src,
                                   int q)
{
    const __m256i zero = _mm256_setzero_si256();
    const int64_t part = (int64_t)taps->n_quads * 8;
    const __m256i window = _mm256_inserti128_si256(
        _mm256_castsi128_si256(_mm_loadu_si128((const void *)(src + taps->start[q]))),
        _mm_loadu_si128((const void *)(src + taps->start[q + 1])), 1);
    __m256i high = zero, low = _mm256_set1_epi32(SL_TAP_HALF);
    for (int g = 0; g < taps->n_groups; g++) {
        const unsigned char *pick = taps->pick + ((int64_t)g * taps->n_quads + q) * 16;
        const int16_t *parts = taps->parts + 4 * g * part + (int64_t)q * 8;
        const __m256i bytes =
            _mm256_shuffle_epi8(window, _mm256_loadu_si256((const void *)pick));
        const __m256i first = _mm256_unpacklo_epi8(bytes, zero);
        const __m256i second = _mm256_unpackhi_epi8(bytes, zero);
        high = _mm256_add_epi32(
            high, _mm256_madd_epi16(first, _mm256_loadu_si256((const void *)parts)));
        low = _mm256_add_epi32(
            low,
            _mm256_madd_epi16(first, _mm256_loadu_si256((const void *)(parts + part))));
        high = _mm256_add_epi32(
            high, _mm256_madd_epi16(
                      second, _mm256_loadu_si256((const void *)(parts + 2 * part))));
        low = _mm256_add_epi32(
            low, _mm256_madd_epi16(second,
                                   _mm256_loadu_si256((const void *)(parts + 3 * part))));
    }
    return _mm256_srai_epi32(
        _mm256_add_epi32(_mm256_slli_epi32(high, SL_TAP_LOW_BITS), low), SL_TAP_BITS);
}

static void resize_near(const struct sl_taps *taps, const unsigned char *src,
                        unsigned char *dst)
{
    for (int q = 0; 4 * q < taps->to; q += 2) {
        const __m256i sums = resize_quads(taps, src, q);
        const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(sums),
                                              _mm256_extracti128_si256(sums, 1));
        _mm_storel_epi64((void *)(dst + 4 * (int64_t)q), _mm_packus_epi16(words, words));
    }
}

#define SL_PIXEL_ROWS sl_pixel_rows_avx2
#define SL_PIXEL_ROWS_NAME "avx2"
#define SL_PIXEL_ROWS_PACKING SL_TAPS_SHUFFLED
#include "data/pixel_rows_shuffled_body.h"
