"""Training on what is not an array in memory: files, sequences of chunks, generators."""

import gc
import threading
import weakref

import numpy as np
import pytest

import fastnn
from fastnn import mapped, session
from fastnn.callbacks import Callback, LambdaCallback

RNG = np.random.default_rng(3)
X = RNG.normal(size=(70, 6)).astype("f4")
Y = RNG.integers(0, 3, 70)
T = RNG.normal(size=(70, 2)).astype("f4")
W = RNG.uniform(0.5, 2.0, 70).astype("f4")


def model(**options):
    return fastnn.MLP([6, 5, 3], **{"dropout": 0.3, "seed": 1, **options})


def cut(*arrays, size=16):
    return [tuple(a[i : i + size] for a in arrays) for i in range(0, len(arrays[0]), size)]


def same(a, b):
    np.testing.assert_array_equal(a.params, b.params)
    np.testing.assert_array_equal(a._network.state, b._network.state)
    assert a._network.step == b._network.step and a._network.epoch == b._network.epoch


# ------------------------------------------------------------------------------------------ files


def to_file(path, values, order="C"):
    result = np.memmap(path, values.dtype, "w+", shape=values.shape, order=order)
    result[...] = values
    result.flush()
    return np.memmap(path, values.dtype, "r", shape=values.shape, order=order)


KINDS = {
    "as it is": (X, "C", False),
    "float64": (X.astype("f8"), "C", True),
    "int16": ((X * 10).astype("i2"), "C", True),
    "bytes": ((X * 20 + 99).astype("u1"), "C", False),
    "bytes by column": ((X * 20 + 99).astype("u1"), "F", True),
    "images": (X.reshape(70, 2, 3).astype("f8"), "C", True),
}


@pytest.mark.parametrize("kind", KINDS)
def test_files_train_as_arrays_do(kind, tmp_path, monkeypatch, backend):
    """Bit for bit, in any order, however many rows are converted at a time."""
    values, order, converted = KINDS[kind]
    monkeypatch.setattr(mapped, "BLOCK_BYTES", 20 * 6 * 4)
    on_file = to_file(tmp_path / "x", values, order)
    assert mapped.is_needed(on_file, np.dtype("f4")) == converted
    a, b = model(backend=backend.NAME), model(backend=backend.NAME)
    for m, x in ((a, on_file), (b, values)):
        m.fit(x, Y, epochs=2, batch_size=7, validation_split=0.2, sample_weight=W, class_weight={1: 3.0})
    same(a, b)
    assert a.history.history["loss"] == b.history.history["loss"]
    assert a.history.history["val_loss"] == pytest.approx(b.history.history["val_loss"], rel=1e-6)
    # Rows are cut otherwise, so logits are rounded otherwise: a share of the row's sum, which is 1, whatever its size.
    np.testing.assert_allclose(a.predict(on_file), b.predict(values), rtol=1e-6, atol=1e-7)
    assert a.evaluate(on_file, Y) == pytest.approx(b.evaluate(values, Y), rel=1e-6)


def test_an_autoencoder_of_a_file(tmp_path, monkeypatch):
    monkeypatch.setattr(mapped, "BLOCK_BYTES", 20 * 6 * 4)
    values = RNG.uniform(size=(70, 6))
    on_file = to_file(tmp_path / "x", values)
    models = [fastnn.Autoencoder([6, 3], loss=loss, seed=0) for loss in ("mse", "binary_crossentropy") for _ in "ab"]
    for i, m in enumerate(models):
        m.fit(on_file if i % 2 else values, epochs=2, validation_data=on_file if i % 2 else values)
    same(*models[:2])
    same(*models[2:])
    np.testing.assert_allclose(models[0].encode(on_file), models[1].encode(values), rtol=1e-5, atol=1e-7)
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\]"):
        models[2].fit(to_file(tmp_path / "y", values * 2))


def test_what_is_wrong_in_a_file_is_found_first(tmp_path, monkeypatch):
    monkeypatch.setattr(mapped, "BLOCK_BYTES", 20 * 6 * 4)
    bad = X.astype("f8")
    bad[45, 2] = np.nan
    m = model()
    with pytest.raises(ValueError, match=r"x\[40:60\] has 1 values that are NaN .* index \(5, 2\)"):
        m.fit(to_file(tmp_path / "x", bad), Y)
    with pytest.raises(ValueError, match="5 values a sample, but the model expects 6"):
        m.fit(to_file(tmp_path / "y", bad[:, :5].copy()), Y)
    assert m._network.step == 0


# ------------------------------------------------------------------------------------------ chunks


class Sequence:
    """A sequence that is no list."""

    def __init__(self, chunks):
        self.chunks = chunks

    def __len__(self):
        return len(self.chunks)

    def __getitem__(self, index):
        return self.chunks[index]


def generator(chunks):
    while True:
        yield from chunks


SOURCES = {
    "list": lambda chunks: (chunks, {}),
    "sequence": lambda chunks: (Sequence(chunks), {}),
    "generator": lambda chunks: (generator(chunks), {"steps_per_epoch": len(chunks)}),
    "iterable": lambda chunks: (type("Again", (), {"__iter__": lambda self: iter(chunks)})(), {}),
}


@pytest.mark.parametrize("kind", SOURCES)
def test_chunks_are_batches(kind, backend):
    """As in Keras: a chunk is a batch, whatever its size."""
    a, b = model(backend=backend.NAME), model(backend=backend.NAME)
    x, options = SOURCES[kind](cut(X, Y))
    history = a.fit(x, epochs=3, shuffle=False, validation_data=cut(X, Y), **options).history
    expected = b.fit(X, Y, batch_size=16, epochs=3, shuffle=False, validation_data=(X, Y)).history
    same(a, b)
    assert history["loss"] == expected["loss"] and list(history) == list(expected)
    for key in ("val_loss", "val_accuracy"):
        assert history[key] == pytest.approx(expected[key], rel=1e-6)


@pytest.mark.parametrize("kind", SOURCES)
def test_chunks_are_cut_into_batches(kind, backend):
    a, b = model(backend=backend.NAME), model(backend=backend.NAME)
    x, options = SOURCES[kind](cut(X, Y, size=20))
    a.fit(x, batch_size=5, epochs=2, shuffle=False, **options)
    b.fit(X, Y, batch_size=5, epochs=2, shuffle=False)
    same(a, b)


def test_chunks_of_growing_sizes(backend):
    a, b = model(backend=backend.NAME), model(backend=backend.NAME)
    a.fit([(X[:3], Y[:3]), (X[3:60], Y[3:60]), (X[60:], Y[60:])], shuffle=False)
    for rows in (slice(0, 3), slice(3, 60), slice(60, 70)):
        b.fit(X[rows], Y[rows], batch_size=100, shuffle=False)
    np.testing.assert_array_equal(a.params, b.params)


@pytest.mark.parametrize("kind", SOURCES)
def test_weights_go_with_chunks(kind):
    a, b = model(), model()
    x, options = SOURCES[kind](cut(X, Y, W))
    a.fit(x, epochs=2, shuffle=False, class_weight={0: 2.0, 2: 0.5}, **options)
    b.fit(X, Y, batch_size=16, epochs=2, shuffle=False, class_weight={0: 2.0, 2: 0.5}, sample_weight=W)
    same(a, b)
    assert a.evaluate(cut(X, Y, W)) == pytest.approx(b.evaluate(X, Y, sample_weight=W), rel=1e-6)


def test_the_order_of_chunks_and_rows():
    """Every epoch has its own order of chunks and, in batches, of rows; the same seed has the same."""
    order = []

    def fit(batch_size, shuffle, seed=1):
        order.clear()
        m = model(seed=seed)
        chunks = type("Noting", (), {"__len__": lambda s: 7, "__getitem__": lambda s, i: order.append(i) or data[i]})()
        m.fit(chunks, epochs=2, batch_size=batch_size, shuffle=shuffle)
        return m, [i for i in order[1:]]

    data = cut(X, Y, size=10)
    (a, first), (b, again), (_, other) = fit(None, True), fit(None, True), fit(None, True, seed=2)
    same(a, b)
    assert first == again != other
    first = first[-14:]
    assert sorted(first[:7]) == sorted(first[7:]) == list(range(7)) and first[:7] != first[7:]
    assert fit(None, False)[1][-14:] == [*range(7), *range(7)]
    (c, _), (d, _) = fit(5, True), fit(5, True)
    same(c, d)
    by_row = model()
    for i in np.random.default_rng([1, 1, 0]).permutation(7):
        rows = np.arange(10)
        np.random.default_rng([1, 1, 0, i]).shuffle(rows)
        by_row.fit(data[i][0][rows], data[i][1][rows], batch_size=5, shuffle=False)
    once = model()
    once.fit(data, batch_size=5)
    np.testing.assert_array_equal(once.params, by_row.params)


def test_models_that_reproduce_take_chunks_of_x():
    values = RNG.uniform(size=(64, 6)).astype("f4")
    models = [fastnn.Autoencoder([6, 3], seed=0) for _ in range(3)]
    models[0].fit(values, batch_size=16, shuffle=False)
    models[1].fit((values[i : i + 16] for i in range(0, 64, 16)), steps_per_epoch=4)
    models[2].fit([(part,) for part in np.split(values, 4)], shuffle=False)
    same(models[0], models[1])
    same(models[0], models[2])


def test_the_first_chunk_builds_the_model():
    m = fastnn.Sequential([fastnn.layers.Dense(3, "softmax")], seed=0, backend="numpy")
    m.compile("sgd", "sparse_categorical_crossentropy")
    m.fit(generator(cut(X, Y)), steps_per_epoch=2)
    assert m.input_shape == (None, 6)
    names = np.array(["a", "b", "c"])[Y]
    c = model()
    c.fit(cut(X, names, size=35), epochs=2)
    assert c.classes.tolist() == ["a", "b", "c"] and set(c.predict_classes(X)) <= {"a", "b", "c"}


def test_a_generator_is_drawn_no_further_than_needed():
    drawn = []

    def numbered():
        for i in range(100):
            drawn.append(i)
            yield cut(X, Y)[i % 4]

    chunks = numbered()
    model().fit(chunks, steps_per_epoch=3, epochs=2)
    assert drawn == list(range(6))
    model().fit(chunks, steps_per_epoch=2)
    assert drawn == list(range(8))


# ------------------------------------------------------------------------------------------ memory and threads


class Alive(np.ndarray):
    """An array that a set of weak references can count."""

    __hash__ = object.__hash__
    __eq__ = object.__eq__


def test_two_chunks_are_in_memory_at_a_time(monkeypatch):
    """Beside the one that trains there is the next; older ones go as soon as the host has the weights."""
    monkeypatch.setattr(session, "HELD_BYTES", 0)
    alive, most = weakref.WeakSet(), [0]

    def chunks():
        for i in range(30):
            x = np.full((16, 6), i, "f4")
            alive.add(x := x.view(Alive))
            most[0] = max(most[0], len(alive))
            yield x, Y[:16]

    model().fit(chunks(), steps_per_epoch=30)
    gc.collect()
    assert 2 <= most[0] <= 3 and len(alive) == 0


def test_what_waits_for_the_host_is_bounded(monkeypatch):
    monkeypatch.setattr(session, "SYNC_SECONDS", 1e9)
    monkeypatch.setattr(session, "HELD_BYTES", 5 * 16 * (6 * 4 + 4))
    alive, most = weakref.WeakSet(), [0]

    def chunks():
        for i in range(40):
            alive.add(x := np.full((16, 6), i % 3, "f4").view(Alive))
            most[0] = max(most[0], len(alive))
            yield x, Y[:16]

    model().fit(chunks(), steps_per_epoch=40)
    assert most[0] <= 9


def test_the_next_chunk_is_prepared_while_one_trains():
    asked = [threading.Event() for _ in range(4)]
    threads = set()

    class Chunks:
        def __len__(self):
            return 4

        def __getitem__(self, index):
            threads.add(threading.current_thread())
            asked[index].set()
            return cut(X, Y)[index]

    class Wait(Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch < 3:
                assert asked[batch + 1].wait(30), "the next chunk was not asked for while this one trained"

    class Clear(Callback):
        def on_epoch_begin(self, epoch, logs=None):
            for event in asked:
                event.clear()

    model().fit(Chunks(), shuffle=False, callbacks=[Clear(), Wait()])
    assert len(threads) == 2 and threading.main_thread() in threads  # for the first look
    assert not any(t.name.startswith("fastnn-chunks") for t in threading.enumerate())


@pytest.mark.parametrize("raising", ["generator", "callback"])
def test_a_failure_leaves_the_model_whole(raising, backend):
    def chunks():
        for i in range(10):
            if raising == "generator" and i == 3:
                raise OSError("the disk is gone")
            yield cut(X, Y)[i % 4]

    def fail(batch, logs):
        if raising == "callback" and batch == 2:
            raise OSError("no more")

    a, b = model(backend=backend.NAME), model(backend=backend.NAME)
    with pytest.raises(OSError):
        a.fit(chunks(), steps_per_epoch=9, callbacks=[LambdaCallback(on_train_batch_end=fail)])
    b.fit(X[:48], Y[:48], batch_size=16, shuffle=False)
    np.testing.assert_array_equal(a.params, b.params)
    assert a._network.live is None and a._network.step == 3
    assert not any(t.name.startswith("fastnn-chunks") for t in threading.enumerate())
    a.fit(X, Y)


@pytest.mark.filterwarnings("ignore:.*encountered:RuntimeWarning")
def test_divergence_is_found_in_the_right_chunk(backend):
    """The weights of the last finite batch come back, although its chunk is over."""

    def regressor():
        return fastnn.MLP([6, 2], task="regression", optimizer=fastnn.optimizers.SGD(1e8), seed=0, backend=backend.NAME)

    a, b = regressor(), regressor()
    for m, arguments in ((a, (cut(X, T),)), (b, (X, T, 16))):
        with pytest.raises(FloatingPointError):
            m.fit(*arguments, epochs=9, shuffle=False)
    same(a, b)


# ------------------------------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    ("x", "options", "text"),
    [
        (generator([]), {}, "steps_per_epoch must say how many"),
        (iter([]), {"steps_per_epoch": 2}, "x has no chunks"),
        (iter(cut(X, Y)[:2]), {"steps_per_epoch": 3}, "x ended after 2 chunks; steps_per_epoch=3"),
        (cut(X, Y), {"steps_per_epoch": 3}, "steps_per_epoch=3 is for iterators"),
        (cut(X, Y), {"sample_weight": W}, "a chunk has its own as a third part"),
        (cut(X, Y), {"validation_split": 0.2}, "validation_split=0.2 is for arrays"),
        (cut(X, Y), {"validation_data": iter(cut(X, Y))}, "which one epoch would use up"),
        (iter([X, X]), {"steps_per_epoch": 2}, r"chunk 0 of x must be a tuple \(x, y\) .* got ndarray"),
        (iter([(X, Y, W, W)]), {"steps_per_epoch": 1}, "got 4 values"),
        ([(X, Y), (X, Y[:9])], {"shuffle": False}, "x of chunk 1 of x and y of chunk 1 of x must have as many rows"),
        ([(X, Y), (X, T)], {"shuffle": False}, "y of chunk 1 of x must hold one label"),
        ([(X, Y), (X, np.full((70, 3), 1 / 3))], {"shuffle": False}, "another kind .* 'categorical_crossentropy', not"),
        (cut(X, Y), {"class_weight": {7: 1.0}}, "unknown class 7"),
        (cut(X, Y), {"steps_per_epoch": 0}, "steps_per_epoch must be an integer of at least 1"),
    ],
)
def test_wrong_chunks(x, options, text):
    m = model()
    with pytest.raises(ValueError, match=text):
        m.fit(x, **options)
    assert m._network.live is None


def test_steps_per_epoch_is_for_chunks():
    with pytest.raises(ValueError, match="steps_per_epoch=3 is for iterators over chunks"):
        model().fit(X, Y, steps_per_epoch=3)


def test_the_bar_without_a_known_end(capfd):
    model().fit(generator(cut(X, Y)), steps_per_epoch=2, verbose=1)
    assert "32.0 samples, " in capfd.readouterr().err
