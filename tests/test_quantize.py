"""Inputs that are bytes times a scale: every backend tells them from others, and models train on the bytes."""

import itertools

import numpy as np
import pytest
from fastnn.kernels import get_backend
from helpers.images import pixels, small

import fastnn
from fastnn import layers, network

BYTES = np.arange(256)
# How pixels come to be what they are, with what is rounded on the way.
WAYS = {
    "divided in float32": lambda b: b.astype(np.float32) / 255,
    "divided in float64": lambda b: b / 255,
    "divided in float64, then rounded": lambda b: (b / 255).astype(np.float32),
    "times a float32": lambda b: b * np.float32(1 / 255),
    "times a float64, then rounded": lambda b: (b * (1 / 255)).astype(np.float32),
}


def quantized(backend, x, scale=1 / 255, threads=1):
    out = np.empty(x.shape, np.uint8)
    return out if backend.quantize(x, scale, out, threads) else None


# ---------------------------------------------------------------------------------------------- the kernels


@pytest.mark.parametrize("way", WAYS)
def test_every_byte_is_found(backend, way):
    assert (quantized(backend, WAYS[way](BYTES)) == BYTES).all()


@pytest.mark.parametrize("scale", [1.0, 0.5, 1e-3, 3.7e5])
def test_scales(backend, dtype, scale):
    assert (quantized(backend, (BYTES * scale).astype(dtype), scale) == BYTES).all()


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("n", [1, 15, 17, 1023, 200_003])
def test_sizes_and_threads(backend, dtype, n, threads):
    b = np.random.default_rng(0).integers(0, 256, n)
    x = (b / 255).astype(dtype)
    assert (quantized(backend, x, threads=threads) == b).all()
    x[-1] = 0.123
    assert quantized(backend, x, threads=threads) is None
    x[-1], x[0] = 0, 0.123
    assert quantized(backend, x, threads=threads) is None


@pytest.mark.parametrize(
    "value",
    [-1 / 255, 256 / 255, 1e9, -1e9, 2.0**24 / 255, 0.5 / 255, 1.5 / 255, 1 + 2e-6, 1e-30, np.nan, np.inf, -np.inf],
)
def test_whatever_is_no_byte_is_found_anywhere(backend, dtype, value):
    for place in (0, 7, 130_000, 200_002):
        x = np.zeros(200_003, dtype)
        x[place] = value
        assert quantized(backend, x, threads=2) is None, place


@pytest.mark.parametrize("scale", [1 / 255, 1.0, 0.5])
def test_one_unit_in_the_last_place_is_rounding(backend, dtype, scale):
    for off in (-np.inf, np.inf):
        x = np.nextafter((BYTES[1:] * scale).astype(dtype), dtype.type(off))
        assert (quantized(backend, x, scale) == BYTES[1:]).all()


def test_every_backend_draws_the_line_where_the_reference_does(backend, dtype):
    """From zero's neighbours to the largest numbers, between bytes, and beyond the last one."""
    info, almost = np.finfo(dtype), 255.00002 / 255
    sizes = [info.smallest_subnormal, info.tiny / 4, info.tiny, 1e-30, 1 / 512, 0.999 / 255, 1.001 / 255, 127.5 / 255]
    sizes += [254.999 / 255, almost, 255.001 / 255, 2.0**31 / 255, 2.0**32 / 255, 2.0**63, 2.0**64, info.max, np.nan]
    for value in [*sizes, *(-size for size in sizes)]:
        x = np.array([0.0, value, 1.0], dtype)
        expected = np.array([0, 255, 255]) if value == almost else None
        assert np.array_equal(quantized(get_backend("numpy"), x), expected), value
        assert np.array_equal(quantized(backend, x), expected), value


def test_zeros_of_either_sign(backend, dtype):
    assert (quantized(backend, np.array([0.0, -0.0], dtype)) == 0).all()


@pytest.mark.parametrize("scale", [0.0, -1 / 255, 1e-300])
def test_scales_that_leave_no_bytes(backend, dtype, scale):
    assert quantized(backend, np.full(100, 0.2, dtype), scale) is None


# ---------------------------------------------------------------------------------------------- models


@pytest.fixture
def seen(monkeypatch):
    """Makes of a model a list of what its backend is given for x from then on."""

    def watch(model):
        calls, module = [], model._network.backend
        for name in ("train", "evaluate", "forward"):
            function = getattr(module, name)

            def spy(workspace, x, *rest, name=name, function=function):
                calls.append((name, x.dtype.name))
                return function(workspace, x, *rest)

            monkeypatch.setattr(module, name, spy)
        return calls

    return watch


def fitted(model, x, y):
    history = model.fit(x, y, epochs=2, batch_size=50, verbose=0, validation_split=0.25)
    return [*model.get_weights(), *history.history.values(), model.evaluate(x, y, verbose=0), model.predict(x)]


def same(first, second):
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


FORMS = {
    "float32": lambda b: b.astype(np.float32) / 255,
    "float64": lambda b: b / 255,
    "images": lambda b: (b / np.float32(255)).reshape(-1, 5, 4),
    "lists": lambda b: (b / 255).tolist(),
    "columns": lambda b: np.asfortranarray(b / 255),
    "big-endian": lambda b: (b / 255).astype(">f8"),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_script_that_divides_by_255_gets_the_model_of_the_bytes(form, seen):
    b, y = pixels()
    expected = fitted(small(), b, y)
    model = small()
    calls = seen(model)
    assert same(fitted(model, FORMS[form](b), y), expected)
    assert set(calls) == {("train", "uint8"), ("evaluate", "uint8"), ("forward", "uint8")}


def test_frames(seen):
    pandas = pytest.importorskip("pandas")
    b, y = pixels()
    model = small()
    calls = seen(model)
    assert same(fitted(model, pandas.DataFrame(b / 255), y), fitted(small(), b, y))
    assert ("train", "uint8") in calls


@pytest.mark.parametrize("own", [1.0, 0.5, 1 / 255])
@pytest.mark.parametrize("scale", [1.0, 0.5, 1 / 255])
def test_the_scale_is_that_of_the_numbers(own, scale, seen):
    b, y = pixels()
    model = small(input_scale=own)
    calls = seen(model)
    found = fitted(model, b * scale, y)
    if scale in (own, 1.0, 1 / 255):
        assert same(found, fitted(small(input_scale=scale), b, y))
        assert {kind for _, kind in calls} == {"uint8"}
    else:
        assert {kind for _, kind in calls} == {"float32"}
    assert np.allclose(model.predict(b), model.predict(b * np.float32(own)), rtol=1e-4, atol=1e-6)


def test_one_model_takes_bytes_of_several_scales_in_turn():
    b, _ = pixels()
    y = np.random.default_rng(1).normal(size=(len(b), 3)).astype(np.float32)
    model = fastnn.Sequential([layers.Dense(3, input_shape=(20,))], seed=0, input_scale=1.0)
    model.compile("adam", "mse")
    model.fit(b / 255, y, validation_data=(b[::-1], y), verbose=0)
    for x in (b, b / 255, b, b[:3] / 255, b[:3], b.astype(np.float64), b / 255):
        one_by_one = np.concatenate([model.predict(row) for row in x[:, None].astype(np.float32)])
        assert np.allclose(model.predict(x), one_by_one, rtol=1e-4, atol=1e-3)
        loss = ((one_by_one - y[: len(x)]) ** 2).mean()
        assert np.isclose(model.evaluate(x, y[: len(x)], verbose=0), loss, rtol=1e-4)


def test_bytes_under_a_layer_that_multiplies_stay_bytes(seen):
    b, y = pixels()
    model = fastnn.MLP([20, 16, 3], seed=0, input_layer=layers.Rescaling(1 / 255))
    plain = small()
    plain.set_weights(model.get_weights())
    calls = seen(model)
    assert same(fitted(model, b, y), fitted(plain, b, y))
    assert {kind for _, kind in calls} == {"uint8"}
    calls.clear()
    few = model.predict(b[:5])
    assert calls == [("forward", "uint8")]
    assert np.allclose(few, model.predict(b[:5].astype(np.float32)), rtol=1e-5)
    shifted = fastnn.MLP([20, 16, 3], seed=0, input_layer=layers.Rescaling(1 / 255, -0.5))
    plain.set_weights(shifted.get_weights())
    calls = seen(shifted)
    assert np.allclose(shifted.predict(b), plain.predict(b / 255 - 0.5), rtol=1e-4)
    assert {kind for _, kind in calls} == {"float32"}


def test_targets_that_are_the_inputs_under_a_layer_that_multiplies():
    b, _ = pixels()
    scaled = fastnn.Autoencoder([20, 8, 4], seed=0, input_layer=layers.Rescaling(1 / 255), input_scale=1.0)
    plain = fastnn.Autoencoder([20, 8, 4], seed=0)
    plain.set_weights(scaled.get_weights())
    assert scaled.fit(b, verbose=0).history == plain.fit(b, verbose=0).history
    assert same(scaled.get_weights(), plain.get_weights())
    # Only an autoencoder learns what the layer makes of them.
    losses = []
    for y in (b, b.astype(np.float32)):
        model = fastnn.Sequential([layers.Rescaling(1 / 255), layers.Dense(20)], seed=0, input_scale=1.0)
        model.compile("sgd", "mse")
        losses.append(model.fit(b, y, verbose=0).history["loss"])
    assert np.allclose(*losses, rtol=1e-5)
    assert losses[0][0] > 1000


def test_other_numbers_are_taken_as_they_are(seen):
    b, y = pixels()
    x = b.astype(np.float32) / 255
    x[-1, -1] = 0.1
    model = small()
    calls = seen(model)
    before = x.copy()
    fitted(model, x, y)
    assert set(calls) == {("train", "float32"), ("evaluate", "float32"), ("forward", "float32")}
    assert (x == before).all()


def test_float64_models_take_all_digits(seen):
    b, y = pixels()
    model = small(dtype="float64")
    calls = seen(model)
    fitted(model, b / 255, y)
    assert {kind for _, kind in calls} == {"float64"}


def test_a_layer_that_scales_gets_the_numbers(seen):
    b, y = pixels()
    model = fastnn.MLP([20, 16, 3], seed=0, input_layer=layers.Normalization())
    calls = seen(model)
    fitted(model, b.astype(np.float32) / 255, y)
    assert {kind for _, kind in calls} == {"float32"}


def test_autoencoders_reproduce_the_bytes(seen):
    b, _ = pixels()
    x = b.astype(np.float32) / 255
    models = [fastnn.Autoencoder([20, 8, 4], seed=0) for _ in range(3)]
    calls = seen(models[1])
    models[0].fit(b, epochs=2, verbose=0)
    models[1].fit(x, epochs=2, verbose=0)
    models[2].fit(x, x, epochs=2, verbose=0)
    assert {kind for _, kind in calls} == {"uint8"}
    for model in models[1:]:
        assert same(models[0].get_weights(), model.get_weights())


def test_files_stay_files(tmp_path, seen):
    b, y = pixels()
    np.save(tmp_path / "x.npy", b.astype(np.float32) / 255)
    model = small()
    calls = seen(model)
    x = np.load(tmp_path / "x.npy", mmap_mode="r")
    model.fit(x, y, verbose=0)
    model.predict(x)
    assert {kind for _, kind in calls} == {"float32"}


def test_few_rows_are_predicted_as_they_are(seen):
    b, _ = pixels(3)
    model = small()
    calls = seen(model)
    assert np.allclose(model.predict(b / np.float32(255)), model.predict(b), rtol=1e-5)
    assert calls == [("forward", "float32"), ("forward", "uint8")]


def test_errors_are_those_of_the_array_that_was_given():
    b, y = pixels()
    model = small()
    with pytest.raises(ValueError, match=r"\(600, 10\).* 10 values a sample.* expects 20"):
        model.fit(b[:, :10].astype(np.float32) / 255, y, verbose=0)
    x = b / 255
    x[400, 3] = np.nan
    with pytest.raises(ValueError, match=r"1 values that are NaN or infinite, out of 12000; .* index \(400, 3\)"):
        model.fit(x, y, verbose=0)


def test_class_weights_of_inputs_that_are_the_targets():
    x = np.eye(20, dtype=np.float32)[np.arange(60) % 20]
    models = [fastnn.MLP([20, 20], loss="mse", seed=0) for _ in range(2)]
    for model, y in zip(models, (x, x.copy()), strict=True):
        model.fit(x, y, class_weight={0: 2.0}, verbose=0)
    assert np.allclose(models[0].params, models[1].params, rtol=0, atol=1e-6)
    assert np.array_equal(np.abs(models[0].params) > 0, np.abs(models[1].params) > 0)


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        (("pixels", "bytes", "noise"), ["uint8", "float32"]),
        (("bytes", "pixels", "noise"), ["uint8", "float32"]),
        (("noise", "bytes", "pixels"), ["float32", "uint8", "float32"]),
    ],
)
def test_chunks_have_the_scale_of_the_first(chunks, expected, monkeypatch, seen):
    b, y = pixels(200)
    noise = np.random.default_rng(1).normal(size=b.shape).astype(np.float32)
    kinds = {"pixels": (b / 255, y), "bytes": (b, y), "noise": (noise, y)}
    chunks = [kinds[kind] for kind in chunks]
    models = [small(input_scale=1.0) for _ in range(2)]
    calls = seen(models[0])
    models[0].fit(chunks, batch_size=50, verbose=0, shuffle=False)
    assert [kind for kind, _ in itertools.groupby(kind for _, kind in calls)] == expected
    found = models[0].evaluate(chunks, verbose=0)
    monkeypatch.setattr(network.Network, "quantized", lambda *_: None)
    models[1].fit(chunks, batch_size=50, verbose=0, shuffle=False)
    assert np.allclose(models[0].params, models[1].params, rtol=1e-4, atol=1e-4)
    assert np.allclose(found, models[1].evaluate(chunks, verbose=0), rtol=1e-3)


def test_an_autoencoder_is_evaluated_on_chunks_of_several_kinds():
    b, _ = pixels(200)
    x, noise = (b / 255).astype(np.float32), np.random.default_rng(1).normal(size=b.shape).astype(np.float32)
    model = fastnn.Autoencoder([20, 8, 4], seed=0, input_scale=1.0)
    found = model.evaluate([(x,), (noise,)], verbose=0)
    both = np.concatenate([x, noise])
    assert np.isclose(found, ((model.predict(both) - both) ** 2).mean(), rtol=1e-5)


def test_numbers_that_are_their_own_targets_have_no_scale():
    a = np.random.default_rng(0).normal(size=(64, 20)).astype(np.float32)
    models = [fastnn.Autoencoder([20, 8, 4], seed=0) for _ in range(2)]
    models[0].fit([(a, a.copy()), (a, a)], batch_size=32, shuffle=False, verbose=0)
    models[1].fit([(a, a.copy())] * 2, batch_size=32, shuffle=False, verbose=0)
    assert same(models[0].get_weights(), models[1].get_weights())


def test_chunks_may_be_targets_of_another_scale_than_in_the_first():
    b, _ = pixels(64)
    x = (b / 255).astype(np.float32)
    models = [fastnn.Autoencoder([20, 8, 4], seed=0, input_scale=0.5) for _ in range(2)]
    chunks = [(x, x.copy()), (x,)], [(x, x.copy())] * 2
    for model, some in zip(models, chunks, strict=True):
        model.fit(some, batch_size=32, shuffle=False, verbose=0)
    assert np.allclose(models[0].params, models[1].params, rtol=1e-5, atol=1e-6)
    assert np.isclose(*(model.evaluate(some, verbose=0) for model, some in zip(models, chunks, strict=True)))


def test_a_crossentropy_is_of_what_the_layer_makes_of_the_inputs():
    b, _ = pixels(64)
    losses = []
    for x in (b, b.astype(np.float32)):
        options = {"input_layer": layers.Rescaling(1 / 255), "loss": "binary_crossentropy"}
        model = fastnn.Autoencoder([20, 8, 4], seed=0, output_activation="sigmoid", **options)
        losses.append([*model.fit(x, verbose=0).history["loss"], model.evaluate(x, verbose=0)])
        with pytest.raises(ValueError, match=r"must lie in \[0, 1\] .* to 2\."):
            model.fit(x * 2.0 + 30.0, verbose=0)
    assert np.allclose(*losses, rtol=1e-5)


def test_rows_held_out_and_rates_tried_have_the_scale_of_the_numbers():
    b, y = pixels()
    losses = []
    for options in ({"validation_split": 0.25}, {"validation_data": (b[450:] / 255, y[450:])}):
        x, labels = (b / 255, y) if "validation_split" in options else (b[:450] / 255, y[:450])
        losses.append(small(input_scale=1.0).fit(x, labels, verbose=0, **options).history["val_loss"])
    assert losses[0] == losses[1]
    found = [fastnn.lr_find(small(input_scale=scale), x, y).losses for scale, x in ((1.0, b / 255), (1 / 255, b))]
    assert np.array_equal(*found)


def test_chunks_of_all_kinds_agree_with_the_reference(backend):
    b, y = pixels(200)
    noise = np.random.default_rng(1).normal(size=b.shape).astype(np.float32)
    found = []
    for name in (backend.NAME, "numpy"):
        model = small(backend=name)
        model.fit([(b / 255, y), (noise, y), (b, y), (b / np.float32(255), y)], batch_size=50, epochs=2, verbose=0)
        found.append(model.params)
    assert np.allclose(*found, rtol=0, atol=1e-5)


def test_the_reference_leaves_the_threads_of_blas_alone(monkeypatch):
    """A limit is the whole process's, and a chunk is looked at in a thread of its own while another one trains."""
    numpy_backend = get_backend("numpy")
    monkeypatch.setattr(numpy_backend, "_blas", lambda: pytest.fail("BLAS was limited"))
    assert (quantized(numpy_backend, BYTES / 255) == BYTES).all()
