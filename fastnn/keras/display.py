"""What Keras prints: the table of `summary`, and the lines of fit, evaluate and predict."""

import itertools
import math
import sys
import textwrap
import time

import numpy as np

from ..callbacks.progress import Progress

_BAR = 20  # characters
_SECONDS = 0.05  # between two pictures of a bar
_WIDTHS = (33, 24, 15)  # of the columns of `summary`


def readable(n_bytes):
    """Return a number of bytes with its unit."""
    for unit in ("B", "KB", "MB", "GB"):
        if n_bytes < 1024 or unit == "GB":
            return f"{n_bytes:.2f} {unit}"
        n_bytes /= 1024


def table(name, rows, totals):
    """Return the text of `summary`.

    Parameters
    ----------
    name : str
    rows : list of tuple of str
        Layer, shape and number of parameters.
    totals : list of tuple
        A label and a number of parameters each, or None where it is unknown.
    """
    head = ("Layer (type)", "Output Shape", "Param #")

    def rule(left, line, middle, right):
        return left + middle.join(line * width for width in _WIDTHS) + right

    def cells(row, edge):
        wrapped = [textwrap.wrap(text, width - 2) for text, width in zip(row, _WIDTHS, strict=True)]
        lines = []
        for texts in itertools.zip_longest(*wrapped, fillvalue=""):
            parts = [text.ljust(width - 2) for text, width in zip(texts, _WIDTHS, strict=True)]
            parts[-1] = texts[-1].rjust(_WIDTHS[-1] - 2)
            lines.append(edge + edge.join(f" {part} " for part in parts) + edge)
        return "\n".join(lines)

    body = f"\n{rule('├', '─', '┼', '┤')}\n".join(cells(row, "│") for row in rows)
    lines = [
        f'Model: "{name}"',
        rule("┏", "━", "┳", "┓"),
        cells(head, "┃"),
        rule("┡", "━", "╇", "┩"),
        body,
        rule("└", "─", "┴", "┘"),
    ]
    lines += [f" {label}: {count:,} ({readable(4 * count)})" for label, count in totals]
    return "\n".join(lines)


def in_order(logs):
    """Return logs in Keras's order: by name, then those of the validation, then the learning rate."""
    return dict(sorted(logs.items(), key=lambda i: (i[0] == "learning_rate", i[0].startswith("val_"), i[0])))


class Steps(Progress):
    """The progress of batches, for `fit`, `evaluate` and `predict`.

    Parameters
    ----------
    verbose : {0, 1, 2}
        1 a bar, 2 a line.
    total : int or None
        Batches.
    batch_size : int or None
        Rows of a batch; None: `slice_end` is told batches.
    """

    def __init__(self, verbose, total, batch_size):
        self._verbose, self._total, self._batch_size = verbose, total, batch_size
        self._start = time.perf_counter()
        self._shown = self._done = 0
        self._width = 0

    def on_epoch_begin(self, epoch, logs=None):
        if self._verbose and self.params["epochs"] > 1:
            print(f"Epoch {epoch + 1}/{self.params['epochs']}", flush=True)
        self.__init__(self._verbose, self._total, self._batch_size)

    def slice_end(self, rows, logs):
        self._done = math.ceil(rows / self._batch_size) if self._batch_size else self._done + 1
        now = time.perf_counter()
        if self._verbose == 1 and now - self._shown > _SECONDS:
            self._shown = now
            self._write(self._line(in_order(logs), now))

    def on_epoch_end(self, epoch, logs=None):
        self.end(logs)

    def end(self, logs):
        """Print the last line."""
        if self._total is not None:
            self._done = self._total
        now = time.perf_counter()
        if self._verbose == 1:
            self._write(self._line(in_order(logs), now) + "\n")
        elif self._verbose == 2:
            seconds = now - self._start
            parts = [f"{self._done}/{self._total or self._done}", f"{seconds:.0f}s"]
            parts += [f"{_duration(seconds / max(self._done, 1))}/step"]
            print(" - ".join([*parts, *_numbers(in_order(logs))]), flush=True)

    def _line(self, logs, now):
        seconds = now - self._start
        each = seconds / max(self._done, 1)
        count, bar, left = f"{self._done}/Unknown", "", seconds
        if self._total is not None:
            full = _BAR * self._done // self._total
            count = f"{self._done:{len(str(self._total))}d}/{self._total}"
            green = f"\x1b[32m{'━' * full}\x1b[0m" if full else ""
            bar = f" {green}\x1b[37m{'━' * (_BAR - full)}\x1b[0m"
            if self._done < self._total:
                left = each * (self._total - self._done)
        text = f"\x1b[1m{count}\x1b[0m{bar} \x1b[1m{left:.0f}s\x1b[0m {_duration(each)}/step"
        return " - ".join([text, *_numbers(logs)])

    def _write(self, line):
        blank = " " * max(0, self._width - len(line))
        self._width = len(line)
        sys.stdout.write("\r" + (line[:-1] + blank + "\n" if line.endswith("\n") else line + blank))
        sys.stdout.flush()


def _duration(seconds):
    if seconds >= 1 or seconds == 0:
        return f"{seconds:.0f}s"
    return f"{1e3 * seconds:.0f}ms" if seconds >= 1e-3 else f"{1e6 * seconds:.0f}us"


def _numbers(logs):
    # Keras has the numbers as float32, in which 0.001 is a little more.
    values = {name: float(np.float32(value)) for name, value in logs.items()}
    return [f"{name}: {value:.4f}" if abs(value) > 1e-3 else f"{name}: {value:.4e}" for name, value in values.items()]
