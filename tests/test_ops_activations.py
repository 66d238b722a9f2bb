"""Every row of the table of activations in every backend.

Exact values come from `helpers/oracles.py`, and the error allowed from the row. The reference backend is judged like
the others.
"""

import numpy as np
import pytest
from fastnn.kernels.activations import ACTIVATIONS
from helpers import oracles
from helpers.cases import WIDTHS
from helpers.compare import kind, ulps

each_activation = pytest.mark.parametrize("row", ACTIVATIONS, ids=lambda row: row.name)


def activate(backend, row, z, alpha=None):
    out = np.full_like(z, np.nan)
    backend.activate(row.code, z, out, row.alpha if alpha is None else alpha)
    return out


def activate_grad(backend, row, z, dy, alpha=None):
    out = np.full_like(z, np.nan)
    backend.activate_grad(row.code, z, dy, out, row.alpha if alpha is None else alpha)
    return out


def exact_activation(row, z, alpha=None):
    with np.errstate(all="ignore"):
        (z,) = oracles.extended(z)
        return oracles.find(oracles.ACTIVATIONS, row.name)[0](z, row.alpha if alpha is None else alpha)


def exact_gradient(row, z, dy, alpha=None):
    with np.errstate(all="ignore"):
        z, dy = oracles.extended(z, dy)
        return oracles.find(oracles.ACTIVATIONS, row.name)[1](z, dy, row.alpha if alpha is None else alpha)


def upstream(rng, shape, dtype):
    """Gradients in [-1, 1]: the rows' errors are meant for numbers up to one, for the error grows with the number."""
    return rng.uniform(-1, 1, shape).astype(dtype)


@each_activation
def test_activation(backend, dtype, row):
    rng = np.random.default_rng(0)
    low, high = row.domain
    for rows, width in [(1, w) for w in WIDTHS] + [(3, w) for w in WIDTHS] + [(64, 33), (300, 20)]:
        z = rng.uniform(low, high, (rows, width)).astype(dtype)
        z[::2] /= 10  # half of the rows where activations bend
        assert ulps(activate(backend, row, z), exact_activation(row, z), dtype) <= row.ulps, (rows, width)
        dy = upstream(rng, z.shape, dtype)
        assert ulps(activate_grad(backend, row, z, dy), exact_gradient(row, z, dy), dtype) <= row.ulps, (rows, width)


@pytest.mark.parametrize("row", [row for row in ACTIVATIONS if not row.rowwise], ids=lambda row: row.name)
def test_activation_over_its_whole_domain(backend, dtype, row):
    low, high = row.domain
    z = np.concatenate([np.linspace(low, high, 20001), np.linspace(-1, 1, 4001), np.geomspace(1e-12, high, 2001)])
    z = np.concatenate([z, -np.geomspace(1e-12, -low, 2001)]).astype(dtype)[None]
    dy = upstream(np.random.default_rng(1), z.shape, dtype)
    assert ulps(activate(backend, row, z), exact_activation(row, z), dtype) <= row.ulps
    assert ulps(activate_grad(backend, row, z, dy), exact_gradient(row, z, dy), dtype) <= row.ulps


@pytest.mark.parametrize("row", [row for row in ACTIVATIONS if row.alpha], ids=lambda row: row.name)
@pytest.mark.parametrize("alpha", [0.0, 0.37, 1.7])
def test_alpha(backend, dtype, row, alpha):
    rng = np.random.default_rng(2)
    z = rng.normal(0, 3, (5, 37)).astype(dtype)
    dy = upstream(rng, z.shape, dtype)
    # alpha multiplies the error of what it scales.
    allowed = row.ulps * max(1.0, alpha)
    assert ulps(activate(backend, row, z, alpha), exact_activation(row, z, alpha), dtype) <= allowed
    assert ulps(activate_grad(backend, row, z, dy, alpha), exact_gradient(row, z, dy, alpha), dtype) <= allowed


def special_values(dtype):
    info = np.finfo(dtype)
    sizes = [0.0, np.inf, info.max, info.max / 2, info.tiny, info.tiny / 4, info.smallest_subnormal, info.eps, 1.0]
    # Where exponentials overflow and underflow, in float32 and float64.
    sizes += [87.0, 88.0, 89.0, 103.0, 104.0, 110.0, 708.0, 709.0, 710.0, 745.0, 746.0, 750.0, 1e10]
    return np.array([s * v for v in sizes for s in (1, -1)] + [np.nan, -np.nan], dtype=np.float64).astype(dtype)


@each_activation
def test_activation_of_special_values(backend, dtype, row):
    """The kind of result is that of the row's formula under IEEE rules, and finite ones are as exact as elsewhere."""
    values = special_values(dtype)
    z = np.stack([np.roll(values, shift) for shift in range(len(values))])  # each in every lane
    if row.rowwise:  # one to a row, among finite ones
        z = np.random.default_rng(3).normal(0, 1, z.shape).astype(dtype)
        z[np.arange(len(z)), np.arange(len(z))] = values
    got = activate(backend, row, z)
    with np.errstate(all="ignore"):
        formula = row.forward(z, row.alpha)
    assert np.array_equal(kind(got), kind(formula))
    finite = np.isfinite(formula)
    exact = exact_activation(row, z)
    assert ulps(got[finite], exact[finite], dtype) <= row.ulps
    lost = np.isnan(z).any(axis=1, keepdims=True) & np.ones_like(z, bool) if row.rowwise else np.isnan(z)
    assert np.isnan(got[lost]).all(), "NaN must propagate"


@each_activation
def test_gradient_at_special_values(backend, dtype, row):
    values = special_values(dtype)
    z = np.stack([np.roll(values, shift) for shift in range(len(values))])
    if row.rowwise:
        z = np.random.default_rng(3).normal(0, 1, z.shape).astype(dtype)
        z[np.arange(len(z)), np.arange(len(z))] = values
    dy = np.full_like(z, 0.75)
    dy[:, ::3] = -0.5
    got = activate_grad(backend, row, z, dy)
    with np.errstate(all="ignore"):
        formula = row.backward(z, row.forward(z, row.alpha), dy, row.alpha)
    # Some formulas answer NaN with the slope of one side, some with NaN; a loss that saw it has stopped the training
    # before anyone reads the gradient, so NaN is right everywhere.
    free = np.isnan(z)
    assert ((kind(got) == kind(formula)) | (free & np.isnan(got))).all()
    finite = np.isfinite(formula) & ~free
    # A kernel may take a denormal for zero, which at a kink is the slope of the other side.
    exact, flushed = (
        exact_gradient(row, z, dy),
        exact_gradient(row, np.where(np.abs(z) < np.finfo(dtype).tiny, 0, z), dy),
    )
    with np.errstate(invalid="ignore"):  # where both are infinite
        nearest = np.where(np.abs(got - exact) <= np.abs(got - flushed), exact, flushed)
    assert ulps(got[finite], nearest[finite], dtype) <= row.ulps


@each_activation
def test_gradient_of_a_special_gradient(backend, dtype, row):
    """NaN and infinities that come from above arrive below where the slope is not zero."""
    z = np.random.default_rng(4).uniform(0.1, 1.0, (3, 35)).astype(dtype)
    for bad in (np.nan, np.inf, -np.inf):
        dy = np.full_like(z, 0.5)
        dy[1, 17] = bad
        got = activate_grad(backend, row, z, dy)
        assert not np.isfinite(got[1, 17])
        assert np.isfinite(got[[0, 2]]).all()
        assert row.rowwise or np.isfinite(np.delete(got[1], 17)).all()


def test_softmax_of_equal_and_of_distant_values(backend, dtype):
    row = next(row for row in ACTIVATIONS if row.name == "softmax")
    big = np.finfo(dtype).max
    z = np.array([[big] * 4, [-big] * 4, [big, -big, 0, 0], [1e4, 1e4 - 1000, 0, -1e4], [0, -np.inf, 0, 0]], dtype)
    expected = [[0.25] * 4, [0.25] * 4, [1, 0, 0, 0], [1, 0, 0, 0], [1 / 3, 0, 1 / 3, 1 / 3]]
    assert ulps(activate(backend, row, z), np.array(expected), dtype) <= row.ulps
