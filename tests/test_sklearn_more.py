"""What the estimators have that those of scikit-learn have not."""

import copy
import threading

import numpy as np
import pytest
import scipy.sparse

sklearn = pytest.importorskip("sklearn", minversion="1.6")

import sklearn.neural_network as theirs  # noqa: E402
from helpers.estimators import digits  # noqa: E402
from sklearn.base import clone  # noqa: E402

import fastnn.sklearn as ours  # noqa: E402
from fastnn.callbacks import BackupAndRestore, EarlyStopping, LambdaCallback  # noqa: E402
from fastnn.session import Session  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.usefixtures("one_thread"),
]


def test_class_weights():
    x, y = digits()
    y = (y == 3).astype(int)
    plain = ours.MLPClassifier(max_iter=5, random_state=0)
    by_hand = clone(plain).fit(x, y, sample_weight=np.where(y == 1, 6.0, 1.0))
    by_class = clone(plain).set_params(class_weight={0: 1.0, 1: 6.0}).fit(x, y)
    np.testing.assert_array_equal(by_hand.coefs_[0], by_class.coefs_[0])
    balanced = clone(plain).set_params(class_weight="balanced").fit(x, y)
    by_hand = clone(plain).fit(x, y, sample_weight=len(y) / (2 * np.bincount(y)[y]))
    np.testing.assert_array_equal(balanced.coefs_[0], by_hand.coefs_[0])
    with pytest.raises(ValueError, match=r"balanced.*partial_fit"):
        balanced.partial_fit(x, y)


def test_class_weights_count_samples_by_their_weight():
    x, y = digits(120)
    model = ours.MLPClassifier(class_weight="balanced", max_iter=3, random_state=0, shuffle=False, solver="lbfgs")
    twice = clone(model).fit(np.concatenate([x, x[:30]]), np.concatenate([y, y[:30]]))
    weighted = clone(model).fit(x, y, sample_weight=1.0 + (np.arange(120) < 30))
    np.testing.assert_allclose(twice.coefs_[0], weighted.coefs_[0], rtol=1e-6, atol=1e-9)


def test_class_weights_are_for_training_and_for_classes_that_a_part_lacks():
    x, y = digits()
    y = (y == 3).astype(int)
    parameters = {"max_iter": 4, "random_state": 0, "early_stopping": True, "validation_fraction": 0.3}
    model = ours.MLPClassifier(**parameters, class_weight={1: 1e-9}).fit(x, y)  # all is 0, then
    rate = model.validation_scores_[-1]
    assert 0.5 < rate < 1.0 and rate * 120 == pytest.approx(round(rate * 120))
    names = np.array(["a", "b"])[y]
    part = ours.MLPClassifier(class_weight={"a": 2.0, "c": 3.0}).partial_fit(x, names, classes=[*"abc"])
    assert part.classes_.tolist() == ["a", "b", "c"]
    with pytest.raises(ValueError, match=r"class_weight|label"):
        part.set_params(class_weight={"d": 2.0}).partial_fit(x, names)


def test_dropout_is_for_training_only_and_repeatable():
    x, y = digits()
    parameters = {"hidden_layer_sizes": (30, 20), "dropout": [0.5, 0.0], "max_iter": 5, "random_state": 0}
    first, second = (ours.MLPClassifier(**parameters).fit(x, y) for _ in range(2))
    np.testing.assert_array_equal(first.coefs_[0], second.coefs_[0])
    np.testing.assert_array_equal(first.predict_proba(x), first.predict_proba(x))
    hidden = np.maximum(x @ first.coefs_[0] + first.intercepts_[0], 0.0)
    hidden = np.maximum(hidden @ first.coefs_[1] + first.intercepts_[1], 0.0)
    logits = hidden @ first.coefs_[2] + first.intercepts_[2]
    np.testing.assert_array_equal(first.predict(x), logits.argmax(axis=1))
    without = ours.MLPClassifier(**{**parameters, "dropout": 0.0}).fit(x, y)
    assert not np.allclose(without.coefs_[0], first.coefs_[0])


def test_activations_by_layer():
    x, y = digits()
    model = ours.MLPRegressor(hidden_layer_sizes=(6, 5), activation=["tanh", "softplus"], max_iter=2).fit(x, y)
    hidden = np.tanh(x @ model.coefs_[0] + model.intercepts_[0])
    hidden = np.log1p(np.exp(hidden @ model.coefs_[1] + model.intercepts_[1]))
    np.testing.assert_allclose(model.predict(x), (hidden @ model.coefs_[2] + model.intercepts_[2]).ravel(), rtol=1e-9)


LOSSES = {
    "absolute_error": lambda e: np.abs(e).sum(axis=1),
    "huber": lambda e: np.where(np.abs(e) <= 1, 0.5 * e * e, np.abs(e) - 0.5).sum(axis=1),
    "log_cosh": lambda e: np.log(np.cosh(e)).sum(axis=1),
}


@pytest.mark.parametrize("loss", LOSSES)
def test_losses_of_the_regressor(loss):
    x, _ = digits()
    y = x[:, 18:21] * 3
    model = ours.MLPRegressor(loss, 6, max_iter=1, alpha=0.0, batch_size=len(x), random_state=0)
    before = clone(model).set_params(learning_rate_init=1e-12).fit(x, y)
    np.testing.assert_allclose(before.loss_, LOSSES[loss](before.predict(x) - y).mean(), rtol=1e-6)


def test_the_brier_score_as_loss():
    x, y = digits()
    model = ours.MLPClassifier(6, loss="squared_error", alpha=0.0, max_iter=1, batch_size=len(x), random_state=0)
    model.set_params(learning_rate_init=1e-12).fit(x, y)
    error = 0.5 * np.square(model.predict_proba(x) - np.eye(10)[y]).mean()
    np.testing.assert_allclose(model.loss_, error, rtol=1e-6)


def test_own_validation_data():
    x, y = digits()
    model = ours.MLPClassifier(max_iter=20, learning_rate_init=0.05, early_stopping=True, n_iter_no_change=2)
    model.fit(x[:300], y[:300], X_val=x[300:], y_val=y[300:])
    assert model.t_ == 300 * model.n_iter_
    assert model.score(x[300:], y[300:]) == model.best_validation_score_ == max(model.validation_scores_)
    watched = ours.MLPClassifier(max_iter=3).fit(x[:300], y[:300], X_val=x[300:], y_val=y[300:])
    assert len(watched.validation_scores_) == 3
    assert watched.validation_scores_[-1] == watched.score(x[300:], y[300:])
    with pytest.raises(ValueError, match="go together"):
        model.fit(x, y, X_val=x)


def test_callbacks():
    x, y = digits()
    logs = []
    record = LambdaCallback(on_epoch_end=lambda epoch, log: logs.append((epoch, log)))
    model = ours.MLPRegressor(max_iter=5).fit(x, y, X_val=x, y_val=y, callbacks=[record])
    assert [epoch for epoch, _ in logs] == list(range(5))
    assert [log["loss"] for _, log in logs] == model.loss_curve_
    assert [log["val_score"] for _, log in logs] == model.validation_scores_
    stop = EarlyStopping(monitor="val_score", mode="min", patience=2)
    assert model.fit(x, y, X_val=x, y_val=y, callbacks=stop).n_iter_ == 3
    with pytest.raises(ValueError, match="BackupAndRestore"):
        model.fit(x, y, callbacks=[BackupAndRestore("nowhere")])


def test_what_does_not_go_with_lbfgs():
    x, y = digits(50)
    model = ours.MLPClassifier(solver="lbfgs")
    with pytest.raises(ValueError, match="dropout"):
        clone(model).set_params(dropout=0.5).fit(x, y)
    with pytest.raises(ValueError, match="X_val"):
        model.fit(x, y, X_val=x, y_val=y)
    assert not hasattr(model, "partial_fit")


@pytest.mark.parametrize("name", ["numpy", "numba", "cython"])
def test_backends(name):
    from fastnn.kernels import available_backends

    if name not in available_backends():
        pytest.skip(f"{name} cannot run here")
    x, y = digits(100)
    model = ours.MLPClassifier(backend=name, threads=1, max_iter=2, random_state=0, hidden_layer_sizes=5).fit(x, y)
    other = theirs.MLPClassifier(max_iter=2, random_state=0, hidden_layer_sizes=5).fit(x, y)
    assert model._model.backend == name
    np.testing.assert_allclose(model.predict_proba(x), other.predict_proba(x), rtol=1e-6)


def test_partial_fit_sees_parameters_that_have_changed():
    x, y = digits()
    plain = {"hidden_layer_sizes": 8, "random_state": 0}
    model = ours.MLPClassifier(**plain).partial_fit(x, y, classes=range(10))
    same, other = copy.deepcopy(model), copy.deepcopy(model)
    same.set_params(backend="numpy", activation=["relu"]).partial_fit(x, y)  # no other numbers
    other.set_params(dropout=0.5).partial_fit(x, y)
    model.partial_fit(x, y)
    assert same._model.backend == "numpy"
    np.testing.assert_allclose(same.coefs_[0], model.coefs_[0], rtol=1e-9, atol=1e-12)
    assert not np.allclose(other.coefs_[0], model.coefs_[0])
    with pytest.raises(ValueError, match=r"coefs_ have the shapes .* need \[\(64, 9\)"):
        model.set_params(hidden_layer_sizes=9).partial_fit(x, y)


def test_a_warm_start_with_another_solver():
    x, y = digits()
    model = ours.MLPClassifier(8, solver="lbfgs", max_iter=5, warm_start=True, random_state=0).fit(x, y)
    before = model.loss_
    assert model.set_params(solver="adam").fit(x, y).loss_curve_[0] < before + 0.1
    model.set_params(early_stopping=True).fit(x, y)
    assert len(model.validation_scores_) == 5
    assert len(model.set_params(early_stopping=False).fit(x, y).loss_curve_) == 15


@pytest.mark.parametrize("name", ["MLPClassifier", "MLPRegressor"])
def test_threads_change_nothing(name):
    x, y = digits()
    parameters = {"hidden_layer_sizes": 300, "batch_size": 400, "max_iter": 3, "random_state": 0}
    models = [getattr(ours, name)(**parameters, threads=n).fit(x, y) for n in (1, 2)]
    np.testing.assert_array_equal(*(model.coefs_[0] for model in models))
    np.testing.assert_array_equal(*(model.predict(x) for model in models))


def test_weights_of_other_shapes_are_refused_even_if_there_are_as_many():
    x, _ = digits()
    x, y = x[:, :4], np.arange(len(x)) % 4
    model = ours.MLPClassifier((3, 5), warm_start=True, max_iter=2, random_state=0).fit(x, y)
    with pytest.raises(ValueError, match=r"\(4, 3\).* need .*\(4, 5\)"):
        model.set_params(hidden_layer_sizes=(5, 3)).fit(x, y)
    model = ours.MLPRegressor(hidden_layer_sizes=4, max_iter=2, random_state=0).fit(x, x)
    model.coefs_ = [coef.reshape(2, 8) for coef in model.coefs_]
    with pytest.raises(ValueError, match=r"\(2, 8\).* need .*\(4, 4\)"):
        model.predict(x)
    model.coefs_ = model.coefs_[:1]
    with pytest.raises(ValueError, match="coefs_ have the shapes"):
        model.predict(x)


def test_inputs_too_large_for_float32_are_refused():
    x, y = digits(40)
    model = ours.MLPClassifier((3,), max_iter=2, random_state=0).fit(x.astype(np.float32), y)
    for large in (np.full((2, 64), 1e39), scipy.sparse.csr_matrix(np.full((2, 64), 1e39))):
        with pytest.raises(ValueError, match="too large for float32"):
            model.predict_proba(large)


def test_predictions_in_another_thread_leave_a_partial_fit_alone(monkeypatch):
    x, y = digits(40)
    alone, model = (
        ours.MLPClassifier((8,), batch_size=4, random_state=0).partial_fit(x, y, classes=range(10)) for _ in range(2)
    )
    alone.partial_fit(x, y)
    found, run = [], Session.run
    thread = threading.Thread(target=lambda: found.append(model.predict_proba(x)))

    def run_and_predict(session, *args):
        run(session, *args)
        if thread.ident is None:
            thread.start()
            thread.join(0.2)  # it may have to wait for the end

    monkeypatch.setattr(Session, "run", run_and_predict)
    model.partial_fit(x, y)
    thread.join()
    np.testing.assert_array_equal(model.coefs_[0], alone.coefs_[0])
    np.testing.assert_array_equal(found[0], alone.predict_proba(x))


def test_a_loss_without_a_bottom_is_an_error():
    x, y = digits(60)
    weights = np.where(y == 0, -5.0, 1.0)
    with pytest.raises(ValueError, match="non-finite"):
        ours.MLPClassifier((8,), solver="lbfgs", max_iter=30, random_state=0).fit(x, y, weights)


def test_no_activations_for_no_hidden_layers():
    x, y = digits(40)
    one, other = (
        ours.MLPClassifier((), activation, max_iter=2, random_state=0).fit(x, y) for activation in ([], "relu")
    )
    np.testing.assert_array_equal(one.coefs_[0], other.coefs_[0])
