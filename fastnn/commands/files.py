"""Files that the sub-commands share: models, histories and tables of numbers."""

import csv
from pathlib import Path

import numpy as np

from .. import datasets
from ..checkpoint import load

MODEL, HISTORY = "model.safetensors", "history.csv"


def open_model(args):
    """Load the model that the arguments name."""
    path = Path(args.model)
    return load(path / MODEL if path.is_dir() else path, backend=args.backend, threads=args.threads)


def write_history(path, history):
    """Write a history as CSV: a line an epoch, numbers that read back as they were."""
    columns = history.history
    with open(path, "w", newline="", encoding="ascii") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["epoch", *columns])
        for row in zip(history.epoch, *columns.values(), strict=True):
            writer.writerow([row[0] + 1, *map(repr, row[1:])])


def read_rows(path):
    """Read an array (n, ...) from a .npy, .csv or IDX file, whichever its name says."""
    suffix = Path(path).suffix.lower()
    if suffix not in (".npy", ".csv"):
        return datasets.read_idx(path)
    try:
        if suffix == ".npy":
            x = np.load(path, allow_pickle=False)
            if not isinstance(x, np.ndarray):
                raise ValueError("it holds several arrays")
            return x
        with open(path, encoding="utf-8-sig") as file:
            first = file.readline()
            try:
                list(map(float, first.split(",")))
                file.seek(0)
            except ValueError:
                pass  # a line of names
            lines = [line for line in file if line.strip()]
        if not lines:
            raise ValueError("it has no rows")
        return np.loadtxt(lines, delimiter=",", dtype=np.float64, ndmin=2, comments=None)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path} cannot be read as {suffix[1:].upper()}: {error}") from error


def as_bytes(x, path):
    """Return whole numbers from 0 to 255 as uint8."""
    with np.errstate(invalid="ignore"):
        if x.dtype.kind not in "biuf" or not ((x >= 0) & (x <= 255) & (x == np.floor(x))).all():
            raise ValueError(f"--uint8: {path} has values that are not integers from 0 to 255")
    return x.astype(np.uint8)
