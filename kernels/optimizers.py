"""The optimisers: one table row each.

`update(w, g, slots, hyper, rate, t)` changes `w` and the state vectors in `slots` in place: `g` is the gradient,
`hyper` the row's hyper-parameters in the order of its `hyper` names, `rate` the learning rate of this step and `t` its
number, counted from 1. All are element-wise. Formulas and defaults are those of Keras 3.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


def _sgd(w, g, slots, hyper, rate, t):
    w -= rate * g


def _momentum(w, g, slots, hyper, rate, t):
    momentum, nesterov = hyper
    (m,) = slots
    m *= momentum
    m -= rate * g
    w += momentum * m - rate * g if nesterov else m


def _adam(w, g, slots, hyper, rate, t):
    beta_1, beta_2, epsilon = hyper
    m, v = slots
    m += (g - m) * (1.0 - beta_1)
    v += (g * g - v) * (1.0 - beta_2)
    # Kingma and Ba 2015, section 2: both bias corrections folded into the rate.
    w -= (rate * math.sqrt(1.0 - beta_2**t) / (1.0 - beta_1**t)) * m / (np.sqrt(v) + epsilon)


def _rmsprop(w, g, slots, hyper, rate, t):
    rho, epsilon = hyper
    (v,) = slots
    v *= rho
    v += (1.0 - rho) * g * g
    w -= rate * g / np.sqrt(v + epsilon)


def _adagrad(w, g, slots, hyper, rate, t):
    initial, epsilon = hyper
    (v,) = slots
    v += g * g
    # The accumulator is the initial value plus the state, which so starts from zero like any other.
    w -= rate * g / np.sqrt(v + (initial + epsilon))


def _adamax(w, g, slots, hyper, rate, t):
    beta_1, beta_2, epsilon = hyper
    m, u = slots
    m += (g - m) * (1.0 - beta_1)
    np.maximum(beta_2 * u, np.abs(g), out=u)
    w -= (rate / (1.0 - beta_1**t)) * m / (u + epsilon)


def nadam_momentum(beta_1, t):
    """Dozat 2016, section 2: the momentum of step t, and the product of those of the steps 1 to t.

    Both follow from the number of the step, so that there is nothing to be kept. Beyond the 1000th the factors besides
    beta_1 are 1 in double precision.
    """
    schedule = 1.0 - 0.5 * 0.96 ** np.arange(1.0, min(t, 1000) + 1)
    return beta_1 * (1.0 - 0.5 * 0.96**t), beta_1**t * float(np.prod(schedule))


def _nadam(w, g, slots, hyper, rate, t):
    beta_1, beta_2, epsilon = hyper
    m, v = slots
    m += (g - m) * (1.0 - beta_1)
    v += (g * g - v) * (1.0 - beta_2)
    (now, product), (following, next_product) = (nadam_momentum(beta_1, k) for k in (t, t + 1))
    root = math.sqrt(1.0 - beta_2**t)
    of_mean, of_slope = rate * root * following / (1.0 - next_product), rate * root * (1.0 - now) / (1.0 - product)
    w -= (of_mean * m + of_slope * g) / (np.sqrt(v) + epsilon * root)


def _lion(w, g, slots, hyper, rate, t):
    beta_1, beta_2 = hyper
    (m,) = slots
    w -= rate * np.sign(m * beta_1 + g * (1.0 - beta_1))
    m *= beta_2
    m += g * (1.0 - beta_2)


@dataclass(frozen=True)
class Optimizer:
    """One optimiser.

    Attributes
    ----------
    name : str
        Its name in the API.
    code : int
        Its number in a `Plan`; also its index in `OPTIMIZERS`.
    slots : tuple of str
        Names of its state vectors, each as long as the parameters, all zero at the start.
    hyper : dict of str to float
        Its hyper-parameters besides the learning rate, in order, with their defaults.
    rate : float
        Default learning rate.
    update : callable
        ``(w, g, slots, hyper, rate, t)``, the reference formula, in place.
    ulps : float
        Error allowed to one step of a compiled twin against float64, in units of ``eps * (1 + |exact|)``.
    """

    name: str
    code: int
    slots: tuple[str, ...]
    hyper: dict[str, float]
    rate: float
    update: Callable
    ulps: float = 8.0


_ADAM = {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7}

OPTIMIZERS = (
    Optimizer("sgd", 0, (), {}, 0.01, _sgd),
    Optimizer("momentum", 1, ("m",), {"momentum": 0.9, "nesterov": 0.0}, 0.01, _momentum),
    Optimizer("adam", 2, ("m", "v"), _ADAM, 0.001, _adam),
    Optimizer("rmsprop", 3, ("v",), {"rho": 0.9, "epsilon": 1e-7}, 0.001, _rmsprop),
    Optimizer("adagrad", 4, ("v",), {"initial_accumulator_value": 0.1, "epsilon": 1e-7}, 0.001, _adagrad),
    Optimizer("adamax", 5, ("m", "u"), _ADAM, 0.001, _adamax),
    Optimizer("nadam", 6, ("m", "v"), _ADAM, 0.001, _nadam),
    Optimizer("lion", 7, ("m",), {"beta_1": 0.9, "beta_2": 0.99}, 0.001, _lion),
)

BY_NAME = {row.name: row for row in OPTIMIZERS}
