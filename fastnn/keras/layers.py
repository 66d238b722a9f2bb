"""Layers, with Keras's arguments."""

import numpy as np

from .. import layers as engine
from .activations import FUNCTIONS
from .arguments import missing, spelled
from .base import Input, InputLayer, Layer, described
from .noise import Dropout, GaussianDropout, GaussianNoise
from .normalization import BatchNormalization, LayerNormalization
from .scaling import Normalization, Rescaling


class Dense(Layer, refused=dict.fromkeys(("bias_constraint", "lora_rank", "lora_alpha", "quantization_config"))):
    """``activation(x @ kernel + bias)`` on samples of one axis.

    Parameters
    ----------
    units, activation, use_bias, kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer, \
activity_regularizer, kernel_constraint
        As for `fastnn.layers.Dense`.
    bias_constraint, lora_rank, lora_alpha, quantization_config : None
        Not supported.
    **kwargs
        As for `Layer`. Old spellings: `output_dim`, `init`, `bias`, `W_regularizer`, `b_regularizer`, `W_constraint`.
    """

    @spelled(
        output_dim="units",
        init="kernel_initializer",
        bias="use_bias",
        W_regularizer="kernel_regularizer",
        b_regularizer="bias_regularizer",
        W_constraint="kernel_constraint",
    )
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
        lora_rank=None,
        lora_alpha=None,
        quantization_config=None,
        **kwargs,
    ):
        self._refuse(
            bias_constraint=bias_constraint,
            lora_rank=lora_rank,
            lora_alpha=lora_alpha,
            quantization_config=quantization_config,
        )
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
        self.activation = FUNCTIONS[spec.activation]
        super().__init__(spec, **kwargs)

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

    @property
    def kernel(self):
        """A copy of the kernel (n_in, n_out)."""
        return self.weights[0]

    @property
    def bias(self):
        """A copy of the bias (n_out,), or None."""
        return self.weights[1] if self.use_bias else None


def _activation(value):
    if isinstance(value, Layer):
        raise ValueError(f"activation cannot be a layer, got {value!r}; put it after this one")
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

    def __init__(self, activation, **kwargs):
        spec = engine.Activation(_activation(activation))
        self.activation = FUNCTIONS[spec.activation]
        super().__init__(spec, **kwargs)

    def _config(self):
        return {"activation": self._spec.activation}


class ReLU(_Pointwise, refused={"max_value": None, "threshold": 0.0}):
    """``max(x, 0)``, or with a slope below zero.

    Parameters
    ----------
    negative_slope : float, default 0.0
    """

    def __init__(self, max_value=None, negative_slope=0.0, threshold=0.0, **kwargs):
        self._refuse(max_value=max_value, threshold=float(threshold))
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

    def __init__(self, negative_slope=0.3, **kwargs):
        self.negative_slope = float(kwargs.pop("alpha", negative_slope))
        super().__init__(engine.Activation("leaky_relu", self.negative_slope), **kwargs)

    def _config(self):
        return {"negative_slope": self.negative_slope}


class ELU(_Pointwise):
    """``x`` above zero, ``alpha * (exp(x) - 1)`` below.

    Parameters
    ----------
    alpha : float, default 1.0
    """

    def __init__(self, alpha=1.0, **kwargs):
        self.alpha = float(alpha)
        super().__init__(engine.Activation("elu", self.alpha), **kwargs)

    def _config(self):
        return {"alpha": self.alpha}


class Softmax(_Pointwise, refused={"axis": (-1, 1)}):
    """Softmax over the only axis of a sample."""

    def __init__(self, axis=-1, **kwargs):
        self._refuse(axis=axis)
        super().__init__(engine.Activation("softmax"), **kwargs)

    def _config(self):
        return {"axis": -1}


class Flatten(Layer, refused={"data_format": (None, "channels_last")}):
    """Turns a sample of any shape into a vector."""

    def __init__(self, data_format=None, **kwargs):
        self._refuse(data_format=data_format)
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
        GaussianDropout,
        BatchNormalization,
        LayerNormalization,
        Normalization,
        Rescaling,
    )
}
__all__ = ["Input", "Layer", *CLASSES]
__getattr__ = missing("keras.layers", __all__)
