"""Layers, by the names of Keras. Declarations only: a layer appends itself to a plan, and its weights are views of
the model's flat vector."""

import math

from . import constraints, initializers, regularizers, validation
from .kernels import activations as table
from .layer_base import Layer, described, regularize
from .noise import Dropout, GaussianDropout, GaussianNoise, MaskingNoise
from .normalization import BatchNormalization, LayerNormalization
from .scaling import MinMax, Normalization, Rescaling

__all__ = [
    "Activation",
    "BatchNormalization",
    "Dense",
    "Dropout",
    "Flatten",
    "GaussianDropout",
    "GaussianNoise",
    "Input",
    "Layer",
    "LayerNormalization",
    "MaskingNoise",
    "MinMax",
    "Normalization",
    "Rescaling",
    "TiedDense",
    "deserialize",
    "serialize",
]

_ALIASES = {"swish": "silu", "identity": "linear"}
# Only these have a parameter.
_WITH_ALPHA = ("leaky_relu", "elu")


def activation_name(name):
    """Return the name of an activation in the kernels' table; None means linear."""
    return "linear" if name is None else validation.choice("activation", name, table.BY_NAME, _ALIASES)


class Input(Layer):
    """Names the shape of a sample; the first layer of a model or none.

    Parameters
    ----------
    shape : tuple of int
        Shape of a sample, without the batch axis.
    name : str, optional
    """

    def __init__(self, shape, name=None):
        super().__init__(name, shape)
        if self._declared_shape is None:
            raise ValueError("shape must name at least one size, got None")

    def emit(self, builder):
        pass

    def get_config(self):
        return {"shape": list(self._declared_shape), "name": self.name}


class Dense(Layer):
    """``activation(x @ kernel + bias)``. An input of more than one axis is flattened.

    Parameters
    ----------
    units : int
        Number of outputs.
    activation : str, optional
        "relu", "leaky_relu", "elu", "gelu", "silu", "tanh", "sigmoid", "softplus", "softmax", "exponential" or "linear"
        (default).
    use_bias : bool, default True
    kernel_initializer : str or Initializer, default "glorot_uniform"
    bias_initializer : str or Initializer, default "zeros"
    kernel_regularizer, bias_regularizer : str or Regularizer, optional
        Penalties on the weights, part of the loss in training and in `evaluate`.
    activity_regularizer : str or Regularizer, optional
        Penalty on the outputs, divided by the rows of the batch: an L1 makes them sparse.
    kernel_constraint : str or Constraint, optional
        What the kernel is held to after every update: "max_norm", "unit_norm" or "non_neg".
    weight_decay : float, optional
        Decoupled weight decay of kernel and bias, whatever the optimizer's `weight_decay` is; 0 switches it off here.
    input_shape : tuple of int, optional
        Shape of a sample, for the first layer of a model.
    name : str, optional

    Raises
    ------
    ValueError, TypeError
        If an argument has a value that it cannot have.
    """

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
        input_shape=None,
        name=None,
        weight_decay=None,
    ):
        super().__init__(name, input_shape)
        self.units = validation.integer("units", units, low=1)
        self.activation = activation_name(activation)
        self.use_bias = validation.flag("use_bias", use_bias)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.activity_regularizer = regularizers.get(activity_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.weight_decay = None if weight_decay is None else validation.number("weight_decay", weight_decay, low=0.0)

    def compute_output_shape(self, input_shape):
        self.n_inputs = math.prod(input_shape)
        return (self.units,)

    def weight_specs(self, input_shape):
        specs = [("kernel", (math.prod(input_shape), self.units), self.kernel_initializer)]
        return [*specs, ("bias", (self.units,), self.bias_initializer)] if self.use_bias else specs

    def emit(self, builder):
        self.operation = builder.dense(self.units, self.use_bias)
        builder.activation(self.activation)
        regularize(
            builder,
            kernel=self.kernel_regularizer,
            bias=self.bias_regularizer,
            activity=self.activity_regularizer,
        )
        if self.kernel_constraint is not None:
            limit = self.kernel_constraint
            builder.regularize(min_norm=limit.min_norm, max_norm=limit.max_norm, non_negative=limit.non_negative)

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "activation": self.activation,
            "use_bias": self.use_bias,
            "kernel_initializer": initializers.serialize(self.kernel_initializer),
            "bias_initializer": initializers.serialize(self.bias_initializer),
            "kernel_regularizer": regularizers.serialize(self.kernel_regularizer),
            "bias_regularizer": regularizers.serialize(self.bias_regularizer),
            "activity_regularizer": regularizers.serialize(self.activity_regularizer),
            "kernel_constraint": constraints.serialize(self.kernel_constraint),
            "weight_decay": self.weight_decay,
        }

    @classmethod
    def from_config(cls, config):
        return cls(**described(config))


class TiedDense(Layer):
    """``activation(x @ kernel.T + bias)`` with the kernel of an earlier `Dense`: a decoder that mirrors its encoder.

    It has as many outputs as that layer has inputs. Both train the one kernel, which is that layer's weight; only the
    bias is this one's.

    Parameters
    ----------
    source : str or Dense
        The earlier layer of the same model, or its name.
    activation : str, optional
        As for `Dense`.
    use_bias : bool, default True
    bias_initializer : str or Initializer, default "zeros"
    bias_regularizer, activity_regularizer : str or Regularizer, optional
        As for `Dense`. A penalty on the kernel is the other layer's.
    name : str, optional

    Raises
    ------
    ValueError, TypeError
        If an argument has a value that it cannot have, or `source` is no earlier layer with as many outputs as this
        one has inputs.
    """

    def __init__(
        self,
        source,
        activation=None,
        use_bias=True,
        bias_initializer="zeros",
        bias_regularizer=None,
        activity_regularizer=None,
        name=None,
    ):
        super().__init__(name)
        if not isinstance(source, (str, Dense)):
            raise TypeError(f"source must be a Dense layer or the name of one, got {source!r}")
        self._source = source
        self.activation = activation_name(activation)
        self.use_bias = validation.flag("use_bias", use_bias)
        self.bias_initializer = initializers.get(bias_initializer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.activity_regularizer = regularizers.get(activity_regularizer)

    def attach(self, layers):
        for layer in layers:
            if type(layer) is Dense and (layer is self._source or layer.name == self._source):
                self._source = layer
                return
        known = [layer.name for layer in layers if type(layer) is Dense]
        raise ValueError(f"source must be an earlier Dense layer of the model, one of {known}, got {self._source!r}")

    def compute_output_shape(self, input_shape):
        if math.prod(input_shape) != self._source.units:
            raise ValueError(
                f"the layer {self.name!r} gets {math.prod(input_shape)} inputs, but {self._source.name!r}, of which it "
                f"takes the kernel, has {self._source.units} outputs"
            )
        return (self._source.n_inputs,)

    def weight_specs(self, input_shape):
        return [("bias", (self._source.n_inputs,), self.bias_initializer)] if self.use_bias else []

    def emit(self, builder):
        builder.tied(self._source.operation, self.use_bias)
        builder.activation(self.activation)
        regularize(builder, bias=self.bias_regularizer, activity=self.activity_regularizer)

    def get_config(self):
        return {
            "name": self.name,
            "source": self._source if isinstance(self._source, str) else self._source.name,
            "activation": self.activation,
            "use_bias": self.use_bias,
            "bias_initializer": initializers.serialize(self.bias_initializer),
            "bias_regularizer": regularizers.serialize(self.bias_regularizer),
            "activity_regularizer": regularizers.serialize(self.activity_regularizer),
        }

    @classmethod
    def from_config(cls, config):
        return cls(**described(config))


class Activation(Layer):
    """An activation of its own.

    Parameters
    ----------
    activation : str
        As for `Dense`.
    alpha : float, optional
        Slope of "leaky_relu" below zero (default 0.2), or the height of "elu" (default 1.0).
    input_shape : tuple of int, optional
        Shape of a sample, for the first layer of a model.
    name : str, optional
    """

    def __init__(self, activation, alpha=None, input_shape=None, name=None):
        super().__init__(name, input_shape)
        self.activation = activation_name(activation)
        if alpha is not None and self.activation not in _WITH_ALPHA:
            raise ValueError(f"alpha is for {' and '.join(map(repr, _WITH_ALPHA))}, not for {self.activation!r}")
        self.alpha = None if alpha is None else validation.number("alpha", alpha, low=0.0)

    def emit(self, builder):
        builder.activation(self.activation, self.alpha)

    def get_config(self):
        return {**super().get_config(), "activation": self.activation, "alpha": self.alpha}


class Flatten(Layer):
    """Turns a sample of any shape into a vector.

    Parameters
    ----------
    input_shape : tuple of int, optional
        Shape of a sample, for the first layer of a model.
    name : str, optional
    """

    def __init__(self, input_shape=None, name=None):
        super().__init__(name, input_shape)

    def compute_output_shape(self, input_shape):
        return (math.prod(input_shape),)

    def emit(self, builder):
        pass


_BY_NAME = {
    cls.__name__: cls
    for cls in (
        Input,
        Dense,
        TiedDense,
        Dropout,
        Activation,
        Flatten,
        BatchNormalization,
        LayerNormalization,
        GaussianNoise,
        GaussianDropout,
        MaskingNoise,
        MinMax,
        Normalization,
        Rescaling,
    )
}


def serialize(layer):
    """Return ``{"name", "config"}`` of a layer, which JSON can hold."""
    return validation.serialize(layer, _BY_NAME)


def deserialize(config):
    """Return the layer that `serialize` described."""
    if not isinstance(config, dict) or set(config) != {"name", "config"} or not isinstance(config["config"], dict):
        raise ValueError(f"a layer must be described by a name and a config, got {config!r}")
    return _BY_NAME[validation.choice("layer", config["name"], _BY_NAME)].from_config(config["config"])
