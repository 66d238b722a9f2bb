/* Rows between plain matrices and panels, and what is to be known of numbers before. */

#ifndef FASTNN_GATHER_H
#define FASTNN_GATHER_H

#include "elementary.h"

/* Asks for a row of `bytes` to be brought into the first-level cache: the hardware foresees no shuffled row. */
INLINE void fetch(const char *row, long bytes) {
    for (long i = 0; i < bytes; i += 64) __builtin_prefetch(row + i);
}

/* Shapes: at most P of `columns` numbers. Aliasing: none. */
INLINE void copy_part(real *out, const real *in, long columns) {
    if (columns >= P) {
        memcpy(out, in, P * sizeof(real)); /* a constant number is a handful of instructions */
        return;
    }
    ALL for (long some = LANES; some > 0; some /= 2) {
        if (columns & some) memcpy(out, in, some * sizeof(real)), out += some, in += some;
    }
}

/* Shapes: row (width,), as bytes times scale; out: its parts of P numbers, the last one shorter.
   Layout: the parts of out are `jump` apart.
   Aliasing: none. */
static inline void scatter_bytes(const uint8_t *restrict row, real scale, long width, long jump, real *restrict out) {
    for (; width >= P; width -= P, row += P, out += jump) {
        for (int c = 0; c < P; c++) out[c] = (int)row[c] * scale;
    }
    if (width >= LANES) {
        for (int c = 0; c < LANES; c++) out[c] = (int)row[c] * scale;
        width -= LANES, row += LANES, out += LANES;
    }
    for (long c = 0; c < width; c++) out[c] = (int)row[c] * scale;
}

/* Shapes, layout, aliasing: as scatter_bytes, for a row of numbers that are taken as they are. */
static inline void scatter_numbers(const real *restrict row, long width, long jump, real *restrict out) {
    for (; width >= P; width -= P, row += P, out += jump) memcpy(out, row, P * sizeof(real));
    copy_part(out, row, width);
}

/* The bytes of which n numbers are `scale` times, give or take how those were rounded; returns 0 if one is anything
   else. Shapes: x, out (n,). Aliasing: none. */
static inline int quantize_numbers(const real *restrict x, long n, real scale, uint8_t *restrict out) {
    const real inverse = 1 / scale;
    bits_t others = 0;
    for (long i = 0; i < n; i++) {
        const real shifted = x[i] * inverse + SHIFTER, k = shifted - SHIFTER, off = k * scale - x[i];
        const real limit = x[i] * REAL(0x1p-22);
        out[i] = (uint8_t)bits_of(shifted);
        others |= !(off <= limit) | !(-off <= limit) | !(k >= 0) | !(k <= 255);
    }
    return !others;
}

/* Whether n numbers are finite: 0 times one is 0 if it is, and otherwise NaN. */
static inline int all_finite(const real *x, long n) {
    vec sums[4] = {{0}};
    real sum = 0;
    long i = 0;
    for (; i + 4 * LANES <= n; i += 4 * LANES) {
        ALL for (int v = 0; v < 4; v++) sums[v] += load(x + i + v * LANES) * (vec){0};
    }
    for (; i < n; i++) sum += x[i] * 0;
    sums[0] += sums[1] + sums[2] + sums[3];
    for (int c = 0; c < LANES; c++) sum += sums[0][c];
    return sum == 0;
}

#endif
