"""Files of Keras: read from it (values/keras_files.py made them), written for it, and both ways where it is there."""

import os
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("h5py", reason="files of Keras need h5py")

from fastnn import keras as ours

FOLDER = Path(__file__).parent / "values" / "keras_files"
VALUES = np.load(FOLDER / "values.npz")
X, LABELS = VALUES["x"], VALUES["labels"]
DATA = {"sequential": X, "functional": X.reshape(-1, 2, 2)}


@pytest.fixture(scope="module")
def theirs():
    """Keras itself, in this process."""
    os.environ.setdefault("KERAS_BACKEND", "jax")
    pytest.importorskip("jax", reason="needs Keras on JAX")
    return pytest.importorskip("keras", reason="needs Keras")


@pytest.mark.parametrize("ending", ["keras", "h5"])
@pytest.mark.parametrize("name", DATA)
def test_files_of_keras(name, ending, tmp_path):
    model = ours.models.load_model(FOLDER / f"{name}.{ending}")
    np.testing.assert_allclose(model.predict(DATA[name], verbose=0), VALUES[name], atol=1e-5)
    again = tmp_path / f"again.{ending}"
    model.save(again)
    np.testing.assert_array_equal(
        ours.models.load_model(again).predict(DATA[name], verbose=0), model.predict(DATA[name], verbose=0)
    )
    with pytest.raises(FileExistsError, match="overwrite=False"):
        model.save(again, overwrite=False)


@pytest.mark.parametrize("name", DATA)
def test_weights_of_keras(name, tmp_path):
    model = ours.models.load_model(FOLDER / f"{name}.keras")
    expected = model.get_weights()
    for ending in ("weights.h5", "h5", "keras"):
        model.set_weights([np.zeros_like(weight) for weight in expected])
        model.load_weights(FOLDER / f"{name}.{ending}")
        for found, weight in zip(model.get_weights(), expected, strict=True):
            np.testing.assert_array_equal(found, weight)
    other = ours.Sequential([ours.Input((4,)), ours.layers.Dense(6)])
    with pytest.raises(ValueError, match=r"does not have the weights of this model: the shapes are \[\(4"):
        other.load_weights(FOLDER / f"{name}.h5")
    model.save_weights(tmp_path / "x.weights.h5")
    model.load_weights(tmp_path / "x.weights.h5")
    with pytest.raises(ValueError, match=r"must end in .weights.h5"):
        model.save_weights(tmp_path / "x.h5")


def test_compilation_of_keras():
    model = ours.models.load_model(FOLDER / "sequential.keras")
    assert isinstance(model.optimizer, ours.optimizers.Adam)
    assert abs(model.optimizer.learning_rate - 0.01) < 1e-8
    assert model.metrics_names == ["loss", "accuracy", "again"]
    np.testing.assert_allclose(model.evaluate(X, LABELS, verbose=0)[0], VALUES["loss"], rtol=1e-5)
    assert model._network.step == 2
    assert ours.models.load_model(FOLDER / "sequential.keras", compile=False).optimizer is None


def network(keras, optimizer):
    layers = keras.layers
    model = keras.Sequential([keras.Input((4,)), layers.Dense(5, activation="tanh"), layers.Dense(2)])
    model.compile(optimizer, "mse")
    return model


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "Adamax", "Nadam", "Lion"])
@pytest.mark.parametrize("there", [True, False], ids=["to-keras", "from-keras"])
def test_training_goes_on_there(theirs, name, there, tmp_path):
    first, second = (ours, theirs) if there else (theirs, ours)
    model = network(
        first, getattr(first.optimizers, name)(learning_rate=0.01, **({"momentum": 0.9} if name == "SGD" else {}))
    )
    model.fit(X, X[:, :2], epochs=3, shuffle=False, verbose=0)
    model.save(tmp_path / "m.keras")
    other = second.models.load_model(tmp_path / "m.keras")
    for each in (model, other):
        each.fit(X, X[:, :2], epochs=3, shuffle=False, verbose=0)
    np.testing.assert_allclose(other.predict(X, verbose=0), model.predict(X, verbose=0), atol=1e-5)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("ending", ["keras", "h5"])
@pytest.mark.parametrize("name", DATA)
def test_keras_reads_our_files(theirs, name, ending, tmp_path):
    model = ours.models.load_model(FOLDER / f"{name}.{ending}")
    path = tmp_path / f"m.{ending}"
    model.save(path)
    found = theirs.models.load_model(path)
    np.testing.assert_allclose(found.predict(DATA[name], verbose=0), VALUES[name], atol=1e-5)
    found.set_weights([np.zeros_like(weight) for weight in found.get_weights()])
    model.save_weights(tmp_path / "m.weights.h5")
    found.load_weights(tmp_path / "m.weights.h5")
    np.testing.assert_allclose(found.predict(DATA[name], verbose=0), VALUES[name], atol=1e-5)
