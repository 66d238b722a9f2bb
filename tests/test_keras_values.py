"""Values that Keras 3.15 computed once in float64, beside those of every backend.

Each group says with what it was made. The first lines were always:
``KERAS_BACKEND=jax JAX_ENABLE_X64=1``, ``import keras, numpy as np``, ``keras.config.set_floatx("float64")``.
"""

import numpy as np
import pytest
from helpers.nets import Fit, build

from fastnn import optimizers

# Three steps of each optimizer from W: v = keras.Variable(W); o = getattr(keras.optimizers, name)(0.1); o.build([v]);
# for g in GRADIENTS: o.apply([keras.ops.convert_to_tensor(g)], [v]); print(np.array(v))
W = np.array([1.0, -2.0, 0.5, 0.25])
GRADIENTS = np.array([[0.5, -0.25, 0.0, 1.5], [-1.0, 0.125, 0.75, -0.5], [0.25, 0.25, -2.0, 0.0]])
STEPS = {
    "Adagrad": [
        [0.9154845866007779, -1.9379826517876537, 0.5, 0.1521507911238817],
        [1.0015508799955246, -1.9676000873619435, 0.40785573942919084, 0.18315947417486297],
        [0.9805157226445483, -2.018564795915638, 0.5004791073654086, 0.18315947417486297],
    ],
    "Adamax": [
        [0.900000019999996, -1.900000039999984, 0.5, 0.1500000066666662],
        [0.9289473855263121, -1.878926343153669, 0.4473684280701745, 0.12014559283962464],
        [0.9379970246663923, -1.90254256986954, 0.4718149213127945, 0.1012887109980669],
    ],
    "Nadam": [
        [0.8937212409248747, -1.893721262180618, 0.5, 0.1437212267543745],
        [0.9818878037093979, -1.9329807683424827, 0.39783281028971973, 0.1692029956093312],
        [0.9626750397241746, -2.0019659355493085, 0.4948803239569892, 0.16458957124481322],
    ],
    "Lion": [[0.9, -1.9, 0.5, 0.15], [1.0, -2.0, 0.4, 0.25], [0.9, -2.1, 0.5, 0.15]],
}


@pytest.mark.parametrize("name", STEPS)
def test_optimizer_steps(backend, name):
    optimizer = getattr(optimizers, name)(0.1)
    plan = build("4 1nb", optimizer=optimizer.kernel, hyper=optimizer.hyper, dtype="float64")
    fit = Fit(backend, plan, W)
    for step, (gradient, expected) in enumerate(zip(GRADIENTS, STEPS[name], strict=True)):
        fit.update(gradient, optimizer.learning_rate, step)
        np.testing.assert_allclose(fit.host()[0], expected, rtol=1e-12)
