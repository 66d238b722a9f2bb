"""The Cython engine as a guest in a process: threads, forks, signals, limits, memory, instruction sets."""

import concurrent.futures
import ctypes
import multiprocessing
import os
import platform
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import threadpoolctl
from fastnn.kernels import get_backend
from fastnn.kernels.backend import BackendUnavailable
from helpers import backends
from helpers.compare import relative, same_bits  # noqa: F401 (programs of run_python use it)
from helpers.nets import Fit, build, case, parameters

PATIENCE = 120  # seconds until something that hangs is given up; no test measures time
TESTS = Path(__file__).parent

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc, which Linux has")
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
# From Python 3.12 on, for any process that has threads; that ours survive it is what is tested.
forks_warn = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


@pytest.fixture(scope="module")
def cython():
    if "cython" not in backends.AVAILABLE:
        pytest.skip(f"the cython backend is not available: {backends.UNAVAILABLE.get('cython')}")
    return backends.AVAILABLE["cython"]


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
    """Run a program that imports this file as `t`; its completed process."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("FASTNN_")} | environment
    return subprocess.run(
        [sys.executable, "-c", "import test_cython_engine as t\n" + code],
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


# ---------------------------------------------------------------------------------------------- the pool


def test_team(cython):
    """The caller is number 0, the others are as many threads, the same ones in every call."""
    first, second = team(5), team(5)
    assert [(id, n) for id, n, *_ in first] == [(i, 5) for i in range(5)]
    assert first[0][2] == threading.get_native_id()
    assert len({native for _, _, native, _ in first}) == 5
    assert first == second
    assert team(2) == [(id, 2, native, None) for id, _, native, _ in first[:2]]


@pytest.mark.parametrize("threads", [-1, 0, 1])
def test_alone(cython, threads):
    assert size(threads) == 1


def test_a_call_within_a_call_runs_alone(cython):
    assert [inner for *_, inner in team(3, lambda: size(3))] == [1, 1, 1]
    assert size(3) == 3


@pytest.mark.parametrize("threads", [2, 8, 40])
def test_more_threads_than_processors(cython, threads):
    assert same_bits(fit(threads=threads), fit(threads=1))


@pytest.mark.parametrize("threads", [2, 3, 4])
def test_batches_of_a_prediction_do_not_mix(cython, threads):
    """The last one, so small that every thread gathers all of it, waits for those who still read the one before."""
    batch = threads * 64 + 16
    c = case("300 600", 2 * batch - 17, batch, loss="mse", optimizer="sgd", dtype="float64", input_scale=1 / 255)
    x = np.random.default_rng(0).integers(0, 256, c.x.shape, dtype=np.uint8)
    expected, many = Fit.of(cython, c).forward(x), Fit.of(cython, c, threads=threads)
    for _ in range(200):
        assert same_bits(many.forward(x), expected)


def test_many_small_calls(cython):
    """Two calls after one another must not mix, whatever their sizes."""
    rng = np.random.default_rng(0)
    for threads in rng.integers(2, 9, 300):
        assert size(int(threads)) == threads


def test_two_fits_at_once(cython):
    expected = [[fit(10 * k + i) for i in range(5)] for k in range(3)]
    start = threading.Barrier(3)

    def fits(k):
        start.wait()
        return [fit(10 * k + i) for i in range(5)]

    with concurrent.futures.ThreadPoolExecutor(3) as executor:
        assert same_bits(list(executor.map(fits, range(3))), expected)


@linux
def test_threads_that_cannot_be_started(cython):
    """Without memory for a stack the caller does the work; with it again, the pool grows."""
    assert (
        check_python("""
import resource
from pathlib import Path
expected, before = t.fit(threads=1), t.size(1)
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
soft, hard = resource.getrlimit(resource.RLIMIT_AS)
resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 20), hard))
alone = t.size(8)
resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
assert t.same_bits(t.fit(threads=8), expected)
print(before, alone, t.size(8))
""")
        == "1 1 8"
    )


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="there are no signal masks here")
def test_signals_are_for_the_caller(cython):
    masks = [mask for *_, mask in team(3, lambda: signal.pthread_sigmask(signal.SIG_BLOCK, []))]
    assert masks[0] == signal.pthread_sigmask(signal.SIG_BLOCK, [])
    for mask in masks[1:]:
        assert {signal.SIGINT, signal.SIGTERM, signal.SIGCHLD} <= mask
        assert not mask & {signal.SIGSEGV, signal.SIGFPE}  # faulthandler reports these from any thread


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
def test_exit(cython, busy):
    """The interpreter ends, although workers sleep or work."""
    loop = """
import threading, time
def forever():
    while True:
        t.fit(threads=4)
threading.Thread(target=forever, daemon=True).start()
time.sleep(0.2)
"""
    assert check_python("assert t.size(4) == 4\nt.fit(threads=4)\nprint('end')" + loop * busy) == "end"


# ---------------------------------------------------------------------------------------------- limits


def pool_info():
    (info,) = [i for i in threadpoolctl.threadpool_info() if i["user_api"] == "fastnn"]
    return info


def test_threadpool_info(cython):
    info = pool_info()
    assert info["internal_api"] == "fastnn" and info["prefix"] == "_pool"
    assert info["instruction_set"] == cython.instruction_set()
    assert info["num_threads"] > 8


@pytest.mark.parametrize("limits", [{"limits": 2}, {"limits": {"fastnn": 2}}, {"limits": 2, "user_api": "fastnn"}])
def test_threadpool_limits(cython, limits):
    before = pool_info()["num_threads"]
    with threadpoolctl.threadpool_limits(**limits):
        assert pool_info()["num_threads"] == 2
        assert [size(n) for n in (1, 2, 3, 8)] == [1, 2, 2, 2]
        with threadpoolctl.threadpool_limits(1):
            assert size(8) == 1
        assert size(8) == 2
    assert pool_info()["num_threads"] == before
    assert size(8) == 8


def test_limits_of_others_are_not_ours(cython):
    with threadpoolctl.threadpool_limits(1, user_api="blas"):
        assert size(3) == 3


def test_limits_do_not_change_results(cython):
    expected = fit()
    with threadpoolctl.threadpool_limits(1):
        assert same_bits(fit(), expected)


COUNT = """
import os, threadpoolctl
def grown():
    before = len(os.listdir("/proc/self/task"))
    t.fit(threads=4)
    return len(os.listdir("/proc/self/task")) - before
"""


@linux
def test_limits_hold_in_train(cython):
    """Counted by the operating system."""
    code = """
with threadpoolctl.threadpool_limits(1):
    first = grown()
with threadpoolctl.threadpool_limits({"fastnn": 3}):
    second = grown()
print(first, second, grown(), grown())
"""
    assert check_python(COUNT + code) == "0 2 1 0"


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="there is no affinity here")
@linux
def test_default_threads_follow_affinity(cython):
    code = """
import fastnn
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
before = len(os.listdir("/proc/self/task"))
model = fastnn.MLP([64, 300, 10], backend="cython", seed=0)
model.fit(t.np.ones((512, 64), "float32"), t.np.zeros(512, "int32"), batch_size=256, epochs=1, verbose=0)
print(len(os.listdir("/proc/self/task")) - before, grown())
"""
    assert check_python(COUNT + code) == "0 3"


# ---------------------------------------------------------------------------------------------- processes


def in_fork(function):
    """Whether `function` returns true in a forked child; a child that hangs is killed."""
    pid = os.fork()
    if pid == 0:
        code = 2
        try:
            code = 0 if function() else 1
        finally:
            os._exit(code)
    for _ in range(PATIENCE * 100):
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status) == 0
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    pytest.fail("the child hangs")


@forks
@forks_warn
def test_fork(cython):
    """A child has the parent's threads no longer, and starts its own; so does its child."""
    expected = fit()

    def child():
        return same_bits(fit(), expected) and size(4) == 4

    assert size(3) == 3
    assert in_fork(child)
    assert in_fork(lambda: child() and in_fork(child) and child())
    assert in_fork(lambda: in_fork(child))
    assert child()


@forks
@forks_warn
def test_fork_while_another_thread_trains(cython):
    expected, stop = fit(), threading.Event()

    def train():
        results = [fit()]
        while not stop.is_set():
            results.append(fit())
        return all(same_bits(result, expected) for result in results)

    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        other = executor.submit(train)
        try:
            for _ in range(10):
                assert in_fork(lambda: same_bits(fit(), expected) and size(4) == 4)
        finally:
            stop.set()
        assert other.result()


@forks_warn
@pytest.mark.parametrize("method", [m for m in ("fork", "spawn", "forkserver") if m != "fork" or hasattr(os, "fork")])
def test_multiprocessing(cython, method):
    expected = [fit(i) for i in range(4)]
    context = multiprocessing.get_context(method)
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as executor:
        assert same_bits(list(executor.map(fit, range(4), timeout=PATIENCE)), expected)


def test_joblib(cython):
    joblib = pytest.importorskip("joblib")
    expected = [fit(i) for i in range(4)]
    for prefer in ("processes", "threads"):
        results = joblib.Parallel(n_jobs=2, prefer=prefer)(joblib.delayed(fit)(i) for i in range(4))
        assert same_bits(list(results), expected)


# ---------------------------------------------------------------------------------------------- the interpreter


def test_train_releases_the_interpreter(cython):
    """While nobody is forced to give the interpreter up, another thread can have it only because `train` does."""
    c = case("64 300 relu 200 tanh 10", 500, 50, loss="mse", optimizer="adam")
    f = Fit.of(cython, c, threads=2)
    gate, ran = threading.Lock(), threading.Event()

    def other():
        with gate:
            ran.set()

    gate.acquire()
    thread = threading.Thread(target=other)
    thread.start()
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1000)
    try:
        gate.release()
        for _ in range(200):
            f.train(c.x, c.y)
            if ran.is_set():
                break
        assert ran.is_set()
    finally:
        sys.setswitchinterval(interval)
        thread.join()


@pytest.mark.skipif(os.name != "posix", reason="sends a POSIX signal")
def test_interrupt(cython):
    """Control-C between two slices of an endless fit."""
    code = """
import signal, test_cython_engine as t
signal.signal(signal.SIGINT, signal.default_int_handler)
try:
    while True:
        t.fit(threads=4)
        print("slice", flush=True)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, cwd=TESTS, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "slice\n"
            process.send_signal(signal.SIGINT)
            out, _ = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
    assert out.endswith("interrupted\n")
    assert process.returncode == 0


# ---------------------------------------------------------------------------------------------- numbers


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("threads", [1, 3])
def test_bad_numbers_propagate(cython, dtype, bad, threads):
    """They reach the outputs of their own row and of no other, and stop training before an update."""
    c = case("64 300 relu 200 softplus 10", 50, 50, loss="mse", dtype=dtype)
    f = Fit.of(cython, c, threads=threads)
    clean, before = f.forward(c.x), f.host()
    c.x[7, 3] = bad
    out = f.forward(c.x)
    assert not np.isfinite(out[7]).any()
    assert same_bits(np.delete(out, 7, 0), np.delete(clean, 7, 0))
    done, sums = f.train(c.x, c.y)
    assert done == 0 and not np.isfinite(sums[0, 0])
    assert same_bits(f.host(), before)


flushes = pytest.mark.skipif(
    platform.machine().lower() not in ("x86_64", "amd64", "aarch64", "arm64"),
    reason="the engine knows how to flush denormals on x86-64 and 64-bit Arm",
)


def tiny(dtype):
    """A denormal number."""
    return np.finfo(dtype).smallest_subnormal * dtype.type(1000)


@flushes
def test_denormals_are_zero_inside(cython, dtype):
    plan = build("3 3nb", dtype=dtype)
    f = Fit(cython, plan, np.eye(3, dtype=dtype).ravel(), batch_size=1)
    x = np.array([[tiny(dtype), -tiny(dtype), 1]], dtype)
    assert (f.forward(x) == [[0, 0, 1]]).all()


def test_denormals_are_numbers_outside(cython, dtype):
    """The caller, and whoever runs on a worker next, finds the processor as it was."""
    number, one = tiny(dtype), dtype.type(1)
    c = case("64 300 relu 200 tanh 10", 50, 50, loss="mse", optimizer="adam", dtype=dtype)
    f = Fit.of(cython, c, threads=3)
    f.train(c.x, c.y)
    f.evaluate(c.x, c.y)
    f.forward(c.x)
    gradient, _ = f.loss_grad(c.x, c.y)
    f.update(gradient)
    assert all(product == number for *_, product in team(3, lambda: number * one))


# ---------------------------------------------------------------------------------------------- memory


def resident():
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


@linux
def test_engines_are_freed(cython):
    """After a thousand, less than what a twentieth of them took."""
    c = case("100 64 relu drop0.5 10", 32, 32, loss="mse", optimizer="adam")

    def live(times):
        for _ in range(times):
            f = Fit.of(cython, c, threads=2)
            f.train(c.x, c.y)
        return f.workspace.engine

    engine = live(50)
    before = resident()
    live(1000)
    assert resident() - before < 50 * engine.scratch_bytes


@linux
def test_epochs_leave_nothing(cython):
    """After forty thousand, less than 100 bytes for each."""
    c = case("5 7 relu 3", 16, 8, loss="mse", optimizer="adam")
    f = Fit.of(cython, c, threads=2)

    def live(epochs):
        for epoch in range(epochs):
            f.train(c.x, c.y, step=2 * epoch)
            f.evaluate(c.x, c.y)

    live(10_000)
    before = resident()
    live(40_000)
    assert resident() - before < 4_000_000


@linux
def test_scratch_does_not_grow_with_the_rows(cython):
    plan = build("20 64 relu 10", loss="mse", optimizer="adam")
    few, many = (Fit(cython, plan, parameters(plan), batch_size=32, threads=2) for _ in range(2))
    rows = 200_000
    x, y = np.ones((rows, 20), np.float32), np.zeros((rows, 10), np.float32)
    few.train(x[:32], y[:32])
    order, rates = np.arange(rows), np.full(rows // 32, 1e-3)
    sums, out = np.ones((len(rates), 1)), np.ones((rows, 10), np.float32)
    before = resident()
    cython.train(many.workspace, x, y, None, order, rates, 32, 0, 0, sums, None)
    cython.forward(many.workspace, x, 0, 1, out)
    many.evaluate(x, y)
    assert resident() - before < 20 * 4 * rows / 8  # far below one more copy of x
    assert many.workspace.engine.scratch_bytes == few.workspace.engine.scratch_bytes
    larger = Fit(cython, plan, parameters(plan), batch_size=64, threads=2)
    assert larger.workspace.engine.scratch_bytes > few.workspace.engine.scratch_bytes


# ---------------------------------------------------------------------------------------------- what was built


@pytest.mark.parametrize("isa", ["v2", "v3", "v4", "amx", "generic"])
def test_every_instruction_set(cython, isa):
    """A network with odd sizes beside the reference, in both precisions."""
    if isa not in cython.variants():
        pytest.skip(f"{isa} was not built: {cython.variants()}")
    if isa not in cython._pool.instruction_sets():
        pytest.skip(f"this processor runs {cython._pool.instruction_sets()} only")
    code = """
print(t.get_backend("cython").instruction_set())
for dtype, tolerance in (("float32", 1e-4), ("float64", 1e-9)):
    got, expected = (t.fit(backend=name, dtype=dtype) for name in ("cython", "numpy"))
    for what, a, b in zip(("sums", "parameters", "state"), got, expected, strict=True):
        assert t.relative(a, b) < tolerance, (dtype, what, t.relative(a, b))
"""
    assert check_python(code, FASTNN_ISA=isa) == isa


@pytest.mark.parametrize("isa", ["v9", "V4", " "])
def test_unknown_instruction_set(cython, isa):
    code = """
from fastnn.kernels import backend_status
try:
    t.get_backend("cython")
except t.BackendUnavailable as error:
    print(error)
assert "FASTNN_ISA" in backend_status()["cython"]
try:
    t.get_backend()  # "auto" does not pass over a wish
except t.BackendUnavailable:
    pass
else:
    raise AssertionError("another backend was taken")
"""
    message = check_python(code, FASTNN_ISA=isa)
    assert f"FASTNN_ISA={isa!r}" in message
    assert all(variant in message for variant in cython.variants())


def test_without_the_compiled_modules():
    code = """
import sys
for name in [n for n in sys.modules if n.startswith("fastnn.kernels")]:
    del sys.modules[name]
sys.modules["fastnn.kernels.cython_backend._pool"] = None  # as if it were not there
from fastnn.kernels import BackendUnavailable, backend_status, get_backend
try:
    get_backend("cython")
except BackendUnavailable as error:
    print(error)
assert backend_status()["numpy"] is None
assert get_backend().NAME != "cython"
"""
    message = check_python(code)
    assert "'cython' is not available" in message
    assert "C compiler" in message and "_pool" in message


def test_unavailable_is_an_import_error():
    assert issubclass(BackendUnavailable, ImportError)


@pytest.mark.parametrize("threads", [2, 4, 5, 8])
def test_fewer_threads_than_asked_for(cython, threads):
    """A small network is worth two threads, whatever was asked for."""
    c = case("256 64 relu 8", 64, 32, loss="mse", optimizer="adam")
    alone, many = Fit.of(cython, c, threads=1), Fit.of(cython, c, threads=threads)
    assert same_bits(alone.train(c.x, c.y)[1], many.train(c.x, c.y)[1])
    assert same_bits(alone.host(), many.host())
