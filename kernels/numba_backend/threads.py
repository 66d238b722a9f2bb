"""Threads: one compiled function, entered by every thread of a team, with barriers between its phases.

There is no threading layer. A helper is a Python thread that waits for a call, enters the same compiled code as the
caller and lets go of the interpreter lock there. It stays there for some microseconds after a call, where the next one
finds it at once: to wake it would take longer than a small product. Teams are lent out, so that calls from several
Python threads never wait for one another, and a forked child starts with none. Inside, threads meet at a barrier that
costs a fraction of a microsecond; it gives way to other programs when a thread is late.
"""

import os
import queue
import threading

import numpy as np

from ..interrupts import deferred_interrupt
from .cache import inline, jit
from .intrinsics import (
    at,
    atomic_add,
    atomic_load,
    atomic_store,
    atomic_swap,
    give_way,
    outlined,
    pause,
    view,
)
from .layout import SHARE
from .matmul import share
from .placement import here, step_aside

# How often a thread looks before it gives way to others at a barrier, and before a helper goes back to sleep: 4 and 20
# microseconds. From one call to the next it takes Python less.
_SPINS, _ATTENDED = 200, 1000
# What a call by way of a box takes, and more: a cache line.
BOX = 8
_AWAY, _CALLED = 0, -1
_NUMBERS, _TAKEN = (1 << 15) - 1, (1 << 24) - 1

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


@inline
def _ahead(word, product):
    """How far the product that a word is of comes after another; they are counted up to 2^15, and from 0 again."""
    return ((word >> 48) - product + (1 << 14) & _NUMBERS) - (1 << 14)


@jit
def begin_jobs(p, team):
    """Begin to share out the jobs of the next product: all threads go through the same ones."""
    outlined()
    word, number = at(p, team[0] * SHARE), view(at(p, team[0] * SHARE + 1), 1)
    number[0] = number[0] + 1 & _NUMBERS
    seen = atomic_load(word)
    # A share without jobs is not touched by anybody else, and must not be of a product that is long gone.
    if _ahead(seen, number[0]) < 0:
        atomic_swap(word, seen, number[0] << 48)


@jit
def take_jobs(p, jobs, piece, least, team):
    """Take some jobs that nobody has taken: the range, which is empty when there are none.

    Processors are seldom equally fast: other programs take their time, and other guests of the machine. So a thread
    takes jobs from the front of its share; when there are none left, from the back of the others'. What a job computes
    does not depend on who does it. A share is one word, what is taken of it in the product with that number:

        product (15 bits) | from the front (24 bits) | from the back (24 bits)

    Shapes: p (threads, SHARE), int64: the word, and the number of the product that the thread is at.
    Layout: contiguous. A range does not cross a multiple of `piece`; towards the end there are shorter ones, of `least`
    or more while there are as many.
    Aliasing: none.
    """
    outlined()
    product = view(at(p, team[0] * SHARE + 1), 1)[0]
    for other in range(team[1]):
        owner = (team[0] + other) % team[1]
        word, (begin, end) = at(p, owner * SHARE), share(jobs, (owner, team[1]))
        while True:
            seen = atomic_load(word)
            ahead = _ahead(seen, product)
            if ahead > 0:
                break
            front, back = (seen >> 24 & _TAKEN, seen & _TAKEN) if ahead == 0 else (0, 0)
            left = end - begin - front - back
            if left <= 0:
                break
            some = left if team[1] == 1 or left >= 2 * piece else (left + 1) // 2
            some = max(some, min(least, left))
            if other == 0:
                low = begin + front
                high = min((low // piece + 1) * piece, low + some)
                front += high - low
            else:
                high = end - back
                low = max((high - 1) // piece * piece, high - some)
                back += high - low
            if atomic_swap(word, seen, product << 48 | front << 24 | back):
                return low, high
    return np.int64(0), np.int64(0)


@jit
def attend(box, kind):
    """Wait a little for a call that has numbers of this kind; whether there is one, which is in the box then.

    Shapes: box (BOX,), int64; the first says `kind` while somebody waits here, and otherwise _AWAY or _CALLED.
    Layout: contiguous.
    Aliasing: none.
    """
    outlined()
    atomic_store(box, kind)
    for i in range(_ATTENDED):
        if atomic_load(box) == _CALLED:
            return True
        if i % _SPINS:
            pause()
        else:
            give_way()  # whoever is to call may need this very processor
    return not atomic_swap(box, kind, _AWAY)


@inline
def reach(box, kind):
    """Hand a call that is in the box to a helper who attends to it; whether there is one."""
    return atomic_swap(box, kind, _CALLED)


class _Helper:
    def __init__(self):
        self.box, self.args, self._calls = np.zeros(BOX, np.int64), None, queue.SimpleQueue()
        threading.Thread(target=self._serve, name="fastnn-numba", daemon=True).start()

    def _serve(self):
        while True:
            processor, function, args = self._calls.get()
            step_aside(processor)
            function(*args)
            del function, args

    def call(self, enter, offer, args):
        if offer(*args, self.box):
            self.args = args  # for as long as the helper may look at them; it has done with those before
        else:
            self._calls.put((here(), enter, (*args, self.box)))


def _hire():
    try:
        return _idle.pop()
    except IndexError:
        return _Helper()


NO_BOX = np.zeros(BOX, np.int64)


def team(enter, offer, threads, *args):
    """Call ``enter(*args, thread, box)`` once for each of `threads` threads at a time; the result of thread 0.

    The function must end in a barrier: when thread 0 is back, the others touch nothing but that barrier any more, which
    has to lie in an argument. After it, helpers `attend` to their box. ``offer(*args, thread, box)`` is to `reach` one
    there, and tells whether it has.
    """
    if threads == 1:
        return enter(*args, 0, NO_BOX)
    with deferred_interrupt(patient=True):  # helpers that have been called wait for thread 0, whatever happens
        helpers = [_hire() for _ in range(threads - 1)]
        for thread, helper in enumerate(helpers, 1):
            helper.call(enter, offer, (*args, thread))
        try:
            return enter(*args, 0, NO_BOX)
        finally:
            _idle.extend(helpers)
