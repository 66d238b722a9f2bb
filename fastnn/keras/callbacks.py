"""Callbacks: the engine's, a `ModelCheckpoint` that writes Keras's files, and backups of the models here."""

from .. import callbacks as engine
from .. import sequential
from .arguments import missing, refuse

_OWN = ("BackupAndRestore", "ModelCheckpoint")


class ModelCheckpoint(engine.ModelCheckpoint):
    """Saves the model, or its weights alone, after epochs or batches.

    Parameters
    ----------
    filepath : path-like
        With ``save_weights_only`` it ends in ``.weights.h5``, otherwise in ``.keras``, ``.h5`` or ``.hdf5``.
    monitor, verbose, save_best_only, mode, save_freq, initial_value_threshold
        As for `fastnn.callbacks.ModelCheckpoint`.
    save_weights_only : bool, default False
    """

    def __init__(self, filepath, monitor="val_loss", verbose=0, save_best_only=False, save_weights_only=False,
                 mode="auto", save_freq="epoch", initial_value_threshold=None):  # fmt: skip
        super().__init__(filepath, monitor, verbose, save_best_only, False, mode, save_freq, initial_value_threshold)
        self.save_weights_only = bool(save_weights_only)
        endings = (".weights.h5",) if self.save_weights_only else (".keras", ".h5", ".hdf5")
        if not self.filepath.endswith(endings):
            raise ValueError(f"filepath must end in {' or '.join(endings)} here, got {self.filepath!r}")

    def _write(self, path):
        (self.model.save_weights if self.save_weights_only else self.model.save)(path)


class BackupAndRestore(engine.BackupAndRestore):
    """Keeps a backup of the fit after every epoch; a fit that finds one goes on from it, bit for bit.

    Parameters
    ----------
    backup_dir, save_freq, delete_checkpoint
        As for `fastnn.callbacks.BackupAndRestore`.
    double_checkpoint : False, default False
        A backup takes the place of the one before at once or not at all, so that a second one is not needed.
    """

    def __init__(self, backup_dir, save_freq="epoch", double_checkpoint=False, delete_checkpoint=True):
        takes = ("backup_dir", "save_freq", "delete_checkpoint")
        refuse("BackupAndRestore", {"double_checkpoint": double_checkpoint}, {"double_checkpoint": False}, takes)
        super().__init__(backup_dir, save_freq, delete_checkpoint)

    def read(self, model):
        return super().read(_plain(model))

    def write(self, model, fit):
        super().write(_plain(model), fit)


def _plain(model):
    """The model as the engine's own class, which the files of backups know; both have the same numbers."""
    plain = object.__new__(sequential.Sequential)
    vars(plain).update(vars(model))
    return plain


globals().update({name: getattr(engine, name) for name in engine.__all__ if name not in _OWN})

__all__ = engine.__all__
__getattr__ = missing("keras.callbacks", __all__)
