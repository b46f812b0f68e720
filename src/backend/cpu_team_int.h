/* SPDX-License-Identifier: MIT */
/*
 * A team of threads that share the parts of one piece of work after another; it knows
 * nothing of the rest of the backend. Part i is thread i's, the calling thread's among
 * them, unless another comes first, and nobody waits for a thread that has taken none: on
 * a machine that is busy with something else the caller does all of them itself. Results
 * must therefore depend on the part's number alone, never on who does it.
 */
#ifndef SRC_BACKEND_CPU_TEAM_INT_H
#define SRC_BACKEND_CPU_TEAM_INT_H

#include "base/base.h"

enum { SL_CPU_THREADS_MAX = 1024 };

struct sl_cpu_team;

/* A team of `threads` (1 … SL_CPU_THREADS_MAX), the caller among them. Fails when a
 * thread cannot be started or memory is short. */
enum sl_status sl_cpu_team_create(struct sl_error *err, int threads,
                                  struct sl_cpu_team **team);
/* NULL is fine. */
void sl_cpu_team_destroy(struct sl_cpu_team *team);

/* Does work(context, part) once for each part 0 … threads - 1 and returns when all are
 * done. One thread at a time calls it; not from within work. */
void sl_cpu_team_run(struct sl_cpu_team *team,
                     void (*work)(const void *context, int part), const void *context);

#endif
