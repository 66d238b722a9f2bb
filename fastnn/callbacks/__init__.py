"""Callbacks: what runs between the epochs of a fit, by the names of Keras."""

from .base import Callback, History, LambdaCallback
from .monitors import EarlyStopping, ReduceLROnPlateau
from .rates import LearningRateScheduler
from .saving import BackupAndRestore, CSVLogger, ModelCheckpoint
from .termination import TerminateOnNaN

__all__ = [
    "BackupAndRestore",
    "CSVLogger",
    "Callback",
    "EarlyStopping",
    "History",
    "LambdaCallback",
    "LearningRateScheduler",
    "ModelCheckpoint",
    "ReduceLROnPlateau",
    "TerminateOnNaN",
]
