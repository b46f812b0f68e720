/* SPDX-License-Identifier: MIT */
/*
 * The moves of cpu_pointwise_int.h, sixteen channels or columns at a time.
 */
#include "backend/cpu_pointwise_int.h"

#include "backend/cpu_lanes_int.h"

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

/* Rows that lie side by side in each column: 32 of them are sixteen pairs of a column,
 * which are then transposed. */
static void rows_together(const struct sl_pointwise_weights *weights, uint16_t *u)
{
    for (int64_t row = 0; row < weights->rows; row += 2 * SL_LANES) {
        const int64_t left = weights->rows - row;
        const __mmask16 low = sl_lanes_first(left);
        const __mmask16 high = left > SL_LANES ? sl_lanes_first(left - SL_LANES) : 0;
        __m512 pairs[SL_LANES];
        SL_UNROLL
        for (int c = 0; c < SL_LANES; c++) {
            const float *g = weights->g + c * weights->column_stride + row;
            const bool here = c < weights->columns;
            pairs[c] = (__m512)_mm512_cvtne2ps_pbh(
                _mm512_maskz_loadu_ps(here ? high : 0, here ? g + SL_LANES : weights->g),
                _mm512_maskz_loadu_ps(here ? low : 0, here ? g : weights->g));
        }
        sl_lanes_transpose(pairs);
        SL_UNROLL
        for (int k = 0; k < SL_LANES; k++) {
            if (2 * k < left) {
                _mm512_storeu_ps((void *)(u + (row + 2 * k) * SL_LANES), pairs[k]);
            }
        }
    }
}

static void columns_together(const struct sl_pointwise_weights *weights, uint16_t *u)
{
    const __mmask16 lanes = sl_lanes_first(weights->columns);
    for (int64_t row = 0; row < weights->rows; row += 2) {
        const float *pair = weights->g + row * weights->row_stride;
        const __m512 low = _mm512_maskz_loadu_ps(lanes, pair);
        const __m512 high = _mm512_maskz_loadu_ps(lanes, pair + weights->row_stride);
        _mm512_storeu_si512(u + row * SL_LANES, sl_lanes_pair(low, high));
    }
}

static void all_apart(const struct sl_pointwise_weights *weights, uint16_t *u)
{
    const int64_t columns = weights->columns < SL_LANES ? weights->columns : SL_LANES;
    for (int64_t row = 0; row < weights->rows; row += 2) {
        float pair[2][SL_LANES] = {{0}};
        for (int64_t c = 0; c < columns; c++) {
            const float *g =
                weights->g + row * weights->row_stride + c * weights->column_stride;
            pair[0][c] = g[0];
            pair[1][c] = g[weights->row_stride];
        }
        _mm512_storeu_si512(u + row * SL_LANES, sl_lanes_pair(_mm512_loadu_ps(pair[0]),
                                                              _mm512_loadu_ps(pair[1])));
    }
}

void sl_pointwise_weights(const struct sl_pointwise_weights *weights, uint16_t *u)
{
    if (weights->row_stride == 1) {
        rows_together(weights, u);
    } else if (weights->column_stride == 1) {
        columns_together(weights, u);
    } else {
        all_apart(weights, u);
    }
}
