"""Losses with their gradients, every row of the table in every backend. One thread: so are the probes."""

import numpy as np
import pytest
from fastnn.kernels.losses import LOSSES

from bench.conftest import checked, error
from bench.shapes import LOSS_SIZES


@pytest.mark.parametrize(
    "size",
    [pytest.param(s, id="x".join(map(str, s)), marks=pytest.mark.full if i else ()) for i, s in enumerate(LOSS_SIZES)],
)
@pytest.mark.parametrize("row", LOSSES, ids=lambda row: row.name)
def bench_loss(measure, backend, reference, row, size):
    rng = np.random.default_rng(0)
    z = rng.normal(0, 3, size).astype(np.float32)
    if row.name in ("poisson", "kl_divergence"):  # which take logarithms of the outputs
        z = 1 / (1 + np.exp(-z))
    parameter = row.parameter or 0.0
    y = rng.dirichlet(np.ones(size[1]), size[0]).astype(np.float32)
    if row.labels:
        y = y.argmax(axis=1).astype(np.int32)
    values, gradient = np.empty(size[0], np.float32), np.empty_like(z)

    def runner(backend):
        return lambda: backend.loss(row.code, z, y, values, gradient, parameter)

    runner(backend)()
    z64, y64 = z.astype(np.float64), y if row.labels else y.astype(np.float64)
    worst = max(error(values, row.value(z64, y64, parameter)), error(gradient, row.gradient(z64, y64, parameter)))
    measure(
        runner(backend),
        None if backend is reference else runner(reference),
        kind="loss",
        backend=backend.NAME,
        case=row.name,
        shape=list(size),
        # The rows' tolerance is for rows of tens of numbers; a sum's error grows with the root of their count.
        error_ulps=checked(worst, row.ulps * max(1.0, (size[1] / 64) ** 0.5)),
        bytes_moved=z.nbytes + y.nbytes + values.nbytes + gradient.nbytes,
    )
