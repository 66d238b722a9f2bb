"""Autoencoder: what it builds, and what its halves compute."""

import tracemalloc

import numpy as np
import pytest

import fastnn

RNG = np.random.default_rng(17)
BYTES = RNG.integers(0, 256, (50, 3, 4)).astype("u1")
FLOATS = (BYTES.reshape(50, 12) * np.float32(1 / 255)).astype("f4")


def ae(sizes=(12, 8, 3), **options):
    return fastnn.Autoencoder(list(sizes), **{"seed": 0, "backend": "numpy", **options})


def test_layers():
    m = ae([12, 8, 5, 3], activation=["relu", "tanh", "linear"])
    assert [layer.units for layer in m.layers] == [8, 5, 3, 5, 8, 12]
    assert [layer.activation for layer in m.layers] == ["relu", "tanh", "linear", "tanh", "relu", "sigmoid"]
    assert [layer.name for layer in m.layers[2:4]] == ["encoder_2", "decoder_0"]
    assert m.input_shape == m.output_shape == (None, 12)
    with pytest.raises(ValueError, match="one a hidden layer, 3 here"):
        ae([12, 8, 5, 3], activation=["relu"])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_halves_make_the_whole(dtype, backend):
    m = ae(backend=backend.NAME, dtype=dtype)
    m.fit(BYTES, epochs=2)
    code = m.encode(BYTES)
    assert code.shape == (50, 3) and code.dtype == dtype
    np.testing.assert_array_equal(m.decode(code), m.predict(BYTES))
    w1, b1, w2, b2 = m.get_weights()[:4]
    x = BYTES.reshape(50, 12) * (1 / 255)
    np.testing.assert_allclose(code, np.maximum(np.maximum(x @ w1 + b1, 0) @ w2 + b2, 0), rtol=1e-4, atol=1e-6)


def test_the_narrowest(backend):
    m = ae([12, 1], backend=backend.NAME)
    m.fit(BYTES)
    assert m.encode(BYTES).shape == (50, 1)
    np.testing.assert_array_equal(m.decode(m.encode(BYTES)), m.predict(BYTES))


def test_fit_learns(backend):
    m = ae(backend=backend.NAME, optimizer=fastnn.optimizers.Adam(0.01))
    before = m.evaluate(BYTES)
    history = m.fit(BYTES, epochs=30, batch_size=10, validation_split=0.2).history
    assert set(history) == {"loss", "val_loss"}
    assert m.evaluate(BYTES) < before and history["loss"][-1] < history["loss"][0]


@pytest.mark.parametrize("loss", ["mse", "mae", "binary_crossentropy"])
def test_bytes_and_floats_are_the_same_data(loss, backend):
    a, b = ae(loss=loss, backend=backend.NAME), ae(loss=loss, backend=backend.NAME)
    first = a.fit(BYTES, epochs=2).history["loss"]
    second = b.fit(FLOATS, epochs=2).history["loss"]
    np.testing.assert_allclose(first, second, rtol=1e-5)
    assert a.evaluate(BYTES) == pytest.approx(a.evaluate(FLOATS), rel=1e-5)
    assert a.evaluate(BYTES) == a.evaluate(BYTES, BYTES)


def test_reconstruction_error(backend):
    m = ae(backend=backend.NAME)
    m.fit(BYTES)
    error = m.reconstruction_error(BYTES)
    assert error.shape == (50,) and error.dtype == np.float32
    np.testing.assert_allclose(error, ((m.predict(BYTES) - FLOATS) ** 2).mean(axis=1), rtol=1e-5)
    np.testing.assert_allclose(m.reconstruction_error(FLOATS), error, rtol=1e-5)
    assert error.mean() == pytest.approx(m.evaluate(BYTES), rel=1e-5)
    long = np.tile(BYTES.reshape(50, 12), (200, 1))
    np.testing.assert_allclose(m.reconstruction_error(long), np.tile(error, 200), rtol=1e-5)


def test_validation_data_in_three_ways():
    histories = [
        ae().fit(BYTES, validation_data=held_out).history
        for held_out in (BYTES[:9], (BYTES[:9],), (BYTES[:9], BYTES[:9].copy() / 255))
    ]
    assert histories[0] == histories[1]
    assert histories[0]["val_loss"] == pytest.approx(histories[2]["val_loss"], rel=1e-5)


def test_other_targets():
    noisy = np.clip(FLOATS + RNG.normal(scale=0.1, size=FLOATS.shape), 0, 1).astype("f4")
    m = ae()
    m.fit(noisy, FLOATS)
    with pytest.raises(ValueError, match="12 outputs"):
        m.fit(noisy, FLOATS[:, :3])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda m: m.fit(FLOATS[:, :3]), r"\(50, 3\).*expects 12"),
        (lambda m: m.encode(FLOATS[:, :3]), r"x has the shape \(50, 3\)"),
        (lambda m: m.decode(FLOATS), r"z has the shape \(50, 12\).*expects 3"),
        (lambda m: m.decode(np.full((2, 3), np.nan)), "z has 6 values that are NaN"),
        (lambda m: m.reconstruction_error(FLOATS[:, :3]), r"\(50, 3\)"),
        (lambda m: m.fit(BYTES, validation_data=(BYTES, BYTES, None, None)), "tuple"),
    ],
)
def test_bad_data(call, words):
    with pytest.raises(ValueError, match=words):
        call(ae())


def test_cross_entropy_wants_the_unit_interval():
    m = ae(loss="binary_crossentropy")
    with pytest.raises(ValueError, match=r"y must lie in \[0, 1\]"):
        m.fit(FLOATS * 2)
    with pytest.raises(ValueError, match="lie in"):
        ae(loss="binary_crossentropy", input_scale=1.0).fit(BYTES)


def test_bytes_are_not_copied_as_floats():
    x = np.zeros((40_000, 100), "u1")
    m = ae([100, 4], backend="numpy")
    m.fit(x[:100])
    tracemalloc.start()
    m.fit(x, batch_size=1000)
    m.evaluate(x)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2 * x.nbytes  # floats would be four times as much


def test_sparse_codes(backend):
    """The penalty is on the code alone: the loss is the error plus the rate times the mean of the sums of |z|."""
    l1 = fastnn.regularizers.L1(0.01)
    m = ae(backend=backend.NAME, activity_regularizer=l1)
    assert [layer.activity_regularizer for layer in m.layers] == [None, l1, None, None]
    penalty = 0.01 * np.abs(m.encode(BYTES)).sum(axis=1).mean()
    assert m.evaluate(BYTES) == pytest.approx(m.reconstruction_error(BYTES).mean() + penalty, rel=1e-5)
    plain = ae(backend=backend.NAME)
    for model in (m, plain):
        model.fit(BYTES, epochs=40, batch_size=10)
    assert np.abs(m.encode(BYTES)).mean() < 0.5 * np.abs(plain.encode(BYTES)).mean()


def test_noise_is_of_training_alone(backend, tmp_path):
    clean = ae(backend=backend.NAME)
    for options in ({"noise": 0.3}, {"masking": 0.3}, {"noise": 0.1, "masking": 0.2}):
        m, same, other = (ae(backend=backend.NAME, seed=seed, **options) for seed in (0, 0, 1))
        m.set_weights(clean.get_weights())
        np.testing.assert_array_equal(m.predict(BYTES), clean.predict(BYTES))
        np.testing.assert_array_equal(m.encode(BYTES), clean.encode(BYTES))
        np.testing.assert_array_equal(m.decode(m.encode(BYTES)), m.predict(BYTES))
        first = [model.fit(BYTES, epochs=2).history["loss"] for model in (m, same, other)]
        assert first[0] != first[2]
        same.set_weights(m.get_weights())
        m.save(tmp_path / "m.safetensors")
        loaded = fastnn.load(tmp_path / "m.safetensors", backend=backend.NAME)
        np.testing.assert_array_equal(loaded.encode(BYTES), m.encode(BYTES))
        assert loaded.fit(BYTES).history == m.fit(BYTES).history


def test_denoising_learns_to_take_noise_away():
    """Inputs on a line in 12 dimensions: who was trained with noise is nearer to them from noisy inputs."""
    rng = np.random.default_rng(0)
    x = (rng.random((400, 1)) * np.linspace(0.2, 1, 12)).astype("f4")
    noisy = (x + rng.normal(scale=0.3, size=x.shape)).astype("f4")
    errors = []
    for noise in (0.0, 0.3):
        m = ae([12, 32, 8], noise=noise, optimizer=fastnn.optimizers.Adam(0.01), output_activation="linear")
        m.fit(x, epochs=60, batch_size=20)
        errors.append(((m.predict(noisy) - x) ** 2).mean())
    assert errors[1] < 0.8 * errors[0]


def test_tied_weights(backend, tmp_path):
    m = ae(backend=backend.NAME, tied=True)
    assert m.count_params() == 12 * 8 + 8 + 8 * 3 + 3 + 8 + 12
    m.fit(BYTES, epochs=3)
    w0, b0, w1, b1, c0, c1 = m.get_weights()
    x = BYTES.reshape(50, 12) / 255
    relu = lambda v: np.maximum(v, 0)  # noqa: E731
    z = relu(relu(x @ w0 + b0) @ w1 + b1)
    y = 1 / (1 + np.exp(-(relu(z @ w1.T + c0) @ w0.T + c1)))
    np.testing.assert_allclose(m.encode(BYTES), z, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(m.predict(BYTES), y, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(m.decode(m.encode(BYTES)), m.predict(BYTES))
    m.save(tmp_path / "m.safetensors")
    np.testing.assert_array_equal(fastnn.load(tmp_path / "m.safetensors").params, m.params)


@pytest.mark.parametrize("options", [{"noise": -1}, {"masking": 1.0}, {"tied": 1}, {"noise": "much"}])
def test_bad_options(options):
    with pytest.raises((ValueError, TypeError)):
        ae(**options)
