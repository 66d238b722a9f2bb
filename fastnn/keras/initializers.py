"""Initializers, with Keras's arguments."""

from .. import initializers as engine
from .. import validation
from .arguments import adapt, missing

_ORDERS = {
    "Constant": "value",
    "Ones": "",
    "Orthogonal": "gain seed",
    "RandomNormal": "mean stddev seed",
    "RandomUniform": "minval maxval seed",
    "TruncatedNormal": "mean stddev seed",
    "VarianceScaling": "scale mode distribution seed input_axes output_axes",
    "Zeros": "",
}
_SCALED = "seed input_axes output_axes"


class _Seeded:
    """Takes Keras's `seed`: the same weights every time. It is apart from the engine's arguments, which have none."""

    __slots__ = ("seed",)

    def get_config(self):
        return {**super().get_config(), **({"seed": self.seed} if hasattr(self, "seed") else {})}


def _seed(initializer, value):
    initializer.seed = None if value is None else validation.integer("seed", value, low=0)


def _adapted(cls):
    order = _ORDERS.get(cls.__name__, _SCALED)
    return adapt(cls, order, mixin=(_Seeded,), extra={"seed": _seed} if "seed" in order.split() else None)


Initializer = engine.Initializer
CLASSES = {cls.__name__: _adapted(cls) for cls in engine._BY_NAME.values()}
_BY_NAME = {name: CLASSES[cls.__name__] for name, cls in engine._BY_NAME.items()}
globals().update(CLASSES, **_BY_NAME)  # Keras has its classes by both names
get = engine.get

__all__ = ["Initializer", "get", *CLASSES, *_BY_NAME]
__getattr__ = missing("keras.initializers", __all__)
