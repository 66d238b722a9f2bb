"""Regularizers, with Keras's arguments and its functions of old."""

from .. import regularizers as engine
from .arguments import adapt, missing

Regularizer = engine.Regularizer
CLASSES = {name: adapt(getattr(engine, name), old={"l": name.lower()}) for name in ("L1", "L2", "L1L2")}
L1, L2, L1L2 = CLASSES.values()
l1, l2, get = L1, L2, engine.get


def l1_l2(l1=0.01, l2=0.01):
    """Return ``L1L2(l1, l2)``."""
    return L1L2(l1, l2)


__all__ = ["L1", "L1L2", "L2", "Regularizer", "get", "l1", "l1_l2", "l2"]
__getattr__ = missing("keras.regularizers", __all__)
