"""Losses, with Keras's arguments, as classes and as functions."""

import inspect

import numpy as np

from .. import losses as engine
from ..kernels import losses as table
from .arguments import FREE, adapt, missing, parse
from .tensors import Array

_TAIL = 'reduction="sum_over_batch_size" name dtype'
_ORDERS = {
    "BinaryCrossentropy": f"from_logits label_smoothing axis=-1 {_TAIL}",
    "CategoricalCrossentropy": f"from_logits label_smoothing axis=-1 {_TAIL}",
    "SparseCategoricalCrossentropy": 'from_logits ignore_class reduction="sum_over_batch_size" axis=-1 name dtype',
    "CosineSimilarity": f"axis=-1 {_TAIL}",
    "Huber": f"delta {_TAIL}",
}
_SUPPORTED = f"supported are {', '.join(engine.NAMES)}"
_DEFAULTS = {"name": FREE, "dtype": (None, "float32")}  # a loss's name is shown nowhere


class Loss(engine.Loss):
    """Base class of the losses; those of one's own are not supported."""

    def __init_subclass__(cls):
        if "call" in vars(cls):
            raise TypeError(f"the loss {cls.__name__} is one's own, which is not supported; {_SUPPORTED}")

    def __call__(self, y_true, y_pred, sample_weight=None):
        """Return the mean of weight times loss over the samples."""
        values = _values(self, y_true, y_pred)
        return Array(np.float32(values.mean() if sample_weight is None else (values * np.ravel(sample_weight)).mean()))


def _values(loss, y_true, y_pred):
    """Return the loss of every sample, float32 (n,), by the formulas of the kernels' table."""
    y_pred = np.asarray(y_pred, np.float64)
    n = len(y_pred)
    y_pred = y_pred.reshape(n, -1)
    row = table.LOSS_BY_NAME[loss.kernel]
    y = np.asarray(y_true).reshape(n).astype(np.int32) if row.labels else np.asarray(y_true, np.float64).reshape(n, -1)
    if row.link is not None and not loss.from_logits:
        # The table has these losses of logits: take back the link.
        p = np.clip(y_pred, 1e-7, 1 - 1e-7)
        y_pred = np.log(p) - np.log1p(-p) if row.link == "sigmoid" else np.log(p / p.sum(axis=1, keepdims=True))
    return np.asarray(row.value(y_pred, y, loss.parameter), np.float32)


def _adapted(cls):
    name = "huber_loss" if cls is engine.Huber else cls.name
    return adapt(cls, _ORDERS.get(cls.__name__, _TAIL).replace(" name", f' name="{name}"'), _DEFAULTS, None, (Loss,))


CLASSES = {
    cls.__name__: _adapted(cls)
    for cls in vars(engine).values()
    if isinstance(cls, type) and issubclass(cls, engine.Loss) and cls.name in engine.NAMES
}
globals().update(CLASSES)
_BY_NAME = {cls.name: cls for cls in CLASSES.values()}


class LossFunction:
    """A loss as a function of y_true and y_pred; for `compile`, it stands for the class.

    Attributes
    ----------
    loss : type
    """

    def __init__(self, loss):
        self.loss, self.__name__, self.__doc__ = loss, loss.name, loss.__doc__
        more = [p for p in inspect.signature(loss).parameters.values() if p.name not in ("reduction", "name", "dtype")]
        self.__signature__ = inspect.Signature([*parse("y_true y_pred"), *more])

    def __call__(self, *args, **kwargs):
        """Return the loss of every sample, float32 (n,)."""
        given = self.__signature__.bind(*args, **kwargs).arguments
        y_true, y_pred = given.pop("y_true"), given.pop("y_pred")
        return Array(_values(self.loss(**given), y_true, y_pred))

    def __repr__(self):
        return f"<loss {self.__name__}>"


FUNCTIONS = {name: LossFunction(cls) for name, cls in _BY_NAME.items()}
for _alias, _name in {
    "mse": "mean_squared_error",
    "MSE": "mean_squared_error",
    "mae": "mean_absolute_error",
    "MAE": "mean_absolute_error",
    "kld": "kl_divergence",
    "KLD": "kl_divergence",
}.items():
    FUNCTIONS[_alias] = FUNCTIONS[_name]
globals().update(FUNCTIONS)


def get(identifier):
    """Return the loss that a name, a function of this module or an instance stands for; a list of one is taken too."""
    if isinstance(identifier, (list, tuple)) and len(identifier) == 1:
        identifier = identifier[0]
    if identifier is None:
        raise ValueError(f"compile needs a loss; {_SUPPORTED}")
    if isinstance(identifier, LossFunction):
        return identifier.loss()
    if isinstance(identifier, type) and issubclass(identifier, Loss):
        return identifier()
    if callable(identifier) and not isinstance(identifier, Loss):
        raise TypeError(f"a function of one's own cannot be a loss; {_SUPPORTED}")
    return identifier if isinstance(identifier, Loss) else _BY_NAME[engine.get(identifier).name]()


__all__ = ["Loss", "get", *CLASSES, *FUNCTIONS]
__getattr__ = missing("keras.losses", __all__)
