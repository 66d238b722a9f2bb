/* Standard normal numbers from a counter; see kernels/dropout.py. Without branches or calls, like elementary.h. */

#ifndef FASTNN_NOISE_H
#define FASTNN_NOISE_H

#include "elementary.h"

#if defined(FASTNN_DOUBLE)
#define LOG_TERMS 11
#define SIN_TERMS 10
#else
#define LOG_TERMS 5
#define SIN_TERMS 6
#endif

/* -log of k / 2^24, for k from 1 to 2^24, within 2 ulp: the exponent, and 2 atanh(s) of what is left by its series. */
INLINE real minus_log(uint32_t k) {
    const float u = (float)(int32_t)k; /* exact */
    int32_t bits;
    memcpy(&bits, &u, sizeof bits);
    const int32_t exponent = (bits - 0x3F3504F3) >> 23; /* so that the rest is from sqrt(1/2) to sqrt(2) */
    const int32_t rest = bits - exponent * (1 << 23);
    float m;
    memcpy(&m, &rest, sizeof m);
    const real s = ((real)m - REAL(1.0)) / ((real)m + REAL(1.0)), q = s * s;
    real p = REAL(1.0) / REAL(2 * LOG_TERMS + 1);
    for (int i = LOG_TERMS; i > 0; i--) p = p * q + REAL(1.0) / REAL(2 * i - 1);
    return (REAL(24 - exponent)) * REAL(0.69314718055994530942) - REAL(2.0) * s * p;
}

/* cos(2 pi k / 2^24) for k below 2^24: the sine of what is missing to a quarter turn, by its series. */
INLINE real turn_cosine(uint32_t k) {
    const real t = REAL((int32_t)k - (1 << 23)) * REAL(1.0 / (1 << 24)), a = abs_(t) - REAL(0.25);
    const real x = a * REAL(6.28318530717958647693), q = x * x;
    real p = REAL(1.0);
    for (int i = SIN_TERMS; i > 0; i--) p = REAL(1.0) - q * REAL(1.0 / ((2.0 * i) * (2.0 * i + 1.0))) * p;
    return x * p;
}

/* Box and Muller 1958. */
INLINE real normal_noise(uint32_t element, uint32_t first, uint32_t second) {
    const uint32_t radius = (dropout_hash(element, first, second) >> 8) + 1;
    const uint32_t angle = dropout_hash(element, second, first) >> 8;
    return sqrt_(REAL(2.0) * minus_log(radius)) * turn_cosine(angle);
}

#endif
