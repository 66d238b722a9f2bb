"""Initializers: how the weights of a layer are drawn. Names, formulas and defaults are those of Keras."""

import math

import numpy as np

from . import validation

__all__ = [
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "Initializer",
    "LecunNormal",
    "LecunUniform",
    "Ones",
    "RandomNormal",
    "RandomUniform",
    "Zeros",
    "deserialize",
    "get",
    "serialize",
]

# Standard deviation of a standard normal distribution that is cut at two sigma; Keras divides by it.
_TRUNCATED_STDDEV = 0.87962566103423978


class Initializer:
    """Base class. An initializer is called with a shape and a generator, and returns float64 weights."""

    def __call__(self, shape, rng):
        """Draw weights.

        Parameters
        ----------
        shape : tuple of int
        rng : numpy.random.Generator

        Returns
        -------
        ndarray of float64
        """
        raise NotImplementedError(f"{type(self).__name__} does not define __call__(self, shape, rng)")

    def get_config(self):
        """Return the constructor's arguments as a dict that JSON can hold."""
        return dict(vars(self))

    def __repr__(self):
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.get_config().items())})"


def _fans(shape):
    # A kernel is (..., n_in, n_out), the leading axes a receptive field; Keras takes a vector's length for both fans.
    if len(shape) < 2:
        return shape[0], shape[0]
    field = math.prod(shape[:-2])
    return field * shape[-2], field * shape[-1]


def _truncated_normal(rng, shape):
    z = rng.standard_normal(shape)
    while (outside := np.abs(z) > 2.0).any():
        z[outside] = rng.standard_normal(int(outside.sum()))
    return z


class _VarianceScaling(Initializer):
    scale = 1.0
    mode = "fan_avg"
    uniform = True

    def __call__(self, shape, rng):
        fan_in, fan_out = _fans(shape)
        variance = self.scale / (fan_in if self.mode == "fan_in" else 0.5 * (fan_in + fan_out))
        if self.uniform:
            limit = math.sqrt(3.0 * variance)
            return rng.uniform(-limit, limit, shape)
        return _truncated_normal(rng, shape) * (math.sqrt(variance) / _TRUNCATED_STDDEV)


class GlorotUniform(_VarianceScaling):
    """Uniform within ``sqrt(6 / (fan_in + fan_out))``."""


class GlorotNormal(_VarianceScaling):
    """Truncated normal of variance ``2 / (fan_in + fan_out)``."""

    uniform = False


class HeUniform(_VarianceScaling):
    """Uniform within ``sqrt(6 / fan_in)``."""

    scale, mode = 2.0, "fan_in"


class HeNormal(_VarianceScaling):
    """Truncated normal of variance ``2 / fan_in``."""

    scale, mode, uniform = 2.0, "fan_in", False


class LecunUniform(_VarianceScaling):
    """Uniform within ``sqrt(3 / fan_in)``."""

    mode = "fan_in"


class LecunNormal(_VarianceScaling):
    """Truncated normal of variance ``1 / fan_in``."""

    mode, uniform = "fan_in", False


class Zeros(Initializer):
    """All zero."""

    def __call__(self, shape, rng):
        return np.zeros(shape)


class Ones(Initializer):
    """All one."""

    def __call__(self, shape, rng):
        return np.ones(shape)


class RandomUniform(Initializer):
    """Uniform in ``[minval, maxval)``.

    Parameters
    ----------
    minval : float, default -0.05
    maxval : float, default 0.05
    """

    def __init__(self, minval=-0.05, maxval=0.05):
        self.minval = validation.number("minval", minval)
        self.maxval = validation.number("maxval", maxval)
        if self.minval > self.maxval:
            raise ValueError(f"minval must not exceed maxval, got {minval!r} and {maxval!r}")

    def __call__(self, shape, rng):
        return rng.uniform(self.minval, self.maxval, shape)


class RandomNormal(Initializer):
    """Normal distribution.

    Parameters
    ----------
    mean : float, default 0.0
    stddev : float, default 0.05
    """

    def __init__(self, mean=0.0, stddev=0.05):
        self.mean = validation.number("mean", mean)
        self.stddev = validation.number("stddev", stddev, low=0.0)

    def __call__(self, shape, rng):
        return rng.normal(self.mean, self.stddev, shape)


_BY_NAME = {
    "glorot_uniform": GlorotUniform,
    "glorot_normal": GlorotNormal,
    "he_uniform": HeUniform,
    "he_normal": HeNormal,
    "lecun_uniform": LecunUniform,
    "lecun_normal": LecunNormal,
    "zeros": Zeros,
    "ones": Ones,
    "random_uniform": RandomUniform,
    "random_normal": RandomNormal,
}


def get(identifier):
    """Return an initializer.

    Parameters
    ----------
    identifier : str or Initializer
        A name such as ``"he_normal"``, or an instance.

    Returns
    -------
    Initializer

    Raises
    ------
    ValueError
        If the name is unknown.
    TypeError
        If it is neither a name nor an initializer.
    """
    return validation.resolve("initializer", identifier, Initializer, _BY_NAME)


def serialize(initializer):
    """Return ``{"name", "config"}`` of an initializer, which JSON can hold."""
    return validation.serialize(initializer, _BY_NAME)


def deserialize(config):
    """Return the initializer that `serialize` described."""
    return validation.deserialize("initializer", config, _BY_NAME)
