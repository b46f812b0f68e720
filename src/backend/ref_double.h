/* SPDX-License-Identifier: MIT */
/*
 * The reference backend computed in double, for tests of gradients by differences. It is
 * no part of the library: a test that wants it compiles src/backend/ref.c, ref_ops.c,
 * ref_numbers.c and ref_loss.c a second time with SL_REF_DOUBLE defined.
 *
 * The table is the door's, but every float pointer that goes through it (arguments, op
 * args, slices, row losses, workspace) must point at doubles: pass it through `void *`.
 * Sizes that prepare reports are for doubles. Scalars stay float.
 */
#ifndef SRC_BACKEND_REF_DOUBLE_H
#define SRC_BACKEND_REF_DOUBLE_H

#include "backend/backend.h"

extern const struct sl_backend sl_backend_ref_double;

#endif
