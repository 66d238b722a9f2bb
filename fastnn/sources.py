"""Where the rows of a fit or of an evaluation come from: arrays, arrays in files, chunks.

A source yields blocks: data in memory, and the order to take their rows in. While one block trains, the next one is
made in a thread, so that what is in memory are these two.
"""

import contextlib
import itertools
from dataclasses import dataclass, replace

import numpy as np

from .mapped import MappedRows
from .network import ORDER


@dataclass
class Data:
    """Checked arrays: x (n, I), y (n,) or (n, O), weights (n,) or None; and what x is multiplied by if it is uint8."""

    x: np.ndarray
    y: np.ndarray
    weights: np.ndarray | None
    scale: float = 1.0

    def __len__(self):
        return len(self.x)

    def rows(self, start, stop):
        """Return some of the rows, as views."""
        weights = None if self.weights is None else self.weights[start:stop]
        x = self.x[start:stop]
        return replace(self, x=x, y=x if self.y is self.x else self.y[start:stop], weights=weights)

    def take(self, rows):
        """Return some of the rows, given by their numbers or by a slice, in memory."""
        x = _take(self.x, rows)
        y = x if self.y is self.x else _take(self.y, rows)
        weights = None if self.weights is None else np.ascontiguousarray(self.weights[rows])
        return replace(self, x=x, y=y, weights=weights)

    def loaded(self):
        """Return the same data in memory."""
        return self.take(slice(None)) if isinstance(self.x, MappedRows) or isinstance(self.y, MappedRows) else self

    def scaled_targets(self, scale, rows=slice(None)):
        """Return the targets of some rows as numbers; uint8 is multiplied by `scale`, as training does."""
        y = self.y[rows]
        return y * np.float32(scale) if y.dtype == np.uint8 else y


def _take(values, rows):
    return values.take(rows) if isinstance(values, MappedRows) else np.ascontiguousarray(values[rows])


def epoch_order(seed, epoch, n, shuffle):
    """Return the order of the rows in an epoch (n,), int64: a function of the seed and the epoch's number alone."""
    if not shuffle:
        return np.arange(n)
    return np.random.default_rng([seed, ORDER, epoch]).permutation(n)


def ahead(items, prepare):
    """Yield ``prepare(item)`` of all items; both are got in a thread, one ahead of what is in use."""
    from concurrent.futures import ThreadPoolExecutor

    def produce():
        for item in items:
            return (prepare(item),)
        return None

    with ThreadPoolExecutor(1, "fastnn-chunks") as pool:
        coming = pool.submit(produce)
        while (made := coming.result()) is not None:
            coming = pool.submit(produce)
            yield made[0]
            del made  # before the next one is waited for


class Arrays:
    """Rows of arrays, of which those that are in files may have to be converted block by block.

    Parameters
    ----------
    data : Data
    batch_size : int
    shuffle : bool

    Attributes
    ----------
    samples : int or None
        Rows of an epoch, as far as it is known.
    steps : int or None
        Batches of an epoch, likewise.
    batch_size : int or None
        Rows of a batch; None: a block is a batch.
    """

    def __init__(self, data, batch_size, shuffle):
        self.data = data
        self.batch_size = min(batch_size, len(data))
        self.shuffle = shuffle
        self.samples = len(data)
        self.steps = -(-len(data) // batch_size)
        self.mapped = next((part for part in (data.x, data.y) if isinstance(part, MappedRows)), None)

    def inputs(self):
        """Yield the inputs as they were given."""
        yield self.data.x.values if isinstance(self.data.x, MappedRows) else self.data.x

    def load(self):
        """Have all rows in memory, unless they are in a file."""
        if self.mapped is not None and not self.mapped.in_file:
            self.data, self.mapped = self.data.loaded(), None

    def blocks(self, seed, epoch):
        """Yield the blocks of an epoch: data, and the order (n,) to take its rows in."""
        order = epoch_order(seed, epoch, len(self.data), self.shuffle)
        if self.mapped is None:
            yield self.data, order
            return
        # Whole batches, so that they are those of arrays in memory.
        rows = max(1, self.mapped.block // self.batch_size) * self.batch_size
        parts = (order[start : start + rows] for start in range(0, len(order), rows))
        for data in ahead(parts, self.data.take):
            yield data, np.arange(len(data))

    def in_order(self):
        """Yield the data of all rows."""
        if self.mapped is None:
            yield self.data
        else:
            yield from ahead(self.mapped.blocks(), self.data.take)


class Chunks:
    """Rows that come in chunks, from a sequence, an iterable or an iterator.

    Parameters
    ----------
    chunks : sequence or iterable
        Of chunks, whatever `check` takes.
    name : str
        What to call it in a message.
    steps : int or None
        Chunks of an epoch, for an iterator.
    argument : str
        What to call `steps` in a message.

    Raises
    ------
    ValueError
        If there are none, or `steps` is missing or out of place.
    """

    samples = None

    def __init__(self, chunks, name="x", steps=None, argument="steps_per_epoch"):
        self._chunks, self._name, self._count, self._argument = chunks, name, steps, argument
        self._is_sequence = hasattr(chunks, "__getitem__") and hasattr(chunks, "__len__")
        self.is_iterator = not self._is_sequence and hasattr(chunks, "__next__")
        if self.is_iterator and steps is None:
            raise ValueError(f"{name} is an iterator: {argument} must say how many chunks to take")
        if not self.is_iterator and steps is not None:
            raise ValueError(f"{argument}={steps} is for iterators; {name} has an end of its own")

    def first(self):
        """Return the first chunk, which stays to be used."""
        if self._is_sequence:
            found = [self._chunks[0]] if len(self._chunks) else []
        else:
            found = list(itertools.islice(self._chunks, 1))
        if not found:
            raise ValueError(f"{self._name} has no chunks")
        if self.is_iterator:
            self._chunks = itertools.chain(found, self._chunks)
        return found[0]

    def inputs(self):
        """Yield the inputs of all chunks, as they were given."""
        for _, chunk in self._numbered(None, None):
            yield chunk[0] if isinstance(chunk, (tuple, list)) else chunk

    def load(self):
        """Nothing to do: chunks come one by one."""

    def prepare(self, check, batch_size=None, shuffle=False):
        """Say how a chunk and its number become `Data`, and what becomes of these."""
        self._check, self.batch_size, self.shuffle = check, batch_size, shuffle
        self.steps = self._count or (len(self._chunks) if self._is_sequence else None)
        if batch_size is not None:
            self.steps = None
        return self

    def blocks(self, seed, epoch):
        """Yield the blocks of an epoch: data, and the order (n,) to take its rows in."""
        for number, data in self._checked(seed, epoch):
            order = np.arange(len(data))
            if self.shuffle and self.batch_size is not None:
                np.random.default_rng([seed, ORDER, epoch, number]).shuffle(order)
            yield data, order

    def in_order(self):
        """Yield the data of all chunks."""
        for _, data in self._checked():
            yield data

    def _checked(self, seed=None, epoch=None):
        count = 0
        pairs = ahead(self._numbered(seed, epoch), lambda pair: (pair[0], self._check(pair[1], pair[0])))
        with contextlib.closing(pairs):
            for pair in pairs:
                count += 1
                yield pair
        if count == 0 or count < (self._count or 0):
            raise ValueError(
                f"{self._name} ended after {count} chunks"
                + (f"; {self._argument}={self._count}" if self._count else "")
            )

    def _numbered(self, seed, epoch):
        if self._is_sequence:
            shuffle = seed is not None and self.shuffle
            for number in epoch_order(seed, epoch, len(self._chunks), shuffle).tolist():
                yield number, self._chunks[number]
            return
        yield from enumerate(itertools.islice(self._chunks, self._count))


def chunked(x, y=None):
    """Whether `x` is chunks, and not an array or what can be made one; beside a `y` it is not, and no iterator."""
    if y is not None:
        if hasattr(x, "__next__"):
            raise ValueError("x is an iterator over chunks, which have their own targets: y must be None")
        return False
    if isinstance(x, (list, tuple)):
        # A number of NumPy's has a shape too, an empty one.
        return bool(x) and all(isinstance(chunk, tuple) and chunk and getattr(chunk[0], "shape", ()) for chunk in x)
    if isinstance(x, (str, bytes, bytearray, memoryview, range)):
        return False
    if any(hasattr(x, name) for name in ("__array__", "__array_interface__", "to_numpy", "keys")):
        return False
    return hasattr(x, "__iter__") or (hasattr(x, "__getitem__") and hasattr(x, "__len__"))


def unpack(chunk, name, alone):
    """Return x, y and weights of a chunk; y may be missing if `alone`."""
    parts = chunk if isinstance(chunk, (tuple, list)) else (chunk,)
    if not (1 if alone else 2) <= len(parts) <= 3:
        got = f"{len(parts)} values" if isinstance(chunk, (tuple, list)) else type(chunk).__name__
        raise ValueError(f"{name} must be a tuple (x, y) or (x, y, sample_weight), got {got}")
    return (*parts, None, None)[:3]
