/* SPDX-License-Identifier: MIT */
/*
 * The one table of pixel loops of machines other than x86-64, whose vector unit every
 * build may use. Its twin is pixel_rows_x86.c; a build holds exactly one of the two.
 */
#include "data/pixel_rows_int.h"

const struct sl_pixel_rows *sl_pixel_rows_at(int i)
{
    return i == 0 ? &sl_pixel_rows_base : NULL;
}
