"""`fastnn evaluate` and `fastnn predict`: what they print of a model, and of which data."""

import csv
import re
import shutil
from pathlib import Path

import numpy as np
from helpers.commands import MINI, fails, run

import fastnn
from fastnn.commands import evaluate, pictures


def test_evaluate(trained, here, capsys):
    folder = shutil.copytree(trained[0], here / "left")  # for it leaves a report there
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
        assert capsys.readouterr() == ("", "wrote 7 rows of 10 outputs to p.npy\n")
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


def test_predict_does_not_write_over_what_it_read(trained, here, capsys):
    np.save("x.npy", np.zeros((1, 784)))
    assert "was read" in fails(capsys, 2, "predict", trained[0], "x.npy", "--out", "./x.npy")
    assert np.load("x.npy").shape == (1, 784)
