/* Events: numbers that threads wait for to change, and where they run meanwhile.

   A thread looks SPINS times (about 4 us). Then it lets others run between two looks, for the one waited for may need
   this very processor: YIELDS times (about 100 us), so that threads that work together seldom sleep. Many a scheduler
   wakes a sleeper on the processor of whoever woke it, even if others are idle, and the two would take turns there for
   tens of milliseconds; a worker who finds itself there steps aside. On a busy machine every turn costs a slice of
   somebody else's, and who sleeps is woken at once: after a turn of CROWDED ns the next CROWDED_WAITS do without. A
   longer spin gains nothing on an idle machine and costs a multiple of the step on a busy one. Who has been woken because
   a change is near lets others run for longer before it sleeps again: LONG_YIELDS times. */

#ifndef FASTNN_EVENT_H
#define FASTNN_EVENT_H

#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>
#if defined(__linux__)
#include <linux/futex.h>
#include <sys/syscall.h>
#endif

#define SPINS 200
#define YIELDS 400
#define LONG_YIELDS 8000 /* about 2 ms: of a worker that has been told that a call will come */
#define CROWDED 500000
#define CROWDED_WAITS 300
#define STAY 5000000 /* ns until a worker that stays where it is looks again for an idle processor */

#if defined(__x86_64__) || defined(__i386__)
#define relax() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define relax() __asm__ __volatile__("isb")
#else
#define relax() ((void)0)
#endif

/* A number that threads wait for to change. */
typedef struct {
    int value;
    int sleepers;
    int crowded;   /* waits that go to sleep without yielding */
    int processor; /* of who changed it last */
} event_t;

#if defined(SYS_futex) && !defined(EVENT_PORTABLE)

#define ROUSES 1 /* whether who sleeps can be woken though the value is the same */

/* Returns when woken, when interrupted, or at once if the value is not `old`. */
static inline void event_sleep(event_t *e, int old) {
    syscall(SYS_futex, &e->value, FUTEX_WAIT_PRIVATE, old, NULL, NULL, 0);
}
static inline void event_wake(event_t *e) { syscall(SYS_futex, &e->value, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0); }

#else /* one lock for all events of a module, new after a fork */

#define ROUSES 0

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

/* The number of this thread's processor, or -1. */
static inline int processor(void) {
#if defined(__linux__)
    return sched_getcpu();
#else
    return -1;
#endif
}

static inline int64_t event_clock(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * (int64_t)1000000000 + now.tv_nsec;
}

/* Whether the value is no longer `old`, after some looks and up to `yields` turns for others. */
static inline int event_look(event_t *e, int old, int yields) {
    int crowded;
    for (int i = 0; i < SPINS; i++) {
        if (__atomic_load_n(&e->value, __ATOMIC_ACQUIRE) != old) return 1;
        relax();
    }
    crowded = __atomic_load_n(&e->crowded, __ATOMIC_RELAXED); /* threads may count a wait less: it is an estimate */
    if (crowded > 0) __atomic_store_n(&e->crowded, crowded - 1, __ATOMIC_RELAXED);
    for (int i = 0; i < yields && crowded <= 0; i++) {
        const int64_t before = event_clock();
        sched_yield();
        if (event_clock() - before > CROWDED)
            __atomic_store_n(&e->crowded, crowded = CROWDED_WAITS, __ATOMIC_RELAXED);
        if (__atomic_load_n(&e->value, __ATOMIC_ACQUIRE) != old) return 1;
    }
    return 0;
}

/* Sleeps until the value is no longer `old`, or until event_rouse. */
static inline void event_doze(event_t *e, int old) {
    __atomic_add_fetch(&e->sleepers, 1, __ATOMIC_SEQ_CST); /* before the last look, so that event_set sees it */
    if (__atomic_load_n(&e->value, __ATOMIC_SEQ_CST) == old) event_sleep(e, old);
    __atomic_sub_fetch(&e->sleepers, 1, __ATOMIC_RELAXED);
}

/* Waits until the value is no longer `old`. */
static inline void event_wait(event_t *e, int old) {
    if (event_look(e, old, YIELDS)) return;
    while (__atomic_load_n(&e->value, __ATOMIC_SEQ_CST) == old) event_doze(e, old);
}

static inline int event_next(int value) { return (int)((unsigned)value + 1); }

/* Notes which processor this is. Others may read it meanwhile: it is a hint. */
static inline void event_here(event_t *e) { __atomic_store_n(&e->processor, processor(), __ATOMIC_RELAXED); }

static inline void event_set(event_t *e, int value) {
    event_here(e);
    __atomic_store_n(&e->value, value, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&e->sleepers, __ATOMIC_SEQ_CST)) event_wake(e);
}

/* Wakes who sleeps, the value as it is, where that is possible; returns whether anybody did. Not on a busy machine, where
   who is awake only loses its turn. */
static inline int event_rouse(event_t *e) {
    if (!ROUSES || __atomic_load_n(&e->crowded, __ATOMIC_RELAXED) > 0) return 0;
    event_here(e);
    if (!__atomic_load_n(&e->sleepers, __ATOMIC_SEQ_CST)) return 0;
    event_wake(e);
    return 1;
}

/* Threads that run on this machine now, or are ready to; 0 where the system does not tell. */
static inline long running(void) {
    char text[64];
    long n = 0;
    int file = open("/proc/loadavg", O_RDONLY | O_CLOEXEC); /* three means, then running / all */
    ssize_t size = file < 0 ? 0 : read(file, text, sizeof(text) - 1);
    if (file >= 0) close(file);
    text[size < 0 ? 0 : size] = 0;
    return sscanf(text, "%*s %*s %*s %ld", &n) == 1 ? n : 0;
}

/* For a worker: leaves this processor to whoever changed the value here, if there is an idle one that may be used.
   Returns whether it has done so. */
static inline int step_aside(const event_t *e) {
#if defined(__linux__) && defined(CPU_COUNT)
    static int64_t resume;
    const int here = processor();
    int64_t begin;
    long busy;
    cpu_set_t allowed, others, now;
    if (here < 0 || here != __atomic_load_n(&e->processor, __ATOMIC_RELAXED)) return 0;
    begin = event_clock();
    if (begin < __atomic_load_n(&resume, __ATOMIC_RELAXED)) return 0;
    CPU_ZERO(&allowed);
    sched_getaffinity(0, sizeof(allowed), &allowed); /* fails where there are more processors than it has room for */
    others = allowed;
    CPU_CLR(here, &others);
    busy = CPU_COUNT(&others) ? running() : 0;
    if (busy == 0 || busy > CPU_COUNT(&allowed) || sched_setaffinity(0, sizeof(others), &others)) {
        __atomic_store_n(&resume, begin + STAY, __ATOMIC_RELAXED);
        return 0;
    }
    CPU_ZERO(&now);
    /* Unless somebody else has bound it meanwhile. */
    if (sched_getaffinity(0, sizeof(now), &now) == 0 && CPU_EQUAL(&now, &others))
        sched_setaffinity(0, sizeof(allowed), &allowed);
    return 1;
#else
    (void)e;
    return 0;
#endif
}

#endif
