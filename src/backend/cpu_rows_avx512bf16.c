/* SPDX-License-Identifier: MIT */
/*
 * The row and element loops of the cpu backend compiled for x86-64 with AVX-512 F, BW,
 * DQ, VL and BF16. The loops are in cpu_rows_body.h; the flags come from the build by
 * this file's name.
 */
#define SL_CPU_ROWS sl_cpu_rows_avx512bf16
#define SL_CPU_ROWS_NAME "avx512_bf16"
#define SL_CPU_ROWS_MAPS_F32 sl_cpu_maps_f32_avx512
#define SL_CPU_ROWS_MAPS_BF16 sl_cpu_maps_bf16_avx512bf16
#include "backend/cpu_rows_body.h"
