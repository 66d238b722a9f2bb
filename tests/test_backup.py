"""A fit that was interrupted, however, goes on from its backup as if it had never been."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

import fastnn
from fastnn import schedules
from fastnn.callbacks import (
    BackupAndRestore,
    Callback,
    CSVLogger,
    EarlyStopping,
    LambdaCallback,
    ModelCheckpoint,
    ReduceLROnPlateau,
)
from fastnn.optimizers import SGD, Adam

RNG = np.random.default_rng(5)
X = RNG.normal(size=(60, 6)).astype("f4")
Y = RNG.integers(0, 3, 60)
EPOCHS = 8


class Interrupted(Exception):
    pass


class Stop(Callback):
    """Raises at the end of an epoch, after the other callbacks and before the backup of that epoch."""

    def __init__(self, epoch=None):
        self.stop_at = epoch

    def on_epoch_end(self, epoch, logs=None):
        if epoch == self.stop_at:
            raise Interrupted


class Count(Callback):
    """One of a user's own, with a state."""

    def __init__(self):
        self.values = np.zeros(3)

    def on_epoch_end(self, epoch, logs=None):
        self.values = self.values + np.array([1.0, epoch, logs["loss"]])

    def get_state(self):
        return {"deep": [{"values": self.values}]}

    def set_state(self, state):
        self.values = state["deep"][0]["values"]


SET_UPS = {
    "schedule": lambda: (
        Adam(schedules.CosineDecayRestarts(0.01, 7)),
        [EarlyStopping("val_loss", patience=2, min_delta=0.05, restore_best_weights=True)],
    ),
    "plateau": lambda: (
        Adam(0.01),
        [ReduceLROnPlateau("loss", patience=1, min_delta=0.05, factor=0.5, cooldown=1), Count()],
    ),
    "momentum": lambda: (SGD(0.01, 0.9), [Count()]),
    "every second batch": lambda: ("sgd", [LambdaCallback(on_train_batch_end=lambda batch, logs: None)]),
}


def start(kind, backend, folder, stop_at=None, seed=None):
    """A fit with a backup in `folder`; returns the model and its callbacks."""
    optimizer, callbacks = SET_UPS[kind]()
    if kind == "every second batch":
        callbacks.append(ModelCheckpoint(folder / "{epoch}-{batch}", save_freq=2))
    model = fastnn.MLP([6, 8, 3], dropout=0.4, optimizer=optimizer, seed=seed, backend=backend.NAME)
    callbacks += [CSVLogger(folder / "log.csv"), Stop(stop_at), BackupAndRestore(folder / "backup")]
    try:
        model.fit(X, Y, batch_size=16, epochs=EPOCHS, validation_data=(X[:9], Y[:9]), callbacks=callbacks)
    except Interrupted:
        assert (folder / "backup" / "latest.safetensors").exists() == (stop_at > 0)
    else:
        assert not (folder / "backup").exists()
    return model, callbacks


@pytest.mark.parametrize("kind", SET_UPS)
def test_a_fit_goes_on_from_any_epoch(kind, backend, tmp_path):
    (tmp_path / "whole").mkdir()
    whole, expected = start(kind, backend, tmp_path / "whole", seed=7)
    epochs = len(whole.history.epoch)
    assert (epochs < EPOCHS) == (kind == "schedule")
    for epoch in range(epochs):
        folder = tmp_path / f"from {epoch}"
        folder.mkdir()
        start(kind, backend, folder, epoch, seed=7)
        # Another seed, as when none is given: that of the backup counts. Without a backup it would be the model's.
        model, callbacks = start(kind, backend, folder, seed=None if epoch else 7)
        np.testing.assert_array_equal(model.params, whole.params)
        np.testing.assert_array_equal(model._network.state, whole._network.state)
        assert model.history.epoch == whole.history.epoch and model.history.history == whole.history.history
        assert model.optimizer.learning_rate == whole.optimizer.learning_rate
        for ours, theirs in zip(callbacks, expected, strict=True):
            if not isinstance(ours, CSVLogger):  # whose state is the size of a file
                np.testing.assert_equal(ours.get_state(), theirs.get_state())
        assert sorted(p.name for p in folder.iterdir()) == sorted(p.name for p in (tmp_path / "whole").iterdir())
        assert (folder / "log.csv").read_text() == (tmp_path / "whole" / "log.csv").read_text()
        whole.save(tmp_path / "whole.safetensors")
        other = fastnn.load(tmp_path / "whole.safetensors", backend=backend.NAME)
        for m in (model, other):
            m.fit(X, Y)
        np.testing.assert_array_equal(model.params, other.params)


def test_a_fit_that_was_complete_stays_complete(tmp_path):
    """As when killed between early stopping and the end: nothing more is trained, and the best weights come back."""
    results = []
    for attempt in range(2):
        model = fastnn.MLP([6, 8, 3], optimizer=SGD(0.5), seed=1, backend="numpy")
        stopping = EarlyStopping("loss", patience=0, mode="max", restore_best_weights=True)
        end = LambdaCallback(on_train_end=interrupt if attempt == 0 else None)
        try:
            model.fit(X, Y, epochs=9, callbacks=[end, stopping, BackupAndRestore(tmp_path / "b")])
        except Interrupted:
            assert model.stop_training
        results.append((model.history.history, model._network.step, stopping.best_weights[0]))
    assert results[0][:2] == results[1][:2]
    np.testing.assert_array_equal(results[0][2], results[1][2])
    np.testing.assert_array_equal(model.get_weights()[0], stopping.best_weights[0])


def interrupt(logs):
    raise Interrupted


def test_a_backup_that_is_kept(tmp_path):
    def fit(epochs):
        model = fastnn.MLP([6, 3], seed=1, backend="numpy")
        model.fit(X, Y, epochs=epochs, callbacks=[BackupAndRestore(tmp_path / "b", delete_checkpoint=False)])
        return model

    a, b = fit(2), fit(2)
    assert os.listdir(tmp_path / "b") == ["latest.safetensors"]
    np.testing.assert_array_equal(a.params, b.params)
    assert b.history.epoch == [0, 1] and fit(5).history.epoch == [0, 1, 2, 3, 4]
    # It is a model file, too.
    loaded = fastnn.load(tmp_path / "b" / "latest.safetensors", backend="numpy")
    np.testing.assert_array_equal(loaded.params, fit(5).params)
    assert loaded.history.epoch == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("options", "arguments", "text"),
    [
        ({"sizes": [6, 4, 3]}, {}, r"another model: its layers\[0\] config units is 8, not 4"),
        ({"dtype": "float64"}, {}, "another model: its dtype is 'float32', not 'float64'"),
        ({"sizes": [6, 8, 8, 3]}, {}, "another model: its number of layers is 2, not 3"),
        ({"optimizer": "sgd"}, {}, "another model: its optimizer name is 'adam', not 'sgd'"),
        ({"loss": "mse"}, {}, "its loss name is 'sparse_categorical_crossentropy', not 'mean_squared_error'"),
        ({}, {"batch_size": 7}, "with batch_size=32, not 7"),
        ({}, {"shuffle": False}, "with shuffle=True, not False"),
        ({}, {"validation_split": 0.5}, "with samples=60, not 30"),
        ({}, {"callbacks": [Count()]}, r"with the callbacks \['History'\], not \['History', 'Count'\]"),
    ],
)
def test_the_backup_of_another_fit_is_refused(tmp_path, options, arguments, text):
    backup = BackupAndRestore(tmp_path / "b", delete_checkpoint=False)
    fastnn.MLP([6, 8, 3], seed=1, backend="numpy").fit(X, Y, callbacks=[backup])
    before = (tmp_path / "b" / "latest.safetensors").read_bytes()
    model = fastnn.MLP(**{"sizes": [6, 8, 3], "seed": 2, "backend": "numpy", **options})
    params = model.params.copy()
    with pytest.raises(ValueError, match=text) as failure:
        model.fit(X, Y, **{"epochs": 3, **arguments, "callbacks": [*arguments.get("callbacks", []), backup]})
    assert "latest.safetensors" in str(failure.value)
    np.testing.assert_array_equal(model.params, params)
    assert (tmp_path / "b" / "latest.safetensors").read_bytes() == before


def test_what_is_no_backup_is_refused(tmp_path):
    model = fastnn.MLP([6, 8, 3], seed=1, backend="numpy")
    (tmp_path / "b").mkdir()
    backup = BackupAndRestore(tmp_path / "b")
    model.save(backup.path)
    with pytest.raises(ValueError, match="is not the backup of a fit"):
        model.fit(X, Y, callbacks=[backup])
    backup.path.write_bytes(b"nonsense")
    with pytest.raises(ValueError, match="is not a model file"):
        model.fit(X, Y, callbacks=[backup])
    with pytest.raises(ValueError, match="one BackupAndRestore"):
        model.fit(X, Y, callbacks=[backup, backup])
    with pytest.raises(ValueError, match="backup_dir"):
        BackupAndRestore("")
    with pytest.raises(ValueError, match="save_freq must be 'epoch', got 100"):
        BackupAndRestore("b", save_freq=100)


def test_a_state_that_cannot_be_saved(tmp_path):
    class Odd(Callback):
        def get_state(self):
            return {"values": np.arange(3)}

    with pytest.raises(TypeError, match=r"must be float32 or float64, got int64 in fit.callbacks.1.state.values"):
        fastnn.MLP([6, 3], seed=1, backend="numpy").fit(X, Y, callbacks=[Odd(), BackupAndRestore(tmp_path / "b")])


SCRIPT = """
import sys, numpy as np, fastnn
rng = np.random.default_rng(0)
x, y = rng.normal(size=(4000, 6)).astype("f4"), rng.integers(0, 3, 4000)
model = fastnn.MLP([6, 8, 3], dropout=0.3, seed=0, backend="numpy")
print("ready", flush=True)
model.fit(x, y, epochs=25, batch_size=8, callbacks=[fastnn.callbacks.BackupAndRestore(sys.argv[1])])
model.save(sys.argv[2])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX")
def test_kills_of_a_fit(tmp_path):
    """The script is killed again and again, and run again until it comes to its end."""
    command = [sys.executable, "-c", SCRIPT]
    subprocess.run([*command, tmp_path / "a", tmp_path / "whole"], check=True, capture_output=True, timeout=120)
    delays = iter(np.random.default_rng(1).uniform(0.1, 0.6, 200))
    kills = 0
    while True:
        with subprocess.Popen([*command, tmp_path / "b", tmp_path / "cut"], stdout=subprocess.PIPE, text=True) as run:
            run.stdout.readline()
            try:
                run.wait(next(delays) if kills < 4 else 120)
            except subprocess.TimeoutExpired:
                run.send_signal(signal.SIGKILL)
                kills += 1
        if run.returncode != -signal.SIGKILL:
            break
    assert run.returncode == 0 and kills > 0
    whole, cut = (fastnn.load(tmp_path / name, backend="numpy") for name in ("whole", "cut"))
    np.testing.assert_array_equal(cut.params, whole.params)
    np.testing.assert_array_equal(cut._network.state, whole._network.state)
    assert json.dumps(cut.history.get_state()) == json.dumps(whole.history.get_state())
    assert sorted(os.listdir(tmp_path)) == ["cut", "whole"]
