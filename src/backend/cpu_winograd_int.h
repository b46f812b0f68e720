/* SPDX-License-Identifier: MIT */
/*
 * Private to the cpu backend: the serial loops of the 3x3 convolution as Winograd's
 * F(2x2, 3x3) (Lavin and Gray, arXiv 1509.09308), by hand for x86-64 with AVX-512 BF16.
 * Two by two output pixels, a tile, need 16 products a pair of channels instead of 36:
 *
 *     Y = A^T [ (G g G^T) * (B^T d B) ] A        summed over the input channels
 *
 * d is the tile's 4x4 input pixels, g the 3x3 weights, * goes element by element. The 16
 * elements are 16 products of matrices (tiles x channels) with (channels x channels).
 * The gradient of the weights is the same sum read the other way:
 *
 *     dg = G^T [ sum over tiles of (A dY A^T) * (B^T d B) ] G
 *
 * What is 4x4 in the equations is here an index p = 0 .. 15 of the outermost dimension.
 * Channels are padded to whole vectors with zeros.
 */
#ifndef SRC_BACKEND_CPU_WINOGRAD_INT_H
#define SRC_BACKEND_CPU_WINOGRAD_INT_H

#include "backend/backend.h"
#include "backend/cpu_product_int.h"

enum { SL_WINOGRAD_POINTS = 16 };

/* Values between one point and the next where each has `values` of them, of `bytes` each:
 * a cache line more than they need, because the 16 are read and written side by side and
 * would else fall into the same sets of a cache. */
static inline int64_t sl_winograd_stride(int64_t values, int64_t bytes)
{
    return values + 64 / bytes;
}

/* A map (n, height, width, channels) of bfloat16, cut into tiles of 2x2 pixels; tile
 * (n, y, x) is number (n * high + y) * wide + x. */
struct sl_winograd_map {
    int n, height, width, channels;
    int high, wide; /* tiles */
    int64_t lanes;  /* channels padded to whole vectors */
};
struct sl_winograd_map sl_winograd_map_of(int n, int height, int width, int channels);
int64_t sl_winograd_tiles(const struct sl_winograd_map *map);

/* Values of a map from the first of the tiles' own pixels to the last one, what lies
 * between them included; none where count is 0. */
struct sl_winograd_span {
    int64_t begin, end;
};
struct sl_winograd_span sl_winograd_span_of(const struct sl_winograd_map *map,
                                            int64_t first, int64_t count);

/* V = B^T d B of `count` tiles from `first` on: v (16, count, lanes) with `point_stride`
 * values between the 16; the 4x4 pixels reach one beyond the tile on each side, zero
 * outside the picture. */
void sl_winograd_input(const struct sl_winograd_map *map, const uint16_t *src,
                       int64_t first, int64_t count, int64_t point_stride, uint16_t *v);
/* The same with neighbouring tiles in pairs: v (16, pairs, lanes, 2) with `point_stride`
 * values between the 16; `count` is even and may reach beyond the last tile, which gives
 * zeros. */
void sl_winograd_input_pairs(const struct sl_winograd_map *map, const uint16_t *src,
                             int64_t first, int64_t count, int64_t point_stride,
                             uint16_t *v);
/* A dY A^T of the tiles' own 2x2 pixels, in pairs likewise. */
void sl_winograd_gradient_pairs(const struct sl_winograd_map *map,
                                const uint16_t *diff_dst, int64_t first, int64_t count,
                                int64_t point_stride, uint16_t *v);
/* Y = A^T M A into dst, written or added to: m (16, count, lanes), strides likewise. */
void sl_winograd_output(const struct sl_winograd_map *map, const float *m, int64_t first,
                        int64_t count, int64_t point_stride, uint16_t *dst, bool add);

/* G g G^T of vector `vector` of the columns, for `rows` channels that are summed over:
 * u (16, pairs, lanes 16, 2) with `point_stride` values between the 16. Weight (row,
 * column, tap) stands at g[row*row_stride + column*column_stride + tap]; `columns` of the
 * vector are there. `flip` turns the taps round, for the gradient of the source. */
struct sl_winograd_weights {
    const float *g;
    int64_t row_stride, column_stride;
    int rows, columns;
    bool flip;
};
void sl_winograd_weights(const struct sl_winograd_weights *weights, int64_t pairs,
                         int64_t point_stride, uint16_t *u);
/* dg = G^T dU G of one output channel joins its gradient: du (16, lanes) with
 * `point_stride` values between the 16; g[in*in_stride + tap] += dg. Returns the sum of
 * squares of what was added. */
double sl_winograd_weights_gradient(const float *du, int64_t point_stride, int in,
                                    int64_t in_stride, float *g);

#endif
