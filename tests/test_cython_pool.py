"""The threads of the Cython engine as guests in a process: the pool, its limits, forks and other processes."""

import concurrent.futures
import multiprocessing
import os
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import threadpoolctl
from helpers.compare import same_bits
from helpers.guests import PATIENCE, check_python, fit, size, team
from helpers.nets import Fit, case

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc, which Linux has")
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
# From Python 3.12 on, for any process that has threads; that ours survive it is what is tested.
forks_warn = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


def wait_until(condition):
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


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


@linux
def test_workers_are_bound_to_no_processor(cython):
    """One that is woken on the caller's processor leaves it, and may be moved anywhere even so."""
    allowed, worker = os.sched_getaffinity(0), team(2)[1][2]
    try:
        os.sched_setaffinity(0, {min(allowed)})
        for _ in range(100):
            time.sleep(0.002)  # until it sleeps
            assert size(2) == 2
            assert os.sched_getaffinity(worker) == allowed
    finally:
        os.sched_setaffinity(0, allowed)


@linux
def test_who_expects_a_call_is_woken(cython):
    """Before it comes, and only those who will take part in it."""

    def sleeps(thread):
        """How often it has gone to sleep."""
        text = Path(f"/proc/self/task/{thread}/status").read_text()
        return int(text.split("voluntary_ctxt_switches:")[1].split()[0])

    def asleep(thread):
        return Path(f"/proc/self/task/{thread}/stat").read_text().rpartition(")")[2].split()[0] == "S"

    c = case("64 300 relu 200 tanh 10", 150, 40, loss="mse")
    f = Fit.of(cython, c, threads=2)
    _, (_, _, needed, _), (_, _, other, _) = team(3)
    for _ in range(1000):  # on a busy machine nobody is woken before some hundred calls have gone well
        team(3)
        wait_until(lambda: asleep(needed) and asleep(other))
        before = sleeps(needed), sleeps(other)
        cython.expect(f.workspace, 40)
        time.sleep(0.02)
        if sleeps(needed) > before[0]:
            break
    assert sleeps(needed) > before[0]
    assert sleeps(other) == before[1]
    assert same_bits(f.train(c.x, c.y)[1], Fit.of(cython, c).train(c.x, c.y)[1])
    wait_until(lambda: asleep(needed))
    before = sleeps(needed)
    cython.expect(Fit.of(cython, c).workspace, 40)  # which is for one thread
    with threadpoolctl.threadpool_limits(1):
        cython.expect(f.workspace, 40)
    time.sleep(0.05)
    assert sleeps(needed) == before


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
