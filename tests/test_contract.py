"""What `kernels/backend.py` promises, asked of every backend."""

import inspect
import re

import numpy as np
import pytest
from fastnn.kernels import backend as contract
from fastnn.kernels.activations import ACTIVATIONS
from fastnn.kernels.losses import LOSSES
from fastnn.kernels.optimizers import OPTIMIZERS
from fastnn.kernels.registry import MODULES
from helpers import backends, oracles
from helpers.compare import differing, relative, same_bits, ulps
from helpers.nets import SEED, Case, Fit, build, case, ending, masks, parameters, parse

ACCURACY = ("categorical_accuracy",)
ERRORS = ("mae", "mse", "binary_accuracy")
ADAM = {"optimizer": "adam"}
SPARSE = {"loss": "sparse_categorical_crossentropy", "metrics": ACCURACY, **ADAM}

# name -> arguments of `case`. The last batch is ragged in all of them.
CASES = {
    "classifier": ("7 9 relu drop0.3 5 tanh 3 softmax", 45, 16, SPARSE),
    "multilabel": (
        "11 17 gelu 6 sigmoid",
        45,
        16,
        {"loss": "binary_crossentropy", "metrics": ["binary_accuracy"], **ADAM},
    ),
    "regression": ("13 33 gelu 19 silu drop0.5 1", 45, 16, {"metrics": ERRORS, "optimizer": "rmsprop"}),
    "autoencoder": ("50 31 elu 3nb 31 relu 50 sigmoid", 70, 32, {"metrics": ERRORS, **ADAM}),
    "elementwise": (
        "6 drop0.2 tanh 9nb leaky_relu drop0.5 elu:0.5 drop0.1 4 softplus",
        45,
        16,
        {"optimizer": "momentum"},
    ),
    "dense targets": ("9 20 sigmoid 5 softmax", 45, 16, {"loss": "categorical_crossentropy", "metrics": ACCURACY}),
    "smoothed labels": ("9 20 tanh 5 softmax", 45, 16, {**SPARSE, "loss_parameter": 0.2}),
    "counts": ("9 35 tanh 3 softplus", 45, 16, {"loss": "poisson", "metrics": ERRORS, **ADAM}),
    "angles": ("9 20 tanh 37", 45, 16, {"loss": "cosine_similarity", **ADAM}),
    "wide": ("40 64 tanh 100 sigmoid", 45, 16, ADAM),
    "inner softmax": ("5 8 softmax 33 3", 45, 16, {"loss": "mae", "metrics": ["mae"], **ADAM}),
}
# Big enough for a backend to share the work out, with odd sizes everywhere; the classifier of three layers twice.
THREADED = {
    "257-300-10": ("257 300 relu drop0.5 10 softmax", 300, 128, SPARSE),
    "129-511-65-7": ("129 511 tanh 65 gelu drop0.1 7", 191, 96, {"metrics": ERRORS, "optimizer": "momentum"}),
    "300-150-300": ("300 drop0.1 150 relu 33nb softmax 300 sigmoid", 201, 67, {"metrics": ERRORS, **ADAM}),
    "100-290-210": ("100 290 relu 210 sigmoid", 150, 64, {"loss": "huber", **ADAM}),
    "40-40-1": ("40 40 relu 1 sigmoid", 333, 200, {"loss": "binary_crossentropy", **ADAM}),
}
# What goes beyond the loss of the rows.
REGULARIZED = {
    "penalties": (
        "9 20 l1:0.01 l2:0.02 bl1:0.1 tanh al1:0.1 al2:0.2 drop0.3 5 bl2:0.1 3 l2:0.1 softmax",
        45,
        16,
        SPARSE,
    ),
    "noise": ("9 noise0.3 mask0.2 20 gdrop0.3 tanh 50 noise0.1 3", 45, 16, ADAM),
    "tied": ("50 31 l2:0.01 tanh 3 tanh tied1nb drop0.1 tanh tied0 bl2:0.1", 45, 16, ADAM),
    "tied and more": ("170 130 max:1.1 tanh 20nb tied1 tanh tied0", 45, 16, {"clip": (0, 0.05, 0), **ADAM}),
    "max norm": ("9 35 max:0.8 tanh 3nb max:0.5", 45, 16, ADAM),
    "held": ("9 35 min:0.9 max:0.9 tanh 40 nonneg:1 tanh 3nb min:0.3 max:0.5 nonneg:1", 45, 16, ADAM),
    "decay": ("9 35 kd:2 tanh 3 kd:1 bd:3 tanh 9nb kd:0.5", 45, 16, ADAM),
    "decay of few rows": ("9 35 kd:2 tanh 3 bd:1", 13, 3, {"optimizer": "sgd"}),
    "decay, clipped and tied": (
        "50 31 kd:2 bd:1 tanh 3 tanh tied1 bd:2 tanh tied0nb",
        45,
        16,
        {"clip": (0, 0, 1), **ADAM},
    ),
    "clipped value": ("9 35 l2:0.1 tanh 3", 45, 16, {"optimizer": "momentum", "clip": (0.01, 0, 0)}),
    "few rows": ("9 35 l2:0.1 tanh 3", 13, 3, {"optimizer": "sgd"}),
    "few rows clipped": ("9 35 tanh 3", 13, 3, {"optimizer": "sgd", "clip": (0.01, 0, 0)}),
    "clipped norms": ("9 35 l2:0.1 tanh 3nb", 45, 16, {"clip": (0, 0.05, 0), **ADAM}),
    "clipped norm": ("90 117 drop0.3 tanh 130nb max:1.1 3", 45, 16, {"clip": (0, 0, 0.05), **ADAM}),
}
# Layers that bring their inputs to mean 0 and variance 1. The last batch has one row in some of them.
NORMALIZED = {
    "batch": ("7 20 bn relu drop0.3 5 tanh bn:0.5 3 softmax", 45, 16, SPARSE),
    "layer": ("7 20 ln relu drop0.3 5 tanh ln 3 softmax", 45, 16, SPARSE),
    "first and last": (
        "7 bn 35 lnnb gelu bnng softmax 9 bnnbng:0.2",
        33,
        16,
        {"metrics": ERRORS, "optimizer": "momentum"},
    ),
    "wide batch": ("40 170 bn relu 260nb bn tanh drop0.2 65 bn sigmoid", 257, 128, {"metrics": ERRORS, **ADAM}),
    "wide layer": ("40 170 ln relu 260nb ln tanh drop0.2 65 ln sigmoid", 257, 128, {"metrics": ERRORS, **ADAM}),
    "decay and norms": ("9 35 bn kd:2 bd:1 tanh 20 ln kd:1 relu 3", 45, 16, ADAM),
    "norms alone": ("70 bn ln tanh bn ln", 33, 16, {"optimizer": "momentum"}),
    "penalties and norms": (
        "40 150 bn l1:0.01 l2:0.1 bl2:0.1 tanh al2:0.1 130 ln l2:0.1 bl1:0.1 relu 3",
        97,
        48,
        {"clip": (0.01, 0, 0), **ADAM},
    ),
    "clipped norms and norms": ("90 117 bn tanh 130nb lnnb 40 bnng 3", 97, 48, {"clip": (0, 0.05, 0), **ADAM}),
    "clipped norm and norms": ("90 117 bn tanh 130nb lnnb 40 bnng 3", 97, 48, {"clip": (0, 0, 0.05), **ADAM}),
    "tied and norms": ("50 31 bn tanh 3 ln tanh tied1nb bn tanh noise0.1 tied0 bn", 45, 16, ADAM),
}
EVERY = [*CASES, *REGULARIZED, *NORMALIZED]


def make(name, dtype, **more):
    text, n, batch, options = {**CASES, **THREADED, **REGULARIZED, **NORMALIZED}[name]
    return case(text, n, batch, dtype=dtype, **{**options, **more})


def every_result(backend, c, poison=None, **options):
    """Each result that a workspace can give, by name; the scratch is filled with the byte `poison` before each call."""
    fit, results = Fit.of(backend, c, **options), {}

    def keep(**named):
        results.update(named)
        if poison is not None:
            backend.poison(fit.workspace, poison)

    keep()
    gradient, sums = fit.loss_grad(c.x[: c.batch], c.y[: c.batch], c.weights[: c.batch])
    keep(gradient=gradient, loss_grad=sums)
    keep(train=fit.train(c.x, c.y, c.weights)[1])
    keep(more=fit.train(c.x, c.y, None, order=np.arange(len(c.x))[::-1].copy(), step=3)[1])
    keep(evaluate=fit.evaluate(c.x, c.y, c.weights))
    keep(forward=fit.forward(c.x))
    fit.update(gradient, step=6)
    keep()
    results["params"], results["state"] = fit.host()
    return results


# Names and arguments


@pytest.mark.parametrize("name", list(dict.fromkeys([*MODULES, *backends.REQUIRED])))
def test_backend_is_available(name):
    if name in backends.BROKEN:
        pytest.fail(f"the backend {name!r} cannot be imported: {backends.BROKEN[name]!r}")
    if name not in backends.AVAILABLE:
        reason = f"the backend {name!r} is not available: {backends.UNAVAILABLE.get(name, 'there is no such backend')}"
        if name in backends.REQUIRED:
            pytest.fail(f"{reason} (FASTNN_REQUIRE_BACKENDS wants it)")
        pytest.skip(reason)
    assert name == backends.AVAILABLE[name].NAME


def documented_arguments():
    """Function -> argument names, as the text of the contract gives them."""
    found = re.findall(r"(?<!`)`(\w+)\(([\w, ]*)\)`(?!`)", contract.__doc__)
    return {name: arguments.split(", ") for name, arguments in found}


def test_the_contract_describes_its_functions():
    assert set(documented_arguments()) == set(contract.FUNCTIONS)


@pytest.mark.parametrize("function", contract.FUNCTIONS)
def test_arguments(backend, function):
    arguments = inspect.signature(getattr(backend, function)).parameters.values()
    assert [p.name for p in arguments] == documented_arguments()[function]
    assert all(p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD for p in arguments)


def test_arguments_by_name(backend):
    a, out = np.ones((2, 2)), np.empty((2, 2))
    backend.gemm(a=a, b=a, out=out, trans_a=False, trans_b=True, threads=1)
    assert (out == 2).all()


# Bit for bit


@pytest.mark.parametrize("name", EVERY)
def test_scratch_does_not_matter(backend, dtype, name):
    c = make(name, dtype)
    clean = every_result(backend, c)
    for byte in (0x00, 0xFF):
        assert not differing(clean, every_result(backend, c, poison=byte)), f"scratch filled with {byte:#x} shows"


@pytest.mark.parametrize("name", EVERY)
def test_repeatable(backend, dtype, name):
    c = make(name, dtype)
    assert not differing(every_result(backend, c), every_result(backend, c))


@pytest.mark.parametrize("name", [*THREADED, *REGULARIZED, *NORMALIZED])
def test_threads_do_not_matter(backend, dtype, name):
    c = make(name, dtype)
    alone = every_result(backend, c, threads=1)
    assert all(np.isfinite(a).all() for a in alone.values())
    for threads in (2, 3, 4):
        assert not differing(alone, every_result(backend, c, threads=threads)), f"{threads} threads differ from 1"


def test_a_short_last_piece_waits_for_the_long_one(backend):
    """With fewer rows other rows are a thread's own: nobody may begin before all have left the piece before."""
    c = case("257 300 relu 10", 300, 256, loss="mse")
    fits = [Fit.of(backend, c, threads=threads) for threads in (1, 2, 3)]
    expected = fits[0].forward(c.x)
    for _ in range(60):
        assert all(same_bits(fit.forward(c.x), expected) for fit in fits[1:])


@pytest.mark.parametrize("name", EVERY)
def test_cuts_of_an_epoch_do_not_matter(backend, dtype, name):
    c = make(name, dtype)
    rng = np.random.default_rng(3)
    order = rng.permutation(len(c.x))
    rates = rng.uniform(0.001, 0.05, -(-len(order) // c.batch))
    whole, parts = Fit.of(backend, c), Fit.of(backend, c)
    done, sums = whole.train(c.x, c.y, c.weights, order, rates, step=4)
    assert done == len(rates)
    pieces, k = [], 0
    for length in (1, len(rates) - 1):
        piece = order[k * c.batch : (k + length) * c.batch]
        pieces.append(parts.train(c.x, c.y, c.weights, piece, rates[k : k + length].copy(), step=4 + k)[1])
        k += length
    assert same_bits(sums, np.concatenate(pieces))
    assert same_bits(whole.host(), parts.host())


@pytest.mark.parametrize("name", EVERY)
def test_read_only_arrays(backend, dtype, name):
    c = make(name, dtype)
    expected = every_result(backend, c)
    frozen = [a.copy() for a in (c.params, c.state, c.x, c.y, c.weights)]
    for a in frozen:
        a.flags.writeable = False
    assert not differing(expected, every_result(backend, Case(c.plan, *frozen, c.batch)))


def test_read_only_order_rates_and_gradient(backend, dtype):
    c = make("classifier", dtype)
    order, rates, gradient = np.arange(45), np.full(3, 0.01), np.ones_like(c.params)
    results = []
    for writeable in (True, False):
        for a in (order, rates, gradient):
            a.flags.writeable = writeable
        fit = Fit.of(backend, c)
        sums = fit.train(c.x, c.y, None, order, rates)
        fit.update(gradient)
        results.append((sums[1], fit.host()))
    assert same_bits(*results)


@pytest.mark.parametrize("kind", ["real", "uint8"])
def test_memory_mapped_inputs(backend, dtype, tmp_path, kind):
    c = make("classifier", dtype)
    if kind == "uint8":
        c.x = np.random.default_rng(5).integers(0, 256, c.x.shape).astype(np.uint8)
    expected = every_result(backend, c)
    np.save(tmp_path / "x.npy", c.x)
    c.x = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert isinstance(c.x, np.memmap)
    assert not differing(expected, every_result(backend, c))


@pytest.mark.parametrize("text", ["7 9 relu 5 tanh 7 sigmoid", "7 drop0.2 tanh 9nb 7"])
def test_uint8_is_scaled(backend, dtype, text):
    scales = {"input_scale": 1 / 255, "target_scale": 1 / 127}
    c = case(text, 45, 16, dtype=dtype, metrics=ERRORS, **scales, **ADAM)
    rng = np.random.default_rng(8)
    x, y = (rng.integers(0, 256, c.x.shape).astype(np.uint8) for _ in range(2))
    x[0], y[1] = np.arange(7) * 42, 255
    real = [a.astype(dtype) * dtype.type(s) for a, s in zip((x, y), scales.values(), strict=True)]
    results = []
    for c.x, c.y in ((x, y), (x, real[1]), (real[0], y), real):
        results.append(every_result(backend, c))
    assert np.isfinite(results[0]["params"]).all()
    for other in results[1:]:
        assert not differing(results[0], other)


@pytest.mark.parametrize("target_scale", [1 / 255, 1.0])
@pytest.mark.parametrize("kind", ["uint8", "real"])
def test_targets_that_are_the_inputs(backend, dtype, kind, target_scale):
    """A backend may notice that the two are one array; it must make no difference."""
    plan = build("50 64 tanh 50 sigmoid", dtype=dtype, input_scale=1 / 255, target_scale=target_scale, **ADAM)
    rng = np.random.default_rng(8)
    x = rng.integers(0, 256, (45, 50)).astype(np.uint8) if kind == "uint8" else rng.random((45, 50)).astype(dtype)
    order = rng.permutation(45)
    results = []
    for targets, threads in ((x.copy(), 1), (x, 1), (x, 3)):
        fit = Fit(backend, plan, parameters(plan, 0), batch_size=16, threads=threads)
        _, sums = fit.train(x, targets, order=order)
        results.append((sums, *fit.host()))
    assert same_bits(results[0], results[1])
    assert same_bits(results[0], results[2])


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


# Parameters, state and what is left alone


def test_the_caller_keeps_its_arrays(backend, dtype):
    c = make("classifier", dtype)
    arrays = (c.params, c.state, c.x, c.y, c.weights)
    before = [a.copy() for a in arrays]
    first = every_result(backend, c)
    assert same_bits(before, list(arrays))
    fit = Fit.of(backend, c)
    c.params[...], c.state[...] = 7, 7
    assert same_bits(fit.host(), tuple(before[:2]))
    c.params[...], c.state[...] = before[:2]
    assert not differing(first, every_result(backend, c))


@pytest.mark.parametrize("name", EVERY)
def test_parameters_survive_the_way_there_and_back(backend, dtype, name):
    c = make(name, dtype)
    c.state[...] = np.random.default_rng(2).random(c.state.shape)
    params, state = Fit.of(backend, c).host()
    assert same_bits((params, state), (c.params, c.state))


@pytest.mark.parametrize("optimizer", [row.name for row in OPTIMIZERS])
def test_a_resumed_fit_goes_on_as_if_never_stopped(backend, dtype, optimizer):
    c = case("7 9 relu drop0.3 5 tanh 3 softmax", 16 * 9 + 5, 16, dtype=dtype, **{**SPARSE, "optimizer": optimizer})
    whole, first = Fit.of(backend, c), Fit.of(backend, c)
    whole.train(c.x, c.y)
    first.train(c.x, c.y, order=np.arange(80))
    second = Fit(backend, c.plan, *first.host(), batch_size=16)
    second.train(c.x, c.y, order=np.arange(80, len(c.x)), step=5)
    assert same_bits(whole.host(), second.host())


@pytest.mark.parametrize("name", EVERY)
def test_loss_grad_and_inference_change_nothing(backend, dtype, name):
    c = make(name, dtype)
    fit = Fit.of(backend, c)
    fit.loss_grad(c.x[: c.batch], c.y[: c.batch])
    fit.evaluate(c.x, c.y)
    fit.forward(c.x)
    assert same_bits(fit.host(), (c.params, c.state))


@pytest.mark.parametrize("name", REGULARIZED)
def test_what_goes_beyond_the_loss(backend, name):
    """Every result beside the reference's, and nothing that is asked for is left out."""
    c = make(name, "float64")
    got, expected = every_result(backend, c, threads=2), every_result(backends.REFERENCE, c)
    for what in expected:
        np.testing.assert_allclose(got[what], expected[what], rtol=1e-9, atol=1e-11, err_msg=what)
    text, n, batch, options = REGULARIZED[name]
    plain = re.sub(r"(\w+:|noise|mask|gdrop)\S+ ?", "", text).strip()
    if "tied" in text:
        return  # as many parameters less

    without = case(plain, n, batch, dtype="float64", **{**options, "clip": (0, 0, 0)})
    assert relative(every_result(backend, without)["params"], got["params"]) > 1e-3


@pytest.mark.parametrize("name", NORMALIZED)
def test_normalization(backend, name):
    """Every result beside the reference's, which is held to the oracle network by the test of the modes."""
    c = make(name, "float64")
    got, expected = every_result(backend, c, threads=2), every_result(backends.REFERENCE, c)
    for what in expected:
        np.testing.assert_allclose(got[what], expected[what], rtol=1e-9, atol=1e-11, err_msg=what)


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


def test_other_penalties_in_the_same_workspace(backend, dtype):
    """`retune` goes on as a new workspace does that is made with the other plan."""
    first, second = (case(f"9 40 l2:{l2} tanh 3 l2:{l2} softmax", 45, 16, dtype=dtype, **SPARSE) for l2 in (0.01, 0.3))
    fit = Fit.of(backend, first)
    fit.train(first.x, first.y)
    other = Fit(backend, second.plan, *fit.host(), batch_size=16)
    backend.retune(fit.workspace, second.plan)
    results = [
        (f.train(first.x, first.y, step=3)[1], f.loss_grad(first.x[:9], first.y[:9]), f.host()) for f in (fit, other)
    ]
    (sums, (gradient, _), host), expected = results
    assert same_bits((sums, gradient, *host), (expected[0], expected[1][0], *expected[2]))
    backend.retune(fit.workspace, first.plan)
    assert not same_bits(fit.loss_grad(first.x[:9], first.y[:9])[0], gradient)


def test_two_workspaces_are_separate(backend, dtype):
    c, d = make("classifier", dtype), make("regression", dtype)
    expected = every_result(backend, c)
    fit, other = Fit.of(backend, c), Fit.of(backend, d)
    gradient, sums = fit.loss_grad(c.x[:16], c.y[:16], c.weights[:16])
    other.train(d.x, d.y)
    done = fit.train(c.x, c.y, c.weights)[1]
    assert same_bits((gradient, sums, done), (expected["gradient"], expected["loss_grad"], expected["train"]))


# Training


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


# Inference


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


# Aliasing


@pytest.mark.parametrize("row", ACTIVATIONS, ids=lambda row: row.name)
@pytest.mark.parametrize("shape", [(1, 1), (3, 7), (5, 64), (17, 33)])
def test_activations_in_place(backend, dtype, row, shape):
    rng = np.random.default_rng(1)
    z, dy = (rng.normal(0, 3, shape).astype(dtype) for _ in range(2))
    out, gradient = np.full_like(z, np.nan), np.full_like(z, np.nan)
    backend.activate(row.code, z, out, row.alpha)
    backend.activate_grad(row.code, z, dy, gradient, row.alpha)
    in_place, gradient_in_place = z.copy(), dy.copy()
    backend.activate(row.code, in_place, in_place, row.alpha)
    backend.activate_grad(row.code, z, gradient_in_place, gradient_in_place, row.alpha)
    assert same_bits((out, gradient), (in_place, gradient_in_place))
