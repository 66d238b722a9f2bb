"""Weights to and from PyTorch, and models to ONNX. Neither PyTorch nor a network library is imported."""

import math

import numpy as np

from . import files
from .layers import (
    Activation,
    BatchNormalization,
    Dense,
    Dropout,
    Flatten,
    GaussianDropout,
    GaussianNoise,
    Input,
    LayerNormalization,
    MaskingNoise,
    TiedDense,
)
from .scaling import InputScaling, MinMax, Normalization, Rescaling

__all__ = ["from_torch_state_dict", "to_onnx", "to_torch_state_dict"]

_NORMS = (BatchNormalization, LayerNormalization)
_IN_TORCH = (Input, Flatten, Dropout, GaussianDropout, GaussianNoise, MaskingNoise, Dense, Activation, *_NORMS)
_IN_ONNX = (*_IN_TORCH, TiedDense, Rescaling, Normalization, MinMax)
_OPSET = 17


def _checked(model, supported):
    model._need_built()
    for layer in model._layers:
        if not isinstance(layer, supported):
            names = ", ".join(cls.__name__ for cls in supported)
            raise ValueError(f"{layer!r} cannot be exported; supported are {names}")
    model._pull()
    return model._layers


def _modules(model, names):
    """Return the layers with weights, and the name of the PyTorch module of each."""
    position, found, default = 0, [], []
    for layer in _checked(model, _IN_TORCH):
        if isinstance(layer, (Dense, *_NORMS)):
            found.append(layer)
            default.append(str(position))
        if isinstance(layer, Dense):
            position += 1 + (layer.activation != "linear")
        elif not isinstance(layer, Input):
            position += 1
    names = default if names is None else list(names)
    if len(names) != len(found) or len(set(names)) != len(names):
        raise ValueError(f"names must be {len(found)} different names, one a layer with weights, got {names!r}")
    return list(zip(found, names, strict=True))


def _affine(layer):
    """Return gamma and beta of a normalisation, ones and zeros where it has none, and its other weights."""
    weights, n = layer.get_weights(), layer.output_shape[1]
    dtype = layer._network.dtype
    gamma = weights.pop(0) if layer.scale else np.ones(n, dtype)
    beta = weights.pop(0) if layer.center else np.zeros(n, dtype)
    return gamma, beta, weights


def _to_torch(layer):
    """Return the tensors of a layer's module by their names."""
    if isinstance(layer, Dense):
        kernel, *bias = layer.get_weights()
        return dict(zip(("weight", "bias"), (np.ascontiguousarray(kernel.T), *bias), strict=False))
    gamma, beta, moving = _affine(layer)
    tensors = {"weight": gamma, "bias": beta} if layer.scale or layer.center else {}
    if moving:
        tensors |= {"running_mean": moving[0], "running_var": moving[1]}
        tensors["num_batches_tracked"] = np.array(layer._network.step, np.int64)
    return tensors


def _from_torch(layer, tensors):
    """Return the weights of a layer from the tensors of its module."""
    if isinstance(layer, Dense):
        return [tensors["weight"].T, *([tensors["bias"]] if layer.use_bias else [])]
    weights = []
    for name, there, usual in (("weight", layer.scale, 1.0), ("bias", layer.center, 0.0)):
        if there:
            weights.append(tensors[name])
        elif name in tensors and not (tensors[name] == usual).all():
            raise ValueError(f"{layer!r} has no place for a {name} that is not {usual}, got {tensors[name]}")
    return weights + [tensors[name] for name in ("running_mean", "running_var") if name in tensors]


def to_torch_state_dict(model, path, names=None):
    """Write the weights as a state dict of PyTorch, in a safetensors file.

    A dense layer's kernel (n_in, n_out) becomes ``NAME.weight`` (n_out, n_in), which is its transpose, and its bias
    ``NAME.bias`` (n_out,). A normalisation's gamma and beta become ``NAME.weight`` and ``NAME.bias``, and moving mean
    and variance ``NAME.running_mean`` and ``NAME.running_var``; the ``eps`` of its module has to be the layer's
    `epsilon`. ``safetensors.torch.load_file(path)`` returns what ``load_state_dict`` takes.

    Parameters
    ----------
    model : Sequential
    path : path-like
    names : list of str, optional
        Name of the module of every layer with weights, such as ``["fc1", "fc2"]``. By default those in a
        ``torch.nn.Sequential`` with a module for every layer but `Input` (``Identity`` for noise), and one for every
        activation that is not linear: ``"0"``, ``"2"`` for ``Linear, ReLU, Linear``.

    Raises
    ------
    ValueError
        If a layer has no counterpart, or the names do not fit.
    """
    from safetensors.numpy import save

    tensors = {
        f"{name}.{key}": value for layer, name in _modules(model, names) for key, value in _to_torch(layer).items()
    }
    files.write_atomic(path, save(tensors))


def from_torch_state_dict(model, path, names=None):
    """Take the weights from a state dict of PyTorch, in a safetensors file.

    Parameters
    ----------
    model : Sequential
        Built, with layers of the same sizes.
    path : path-like
        As ``safetensors.torch.save_file(module.state_dict(), path)`` writes it.
    names : list of str, optional
        As for `to_torch_state_dict`.

    Raises
    ------
    ValueError
        If the tensors do not fit the layers. Nothing has changed then.
    """
    from safetensors.numpy import load_file

    tensors, wanted, parts = load_file(path), {}, []
    for layer, name in _modules(model, names):
        keys = {key: f"{name}.{key}" for key in _to_torch(layer)}
        wanted |= {keys[key]: value.shape for key, value in _to_torch(layer).items()}
        parts.append((layer, keys))
    found = {key: value.shape for key, value in tensors.items()}
    if found != wanted:
        raise ValueError(f"{path} has the tensors {found}, the model needs {wanted}")
    weights = [_from_torch(layer, {key: tensors[name] for key, name in keys.items()}) for layer, keys in parts]
    model.set_weights([weight for part in weights for weight in part])


# ---------------------------------------------------------------------------------------------- ONNX

_SIMPLE = {"relu": "Relu", "tanh": "Tanh", "sigmoid": "Sigmoid", "softplus": "Softplus", "exponential": "Exp"}


def to_onnx(model, path):
    """Write the model as ONNX, for inference: float32 (n, ...) in, (n, ...) out, with any n.

    Dropout and noise are left out, as in `predict`; layers that scale inputs and `TiedDense` are there. uint8 inputs
    have to be converted, and scaled where the model does so without a layer, by the caller.

    Parameters
    ----------
    model : Sequential
    path : path-like

    Raises
    ------
    ImportError
        If onnx, the extra of that name, is missing.
    ValueError
        If a layer or an activation has no counterpart.
    """
    try:
        import onnx
        from onnx import helper, numpy_helper
    except ImportError:
        raise ImportError('to_onnx needs onnx: pip install ".[onnx]" in the clone, or pip install onnx') from None

    layers = _checked(model, _IN_ONNX)
    nodes, constants = [], []
    shape = model._input_shape
    float32 = onnx.TensorProto.FLOAT

    def node(kind, *inputs, **attributes):
        name = f"t{len(nodes)}"
        nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def constant(value):
        name = f"c{len(constants)}"
        constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def activation(kind, alpha, at):
        if kind == "linear":
            return at
        if kind in _SIMPLE:
            return node(_SIMPLE[kind], at)
        if kind == "softmax":
            return node("Softmax", at, axis=1)
        if kind == "leaky_relu":
            return node("LeakyRelu", at, alpha=0.2 if alpha is None else alpha)
        if kind == "elu":
            return node("Elu", at, alpha=1.0 if alpha is None else alpha)
        if kind == "silu":
            return node("Mul", at, node("Sigmoid", at))
        if kind == "gelu":
            erf = node("Erf", node("Mul", at, constant(np.float32(math.sqrt(0.5)))))
            twice = node("Mul", at, node("Add", erf, constant(np.float32(1.0))))
            return node("Mul", twice, constant(np.float32(0.5)))
        raise ValueError(f"the activation {kind!r} cannot be exported to ONNX")

    at = "x"
    if len(shape) > 1:
        at = node("Flatten", at, axis=1)
    for layer in layers:
        if isinstance(layer, (Dense, TiedDense)):
            tied = isinstance(layer, TiedDense)
            kernel, *bias = [layer._source.get_weights()[0].T, *layer.get_weights()] if tied else layer.get_weights()
            at = node("MatMul", at, constant(kernel.astype(np.float32)))
            if layer.use_bias:
                at = node("Add", at, constant(bias[0].astype(np.float32)))
            at = activation(layer.activation, None, at)
        elif isinstance(layer, _NORMS):
            gamma, beta, moving = _affine(layer)
            kind, more = ("BatchNormalization", {}) if moving else ("LayerNormalization", {"axis": -1})
            values = [constant(value.astype(np.float32)) for value in (gamma, beta, *moving)]
            at = node(kind, at, *values, epsilon=layer.epsilon, **more)
        elif isinstance(layer, InputScaling):
            factor, (before, after) = layer.factors(model._scaling_shape(shape))
            for kind, number in (("Sub", before), ("Mul", factor), ("Add", after)):
                at = node(kind, at, constant(np.float32(number)))
        elif isinstance(layer, Activation):
            at = activation(layer.activation, layer.alpha, at)
    out = model.output_shape[1:]
    if len(out) > 1:
        node("Reshape", at, constant(np.array([-1, *out], np.int64)))
    else:
        node("Identity", at)
    nodes[-1].output[0] = "y"
    graph = helper.make_graph(
        nodes,
        model.name,
        [helper.make_tensor_value_info("x", float32, ["n", *shape])],
        [helper.make_tensor_value_info("y", float32, ["n", *out])],
        constants,
    )
    opset = helper.make_opsetid("", _OPSET)
    described = helper.make_model(graph, producer_name="fastnn", opset_imports=[opset], ir_version=8)
    onnx.checker.check_model(described)
    files.write_atomic(path, described.SerializeToString())
