"""`fastnn train`: a network, its history and its pictures, left in a folder."""

import contextlib
import os
import sys
import time
from pathlib import Path

from .. import __version__, datasets, optimizers, validation
from ..callbacks import Callback
from ..diagnostics import counted, engine, threads
from ..kernels.activations import ACTIVATIONS
from ..mlp import MLP
from . import resume
from .arguments import COUNT, RATE, SEED, SHARE, add_device, note
from .data import load_announced
from .files import HISTORY, MODEL, write_history

CURVES, SHEET = "curves.png", "predictions.png"
_ABOUT = """\
Train a multi-layer perceptron on a data set of images.

After every epoch the network is validated: with the test images (which nothing is chosen by), or with a part of the
training images that --validation-split holds out. What is left behind, in a folder of its own:
  model.safetensors    the network; continue with `fastnn evaluate`, `fastnn predict` or fastnn.load()
  history.csv          loss and accuracy of every epoch, in training and in validation
  curves.png           the same as a picture
  predictions.png      test images with what they are and what they were taken for
The pictures need matplotlib: pip install -e ".[plot]". Ctrl-C stops training and keeps what was trained so far.
Until it is complete the folder also has arguments.json and backup/, from which --resume goes on after any interruption.
"""
_EXAMPLES = """\
examples:
  fastnn train
  fastnn train --data fashion-mnist --hidden 900 900 --dropout 0.5 --epochs 12
  fastnn train --optimizer sgd --learning-rate 0.1 --epochs 50 --seed 7
  fastnn train --hidden                    no hidden layer: logistic regression
  fastnn evaluate $(fastnn train --quiet)
  fastnn train --resume runs/NAME          go on after an interruption
"""


def add(commands):
    """Add the sub-command's arguments."""
    parser = commands.add_parser(
        "train", help="train a network and leave it in a folder", description=_ABOUT, epilog=_EXAMPLES
    )
    parser.add_argument(
        "--data",
        default="fashion-mnist-mini",
        metavar="NAME",
        help=f"{', '.join(datasets.names())} (default: %(default)s)",
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
    group = parser.add_argument_group("network")
    group.add_argument(
        "--hidden",
        type=COUNT,
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
        type=SHARE,
        nargs="+",
        default=[0.3],
        metavar="RATE",
        help="share of every hidden layer's outputs to drop in training, one rate or one a layer (default: 0.3)",
    )
    group = parser.add_argument_group("training")
    group.add_argument("--epochs", type=COUNT, default=20, metavar="N", help="default: 20")
    group.add_argument("--batch-size", type=COUNT, default=128, metavar="N", help="images a step (default: 128)")
    group.add_argument("--optimizer", choices=optimizers.NAMES, default="adam", help="default: adam")
    group.add_argument(
        "--learning-rate",
        type=RATE,
        metavar="RATE",
        help="default: 0.001, and 0.01 for sgd",
    )
    group.add_argument(
        "--validation-split",
        type=SHARE,
        default=0.0,
        metavar="SHARE",
        help="validate with this share of the training images, the last ones, and do not train on them (default: 0)",
    )
    group.add_argument(
        "--seed",
        type=SEED,
        default=0,
        metavar="N",
        help="the same seed gives the same network, whatever the number of threads (default: 0)",
    )
    add_device(parser, dtype=True)


def run(args):
    """Run the sub-command."""
    if args.resume is not None:
        args = resume.recall(args)
    say = (lambda *_: None) if args.quiet else print
    (x, y), test = load_announced(args.data)
    names = datasets.class_names(args.data)
    options = {} if args.learning_rate is None else {"learning_rate": args.learning_rate}
    model = MLP(
        [x[0].size, *args.hidden, len(names)],
        activation=args.activation,
        dropout=args.dropout[0] if len(args.dropout) == 1 else args.dropout,
        optimizer=optimizers.deserialize({"name": args.optimizer, "config": options}),
        seed=args.seed,
        backend=args.backend,
        dtype=args.dtype,
        threads=args.threads,
        name=args.data,  # by which `evaluate` knows what it was trained on
    )
    if 0 < args.validation_split * len(x) < 1:
        raise ValueError(f"--validation-split {args.validation_split} of {len(x)} images leaves none to validate with")
    held_out = len(x) - validation.split_at(args.validation_split, len(x))
    missing = _pictures_missing()
    if missing:
        note(missing)
    folder = _new_folder(args) if args.resume is None else Path(args.resume)
    try:
        _announce(say, args, model, len(x) - held_out, len(test[0]), held_out)
        validate = {"validation_split": args.validation_split} if held_out else {"validation_data": test}
        stopped = None
        start = time.perf_counter()
        watched = not args.quiet and sys.stderr is not None and sys.stderr.isatty()
        callbacks = [resume.remember(args, folder), *([] if args.quiet else [_Table(watched)])]
        try:
            model.fit(x, y, args.batch_size, args.epochs, int(watched), callbacks=callbacks, **validate)
        except (KeyboardInterrupt, FloatingPointError, BrokenPipeError) as error:
            stopped = error
        seconds = time.perf_counter() - start
        if model.history is None:
            resume.forget(folder)
            raise stopped
        model.save(folder / MODEL)
        write_history(folder / HISTORY, model.history)
    finally:
        _remove_if_empty(folder)
    if stopped is not None:
        return _report_stop(model, folder, args.epochs, stopped)
    resume.forget(folder)

    loss, accuracy = model.evaluate(*test, verbose=0)
    say(f"\ntest accuracy  {accuracy:.4f}  (loss {loss:.4f}, {len(test[0]):,} images)")
    rate = (len(x) - held_out) * args.epochs / seconds
    say(f"trained in     {seconds:.1f} s, {rate:,.0f} samples/s, validation included")
    if not missing:
        from .. import plot

        plot.history(model.history).savefig(folder / CURVES)
        sheet = test[0][:50], test[1][:50], model.predict(test[0][:50])
        plot.images(*sheet, class_names=names).savefig(folder / SHEET)
    print(folder) if args.quiet else print(f"left in        {folder}")
    for path in sorted(folder.iterdir()):
        say(f"  {path.name:<18} {path.stat().st_size / 1024:>8,.0f} KiB")
    if missing:
        say(f"  without {CURVES} and {SHEET}: {missing}")
    say(f"look closer    fastnn evaluate {folder}")


class _Table(Callback):
    """Prints a line an epoch, in the place of the epoch's progress bar where there is one."""

    def __init__(self, bar):
        self.bar = bar and os.environ.get("TERM") != "dumb"
        self.headed = False

    def on_epoch_begin(self, epoch, logs=None):
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        rate = self.params["samples"] / (time.perf_counter() - self.start)
        if self.bar:
            print("\x1b[1A\x1b[2K", end="", file=sys.stderr, flush=True)  # up a line, and clear it
        if not self.headed:
            self.headed = True
            print(f"{'epoch':>9}", *(f"{name:>12}" for name in logs), f"{'samples/s':>12}")
        count = f"{epoch + 1}/{self.params['epochs']}"
        print(f"{count:>9}", *(f"{value:>12.4f}" for value in logs.values()), f"{rate:>12,.0f}", flush=True)


def _pictures_missing():
    """Why no pictures can be made, or None."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        why = "is not installed" if error.name == "matplotlib" else f"cannot be imported ({error})"
        return f'{CURVES} and {SHEET} will be left out, for matplotlib {why}; pip install -e ".[plot]" would get them'
    return None


def _new_folder(args):
    """Make a folder that holds nothing yet."""
    if args.out is not None:
        folder = Path(args.out)
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise ValueError(f"--out {args.out}: the folder is not empty, and nothing is overwritten; name a new one")
        return folder
    stem = Path("runs") / f"{args.data}-{time.strftime('%Y%m%d-%H%M%S')}"
    for attempt in range(1, 1000):
        folder = stem if attempt == 1 else stem.with_name(f"{stem.name}-{attempt}")
        with contextlib.suppress(FileExistsError):
            folder.mkdir(parents=True)
            return folder
    raise FileExistsError(f"{stem} and a thousand names after it exist")


def _remove_if_empty(folder):
    with contextlib.suppress(OSError):
        folder.rmdir()


def _announce(say, args, model, n_train, n_test, held_out):
    location = datasets.locate(args.data)
    widths = "-".join(str(layer.output_shape[1]) for layer in model.layers if layer.count_params())
    dropout = ", ".join(f"{rate:g}" for rate in args.dropout)
    hidden = f", {args.activation}, dropout {dropout}" if args.hidden else ""
    held = f" (the last {held_out:,} of the training images)" if held_out else " (the test images)"
    say(f"fastnn {__version__}, {engine(model.backend)}, {counted(threads(args.threads)[0], 'thread')}, {model.dtype}")
    say(f"data           {args.data}: {n_train:,} images to train on, {n_test:,} to test ({location.folder})")
    say(f"network        {model.input_shape[1]}-{widths}{hidden}: {model.count_params():,} parameters")
    steps = f"{counted(args.epochs, 'epoch')}, batches of {args.batch_size}"
    say(f"training       {steps}, {args.optimizer}, rate {model.optimizer.learning_rate:g}, seed {args.seed}")
    say(f"validation     val_loss and val_accuracy{held}\n")


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
    print(f"fastnn: nobody reads the output any more, {kept}{goes_on}", file=sys.stderr)
    raise stopped
