/* SPDX-License-Identifier: MIT */
/*
 * Which tables of row loops this x86-64 machine can run. Its twin for other machines is
 * cpu_rows_plain.c; a build holds exactly one of the two.
 */
#include "backend/cpu_rows_int.h"

const struct sl_cpu_rows *sl_cpu_rows_at(int i)
{
    const struct sl_cpu_features features = sl_cpu_features();
    const struct sl_cpu_rows *usable[5] = {NULL};
    int n = 0;
    if (features.avx512_bf16) {
        usable[n++] = &sl_cpu_rows_avx512bf16;
    }
    if (features.avx512) {
        usable[n++] = &sl_cpu_rows_avx512;
    }
    if (features.avx2) {
        usable[n++] = &sl_cpu_rows_avx2;
    }
    usable[n++] = &sl_cpu_rows_base;
    return i >= 0 && i < n ? usable[i] : NULL;
}
