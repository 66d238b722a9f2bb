"""Callbacks that write files: models, backups, and the logs as CSV."""

import contextlib
import csv
import os
import warnings
from pathlib import Path

from .. import files, validation
from .base import Callback
from .monitors import Monitor


class ModelCheckpoint(Monitor):
    """Saves the model after epochs or batches; `fastnn.load` reads the file, and the optimizer's state with it.

    Parameters
    ----------
    filepath : path-like
        The file, with a name that may use ``{epoch}``, counted from 1, and the names of the logs, as in
        ``"{epoch:02d}-{val_loss:.2f}.safetensors"``. Missing folders are made.
    monitor : str, default "val_loss"
        The value's name in the logs, for `save_best_only`.
    verbose : {0, 1}, default 0
        1 prints what is saved.
    save_best_only : bool, default False
        Whether to save only where the value is better than ever before.
    save_weights_only : False, default False
        A model file always has everything; True is refused.
    mode : {"auto", "min", "max"}, default "auto"
        Whether less or more is better; "auto" knows it for the losses and for the metrics of `fastnn.metrics`.
    save_freq : "epoch" or int, default "epoch"
        A number saves after so many batches; the logs are then the means over the epoch's batches so far.
    initial_value_threshold : float, optional
        What the first value must be better than, for `save_best_only`.

    Raises
    ------
    ValueError, TypeError
        If an argument is not right.
    OSError
        In a fit, if a file cannot be written; an older one of that name is as it was.
    """

    def __init__(
        self,
        filepath,
        monitor="val_loss",
        verbose=0,
        save_best_only=False,
        save_weights_only=False,
        mode="auto",
        save_freq="epoch",
        initial_value_threshold=None,
    ):
        super().__init__(monitor, mode)
        self.filepath = os.fspath(filepath)
        self.verbose = validation.integer("verbose", verbose, low=0, high=1)
        self.save_best_only = validation.flag("save_best_only", save_best_only)
        if validation.flag("save_weights_only", save_weights_only):
            raise ValueError("save_weights_only=True is not supported: a model file has everything that a fit needs")
        if initial_value_threshold is not None:
            self.best = validation.number("initial_value_threshold", initial_value_threshold)
        self.save_freq = save_freq
        self._since_last = 0
        self._epoch = 0
        if save_freq != "epoch":
            self.save_freq = validation.integer("save_freq", save_freq, low=1)
            self.on_train_batch_end = self._batch_end

    def on_train_begin(self, logs=None):
        if self.save_best_only:  # only then does the direction matter
            super().on_train_begin()

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch

    def on_epoch_end(self, epoch, logs=None):
        if self.save_freq == "epoch":
            self._save(epoch, {"epoch": epoch + 1}, logs or {})

    def _batch_end(self, batch, logs=None):
        self._since_last += 1
        if self._since_last >= self.save_freq:
            self._since_last = 0
            self._save(self._epoch, {"epoch": self._epoch + 1, "batch": batch + 1}, logs or {})

    def _save(self, epoch, counters, logs):
        try:
            path = self.filepath.format(**counters, **logs)
        except (KeyError, IndexError) as error:
            known = ", ".join([*counters, *logs])
            raise ValueError(f"the file name {self.filepath!r} uses {error}; there are {known}") from None
        if not self._is_due(epoch, logs, path):
            return
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        self._write(path)
        if self.verbose:
            print(f"Epoch {epoch + 1}: finished saving model to {path}", flush=True)

    def _write(self, path):
        self.model.save(path)

    def _is_due(self, epoch, logs, path):
        if not self.save_best_only:
            if self.verbose:
                print(f"Epoch {epoch + 1}: saving model to {path}", flush=True)
            return True
        current = logs.get(self.monitor)
        if current is None:
            warnings.warn(f"Can save best model only with {self.monitor} available.", stacklevel=2)
            return True
        best = "None" if self.best is None else f"{self.best:.5f}"
        if not self.is_improvement(current, self.best):
            if self.verbose:
                print(f"Epoch {epoch + 1}: {self.monitor} did not improve from {best}", flush=True)
            return False
        if self.verbose:
            print(
                f"Epoch {epoch + 1}: {self.monitor} improved from {best} to {current:.5f}, saving model to {path}",
                flush=True,
            )
        self.best = current
        return True

    def get_state(self):
        return {"best": self.best, "since_last": self._since_last}

    def set_state(self, state):
        self.best, self._since_last = state["best"], state["since_last"]


class CSVLogger(Callback):
    """Writes the logs of every epoch to a CSV file: a line of names, then a line an epoch.

    Parameters
    ----------
    filename : path-like
    separator : str, default ","
        One character.
    append : bool, default False
        Whether to add to a file that exists; otherwise it is replaced.

    Raises
    ------
    ValueError, TypeError
        If an argument is not right.
    OSError
        In a fit, if the file cannot be written.
    """

    def __init__(self, filename, separator=",", append=False):
        self.filename = os.fspath(filename)
        if not isinstance(separator, str) or len(separator) != 1:
            raise ValueError(f"separator must be one character, got {separator!r}")
        self.separator = separator
        self.append = validation.flag("append", append)
        self.keys = None
        self._size = None  # of the file when the last row was written

    def on_train_begin(self, logs=None):
        self.keys = self._size = None

    def on_epoch_end(self, epoch, logs=None):
        logs = logs or {}
        begin = self.keys is None
        if begin:
            self.keys = sorted(logs)
        # Opened for every row, so that a fit that ends in any way leaves nothing open.
        mode = "w" if begin and not self.append else "a"
        with open(self.filename, mode, newline="", encoding="utf-8") as file:
            writer = csv.writer(file, delimiter=self.separator, lineterminator="\n")
            if begin and file.tell() == 0:
                writer.writerow(["epoch", *self.keys])
            writer.writerow([epoch, *(repr(logs[key]) if key in logs else "NA" for key in self.keys)])
            file.flush()
            self._size = file.tell()

    def get_state(self):
        return {"keys": self.keys, "size": self._size}

    def set_state(self, state):
        """Go on after the last row of then: what was written since is written again."""
        self.keys, self._size = state["keys"], state["size"]
        if self._size is not None and os.path.exists(self.filename):
            os.truncate(self.filename, min(self._size, os.path.getsize(self.filename)))


class BackupAndRestore(Callback):
    """Keeps a backup of the fit after every epoch; a fit that finds one goes on from it, bit for bit.

    The backup has the model (weights, optimizer state, counters of the random streams), the history, the learning
    rate and the state of all callbacks. After an interruption of any kind, run the same script again: the fit takes
    the backup in, whatever weights the model has, and skips the epochs that it has. When the fit is complete the
    backup is deleted.

    Parameters
    ----------
    backup_dir : path-like
        A folder for the backup alone; it is made if missing.
    save_freq : "epoch", default "epoch"
        A backup is made after every epoch; after batches there is none.
    delete_checkpoint : bool, default True
        Whether a complete fit deletes the backup, and the folder if it is empty then.

    Raises
    ------
    ValueError
        If an argument is not right; at the beginning of a fit, if the backup is damaged or was made by another model,
        with other data or with other callbacks.
    OSError
        If the backup cannot be read or written.
    """

    def __init__(self, backup_dir, save_freq="epoch", delete_checkpoint=True):
        if not backup_dir:
            raise ValueError("backup_dir must name a folder, got an empty name")
        self.backup_dir = os.fspath(backup_dir)
        if save_freq != "epoch":
            raise ValueError(f"save_freq must be 'epoch', got {save_freq!r}; backups after batches are not supported")
        self.delete_checkpoint = validation.flag("delete_checkpoint", delete_checkpoint)

    @property
    def path(self):
        """The file."""
        return Path(self.backup_dir) / "latest.safetensors"

    def read(self, model):
        """Return the backup for the model, or None where there is none."""
        from .. import checkpoint

        return checkpoint.read_backup(self.path, model) if self.path.exists() else None

    def write(self, model, fit):
        """Write a backup of the model and of the fit, a dict like those of `get_state`."""
        from .. import checkpoint

        self.path.parent.mkdir(parents=True, exist_ok=True)
        checkpoint.save(model, self.path, fit)

    def on_train_end(self, logs=None):
        if self.delete_checkpoint:
            files.remove(self.path)
            with contextlib.suppress(OSError):
                os.rmdir(self.backup_dir)
