"""The `fastnn` command: what it leaves, what it prints, and how it fails."""

import csv
import json
import os
import re
import signal
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pooch  # noqa: F401  (its log handler keeps the stderr of its import: not that of a single test)
import pytest

import fastnn
from fastnn import cli, diagnostics
from fastnn.commands import bench, data, evaluate, files, pictures, sources, train

MINI = "fashion-mnist-mini"
QUICK = ["--hidden", "16", "--epochs", "2"]
PICTURES = ["classes.png", "confusion.png", "curves.png", "predictions.png", "weights.png"]
ALWAYS = ["history.csv", "model.safetensors", "report.html", "run.json"]


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A folder that `fastnn train` left, and what it printed."""
    folder = tmp_path_factory.mktemp("cli") / "left"
    code = "import sys; from fastnn.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-W", "error", "-c", code, "train", *QUICK, "--out", str(folder)]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder.parent)
    assert result.returncode == 0, result.stderr
    return folder, result.stdout


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty current folder, and no wishes of the user's."""
    monkeypatch.chdir(tmp_path)
    for name in diagnostics.VARIABLES:
        if name != "FASTNN_ISA":
            monkeypatch.delenv(name, raising=False)
    return tmp_path


def run(*argv):
    return cli.main([str(arg) for arg in argv])


def fails(capsys, status, *argv):
    """Run, compare the exit status, and return the one line on standard error."""
    assert run(*argv) == status
    error = capsys.readouterr().err
    lines = [line for line in error.splitlines() if not line.startswith("fastnn: note:")]
    assert len(lines) == 1 and lines[0].startswith("fastnn: error: "), error
    return lines[0]


def png_size(path):
    """Check a PNG file, chunk by chunk; return its width and height."""
    content = Path(path).read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    place, kinds = 8, []
    while place < len(content):
        (length,) = struct.unpack_from(">I", content, place)
        kind, body = content[place + 4 : place + 8], content[place + 8 : place + 8 + length]
        assert struct.unpack_from(">I", content, place + 8 + length)[0] == zlib.crc32(kind + body)
        kinds.append(kind)
        place += 12 + length
    assert kinds[0] == b"IHDR" and kinds[-1] == b"IEND" and b"IDAT" in kinds
    return struct.unpack_from(">II", content, 16)


# ---------------------------------------------------------------------------------------------- train


def test_train_leaves_what_it_says(trained):
    folder, out = trained
    expected = ALWAYS
    if pictures.missing() is None:
        expected = sorted([*expected, *PICTURES])
        width, height = png_size(folder / "curves.png")
        assert 800 <= width <= 2000 and 300 <= height <= 1000
        width, height = png_size(folder / "predictions.png")
        assert 800 <= width <= 2000 and 500 <= height <= 2000
    assert sorted(path.name for path in folder.iterdir()) == expected
    assert str(folder) in out and all(name in out for name in expected)


def test_train_prints_the_accuracy_of_the_model_that_it_saved(trained):
    folder, out = trained
    model = fastnn.load(folder / "model.safetensors")
    _, (x, y) = fastnn.datasets.load(MINI)
    loss, accuracy = model.evaluate(x, y)
    (printed,) = re.findall(r"^test accuracy +([\d.]+) +\(loss ([\d.]+), 1,000 images\)$", out, re.M)
    assert printed == (f"{accuracy:.4f}", f"{loss:.4f}")
    assert accuracy > 0.5
    assert model.backend in out and model.dtype in out and f"{model.count_params():,} parameters" in out
    assert diagnostics.counted(diagnostics.threads()[0], "thread") in out


def test_train_writes_the_history_that_it_prints(trained):
    folder, out = trained
    with open(folder / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    names = ["loss", "accuracy", "val_loss", "val_accuracy"]
    assert list(rows[0]) == ["epoch", *names]
    for i, row in enumerate(rows, 1):
        (line,) = re.findall(rf"^ *{i}/2 +(.*)$", out, re.M)
        assert line.split()[:4] == [f"{float(row[name]):.4f}" for name in names]
    _, (x, y) = fastnn.datasets.load(MINI)
    loss, accuracy = fastnn.load(folder / "model.safetensors").evaluate(x, y)
    assert (float(rows[-1]["val_loss"]), float(rows[-1]["val_accuracy"])) == pytest.approx((loss, accuracy))


def test_history_file_equals_the_history(here):
    history = fastnn.callbacks.History()
    history.epoch, history.history = [4, 5], {"loss": [0.1 + 0.2, 1e-300], "val_loss": [float(np.float32(0.1)), 2.0]}
    files.write_history(here / "h.csv", history)
    with open(here / "h.csv", newline="") as file:
        head, *rows = csv.reader(file)
    assert head == ["epoch", "loss", "val_loss"]
    assert [int(row[0]) for row in rows] == [5, 6]
    assert [[float(row[i]) for row in rows] for i in (1, 2)] == list(history.history.values())


def test_train_takes_its_options(here, capsys):
    options = "--hidden 12 8 --activation tanh --dropout 0.1 0.2 --batch-size 500 --epochs 1 --optimizer sgd"
    more = "--learning-rate 0.25 --seed 3 --backend numpy --threads 1 --dtype float64 --validation-split 0.5 --out x"
    assert run("train", "--quiet", *options.split(), *more.split()) == 0
    assert capsys.readouterr().out == "x\n"
    model = fastnn.load("x/model.safetensors")
    config = model.get_config()
    layers = [(layer["class"] if "class" in layer else layer["name"], layer["config"]) for layer in config["layers"]]
    assert [c["units"] for _, c in layers if "units" in c] == [12, 8, 10]
    assert [c["activation"] for _, c in layers if "activation" in c] == ["tanh", "tanh", "softmax"]
    assert [c["rate"] for _, c in layers if "rate" in c] == [0.1, 0.2]
    assert model.optimizer.name == "sgd" and model.optimizer.learning_rate == 0.25
    assert model.seed == 3 and model.dtype == "float64"
    assert model._network.step == 6  # 3,000 of the 6,000 images in batches of 500

    # The same by hand.
    (x, y), _ = fastnn.datasets.load(MINI)
    sgd = fastnn.optimizers.SGD(0.25)
    same = fastnn.MLP(
        [784, 12, 8, 10], "tanh", [0.1, 0.2], optimizer=sgd, seed=3, backend="numpy", dtype="float64", threads=1
    )
    same.fit(x, y, batch_size=500, epochs=1, validation_split=0.5)
    np.testing.assert_array_equal(model.params, same.params)


def test_train_without_hidden_layers(here, capsys):
    assert run("train", "--hidden", "--epochs", "1", "--quiet") == 0
    model = fastnn.load(Path(capsys.readouterr().out.strip()) / "model.safetensors")
    assert model.count_params() == 785 * 10


def test_train_never_overwrites(here, capsys, monkeypatch):
    monkeypatch.setattr(train.time, "strftime", lambda form: "20000101-000000")
    monkeypatch.setattr(pictures, "missing", lambda: "left out for this test")
    names = [Path("runs") / f"{MINI}-20000101-000000{end}" for end in ("", "-2", "-3")]
    for name in names:
        assert run("train", *QUICK, "--quiet") == 0
        assert capsys.readouterr().out.strip() == str(name)
    before = (names[0] / "model.safetensors").stat().st_mtime_ns
    assert "not empty" in fails(capsys, 2, "train", *QUICK, "--out", names[0])
    assert (names[0] / "model.safetensors").stat().st_mtime_ns == before
    (here / "empty").mkdir()
    assert run("train", *QUICK, "--quiet", "--out", "empty") == 0


def test_train_without_matplotlib_says_so_first(here, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    seen = []
    fit = fastnn.MLP.fit
    monkeypatch.setattr(fastnn.MLP, "fit", lambda *a, **k: (seen.append(capsys.readouterr().err), fit(*a, **k))[1])
    assert run("train", *QUICK, "--out", "x") == 0
    (before,) = seen
    out = capsys.readouterr().out
    for text in (before, out):
        assert all(name in text for name in ("pictures", "matplotlib", 'pip install -e ".[plot]"'))
    assert sorted(os.listdir("x")) == ALWAYS


def test_quiet_is_quiet(here, capsys):
    assert run("train", *QUICK, "--quiet", "--out", "x") == 0
    out, err = capsys.readouterr()
    assert out == "x\n"
    assert err == "" or err.startswith("fastnn: note: the pictures")


def test_divergence_is_an_error_that_keeps_what_there_is(here, capsys):
    error = fails(capsys, 1, "train", *QUICK, "--learning-rate", "1e30", "--out", "x")
    assert "learning rate" in error and "x has the model" in error
    assert sorted(os.listdir("x")) == ["history.csv", "model.safetensors", "run.json"]
    assert np.isfinite(fastnn.load("x/model.safetensors").params).all()


@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
def test_ctrl_c_keeps_what_was_trained(here):
    # A process that was started in the background may have inherited that the signal is ignored.
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); from fastnn.cli import main; "
        "sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", code, "train", "--hidden", "16", "--epochs", "1000000", "--out", "x"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        lines = iter(process.stdout.readline, "")
        assert any(re.match(r" *3/1000000 ", line) for line in lines)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 130
    assert err.strip().startswith("fastnn: interrupted, training stopped in epoch") and "Traceback" not in err
    assert "`fastnn train --resume x` goes on" in err
    assert sorted(os.listdir("x")) == ["arguments.json", "backup", "history.csv", "model.safetensors", "run.json"]
    with open("x/history.csv", newline="") as file:
        epochs = [int(row["epoch"]) for row in csv.DictReader(file)]
    assert len(epochs) >= 3 and epochs == list(range(1, len(epochs) + 1))
    _, (x, y) = fastnn.datasets.load(MINI)
    assert fastnn.load("x/model.safetensors").evaluate(x, y)[1] > 0.5


def test_ctrl_c_elsewhere(here, capsys, monkeypatch):
    def interrupted(name):
        raise KeyboardInterrupt

    monkeypatch.setattr(sources, "load_announced", interrupted)
    assert run("train") == 130
    assert capsys.readouterr().err == "fastnn: interrupted\n"
    assert os.listdir() == []


def test_progress_bar_on_a_terminal(here, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert run("train", *QUICK, "--out", "x") == 0
    out, err = capsys.readouterr()
    assert "epoch 2/2" in err and "samples/s" in err and "\x1b[2K" in err
    assert "\x1b" not in out and re.search(r"^ +2/2( +[\d.]+){4} +[\d,]+$", out, re.M)


# ---------------------------------------------------------------------------------------------- evaluate, predict


def test_evaluate(trained, capsys):
    folder, _ = trained
    (x_train, y_train), (x, y) = fastnn.datasets.load(MINI)
    model = fastnn.load(folder / "model.safetensors")
    assert run("evaluate", folder) == 0
    out = capsys.readouterr().out
    loss, accuracy = model.evaluate(x, y)
    assert re.search(rf"^loss +{loss:.4f}$", out, re.M) and re.search(rf"^accuracy +{accuracy:.4f}$", out, re.M)
    found = model.predict_classes(x)
    for label, name in enumerate(fastnn.datasets.class_names(MINI)):
        (row,) = re.findall(rf"^{re.escape(name)}  +(\d+) +(\S+) +(\S+)", out, re.M)
        right = np.sum((found == label) & (y == label))
        assert row[:2] == ("100", f"{right / 100:.3f}")
        assert row[2] == (f"{right / np.sum(found == label):.3f}" if (found == label).any() else "-")
    assert run("evaluate", folder / "model.safetensors", "--data", MINI, "--split", "train") == 0
    out = capsys.readouterr().out
    assert f"accuracy   {model.evaluate(x_train, y_train)[1]:.4f}" in out and "6,000 train images" in out


def test_class_table():
    y = np.array([0, 0, 0, 0, 1, 1])
    lines = evaluate.class_table(pictures.class_rows(y, np.array([0, 0, 0, 1, 0, 0]), ["a", "b", "never"]))
    assert [line.split() for line in lines[1:]] == [
        ["a", "4", "0.750", "0.600", "b", "(1)"],
        ["b", "2", "0.000", "0.000", "a", "(2)"],
        ["never", "0", "-", "-"],
    ]


def test_evaluate_an_autoencoder(here, capsys):
    model = fastnn.Autoencoder([784, 8], seed=0)
    model.save("ae.safetensors")
    assert "--data" in fails(capsys, 2, "evaluate", "ae.safetensors")
    assert run("evaluate", "ae.safetensors", "--data", MINI) == 0
    out = capsys.readouterr().out
    _, (x, _) = fastnn.datasets.load(MINI)
    assert f"loss       {fastnn.load('ae.safetensors').evaluate(x):.4f}" in out and "recall" not in out


def test_predict_reads_all_formats_alike(trained, here, capsys):
    folder, _ = trained
    _, (x, _) = fastnn.datasets.load(MINI)
    x = x[:7]
    expected = fastnn.load(folder / "model.safetensors").predict(x)
    np.save("x.npy", x)
    np.save("wide.npy", x.reshape(7, 784).astype(np.int64))
    np.save("scaled.npy", x.astype(np.float32) * np.float32(1 / 255))
    fastnn.datasets.write_idx("x-idx3-ubyte.gz", x)
    fastnn.datasets.write_idx("x.idx", x)
    np.savetxt("x.csv", x.reshape(7, 784), fmt="%d", delimiter=",")
    head = ",".join(f"pixel{i}" for i in range(784)) + "\n"
    Path("head.csv").write_text("\ufeff" + head + Path("x.csv").read_text() + "\n", encoding="utf-8")
    runs = ["x.npy", "wide.npy --uint8", "scaled.npy", "x-idx3-ubyte.gz", "x.idx", "x.csv --uint8", "head.csv --uint8"]
    for args in runs:
        assert run("predict", folder, *args.split()) == 0
        out, err = capsys.readouterr()
        assert err == ""
        head, *rows = csv.reader(out.splitlines())
        assert head == ["class", "name", *(f"p{i}" for i in range(10))]
        np.testing.assert_allclose(np.array(rows)[:, 2:].astype(np.float32), expected, rtol=1e-5, atol=1e-7)
        assert [int(row[0]) for row in rows] == expected.argmax(axis=1).tolist()
        names = fastnn.datasets.class_names(MINI)
        assert [row[1] for row in rows] == [names[label] for label in expected.argmax(axis=1)]
        assert run("predict", folder, *args.split(), "--out", "p.npy") == 0
        assert capsys.readouterr().out == ""
        np.testing.assert_allclose(np.load("p.npy"), expected, rtol=1e-5, atol=1e-7)
        assert run("predict", folder, *args.split(), "--out", "p.csv") == 0
        capsys.readouterr()
        assert Path("p.csv").read_text() == out


def test_predict_csv_reads_back_exactly(trained, here, capsys):
    folder, _ = trained
    _, (x, _) = fastnn.datasets.load(MINI)
    np.save("x.npy", x)
    assert run("predict", folder, "x.npy", "--out", "p.csv") == 0
    read = np.loadtxt("p.csv", delimiter=",", skiprows=1, usecols=range(2, 12), dtype=np.float32)
    np.testing.assert_array_equal(read, fastnn.load(folder / "model.safetensors").predict(x))


def test_predict_with_other_models(here, capsys):
    rng = np.random.default_rng(0)
    x = rng.random((6, 3))
    np.save("x.npy", x)
    texts = fastnn.MLP([3, 4, 2], seed=0)
    texts.fit(x, ["no", "yes"] * 3)
    texts.save("texts.safetensors")
    assert run("predict", "texts.safetensors", "x.npy") == 0
    head, *rows = csv.reader(capsys.readouterr().out.splitlines())
    assert head == ["class", "p0", "p1"]
    assert [row[0] for row in rows] == texts.predict_classes(x).tolist()

    fastnn.MLP([3, 4, 1], task="regression", seed=0).save("reg.safetensors")
    assert run("predict", "reg.safetensors", "x.npy") == 0
    head, *rows = csv.reader(capsys.readouterr().out.splitlines())
    assert head == ["y0"] and len(rows) == 6

    fastnn.Autoencoder([3, 2], seed=0).save("ae.safetensors")
    assert run("predict", "ae.safetensors", "x.npy") == 0
    assert capsys.readouterr().out.startswith("y0,y1,y2\n")

    double = fastnn.MLP([3, 4, 2], seed=0, dtype="float64")
    double.save("double.safetensors")
    assert run("predict", "double.safetensors", "x.npy", "--out", "p.csv") == 0
    read = np.loadtxt("p.csv", delimiter=",", skiprows=1, usecols=(1, 2))
    np.testing.assert_array_equal(read, double.predict(x))


def test_predict_notes_pixels_that_are_not_bytes(trained, here, capsys):
    folder, _ = trained
    np.savetxt("x.csv", np.full((1, 784), 200), fmt="%d", delimiter=",")
    assert run("predict", folder, "x.csv") == 0
    assert "--uint8" in capsys.readouterr().err


# ---------------------------------------------------------------------------------------------- info, data, bench


def test_info(here, capsys):
    assert run("info") == 0
    out = capsys.readouterr().out
    for text in (fastnn.__version__, np.__version__, sys.executable, *fastnn.datasets.names()):
        assert text in out
    for name, reason in fastnn.kernels.backend_status().items():
        assert re.search(
            rf"^  {name} +{re.escape('available' if reason is None else f'not available: {reason}')}", out, re.M
        )
    assert re.search(rf'^  "auto" is +{fastnn.kernels.get_backend().NAME}', out, re.M)
    assert re.search(r"^threads +\d+: ", out, re.M)
    if fastnn.kernels.backend_status()["numba"] is None:
        assert re.search(r"^numba backend\n  in use +vectors of \d+ float32", out, re.M)


def test_info_says_why(here, capsys, monkeypatch):
    from fastnn.kernels import BackendUnavailable, registry

    monkeypatch.setitem(registry._loaded, "cython", BackendUnavailable("no compiler here"))
    monkeypatch.setenv("FASTNN_NUM_THREADS", "many")
    monkeypatch.setenv("FASTNN_BACKEND", "cython")
    assert run("info") == 0
    out = capsys.readouterr().out
    assert re.search(r"^  cython +not available: no compiler here$", out, re.M)
    assert "FASTNN_NUM_THREADS must be a positive integer, got 'many'" in out
    assert re.search(r'"auto" fails: .*no compiler here', out)


def test_data(here, capsys, monkeypatch):
    assert run("data") == 0
    out = capsys.readouterr().out
    assert all(re.search(rf"^{name}$", out, re.M) for name in fastnn.datasets.names())
    assert "MIT" in out and "CC BY-SA 3.0" in out
    assert run("data", MINI) == 0
    out = capsys.readouterr().out
    assert "Ankle boot" in out and "Zalando" in out and "comes with fastnn" in out
    assert run("data", MINI, "--download") == 0
    assert "6,000 training and 1,000 test images" in capsys.readouterr().out
    monkeypatch.setattr("pooch.os_cache", lambda project: here / project)
    assert run("data", "mnist") == 0
    out = capsys.readouterr().out
    assert f"it would be downloaded to {here / 'fastnn' / 'mnist'}" in out and "https://" in out


def test_data_that_cannot_be_downloaded(here, capsys, monkeypatch):
    import dataclasses

    from fastnn.datasets.catalogue import CATALOGUE

    monkeypatch.setattr("pooch.os_cache", lambda project: here / project)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    unreachable = dataclasses.replace(CATALOGUE["mnist"], folders=(), mirrors=("http://127.0.0.1:1/",))
    monkeypatch.setitem(CATALOGUE, "mnist", unreachable)
    for argv in (["data", "mnist", "--download"], ["train", "--data", "mnist"]):
        assert run(*argv) == 1
        first, *rest = capsys.readouterr().err.splitlines()
        assert first.startswith("fastnn: downloading mnist to")
        assert any(line.startswith("fastnn: error: mnist is not on this machine") for line in rest)
    assert not Path("runs").exists()


@pytest.mark.parametrize("shape", bench.SHAPES)
def test_bench(here, capsys, monkeypatch, shape):
    monkeypatch.setattr(bench, "_ROUND_SECONDS", 1e-4)
    argv = ["bench", shape, "--batch-size", "8", "--seconds", "1e-4", "--backends", "numpy"]
    available = [name for name in fastnn.kernels.available_backends() if name == "cython"]
    assert run(*argv, *available) == 0
    out = capsys.readouterr().out
    for name in ("numpy", *available):
        (row,) = re.findall(rf"^{name} +([\d.]+) +([\d.]+) +([\d,]+) +([\d.]+)$", out, re.M)
        assert float(row[0]) >= float(row[1]) > 0
    assert bench.SHAPES[shape].title.split(",")[0] in out


def test_bench_counts_the_operations():
    # 2 x 3 x 2 samples forward, as much for the weights, and the inputs' gradient of the second layer alone.
    assert bench.SHAPES["mlp"].flops([3, 2, 5], 7) == 7 * 2 * (3 * (6 + 10) - 6)


def test_bench_refuses_backends_that_disagree(here, capsys, monkeypatch):
    epoch = bench._epoch
    factor = iter([1.0, 1.0, 2.0, 1.0])

    def disagreeing(*args):
        seconds, loss = epoch(*args)
        return seconds, loss * next(factor)

    monkeypatch.setattr(bench, "_epoch", disagreeing)
    monkeypatch.setitem(bench.kernels.registry._loaded, "cython", fastnn.kernels.get_backend("numpy"))
    error = fails(capsys, 1, "bench", "tabular", "--backends", "numpy", "cython")
    assert "disagree" in error


# ---------------------------------------------------------------------------------------------- errors, help


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ("", "COMMAND"),
        ("fly", "unknown command 'fly'"),
        ("trian", "Did you mean 'train'"),
        ("--traceback evalute runs/x", "Did you mean 'evaluate'"),
        ("train --fly", "--fly"),
        ("train --data mnst", "Did you mean 'mnist'"),
        ("train --hidden 0", "integer of at least 1, got '0'"),
        ("train --epochs 1.5", "integer of at least 1, got '1.5'"),
        ("train --dropout 1", "below 1, got '1'"),
        ("train --dropout 0.1 0.2 0.3", "dropout must be one value, or a list"),
        ("train --activation rellu", "Did you mean 'relu'"),
        ("train --learning-rate nan", "number above 0, got 'nan'"),
        ("train --learning-rate inf", "number above 0, got 'inf'"),
        ("train --seed -1", "at least 0"),
        ("train --backend cuda", "invalid choice: 'cuda'"),
        ("train --validation-split 1e-9", "none to validate with"),
        ("train --out here.txt/x", "here.txt"),
        ("train --out here.txt", "here.txt"),
        ("evaluate nope.safetensors", "nope.safetensors: No such file"),
        ("evaluate here.txt", "not a model file"),
        ("evaluate .", "model.safetensors: No such file"),
        ("predict MODEL nope.npy", "nope.npy: No such file"),
        ("predict MODEL here.npy", "here.npy cannot be read as NPY"),
        ("predict MODEL objects.npy", "objects.npy cannot be read as NPY"),
        ("predict MODEL here.csv", "here.csv cannot be read as CSV"),
        ("predict MODEL empty.csv", "empty.csv cannot be read as CSV: it has no rows"),
        ("predict MODEL here.txt", "here.txt: expected an IDX file"),
        ("predict MODEL narrow.npy", "model expects 784"),
        ("predict MODEL narrow.npy --uint8", "integers from 0 to 255"),
        ("predict MODEL nan.npy", "NaN"),
        ("predict MODEL text.npy", "must hold numbers"),
        ("predict MODEL narrow.npy --out p.txt", "ends in .csv or .npy"),
        ("data nope", "unknown data set 'nope'"),
        ("data --download", "NAME"),
        ("bench nope", "invalid choice: 'nope'"),
        ("bench --backends nope", "unknown backend 'nope'"),
    ],
)
def test_wrong_arguments_and_input(trained, here, capsys, argv, words):
    Path("here.txt").write_text("neither model nor numbers")
    Path("here.npy").write_text("neither model nor numbers")
    Path("here.csv").write_text("a,b\n1,2\n3\n")
    Path("empty.csv").write_text("")
    np.save("objects.npy", np.array([{}], dtype=object))
    np.save("narrow.npy", np.full((2, 3), 0.5))
    np.save("text.npy", np.array(["a", "b"]))
    np.save("nan.npy", np.full((2, 784), np.nan))
    before = sorted(path.name for path in here.rglob("*"))
    error = fails(capsys, 2, *(str(trained[0]) if arg == "MODEL" else arg for arg in argv.split()))
    assert words in error
    assert sorted(path.name for path in here.rglob("*")) in (before, sorted([*before, "runs"]))


def test_predict_does_not_write_over_what_it_read(trained, here, capsys):
    np.save("x.npy", np.zeros((1, 784)))
    assert "was read" in fails(capsys, 2, "predict", trained[0], "x.npy", "--out", "./x.npy")
    assert np.load("x.npy").shape == (1, 784)


def test_errors_of_the_environment(here, capsys, monkeypatch):
    monkeypatch.setenv("FASTNN_BACKEND", "nope")
    assert "FASTNN_BACKEND" in fails(capsys, 2, "train", *QUICK)
    monkeypatch.setenv("FASTNN_BACKEND", "numpy")
    monkeypatch.setenv("FASTNN_NUM_THREADS", "many")
    assert "FASTNN_NUM_THREADS" in fails(capsys, 2, "train", *QUICK)
    assert not any(Path("runs").iterdir()) if Path("runs").exists() else True


def test_a_backend_that_cannot_run_is_a_failure(here, capsys, monkeypatch):
    from fastnn.kernels import BackendUnavailable, registry

    monkeypatch.setitem(registry._loaded, "numba", BackendUnavailable("for this test"))
    assert "not available: for this test" in fails(capsys, 1, "train", *QUICK, "--backend", "numba")


def test_what_nobody_expected(here, capsys, monkeypatch):
    def surprise(args):
        raise LookupError("of this test")

    monkeypatch.setattr(data, "run", surprise)
    assert "LookupError: of this test" in fails(capsys, 1, "data")
    with pytest.raises(LookupError):
        run("--traceback", "data")


@pytest.mark.parametrize("argv", ["", "train", "evaluate", "predict", "encode", "info", "data", "bench"])
def test_help(capsys, argv):
    assert run(*argv.split(), "--help") == 0
    out = capsys.readouterr().out
    assert out.startswith("usage: fastnn") and len(out.splitlines()) >= 7
    assert max(map(len, out.splitlines())) <= 120


def test_readers_that_go_away(here):
    """`fastnn data | head -1` is silent, and so is a reader that is gone before anything was written."""
    code = "import sys; from fastnn.cli import main; sys.exit(main(['data']))"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    error = process.stderr.read().decode()
    process.stderr.close()
    assert process.wait() == 1
    assert error == ""


def test_the_command_is_light():
    """Help and version load nothing that only some sub-commands need."""
    heavy = ["numba", "pooch", "requests", "matplotlib", "tqdm", "safetensors", "scipy"]
    code = (
        "import json, sys; from fastnn.cli import main; main(['--version']); main(['train', '--help']); "
        f"print(json.dumps(sorted(set(sys.modules) & set({heavy}))))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(result.stdout.splitlines()[-1]) == []
