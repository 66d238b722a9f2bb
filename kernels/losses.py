"""The losses and the metrics that training can sum as it goes: one table row each.

Cross-entropies are computed from logits: a row's `link` names the last activation that the loss absorbs, so that a
softmax or sigmoid output never has to survive a logarithm. In every formula `z` is (rows, outputs); a target is either
(rows, outputs) in the dtype of `z`, or int32 labels (rows,); `a` is the row's parameter. Values are one number a row;
gradients are the derivative of the row's value, not yet divided by the number of rows. Formulas are those of Keras 3.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

# Keras's epsilon: what keeps its logarithms and norms away from zero.
EPSILON = 1e-7


def _logsumexp(z):
    top = z.max(axis=1)
    return top + np.log(np.exp(z - top[:, None]).sum(axis=1))


def _softmax(z):
    return np.exp(z - _logsumexp(z)[:, None])


def _smooth(t, a):
    return t * (1.0 - a) + a / t.shape[1]


def _categorical(z, t, a):
    t = _smooth(t, a)
    return t.sum(axis=1) * _logsumexp(z) - (t * z).sum(axis=1)


def _categorical_grad(z, t, a):
    t = _smooth(t, a)
    return t.sum(axis=1, keepdims=True) * _softmax(z) - t


def _sparse(z, t, a):
    value = _logsumexp(z) - (1.0 - a) * z[np.arange(len(z)), t]
    return value - a * z.mean(axis=1) if a else value


def _sparse_grad(z, t, a):
    gradient = _softmax(z) - a / z.shape[1]
    gradient[np.arange(len(z)), t] -= 1.0 - a
    return gradient


def _binary(z, t, a):
    t = t * (1.0 - a) + 0.5 * a
    return (np.maximum(z, 0.0) - z * t + np.log1p(np.exp(-np.abs(z)))).mean(axis=1)


def _binary_grad(z, t, a):
    return (1.0 / (1.0 + np.exp(-z)) - (t * (1.0 - a) + 0.5 * a)) / z.shape[1]


def _huber(z, t, a):
    e = np.abs(z - t)
    return np.where(e <= a, 0.5 * e * e, a * e - 0.5 * a * a).mean(axis=1)


def _huber_grad(z, t, a):
    return np.clip(z - t, -a, a) / z.shape[1]


def _log_cosh(z, t, a):
    e = np.abs(z - t)
    return (e + np.log1p(np.exp(-2.0 * e)) - np.log(2.0).astype(z.dtype)).mean(axis=1)


def _poisson(z, t, a):
    return (z - t * np.log(z + a)).mean(axis=1)


def _poisson_grad(z, t, a):
    return (1.0 - t / (z + a)) / z.shape[1]


def _kl_divergence(z, t, a):
    t = np.clip(t, EPSILON, 1.0)
    return (t * np.log(t / np.clip(z, EPSILON, 1.0))).sum(axis=1)


def _kl_divergence_grad(z, t, a):
    return np.where((z < EPSILON) | (z > 1.0), 0.0, -np.clip(t, EPSILON, 1.0) / z).astype(z.dtype)


def _hinge_grad(z, t, a):
    margin = 1.0 - t * z
    return np.where(margin <= 0.0, 0.0, -t * np.where(np.isnan(margin), margin, 1.0)).astype(z.dtype) / z.shape[1]


def _squared_hinge_grad(z, t, a):
    return np.maximum(1.0 - t * z, 0.0) * t * (-2.0 / z.shape[1])


def _categorical_hinge(z, t, a):
    return np.maximum(((1.0 - t) * z).max(axis=1) - (t * z).sum(axis=1) + 1.0, 0.0)


def _categorical_hinge_grad(z, t, a):
    value, rows, worst = _categorical_hinge(z, t, a), np.arange(len(z)), ((1.0 - t) * z).argmax(axis=1)
    gradient = -t
    gradient[rows, worst] += 1.0 - t[rows, worst]
    return np.where(value[:, None] <= 0.0, 0.0, gradient * np.where(np.isnan(value), value, 1.0)[:, None]).astype(
        z.dtype
    )


def _inverse_norm(z):
    return np.minimum(1.0 / np.sqrt((z * z).sum(axis=1, keepdims=True)), 1.0 / EPSILON)


def _cosine(z, t, a):
    return -(z * _inverse_norm(z) * (t * _inverse_norm(t))).sum(axis=1)


def _cosine_grad(z, t, a):
    scale = _inverse_norm(z)
    y, t = z * scale, t * _inverse_norm(t)
    # Where the norm is held at its least, it is a constant.
    along = np.where(scale < 1.0 / EPSILON, (y * t).sum(axis=1, keepdims=True), np.where(np.isnan(scale), scale, 0.0))
    return (y * along - t) * scale


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
        ``(z, t, a) -> (rows,)``, the loss of each row.
    gradient : callable
        ``(z, t, a) -> (rows, outputs)``, the derivative of each row's loss by `z`.
    link : str or None
        The last activation that the loss absorbs, so that `z` holds logits; None: `z` is the output itself.
    labels : bool
        Whether targets are integer labels (rows,) and not (rows, outputs).
    parameter : float or None
        Default of its parameter; None: it has none, and `a` is not read.
    threshold : float
        The output above which the answer is yes, for `binary_accuracy`.
    ulps : float
        Error allowed to a compiled twin against float64, in units of ``eps * (1 + |exact|)``.
    """

    name: str
    code: int
    value: Callable
    gradient: Callable
    link: str | None = None
    labels: bool = False
    parameter: float | None = None
    threshold: float = 0.5
    ulps: float = 16.0


_LOGITS = {"parameter": 0.0, "threshold": 0.0}

LOSSES = (
    Loss("mse", 0, lambda z, t, a: ((z - t) ** 2).mean(axis=1), lambda z, t, a: (z - t) * (2.0 / z.shape[1])),
    Loss("mae", 1, lambda z, t, a: np.abs(z - t).mean(axis=1), lambda z, t, a: np.sign(z - t) * (1.0 / z.shape[1])),
    # The parameter of the cross-entropies is the label smoothing.
    Loss("binary_crossentropy", 2, _binary, _binary_grad, link="sigmoid", **_LOGITS),
    Loss("categorical_crossentropy", 3, _categorical, _categorical_grad, link="softmax", **_LOGITS),
    Loss("sparse_categorical_crossentropy", 4, _sparse, _sparse_grad, link="softmax", labels=True, **_LOGITS),
    Loss("huber", 5, _huber, _huber_grad, parameter=1.0),
    Loss("log_cosh", 6, _log_cosh, lambda z, t, a: np.tanh(z - t) / z.shape[1]),
    Loss("poisson", 7, _poisson, _poisson_grad, parameter=EPSILON),  # what is added to the output
    Loss("kl_divergence", 8, _kl_divergence, _kl_divergence_grad),
    # Targets of the next two are -1 and 1.
    Loss("hinge", 9, lambda z, t, a: np.maximum(1.0 - t * z, 0.0).mean(axis=1), _hinge_grad, threshold=0.0),
    Loss(
        "squared_hinge",
        10,
        lambda z, t, a: (np.maximum(1.0 - t * z, 0.0) ** 2).mean(axis=1),
        _squared_hinge_grad,
        threshold=0.0,
    ),
    Loss("categorical_hinge", 11, _categorical_hinge, _categorical_hinge_grad),
    Loss("cosine_similarity", 12, _cosine, _cosine_grad),
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
