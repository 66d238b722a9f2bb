"""The benchmarks' arithmetic and reports. Nothing here depends on how fast anything is."""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from fastnn.kernels import get_backend

ROOT = Path(__file__).resolve().parents[1]

# The folder is no installed package, and the root must not be on the path: it would shadow an installed fastnn.
if "bench" not in sys.modules:
    spec = importlib.util.spec_from_file_location(
        "bench", ROOT / "bench" / "__init__.py", submodule_search_locations=[str(ROOT / "bench")]
    )
    sys.modules["bench"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules["bench"])

from bench import backends, cases, inputs, machine, report, shapes  # noqa: E402

by_id = {w.id: w for w in shapes.WORKLOADS}
each_workload = pytest.mark.parametrize("workload", shapes.WORKLOADS, ids=lambda w: w.id)


# Shapes


def test_gemm_counts():
    assert shapes.Gemm("g", m=3, n=5, k=7).flops == 2 * 3 * 5 * 7


def test_training_gemms_of_two_layers():
    found = [(g.m, g.n, g.k, g.trans_a, g.trans_b) for g in shapes.training_gemms("net", (784, 128, 10), 32)]
    assert found == [
        (32, 128, 784, False, False),
        (32, 10, 128, False, False),
        (784, 128, 32, True, False),
        (128, 10, 32, True, False),
        (32, 128, 10, False, True),  # the first layer's inputs need no gradient
    ]


def test_workload_counts_by_hand():
    work = by_id["mlp128-b32"]
    assert work.n_params == 784 * 128 + 128 + 128 * 10 + 10 == 101_770
    assert work.flops == 2 * 32 * (784 * 128 * 2 + 128 * 10 * 3) == 13_090_816
    assert work.bytes == 24 * 101_770  # Adam reads and writes w, m and v
    assert by_id["sigmoid60-b1"].bytes == 8 * by_id["sigmoid60-b1"].n_params  # SGD: w alone
    assert by_id["rmsprop512-b128"].bytes == 16 * by_id["rmsprop512-b128"].n_params
    assert work.ideal(peak=13_090_816, bandwidth=24 * 101_770) == 2.0


@pytest.mark.parametrize(
    ("name", "milliseconds"), [("mlp128-b128", 0.18), ("mlp900-b128", 3.3), ("mlp900-b512", 11.7), ("ae-b512", 3.35)]
)
def test_ideal_times(name, milliseconds):
    assert by_id[name].ideal(353e9, 75e9) * 1e3 == pytest.approx(milliseconds, rel=0.01)


def test_workloads_are_told_apart():
    assert len(shapes.WORKLOADS) == len(by_id) == len({w.title for w in shapes.WORKLOADS}) == 12
    assert by_id["mlp900-b128"].title == "784-900-900-10 relu, dropout 0.5, Adam, B=128"
    assert by_id["sigmoid60-b1"].title == "784-60-60-10 sigmoid, mse, SGD, B=1"
    assert len({g.name for g in shapes.GEMMS}) == len(shapes.GEMMS)


def test_rows_are_whole_batches():
    assert by_id["mlp900-b512"].rows(12_800) == 12_800
    assert by_id["mlp900-b512"].rows(1_000) == 512
    assert by_id["mlp900-b512"].rows(100) == 512
    assert by_id["sigmoid60-b1"].rows(12_800, 2_000) == 2_000


# Cases


@each_workload
def test_plan_model_and_count_agree(workload):
    assert cases.plan(workload).n_params == cases.model(workload, "numpy").count_params() == workload.n_params


@each_workload
def test_data_suit_the_plan(workload):
    x, y = cases.data(workload, 4)
    assert x.shape == (4, workload.sizes[0])
    assert y.shape == ((4,) if workload.labels else (4, workload.sizes[-1]))
    run = cases.Run(get_backend("numpy"), workload, 2 * workload.batch, 1)
    if workload.n_params < 200_000:
        assert np.isfinite(run.train(2)).all()
        assert run.step == 2
        assert (run.host() != run.params).any()


# Machine


def test_machine_without_git(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "ROOT", tmp_path / "nowhere")
    assert machine.commit() == (None, None)
    assert machine.cpu_name()
    assert machine.versions("numpy", "no-such-package-at-all") == {"numpy": np.__version__}


# Backends side by side


def test_backends_take_turns_after_one_round_that_does_not_count():
    calls = []
    first, second, ratio = backends.interleave(lambda: calls.append("a"), lambda: calls.append("b"), 0.0)
    assert calls == ["a", "b"] * 6
    assert min(first, second, ratio) > 0


def test_backends_must_agree_on_the_losses(monkeypatch):
    factors = iter((1.0, 1.1))

    class Wrong(cases.Run):
        def train(self, steps):
            return super().train(steps) * next(factors)

    monkeypatch.setattr(cases, "Run", Wrong)
    reference = get_backend("numpy")
    with pytest.raises(ArithmeticError, match="sigmoid60-b1: the losses differ"):
        backends.training(by_id["sigmoid60-b1"], [reference, reference], 1, 0.0)


@pytest.mark.parametrize(
    ("more", "unit"), [([], "training step, ms"), (["--gemm", "--only", "16x64"], "product, GFLOP/s (of the peak)")]
)
def test_backends_table_and_file(monkeypatch, tmp_path, capsys, more, unit):
    monkeypatch.setattr(machine, "describe", lambda threads: MACHINE)
    file = tmp_path / "backends.json"
    arguments = ["numpy", "numpy", "--only", "sigmoid60-b1", "--seconds", "0", "--json", str(file), *more]
    assert backends.main(arguments) == 0
    assert f"| {unit} | numpy | numpy | time, first to second |" in capsys.readouterr().out
    found = json.loads(file.read_text())
    assert found["backends"] == ["numpy", "numpy"]
    assert all(record["ratio"] > 0 for record in found["results"])


def test_all_forms_of_inputs_but_the_standardised_train_as_bytes(monkeypatch):
    backend, found = get_backend("auto"), []
    train = backend.train

    def spy(workspace, x, *rest):
        found.append(x.dtype.name)
        return train(workspace, x, *rest)

    monkeypatch.setattr(backend, "train", spy)
    monkeypatch.setattr(inputs, "ROWS", 32)
    times = inputs.compare(by_id["mlp128-b32"], 1)
    assert found == 2 * [*["uint8"] * 4, "float32"]
    assert len(times) == len(inputs.FORMS)


def test_no_case_of_that_name(capsys):
    assert backends.main(["--only", "nonesuch"]) == 1
    assert "'nonesuch'" in capsys.readouterr().err


# Report

MACHINE = {
    "cpu": "A processor",
    "cpus": 4,
    "threads": 2,
    "system": "Linux x86_64",
    "peak_gflops": 100.0,
    "cache_gbs": 10.0,
    "memory_gbs": 5.0,
    "python": "3.12.1",
    "versions": {"numpy": "2.4.6"},
    "instruction_set": "v3",
    "commit": "0123456789abcdef",
    "dirty": True,
    "date": "2026-01-31",
}


def result(kind, backend, case, median, **info):
    return {"extra_info": {"kind": kind, "backend": backend, "case": case, **info}, "stats": {"median": median}}


def bench_results():
    fit = {"title": "a net", "batch": 32, "steps": 10, "flops_step": 50_000_000, "bytes_step": 5_000_000, "error": 2e-6}
    return {
        "machine_info": {"fastnn": MACHINE},
        "benchmarks": [
            result("fit", "numpy", "net-b32", 0.1, speedup=1.0, **fit),
            result("fit", "cython", "net-b32", 0.02, speedup=5.0, **fit),
            result("step", "cython", "net-b32", 0.5, speedup=9.0, **fit),
            result("gemm", "blas", "cube 512", 1.0, gflops=200.0, shape=[512, 512, 512]),
            result("gemm", "cython", "cube 512", 1.0, gflops=123.4, shape=[512, 512, 512]),
            result("activation", "cython", "relu", 1.0, gbs=10.0),
        ],
    }


def peers_results():
    common = {"workload": "net-b32", "title": "a net", "fastnn_ms": 0.25}
    return {
        "machine": MACHINE,
        "settings": {"rounds": 7, "rows": 12_800, "steps": 50, "threads": 2, "backend": "cython"},
        "missing": {"Keras (JAX)": "No module named 'keras'"},
        "results": [
            {**common, "peer": "PyTorch", "peer_ms": 1.5, "ratio": 6.01, "ratios": [6.0, 6.01, 6.2]},
            {**common, "title": "b net", "peer": "JAX scan", "peer_ms": 0.5, "ratio": 2.0, "ratios": [2.0]},
        ],
    }


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.00612, "0.0061"), (0.0123, "0.012"), (0.1234, "0.123"), (1.234, "1.23"), (12.34, "12.3"), (9.74, "9.74"),
     (9.996, "10.0"), (99.96, "100"), (123.4, "123"), (12345.6, "12,346"), (0, "0")],
)  # fmt: skip
def test_significant(value, text):
    assert report.significant(value) == text


def test_training_table():
    lines = report.training_table(bench_results()["benchmarks"], MACHINE).splitlines()
    # 10 steps in 20 ms; ideally 50e6 / 100e9 + 5e6 / 10e9 = 1 ms a step. The reference comes last.
    assert lines == [
        "| training step, ms (rows/s, speed-up) | ideal | cython | numpy |",
        "| --- | ---: | ---: | ---: |",
        "| a net | 1.00 | 2.00 (16,000/s, 5.00x) | 10.0 (3,200/s) |",
    ]


def test_gemm_table():
    lines = report.gemm_table(bench_results()["benchmarks"]).splitlines()
    assert lines == [
        "| matrix product, GFLOP/s | m x n x k | cython | blas |",
        "| --- | ---: | ---: | ---: |",
        "| cube 512 | 512x512x512 | 123 | 200 |",
    ]


def test_peers_table():
    assert report.peers_table(peers_results()).splitlines()[2:] == [
        "| a net | 0.250 | 1.50 (6.01x) | - |",
        "| b net | 0.250 | - | 0.500 (2.00x) |",
    ]


def test_header_names_machine_commit_and_date():
    line = report.header(MACHINE)
    for part in ("A processor (v3)", "2 threads", "numpy 2.4.6", "0123456789 with changes", "2026-01-31"):
        assert part in line
    assert "quick" not in line
    assert "quick" in report.header({**MACHINE, "quick": True})


@pytest.fixture
def files(tmp_path):
    """Both kinds of results, as files."""
    paths = [tmp_path / "bench.json", tmp_path / "peers.json"]
    for path, found in zip(paths, (bench_results(), peers_results()), strict=True):
        path.write_text(json.dumps(found), encoding="utf-8")
    return [str(path) for path in paths]


def test_the_readme_is_written_between_the_markers(files, tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text(f"# Title\n\n{report.BEGIN}\nold\n{report.END}\n\nThe end.\n", encoding="utf-8")
    for _ in range(2):  # a second time changes nothing
        assert report.main([*files, "--readme", str(readme)]) == 0
        text = readme.read_text(encoding="utf-8")
        assert text.startswith(f"# Title\n\n{report.BEGIN}\nBackends: A processor")
        assert text.endswith(f"{report.END}\n\nThe end.\n")
        assert "old" not in text
        assert text.count("| 2.00 (16,000/s, 5.00x) |") == text.count("(6.01x)") == 1
        assert "not installed: Keras (JAX)" in text


@pytest.mark.parametrize("text", ["", report.BEGIN, f"{report.END}\n{report.BEGIN}", 2 * (report.BEGIN + report.END)])
def test_missing_markers_are_an_error(files, tmp_path, text, capsys):
    readme = tmp_path / "README.md"
    readme.write_text(text, encoding="utf-8")
    assert report.main([*files, "--readme", str(readme)]) == 1
    assert report.BEGIN in capsys.readouterr().err
    assert readme.read_text(encoding="utf-8") == text


def test_wrong_files_are_an_error(tmp_path, capsys):
    other = tmp_path / "other.json"
    other.write_text('{"benchmarks": []}', encoding="utf-8")
    assert report.main([str(other)]) == 1
    assert "other.json" in capsys.readouterr().err
    assert report.main([str(tmp_path / "none.json")]) == 1


def test_picture(files, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    path = tmp_path / "peers.png"
    assert report.main([*files, "--picture", str(path)]) == 0
    assert path.read_bytes().startswith(b"\x89PNG")
    assert report.main([files[0], "--picture", str(path)]) == 1
    assert "--picture" in capsys.readouterr().err
