"""The compiled twins of the loss and metric tables: one row at a time, sums in float64 in a fixed order."""

import math

from ..losses import LOSS_BY_NAME, METRIC_BY_NAME
from .activations import sigmoid
from .cache import jit
from .intrinsics import cast, outlined
from .maths import add, exp, largest, log1p

MSE, MAE, BINARY, CATEGORICAL, SPARSE = (
    LOSS_BY_NAME[name].code
    for name in (
        "mse",
        "mae",
        "binary_crossentropy",
        "categorical_crossentropy",
        "sparse_categorical_crossentropy",
    )
)
ACCURACY, BINARY_ACCURACY, MAE_METRIC, MSE_METRIC = (
    METRIC_BY_NAME[name].code for name in ("categorical_accuracy", "binary_accuracy", "mae", "mse")
)


@jit
def _softmax(z, p):
    """p = softmax(z); log of the sum of the exponentials."""
    top = largest(z)
    for j in range(len(z)):
        p[j] = exp(z[j] - top)
    total = add(p)
    scale = cast(top, 1.0 / total)
    for j in range(len(z)):
        p[j] *= scale
    return top + math.log(total)


@jit
def _mean_difference(z, t, squared, scratch):
    for j in range(len(z)):
        e = z[j] - t[j]
        scratch[j] = e * e if squared else abs(e)
    return add(scratch) / len(z)


@jit
def loss_row(code, z, t, label, gradient):
    """The loss of one row; `gradient` receives its derivative by z.

    Shapes: z, t, gradient (O,); t is unread where the loss takes a label.
    Layout: contiguous.
    Aliasing: none.
    """
    outlined()
    n = len(z)
    zero, one = cast(z[0], 0.0), cast(z[0], 1.0)
    mean = cast(one, 1.0 / n)
    if code == MSE:
        value = cast(one, _mean_difference(z, t, True, gradient))
        twice = cast(one, 2.0 / n)
        for j in range(n):
            gradient[j] = (z[j] - t[j]) * twice
        return value
    if code == MAE:
        value = cast(one, _mean_difference(z, t, False, gradient))
        for j in range(n):
            e = z[j] - t[j]
            gradient[j] = mean if e > zero else -mean if e < zero else e * mean  # NaN stays
        return value
    if code == BINARY:
        for j in range(n):
            above = zero if z[j] < zero else z[j]
            gradient[j] = above - z[j] * t[j] + log1p(exp(-abs(z[j])))
        value = cast(one, add(gradient) / n)
        for j in range(n):
            gradient[j] = (sigmoid(z[j]) - t[j]) * mean
        return value
    log_total = _softmax(z, gradient)
    if code == CATEGORICAL:
        mass, product = 0.0, 0.0
        for j in range(n):
            mass += t[j]
            product += t[j] * z[j]
        weight = cast(one, mass)
        for j in range(n):
            gradient[j] = weight * gradient[j] - t[j]
        return cast(one, mass * log_total - product)
    gradient[label] -= one
    return cast(one, log_total - z[label])


@jit
def _argmax(z):
    """The first of the largest; the first NaN counts as largest."""
    best = 0
    for j in range(1, len(z)):
        if z[best] != z[best]:
            break
        if z[j] > z[best] or z[j] != z[j]:
            best = j
    return best


@jit
def metric_row(code, z, t, label, labels, threshold, scratch):
    """One metric of one row, in float64.

    Shapes: z, t, scratch (O,); t is unread where `labels`.
    Layout: contiguous.
    Aliasing: none.
    """
    outlined()
    n = len(z)
    if code == ACCURACY:
        wanted = label if labels else _argmax(t)
        return 1.0 if _argmax(z) == wanted else 0.0
    if code == BINARY_ACCURACY:
        right = 0
        for j in range(n):
            truth = label > 0 if labels else t[j] > 0.5
            right += 1 if (z[j] > threshold) == truth else 0
        return right / n
    return _mean_difference(z, t, code == MSE_METRIC, scratch)
