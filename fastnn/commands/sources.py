"""Data for the sub-commands: a data set of the catalogue, or a table in a file."""

import argparse
import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .. import datasets
from . import tables
from .arguments import note
from .data import load_announced

RUN = "run.json"
_KEPT = ("model", "data", "target", "drop", "test", "test_split", "uint8", "seed")
_FILES = (".csv", ".npy", ".npz", ".parquet")
_MOST_CLASSES = 100  # distinct whole numbers above which a target is taken for a quantity


@dataclass
class Source:
    """Data with what is known of them.

    Attributes
    ----------
    name : str
        Of the data set, or of the file without folder and ending.
    x, y : ndarray
        Training rows (n, ...) and labels (n,), the latter None if there are none.
    x_test, y_test : ndarray
        The same to test with.
    task : str
        "classification" or "regression".
    class_names : tuple of str or None
    image_shape : tuple of int or None
        (h, w) or (h, w, channels), if the rows are images.
    place : str
        Where the data are.
    columns : list of str or None
        Names of the inputs, if the data are a table of columns.
    """

    name: str
    x: np.ndarray
    y: np.ndarray | None
    x_test: np.ndarray
    y_test: np.ndarray | None
    task: str
    class_names: tuple | None
    image_shape: tuple | None
    place: str
    columns: list | None = None

    @property
    def n_train(self):
        """Number of the training rows."""
        return len(self.x)

    @property
    def inputs(self):
        """Numbers a row."""
        return self.x[0].size

    @property
    def outputs(self):
        """Outputs of a network for the target."""
        return len(self.class_names) if self.task == "classification" else 1

    @property
    def unit(self):
        """Whether all inputs lie in [0, 1], bytes being scaled to it."""
        return self.x.dtype == np.uint8 or bool((self.x.min() >= 0) and (self.x.max() <= 1))

    def digest(self):
        """Return the SHA-256 of all values, in hexadecimal."""
        digest = hashlib.sha256()
        for values in (self.x, self.y, self.x_test, self.y_test):
            if values is not None:
                digest.update(f"{values.dtype.str} {values.shape}\n".encode())
                digest.update(np.ascontiguousarray(values).tobytes())
        return digest.hexdigest()


def is_file(name):
    """Whether a name means a file rather than a data set."""
    return Path(name).suffix.lower() in _FILES or Path(name).is_file()


def load(args):
    """Load what ``args.data`` names, for the arguments of `fastnn train`."""
    if is_file(args.data):
        return _load_file(args)
    for name in ("target", "test", "drop", "task", "uint8"):
        if getattr(args, name) and args.data in datasets.names():
            raise ValueError(f"--{name} is for files; {args.data} is a data set that knows its own")
    return _catalogued(args.data)


def _catalogued(name):
    (x, y), (x_test, y_test) = load_announced(name)
    place = str(datasets.locate(name).folder)
    return Source(name, x, y, x_test, y_test, "classification", datasets.class_names(name), x.shape[1:], place)


def _load_file(args):
    if args.target is None and args.model == "mlp" and Path(args.data).suffix.lower() != ".npz":
        raise ValueError(f"{args.data}: --target must say what to predict{tables.choices(args.data)}")
    train = tables.read(args.data, args.target, args.drop or ())
    name = Path(args.data).stem
    if train.y is None and args.model == "mlp":
        raise ValueError(f"{args.data}: --target must name the array to predict")
    if args.test is not None:
        test = tables.read(args.test, args.target, args.drop or (), like=train)
        x, y, x_test, y_test = train.x, train.y, test.x, test.y
    elif train.test is not None:
        (x, y), (x_test, y_test) = (train.x, train.y), train.test
    else:
        x, y, x_test, y_test = split(train, args.test_split, args.seed, args.data)
    task, names = "classification", None
    if y is not None:
        task = args.task or _task(y)
        if task == "classification":
            y, y_test, names = _labels(y, y_test, args.target)
        elif y.dtype.kind not in "biuf":
            raise ValueError(f"--task regression: the target {args.target} holds texts, such as {y[0].item()!r}")
    if args.uint8:
        x, x_test = tables.as_bytes(x, args.data), tables.as_bytes(x_test, args.test or args.data)
    image = image_shape(x)
    return Source(name, x, y, x_test, y_test, task, names, image, str(Path(args.data).resolve()), train.columns)


def image_shape(x):
    """The shape of an image if the rows are images: of two or three axes, or bytes that make a square."""
    shape, side = x.shape[1:], math.isqrt(x[0].size)
    if len(shape) == 1 and x.dtype == np.uint8 and side * side == shape[0] >= 16:
        return side, side
    return shape if len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3, 4)) else None


def split(table, share, seed, path):
    """Return x, y, x_test, y_test: rows to test with are drawn at random, by the seed."""
    n = len(table.x)
    count = round(share * n)
    if not 0 < count < n:
        raise ValueError(
            f"--test-split {share} of the {n} rows of {path} leaves none to test with, or none to train on"
        )
    order = np.random.default_rng([seed, 7]).permutation(n)
    test, train = np.sort(order[:count]), np.sort(order[count:])
    if table.y is None:
        return table.x[train], None, table.x[test], None
    return table.x[train], table.y[train], table.x[test], table.y[test]


def _task(y):
    """Texts and few whole numbers are classes, other numbers quantities."""
    if y.dtype.kind not in "biuf":
        return "classification"
    whole = bool((y == np.floor(y)).all())
    return "classification" if whole and len(np.unique(y)) <= _MOST_CLASSES else "regression"


def _whole(y, target):
    """Return numbers that stand for classes as int64."""
    wrong = (y != np.floor(y)) | (y < -(2**53)) | (y > 2**53)  # beyond, floats are not all the whole numbers
    if wrong.any():
        raise ValueError(f"--task classification: the target {target} has {y[wrong][0].item()!r}, no class")
    return y.astype(np.int64)


def _labels(y, y_test, target):
    """Return both as labels, and the names of the classes: whole numbers from 0 on stay, others become texts."""
    if y.dtype.kind in "biuf":
        y, y_test = _whole(y, target), _whole(y_test, target)
        known = np.unique(y)
        if len(known) > 1 and (known == np.arange(len(known))).all():
            strange = np.setdiff1d(y_test, known)
            names = tuple(map(str, known))
        else:
            y, y_test = y.astype(str), y_test.astype(str)
            strange, names = np.setdiff1d(y_test, y), tuple(np.unique(y).tolist())
    else:
        strange, names = np.setdiff1d(y_test, y), tuple(np.unique(y).tolist())
    if strange.size:
        raise ValueError(f"the rows to test with have the class {strange[0].item()!r}, which no training row has")
    if len(names) < 2:
        raise ValueError(f"the target {target} has the one class {names[0]!r}; there must be at least two")
    return y, y_test, names


def describe(args, source):
    """What `evaluate`, `predict` and `encode` need to know of a run, as the bytes of a JSON file."""
    kept = {name: getattr(args, name) for name in _KEPT}
    if is_file(args.data):
        for name in ("data", "test"):
            kept[name] = kept[name] and str(Path(kept[name]).resolve())
    kept |= {"task": source.task, "columns": source.columns, "sha256": source.digest()}
    return (json.dumps(kept, indent=1) + "\n").encode()


def recorded(model_path):
    """Return what `describe` left in the folder of a model, a dict, or None."""
    path = Path(model_path)
    path = (path if path.is_dir() else path.parent) / RUN
    try:
        run = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise ValueError(f"{path} cannot be read: {error}") from None
    if not isinstance(run, dict) or not {*_KEPT, "task", "columns", "sha256"} <= set(run):
        raise ValueError(f"{path} is not what `fastnn train` writes")
    return run


def of_model(args, model):
    """Return a `Source`, rows x, labels y or None, and what they are in a few words, for `fastnn evaluate`."""
    run = recorded(args.model) or {}
    name = args.data or run.get("data") or model.name
    split = args.split or "test"
    if args.data is not None and is_file(name):
        if args.split is not None:
            raise ValueError(f"--split is for the data of the training; all rows of {args.data} are used")
        source = _other_file(args, model, run)
        return source, source.x, source.y, f"{len(source.x):,} rows of {name}"
    if is_file(name):
        source = _load_file(argparse.Namespace(**run))
        if source.digest() != run["sha256"]:
            note(f"{name} is not what it was in training, so that its rows to test with may be others")
    elif name in datasets.names():
        source = _catalogued(name)
    else:
        known = ", ".join(datasets.names())
        raise ValueError(f"{args.model} does not say what it was trained on: add --data, one of {known}, or a file")
    x, y = (source.x_test, source.y_test) if split == "test" else (source.x, source.y)
    return source, x, y, f"{len(x):,} {split} {'images' if source.image_shape else 'rows'} of {source.name}"


def _other_file(args, model, run):
    """All rows of a file, with the inputs that the model was trained with."""
    target = args.target or run.get("target")
    columns = run.get("columns")
    like = tables.Table(None, target, columns) if columns else None
    task, names = getattr(model, "task", None), None
    if task is not None and target is None:
        raise ValueError(f"{args.data}: --target must say what to compare with{tables.choices(args.data)}")
    table = tables.read(args.data, target, run.get("drop") or (), like)
    y = table.y
    if task == "classification":
        if model.classes is not None:
            names = tuple(model.classes.tolist())
            y = _whole(y, target).astype(str) if y.dtype.kind in "biuf" else y
        else:
            names = tuple(map(str, range(max(model.output_shape[1], 2))))
    x = tables.as_bytes(table.x, args.data) if args.uint8 or run.get("uint8") else table.x
    place = str(Path(args.data).resolve())
    return Source(Path(args.data).stem, x, y, x, y, task or "regression", names, image_shape(x), place, table.columns)


def inputs_of_model(args, model):
    """Return the rows of ``args.input`` as the model takes them, for `fastnn predict` and `encode`."""
    run = recorded(args.model) or {}
    columns = run.get("columns")
    table = tables.read(args.input, None, (), tables.Table(None, None, columns) if columns else None)
    if args.uint8 or (run.get("uint8") and table.x.dtype != np.uint8):
        return tables.as_bytes(table.x, args.input)
    x = table.x if table.test is None else table.test[0]
    if x.dtype != np.uint8 and model.input_scale != 1.0 and (x > 1).any() and columns is None:
        note(
            f"{args.input} has values above 1, which are taken as they are; if they are pixels from 0 to 255, add "
            "--uint8"
        )
    return x
