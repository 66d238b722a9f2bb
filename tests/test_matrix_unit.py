"""Layers that compute by blocks on the matrix unit, beside the reference in float64.

What is small computes on the vector unit: these networks and batches are not.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import backends
from helpers.compare import relative, same_bits
from helpers.nets import Fit, case

SPARSE = {"loss": "sparse_categorical_crossentropy", "optimizer": "adam"}
# Odd sizes, blocks that are half empty, both kinds of layers beside each other, and what else feeds a large layer.
NETS = {
    "classifier": ("213 relu 401 relu drop0.5 197 relu 10 softmax", 130, 70, SPARSE),
    "regression": ("300 340 tanh 290 sigmoid", 200, 97, {"loss": "mse", "optimizer": "rmsprop"}),
    "narrow": ("2100 80 softmax 2100 17", 96, 64, {"loss": "mse", "optimizer": "sgd"}),
    "normalized": ("210 230 bn gelu 190 ln silu 250 softmax 220", 140, 70, {"loss": "mse", "optimizer": "adam"}),
    "tied": ("240 200 l2:0.01 relu al1:0.001 tied0 sigmoid", 128, 64, {"loss": "mse", "optimizer": "adam"}),
    "small": ("300 200 relu 290", 90, 40, {"loss": "mse", "optimizer": "adam"}),
    "limited": (
        "222 251 max:1 noise0.1 213",
        128,
        80,
        {"loss": "huber", "optimizer": "momentum", "hyper": {"momentum": 0.9}},
    ),
}


@pytest.fixture
def unit(backend):
    """A backend that uses the matrix unit here."""
    if backend.NAME not in ("cython", "numba"):
        pytest.skip("no backend that would")
    if not {"amx", "(AMX)"} & set(backend.instruction_set().split()):
        pytest.skip(f"it uses {backend.instruction_set()}")
    return backend


@pytest.fixture
def cython(unit):
    if unit.NAME != "cython":
        pytest.skip("of the cython backend")
    return unit


@pytest.mark.skipif(
    bool({"FASTNN_ISA", "FASTNN_NUMBA_LANES"} & set(os.environ)), reason="another instruction set is asked for"
)
def test_a_processor_that_has_one_is_recognised(backend):
    """Here, for otherwise the tests below would only be skipped."""
    cpu = Path("/proc/cpuinfo")
    if not (cpu.exists() and {"amx_tile", "amx_bf16", "avx512f"} <= set(cpu.read_text().split())):
        pytest.skip("it has none")
    if backend.NAME == "numpy" or (backend.NAME == "cython" and "amx" not in backend.variants()):
        pytest.skip("no backend that would")
    assert {"amx", "(AMX)"} & set(backend.instruction_set().split())


def network(name, dtype="float32", **more):
    text, n, batch, options = NETS[name]
    return case(text, n, batch, dtype=dtype, **{**options, **more})


def bytes_of(c):
    """Inputs as bytes, and the same numbers as the engine is to read them."""
    x = np.random.default_rng(5).integers(0, 256, c.x.shape, dtype=np.uint8)
    return x, x.astype(np.float64) * c.plan.input_scale


def everything(backend, c, x, threads=2, poison=None):
    fit = Fit.of(backend, c, threads=threads)
    if poison is not None:
        backend.poison(fit.workspace, poison)
    batch = c.batch
    results = [fit.loss_grad(x[:batch], c.y[:batch])[0], fit.train(x, c.y)[1], *fit.host()]
    return [*results, fit.forward(x), fit.evaluate(x, c.y)]


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("kind", ["float", "bytes"])
def test_as_near_to_the_exact_result_as_float32(unit, name, kind):
    """Within the distance that the reference in float32 itself has."""
    more = {"input_scale": 1 / 255} if kind == "bytes" else {}
    low, high = (network(name, dtype, **more) for dtype in ("float32", "float64"))
    x, exact = bytes_of(low) if kind == "bytes" else (low.x, high.x)
    batch = low.batch
    results = []
    for b, c, inputs in ((unit, low, x), (backends.REFERENCE, low, x), (backends.REFERENCE, high, exact)):
        fit = Fit.of(b, c)
        results.append((fit.loss_grad(inputs[:batch], c.y[:batch])[0], fit.forward(inputs)))
    for got, reference, expected in zip(*results, strict=True):
        assert relative(got, expected) <= 2 * relative(reference, expected) + 4 * np.finfo(np.float32).eps


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("kind", ["float", "bytes"])
def test_the_same_bits_on_any_threads_and_scratch(unit, name, kind):
    c = network(name, **({"input_scale": 1 / 255} if kind == "bytes" else {}))
    x = bytes_of(c)[0] if kind == "bytes" else c.x
    alone = everything(unit, c, x, threads=1)
    for threads, byte in ((2, None), (3, 0xFF), (5, 0x7F)):
        assert same_bits(alone, everything(unit, c, x, threads=threads, poison=byte))


@pytest.mark.parametrize("rows", [1, 4, 5, 40])
@pytest.mark.parametrize("kind", ["float", "bytes"])
def test_few_rows_in_the_last_batch(unit, kind, rows):
    """Plain gradient descent adds a few rows to the weights one by one."""
    c = case("300 200 relu 290", 64 + rows, 64, loss="mse", optimizer="sgd", dtype="float32", input_scale=1 / 255)
    x = bytes_of(c)[0] if kind == "bytes" else c.x
    expected = Fit.of(backends.REFERENCE, c)
    expected.train(x, c.y, rate=0.5)
    for threads, byte in ((1, 0xFF), (2, 0x7F)):
        fit = Fit.of(unit, c, threads=threads)
        unit.poison(fit.workspace, byte)
        fit.train(x, c.y, rate=0.5)
        np.testing.assert_allclose(fit.host()[0], expected.host()[0], rtol=0, atol=1e-6)


def test_it_is_not_the_vector_unit(unit):
    """Sums of 32 products are rounded at a time, so that the last bits differ."""
    c = network("regression")
    many = Fit.of(unit, c).forward(c.x)
    one = np.concatenate([Fit(unit, c.plan, c.params, batch_size=1).forward(row[None]) for row in c.x])
    assert not same_bits(many, one)
    np.testing.assert_allclose(many, one, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("text", "on_the_unit"), [("500 128", True), ("500 90", False)])
def test_inputs_of_few_columns_are_for_the_vector_unit(cython, text, on_the_unit):
    """To split them would take as long as the product, which is all that inference wants of them."""
    c = case(text, 96, 96, loss="mse", optimizer="sgd", dtype="float32")
    many, few = Fit.of(cython, c), Fit(cython, c.plan, c.params, batch_size=48)
    assert same_bits(many.forward(c.x), few.forward(c.x)) != on_the_unit


@pytest.mark.parametrize(("batch", "on_the_unit"), [(24, False), (40, True)])
def test_small_batches_are_for_it_if_they_are_bytes(cython, batch, on_the_unit):
    c = case("300 200 relu 290", batch, batch, loss="mse", optimizer="sgd", dtype="float32", input_scale=1.0)
    x = np.random.default_rng(0).integers(0, 3, c.x.shape).astype(np.uint8)
    found = []
    fit = Fit.of(cython, c)
    for kind in (np.uint8, np.float32, np.uint8):
        cython.load(fit.workspace, c.params, np.empty((0, c.params.size), np.float32))
        fit.train(x.astype(kind), c.y)
        found.append(fit.host()[0])
    assert same_bits(found[0], found[2])
    assert same_bits(found[0], found[1]) != on_the_unit
    np.testing.assert_allclose(found[0], found[1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("batch", "own"), [(128, True), (3200, False)])
def test_threads_have_the_inputs_of_a_batch_for_themselves_while_it_is_small(cython, batch, own):
    """In three parts of two bytes, and as often transposed. Nothing else that a thread adds is as large."""
    c = case("800 128 relu 10", 1, batch, loss="mse", optimizer="sgd", dtype="float32")
    scratch = [Fit.of(cython, c, threads=threads).workspace.engine.scratch_bytes for threads in (1, 2)]
    gathered, parts = 4 * batch * 800, 2 * 3 * 2 * batch * 800
    assert (scratch[1] - scratch[0] > gathered + parts) == own


SPECIAL = [np.inf, -np.inf, np.nan, np.finfo(np.float32).max, -3.4e38, 1e-40, 1e-30]


@pytest.mark.parametrize("value", SPECIAL)
@pytest.mark.parametrize("where", ["inputs", "weights", "weights of bytes"])
def test_special_values(unit, value, where):
    """Infinities stay infinities, and rows and columns without a special value do not notice."""
    c = case("300 330 relu 350", 96, 96, loss="mse", optimizer="sgd", dtype="float32", input_scale=1 / 255)
    params, x = c.params.copy(), c.x.copy()
    if where == "inputs":
        x[40, 7] = value
    else:
        params[7 * 330 + 150] = value
    if where == "weights of bytes":
        x = np.random.default_rng(3).integers(1, 256, x.shape, dtype=np.uint8)
    results = []
    for b in (unit, backends.REFERENCE):
        fit = Fit(b, c.plan, params, batch_size=96)
        with np.errstate(all="ignore"):
            results.append((fit.forward(x), fit.loss_grad(x, c.y)[0]))
    for got, expected in zip(*results, strict=True):
        for row, wanted in zip(np.atleast_2d(got), np.atleast_2d(expected), strict=True):
            largest = np.abs(wanted[np.isfinite(wanted)]).max(initial=1)
            np.testing.assert_allclose(row / largest, wanted / largest, rtol=0, atol=1e-5)  # and by kind


@pytest.mark.parametrize(
    ("text", "batch", "special"),
    [
        ("300 180 relu 300 sigmoid", 70, False),
        ("300 180 relu 300 sigmoid", 70, True),
        ("300 180 relu 300 sigmoid", 45, False),
        ("300 300 sigmoid", 50, False),
    ],
)
def test_bytes_that_are_their_own_targets(unit, text, batch, special):
    """An autoencoder of images, with a batch that is not full; an infinite weight makes the gradients NaN."""
    c = case(
        text,
        2 * batch + 10,
        batch,
        loss="mse",
        optimizer="adam",
        dtype="float32",
        input_scale=1 / 255,
        target_scale=1 / 255,
    )
    x = bytes_of(c)[0]
    if special:
        c.params[5] = np.inf
    results = []
    for b in (unit, backends.REFERENCE):
        fit = Fit.of(b, c, threads=2)
        b.poison(fit.workspace, 0x7F)
        with np.errstate(all="ignore"):
            done, sums = fit.train(x, x)
        results.append((done, sums, *fit.host()))
    assert results[0][0] == results[1][0] == (1 if special else 3)
    for got, expected in zip(results[0][1:], results[1][1:], strict=True):
        np.testing.assert_allclose(got, expected, rtol=2e-3, atol=2e-5)


@pytest.mark.parametrize("trans_a", [False, True])
@pytest.mark.parametrize("trans_b", [False, True])
@pytest.mark.parametrize("shape", [(64, 3000, 80), (65, 257, 300), (128, 784, 900), (321, 150, 515)])
def test_products(unit, trans_a, trans_b, shape):
    m, k, n = shape
    rng = np.random.default_rng(m)
    a, b = rng.normal(size=(m, k)).astype("f"), rng.normal(size=(k, n)).astype("f")
    a[3, 5] = np.inf
    exact = a.astype("d") @ b.astype("d")
    for threads in (1, 2, 3):
        out = np.full((m, n), np.nan, "f")
        unit.gemm(
            np.ascontiguousarray(a.T) if trans_a else a,
            np.ascontiguousarray(b.T) if trans_b else b,
            out,
            trans_a,
            trans_b,
            threads,
        )
        assert same_bits(np.isfinite(out), np.isfinite(exact))
        rows = np.arange(m) != 3
        # Each product and each sum of 32 rounded once would be at most this far off; float32, which computes the block
        # of the infinity, is farther: each of its sums is rounded, fused with a product or not (see test_gemm).
        limit = np.where(np.arange(m) < 32, 1.01 * k * 2.0**-24, 2.0**-22)[rows, None]
        size = np.abs(a[rows].astype("d")) @ np.abs(b.astype("d"))
        assert (np.abs(out[rows] - exact[rows]) <= limit * size).all()
        assert np.array_equal(np.sign(out[3]), np.sign(exact[3]))


def test_forward_from_the_middle(unit):
    c = network("classifier")
    fit = Fit.of(unit, c)
    ops = len(c.plan.ops)
    for first in range(1, ops):
        hidden = fit.forward(c.x, 0, first - 1)
        np.testing.assert_allclose(fit.forward(hidden, first, ops - 1), fit.forward(c.x), rtol=1e-5, atol=1e-5)


# What this process is allowed, and a signal stack without room for what the unit adds to it.
ALLOWED = """
import ctypes
from fastnn.kernels import get_backend
libc, mask = ctypes.CDLL(None), ctypes.c_uint64()
def allowed():
    assert libc.syscall(158, 0x1022, ctypes.byref(mask)) == 0  # arch_prctl, ARCH_GET_XCOMP_PERM
    return bool(mask.value & 1 << 18)
def signals_on(stack):
    return libc.sigaltstack((ctypes.c_void_p * 3)(ctypes.addressof(stack), 0, len(stack)), None) == 0
small = (ctypes.c_char * 4096)()
"""


def program(code, isa):
    env = {k: v for k, v in os.environ.items() if not k.startswith("FASTNN_")} | {"FASTNN_ISA": isa}
    command = [sys.executable, "-c", ALLOWED + code]
    return subprocess.run(command, cwd=Path(__file__).parent, env=env, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("isa", ["", "amx", "v4"])
def test_permission_is_asked_for_where_needed(cython, isa):
    code = 'print(allowed(), get_backend("cython").instruction_set(), allowed(), signals_on(small))'
    result = program(code, isa)
    assert result.stdout.split() == (
        ["False", "v4", "False", "True"] if isa == "v4" else ["False", "amx", "True", "False"]
    )


@pytest.mark.parametrize("isa", ["", "amx"])
def test_permission_refused(cython, isa):
    """The kernel does not give it while a thread's signals would not find room."""
    result = program('assert signals_on(small); print(get_backend("cython").instruction_set(), allowed())', isa)
    if isa:
        assert "FASTNN_ISA='amx'" in result.stderr.splitlines()[-1]
    else:
        assert result.stdout.split() == ["v4", "False"], result.stderr


@pytest.mark.parametrize("kind", ["float", "bytes"])
def test_a_few_rows_are_for_the_vector_unit(unit, kind):
    """To split all weights for them would take longer: a workspace for many rows predicts as one for a few does."""
    c = network("classifier", input_scale=1 / 255)
    x = (bytes_of(c)[0] if kind == "bytes" else c.x)[:12]
    many, few = Fit(unit, c.plan, c.params, batch_size=256), Fit(unit, c.plan, c.params, batch_size=12)
    assert same_bits(many.forward(x), few.forward(x))
    assert same_bits(many.evaluate(x, c.y[:12]), few.evaluate(x, c.y[:12]))


def test_sums_are_nearer_to_the_exact_ones_than_a_chain_of_float32(unit):
    m, k, n = 64, 2048, 64
    rng = np.random.default_rng(0)
    a, b = rng.random((m, k), "f"), rng.random((k, n), "f")
    exact, out, chain = a.astype("d") @ b.astype("d"), np.empty((m, n), "f"), np.zeros((m, n), "f")
    for i in range(k):
        chain += a[:, i, None] * b[i]
    unit.gemm(a, b, out, False, False, 2)
    assert relative(out, exact) < 0.7 * relative(chain, exact)
