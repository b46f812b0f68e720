/* SPDX-License-Identifier: MIT */
/*
 * Private to the cpu backend's files of hand-written loops for x86-64 with AVX-512 BF16:
 * sixteen values of a map of bfloat16 in a vector of floats, and back. Only files that
 * are compiled for it may include this.
 */
#ifndef SRC_BACKEND_CPU_LANES_INT_H
#define SRC_BACKEND_CPU_LANES_INT_H

#include "base/base.h"

#include <immintrin.h>

enum { SL_LANES = 16 };

/* The first n of 16 lanes. */
static inline __mmask16 sl_lanes_first(int64_t n)
{
    return (__mmask16)(n >= SL_LANES ? 0xffffU : (1U << n) - 1U);
}

/* Lanes that are left out are 0, and their memory is not touched. */
static inline __m512 sl_lanes_load(__mmask16 lanes, const uint16_t *x)
{
    const __m256i half = _mm256_maskz_loadu_epi16(lanes, x);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
}

static inline void sl_lanes_store(__mmask16 lanes, uint16_t *y, __m512 value)
{
    _mm256_mask_storeu_epi16(y, lanes, (__m256i)_mm512_cvtneps_pbh(value));
}

/* Sixteen pairs: low[l] beside high[l]. */
static inline __m512i sl_lanes_pair(__m512 low, __m512 high)
{
    const __m512i apart = (__m512i)_mm512_cvtne2ps_pbh(high, low);
    const __m512i beside =
        _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23,
                         7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    return _mm512_permutexvar_epi16(beside, apart);
}

/* Sixteen rows of sixteen 32-bit values become their columns. */
static inline void sl_lanes_transpose(__m512 v[SL_LANES])
{
    __m512 t[SL_LANES];
    SL_UNROLL
    for (int i = 0; i < SL_LANES; i += 2) {
        t[i] = _mm512_unpacklo_ps(v[i], v[i + 1]);
        t[i + 1] = _mm512_unpackhi_ps(v[i], v[i + 1]);
    }
    /* v[4 i + j]: columns j, j + 4, … of rows 4 i to 4 i + 3, a quarter of a vector each
     */
    SL_UNROLL
    for (int i = 0; i < SL_LANES; i++) {
        const __m512d low = _mm512_castps_pd(t[i / 4 * 4 + i % 4 / 2]);
        const __m512d high = _mm512_castps_pd(t[i / 4 * 4 + i % 4 / 2 + 2]);
        v[i] = _mm512_castpd_ps(i % 2 == 0 ? _mm512_unpacklo_pd(low, high)
                                           : _mm512_unpackhi_pd(low, high));
    }
    SL_UNROLL
    for (int j = 0; j < 4; j++) {
        const __m512 even[2] = {_mm512_shuffle_f32x4(v[j], v[4 + j], 0x88),
                                _mm512_shuffle_f32x4(v[8 + j], v[12 + j], 0x88)};
        const __m512 odd[2] = {_mm512_shuffle_f32x4(v[j], v[4 + j], 0xdd),
                               _mm512_shuffle_f32x4(v[8 + j], v[12 + j], 0xdd)};
        v[j] = _mm512_shuffle_f32x4(even[0], even[1], 0x88);
        v[4 + j] = _mm512_shuffle_f32x4(odd[0], odd[1], 0x88);
        v[8 + j] = _mm512_shuffle_f32x4(even[0], even[1], 0xdd);
        v[12 + j] = _mm512_shuffle_f32x4(odd[0], odd[1], 0xdd);
    }
}

#endif
