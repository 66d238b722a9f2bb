"""Keras's names for scripts that train dense networks and autoencoders: change the import, keep the script.

``import fastnn.keras as keras``, or ``python -m fastnn.keras script.py`` for a script as it is.
"""

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
    optimizers,
    regularizers,
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
    "optimizers",
    "regularizers",
    "utils",
]
__getattr__ = missing("keras", __all__)
