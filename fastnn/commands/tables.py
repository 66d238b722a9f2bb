"""Tables in files: CSV, .npy, .npz and Parquet, as inputs and a target. Errors name column and row."""

import csv
import itertools
import warnings
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .. import datasets

_MISSING = {"", "na", "n/a", "nan", "null", "none", "?"}


@dataclass
class Table:
    """Inputs x (n, ...), a target y (n,) or None, the inputs' names or None, and (x, y) to test with or None."""

    x: np.ndarray
    y: np.ndarray | None
    columns: list | None = None
    test: tuple | None = None


def read(path, target=None, drop=(), like=None):
    """Read a file.

    Parameters
    ----------
    path : str
    target : str, optional
        A column, by name or number; the array of a .npz file; or a .npy file of its own.
    drop : sequence of str
        Columns to leave out.
    like : Table, optional
        One whose inputs this one must have too; they are brought into its order.

    Returns
    -------
    Table
        Numbers are float64, or what an array file holds; a target of texts is str.

    Raises
    ------
    ValueError
        If a column is missing or a value is; the message names column and row.
    """
    suffix = Path(path).suffix.lower()
    if suffix == ".npz":
        return _read_npz(path, target)
    if suffix not in (".csv", ".parquet"):
        return _read_array(path, target, drop)
    columns = _columns(path)
    names = list(columns)
    wanted = target is not None and not (like is not None and like.y is None)
    label = _find(names, target, path, "--target") if wanted else None
    left_out = {label, *(_find(names, name, path, "--drop") for name in drop)}
    inputs = [name for name in names if name not in left_out]
    if like is not None and like.columns is not None:
        for name in like.columns:
            if name not in columns:
                raise ValueError(f"{path} lacks the column {name!r} that there was in training")
        inputs = like.columns
    if not inputs:
        raise ValueError(f"{path} has no column besides the target")
    x = np.column_stack([_numbers(columns[name], name, path) for name in inputs])
    y = None if label is None else _target(columns[label], label, path)
    return Table(x, y, inputs)


def choices(path):
    """What a target may be, for a message."""
    if Path(path).suffix.lower() not in (".csv", ".parquet"):
        return ""
    names = list(_columns(path))
    return f"; the columns are {', '.join(names[:12])}{', ...' if len(names) > 12 else ''}"


def _columns(path):
    return _read_csv(path) if Path(path).suffix.lower() == ".csv" else _read_parquet(path)


def _find(names, wanted, path, option):
    if wanted in names:
        return wanted
    try:
        return names[int(wanted)]
    except (ValueError, IndexError):
        shown = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
        raise ValueError(f"{option} {wanted}: {path} has no such column; there are {shown}") from None


# Columns are lists of values with the number of the line or row of each, first of all as the file has them.


def _read_csv(path):
    """Return {name: (values, numbers of the lines)}: numbers if there is nothing else, otherwise texts."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            delimiter = max(",;\t", key=first.count)
            numbers = _read_numbers(file, first, delimiter)
            if numbers is not None:
                return numbers
            file.seek(0)
            reader = csv.reader(file, delimiter=delimiter, strict=True)
            rows, lines = [], []
            for row in reader:
                if row and any(field.strip() for field in row):
                    rows.append(row)
                    lines.append(reader.line_num)
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} cannot be read as CSV: {error}") from error
    if not rows:
        raise ValueError(f"{path} cannot be read as CSV: it has no rows")
    names = [str(i) for i in range(len(rows[0]))]
    if _is_head(rows):
        names, rows, lines = [name.strip() for name in rows[0]], rows[1:], lines[1:]
        if not rows:
            raise ValueError(f"{path} cannot be read as CSV: it has no rows")
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise ValueError(f"{path} cannot be read as CSV: two columns are called {twice[0]!r}")
    for row, line in zip(rows, lines, strict=True):
        if len(row) != len(names):
            raise ValueError(
                f"{path} cannot be read as CSV: line {line} has {len(row)} fields, the first line {len(names)}"
            )
    return {name: ([row[i].strip() for row in rows], lines) for i, name in enumerate(names)}


def _read_numbers(file, first, delimiter):
    """Read a CSV file of numbers in one go; None if it has anything else, or nothing. `first` was read already."""
    (names,) = csv.reader([first], delimiter=delimiter)
    names, head = [name.strip() for name in names], not any(map(_is_number, names))
    try:
        rows = file if head else itertools.chain([first], file)
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # of no rows
            values = np.loadtxt(rows, delimiter=delimiter, ndmin=2, comments=None)
    except (ValueError, UnicodeDecodeError, UserWarning):
        return None
    if not values.size or values.shape[1] != len(names) or not np.isfinite(values).all():
        return None
    names = names if head else [str(i) for i in range(len(names))]
    if len(set(names)) < len(names):
        return None
    return {name: (column, range(1, len(values) + 1)) for name, column in zip(names, values.T, strict=True)}


def _is_head(rows):
    """Whether the first line names columns: it is no number where the next one is, or no number anywhere."""
    first = [_is_number(field) for field in rows[0]]
    if not any(first):
        return True
    return len(rows) > 1 and any(not a and _is_number(b) for a, b in zip(first, rows[1], strict=False))


def _is_number(text):
    try:
        float(text)
    except ValueError:
        return text.strip().lower() in _MISSING  # a first line of data may lack a value
    return True


def _read_parquet(path):
    """Return {name: (values, numbers of the rows)}; a missing value is None."""
    open(path, "rb").close()  # an error of its own, if there is no such file
    columns = _parquet_columns(path)
    if not columns or not next(iter(columns.values())):
        raise ValueError(f"{path} has no rows")
    return {str(name): (values, range(1, len(values) + 1)) for name, values in columns.items()}


def _parquet_columns(path):
    try:
        import pyarrow.parquet
    except ImportError:
        pass
    else:
        try:
            return pyarrow.parquet.read_table(path).to_pydict()
        except (pyarrow.ArrowException, OSError) as error:
            raise ValueError(f"{path} cannot be read as PARQUET: {error}") from error
    try:
        import polars
    except ImportError:
        raise ImportError(
            f"{path}: a Parquet file needs pyarrow or polars; pip install pyarrow would get the former"
        ) from None
    try:
        return polars.read_parquet(path).to_dict(as_series=False)
    except polars.exceptions.PolarsError as error:
        raise ValueError(f"{path} cannot be read as PARQUET: {error}") from error


def _is_missing(value):
    return value is None or (isinstance(value, str) and value.lower() in _MISSING) or value != value


def _numbers(column, name, path):
    """Return the values of an input as float64 (n,)."""
    values, lines = column
    try:
        result = np.array(values, np.float64)  # texts too
        if result.ndim == 1 and np.isfinite(result).all():  # lists become several columns
            return result
    except (ValueError, TypeError):
        pass
    for value, line in zip(values, lines, strict=True):
        where = f"{path}: column {name!r} in {'line' if isinstance(lines, list) else 'row'} {line}"
        if _is_missing(value):
            raise ValueError(f"{where} has no value; fill it, remove the row, or leave the column out with --drop")
        try:
            number = float(value)
        except (ValueError, TypeError):
            raise ValueError(f"{where} has {value!r}, which is no number; leave the column out with --drop") from None
        if not np.isfinite(number):
            raise ValueError(f"{where} has {value!r}, which is not finite")
    raise ValueError(f"{path}: column {name!r} cannot be read as numbers")


def _target(column, name, path):
    """Return the values of the target (n,): numbers where all are, otherwise texts."""
    values, lines = column
    for value, line in zip(values, lines, strict=True):
        if _is_missing(value):
            kind = "line" if isinstance(lines, list) else "row"
            raise ValueError(f"{path}: the target {name!r} has no value in {kind} {line}")
    try:
        return _numbers(column, name, path)
    except ValueError:
        return np.array([str(value) for value in values])


# Files of arrays


def load_npy(path):
    """Read a .npy file without trust."""
    try:
        x = np.load(path, allow_pickle=False)
        if not isinstance(x, np.ndarray):
            raise ValueError("it holds several arrays")
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path} cannot be read as NPY: {error}") from error
    return x


def _read_array(path, target, drop):
    """A .npy or IDX file, whose target is a column of it or a file of its own."""
    x = load_npy(path) if Path(path).suffix.lower() == ".npy" else datasets.read_idx(path)
    if x.ndim < 1 or not x.size:
        raise ValueError(f"{path} has no rows: its shape is {x.shape}")
    if drop and x.ndim != 2:
        raise ValueError(f"--drop: {path} has the shape {x.shape}, and no columns")
    if target is None or Path(target).is_file():
        y = None
        if target is not None:
            y = load_npy(target) if Path(target).suffix.lower() == ".npy" else datasets.read_idx(target)
            if y.shape not in ((len(x),), (len(x), 1)):
                raise ValueError(f"--target {target} has the shape {y.shape}, {path} has {len(x)} rows")
            y = _finite(y.ravel(), target, "biufU")
        label = None
    else:
        if x.ndim != 2:
            raise ValueError(f"--target {target}: {path} has the shape {x.shape}, so the target must be a file")
        label = _column(target, x.shape[1], path, "--target")
        y = _finite(x[:, label], path)
    if x.ndim != 2:
        return Table(_finite(x, path), y)
    left_out = {label, *(_column(name, x.shape[1], path, "--drop") for name in drop)}
    keep = [i for i in range(x.shape[1]) if i not in left_out]
    if not keep:
        raise ValueError(f"{path} has no column besides the target")
    return Table(_finite(x if len(keep) == x.shape[1] else x[:, keep], path), y)


def _column(text, width, path, option):
    return int(_find([str(i) for i in range(width)], text, path, option))


def _read_npz(path, target):
    """A file of arrays: x_train, y_train, x_test and y_test, or the target by name and the inputs besides it."""
    try:
        with open(path, "rb") as raw, np.load(raw, allow_pickle=False) as file:  # load leaves torn ones open
            arrays = {name: file[name] for name in file.files}
    except (ValueError, EOFError, OSError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise ValueError(f"{path} cannot be read as NPZ: {error}") from error
    names = ("x_train", "y_train", "x_test", "y_test")
    if set(names) <= set(arrays) and target is None:
        x, y, x_test, y_test = (arrays[name] for name in names)
        pairs = {"x_train": (x, y), "x_test": (x_test, y_test)}
    else:
        if target is not None and target not in arrays:
            raise ValueError(f"--target {target}: {path} has no such array; there are {', '.join(arrays)}")
        others = [name for name in arrays if name != target]
        if len(others) != 1:
            raise ValueError(f"{path} must have one array besides the target, it has {', '.join(others) or 'none'}")
        pairs = {others[0]: (arrays[others[0]], None if target is None else arrays[target])}
    for name, (x, y) in pairs.items():
        if not x.ndim or not x.size:
            raise ValueError(f"{path}: {name} has no rows: its shape is {x.shape}")
        if y is not None and y.shape not in ((len(x),), (len(x), 1)):
            raise ValueError(f"{path}: {name} has the shape {x.shape} and its target {y.shape}")
    tables = [
        Table(_finite(x, f"{path}, {name}"), None if y is None else _finite(y.ravel(), f"{path}, its target", "biufU"))
        for name, (x, y) in pairs.items()
    ]
    if len(tables) > 1:
        tables[0].test = (tables[1].x, tables[1].y)
    return tables[0]


def _finite(values, path, kinds="biuf"):
    """Return an array if it has no missing values and can be used, else raise."""
    if values.dtype.kind not in kinds:
        raise ValueError(f"{path} must hold numbers, its dtype is {values.dtype}")
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(values))[0])
        place = f"row {where[0] + 1}" + (f", column {where[1]}" if len(where) > 1 else "")
        raise ValueError(f"{path}: {place} is {'NaN' if np.isnan(values[where]) else 'infinite'}")
    return values


def as_bytes(x, path):
    """Return whole numbers from 0 to 255 as uint8."""
    with np.errstate(invalid="ignore"):
        if x.dtype.kind not in "biuf" or not ((x >= 0) & (x <= 255) & (x == np.floor(x))).all():
            raise ValueError(f"--uint8: {path} has values that are not integers from 0 to 255")
    return x.astype(np.uint8)
