"""Every row of the tables of losses and metrics in every backend.

Exact values come from `helpers/oracles.py`, and the error allowed from the row. The reference backend is judged like
the others.
"""

import numpy as np
import pytest
from fastnn.kernels.losses import LOSSES, METRICS
from helpers import oracles
from helpers.cases import WIDTHS
from helpers.compare import same_bits, ulps
from helpers.nets import OUTPUTS, Fit, build, draw_targets

each_loss = pytest.mark.parametrize("row", LOSSES, ids=lambda row: row.name)


def loss_of(backend, row, z, y, parameter=None):
    values, gradient = np.full(len(z), np.nan, z.dtype), np.full_like(z, np.nan)
    backend.loss(row.code, z, y, values, gradient, default_parameter(row, parameter))
    return values, gradient


def default_parameter(row, parameter=None):
    return (row.parameter or 0.0) if parameter is None else parameter


def exact_loss(row, z, y, parameter=None):
    with np.errstate(all="ignore"):
        t = oracles.one_hot(y, z.shape[1], z.dtype) if row.labels else y
        z, t = oracles.extended(z, t)
        a = default_parameter(row, parameter)
        return [function(z, t, a) for function in oracles.find(oracles.LOSSES, row.name)]


def loss_targets(row, shape, rng, dtype):
    y = draw_targets(row, shape, rng)
    return y if row.labels else y.astype(dtype)


def loss_outputs(row, shape, rng, dtype, size=5.0):
    return rng.uniform(*OUTPUTS.get(row.name, (-size, size)), shape).astype(dtype)


@each_loss
def test_loss(backend, dtype, row):
    rng = np.random.default_rng(5)
    for rows, width in [(1, w) for w in WIDTHS] + [(w, 10) for w in WIDTHS] + [(7, 1), (33, 3), (5, 784)]:
        z = loss_outputs(row, (rows, width), rng, dtype)
        y = loss_targets(row, z.shape, rng, dtype)
        for got, exact in zip(loss_of(backend, row, z, y), exact_loss(row, z, y), strict=True):
            assert ulps(got, exact, dtype) <= row.ulps, (rows, width)


@pytest.mark.parametrize("row", [row for row in LOSSES if row.parameter is not None], ids=lambda row: row.name)
@pytest.mark.parametrize("parameter", [0.05, 0.4, 1.0])
def test_loss_parameter(backend, dtype, row, parameter):
    rng = np.random.default_rng(11)
    for width in (1, 2, 10, 33, 64):
        z = loss_outputs(row, (9, width), rng, dtype)
        y = loss_targets(row, z.shape, rng, dtype)
        for got, exact in zip(loss_of(backend, row, z, y, parameter), exact_loss(row, z, y, parameter), strict=True):
            assert ulps(got, exact, dtype) <= row.ulps, width
    assert not same_bits(loss_of(backend, row, z, y, parameter), loss_of(backend, row, z, y, parameter / 2))


@pytest.mark.parametrize("row", [row for row in LOSSES if not row.labels], ids=lambda row: row.name)
def test_loss_of_extreme_targets(backend, dtype, row):
    """Zeros and ones, targets that do not add up to one, and outputs that hit their target."""
    rng = np.random.default_rng(6)
    z = loss_outputs(row, (40, 9), rng, dtype, 4.0)
    y = rng.integers(0, 2, z.shape).astype(dtype)
    y[3], y[4] = 0, 1
    if row.link is None:
        y[::2, ::2] = z[::2, ::2]
    for got, exact in zip(loss_of(backend, row, z, y), exact_loss(row, z, y), strict=True):
        assert ulps(got, exact, dtype) <= row.ulps


@pytest.mark.parametrize("row", [row for row in LOSSES if row.link], ids=lambda row: row.name)
@pytest.mark.parametrize("size", [30.0, 300.0, 1e4, 1e30])
def test_loss_of_large_logits(backend, dtype, row, size):
    """Nothing overflows, and the error is that of the logits themselves, which are exact to their size times eps."""
    rng = np.random.default_rng(7)
    z = (size * rng.uniform(-1, 1, (50, 6))).astype(dtype)
    y = loss_targets(row, z.shape, rng, dtype)
    (values, gradient), (exact, exact_slope) = loss_of(backend, row, z, y), exact_loss(row, z, y)
    assert np.isfinite(values).all()
    assert (np.abs(values - exact) <= row.ulps * np.finfo(dtype).eps * (1 + np.abs(exact) + size)).all()
    spread = size if size <= 300 else 0.0  # beyond, one class has it all and nothing is left to be off by
    assert (np.abs(gradient - exact_slope) <= row.ulps * np.finfo(dtype).eps * (1 + spread)).all()


@each_loss
def test_loss_of_what_is_not_finite(backend, dtype, row):
    """A row's value is finite exactly where the row's formula says so; NaN always shows; other rows are unharmed."""
    rng = np.random.default_rng(8)
    for width in (1, 3, 17, 40):
        clean = loss_outputs(row, (9, width), rng, dtype, 2.0)
        y = loss_targets(row, clean.shape, rng, dtype)
        values, gradient = loss_of(backend, row, clean, y)
        assert np.isfinite(values).all()
        for bad in (np.nan, np.inf, -np.inf):
            z = clean.copy()
            z[4, width // 2] = bad
            got, slope = loss_of(backend, row, z, y)
            with np.errstate(all="ignore"):
                formula = row.value(z, y, default_parameter(row))
            assert np.isfinite(got[4]) == np.isfinite(formula[4]), (width, bad)
            others = np.arange(9) != 4
            assert same_bits((got[others], slope[others]), (values[others], gradient[others]))
            if np.isnan(bad):
                assert np.isnan(got[4])
                assert np.isnan(slope[4, width // 2])


# Metrics


def metric_pairs():
    """Every metric with every loss that it goes with."""
    for metric in METRICS:
        for loss in LOSSES:
            if (loss.link is None or metric.from_logits) and (metric.labels or not loss.labels):
                yield pytest.param(metric, loss, id=f"{metric.name}-{loss.name}")


@pytest.mark.parametrize(("metric", "loss"), list(metric_pairs()))
def test_metric(backend, dtype, metric, loss):
    """Through `evaluate` and `loss_grad` of a network that hands on its inputs."""
    rng = np.random.default_rng(10)
    value = oracles.find(oracles.METRICS, metric.name)
    for rows, width in [(1, w) for w in WIDTHS] + [(w, 3) for w in WIDTHS] + [(50, 2), (50, 10)]:
        plan = build(str(width), loss=loss.name, metrics=[metric.name], dtype=dtype, from_logits=True)
        assert plan.threshold == (0.0 if loss.link or loss.name in ("hinge", "squared_hinge") else 0.5)
        # Few different numbers: ties, and numbers that are just the threshold.
        z = (rng.integers(-4, 5, (rows, width)) / 4).astype(dtype)
        if loss.labels:
            y = rng.integers(0, width, rows).astype(np.int32)
            t = oracles.one_hot(y, width, dtype)
        else:
            y = t = (rng.integers(0, 5, (rows, width)) / 4).astype(dtype)
        fit = Fit(backend, plan, np.empty(0, dtype), batch_size=max(rows, 1))
        exact = np.sum(value(*oracles.extended(z, t), plan.threshold))
        # A mean of a row is rounded in the plan's dtype, a count of rows is not.
        allowed = 2 * np.finfo(dtype).eps * (rows + exact)
        assert abs(fit.evaluate(z, y)[1] - exact) <= allowed, (rows, width)
        assert abs(fit.loss_grad(z, y)[1][1] - exact) <= allowed, (rows, width)
        if metric.name == "categorical_accuracy":
            assert fit.evaluate(z, y)[1] == exact
