/* An update by one row and a product with the next one, in one pass over the weights: see lookahead.pxi. */

#ifndef FASTNN_LOOKAHEAD_H
#define FASTNN_LOOKAHEAD_H

#include "tile.h"

#define WEIGHTS_ROW(way)                                          \
    {                                                             \
        const vec xk = *x++ - (vec){0}, yk = *y++ - (vec){0};     \
        ALL for (int v = 0; v < nv; v++) {                        \
            const vec wk = load(w + v * LANES) + xk * scaled[v];  \
            store(w + v * LANES, wk);                             \
            acc[way][v] += yk * wk;                               \
        }                                                         \
        w += P;                                                   \
    }

INLINE void row_body(const int nv, long kc, const real *x, const real *s, const real *y, real *w, real *z,
                     int accumulate) {
    vec acc[4][2] = {{{0}}}, scaled[2];
    ALL for (int v = 0; v < nv; v++) scaled[v] = load(s + v * LANES);
    if (accumulate) ALL for (int v = 0; v < nv; v++) acc[0][v] = load(z + v * LANES);
    for (; kc >= 4; kc -= 4) ALL for (int u = 0; u < 4; u++) WEIGHTS_ROW(u)
    for (; kc > 0; kc--) WEIGHTS_ROW(0)
    ALL for (int u = 1; u < 4; u++) ALL for (int v = 0; v < nv; v++) acc[0][v] += acc[u][v];
    ALL for (int v = 0; v < nv; v++) store(z + v * LANES, acc[0][v]);
}

/* w += x s, then z = y w, or z += y w, in the order in which tile_natural sums one row.
   Shapes: x, y (kc,), s, z (P,), w (kc, P), of which nv vectors count. Layout: w a panel. Aliasing: none. */
static __attribute__((noinline)) void add_and_multiply_row(long kc, int nv, const real *x, const real *s, const real *y,
                                                           real *w, real *z, int accumulate) {
    if (nv == 2) row_body(2, kc, x, s, y, w, z, accumulate);
    else row_body(1, kc, x, s, y, w, z, accumulate);
}

#endif
