/* SPDX-License-Identifier: MIT */
/*
 * The moves of cpu_pointwise_int.h, sixteen channels or columns at a time.
 */
#include "backend/cpu_pointwise_int.h"

#include "backend/cpu_lanes_int.h"

#include <string.h>

/* Two rows of sixteen channels side by side. */
static inline __m512i paired(__m256i low, __m256i high)
{
    return _mm512_or_si512(_mm512_cvtepu16_epi32(low),
                           _mm512_slli_epi32(_mm512_cvtepu16_epi32(high), 16));
}

void sl_pointwise_pairs(const uint16_t *rows, int64_t count, int64_t channels,
                        int64_t lanes, uint16_t *v)
{
    for (int64_t row = 0; row < count; row += 2) {
        const uint16_t *low = rows + row * channels;
        const __mmask16 has_high = row + 1 < count ? (__mmask16)0xffff : (__mmask16)0;
        for (int64_t c = 0; c < lanes; c += SL_LANES) {
            const __mmask16 here = sl_lanes_first(channels - c);
            const __m256i first = _mm256_maskz_loadu_epi16(here, low + c);
            const __m256i second = _mm256_maskz_loadu_epi16(
                here & has_high, has_high ? low + channels + c : low);
            _mm512_storeu_si512(v + row * lanes + 2 * c, paired(first, second));
        }
    }
}

/* ---- weights ----------------------------------------------------------------------- */

/* Rows that lie side by side are copied from each column a few at a time: columns are as
 * far apart as the master is wide, in few sets of the nearest cache. */
enum { STAGED = 64 };

static inline __m512 gather(const float *g, __m512i offsets, __mmask16 lanes)
{
    return _mm512_mask_i32gather_ps(_mm512_setzero_ps(), lanes, offsets, g,
                                    sizeof(float));
}

void sl_pointwise_weights(const struct sl_pointwise_weights *weights, uint16_t *u)
{
    float staged[SL_LANES][STAGED];
    const int64_t columns = weights->columns < SL_LANES ? weights->columns : SL_LANES;
    const __mmask16 lanes = sl_lanes_first(columns);
    const bool stages = weights->row_stride == 1;
    const int64_t column_stride = stages ? STAGED : weights->column_stride;
    const __m512i offsets = _mm512_mullo_epi32(
        _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0),
        _mm512_set1_epi32((int)column_stride));
    for (int64_t first = 0; first < weights->rows; first += STAGED) {
        const int64_t left = weights->rows - first;
        const int64_t rows = left < STAGED ? left : STAGED;
        const float *from = weights->g + first * weights->row_stride;
        for (int64_t c = 0; stages && c < columns; c++) {
            memcpy(staged[c], from + c * weights->column_stride,
                   (size_t)rows * sizeof(float));
        }
        from = stages ? staged[0] : from;
        for (int64_t row = 0; row < rows; row += 2) {
            const float *pair = from + row * weights->row_stride;
            const __m512 low = gather(pair, offsets, lanes);
            const __m512 high = gather(pair + weights->row_stride, offsets, lanes);
            _mm512_storeu_si512(u + (first + row) * SL_LANES, sl_lanes_pair(low, high));
        }
    }
}
