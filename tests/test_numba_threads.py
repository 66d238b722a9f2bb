"""The team of Python threads that the Numba backend has."""

import contextlib
import importlib
import os
import queue
import signal
import subprocess
import sys
import threading
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from helpers.backends import AVAILABLE
from helpers.nets import build, parameters
from helpers.processes import python

nb = AVAILABLE.get("numba")
pytestmark = pytest.mark.skipif(nb is None, reason="the numba backend is not available")


def train(threads, seed=1, n=70, net="9 33 relu drop0.5 20 tanh 3"):
    """Parameters after some batches."""
    plan = build(net, loss="mse", optimizer="adam")
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(n, 9)).astype(np.float32), rng.normal(size=(n, 3)).astype(np.float32)
    params, state = parameters(plan, seed), np.zeros((plan.n_slots, plan.n_params), np.float32)
    workspace = nb.to_backend(plan, params, state, 16, threads)
    # Small work runs on one thread: ask for all of them.
    importlib.import_module(f"{nb.__name__}.contract")._threads = lambda workspace, rows: workspace.threads
    batches = -(-n // 16)
    sums = np.zeros((batches, 1))
    nb.train(workspace, x, y, None, np.arange(n), np.full(batches, 1e-2), 16, seed, 0, sums, None)
    nb.to_host(workspace, params, state)
    return params


@pytest.fixture(autouse=True)
def _unchanged(monkeypatch):
    contract = importlib.import_module(f"{nb.__name__}.contract")
    monkeypatch.setattr(contract, "_threads", contract._threads)


FORK = """
import os, signal
import numpy as np
from fastnn.kernels import get_backend
nb = get_backend("numba")
a = np.ones((256, 256), np.float32)
def product():
    out = np.zeros_like(a)
    nb.gemm(a, a, out, False, False, 3)
    return (out == 256).all()
assert product()
child = os.fork()
if child == 0:
    signal.alarm(60)
    os._exit(0 if product() and product() else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert product()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_has_threads_of_its_own():
    python(FORK, PYTHONWARNINGS="ignore")


EXCEPTIONS = """
import random, signal, sys
import numpy as np
from fastnn.kernels import get_backend
nb = get_backend("numba")
threads = sys.modules[nb.__name__ + ".threads"]
a = np.ones((256, 256), np.float32)
def product():
    out = np.zeros_like(a)
    nb.gemm(a, a, out, False, False, 3)
    return (out == 256).all()
def ring(*_):
    raise TimeoutError
assert product()
random.seed(0)
wake = threads._Helper.wake
for when in (0, 1):
    def interrupted(*args):
        when and wake(*args)
        raise TimeoutError
    threads._Helper.wake = interrupted
    for _ in range(3):
        try:
            product()
            product()
        except TimeoutError:
            pass
    threads._Helper.wake = wake
    assert product()
signal.signal(signal.SIGALRM, ring)
for i in range(200):
    try:
        signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-3, 4e-3))
        while True:
            product()
    except TimeoutError:
        pass
    assert product()
assert len(threads._idle) >= 2
"""


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no timers")
def test_exceptions_of_signals_leave_nobody_behind():
    """Whenever they come, helpers are in a team with a leader, or in none."""
    python(EXCEPTIONS, timeout=100)


NO_THREADS = """
import threading
import numpy as np
from fastnn.kernels import get_backend
nb = get_backend("numba")
def refuse(self):
    raise RuntimeError("can't start new thread")
threading.Thread.start = refuse
a = np.ones((256, 256), np.float32)
out = np.zeros_like(a)
nb.gemm(a, a, out, False, False, 3)
assert (out == 256).all()
"""


def test_without_threads_the_caller_works_alone():
    python(NO_THREADS)


def test_python_threads_may_train_at_the_same_time():
    """Each with a team of its own, and with the results of one after the other."""
    expected = [train(2, seed) for seed in range(4)]
    found = [None] * 4

    def work(seed):
        for _ in range(5):
            found[seed] = train(2, seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


def test_products_of_both_kinds_from_several_python_threads():
    """One soon after the other, so that helpers are found with the last call or asleep, and attend to another kind."""
    rng, wrong = np.random.default_rng(0), []
    factors = [(rng.normal(size=(64, 160)).astype(t), rng.normal(size=(160, 200)).astype(t)) for t in ("f4", "f8")]

    def product(a, b, threads):
        out = np.full((len(a), b.shape[1]), np.nan, a.dtype)
        nb.gemm(a, b, out, False, False, threads)
        return out

    expected = [product(a, b, 1) for a, b in factors]

    def work(first):
        for i in range(first, first + 600):
            kind = i // 3 % 2
            if not np.array_equal(product(*factors[kind], 2 + i % 2), expected[kind]):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(first,)) for first in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_all_helpers_are_reserved_or_nobody():
    """And what is in the box of any other is left alone."""
    engine, threads, layout = (
        importlib.import_module(f"{nb.__name__}.{part}") for part in ("engine", "threads", "layout")
    )
    boxes = [np.arange(threads.BOX) for _ in range(2)]
    places = np.array([box.ctypes.data for box in boxes])
    args = np.float32(0), 0, layout.new_job(), np.zeros(1, layout.OP), places
    lead = engine.lead.function(np.dtype(np.float32), (*args, 0))
    waiting = importlib.import_module(f"{nb.__name__}.processor").LANES
    for other in (0, -1, -2, waiting // 2):
        boxes[0][0], boxes[1][0] = waiting, other
        assert lead(*args, 0) == -1
        assert [box[0] for box in boxes] == [0, other]
    assert all(box[1:].tolist() == list(range(1, len(box))) for box in boxes)


def test_who_does_not_come_is_left_out():
    import numba

    threads = importlib.import_module(f"{nb.__name__}.threads")
    reserve, kind = threads.reserve, 16

    @numba.njit
    def come(places, patience):
        return reserve(places, kind, patience)

    boxes = [np.array([state, *range(1, threads.BOX)]) for state in (0, kind, -1, kind)]
    places = np.array([box.ctypes.data for box in boxes])
    before = places.tolist()
    assert come(places, 300) == 2
    assert places.tolist()[:2] == [before[1], before[3]]
    assert sorted(places.tolist()) == sorted(before)
    assert [box[0] for box in boxes] == [0, -2, -1, -2]


@pytest.mark.parametrize("attend", [True, False])
def test_helpers_are_woken_unless_all_attend(monkeypatch, attend):
    threads = importlib.import_module(f"{nb.__name__}.threads")
    woken, led = queue.SimpleQueue(), []

    def lead(number, boxes, patience):
        led.append((number, len(boxes), patience > 0))
        return len(boxes) if attend or patience else -1

    monkeypatch.setattr(threads, "_idle", [])
    threads.team(lead, lambda *args: woken.put(args), 3, 5)
    if attend:
        assert led == [(5, 2, False)]
    else:
        assert led == [(5, 2, False), (5, 2, True)]
        assert [woken.get(timeout=60)[0] for _ in range(2)] == [5, 5]
    assert woken.empty()
    assert len(threads._idle) == 2


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processors are Linux's")
def test_helpers_leave_the_callers_processor_and_are_bound_to_none(monkeypatch):
    placement = importlib.import_module(f"{nb.__name__}.placement")
    bound, allowed = [], os.sched_getaffinity(0)
    masks = [allowed]

    def bind(thread, processors):
        bound.append((thread, set(processors)))
        masks.append(set(processors))

    monkeypatch.setattr(os, "sched_setaffinity", bind)
    monkeypatch.setattr(os, "sched_getaffinity", lambda thread: set(masks[-1]))
    monkeypatch.setattr(placement, "_running", lambda: 1)
    monkeypatch.setattr(placement, "here", lambda: -1)
    placement.step_aside(-1)  # where processors have no numbers
    monkeypatch.setattr(placement, "here", lambda: min(allowed))
    placement.step_aside(max(allowed) + 1)
    assert bound == []
    placement.step_aside(min(allowed))
    others = allowed - {min(allowed)}
    assert bound == ([(0, others), (0, allowed)] if others else [])
    bound.clear()
    for running in (0, len(allowed) + 1):  # 0: not known
        monkeypatch.setattr(placement, "_running", lambda running=running: running)
        placement.step_aside(min(allowed))
    assert bound == []


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processors are Linux's")
def test_what_others_bind_a_helper_to_stays(monkeypatch):
    placement = importlib.import_module(f"{nb.__name__}.placement")
    bound, masks = [], [{0, 1, 2}, {2}]
    monkeypatch.setattr(os, "sched_setaffinity", lambda thread, processors: bound.append(processors))
    monkeypatch.setattr(os, "sched_getaffinity", lambda thread: masks.pop(0))
    monkeypatch.setattr(placement, "_running", lambda: 1)
    monkeypatch.setattr(placement, "here", lambda: 0)
    placement.step_aside(0)
    assert bound == [{1, 2}]


def test_a_sandbox_may_forbid_to_ask(monkeypatch):
    placement = importlib.import_module(f"{nb.__name__}.placement")

    def forbid(*_):
        raise PermissionError

    monkeypatch.setattr(os, "sched_getaffinity", forbid, raising=False)
    monkeypatch.setattr(placement, "here", lambda: 0)
    placement.step_aside(0)


def test_a_helper_who_is_woken_is_told_where_the_caller_is(monkeypatch):
    threads, told = importlib.import_module(f"{nb.__name__}.threads"), queue.SimpleQueue()
    monkeypatch.setattr(threads, "here", lambda: 7)
    monkeypatch.setattr(threads, "step_aside", told.put)
    threads._Helper().wake(lambda box: None, ())
    assert told.get(timeout=60) == 7


def test_results_are_those_of_one_thread():
    alone = train(1)
    assert all(np.array_equal(alone, train(threads)) for threads in (2, 3, 5))


@pytest.mark.parametrize("threads", [2, 3, 4, 5])
def test_fewer_threads_than_there_is_room_for(monkeypatch, threads):
    """A call takes as many as its work is worth, and as many as come: what each has for itself is there for all."""
    contract = importlib.import_module(f"{nb.__name__}.contract")
    monkeypatch.setattr(contract, "_threads", lambda workspace, rows: threads)
    plan = build("700 90 relu 300 relu 5", loss="mse", optimizer="sgd")
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 700)).astype(np.float32), rng.normal(size=(40, 5)).astype(np.float32)
    found = []
    for room in (threads, 6):
        params, state = parameters(plan), np.zeros((0, plan.n_params), np.float32)
        workspace = nb.to_backend(plan, params, state, 4, room)
        nb.train(workspace, x, y, None, np.arange(40), np.full(10, 1e-2), 4, 1, 0, np.zeros((10, 1)), None)
        nb.to_host(workspace, params, state)
        found.append(params)
    assert np.array_equal(*found)


def test_more_products_than_there_are_numbers_for(monkeypatch):
    """Threads share out the jobs of each product, and count products up to 2^15 and on from 0."""
    contract = importlib.import_module(f"{nb.__name__}.contract")
    monkeypatch.setattr(contract, "_threads", lambda workspace, rows: workspace.threads)
    plan = build("3 70 relu 2", loss="mse", optimizer="sgd")
    x = np.random.default_rng(0).normal(size=(40_003, 3)).astype(np.float32)
    found = []
    for threads in (1, 3):
        workspace = nb.to_backend(plan, parameters(plan), np.zeros((0, plan.n_params), np.float32), 1, threads)
        out = np.full((len(x), 2), np.nan, np.float32)
        nb.forward(workspace, x, 0, len(plan.ops) - 1, out)
        found.append(out)
    assert np.array_equal(*found)


def test_helpers_are_used_again_and_no_more_than_asked_for():
    code = """
import threading, numpy as np
from fastnn.kernels import get_backend
nb = get_backend("numba")
a = np.ones((256, 256), np.float32)
for threads in (1, 3, 2, 3, 3):
    nb.gemm(a, a, np.zeros_like(a), False, False, threads)
    print(sum(t.name == "fastnn-numba" for t in threading.enumerate()))
"""
    out, _ = python(code)
    assert out.split() == ["0", "2", "2", "2", "2"]


@pytest.mark.parametrize("layer", ["omp", "tbb", "workqueue"])
def test_beside_every_threading_layer_of_numba(layer):
    """No crash, no hang, and the same results, whatever layer other code of the process has started."""
    environment = {**os.environ, "NUMBA_THREADING_LAYER": layer, "PYTHONWARNINGS": "ignore"}
    if layer == "tbb":  # pip puts it where the loader does not look
        with contextlib.suppress(metadata.PackageNotFoundError):
            found = [file.locate().resolve() for file in metadata.files("tbb") if file.name.startswith("libtbb.so")]
            folders = [*{str(file.parent) for file in found}, environment.get("LD_LIBRARY_PATH", "")]
            environment["LD_LIBRARY_PATH"] = os.pathsep.join(filter(None, folders))
    command = [sys.executable, str(Path(__file__).parent / "helpers" / "numba_layers.py")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, f"exit status {done.returncode}\n{done.stderr}"
    if done.stdout.strip() == "absent":
        pytest.skip(f"numba has no threading layer {layer} here" + "; `pip install tbb`" * (layer == "tbb"))
    assert done.stdout.split() == [layer, "threads", "fork", "spawn", "joblib"]


HELPERS = """
import threading, numpy as np, fastnn
x, y = np.ones((512, 200), np.float32), np.zeros(512, int)
def helpers(**options):
    fastnn.MLP([200, 300, 4], backend="numba", **options).fit(x, y, batch_size=512, verbose=0)
    return sum(t.name == "fastnn-numba" for t in threading.enumerate())
print(helpers(threads=1), helpers(), helpers(threads=5))
"""


def test_number_of_threads_is_honoured():
    """One thread needs no helpers; the variable is the default, and the argument has the last word."""
    out, _ = python(HELPERS, FASTNN_NUM_THREADS="3")
    assert out.split() == ["0", "2", "4"]


def test_threads_share_the_rows_of_narrow_layers():
    """By slabs where their gradients are less than the rows."""
    plan = build("32 64 relu 64 relu 1")
    state = np.zeros((plan.n_slots, plan.n_params), plan.dtype)
    for batch, slabs in ((256, [1, 1, 1]), (64, [0, 0, 1]), (1, [0, 0, 0])):
        ops = nb.to_backend(plan, parameters(plan), state, batch, 2).ops
        dense = ops[ops["w_rows"] > 0]
        assert (dense["slabs"] >= 0).tolist() == slabs
        assert dense["by_rows"].tolist() == [batch > 1, batch > 1, 1]
