"""What `kernels/backend.py` promises of inference, asked of every backend."""

import re

import numpy as np
import pytest
from fastnn.kernels import PlanBuilder
from fastnn.kernels.losses import LOSSES
from helpers import backends, oracles
from helpers.cases import ADAM, CASES, ERRORS, EVERY, NORMALIZED, every_result, make
from helpers.compare import relative, same_bits
from helpers.nets import Fit, build, case, masks, parse


@pytest.mark.parametrize("name", EVERY)
def test_forward_in_stages(backend, dtype, name):
    c = make(name, dtype)
    fit, n_ops = Fit.of(backend, c), len(c.plan.ops)
    whole = fit.forward(c.x)
    for cut in range(1, n_ops):
        hidden = fit.forward(c.x, 0, cut - 1)
        assert hidden.shape == (len(c.x), c.plan.ops[cut, 1])
        assert same_bits(fit.forward(hidden, cut), whole), f"cut before operation {cut}"
    stages = c.x
    for i in range(n_ops):
        stages = fit.forward(stages, i, i)
    assert same_bits(stages, whole)


def test_forward_tells_whether_inputs_are_finite(backend, dtype):
    builder = PlanBuilder(150)
    builder.dense(3)
    builder.activation("relu")  # which hides what is not
    builder.dense(2)
    plan = builder.build(loss="mse", dtype=dtype)
    # More rows than a workspace takes at a time, and enough for several threads.
    workspace = backend.to_backend(plan, np.ones(plan.n_params, dtype), np.empty((0, plan.n_params), dtype), 512, 3)
    x = np.full((1100, 150), np.finfo(dtype).max, dtype)
    out = np.empty((1100, 2), dtype)
    assert backend.forward(workspace, x, 0, 1, out)
    assert backend.forward(workspace, np.full(x.shape, 255, np.uint8), 0, 1, out)
    for first, width in ((0, 150), (1, 3)):
        values = np.ones((1100, width), dtype)
        for n in (1, 2, 40, 200, 1100):
            assert backend.forward(workspace, values[:n], first, 1, out[:n])
            for row, column in {(0, 0), (0, width - 1), (n // 2, width // 2), (n - 1, width - 1)}:
                for value in (np.nan, np.inf, -np.inf):
                    values[row, column] = value
                    assert not backend.forward(workspace, values[:n], first, 1, out[:n]), (n, row, column, value)
                values[row, column] = 1


@pytest.mark.parametrize("name", CASES)
def test_forward_of_any_number_of_rows(backend, dtype, name):
    c = make(name, dtype)
    fit = Fit.of(backend, c, batch_size=8)
    whole = fit.forward(c.x)
    # Cut where the workspace cuts too: the same rows pass together, so that not one bit may differ.
    assert same_bits(np.concatenate([fit.forward(c.x[i : i + 16]) for i in range(0, len(c.x), 16)]), whole)
    for n in (1, 2, 7, 8, 9):
        # A product of fewer rows may sum in another order.
        assert relative(fit.forward(c.x[:n]), whole[:n]) < 32 * np.finfo(dtype).eps


@pytest.mark.parametrize("name", CASES)
def test_evaluate_is_the_loss_of_forward(backend, dtype, name):
    text, n, batch, options = CASES[name]
    loss = next(row for row in LOSSES if row.name == options.get("loss", "mse"))
    if loss.link:  # forward then gives what the loss sees
        text = text.removesuffix(loss.link)
    c = case(text, n, batch, dtype=dtype, from_logits=True, **options)
    fit = Fit.of(backend, c)
    z = fit.forward(c.x).astype(np.float64)
    t = oracles.one_hot(c.y, z.shape[1], np.float64) if loss.labels else c.y.astype(np.float64)
    exact = oracles.find(oracles.LOSSES, loss.name)[0](z, t, c.plan.loss_parameter)
    sums = fit.evaluate(c.x, c.y, c.weights)
    # Each row's value has the error of its row in the table; the sum in float64 adds none to speak of.
    allowed = loss.ulps * np.finfo(dtype).eps * np.sum((1 + np.abs(exact)) * c.weights)
    assert abs(sums[0] - np.sum(exact * c.weights)) <= allowed
    assert abs(fit.evaluate(c.x, c.y)[0] - np.sum(exact)) <= allowed
    for name, got in zip(options.get("metrics", ()), sums[1:], strict=True):
        value = np.sum(oracles.find(oracles.METRICS, name)(z, t, c.plan.threshold))
        assert abs(got - value) <= loss.ulps * np.finfo(dtype).eps * (len(z) + value), name


@pytest.mark.parametrize("name", CASES)
def test_evaluate_and_loss_grad_agree_without_dropout(backend, dtype, name):
    text, n, batch, options = CASES[name]
    c = case(re.sub(r"drop\S+", "", text), n, batch, dtype=dtype, **options)
    fit = Fit.of(backend, c)
    a = fit.evaluate(c.x[:batch], c.y[:batch], c.weights[:batch])
    b = fit.loss_grad(c.x[:batch], c.y[:batch], c.weights[:batch])[1]
    np.testing.assert_allclose(a, b, rtol=64 * np.finfo(dtype).eps)


@pytest.mark.parametrize("name", [*CASES, "batch", "layer", "norms alone", "wide batch"])
def test_training_and_inference_modes(backend, name):
    """Both modes against the oracle network: dropout with its masks in training, none in inference."""
    text, _, batch, options = {**CASES, **NORMALIZED}[name]
    c = make(name, "float64")
    loss = next(row for row in LOSSES if row.name == options.get("loss", "mse"))
    layers = parse(text)[1][: -1 if loss.link else None]
    x, y, params = c.x[:batch], c.y[:batch], c.params[None]
    fit = Fit.of(backend, c)
    drawn = masks(backend, c.plan, batch)
    t = oracles.one_hot(y, c.plan.n_outputs, np.float64) if loss.labels else y
    value = oracles.find(oracles.LOSSES, loss.name)[0]
    a = c.plan.loss_parameter
    trained = np.sum(value(oracles.network(layers, params, x, drawn)[0], t, a))
    calm = [la for la in layers if la[0] != "dropout"]
    inferred = np.sum(value(oracles.network(calm, params, x, (), training=False)[0], t, a))
    assert fit.loss_grad(x, y)[1][0] == pytest.approx(trained, rel=1e-12)
    assert fit.evaluate(x, y)[0] == pytest.approx(inferred, rel=1e-12)
    assert (trained != inferred) == (bool(drawn) or "bn" in text)
    calm = [la for la in parse(text)[1] if la[0] != "dropout"]
    outputs = oracles.network(calm, params, x, (), training=False)[0]
    np.testing.assert_allclose(fit.forward(x), outputs, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("text", ["5", "5 drop0.5", "5 relu", "5 sigmoid tanh drop0.2"])
def test_networks_without_parameters(backend, dtype, text):
    c = case(text, 20, 8, dtype=dtype, metrics=ERRORS, **ADAM)
    assert c.plan.n_params == 0
    results = every_result(backend, c)
    assert results["gradient"].size == 0
    assert np.isfinite(results["train"]).all()
    reference = every_result(backends.REFERENCE, c)
    for name, got in results.items():
        np.testing.assert_allclose(got, reference[name], rtol=64 * np.finfo(dtype).eps, err_msg=name)


def test_sums_are_collected_in_double(backend):
    """2**24 and ones: a float32 sum would lose every one of them."""
    plan = build("1", loss="mse", dtype="float32")
    x = np.ones((200, 1), np.float32)
    x[0] = 2.0**12
    fit = Fit(backend, plan, np.empty(0, np.float32), batch_size=200)
    y = np.zeros((200, 1), np.float32)
    assert fit.evaluate(x, y)[0] == 2.0**24 + 199
    assert fit.loss_grad(x, y)[1][0] == 2.0**24 + 199
