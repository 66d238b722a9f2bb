"""All callbacks of a fit, as the training loop calls them."""

from . import progress
from .base import Callback, History
from .saving import BackupAndRestore
from .termination import TerminateOnNaN

# The hooks of the batches: a callback that overrides one makes the fit go batch by batch.
_BATCH_HOOKS = ("on_batch_begin", "on_batch_end", "on_train_batch_begin", "on_train_batch_end")
# Keras has these in `fit` too, but validation here runs without Python in between.
_UNSUPPORTED = ("on_test_batch_begin", "on_test_batch_end")


def check(callbacks):
    """Return the callbacks of a fit as a list, or raise."""
    if callbacks is None:
        return []
    callbacks = [callbacks] if isinstance(callbacks, Callback) else callbacks
    if not isinstance(callbacks, (list, tuple)):
        raise TypeError(f"callbacks must be a list of fastnn.callbacks.Callback, got {callbacks!r}")
    for callback in callbacks:
        if not isinstance(callback, Callback):
            raise TypeError(f"a callback must be an instance of fastnn.callbacks.Callback, got {callback!r}")
        for hook in _UNSUPPORTED:
            if hasattr(callback, hook):
                raise ValueError(
                    f"the callback {type(callback).__name__} has {hook}, which is never called: batches of the "
                    "validation run without Python in between; there are on_test_begin and on_test_end"
                )
    if sum(isinstance(callback, BackupAndRestore) for callback in callbacks) > 1:
        raise ValueError("a fit can have one BackupAndRestore, got several")
    return list(callbacks)


def waits_for_batches(callback):
    """Whether a callback overrides a hook of the batches."""
    return any(
        hook in vars(callback) or getattr(type(callback), hook) is not getattr(Callback, hook) for hook in _BATCH_HOOKS
    )


class CallbackList:
    """All callbacks of a fit: the history and the progress first, then the user's, a backup last.

    Parameters
    ----------
    callbacks : list of Callback
        From `check`.
    verbose : {"auto", 0, 1, 2}
    model : Sequential
    params : dict
        For the callbacks.
    identity : dict
        What has to be the same, besides the model, in a fit that goes on from a backup of this one.
    """

    def __init__(self, callbacks, verbose, model, params, identity):
        self.history = next((c for c in callbacks if isinstance(c, History)), None) or History()
        given = next((c for c in callbacks if isinstance(c, progress.Progress)), None)
        self._progress = given or progress.make(verbose)
        self._backup = next((c for c in callbacks if isinstance(c, BackupAndRestore)), None)
        others = [c for c in callbacks if c not in (self.history, self._backup, self._progress)]
        self._users = [self.history, *others]
        self._all = [self.history, self._progress, *others, *([self._backup] if self._backup else [])]
        self._model = model
        self._identity = identity
        self._resumed = None
        self.by_batch = any(map(waits_for_batches, self._all))
        self.logs_rate = any(getattr(c, "logs_rate", False) for c in self._all)
        for callback in self._all:
            callback.set_params({**params, "verbose": verbose})
            callback.set_model(model)

    # ------------------------------------------------------------------------------------------ backup

    def resume(self, initial_epoch):
        """Bring the model to where a backup left it, if there is one; return the number of the first epoch."""
        backup = self._backup.read(self._model) if self._backup else None
        if backup is None:
            return initial_epoch
        self._resumed = backup.fit
        names = [type(c).__name__ for c in self._users]
        found = [entry["class"] for entry in backup.fit["callbacks"]]
        if found != names:
            raise ValueError(f"{self._backup.path} is the backup of a fit with the callbacks {found}, not {names}")
        for name, value in self._identity.items():
            if backup.fit["identity"].get(name) != value:
                raise ValueError(
                    f"{self._backup.path} is the backup of a fit with {name}={backup.fit['identity'].get(name)!r}, "
                    f"not {value!r}"
                )
        backup.apply(self._model)
        return backup.fit["next_epoch"]

    def _write_backup(self, epoch):
        if self._backup is None:
            return
        fit = {
            "next_epoch": epoch + 1,
            "stop": bool(self._model.stop_training),
            "identity": self._identity,
            "callbacks": [{"class": type(c).__name__, "state": c.get_state()} for c in self._users],
        }
        self._backup.write(self._model, fit)

    # ------------------------------------------------------------------------------------------ hooks

    def on_train_begin(self):
        for callback in self._all:
            callback.on_train_begin({})
        if self._resumed is not None:
            for callback, entry in zip(self._users, self._resumed["callbacks"], strict=True):
                callback.set_state(entry["state"])
            self._model.stop_training = self._resumed["stop"]

    def on_train_end(self, logs):
        for callback in self._all:
            callback.on_train_end(dict(logs))

    def on_epoch_begin(self, epoch):
        for callback in self._all:
            callback.on_epoch_begin(epoch, {})

    def on_epoch_end(self, epoch, logs):
        if self.logs_rate:
            logs = {**logs, "learning_rate": self._model.optimizer.learning_rate}
        given, logs = logs, dict(logs)
        for callback in self._all:
            own = dict(logs)
            callback.on_epoch_end(epoch, own)
            logs |= own
        self.history.amend(given, logs)
        self._write_backup(epoch)

    def on_train_batch_begin(self, batch):
        for callback in self._all:
            callback.on_train_batch_begin(batch, {})

    def on_train_batch_end(self, batch, logs):
        for callback in self._all:
            callback.on_train_batch_end(batch, dict(logs))

    def on_test_begin(self):
        for callback in self._all:
            callback.on_test_begin({})

    def on_test_end(self, logs):
        for callback in self._all:
            callback.on_test_end(dict(logs))

    def progress(self, rows, logs):
        """Tell the progress that `rows` of the epoch are done."""
        self._progress.slice_end(rows, logs)

    def terminate(self, error):
        """Whether the fit is to end in peace, although it came to `error`."""
        found = [c for c in self._all if isinstance(c, TerminateOnNaN)]
        for callback in found:
            callback.terminate(error)
        return bool(found)

    def close(self):
        """Clear up, however the fit ended."""
        self._progress.close()
