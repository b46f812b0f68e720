/* SPDX-License-Identifier: MIT */
/*
 * The loops over pixels compiled for x86-64 with AVX-512, VNNI and VBMI; flags come from
 * the build by this file's name. Two of them are written for it by hand: taking
 * interleaved colours apart by shuffles over two registers, and resizing a line by dot
 * products of four bytes with the digits of their weights. The others are in
 * pixel_rows_body.h.
 */
#include "data/pixel_rows_int.h"

#include <immintrin.h>
#include <string.h>

enum { LANES = 64 };

/* Where a plane's 64 bytes stand in the first two of three loads, and in the third. */
static void find_plane(int channel, __m512i *pick, __m512i *pick_last, __mmask64 *is_last)
{
    unsigned char at[LANES];
    uint64_t last = 0;
    for (int i = 0; i < LANES; i++) {
        at[i] = (unsigned char)(3 * i + channel);
        last |= (uint64_t)(3 * i + channel >= 2 * LANES) << i;
    }
    *pick = _mm512_loadu_si512(at);
    *pick_last = *pick; /* its low six bits count from the third load's beginning */
    *is_last = last;
}

/* 64 pixels at a time: each plane's bytes come from all three loads. */
static void split_run(int64_t n, const unsigned char *rgb, unsigned char *r,
                      unsigned char *g, unsigned char *b)
{
    unsigned char *const planes[3] = {r, g, b};
    __m512i pick[3], pick_last[3];
    __mmask64 is_last[3];
    int64_t i = 0;
    for (int c = 0; c < 3 && n >= LANES; c++) {
        find_plane(c, &pick[c], &pick_last[c], &is_last[c]);
    }
    for (; i + LANES <= n; i += LANES) {
        const __m512i x = _mm512_loadu_si512(rgb + 3 * i);
        const __m512i y = _mm512_loadu_si512(rgb + 3 * i + LANES);
        const __m512i z = _mm512_loadu_si512(rgb + 3 * i + 2 * (int64_t)LANES);
        for (int c = 0; c < 3; c++) {
            const __m512i front = _mm512_permutex2var_epi8(x, pick[c], y);
            _mm512_storeu_si512(planes[c] + i, _mm512_mask_permutexvar_epi8(
                                                   front, is_last[c], pick_last[c], z));
        }
    }
    for (; i < n; i++) {
        r[i] = rgb[3 * i];
        g[i] = rgb[3 * i + 1];
        b[i] = rgb[3 * i + 2];
    }
}

/* The sums of the three digits put together. */
static inline __m512i join_digits(const __m512i sums[SL_TAP_DIGITS])
{
    const __m512i high =
        _mm512_add_epi32(_mm512_slli_epi32(sums[2], SL_TAP_DIGIT_BITS), sums[1]);
    return _mm512_add_epi32(_mm512_slli_epi32(high, SL_TAP_DIGIT_BITS), sums[0]);
}

static inline void add_dots(__m512i bytes, const signed char *digits,
                            __m512i sums[SL_TAP_DIGITS])
{
    for (int d = 0; d < SL_TAP_DIGITS; d++) {
        sums[d] = _mm512_dpbusd_epi32(sums[d], bytes,
                                      _mm512_loadu_si512(digits + (int64_t)d * LANES));
    }
}

/* Rounded and clipped: many weights may each have been rounded up. */
static inline void put_places(__m512i sums, unsigned char *dst)
{
    _mm_storeu_si128((void *)dst,
                     _mm512_cvtusepi32_epi8(_mm512_srai_epi32(sums, SL_TAP_BITS)));
}

/* Sixteen places from the 64 or 128 bytes that begin with theirs. */
static inline void resize_near(const struct sl_taps *taps, int n_loads,
                               const unsigned char *src, unsigned char *dst)
{
    const unsigned char *pick = taps->near_pick;
    const signed char *digits = taps->digits;
    for (int64_t x = 0; x < taps->to; x += 16) {
        const unsigned char *from = src + taps->near_start[x / 16];
        const __m512i low = _mm512_loadu_si512(from);
        const __m512i high = n_loads > 1 ? _mm512_loadu_si512(from + LANES) : low;
        __m512i sums[SL_TAP_DIGITS] = {_mm512_set1_epi32(SL_TAP_HALF)};
        for (int g = 0; g < taps->n_dots; g++) {
            const __m512i where = _mm512_loadu_si512(pick);
            add_dots(n_loads > 1 ? _mm512_permutex2var_epi8(low, where, high)
                                 : _mm512_permutexvar_epi8(where, low),
                     digits, sums);
            pick += LANES;
            digits += (int64_t)SL_TAP_DIGITS * LANES;
        }
        put_places(join_digits(sums), dst + x);
    }
}

/* Four places, each with sixteen bytes on a step; every place's sum is left in four
 * parts. */
static inline __m512i far_sums(const struct sl_taps *taps, const unsigned char *src,
                               int64_t x)
{
    const signed char *digits =
        taps->digits + x / 4 * taps->n_dots * SL_TAP_DIGITS * LANES;
    const unsigned char *from[4];
    __m512i sums[SL_TAP_DIGITS] = {_mm512_setzero_si512()};
    for (int p = 0; p < 4; p++) {
        const int64_t place = x + p < taps->to ? x + p : taps->to - 1;
        from[p] = src + taps->first[place];
    }
    for (int g = 0; g < taps->n_dots; g++) {
        __m512i bytes =
            _mm512_castsi128_si512(_mm_loadu_si128((const void *)(from[0] + 16 * g)));
        bytes = _mm512_inserti32x4(bytes,
                                   _mm_loadu_si128((const void *)(from[1] + 16 * g)), 1);
        bytes = _mm512_inserti32x4(bytes,
                                   _mm_loadu_si128((const void *)(from[2] + 16 * g)), 2);
        bytes = _mm512_inserti32x4(bytes,
                                   _mm_loadu_si128((const void *)(from[3] + 16 * g)), 3);
        add_dots(bytes, digits, sums);
        digits += (int64_t)SL_TAP_DIGITS * LANES;
    }
    return join_digits(sums);
}

/* Sixteen places' four parts each, added up. */
static void resize_far(const struct sl_taps *taps, const unsigned char *src,
                       unsigned char *dst)
{
    const __m512i half = _mm512_set1_epi32(SL_TAP_HALF);
    const __m512i order =
        _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    const int64_t last = (taps->to - 1) / 4 * 4; /* fours behind it are scratch */
    for (int64_t x = 0; x < taps->to; x += 16) {
        __m512i four[4];
        for (int64_t q = 0; q < 4; q++) {
            four[q] = far_sums(taps, src, x + 4 * q < last ? x + 4 * q : last);
        }
        /* Within each lane of four: a place's parts, of the four fours side by side. */
        const __m512i a = _mm512_add_epi32(_mm512_unpacklo_epi32(four[0], four[1]),
                                           _mm512_unpackhi_epi32(four[0], four[1]));
        const __m512i b = _mm512_add_epi32(_mm512_unpacklo_epi32(four[2], four[3]),
                                           _mm512_unpackhi_epi32(four[2], four[3]));
        const __m512i sums =
            _mm512_add_epi32(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
        put_places(_mm512_add_epi32(half, _mm512_permutexvar_epi32(order, sums)),
                   dst + x);
    }
}

static void resize_line(const struct sl_taps *taps, const unsigned char *src,
                        unsigned char *dst)
{
    if (taps->near_start == NULL) {
        resize_far(taps, src, dst);
    } else if (taps->n_near_loads > 1) {
        resize_near(taps, 2, src, dst);
    } else {
        resize_near(taps, 1, src, dst);
    }
}

#define SL_PIXEL_ROWS sl_pixel_rows_avx512vnni
#define SL_PIXEL_ROWS_NAME "avx512vnni"
#define SL_PIXEL_ROWS_PACKING SL_TAPS_DOTTED
#include "data/pixel_rows_body.h"
