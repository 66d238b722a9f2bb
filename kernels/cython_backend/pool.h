/* A pool of threads that run one function together, and the barrier they meet at.

   `pool_run(f, argument, n)` calls f(argument, id, n) with id 0 on the calling thread and 1..n-1 on workers, which
   sleep between calls. If another thread of the process is inside, or there is nobody to help, f runs alone with
   n = 1: what f computes must not depend on n. After a fork, which may happen at any time, the child has no workers;
   it starts its own when it needs them. */

#ifndef FASTNN_POOL_H
#define FASTNN_POOL_H

#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#if defined(__linux__)
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#define POOL_MAX 256

typedef void (*pool_task)(void *argument, long id, long n);

#if defined(__x86_64__) || defined(__i386__)
#define pool_relax() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define pool_relax() __asm__ __volatile__("isb")
#else
#define pool_relax() ((void)0)
#endif

/* How a thread waits: it looks SPINS times (about 4 us, as long as it takes to be put to sleep and woken), then lets
   others run, for the one waited for may need this very processor, and then sleeps. A longer spin gains nothing on an
   idle machine and costs a multiple of the step on a busy one. */
#define POOL_SPINS 200
#define POOL_YIELDS 4

/* A number that threads wait for to change. */
typedef struct {
    int value;
    int sleepers;
} event_t;

#if defined(SYS_futex) && !defined(POOL_PORTABLE)

/* Returns when woken, when interrupted, or at once if the value is not `old`. */
static inline void event_sleep(event_t *e, int old) {
    syscall(SYS_futex, &e->value, FUTEX_WAIT_PRIVATE, old, NULL, NULL, 0);
}
static inline void event_wake(event_t *e) { syscall(SYS_futex, &e->value, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0); }

#else /* one lock for all events of a module, new after a fork */

static pthread_mutex_t event_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t event_changed = PTHREAD_COND_INITIALIZER;

static void event_forked(void) {
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
    event_lock = lock;
    event_changed = changed;
}
__attribute__((constructor)) static void event_register(void) { pthread_atfork(NULL, NULL, event_forked); }

static inline void event_sleep(event_t *e, int old) {
    pthread_mutex_lock(&event_lock);
    while (__atomic_load_n(&e->value, __ATOMIC_SEQ_CST) == old) pthread_cond_wait(&event_changed, &event_lock);
    pthread_mutex_unlock(&event_lock);
}
static inline void event_wake(event_t *e) {
    (void)e;
    pthread_mutex_lock(&event_lock);
    pthread_cond_broadcast(&event_changed);
    pthread_mutex_unlock(&event_lock);
}

#endif

/* Waits until the value is no longer `old`. */
static inline void event_wait(event_t *e, int old) {
    for (int i = 0; i < POOL_SPINS + POOL_YIELDS; i++) {
        if (__atomic_load_n(&e->value, __ATOMIC_ACQUIRE) != old) return;
        if (i < POOL_SPINS) pool_relax();
        else sched_yield();
    }
    __atomic_add_fetch(&e->sleepers, 1, __ATOMIC_SEQ_CST); /* before the last look, so that event_set sees it */
    while (__atomic_load_n(&e->value, __ATOMIC_SEQ_CST) == old) event_sleep(e, old);
    __atomic_sub_fetch(&e->sleepers, 1, __ATOMIC_RELAXED);
}

static inline int event_next(int value) { return (int)((unsigned)value + 1); }

static inline void event_set(event_t *e, int value) {
    __atomic_store_n(&e->value, value, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&e->sleepers, __ATOMIC_SEQ_CST)) event_wake(e);
}

/* The last of n to arrive starts the next generation. */
typedef struct {
    int arrived;
    char apart[124]; /* on a cache line of its own: late arrivals do not disturb those who wait */
    event_t generation;
} barrier_t;

static inline void barrier_wait(barrier_t *b, long n) {
    if (n == 1) return;
    int mine = __atomic_load_n(&b->generation.value, __ATOMIC_ACQUIRE);
    if (__atomic_add_fetch(&b->arrived, 1, __ATOMIC_ACQ_REL) == n) {
        __atomic_store_n(&b->arrived, 0, __ATOMIC_RELAXED);
        event_set(&b->generation, event_next(mine));
    } else {
        event_wait(&b->generation, mine);
    }
}

#ifdef POOL_IMPLEMENTATION

/* Every worker has a number of its own to wait for, so that a call disturbs only those that it needs. */
typedef struct {
    event_t calls; /* begun so far */
    char apart[120];
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

static void *pool_worker(void *start) {
    long id = (long)(intptr_t)start;
    event_t *calls = &pool.slot[id].calls;
    for (int seen = 0;; seen = event_next(seen)) {
        event_wait(calls, seen);
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
        pool.workers = id;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&detached);
    return pool.workers + 1 < n ? pool.workers + 1 : n;
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
