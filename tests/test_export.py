"""Weights to and from PyTorch, and ONNX, against PyTorch and onnxruntime where they are."""

import numpy as np
import pytest
from fastnn.kernels.activations import BY_NAME
from safetensors.numpy import load_file, save_file

import fastnn
from fastnn import keras
from fastnn.layers import (
    Activation,
    BatchNormalization,
    Dense,
    Dropout,
    Flatten,
    GaussianDropout,
    GaussianNoise,
    LayerNormalization,
    MaskingNoise,
    MinMax,
    Normalization,
    Rescaling,
    TiedDense,
)

X = np.random.default_rng(0).normal(size=(9, 2, 3)).astype(np.float32)


def network():
    layers = [
        Flatten(input_shape=(2, 3)),
        Dense(5, "relu"),
        Dropout(0.3),
        Dense(4, use_bias=False),
        Dense(3, "softmax"),
    ]
    model = fastnn.Sequential(layers, seed=0)
    model.set_weights([np.random.default_rng(1).normal(size=w.shape) for w in model.get_weights()])
    return model


def test_state_dict(tmp_path):
    model, path = network(), tmp_path / "w.safetensors"
    fastnn.export.to_torch_state_dict(model, path)
    found = load_file(path)
    assert {name: value.shape for name, value in found.items()} == {
        "1.weight": (5, 6), "1.bias": (5,), "4.weight": (4, 5), "5.weight": (3, 4), "5.bias": (3,)
    }  # fmt: skip
    np.testing.assert_array_equal(found["4.weight"], model.layers[3].get_weights()[0].T)
    other = network()
    other.set_weights([np.zeros_like(w) for w in other.get_weights()])
    fastnn.export.from_torch_state_dict(other, path)
    np.testing.assert_array_equal(other.predict(X), model.predict(X))
    fastnn.export.to_torch_state_dict(model, path, names=["a", "b", "c"])
    assert sorted(load_file(path)) == ["a.bias", "a.weight", "b.weight", "c.bias", "c.weight"]
    with pytest.raises(ValueError, match=r"has the tensors .*'a.bias'.* the model needs .*'1.weight'"):
        fastnn.export.from_torch_state_dict(other, path)
    with pytest.raises(ValueError, match="3 different names"):
        fastnn.export.to_torch_state_dict(model, path, names=["a", "b"])
    save_file({"a": np.zeros(3)}, path)
    with pytest.raises(ValueError, match="has the tensors"):
        fastnn.export.from_torch_state_dict(other, path)
    np.testing.assert_array_equal(other.predict(X), model.predict(X))


def test_pytorch_computes_the_same(tmp_path):
    torch = pytest.importorskip("torch", reason="needs PyTorch")
    from torch import nn

    model, path = network(), tmp_path / "w.safetensors"
    fastnn.export.to_torch_state_dict(model, path)
    module = nn.Sequential(nn.Flatten(), nn.Linear(6, 5), nn.ReLU(), nn.Dropout(0.3), nn.Linear(5, 4, bias=False),
                           nn.Linear(4, 3), nn.Softmax(1)).eval()  # fmt: skip
    module.load_state_dict({name: torch.tensor(value) for name, value in load_file(path).items()})
    np.testing.assert_allclose(module(torch.tensor(X)).detach().numpy(), model.predict(X), atol=1e-5)


def normalized():
    layers = [
        Flatten(input_shape=(2, 3)),
        BatchNormalization(),
        Dense(5, "tanh"),
        LayerNormalization(epsilon=0.01),
        BatchNormalization(epsilon=0.1, scale=False),
        Dense(3),
    ]
    model = fastnn.Sequential(layers, seed=0)
    model.set_weights([np.random.default_rng(1).uniform(0.5, 2.0, size=w.shape) for w in model.get_weights()])
    return model


def test_state_dict_of_normalisations(tmp_path):
    model, path = normalized(), tmp_path / "w.safetensors"
    fastnn.export.to_torch_state_dict(model, path)
    found = load_file(path)
    norm = {"weight": (6,), "bias": (6,), "running_mean": (6,), "running_var": (6,), "num_batches_tracked": ()}
    assert {name[2:]: value.shape for name, value in found.items() if name[0] == "1"} == norm
    assert found["1.num_batches_tracked"].dtype == np.int64
    assert {name: value.shape for name, value in found.items() if name[0] == "4"} == {"4.weight": (5,), "4.bias": (5,)}
    assert (found["5.weight"] == 1).all()
    other = normalized()
    other.set_weights([np.ones_like(w) for w in other.get_weights()])
    fastnn.export.from_torch_state_dict(other, path)
    for ours, theirs in zip(other.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    save_file({**found, "5.weight": np.full(5, 2.0)}, path)
    with pytest.raises(ValueError, match=r"no place for a weight that is not 1.0, got \[2"):
        fastnn.export.from_torch_state_dict(other, path)


def test_pytorch_normalizes_the_same(tmp_path):
    torch = pytest.importorskip("torch", reason="needs PyTorch")
    from torch import nn

    model, path = normalized(), tmp_path / "w.safetensors"
    fastnn.export.to_torch_state_dict(model, path)
    module = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(6, eps=1e-3), nn.Linear(6, 5), nn.Tanh(),
                           nn.LayerNorm(5, eps=0.01), nn.BatchNorm1d(5, eps=0.1), nn.Linear(5, 3)).eval()  # fmt: skip
    module.load_state_dict({name: torch.tensor(value) for name, value in load_file(path).items()})
    np.testing.assert_allclose(module(torch.tensor(X)).detach().numpy(), model.predict(X), atol=1e-5)


def test_onnx_of_normalisations(tmp_path):
    pytest.importorskip("onnx", reason="needs onnx")
    runtime = pytest.importorskip("onnxruntime", reason="needs onnxruntime")
    fastnn.export.to_onnx(normalized(), tmp_path / "m.onnx")
    session = runtime.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(session.run(None, {"x": X})[0], normalized().predict(X), atol=1e-5)


CASES = [("Dense", name, None) for name in BY_NAME]
CASES += [("Activation", name, None) for name in BY_NAME] + [
    ("Activation", "elu", 0.5),
    ("Activation", "leaky_relu", 0.4),
]


@pytest.mark.parametrize(("kind", "name", "alpha"), CASES)
def test_onnx(kind, name, alpha, tmp_path):
    pytest.importorskip("onnx", reason="needs onnx")
    runtime = pytest.importorskip("onnxruntime", reason="needs onnxruntime")
    last = [Dense(4, name)] if kind == "Dense" else [Dense(4), Activation(name, alpha)]
    model = fastnn.Sequential([Flatten(input_shape=(2, 3)), Dense(8, "tanh"), Dropout(0.2), *last], seed=0)
    fastnn.export.to_onnx(model, tmp_path / "m.onnx")
    session = runtime.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(session.run(None, {"x": X})[0], model.predict(X), atol=1e-5)


def computed(model, path, x):
    """What onnxruntime makes of a model."""
    pytest.importorskip("onnx", reason="needs onnx")
    runtime = pytest.importorskip("onnxruntime", reason="needs onnxruntime")
    fastnn.export.to_onnx(model, path)
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x.astype(np.float32)})[0]


@pytest.mark.parametrize(
    "scaling",
    [
        lambda: Rescaling(0.5, -1.0),
        lambda: Normalization(),
        lambda: Normalization(axis=None),
        lambda: Normalization(mean=[1.0, 2.0, 3.0], variance=[4.0, 5.0, 6.0], invert=True),
        lambda: MinMax((-1.0, 2.0)),
    ],
)
def test_onnx_of_scaled_inputs(scaling, tmp_path):
    model = fastnn.Sequential([scaling(), Flatten(), Dense(4, "tanh")], seed=0)
    model.compile("sgd", "mse")
    model.fit(X, np.zeros((9, 4)), verbose=0)
    np.testing.assert_allclose(computed(model, tmp_path / "m.onnx", X), model.predict(X), atol=1e-5)


def test_onnx_of_noise_and_tied_layers(tmp_path):
    layers = [MaskingNoise(0.2, input_shape=(2, 3)), Flatten(), Dense(4, "relu", name="code"), GaussianNoise(0.1),
              GaussianDropout(0.1), TiedDense("code", "sigmoid")]  # fmt: skip
    model = fastnn.Sequential(layers, seed=0)
    np.testing.assert_allclose(computed(model, tmp_path / "m.onnx", X), model.predict(X), atol=1e-5)
    with pytest.raises(ValueError, match=r"TiedDense\(.*cannot be exported; supported are Input, Flatten"):
        fastnn.export.to_torch_state_dict(model, tmp_path / "m.safetensors")


def test_models_that_share_layers(tmp_path):
    """The weights are those of the moment, and the shape that of the model."""
    start = keras.Input((2, 3))
    code = keras.layers.Dense(2)(keras.layers.Flatten()(start))
    out = keras.layers.Reshape((2, 3))(keras.layers.Dense(6)(code))
    whole, encoder = keras.Model(start, out), keras.Model(start, code)
    encoder.predict(X, verbose=0)
    whole.compile("sgd", "mse")
    whole.fit(X, X, verbose=0)
    fastnn.export.to_torch_state_dict(encoder, tmp_path / "w.safetensors")
    np.testing.assert_array_equal(load_file(tmp_path / "w.safetensors")["1.weight"], whole.get_weights()[0].T)
    np.testing.assert_allclose(computed(whole, tmp_path / "m.onnx", X), whole.predict(X, verbose=0), atol=1e-5)
