"""Weights of samples and of classes: in every loss, in training and in evaluation."""

import numpy as np
import pytest

import fastnn
from fastnn import losses
from fastnn.layers import Dense
from fastnn.optimizers import SGD

RNG = np.random.default_rng(3)
X = RNG.normal(size=(24, 5))
Y = RNG.integers(0, 3, 24)
ONE_HOT = np.eye(3)[Y]
MULTI = (RNG.random((24, 3)) < 0.5).astype("f8")
W = RNG.uniform(0.0, 3.0, 24)
LINKS = {"binary_crossentropy": "sigmoid", "categorical_crossentropy": "softmax", "kl_divergence": "softmax"}
LINKS |= {"sparse_categorical_crossentropy": "softmax", "poisson": "exponential"}


def model(name, backend="numpy"):
    result = fastnn.Sequential([Dense(3, input_shape=(5,))], seed=1, backend=backend, dtype="float64")
    loss = losses.get(name)
    if LINKS.get(name) in ("sigmoid", "softmax"):
        result.add(fastnn.layers.Activation(LINKS[name]))
    if name == "poisson":
        result.add(fastnn.layers.Activation("softplus"))
    return result.compile(SGD(0.1), loss)


def targets(name):
    return Y if name == "sparse_categorical_crossentropy" else ONE_HOT


@pytest.mark.parametrize("name", losses.NAMES)
def test_samples_in_every_loss(name, backend):
    """The loss is the mean of weight times loss; a step is that of the weighted mean gradient."""
    y = targets(name)
    each = [model(name, backend.NAME).evaluate(X[i : i + 1], y[i : i + 1]) for i in range(24)]
    assert model(name, backend.NAME).evaluate(X, y, sample_weight=W) == pytest.approx(np.mean(W * each), rel=1e-10)
    weighted, unit = model(name, backend.NAME), model(name, backend.NAME)
    start = weighted.params.copy()
    history = weighted.fit(X, y, batch_size=24, sample_weight=W).history
    assert history["loss"][0] == pytest.approx(np.mean(W * each), rel=1e-10)
    steps = []
    for i in range(24):
        unit.set_weights(model(name).get_weights())
        unit.fit(X[i : i + 1], y[i : i + 1])
        steps.append(unit.params - start)
    np.testing.assert_allclose(weighted.params - start, np.mean(W[:, None] * steps, axis=0), rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("name", losses.NAMES)
def test_classes_in_every_loss(name, backend):
    """The weight of a class is that of its samples, and both multiply."""
    y, by_class = targets(name), {0: 0.5, 2: 2.0}
    a, b = model(name, backend.NAME), model(name, backend.NAME)
    a.fit(X, y, epochs=2, batch_size=7, class_weight=by_class, sample_weight=W)
    b.fit(X, y, epochs=2, batch_size=7, sample_weight=W * np.array([0.5, 1.0, 2.0])[Y])
    np.testing.assert_array_equal(a.params, b.params)
    assert a.history.history == b.history.history


def test_several_classes_a_sample(backend):
    """Weights of samples go with targets of several classes; a class cannot have one, for a sample has several."""
    m = fastnn.MLP([5, 4, 3], task="multilabel", seed=1, backend=backend.NAME, metrics=["accuracy", "recall", "auc"])
    start = m.evaluate(X, MULTI, return_dict=True)
    p = m.predict(X).astype("f8")
    entropy = -(MULTI * np.log(p) + (1 - MULTI) * np.log(1 - p)).mean(axis=1)
    assert start["loss"] == pytest.approx(entropy.mean(), rel=1e-5)
    assert m.evaluate(X, MULTI, sample_weight=W)[0] == pytest.approx((W * entropy).mean(), rel=1e-5)
    assert start["accuracy"] == pytest.approx(((p > 0.5) == MULTI).mean())
    m.fit(X, MULTI, epochs=50, batch_size=8, sample_weight=W)
    assert m.evaluate(X, MULTI)[0] < start["loss"]
    assert set(np.unique(m.predict_classes(X))) <= {0, 1} and m.predict_classes(X).shape == (24, 3)
    with pytest.raises(ValueError, match="one a sample; use sample_weight instead"):
        m.fit(X, MULTI, class_weight={1: 2.0})
