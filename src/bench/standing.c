/* SPDX-License-Identifier: MIT */
/*
 * The standing cases of `slimclr bench ops`: what the four workloads of tools/bench.sh
 * spend their steps on. Any of them can be given alone with --case.
 */
#include "bench/bench.h"

static const char *const texts[] = {
    /* the ceiling */
    "peak",
    /* resnet18, small stem, 32 px, batch 64 */
    "conv n64 32x32 c3! o64 k3 s1 p1 first",
    "conv n64 32x32 c64 o64 k3 s1 p1",
    "conv n64 32x32 c16 o16 k3 s1 p1",
    "conv n64 32x32 c64 o128 k3 s2 p1",
    "conv n64 32x32 c64 o128 k1 s2 p0",
    "conv n64 16x16 c128 o128 k3 s1 p1",
    "conv n64 8x8 c256 o256 k3 s1 p1",
    "conv n64 4x4 c512 o512 k3 s1 p1",
    "conv n64 4x4 c128 o128 k3 s1 p1",
    "norm n64 32x32 c64 relu",
    "norm n64 32x32 c64 add",
    "norm n64 4x4 c512 add",
    "avgpool n64 4x4 c512",
    "linear n64 c512 o512 bias",
    "linear n64 c512 o128! bias",
    /* resnet20, 32 px, batch 256, at widths 1, 0.75, 0.5 and 0.25 */
    "conv n256 32x32 c3! o16 k3 s1 p1 first",
    "conv n256 32x32 c16 o16 k3 s1 p1",
    "conv n256 32x32 c12 o12 k3 s1 p1",
    "conv n256 32x32 c8 o8 k3 s1 p1",
    "conv n256 32x32 c4 o4 k3 s1 p1",
    "conv n256 32x32 c16 o32 k3 s2 p1",
    "conv n256 16x16 c32 o32 k3 s1 p1",
    "conv n256 16x16 c24 o24 k3 s1 p1",
    "conv n256 16x16 c16 o16 k3 s1 p1",
    "conv n256 16x16 c8 o8 k3 s1 p1",
    "conv n256 8x8 c64 o64 k3 s1 p1",
    "conv n256 8x8 c48 o48 k3 s1 p1",
    "conv n256 8x8 c32 o32 k3 s1 p1",
    "conv n256 8x8 c16 o16 k3 s1 p1",
    "norm n256 32x32 c16 relu",
    "norm n256 32x32 c16 add",
    "norm n256 32x32 c12 relu",
    "norm n256 32x32 c4 relu",
    "norm n256 8x8 c64 add",
    /* resnet50, 224 px, batch 16 */
    "conv n16 224x224 c3! o64 k7 s2 p3 first",
    "conv n16 56x56 c64 o64 k1 s1 p0",
    "conv n16 56x56 c64 o64 k3 s1 p1",
    "conv n16 56x56 c64 o256 k1 s1 p0",
    "conv n16 56x56 c256 o64 k1 s1 p0",
    "conv n16 56x56 c256 o512 k1 s2 p0",
    "conv n16 56x56 c128 o128 k3 s2 p1",
    "conv n16 28x28 c128 o128 k3 s1 p1",
    "conv n16 28x28 c128 o512 k1 s1 p0",
    "conv n16 28x28 c512 o128 k1 s1 p0",
    "conv n16 14x14 c256 o256 k3 s1 p1",
    "conv n16 14x14 c256 o1024 k1 s1 p0",
    "conv n16 14x14 c1024 o256 k1 s1 p0",
    "conv n16 7x7 c512 o512 k3 s1 p1",
    "conv n16 7x7 c512 o2048 k1 s1 p0",
    "conv n16 7x7 c2048 o512 k1 s1 p0",
    "norm n16 112x112 c64 relu",
    "norm n16 56x56 c64 relu",
    "norm n16 56x56 c256",
    "norm n16 56x56 c256 add",
    "norm n16 7x7 c2048 add",
    "maxpool n16 112x112 c64 k3 s2 p1",
    "avgpool n16 7x7 c2048",
    "linear n16 c2048 o2048 bias",
    /* similarities and losses, short and long queue */
    "gemm n256 c128 o4096",
    "gemm n256 c128 o65536",
    "class n256 c4096",
    "soft n256 c4096",
    "class n256 c65536",
    "soft n256 c65536",
    /* the update of all of resnet18 */
    "sgd c11498304",
    "lars c11498304",
    "adamw c11498304",
    "average c11498304",
};

const char *sl_bench_case_text(int i)
{
    return i >= 0 && i < SL_COUNT(texts) ? texts[i] : NULL;
}
