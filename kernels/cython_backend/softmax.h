/* Cross-entropy of softmax for LANES rows at a time. They lie side by side, as columns of a transpose, so that every
   step along a row is one vector operation:

             row 0   row 1   ...  row LANES-1
       z0  [  ...                            ]   for each output c: the largest so far and where,
       z1  [  ...                            ]                      then e = exp(z - largest) and its sum,
       z2  [  ...                            ]                      then the gradient                       */

#ifndef FASTNN_SOFTMAX_H
#define FASTNN_SOFTMAX_H

#include "elementary.h"

typedef bits_t mask __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(real)), may_alias));

INLINE mask either(mask where, mask a, mask b) { return (where & a) | (~where & b); }

/* Shapes: e, s (n, LANES): logits in, gradient times factor out; target probabilities in, unless there are labels.
   label, value, best (LANES,): labels or NULL, losses out, columns of the largest logits out. a: label smoothing.
   Layout: rows of e and s are P apart.
   Aliasing: none; e in place, s is overwritten. */
static void softmax_columns(real a, long n, real factor, const int32_t *label, real *restrict e, real *restrict s,
                            real *value, int32_t *best) {
    const vec zero = {0}, all = zero + (1 - a), spread = zero + a / n;
    const mask none = {0};
    vec top = load(e), total = zero, mass = zero, dot = zero;
    mask at = none, right = none;
    for (long c = 1; c < n; c++) { /* the largest, or the first NaN */
        const vec z = load(e + c * P);
        const mask larger = (z > top) | ((z != z) & (top == top));
        top = (vec)either(larger, (mask)z, (mask)top);
        at = either(larger, none + (bits_t)c, at);
    }
    if (label) {
        for (int b = 0; b < LANES; b++) right[b] = label[b];
        for (long c = 0; c < n; c++) {
            const mask here = right == none + (bits_t)c;
            store(s + c * P, spread + (vec)(here & (mask)all));
            dot += (vec)(here & (mask)(all * load(e + c * P))); /* the others may be infinite: not even zero times */
        }
        if (a != 0) for (long c = 0; c < n; c++) dot += spread * load(e + c * P);
    } else {
        for (long c = 0; c < n; c++) {
            const vec t = load(s + c * P) * all + spread;
            store(s + c * P, t);
            dot += t * load(e + c * P);
        }
    }
    for (long c = 0; c < n; c++) {
        for (int b = 0; b < LANES; b++) e[c * P + b] = exp_(e[c * P + b] - top[b]);
        total += load(e + c * P);
        mass += load(s + c * P);
    }
    for (int b = 0; b < LANES; b++) {
        value[b] = mass[b] * (top[b] + log_(total[b])) - dot[b];
        best[b] = (int32_t)at[b];
    }
    total = mass / total;
    for (long c = 0; c < n; c++) store(e + c * P, (load(e + c * P) * total - load(s + c * P)) * (zero + factor));
}

#endif
