"""What the figures of the tests are drawn of, and what can be read in them."""

import io

import numpy as np

PIXELS = np.random.default_rng(0).integers(0, 256, (7, 6, 6), np.uint8)
STRANGE = ["$a_{b$ ^", "_under", "a name of very many letters that goes on"]


def rendered(figure):
    """The figure as an array of pixels: drawing it must not warn or fail either."""
    from matplotlib.image import imread

    file = io.BytesIO()
    figure.savefig(file, format="png")
    file.seek(0)
    return imread(file)


def written_legend(legend):
    return [text.get_text() for text in legend.get_texts()]


def written(axes):
    return [text.get_text() for text in axes.texts]


def ticks(axis):
    return [label.get_text() for label in axis.get_ticklabels()]
