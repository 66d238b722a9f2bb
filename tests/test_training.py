"""The loop: orders, slices, counters, and models that stay whole however a fit ends."""

import _thread
import signal
import threading
import time
import types

import numpy as np
import pytest

import fastnn
from fastnn import session as session_module
from fastnn.optimizers import SGD
from fastnn.sources import Data, epoch_order

RNG = np.random.default_rng(3)
X = RNG.normal(size=(50, 6)).astype("f4")
Y = RNG.integers(0, 3, 50)
T = (X @ RNG.normal(size=(6, 2))).astype("f4")


def classifier(backend="numpy", **options):
    return fastnn.MLP([6, 8, 3], **{"dropout": 0.2, "seed": 1, "backend": backend, **options})


def regressor(rate, backend="numpy", **options):
    return fastnn.MLP([6, 8, 2], task="regression", optimizer=SGD(rate), seed=1, backend=backend, **options)


def numbers(model):
    net = model._network
    return model.params.copy(), net.state.copy(), net.step, net.epoch


def assert_same(a, b):
    for p, q in zip(numbers(a), numbers(b), strict=True):
        np.testing.assert_array_equal(p, q)


@pytest.fixture
def slices(monkeypatch):
    """Fixes how many batches a slice has, and counts how often the host fetches the weights."""

    def fix(batches, sync_seconds=session_module.SYNC_SECONDS):
        fixed = property(lambda self: batches, lambda self, value: None)
        monkeypatch.setattr(session_module.Pace, "batches", fixed, raising=False)
        monkeypatch.setattr(session_module, "SYNC_SECONDS", sync_seconds)
        monkeypatch.setattr(session_module, "SYNC_SHARE", 1e9)

    return fix


def test_a_seed_is_a_model(backend):
    a, b, c = classifier(backend.NAME), classifier(backend.NAME), classifier(backend.NAME, seed=2)
    histories = [m.fit(X, Y, epochs=3, batch_size=7).history for m in (a, b, c)]
    assert_same(a, b)
    assert histories[0] == histories[1] != histories[2]
    assert not (a.params == c.params).all()


def test_no_seed_is_another_model_each_time():
    assert not (classifier(seed=None).params == classifier(seed=None).params).all()


def test_threads_change_nothing(backend):
    a, b = classifier(backend.NAME, threads=1), classifier(backend.NAME, threads=2)
    assert a.fit(X, Y, epochs=2).history == b.fit(X, Y, epochs=2).history
    assert_same(a, b)


@pytest.mark.parametrize("batches", [1, 2, 3, 100])
@pytest.mark.parametrize("sync", [0.0, 100.0])
def test_slices_and_syncs_change_nothing(slices, batches, sync, backend):
    a = classifier(backend.NAME)
    expected = a.fit(X, Y, epochs=3, batch_size=4, validation_split=0.2).history
    slices(batches, sync)
    b = classifier(backend.NAME)
    assert b.fit(X, Y, epochs=3, batch_size=4, validation_split=0.2).history == expected
    assert_same(a, b)


def test_two_fits_are_one(backend):
    a, b = classifier(backend.NAME), classifier(backend.NAME)
    once = a.fit(X, Y, epochs=5, batch_size=8).history
    first = b.fit(X, Y, epochs=2, batch_size=8).history
    second = b.fit(X, Y, epochs=5, initial_epoch=2, batch_size=8)
    assert {k: first[k] + second.history[k] for k in once} == once
    assert second.epoch == [2, 3, 4]
    assert_same(a, b)


def test_compile_starts_the_optimizer_afresh_and_keeps_the_weights():
    a = classifier()
    a.fit(X, Y, epochs=2)
    before = a.params.copy()
    a.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
    np.testing.assert_array_equal(a.params, before)
    assert a._network.step == 0 and not a._network.state.any()


def test_epochs_have_orders_of_their_own():
    orders = [epoch_order(5, epoch, 100, True) for epoch in range(3)]
    for order in orders:
        assert order.dtype == np.int64
        assert sorted(order) == list(range(100))
    assert not (orders[0] == orders[1]).all() and not (orders[1] == orders[2]).all()
    np.testing.assert_array_equal(orders[1], epoch_order(5, 1, 100, True))
    assert not (orders[0] == epoch_order(6, 0, 100, True)).all()
    np.testing.assert_array_equal(epoch_order(5, 1, 100, False), np.arange(100))


def test_an_epoch_is_what_it_says(backend):
    """One epoch of SGD without shuffling, done by hand in float64."""
    m = regressor(0.05, backend.NAME, dtype="float64", activation="tanh")
    w1, b1, w2, b2 = m.get_weights()
    sample_weight = np.linspace(0.5, 2.0, 50)
    losses = []
    for start in range(0, 50, 16):
        x, t, w = X[start : start + 16].astype(float), T[start : start + 16], sample_weight[start : start + 16]
        h = np.tanh(x @ w1 + b1)
        d = h @ w2 + b2 - t
        losses.extend((d**2).mean(axis=1) * w)
        dz2 = d * w[:, None] * 2 / d.size
        dz1 = (dz2 @ w2.T) * (1 - h**2)
        w1, b1 = w1 - 0.05 * x.T @ dz1, b1 - 0.05 * dz1.sum(0)
        w2, b2 = w2 - 0.05 * h.T @ dz2, b2 - 0.05 * dz2.sum(0)
    history = m.fit(X, T, batch_size=16, shuffle=False, sample_weight=sample_weight).history
    assert history["loss"] == [pytest.approx(np.mean(losses), rel=1e-12)]
    for got, expected in zip(m.get_weights(), (w1, b1, w2, b2), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-10, atol=1e-12)


def test_a_batch_may_be_larger_than_the_data():
    a, b = classifier(), classifier()
    a.fit(X, Y, batch_size=50)
    b.fit(X, Y, batch_size=10**9)
    assert_same(a, b)


def test_learning_rate_may_change_between_epochs():
    class Halve(fastnn.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.model.optimizer.learning_rate = 0.1 / 2**epoch

    a, b = regressor(0.1), regressor(0.1)
    a.fit(X, T, epochs=3, callbacks=[Halve()])
    for rate in (0.1, 0.05, 0.025):
        b.optimizer.learning_rate = rate
        b.fit(X, T)
    assert_same(a, b)


# ------------------------------------------------------------------------------------------ losses that are not finite


def before_failure(rate, batches, backend="numpy", **options):
    """The model after so many batches of the first epoch, trained one batch at a time."""
    m = regressor(rate, backend, **options)
    plan = m._make_plan(m.optimizer, m._loss, [], "mse", 1.0, (6,))
    session = session_module.Session(m._network, plan, 5, "mse", m.optimizer)
    session.begin_block(Data(X, T, None), 10, 5)
    order = epoch_order(1, 0, 50, True)
    for k in range(batches):
        session.run(order[5 * k : 5 * k + 5], np.empty((1, 1)))
    session.sync()
    return m.params


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("rate", [30.0, 1e3, 1e8, 1e25])
@pytest.mark.parametrize("batches", [1, 3, 100])
@pytest.mark.parametrize("sync", [0.0, 100.0])
def test_divergence_leaves_the_last_finite_weights(slices, rate, batches, sync, backend):
    slices(batches, sync)
    m = regressor(rate, backend.NAME)
    with pytest.raises(FloatingPointError) as failure:
        m.fit(X, T, batch_size=5, epochs=50)
    assert "epoch" in str(failure.value) and repr(rate) in str(failure.value)
    step = m._network.step
    assert np.isfinite(m.params).all()
    assert m._network.live is None
    # They are those of a model trained for so many batches, and one more update is not finite or its loss is not.
    assert step < 10, "the test expects divergence in the first epoch"
    np.testing.assert_array_equal(m.params, before_failure(rate, step, backend.NAME))
    with pytest.raises(FloatingPointError):
        before_failure(rate, step + 2, backend.NAME)
    assert m.history.history == {} and m._network.epoch == 0
    # The model is usable, and learns again with a sane rate.
    m.predict(X)
    m.set_weights([w * 0 + 0.01 for w in m.get_weights()])
    m.optimizer.learning_rate = 1e-3
    m.fit(X, T)


def test_divergence_keeps_earlier_epochs_in_the_history():
    class Explode(fastnn.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                self.model.optimizer.learning_rate = 1e30

    m = regressor(0.01)
    with pytest.raises(FloatingPointError, match=r"epoch 3, batch .* learning rate 1e\+30"):
        m.fit(X, T, epochs=5, batch_size=10, callbacks=[Explode()])
    assert m.history.epoch == [0, 1] and len(m.history.history["loss"]) == 2
    assert np.isfinite(m.params).all()


def test_the_very_last_update_may_be_the_one_that_fails():
    a, b = regressor(1e38), regressor(0.0)
    with pytest.raises(FloatingPointError, match="the weights became NaN or infinite in epoch 1, batch 1"):
        a.fit(X * 1e6, T, batch_size=50)
    np.testing.assert_array_equal(a.params, b.params)
    assert a._network.step == 0 and a.history.history == {}


def test_dead_units_do_not_hide_infinite_weights(slices):
    """A weight of -inf before a relu gives finite losses for ever; the host must not take it."""
    slices(1, 0.0)
    m = fastnn.MLP([1, 2, 1], task="regression", optimizer=SGD(1e38), seed=1, backend="numpy")
    m.set_weights([np.array([[1.0, 1.0]]), np.array([-1e3, 1e3]), np.array([[0.0], [1e30]]), np.array([-1e33])])
    with pytest.raises(FloatingPointError):
        m.fit(np.full((4, 1), 1.0), np.zeros(4), batch_size=1)
    assert np.isfinite(m.params).all()


# ------------------------------------------------------------------------------------------ interrupts and exceptions


class At(fastnn.callbacks.Callback):
    """Does something at the end of an epoch."""

    def __init__(self, epoch, action):
        self.epoch, self.action = epoch, action

    def on_epoch_end(self, epoch, logs=None):
        if epoch == self.epoch:
            self.action()


def fail():
    raise OSError("disk on fire")


@pytest.mark.parametrize(
    ("action", "error"),
    [(fail, OSError), (lambda: signal.raise_signal(signal.SIGINT), KeyboardInterrupt)],
)
def test_a_callback_that_raises_ends_the_fit_cleanly(action, error):
    a, b = classifier(), classifier()
    with pytest.raises(error):
        a.fit(X, Y, epochs=9, callbacks=[At(1, action)])
    expected = b.fit(X, Y, epochs=2).history
    assert_same(a, b)
    assert a.history.history == expected and a.history.epoch == [0, 1]
    assert a.fit(X, Y).history == b.fit(X, Y).history


def interrupting(model, calls, action):
    """Let a model's backend do something in the middle of the call number `calls` of train."""
    real = model._network.backend
    count = iter(range(10**9))

    def train(*args):
        done = real.train(*args)
        if next(count) == calls:
            action()
        return done

    model._network.backend = types.SimpleNamespace(**{**vars(real), "train": train})


def test_ctrl_c_within_a_slice_waits_for_its_end(slices):
    slices(2)
    a, b = classifier(), classifier()
    interrupting(a, 3, lambda: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        a.fit(X, Y, batch_size=10, epochs=4)
    # The fourth slice, the first of the second epoch, is done; the slices before it were two, two and one batch.
    assert a._network.step == 7 and a._network.epoch == 1 and a.history.epoch == [0]
    whole = b.fit(X, Y, batch_size=10)
    assert a.history.history == whole.history
    order = epoch_order(1, 1, 50, True)[:20]
    b.fit(X[order], Y[order], batch_size=10, shuffle=False)
    np.testing.assert_array_equal(a.params, b.params)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("sync", [0.0, 100.0])
def test_a_backend_that_raises_halfway_is_undone(slices, sync):
    slices(2, sync)
    a, b = classifier(), classifier()
    interrupting(a, 4, fail)  # after the update, so that its workspace is ahead of what is recorded
    with pytest.raises(OSError, match="fire"):
        a.fit(X, Y, batch_size=10, epochs=4)
    interrupting(b, 3, lambda: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        b.fit(X, Y, batch_size=10, epochs=4)
    assert_same(a, b)


def test_a_second_ctrl_c_does_not_wait(slices):
    slices(1)
    a, b = classifier(), classifier()

    def twice():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        pytest.fail("the second one should have come through")

    interrupting(a, 2, twice)
    with pytest.raises(KeyboardInterrupt):
        a.fit(X, Y, batch_size=10, epochs=4)
    order = epoch_order(1, 0, 50, True)[:20]
    b.fit(X[order], Y[order], batch_size=10, shuffle=False)
    np.testing.assert_array_equal(a.params, b.params)


def test_ctrl_c_from_outside():
    m = classifier()
    timer = threading.Timer(0.3, _thread.interrupt_main)
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            m.fit(X, Y, epochs=10**6)
    finally:
        timer.cancel()
        timer.join()
    assert len(m.history.epoch) == m._network.epoch == len(m.history.history["loss"])
    assert np.isfinite(m.params).all()
    m.fit(X, Y)


def test_the_handler_of_the_caller_is_called(slices):
    slices(1)
    seen = []
    previous = signal.signal(signal.SIGINT, lambda number, frame: seen.append(number))
    try:
        m = classifier()
        interrupting(m, 1, lambda: signal.raise_signal(signal.SIGINT))
        m.fit(X, Y)
        assert seen == [signal.SIGINT]
    finally:
        signal.signal(signal.SIGINT, previous)


def test_fit_in_a_thread_and_predict_in_another(backend):
    a, b = classifier(backend.NAME), classifier(backend.NAME)
    b.fit(X, Y, epochs=150)
    errors = []

    def work():
        try:
            a.fit(X, Y, epochs=150)
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    while thread.is_alive():
        assert np.isfinite(a.predict(X[:3])).all()
        assert len(a.params) == len(b.params)
        time.sleep(0.001)
    thread.join()
    assert not errors
    assert_same(a, b)


def test_fit_cannot_run_twice_at_once():
    m = classifier()
    calls = [
        lambda: m.fit(X, Y),
        lambda: m.compile("sgd", "sparse_categorical_crossentropy"),
        lambda: m.add(fastnn.layers.Dense(3)),
    ]
    for call in calls:

        def action(call=call):
            with pytest.raises(RuntimeError, match="in fit"):
                call()

        m.fit(X, Y, callbacks=[At(0, action)])


def test_scratch_holds_nothing_that_counts(slices, backend):
    """Poisoned scratch between two slices must not change a bit."""
    slices(1)
    a, b = classifier(backend.NAME), classifier(backend.NAME)
    a.fit(X, Y, batch_size=10, epochs=2)
    real = b._network.backend

    def train(workspace, *args):
        real.poison(workspace, 0xFF)
        return real.train(workspace, *args)

    b._network.backend = types.SimpleNamespace(**{**vars(real), "train": train})
    b.fit(X, Y, batch_size=10, epochs=2)
    assert_same(a, b)
