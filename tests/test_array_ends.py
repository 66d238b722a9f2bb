"""Nothing behind the end of the caller's arrays is read: there may be a page that nobody may touch."""

import sys
from pathlib import Path

import pytest
from helpers.backends import AVAILABLE
from helpers.processes import python

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="pages are protected as Linux does it")

ENDS = """
import ctypes, itertools, mmap
import numpy as np
from fastnn.kernels import get_backend
from helpers.nets import Fit, case
backend, kept = get_backend({backend!r}), []
def protect(address, size, how):
    assert ctypes.CDLL(None, use_errno=True).mprotect(ctypes.c_void_p(address), ctypes.c_size_t(size), how) == 0
def at_end(array):
    # A copy that ends where a page begins that cannot be read.
    array = np.asarray(array)
    size = -(-max(array.nbytes, 1) // mmap.PAGESIZE) * mmap.PAGESIZE
    whole = np.frombuffer(mmap.mmap(-1, size + mmap.PAGESIZE), np.uint8)
    kept.append(whole)
    protect(whole.ctypes.data + size, mmap.PAGESIZE, 0)
    copy = whole[size - array.nbytes : size].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy
rng = np.random.default_rng(0)
"""
PRODUCTS = """
sizes = (1, 1, 1), (33, 65, 81), (70, 100, 90), (40, 9, 5)
for dtype, (m, k, n) in itertools.product((np.float32, np.float64), sizes):
    for trans_a, trans_b in itertools.product((False, True), repeat=2):
        a = at_end(rng.normal(size=(k, m) if trans_a else (m, k)).astype(dtype))
        b = at_end(rng.normal(size=(n, k) if trans_b else (k, n)).astype(dtype))
        out = at_end(np.zeros((m, n), dtype))
        backend.gemm(a, b, out, trans_a, trans_b, 2)
        assert np.allclose(out, (a.T if trans_a else a) @ (b.T if trans_b else b), rtol=1e-4, atol=1e-4)
"""
STEPS = """
sizes = (5, 7, 3), (97, 41, 40), (784, 70, 33)
for hidden, (width, n, batch) in itertools.product(("70 relu 65 tanh 3", "1"), sizes):
    this = case(f"{width} {hidden}", n, batch, dtype=np.float32, loss="mse", input_scale=1 / 255)
    bytes_ = at_end(rng.integers(0, 256, (n, width), dtype=np.uint8))
    for x in (bytes_, at_end(bytes_.astype(np.float32))):
        one = Fit.of(backend, this, threads=2)
        one.train(x, at_end(this.y))
        assert np.isfinite(one.forward(x)).all()
"""


@pytest.mark.parametrize("work", [PRODUCTS, STEPS], ids=["products", "steps"])
@pytest.mark.parametrize("backend", sorted(AVAILABLE))
def test_nothing_behind_an_array_is_read(backend, work):
    python(ENDS.format(backend=backend) + work, path=[Path(__file__).parent])
