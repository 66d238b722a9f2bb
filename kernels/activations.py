"""The activations: one table row each.

A row holds what every backend must agree on: the code that crosses the boundary, the reference formula, its
derivative, and the error a compiled twin may make. To add one, write its row here and its twin in each compiled
backend; the parity, gradient and benchmark files are parametrised from `ACTIVATIONS` and fail until both exist.

Formulas take `z` (the pre-activation) and `alpha` (the row's one parameter; ignored where there is none) and keep the
dtype of `z`. Derivatives take `(z, y, dy, alpha)` with `y = forward(z, alpha)` and return the gradient by `z`.
NaN propagates through every forward formula; at a kink a derivative may take it for either side, because training has
stopped at the loss by then.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

# NumPy has no erf; math's is exact to the last bit of a float64, one element at a time.
_erf = np.vectorize(math.erf, otypes=[np.float64])


def _sigmoid(z, alpha=0.0):
    return 1.0 / (1.0 + np.exp(-z))


def _softplus(z, alpha):
    return np.maximum(z, 0.0) + np.log1p(np.exp(-np.abs(z)))


def _gelu_cdf(z):
    return (0.5 + 0.5 * _erf(z.astype(np.float64) / math.sqrt(2.0))).astype(z.dtype)


def _gelu_grad(z, y, dy, alpha):
    density = np.exp(-0.5 * z * z) * (1.0 / math.sqrt(2.0 * math.pi))
    return dy * (_gelu_cdf(z) + z * density)


def _silu_grad(z, y, dy, alpha):
    s = _sigmoid(z)
    return dy * (s + z * s * (1.0 - s))


def _softmax(z, alpha):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def _softmax_grad(z, y, dy, alpha):
    return y * (dy - (dy * y).sum(axis=-1, keepdims=True))


@dataclass(frozen=True)
class Activation:
    """One activation function.

    Attributes
    ----------
    name : str
        Its name in the API.
    code : int
        Its number in a `Plan`; also its index in `ACTIVATIONS`.
    forward : callable
        ``(z, alpha) -> y``, the reference formula.
    backward : callable
        ``(z, y, dy, alpha) -> dz``, the reference derivative.
    alpha : float
        Default of the one parameter.
    rowwise : bool
        Whether an output depends on the whole row (softmax) and not on one element.
    domain : tuple of float
        The range of `z` that tests sample; special values are added to it.
    ulps : float
        Error allowed to a compiled twin against float64, in units of ``eps * (1 + |exact|)``.
    """

    name: str
    code: int
    forward: Callable
    backward: Callable
    alpha: float = 0.0
    rowwise: bool = False
    domain: tuple[float, float] = (-20.0, 20.0)
    ulps: float = 4.0


ACTIVATIONS = (
    Activation("linear", 0, lambda z, a: +z, lambda z, y, dy, a: +dy, ulps=0.0),
    Activation("relu", 1, lambda z, a: np.maximum(z, 0.0), lambda z, y, dy, a: np.where(z > 0, dy, 0.0), ulps=0.0),
    Activation(
        "leaky_relu",
        2,
        lambda z, a: np.where(z > 0, z, a * z),
        lambda z, y, dy, a: np.where(z > 0, dy, a * dy),
        alpha=0.2,
        ulps=1.0,
    ),
    Activation(
        "elu",
        3,
        lambda z, a: np.where(z > 0, z, a * np.expm1(np.minimum(z, 0.0))),
        lambda z, y, dy, a: np.where(z > 0, dy, dy * a * np.exp(np.minimum(z, 0.0))),
        alpha=1.0,
    ),
    Activation("gelu", 4, lambda z, a: z * _gelu_cdf(z), _gelu_grad, ulps=8.0),
    Activation("silu", 5, lambda z, a: z * _sigmoid(z), _silu_grad, ulps=8.0),
    Activation("tanh", 6, lambda z, a: np.tanh(z), lambda z, y, dy, a: dy * (1.0 - y * y)),
    Activation("sigmoid", 7, _sigmoid, lambda z, y, dy, a: dy * (y * (1.0 - y))),
    Activation("softplus", 8, _softplus, lambda z, y, dy, a: dy * _sigmoid(z)),
    Activation("softmax", 9, _softmax, _softmax_grad, rowwise=True, ulps=8.0),
    Activation("exponential", 10, lambda z, a: np.exp(z), lambda z, y, dy, a: dy * y),
)

BY_NAME = {row.name: row for row in ACTIVATIONS}
LINEAR = BY_NAME["linear"].code
