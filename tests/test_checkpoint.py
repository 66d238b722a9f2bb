"""Model files: nothing is lost, nothing is trusted, and training goes on as if it had never stopped."""

import errno
import json
import os
import stat
import struct
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

import fastnn
from fastnn import checkpoint, optimizers
from fastnn.layers import Activation, Dense, Dropout, Flatten, Input

RNG = np.random.default_rng(5)
X = RNG.integers(0, 256, (40, 3, 4)).astype("u1")
Y = RNG.integers(0, 3, 40)
NAMES = np.array(["ant", "bee", "cat"])[Y]
T = RNG.normal(size=(40, 2))


def sequential(optimizer="rmsprop", **options):
    layers = [
        Input((3, 4)),
        Flatten(),
        Dense(5, kernel_initializer="he_normal"),
        Activation("leaky_relu", alpha=0.1),
        Dropout(0.25),
        Dense(3, use_bias=False),
    ]
    model = fastnn.Sequential(layers, **{"seed": 1, "backend": "numpy", "input_scale": 0.01, "name": "mine", **options})
    loss = fastnn.losses.SparseCategoricalCrossentropy(from_logits=True)
    return model.compile(optimizer, loss, ["accuracy", fastnn.metrics.SparseCategoricalAccuracy("again")])


MODELS = {
    "sequential": (sequential, Y),
    "momentum": (lambda **o: sequential(optimizers.SGD(0.01, 0.9, True), **o), Y),
    "no state": (lambda **o: sequential("sgd", **o), Y),
    "float64": (lambda **o: sequential(dtype="float64", **o), Y),
    "classes": (lambda **o: fastnn.MLP([12, 4, 3], dropout=0.5, optimizer="adamw", **o), NAMES),
    "regression": (lambda **o: fastnn.MLP([12, 4, 2], task="regression", **o), T),
    "autoencoder": (lambda **o: fastnn.Autoencoder([12, 6, 2], **o), None),
}


def options(backend):
    return {"seed": 3, "backend": backend.NAME}


@pytest.mark.parametrize("kind", MODELS)
def test_training_goes_on_bit_for_bit(kind, tmp_path, backend):
    make, y = MODELS[kind]
    path = tmp_path / "model.safetensors"
    a, whole = make(**options(backend)), make(**options(backend))
    a.fit(X, y, epochs=2, batch_size=7)
    a.save(path)
    b = fastnn.load(path, backend=backend.NAME)
    assert type(b) is type(a)
    assert b.get_config() == a.get_config()
    for again in (a, b):
        last = again.fit(X, y, epochs=5, initial_epoch=2, batch_size=7).history
    history = whole.fit(X, y, epochs=5, batch_size=7).history
    assert {k: v[2:] for k, v in history.items()} == last
    for other in (a, b):
        np.testing.assert_array_equal(other.params, whole.params)
        np.testing.assert_array_equal(other._network.state, whole._network.state)
        assert other.evaluate(X, y) == whole.evaluate(X, y)
    np.testing.assert_array_equal(b.predict(X), a.predict(X))
    if kind == "classes":
        assert set(b.predict_classes(X)) <= set(NAMES)
    if kind == "autoencoder":
        np.testing.assert_array_equal(b.encode(X), a.encode(X))


def test_saving_in_a_fit_is_saving_after_the_epoch(tmp_path):
    class Save(fastnn.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.save(tmp_path / f"{epoch}")

    a = sequential()
    a.fit(X, Y, epochs=3, callbacks=[Save()])
    b = fastnn.load(tmp_path / "0", backend="numpy")
    b.fit(X, Y, epochs=2)
    np.testing.assert_array_equal(a.params, b.params)


def test_a_model_without_compile(tmp_path):
    a = fastnn.Sequential([Dense(3, "relu", input_shape=(4,))], seed=0, backend="numpy")
    a.save(tmp_path / "m")
    b = fastnn.load(tmp_path / "m", backend="numpy")
    np.testing.assert_array_equal(a.params, b.params)
    with pytest.raises(RuntimeError, match="not compiled"):
        b.evaluate(np.zeros((1, 4)), np.zeros((1, 3)))
    with pytest.raises(RuntimeError, match="not built"):
        fastnn.Sequential([Dense(3)], backend="numpy").save(tmp_path / "n")
    assert os.listdir(tmp_path) == ["m"]


def test_other_programs_can_read_the_file(tmp_path):
    model = sequential()
    model.fit(X, Y)
    model.save(tmp_path / "m")
    tensors = load_file(tmp_path / "m")
    assert sorted(tensors) == ["layers.2.bias", "layers.2.kernel", "layers.5.kernel", "optimizer.v"]
    for name, value in zip(["layers.2.kernel", "layers.2.bias", "layers.5.kernel"], model.get_weights(), strict=True):
        np.testing.assert_array_equal(tensors[name], value)


# ------------------------------------------------------------------------------------------ writing


@pytest.fixture
def saved(tmp_path):
    model = sequential()
    model.fit(X, Y)
    path = tmp_path / "model.safetensors"
    model.save(path)
    return model, path


@pytest.mark.parametrize("function", ["fsync", "replace", "open"])
def test_a_failure_to_write_loses_nothing(saved, monkeypatch, function):
    model, path = saved
    before = path.read_bytes()

    def fail(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    model.fit(X, Y)
    monkeypatch.setattr(checkpoint.os, function, fail)
    with pytest.raises(OSError, match=r"could not be saved \(No space left on device\).*model.safetensors") as failure:
        model.save(path)
    monkeypatch.undo()
    assert failure.value.errno == errno.ENOSPC
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_a_missing_folder_and_a_folder_in_the_way(saved):
    model, path = saved
    with pytest.raises(FileNotFoundError, match="could not be saved"):
        model.save(path.parent / "nowhere" / "m")
    with pytest.raises(OSError, match="could not be saved"):
        model.save(path.parent)
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.skipif(sys.platform == "win32", reason="file size limits are POSIX")
def test_a_disk_that_fills_up(saved):
    _, path = saved
    before = path.read_bytes()
    code = f"""
import resource, signal, fastnn
model = fastnn.load({str(path)!r}, backend="numpy")
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
try:
    model.save({str(path)!r})
except OSError as error:
    print("OSError:", error)
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert "OSError:" in ran.stdout and "could not be saved" in ran.stdout
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.skipif(sys.platform == "win32", reason="modes and links are POSIX")
def test_modes_and_links_stay(saved):
    model, path = saved
    mask = os.umask(0o027)
    try:
        model.save(path.parent / "new")
    finally:
        os.umask(mask)
    assert stat.S_IMODE(os.stat(path.parent / "new").st_mode) == 0o640
    os.chmod(path, 0o604)
    link = path.parent / "link"
    link.symlink_to(path)
    model.fit(X, Y)
    model.save(link)
    assert link.is_symlink() and stat.S_IMODE(os.stat(path).st_mode) == 0o604
    np.testing.assert_array_equal(fastnn.load(path, backend="numpy").params, model.params)


# ------------------------------------------------------------------------------------------ reading


def test_what_is_no_model_file_says_so(tmp_path, saved):
    _, good = saved
    path = tmp_path / "file"
    with pytest.raises(FileNotFoundError):
        fastnn.load(path)
    with pytest.raises(ValueError, match="not a regular file"):
        fastnn.load(tmp_path)
    for content in (b"", b"x", b"\x00" * 8, b"\xff" * 16, b"hello world" * 100, struct.pack("<Q", 2) + b"{}"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"file.*is not a model file"):
            fastnn.load(path)
    save_file({"w": np.zeros(3)}, path)
    with pytest.raises(ValueError, match="of another program"):
        fastnn.load(path)
    save_file(load_file(good), path, {"format": "fastnn", "version": "999"})
    with pytest.raises(ValueError, match="'999'"):
        fastnn.load(path)
    with pytest.raises(ValueError, match="unknown backend 'cyton'"):
        fastnn.load(good, backend="cyton")
    with pytest.raises(ValueError, match="threads"):
        fastnn.load(good, threads=0)


def split(path):
    raw = path.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    return json.loads(raw[8 : 8 + length]), raw[8 + length :]


def join(path, header, data):
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "good"
    model = sequential()
    model.fit(X, Y)
    model.save(path)
    return path, path.with_name("bad")


MUTATED = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@MUTATED
@given(where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_is_noticed(one, where, bit):
    good, bad = one
    raw = bytearray(good.read_bytes())
    raw[int(where * len(raw))] ^= 1 << bit
    bad.write_bytes(raw)
    check_refused_or_same(good, bad)


@MUTATED
@given(where=st.floats(0, 1, exclude_max=True), extra=st.binary(max_size=20))
def test_a_truncated_or_longer_file_is_noticed(one, where, extra):
    good, bad = one
    raw = good.read_bytes()
    bad.write_bytes(raw[: int(where * len(raw))] + extra)
    with pytest.raises(ValueError, match="bad"):
        fastnn.load(bad, backend="numpy")
    bad.write_bytes(raw + b"\x00" + extra)
    with pytest.raises(ValueError, match="bad"):
        fastnn.load(bad, backend="numpy")


def check_refused_or_same(good, bad):
    """A changed bit of white space, or in the spelling of JSON, may change nothing; anything else is refused."""
    try:
        b = fastnn.load(bad, backend="numpy")
    except ValueError as error:
        assert "bad" in str(error)
    else:
        a = fastnn.load(good, backend="numpy")
        assert a.get_config() == b.get_config()
        np.testing.assert_array_equal(a.params, b.params)
        np.testing.assert_array_equal(a._network.state, b._network.state)


def paths(value, so_far=()):
    """Every place in a structure of JSON."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in items:
        yield (*so_far, key)
        yield from paths(child, (*so_far, key))


HOSTILE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 3),
    st.sampled_from([2**31, 2**63, 2**64, 10**30, 1e308, float("nan"), float("inf"), -0.0, 0.5]),
    st.sampled_from(["", "relu", "Dense", "softmax", "MLP", "float64", "adam", "../x", "\x00", "x" * 1000]),
    st.lists(st.integers(0, 10**9), max_size=3),
    st.dictionaries(st.sampled_from(["name", "config", "units"]), st.integers(), max_size=2),
)


@pytest.mark.filterwarnings("ignore:.*metrics of its user's own:UserWarning")
@MUTATED
@given(data=st.data())
def test_a_lying_description_is_refused_with_a_right_hash(one, data):
    """An attacker can compute hashes: every part of the description is checked for itself."""
    good, bad = one
    header, tensors = split(good)
    config = json.loads(header["__metadata__"]["config"])
    place = data.draw(st.sampled_from(list(paths(config))))
    value = data.draw(HOSTILE)
    parent = config
    for key in place[:-1]:
        parent = parent[key]
    if data.draw(st.booleans()) and isinstance(parent, dict):
        del parent[place[-1]]
    else:
        parent[place[-1]] = value
    text = json.dumps(config)
    header["__metadata__"]["config"] = text
    header["__metadata__"]["sha256"] = checkpoint._digest(text, sorted(load_file(good).items()))
    join(bad, header, tensors)
    tracemalloc.start()
    try:
        model = fastnn.load(bad, backend="numpy")
    except ValueError as error:
        assert "bad" in str(error)
    else:
        assert np.isfinite(model.predict(np.zeros((2, 12), "f4"))).all()
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 20e6


@MUTATED
@given(data=st.data())
def test_a_lying_header_is_refused(one, data):
    good, bad = one
    header, tensors = split(good)
    places = [p for p in paths(header) if p[0] != "__metadata__"]
    place = data.draw(st.sampled_from(places))
    parent = header
    for key in place[:-1]:
        parent = parent[key]
    parent[place[-1]] = data.draw(st.one_of(HOSTILE, st.sampled_from(["F16", "BF16", "I8", "U64", "F8_E4M3", "BOOL"])))
    join(bad, header, tensors)
    check_refused_or_same(good, bad)


@MUTATED
@given(raw=st.binary(max_size=200), length=st.integers(0, 2**64 - 1))
def test_any_bytes_are_refused(one, raw, length):
    _, bad = one
    for content in (raw, struct.pack("<Q", len(raw)) + raw, struct.pack("<Q", length) + raw):
        bad.write_bytes(content)
        with pytest.raises(ValueError, match="bad"):
            fastnn.load(bad, backend="numpy")


def test_weights_that_are_not_finite_are_refused(one):
    good, bad = one
    header, _ = split(good)
    tensors = load_file(good)
    tensors["layers.2.bias"][1] = np.nan
    metadata = dict(header["__metadata__"])
    metadata["sha256"] = checkpoint._digest(metadata["config"], sorted(tensors.items()))
    save_file(tensors, bad, metadata)
    with pytest.raises(ValueError, match="NaN or infinite"):
        fastnn.load(bad, backend="numpy")


def test_an_encoder_without_operations_is_refused(tmp_path):
    """Encoding with it would write rows of the wrong width."""
    model = fastnn.Autoencoder([12, 3], seed=0, backend="numpy")
    model.save(tmp_path / "good")
    header, tensors = split(tmp_path / "good")
    config = json.loads(header["__metadata__"]["config"])
    config["model"]["layers"].insert(0, {"name": "Flatten", "config": {"name": "flat", "input_shape": [12]}})
    for layer in config["model"]["layers"][1:]:
        layer["config"].pop("input_shape", None)
    header = {k.replace("layers.1", "layers.2").replace("layers.0", "layers.1"): v for k, v in header.items()}
    text = json.dumps(config)
    header["__metadata__"] = {**header["__metadata__"], "config": text}
    join(tmp_path / "bad", header, tensors)
    header["__metadata__"]["sha256"] = checkpoint._digest(text, sorted(load_file(tmp_path / "bad").items()))
    join(tmp_path / "bad", header, tensors)
    with pytest.raises(ValueError, match="encoder_layers=1 does not split"):
        fastnn.load(tmp_path / "bad", backend="numpy")


def test_deep_json_is_refused(one):
    good, bad = one
    header, tensors = split(good)
    header["__metadata__"]["config"] = "[" * 100_000
    join(bad, header, tensors)
    with pytest.raises(ValueError, match="bad"):
        fastnn.load(bad, backend="numpy")
