"""Optimisers from a given gradient, every row of the table in every backend.

Training fuses the update into the weight gradient; this is the way that gradients take which are clipped or summed.
"""

import numpy as np
import pytest
from fastnn.kernels import PlanBuilder
from fastnn.kernels.optimizers import OPTIMIZERS

from bench.cases import parameters
from bench.conftest import checked, error
from bench.shapes import OPTIMIZER_SIZES, REAL


@pytest.mark.parametrize("sizes", OPTIMIZER_SIZES, ids=lambda sizes: "-".join(map(str, sizes)))
@pytest.mark.parametrize("row", OPTIMIZERS, ids=lambda row: row.name)
def bench_update(measure, backend, reference, row, sizes, threads):
    builder = PlanBuilder(sizes[0])
    for units in sizes[1:]:
        builder.dense(units)
    plan = builder.build(optimizer=row.name)
    params = parameters(plan)
    state = np.zeros((plan.n_slots, plan.n_params), np.float32)
    gradient = np.random.default_rng(0).normal(0, 0.1, plan.n_params).astype(np.float32)

    def runner(backend):
        workspace = backend.to_backend(plan, params, state, 1, threads)
        return lambda: backend.update(workspace, gradient, row.rate, 0), workspace

    run, workspace = runner(backend)
    run()
    got, slots = np.empty_like(params), np.empty_like(state)
    backend.to_host(workspace, got, slots)
    exact = params.astype(np.float64)
    exact_slots = tuple(np.zeros((plan.n_slots, plan.n_params)))
    row.update(exact, gradient.astype(np.float64), exact_slots, plan.hyper.tolist(), row.rate, 1)
    worst = max(error(a, b) for a, b in zip((got, *slots), (exact, *exact_slots), strict=True))
    measure(
        run,
        None if backend is reference else runner(reference)[0],
        kind="update",
        backend=backend.NAME,
        case=row.name,
        parameters=plan.n_params,
        error_ulps=checked(worst, row.ulps),
        bytes_moved=REAL * plan.n_params * (1 + 2 * (1 + plan.n_slots)),
    )
