"""Layers that scale the inputs, before anything else. They are no operation of the kernels: rows are scaled as they are
taken, in float64 and block by block. Bytes that are only multiplied by a number are left to the kernels."""

import numpy as np

from . import validation
from .layer_base import Layer

# What Keras takes for the standard deviation of values that do not vary.
_EPSILON = 1e-7


class InputScaling(Layer):
    """Base class: ``x * factor + offset``, with numbers that `adapt` may have to find first.

    Bytes (uint8) are taken as the numbers that they are, not times the model's `input_scale`.
    """

    def emit(self, builder):
        pass

    @property
    def adapted(self):
        """Whether there is nothing to find, or it has been found."""
        return True

    # What bytes are multiplied by if that is all that is done to them, otherwise None: the kernels can do this.
    factor_of_bytes = None

    def factors(self, shape):
        """Return factor and the pair of offsets before and after it, float64, which broadcast with rows of a shape."""
        raise NotImplementedError(f"{type(self).__name__} does not define factors(self, shape)")

    def apply(self, rows, shape):
        """Return rows (n, width) of samples of a shape, scaled, float64."""
        if not self.adapted:
            raise RuntimeError(
                f"the layer {self!r} does not know its data yet: call its adapt(data), or fit() the model, first"
            )
        factor, offset = self.factors(shape)
        # Subtracted before it is multiplied, so that large numbers close to one another keep their digits.
        result = np.subtract(rows, offset[0], dtype=np.float64)
        result *= factor
        result += offset[1]
        return result


def _numbers(name, value):
    """Return statistics as float64: a number, or one for each place of the last axis (k,)."""
    result = validation.array(value, name).astype(np.float64)
    if not np.isfinite(result).all():
        raise ValueError(f"{name} must be finite, got {value!r}")
    if result.ndim > 1:
        raise ValueError(
            f"{name} must be a number or one for each place of the last axis, got the shape {result.shape}"
        )
    return result


def _spread(values, shape, name):
    """Return statistics as a row (width,) of samples of a shape, or as they are if they are one number."""
    if values.ndim and len(values) != shape[-1]:
        raise ValueError(f"{name} has {len(values)} values, but the last axis of the inputs {shape} has {shape[-1]}")
    return np.tile(values, int(np.prod(shape[:-1]))) if values.ndim else values


class _Adapting(InputScaling):
    """Finds statistics of the data, by blocks in a fixed order.

    Subclasses have ``_statistics(values)``, those of one block, ``_merge(a, b)`` of two, and ``_keep(*statistics)``.
    """

    def __init__(self, axis, input_shape, name):
        super().__init__(name, input_shape)
        if axis not in (-1, None) or isinstance(axis, bool):
            raise ValueError(
                f"axis must be -1 (every place of the last axis by itself) or None (all alike), got {axis!r}"
            )
        self.axis = axis

    def adapt(self, data):
        """Find the statistics of data.

        Parameters
        ----------
        data : array_like or frame, shape (n, ...), or an iterable of such chunks
            np.memmap is read block by block. Of a chunk that is a tuple the first part counts.

        Raises
        ------
        ValueError, TypeError
            If they are no finite numbers.
        RuntimeError
            If the model is in `fit`.
        """
        if self._network is not None and self._network.live is not None:
            raise RuntimeError("adapt() cannot run while the model is in fit()")
        from .sources import chunked

        if chunked(data) or (isinstance(data, list) and all(hasattr(chunk, "shape") for chunk in data)):
            self.adapt_to(chunk[0] if isinstance(chunk, tuple) else chunk for chunk in data)
        else:
            self.adapt_to([data])

    def adapt_to(self, chunks, shape=None):
        """Find the statistics of chunks, each an array (m, ...), of samples of a shape if it is not theirs."""
        total = None
        for chunk in chunks:
            for values in _blocks(chunk, shape):
                part = self._statistics(values.reshape(-1, 1) if self.axis is None else values)
                total = part if total is None else self._merge(total, part)
        if total is None:
            raise ValueError(f"there are no data to adapt {self!r} to")
        self._keep(*(np.squeeze(value) if self.axis is None else value for value in total))


def _blocks(data, shape=None):
    """Yield data in blocks (m, places of the last axis), float64."""
    from .mapped import BLOCK_BYTES

    values = data if isinstance(data, np.memmap) else validation.array(data, "data")
    if values.ndim == 0 or values.size == 0:
        raise ValueError(f"data to adapt to must have rows, got the shape {values.shape}")
    if shape is not None:
        values = values.reshape(len(values), *shape)
    rows = max(1, BLOCK_BYTES // (8 * max(1, values.size // len(values))))
    for start in range(0, len(values), rows):
        part = np.asarray(values[start : start + rows])
        part = validation.real(part, f"data[{start}:{start + len(part)}]", np.dtype(np.float64), keep_uint8=False)
        yield part.reshape(-1, part.shape[-1] if part.ndim > 1 else 1)


class Normalization(_Adapting):
    """Standardises the inputs: subtracts the mean and divides by the standard deviation. The first layer of a model.

    The first `fit` of the model adapts it to its training data, unless `adapt` has been called or mean and variance
    are given. Values that do not vary are divided by 1e-7, as in Keras.

    Parameters
    ----------
    axis : {-1, None}, default -1
        -1: every place of the last axis, which is every column of a table, has a mean and a variance of its own.
        None: all values have one.
    mean, variance : float or array_like, shape (places of the last axis,), optional
        Both or none.
    invert : bool, default False
        Whether to multiply and add instead, which takes standardised inputs back.
    input_shape : tuple of int, optional
        Shape of a sample.
    name : str, optional

    Attributes
    ----------
    mean, variance : ndarray of float64 or None

    Raises
    ------
    ValueError, TypeError
        If an argument is not right.
    """

    def __init__(self, axis=-1, mean=None, variance=None, invert=False, input_shape=None, name=None):
        super().__init__(axis, input_shape, name)
        if (mean is None) != (variance is None):
            raise ValueError(f"mean and variance go together, got mean={mean!r} and variance={variance!r}")
        self.invert = validation.flag("invert", invert)
        self.mean = self.variance = None
        if mean is not None:
            mean, variance = _numbers("mean", mean), _numbers("variance", variance)
            if mean.shape != variance.shape:
                raise ValueError(f"mean and variance must have one shape, got {mean.shape} and {variance.shape}")
            if (variance < 0).any():
                raise ValueError(f"variance must not be negative, got {float(variance.min())!r}")
            self.mean, self.variance = mean, variance

    adapted = property(lambda self: self.mean is not None)

    def _statistics(self, values):
        # Two passes over a block: no digits are lost to a large mean.
        mean = values.mean(axis=0)
        return len(values), mean, ((values - mean) ** 2).sum(axis=0)

    def _merge(self, a, b):
        # Chan, Golub and LeVeque (1979).
        (n, mean, squares), (m, other, more) = a, b
        shift = other - mean
        return n + m, mean + shift * (m / (n + m)), squares + more + shift**2 * (n * m / (n + m))

    def _keep(self, n, mean, squares):
        self.mean, self.variance = mean, squares / n

    def factors(self, shape):
        mean = _spread(self.mean, shape, "mean")
        deviation = np.maximum(np.sqrt(_spread(self.variance, shape, "variance")), _EPSILON)
        return (deviation, (0.0, mean)) if self.invert else (1.0 / deviation, (mean, 0.0))

    def get_config(self):
        found = {"mean": None, "variance": None}
        if self.adapted:
            found = {"mean": self.mean.tolist(), "variance": self.variance.tolist()}
        return {**super().get_config(), "axis": self.axis, **found, "invert": self.invert}


class MinMax(_Adapting):
    """Brings the inputs into a range, by the smallest and the largest value of the data. The first layer of a model.

    The first `fit` of the model adapts it to its training data, unless `adapt` has been called or both values are
    given. Other data may leave the range. Values that do not vary become the lower end.

    Parameters
    ----------
    feature_range : tuple of float, default (0.0, 1.0)
        The lower and the upper end.
    axis : {-1, None}, default -1
        -1: every place of the last axis, which is every column of a table, has a smallest and a largest value of its
        own. None: all values have one.
    minimum, maximum : float or array_like, shape (places of the last axis,), optional
        Both or none.
    input_shape : tuple of int, optional
        Shape of a sample.
    name : str, optional

    Attributes
    ----------
    minimum, maximum : ndarray of float64 or None

    Raises
    ------
    ValueError, TypeError
        If an argument is not right.
    """

    def __init__(self, feature_range=(0.0, 1.0), axis=-1, minimum=None, maximum=None, input_shape=None, name=None):
        super().__init__(axis, input_shape, name)
        if not isinstance(feature_range, (tuple, list)) or len(feature_range) != 2:
            raise ValueError(f"feature_range must be a lower and an upper end, got {feature_range!r}")
        low = validation.number("the lower end of feature_range", feature_range[0])
        self.feature_range = low, validation.number("the upper end of feature_range", feature_range[1], low, above=True)
        if (minimum is None) != (maximum is None):
            raise ValueError(f"minimum and maximum go together, got minimum={minimum!r} and maximum={maximum!r}")
        self.minimum = self.maximum = None
        if minimum is not None:
            minimum, maximum = _numbers("minimum", minimum), _numbers("maximum", maximum)
            if minimum.shape != maximum.shape or (minimum > maximum).any():
                raise ValueError(f"minimum must not be above maximum, got {minimum.tolist()} and {maximum.tolist()}")
            self._keep(minimum, maximum)

    adapted = property(lambda self: self.minimum is not None)

    def _statistics(self, values):
        return values.min(axis=0), values.max(axis=0)

    def _merge(self, a, b):
        return np.minimum(a[0], b[0]), np.maximum(a[1], b[1])

    def _keep(self, minimum, maximum):
        self.minimum, self.maximum = minimum, maximum

    def factors(self, shape):
        minimum = _spread(self.minimum, shape, "minimum")
        span = _spread(self.maximum, shape, "maximum") - minimum
        low, high = self.feature_range
        return (high - low) / np.where(span > 0.0, span, 1.0), (minimum, low)

    def get_config(self):
        found = {"minimum": None, "maximum": None}
        if self.adapted:
            found = {"minimum": self.minimum.tolist(), "maximum": self.maximum.tolist()}
        return {**super().get_config(), "feature_range": list(self.feature_range), "axis": self.axis, **found}


class Rescaling(InputScaling):
    """Multiplies the inputs by a number and adds another. The first layer of a model.

    Parameters
    ----------
    scale : float
        ``1 / 255`` brings bytes into [0, 1].
    offset : float, default 0.0
    input_shape : tuple of int, optional
        Shape of a sample.
    name : str, optional
    """

    def __init__(self, scale, offset=0.0, input_shape=None, name=None):
        super().__init__(name, input_shape)
        self.scale = validation.number("scale", scale)
        self.offset = validation.number("offset", offset)

    factor_of_bytes = property(lambda self: None if self.offset else self.scale)

    def factors(self, shape):
        return self.scale, (0.0, self.offset)

    def get_config(self):
        return {**super().get_config(), "scale": self.scale, "offset": self.offset}
