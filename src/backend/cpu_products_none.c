/* SPDX-License-Identifier: MIT */
/*
 * The twin of cpu_planar.c, cpu_pointwise.c and cpu_winograd.c for machines other than
 * x86-64: every convolution is the library's, and so is the gradient of its weights
 * (cpu_conv_weights.c asks for bfloat16, which they have not).
 */
#include "backend/cpu_conv_weights_int.h"
#include "backend/cpu_int.h"

void sl_conv_weights_sum(const struct sl_conv_weights *w SL_UNUSED,
                         const uint16_t *src SL_UNUSED,
                         const uint16_t *diff_dst SL_UNUSED, int64_t pictures SL_UNUSED,
                         void *room SL_UNUSED, float *sums SL_UNUSED)
{
    SL_ASSERT(false);
}

bool sl_cpu_planar_suits(const struct sl_cpu_state *state SL_UNUSED,
                         const struct sl_op_desc *desc SL_UNUSED)
{
    return false;
}

bool sl_cpu_pointwise_suits(const struct sl_cpu_state *state SL_UNUSED,
                            const struct sl_op_desc *desc SL_UNUSED)
{
    return false;
}

bool sl_cpu_winograd_suits(const struct sl_cpu_state *state SL_UNUSED,
                           const struct sl_op_desc *desc SL_UNUSED)
{
    return false;
}

const struct sl_cpu_kind sl_cpu_planar = {0};
const struct sl_cpu_kind sl_cpu_pointwise = {0};
const struct sl_cpu_kind sl_cpu_winograd = {0};
