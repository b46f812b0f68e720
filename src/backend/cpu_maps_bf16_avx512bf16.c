/* SPDX-License-Identifier: MIT */
/*
 * Batch norm's loops over maps of bfloat16 by hand, for x86-64 with AVX-512 BF16: what
 * cpu_maps_norm_body.h computes, with the constants of up to 64 channels held in
 * registers while rows go by, because loading them beside every value costs more than the
 * values. The other loops over maps are the common ones.
 *
 * A range is seen as rows of `period` values, a multiple of the channels, so that a
 * column has one channel and even four channels fill whole vectors. Rows are taken in
 * blocks that stay in the nearest cache, each block column group by column group.
 */
#include "backend/cpu_lanes_int.h"
#include "backend/cpu_rows_int.h"

enum { LANES = SL_LANES, VECTORS = 4, COLUMNS = LANES * VECTORS };
/* Rows of a block: at most what float sums may collect before they join the double ones,
 * fewer where rows are long. */
enum { ROWS_MOST = 64, ROWS_LEAST = 8, BLOCK_VALUES = 8192 };

/* ---- vectors ----------------------------------------------------------------------- */

/* max(x, 0), letting a NaN through */
static inline __m512 relu_lanes(__m512 x)
{
    return _mm512_max_ps(_mm512_setzero_ps(), x);
}

/* g where the ReLU's output is not at or below 0 */
static inline __m512 passed_lanes(__m512 dst, __m512 g)
{
    const __mmask16 blocked = _mm512_cmp_ps_mask(dst, _mm512_setzero_ps(), _CMP_LE_OQ);
    return _mm512_mask_mov_ps(g, blocked, _mm512_setzero_ps());
}

/* ---- the walk over a range --------------------------------------------------------- */

/* Up to COLUMNS columns of some rows: `n` vectors, the last one's lanes cut to `last`. */
struct block {
    int64_t at;     /* of its first value, in the range */
    int64_t column; /* of its first value, in the row */
    int64_t rows, period;
    int n;
    __mmask16 last;
};
typedef void (*block_fn)(const struct block *block, const void *call);

/* Values of a row: the least multiple of the channels that fills whole blocks or at least
 * whole vectors and divides the tile; else the channels as they are. */
static int64_t period_of(const struct sl_cpu_tile *tile)
{
    for (int64_t period = tile->c; period <= tile->length; period += tile->c) {
        if (period >= COLUMNS - LANES && period % LANES == 0 &&
            tile->length % period == 0) {
            return period;
        }
    }
    return tile->c;
}

static inline __mmask16 lanes_of(const struct block *b, int i)
{
    return i == b->n - 1 ? b->last : (__mmask16)0xffff;
}

/* Rows of `width` values, `rows` of them from value `at` on. */
static void walk_rows(int64_t at, int64_t rows, int64_t width, int64_t period,
                      block_fn work, const void *call)
{
    for (int64_t column = 0; column < width; column += COLUMNS) {
        const int64_t columns = width - column < COLUMNS ? width - column : COLUMNS;
        const int64_t rest = columns % LANES;
        const struct block block = {
            .at = at + column,
            .column = column,
            .rows = rows,
            .period = period,
            .n = (int)((columns + LANES - 1) / LANES),
            .last = rest == 0 ? (__mmask16)0xffff : sl_lanes_first(rest),
        };
        work(&block, call);
    }
}

static void walk(const struct sl_cpu_tile *tile, int64_t count, block_fn work,
                 const void *call)
{
    const int64_t period = period_of(tile);
    const int64_t whole = count / period;
    int64_t most = BLOCK_VALUES / period;
    most = most > ROWS_MOST ? ROWS_MOST : most < ROWS_LEAST ? ROWS_LEAST : most;
    for (int64_t row = 0; row < whole; row += most) {
        const int64_t rows = whole - row < most ? whole - row : most;
        walk_rows(row * period, rows, period, period, work, call);
    }
    if (count % period > 0) {
        walk_rows(whole * period, 1, count % period, period, work, call);
    }
}

/* Constants of a block's columns. */
static inline void load_constants(const struct block *b, int n, const float *from,
                                  __m512 *to)
{
    for (int i = 0; i < n; i++) {
        to[i] = _mm512_maskz_loadu_ps(lanes_of(b, i), from + b->column + i * LANES);
    }
}

/* ---- sums -------------------------------------------------------------------------- */

struct sums_call {
    int64_t c;
    const uint16_t *g, *x, *dst; /* g and dst: gradients only */
    const float *shift;
    const struct sl_cpu_norm_forward *norm; /* gradients only */
    uint16_t *diff_added;                   /* NULL: none */
    const struct sl_cpu_sums *sums;
};

/* A block's sums join those of their channels. */
static void join_block(const struct block *b, const struct sums_call *call,
                       const __m512 *first, const __m512 *second)
{
    float sums[2][COLUMNS];
    for (int i = 0; i < b->n; i++) {
        _mm512_storeu_ps(sums[0] + i * LANES, first[i]);
        _mm512_storeu_ps(sums[1] + i * LANES, second[i]);
    }
    int64_t c = b->column % call->c;
    for (int i = 0; i < b->n; i++) {
        const int lanes = i == b->n - 1 ? __builtin_popcount(b->last) : LANES;
        for (int j = i * LANES; j < i * LANES + lanes; j++) {
            call->sums->first[c] += (double)sums[0][j];
            call->sums->second[c] += (double)sums[1][j];
            c = c + 1 == call->c ? 0 : c + 1;
        }
    }
}

SL_INLINE void sum_columns(const struct block *b, const struct sums_call *call, int n)
{
    __m512 shift[VECTORS];
    __m512 first[VECTORS];
    __m512 second[VECTORS];
    load_constants(b, n, call->shift, shift);
    for (int i = 0; i < n; i++) {
        first[i] = _mm512_setzero_ps();
        second[i] = _mm512_setzero_ps();
    }
    for (int64_t row = 0; row < b->rows; row++) {
        const uint16_t *x = call->x + b->at + row * b->period;
        for (int i = 0; i < n; i++) {
            const __m512 far =
                _mm512_sub_ps(sl_lanes_load(lanes_of(b, i), x + i * LANES), shift[i]);
            first[i] = _mm512_add_ps(first[i], far);
            second[i] = _mm512_fmadd_ps(far, far, second[i]);
        }
    }
    join_block(b, call, first, second);
}

static void sum_block(const struct block *b, const void *opaque)
{
    switch (b->n) {
    case 1:
        sum_columns(b, opaque, 1);
        break;
    case 2:
        sum_columns(b, opaque, 2);
        break;
    case 3:
        sum_columns(b, opaque, 3);
        break;
    default:
        sum_columns(b, opaque, 4);
        break;
    }
}

static void norm_sums(const struct sl_cpu_tile *tile, int64_t count, const void *x,
                      const float *shift, const struct sl_cpu_sums *sums)
{
    const struct sums_call call = {.c = tile->c, .x = x, .shift = shift, .sums = sums};
    walk(tile, count, sum_block, &call);
}

/* y = x slope + offset, with offset = shift - mean slope */
SL_INLINE void load_forward(const struct block *b, int n,
                            const struct sl_cpu_norm_forward *norm, __m512 *slope,
                            __m512 *offset)
{
    __m512 mean[VECTORS];
    load_constants(b, n, norm->slope, slope);
    load_constants(b, n, norm->mean, mean);
    load_constants(b, n, norm->shift, offset);
    for (int i = 0; i < n; i++) {
        offset[i] = _mm512_fnmadd_ps(mean[i], slope[i], offset[i]);
    }
}

enum pass { PASS_NONE, PASS_WRITE, PASS_ADD };

SL_INLINE void gradient_sum_columns(const struct block *b, const struct sums_call *call,
                                    int n, enum sl_tail tail, enum pass pass)
{
    __m512 slope[VECTORS];
    __m512 offset[VECTORS];
    __m512 mean[VECTORS];
    __m512 first[VECTORS];
    __m512 second[VECTORS];
    load_constants(b, n, call->norm->mean, mean);
    if (tail == SL_TAIL_RELU) {
        load_forward(b, n, call->norm, slope, offset);
    }
    for (int i = 0; i < n; i++) {
        first[i] = _mm512_setzero_ps();
        second[i] = _mm512_setzero_ps();
    }
    for (int64_t row = 0; row < b->rows; row++) {
        const int64_t at = b->at + row * b->period;
        for (int i = 0; i < n; i++) {
            const __mmask16 lanes = lanes_of(b, i);
            const int64_t j = at + i * LANES;
            const __m512 x = sl_lanes_load(lanes, call->x + j);
            __m512 g = sl_lanes_load(lanes, call->g + j);
            if (tail == SL_TAIL_RELU) {
                g = passed_lanes(_mm512_fmadd_ps(x, slope[i], offset[i]), g);
            } else if (tail == SL_TAIL_ADD_RELU) {
                g = passed_lanes(sl_lanes_load(lanes, call->dst + j), g);
            }
            if (pass == PASS_ADD) {
                sl_lanes_store(
                    lanes, call->diff_added + j,
                    _mm512_add_ps(sl_lanes_load(lanes, call->diff_added + j), g));
            } else if (pass == PASS_WRITE) {
                sl_lanes_store(lanes, call->diff_added + j, g);
            }
            first[i] = _mm512_add_ps(first[i], g);
            second[i] = _mm512_fmadd_ps(g, _mm512_sub_ps(x, mean[i]), second[i]);
        }
    }
    join_block(b, call, first, second);
}

SL_INLINE void gradient_sum_any(const struct block *b, const struct sums_call *call,
                                enum sl_tail tail, enum pass pass)
{
    switch (b->n) {
    case 1:
        gradient_sum_columns(b, call, 1, tail, pass);
        break;
    case 2:
        gradient_sum_columns(b, call, 2, tail, pass);
        break;
    case 3:
        gradient_sum_columns(b, call, 3, tail, pass);
        break;
    default:
        gradient_sum_columns(b, call, 4, tail, pass);
        break;
    }
}

static void gradient_sum_plain(const struct block *b, const void *call)
{
    gradient_sum_any(b, call, SL_TAIL_NONE, PASS_NONE);
}

static void gradient_sum_relu(const struct block *b, const void *call)
{
    gradient_sum_any(b, call, SL_TAIL_RELU, PASS_NONE);
}

static void gradient_sum_write(const struct block *b, const void *call)
{
    gradient_sum_any(b, call, SL_TAIL_ADD_RELU, PASS_WRITE);
}

static void gradient_sum_add(const struct block *b, const void *call)
{
    gradient_sum_any(b, call, SL_TAIL_ADD_RELU, PASS_ADD);
}

static void norm_gradient_sums(const struct sl_cpu_tile *tile, int64_t count,
                               const void *g, const void *x, const void *dst,
                               const struct sl_cpu_norm_forward *norm, void *diff_added,
                               bool diff_added_add, const struct sl_cpu_sums *sums)
{
    const struct sums_call call = {.c = tile->c,
                                   .g = g,
                                   .x = x,
                                   .dst = dst,
                                   .norm = norm,
                                   .diff_added = diff_added,
                                   .sums = sums};
    block_fn work = norm->tail == SL_TAIL_NONE ? gradient_sum_plain : gradient_sum_relu;
    if (norm->tail == SL_TAIL_ADD_RELU) {
        work = diff_added_add ? gradient_sum_add : gradient_sum_write;
    }
    walk(tile, count, work, &call);
}

/* ---- writing ----------------------------------------------------------------------- */

struct apply_call {
    const uint16_t *x, *added;
    const struct sl_cpu_norm_forward *norm;
    uint16_t *y;
};

SL_INLINE void apply_columns(const struct block *b, const struct apply_call *call, int n,
                             enum sl_tail tail)
{
    __m512 slope[VECTORS];
    __m512 offset[VECTORS];
    load_forward(b, n, call->norm, slope, offset);
    for (int64_t row = 0; row < b->rows; row++) {
        const int64_t at = b->at + row * b->period;
        for (int i = 0; i < n; i++) {
            const __mmask16 lanes = lanes_of(b, i);
            const int64_t j = at + i * LANES;
            __m512 y =
                _mm512_fmadd_ps(sl_lanes_load(lanes, call->x + j), slope[i], offset[i]);
            if (tail == SL_TAIL_ADD_RELU) {
                y = _mm512_add_ps(y, sl_lanes_load(lanes, call->added + j));
            }
            sl_lanes_store(lanes, call->y + j, tail == SL_TAIL_NONE ? y : relu_lanes(y));
        }
    }
}

SL_INLINE void apply_any(const struct block *b, const struct apply_call *call,
                         enum sl_tail tail)
{
    switch (b->n) {
    case 1:
        apply_columns(b, call, 1, tail);
        break;
    case 2:
        apply_columns(b, call, 2, tail);
        break;
    case 3:
        apply_columns(b, call, 3, tail);
        break;
    default:
        apply_columns(b, call, 4, tail);
        break;
    }
}

static void apply_plain(const struct block *b, const void *call)
{
    apply_any(b, call, SL_TAIL_NONE);
}

static void apply_relu(const struct block *b, const void *call)
{
    apply_any(b, call, SL_TAIL_RELU);
}

static void apply_add_relu(const struct block *b, const void *call)
{
    apply_any(b, call, SL_TAIL_ADD_RELU);
}

static void norm_apply(const struct sl_cpu_tile *tile, int64_t count, const void *x,
                       const void *added, const struct sl_cpu_norm_forward *norm, void *y)
{
    static const block_fn works[] = {[SL_TAIL_NONE] = apply_plain,
                                     [SL_TAIL_RELU] = apply_relu,
                                     [SL_TAIL_ADD_RELU] = apply_add_relu};
    const struct apply_call call = {.x = x, .added = added, .norm = norm, .y = y};
    walk(tile, count, works[norm->tail], &call);
}

struct gradient_call {
    const uint16_t *g, *x, *dst;
    const struct sl_cpu_norm_backward *norm;
    uint16_t *diff;
};

/* dx = slope g - by_x x + (mean by_x - by_g) */
SL_INLINE void gradient_columns(const struct block *b, const struct gradient_call *call,
                                int n, enum sl_tail tail, bool add)
{
    __m512 slope[VECTORS];
    __m512 forward[VECTORS];
    __m512 by_x[VECTORS];
    __m512 offset[VECTORS];
    __m512 by_g[VECTORS];
    load_forward(b, n, &call->norm->forward, slope, forward);
    load_constants(b, n, call->norm->by_x, by_x);
    load_constants(b, n, call->norm->by_g, by_g);
    load_constants(b, n, call->norm->forward.mean, offset);
    for (int i = 0; i < n; i++) {
        offset[i] = _mm512_fmsub_ps(offset[i], by_x[i], by_g[i]);
    }
    for (int64_t row = 0; row < b->rows; row++) {
        const int64_t at = b->at + row * b->period;
        for (int i = 0; i < n; i++) {
            const __mmask16 lanes = lanes_of(b, i);
            const int64_t j = at + i * LANES;
            const __m512 x = sl_lanes_load(lanes, call->x + j);
            __m512 g = sl_lanes_load(lanes, call->g + j);
            if (tail == SL_TAIL_RELU) {
                g = passed_lanes(_mm512_fmadd_ps(x, slope[i], forward[i]), g);
            } else if (tail == SL_TAIL_ADD_RELU) {
                g = passed_lanes(sl_lanes_load(lanes, call->dst + j), g);
            }
            __m512 value = _mm512_fnmadd_ps(x, by_x[i], offset[i]);
            value = _mm512_fmadd_ps(g, slope[i], value);
            if (add) {
                value = _mm512_add_ps(value, sl_lanes_load(lanes, call->diff + j));
            }
            sl_lanes_store(lanes, call->diff + j, value);
        }
    }
}

SL_INLINE void gradient_any(const struct block *b, const struct gradient_call *call,
                            enum sl_tail tail, bool add)
{
    switch (b->n) {
    case 1:
        gradient_columns(b, call, 1, tail, add);
        break;
    case 2:
        gradient_columns(b, call, 2, tail, add);
        break;
    case 3:
        gradient_columns(b, call, 3, tail, add);
        break;
    default:
        gradient_columns(b, call, 4, tail, add);
        break;
    }
}

static void gradient_write(const struct block *b, const void *call)
{
    gradient_any(b, call, SL_TAIL_NONE, false);
}

static void gradient_write_relu(const struct block *b, const void *call)
{
    gradient_any(b, call, SL_TAIL_RELU, false);
}

static void gradient_write_masked(const struct block *b, const void *call)
{
    gradient_any(b, call, SL_TAIL_ADD_RELU, false);
}

static void gradient_add(const struct block *b, const void *call)
{
    gradient_any(b, call, SL_TAIL_NONE, true);
}

static void gradient_add_relu(const struct block *b, const void *call)
{
    gradient_any(b, call, SL_TAIL_RELU, true);
}

static void gradient_add_masked(const struct block *b, const void *call)
{
    gradient_any(b, call, SL_TAIL_ADD_RELU, true);
}

static void norm_gradient_apply(const struct sl_cpu_tile *tile, int64_t count,
                                const void *g, const void *x, const void *dst,
                                const struct sl_cpu_norm_backward *norm, void *diff)
{
    static const block_fn works[2][3] = {
        {[SL_TAIL_NONE] = gradient_write,
         [SL_TAIL_RELU] = gradient_write_relu,
         [SL_TAIL_ADD_RELU] = gradient_write_masked},
        {[SL_TAIL_NONE] = gradient_add,
         [SL_TAIL_RELU] = gradient_add_relu,
         [SL_TAIL_ADD_RELU] = gradient_add_masked},
    };
    const struct gradient_call call = {
        .g = g, .x = x, .dst = dst, .norm = norm, .diff = diff};
    walk(tile, count, works[norm->add][norm->forward.tail], &call);
}

/* ---- the table --------------------------------------------------------------------- */

#define SL_CPU_MAPS sl_cpu_maps_bf16_avx512bf16
#define SL_CPU_MAPS_BF16
#define SL_CPU_MAPS_NORM_BY_HAND
#include "backend/cpu_maps_body.h"
