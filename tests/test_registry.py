"""Finding a backend by name, and the number of threads."""

import os
import sys
import types

import pytest
from fastnn.kernels import BackendUnavailable, registry, threads
from fastnn.kernels.backend import FUNCTIONS
from helpers import backends

from fastnn import kernels


@pytest.fixture(autouse=True)
def no_wish(monkeypatch):
    for name in ("FASTNN_BACKEND", "FASTNN_ISA"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def fakes(monkeypatch, tmp_path):
    """Two backends that work, and one between them that does not, in a registry of their own."""
    broken = tmp_path / "fake_broken.py"
    broken.write_text(
        "from fastnn.kernels import BackendUnavailable\nraise BackendUnavailable('no such luck; install luck')\n"
    )
    monkeypatch.setattr(kernels, "__path__", [*kernels.__path__, str(tmp_path)])
    for name in ("first", "second"):
        module = types.ModuleType(f"fastnn.kernels.fake_{name}")
        module.NAME = name
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(registry, "MODULES", {"broken": "fake_broken", "first": "fake_first", "second": "fake_second"})
    monkeypatch.setattr(registry, "_loaded", {})


def test_numpy_is_always_there():
    assert "numpy" in kernels.available_backends()
    assert kernels.get_backend("numpy").NAME == "numpy"
    assert list(registry.MODULES) == ["cython", "numba", "numpy"]


@pytest.mark.skipif(bool(backends.BROKEN), reason="a backend cannot be imported; see test_contract.py")
def test_status_of_the_real_backends():
    status = kernels.backend_status()
    assert list(status) == list(registry.MODULES)
    assert kernels.available_backends() == [name for name, reason in status.items() if reason is None]
    assert kernels.available_backends() == list(backends.AVAILABLE)
    assert kernels.get_backend() is kernels.get_backend(kernels.available_backends()[0])
    for name in kernels.available_backends():
        assert all(callable(getattr(kernels.get_backend(name), function)) for function in FUNCTIONS)


def test_auto_takes_the_first_that_is_available(fakes):
    assert kernels.get_backend().NAME == kernels.get_backend("auto").NAME == "first"
    assert kernels.available_backends() == ["first", "second"]
    assert kernels.get_backend("second").NAME == "second"


def test_the_reason_is_told(fakes):
    assert kernels.backend_status() == {"broken": "no such luck; install luck", "first": None, "second": None}
    for _ in range(2):
        with pytest.raises(BackendUnavailable, match="'broken' is not available: no such luck; install luck"):
            kernels.get_backend("broken")


def test_environment(fakes, monkeypatch):
    monkeypatch.setenv("FASTNN_BACKEND", "second")
    assert kernels.get_backend().NAME == "second"
    assert kernels.get_backend("first").NAME == "first"  # what is asked for counts more
    monkeypatch.setenv("FASTNN_BACKEND", "auto")
    assert kernels.get_backend().NAME == "first"
    monkeypatch.setenv("FASTNN_BACKEND", "")
    assert kernels.get_backend().NAME == "first"
    monkeypatch.setenv("FASTNN_BACKEND", "broken")
    with pytest.raises(BackendUnavailable, match="'broken' in FASTNN_BACKEND is not available"):
        kernels.get_backend()
    monkeypatch.setenv("FASTNN_BACKEND", "frist")
    with pytest.raises(ValueError, match=r"'frist' in FASTNN_BACKEND.*Did you mean 'first'\?"):
        kernels.get_backend()


@pytest.mark.parametrize(
    ("name", "near"), [("cyton", "cython"), ("numbra", "numba"), ("numppy", "numpy"), ("Numpy", "numpy")]
)
def test_the_nearest_name_is_suggested(name, near):
    with pytest.raises(ValueError, match=rf"unknown backend '{name}'; there are \['auto'.*Did you mean '{near}'\?"):
        kernels.get_backend(name)


@pytest.mark.parametrize("name", ["tensorflow", "", None, 3])
def test_a_name_that_is_near_to_nothing(name):
    with pytest.raises(ValueError, match="unknown backend") as caught:
        kernels.get_backend(name)
    assert "Did you mean" not in str(caught.value)


def test_unavailable_is_an_import_error():
    assert issubclass(BackendUnavailable, ImportError)


# Threads


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine with eight CPUs for this process; writes files of its control group."""
    monkeypatch.delenv("FASTNN_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    real = threads._cgroup_cpus
    monkeypatch.setattr(threads, "_cgroup_cpus", lambda: real(tmp_path))

    def write(name, text):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)

    return write


def test_threads_by_affinity(machine):
    assert threads.default_threads() == 8


@pytest.mark.parametrize(
    ("quota", "expected"),
    [("max 100000", 8), ("300000 100000", 3), ("250000 100000", 2), ("50000 100000", 1), ("9900000 100000", 8)],
)
def test_threads_by_control_group(machine, quota, expected):
    machine("cpu.max", quota + "\n")
    assert threads.default_threads() == expected


@pytest.mark.parametrize(("quota", "expected"), [("-1", 8), ("200000", 2), ("10000", 1)])
def test_threads_by_control_group_of_the_first_kind(machine, quota, expected):
    machine("cpu/cpu.cfs_quota_us", quota + "\n")
    machine("cpu/cpu.cfs_period_us", "100000\n")
    assert threads.default_threads() == expected


def test_threads_where_affinity_is_unknown(machine, monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 5)
    assert threads.default_threads() == 5
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert threads.default_threads() == 1


def test_threads_where_a_sandbox_forbids_to_ask(machine, monkeypatch):
    def forbid(pid):
        raise PermissionError

    monkeypatch.setattr(os, "sched_getaffinity", forbid, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    assert threads.default_threads() == 3


def test_threads_by_environment(machine, monkeypatch):
    machine("cpu.max", "200000 100000")
    monkeypatch.setenv("FASTNN_NUM_THREADS", "12")
    assert threads.default_threads() == 12
    monkeypatch.setenv("FASTNN_NUM_THREADS", "")
    assert threads.default_threads() == 2


@pytest.mark.parametrize("wish", ["0", "-1", "two", "1.5", " ", "²"])
def test_threads_refuse_nonsense(machine, monkeypatch, wish):
    monkeypatch.setenv("FASTNN_NUM_THREADS", wish)
    with pytest.raises(ValueError, match="FASTNN_NUM_THREADS must be a positive integer"):
        threads.default_threads()


def test_the_real_machine_has_a_thread(monkeypatch):
    monkeypatch.delenv("FASTNN_NUM_THREADS", raising=False)
    assert threads.default_threads() >= 1
