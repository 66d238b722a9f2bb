"""Frames and series of pandas and polars as data."""

import subprocess
import sys

import numpy as np
import pytest

import fastnn

RNG = np.random.default_rng(3)
X = RNG.normal(size=(40, 3))
Y = RNG.integers(0, 3, 40)
NAMES = np.array(["ant", "bee", "cat"])[Y]
W = RNG.uniform(0.5, 2.0, 40)


@pytest.fixture(params=["pandas", "polars"])
def library(request):
    return pytest.importorskip(request.param)


def frame(library, values=X):
    return library.DataFrame({f"c{i}": column for i, column in enumerate(values.T)})


def model():
    return fastnn.MLP([3, 4, 3], seed=1, backend="numpy")


@pytest.mark.parametrize("labels", [Y, NAMES])
def test_frames_are_arrays(library, labels):
    a, b = model(), model()
    x, y, w = frame(library), library.Series(labels.tolist()), library.Series(W)
    a.fit(x, y, epochs=2, sample_weight=w, validation_data=(x, library.DataFrame({"y": labels.tolist()})))
    b.fit(X, labels, epochs=2, sample_weight=W, validation_data=(X, labels))
    np.testing.assert_array_equal(a.params, b.params)
    assert a.history.history == b.history.history
    np.testing.assert_array_equal(a.predict(x), b.predict(X))
    assert a.evaluate(x, y) == b.evaluate(X, labels)
    np.testing.assert_array_equal(a.predict_classes(x), b.predict_classes(X))


def test_columns_of_several_types(library):
    x = library.DataFrame({"a": [1, 2, 3], "b": [True, False, True], "c": [0.5, 1.5, 2.5]})
    expected = np.array([[1, 1, 0.5], [2, 0, 1.5], [3, 1, 2.5]])
    np.testing.assert_array_equal(model().predict(x), model().predict(expected))


def test_frames_as_targets(library):
    a, b = (fastnn.MLP([3, 4, 2], task="regression", seed=1, backend="numpy") for _ in "ab")
    a.fit(frame(library), frame(library, X[:, :2]))
    b.fit(X, X[:, :2])
    np.testing.assert_array_equal(a.params, b.params)
    c, d = (fastnn.Autoencoder([3, 2], output_activation="linear", seed=1, backend="numpy") for _ in "cd")
    c.fit(frame(library))
    d.fit(X)
    np.testing.assert_array_equal(c.params, d.params)


def test_categories(library):
    dtype = "category" if library.__name__ == "pandas" else library.Categorical
    a, b = model(), model()
    a.fit(frame(library), library.Series(NAMES.tolist(), dtype=dtype))
    b.fit(X, NAMES)
    np.testing.assert_array_equal(a.params, b.params)
    assert a.classes.tolist() == ["ant", "bee", "cat"]


def test_what_is_no_number_is_named(library):
    x = library.DataFrame({"a": [1.0, 2.0], "town": ["Ulm", "Bonn"], "c": [0.0, 1.0]})
    with pytest.raises(TypeError, match=r"the column 'town' of x holds .* \('Ulm' first\), not numbers"):
        model().predict(x)
    missing = library.DataFrame({"a": [1, 2], "b": [3, None], "c": [5, 6]})
    with pytest.raises(ValueError, match=r"x has 1 values that are NaN .* index \(1, 1\)"):
        model().predict(missing)
    with pytest.raises(ValueError, match="2 values a sample, but the model expects 3"):
        model().predict(frame(library, X[:, :2]))


def test_missing_values_of_pandas_own_types():
    pandas = pytest.importorskip("pandas")
    x = pandas.DataFrame({"a": pandas.array([1, None], "Int64"), "b": [0.0, 1.0], "c": pandas.array([True, None])})
    with pytest.raises(ValueError, match="x has 2 values that are NaN"):
        model().predict(x)
    whole = x.assign(a=x["a"].fillna(1), c=x["c"].fillna(True))
    np.testing.assert_array_equal(model().predict(whole), model().predict([[1, 0, 1], [1, 1, 1]]))


def test_chunks_of_frames(library):
    a, b = model(), model()
    a.fit([(frame(library, X[i : i + 10]), library.Series(Y[i : i + 10])) for i in range(0, 40, 10)], shuffle=False)
    b.fit(X, Y, batch_size=10, shuffle=False)
    np.testing.assert_array_equal(a.params, b.params)


def test_neither_library_is_imported():
    code = "import sys, numpy, fastnn; fastnn.MLP([3, 2], backend='numpy').fit(numpy.ones((4, 3)), [0, 1, 0, 1])"
    code += "; print({'pandas', 'polars'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


def test_two_columns_of_one_name():
    pandas = pytest.importorskip("pandas")
    twice = pandas.DataFrame(X, columns=["a", "b", "a"])
    np.testing.assert_array_equal(model().predict(twice), model().predict(X))
    with pytest.raises(TypeError, match="the column 'a' of x holds"):
        model().predict(pandas.DataFrame([["u", 1.0, 2.0]], columns=["a", "b", "a"]))
