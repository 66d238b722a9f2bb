"""Matrix products of every backend: every transposition, every pair of awkward sizes, both dtypes."""

import math

import numpy as np
import pytest
from helpers.compare import kind, same_bits
from hypothesis import given, settings
from hypothesis import strategies as st

# Around the multiples of every register tile and vector in use (4 to 48), and primes.
SIZES = (
    1,
    2,
    3,
    4,
    5,
    7,
    8,
    9,
    11,
    15,
    16,
    17,
    23,
    31,
    32,
    33,
    43,
    47,
    48,
    49,
    63,
    64,
    65,
    79,
    96,
    97,
    113,
    127,
    128,
    129,
)
DEPTHS = (255, 256, 257, 509, 1021, 2003)

transposed = pytest.mark.parametrize(
    ("trans_a", "trans_b"), [(False, False), (False, True), (True, False), (True, True)], ids=["nn", "nt", "tn", "tt"]
)


def pairs(sizes):
    """Triples (m, n, k) that hold every pair of sizes at every two places: a Latin square."""
    s = len(sizes)
    return [(sizes[i], sizes[j], sizes[(i + j) % s]) for i in range(s) for j in range(s)]


def product(backend, a, b, trans_a, trans_b, threads=1):
    """``a @ b`` for a (m, k) and b (k, n), handed over as stored; the output starts as NaN."""
    out = np.full((a.shape[0], b.shape[1]), np.nan, a.dtype)
    stored_a = np.ascontiguousarray(a.T if trans_a else a)
    stored_b = np.ascontiguousarray(b.T if trans_b else b)
    backend.gemm(stored_a, stored_b, out, trans_a, trans_b, threads)
    return out


def rounding(a, b):
    """The most that a product may be off: any order of summation, with or without fused multiplication, stays within
    k u |A||B|, where u = eps / 2 and terms of second order fit into the factor of 1.01 (Higham 2002, section 3.5)."""
    k, u = a.shape[1], np.finfo(a.dtype).eps / 2
    return 1.01 * k * u * (np.abs(a).astype(np.float64) @ np.abs(b).astype(np.float64)) + np.finfo(a.dtype).tiny


@transposed
def test_every_pair_of_sizes_exactly(backend, dtype, trans_a, trans_b):
    """Small integers: every partial sum is exact in either dtype, so every order gives the same bits."""
    rng = np.random.default_rng(0)
    whole_a, whole_b = (rng.integers(-9, 10, (max(SIZES), max(SIZES))).astype(dtype) for _ in range(2))
    for m, n, k in pairs(SIZES):
        a, b = whole_a[:m, :k], whole_b[:k, :n]
        assert np.array_equal(product(backend, a, b, trans_a, trans_b), a @ b), (m, n, k)


@transposed
@pytest.mark.parametrize("k", DEPTHS)
def test_deep_products_exactly(backend, dtype, trans_a, trans_b, k):
    """As above with many terms: 2003 * 81 is far below 2**24."""
    rng = np.random.default_rng(k)
    for m, n in ((1, 1), (1, 129), (129, 1), (2, 17), (8, 48), (31, 33), (65, 97)):
        a, b = rng.integers(-9, 10, (m, k)).astype(dtype), rng.integers(-9, 10, (k, n)).astype(dtype)
        assert np.array_equal(product(backend, a, b, trans_a, trans_b), a @ b), (m, n)


@transposed
@pytest.mark.parametrize("k", (1, 2, 3, 7, 16, 33, 64, 129, *DEPTHS))
def test_rounding(backend, dtype, trans_a, trans_b, k):
    rng = np.random.default_rng(k)
    for m, n in ((1, 1), (1, 65), (47, 1), (5, 7), (8, 32), (17, 49), (64, 10)):
        a, b = (rng.normal(0, 1, shape).astype(dtype) for shape in ((m, k), (k, n)))
        # In float64, an 80-bit product is the better judge; einsum sums it without BLAS.
        exact = np.einsum("ik,kj->ij", a.astype(np.longdouble), b.astype(np.longdouble))
        error = np.abs(product(backend, a, b, trans_a, trans_b) - exact)
        assert (error <= rounding(a, b)).all(), (m, n)


def test_cancellation(backend, dtype):
    """Large terms that cancel leave an error of their size, but no more."""
    rng = np.random.default_rng(2)
    half = rng.normal(0, 1e4, (9, 250)).astype(dtype)
    a, b = np.hstack([half, half]), rng.normal(0, 1, (250, 11)).astype(dtype)
    b = np.vstack([b, -b])
    assert (np.abs(product(backend, a, b, False, False)) <= rounding(a, b)).all()


@transposed
@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 7, 3), (9, 33, 17), (33, 65, 40), (17, 50, 300)])
@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
def test_specials_reach_their_rows_and_columns_only(backend, dtype, trans_a, trans_b, shape, special):
    m, n, k = shape
    rng = np.random.default_rng(m)
    clean_a, clean_b = (rng.normal(0, 1, s).astype(dtype) for s in ((m, k), (k, n)))
    clean_a[rng.random((m, k)) < 0.1] = 0.0  # and zero times infinity is not a number
    clean = product(backend, clean_a, clean_b, trans_a, trans_b)
    for at_a, at_b in (
        ((0, 0), None),
        ((m - 1, k - 1), None),
        (None, (0, n - 1)),
        (None, (k - 1, 0)),
        ((m // 2, 0), (k // 2, n // 2)),
    ):
        a, b, touched = clean_a.copy(), clean_b.copy(), np.zeros((m, n), bool)
        if at_a:
            a[at_a], touched[at_a[0]] = special, True
        if at_b:
            b[at_b], touched[:, at_b[1]] = special, True
        with np.errstate(invalid="ignore"):
            expected = np.einsum("ik,kj->ij", a.astype(np.float64), b.astype(np.float64))
        got = product(backend, a, b, trans_a, trans_b)
        assert np.array_equal(kind(got), kind(expected)), (at_a, at_b)
        assert (kind(expected)[touched] != 0).all()
        assert np.array_equal(got[~touched], clean[~touched]), (at_a, at_b)


def test_opposite_infinities(backend, dtype):
    a, b = np.ones((3, 20), dtype), np.ones((20, 5), dtype)
    a[1, 3], a[1, 16] = np.inf, -np.inf
    assert np.array_equal(kind(product(backend, a, b, False, False)), [[0] * 5, [2] * 5, [0] * 5])


def test_overflow_is_infinite(backend, dtype):
    a = np.full((2, 4), np.finfo(dtype).max / 2, dtype)
    a[1] *= -1
    got = product(backend, a, np.ones((4, 3), dtype), False, False)
    assert np.array_equal(kind(got), [[1] * 3, [-1] * 3])


def test_denormals_are_kept_or_flushed(backend, dtype):
    """Whatever happens to denormals, the result stays that close, and the caller's arithmetic keeps its own."""
    tiny = np.finfo(dtype).tiny
    a, b = np.full((9, 40), tiny / 4, dtype), np.full((40, 17), 0.5, dtype)
    got = product(backend, a, b, False, False)
    assert ((got == 0) | np.isclose(got, 40 * tiny / 8, rtol=1e-3)).all()
    big = product(backend, np.full_like(a, tiny), b, False, False)
    assert np.isclose(big, 20 * tiny, rtol=1e-3).all() or (big == 0).all()
    assert (np.full(64, tiny) * dtype.type(0.5)).all(), "the kernel left denormals switched off"


@transposed
@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (3, 1025, 33), (129, 65, 257), (301, 10, 128), (2, 2, 3000), (257, 300, 128)]
)
def test_threads_do_not_matter(backend, dtype, trans_a, trans_b, shape):
    m, n, k = shape
    rng = np.random.default_rng(n)
    a, b = (rng.normal(0, 1, s).astype(dtype) for s in ((m, k), (k, n)))
    alone = product(backend, a, b, trans_a, trans_b)
    for threads in (2, 3, 4):
        assert same_bits(product(backend, a, b, trans_a, trans_b, threads), alone), threads


def test_read_only_operands(backend, dtype):
    a, b = np.ones((5, 9), dtype), np.ones((9, 4), dtype)
    a.flags.writeable = b.flags.writeable = False
    out = np.empty((5, 4), dtype)
    backend.gemm(a, b, out, False, False, 1)
    assert (out == 9).all()


dimension = st.one_of(st.integers(1, 70), st.sampled_from(SIZES))


@settings(max_examples=60)
@given(
    m=dimension,
    n=dimension,
    k=st.one_of(dimension, st.integers(1, 700)),
    flags=st.tuples(*[st.booleans()] * 2),
    threads=st.integers(1, 3),
    seed=st.integers(0, 99),
)
def test_any_shape(backend, dtype, m, n, k, flags, threads, seed):
    rng = np.random.default_rng(seed)
    a, b = (np.round(rng.normal(0, 3, s)).astype(dtype) for s in ((m, k), (k, n)))
    assert math.isqrt(2**24) ** 2 > k * np.abs(a).max() * np.abs(b).max()  # still exact
    assert np.array_equal(product(backend, a, b, *flags, threads), a @ b)
