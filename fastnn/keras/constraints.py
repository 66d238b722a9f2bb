"""Constraints, with Keras's arguments."""

from .. import constraints as engine
from .arguments import adapt, missing

Constraint = engine.Constraint
MaxNorm = max_norm = adapt(engine.MaxNorm, "max_value=2 axis=0")
CLASSES = {"MaxNorm": MaxNorm}
get = engine.get

__all__ = ["Constraint", "MaxNorm", "get", "max_norm"]
__getattr__ = missing("keras.constraints", __all__)
