"""Layers that are random in training and do nothing afterwards, by the names of Keras.

Their numbers come from a counter, so that a fit that is resumed draws what it would have drawn; see
`fastnn.kernels.dropout`.
"""

import math

from . import validation
from .layer_base import Layer


class Dropout(Layer):
    """Inverted dropout: in training, drops a share of the values and scales the others up.

    Parameters
    ----------
    rate : float
        Share to drop, in [0, 1).
    input_shape : tuple of int, optional
        Shape of a sample, for the first layer of a model.
    name : str, optional
    """

    def __init__(self, rate, input_shape=None, name=None):
        super().__init__(name, input_shape)
        self.rate = validation.number("rate", rate, low=0.0, high=1.0, below=True)

    def emit(self, builder):
        builder.dropout(self.rate)

    def get_config(self):
        return {**super().get_config(), "rate": self.rate}


class MaskingNoise(Dropout):
    """In training, sets a share of the values to zero and leaves the others as they are: for denoising autoencoders.

    Parameters
    ----------
    rate : float
        Share to set to zero, in [0, 1).
    input_shape : tuple of int, optional
        Shape of a sample, for the first layer of a model.
    name : str, optional
    """

    def emit(self, builder):
        builder.dropout(self.rate, scaled=False)


class GaussianNoise(Layer):
    """In training, adds normal numbers of mean zero.

    Parameters
    ----------
    stddev : float
        Their standard deviation, not negative.
    input_shape : tuple of int, optional
        Shape of a sample, for the first layer of a model.
    name : str, optional
    """

    def __init__(self, stddev, input_shape=None, name=None):
        super().__init__(name, input_shape)
        self.stddev = validation.number("stddev", stddev, low=0.0)

    def emit(self, builder):
        builder.noise("gaussian_noise", self.stddev)

    def get_config(self):
        return {**super().get_config(), "stddev": self.stddev}


class GaussianDropout(Dropout):
    """In training, multiplies by normal numbers of mean one and of the variance of dropout (Srivastava et al., 2014).

    Parameters
    ----------
    rate : float
        In [0, 1); the standard deviation is ``sqrt(rate / (1 - rate))``.
    input_shape : tuple of int, optional
        Shape of a sample, for the first layer of a model.
    name : str, optional
    """

    def emit(self, builder):
        builder.noise("gaussian_dropout", math.sqrt(self.rate / (1.0 - self.rate)))
