/* SPDX-License-Identifier: MIT */
/*
 * The one place that asks OpenMP's run-time library for something: that oneDNN, which is
 * built upon it, makes no team of its own. Its twin, for a build without OpenMP, is
 * cpu_openmp_none.c; a build holds exactly one of the two.
 */
#include "backend/cpu_int.h"

#include <omp.h>

int sl_cpu_openmp_alone(void)
{
    const int before = omp_get_max_threads();
    omp_set_num_threads(1);
    return before;
}

void sl_cpu_openmp_again(int before)
{
    omp_set_num_threads(before);
}
