"""Reports and recipes: that a report is whole by itself, and that a recipe's program does what the command does."""

import base64
import errno
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import fastnn
from fastnn import cli, files, report

MINI = "fashion-mnist-mini"
VOID = {"meta", "img"}


class Page(HTMLParser):
    """Checks that every element is closed, and collects texts, tags and pictures."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.texts, self.pictures = [], [], [], {}
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "img":
            kind, data = dict(attrs)["src"].split(",", 1)
            assert kind == "data:image/png;base64"
            self.pictures[dict(attrs)["alt"]] = base64.b64decode(data, validate=True)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.texts.append(data)


def needs_nothing_else(text):
    """No scripts, and nothing from elsewhere."""
    outside = re.sub(r"base64,[A-Za-z0-9+/=]*", "", text)
    assert not re.search(r"<script|<link|<iframe|https?://|@import|url\(|\bon\w+=", outside)


def test_texts_are_escaped():
    nasty = """<script>alert("x")</script> & '$_'"""
    parts = [
        report.heading(nasty),
        report.paragraph(nasty),
        report.program(nasty),
        report.facts({nasty: nasty}),
        report.table((nasty, "n"), [(nasty, 1)]),
        report.picture(b"png", nasty),
    ]
    text = report.page(nasty, parts)
    needs_nothing_else(text.replace("&lt;script", ""))
    page = Page(text)
    assert page.pictures == {nasty: b"png"}
    assert page.texts.count(nasty) == 10  # two titles; four parts, two of which have it twice; the caption
    assert {tag for tag, _ in page.tags} == {
        *("html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "pre", "table", "tr", "th", "td"),
        *("figure", "img", "figcaption"),
    }


def test_tables_show_numbers():
    page = Page(report.table(("a", "b", "c"), [(12345, 0.25, "x"), (0, 1e-9, "-")]))
    cells = [text for text in page.texts if text.strip()]
    assert cells == ["a", "b", "c", "12,345", "0.2500", "x", "0", "1e-09", "-"]
    classes = [attrs.get("class") for tag, attrs in page.tags if tag in ("th", "td")]
    assert classes == ["number", "number", None] * 3


def test_pictures_stay_legible_and_results_have_digits():
    figure = pytest.importorskip("matplotlib.figure").Figure(figsize=(20, 1), dpi=100)
    page = Page(report.page("", [report.picture(report.png(figure), "wide")]))
    assert [attrs["style"] for tag, attrs in page.tags if tag == "img"] == ["min-width: 1400px"]
    from fastnn.commands import pictures

    parts = pictures.opening({"loss": 0.000032, "mae": 12345678.9}, [], [])
    assert "3.2e-05" in parts[1] and "1.235e+07" in parts[1]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder that `fastnn train` left of an autoencoder, and the one of an MLP."""
    pytest.importorskip("matplotlib")
    folder = tmp_path_factory.mktemp("report")
    quick = ["--hidden", "16", "--epochs", "2", "--quiet"]
    assert cli.main(["train", "--model", "autoencoder", "--code", "4", *quick, "--out", str(folder / "ae")]) == 0
    assert cli.main(["train", *quick, "--out", str(folder / "mlp")]) == 0
    return folder


def test_report_of_training(trained):
    text = (trained / "mlp" / "report.html").read_text(encoding="utf-8")
    needs_nothing_else(text)
    page = Page(text)
    drawn = {path.read_bytes() for path in (trained / "mlp").glob("*.png")}
    assert set(page.pictures.values()) == drawn and len(drawn) == 5
    model = fastnn.load(trained / "mlp" / "model.safetensors")
    (x_train, y_train), (x, y) = fastnn.datasets.load(MINI)
    loss, accuracy = model.evaluate(x, y)
    told = dict(zip(page.texts, page.texts[1:], strict=False))
    assert told["test loss"] == f"{loss:.4f}" and told["test accuracy"] == f"{accuracy:.4f}"
    import hashlib

    digest = hashlib.sha256()
    for values in (x_train, y_train, x, y):
        digest.update(f"{values.dtype.str} {values.shape}\n".encode() + values.tobytes())
    assert told["SHA-256 of the data"] == digest.hexdigest()
    assert told["learning rate"] == "0.001"
    for words in (fastnn.__version__, np.__version__, model.backend, "batch size", "Ankle boot", "784, 16, 10"):
        assert words in text, words


def test_report_of_an_autoencoder(trained):
    names = sorted(path.name for path in (trained / "ae").glob("*.png"))
    assert names == ["codes.png", "curves.png", "reconstructions.png", "samples.png", "weights.png"]
    page = Page((trained / "ae" / "report.html").read_text(encoding="utf-8"))
    assert set(page.pictures.values()) == {(trained / "ae" / name).read_bytes() for name in names}


def test_report_of_a_regression(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    x = np.random.default_rng(1).normal(size=(50, 3))
    np.savez("data.npz", x=x, y=x.sum(axis=1))
    quick = ["--hidden", "4", "--epochs", "1", "--quiet", "--backend", "numpy"]
    assert cli.main(["train", "--data", "data.npz", "--target", "y", *quick, "--out", "x"]) == 0
    page = Page(Path("x/report.html").read_text(encoding="utf-8"))
    assert set(page.pictures.values()) == {Path("x", name).read_bytes() for name in ("curves.png", "predictions.png")}
    assert dict(zip(page.texts, page.texts[1:], strict=False))["target"] == "y: regression"
    assert cli.main(["evaluate", "x"]) == 0


@pytest.mark.parametrize("name", ["confusion.png", "report.html"])
def test_a_report_that_cannot_be_written_leaves_the_model(tmp_path, monkeypatch, capsys, name):
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    write = files.write_atomic

    def full(path, content):
        if Path(path).name == name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(path, content)

    monkeypatch.setattr(files, "write_atomic", full)
    assert cli.main(["train", "--hidden", "4", "--epochs", "1", "--quiet", "--out", "x"]) == 1
    err = capsys.readouterr().err
    assert "the report could not be written (No space left on device); x has the model (model.safetensors)" in err
    assert not Path("x", name).exists()
    monkeypatch.undo()
    assert cli.main(["evaluate", str(tmp_path / "x")]) == 0


def test_report_of_an_evaluation(trained, capsys, tmp_path):
    assert cli.main(["evaluate", str(trained / "mlp")]) == 0
    assert capsys.readouterr().out.rstrip().endswith(f"report     {trained / 'mlp' / 'evaluation.html'}")
    text = (trained / "mlp" / "evaluation.html").read_text(encoding="utf-8")
    needs_nothing_else(text)
    assert len(Page(text).pictures) == 4
    place = tmp_path / "there.html"
    assert cli.main(["evaluate", str(trained / "ae"), "--report", str(place)]) == 0
    assert len(Page(place.read_text(encoding="utf-8")).pictures) == 4


@pytest.mark.parametrize("model", ["mlp", "autoencoder"])
@pytest.mark.parametrize("recipe", ["plain", "best"])
def test_a_recipe_is_a_program_that_does_the_same(tmp_path, monkeypatch, capsys, model, recipe):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("fastnn.commands.pictures.missing", lambda: "left out for this test")
    argv = ["train", "--model", model, "--recipe", recipe, "--hidden", "12", "--epochs", "2", "--seed", "5"]
    assert cli.main([*argv, "--print-recipe"]) == 0
    program = capsys.readouterr().out
    assert os.listdir() == []
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, capture_output=True)
    assert cli.main([*argv, "--quiet", "--out", "x"]) == 0
    mine, same = fastnn.load("model.safetensors"), fastnn.load("x/model.safetensors")
    np.testing.assert_array_equal(mine.params, same.params)
    assert mine.get_config() == same.get_config()
    assert mine.history.history == same.history.history


def test_the_best_recipe_has_what_it_says(capsys):
    assert cli.main(["train", "--recipe", "best", "--data", MINI, "--print-recipe"]) == 0
    program = capsys.readouterr().out
    for words in ("AdamW", "OneCycle", "label_smoothing=", "dropout=", "weight_decay="):
        assert words in program
    assert cli.main(["train", "--recipe", "best", "--data", MINI, "--optimizer", "sgd", "--print-recipe"]) == 0
    assert "fastnn.optimizers.SGD(" in capsys.readouterr().out


def test_a_full_disk_where_the_output_goes_loses_nothing(tmp_path, monkeypatch, capsys):
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    code = "import sys; from fastnn.cli import main; sys.exit(main(sys.argv[1:]))"
    with open("/dev/full", "w") as full:
        argv = [
            sys.executable,
            "-u",
            "-c",
            code,
            "train",
            "--hidden",
            "8",
            "--epochs",
            "3",
            "--out",
            str(tmp_path / "x"),
        ]
        # The lines before the first epoch are written to a device that is always full, too.
        result = subprocess.run(argv, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert result.returncode == 1 and "No space left" in result.stderr
    assert "Traceback" not in result.stderr


def test_an_epoch_is_safe_before_it_is_told(tmp_path, monkeypatch):
    """Standard output fails at the first line of an epoch: the model, its history and a way to go on are there."""
    from fastnn.commands import train

    safe = []

    def fails(self):
        safe.append((tmp_path / "x" / "backup" / "latest.safetensors").exists())
        if self.epoch == 1:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(train._Table, "show", fails)
    monkeypatch.setattr("fastnn.commands.pictures.missing", lambda: "left out for this test")
    argv = ["train", "--hidden", "8", "--epochs", "3", "--out", str(tmp_path / "x")]
    assert cli.main(argv) == 1
    assert safe == [True, True]
    model = fastnn.load(tmp_path / "x" / "model.safetensors")
    assert len(model.history.epoch) == 2
    assert len((tmp_path / "x" / "history.csv").read_text().splitlines()) == 3
    monkeypatch.undo()
    assert cli.main(["train", "--resume", str(tmp_path / "x"), "--quiet"]) == 0
    whole = fastnn.MLP([784, 8, 10], dropout=0.3, seed=0)
    (x, y), _ = fastnn.datasets.load(MINI)
    whole.fit(x, y, batch_size=128, epochs=3)
    np.testing.assert_array_equal(fastnn.load(tmp_path / "x" / "model.safetensors").params, whole.params)
