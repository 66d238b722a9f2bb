"""`fastnn train`: a network, its history, its pictures and a report, left in a folder."""

import contextlib
import os
import sys
import time
from pathlib import Path

from .. import __version__, datasets, files, optimizers, report, validation
from ..callbacks import Callback
from ..diagnostics import counted, engine, threads
from ..kernels.activations import ACTIVATIONS
from . import pictures, recipes, resume, sources
from .arguments import COUNT, RATE, SEED, SHARE, add_device, note, number
from .evaluate import class_rows
from .files import HISTORY, MODEL, write_history

REPORT = "report.html"
_TOLD = (
    "recipe",
    "normalize",
    "noise",
    "masking",
    "tied",
    "sparse",
    "validation_split",
    "seed",
)  # settings of the report besides a recipe's
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


def run(args):
    """Run the sub-command."""
    if args.resume is not None:
        args = resume.recall(args)
    recipes.settle(args)
    source = sources.load(args)
    if args.print_recipe:
        if sources.is_file(args.data):
            raise ValueError(f"--print-recipe is for data sets ({', '.join(datasets.names())}), not for files")
        print(recipes.script(args, source), end="")
        return None
    say = (lambda *_: None) if args.quiet else print
    model = recipes.model_call(args, source).make()
    n = source.n_train
    if 0 < args.validation_split * n < 1:
        raise ValueError(f"--validation-split {args.validation_split} of {n} rows leaves none to validate with")
    held_out = n - validation.split_at(args.validation_split, n)
    missing = pictures.missing()
    if missing:
        note(missing)
    folder = _new_folder(args, source) if args.resume is None else Path(args.resume)
    begun = time.perf_counter()
    try:
        stopped = _fit(say, args, model, source, folder, held_out)
    finally:
        _remove_if_empty(folder)
    seconds = time.perf_counter() - begun
    if stopped is not None:
        return _report_stop(model, folder, args.epochs, stopped)
    resume.forget(folder)

    results = _test(model, source)
    shown = ", ".join(f"{name} {value:.4f}" for name, value in results.items() if name != "loss")
    name = next(iter(shown.split()), None)
    rest = f"loss {results['loss']:.4f}, {len(source.x_test):,} {_what(source)}"
    say(f"\ntest {name:<9} {results[name]:.4f}  ({rest})" if name else f"\ntest loss      {rest.removeprefix('loss ')}")
    rate = (n - held_out) * args.epochs / seconds
    say(f"trained in     {seconds:.1f} s, {rate:,.0f} samples/s, validation included")
    parts = [] if missing else list(_draw(model, source, folder))
    _write_report(args, model, source, folder, results, seconds, parts, missing)
    print(folder) if args.quiet else print(f"left in        {folder}")
    for path in sorted(folder.iterdir()):
        say(f"  {path.name:<20} {path.stat().st_size / 1024:>8,.0f} KiB")
    if missing:
        say(f"  {missing}")
    say(f"report         {folder / REPORT}")
    say(f"look closer    fastnn evaluate {folder}")
    return None


def _fit(say, args, model, source, folder, held_out):
    """Train, and leave model and history in the folder; return what stopped it, or None."""
    _announce(say, args, model, source, held_out)
    stopped = None
    pair = (source.x, source.y) if args.model == "mlp" else (source.x,)
    test = (source.x_test, source.y_test) if args.model == "mlp" else (source.x_test,)
    validate = {"validation_split": args.validation_split} if held_out else {"validation_data": test}
    watched = not args.quiet and sys.stderr is not None and sys.stderr.isatty()
    try:
        files.write_atomic(folder / sources.RUN, sources.describe(args, source))
        table = _Table(watched)
        callbacks = [resume.remember(args, folder, (lambda: None) if args.quiet else table.show), table]
        options = {
            "batch_size": args.batch_size,
            "epochs": args.epochs,
            "verbose": int(watched),
            "callbacks": callbacks,
        }
        model.fit(*pair, **options, **validate)
    except BaseException as error:
        if model.history is None:  # nothing has begun
            resume.forget(folder)
            files.remove(folder / sources.RUN)
            raise
        if not isinstance(error, (KeyboardInterrupt, FloatingPointError, OSError)):
            raise
        stopped = error
    model.save(folder / MODEL)
    write_history(folder / HISTORY, model.history)
    return stopped


def _test(model, source):
    """Loss and metrics of the test rows, a dict."""
    pair = (source.x_test,) if not hasattr(model, "task") else (source.x_test, source.y_test)
    return model.evaluate(*pair, verbose=0, return_dict=True)


def _what(source):
    return "images" if source.image_shape else "rows"


def _draw(model, source, folder):
    """Draw the pictures, leave them in the folder, and yield their parts of the report."""
    for name, png, caption in pictures.draw(model, source, source.x_test, source.y_test, model.history):
        (folder / name).write_bytes(png)
        yield report.picture(png, caption)


def _write_report(args, model, source, folder, results, seconds, parts, missing):
    shown = {key: value for key, value in vars(args).items() if key in recipes.PLAIN or key in _TOLD}
    data = {
        "data": f"{source.name} ({source.place})",
        "training rows": f"{source.n_train:,} of {source.inputs} numbers",
        "test rows": f"{len(source.x_test):,}",
        "SHA-256 of the data": source.digest(),
    }
    body = [
        report.heading("Result"),
        report.facts({f"test {name}": f"{value:.4f}" for name, value in results.items()}),
    ]
    if hasattr(model, "task") and source.task == "classification":
        rows = class_rows(source.y_test, model.predict_classes(source.x_test), source.class_names)
        body += [report.heading("Classes"), report.table(("class", "rows", "recall", "precision", "taken for"), rows)]
    body += [report.heading("Pictures"), *parts] if parts else []
    if missing:
        body.append(report.paragraph(missing))
    history = model.history
    rows = [(epoch + 1, *values) for epoch, *values in zip(history.epoch, *history.history.values(), strict=True)]
    settings = {key.replace("_", " "): " ".join(map(str, v)) if isinstance(v, list) else v for key, v in shown.items()}
    body += [
        report.heading("Data"),
        report.facts(data),
        report.heading("Settings"),
        report.facts({"model": args.model, **{key: value for key, value in settings.items() if value is not None}}),
        report.program(recipes.model_call(args, source).source(lines=True)),
        report.heading("Network"),
        pictures.layers(model),
        report.heading("Machine"),
        report.facts({**pictures.machine(model, args.threads), "training took": f"{seconds:.1f} s"}),
        report.heading("Epochs"),
        report.table(("epoch", *history.history), rows),
    ]
    page = report.page(f"{source.name}, {args.model}", body)
    files.write_atomic(folder / REPORT, page.encode("utf-8", "replace"))


class _Table(Callback):
    """Prints a line an epoch, in the place of the epoch's progress bar where there is one."""

    def __init__(self, bar):
        self.bar = bar and os.environ.get("TERM") != "dumb"
        self.headed = False

    def on_epoch_begin(self, epoch, logs=None):
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.epoch, self.logs, self.seconds = epoch, logs, time.perf_counter() - self.start

    def show(self):
        """Print the line of the last epoch: once it is safe, for printing may fail."""
        if self.bar:
            print("\x1b[1A\x1b[2K", end="", file=sys.stderr, flush=True)  # up a line, and clear it
        if not self.headed:
            self.headed = True
            print(f"{'epoch':>9}", *(f"{name:>12}" for name in self.logs), f"{'samples/s':>12}")
        count = f"{self.epoch + 1}/{self.params['epochs']}"
        values = (f"{value:>12.4f}" for value in self.logs.values())
        print(f"{count:>9}", *values, f"{self.params['samples'] / self.seconds:>12,.0f}", flush=True)


def _new_folder(args, source):
    """Make a folder that holds nothing yet."""
    if args.out is not None:
        folder = Path(args.out)
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise ValueError(f"--out {args.out}: the folder is not empty, and nothing is overwritten; name a new one")
        return folder
    stem = Path("runs") / f"{source.name}-{time.strftime('%Y%m%d-%H%M%S')}"
    for attempt in range(1, 1000):
        folder = stem if attempt == 1 else stem.with_name(f"{stem.name}-{attempt}")
        with contextlib.suppress(FileExistsError):
            folder.mkdir(parents=True)
            return folder
    raise FileExistsError(f"{stem} and a thousand names after it exist")


def _remove_if_empty(folder):
    with contextlib.suppress(OSError):
        folder.rmdir()


def _announce(say, args, model, source, held_out):
    n_train, what = source.n_train - held_out, _what(source)
    widths = "-".join(str(layer.output_shape[1]) for layer in model.layers if layer.count_params())
    dropout = f", dropout {', '.join(f'{rate:g}' for rate in args.dropout)}" if any(args.dropout) else ""
    hidden = f", {args.activation}{dropout}" if args.hidden else ""
    held = f" (the last {held_out:,} of the training {what})" if held_out else f" (the test {what})"
    rate = f"rate {model.optimizer.learning_rate:g}" if args.schedule == "constant" else f"rate {args.schedule}"
    names = " and ".join(f"val_{name}" for name in ("loss", *(metric.name for metric in model._metrics)))
    say(f"fastnn {__version__}, {engine(model.backend)}, {counted(threads(args.threads)[0], 'thread')}, {model.dtype}")
    say(
        f"data           {source.name}: {n_train:,} {what} to train on, {len(source.x_test):,} to test ({source.place})"
    )
    if args.model == "mlp" and sources.is_file(args.data):
        classes = f", {len(source.class_names)} classes" if source.class_names else ""
        say(f"target         {args.target}: {source.task}{classes}")
    say(f"network        {source.inputs}-{widths}{hidden}: {model.count_params():,} parameters")
    steps = f"{counted(args.epochs, 'epoch')}, batches of {args.batch_size}"
    say(f"training       {steps}, {args.optimizer}, {rate}, seed {args.seed}")
    say(f"validation     {names}{held}\n")


def _report_stop(model, folder, epochs, stopped):
    """Say why training stopped and what there is of it; return the exit status."""
    done = len(model.history.epoch)
    kept = (
        f"training stopped in epoch {done + 1} of {epochs}: {folder} has the model as it was then ({MODEL}) and the "
        f"{counted(done, 'completed epoch')} ({HISTORY}), no pictures"
    )
    goes_on = f"; `fastnn train --resume {folder}` goes on after the last completed epoch"
    if isinstance(stopped, KeyboardInterrupt):
        print(f"\nfastnn: interrupted, {kept}{goes_on}", file=sys.stderr)
        return 130
    if isinstance(stopped, FloatingPointError):
        resume.forget(folder)  # it would only happen again
        raise FloatingPointError(f"{stopped} {kept[0].upper()}{kept[1:]}.") from stopped
    if isinstance(stopped, BrokenPipeError):
        print(f"fastnn: nobody reads the output any more, {kept}{goes_on}", file=sys.stderr)
        raise stopped
    raise type(stopped)(f"{stopped}; {kept}{goes_on}") from stopped
