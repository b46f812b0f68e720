/* SPDX-License-Identifier: MIT */
/*
 * The list of methods. Each is a file of its own that ends in one table; nothing of any
 * method's work stands here.
 */
#include "learn/learn_int.h"

#include <string.h>

static const struct sl_method *const methods[] = {&sl_mocov2, &sl_mocov3, &sl_simclr,
                                                  &sl_supervised};

const struct sl_method *sl_method_at(int i)
{
    return i >= 0 && i < SL_COUNT(methods) ? methods[i] : NULL;
}

const struct sl_method *sl_method_find(const char *name)
{
    for (int i = 0; i < SL_COUNT(methods); i++) {
        if (strcmp(methods[i]->info.name, name) == 0) {
            return methods[i];
        }
    }
    return NULL;
}

const struct sl_method_info *sl_method_info(const struct sl_method *method)
{
    return &method->info;
}
