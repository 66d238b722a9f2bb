"""Where arrays lie, for compiled code, and whether their numbers are finite."""

import ctypes
import math

import numpy as np


def address(array):
    """Where an array's data lies; 0 for None."""
    if array is None:
        return 0
    try:
        return ctypes.addressof(ctypes.c_char.from_buffer(array))  # in less than half the time that NumPy takes to tell
    except (TypeError, ValueError):  # read-only, or empty
        return array.ctypes.data


def all_finite(values):
    """Whether every element of a C-contiguous array is finite."""
    # A sum is finite as a rule, and then so is every element; only otherwise look at each. For few elements, as in a
    # prediction of one row, what counts is the call: vdot is the cheapest. einsum sums with vectors, which
    # np.add.reduce does not, and in one thread, unlike vdot. Neither ever warns.
    values = values.reshape(-1)
    total = np.vdot(values, values) if values.size < 8192 else np.einsum("i->", values)
    return math.isfinite(total) or bool(np.isfinite(values).all())
