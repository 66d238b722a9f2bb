"""`fastnn predict`: a model's outputs for the rows of a file."""

import csv
import sys
from pathlib import Path

import numpy as np

from .. import datasets
from ..autoencoder import Autoencoder
from .arguments import MODEL_HELP, add_device, note
from .files import as_bytes, open_model, read_rows

_ABOUT = """\
Compute a model's outputs for the rows of a file:
  .npy         an array of shape (rows, ...)
  .csv         a line of numbers a row, separated by commas; a first line that is not numbers is skipped
  otherwise    an IDX file (the format of MNIST), compressed or not
Bytes (uint8) are scaled as in training; other numbers are taken as they are, unless --uint8 says that they are bytes.
The result is CSV: the class, its name where it has one, and the outputs, which are probabilities for a classifier;
or, with --out FILE.npy, the outputs alone as an array of shape (rows, outputs).
"""


def add(commands):
    """Add the sub-command's arguments."""
    command = commands.add_parser(
        "predict",
        help="a model's outputs for the rows of a file",
        description=_ABOUT,
        epilog="examples:\n  fastnn predict runs/NAME t10k-images-idx3-ubyte.gz --out predictions.csv\n"
        "  fastnn predict model.safetensors pixels.csv --uint8 | cut -d, -f1",
    )
    command.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    command.add_argument("input", metavar="INPUT", help="the rows")
    command.add_argument("--out", metavar="FILE", help="a .csv or .npy file to write (default: CSV on standard output)")
    command.add_argument("--uint8", action="store_true", help="the numbers are bytes from 0 to 255: scale them")
    add_device(command)


def run(args):
    """Run the sub-command."""
    out = None if args.out is None else Path(args.out)
    if out is not None and out.suffix not in (".csv", ".npy"):
        raise ValueError(f"--out {out}: expected a name that ends in .csv or .npy")
    model = open_model(args)
    x = read_rows(args.input)
    if args.uint8:
        x = as_bytes(x, args.input)
    elif x.dtype != np.uint8 and x.dtype.kind in "iuf" and model.input_scale != 1.0 and (x > 1).any():
        note(
            f"{args.input} has values above 1, which are taken as they are; if they are pixels from 0 to 255, add "
            "--uint8"
        )
    y = model.predict(x)
    if out is not None and any(out.exists() and out.samefile(other) for other in (args.input, args.model)):
        raise ValueError(f"--out {out} is a file that was read; name another")
    if out is None:
        _write_predictions(sys.stdout, model, y, x)
    elif out.suffix == ".npy":
        np.save(out, y, allow_pickle=False)
    else:
        with open(out, "w", newline="", encoding="utf-8") as file:
            _write_predictions(file, model, y, x)
    if out is not None:
        print(f"wrote {len(y):,} rows of {y.shape[1]} outputs to {out}", file=sys.stderr)


def _write_predictions(file, model, y, x):
    classifier = not isinstance(model, Autoencoder) and getattr(model, "task", "classification") == "classification"
    head, columns = [], []
    if classifier:
        labels = model.predict_classes(x)
        head.append("class")
        columns.append(labels.tolist())
        if labels.ndim == 1 and model.classes is None and model.name in datasets.names():
            names = datasets.class_names(model.name)
            if len(names) == y.shape[1]:
                head.append("name")
                columns.append([names[label] for label in labels])
    writer = csv.writer(file, lineterminator="\n")
    kind = "p" if classifier else "y"
    writer.writerow([*head, *(f"{kind}{i}" for i in range(y.shape[1]))])
    for i, row in enumerate(y):
        writer.writerow([*(column[i] for column in columns), *map(str, row)])
