"""Callbacks that watch one value of the logs."""

import math
import warnings

from .. import metrics, validation
from .base import Callback
from .rates import constant_rate


class Monitor(Callback):
    """Base class: knows whether a value is better than another.

    Parameters
    ----------
    monitor : str
        The value's name in the logs.
    mode : {"auto", "min", "max"}
        Whether less or more is better; "auto" knows it for the losses and for the metrics of `fastnn.metrics`.
    min_delta : float
        What a change has to exceed to count.
    """

    def __init__(self, monitor, mode, min_delta=0.0):
        if not isinstance(monitor, str):
            raise TypeError(f"monitor must be a name (a string), got {monitor!r}")
        self.monitor = monitor
        self.mode = validation.choice("mode", mode, ("auto", "min", "max"))
        self.min_delta = abs(validation.number("min_delta", min_delta))
        self.best = None
        self._sign = None

    def on_train_begin(self, logs=None):
        mode = self.mode
        if mode == "auto":
            mode = metrics.direction(self.monitor.removeprefix("val_"), self.model._metrics)
        if mode is None:
            raise ValueError(
                f"{type(self).__name__} cannot tell whether {self.monitor!r} should rise or fall: pass mode='max' or "
                "mode='min'"
            )
        self._sign = 1.0 if mode == "min" else -1.0

    def value(self, logs, what):
        """Return the value, or None if the logs do not have it, after a warning that says what would have been done."""
        current = (logs or {}).get(self.monitor)
        if current is None:
            warnings.warn(
                f"{what} conditioned on metric `{self.monitor}` which is not available. Available metrics are: "
                f"{','.join(logs or ())}",
                stacklevel=3,
            )
        return current

    def is_improvement(self, value, reference):
        """Whether a value is better than the reference; anything but NaN is better than None."""
        if math.isnan(value) or reference is None:
            return not math.isnan(value)
        return self._sign * value + self.min_delta < self._sign * reference


class EarlyStopping(Monitor):
    """Stops training when a value has stopped improving.

    Parameters
    ----------
    monitor : str, default "val_loss"
        The value's name in the logs.
    min_delta : float, default 0
        What a change has to exceed to count as an improvement.
    patience : int, default 0
        Number of epochs without improvement after which training stops.
    verbose : {0, 1}, default 0
        1 prints when training is stopped and weights are restored.
    mode : {"auto", "min", "max"}, default "auto"
        Whether less or more is better; "auto" knows it for the losses and for the metrics of `fastnn.metrics`.
    baseline : float, optional
        Epochs that are not better than this count as without improvement.
    restore_best_weights : bool, default False
        Whether the model gets the weights of its best epoch at the end of the fit, and not those of the last one. The
        optimizer's state stays that of the last one.
    start_from_epoch : int, default 0
        Number of the first epoch to watch.

    Attributes
    ----------
    best, best_epoch, best_weights, stopped_epoch, wait
        As in Keras: the best value, its epoch and weights, the epoch of the stop (0 without), and the number of epochs
        without improvement.

    Raises
    ------
    ValueError, TypeError
        If an argument is not right.
    """

    def __init__(
        self,
        monitor="val_loss",
        min_delta=0,
        patience=0,
        verbose=0,
        mode="auto",
        baseline=None,
        restore_best_weights=False,
        start_from_epoch=0,
    ):
        super().__init__(monitor, mode, min_delta)
        self.patience = validation.integer("patience", patience, low=0)
        self.verbose = validation.integer("verbose", verbose, low=0, high=1)
        self.baseline = None if baseline is None else validation.number("baseline", baseline)
        self.restore_best_weights = validation.flag("restore_best_weights", restore_best_weights)
        self.start_from_epoch = validation.integer("start_from_epoch", start_from_epoch, low=0)
        self._reset()

    def _reset(self):
        self.best = self.best_weights = None
        self.wait = self.stopped_epoch = self.best_epoch = 0

    def on_train_begin(self, logs=None):
        super().on_train_begin()
        self._reset()

    def on_epoch_end(self, epoch, logs=None):
        current = self.value(logs, "Early stopping")
        if current is None or epoch < self.start_from_epoch:
            return
        if self.restore_best_weights and self.best_weights is None:
            # Should nothing ever improve, as with NaN, the first epoch's are the ones to come back to.
            self.best_weights, self.best_epoch = self.model.get_weights(), epoch
        self.wait += 1
        if self.is_improvement(current, self.best):
            self.best, self.best_epoch = current, epoch
            if self.restore_best_weights:
                self.best_weights = self.model.get_weights()
            if self.baseline is None or self.is_improvement(current, self.baseline):
                self.wait = 0
            return
        if self.wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def on_train_end(self, logs=None):
        if self.stopped_epoch > 0 and self.verbose:
            print(f"Epoch {self.stopped_epoch + 1}: early stopping", flush=True)
        if self.best_weights is not None:
            if self.verbose:
                print(
                    f"Restoring model weights from the end of the best epoch: {self.best_epoch + 1}.",
                    flush=True,
                )
            self.model.set_weights(self.best_weights)

    def get_state(self):
        names = ("best", "best_weights", "wait", "stopped_epoch", "best_epoch")
        return {name: getattr(self, name) for name in names}

    def set_state(self, state):
        vars(self).update(state)


class ReduceLROnPlateau(Monitor):
    """Lowers the learning rate when a value has stopped improving. The history then has "learning_rate".

    Parameters
    ----------
    monitor : str, default "val_loss"
        The value's name in the logs.
    factor : float, default 0.1
        What the rate is multiplied by; above 0 and below 1.
    patience : int, default 10
        Number of epochs without improvement after which the rate is lowered.
    verbose : {0, 1}, default 0
        1 prints when the rate is lowered.
    mode : {"auto", "min", "max"}, default "auto"
        Whether less or more is better; "auto" knows it for the losses and for the metrics of `fastnn.metrics`.
    min_delta : float, default 1e-4
        What a change has to exceed to count as an improvement.
    cooldown : int, default 0
        Number of epochs to wait after the rate was lowered before epochs without improvement count again.
    min_lr : float, default 0.0
        What the rate does not fall below.

    Raises
    ------
    ValueError, TypeError
        If an argument is not right, or at the beginning of a fit if the optimizer's rate follows a schedule.
    """

    logs_rate = True

    def __init__(
        self,
        monitor="val_loss",
        factor=0.1,
        patience=10,
        verbose=0,
        mode="auto",
        min_delta=1e-4,
        cooldown=0,
        min_lr=0.0,
    ):
        super().__init__(monitor, mode, min_delta)
        self.factor = validation.number("factor", factor, low=0.0, high=1.0, above=True, below=True)
        self.patience = validation.integer("patience", patience, low=0)
        self.verbose = validation.integer("verbose", verbose, low=0, high=1)
        self.cooldown = validation.integer("cooldown", cooldown, low=0)
        self.min_lr = validation.number("min_lr", min_lr, low=0.0)
        self._reset()

    def _reset(self):
        self.best = None
        self.wait = self.cooldown_counter = 0

    def on_train_begin(self, logs=None):
        super().on_train_begin()
        constant_rate(self)
        self._reset()

    def on_epoch_end(self, epoch, logs=None):
        current = self.value(logs, "Learning rate reduction is")
        if current is None:
            return
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.wait = 0
        if self.is_improvement(current, self.best):
            self.best, self.wait = current, 0
        elif self.cooldown_counter == 0:
            self.wait += 1
            rate = constant_rate(self)
            if self.wait >= self.patience and rate > self.min_lr:
                self.model.optimizer.learning_rate = max(rate * self.factor, self.min_lr)
                self.cooldown_counter, self.wait = self.cooldown, 0
                if self.verbose:
                    print(
                        f"Epoch {epoch + 1}: ReduceLROnPlateau reducing learning rate to "
                        f"{self.model.optimizer.learning_rate}.",
                        flush=True,
                    )

    def get_state(self):
        return {"best": self.best, "wait": self.wait, "cooldown_counter": self.cooldown_counter}

    def set_state(self, state):
        vars(self).update(state)
