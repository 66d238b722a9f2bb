"""What normalisation layers of Keras come to in training. Writes keras_normalization.json beside this file.

In float64, of which Keras makes float32 within these layers. So nothing before a batch normalisation has a gradient of
0, as a bias has: Adam would make steps of its rounding errors.

KERAS_BACKEND=jax JAX_ENABLE_X64=1 python tests/values/keras_normalization.py    (keras 3.15.1)
"""

import json
from pathlib import Path

import numpy as np

# Rates that float32 has exactly.
CASES = {
    "batch": ("SGD", {"learning_rate": 0.125, "momentum": 0.9}, False),
    "batch, decayed": ("AdamW", {"learning_rate": 2**-7, "weight_decay": 0.1}, False),
    "batch, weighted": ("SGD", {"learning_rate": 0.125}, True),
    "layer": ("SGD", {"learning_rate": 0.125, "momentum": 0.9}, False),
    "layer, clipped": ("Adam", {"learning_rate": 2**-7, "clipnorm": 0.05}, True),
}


def data():
    """Return rows for batches of 16, the last of which has one, their labels and weights, and rows to predict."""
    rng = np.random.default_rng(0)
    x = rng.normal(2.0, 3.0, size=(81, 6))
    return x, x[:, :3].argmax(axis=1), rng.uniform(0.5, 2.0, 81), rng.normal(2.0, 3.0, size=(5, 6))


def result(framework, name, **options):
    """Return losses of the epochs, the weights and predictions."""
    kind, (optimizer, arguments, weighted) = name.partition(",")[0], CASES[name]
    layers = framework.layers
    if kind == "batch":
        hidden = [
            layers.BatchNormalization(center=False),
            layers.Dense(8, use_bias=False),
            layers.BatchNormalization(momentum=0.8, epsilon=0.01, scale=False),
            layers.Activation("tanh"),
            layers.BatchNormalization(gamma_regularizer="l2"),
        ]
    else:
        hidden = [
            layers.LayerNormalization(),
            layers.Dense(8),
            layers.LayerNormalization(epsilon=0.01, center=False),
            layers.Activation("tanh"),
        ]
    model = framework.Sequential(
        [layers.Input((6,)), *hidden, layers.Dense(3, activation="softmax")],
        **options,
    )
    model.compile(getattr(framework.optimizers, optimizer)(**arguments), "sparse_categorical_crossentropy")
    rng = np.random.default_rng(1)
    model.set_weights([rng.uniform(0.2, 1.2, w.shape) for w in model.get_weights()])
    x, y, weights, new = data()
    weights = weights if weighted else None
    history = model.fit(x, y, batch_size=16, epochs=3, shuffle=False, verbose=0, sample_weight=weights)
    found = history.history["loss"], model.get_weights(), model.predict(new, verbose=0), model.evaluate(x, y, verbose=0)
    return dict(zip(("losses", "weights", "predictions", "evaluated"), found, strict=True))


def numbers(value):
    """Return arrays and lists of numbers as lists of floats with twelve digits."""
    if isinstance(value, (list, tuple, np.ndarray)):
        return [numbers(part) for part in value]
    return float(f"{value:.12g}")


if __name__ == "__main__":
    import keras

    keras.config.set_floatx("float64")
    found = {name: {key: numbers(value) for key, value in result(keras, name).items()} for name in CASES}
    Path(__file__).with_suffix(".json").write_text(json.dumps(found) + "\n")
