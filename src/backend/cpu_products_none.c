/* SPDX-License-Identifier: MIT */
/*
 * The twin of cpu_planar.c, cpu_pointwise.c and cpu_winograd.c for machines other than
 * x86-64: every convolution is the library's.
 */
#include "backend/cpu_int.h"

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
