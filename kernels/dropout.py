"""Dropout masks and noise from a counter: the same in every backend, in any order, on any number of threads.

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
    return (_hash(*keys(seed, step, op), rows * columns) >= np.uint32(threshold(rate))).reshape(rows, columns)


def normal(seed, step, op, rows, columns):
    """Standard normal numbers, by Box and Muller (1958) from two hashes of each element.

    Parameters
    ----------
    seed, step, op, rows, columns : int
        As for `mask`.

    Returns
    -------
    ndarray of float64, shape (rows, columns)
        Backends agree to 16 units of ``eps * (1 + |x|)``. No number is beyond 5.8.
    """
    first, second = keys(seed, step, op)
    # 24 bits each, which float32 has, so that every backend works on the same numbers.
    radius = ((_hash(first, second, rows * columns) >> np.uint32(8)).astype(np.float64) + 1.0) / 2.0**24
    angle = (_hash(second, first, rows * columns) >> np.uint32(8)).astype(np.float64) / 2.0**24
    return (np.sqrt(-2.0 * np.log(radius)) * np.cos(2.0 * np.pi * angle)).reshape(rows, columns)


def _hash(first, second, n):
    """The hashes of the elements 0..n - 1 (n,), uint32."""
    first, second = np.uint32(first), np.uint32(second)
    h = np.arange(n, dtype=np.uint64).astype(np.uint32)
    # A 32-bit finaliser (the multipliers are those of Wellons' lowbias32) with a key before and a key in the middle,
    # so that two steps are not shifted copies of each other.
    h += first
    h ^= h >> np.uint32(16)
    h *= np.uint32(0x7FEB352D)
    h ^= second
    h ^= h >> np.uint32(15)
    h *= np.uint32(0x846CA68B)
    h ^= h >> np.uint32(16)
    return h
