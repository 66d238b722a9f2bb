"""The losses and the metrics that training can sum as it goes: one table row each.

Cross-entropies are computed from logits: a row's `link` names the last activation that the loss absorbs, so that a
softmax or sigmoid output never has to survive a logarithm. In every formula `z` is (rows, outputs); a target is either
(rows, outputs) in the dtype of `z`, or int32 labels (rows,). Values are one number a row; gradients are the derivative
of the row's value, not yet divided by the number of rows.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


def _logsumexp(z):
    top = z.max(axis=1)
    return top + np.log(np.exp(z - top[:, None]).sum(axis=1))


def _softmax(z):
    return np.exp(z - _logsumexp(z)[:, None])


def _categorical(z, t):
    return t.sum(axis=1) * _logsumexp(z) - (t * z).sum(axis=1)


def _categorical_grad(z, t):
    return t.sum(axis=1, keepdims=True) * _softmax(z) - t


def _sparse(z, t):
    return _logsumexp(z) - z[np.arange(len(z)), t]


def _sparse_grad(z, t):
    gradient = _softmax(z)
    gradient[np.arange(len(z)), t] -= 1.0
    return gradient


def _binary(z, t):
    return (np.maximum(z, 0.0) - z * t + np.log1p(np.exp(-np.abs(z)))).mean(axis=1)


def _binary_grad(z, t):
    return (1.0 / (1.0 + np.exp(-z)) - t) / z.shape[1]


@dataclass(frozen=True)
class Loss:
    """One loss.

    Attributes
    ----------
    name : str
        Its name in the API.
    code : int
        Its number in a `Plan`; also its index in `LOSSES`.
    value : callable
        ``(z, t) -> (rows,)``, the loss of each row.
    gradient : callable
        ``(z, t) -> (rows, outputs)``, the derivative of each row's loss by `z`.
    link : str or None
        The last activation that the loss absorbs, so that `z` holds logits; None: `z` is the output itself.
    labels : bool
        Whether targets are integer labels (rows,) and not (rows, outputs).
    ulps : float
        Error allowed to a compiled twin against float64, in units of ``eps * (1 + |exact|)``.
    """

    name: str
    code: int
    value: Callable
    gradient: Callable
    link: str | None = None
    labels: bool = False
    ulps: float = 16.0


LOSSES = (
    Loss("mse", 0, lambda z, t: ((z - t) ** 2).mean(axis=1), lambda z, t: (z - t) * (2.0 / z.shape[1])),
    Loss("mae", 1, lambda z, t: np.abs(z - t).mean(axis=1), lambda z, t: np.sign(z - t) * (1.0 / z.shape[1])),
    Loss("binary_crossentropy", 2, _binary, _binary_grad, link="sigmoid"),
    Loss("categorical_crossentropy", 3, _categorical, _categorical_grad, link="softmax"),
    Loss("sparse_categorical_crossentropy", 4, _sparse, _sparse_grad, link="softmax", labels=True),
)

LOSS_BY_NAME = {row.name: row for row in LOSSES}


def _classes(t):
    return t if t.ndim == 1 else t.argmax(axis=1)


@dataclass(frozen=True)
class Metric:
    """One metric that is summed inside training.

    Attributes
    ----------
    name : str
        Its name in the API.
    code : int
        Its number in a `Plan`; also its index in `METRICS`.
    value : callable
        ``(z, t, threshold) -> (rows,)``, one number a row.
    from_logits : bool
        Whether it reads the same from logits as from outputs; the others need a loss without a link.
    labels : bool
        Whether it also takes integer labels; the others need a loss with targets of (rows, outputs).
    """

    name: str
    code: int
    value: Callable
    from_logits: bool
    labels: bool = False


METRICS = (
    Metric("categorical_accuracy", 0, lambda z, t, c: (z.argmax(axis=1) == _classes(t)).astype(z.dtype), True, True),
    Metric("binary_accuracy", 1, lambda z, t, c: ((z > c) == (t > 0.5)).mean(axis=1), True),
    Metric("mae", 2, lambda z, t, c: np.abs(z - t).mean(axis=1), False),
    Metric("mse", 3, lambda z, t, c: ((z - t) ** 2).mean(axis=1), False),
)

# Backends keep this many sums on the stack.
MAX_METRICS = 8

METRIC_BY_NAME = {row.name: row for row in METRICS}
