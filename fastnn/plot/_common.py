"""What all pictures share: the figure, the colours, and how texts are treated."""

import math

import numpy as np

BLUE, RED, GREY = "#004080", "#d0410a", "#8c8c8c"  # told apart by the colour-blind, and in grey
_MAX_NAME = 18  # characters of a name that a picture shows


def new_figure(width=None, height=None):
    """Return an empty figure of so many inches, without pyplot: no window, no global list of figures, no backend."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            'fastnn.plot needs matplotlib: pip install matplotlib, or pip install -e ".[plot]" in a checkout'
        ) from error
    return Figure(figsize=None if width is None else (width, height), dpi=120, layout="constrained")


def shorten(name, limit=_MAX_NAME):
    """Cut a name that is too long for a picture."""
    return name if len(name) <= limit else name[: limit - 1] + "…"


def pictures_of(what, images, shape=None):
    """Return images of shape (n, h, w), or (n, h, w, 3 or 4) with values that matplotlib takes as they are."""
    pictures = np.asarray(images)
    if pictures.dtype.kind not in "buif":
        raise ValueError(f"{what}: expected numbers, found {pictures.dtype}")
    if shape is not None and pictures.ndim and pictures.size:
        if len(shape) not in (2, 3) or pictures.size != len(pictures) * math.prod(shape):
            raise ValueError(f"{what}: found shape {pictures.shape}, which is not images of shape {tuple(shape)}")
        pictures = pictures.reshape(-1, *shape)
    shape = pictures.shape
    if pictures.ndim == 2 and math.isqrt(shape[1]) ** 2 == shape[1]:
        pictures = pictures.reshape(shape[0], math.isqrt(shape[1]), math.isqrt(shape[1]))
    elif pictures.ndim == 4 and shape[3] == 1:
        pictures = pictures[..., 0]
    elif not (pictures.ndim == 3 or (pictures.ndim == 4 and shape[3] in (3, 4))):
        raise ValueError(
            f"{what}: expected shape (n, h, w), (n, h, w, 1 or 3 or 4) or (n, h * h), found {shape}; a single image is "
            f"{what}[None]"
        )
    if not pictures.size:
        raise ValueError(f"{what}: expected at least one image, found shape {shape}")
    if pictures.ndim == 4:
        pictures = np.clip(pictures, 0, 1 if pictures.dtype.kind in "bf" else 255)
        return pictures.astype(np.float32 if pictures.dtype.kind in "bf" else np.uint8)
    return pictures


def grey_scale(pictures):
    """The arguments of imshow that make the greys of all images comparable."""
    if pictures.ndim == 4:
        return {}
    low, high = 0, 255 if pictures.dtype.kind in "ui" else 1
    finite = pictures[np.isfinite(pictures)]
    if finite.size and pictures.dtype.kind == "f" and (finite.min() < low or finite.max() > high):
        low, high = finite.min(), finite.max()
    return {"cmap": "gray", "vmin": low, "vmax": high}


def labels_of(what, values, owner, n):
    """Return (labels, probabilities): arrays (n,), the second None unless `values` are rows of floats.

    Parameters
    ----------
    what : str
        "labels" or "predictions"; only the latter may be probabilities.
    values : array_like, shape (n,), (n, 1) or (n, classes)
        Labels, one-hot rows or probabilities.
    owner : str
        What they belong to, for the message.
    n : int
    """
    values = np.asarray(values)
    shape = values.shape
    if values.ndim not in (1, 2) or len(values) != n or 0 in shape:
        raise ValueError(f"{what}: expected shape ({n},) or ({n}, classes) to go with {owner}, found {shape}")
    probabilities = None
    graded = what == "predictions" and values.dtype.kind == "f"  # probabilities, not one-hot rows
    if values.ndim == 2 and shape[1] == 1:
        # A sigmoid's output is the probability of class 1; otherwise it is a column of classes.
        values = np.hstack([1 - values, values]) if graded else values[:, 0]
    if values.ndim == 2:
        if graded:
            probabilities = values.max(axis=1)
        elif (bad := (values != 0).sum(axis=1) != 1).any():
            raise ValueError(f"{what}: expected a class or a one-hot row for each, found {values[bad][0].tolist()}")
        values = values.argmax(axis=1)
    if values.dtype.kind == "f" and np.isfinite(values).all() and (values == np.round(values)).all():
        values = values.astype(np.int64)
    return values, probabilities


def scale_values(axes, values):
    """Make the vertical axis logarithmic where linear ticks would hide most of the values, and its ticks plain."""
    values = values[np.isfinite(values)]
    if values.size and 0 < values.min() < values.max() / 1000:
        axes.set_yscale("log")
    else:
        axes.ticklabel_format(axis="y", useOffset=False)


def names_of(what, labels, class_names=None):
    """Return what labels (n,) are called, a list of str."""
    if class_names is None or labels.dtype.kind not in "bui":
        return [str(label) for label in labels.tolist()]
    labels = labels.astype(np.int64)
    bad = labels[(labels < 0) | (labels >= len(class_names))]
    if bad.size:
        raise ValueError(f"{what}: class {bad[0]} has no name, class_names has {len(class_names)}")
    return [str(class_names[label]) for label in labels]
