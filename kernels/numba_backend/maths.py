"""Elementary functions, and sums and maxima of rows.

float32 has formulas of its own (after Moshier's Cephes), without branches or calls, so that LLVM turns loops of them
into vector code; float64 calls the C library, a number at a time. NaN propagates; exp reaches Inf and 0 at the ends.
"""

import math

import numpy as np
from numba import types
from numba.extending import overload

from .cache import inline, jit
from .intrinsics import as_float32, as_int32, outlined, select

# Adding and subtracting 1.5 * 2^23 rounds to an integer, which then stands in the low bits.
_MAGIC = np.float32(12582912.0)
_MAGIC_BITS = 0x4B400000
_LOG2E = np.float32(1.4426950408889634)
_LN2_HIGH, _LN2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)
_LOWEST, _HIGHEST = np.float32(-105.0), np.float32(90.0)
_E5, _E4, _E3, _E2, _E1, _E0 = (
    np.float32(c) for c in (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 0.5)
)
_T4, _T3, _T2, _T1, _T0 = (
    np.float32(c) for c in (-5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2, 1.33314422036e-1, -3.33332819422e-1)
)
_F6, _F5, _F4, _F3, _F2, _F1, _F0 = (
    np.float32(c)
    for c in (
        7.853861353153693e-5, -8.010193625184903e-4, 5.188327685732524e-3, -2.685381193529856e-2,
        1.128358514861418e-1, -3.761262582423300e-1, 1.128379165726710,
    )
)  # fmt: skip
_P8, _P7, _P6, _P5, _P4, _P3, _P2, _P1, _P0 = (
    np.float32(c)
    for c in (
        2.326819970068386e-2, -1.387039388740657e-1, 3.687424674597105e-1, -5.824733027278666e-1,
        6.210004621745983e-1, -4.944515323274145e-1, 3.404879937665872e-1, -2.741127028184656e-1,
        5.638259427386472e-1,
    )
)  # fmt: skip
_R7, _R6, _R5, _R4, _R3, _R2, _R1, _R0 = (
    np.float32(c)
    for c in (
        -1.047766399936249e1, 1.297719955372516e1, -7.495518717768503, 2.921019019210786,
        -1.015265279202700, 4.218463358204948e-1, -2.820767439740514e-1, 5.641895067754075e-1,
    )
)  # fmt: skip
_SQRT_HALF = np.float32(math.sqrt(0.5))
_ZERO, _HALF, _ONE, _TWO = np.float32(0.0), np.float32(0.5), np.float32(1.0), np.float32(2.0)
_SMALL = np.float32(0.625)
_ATANH = tuple(np.float32(2.0 / k) for k in (3, 5, 7, 9, 11, 13, 15))


@inline
def _reduce(x):
    # x = n ln 2 + r with |r| <= ln 2 / 2; 2^n as two factors, for 2^128 alone is no float32; e^r - 1.
    x = _LOWEST if x < _LOWEST else x
    x = _HIGHEST if x > _HIGHEST else x
    rounded = x * _LOG2E + _MAGIC
    n = np.int32(as_int32(rounded) - _MAGIC_BITS)
    n = np.int32(min(max(n, -160), 160))  # NaN has any bits
    rounded -= _MAGIC
    r = x - rounded * _LN2_HIGH - rounded * _LN2_LOW
    half = np.int32(n >> 1)
    low = as_float32(np.int32((half + 127) << 23))
    high = as_float32(np.int32((n - half + 127) << 23))
    p = ((((_E5 * r + _E4) * r + _E3) * r + _E2) * r + _E1) * r + _E0
    return low, high, p * (r * r) + r


@inline
def _exp32(x):
    low, high, p = _reduce(x)
    return (p + _ONE) * low * high


@inline
def _expm132(x):
    low, high, p = _reduce(x)
    scale = low * high
    return p * scale + (scale - _ONE)


@inline
def _tanh32(x):
    z = x * x
    small = ((((_T4 * z + _T3) * z + _T2) * z + _T1) * z + _T0) * z * x + x
    large = _ONE - _TWO / (_exp32(_TWO * abs(x)) + _ONE)
    large = select(x < _ZERO, -large, large)
    return select(abs(x) < _SMALL, small, large)


@inline
def _log1p32(e):
    # log(1 + e) = 2 atanh(e / (2 + e)), whose argument stays within 1/3 here.
    s = e / (_TWO + e)
    z = s * s
    c3, c5, c7, c9, c11, c13, c15 = _ATANH
    return ((((((c15 * z + c13) * z + c11) * z + c9) * z + c7) * z + c5) * z + c3) * z * s + _TWO * s


@inline
def _normal_cdf32(x):
    # Cephes' erf within 1, its erfc beyond, and no difference of nearly equal numbers on the way.
    u = abs(x) * _SQRT_HALF
    z = u * u
    p = (((((_F6 * z + _F5) * z + _F4) * z + _F3) * z + _F2) * z + _F1) * z + _F0
    near = _HALF + _HALF * (p * (x * _SQRT_HALF))
    q = _ONE / select(u > _ONE, u, _ONE)
    y = q * q
    middle = (((((((_P8 * y + _P7) * y + _P6) * y + _P5) * y + _P4) * y + _P3) * y + _P2) * y + _P1) * y + _P0
    outer = ((((((_R7 * y + _R6) * y + _R5) * y + _R4) * y + _R3) * y + _R2) * y + _R1) * y + _R0
    tail = _HALF * (_exp32(-z) * q * select(u < _TWO, middle, outer))
    far = select(x < _ZERO, tail, _ONE - tail)
    return select(u > _ONE, far, near)  # NaN is near


@inline
def _normal_cdf64(x):
    return 0.5 + 0.5 * math.erf(x * math.sqrt(0.5))


def exp(x):
    """e to the power x."""


def expm1(x):
    """e to the power x, minus 1; x <= 0."""


def tanh(x):
    """Hyperbolic tangent."""


def log1p(x):
    """Logarithm of 1 + x; 0 <= x <= 1."""


def normal_cdf(x):
    """Distribution function of the standard normal distribution."""


def _declare(stub, single, double):
    @overload(stub, jit_options={"forceinline": True})
    def choose(x):
        if x == types.float32:
            return lambda x: single(x)
        return lambda x: double(x)


_declare(exp, _exp32, math.exp)
_declare(expm1, _expm132, math.expm1)
_declare(tanh, _tanh32, math.tanh)
_declare(log1p, _log1p32, math.log1p)
_declare(normal_cdf, _normal_cdf32, _normal_cdf64)


@jit
def add(x):
    """The sum of an array, in float64 and in a fixed order."""
    outlined()
    # Four sums side by side: one alone would wait for each addition.
    a, b, c, d = 0.0, 0.0, 0.0, 0.0
    n = len(x)
    whole = n - n % 4
    for j in range(0, whole, 4):
        a += x[j]
        b += x[j + 1]
        c += x[j + 2]
        d += x[j + 3]
    for j in range(whole, n):
        a += x[j]
    return (a + b) + (c + d)


@jit
def largest(x):
    """The largest number of an array; any where some are NaN."""
    outlined()
    a, b, c, d = x[0], x[0], x[0], x[0]
    n = len(x)
    whole = n - n % 4
    for j in range(0, whole, 4):
        a = x[j] if x[j] > a else a
        b = x[j + 1] if x[j + 1] > b else b
        c = x[j + 2] if x[j + 2] > c else c
        d = x[j + 3] if x[j + 3] > d else d
    for j in range(whole, n):
        a = x[j] if x[j] > a else a
    a = b if b > a else a
    c = d if d > c else c
    return c if c > a else a
