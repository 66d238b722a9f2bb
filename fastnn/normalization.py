"""Layers that bring their inputs to mean 0 and variance 1, by the names of Keras.

Formulas and sources: `fastnn.kernels.normalization`. They run inside the compiled epoch like any other layer.
"""

from . import initializers, regularizers, validation
from .layer_base import Layer, described, regularize


class _Normalizing(Layer):
    """Base class: ``gamma * (x - mean) / sqrt(variance + epsilon) + beta``."""

    def __init__(
        self, axis, epsilon, center, scale, beta_initializer, gamma_initializer, beta_regularizer, gamma_regularizer,
        input_shape, name,
    ):  # fmt: skip
        super().__init__(name, input_shape)
        if axis not in (-1, 1) or isinstance(axis, bool):
            raise ValueError(f"axis must be -1 or 1, which is that of the features, got {axis!r}")
        self.axis = axis
        self.epsilon = validation.number("epsilon", epsilon, low=0.0, above=True)
        self.center = validation.flag("center", center)
        self.scale = validation.flag("scale", scale)
        self.beta_initializer = initializers.get(beta_initializer)
        self.gamma_initializer = initializers.get(gamma_initializer)
        self.beta_regularizer = regularizers.get(beta_regularizer)
        self.gamma_regularizer = regularizers.get(gamma_regularizer)

    def compute_output_shape(self, input_shape):
        if len(input_shape) != 1:
            raise ValueError(
                f"{type(self).__name__} needs samples of one axis, got the shape {input_shape}: put a Flatten layer "
                "before it"
            )
        return input_shape

    def weight_specs(self, input_shape):
        gamma = [("gamma", input_shape, self.gamma_initializer)] if self.scale else []
        return [*gamma, ("beta", input_shape, self.beta_initializer)] if self.center else gamma

    def _emit(self, builder, over, **more):
        builder.normalization(over, self.epsilon, self.center, self.scale, **more)
        regularize(
            builder,
            kernel=self.gamma_regularizer if self.scale else None,
            bias=self.beta_regularizer if self.center else None,
        )

    def get_config(self):
        return {
            **super().get_config(),
            "axis": self.axis,
            "epsilon": self.epsilon,
            "center": self.center,
            "scale": self.scale,
            "beta_initializer": initializers.serialize(self.beta_initializer),
            "gamma_initializer": initializers.serialize(self.gamma_initializer),
            "beta_regularizer": regularizers.serialize(self.beta_regularizer),
            "gamma_regularizer": regularizers.serialize(self.gamma_regularizer),
        }

    @classmethod
    def from_config(cls, config):
        return cls(**described(config))


class BatchNormalization(_Normalizing):
    """Normalises every feature over the rows of a batch (Ioffe and Szegedy, 2015, arXiv:1502.03167).

    In training mean and variance are those of the batch, the variance divided by the number of its rows; weights of
    samples do not enter. Each batch moves the moving statistics by ``moving = momentum * moving + (1 - momentum) *
    batch``; prediction and evaluation take these. Its weights are gamma, beta, moving_mean and moving_variance, (n,)
    each, of which the optimizer changes the first two.

    Parameters
    ----------
    axis : {-1, 1}, default -1
        That of the features.
    momentum : float, default 0.99
        In [0, 1]. With a few hundred batches in all, 0.9 follows the data sooner.
    epsilon : float, default 1e-3
        Added to the variance; above 0.
    center, scale : bool, default True
        Whether there is a beta, which is added, and a gamma, which multiplies.
    beta_initializer, gamma_initializer : str or Initializer, default "zeros" and "ones"
    moving_mean_initializer, moving_variance_initializer : str or Initializer, default "zeros" and "ones"
    beta_regularizer, gamma_regularizer : str or Regularizer, optional
        Penalties, part of the loss in training and in `evaluate`.
    input_shape : tuple of int, optional
        Shape of a sample, for the first layer of a model.
    name : str, optional

    Raises
    ------
    ValueError, TypeError
        If an argument has a value that it cannot have, or samples have more than one axis.
    """

    fixed_weights = ("moving_mean", "moving_variance")

    def __init__(
        self,
        axis=-1,
        momentum=0.99,
        epsilon=1e-3,
        center=True,
        scale=True,
        beta_initializer="zeros",
        gamma_initializer="ones",
        moving_mean_initializer="zeros",
        moving_variance_initializer="ones",
        beta_regularizer=None,
        gamma_regularizer=None,
        input_shape=None,
        name=None,
    ):
        super().__init__(
            axis, epsilon, center, scale, beta_initializer, gamma_initializer, beta_regularizer, gamma_regularizer,
            input_shape, name,
        )  # fmt: skip
        self.momentum = validation.number("momentum", momentum, low=0.0, high=1.0)
        self.moving_mean_initializer = initializers.get(moving_mean_initializer)
        self.moving_variance_initializer = initializers.get(moving_variance_initializer)

    def weight_specs(self, input_shape):
        return [
            *super().weight_specs(input_shape),
            ("moving_mean", input_shape, self.moving_mean_initializer),
            ("moving_variance", input_shape, self._moving_variance),
        ]

    def _moving_variance(self, shape, rng):
        values = self.moving_variance_initializer(shape, rng)
        if values.min() < 0:
            raise ValueError(f"moving_variance_initializer must not give negative numbers, got {values.min()}")
        return values

    def check_weights(self, weights):
        checked = super().check_weights(weights)
        if checked and checked[-1].min() < 0:
            raise ValueError(
                f"weight {len(checked) - 1} of the layer {self.name!r}, its moving variance, must not be negative, got "
                f"{checked[-1].min()}"
            )
        return checked

    def emit(self, builder):
        self._emit(builder, "batch", momentum=self.momentum)

    def get_config(self):
        return {
            **super().get_config(),
            "momentum": self.momentum,
            "moving_mean_initializer": initializers.serialize(self.moving_mean_initializer),
            "moving_variance_initializer": initializers.serialize(self.moving_variance_initializer),
        }


class LayerNormalization(_Normalizing):
    """Normalises every sample over its features (Ba, Kiros and Hinton, 2016, arXiv:1607.06450).

    It does the same in training, prediction and evaluation. Its weights are gamma and beta, (n,) each.

    Parameters
    ----------
    axis : {-1, 1}, default -1
        That of the features.
    epsilon : float, default 1e-3
        Added to the variance, which is divided by the number of features; above 0.
    center, scale : bool, default True
        Whether there is a beta, which is added, and a gamma, which multiplies.
    beta_initializer, gamma_initializer : str or Initializer, default "zeros" and "ones"
    beta_regularizer, gamma_regularizer : str or Regularizer, optional
        Penalties, part of the loss in training and in `evaluate`.
    input_shape : tuple of int, optional
        Shape of a sample, for the first layer of a model.
    name : str, optional

    Raises
    ------
    ValueError, TypeError
        If an argument has a value that it cannot have, or samples have more than one axis.
    """

    def __init__(
        self,
        axis=-1,
        epsilon=1e-3,
        center=True,
        scale=True,
        beta_initializer="zeros",
        gamma_initializer="ones",
        beta_regularizer=None,
        gamma_regularizer=None,
        input_shape=None,
        name=None,
    ):
        super().__init__(
            axis, epsilon, center, scale, beta_initializer, gamma_initializer, beta_regularizer, gamma_regularizer,
            input_shape, name,
        )  # fmt: skip

    def emit(self, builder):
        self._emit(builder, "layer")
