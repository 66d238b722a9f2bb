"""Constraints, with Keras's arguments."""

from .. import constraints as engine
from .arguments import adapt, missing

Constraint = engine.Constraint
CLASSES = {
    name: adapt(cls, ("max_value", "axis"), {"axis": 0})
    for name, cls in vars(engine).items()
    if isinstance(cls, type) and issubclass(cls, Constraint) and cls is not Constraint
}
globals().update(CLASSES)
get = engine.get

__all__ = ["Constraint", "get", *CLASSES]
__getattr__ = missing("keras.constraints", __all__)
