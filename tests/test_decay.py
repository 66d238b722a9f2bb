"""Decoupled weight decay: which weights, by how much, and that a model file keeps it."""

import numpy as np
import pytest

import fastnn
from fastnn.layers import Dense
from fastnn.optimizers import SGD, Adam, AdamW, Lion

PATHS = ("hidden/kernel", "hidden/bias", "out/kernel", "out/bias")
FEATURES = np.zeros((4, 2)), np.zeros((4, 2))


def model(optimizer, backend="auto", hidden=None, out=None):
    layers = [
        Dense(3, "relu", input_shape=(2,), name="hidden", weight_decay=hidden),
        Dense(2, name="out", weight_decay=out),
    ]
    made = fastnn.Sequential(layers, seed=0, backend=backend, dtype="float64")
    return made.compile(optimizer, "mse")


def kept(made, epochs=1):
    """What a step leaves of every weight, by path, where no weight has a gradient."""
    # Inputs of zero and hidden units below zero: nothing reaches the outputs but their bias, which is zero there.
    ones = [np.ones((2, 3)), -np.ones(3), np.ones((3, 2)), np.zeros(2)]
    made.set_weights(ones)
    made.fit(*FEATURES, batch_size=4, epochs=epochs, verbose=0)
    hidden, bias, out, last = made.get_weights()
    assert (last == 0.0).all()
    return {"hidden/kernel": hidden[0, 0], "hidden/bias": -bias[0], "out/kernel": out[0, 0]}


def shares(first, second, third):
    return dict(zip(PATHS, (first, second, third), strict=False))


@pytest.mark.parametrize("optimizer", [SGD, Adam, AdamW, Lion])
def test_a_share_of_the_rate(backend, optimizer):
    made = model(optimizer(0.5, weight_decay=0.25), backend.NAME)
    assert kept(made) == pytest.approx(shares(0.875, 0.875, 0.875))
    assert kept(model(optimizer(0.5, weight_decay=0.0), backend.NAME)) == shares(1.0, 1.0, 1.0)


def test_steps_add_up_with_the_rate_of_each():
    rate = fastnn.schedules.PiecewiseConstantDecay([0], [0.5, 0.125])
    found = kept(model(SGD(rate, weight_decay=0.25)), epochs=2)
    assert found["out/kernel"] == pytest.approx((1 - 0.5 * 0.25) * (1 - 0.125 * 0.25))


@pytest.mark.parametrize(
    ("hidden", "out", "expected"),
    [
        (0.0, None, shares(1.0, 1.0, 0.875)),
        (0.5, None, shares(0.75, 0.75, 0.875)),
        (0.0, 0.5, shares(1.0, 1.0, 0.75)),
    ],
)
def test_a_layer_has_its_own(backend, hidden, out, expected):
    assert kept(model(SGD(0.5, weight_decay=0.25), backend.NAME, hidden, out)) == pytest.approx(expected)


def test_a_layer_decays_where_the_optimizer_has_none():
    assert kept(model(SGD(0.5), out=0.25)) == pytest.approx(shares(1.0, 1.0, 0.875))


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["bias"], shares(0.875, 1.0, 0.875)),
        (["^out/"], shares(0.875, 0.875, 1.0)),
        (["bias", "hidden/kernel"], shares(1.0, 1.0, 0.875)),
    ],
)
def test_names_are_excluded(backend, names, expected):
    made = model(SGD(0.5, weight_decay=0.25, exclude_from_weight_decay=names), backend.NAME)
    assert kept(made) == pytest.approx(expected)
    optimizer = SGD(0.5, weight_decay=0.25)
    optimizer.exclude_from_weight_decay(var_names=names)
    assert kept(model(optimizer, backend.NAME)) == pytest.approx(expected)


def test_what_is_excluded_does_not_decay_in_a_layer_of_its_own_either():
    made = model(SGD(0.5, exclude_from_weight_decay=["bias"]), hidden=0.25)
    assert kept(made) == pytest.approx(shares(0.875, 1.0, 1.0))


def test_a_model_file_keeps_it(tmp_path):
    made = model(AdamW(0.5, 0.25, exclude_from_weight_decay=["bias"]), out=0.5)
    made.save(tmp_path / "model.safetensors")
    loaded = fastnn.load(tmp_path / "model.safetensors")
    assert kept(loaded) == pytest.approx(shares(0.875, 1.0, 0.75))
    assert repr(loaded.optimizer) == repr(made.optimizer)


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: SGD(weight_decay=-1), ValueError, "weight_decay .* -1"),
        (lambda: Dense(3, weight_decay="much"), TypeError, "weight_decay .*'much'"),
        (lambda: SGD(exclude_from_weight_decay="bias"), TypeError, "a list of names, got 'bias'"),
        (lambda: SGD(exclude_from_weight_decay=["(bias"]), ValueError, r"'\(bias'.* no regular expression"),
        (
            lambda: model(SGD(exclude_from_weight_decay=["gamma"])),
            ValueError,
            "'gamma'.* no weight; .*hidden/kernel, hid",
        ),
        (lambda: model("lbfgs", out=0.1).fit(*FEATURES), ValueError, "L-BFGS has no weight decay: Dense"),
    ],
)
def test_errors(make, error, text):
    if "lbfgs" in str(make.__code__.co_consts):
        pytest.importorskip("scipy")
    with pytest.raises(error, match=text):
        make()
