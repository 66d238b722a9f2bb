"""Layers that bring their inputs to mean 0 and variance 1, with Keras's arguments."""

from .. import layers as engine
from .base import Layer, described

_CONSTRAINTS = ("beta_constraint", "gamma_constraint")


def _single(axis):
    """Return an axis that may be the only one of a list, as in files of old."""
    return axis[0] if isinstance(axis, (list, tuple)) and len(axis) == 1 else axis


class _Normalizing(Layer):
    epsilon = property(lambda self: self._spec.epsilon, doc="What is added to the variance.")

    def _config(self):
        spec = self._spec
        return {
            "axis": spec.axis,
            "epsilon": spec.epsilon,
            "center": spec.center,
            "scale": spec.scale,
            "beta_initializer": described(spec.beta_initializer, "initializers"),
            "gamma_initializer": described(spec.gamma_initializer, "initializers"),
            "beta_regularizer": described(spec.beta_regularizer, "regularizers"),
            "gamma_regularizer": described(spec.gamma_regularizer, "regularizers"),
            **dict.fromkeys(_CONSTRAINTS),
        }

    def _named(self, name):
        return next((weight for weight in self.weights if weight.name == name), None)

    gamma = property(lambda self: self._named("gamma"), doc="A copy of what multiplies (n,), or None.")
    beta = property(lambda self: self._named("beta"), doc="A copy of what is added (n,), or None.")


_BATCH = {**dict.fromkeys(_CONSTRAINTS), "renorm": False, "renorm_clipping": None, "synchronized": False}


class BatchNormalization(_Normalizing, refused=_BATCH):
    """Normalises every feature over the rows of a batch, and in inference by moving statistics.

    Parameters
    ----------
    axis, momentum, epsilon, center, scale, beta_initializer, gamma_initializer, moving_mean_initializer, \
moving_variance_initializer, beta_regularizer, gamma_regularizer
        As for `fastnn.layers.BatchNormalization`: samples have one axis.
    beta_constraint, gamma_constraint, renorm, renorm_clipping, renorm_momentum, synchronized
        Not supported.
    **kwargs
        As for `Layer`.
    """

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
        beta_constraint=None,
        gamma_constraint=None,
        renorm=False,
        renorm_clipping=None,
        renorm_momentum=0.99,  # which nothing depends on without renorm
        synchronized=False,
        **kwargs,
    ):
        self._refuse(
            beta_constraint=beta_constraint,
            gamma_constraint=gamma_constraint,
            renorm=renorm,
            renorm_clipping=renorm_clipping,
            synchronized=synchronized,
        )
        self.renorm_momentum = renorm_momentum
        spec = engine.BatchNormalization(
            _single(axis),
            momentum,
            epsilon,
            center,
            scale,
            beta_initializer,
            gamma_initializer,
            moving_mean_initializer,
            moving_variance_initializer,
            beta_regularizer,
            gamma_regularizer,
        )
        super().__init__(spec, **kwargs)

    momentum = property(lambda self: self._spec.momentum, doc="What a batch leaves of the moving statistics.")
    moving_mean = property(lambda self: self._named("moving_mean"), doc="A copy of the means of inference (n,).")
    moving_variance = property(lambda self: self._named("moving_variance"), doc="And of the variances (n,).")

    def _config(self):
        spec = self._spec
        return {
            **super()._config(),
            "momentum": spec.momentum,
            "moving_mean_initializer": described(spec.moving_mean_initializer, "initializers"),
            "moving_variance_initializer": described(spec.moving_variance_initializer, "initializers"),
            "renorm": False,
            "renorm_clipping": None,
            "renorm_momentum": self.renorm_momentum,
            "synchronized": False,
        }


class LayerNormalization(_Normalizing, refused={**dict.fromkeys(_CONSTRAINTS), "rms_scaling": False}):
    """Normalises every sample over its features.

    Parameters
    ----------
    axis, epsilon, center, scale, beta_initializer, gamma_initializer, beta_regularizer, gamma_regularizer
        As for `fastnn.layers.LayerNormalization`: samples have one axis.
    beta_constraint, gamma_constraint, rms_scaling
        Not supported.
    **kwargs
        As for `Layer`.
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
        beta_constraint=None,
        gamma_constraint=None,
        **kwargs,
    ):
        rms_scaling = kwargs.pop("rms_scaling", False)  # in the files of Keras
        self._refuse(beta_constraint=beta_constraint, gamma_constraint=gamma_constraint, rms_scaling=rms_scaling)
        spec = engine.LayerNormalization(
            _single(axis),
            epsilon,
            center,
            scale,
            beta_initializer,
            gamma_initializer,
            beta_regularizer,
            gamma_regularizer,
        )
        super().__init__(spec, **kwargs)
