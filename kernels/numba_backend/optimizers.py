"""The compiled twins of the optimiser table.

The arithmetic follows the reference operation by operation. Numbers that do not depend on the element are computed
once a step in float64 and rounded once.
"""

import math

from ..optimizers import BY_NAME
from .cache import inline, jit
from .intrinsics import cast, outlined

SGD, MOMENTUM, ADAM, RMSPROP, ADAGRAD, ADAMAX, NADAM, LION = (
    BY_NAME[name].code for name in ("sgd", "momentum", "adam", "rmsprop", "adagrad", "adamax", "nadam", "lion")
)


@inline
def _nadam_product(beta_1, t):
    """The product of Nadam's momentum over the steps 1 to t."""
    product, power = beta_1**t, 1.0
    for _ in range(min(t, 1000)):
        power *= 0.96
        product *= 1.0 - 0.5 * power
    return product


@jit
def constants(code, hyper, rate, t, out):
    """What step number `t` needs, besides the hyper-parameters, for `apply`.

    Shapes: hyper (n_hyper,) float64, out (6,) real.
    Layout: contiguous.
    Aliasing: none.
    """
    outlined()
    out[0] = out[5] = rate
    if code == MOMENTUM:
        out[1] = hyper[0]
        out[2] = hyper[1]
    elif code == ADAM:
        out[0] = rate * math.sqrt(1.0 - hyper[1] ** t) / (1.0 - hyper[0] ** t)
        out[1] = 1.0 - hyper[0]
        out[2] = 1.0 - hyper[1]
        out[3] = hyper[2]
    elif code == RMSPROP:
        out[1] = hyper[0]
        out[2] = 1.0 - hyper[0]
        out[3] = hyper[1]
    elif code == ADAGRAD:
        out[3] = hyper[0] + hyper[1]
    elif code == ADAMAX:
        out[0] = rate / (1.0 - hyper[0] ** t)
        out[1] = 1.0 - hyper[0]
        out[2] = hyper[1]
        out[3] = hyper[2]
    elif code == NADAM:
        root = math.sqrt(1.0 - hyper[1] ** t)
        now, following = (hyper[0] * (1.0 - 0.5 * 0.96**t)), (hyper[0] * (1.0 - 0.5 * 0.96 ** (t + 1)))
        out[0] = rate * root * following / (1.0 - _nadam_product(hyper[0], t + 1))
        out[1] = 1.0 - hyper[0]
        out[2] = 1.0 - hyper[1]
        out[3] = hyper[2] * root
        out[4] = rate * root * (1.0 - now) / (1.0 - _nadam_product(hyper[0], t))
    elif code == LION:
        out[1] = hyper[0]
        out[2] = 1.0 - hyper[0]
        out[3] = hyper[1]
        out[4] = 1.0 - hyper[1]


@jit
def apply(code, c, decay, w, m, v, g):
    """Update parameters, which have a `decay`, and state in place; `c` comes from `constants`.

    Shapes: w, m, v, g (n,); m is the first state vector, v the second, unread where the optimiser has none.
    Layout: contiguous pieces of the packed vectors.
    Aliasing: none.
    """
    outlined()
    rate, c1, c2, c3, c4 = c[0], c[1], c[2], c[3], c[4]
    n = len(w)
    if decay != 0.0:
        fall = c[5] * cast(c[5], decay)
        for i in range(n):
            w[i] -= fall * w[i]
    if code == SGD:
        for i in range(n):
            w[i] -= rate * g[i]
    elif code == MOMENTUM:
        if c2 != 0:
            for i in range(n):
                m[i] = m[i] * c1 - rate * g[i]
                w[i] += c1 * m[i] - rate * g[i]
        else:
            for i in range(n):
                m[i] = m[i] * c1 - rate * g[i]
                w[i] += m[i]
    elif code == RMSPROP:
        for i in range(n):
            m[i] = m[i] * c1 + c2 * g[i] * g[i]
            w[i] -= rate * g[i] / math.sqrt(m[i] + c3)
    elif code == ADAGRAD:
        for i in range(n):
            m[i] += g[i] * g[i]
            w[i] -= rate * g[i] / math.sqrt(m[i] + c3)
    elif code == ADAMAX:
        for i in range(n):
            m[i] += (g[i] - m[i]) * c1
            size, old = abs(g[i]), c2 * v[i]
            v[i] = old if size < old else size  # NaN stays
            w[i] -= rate * m[i] / (v[i] + c3)
    elif code == NADAM:
        for i in range(n):
            m[i] += (g[i] - m[i]) * c1
            v[i] += (g[i] * g[i] - v[i]) * c2
            w[i] -= (rate * m[i] + c4 * g[i]) / (math.sqrt(v[i]) + c3)
    elif code == LION:
        for i in range(n):
            s = m[i] * c1 + g[i] * c2
            m[i] = m[i] * c3 + g[i] * c4
            w[i] -= rate if s > 0 else -rate if s < 0 else s  # NaN stays
    else:
        for i in range(n):
            mean = m[i] + (g[i] - m[i]) * c1
            square = v[i] + (g[i] * g[i] - v[i]) * c2
            m[i] = mean
            v[i] = square
            w[i] -= rate * mean / (math.sqrt(square) + c3)
