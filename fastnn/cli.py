"""The `fastnn` command: its arguments and its errors. What the sub-commands do is in `commands` and `report`."""

import argparse
import os
import sys

from . import __version__

__all__ = ["main"]

_EPILOG = """\
examples:
  fastnn train                             train on the bundled images, leave model and pictures in runs/
  fastnn evaluate runs/NAME                loss, accuracy and a table of the classes
  fastnn predict runs/NAME images.npy      a line of probabilities for every image
  fastnn info                              what runs here, and why

environment:
  FASTNN_DATA          folders to search for data sets first, each with a sub-folder a data set
  FASTNN_BACKEND       what the backend "auto" stands for: cython, numba or numpy
  FASTNN_NUM_THREADS   number of threads where none is asked for
  FASTNN_ISA           instruction set of the cython backend: v2, v3 or v4 (elsewhere than on x86-64: generic)

exit status: 0 done, 1 failed, 2 wrong arguments or input, 130 interrupted.
"""
_TRAIN = """\
Train a multi-layer perceptron on a data set of images.

After every epoch the network is validated: with the test images (which nothing is chosen by), or with a part of the
training images that --validation-split holds out. What is left behind, in a folder of its own:
  model.safetensors    the network; continue with `fastnn evaluate`, `fastnn predict` or fastnn.load()
  history.csv          loss and accuracy of every epoch, in training and in validation
  curves.png           the same as a picture
  predictions.png      test images with what they are and what they were taken for
The pictures need matplotlib: pip install -e ".[plot]". Ctrl-C stops training and keeps what was trained so far.
"""
_TRAIN_EPILOG = """\
examples:
  fastnn train
  fastnn train --data fashion-mnist --hidden 900 900 --dropout 0.5 --epochs 12
  fastnn train --optimizer sgd --learning-rate 0.1 --epochs 50 --seed 7
  fastnn train --hidden                    no hidden layer: logistic regression
  fastnn evaluate $(fastnn train --quiet)
"""
_EVALUATE = """\
Compute loss and accuracy of a model on a data set, and for every class:
  images       how many there are
  recall       share of them that were recognised
  precision    share of those taken for the class that belong to it
  taken for    the class that they are most often mistaken for
"""
_PREDICT = """\
Compute a model's outputs for the rows of a file:
  .npy         an array of shape (rows, ...)
  .csv         a line of numbers a row, separated by commas; a first line that is not numbers is skipped
  otherwise    an IDX file (the format of MNIST), compressed or not
Bytes (uint8) are scaled as in training; other numbers are taken as they are, unless --uint8 says that they are bytes.
The result is CSV: the class, its name where it has one, and the outputs, which are probabilities for a classifier;
or, with --out FILE.npy, the outputs alone as an array of shape (rows, outputs).
"""
_BENCH = """\
Measure the time of a training step, as `fit` runs it, on every backend that is available.

Random data. First all backends train a few steps from the same weights and their losses are compared; then they are
timed in turns, round after round, so that whatever else the machine does meets all alike. Shown are the median and
the best round, and GFLOP/s, which count the matrix products alone.

This is a quick look. The benchmark suite compares with other libraries too and is part of the repository, not of an
installed package: run `pytest bench` there.
"""


class _Parser(argparse.ArgumentParser):
    def __init__(self, **options):
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, **options)

    def error(self, message):
        _fail(f"{message} (see `{self.prog} --help`)")
        raise SystemExit(2)


def _fail(message):
    # In one line, whatever the message was made of.
    lines = (line.strip() for line in str(message).splitlines())
    print("fastnn: error:", " ".join(line for line in lines if line), file=sys.stderr)


def _number(kind, name, low, high=None, above=False, below=False):
    """An argparse type: a number from `low` to `high`; `above` and `below` exclude the ends."""

    def parse(text):
        try:
            value = kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"expected {name}, got {text!r}") from None
        # Written so that NaN fails.
        if not (value > low if above else value >= low) or not (
            high is None or (value < high if below else value <= high)
        ):
            raise argparse.ArgumentTypeError(f"expected {name}, got {text!r}")
        return value

    return parse


_COUNT = _number(int, "an integer of at least 1", 1)
_THREADS = _number(int, "an integer from 1 to 1024", 1, 1024)
_SHARE = _number(float, "a number of at least 0 and below 1", 0.0, 1.0, below=True)


def _device(parser, dtype=False):
    """Add the options that choose what computes."""
    from .kernels.registry import MODULES

    group = parser.add_argument_group("what computes")
    group.add_argument(
        "--backend",
        choices=("auto", *MODULES),
        default="auto",
        help="default: auto, the fastest that can run here (`fastnn info` tells)",
    )
    _threads(group)
    if dtype:
        _dtype(group)


def _threads(group):
    group.add_argument(
        "--threads", type=_THREADS, metavar="N", help="default: FASTNN_NUM_THREADS, or the CPUs that may be used"
    )


def _dtype(group):
    group.add_argument("--dtype", choices=("float32", "float64"), default="float32", help="default: float32")


def _train_parser(commands):
    from .datasets import names
    from .kernels.activations import ACTIVATIONS

    parser = commands.add_parser(
        "train", help="train a network and leave it in a folder", description=_TRAIN, epilog=_TRAIN_EPILOG
    )
    parser.add_argument(
        "--data", default="fashion-mnist-mini", metavar="NAME", help=f"{', '.join(names())} (default: %(default)s)"
    )
    parser.add_argument("--out", metavar="DIR", help="a folder that is new or empty (default: runs/NAME-DATE-TIME)")
    parser.add_argument("--quiet", action="store_true", help="print the name of the folder and nothing else")
    group = parser.add_argument_group("network")
    group.add_argument(
        "--hidden",
        type=_COUNT,
        nargs="*",
        default=[256, 128],
        metavar="UNITS",
        help="widths of the hidden layers (default: 256 128)",
    )
    activations = ", ".join(row.name for row in ACTIVATIONS if not row.rowwise)
    group.add_argument(
        "--activation", default="relu", metavar="NAME", help=f"of the hidden layers: {activations} (default: relu)"
    )
    group.add_argument(
        "--dropout",
        type=_SHARE,
        nargs="+",
        default=[0.3],
        metavar="RATE",
        help="share of every hidden layer's outputs to drop in training, one rate or one a layer (default: 0.3)",
    )
    group = parser.add_argument_group("training")
    group.add_argument("--epochs", type=_COUNT, default=20, metavar="N", help="default: 20")
    group.add_argument("--batch-size", type=_COUNT, default=128, metavar="N", help="images a step (default: 128)")
    group.add_argument("--optimizer", choices=("adam", "adamw", "rmsprop", "sgd"), default="adam", help="default: adam")
    group.add_argument(
        "--learning-rate",
        type=_number(float, "a number above 0", 0.0, float("inf"), above=True, below=True),
        metavar="RATE",
        help="default: 0.001, and 0.01 for sgd",
    )
    group.add_argument(
        "--validation-split",
        type=_SHARE,
        default=0.0,
        metavar="SHARE",
        help="validate with this share of the training images, the last ones, and do not train on them (default: 0)",
    )
    group.add_argument(
        "--seed",
        type=_number(int, "an integer of at least 0 and below 2**63", 0, 2**63 - 1),
        default=0,
        metavar="N",
        help="the same seed gives the same network, whatever the number of threads (default: 0)",
    )
    _device(parser, dtype=True)


def _parser():
    parser = _Parser(prog="fastnn", description="Train small neural networks on the CPU, fast.", epilog=_EPILOG)
    parser.add_argument("--version", action="version", version=f"fastnn {__version__}")
    parser.add_argument("--traceback", action="store_true", help="show where an error came from")
    commands = parser.add_subparsers(title="commands", dest="command", metavar="COMMAND", required=True)
    _train_parser(commands)

    command = commands.add_parser(
        "evaluate",
        help="loss, accuracy and a table of the classes",
        description=_EVALUATE,
        epilog="examples:\n  fastnn evaluate runs/NAME\n  fastnn evaluate model.safetensors --data fashion-mnist",
    )
    model_help = "a model file, or the folder that `fastnn train` left"
    command.add_argument("model", metavar="MODEL", help=model_help)
    command.add_argument("--data", metavar="NAME", help="default: the data set that `fastnn train` trained it on")
    command.add_argument("--split", choices=("test", "train"), default="test", help="which images (default: test)")
    _device(command)

    command = commands.add_parser(
        "predict",
        help="a model's outputs for the rows of a file",
        description=_PREDICT,
        epilog="examples:\n  fastnn predict runs/NAME t10k-images-idx3-ubyte.gz --out predictions.csv\n"
        "  fastnn predict model.safetensors pixels.csv --uint8 | cut -d, -f1",
    )
    command.add_argument("model", metavar="MODEL", help=model_help)
    command.add_argument("input", metavar="INPUT", help="the rows")
    command.add_argument("--out", metavar="FILE", help="a .csv or .npy file to write (default: CSV on standard output)")
    command.add_argument("--uint8", action="store_true", help="the numbers are bytes from 0 to 255: scale them")
    _device(command)

    commands.add_parser(
        "info",
        help="what runs here, and why",
        description="Tell version, processor, compiler, instruction sets, threads, backends (and why one is missing),\n"
        "dependencies and data sets: what a bug report should begin with.",
    )

    command = commands.add_parser(
        "data",
        help="the data sets: where they are, their licences",
        description="List the data sets with the place that each would be read from, or tell all about one.",
        epilog="examples:\n  fastnn data\n  fastnn data mnist\n  fastnn data mnist --download",
    )
    command.add_argument("name", nargs="?", metavar="NAME", help="a data set")
    command.add_argument(
        "--download", action="store_true", help="download it now, unless it is on this machine, and check it"
    )

    from .report import SHAPES

    command = commands.add_parser(
        "bench",
        help="time of a training step on every backend",
        description=_BENCH,
        epilog="shapes:\n" + "\n".join(f"  {name:<12} {shape.title}" for name, shape in SHAPES.items()),
    )
    command.add_argument("shape", nargs="?", default="mlp", choices=SHAPES, metavar="SHAPE", help="default: mlp")
    command.add_argument("--batch-size", type=_COUNT, metavar="N", help="samples a step (default: the shape's)")
    command.add_argument(
        "--backends", nargs="+", metavar="NAME", help="default: all that are available, cython numba numpy at most"
    )
    command.add_argument(
        "--seconds",
        type=_number(float, "a number of seconds above 0", 0.0, 3600.0, above=True),
        default=3.0,
        metavar="S",
        help="how long to measure each backend, at least about (default: 3)",
    )
    _threads(command)
    _dtype(command)
    return parser


def _run(args):
    """Run the sub-command and return the exit status."""
    from . import commands, report

    functions = {
        "train": commands.train,
        "evaluate": commands.evaluate,
        "predict": commands.predict,
        "data": commands.data,
        "info": report.info,
        "bench": report.bench,
    }
    return functions[args.command](args) or 0


def main(argv=None):
    """Run the `fastnn` command.

    Parameters
    ----------
    argv : list of str, optional
        The arguments, without the program's name; by default those of the process.

    Returns
    -------
    int
        The exit status: 0 done, 1 failed, 2 wrong arguments or input, 130 interrupted.
    """
    traceback = False
    try:
        args = _parser().parse_args(argv)
        traceback = args.traceback
        status = _run(args)
        if sys.stdout is not None:  # as it is where the shell has closed it (>&-)
            sys.stdout.flush()
        return status
    except SystemExit as stop:  # argparse, after its own message
        return stop.code or 0
    except KeyboardInterrupt:
        print("fastnn: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader has gone, as `head` does. What is still buffered goes nowhere, silently.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if traceback:
            raise
        # The library raises these for arguments and files that are not right.
        bad = (ValueError, TypeError, FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError)
        known = (OSError, ImportError, FloatingPointError, MemoryError, RuntimeError)
        text = str(error) or type(error).__name__
        if isinstance(error, OSError) and error.filename is not None and error.strerror:
            text = f"{error.filename}: {error.strerror}"
        if not isinstance(error, (*bad, *known)):
            text = f"{type(error).__name__}: {text} (`fastnn --traceback COMMAND ...` shows where it came from)"
        _fail(text)
        return 2 if isinstance(error, bad) else 1
