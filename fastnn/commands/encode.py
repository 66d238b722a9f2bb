"""`fastnn encode`: an autoencoder's codes for the rows of a file."""

from ..autoencoder import Autoencoder
from . import sources
from .files import open_model
from .predict import INPUTS, add_input, check_out, write

_ABOUT = f"""\
Compute the codes that an autoencoder makes of the rows of a file:
{INPUTS}
The result is CSV with a column for each number of the code, z0, z1 and so on, or, with --out FILE.npy, an array of
shape (rows, code). With --errors the CSV begins with the mean squared error of each row's reconstruction, which is
large for rows that are unlike those of the training.
"""


def add(commands):
    """Add the sub-command's arguments."""
    command = commands.add_parser(
        "encode",
        help="an autoencoder's codes for the rows of a file",
        description=_ABOUT,
        epilog="examples:\n  fastnn encode runs/NAME t10k-images-idx3-ubyte.gz --out codes.npy\n"
        "  fastnn encode ae.safetensors rows.csv --errors | sort -t, -k1 -gr | head",
    )
    command.add_argument("--errors", action="store_true", help="begin each line of the CSV with the row's error")
    add_input(command)


def run(args):
    """Run the sub-command."""
    check_out(args)
    if args.errors and str(args.out).endswith(".npy"):
        raise ValueError(f"--errors is for CSV, not for --out {args.out}")
    model = open_model(args)
    if not isinstance(model, Autoencoder):
        raise ValueError(f"{args.model} is {type(model).__name__}, no autoencoder: it has no codes")
    x = sources.inputs_of_model(args, model)
    codes = model.encode(x)
    columns = [("error", [str(error) for error in model.reconstruction_error(x)])] if args.errors else []
    write(args, codes, "z", columns, "numbers")
