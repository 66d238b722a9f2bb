"""`fastnn train --resume`: what was interrupted or killed goes on."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest
from helpers.commands import run

import fastnn

OPTIONS = ["--hidden", "16", "--epochs", "12", "--dropout", "0.2", "--seed", "5", "--batch-size", "32"]
CODE = "import sys; from fastnn.cli import main; sys.exit(main(sys.argv[1:]))"


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def kill_after(epoch, *argv):
    """Run the command until it has said that an epoch is done, and kill it."""
    with subprocess.Popen([sys.executable, "-c", CODE, *argv], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert any(re.match(rf" *{epoch}/12 ", line) for line in iter(process.stdout.readline, ""))
        finally:
            process.kill()


def test_a_killed_training_goes_on_bit_for_bit(here, capsys):
    assert run("train", *OPTIONS, "--out", "whole", "--quiet") == 0
    kill_after(3, "train", *OPTIONS, "--out", "cut")
    assert {"arguments.json", "backup"} <= set(os.listdir("cut"))
    kill_after(7, "train", "--resume", "cut")
    capsys.readouterr()
    assert run("train", "--resume", "cut") == 0
    out = capsys.readouterr().out
    assert re.search(r"^ +12/12 ", out, re.M) and not re.search(r"^ +[1-5]/12 ", out, re.M)
    assert sorted(os.listdir("cut")) == sorted(os.listdir("whole"))
    whole, cut = (fastnn.load(f"{name}/model.safetensors") for name in ("whole", "cut"))
    np.testing.assert_array_equal(cut.params, whole.params)
    assert cut.history.history == whole.history.history
    with open("cut/history.csv") as ours, open("whole/history.csv") as theirs:
        assert ours.read() == theirs.read()


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["--resume", "nothing"], "nothing that was interrupted"),
        (["--resume", "cut", "--epochs", "9"], "--resume goes on with --epochs 3, it cannot be changed to 9"),
        (["--resume", "cut", "--out", "new"], "do not go together"),
        (["--resume", "bad"], "cannot be read"),
    ],
)
def test_what_cannot_be_resumed(here, capsys, argv, text):
    for name, content in (("cut", '{"epochs": 3}'), ("bad", "{")):
        os.mkdir(name)
        with open(f"{name}/arguments.json", "w") as file:
            file.write(content)
    assert run("train", *argv) == 2
    assert text in capsys.readouterr().err


@pytest.mark.parametrize("text", ["[]", "{}", "3", "null", '"x"'])
def test_files_that_are_something_else(here, capsys, text):
    os.mkdir("x")
    for name in ("arguments.json", "run.json"):
        with open(f"x/{name}", "w") as file:
            file.write(text)
    fastnn.MLP([2, 2], seed=0).save("x/model.safetensors")
    np.save("x.npy", np.ones((3, 2)))
    for argv in (["train", "--resume", "x"], ["evaluate", "x"], ["predict", "x", "x.npy"]):
        assert run(*argv) == 2
        assert "is not what `fastnn train` writes" in capsys.readouterr().err
    assert sorted(os.listdir("x")) == ["arguments.json", "model.safetensors", "run.json"]
