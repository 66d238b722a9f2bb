"""Initializers, with Keras's arguments."""

from .. import initializers as engine
from .. import validation
from .arguments import adapt, missing


class _Seeded:
    """Takes Keras's `seed`: the same weights every time."""

    seed = None


def _seeded(cls):
    adapted = adapt(cls, mixin=(_Seeded,))

    def __init__(self, *args, seed=None, **kwargs):
        adapted.__init__(self, *args, **kwargs)
        if seed is not None:
            self.seed = validation.integer("seed", seed, low=0)

    return type(cls.__name__, (adapted,), {"__init__": __init__, "__doc__": cls.__doc__, "__module__": __name__})


Initializer = engine.Initializer
CLASSES = {
    name: _seeded(getattr(engine, name)) for name in engine.__all__ if name[0].isupper() and name != "Initializer"
}
globals().update(CLASSES)
get = engine.get

__all__ = ["Initializer", "get", *CLASSES]
__getattr__ = missing("keras.initializers", __all__)
