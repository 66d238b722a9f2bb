"""MLP: what it builds, and the targets that it takes."""

import numpy as np
import pytest

import fastnn
from fastnn.layers import Dense, Dropout

RNG = np.random.default_rng(13)
X = RNG.normal(size=(90, 6)).astype("f4")
LABELS = (X @ RNG.normal(size=(6, 3))).argmax(axis=1)


def mlp(sizes=(6, 8, 3), **options):
    return fastnn.MLP(list(sizes), **{"seed": 0, "backend": "numpy", **options})


def test_layers():
    m = mlp([6, 10, 7, 5, 3], activation=["relu", "tanh", "gelu"], dropout=[0.5, 0.0, 0.1])
    kinds = [(type(layer), layer.output_shape[1]) for layer in m.layers]
    assert kinds == [(Dense, 10), (Dropout, 10), (Dense, 7), (Dense, 5), (Dropout, 5), (Dense, 3)]
    assert [layer.activation for layer in m.layers if isinstance(layer, Dense)] == ["relu", "tanh", "gelu", "softmax"]
    assert [layer.rate for layer in m.layers if isinstance(layer, Dropout)] == [0.5, 0.1]
    assert [type(layer) for layer in mlp([6, 3]).layers] == [Dense]
    assert isinstance(m.optimizer, fastnn.optimizers.Adam)


@pytest.mark.parametrize(
    ("options", "outputs", "last", "loss"),
    [
        ({}, 3, "softmax", "sparse_categorical_crossentropy"),
        ({}, 1, "sigmoid", "binary_crossentropy"),
        ({"task": "regression"}, 3, "linear", "mean_squared_error"),
        ({"task": "multilabel"}, 3, "sigmoid", "binary_crossentropy"),
        ({"task": "regression", "loss": "mae"}, 3, "linear", "mean_absolute_error"),
        ({"loss": fastnn.losses.SparseCategoricalCrossentropy(True)}, 3, "linear", "sparse_categorical_crossentropy"),
    ],
)
def test_tasks(options, outputs, last, loss):
    m = mlp([6, 4, outputs], **options)
    assert (m.layers[-1].activation, m._loss.name) == (last, loss)


def test_every_way_to_write_a_class_gives_the_same_model(backend):
    names = np.array(["a", "b", "c"])[LABELS]
    forms = [LABELS, LABELS.tolist(), LABELS.astype("u1"), LABELS[:, None], LABELS.astype(float), names]
    forms += [names.astype(object), names.tolist(), np.eye(3)[LABELS], np.eye(3, dtype=bool)[LABELS]]
    results = []
    for y in forms:
        m = mlp(backend=backend.NAME)
        m.fit(X, y, epochs=2)
        results.append((m.params.copy(), m.evaluate(X, y)))
    for params, scores in results:
        np.testing.assert_array_equal(params, results[0][0])
        assert scores == results[0][1]


def test_rows_of_probabilities(backend):
    m = mlp(backend=backend.NAME, optimizer=fastnn.optimizers.Adam(0.02))
    soft = 0.9 * np.eye(3)[LABELS] + 0.1 / 3
    before = m.evaluate(X, soft)[0]
    m.fit(X, soft, epochs=20)
    m.fit(X, LABELS)  # and labels again
    loss, accuracy = m.evaluate(X, soft)
    assert loss < before and accuracy > 0.8
    p = m.predict(X)
    assert loss == pytest.approx(-(soft * np.log(p)).sum(axis=1).mean(), rel=1e-4)


def test_other_losses_get_one_hot_rows():
    a, b = (mlp(loss="mse", metrics=["accuracy"]) for _ in range(2))
    a.fit(X, LABELS)
    b.fit(X, np.eye(3)[LABELS])
    np.testing.assert_array_equal(a.params, b.params)
    assert a.evaluate(X, LABELS) == b.evaluate(X, np.eye(3)[LABELS])


def test_one_output_is_binary(backend):
    y = (X[:, 0] > 0).astype(int)
    m = mlp([6, 8, 1], optimizer=fastnn.optimizers.Adam(0.02), backend=backend.NAME)
    m.fit(X, y, epochs=30, class_weight={0: 1.0, 1: 2.0})
    assert m.evaluate(X, y)[1] > 0.9
    assert m.predict(X).shape == (90, 1)
    assert (m.predict_classes(X) == y).mean() > 0.9
    named = mlp([6, 8, 1], optimizer=fastnn.optimizers.Adam(0.02))
    named.fit(X, np.where(y, "yes", "no"), epochs=30)
    assert set(named.predict_classes(X)) == {"no", "yes"}
    with pytest.raises(ValueError, match=r"y must lie in \[0, 1\]"):
        m.fit(X, y + 1)


def test_multilabel():
    y = (X[:, :3] > 0).astype("u1")
    m = mlp(task="multilabel", optimizer=fastnn.optimizers.Adam(0.02))
    m.fit(X, y, epochs=40)
    assert m.evaluate(X, y)[1] > 0.9
    np.testing.assert_array_equal(m.predict_classes(X), m.predict(X) > 0.5)


def test_regression(backend):
    y = X @ RNG.normal(size=6) + 1.0
    m = mlp([6, 16, 1], task="regression", optimizer=fastnn.optimizers.Adam(0.02), backend=backend.NAME)
    m.fit(X, y, epochs=100)
    assert m.evaluate(X, y) < 0.05 * y.var()


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "rmsprop", fastnn.optimizers.SGD(0.05, 0.9, True)])
def test_optimizers(optimizer, backend):
    m = mlp(optimizer=optimizer, backend=backend.NAME)
    first, *_, last = m.fit(X, LABELS, epochs=10, batch_size=10).history["loss"]
    assert last < first


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "elu", "gelu", "silu", "swish", "tanh", "sigmoid"])
def test_activations(activation, backend):
    m = mlp(activation=activation, backend=backend.NAME)
    first, *_, last = m.fit(X, LABELS, epochs=10, batch_size=10).history["loss"]
    assert last < first


def test_backends_train_alike(backend):
    """Dropout, an odd last batch and ten steps: the same masks and batches, and so nearly the same weights."""
    expected = mlp([6, 17, 9, 3], dropout=0.3, dtype="float64")
    got = mlp([6, 17, 9, 3], dropout=0.3, dtype="float64", backend=backend.NAME)
    a = expected.fit(X, LABELS, epochs=2, batch_size=20).history
    b = got.fit(X, LABELS, epochs=2, batch_size=20).history
    np.testing.assert_allclose(got.params, expected.params, rtol=1e-7, atol=1e-9)
    for name, values in a.items():
        np.testing.assert_allclose(b[name], values, rtol=1e-9)


@pytest.mark.parametrize("outputs", [1, 3])
def test_numbers_are_no_classes(outputs):
    """Whatever the loss: a sigmoid could not reach them."""
    x, y = np.zeros((50, 4)), np.random.default_rng(0).uniform(20, 100, (50, outputs))
    options = {"loss": "mse", "seed": 0, "backend": "numpy"}
    m = fastnn.MLP([4, 8, outputs], **options)
    with pytest.raises(ValueError, match=r"in \[0, 1\] for a classification \(.*'regression'\), but it goes from 2"):
        m.fit(x, y, verbose=0)
    assert m._network.step == 0
    fastnn.MLP([4, 8, outputs], task="regression", **options).fit(x, y, verbose=0)
