"""Data sets: where they are looked for, how they are downloaded, and what is said when that fails."""

import contextlib
import dataclasses
import hashlib
import io
import os
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from fastnn import datasets
from fastnn.datasets import make_fashion_mnist_mini
from fastnn.datasets.catalogue import BUNDLED, CATALOGUE

FULL = ["mnist", "fashion-mnist"]


def fill(folder, name="mnist", seed=0, suffix=".gz", count=20):
    """Put a small data set with the right file names into `folder`; return its four arrays."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    arrays = []
    for n in (count, count // 2):
        arrays += [rng.integers(0, 256, (n, 28, 28), np.uint8), rng.integers(0, 10, n).astype(np.uint8)]
    for file, array in zip(CATALOGUE[name].files, arrays, strict=True):
        datasets.write_idx(folder / (file.name.removesuffix(".gz") + suffix), array)
    return arrays


def assert_loaded(result, arrays):
    (x_train, y_train), (x_test, y_test) = result
    for found, expected in zip((x_train, y_train, x_test, y_test), arrays, strict=True):
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, expected)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache, no FASTNN_DATA and no system folders, whatever this machine has."""
    folder = tmp_path / "cache"
    monkeypatch.setattr("pooch.os_cache", lambda project: folder / project)
    monkeypatch.delenv("FASTNN_DATA", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for name in FULL:
        monkeypatch.setitem(
            CATALOGUE, name, dataclasses.replace(CATALOGUE[name], folders=(), mirrors=("http://127.0.0.1:1/",))
        )
    return folder / "fastnn"


def full(name):
    """The full data set, or skip: tests do not download."""
    location = datasets.locate(name)
    if location.kind == "download":
        pytest.skip(f"needs {name}: set FASTNN_DATA to a folder whose sub-folder {name} holds it")
    return datasets.load(name)


# What is known without reading


def test_names_and_info():
    assert datasets.names() == ("fashion-mnist-mini", "fashion-mnist", "mnist")
    for name in datasets.names():
        info = datasets.info(name)
        assert info.name == name and info.title and info.licence and info.credit
        assert len(datasets.class_names(name)) == 10
        for file in info.files:
            assert len(bytes.fromhex(file.sha256)) == 32 and file.size > 0
    assert datasets.class_names("fashion-mnist")[9] == "Ankle boot"
    assert datasets.class_names("mnist")[3] == "3"
    assert all(len(datasets.info(name).mirrors) >= 2 for name in FULL)


@pytest.mark.parametrize("function", [datasets.load, datasets.info, datasets.class_names, datasets.locate])
def test_unknown_name(function):
    with pytest.raises(ValueError, match=r"'minst'\. Did you mean 'mnist'"):
        function("minst")
    with pytest.raises(ValueError, match="There are: fashion-mnist-mini, fashion-mnist, mnist"):
        function(["cifar"])


def test_importing_and_loading_the_bundled_set_stay_light():
    program = (
        "import sys, fastnn.datasets as d; d.load('fashion-mnist-mini');"
        "print({'pooch', 'tqdm', 'requests', 'matplotlib'} & set(sys.modules))"
    )
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert output.stdout.strip() == "set()"


# The bundled subset


def test_bundled_set(cache):
    assert datasets.locate("fashion-mnist-mini").kind == "bundled"
    (x_train, y_train), (x_test, y_test) = datasets.load("fashion-mnist-mini")
    assert x_train.shape == (6000, 28, 28) and x_test.shape == (1000, 28, 28)
    assert x_train.dtype == y_train.dtype == x_test.dtype == y_test.dtype == np.uint8
    assert np.bincount(y_train).tolist() == [600] * 10
    assert np.bincount(y_test).tolist() == [100] * 10
    assert len(np.unique(x_train.reshape(6000, -1), axis=0)) > 5990  # no image was taken twice (a few twins are real)


def test_bundled_files_are_those_of_the_catalogue():
    for file in datasets.info("fashion-mnist-mini").files:
        content = (BUNDLED / file.name).read_bytes()
        assert len(content) == file.size
        assert hashlib.sha256(content).hexdigest() == file.sha256


def test_bundled_licence():
    text = (BUNDLED / "FASHION_MNIST_LICENSE.txt").read_text(encoding="utf-8")
    assert "Copyright © 2017 Zalando SE" in text and "Permission is hereby granted" in text


def test_bundled_set_is_what_the_script_makes(tmp_path, capsys):
    parts = full("fashion-mnist")
    make_fashion_mnist_mini.main(tmp_path)
    made, bundled = datasets.load("fashion-mnist-mini", path=tmp_path), datasets.load("fashion-mnist-mini")
    for (x, y), (x_made, y_made), (x_full, y_full) in zip(bundled, made, parts, strict=True):
        np.testing.assert_array_equal(x_made, x)
        np.testing.assert_array_equal(y_made, y)
        whole = {image.tobytes() + bytes([label]) for image, label in zip(x_full, y_full, strict=True)}
        assert all(image.tobytes() + bytes([label]) in whole for image, label in zip(x, y, strict=True))
    printed = capsys.readouterr().out
    assert all(file.name in printed for file in datasets.info("fashion-mnist-mini").files)


@pytest.mark.parametrize("name", FULL)
def test_full_sets(name):
    (x_train, y_train), (x_test, y_test) = full(name)
    assert x_train.shape == (60000, 28, 28) and x_test.shape == (10000, 28, 28)
    assert set(y_train) == set(y_test) == set(range(10))
    # Means of the pixels as published in many a tutorial: the right set, neither swapped nor inverted.
    assert x_train.mean() / 255 == pytest.approx({"mnist": 0.1307, "fashion-mnist": 0.2860}[name], abs=1e-4)


# The search


def test_search_order(tmp_path, monkeypatch, cache):
    system, first, second = tmp_path / "system", tmp_path / "first", tmp_path / "second"
    mnist = dataclasses.replace(CATALOGUE["mnist"], folders=(system,))
    monkeypatch.setitem(CATALOGUE, "mnist", mnist)
    monkeypatch.setenv("FASTNN_DATA", os.pathsep.join([str(tmp_path / "missing"), "", str(first), str(second)]))
    assert datasets.locate("mnist").kind == "download"
    # Each place comes before those filled so far.
    for kind, folder in [
        ("system", system),
        ("cache", cache / "mnist"),
        ("FASTNN_DATA", second / "mnist"),
        ("FASTNN_DATA", first / "mnist"),
    ]:
        arrays = fill(folder, seed=len(str(folder)))
        location = datasets.locate("mnist")
        assert (location.kind, location.folder) == (kind, folder)
        assert location.files == tuple(folder / file.name for file in mnist.files)
        assert_loaded(datasets.load("mnist"), arrays)


def test_plain_files(tmp_path, monkeypatch, cache):
    arrays = fill(tmp_path / "mnist", suffix="")
    monkeypatch.setenv("FASTNN_DATA", str(tmp_path))
    assert_loaded(datasets.load("mnist"), arrays)


def test_path_is_searched_alone(tmp_path, monkeypatch, cache):
    fill(tmp_path / "data" / "mnist", seed=1)
    monkeypatch.setenv("FASTNN_DATA", str(tmp_path / "data"))
    arrays = fill(tmp_path / "own", seed=2)
    assert_loaded(datasets.load("mnist", path=tmp_path / "own"), arrays)
    nested = fill(tmp_path / "outer" / "mnist", seed=3)
    assert_loaded(datasets.load("mnist", path=str(tmp_path / "outer")), nested)
    (tmp_path / "own" / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(FileNotFoundError, match=r"own \(path\): lacks t10k-labels-idx1-ubyte.gz"):
        datasets.load("mnist", path=tmp_path / "own")


def test_damaged_file_is_named_and_not_replaced(tmp_path, monkeypatch, cache):
    arrays = fill(tmp_path / "mnist")
    fill(cache / "mnist")  # would serve, but the user's own folder comes first
    monkeypatch.setenv("FASTNN_DATA", str(tmp_path))
    damaged = tmp_path / "mnist" / "t10k-images-idx3-ubyte.gz"
    content = damaged.read_bytes()
    damaged.write_bytes(content[:-100])
    with pytest.raises(ValueError, match="damaged") as caught:
        datasets.load("mnist")
    assert str(damaged) in str(caught.value)
    damaged.write_bytes(content)
    assert_loaded(datasets.load("mnist"), arrays)


def test_damaged_file_in_the_cache_says_to_delete_it(cache):
    fill(cache / "mnist")
    damaged = cache / "mnist" / "train-labels-idx1-ubyte.gz"
    damaged.write_bytes(b"rubbish")
    with pytest.raises(ValueError, match="Delete the file, and it will be downloaded anew") as caught:
        datasets.load("mnist")
    assert str(damaged) in str(caught.value)


@pytest.mark.parametrize(
    "file, array, message",
    [
        (0, np.zeros((20, 27, 28), np.uint8), r"images of shape \(n, 28, 28\), found uint8 \(20, 27, 28\)"),
        (0, np.zeros((20, 28, 28), np.float32), r"expected uint8 images .* found float32"),
        (1, np.zeros((20, 1), np.uint8), r"labels of shape \(n,\), found uint8 \(20, 1\)"),
        (1, np.zeros(19, np.uint8), r"expected 20 labels, .* found 19"),
        (3, np.full(10, 10, np.uint8), "labels from 0 to 9, found 10"),
    ],
)
def test_files_that_do_not_belong_together(tmp_path, file, array, message):
    fill(tmp_path)
    name = CATALOGUE["mnist"].files[file].name
    datasets.write_idx(tmp_path / name, array)
    with pytest.raises(ValueError, match=message) as caught:
        datasets.load("mnist", path=tmp_path)
    assert name in str(caught.value)


# Downloads, from a server on this machine


class Server:
    """Serves a folder under /good/, damaged or cut files under /wrong/ and /cut/, and nothing elsewhere."""

    def __init__(self, folder):
        self.requests = requests = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                requests.append(self.path)
                _, mirror, name = self.path.split("/")
                if mirror not in ("good", "wrong", "cut"):
                    self.send_error(404)
                    return
                content = (folder / name).read_bytes()
                if mirror == "wrong":
                    content = content[:-1] + b"?"
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content[: len(content) // 2] if mirror == "cut" else content)

            def log_message(self, *args):
                pass

        self.httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.httpd.server_port}/"


@pytest.fixture
def server(tmp_path, monkeypatch, cache):
    """A server of a small "mnist" whose checksums the catalogue knows; `use` names the mirrors."""
    folder = tmp_path / "served"
    arrays = fill(folder)
    server = Server(folder)
    server.arrays = arrays

    def use(*mirrors):
        files = {}
        for role in ("x_train", "y_train", "x_test", "y_test"):
            file = getattr(CATALOGUE["mnist"], role)
            content = (folder / file.name).read_bytes()
            digest = hashlib.sha256(content).hexdigest()
            files[role] = dataclasses.replace(file, size=len(content), sha256=digest)
        addresses = tuple(m if "://" in m else f"{server.address}{m}/" for m in mirrors)
        monkeypatch.setitem(CATALOGUE, "mnist", dataclasses.replace(CATALOGUE["mnist"], mirrors=addresses, **files))

    server.use = use
    thread = threading.Thread(target=server.httpd.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.httpd.shutdown()
    thread.join()
    server.httpd.server_close()


def closed_port():
    """An address at which nobody listens."""
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}/"


def test_download_once(server, cache, capsys):
    server.use("good")
    assert datasets.locate("mnist").kind == "download"
    assert_loaded(datasets.load("mnist"), server.arrays)
    names = [file.name for file in datasets.info("mnist").files]
    assert server.requests == [f"/good/{name}" for name in names]
    assert datasets.locate("mnist").kind == "cache"
    assert_loaded(datasets.load("mnist"), server.arrays)
    assert len(server.requests) == 4
    assert sorted(each.name for each in (cache / "mnist").iterdir()) == sorted(names)
    assert "%" not in capsys.readouterr().err  # no bar where nobody watches


def test_only_missing_files_are_downloaded(server, cache):
    server.use("good")
    datasets.load("mnist")
    (cache / "mnist" / "t10k-labels-idx1-ubyte.gz").unlink()
    assert_loaded(datasets.load("mnist"), server.arrays)
    assert server.requests[4:] == ["/good/t10k-labels-idx1-ubyte.gz"]


@pytest.mark.parametrize("bad", ["wrong", "cut", "absent", "closed"])
def test_next_mirror_is_tried(server, cache, bad):
    server.use(closed_port() if bad == "closed" else bad, "good")
    assert_loaded(datasets.load("mnist"), server.arrays)


def test_wrong_checksum(server, cache):
    server.use("wrong")
    with pytest.raises(ValueError, match="another checksum") as caught:
        datasets.load("mnist")
    assert f"{server.address}wrong/train-images-idx3-ubyte.gz" in str(caught.value)
    assert not any((cache / "mnist").iterdir())


@pytest.mark.parametrize(
    "bad, reason", [("cut", "IncompleteRead"), ("absent", "HTTP status 404"), ("closed", "refused")]
)
def test_failed_download_says_what_to_do(server, cache, tmp_path, monkeypatch, bad, reason):
    address = closed_port() if bad == "closed" else f"{server.address}{bad}/"
    server.use(address, address)
    monkeypatch.setenv("FASTNN_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(ConnectionError, match=reason) as caught:
        datasets.load("mnist")
    message = str(caught.value)
    assert message.count(f"{address}train-images-idx3-ubyte.gz: ") == 2
    assert f"into {cache / 'mnist'}" in message and "set FASTNN_DATA" in message
    assert f"does not exist, nor does {tmp_path / 'nowhere'}" in message
    assert not any((cache / "mnist").iterdir())


def test_progress_bar_on_a_terminal(server, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    server.use("good")
    monkeypatch.setattr(sys, "stderr", Terminal())
    datasets.load("mnist")
    shown = sys.stderr.getvalue()
    assert "train-images-idx3-ubyte.gz: 100%" in shown and "t10k-labels-idx1-ubyte.gz: 100%" in shown
