"""Initializers: how the weights of a layer are drawn. Names, formulas and defaults are those of Keras."""

import math

import numpy as np

from . import validation

__all__ = [
    "Constant",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "Initializer",
    "LecunNormal",
    "LecunUniform",
    "Ones",
    "Orthogonal",
    "RandomNormal",
    "RandomUniform",
    "TruncatedNormal",
    "VarianceScaling",
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


class _Scaled(Initializer):
    scale = 1.0
    mode = "fan_avg"
    distribution = "uniform"

    def __call__(self, shape, rng):
        fan_in, fan_out = _fans(shape)
        variance = self.scale / {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": 0.5 * (fan_in + fan_out)}[self.mode]
        if self.distribution == "uniform":
            limit = math.sqrt(3.0 * variance)
            return rng.uniform(-limit, limit, shape)
        if self.distribution == "untruncated_normal":
            return rng.normal(0.0, math.sqrt(variance), shape)
        return _truncated_normal(rng, shape) * (math.sqrt(variance) / _TRUNCATED_STDDEV)


class VarianceScaling(_Scaled):
    """Random weights of the variance ``scale / n``, of which the others with fans are special cases.

    Parameters
    ----------
    scale : float, default 1.0
        Above 0.
    mode : {"fan_in", "fan_out", "fan_avg"}, default "fan_in"
        What n is: the number of inputs, of outputs, or their mean.
    distribution : {"truncated_normal", "untruncated_normal", "uniform"}, default "truncated_normal"
    """

    def __init__(self, scale=1.0, mode="fan_in", distribution="truncated_normal"):
        self.scale = validation.number("scale", scale, low=0.0, above=True)
        self.mode = validation.choice("mode", mode, ("fan_in", "fan_out", "fan_avg"))
        known = ("truncated_normal", "untruncated_normal", "uniform")
        self.distribution = validation.choice("distribution", distribution, known)


class GlorotUniform(_Scaled):
    """Uniform within ``sqrt(6 / (fan_in + fan_out))``."""


class GlorotNormal(_Scaled):
    """Truncated normal of variance ``2 / (fan_in + fan_out)``."""

    distribution = "truncated_normal"


class HeUniform(_Scaled):
    """Uniform within ``sqrt(6 / fan_in)``."""

    scale, mode = 2.0, "fan_in"


class HeNormal(_Scaled):
    """Truncated normal of variance ``2 / fan_in``."""

    scale, mode, distribution = 2.0, "fan_in", "truncated_normal"


class LecunUniform(_Scaled):
    """Uniform within ``sqrt(3 / fan_in)``."""

    mode = "fan_in"


class LecunNormal(_Scaled):
    """Truncated normal of variance ``1 / fan_in``."""

    mode, distribution = "fan_in", "truncated_normal"


class Zeros(Initializer):
    """All zero."""

    def __call__(self, shape, rng):
        return np.zeros(shape)


class Ones(Initializer):
    """All one."""

    def __call__(self, shape, rng):
        return np.ones(shape)


class Constant(Initializer):
    """All one value.

    Parameters
    ----------
    value : float, default 0.0
    """

    def __init__(self, value=0.0):
        self.value = validation.number("value", value)

    def __call__(self, shape, rng):
        return np.full(shape, self.value)


class Orthogonal(Initializer):
    """Orthogonal columns, or rows if there are fewer of them (Saxe, McClelland and Ganguli, 2014).

    Parameters
    ----------
    gain : float, default 1.0
        Their length.
    """

    def __init__(self, gain=1.0):
        self.gain = validation.number("gain", gain)

    def __call__(self, shape, rng):
        if len(shape) < 2:
            raise ValueError(f"Orthogonal needs weights of two axes or more, got the shape {shape}")
        rows, columns = math.prod(shape[:-1]), shape[-1]
        q, r = np.linalg.qr(rng.standard_normal((max(rows, columns), min(rows, columns))))
        q *= np.sign(np.diag(r))  # makes every orthogonal matrix as likely as another
        return self.gain * (q if rows >= columns else q.T).reshape(shape)


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


class TruncatedNormal(RandomNormal):
    """Normal distribution without what is more than two standard deviations from the mean.

    Parameters
    ----------
    mean : float, default 0.0
    stddev : float, default 0.05
        Before the cut, which lowers it by an eighth.
    """

    def __call__(self, shape, rng):
        return self.mean + self.stddev * _truncated_normal(rng, shape)


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
    "truncated_normal": TruncatedNormal,
    "variance_scaling": VarianceScaling,
    "orthogonal": Orthogonal,
    "constant": Constant,
}
_ALIASES = {
    "uniform": "random_uniform",
    "normal": "random_normal",
    "zero": "zeros",
    "one": "ones",
    **{cls.__name__.lower(): name for name, cls in _BY_NAME.items()},
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
    return validation.resolve("initializer", identifier, Initializer, _BY_NAME, _ALIASES)


def serialize(initializer):
    """Return ``{"name", "config"}`` of an initializer, which JSON can hold."""
    return validation.serialize(initializer, _BY_NAME)


def deserialize(config):
    """Return the initializer that `serialize` described."""
    return validation.deserialize("initializer", config, _BY_NAME)
