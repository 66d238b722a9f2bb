"""What scripts import from ``keras.utils``."""

import sys

import numpy as np

from .arguments import missing
from .seeds import set_random_seed


def to_categorical(x, num_classes=None):
    """Return one-hot rows.

    Parameters
    ----------
    x : array_like of int
        Classes from 0 on; a last axis of length 1 is dropped.
    num_classes : int, optional
        One more than the largest class by default.

    Returns
    -------
    ndarray of float64, shape (..., num_classes)

    Raises
    ------
    ValueError
        If a class is negative or too large.
    """
    x = np.asarray(x).astype(np.int64)
    shape = x.shape[:-1] if x.ndim > 1 and x.shape[-1] == 1 else x.shape
    flat = x.ravel()
    count = int(flat.max()) + 1 if num_classes is None else int(num_classes)
    if flat.size and (flat.min() < 0 or flat.max() >= count):
        raise ValueError(f"classes must be in [0, {count}), got {flat.min()} to {flat.max()}")
    result = np.zeros((flat.size, count))
    result[np.arange(flat.size), flat] = 1.0
    return result.reshape(*shape, count)


def normalize(x, axis=-1, order=2):
    """Return `x` divided by its norms along an axis; where a norm is 0, as it is."""
    norms = np.atleast_1d(np.linalg.norm(x, order, axis))
    norms[norms == 0] = 1
    return x / np.expand_dims(norms, axis)


np_utils = sys.modules[__name__]  # the old home of to_categorical
__all__ = ["normalize", "np_utils", "set_random_seed", "to_categorical"]
__getattr__ = missing("keras.utils", __all__)
