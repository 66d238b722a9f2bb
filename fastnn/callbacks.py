"""Callbacks: what runs between the epochs of a fit, with the hooks of Keras."""

import sys
import time

__all__ = ["Callback", "History"]

_HOOKS = ("on_train_begin", "on_train_end", "on_epoch_begin", "on_epoch_end")
# Keras's other hooks: no Python runs between batches here, so a callback that waits for them would wait in vain.
_UNSUPPORTED = tuple(
    f"on_{what}_{when}"
    for what in ("batch", "train_batch", "test_batch", "predict_batch", "test", "predict")
    for when in ("begin", "end")
)


class Callback:
    """Base class of the callbacks.

    A subclass overrides any of the hooks. It may read the model (weights, `predict`, `evaluate`, `save`), set its
    weights or ``model.optimizer.learning_rate``, and set ``model.stop_training = True`` to end the fit after the
    epoch. What it raises ends the fit and reaches the caller; the model keeps its weights of that moment.

    Attributes
    ----------
    model : Sequential
        The model that is trained.
    params : dict
        "epochs", "steps" (batches an epoch), "verbose" and "samples".
    """

    model = None
    params = None

    def set_model(self, model):
        """Take the model; called before training."""
        self.model = model

    def set_params(self, params):
        """Take the parameters of the fit; called before training."""
        self.params = params

    def on_train_begin(self, logs=None):
        """Called once, before the first epoch."""

    def on_train_end(self, logs=None):
        """Called once, after the last epoch, with its logs; not called if the fit was stopped by an exception."""

    def on_epoch_begin(self, epoch, logs=None):
        """Called before an epoch, which is counted from 0."""

    def on_epoch_end(self, epoch, logs=None):
        """Called after an epoch with a dict of "loss", the metrics, and the same with "val_" of the validation data."""


class History(Callback):
    """Records the logs of every completed epoch. `Sequential.fit` returns one.

    Attributes
    ----------
    history : dict of str to list of float
        "loss", the metrics, and the same with "val_" where there are validation data.
    epoch : list of int
        Numbers of the epochs.
    """

    def __init__(self):
        self.history = {}
        self.epoch = []

    def on_train_begin(self, logs=None):
        self.history = {}
        self.epoch = []

    def set_model(self, model):
        """Keep no reference: the model has its history, and a circle would keep its memory until it is searched for."""

    def on_epoch_end(self, epoch, logs=None):
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)


def _number(value):
    return f"{value:.4f}" if 1e-3 <= abs(value) < 1e4 or value == 0.0 else f"{value:.4e}"


class _Progress(Callback):
    """Shows nothing."""

    def slice_end(self, rows, logs):
        pass

    def close(self):
        pass


class _Lines(_Progress):
    """A line an epoch on standard output."""

    def on_epoch_begin(self, epoch, logs=None):
        self._start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        seconds = time.perf_counter() - self._start
        parts = [f"epoch {epoch + 1}/{self.params['epochs']}", f"{seconds:.1f}s"]
        parts.append(f"{self.params['samples'] / max(seconds, 1e-9):.0f} samples/s")
        parts += [f"{name}: {_number(value)}" for name, value in logs.items()]
        print(" - ".join(parts), flush=True)


class _Bar(_Progress):
    """A bar an epoch on standard error."""

    _bar = None

    def on_epoch_begin(self, epoch, logs=None):
        from tqdm import tqdm

        class Bar(tqdm):
            monitor_interval = 0  # no thread that outlives the fit

        self._bar = Bar(
            total=self.params["samples"],
            desc=f"epoch {epoch + 1}/{self.params['epochs']}",
            unit=" samples",
            unit_scale=True,
            # Loss and accuracy have to fit into 80 columns.
            bar_format="{desc} {percentage:3.0f}%|{bar:10}| {rate_fmt}{postfix}",
            dynamic_ncols=True,
            file=sys.stderr,
        )

    def slice_end(self, rows, logs):
        self._bar.set_postfix_str(self._postfix(logs), refresh=False)
        self._bar.update(rows - self._bar.n)

    def on_epoch_end(self, epoch, logs=None):
        self._bar.set_postfix_str(self._postfix(logs), refresh=True)
        self.close()

    def close(self):
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    @staticmethod
    def _postfix(logs):
        return ", ".join(f"{name}={_number(value)}" for name, value in logs.items())


def _progress(verbose):
    if verbose == "auto":
        verbose = 1 if sys.stderr is not None and sys.stderr.isatty() else 0
    return {0: _Progress, 1: _Bar, 2: _Lines}[verbose]()


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
                    f"the callback {type(callback).__name__} has {hook}, which is never called: batches run without "
                    f"Python in between. Supported are {', '.join(_HOOKS)}"
                )
    return list(callbacks)


class CallbackList:
    """All callbacks of a fit: the history and the progress first, then the user's."""

    def __init__(self, callbacks, verbose, model, params):
        self.history = next((c for c in callbacks if isinstance(c, History)), None) or History()
        self._progress = _progress(verbose)
        others = [c for c in callbacks if c is not self.history]
        self._all = [self.history, self._progress, *others]
        for callback in self._all:
            callback.set_params({**params, "verbose": verbose})
            callback.set_model(model)

    def on_train_begin(self):
        for callback in self._all:
            callback.on_train_begin({})

    def on_train_end(self, logs):
        for callback in self._all:
            callback.on_train_end(dict(logs))

    def on_epoch_begin(self, epoch):
        for callback in self._all:
            callback.on_epoch_begin(epoch, {})

    def on_epoch_end(self, epoch, logs):
        for callback in self._all:
            callback.on_epoch_end(epoch, dict(logs))

    def progress(self, rows, logs):
        """Tell the progress that `rows` of the epoch are done."""
        self._progress.slice_end(rows, logs)

    def close(self):
        """Clear up, however the fit ended."""
        self._progress.close()
