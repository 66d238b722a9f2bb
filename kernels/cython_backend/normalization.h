/* Batch and layer normalisation of a block in panels. Formulas: kernels/normalization.py.

   A sum over rows is collected in vectors for SUMMED rows at a time and then in double; one over a row in vectors and
   then in double. The order is always the same. */

#ifndef FASTNN_NORMALIZATION_H
#define FASTNN_NORMALIZATION_H

#include "elementary.h"

#define SUMMED 64

INLINE void add_vectors(double *total, vec low, vec high) {
    for (int c = 0; c < LANES; c++) total[c] += low[c], total[LANES + c] += high[c];
}

/* Mean and variance of every column.
   Shapes: x (m, P); mean, variance (P,). Layout: a panel. Aliasing: none. */
static void column_moments(const real *x, long m, real *mean, real *variance) {
    double sum[P] = {0}, squares[P] = {0};
    for (long b = 0; b < m; b += SUMMED) {
        const long end = m - b < SUMMED ? m : b + SUMMED;
        vec low = {0}, high = {0};
        for (long r = b; r < end; r++) low += load(x + r * P), high += load(x + r * P + LANES);
        add_vectors(sum, low, high);
    }
    for (int c = 0; c < P; c++) mean[c] = (real)(sum[c] / m);
    const vec m0 = load(mean), m1 = load(mean + LANES);
    for (long b = 0; b < m; b += SUMMED) {
        const long end = m - b < SUMMED ? m : b + SUMMED;
        vec low = {0}, high = {0};
        for (long r = b; r < end; r++) {
            const vec d0 = load(x + r * P) - m0, d1 = load(x + r * P + LANES) - m1;
            low += d0 * d0, high += d1 * d1;
        }
        add_vectors(squares, low, high);
    }
    for (int c = 0; c < P; c++) variance[c] = (real)(squares[c] / m);
}

/* y = (x - mean) * factor + offset.
   Shapes: x, y (rows, P); the others (P,). Layout: panels. Aliasing: none. */
static void scale_columns(const real *x, long rows, const real *mean, const real *factor, const real *offset, real *y) {
    const vec m0 = load(mean), m1 = load(mean + LANES), f0 = load(factor), f1 = load(factor + LANES);
    const vec o0 = load(offset), o1 = load(offset + LANES);
    for (long r = 0; r < rows * P; r += P) {
        store(y + r, (load(x + r) - m0) * f0 + o0);
        store(y + r + LANES, (load(x + r + LANES) - m1) * f1 + o1);
    }
}

/* Sums of dz (x - mean) and of dz over the rows.
   Shapes: dz, x (m, P); the others (P,). Layout: panels. Aliasing: none. */
static void column_slopes(const real *dz, const real *x, long m, const real *mean, double *products, double *sums) {
    const vec m0 = load(mean), m1 = load(mean + LANES);
    memset(products, 0, P * sizeof(double));
    memset(sums, 0, P * sizeof(double));
    for (long b = 0; b < m; b += SUMMED) {
        const long end = m - b < SUMMED ? m : b + SUMMED;
        vec low = {0}, high = {0}, s0 = {0}, s1 = {0};
        for (long r = b; r < end; r++) {
            const vec d0 = load(dz + r * P), d1 = load(dz + r * P + LANES);
            s0 += d0, s1 += d1;
            low += d0 * (load(x + r * P) - m0), high += d1 * (load(x + r * P + LANES) - m1);
        }
        add_vectors(products, low, high);
        add_vectors(sums, s0, s1);
    }
}

/* dx = (dz - shift - (x - mean) * slope) * factor.
   Shapes: dz, x, dx (rows, P); the others (P,). Layout: panels. Aliasing: none. */
static void column_gradient(const real *dz, const real *x, long rows, const real *mean, const real *shift,
                            const real *slope, const real *factor, real *dx) {
    const vec m0 = load(mean), m1 = load(mean + LANES), f0 = load(factor), f1 = load(factor + LANES);
    const vec a0 = load(shift), a1 = load(shift + LANES), b0 = load(slope), b1 = load(slope + LANES);
    for (long r = 0; r < rows * P; r += P) {
        store(dx + r, (load(dz + r) - a0 - (load(x + r) - m0) * b0) * f0);
        store(dx + r + LANES, (load(dz + r + LANES) - a1 - (load(x + r + LANES) - m1) * b1) * f1);
    }
}

INLINE double fold_vectors(vec low, vec high) {
    double total = 0;
    for (int c = 0; c < LANES; c++) total += (double)low[c] + high[c];
    return total;
}

/* The last panel of a row with zeros, or what else is given, where it is padded. */
INLINE void cut_row(const real *row, long columns, real padding, real *out) {
    for (int c = 0; c < P; c++) out[c] = c < columns ? row[c] : padding;
}

/* Mean of one row, and one over its standard deviation.
   Shapes: x (n,). Layout: its panels are `jump` apart. Aliasing: none. */
static void row_moments(const real *x, long jump, long n, real epsilon, real *mean, real *factor) {
    real last[P];
    const real *q = x;
    long left = n;
    vec low = {0}, high = {0};
    for (; left >= P; left -= P, q += jump) low += load(q), high += load(q + LANES);
    if (left) {
        cut_row(q, left, 0, last);
        low += load(last), high += load(last + LANES);
    }
    mean[0] = (real)(fold_vectors(low, high) / n);
    const vec middle = broadcast(mean[0]);
    low = high = (vec){0};
    for (q = x, left = n; left >= P; left -= P, q += jump) {
        const vec d0 = load(q) - middle, d1 = load(q + LANES) - middle;
        low += d0 * d0, high += d1 * d1;
    }
    if (left) {
        cut_row(q, left, mean[0], last);
        const vec d0 = load(last) - middle, d1 = load(last + LANES) - middle;
        low += d0 * d0, high += d1 * d1;
    }
    factor[0] = REAL(1.0) / sqrt_((real)(fold_vectors(low, high) / n) + epsilon);
}

/* y = (x - mean) * factor * gamma + beta for one row.
   Shapes: x, y, gamma, beta (n,). Layout: panels, those of x and y `jump` apart. Aliasing: none. */
static void scale_row(const real *x, long jump, long n, real mean, real factor, const real *gamma, const real *beta,
                      real *y) {
    for (long left = n; left > 0; left -= P, x += jump, y += jump, gamma += P, beta += P)
        for (int c = 0; c < P; c++) y[c] = (x[c] - mean) * factor * gamma[c] + beta[c];
}

/* Gradient by one row of x, given that by the pre-activation: with g = dz gamma and h the normalised x,
   dx = factor (g - mean(g) - h mean(g h)).
   Shapes: dz, x, dx, gamma (n,). Layout: panels, those of all but gamma `jump` apart. Aliasing: none. */
static void row_gradient(const real *dz, const real *x, long jump, long n, real mean, real factor, const real *gamma,
                         real *dx) {
    real g[P], d[P];
    double sum = 0, product = 0;
    long at = 0, left = n;
    vec s0 = {0}, s1 = {0}, low = {0}, high = {0};
    for (long j = 0; left > 0; left -= P, at += jump, j += P) {
        for (int c = 0; c < P; c++) {
            const int inside = c < left;
            g[c] = inside ? dz[at + c] * gamma[j + c] : 0;
            d[c] = inside ? x[at + c] - mean : 0;
        }
        s0 += load(g), s1 += load(g + LANES);
        low += load(g) * load(d), high += load(g + LANES) * load(d + LANES);
    }
    sum = fold_vectors(s0, s1) / n;
    product = fold_vectors(low, high) / n;
    const real shift = (real)sum, slope = (real)product * factor * factor;
    for (at = 0, left = n; left > 0; left -= P, at += jump, gamma += P)
        for (int c = 0; c < P; c++) dx[at + c] = factor * (dz[at + c] * gamma[c] - shift - (x[at + c] - mean) * slope);
}

/* Sums over the rows of dz h and of dz, with h the x that is normalised row by row.
   Shapes: dz, x (m, P); mean, factor (m,); the others (P,). Layout: panels. Aliasing: none. */
static void row_slopes(const real *dz, const real *x, long m, const real *mean, const real *factor, double *products,
                       double *sums) {
    memset(products, 0, P * sizeof(double));
    memset(sums, 0, P * sizeof(double));
    for (long b = 0; b < m; b += SUMMED) {
        const long end = m - b < SUMMED ? m : b + SUMMED;
        vec low = {0}, high = {0}, s0 = {0}, s1 = {0};
        for (long r = b; r < end; r++) {
            const vec d0 = load(dz + r * P), d1 = load(dz + r * P + LANES);
            s0 += d0, s1 += d1;
            low += d0 * ((load(x + r * P) - mean[r]) * factor[r]);
            high += d1 * ((load(x + r * P + LANES) - mean[r]) * factor[r]);
        }
        add_vectors(products, low, high);
        add_vectors(sums, s0, s1);
    }
}

#endif
