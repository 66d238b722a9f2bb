"""Arrays and parameters in, every user-facing error out. Nothing here changes a model."""

import difflib
import math
import numbers
import operator

import numpy as np

from . import frames
from .kernels.memory import all_finite

_UINT8 = np.dtype(np.uint8)


# ---------------------------------------------------------------------------------------------- parameters


def choice(kind, value, options, aliases=None):
    """Return the name in `options` that `value` means, in any case and by any of its `aliases`."""
    if not isinstance(value, str):
        raise TypeError(f"{kind} must be a name (a string), got {value!r}")
    for name in (value, value.lower()):
        name = (aliases or {}).get(name, name)
        if name in options:
            return name
    near = difflib.get_close_matches(value.lower(), [*options, *(aliases or {})], 1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"unknown {kind} {value!r}.{hint} There are: {', '.join(map(repr, options))}.")


def integer(name, value, low=None, high=None):
    """Return `value` as an int from `low` to `high`, both inclusive."""
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {value!r}") from None
    if (low is not None and number < low) or (high is not None and number > high):
        raise ValueError(f"{name} must be an integer{_interval(low, high)}, got {value!r}")
    return number


def number(name, value, low=-math.inf, high=math.inf, above=False, below=False):
    """Return `value` as a finite float from `low` to `high`; `above` and `below` exclude the ends."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a number, got {value!r}")
    try:
        result = float(value)
    except OverflowError:  # an int beyond all floats
        result = math.inf
    ok = math.isfinite(result) and low <= result <= high
    if not ok or (above and result == low) or (below and result == high):
        raise ValueError(f"{name} must be a finite number{_interval(low, high, above, below)}, got {value!r}")
    return result


def _interval(low, high, above=False, below=False):
    low = None if low == -math.inf else low
    high = None if high == math.inf else high
    parts = []
    if low is not None:
        parts.append(f" {'above' if above else 'of at least'} {low}")
    if high is not None:
        parts.append(f" {'below' if below else 'of at most'} {high}")
    return " and".join(parts)


def flag(name, value):
    """Return `value`, which must be True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, got {value!r}")
    return bool(value)


def shape(name, value):
    """Return a row's shape as a tuple of positive ints; an int stands for a tuple of one."""
    sizes = value if isinstance(value, (tuple, list)) else (value,)
    if not sizes:
        raise ValueError(f"{name} must name at least one size, got {value!r}")
    return tuple(integer(f"every size in {name}", size, low=1) for size in sizes)


def sizes(value):
    """Return the sizes of a network as a list of at least two positive ints."""
    if isinstance(value, (str, bytes)) or not isinstance(value, (list, tuple, np.ndarray)) or len(value) < 2:
        raise ValueError(f"sizes must list at least two widths, from the inputs to the outputs, got {value!r}")
    return [integer("every size in sizes", size, low=1) for size in value]


def real_dtype(value):
    """Return the dtype of the parameters: float32 or float64."""
    try:
        dtype = np.dtype(value)
    except TypeError:
        dtype = None
    if value is None or dtype not in (np.float32, np.float64):
        raise ValueError(f"dtype must be 'float32' or 'float64', got {value!r}")
    return dtype.newbyteorder("=")


def verbosity(value):
    """Return `value`, which must be "auto", 0, 1 or 2."""
    if isinstance(value, (str, int, np.integer)) and value in ("auto", 0, 1, 2):
        return value if value == "auto" else int(value)
    raise ValueError(f"verbose must be 'auto', 0 (quiet), 1 (progress bar) or 2 (a line an epoch), got {value!r}")


def resolve(kind, identifier, base, table, aliases=None):
    """Return the instance of `base` that a name, a class or an instance stands for."""
    if isinstance(identifier, base):
        return identifier
    if isinstance(identifier, type) and issubclass(identifier, base):
        return identifier()
    if not isinstance(identifier, str):
        raise TypeError(f"{kind} must be a name or a fastnn {base.__name__}, got {identifier!r}")
    return table[choice(kind, identifier, table, aliases)]()


def serialize(instance, table):
    """Describe an instance of one of the classes of `table`, or of one that says that it adapts such a class."""
    kind = vars(type(instance)).get("_stands_for", type(instance))  # its own word: a subclass may do something else
    for name, cls in table.items():
        if kind is cls:
            return {"name": name, "config": cls.get_config(instance)}
    known = ", ".join(cls.__name__ for cls in table.values())
    raise ValueError(f"cannot save {instance!r}: only {known} can be saved")


def deserialize(kind, config, table):
    """Return the instance that `serialize` described."""
    if not isinstance(config, dict) or set(config) != {"name", "config"} or not isinstance(config["config"], dict):
        raise ValueError(f"{kind} must be described by a name and a config, got {config!r}")
    return table[choice(kind, config["name"], table)](**config["config"])


# ---------------------------------------------------------------------------------------------- arrays


def array(value, name, strings=False):
    """Return `value` as an ndarray of booleans, integers, floats or, if allowed, strings."""
    if np.ma.is_masked(value):
        raise ValueError(f"{name} is a masked array with masked values; fill them first")
    if frames.is_frame(value):
        value = frames.to_array(value, name)
    try:
        result = np.asarray(value)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{name} cannot be read as an array: {error}") from None
    if strings and result.dtype.kind in "OT" and result.size:
        objects = result.astype(object)
        result = objects.astype(str) if all(isinstance(v, str) for v in objects.flat) else result
    if strings and result.dtype.kind == "U" and not isinstance(value, np.ndarray):
        # In a list NumPy turns whatever stands beside a string into one, the NaN of a missing label too.
        found = [v for v in np.asarray(value, dtype=object).flat if not isinstance(v, str)]
        if found:
            raise TypeError(f"{name} must hold numbers or strings, not both: beside strings it has {found[0]!r}")
    if result.dtype.kind not in ("biufU" if strings else "biuf"):
        what = f"it has the dtype {result.dtype} and the shape {result.shape}"
        if result.ndim == 0:
            what = f"it is {type(value).__name__ if result.dtype == object else repr(value)!s:.80}"
        raise TypeError(f"{name} must hold numbers{' or strings' if strings else ''}, but {what}")
    return result


def check_finite(converted, original, name):
    if all_finite(converted):
        return
    bad = ~np.isfinite(converted).reshape(original.shape)
    count = int(np.count_nonzero(bad))
    first = tuple(int(i) for i in np.unravel_index(int(bad.argmax()), bad.shape))
    value = original[first]
    what = f"values too large for {converted.dtype}" if np.isfinite(value) else "values that are NaN or infinite"
    raise ValueError(
        f"{name} has {count} {what}, out of {bad.size}; the first is {float(value)!r} at index "
        f"{first if len(first) > 1 else first[0]}"
    )


def real(values, name, dtype, keep_uint8=True):
    """C-contiguous, aligned, native, finite; uint8 as it is if asked, anything else in `dtype`."""
    if values.dtype == _UINT8 and keep_uint8:
        return np.ascontiguousarray(values)
    if values.dtype == dtype:
        converted = np.require(values, requirements="CA")
    else:
        with np.errstate(over="ignore", invalid="ignore"):
            converted = np.require(values, dtype, "CA")
    if values.dtype.kind == "f":
        check_finite(converted, values, name)
    return converted


def are_rows(x, width, dtype):
    """Whether x is what `rows` would return, as far as can be told without a look at its numbers."""
    if type(x) is not np.ndarray or x.ndim != 2 or x.shape[1] != width or not x.shape[0]:
        return False
    return (x.dtype == dtype or x.dtype == _UINT8) and x.flags.c_contiguous and x.flags.aligned


def rows(x, name, width, dtype, input_shape=None):
    """Check inputs.

    Parameters
    ----------
    x : array_like, shape (n, ...)
    name : str
        What to call it in a message.
    width : int or None
        Values that a row must have; None takes what comes.
    dtype : numpy.dtype
        The model's.
    input_shape : tuple of int, optional
        For the message.

    Returns
    -------
    ndarray, shape (n, width)
        C-contiguous; uint8 where `x` is, otherwise `dtype` and finite.
    """
    if are_rows(x, width, dtype):
        if x.dtype != _UINT8:
            check_finite(x, x, name)
        return x
    values = array(x, name)
    if values.ndim == 0:
        raise ValueError(f"{name} must have one row a sample, got the single value {x!r}")
    if values.size == 0:
        raise ValueError(f"{name} is empty: its shape is {values.shape}")
    found = values.size // len(values)
    if width is not None and found != width:
        hint = ""
        if values.ndim == 1 and len(values) == width:
            hint = f"; for a single sample pass {name}[None]"
        expected = f"{width} (input shape {input_shape})" if input_shape and len(input_shape) > 1 else width
        raise ValueError(
            f"{name} has the shape {values.shape}, which is {found} values a sample, but the model expects "
            f"{expected}{hint}"
        )
    return real(values, name, dtype).reshape(len(values), found)


def same_array(x, y):
    """Whether both are one object, or arrays that are the same view of the same memory, as ``a[:9]`` and ``a[:9]``."""
    if x is y:
        return True
    if not isinstance(x, np.ndarray) or not isinstance(y, np.ndarray) or x.shape != y.shape:
        return False
    return x.__array_interface__ == y.__array_interface__


def same_length(x, x_name, y, y_name):
    """Raise if two arrays differ in their number of rows."""
    if len(x) != len(y):
        raise ValueError(
            f"{x_name} and {y_name} must have as many rows: their shapes are {x.shape} and {np.shape(y)}, "
            f"{len(x)} and {len(y)} rows"
        )


def sample_weight(weights, name, n, dtype):
    """Return weights (n,) in `dtype`, finite; None stays None."""
    if weights is None:
        return None
    values = array(weights, name)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.shape != (n,):
        raise ValueError(f"{name} must hold one weight a sample, with the shape ({n},), got the shape {values.shape}")
    return real(values, name, dtype, keep_uint8=False)


def split_at(fraction, n):
    """Return the row at which `validation_split` cuts: the rows from it on validate."""
    fraction = number("validation_split", fraction, low=0.0, high=1.0, below=True)
    if fraction == 0.0:
        return n
    cut = math.floor(n * (1.0 - fraction))
    if cut in (0, n):
        raise ValueError(f"validation_split={fraction!r} leaves no rows to train on or to validate with, out of {n}")
    return cut
