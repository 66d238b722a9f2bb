"""Dropout masks from a counter: the same in every backend, in any order, on any number of threads.

Whether an element is kept depends only on (seed, step, operation) and the element's index, so nothing is stored
between the forward and the backward pass and a resumed fit draws the masks it would have drawn.
"""

import numpy as np

_MASK64 = (1 << 64) - 1


def _splitmix64(x):
    # Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators".
    x = (x + 0x9E3779B97F4A7C15) & _MASK64
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _MASK64
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _MASK64
    return x ^ (x >> 31)


def keys(seed, step, op):
    """Two 32-bit keys for one operation in one step.

    Parameters
    ----------
    seed, step, op : int
        Seed of the fit (64 bits), number of the batch since training began, and index of the operation in the plan.

    Returns
    -------
    tuple of int
        Two integers in [0, 2**32).
    """
    key = _splitmix64((_splitmix64((seed & _MASK64) ^ _splitmix64(step)) + op) & _MASK64)
    return key & 0xFFFFFFFF, key >> 32


def threshold(rate):
    """The smallest hash that is kept: ``rate`` of all 32-bit values lie below it."""
    return min(int(rate * 2.0**32 + 0.5), 2**32 - 1)


def mask(seed, step, op, rows, columns, rate):
    """Which elements are kept.

    Parameters
    ----------
    seed, step, op : int
        As in `keys`.
    rows, columns : int
        Shape of the activation; the element (i, j) has the index ``i * columns + j`` (modulo 2**32).
    rate : float
        Share of elements to drop, in [0, 1).

    Returns
    -------
    ndarray of bool, shape (rows, columns)
        True where the element is kept.
    """
    first, second = (np.uint32(k) for k in keys(seed, step, op))
    h = np.arange(rows * columns, dtype=np.uint64).astype(np.uint32)
    # A 32-bit finaliser (the multipliers are those of Wellons' lowbias32) with a key before and a key in the middle,
    # so that two steps are not shifted copies of each other.
    h += first
    h ^= h >> np.uint32(16)
    h *= np.uint32(0x7FEB352D)
    h ^= second
    h ^= h >> np.uint32(15)
    h *= np.uint32(0x846CA68B)
    h ^= h >> np.uint32(16)
    return (h >= np.uint32(threshold(rate))).reshape(rows, columns)
