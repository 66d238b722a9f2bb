"""Data frames and series of pandas and polars, without importing either."""

import numpy as np


def is_frame(value):
    """Whether `value` is a frame or a series of pandas or polars."""
    return type(value).__module__.partition(".")[0] in ("pandas", "polars") and hasattr(value, "to_numpy")


def to_array(value, name):
    """Return a frame as an array (n, columns), a series as (n,); missing numbers become NaN.

    Parameters
    ----------
    value : frame or series
    name : str
        What to call it in a message.

    Raises
    ------
    TypeError
        If one of several columns does not hold numbers; the message names it.
    """
    if not hasattr(value, "columns"):
        return _column(value)
    names = list(value.columns)
    # By their places: two columns of pandas may have one name.
    series = [value.iloc[:, i] if hasattr(value, "iloc") else value[column] for i, column in enumerate(names)]
    columns = [_column(one) for one in series]
    if len(columns) == 1:
        return columns[0][:, None]
    for column, one, values in zip(names, series, columns, strict=True):
        if values.dtype.kind not in "biuf":
            found = f" ({str(values[0])!r} first)" if len(values) else ""
            raise TypeError(
                f"the column {column!r} of {name} holds {one.dtype}{found}, not numbers: leave it out, or turn it "
                "into numbers"
            )
    return np.column_stack(columns) if columns else np.empty((len(value), 0))


def _column(series):
    values = np.asarray(series)
    # Numbers of pandas's own types come as objects if one is missing.
    if values.dtype.kind == "O" and getattr(series.dtype, "kind", "O") in "biuf":
        return series.to_numpy(dtype=np.float64, na_value=np.nan)
    return values
