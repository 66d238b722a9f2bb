"""What the estimators do in every corner where scikit-learn's does something: the same values, errors and warnings."""

import contextlib
import copy
import io
import pickle
import warnings

import numpy as np
import pytest

sklearn = pytest.importorskip("sklearn", minversion="1.7", reason="needs scikit-learn with sample_weight and poisson")

import scipy.sparse as sparse  # noqa: E402
import sklearn.neural_network as theirs  # noqa: E402
from sklearn import datasets  # noqa: E402

import fastnn.sklearn as ours  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")

X, Y = datasets.load_digits(return_X_y=True)
X, Y = X[:300] / 16, Y[:300]
NAMES, TWO = np.array(list("abcdefghij"))[Y], np.where(Y % 2, "odd", "even")
LABELS = (X @ np.random.default_rng(0).normal(size=(64, 4)) > 0).astype(int)
WEIGHTS = np.random.default_rng(1).uniform(0, 2, 300)
SMALL = {"max_iter": 4, "random_state": 0, "hidden_layer_sizes": 6}


def long_indices(x):
    result = sparse.csr_matrix(x)
    result.indices, result.indptr = result.indices.astype(np.int64), result.indptr.astype(np.int64)
    return result


FORMS = {
    "csr": sparse.csr_matrix,
    "csc": sparse.csc_matrix,
    "csc_array": sparse.csc_array,
    "coo": sparse.coo_matrix,
    "int64 indices": long_indices,
    "float32": lambda x: sparse.csr_matrix(x.astype(np.float32)),
    "float32, int64 indices": lambda x: long_indices(x.astype(np.float32)),
}


def _c(m, **parameters):
    return m.MLPClassifier(**{**SMALL, **parameters})


def _r(m, **parameters):
    return m.MLPRegressor(**{**SMALL, **parameters})


def _fitted(model):
    curves = [getattr(model, name, None) for name in ("loss_curve_", "validation_scores_", "best_validation_score_")]
    return [model.coefs_[0], model.intercepts_[-1], model.n_iter_, getattr(model, "t_", None), model.loss_, *curves]


def _again(model, count, *args, **kwargs):
    for _ in range(count):
        model.fit(*args, **kwargs)
    return _fitted(model)


def _parts(model, *last, **first):
    model.partial_fit(X[:120], Y[:120], **first)
    model.partial_fit(X[120:], Y[120:], *last)
    return _fitted(model)


def _between(m):
    model = _c(m).partial_fit(X, Y, classes=range(10)).fit(X, Y)
    return _fitted(model.partial_fit(X, Y))


def _copies(m):
    model = _c(m).fit(X, Y)
    twin, other = copy.deepcopy(model).partial_fit(X, Y), pickle.loads(pickle.dumps(model))
    return [model.coefs_[0], twin.coefs_[0], other.predict_proba(X)]


def _shared_state(m):
    state = np.random.RandomState(3)
    return [_c(m, random_state=state).fit(X, Y).coefs_[0] for _ in range(2)]


def _invscaling(m):
    model = _c(m, solver="sgd", learning_rate="invscaling", power_t=0.3)
    return [*_parts(model, classes=range(10)), model._optimizer.learning_rate]


CASES = {
    "names, early stopping": lambda m: _fitted(_c(m, early_stopping=True).fit(X, NAMES)),
    "two classes": lambda m: [_c(m).fit(X, TWO).predict_proba(X), _c(m).fit(X, TWO).predict_log_proba(X)],
    "weights in validation": lambda m: _fitted(_c(m, early_stopping=True, alpha=0.0).fit(X, TWO, WEIGHTS)),
    "object labels": lambda m: [_c(m).fit(X, NAMES.astype(object)).predict(X)],
    "bool labels": lambda m: [_c(m).fit(X, Y > 4).predict(X), _c(m).fit(X, Y > 4).classes_],
    "float labels": lambda m: [_c(m).fit(X, Y * 1.0).predict(X)],
    "one class": lambda m: [_c(m).fit(X, 0 * Y).predict(X), _c(m).fit(X, 0 * Y).predict_proba(X)],
    "a column": lambda m: [_c(m).fit(X, Y[:, None]).predict(X), _r(m).fit(X, Y[:, None]).predict(X)],
    "several labels": lambda m: [_c(m).fit(X, LABELS).predict(X), *_fitted(_c(m, early_stopping=True).fit(X, LABELS))],
    "sparse labels": lambda m: [_c(m).fit(X, sparse.csr_matrix(LABELS)).predict(X).toarray()],
    "sparse labels, parts": lambda m: [
        _c(m).partial_fit(X, sparse.csr_matrix(LABELS), classes=range(4)).predict(X).toarray()
    ],
    "several outputs": lambda m: [_r(m, early_stopping=True, alpha=0.0).fit(X, X[:, 20:23]).validation_scores_],
    "no hidden layer": lambda m: _fitted(_c(m, hidden_layer_sizes=()).fit(X, Y)),
    "numpy's numbers": lambda m: _fitted(
        _c(m, batch_size=np.int64(50), hidden_layer_sizes=np.array([5, 4]), alpha=np.float32(0.1)).fit(X, Y)
    ),
    "large batch": lambda m: _fitted(_c(m, batch_size=1000).fit(X, Y)),
    "batches of one": lambda m: _fitted(_c(m, batch_size=1, max_iter=2).fit(X[:40], Y[:40])),
    "warm": lambda m: _again(_c(m, warm_start=True), 3, X, Y),
    "warm, early stopping": lambda m: _again(
        _c(m, warm_start=True, early_stopping=True, learning_rate_init=0.5), 4, X, Y
    ),
    "warm, lbfgs": lambda m: _again(_c(m, warm_start=True, solver="lbfgs"), 2, X, Y),
    "warm, other classes": lambda m: _c(m, warm_start=True).fit(X, Y).fit(X[Y < 5], Y[Y < 5]),
    "warm, other features": lambda m: _c(m, warm_start=True).fit(X, Y).fit(X[:, 1:], Y),
    "warm, other dtype": lambda m: [_c(m, warm_start=True).fit(X, Y).fit(X.astype("f4"), Y).coefs_[0]],
    "parts": lambda m: _parts(_c(m), classes=range(10)),
    "parts of a regression": lambda m: _parts(_r(m)),
    "parts, weights": lambda m: _parts(_c(m, alpha=0.0), WEIGHTS[120:], sample_weight=WEIGHTS[:120], classes=range(10)),
    "parts and a fit": _between,
    "parts, invscaling": _invscaling,
    "parts without classes": lambda m: _c(m).partial_fit(X, Y),
    "parts, unseen class": lambda m: _c(m).partial_fit(X, Y, classes=range(10)).partial_fit(X, Y + 1),
    "parts, other classes": lambda m: _c(m).partial_fit(X, Y, classes=range(10)).partial_fit(X, Y, classes=range(11)),
    "parts, other features": lambda m: _c(m).partial_fit(X, Y, classes=range(10)).partial_fit(X[:, 1:], Y),
    "parts, lbfgs": lambda m: _c(m, solver="lbfgs").partial_fit(X, Y, classes=range(10)),
    "parts, early stopping": lambda m: _c(m, early_stopping=True).partial_fit(X, Y, classes=range(10)),
    "negative weights": lambda m: [_r(m, alpha=0.0).fit(X, Y, sample_weight=-WEIGHTS).loss_],
    "one weight for all": lambda m: _fitted(_c(m, alpha=0.0).fit(X, Y, sample_weight=2)),
    "too few weights": lambda m: _c(m).fit(X, Y, sample_weight=WEIGHTS[1:]),
    "max_fun": lambda m: _fitted(_c(m, solver="lbfgs", max_fun=3, max_iter=100).fit(X, Y)),
    "no momentum": lambda m: _fitted(_c(m, solver="sgd", momentum=0).fit(X, Y)),
    "momentum of 1": lambda m: _fitted(_c(m, solver="sgd", momentum=1.0, nesterovs_momentum=False).fit(X, Y)),
    "betas of 0": lambda m: _fitted(_c(m, beta_1=0.0, beta_2=0.0).fit(X, Y)),
    "tol of 0": lambda m: _fitted(_c(m, tol=0, n_iter_no_change=1, max_iter=30, learning_rate_init=0.1).fit(X, Y)),
    "no end": lambda m: _fitted(_c(m, tol=1e3, n_iter_no_change=np.inf, max_iter=12).fit(X, Y)),
    "one row": lambda m: [_c(m).fit(X[:1], Y[:1]).predict(X[:2]), _r(m).fit(X[:1], Y[:1]).predict(X[:2])],
    "tiny validation": lambda m: _c(m, early_stopping=True, validation_fraction=0.003).fit(X, TWO),
    "no validation": lambda m: _c(m, early_stopping=True, validation_fraction=0).fit(X, TWO),
    "a rare class": lambda m: _c(m, early_stopping=True).fit(X, np.arange(300) == 0),
    "too steep": lambda m: _r(m, solver="sgd", learning_rate_init=1e3, activation="identity", max_iter=50).fit(X, Y),
    "state": _shared_state,
    "copies": _copies,
    "lists": lambda m: [_c(m).fit(X.tolist(), Y.tolist()).predict(X.tolist())],
    "integers": lambda m: [_c(m).fit((X * 16).astype(int), Y).predict((X * 16).astype(int))],
    "Fortran's order": lambda m: _fitted(_c(m).fit(np.asfortranarray(X), Y)),
    "strides": lambda m: [_c(m).fit(X[::2], Y[::2]).predict_proba(X[::-1])],
    "NaN": lambda m: _c(m).fit(np.where(X > 0.9, np.nan, X), Y),
    "NaN to predict": lambda m: _c(m).fit(X, Y).predict(np.where(X > 0.9, np.nan, X)),
    "infinity to predict": lambda m: _c(m).fit(X, Y).predict(np.where(X > 0.9, np.inf, X)),
    "other features": lambda m: _c(m).fit(X, Y).predict(X[:, 1:]),
    "one dimension": lambda m: _c(m).fit(X, Y).predict(X[0]),
    "nothing to predict": lambda m: _c(m).fit(X, Y).predict(X[:0]),
    "not fitted": lambda m: _c(m).predict(X),
    "regressor not fitted": lambda m: _r(m).predict(X),
    "labels of another length": lambda m: _c(m).fit(X, Y[1:]),
    "numbers for labels": lambda m: _c(m).fit(X, Y + 0.5),
    "complex": lambda m: _c(m).fit(X * 1j, Y),
    "weighted scores": lambda m: [_c(m).fit(X, Y).score(X, Y, WEIGHTS), _r(m).fit(X, Y).score(X, Y, WEIGHTS)],
    **{f"hidden_layer_sizes={v}": lambda m, v=v: _c(m, hidden_layer_sizes=v).fit(X, Y) for v in (0, (3, -1), (3.5,))},
    **{
        f"{k}={v}": lambda m, k=k, v=v: _c(m, **{k: v}).fit(X, Y)
        for k, v in {
            "solver": "best", "learning_rate": "low", "alpha": -1, "batch_size": 0, "max_iter": 0, "tol": -1,
            "momentum": 2, "beta_1": 1, "beta_2": 1, "epsilon": 0, "n_iter_no_change": 0, "max_fun": 0,
            "shuffle": "yes", "early_stopping": 3, "validation_fraction": 1, "power_t": -1, "learning_rate_init": 0,
            "random_state": "a", "warm_start": None, "verbose": -1, "nesterovs_momentum": 2,
        }.items()
    },
    **{f"rows as {k}": lambda m, f=f: _fitted(_c(m).fit(f(X), Y)) for k, f in FORMS.items()},
    **{
        f"rows as {k}, early stopping": lambda m, f=f: _fitted(_r(m, early_stopping=True).fit(f(X), Y))
        for k, f in FORMS.items()
    },
}  # fmt: skip
# Where the first words of the message are not the same as well.
OWN_WORDS = {"hidden_layer_sizes=(3.5,)", "too steep"}


def run(case, module):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result = case(module), None
        except Exception as error:
            result = None, error
    return *result, sorted({w.category.__name__ for w in caught} - {"RuntimeWarning"})


@pytest.mark.parametrize("name", CASES)
def test_same(name):
    mine, my_error, my_warnings = run(CASES[name], ours)
    other, other_error, other_warnings = run(CASES[name], theirs)
    assert type(my_error) is type(other_error), (my_error, other_error)
    if my_error is not None:
        if name not in OWN_WORDS:
            assert str(my_error)[:24] == str(other_error)[:24]
        return
    assert my_warnings == other_warnings
    single = "float32" in name
    for a, b in zip(mine, other, strict=True):
        a, b = np.asarray(a), np.asarray(b)
        assert (a.shape, a.dtype) == (b.shape, b.dtype) or a.ndim == 0
        if a.dtype.kind == "f":
            np.testing.assert_allclose(a, b, rtol=1e-3 if single else 1e-5, atol=1e-5 if single else 1e-7)
        else:
            np.testing.assert_array_equal(a, b)


def test_printed_lines():
    printed = []
    for m in (ours, theirs):
        with contextlib.redirect_stdout(io.StringIO()) as out, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _c(m, verbose=True, early_stopping=True, n_iter_no_change=1, tol=10).fit(X, Y)
            _c(m, verbose=2, solver="sgd", learning_rate="adaptive", n_iter_no_change=1, tol=10).fit(X, Y)
            _c(m, verbose=True, solver="sgd", learning_rate="adaptive", learning_rate_init=1e-6, n_iter_no_change=1,
               tol=10).fit(X, Y)  # fmt: skip
        printed.append(out.getvalue().splitlines())
    assert printed[0] == printed[1]
    assert any("Setting learning rate" in line for line in printed[0])
    assert any("too small" in line for line in printed[0])


@pytest.mark.parametrize("name", ["MLPClassifier", "MLPRegressor"])
def test_signatures(name):
    import inspect

    mine, other = (inspect.signature(getattr(m, name)).parameters for m in (ours, theirs))
    assert [key for key in mine if key in other] == list(other)
    assert all((mine[key].default, mine[key].kind) == (other[key].default, other[key].kind) for key in other)
    public = [key for key in dir(getattr(theirs, name)) if not key.startswith("_")]
    assert all(hasattr(getattr(ours, name), key) for key in public)


def test_metadata_is_routed():
    from sklearn.model_selection import cross_validate

    with sklearn.config_context(enable_metadata_routing=True), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = []
        for m in (ours, theirs):
            model = _c(m, alpha=0.0).set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
            found.append(cross_validate(model, X, Y, params={"sample_weight": WEIGHTS}, cv=3)["test_score"])
        np.testing.assert_allclose(*found)
        plain = cross_validate(_c(ours, alpha=0.0), X, Y, cv=3)["test_score"]
        assert not np.allclose(found[0], plain)


def test_parameters_may_be_left_unchecked():
    with sklearn.config_context(skip_parameter_validation=True), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _c(ours, tol=-1.0).fit(X, Y)
