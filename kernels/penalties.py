"""What is added to a loss, and what is done to a gradient and to weights besides the optimiser's step: the formulas.

Meanings are those of Keras 3: a penalty is ``l1 * sum(|w|) + l2 * sum(w**2)`` over a kernel or a bias, or over the
outputs of a layer divided by the rows of the batch; gradients are clipped after penalties have been added; decay comes
before the optimiser's step, a constraint after it.
"""

import numpy as np

# Keras's epsilon in its constraints.
EPSILON = 1e-7


def penalty(w, l1, l2, axis=None):
    """The penalty on `w`, over all of it or one a row; a rate of 0 is none, even on infinite weights."""
    zero = np.zeros(() if axis is None else w.shape[:1], w.dtype)
    return (l1 * np.abs(w).sum(axis=axis) if l1 else zero) + (l2 * (w * w).sum(axis=axis) if l2 else zero)


def slope(w, l1, l2):
    """Its derivative; 0 where w is 0."""
    return l1 * np.sign(w) + (2.0 * l2) * w


def clip_factor(norm, limit):
    """What a gradient of this norm is multiplied by, so that its norm is `limit` at most; NaN unless it is finite."""
    return 1.0 if norm <= limit else limit / norm + (norm - norm)


def decay(w, rate, share):
    """Decoupled weight decay (Loshchilov and Hutter, 2019), in place: the learning rate's part of `share` of `w`."""
    w -= (rate * share) * w


def bound_norms(w, low, high):
    """Kernel (n_in, n_out) with the norm of every column, one for each unit, cut to about [low, high], in place."""
    norms = np.sqrt((w * w).sum(axis=0))
    w *= np.clip(norms, low, high) / (EPSILON + norms)


def non_negative(w):
    """Negative weights become 0, in place; NaN stays."""
    w[w < 0.0] = 0.0
