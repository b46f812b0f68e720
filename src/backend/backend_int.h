/* SPDX-License-Identifier: MIT */
/*
 * The list of backends this build holds, private to backend.c and the two files that
 * define it: backend_list_cpu.c (with oneDNN) and backend_list_ref.c (without). The build
 * takes one of them.
 */
#ifndef SRC_BACKEND_BACKEND_INT_H
#define SRC_BACKEND_BACKEND_INT_H

#include "backend/backend.h"

/* In order of preference, "auto" first; ends with NULL. */
extern const struct sl_backend *const sl_backend_list[];

#endif
