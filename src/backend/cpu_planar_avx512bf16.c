/* SPDX-License-Identifier: MIT */
/*
 * The loops of cpu_planar_int.h. A block of sums, outputs by vectors of pixels, stays in
 * registers while taps and input channels go by.
 */
#include "backend/cpu_planar_int.h"

#include "backend/cpu_lanes_int.h"

enum { TAPS = SL_PLANAR_TAPS };

/* ---- convolution ------------------------------------------------------------------- */

enum { OUTPUTS_MOST = 8, VECTORS_MOST = 6 };

/* O outputs (constant, even) by V vectors (constant) of positions from `at` on. */
SL_INLINE void convolve_block(int O, int V, const struct sl_planar_map *map,
                              const uint32_t *planes, const uint32_t *weights,
                              uint32_t *dst)
{
    const int pairs = map->channels / 2;
    const int64_t each = (int64_t)pairs * TAPS;
    __m512 sums[OUTPUTS_MOST][VECTORS_MOST];
    SL_UNROLL
    for (int o = 0; o < O; o++) {
        SL_UNROLL
        for (int v = 0; v < V; v++) {
            sums[o][v] = _mm512_setzero_ps();
        }
    }
    const uint32_t *w = weights;
    for (int p = 0; p < pairs; p++) {
        const uint32_t *rows = planes + p * map->plane;
        for (int y = 0; y < 3; y++) {
            SL_UNROLL
            for (int tap = 0; tap < 3; tap++) {
                __m512bh x[VECTORS_MOST];
                SL_UNROLL
                for (int v = 0; v < V; v++) {
                    x[v] = (__m512bh)_mm512_loadu_si512(rows + tap +
                                                        (ptrdiff_t)v * SL_LANES);
                }
                SL_UNROLL
                for (int o = 0; o < O; o++) {
                    const __m512bh weight =
                        (__m512bh)_mm512_set1_epi32((int)w[o * each + tap]);
                    SL_UNROLL
                    for (int v = 0; v < V; v++) {
                        sums[o][v] = _mm512_dpbf16_ps(sums[o][v], x[v], weight);
                    }
                }
            }
            rows += map->pitch;
            w += 3;
        }
    }
    SL_UNROLL
    for (int o = 0; o < O; o += 2) {
        SL_UNROLL
        for (int v = 0; v < V; v++) {
            _mm512_storeu_si512(dst + o / 2 * map->plane + (ptrdiff_t)v * SL_LANES,
                                sl_lanes_pair(sums[o][v], sums[o + 1][v]));
        }
    }
}

/* All positions for O outputs, V vectors at a time and the rest one by one. */
SL_INLINE void convolve_outputs(int O, int V, const struct sl_planar_map *map,
                                const uint32_t *planes, const uint32_t *weights,
                                struct sl_cpu_prefetch *prefetch, uint32_t *dst)
{
    int64_t at = 0;
    for (; at + (int64_t)V * SL_LANES <= map->used; at += (int64_t)V * SL_LANES) {
        sl_cpu_prefetch_next(prefetch);
        convolve_block(O, V, map, planes + at, weights, dst + at);
    }
    for (; at < map->used; at += SL_LANES) {
        convolve_block(O, 1, map, planes + at, weights, dst + at);
    }
}

/* Whole blocks of all outputs; outputs come in eights, fours and twos. */
static int64_t blocks_of(const struct sl_planar_map *map, int out)
{
    const int64_t of_eight = map->used / (3 * SL_LANES);
    const int64_t of_less = map->used / (6 * SL_LANES);
    const int rest = out % 8;
    const int64_t blocks = out / 8 * of_eight + ((rest >= 4) + (rest % 4 > 0)) * of_less;
    return blocks < 1 ? 1 : blocks;
}

void sl_planar_convolve(const struct sl_planar_map *src, int out, const uint32_t *planes,
                        const uint32_t *weights, struct sl_cpu_prefetch *prefetch,
                        uint32_t *dst)
{
    const int64_t each = (int64_t)src->channels / 2 * TAPS;
    sl_cpu_prefetch_spread(prefetch, blocks_of(src, out));
    for (int o = 0; o < out;) {
        const int left = out - o;
        const uint32_t *w = weights + o * each;
        uint32_t *to = dst + o / 2 * src->plane;
        if (left >= 8) {
            convolve_outputs(8, 3, src, planes, w, prefetch, to);
            o += 8;
        } else if (left >= 4) {
            convolve_outputs(4, 6, src, planes, w, prefetch, to);
            o += 4;
        } else {
            convolve_outputs(2, 6, src, planes, w, prefetch, to);
            o += 2;
        }
    }
}

/* ---- the gradient of the weights --------------------------------------------------- */

enum { GRADIENTS_MOST = 3 };

/* One input channel with O output channels (constant): their 9 O sums stay in registers
 * along the plane. */
SL_INLINE void weights_block(int O, const struct sl_planar_map *map, int in,
                             const uint16_t *x, const uint16_t *y, int64_t stride,
                             int64_t count, float *sums)
{
    const int64_t output = (int64_t)in * TAPS * SL_LANES;
    __m512 dw[GRADIENTS_MOST][TAPS];
    SL_UNROLL
    for (int o = 0; o < O; o++) {
        SL_UNROLL
        for (int tap = 0; tap < TAPS; tap++) {
            dw[o][tap] = _mm512_loadu_ps(sums + o * output + (ptrdiff_t)tap * SL_LANES);
        }
    }
    for (int64_t i = 0; i < count; i += 2 * SL_LANES) {
        __m512bh g[GRADIENTS_MOST];
        SL_UNROLL
        for (int o = 0; o < O; o++) {
            g[o] = (__m512bh)_mm512_loadu_si512(y + o * stride + i);
        }
        SL_UNROLL
        for (int tap = 0; tap < TAPS; tap++) {
            const __m512bh shifted =
                (__m512bh)_mm512_loadu_si512(x + i + tap / 3 * map->pitch + tap % 3);
            SL_UNROLL
            for (int o = 0; o < O; o++) {
                dw[o][tap] = _mm512_dpbf16_ps(dw[o][tap], g[o], shifted);
            }
        }
    }
    SL_UNROLL
    for (int o = 0; o < O; o++) {
        SL_UNROLL
        for (int tap = 0; tap < TAPS; tap++) {
            _mm512_storeu_ps(sums + o * output + (ptrdiff_t)tap * SL_LANES, dw[o][tap]);
        }
    }
}

void sl_planar_weights(const struct sl_planar_map *map, int in, int out,
                       const uint16_t *x, const uint16_t *y, int64_t stride,
                       int64_t count, float *sums)
{
    const int64_t each = (int64_t)TAPS * SL_LANES;
    for (int i = 0; i < in; i++) {
        for (int o = 0; o < out; o += GRADIENTS_MOST) {
            const uint16_t *source = x + i * stride;
            const uint16_t *gradient = y + o * stride;
            float *to = sums + ((int64_t)o * in + i) * each;
            switch (out - o) {
            case 1:
                weights_block(1, map, in, source, gradient, stride, count, to);
                break;
            case 2:
                weights_block(2, map, in, source, gradient, stride, count, to);
                break;
            default:
                weights_block(3, map, in, source, gradient, stride, count, to);
                break;
            }
        }
    }
}
