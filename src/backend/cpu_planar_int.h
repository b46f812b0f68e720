/* SPDX-License-Identifier: MIT */
/*
 * Private to the cpu backend: the serial loops of the 3x3 convolution of bfloat16 maps
 * with few channels, by hand for x86-64 with AVX-512 BF16. With up to 22 channels a
 * vector of channels is mostly empty, so here a vector is sixteen pixels: a map becomes
 * planes, one for every pair of channels, whose values are the two side by side.
 *
 * A plane has a border of zeros one pixel wide, and its rows follow each other without a
 * gap, so that a tap of the kernel is nothing but an offset; the border to the right of a
 * row is that to the left of the next. Positions count along the plane from the first
 * row; those on the border are worked out as well and thrown away.
 */
#ifndef SRC_BACKEND_CPU_PLANAR_INT_H
#define SRC_BACKEND_CPU_PLANAR_INT_H

#include "backend/cpu_prefetch_int.h"

enum { SL_PLANAR_TAPS = 9, SL_PLANAR_LANES = 16, SL_PLANAR_STAGES = 4 };

/* For each stage of the network that turns pixels into planes or back, and for the first
 * and the second of the vectors that it makes from two, the lanes of those two. */
struct sl_planar_routes {
    int32_t spread[SL_PLANAR_STAGES][2][SL_PLANAR_LANES];
    int32_t gather[SL_PLANAR_STAGES][2][SL_PLANAR_LANES];
};

/* One picture of a map, (height, width, channels); channels are even. */
struct sl_planar_map {
    int height, width, channels;
    int64_t pitch; /* positions of a row: width + 1 */
    int64_t used;  /* positions that a result has: height rows */
    int64_t area;  /* positions with the border */
    int64_t step;  /* from picture to picture where they share the border between them */
    int64_t plane; /* area, and what a vector may reach beyond */
    int vectors; /* that sixteen pixels fill, each with whole pixels: 1, 2, 4, 8 or 16 */
    struct sl_planar_routes routes;
};
struct sl_planar_map sl_planar_map_of(int height, int width, int channels);

/* Planes (channels / 2, plane) of pairs from a picture (height, width, channels). Only
 * inner positions are written: the border must be zero before. */
void sl_planar_spread(const struct sl_planar_map *map, const uint16_t *picture,
                      uint32_t *planes);
/* And back, from position (0, 0) on: planes as sl_planar_convolve leaves them. Written or
 * added to. */
void sl_planar_gather(const struct sl_planar_map *map, const uint32_t *planes,
                      uint16_t *picture, bool add);

/* dst (out / 2, plane) = the convolution of src (in / 2, plane). Weights are pairs over
 * the input channels: (out, in / 2, 9). */
void sl_planar_convolve(const struct sl_planar_map *src, int out, const uint32_t *planes,
                        const uint32_t *weights, struct sl_cpu_prefetch *prefetch,
                        uint32_t *dst);

/* For the gradient of the weights, whose sum runs over positions, a plane is of one
 * channel and neighbours along it are the pairs. From the first `area` positions of pairs
 * on, and a vector beyond, to single values of planes `stride` apart; pictures follow
 * each other, so that what is written beyond one is overwritten by the next. */
void sl_planar_single(const struct sl_planar_map *map, const uint32_t *pairs,
                      uint16_t *singles, int64_t stride);
/* sums (out, in, 9, 16 lanes) += products of `count` positions, a multiple of 32, of
 * planes `stride` values apart: x shifted by each tap, y as it is, 0 on the border. */
void sl_planar_weights(const struct sl_planar_map *map, int in, int out,
                       const uint16_t *x, const uint16_t *y, int64_t stride,
                       int64_t count, float *sums);

#endif
