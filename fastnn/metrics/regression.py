"""Metrics of numbers. Each is a mean over the outputs, then over the rows, unless it says otherwise."""

import math

import numpy as np

from .. import validation
from .base import Metric

# What Keras adds to or takes for what it divides by.
_EPSILON = 1e-7


def _both(y_true, y_pred):
    return y_true.astype(np.float64), y_pred.astype(np.float64)


class MeanAbsoluteError(Metric):
    """Mean of the absolute differences."""

    identifier = "mean_absolute_error"
    kernel = "mae"
    direction = "min"

    def compute(self, y_true, y_pred):
        y, p = _both(y_true, y_pred)
        return float(np.abs(y - p).mean())


class MeanSquaredError(Metric):
    """Mean of the squared differences."""

    identifier = "mean_squared_error"
    kernel = "mse"
    direction = "min"

    def compute(self, y_true, y_pred):
        y, p = _both(y_true, y_pred)
        return float(((y - p) ** 2).mean())


class RootMeanSquaredError(MeanSquaredError):
    """Square root of the mean of the squared differences, over all rows together."""

    identifier = "root_mean_squared_error"

    def finish(self, mean):
        return math.sqrt(mean)

    def compute(self, y_true, y_pred):
        return math.sqrt(super().compute(y_true, y_pred))


class MeanAbsolutePercentageError(Metric):
    """Mean of the absolute differences as shares of the targets, times 100."""

    identifier = "mean_absolute_percentage_error"
    direction = "min"

    def compute(self, y_true, y_pred):
        y, p = _both(y_true, y_pred)
        return float(100.0 * (np.abs(y - p) / np.maximum(np.abs(y), _EPSILON)).mean())


class MeanSquaredLogarithmicError(Metric):
    """Mean of ``(log(1 + y_true) - log(1 + y_pred)) ** 2``; what is below 0 counts as 0."""

    identifier = "mean_squared_logarithmic_error"
    direction = "min"

    def compute(self, y_true, y_pred):
        y, p = (np.log1p(np.maximum(values, _EPSILON)) for values in _both(y_true, y_pred))
        return float(((y - p) ** 2).mean())


class CosineSimilarity(Metric):
    """Mean over the rows of the cosine of the angle between targets and outputs."""

    identifier = "cosine_similarity"
    direction = "max"

    def compute(self, y_true, y_pred):
        y, p = _both(y_true, y_pred)
        lengths = np.maximum(np.linalg.norm(y, axis=1) * np.linalg.norm(p, axis=1), _EPSILON)
        return float(((y * p).sum(axis=1) / lengths).mean())


class R2Score(Metric):
    """Coefficient of determination: 1 minus the squared differences over those from the mean target.

    Parameters
    ----------
    class_aggregation : {"uniform_average", "variance_weighted_average"}, default "uniform_average"
        How the outputs become one number: their mean, or their mean weighted by the targets' variances.
    name : str, optional
    """

    identifier = "r2_score"
    direction = "max"

    def __init__(self, class_aggregation="uniform_average", name=None):
        super().__init__(name)
        options = ("uniform_average", "variance_weighted_average")
        self.class_aggregation = validation.choice("class_aggregation", class_aggregation, options)

    def compute(self, y_true, y_pred):
        y, p = _both(y_true, y_pred)
        residual, total = ((y - p) ** 2).sum(axis=0), ((y - y.mean(axis=0)) ** 2).sum(axis=0)
        if self.class_aggregation == "variance_weighted_average":
            return float(1.0 - residual.sum() / total.sum()) if total.any() else 0.0
        # An output whose targets are all alike explains nothing.
        return float(np.where(total > 0.0, 1.0 - residual / np.where(total > 0.0, total, 1.0), 0.0).mean())
