"""Callbacks, history and progress."""

import io
import os
import sys

import numpy as np
import pytest

import fastnn
from fastnn.callbacks import Callback, History, LambdaCallback
from fastnn.sources import epoch_order

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


def test_a_callback_cannot_take_from_what_others_see():
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


@pytest.mark.parametrize("hook", ["on_test_batch_begin", "on_test_batch_end"])
def test_hooks_that_would_never_be_called_are_refused(hook):
    waiting = type("Waiting", (Callback,), {hook: lambda self, *args: None})()
    with pytest.raises(ValueError, match=f"Waiting has {hook}, .* on_test_begin and on_test_end"):
        model().fit(X, Y, callbacks=[waiting])


# ------------------------------------------------------------------------------------------ batches


@pytest.mark.parametrize("name", ["on_train_batch", "on_batch"])
def test_hooks_of_batches(name, backend):
    begun, ended, weights = [], [], []

    def end(self, batch, logs):
        ended.append((batch, logs))
        weights.append(self.model.get_weights())

    hooks = {f"{name}_begin": lambda self, batch, logs: begun.append(batch), f"{name}_end": end}
    a, b = model(backend=backend.NAME, dropout=0.5), model(backend=backend.NAME, dropout=0.5)
    history = a.fit(X, Y, epochs=2, batch_size=8, callbacks=[type("Batches", (Callback,), hooks)()])
    assert begun == [batch for batch, _ in ended] == [0, 1, 2, 3] * 2
    # The same as without, to the last bit; what a batch is told at the end of an epoch is what the epoch is.
    assert b.fit(X, Y, epochs=2, batch_size=8).history == history.history
    np.testing.assert_array_equal(a.params, b.params)
    assert ended[3][1] == pytest.approx({key: values[0] for key, values in history.history.items()}, rel=1e-12)
    for got, expected in zip(weights[-1], a.get_weights(), strict=True):
        np.testing.assert_array_equal(got, expected)
    assert not all((p == q).all() for p, q in zip(weights[0], weights[1], strict=True))


def test_a_batch_may_set_the_rate_and_stop_the_fit():
    class Stop(Callback):
        def on_train_batch_begin(self, batch, logs=None):
            self.model.optimizer.learning_rate = 0.0 if batch else 0.1

        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training = batch == 1

    a, b = model(optimizer="sgd"), model(optimizer=fastnn.optimizers.SGD(0.1))
    history = a.fit(X, Y, epochs=3, batch_size=10, shuffle=False, callbacks=[Stop()])
    first = b.fit(X[:10], Y[:10], batch_size=10, shuffle=False).history["loss"][0]
    np.testing.assert_array_equal(a.params, b.params)
    assert history.epoch == [0] and a._network.step == 2
    second = b.evaluate(X[10:20], Y[10:20])[0]
    assert history.history["loss"] == pytest.approx([(first + second) / 2])


def test_hooks_of_the_validation():
    seen = []

    class Watch(Callback):
        def on_test_begin(self, logs=None):
            seen.append("begin")

        def on_test_end(self, logs=None):
            seen.append(logs)

        def on_predict_end(self, logs=None):
            pytest.fail("nothing is predicted")

    history = model().fit(X, Y, validation_split=0.5, callbacks=[Watch()]).history
    assert seen == ["begin", {"loss": history["val_loss"][0], "accuracy": history["val_accuracy"][0]}]


def test_functions_as_callbacks():
    seen = []
    note = {
        name: lambda *args, name=name: seen.append((name, *args[:-1]))
        for name in ("on_train_begin", "on_epoch_begin", "on_train_batch_end", "on_epoch_end", "on_train_end")
    }
    model().fit(X, Y, batch_size=16, callbacks=[LambdaCallback(**note, on_test_begin=lambda logs: seen.append(logs))])
    assert seen == [
        ("on_train_begin",),
        ("on_epoch_begin", 0),
        ("on_train_batch_end", 0),
        ("on_train_batch_end", 1),
        ("on_epoch_end", 0),
        ("on_train_end",),
    ]
    with pytest.raises(ValueError, match="no hook 'on_epochs_end'"):
        LambdaCallback(on_epochs_end=print)
    with pytest.raises(TypeError, match="on_epoch_end must be a function, got 3"):
        LambdaCallback(on_epoch_end=3)


@pytest.mark.parametrize(
    "hook", ["on_train_begin", "on_epoch_begin", "on_train_batch_end", "on_epoch_end", "on_train_end"]
)
def test_a_callback_that_raises_stops_the_fit_cleanly(hook, backend):
    def fail(*args):
        if hook != "on_epoch_end" or args[0] == 1:
            raise OSError("no")

    a, b = model(backend=backend.NAME), model(backend=backend.NAME)
    with pytest.raises(OSError, match="no"):
        a.fit(X, Y, epochs=3, batch_size=10, callbacks=[LambdaCallback(**{hook: fail})])
    epochs = {"on_epoch_end": 2, "on_train_end": 3}.get(hook, 0)
    assert len(a.history.epoch) == len(a.history.history.get("loss", ())) == a._network.epoch == epochs
    assert a._network.step == 3 * epochs + (hook == "on_train_batch_end")
    if hook == "on_train_batch_end":
        rows = epoch_order(1, 0, 30, True)[:10]
        b.fit(X[rows], Y[rows], batch_size=10, shuffle=False)
    elif epochs:
        assert b.fit(X, Y, epochs=epochs, batch_size=10).history == a.history.history
    np.testing.assert_array_equal(a.params, b.params)
    np.testing.assert_array_equal(a._network.state, b._network.state if b._network.step else 0 * a._network.state)
    a.fit(X, Y)


# ------------------------------------------------------------------------------------------ progress


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


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="there are no such terminals here")
def test_the_bar_on_a_terminal_that_does_not_tell_its_size(monkeypatch):
    ours, theirs = os.openpty()  # 0 columns, 0 rows
    with open(theirs, "w", encoding="utf-8") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        model().fit(X, Y, epochs=2)
        terminal.flush()
        shown = os.read(ours, 1 << 16).decode()
    os.close(ours)
    for part in ("epoch 1/2", "epoch 2/2", "loss="):
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
