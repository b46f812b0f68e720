/* SPDX-License-Identifier: MIT */
/*
 * Random numbers without a state: Philox 4x32-10 as published by Salmon, Moraes, Dror and
 * Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011). Every number is a
 * function of (seed, stream, a, b, block), so that who asks first, and how many workers
 * ask, changes nothing. Shared with tools that re-implement it: the counter layout and
 * the formulas in base.h.
 */
#include "base/base.h"

#include <math.h>

void sl_rng_block(uint64_t seed, uint32_t stream, uint32_t a, uint32_t b, uint32_t block,
                  uint32_t out[4])
{
    uint32_t key0 = (uint32_t)seed;
    uint32_t key1 = (uint32_t)(seed >> 32);
    uint32_t c0 = block;
    uint32_t c1 = b;
    uint32_t c2 = a;
    uint32_t c3 = stream;
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = UINT64_C(0xD2511F53) * c0;
        uint64_t p1 = UINT64_C(0xCD9E8D57) * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ key0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ key1;
        c3 = (uint32_t)p0;
        key0 += UINT32_C(0x9E3779B9); /* golden ratio */
        key1 += UINT32_C(0xBB67AE85); /* sqrt(3) - 1 */
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

struct sl_rng sl_rng_at(uint64_t seed, uint32_t stream, uint32_t a, uint32_t b)
{
    return (struct sl_rng){.seed = seed, .stream = stream, .a = a, .b = b, .used = 4};
}

uint32_t sl_rng_u32(struct sl_rng *rng)
{
    if (rng->used == 4) {
        sl_rng_block(rng->seed, rng->stream, rng->a, rng->b, rng->block, rng->buffer);
        rng->block++;
        rng->used = 0;
    }
    return rng->buffer[rng->used++];
}

float sl_rng_uniform(struct sl_rng *rng)
{
    return (float)(sl_rng_u32(rng) >> 8) * 0x1p-24f;
}

double sl_rng_between(struct sl_rng *rng, double low, double high)
{
    return low + (high - low) * ((double)sl_rng_u32(rng) * 0x1p-32);
}

uint32_t sl_rng_below(struct sl_rng *rng, uint32_t bound)
{
    SL_ASSERT(bound >= 1 && bound <= UINT32_C(0x80000000));
    /* Lemire: the high word of x * bound, where the low words that occur once too often,
     * those below 2^32 mod bound, are drawn again. */
    uint64_t product = (uint64_t)sl_rng_u32(rng) * bound;
    uint32_t low = (uint32_t)product;
    if (low < bound) {
        uint32_t too_often = (uint32_t)(UINT64_C(0x100000000) % bound);
        while (low < too_often) {
            product = (uint64_t)sl_rng_u32(rng) * bound;
            low = (uint32_t)product;
        }
    }
    return (uint32_t)(product >> 32);
}

void sl_rng_shuffle(struct sl_rng *rng, int32_t *items, int64_t n)
{
    SL_ASSERT(n <= INT64_C(0x80000000));
    for (int64_t i = n - 1; i > 0; i--) {
        uint32_t j = sl_rng_below(rng, (uint32_t)(i + 1));
        int32_t item = items[i];
        items[i] = items[j];
        items[j] = item;
    }
}

/* The block of elements 4q … 4q+3: b = low half of q, block = its high half. */
static void element_block(uint64_t seed, uint32_t stream, uint32_t a, int64_t q,
                          uint32_t out[4])
{
    sl_rng_block(seed, stream, a, (uint32_t)q, (uint32_t)(q >> 32), out);
}

/* Box-Muller: two normal numbers from two words. */
static void normal_pair(uint32_t x, uint32_t y, double z[2])
{
    const double two_pi = 6.283185307179586476925;
    double u = ((double)x + 0.5) * 0x1p-32; /* in (0, 1): the logarithm is finite */
    double v = (double)y * 0x1p-32;
    double radius = sqrt(-2.0 * log(u));
    z[0] = radius * cos(two_pi * v);
    z[1] = radius * sin(two_pi * v);
}

double sl_rng_normal(struct sl_rng *rng)
{
    double z[2];
    uint32_t x = sl_rng_u32(rng);
    normal_pair(x, sl_rng_u32(rng), z);
    return z[0];
}

void sl_rng_fill_normal(uint64_t seed, uint32_t stream, uint32_t a, float scale,
                        int64_t n, float *dst)
{
    for (int64_t i = 0; i < n; i += 4) {
        uint32_t x[4];
        double z[4];
        element_block(seed, stream, a, i / 4, x);
        normal_pair(x[0], x[1], z);
        normal_pair(x[2], x[3], z + 2);
        for (int64_t k = 0; k < 4 && i + k < n; k++) {
            dst[i + k] = (float)((double)scale * z[k]);
        }
    }
}

void sl_rng_fill_uniform(uint64_t seed, uint32_t stream, uint32_t a, double low,
                         double high, int64_t n, float *dst)
{
    for (int64_t i = 0; i < n; i += 4) {
        uint32_t x[4];
        element_block(seed, stream, a, i / 4, x);
        for (int64_t k = 0; k < 4 && i + k < n; k++) {
            dst[i + k] = (float)(low + (high - low) * ((double)x[k] * 0x1p-32));
        }
    }
}
