/* SPDX-License-Identifier: MIT */
/*
 * Which tables of pixel loops this x86-64 machine can run. Its twin for other machines is
 * pixel_rows_plain.c; a build holds exactly one of the two.
 */
#include "data/pixel_rows_int.h"

const struct sl_pixel_rows *sl_pixel_rows_at(int i)
{
    const struct sl_cpu_features features = sl_cpu_features();
    const struct sl_pixel_rows *usable[5] = {NULL};
    int n = 0;
    if (features.avx512_vnni) {
        usable[n++] = &sl_pixel_rows_avx512vnni;
    }
    if (features.avx512) {
        usable[n++] = &sl_pixel_rows_avx512;
    }
    if (features.avx2) {
        usable[n++] = &sl_pixel_rows_avx2;
    }
    usable[n++] = &sl_pixel_rows_base;
    return i >= 0 && i < n ? usable[i] : NULL;
}
