/* SPDX-License-Identifier: MIT */
/*
 * The table of op cases that the parity tests and the benches share: op kind, sizes,
 * tail, flags, each as one short string at full width. Whoever walks the table applies
 * width multipliers to the channels that are not marked as fixed.
 *
 * Words of a case, in any order after the kind:
 *   n8        pictures              9x7     height x width
 *   c16       input channels        o24     output channels; "c3!" and "o10!" never
 * shrink k3 s2 p1  kernel, stride, pad   g2      groups of a norm relu | add  tail of a
 * norm      running norm with running statistics bare  norm without scale and shift
 *   bias      of a linear           first   no gradient of the source is wanted
 */
#ifndef SRC_BENCH_CASES_H
#define SRC_BENCH_CASES_H

#include "backend/backend.h"

struct sl_case {
    struct sl_op_desc desc;    /* at full width */
    bool fixed_src, fixed_dst; /* channels that never shrink */
};

/* Small cases, for parity: every kind, odd sizes, every tail. NULL past the end. */
const char *sl_case_text(int i);
/* Convolutions so large that the cpu backend's own ways take several turns; worth their
 * time in bfloat16 and at full width only. NULL past the end. */
const char *sl_case_large_text(int i);
/* Reads a case; a word that is not known is SL_ERROR_USAGE. */
enum sl_status sl_case_parse(struct sl_error *err, const char *text,
                             struct sl_case *parsed);
/* The op at a width: channels multiplied, output sizes derived. */
struct sl_op_desc sl_case_at(const struct sl_case *parsed,
                             struct sl_multiplier multiplier);

#endif
