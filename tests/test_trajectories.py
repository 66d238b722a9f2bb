"""Ten training steps of every backend beside the reference: losses, metrics, weights and optimiser state.

One wrong gradient shows in one step; a wrong state, mask, order or rate shows in ten.
"""

import functools

import numpy as np
import pytest
from fastnn.kernels.losses import LOSSES
from fastnn.kernels.optimizers import OPTIMIZERS
from helpers import backends
from helpers.compare import relative
from helpers.nets import Fit, case, ending

STEPS, BATCH = 10, 24
ROWS = STEPS * BATCH - 5  # the last batch is ragged

# Float64: rounding of 1e-16 a step, times the 1e5 or so by which ten steps of Adam can blow it up where a gradient is
# near its epsilon, leaves two digits to spare.
RTOL, ATOL = 1e-9, 1e-11
# Float32: how far rounding may carry a trajectory depends on the network, so that the reference's own way from float64
# is the measure. The tables allow 4 to 8 eps to an operation of which the reference makes about one, so a backend may
# go this many times as far; the floor is for networks that the reference happens to hit to the last bit.
TIMES, FLOOR = 8.0, 8 * np.finfo(np.float32).eps
# And the reference itself stays within this share of the way that the weights have gone in ten steps.
REFERENCE_FLOAT32 = 1e-5

NETS = {
    "one layer": "13 5",
    "wide": "30 257 relu drop0.5 10",
    "deep and narrow": "9 7 tanh 7 elu 7 gelu 7 silu 7 softplus 7 leaky_relu 7 tanh 5",
    "odd": "17 33 relu drop0.2 19nb sigmoid drop0.7 3",
    "autoencoder": "49 31 tanh 5 31 relu drop0.1 49",
    "penalized": "13 40 l1:0.001 bl2:0.01 relu al1:0.01 drop0.2 17 l2:0.01 max:0.9 tanh al2:0.02 5",
    "held": "13 40 kd:2 min:0.9 max:0.9 relu 17 nonneg:1 bd:1 tanh 19 kd:0.5 min:0.2 max:0.5 nonneg:1 tied2 bd:1 5",
    "noisy": "13 noise0.3 mask0.2 20 gdrop0.3 tanh 50 noise0.1 relu 3",
    "tied": "49 31 tanh 5 tanh tied1 relu drop0.1 tied0nb",
    "elementwise": "11 drop0.1 tanh 23 drop0.3 relu softmax 8 leaky_relu:0.1 drop0.2 elu 6",
}
RATES = {
    "sgd": 0.1, "momentum": 0.03, "adam": 0.003, "rmsprop": 0.003, "adagrad": 0.03, "adamax": 0.003, "nadam": 0.003,
    "lion": 0.001,
}  # fmt: skip

each_optimizer = pytest.mark.parametrize("optimizer", [row.name for row in OPTIMIZERS])
each_net = pytest.mark.parametrize("net", NETS)


@functools.cache
def problem(net, loss, optimizer, dtype, hyper=()):
    metrics = ["categorical_accuracy"] if LOSSES_BY_NAME[loss].labels else ["binary_accuracy"]
    text = NETS[net] + ending(loss)
    c = case(text, ROWS, BATCH, loss=loss, optimizer=optimizer, metrics=metrics, dtype=dtype, hyper=dict(hyper))
    rng = np.random.default_rng(11)
    rates = RATES.get(optimizer, 0.01) * rng.uniform(0.5, 1.5, STEPS)
    return c, rng.permutation(ROWS), rates


LOSSES_BY_NAME = {row.name: row for row in LOSSES}


@functools.cache
def trajectory(name, net, loss, optimizer, dtype, hyper=()):
    """Sums (10, 2), parameters and state after ten steps, and the parameters that they started from."""
    c, order, rates = problem(net, loss, optimizer, dtype, hyper)
    fit = Fit.of(backends.AVAILABLE[name], c, threads=2)
    done, sums = fit.train(c.x, c.y, c.weights, order, rates)
    assert done == STEPS
    return sums, *fit.host(), c.params


def check_float64(backend, *arguments):
    got = trajectory(backend.NAME, *arguments)
    expected = trajectory("numpy", *arguments)
    assert relative(expected[1], expected[3]) > 1e-3, "the weights hardly moved"
    for what, a, b in zip(("sums", "weights", "state"), got, expected, strict=False):
        np.testing.assert_allclose(a, b, rtol=RTOL, atol=ATOL, err_msg=what)


@each_optimizer
@each_net
def test_float64(backend, net, optimizer):
    check_float64(backend, net, "mse", optimizer, "float64")


@each_optimizer
@pytest.mark.parametrize("loss", [row.name for row in LOSSES])
def test_float64_of_every_loss(backend, loss, optimizer):
    check_float64(backend, "odd", loss, optimizer, "float64")


def test_float64_of_nesterov(backend):
    check_float64(backend, "odd", "mse", "momentum", "float64", (("nesterov", 1.0), ("momentum", 0.7)))


def distances(name, *arguments):
    """How far a float32 trajectory is from the reference's in float64: losses, and weights by the way they went."""
    low, high = trajectory(name, *arguments, "float32"), trajectory("numpy", *arguments, "float64")
    way = np.linalg.norm(high[1] - high[3])
    return np.array(
        [
            np.max(np.abs(low[0][:, 0] - high[0][:, 0]) / (1 + np.abs(high[0][:, 0]))),
            np.linalg.norm(low[1].astype(np.float64) - high[1]) / way,
        ]
    )


def check_float32(backend, *arguments):
    own, reference = distances(backend.NAME, *arguments), distances("numpy", *arguments)
    assert (reference < REFERENCE_FLOAT32).all()
    assert (own <= TIMES * reference + FLOOR).all(), own / reference


@each_optimizer
@each_net
def test_float32(backend, net, optimizer):
    check_float32(backend, net, "mse", optimizer)


@each_optimizer
@pytest.mark.parametrize("loss", [row.name for row in LOSSES])
def test_float32_of_every_loss(backend, loss, optimizer):
    check_float32(backend, "odd", loss, optimizer)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("net", ["one layer", "odd", "autoencoder"])
@each_optimizer
def test_training_learns(backend, dtype, net, optimizer):
    """Thirty epochs on one small batch: the loss falls by a third at least."""
    c, _, _ = problem(net, "mse", optimizer, dtype)
    rows = np.arange(BATCH)
    fit = Fit.of(backend, c)
    before = fit.evaluate(c.x[rows], c.y[rows])[0]
    for epoch in range(60):
        fit.train(c.x, c.y, None, rows, np.full(1, 3 * RATES[optimizer]), step=epoch)
    assert fit.evaluate(c.x[rows], c.y[rows])[0] < 2 / 3 * before
