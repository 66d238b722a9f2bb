/* A pool of threads that run one function together, and the barrier they meet at.

   `pool_run(f, argument, n)` calls f(argument, id, n) with id 0 on the calling thread and 1..n-1 on workers, which
   sleep between calls; `pool_rouse(n)` wakes them a little before one. If another thread of the process is inside, or
   there is nobody to help, f runs alone with n = 1: what f computes must not depend on n. After a fork, which may happen
   at any time, the child has no workers; it starts its own when it needs them. */

#ifndef FASTNN_POOL_H
#define FASTNN_POOL_H

#include "event.h"

#include <signal.h>

#define POOL_MAX 256

typedef void (*pool_task)(void *argument, long id, long n);

/* The last of n to arrive starts the next generation. */
typedef struct {
    int arrived;
    char apart[124]; /* on a cache line of its own: late arrivals do not disturb those who wait */
    event_t generation;
} barrier_t;

static inline void barrier_wait(barrier_t *b, long id, long n) {
    if (n == 1) return;
    int mine = __atomic_load_n(&b->generation.value, __ATOMIC_ACQUIRE);
    if (__atomic_add_fetch(&b->arrived, 1, __ATOMIC_ACQ_REL) == n) {
        __atomic_store_n(&b->arrived, 0, __ATOMIC_RELAXED);
        event_set(&b->generation, event_next(mine));
    } else {
        event_wait(&b->generation, mine);
        if (id > 0 && step_aside(&b->generation)) /* what was crowded was so by this team itself */
            __atomic_store_n(&b->generation.crowded, 0, __ATOMIC_RELAXED);
    }
}

#ifdef POOL_IMPLEMENTATION

/* Every worker has a number of its own to wait for, so that a call disturbs only those that it needs. */
typedef struct {
    event_t calls; /* begun so far */
    char apart[112];
} slot_t;

static struct {
    int limit;     /* the most threads that a call may have */
    int taken;     /* somebody is inside pool_run; what follows is theirs */
    long workers;  /* started so far */
    long wanted;   /* threads in the current call */
    int running;   /* workers that have not finished it */
    event_t ended; /* calls that have ended */
    pool_task task;
    void *argument;
    slot_t slot[POOL_MAX];
} pool = {.limit = POOL_MAX};

/* Waits for the next call, and leaves the processor to the caller. Who is roused does so before the call comes, and then
   stays awake for it. */
static void pool_await(event_t *calls, int seen) {
    for (int yields = YIELDS; !event_look(calls, seen, yields); yields = LONG_YIELDS) {
        event_doze(calls, seen);
        step_aside(calls);
    }
    step_aside(calls);
}

static void *pool_worker(void *start) {
    long id = (long)(intptr_t)start;
    event_t *calls = &pool.slot[id].calls;
    for (int seen = 0;; seen = event_next(seen)) {
        pool_await(calls, seen);
        pool.task(pool.argument, id, pool.wanted);
        if (__atomic_sub_fetch(&pool.running, 1, __ATOMIC_ACQ_REL) == 0)
            event_set(&pool.ended, event_next(pool.ended.value));
    }
    return NULL;
}

static void pool_forked(void) {
    pool.workers = 0;
    pool.ended.sleepers = 0;
    pool.taken = 0;
}
__attribute__((constructor)) static void pool_register(void) { pthread_atfork(NULL, NULL, pool_forked); }

/* Starts workers up to n - 1; returns how many threads a call can have. */
static long pool_grow(long n) {
    pthread_attr_t detached;
    sigset_t blocked, before;
    if (pool.workers >= n - 1) return n;
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    sigfillset(&blocked); /* signals are the caller's business, except those that a fault sends to its own thread */
    sigdelset(&blocked, SIGSEGV);
    sigdelset(&blocked, SIGBUS);
    sigdelset(&blocked, SIGFPE);
    sigdelset(&blocked, SIGILL);
    pthread_sigmask(SIG_SETMASK, &blocked, &before);
    while (pool.workers < n - 1) {
        long id = pool.workers + 1;
        pthread_t thread;
        pool.slot[id].calls.value = pool.slot[id].calls.sleepers = 0;
        if (pthread_create(&thread, &detached, pool_worker, (void *)(intptr_t)id)) break;
        __atomic_store_n(&pool.workers, id, __ATOMIC_RELAXED);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&detached);
    return pool.workers + 1 < n ? pool.workers + 1 : n;
}

/* Wakes those workers of n threads that sleep, for a call that comes within a millisecond or two: to wake them takes some
   tenths of one, which the caller would spend waiting for them. */
static void pool_rouse(long n) {
    const long limit = __atomic_load_n(&pool.limit, __ATOMIC_RELAXED);
    const long workers = __atomic_load_n(&pool.workers, __ATOMIC_RELAXED);
    int woken = 0;
    n = n < limit ? n : limit;
    for (long id = 1; id < n && id <= workers; id++) woken |= event_rouse(&pool.slot[id].calls);
    if (woken) sched_yield(); /* they may be waiting for this very processor, to leave it */
}

static void pool_run(pool_task task, void *argument, long n) {
    int limit = __atomic_load_n(&pool.limit, __ATOMIC_RELAXED);
    n = n < limit ? n : limit;
    if (n <= 1 || __atomic_exchange_n(&pool.taken, 1, __ATOMIC_ACQUIRE)) {
        task(argument, 0, 1);
        return;
    }
    n = pool_grow(n);
    int ended = pool.ended.value;
    pool.task = task;
    pool.argument = argument;
    pool.wanted = n;
    __atomic_store_n(&pool.running, (int)n - 1, __ATOMIC_RELEASE);
    for (long id = 1; id < n; id++) event_set(&pool.slot[id].calls, event_next(pool.slot[id].calls.value));
    task(argument, 0, n);
    if (n > 1) event_wait(&pool.ended, ended);
    __atomic_store_n(&pool.taken, 0, __ATOMIC_RELEASE);
}

/* For threadpoolctl. */
__attribute__((visibility("default"))) int fastnn_pool_get_num_threads(void) {
    return __atomic_load_n(&pool.limit, __ATOMIC_RELAXED);
}
__attribute__((visibility("default"))) void fastnn_pool_set_num_threads(int n) {
    __atomic_store_n(&pool.limit, n < 1 ? 1 : n > POOL_MAX ? POOL_MAX : n, __ATOMIC_RELAXED);
}

#endif
#endif
