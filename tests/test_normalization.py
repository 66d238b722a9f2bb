"""BatchNormalization and LayerNormalization in models; `test_contract*` and `test_gradients` have their kernels."""

import copy
import importlib.util
import json
import pickle
from pathlib import Path

import numpy as np
import pytest

import fastnn
from fastnn import layers
from fastnn.callbacks import EarlyStopping, LambdaCallback
from fastnn.layers import Activation, BatchNormalization, Dense, Dropout, Flatten, LayerNormalization

VALUES = Path(__file__).parent / "values"
KERAS = json.loads((VALUES / "keras_normalization.json").read_text())
RNG = np.random.default_rng(5)
X = RNG.normal(3.0, 2.0, size=(70, 6)).astype("f4")
Y = X[:, :3].argmax(axis=1)


def model(backend="cython", **options):
    parts = [
        BatchNormalization(input_shape=(6,)),
        Dense(40),
        BatchNormalization(momentum=0.9, gamma_regularizer="l2"),
        Activation("relu"),
        Dropout(0.2),
        LayerNormalization(),
        Dense(3, "softmax"),
    ]
    options = {"seed": 1, "backend": backend, **options}
    return fastnn.Sequential(parts, **options).compile("adam", "sparse_categorical_crossentropy", ["accuracy"])


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one.get_weights(), other.get_weights(), strict=True))


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("keras_normalization", VALUES / "keras_normalization.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", KERAS)
def test_training_is_that_of_keras(script, backend, name):
    """Losses, weights with the moving statistics, predictions: values/keras_normalization.py."""
    options = {"backend": backend.NAME, "dtype": "float64", "seed": 0}
    got, expected = script.result(fastnn, name, **options), KERAS[name]
    for a, b in zip(got["weights"], expected["weights"], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    for what in ("losses", "predictions", "evaluated"):
        np.testing.assert_allclose(got[what], expected[what], rtol=1e-5)


def test_prediction_is_the_formula(backend):
    m = fastnn.Sequential([BatchNormalization(epsilon=0.5, input_shape=(6,))], backend=backend.NAME, dtype="float64")
    gamma, beta, mean, variance = RNG.uniform(0.5, 2.0, size=(4, 6))
    m.set_weights([gamma, beta, mean, variance])
    np.testing.assert_allclose(m.predict(X), (X - mean) / np.sqrt(variance + 0.5) * gamma + beta, rtol=1e-12)
    m = fastnn.Sequential([LayerNormalization(epsilon=0.5, input_shape=(6,))], backend=backend.NAME, dtype="float64")
    m.set_weights([gamma, beta])
    x = X.astype("f8")
    expected = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 0.5) * gamma + beta
    np.testing.assert_allclose(m.predict(X), expected, rtol=1e-11)


def test_only_training_moves_the_statistics(backend):
    m = model(backend.NAME)
    before = m.get_weights()
    m.compile(fastnn.optimizers.SGD(0.0), "sparse_categorical_crossentropy")
    m.evaluate(X, Y)
    m.predict(X)
    fastnn.lr_find(m, X, Y, steps=12)
    assert all(np.array_equal(a, b) for a, b in zip(before, m.get_weights(), strict=True))
    m.fit(X, Y, batch_size=32, validation_data=(X, Y))
    moved = [not np.array_equal(a, b) for a, b in zip(before, m.get_weights(), strict=True)]
    assert np.flatnonzero(moved).tolist() == [2, 3, 8, 9]


def test_sample_weights_do_not_touch_the_statistics(backend):
    parts = [fastnn.Sequential([BatchNormalization(input_shape=(6,))], backend=backend.NAME) for _ in range(2)]
    for m, weights in zip(parts, (None, RNG.uniform(0.1, 3.0, 70)), strict=True):
        m.compile("sgd", "mse").fit(X, X, batch_size=20, shuffle=False, sample_weight=weights)
    one, other = (m.get_weights() for m in parts)
    assert not np.array_equal(one[0], other[0])
    assert np.array_equal(one[2:], other[2:])


def test_files_copies_and_pickles(backend, tmp_path):
    m = model(backend.NAME)
    m.fit(X, Y, epochs=2)
    m.save(tmp_path / "m.safetensors")
    for other in (
        fastnn.load(tmp_path / "m.safetensors", backend.NAME),
        copy.deepcopy(m),
        pickle.loads(pickle.dumps(m)),
    ):
        assert same(m, other)
        assert np.array_equal(m.predict(X), other.predict(X))
        twin = copy.deepcopy(m)
        for each in (twin, other):
            each.fit(X, Y, epochs=2)
        assert same(twin, other)


def test_a_resumed_fit_is_bit_identical(backend, tmp_path):
    class Stop(Exception):
        pass

    def stop(epoch, logs):
        if epoch == 2:
            raise Stop

    whole, first, second = model(backend.NAME), model(backend.NAME), model(backend.NAME, threads=1)
    whole.fit(X, Y, epochs=5)
    with pytest.raises(Stop):
        first.fit(X, Y, epochs=5, callbacks=[fastnn.callbacks.BackupAndRestore(tmp_path), LambdaCallback(stop)])
    second.fit(X, Y, epochs=5, callbacks=[fastnn.callbacks.BackupAndRestore(tmp_path), LambdaCallback()])
    assert same(whole, second)


def test_the_best_weights_come_back_with_their_statistics(backend):
    m, seen = model(backend.NAME), []
    keep = LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(m.get_weights()))
    best = EarlyStopping("accuracy", mode="min", patience=2, restore_best_weights=True)
    m.fit(X, Y, epochs=9, callbacks=[keep, best])
    assert len(seen) > 1
    expected = seen[int(np.argmin(m.history.history["accuracy"]))]
    assert all(np.array_equal(a, b) for a, b in zip(expected, m.get_weights(), strict=True))


def test_a_negative_variance_is_refused():
    m = model()
    m.build((6,))
    before = m.get_weights()
    weights = m.get_weights()
    weights[3] = np.array([1, 1, -0.5, 1, 1, 1])
    with pytest.raises(ValueError, match=r"weight 3 of the layer 'batch_normalization', its moving variance.* -0\.5"):
        m.set_weights(weights)
    with pytest.raises(ValueError, match="must not be negative"):
        m.layers[0].set_weights(weights[:4])
    assert all(map(np.array_equal, m.get_weights(), before))
    weights[2], weights[3] = weights[3], np.zeros(6)
    m.set_weights(weights)


def test_a_negative_initial_variance_is_refused():
    m = fastnn.Sequential([BatchNormalization(moving_variance_initializer="random_normal"), Dense(3)])
    with pytest.raises(ValueError, match="moving_variance_initializer must not give negative"):
        m.build((None, 6))


def test_names_are_those_of_keras():
    names = ["batch_normalization", "dense", "batch_normalization_1", "activation", "dropout", "layer_normalization"]
    assert [layer.name for layer in model().layers] == [*names, "dense_1"]


def test_counts(capsys):
    m = model()
    assert [layer.count_params() for layer in m.layers] == [24, 280, 160, 0, 0, 80, 123]
    assert m.count_params() == len(m.params) == 667
    assert [w.shape for w in m.layers[2].get_weights()] == [(40,)] * 4
    m.summary()
    out = capsys.readouterr().out
    assert "Total params: 667 " in out
    assert "\nTrainable params: 575 " in out
    assert "\nNon-trainable params: 92 " in out


@pytest.mark.parametrize("cls", [BatchNormalization, LayerNormalization])
def test_arguments(cls):
    layer = cls(axis=1, epsilon=0.1, center=False, beta_initializer="ones", gamma_regularizer="l1", name="norm")
    again = layers.deserialize(layers.serialize(layer))
    assert again.get_config() == layer.get_config()
    assert layer.weight_specs((4,))[0][:2] == ("gamma", (4,))
    with pytest.raises(ValueError, match=r"axis must be -1 or 1.*got 2"):
        cls(axis=2)
    with pytest.raises(ValueError, match=r"epsilon .* above 0.0, got 0"):
        cls(epsilon=0)
    with pytest.raises(TypeError, match=r"scale .* 1"):
        cls(scale=1)
    with pytest.raises(ValueError, match=r"one axis, got the shape \(2, 3\): put a Flatten"):
        fastnn.Sequential([cls(input_shape=(2, 3))], backend="numpy")
    m = fastnn.Sequential([Flatten(input_shape=(2, 3)), cls(center=False, scale=False)], backend="numpy")
    assert m.count_params() == (12 if cls is BatchNormalization else 0)


def test_defaults_are_those_of_keras():
    batch = BatchNormalization()
    assert (batch.axis, batch.momentum, batch.epsilon, batch.center, batch.scale) == (-1, 0.99, 1e-3, True, True)
    assert LayerNormalization().epsilon == 1e-3
    m = fastnn.Sequential([BatchNormalization(input_shape=(2,))], backend="numpy")
    assert np.array_equal(m.get_weights(), [[1, 1], [0, 0], [0, 0], [1, 1]])
    with pytest.raises(ValueError, match=r"momentum .* 1.5"):
        BatchNormalization(momentum=1.5)


def test_lbfgs(backend):
    """A loss that depends on the batch is not for it; a normalisation over the layer is."""
    parts = [LayerNormalization(input_shape=(6,)), Dense(5, "tanh"), LayerNormalization(), Dense(3, "softmax")]
    m = fastnn.Sequential(parts, seed=0, backend=backend.NAME, dtype="float64")
    losses = m.compile("lbfgs", "sparse_categorical_crossentropy").fit(X, Y, epochs=15).history["loss"]
    assert losses[-1] < losses[0] / 3
    m = fastnn.Sequential([BatchNormalization(input_shape=(6,)), Dense(3, "softmax")], backend=backend.NAME)
    m.compile("lbfgs", "sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match="always the same, so BatchNormalization"):
        m.fit(X, Y)


def test_tied_kernels(backend):
    """An autoencoder with normalised hidden layers learns, and gives what the layers say."""
    parts = [Dense(4, name="in", input_shape=(6,)), BatchNormalization(momentum=0.5), layers.TiedDense("in")]
    m = fastnn.Sequential(parts, seed=0, backend=backend.NAME, dtype="float64").compile(
        fastnn.optimizers.Adam(0.02), "mse"
    )
    losses = m.fit(X, X, epochs=60).history["loss"]
    assert losses[-1] < losses[0] / 2
    kernel, bias, gamma, beta, mean, variance, out = m.get_weights()
    hidden = (X @ kernel + bias - mean) / np.sqrt(variance + 1e-3) * gamma + beta
    np.testing.assert_allclose(m.predict(X), hidden @ kernel.T + out, rtol=1e-10, atol=1e-10)
