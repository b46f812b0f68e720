/* SPDX-License-Identifier: MIT */
/*
 * A team of threads, see cpu_team_int.h. Pieces of work have numbers, and every part
 * remembers the piece it was last taken for. It is taken by moving that from the piece
 * before to this one, so that a thread that comes late fails to take anything. Whoever
 * has taken a part holds the piece open: only then does it read what the work is.
 *
 * Thread i begins with part i, so that what a part wrote in one piece is mostly still in
 * its core's cache when the same part reads it in the next; then it helps the others.
 *
 * Threads without anything to do look for it a short time, because the next piece mostly
 * comes at once and waking somebody takes longer than most pieces; then they sleep.
 */
#include "backend/cpu_team_int.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

/* Seconds that a thread looks for something to do before it sleeps, and how many looks go
 * by from one glance at the clock to the next. */
static const double spin_s = 50e-6;
enum { LOOKS = 32 };

enum { LINE = 64 }; /* bytes that cores hand to each other */

struct sl_cpu_team;

struct worker {
    struct sl_cpu_team *team;
    int first; /* the part it begins with */
    pthread_t thread;
};

struct sl_cpu_team {
    int parts;
    bool spins; /* each thread can have a core to itself */
    int n_started;
    struct worker *workers; /* (parts - 1) */
    pthread_mutex_t lock;
    pthread_cond_t begun; /* workers sleep until there are parts or the end */
    pthread_cond_t ended; /* the caller sleeps until all parts are done */
    bool made_lock, made_begun, made_ended;
    bool stopping; /* under the lock */
    /* The piece of work: written by the caller between two of them, read by those who
     * have taken a part. */
    void (*work)(const void *context, int part);
    const void *context;
    /* Whether a worker, or the caller, may be asleep. Set before the last look at the
     * piece or at the parts done, and asked after these changed. */
    _Alignas(LINE) atomic_bool workers_sleep;
    atomic_bool caller_sleeps;
    _Alignas(LINE) atomic_uint_least64_t piece; /* the number of the last one begun */
    _Alignas(LINE) atomic_int n_done;
    _Alignas(LINE) atomic_uint_least64_t *taken_for; /* (parts) the piece it was last
                                                        taken for */
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

/* What a thread waits for: a piece after `known`, or that all parts of the last one are
 * done. */
typedef bool (*come_fn)(const struct sl_cpu_team *team, uint64_t known);

static bool has_begun(const struct sl_cpu_team *team, uint64_t known)
{
    return atomic_load(&team->piece) != known;
}

static bool has_ended(const struct sl_cpu_team *team, uint64_t known SL_UNUSED)
{
    return atomic_load(&team->n_done) == team->parts;
}

/* Looks for a short time; whether it has come. Measured in time, not in looks: a thread
 * that lost its core meanwhile has waited long enough. */
static bool look_for(const struct sl_cpu_team *team, come_fn has_come, uint64_t known)
{
    if (!team->spins) {
        return has_come(team, known);
    }
    const double end = sl_clock() + spin_s;
    do {
        for (int i = 0; i < LOOKS; i++) {
            if (has_come(team, known)) {
                return true;
            }
            relax();
        }
    } while (sl_clock() < end);
    return false;
}

/* The caller, after a piece began. */
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

/* Until a piece after `known` has begun; false: the team is being destroyed. */
static bool wait_for_piece(struct sl_cpu_team *team, uint64_t known)
{
    if (look_for(team, has_begun, known)) {
        return true;
    }
    pthread_mutex_lock(&team->lock);
    while (!team->stopping && !has_begun(team, known)) {
        atomic_store(&team->workers_sleep, true);
        if (has_begun(team, known)) {
            break; /* perhaps before the caller could see that we sleep */
        }
        pthread_cond_wait(&team->begun, &team->lock);
    }
    const bool goes_on = !team->stopping;
    pthread_mutex_unlock(&team->lock);
    return goes_on;
}

static void wait_for_end(struct sl_cpu_team *team)
{
    if (look_for(team, has_ended, 0)) {
        return;
    }
    pthread_mutex_lock(&team->lock);
    atomic_store(&team->caller_sleeps, true);
    while (!has_ended(team, 0)) {
        pthread_cond_wait(&team->ended, &team->lock);
    }
    atomic_store(&team->caller_sleeps, false);
    pthread_mutex_unlock(&team->lock);
}

/* ---- parts ------------------------------------------------------------------------- */

/* Whether the part is this thread's in this piece. */
static bool take_part(struct sl_cpu_team *team, uint64_t piece, int part)
{
    uint64_t before = piece - 1;
    return atomic_load(&team->taken_for[part]) == before &&
           atomic_compare_exchange_strong(&team->taken_for[part], &before, piece);
}

/* All parts that nobody else takes, from the thread's first one on. */
static void do_parts(struct sl_cpu_team *team, uint64_t piece, int first)
{
    for (int i = 0; i < team->parts; i++) {
        const int part = first + i < team->parts ? first + i : first + i - team->parts;
        if (!take_part(team, piece, part)) {
            continue;
        }
        team->work(team->context, part);
        /* From here on the piece may be over. */
        if (atomic_fetch_add(&team->n_done, 1) + 1 == team->parts) {
            wake_caller(team);
        }
    }
}

static void *serve(void *argument)
{
    const struct worker *worker = argument;
    uint64_t piece = 0;
    while (wait_for_piece(worker->team, piece)) {
        piece = atomic_load(&worker->team->piece);
        do_parts(worker->team, piece, worker->first);
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
    const uint64_t piece = atomic_load(&team->piece) + 1;
    atomic_store(&team->piece, piece);
    wake_workers(team);
    do_parts(team, piece, 0);
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
        struct worker *worker = &team->workers[team->n_started];
        worker->team = team;
        worker->first = team->n_started + 1;
        const int code = pthread_create(&worker->thread, NULL, serve, worker);
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
    atomic_init(&made->piece, 0);
    atomic_init(&made->n_done, threads);
    SL_TRY_OUT(sl_heap_alloc(err, "the cpu backend's threads", threads,
                             sizeof(*made->workers), &made->workers));
    SL_TRY_OUT(sl_heap_alloc(err, "the cpu backend's threads", threads,
                             sizeof(*made->taken_for), &made->taken_for));
    made->made_lock = pthread_mutex_init(&made->lock, NULL) == 0;
    made->made_begun = pthread_cond_init(&made->begun, NULL) == 0;
    made->made_ended = pthread_cond_init(&made->ended, NULL) == 0;
    if (!made->made_lock || !made->made_begun || !made->made_ended) {
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
            pthread_join(team->workers[i].thread, NULL);
        }
    }
    if (team->made_ended) {
        pthread_cond_destroy(&team->ended);
    }
    if (team->made_begun) {
        pthread_cond_destroy(&team->begun);
    }
    if (team->made_lock) {
        pthread_mutex_destroy(&team->lock);
    }
    sl_heap_free(team->taken_for);
    sl_heap_free(team->workers);
    sl_heap_free(team);
}
