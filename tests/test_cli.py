"""The `fastnn` command: what it tells of machine and data, how fast it is, and how it fails."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.commands import MINI, QUICK, fails, run

import fastnn
from fastnn.commands import bench, data, pictures

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
    if fastnn.kernels.backend_status()["cython"] is None:
        lines = r"^cython backend\n  built by +\S.*\n  built +\S.*\n  runnable here +\S.*\n  in use +\S.*, "
        assert re.search(lines, out, re.M)
    assert re.search(r"^  FASTNN_BACKEND +not set$", out, re.M)


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
    assert re.search(r"^  FASTNN_BACKEND +cython\n  FASTNN_NUM_THREADS +many$", out, re.M)


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
        assert float(row[2].replace(",", "")) * float(row[0]) == pytest.approx(8 * 1000, rel=0.1)
    assert f"{bench.SHAPES[shape].title.split(',')[0]}, " in out and "batches of 8, " in out


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


@pytest.mark.parametrize(
    "argv",
    [
        "train --hidden --epochs 1",
        "evaluate MODEL --no-report",
        "predict MODEL x.npy",
        "bench tabular --backends numpy --seconds 1e-4",
    ],
)
def test_threads_asked_for_go_before_the_environment(trained, here, capsys, monkeypatch, argv):
    np.save("x.npy", np.zeros((1, 784)))
    argv = [trained[0] if arg == "MODEL" else arg for arg in argv.split()]
    monkeypatch.setenv("FASTNN_NUM_THREADS", "many")
    monkeypatch.setattr(pictures, "missing", lambda: "left out for this test")
    monkeypatch.setattr(bench, "_ROUND_SECONDS", 1e-4)
    assert run(*argv, "--threads", "1") == 0
    capsys.readouterr()
    assert "FASTNN_NUM_THREADS" in fails(capsys, 2, *argv)


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


def test_without_a_standard_output(here, monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)  # as it is where the shell has closed it
    assert run("data") == 0


def test_the_command_is_light():
    """Help and version load nothing that only some sub-commands need."""
    heavy = ["numba", "pooch", "requests", "matplotlib", "tqdm", "safetensors", "scipy"]
    code = (
        "import json, sys; from fastnn.cli import main; main(['--version']); main(['train', '--help']); "
        f"print(json.dumps(sorted(set(sys.modules) & set({heavy}))))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(result.stdout.splitlines()[-1]) == []
