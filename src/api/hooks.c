/* SPDX-License-Identifier: MIT */
/*
 * Asking the caller, who may have given no hooks or not all of them.
 */
#include "api_int.h"

bool api_stop_requested(const slim_hooks *hooks)
{
    return hooks != NULL && hooks->stop_requested != NULL &&
           hooks->stop_requested(hooks->context);
}

bool api_passed(const slim_hooks *hooks, int64_t done, int64_t total)
{
    if (hooks != NULL && hooks->passed != NULL) {
        hooks->passed(hooks->context, done, total);
    }
    return !api_stop_requested(hooks);
}
