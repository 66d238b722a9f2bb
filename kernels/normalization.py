"""Normalisation: the formulas.

Every column of a batch (axis 0) or every row (axis 1) is brought to mean 0 and variance 1, then multiplied by gamma,
to which beta is added: Ioffe and Szegedy 2015, arXiv:1502.03167, algorithm 1; Ba, Kiros and Hinton 2016,
arXiv:1607.06450, equations 3 and 4. Variances are those of the rows at hand, divided by their number. In inference a
batch normalisation takes the moving statistics, to which every batch of training contributes. Meanings and defaults are
those of Keras 3.
"""

import numpy as np


def moments(x, axis):
    """Mean and variance of x (n, width) along an axis, which is kept with the size 1."""
    mean = x.mean(axis=axis, keepdims=True, dtype=np.float64)
    variance = np.square(x - mean).mean(axis=axis, keepdims=True)
    return mean.astype(x.dtype), variance.astype(x.dtype)


def normalized(x, mean, variance, epsilon):
    """x with mean 0 and variance 1, and what the distance from the mean was multiplied by."""
    factor = 1.0 / np.sqrt(variance + epsilon)
    return (x - mean) * factor, factor


def backprop(hat, factor, d, axis):
    """Gradient by x, given that by its normalised values `hat`: d (n, width)."""
    return factor * (d - d.mean(axis=axis, keepdims=True) - hat * (d * hat).mean(axis=axis, keepdims=True))


def advance(moving, mean, variance, momentum):
    """Move the statistics (2, width) of inference towards those of a batch, in place."""
    moving *= momentum
    moving += (1.0 - momentum) * np.concatenate([mean, variance])
