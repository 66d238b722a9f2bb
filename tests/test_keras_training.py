"""A hundred steps of every optimizer, against losses that Keras computed: see values/keras_training.py."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from fastnn import keras

VALUES = Path(__file__).parent / "values"
EXPECTED = json.loads((VALUES / "keras_training.json").read_text())


@pytest.fixture(scope="module")
def script():
    """The script that made the values, with fastnn in the place of Keras."""
    import sys

    spec = importlib.util.spec_from_file_location("keras_training", VALUES / "keras_training.py")
    module = importlib.util.module_from_spec(spec)
    before = sys.modules.get("keras")
    sys.modules["keras"] = keras
    try:
        spec.loader.exec_module(module)
    finally:
        del sys.modules["keras"]
        if before is not None:
            sys.modules["keras"] = before
    return module


@pytest.mark.parametrize("name", EXPECTED)
def test_a_hundred_steps(script, name):
    np.testing.assert_allclose(script.losses(keras, name), EXPECTED[name], rtol=1e-4)


def test_every_optimizer_is_there(script):
    assert {script.CLASSES.get(name, name) for name in EXPECTED} >= set(keras.optimizers.CLASSES) - {"LBFGS"}
