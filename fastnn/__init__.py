"""fastnn: a fast trainer for small neural networks on the CPU."""

import importlib

from . import (
    callbacks,
    constraints,
    initializers,
    kernels,
    layers,
    losses,
    metrics,
    optimizers,
    regularizers,
    schedules,
)
from .autoencoder import Autoencoder
from .checkpoint import load
from .finder import LRFind, lr_find
from .mlp import MLP
from .sequential import Sequential

__version__ = "0.1.0"

__all__ = [
    "MLP",
    "Autoencoder",
    "LRFind",
    "Sequential",
    "__version__",
    "callbacks",
    "constraints",
    "datasets",
    "export",
    "initializers",
    "keras",
    "kernels",
    "layers",
    "load",
    "losses",
    "lr_find",
    "metrics",
    "optimizers",
    "plot",
    "regularizers",
    "schedules",
]

# Loaded when first used, so that `import fastnn` stays fast.
_LAZY = ("datasets", "export", "keras", "plot")


def __getattr__(name):
    if name in _LAZY:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted(__all__)
