"""Keras's names for scripts that train dense networks and autoencoders: change the import, keep the script.

``import fastnn.keras as keras``, or ``python -m fastnn.keras script.py`` for a script as it is.
"""

import sys

from . import (
    activations,
    backend,
    callbacks,
    constraints,
    datasets,
    initializers,
    layers,
    losses,
    metrics,
    models,
    ops,
    optimizers,
    regularizers,
    saving,
    utils,
)
from .arguments import missing
from .layers import Input, InputLayer, Layer
from .losses import Loss
from .metrics import Metric
from .models import Model, Sequential
from .optimizers import Optimizer

__version__ = "3.15.0"  # of Keras, whose behaviour is followed

__all__ = [
    "Input",
    "InputLayer",
    "Layer",
    "Loss",
    "Metric",
    "Model",
    "Optimizer",
    "Sequential",
    "__version__",
    "activations",
    "backend",
    "callbacks",
    "constraints",
    "datasets",
    "initializers",
    "layers",
    "losses",
    "metrics",
    "models",
    "ops",
    "optimizers",
    "regularizers",
    "saving",
    "utils",
]
__getattr__ = missing("keras", __all__)

# Modules that are imported by more than one name: those of the homes that parts had in older releases too.
MODULES = {
    **{name: globals()[name] for name in __all__ if name.islower() and name != "__version__"},
    "datasets.fashion_mnist": datasets.fashion_mnist,
    "datasets.mnist": datasets.mnist,
    "layers.advanced_activations": layers,
    "layers.core": layers,
    "layers.noise": layers,
    "layers.normalization": layers,
    "optimizers.schedules": optimizers.schedules,
    "utils.np_utils": utils,
}
sys.modules.update({f"{__name__}.{name}": module for name, module in MODULES.items()})
