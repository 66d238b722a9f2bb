"""Where arrays lie, for compiled code."""

import ctypes


def address(array):
    """Where an array's data lies; 0 for None."""
    if array is None:
        return 0
    try:
        return ctypes.addressof(ctypes.c_char.from_buffer(array))  # in less than half the time that NumPy takes to tell
    except (TypeError, ValueError):  # read-only, or empty
        return array.ctypes.data
