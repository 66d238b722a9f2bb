"""The options of `fastnn train`."""

from .. import datasets, optimizers
from ..kernels.activations import ACTIVATIONS
from . import recipes
from .arguments import COUNT, RATE, SEED, SHARE, add_device, number

_ABOUT = """\
Train a multi-layer perceptron or an autoencoder, on a data set of images or on a table in a file.

After every epoch the network is validated: with the test rows (which nothing is chosen by), or with a part of the
training rows that --validation-split holds out. What is left behind, in a folder of its own:
  model.safetensors    the network; continue with `fastnn evaluate`, `predict`, `encode` or fastnn.load()
  history.csv          loss and metrics of every epoch, in training and in validation
  report.html          pictures, numbers, and what ran where: one file that can be sent to others
  *.png                the pictures of the report
  run.json             what `fastnn evaluate` needs to know of the data
The pictures need matplotlib: pip install -e ".[plot]". Ctrl-C stops training and keeps what was trained so far.
Until it is complete the folder also has arguments.json and backup/, from which --resume goes on after any interruption.

A file may be .csv (also with ; or tabs), .parquet, .npy or .npz. Its columns are numbers but for the target, which may
be texts. Texts and up to 100 different whole numbers are classes, other numbers quantities, unless --task says which.
Without --test, a part of the rows is drawn to test with.
"""
_EXAMPLES = """\
examples:
  fastnn train
  fastnn train --data fashion-mnist --recipe best
  fastnn train --data fashion-mnist --hidden 900 900 --dropout 0.5 --epochs 12
  fastnn train --optimizer sgd --learning-rate 0.1 --epochs 50 --seed 7
  fastnn train --hidden                    no hidden layer: logistic regression
  fastnn train --model autoencoder --data mnist --code 16
  fastnn train --data flowers.csv --target species --normalize standard
  fastnn train --recipe best --print-recipe > train.py
  fastnn evaluate $(fastnn train --quiet)
  fastnn train --resume runs/NAME          go on after an interruption
"""


def add(commands):
    """Add the sub-command's arguments."""
    parser = commands.add_parser(
        "train", help="train a network and leave it in a folder", description=_ABOUT, epilog=_EXAMPLES
    )
    parser.add_argument(
        "--model",
        choices=("mlp", "autoencoder"),
        default="mlp",
        help="mlp predicts a target, autoencoder reproduces its inputs through a narrow code (default: mlp)",
    )
    parser.add_argument("--out", metavar="DIR", help="a folder that is new or empty (default: runs/NAME-DATE-TIME)")
    parser.add_argument(
        "--resume",
        metavar="DIR",
        help="go on with training that was interrupted or killed, with the arguments that it had; the result is the "
        "same bit for bit",
    )
    parser.set_defaults(default=parser.get_default)
    parser.add_argument("--quiet", action="store_true", help="print the name of the folder and nothing else")
    _add_data(parser.add_argument_group("data"))
    group = parser.add_argument_group("recipe")
    group.add_argument(
        "--recipe",
        choices=recipes.RECIPES,
        default="plain",
        help="settings for all that is not given: plain trains quickly, best trains longer for a better result "
        "(default: plain)",
    )
    group.add_argument(
        "--print-recipe", action="store_true", help="print the Python program that does the same, and do not train"
    )
    _add_network(parser.add_argument_group("network"))
    _add_training(parser.add_argument_group("training"))
    add_device(parser, dtype=True)


def _add_data(group):
    group.add_argument(
        "--data",
        default="fashion-mnist-mini",
        metavar="NAME",
        help=f"{', '.join(datasets.names())}, or a file (default: %(default)s)",
    )
    group.add_argument(
        "--target",
        metavar="COLUMN",
        help="what to predict: a column's name or number, an array's name in .npz, or a .npy file",
    )
    group.add_argument("--drop", nargs="+", metavar="COLUMN", help="columns of a file to leave out")
    group.add_argument("--task", choices=("classification", "regression"), help="default: as the target looks")
    group.add_argument("--uint8", action="store_true", help="the numbers of a file are bytes from 0 to 255: scale them")
    group.add_argument(
        "--normalize",
        choices=("standard", "min-max"),
        help="scale every column by mean and deviation, or by smallest and largest value, of the training rows; the "
        "model keeps them",
    )
    group.add_argument("--test", metavar="FILE", help="a file with the same columns to test with")
    group.add_argument(
        "--test-split",
        type=SHARE,
        default=0.2,
        metavar="SHARE",
        help="share of the rows of a file to test with, drawn by the seed, where there is no --test (default: 0.2)",
    )
    group.add_argument(
        "--validation-split",
        type=SHARE,
        default=0.0,
        metavar="SHARE",
        help="validate with this share of the training rows, the last ones, and do not train on them (default: 0)",
    )


def _default(name):
    """The defaults of an option by recipe, for its help."""
    plain, best = (recipes.RECIPES[recipe]["mlp"][name] for recipe in ("plain", "best"))
    text = [" ".join(map(str, v)) if isinstance(v, list) else f"{v}" for v in (plain, best)]
    return text[0] if text[0] == text[1] else f"{text[0]}; best: {text[1]}"


def _add_network(group):
    group.add_argument(
        "--hidden",
        type=COUNT,
        nargs="*",
        metavar="UNITS",
        help=f"widths of the hidden layers, of the encoder in an autoencoder (default: {_default('hidden')})",
    )
    group.add_argument("--code", type=COUNT, metavar="UNITS", help="width of an autoencoder's code (default: 32)")
    deviation = number(float, "a number of at least 0", 0.0, float("inf"), below=True)
    group.add_argument(
        "--noise",
        type=deviation,
        metavar="DEVIATION",
        help="noise on an autoencoder's inputs in training (default: none)",
    )
    group.add_argument(
        "--masking",
        type=SHARE,
        metavar="SHARE",
        help="share of an autoencoder's inputs to hide in training (default: 0)",
    )
    group.add_argument(
        "--tied", action="store_true", default=None, help="the decoder's weights are the encoder's, transposed"
    )
    group.add_argument(
        "--sparse", type=RATE, metavar="RATE", help="penalty on the code's absolute values, as 0.0001 (default: none)"
    )
    activations = ", ".join(row.name for row in ACTIVATIONS if not row.rowwise)
    group.add_argument("--activation", metavar="NAME", help=f"of the hidden layers: {activations} (default: relu)")
    group.add_argument(
        "--dropout",
        type=SHARE,
        nargs="+",
        metavar="RATE",
        help="share of every hidden layer's outputs to drop in training, one rate or one a layer (default: 0.3)",
    )


def _add_training(group):
    group.add_argument("--epochs", type=COUNT, metavar="N", help=f"default: {_default('epochs')}")
    group.add_argument("--batch-size", type=COUNT, metavar="N", help=f"rows a step (default: {_default('batch_size')})")
    group.add_argument("--optimizer", choices=optimizers.NAMES, help=f"default: {_default('optimizer')}")
    group.add_argument(
        "--learning-rate", type=RATE, metavar="RATE", help="default: 0.001, and 0.01 for sgd; best: 0.002"
    )
    group.add_argument(
        "--schedule",
        choices=recipes.SCHEDULES,
        help=f"how the rate changes: it stays, falls by a cosine, or rises and falls (default: {_default('schedule')})",
    )
    group.add_argument(
        "--weight-decay",
        type=number(float, "a number of at least 0", 0.0, float("inf"), below=True),
        metavar="RATE",
        help="decay of the weights, apart from their gradients (default: 0.004 for adamw, otherwise none; best: 0.1)",
    )
    group.add_argument(
        "--label-smoothing",
        type=SHARE,
        metavar="SHARE",
        help=f"share of every label to spread over all classes (default: {_default('label_smoothing')})",
    )
    group.add_argument(
        "--seed",
        type=SEED,
        default=0,
        metavar="N",
        help="the same seed gives the same network, whatever the number of threads (default: 0)",
    )
