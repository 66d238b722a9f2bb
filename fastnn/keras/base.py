"""What a layer is: called on tensors of `Input`, with weights that several models may share."""

import contextlib
import contextvars
import copy
import inspect
import math

import numpy as np

from .. import sequential as _engine
from .. import validation
from ..layer_base import snake_case
from . import constraints, initializers, regularizers, seeds
from .arguments import FREE, lacks, refuse
from .tensors import Array, KerasTensor, only

_COMMON = ("name", "input_shape", "input_dim", "batch_input_shape")
_DEFAULTS = {"trainable": True, "dtype": FREE, "autocast": True, "activity_regularizer": None}


_room = contextvars.ContextVar("room", default=None)


@contextlib.contextmanager
def room_for(weights):
    """Let layers have no more weights than that, in all, while a file is read."""
    token = _room.set(weights)
    try:
        yield
    finally:
        _room.reset(token)


def _take_room(weights):
    room = _room.get()
    if room is not None:
        if weights > room:
            raise ValueError(f"the file describes a layer of {weights:,} weights, and has room for {room:,}")
        _room.set(room - weights)


class Layer:
    """Base class of the layers.

    Parameters
    ----------
    name : str, optional
    input_shape, input_dim, batch_input_shape : tuple of int or int, optional
        Shape of a sample, for the first layer of a `Sequential`; old spellings of an `Input` in front of it.
    dtype : {"float32"}, optional

    Attributes
    ----------
    input, output : KerasTensor
        What the layer was first called on, and what came of it.
    """

    def __init_subclass__(cls, refused=None):
        """Keep what messages need: the names of the arguments, but for those that are `refused` unless as there."""
        cls._refused = refused or {}
        parameters = inspect.signature(cls.__init__).parameters.values()
        names = [p.name for p in parameters if p.kind is not p.VAR_KEYWORD and p.name not in cls._refused]
        cls._takes = tuple(dict.fromkeys([*names[1:], *_COMMON]))

    def _refuse(self, **given):
        """Raise for what `_refused` has, unless it is as there."""
        refuse(type(self).__name__, given, self._refused, self._takes)

    def __init__(self, spec=None, name=None, **kwargs):
        what = type(self).__name__
        if not type(self).__module__.startswith(__package__):
            raise TypeError(f"the layer {what} is not one of keras.layers; those of one's own are not supported")
        declared = {k: kwargs.pop(k) for k in _COMMON[1:] if kwargs.get(k) is not None}
        kwargs = {k: v for k, v in kwargs.items() if k not in _COMMON}
        refuse(what, kwargs, _DEFAULTS, self._takes)
        if kwargs.get("dtype") not in (None, "float32", np.float32):
            raise ValueError(f"{what} computes in float32 only, got dtype={kwargs['dtype']!r}")
        if len(declared) > 1:
            raise ValueError(f"{what} takes one of input_shape, input_dim and batch_input_shape, got {declared}")
        if name is not None and not isinstance(name, str):
            raise TypeError(f"name must be a string, got {name!r}")
        self.name = name or seeds.unique_name(snake_case(what))
        self._spec = spec  # the engine's layer, of which every model has a copy; None for what is not computed
        self._declared = None
        for key, value in declared.items():
            value = (value,) if key == "input_dim" else tuple(value)[1:] if key == "batch_input_shape" else value
            self._declared = validation.shape(key, value)
        self._in = self._out = self._values = self._home = None
        self._version = 0  # counts the changes of the weights
        self.input = self.output = None
        self.trainable = True

    def __setattr__(self, name, value):
        if name == "trainable" and not value:
            raise ValueError(f"the layer {self.name!r} cannot be frozen: trainable=False is not supported")
        if name != "name" and name in self._takes and "_spec" in self.__dict__ and getattr(self, name, value) != value:
            raise AttributeError(
                f"{name} of the layer {self.name!r} cannot be changed; make a {type(self).__name__} with {value!r}"
            )
        super().__setattr__(name, value)

    def __getattr__(self, name):
        """Return an argument of the constructor, or say what there is."""
        spec = self.__dict__.get("_spec")
        if name in self._takes and hasattr(spec, name):
            return getattr(spec, name)
        raise lacks(self, name)

    # ------------------------------------------------------------------------------------------ shapes

    def _check_input(self, shape):
        """Raise unless the layer means for samples of that shape what it means in Keras."""

    def compute_output_shape(self, input_shape):
        """Return the shape of the output for that of the input, both with the batch axis."""
        return (None, *self._shape_after(tuple(input_shape)[1:]))

    def _shape_after(self, shape):
        return self._spec.compute_output_shape(shape)

    @property
    def built(self):
        """Whether the weights exist."""
        return self._in is not None

    def build(self, input_shape):
        """Create the weights for samples of a shape, batch axis first."""
        self._build(tuple(input_shape)[1:])

    def _build(self, shape):
        """Draw the weights for samples of that shape, unless they exist."""
        self._check_input(shape)
        if self.built:
            if shape != self._in and self._spec is not None and self._spec.weight_specs(self._in):
                raise ValueError(f"the layer {self.name!r} has weights for inputs {self._in}, got {shape}")
            return
        out = self._shape_after(shape)
        _take_room(sum(math.prod(size) for _, size, _ in self._specs(shape)))
        self._values = [
            initializer(size, seeds.generator(getattr(initializer, "seed", None))).astype(np.float32)
            for _, size, initializer in self._specs(shape)
        ]
        self._in, self._out = shape, out

    def _specs(self, shape):
        return [] if self._spec is None else self._spec.weight_specs(shape)

    @property
    def input_shape(self):
        """Shape of the input, batch axis first."""
        return (None, *self._need_built()._in)

    @property
    def output_shape(self):
        """Shape of the output, batch axis first."""
        return (None, *self._need_built()._out)

    def _need_built(self):
        if not self.built:
            raise ValueError(f"the layer {self.name!r} has never been called and has no shape and no weights yet")
        return self

    def __call__(self, inputs, training=None):
        """Append the layer to the chain of a tensor, or compute what it makes of an array.

        Parameters
        ----------
        inputs : KerasTensor or ndarray, shape (n, ...)
            From `Input` or another layer; or numbers.

        Returns
        -------
        KerasTensor or Array
        """
        if isinstance(inputs, np.ndarray):
            return self._apply(inputs, training)
        tensor = only(inputs, f"the layer {self.name!r}")
        if not isinstance(tensor, KerasTensor):
            raise TypeError(
                f"the layer {self.name!r} can be called on tensors of Input and on arrays, got {type(tensor).__name__}"
            )
        self._build(tensor.shape[1:])
        output = KerasTensor((None, *self._shape_after(tensor.shape[1:])), self, tensor)
        if self.output is None:
            self.input, self.output = tensor, output
        return output

    def _apply(self, values, training):
        """Compute what the layer makes of an array (n, ...)."""
        if training:
            raise ValueError("training=True is not supported outside fit")
        self._build(values.shape[1:])
        model = _engine.Sequential(input_scale=1.0)
        layer = self._copy()
        layer._declared_shape = self._in
        model.add(layer)
        model.set_weights(self._trained())
        return Array(model.predict(values).reshape(len(values), *self._out))

    # ------------------------------------------------------------------------------------------ weights

    def _statistics(self):
        """Return by name what the layer learns from data without being trained, as arrays."""
        return {}

    def _check_statistics(self, values):
        """Return values for `_statistics` as arrays, or raise."""
        values, shapes = [np.asarray(value) for value in values], [v.shape for v in self._statistics().values()]
        if [value.shape for value in values] != shapes:
            raise ValueError(
                f"the layer {self.name!r} needs statistics of the shapes {shapes}, got {[v.shape for v in values]}"
            )
        return values

    def _keep_statistics(self, values):
        """Take back the values of `_statistics`, which fit."""

    def _copy(self):
        """Return an engine's layer for a model."""
        spec = copy.copy(self._spec)
        spec.name = self.name
        return spec

    def count_params(self):
        """Return the number of parameters."""
        return sum(math.prod(size) for _, size in self._need_built()._shapes())

    def _shapes(self):
        """List name and shape of all weights."""
        trained = [(name, size) for name, size, _ in self._specs(self._in)]
        return trained + [(name, value.shape) for name, value in self._statistics().items()]

    def _trained(self):
        if self._home is not None:
            return self._home._copy_of(self).get_weights()
        return [value.copy() for value in self._values or ()]

    def get_weights(self):
        """Return copies of the weights: for Dense the kernel (n_in, n_out), then the bias (n_out,)."""
        return self._trained() + [value.copy() for value in self._statistics().values()]

    def set_weights(self, weights):
        """Replace the weights, in every model that has the layer.

        Raises
        ------
        ValueError
            If they do not fit. Nothing has changed then.
        """
        shapes = [size for _, size in self._need_built()._shapes()]
        values = [np.asarray(value, np.float32) for value in weights]
        if [value.shape for value in values] != shapes:
            raise ValueError(
                f"the layer {self.name!r} has weights of the shapes {shapes}, got {[value.shape for value in values]}"
            )
        trained = len(self._specs(self._in))
        self._keep_statistics(values[trained:])
        if self._home is not None:
            self._home._copy_of(self).set_weights(values[:trained])
        else:
            self._values = [value.copy() for value in values[:trained]]
        self._version += 1

    @property
    def weights(self):
        """Copies of the weights, as arrays with a name."""
        names = [name for name, _ in self._shapes()] if self.built else []
        return [Array(value, name, self.name) for name, value in zip(names, self.get_weights(), strict=True)]

    variables = weights
    _optimized = property(lambda self: self._spec and len(self._trained()) - len(self._spec.fixed_weights))

    @property
    def trainable_weights(self):
        """Those of the weights that training changes by their gradients."""
        return self.weights[: self._optimized]

    @property
    def non_trainable_weights(self):
        """Those of the weights that no optimizer changes."""
        return self.weights[self._optimized :]

    trainable_variables, non_trainable_variables = trainable_weights, non_trainable_weights
    losses = property(lambda self: [], doc="Empty: penalties are part of the loss.")

    def get_config(self):
        """Return the constructor's arguments as Keras writes them."""
        config = {"name": self.name, "trainable": True, "dtype": "float32"}
        if self._declared is not None:
            config["batch_input_shape"] = [None, *self._declared]
        return {**config, **self._config()}

    def _config(self):
        return {}

    @classmethod
    def from_config(cls, config):
        """Return a layer made from what `get_config` returned, here or in Keras."""
        arguments = {}
        for key, value in config.items():
            if key == "dtype" and isinstance(value, dict):
                value = value["config"]["name"]
            elif isinstance(value, dict) and "class_name" in value:
                value = _part(key, value)
            arguments[key] = value
        return cls(**arguments)

    def __repr__(self):
        return f"<{type(self).__name__} name={self.name}, built={self.built}>"


_INPUT = {"batch_size": None, "sparse": (None, False), "ragged": (None, False), "optional": False, "input_tensor": None}


class InputLayer(Layer, refused=_INPUT):
    """Names the shape of a sample.

    Parameters
    ----------
    shape : tuple of int
        Without the batch axis. `input_shape` is an old spelling.
    dtype : {"float32"} or that of the data, optional
        Of the data; computations are in float32.
    batch_shape : tuple of int, optional
        With the batch axis, which must be None.
    name : str, optional
    batch_size, sparse, ragged, input_tensor, optional
        Not supported.
    """

    def __init__(self, shape=None, batch_size=None, dtype=None, sparse=None, ragged=None, batch_shape=None,
                 input_tensor=None, optional=False, name=None, **kwargs):  # fmt: skip
        shape = kwargs.pop("input_shape", shape)
        self._refuse(batch_size=batch_size, sparse=sparse, ragged=ragged, input_tensor=input_tensor, optional=optional)
        if batch_shape is not None:
            batch_size, *rest = batch_shape
            self._refuse(batch_size=batch_size)
        if (shape is None) == (batch_shape is None):
            raise ValueError("Input needs a shape: one of shape=(4,) and batch_shape=(None, 4)")
        super().__init__(name=name, **kwargs)
        self._in = self._out = validation.shape("shape", rest if shape is None else shape)
        self._values = []
        self.dtype = "float32" if dtype is None else np.dtype(dtype).name
        self.input = self.output = KerasTensor((None, *self._in), self, None)

    def _shape_after(self, shape):
        return shape

    def get_config(self):
        return {
            "batch_shape": [None, *self._in],
            "dtype": self.dtype,
            "sparse": False,
            "ragged": False,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config):
        config = {"batch_input_shape" if k == "batch_shape" else k: v for k, v in config.items()}
        return cls(batch_shape=config.pop("batch_input_shape"), **config)


def Input(shape=None, batch_size=None, dtype=None, sparse=None, ragged=None, batch_shape=None, name=None, tensor=None,
          optional=False):  # fmt: skip
    """Return a tensor that stands for samples of a shape, to call layers on; the arguments are `InputLayer`'s."""
    return InputLayer(shape, batch_size, dtype, sparse, ragged, batch_shape, tensor, optional, name).output


def described(part, module):
    """Describe an initializer, a regularizer or a constraint as Keras does; None as None."""
    if part is None:
        return None
    name = type(part).__name__
    config = part.get_config()
    if name in ("MaxNorm", "UnitNorm"):
        config = {**config, "axis": 0}
    if module == "initializers" and name not in ("Constant", "Ones", "Zeros"):
        config.setdefault("seed", None)
    return {"module": f"keras.{module}", "class_name": name, "config": config, "registered_name": None}


_PARTS = {"initializer": initializers, "regularizer": regularizers, "constraint": constraints}


def _part(key, description):
    """Return what `described` described, here or in Keras."""
    module = _PARTS.get(key.rpartition("_")[2])
    name = description["class_name"]
    if module is None or name not in module.CLASSES:
        raise ValueError(
            f"{key} is {name}, which is not supported; supported are {', '.join(module.CLASSES if module else [])}"
        )
    config = {k: v for k, v in description["config"].items() if k not in ("input_axes", "output_axes", "dtype")}
    return module.CLASSES[name](**config)
