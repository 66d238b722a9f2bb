"""What Keras's callbacks do with given losses. Writes keras_callbacks.json beside this file.

KERAS_BACKEND=jax python tests/values/keras_callbacks.py    (keras 3.15.0)
"""

import json
from pathlib import Path

import keras
import numpy as np

LOSSES = [1.0, 0.8, 0.85, 0.79, 0.81, 0.795, 0.7905, 0.9, 0.7, 0.71, 0.6995, 0.75, 0.72, 0.74, 0.3, 0.4, 0.5, 0.6]
STOPPING = [
    {},
    {"patience": 2},
    {"patience": 3, "min_delta": 0.02},
    {"patience": 2, "start_from_epoch": 5},
    {"patience": 2, "baseline": 0.75},
    {"patience": 4, "baseline": 0.75, "restore_best_weights": True},
    {"patience": 2, "mode": "max"},
    {"patience": 3, "restore_best_weights": True},
]
PLATEAU = [
    {"patience": 1},
    {"patience": 2, "factor": 0.5},
    {"patience": 1, "factor": 0.5, "cooldown": 2},
    {"patience": 1, "factor": 0.2, "min_lr": 0.01},
    {"patience": 2, "min_delta": 0.03},
    {"patience": 1, "mode": "max", "factor": 0.3},
    {"patience": 0, "factor": 0.9},
]


class Model:
    """As much of a model as the callbacks look at."""

    def __init__(self):
        self.optimizer = keras.optimizers.SGD(0.1)
        self.stop_training = False
        self.weights = 0.0

    def get_weights(self):
        return [np.array(self.weights)]

    def set_weights(self, weights):
        self.weights = float(weights[0])


def run(callback):
    model = Model()
    callback.set_model(model)
    callback.on_train_begin()
    rates = []
    for epoch, loss in enumerate(LOSSES):
        model.weights = float(epoch)
        callback.on_epoch_end(epoch, {"loss": loss})
        rates.append(float(model.optimizer.learning_rate))
        if model.stop_training:
            break
    callback.on_train_end()
    return model, rates


def main():
    stopping, plateau = [], []
    for options in STOPPING:
        callback = keras.callbacks.EarlyStopping("loss", **options)
        model, rates = run(callback)
        found = {"epochs": len(rates), "weights": model.weights}
        found |= {name: getattr(callback, name) for name in ("best", "best_epoch", "stopped_epoch", "wait")}
        stopping.append({"options": options, "expected": found})
    for options in PLATEAU:
        plateau.append({"options": options, "expected": run(keras.callbacks.ReduceLROnPlateau("loss", **options))[1]})
    values = {"losses": LOSSES, "stopping": stopping, "plateau": plateau}
    Path(__file__).with_suffix(".json").write_text(json.dumps(values, indent=1) + "\n")


if __name__ == "__main__":
    main()
