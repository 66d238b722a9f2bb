"""Models: chains of layers that are compiled, trained, evaluated and saved as in Keras.

A model is the engine's `Sequential` with copies of its layers. Layers that several models share have their weights
in the model that changed them last; the others fetch them before they compute.
"""

import math

import numpy as np

from .. import sequential as engine
from .. import sources, validation
from . import display, losses, metrics, optimizers, seeds
from .arguments import FREE, missing, refuse
from .base import Input, InputLayer, Layer
from .tensors import KerasTensor, chain, only

_COMPILE = {"loss_weights": None, "weighted_metrics": None, "run_eagerly": False, "auto_scale_loss": True,
            "steps_per_execution": FREE, "jit_compile": FREE}  # fmt: skip
_FIT = {"validation_steps": None, "validation_batch_size": FREE, "validation_freq": 1}
_FIT_TAKES = (
    "x", "y", "batch_size", "epochs", "verbose", "callbacks", "validation_split", "validation_data", "shuffle",
    "class_weight", "sample_weight", "initial_epoch", "steps_per_epoch",
)  # fmt: skip
_EVALUATE = {"steps": None, "callbacks": None}


class Model(engine.Sequential):
    """A chain of layers from one input to one output.

    Parameters
    ----------
    inputs : KerasTensor
        From `Input`, or any tensor that the outputs follow from.
    outputs : KerasTensor
    name : str, optional

    Notes
    -----
    A subclass may make its layers in ``__init__`` and define ``call(self, inputs)``, which is called once on a tensor
    to find their order. Gradients are the engine's: ``train_step`` and custom loops are not supported.
    """

    def __init__(self, inputs=None, outputs=None, name=None, trainable=True):
        refuse(type(self).__name__, {"trainable": trainable}, {"trainable": True}, ("inputs", "outputs", "name"))
        for method in ("train_step", "test_step", "compute_loss"):
            if hasattr(type(self), method):
                raise TypeError(f"{type(self).__name__} defines {method}, which is not supported: see compile and fit")
        super().__init__(seed=seeds.draw(), input_scale=1.0, name=name or seeds.unique_name(self._base_name()))
        self._parts = []  # layers and models
        self._leaves = []  # the layers alone, those of models in their place
        self._copies = {}  # of each leaf that computes: the engine's layer here
        self._seen = {}  # of each leaf: the number of the change that the weights here have
        self._choices = None
        self.input = self.output = None
        if (inputs is None) != (outputs is None):
            raise ValueError("Model takes inputs and outputs, or none of them in a subclass that defines call")
        if inputs is not None:
            self._connect(only(inputs, "Model"), only(outputs, "Model"))

    def _base_name(self):
        return "functional" if type(self) is Model else seeds.snake_case(type(self).__name__)

    # ------------------------------------------------------------------------------------------ layers

    def _connect(self, inputs, outputs):
        parts = chain(inputs, outputs)
        first = inputs._layer if isinstance(inputs._layer, InputLayer) else InputLayer(inputs.shape[1:])
        self._attach(inputs.shape[1:], [first, *parts])
        self.input, self.output = inputs, outputs

    def _attach(self, shape, parts):
        """Take layers and models that follow one another, from samples of that shape."""
        for part in parts:
            for leaf in part._leaves if isinstance(part, Model) else [part]:
                if leaf in self._copies:
                    raise ValueError(f"the layer {leaf.name!r} is used twice in one model, which is not supported")
                leaf._build(shape)
                if leaf._spec is not None:
                    copied = leaf._copy()
                    if not self._copies:
                        copied._declared_shape = shape
                    super().add(copied)
                    self._copies[leaf] = copied
                self._leaves.append(leaf)
                shape = leaf._shape_after(shape)
            self._parts.append(part)
        self._sample_shape = shape
        if not self._copies:
            return
        super().set_weights([value for leaf in self._copies for value in leaf.get_weights()])
        self._seen = {leaf: leaf._version for leaf in self._copies}
        if self._choices is not None:
            super().compile(*self._choices)

    def _copy_of(self, leaf):
        return self._copies[leaf]

    layers = property(lambda self: list(self._parts), doc="The layers and models that it was put together from.")

    def add(self, layer):
        """Refused: only a `Sequential` can grow."""
        raise AttributeError(f"{type(self).__name__} has no add: only a Sequential can grow")

    def get_layer(self, name=None, index=None):
        """Return the layer with a name, or with an index."""
        if (name is None) == (index is None):
            raise ValueError("get_layer needs either a name or an index")
        if index is not None:
            return self.layers[validation.integer("index", index, -len(self.layers), len(self.layers) - 1)]
        names = {layer.name: layer for layer in self.layers}
        return names[validation.choice("layer", name, names)]

    def call(self, inputs):
        """Call the layers on a tensor; a subclass may override it."""
        raise NotImplementedError(f"{type(self).__name__} has neither inputs and outputs nor a call(self, inputs)")

    def build(self, input_shape):
        """Create the weights for samples of a shape, batch axis first."""
        shape = tuple(input_shape)
        self._build_for(shape[1:] if shape and shape[0] is None else shape)

    def _build_for(self, shape):
        if not self.built:
            start = Input(shape)
            self._connect(start, self.call(start))

    def __call__(self, inputs, training=None):
        """Append the model to the chain of a tensor, or compute the outputs of an array."""
        tensor = only(inputs, f"the model {self.name!r}")
        if not isinstance(tensor, KerasTensor):
            if training:
                raise ValueError("training=True is not supported outside fit")
            return self.predict(np.asarray(tensor), verbose=0)
        self._build_for(tensor.shape[1:])
        if tensor.shape != self.input_shape:
            raise ValueError(f"the model {self.name!r} takes {self.input_shape}, got {tensor.shape}")
        return KerasTensor(self.output_shape, self, tensor)

    inputs = property(lambda self: [self.input])
    outputs = property(lambda self: [self.output])
    trainable = True

    @property
    def output_shape(self):
        """Shape of the output, batch axis first: ``(None, ...)``."""
        self._need_built()
        return (None, *self._sample_shape)

    # ------------------------------------------------------------------------------------------ weights

    def _pull(self):
        """Fetch the weights that another model or a layer has changed."""
        stale = False
        for leaf, version in self._seen.items():
            home = leaf._home
            if home is not self and (leaf._version != version or (home is not None and home._network.live is not None)):
                stale = True
        if stale:
            super().set_weights([value for leaf in self._copies for value in leaf.get_weights()])
            self._seen = {leaf: leaf._version for leaf in self._copies}

    def _own(self):
        """Tell the layers that their weights are here, and new."""
        for leaf in self._copies:
            leaf._home, leaf._values = self, None
            leaf._version += 1
            self._seen[leaf] = leaf._version

    def get_weights(self):
        """Return copies of all weights as a list of arrays, layer by layer: kernel (n_in, n_out), bias (n_out,)."""
        self._pull()
        return super().get_weights()

    def set_weights(self, weights):
        """Replace all weights."""
        super().set_weights(weights)
        self._own()

    weights = property(lambda self: self.get_weights())
    trainable_weights = trainable_variables = variables = weights

    def summary(self, line_length=None, positions=None, print_fn=None, expand_nested=False, show_trainable=False,
                layer_range=None):  # fmt: skip
        """Print a table of the layers: name and type, output shape, number of parameters."""
        given = {"positions": positions, "expand_nested": expand_nested, "show_trainable": show_trainable,
                 "layer_range": layer_range, "line_length": line_length}  # fmt: skip
        refuse("summary", given, {**dict.fromkeys(given), "expand_nested": False, "show_trainable": False,
                                  "line_length": FREE}, ("print_fn",))  # fmt: skip
        rows = []
        for part in self.layers:
            shape = str(part.output_shape) if part.built else "?"
            kind = "Functional" if type(part) is Model else type(part).__name__
            count = f"{part.count_params():,}" if part.built else "0 (unbuilt)"
            rows.append((f"{part.name} ({kind})", shape, count))
        n = self.count_params() if self.built else 0
        totals = [("Trainable params", n), ("Non-trainable params", 0)]
        if self.built and self.optimizer is not None and self._network.step:
            totals.append(("Optimizer params", self._network.state.size + 2))
        text = display.table(self.name, rows, [("Total params", sum(t[1] for t in totals)), *totals])
        (print_fn or print)(text)

    # ------------------------------------------------------------------------------------------ training

    def compile(self, optimizer="rmsprop", loss=None, metrics=None, **kwargs):
        """Choose optimizer, loss and metrics, as for `fastnn.Sequential.compile`.

        `jit_compile` and `steps_per_execution` are taken, and change nothing: training is always compiled.
        """
        refuse("compile", {k: v for k, v in kwargs.items() if v != []}, _COMPILE, ("optimizer", "loss", "metrics"))
        chosen = (optimizers.get(optimizer), losses.get(loss), _metrics(metrics))
        super().compile(*chosen)
        self._choices = chosen

    def fit(self, x=None, y=None, batch_size=None, epochs=1, verbose="auto", callbacks=None, validation_split=0.0,
            validation_data=None, shuffle=True, class_weight=None, sample_weight=None, initial_epoch=0,
            steps_per_epoch=None, **kwargs):  # fmt: skip
        """Train, as `fastnn.Sequential.fit` does; print what Keras prints.

        `validation_batch_size` is taken, and changes nothing but rounding; `nb_epoch` is an old spelling of `epochs`.
        """
        epochs = kwargs.pop("nb_epoch", epochs)
        refuse("fit", kwargs, _FIT, _FIT_TAKES)
        self._build_from(x)
        y = self._rows(y)
        if isinstance(validation_data, (tuple, list)) and len(validation_data) in (2, 3):
            validation_data = (validation_data[0], self._rows(validation_data[1]), *validation_data[2:])
        shown = self._progress(verbose, x, y, batch_size, validation_split, steps_per_epoch)
        hooks = [callbacks] if hasattr(callbacks, "set_model") else list(callbacks or ())
        self._pull()
        self._own()
        try:
            history = super().fit(x, y, batch_size, epochs, verbose, [shown, *hooks], validation_split, validation_data,
                                  shuffle, class_weight, sample_weight, initial_epoch, steps_per_epoch)  # fmt: skip
        finally:
            self._own()
        history.history = display.in_order(history.history)
        return history

    def _progress(self, verbose, x, y, batch_size, validation_split, steps):
        verbose = validation.verbosity(verbose)
        verbose = 1 if verbose == "auto" else verbose
        if y is None and sources.chunked(x):
            return display.Steps(verbose, steps or (len(x) if hasattr(x, "__len__") else None), batch_size)
        size = validation.integer("batch_size", 32 if batch_size is None else batch_size, low=1)
        rows = validation.split_at(validation_split, len(x))
        return display.Steps(verbose, math.ceil(rows / size), size)

    def _build_from(self, x):
        if not self.built:
            sample = sources.unpack(x[0], "chunk 0 of x", False)[0] if sources.chunked(x) else x
            self._build_for(np.shape(sample)[1:] or (1,))

    def _rows(self, y):
        """Return targets of the output's shape as rows of numbers."""
        if isinstance(y, np.ndarray) and y.ndim > 2 and self.built and y.shape[1:] == self._sample_shape:
            return y.reshape(len(y), -1)
        return y

    def evaluate(
        self, x=None, y=None, batch_size=None, verbose="auto", sample_weight=None, return_dict=False, **kwargs
    ):
        """Compute the loss and the metrics, as `fastnn.Sequential.evaluate` does; print what Keras prints."""
        refuse("evaluate", kwargs, _EVALUATE, ("x", "y", "batch_size", "verbose", "sample_weight", "return_dict"))
        self._pull()
        shown = self._progress(verbose, x, y, batch_size, 0.0, None)
        logs = super().evaluate(x, self._rows(y), batch_size, 0, sample_weight, return_dict=True)
        shown.end(logs)
        if return_dict:
            return display.in_order(logs)
        return list(logs.values()) if len(logs) > 1 else logs["loss"]

    def predict(self, x, batch_size=None, verbose="auto", **kwargs):
        """Compute the outputs, float32 (n, ...); print what Keras prints."""
        refuse("predict", kwargs, _EVALUATE, ("x", "batch_size", "verbose"))
        self._build_from(x)
        self._pull()
        shown = self._progress(verbose, x, x, batch_size, 0.0, None)
        y = super().predict(x, batch_size, 0)
        shown.end({})
        return y.reshape(len(y), *self._sample_shape)

    # ------------------------------------------------------------------------------------------ one batch

    def train_on_batch(self, x, y=None, sample_weight=None, class_weight=None, return_dict=False):
        """Train on one batch; return its loss before the update, or a list of the loss and the metrics."""
        self._build_from(x)
        history = self.history
        self._pull()
        try:
            found = super().fit(x, self._rows(y), len(x), 1, 0, shuffle=False, class_weight=class_weight,
                                sample_weight=sample_weight)  # fmt: skip
        finally:
            self._own()
            self.history = history
        logs = {name: values[0] for name, values in found.history.items()}
        if return_dict:
            return display.in_order(logs)
        return list(logs.values()) if len(logs) > 1 else logs["loss"]

    def test_on_batch(self, x, y=None, sample_weight=None, return_dict=False):
        """Compute the loss and the metrics of one batch."""
        return self.evaluate(x, y, len(x), 0, sample_weight, return_dict)

    def predict_on_batch(self, x):
        """Compute the outputs of one batch."""
        return self.predict(x, len(x), 0)

    @property
    def metrics_names(self):
        """Names of what `evaluate` returns, in order."""
        return ["loss", *(metric.name for metric in self._metrics or ())]

    # ------------------------------------------------------------------------------------------ saving

    def save(self, filepath, overwrite=True, **kwargs):
        """Write the model to a file that Keras 3 reads too: ``.keras``, or ``.h5`` of old."""
        from . import saving

        refuse(
            "save", kwargs, {"include_optimizer": True, "save_format": FREE, "zipped": True}, ("filepath", "overwrite")
        )
        self._need_built()
        saving.save_model(self, filepath, overwrite)

    def save_weights(self, filepath, overwrite=True):
        """Write the weights to a ``.weights.h5`` file that Keras 3 reads too."""
        from . import saving

        self._need_built()
        saving.save_weights(self, filepath, overwrite)

    def load_weights(self, filepath):
        """Take the weights from a ``.weights.h5``, ``.h5`` or ``.keras`` file of a model with the same layers."""
        from . import saving

        self._need_built()
        saving.load_weights(self, filepath)


def _metrics(chosen):
    if isinstance(chosen, (list, tuple)):
        if len(chosen) == 1 and isinstance(chosen[0], (list, tuple)):
            chosen = chosen[0]
        return [metrics.get(metric) for metric in chosen]
    return None if chosen is None else [metrics.get(chosen)]


class Sequential(Model):
    """Layers, one after the other.

    Parameters
    ----------
    layers : list of Layer, optional
        Layers and models; `Input` or an ``input_shape`` of the first gives the shape of a sample, else the data do.
    name : str, optional
    """

    def __init__(self, layers=None, trainable=True, name=None):
        super().__init__(name=name, trainable=trainable)
        self._waiting = []  # parts, until the shape of a sample is known
        for layer in layers or ():
            self.add(layer)

    layers = property(lambda self: [p for p in (self._parts or self._waiting) if not isinstance(p, InputLayer)])

    def add(self, layer):
        """Append a layer or a model."""
        self._not_in_fit("add")
        if isinstance(layer, KerasTensor) and isinstance(layer._layer, InputLayer):
            layer = layer._layer
        if not isinstance(layer, (Layer, Model)):
            raise TypeError(f"a layer must be one of keras.layers, or a model, got {layer!r}")
        if any(part.name == layer.name for part in self._parts + self._waiting):
            raise ValueError(f"the name {layer.name!r} belongs to another layer of the model")
        if self._parts:
            if isinstance(layer, InputLayer):
                raise ValueError("only the first layer of a model can be an Input")
            self._grow([layer])
            return
        self._waiting.append(layer)
        first = self._waiting[0]
        shape = first._input_shape if isinstance(first, Model) else first._declared or first._in
        if shape is not None:
            self._build_for(shape)

    def _grow(self, parts):
        tensor = self.output
        for part in parts:
            tensor = part(tensor)
        self._attach(self._sample_shape, parts)
        self.output = tensor

    def _build_for(self, shape):
        if self._parts:
            return
        waiting, self._waiting = self._waiting, []
        first = waiting[0] if isinstance(waiting[0], InputLayer) else InputLayer(shape)
        self.input = self.output = first.output
        self._attach(shape, [first])
        self._grow(waiting[waiting[0] is first :])


def load_model(filepath, custom_objects=None, compile=True, safe_mode=True):
    """Return the model in a ``.keras`` or ``.h5`` file, from here or from Keras."""
    from . import saving

    refuse("load_model", {"custom_objects": custom_objects or None}, {"custom_objects": None}, ("filepath", "compile"))
    return saving.load_model(filepath, compile)


def save_model(model, filepath, overwrite=True, **kwargs):
    """The same as ``model.save(filepath)``."""
    model.save(filepath, overwrite, **kwargs)


__all__ = ["Model", "Sequential", "load_model", "save_model"]
__getattr__ = missing("keras.models", __all__)
