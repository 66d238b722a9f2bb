"""The base class of the callbacks, and those that only pass on or record."""

import numbers


class Callback:
    """Base class of the callbacks.

    A subclass overrides any of the hooks. It may read the model (weights, `predict`, `evaluate`, `save`), set its
    weights or ``model.optimizer.learning_rate``, and set ``model.stop_training = True`` to end the fit after the
    epoch. What it raises ends the fit and reaches the caller; the model keeps its weights of that moment, and the
    history the epochs that were completed.

    A callback that overrides a hook of the batches makes the fit return to Python after every batch, which is slower
    by some microseconds a batch and changes no result.

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
        """Called after an epoch with a dict of "loss", the metrics, and the same with "val_" of the validation data.

        Numbers that are put into it reach the callbacks after this one, and the history.
        """

    def on_train_batch_begin(self, batch, logs=None):
        """Called before a batch, which is counted from 0 in every epoch."""
        self.on_batch_begin(batch, logs)

    def on_train_batch_end(self, batch, logs=None):
        """Called after a batch with the means of "loss" and of accuracies over the epoch's batches so far.

        Metrics that are computed from the epoch's outputs as a whole, such as AUC, are in the logs of `on_epoch_end`.

        Setting ``model.stop_training`` here ends the epoch after this batch.
        """
        self.on_batch_end(batch, logs)

    def on_batch_begin(self, batch, logs=None):
        """Another name of `on_train_batch_begin`."""

    def on_batch_end(self, batch, logs=None):
        """Another name of `on_train_batch_end`."""

    def on_test_begin(self, logs=None):
        """Called before the validation at the end of an epoch."""

    def on_test_end(self, logs=None):
        """Called after the validation at the end of an epoch with its "loss" and metrics, without "val_"."""

    def get_state(self):
        """Return what the callback has to know to go on after an interruption, for `BackupAndRestore`.

        Returns
        -------
        dict
            Of values that JSON can hold and of float32 or float64 arrays, at any depth. Empty unless overridden.
        """
        return {}

    def set_state(self, state):
        """Take back what `get_state` returned; called after `on_train_begin`."""


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

    def amend(self, given, logs):
        """Record the numbers that callbacks have put into the logs of the last epoch since it was given them."""
        for name, value in logs.items():
            if name in given and given[name] is value:
                continue
            number = value.item() if getattr(value, "size", 0) == 1 else value
            if not isinstance(number, numbers.Real):
                raise TypeError(f"logs[{name!r}] must be a number for the history, got {value!r}")
            values = self.history.setdefault(name, [])
            values[len(values) - (name in given) :] = [float(number)]

    def get_state(self):
        return {"epoch": list(self.epoch), "history": {name: list(values) for name, values in self.history.items()}}

    def set_state(self, state):
        self.epoch, self.history = state["epoch"], state["history"]


class LambdaCallback(Callback):
    """A callback made of functions.

    Parameters
    ----------
    on_epoch_begin, on_epoch_end : callable, optional
        Called with the epoch and the logs.
    on_train_begin, on_train_end : callable, optional
        Called with the logs.
    on_train_batch_begin, on_train_batch_end : callable, optional
        Called with the batch and the logs.
    **kwargs : callable
        Any other hook of `Callback`.

    Raises
    ------
    ValueError, TypeError
        If there is no such hook, or it cannot be called.
    """

    def __init__(
        self,
        on_epoch_begin=None,
        on_epoch_end=None,
        on_train_begin=None,
        on_train_end=None,
        on_train_batch_begin=None,
        on_train_batch_end=None,
        **kwargs,
    ):
        hooks = {
            "on_epoch_begin": on_epoch_begin,
            "on_epoch_end": on_epoch_end,
            "on_train_begin": on_train_begin,
            "on_train_end": on_train_end,
            "on_train_batch_begin": on_train_batch_begin,
            "on_train_batch_end": on_train_batch_end,
            **kwargs,
        }
        for name, function in hooks.items():
            if not name.startswith("on_") or not hasattr(Callback, name):
                known = ", ".join(hook for hook in vars(Callback) if hook.startswith("on_"))
                raise ValueError(f"there is no hook {name!r}; there are {known}")
            if function is None:
                continue
            if not callable(function):
                raise TypeError(f"{name} must be a function, got {function!r}")
            setattr(self, name, function)
