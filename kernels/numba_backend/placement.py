"""Where a helper runs: not on the caller's processor, if another one is idle.

Many a scheduler wakes a thread on the processor of whoever woke it, even if others are idle, and the two would take
turns there for milliseconds.
"""

import contextlib
import ctypes
import os

try:
    here = ctypes.CDLL(None).sched_getcpu  # the number of this thread's processor, or -1
except (OSError, AttributeError, TypeError):  # no Linux

    def here():
        """The number of this thread's processor is not known."""
        return -1


def _running():
    """How many threads of this machine run, or are ready to; 0 where the system does not tell."""
    try:
        with open("/proc/loadavg", encoding="ascii") as file:  # three means, then running/all
            return int(file.read().split()[3].partition("/")[0])
    except (OSError, IndexError, ValueError):
        return 0


def step_aside(processor):
    """Leave this processor if it is the one with that number, and others are idle that this thread may use.

    The scheduler chooses one, and may move the thread anywhere afterwards.
    """
    if processor < 0 or here() != processor:
        return
    with contextlib.suppress(OSError):  # there are sandboxes that forbid it
        allowed = os.sched_getaffinity(0)
        others = allowed - {processor}
        if others and 0 < _running() <= len(allowed):
            os.sched_setaffinity(0, others)
            if os.sched_getaffinity(0) == others:  # nobody else has bound it meanwhile
                os.sched_setaffinity(0, allowed)
