"""Callbacks, history and progress."""

import io
import sys

import numpy as np
import pytest

import fastnn
from fastnn.callbacks import Callback, History

RNG = np.random.default_rng(7)
X = RNG.normal(size=(30, 4)).astype("f4")
Y = RNG.integers(0, 3, 30)


def model(**options):
    return fastnn.MLP([4, 5, 3], **{"seed": 1, "backend": "numpy", **options})


class Recorder(Callback):
    def __init__(self):
        self.calls = []

    def on_train_begin(self, logs=None):
        self.calls.append(("train begin", logs))

    def on_train_end(self, logs=None):
        self.calls.append(("train end", logs))

    def on_epoch_begin(self, epoch, logs=None):
        self.calls.append(("begin", epoch, logs))

    def on_epoch_end(self, epoch, logs=None):
        self.calls.append(("end", epoch, logs))


def test_hooks_come_in_the_order_of_keras():
    recorder, m = Recorder(), model()
    history = m.fit(X, Y, epochs=4, initial_epoch=2, batch_size=8, callbacks=[recorder], validation_split=0.2)
    logs = [{k: v[i] for k, v in history.history.items()} for i in range(2)]
    assert list(logs[0]) == ["loss", "accuracy", "val_loss", "val_accuracy"]
    assert recorder.calls == [
        ("train begin", {}),
        ("begin", 2, {}),
        ("end", 2, logs[0]),
        ("begin", 3, {}),
        ("end", 3, logs[1]),
        ("train end", logs[1]),
    ]
    assert recorder.model is m
    assert recorder.params == {"epochs": 4, "steps": 3, "samples": 24, "verbose": "auto"}
    assert all(type(value) is float for value in logs[0].values())


def test_history():
    m = model()
    history = m.fit(X, Y, epochs=2)
    assert isinstance(history, History) and m.history is history
    assert history.epoch == [0, 1] and list(history.history) == ["loss", "accuracy"]
    mine = History()
    assert m.fit(X, Y, callbacks=[mine]) is mine and mine.epoch == [0]
    m.fit(X, Y, epochs=1, initial_epoch=1)
    assert m.history.history == {}


def test_a_callback_may_change_what_another_does_not_see():
    class Spoil(Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs.clear()

    recorder = Recorder()
    history = model().fit(X, Y, callbacks=[Spoil(), recorder]).history
    assert list(history) == ["loss", "accuracy"] == list(recorder.calls[2][2])


def test_stop_training():
    class Stop(Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = epoch == 1

    m, recorder = model(), Recorder()
    assert m.fit(X, Y, epochs=9, callbacks=[Stop(), recorder]).epoch == [0, 1]
    assert recorder.calls[-1][0] == "train end"
    assert m.fit(X, Y, epochs=1).epoch == [0]  # the wish is forgotten


def test_the_model_is_whole_in_a_callback(backend, tmp_path):
    seen = []

    class Look(Callback):
        def on_epoch_begin(self, epoch, logs=None):
            seen.append((self.model.get_weights(), self.model.evaluate(X, Y), self.model.predict(X)))

        def on_epoch_end(self, epoch, logs=None):
            self.model.save(tmp_path / "m")
            assert logs["val_loss"] == self.model.evaluate(X, Y)[0]

    a, b = model(backend=backend.NAME), model(backend=backend.NAME)
    a.fit(X, Y, epochs=3, callbacks=[Look()], validation_data=(X, Y))
    for weights, scores, outputs in seen:
        for got, expected in zip(weights, b.get_weights(), strict=True):
            np.testing.assert_array_equal(got, expected)
        assert scores == b.evaluate(X, Y)
        np.testing.assert_array_equal(outputs, b.predict(X))
        b.fit(X, Y)
    np.testing.assert_array_equal(a.params, b.params)


def test_a_callback_may_replace_the_weights():
    class Reset(Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                self.model.set_weights(initial)

    a, b = model(optimizer="sgd"), model(optimizer="sgd")
    initial = a.get_weights()
    a.fit(X, Y, epochs=3, callbacks=[Reset()])
    b._network.epoch = 2
    b.fit(X, Y)
    np.testing.assert_array_equal(a.params, b.params)


@pytest.mark.parametrize("hook", ["on_train_batch_end", "on_batch_begin", "on_test_begin", "on_predict_end"])
def test_hooks_that_would_never_be_called_are_refused(hook):
    waiting = type("Waiting", (Callback,), {hook: lambda self, *args: None})()
    with pytest.raises(ValueError, match=f"Waiting has {hook}, .* on_epoch_begin, on_epoch_end"):
        model().fit(X, Y, callbacks=[waiting])


def test_a_line_an_epoch(capfd):
    model().fit(X, Y, epochs=2, verbose=2, validation_split=0.5)
    out, err = capfd.readouterr()
    lines = out.splitlines()
    assert len(lines) == 2 and err == ""
    assert lines[1].startswith("epoch 2/2 - ")
    for part in ("samples/s", "loss: ", "accuracy: ", "val_loss: ", "val_accuracy: "):
        assert part in lines[1]


@pytest.mark.parametrize("verbose", ["auto", 0])
def test_quiet_where_there_is_no_terminal(capfd, verbose):
    m = model()
    m.fit(X, Y, verbose=verbose)
    m.evaluate(X, Y, verbose=verbose)
    m.predict(X, verbose=verbose)
    assert capfd.readouterr() == ("", "")


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(("verbose", "stream"), [("auto", Terminal), (1, io.StringIO)])
def test_the_bar_shows_what_matters(monkeypatch, verbose, stream):
    monkeypatch.setattr(sys, "stderr", stream())
    model().fit(X, Y, epochs=2, verbose=verbose, validation_split=0.5)
    shown = sys.stderr.getvalue()
    for part in ("epoch 1/2", "epoch 2/2", "samples/s", "loss=", "accuracy=", "val_loss=", "100%"):
        assert part in shown


def test_the_bar_is_closed_when_a_fit_fails(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())

    class Fail(Callback):
        def on_epoch_end(self, epoch, logs=None):
            raise OSError("no")

    m = fastnn.MLP([4, 5, 3], optimizer=fastnn.optimizers.SGD(1e38), seed=0, backend="numpy")
    with pytest.raises(FloatingPointError):
        m.fit(X, Y, epochs=3, batch_size=2)
    with pytest.raises(OSError, match="no"):
        model().fit(X, Y, callbacks=[Fail()])
    from tqdm import tqdm

    assert not list(getattr(tqdm, "_instances", ()))


def test_no_stderr_at_all(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    model().fit(X, Y)


def test_evaluate_prints_if_asked(capsys):
    m = model()
    loss, accuracy = m.evaluate(X, Y, verbose=1)
    assert capsys.readouterr().out == f"loss: {loss:.4f} - accuracy: {accuracy:.4f}\n"
