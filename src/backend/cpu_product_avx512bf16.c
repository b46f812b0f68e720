/* SPDX-License-Identifier: MIT */
/*
 * Products of bfloat16 matrices (cpu_product_int.h). A block of C, up to 24 vectors,
 * stays in registers while k runs: R rows by V vectors, so that each pair of A is used V
 * times and each vector of B R times, which keeps the loads behind the multiplications.
 */
#include "backend/cpu_product_int.h"

#include "backend/cpu_lanes_int.h"

#include <string.h>

enum { ROWS_MOST = 12, VECTORS_MOST = 3 };
/* Rows of a block of one, two and three vectors: at most 24 sums. */
static const int rows_most[VECTORS_MOST + 1] = {0, 12, 12, 8};

/* Where a block's sums go. */
struct target {
    void *c;
    int64_t row; /* values */
    bool is_bf16, add;
    __mmask16 last; /* lanes of the last vector */
    /* What the next block reads of A, where its rows follow each other, or a share of the
     * product's `next`: asked for while this one calculates, `step` bytes with each k.
     */
    const char *next;
    int64_t step;
};

static inline __m512bh pair_of(const uint16_t *a)
{
    int32_t pair = 0;
    memcpy(&pair, a, sizeof(pair));
    return (__m512bh)_mm512_set1_epi32(pair);
}

static inline void put_f32(float *c, bool add, __m512 sum)
{
    _mm512_storeu_ps(c, add ? _mm512_add_ps(sum, _mm512_loadu_ps(c)) : sum);
}

static inline void put_bf16(uint16_t *c, __mmask16 lanes, bool add, __m512 sum)
{
    if (add) {
        const __m256i old = _mm256_maskz_loadu_epi16(lanes, c);
        sum = _mm512_add_ps(
            sum, _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(old), 16)));
    }
    _mm256_mask_storeu_epi16(c, lanes, (__m256i)_mm512_cvtneps_pbh(sum));
}

/* R and V are constants where this is called, so that all loops over them unroll and the
 * sums stay in registers. */
SL_INLINE void block(int R, int V, const struct sl_cpu_product *p, const uint16_t *a,
                     const uint16_t *b, const struct target *to)
{
    __m512 sums[ROWS_MOST][VECTORS_MOST];
    SL_UNROLL
    for (int r = 0; r < R; r++) {
        SL_UNROLL
        for (int v = 0; v < V; v++) {
            sums[r][v] = _mm512_setzero_ps();
        }
    }
    const ptrdiff_t item = to->is_bf16 ? sizeof(uint16_t) : sizeof(float);
    SL_UNROLL
    for (int r = 0; r < R; r++) {
        __builtin_prefetch((const char *)to->c + r * to->row * item, 1);
    }
    const char *next = to->next;
    for (int64_t k = 0; k < p->pairs; k++) {
        _mm_prefetch(next, _MM_HINT_T0);
        next += to->step;
        __m512bh columns[VECTORS_MOST];
        SL_UNROLL
        for (int v = 0; v < V; v++) {
            columns[v] = (__m512bh)_mm512_loadu_si512(b + v * p->b_vector);
        }
        SL_UNROLL
        for (int r = 0; r < R; r++) {
            const __m512bh pair = pair_of(a + r * p->a_row);
            SL_UNROLL
            for (int v = 0; v < V; v++) {
                sums[r][v] = _mm512_dpbf16_ps(sums[r][v], columns[v], pair);
            }
        }
        a += p->a_pair;
        b += p->b_pair;
    }
    SL_UNROLL
    for (int r = 0; r < R; r++) {
        SL_UNROLL
        for (int v = 0; v < V; v++) {
            const int64_t at = r * to->row + v * SL_CPU_LANES;
            if (to->is_bf16) {
                const __mmask16 lanes = v == V - 1 ? to->last : (__mmask16)0xffff;
                put_bf16((uint16_t *)to->c + at, lanes, to->add, sums[r][v]);
            } else {
                put_f32((float *)to->c + at, to->add, sums[r][v]);
            }
        }
    }
}

SL_INLINE void rows_block(int R, int vectors, const struct sl_cpu_product *p,
                          const uint16_t *a, const uint16_t *b, const struct target *to)
{
    switch (vectors) {
    case 1:
        block(R, 1, p, a, b, to);
        break;
    case 2:
        block(R, 2, p, a, b, to);
        break;
    default:
        if (R <= 8) {
            block(R, 3, p, a, b, to);
        }
        break;
    }
}

static void any_block(int rows, int vectors, const struct sl_cpu_product *p,
                      const uint16_t *a, const uint16_t *b, const struct target *to)
{
    switch (rows) {
    case 1:
        rows_block(1, vectors, p, a, b, to);
        break;
    case 2:
        rows_block(2, vectors, p, a, b, to);
        break;
    case 3:
        rows_block(3, vectors, p, a, b, to);
        break;
    case 4:
        rows_block(4, vectors, p, a, b, to);
        break;
    case 5:
        rows_block(5, vectors, p, a, b, to);
        break;
    case 6:
        rows_block(6, vectors, p, a, b, to);
        break;
    case 7:
        rows_block(7, vectors, p, a, b, to);
        break;
    case 8:
        rows_block(8, vectors, p, a, b, to);
        break;
    case 9:
        rows_block(9, vectors, p, a, b, to);
        break;
    case 10:
        rows_block(10, vectors, p, a, b, to);
        break;
    case 11:
        rows_block(11, vectors, p, a, b, to);
        break;
    default:
        rows_block(12, vectors, p, a, b, to);
        break;
    }
}

/* Vectors of the next block of columns when `left` remain: pairs, and three where that
 * leaves no lone one. */
static int take_vectors(int64_t left)
{
    return left == 3 ? 3 : left >= 2 ? 2 : 1;
}

/* Blocks of a product: how often its pairs go by. */
static int64_t blocks_of(const struct sl_cpu_product *p)
{
    int64_t blocks = 0;
    for (int64_t vector = 0; vector < p->vectors;) {
        const int vectors = take_vectors(p->vectors - vector);
        blocks += (p->rows + rows_most[vectors] - 1) / rows_most[vectors];
        vector += vectors;
    }
    return blocks;
}

/* Columns outside, so that their part of B stays in the nearest cache while rows go by.
 */
static void product(const struct sl_cpu_product *p, struct target to, size_t item,
                    __mmask16 last)
{
    SL_ASSERT(p->rows > 0 && p->vectors > 0 && p->pairs > 0);
    char *c = to.c;
    const char *ahead = p->next.begin;
    const int64_t ahead_step =
        ahead == NULL ? 0 : p->next.bytes / (blocks_of(p) * p->pairs);
    for (int64_t vector = 0; vector < p->vectors;) {
        const int vectors = take_vectors(p->vectors - vector);
        const int64_t most = rows_most[vectors];
        /* rows fall into blocks of nearly equal length: short ones waste the unit */
        const int64_t blocks = (p->rows + most - 1) / most;
        to.last = vector + vectors == p->vectors ? last : (__mmask16)0xffff;
        for (int64_t i = 0, row = 0; i < blocks; i++) {
            const int64_t rows = p->rows / blocks + (i < p->rows % blocks);
            if (ahead != NULL) {
                to.next = ahead;
                to.step = ahead_step;
                ahead += ahead_step * p->pairs;
            } else {
                to.next = (const char *)(p->a + (row + rows) * p->a_row);
                to.step = p->a_pair == 2 ? rows * p->a_row * 2 / p->pairs : 0;
            }
            to.c = c + (size_t)(row * to.row + vector * SL_CPU_LANES) * item;
            any_block((int)rows, vectors, p, p->a + row * p->a_row,
                      p->b + vector * p->b_vector, &to);
            row += rows;
        }
        vector += vectors;
    }
}

void sl_cpu_product_f32(const struct sl_cpu_product *p, float *c, int64_t c_row, bool add)
{
    const struct target to = {.c = c, .row = c_row, .add = add};
    product(p, to, sizeof(*c), (__mmask16)0xffff);
}

void sl_cpu_product_bf16(const struct sl_cpu_product *p, int64_t columns, uint16_t *c,
                         int64_t c_row, bool add)
{
    const struct target to = {.c = c, .row = c_row, .is_bf16 = true, .add = add};
    const int64_t rest = columns % SL_CPU_LANES;
    product(p, to, sizeof(*c), sl_lanes_first(rest == 0 ? SL_LANES : rest));
}
