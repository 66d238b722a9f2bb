"""Small images in bytes, and a classifier for them."""

import numpy as np

import fastnn


def pixels(n=600):
    """Make images (n, 20), uint8, and their classes (n,)."""
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (n, 20)).astype(np.uint8), rng.integers(0, 3, n)


def small(**options):
    """Build a model for them, always with the same weights."""
    return fastnn.MLP([20, 16, 3], seed=0, **options)
