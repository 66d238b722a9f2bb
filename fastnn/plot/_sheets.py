"""Sheets of images."""

import math

import numpy as np

from ._common import GREY, RED, grey_scale, labels_of, names_of, new_figure, pictures_of, shorten

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
    pictures = pictures_of("images", images)
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
    scale = grey_scale(pictures)
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


def _classes(what, values, images, class_names):
    """Return (names, probabilities): lists of str and of float, each None where there is nothing to tell."""
    if values is None:
        return None, None
    values, probabilities = labels_of(what, values, f"images of shape {np.shape(images)}", len(images))
    return names_of(what, values, class_names), None if probabilities is None else probabilities.tolist()


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


def weights(model, *, layer=0, shape=None, columns=10, max_images=50):
    """Draw what the units of a dense layer look for: the weights of each as an image.

    Parameters
    ----------
    model : Sequential or array_like of shape (inputs, units)
        A model, or a kernel.
    layer : int, default 0
        Which of the model's layers with a kernel.
    shape : tuple of int, optional
        Shape of an image, (h, w); default: that of the model's inputs, or a square.
    columns : int, default 10
        Images a row.
    max_images : int, default 50
        How many units are drawn, from the first.

    Returns
    -------
    matplotlib.figure.Figure
        Grey is no weight, white a positive one, black a negative one, on one scale, which leaves out the largest
        thousandth.

    Raises
    ------
    ValueError
        If the weights are not finite or make no images.
    ImportError
        If matplotlib is not installed.
    """
    figure = new_figure()
    kernel = model
    if hasattr(model, "layers"):
        kernels = [array for one in model.layers for array in one.get_weights()[:1] if array.ndim == 2]
        if not -len(kernels) <= layer < len(kernels):
            raise ValueError(f"layer: the model has {len(kernels)} layers with a kernel, found {layer}")
        kernel = kernels[layer]
        inputs = model.input_shape[1:]
        if shape is None and layer == 0 and len(inputs) > 1:
            shape = inputs[:2] if len(inputs) == 3 and inputs[2] == 1 else inputs
    kernel = np.asarray(kernel)
    if kernel.ndim != 2 or not kernel.size or kernel.dtype.kind not in "iuf" or not np.isfinite(kernel).all():
        raise ValueError(f"model: expected finite weights (inputs, units), found {kernel.dtype} {kernel.shape}")
    side = math.isqrt(kernel.shape[0])
    if shape is None and side * side == kernel.shape[0]:
        shape = (side, side)
    if shape is None or len(shape) != 2 or math.prod(shape) != kernel.shape[0]:
        raise ValueError(f"shape: expected (h, w) with h * w = {kernel.shape[0]} inputs, found {shape}")
    units = kernel.shape[1]
    drawn = kernel.T[:max_images].reshape(-1, *shape).astype(np.float64)
    limit = float(np.quantile(np.abs(drawn), 0.999)) or 1.0
    title = f"first {len(drawn):,} of {units:,} units" if len(drawn) < units else None
    draw_mosaic(figure, drawn, min(columns, len(drawn)), title=title, limits=(-limit, limit), bar="weight")
    return figure


def draw_mosaic(figure, pictures, columns, *, title=None, names=(), notes=(), limits=None, bar=None):
    """Draw images in rows, as a single picture of the size that they need.

    Parameters
    ----------
    figure : Figure
        Empty.
    pictures : ndarray, shape (n, h, w) or (n, h, w, 3 or 4)
        NaN is left white.
    columns : int
        Images a row.
    title : str, optional
    names : list of str, optional
        What to write before the rows, in turn. A set of rows with all names is set apart from the next one.
    notes : list of str or None, optional
        What to write below each image; None leaves no room.
    limits : tuple of float, optional
        Values of black and white; default: as `grey_scale` says.
    bar : str, optional
        What the values are, for a scale at the side.
    """
    h, w = pictures.shape[1:3]
    rows = math.ceil(len(pictures) / columns)
    inch = max(w, h / 3) / 0.8  # pixels of the images: they are 0.8 inches wide, and no higher than 2.4
    gap, line = max(1, round(0.04 * inch)), round(0.17 * inch)
    step = max(w + gap, round(0.6 * inch) if any(notes) else 0)  # from an image to its neighbour
    lowest = round(0.17 * inch) if names else 0  # of a row, that its name has room
    below = [line if any(notes[row * columns : (row + 1) * columns]) else 0 for row in range(rows)]
    apart = [round(0.12 * inch) if names and row % len(names) == 0 and row else 0 for row in range(rows)]
    tops, height = [], 0
    for row in range(rows):
        height += apart[row]
        tops.append(height)
        height += max(h + gap, lowest) + below[row]
    width = (columns - 1) * step + w
    scale = grey_scale(pictures) if limits is None else {"cmap": "gray", "vmin": limits[0], "vmax": limits[1]}
    sheet = np.full((height - gap, width, *pictures.shape[3:]), np.nan)
    places = [(tops[index // columns], index % columns * step) for index in range(len(pictures))]
    for picture, (top, left) in zip(pictures, places, strict=True):
        sheet[top : top + h, left : left + w] = picture
    margin = 0.095 * max(map(len, names)) if names else 0.0
    figure.set_size_inches(
        max(width / inch + margin + (0.9 if bar else 0.1), 3.2),
        max(height / inch + (0.35 if title else 0.1), 1.0 if bar else 0.0),
    )
    axes = figure.add_subplot()
    if pictures.ndim == 4:
        sheet = np.where(np.isnan(sheet), 1.0, sheet)
    shown = axes.imshow(sheet, interpolation="nearest", extent=(0, sheet.shape[1], sheet.shape[0], 0), **scale)
    axes.spines[:].set_visible(False)
    axes.set_xticks([])
    middles = [top + h / 2 for top in tops]
    axes.set_yticks(middles if names else [], [names[row % len(names)] for row in range(rows)] if names else [])
    axes.tick_params(length=0, labelsize=8)
    if title:
        axes.set_title(title, fontsize=9, color="#404040", parse_math=False)
    for note, (top, left) in zip(notes, places, strict=False):
        if note:
            axes.text(left + w / 2, top + h + gap, note, ha="center", va="top", fontsize=7)
    if bar:
        figure.colorbar(shown, label=bar, fraction=0.04, pad=0.02, extend="both" if limits else "neither")
