"""Bugs that were found by trying to break things, each with the smallest way to see it again."""

import gc
import os
import subprocess
import sys
import weakref

import numpy as np
import pytest

import fastnn
from fastnn import cli, kernels, optimizers

RNG = np.random.default_rng(0)
X = RNG.random((30, 4)).astype(np.float32)
Y = np.arange(30) % 3


def small(**options):
    return fastnn.MLP([4, 3], seed=0, backend="numpy", **options)


def test_a_model_whose_momentum_was_set_after_training_can_be_saved(tmp_path):
    model = small(optimizer=optimizers.SGD(0.1))
    model.fit(X, Y)
    model.optimizer.momentum = 0.9  # an optimizer with another state: a fit would start it afresh
    model.save(tmp_path / "model")
    loaded = fastnn.load(tmp_path / "model", backend="numpy")
    model.fit(X, Y)
    loaded.fit(X, Y)
    assert loaded.params.tobytes() == model.params.tobytes()


def test_a_model_may_have_the_longest_name_that_a_file_can_have(tmp_path):
    model = small()
    for name in ("n" * 255, "模" * 85):  # 255 bytes
        model.save(tmp_path / name)
        assert fastnn.load(tmp_path / name).params.tobytes() == model.params.tobytes()


def test_the_command_counts_the_images_that_fit_holds_out(tmp_path, capsys):
    share = 1 / 7  # 857.14 of 6,000 images: fit keeps 5,142 and holds out 858
    out = str(tmp_path / "out")
    assert cli.main(["train", "--validation-split", repr(share), "--epochs", "1", "--hidden", "--out", out]) == 0
    text = capsys.readouterr().out
    assert "5,142 images to train on" in text
    assert "the last 858 of the training images" in text


@pytest.mark.parametrize("closed", ["stdout", "stderr"])
def test_the_command_works_without_an_output(monkeypatch, closed):
    monkeypatch.setattr(sys, closed, None)  # what Python does where the descriptor is closed
    assert cli.main(["data"]) == 0


def test_numbers_beyond_all_floats_are_refused_like_infinity():
    with pytest.raises(ValueError, match="learning_rate must be a finite number"):
        optimizers.Adam(10**400)
    with pytest.raises(ValueError, match="dropout must be a finite number"):
        fastnn.MLP([4, 5, 3], dropout=-(10**400))


def test_a_message_has_no_gap():
    with pytest.raises(ValueError, match="units must be an integer of at least 1, got 0"):
        fastnn.layers.Dense(0)


def test_a_class_weight_too_large_for_the_dtype_is_refused():
    model = small()
    before = model.params.tobytes()
    with pytest.raises(ValueError, match=r"class_weight has 10 values too large for float32.* 1e\+300"):
        model.fit(X, Y, class_weight={1: 1e300})
    with pytest.raises(ValueError, match="class_weight times sample_weight has 10 values too large for float32"):
        model.fit(X, Y, class_weight={1: 1e30}, sample_weight=np.full(30, 1e30))
    assert model.params.tobytes() == before


@pytest.mark.parametrize("odd", [float("nan"), None, 1, b"c"])
def test_string_labels_with_something_else_among_them_are_refused(odd):
    with pytest.raises(TypeError, match="y must hold numbers or strings"):
        small().fit(X, ["a", "b", odd] * 10)


@pytest.mark.parametrize("x", [None, {}, "abc", lambda: X])
def test_the_message_says_what_it_got_in_the_place_of_an_array(x):
    shown = "'abc'" if x == "abc" else type(x).__name__
    with pytest.raises(TypeError, match=f"x must hold numbers, but it is {shown}"):
        small().fit(x, Y)


@pytest.mark.parametrize("method", ["fit", "evaluate"])
def test_targets_beside_an_iterator_are_refused(method):
    with pytest.raises(ValueError, match="x is an iterator over chunks, which have their own targets: y must be None"):
        getattr(small(), method)((row for row in X), Y)


@pytest.mark.parametrize("backend", kernels.available_backends())
def test_any_number_of_threads_in_the_environment_can_be_used(monkeypatch, backend):
    monkeypatch.setenv("FASTNN_NUM_THREADS", "9" * 30)
    fastnn.MLP([4, 3], seed=0, backend=backend).fit(X, Y)


@pytest.mark.parametrize("name", [None, 3, ["numpy"], {}])
def test_a_backend_that_is_no_name_is_refused(name):
    with pytest.raises(ValueError, match="unknown backend"):
        fastnn.MLP([4, 3], backend=name)


IMAGES = RNG.integers(0, 256, (40, 6)).astype(np.uint8)


@pytest.mark.parametrize(
    "y", [IMAGES[:30], IMAGES[:30].copy(), IMAGES[:30].reshape(30, 2, 3)], ids=["view", "copy", "3-d"]
)
@pytest.mark.parametrize("loss", ["mse", "binary_crossentropy"])
def test_uint8_targets_of_an_autoencoder_are_scaled_like_its_inputs(y, loss):
    def train(*targets):
        model = fastnn.Autoencoder([6, 3], loss=loss, seed=0, backend="numpy")
        validation = (IMAGES[30:], IMAGES[30:]) if targets else IMAGES[30:]
        history = model.fit(IMAGES[:30], *targets, validation_data=validation).history
        return history, model.evaluate(IMAGES[:30], *targets), model.params.tolist()

    assert train(y) == train()


def test_equal_slices_are_one_array_to_any_model():
    def train(x, y):
        layers = [fastnn.layers.Dense(6, activation="sigmoid", input_shape=(6,))]
        model = fastnn.Sequential(layers, seed=0, backend="numpy")
        return model.compile("sgd", "mse").fit(x, y).history

    x = IMAGES[:30]
    assert train(IMAGES[:30], IMAGES[:30]) == train(x, x)
    assert train(IMAGES[:30], IMAGES[10:]) != train(x, x)


@pytest.mark.parametrize(
    "y", [IMAGES[:30, :5], np.uint8(3), IMAGES[:0], IMAGES[:3]], ids=["width", "0-d", "empty", "3"]
)
def test_targets_of_an_autoencoder_that_do_not_fit_are_refused(y):
    model = fastnn.Autoencoder([6, 3], seed=0, backend="numpy")
    with pytest.raises(ValueError, match=r"^(x and )?y "):
        model.fit(IMAGES[:30], y)


def test_one_hot_rows_of_another_width_are_refused_with_both_widths():
    with pytest.raises(ValueError, match=r"a row of 3 numbers, one an output, but its shape is \(30, 4\)"):
        small().fit(X, np.eye(4)[Y])


def test_a_fit_that_failed_leaves_an_optimizer_to_go_on_with():
    """The second moment of a huge gradient is infinite before any weight is."""
    model = fastnn.MLP([6, 1], task="regression", seed=0, backend="numpy")
    x = np.random.default_rng(0).random((50, 6)).astype(np.float32)
    with pytest.raises(FloatingPointError):
        model.fit(x * np.float32(1e12), x[:, :1] * np.float32(1e12), epochs=3)
    assert np.isfinite(model._network.state).all()
    assert np.isfinite(model.fit(x, x[:, :1], epochs=3).history["loss"]).all()


def test_a_dropped_model_is_freed_at_once():
    gc.disable()
    try:
        model = small()
        model.fit(X, Y)
        alive = weakref.ref(model)
        del model
        assert alive() is None
    finally:
        gc.enable()


def test_a_wish_for_an_instruction_set_is_not_passed_over():
    code = "import fastnn; print(fastnn.MLP([2, 2]).backend)"
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={k: v for k, v in os.environ.items() if k != "FASTNN_BACKEND"} | {"FASTNN_ISA": "zzz"},
    )
    assert run.returncode != 0 and "FASTNN_ISA" in run.stderr


def test_nonsense_threads_are_found_before_a_fit_changes_anything(monkeypatch):
    model = small()
    model.fit(X, Y)
    history, params = model.history, model.params.tobytes()
    monkeypatch.setenv("FASTNN_NUM_THREADS", "zz")
    with pytest.raises(ValueError, match="zz"):
        model.fit(X, Y)
    assert model.history is history and model.params.tobytes() == params
