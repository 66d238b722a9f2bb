"""Functions of arrays by Keras's names, for metrics of one's own and for data. They are NumPy's, without gradients."""

import functools

import numpy as np

from .arguments import missing
from .tensors import Array

_OF_NUMPY = (
    "abs", "all", "any", "argmax", "argmin", "argsort", "clip", "concatenate", "cos", "cumsum", "divide", "dot",
    "equal", "exp", "expand_dims", "floor", "greater", "greater_equal", "isnan", "less", "less_equal", "log",
    "logical_and", "logical_not", "logical_or", "matmul", "max", "maximum", "mean", "median", "min", "minimum",
    "multiply", "negative", "not_equal", "ones_like", "power", "prod", "reshape", "round", "sign", "sin", "sqrt",
    "square", "squeeze", "stack", "std", "subtract", "sum", "tanh", "transpose", "var", "where", "zeros_like",
)  # fmt: skip


def _giving_arrays(function):
    @functools.wraps(function, assigned=("__name__", "__doc__"))
    def call(*args, **kwargs):
        return Array(function(*args, **kwargs))

    return call


FUNCTIONS = {name: _giving_arrays(getattr(np, name)) for name in _OF_NUMPY}
globals().update(FUNCTIONS)


def cast(x, dtype):
    """Return an array of another dtype."""
    return Array(np.asarray(x).astype(dtype))


def convert_to_tensor(x, dtype=None):
    """Return `x` as an array."""
    return Array(np.asarray(x, dtype))


def convert_to_numpy(x):
    """Return `x` as a plain array."""
    return np.asarray(x)


def shape(x):
    """Return the shape of an array."""
    return np.shape(x)


__all__ = ["cast", "convert_to_numpy", "convert_to_tensor", "shape", *FUNCTIONS]
__getattr__ = missing("keras.ops", __all__)
