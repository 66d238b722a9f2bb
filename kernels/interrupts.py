"""Ctrl-C, held back while something has to happen as a whole."""

import contextlib
import signal
import threading

_SIGINT = int(signal.SIGINT)
# What these two wrap: they spend microseconds on making enumerations of numbers.
_get, _set = (getattr(function, "__wrapped__", function) for function in (signal.getsignal, signal.signal))


@contextlib.contextmanager
def deferred_interrupt(patient=False):
    """Hold Ctrl-C back until the block ends, so that it never falls between a kernel and its bookkeeping.

    A second Ctrl-C goes through at once, unless `patient`: for blocks whose first half must not be without the second,
    and that soon end. Signals reach the main thread only, so elsewhere there is nothing to do.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = _get(_SIGINT)
    if not callable(previous):
        yield
        return
    pending = []

    def hold(number, frame):
        if pending and not patient:
            previous(number, frame)
        pending.append((number, frame))

    _set(_SIGINT, hold)
    try:
        yield
    finally:
        _set(_SIGINT, previous)
        if pending and (patient or len(pending) == 1):
            previous(*pending[0])
