"""Regularizers, with Keras's arguments and its functions of old."""

from .. import regularizers as engine
from .arguments import adapt, missing

Regularizer = engine.Regularizer
L1 = adapt(engine.L1, "l1", old={"l": "l1"})
L2 = adapt(engine.L2, "l2", old={"l": "l2"})
L1L2 = adapt(engine.L1L2, "l1 l2")
CLASSES = {"L1": L1, "L2": L2, "L1L2": L1L2}
l1, l2, l1_l2, get = L1, L2, L1L2, engine.get

__all__ = ["L1", "L1L2", "L2", "Regularizer", "get", "l1", "l1_l2", "l2"]
__getattr__ = missing("keras.regularizers", __all__)
