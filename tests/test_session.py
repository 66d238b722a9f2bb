"""What a fit costs besides its batches: how many slices it has, and what it takes from the fit before."""

import copy
import types

import numpy as np
import pytest
from fastnn.kernels import PlanBuilder

import fastnn
from fastnn import session

RNG = np.random.default_rng(11)
X = RNG.normal(size=(50, 6)).astype("f4")
Y = RNG.integers(0, 3, 50)


def classifier(backend="numpy", **options):
    return fastnn.MLP([6, 8, 3], **{"dropout": 0.2, "seed": 1, "backend": backend, **options})


def count(model, function):
    """Return a list that gets an element whenever the model calls that function of its backend."""
    real, calls = model._network.backend, []

    def counted(*arguments):
        calls.append(arguments)
        return getattr(real, function)(*arguments)

    model._network.backend = types.SimpleNamespace(**{**vars(real), function: counted})
    return calls


def test_the_backend_expects_what_comes():
    model = classifier()
    real, calls = model._network.backend, []

    def recorded(name):
        return lambda *arguments: (calls.append((name, arguments[1])), getattr(real, name)(*arguments))[1]

    model._network.backend = types.SimpleNamespace(**{**vars(real), **{n: recorded(n) for n in ("expect", "train")}})
    for batch_size in (16, 50):
        model.fit(X, Y, epochs=2, batch_size=batch_size, verbose=0)
        assert calls[0] == ("expect", batch_size)
        assert [name for name, _ in calls] == ["expect", "train", "train"]
        calls.clear()


# ------------------------------------------------------------------------------------------ slices


def pace(*sizes, batch_size):
    builder = PlanBuilder(sizes[0])
    for units in sizes[1:]:
        builder.dense(units)
    return session.Pace(builder.build(), batch_size)


def test_the_first_slice_is_short_on_a_slow_machine():
    assert 50 <= pace(32, 64, 64, 1, batch_size=256).batches <= 100  # 10 MFLOP a batch: 0.2 s at 2.5 to 5 GFLOP/s
    assert 200 <= pace(1, 1, batch_size=1).batches <= 500  # however small
    assert pace(5000, 5000, batch_size=1).batches == 1  # the weights count, however few the rows
    assert pace(10_000, 10_000, batch_size=1000).batches == 1


def test_slices_follow_the_clock():
    chosen = pace(1, 1, batch_size=1)
    chosen.record(10, 2.0)
    assert chosen.batches == 1
    chosen.record(1, 1e-4)
    assert chosen.batches == 16
    chosen.record(0.01, 1e-4)  # a hundredth of the rows took that long: a whole batch takes 10 ms
    assert chosen.batches == 20
    chosen.record(1, 10.0)
    assert chosen.batches == 1


def test_a_smaller_batch_counts_for_its_share(monkeypatch):
    seen = []
    monkeypatch.setattr(session.Pace, "record", lambda self, batches, seconds: seen.append(batches))
    classifier().fit(X, Y, batch_size=20, epochs=2)
    assert seen == [2.5, 2.5]


def test_a_fit_goes_on_at_the_pace_of_the_one_before(monkeypatch):
    monkeypatch.setattr(session, "SLOW_BATCH_SECONDS", 0.1)
    monkeypatch.setattr(session.Pace, "record", lambda self, batches, seconds: setattr(self, "batches", 7))
    m = classifier()
    calls = count(m, "train")
    m.fit(X, Y, batch_size=5)
    m.fit(X, Y, batch_size=5)
    assert [len(arguments[4]) // 5 for arguments in calls] == [1, 7, 2, 7, 3]


@pytest.fixture
def no_clock(monkeypatch):
    """Keeps the length of the first slice."""
    monkeypatch.setattr(session.Pace, "record", lambda self, batches, seconds: None)


def test_an_epoch_of_a_small_network_is_one_call(no_clock):
    m = classifier()
    calls = count(m, "train")
    m.fit(X, Y, batch_size=10, epochs=3)
    assert len(calls) == 3


# ------------------------------------------------------------------------------------------ the workspace


def assert_same(a, b):
    np.testing.assert_array_equal(a.params, b.params)
    np.testing.assert_array_equal(a._network.state, b._network.state)


def trained(backend="numpy", **options):
    m = classifier(backend, **options)
    m.fit(X, Y, batch_size=20)
    return m


def test_a_fit_goes_on_in_the_workspace_of_the_one_before(backend):
    m = trained(backend.NAME)
    fresh = copy.deepcopy(m)
    made = count(m, "to_backend")
    for _ in range(2):
        assert m.fit(X, Y, batch_size=20).history == fresh.fit(X, Y, batch_size=20).history
    assert not made
    assert_same(m, fresh)
    made = count(fresh, "to_backend")
    copy.deepcopy(fresh).fit(X, Y, batch_size=20)
    assert len(made) == 0
    np.testing.assert_array_equal(m.predict(X), fresh.predict(X))


def set_some(m):
    m.set_weights([w + 1 for w in m.get_weights()])


def set_one(m):
    m.layers[0].set_weights([w * 2 for w in m.layers[0].get_weights()])


def compile_again(m):
    m.compile("adam", "sparse_categorical_crossentropy")


def other_momentum(m):
    m.optimizer.beta_1 = 0.5


def other_threads(m):
    m._network.threads = 3


def other_layer(m):
    m.layers[1].rate = 0.5


def back_to_a_copy(m):
    other = classifier(seed=5)
    m._network.replace(other._network.params, m._network.state)


@pytest.mark.parametrize(
    "change",
    [set_some, set_one, compile_again, other_momentum, other_threads, other_layer, back_to_a_copy],
)
def test_what_has_changed_since_the_last_fit_counts(change, backend):
    m = trained(backend.NAME, optimizer="adam")
    change(m)
    fresh = copy.deepcopy(m)
    made = count(m, "to_backend")
    m.fit(X, Y, batch_size=20)
    assert len(made) == 1
    fresh.fit(X, Y, batch_size=20)
    assert_same(m, fresh)


def test_another_batch_or_another_kind_of_targets_is_another_workspace():
    m = trained()
    for options in ({"y": Y, "batch_size": 21}, {"y": np.eye(3, dtype="f4")[Y] * 0.9 + 0.1 / 3, "batch_size": 21}):
        fresh, made = copy.deepcopy(m), count(m, "to_backend")
        m.fit(X, **options)
        fresh.fit(X, **options)
        assert len(made) == 1
        assert_same(m, fresh)


class Fails(fastnn.callbacks.Callback):
    """Sets the weights at the end of an epoch, and ends the fit at the end of the next."""

    def on_epoch_end(self, epoch, logs=None):
        if epoch == 1:
            raise OSError
        set_some(self.model)


def test_what_a_fit_that_failed_leaves_is_the_host_s(backend):
    m = trained(backend.NAME)
    with pytest.raises(OSError):
        m.fit(X, Y, batch_size=20, epochs=3, callbacks=[Fails()])
    too_large = X.copy()
    too_large[40:] = 3e38
    with pytest.raises(FloatingPointError):
        m.fit(too_large, Y, batch_size=20, shuffle=False)
    assert m._network.step == 3 + 6 + 2
    fresh = copy.deepcopy(m)
    m.fit(X, Y, batch_size=20)
    fresh.fit(X, Y, batch_size=20)
    assert_same(m, fresh)


def no_memory(m, monkeypatch):
    """Let the next workspace fail."""

    def fails(*arguments):
        monkeypatch.undo()
        raise MemoryError

    count(m, "to_backend")  # so that what is patched is the model's own
    monkeypatch.setattr(m._network.backend, "to_backend", fails)


def assert_next_fit_is_that_of_a_copy(m, **options):
    fresh = copy.deepcopy(m)
    m.fit(X, Y, **options)
    fresh.fit(X, Y, **options)
    assert_same(m, fresh)


def test_a_workspace_that_could_not_grow_is_as_small_as_before(backend, monkeypatch):
    m = trained(backend.NAME)

    def parts():
        yield X[:10], Y[:10]
        no_memory(m, monkeypatch)
        yield X[10:], Y[10:]

    with pytest.raises(MemoryError):
        m.fit(parts(), steps_per_epoch=2)
    made = count(m, "to_backend")
    assert_next_fit_is_that_of_a_copy(m, batch_size=40)
    assert len(made) == 1


def test_weights_that_the_workspace_could_not_take_are_the_host_s(backend, monkeypatch):
    m = trained(backend.NAME)

    def at_the_end(epoch, logs):
        no_memory(m, monkeypatch)
        set_some(m)

    see = fastnn.callbacks.LambdaCallback(on_epoch_end=at_the_end)
    with pytest.raises(MemoryError):
        m.fit(X, Y, batch_size=20, epochs=2, callbacks=[see])
    assert_next_fit_is_that_of_a_copy(m, batch_size=20)


def test_nobody_can_write_past_the_workspace():
    m = trained()
    for vector in (m._network.params, m._network.state):
        with pytest.raises(ValueError, match="read-only"):
            vector += 1
    weights = m.get_weights()  # copies
    weights[0] += 1
    assert not (weights[0] == m.get_weights()[0]).any()


def test_validation_goes_on_in_one_workspace(backend):
    m = classifier(backend.NAME)
    made = count(m, "to_backend")
    seen = []
    see = fastnn.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(copy.deepcopy(m).evaluate(X, Y)))
    history = m.fit(X, Y, epochs=4, validation_data=(X, Y), callbacks=[see]).history
    assert len(made) == 2  # one to train in, one to evaluate in
    assert list(zip(history["val_loss"], history["val_accuracy"], strict=True)) == [tuple(pair) for pair in seen]
    m.set_weights([w * 2 for w in m.get_weights()])
    np.testing.assert_array_equal(m.predict(X), copy.deepcopy(m).predict(X))
    assert len(made) == 2


# ------------------------------------------------------------------------------------------ weights to the host


@pytest.mark.parametrize(("speed", "fetched"), [(1e12, 9), (1e-9, 1)])
def test_large_weights_are_fetched_less_often(no_clock, monkeypatch, speed, fetched):
    monkeypatch.setattr(session, "SYNC_SECONDS", 0.0)
    monkeypatch.setattr(session, "SYNC_BYTES", speed)
    monkeypatch.setattr(session, "SYNC_SHARE", 1e9)
    m = classifier()
    calls = count(m, "to_host")
    m.fit(X, Y, batch_size=10, epochs=9)
    assert len(calls) == fetched
