"""Tensors that stand for samples while a model is put together, the chains that they make, and arrays of numbers."""

import numpy as np


class Array(np.ndarray):
    """An array that calls with arrays return, with what scripts ask Keras's tensors and variables for.

    Attributes
    ----------
    name : str or None
        Of a weight: "kernel" or "bias"; `path` has the layer's too.
    """

    name = path = None

    def __new__(cls, values, name=None, layer=None):
        array = np.asarray(values).view(cls)
        if name is not None:
            array.name, array.path = name, f"{layer}/{name}"
        return array

    def assign(self, value):
        """Refused: what is computed is a copy."""
        raise AttributeError("arrays here are copies; set_weights of the layer or the model changes weights")

    def numpy(self):
        """Return the plain array, or the number if there is one alone."""
        return np.asarray(self)[()]


class KerasTensor:
    """What a layer makes of what it was called on.

    Attributes
    ----------
    shape : tuple
        Batch axis first: ``(None, ...)``.
    dtype : str
    """

    dtype = "float32"

    def __init__(self, shape, layer, source):
        self.shape, self._layer, self._source = shape, layer, source

    ndim = property(lambda self: len(self.shape))
    name = property(lambda self: self._layer.name)

    def _refuse(self, *_):
        raise TypeError("computing with tensors is not supported: models are chains of layers, one after the other")

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _refuse
    __matmul__ = __pow__ = __neg__ = __abs__ = __getitem__ = __lt__ = __gt__ = __array__ = _refuse

    def __repr__(self):
        return f"<KerasTensor shape={self.shape}, dtype={self.dtype}, name={self.name}>"


def only(tensors, what):
    """Return the tensor of a list of one; more are refused."""
    if isinstance(tensors, dict) or (isinstance(tensors, (list, tuple)) and len(tensors) != 1):
        raise ValueError(f"{what} takes one tensor, got {len(tensors)}: models are chains, one input and one output")
    return tensors[0] if isinstance(tensors, (list, tuple)) else tensors


def chain(inputs, outputs):
    """Return the layers from one tensor to another, in order."""
    for tensor in (inputs, outputs):
        if not isinstance(tensor, KerasTensor):
            raise TypeError(f"Model takes tensors of Input and of layers, got {tensor!r}")
    found, tensor = [], outputs
    while tensor is not inputs:
        if tensor._source is None:
            raise ValueError(f"the output {outputs!r} does not follow from the input {inputs!r}")
        found.append(tensor._layer)
        tensor = tensor._source
    return found[::-1]
