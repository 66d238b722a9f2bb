"""What a layer is."""

import math
import re

from . import constraints, initializers, regularizers, validation


class Layer:
    """Base class of the layers.

    A layer belongs to one model at most. Subclasses say what shape they make of an input's shape, which weights they
    have, in the order of the flat vector, and how they append themselves to a plan.

    Parameters
    ----------
    name : str, optional
        Unique in the model; by default the class's name as Keras writes it, numbered: "batch_normalization_1".
    input_shape : tuple of int, optional
        Shape of a sample, for the first layer of a model.
    """

    # Decoupled weight decay of the layer's weights in the place of the optimizer's, or None.
    weight_decay = None
    # Names of the weights that no optimizer changes: the last ones.
    fixed_weights = ()

    def __init__(self, name=None, input_shape=None):
        if name is not None and not (isinstance(name, str) and name):
            raise TypeError(f"name must be a string that is not empty, got {name!r}")
        self.name = name
        self._declared_shape = None if input_shape is None else validation.shape("input_shape", input_shape)
        self._owned = False
        self._network = None
        self._spans = []  # of each weight: where it begins in the flat vector, and its shape
        self._shapes = None

    def compute_output_shape(self, input_shape):
        """Return the shape of an output sample for that of an input sample, both tuples without the batch axis."""
        return input_shape

    def attach(self, layers):
        """Find what the layer needs of the earlier ones of its model, or raise."""

    def weight_specs(self, input_shape):
        """List the weights, in the order of the flat vector, as tuples (name, shape, initializer)."""
        return []

    def emit(self, builder):
        """Append the layer to a `fastnn.kernels.PlanBuilder`."""
        raise NotImplementedError(f"{type(self).__name__} does not define emit(self, builder)")

    def get_config(self):
        """Return the constructor's arguments as a dict that JSON can hold."""
        config = {"name": self.name}
        if self._declared_shape is not None:
            config["input_shape"] = list(self._declared_shape)
        return config

    @classmethod
    def from_config(cls, config):
        """Return a layer made from what `get_config` returned."""
        return cls(**config)

    @property
    def input_shape(self):
        """Shape of the input, batch axis first: ``(None, ...)``."""
        return (None, *self._built()[0])

    @property
    def output_shape(self):
        """Shape of the output, batch axis first: ``(None, ...)``."""
        return (None, *self._built()[1])

    def _built(self):
        if self._shapes is None:
            raise RuntimeError(f"the layer {self.name or type(self).__name__!r} is not part of a built model yet")
        return self._shapes

    def count_params(self):
        """Return the number of parameters, of which the optimizer may change but some."""
        self._built()
        return sum(math.prod(shape) for _, shape in self._spans)

    def count_fixed(self):
        """Return the number of parameters that no optimizer changes."""
        self._built()
        return sum(math.prod(shape) for _, shape in self._spans[len(self._spans) - len(self.fixed_weights) :])

    def get_weights(self):
        """Return copies of the weights, in Keras's order: for Dense the kernel (n_in, n_out), then the bias (n_out,).

        Returns
        -------
        list of ndarray

        Raises
        ------
        RuntimeError
            If the layer is not part of a built model yet.
        """
        self._built()
        if not self._spans:
            return []
        flat = self._network.host()
        return [flat[start : start + math.prod(shape)].reshape(shape).copy() for start, shape in self._spans]

    def set_weights(self, weights):
        """Replace the weights.

        Parameters
        ----------
        weights : list of array_like
            As many and of the same shapes as `get_weights` returns; finite.

        Raises
        ------
        RuntimeError
            If the layer is not part of a built model yet.
        ValueError, TypeError
            If the weights do not fit. Nothing has changed then.
        """
        self._built()
        checked = self.check_weights(weights)
        if not checked:
            return
        flat = self._network.host().copy()
        for (start, _), value in zip(self._spans, checked, strict=True):
            flat[start : start + value.size] = value.ravel()
        self._network.write(flat)

    def check_weights(self, weights):
        """Return `weights` as arrays that fit the layer, or raise."""
        if not isinstance(weights, (list, tuple)) or len(weights) != len(self._spans):
            got = f"{len(weights)} arrays" if isinstance(weights, (list, tuple)) else repr(weights)
            raise ValueError(f"the layer {self.name!r} has {len(self._spans)} weights, got {got}")
        checked = []
        for i, ((_, shape), value) in enumerate(zip(self._spans, weights, strict=True)):
            name = f"weight {i} of the layer {self.name!r}"
            values = validation.array(value, name)
            if values.shape != shape:
                raise ValueError(f"{name} must have the shape {shape}, got {values.shape}")
            checked.append(validation.real(values, name, self._network.dtype, keep_uint8=False))
        return checked

    def __repr__(self):
        shown = {k: v for k, v in self.get_config().items() if v is not None}
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in shown.items())})"


def snake_case(name):
    """Return the name of a class as Keras writes it in names: ``InputLayer`` is ``input_layer``."""
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


_MODULES = {"initializer": initializers, "regularizer": regularizers, "constraint": constraints}


def described(config):
    """Return a layer's arguments with the initializers, regularizers and constraints that `get_config` described."""
    return {
        key: _MODULES[key.rpartition("_")[2]].deserialize(value) if isinstance(value, dict) else value
        for key, value in config.items()
    }


def regularize(builder, **penalties):
    """Set penalties of the layer that was emitted last: ``kernel=`` a Regularizer or None, and so on."""
    for part, regularizer in penalties.items():
        if regularizer is not None:
            builder.regularize(**{f"{part}_l1": regularizer.l1, f"{part}_l2": regularizer.l2})
