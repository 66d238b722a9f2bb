"""Layers, with Keras's arguments."""

import numpy as np

from .. import layers as engine
from .arguments import missing, refuse
from .base import Input, InputLayer, Layer, described


class Dense(Layer):
    """``activation(x @ kernel + bias)`` on samples of one axis.

    Parameters
    ----------
    units, activation, use_bias, kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer, \
activity_regularizer, kernel_constraint, name
        As for `fastnn.layers.Dense`.
    """

    _takes = ("units", "activation", "use_bias", "kernel_initializer", "bias_initializer", "kernel_regularizer",
              "bias_regularizer", "activity_regularizer", "kernel_constraint")  # fmt: skip

    def __init__(
        self,
        units,
        activation=None,
        use_bias=True,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        kernel_regularizer=None,
        bias_regularizer=None,
        activity_regularizer=None,
        kernel_constraint=None,
        bias_constraint=None,
        **kwargs,
    ):
        refuse("Dense", {"bias_constraint": bias_constraint}, {"bias_constraint": None}, self._takes)
        refuse("Dense", {k: kwargs.pop(k) for k in ("lora_rank", "lora_alpha", "quantization_config") if k in kwargs},
               dict.fromkeys(("lora_rank", "lora_alpha", "quantization_config")), self._takes)  # fmt: skip
        spec = engine.Dense(
            units,
            _activation(activation),
            use_bias,
            kernel_initializer,
            bias_initializer,
            kernel_regularizer,
            bias_regularizer,
            activity_regularizer,
            kernel_constraint,
        )
        super().__init__(spec, **kwargs)
        self.units, self.use_bias = spec.units, spec.use_bias

    def _check_input(self, shape):
        if len(shape) != 1:
            raise ValueError(f"Dense {self.name!r} takes samples of one axis, got {shape}; put a Flatten() before it")

    def _config(self):
        spec = self._spec
        config = {
            "units": spec.units,
            "activation": spec.activation,
            "use_bias": spec.use_bias,
            "kernel_initializer": described(spec.kernel_initializer, "initializers"),
            "bias_initializer": described(spec.bias_initializer, "initializers"),
            "kernel_regularizer": described(spec.kernel_regularizer, "regularizers"),
            "bias_regularizer": described(spec.bias_regularizer, "regularizers"),
            "kernel_constraint": described(spec.kernel_constraint, "constraints"),
            "bias_constraint": None,
        }
        if spec.activity_regularizer is not None:
            config["activity_regularizer"] = described(spec.activity_regularizer, "regularizers")
        return config

    kernel = property(lambda self: self.get_weights()[0])
    bias = property(lambda self: self.get_weights()[1] if self.use_bias else None)


def _activation(value):
    name = getattr(value, "name", value) if callable(value) else value
    if callable(name):
        raise ValueError(f"activation must be a name or one of keras.activations, got {value!r}")
    return name


class _Pointwise(Layer):
    def _check_input(self, shape):
        if self._spec.activation == "softmax" and len(shape) != 1:
            raise ValueError(f"softmax takes samples of one axis, got {shape}; put a Flatten() before it")


class Activation(_Pointwise):
    """An activation of its own; as for `fastnn.layers.Activation`, but for alpha."""

    _takes = ("activation",)

    def __init__(self, activation, **kwargs):
        super().__init__(engine.Activation(_activation(activation)), **kwargs)

    def _config(self):
        return {"activation": self._spec.activation}


class ReLU(_Pointwise):
    """``max(x, 0)``, or with a slope below zero.

    Parameters
    ----------
    negative_slope : float, default 0.0
    """

    _takes = ("negative_slope",)

    def __init__(self, max_value=None, negative_slope=0.0, threshold=0.0, **kwargs):
        refuse("ReLU", {"max_value": max_value, "threshold": float(threshold)}, {"max_value": None, "threshold": 0.0},
               self._takes)  # fmt: skip
        self.negative_slope = float(negative_slope)
        spec = engine.Activation("leaky_relu", self.negative_slope) if negative_slope else engine.Activation("relu")
        super().__init__(spec, **kwargs)

    def _config(self):
        return {"max_value": None, "negative_slope": self.negative_slope, "threshold": 0.0}


class LeakyReLU(_Pointwise):
    """``max(x, negative_slope * x)``.

    Parameters
    ----------
    negative_slope : float, default 0.3
        `alpha` is an old spelling.
    """

    _takes = ("negative_slope", "alpha")

    def __init__(self, negative_slope=0.3, alpha=None, **kwargs):
        self.negative_slope = float(negative_slope if alpha is None else alpha)
        super().__init__(engine.Activation("leaky_relu", self.negative_slope), **kwargs)

    def _config(self):
        return {"negative_slope": self.negative_slope}


class ELU(_Pointwise):
    """``x`` above zero, ``alpha * (exp(x) - 1)`` below.

    Parameters
    ----------
    alpha : float, default 1.0
    """

    _takes = ("alpha",)

    def __init__(self, alpha=1.0, **kwargs):
        self.alpha = float(alpha)
        super().__init__(engine.Activation("elu", self.alpha), **kwargs)

    def _config(self):
        return {"alpha": self.alpha}


class Softmax(_Pointwise):
    """Softmax over the only axis of a sample."""

    _takes = ("axis",)

    def __init__(self, axis=-1, **kwargs):
        if axis not in (-1, 1):
            raise ValueError(f"Softmax supports axis=-1 only, got {axis!r}")
        super().__init__(engine.Activation("softmax"), **kwargs)

    def _config(self):
        return {"axis": -1}


class Dropout(Layer):
    """Inverted dropout.

    Parameters
    ----------
    rate : float
        Share to drop, in [0, 1).
    seed : int, optional
        Taken and not used: masks come from the model's seed, which `utils.set_random_seed` decides.
    """

    _takes = ("rate",)

    def __init__(self, rate, noise_shape=None, seed=None, **kwargs):
        refuse("Dropout", {"noise_shape": noise_shape}, {"noise_shape": None}, self._takes)
        super().__init__(engine.Dropout(rate), **kwargs)
        self.rate = self._spec.rate

    def _config(self):
        return {"rate": self.rate, "seed": None, "noise_shape": None}


class Flatten(Layer):
    """Turns a sample of any shape into a vector."""

    def __init__(self, data_format=None, **kwargs):
        if data_format not in (None, "channels_last"):
            raise ValueError(f"Flatten supports data_format='channels_last' only, got {data_format!r}")
        super().__init__(engine.Flatten(), **kwargs)

    def _config(self):
        return {"data_format": "channels_last"}


class Reshape(Layer):
    """Gives a sample another shape.

    Parameters
    ----------
    target_shape : tuple of int
        One may be -1.
    """

    _takes = ("target_shape",)

    def __init__(self, target_shape, **kwargs):
        super().__init__(engine.Flatten(), **kwargs)
        self.target_shape = tuple(int(n) for n in target_shape)

    def _shape_after(self, shape):
        try:
            return np.empty(shape, bool).reshape(self.target_shape).shape
        except ValueError:
            raise ValueError(f"a sample of the shape {shape} cannot become {self.target_shape}") from None

    def _config(self):
        return {"target_shape": list(self.target_shape)}


class GaussianNoise(Layer):
    """Adds normal noise in training.

    Parameters
    ----------
    stddev : float
    seed : int, optional
        As for `Dropout`.
    """

    _takes = ("stddev",)

    def __init__(self, stddev, seed=None, **kwargs):
        super().__init__(engine.GaussianNoise(stddev), **kwargs)

    def _config(self):
        return {"stddev": self._spec.stddev, "seed": None}


class Rescaling(Layer):
    """``x * scale + offset``, as the first layer that computes.

    Parameters
    ----------
    scale : float
    offset : float, default 0.0
    """

    _takes = ("scale", "offset")

    def __init__(self, scale, offset=0.0, **kwargs):
        super().__init__(engine.Rescaling(scale, offset), **kwargs)
        self.scale, self.offset = scale, offset

    def _config(self):
        return {"scale": self.scale, "offset": self.offset}


CLASSES = {
    cls.__name__: cls
    for cls in (
        InputLayer,
        Dense,
        Activation,
        ReLU,
        LeakyReLU,
        ELU,
        Softmax,
        Dropout,
        Flatten,
        Reshape,
        GaussianNoise,
        Rescaling,
    )
}
__all__ = ["Input", "Layer", *CLASSES]
__getattr__ = missing("keras.layers", __all__)
