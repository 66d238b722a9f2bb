"""Activations and their derivatives, every row of the table in every backend. One thread: so are the probes."""

import numpy as np
import pytest
from fastnn.kernels.activations import ACTIVATIONS

from bench.conftest import checked, error
from bench.shapes import ACTIVATION_SIZES

each_row = pytest.mark.parametrize("row", ACTIVATIONS, ids=lambda row: row.name)
each_size = pytest.mark.parametrize(
    "size",
    [
        pytest.param(s, id="x".join(map(str, s)), marks=pytest.mark.full if i else ())
        for i, s in enumerate(ACTIVATION_SIZES)
    ],
)


def inputs(row, size):
    """Inputs from the row's domain, and gradients by the outputs, float32."""
    rng = np.random.default_rng(0)
    return rng.uniform(*row.domain, size).astype(np.float32), rng.uniform(-1, 1, size).astype(np.float32)


@each_size
@each_row
def bench_activation(measure, backend, reference, row, size):
    z, _ = inputs(row, size)
    out = np.empty_like(z)

    def runner(backend):
        return lambda: backend.activate(row.code, z, out, row.alpha)

    runner(backend)()
    measure(
        runner(backend),
        None if backend is reference else runner(reference),
        kind="activation",
        backend=backend.NAME,
        case=row.name,
        shape=list(size),
        error_ulps=checked(error(out, row.forward(z.astype(np.float64), row.alpha)), max(row.ulps, 8.0)),
        bytes_moved=2 * z.nbytes,
    )


@each_size
@each_row
def bench_activation_gradient(measure, backend, reference, row, size):
    z, dy = inputs(row, size)
    out = np.empty_like(z)

    def runner(backend):
        return lambda: backend.activate_grad(row.code, z, dy, out, row.alpha)

    runner(backend)()
    z64 = z.astype(np.float64)
    exact = row.backward(z64, row.forward(z64, row.alpha), dy.astype(np.float64), row.alpha)
    measure(
        runner(backend),
        None if backend is reference else runner(reference),
        kind="activation_gradient",
        backend=backend.NAME,
        case=row.name,
        shape=list(size),
        error_ulps=checked(error(out, exact), max(4 * row.ulps, 16.0)),
        bytes_moved=3 * z.nbytes,
    )
