"""`fastnn train`: a network, its history, its pictures and a report, left in a folder."""

import contextlib
import os
import sys
import time
from pathlib import Path

from .. import __version__, datasets, files, report, validation
from ..callbacks import Callback
from ..diagnostics import counted, engine, threads
from . import pictures, recipes, resume, sources
from .arguments import note
from .files import HISTORY, MODEL, write_history
from .options import add

__all__ = ["add", "run"]

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
    try:
        _write_report(args, model, source, folder, results, seconds)
    except OSError as error:
        raise OSError(
            f"the report could not be written ({error.strerror or error}); {folder} has the model ({MODEL}) and its "
            f"{HISTORY}, of which `fastnn evaluate {folder}` makes a report"
        ) from error
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


def _write_report(args, model, source, folder, results, seconds):
    """Draw the pictures, leave them in the folder, and bind them into the report."""
    parts = []
    for name, png, caption in pictures.draw(model, source, source.x_test, source.y_test, model.history):
        files.write_atomic(folder / name, png)
        parts.append(report.picture(png, caption))
    rows = None
    if hasattr(model, "task") and source.task == "classification":
        rows = pictures.class_rows(source.y_test, model.predict_classes(source.x_test), source.class_names)
    shown = {key: value for key, value in vars(args).items() if key in recipes.PLAIN or key in _TOLD}
    if shown["learning_rate"] is None and args.schedule == "constant":  # the program tells the rates of a schedule
        shown["learning_rate"] = f"{model.optimizer.learning_rate:g}"
    settings = {key.replace("_", " "): " ".join(map(str, v)) if isinstance(v, list) else v for key, v in shown.items()}
    history = model.history
    epochs = [(epoch + 1, *values) for epoch, *values in zip(history.epoch, *history.history.values(), strict=True)]
    target = {"target": f"{args.target}: {source.task}"} if args.target is not None and hasattr(model, "task") else {}
    pictures.write_report(
        folder / REPORT,
        f"{source.name}, {args.model}",
        [
            *pictures.opening(results, rows, parts, "test "),
            report.heading("Data"),
            report.facts(
                {
                    "data": f"{source.name} ({source.place})",
                    **target,
                    "training rows": f"{source.n_train:,} of {source.inputs} numbers",
                    "test rows": f"{len(source.x_test):,}",
                    "SHA-256 of the data": source.digest(),
                }
            ),
            report.heading("Settings"),
            report.facts({"model": args.model, **{key: value for key, value in settings.items() if value is not None}}),
            report.program(recipes.model_call(args, source).source(lines=True)),
            *pictures.closing(model, args.threads, {"training took": f"{seconds:.1f} s"}),
            report.heading("Epochs"),
            report.table(("epoch", *history.history), epochs),
        ],
    )


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
