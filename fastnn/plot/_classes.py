"""Pictures of how well the classes are told apart, and numbers met."""

import numpy as np

from ._common import BLUE, GREY, labels_of, new_figure, shorten

_MOST_CLASSES = 100


def confusion_matrix(y_true, y_pred, *, class_names=None):
    """Draw how often each class was taken for which, with the counts.

    Parameters
    ----------
    y_true : array_like of shape (n,) or (n, classes)
        The true classes: integers, texts or one-hot rows.
    y_pred : array_like of shape (n,), (n, 1) or (n, classes)
        The predicted classes: integers, texts, or rows of probabilities as ``predict`` returns them.
    class_names : sequence of str, optional
        What to call the classes, in the order of their numbers; default: the labels that occur, sorted.

    Returns
    -------
    matplotlib.figure.Figure
        A row for each true class, a column for each predicted one. The darker a cell, the larger its share of the row.

    Raises
    ------
    ValueError
        If shapes or labels do not go together, or there are more than 100 classes.
    ImportError
        If matplotlib is not installed.
    """
    figure = new_figure()
    true, predicted, names = _pair(y_true, y_pred, class_names)
    n = len(names)
    counts = np.bincount(true * n + predicted, minlength=n * n).reshape(n, n)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    longest = 0.075 * max(map(len, names))  # inches of a name
    cell = max(0.46, 0.1 + 0.075 * len(f"{counts.max():,}"))
    figure.set_size_inches(max(n * cell + longest + 0.9, 2.2), n * cell + 0.75 * longest + 1.1)
    axes = figure.add_subplot()
    axes.imshow(shares, cmap="Greys", vmin=0, vmax=1, interpolation="nearest")
    for row, column in np.ndindex(n, n):
        count, dark = counts[row, column], shares[row, column] > 0.5
        colour = "white" if dark else "black" if count else GREY
        axes.text(column, row, f"{count:,}", ha="center", va="center", fontsize=8, color=colour)
    upright = longest > cell - 0.05
    ticks = np.arange(n)
    axes.set_xticks(ticks, names, fontsize=8, parse_math=False)
    if upright:
        axes.tick_params(axis="x", rotation=45)
        for label in axes.get_xticklabels():
            label.set(ha="right", rotation_mode="anchor")
    axes.set_yticks(ticks, names, fontsize=8, parse_math=False)
    axes.tick_params(length=0)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    axes.set_xticks(ticks[1:] - 0.5, minor=True)
    axes.set_yticks(ticks[1:] - 0.5, minor=True)
    axes.grid(which="minor", color="#d9d9d9", linewidth=0.6)
    axes.tick_params(which="minor", length=0)
    right = int(np.trace(counts))
    axes.set_title(f"accuracy {right / len(true):.1%}\n{right:,} of {len(true):,}", fontsize=10)
    return figure


def class_accuracy(y_true, y_pred, *, class_names=None):
    """Draw the share of every class that was recognised (its recall).

    Parameters
    ----------
    y_true, y_pred, class_names
        As for `confusion_matrix`.

    Returns
    -------
    matplotlib.figure.Figure
        A bar for each class, with its numbers, and a dashed line at the accuracy over all.

    Raises
    ------
    ValueError
        If shapes or labels do not go together, or there are more than 100 classes.
    ImportError
        If matplotlib is not installed.
    """
    figure = new_figure()
    true, predicted, names = _pair(y_true, y_pred, class_names)
    n = len(names)
    total = np.bincount(true, minlength=n)
    right = np.bincount(true[true == predicted], minlength=n)
    figure.set_size_inches(6.4, 0.26 * n + 1.2)
    axes = figure.add_subplot()
    ticks = np.arange(n)
    axes.barh(ticks, right / np.maximum(total, 1), height=0.7, color="#8fbfdd")
    for place, (good, count) in enumerate(zip(right, total, strict=True)):
        text = f"{good / count:.1%}  ({good:,} of {count:,})" if count else "none"
        axes.text(1.02, place, text, va="center", fontsize=8)
    overall = right.sum() / len(true)
    axes.axvline(overall, color="black", linestyle="--", linewidth=1.4)
    axes.set_yticks(ticks, names, fontsize=8, parse_math=False)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(n - 0.4, -0.6)
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    axes.set_xlabel("share of the class that was recognised")
    axes.set_title(f"accuracy over all {overall:.1%} (dashed)", fontsize=10)
    axes.grid(axis="x", color="#d9d9d9", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def regression(y_true, y_pred):
    """Draw predicted numbers against the true ones.

    Parameters
    ----------
    y_true, y_pred : array_like of shape (n,) or (n, 1)
        Finite numbers.

    Returns
    -------
    matplotlib.figure.Figure
        A dot for each row and a dashed line where both are equal. The title has the mean absolute error and
        ``R2 = 1 - sum((y - p)**2) / sum((y - mean(y))**2)``.

    Raises
    ------
    ValueError
        If shapes do not go together or a number is not finite.
    ImportError
        If matplotlib is not installed.
    """
    figure = new_figure(4.8, 4.8)
    from matplotlib.patheffects import withStroke

    true, predicted = (np.asarray(values, np.float64) for values in (y_true, y_pred))
    columns = all(values.shape in ((values.size,), (values.size, 1)) for values in (true, predicted))
    if not columns or true.size != predicted.size or not true.size:
        raise ValueError(f"expected two columns of numbers, found shapes {true.shape} and {predicted.shape}")
    true, predicted = true.ravel(), predicted.ravel()
    if not (np.isfinite(true).all() and np.isfinite(predicted).all()):
        raise ValueError("expected finite numbers, found NaN or infinity")
    axes = figure.add_subplot()
    axes.scatter(true, predicted, s=9, color=BLUE, alpha=0.6 if len(true) < 1000 else 0.3, linewidths=0)
    low, high = min(true.min(), predicted.min()), max(true.max(), predicted.max())
    axes.plot(
        [low, high],
        [low, high],
        color="black",
        linestyle="--",
        linewidth=1.4,
        path_effects=[withStroke(linewidth=3, foreground="white")],
    )
    error, spread = np.square(true - predicted).sum(), np.square(true - true.mean()).sum()
    quality = f", R2 {1 - error / spread:.3f}" if spread else ""
    axes.set_title(f"mean absolute error {np.abs(true - predicted).mean():.4g}{quality}", fontsize=10)
    axes.set_xlabel("true")
    axes.set_ylabel("predicted")
    axes.grid(color="#d9d9d9", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _pair(y_true, y_pred, class_names):
    """Return the classes as indices (n,), both int64, and the names of all."""
    true = np.asarray(y_true)
    if not true.ndim:
        raise ValueError(f"y_true: expected shape (n,) or (n, classes), found {true.shape}")
    true, _ = labels_of("y_true", true, "itself", len(true))
    predicted, _ = labels_of("predictions", y_pred, f"y_true of shape {np.shape(y_true)}", len(true))
    if (true.dtype.kind in "US") != (predicted.dtype.kind in "US"):
        raise ValueError(
            f"y_true and y_pred must both be numbers or both texts, found {true[0].item()!r} and "
            f"{predicted[0].item()!r}"
        )
    known = np.unique(np.concatenate([true, predicted])) if class_names is None else np.asarray(list(class_names))
    if class_names is None or true.dtype.kind in "US":
        order = np.argsort(known, kind="stable")
        both = []
        for what, labels in (("y_true", true), ("y_pred", predicted)):
            place = order[np.minimum(np.searchsorted(known, labels, sorter=order), len(known) - 1)]
            strange = labels[known[place] != labels]
            if strange.size:
                raise ValueError(f"{what}: {strange[0].item()!r} is not among the class_names")
            both.append(place)
        true, predicted = both
    else:
        for what, labels in (("y_true", true), ("y_pred", predicted)):
            bad = labels[(labels < 0) | (labels >= len(known))]
            if bad.size:
                raise ValueError(f"{what}: class {bad[0]} has no name, class_names has {len(known)}")
    names = known.tolist()
    if len(names) > _MOST_CLASSES:
        raise ValueError(f"expected at most {_MOST_CLASSES} classes, found {len(names)}")
    return true.astype(np.int64), predicted.astype(np.int64), [shorten(str(name)) for name in names]
