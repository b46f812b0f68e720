/* SPDX-License-Identifier: MIT */
/*
 * The loops over feature maps of bfloat16, compiled for x86-64 with AVX2 and FMA. The
 * loops are in cpu_maps_body.h; the flags come from the build by this file's name.
 */
#define SL_CPU_MAPS sl_cpu_maps_bf16_avx2
#define SL_CPU_MAPS_BF16
#include "backend/cpu_maps_body.h"
