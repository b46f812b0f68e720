/* SPDX-License-Identifier: MIT */
/*
 * Reading what tools/golden*.py wrote into tests/golden: whole files, tensors one behind
 * another, and the tolerance they are held to.
 */
#ifndef TESTS_LEARN_GOLDENKIT_H
#define TESTS_LEARN_GOLDENKIT_H

#include "netkit.h"

#include <math.h>
#include <stdlib.h>

/* A file of tests/golden, with a NUL behind it; free with sl_heap_free. */
static inline char *golden_read(const char *name, int64_t *size)
{
    struct sl_error err = {0};
    const char *source = getenv("SLIMCLR_SOURCE");
    unsigned char *bytes = NULL;
    char path[512];

    snprintf(path, sizeof path, "%s/tests/golden/%s", source == NULL ? "." : source,
             name);
    kit_ok(sl_file_read(&err, SL_ERROR_DATA, path, 1 << 20, &bytes, size), &err);
    return (char *)bytes;
}

/* The next tensor of a case's file; the format is described in tools/golden.py. */
static inline const char *golden_tensor(const char *at, int64_t count, float *values)
{
    float scale;

    memcpy(&scale, at, sizeof scale);
    at += sizeof scale;
    if (scale == 0.0f) {
        memcpy(values, at, (size_t)count * sizeof *values);
        return at + count * (int64_t)sizeof *values;
    }
    for (int64_t i = 0; i < count; i++) {
        int16_t rounded;
        memcpy(&rounded, at, sizeof rounded);
        at += sizeof rounded;
        values[i] = (float)rounded * scale;
    }
    return at;
}

/* How far `ours` is off, as a share of the tolerance: max|a-b| <= 1e-4 max|b| + 1e-6.
 * Fails, naming the tensor, beyond it. */
static inline double golden_compare(const char *where, const char *name, int64_t count,
                                    const float *golden, const float *ours)
{
    double largest = 0, difference = 0;
    for (int64_t i = 0; i < count; i++) {
        largest = fmax(largest, fabs((double)golden[i]));
        double d = fabs((double)golden[i] - (double)ours[i]);
        if (!(d <= difference)) {
            difference = isnan(d) ? (double)INFINITY : d; /* which nothing replaces */
        }
    }
    double tolerance = 1e-4 * largest + 1e-6;
    if (!(difference <= tolerance)) {
        fail_msg("%s: %s differs by %g, allowed is %g", where, name, difference,
                 tolerance);
    }
    return difference / tolerance;
}

#endif
