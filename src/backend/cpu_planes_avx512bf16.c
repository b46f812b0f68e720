/* SPDX-License-Identifier: MIT */
/*
 * Pictures into the planes of cpu_planar_int.h and back. Sixteen pixels of P pairs are
 * transposed by a network of two-source permutations: they fill N vectors, N the power of
 * two from P on, each with whole pixels; a stage joins the pixels of two vectors and
 * halves the pairs that a vector holds, until each holds one pair of all sixteen. The way
 * back takes the same stages in turn.
 */
#include "backend/cpu_planar_int.h"

#include "backend/cpu_lanes_int.h"

enum { BORDER = 1, VECTORS_MOST = 16, STAGES_MOST = SL_PLANAR_STAGES };

/* ---- where lanes come from --------------------------------------------------------- */

/* After `stage` stages a vector holds `pairs` pairs of `pixels` pixels, a pair's pixels
 * side by side; before the first, a pixel's `packed` pairs side by side, as in memory. */
struct layout {
    int stage, pairs, pixels, packed;
};

static struct layout layout_at(int stage, int vectors, int packed)
{
    return (struct layout){.stage = stage,
                           .pairs = vectors >> stage,
                           .pixels = (SL_LANES / vectors) << stage,
                           .packed = packed};
}

static int lane_of(const struct layout *layout, int pair, int pixel)
{
    if (layout->stage > 0) {
        return pair * layout->pixels + pixel;
    }
    return pair < layout->packed ? pixel * layout->packed + pair : 0;
}

/* The stage from `wide` (more pairs, fewer pixels) to `narrow`, in both directions. */
static void route_stage(struct sl_planar_routes *routes, const struct layout *wide,
                        const struct layout *narrow)
{
    for (int half = 0; half < 2; half++) {
        for (int pair = 0; pair < narrow->pairs; pair++) {
            for (int pixel = 0; pixel < narrow->pixels; pixel++) {
                const int second = pixel / wide->pixels;
                routes->spread[wide->stage][half][lane_of(narrow, pair, pixel)] =
                    lane_of(wide, half * narrow->pairs + pair, pixel % wide->pixels) +
                    second * SL_LANES;
            }
        }
        for (int pair = 0; pair < wide->pairs; pair++) {
            for (int pixel = 0; pixel < wide->pixels; pixel++) {
                const int second = pair / narrow->pairs;
                if (wide->stage > 0 || pair < wide->packed) {
                    routes->gather[wide->stage][half][lane_of(wide, pair, pixel)] =
                        lane_of(narrow, pair % narrow->pairs,
                                half * wide->pixels + pixel) +
                        second * SL_LANES;
                }
            }
        }
    }
}

struct sl_planar_map sl_planar_map_of(int height, int width, int channels)
{
    /* The border to the right of a row is that to the left of the next. */
    const int64_t pitch = width + BORDER;
    const int64_t area = (height + 2 * BORDER) * pitch + BORDER;
    /* A vector may begin at the last position, shifted by the last tap. */
    const int64_t plane = area + 64;
    struct sl_planar_map map = {
        .height = height,
        .width = width,
        .channels = channels,
        .pitch = pitch,
        .used = height * pitch,
        .area = area,
        .step = (height + BORDER) * pitch,
        .plane = (plane + 31) / 32 * 32,
        .vectors = 1,
    };
    const int pairs = channels / 2;
    while (map.vectors < pairs) {
        map.vectors *= 2;
    }
    SL_ASSERT(map.vectors <= VECTORS_MOST);
    for (int stage = 0; map.vectors >> stage > 1; stage++) {
        const struct layout wide = layout_at(stage, map.vectors, pairs);
        const struct layout narrow = layout_at(stage + 1, map.vectors, pairs);
        route_stage(&map.routes, &wide, &narrow);
    }
    return map;
}

/* ---- the network ------------------------------------------------------------------- */

SL_INLINE __m512i permute(const int32_t *route, __m512i first, __m512i second)
{
    return _mm512_permutex2var_epi32(first, _mm512_loadu_si512(route), second);
}

/* N (constant) vectors of pixels become planes. A stage's vectors stand by groups of
 * pixels, within one by blocks of pairs. */
SL_INLINE void spread_vectors(int N, const struct sl_planar_routes *routes, __m512i *v)
{
    __m512i made[VECTORS_MOST];
    int stage = 0;
    SL_UNROLL
    for (int blocks = 1; blocks < N; blocks *= 2) {
        SL_UNROLL
        for (int m = 0; m < N; m++) {
            const int group = m / (2 * blocks);
            const int block = m % (2 * blocks);
            const __m512i *from = v + (ptrdiff_t)2 * group * blocks + block / 2;
            made[m] = permute(routes->spread[stage][block % 2], from[0], from[blocks]);
        }
        SL_UNROLL
        for (int m = 0; m < N; m++) {
            v[m] = made[m];
        }
        stage++;
    }
}

SL_INLINE void gather_vectors(int N, int stages, const struct sl_planar_routes *routes,
                              __m512i *v)
{
    __m512i made[VECTORS_MOST];
    int stage = stages;
    SL_UNROLL
    for (int blocks = N / 2; blocks > 0; blocks /= 2) {
        stage--;
        SL_UNROLL
        for (int m = 0; m < N; m++) {
            const int group = m / blocks;
            const int block = m % blocks;
            const __m512i *from =
                v + (ptrdiff_t)(group / 2) * 2 * blocks + (ptrdiff_t)2 * block;
            made[m] = permute(routes->gather[stage][group % 2], from[0], from[1]);
        }
        SL_UNROLL
        for (int m = 0; m < N; m++) {
            v[m] = made[m];
        }
    }
}

/* ---- sixteen pixels at a time ------------------------------------------------------ */

/* `rows` whole rows of `width` pixels, sixteen pixels at most; or a piece of one. */
struct piece {
    int rows, width;
    __mmask16 lanes[VECTORS_MOST]; /* lanes of each vector of pixels */
};

static struct piece piece_of(const struct sl_planar_map *map, int rows, int width)
{
    const int pairs = map->channels / 2;
    const int each = SL_LANES / map->vectors;
    struct piece piece = {.rows = rows, .width = width};
    for (int k = 0; k < map->vectors; k++) {
        const int left = rows * width - k * each;
        const int pixels = left < 0 ? 0 : left < each ? left : each;
        piece.lanes[k] = sl_lanes_first((int64_t)pixels * pairs);
    }
    return piece;
}

/* Lanes of a row of the piece. */
SL_INLINE __mmask16 lanes_of(const struct piece *piece, int row)
{
    return (__mmask16)(sl_lanes_first(piece->width) << (row * piece->width));
}

SL_INLINE void spread_piece(int N, const struct sl_planar_map *map,
                            const struct piece *piece, const uint32_t *pixels,
                            uint32_t *to)
{
    const int pairs = map->channels / 2;
    const ptrdiff_t step = (ptrdiff_t)(SL_LANES / N) * pairs;
    __m512i v[VECTORS_MOST];
    SL_UNROLL
    for (int k = 0; k < N; k++) {
        v[k] = _mm512_maskz_loadu_epi32(piece->lanes[k], pixels + k * step);
    }
    spread_vectors(N, &map->routes, v);
    for (int row = 0; row < piece->rows; row++) {
        const __mmask16 lanes = lanes_of(piece, row);
        uint32_t *at = to + row * (map->pitch - piece->width);
        SL_UNROLL
        for (int p = 0; p < N; p++) {
            if (p < pairs) {
                _mm512_mask_storeu_epi32(at + p * map->plane, lanes, v[p]);
            }
        }
    }
}

/* Pairs of both, added as floats. */
static inline __m512i add_pairs(__m512i a, __m512i b)
{
    const __m512i high = _mm512_set1_epi32((int)0xffff0000U);
    const __m512 low_sum = _mm512_add_ps(_mm512_castsi512_ps(_mm512_slli_epi32(a, 16)),
                                         _mm512_castsi512_ps(_mm512_slli_epi32(b, 16)));
    const __m512 high_sum = _mm512_add_ps(_mm512_castsi512_ps(_mm512_and_si512(a, high)),
                                          _mm512_castsi512_ps(_mm512_and_si512(b, high)));
    return sl_lanes_pair(low_sum, high_sum);
}

SL_INLINE void gather_piece(int N, int stages, const struct sl_planar_map *map,
                            const struct piece *piece, const uint32_t *from,
                            uint32_t *pixels, bool add)
{
    const int pairs = map->channels / 2;
    const ptrdiff_t step = (ptrdiff_t)(SL_LANES / N) * pairs;
    __m512i v[VECTORS_MOST];
    SL_UNROLL
    for (int p = 0; p < N; p++) {
        v[p] = _mm512_setzero_si512();
        for (int row = 0; p < pairs && row < piece->rows; row++) {
            v[p] = _mm512_mask_loadu_epi32(v[p], lanes_of(piece, row),
                                           from + p * map->plane +
                                               row * (map->pitch - piece->width));
        }
    }
    gather_vectors(N, stages, &map->routes, v);
    SL_UNROLL
    for (int k = 0; k < N; k++) {
        uint32_t *to = pixels + k * step;
        if (add) {
            v[k] = add_pairs(v[k], _mm512_maskz_loadu_epi32(piece->lanes[k], to));
        }
        _mm512_mask_storeu_epi32(to, piece->lanes[k], v[k]);
    }
}

/* ---- pictures ---------------------------------------------------------------------- */

/* How a picture falls into pieces: a row's sixteens and the rest to the right, or several
 * short rows at once and the rest below. */
struct pieces {
    struct piece whole, right, below;
};

static struct pieces pieces_of(const struct sl_planar_map *map)
{
    const bool is_short = map->width < SL_LANES;
    const int rows = is_short ? SL_LANES / map->width : 1;
    return (struct pieces){
        .whole = piece_of(map, rows, is_short ? map->width : (int)SL_LANES),
        .right = piece_of(map, 1, map->width % SL_LANES),
        .below = piece_of(map, map->height % rows, map->width),
    };
}

static const struct piece *piece_at(const struct sl_planar_map *map,
                                    const struct pieces *pieces, int y, int x)
{
    if (map->height - y < pieces->whole.rows) {
        return &pieces->below;
    }
    return map->width - x < pieces->whole.width ? &pieces->right : &pieces->whole;
}

/* Every piece of a picture, into planes or out of them. */
SL_INLINE void spread_picture(int N, const struct sl_planar_map *map,
                              const uint32_t *pixels, uint32_t *planes)
{
    const struct pieces pieces = pieces_of(map);
    for (int y = 0; y < map->height; y += pieces.whole.rows) {
        for (int x = 0; x < map->width; x += pieces.whole.width) {
            spread_piece(N, map, piece_at(map, &pieces, y, x),
                         pixels + ((ptrdiff_t)y * map->width + x) * (map->channels / 2),
                         planes + y * map->pitch + x);
        }
    }
}

SL_INLINE void gather_picture(int N, int stages, const struct sl_planar_map *map,
                              const uint32_t *planes, uint32_t *pixels, bool add)
{
    const struct pieces pieces = pieces_of(map);
    for (int y = 0; y < map->height; y += pieces.whole.rows) {
        for (int x = 0; x < map->width; x += pieces.whole.width) {
            gather_piece(
                N, stages, map, piece_at(map, &pieces, y, x), planes + y * map->pitch + x,
                pixels + ((ptrdiff_t)y * map->width + x) * (map->channels / 2), add);
        }
    }
}

void sl_planar_spread(const struct sl_planar_map *map, const uint16_t *picture,
                      uint32_t *planes)
{
    const uint32_t *pixels = (const uint32_t *)(const void *)picture;
    uint32_t *inner = planes + BORDER * map->pitch + BORDER;
    switch (map->vectors) {
    case 1:
        spread_picture(1, map, pixels, inner);
        break;
    case 2:
        spread_picture(2, map, pixels, inner);
        break;
    case 4:
        spread_picture(4, map, pixels, inner);
        break;
    case 8:
        spread_picture(8, map, pixels, inner);
        break;
    default:
        spread_picture(16, map, pixels, inner);
        break;
    }
}

void sl_planar_gather(const struct sl_planar_map *map, const uint32_t *planes,
                      uint16_t *picture, bool add)
{
    uint32_t *pixels = (uint32_t *)(void *)picture;
    switch (map->vectors) {
    case 1:
        gather_picture(1, 0, map, planes, pixels, add);
        break;
    case 2:
        gather_picture(2, 1, map, planes, pixels, add);
        break;
    case 4:
        gather_picture(4, 2, map, planes, pixels, add);
        break;
    case 8:
        gather_picture(8, 3, map, planes, pixels, add);
        break;
    default:
        gather_picture(16, 4, map, planes, pixels, add);
        break;
    }
}

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
