"""Standard normal numbers from a counter, and Gaussian noise on a row. Formulas: `kernels.dropout`."""

import math

import numpy as np
from numba import types
from numba.extending import overload

from .activations import dropout_hash
from .cache import inline, jit
from .intrinsics import as_float32, as_int32, cast, outlined


def _terms(x):
    """How many terms the series of logarithm and sine take."""


@overload(_terms)
def _choose(x):
    if x == types.float32:
        return lambda x: (5, 6)
    return lambda x: (11, 10)


@inline
def _minus_log(like, k):
    # -log(k / 2^24): the exponent, and 2 atanh(s) of what is left by its series.
    bits = as_int32(np.float32(k))
    exponent = np.int32((bits - np.int32(0x3F3504F3)) >> np.int32(23))
    m = cast(like, as_float32(np.int32(bits - (exponent << np.int32(23)))))
    one, two = cast(like, 1.0), cast(like, 2.0)
    s = (m - one) / (m + one)
    q, terms = s * s, _terms(like)[0]
    p = cast(like, 1.0 / (2 * terms + 1))
    for i in range(terms):
        p = p * q + cast(like, 1.0 / (2 * (terms - i) - 1))
    return cast(like, 24 - exponent) * cast(like, math.log(2.0)) - two * s * p


@inline
def _turn_cosine(like, k):
    # cos(2 pi k / 2^24): the sine of what is missing to a quarter turn.
    t = cast(like, np.int32(k) - (1 << 23)) * cast(like, 1.0 / (1 << 24))
    x = (abs(t) - cast(like, 0.25)) * cast(like, 2.0 * math.pi)
    q, one, terms = x * x, cast(like, 1.0), _terms(like)[1]
    p = one
    for j in range(terms):
        i = terms - j
        p = one - q * cast(like, 1.0 / (2.0 * i * (2.0 * i + 1.0))) * p
    return x * p


@inline
def _normal(like, key, index):
    # Box and Muller 1958.
    radius = np.int32(dropout_hash(key, index) >> np.uint32(8)) + 1
    swapped = (key >> np.uint64(32)) | (key << np.uint64(32))
    angle = np.int32(dropout_hash(swapped, index) >> np.uint32(8))
    return math.sqrt(cast(like, 2.0) * _minus_log(like, radius)) * _turn_cosine(like, angle)


@jit
def noise(key, stddev, spread, first, y):
    """y (1 + spread N) + stddev N, in place.

    Shapes: y (n,), one row whose first element has the index `first`.
    Layout: contiguous.
    Aliasing: none.
    """
    outlined()
    one = cast(stddev, 1.0)
    for i in range(len(y)):
        n = _normal(stddev, key, first + i)
        y[i] = y[i] * (one + spread * n) + stddev * n
