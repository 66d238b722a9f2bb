"""Files that Keras 3 reads and writes: ``.keras``, ``.weights.h5``, and the older ``.h5``.

Weights are in HDF5 (h5py): in ``.weights.h5``, and in the one inside a ``.keras`` archive, at
``layers/<class>_<number>/vars/<number>`` with the optimizer's under ``optimizer/vars``; in ``.h5``, at
``model_weights/<layer>`` and ``optimizer_weights``, with the names in order as an attribute. The latter is read and not
written, for Keras 3.15 cannot train a model that it has read from such a file. Structure and compilation are described
in JSON.
"""

import contextlib
import io
import json
import os
import zipfile
import zlib
from collections import Counter
from datetime import datetime, timezone

import numpy as np

from .. import files
from ..layer_base import snake_case
from . import base, configs
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
    with _reading(path) as content:
        if path.endswith(".keras"):
            description, content = json.loads(_member(content, "config.json")), _member(content, "model.weights.h5")
        else:
            with _h5py().File(io.BytesIO(content), "r") as file:
                description = json.loads(file.attrs["model_config"])
                if "training_config" in file.attrs:
                    compiled = json.loads(file.attrs["training_config"])
                    description["compile_config"] = {**compiled, "optimizer": compiled["optimizer_config"]}
        # Every weight takes four bytes, and none is drawn for which there is no room.
        with base.room_for(len(content) // 4):
            model = configs.restore(description, compile)
        if model.built:
            _read(model, content, path, with_optimizer=compile)
    return model


def load_weights(model, filepath):
    """Give a model the weights in a file."""
    path = os.fspath(filepath)
    with _reading(path) as content:
        if path.endswith(".keras"):
            content = _member(content, "model.weights.h5")
        _read(model, content, path, with_optimizer=False)


@contextlib.contextmanager
def _reading(path):
    """Give the content of a file, and say of any error that comes of it that it is the file's."""
    with open(path, "rb") as file:
        content = file.read()
    try:
        yield content
    except ImportError:
        raise
    except _DAMAGES as error:
        raise ValueError(f"{path} is damaged, or no file of Keras ({type(error).__name__}: {error})") from error


_DAMAGES = (zipfile.BadZipFile, zlib.error, json.JSONDecodeError, UnicodeDecodeError, LookupError, TypeError,
            AttributeError, ArithmeticError, RuntimeError, MemoryError, OSError, NotImplementedError)  # fmt: skip


def _member(content, name):
    """Return a file in a ``.keras`` archive, unless it grows out of proportion when unpacked."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        size = archive.getinfo(name).file_size
        if size > _INFLATION * len(content):
            raise zipfile.BadZipFile(f"{name} would grow to {size:,} bytes from a file of {len(content):,}")
        return archive.read(name)


_INFLATION = 100


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
        name = snake_case(_class_name(part))
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
            group = _inside(file, "model_weights") or file
            places = [
                f"{_text(layer)}/{_text(name)}"
                for layer in group.attrs["layer_names"]
                for name in _inside(group, _text(layer)).attrs["weight_names"]
            ]
            found = [_inside(group, place) for place in places]
            group = _inside(file, "optimizer_weights") if with_optimizer else None
            state = [] if group is None else [_inside(group, _text(name)) for name in group.attrs["weight_names"]]
        else:
            places = [(place, part) for place, part, is_layer in _paths(model) if is_layer]
            leaves = [part for _, part in places]
            found = [value for place, _ in places for value in _in_order(file, f"{place}/vars")]
            state = _in_order(file, "optimizer/vars")
        wanted = [shape for leaf in leaves for _, shape in leaf._shapes()]
        # Compared before they are read: a file of a few bytes can tell of any shape.
        if [value.shape for value in found] != wanted:
            raise ValueError(
                f"{path} does not have the weights of this model: the shapes are {[v.shape for v in found]}, not "
                f"{wanted}"
            )
        model.set_weights([np.asarray(value) for value in found])
        if with_optimizer:
            configs.set_optimizer_state(model, state)


def _text(name):
    return name.decode() if isinstance(name, bytes) else str(name)


def _in_order(file, place):
    group = _inside(file, place) or {}
    return [_inside(group, name) for name in sorted(group, key=int)]


def _inside(group, place):
    """Return what is at a place in a file, or None; a link out of the file is no way to it."""
    h5py = _h5py()
    for name in place.split("/"):
        link = group.get(name, getlink=True)
        if link is None:
            return None
        if not isinstance(link, h5py.HardLink):
            raise TypeError(f"{group.name}/{name} is a link, which Keras does not write")
        group = group[name]
    if isinstance(group, h5py.Dataset) and (group.external or group.is_virtual):
        raise TypeError(f"{group.name} has its data in another file")
    return group
