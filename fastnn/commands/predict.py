"""`fastnn predict`: a model's outputs for the rows of a file."""

import csv
import sys
from pathlib import Path

import numpy as np

from .. import datasets
from ..autoencoder import Autoencoder
from . import sources
from .arguments import MODEL_HELP, add_device
from .files import open_model

INPUTS = """\
  .npy         an array of shape (rows, ...)
  .npz         one array, or several with x_train, y_train, x_test and y_test among them: x_test
  .csv         a line of fields a row, separated by commas, semicolons or tabs; a line of names may come first
  .parquet     columns with names (needs pyarrow or polars)
  otherwise    an IDX file (the format of MNIST), compressed or not
Of columns with names, those that the model was trained with are used. Bytes (uint8) are scaled as in training; other
numbers are taken as they are, unless --uint8 says that they are bytes."""
_ABOUT = f"""\
Compute a model's outputs for the rows of a file:
{INPUTS}
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
    add_input(command)


def add_input(command):
    """Add model, input and output."""
    command.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    command.add_argument("input", metavar="INPUT", help="the rows")
    command.add_argument("--out", metavar="FILE", help="a .csv or .npy file to write (default: CSV on standard output)")
    command.add_argument("--uint8", action="store_true", help="the numbers are bytes from 0 to 255: scale them")
    add_device(command)


def run(args):
    """Run the sub-command."""
    check_out(args)
    model = open_model(args)
    x = sources.inputs_of_model(args, model)
    y = model.predict(x)
    if isinstance(model, Autoencoder) or getattr(model, "task", "classification") != "classification":
        write(args, y, "y", [], "outputs")
    else:
        write(args, y, "p", _labels(model, y.shape[1], x), "outputs")


def _labels(model, outputs, x):
    """List the columns (head, values) of a classifier's classes."""
    labels = model.predict_classes(x)
    columns = [("class", labels.tolist())]
    if labels.ndim == 1 and model.classes is None and model.name in datasets.names():
        names = datasets.class_names(model.name)
        if len(names) == outputs:
            columns.append(("name", [names[label] for label in labels]))
    return columns


def check_out(args):
    """Raise unless ``args.out`` is a name that can be written to, before any work is done."""
    if args.out is None:
        return
    out = Path(args.out)
    if out.suffix not in (".csv", ".npy"):
        raise ValueError(f"--out {out}: expected a name that ends in .csv or .npy")
    if any(out.exists() and Path(other).exists() and out.samefile(other) for other in (args.input, args.model)):
        raise ValueError(f"--out {out} is a file that was read; name another")


def write(args, values, letter, columns, what):
    """Write numbers (n, k) as ``args.out`` says: CSV after the other columns, or .npy alone."""
    if args.out is None:
        _write_csv(sys.stdout, values, letter, columns)
        return
    if Path(args.out).suffix == ".npy":
        np.save(args.out, values, allow_pickle=False)
    else:
        with open(args.out, "w", newline="", encoding="utf-8") as file:
            _write_csv(file, values, letter, columns)
    print(f"wrote {len(values):,} rows of {values.shape[1]} {what} to {args.out}", file=sys.stderr)


def _write_csv(file, values, letter, columns):
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([*(head for head, _ in columns), *(f"{letter}{i}" for i in range(values.shape[1]))])
    for i, row in enumerate(values):
        writer.writerow([*(column[i] for _, column in columns), *map(str, row)])
