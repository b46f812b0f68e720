/* SPDX-License-Identifier: MIT */
/*
 * The loops of cpu_planar_int.h. A block of sums, outputs by vectors of pixels, stays in
 * registers while taps and input channels go by.
 */
#include "backend/cpu_planar_int.h"

#include "backend/cpu_lanes_int.h"

#include <string.h>

enum { TAPS = SL_PLANAR_TAPS, BORDER = 1 };

struct sl_planar_map sl_planar_map_of(int height, int width, int channels)
{
    const int64_t pitch = width + 2 * BORDER;
    /* A vector may begin at the last position, shifted by the last tap. */
    const int64_t plane = (height + 2 * BORDER) * pitch + 64;
    return (struct sl_planar_map){
        .height = height,
        .width = width,
        .channels = channels,
        .pitch = pitch,
        .used = height * pitch,
        .area = (height + 2 * BORDER) * pitch,
        .plane = (plane + 31) / 32 * 32,
    };
}

/* ---- pictures and planes ----------------------------------------------------------- */

/* Sixteen pixels of P pairs are P vectors, as are the planes that they become; each of
 * either is put together from all P of the other. Lane l of plane p is value l P + p of
 * the pixels, so it comes from lane (l P + p) mod 16 of vector (l P + p) / 16; and value
 * v of the pixels is lane v / P of plane v mod P. */
enum { PAIRS_MOST = 12 };

struct shuffle {
    __m512i lanes[PAIRS_MOST];              /* by what is put together */
    __mmask16 from[PAIRS_MOST][PAIRS_MOST]; /* by that, and by where it comes from */
};

static struct shuffle shuffle_of(int pairs, bool to_planes)
{
    struct shuffle shuffle = {0};
    for (int made = 0; made < pairs; made++) {
        int32_t lanes[SL_LANES];
        for (int l = 0; l < SL_LANES; l++) {
            const int value = to_planes ? l * pairs + made : made * SL_LANES + l;
            const int source = to_planes ? value / SL_LANES : value % pairs;
            lanes[l] = to_planes ? value % SL_LANES : value / pairs;
            shuffle.from[made][source] |= (__mmask16)(1U << l);
        }
        shuffle.lanes[made] = _mm512_loadu_si512(lanes);
    }
    return shuffle;
}

/* `pairs` is constant where this is called. */
SL_INLINE void put_together(int pairs, const struct shuffle *shuffle,
                            const __m512i *sources, __m512i *made)
{
    SL_UNROLL
    for (int m = 0; m < pairs; m++) {
        __m512i value = _mm512_setzero_si512();
        SL_UNROLL
        for (int s = 0; s < pairs; s++) {
            value = _mm512_mask_permutexvar_epi32(value, shuffle->from[m][s],
                                                  shuffle->lanes[m], sources[s]);
        }
        made[m] = value;
    }
}

/* n pixels, at most sixteen. */
SL_INLINE void spread_pixels(int pairs, const struct shuffle *shuffle, int n,
                             const uint32_t *pixels, uint32_t *to, int64_t plane)
{
    __m512i sources[PAIRS_MOST];
    __m512i made[PAIRS_MOST];
    SL_UNROLL
    for (int s = 0; s < pairs; s++) {
        const int left = n * pairs - s * SL_LANES;
        sources[s] = _mm512_maskz_loadu_epi32(left > 0 ? sl_lanes_first(left) : 0,
                                              pixels + (ptrdiff_t)s * SL_LANES);
    }
    put_together(pairs, shuffle, sources, made);
    SL_UNROLL
    for (int m = 0; m < pairs; m++) {
        _mm512_mask_storeu_epi32(to + m * plane, sl_lanes_first(n), made[m]);
    }
}

SL_INLINE void gather_pixels(int pairs, const struct shuffle *shuffle, int n,
                             const uint32_t *from, int64_t plane, uint32_t *pixels)
{
    __m512i sources[PAIRS_MOST];
    __m512i made[PAIRS_MOST];
    SL_UNROLL
    for (int s = 0; s < pairs; s++) {
        sources[s] = _mm512_loadu_si512(from + s * plane);
    }
    put_together(pairs, shuffle, sources, made);
    SL_UNROLL
    for (int m = 0; m < pairs; m++) {
        const int left = n * pairs - m * SL_LANES;
        _mm512_mask_storeu_epi32(pixels + (ptrdiff_t)m * SL_LANES,
                                 left > 0 ? sl_lanes_first(left) : 0, made[m]);
    }
}

static void spread_any(int pairs, const struct shuffle *shuffle, int n,
                       const uint32_t *pixels, uint32_t *to, int64_t plane)
{
    switch (pairs) {
    case 2:
        spread_pixels(2, shuffle, n, pixels, to, plane);
        break;
    case 4:
        spread_pixels(4, shuffle, n, pixels, to, plane);
        break;
    case 6:
        spread_pixels(6, shuffle, n, pixels, to, plane);
        break;
    case 8:
        spread_pixels(8, shuffle, n, pixels, to, plane);
        break;
    case 12:
        spread_pixels(12, shuffle, n, pixels, to, plane);
        break;
    default:
        for (int x = 0; x < n; x++) {
            for (int p = 0; p < pairs; p++) {
                to[p * plane + x] = pixels[x * pairs + p];
            }
        }
        break;
    }
}

static void gather_any(int pairs, const struct shuffle *shuffle, int n,
                       const uint32_t *from, int64_t plane, uint32_t *pixels)
{
    switch (pairs) {
    case 2:
        gather_pixels(2, shuffle, n, from, plane, pixels);
        break;
    case 4:
        gather_pixels(4, shuffle, n, from, plane, pixels);
        break;
    case 6:
        gather_pixels(6, shuffle, n, from, plane, pixels);
        break;
    case 8:
        gather_pixels(8, shuffle, n, from, plane, pixels);
        break;
    case 12:
        gather_pixels(12, shuffle, n, from, plane, pixels);
        break;
    default:
        for (int x = 0; x < n; x++) {
            for (int p = 0; p < pairs; p++) {
                pixels[x * pairs + p] = from[p * plane + x];
            }
        }
        break;
    }
}

void sl_planar_spread(const struct sl_planar_map *map, const uint16_t *picture,
                      uint32_t *planes)
{
    const int pairs = map->channels / 2;
    const struct shuffle shuffle = shuffle_of(pairs, true);
    const uint32_t *row = (const uint32_t *)(const void *)picture;
    uint32_t *to = planes + BORDER * map->pitch + BORDER;
    for (int y = 0; y < map->height; y++) {
        for (int x = 0; x < map->width; x += SL_LANES) {
            const int n = map->width - x < SL_LANES ? map->width - x : (int)SL_LANES;
            spread_any(pairs, &shuffle, n, row + (ptrdiff_t)x * pairs, to + x,
                       map->plane);
        }
        row += (int64_t)map->width * pairs;
        to += map->pitch;
    }
}

void sl_planar_gather(const struct sl_planar_map *map, const uint32_t *planes,
                      uint16_t *picture, uint16_t *row, bool add)
{
    const int pairs = map->channels / 2;
    const struct shuffle shuffle = shuffle_of(pairs, false);
    const int64_t values = (int64_t)map->width * map->channels;
    for (int y = 0; y < map->height; y++) {
        uint16_t *to = picture + y * values;
        uint32_t *pixels = (uint32_t *)(void *)(add ? row : to);
        for (int x = 0; x < map->width; x += SL_LANES) {
            const int n = map->width - x < SL_LANES ? map->width - x : (int)SL_LANES;
            gather_any(pairs, &shuffle, n, planes + y * map->pitch + x, map->plane,
                       pixels + (ptrdiff_t)x * pairs);
        }
        for (int64_t i = 0; add && i < values; i += SL_LANES) {
            const __mmask16 lanes = sl_lanes_first(values - i);
            sl_lanes_store(lanes, to + i,
                           _mm512_add_ps(sl_lanes_load(lanes, to + i),
                                         sl_lanes_load(lanes, row + i)));
        }
    }
}

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
                                uint32_t *dst)
{
    int64_t at = 0;
    for (; at + (int64_t)V * SL_LANES <= map->used; at += (int64_t)V * SL_LANES) {
        convolve_block(O, V, map, planes + at, weights, dst + at);
    }
    for (; at < map->used; at += SL_LANES) {
        convolve_block(O, 1, map, planes + at, weights, dst + at);
    }
}

void sl_planar_convolve(const struct sl_planar_map *src, int out, const uint32_t *planes,
                        const uint32_t *weights, uint32_t *dst)
{
    const int64_t each = (int64_t)src->channels / 2 * TAPS;
    for (int o = 0; o < out;) {
        const int left = out - o;
        const uint32_t *w = weights + o * each;
        uint32_t *to = dst + o / 2 * src->plane;
        if (left >= 8) {
            convolve_outputs(8, 3, src, planes, w, to);
            o += 8;
        } else if (left >= 4) {
            convolve_outputs(4, 6, src, planes, w, to);
            o += 4;
        } else {
            convolve_outputs(2, 6, src, planes, w, to);
            o += 2;
        }
    }
}

/* ---- the gradient of the weights --------------------------------------------------- */

void sl_planar_single(const struct sl_planar_map *map, const uint32_t *pairs,
                      uint16_t *singles, int64_t stride)
{
    for (int p = 0; p < map->channels / 2; p++) {
        const uint32_t *from = pairs + p * map->plane;
        uint16_t *low = singles + (int64_t)2 * p * stride;
        uint16_t *high = low + stride;
        for (int64_t i = 0; i < map->area; i += SL_LANES) {
            const __m512i both = _mm512_loadu_si512(from + i);
            _mm256_storeu_si256((__m256i *)(void *)(low + i),
                                _mm512_cvtepi32_epi16(both));
            _mm256_storeu_si256((__m256i *)(void *)(high + i),
                                _mm512_cvtepi32_epi16(_mm512_srli_epi32(both, 16)));
        }
    }
}

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
