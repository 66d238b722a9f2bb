"""What the arguments of several sub-commands have in common, and the errors of all."""

import argparse
import sys

MODEL_HELP = "a model file, or the folder that `fastnn train` left"


class Parser(argparse.ArgumentParser):
    """A parser that keeps the line breaks of its texts and puts an error into one line."""

    def __init__(self, **options):
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, **options)

    def error(self, message):
        fail(f"{message} (see `{self.prog} --help`)")
        raise SystemExit(2)


def fail(message):
    """Print an error in one line, whatever the message was made of."""
    lines = (line.strip() for line in str(message).splitlines())
    print("fastnn: error:", " ".join(line for line in lines if line), file=sys.stderr)


def note(message):
    """Print what should be known and is no error."""
    print(f"fastnn: note: {message}", file=sys.stderr)


def number(kind, name, low, high=None, above=False, below=False):
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


COUNT = number(int, "an integer of at least 1", 1)
THREADS = number(int, "an integer from 1 to 1024", 1, 1024)
SHARE = number(float, "a number of at least 0 and below 1", 0.0, 1.0, below=True)
RATE = number(float, "a number above 0", 0.0, float("inf"), above=True, below=True)
SEED = number(int, "an integer of at least 0 and below 2**63", 0, 2**63 - 1)


def add_device(parser, dtype=False):
    """Add the options that choose what computes."""
    from ..kernels.registry import MODULES

    group = parser.add_argument_group("what computes")
    group.add_argument(
        "--backend",
        choices=("auto", *MODULES),
        default="auto",
        help="default: auto, the fastest that can run here (`fastnn info` tells)",
    )
    add_threads(group)
    if dtype:
        add_dtype(group)


def add_threads(group):
    """Add --threads."""
    group.add_argument(
        "--threads", type=THREADS, metavar="N", help="default: FASTNN_NUM_THREADS, or the CPUs that may be used"
    )


def add_dtype(group):
    """Add --dtype."""
    group.add_argument("--dtype", choices=("float32", "float64"), default="float32", help="default: float32")
