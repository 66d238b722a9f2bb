"""What `fastnn train`, `evaluate`, `predict` and `data` do."""

import contextlib
import csv
import os
import sys
import time
from pathlib import Path

import numpy as np

from . import __version__, datasets, optimizers, validation
from .autoencoder import Autoencoder
from .callbacks import Callback
from .checkpoint import load
from .mlp import MLP
from .report import counted, engine, threads

MODEL, HISTORY, CURVES, SHEET = "model.safetensors", "history.csv", "curves.png", "predictions.png"


# ---------------------------------------------------------------------------------------------- train


def train(args):
    say = (lambda *_: None) if args.quiet else print
    (x, y), test = _load(args.data)
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
        print(f"fastnn: note: {missing}", file=sys.stderr)
    folder = _new_folder(args)
    try:
        _announce(say, args, model, len(x) - held_out, len(test[0]), held_out)
        validate = {"validation_split": args.validation_split} if held_out else {"validation_data": test}
        stopped = None
        start = time.perf_counter()
        watched = not args.quiet and sys.stderr is not None and sys.stderr.isatty()
        table = [] if args.quiet else [_Table(watched)]
        try:
            model.fit(x, y, args.batch_size, args.epochs, int(watched), callbacks=table, **validate)
        except (KeyboardInterrupt, FloatingPointError, BrokenPipeError) as error:
            stopped = error
        seconds = time.perf_counter() - start
        if model.history is None:
            raise stopped
        model.save(folder / MODEL)
        write_history(folder / HISTORY, model.history)
    finally:
        _remove_if_empty(folder)
    if stopped is not None:
        return _report_stop(model, folder, args.epochs, stopped)

    loss, accuracy = model.evaluate(*test, verbose=0)
    say(f"\ntest accuracy  {accuracy:.4f}  (loss {loss:.4f}, {len(test[0]):,} images)")
    rate = (len(x) - held_out) * args.epochs / seconds
    say(f"trained in     {seconds:.1f} s, {rate:,.0f} samples/s, validation included")
    if not missing:
        from . import plot

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

    def on_epoch_begin(self, epoch, logs=None):
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        rate = self.params["samples"] / (time.perf_counter() - self.start)
        if self.bar:
            print("\x1b[1A\x1b[2K", end="", file=sys.stderr, flush=True)  # up a line, and clear it
        if epoch == 0:
            print(f"{'epoch':>9}", *(f"{name:>12}" for name in logs), f"{'samples/s':>12}")
        count = f"{epoch + 1}/{self.params['epochs']}"
        print(f"{count:>9}", *(f"{value:>12.4f}" for value in logs.values()), f"{rate:>12,.0f}", flush=True)


def _load(name):
    location = datasets.locate(name)
    if location.kind == "download":
        print(f"fastnn: downloading {name} to {location.folder}", file=sys.stderr)
    return datasets.load(name)


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
    if isinstance(stopped, KeyboardInterrupt):
        print(f"\nfastnn: interrupted, {kept}", file=sys.stderr)
        return 130
    if isinstance(stopped, FloatingPointError):
        raise FloatingPointError(f"{stopped} {kept[0].upper()}{kept[1:]}.") from stopped
    print(f"fastnn: nobody reads the output any more, {kept}", file=sys.stderr)
    raise stopped


def write_history(path, history):
    """Write a history as CSV: a line an epoch, numbers that read back as they were."""
    columns = history.history
    with open(path, "x", newline="", encoding="ascii") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["epoch", *columns])
        for row in zip(history.epoch, *columns.values(), strict=True):
            writer.writerow([row[0] + 1, *map(repr, row[1:])])


# ---------------------------------------------------------------------------------------------- evaluate


def _open_model(args):
    path = Path(args.model)
    return load(path / MODEL if path.is_dir() else path, backend=args.backend, threads=args.threads)


def evaluate(args):
    model = _open_model(args)
    name = args.data or model.name
    if args.data is None and name not in datasets.names():
        raise ValueError(
            f"{args.model} does not say what it was trained on: add --data, one of {', '.join(datasets.names())}"
        )
    x, y = _load(name)[args.split == "test"]
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


# ---------------------------------------------------------------------------------------------- predict


def predict(args):
    out = None if args.out is None else Path(args.out)
    if out is not None and out.suffix not in (".csv", ".npy"):
        raise ValueError(f"--out {out}: expected a name that ends in .csv or .npy")
    model = _open_model(args)
    x = read_rows(args.input)
    if args.uint8:
        x = _as_bytes(x, args.input)
    elif x.dtype != np.uint8 and x.dtype.kind in "iuf" and model.input_scale != 1.0 and (x > 1).any():
        print(
            f"fastnn: note: {args.input} has values above 1, which are taken as they are; if they are pixels from 0 to "
            "255, add --uint8",
            file=sys.stderr,
        )
    y = model.predict(x)
    if out is not None and any(out.exists() and out.samefile(other) for other in (args.input, args.model)):
        raise ValueError(f"--out {out} is a file that was read; name another")
    if out is None:
        _write_predictions(sys.stdout, model, y, x)
    elif out.suffix == ".npy":
        np.save(out, y, allow_pickle=False)
    else:
        with open(out, "w", newline="", encoding="utf-8") as file:
            _write_predictions(file, model, y, x)
    if out is not None:
        print(f"wrote {len(y):,} rows of {y.shape[1]} outputs to {out}", file=sys.stderr)


def read_rows(path):
    """Read an array (n, ...) from a .npy, .csv or IDX file, whichever its name says."""
    suffix = Path(path).suffix.lower()
    if suffix not in (".npy", ".csv"):
        return datasets.read_idx(path)
    try:
        if suffix == ".npy":
            x = np.load(path, allow_pickle=False)
            if not isinstance(x, np.ndarray):
                raise ValueError("it holds several arrays")
            return x
        with open(path, encoding="utf-8-sig") as file:
            first = file.readline()
            try:
                list(map(float, first.split(",")))
                file.seek(0)
            except ValueError:
                pass  # a line of names
            lines = [line for line in file if line.strip()]
        if not lines:
            raise ValueError("it has no rows")
        return np.loadtxt(lines, delimiter=",", dtype=np.float64, ndmin=2, comments=None)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path} cannot be read as {suffix[1:].upper()}: {error}") from error


def _as_bytes(x, path):
    with np.errstate(invalid="ignore"):
        if x.dtype.kind not in "biuf" or not ((x >= 0) & (x <= 255) & (x == np.floor(x))).all():
            raise ValueError(f"--uint8: {path} has values that are not integers from 0 to 255")
    return x.astype(np.uint8)


def _write_predictions(file, model, y, x):
    classifier = not isinstance(model, Autoencoder) and getattr(model, "task", "classification") == "classification"
    head, columns = [], []
    if classifier:
        labels = model.predict_classes(x)
        head.append("class")
        columns.append(labels.tolist())
        if labels.ndim == 1 and model.classes is None and model.name in datasets.names():
            names = datasets.class_names(model.name)
            if len(names) == y.shape[1]:
                head.append("name")
                columns.append([names[label] for label in labels])
    writer = csv.writer(file, lineterminator="\n")
    kind = "p" if classifier else "y"
    writer.writerow([*head, *(f"{kind}{i}" for i in range(y.shape[1]))])
    for i, row in enumerate(y):
        writer.writerow([*(column[i] for column in columns), *map(str, row)])


# ---------------------------------------------------------------------------------------------- data


def data(args):
    if args.name is None:
        if args.download:
            raise ValueError("--download needs the NAME of a data set")
        for name in datasets.names():
            about = datasets.info(name)
            print(f"{name}\n  {about.title}\n  {about.train:,} + {about.test:,} images, {about.licence} licence")
            print(f"  {where(name)}")
        return
    about = datasets.info(args.name)
    if args.download:
        (x, _), (x_test, _) = _load(args.name)
        print(f"{args.name}: {len(x):,} training and {len(x_test):,} test images, read and found in order")
    print(f"{args.name}: {about.title}")
    for label, text in (
        ("images", f"{about.train:,} to train on, {about.test:,} to test, 28 x 28 pixels, uint8"),
        ("classes", ", ".join(about.class_names)),
        ("licence", about.licence),
        ("credit", about.credit),
        ("homepage", about.homepage),
        ("place", where(args.name)),
        ("size", f"{sum(file.size for file in about.files) / 1e6:.1f} MB, compressed"),
        ("mirrors", ("\n" + " " * 11).join(about.mirrors)),
    ):
        if text:
            print(f"  {label:<8} {text}")


def where(name):
    """Tell in a line where a data set would be read from."""
    location = datasets.locate(name)
    folder = os.fspath(location.folder)
    return {
        "bundled": f"comes with fastnn ({folder})",
        "download": f"not on this machine: it would be downloaded to {folder}",
        "cache": f"downloaded to {folder}",
    }.get(location.kind, f"found through {location.kind} in {folder}")
