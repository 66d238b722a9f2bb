"""What only the Numba backend has: compiled code on disk, and widths of vectors. Its threads: `test_numba_threads`."""

import importlib
import shutil
import threading
import time
from pathlib import Path

import fastnn.kernels
import numpy as np
import pytest
from helpers.backends import AVAILABLE
from helpers.processes import python

KERNELS = Path(fastnn.kernels.__file__).parent
nb = AVAILABLE.get("numba")
pytestmark = pytest.mark.skipif(nb is None, reason="the numba backend is not available")


# ---------------------------------------------------------------- compiled code on disk

USE = """
import sys
import numpy as np, fastnn
model = fastnn.MLP([4, 3, 2], backend="numba", dtype="{dtype}", seed=0)
model.fit(np.ones((8, 4)), np.arange(8) % 2, verbose=0)
from fastnn.kernels.numba_backend.cache import Entry
modules = [module for name, module in sys.modules.items() if name.startswith("fastnn.kernels.numba_backend.")]
entries = {{entry for module in modules for entry in vars(module).values() if isinstance(entry, Entry)}}
used = [entry.dispatcher for entry in entries if entry.dispatcher.overloads]
print(*(sum(sum(count.values()) for count in (getattr(one.stats, name) for one in used))
        for name in ("cache_hits", "cache_misses")))
print(*(one.__name__ for one in used for _ in one.overloads))
"""


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_code_is_compiled_once_and_only_what_is_used(dtype):
    """A second process finds what another compiled, by Numba's own count: what this network takes, and no more."""
    python(USE.format(dtype=dtype))
    out, err = python(USE.format(dtype=dtype))
    counts, names = (line.split() for line in out.splitlines())
    assert counts == [str(len(names)), "0"]
    assert err == ""
    assert {"run", "forward", "relu", "relu_grad", "sparse_categorical_crossentropy", "adam"} <= set(names)
    assert not {"softmax", "gelu", "mse", "sgd", "output", "drop_rows", "noise_rows", "add_slope", "product"} & set(
        names
    )


ENTRY = """
from {package}.numba_backend.cache import Entry
from {module} import twice
entry = Entry(twice)
assert entry.function("int", (1,))(4) == 8
print(len(entry.dispatcher.stats.cache_hits))
"""
TWICE = "def twice(x):\n    return 2 * x\n"


def test_an_edit_anywhere_in_the_backend_compiles_again(tmp_path):
    """Numba alone would watch the file of the function only."""
    copied = tmp_path / "copied" / "numba_backend"
    shutil.copytree(KERNELS, copied.parent, ignore=shutil.ignore_patterns("__pycache__", "cython_backend"))
    (copied / "small.py").write_text(TWICE)
    code = ENTRY.format(package="copied", module="copied.numba_backend.small")
    hits = []
    for edit in ("", "", "# edited\n", ""):
        with open(copied / "maths.py", "a") as source:
            source.write(edit)
        out, err = python(code, path=[tmp_path], NUMBA_CACHE_DIR="", XDG_CACHE_HOME=str(tmp_path / "home"))
        hits.append(out.strip())
        # One line says what happens, and that it happens once.
        assert err.count("\n") == err.count("compiling the numba backend") == err.count("this happens once")
        assert ("compiling" in err) == (hits[-1] == "0")
    assert hits == ["0", "1", "0", "1"]


def test_every_source_is_part_of_the_version(tmp_path):
    copied = tmp_path / "copied"
    shutil.copytree(KERNELS, copied, ignore=shutil.ignore_patterns("__pycache__", "cython_backend"))
    version = importlib.import_module(f"{nb.__name__}.cache").version
    seen = {version(copied / "numba_backend")}
    sources = [*copied.glob("*.py"), *copied.glob("numba_backend/*.py")]
    assert {"losses.py", "plan.py", "dropout.py", "microkernel.py"} <= {source.name for source in sources}
    for source in sources:
        source.write_text(source.read_text() + "# edited\n")
        seen.add(version(copied / "numba_backend"))
    assert len(seen) == 1 + len(sources)


TOGETHER = """
from fastnn.kernels.numba_backend.cache import Entry
from small import twice
import time
entry = Entry(twice)
time.sleep(max(0.0, {start} - time.time()))
assert entry.function({kind!r}, ({value},))({value}) == 2 * {value}
print(len(entry.dispatcher.stats.cache_hits))
"""


def test_processes_that_compile_at_the_same_time(tmp_path):
    """Each finds its own code afterwards, and none the other's."""
    (tmp_path / "small.py").write_text(TWICE)
    isolated = {"path": [tmp_path], "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    kinds = (("int", 3), ("float", 1.5))
    hits = []
    for _ in range(2):
        start, found = time.time() + 3, [None] * len(kinds)

        def run(i, start=start, found=found):
            kind, value = kinds[i]
            found[i] = python(TOGETHER.format(start=start, kind=kind, value=value), **isolated)[0].strip()

        threads = [threading.Thread(target=run, args=(i,)) for i in range(len(kinds))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        hits.append(found)
    assert None not in hits[0]
    assert hits[1] == ["1"] * len(kinds)


@pytest.mark.parametrize("suffix", ["nbi", "nbc"])
def test_half_a_file_in_the_cache_is_compiled_again(tmp_path, monkeypatch, suffix):
    """A machine that went off while writing leaves such files."""
    (tmp_path / f"small_{suffix}.py").write_text(TWICE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("numba.config.CACHE_DIR", str(tmp_path / "cache"))
    twice = importlib.import_module(f"small_{suffix}").twice
    hits = []
    for spoil in (False, True, False):
        if spoil:
            (file,) = (tmp_path / "cache").rglob(f"*.{suffix}")
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
        entry = importlib.import_module(f"{nb.__name__}.cache").Entry(twice)
        assert entry.function("int", (1,))(4) == 8
        hits.append(len(entry.dispatcher.stats.cache_hits))
    assert hits == [0, 0, 1]


@pytest.mark.parametrize("home_is_writable", [True, False])
def test_folder_of_the_package_may_be_read_only(tmp_path, home_is_writable):
    """The user's cache folder serves then; where that cannot be written either, each process compiles."""
    package, home = tmp_path / "package", tmp_path / "home"
    package.mkdir()
    (package / "small.py").write_text(TWICE)
    (package / "__pycache__").write_text("a file where the folder would be, which stops root too")
    if home_is_writable:
        home.mkdir()
    else:
        home.write_text("no folder")
    isolated = {"path": [package], "NUMBA_CACHE_DIR": "", "XDG_CACHE_HOME": str(home), "HOME": str(home)}
    hits = []
    for _ in range(2):
        out, err = python(ENTRY.format(package="fastnn.kernels", module="small"), **isolated)
        hits.append(out.strip())
        assert ("compiling" in err) == (hits[-1] == "0")
        assert ("no cache folder can be written" in err) == (not home_is_writable)
    assert hits == (["0", "1"] if home_is_writable else ["0", "0"])


# ---------------------------------------------------------------- loading

ABSENT = """
import sys
sys.modules["numba"] = None
from fastnn.kernels import BackendUnavailable, available_backends, backend_status, get_backend
assert "numba" not in available_backends()
try:
    get_backend("numba")
except BackendUnavailable as error:
    print(error)
"""


def test_absent_numba_is_a_reason():
    out, _ = python(ABSENT)
    assert "numba cannot be imported" in out


def test_numba_is_imported_only_with_the_backend():
    out, _ = python("import sys, fastnn.kernels; print('numba' in sys.modules)")
    assert out.strip() == "False"


# ---------------------------------------------------------------- widths of vectors

WIDTH = """
import numpy as np
from fastnn.kernels import get_backend
from helpers.nets import build, parameters
nb, reference = get_backend("numba"), get_backend("numpy")
from fastnn.kernels.numba_backend import microkernel
assert microkernel.LANES == {lanes}
rng = np.random.default_rng(0)
for trans_a in (False, True):
    for trans_b in (False, True):
        for m in (1, 5, 6, 7, 8, 9, 25):
            for n in (1, {lanes} - 1, {lanes}, {lanes} + 1, 31, 47, 48, 49, 97):
                for k in (1, 7, 40):
                    a = rng.normal(size=(k, m) if trans_a else (m, k)).astype(np.float32)
                    b = rng.normal(size=(n, k) if trans_b else (k, n)).astype(np.float32)
                    out, exact = np.full((2, m, n), np.nan, np.float32)
                    nb.gemm(a, b, out, trans_a, trans_b, 2)
                    reference.gemm(a, b, exact, trans_a, trans_b, 1)
                    assert np.abs(out - exact).max() < 1e-4, (trans_a, trans_b, m, n, k)
plan = build("17 50 relu drop0.3 33nb tanh 5", loss="mse", optimizer="adam")
x, y = rng.normal(size=(90, 17)).astype(np.float32), rng.normal(size=(90, 5)).astype(np.float32)
results = []
for backend in (nb, reference):
    params, state = parameters(plan), np.zeros((2, plan.n_params), np.float32)
    workspace = backend.to_backend(plan, params, state, 40, 2)
    backend.train(workspace, x, y, None, np.arange(90), np.full(3, 1e-3), 40, 1, 0, np.zeros((3, 1)), None)
    backend.to_host(workspace, params, state)
    results.append(params)
assert np.abs(results[0] - results[1]).max() < 1e-4
"""


@pytest.mark.parametrize("lanes", [4, 8, 16])
def test_every_width_of_vectors(lanes):
    """Products and training agree with the reference for the tiles of other machines, as far as this one runs them."""
    features = importlib.import_module(f"{nb.__name__}.processor").FEATURES
    needed = {4: None, 8: "avx2", 16: "avx512f"}[lanes]
    if needed and needed not in features:
        pytest.skip(f"this CPU has no {needed}")
    python(WIDTH.format(lanes=lanes), path=[Path(__file__).parent], FASTNN_NUMBA_LANES=str(lanes))


# ---------------------------------------------------------------- the CPU's state


def test_denormals_are_flushed_inside_and_only_there():
    """Numbers too small for their format count as zero in kernels; the caller's arithmetic is as before."""
    a, out = np.full((8, 8), 1e-25, np.float32), np.ones((8, 8), np.float32)
    nb.gemm(a, a, out, False, False, 1)
    tiny = np.full(8, 1e-25, np.float32) * np.float32(1e-18)
    assert (tiny > 0).all()
    if importlib.import_module(f"{nb.__name__}.intrinsics").FLUSH:
        assert (out == 0).all()
