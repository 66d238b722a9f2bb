"""Models in Keras's words: structure, compilation and optimizer state, as its files have them."""

import math
import warnings

import numpy as np

from .. import metrics as engine_metrics
from .. import validation
from ..kernels.optimizers import nadam_momentum
from . import layers, losses, metrics, optimizers
from .arguments import refuse
from .layers import Input
from .models import Model, Sequential
from .optimizers import schedules


def _described(module, name, config):
    return {"module": module, "class_name": name, "config": config, "registered_name": None}


# ---------------------------------------------------------------------------------------------- structure


def describe(model):
    """Return the description of a model without its weights; a subclass of Model is described by its layers."""
    parts = model._parts
    if isinstance(model, Sequential):
        config = {"name": model.name, "trainable": True, "dtype": "float32",
                  "layers": [_part(part) for part in parts], "build_input_shape": [None, *parts[0]._in]}  # fmt: skip
        return _described("keras", "Sequential", config)
    entries, before = [], None
    for part in parts:
        nodes = []
        if before is not None:
            history = {"shape": list(before.output_shape), "dtype": "float32", "keras_history": [before.name, 0, 0]}
            nodes = [{"args": [{"class_name": "__keras_tensor__", "config": history}], "kwargs": {}}]
        entries.append({**_part(part), "name": part.name, "inbound_nodes": nodes})
        before = part
    config = {"name": model.name, "trainable": True, "layers": entries,
              "input_layers": [parts[0].name, 0, 0], "output_layers": [parts[-1].name, 0, 0]}  # fmt: skip
    description = _described("keras.src.models.functional", "Functional", config)
    return {**description, "registered_name": "Functional"}


def _part(part):
    if isinstance(part, Model):
        return describe(part)
    return _described("keras.layers", type(part).__name__, part.get_config())


def restore(description, compile=False):
    """Return the model, with new weights, that `describe` described, here or in Keras; compiled as it says if asked."""
    model = _restore(description)
    compiled = description.get("compile_config")
    if compile and compiled and compiled.get("optimizer") and compiled.get("loss"):
        model.compile(**restore_compiled(compiled))
    return model


def _restore(description):
    name, config = description["class_name"], description["config"]
    if name == "Sequential":
        entries = config if isinstance(config, list) else config["layers"]
        model = Sequential(
            [_restore_part(entry) for entry in entries], name=None if entries is config else config["name"]
        )
        if not model.built and not isinstance(config, list) and config.get("build_input_shape"):
            model.build(config["build_input_shape"])
        return model
    if name not in ("Functional", "Model"):
        raise ValueError(f"the file has a model of the class {name!r}; supported are Sequential and Functional")
    entries = {entry["config"]["name"]: entry for entry in config["layers"]}
    (first, *_), (last, *_) = _single(config["input_layers"]), _single(config["output_layers"])
    order, at = [], last
    while at != first:
        order.append(at)
        at = _source(entries[at])
    tensor = start = _restore_part(entries[first]).output
    for at in reversed(order):
        tensor = _restore_part(entries[at])(tensor)
    return Model(start, tensor, name=config["name"])


def _single(ends):
    ends = [ends] if ends and isinstance(ends[0], str) else ends
    if len(ends) != 1:
        raise ValueError(
            f"the model in the file has {len(ends)} inputs or outputs; supported are chains, with one of each"
        )
    return ends[0]


def _source(entry):
    nodes = entry["inbound_nodes"]
    name = entry["config"]["name"]
    if len(nodes) != 1:
        raise ValueError(f"the layer {name!r} in the file is called {len(nodes)} times; supported are chains")
    if isinstance(nodes[0], dict):
        tensors = nodes[0]["args"]
        tensors = tensors[0] if tensors and isinstance(tensors[0], list) else tensors
        found = [tensor["config"]["keras_history"][0] for tensor in tensors]
    else:  # Keras 2: lists [name, node, tensor, arguments]
        found = [tensor[0] for tensor in nodes[0]]
    if len(found) != 1:
        raise ValueError(f"the layer {name!r} in the file has {len(found)} inputs; supported are chains")
    return found[0]


def _restore_part(description):
    name, config = description["class_name"], description["config"]
    if name in ("Sequential", "Functional", "Model"):
        return restore(description)
    if name not in layers.CLASSES:
        raise ValueError(
            f"the file has a layer {name}, which is not supported; supported are {', '.join(layers.CLASSES)}"
        )
    if name == "InputLayer":
        shape = config.get("batch_shape") or config["batch_input_shape"]
        return Input(batch_shape=tuple(shape), name=config["name"])._layer
    return layers.CLASSES[name].from_config(config)


# ---------------------------------------------------------------------------------------------- compilation


def describe_compiled(model):
    """Return how a model was compiled; {} if it was not, or by what Keras does not have. Own functions are left out."""
    optimizer, loss = model.optimizer, model._loss
    if loss is None or type(optimizer).__name__ not in _STATES:
        return {}
    config = {"name": optimizer.name, **optimizer.get_config()}
    config.pop("exclude_from_weight_decay", None)  # which Keras's files do not have
    rate = optimizer.learning_rate
    if not isinstance(rate, float):
        if type(rate).__name__ not in _SCHEDULES:
            return {}
        config["learning_rate"] = _described("keras.optimizers.schedules", type(rate).__name__, rate.get_config())
    chosen = [
        _described("keras.metrics", type(metric).__name__, metric.get_config())
        if type(metric) in metrics.CLASSES.values()
        else metric.name
        for metric in model._metrics
        if not isinstance(metric, engine_metrics.Function)
    ]
    # Keras's sparse cross-entropy has no label_smoothing.
    arguments = {k: v for k, v in loss.get_config().items() if k != "label_smoothing" or v}
    return {
        "optimizer": _described("keras.optimizers", type(optimizer).__name__, config),
        "loss": _described("keras.losses", type(loss).__name__, {"name": loss.name, **arguments}),
        "loss_weights": None,
        "metrics": chosen,
        "weighted_metrics": None,
        "run_eagerly": False,
        "steps_per_execution": 1,
        "jit_compile": False,
    }


_SCHEDULES = ("ExponentialDecay", "InverseTimeDecay", "PolynomialDecay", "CosineDecay", "CosineDecayRestarts",
              "PiecewiseConstantDecay")  # fmt: skip


def restore_compiled(compiled):
    """Return the arguments of `compile` that `describe_compiled` described, here or in Keras."""
    refuse("the model in the file", {"loss_weights": compiled.get("loss_weights"),
           "weighted_metrics": compiled.get("weighted_metrics") or None},
           {"loss_weights": None, "weighted_metrics": None}, ("optimizer", "loss", "metrics"))  # fmt: skip
    chosen = compiled.get("metrics")
    chosen = list(chosen.values()) if isinstance(chosen, dict) else chosen
    return {
        "optimizer": _restored(compiled["optimizer"], optimizers.CLASSES),
        "loss": _restored(compiled["loss"], losses.CLASSES),
        "metrics": [_restored(metric, metrics.CLASSES) for metric in chosen or ()],
    }


def _restored(description, classes):
    if isinstance(description, str):
        return description
    name, config = description["class_name"], dict(description["config"])
    if name == "function" and isinstance(description["config"], str):
        return description["config"]
    if name not in classes:
        raise ValueError(f"the file has {name}, which is not supported; supported are {', '.join(classes)}")
    for key, value in config.items():
        if isinstance(value, dict) and "class_name" in value:
            arguments = {k: v for k, v in value["config"].items() if k != "name"}
            config[key] = getattr(schedules, value["class_name"])(**arguments)
    for key in ("is_legacy_optimizer", "jit_compile", "fn"):
        config.pop(key, None)
    return classes[name](**config)


# ---------------------------------------------------------------------------------------------- optimizer state

# Optimizers of which Keras keeps the same, in this order for every weight. Others are described without their state.
_STATES = ("SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "Adamax", "Nadam", "Lion")


def _state_order(model):
    """Yield the slot and the slice of the flat vector of every variable, in Keras's order, and its shape."""
    for copied in model._copies.values():
        for start, shape in copied._spans[: len(copied._spans) - len(copied.fixed_weights)]:
            for slot in range(len(model.optimizer.row.slots)):
                yield slot, slice(start, start + math.prod(shape)), shape


def optimizer_state(model):
    """Return the optimizer's variables in Keras's order, or None where there is nothing to tell."""
    if not describe_compiled(model) or not model._network.step:
        return None
    model._pull()
    model._network.host()
    step, state = model._network.step, model._network.state
    values = [np.int32(step)]
    if isinstance(model.optimizer.learning_rate, float):
        values.append(np.float32(model.optimizer.learning_rate))
    # Keras's Adagrad has its initial value in the accumulator.
    offset = getattr(model.optimizer, "initial_accumulator_value", 0.0)
    values += [state[slot, part].reshape(shape) + np.float32(offset) for slot, part, shape in _state_order(model)]
    if model.optimizer.name == "nadam":
        values.append(np.float32(nadam_momentum(model.optimizer.beta_1, step)[1]))
    return values


def set_optimizer_state(model, values):
    """Take the optimizer's variables in Keras's order, arrays or datasets; none leave it as it is."""
    if not values or model._loss is None:
        return
    order = list(_state_order(model))
    skip = 1 + isinstance(model.optimizer.learning_rate, float)
    end = skip + len(order)
    shapes = [()] * skip + [shape for _, _, shape in order]
    if [value.shape for value in values[:end]] != shapes:
        warnings.warn("the file's optimizer state does not fit the optimizer, which starts afresh", stacklevel=4)
        return
    step = validation.integer("the number of steps in the file", int(np.asarray(values[0])), low=0, high=2**62)
    offset = getattr(model.optimizer, "initial_accumulator_value", 0.0)
    state = np.zeros_like(model._network.state)
    for (slot, part, _), value in zip(order, values[skip:end], strict=True):
        state[slot, part] = np.asarray(value).ravel() - np.float32(offset)
    model._network.replace(model._network.host(), state)
    model._network.step = step
