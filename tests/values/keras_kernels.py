"""Steps, losses and gradients by Keras. Writes keras_kernels.json beside this file.

KERAS_BACKEND=jax JAX_ENABLE_X64=1 python tests/values/keras_kernels.py    (keras 3.15.0)
"""

import json
from pathlib import Path

import jax
import keras
import numpy as np

keras.config.set_floatx("float64")

W = np.array([1.0, -2.0, 0.5, 0.25])
GRADIENTS = np.array([[0.5, -0.25, 0.0, 1.5], [-1.0, 0.125, 0.75, -0.5], [0.25, 0.25, -2.0, 0.0]])
OUTPUTS = np.array([[0.2, 0.7, 0.4], [0.9, 0.05, 0.6]])
WEIGHTS = np.array([1.0, 0.5])

REAL, UNIT = [[0.0, 1.0, -0.5], [1.0, 0.25, 2.0]], [[0.0, 0.75, 0.25], [0.5, 0.25, 0.25]]
ONE_HOT, BINARY = [[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], [[0.0, 1.0, 1.0], [1.0, 0.0, 0.0]]
SMOOTHED = {"from_logits": True, "label_smoothing": 0.2}
LOSSES = [
    ("Huber", {"delta": 0.3}, REAL),
    ("LogCosh", {}, REAL),
    ("Poisson", {}, [[0.0, 1.0, 3.0], [1.0, 0.0, 2.0]]),
    ("KLDivergence", {}, UNIT),
    ("Hinge", {}, BINARY),
    ("SquaredHinge", {}, [[-1.0, 1.0, 1.0], [1.0, -1.0, -1.0]]),
    ("CategoricalHinge", {}, ONE_HOT),
    ("CosineSimilarity", {}, REAL),
    ("BinaryCrossentropy", SMOOTHED, BINARY),
    ("CategoricalCrossentropy", SMOOTHED, ONE_HOT),
]


def optimizer(name):
    """Three steps from W."""
    result, weights = [], keras.Variable(W, dtype="float64")
    made = getattr(keras.optimizers, name)(0.1)
    made.build([weights])
    for gradient in GRADIENTS:
        made.apply([keras.ops.convert_to_tensor(gradient)], [weights])
        result.append(np.array(weights).tolist())
    return result


def loss(name, config, targets):
    """The weighted mean over two rows, and its gradient by the outputs."""
    function = getattr(keras.losses, name)(**config)
    value, gradient = jax.value_and_grad(lambda z: function(np.array(targets), z, sample_weight=WEIGHTS))(OUTPUTS)
    return {"name": name, "config": config, "targets": targets, "value": float(value), "gradient": gradient.tolist()}


values = {
    "w": W.tolist(),
    "gradients": GRADIENTS.tolist(),
    "outputs": OUTPUTS.tolist(),
    "weights": WEIGHTS.tolist(),
    "optimizers": {name: optimizer(name) for name in ("Adagrad", "Adamax", "Nadam", "Lion")},
    "losses": [loss(*case) for case in LOSSES],
}
Path(__file__).with_suffix(".json").write_text(json.dumps(values, indent=1) + "\n")
