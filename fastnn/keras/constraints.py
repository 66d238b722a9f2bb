"""Constraints, with Keras's arguments."""

from .. import constraints as engine
from .arguments import adapt, missing

Constraint = engine.Constraint
MaxNorm = max_norm = adapt(engine.MaxNorm, "max_value=2 axis=0")
NonNeg = non_neg = adapt(engine.NonNeg, "")
UnitNorm = unit_norm = adapt(engine.UnitNorm, "axis=0")
CLASSES = {"MaxNorm": MaxNorm, "NonNeg": NonNeg, "UnitNorm": UnitNorm}
get = engine.get

__all__ = ["Constraint", "MaxNorm", "NonNeg", "UnitNorm", "get", "max_norm", "non_neg", "unit_norm"]
__getattr__ = missing("keras.constraints", __all__)
