"""Metrics, with Keras's arguments."""

from collections import Counter

from .. import metrics as engine
from . import losses
from .arguments import adapt, lacks, missing

_ORDERS = {
    "AUC": 'num_thresholds=200 curve summation_method="interpolation" name dtype thresholds multi_label num_labels '
    "label_weights from_logits=False",
    "BinaryAccuracy": "name dtype threshold",
    "CosineSimilarity": "name dtype axis=-1",
    "F1Score": "average threshold name dtype",
    "Precision": "thresholds top_k class_id name dtype",
    "R2Score": "class_aggregation num_regressors=0 name dtype",
    "Recall": "thresholds top_k class_id name dtype",
    "SparseTopKCategoricalAccuracy": "k name dtype from_sorted_ids=False",
    "TopKCategoricalAccuracy": "k name dtype",
}
_NUMBERED = ("AUC", "Precision", "Recall")
_DEFAULTS = {"dtype": (None, "float32")}


class Metric(engine.Metric):
    """Base class of the metrics; one's own defines ``compute(self, y_true, y_pred)``, as `fastnn.metrics.Metric`."""

    def __init_subclass__(cls):
        for method in ("update_state", "result"):
            if method in vars(cls):
                raise TypeError(f"{cls.__name__} defines {method}; here a metric defines compute(self, y_true, y_pred)")

    def __getattr__(self, name):
        """Say what there is."""
        raise lacks(self, name)


def _adapted(cls):
    order = _ORDERS.get(cls.__name__, "name dtype")
    if cls.__name__ not in _NUMBERED:
        order = order.replace("name", f'name="{cls.identifier}"')
    return adapt(cls, order, _DEFAULTS, None, (Metric,))


CLASSES = {
    name: _adapted(cls)
    for name, cls in vars(engine).items()
    if isinstance(cls, type) and issubclass(cls, engine.Metric) and cls not in (engine.Metric, engine.Function)
}
globals().update(CLASSES)
_FUNCTIONS = {"mse", "MSE", "mae", "MAE", "mean_squared_error", "mean_absolute_error"}
globals().update({name: losses.FUNCTIONS[name] for name in _FUNCTIONS})


def get(identifier):
    """Return the metric that a name, an instance or a function of y_true and y_pred stands for."""
    if isinstance(identifier, losses.LossFunction):
        identifier = identifier.__name__
    return engine.get(identifier)


def number(metrics):
    """Give metrics of a model that were given no name and have the same one a name of their own: recall, recall_1."""
    count = Counter()
    for metric in metrics:
        if type(metric).__name__ in _NUMBERED and metric.name == metric.identifier:
            metric.name += f"_{count[metric.name]}" * (count[metric.name] > 0)
            count[metric.identifier] += 1


__all__ = ["Metric", "get", *CLASSES, *sorted(_FUNCTIONS)]
__getattr__ = missing("keras.metrics", __all__)
