"""What `kernels/backend.py` promises, asked of every backend."""

import inspect
import re

import numpy as np
import pytest
from fastnn.kernels import backend as contract
from fastnn.kernels.activations import ACTIVATIONS
from fastnn.kernels.optimizers import OPTIMIZERS
from fastnn.kernels.registry import MODULES
from helpers import backends
from helpers.cases import ADAM, ERRORS, EVERY, NORMALIZED, REGULARIZED, SPARSE, THREADED, every_result, make
from helpers.compare import differing, relative, same_bits
from helpers.nets import Case, Fit, build, case, parameters

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


@pytest.mark.parametrize("name", EVERY)
def test_other_numbers_in_the_same_workspace(name, backend, dtype):
    """`load` leaves a workspace as `to_backend` makes one."""
    c = make(name, dtype)
    fit = Fit.of(backend, c)
    fit.train(c.x, c.y, c.weights)
    params, state = fit.host()
    fit.train(c.x, c.y, c.weights, step=7)
    backend.load(fit.workspace, params, state)
    other = Fit(backend, c.plan, params, state, batch_size=c.batch)
    results = [
        (f.forward(c.x), f.evaluate(c.x, c.y, c.weights), f.train(c.x, c.y, c.weights, step=3)[1], *f.host())
        for f in (fit, other)
    ]
    assert same_bits(*results)


def test_two_workspaces_are_separate(backend, dtype):
    c, d = make("classifier", dtype), make("regression", dtype)
    expected = every_result(backend, c)
    fit, other = Fit.of(backend, c), Fit.of(backend, d)
    gradient, sums = fit.loss_grad(c.x[:16], c.y[:16], c.weights[:16])
    other.train(d.x, d.y)
    done = fit.train(c.x, c.y, c.weights)[1]
    assert same_bits((gradient, sums, done), (expected["gradient"], expected["loss_grad"], expected["train"]))


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
