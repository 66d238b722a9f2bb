"""From names to metrics, and between metrics and files."""

from .. import validation
from . import classification, regression
from .base import Function, Metric

_BY_NAME = {
    cls.identifier: cls
    for module in (classification, regression)
    for cls in vars(module).values()
    if isinstance(cls, type) and issubclass(cls, Metric) and cls.identifier and not cls.__name__.startswith("_")
}
_ALIASES = {
    "acc": "accuracy",
    "mae": "mean_absolute_error",
    "mse": "mean_squared_error",
    "rmse": "root_mean_squared_error",
    "mape": "mean_absolute_percentage_error",
    "msle": "mean_squared_logarithmic_error",
    **{cls.__name__.lower(): name for name, cls in _BY_NAME.items()},
}


def get(identifier):
    """Return a metric.

    Parameters
    ----------
    identifier : str, Metric or callable
        A name such as ``"accuracy"``, which becomes the metric's key in the history; an instance; or a function of
        y_true and y_pred.

    Returns
    -------
    Metric

    Raises
    ------
    ValueError
        If the name is unknown.
    TypeError
        If it is none of these.
    """
    if isinstance(identifier, Metric):
        return identifier
    if callable(identifier) and not isinstance(identifier, type):
        return Function(identifier)
    if not isinstance(identifier, str):
        raise TypeError(f"a metric must be a name, a fastnn.metrics.Metric or a function, got {identifier!r}")
    return _BY_NAME[validation.choice("metric", identifier, _BY_NAME, _ALIASES)](name=identifier)


def get_all(identifiers):
    """Return the metrics of a list, of a single one or of None; their names must differ."""
    if identifiers is None:
        identifiers = []
    if isinstance(identifiers, (str, Metric)) or callable(identifiers):
        identifiers = [identifiers]
    if not isinstance(identifiers, (list, tuple)):
        raise TypeError(
            f"metrics must be a list of names, of fastnn.metrics.Metric or of functions, got {identifiers!r}"
        )
    found = [get(identifier) for identifier in identifiers]
    names = [metric.name for metric in found]
    for name in names:
        if name == "loss" or names.count(name) > 1:
            raise ValueError(f"every metric needs a name of its own, but {name!r} is taken")
    return found


def direction(name, metrics):
    """Return "min" or "max", whichever is better for the loss or for one of the metrics; None if nobody knows."""
    if name == "loss":
        return "min"
    return next((metric.direction for metric in metrics if metric.name == name), None)


def serialize(metric):
    """Describe a metric as a dict that JSON can hold; one of a user's own by its name alone."""
    if type(metric) is not _BY_NAME.get(metric.identifier):
        return {"name": None, "config": {"name": metric.name}}
    return {"name": metric.identifier, "config": metric.get_config()}


def deserialize(config):
    """Return the metric that `serialize` described, or None for one of a user's own."""
    if isinstance(config, dict) and config.get("name", "") is None:
        if not isinstance(config["config"]["name"], str):
            raise ValueError(f"it describes the metric {config!r}")
        return None
    return validation.deserialize("metric", config, _BY_NAME)
