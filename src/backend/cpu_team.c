/* SPDX-License-Identifier: MIT */
/*
 * A team of threads, see cpu_team_int.h. One atomic word, the ticket, holds the number of
 * the piece of work and that of the next part of it. A part is taken by adding one to the
 * ticket as it was seen, so that a thread that comes late fails to take anything. Whoever
 * has taken a part holds the piece open: only then does it read what the work is. Threads
 * without anything to do look for it a short time, because the next piece mostly comes at
 * once and waking somebody takes longer than most pieces; then they sleep.
 */
#include "backend/cpu_team_int.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

/* Bits of the ticket that hold the next part. */
enum { PART_BITS = 16, PART_MASK = (1 << PART_BITS) - 1 };

/* Seconds that a thread looks for something to do before it sleeps, and how many looks go
 * by from one glance at the clock to the next. */
static const double spin_s = 50e-6;
enum { LOOKS = 32 };

enum { LINE = 64 }; /* bytes that cores hand to each other */

struct sl_cpu_team {
    int parts;
    bool spins; /* each thread can have a core to itself */
    int n_started;
    pthread_t *workers; /* (parts - 1) */
    pthread_mutex_t lock;
    pthread_cond_t begun; /* workers sleep until there are parts or the end */
    pthread_cond_t ended; /* the caller sleeps until all parts are done */
    bool has_lock, has_begun, has_ended;
    bool stopping; /* under the lock */
    /* The piece of work: written by the caller between two of them, read by those who
     * have taken a part. */
    void (*work)(const void *context, int part);
    const void *context;
    /* Whether a worker, or the caller, may be asleep. Set before the last look at the
     * ticket or at the parts done, and asked after these changed. */
    _Alignas(LINE) atomic_bool workers_sleep;
    atomic_bool caller_sleeps;
    _Alignas(LINE) atomic_uint_least64_t ticket;
    _Alignas(LINE) atomic_int n_done;
};

/* ---- looking and sleeping ---------------------------------------------------------- */

/* Gives the other thread of the core way. */
#if defined(__x86_64__) && defined(__GNUC__)
static void relax(void)
{
    __builtin_ia32_pause();
}
#else
static void relax(void)
{
}
#endif

static int part_of(uint64_t ticket)
{
    return (int)(ticket & PART_MASK);
}

static bool has_parts(struct sl_cpu_team *team)
{
    return part_of(atomic_load(&team->ticket)) < team->parts;
}

static bool all_done(struct sl_cpu_team *team)
{
    return atomic_load(&team->n_done) == team->parts;
}

/* Looks for a short time; whether it has come. Measured in time, not in looks: a thread
 * that lost its core meanwhile has waited long enough. */
static bool look_for(struct sl_cpu_team *team, bool (*has_come)(struct sl_cpu_team *))
{
    if (!team->spins) {
        return has_come(team);
    }
    const double end = sl_clock() + spin_s;
    do {
        for (int i = 0; i < LOOKS; i++) {
            if (has_come(team)) {
                return true;
            }
            relax();
        }
    } while (sl_clock() < end);
    return false;
}

/* The caller, after the ticket changed. */
static void wake_workers(struct sl_cpu_team *team)
{
    if (atomic_load(&team->workers_sleep)) {
        pthread_mutex_lock(&team->lock);
        atomic_store(&team->workers_sleep, false);
        pthread_cond_broadcast(&team->begun);
        pthread_mutex_unlock(&team->lock);
    }
}

/* A worker, after the last part was done. */
static void wake_caller(struct sl_cpu_team *team)
{
    if (atomic_load(&team->caller_sleeps)) {
        pthread_mutex_lock(&team->lock);
        pthread_cond_signal(&team->ended);
        pthread_mutex_unlock(&team->lock);
    }
}

/* Until there are parts; false: the team is being destroyed. */
static bool wait_for_parts(struct sl_cpu_team *team)
{
    if (look_for(team, has_parts)) {
        return true;
    }
    pthread_mutex_lock(&team->lock);
    for (;;) {
        atomic_store(&team->workers_sleep, true);
        if (team->stopping || has_parts(team)) {
            break;
        }
        pthread_cond_wait(&team->begun, &team->lock);
    }
    const bool goes_on = !team->stopping;
    pthread_mutex_unlock(&team->lock);
    return goes_on;
}

static void wait_for_end(struct sl_cpu_team *team)
{
    if (look_for(team, all_done)) {
        return;
    }
    pthread_mutex_lock(&team->lock);
    atomic_store(&team->caller_sleeps, true);
    while (!all_done(team)) {
        pthread_cond_wait(&team->ended, &team->lock);
    }
    atomic_store(&team->caller_sleeps, false);
    pthread_mutex_unlock(&team->lock);
}

/* ---- parts ------------------------------------------------------------------------- */

/* The next part, or -1 when all are taken. */
static int take_part(struct sl_cpu_team *team)
{
    uint64_t seen = atomic_load(&team->ticket);
    while (part_of(seen) < team->parts) {
        if (atomic_compare_exchange_weak(&team->ticket, &seen, seen + 1)) {
            return part_of(seen);
        }
    }
    return -1;
}

static void do_parts(struct sl_cpu_team *team)
{
    for (int part = take_part(team); part >= 0; part = take_part(team)) {
        team->work(team->context, part);
        /* From here on the piece may be over. */
        if (atomic_fetch_add(&team->n_done, 1) + 1 == team->parts) {
            wake_caller(team);
        }
    }
}

static void *serve(void *argument)
{
    struct sl_cpu_team *team = argument;
    while (wait_for_parts(team)) {
        do_parts(team);
    }
    return NULL;
}

void sl_cpu_team_run(struct sl_cpu_team *team,
                     void (*work)(const void *context, int part), const void *context)
{
    if (team->parts == 1) {
        work(context, 0);
        return;
    }
    team->work = work;
    team->context = context;
    atomic_store(&team->n_done, 0);
    const uint64_t last = atomic_load(&team->ticket) >> PART_BITS;
    atomic_store(&team->ticket, (last + 1) << PART_BITS);
    wake_workers(team);
    do_parts(team);
    wait_for_end(team);
}

/* ---- life -------------------------------------------------------------------------- */

/* Signals are for the thread that opened the backend: a worker never runs a handler. */
static enum sl_status start_workers(struct sl_error *err, struct sl_cpu_team *team)
{
    enum sl_status status = SL_OK;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (team->n_started < team->parts - 1) {
        const int code =
            pthread_create(&team->workers[team->n_started], NULL, serve, team);
        if (code != 0) {
            status = SL_FAIL(err, SL_ERROR_RUN,
                             "thread %d of %d of the cpu backend could not be started "
                             "(error %d); use fewer threads",
                             team->n_started + 2, team->parts, code);
            break;
        }
        team->n_started++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return status;
}

enum sl_status sl_cpu_team_create(struct sl_error *err, int threads,
                                  struct sl_cpu_team **team)
{
    SL_ASSERT(threads >= 1 && threads <= SL_CPU_THREADS_MAX);
    enum sl_status status = SL_OK;
    struct sl_cpu_team *made = NULL;
    *team = NULL;
    SL_TRY(sl_heap_alloc(err, "the cpu backend's threads", 1, sizeof(*made), &made));
    made->parts = threads;
    made->spins = threads <= sl_cpu_count();
    atomic_init(&made->workers_sleep, false);
    atomic_init(&made->caller_sleeps, false);
    atomic_init(&made->ticket, (uint64_t)threads); /* no part is left */
    atomic_init(&made->n_done, threads);
    SL_TRY_OUT(sl_heap_alloc(err, "the cpu backend's threads", threads,
                             sizeof(*made->workers), &made->workers));
    made->has_lock = pthread_mutex_init(&made->lock, NULL) == 0;
    made->has_begun = pthread_cond_init(&made->begun, NULL) == 0;
    made->has_ended = pthread_cond_init(&made->ended, NULL) == 0;
    if (!made->has_lock || !made->has_begun || !made->has_ended) {
        status = SL_FAIL(err, SL_ERROR_RUN,
                         "the cpu backend's threads: the lock could not be made");
        goto out;
    }
    SL_TRY_OUT(start_workers(err, made));
    *team = made;
    made = NULL;
out:
    sl_cpu_team_destroy(made);
    return status;
}

void sl_cpu_team_destroy(struct sl_cpu_team *team)
{
    if (team == NULL) {
        return;
    }
    if (team->n_started > 0) {
        pthread_mutex_lock(&team->lock);
        team->stopping = true;
        pthread_cond_broadcast(&team->begun);
        pthread_mutex_unlock(&team->lock);
        for (int i = 0; i < team->n_started; i++) {
            pthread_join(team->workers[i], NULL);
        }
    }
    if (team->has_ended) {
        pthread_cond_destroy(&team->ended);
    }
    if (team->has_begun) {
        pthread_cond_destroy(&team->begun);
    }
    if (team->has_lock) {
        pthread_mutex_destroy(&team->lock);
    }
    sl_heap_free(team->workers);
    sl_heap_free(team);
}
