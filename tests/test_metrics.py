"""Metrics: the peers' values, and that training, validation and `evaluate` compute them of the right rows."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

import fastnn
from fastnn import metrics
from fastnn.layers import Dense
from fastnn.losses import BinaryCrossentropy
from fastnn.sources import epoch_order

STORED = json.loads((Path(__file__).parent / "values" / "peer_metrics.json").read_text())
RNG = np.random.default_rng(3)
X = RNG.normal(size=(60, 6)).astype("f4")
Y = RNG.integers(0, 4, 60)
MULTI = (RNG.random((60, 3)) < 0.4).astype("f4")
T = RNG.normal(size=(60, 2)).astype("f4")


@pytest.mark.parametrize("case", STORED["cases"], ids=lambda case: f"{case['name']} {case['options']}")
def test_values_are_those_of_the_peers(case):
    y_true, y_pred = map(np.array, STORED["data"][case["data"]])
    metric = getattr(metrics, case["name"])(**case["options"])
    np.testing.assert_allclose(metric(y_true, y_pred), case["value"], rtol=1e-5)
    if case["data"] == "classes":
        np.testing.assert_allclose(metric(np.eye(4)[y_true], y_pred.astype("f4")), case["value"], rtol=1e-5)


def test_edges():
    y = np.array([[1.0], [0.0], [1.0]])
    assert metrics.Precision()(y, y * 0) == 0.0 and metrics.Recall()(y * 0, y) == 0.0
    assert math.isnan(metrics.AUC()(y * 0, y)) and metrics.AUC()(y, y * 0) == 0.5
    assert metrics.R2Score()(y * 0 + 1, y) == 0.0
    assert metrics.F1Score("macro", 0.5)(y * 0, y * 0) == 0.0
    nan = np.full((2, 3), np.nan)
    assert metrics.SparseTopKCategoricalAccuracy(2)(np.array([0, 1]), nan) == 0.0
    assert metrics.TopKCategoricalAccuracy(1)(np.eye(2), np.array([[1.0, 1.0], [1.0, 1.0]])) == 1.0  # ties count
    with pytest.raises(ValueError, match=r"shapes are \(3, 1\) and \(3, 2\)"):
        metrics.Recall()(y, np.zeros((3, 2)))
    with pytest.raises(ValueError, match="needs y_true"):
        metrics.R2Score()(np.zeros(3), np.zeros((3, 2)))


def mean_of_squares(y_true, y_pred):
    return ((y_true - y_pred) ** 2).mean(axis=1)


class Largest(metrics.Metric):
    direction = "min"

    def compute(self, y_true, y_pred):
        return np.abs(y_true - y_pred).max()


def classifier(chosen, **options):
    return fastnn.MLP([6, 5, 4], dropout=0.3, metrics=chosen, seed=1, **options)


def multilabel(chosen, **options):
    return fastnn.MLP([6, 5, 3], task="multilabel", dropout=0.3, metrics=chosen, seed=1, **options)


def regressor(chosen, **options):
    return fastnn.MLP([6, 5, 2], task="regression", dropout=0.3, metrics=chosen, seed=1, **options)


def from_logits(chosen, **options):
    layers = [Dense(5, "relu", input_shape=(6,)), Dense(3)]
    model = fastnn.Sequential(layers, seed=1, **options)
    return model.compile("adam", BinaryCrossentropy(from_logits=True), chosen)


CASES = {
    "classes": (classifier, Y, [metrics.AUC(), "precision", "recall", metrics.F1Score("macro"), "accuracy"]),
    "one-hot": (classifier, np.eye(4)[Y], ["top_k_categorical_accuracy", "acc", metrics.Precision(class_id=2)]),
    "multilabel": (
        multilabel,
        MULTI,
        ["auc", metrics.BinaryAccuracy("b", threshold=0.4), "binary_accuracy", "mae"],
    ),
    "from logits": (from_logits, MULTI, ["auc", "mse"]),
    "numbers": (regressor, T, ["r2_score", "rmse", mean_of_squares, "mse", Largest("worst"), "cosine_similarity"]),
    "bytes": (regressor, (T > 0).astype("u1") * 200, [mean_of_squares, "mse"]),
}


@pytest.mark.parametrize("kind", CASES)
def test_evaluate(kind, backend):
    make, y, chosen = CASES[kind]
    model = make(chosen, backend=backend.NAME)
    logs = model.evaluate(X, y, return_dict=True)
    outputs = model.predict(X).astype("f8")
    assert list(logs) == ["loss", *(metrics.get(metric).name for metric in chosen)]
    for metric in map(metrics.get, chosen):
        expected = metric(np.argmax(y, axis=1) if kind == "one-hot" else y, outputs)
        assert logs[metric.name] == pytest.approx(expected, rel=1e-4), metric.name
    if kind == "numbers":
        assert logs["rmse"] == pytest.approx(math.sqrt(logs["mean_of_squares"])) == math.sqrt(logs["mse"])


@pytest.mark.parametrize("kind", CASES)
def test_in_training_and_in_validation(kind, backend):
    """With a rate of 0 the outputs of an epoch are known but for dropout; without dropout they are those of predict."""
    make, y, chosen = CASES[kind]
    model = (
        make(chosen, backend=backend.NAME, optimizer=fastnn.optimizers.SGD(0.0))
        if kind != "from logits"
        else make(chosen, backend=backend.NAME)
    )
    model.optimizer.learning_rate = 0.0
    history = model.fit(X, y, batch_size=16, epochs=2, validation_data=(X[:25], y[:25])).history
    expected = model.evaluate(X[:25], y[:25], return_dict=True)
    assert {key: values[0] for key, values in history.items() if key.startswith("val_")} == {
        f"val_{key}": value for key, value in expected.items()
    }
    still = fastnn.MLP([6, 5, 4], seed=1, backend=backend.NAME, metrics=["auc", "accuracy", "precision"])
    still.optimizer.learning_rate = 0.0
    logs = still.fit(X, Y, batch_size=16).history
    assert {k: v[0] for k, v in logs.items()} == pytest.approx(still.evaluate(X, Y, return_dict=True), rel=1e-5)


def test_training_has_the_outputs_of_training(backend):
    """Dropout included, in the order of the epoch, each row with the weights that it met."""
    seen = []

    def look(y_true, y_pred):
        seen.append((y_true, y_pred))
        return 0.0

    a, b = regressor([look, "mse"], backend=backend.NAME), regressor(["mse"], backend=backend.NAME)
    history = a.fit(X, T, batch_size=16).history
    plain = b.fit(X, T, batch_size=16).history
    np.testing.assert_array_equal(a.params, b.params)
    ((y_true, y_pred),) = seen
    np.testing.assert_array_equal(y_true, T[epoch_order(1, 0, 60, True)])
    assert ((y_true - y_pred) ** 2).mean() == pytest.approx(plain["mse"][0], rel=1e-5)
    assert list(history) == ["loss", "look", "mse"] and history["mse"] == plain["mse"]


def test_a_metric_may_stop_the_fit(backend):
    stop = fastnn.callbacks.EarlyStopping("auc", min_delta=1.0)
    history = classifier(["auc"], backend=backend.NAME).fit(X, Y, epochs=9, callbacks=[stop])
    assert len(history.epoch) == 2
    falling = fastnn.callbacks.EarlyStopping("worst", min_delta=1e9)
    assert len(regressor([Largest("worst")]).fit(X, T, epochs=9, callbacks=[falling]).epoch) == 2
    with pytest.raises(ValueError, match="whether 'mean_of_squares' should rise or fall"):
        regressor([mean_of_squares]).fit(X, T, callbacks=[fastnn.callbacks.EarlyStopping("mean_of_squares")])


def test_in_a_batch_that_stops_the_fit():
    def stop(batch, logs):
        assert "auc" not in logs  # which is of a whole epoch
        model.stop_training = batch == 1

    model = classifier(["auc"])
    history = model.fit(X, Y, batch_size=8, callbacks=[fastnn.callbacks.LambdaCallback(on_train_batch_end=stop)])
    assert 0.0 < history.history["auc"][0] < 1.0


@pytest.mark.parametrize("kind", CASES)
def test_models_with_metrics_are_saved(kind, tmp_path):
    make, y, chosen = CASES[kind]
    a = make(chosen, backend="numpy")
    a.save(tmp_path / "m")
    own = [metric.name for metric in map(metrics.get, chosen) if isinstance(metric, (metrics.Function, Largest))]
    if own:
        with pytest.warns(UserWarning, match=f"{own[0]}.*compiled without"):
            b = fastnn.load(tmp_path / "m", backend="numpy")
    else:
        b = fastnn.load(tmp_path / "m", backend="numpy")
    logs = a.evaluate(X, y, return_dict=True)
    assert b.evaluate(X, y, return_dict=True) == {key: value for key, value in logs.items() if key not in own}


def test_backups_of_fits_with_metrics_of_ones_own(tmp_path):
    def fit(epochs):
        model = regressor([mean_of_squares], backend="numpy")
        backup = fastnn.callbacks.BackupAndRestore(tmp_path / "b", delete_checkpoint=False)
        return model.fit(X, T, epochs=epochs, callbacks=[backup]).history["mean_of_squares"]

    assert fit(3)[:2] == fit(2)[:2] and len(fit(4)) == 4


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: classifier(["f1_score"]), "give F1Score an average"),
        (lambda: fastnn.MLP([6, 1], metrics=[metrics.F1Score("macro")]), "of one output needs a threshold"),
        (lambda: classifier([metrics.Recall(class_id=4)]), "class_id=4 is too large for the metric of .* 4 outputs"),
        (lambda: classifier([metrics.Recall(top_k=5)]), "top_k=5 is too large"),
        (lambda: classifier(["r2_score"]), "'r2_score' needs targets"),
        (lambda: metrics.AUC("PR"), "curve must be 'ROC', got 'PR'"),
        (lambda: metrics.Precision([0.1, 0.2]), "thresholds must be a number"),
        (lambda: classifier(["acuracy"]), "Did you mean 'accuracy'"),
        (lambda: classifier([metrics.AUC]), "a metric must be a name"),
        (lambda: classifier([lambda y, p: "good"]).evaluate(X, Y), "must return numbers"),
        (lambda: classifier([metrics.Metric("mine")]).evaluate(X, np.eye(4)[Y]), "takes labels"),
    ],
)
def test_wrong_arguments(make, text):
    with pytest.raises((ValueError, TypeError), match=text):
        make()
