"""The matrix unit of the processor, as the Numba backend uses it: float32 products of three parts of each number."""

import importlib
import os
import subprocess
import sys

import numpy as np
import pytest
from helpers.backends import AVAILABLE, REFERENCE
from helpers.compare import kind, relative, same_bits
from helpers.nets import Fit, case

nb = AVAILABLE.get("numba")
processor = nb and importlib.import_module(f"{nb.__name__}.processor")
pytestmark = pytest.mark.skipif(
    not (nb and processor.MATRIX_UNIT), reason="this processor has no matrix unit, or FASTNN_NUMBA_LANES is set"
)


def product(a, b, threads=1):
    out = np.full((len(a), b.shape[1]), np.nan, np.float32)
    nb.gemm(a, b, out, False, False, threads)
    return out


def normal(rng, *shape):
    return rng.normal(0.0, 1.0, shape).astype(np.float32)


# ---------------------------------------------------------------- whether it is used

ASKED = """
from fastnn.kernels import get_backend
get_backend("numba")
from fastnn.kernels.numba_backend import processor
print(processor.MATRIX_UNIT, processor.LANES, processor.instruction_set())
"""


def test_other_machines_can_be_had_without_it():
    """Vectors of any width are those of a machine that has no matrix unit."""
    for lanes in ("16", "4"):
        environment = {**os.environ, "FASTNN_NUMBA_LANES": lanes}
        out = subprocess.run([sys.executable, "-c", ASKED], env=environment, capture_output=True, text=True, check=True)
        assert out.stdout.split(maxsplit=2)[:2] == ["False", lanes]
        assert "matrix unit" not in out.stdout
    assert "matrix unit" in nb.instruction_set()


REFUSED = """
import ctypes
small = (ctypes.c_char * 4096)()  # a signal stack without room for what the unit adds to it
stack = (ctypes.c_void_p * 3)(ctypes.addressof(small), 0, len(small))
assert ctypes.CDLL(None).sigaltstack(stack, None) == 0
"""


def test_a_system_that_refuses_it_gets_the_vectors():
    out = subprocess.run([sys.executable, "-c", REFUSED + ASKED], capture_output=True, text=True, check=True)
    assert out.stdout.startswith("False 16 ")


def test_results_are_nearer_than_those_of_multiply_adds():
    """A chain of 1000 additions is rounded 1000 times."""
    rng = np.random.default_rng(0)
    a, b = normal(rng, 64, 1000), normal(rng, 1000, 64)
    exact = a.astype(np.float64) @ b.astype(np.float64)
    chain = np.zeros((64, 64), np.float32)
    for k in range(1000):
        chain += a[:, k : k + 1] * b[k]
    assert relative(product(a, b), exact) < 0.6 * relative(chain, exact)


def test_threads_wait_for_what_they_add_to():
    """A deep product is summed in stretches, and whoever adds one may not be who has done the one before."""
    rng = np.random.default_rng(4)
    a, b = normal(rng, 64, 8192), normal(rng, 8192, 160)
    alone = product(a, b)
    for _ in range(200):
        assert same_bits(product(a, b, 5), alone)


# ---------------------------------------------------------------- the numbers


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_number_has_all_of_its_digits_in_three_parts(side):
    """Times one, every number of either side comes back to the last bit."""
    rng = np.random.default_rng(1)
    numbers = normal(rng, 80, 90) * np.float32(2.0) ** rng.integers(-60, 60, (80, 90)).astype(np.float32)
    if side == "left":
        found = product(numbers, np.eye(90, dtype=np.float32))
    else:
        found = product(np.eye(80, dtype=np.float32), numbers)
    assert same_bits(found, numbers)


@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf, np.finfo(np.float32).max, -1e38])
def test_what_has_no_parts_is_computed_in_float32(special):
    """The others in its row or column keep their bits."""
    rng = np.random.default_rng(2)
    clean, b = normal(rng, 70, 90), normal(rng, 90, 80) * np.float32(1e-3)
    a = clean.copy()
    a[41, 17] = special
    with np.errstate(invalid="ignore"):
        exact = np.einsum("ik,kj->ij", a.astype(np.float64), b.astype(np.float64))
    found, before = product(a, b), product(clean, b)
    others = np.arange(70) != 41
    assert same_bits(found[others], before[others])
    assert np.array_equal(kind(found), kind(exact))
    finite = np.isfinite(exact)
    assert np.allclose(found[finite], exact[finite], rtol=1e-4, atol=1e-4)


# ---------------------------------------------------------------- whole steps

# More than one block in every direction, with edges of every kind.
NETS = {
    "plain": ("130 90 relu 65 tanh 80", {"optimizer": "adam"}),
    "narrow between": ("100 64 relu 8 relu 64 relu 100", {"optimizer": "momentum"}),
    "whole rows": ("73 88 softmax drop0.3 79 softplus 57 softmax", {"loss": "categorical_crossentropy"}),
    "penalties": ("73 95 relu l1:0.01 bl2:0.02 al2:0.01 64 tanh kd:0.02 max:0.9 70", {"optimizer": "adam"}),
    "normalised": ("90 80 bn relu 70 ln tanh 60", {"optimizer": "adam"}),
    "noise": ("61 97 noise0.1 relu gdrop0.2 70 sigmoid drop0.5 61", {"optimizer": "rmsprop"}),
    "tied": ("90 70 tanh 64 relu tied1 tanh tied0", {"optimizer": "adam"}),
    "clipped": ("90 80 tanh 64 relu 70", {"optimizer": "sgd", "clip": (0.0, 0.0, 0.5)}),
}


def fit(backend, name, kind="real", threads=1):
    """Sums, parameters, gradient and outputs after two epochs of batches of 40, 40 and 13 rows."""
    text, options = NETS[name]
    if kind == "bytes":
        options = {**options, "input_scale": 1 / 255}
    this = case(text, 93, 40, dtype=np.float32, **{"loss": "mse", **options})
    x = np.random.default_rng(3).integers(0, 256, this.x.shape, dtype=np.uint8) if kind == "bytes" else this.x
    one = Fit.of(backend, this, threads=threads)
    sums = [one.train(x, this.y, this.weights, rate=0.01, step=3 * epoch)[1] for epoch in range(2)]
    gradient, _ = one.loss_grad(x[:40], this.y[:40], this.weights[:40])
    return np.concatenate(sums), one.host()[0], gradient, one.forward(x), one.evaluate(x, this.y)


@pytest.mark.parametrize("kind", ["real", "bytes"])
@pytest.mark.parametrize("name", NETS)
def test_training_agrees_with_the_reference(name, kind):
    for found, expected in zip(fit(nb, name, kind), fit(REFERENCE, name, kind), strict=True):
        assert relative(found, expected) < 1e-4


@pytest.mark.parametrize("kind", ["real", "bytes"])
@pytest.mark.parametrize("name", NETS)
def test_threads_do_not_matter(name, kind, monkeypatch):
    contract = importlib.import_module(f"{nb.__name__}.contract")
    # Small work runs on one thread: ask for all of them.
    monkeypatch.setattr(contract, "_threads", lambda workspace, rows: workspace.threads)
    alone = fit(nb, name, kind)
    for threads in (2, 3, 5):
        assert same_bits(fit(nb, name, kind, threads), alone), threads


def test_infinite_inputs_reach_the_gradients():
    """Forward, input gradient and weight gradient compute again what has no parts."""
    this = case("90 94 tanh 78 tanh 63", 40, 40, dtype=np.float32, loss="mse", optimizer="sgd")
    this.x[7, 5] = np.inf
    this.params[100] = np.float32(3.39e38)  # h would be infinite
    results = []
    with np.errstate(all="ignore"):
        for backend in (nb, REFERENCE):
            one = Fit.of(backend, this)
            results.append((one.forward(this.x), one.loss_grad(this.x, this.y)[0]))
    for found, expected in zip(*results, strict=True):
        assert np.array_equal(kind(found), kind(expected))
        finite = np.isfinite(expected)
        assert relative(found[finite], expected[finite]) < 1e-4
