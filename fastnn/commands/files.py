"""Files that the sub-commands share: models and histories."""

import csv
from pathlib import Path

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
