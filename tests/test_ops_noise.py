"""The masks of dropout and the noise: the same in every backend, and as random as they should be."""

import numpy as np
import pytest
from fastnn.kernels import dropout
from helpers import oracles
from helpers.compare import ulps

# Every statistic below has a known spread; a bound of five of them fails one good hash in two million. The seeds are
# fixed, so that nothing fails by chance.
SIGMAS = 5.0
RATES = (1e-12, 1e-9, 1e-3, 0.1, 0.25, 0.5, 0.9, 0.999, 1 - 2**-33)


@pytest.mark.parametrize("shape", [(1, 1), (1, 129), (3, 7), (17, 33), (64, 47), (333, 97)])
@pytest.mark.parametrize("rate", RATES)
def test_dropout_mask_is_the_same_everywhere(backend, shape, rate):
    for seed, step, op in ((0, 0, 0), (1, 2, 3), (2**64 - 1, 10**6, 31), (2**63, 2**40, 1)):
        out = np.full(shape, 7, np.uint8)
        backend.dropout_mask(seed, step, op, out, rate)
        assert np.array_equal(out, dropout.mask(seed, step, op, *shape, rate)), (seed, step, op)


def test_dropout_hash():
    """The reference against the algorithm in plain integers, and its generator against the published first number."""
    assert oracles.splitmix64(0) == 0xE220A8397B1DCDAF
    for seed, step, op in ((0, 0, 0), (2**64 - 1, 3, 5), (-1, 2**33, 12)):
        for rate in RATES:
            kept = [oracles.dropout_hash(seed, step, op, i) >= rate * 2**32 - 0.5 for i in range(7 * 11)]
            assert np.array_equal(dropout.mask(seed, step, op, 7, 11, rate), np.reshape(kept, (7, 11)))


def test_dropout_at_the_threshold(backend):
    """A hash that equals the threshold is kept, and the threshold is the nearest integer."""
    for element in range(20):
        h = oracles.dropout_hash(3, 4, 5, element)
        for offset, kept in ((0.0, 1), (-0.4, 1), (0.4, 1), (0.6, 0), (1.0, 0)):
            out = np.full((4, 5), 7, np.uint8)
            backend.dropout_mask(3, 4, 5, out, (h + offset) / 2**32)
            assert out.ravel()[element] == kept, (element, offset)


@pytest.mark.parametrize("shape", [(1, 1), (1, 129), (3, 7), (17, 33), (333, 97)])
def test_noise_is_the_same_everywhere(backend, dtype, shape):
    for seed, step, op in ((0, 0, 0), (1, 2, 3), (2**64 - 1, 10**6, 31), (2**63, 2**40, 1)):
        out = np.full(shape, np.nan, dtype)
        backend.normal_noise(seed, step, op, out)
        exact = np.reshape([oracles.normal(seed, step, op, i) for i in range(out.size)], shape)
        assert ulps(out, exact, dtype) <= 16, (seed, step, op)


def test_noise_is_normal():
    """Moments, the tails, and nothing in common between elements, steps and operations."""
    z = dropout.normal(5, 7, 2, 1000, 1000)
    for power, moment, spread in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):  # of the power: mean and variance
        assert abs(np.mean(z**power) - moment) < SIGMAS * np.sqrt(spread / z.size), power
    for limit in (0.5, 1.0, 2.0, 3.0, 4.0):
        beyond = oracles.two_tails(limit)
        assert abs((np.abs(z) > limit).mean() - beyond) < SIGMAS * np.sqrt(beyond / z.size), limit
    assert np.abs(z).max() < 5.8
    others = [
        z[1:].ravel(),
        z[:, 1:].ravel(),
        *(dropout.normal(5, 7 + s, 2 + o, 1000, 1000) for s, o in ((1, 0), (0, 1))),
    ]
    for a, b in zip((z[:-1], z[:, :-1], z, z), others, strict=True):
        assert abs(np.mean(a.ravel() * b.ravel())) < SIGMAS / np.sqrt(b.size)
        assert abs(np.mean((a.ravel() ** 2 - 1) * (b.ravel() ** 2 - 1))) < SIGMAS * 2 / np.sqrt(b.size)


def test_dropout_thresholds():
    assert dropout.threshold(1e-12) == 0
    assert dropout.threshold(2.0**-32) == 1
    assert dropout.threshold(0.5) == 2**31
    assert dropout.threshold(0.999) == round(0.999 * 2**32)
    assert dropout.threshold(1 - 2.0**-53) == 2**32 - 1  # still a number of 32 bits, that keeps something


@pytest.mark.parametrize("rate", [0.001, 0.1, 0.3, 0.5, 0.8, 0.999])
def test_dropout_rate(rate):
    rows, columns = 1000, 700
    for seed in range(3):
        dropped = ~dropout.mask(seed, 11, 2, rows, columns, rate)
        spread = np.sqrt(rate * (1 - rate))
        assert abs(dropped.mean() - rate) < SIGMAS * spread / np.sqrt(dropped.size)
        # No row and no column is special: the largest of about 1000 deviations, so one sigma more.
        for axis, n in ((0, rows), (1, columns)):
            if n * min(rate, 1 - rate) > 50:  # where counts are nearly normal
                assert np.abs(dropped.mean(axis=axis) - rate).max() < (SIGMAS + 1) * spread / np.sqrt(n)


def correlation(a, b, rate):
    """Correlation of two masks in units of its own spread."""
    a, b = (np.asarray(m, np.float64).ravel() - (1 - rate) for m in (a, b))
    return abs(np.mean(a * b)) / (rate * (1 - rate)) * np.sqrt(a.size)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.8])
def test_dropout_masks_are_independent(rate):
    def mask(seed=1, step=5, op=1):
        return dropout.mask(seed, step, op, 512, 300, rate)

    base = mask()
    for other in (mask(step=6), mask(step=4), mask(step=5 + 2**32), mask(op=0), mask(op=2), mask(seed=0), mask(seed=2)):
        assert correlation(base, other, rate) < SIGMAS
    for shift in (1, 2, 7, 64, 255):
        assert correlation(base[shift:], base[:-shift], rate) < SIGMAS, f"rows {shift} apart"
        assert correlation(base[:, shift:], base[:, :-shift], rate) < SIGMAS, f"columns {shift} apart"
    # And one step is not another one shifted, which a key that is only added would make of it.
    flat, other = base.ravel(), mask(step=6).ravel()
    for shift in range(1, 200):
        assert correlation(flat[shift:], other[:-shift], rate) < SIGMAS + 1
