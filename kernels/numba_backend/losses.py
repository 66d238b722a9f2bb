"""The compiled twins of the loss and metric tables: one row at a time, sums in float64 in a fixed order."""

import math

from ..losses import EPSILON, LOSS_BY_NAME, METRIC_BY_NAME
from .activations import sigmoid
from .cache import inline, jit
from .intrinsics import cast, outlined
from .maths import add, exp, largest, log1p, tanh

(
    MSE,
    MAE,
    BINARY,
    CATEGORICAL,
    SPARSE,
    HUBER,
    LOG_COSH,
    POISSON,
    KL_DIVERGENCE,
    HINGE,
    SQUARED_HINGE,
    CATEGORICAL_HINGE,
    COSINE,
) = (
    LOSS_BY_NAME[name].code
    for name in (
        "mse",
        "mae",
        "binary_crossentropy",
        "categorical_crossentropy",
        "sparse_categorical_crossentropy",
        "huber",
        "log_cosh",
        "poisson",
        "kl_divergence",
        "hinge",
        "squared_hinge",
        "categorical_hinge",
        "cosine_similarity",
    )
)
ACCURACY, BINARY_ACCURACY, MAE_METRIC, MSE_METRIC = (
    METRIC_BY_NAME[name].code for name in ("categorical_accuracy", "binary_accuracy", "mae", "mse")
)


@inline
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
    outlined()
    for j in range(len(z)):
        e = z[j] - t[j]
        scratch[j] = e * e if squared else abs(e)
    return add(scratch) / len(z)


@jit
def _pointwise(code, a, z, t, gradient):
    """The losses besides those above that are a mean or a sum over the outputs."""
    outlined()
    n = len(z)
    zero, one, least = cast(a, 0.0), cast(a, 1.0), cast(a, EPSILON)
    half, two, share = cast(a, 0.5), cast(a, 2.0), cast(a, 1.0 if code == KL_DIVERGENCE else 1.0 / n)
    if code == HUBER:
        for j in range(n):
            e = abs(z[j] - t[j])
            gradient[j] = half * e * e if e <= a else a * e - half * a * a
    elif code == LOG_COSH:
        for j in range(n):
            e = abs(z[j] - t[j])
            gradient[j] = e + log1p(exp(-two * e)) - cast(a, math.log(2.0))
    elif code == POISSON:
        for j in range(n):
            gradient[j] = z[j] - t[j] * math.log(z[j] + a)
    elif code == KL_DIVERGENCE:
        for j in range(n):
            s, p = _within(least, one, t[j]), _within(least, one, z[j])
            gradient[j] = s * math.log(s / p)
    else:
        for j in range(n):
            e = one - t[j] * z[j]
            e = zero if e <= zero else e  # NaN stays
            gradient[j] = e * e if code == SQUARED_HINGE else e
    value = cast(a, add(gradient) * share)
    if code == HUBER:
        for j in range(n):
            gradient[j] = _within(-a, a, z[j] - t[j]) * share
    elif code == LOG_COSH:
        for j in range(n):
            gradient[j] = tanh(z[j] - t[j]) * share
    elif code == POISSON:
        for j in range(n):
            gradient[j] = (one - t[j] / (z[j] + a)) * share
    elif code == KL_DIVERGENCE:
        for j in range(n):
            gradient[j] = zero if z[j] < least or z[j] > one else -_within(least, one, t[j]) / z[j]
    else:
        for j in range(n):
            e = one - t[j] * z[j]
            e = zero if e <= zero else e
            slope = e * two if code == SQUARED_HINGE else one if e > zero else e
            gradient[j] = -slope * t[j] * share
    return value


@inline
def _within(low, high, x):
    return low if x < low else high if x > high else x  # NaN stays


@jit
def _categorical_hinge(z, t, gradient):
    zero, one = cast(z[0], 0.0), cast(z[0], 1.0)
    right, at = 0.0, 0
    for j in range(len(z)):
        right += t[j] * z[j]
        gradient[j] = (one - t[j]) * z[j]
    at = _argmax(gradient)
    value = cast(one, gradient[at] - right + 1.0)
    value = zero if value <= zero else value
    for j in range(len(z)):
        slope = one - t[j] - t[j] if j == at else -t[j]
        gradient[j] = slope if value > zero else value  # NaN stays
    return value


@jit
def _inverse_norm(z):
    total = 0.0
    for j in range(len(z)):
        total += z[j] * z[j]
    norm = math.sqrt(total)
    return 1.0 / EPSILON if norm < EPSILON else 1.0 / norm


@jit
def _cosine(z, t, gradient):
    of_z, of_t, cosine = _inverse_norm(z), _inverse_norm(t), 0.0
    for j in range(len(z)):
        cosine += (z[j] * of_z) * (t[j] * of_t)
    # Where the norm is held at its least, it is a constant.
    along = 0.0 if of_z >= 1.0 / EPSILON else cosine
    for j in range(len(z)):
        gradient[j] = (z[j] * of_z * along - t[j] * of_t) * of_z
    return cast(z[0], -cosine)


@jit
def loss_row(code, a, z, t, label, gradient):
    """The loss of one row; `gradient` receives its derivative by z. `a` is the loss's parameter.

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
        kept, spread = one - a, cast(one, 0.5) * a
        for j in range(n):
            above = zero if z[j] < zero else z[j]
            gradient[j] = above - z[j] * (t[j] * kept + spread) + log1p(exp(-abs(z[j])))
        value = cast(one, add(gradient) / n)
        for j in range(n):
            gradient[j] = (sigmoid(z[j]) - (t[j] * kept + spread)) * mean
        return value
    if code == CATEGORICAL_HINGE:
        return _categorical_hinge(z, t, gradient)
    if code == COSINE:
        return _cosine(z, t, gradient)
    if code > SPARSE:
        return _pointwise(code, a, z, t, gradient)
    log_total = _softmax(z, gradient)
    kept, spread = one - a, cast(one, a / n)
    if code == CATEGORICAL:
        mass, product = 0.0, 0.0
        for j in range(n):
            mass += t[j] * kept + spread
            product += (t[j] * kept + spread) * z[j]
        weight = cast(one, mass)
        for j in range(n):
            gradient[j] = weight * gradient[j] - (t[j] * kept + spread)
        return cast(one, mass * log_total - product)
    dot = 0.0
    if a != zero:
        dot = spread * add(z)
        for j in range(n):
            gradient[j] -= spread
    gradient[label] -= kept
    return cast(one, log_total - dot - kept * z[label])


@inline
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
            right += 1 if (z[j] > threshold) == (t[j] > 0.5) else 0
        return right / n
    return _mean_difference(z, t, code == MSE_METRIC, scratch)
