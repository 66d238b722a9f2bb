"""Optimizers, with Keras's arguments."""

import numpy as np

from .. import optimizers as engine
from .. import validation
from ..optimizers import schedules
from .arguments import FREE, adapt, lacks, missing

_CLIPPING = "clipnorm clipvalue global_clipnorm"
_TAIL = (
    f"weight_decay {_CLIPPING} use_ema=False ema_momentum=0.99 ema_overwrite_frequency loss_scale_factor "
    "gradient_accumulation_steps name"
)
_ADAM = "learning_rate beta_1 beta_2 epsilon"
_ORDERS = {
    "SGD": f"learning_rate momentum nesterov {_TAIL}",
    "Adam": f"{_ADAM} amsgrad=False {_TAIL}",
    "AdamW": f"learning_rate weight_decay beta_1 beta_2 epsilon amsgrad=False {_TAIL.partition(' ')[2]}",
    "Adamax": f"{_ADAM} {_TAIL}",
    "Nadam": f"{_ADAM} {_TAIL}",
    "Lion": f"learning_rate beta_1 beta_2 {_TAIL}",
    "RMSprop": f"learning_rate rho momentum=0.0 epsilon centered=False {_TAIL}",
    "Adagrad": f"learning_rate initial_accumulator_value epsilon {_TAIL}",
}
# An optimizer's name is shown nowhere, and without an average there is no momentum of it.
_DEFAULTS = {"name": FREE, "ema_momentum": FREE}


class Rate(float):
    """A learning rate that is a number, and can be set as Keras's variables are."""

    def __new__(cls, value, optimizer=None):
        rate = super().__new__(cls, value)
        rate._optimizer = optimizer
        return rate

    def assign(self, value):
        """Set the optimizer's learning rate."""
        self._optimizer.learning_rate = value

    def numpy(self):
        """Return the number, float32."""
        return np.float32(self)

    value = numpy


class _Optimizer:
    def __getattr__(self, name):
        """Say what there is."""
        raise lacks(self, name)

    @property
    def learning_rate(self):
        """The learning rate, a float or a schedule; it may be set."""
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, value):
        engine.Optimizer.learning_rate.fset(self, value)
        if isinstance(self._learning_rate, float):
            self._learning_rate = Rate(self._learning_rate, self)

    lr = learning_rate  # the old spelling


def _decay(optimizer, value):
    """Let the rate fall by the number of the batch, as the argument of old did."""
    if validation.number("decay", value, low=0.0):
        optimizer.learning_rate = schedules.InverseTimeDecay(optimizer.learning_rate, 1, value)


def _adapted(cls):
    return adapt(cls, _ORDERS[cls.__name__], _DEFAULTS, {"lr": "learning_rate"}, (_Optimizer,), {"decay": _decay})


Optimizer = engine.Optimizer
CLASSES = {name: _adapted(getattr(engine, name)) for name in _ORDERS}
globals().update(CLASSES)
_BY_NAME = {cls.name: cls for cls in CLASSES.values()}


def get(identifier):
    """Return the optimizer that a name, such as ``"adam"`` or ``"Adam"``, a class or an instance stands for."""
    return validation.resolve("optimizer", identifier, Optimizer, _BY_NAME)


__all__ = ["Optimizer", "get", "schedules", *CLASSES]
__getattr__ = missing("keras.optimizers", __all__)
