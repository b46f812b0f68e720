/* SPDX-License-Identifier: MIT */
/*
 * The one table of row loops of machines other than x86-64, whose vector unit every build
 * may use. Its twin is cpu_rows_x86.c; a build holds exactly one of the two.
 */
#include "backend/cpu_rows_int.h"

const struct sl_cpu_rows *sl_cpu_rows_at(int i)
{
    return i == 0 ? &sl_cpu_rows_base : NULL;
}
