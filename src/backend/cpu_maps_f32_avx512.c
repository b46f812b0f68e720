/* SPDX-License-Identifier: MIT */
/*
 * The loops over feature maps of float32, compiled for x86-64 with AVX-512 F, BW, DQ
 * and VL. The loops are in
 * cpu_maps_body.h; the flags come from the build by this file's name.
 */
#define SL_CPU_MAPS sl_cpu_maps_f32_avx512
#include "backend/cpu_maps_body.h"
