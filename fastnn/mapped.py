"""Rows that are converted when they are taken: of arrays in files, and of inputs that are to be scaled."""

import math

import numpy as np

from . import validation

# Bytes of converted rows at a time.
BLOCK_BYTES = 1 << 24
# And of numbers that are scaled at a time, which stay in the second-level cache.
_SCALED_BYTES = 1 << 20


class MappedRows:
    """Rows of an array as the kernels want them, without ever holding all of them.

    Parameters
    ----------
    values : ndarray, shape (n, ...)
        Whatever `validation.rows` would convert.
    name : str
        What to call it in a message.
    dtype : numpy.dtype
        The model's.
    in_file : bool
        Whether the array should not be in memory as a whole.
    scale : callable, optional
        Makes rows (m, width) of float64 of those that there are.

    Attributes
    ----------
    shape : tuple of int
        (n, width).
    """

    ndim = 2

    def __init__(self, values, name, dtype, in_file, scale=None):
        self.values = values
        self._name = name
        self.dtype = dtype
        self.in_file = in_file
        self._scale = scale
        self.shape = (len(values), math.prod(values.shape[1:]))

    def __len__(self):
        return len(self.values)

    def __getitem__(self, rows):
        return MappedRows(self.values[rows], self._name, self.dtype, self.in_file, self._scale)

    def scaled(self, scale):
        """Return the same rows, scaled when they are taken."""
        return MappedRows(self.values, self._name, self.dtype, self.in_file, scale)

    def take(self, rows):
        """Return some rows, given by their numbers or by a slice, as an array (m, width)."""
        values, width = self.values[rows], self.shape[1]
        if self._scale is None:
            return validation.rows(values, self._name, width, self.dtype)
        out = np.empty((len(values), width), self.dtype)
        step = max(1, _SCALED_BYTES // (8 * width))
        for start in range(0, len(values), step):
            part = slice(start, start + step)
            out[part] = self._scale(validation.rows(values[part], self._name, width, np.dtype(np.float64)))
        return out

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
    return not (x.flags.c_contiguous and x.flags.aligned and x.dtype in (dtype, np.dtype(np.uint8)))


def rows(x, name, width, dtype, input_shape=None):
    """Check inputs as `validation.rows` does; those in a file that have to be converted stay there."""
    if not is_needed(x, dtype):
        return validation.rows(x, name, width, dtype, input_shape)
    x = np.asarray(x)
    # The shape by a single row, then the values of all, a block at a time.
    validation.rows(x[:1], name, width, dtype, input_shape)
    result = MappedRows(x, name, dtype, in_file=True)
    for part in result.blocks():
        validation.rows(x[part], f"{name}[{part.start}:{part.stop}]", width, dtype, input_shape)
    return result


def scaled_rows(x, checked, name, dtype, scale):
    """Return the rows of `x`, which `rows` made `checked` of, to be scaled when they are taken."""
    if not isinstance(checked, MappedRows):
        checked = MappedRows(np.asarray(validation.array(x, name)), name, dtype, in_file=isinstance(x, np.memmap))
    return checked.scaled(scale)
