"""The learning-rate finder."""

import numpy as np
import pytest

import fastnn
from fastnn.optimizers import SGD, Adam

RNG = np.random.default_rng(3)
X = RNG.normal(size=(200, 6)).astype("f4")
Y = (X[:, 0] + X[:, 1] > 0) + 2 * (X[:, 2] > 0)
T = X @ RNG.normal(size=(6, 1)).astype("f4")


def model(**options):
    return fastnn.MLP([6, 8, 4], **{"dropout": 0.2, "seed": 1, **options})


def test_the_losses_are_those_of_training(backend):
    """Batch by batch as a fit with the same rates has them; then averaged with their neighbours."""
    losses = []
    found = fastnn.lr_find(model(backend=backend.NAME), X, Y, batch_size=32, min_rate=1e-4, max_rate=1.0, steps=20)
    np.testing.assert_allclose(found.rates, 1e-4 * 10 ** np.linspace(0, 4, 20), rtol=1e-12)
    m = model(backend=backend.NAME)
    for step in range(20):
        m.optimizer.learning_rate = float(found.rates[step])
        order = fastnn.sources.epoch_order(1, step // 7, 200, True)[step % 7 * 32 :][:32]
        losses.append(m.fit(X[order], Y[order], shuffle=False).history["loss"][0])
    losses = losses[: len(found.losses)]
    for step, loss in enumerate(found.losses):
        apart = np.arange(len(losses)) - step
        weights = np.exp(-(apart**2) / (2 * 0.6**2)) * (abs(apart) <= 2)  # 0.03 times 20 steps wide
        assert loss == pytest.approx(np.average(losses, weights=weights), rel=1e-6)


def test_the_model_stays_as_it_is(backend):
    a, b = model(backend=backend.NAME), model(backend=backend.NAME)
    for m in (a, b):
        m.fit(X, Y)
    history, rate = a.history, a.optimizer.learning_rate
    fastnn.lr_find(a, X, Y)
    assert a.history is history and a.optimizer.learning_rate == rate
    for m in (a, b):
        m.fit(X, Y)
    np.testing.assert_array_equal(a.params, b.params)
    np.testing.assert_array_equal(a._network.state, b._network.state)


@pytest.mark.filterwarnings("ignore:.*encountered:RuntimeWarning")
def test_the_suggestion_is_a_good_rate():
    """It trains far better than a tenth of the range below, and does not diverge; the search ends where it does."""
    m = fastnn.MLP([6, 1], task="regression", optimizer=SGD(1.0), seed=0, backend="numpy")
    found = fastnn.lr_find(m, X, T, min_rate=1e-6, max_rate=1e4)
    assert 1e-3 < found.suggestion < 1.0
    assert len(found.rates) == len(found.losses) < 150 and found.rates[-1] < 1e3
    assert np.isfinite(found.losses).all()
    m.optimizer.learning_rate = found.suggestion
    assert m.fit(X, T, epochs=20).history["loss"][-1] < 0.01 * found.losses[0]


NETWORKS = {
    "classes": (lambda optimizer: fastnn.MLP([6, 32, 4], optimizer=optimizer, seed=0), Adam, (X, Y)),
    "numbers": (
        lambda optimizer: fastnn.MLP([6, 32, 1], task="regression", optimizer=optimizer, seed=0),
        lambda rate: SGD(rate, momentum=0.9),
        (X, T),
    ),
    "autoencoder": (
        lambda optimizer: fastnn.Autoencoder([6, 16, 5], "tanh", "linear", optimizer, seed=0),
        fastnn.optimizers.RMSprop,
        (X,),
    ),
}


@pytest.mark.filterwarnings("ignore:.*encountered:RuntimeWarning")
@pytest.mark.parametrize("name", NETWORKS)
def test_networks_train_with_their_suggestions(name):
    """Far better than with much less, and not much worse than with the best of many rates; ten times more is worse."""
    make, optimizer, data = NETWORKS[name]
    suggestion = fastnn.lr_find(make(optimizer(1e-3)), *data).suggestion

    def trained(rate):
        try:
            return make(optimizer(rate)).fit(*data, epochs=20).history["loss"][-1]
        except FloatingPointError:
            return np.inf

    losses = {factor: trained(factor * suggestion) for factor in (0.01, 0.1, 0.3, 1.0, 3.0, 10.0, 100.0)}
    first = make(optimizer(1e-3)).fit(*data).history["loss"][0]
    fall = first - min(losses.values())
    assert first - losses[1.0] > 0.7 * fall
    assert losses[1.0] < losses[0.1] < losses[0.01]
    assert losses[100.0] > losses[1.0]


def test_a_rate_that_is_never_enough():
    flat = fastnn.MLP([6, 4], seed=0, backend="numpy", optimizer="sgd")
    found = fastnn.lr_find(flat, X * 0, np.arange(200) % 4, min_rate=1e-30, max_rate=1e-29)
    assert found.suggestion is None and len(found.losses) == 150
    np.testing.assert_allclose(found.losses, np.log(4), rtol=1e-6)


def test_models_that_are_not_built_and_that_have_a_schedule():
    m = fastnn.Sequential([fastnn.layers.Dense(4, "softmax")], seed=0, backend="numpy")
    with pytest.raises(RuntimeError, match="not compiled"):
        fastnn.lr_find(m, X, Y)
    m.compile(Adam(fastnn.schedules.CosineDecay(0.1, 10)), "sparse_categorical_crossentropy", ["auc"])
    found = fastnn.lr_find(m, X, Y, class_weight={1: 2.0}, sample_weight=np.ones(200))
    assert not m.built and found.suggestion > 0
    assert fastnn.lr_find(m, X, Y).losses[0] != found.losses[0]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"steps": 9}, "steps must be an integer of at least 10, got 9"),
        ({"min_rate": 0.0}, "min_rate must be a finite number above 0.0"),
        ({"min_rate": 1.0, "max_rate": 1.0}, "max_rate must be a finite number above 1.0, got 1.0"),
        ({"batch_size": 0}, "batch_size"),
        ({"class_weight": {9: 1.0}}, "unknown class 9"),
    ],
)
def test_wrong_arguments(options, text):
    with pytest.raises(ValueError, match=text):
        fastnn.lr_find(model(), X, Y, **options)
