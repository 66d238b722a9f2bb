"""A hundred steps of every optimizer, against losses that Keras computed: see values/keras_training.py."""

import json

import numpy as np
import pytest
from helpers import values

from fastnn import keras

EXPECTED = json.loads((values.FOLDER / "keras_training.json").read_text())


@pytest.fixture(scope="module")
def script():
    """The script that made the values, with fastnn in the place of Keras."""
    return values.script("keras_training", keras)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_hundred_steps(script, name):
    np.testing.assert_allclose(script.losses(keras, name), EXPECTED[name], rtol=1e-4)


def test_every_optimizer_is_there(script):
    assert {script.CLASSES.get(name, name) for name in EXPECTED} >= set(keras.optimizers.CLASSES) - {"LBFGS"}
