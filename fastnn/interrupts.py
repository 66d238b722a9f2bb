"""Ctrl-C in a fit: held back while the weights are on their way from one state to the next."""

import contextlib
import signal
import threading

_handler = None  # of the main thread, while something listens


class _Handler:
    """Passes Ctrl-C on to who had it before, at once or, while `holding`, later; a second one at once."""

    def __init__(self, previous):
        self.previous = previous
        self.holding = False
        self.pending = []

    def __call__(self, number, frame):
        if not self.holding or self.pending:
            self.previous(number, frame)
        if self.holding:
            self.pending.append((number, frame))

    def release(self):
        """Stop holding, and pass on what has been held back."""
        self.holding = False
        pending, self.pending = self.pending, []
        if len(pending) == 1:
            self.previous(*pending[0])


@contextlib.contextmanager
def listening():
    """Take Ctrl-C for the time of the block: to change its handler takes longer than a batch of a small network, so
    that a fit does it once for all its `deferred_interrupt`.

    Signals reach the main thread only, so elsewhere there is nothing to do.
    """
    global _handler
    if _handler is not None or threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.getsignal(signal.SIGINT)
    if not callable(previous):
        yield
        return
    handler = _Handler(previous)
    try:
        _handler = handler
        signal.signal(signal.SIGINT, handler)
        yield
    finally:
        handler.holding = True  # or an exception could leave the handler there
        _handler = None
        if signal.getsignal(signal.SIGINT) is handler:  # nobody has set another meanwhile
            signal.signal(signal.SIGINT, previous)
        handler.release()


@contextlib.contextmanager
def deferred_interrupt():
    """Hold Ctrl-C back until the block ends, so that it never falls between a kernel and its bookkeeping.

    A second Ctrl-C goes through at once.
    """
    with listening():
        handler = _handler
        if handler is None or handler.holding or threading.current_thread() is not threading.main_thread():
            yield
            return
        handler.holding = True
        try:
            yield
        finally:
            handler.release()
