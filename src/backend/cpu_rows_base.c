/* SPDX-License-Identifier: MIT */
/*
 * The row and element loops of the cpu backend compiled for any machine: the twin that is
 * always there. The loops are in cpu_rows_body.h; the flags come from the build by this
 * file's name.
 */
#define SL_CPU_ROWS sl_cpu_rows_base
#define SL_CPU_ROWS_NAME "base"
#define SL_CPU_ROWS_MAPS_F32 sl_cpu_maps_f32_base
#define SL_CPU_ROWS_MAPS_BF16 sl_cpu_maps_bf16_base
#include "backend/cpu_rows_body.h"
