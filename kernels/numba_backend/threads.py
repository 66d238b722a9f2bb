"""Threads: one compiled function, entered by every thread of a team, with barriers between its phases.

There is no threading layer. A helper is a Python thread that enters compiled code when it is woken, lets go of the
interpreter lock there, and attends to its box for calls. It stays for some microseconds after each, where the next one
finds it at once: to wake it would take longer than a small product. Teams are lent out, so that calls from several
Python threads never wait for one another, and a forked child starts with none. Inside, threads meet at a barrier that
costs a fraction of a microsecond; it gives way to other programs when a thread is late.
"""

import contextlib
import os
import queue
import threading

import numpy as np

from ..memory import address
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
    pointer,
    view,
)
from .layout import SHARE
from .matmul import share
from .placement import here, step_aside

# How often a thread looks before it gives way to others at a barrier, and a helper before it goes back to sleep after a
# call and after it has been woken for one: 4, 20 and 400 microseconds. From one call to the next it takes Python less.
_SPINS, ATTENDED, WOKEN = 200, 1000, 20_000
# How often a leader looks for a helper that it has woken: some ten milliseconds, for it may wait for the interpreter.
_PATIENCE = 50_000
# What a call by way of a box takes, and more: a cache line.
BOX = 8
_AWAY, _CALLED, _RESERVED = 0, -1, -2
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
def attend(box, kind, looks):
    """Wait a little for a call that has numbers of this kind; whether there is one, which is in the box then.

    Shapes: box (BOX,), int64; the first says `kind` while somebody waits here, and otherwise _AWAY, _RESERVED or
    _CALLED.
    Layout: contiguous.
    Aliasing: none.
    """
    outlined()
    atomic_store(box, kind)
    for i in range(looks):
        there = atomic_load(box)
        if there in (_CALLED, _AWAY):
            return there == _CALLED
        if i % _SPINS:
            pause()
        else:
            give_way()  # whoever is to call may need this very processor
    if atomic_swap(box, kind, _AWAY):
        return False
    while atomic_load(box) == _RESERVED:
        give_way()
    return atomic_load(box) == _CALLED


@jit
def reserve(boxes, kind, patience):
    """Reserve the helpers that attend to their boxes, or do so within `patience` looks; without patience all or nobody.

    Shapes: boxes (helpers,), int64: addresses of boxes. Those of the helpers who have come are first afterwards.
    Layout: contiguous.
    Aliasing: none.

    Returns
    -------
    int
        How many have come, or -1 if, without patience, not all were there.
    """
    outlined()
    come = looks = 0
    for i in range(len(boxes)):
        box = pointer(come, boxes[i])
        there = atomic_swap(box, kind, _RESERVED)
        while not there and looks < patience:
            looks += 1
            if looks < _SPINS:
                pause()
            else:
                give_way()
            there = atomic_swap(box, kind, _RESERVED)
        if there:
            boxes[i], boxes[come] = boxes[come], boxes[i]
            come += 1
        elif patience == 0:
            for k in range(come):
                atomic_store(pointer(come, boxes[k]), _AWAY)
            return -1
    return come


@jit
def call_helper(box, routine, job, ops, thread):
    """Hand a call to a helper who has been reserved.

    Shapes: box (BOX,), int64.
    Layout: contiguous.
    Aliasing: none.
    """
    outlined()
    call = view(box, BOX)
    call[1], call[2], call[3], call[4] = routine, job, ops, thread
    atomic_store(box, _CALLED)


class _Helper:
    def __init__(self):
        self.box, self._calls = np.zeros(BOX, np.int64), queue.SimpleQueue()
        self.address = address(self.box)
        self.args = []  # of calls that it may still look at: when one is over, it looks at its barrier once more
        threading.Thread(target=self._serve, name="fastnn-numba", daemon=True).start()

    def _serve(self):
        while True:
            processor, function, args = self._calls.get()
            step_aside(processor)
            function(*args, self.box)
            del function, args

    def wake(self, function, args):
        self._calls.put((here(), function, args))


def _hire(count, helpers):
    """Add so many helpers, or as many as there can be threads."""
    with contextlib.suppress(RuntimeError):
        while len(helpers) < count:
            try:
                helpers.append(_idle.pop())
            except IndexError:
                helpers.append(_Helper())


NOBODY = np.zeros(0, np.int64)


def team(lead, wait_for_call, threads, *args):
    """Call ``lead(*args, boxes, patience)`` for a team of up to `threads` threads.

    ``lead`` is to `reserve` the helpers whose boxes these are, and to tell what that tells; unless that is -1, it then
    calls them by way of their boxes and does its own part. ``wait_for_call(*args, box)`` is what a helper does who is
    woken. So a team comes together within compiled code: an exception that a signal
    brings finds either nobody in it or all done, and who does not come, for there is no thread or no time for it, is
    not waited for.

    What they do must end in a barrier: when the leader is back, the others touch nothing but that any more, and it has
    to lie in an argument.
    """
    if threads == 1:
        lead(*args, NOBODY, 0)
        return
    helpers = []
    try:
        _hire(threads - 1, helpers)
        for helper in helpers:
            helper.args.append(args)
        boxes = np.array([helper.address for helper in helpers], np.int64)
        come = lead(*args, boxes, 0)
        if come < 0:
            for helper in helpers:
                helper.wake(wait_for_call, args)
            come = lead(*args, boxes, _PATIENCE)
        if come == len(helpers):  # who has come has left every call before
            for helper in helpers:
                del helper.args[:-1]
    finally:
        _idle.extend(helpers)
