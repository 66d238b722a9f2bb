"""A program for `test_numba_backend`: training while Numba has a threading layer of its own running.

It prints the layer, or "absent" where there is none, and then what came to the same parameters as training alone.
"""

import os
import signal
import sys
import threading

import numpy as np

import fastnn


def train(_=None):
    """Parameters after an epoch on two threads; enough work for both."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(600, 200)).astype(np.float32), rng.integers(0, 4, 600)
    model = fastnn.MLP([200, 300, 4], dropout=0.3, seed=1, backend="numba", threads=2)
    model.fit(x, y, batch_size=200, epochs=2, verbose=0)
    return model.params


def threads():
    """Four Python threads at once."""
    found = [None] * 4

    def work(i):
        found[i] = train()

    running = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return found


def fork():
    """A forked child that trains, and then its parent again."""
    expected = train()
    if not hasattr(os, "fork"):
        return [expected]
    child = os.fork()
    if child == 0:
        signal.alarm(120)
        os._exit(0 if np.array_equal(train(), expected) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    return [train()]


def spawn():
    """Two processes of a spawned pool."""
    import multiprocessing

    with multiprocessing.get_context("spawn").Pool(2) as pool:
        return pool.map(train, range(2))


def joblib():
    """Two workers of joblib, by processes and by threads."""
    import joblib

    work = [joblib.delayed(train)() for _ in range(2)]
    return joblib.Parallel(n_jobs=2)(work) + joblib.Parallel(n_jobs=2, backend="threading")(work)


if __name__ == "__main__":
    import numba
    from numba.np.ufunc.parallel import _launch_threads

    try:
        _launch_threads()
    except ValueError:
        print("absent")
        sys.exit()
    expected = train()
    print(numba.threading_layer())
    for way in (threads, fork, spawn, joblib):
        if all(np.array_equal(params, expected) for params in way()):
            print(way.__name__)
