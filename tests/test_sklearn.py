"""The estimators, as scikit-learn uses them: its own checks, its own numbers, its own tools."""

import copy
import io
import os
import pathlib
import pickle
import subprocess
import sys

import numpy as np
import pytest

sklearn = pytest.importorskip("sklearn", minversion="1.6")

import sklearn.neural_network as theirs  # noqa: E402
from helpers.estimators import digits  # noqa: E402
from sklearn import datasets  # noqa: E402
from sklearn.base import clone  # noqa: E402
from sklearn.exceptions import ConvergenceWarning  # noqa: E402
from sklearn.model_selection import GridSearchCV, cross_val_score  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler, scale  # noqa: E402
from sklearn.utils.estimator_checks import parametrize_with_checks  # noqa: E402

import fastnn.sklearn as ours  # noqa: E402
from fastnn.session import Session  # noqa: E402
from fastnn.sklearn import solvers  # noqa: E402
from fastnn.sources import Data  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.usefixtures("one_thread"),
]


def estimators(threads=None):
    return [
        ours.MLPClassifier(max_iter=50, threads=threads),
        ours.MLPRegressor(max_iter=50, threads=threads),
        ours.AutoencoderTransformer(max_iter=5, threads=threads),
    ]


@parametrize_with_checks(estimators())
@pytest.mark.filterwarnings("ignore")
def test_every_check_of_scikit_learn(estimator, check):
    check(estimator)


@pytest.mark.slow
@parametrize_with_checks(estimators(threads=2))
@pytest.mark.filterwarnings("ignore")
def test_every_check_of_scikit_learn_with_two_threads(estimator, check):
    check(estimator)


@pytest.mark.slow
def test_the_tests_of_scikit_learn(tmp_path):
    """Its own test file of its estimators, with the import changed."""
    tests = pytest.importorskip("sklearn.neural_network.tests.test_mlp", reason="this scikit-learn has no tests in it")
    text = pathlib.Path(tests.__file__).read_text(encoding="utf-8")
    line = "from sklearn.neural_network import MLPClassifier, MLPRegressor"
    assert line in text
    (tmp_path / "test_changed.py").write_text(
        text.replace(line, line.replace("sklearn.neural_network", "fastnn.sklearn"))
    )
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-c",
        os.devnull,
        "--rootdir",
        tmp_path,
        tmp_path / "test_changed.py",
    ]
    result = subprocess.run([*command, "-p", "no:cacheprovider"], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout
    assert "passed" in result.stdout


# ------------------------------------------------------------------------------------------ the same numbers


def _data(kind):
    x, y = digits()
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
    x, y = digits(50)
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
    x, y = digits(150)
    weights = np.random.default_rng(1).uniform(0.0, 3.0, len(y))
    parameters = {"hidden_layer_sizes": 9, "max_iter": 8, "random_state": 0, "solver": solver, "alpha": 0.5}
    try:
        other = theirs.MLPClassifier(**parameters).fit(x, y, sample_weight=weights)
    except TypeError:
        pytest.skip("this scikit-learn has no sample_weight")
    mine = ours.MLPClassifier(**parameters).fit(x, y, sample_weight=weights)
    np.testing.assert_allclose(mine.coefs_[0], other.coefs_[0], rtol=1e-5, atol=1e-7)


def test_what_is_trained_again_after_an_interruption_has_the_penalty_it_had():
    x, y = digits(40)
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
    x, y = digits()
    parameters = {"hidden_layer_sizes": 8, "random_state": 5, "shuffle": False}
    whole = ours.MLPClassifier(**parameters, max_iter=4)
    whole.fit(x, y)
    parts = ours.MLPClassifier(**parameters)
    for _ in range(4):
        parts.partial_fit(x, y, classes=np.arange(10))
    np.testing.assert_array_equal(whole.coefs_[0], parts.coefs_[0])
    assert parts.t_ == 4 * len(x)


def test_weights_that_were_set_are_used():
    x, y = digits()
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
    x, y = digits()
    parameters = {"hidden_layer_sizes": 8, "max_iter": 3, "random_state": 0, "batch_size": 30, "solver": solver}
    mine = ours.MLPClassifier(**parameters).fit(getattr(scipy.sparse, form)(x), y)
    other = ours.MLPClassifier(**parameters).fit(x, y)
    np.testing.assert_allclose(mine.coefs_[0], other.coefs_[0], rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(mine.predict(getattr(scipy.sparse, form)(x)), other.predict(x))
    assert largest and (max(largest) <= 90 or solver == "lbfgs")


@pytest.mark.parametrize("dtype, expected", [("float64", "float64"), ("float32", "float32"), ("uint8", "float32")])
def test_dtype_of_the_computation(dtype, expected):
    x, y = digits(50)
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


# ------------------------------------------------------------------------------------------ training that fails


@pytest.mark.filterwarnings("error::sklearn.exceptions.ConvergenceWarning")
def test_warnings_and_errors():
    x, y = digits(60)
    with pytest.warns(ConvergenceWarning, match=r"Stochastic Optimizer: Maximum iterations \(2\) reached"):
        ours.MLPClassifier(max_iter=2).fit(x, y)
    with pytest.warns(ConvergenceWarning, match="lbfgs failed to converge"):
        ours.MLPClassifier(max_iter=2, solver="lbfgs").fit(x, y)
    with pytest.raises(ValueError, match="non-finite parameter weights"):
        ours.MLPRegressor(max_iter=9).fit(x * 1e200, y)
    with pytest.warns(UserWarning, match="larger than sample size: 61, with 60"), pytest.warns(ConvergenceWarning):
        ours.MLPClassifier(max_iter=1, batch_size=61).fit(x, y)


def test_verbose(capsys):
    x, y = digits(60)
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
    x, y = digits()
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
