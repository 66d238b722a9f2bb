"""The Cython engine as a guest in a process: a fit, teams of its pool, and programs that have these as `t`."""

import ctypes
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np  # noqa: F401 (programs of run_python use it)
from fastnn.kernels import get_backend
from fastnn.kernels.backend import BackendUnavailable  # noqa: F401

from . import backends  # noqa: F401 (limits hold for what is loaded)
from .compare import relative, same_bits  # noqa: F401
from .nets import Fit, case

PATIENCE = 120  # seconds until something that hangs is given up; no test measures time
TESTS = Path(__file__).parent.parent


def fit(seed=0, threads=3, backend="cython", dtype="float32"):
    """Sums, parameters and state after an epoch of a network that is worth several threads."""
    c = case("64 300 relu drop0.2 200 tanh 10", 150, 40, seed, loss="mse", optimizer="adam", dtype=dtype)
    f = Fit.of(get_backend(backend), c, threads=threads)
    return f.train(c.x, c.y)[1], *f.host()


TASK = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_long, ctypes.c_long)


def team(threads, each=lambda: None):
    """Run on the pool: a list of (id, n, native thread id, what `each` returned there), ordered by id."""
    run = ctypes.CFUNCTYPE(None, TASK, ctypes.c_void_p, ctypes.c_long)(get_backend("cython")._pool.address())
    seen = []
    run(TASK(lambda _, id, n: seen.append((id, n, threading.get_native_id(), each()))), None, threads)
    return sorted(seen, key=lambda entry: entry[0])


def size(threads):
    """Threads that a call gets which asks for so many."""
    entries = team(threads)
    assert [(id, n) for id, n, *_ in entries] == [(i, len(entries)) for i in range(len(entries))]
    return len(entries)


def run_python(code, **environment):
    """Run a program that has this module as `t`; its completed process."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("FASTNN_")} | environment
    return subprocess.run(
        [sys.executable, "-c", "import helpers.guests as t\n" + code],
        cwd=TESTS,
        env=env,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def check_python(code, **environment):
    """Run a program that has to succeed; its output."""
    result = run_python(code, **environment)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()
