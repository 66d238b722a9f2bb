"""Targets: what a loss wants of y. Like `validation`, it changes nothing."""

import operator
from dataclasses import dataclass

import numpy as np

from . import validation
from .kernels import losses as table

_HINGES = ("hinge", "squared_hinge")
_BINARY = ("binary_crossentropy", *_HINGES)
_CROSSENTROPY = "a cross-entropy"  # what takes targets from 0 to 1
_CLASSIFICATION = "a classification (for other numbers there is task='regression')"
_CROSSENTROPIES = ("sparse_categorical_crossentropy", "categorical_crossentropy")


@dataclass(frozen=True)
class Wanted:
    """What a model wants of its targets.

    Attributes
    ----------
    loss : str
        Row of the loss in the kernels' table.
    outputs : int
        Width of the output.
    dtype : numpy.dtype
        The model's.
    classes : ndarray of str or None
        Names of the classes, as far as they are known.
    learn : bool
        Whether names of classes may be new.
    """

    loss: str
    outputs: int
    dtype: np.dtype
    classes: np.ndarray | None
    learn: bool

    @property
    def row(self):
        return table.LOSS_BY_NAME[self.loss]


@dataclass
class Targets:
    """Checked targets: y, int32 (n,) or (n, outputs); the row of the loss for them; the scale of uint8; class names."""

    y: np.ndarray
    loss: str
    scale: float = 1.0
    classes: np.ndarray | None = None


def check(y, name, wanted):
    """Check targets against the loss.

    Parameters
    ----------
    y : array_like
        Labels (n,), integers or strings, for a loss with labels and for a binary cross-entropy with one output;
        otherwise numbers (n, outputs).
    name : str
        What to call it in a message.
    wanted : Wanted

    Returns
    -------
    Targets
    """
    if wanted.row.labels:
        return _with_classes(y, name, wanted, wanted.outputs)
    values = validation.array(y, name, strings=wanted.loss in _BINARY and wanted.outputs == 1)
    if values.dtype.kind == "U":
        result = _with_classes(values, name, wanted, 2)
        result.y = result.y[:, None].astype(wanted.dtype)
        result.y = _signs(result.y, name, wanted) if wanted.loss in _HINGES else result.y
        return result
    y = numbers(values, name, wanted)
    return Targets(_signs(y, name, wanted) if wanted.loss in _HINGES else y, wanted.loss, 1.0, wanted.classes)


def _signs(y, name, wanted):
    """Return targets of a hinge, -1 and 1 or 0 and 1, as -1 and 1."""
    y = y.astype(wanted.dtype)
    low = y.min()
    wrong = (y != 1) & ((y != low) if low in (0, -1) else True)
    if wrong.any():
        raise ValueError(
            f"{name} must be -1 and 1, or 0 and 1, for the loss {wanted.loss!r}, got {y[wrong][0].item()!r}"
        )
    return np.where(y == 1, y, -1).astype(wanted.dtype)


def check_classes(y, name, wanted):
    """Check the targets of a classification, where labels, strings, one-hot rows and rows of probabilities will do.

    The loss of the result is the cross-entropy that fits the targets; other losses get one-hot rows.
    """
    values = validation.array(y, name, strings=True)
    crossentropy = wanted.loss in _CROSSENTROPIES
    if wanted.outputs == 1:
        result = check(values, name, wanted)
        if wanted.loss not in _HINGES:
            _check_unit(result.y, name, _CLASSIFICATION)
        return result
    if values.dtype.kind != "U" and values.ndim == 2 and values.shape[1] == wanted.outputs:
        y = numbers(values, name, wanted, unit=_CLASSIFICATION)
        if not crossentropy:
            return Targets(y, wanted.loss, 1.0, wanted.classes)
        if is_one_hot(y):
            return Targets(y.argmax(axis=1).astype(np.int32), _CROSSENTROPIES[0], 1.0, wanted.classes)
        sums = y.sum(axis=1, dtype=np.float64)
        wrong = np.abs(sums - 1.0) > 1e-3
        if wrong.any():
            first = int(wrong.argmax())
            raise ValueError(
                f"{name} must hold one class a sample or probabilities, but row {first} sums to "
                f"{sums[first].item()!r}; for several classes a sample there is task='multilabel'"
            )
        return Targets(y, _CROSSENTROPIES[1], 1.0, wanted.classes)
    if values.dtype.kind != "U" and values.ndim == 2 and values.size and values.shape[1] != 1:
        raise ValueError(
            f"{name} must hold one label a sample, with the shape (n,), or a row of {wanted.outputs} numbers, one an "
            f"output, but its shape is {values.shape}"
        )
    result = _with_classes(values, name, wanted, wanted.outputs)
    if crossentropy:
        result.loss = _CROSSENTROPIES[0]
    else:
        result.y = np.eye(wanted.outputs, dtype=wanted.dtype)[result.y]
    return result


def reproduce(rows, name, wanted, scale):
    """Take the inputs, checked rows, for targets; uint8 is scaled as it is in the input, for both are one thing."""
    if rows.shape[1] != wanted.outputs:
        raise ValueError(
            f"{name} are the inputs, of the shape {rows.shape}, but the model has {wanted.outputs} outputs"
        )
    if wanted.row.link is not None:
        _check_unit(rows, name, _CROSSENTROPY, scale)
    return Targets(rows, wanted.loss, scale)


def _with_classes(y, name, wanted, n_classes):
    values = label_array(y, name)
    classes = wanted.classes
    if values.dtype.kind == "U" and classes is None and wanted.learn:
        classes = find_classes(values, name, n_classes)
    return Targets(labels(values, name, n_classes, classes), wanted.loss, 1.0, classes)


def class_weights(targets, weights, outputs):
    """Return the weight of every row by its class (n,), float64."""
    y = targets.y
    if y.dtype == np.uint8:
        y = y * np.float32(targets.scale)
    if y.ndim == 1:
        index, n_classes = y, outputs
    elif targets.loss in _BINARY and outputs == 1:
        index, n_classes = (y[:, 0] > 0.5).astype(np.int64), 2
    elif outputs > 1 and (
        targets.loss == "categorical_crossentropy" or is_one_hot(y > 0 if targets.loss in _HINGES else y)
    ):
        index, n_classes = y.argmax(axis=1), outputs
    else:
        raise ValueError("class_weight needs targets that are classes, one a sample; use sample_weight instead")
    return class_weight(weights, n_classes, targets.classes)[index]


def label_array(y, name):
    """Return labels as an array (n,), not yet checked against the classes."""
    values = validation.array(y, name, strings=True)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.size == 0:
        raise ValueError(f"{name} is empty: its shape is {values.shape}")
    if values.ndim != 1:
        hint = "; for rows of probabilities use the loss 'categorical_crossentropy'" if values.ndim == 2 else ""
        raise ValueError(f"{name} must hold one label a sample, with the shape (n,), not {values.shape}{hint}")
    return values


def find_classes(values, name, n_classes):
    """Return the sorted distinct strings in `values`, of which there must be `n_classes`."""
    classes = np.unique(values)
    if len(classes) != n_classes:
        shown = ", ".join(map(repr, classes[:10].tolist())) + (", ..." if len(classes) > 10 else "")
        raise ValueError(f"{name} has {len(classes)} classes ({shown}), but the model has outputs for {n_classes}")
    return classes


def labels(values, name, n_classes, classes=None):
    """Check labels.

    Parameters
    ----------
    values : ndarray, shape (n,)
        From `label_array`.
    name : str
    n_classes : int
    classes : ndarray of str, optional
        Sorted names of the classes; strings are looked up in it.

    Returns
    -------
    ndarray of int32, shape (n,)
    """
    if values.dtype.kind == "U":
        if classes is None:
            found = values[0].item()
            raise TypeError(f"{name} holds strings ({found!r}), but the model was trained with integer labels")
        index = np.minimum(np.searchsorted(classes, values), len(classes) - 1)
        wrong = classes[index] != values
        if wrong.any():
            first = int(wrong.argmax())
            raise ValueError(
                f"{name} has an unknown class {values[first].item()!r} at index {first}; the model knows "
                f"{classes.tolist()}"
            )
        return index.astype(np.int32)
    if values.dtype.kind == "f":
        validation.check_finite(values, values, name)
        wrong = values != np.floor(values)
        if wrong.any():
            first = int(wrong.argmax())
            raise ValueError(f"{name} must hold integer labels, got {values[first].item()!r} at index {first}")
    if values.dtype.kind != "b" and not (values.min() >= 0 and values.max() < n_classes):
        first = int(((values < 0) | (values >= n_classes)).argmax())
        raise ValueError(
            f"{name} has the label {values[first].item()!r} at index {first}; labels must lie in 0 to "
            f"{n_classes - 1}, for the model has {n_classes} outputs"
        )
    return np.require(values, np.int32, "CA")


def numbers(y, name, wanted, unit=None):
    """Check targets with a number for every output.

    Parameters
    ----------
    y : ndarray, shape (n, outputs), or (n,) for one output
        From `validation.array`.
    name : str
    wanted : Wanted
    unit : str, optional
        For what they must lie in [0, 1] even if the loss does not say so.

    Returns
    -------
    ndarray, shape (n, outputs)
        C-contiguous; uint8 where `y` is, otherwise the model's dtype and finite.
    """
    if y.ndim == 0:
        raise ValueError(f"{name} must have one row a sample, got the single value {y.item()!r}")
    if y.size == 0:
        raise ValueError(f"{name} is empty: its shape is {y.shape}")
    found = y.size // len(y)
    if found != wanted.outputs:
        hint = ""
        if found == 1 and wanted.row.link == "softmax":
            hint = "; for labels use the loss 'sparse_categorical_crossentropy'"
        raise ValueError(
            f"{name} has the shape {y.shape}, which is {found} values a sample, but the model has {wanted.outputs} "
            f"outputs{hint}"
        )
    result = validation.real(y, name, wanted.dtype).reshape(len(y), found)
    if unit or wanted.row.link is not None:
        _check_unit(result, name, unit or _CROSSENTROPY)
    return result


def _check_unit(y, name, what, scale=1.0):
    factor = scale if y.dtype == np.uint8 else 1.0
    low, high = float(y.min()) * factor, float(y.max()) * factor
    if low < 0.0 or high > 1.0:
        raise ValueError(f"{name} must lie in [0, 1] for {what}, but it goes from {low!r} to {high!r}")


def is_one_hot(y):
    """Whether the rows of an array (n, classes) hold a single one among zeros."""
    return bool(((y == 0) | (y == 1)).all() and (np.count_nonzero(y, axis=1) == 1).all())


def class_weight(weights, n_classes, classes=None):
    """Return the weight of every class (n_classes,), float64; classes that are not named weigh 1.

    Parameters
    ----------
    weights : dict
        Class (a label, or a name where `classes` is given) to weight.
    n_classes : int
    classes : ndarray of str, optional
    """
    if not isinstance(weights, dict):
        raise TypeError(f"class_weight must be a dict of class to weight, got {weights!r}")
    result = np.ones(n_classes)
    names = None if classes is None else classes.tolist()
    for key, value in weights.items():
        if names is not None and isinstance(key, str):
            if key not in names:
                raise ValueError(f"class_weight has the unknown class {key!r}; the model knows {names}")
            index = names.index(key)
        else:
            try:
                index = operator.index(key)
            except TypeError:
                index = -1
            if not 0 <= index < n_classes:
                raise ValueError(f"class_weight has the unknown class {key!r}; labels lie in 0 to {n_classes - 1}")
        result[index] = validation.number(f"the weight of class {key!r} in class_weight", value, low=0.0)
    return result
