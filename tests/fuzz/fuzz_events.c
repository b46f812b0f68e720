/* SPDX-License-Identifier: MIT */
/*
 * Fuzz target of event files that a resumed run cuts back. What is kept lies within the
 * file, is a head of it, and is kept whole when it is looked at again.
 */
#include "report/report.h"

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    int64_t most = sl_events_keep(bytes, (int64_t)size, INT64_MAX);
    int64_t some = sl_events_keep(bytes, (int64_t)size, 2);
    SL_ASSERT(some >= 0 && some <= most && most <= (int64_t)size);
    SL_ASSERT(sl_events_keep(bytes, some, 2) == some);
    return 0;
}
