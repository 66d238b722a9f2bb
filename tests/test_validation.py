"""Every wrong input has an error that shows what was wrong, and none of them changes the model."""

import pickle

import numpy as np
import pytest
from fastnn.kernels import get_backend
from helpers.arrays import unaligned

import fastnn
from fastnn import validation

N, WIDTH, CLASSES = 12, 4, 3


def data():
    rng = np.random.default_rng(0)
    return rng.normal(size=(N, WIDTH)).astype("f4"), np.arange(N) % CLASSES


def model():
    made = fastnn.MLP([WIDTH, 5, CLASSES], seed=0, backend="numpy")
    made.fit(*data(), verbose=0)
    return made


def with_value(a, index, value):
    a = np.array(a, dtype=np.result_type(a, type(value)))
    a[index] = value
    return a


X, Y = data()
BAD_X = [
    (with_value(X, (3, 2), np.nan), ValueError, r"x has 1 values that are NaN or infinite, out of 48; .* \(3, 2\)"),
    (with_value(X, (slice(5, 7), 1), np.inf), ValueError, r"x has 2 values .* inf at index \(5, 1\)"),
    (with_value(X.astype(float), (0, 0), 1e300), ValueError, r"too large for float32.* 1e\+300 at index \(0, 0\)"),
    (X[:, :3], ValueError, r"\(12, 3\).* 3 values a sample, but the model expects 4"),
    (X.astype(object), TypeError, r"dtype object .*\(12, 4\)"),
    (X.astype(complex), TypeError, "dtype complex128"),
    (X.astype(str), TypeError, "x must hold numbers"),
    (np.empty((0, WIDTH), "f4"), ValueError, r"x is empty: its shape is \(0, 4\)"),
    (np.float32(3), ValueError, "one row a sample"),
    (X[0], ValueError, r"\(4,\).*pass x\[None\]"),
    ([[1, 2, 3, 4], [1, 2]], ValueError, "x cannot be read as an array"),
    (None, TypeError, "x must hold numbers"),
    (np.ma.masked_less(X, 0), ValueError, "masked"),
    (X.astype("M8[s]"), TypeError, "dtype datetime64"),
]
BAD_Y = [
    (Y[:-1], ValueError, r"\(12, 4\) and \(11,\), 12 and 11 rows"),
    (with_value(Y, 4, 3), ValueError, "label 3 at index 4; labels must lie in 0 to 2"),
    (with_value(Y, 2, -1), ValueError, "label -1 at index 2"),
    (with_value(Y, 2, 0.5), ValueError, "integer labels, got 0.5 at index 2"),
    (with_value(Y, 2, np.nan), ValueError, "y has 1 values that are NaN"),
    (np.empty(0, int), ValueError, "y is empty"),
    (Y.astype(complex), TypeError, "dtype complex128"),
    (np.array([None] * N), TypeError, "dtype object"),
    (np.zeros((N, 5)), ValueError, r"y must hold one label a sample.*\(12, 5\)"),
    (np.full((N, CLASSES), 2.0), ValueError, r"y must lie in \[0, 1\]"),
    (np.ones((N, CLASSES)), ValueError, "row 0 sums to 3.0; .*multilabel"),
    (np.array(["a", "b", "c"] * 4), TypeError, "holds strings .* trained with integer labels"),
    (np.array(["a", "b", "c"] * 4, "T"), TypeError, "holds strings .* trained with integer labels"),
    (np.array(["a", np.nan] * 6, np.dtypes.StringDType(na_object=np.nan)), TypeError, "dtype StringDType"),
    (None, ValueError, "y is missing"),
]
BAD_FIT = [
    ({"batch_size": 0}, ValueError, "batch_size .* got 0"),
    ({"batch_size": 2.5}, TypeError, "batch_size .* 2.5"),
    ({"batch_size": True}, TypeError, "batch_size .* True"),
    ({"epochs": 0}, ValueError, "epochs .* 0"),
    ({"epochs": "3"}, TypeError, "epochs .* '3'"),
    ({"epochs": 2, "initial_epoch": 3}, ValueError, "initial_epoch .* 3"),
    ({"verbose": 3}, ValueError, "verbose .* 3"),
    ({"verbose": "loud"}, ValueError, "verbose .* 'loud'"),
    ({"shuffle": "batch"}, TypeError, "shuffle .* 'batch'"),
    ({"validation_split": 1.0}, ValueError, "validation_split .* 1.0"),
    ({"validation_split": -0.1}, ValueError, "validation_split .* -0.1"),
    ({"validation_split": 0.99}, ValueError, "leaves no rows .* 12"),
    ({"validation_data": X}, ValueError, r"tuple \(x, y\)"),
    ({"validation_data": (X[:, :2], Y)}, ValueError, r"validation x has the shape \(12, 2\)"),
    ({"validation_data": (X, Y + 1)}, ValueError, "validation y has the label 3"),
    ({"validation_data": (X, Y[:3])}, ValueError, "validation x and validation y"),
    ({"sample_weight": np.ones(5)}, ValueError, r"\(12,\), got the shape \(5,\)"),
    ({"sample_weight": np.full(N, np.nan)}, ValueError, "sample_weight has 12 values"),
    ({"sample_weight": ["a"] * N}, TypeError, "sample_weight must hold numbers"),
    ({"class_weight": {3: 1.0}}, ValueError, "unknown class 3"),
    ({"class_weight": {"a": 1.0}}, ValueError, "unknown class 'a'"),
    ({"class_weight": {0: -1.0}}, ValueError, "class 0 .* -1.0"),
    ({"class_weight": {0: np.nan}}, ValueError, "class 0 .* nan"),
    ({"class_weight": [1, 2, 3]}, TypeError, "class_weight must be a dict"),
    ({"callbacks": 3}, TypeError, "callbacks must be a list"),
    ({"callbacks": [print]}, TypeError, "instance of fastnn.callbacks.Callback"),
]


def state(m):
    return pickle.dumps((m._network.__getstate__(), m.get_config(), m.history.history, m.get_weights()))


@pytest.fixture(scope="module")
def trained():
    return model()


@pytest.mark.parametrize(("x", "error", "words"), BAD_X)
def test_bad_inputs(trained, x, error, words):
    before = state(trained)
    for call in (
        lambda: trained.fit(x, Y),
        lambda: trained.predict(x),
        lambda: trained.evaluate(x, Y),
        lambda: trained.predict_classes(x),
    ):
        with pytest.raises(error, match=words):
            call()
    assert state(trained) == before


@pytest.mark.parametrize(("y", "error", "words"), BAD_Y)
def test_bad_targets(trained, y, error, words):
    before = state(trained)
    for call in (lambda: trained.fit(X, y), lambda: trained.evaluate(X, y)):
        with pytest.raises(error, match=words):
            call()
    assert state(trained) == before


@pytest.mark.parametrize(("options", "error", "words"), BAD_FIT)
def test_bad_fit_arguments(trained, options, error, words):
    before = state(trained)
    with pytest.raises(error, match=words):
        trained.fit(X, Y, **options)
    assert state(trained) == before


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"backend": "cyton"}, ValueError, "'cyton'.*Did you mean 'cython'"),
        ({"dtype": "float16"}, ValueError, "dtype .* 'float16'"),
        ({"dtype": "bogus"}, ValueError, "dtype .* 'bogus'"),
        ({"dtype": None}, ValueError, "dtype .* None"),
        ({"seed": -1}, ValueError, "seed .* -1"),
        ({"seed": 1.5}, TypeError, "seed .* 1.5"),
        ({"seed": 2**64}, ValueError, "seed"),
        ({"threads": 0}, ValueError, "threads .* 0"),
        ({"threads": "two"}, TypeError, "threads .* 'two'"),
        ({"input_scale": "none"}, TypeError, "input_scale .* 'none'"),
        ({"input_scale": np.inf}, ValueError, "input_scale .* inf"),
        ({"name": 3}, TypeError, "name .* 3"),
        ({"optimizer": "admn"}, ValueError, "optimizer 'admn'. Did you mean 'adam"),
        ({"loss": "msee"}, ValueError, "loss 'msee'. Did you mean"),
        ({"loss": "binary_crossentropy"}, ValueError, "'binary_crossentropy' needs 'sigmoid'"),
        ({"metrics": ["mae"]}, ValueError, "'mae' needs targets"),
        ({"task": "clasification"}, ValueError, "Did you mean 'classification'"),
        ({"activation": ["relu", "relu"]}, ValueError, "one a hidden layer, 1 here"),
        ({"dropout": [0.1, 0.2]}, ValueError, "one a hidden layer, 1 here"),
        ({"dropout": 1.5}, ValueError, "dropout .* 1.5"),
        ({"sizes": [4]}, ValueError, r"at least two widths.*\[4\]"),
        ({"sizes": 4}, ValueError, "at least two widths.*4"),
        ({"sizes": [4, 0, 3]}, ValueError, "every size .* 0"),
        ({"sizes": [4, 2.5, 3]}, TypeError, "every size .* 2.5"),
    ],
)
def test_bad_model_arguments(options, error, words):
    with pytest.raises(error, match=words):
        fastnn.MLP(**{"sizes": [4, 5, 3], "backend": "numpy", **options})


def test_a_first_fit_that_fails_leaves_the_model_unbuilt():
    made = fastnn.Sequential([fastnn.layers.Dense(3, "softmax")], seed=0, backend="numpy")
    made.compile(loss="sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match="label 3"):
        made.fit(X, Y + 1)
    assert not made.built and made.classes is None
    made.fit(X[:, :3], Y)
    assert made.input_shape == (None, 3)


FORMS = {
    "lists": lambda a: a.tolist(),
    "fortran": np.asfortranarray,
    "strided": lambda a: np.repeat(a, 2, axis=0)[::2],
    "reversed": lambda a: a[::-1].copy()[::-1],
    "big endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
    "float64": lambda a: a.astype("f8"),
    "long double": lambda a: a.astype(np.longdouble),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_forms_of_the_same_data_give_the_same_model(form, dtype, backend):
    def train(x, y):
        m = fastnn.MLP([WIDTH, 5, CLASSES], seed=0, backend=backend.NAME, dtype=dtype)
        m.fit(x, y, epochs=2, batch_size=5)
        return m.params.copy(), m.predict(x), m.evaluate(x, y)

    for expected, got in zip(train(X, Y), train(FORMS[form](X), FORMS[form](Y)), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_read_only_and_memory_mapped_data(tmp_path, backend):
    def train(x, y):
        m = fastnn.MLP([WIDTH, 5, CLASSES], seed=0, backend=backend.NAME)
        m.fit(x, y, batch_size=5, sample_weight=w)
        return m.params.copy(), m.predict(x)

    w = np.linspace(0.5, 1.5, N).astype("f4")
    expected = train(X, Y)
    np.save(tmp_path / "x.npy", X)
    np.save(tmp_path / "y.npy", Y.astype("i4"))
    x, y = (np.load(tmp_path / name, mmap_mode="r") for name in ("x.npy", "y.npy"))
    w.flags.writeable = False
    for a, b in zip(expected, train(x, y), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("kind", ["bool", "int8", "uint16", "int64", "float16"])
def test_other_number_types_are_taken_at_their_value(kind):
    m = model()
    x = (np.arange(N * WIDTH).reshape(N, WIDTH) % 5).astype(kind)
    np.testing.assert_array_equal(m.predict(x), m.predict(x.astype("f4")))


@pytest.mark.parametrize("kind", ["int8", "uint8", "uint64", "float16", "float64", "bool"])
def test_labels_of_any_type(kind):
    m = fastnn.MLP([WIDTH, 2], seed=0, backend="numpy")
    y = np.arange(N) % 2
    assert m.evaluate(X, y.astype(kind)) == m.evaluate(X, y) == m.evaluate(X, y[:, None])


def test_objects_with_an_array_inside():
    class Frame:
        def __init__(self, a):
            self.a = a

        def __array__(self, dtype=None, copy=None):
            return self.a.astype(dtype or self.a.dtype)

    m = model()
    np.testing.assert_array_equal(m.predict(Frame(X)), m.predict(X))
    assert m.evaluate(Frame(X), Frame(Y)) == m.evaluate(X, Y)


def test_large_values_are_no_mistake():
    m = model()
    x = np.full((4000, WIDTH), 3e38, "f4")  # finite, though their sum is not
    assert m.predict(x).shape == (4000, CLASSES)
    assert m.predict(x[:2]).shape == (2, CLASSES)


def test_inputs_are_left_alone():
    x, y, w = X.copy(), Y.copy(), np.ones(N)
    m = model()
    m.fit(x, y, sample_weight=w, class_weight={0: 2.0})
    m.predict(x)
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(y, Y)
    np.testing.assert_array_equal(w, np.ones(N))


def test_regression_targets():
    m = fastnn.MLP([WIDTH, 5, 2], task="regression", seed=0, backend="numpy")
    for y, words in [
        (np.zeros(N), r"\(12,\), which is 1 values a sample, but the model has 2 outputs"),
        (np.zeros((N, 3)), r"\(12, 3\), which is 3 values"),
        (np.full((N, 2), np.inf), "y has 24 values"),
        (np.zeros((N - 1, 2)), r"\(12, 4\) and \(11, 2\)"),
    ]:
        with pytest.raises(ValueError, match=words):
            m.fit(X, y)
    with pytest.raises(ValueError, match="class_weight needs targets that are classes"):
        m.fit(X, np.zeros((N, 2)), class_weight={0: 1.0})
    one = fastnn.MLP([WIDTH, 5, 1], task="regression", seed=0, backend="numpy")
    assert one.evaluate(X, np.ones(N)) == one.evaluate(X, np.ones((N, 1)))


def test_keras_losses_ask_for_their_targets():
    dense = fastnn.layers.Dense
    m = fastnn.Sequential([dense(3, "softmax", input_shape=(WIDTH,))], seed=0, backend="numpy")
    m.compile(loss="categorical_crossentropy")
    with pytest.raises(ValueError, match="sparse_categorical_crossentropy"):
        m.fit(X, Y)
    m.compile(loss="sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match="'categorical_crossentropy'"):
        m.fit(X, np.eye(3)[Y])
    with pytest.raises(RuntimeError, match="not compiled"):
        fastnn.Sequential([dense(3, input_shape=(4,))], backend="numpy").fit(X, Y)
    with pytest.raises(RuntimeError, match="no layers"):
        fastnn.Sequential(backend="numpy").summary()
    with pytest.raises(RuntimeError, match="not built"):
        fastnn.Sequential([dense(3)], backend="numpy").predict(X)
    with pytest.raises(TypeError, match="validation_freq"):
        m.fit(X, Y, validation_freq="3")


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
@pytest.mark.parametrize("shape", [(30,), (8191,), (90, 100)])
def test_all_finite_sees_every_element(shape, dtype):
    largest = np.full(shape, np.finfo(dtype).max, dtype)  # of which the sum is not finite
    assert validation.all_finite(largest) and validation.all_finite(np.zeros(shape, dtype))
    for index in (0, largest.size // 3, largest.size - 1):
        for value in (np.nan, np.inf, -np.inf):
            changed = np.ones(shape, dtype)
            changed.flat[index], changed.flat[index - 1] = value, -value
            assert not validation.all_finite(changed)


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_kernels_get_aligned_arrays(task, monkeypatch):
    rng = np.random.default_rng(0)
    x, weights = rng.normal(size=(20, 4)).astype(np.float32), rng.random(20).astype(np.float32)
    y = (
        (np.arange(20) % 3).astype(np.int32)
        if task == "classification"
        else rng.normal(size=(20, 3)).astype(np.float32)
    )
    models = [fastnn.MLP([4, 3], task=task, seed=0) for _ in range(2)]
    module, got = get_backend(models[0].backend), []
    for name in ("train", "forward"):
        function = getattr(module, name)

        def spy(workspace, *arrays, function=function):
            got.extend(array for array in arrays if isinstance(array, np.ndarray))
            return function(workspace, *arrays)

        monkeypatch.setattr(module, name, spy)
    models[0].fit(unaligned(x), unaligned(y), sample_weight=unaligned(weights), verbose=0)
    models[1].fit(x, y, sample_weight=weights, verbose=0)
    assert np.array_equal(models[0].predict(unaligned(x)), models[1].predict(x))
    assert len(got) > 6
    assert all(array.flags.aligned for array in got)
