"""Layers that are random in training, with Keras's arguments."""

from .. import layers as engine
from .. import validation
from .arguments import spelled
from .base import Layer


class _Random(Layer):
    """Base class: takes a seed, which with those of the model's other random layers decides what it draws."""

    def __init__(self, spec, seed, **kwargs):
        super().__init__(spec, **kwargs)
        self.seed = None if seed is None else validation.integer("seed", seed, low=0)


class Dropout(_Random, refused={"noise_shape": None}):
    """Inverted dropout.

    Parameters
    ----------
    rate : float
        Share to drop, in [0, 1). `p` is an old spelling.
    noise_shape : None
        Not supported.
    seed : int, optional
        The same seeds in a model make the same masks, whatever the other random numbers are. By default they come from
        `utils.set_random_seed`.
    """

    @spelled(p="rate")
    def __init__(self, rate, noise_shape=None, seed=None, **kwargs):
        self._refuse(noise_shape=noise_shape)
        super().__init__(engine.Dropout(rate), seed, **kwargs)
        self.rate = self._spec.rate

    def _config(self):
        return {"rate": self.rate, "seed": self.seed, "noise_shape": None}


class GaussianDropout(_Random):
    """Multiplies by normal numbers of mean one in training.

    Parameters
    ----------
    rate : float
        In [0, 1); the standard deviation is ``sqrt(rate / (1 - rate))``.
    seed : int, optional
        As for `Dropout`.
    """

    def __init__(self, rate, seed=None, **kwargs):
        super().__init__(engine.GaussianDropout(rate), seed, **kwargs)
        self.rate = self._spec.rate

    def _config(self):
        return {"rate": self.rate, "seed": self.seed}


class GaussianNoise(_Random):
    """Adds normal noise in training.

    Parameters
    ----------
    stddev : float
    seed : int, optional
        As for `Dropout`.
    """

    def __init__(self, stddev, seed=None, **kwargs):
        super().__init__(engine.GaussianNoise(stddev), seed, **kwargs)
        self.stddev = self._spec.stddev

    def _config(self):
        return {"stddev": self.stddev, "seed": self.seed}
