"""The compiled twins of the activation table, and dropout: loops over one row."""

import math

import numpy as np

from ..activations import BY_NAME
from .cache import inline, jit
from .intrinsics import cast, outlined, positive
from .maths import add, exp, expm1, largest, log1p, normal_cdf, tanh

LINEAR, RELU, LEAKY_RELU, ELU, GELU, SILU, TANH, SIGMOID, SOFTPLUS, SOFTMAX, EXPONENTIAL = (
    BY_NAME[name].code
    for name in (
        "linear", "relu", "leaky_relu", "elu", "gelu", "silu", "tanh", "sigmoid", "softplus", "softmax", "exponential"
    )
)  # fmt: skip
_DENSITY = 1.0 / math.sqrt(2.0 * math.pi)


@inline
def above(z):
    """z > 0, of denormals too, which comparisons here take for zero."""
    return positive(z) and z == z


@inline
def sigmoid(z):
    """1 / (1 + e^-z) of a number."""
    one = cast(z, 1.0)
    return one / (one + exp(-z))


@inline
def softplus(z):
    """log(1 + e^z) of a number."""
    zero = cast(z, 0.0)
    return (zero if z < zero else z) + log1p(exp(-abs(z)))


@jit
def _softmax(z, y):
    outlined()
    top = largest(z)
    for i in range(len(z)):
        y[i] = exp(z[i] - top)
    total = cast(top, add(y))
    for i in range(len(z)):
        y[i] /= total


@jit
def activate(code, alpha, z, y):
    """y = activation(z).

    Shapes: z, y (n,), one row.
    Layout: contiguous.
    Aliasing: y may be z.
    """
    outlined()
    zero = cast(alpha, 0.0)
    if code == RELU:
        for i in range(len(z)):
            y[i] = z[i] if above(z[i]) or z[i] != z[i] else zero
    elif code == LEAKY_RELU:
        for i in range(len(z)):
            y[i] = z[i] if above(z[i]) else alpha * z[i]
    elif code == ELU:
        for i in range(len(z)):
            y[i] = z[i] if above(z[i]) else alpha * expm1(z[i])
    elif code == GELU:
        for i in range(len(z)):
            y[i] = z[i] * normal_cdf(z[i])
    elif code == SILU:
        for i in range(len(z)):
            y[i] = z[i] * sigmoid(z[i])
    elif code == TANH:
        for i in range(len(z)):
            y[i] = tanh(z[i])
    elif code == SIGMOID:
        for i in range(len(z)):
            y[i] = sigmoid(z[i])
    elif code == SOFTPLUS:
        for i in range(len(z)):
            y[i] = softplus(z[i])
    elif code == SOFTMAX:
        _softmax(z, y)
    elif code == EXPONENTIAL:
        for i in range(len(z)):
            y[i] = exp(z[i])
    else:
        for i in range(len(z)):
            y[i] = z[i]


@jit
def activate_grad(code, alpha, z, d, scratch):
    """The gradient by z in place of that by activation(z).

    Shapes: z, d, scratch (n,), one row.
    Layout: contiguous.
    Aliasing: none. In place by one name, not by two: LLVM makes no vector code where two arrays overlap.
    """
    outlined()
    zero, half, one = cast(alpha, 0.0), cast(alpha, 0.5), cast(alpha, 1.0)
    if code == RELU:
        for i in range(len(z)):
            d[i] = d[i] if above(z[i]) else zero
    elif code == LEAKY_RELU:
        for i in range(len(z)):
            d[i] = d[i] if above(z[i]) else alpha * d[i]
    elif code == ELU:
        for i in range(len(z)):
            d[i] = d[i] if above(z[i]) else d[i] * alpha * exp(z[i])
    elif code == GELU:
        for i in range(len(z)):
            density = exp(-half * z[i] * z[i]) * cast(half, _DENSITY)
            d[i] = d[i] * (normal_cdf(z[i]) + z[i] * density)
    elif code == SILU:
        for i in range(len(z)):
            s = sigmoid(z[i])
            d[i] = d[i] * (s + z[i] * s * (one - s))
    elif code == TANH:
        for i in range(len(z)):
            y = tanh(z[i])
            d[i] = d[i] * (one - y * y)
    elif code == SIGMOID:
        for i in range(len(z)):
            y = sigmoid(z[i])
            d[i] = d[i] * (y * (one - y))
    elif code == SOFTPLUS:
        for i in range(len(z)):
            d[i] = d[i] * sigmoid(z[i])
    elif code == SOFTMAX:
        _softmax(z, scratch)
        total = zero
        for i in range(len(z)):
            total += d[i] * scratch[i]
        for i in range(len(z)):
            d[i] = scratch[i] * (d[i] - total)
    elif code == EXPONENTIAL:
        for i in range(len(z)):
            d[i] = d[i] * exp(z[i])


@inline
def _splitmix64(x):
    x += np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@inline
def dropout_key(seed, step, op):
    """The two keys of `kernels.dropout.keys` as one number."""
    return _splitmix64(_splitmix64(np.uint64(seed) ^ _splitmix64(np.uint64(step))) + np.uint64(op))


@inline
def dropout_hash(key, index):
    """The hash of `kernels.dropout` for one element."""
    # All is 32 bits wide: Numba widens, LLVM narrows again.
    h = np.uint32(np.uint32(index) + np.uint32(key))
    h = np.uint32(h ^ (h >> np.uint32(16)))
    h = np.uint32(h * np.uint32(0x7FEB352D))
    h = np.uint32(h ^ np.uint32(key >> np.uint64(32)))
    h = np.uint32(h ^ (h >> np.uint32(15)))
    h = np.uint32(h * np.uint32(0x846CA68B))
    return np.uint32(h ^ (h >> np.uint32(16)))


@jit
def drop(key, threshold, scale, first, y):
    """y times scale where kept, otherwise 0: dropout forward and backward, in place.

    Shapes: y (n,), one row whose first element has the index `first`.
    Layout: contiguous.
    Aliasing: none.
    """
    outlined()
    zero = cast(scale, 0.0)
    for i in range(len(y)):
        y[i] = y[i] * scale if dropout_hash(key, first + i) >= np.uint32(threshold) else zero


@inline
def mask(key, threshold, first, keep):
    """keep = 1 where kept, otherwise 0.

    Shapes: keep (n,), uint8, elements from the index `first`.
    Layout: contiguous.
    Aliasing: none.
    """
    for i in range(len(keep)):
        keep[i] = 1 if dropout_hash(key, first + i) >= np.uint32(threshold) else 0
