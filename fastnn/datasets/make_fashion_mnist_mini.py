"""Makes the bundled data set: ``python -m fastnn.datasets.make_fashion_mnist_mini [folder]``.

It needs the full Fashion-MNIST (see `fastnn.datasets.load`) and always makes the same four files. Their sizes and
checksums, which it prints, belong into ``catalogue.py``.
"""

import hashlib
import sys
from pathlib import Path

import numpy as np

from .catalogue import BUNDLED, CATALOGUE
from .idx import write_idx
from .store import load

SEED = 2017


def choose(labels, count, split):
    """Choose `count` images, every class equally often.

    The choice follows SHA-256 of (seed, split, index) and not a random generator, whose stream may change with the
    version of a library.

    Parameters
    ----------
    labels : ndarray of shape (n,)
    count : int
        A multiple of the number of classes.
    split : str
        ``"train"`` or ``"test"``, so that the two choices are independent.

    Returns
    -------
    ndarray of shape (count,), intp
        Indices in rising order: the full set is shuffled already, and so is what keeps its order.
    """
    classes = np.unique(labels)
    keys = [hashlib.sha256(f"{SEED}/{split}/{index}".encode()).digest() for index in range(len(labels))]
    chosen = [
        index
        for label in classes
        for index in sorted(np.flatnonzero(labels == label), key=keys.__getitem__)[: count // len(classes)]
    ]
    return np.sort(chosen)


def main(folder=BUNDLED):
    """Write the four files into `folder` and print what the catalogue should say of them."""
    mini = CATALOGUE["fashion-mnist-mini"]
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (x_train, y_train), (x_test, y_test) = load("fashion-mnist")
    train, test = choose(y_train, mini.train, "train"), choose(y_test, mini.test, "test")
    arrays = x_train[train], y_train[train], x_test[test], y_test[test]
    for file, array in zip(mini.files, arrays, strict=True):
        write_idx(folder / file.name, array)
        content = (folder / file.name).read_bytes()
        print(f'File("{file.name}", {len(content)}, "{hashlib.sha256(content).hexdigest()}")')


if __name__ == "__main__":
    main(*sys.argv[1:2])
