"""`fastnn evaluate`: loss, accuracy and a table of the classes."""

import numpy as np

from .. import datasets
from ..autoencoder import Autoencoder
from ..diagnostics import counted, engine, threads
from .arguments import MODEL_HELP, add_device
from .data import load_announced
from .files import open_model

_ABOUT = """\
Compute loss and accuracy of a model on a data set, and for every class:
  images       how many there are
  recall       share of them that were recognised
  precision    share of those taken for the class that belong to it
  taken for    the class that they are most often mistaken for
"""


def add(commands):
    """Add the sub-command's arguments."""
    command = commands.add_parser(
        "evaluate",
        help="loss, accuracy and a table of the classes",
        description=_ABOUT,
        epilog="examples:\n  fastnn evaluate runs/NAME\n  fastnn evaluate model.safetensors --data fashion-mnist",
    )
    command.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    command.add_argument("--data", metavar="NAME", help="default: the data set that `fastnn train` trained it on")
    command.add_argument("--split", choices=("test", "train"), default="test", help="which images (default: test)")
    add_device(command)


def run(args):
    """Run the sub-command."""
    model = open_model(args)
    name = args.data or model.name
    if args.data is None and name not in datasets.names():
        raise ValueError(
            f"{args.model} does not say what it was trained on: add --data, one of {', '.join(datasets.names())}"
        )
    x, y = load_announced(name)[args.split == "test"]
    print(f"{args.model}, {engine(model.backend)}, {counted(threads(args.threads)[0], 'thread')}")
    print(f"{len(x):,} {args.split} images of {name}\n")
    targets = () if isinstance(model, Autoencoder) else (y,)
    for key, value in model.evaluate(x, *targets, verbose=0, return_dict=True).items():
        print(f"{key:<10} {value:.4f}")
    names = datasets.class_names(name)
    if targets and model.output_shape[1] == len(names):
        print()
        for line in class_table(y, model.predict(x).argmax(axis=1), names):
            print(line)


def class_table(y, predicted, names):
    """List the lines of a table of classes. y and predicted are labels (n,), names those of the classes."""
    n = len(names)
    confusion = np.bincount(y.astype(np.int64) * n + predicted, minlength=n * n).reshape(n, n)
    width = max(map(len, names)) + 2
    lines = [f"{'class':<{width}} images  recall  precision  taken for"]
    for label, name in enumerate(names):
        row, right, taken = confusion[label], confusion[label, label], confusion[:, label].sum()
        recall = f"{right / row.sum():.3f}" if row.sum() else "-"
        precision = f"{right / taken:.3f}" if taken else "-"
        others = np.where(np.arange(n) == label, 0, row)
        worst = f"{names[others.argmax()]} ({others.max()})" if others.any() else ""
        lines.append(f"{name:<{width}} {row.sum():>6,}  {recall:>6}  {precision:>9}  {worst}".rstrip())
    return lines
