"""What a metric is."""

import numpy as np

from ..kernels import losses as table


class Metric:
    """Base class of the metrics.

    A metric of one's own is a subclass with `compute`, or simply a function of y_true and y_pred.

    Parameters
    ----------
    name : str, optional
        The key in the history; the metric's own name by default.

    Attributes
    ----------
    identifier : str or None
        The name in Keras.
    direction : {"max", "min"} or None
        Which values are better, for the callbacks that watch one.
    kernel : str or None
        The row of the kernels' table that sums the metric within training. Without, it is computed once an epoch from
        the outputs that training had.
    """

    identifier = None
    direction = None
    kernel = None
    # Whether `compute` knows what to do with labels (n,) in the place of (n, outputs).
    takes_labels = False

    def __init__(self, name=None):
        if name is not None and not (isinstance(name, str) and name):
            raise TypeError(f"name must be a string, got {name!r}")
        self.name = name or self.identifier or type(self).__name__.lower()

    def row(self, loss, n_outputs):
        """Return the row of the kernels' table that sums the metric for a model, or None.

        Parameters
        ----------
        loss : str
            The loss's row.
        n_outputs : int
            Width of the network's output.

        Raises
        ------
        ValueError
            If the metric cannot be computed for that model.
        """
        loss_row = table.LOSS_BY_NAME[loss]
        if loss_row.labels and not self.takes_labels:
            raise ValueError(
                f"the metric {self.name!r} needs targets (n, outputs), but the loss {loss!r} takes labels (n,)"
            )
        if self.kernel is None:
            return None
        row = table.METRIC_BY_NAME[self.kernel]
        return None if loss_row.link is not None and not row.from_logits else self.kernel

    def finish(self, mean):
        """Return the metric, given what the kernels' row is on average."""
        return mean

    def compute(self, y_true, y_pred):
        """Compute the metric.

        Parameters
        ----------
        y_true : ndarray, int32 (n,) for a loss with labels, otherwise (n, outputs)
        y_pred : ndarray, shape (n, outputs)

        Returns
        -------
        float
        """
        raise NotImplementedError(f"{type(self).__name__} does not define compute(self, y_true, y_pred)")

    def __call__(self, y_true, y_pred):
        """Compute the metric of any targets and predictions: labels (n,) or (n, outputs), and (n, outputs) or (n,)."""
        y_true, y_pred = np.asarray(y_true), np.asarray(y_pred)
        if y_pred.ndim == 1:
            y_pred = y_pred[:, None]
        if y_pred.ndim != 2 or len(y_true) != len(y_pred) or (y_true.ndim == 2 and y_true.shape != y_pred.shape):
            raise ValueError(
                f"y_true and y_pred do not go together: their shapes are {y_true.shape} and {y_pred.shape}"
            )
        if y_true.ndim == 1 and (y_pred.shape[1] == 1 or not self.takes_labels):
            if y_pred.shape[1] != 1:
                raise ValueError(
                    f"{type(self).__name__} needs y_true (n, outputs), got the shape {y_true.shape} for "
                    f"{y_pred.shape[1]} outputs"
                )
            y_true = y_true[:, None]
        return self.compute(y_true, y_pred)

    def get_config(self):
        """Return the constructor's arguments as a dict that JSON can hold."""
        return dict(vars(self))

    def __repr__(self):
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.get_config().items())})"


class Function(Metric):
    """A function as a metric.

    Parameters
    ----------
    function : callable
        Called with y_true, int32 (n,) for a loss with labels and (n, outputs) otherwise, and y_pred (n, outputs);
        returns a number, or an array, of which the mean is taken. A model file does not hold it.
    name : str, optional
        The key in the history; the function's own name by default.
    """

    takes_labels = True

    def __init__(self, function, name=None):
        super().__init__(name or getattr(function, "__name__", type(function).__name__))
        self.function = function

    def compute(self, y_true, y_pred):
        values = np.asarray(self.function(y_true, y_pred))
        if values.dtype.kind not in "biuf" or not values.size:
            raise TypeError(f"the metric {self.name!r} must return numbers, got {values!r}")
        return float(values.mean(dtype=np.float64))

    def __call__(self, y_true, y_pred):
        return self.compute(y_true, y_pred)
