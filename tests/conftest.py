"""Fixtures shared by several files: every backend that runs here, both dtypes, and what the command left."""

import os
import signal
import subprocess
import sys

import hypothesis
import numpy as np
import pytest

pytest.register_assert_rewrite("helpers")

from helpers.backends import AVAILABLE, UNAVAILABLE  # noqa: E402
from helpers.commands import QUICK  # noqa: E402

from fastnn import diagnostics  # noqa: E402

# A job in the background may begin with Ctrl-C ignored; the tests of Ctrl-C need it, here and in their programs.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The same draws every time, so that a failure is somebody's change; FASTNN_SEARCH=1 draws anew.
hypothesis.settings.register_profile(
    "fastnn", deadline=None, database=None, print_blob=True, derandomize=not os.environ.get("FASTNN_SEARCH")
)
hypothesis.settings.load_profile("fastnn")


# Session scope, so that pytest runs one backend after the other and hypothesis may use them.
@pytest.fixture(scope="session", params=list(AVAILABLE))
def backend(request):
    """Each available backend, one after the other; `test_contract.py` reports the others."""
    return AVAILABLE[request.param]


@pytest.fixture(scope="session", params=["float32", "float64"])
def dtype(request):
    """Both dtypes of a plan."""
    return np.dtype(request.param)


@pytest.fixture
def one_thread(monkeypatch):
    """Networks this small gain nothing from a second thread, and a busy machine makes them wait for it."""
    monkeypatch.setenv("FASTNN_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A folder that `fastnn train` left, which stays as it is, and what it printed."""
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


@pytest.fixture(scope="session")
def cython():
    """The Cython backend."""
    if "cython" not in AVAILABLE:
        pytest.skip(f"the cython backend is not available: {UNAVAILABLE.get('cython')}")
    return AVAILABLE["cython"]
