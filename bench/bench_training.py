"""Training: one step and one epoch through the contract of the backends, and `model.fit`.

The error is that of the weights after three steps: the distance from where the reference gets to in float64, in units
of the distance that it has gone.
"""

import functools

import numpy as np
import pytest
from fastnn.kernels import get_backend

from bench.cases import Run, data, model
from bench.conftest import checked
from bench.shapes import WORKLOADS

CHECK_STEPS = 3
# Rounding alone gives 1e-6 to 1e-4. But where a ReLU of one sample is at its kink, float32 and float64 may take
# different sides, and Adam, which divides small gradients by small ones, moves all weights of that unit or none: 0.03
# for a unit of 900.
LIMIT = 0.1

each_workload = pytest.mark.parametrize("workload", WORKLOADS, ids=lambda w: w.id)


@functools.cache
def exact_run(workload):
    """Parameters before and after the steps of the check, by the reference in float64."""
    run = Run(get_backend("numpy"), workload, CHECK_STEPS * workload.batch, 1, "float64")
    run.train(CHECK_STEPS)
    return run.params, run.host()


def distance(got, before, exact):
    """How far `got` is from `exact`, in units of how far `exact` is from `before`."""
    return float(np.linalg.norm(got - exact) / np.linalg.norm(exact - before))


def run_error(backend, workload, threads):
    """Error of a backend after the steps of the check."""
    run = Run(backend, workload, CHECK_STEPS * workload.batch, threads)
    run.train(CHECK_STEPS)
    return checked(distance(run.host(), *exact_run(workload)), LIMIT)


def results(workload, backend, kind, steps, **more):
    """What `measure` is to note."""
    return {
        "kind": kind,
        "backend": backend.NAME,
        "case": workload.id,
        "title": workload.title,
        "batch": workload.batch,
        "steps": steps,
        "flops": steps * workload.flops,
        "flops_step": workload.flops,
        "bytes_step": workload.bytes,
        **more,
    }


@each_workload
def bench_step(measure, backend, reference, workload, threads):
    """One batch a call."""

    def runner(backend):
        run = Run(backend, workload, workload.batch, threads)
        return lambda: run.train(1)

    other = None if backend is reference else runner(reference)
    found = run_error(backend, workload, threads)
    measure(runner(backend), other, **results(workload, backend, "step", 1, error=found))


@each_workload
def bench_epoch(measure, backend, reference, workload, threads, quick):
    """All batches in one call."""
    n = workload.rows(*(512, 4) if quick else (12_800, 2_000))
    steps = n // workload.batch

    def runner(backend):
        run = Run(backend, workload, n, threads)
        return lambda: run.train(steps)

    other = None if backend is reference else runner(reference)
    found = run_error(backend, workload, threads)
    measure(runner(backend), other, **results(workload, backend, "epoch", steps, error=found))


@functools.cache
def exact_fit(workload):
    """As `exact_run`, through the API."""
    before, after = fit_check(workload, "numpy", None, "float64")
    return before, after


def fit_check(workload, backend, threads, dtype):
    """Parameters of a model before and after one epoch of the steps of the check."""
    x, y = data(workload, CHECK_STEPS * workload.batch)
    net = model(workload, backend, threads, dtype)
    before = net.params.copy()
    net.fit(x, y, batch_size=workload.batch, verbose=0)
    return before, net.params.copy()


@each_workload
def bench_fit(measure, backend, reference, workload, threads, quick):
    """One epoch of `fit`, with all that it checks, packs and returns."""
    n = workload.rows(*(512, 4) if quick else (12_800, 2_000))
    x, y = data(workload, n)

    def runner(backend):
        net = model(workload, backend.NAME, threads)
        return lambda: net.fit(x, y, batch_size=workload.batch, verbose=0)

    _, got = fit_check(workload, backend.NAME, threads, "float32")
    found = checked(distance(got, *exact_fit(workload)), LIMIT)
    other = None if backend is reference else runner(reference)
    measure(runner(backend), other, **results(workload, backend, "fit", n // workload.batch, error=found))
