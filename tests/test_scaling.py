"""Layers that scale the inputs: Normalization, MinMax, Rescaling."""

import json

import numpy as np
import pytest

import fastnn
from fastnn import mapped
from fastnn.callbacks import BackupAndRestore
from fastnn.layers import Dense, Flatten, Input, MinMax, Normalization, Rescaling

RNG = np.random.default_rng(3)
X = RNG.normal(size=(60, 4)) * [1.0, 100.0, 1e-3, 5.0] + [0.0, -30.0, 7.0, 1e6]
Y = RNG.integers(0, 3, 60)
PLACES = np.array([1.0, 2.0, 3.0, 4.0])
STANDARD = (X - X.mean(axis=0)) / X.std(axis=0)


def model(*layers, **options):
    layers = [*layers, Dense(8, "relu"), Dense(3, "softmax")]
    result = fastnn.Sequential(layers, **{"seed": 1, "backend": "numpy", **options})
    return result.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])


def plain(**options):
    return model(Input((4,)), **options)


def same(a, b, rtol=0.0):
    if rtol:
        np.testing.assert_allclose(a.params, b.params, rtol=rtol, atol=1e-6)
    else:
        np.testing.assert_array_equal(a.params, b.params)


@pytest.mark.parametrize(
    ("layer", "x", "expected"),
    [
        (Normalization(), X, STANDARD),
        (Normalization(axis=None), X, (X - X.mean()) / X.std()),
        (MinMax(), X, (X - X.min(0)) / (X.max(0) - X.min(0))),
        (MinMax((-1, 3)), X, (X - X.min(0)) / (X.max(0) - X.min(0)) * 4 - 1),
        (MinMax(axis=None), X, (X - X.min()) / (X.max() - X.min())),
        (Rescaling(0.5, -2.0), STANDARD, STANDARD * 0.5 - 2.0),
        (Normalization(mean=[1, 2, 3, 4], variance=[1, 4, 9, 16]), STANDARD, (STANDARD - PLACES) / PLACES),
        (Normalization(mean=3.0, variance=4.0), STANDARD, (STANDARD - 3) / 2),
        (Normalization(mean=3.0, variance=4.0, invert=True), STANDARD, STANDARD * 2 + 3),
    ],
)
def test_the_first_fit_adapts_and_the_rest_sees_scaled_inputs(layer, x, expected, backend):
    """As a model without the layer that is given the scaled inputs."""
    config = layer.get_config()
    layer = type(layer)(**config)
    a, b = model(layer, backend=backend.NAME), plain(backend=backend.NAME)
    expected = expected.astype("f4")
    a.fit(x, Y, epochs=3, batch_size=16, validation_data=(x[:20], Y[:20]))
    b.fit(expected, Y, epochs=3, batch_size=16, validation_data=(expected[:20], Y[:20]))
    same(a, b, rtol=1e-3)
    np.testing.assert_allclose(a.predict(x), b.predict(expected), rtol=1e-3, atol=1e-5)
    assert a.evaluate(x, Y) == pytest.approx(b.evaluate(expected, Y), rel=1e-3)
    assert a.history.history["val_loss"] == pytest.approx(b.history.history["val_loss"], rel=1e-3)
    assert a.count_params() == b.count_params()


def test_statistics_are_exact(monkeypatch):
    monkeypatch.setattr(mapped, "BLOCK_BYTES", 7 * 4 * 8)  # seven rows at a time
    layer = Normalization()
    layer.adapt(X)
    np.testing.assert_allclose(layer.mean, X.mean(axis=0), rtol=1e-14)
    np.testing.assert_allclose(layer.variance, X.var(axis=0), rtol=1e-9)
    layer.adapt([X[:13], X[13:50], X[50:]])
    np.testing.assert_allclose(layer.variance, X.var(axis=0), rtol=1e-9)
    layer.adapt([(X[:13], Y[:13]), (X[13:], Y[13:])])
    np.testing.assert_allclose(layer.mean, X.mean(axis=0), rtol=1e-14)
    layer.adapt(part for part in np.array_split(X, 7))
    np.testing.assert_allclose(layer.mean, X.mean(axis=0), rtol=1e-14)
    images = RNG.integers(0, 256, (10, 3, 4)).astype("u1")
    layer.adapt(images)
    np.testing.assert_allclose(layer.mean, images.mean(axis=(0, 1)))  # of the last axis, as in Keras
    scale = MinMax(axis=None)
    scale.adapt(images)
    assert (scale.minimum, scale.maximum) == (images.min(), images.max())


def test_values_of_keras():
    """keras.layers.Normalization(mean=[1., 2.], variance=[4., 0.])([[3., 2.], [5., 3.]]), keras 3.15.0."""
    layer = Normalization(mean=[1.0, 2.0], variance=[4.0, 0.0])
    np.testing.assert_allclose(layer.apply(np.array([[3.0, 2.0], [5.0, 3.0]]), (2,)), [[1.0, 0.0], [2.0, 1e7]])
    constant = MinMax()
    constant.adapt(np.ones((5, 2)))
    np.testing.assert_array_equal(constant.apply(np.array([[1.0, 2.0]]), (2,)), [[0.0, 1.0]])


def test_bytes_are_taken_as_they_are():
    images = RNG.integers(0, 256, (60, 2, 2)).astype("u1")
    a, b = model(Flatten(input_shape=(2, 2)), Normalization()), plain()
    b.set_weights(a.get_weights())
    a.fit(images, Y, epochs=2)
    flat = images.reshape(60, 4).astype("f8")
    b.fit(((flat - flat.mean(0)) / flat.std(0)).astype("f4"), Y, epochs=2)
    same(a, b, rtol=1e-4)


def test_only_the_training_rows_count():
    a = model(Normalization())
    a.fit(X, Y, validation_split=0.5)
    np.testing.assert_allclose(a.layers[0].mean, X[:30].mean(axis=0))
    a.fit(X + 1000, Y)  # and only those of the first fit
    np.testing.assert_allclose(a.layers[0].mean, X[:30].mean(axis=0))


def test_files_and_chunks(tmp_path, monkeypatch):
    monkeypatch.setattr(mapped, "BLOCK_BYTES", 20 * 4 * 4)
    models = [model(Normalization()) for _ in range(4)]
    on_file = np.memmap(tmp_path / "x", "f8", "w+", shape=X.shape)
    on_file[...] = X
    models[0].fit(X, Y, epochs=2, batch_size=16)
    models[1].fit(on_file, Y, epochs=2, batch_size=16)
    same(models[0], models[1])
    np.testing.assert_allclose(models[0].predict(X), models[1].predict(on_file), rtol=1e-6)
    chunks = [(X[i : i + 16], Y[i : i + 16]) for i in range(0, 60, 16)]
    models[2].fit(chunks, epochs=2, shuffle=False)
    models[3].fit(X, Y, epochs=2, batch_size=16, shuffle=False)
    same(models[2], models[3], rtol=1e-4)
    assert models[2].evaluate(chunks) == pytest.approx(models[3].evaluate(X, Y), rel=1e-4)
    with pytest.raises(ValueError, match="call adapt"):
        model(Normalization()).fit(iter(chunks), steps_per_epoch=4)


def test_saved_in_the_model(tmp_path):
    for layer in (Normalization(), MinMax(), Rescaling(0.1), Normalization(axis=None)):
        a = model(layer)
        a.fit(X, Y)
        a.save(tmp_path / "m")
        b = fastnn.load(tmp_path / "m", backend="numpy")
        assert json.dumps(b.get_config()) == json.dumps(a.get_config())
        np.testing.assert_array_equal(a.predict(X), b.predict(X))
        for m in (a, b):
            m.fit(X, Y)
        same(a, b)


def test_a_backup_of_a_model_that_adapts(tmp_path):
    def fit(epochs):
        m = model(Normalization())
        m.fit(X, Y, epochs=epochs, callbacks=[BackupAndRestore(tmp_path / "b", delete_checkpoint=False)])
        return m

    whole = model(Normalization())
    whole.fit(X, Y, epochs=4)
    fit(2)
    same(fit(4), whole)


def test_an_mlp_of_a_table():
    a, b = fastnn.MLP([4, 8, 3], input_layer=Normalization(), seed=1), fastnn.MLP([4, 8, 3], seed=1)
    b.set_weights(a.get_weights())
    a.fit(X, Y, epochs=3)
    b.fit(STANDARD.astype("f4"), Y, epochs=3)
    same(a, b, rtol=1e-3)
    found = fastnn.lr_find(fastnn.MLP([4, 8, 3], input_layer=MinMax(), seed=1), X, Y)
    assert found.suggestion > 1e-5
    with pytest.raises(TypeError, match="such as Normalization"):
        fastnn.MLP([4, 3], input_layer=Dense(4))


def test_an_autoencoder_reproduces_what_it_was_given():
    m = fastnn.Sequential([Normalization(input_shape=(4,)), Dense(4)], seed=0, dtype="float64").compile("lbfgs", "mse")
    m.fit(X[:, :], X, epochs=300)
    assert m.evaluate(X, X) < 1e-3


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: model(Normalization(input_shape=(4,))).predict(X), RuntimeError, "does not know its data yet"),
        (lambda: model(Input((4,)), Dense(3), Normalization()), ValueError, "has to be the first layer"),
        (lambda: model(Normalization(), MinMax()), ValueError, "has to be the first layer"),
        (lambda: Normalization(mean=1.0), ValueError, "mean and variance go together"),
        (lambda: Normalization(mean=1.0, variance=-1.0), ValueError, "variance must not be negative, got -1.0"),
        (lambda: Normalization(mean=[1.0, 2.0], variance=[1.0]), ValueError, "must have one shape"),
        (lambda: Normalization(axis=1), ValueError, "axis must be -1 .* or None"),
        (lambda: MinMax((1, 1)), ValueError, "upper end of feature_range"),
        (lambda: MinMax(minimum=2.0, maximum=1.0), ValueError, "minimum must not be above maximum"),
        (lambda: Rescaling("half"), TypeError, "scale must be a number"),
        (lambda: Normalization().adapt([]), ValueError, "there are no data"),
        (lambda: Normalization().adapt(np.array([[np.nan]])), ValueError, "NaN"),
        (
            lambda: model(Normalization(mean=[1.0, 2.0], variance=[1.0, 1.0])).fit(X, Y),
            ValueError,
            r"mean has 2 values, but the last axis of the inputs \(4,\) has 4",
        ),
    ],
)
def test_wrong_arguments(make, error, text):
    with pytest.raises(error, match=text):
        make()


@pytest.mark.parametrize("options", [{}, {"noise": 0.1}, {"tied": True}])
def test_an_autoencoder_reproduces_its_scaled_inputs(options, tmp_path):
    """As one without that layer does which is given the scaled inputs; with columns of any size."""
    x = np.random.default_rng(2).normal(size=(80, 5)) * [1.0, 1e3, 1e-3, 5.0, 70.0] + [0, 1e4, 0, -3.0, 9.0]
    scaled = ((x - x.mean(0)) / x.std(0)).astype("f4")
    plain = fastnn.Autoencoder([5, 4, 2], "tanh", "linear", seed=3, backend="numpy", **options)
    model = fastnn.Autoencoder(
        [5, 4, 2], "tanh", "linear", input_layer=Normalization(), seed=3, backend="numpy", **options
    )
    model.set_weights(plain.get_weights())
    a = model.fit(x, epochs=5, batch_size=16, validation_data=x[:20]).history
    b = plain.fit(scaled, epochs=5, batch_size=16, validation_data=scaled[:20]).history
    for name, values in b.items():
        np.testing.assert_allclose(a[name], values, rtol=1e-4)
    model.save(tmp_path / "ae.safetensors")
    for made in (model, fastnn.load(tmp_path / "ae.safetensors")):
        np.testing.assert_allclose(made.reconstruction_error(x), plain.reconstruction_error(scaled), rtol=1e-3)
        np.testing.assert_allclose(made.encode(x), plain.encode(scaled), rtol=1e-3, atol=1e-5)
        assert made.evaluate(x) == pytest.approx(plain.evaluate(scaled), rel=1e-4)
    again = fastnn.Autoencoder(
        [5, 4, 2], "tanh", "linear", input_layer=Normalization(), seed=3, backend="numpy", **options
    )
    again.set_weights(plain.get_weights())
    again.fit(x, x, epochs=1, validation_split=0.5)
    assert again.history.history["loss"][0] < 10.0  # on the scale of the scaled inputs, with a copy of them too


def test_many_rows_are_scaled_as_a_few_are():
    x = np.random.default_rng(0).normal(size=(30_001, 20))
    model = fastnn.MLP([20, 3], seed=0, input_layer=Rescaling(2.0, 1.0))
    parts = [model.predict(part) for part in np.array_split(x, 7)]
    np.testing.assert_allclose(model.predict(x), np.concatenate(parts), rtol=1e-6, atol=1e-7)
