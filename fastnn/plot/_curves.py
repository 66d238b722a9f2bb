"""Pictures of numbers over the course of a training."""

import math
import textwrap

import numpy as np

from ._common import BLUE, RED, new_figure, scale_values


def history(history):
    """Plot the loss and every metric of a training, epoch by epoch.

    Parameters
    ----------
    history : History or dict
        What ``fit`` returns, or its ``history``: a list of numbers, one an epoch, for each name. ``val_<name>`` holds
        the same quantity on the validation data.

    Returns
    -------
    matplotlib.figure.Figure
        An axes for each quantity, loss first. Training is a full line with dots, validation dashed with squares. The
        vertical axis is logarithmic where the numbers are positive and the largest is over 1000 times the smallest.

    Raises
    ------
    ValueError
        If there is nothing to plot, or an entry is not a list of numbers.
    ImportError
        If matplotlib is not installed.
    """
    curves = _curves(getattr(history, "history", history))
    titles = list(dict.fromkeys(name.removeprefix("val_") for name in curves))
    titles.sort(key=lambda name: name != "loss")  # stable: the rest keeps its order

    columns = min(len(titles), 3)
    rows = math.ceil(len(titles) / columns)
    figure = new_figure(max(4.2 * columns, 5), 3.4 * rows)
    for place, title in enumerate(titles, start=1):
        axes = figure.add_subplot(rows, columns, place)
        _plot_curves(axes, title, curves.get(title), curves.get(f"val_{title}"))
    return figure


def _curves(history):
    """Return {name: float64 array of shape (epochs,)}, or raise ValueError."""
    if not isinstance(history, dict):
        raise ValueError(
            f"expected a History or a dict of lists such as {{'loss': [0.5, 0.4]}}, found {type(history).__name__}"
        )
    curves = {}
    for name, values in history.items():
        try:
            curve = np.asarray(values, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(f"history[{name!r}]: expected a list of numbers: {error}") from error
        if curve.ndim != 1:
            raise ValueError(f"history[{name!r}]: expected shape (epochs,), found {curve.shape}")
        if curve.size:
            curves[str(name)] = curve
    if not curves:
        raise ValueError("the history is empty: nothing was trained yet")
    return curves


def _plot_curves(axes, title, training, validation):
    """Draw one quantity; either curve may be None."""
    styles = (
        ("training", training, {"color": BLUE, "linestyle": "-", "marker": "o", "markerfacecolor": BLUE}),
        ("validation", validation, {"color": RED, "linestyle": "--", "marker": "s", "markerfacecolor": "white"}),
    )
    epochs = max(len(curve) for _, curve, _ in styles if curve is not None)
    every = math.ceil(epochs / 20)  # more markers than that hide the line
    for start, (label, curve, style) in zip((0, every // 2), styles, strict=True):
        if curve is not None:
            # Markers of the two curves take turns where there are many, or one would cover the other.
            markevery = (min(start, len(curve) - 1), every)
            x = np.arange(1, len(curve) + 1)
            label += "" if np.isfinite(curve).any() else " (no finite number)"
            axes.plot(x, curve, label=label, linewidth=1.6, markersize=4.5, markevery=markevery, clip_on=False, **style)
    scale_values(axes, np.concatenate([curve for _, curve, _ in styles if curve is not None]))
    axes.set_xlim(0.5, epochs + max(0.5, 0.03 * epochs))
    axes.xaxis.get_major_locator().set_params(nbins=10, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1)
    axes.set_title(textwrap.fill(title.replace("_", " "), 36), fontsize=11, parse_math=False)
    axes.set_xlabel("epoch")
    axes.grid(color="#d9d9d9", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    if validation is not None:
        axes.legend(frameon=False, fontsize=9)


def lr_finder(found):
    """Plot the loss against the learning rate, and the rate that is suggested.

    Parameters
    ----------
    found : LRFind
        What ``fastnn.lr_find`` returns, or anything with ``rates`` and ``losses`` of shape (steps,) and a
        ``suggestion`` that may be None.

    Returns
    -------
    matplotlib.figure.Figure
        The rates are on a logarithmic axis. A dashed line is at the suggestion.

    Raises
    ------
    ValueError
        If the shapes do not go together or a rate is not positive.
    ImportError
        If matplotlib is not installed.
    """
    figure = new_figure(6.4, 3.8)
    rates, losses = (np.asarray(values, np.float64) for values in (found.rates, found.losses))
    if rates.ndim != 1 or rates.shape != losses.shape or not rates.size or not (rates > 0).all():
        raise ValueError(f"expected positive rates and as many losses, found shapes {rates.shape} and {losses.shape}")
    axes = figure.add_subplot()
    axes.plot(rates, losses, color=BLUE, linewidth=1.6)
    axes.set_xscale("log")
    scale_values(axes, losses)
    axes.set_xlabel("learning rate")
    axes.set_ylabel("loss, averaged with neighbours")
    text = "no suggestion: the loss hardly fell"
    if found.suggestion is not None:
        axes.axvline(found.suggestion, color="black", linestyle="--", linewidth=1.4)
        text = f"suggestion {found.suggestion:.2g} (dashed): most of the fall is done"
    axes.set_title(text, fontsize=10)
    axes.grid(color="#d9d9d9", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return figure
