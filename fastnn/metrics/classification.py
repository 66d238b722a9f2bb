"""Metrics of classes."""

import numpy as np

from .. import validation
from .base import Metric


def _one_hot(y_true, n_outputs):
    """Targets as booleans (n, outputs); labels become one-hot rows."""
    if y_true.ndim == 2:
        return y_true > 0.5
    return y_true[:, None] == np.arange(n_outputs)


def _classes(y_true):
    """Targets as labels (n,)."""
    return y_true.argmax(axis=1) if y_true.ndim == 2 else y_true


def _ratio(a, b):
    """a / b, and 0 where b is 0, as Keras has it."""
    return np.divide(a, b, out=np.zeros(np.broadcast(a, b).shape), where=np.asarray(b) != 0)


class CategoricalAccuracy(Metric):
    """Share of rows whose largest output is that of the largest target."""

    identifier = kernel = "categorical_accuracy"
    direction = "max"
    takes_labels = True

    def compute(self, y_true, y_pred):
        return float((y_pred.argmax(axis=1) == _classes(y_true)).mean())


class SparseCategoricalAccuracy(CategoricalAccuracy):
    """Share of rows whose largest output is that of the label."""

    identifier = "sparse_categorical_accuracy"


class BinaryAccuracy(Metric):
    """Share of outputs on the right side of a threshold.

    Parameters
    ----------
    name : str, optional
    threshold : float, default 0.5
        For probabilities; outputs that are logits are compared with 0 by default.
    """

    identifier = "binary_accuracy"
    direction = "max"

    def __init__(self, name=None, threshold=0.5):
        super().__init__(name)
        self.threshold = validation.number("threshold", threshold)

    @property
    def kernel(self):
        return "binary_accuracy" if self.threshold == 0.5 else None

    def compute(self, y_true, y_pred):
        return float(((y_pred > self.threshold) == (y_true > 0.5)).mean())


class Accuracy(Metric):
    """What "accuracy" means: `BinaryAccuracy` for a binary cross-entropy or one output, else `CategoricalAccuracy`."""

    identifier = "accuracy"
    direction = "max"
    takes_labels = True

    def row(self, loss, n_outputs):
        if loss == "binary_crossentropy" or n_outputs == 1:
            return BinaryAccuracy(self.name).row(loss, n_outputs)
        return CategoricalAccuracy(self.name).row(loss, n_outputs)

    def compute(self, y_true, y_pred):
        kind = BinaryAccuracy if y_pred.shape[1] == 1 else CategoricalAccuracy
        return kind(self.name).compute(y_true, y_pred)


class TopKCategoricalAccuracy(Metric):
    """Share of rows for which fewer than k outputs are larger than that of the right class.

    Parameters
    ----------
    k : int, default 5
    name : str, optional
    """

    identifier = "top_k_categorical_accuracy"
    direction = "max"
    takes_labels = True

    def __init__(self, k=5, name=None):
        super().__init__(name)
        self.k = validation.integer("k", k, low=1)

    def compute(self, y_true, y_pred):
        right = np.take_along_axis(y_pred, _classes(y_true)[:, None].astype(np.int64), axis=1)
        # Written so that NaN is wrong.
        larger = (~(y_pred <= right)).sum(axis=1)
        return float((larger < self.k).mean())


class SparseTopKCategoricalAccuracy(TopKCategoricalAccuracy):
    """Share of rows for which fewer than k outputs are larger than that of the label.

    Parameters
    ----------
    k : int, default 5
    name : str, optional
    """

    identifier = "sparse_top_k_categorical_accuracy"


class _Positives(Metric):
    direction = "max"
    takes_labels = True

    def __init__(self, thresholds=None, top_k=None, class_id=None, name=None):
        super().__init__(name)
        self.thresholds = None if thresholds is None else validation.number("thresholds", thresholds)
        self.top_k = None if top_k is None else validation.integer("top_k", top_k, low=1)
        self.class_id = None if class_id is None else validation.integer("class_id", class_id, low=0)

    def row(self, loss, n_outputs):
        for name, value, most in (("top_k", self.top_k, n_outputs), ("class_id", self.class_id, n_outputs - 1)):
            if value is not None and value > most:
                raise ValueError(f"{name}={value} is too large for the metric of a model with {n_outputs} outputs")
        return super().row(loss, n_outputs)

    def _split(self, y_true, y_pred):
        """Count right positives, all that were taken for positive, and all that are."""
        actual = _one_hot(y_true, y_pred.shape[1])
        threshold = self.thresholds
        if threshold is None:
            threshold = 0.5 if self.top_k is None else -np.inf
        taken = y_pred > threshold
        if self.top_k is not None:
            first = np.argsort(-y_pred, axis=1, kind="stable")[:, : self.top_k]
            among = np.zeros_like(taken)
            np.put_along_axis(among, first, True, axis=1)
            taken &= among
        if self.class_id is not None:
            actual, taken = actual[:, self.class_id], taken[:, self.class_id]
        return (actual & taken).sum(), taken.sum(), actual.sum()


class Precision(_Positives):
    """Share of the outputs above a threshold whose targets are 1, over all outputs together; 0 where there are none.

    Parameters
    ----------
    thresholds : float, default 0.5
        One number; none with `top_k`.
    top_k : int, optional
        Only the k largest outputs of a row can be positive.
    class_id : int, optional
        The only output to look at.
    name : str, optional
    """

    identifier = "precision"

    def compute(self, y_true, y_pred):
        right, taken, _ = self._split(y_true, y_pred)
        return float(_ratio(right, taken))


class Recall(_Positives):
    """Share of the targets of 1 whose outputs are above a threshold, over all outputs together; 0 where there are none.

    Parameters
    ----------
    thresholds, top_k, class_id, name
        As for `Precision`.
    """

    identifier = "recall"

    def compute(self, y_true, y_pred):
        right, _, actual = self._split(y_true, y_pred)
        return float(_ratio(right, actual))


class F1Score(Metric):
    """Harmonic mean of precision and recall.

    Parameters
    ----------
    average : {"micro", "macro", "weighted"} or None, default None
        How the classes become one number: all counted together, their mean, or their mean weighted by how often each
        occurs. None gives an array (outputs,), which a history cannot hold: `compile` refuses it.
    threshold : float, optional
        What is positive; by default the largest output of a row.
    name : str, optional
    """

    identifier = "f1_score"
    direction = "max"
    takes_labels = True

    def __init__(self, average=None, threshold=None, name=None):
        super().__init__(name)
        if average is not None:
            average = validation.choice("average", average, ("micro", "macro", "weighted"))
        self.average = average
        self.threshold = None if threshold is None else validation.number("threshold", threshold)

    def row(self, loss, n_outputs):
        if self.average is None:
            raise ValueError(
                f"the metric {self.name!r} has one value a class, and a history one an epoch: give F1Score an average, "
                "'micro', 'macro' or 'weighted'"
            )
        self._need_outputs(n_outputs)
        return super().row(loss, n_outputs)

    def _need_outputs(self, n_outputs):
        if n_outputs == 1 and self.threshold is None:
            raise ValueError(f"the metric {self.name!r} of one output needs a threshold, such as 0.5")

    def compute(self, y_true, y_pred):
        self._need_outputs(y_pred.shape[1])
        actual = _one_hot(y_true, y_pred.shape[1])
        if self.threshold is None:
            taken = y_pred.argmax(axis=1)[:, None] == np.arange(y_pred.shape[1])
        else:
            taken = y_pred > self.threshold
        axis = None if self.average == "micro" else 0
        right = (actual & taken).sum(axis=axis)
        scores = _ratio(2.0 * right, taken.sum(axis=axis) + actual.sum(axis=axis))
        if self.average is None:
            return scores
        if self.average == "weighted":
            counts = actual.sum(axis=0)
            return float((scores * _ratio(counts, counts.sum())).sum())
        return float(scores.mean())


class AUC(Metric):
    """Area under the ROC curve: how often a target of 1 has the larger output than a target of 0, ties counting half.

    It is exact, where Keras's is interpolated between 200 thresholds; NaN where all targets are alike.

    Parameters
    ----------
    curve : {"ROC"}, default "ROC"
    name : str, optional
    multi_label : bool, default False
        Whether to take the mean over the outputs; otherwise all outputs are counted together.
    """

    identifier = "auc"
    direction = "max"
    takes_labels = True

    def __init__(self, curve="ROC", name=None, multi_label=False):
        super().__init__(name)
        if curve != "ROC":
            raise ValueError(f"curve must be 'ROC', got {curve!r}")
        self.curve = curve
        self.multi_label = validation.flag("multi_label", multi_label)

    def compute(self, y_true, y_pred):
        actual = _one_hot(y_true, y_pred.shape[1])
        if self.multi_label:
            return float(np.mean([_area(actual[:, i], y_pred[:, i]) for i in range(y_pred.shape[1])]))
        return _area(actual.ravel(), y_pred.ravel())


def _area(actual, scores):
    _, group = np.unique(scores, return_inverse=True)
    positive = np.bincount(group, actual)
    negative = np.bincount(group, ~actual)
    pairs = positive.sum() * negative.sum()
    below = np.cumsum(negative) - negative
    return float((positive * (below + 0.5 * negative)).sum() / pairs) if pairs else float("nan")
