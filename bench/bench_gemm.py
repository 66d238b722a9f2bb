"""Matrix products: those of training steps, and cubes.

The probe `gemm` gets both factors as plain matrices and brings them into the engine's layout on every call, which a
training step does not; products that are small in one dimension suffer most. ``blas`` is NumPy's own product on all its
threads, for scale.
"""

import numpy as np
import pytest
from fastnn.kernels import available_backends, get_backend

from bench.conftest import checked
from bench.shapes import GEMMS


def blas(a, b, out, trans_a, trans_b, threads):
    """Multiply with NumPy's BLAS and its own number of threads."""
    np.matmul(a.T if trans_a else a, b.T if trans_b else b, out=out)


@pytest.mark.parametrize(
    "shape", [pytest.param(s, id=s.name, marks=() if s.quick else pytest.mark.full) for s in GEMMS]
)
@pytest.mark.parametrize("name", [*available_backends(), "blas"])
def bench_gemm(measure, name, shape, threads):
    rng = np.random.default_rng(0)
    a = rng.standard_normal((shape.k, shape.m) if shape.trans_a else (shape.m, shape.k), np.float32)
    b = rng.standard_normal((shape.n, shape.k) if shape.trans_b else (shape.k, shape.n), np.float32)
    out = np.empty((shape.m, shape.n), np.float32)
    gemm = blas if name == "blas" else get_backend(name).gemm

    def runner(function):
        return lambda: function(a, b, out, shape.trans_a, shape.trans_b, threads)

    runner(gemm)()
    left, right = (a.T if shape.trans_a else a), (b.T if shape.trans_b else b)
    rows = slice(0, 128)  # enough to judge, and float64 products of cubes take long
    exact = left[rows].astype(np.float64) @ right
    size = np.abs(left[rows]).astype(np.float64) @ np.abs(right)
    measure(
        runner(gemm),
        None if name == "numpy" else runner(get_backend("numpy").gemm),
        kind="gemm",
        backend=name,
        case=shape.name,
        shape=[shape.m, shape.n, shape.k],
        error=checked(float(np.max(np.abs(out[rows] - exact) / size)), np.finfo(np.float32).eps * shape.k**0.5),
        flops=shape.flops,
    )
