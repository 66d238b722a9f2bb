/* A pool of threads that run one function together, and the barrier they meet at.

   `pool_run(f, argument, n)` calls f(argument, id, n) with id 0 on the calling thread and 1..n-1 on workers, which
   sleep between calls. If another Python thread is inside, or there is nobody to help, f runs alone with n = 1: what
   f computes must not depend on n. After a fork the child has no workers; it starts its own when it needs them. */

#ifndef FASTNN_POOL_H
#define FASTNN_POOL_H

#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>

#define POOL_MAX 256

typedef void (*pool_task)(void *argument, long id, long n);

#if defined(__x86_64__) || defined(__i386__)
#define pool_relax() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define pool_relax() __asm__ __volatile__("yield")
#else
#define pool_relax() ((void)0)
#endif

/* Sense by generation: the last of n to arrive starts the next one. Waiting spins (a step has a handful of barriers a
   fraction of a microsecond apart) and then yields, for the one waited for may not be running. */
typedef struct {
    long arrived;
    char apart[120]; /* the two words on cache lines of their own */
    long generation;
} barrier_t;

static inline void barrier_wait(barrier_t *b, long n) {
    if (n == 1) return;
    long mine = __atomic_load_n(&b->generation, __ATOMIC_ACQUIRE);
    if (__atomic_add_fetch(&b->arrived, 1, __ATOMIC_ACQ_REL) == n) {
        __atomic_store_n(&b->arrived, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&b->generation, mine + 1, __ATOMIC_RELEASE);
        return;
    }
    for (long spins = 0; __atomic_load_n(&b->generation, __ATOMIC_ACQUIRE) == mine; spins++) {
        if (spins < 400) pool_relax();
        else sched_yield();
    }
}

#ifdef POOL_IMPLEMENTATION

static struct {
    pthread_mutex_t turn;  /* held by the one caller inside pool_run */
    pthread_mutex_t lock;  /* guards what follows */
    pthread_cond_t wake, done;
    long workers;          /* started so far */
    long ticket;           /* number of the current call */
    long wanted;           /* threads in the current call */
    long running;          /* workers that have not finished it */
    pool_task task;
    void *argument;
} pool = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, PTHREAD_COND_INITIALIZER,
          0, 0, 0, 0, NULL, NULL};

static void *pool_worker(void *start) {
    long id = (long)(intptr_t)start, seen;
    pthread_mutex_lock(&pool.lock);
    seen = pool.ticket - 1; /* it was started by the call it now finds */
    for (;;) {
        while (pool.ticket == seen) pthread_cond_wait(&pool.wake, &pool.lock);
        seen = pool.ticket;
        if (id >= pool.wanted) continue;
        pool_task task = pool.task;
        void *argument = pool.argument;
        long n = pool.wanted;
        pthread_mutex_unlock(&pool.lock);
        task(argument, id, n);
        pthread_mutex_lock(&pool.lock);
        if (--pool.running == 0) pthread_cond_signal(&pool.done);
    }
    return NULL;
}

static void pool_forked(void) {
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
    pool.turn = pool.lock = mutex;
    pool.wake = pool.done = cond;
    pool.workers = pool.running = 0;
}

/* Starts workers up to n - 1; returns how many threads a call can have. */
static long pool_grow(long n) {
    pthread_attr_t detached;
    if (n > POOL_MAX) n = POOL_MAX;
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    while (pool.workers < n - 1) {
        pthread_t thread;
        if (pthread_create(&thread, &detached, pool_worker, (void *)(intptr_t)(pool.workers + 1))) break;
        pool.workers++;
    }
    pthread_attr_destroy(&detached);
    return pool.workers + 1 < n ? pool.workers + 1 : n;
}

static void pool_register(void) { pthread_atfork(NULL, NULL, pool_forked); }

static void pool_run(pool_task task, void *argument, long n) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    if (n <= 1 || pthread_mutex_trylock(&pool.turn)) {
        task(argument, 0, 1);
        return;
    }
    pthread_once(&once, pool_register);
    pthread_mutex_lock(&pool.lock);
    n = pool_grow(n); /* new workers wait for the lock, then find the call that follows */
    pool.ticket++;
    pool.task = task;
    pool.argument = argument;
    pool.wanted = n;
    pool.running = n - 1;
    pthread_cond_broadcast(&pool.wake);
    pthread_mutex_unlock(&pool.lock);
    task(argument, 0, n);
    pthread_mutex_lock(&pool.lock);
    while (pool.running) pthread_cond_wait(&pool.done, &pool.lock);
    pthread_mutex_unlock(&pool.lock);
    pthread_mutex_unlock(&pool.turn);
}

#endif
#endif
