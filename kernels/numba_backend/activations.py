"""The compiled twins of the activation table: loops over one row, or over many that lie side by side.

``name(alpha, z, y)`` writes y = activation(z); y may be z.
``name_grad(alpha, z, d, scratch)`` puts the gradient by z in place of d, the one by y. In place by one name, not by
two: LLVM makes no vector code where two arrays overlap. No other two are the same.

Shapes: z, y, d, scratch (n,).
Layout: contiguous.
"""

import math

from . import maths
from .cache import inline, jit, routine
from .intrinsics import cast, outlined, positive
from .maths import add, exp, expm1, largest, log1p, normal_cdf

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


@routine
def relu(alpha, z, y):
    outlined()
    zero = cast(alpha, 0.0)
    for i in range(len(z)):
        y[i] = z[i] if above(z[i]) or z[i] != z[i] else zero


@routine
def relu_grad(alpha, z, d, scratch):
    outlined()
    zero = cast(alpha, 0.0)
    for i in range(len(z)):
        d[i] = d[i] if above(z[i]) else zero


@routine
def leaky_relu(alpha, z, y):
    outlined()
    for i in range(len(z)):
        y[i] = z[i] if above(z[i]) else alpha * z[i]


@routine
def leaky_relu_grad(alpha, z, d, scratch):
    outlined()
    for i in range(len(z)):
        d[i] = d[i] if above(z[i]) else alpha * d[i]


@routine
def elu(alpha, z, y):
    outlined()
    for i in range(len(z)):
        y[i] = z[i] if above(z[i]) else alpha * expm1(z[i])


@routine
def elu_grad(alpha, z, d, scratch):
    outlined()
    for i in range(len(z)):
        d[i] = d[i] if above(z[i]) else d[i] * alpha * exp(z[i])


@routine
def gelu(alpha, z, y):
    outlined()
    for i in range(len(z)):
        y[i] = z[i] * normal_cdf(z[i])


@routine
def gelu_grad(alpha, z, d, scratch):
    outlined()
    half = cast(alpha, 0.5)
    for i in range(len(z)):
        density = exp(-half * z[i] * z[i]) * cast(half, _DENSITY)
        d[i] = d[i] * (normal_cdf(z[i]) + z[i] * density)


@routine
def silu(alpha, z, y):
    outlined()
    for i in range(len(z)):
        y[i] = z[i] * sigmoid(z[i])


@routine
def silu_grad(alpha, z, d, scratch):
    outlined()
    one = cast(alpha, 1.0)
    for i in range(len(z)):
        s = sigmoid(z[i])
        d[i] = d[i] * (s + z[i] * s * (one - s))


@routine
def tanh(alpha, z, y):
    outlined()
    for i in range(len(z)):
        y[i] = maths.tanh(z[i])


@routine
def tanh_grad(alpha, z, d, scratch):
    outlined()
    one = cast(alpha, 1.0)
    for i in range(len(z)):
        y = maths.tanh(z[i])
        d[i] = d[i] * (one - y * y)


@routine
def logistic(alpha, z, y):
    outlined()
    for i in range(len(z)):
        y[i] = sigmoid(z[i])


@routine
def logistic_grad(alpha, z, d, scratch):
    outlined()
    one = cast(alpha, 1.0)
    for i in range(len(z)):
        y = sigmoid(z[i])
        d[i] = d[i] * (y * (one - y))


@routine
def softplus(alpha, z, y):
    outlined()
    zero = cast(alpha, 0.0)
    for i in range(len(z)):
        y[i] = (zero if z[i] < zero else z[i]) + log1p(exp(-abs(z[i])))


@routine
def softplus_grad(alpha, z, d, scratch):
    outlined()
    for i in range(len(z)):
        d[i] = d[i] * sigmoid(z[i])


@jit
def _softmax(z, y):
    outlined()
    top = largest(z)
    for i in range(len(z)):
        y[i] = exp(z[i] - top)
    total = cast(top, add(y))
    for i in range(len(z)):
        y[i] /= total


@routine
def softmax(alpha, z, y):
    _softmax(z, y)


@routine
def softmax_grad(alpha, z, d, scratch):
    outlined()
    _softmax(z, scratch)
    total = cast(alpha, 0.0)
    for i in range(len(z)):
        total += d[i] * scratch[i]
    for i in range(len(z)):
        d[i] = scratch[i] * (d[i] - total)


@routine
def exponential(alpha, z, y):
    outlined()
    for i in range(len(z)):
        y[i] = exp(z[i])


@routine
def exponential_grad(alpha, z, d, scratch):
    outlined()
    for i in range(len(z)):
        d[i] = d[i] * exp(z[i])


# By name: y = activation(z), and the gradient by z in place of that by y. The linear one needs none.
ROUTINES = {
    "relu": (relu, relu_grad),
    "leaky_relu": (leaky_relu, leaky_relu_grad),
    "elu": (elu, elu_grad),
    "gelu": (gelu, gelu_grad),
    "silu": (silu, silu_grad),
    "tanh": (tanh, tanh_grad),
    "sigmoid": (logistic, logistic_grad),
    "softplus": (softplus, softplus_grad),
    "softmax": (softmax, softmax_grad),
    "exponential": (exponential, exponential_grad),
}
