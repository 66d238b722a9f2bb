"""The learning rate by the epoch."""

import inspect
import numbers

from .. import validation
from .base import Callback


class LearningRateScheduler(Callback):
    """Sets the learning rate at the beginning of every epoch. The history then has "learning_rate".

    Parameters
    ----------
    schedule : callable
        Called with the epoch, counted from 0, and the current learning rate, or with the epoch alone if it takes no
        more; returns the new one.
    verbose : {0, 1}, default 0
        1 prints every rate.

    Raises
    ------
    TypeError
        If `schedule` is not a function, or returns anything but a number.
    ValueError
        If `schedule` returns a number that is no rate, or if the optimizer's rate follows a schedule of its own.
    """

    logs_rate = True

    def __init__(self, schedule, verbose=0):
        if not callable(schedule):
            raise TypeError(f"schedule must be a function of the epoch and the learning rate, got {schedule!r}")
        self.schedule = schedule
        try:
            inspect.signature(schedule).bind(0, 0.0)
            self._takes_rate = True
        except TypeError:
            self._takes_rate = False
        except ValueError:  # a function of C that does not tell
            self._takes_rate = True
        self.verbose = validation.integer("verbose", verbose, low=0, high=1)

    def on_train_begin(self, logs=None):
        constant_rate(self)

    def on_epoch_begin(self, epoch, logs=None):
        rate = constant_rate(self)
        rate = self.schedule(epoch, rate) if self._takes_rate else self.schedule(epoch)
        if isinstance(rate, bool) or not isinstance(rate, numbers.Real):
            raise TypeError(f"the output of the schedule must be a number, got {rate!r} for epoch {epoch}")
        self.model.optimizer.learning_rate = rate
        if self.verbose:
            print(f"Epoch {epoch + 1}: LearningRateScheduler setting learning rate to {rate}.", flush=True)


def constant_rate(callback):
    """Return the learning rate of the callback's model, a float, or raise because it follows a schedule."""
    rate = callback.model.optimizer.learning_rate
    if not isinstance(rate, float):
        what = "has none" if rate is None else f"follows the schedule {rate!r}: use one or the other"
        raise ValueError(f"{type(callback).__name__} sets the learning rate, but the optimizer {what}")
    return rate
