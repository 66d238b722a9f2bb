"""Activations by name, as layers take them, and as functions of arrays."""

import inspect

import numpy as np

from .. import validation
from ..kernels import activations as table
from .arguments import missing, parse, refuse
from .tensors import Array, KerasTensor

# What the functions take beside x in Keras; of these, alpha and negative_slope are the parameter of the kernels' row.
_ARGUMENTS = {
    "elu": "alpha=1.0",
    "gelu": "approximate=False",
    "leaky_relu": "negative_slope=0.2",
    "relu": "negative_slope=0.0 max_value=None threshold=0.0",
    "softmax": "axis=-1",
}


class ActivationFunction:
    """An activation; a layer takes it for its name.

    Attributes
    ----------
    name : str
    """

    def __init__(self, name):
        self.name = self.__name__ = name
        more = parse(_ARGUMENTS.get(name, ""))
        self._defaults = {p.name: p.default for p in more}
        self.__signature__ = inspect.Signature([*parse("x"), *more])

    def __call__(self, *args, **kwargs):
        """Return the activation of an array, or append it to the chain of a tensor."""
        if args and isinstance(args[0], KerasTensor):
            from .layers import Activation

            refuse(self.name, dict(zip(self._defaults, args[1:], strict=False)) | kwargs, self._defaults, ("x",))
            return Activation(self.name)(args[0])
        bound = self.__signature__.bind(*args, **kwargs)
        bound.apply_defaults()
        x, given = bound.arguments.pop("x"), bound.arguments
        slope = given.pop("alpha", given.pop("negative_slope", None))
        refuse(self.name, given, self._defaults, ("x", *(name for name in self._defaults if name not in given)))
        row = table.BY_NAME["leaky_relu" if self.name == "relu" and slope else self.name]
        x = np.asarray(x, np.float32)
        flat = np.atleast_2d(x)
        return Array(np.asarray(row.forward(flat, row.alpha if slope is None else slope), x.dtype).reshape(x.shape))

    def __repr__(self):
        return f"<activation {self.name}>"


FUNCTIONS = {name: ActivationFunction(name) for name in table.BY_NAME}
FUNCTIONS["swish"] = FUNCTIONS["silu"]
globals().update(FUNCTIONS)


def get(identifier):
    """Return the activation that a name, one of these functions, or None for linear, stands for."""
    name = "linear" if identifier is None else getattr(identifier, "name", identifier)
    return FUNCTIONS[validation.choice("activation", name, FUNCTIONS)]


__all__ = ["get", *FUNCTIONS]
__getattr__ = missing("keras.activations", __all__)
