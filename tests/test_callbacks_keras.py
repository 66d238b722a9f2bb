"""The callbacks that Keras defines: what they do, and what Keras's did with the same losses."""

import csv
import json
import os
import warnings
from pathlib import Path

import numpy as np
import pytest

import fastnn
from fastnn.callbacks import (
    Callback,
    CSVLogger,
    EarlyStopping,
    LambdaCallback,
    LearningRateScheduler,
    ModelCheckpoint,
    ReduceLROnPlateau,
    TerminateOnNaN,
)

KERAS = json.loads((Path(__file__).parent / "values" / "keras_callbacks.json").read_text())
RNG = np.random.default_rng(3)
X = RNG.normal(size=(30, 4)).astype("f4")
Y = RNG.integers(0, 3, 30)
T = RNG.normal(size=(30, 2)).astype("f4")


def model(**options):
    return fastnn.MLP([4, 5, 3], **{"seed": 1, "backend": "numpy", **options})


class Fake:
    """As much of a model as the callbacks look at."""

    _metrics = ()

    def __init__(self):
        self.optimizer = fastnn.optimizers.SGD(0.1)
        self.stop_training = False
        self.weights = 0.0

    def get_weights(self):
        return [np.array(self.weights)]

    def set_weights(self, weights):
        self.weights = float(weights[0])


def follow(callback):
    fake, rates = Fake(), []
    callback.set_model(fake)
    callback.on_train_begin()
    for epoch, loss in enumerate(KERAS["losses"]):
        fake.weights = float(epoch)
        callback.on_epoch_end(epoch, {"loss": loss})
        rates.append(fake.optimizer.learning_rate)
        if fake.stop_training:
            break
    callback.on_train_end()
    return fake, rates


@pytest.mark.parametrize("case", KERAS["stopping"], ids=lambda case: str(case["options"]))
def test_early_stopping_is_that_of_keras(case):
    callback = EarlyStopping("loss", **case["options"])
    fake, rates = follow(callback)
    found = {name: getattr(callback, name) for name in ("best", "best_epoch", "stopped_epoch", "wait")}
    assert {"epochs": len(rates), "weights": fake.weights, **found} == case["expected"]


@pytest.mark.parametrize("case", KERAS["plateau"], ids=lambda case: str(case["options"]))
def test_reduce_on_plateau_is_that_of_keras(case):
    _, rates = follow(ReduceLROnPlateau("loss", **case["options"]))
    np.testing.assert_allclose(rates, case["expected"], rtol=1e-6)  # Keras holds the rate in float32


def test_early_stopping_restores_the_best_weights(capsys, backend):
    """With a rate that soon does harm, the weights at the end are those after the best epoch."""
    kept = []
    a = model(backend=backend.NAME, optimizer=fastnn.optimizers.SGD(0.5))
    stop = EarlyStopping("val_accuracy", patience=3, restore_best_weights=True, verbose=1)
    keep = LambdaCallback(on_epoch_end=lambda epoch, logs: kept.append(a.get_weights()))
    history = a.fit(X, Y, epochs=60, validation_data=(X[::-1], Y), callbacks=[keep, stop])
    best = int(np.argmax(history.history["val_accuracy"]))
    assert stop.best_epoch == best and len(history.epoch) == best + 4 and stop.stopped_epoch == best + 3
    for got, expected in zip(a.get_weights(), kept[best], strict=True):
        np.testing.assert_array_equal(got, expected)
    out = capsys.readouterr().out.splitlines()
    assert out == [
        f"Epoch {best + 4}: early stopping",
        f"Restoring model weights from the end of the best epoch: {best + 1}.",
    ]


def test_the_direction_of_a_value():
    up, down = EarlyStopping("val_accuracy"), EarlyStopping("val_mae")
    m = fastnn.Sequential([fastnn.layers.Dense(2, input_shape=(4,))], seed=0, backend="numpy")
    m.compile("sgd", "mse", ["mae"])
    m.fit(X, T, validation_data=(X, T), callbacks=[down])
    assert down.is_improvement(1.0, 2.0) and not down.is_improvement(2.0, 1.0)
    model().fit(X, Y, validation_data=(X, Y), callbacks=[up])
    assert up.is_improvement(2.0, 1.0) and not up.is_improvement(1.0, 2.0)
    assert not up.is_improvement(float("nan"), None) and up.is_improvement(1.0, None)
    with pytest.raises(ValueError, match="whether 'val_speed' should rise or fall: pass mode='max'"):
        model().fit(X, Y, callbacks=[EarlyStopping("val_speed")])


@pytest.mark.parametrize(
    ("callback", "text"),
    [
        (EarlyStopping(), "Early stopping conditioned on metric `val_loss` which is not available. .*: loss,accuracy"),
        (ReduceLROnPlateau(), "Learning rate reduction is conditioned on metric `val_loss` which is not available"),
    ],
)
def test_a_value_that_is_missing(callback, text):
    with pytest.warns(UserWarning, match=text):
        model().fit(X, Y, callbacks=[callback])


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: EarlyStopping(patience=-1), "patience must be an integer of at least 0, got -1"),
        (lambda: EarlyStopping(mode="best"), "unknown mode 'best'"),
        (lambda: EarlyStopping(3), "monitor must be a name"),
        (lambda: ReduceLROnPlateau(factor=1.0), "factor must be .* below 1.0, got 1.0"),
        (lambda: LearningRateScheduler(0.1), "schedule must be a function"),
        (lambda: ModelCheckpoint("m", save_freq=0), "save_freq"),
        (lambda: ModelCheckpoint("m", save_weights_only=True), "save_weights_only=True is not supported"),
        (lambda: CSVLogger("m", separator=", "), "separator must be one character, got ', '"),
    ],
)
def test_wrong_arguments(make, text):
    with pytest.raises((ValueError, TypeError), match=text):
        make()


def test_rates_by_the_epoch(capsys):
    a, b = model(optimizer="sgd"), model(optimizer="sgd")
    rates = [0.5, 0.25, 0.0]
    scheduler = LearningRateScheduler(lambda epoch, rate: rates[epoch] if epoch < 2 else rate * 0, verbose=1)
    history = a.fit(X, Y, epochs=3, callbacks=[scheduler], validation_data=(X, Y)).history
    assert history["learning_rate"] == rates
    assert list(history) == ["loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"]
    assert capsys.readouterr().out.startswith("Epoch 1: LearningRateScheduler setting learning rate to 0.5.\n")
    for epoch, rate in enumerate(rates):
        b.optimizer.learning_rate = rate
        b.fit(X, Y, epochs=epoch + 1, initial_epoch=epoch)
    np.testing.assert_array_equal(a.params, b.params)
    with pytest.raises(TypeError, match="must be a number, got None for epoch 0"):
        a.fit(X, Y, callbacks=[LearningRateScheduler(lambda epoch, rate: None)])


def test_reduce_on_plateau_logs_the_rate_of_the_epoch(capsys):
    a = model(optimizer=fastnn.optimizers.SGD(0.5))
    reduce = ReduceLROnPlateau("loss", factor=0.5, patience=1, min_delta=10.0, verbose=1)
    history = a.fit(X, Y, epochs=4, callbacks=[reduce]).history
    assert history["learning_rate"] == [0.5, 0.5, 0.25, 0.125] and a.optimizer.learning_rate == 0.0625
    assert capsys.readouterr().out.splitlines()[0] == "Epoch 2: ReduceLROnPlateau reducing learning rate to 0.25."


def test_model_checkpoints(tmp_path, capsys):
    a, kept = model(), []
    name = str(tmp_path / "new" / "{epoch:02d}-{val_loss:.3f}.safetensors")
    keep = LambdaCallback(on_epoch_end=lambda epoch, logs: kept.append(a.get_weights()))
    history = a.fit(X, Y, epochs=2, validation_data=(X, Y), callbacks=[keep, ModelCheckpoint(name, verbose=1)]).history
    files = [f"{i + 1:02d}-{history['val_loss'][i]:.3f}.safetensors" for i in range(2)]
    assert sorted(os.listdir(tmp_path / "new")) == files
    assert capsys.readouterr().out.splitlines()[:2] == [
        f"Epoch 1: saving model to {tmp_path / 'new' / files[0]}",
        f"Epoch 1: finished saving model to {tmp_path / 'new' / files[0]}",
    ]
    loaded = fastnn.load(tmp_path / "new" / files[0], backend="numpy")
    for got, expected in zip(loaded.get_weights(), kept[0], strict=True):
        np.testing.assert_array_equal(got, expected)
    assert loaded.history.history == {key: values[:1] for key, values in history.items()}
    with pytest.raises(ValueError, match="uses 'val_acc'; there are epoch, loss, accuracy"):
        a.fit(X, Y, callbacks=[ModelCheckpoint(tmp_path / "{val_acc}")])


@pytest.mark.parametrize(("threshold", "saved"), [(None, [1, 2, 4]), (0.8, [4])])
def test_only_the_best_model_is_saved(tmp_path, threshold, saved, capsys):
    class Pretend(Fake):
        def save(self, path):
            Path(path).write_text("")

    best = ModelCheckpoint(
        tmp_path / "{epoch}", "loss", verbose=1, save_best_only=True, initial_value_threshold=threshold
    )
    best.set_model(Pretend())
    best.on_train_begin()
    for epoch, loss in enumerate([1.0, 0.9, 0.9, 0.5, 0.6]):
        best.on_epoch_end(epoch, {"loss": loss})
    assert sorted(os.listdir(tmp_path)) == [str(epoch) for epoch in saved]
    out = capsys.readouterr().out
    assert f"Epoch 4: loss improved from {0.8 if threshold else 0.9:.5f} to 0.50000, saving model to" in out
    assert "Epoch 5: loss did not improve from 0.50000" in out
    with pytest.warns(UserWarning, match="Can save best model only with loss available"):
        best.on_epoch_end(9, {})


def test_models_are_saved_after_batches(tmp_path):
    a, b = model(), model()
    a.fit(
        X,
        Y,
        batch_size=10,
        epochs=2,
        shuffle=False,
        callbacks=[ModelCheckpoint(tmp_path / "{epoch}-{batch}", save_freq=2)],
    )
    assert sorted(os.listdir(tmp_path)) == ["1-2", "2-1", "2-3"]
    b.fit(X[:20], Y[:20], batch_size=10, shuffle=False)
    np.testing.assert_array_equal(fastnn.load(tmp_path / "1-2", backend="numpy").params, b.params)


def test_a_csv_file_of_the_logs(tmp_path):
    path, m = tmp_path / "log.csv", model()
    first = m.fit(X, Y, epochs=2, validation_data=(X, Y), callbacks=[CSVLogger(path)]).history
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["epoch", "accuracy", "loss", "val_accuracy", "val_loss"]
    assert [int(row["epoch"]) for row in rows] == [0, 1]
    for key, values in first.items():
        assert [float(row[key]) for row in rows] == values
    m.fit(X, Y, callbacks=[CSVLogger(path, separator=";")])
    assert path.read_text().splitlines()[0] == "epoch;accuracy;loss" and len(path.read_text().splitlines()) == 2
    m.fit(X, Y, callbacks=[CSVLogger(path, separator=";", append=True)])
    assert len(path.read_text().splitlines()) == 3
    with pytest.raises(FileNotFoundError):
        m.fit(X, Y, callbacks=[CSVLogger(tmp_path / "nowhere" / "log.csv")])


@pytest.mark.filterwarnings("ignore:.*encountered:RuntimeWarning")
def test_terminate_on_nan(capsys, backend):
    ended = []

    def diverging():
        return fastnn.MLP(
            [4, 2], task="regression", optimizer=fastnn.optimizers.SGD(30.0), seed=0, backend=backend.NAME
        )

    a, b = diverging(), diverging()
    history = a.fit(X, T, epochs=99, callbacks=[TerminateOnNaN(), LambdaCallback(on_train_end=ended.append)])
    assert capsys.readouterr().out.startswith("Invalid loss, terminating training: ")
    with pytest.raises(FloatingPointError):
        b.fit(X, T, epochs=99)
    np.testing.assert_array_equal(a.params, b.params)
    assert np.isfinite(a.params).all() and history.history == b.history.history and len(history.epoch) < 99
    assert len(ended) == 1
    with pytest.raises(RuntimeError, match="NaN or Inf loss encountered"):
        diverging().fit(X, T, epochs=99, callbacks=[TerminateOnNaN(raise_error=True)])


def test_no_callback_warns_without_cause():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model().fit(X, Y, callbacks=[EarlyStopping("loss"), ReduceLROnPlateau("loss"), Callback()])
