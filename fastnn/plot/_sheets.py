"""Sheets of images."""

import math

import numpy as np

from ._common import GREY, RED, new_figure, shorten

_CELL_FONT = 8  # points
_CROSS = "\u00d7"  # in every font, unlike the heavier crosses
_ONE_LINE = 14  # characters above which a title takes two lines


def images(images, labels=None, predictions=None, *, class_names=None, columns=10, max_images=50):
    """Draw a sheet of images with their classes, true and predicted.

    Parameters
    ----------
    images : array_like of shape (n, h, w), (n, h, w, 1), (n, h, w, 3), (n, h, w, 4) or (n, h * h)
        Grey or colour images, or flattened square grey ones. Integers count from 0 to 255, floats from 0 to 1; grey
        floats outside that range are scaled to the smallest and largest of the sheet.
    labels : array_like of shape (n,) or (n, classes), optional
        The true classes: integers, texts or one-hot rows.
    predictions : array_like of shape (n,), (n, 1) or (n, classes), optional
        The predicted classes: integers, texts, or rows of probabilities as ``predict`` returns them, whose largest is
        then shown. (n, 1) is the probability of class 1 of two.
    class_names : sequence of str, optional
        What to call the classes, such as ``fastnn.datasets.class_names("fashion-mnist")``; default: their numbers.
    columns : int, default 10
        Images a row.
    max_images : int, default 50
        How many images are drawn, from the first.

    Returns
    -------
    matplotlib.figure.Figure
        An axes for each image, titled "true / predicted". Wrong predictions have a thick frame, a bold title and a
        cross before it.

    Raises
    ------
    ValueError
        If shapes do not go together, or a class has no name.
    ImportError
        If matplotlib is not installed.
    """
    figure = new_figure()
    pictures = _pictures(images)
    total, count = len(pictures), min(len(pictures), max_images)
    if columns < 1 or max_images < 1:
        raise ValueError(f"expected columns and max_images of at least 1, found {columns} and {max_images}")
    true, _ = _classes("labels", labels, images, class_names)
    predicted, probabilities = _classes("predictions", predictions, images, class_names)
    pictures = pictures[:count]
    titles, wrong = _titles(true, predicted, probabilities, count)

    columns = min(columns, count)
    rows = math.ceil(count / columns)
    width, height = _cell_size(titles, pictures.shape[1:3])
    note = _note(true, predicted, wrong, count, total)
    figure.set_size_inches(max(columns * width, 3.2), rows * height + (0.35 if note else 0.1))
    figure.get_layout_engine().set(w_pad=0.03, h_pad=0.03, wspace=0.04, hspace=0.04)
    if note:
        figure.suptitle(note, fontsize=9, color="#404040")
    scale = _grey_scale(pictures)
    for index in range(count):
        axes = figure.add_subplot(rows, columns, index + 1)
        axes.imshow(pictures[index], interpolation="nearest", **scale)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set(color=RED if wrong[index] else GREY, linewidth=3 if wrong[index] else 0.5)
        axes.set_title(
            titles[index],
            fontsize=_CELL_FONT,
            pad=4,
            color=RED if wrong[index] else "black",
            fontweight="bold" if wrong[index] else "normal",
            parse_math=False,  # a name may hold dollar signs
        )
    return figure


def _pictures(images):
    """Return images of shape (n, h, w), or (n, h, w, 3 or 4) with values that matplotlib takes as they are."""
    pictures = np.asarray(images)
    if pictures.dtype.kind not in "buif":
        raise ValueError(f"images: expected numbers, found {pictures.dtype}")
    shape = pictures.shape
    if pictures.ndim == 2 and math.isqrt(shape[1]) ** 2 == shape[1]:
        pictures = pictures.reshape(shape[0], math.isqrt(shape[1]), math.isqrt(shape[1]))
    elif pictures.ndim == 4 and shape[3] == 1:
        pictures = pictures[..., 0]
    elif not (pictures.ndim == 3 or (pictures.ndim == 4 and shape[3] in (3, 4))):
        raise ValueError(
            f"images: expected shape (n, h, w), (n, h, w, 1 or 3 or 4) or (n, h * h), found {shape}; a single image is "
            f"images[None]"
        )
    if not pictures.size:
        raise ValueError(f"images: expected at least one image, found shape {shape}")
    if pictures.ndim == 4:
        pictures = np.clip(pictures, 0, 1 if pictures.dtype.kind in "bf" else 255)
        return pictures.astype(np.float32 if pictures.dtype.kind in "bf" else np.uint8)
    return pictures


def _grey_scale(pictures):
    """The arguments of imshow that make the greys of all images comparable."""
    if pictures.ndim == 4:
        return {}
    low, high = 0, 255 if pictures.dtype.kind in "ui" else 1
    finite = pictures[np.isfinite(pictures)]
    if finite.size and pictures.dtype.kind == "f" and (finite.min() < low or finite.max() > high):
        low, high = finite.min(), finite.max()
    return {"cmap": "gray", "vmin": low, "vmax": high}


def _classes(what, values, images, class_names):
    """Return (names, probabilities): lists of str and of float, each None where there is nothing to tell."""
    if values is None:
        return None, None
    values = np.asarray(values)
    shape, expected = values.shape, np.shape(images)
    if values.ndim not in (1, 2) or len(values) != expected[0] or 0 in shape:
        raise ValueError(
            f"{what}: expected shape ({expected[0]},) or ({expected[0]}, classes) to go with images of shape "
            f"{expected}, found {shape}"
        )
    probabilities = None
    graded = what == "predictions" and values.dtype.kind == "f"  # probabilities, not one-hot rows
    if values.ndim == 2 and shape[1] == 1:
        # A sigmoid's output is the probability of class 1; otherwise it is a column of classes.
        values = np.hstack([1 - values, values]) if graded else values[:, 0]
    if values.ndim == 2:
        if graded:
            probabilities = values.max(axis=1).tolist()
        values = values.argmax(axis=1)
    if values.dtype.kind == "f" and np.isfinite(values).all() and (values == np.round(values)).all():
        values = values.astype(np.int64)
    if class_names is None or values.dtype.kind not in "bui":
        return [str(value) for value in values.tolist()], probabilities
    values = values.astype(np.int64)
    bad = values[(values < 0) | (values >= len(class_names))]
    if bad.size:
        raise ValueError(f"{what}: class {bad[0]} has no name, class_names has {len(class_names)}")
    return [str(class_names[value]) for value in values], probabilities


def _titles(true, predicted, probabilities, count):
    """Return the titles of the first `count` images and whether each prediction is wrong."""
    wrong = [bool(true and predicted) and true[index] != predicted[index] for index in range(count)]
    parts = []
    for index in range(count):
        part = []
        if true:
            part.append(shorten(true[index]))
        if predicted:
            chance = f" {probabilities[index]:.0%}" if probabilities else ""
            part.append(shorten(predicted[index]) + chance)
        if wrong[index]:
            part[0] = f"{_CROSS} {part[0]}"
        parts.append(part)
    # All titles of a sheet have as many lines, or the rows would be ragged.
    joint = " / " if max(len(" / ".join(part)) for part in parts) <= _ONE_LINE else " /\n"
    return [joint.join(part) for part in parts], wrong


def _cell_size(titles, shape):
    """Inches of width and height that an image and its title take."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    bold = FontProperties(size=_CELL_FONT, weight="bold")
    lines = {line for title in titles for line in title.split("\n")}
    points = max(text_to_path.get_text_width_height_descent(line, bold, False)[0] if line else 0 for line in lines)
    width = max(1.0, points / 72 + 0.1)
    picture = min(max(width * shape[0] / shape[1], 0.3), 4 * width)
    return width, picture + 0.17 * (1 + titles[0].count("\n") if titles[0] else 0.3)


def _note(true, predicted, wrong, count, total):
    """The line above the sheet: how to read it, and what it leaves out."""
    notes = [f"first {count:,} of {total:,} images"] if count < total else []
    if true and predicted:
        notes.append("true / predicted")
        notes.append(f"{_CROSS} wrong: {sum(wrong)} of {count}")
    return "  ·  ".join(notes)
