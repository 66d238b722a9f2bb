"""What `kernels/backend.py` promises of training, asked of every backend."""

import numpy as np
import pytest
from fastnn.kernels.activations import ACTIVATIONS
from fastnn.kernels.losses import LOSSES
from fastnn.kernels.optimizers import OPTIMIZERS
from helpers import backends
from helpers.cases import ADAM, CASES, ERRORS, EVERY, SPARSE, every_result, make
from helpers.compare import relative, same_bits, ulps
from helpers.nets import SEED, Fit, case, ending


def moving(c, params):
    """The moving statistics in a parameter vector: those of all operations, one after the other."""
    kept = np.ones(c.plan.n_params, bool)
    for part in c.plan.trained:
        kept[part] = False
    return params[kept]


@pytest.mark.parametrize("optimizer", [row.name for row in OPTIMIZERS])
def test_moving_statistics(backend, dtype, optimizer):
    """By the formula, batch by batch, and nothing of the optimizer's."""
    c = case("300 bn:0.75", 70, 32, dtype=dtype, optimizer=optimizer, clip=(0.01, 0, 0))
    c.x[:, 0] += 1000  # a variance is not a difference of large numbers
    fit = Fit.of(backend, c)
    expected = moving(c, c.params).astype(np.float64)
    assert expected.shape == (600,)
    for start in range(0, 70, 32):
        x = c.x[start : start + 32].astype(np.float64)
        expected = 0.75 * expected + 0.25 * np.concatenate([x.mean(axis=0), ((x - x.mean(axis=0)) ** 2).mean(axis=0)])
    fit.train(c.x, c.y, c.weights)
    params, state = fit.host()
    np.testing.assert_allclose(moving(c, params), expected, rtol=1e-6 if dtype == np.float32 else 1e-11, atol=1e-7)
    assert not any(moving(c, slot).any() for slot in state)
    fit.update(np.ones_like(c.params))
    assert same_bits(moving(c, fit.host()[0]), moving(c, params))


@pytest.mark.parametrize("clip", [(0, 0, 0), (0, 0, 0.1)])
def test_moving_statistics_stay_where_the_loss_is_not_finite(backend, dtype, clip):
    c = case("7 20 bn relu 3 bn", 48, 16, dtype=dtype, clip=clip)
    fits = [Fit.of(backend, c) for _ in range(2)]
    fits[0].train(c.x[:16], c.y[:16])
    c.x[20, 3] = np.nan
    done, sums = fits[1].train(c.x, c.y)
    assert done == 1
    assert np.isnan(sums[1, 0])
    assert same_bits(fits[0].host(), fits[1].host())


def test_a_batch_of_one_row(backend, dtype):
    """Its variance is 0: a batch normalisation gives beta, and hands no gradient down."""
    c = case("7 9 bn tanh 3", 1, 1, dtype=dtype)
    gradient, sums = Fit.of(backend, c).loss_grad(c.x, c.y)
    reference, expected = Fit.of(backends.REFERENCE, c).loss_grad(c.x, c.y)
    np.testing.assert_allclose(sums, expected, rtol=32 * np.finfo(dtype).eps)
    np.testing.assert_allclose(gradient, reference, rtol=1e-5, atol=1e-6)
    assert not gradient[: 8 * 9].any()


@pytest.mark.parametrize("optimizer", [row.name for row in OPTIMIZERS])
@pytest.mark.parametrize("name", EVERY)
def test_loss_grad_then_update_is_one_batch_of_train(backend, dtype, name, optimizer):
    c = make(name, dtype, optimizer=optimizer)
    c.state[...] = np.random.default_rng(4).random(c.state.shape) * 0.1
    fused, split = Fit.of(backend, c), Fit.of(backend, c)
    rows = slice(0, c.batch)
    done, fused_sums = fused.train(c.x[rows], c.y[rows], c.weights[rows], step=7)
    gradient, sums = split.loss_grad(c.x[rows], c.y[rows], c.weights[rows], step=7)
    split.update(gradient, step=7)
    assert done == 1
    assert same_bits(fused_sums[0], sums)
    # The fused update may keep more of the gradient's bits, or multiply and add in one go; so each of the two ways has
    # the error of one step that the optimiser's row allows.
    allowed = next(row for row in OPTIMIZERS if row.name == optimizer).ulps
    for a, b in zip(fused.host(), split.host(), strict=True):
        for part in c.plan.trained:
            assert ulps(a[..., part], b[..., part].astype(np.float64), dtype) <= allowed


@pytest.mark.parametrize("name", CASES)
def test_weights_of_one_are_no_weights(backend, dtype, name):
    c = make(name, dtype)
    ones = np.ones_like(c.weights)
    results = []
    for weights in (None, ones):
        fit = Fit.of(backend, c)
        first = None if weights is None else weights[: c.batch]
        results.append(
            (
                fit.loss_grad(c.x[: c.batch], c.y[: c.batch], first),
                fit.train(c.x, c.y, weights)[1],
                fit.evaluate(c.x, c.y, weights),
                fit.host(),
            )
        )
    assert same_bits(*results)


@pytest.mark.parametrize("name", CASES)
def test_rows_of_weight_zero_do_not_matter(backend, dtype, name):
    c = make(name, dtype)
    rows, ignored = slice(0, c.batch), slice(1, c.batch, 3)
    c.weights[ignored] = 0
    fit = Fit.of(backend, c)
    gradient, sums = fit.loss_grad(c.x[rows], c.y[rows], c.weights[rows])
    c.x[ignored] *= -3
    c.y[ignored] = c.y[ignored][::-1].copy()
    other_gradient, other_sums = fit.loss_grad(c.x[rows], c.y[rows], c.weights[rows])
    assert np.array_equal(gradient, other_gradient)
    assert sums[0] == other_sums[0]
    c.weights[rows] = 0
    gradient, sums = fit.loss_grad(c.x[rows], c.y[rows], c.weights[rows])
    assert not gradient.any()
    assert sums[0] == 0


@pytest.mark.parametrize("loss", [row.name for row in LOSSES])
def test_weights_scale_the_loss_and_not_the_metrics(backend, dtype, loss):
    labels = next(row.labels for row in LOSSES if row.name == loss)
    metric = "categorical_accuracy" if labels else "binary_accuracy"
    c = case("7 9 tanh 4" + ending(loss), 16, 16, dtype=dtype, loss=loss, metrics=[metric])
    fit = Fit.of(backend, c)
    plain_gradient, plain = fit.loss_grad(c.x, c.y)
    gradient, doubled = fit.loss_grad(c.x, c.y, np.full_like(c.weights, 2.0))
    assert np.array_equal(gradient, 2 * plain_gradient)  # a power of two is exact
    assert doubled[0] == 2 * plain[0]
    assert doubled[1] == plain[1]
    assert same_bits(doubled, fit.evaluate(c.x, c.y, np.full_like(c.weights, 2.0)))


@pytest.mark.parametrize(("n", "batch"), [(1, 1), (5, 1), (2, 2), (10, 64), (33, 32), (37, 7), (64, 64)])
@pytest.mark.parametrize("text", ["7 9 relu drop0.3 5 tanh 3 softmax", "1 1 1 softmax"])
def test_batch_sizes(backend, text, n, batch):
    """Any batch size trains like the reference; in float64, where rounding is far below the bound."""
    c = case(text, n, batch, dtype="float64", **SPARSE)
    results = []
    for b in (backend, backends.REFERENCE):
        fit = Fit.of(b, c)
        done, sums = fit.train(c.x, c.y, c.weights)
        assert done == -(-n // batch) == len(sums)
        results.append((sums, fit.evaluate(c.x, c.y, c.weights), fit.forward(c.x), fit.host()[0]))
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


def test_batches_smaller_than_the_workspace_allows(backend):
    c = make("classifier", "float64")
    results = []
    for b in (backend, backends.REFERENCE):
        fit = Fit.of(b, c, batch_size=40)
        sums = [fit.train(c.x, c.y, c.weights, batch_size=size, step=step)[1] for size, step in ((7, 0), (40, 7))]
        results.append((*sums, fit.host()[0]))
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


def test_order_picks_the_rows(backend, dtype):
    c = make("classifier", dtype)
    order = np.array([44, 3, 3, 0, 17, 44, 8, 1, 2, 30], dtype=np.int64)
    picked, plain = Fit.of(backend, c, batch_size=4), Fit.of(backend, c, batch_size=4)
    done, sums = picked.train(c.x, c.y, c.weights, order)
    assert done == 3
    assert same_bits(sums, plain.train(c.x[order], c.y[order], c.weights[order])[1])
    assert same_bits(picked.host(), plain.host())


def test_rates_seed_and_step_matter(backend, dtype):
    c = make("classifier", dtype)

    def train(**arguments):
        fit = Fit.of(backend, c)
        fit.train(c.x, c.y, **arguments)
        return fit.host()[0]

    base = train()
    assert same_bits(base, train(rate=0.01, seed=SEED, step=0))
    for arguments in ({"seed": SEED + 1}, {"seed": SEED - 2**63}, {"step": 1}, {"rates": np.array([0.01, 0.02, 0.01])}):
        assert not same_bits(base, train(**arguments)), arguments
    assert same_bits(c.params, train(rate=0.0))


@pytest.mark.parametrize("name", CASES)
def test_train_writes_the_outputs(backend, dtype, name):
    """Of every row in the order of training, as `forward` gives them but with dropout; and nothing else changes."""
    c = make(name, dtype)
    order = np.random.default_rng(6).permutation(len(c.x))
    shape = (len(order), c.plan.n_outputs)
    plain, fit = Fit.of(backend, c, threads=1), Fit.of(backend, c, threads=3)
    sums = plain.train(c.x, c.y, c.weights, order)
    out = np.full(shape, np.nan, dtype)
    assert same_bits(fit.train(c.x, c.y, c.weights, order, out=out), sums)
    assert same_bits(fit.host(), plain.host())
    expected = np.full(shape, np.nan, dtype)
    reference = Fit.of(backends.REFERENCE, c)
    reference.train(c.x, c.y, c.weights, order, out=expected)
    assert relative(out, expected) < 1e3 * np.finfo(dtype).eps
    alone = np.full(shape, np.nan, dtype)
    Fit.of(backend, c).train(c.x, c.y, c.weights, order, out=alone)
    assert same_bits(out, alone)
    # A rate of zero leaves the weights, so that a network without dropout gives what it predicts.
    still = Fit.of(backend, c)
    still.train(c.x, c.y, c.weights, order, rate=0.0, out=out)
    first = still.forward(c.x[order[: c.batch]])
    assert same_bits(out[: c.batch], first) == ("drop" not in CASES[name][0])


def test_outputs_after_a_loss_that_is_not_finite_are_untouched(backend, dtype):
    c = make("classifier", dtype)
    c.weights[20] = np.nan
    out = np.full((45, 3), 7, dtype)
    assert Fit.of(backend, c).train(c.x, c.y, c.weights, out=out)[0] == 1
    assert np.isfinite(out).all()
    assert (out[:16] != 7).all()
    assert (out[32:] == 7).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["targets", "weights"])
@pytest.mark.parametrize("batch", [0, 2, 3])
def test_training_stops_before_a_loss_that_is_not_finite(backend, dtype, where, bad, batch):
    c = case("7 9 tanh drop0.3 5 3", 16 * 3 + 9, 16, dtype=dtype, metrics=ERRORS, **ADAM)
    healthy = Fit.of(backend, c)
    healthy.train(c.x, c.y, c.weights, order=np.arange(16 * batch))
    (c.y if where == "targets" else c.weights)[16 * batch + 8] = bad
    fit = Fit.of(backend, c)
    done, sums = fit.train(c.x, c.y, c.weights)
    assert done == batch
    assert np.isfinite(sums[:batch]).all()
    assert not np.isfinite(sums[batch, 0])
    assert same_bits(fit.host(), healthy.host())


@pytest.mark.parametrize("activation", [row.name for row in ACTIVATIONS])
def test_a_nan_in_the_inputs_stops_training(backend, dtype, activation):
    for text in (f"7 9 {activation} 3", f"7 9 3 {activation}", f"7 {activation} 9 3"):
        c = case(text, 16, 16, dtype=dtype)
        c.x[11, 3] = np.nan
        fit = Fit.of(backend, c)
        assert fit.train(c.x, c.y)[0] == 0, text
        assert same_bits(fit.host()[0], c.params)
        out = fit.forward(c.x)
        assert np.isnan(out[11]).all()
        assert np.isfinite(np.delete(out, 11, axis=0)).all()


@pytest.mark.parametrize("loss", [row.name for row in LOSSES])
def test_a_nan_in_the_parameters_stops_training(backend, dtype, loss):
    c = case("7 9 relu 3" + ending(loss), 16, 16, dtype=dtype, loss=loss)
    c.params[-1] = np.nan
    fit = Fit.of(backend, c)
    assert fit.train(c.x, c.y)[0] == 0
    assert same_bits(fit.host()[0], c.params)


def test_no_batches(backend, dtype):
    c = make("classifier", dtype)
    fit = Fit.of(backend, c)
    assert fit.train(c.x, c.y, order=np.empty(0, np.int64), rates=np.empty(0))[0] == 0
    assert same_bits(fit.host()[0], c.params)


def test_the_caller_keeps_its_denormals(backend, dtype):
    """Kernels flush denormals, and put the caller's floating-point state back."""
    c = make("classifier", dtype)
    every_result(backend, c, threads=2)
    assert (np.full(64, np.finfo(dtype).tiny) * dtype.type(0.5)).all()
