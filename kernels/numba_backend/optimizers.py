"""The compiled twins of the optimiser table: parameters and state in place.

The arithmetic follows the reference operation by operation. Numbers that do not depend on the element are computed
once a step in float64 (`constants`) and rounded once.

``name(numbers, w, m, v, g)``: `numbers` is a row of `constants`; m is the first state vector, v the second, unread
where the optimiser has none.

Shapes: numbers (CONSTANTS,); w, m, v, g (n,).
Layout: contiguous pieces of the packed vectors.
Aliasing: none.
"""

import math

import numpy as np

from ..optimizers import OPTIMIZERS
from .cache import routine
from .intrinsics import cast, outlined

# Numbers that a step takes besides the gradient. The last two are the rate and a 1, for sums of rows that are products.
CONSTANTS = 8
# Nadam's product of the momenta of the steps 1 to t, but for beta_1^t; beyond the 1000th the factors are 1.
_PRODUCTS = np.cumprod(np.append(1.0, 1.0 - 0.5 * 0.96 ** np.arange(1.0, 1001.0)))


def _rest(beta, t):
    """1 - beta^t, to the last digits."""
    return -np.expm1(t * math.log(beta)) if beta else np.ones_like(t)


def constants(optimizer, hyper, rates, step, dtype):
    """What `numbers` are for each step.

    Parameters
    ----------
    optimizer : int
        Code of its row in the table.
    hyper : ndarray of float64
    rates : ndarray of float64, shape (steps,)
    step : int
        Number of steps before the first of these.
    dtype : dtype

    Returns
    -------
    ndarray, shape (steps, CONSTANTS)
    """
    rows = np.zeros((len(rates), CONSTANTS))
    t = np.arange(step + 1.0, step + 1.0 + len(rates))
    name = OPTIMIZERS[optimizer].name
    rows[:, 0], rows[:, -2], rows[:, -1] = rates, rates, 1.0
    if name == "momentum":
        rows[:, 1], rows[:, 2] = hyper
    elif name == "adam":
        rows[:, 0] = rates * np.sqrt(_rest(hyper[1], t)) / _rest(hyper[0], t)
        rows[:, 1:4] = 1.0 - hyper[0], 1.0 - hyper[1], hyper[2]
    elif name == "rmsprop":
        rows[:, 1:4] = hyper[0], 1.0 - hyper[0], hyper[1]
    elif name == "adagrad":
        rows[:, 3] = hyper[0] + hyper[1]
    elif name == "adamax":
        rows[:, 0] = rates / _rest(hyper[0], t)
        rows[:, 1:4] = 1.0 - hyper[0], hyper[1], hyper[2]
    elif name == "nadam":
        root = np.sqrt(_rest(hyper[1], t))
        now, following = (hyper[0] * (1.0 - 0.5 * 0.96**k) for k in (t, t + 1))
        product, next_product = (hyper[0] ** k * _PRODUCTS[np.minimum(k, 1000).astype(int)] for k in (t, t + 1))
        rows[:, 0] = rates * root * following / (1.0 - next_product)
        rows[:, 1:3] = 1.0 - hyper[0], 1.0 - hyper[1]
        rows[:, 3] = hyper[2] * root
        rows[:, 4] = rates * root * (1.0 - now) / (1.0 - product)
    elif name == "lion":
        rows[:, 1:5] = hyper[0], 1.0 - hyper[0], hyper[1], 1.0 - hyper[1]
    return rows.astype(dtype)


@routine
def decay_weights(numbers, decay, w):
    """Loshchilov and Hutter 2019: w - rate decay w, before the step."""
    outlined()
    fall = numbers[CONSTANTS - 2] * cast(numbers[0], decay)
    for i in range(len(w)):
        w[i] -= fall * w[i]


@routine
def sgd(numbers, w, m, v, g):
    outlined()
    rate = numbers[0]
    for i in range(len(w)):
        w[i] -= rate * g[i]


@routine
def momentum(numbers, w, m, v, g):
    outlined()
    rate, kept, nesterov = numbers[0], numbers[1], numbers[2]
    if nesterov != 0:
        for i in range(len(w)):
            m[i] = m[i] * kept - rate * g[i]
            w[i] += kept * m[i] - rate * g[i]
    else:
        for i in range(len(w)):
            m[i] = m[i] * kept - rate * g[i]
            w[i] += m[i]


@routine
def adam(numbers, w, m, v, g):
    outlined()
    rate, c1, c2, epsilon = numbers[0], numbers[1], numbers[2], numbers[3]
    for i in range(len(w)):
        mean = m[i] + (g[i] - m[i]) * c1
        square = v[i] + (g[i] * g[i] - v[i]) * c2
        m[i] = mean
        v[i] = square
        w[i] -= rate * mean / (math.sqrt(square) + epsilon)


@routine
def rmsprop(numbers, w, m, v, g):
    outlined()
    rate, c1, c2, epsilon = numbers[0], numbers[1], numbers[2], numbers[3]
    for i in range(len(w)):
        m[i] = m[i] * c1 + c2 * g[i] * g[i]
        w[i] -= rate * g[i] / math.sqrt(m[i] + epsilon)


@routine
def adagrad(numbers, w, m, v, g):
    outlined()
    rate, initial = numbers[0], numbers[3]
    for i in range(len(w)):
        m[i] += g[i] * g[i]
        w[i] -= rate * g[i] / math.sqrt(m[i] + initial)


@routine
def adamax(numbers, w, m, v, g):
    outlined()
    rate, c1, beta_2, epsilon = numbers[0], numbers[1], numbers[2], numbers[3]
    for i in range(len(w)):
        m[i] += (g[i] - m[i]) * c1
        size, old = abs(g[i]), beta_2 * v[i]
        v[i] = old if size < old else size  # NaN stays
        w[i] -= rate * m[i] / (v[i] + epsilon)


@routine
def nadam(numbers, w, m, v, g):
    outlined()
    of_mean, c1, c2, epsilon, of_slope = numbers[0], numbers[1], numbers[2], numbers[3], numbers[4]
    for i in range(len(w)):
        m[i] += (g[i] - m[i]) * c1
        v[i] += (g[i] * g[i] - v[i]) * c2
        w[i] -= (of_mean * m[i] + of_slope * g[i]) / (math.sqrt(v[i]) + epsilon)


@routine
def lion(numbers, w, m, v, g):
    outlined()
    rate, b1, rest1, b2, rest2 = numbers[0], numbers[1], numbers[2], numbers[3], numbers[4]
    for i in range(len(w)):
        s = m[i] * b1 + g[i] * rest1
        m[i] = m[i] * b2 + g[i] * rest2
        w[i] -= rate if s > 0 else -rate if s < 0 else s  # NaN stays


ROUTINES = {
    "sgd": sgd,
    "momentum": momentum,
    "adam": adam,
    "rmsprop": rmsprop,
    "adagrad": adagrad,
    "adamax": adamax,
    "nadam": nadam,
    "lion": lion,
}
