"""Training with L-BFGS."""

import numpy as np
import pytest
from scipy.optimize import minimize

import fastnn
from fastnn import lbfgs
from fastnn.callbacks import BackupAndRestore, EarlyStopping, LambdaCallback, LearningRateScheduler, TerminateOnNaN
from fastnn.layers import Dense, Dropout
from fastnn.optimizers import LBFGS, SGD

RNG = np.random.default_rng(3)
X = RNG.normal(size=(90, 5))
T = np.sin(X @ RNG.normal(size=(5, 2)))
Y = RNG.integers(0, 3, 90)
W = RNG.uniform(0.5, 2.0, 90)


def regressor(optimizer="lbfgs", **options):
    options = {"activation": "tanh", "dtype": "float64", "seed": 1, **options}
    return fastnn.MLP([5, 6, 2], task="regression", optimizer=optimizer, **options)


def test_it_finds_the_least_squares(backend):
    """Of a linear model, which the normal equations give."""
    m = fastnn.MLP([5, 2], task="regression", optimizer=LBFGS(tolerance=1e-10), seed=0, dtype="float64")
    history = m.fit(X, T, epochs=200)
    design = np.hstack([X, np.ones((90, 1))])
    expected, *_ = np.linalg.lstsq(design, T, rcond=None)
    np.testing.assert_allclose(np.vstack(m.get_weights()), expected, atol=1e-8)
    assert len(history.epoch) < 100, "it should have ended by itself"
    assert history.history["loss"][-1] == pytest.approx(((design @ expected - T) ** 2).mean(), rel=1e-10)


def test_it_is_what_scipy_does(backend, monkeypatch):
    """With a loss and a gradient written here; in pieces of rows or not."""
    monkeypatch.setattr(lbfgs, "_ROWS", 25)
    m = regressor(backend=backend.NAME, optimizer=LBFGS(history_size=4))
    shapes = [w.shape for w in m.get_weights()]
    weights = W / 90

    def objective(flat):
        parts = np.split(flat, np.cumsum([np.prod(shape) for shape in shapes])[:-1])
        a, b, c, d = (part.reshape(shape) for part, shape in zip(parts, shapes, strict=True))
        h = np.tanh(X @ a + b)
        error = h @ c + d - T
        dy = weights[:, None] * error
        dh = (dy @ c.T) * (1 - h**2)
        gradient = np.concatenate([p.ravel() for p in (X.T @ dh, dh.sum(0), h.T @ dy, dy.sum(0))])
        return (weights * (error**2).mean(axis=1)).sum(), gradient

    losses = []
    found = minimize(
        objective,
        m.params.copy(),
        jac=True,
        method="L-BFGS-B",
        callback=lambda intermediate_result: losses.append(intermediate_result.fun),
        options={"maxiter": 15, "maxcor": 4, "ftol": 0.0},
    )
    history = m.fit(X, T, epochs=15, sample_weight=W)
    np.testing.assert_allclose(history.history["loss"], losses, rtol=1e-6)
    np.testing.assert_allclose(m.params, found.x, atol=1e-5)
    assert history.epoch == list(range(15)) and m._network.step == m._network.epoch == 15


def test_it_is_repeatable_and_the_same_with_any_number_of_threads(backend):
    models = [regressor(backend=backend.NAME, threads=threads, dtype="float32") for threads in (1, 2, 1)]
    histories = [m.fit(X, T, epochs=10).history for m in models]
    for m, history in zip(models[1:], histories[1:], strict=True):
        np.testing.assert_array_equal(m.params, models[0].params)
        assert history == histories[0]


def test_it_beats_gradient_descent_on_few_data():
    a, b = regressor(), regressor(SGD(0.1))
    assert a.fit(X, T, epochs=100).history["loss"][-1] < 0.2 * b.fit(X, T, 90, epochs=100).history["loss"][-1]


def test_metrics_validation_and_callbacks(backend):
    seen = []
    m = fastnn.MLP([5, 6, 3], optimizer="lbfgs", seed=1, backend=backend.NAME, metrics=["accuracy", "auc"])
    note = LambdaCallback(
        on_epoch_begin=lambda epoch, logs: seen.append(("begin", epoch)),
        on_epoch_end=lambda epoch, logs: seen.append(("end", epoch, m.evaluate(X, Y, return_dict=True), logs)),
        on_train_end=lambda logs: seen.append("over"),
    )
    history = m.fit(X, Y, epochs=3, validation_data=(X[:40], Y[:40]), callbacks=[note], verbose=0)
    assert [entry[:2] for entry in seen[:-1]] == [(what, i) for i in range(3) for what in ("begin", "end")]
    assert seen[-1] == "over" and m.history is history
    for _, epoch, now, logs in seen[1:-1:2]:
        assert now == pytest.approx({key: logs[key] for key in now}, rel=1e-5)
        assert {key: values[epoch] for key, values in history.history.items()} == logs
    assert list(history.history) == ["loss", "accuracy", "auc", "val_loss", "val_accuracy", "val_auc"]
    assert m.evaluate(X[:40], Y[:40])[0] == history.history["val_loss"][-1]


def test_stopping():
    m = regressor()
    stop = EarlyStopping("loss", min_delta=1e9, patience=2, restore_best_weights=True)
    assert len(m.fit(X, T, epochs=50, callbacks=[stop]).epoch) == 3
    np.testing.assert_array_equal(m.get_weights()[0], stop.best_weights[0])

    def fail(epoch, logs):
        if epoch == 4:
            raise OSError("no")

    a, b = regressor(), regressor()
    with pytest.raises(OSError, match="no"):
        a.fit(X, T, epochs=50, callbacks=[LambdaCallback(on_epoch_end=fail)])
    b.fit(X, T, epochs=5)
    np.testing.assert_array_equal(a.params, b.params)
    assert len(a.history.epoch) == 5 and a._network.live is None
    assert a.history.history == b.history.history


@pytest.mark.parametrize("when", ["on_epoch_begin", "on_epoch_end"])
def test_a_callback_may_set_the_weights(when):
    def zero(epoch, logs):
        if epoch == 3:
            m.set_weights([w * 0 + 0.25 for w in m.get_weights()])
            if when == "on_epoch_end":
                kept.append(m.evaluate(X, T))

    m, fresh, kept = regressor(), regressor(), []
    fresh.set_weights([w * 0 + 0.25 for w in m.get_weights()])
    history = m.fit(X, T, epochs=9, callbacks=[LambdaCallback(**{when: zero})])
    assert history.epoch == list(range(9))
    count = 5 if when == "on_epoch_end" else 6
    assert fresh.fit(X, T, epochs=count).history["loss"] == history.history["loss"][-count:]


def test_chunks_are_one_whole(backend):
    a, b = regressor(backend=backend.NAME), regressor(backend=backend.NAME)
    a.fit([(X[i : i + 30], T[i : i + 30]) for i in range(0, 90, 30)], epochs=8)
    b.fit(X, T, epochs=8)
    np.testing.assert_allclose(a.params, b.params, rtol=1e-6, atol=1e-8)


def test_it_is_saved(tmp_path):
    m = regressor(LBFGS(7, 1e-6, 30))
    m.fit(X, T, epochs=3)
    m.save(tmp_path / "m")
    loaded = fastnn.load(tmp_path / "m")
    assert loaded.optimizer.get_config() == {"history_size": 7, "tolerance": 1e-6, "max_line_search": 30}
    for each in (m, loaded):
        each.fit(X, T, epochs=3)
    np.testing.assert_array_equal(m.params, loaded.params)


@pytest.mark.filterwarnings("ignore:.*encountered:RuntimeWarning")
def test_losses_that_are_not_finite():
    m = fastnn.MLP([5, 2], task="regression", optimizer="lbfgs", seed=1)
    huge = X * 1e25
    before = m.params.copy()
    with pytest.raises(FloatingPointError, match="in epoch 1, with L-BFGS"):
        m.fit(huge, T)
    np.testing.assert_array_equal(m.params, before)
    assert m.fit(huge, T, callbacks=[TerminateOnNaN()]).history == {} and m._network.live is None


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"batch_size": 32}, "L-BFGS takes all rows at once: batch_size=32 has no meaning"),
        ({"x": iter([(X, T)]), "y": None, "steps_per_epoch": 1}, "pass arrays or a sequence"),
        ({"callbacks": [BackupAndRestore("x")]}, "BackupAndRestore does not go with L-BFGS"),
        (
            {"callbacks": [LambdaCallback(on_batch_end=print)]},
            "L-BFGS has no batches, but LambdaCallback waits for them",
        ),
        ({"callbacks": [LearningRateScheduler(lambda epoch, rate: 1.0)]}, "sets the learning rate, but .* has none"),
    ],
)
def test_what_it_cannot_do(arguments, text):
    m = regressor()
    with pytest.raises(ValueError, match=text):
        m.fit(**{"x": X, "y": T, **arguments})
    assert m._network.step == 0


def test_layers_that_are_random():
    m = fastnn.Sequential([Dense(4, input_shape=(5,)), Dropout(0.5), Dense(2)], seed=0).compile("lbfgs", "mse")
    with pytest.raises(ValueError, match=r"always the same, so <?Dropout.* cannot be trained"):
        m.fit(X, T)
    with pytest.raises(ValueError, match="history_size must be an integer of at least 1, got 0"):
        LBFGS(0)
    with pytest.raises(AttributeError):
        LBFGS().learning_rate = 0.1


def test_it_says_that_scipy_is_missing(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "scipy.optimize", None)
    with pytest.raises(ImportError, match="needs SciPy"):
        regressor().fit(X, T)
