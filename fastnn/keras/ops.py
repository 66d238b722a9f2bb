"""Functions of arrays by Keras's names, for metrics of one's own and for data. They are NumPy's, without gradients."""

import inspect

import numpy as np

from .arguments import missing, parse
from .tensors import Array

# Arguments in Keras's order, which NumPy's functions take in the same one.
_NAMES = {
    "x": "abs cos exp floor isnan log logical_not negative sign sin sqrt square tanh",
    "x1 x2": "divide dot equal greater greater_equal less less_equal logical_and logical_or matmul maximum minimum "
    "multiply not_equal power subtract",
    "x axis=None keepdims=False": "all any argmax argmin max mean median min prod std sum var",
    "x axis=None": "cumsum squeeze",
    "x axis=-1": "argsort",
    "x axis=0": "stack",
    "xs axis=0": "concatenate",
    "x axis": "expand_dims",
    "x axes=None": "transpose",
    "x newshape": "reshape",
    "x decimals=0": "round",
    "x x_min x_max": "clip",
    "x dtype=None": "ones_like zeros_like",
    "condition x1 x2": "where",
}


def _made(name, arguments):
    function, taken = getattr(np, name), inspect.Signature(parse(arguments))
    by_name = "keepdims" in taken.parameters

    def call(*args, **kwargs):
        bound = taken.bind(*args, **kwargs)
        bound.apply_defaults()
        x, *rest = bound.args
        return Array(function(x, axis=rest[0], keepdims=rest[1]) if by_name else function(x, *rest))

    call.__name__, call.__doc__, call.__signature__ = name, f"As ``numpy.{name}``.", taken
    return call


FUNCTIONS = {name: _made(name, arguments) for arguments, names in _NAMES.items() for name in names.split()}
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
