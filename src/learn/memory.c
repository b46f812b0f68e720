/* SPDX-License-Identifier: MIT */
/*
 * How a method lays out its device memory: one block, measured once and then carved, and
 * slots in which a width's output stays for the narrower ones that it teaches.
 */
#include "learn/learn_int.h"

float *sl_carve(struct sl_carver *carver, int64_t n)
{
    float *array = carver->base == NULL ? NULL : carver->base + carver->used;
    carver->used += (n + 15) / 16 * 16;
    return array;
}

int sl_slots_needed(const struct sl_trainer_config *config, int n_widths)
{
    if (config->distill == SL_DISTILL_NONE || n_widths == 1) {
        return 1;
    }
    return config->teachers == SL_TEACHERS_ALL_LARGER ? n_widths : 2;
}

void sl_slots_carve(struct sl_slots *slots, struct sl_carver *carver, int n,
                    int64_t floats)
{
    slots->n = n;
    for (int i = 0; i < n; i++) {
        slots->at[i] = sl_carve(carver, floats);
    }
}

float *sl_slot(const struct sl_slots *slots, int width)
{
    return slots->at[width < slots->n ? width : slots->n - 1];
}
