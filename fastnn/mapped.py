"""Arrays in files that are larger than memory: rows are converted when they are taken."""

import math

import numpy as np

from . import validation

# Bytes of converted rows at a time.
BLOCK_BYTES = 1 << 24


class MappedRows:
    """Rows of a memory-mapped array as the kernels want them, without ever holding all of them.

    Parameters
    ----------
    values : ndarray, shape (n, ...)
        Whatever `validation.rows` would convert.
    name : str
        What to call it in a message.
    dtype : numpy.dtype
        The model's.

    Attributes
    ----------
    shape : tuple of int
        (n, width).
    """

    ndim = 2

    def __init__(self, values, name, dtype):
        self._values = values
        self._name = name
        self.dtype = dtype
        self.shape = (len(values), math.prod(values.shape[1:]))

    def __len__(self):
        return len(self._values)

    def __getitem__(self, rows):
        return MappedRows(self._values[rows], self._name, self.dtype)

    def take(self, rows):
        """Return some rows, given by their numbers or by a slice, as an array (m, width)."""
        return validation.rows(self._values[rows], self._name, self.shape[1], self.dtype)

    @property
    def block(self):
        """How many rows to take at a time."""
        return max(1, BLOCK_BYTES // (self.shape[1] * self.dtype.itemsize))

    def blocks(self):
        """Yield all rows in order, as slices."""
        for start in range(0, len(self), self.block):
            yield slice(start, min(start + self.block, len(self)))

    def min(self):
        return min(self.take(rows).min() for rows in self.blocks())

    def max(self):
        return max(self.take(rows).max() for rows in self.blocks())


def is_needed(x, dtype):
    """Whether an array is in a file, and cannot be read by the kernels as it is."""
    if not isinstance(x, np.memmap) or x.ndim == 0 or x.size == 0 or x.dtype.kind not in "biuf":
        return False
    return not (x.flags.c_contiguous and x.dtype in (dtype, np.dtype(np.uint8)))


def rows(x, name, width, dtype, input_shape=None):
    """Check inputs as `validation.rows` does; those in a file that have to be converted stay there."""
    if not is_needed(x, dtype):
        return validation.rows(x, name, width, dtype, input_shape)
    x = np.asarray(x)
    # The shape by a single row, then the values of all, a block at a time.
    validation.rows(x[:1], name, width, dtype, input_shape)
    result = MappedRows(x, name, dtype)
    for part in result.blocks():
        validation.rows(x[part], f"{name}[{part.start}:{part.stop}]", width, dtype, input_shape)
    return result
