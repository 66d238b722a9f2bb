"""Optimizers, with Keras's arguments."""

from .. import optimizers as engine
from ..optimizers import schedules
from .arguments import FREE, adapt, missing

_DEFAULTS = {
    "name": FREE,
    "weight_decay": None,
    "use_ema": False,
    "ema_momentum": FREE,
    "ema_overwrite_frequency": None,
    "loss_scale_factor": None,
    "gradient_accumulation_steps": None,
    "amsgrad": False,
    "centered": False,
    "momentum": 0.0,
    "decay": 0.0,  # of old; schedules took its place
}
_OLD = {"lr": "learning_rate"}
_ORDERS = {"RMSprop": ("learning_rate", "rho", "momentum", "epsilon", "centered")}


class _Optimizer:
    lr = property(
        lambda self: self.learning_rate,
        lambda self, value: setattr(self, "learning_rate", value),
        doc="Old spelling of `learning_rate`.",
    )


Optimizer = engine.Optimizer
CLASSES = {
    cls.__name__: adapt(cls, _ORDERS.get(cls.__name__, ()), _DEFAULTS, _OLD, (_Optimizer,))
    for cls in vars(engine).values()
    if isinstance(cls, type) and issubclass(cls, Optimizer) and cls.name in engine.NAMES
}
globals().update(CLASSES)
_BY_NAME = {cls.name: cls for cls in CLASSES.values()}


def get(identifier):
    """Return the optimizer that a name, such as ``"adam"`` or ``"Adam"``, or an instance stands for."""
    if isinstance(identifier, Optimizer):
        return identifier
    name = engine.get(identifier.lower() if isinstance(identifier, str) else identifier).name
    return _BY_NAME[name]()


__all__ = ["Optimizer", "get", "schedules", *CLASSES]
__getattr__ = missing("keras.optimizers", __all__)
