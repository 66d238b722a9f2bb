"""Random networks, data and training in every backend, beside the reference in float64."""

import numpy as np
from fastnn.kernels.activations import ACTIVATIONS
from fastnn.kernels.losses import LOSS_BY_NAME, LOSSES
from fastnn.kernels.optimizers import BY_NAME, OPTIMIZERS
from helpers import backends
from helpers.compare import relative, same_bits
from helpers.nets import ENDINGS, Fit, case
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

# Rounding of 1e-16 a step, that a few steps of a shallow network amplify a thousandfold at most.
RTOL, ATOL = 1e-9, 1e-10
# An optimiser that divides by the gradient's own size amplifies the rounding of one that all but cancels by up to the
# rate over epsilon, 1e5 with its default; Lion, which takes the sign, without limit.
EPSILON = 1e-3

widths = st.one_of(st.integers(1, 20), st.sampled_from([31, 32, 33, 47, 48, 49, 64, 65, 97]))
dense = st.builds(lambda units, bias: f"{units}{'' if bias else 'nb'}", widths, st.booleans())
activation = st.sampled_from([row.name for row in ACTIVATIONS])
drop = st.sampled_from(["drop0.1", "drop0.5", "drop0.9"])
layer = st.one_of(dense, dense, activation, activation, drop)


@st.composite
def problems(draw):
    """Text of a network, rows, batch size, seed and options."""
    loss = draw(st.sampled_from([row.name for row in LOSSES]))
    words = [str(draw(widths)), *draw(st.lists(layer, max_size=6))]
    link = LOSS_BY_NAME[loss].link
    from_logits = draw(st.booleans())
    if link and not from_logits:
        words += [draw(dense), link]
    elif loss in ENDINGS:
        words.append(ENDINGS[loss])
    metrics = draw(st.sampled_from([[], ["categorical_accuracy"]]))
    if metrics and not LOSS_BY_NAME[loss].labels:
        metrics = [*metrics, "binary_accuracy"]
    options = {
        "loss": loss,
        "from_logits": from_logits,
        "optimizer": draw(st.sampled_from([row.name for row in OPTIMIZERS])),
        "metrics": metrics,
    }
    return " ".join(words), draw(st.integers(1, 70)), draw(st.integers(1, 40)), draw(st.integers(0, 10**6)), options


FEW_ROWS = "16 2 relu 3", 5, 2, 0, {"loss": "mse", "from_logits": False, "optimizer": "sgd", "metrics": []}
LABELS = {"loss": "sparse_categorical_crossentropy", "from_logits": True, "optimizer": "adam", "metrics": []}
SURE = "49 drop0.5 drop0.9 drop0.9 3 drop0.5", 6, 6, 524288, LABELS  # of its classes: gradients that all but cancel


@settings(max_examples=80)
@example(problem=FEW_ROWS, weighted=False, threads=2)
@example(problem=SURE, weighted=False, threads=1)
@given(problem=problems(), weighted=st.booleans(), threads=st.integers(1, 3))
def test_random_networks_train_like_the_reference(backend, problem, weighted, threads):
    text, n, batch, seed, options = problem
    assume(options["optimizer"] != "lion")
    hyper = {"epsilon": EPSILON} if "epsilon" in BY_NAME[options["optimizer"]].hyper else {}
    c = case(text, n, batch, seed=seed, dtype="float64", hyper=hyper, **options)
    weights = c.weights if weighted else None
    order = np.random.default_rng(seed).permutation(n)[: 4 * batch]
    results = []
    for b in (backend, backends.REFERENCE):
        fit = Fit.of(b, c, threads=threads)
        first = min(n, batch)
        gradient, _ = fit.loss_grad(c.x[:first], c.y[:first], None if weights is None else weights[:first], seed=seed)
        _, sums = fit.train(c.x, c.y, weights, order, seed=seed, step=seed)
        results.append((gradient, sums, *fit.host(), fit.forward(c.x)))
    got, expected = results
    for what, a, b in zip(("gradient", "sums", "params", "state", "forward"), got, expected, strict=True):
        if what == "sums":  # a metric may count a tie, or an output on the threshold, either way
            a, b = a[:, 0], b[:, 0]
        # A training that overflows must do so in both alike, whether as infinity or, an operation later, as NaN.
        a, b = (np.where(np.isfinite(part), part, np.nan) for part in (a, b))
        np.testing.assert_allclose(a, b, rtol=RTOL, atol=ATOL, err_msg=what)


@settings(max_examples=40)
@given(problem=problems(), threads=st.integers(2, 4))
def test_random_networks_are_the_same_on_any_threads(backend, problem, threads):
    text, n, batch, seed, options = problem
    c = case(text, n, batch, seed=seed, dtype="float32", **options)
    results = []
    for used, byte in ((1, 0x00), (threads, 0xFF)):
        fit = Fit.of(backend, c, threads=used)
        backend.poison(fit.workspace, byte)
        _, sums = fit.train(c.x, c.y, c.weights, seed=seed)
        results.append((sums, *fit.host(), fit.forward(c.x), fit.evaluate(c.x, c.y)))
    assert same_bits(*results)


@settings(max_examples=40)
@given(problem=problems())
def test_random_networks_in_float32(backend, problem):
    """One gradient and one prediction, near the reference's in float64."""
    text, n, batch, seed, options = problem
    n = min(n, batch)
    low, high = (case(text, n, n, seed=seed, dtype=dtype, **options) for dtype in ("float32", "float64"))
    results = []
    for b, c in ((backend, low), (backends.REFERENCE, low), (backends.REFERENCE, high)):
        fit = Fit.of(b, c)
        results.append((fit.loss_grad(c.x, c.y, c.weights, seed=seed)[0], fit.forward(c.x)))
    # Where float32 overflows, as exponentials of exponentials do, there is nothing to be near to.
    assume(all(np.isfinite(part).all() for part in results[1]))
    for got, reference, exact in zip(*results, strict=True):
        # A relu at its kink flips in both alike or in one alone, by chance: then the distance is of another kind.
        # The reference in float32 says how hard the problem is; see test_trajectories.py for the factor.
        allowed = 8 * relative(reference, exact) + 64 * np.finfo(np.float32).eps
        assert relative(got, exact) <= allowed


@settings(max_examples=60)
@given(
    rows=st.integers(1, 60),
    columns=st.integers(1, 70),
    rate=st.floats(0, 1, exclude_max=True),
    seed=st.integers(0, 2**64 - 1),
    step=st.integers(0, 2**48),
    op=st.integers(0, 63),
)
@example(rows=3, columns=5, rate=0.0, seed=0, step=0, op=0)
def test_any_dropout_mask(backend, rows, columns, rate, seed, step, op):
    out, expected = (np.full((rows, columns), 7, np.uint8) for _ in range(2))
    backend.dropout_mask(seed, step, op, out, rate)
    backends.REFERENCE.dropout_mask(seed, step, op, expected, rate)
    assert np.array_equal(out, expected)
