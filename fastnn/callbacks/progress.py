"""What a fit shows while it runs."""

import os
import sys
import time

from .base import Callback


def _number(value):
    return f"{value:.4f}" if 1e-3 <= abs(value) < 1e4 or value == 0.0 else f"{value:.4e}"


class Progress(Callback):
    """Shows nothing."""

    def slice_end(self, rows, logs):
        """Called after some of the epoch's batches, with the rows done and the means over them."""

    def close(self):
        """Called at the end, however it came."""


class _Lines(Progress):
    """A line an epoch on standard output."""

    def on_epoch_begin(self, epoch, logs=None):
        self._start = time.perf_counter()
        self._rows = 0

    def slice_end(self, rows, logs):
        self._rows = rows

    def on_epoch_end(self, epoch, logs=None):
        seconds = time.perf_counter() - self._start
        parts = [f"epoch {epoch + 1}/{self.params['epochs']}", f"{seconds:.1f}s"]
        parts.append(f"{self._rows / max(seconds, 1e-9):.0f} samples/s")
        parts += [f"{name}: {_number(value)}" for name, value in logs.items()]
        print(" - ".join(parts), flush=True)


def _without_size(file):
    """Whether it is a terminal that does not tell its size, on which tqdm would write empty lines."""
    try:
        return 0 in os.get_terminal_size(file.fileno())
    except (OSError, ValueError, AttributeError):
        return False


class _Bar(Progress):
    """A bar an epoch on standard error."""

    _bar = None

    def on_epoch_begin(self, epoch, logs=None):
        from tqdm import tqdm

        class Bar(tqdm):
            monitor_interval = 0  # no thread that outlives the fit

        known = self.params["samples"] is not None
        self._bar = Bar(
            total=self.params["samples"],
            desc=f"epoch {epoch + 1}/{self.params['epochs']}",
            unit=" samples",
            unit_scale=True,
            # Loss and accuracy have to fit into 80 columns.
            bar_format="{desc} "
            + ("{percentage:3.0f}%|{bar:10}|" if known else "{n_fmt} samples,")
            + " {rate_fmt}{postfix}",
            file=sys.stderr,
            **({"ncols": 80, "nrows": 24} if _without_size(sys.stderr) else {"dynamic_ncols": True}),
        )

    def slice_end(self, rows, logs):
        self._bar.set_postfix_str(self._postfix(logs), refresh=False)
        self._bar.update(rows - self._bar.n)

    def on_epoch_end(self, epoch, logs=None):
        self._bar.set_postfix_str(self._postfix(logs), refresh=True)
        self.close()

    def close(self):
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    @staticmethod
    def _postfix(logs):
        return ", ".join(f"{name}={_number(value)}" for name, value in logs.items())


def make(verbose):
    """Return the progress that `verbose` asks for; "auto" is a bar on a terminal and nothing elsewhere."""
    if verbose == "auto":
        verbose = 1 if sys.stderr is not None and sys.stderr.isatty() else 0
    return {0: Progress, 1: _Bar, 2: _Lines}[verbose]()
