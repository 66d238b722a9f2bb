"""The `fastnn` command, called in this process."""

import pooch  # noqa: F401  (its log handler keeps the stderr of its import: not that of a single test)

from fastnn import cli

MINI = "fashion-mnist-mini"
QUICK = ["--hidden", "16", "--epochs", "2"]


def run(*argv):
    return cli.main([str(arg) for arg in argv])


def fails(capsys, status, *argv):
    """Run, compare the exit status, and return the one line on standard error."""
    assert run(*argv) == status
    error = capsys.readouterr().err
    lines = [line for line in error.splitlines() if not line.startswith("fastnn: note:")]
    assert len(lines) == 1 and lines[0].startswith("fastnn: error: "), error
    return lines[0]
