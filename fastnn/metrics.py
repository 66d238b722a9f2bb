"""Metrics, by the names of Keras. Declarations only: the formulas are in `fastnn.kernels.losses`.

All are means over the samples, not weighted, and are summed inside training.
"""

from . import validation
from .kernels import losses as table

__all__ = [
    "BinaryAccuracy",
    "CategoricalAccuracy",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "Metric",
    "SparseCategoricalAccuracy",
    "get",
    "get_all",
    "resolve",
]

# What a metric may be called, and the row of the kernels' table that computes it ("accuracy" depends on the model).
_KERNELS = {
    "accuracy": None,
    "acc": None,
    "categorical_accuracy": "categorical_accuracy",
    "sparse_categorical_accuracy": "categorical_accuracy",
    "binary_accuracy": "binary_accuracy",
    "mae": "mae",
    "mean_absolute_error": "mae",
    "mse": "mse",
    "mean_squared_error": "mse",
}


class Metric:
    """Base class of the metrics.

    Parameters
    ----------
    name : str, optional
        The key in the history; the metric's own name by default.
    """

    identifier = None

    def __init__(self, name=None):
        if name is not None and not (isinstance(name, str) and name):
            raise TypeError(f"name must be a string, got {name!r}")
        self.name = name or self.identifier

    def __repr__(self):
        return f"{type(self).__name__}(name={self.name!r})"


class CategoricalAccuracy(Metric):
    """Share of rows whose largest output is that of the largest target."""

    identifier = "categorical_accuracy"


class SparseCategoricalAccuracy(Metric):
    """Share of rows whose largest output is that of the label."""

    identifier = "sparse_categorical_accuracy"


class BinaryAccuracy(Metric):
    """Share of outputs on the right side of a probability of one half."""

    identifier = "binary_accuracy"


class MeanAbsoluteError(Metric):
    """Mean of the absolute differences."""

    identifier = "mean_absolute_error"


class MeanSquaredError(Metric):
    """Mean of the squared differences."""

    identifier = "mean_squared_error"


def get(identifier):
    """Return the pair (key in the history, name) of a metric given by name or as an instance.

    Raises
    ------
    ValueError
        If the name is unknown.
    TypeError
        If it is neither a name nor a metric.
    """
    if isinstance(identifier, Metric):
        return identifier.name, identifier.identifier
    if not isinstance(identifier, str):
        raise TypeError(f"a metric must be a name or a fastnn.metrics.Metric, got {identifier!r}")
    return identifier, validation.choice("metric", identifier, _KERNELS)


def direction(key, pairs):
    """Return "min" or "max", whichever is better for the loss or for a metric of `get_all`; None if nobody knows."""
    if key == "loss":
        return "min"
    name = dict(pairs).get(key)
    if name is None:
        return None
    return "max" if name.endswith("accuracy") or name == "acc" else "min"


def check_pair(pair):
    """Return a pair of `get` that was read from a file, or raise."""
    key, name = pair
    if not isinstance(key, str) or name not in _KERNELS:
        raise ValueError(f"unknown metric {pair!r}")
    return key, name


def get_all(identifiers):
    """Return the pairs of `get` for a list of metrics, a single one or None; the keys must differ."""
    if identifiers is None:
        identifiers = []
    if isinstance(identifiers, (str, Metric)):
        identifiers = [identifiers]
    if not isinstance(identifiers, (list, tuple)):
        raise TypeError(f"metrics must be a list of names or of fastnn.metrics.Metric, got {identifiers!r}")
    pairs = [get(identifier) for identifier in identifiers]
    keys = [key for key, _ in pairs]
    for key in keys:
        if key == "loss" or keys.count(key) > 1:
            raise ValueError(f"every metric needs a name of its own, but {key!r} is taken")
    return pairs


def resolve(name, loss, n_outputs):
    """Return the row of the kernels' table that computes a metric.

    Parameters
    ----------
    name : str
        As `get` returned it. "accuracy" means `binary_accuracy` for a binary cross-entropy or a single output, and
        `categorical_accuracy` otherwise.
    loss : str
        The loss's row.
    n_outputs : int
        Width of the network's output.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        If the metric cannot be computed for that loss.
    """
    kernel = _KERNELS[name]
    if kernel is None:
        kernel = "binary_accuracy" if loss == "binary_crossentropy" or n_outputs == 1 else "categorical_accuracy"
    row = table.LOSS_BY_NAME[loss]
    if row.labels and kernel == "binary_accuracy":
        raise ValueError(f"the metric {name!r} needs targets (n, outputs), but the loss {loss!r} takes labels (n,)")
    if row.link is not None and not table.METRIC_BY_NAME[kernel].from_logits:
        raise ValueError(f"the metric {name!r} is not computed for the loss {loss!r}; for it there is 'accuracy'")
    return kernel
