"""Files that Keras 3 reads and writes: ``.keras``, ``.weights.h5``, and the older ``.h5``.

Weights are in HDF5 (h5py): in ``.weights.h5``, and in the one inside a ``.keras`` archive, at
``layers/<class>_<number>/vars/<number>`` with the optimizer's under ``optimizer/vars``; in ``.h5``, at
``model_weights/<layer>``, with the names in order as an attribute. Structure and compilation are described in JSON.
"""

import io
import json
import os
import zipfile
from collections import Counter
from datetime import datetime, timezone

import numpy as np

from .. import files
from . import configs, seeds
from .layers import InputLayer
from .models import Model, Sequential

_VERSION = "3.15.0"  # of Keras, whose files these are


def _h5py():
    try:
        import h5py
    except ImportError:
        raise ImportError('Keras files need h5py: pip install ".[keras]" in the clone, or pip install h5py') from None
    return h5py


def _check(filepath, endings, overwrite):
    path = os.fspath(filepath)
    if not path.endswith(endings):
        raise ValueError(f"the file's name must end in {' or '.join(endings)}, got {path!r}")
    if not overwrite and os.path.exists(path):
        raise FileExistsError(f"{path} exists, and overwrite=False")
    return path


def save_model(model, filepath, overwrite=True):
    """Write a model."""
    path = _check(filepath, (".keras", ".h5", ".hdf5"), overwrite)
    if path.endswith(".keras"):
        content = io.BytesIO()
        description = {**configs.describe(model), "compile_config": configs.describe_compiled(model)}
        about = {"keras_version": _VERSION, "date_saved": datetime.now(timezone.utc).strftime("%Y-%m-%d@%H:%M:%S")}
        with zipfile.ZipFile(content, "w") as archive:
            archive.writestr("metadata.json", json.dumps(about))
            archive.writestr("config.json", json.dumps(description))
            archive.writestr("model.weights.h5", _weights(model))
        files.write_atomic(path, content.getvalue())
        return
    description = configs.describe(model)

    def fill(file):
        file.attrs["backend"], file.attrs["keras_version"] = "fastnn", _VERSION
        file.attrs["model_config"] = json.dumps({key: description[key] for key in ("class_name", "config")})
        compiled = configs.describe_compiled(model)
        if compiled:
            optimizer = compiled.pop("optimizer")
            compiled["optimizer_config"] = {key: optimizer[key] for key in ("class_name", "config")}
            file.attrs["training_config"] = json.dumps(compiled)
        _fill_by_name(file.create_group("model_weights"), model)

    files.write_atomic(path, _hdf5(fill))


def save_weights(model, filepath, overwrite=True):
    """Write the weights of a model."""
    files.write_atomic(_check(filepath, (".weights.h5",), overwrite), _weights(model))


def load_model(filepath, compile=True):
    """Return the model in a file."""
    path = _check(filepath, (".keras", ".h5", ".hdf5"), True)
    with open(path, "rb") as file:
        content = file.read()
    if path.endswith(".keras"):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            description = json.loads(archive.read("config.json"))
            content = archive.read("model.weights.h5")
    else:
        with _h5py().File(io.BytesIO(content), "r") as file:
            description = json.loads(file.attrs["model_config"])
            if "training_config" in file.attrs:
                compiled = json.loads(file.attrs["training_config"])
                description["compile_config"] = {**compiled, "optimizer": compiled["optimizer_config"]}
    model = configs.restore(description, compile)
    if model.built:
        _read(model, content, path, with_optimizer=compile)
    return model


def load_weights(model, filepath):
    """Give a model the weights in a file."""
    path = os.fspath(filepath)
    with open(path, "rb") as file:
        content = file.read()
    if path.endswith(".keras"):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            content = archive.read("model.weights.h5")
    _read(model, content, path, with_optimizer=False)


# ---------------------------------------------------------------------------------------------- weights


def _hdf5(fill):
    content = io.BytesIO()
    with _h5py().File(content, "w") as file:
        fill(file)
    return content.getvalue()


def _class_name(part):
    if isinstance(part, Sequential):
        return "Sequential"
    return "Functional" if isinstance(part, Model) else type(part).__name__


def _paths(model, prefix=""):
    """Yield every layer that is not an input, with its place in a ``.weights.h5``; models with None first."""
    counts = Counter()
    for part in model.layers:
        name = seeds.snake_case(_class_name(part))
        place = f"{prefix}layers/{name}_{counts[name]}" if counts[name] else f"{prefix}layers/{name}"
        counts[name] += 1
        if isinstance(part, Model):
            yield place, part, False
            yield from _paths(part, f"{place}/")
        else:
            yield place, part, True


def _weights(model):
    def fill(file):
        file.create_group("vars").attrs["name"] = model.name
        for place, part, is_layer in _paths(model):
            group = file.create_group(f"{place}/vars")
            group.attrs["name"] = part.name
            for i, value in enumerate(part.get_weights() if is_layer else ()):
                group[str(i)] = value
        state = configs.optimizer_state(model)
        if state is not None:
            group = file.create_group("optimizer/vars")
            group.attrs["name"] = model.optimizer.name
            for i, value in enumerate(state):
                group[str(i)] = value

    return _hdf5(fill)


def _fill_by_name(group, model):
    parts = model.layers
    group.attrs["layer_names"] = [part.name for part in parts]
    group.attrs["backend"], group.attrs["keras_version"] = "fastnn", _VERSION
    group.create_group("top_level_model_weights").attrs["weight_names"] = np.empty(0)
    for part in parts:
        place, names = group.create_group(part.name), []
        for leaf in part._leaves if isinstance(part, Model) else [part]:
            for weight in leaf.weights:
                names.append(weight.path)
                place[names[-1]] = weight
        place.attrs["weight_names"] = names if names else np.empty(0)


def _read(model, content, path, with_optimizer):
    with _h5py().File(io.BytesIO(content), "r") as file:
        if "layer_names" in file.attrs or "model_weights" in file:
            leaves = [leaf for leaf in model._leaves if not isinstance(leaf, InputLayer)]
            values = _by_name(file.get("model_weights", file))
        else:
            found = [(place, part) for place, part, is_layer in _paths(model) if is_layer]
            leaves = [part for _, part in found]
            values = [value for place, _ in found for value in _in_order(file, f"{place}/vars")]
        state = _in_order(file, "optimizer/vars") if with_optimizer else []
    wanted = [shape for leaf in leaves for _, shape in leaf._shapes()]
    if [value.shape for value in values] != wanted:
        raise ValueError(
            f"{path} does not have the weights of this model: the shapes are {[v.shape for v in values]}, not {wanted}"
        )
    model.set_weights(values)
    configs.set_optimizer_state(model, state)


def _in_order(file, place):
    group = file.get(place, {})
    return [np.asarray(group[name]) for name in sorted(group, key=int)]


def _by_name(group):
    def text(name):
        return name.decode() if isinstance(name, bytes) else str(name)

    layers = (group[text(name)] for name in group.attrs["layer_names"])
    return [np.asarray(layer[text(name)]) for layer in layers for name in layer.attrs["weight_names"]]
