"""Metrics, with Keras's arguments."""

from .. import metrics as engine
from . import losses
from .arguments import adapt, missing

_DEFAULTS = {
    "dtype": (None, "float32"),
    "axis": -1,
    "label_smoothing": (0, 0.0),
    "class_id": None,
    "ignore_class": None,
    "summation_method": "interpolation",
    "multi_label": False,
    "label_weights": None,
    "from_logits": False,
    "class_aggregation": "uniform_average",
    "num_regressors": 0,
    "thresholds": None,
}

Metric = engine.Metric
CLASSES = {
    name: adapt(cls, (), _DEFAULTS)
    for name, cls in vars(engine).items()
    if isinstance(cls, type) and issubclass(cls, Metric) and cls is not Metric and cls is not engine.Function
}
globals().update(CLASSES)
_FUNCTIONS = {"mse", "MSE", "mae", "MAE", "mean_squared_error", "mean_absolute_error"}
globals().update({name: losses.FUNCTIONS[name] for name in _FUNCTIONS})


def get(identifier):
    """Return the metric that a name, an instance or a function of y_true and y_pred stands for."""
    if isinstance(identifier, losses.LossFunction):
        identifier = identifier.__name__
    return engine.get(identifier)


__all__ = ["Metric", "get", *CLASSES, *sorted(_FUNCTIONS)]
__getattr__ = missing("keras.metrics", __all__)
