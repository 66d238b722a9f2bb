"""Layers with one output, whose products are of a matrix and a vector, beside the reference in float64."""

import numpy as np
import pytest
from helpers import backends
from helpers.compare import relative, same_bits
from helpers.nets import Fit, case

NETS = {
    "regression": ("32 64 relu 64 relu 1", {"loss": "mse"}),
    "classification": ("33 20 tanh 1 sigmoid", {"loss": "binary_crossentropy", "metrics": ["binary_accuracy"]}),
    "logistic": ("130 1 sigmoid", {"loss": "binary_crossentropy"}),
    "one weight": ("1 1nb", {"loss": "mae"}),
    "short": ("15 1 tanh", {"loss": "log_cosh", "optimizer": "rmsprop"}),
    "narrow waist": ("40 17 relu 1 tanh 31 relu 1nb 70 5", {"loss": "mse"}),
    "wide below": ("20 400 relu 1 softplus", {"loss": "poisson", "optimizer": "sgd"}),
    "dropped": ("31 50 relu drop0.2 1 drop0.3 gelu", {"loss": "huber", "optimizer": "momentum"}),
    "penalised": ("45 33 relu 1 l1:0.01 l2:0.02 bl2:0.1 al2:0.1 max:1", {"loss": "mse"}),
    "clipped": ("45 33 bn relu 1", {"loss": "mse", "clip": (0, 0, 0.05)}),
    "tied": ("48 1 tanh tied0", {"loss": "mse"}),
    "tied to one": ("1 20 tanh tied0", {"loss": "mse"}),
    "last of all": ("24 1 softmax", {"loss": "sparse_categorical_crossentropy"}),
}
# So many weights that threads share the columns in training but the rows in a prediction.
MANY = {"many inputs": ("33000 1 tanh", {"loss": "mse", "optimizer": "sgd"})}
BATCH = 150


def network(name, dtype="float32"):
    text, options = {**NETS, **MANY}[name]
    return case(text, 2 * BATCH + 3, BATCH, dtype=dtype, **{"optimizer": "adam", **options})


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("rows", [1, 2, 4, 5, 15, 16, 17, 33, 129, 150])
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
@pytest.mark.parametrize("batch", [3, BATCH])
def test_like_the_reference(backend, name, batch):
    c = network(name, "float64")
    results = []
    for b in (backend, backends.REFERENCE):
        fit = Fit.of(b, c, threads=2)
        if b is backend:
            backend.poison(fit.workspace, 0xFF)
        sums = fit.train(c.x, c.y, c.weights, batch_size=batch)[1]
        results.append((sums, fit.host()[0], fit.forward(c.x), fit.forward(c.x[:1]), fit.evaluate(c.x, c.y)))
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("name", [*NETS, *MANY])
def test_the_same_bits_on_any_threads_and_scratch(backend, dtype, name):
    c = network(name, dtype)

    def everything(threads, poison=None):
        fit = Fit.of(backend, c, threads=threads)
        if poison is not None:
            backend.poison(fit.workspace, poison)
        return [fit.loss_grad(c.x[:BATCH], c.y[:BATCH]), fit.train(c.x, c.y)[1], *fit.host(), fit.forward(c.x)]

    alone = everything(1)
    for threads, byte in ((2, 0xFF), (3, None), (4, 0x7F), (5, 0xFF)):
        assert same_bits(alone, everything(threads, byte))


@pytest.mark.parametrize("width", [5, 47, 97])
def test_a_row_that_is_not_finite_is_its_own_affair(backend, dtype, width):
    """What stands behind a row of a plain matrix is the next one."""
    c = case(f"{width} 1", 40, 40, loss="mse", dtype=dtype)
    x, fit = c.x.copy(), Fit.of(backend, c)
    x[[7, 39]] = np.nan
    got, expected = fit.forward(x), fit.forward(c.x)
    assert np.isnan(got[[7, 39]]).all()
    others = np.delete(np.arange(40), [7, 39])
    assert same_bits(got[others], expected[others])
