"""Dropout and Gaussian noise: random numbers from a counter. Formulas: `kernels.dropout`.

`drop_rows` and `noise_rows` work in place on `rows` x `columns` of the values of operation `number`, the first of
them being (row, column) of the batch; forward, and on the gradients backward.

Shapes: p (rows, columns).
Layout: rows `apart`.
Aliasing: none.
"""

import math

import numpy as np
from numba import types
from numba.extending import overload

from .batch import LOSS_GRAD
from .cache import inline, routine
from .intrinsics import as_float32, as_int32, at, call, cast, outlined, pointer, view


@inline
def _splitmix64(x):
    x += np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@inline
def dropout_key(seed, step, op):
    """The two keys of `kernels.dropout.keys` as one number."""
    return _splitmix64(_splitmix64(np.uint64(seed) ^ _splitmix64(np.uint64(step))) + np.uint64(op))


@inline
def dropout_hash(key, index):
    """The hash of `kernels.dropout` for one element."""
    # All is 32 bits wide: Numba widens, LLVM narrows again.
    h = np.uint32(np.uint32(index) + np.uint32(key))
    h = np.uint32(h ^ (h >> np.uint32(16)))
    h = np.uint32(h * np.uint32(0x7FEB352D))
    h = np.uint32(h ^ np.uint32(key >> np.uint64(32)))
    h = np.uint32(h ^ (h >> np.uint32(15)))
    h = np.uint32(h * np.uint32(0x846CA68B))
    return np.uint32(h ^ (h >> np.uint32(16)))


def _terms(x):
    """How many terms the series of logarithm and sine take."""


@overload(_terms)
def _choose(x):
    if x == types.float32:
        return lambda x: (5, 6)
    return lambda x: (11, 10)


@inline
def _minus_log(like, k):
    # -log(k / 2^24): the exponent, and 2 atanh(s) of what is left by its series.
    bits = as_int32(np.float32(k))
    exponent = np.int32((bits - np.int32(0x3F3504F3)) >> np.int32(23))
    m = cast(like, as_float32(np.int32(bits - (exponent << np.int32(23)))))
    one, two = cast(like, 1.0), cast(like, 2.0)
    s = (m - one) / (m + one)
    q, terms = s * s, _terms(like)[0]
    p = cast(like, 1.0 / (2 * terms + 1))
    for i in range(terms):
        p = p * q + cast(like, 1.0 / (2 * (terms - i) - 1))
    return cast(like, 24 - exponent) * cast(like, math.log(2.0)) - two * s * p


@inline
def _turn_cosine(like, k):
    # cos(2 pi k / 2^24): the sine of what is missing to a quarter turn.
    t = cast(like, np.int32(k) - (1 << 23)) * cast(like, 1.0 / (1 << 24))
    x = (abs(t) - cast(like, 0.25)) * cast(like, 2.0 * math.pi)
    q, one, terms = x * x, cast(like, 1.0), _terms(like)[1]
    p = one
    for j in range(terms):
        i = terms - j
        p = one - q * cast(like, 1.0 / (2.0 * i * (2.0 * i + 1.0))) * p
    return x * p


@inline
def _normal(like, key, index):
    # Box and Muller 1958.
    radius = np.int32(dropout_hash(key, index) >> np.uint32(8)) + 1
    swapped = (key >> np.uint64(32)) | (key << np.uint64(32))
    angle = np.int32(dropout_hash(swapped, index) >> np.uint32(8))
    return math.sqrt(cast(like, 2.0) * _minus_log(like, radius)) * _turn_cosine(like, angle)


@routine
def drop_rows(like, job, op, number, step, row, column, rows, columns, apart, p):
    """Times scale where kept, otherwise 0."""
    outlined()
    key, scale, zero = dropout_key(job.seed, step, number), cast(like, op.scale), cast(like, 0.0)
    for r in range(rows):
        y, first = view(at(p, r * apart), columns), (row + r) * op.n_out + column
        for i in range(columns):
            y[i] = y[i] * scale if dropout_hash(key, first + i) >= np.uint32(op.threshold) else zero


@routine
def noise_rows(like, job, op, number, step, row, column, rows, columns, apart, stddev, p):
    """y (1 + spread N) + stddev N; the spread is the operation's."""
    outlined()
    key, one = dropout_key(job.seed, step, number), cast(like, 1.0)
    spread, shift = cast(like, op.gaussian_dropout), cast(like, stddev)
    for r in range(rows):
        y, first = view(at(p, r * apart), columns), (row + r) * op.n_out + column
        for i in range(columns):
            n = _normal(like, key, first + i)
            y[i] = y[i] * (one + spread * n) + shift * n


@routine
def fill_mask(like, job, ops, team):
    """The probe of dropout: out (n,) uint8 = 1 where kept, otherwise 0, with the threshold `job.k`."""
    key, out = dropout_key(job.seed, job.step, job.code), view(pointer(np.uint8(0), job.out), job.n)
    for i in range(len(out)):
        out[i] = 1 if dropout_hash(key, i) >= np.uint32(job.k) else 0


@routine
def fill_noise(like, job, ops, team):
    """The probe of noise: out (n,) = N."""
    key, out = dropout_key(job.seed, job.step, job.code), view(pointer(like, job.out), job.n)
    for i in range(len(out)):
        out[i] = _normal(like, key, i)


@inline
def disturb(like, job, op, number, step, row, column, rows, columns, apart, stddev, p):
    """Dropout and noise on rows of values or of gradients at p, where gradients follow."""
    if job.mode <= LOSS_GRAD:
        if op.threshold >= 0:
            call(job.drop_rows, (like, job, op, number, step, row, column, rows, columns, apart, p))
        if stddev != 0.0 or op.gaussian_dropout != 0.0:
            call(job.noise_rows, (like, job, op, number, step, row, column, rows, columns, apart, stddev, p))
