"""Where a fit's rows come from."""

from dataclasses import dataclass

import numpy as np

from .network import ORDER


@dataclass
class Data:
    """Checked arrays: x (n, I), y (n,) or (n, O), weights (n,) or None."""

    x: np.ndarray
    y: np.ndarray
    weights: np.ndarray | None

    def __len__(self):
        return len(self.x)

    def rows(self, start, stop):
        """Return some of the rows, as views."""
        weights = None if self.weights is None else self.weights[start:stop]
        return Data(self.x[start:stop], self.y[start:stop], weights)

    def scaled_targets(self, scale, rows=slice(None)):
        """Return the targets of some rows as numbers; uint8 is multiplied by `scale`, as training does."""
        y = self.y[rows]
        return y * np.float32(scale) if y.dtype == np.uint8 else y


def epoch_order(seed, epoch, n, shuffle):
    """Return the order of the rows in an epoch (n,), int64: a function of the seed and the epoch's number alone."""
    if not shuffle:
        return np.arange(n)
    return np.random.default_rng([seed, ORDER, epoch]).permutation(n)


class Arrays:
    """Rows that are all in memory.

    Parameters
    ----------
    data : Data
    shuffle : bool
    """

    def __init__(self, data, shuffle):
        self.data = data
        self.shuffle = shuffle

    def blocks(self, seed, epoch):
        """Yield the blocks of an epoch: data, and the order (n,) to take its rows in."""
        yield self.data, epoch_order(seed, epoch, len(self.data), self.shuffle)
