"""What scripts import from ``keras.backend``: settings, and functions of arrays, which are those of `ops`."""

import numpy as np

from . import ops
from .arguments import missing
from .seeds import clear_session
from .tensors import Array


def backend():
    """Return the name of what computes."""
    return "fastnn"


def floatx():
    """Return the dtype of weights and computations."""
    return "float32"


def epsilon():
    """Return what Keras keeps probabilities away from 0 and 1 by."""
    return 1e-7


def image_data_format():
    """Return where the channels of an image are."""
    return "channels_last"


def get_value(x):
    """Return `x`, such as a learning rate, as a number or an array."""
    return x.numpy() if hasattr(x, "numpy") else x


def set_value(x, value):
    """Set ``model.optimizer.learning_rate``, the one variable that can be set."""
    if not hasattr(x, "assign"):
        raise TypeError(f"set_value sets model.optimizer.learning_rate, got {x!r}; weights have set_weights")
    x.assign(value)


def flatten(x):
    """Return an array of one axis."""
    return Array(np.ravel(x))


cast, pow = ops.cast, ops.power
globals().update(ops.FUNCTIONS)

__all__ = ["backend", "cast", "clear_session", "epsilon", "flatten", "floatx", "get_value", "image_data_format", "pow",
           "set_value", *ops.FUNCTIONS]  # fmt: skip
__getattr__ = missing("keras.backend", __all__)
