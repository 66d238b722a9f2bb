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


ROWS = np.random.default_rng(0).normal(0, 1, (10, 3)).round(2)
TARGETS = np.random.default_rng(1).normal(0, 1, (10, 2)).round(2)
# Arguments of the first layer, and of SGD with momentum 0.5. Numbers that float32 has, to which Keras rounds some.
REGULARIZED = {
    "kernel": ({"kernel_regularizer": ("L1L2", {"l1": 0.015625, "l2": 0.03125})}, {}),
    "bias": ({"bias_regularizer": ("L2", {"l2": 0.25})}, {}),
    "activity l1": ({"activity_regularizer": ("L1", {"l1": 0.25})}, {}),
    "activity l2": ({"activity_regularizer": ("L2", {"l2": 0.25})}, {}),
    "max norm": ({"kernel_constraint": ("MaxNorm", {"max_value": 0.75})}, {}),
    "unit norm": ({"kernel_constraint": ("UnitNorm", {})}, {}),
    "non negative": ({"kernel_constraint": ("NonNeg", {})}, {}),
    "decay": ({}, {"weight_decay": 0.125}),
    "clipvalue": ({}, {"clipvalue": 0.0625}),
    "clipnorm": ({}, {"clipnorm": 0.25}),
    "global_clipnorm": ({"kernel_regularizer": ("L2", {"l2": 0.03125})}, {"global_clipnorm": 0.25}),
}


def trained(layer, clipping):
    """Three epochs in order, of batches of 4, 4 and 2 rows: the losses, the last evaluation and the weights."""
    modules = {"regularizer": keras.regularizers, "constraint": keras.constraints}
    made = {k: getattr(modules[k.rpartition("_")[2]], name)(**config) for k, (name, config) in layer.items()}
    first, second = keras.layers.Dense(4, activation="tanh", **made), keras.layers.Dense(2)
    model = keras.Sequential([keras.Input((3,)), first, second])
    rng = np.random.default_rng(2)
    start = [rng.normal(0, 1, w.shape).round(2) for w in model.get_weights()]
    model.set_weights(start)
    model.compile(keras.optimizers.SGD(0.125, momentum=0.5, **clipping), "mse")
    history = model.fit(ROWS, TARGETS, batch_size=4, epochs=3, shuffle=False, verbose=0)
    return {
        "layer": layer,
        "clipping": clipping,
        "start": [w.tolist() for w in start],
        "losses": history.history["loss"],
        "evaluate": model.evaluate(ROWS, TARGETS, verbose=0),
        "weights": [w.tolist() for w in model.get_weights()],
    }


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
    "rows": ROWS.tolist(),
    "targets": TARGETS.tolist(),
    "regularized": {name: trained(*case) for name, case in REGULARIZED.items()},
}
Path(__file__).with_suffix(".json").write_text(json.dumps(values, indent=1) + "\n")
