/* SPDX-License-Identifier: MIT */
/*
 * The one place that asks OpenMP's run-time library for something: oneDNN's threads are
 * its. Our own loops have cpu_team.c. Its twin, for a build without OpenMP, is
 * cpu_openmp_none.c; a build holds exactly one of the two.
 */
#include "backend/cpu_int.h"

#include <omp.h>

void sl_cpu_openmp_threads(int threads)
{
    omp_set_num_threads(threads);
}
