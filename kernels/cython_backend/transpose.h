/* Square blocks of LANES x LANES numbers, turned over in registers.

   Halves are exchanged between rows h apart, for h = LANES / 2 ... 1; with LANES = 4:

       a0 a1 a2 a3        a0 a1 c0 c1        a0 b0 c0 d0
       b0 b1 b2 b3  h=2   b0 b1 d0 d1  h=1   a1 b1 c1 d1
       c0 c1 c2 c3  --->  a2 a3 c2 c3  --->  a2 b2 c2 d2
       d0 d1 d2 d3        b2 b3 d2 d3        a3 b3 c3 d3      */

#ifndef FASTNN_TRANSPOSE_H
#define FASTNN_TRANSPOSE_H

#include "tile.h"

/* EXCHANGE_h(LOW, HIGH): which of the 2 * LANES numbers of two rows make the new first and the new second row. */
#if LANES == 16
#define LOW_8 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23
#define HIGH_8 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31
#define LOW_4 0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27
#define HIGH_4 4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31
#define LOW_2 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29
#define HIGH_2 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31
#define LOW_1 0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30
#define HIGH_1 1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31
#elif LANES == 8
#define LOW_4 0, 1, 2, 3, 8, 9, 10, 11
#define HIGH_4 4, 5, 6, 7, 12, 13, 14, 15
#define LOW_2 0, 1, 8, 9, 4, 5, 12, 13
#define HIGH_2 2, 3, 10, 11, 6, 7, 14, 15
#define LOW_1 0, 8, 2, 10, 4, 12, 6, 14
#define HIGH_1 1, 9, 3, 11, 5, 13, 7, 15
#elif LANES == 4
#define LOW_2 0, 1, 4, 5
#define HIGH_2 2, 3, 6, 7
#define LOW_1 0, 4, 2, 6
#define HIGH_1 1, 5, 3, 7
#elif LANES == 2
#define LOW_1 0, 2
#define HIGH_1 1, 3
#endif

#define EXCHANGE(h)                                                                         \
    ALL for (int i = 0; i < LANES; i++) if (!(i & h)) {                                     \
        const vec low = __builtin_shufflevector(row[i], row[i + h], LOW_##h);                \
        row[i + h] = __builtin_shufflevector(row[i], row[i + h], HIGH_##h);                  \
        row[i] = low;                                                                       \
    }

/* Shapes: a has `rows` rows of LANES numbers, b LANES rows of LANES (missing rows of a count as zero); then only the
   first `keep` rows of b are written.
   Layout: rows of a are a_step apart, rows of b b_step.
   Aliasing: none. */
INLINE void transpose_square(const real *a, long a_step, long rows, long b_step, real *b, long keep) {
#if defined(__has_builtin) && __has_builtin(__builtin_shufflevector)
    vec row[LANES];
    if (rows == LANES) {
        ALL for (int i = 0; i < LANES; i++) row[i] = load(a + i * a_step);
    } else {
        ALL for (int i = 0; i < LANES; i++) row[i] = i < rows ? load(a + i * a_step) : (vec){0};
    }
#if LANES >= 16
    EXCHANGE(8)
#endif
#if LANES >= 8
    EXCHANGE(4)
#endif
#if LANES >= 4
    EXCHANGE(2)
#endif
    EXCHANGE(1)
    if (keep == LANES) {
        ALL for (int i = 0; i < LANES; i++) store(b + i * b_step, row[i]);
    } else {
        ALL for (int i = 0; i < LANES; i++) if (i < keep) store(b + i * b_step, row[i]);
    }
#else
    for (long i = 0; i < keep; i++)
        for (long j = 0; j < LANES; j++) b[i * b_step + j] = j < rows ? a[j * a_step + i] : 0;
#endif
}

#endif
