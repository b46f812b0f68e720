/* SPDX-License-Identifier: MIT */
/*
 * Worker threads that fill a bounded ring of numbered slots, and the few facts about the
 * machine that go with them: cores, clock, peak memory. What is in a slot is the caller's
 * business. Invariant: number s lives in slot s % n_slots; a slot belongs to one worker
 * while it is filled, to the taker from acquire to release, and to nobody else; every
 * hand-over is under the lock.
 */
#include "base/base.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

struct worker {
    struct sl_pool *pool;
    pthread_t thread;
    int index;
};

struct sl_pool {
    struct sl_pool_config config;
    pthread_mutex_t lock;
    pthread_cond_t slot_free;   /* workers wait for it */
    pthread_cond_t slot_filled; /* the taker waits for it */
    bool has_lock, has_free, has_filled;
    struct worker *workers;
    int n_started;
    /* All below under the lock. */
    bool stopping;
    bool *filled;     /* per slot: complete and not yet released */
    int64_t next;     /* the next number a worker begins */
    int64_t taken;    /* the next number acquire hands out */
    int64_t released; /* the next number release gives back */
};

/* Waits for a number whose slot is free; false at the end. Called with the lock held. */
static bool begin_number(struct sl_pool *pool, int64_t *number)
{
    for (;;) {
        if (pool->stopping || pool->next >= pool->config.end) {
            return false;
        }
        if (pool->next - pool->released < pool->config.n_slots) {
            *number = pool->next++;
            return true;
        }
        pthread_cond_wait(&pool->slot_free, &pool->lock);
    }
}

static void *work(void *argument)
{
    struct worker *worker = argument;
    struct sl_pool *pool = worker->pool;
    int64_t number = 0;
    pthread_mutex_lock(&pool->lock);
    while (begin_number(pool, &number)) {
        pthread_mutex_unlock(&pool->lock);
        int slot = (int)(number % pool->config.n_slots);
        pool->config.fill(pool->config.context, worker->index, slot, number);
        pthread_mutex_lock(&pool->lock);
        pool->filled[slot] = true;
        pthread_cond_signal(&pool->slot_filled);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

/* Signals are for the thread that started the pool: a worker never runs a handler. */
static enum sl_status start_workers(struct sl_error *err, struct sl_pool *pool)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    enum sl_status status = SL_OK;
    for (int i = 0; i < pool->config.n_workers; i++) {
        struct worker *worker = &pool->workers[i];
        *worker = (struct worker){.pool = pool, .index = i};
        int code = pthread_create(&worker->thread, NULL, work, worker);
        if (code != 0) {
            status =
                SL_FAIL(err, SL_ERROR_RUN,
                        "worker thread %d of %d could not be started (error %d); use "
                        "fewer workers",
                        i + 1, pool->config.n_workers, code);
            break;
        }
        pool->n_started++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return status;
}

enum sl_status sl_pool_create(struct sl_error *err, const struct sl_pool_config *config,
                              struct sl_pool **pool)
{
    SL_ASSERT(config->n_workers >= 1 && config->n_slots >= 1 && config->fill != NULL);
    SL_ASSERT(config->first >= 0);
    enum sl_status status = SL_OK;
    struct sl_pool *made = NULL;
    *pool = NULL;
    SL_TRY(sl_heap_alloc(err, "worker pool", 1, sizeof *made, &made));
    made->config = *config;
    made->next = config->first;
    made->taken = config->first;
    made->released = config->first;
    SL_TRY_OUT(sl_heap_alloc(err, "worker pool", config->n_workers, sizeof *made->workers,
                             &made->workers));
    SL_TRY_OUT(sl_heap_alloc(err, "worker pool", config->n_slots, sizeof *made->filled,
                             &made->filled));
    made->has_lock = pthread_mutex_init(&made->lock, NULL) == 0;
    made->has_free = pthread_cond_init(&made->slot_free, NULL) == 0;
    made->has_filled = pthread_cond_init(&made->slot_filled, NULL) == 0;
    if (!made->has_lock || !made->has_free || !made->has_filled) {
        status = SL_FAIL(err, SL_ERROR_RUN, "worker pool: the lock could not be made");
        goto out;
    }
    SL_TRY_OUT(start_workers(err, made));
    *pool = made;
    made = NULL;
out:
    sl_pool_destroy(made);
    return status;
}

void sl_pool_destroy(struct sl_pool *pool)
{
    if (pool == NULL) {
        return;
    }
    if (pool->n_started > 0) {
        pthread_mutex_lock(&pool->lock);
        pool->stopping = true;
        pthread_cond_broadcast(&pool->slot_free);
        pthread_mutex_unlock(&pool->lock);
        for (int i = 0; i < pool->n_started; i++) {
            pthread_join(pool->workers[i].thread, NULL);
        }
    }
    if (pool->has_filled) {
        pthread_cond_destroy(&pool->slot_filled);
    }
    if (pool->has_free) {
        pthread_cond_destroy(&pool->slot_free);
    }
    if (pool->has_lock) {
        pthread_mutex_destroy(&pool->lock);
    }
    sl_heap_free(pool->filled);
    sl_heap_free(pool->workers);
    sl_heap_free(pool);
}

int sl_pool_acquire(struct sl_pool *pool, int64_t *number, double *waited_s)
{
    if (waited_s != NULL) {
        *waited_s = 0.0;
    }
    int slot = -1;
    pthread_mutex_lock(&pool->lock);
    if (pool->taken < pool->config.end) {
        /* With every slot borrowed the next number could never be filled. */
        SL_ASSERT(pool->taken - pool->released < pool->config.n_slots);
        slot = (int)(pool->taken % pool->config.n_slots);
        if (!pool->filled[slot]) {
            double begin = sl_clock();
            while (!pool->filled[slot]) {
                pthread_cond_wait(&pool->slot_filled, &pool->lock);
            }
            if (waited_s != NULL) {
                *waited_s = sl_clock() - begin;
            }
        }
        if (number != NULL) {
            *number = pool->taken;
        }
        pool->taken++;
    }
    pthread_mutex_unlock(&pool->lock);
    return slot;
}

void sl_pool_release(struct sl_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    SL_ASSERT(pool->released < pool->taken);
    pool->filled[pool->released % pool->config.n_slots] = false;
    pool->released++;
    /* One slot became free, so one worker has something to do. */
    pthread_cond_signal(&pool->slot_free);
    pthread_mutex_unlock(&pool->lock);
}

/* ---- the machine ------------------------------------------------------------------- */

/* Bits of the "Cpus_allowed" mask of this process; 0 when the system does not say. */
static int cpus_allowed(void)
{
    FILE *file = fopen("/proc/self/status", "re");
    if (file == NULL) {
        return 0;
    }
    static const char key[] = "Cpus_allowed:";
    char line[4096];
    int n = 0;
    while (fgets(line, (int)sizeof line, file) != NULL) {
        if (strncmp(line, key, sizeof key - 1) != 0) {
            continue;
        }
        for (const char *at = line + sizeof key - 1; *at != '\0'; at++) {
            static const char digits[] = "0123456789abcdef";
            const char *digit = strchr(digits, *at);
            for (int64_t bits = digit != NULL ? digit - digits : 0; bits != 0;
                 bits >>= 1) {
                n += (int)(bits & 1);
            }
        }
        break;
    }
    fclose(file);
    return n;
}

/* Cores' worth of time that a container may use, rounded up; 0 = no limit known. */
static int cpus_of_quota(void)
{
    FILE *file = fopen("/sys/fs/cgroup/cpu.max", "re");
    if (file == NULL) {
        return 0;
    }
    char line[128];
    int n = 0;
    if (fgets(line, (int)sizeof line, file) != NULL) {
        long long quota = 0;
        long long period = 0;
        if (sscanf(line, "%lld %lld", &quota, &period) == 2 && quota > 0 && period > 0 &&
            (quota - 1) / period < 4096) {
            n = (int)((quota - 1) / period) + 1;
        }
    }
    fclose(file);
    return n;
}

int sl_cpu_count(void)
{
    int n = cpus_allowed();
    if (n < 1) {
        long online = sysconf(_SC_NPROCESSORS_ONLN);
        n = online >= 1 && online <= 4096 ? (int)online : 1;
    }
    int quota = cpus_of_quota();
    return quota >= 1 && quota < n ? quota : n;
}

double sl_clock(void)
{
    struct timespec now = {0};
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

double sl_process_age(void)
{
    char line[1024] = "";
    long long ticks = -1;
    long per_second = sysconf(_SC_CLK_TCK);
    FILE *file = fopen("/proc/self/stat", "re");
    if (file == NULL) {
        return 0.0;
    }
    /* The name of the program stands in brackets and may hold blanks and brackets; the
     * start of the process, in ticks since the machine booted, is word 20 behind it. */
    const char *at =
        fgets(line, (int)sizeof line, file) != NULL ? strrchr(line, ')') : NULL;
    fclose(file);
    for (int word = 0; at != NULL && word < 20; word++) {
        at = strchr(at + 1, ' ');
    }
    struct timespec now = {0};
    if (at == NULL || sscanf(at, " %lld", &ticks) != 1 || ticks < 0 || per_second < 1 ||
        clock_gettime(CLOCK_BOOTTIME, &now) != 0) {
        return 0.0;
    }
    double age = (double)now.tv_sec + 1e-9 * (double)now.tv_nsec -
                 (double)ticks / (double)per_second;
    return age > 0.0 ? age : 0.0;
}

int64_t sl_peak_rss(void)
{
    struct rusage usage = {0};
    (void)getrusage(RUSAGE_SELF, &usage);
    return (int64_t)usage.ru_maxrss * 1024; /* Linux counts in KiB */
}
