"""The loss and the metrics of a model, from the sums that the kernels make and from its outputs."""

import numpy as np


class Results:
    """Turns sums and outputs into logs.

    Parameters
    ----------
    metrics : list of Metric
    loss : str
        The loss's row.
    n_outputs : int
        Width of the network's output.

    Attributes
    ----------
    rows : list of str
        Rows of the kernels' table that have to be summed, in order.
    need_outputs : bool
        Whether any metric is computed from the outputs.

    Raises
    ------
    ValueError
        If a metric cannot be computed for that model.
    """

    def __init__(self, metrics, loss, n_outputs):
        self._metrics = [(metric, metric.row(loss, n_outputs)) for metric in metrics]
        self.rows = [row for _, row in self._metrics if row is not None]
        self.need_outputs = len(self.rows) < len(metrics)

    def logs(self, sums, n, y_true=None, y_pred=None):
        """Return a dict of name to float.

        Parameters
        ----------
        sums : ndarray of float64, shape (1 + rows,)
            Of the loss and the rows, over n rows of data.
        n : int
        y_true, y_pred : ndarray, optional
            As `Metric.compute` wants them; without, the metrics that need them are left out.
        """
        means = iter((sums / n).tolist())
        logs = {"loss": next(means)}
        for metric, row in self._metrics:
            if row is not None:
                logs[metric.name] = metric.finish(next(means))
            elif y_pred is not None:
                with np.errstate(all="ignore"):
                    logs[metric.name] = float(metric.compute(y_true, y_pred))
        return logs
