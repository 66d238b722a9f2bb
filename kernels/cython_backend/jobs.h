/* How threads share out the jobs of a product. Processors are seldom equally fast, as other programs and other guests
   of the machine take their time, and all would wait for the slowest. So each thread begins with a fixed share,

       | thread 0: front >      < back | thread 1: front >      < back | ...

   takes pieces from its front, and when there is nothing left, from the back of the others' shares. What a job computes
   does not depend on who does it, so neither does the result.

   A share is one word, `phase | taken from the front | taken from the back`. All threads go through the same products
   in the same order and count them: a word of an earlier phase is a share that nobody has touched yet, one of a later
   phase a share of which all has been taken. */

#ifndef FASTNN_JOBS_H
#define FASTNN_JOBS_H

#include <stdint.h>

typedef struct {
    uint64_t word;
    uint64_t phase; /* of the thread itself */
    char apart[112];
} share_t;

#define TAKEN_BITS 24
#define TAKEN_MASK ((1L << TAKEN_BITS) - 1)

static inline long share_begin(long jobs, long id, long n) { return jobs * id / n; }

/* Begins the next product. */
static inline void next_phase(share_t *shares, long id) { shares[id].phase++; }

/* Takes some of the jobs low..high of one share, a run that does not cross a multiple of `piece`; towards the end
   shorter ones, of `least` or more while there are as many. Returns 0 when all jobs are taken. */
static inline int take_jobs(share_t *shares, long jobs, long piece, long least, long id, long n, long *low,
                            long *high) {
    const uint16_t phase = (uint16_t)shares[id].phase;
    for (long other = 0; other < n; other++) {
        const long owner = (id + other) % n, begin = share_begin(jobs, owner, n), end = share_begin(jobs, owner + 1, n);
        uint64_t *const word = &shares[owner].word;
        uint64_t seen = __atomic_load_n(word, __ATOMIC_ACQUIRE), now;
        for (;;) {
            const int16_t ahead = (int16_t)((uint16_t)(seen >> 2 * TAKEN_BITS) - phase);
            long front = 0, back = 0, left, some;
            if (ahead > 0) break;
            if (ahead == 0) front = seen >> TAKEN_BITS & TAKEN_MASK, back = seen & TAKEN_MASK;
            left = end - begin - front - back;
            if (left <= 0) {
                /* An empty share of one's own is marked even so: it would fall behind until it seemed to be ahead. */
                now = (uint64_t)phase << 2 * TAKEN_BITS;
                if (other > 0 || ahead == 0) break;
                if (__atomic_compare_exchange_n(word, &seen, now, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) break;
                continue;
            }
            some = n > 1 && left < 2 * piece ? (left + 1) / 2 : left; /* leave something for those who come to help */
            if (some < least) some = least < left ? least : left;
            if (other == 0) {
                *low = begin + front;
                *high = (*low / piece + 1) * piece;
                if (*high > *low + some) *high = *low + some;
                front += *high - *low;
            } else {
                *high = end - back;
                *low = (*high - 1) / piece * piece;
                if (*low < *high - some) *low = *high - some;
                back += *high - *low;
            }
            now = (uint64_t)phase << 2 * TAKEN_BITS | (uint64_t)front << TAKEN_BITS | (uint64_t)back;
            if (__atomic_compare_exchange_n(word, &seen, now, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) return 1;
        }
    }
    return 0;
}

#endif
