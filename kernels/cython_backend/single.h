/* The products of a layer with one output, of a matrix and a vector. A register tile would work on a whole vector of
   columns for that one; here the vectors lie along the inputs, as X has them:

       y(b) = sum of X[b, :] w         dw = sum of dz(b) X[b, :]

   w is gathered from its column of W first. y and dz stay columns of panels, P apart. */

#ifndef FASTNN_SINGLE_H
#define FASTNN_SINGLE_H

#include "gather.h"
#include "transpose.h"

/* Shapes: column (n,), out (n rounded up to P,), the rest zero. Layout: column P apart. Aliasing: none. */
static inline void gather_column(const real *column, long n, real *out) {
    for (long k = 0; k < n; k++) out[k] = column[k * P];
    for (long k = n; k % P; k++) out[k] = 0;
}

/* Shapes: x (rows, n), w (n rounded up to P,), y (rows,).
   Layout: rows of x `step` apart, its panels `jump`; y P apart.
   Aliasing: none. */
static inline void dot_rows(const real *x, long step, long jump, long rows, long n, const real *w, real *y) {
    real sums[LANES * LANES], turned[LANES * LANES], rest[LANES * P] = {0};
    for (long b = 0; b < rows; b += LANES) {
        const long some = rows - b < LANES ? rows - b : LANES;
        vec total = {0};
        /* What stands behind a row may be anything. All first: a load soon after narrower stores waits for them. */
        for (long i = 0; i < some && n % P; i++) copy_part(rest + i * P, x + (b + i) * step + n / P * jump, n % P);
        for (long i = 0; i < some; i++) {
            const real *row = x + (b + i) * step;
            vec first = {0}, second = {0};
            long k = 0;
            for (; k + P <= n; k += P, row += jump) {
                first += load(row) * load(w + k);
                second += load(row + LANES) * load(w + k + LANES);
            }
            if (k < n) {
                first += load(rest + i * P) * load(w + k);
                second += load(rest + i * P + LANES) * load(w + k + LANES);
            }
            store(sums + i * LANES, first + second);
        }
        transpose_square(sums, LANES, some, LANES, turned, LANES);
        ALL for (int c = 0; c < LANES; c++) total += load(turned + c * LANES);
        for (long i = 0; i < some; i++) y[(b + i) * P] = total[i];
    }
}

/* Shapes: x (rows, P): a panel of X; dz (rows,), out (P,). Layout: dz P apart. Aliasing: none. */
static inline void weigh_rows(const real *x, const real *dz, long rows, real *out) {
    vec first[2] = {{0}}, second[2] = {{0}};
    for (long b = 0; b < rows; b++) {
        first[b % 2] += load(x + b * P) * dz[b * P];
        second[b % 2] += load(x + b * P + LANES) * dz[b * P];
    }
    store(out, first[0] + first[1]);
    store(out + LANES, second[0] + second[1]);
}

#endif
