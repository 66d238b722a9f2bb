"""The Cython engine as a guest in a process: signals, numbers, memory, instruction sets."""

import os
import platform
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from fastnn.kernels.backend import BackendUnavailable
from helpers.compare import same_bits
from helpers.guests import PATIENCE, TESTS, check_python, team
from helpers.nets import Fit, build, case, parameters

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc, which Linux has")


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
import signal, helpers.guests as t
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
