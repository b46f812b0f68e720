/* SPDX-License-Identifier: MIT */
/*
 * The list of backends of a build with oneDNN. Its twin is backend_list_ref.c; a build
 * holds exactly one of the two.
 */
#include "backend/backend_int.h"

extern const struct sl_backend sl_backend_cpu;
extern const struct sl_backend sl_backend_ref;

const struct sl_backend *const sl_backend_list[] = {&sl_backend_cpu, &sl_backend_ref,
                                                    NULL};
