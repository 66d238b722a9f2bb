"""Weights to and from PyTorch, and models to ONNX. Neither PyTorch nor a network library is imported."""

import math

import numpy as np

from . import files
from .layers import Activation, Dense, Dropout, Flatten, Input

__all__ = ["from_torch_state_dict", "to_onnx", "to_torch_state_dict"]

_LAYERS = (Input, Flatten, Dropout, Dense, Activation)
_OPSET = 17


def _checked(model):
    model._need_built()
    for layer in model._layers:
        if type(layer) not in _LAYERS:
            names = ", ".join(cls.__name__ for cls in _LAYERS)
            raise ValueError(f"{layer!r} cannot be exported; supported are {names}")
    return model._layers


def _linears(model, names):
    """Return the dense layers, and the name of the ``torch.nn.Linear`` of each."""
    position, dense, default = 0, [], []
    for layer in _checked(model):
        if isinstance(layer, Dense):
            dense.append(layer)
            default.append(str(position))
            position += 1 + (layer.activation != "linear")
        elif not isinstance(layer, Input):
            position += 1
    names = default if names is None else list(names)
    if len(names) != len(dense) or len(set(names)) != len(names):
        raise ValueError(f"names must be {len(dense)} different names, one a dense layer, got {names!r}")
    return list(zip(dense, names, strict=True))


def to_torch_state_dict(model, path, names=None):
    """Write the weights as a state dict of PyTorch, in a safetensors file.

    A dense layer's kernel (n_in, n_out) becomes ``NAME.weight`` (n_out, n_in), which is its transpose, and its bias
    ``NAME.bias`` (n_out,). ``safetensors.torch.load_file(path)`` returns what ``load_state_dict`` takes.

    Parameters
    ----------
    model : Sequential
    path : path-like
    names : list of str, optional
        Name of the ``torch.nn.Linear`` of every dense layer, such as ``["fc1", "fc2"]``. By default those in a
        ``torch.nn.Sequential`` with a module for every layer but `Input`, and one for every activation that is not
        linear: ``"0"``, ``"2"`` for ``Linear, ReLU, Linear``.

    Raises
    ------
    ValueError
        If a layer has no counterpart, or the names do not fit.
    """
    from safetensors.numpy import save

    tensors = {}
    for layer, name in _linears(model, names):
        kernel, *bias = layer.get_weights()
        tensors[f"{name}.weight"] = np.ascontiguousarray(kernel.T)
        tensors.update({f"{name}.bias": value for value in bias})
    files.write_atomic(path, save(tensors))


def from_torch_state_dict(model, path, names=None):
    """Take the weights from a state dict of PyTorch, in a safetensors file.

    Parameters
    ----------
    model : Sequential
        Built, with dense layers of the same sizes.
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

    tensors, weights = load_file(path), []
    wanted = {}
    for layer, name in _linears(model, names):
        wanted[f"{name}.weight"] = layer._spans[0][1][::-1]
        wanted.update({f"{name}.bias": shape for _, shape in layer._spans[1:]})
    found = {key: value.shape for key, value in tensors.items()}
    if found != wanted:
        raise ValueError(f"{path} has the tensors {found}, the model needs {wanted}")
    for key in wanted:
        weights.append(tensors[key].T if key.endswith(".weight") else tensors[key])
    model.set_weights(weights)


# ---------------------------------------------------------------------------------------------- ONNX

_SIMPLE = {"relu": "Relu", "tanh": "Tanh", "sigmoid": "Sigmoid", "softplus": "Softplus", "exponential": "Exp"}


def to_onnx(model, path):
    """Write the model as ONNX, for inference: float32 (n, ...) in, (n, outputs) out, with any n.

    Dropout is left out, as in `predict`. uint8 inputs have to be converted and scaled by the caller.

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

    layers = _checked(model)
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
        if isinstance(layer, Dense):
            at = node("MatMul", at, constant(layer.get_weights()[0].astype(np.float32)))
            if layer.use_bias:
                at = node("Add", at, constant(layer.get_weights()[1].astype(np.float32)))
            at = activation(layer.activation, None, at)
        elif isinstance(layer, Activation):
            at = activation(layer.activation, layer.alpha, at)
    node("Identity", at)
    nodes[-1].output[0] = "y"
    graph = helper.make_graph(
        nodes,
        model.name,
        [helper.make_tensor_value_info("x", float32, ["n", *shape])],
        [helper.make_tensor_value_info("y", float32, ["n", model._outputs])],
        constants,
    )
    opset = helper.make_opsetid("", _OPSET)
    described = helper.make_model(graph, producer_name="fastnn", opset_imports=[opset], ir_version=8)
    onnx.checker.check_model(described)
    files.write_atomic(path, described.SerializeToString())
