"""Files that are written whole or not at all."""

import contextlib
import os
import secrets
import stat
from pathlib import Path


def write_atomic(path, content):
    """Put bytes at a path: readers, and whoever looks after a crash, see the old file or the new one, never a part.

    A link is followed, and a file that is replaced keeps its mode.

    Parameters
    ----------
    path : path-like
    content : bytes

    Raises
    ------
    OSError
        If the file cannot be written; an older file of that name is then what it was.
    """
    # The file that the name leads to is replaced, not the link.
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f"{_prefix(target)}{secrets.token_hex(8)}.tmp")
    # Not through tempfile: its files are for the owner alone, these have the rights of any other file.
    descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0), 0o666)
    try:
        with open(descriptor, "wb") as file:
            with contextlib.suppress(FileNotFoundError):
                os.chmod(temporary, stat.S_IMODE(os.stat(target).st_mode))
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    if os.name == "posix":  # elsewhere a folder cannot be opened, and the rename is durable by itself
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def remove(path):
    """Delete a file that `write_atomic` wrote, if it is there, and what a kill in the middle of writing it left."""
    target = Path(os.path.realpath(path))
    with contextlib.suppress(OSError):
        for leftover in target.parent.glob(f"{_prefix(target)}*.tmp"):
            leftover.unlink()
    with contextlib.suppress(FileNotFoundError):
        target.unlink()


def _prefix(target):
    # A name has at most 255 bytes, and a character up to four of them.
    return f".{target.name[:50]}."
