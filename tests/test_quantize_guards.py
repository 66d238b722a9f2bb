"""Which arrays are looked at for bytes, with how many threads, and that looking does no harm."""

import concurrent.futures
import os
import threading

import numpy as np
import pytest
from helpers.arrays import unaligned
from helpers.guests import check_python
from helpers.images import pixels, small

import fastnn


@pytest.fixture
def looks(monkeypatch):
    """Makes of a model a list of (array, threads): what its backend looks at for bytes from then on."""

    def watch(model):
        calls, module = [], model._network.backend
        function = module.quantize

        def spy(x, *rest):
            calls.append((x, rest[-1]))
            return function(x, *rest)

        monkeypatch.setattr(module, "quantize", spy)
        return calls

    return watch


def test_whoever_looks_during_a_fit_uses_one_thread(looks):
    b, y = pixels(1200)
    x = b / np.float32(255)
    model = small(threads=3)
    calls = looks(model)
    during = []

    class Observer(fastnn.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            calls.clear()

        def on_epoch_end(self, epoch, logs=None):
            self.model.predict(x)
            during.append([threads for _, threads in calls])

    model.fit([(x[:500], y[:500]), (x[500:], y[500:])], epochs=2, verbose=0, callbacks=[Observer()])
    assert all(set(threads) == {1} for threads in during)
    assert [len(threads) for threads in during] == [3, 3]  # two chunks, and what is predicted
    calls.clear()
    model.predict(x)
    model.fit(x, y, verbose=0)
    assert [threads for _, threads in calls] == [3, 3]


@pytest.mark.parametrize("rows", [511, 512])
def test_from_how_many_rows_on_predict_looks(rows, looks):
    b, _ = pixels(rows)
    model = small()
    calls = looks(model)
    for x in (b / np.float32(255), b / 255, (b / 255).tolist()):
        calls.clear()
        assert np.allclose(model.predict(x), model.predict(b), rtol=1e-5)
        assert len(calls) == (rows == 512)


def read_only(x):
    x.flags.writeable = False
    return x


# What kernels cannot read as it lies in memory, and what looks as if.
ARRAYS = {
    "unaligned float32": lambda b: unaligned(b / np.float32(255)),
    "unaligned float64": lambda b: unaligned(b / 255),
    "every second row": lambda b: np.repeat(b / np.float32(255), 2, axis=0)[::2],
    "every second column": lambda b: np.repeat(b / 255, 2, axis=1)[:, 1::2],
    "backwards": lambda b: np.ascontiguousarray((b / np.float32(255))[::-1, ::-1])[::-1, ::-1],
    "the same column": lambda b: np.broadcast_to(b[:, :1] / np.float32(255), b.shape),
    "big-endian float32": lambda b: (b / 255).astype(">f4"),
    "big-endian float64": lambda b: (b / 255).astype(">f8"),
    "float16": lambda b: (b / 255).astype(np.float16),
    "longdouble": lambda b: (b / 255).astype(np.longdouble),
    "int64": lambda b: b.astype(np.int64),
    "big-endian uint16": lambda b: b.astype(">u2"),
    "bool": lambda b: b > 99,
    "read-only": lambda b: read_only(b / np.float32(255)),
    "a subclass": lambda b: (b / 255).view(type("Other", (np.ndarray,), {})),
}


@pytest.mark.parametrize("kind", ARRAYS)
def test_kernels_look_only_at_what_they_can_read(kind, looks):
    b, y = pixels()
    x = ARRAYS[kind](b)
    plain = np.ascontiguousarray(x, np.float32)
    results = []
    for inputs in (x, plain):
        model = small()
        calls = looks(model)
        history = model.fit(inputs, y, epochs=2, verbose=0, validation_split=0.2).history
        results.append([model.predict(inputs), model.params, *history.values(), model.evaluate(inputs, y, verbose=0)])
        assert calls
        for seen, _ in calls:
            assert type(seen) is np.ndarray
            assert seen.dtype in (np.float32, np.float64)
            assert seen.flags.c_contiguous
            assert seen.flags.aligned
    for first, second in zip(*results, strict=True):
        assert np.allclose(first, second, rtol=1e-5, atol=1e-6)
    assert np.array_equal(x, ARRAYS[kind](b))


def test_an_array_that_changes_is_looked_at_again():
    b, y = pixels()
    x = b / np.float32(255)
    model, other = small(), small()
    for value in (0.123, np.nan, 0.0):
        for m, inputs in ((model, x), (other, x.copy())):
            m.fit(inputs, y, verbose=0)
        x[300, 7] = value
        if np.isnan(value):
            for method in (model.predict, lambda inputs: model.fit(inputs, y, verbose=0)):
                with pytest.raises(ValueError, match=r"1 values that are NaN.*index \(300, 7\)"):
                    method(x)
            x[300, 7] = 1.0
        assert np.array_equal(model.predict(x), other.predict(x.copy()))
        assert np.array_equal(model.params, other.params)


FORMS = {
    "bytes": lambda b: b,
    "divided": lambda b: b / np.float32(255),
    "as numbers": lambda b: b.astype(np.float32),
    "times 0.01": lambda b: b * 0.01,
    "zeros and ones": lambda b: b > 99,
    "others": lambda b: b / 255 + 1e-3,
}


@pytest.mark.parametrize("autoencoder", [False, True])
@pytest.mark.parametrize("seed", range(16))
def test_results_are_those_without_a_look(seed, autoencoder, monkeypatch):
    """Arrays, validation data and chunks of all kinds, one after the other."""
    b, y = pixels(1200)

    def data(rng):
        start, rows = rng.integers(600), rng.choice([300, 600])
        x = FORMS[rng.choice(list(FORMS))](b[start : start + rows])
        return x, x if autoencoder else y[start : start + rows]

    def results():
        rng, sizes = np.random.default_rng(seed), [20, 8, 4]
        options = {"seed": 0, "input_scale": rng.choice([1 / 255, 0.01]), "optimizer": fastnn.optimizers.SGD(1e-3)}
        model = fastnn.Autoencoder(sizes, **options) if autoencoder else fastnn.MLP(sizes, **options)
        found = []
        for _ in range(4):
            found.append(model.fit(*data(rng), verbose=0, validation_data=data(rng)).history["val_loss"])
            model.fit([data(rng) for _ in range(3)], verbose=0)
            found += [model.params, model.predict(data(rng)[0]), model.evaluate(*data(rng), verbose=0)]
        return model, found

    model, expected = results()
    monkeypatch.setattr(model._network.backend, "quantize", lambda *arguments: False)
    for got, without in zip(expected, results()[1], strict=True):
        assert np.allclose(got, without, rtol=1e-4, atol=1e-5)


# ---------------------------------------------------------------------------------------------- several at a time


def test_several_threads_may_look_at_a_time(backend, dtype):
    """Each with helpers, or alone where they are taken; what one finds does not reach another."""
    rng = np.random.default_rng(0)
    bytes_ = [rng.integers(0, 256, 200_003).astype(np.uint8) for _ in range(4)]
    arrays = [(b / 255).astype(dtype) for b in bytes_]
    for x in arrays[1::2]:
        x[rng.integers(len(x))] = 0.123
    together = threading.Barrier(4)

    def look(i):
        right = []
        for _ in range(20):
            out = np.full(200_003, i, np.uint8)
            together.wait(60)
            found = backend.quantize(arrays[i], 1 / 255, out, 3)
            right.append(not found if i % 2 else found and np.array_equal(out, bytes_[i]))
        return all(right)

    with concurrent.futures.ThreadPoolExecutor(4) as executor:
        assert list(executor.map(look, range(4))) == [True] * 4


def test_several_threads_may_predict_at_a_time(backend):
    b, _ = pixels(2400)
    parts = [b[i * 600 : (i + 1) * 600] for i in range(4)]
    model = small(backend=backend.NAME, threads=2)
    expected = [model.predict(part) for part in parts]
    together = threading.Barrier(4)

    def predict(i):
        x = parts[i] / (np.float32(255) if i % 2 else 255)
        together.wait(60)
        return all(np.array_equal(model.predict(x), expected[i]) for _ in range(20))

    with concurrent.futures.ThreadPoolExecutor(4) as executor:
        assert list(executor.map(predict, range(4))) == [True] * 4


FORK = """
import os
import signal
import numpy as np
from fastnn.kernels import get_backend
backend = get_backend(os.environ["WHICH"])
b = np.random.default_rng(0).integers(0, 256, 500_000).astype(np.uint8)
x = (b / 255).astype(np.float32)
def works():
    out = np.zeros_like(b)
    return backend.quantize(x, 1 / 255, out, 3) and (out == b).all()
assert works()
child = os.fork()
if child == 0:
    signal.alarm(60)
    os._exit(0 if works() and works() else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert works()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_looks_with_threads_of_its_own(backend):
    check_python(FORK, WHICH=backend.NAME, PYTHONWARNINGS="ignore")
