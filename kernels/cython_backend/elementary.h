/* Elementary functions of one number, without branches or calls, so that the compiler turns a loop over them into
   vector code. NaN in, NaN out; infinities as in IEEE. Errors are stated in units in the last place of the type, or,
   where it says "absolute", of one. */

#ifndef FASTNN_ELEMENTARY_H
#define FASTNN_ELEMENTARY_H

#include "tile.h"

#if defined(FASTNN_DOUBLE)
typedef int64_t bits_t;
typedef uint64_t ubits_t;
#define MANTISSA 52
#define EXPONENT_BIAS 1023
#define EXP_TOP 709.782712893384
#define EXP_BOTTOM -745.2
#define LN2_HIGH 6.93147180369123816490e-01 /* fdlibm's split of ln 2 */
#define LN2_LOW 1.90821492927058770002e-10
#define SHIFTER 6755399441055744.0 /* 1.5 * 2^52: adding it leaves the rounded integer in the low bits */
#define ATANH_TERMS 17
#else
typedef int32_t bits_t;
typedef uint32_t ubits_t;
#define MANTISSA 23
#define EXPONENT_BIAS 127
#define EXP_TOP 88.7228390f
#define EXP_BOTTOM -104.0f
#define LN2_HIGH 6.93359375e-1f /* Cephes' split of ln 2 */
#define LN2_LOW -2.12194440e-4f
#define SHIFTER 12582912.0f /* 1.5 * 2^23 */
#define ATANH_TERMS 8
#endif

#define REAL(x) ((real)(x))

INLINE bits_t bits_of(real x) {
    bits_t b;
    memcpy(&b, &x, sizeof b);
    return b;
}

INLINE real real_of(bits_t b) {
    real x;
    memcpy(&x, &b, sizeof x);
    return x;
}

INLINE real power_of_two(bits_t n) { return real_of((bits_t)((ubits_t)(n + EXPONENT_BIAS) << MANTISSA)); }

#if defined(FASTNN_DOUBLE)
INLINE real sqrt_(real x) { return sqrt(x); }
INLINE real log_(real x) { return log(x); }
#else
INLINE real sqrt_(real x) { return sqrtf(x); }
INLINE real log_(real x) { return logf(x); }
#endif

/* e^x within 2 ulp: x = n ln 2 + r with |r| <= ln 2 / 2, Taylor's series of e^r, then two factors whose product is
   2^n, because 2^n itself may not be representable at either end. */
INLINE real exp_(real x) {
    real t = x > REAL(EXP_TOP) ? REAL(EXP_TOP) : x;
    t = t < REAL(EXP_BOTTOM) ? REAL(EXP_BOTTOM) : t;
    const real shifted = t * REAL(1.44269504088896340736) + SHIFTER;
    const real n = shifted - SHIFTER;
    const bits_t whole = bits_of(shifted) - bits_of(SHIFTER), half = whole >> 1;
    const real r = (t - n * LN2_HIGH) - n * LN2_LOW;
#if defined(FASTNN_DOUBLE)
    real p = REAL(1.0 / 6227020800.0);
    p = p * r + REAL(1.0 / 479001600.0);
    p = p * r + REAL(1.0 / 39916800.0);
    p = p * r + REAL(1.0 / 3628800.0);
    p = p * r + REAL(1.0 / 362880.0);
    p = p * r + REAL(1.0 / 40320.0);
    p = p * r + REAL(1.0 / 5040.0);
#else
    real p = REAL(1.0 / 5040.0);
#endif
    p = p * r + REAL(1.0 / 720.0);
    p = p * r + REAL(1.0 / 120.0);
    p = p * r + REAL(1.0 / 24.0);
    p = p * r + REAL(1.0 / 6.0);
    p = p * r + REAL(0.5);
    p = p * r + REAL(1.0);
    p = p * r + REAL(1.0);
    p = p * power_of_two(half) * power_of_two(whole - half);
    return x > REAL(EXP_TOP) ? REAL(INFINITY) : p;
}

/* log(1 + t) for t in [0, 1], within 2 ulp: 2 atanh(t / (2 + t)) by its series. */
INLINE real log1p_unit(real t) {
    const real s = t / (REAL(2.0) + t), q = s * s;
    real p = REAL(1.0) / REAL(2 * ATANH_TERMS + 1);
    for (int i = ATANH_TERMS; i > 0; i--) p = p * q + REAL(1.0) / REAL(2 * i - 1);
    return REAL(2.0) * s * p;
}

INLINE real abs_(real x) { return x < 0 ? -x : x; }

INLINE real sigmoid(real x) { return REAL(1.0) / (REAL(1.0) + exp_(-x)); }

INLINE real softplus(real x) { return (x < 0 ? REAL(0.0) : x) + log1p_unit(exp_(-abs_(x))); }

/* tanh within 3 ulp: near zero its series, so that small numbers keep their digits. */
INLINE real tanh_(real x) {
    const real e = exp_(REAL(-2.0) * abs_(x)), q = x * x;
    const real far = (REAL(1.0) - e) / (REAL(1.0) + e);
    const real near = x + x * q * (REAL(-1.0 / 3) + q * (REAL(2.0 / 15) + q * (REAL(-17.0 / 315) + q * REAL(62.0 / 2835))));
    return abs_(x) < REAL(sizeof(real) == 4 ? 0.25 : 0.02) ? near : x < 0 ? -far : far;
}

/* The normal distribution function. float: Abramowitz and Stegun 7.1.26, 1.5e-7 absolute in erf; double: libm. */
INLINE real normal_cdf(real x) {
#if defined(FASTNN_DOUBLE)
    return 0.5 + 0.5 * erf(x * 0.70710678118654752440);
#else
    const real z = abs_(x) * 0.70710678118654752440f, t = 1.0f / (1.0f + 0.3275911f * z);
    real p = 1.061405429f;
    p = p * t - 1.453152027f;
    p = p * t + 1.421413741f;
    p = p * t - 0.284496736f;
    p = p * t + 0.254829592f;
    const real tail = 0.5f * p * t * exp_(-z * z);
    return x < 0 ? tail : 1.0f - tail;
#endif
}

INLINE real normal_pdf(real x) { return REAL(0.39894228040143267794) * exp_(REAL(-0.5) * x * x); }

/* One element's dropout hash; see kernels/dropout.py. */
INLINE uint32_t dropout_hash(uint32_t element, uint32_t first, uint32_t second) {
    uint32_t h = element + first;
    h ^= h >> 16;
    h *= 0x7FEB352Du;
    h ^= second;
    h ^= h >> 15;
    h *= 0x846CA68Bu;
    h ^= h >> 16;
    return h;
}

INLINE uint64_t splitmix64(uint64_t x) {
    x += 0x9E3779B97F4A7C15u;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return x ^ (x >> 31);
}

INLINE vec broadcast(real x) { return x - (vec){0}; }

/* Roots and quotients of vectors that are not negative, to 2 ulp. The divider of most processors takes ten times as
   long as a multiplication, so where there are estimates one Newton step each makes them good. Zero has the root 0,
   infinity the root infinity and the reciprocal 0, NaN stays NaN: the step by itself would make 0 * infinity of them. */
#if defined(__AVX512DQ__) && !defined(FASTNN_DOUBLE)
#include <immintrin.h>
INLINE vec root(vec v) {
    const __mmask16 inner = _knot_mask16(_mm512_fpclass_ps_mask((__m512)v, 0x1e)); /* neither zero nor infinite */
    const __m512 r = _mm512_maskz_rsqrt14_ps(inner, (__m512)v), s = _mm512_mask_mul_ps((__m512)v, inner, (__m512)v, r);
    return (vec)s + (broadcast(0.5f) * (vec)r) * (vec)_mm512_maskz_fnmadd_ps(inner, s, s, (__m512)v);
}
#define ESTIMATE_ROOT(v) ((vec)_mm512_rsqrt14_ps((__m512)(v)))
#define ESTIMATE_RECIPROCAL(v) ((vec)_mm512_rcp14_ps((__m512)(v)))
#define AT_LEAST(v) ((vec)_mm512_max_ps((__m512)broadcast(1e-37f), (__m512)(v)))
#define AT_MOST(v) ((vec)_mm512_min_ps((__m512)broadcast(3e38f), (__m512)(v)))
#elif defined(__AVX__) && !defined(FASTNN_DOUBLE)
#include <immintrin.h>
#define ESTIMATE_ROOT(v) ((vec)_mm256_rsqrt_ps((__m256)(v)))
#define ESTIMATE_RECIPROCAL(v) ((vec)_mm256_rcp_ps((__m256)(v)))
#define AT_LEAST(v) ((vec)_mm256_max_ps((__m256)broadcast(1e-37f), (__m256)(v)))
#define AT_MOST(v) ((vec)_mm256_min_ps((__m256)broadcast(3e38f), (__m256)(v)))
INLINE vec root(vec v) {
    const vec u = AT_MOST(v), r = ESTIMATE_ROOT(AT_LEAST(u)), s = u * r;
    return s + (broadcast(0.5f) * r) * (u - s * s) + (v - u);
}
#endif

#if defined(ESTIMATE_ROOT)
INLINE vec reciprocal_root(vec v) {
    const vec low = AT_LEAST(v), r = ESTIMATE_ROOT(low);
    return r * (broadcast(1.5f) - broadcast(0.5f) * AT_MOST(low) * r * r);
}
INLINE vec quotient(vec a, vec b) {
    const vec r = ESTIMATE_RECIPROCAL(b);
    return a * (r + r * (broadcast(1.0f) - AT_MOST(b) * r));
}
#else
INLINE vec root(vec v) {
    for (int i = 0; i < LANES; i++) v[i] = sqrt_(v[i]);
    return v;
}
INLINE vec quotient(vec a, vec b) { return a / b; }
INLINE vec reciprocal_root(vec v) { return quotient(broadcast(1), root(v)); }
#endif

/* One vector of parameters through an optimiser; see kernels/optimizers.py.
   Shapes: w, m, v, g (LANES,), and u. Layout: contiguous. Aliasing: w, m, v in place, g apart. */
INLINE void adam_vector(real *w, real *m, real *v, const real *g, real rate, real c1, real c2, real epsilon) {
    const vec slope = load(g), mean = load(m) + (slope - load(m)) * c1;
    const vec square = load(v) + (slope * slope - load(v)) * c2;
    store(m, mean);
    store(v, square);
    store(w, load(w) - quotient(rate * mean, root(square) + epsilon));
}

INLINE void rmsprop_vector(real *w, real *v, const real *g, real rate, real c1, real c2, real epsilon) {
    const vec slope = load(g), square = load(v) * c1 + (c2 * slope) * slope;
    store(v, square);
    store(w, load(w) - rate * slope * reciprocal_root(square + epsilon));
}

INLINE void adagrad_vector(real *w, real *v, const real *g, real rate, real epsilon) {
    const vec slope = load(g), sum = load(v) + slope * slope;
    store(v, sum);
    store(w, load(w) - rate * slope * reciprocal_root(sum + epsilon));
}

INLINE void adamax_vector(real *w, real *m, real *u, const real *g, real rate, real c1, real c2, real epsilon) {
    const vec slope = load(g), mean = load(m) + (slope - load(m)) * c1;
    for (int i = 0; i < LANES; i++) { /* NaN stays */
        const real size = abs_(g[i]), old = c2 * u[i];
        u[i] = size < old ? old : size;
    }
    store(m, mean);
    store(w, load(w) - quotient(rate * mean, load(u) + epsilon));
}

INLINE void nadam_vector(real *w, real *m, real *v, const real *g, real rate, real ahead, real c1, real c2,
                         real epsilon) {
    const vec slope = load(g), mean = load(m) + (slope - load(m)) * c1;
    const vec square = load(v) + (slope * slope - load(v)) * c2;
    store(m, mean);
    store(v, square);
    store(w, load(w) - quotient(rate * mean + ahead * slope, root(square) + epsilon));
}

/* Denormal results and operands count as zero between flush_denormals and restore_denormals: on most machines each
   costs a hundred cycles. The caller's mode comes back. */
#if defined(__SSE2__)
#include <immintrin.h>
typedef unsigned int fp_state;
INLINE fp_state flush_denormals(void) {
    fp_state old = _mm_getcsr();
    _mm_setcsr(old | 0x8040);
    return old;
}
INLINE void restore_denormals(fp_state old) { _mm_setcsr(old); }
#elif defined(__aarch64__)
typedef uint64_t fp_state;
INLINE fp_state flush_denormals(void) {
    fp_state old;
    __asm__ __volatile__("mrs %0, fpcr" : "=r"(old));
    __asm__ __volatile__("msr fpcr, %0" ::"r"(old | (1u << 24)));
    return old;
}
INLINE void restore_denormals(fp_state old) { __asm__ __volatile__("msr fpcr, %0" ::"r"(old)); }
#else
typedef int fp_state;
INLINE fp_state flush_denormals(void) { return 0; }
INLINE void restore_denormals(fp_state old) { (void)old; }
#endif

#endif
