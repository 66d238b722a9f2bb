"""How every benchmark measures: check first, then short rounds that alternate with the NumPy reference.

Load drifts while a benchmark runs, so that two rows of a table are not comparable to a few percent, but two rounds that
follow each other are: between the rounds of a backend the reference runs the same thing, and ``extra_info["speedup"]``
is the median of the ratios. pytest-benchmark's own statistics are those of the backend.
"""

import time

import numpy as np
import pytest
from fastnn.kernels import available_backends, get_backend
from fastnn.kernels.threads import default_threads

from bench import machine


def pytest_addoption(parser):
    group = parser.getgroup("fastnn")
    group.addoption("--quick", action="store_true", help="small sizes and few rounds: under two minutes")
    group.addoption("--threads", type=int, default=None, help="threads of the backends; by default those fastnn uses")


def pytest_collection_modifyitems(config, items):
    if config.getoption("quick"):
        small = [item for item in items if not item.get_closest_marker("full")]
        config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("full")])
        items[:] = small


def pytest_configure(config):
    config.addinivalue_line("markers", "full: too long for --quick")
    config.addinivalue_line("python_functions", "bench_*")
    # One of its warnings is that a test which failed before it measured has not measured.
    config.addinivalue_line("filterwarnings", "ignore::pytest_benchmark.logger.PytestBenchmarkWarning")


def pytest_benchmark_update_machine_info(config, machine_info):
    machine_info.pop("node", None)  # the machine's name is nobody's business
    machine_info["fastnn"] = {**machine.describe(config.getoption("threads")), "quick": config.getoption("quick")}


@pytest.fixture(scope="session")
def threads(request):
    """Threads of the backends."""
    return request.config.getoption("threads") or default_threads()


@pytest.fixture(scope="session")
def quick(request):
    """Whether this run is to be short."""
    return request.config.getoption("quick")


@pytest.fixture(params=available_backends())
def backend(request):
    """Each backend that runs here."""
    return get_backend(request.param)


@pytest.fixture
def reference():
    """The backend that the others are compared with."""
    return get_backend("numpy")


@pytest.fixture
def measure(benchmark, quick):
    """Time a call, alternating with another that does the same."""

    def measure(run, reference=None, *, flops=0, bytes_moved=0, **info):
        """Run the rounds and note the results in ``extra_info``.

        Parameters
        ----------
        run : callable
            What is measured.
        reference : callable, optional
            What to compare it with; None if `run` is the reference.
        flops, bytes_moved : int
            Work of one call, for ``gflops`` and ``gbs``.
        info : JSON values
            Noted as they are.
        """
        others = []

        def between():
            if reference is not None:
                start = time.perf_counter()
                reference()
                others.append(time.perf_counter() - start)

        run()  # compiles what has to be
        start = time.perf_counter()
        between()
        run()
        seconds = time.perf_counter() - start
        rounds = int(min(max((0.02 if quick else 0.5) / seconds, 2 if quick else 5), 100))
        others.clear()
        benchmark.group = " ".join(str(info[key]) for key in ("kind", "case", "shape") if key in info)
        benchmark.extra_info.update(info)
        benchmark.pedantic(run, setup=between, rounds=rounds)
        if benchmark.stats is None:  # --benchmark-disable
            return
        times = np.array(benchmark.stats.stats.data)
        median = float(np.median(times))
        benchmark.extra_info["speedup"] = float(np.median(np.array(others) / times)) if others else 1.0
        if flops:
            benchmark.extra_info["gflops"] = flops / median / 1e9
        if bytes_moved:
            benchmark.extra_info["gbs"] = bytes_moved / median / 1e9

    return measure


def error(got, exact):
    """Largest difference in units of ``eps * (1 + |exact|)``, as the tables of the kernels state tolerances."""
    exact = np.asarray(exact, np.float64)
    return float(np.max(np.abs(got - exact) / (np.finfo(got.dtype).eps * (1 + np.abs(exact)))))


def checked(value, limit):
    """Return an error that is to be noted, if it is within its limit: a wrong result has no speed."""
    assert value <= limit, f"wrong by {value:.3g}, allowed is {limit:.3g}"
    return value
