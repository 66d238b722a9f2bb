"""Plain gradient descent by a few rows: compiled backends make the next batch's first product with the update."""

import numpy as np
import pytest
from helpers import backends
from helpers.compare import relative, same_bits
from helpers.nets import Fit, case

NETS = {
    "deep": ("300 60 sigmoid 60 tanh 10", {}),
    "wide": ("37 130 relu drop0.3 9 softmax", {"loss": "sparse_categorical_crossentropy"}),
    "noisy": ("129 33 noise0.1 gelu 70nb relu 3", {"metrics": ["mae"]}),
    "alone": ("260 3", {}),
    "without biases": ("140 40nb tanh 5nb", {}),
    "reproduces": ("140 31 relu 140", {}),
    # Where the first weights change once more, or depend on all of the gradient, nothing can be made ahead.
    "bounded": ("140 40 max:1 relu 5", {}),
    "clipped": ("140 40 relu 5", {"clip": (0, 0, 0.05)}),
    "tied": ("140 40 tanh tied0", {}),
    "normalized": ("140 ln 40 relu 5", {}),
    "softmax first": ("140 40 softmax 5", {}),
}


REFUSED = "bounded", "clipped", "tied", "normalized", "softmax first"


def network(name, batch, dtype):
    text, options = NETS[name]
    return case(text, 8 * batch + 1, batch, dtype=dtype, **{"loss": "mse", "optimizer": "sgd", **options})


@pytest.mark.parametrize("batch", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("name", NETS)
def test_neither_cuts_nor_threads_matter(backend, dtype, name, batch):
    """A call for each batch makes nothing ahead; with 5 rows nothing ever is."""
    c = network(name, batch, dtype)
    rng = np.random.default_rng(5)
    order, n = rng.permutation(len(c.x)), 9
    rates = rng.uniform(0.001, 0.05, n)
    alone = Fit.of(backend, c)
    sums = [
        alone.train(c.x, c.y, c.weights, order[k * batch : (k + 1) * batch], rates[k : k + 1].copy(), step=k)[1]
        for k in range(n)
    ]
    for threads, room, byte in ((1, batch, 0), (2, batch, 0xFF), (3, max(batch, 4), 0x7F)):
        fit = Fit.of(backend, c, threads=threads, batch_size=room)
        backend.poison(fit.workspace, byte)
        done, together = fit.train(c.x, c.y, c.weights, order, rates, batch_size=batch)
        assert done == n
        assert relative(together, np.concatenate(sums)) <= (0 if room == batch else 1e-5)
        if room == batch:
            assert same_bits(fit.host(), alone.host())


@pytest.mark.parametrize("batch", [1, 2, 4])
@pytest.mark.parametrize("name", NETS)
def test_like_the_reference(backend, name, batch):
    c = network(name, batch, "float64")
    results = []
    for b in (backend, backends.REFERENCE):
        fit = Fit.of(b, c, threads=2)
        results.append((fit.train(c.x, c.y, c.weights)[1], fit.host()[0], fit.forward(c.x)))
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


def test_bytes_in_any_order(backend):
    c = network("deep", 1, "float32")
    x = np.random.default_rng(7).integers(0, 256, c.x.shape, dtype=np.uint8)
    order = np.array([3, 3, 8, 0, 5, 1, 1])
    fits = [Fit.of(backend, c), Fit.of(backend, c)]
    fits[0].train(x, c.y, None, order)
    for k, row in enumerate(order):
        fits[1].train(x, c.y, None, np.array([row]), step=k)
    assert same_bits(fits[0].host(), fits[1].host())


@pytest.mark.parametrize("batch", [1, 2])
def test_a_loss_that_is_not_finite_leaves_the_weights_of_the_batch_before(backend, dtype, batch):
    c = network("deep", batch, dtype)
    whole, before = Fit.of(backend, c), Fit.of(backend, c)
    y = c.y.copy()
    y[5 * batch] = np.nan
    assert whole.train(c.x, y)[0] == 5
    assert before.train(c.x, y, order=np.arange(5 * batch))[0] == 5
    assert same_bits(whole.host(), before.host())


@pytest.mark.parametrize("name", NETS)
def test_which_networks_are_looked_ahead_for(backend, dtype, name):
    if backend.NAME == "numpy":
        pytest.skip("the reference makes nothing ahead")
    for batch in (1, 5):
        c = network(name, batch, dtype)
        fit = Fit.of(backend, c)
        backend.poison(fit.workspace, 0xFF)
        fit.train(c.x, c.y)
        if backend.NAME == "cython":
            found = fit.workspace.engine.looks_ahead
        else:
            found = np.isfinite(fit.workspace.scratch[fit.workspace.job["product"][0]])
        assert found == (name not in REFUSED and batch == 1)
