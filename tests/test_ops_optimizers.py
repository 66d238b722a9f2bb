"""Every row of the table of optimizers in every backend.

Exact values come from `helpers/oracles.py`, and the error allowed from the row. The reference backend is judged like
the others.
"""

import numpy as np
import pytest
from fastnn.kernels.optimizers import OPTIMIZERS
from helpers import oracles
from helpers.cases import WIDTHS
from helpers.compare import same_bits, ulps
from helpers.nets import Fit, build

each_optimizer = pytest.mark.parametrize("row", OPTIMIZERS, ids=lambda row: row.name)


@each_optimizer
@pytest.mark.parametrize("t", [1, 2, 1000, 10**6])
@pytest.mark.parametrize("rate", [None, 0.5])
def test_optimizer(backend, dtype, row, t, rate):
    check_step(backend, dtype, row, {}, row.rate if rate is None else rate, t)


@pytest.mark.parametrize(
    ("name", "hyper"),
    [
        ("momentum", {"nesterov": 1.0}),
        ("momentum", {"momentum": 0.5, "nesterov": 1.0}),
        ("momentum", {"momentum": 0.0}),
        ("adam", {"beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-3}),
        ("adam", {"beta_1": 0.0}),
        ("rmsprop", {"rho": 0.5, "epsilon": 1e-2}),
        ("rmsprop", {"rho": 0.0}),
        ("adagrad", {"initial_accumulator_value": 0.5, "epsilon": 1e-2}),
        ("adamax", {"beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-3}),
        ("nadam", {"beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-3}),
        ("nadam", {"beta_1": 0.0}),
        ("lion", {"beta_1": 0.5, "beta_2": 0.2}),
    ],
)
def test_hyper_parameters(backend, dtype, name, hyper):
    row = next(row for row in OPTIMIZERS if row.name == name)
    for t in (1, 7):
        check_step(backend, dtype, row, hyper, 0.5, t)


def check_step(backend, dtype, row, hyper, rate, t):
    """One step of networks of many sizes against the oracle: weights and every state vector."""
    step = oracles.find(oracles.OPTIMIZERS, row.name)
    rng = np.random.default_rng(t)
    hyper = {**row.hyper, **hyper}
    for text in [f"{w} 1nb" for w in WIDTHS] + ["1 33", "7 9 5", "40 70 33"]:
        plan = build(text, optimizer=row.name, hyper=hyper, dtype=dtype)
        w, g = (rng.normal(0, 1, plan.n_params).astype(dtype) for _ in range(2))
        state = rng.normal(0, 1, (plan.n_slots, plan.n_params)).astype(dtype)
        g[::5] = 0
        if t == 1:
            state[...] = 0
        elif row.slots[-1:] in (("v",), ("u",)):  # of squares or sizes, that go with the mean m
            state[-1] = state[0] ** 2 + 0.1
        fit = Fit(backend, plan, w, state)
        fit.update(g, rate, t - 1)
        expected, slots = step(*oracles.extended(w, g), oracles.extended(*state), rate, t, **hyper)
        params, new_state = fit.host()
        assert ulps(params, expected, dtype) <= row.ulps, text
        for slot, got, exact in zip(row.slots, new_state, slots, strict=True):
            assert ulps(got, exact, dtype) <= row.ulps, (text, slot)


@each_optimizer
@pytest.mark.parametrize("clip", [(0, 0, 0), (0, 0, 1e3)], ids=["tile by tile", "from a whole gradient"])
def test_decay(backend, dtype, row, clip):
    """Each kernel and each bias has a decay of its own, by the rate alone, taken before the step (Loshchilov and Hutter
    2019, algorithm 2: from the weights of before)."""
    plan = build("7 40 kd:0.3 9nb kd:0 5 kd:0.7 bd:0.2", optimizer=row.name, dtype=dtype, clip=clip)
    shares = np.repeat([0.3, 0.0, 0.0, 0.7, 0.2], [280, 40, 360, 45, 5])
    rng = np.random.default_rng(3)
    w, g = (rng.normal(0, 1, plan.n_params).astype(dtype) for _ in range(2))
    fit, exact = Fit(backend, plan, w), w.astype(np.longdouble)
    slots = np.zeros((plan.n_slots, plan.n_params), np.longdouble)
    for t, rate in ((1, 0.5), (2, 0.125)):
        fit.update(g, rate, t - 1)
        step = oracles.find(oracles.OPTIMIZERS, row.name)
        stepped, slots = step(exact, g.astype(np.longdouble), slots, rate, t, **row.hyper)
        exact = stepped - rate * shares * exact
    assert ulps(fit.host()[0], exact, dtype) <= 2 * row.ulps


@each_optimizer
def test_gradients_that_are_not_finite(backend, dtype, row):
    """They spoil their own parameter and no other."""
    plan = build("37 1nb", optimizer=row.name, dtype=dtype)
    rng = np.random.default_rng(9)
    w, g = (rng.normal(0, 1, 37).astype(dtype) for _ in range(2))
    results = []
    for bad in (1.0, np.nan, np.inf):
        g[18] = bad
        fit = Fit(backend, plan, w)
        fit.update(g)
        results.append(np.vstack([*fit.host()]))
    for spoilt in results[1:]:
        # (A step that has only the sign of the gradient hides an infinity, but the state has it.)
        assert not np.isfinite(spoilt[:, 18]).all()
        assert same_bits(np.delete(spoilt, 18, axis=1), np.delete(results[0], 18, axis=1))
    assert np.isnan(results[1][0, 18])


@each_optimizer
def test_tiny_and_huge_gradients(backend, dtype, row):
    """Squares that underflow or are large still give the step of the formula."""
    step = oracles.find(oracles.OPTIMIZERS, row.name)
    plan = build("40 1nb", optimizer=row.name, dtype=dtype)
    w = np.ones(40, dtype)
    for size in (1e-30, 1e-18, 1e-6, 1e6, 1e15):
        g = (size * np.linspace(-1, 1, 40)).astype(dtype)
        fit = Fit(backend, plan, w)
        fit.update(g)
        zeros = np.zeros((plan.n_slots, 40))
        expected, _ = step(*oracles.extended(w, g), oracles.extended(*zeros), 0.01, 1, **row.hyper)
        assert ulps(fit.host()[0], expected, dtype) <= row.ulps, size


@each_optimizer
def test_gradients_whose_squares_overflow(backend, dtype, row):
    """The weights stay finite where those of the formula do."""
    plan = build("40 1nb", optimizer=row.name, dtype=dtype)
    top = np.sqrt(np.finfo(dtype).max)
    for size in (2.5 * top, 1e3 * top, 1e10 * top):
        g = (size * np.linspace(-1, 1, 40)).astype(dtype)
        fit, w = Fit(backend, plan, np.ones(40, dtype)), np.ones(40, dtype)
        fit.update(g)
        with np.errstate(all="ignore"):
            row.update(w, g, tuple(np.zeros((plan.n_slots, 40), dtype)), plan.hyper.tolist(), row.rate, 1)
        got = fit.host()[0]
        assert (np.isfinite(got) == np.isfinite(w)).all(), size
