"""What `fastnn train` keeps in its folder until it is done, so that `fastnn train --resume` can go on."""

import argparse
import contextlib
import json
from pathlib import Path

from .. import files
from ..callbacks import BackupAndRestore

ARGUMENTS, BACKUP = "arguments.json", "backup"
# What may differ when training goes on: nothing that changes a number.
_FREE = ("quiet", "threads", "resume", "out", "traceback", "command")


class _Backup(BackupAndRestore):
    """Calls a function after each backup: what it tells of an epoch is safe."""

    def __init__(self, folder, then):
        super().__init__(folder)
        self._then = then

    def write(self, model, fit):
        """Write a backup, then call."""
        super().write(model, fit)
        self._then()


def remember(args, folder, then):
    """Write down the arguments in the folder; return the callback that keeps the backup there and calls `then`."""
    kept = {
        name: value
        for name, value in vars(args).items()
        if name not in _FREE and (value is None or isinstance(value, (str, int, float, list)))
    }
    files.write_atomic(folder / ARGUMENTS, (json.dumps(kept, indent=1) + "\n").encode())
    return _Backup(folder / BACKUP, then)


def recall(args):
    """Return the arguments of what was interrupted in the folder ``args.resume``."""
    path = Path(args.resume) / ARGUMENTS
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"--resume {args.resume}: there is nothing that was interrupted (no {path})") from None
    except ValueError as error:
        raise ValueError(f"--resume {args.resume}: {path} cannot be read: {error}") from None
    if not isinstance(kept, dict) or not kept:
        raise ValueError(f"--resume {args.resume}: {path} is not what `fastnn train` writes")
    for name, value in vars(args).items():
        if name in kept and value not in (args.default(name), kept[name]):
            option = f"--{name.replace('_', '-')}"
            raise ValueError(f"--resume goes on with {option} {kept[name]}, it cannot be changed to {value}")
    if args.out is not None:
        raise ValueError(f"--out {args.out} and --resume {args.resume} do not go together: the folder stays what it is")
    return argparse.Namespace(**{**vars(args), **kept})


def forget(folder):
    """Remove what is not needed once training is complete."""
    files.remove(folder / ARGUMENTS)
    files.remove(folder / BACKUP / "latest.safetensors")
    with contextlib.suppress(OSError):
        (folder / BACKUP).rmdir()
