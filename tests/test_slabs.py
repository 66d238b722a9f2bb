"""Narrow layers, whose weight gradients compiled backends make by slabs of rows, beside the reference in float64."""

import numpy as np
import pytest
from helpers import backends
from helpers.compare import relative, same_bits
from helpers.nets import Fit, case

BATCH = 250
# Alone, between and below operations that are shared out by columns, and with all else that uses a weight gradient.
NETS = {
    "narrow": ("32 64 relu 64 relu 1", {"optimizer": "adam"}),
    "odd": ("37 65 gelu drop0.2 33nb tanh 47 softmax 5", {"loss": "mae", "optimizer": "rmsprop"}),
    "between": ("410 90 relu 40 tanh 95 ln relu 400", {"optimizer": "momentum"}),
    "below": ("32 64 relu 600 relu 3", {"optimizer": "adam"}),
    "normalized": ("32 64 bn relu 60 3", {"optimizer": "sgd"}),
    "penalties": ("40 60 l1:0.01 l2:0.02 bl2:0.1 relu al2:0.1 50 kd:0.1 bd:0.1 max:1 3", {"optimizer": "sgd"}),
    "clipped": ("40 60 relu 50 bn tanh 40", {"optimizer": "adam", "clip": (0, 0, 0.05)}),
    "tied": ("48 40 tanh 30 tanh tied1 tanh tied0", {"optimizer": "adam"}),
}


def network(name, dtype="float32"):
    text, options = NETS[name]
    return case(text, 2 * BATCH + 3, BATCH, dtype=dtype, **{"loss": "mse", **options})


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("rows", [1, 3, 16, 17, 49, 64, 65, 127, 129, 192, 193, 249, 250])
def test_gradients_of_any_number_of_rows(backend, name, rows):
    """As near to the exact ones as those of the reference in float32."""
    low, high = network(name), network(name, "float64")
    gradients = [
        Fit.of(b, c, threads=2).loss_grad(c.x[:rows], c.y[:rows], c.weights[:rows])[0]
        for b, c in ((backend, low), (backends.REFERENCE, low), (backends.REFERENCE, high))
    ]
    got, reference, exact = gradients
    assert relative(got, exact) <= 2 * relative(reference, exact) + 8 * np.finfo(np.float32).eps


@pytest.mark.parametrize("name", NETS)
def test_the_same_bits_on_any_threads_and_scratch(backend, name):
    c = network(name)

    def everything(threads, poison=None):
        fit = Fit.of(backend, c, threads=threads)
        if poison is not None:
            backend.poison(fit.workspace, poison)
        gradient, sums = fit.loss_grad(c.x[:BATCH], c.y[:BATCH])
        return [gradient, sums, fit.train(c.x, c.y)[1], fit.train(c.x, c.y, c.weights, step=3)[1], *fit.host()]

    alone = everything(1)
    for threads, byte in ((2, 0xFF), (3, None), (4, 0x7F), (5, 0xFF)):
        assert same_bits(alone, everything(threads, byte))


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_a_gradient_is_the_sum_of_its_four_slabs(backend, threads):
    """In their order and to the last bit. Rows without weight add zeros, so that a slab can be had by itself."""
    if backend.NAME == "numpy":
        pytest.skip("the reference has no slabs")
    c = case("32 64 relu 64 relu 1", 192, 192, loss="mse", optimizer="sgd", dtype="float32")

    def gradient(rows):
        weights = np.zeros(192, np.float32)
        weights[rows] = 1
        return Fit.of(backend, c, threads=threads).loss_grad(c.x, c.y, weights)[0]

    slabs = [gradient(slice(start, start + 48)) for start in range(0, 192, 48)]
    assert same_bits(gradient(slice(None)), slabs[0] + slabs[1] + slabs[2] + slabs[3])
