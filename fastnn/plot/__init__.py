"""Pictures of training and of data, as matplotlib figures: nothing is shown, saved or kept in a global state.

A figure is saved with ``figure.savefig("history.png")``; a notebook shows it as the last value of a cell.
"""

from ._classes import class_accuracy, confusion_matrix, regression
from ._codes import codes, reconstructions, samples
from ._curves import history, lr_finder
from ._sheets import images, weights

__all__ = [
    "class_accuracy",
    "codes",
    "confusion_matrix",
    "history",
    "images",
    "lr_finder",
    "reconstructions",
    "regression",
    "samples",
    "weights",
]
