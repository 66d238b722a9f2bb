"""Files of Keras: read from it (values/keras_files.py made them), written for it, and both ways where it is there."""

import io
import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from fastnn import keras as ours

h5py = pytest.importorskip("h5py", reason="files of Keras need h5py")

FOLDER = Path(__file__).parent / "values" / "keras_files"
VALUES = np.load(FOLDER / "values.npz")
X, LABELS = VALUES["x"], VALUES["labels"]
DATA = {
    "sequential": X,
    "functional": X.reshape(-1, 2, 2),
    "layered": X,
    "normalized": X,
    "rescaled": X.reshape(-1, 2, 2),
}


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


@pytest.mark.parametrize("ending", ["keras", "h5"])
def test_compilation_of_keras(ending, tmp_path):
    model = ours.models.load_model(FOLDER / f"sequential.{ending}")
    assert isinstance(model.optimizer, ours.optimizers.Adam)
    assert abs(model.optimizer.learning_rate - 0.01) < 1e-8
    assert model.metrics_names == ["loss", "accuracy", "again"]
    np.testing.assert_allclose(model.evaluate(X, LABELS, verbose=0)[0], VALUES["loss"], rtol=1e-5)
    assert model._network.step == 2
    assert np.abs(model._network.state).min() > 0
    model.save(tmp_path / "x.keras")
    again = ours.models.load_model(tmp_path / "x.keras")
    assert again._network.step == 2
    np.testing.assert_array_equal(again._network.state, model._network.state)
    assert ours.models.load_model(FOLDER / "sequential.keras", compile=False).optimizer is None


def test_layers_of_keras():
    """What a file says of layers and compilation is the same when it is written again."""
    model = ours.models.load_model(FOLDER / "layered.keras")
    optimizer = model.optimizer.get_config()
    assert optimizer.pop("learning_rate")["config"]["decay_rate"] == pytest.approx(0.9)
    expected = {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01, "clipnorm": 1.0}
    assert {key: optimizer[key] for key in expected} == expected
    again = ours.models.model_from_json(model.to_json())
    assert again.get_config() == model.get_config()
    assert again.optimizer.get_config() == model.optimizer.get_config()
    normalization = model.layers[0]
    mean, variance, count = normalization.get_weights()
    np.testing.assert_allclose(normalization(X), (X - mean) / np.sqrt(variance), atol=1e-5)
    assert (mean.shape, variance.shape, count.shape) == ((4,), (4,), ())
    assert abs(mean - 2).max() < 2 and len(model.get_weights()) == 3 + 1 + 2 * 4
    assert model.count_params() == 9 + sum(weight.size for weight in model.trainable_weights)


# ---------------------------------------------------------------------------------------------- damaged files


def archive(path, config, weights, method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", method) as file:
        if config is not None:
            file.writestr("config.json", config if isinstance(config, str) else json.dumps(config))
        file.writestr("model.weights.h5", weights)


def parts():
    with zipfile.ZipFile(FOLDER / "sequential.keras") as file:
        return json.loads(file.read("config.json")), file.read("model.weights.h5")


def hdf5(fill):
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        fill(file)
    return content.getvalue()


def changed(layer, **config):
    """The description of the sequential model with other arguments of a layer."""
    found, _ = parts()
    found["config"]["layers"][layer]["config"].update(config)
    return found


@pytest.mark.parametrize("ending", ["keras", "h5"])
def test_damaged_files_are_refused(ending, tmp_path):
    content, path = (FOLDER / f"sequential.{ending}").read_bytes(), tmp_path / f"x.{ending}"
    for part in (b"", b"nonsense", content[:100], content[: len(content) // 2], content[:-30]):
        path.write_bytes(part)
        with pytest.raises(ValueError, match=f"x.{ending} is damaged, or no file of Keras"):
            ours.models.load_model(path)
    with pytest.raises(FileNotFoundError, match="nothing"):
        ours.models.load_model(tmp_path / f"nothing.{ending}")


def lambda_layer():
    found, _ = parts()
    code = "4wEAAAAAAAAAAAAAAAEAAAABAAAAQwAAAHMEAAAAfABTACkBTqkA"  # marshalled, as Keras 2 wrote it
    found["config"]["layers"][2] = {"module": "keras.layers", "class_name": "Lambda", "registered_name": None,
                                    "config": {"name": "l", "function": [code, None, None]}}  # fmt: skip
    return found


def own_layer():
    found, _ = parts()
    found["config"]["layers"][2] = {"module": "os", "class_name": "system", "registered_name": "os>system",
                                    "config": {"name": "touch here"}}  # fmt: skip
    return found


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (lambda_layer, "a layer Lambda, which is not supported"),
        (own_layer, "a layer system, which is not supported"),
        (lambda: changed(1, units=10**9), "a layer of 5,000,000,000 weights, and has room for"),
        (lambda: changed(1, units=7), "does not have the weights of this model"),
        (lambda: changed(1, units="many"), "damaged, or no file of Keras .TypeError: units"),
        (lambda: {"class_name": "Functional", "config": {}}, "damaged, or no file of Keras .KeyError"),
        (lambda: "[" * 100_000, "damaged, or no file of Keras .RecursionError"),
        (lambda: "{", "damaged, or no file of Keras .JSONDecodeError"),
        (lambda: None, "damaged, or no file of Keras .KeyError.*config.json"),
    ],
)
def test_descriptions_that_lie(config, said, tmp_path):
    archive(tmp_path / "x.keras", config(), parts()[1])
    with pytest.raises(ValueError, match=said):
        ours.models.load_model(tmp_path / "x.keras")


def test_a_bomb_is_not_unpacked(tmp_path):
    archive(tmp_path / "x.keras", parts()[0], bytes(10_000_000), zipfile.ZIP_DEFLATED)
    with pytest.raises(ValueError, match="would grow to 10,000,000 bytes"):
        ours.models.load_model(tmp_path / "x.keras")


def weights(first):
    """The weights of a layer of 4 x 3, the kernel of which `first` writes."""

    def fill(file):
        group = file.create_group("layers/dense/vars")
        first(file, group)
        group["1"] = np.zeros(3, np.float32)

    return hdf5(fill)


def test_weights_that_lie(tmp_path):
    secret = tmp_path / "secret.h5"
    secret.write_bytes(hdf5(lambda file: file.create_dataset("0", data=np.ones((4, 3), np.float32))))
    raw = tmp_path / "raw"
    raw.write_bytes(bytes(48))
    cases = {
        "the shapes are": lambda file, group: group.create_dataset("0", (10**9, 10**9), np.float32),  # nothing stored
        "is a link": lambda file, group: group.__setitem__("0", h5py.ExternalLink(str(secret), "/0")),
        "is a link, which": lambda file, group: group.__setitem__("0", h5py.SoftLink("/layers/dense/vars/1")),
        "another file": lambda file, group: group.create_dataset("0", (4, 3), np.float32, external=[(str(raw), 0, 48)]),
        "is damaged": lambda file, group: group.create_group("0"),
        "NaN": lambda file, group: group.__setitem__("0", np.full((4, 3), np.nan, np.float32)),
    }
    model = ours.Sequential([ours.Input((4,)), ours.layers.Dense(3)])
    before = model.get_weights()
    path = tmp_path / "x.weights.h5"
    for said, first in cases.items():
        path.write_bytes(weights(first))
        with pytest.raises(ValueError, match=said):
            model.load_weights(path)
        np.testing.assert_array_equal(model.get_weights()[0], before[0])
    path.write_bytes(weights(lambda file, group: group.__setitem__("0", np.ones((4, 3), np.float32))))
    model.load_weights(path)
    assert model.get_weights()[0].sum() == 12


def test_moving_statistics_are_not_trained():
    model = ours.models.load_model(FOLDER / "normalized.keras")
    names = ["gamma", "beta", "kernel", "bias"] * 2 + ["kernel", "bias"]
    assert [weight.name for weight in model.trainable_weights] == names
    assert [weight.name for weight in model.non_trainable_weights] == ["moving_mean", "moving_variance"] * 2
    assert abs(model.layers[0].moving_mean).max() > 0.1
    assert model.layers[4].gamma is None


def network(keras, optimizer):
    layers = keras.layers
    model = keras.Sequential([keras.Input((4,)), layers.Dense(5, activation="tanh"), layers.Dense(2)])
    model.compile(optimizer, "mse")
    return model


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "Adamax", "Nadam", "Lion"])
@pytest.mark.parametrize(("there", "ending"), [(True, "keras"), (False, "keras"), (False, "h5")])
def test_training_goes_on_there(theirs, name, there, ending, tmp_path):
    first, second = (ours, theirs) if there else (theirs, ours)
    model = network(
        first, getattr(first.optimizers, name)(learning_rate=0.01, **({"momentum": 0.9} if name == "SGD" else {}))
    )
    model.fit(X, X[:, :2], epochs=3, shuffle=False, verbose=0)
    model.save(tmp_path / f"m.{ending}")
    other = second.models.load_model(tmp_path / f"m.{ending}")
    for each in (model, other):
        each.fit(X, X[:, :2], epochs=3, shuffle=False, verbose=0)
    np.testing.assert_allclose(other.predict(X, verbose=0), model.predict(X, verbose=0), atol=1e-5)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("there", [True, False], ids=["to-keras", "from-keras"])
def test_training_of_normalized_networks_goes_on_there(theirs, there, tmp_path):
    first, second = (ours, theirs) if there else (theirs, ours)
    model = first.models.load_model(FOLDER / "normalized.keras")
    model.fit(X, X, epochs=3, shuffle=False, verbose=0)
    model.save(tmp_path / "m.keras")
    other = second.models.load_model(tmp_path / "m.keras")
    for each in (model, other):
        each.fit(X, X, epochs=3, shuffle=False, verbose=0)
    np.testing.assert_allclose(other.predict(X, verbose=0), model.predict(X, verbose=0), atol=1e-4)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("ending", ["keras", "h5"])
@pytest.mark.parametrize("name", DATA)
def test_keras_reads_our_files(theirs, name, ending, tmp_path):
    model = ours.models.load_model(FOLDER / f"{name}.{ending}")
    path = tmp_path / "m.keras"
    model.save(path)
    found = theirs.models.load_model(path)
    np.testing.assert_allclose(found.predict(DATA[name], verbose=0), VALUES[name], atol=1e-5)
    found.set_weights([np.zeros_like(weight) for weight in found.get_weights()])
    model.save_weights(tmp_path / "m.weights.h5")
    found.load_weights(tmp_path / "m.weights.h5")
    np.testing.assert_allclose(found.predict(DATA[name], verbose=0), VALUES[name], atol=1e-5)
