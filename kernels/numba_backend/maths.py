"""Elementary functions without branches or library calls, so that LLVM turns loops of them into vector code.

float32 has its own formulas (after Moshier's Cephes); float64 calls the C library. NaN propagates; exp reaches Inf
and 0 at the ends.
"""

import math

import numpy as np
from numba import types
from numba.extending import overload

from .cache import jit
from .intrinsics import as_float32, as_int32

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
_ONE, _TWO, _HALF = np.float32(1.0), np.float32(2.0), np.float32(0.5)
_SMALL = np.float32(0.625)
_ATANH = tuple(np.float32(2.0 / k) for k in (3, 5, 7, 9, 11, 13, 15))


@jit
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


@jit
def _exp32(x):
    low, high, p = _reduce(x)
    return (p + _ONE) * low * high


@jit
def _expm132(x):
    low, high, p = _reduce(x)
    scale = low * high
    return p * scale + (scale - _ONE)


@jit
def _tanh32(x):
    z = x * x
    small = ((((_T4 * z + _T3) * z + _T2) * z + _T1) * z + _T0) * z * x + x
    large = _ONE - _TWO / (_exp32(_TWO * abs(x)) + _ONE)
    large = -large if x < 0 else large
    return small if abs(x) < _SMALL else large


@jit
def _log1p32(e):
    # log(1 + e) = 2 atanh(e / (2 + e)), whose argument stays within 1/3 here.
    s = e / (_TWO + e)
    z = s * s
    c3, c5, c7, c9, c11, c13, c15 = _ATANH
    return ((((((c15 * z + c13) * z + c11) * z + c9) * z + c7) * z + c5) * z + c3) * z * s + _TWO * s


def exp(x):
    """e to the power x."""


def expm1(x):
    """e to the power x, minus 1; x <= 0."""


def tanh(x):
    """Hyperbolic tangent."""


def log1p(x):
    """Logarithm of 1 + x; 0 <= x <= 1."""


def _declare(stub, single, double):
    @overload(stub)
    def choose(x):
        if x == types.float32:
            return lambda x: single(x)
        return lambda x: double(x)


_declare(exp, _exp32, math.exp)
_declare(expm1, _expm132, math.expm1)
_declare(tanh, _tanh32, math.tanh)
_declare(log1p, _log1p32, math.log1p)
