"""Pictures of what an autoencoder makes of its inputs."""

import numpy as np

from ._common import GREY, labels_of, names_of, new_figure, pictures_of, shorten
from ._sheets import draw_mosaic

# Ten colours that the colour-blind tell apart, each with a marker of its own: in grey the markers and the names count.
_STYLES = (
    ("#0072b2", "o"),
    ("#d55e00", "s"),
    ("#009e73", "^"),
    ("#cc79a7", "v"),
    ("#56b4e9", "D"),
    ("#8c6d00", "P"),
    ("#332288", "X"),
    ("#882255", "<"),
    ("#44aa99", ">"),
    ("#555555", "*"),
)
_MOST_NAMES = 20  # classes above which names would hide the points


def reconstructions(originals, reconstructed, *, errors=None, shape=None, columns=10, max_images=20):
    """Draw images with what an autoencoder made of them: originals above, reconstructions below.

    Parameters
    ----------
    originals : array_like of shape (n, h, w), (n, h, w, 1 or 3 or 4) or (n, inputs)
        Integers count from 0 to 255, floats from 0 to 1.
    reconstructed : array_like of as many values a row
        As ``predict`` returns them.
    errors : array_like of shape (n,), optional
        Numbers to write below the reconstructions, as ``reconstruction_error`` returns them.
    shape : tuple of int, optional
        Shape of an image where the rows are flat and the images not square.
    columns : int, default 10
        Pairs a row.
    max_images : int, default 20
        How many pairs are drawn, from the first.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If shapes do not go together.
    ImportError
        If matplotlib is not installed.
    """
    figure = new_figure()
    above = pictures_of("originals", originals, shape)
    below = pictures_of("reconstructed", reconstructed, above.shape[1:])
    if len(above) != len(below):
        raise ValueError(f"expected as many reconstructions as originals, found {len(below)} and {len(above)}")
    if errors is not None and np.shape(errors) != (len(above),):
        raise ValueError(f"errors: expected shape ({len(above)},), found {np.shape(errors)}")
    above, below = (_unit(pictures[:max_images]) for pictures in (above, below))
    count, columns = len(above), min(columns, len(above))
    notes = [""] * count if errors is None else [f"{error:.3g}" for error in np.asarray(errors)[:count].tolist()]
    tiles, texts = [], []
    for start in range(0, count, columns):  # rows of originals and rows of reconstructions take turns
        blank = np.full((columns - len(above[start : start + columns]), *above.shape[1:]), np.nan)
        for pictures in (above, below):
            tiles += [pictures[start : start + columns], blank]
        texts += [""] * columns + notes[start : start + columns] + [""] * len(blank)
    draw_mosaic(figure, np.concatenate(tiles), columns, names=("original", "reconstructed"), notes=texts)
    return figure


def _unit(pictures):
    """Images as floats on a scale where black is 0 and white is 1."""
    return pictures / 255 if pictures.dtype.kind in "ui" else pictures.astype(np.float64)


def samples(model, x, *, shape=None, columns=10, max_images=50, seed=0):
    """Draw what an autoencoder decodes from codes drawn at random.

    The codes come from the normal distribution with the mean and the covariance of the codes of `x`, clipped to the
    range that each of them has there.

    Parameters
    ----------
    model : Autoencoder
    x : array_like of shape (n, ...)
        Inputs, at least two.
    shape : tuple of int, optional
        Shape of an image where that of `x` does not tell and the images are not square.
    columns : int, default 10
        Images a row.
    max_images : int, default 50
        How many images are drawn.
    seed : int, default 0

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If `x` has fewer than two rows, or the outputs are not images.
    ImportError
        If matplotlib is not installed.
    """
    figure = new_figure()
    if shape is None and np.ndim(x) > 2:
        shape = np.shape(x)[1:]
    codes = model.encode(x).astype(np.float64)
    if len(codes) < 2:
        raise ValueError(f"x: expected at least 2 rows, found {len(codes)}")
    covariance = np.atleast_2d(np.cov(codes, rowvar=False))
    drawn = np.random.default_rng(seed).multivariate_normal(
        codes.mean(axis=0), covariance, max_images, check_valid="ignore", method="eigh"
    )
    drawn = np.clip(drawn, codes.min(axis=0), codes.max(axis=0))
    pictures = pictures_of("outputs", model.decode(drawn), shape)
    draw_mosaic(figure, pictures, min(columns, len(pictures)), title="decoded from codes drawn at random")
    return figure


def codes(codes, labels=None, *, class_names=None, max_points=5000):
    """Draw codes in two dimensions, coloured by label.

    Codes wider than 2 are projected on the two directions of largest variance (principal components). A code of
    width 1 is drawn against the class.

    Parameters
    ----------
    codes : array_like of shape (n, code)
        As ``encode`` returns them, finite.
    labels : array_like of shape (n,) or (n, classes), optional
        Integers, texts or one-hot rows. More than 20 different ones are shown by a scale of brightness.
    class_names : sequence of str, optional
        What to call the classes, in the order of their numbers.
    max_points : int, default 5000
        How many codes are drawn, from the first. The projection takes all.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If shapes do not go together or a code is not finite.
    ImportError
        If matplotlib is not installed.
    """
    figure = new_figure(7, 5.6)
    points = np.asarray(codes)
    if points.ndim != 2 or not points.size or points.dtype.kind not in "biuf" or not np.isfinite(points).all():
        raise ValueError(f"codes: expected finite numbers of shape (n, code), found {points.dtype} {points.shape}")
    values = np.zeros(len(points), np.int64)
    if labels is not None:
        values, _ = labels_of("labels", labels, f"codes of shape {points.shape}", len(points))
    classes, index = np.unique(values, return_inverse=True)
    flat, titles = _flat(points.astype(np.float64), index if labels is not None else None)
    flat, index = flat[:max_points], index[:max_points]
    axes = figure.add_subplot()
    axes.set_xlabel(titles[0])
    axes.set_ylabel(titles[1])
    axes.grid(color="#e4e4e4", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    if len(points) > max_points:
        axes.set_title(f"first {max_points:,} of {len(points):,}", fontsize=10)
    size = 9 if len(flat) > 2000 else 16
    if labels is None and points.shape[1] == 1:
        axes.set_yticks([])  # the height only keeps the dots apart
    if labels is None or len(classes) > _MOST_NAMES:
        numbers = classes[index] if classes.dtype.kind in "biuf" else index
        colours = {"color": GREY} if labels is None else {"c": numbers, "cmap": "viridis"}
        dots = axes.scatter(*flat.T, s=size, linewidths=0, **colours)
        if labels is not None:
            figure.colorbar(dots, label="label" if classes.dtype.kind in "biuf" else "number of the label, sorted")
        return figure
    names = [shorten(name) for name in names_of("labels", classes, class_names)]
    if points.shape[1] == 1:
        axes.set_yticks(range(len(classes)), names, parse_math=False)
    tags = []
    for number, name in enumerate(names):
        mine = flat[index == number]
        if not len(mine):
            continue
        colour, marker = _STYLES[number % len(_STYLES)]
        filled = number < len(_STYLES)
        paint = {"facecolors": colour, "linewidths": 0} if filled else {"facecolors": "none", "linewidths": 0.8}
        axes.scatter(*mine.T, s=size, marker=marker, alpha=0.65, edgecolors=colour, **paint)
        tags.append((name, np.median(mine, axis=0), colour))
    if points.shape[1] > 1:
        _explain_markers(figure, axes.collections, [name for name, _, _ in tags])
        if len(classes) <= len(_STYLES):
            _name_clouds(figure, axes, tags)
    return figure


def _flat(points, index):
    """Return the codes in two dimensions (n, 2), and what the axes are called."""
    if points.shape[1] == 1:
        jitter = np.random.default_rng(0).uniform(-0.3, 0.3, len(points))
        height = jitter if index is None else index + jitter
        return np.column_stack([points[:, 0], height]), ("code", "class" if index is not None else "")
    if points.shape[1] == 2:
        return points, ("first number of the code", "second number of the code")
    centred = points - points.mean(axis=0)
    variances, directions = np.linalg.eigh(centred.T @ centred)
    directions, variances = directions[:, :-3:-1], variances[::-1]
    # The sign of a direction is free: its largest entry is positive.
    largest = np.abs(directions).argmax(axis=0)
    directions = directions * np.where(directions[largest, [0, 1]] < 0, -1, 1)
    shares = variances[:2] / (variances.sum() or 1.0)
    return centred @ directions, tuple(
        f"{place} principal component of {points.shape[1]} ({share:.0%} of the variance)"
        for place, share in zip(("first", "second"), shares, strict=True)
    )


def _explain_markers(figure, dots, names):
    """Write beside the points which marker is which class."""
    numbers = list(map(str, range(len(names))))  # in place of names, some of which a legend would leave out
    legend = figure.legend(dots, numbers, loc="outside right upper", frameon=False, fontsize=9, markerscale=1.6)
    for handle, text, name in zip(legend.legend_handles, legend.get_texts(), names, strict=True):
        handle.set_alpha(1)
        text.set(text=name, parse_math=False)


def _name_clouds(figure, axes, tags):
    """Write the name of every class at the middle of its points, moved until no two names overlap."""
    texts = [
        axes.annotate(
            name,
            middle,
            xytext=(0, 0),
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=9,
            fontweight="bold",
            color="black",
            bbox={"boxstyle": "round,pad=0.2", "facecolor": "white", "edgecolor": colour, "linewidth": 1.6},
            arrowprops={"arrowstyle": "-", "color": "black", "linewidth": 0.8, "shrinkA": 0, "shrinkB": 0},
            parse_math=False,
            zorder=3,
        )
        for name, middle, colour in tags
    ]
    figure.draw_without_rendering()
    boxes = [text.get_bbox_patch().get_window_extent() for text in texts]
    centres = np.array([[(box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2] for box in boxes])
    half = np.array([[box.width / 2 + 3, box.height / 2 + 3] for box in boxes])
    start = centres.copy()
    frame = axes.get_window_extent()
    for _ in range(500):
        moved = False
        for a in range(len(texts)):
            for b in range(a):
                gap = centres[a] - centres[b]
                overlap = half[a] + half[b] - np.abs(gap)
                if (overlap > 0).all():
                    axis = int(overlap.argmin())
                    push = overlap[axis] / 2 + 0.5
                    sign = 1 if gap[axis] >= 0 else -1
                    centres[a, axis] += sign * push
                    centres[b, axis] -= sign * push
                    moved = True
        centres = np.clip(centres, half + frame.min, frame.max - half)
        if not moved:
            break
    for text, shift in zip(texts, centres - start, strict=True):
        text.set_position(tuple(shift * 72 / figure.dpi))
