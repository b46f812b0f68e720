/* SPDX-License-Identifier: MIT */
/*
 * The loops of cpu_winograd_int.h: going to the 16 points and back, sixteen channels in a
 * vector, sums in float32, one rounding to bfloat16 at the end. The products between are
 * cpu_product_avx512bf16.c's.
 *
 *     B^T = [1  0 -1  0]      G = [1    0    0]      A^T = [1  1  1  0]
 *           [0  1  1  0]          [1/2  1/2  1/2]          [0  1 -1 -1]
 *           [0 -1  1  0]          [1/2 -1/2  1/2]
 *           [0  1  0 -1]          [0    0    1]
 */
#include "backend/cpu_winograd_int.h"

#include "backend/cpu_lanes_int.h"

#include <string.h>

enum { POINTS = SL_WINOGRAD_POINTS, SIDE = 4, TAPS = 9 };

struct sl_winograd_map sl_winograd_map_of(int n, int height, int width, int channels)
{
    return (struct sl_winograd_map){
        .n = n,
        .height = height,
        .width = width,
        .channels = channels,
        .high = (height + 1) / 2,
        .wide = (width + 1) / 2,
        .lanes = sl_cpu_lanes_up(channels),
    };
}

int64_t sl_winograd_tiles(const struct sl_winograd_map *map)
{
    return (int64_t)map->n * map->high * map->wide;
}

/* ---- tiles of a map ---------------------------------------------------------------- */

/* Tile y, x of picture n; beyond the last tile n is beyond the pictures. */
struct place {
    int64_t n, y, x;
};

static struct place place_of(const struct sl_winograd_map *map, int64_t tile)
{
    const int64_t row = tile / map->wide;
    return (struct place){
        .n = row / map->high, .y = row % map->high, .x = tile % map->wide};
}

static inline void step_on(const struct sl_winograd_map *map, struct place *place)
{
    if (++place->x == map->wide) {
        place->x = 0;
        if (++place->y == map->high) {
            place->y = 0;
            place->n++;
        }
    }
}

/* Its own upper left pixel, or the lower right one, which may be outside the picture. */
static int64_t pixel_of(const struct sl_winograd_map *map, int64_t tile, int corner)
{
    const struct place place = place_of(map, tile);
    const int64_t y = 2 * place.y + corner;
    const int64_t x = 2 * place.x + corner;
    return (place.n * map->height + (y < map->height ? y : map->height - 1)) *
               map->width +
           (x < map->width ? x : map->width - 1);
}

struct sl_winograd_span sl_winograd_span_of(const struct sl_winograd_map *map,
                                            int64_t first, int64_t count)
{
    const int64_t tiles = sl_winograd_tiles(map);
    const int64_t end = first + count < tiles ? first + count : tiles;
    if (first >= end) {
        return (struct sl_winograd_span){0, 0};
    }
    return (struct sl_winograd_span){pixel_of(map, first, 0) * map->channels,
                                     (pixel_of(map, end - 1, 1) + 1) * map->channels};
}

/* The pixels of a tile: where each begins in the map, and whether it is inside. */
struct window {
    int64_t at[POINTS];
    __mmask16 inside; /* bit side y + x */
};

/* The side x side pixels that begin `before` pixels up and left of the tile's own. */
static inline struct window window_of(const struct sl_winograd_map *map,
                                      const struct place *place, int side, int before)
{
    struct window w = {.inside = 0};
    const int64_t y0 = 2 * place->y - before;
    const int64_t x0 = 2 * place->x - before;
    const int64_t row = (int64_t)map->width * map->channels;
    const int64_t first = (place->n * map->height + y0) * row + x0 * map->channels;
    if (place->n >= map->n) {
        return w;
    }
    SL_UNROLL
    for (int y = 0; y < side; y++) {
        SL_UNROLL
        for (int x = 0; x < side; x++) {
            w.at[y * side + x] = first + y * row + (int64_t)x * map->channels;
        }
    }
    if (y0 >= 0 && x0 >= 0 && y0 + side <= map->height && x0 + side <= map->width) {
        w.inside = (__mmask16)((1U << (side * side)) - 1U);
        return w;
    }
    for (int i = 0; i < side * side; i++) {
        const int64_t y = y0 + i / side;
        const int64_t x = x0 + i % side;
        const bool inside = y >= 0 && y < map->height && x >= 0 && x < map->width;
        w.inside |= (__mmask16)((unsigned)inside << i);
    }
    return w;
}

/* Sixteen channels of the window's pixels, zero outside. */
static inline void load_window(const struct window *w, int n, const uint16_t *map,
                               int64_t channel, __mmask16 lanes, __m512 *d)
{
    if (w->inside == (__mmask16)((1U << n) - 1U)) {
        SL_UNROLL
        for (int i = 0; i < n; i++) {
            d[i] = sl_lanes_load(lanes, map + w->at[i] + channel);
        }
        return;
    }
    SL_UNROLL
    for (int i = 0; i < n; i++) {
        const bool inside = (w->inside >> i & 1) != 0;
        d[i] = sl_lanes_load(inside ? lanes : 0, inside ? map + w->at[i] + channel : map);
    }
}

/* ---- to the points ----------------------------------------------------------------- */

/* B^T along one direction of four values `step` apart. */
static inline void input_four(__m512 *d, int step)
{
    const __m512 a = _mm512_sub_ps(d[0], d[2 * step]);
    const __m512 b = _mm512_add_ps(d[step], d[2 * step]);
    const __m512 c = _mm512_sub_ps(d[2 * step], d[step]);
    const __m512 e = _mm512_sub_ps(d[step], d[3 * step]);
    d[0] = a;
    d[step] = b;
    d[2 * step] = c;
    d[3 * step] = e;
}

static inline void input_points(__m512 *d)
{
    SL_UNROLL
    for (int x = 0; x < SIDE; x++) {
        input_four(d + x, SIDE);
    }
    SL_UNROLL
    for (int y = 0; y < SIDE; y++) {
        input_four(d + SIDE * y, 1);
    }
}

/* The four rows of pixels under a row of tiles. Neighbouring tiles share two of their
 * four columns, which go through the first half of the transform once. */
struct strip {
    const uint16_t *row[SIDE];
    bool inside[SIDE];
    int width;
    int64_t channels;
};

static struct strip strip_of(const struct sl_winograd_map *map, const uint16_t *src,
                             const struct place *place)
{
    struct strip strip = {.width = map->width, .channels = map->channels};
    for (int i = 0; i < SIDE; i++) {
        const int64_t y = 2 * place->y - 1 + i;
        strip.inside[i] = y >= 0 && y < map->height;
        strip.row[i] = strip.inside[i] ? src + (place->n * map->height + y) * map->width *
                                                   map->channels
                                       : src;
    }
    return strip;
}

/* Column x of the strip, sixteen channels from `channel` on, through B^T. */
static inline void load_column(const struct strip *strip, int64_t x, int64_t channel,
                               __mmask16 lanes, __m512 *d)
{
    const bool inside = x >= 0 && x < strip->width;
    SL_UNROLL
    for (int y = 0; y < SIDE; y++) {
        const bool here = inside && strip->inside[y];
        d[y] = sl_lanes_load(here ? lanes : 0,
                             strip->row[y] + (here ? x * strip->channels + channel : 0));
    }
    input_four(d, 1);
}

/* The points of row y of a tile from four columns. */
static inline void cross_columns(__m512 (*column)[SIDE], int y, __m512 *points)
{
    points[0] = column[0][y];
    points[1] = column[1][y];
    points[2] = column[2][y];
    points[3] = column[3][y];
    input_four(points, 1);
}

/* `count` tiles of one row, from tile x on, sixteen channels. */
static void input_row(const struct strip *strip, int64_t x, int64_t count,
                      int64_t channel, __mmask16 lanes, int64_t point_stride,
                      int64_t tile_stride, uint16_t *v)
{
    __m512 column[SIDE][SIDE];
    load_column(strip, 2 * x - 1, channel, lanes, column[0]);
    load_column(strip, 2 * x, channel, lanes, column[1]);
    for (int64_t t = 0; t < count; t++, x++) {
        load_column(strip, 2 * x + 1, channel, lanes, column[2]);
        load_column(strip, 2 * x + 2, channel, lanes, column[3]);
        SL_UNROLL
        for (int y = 0; y < SIDE; y++) {
            __m512 points[SIDE];
            cross_columns(column, y, points);
            SL_UNROLL
            for (int p = 0; p < SIDE; p++) {
                sl_lanes_store((__mmask16)0xffff,
                               v + (y * SIDE + p) * point_stride + t * tile_stride,
                               points[p]);
            }
            column[0][y] = column[2][y];
            column[1][y] = column[3][y];
        }
    }
}

void sl_winograd_input(const struct sl_winograd_map *map, const uint16_t *src,
                       int64_t first, int64_t count, int64_t point_stride, uint16_t *v)
{
    struct place place = place_of(map, first);
    for (int64_t t = 0; t < count;) {
        const struct strip strip = strip_of(map, src, &place);
        const int64_t left = map->wide - place.x;
        const int64_t n = left < count - t ? left : count - t;
        for (int64_t c = 0; c < map->lanes; c += SL_LANES) {
            input_row(&strip, place.x, n, c, sl_lanes_first(map->channels - c),
                      point_stride, map->lanes, v + t * map->lanes + c);
        }
        t += n;
        place.x += n - 1;
        step_on(map, &place);
    }
}

/* Points of two tiles, side by side, into v (16, pairs, lanes, 2). */
static inline void store_pairs(const __m512 *low, const __m512 *high, int64_t point,
                               uint16_t *v)
{
    SL_UNROLL
    for (int p = 0; p < POINTS; p++) {
        _mm512_storeu_si512(v + p * point, sl_lanes_pair(low[p], high[p]));
    }
}

/* `pairs` pairs of tiles of one row, from tile x on, sixteen channels. */
static void input_row_pairs(const struct strip *strip, int64_t x, int64_t pairs,
                            int64_t channel, __mmask16 lanes, int64_t point_stride,
                            int64_t pair_stride, uint16_t *v)
{
    __m512 column[SIDE + 2][SIDE];
    load_column(strip, 2 * x - 1, channel, lanes, column[0]);
    load_column(strip, 2 * x, channel, lanes, column[1]);
    for (int64_t t = 0; t < pairs; t++, x += 2) {
        SL_UNROLL
        for (int i = 0; i < SIDE; i++) {
            load_column(strip, 2 * x + 1 + i, channel, lanes, column[2 + i]);
        }
        SL_UNROLL
        for (int y = 0; y < SIDE; y++) {
            __m512 low[SIDE];
            __m512 high[SIDE];
            cross_columns(column, y, low);
            cross_columns(column + 2, y, high);
            SL_UNROLL
            for (int p = 0; p < SIDE; p++) {
                _mm512_storeu_si512(v + (y * SIDE + p) * point_stride + t * pair_stride,
                                    sl_lanes_pair(low[p], high[p]));
            }
            column[0][y] = column[SIDE][y];
            column[1][y] = column[SIDE + 1][y];
        }
    }
}

/* Two tiles of different rows; the second may be none. */
static void input_torn_pair(const struct sl_winograd_map *map, const uint16_t *src,
                            struct place place, int64_t point_stride, uint16_t *v)
{
    const struct window low = window_of(map, &place, SIDE, 1);
    step_on(map, &place);
    const struct window high = window_of(map, &place, SIDE, 1);
    for (int64_t c = 0; c < map->lanes; c += SL_LANES) {
        const __mmask16 lanes = sl_lanes_first(map->channels - c);
        __m512 d[2][POINTS];
        load_window(&low, POINTS, src, c, lanes, d[0]);
        input_points(d[0]);
        load_window(&high, POINTS, src, c, lanes, d[1]);
        input_points(d[1]);
        store_pairs(d[0], d[1], point_stride, v + 2 * c);
    }
}

void sl_winograd_input_pairs(const struct sl_winograd_map *map, const uint16_t *src,
                             int64_t first, int64_t count, int64_t point_stride,
                             uint16_t *v)
{
    struct place place = place_of(map, first);
    for (int64_t t = 0; t < count;) {
        uint16_t *to = v + t * map->lanes;
        const int64_t left = map->wide - place.x;
        const int64_t pairs =
            place.n >= map->n ? 0 : (left < count - t ? left : count - t) / 2;
        if (pairs == 0) {
            input_torn_pair(map, src, place, point_stride, to);
            step_on(map, &place);
            step_on(map, &place);
            t += 2;
            continue;
        }
        const struct strip strip = strip_of(map, src, &place);
        for (int64_t c = 0; c < map->lanes; c += SL_LANES) {
            input_row_pairs(&strip, place.x, pairs, c, sl_lanes_first(map->channels - c),
                            point_stride, 2 * map->lanes, to + 2 * c);
        }
        t += 2 * pairs;
        place.x += 2 * pairs - 1;
        step_on(map, &place);
    }
}

/* A along one direction: two values become four, in place, `step` apart. */
static inline void gradient_four(__m512 *y, int step)
{
    const __m512 a = y[0];
    const __m512 b = y[step];
    y[step] = _mm512_add_ps(a, b);
    y[2 * step] = _mm512_sub_ps(a, b);
    y[3 * step] = _mm512_sub_ps(_mm512_setzero_ps(), b);
}

static inline void gradient_points(const struct window *w, const uint16_t *map, int64_t c,
                                   __mmask16 lanes, __m512 *d)
{
    __m512 own[4];
    load_window(w, 4, map, c, lanes, own);
    d[0] = own[0];
    d[1] = own[1];
    d[SIDE] = own[2];
    d[SIDE + 1] = own[3];
    gradient_four(d, SIDE);
    gradient_four(d + 1, SIDE);
    SL_UNROLL
    for (int y = 0; y < SIDE; y++) {
        gradient_four(d + SIDE * y, 1);
    }
}

void sl_winograd_gradient_pairs(const struct sl_winograd_map *map,
                                const uint16_t *diff_dst, int64_t first, int64_t count,
                                int64_t point_stride, uint16_t *v)
{
    struct place place = place_of(map, first);
    for (int64_t t = 0; t < count; t += 2) {
        const struct window low = window_of(map, &place, 2, 0);
        step_on(map, &place);
        const struct window high = window_of(map, &place, 2, 0);
        step_on(map, &place);
        for (int64_t c = 0; c < map->lanes; c += SL_LANES) {
            const __mmask16 lanes = sl_lanes_first(map->channels - c);
            __m512 d[2][POINTS];
            gradient_points(&low, diff_dst, c, lanes, d[0]);
            gradient_points(&high, diff_dst, c, lanes, d[1]);
            store_pairs(d[0], d[1], point_stride, v + (t * map->lanes + 2 * c));
        }
    }
}

/* ---- and back ---------------------------------------------------------------------- */

/* A^T along one direction: four values become two, in place. */
static inline void output_four(__m512 *m, int step)
{
    const __m512 middle = _mm512_add_ps(m[step], m[2 * step]);
    const __m512 apart = _mm512_sub_ps(m[step], m[2 * step]);
    m[0] = _mm512_add_ps(m[0], middle);
    m[step] = _mm512_sub_ps(apart, m[3 * step]);
}

void sl_winograd_output(const struct sl_winograd_map *map, const float *m, int64_t first,
                        int64_t count, int64_t point_stride, uint16_t *dst, bool add)
{
    struct place place = place_of(map, first);
    for (int64_t t = 0; t < count; t++, step_on(map, &place)) {
        const struct window w = window_of(map, &place, 2, 0);
        for (int64_t c = 0; c < map->lanes; c += SL_LANES) {
            const __mmask16 lanes = sl_lanes_first(map->channels - c);
            __m512 d[POINTS];
            SL_UNROLL
            for (int p = 0; p < POINTS; p++) {
                d[p] = _mm512_loadu_ps(m + p * point_stride + t * map->lanes + c);
            }
            SL_UNROLL
            for (int x = 0; x < SIDE; x++) {
                output_four(d + x, SIDE);
            }
            output_four(d, 1);
            output_four(d + SIDE, 1);
            SL_UNROLL
            for (int i = 0; i < 4; i++) {
                if ((w.inside >> i & 1) == 0) {
                    continue;
                }
                uint16_t *to = dst + w.at[i] + c;
                __m512 y = d[i / 2 * SIDE + i % 2];
                if (add) {
                    y = _mm512_add_ps(y, sl_lanes_load(lanes, to));
                }
                sl_lanes_store(lanes, to, y);
            }
        }
    }
}

/* ---- weights ----------------------------------------------------------------------- */

/* G along one direction: three values become four; from `g` at `step`s to `u` at `to`s.
 */
static inline void weights_four(const __m512 *g, int step, __m512 *u, int to)
{
    const __m512 half = _mm512_set1_ps(0.5f);
    const __m512 ends = _mm512_mul_ps(half, _mm512_add_ps(g[0], g[2 * step]));
    u[0] = g[0];
    u[to] = _mm512_fmadd_ps(half, g[step], ends);
    u[2 * to] = _mm512_fnmadd_ps(half, g[step], ends);
    u[3 * to] = g[2 * step];
}

/* Rows whose weights are brought into place at a time. */
enum { STAGED = 16 };

/* g (STAGED, 9, lanes) of rows `first` on: what is together in the master, all taps of
 * neighbouring rows or of one row, is read so, and transposed. */
static void stage_rows(const struct sl_winograd_weights *weights, int first,
                       float g[STAGED * TAPS][SL_LANES])
{
    const int rows = weights->rows - first < STAGED ? weights->rows - first : (int)STAGED;
    const bool together = weights->row_stride == TAPS;
    const int values = together ? rows * TAPS : TAPS;
    for (int row = 0; row < rows; row += together ? rows : 1) {
        const float *from = weights->g + (first + row) * weights->row_stride;
        for (int at = 0; at < values; at += SL_LANES) {
            const __mmask16 lanes = sl_lanes_first(values - at);
            __m512 v[SL_LANES];
            SL_UNROLL
            for (int c = 0; c < SL_LANES; c++) {
                const bool here = c < weights->columns;
                v[c] = _mm512_maskz_loadu_ps(here ? lanes : 0,
                                             here ? from + c * weights->column_stride + at
                                                  : from);
            }
            sl_lanes_transpose(v);
            SL_UNROLL
            for (int k = 0; k < SL_LANES; k++) {
                if (at + k < values) {
                    _mm512_storeu_ps(g[row * TAPS + at + k], v[k]);
                }
            }
        }
    }
    for (int k = (rows < 0 ? 0 : rows) * TAPS; k < STAGED * TAPS; k++) {
        _mm512_storeu_ps(g[k], _mm512_setzero_ps());
    }
}

/* Points of one row of the weights, all columns. */
static inline void weights_points(float (*taps)[SL_LANES], bool flip, __m512 *u)
{
    __m512 g[TAPS];
    __m512 half[SIDE * 3];
    SL_UNROLL
    for (int tap = 0; tap < TAPS; tap++) {
        g[tap] = _mm512_loadu_ps(taps[flip ? TAPS - 1 - tap : tap]);
    }
    SL_UNROLL
    for (int x = 0; x < 3; x++) {
        weights_four(g + x, 3, half + x, 3);
    }
    SL_UNROLL
    for (int y = 0; y < SIDE; y++) {
        weights_four(half + 3 * y, 1, u + SIDE * y, 1);
    }
}

void sl_winograd_weights(const struct sl_winograd_weights *weights, int64_t pairs,
                         int64_t point_stride, uint16_t *u)
{
    float g[STAGED * TAPS][SL_LANES];
    for (int64_t k = 0; k < pairs; k++) {
        __m512 points[2][POINTS];
        const int row = (int)(2 * k % STAGED);
        if (row == 0) {
            stage_rows(weights, (int)(2 * k), g);
        }
        weights_points(g + (ptrdiff_t)row * TAPS, weights->flip, points[0]);
        weights_points(g + (ptrdiff_t)(row + 1) * TAPS, weights->flip, points[1]);
        store_pairs(points[0], points[1], point_stride, u + k * 2 * SL_LANES);
    }
}

/* G^T along one direction: four values become three. */
static inline void weights_three(const __m512 *u, int step, __m512 *g, int to)
{
    const __m512 half = _mm512_set1_ps(0.5f);
    const __m512 sum = _mm512_mul_ps(half, _mm512_add_ps(u[step], u[2 * step]));
    g[0] = _mm512_add_ps(u[0], sum);
    g[to] = _mm512_mul_ps(half, _mm512_sub_ps(u[step], u[2 * step]));
    g[2 * to] = _mm512_add_ps(sum, u[3 * step]);
}

double sl_winograd_weights_gradient(const float *du, int64_t point_stride, int in,
                                    int64_t in_stride, float *g)
{
    double squares = 0.0;
    for (int first = 0; first < in; first += SL_LANES) {
        const int n = in - first < SL_LANES ? in - first : SL_LANES;
        float taps[TAPS][SL_LANES];
        __m512 u[POINTS];
        __m512 half[SIDE * 3];
        __m512 dg[TAPS];
        __m512 sum = _mm512_setzero_ps();
        SL_UNROLL
        for (int p = 0; p < POINTS; p++) {
            u[p] = _mm512_loadu_ps(du + p * point_stride + first);
        }
        SL_UNROLL
        for (int y = 0; y < SIDE; y++) {
            weights_three(u + SIDE * y, 1, half + 3 * y, 1);
        }
        SL_UNROLL
        for (int x = 0; x < 3; x++) {
            weights_three(half + x, 3, dg + x, 3);
        }
        SL_UNROLL
        for (int tap = 0; tap < TAPS; tap++) {
            /* lanes behind the last channel are 0 */
            sum = _mm512_fmadd_ps(dg[tap], dg[tap], sum);
            _mm512_storeu_ps(taps[tap], dg[tap]);
        }
        squares += (double)_mm512_reduce_add_ps(sum);
        for (int i = 0; i < n; i++) {
            float *to = g + (first + i) * in_stride;
            for (int tap = 0; tap < TAPS; tap++) {
                to[tap] += taps[tap][i];
            }
        }
    }
    return squares;
}
