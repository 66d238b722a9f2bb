"""The compiled twins of the loss and metric tables: one row at a time, sums in float64 in a fixed order.

``loss(parameter, z, t, label, gradient)`` returns the loss of one row, rounded to the real type; `gradient` receives
its derivative by z. `parameter` is the loss's own number; t is unread where the loss takes a label.
``metric(z, t, label, labels, threshold, scratch)`` returns a metric; t is unread where `labels`.

Shapes: z, t, gradient, scratch (O,).
Layout: contiguous.
Aliasing: none.
"""

import math

from ..losses import EPSILON
from .activations import sigmoid
from .cache import inline, jit, routine
from .intrinsics import cast, outlined
from .maths import add, exp, largest, log1p, tanh


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


@inline
def _within(low, high, x):
    return low if x < low else high if x > high else x  # NaN stays


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


@routine
def mse(parameter, z, t, label, gradient) -> float:
    outlined()
    value, twice = cast(parameter, _mean_difference(z, t, True, gradient)), cast(parameter, 2.0 / len(z))
    for j in range(len(z)):
        gradient[j] = (z[j] - t[j]) * twice
    return value


@routine
def mae(parameter, z, t, label, gradient) -> float:
    outlined()
    zero, mean = cast(parameter, 0.0), cast(parameter, 1.0 / len(z))
    value = cast(parameter, _mean_difference(z, t, False, gradient))
    for j in range(len(z)):
        e = z[j] - t[j]
        gradient[j] = mean if e > zero else -mean if e < zero else e * mean  # NaN stays
    return value


@routine
def binary_crossentropy(parameter, z, t, label, gradient) -> float:
    outlined()
    n, zero, one = len(z), cast(parameter, 0.0), cast(parameter, 1.0)
    kept, spread, mean = one - parameter, cast(one, 0.5) * parameter, cast(one, 1.0 / n)
    for j in range(n):
        above = zero if z[j] < zero else z[j]
        gradient[j] = above - z[j] * (t[j] * kept + spread) + log1p(exp(-abs(z[j])))
    value = cast(one, add(gradient) / n)
    for j in range(n):
        gradient[j] = (sigmoid(z[j]) - (t[j] * kept + spread)) * mean
    return value


@routine
def categorical_crossentropy(parameter, z, t, label, gradient) -> float:
    outlined()
    n, one = len(z), cast(parameter, 1.0)
    kept, spread = one - parameter, cast(one, parameter / n)
    log_total = _softmax(z, gradient)
    mass, product = 0.0, 0.0
    for j in range(n):
        mass += t[j] * kept + spread
        product += (t[j] * kept + spread) * z[j]
    weight = cast(one, mass)
    for j in range(n):
        gradient[j] = weight * gradient[j] - (t[j] * kept + spread)
    return cast(one, mass * log_total - product)


@routine
def sparse_categorical_crossentropy(parameter, z, t, label, gradient) -> float:
    outlined()
    n, one = len(z), cast(parameter, 1.0)
    kept, spread = one - parameter, cast(one, parameter / n)
    log_total, dot = _softmax(z, gradient), 0.0
    if parameter != cast(one, 0.0):
        dot = spread * add(z)
        for j in range(n):
            gradient[j] -= spread
    gradient[label] -= kept
    return cast(one, log_total - dot - kept * z[label])


@routine
def huber(parameter, z, t, label, gradient) -> float:
    outlined()
    n, a, half = len(z), parameter, cast(parameter, 0.5)
    share = cast(a, 1.0 / n)
    for j in range(n):
        e = abs(z[j] - t[j])
        gradient[j] = half * e * e if e <= a else a * e - half * a * a
    value = cast(a, add(gradient) * share)
    for j in range(n):
        gradient[j] = _within(-a, a, z[j] - t[j]) * share
    return value


@routine
def log_cosh(parameter, z, t, label, gradient) -> float:
    outlined()
    n, two = len(z), cast(parameter, 2.0)
    share = cast(two, 1.0 / n)
    for j in range(n):
        e = abs(z[j] - t[j])
        gradient[j] = e + log1p(exp(-two * e)) - cast(two, math.log(2.0))
    value = cast(two, add(gradient) * share)
    for j in range(n):
        gradient[j] = tanh(z[j] - t[j]) * share
    return value


@routine
def poisson(parameter, z, t, label, gradient) -> float:
    outlined()
    n, one = len(z), cast(parameter, 1.0)
    share = cast(one, 1.0 / n)
    for j in range(n):
        gradient[j] = z[j] - t[j] * math.log(z[j] + parameter)
    value = cast(one, add(gradient) * share)
    for j in range(n):
        gradient[j] = (one - t[j] / (z[j] + parameter)) * share
    return value


@routine
def kl_divergence(parameter, z, t, label, gradient) -> float:
    outlined()
    n, zero, one, least = len(z), cast(parameter, 0.0), cast(parameter, 1.0), cast(parameter, EPSILON)
    for j in range(n):
        s, p = _within(least, one, t[j]), _within(least, one, z[j])
        gradient[j] = s * math.log(s / p)
    value = cast(one, add(gradient))
    for j in range(n):
        gradient[j] = zero if z[j] < least or z[j] > one else -_within(least, one, t[j]) / z[j]
    return value


@jit
def _hinge(squared, like, z, t, gradient):
    outlined()
    n, zero, one, two = len(z), cast(like, 0.0), cast(like, 1.0), cast(like, 2.0)
    share = cast(one, 1.0 / n)
    for j in range(n):
        e = one - t[j] * z[j]
        e = zero if e <= zero else e  # NaN stays
        gradient[j] = e * e if squared else e
    value = cast(one, add(gradient) * share)
    for j in range(n):
        e = one - t[j] * z[j]
        e = zero if e <= zero else e
        slope = e * two if squared else one if e > zero else e
        gradient[j] = -slope * t[j] * share
    return value


@routine
def hinge(parameter, z, t, label, gradient) -> float:
    return _hinge(False, parameter, z, t, gradient)


@routine
def squared_hinge(parameter, z, t, label, gradient) -> float:
    return _hinge(True, parameter, z, t, gradient)


@routine
def categorical_hinge(parameter, z, t, label, gradient) -> float:
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


@routine
def cosine_similarity(parameter, z, t, label, gradient) -> float:
    of_z, of_t, cosine = _inverse_norm(z), _inverse_norm(t), 0.0
    for j in range(len(z)):
        cosine += (z[j] * of_z) * (t[j] * of_t)
    # Where the norm is held at its least, it is a constant.
    along = 0.0 if of_z >= 1.0 / EPSILON else cosine
    for j in range(len(z)):
        gradient[j] = (z[j] * of_z * along - t[j] * of_t) * of_z
    return cast(z[0], -cosine)


@routine
def categorical_accuracy(z, t, label, labels, threshold, scratch) -> float:
    outlined()
    wanted = label if labels else _argmax(t)
    return 1.0 if _argmax(z) == wanted else 0.0


@routine
def binary_accuracy(z, t, label, labels, threshold, scratch) -> float:
    outlined()
    right = 0
    for j in range(len(z)):
        right += 1 if (z[j] > threshold) == (t[j] > 0.5) else 0
    return right / len(z)


@routine
def mean_absolute_error(z, t, label, labels, threshold, scratch) -> float:
    return _mean_difference(z, t, False, scratch)


@routine
def mean_squared_error(z, t, label, labels, threshold, scratch) -> float:
    return _mean_difference(z, t, True, scratch)


LOSS_ROUTINES = {
    "mse": mse,
    "mae": mae,
    "binary_crossentropy": binary_crossentropy,
    "categorical_crossentropy": categorical_crossentropy,
    "sparse_categorical_crossentropy": sparse_categorical_crossentropy,
    "huber": huber,
    "log_cosh": log_cosh,
    "poisson": poisson,
    "kl_divergence": kl_divergence,
    "hinge": hinge,
    "squared_hinge": squared_hinge,
    "categorical_hinge": categorical_hinge,
    "cosine_similarity": cosine_similarity,
}
METRIC_ROUTINES = {
    "categorical_accuracy": categorical_accuracy,
    "binary_accuracy": binary_accuracy,
    "mae": mean_absolute_error,
    "mse": mean_squared_error,
}
