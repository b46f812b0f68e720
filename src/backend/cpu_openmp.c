/* SPDX-License-Identifier: MIT */
/*
 * The one place that asks OpenMP's run-time library for something. Its twin, for a build
 * without OpenMP, is cpu_serial.c; a build holds exactly one of the two.
 */
#include "backend/cpu_int.h"

#include <omp.h>

int sl_cpu_threads_limit(void)
{
    return SL_CPU_THREADS_MAX;
}

void sl_cpu_threads_set(int threads)
{
    omp_set_num_threads(threads);
}
