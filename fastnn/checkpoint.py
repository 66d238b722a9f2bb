"""Model files: safetensors with a description in JSON and a hash of everything, written in one step.

A file is read without trust: nothing in it runs, its parts are checked against one another before anything of their
size is allocated, and whatever does not fit is a ValueError that names the file.
"""

import contextlib
import hashlib
import json
import math
import os
import stat
import warnings
from dataclasses import dataclass

import numpy as np

from . import files, losses, metrics, optimizers, targets, validation
from . import layers as layers_module

FORMAT = "fastnn"
VERSION = 1
_CODES = {"float32": "F32", "float64": "F64"}
_DTYPES = {code: name for name, code in _CODES.items()}


def _tensors(model, state):
    """Map names to arrays: every layer's weights as views of the flat vector, then the optimizer's state vectors."""
    net = model._network
    result = {}
    for name, start, shape in _layout(model._layers, model._input_shape):
        result[name] = net.params[start : start + math.prod(shape)].reshape(shape)
    if model.optimizer is not None:
        for slot, vector in zip(model.optimizer.row.slots, state, strict=True):
            result[f"optimizer.{slot}"] = vector
    return result


def _layout(layers, input_shape):
    """List the weights as tuples of the name in the file, where it begins in the flat vector, and its shape."""
    result = []
    start = 0
    for i, layer in enumerate(layers):
        for name, shape, _ in layer.weight_specs(input_shape):
            result.append((f"layers.{i}.{name}", start, shape))
            start += math.prod(shape)
        input_shape = layer.compute_output_shape(input_shape)
    return result


def _digest(config, tensors):
    """Hash the description and every tensor's name, dtype, shape and data. `tensors` yields (name, array)."""
    digest = hashlib.sha256(config.encode())
    for name, value in tensors:
        digest.update(f"\n{name} {value.dtype.name} {list(value.shape)}\n".encode())
        digest.update(np.ascontiguousarray(value).data)
    return digest.hexdigest()


def save(model, path, fit=None):
    """Write a built model to a file, and what `fit`, a dict as `Callback.get_state` returns, says of a running fit."""
    from safetensors.numpy import save as to_bytes

    with model._network.lock:
        net = model._network
        net.host()
        state, step = net.state, net.step
        slots = len(model.optimizer.row.slots) if model.optimizer else len(state)
        if len(state) != slots:  # as when momentum was set since: the next fit starts the optimizer afresh
            state, step = np.zeros((slots, len(net.params)), net.dtype), 0
        tensors = _tensors(model, state)
        described = {
            "class": type(model).__name__,
            "model": model.get_config(),
            "step": step,
            "epoch": net.epoch,
            "history": model.history and model.history.get_state(),
        }
        if fit is not None:
            described["fit"] = _describe(fit, "fit", tensors)
        config = json.dumps(described)
        metadata = {
            "format": FORMAT,
            "version": str(VERSION),
            "config": config,
            "sha256": _digest(config, sorted(tensors.items())),
        }
        data = to_bytes(tensors, metadata)
    _write(path, data)


def _write(path, content):
    try:
        files.write_atomic(path, content)
    except OSError as error:
        reason = error.strerror or str(error)
        note = "; the file of that name is as it was" if os.path.exists(path) else ""
        raise type(error)(error.errno, f"the model could not be saved ({reason}){note}", os.fspath(path)) from error


def load(path, backend="auto", threads=None):
    """Read a model that `Sequential.save` wrote; training it goes on bit for bit as if it had never been saved.

    Parameters
    ----------
    path : path-like
    backend : str, default "auto"
    threads : int, optional
        As for `Sequential`; neither is part of the file.

    Returns
    -------
    Sequential, MLP or Autoencoder

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is not a model file, or damaged; the message says where.
    """
    from .kernels import get_backend

    get_backend(backend)  # so that a wrong argument is not taken for a wrong file
    if threads is not None:
        threads = validation.integer("threads", threads, low=1, high=1024)
    model, config, _ = _read(path, backend, threads)
    unknown = [about["config"]["name"] for about in _own_metrics(config["model"])]
    if unknown:
        warnings.warn(
            f"{os.fspath(path)!r} was saved with metrics of its user's own, {unknown}: the model is compiled without "
            "them",
            stacklevel=2,
        )
    return model


def _own_metrics(about):
    """Descriptions of the metrics that a file can only name."""
    return [metric for metric in (about["compile"] or {"metrics": ()})["metrics"] if metric["name"] is None]


def _read(path, backend, threads):
    """Return the model in a file, its description, and what the file says of a running fit or None."""
    path = os.fspath(path)
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise ValueError(f"{path!r} is not a model file: it is not a regular file")
    try:
        return _load(path, backend, threads)
    except _BadFile as error:
        raise ValueError(f"{path!r} is not a model file that can be read: {error}") from error.__cause__


class _BadFile(Exception):
    """What is wrong with a file."""


def _load(path, backend, threads):
    from safetensors import SafetensorError, safe_open

    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(safe_open(path, framework="numpy"))
            metadata = file.metadata() or {}
            found = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
            found = {name: (tuple(s.get_shape()), s.get_dtype()) for name, s in found.items()}
        except SafetensorError as error:
            raise _BadFile(f"it is no safetensors file, or damaged ({error})") from error
        if metadata.get("format") != FORMAT:
            raise _BadFile("it is a safetensors file of another program")
        if metadata.get("version") != str(VERSION):
            raise _BadFile(f"its format has the version {metadata.get('version')!r}, this is fastnn for {VERSION}")
        try:
            described = json.loads(metadata["config"])
            model, step, epoch = _rebuild(described, backend, threads)
            expected = _expected(model)
            arrays = dict(_places(described.get("fit")))
            expected |= arrays
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError, RuntimeError) as error:
            raise _BadFile(f"its description is damaged ({type(error).__name__}: {error})") from error
        if found != expected:
            wrong = sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
            raise _BadFile(
                f"its tensor {wrong[0]!r} has shape and type {found.get(wrong[0])}, its description says "
                f"{expected.get(wrong[0])}"
            )
        # The shapes are those of tensors that the file has room for, so this is no larger than the file.
        net = model._network
        n_params = sum(math.prod(shape) for name, (shape, _) in expected.items() if name.startswith("layers."))
        slots = model.optimizer.row.slots if model.optimizer else ()
        params, state = np.empty(n_params, net.dtype), np.empty((len(slots), n_params), net.dtype)
        views = {
            name: params[start : start + math.prod(shape)].reshape(shape)
            for name, start, shape in _layout(model._layers, model._input_shape)
        }
        views |= {f"optimizer.{slot}": vector for slot, vector in zip(slots, state, strict=True)}
        views |= {name: np.empty(shape, _DTYPES[code]) for name, (shape, code) in arrays.items()}
        try:
            for name, view in views.items():
                view[...] = file.get_tensor(name)
        except SafetensorError as error:
            raise _BadFile(f"its data are damaged ({error})") from error
    if _digest(metadata["config"], sorted(views.items())) != metadata.get("sha256"):
        raise _BadFile("its content does not have the hash that it should have, so the file is damaged")
    if not np.isfinite(params).all():
        raise _BadFile("it has weights that are NaN or infinite")
    net.replace(params, state)
    net.step, net.epoch = step, epoch
    return model, described, _restore(described.get("fit"), views)


def _expected(model):
    code = _CODES[model.dtype]
    layout = _layout(model._layers, model._input_shape)
    result = {name: (shape, code) for name, _, shape in layout}
    n_params = sum(math.prod(shape) for _, _, shape in layout)
    if model.optimizer is not None:
        result |= {f"optimizer.{slot}": ((n_params,), code) for slot in model.optimizer.row.slots}
    return result


def _rebuild(config, backend, threads):
    """Make a model from its description, with its shapes in place and no weights yet."""
    from .autoencoder import Autoencoder
    from .callbacks import History
    from .mlp import MLP
    from .sequential import Sequential

    classes = {cls.__name__: cls for cls in (Sequential, MLP, Autoencoder)}
    about = config["model"]
    cls = classes[config["class"]]
    model = cls.__new__(cls)
    Sequential.__init__(
        model,
        seed=about["seed"],
        backend=backend,
        dtype=about["dtype"],
        threads=threads,
        input_scale=about["input_scale"],
        name=about["name"],
    )
    for described in about["layers"]:
        model._append(layers_module.deserialize(described))
    model._need_layers()
    input_shape = validation.shape("input_shape", about["input_shape"])
    if model._layers[0]._declared_shape not in (None, input_shape):
        raise ValueError(f"its first layer is for the shape {model._layers[0]._declared_shape}, not {input_shape}")
    model._build(input_shape, initial=False)
    model._restore(about)
    if about["classes"] is not None:
        model.classes = targets.label_array(about["classes"], "classes")
        expected = np.unique(model.classes)
        if (
            expected.dtype.kind != "U"
            or expected.tolist() != about["classes"]
            or len(expected) != max(model._outputs, 2)
        ):
            raise ValueError(f"its classes are {about['classes']!r}")
    if about["compile"] is not None:
        compiled = about["compile"]
        found = [metrics.deserialize(described) for described in compiled["metrics"]]
        model._compile(
            optimizers.deserialize(compiled["optimizer"]),
            losses.deserialize(compiled["loss"]),
            metrics.get_all([metric for metric in found if metric is not None]),
        )
        model._check_compiled(model.optimizer, model._loss, model._metrics)
    if config.get("history") is not None:
        model.history = History()
        model.history.set_state(_check_history(config["history"]))
    counters = (validation.integer(name, config[name], low=0, high=2**62) for name in ("step", "epoch"))
    return model, *counters


def _check_history(state):
    """Return the state of a `History` that was read from a file, or raise."""
    epochs, history = state["epoch"], state["history"]
    numbers = [value for values in history.values() for value in values]
    if not all(type(value) is int for value in epochs) or not all(type(value) in (int, float) for value in numbers):
        raise ValueError("its history does not hold numbers")
    return {"epoch": epochs, "history": history}


# ---------------------------------------------------------------------------------------------- the state of a fit


def _describe(value, name, tensors):
    """Return `value` with a description in the place of every array; the arrays go into `tensors`."""
    if isinstance(value, np.ndarray):
        if value.dtype.name not in _CODES:
            raise TypeError(f"arrays in a callback's state must be float32 or float64, got {value.dtype} in {name}")
        tensors[name] = value
        return {"array": name, "shape": list(value.shape), "dtype": _CODES[value.dtype.name]}
    if isinstance(value, dict):
        return {key: _describe(child, f"{name}.{key}", tensors) for key, child in value.items()}
    if isinstance(value, (list, tuple)):
        return [_describe(child, f"{name}.{i}", tensors) for i, child in enumerate(value)]
    return value


def _is_array(value):
    return isinstance(value, dict) and set(value) == {"array", "shape", "dtype"}


def _places(value):
    """Yield the name, and the shape and type, of every array in a description."""
    if _is_array(value):
        if value["dtype"] not in _DTYPES or not value["array"].startswith("fit."):
            raise ValueError(f"it describes the array {value!r}")
        yield value["array"], (tuple(value["shape"]), value["dtype"])
    elif isinstance(value, (dict, list)):
        for child in value.values() if isinstance(value, dict) else value:
            yield from _places(child)


def _restore(value, arrays):
    """Return what `_describe` described."""
    if _is_array(value):
        return arrays[value["array"]]
    if isinstance(value, dict):
        return {key: _restore(child, arrays) for key, child in value.items()}
    return [_restore(child, arrays) for child in value] if isinstance(value, list) else value


@dataclass
class Backup:
    """A model in the middle of a fit, and the state of that fit as it was given to `save`."""

    donor: object
    fit: dict

    def apply(self, model):
        """Give the model the numbers of the one that was saved."""
        net, other = model._network, self.donor._network
        net.replace(other.params, other.state)
        net.seed, net.step, net.epoch = other.seed, other.step, other.epoch
        model.optimizer.learning_rate = self.donor.optimizer.learning_rate


def read_backup(path, model):
    """Read what `save` wrote in the middle of a fit of such a model.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is damaged, no backup, or that of another model.
    """
    donor, _, fit = _read(path, model._network.requested, model._network.threads)
    try:
        complete = type(fit["next_epoch"]) is int and fit["next_epoch"] >= 0 and type(fit["stop"]) is bool
        complete &= isinstance(fit["identity"], dict) and all(
            isinstance(entry["state"], dict) and isinstance(entry["class"], str) for entry in fit["callbacks"]
        )
    except (KeyError, TypeError):
        complete = False
    if not complete:
        raise ValueError(f"{os.fspath(path)!r} is not the backup of a fit")
    ours, theirs = _identity(model), _identity(donor)
    if ours != theirs:
        what, our, their = _difference(ours, theirs)
        raise ValueError(f"{os.fspath(path)!r} is the backup of another model: its{what} is {their!r}, not {our!r}")
    return Backup(donor, fit)


def _difference(ours, theirs, where=""):
    """Return the place of the first difference between two descriptions, and what stands there in both."""
    for kind, step in ((dict, " {}"), (list, "[{}]")):
        if isinstance(ours, kind) and isinstance(theirs, kind) and len(ours) == len(theirs):
            for key in ours if kind is dict else range(len(ours)):
                other = theirs.get(key) if kind is dict else theirs[key]
                if ours[key] != other:
                    return _difference(ours[key], other, where + step.format(key))
    if isinstance(ours, list) and isinstance(theirs, list):
        return f" number of{where}", len(ours), len(theirs)
    return where, ours, theirs


def _identity(model):
    """What has to be equal for one model to go on with the numbers of another."""
    config = {"class": type(model).__name__, **model.get_config(), **model.get_config()["compile"]}
    config["optimizer"]["config"].pop("learning_rate", None)
    config["metrics"] = [metric for metric in config["metrics"] if metric["name"] is not None]
    for key in ("seed", "name", "compile"):
        del config[key]
    for layer in config["layers"]:
        layer["config"].pop("name", None)  # layers made later in a process may be counted on
    return config
