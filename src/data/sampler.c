/* SPDX-License-Identifier: MIT */
/*
 * Which picture stands where in an epoch. Its state is none: the order is a function of
 * seed and epoch, so that a run resumes from the step number alone. Invariant: every
 * epoch's order is a permutation, drawn independently of every other's.
 */
#include "data/data.h"

void sl_sampler_order(uint64_t seed, uint32_t epoch, int64_t n, int32_t *order)
{
    struct sl_rng rng = sl_rng_at(seed, SL_RNG_EPOCH, epoch, 0);
    for (int64_t i = 0; i < n; i++) {
        order[i] = (int32_t)i;
    }
    sl_rng_shuffle(&rng, order, n);
}
