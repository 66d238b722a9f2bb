"""Every row of the tables in every backend: activations, losses, metrics, optimisers and dropout masks.

Exact values come from `helpers/oracles.py`, and the error allowed from the row. The reference backend is judged like
the others.
"""

import numpy as np
import pytest
from fastnn.kernels import dropout
from fastnn.kernels.activations import ACTIVATIONS
from fastnn.kernels.losses import LOSSES, METRICS
from fastnn.kernels.optimizers import OPTIMIZERS
from helpers import oracles
from helpers.compare import kind, same_bits, ulps
from helpers.nets import OUTPUTS, Fit, build, draw_targets

# One vector or tile less one, itself and one more, for those of 4 to 48; and primes.
WIDTHS = (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 47, 48, 49, 63, 64, 65, 97, 127, 128, 129)

each_activation = pytest.mark.parametrize("row", ACTIVATIONS, ids=lambda row: row.name)
each_loss = pytest.mark.parametrize("row", LOSSES, ids=lambda row: row.name)
each_optimizer = pytest.mark.parametrize("row", OPTIMIZERS, ids=lambda row: row.name)


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


# Activations


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


# Losses


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


# Optimisers


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


# Dropout and noise

# Every statistic below has a known spread; a bound of five of them fails one good hash in two million. The seeds are
# fixed, so that nothing fails by chance.
SIGMAS = 5.0
RATES = (1e-12, 1e-9, 1e-3, 0.1, 0.25, 0.5, 0.9, 0.999, 1 - 2**-33)


@pytest.mark.parametrize("shape", [(1, 1), (1, 129), (3, 7), (17, 33), (64, 47), (333, 97)])
@pytest.mark.parametrize("rate", RATES)
def test_dropout_mask_is_the_same_everywhere(backend, shape, rate):
    for seed, step, op in ((0, 0, 0), (1, 2, 3), (2**64 - 1, 10**6, 31), (2**63, 2**40, 1)):
        out = np.full(shape, 7, np.uint8)
        backend.dropout_mask(seed, step, op, out, rate)
        assert np.array_equal(out, dropout.mask(seed, step, op, *shape, rate)), (seed, step, op)


def test_dropout_hash():
    """The reference against the algorithm in plain integers, and its generator against the published first number."""
    assert oracles.splitmix64(0) == 0xE220A8397B1DCDAF
    for seed, step, op in ((0, 0, 0), (2**64 - 1, 3, 5), (-1, 2**33, 12)):
        for rate in RATES:
            kept = [oracles.dropout_hash(seed, step, op, i) >= rate * 2**32 - 0.5 for i in range(7 * 11)]
            assert np.array_equal(dropout.mask(seed, step, op, 7, 11, rate), np.reshape(kept, (7, 11)))


def test_dropout_at_the_threshold(backend):
    """A hash that equals the threshold is kept, and the threshold is the nearest integer."""
    for element in range(20):
        h = oracles.dropout_hash(3, 4, 5, element)
        for offset, kept in ((0.0, 1), (-0.4, 1), (0.4, 1), (0.6, 0), (1.0, 0)):
            out = np.full((4, 5), 7, np.uint8)
            backend.dropout_mask(3, 4, 5, out, (h + offset) / 2**32)
            assert out.ravel()[element] == kept, (element, offset)


@pytest.mark.parametrize("shape", [(1, 1), (1, 129), (3, 7), (17, 33), (333, 97)])
def test_noise_is_the_same_everywhere(backend, dtype, shape):
    for seed, step, op in ((0, 0, 0), (1, 2, 3), (2**64 - 1, 10**6, 31), (2**63, 2**40, 1)):
        out = np.full(shape, np.nan, dtype)
        backend.normal_noise(seed, step, op, out)
        exact = np.reshape([oracles.normal(seed, step, op, i) for i in range(out.size)], shape)
        assert ulps(out, exact, dtype) <= 16, (seed, step, op)


def test_noise_is_normal():
    """Moments, the tails, and nothing in common between elements, steps and operations."""
    z = dropout.normal(5, 7, 2, 1000, 1000)
    for power, moment, spread in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):  # of the power: mean and variance
        assert abs(np.mean(z**power) - moment) < SIGMAS * np.sqrt(spread / z.size), power
    for limit in (0.5, 1.0, 2.0, 3.0, 4.0):
        beyond = oracles.two_tails(limit)
        assert abs((np.abs(z) > limit).mean() - beyond) < SIGMAS * np.sqrt(beyond / z.size), limit
    assert np.abs(z).max() < 5.8
    others = [
        z[1:].ravel(),
        z[:, 1:].ravel(),
        *(dropout.normal(5, 7 + s, 2 + o, 1000, 1000) for s, o in ((1, 0), (0, 1))),
    ]
    for a, b in zip((z[:-1], z[:, :-1], z, z), others, strict=True):
        assert abs(np.mean(a.ravel() * b.ravel())) < SIGMAS / np.sqrt(b.size)
        assert abs(np.mean((a.ravel() ** 2 - 1) * (b.ravel() ** 2 - 1))) < SIGMAS * 2 / np.sqrt(b.size)


def test_dropout_thresholds():
    assert dropout.threshold(1e-12) == 0
    assert dropout.threshold(2.0**-32) == 1
    assert dropout.threshold(0.5) == 2**31
    assert dropout.threshold(0.999) == round(0.999 * 2**32)
    assert dropout.threshold(1 - 2.0**-53) == 2**32 - 1  # still a number of 32 bits, that keeps something


@pytest.mark.parametrize("rate", [0.001, 0.1, 0.3, 0.5, 0.8, 0.999])
def test_dropout_rate(rate):
    rows, columns = 1000, 700
    for seed in range(3):
        dropped = ~dropout.mask(seed, 11, 2, rows, columns, rate)
        spread = np.sqrt(rate * (1 - rate))
        assert abs(dropped.mean() - rate) < SIGMAS * spread / np.sqrt(dropped.size)
        # No row and no column is special: the largest of about 1000 deviations, so one sigma more.
        for axis, n in ((0, rows), (1, columns)):
            if n * min(rate, 1 - rate) > 50:  # where counts are nearly normal
                assert np.abs(dropped.mean(axis=axis) - rate).max() < (SIGMAS + 1) * spread / np.sqrt(n)


def correlation(a, b, rate):
    """Correlation of two masks in units of its own spread."""
    a, b = (np.asarray(m, np.float64).ravel() - (1 - rate) for m in (a, b))
    return abs(np.mean(a * b)) / (rate * (1 - rate)) * np.sqrt(a.size)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.8])
def test_dropout_masks_are_independent(rate):
    def mask(seed=1, step=5, op=1):
        return dropout.mask(seed, step, op, 512, 300, rate)

    base = mask()
    for other in (mask(step=6), mask(step=4), mask(step=5 + 2**32), mask(op=0), mask(op=2), mask(seed=0), mask(seed=2)):
        assert correlation(base, other, rate) < SIGMAS
    for shift in (1, 2, 7, 64, 255):
        assert correlation(base[shift:], base[:-shift], rate) < SIGMAS, f"rows {shift} apart"
        assert correlation(base[:, shift:], base[:, :-shift], rate) < SIGMAS, f"columns {shift} apart"
    # And one step is not another one shifted, which a key that is only added would make of it.
    flat, other = base.ravel(), mask(step=6).ravel()
    for shift in range(1, 200):
        assert correlation(flat[shift:], other[:-shift], rate) < SIGMAS + 1
