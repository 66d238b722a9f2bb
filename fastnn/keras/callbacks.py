"""Callbacks: the engine's, and a `ModelCheckpoint` that writes Keras's files."""

from .. import callbacks as engine
from .arguments import missing

_OTHERS = ("BackupAndRestore", "ModelCheckpoint")  # the first of which writes files that are not Keras's


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


globals().update({name: getattr(engine, name) for name in engine.__all__ if name not in _OTHERS})

__all__ = [name for name in engine.__all__ if name != "BackupAndRestore"]
__getattr__ = missing("keras.callbacks", __all__)
