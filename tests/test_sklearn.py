"""The estimators, as scikit-learn uses them: its own checks, its own numbers, its own tools."""

import copy
import io
import os
import pickle

import numpy as np
import pytest

sklearn = pytest.importorskip("sklearn", minversion="1.6")

import sklearn.neural_network as theirs  # noqa: E402
from sklearn import datasets  # noqa: E402
from sklearn.base import clone  # noqa: E402
from sklearn.exceptions import ConvergenceWarning  # noqa: E402
from sklearn.model_selection import GridSearchCV, cross_val_score  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler, scale  # noqa: E402
from sklearn.utils.estimator_checks import parametrize_with_checks  # noqa: E402

import fastnn.sklearn as ours  # noqa: E402
from fastnn.callbacks import BackupAndRestore, EarlyStopping, LambdaCallback  # noqa: E402
from fastnn.session import Session  # noqa: E402
from fastnn.sklearn import solvers  # noqa: E402
from fastnn.sources import Data  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch):
    """Networks this small gain nothing from a second thread, and a busy machine makes them wait for it."""
    monkeypatch.setenv("FASTNN_NUM_THREADS", "1")


@parametrize_with_checks(
    [
        ours.MLPClassifier(max_iter=50),
        ours.MLPRegressor(max_iter=50),
        ours.AutoencoderTransformer(max_iter=5),
    ]
)
@pytest.mark.filterwarnings("ignore")
def test_every_check_of_scikit_learn(estimator, check):
    check(estimator)


# ------------------------------------------------------------------------------------------ the same numbers


def _digits(n=400):
    x, y = datasets.load_digits(return_X_y=True)
    return x[:n] / 16.0, y[:n]


def _data(kind):
    x, y = _digits()
    rng = np.random.default_rng(0)
    return {
        "several classes": ("MLPClassifier", x, y),
        "two classes": ("MLPClassifier", x, np.array(["even", "odd"])[y % 2]),
        "labels": ("MLPClassifier", x, (x @ rng.normal(size=(64, 4)) > 0).astype(int)),
        "regression": ("MLPRegressor", x, y / 10.0),
        "outputs": ("MLPRegressor", x, x[:, 20:23] * 3.0),
        "counts": ("MLPRegressor", x, y),
        "counts, outputs": ("MLPRegressor", x, (x[:, 20:23] * 3.0).round()),
    }[kind]


SOLVERS = {
    "adam": {},
    "small batches, strong penalty": {"alpha": 20.0, "batch_size": 37},
    "early stopping": {"early_stopping": True, "learning_rate_init": 0.02, "n_iter_no_change": 2},
    "in order": {"shuffle": False, "activation": "tanh"},
    "sgd, invscaling": {"solver": "sgd", "learning_rate": "invscaling", "activation": "logistic"},
    "sgd, adaptive": {"solver": "sgd", "learning_rate": "adaptive", "tol": 0.05, "n_iter_no_change": 1},
    "sgd without momentum": {"solver": "sgd", "momentum": 0.0, "learning_rate_init": 0.1},
    "lbfgs": {"solver": "lbfgs", "alpha": 0.1},
}


@pytest.mark.parametrize(
    "kind", ["several classes", "two classes", "labels", "regression", "outputs", "counts", "counts, outputs"]
)
@pytest.mark.parametrize("solver", SOLVERS)
def test_training_is_that_of_scikit_learn(kind, solver):
    name, x, y = _data(kind)
    if (kind, solver) == ("outputs", "lbfgs"):
        pytest.skip(
            "scikit-learn gives its L-BFGS the gradient of another loss there: the sum, not the mean of outputs"
        )
    parameters = {"hidden_layer_sizes": (12, 7), "max_iter": 12, "random_state": 3, **SOLVERS[solver]}
    if kind.startswith("counts"):
        parameters["loss"] = "poisson"
    mine = getattr(ours, name)(**parameters).fit(x, y)
    other = getattr(theirs, name)(**parameters).fit(x, y)
    assert mine.n_iter_ == other.n_iter_
    for a, b in zip(mine.coefs_ + mine.intercepts_, other.coefs_ + other.intercepts_, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(np.asarray(mine.predict(x)) > 0.5, np.asarray(other.predict(x)) > 0.5) if (
        y.dtype.kind != "U"
    ) else np.testing.assert_array_equal(mine.predict(x), other.predict(x))
    if kind != "outputs":  # the penalty is averaged over the outputs here
        np.testing.assert_allclose(mine.loss_, other.loss_, rtol=1e-6)
        if solver != "lbfgs":
            np.testing.assert_allclose(mine.loss_curve_, other.loss_curve_, rtol=1e-6)
    if solver != "lbfgs":
        assert (mine.t_, mine.out_activation_, mine.n_layers_) == (other.t_, other.out_activation_, other.n_layers_)
        assert len(mine.loss_curve_) == mine.n_iter_
        if solver == "early stopping":
            np.testing.assert_allclose(mine.validation_scores_, other.validation_scores_, rtol=1e-5)
            assert mine.best_validation_score_ == max(mine.validation_scores_)
            assert mine.best_loss_ is None
        else:
            assert mine.best_loss_ == min(mine.loss_curve_)


def test_poisson_takes_no_negative_targets():
    x, y = _digits(50)
    with pytest.raises(ValueError, match=r"smallest value is -2\.0"):
        ours.MLPRegressor("poisson").fit(x, y - 2.0)


def test_poisson_with_outputs_that_underflow():
    x = np.array([[-1.0], [-200.0], [1.0]], np.float32)
    model = ours.MLPRegressor("poisson", 1, "identity", max_iter=1, learning_rate_init=1e-9).fit(x / 200, [1, 0, 2])
    model.coefs_ = [np.ones((1, 1), np.float32)] * 2
    model.intercepts_ = [np.zeros(1, np.float32)] * 2
    assert model.predict(x)[1] == 0.0
    model.partial_fit(x, [1.0, 3.0, 2.0])
    assert np.isfinite(model.loss_) and np.isfinite(model.coefs_[0]).all()


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_sample_weights_are_those_of_scikit_learn(solver):
    x, y = _digits(150)
    weights = np.random.default_rng(1).uniform(0.0, 3.0, len(y))
    parameters = {"hidden_layer_sizes": 9, "max_iter": 8, "random_state": 0, "solver": solver, "alpha": 0.5}
    try:
        other = theirs.MLPClassifier(**parameters).fit(x, y, sample_weight=weights)
    except TypeError:
        pytest.skip("this scikit-learn has no sample_weight")
    mine = ours.MLPClassifier(**parameters).fit(x, y, sample_weight=weights)
    np.testing.assert_allclose(mine.coefs_[0], other.coefs_[0], rtol=1e-5, atol=1e-7)


def test_what_is_trained_again_after_an_interruption_has_the_penalty_it_had():
    x, y = _digits(40)
    trained = ours.MLPRegressor(hidden_layer_sizes=5, max_iter=1, random_state=0).fit(x, y)
    plans = [solvers.model_module.plan(trained._model, l2) for l2 in (0.1, 0.7)]
    ends = []
    for torn in (False, True):
        network = copy.deepcopy(trained._model)._network
        network.reset_state(2)
        session = Session(network, plans[0], 10, "mse", trained._optimizer)
        data = Data(x, y.reshape(-1, 1).astype(float), None)
        for i in (0, 1, 0, 1):
            session.replan(plans[i])
            session.begin_block(data, 2, 10)
            session.run(np.arange(20) + 20 * (i % 2), np.zeros((2, 1)))
        session.torn = torn  # as if the last slice had been left in the middle
        session.sync()
        ends.append(network.params)
        assert session.plan is plans[1]
    np.testing.assert_array_equal(*ends)


def test_partial_fit_goes_on_with_the_optimizers_state():
    x, y = _digits()
    parameters = {"hidden_layer_sizes": 8, "random_state": 5, "shuffle": False}
    whole = ours.MLPClassifier(**parameters, max_iter=4)
    whole.fit(x, y)
    parts = ours.MLPClassifier(**parameters)
    for _ in range(4):
        parts.partial_fit(x, y, classes=np.arange(10))
    np.testing.assert_array_equal(whole.coefs_[0], parts.coefs_[0])
    assert parts.t_ == 4 * len(x)


def test_weights_that_were_set_are_used():
    x, y = _digits()
    model = ours.MLPRegressor(max_iter=2, random_state=0).fit(x, y)
    model.coefs_[-1][:] = 0.0
    model.intercepts_[-1] = np.array([7.0])
    np.testing.assert_array_equal(model.predict(x), np.full(len(x), 7.0))


# ------------------------------------------------------------------------------------------ data


@pytest.mark.parametrize("form", ["csr_matrix", "csc_matrix", "csr_array"])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_sparse_rows_train_like_dense_ones_and_come_in_pieces(form, solver, monkeypatch):
    import scipy.sparse

    from fastnn.sklearn import model as model_module

    monkeypatch.setattr(model_module, "_BLOCK", 64 * 90)
    largest = []
    dense = model_module.dense
    monkeypatch.setattr(model_module, "dense", lambda *args: largest.append(len(result := dense(*args))) or result)
    x, y = _digits()
    parameters = {"hidden_layer_sizes": 8, "max_iter": 3, "random_state": 0, "batch_size": 30, "solver": solver}
    mine = ours.MLPClassifier(**parameters).fit(getattr(scipy.sparse, form)(x), y)
    other = ours.MLPClassifier(**parameters).fit(x, y)
    np.testing.assert_allclose(mine.coefs_[0], other.coefs_[0], rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(mine.predict(getattr(scipy.sparse, form)(x)), other.predict(x))
    assert largest and (max(largest) <= 90 or solver == "lbfgs")


@pytest.mark.parametrize("dtype, expected", [("float64", "float64"), ("float32", "float32"), ("uint8", "float32")])
def test_dtype_of_the_computation(dtype, expected):
    x, y = _digits(50)
    model = ours.MLPRegressor(hidden_layer_sizes=4, max_iter=1)
    model.fit((x * 16).astype(dtype), y)
    assert model.coefs_[0].dtype == expected
    assert model.predict((x * 16).astype(dtype)).dtype == expected


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_frames_have_feature_names(library):
    frames = pytest.importorskip(library)
    x, y = datasets.load_iris(return_X_y=True)
    frame = frames.DataFrame(dict(zip("abcd", x.T, strict=True)))
    model = ours.MLPClassifier(max_iter=2, early_stopping=True).fit(frame, y)
    assert model.feature_names_in_.tolist() == list("abcd")
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame[["b", "a", "c", "d"]])
    coder = ours.AutoencoderTransformer((3, 2), max_iter=2).set_output(transform=library).fit(frame)
    codes = coder.transform(frame)
    assert isinstance(codes, frames.DataFrame)
    assert list(codes.columns) == ["autoencodertransformer0", "autoencodertransformer1"]


# ------------------------------------------------------------------------------------------ what is more


def test_class_weights():
    x, y = _digits()
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
    x, y = _digits(120)
    model = ours.MLPClassifier(class_weight="balanced", max_iter=3, random_state=0, shuffle=False, solver="lbfgs")
    twice = clone(model).fit(np.concatenate([x, x[:30]]), np.concatenate([y, y[:30]]))
    weighted = clone(model).fit(x, y, sample_weight=1.0 + (np.arange(120) < 30))
    np.testing.assert_allclose(twice.coefs_[0], weighted.coefs_[0], rtol=1e-6, atol=1e-9)


def test_class_weights_are_for_training_and_for_classes_that_a_part_lacks():
    x, y = _digits()
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
    x, y = _digits()
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
    x, y = _digits()
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
    x, _ = _digits()
    y = x[:, 18:21] * 3
    model = ours.MLPRegressor(loss, 6, max_iter=1, alpha=0.0, batch_size=len(x), random_state=0)
    before = clone(model).set_params(learning_rate_init=1e-12).fit(x, y)
    np.testing.assert_allclose(before.loss_, LOSSES[loss](before.predict(x) - y).mean(), rtol=1e-6)


def test_the_brier_score_as_loss():
    x, y = _digits()
    model = ours.MLPClassifier(6, loss="squared_error", alpha=0.0, max_iter=1, batch_size=len(x), random_state=0)
    model.set_params(learning_rate_init=1e-12).fit(x, y)
    error = 0.5 * np.square(model.predict_proba(x) - np.eye(10)[y]).mean()
    np.testing.assert_allclose(model.loss_, error, rtol=1e-6)


def test_own_validation_data():
    x, y = _digits()
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
    x, y = _digits()
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
    x, y = _digits(50)
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
    x, y = _digits(100)
    model = ours.MLPClassifier(backend=name, threads=1, max_iter=2, random_state=0, hidden_layer_sizes=5).fit(x, y)
    other = theirs.MLPClassifier(max_iter=2, random_state=0, hidden_layer_sizes=5).fit(x, y)
    assert model._model.backend == name
    np.testing.assert_allclose(model.predict_proba(x), other.predict_proba(x), rtol=1e-6)


# ------------------------------------------------------------------------------------------ training that fails


@pytest.mark.filterwarnings("error::sklearn.exceptions.ConvergenceWarning")
def test_warnings_and_errors():
    x, y = _digits(60)
    with pytest.warns(ConvergenceWarning, match=r"Stochastic Optimizer: Maximum iterations \(2\) reached"):
        ours.MLPClassifier(max_iter=2).fit(x, y)
    with pytest.warns(ConvergenceWarning, match="lbfgs failed to converge"):
        ours.MLPClassifier(max_iter=2, solver="lbfgs").fit(x, y)
    with pytest.raises(ValueError, match="non-finite parameter weights"):
        ours.MLPRegressor(max_iter=9).fit(x * 1e200, y)
    with pytest.warns(UserWarning, match="larger than sample size: 61, with 60"), pytest.warns(ConvergenceWarning):
        ours.MLPClassifier(max_iter=1, batch_size=61).fit(x, y)


def test_verbose(capsys):
    x, y = _digits(60)
    model = ours.MLPClassifier(max_iter=2, verbose=True, early_stopping=True, validation_fraction=0.5).fit(x, y)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"Iteration 1, loss = {model.loss_curve_[0]:.8f}"
    assert lines[1] == f"Validation score: {model.validation_scores_[0]:.6f}"


# ------------------------------------------------------------------------------------------ tools


def test_pipeline_grid_and_cross_validation_in_processes(monkeypatch):
    x, y = datasets.load_iris(return_X_y=True)
    pipe = make_pipeline(StandardScaler(), ours.MLPClassifier(max_iter=60, learning_rate_init=0.02, random_state=0))
    grid = GridSearchCV(pipe, {"mlpclassifier__alpha": [1e-4, 1e-2]}, n_jobs=2, cv=3)
    import joblib

    # The workers are processes of their own, which see no filter of warnings but this.
    monkeypatch.setitem(os.environ, "PYTHONWARNINGS", "ignore")
    with joblib.parallel_backend("loky"):
        grid.fit(x, y)
    assert grid.best_score_ > 0.9
    assert cross_val_score(pipe, x, y, cv=3).mean() > 0.9


@pytest.mark.parametrize("keep", ["pickle", "joblib"])
def test_files_keep_everything(keep):
    x, y = _digits()
    model = ours.MLPClassifier(max_iter=3, random_state=0).fit(x, y)
    if keep == "pickle":
        other = pickle.loads(pickle.dumps(model))
    else:
        import joblib

        joblib.dump(model, stream := io.BytesIO())
        stream.seek(0)
        other = joblib.load(stream)
    np.testing.assert_array_equal(other.predict_proba(x), model.predict_proba(x))
    for each in (model, other):
        each.partial_fit(x, y)
    np.testing.assert_array_equal(other.coefs_[0], model.coefs_[0])
    assert not hasattr(clone(model), "coefs_")


# ------------------------------------------------------------------------------------------ autoencoder


def test_autoencoder_transforms_and_goes_back():
    x, _ = _digits()
    coder = ours.AutoencoderTransformer((32, 8), max_iter=30, learning_rate_init=0.005, random_state=0, batch_size=50)
    codes = coder.fit_transform(x)
    assert codes.shape == (400, 8)
    back = coder.inverse_transform(codes)
    np.testing.assert_allclose(coder.score_samples(x), -np.square(back - x).mean(axis=1), rtol=1e-6)
    assert np.square(back - x).mean() < 0.5 * x.var(axis=0).mean()
    assert len(coder.loss_curve_) == coder.n_iter_ == 30
    again = clone(coder).fit(x)
    np.testing.assert_array_equal(again.transform(x), codes)
    with pytest.raises(ValueError, match="features"):
        coder.transform(x[:, 1:])


def test_autoencoder_finds_outliers():
    x, _ = _digits()
    strange = np.random.default_rng(0).uniform(size=(20, 64))
    coder = ours.AutoencoderTransformer((32, 8), max_iter=30, learning_rate_init=0.005, random_state=0, batch_size=50)
    coder.set_params(contamination=0.05)
    labels = coder.fit_predict(np.concatenate([x, strange]))
    assert (labels == -1).sum() == pytest.approx(21, abs=1)
    assert (labels[400:] == -1).sum() >= 18
    np.testing.assert_array_equal(coder.predict(x) == -1, coder.score_samples(x) < coder.offset_)


# ------------------------------------------------------------------------------------------ accuracy


@pytest.mark.parametrize("name", ["iris", "breast_cancer", "digits", "diabetes"])
def test_accuracy_over_ten_seeds(name):
    x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    x, kind = scale(x), "MLPClassifier"
    if name == "diabetes":
        y, kind = scale(y), "MLPRegressor"
    x = x.astype(np.float32)  # in float64 the two are equal but for rounding
    order = np.random.default_rng(0).permutation(len(x))
    train, test = order[len(x) // 4 :], order[: len(x) // 4]
    scores = {ours: [], theirs: []}
    for module, found in scores.items():
        for seed in range(10):
            model = getattr(module, kind)(
                hidden_layer_sizes=20, max_iter=12, learning_rate_init=0.01, random_state=seed
            )
            found.append(model.fit(x[train], y[train]).score(x[test], y[test]))
    assert abs(np.mean(scores[ours]) - np.mean(scores[theirs])) <= max(np.std(scores[theirs]), 1e-3)
