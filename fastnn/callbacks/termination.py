"""The end of a fit whose loss is no number any more."""

from .. import validation
from .base import Callback


class TerminateOnNaN(Callback):
    """Ends a fit whose loss or weights became NaN or infinite as if it were complete, where it would raise otherwise.

    The model keeps its last finite weights, the history its completed epochs, and `on_train_end` is called.

    Parameters
    ----------
    raise_error : bool, default False
        Whether to raise a RuntimeError instead, without `on_train_end`.
    """

    def __init__(self, raise_error=False):
        self.raise_error = validation.flag("raise_error", raise_error)

    def terminate(self, error):
        """Take the FloatingPointError that would end the fit."""
        if self.raise_error:
            raise RuntimeError(f"NaN or Inf loss encountered, terminating training immediately: {error}") from error
        print(f"Invalid loss, terminating training: {error}", flush=True)
        self.model.stop_training = True
