"""Tables from the command line: what is read, and how it fails."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from helpers.commands import run

import fastnn
from fastnn.commands import tables

RNG = np.random.default_rng(3)
FLOWERS = """\
id,width,length,species
a,1.0,4,oak
b,2.5,3,elm
c,-1,2.25,oak
d,0,1e-3,elm
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("fastnn.commands.pictures.missing", lambda: "left out for this test")
    return tmp_path


def write(name, text):
    Path(name).write_text(text, encoding="utf-8")
    return name


# ---------------------------------------------------------------------------------------------- reading


@pytest.mark.parametrize("target", ["species", "3", "-1"])
def test_csv(here, target):
    table = tables.read(write("f.csv", FLOWERS), target, ["id"])
    np.testing.assert_array_equal(table.x, [[1, 4], [2.5, 3], [-1, 2.25], [0, 1e-3]])
    assert table.y.tolist() == ["oak", "elm", "oak", "elm"] and table.columns == ["width", "length"]


@pytest.mark.parametrize(
    "text, columns",
    [
        ("a;b\n1;2\n3;4\n", ["a", "b"]),
        ("a\tb\n1\t2\n3\t4\n", ["a", "b"]),
        ("\ufeff1,2\n3,4\n", ["0", "1"]),
        ('"a","b, c"\n"1",2\n3,4\n\n', ["a", "b, c"]),
        ("label,0\n1,2\n3,4\n", ["label", "0"]),
        ("a,b\r\n1,2\r\n3,4", ["a", "b"]),
    ],
)
def test_kinds_of_csv(here, text, columns):
    table = tables.read(write("f.csv", text))
    assert table.columns == columns and table.y is None
    np.testing.assert_array_equal(table.x, [[1, 2], [3, 4]])


def test_a_first_line_of_data_is_not_taken_for_names(here):
    table = tables.read(write("f.csv", "5.1,3.5,oak\n4.9,3.0,elm\n"), "2")
    np.testing.assert_array_equal(table.x, [[5.1, 3.5], [4.9, 3.0]])
    assert table.y.tolist() == ["oak", "elm"]


def test_columns_come_in_the_order_of_training(here):
    like = tables.Table(None, None, ["b", "a"])
    table = tables.read(write("f.csv", "a,extra,b\n1,x,2\n"), like=like)
    np.testing.assert_array_equal(table.x, [[2, 1]])
    with pytest.raises(ValueError, match="lacks the column 'b' that there was in training"):
        tables.read(write("f.csv", "a\n1\n"), like=like)


@pytest.mark.parametrize(
    "text, words",
    [
        ("a,b\n1,2\n3,\n", "column 'b' in line 3 has no value"),
        ("a,b\n1,2\nNA,4\n", "column 'a' in line 3 has no value"),
        ("a,b\n1,2\n\n3,red\n", "column 'b' in line 4 has 'red', which is no number"),
        ("a,b\n1,2\n3,inf\n", "column 'b' in line 3 has 'inf', which is not finite"),
        ("a,b\n1,2\n3,nan\n", "column 'b' in line 3 has no value"),
        ("a,b\n1,2\n3\n", "line 3 has 1 fields, the first line 2"),
        ("a,a\n1,2\n", "two columns are called 'a'"),
        ("a,b\n", "has no rows"),
        ("", "has no rows"),
        ("\n\n", "has no rows"),
        ('a,b\n"1,2\n', "cannot be read as CSV"),
    ],
)
def test_errors_name_column_and_line(here, text, words):
    with pytest.raises(ValueError, match=words):
        tables.read(write("f.csv", text))


def test_errors_of_the_target(here):
    write("f.csv", "a,b,c\n1,2,x\n3,4,\n")
    with pytest.raises(ValueError, match="target 'c' has no value in line 3"):
        tables.read("f.csv", "c")
    with pytest.raises(ValueError, match=r"--target d: f.csv has no such column; there are a, b, c"):
        tables.read("f.csv", "d")
    with pytest.raises(ValueError, match=r"--drop 7: f.csv has no such column"):
        tables.read("f.csv", "c", ["7"])
    with pytest.raises(ValueError, match="no column besides the target"):
        tables.read(write("g.csv", "a\n1\n"), "a")


def test_parquet(here):
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    columns = {"a": [1, 2, 3], "b": [0.5, 1.5, 2.5], "ok": [True, False, True], "kind": ["x", "y", "x"]}
    parquet.write_table(arrow.table(columns), "f.parquet")
    table = tables.read("f.parquet", "kind")
    np.testing.assert_array_equal(table.x, [[1, 0.5, 1], [2, 1.5, 0], [3, 2.5, 1]])
    assert table.y.tolist() == ["x", "y", "x"] and table.columns == ["a", "b", "ok"]
    parquet.write_table(arrow.table({**columns, "b": [0.5, None, 1.0]}), "f.parquet")
    with pytest.raises(ValueError, match="column 'b' in row 2 has no value"):
        tables.read("f.parquet", "kind")
    Path("f.parquet").write_bytes(b"PAR1 nonsense")
    with pytest.raises(ValueError, match="cannot be read as PARQUET"):
        tables.read("f.parquet")


def test_arrays(here):
    x, y = RNG.random((6, 3)), np.arange(6)
    np.save("xy.npy", np.column_stack([x, y]))
    np.save("x.npy", x)
    np.save("y.npy", y)
    np.savez("pair.npz", x=x, y=y)
    np.savez("four.npz", x_train=x[:4], y_train=y[:4], x_test=x[4:], y_test=y[4:])
    for path, target in (("xy.npy", "-1"), ("xy.npy", "3"), ("x.npy", "y.npy"), ("pair.npz", "y")):
        table = tables.read(path, target)
        np.testing.assert_array_equal(table.x, x)
        np.testing.assert_array_equal(table.y, y)
    four = tables.read("four.npz")
    np.testing.assert_array_equal(np.concatenate([four.x, four.test[0]]), x)
    np.testing.assert_array_equal(np.concatenate([four.y, four.test[1]]), y)
    np.testing.assert_array_equal(tables.read("x.npy", None, ["1"]).x, x[:, [0, 2]])
    x[4, 1] = np.nan
    np.save("x.npy", x)
    with pytest.raises(ValueError, match=r"x.npy: row 5, column 1 is NaN"):
        tables.read("x.npy")
    with pytest.raises(ValueError, match=r"--target z: pair.npz has no such array; there are x, y"):
        tables.read("pair.npz", "z")
    np.save("short.npy", y[:2])
    with pytest.raises(ValueError, match=r"\(2,\), x.npy has 6 rows"):
        tables.read("x.npy", "short.npy")
    np.savez("objects.npz", x=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="cannot be read as NPZ"):
        tables.read("objects.npz")


# ---------------------------------------------------------------------------------------------- commands

QUICK = ["--hidden", "8", "--dropout", "0", "--batch-size", "16", "--quiet", "--backend", "numpy", "--out", "x"]


def classes_file(n=200, text=True):
    """Points of two classes that a line separates; the target comes first."""
    points = np.random.default_rng(7).normal(size=(n, 2)).round(3)
    labels = np.where(points @ [2, -1] > 0, "up", "down") if text else (points @ [2, -1] > 0).astype(int)
    lines = [f"{label},{a},{b}" for label, (a, b) in zip(labels, points.tolist(), strict=True)]
    return write("points.csv", "side,a,b\n" + "\n".join(lines) + "\n"), points, labels


def test_classes_from_a_file(here, capsys):
    path, points, labels = classes_file()
    argv = ["train", "--data", path, "--target", "side", "--epochs", 60, "--learning-rate", 0.02, *QUICK]
    assert run(*argv) == 0
    model = fastnn.load("x/model.safetensors")
    assert model.classes.tolist() == ["down", "up"] and model.input_shape == (None, 2)
    assert (model.predict_classes(points) == labels).mean() > 0.95
    capsys.readouterr()

    # The rows to test with are a fifth, not trained on; evaluate finds them again.
    assert run("evaluate", "x", "--no-report") == 0
    out = capsys.readouterr().out
    assert "40 test rows of points" in out
    held = json.loads(Path("x/run.json").read_text())
    assert held["columns"] == ["a", "b"] and held["task"] == "classification"
    assert run("evaluate", "x", "--no-report", "--split", "train") == 0
    assert "160 train rows of points" in capsys.readouterr().out
    assert run("evaluate", "x", "--no-report", "--data", path) == 0
    out = capsys.readouterr().out
    assert "200 rows of points.csv" in out
    assert f"accuracy   {model.evaluate(points, labels)[1]:.4f}" in out

    # Columns are found by name, whatever their order; the target need not be there.
    lines = ["b,other,a", *(f"{b},word,{a}" for a, b in points.tolist())]
    assert run("predict", "x", write("new.csv", "\n".join(lines))) == 0
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert [row["class"] for row in rows] == model.predict_classes(points).tolist()

    Path(path).write_text(Path(path).read_text() + "up,9,1\n")
    assert run("evaluate", "x", "--no-report") == 0
    assert "is not what it was in training" in capsys.readouterr().err


def test_rows_to_test_with_are_drawn_by_the_seed(here):
    path, _, _ = classes_file(50)
    for name, seed in (("o0", 0), ("same", 0), ("o1", 1)):
        argv = ["--data", path, "--target", "side", "--epochs", 1, *QUICK[:-1], name, "--seed", seed]
        assert run("train", *argv) == 0
    digests = [json.loads(Path(f"o{seed}/run.json").read_text())["sha256"] for seed in (0, 1)]
    assert digests[0] != digests[1]
    assert json.loads(Path("same/run.json").read_text())["sha256"] == digests[0]


@pytest.mark.parametrize("values, names", [(["0", "1"], None), (["3", "7"], ["3", "7"])])
def test_whole_numbers_are_classes(here, values, names):
    path, _, _ = classes_file(60, text=False)
    text = Path(path).read_text().replace("\n0,", f"\n{values[0]},").replace("\n1,", f"\n{values[1]},")
    write(path, text)
    assert run("train", "--data", path, "--target", "side", "--epochs", 1, *QUICK) == 0
    classes = fastnn.load("x/model.safetensors").classes
    assert (classes if names is None else classes.tolist()) == names


def test_regression_from_a_file(here, capsys):
    x = RNG.random((120, 3)).round(4)
    y = x @ [1.0, -2.0, 0.5]
    np.savez("data.npz", x=x, y=y)
    argv = ["train", "--data", "data.npz", "--target", "y", "--epochs", 60, "--learning-rate", 0.01]
    assert run(*argv, *QUICK) == 0
    model = fastnn.load("x/model.safetensors")
    assert model.task == "regression" and np.mean((model.predict(x)[:, 0] - y) ** 2) < 0.1 * y.var()
    assert run("evaluate", "x", "--no-report") == 0
    assert re_loss(capsys.readouterr().out) < 0.1 * y.var()


def re_loss(out):
    (line,) = (line for line in out.splitlines() if line.startswith("loss"))
    return float(line.split()[1])


@pytest.mark.parametrize("how", ["standard", "min-max"])
def test_normalize_is_fitted_on_the_training_rows_and_saved(here, capsys, how):
    path, points, labels = classes_file(100)
    big = points * [1e4, 1e-3] + [5e5, 3]
    lines = [f"{label},{a!r},{b!r}" for label, (a, b) in zip(labels, big.tolist(), strict=True)]
    write(path, "side,a,b\n" + "\n".join(lines) + "\n")
    test = write("test.csv", "side,a,b\nup,5e5,3\ndown,5e5,3\n")
    argv = ["train", "--data", path, "--target", "side", "--normalize", how, "--test", test, "--epochs", 60]
    assert run(*argv, "--learning-rate", 0.02, *QUICK) == 0
    model = fastnn.load("x/model.safetensors")
    assert (model.predict_classes(big) == labels).mean() > 0.9
    layer = model.layers[1]
    if how == "standard":
        np.testing.assert_allclose(layer.mean, big.mean(axis=0), rtol=1e-6)
        np.testing.assert_allclose(layer.variance, big.var(axis=0), rtol=1e-4)
    else:
        np.testing.assert_allclose(layer.minimum, big.min(axis=0), rtol=1e-6)
        np.testing.assert_allclose(layer.maximum, big.max(axis=0), rtol=1e-6)


@pytest.mark.parametrize("how", ["standard", "min-max"])
def test_an_autoencoder_of_normalized_columns(here, how):
    """Columns of any size count alike: the error is on the scale of the scaled ones, and so of order 1."""
    x = RNG.normal(size=(50, 3)) * [1.0, 1e5, 1e-5]
    np.savetxt("x.csv", np.column_stack([x, x[:, 0] > 0]), delimiter=",")
    argv = ["train", "--model", "autoencoder", "--data", "x.csv", "--target", "-1", "--normalize", how]
    assert run(*argv, "--code", 2, "--epochs", 1, "--hidden", *QUICK) == 0
    model = fastnn.load("x/model.safetensors")
    assert model.layers[-1].activation == {"standard": "linear", "min-max": "sigmoid"}[how]
    assert 0.001 < model.reconstruction_error(x).mean() < 10.0


def test_bytes_from_a_file(here, capsys):
    x = RNG.integers(0, 256, (40, 25))
    np.savetxt("x.csv", np.column_stack([x, x[:, 0] > 99]), fmt="%d", delimiter=",")
    assert run("train", "--data", "x.csv", "--target", "-1", "--uint8", "--epochs", 2, *QUICK) == 0
    capsys.readouterr()
    np.savetxt("new.csv", x, fmt="%d", delimiter=",")
    assert run("predict", "x", "new.csv", "--out", "p.npy") == 0
    expected = fastnn.load("x/model.safetensors").predict(x.astype(np.uint8))
    np.testing.assert_array_equal(np.load("p.npy"), expected)


def test_options_of_an_autoencoder(here, capsys):
    options = ["--noise", "0.1", "--masking", "0.2", "--sparse", "0.001", "--tied", "--code", "4"]
    argv = ["train", "--model", "autoencoder", *options, "--epochs", "1", "--hidden", "8"]
    assert run(*argv, *QUICK[4:]) == 0
    model = fastnn.load("x/model.safetensors")
    noise, masking, _, code, _, last = model.layers
    assert (noise.stddev, masking.rate) == (0.1, 0.2)
    assert code.units == 4 and code.activity_regularizer.get_config() == fastnn.regularizers.L1(0.001).get_config()
    assert type(last).__name__ == "TiedDense" and model.count_params() == 784 * 8 + 8 + 8 * 4 + 4 + 8 + 784
    capsys.readouterr()
    assert run(*argv, "--print-recipe") == 0
    program = capsys.readouterr().out
    for words in ("noise=0.1", "masking=0.2", "tied=True", "activity_regularizer=fastnn.regularizers.L1(0.001)"):
        assert words in program


def test_an_autoencoder_of_a_table(here, capsys):
    path, points, _ = classes_file(80)
    argv = ["train", "--model", "autoencoder", "--data", path, "--target", "side", "--code", 1, "--epochs", 2]
    assert run(*argv, "--hidden", "8", *QUICK[4:]) == 0
    model = fastnn.load("x/model.safetensors")
    assert model.layers[-1].activation == "linear"  # the numbers are not in [0, 1]
    capsys.readouterr()
    assert run("encode", "x", path, "--errors") == 0
    head, *rows = csv.reader(capsys.readouterr().out.splitlines())
    assert head == ["error", "z0"]
    rows = np.array(rows, np.float32)
    np.testing.assert_array_equal(rows[:, 1:], model.encode(points))
    np.testing.assert_array_equal(rows[:, 0], model.reconstruction_error(points))
    assert run("encode", "x", path, "--out", "z.npy") == 0
    np.testing.assert_array_equal(np.load("z.npy"), model.encode(points))


@pytest.mark.parametrize(
    "argv, words",
    [
        ("train --data points.csv", "--target must say what to predict; the columns are side, a, b"),
        ("train --data points.csv --target nope", "no such column"),
        ("train --data points.csv --target side --task regression", "holds texts, such as"),
        ("train --data points.csv --target a --drop side --task classification", "no class"),
        ("train --data points.csv --target side --drop a b", "no column besides"),
        ("train --data points.csv --target side --test-split 0.999", "none to train on"),
        ("train --data points.csv --target side --test other.csv", "which no training row has"),
        ("train --data whole.csv --target a", "has 1e+20, no class"),
        ("train --data whole.csv --target b --test half.csv", "has 0.5, no class"),
        ("train --target side", "--target is for files"),
        ("train --data points.xls --target side", "unknown data set 'points.xls'"),
        ("train --data points.csv --target side --print-recipe", "--print-recipe is for data sets"),
        ("train --data nope.csv --target side", "nope.csv: No such file"),
        ("train --code 3", "--code is for --model autoencoder"),
        ("train --model autoencoder --label-smoothing 0.1", "an autoencoder has no labels"),
        ("train --noise 0.1", "--noise is for --model autoencoder"),
        ("train --tied", "--tied is for --model autoencoder"),
        ("train --model autoencoder --normalize standard", "--normalize is for tables where --model is autoencoder"),
    ],
)
def test_errors_of_commands(here, capsys, argv, words):
    classes_file(20)
    write("other.csv", "side,a,b\nleft,1,2\n")
    write("whole.csv", "a,b\n" + "1,0\n1e20,1\n" * 10)
    write("half.csv", "a,b\n1,0.5\n")
    assert run(*argv.split()) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1
    assert not Path("runs").exists() or not list(Path("runs").iterdir())


def test_damaged_and_odd_files_of_arrays(here):
    np.savez("x.npz", x=np.ones((50, 3)), y=np.zeros(50, int))
    whole = Path("x.npz").read_bytes()
    for damaged in (whole[:300], whole[:400] + b"?" + whole[401:], b""):
        Path("x.npz").write_bytes(damaged)
        with pytest.raises(ValueError, match=r"x\.npz cannot be read as NPZ"):
            tables.read("x.npz", "y")
    np.savez("x.npz", x=np.ones((50, 3)), y=np.array(1))
    with pytest.raises(ValueError, match=r"x has the shape \(50, 3\) and its target \(\)"):
        tables.read("x.npz", "y")
    np.savez("x.npz", x=np.array(1), y=np.zeros(50, int))
    with pytest.raises(ValueError, match=r"x\.npz: x has no rows"):
        tables.read("x.npz", "y")
    np.save("x.npy", np.ones((50, 3)))
    with pytest.raises(ValueError, match="no column besides the target"):
        tables.read("x.npy", "0", ["1", "2"])


def test_lists_in_a_column_are_no_numbers(here):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    pandas.DataFrame({"a": [[1, 2], [3, 4]], "b": [0, 1]}).to_parquet("x.parquet")
    with pytest.raises(ValueError, match=r"column 'a' in row 1 has \[1, 2\], which is no number"):
        tables.read("x.parquet", "b")
