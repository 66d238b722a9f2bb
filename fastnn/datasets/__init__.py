"""Data sets to train on, and the IDX files that they come in."""

from .catalogue import Dataset
from .idx import read_idx, write_idx
from .store import Location, class_names, info, load, locate, names

__all__ = ["Dataset", "Location", "class_names", "info", "load", "locate", "names", "read_idx", "write_idx"]
