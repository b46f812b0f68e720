/* SPDX-License-Identifier: MIT */
/*
 * Which instruction sets this machine and its operating system offer. This is not where a
 * variant of a function is chosen; each family of functions does so itself, once. On
 * machines other than x86-64 every answer is no, and the plain C variants run.
 */
#include "base/base.h"

#if defined(__x86_64__) && defined(__GNUC__)
struct sl_cpu_features sl_cpu_features(void)
{
    __builtin_cpu_init();
    struct sl_cpu_features features = {0};
    features.avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    features.avx512 = features.avx2 && __builtin_cpu_supports("avx512f") &&
                      __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl");
    features.avx512_bf16 = features.avx512 && __builtin_cpu_supports("avx512bf16");
    features.avx512_vnni = features.avx512 && __builtin_cpu_supports("avx512vnni") &&
                           __builtin_cpu_supports("avx512vbmi");
    return features;
}
#else
struct sl_cpu_features sl_cpu_features(void)
{
    return (struct sl_cpu_features){0};
}
#endif
