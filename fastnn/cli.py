"""The `fastnn` command: it finds the sub-command, and turns what goes wrong into a line and an exit status."""

import os
import sys

from . import __version__, validation
from .commands import bench, data, encode, evaluate, info, predict, train
from .commands.arguments import Parser, fail

__all__ = ["main"]

_COMMANDS = {
    module.__name__.rpartition(".")[2]: module for module in (train, evaluate, predict, encode, info, data, bench)
}
_EPILOG = """\
examples:
  fastnn train                             train on the bundled images, leave model and pictures in runs/
  fastnn evaluate runs/NAME                loss, accuracy, a table of the classes and a report
  fastnn predict runs/NAME images.npy      a line of probabilities for every image
  fastnn encode runs/NAME images.npy       an autoencoder's codes
  fastnn info                              what runs here, and why

environment:
  FASTNN_DATA          folders to search for data sets first, each with a sub-folder a data set
  FASTNN_BACKEND       what the backend "auto" stands for: cython, numba or numpy
  FASTNN_NUM_THREADS   number of threads where none is asked for
  FASTNN_ISA           instruction set of the cython backend: v2, v3, v4 or amx (elsewhere than on x86-64: generic)

exit status: 0 done, 1 failed, 2 wrong arguments or input, 130 interrupted.
"""


def _parser():
    parser = Parser(prog="fastnn", description="Train small neural networks on the CPU, fast.", epilog=_EPILOG)
    parser.add_argument("--version", action="version", version=f"fastnn {__version__}")
    parser.add_argument("--traceback", action="store_true", help="show where an error came from")
    commands = parser.add_subparsers(title="commands", dest="command", metavar="COMMAND", required=True)
    for module in _COMMANDS.values():
        module.add(commands)
    return parser


def _parse(argv):
    argv = sys.argv[1:] if argv is None else argv
    word = next((word for word in argv if not word.startswith("-")), None)
    if word is not None:
        validation.choice("command", word, _COMMANDS)  # says which one is near
    return _parser().parse_args(argv)


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
        args = _parse(argv)
        traceback = args.traceback
        status = _COMMANDS[args.command].run(args) or 0
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
        fail(text)
        return 2 if isinstance(error, bad) else 1
