"""Activations by name, as layers take them, and as functions of arrays."""

import numpy as np

from ..kernels import activations as table
from .arguments import missing


class ActivationFunction:
    """An activation; a layer takes it for its name.

    Attributes
    ----------
    name : str
    """

    def __init__(self, name):
        self.name = self.__name__ = name

    def __call__(self, x):
        """Return the activation of an array."""
        row = table.BY_NAME[self.name]
        x = np.asarray(x, np.float32)
        flat = np.atleast_2d(x)
        return np.asarray(row.forward(flat, row.alpha), x.dtype).reshape(x.shape)

    def __repr__(self):
        return f"<activation {self.name}>"


FUNCTIONS = {name: ActivationFunction(name) for name in table.BY_NAME}
FUNCTIONS["swish"] = FUNCTIONS["silu"]
globals().update(FUNCTIONS)

__all__ = [*FUNCTIONS]
__getattr__ = missing("keras.activations", __all__)
