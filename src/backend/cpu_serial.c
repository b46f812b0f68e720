/* SPDX-License-Identifier: MIT */
/*
 * Threads of a build without OpenMP: our loops have one; oneDNN's team is its own affair.
 * The twin of cpu_openmp.c; a build holds exactly one of the two.
 */
#include "backend/cpu_int.h"

int sl_cpu_threads_limit(void)
{
    return 1;
}

void sl_cpu_threads_set(int threads SL_UNUSED)
{
}
