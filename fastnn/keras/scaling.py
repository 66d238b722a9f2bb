"""Layers that scale the inputs, with Keras's arguments. They come before whatever computes."""

import math

import numpy as np

from .. import layers as engine
from .base import Layer
from .tensors import Array


class Rescaling(Layer):
    """``x * scale + offset``, as the first layer that computes.

    Parameters
    ----------
    scale : float
    offset : float, default 0.0
    """

    def __init__(self, scale, offset=0.0, **kwargs):
        self.scale, self.offset = scale, offset
        super().__init__(engine.Rescaling(scale, offset), **kwargs)

    def _config(self):
        return {"scale": self.scale, "offset": self.offset}


class _Shared(engine.Normalization):
    """The engine's layer with statistics that its copies in several models share."""

    _stands_for = engine.Normalization  # which is what a file has it as

    def __init__(self, axis, mean, variance, invert):
        self._found = {}
        super().__init__(axis, mean, variance, invert)

    mean = property(lambda self: self._found["mean"], lambda self, value: self._found.update(mean=value))
    variance = property(lambda self: self._found["variance"], lambda self, value: self._found.update(variance=value))


class Normalization(Layer):
    """Standardises the inputs by mean and standard deviation, as the first layer that computes.

    Parameters
    ----------
    axis : int, tuple of int or None, default -1
        The last axis, each place of which has a mean and a variance of its own; or None or (): all values have one.
    mean, variance : float or array_like, optional
        Both or none; by default `adapt` finds them, and before that they are 0 and 1.
    invert : bool, default False
        Whether to multiply and add instead.

    Attributes
    ----------
    mean, variance : Array or None
        As they apply to a sample, with the batch axis; None before the layer has a shape.
    """

    def __init__(self, axis=-1, mean=None, variance=None, invert=False, **kwargs):
        axes = () if axis is None else (axis,) if isinstance(axis, int) else tuple(axis)
        if len(axes) > 1:
            raise ValueError(f"Normalization supports one axis, the last, or None, got axis={axis!r}")
        self.axis, self._adapts = axes, mean is None
        super().__init__(_Shared(-1 if axes else None, mean, variance, invert), **kwargs)

    def _check_input(self, shape):
        if self.axis and self.axis[0] not in (-1, len(shape)):
            raise ValueError(f"Normalization supports the last axis only, got axis={self.axis[0]} for samples {shape}")
        size = shape[-1:] if self.axis else ()
        if self._adapts and not self._spec.adapted:
            self._spec.mean, self._spec.variance = np.zeros(size), np.ones(size)

    def adapt(self, data):
        """Find mean and variance of data: an array (n, ...), a frame, or an iterable of batches."""
        if not self._adapts:
            raise ValueError(f"the layer {self.name!r} was given its mean and variance: there is nothing to adapt")
        self._spec.adapt(data)
        # As weights are, so that a copy of them is the same.
        self._keep_statistics([np.asarray(value, np.float32) for value in (self._spec.mean, self._spec.variance)])
        if hasattr(data, "shape") and not self.built:
            self._build(tuple(data.shape[1:]) or (1,))

    def _statistics(self):
        if not self._adapts:
            return {}
        found = {"mean": self._spec.mean, "variance": self._spec.variance, "count": 0}
        return {name: np.asarray(value, np.float32) for name, value in found.items()}

    def _keep_statistics(self, values):
        if values:
            self._spec.mean, self._spec.variance = (np.asarray(value, np.float64) for value in values[:2])

    def _spread(self, value):
        if not self.built:
            return None
        wide = np.broadcast_to(np.asarray(value, np.float32), self._in[-1:] if self.axis else ())
        return Array(wide.reshape((1,) * len(self._in) + (math.prod(wide.shape),)).copy())

    mean = property(lambda self: self._spread(self._spec.mean))
    variance = property(lambda self: self._spread(self._spec.variance))

    def _config(self):
        given = {"mean": None, "variance": None}
        if not self._adapts:
            given = {"mean": self._spec.mean.tolist(), "variance": self._spec.variance.tolist()}
        return {"axis": list(self.axis), "invert": self._spec.invert, **given}
