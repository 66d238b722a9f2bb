"""Data sets, by Keras's names."""

from .. import datasets as engine
from .arguments import missing


class _DataSet:
    def __init__(self, name):
        self._name = name

    def load_data(self, path=None):
        """Return ``(x_train, y_train), (x_test, y_test)``: uint8 (n, 28, 28) and uint8 (n,).

        `path` is Keras's name of a file in its own cache; `fastnn.datasets` has its own places.
        """
        (x_train, y_train), (x_test, y_test) = engine.load(self._name)
        return (x_train, y_train.astype("uint8")), (x_test, y_test.astype("uint8"))


mnist = _DataSet("mnist")
fashion_mnist = _DataSet("fashion-mnist")

__all__ = ["fashion_mnist", "mnist"]
__getattr__ = missing("keras.datasets", __all__)
