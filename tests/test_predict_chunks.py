"""Predictions and evaluations of what is not an array in memory: sequences of chunks, iterators, files."""

import gc
import itertools
import weakref

import numpy as np
import pytest

import fastnn
from fastnn import mapped

RNG = np.random.default_rng(4)
X = RNG.normal(size=(70, 6)).astype("f4")
Y = RNG.integers(0, 3, 70)
W = RNG.uniform(0.5, 2.0, 70).astype("f4")


class Pieces:
    """A sequence, as Keras's."""

    def __init__(self, *arrays, size=16):
        self.arrays, self.size = arrays, size

    def __len__(self):
        return -(-len(self.arrays[0]) // self.size)

    def __getitem__(self, i):
        return tuple(a[i * self.size : (i + 1) * self.size] for a in self.arrays)


@pytest.fixture
def model(backend):
    return fastnn.MLP([6, 5, 3], seed=1, backend=backend.NAME, metrics=["accuracy", "auc"])


KINDS = {
    "sequence of (x,)": (lambda: Pieces(X), None),
    "sequence of (x, y)": (lambda: Pieces(X, Y), None),
    "list of (x, y, w)": (lambda: list(map(Pieces(X, Y, W).__getitem__, range(5))), None),
    "iterable of x": (lambda: Again(lambda i: Pieces(X)[i][0]), None),
    "generator of x": (lambda: (Pieces(X)[i][0] for i in range(5)), 5),
    "generator without an end": (lambda: (Pieces(X, Y)[i % 5] for i in itertools.count()), 5),
}


class Again:
    def __init__(self, function):
        self.function = function

    def __iter__(self):
        return map(self.function, range(5))


@pytest.mark.parametrize("kind", KINDS)
def test_predictions_are_those_of_arrays(model, kind):
    make, steps = KINDS[kind]
    np.testing.assert_allclose(model.predict(make(), steps=steps), model.predict(X), rtol=1e-6)
    np.testing.assert_array_equal(model.predict_classes(make(), steps=steps), model.predict_classes(X))


def test_codes_and_scaled_inputs():
    scaled = fastnn.MLP([6, 5, 3], seed=1, input_layer=fastnn.layers.Normalization())
    scaled.fit(X, Y)
    np.testing.assert_allclose(scaled.predict(Pieces(X)), scaled.predict(X), rtol=1e-6)
    ae = fastnn.Autoencoder([6, 3], seed=1)
    np.testing.assert_allclose(ae.encode(Pieces(X)), ae.encode(X), rtol=1e-6)


def test_evaluation_of_an_iterator(model):
    expected = model.evaluate(X, Y, sample_weight=W)
    found = model.evaluate((Pieces(X, Y, W)[i % 5] for i in itertools.count()), steps=5)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_two_chunks_are_in_memory_at_a_time():
    model, alive, most = fastnn.MLP([6, 5, 3], seed=1), weakref.WeakSet(), 0

    class Rows(np.ndarray):
        pass

    def chunks():
        nonlocal most
        for i in range(10):
            gc.collect()
            rows = np.full((4, 6), i, "f4").view(Rows)
            alive.add(Alive(rows))
            most = max(most, len(alive))
            yield rows

    class Alive:
        def __init__(self, rows):
            rows.__dict__["holder"] = self

    model.predict(chunks(), steps=10)
    assert most <= 3


def test_errors_of_reconstruction_from_a_file(tmp_path, monkeypatch):
    """Rows of another dtype are converted block by block."""
    monkeypatch.setattr(mapped, "BLOCK_BYTES", 20 * 6 * 4)
    monkeypatch.setattr("fastnn.autoencoder._ROWS", 25)
    np.save(tmp_path / "x.npy", X.astype("f8"))
    ae = fastnn.Autoencoder([6, 3], seed=1)
    from_file = ae.reconstruction_error(np.load(tmp_path / "x.npy", mmap_mode="r"))
    np.testing.assert_array_equal(from_file, ae.reconstruction_error(X))


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda m: m.predict(X, steps=2), ValueError, "steps=2 is for iterators over chunks"),
        (lambda m: m.evaluate(X, Y, steps=2), ValueError, "steps=2 is for iterators over chunks"),
        (lambda m: m.evaluate(iter([(X, Y)]), Y, steps=1), ValueError, "have their own targets: y must be None"),
        (lambda m: m.fit(iter([(X, Y)]), Y, steps_per_epoch=1), ValueError, "have their own targets: y must be None"),
        (lambda m: m.predict(Pieces(X), steps=2), ValueError, "steps=2 is for iterators; x has an end of its own"),
        (lambda m: m.predict(iter([X])), ValueError, "x is an iterator: steps must say"),
        (lambda m: m.evaluate(iter([(X, Y)])), ValueError, "x is an iterator: steps must say"),
        (lambda m: m.predict(iter([X]), steps=0), ValueError, "steps must be .* got 0"),
        (lambda m: m.predict(iter([X]), steps=2), ValueError, "x ended after 1 chunks; steps=2"),
        (lambda m: m.predict(iter([]), steps=2), ValueError, "x ended after 0 chunks"),
        (lambda m: m.predict([(X,), (X[:, :5],)]), ValueError, r"chunk 1 of x .*\(70, 5\)"),
    ],
)
def test_what_is_refused(make, error, text):
    with pytest.raises(error, match=text):
        make(fastnn.MLP([6, 5, 3], seed=1))


def test_rows_of_numbers_are_no_chunks():
    model = fastnn.MLP([6, 5, 3], seed=1)
    np.testing.assert_array_equal(model.predict([tuple(row) for row in X]), model.predict(X))
