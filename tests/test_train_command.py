"""`fastnn train`: what it leaves, what it prints, and how it ends early."""

import csv
import os
import re
import signal
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from helpers.commands import MINI, QUICK, fails, run

import fastnn
from fastnn import diagnostics
from fastnn.commands import files, pictures, sources, train

ALWAYS = ["history.csv", "model.safetensors", "report.html", "run.json"]
PICTURES = ["classes.png", "confusion.png", "curves.png", "predictions.png", "weights.png"]


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
    monkeypatch.setenv("TERM", "dumb")
    assert run("train", *QUICK, "--out", "y") == 0
    out, err = capsys.readouterr()
    assert "\x1b" not in out + err and re.search(r"^ +2/2 ", out, re.M)
