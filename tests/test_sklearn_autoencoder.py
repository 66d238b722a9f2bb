"""AutoencoderTransformer, as scikit-learn uses it."""

import copy
import pickle

import numpy as np
import pytest

sklearn = pytest.importorskip("sklearn", minversion="1.6")

from helpers.estimators import digits  # noqa: E402
from sklearn.base import clone  # noqa: E402
from sklearn.compose import ColumnTransformer  # noqa: E402
from sklearn.model_selection import GridSearchCV, cross_val_score  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402

import fastnn.sklearn as ours  # noqa: E402
from fastnn.callbacks import TerminateOnNaN  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")


def test_autoencoder_transforms_and_goes_back():
    x, _ = digits()
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
    x, _ = digits()
    strange = np.random.default_rng(0).uniform(size=(20, 64))
    coder = ours.AutoencoderTransformer((32, 8), max_iter=30, learning_rate_init=0.005, random_state=0, batch_size=50)
    coder.set_params(contamination=0.05)
    labels = coder.fit_predict(np.concatenate([x, strange]))
    assert (labels == -1).sum() == pytest.approx(21, abs=1)
    assert (labels[400:] == -1).sum() >= 18
    np.testing.assert_array_equal(coder.predict(x) == -1, coder.score_samples(x) < coder.offset_)


def small(**parameters):
    return ours.AutoencoderTransformer(
        **{"hidden_layer_sizes": (16, 3), "max_iter": 3, "random_state": 0, **parameters}
    )


def test_autoencoder_in_a_search():
    x, _ = digits()
    search = GridSearchCV(small(), {"learning_rate_init": [1e-6, 1e-2]}, cv=3).fit(x)
    assert search.best_params_ == {"learning_rate_init": 1e-2}
    assert search.score(x) == pytest.approx(search.best_estimator_.score_samples(x).mean())
    assert (cross_val_score(small(), x, cv=3) < 0).all()


def test_autoencoder_in_pipelines():
    x, y = digits()
    pipe = make_pipeline(StandardScaler(), small()).fit(x)
    codes = pipe.transform(x)
    scaled = StandardScaler().fit_transform(x)
    np.testing.assert_array_equal(codes, small().fit(scaled).transform(scaled))
    assert pipe.inverse_transform(codes).shape == x.shape
    np.testing.assert_array_equal(pipe.score_samples(x), pipe[-1].score_samples(scaled))
    assert (make_pipeline(StandardScaler(), small(contamination=0.25)).fit_predict(x) == -1).mean() == 0.25
    assert make_pipeline(small(), ours.MLPClassifier(max_iter=20, random_state=0, tol=1.0)).fit(x, y).score(x, y) > 0.1


@pytest.mark.parametrize("library", ["pandas", "polars"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_autoencoder_of_some_columns_of_a_frame(library, dtype):
    frames = pytest.importorskip(library)
    x, _ = digits(60)
    frame = frames.DataFrame({f"p{i}": x[:, i].astype(dtype) for i in range(10, 20)})
    codes = ("codes", small(hidden_layer_sizes=(6, 2)), [f"p{i}" for i in range(10, 18)])
    table = ColumnTransformer([codes, ("rest", "passthrough", ["p19"])]).set_output(transform=library)
    result = table.fit_transform(frame)
    names = ["codes__autoencodertransformer0", "codes__autoencodertransformer1", "rest__p19"]
    assert isinstance(result, frames.DataFrame) and list(result.columns) == names
    assert result[names[0]].to_numpy().dtype == dtype
    coder = small().set_output(transform=library).fit(frame)
    back = coder.inverse_transform(coder.transform(frame))
    np.testing.assert_allclose(-np.square(back - frame.to_numpy()).mean(axis=1), coder.score_samples(frame), rtol=1e-5)


def test_autoencoder_copies_and_files():
    x, _ = digits(60)
    coder = small().fit(x)
    for twin in (copy.deepcopy(coder), pickle.loads(pickle.dumps(coder))):
        np.testing.assert_array_equal(twin.transform(x), coder.transform(x))
        assert twin.offset_ == coder.offset_


def test_autoencoder_takes_what_it_can():
    x, _ = digits(40)
    assert small(hidden_layer_sizes=4).fit_transform(x).shape == (40, 4)
    assert small(hidden_layer_sizes=(9, 8, 3), activation=["relu", "tanh"]).fit_transform(x).shape == (40, 3)
    for value, error, text in (
        ((4.5, 2), TypeError, r"integers, got \[4\.5, 2\]"),
        ((4, 0), ValueError, r"must be > 0, got \[4, 0\]"),
        ((), ValueError, "is empty"),
    ):
        with pytest.raises(error, match=text):
            small(hidden_layer_sizes=value).fit(x)
    coder = small().fit(x)
    with pytest.raises(ValueError, match=r"\(2, 4\)"):
        coder.inverse_transform(np.zeros((2, 4)))


def test_an_autoencoder_that_ends_before_its_first_epoch():
    x, _ = digits(40)
    coder = ours.AutoencoderTransformer((4, 2), max_iter=3, random_state=0)
    with np.errstate(all="ignore"):
        coder.fit((x * 1e30).astype(np.float32), callbacks=[TerminateOnNaN()])
    assert coder.n_iter_ == 0 and coder.loss_curve_ == [] and np.isnan(coder.loss_)
