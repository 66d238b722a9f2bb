"""Losses of 100 steps of every optimizer of Keras from given weights. Writes keras_training.json beside this file.

KERAS_BACKEND=jax python tests/values/keras_training.py    (keras 3.15.1)
"""

import json
from pathlib import Path

import keras
import numpy as np

OPTIMIZERS = {
    "SGD": {"learning_rate": 0.05},
    "momentum": {"learning_rate": 0.02, "momentum": 0.9},
    "nesterov": {"learning_rate": 0.02, "momentum": 0.9, "nesterov": True},
    "Adam": {"learning_rate": 0.005},
    "clipnorm": {"learning_rate": 0.005, "clipnorm": 0.05},
    "clipvalue": {"learning_rate": 0.05, "momentum": 0.9, "clipvalue": 0.01},
    "global_clipnorm": {"learning_rate": 0.05, "momentum": 0.9, "global_clipnorm": 0.1},
    "schedule": {"learning_rate": ("ExponentialDecay", 0.01, 20, 0.7), "epsilon": 1e-5},
    "decaying": {"learning_rate": 0.05, "weight_decay": 0.05},
    "decaying Adam": {"learning_rate": 0.005, "weight_decay": 0.05},
    "AdamW": {"learning_rate": 0.005, "weight_decay": 0.02},
    "RMSprop": {"learning_rate": 0.002},
    "Adagrad": {"learning_rate": 0.05},
    "Adamax": {"learning_rate": 0.005},
    "Nadam": {"learning_rate": 0.003},
    "Lion": {"learning_rate": 0.0005},
}
CLASSES = {"momentum": "SGD", "nesterov": "SGD", "clipnorm": "Adam", "clipvalue": "SGD", "global_clipnorm": "SGD",
           "schedule": "RMSprop", "decaying": "SGD", "decaying Adam": "Adam"}  # fmt: skip


def data():
    """Return initial weights, 100 batches of 16 rows, and their labels."""
    rng = np.random.default_rng(0)
    shapes = [(8, 12), (12,), (12, 6), (6,), (6, 3), (3,)]
    weights = [rng.normal(0, 0.4, shape).astype(np.float32) for shape in shapes]
    x = rng.normal(size=(1600, 8)).astype(np.float32)
    return weights, x, (x[:, :3] + 0.3 * x[:, 3:6]).argmax(axis=1)


def losses(framework, name):
    """Return the loss of every step, before its update."""
    layers = framework.layers
    model = framework.Sequential(
        [
            framework.Input((8,)),
            layers.Dense(12, activation="tanh"),
            layers.Dense(6, activation="relu"),
            layers.Dense(3, activation="softmax"),
        ]
    )
    options = dict(OPTIMIZERS[name])
    if isinstance(options["learning_rate"], tuple):
        schedule, *arguments = options["learning_rate"]
        options["learning_rate"] = getattr(framework.optimizers.schedules, schedule)(*arguments)
    optimizer = getattr(framework.optimizers, CLASSES.get(name, name))(**options)
    model.compile(optimizer, "sparse_categorical_crossentropy")
    weights, x, labels = data()
    model.set_weights(weights)
    return [float(model.train_on_batch(x[i : i + 16], labels[i : i + 16])) for i in range(0, len(x), 16)]


if __name__ == "__main__":
    found = {name: [float(f"{loss:.8g}") for loss in losses(keras, name)] for name in OPTIMIZERS}
    Path(__file__).with_suffix(".json").write_text(json.dumps(found) + "\n")
