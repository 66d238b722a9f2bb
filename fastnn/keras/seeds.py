"""Where seeds and names come from, as far as nobody gives any."""

import random
import secrets
from collections import Counter

import numpy as np

from .. import validation

_generator = np.random.default_rng(secrets.randbits(64))
_taken = Counter()


def set_random_seed(seed):
    """Seed everything random: weights, orders and dropout of models made from here on, `random` and NumPy.

    Parameters
    ----------
    seed : int
        In [0, 2**32).
    """
    seed = validation.integer("seed", seed, low=0, high=2**32 - 1)
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - Keras seeds it, and scripts draw their data from it
    reseed(seed)


def reseed(seed):
    """Seed weights, orders and dropout alone."""
    global _generator
    _generator = np.random.default_rng(validation.integer("seed", seed, low=0))


def generator(seed=None):
    """Return the generator that weights are drawn from, or one of its own for a seed."""
    return _generator if seed is None else np.random.default_rng(seed)


def combined(given):
    """Return the seed that the seeds of a model's random layers make together, or None if none has one."""
    given = list(given)
    if all(seed is None for seed in given):
        return None
    words = [word for seed in given for word in ((0, 0) if seed is None else (1, seed))]
    return int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0] >> np.uint64(1))


def draw():
    """Return a seed for a model."""
    return int(_generator.integers(2**62))


def unique_name(base):
    """Return ``base``, ``base_1``, ``base_2`` and so on, in this process."""
    count = _taken[base]
    _taken[base] += 1
    return f"{base}_{count}" if count else base


def clear_session(free_memory=True):
    """Start the numbers of names afresh; there is no other state, and so no memory to free."""
    _taken.clear()
