/* SPDX-License-Identifier: MIT */
/*
 * A build without OpenMP: how many threads oneDNN takes is its own affair. The twin of
 * cpu_openmp.c; a build holds exactly one of the two.
 */
#include "backend/cpu_int.h"

int sl_cpu_openmp_alone(void)
{
    return 0;
}

void sl_cpu_openmp_again(int before SL_UNUSED)
{
}
