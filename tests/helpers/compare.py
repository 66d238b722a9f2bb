"""Comparisons: by bits, by kind of number, and in units of the last place."""

import numpy as np


def same_bits(a, b):
    """Whether two arrays, or two structures of arrays, agree in every bit (NaN equals itself, -0 is not +0)."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same_bits(a[k], b[k]) for k in a)
    if isinstance(a, (tuple, list)):
        return len(a) == len(b) and all(same_bits(p, q) for p, q in zip(a, b, strict=True))
    a, b = np.asarray(a), np.asarray(b)
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


def differing(a, b):
    """Names of the entries of two dicts of arrays that differ in any bit."""
    return [k for k in a if not same_bits(a[k], b[k])]


def kind(a):
    """0 where finite, 1 and -1 at the infinities, 2 at NaN."""
    a = np.asarray(a)
    return np.where(np.isnan(a), 2, np.where(np.isinf(a), np.sign(a), 0)).astype(int)


def ulps(got, exact, dtype):
    """The largest error of `got`, in units of ``eps * (1 + |exact|)``, as the tables state it. NaN if any is NaN."""
    exact = np.asarray(exact)
    error = np.abs(got.astype(exact.dtype) - exact)
    return float(np.max(error / (np.finfo(dtype).eps * (1 + np.abs(exact))), initial=0.0))


def relative(got, exact):
    """The error in the norm: ``|got - exact| / |exact|``, and 0 where both are zero."""
    got, exact = (np.asarray(a, dtype=np.float64).ravel() for a in (got, exact))
    error, scale = np.linalg.norm(got - exact), np.linalg.norm(exact)
    return float(error / scale) if scale else float(error)
