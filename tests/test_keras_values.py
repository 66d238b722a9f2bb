"""Values that Keras computed once in float64, beside those of every backend; see values/keras_kernels.py."""

import json
from pathlib import Path

import numpy as np
import pytest
from helpers.nets import Fit, build

import fastnn
from fastnn import losses, optimizers

KERAS = json.loads((Path(__file__).parent / "values" / "keras_kernels.json").read_text())


@pytest.mark.parametrize("name", KERAS["optimizers"])
def test_optimizer_steps(backend, name):
    optimizer = getattr(optimizers, name)(0.1)
    plan = build(
        "4 1nb",
        optimizer=optimizer.kernel,
        hyper=optimizer.hyper,
        dtype="float64",
        decay={0: optimizer.weight_decay or 0.0},
    )
    fit = Fit(backend, plan, np.array(KERAS["w"]))
    for step, (gradient, expected) in enumerate(zip(KERAS["gradients"], KERAS["optimizers"][name], strict=True)):
        fit.update(np.array(gradient), optimizer.learning_rate, step)
        np.testing.assert_allclose(fit.host()[0], expected, rtol=1e-12)


@pytest.mark.parametrize("case", KERAS["losses"], ids=lambda case: case["name"])
def test_loss_and_its_gradient(backend, case):
    check_loss(backend, getattr(losses, case["name"])(**case["config"]), case["targets"], case)


def test_smoothed_labels_are_smoothed_one_hot_rows(backend):
    case = next(case for case in KERAS["losses"] if case["name"] == "CategoricalCrossentropy")
    loss = losses.SparseCategoricalCrossentropy(**case["config"])
    check_loss(backend, loss, np.argmax(case["targets"], axis=1), case)


def check_loss(backend, loss, targets, case):
    """The gradient by the outputs is that by the bias of a layer of weights zero, one row at a time."""
    model = fastnn.Sequential([fastnn.layers.Dense(3, input_shape=(1,))], backend=backend.NAME, dtype="float64", seed=0)
    model.compile("sgd", loss)
    total, x = 0.0, np.ones((1, 1))
    for row, (z, w) in enumerate(zip(KERAS["outputs"], KERAS["weights"], strict=True)):
        model.set_weights([np.zeros((1, 3)), z])
        y = np.asarray(targets)[row : row + 1]
        total += model.evaluate(x, y, sample_weight=[w])
        model.fit(x, y, sample_weight=[w], verbose=0)
        slope = (z - model.get_weights()[1]) / 0.01
        # Keras rounds the reciprocal of a count to float32.
        np.testing.assert_allclose(slope / 2, case["gradient"][row], rtol=1e-7, atol=1e-12)
    assert total / 2 == pytest.approx(case["value"], rel=1e-7)


@pytest.mark.parametrize("name", KERAS["regularized"])
def test_regularized_training(backend, name):
    case = KERAS["regularized"][name]
    modules = {"regularizer": fastnn.regularizers, "constraint": fastnn.constraints}
    made = {k: getattr(modules[k.rpartition("_")[2]], cls)(**config) for k, (cls, config) in case["layer"].items()}
    first, second = fastnn.layers.Dense(4, "tanh", input_shape=(3,), **made), fastnn.layers.Dense(2)
    model = fastnn.Sequential([first, second], backend=backend.NAME, dtype="float64", seed=0)
    model.set_weights(case["start"])
    model.compile(optimizers.SGD(0.125, momentum=0.5, **case["clipping"]), "mse")
    x, y = np.array(KERAS["rows"]), np.array(KERAS["targets"])
    history = model.fit(x, y, batch_size=4, epochs=3, shuffle=False, verbose=0)
    np.testing.assert_allclose(history.history["loss"], case["losses"], rtol=1e-7)
    assert model.evaluate(x, y) == pytest.approx(case["evaluate"], rel=1e-7)
    for got, expected in zip(model.get_weights(), case["weights"], strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-7)  # Keras rounds its constants to float32
