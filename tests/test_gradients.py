"""Gradients of whole networks against finite differences of an independent network.

The differences are taken of `oracles.network`, not of the backend's own loss, so that a loss and a gradient that are
wrong together are seen.
"""

import functools
import re

import numpy as np
import pytest
from fastnn.kernels.activations import ACTIVATIONS
from fastnn.kernels.losses import LOSSES
from helpers import backends, oracles
from helpers.compare import relative
from helpers.nets import SEED, Fit, case, ending, masks, parse

# Central differences of the fourth order err by about H**4 / 30 times a fifth derivative, 1e-21 here, and by rounding,
# eps / H = 2e-11 of a loss near 1, for gradients of norm 0.01 and more.
H = 1e-5
TOLERANCE = 1e-6
# In float32 a gradient is a sum of products with some 10 rounding errors of 6e-8 each on its longest path; their
# errors add up like a random walk, and cancel in no case below by more than a factor of 10.
TOLERANCE_FLOAT32 = 1e-5
# A kink (relu at 0, mae at its target) closer than this spoils the difference.
MARGIN = 1e-3

# Losses with kinks: what is zero there.
KINKS = {
    "mae": lambda z, t, a: z - t,
    "huber": lambda z, t, a: abs(z - t) - a,
    "hinge": lambda z, t, a: 1 - z * t,
    "squared_hinge": lambda z, t, a: 1 - z * t,
    "categorical_hinge": lambda z, t, a: np.append(
        oracles.LOSSES["categorical_hinge"][0](z, t, a), np.diff(np.sort(z - t * z)[:, -2:])
    ),
}

names = [row.name for row in ACTIVATIONS]


def oracle_loss(c, layers, kept, weights):
    """Mean weighted loss of the case's rows for many parameter vectors (m, P): (m,)."""
    row = LOSSES[c.plan.loss]
    t = oracles.one_hot(c.y, c.plan.n_outputs, np.float64) if row.labels else c.y
    value = oracles.find(oracles.LOSSES, row.name)[0]

    def loss(params):
        penalties = []
        values = value(oracles.network(layers, params, c.x, kept, penalties), t, c.plan.loss_parameter)
        return np.sum(values if weights is None else values * weights, axis=-1) / len(c.x) + sum(penalties)

    return loss


def differences(loss, params):
    """Gradient (P,) of `loss` at params by central differences of the fourth order."""
    steps = H * np.eye(len(params))
    near, far = (loss(params + k * steps) - loss(params - k * steps) for k in (1, 2))
    return (8 * near - far) / (12 * H)


def smooth_around(c, layers, kept):
    """Whether no kink of the network is near: every input of a kinked function, and of the loss, keeps a margin."""
    for i, (what, *arguments) in enumerate(layers):
        if what == "regularize" and arguments[0] == "activity_l1":
            before = [la for la in layers[:i] if la[0] in ("dropout", "noise")]
            y = oracles.network(layers[:i], c.params[None, : sizes(layers[:i], c.x.shape[1])], c.x, kept[: len(before)])
            if np.abs(y).min() < MARGIN:
                return False
        if what == "regularize" and arguments[0].endswith("l1") and np.abs(c.params).min() < MARGIN:
            return False
        if what == "activation" and arguments[0] in ("relu", "leaky_relu", "elu"):
            before = [la for la in layers[:i] if la[0] in ("dropout", "noise")]
            z = oracles.network(layers[:i], c.params[None, : sizes(layers[:i], c.x.shape[1])], c.x, kept[: len(before)])
            if np.abs(z[z != 0]).min(initial=1) < MARGIN:  # what dropout made zero stays zero
                return False
    name = LOSSES[c.plan.loss].name
    if name not in KINKS:
        return True
    z = oracles.network(layers, c.params[None], c.x, kept)[0]
    return np.abs(KINKS[name](z, c.y, c.plan.loss_parameter)).min() > MARGIN


def sizes(layers, width):
    """Number of parameters of these layers."""
    total = 0
    for what, *arguments in layers:
        if what == "dense":
            total, width = total + (width + arguments[1]) * arguments[0], arguments[0]
        elif what == "normalization":
            total += width * (sum(arguments[2:4]) + 2 * (arguments[0] == "batch"))
    return total


@functools.cache
def problem(text, loss, weighted, rows=5, parameter=None):
    """A float64 case, its weights, its loss and its gradient by differences; drawn anew until no kink is near."""
    from_logits = True  # the loss sees what the last layer gives, whichever it is
    text += ending(loss, from_logits)
    layers = parse(text)[1]
    for seed in range(50):
        c = case(
            text, rows, rows, seed=seed, loss=loss, from_logits=from_logits, dtype="float64", loss_parameter=parameter
        )
        kept = masks(backends.REFERENCE, c.plan, rows)
        if smooth_around(c, layers, kept):
            weights = c.weights if weighted else None
            function = oracle_loss(c, layers, kept, weights)
            return c, weights, function(c.params[None])[0], differences(function, c.params)
    raise AssertionError("every draw has a kink nearby")


def check(backend, text, loss, weighted=False, parameter=None):
    c, weights, value, expected = problem(text, loss, weighted, parameter=parameter)
    text += ending(loss, from_logits=True)
    assert np.linalg.norm(expected) > 1e-3, "a gradient of nothing tests nothing"
    gradient, sums = Fit.of(backend, c).loss_grad(c.x, c.y, weights)
    assert sums[0] / len(c.x) == pytest.approx(value, rel=1e-12)
    assert relative(gradient, expected) < TOLERANCE
    # The same in float32, which has kernels of its own.
    low = case(text, len(c.x), len(c.x), loss=loss, from_logits=True, dtype="float32", loss_parameter=parameter)
    x, y, params = (a if a.dtype == np.int32 else a.astype(np.float32) for a in (c.x, c.y, c.params))
    weights = None if weights is None else weights.astype(np.float32)
    gradient, sums = Fit(backend, low.plan, params).loss_grad(x, y, weights)
    assert sums[0] / len(c.x) == pytest.approx(value, rel=TOLERANCE_FLOAT32)
    assert relative(gradient, expected) < TOLERANCE_FLOAT32


@pytest.mark.parametrize("loss", [row.name for row in LOSSES])
@pytest.mark.parametrize("activation", names)
@pytest.mark.parametrize("where", ["hidden", "last"])
def test_activation_and_loss(backend, activation, loss, where):
    check(backend, f"4 7 {activation} 3" if where == "hidden" else f"4 5 tanh 3 {activation}", loss)


@pytest.mark.parametrize("activation", names)
@pytest.mark.parametrize(
    "text",
    [
        "4 7 {} drop0.4 3",
        "4 drop0.2 7 {} drop0.4 3 drop0.1",
        "4 {} 6 3",
        "4 6 {} {} 3",
        "4 6 drop0.3 {} 3",
        "4 7nb {} 3nb",
        "4 7 {} drop0.2 drop0.2 5 {} 3",
    ],
)
def test_every_place_of_an_operation(backend, activation, text):
    """With dropout, without biases, and element-wise operations of their own: first, in between, doubled and last."""
    check(backend, text.format(activation, activation), "mse", weighted=True)


@pytest.mark.parametrize("loss", [row.name for row in LOSSES])
def test_weights_and_dropout_with_each_loss(backend, loss):
    check(backend, "5 9 tanh drop0.5 6 gelu 4", loss, weighted=True)


@pytest.mark.parametrize("loss", [row.name for row in LOSSES if row.parameter is not None])
@pytest.mark.parametrize("parameter", [0.1, 0.7])
def test_loss_parameter(backend, loss, parameter):
    check(backend, "4 7 tanh 3", loss, weighted=True, parameter=parameter)


@pytest.mark.parametrize(
    "text",
    [
        "4 7 tanh tied0",
        "4 7 tanh 3nb tanh tied1nb tanh tied0",
        "4 33nb gelu tied0 tanh 33 tied1nb",
        "35 3 tanh tied0nb",
    ],
)
def test_tied_kernels(backend, text):
    check(backend, text, "mse", weighted=True)


@pytest.mark.parametrize("norm", ["bn", "ln"])
@pytest.mark.parametrize(
    "text",
    [
        "4 7 {} tanh 3",
        "4 {} 7 relu {} 3 {}",
        "4 {}",
        "4 7 {}nb tanh 3 {}ng sigmoid",
        "4 {}nbng 7 {}nbng softmax 3",
        "4 37nb {} gelu drop0.3 70 {} elu noise0.2 3nb",
        "4 7 softmax {} silu gdrop0.3 {} softplus drop0.2 softmax 3",
        "4 7 {} l1:0.02 l2:0.1 bl1:0.1 bl2:0.2 tanh al1:0.1 drop0.2 3 {} al2:0.1",
        "4 7 tanh {} tied0 {} tanh",
        "4 70 {} drop0.5 tanh {} relu 3 softmax {} softmax",
    ],
)
def test_normalization(backend, norm, text):
    check(backend, text.format(*[norm] * 4), "mse", weighted=True)


@pytest.mark.parametrize(
    "text",
    [
        "4 noise0.3 7 tanh 3",
        "4 mask0.3 7 tanh mask0.2 3",
        "4 7 tanh noise0.2 5 noise0.1 gelu 3 noise0.2",
        "4 gdrop0.3 7 tanh gdrop0.2 33 gdrop0.5 relu 3 gdrop0.1",
        "4 7 softmax noise0.2 drop0.2 gdrop0.2 3",
    ],
)
def test_noise(backend, text):
    check(backend, text, "mse", weighted=True)


@pytest.mark.parametrize(
    "text",
    [
        "4 7 l1:0.1 tanh 3",
        "4 7 tanh 3 l2:0.1",
        "4 7 l1:0.02 l2:0.05 bl1:0.1 bl2:0.2 tanh 3 l2:0.1",
        "4 7 tanh al1:0.3 3",
        "4 7 tanh al2:0.3 drop0.3 5 gelu al1:0.1 al2:0.2 3 al2:0.1",
        "4 7 tanh al1:0.1 silu al2:0.2 drop0.2 3",
        "4 tanh al2:0.3 33 softmax al1:0.3 al2:0.2 3nb l1:0.1",
    ],
)
def test_penalties(backend, text):
    check(backend, text, "mse", weighted=True)


@pytest.mark.parametrize("activation", ["leaky_relu", "elu"])
def test_alpha(backend, activation):
    check(backend, f"4 7 {activation}:0.6 3 {activation}:0.3", "mse")


@pytest.mark.parametrize("text", ["1 1", "1 33 tanh 1", "33 1 tanh 17", "3 2 tanh 2 tanh 2 tanh 2 tanh 2 tanh 2"])
def test_odd_shapes(backend, text):
    check(backend, text, "mse")


@pytest.mark.parametrize("loss", [row.name for row in LOSSES if row.link])
def test_absorbed_activation_is_the_loss_of_its_output(backend, loss):
    """The loss of a network that ends in its link, written with the logarithm of the probabilities."""
    row = next(row for row in LOSSES if row.name == loss)
    c = case(f"4 7 tanh 3 {row.link}", 6, 6, loss=loss, dtype="float64")
    t = oracles.one_hot(c.y, 3, np.float64) if row.labels else c.y
    layers = parse(f"4 7 tanh 3 {row.link}")[1]

    def of_probabilities(params):
        p = oracles.network(layers, params, c.x, ())
        if row.link == "softmax":
            return -np.sum(t * np.log(p), axis=(-1, -2)) / len(c.x)
        return -np.sum(np.mean(t * np.log(p) + (1 - t) * np.log(1 - p), axis=-1), axis=-1) / len(c.x)

    gradient, sums = Fit.of(backend, c).loss_grad(c.x, c.y)
    assert sums[0] / len(c.x) == pytest.approx(of_probabilities(c.params[None])[0], rel=1e-10)
    assert relative(gradient, differences(of_probabilities, c.params)) < TOLERANCE


def test_kinks_take_the_slope_from_the_left(backend, dtype):
    """All weights zero: every unit of the layer sits on the kink."""
    for activation, slope in (("relu", 0.0), ("leaky_relu:0.25", 0.25), ("elu:0.5", 0.5)):
        c = case(f"1 1nb {activation}", 4, 4, dtype=dtype)
        c.params[...] = 0
        c.x[...], c.y[...] = 1, -1
        gradient, _ = Fit.of(backend, c).loss_grad(c.x, c.y)
        assert gradient[0] == 2 * slope, activation
    c = case("3", 4, 4, dtype=dtype, loss="mae")
    values, gradient = np.empty(4, dtype), np.full((4, 3), np.nan, dtype)
    backend.loss(c.plan.loss, c.y, c.y.copy(), values, gradient, 0.0)
    assert not gradient.any()


def test_the_problems_are_what_they_say():
    """Dropout drops, weights weigh: the differences above would not notice if both sides left them out."""
    text = "4 7 tanh drop0.4 3"
    c, _, value, _ = problem(text, "mse", True)
    assert masks(backends.REFERENCE, c.plan, 5, seed=SEED)[0].mean() < 1
    plain = case(re.sub("drop0.4", "", text), 5, 5, dtype="float64")
    fit = Fit(backends.REFERENCE, plain.plan, c.params)
    assert abs(fit.loss_grad(c.x, c.y, c.weights)[1][0] / 5 - value) > 1e-3
    assert abs(Fit.of(backends.REFERENCE, c).loss_grad(c.x, c.y)[1][0] / 5 - value) > 1e-3
