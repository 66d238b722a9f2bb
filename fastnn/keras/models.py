"""Models: chains of layers that are compiled, trained, evaluated and saved as in Keras."""

import json
import math

import numpy as np

from .. import sources, validation
from . import display, losses, metrics, optimizers
from .arguments import missing, refuse
from .base import InputLayer, Layer
from .chains import Chain
from .tensors import KerasTensor

_COMPILE = {"loss_weights": None, "weighted_metrics": (None, []), "run_eagerly": False, "auto_scale_loss": True}
_COMPILE_TAKES = ("optimizer", "loss", "metrics", "steps_per_execution", "jit_compile")
_WHOLE = {"callbacks": (None, [])}  # of evaluate and predict


class Model(Chain):
    """A chain of layers from one input to one output.

    Parameters
    ----------
    inputs : KerasTensor
        From `Input`, or any tensor that the outputs follow from.
    outputs : KerasTensor
    name : str, optional
    trainable : True

    Notes
    -----
    A subclass may make its layers in ``__init__`` and define ``call(self, inputs)``, which is called once on a tensor
    to find their order. Gradients are the engine's: ``train_step`` and custom loops are not supported.
    """

    def _base_name(self):
        return "functional" if type(self) is Model else super()._base_name()

    # ------------------------------------------------------------------------------------------ training

    def compile(self, optimizer="rmsprop", loss=None, loss_weights=None, metrics=None, weighted_metrics=None,
                run_eagerly=False, steps_per_execution=1, jit_compile="auto", auto_scale_loss=True):  # fmt: skip
        """Choose optimizer, loss and metrics, as for `fastnn.Sequential.compile`.

        `jit_compile` and `steps_per_execution` are hints on how to compute: training is always compiled, with as many
        steps at a time as fit, and results do not depend on it. `loss_weights`, `weighted_metrics`, `run_eagerly` and
        `auto_scale_loss` must have their defaults.
        """
        given = {"loss_weights": loss_weights, "weighted_metrics": weighted_metrics, "run_eagerly": run_eagerly,
                 "auto_scale_loss": auto_scale_loss}  # fmt: skip
        refuse("compile", given, _COMPILE, _COMPILE_TAKES)
        validation.integer("steps_per_execution", steps_per_execution, low=1)
        if jit_compile != "auto":
            validation.flag("jit_compile", jit_compile)
        chosen = (optimizers.get(optimizer), losses.get(loss), _metrics(metrics))
        super().compile(*chosen)
        self._choices, self.loss = chosen, loss

    loss = None  # as it was given to compile
    metrics = property(lambda self: list(self._metrics or ()), doc="The metrics, once compiled.")

    def reset_metrics(self):
        """Do nothing: metrics start afresh with every call here."""

    def fit(self, x=None, y=None, batch_size=None, epochs=1, verbose="auto", callbacks=None, validation_split=0.0,
            validation_data=None, shuffle=True, class_weight=None, sample_weight=None, initial_epoch=0,
            steps_per_epoch=None, validation_steps=None, validation_batch_size=None, validation_freq=1,
            **kwargs):  # fmt: skip
        """Train, as `fastnn.Sequential.fit` does; print what Keras prints.

        `validation_steps` is how many batches of `validation_batch_size` of the arrays `validation_data` are used.
        `nb_epoch` is an old spelling of `epochs`.
        """
        epochs = kwargs.pop("nb_epoch", epochs)
        refuse("fit", kwargs, {}, ("x", "y", "batch_size", "epochs", "...", "validation_freq"))
        x = _alone(x)
        self._build_from(x)
        y = self._rows(y)
        arrays = isinstance(validation_data, (tuple, list)) and len(validation_data) in (2, 3)
        arrays = arrays and not isinstance(validation_data[0], tuple)  # which would be a chunk
        if arrays:
            validation_data = (_alone(validation_data[0]), self._rows(validation_data[1]), *validation_data[2:])
        if validation_steps is not None:
            if not arrays:
                raise ValueError(
                    f"validation_steps={validation_steps} is for validation_data=(x, y), got {type(validation_data)}"
                )
            size = validation_batch_size or batch_size
            validation_data = tuple(_first(part, validation_steps, size) for part in validation_data)
        shown = self._progress(verbose, x, y, batch_size, validation_split, steps_per_epoch)
        hooks = [callbacks] if hasattr(callbacks, "set_model") else list(callbacks or ())
        self._pull()
        self._own()
        try:
            history = super().fit(x, y, batch_size, epochs, verbose, [shown, *hooks], validation_split, validation_data,
                                  shuffle, class_weight, sample_weight, initial_epoch, steps_per_epoch,
                                  validation_batch_size, validation_freq)  # fmt: skip
        finally:
            self._own()
        history.history = display.in_order(history.history)
        return history

    def _progress(self, verbose, x, y, batch_size, validation_split, steps):
        verbose = validation.verbosity(verbose)
        verbose = 1 if verbose == "auto" else verbose
        if sources.chunked(x, y):
            return display.Steps(verbose, steps or (len(x) if hasattr(x, "__len__") else None), batch_size)
        size = validation.integer("batch_size", 32 if batch_size is None else batch_size, low=1)
        rows = validation.split_at(validation_split, len(x))
        return display.Steps(verbose, math.ceil(rows / size), size)

    def _build_from(self, x):
        if not self.built:
            if sources.chunked(x) and not hasattr(x, "__getitem__"):
                raise ValueError(f"an iterator does not tell the shape of a sample: begin {self.name!r} with an Input")
            sample = sources.unpack(x[0], "chunk 0 of x", False)[0] if sources.chunked(x) else x
            self._build_for(np.shape(sample)[1:] or (1,))

    def _rows(self, y):
        """Return targets of the output's shape as rows of numbers."""
        y = _alone(y)
        if isinstance(y, np.ndarray) and y.ndim > 2 and self.built and y.shape[1:] == self._sample_shape:
            return y.reshape(len(y), -1)
        return y

    def evaluate(self, x=None, y=None, batch_size=None, verbose="auto", sample_weight=None, steps=None, callbacks=None,
                 return_dict=False, **kwargs):  # fmt: skip
        """Compute the loss and the metrics, as `fastnn.Sequential.evaluate` does; print what Keras prints.

        With `steps`, of the first so many batches of arrays, or chunks of an iterator. `callbacks` are not supported.
        """
        refuse("evaluate", {"callbacks": callbacks, **kwargs}, _WHOLE, ("x", "y", "batch_size", "verbose",
               "sample_weight", "steps", "return_dict"))  # fmt: skip
        x, y = _alone(x), self._rows(y)
        if steps is not None and not (y is None and sources.chunked(x)):
            x, y, sample_weight = (_first(part, steps, batch_size) for part in (x, y, sample_weight))
            steps = None
        self._pull()
        shown = self._progress(verbose, x, y, batch_size, 0.0, steps)
        logs = super().evaluate(x, y, batch_size, 0, sample_weight, return_dict=True, steps=steps)
        shown.end(logs)
        return _returned(logs, return_dict)

    def predict(self, x, batch_size=None, verbose="auto", steps=None, callbacks=None):
        """Compute the outputs, float32 (n, ...); print what Keras prints.

        With `steps`, those of the first so many batches, or chunks of an iterator. `callbacks` are not supported.
        """
        refuse("predict", {"callbacks": callbacks}, _WHOLE, ("x", "batch_size", "verbose", "steps"))
        x = _alone(x)
        if steps is not None and not sources.chunked(x):
            x, steps = _first(x, steps, batch_size), None
        self._build_from(x)
        self._pull()
        shown = self._progress(verbose, x, None, batch_size, 0.0, steps)
        y = super().predict(x, batch_size, 0, steps)
        shown.end({})
        return y.reshape(len(y), *self._sample_shape)

    # ------------------------------------------------------------------------------------------ one batch

    def train_on_batch(self, x, y=None, sample_weight=None, class_weight=None, return_dict=False):
        """Train on one batch; return its loss before the update, or a list of the loss and the metrics."""
        x = _alone(x)
        self._build_from(x)
        history = self.history
        self._pull()
        try:
            found = super().fit(x, self._rows(y), len(x), 1, 0, shuffle=False, class_weight=class_weight,
                                sample_weight=sample_weight)  # fmt: skip
        finally:
            self._own()
            self.history = history
        return _returned({name: values[0] for name, values in found.history.items()}, return_dict)

    def test_on_batch(self, x, y=None, sample_weight=None, return_dict=False):
        """Compute the loss and the metrics of one batch."""
        return self.evaluate(x, y, len(_alone(x)), 0, sample_weight, return_dict=return_dict)

    def predict_on_batch(self, x):
        """Compute the outputs of one batch."""
        return self.predict(x, len(_alone(x)), 0)

    def predict_proba(self, x, batch_size=None, verbose=0):
        """Compute the outputs, as releases before 3 called it."""
        return self.predict(x, batch_size, verbose)

    def predict_classes(self, x, batch_size=None, verbose=0):
        """Compute the classes (n,) of the largest outputs, or 0 or 1 (n, 1) for one output, as before release 3."""
        y = self.predict(x, batch_size, verbose)
        return y.argmax(axis=-1) if y.shape[-1] > 1 else (y > 0.5).astype("int32")

    @property
    def metrics_names(self):
        """Names of what `evaluate` returns, in order."""
        return ["loss", *(metric.name for metric in self._metrics or ())]

    # ------------------------------------------------------------------------------------------ saving

    def save(self, filepath, overwrite=True, zipped=None, **kwargs):
        """Write the model to a file that Keras 3 reads too: ``.keras``, or ``.h5`` of old."""
        from . import formats

        refuse("save", {"zipped": zipped, **kwargs}, {"zipped": (None, True), "include_optimizer": True},
               ("filepath", "overwrite"))  # fmt: skip
        self._need_built()
        formats.save_model(self, filepath, overwrite)

    def save_weights(self, filepath, overwrite=True, max_shard_size=None):
        """Write the weights to a ``.weights.h5`` file that Keras 3 reads too."""
        from . import formats

        refuse("save_weights", {"max_shard_size": max_shard_size}, {"max_shard_size": None}, ("filepath", "overwrite"))
        self._need_built()
        formats.save_weights(self, filepath, overwrite)

    def load_weights(self, filepath, skip_mismatch=False, **kwargs):
        """Take the weights from a ``.weights.h5``, ``.h5`` or ``.keras`` file of a model with the same layers."""
        from . import formats

        refuse("load_weights", {"skip_mismatch": skip_mismatch, **kwargs}, {"skip_mismatch": False}, ("filepath",))
        self._need_built()
        formats.load_weights(self, filepath)

    def get_config(self):
        """Describe the layers, without weights and compilation, as Keras does, as a dict that JSON can hold."""
        from . import configs

        return configs.describe(self)["config"]

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Return a model, with new weights, that `get_config` described, here or in Keras."""
        from . import configs

        refuse("from_config", {"custom_objects": custom_objects or None}, {"custom_objects": None}, ("config",))
        kind = "Sequential" if issubclass(cls, Sequential) else "Functional"
        return configs.restore({"class_name": kind, "config": config})

    def to_json(self, **kwargs):
        """Return what `get_config` says as JSON, for `model_from_json`; `kwargs` are those of ``json.dumps``."""
        from . import configs

        return json.dumps({**configs.describe(self), "compile_config": configs.describe_compiled(self)}, **kwargs)


def _alone(values):
    """Return the array in a list of one, as the one input or output of a model may be given."""
    alone = isinstance(values, list) and len(values) == 1 and isinstance(values[0], np.ndarray) and values[0].ndim > 1
    return values[0] if alone else values


def _first(values, steps, batch_size):
    """Return the first rows of an array, as many as so many batches have."""
    rows = validation.integer("steps", steps, low=1) * (32 if batch_size is None else batch_size)
    return None if values is None else values[:rows]


def _returned(logs, return_dict):
    """Return what evaluate and train_on_batch do: a dict, a list, or the loss if there is nothing else."""
    if validation.flag("return_dict", return_dict):
        return display.in_order(logs)
    return list(logs.values()) if len(logs) > 1 else logs["loss"]


def _metrics(chosen):
    if isinstance(chosen, (list, tuple)):
        if len(chosen) == 1 and isinstance(chosen[0], (list, tuple)):
            chosen = chosen[0]
        found = [metrics.get(metric) for metric in chosen]
        metrics.number(found)
        return found
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

    @property
    def layers(self):
        """The layers and models that were added, without the input."""
        return [part for part in self._parts or self._waiting if not isinstance(part, InputLayer)]

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
    """Return the model in a ``.keras`` or ``.h5`` file, from here or from Keras.

    `custom_objects` are not supported. Nothing in a file is ever executed, whatever `safe_mode` is.
    """
    from . import formats

    refuse("load_model", {"custom_objects": custom_objects or None}, {"custom_objects": None}, ("filepath", "compile"))
    return formats.load_model(filepath, validation.flag("compile", compile))


def save_model(model, filepath, overwrite=True, zipped=None, **kwargs):
    """The same as ``model.save(filepath)``."""
    model.save(filepath, overwrite, zipped, **kwargs)


def model_from_json(json_string, custom_objects=None):
    """Return the model, with new weights, that ``model.to_json()`` described, here or in Keras; compiled as it was."""
    from . import configs

    refuse("model_from_json", {"custom_objects": custom_objects or None}, {"custom_objects": None}, ("json_string",))
    return configs.restore(json.loads(json_string), compile=True)


def clone_model(model, input_tensors=None, clone_function=None, call_function=None, recursive=False, **kwargs):
    """Return a model of the same layers with new weights, not compiled."""
    from . import configs

    given = {"input_tensors": input_tensors, "clone_function": clone_function, "call_function": call_function,
             "recursive": recursive, **kwargs}  # fmt: skip
    refuse("clone_model", given, {**dict.fromkeys(given), "recursive": (False, True)}, ("model",))
    return configs.restore(configs.describe(model))


__all__ = ["Model", "Sequential", "clone_model", "load_model", "model_from_json", "save_model"]
__getattr__ = missing("keras.models", __all__)
