/* SPDX-License-Identifier: MIT */
/*
 * The loops over feature maps of bfloat16, compiled for any machine. The loops are in
 * cpu_maps_body.h; the flags come from the build by this file's name.
 */
#define SL_CPU_MAPS sl_cpu_maps_bf16_base
#define SL_CPU_MAPS_BF16
#include "backend/cpu_maps_body.h"
