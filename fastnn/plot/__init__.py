"""Pictures of training and of data, as matplotlib figures: nothing is shown, saved or kept in a global state.

A figure is saved with ``figure.savefig("history.png")``; a notebook shows it as the last value of a cell.
"""

from ._curves import history
from ._sheets import images

__all__ = ["history", "images"]
