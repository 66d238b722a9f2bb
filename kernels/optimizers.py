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


def _adamw(w, g, slots, hyper, rate, t):
    *adam, weight_decay = hyper
    w -= (rate * weight_decay) * w
    _adam(w, g, slots, adam, rate, t)


def _rmsprop(w, g, slots, hyper, rate, t):
    rho, epsilon = hyper
    (v,) = slots
    v *= rho
    v += (1.0 - rho) * g * g
    w -= rate * g / np.sqrt(v + epsilon)


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
    Optimizer("adamw", 3, ("m", "v"), {**_ADAM, "weight_decay": 0.004}, 0.001, _adamw),
    Optimizer("rmsprop", 4, ("v",), {"rho": 0.9, "epsilon": 1e-7}, 0.001, _rmsprop),
)

BY_NAME = {row.name: row for row in OPTIMIZERS}
