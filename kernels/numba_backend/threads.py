"""Threads: one compiled function, entered by every thread of a team, with barriers between its phases.

There is no threading layer. A helper is a Python thread that waits for a call, enters the same compiled code as the
caller and lets go of the interpreter lock there. Teams are lent out, so that calls from several Python threads never
wait for one another, and a forked child starts with none. Inside, threads meet at a barrier that costs a fraction of
a microsecond; it gives way to other programs when a thread is late.
"""

import os
import queue
import threading

from .cache import jit
from .intrinsics import at, atomic_add, atomic_load, atomic_store, give_way, outlined, pause

_SPINS = 200

_idle = []
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_idle.clear)


@jit
def barrier(p, threads):
    """Wait until all `threads` are here.

    Shapes: p (16,), int64: how many have come, and in the second half how often all have.
    Layout: the two counters on different cache lines.
    Aliasing: none.
    """
    outlined()
    if threads == 1:
        return
    rounds = at(p, 8)
    now = atomic_load(rounds)
    if atomic_add(p, 1) == threads - 1:
        atomic_store(p, 0)
        atomic_add(rounds, 1)
        return
    spins = 0
    while atomic_load(rounds) == now:
        spins += 1
        if spins < _SPINS:
            pause()
        else:
            give_way()


def _serve(calls):
    while True:
        function, args = calls.get()
        function(*args)
        del function, args


def _hire():
    try:
        return _idle.pop()
    except IndexError:
        calls = queue.SimpleQueue()
        threading.Thread(target=_serve, args=(calls,), name="fastnn-numba", daemon=True).start()
        return calls


def team(function, threads, *args):
    """Call ``function(*args, thread)`` once for each of `threads` threads at a time; the result of thread 0.

    The function must end in a barrier: when thread 0 is back, the others touch nothing but that barrier any more, which
    has to lie in an argument.
    """
    helpers = [_hire() for _ in range(threads - 1)]
    for thread, helper in enumerate(helpers, 1):
        helper.put((function, (*args, thread)))
    try:
        return function(*args, 0)
    finally:
        _idle.extend(helpers)
