/* The register tile, and the width of a vector register, which everything else follows.

   Every matrix lives in panels of P = 2 * LANES columns. A tile is up to MR rows of one panel, held in registers
   while the summed index runs:

                          b: panel of the right factor, rows of P
                          +--------+--------+
                       k  |  b0    |   b1   |        per k: two vector loads of b,
                          +--------+--------+        MR scalars of a, each broadcast,
       a: MR x kc         +--------+--------+        2 * MR fused multiply-adds
          r | a(r, k) |   | acc r0 | acc r1 |
                          +--------+--------+
                          c: MR rows of P

   The left factor is read where it lies, in one of two ways. Natural: its rows are rows of panels, so a(r, k) is P
   apart in r, 1 apart in k, and after P values of k the next panel follows `jump` further on; or they are rows of a
   plain matrix, `step` apart in r, with a jump of P. Transposed: its rows are the columns of a panel, so a(r, k) is 1
   apart in r and P apart in k. Nothing is packed. */

#ifndef FASTNN_TILE_H
#define FASTNN_TILE_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(FASTNN_DOUBLE)
typedef double real;
#else
typedef float real;
#endif

/* Registers: 32 of 64 bytes, 16 of 32, or 16 (32 on Arm) of 16. A vector wider than the machine's registers would be
   taken apart into scalars, so the width follows the instruction set that this file is compiled for. */
#if defined(__AVX512F__)
#define VECTOR_BYTES 64
#define MR 8
#elif defined(__AVX__)
#define VECTOR_BYTES 32
#define MR 6
#else
#define VECTOR_BYTES 16
#define MR 6
#endif

#if defined(FASTNN_DOUBLE)
#define LANES (VECTOR_BYTES / 8)
#else
#define LANES (VECTOR_BYTES / 4)
#endif
#define P (2 * LANES)
/* Whether products of large matrices are made on the matrix unit, in blocks: see parts.h. */
#if defined(__AMX_BF16__) && !defined(FASTNN_DOUBLE)
#define MATRIX_UNIT 1
#else
#define MATRIX_UNIT 0
#endif
/* Threads that share out rows take multiples of this, of a tile and of a square to transpose, so that neither is ever
   cut where one thread alone would not cut it; where any layer computes by blocks, multiples of P. */
#define ROWS_TOGETHER (MR == 8 ? LANES : 3 * LANES)

typedef real vec __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(real)), may_alias));

#define INLINE static inline __attribute__((always_inline))

INLINE vec load(const real *p) { return *(const vec *)p; }
INLINE void store(real *p, vec v) { *(vec *)p = v; }

#define ALL _Pragma("GCC unroll 32") /* accumulators stay in registers only if every index is a constant */

/* The products of one value of k, into the accumulators of `way`. */
#define MULTIPLY_ADD(way)                                                   \
    {                                                                        \
        const vec b0 = load(b), b1 = nv == 2 ? load(b + LANES) : b0;         \
        ALL for (int r = 0; r < mr; r++) {                                   \
            const vec x = q[r * rs] - (vec){0};                              \
            acc[(way) * mr + r][0] += x * b0;                                \
            if (nv == 2) acc[(way) * mr + r][1] += x * b1;                   \
        }                                                                    \
        q += ks;                                                             \
        b += P;                                                              \
    }

/* acc (mr x nv vectors) += a (mr x n) b (n x P). */
#define MULTIPLY_ADD_ALL(n)                                                              \
    {                                                                                    \
        long k = 0;                                                                      \
        for (; k + 4 <= (n); k += 4) ALL for (int u = 0; u < 4; u++) MULTIPLY_ADD(u % ways) \
        for (; k < (n); k++) MULTIPLY_ADD(0)                                             \
    }

/* Shapes: a mr x kc, b kc x P, c mr x P; only the first nv vectors of a row of b and c are touched.
   Layout: a(r, k) at a[r * rs + k * ks] within a run of P values of k (natural) or all of them (jump = 0).
   Aliasing: none. */
INLINE void tile_body(const int mr, const int nv, const long rs, const long ks, long jump, long kc, const real *a,
                      const real *b, real *c, int accumulate) {
    const vec zero = {0};
    /* One or two rows would wait for each addition to finish before the next: they get several sums each. */
    const int ways = mr == 1 ? 4 : mr == 2 ? 2 : 1;
    const real *q = a;
    vec acc[MR][2];
    ALL for (int r = 0; r < ways * mr; r++) ALL for (int v = 0; v < nv; v++) acc[r][v] = zero;
    if (accumulate) {
        ALL for (int r = 0; r < mr; r++) ALL for (int v = 0; v < nv; v++) acc[r][v] = load(c + r * P + v * LANES);
    }
    if (jump) {
        for (; kc >= P; kc -= P) {
            MULTIPLY_ADD_ALL(P)
            q = a += jump;
        }
    }
    MULTIPLY_ADD_ALL(kc)
    ALL for (int r = mr; r < ways * mr; r++) ALL for (int v = 0; v < nv; v++) acc[r % mr][v] += acc[r][v];
    ALL for (int r = 0; r < mr; r++) ALL for (int v = 0; v < nv; v++) store(c + r * P + v * LANES, acc[r][v]);
}

#define TILE_CASE(m)                                                                          \
    case m:                                                                                   \
        if (nv == 2) tile_body(m, 2, rs, ks, jump, kc, a, b, c, accumulate);             \
        else tile_body(m, 1, rs, ks, jump, kc, a, b, c, accumulate);                     \
        return;

/* tile_body for as many rows and vectors as there are. */
INLINE void tile_any(const long rs, const long ks, long jump, long mr, int nv, long kc, const real *a,
                     const real *b, real *c, int accumulate) {
    switch (mr) {
        TILE_CASE(1)
        TILE_CASE(2)
        TILE_CASE(3)
        TILE_CASE(4)
        TILE_CASE(5)
        TILE_CASE(6)
#if MR > 6
        TILE_CASE(7)
        TILE_CASE(8)
#endif
    }
}

/* Shapes, aliasing: as tile_body. Layout: a natural, rows `step` apart. */
static __attribute__((noinline)) void tile_natural(long mr, int nv, long kc, const real *a, long step, long jump,
                                                   const real *b, real *c, int accumulate) {
    if (step == P) tile_any(P, 1, jump, mr, nv, kc, a, b, c, accumulate);
    else tile_any(step, 1, jump, mr, nv, kc, a, b, c, accumulate);
}

/* Shapes, aliasing: as tile_body. Layout: a transposed. */
static __attribute__((noinline)) void tile_transposed(long mr, int nv, long kc, const real *a, const real *b, real *c,
                                                      int accumulate) {
    tile_any(1, P, 0, mr, nv, kc, a, b, c, accumulate);
}

/* One tile after the other. Shapes: c rows x P; else as tile_natural. */
static inline void tiles_natural(long rows, int nv, long kc, const real *a, long step, long jump, const real *b,
                                 real *c, int accumulate) {
    for (; rows > 0; rows -= MR, a += MR * step, c += MR * P)
        tile_natural(rows < MR ? rows : MR, nv, kc, a, step, jump, b, c, accumulate);
}

/* Shapes: c rows x P, rows at most P; else as tile_transposed. */
static inline void tiles_transposed(long rows, int nv, long kc, const real *a, const real *b, real *c, int accumulate) {
    for (; rows > 0; rows -= MR, a += MR, c += MR * P)
        tile_transposed(rows < MR ? rows : MR, nv, kc, a, b, c, accumulate);
}

#endif
