"""Every argument of Keras's: there by its name, in its place, with its default, and either honoured or refused."""

import inspect
import json
import re

import numpy as np
import pytest
from helpers import values

from fastnn import keras
from fastnn.keras import Sequential, layers

KERAS = json.loads((values.FOLDER / "keras_signatures.json").read_text())
# Base classes, whose constructors nobody calls, and a subclass of Model, which calls it without arguments.
OTHERS = ("layers.Layer", "losses.Loss", "metrics.Metric", "models.Model", "optimizers.Optimizer", "ops.where")
X = np.random.default_rng(0).random((80, 4), np.float32)


@pytest.fixture(scope="module")
def ours():
    """What the script that made the values says of fastnn.keras."""
    return dict(values.script("keras_signatures", keras).described(keras))


@pytest.mark.parametrize("name", sorted(set(KERAS) - set(OTHERS)))
def test_names_orders_and_defaults(ours, name):
    found = ours[name]
    if name.startswith("ops.") or name == "models.Sequential.add":  # of which fastnn has the first arguments only
        assert found == KERAS[name][: len(found)]
    else:
        assert found == KERAS[name]


def test_nothing_of_our_own_is_hidden_in_the_list(ours):
    only_here = {name for name in set(ours) - set(KERAS) if not name.startswith("backend.")}
    assert {name.partition(".")[2] for name in only_here} == {"KLD", "MAE", "MSE", "kld", "mae", "mse"}


# ---------------------------------------------------------------------------------------------- every single one

NEEDED = {
    "Activation": {"activation": "relu"},
    "BackupAndRestore": {"backup_dir": "a"},
    "CSVLogger": {"filename": "a.csv"},
    "Dense": {"units": 3},
    "Dropout": {"rate": 0.5},
    "GaussianDropout": {"rate": 0.5},
    "GaussianNoise": {"stddev": 0.5},
    "InputLayer": {"shape": (3,)},
    "LearningRateScheduler": {"schedule": lambda epoch: 0.1},
    "ModelCheckpoint": {"filepath": "a.keras"},
    "Normalization": {"mean": 1.0, "variance": 1.0},
    "Rescaling": {"scale": 0.5},
    "Reshape": {"target_shape": (2, 2)},
}
CLASS_NAMES = {"ones": "Ones", "zeros": "Zeros", "l1": "L1", "max_norm": "MaxNorm"}
# A value that is not the default of any argument of that name.
OTHER = {
    "activation": "tanh", "activity_regularizer": "l1", "amsgrad": True, "append": True, "average": "macro",
    "axis": 2, "backup_dir": "b", "baseline": 0.5, "batch_shape": (None, 3), "batch_size": 7,
    "bias_constraint": "max_norm", "bias_initializer": "ones", "bias_regularizer": "l1", "centered": True,
    "class_aggregation": "variance",
    "curve": "PR", "data_format": "channels_first", "delete_checkpoint": False, "distribution": "uniform",
    "double_checkpoint": True, "dtype": "float64",
    "filename": "b.csv", "filepath": "b.keras", "from_logits": True, "initial_value_threshold": 0.5, "input_tensor": 3,
    "invert": True, "kernel_constraint": "max_norm", "kernel_initializer": "ones", "kernel_regularizer": "l1",
    "label_weights": [1.0], "min_delta": 0.25, "mode": "max", "monitor": "loss", "multi_label": True,
    "name": "another", "nesterov": True, "noise_shape": (1, 3), "optional": True, "quantization_config": 3,
    "raise_error": True, "ragged": True, "reduction": "sum", "restore_best_weights": True, "save_best_only": True,
    "save_freq": 5, "save_weights_only": True, "schedule": lambda epoch, rate: rate, "separator": ";", "shape": (5,),
    "sparse": True, "summation_method": "majoring", "target_shape": (4, 1), "thresholds": 0.25, "use_bias": False,
    "use_ema": True, "from_sorted_ids": True, "beta_initializer": "ones", "gamma_initializer": "zeros",
    "moving_mean_initializer": "ones", "moving_variance_initializer": "zeros", "beta_regularizer": "l1",
    "gamma_regularizer": "l1", "beta_constraint": "max_norm", "gamma_constraint": "max_norm", "center": False,
    "renorm": True, "synchronized": True, "renorm_clipping": {"rmax": 1.0},
}  # fmt: skip
INTEGERS = ("units", "patience", "cooldown", "seed", "top_k", "class_id", "k", "start_from_epoch", "lora_rank",
            "num_thresholds", "num_labels", "num_regressors", "ignore_class", "gradient_accumulation_steps",
            "ema_overwrite_frequency", "input_axes", "output_axes")  # fmt: skip
# Labels that nothing shows, and what has no effect there either without another argument that is refused.
WITHOUT_EFFECT = {("optimizers", "name"), ("losses", "name"), ("optimizers", "ema_momentum")}


def every_argument():
    for module in ("layers", "optimizers", "losses", "metrics", "regularizers", "initializers", "constraints",
                   "callbacks"):  # fmt: skip
        for name in sorted(getattr(keras, module).__all__):
            key = f"{module}.{name}"
            if isinstance(getattr(getattr(keras, module), name), type) and key in KERAS and key not in OTHERS:
                yield from ((module, name, argument) for argument, _ in KERAS[key])


@pytest.mark.parametrize(("module", "name", "argument"), list(every_argument()))
def test_an_argument_is_honoured_or_refused(module, name, argument):
    cls = getattr(getattr(keras, module), name)
    if argument == "verbose":
        value = 1
    elif argument.startswith("on_"):
        value = print
    elif argument == "mode" and module == "initializers":
        value = "fan_out"
    elif argument == "scale" and name != "Rescaling":
        value = False
    elif argument == "name" and module == "callbacks":
        value = "x"
    else:
        value = 5 if argument in INTEGERS else OTHER.get(argument, 0.75)
    given = {**NEEDED.get(name, {}), argument: value}
    if argument == "batch_shape":
        given.pop("shape")
    if argument == "save_weights_only":
        given["filepath"] = "a.weights.h5"
    try:
        made = cls(**given)
    except (TypeError, ValueError) as error:
        assert argument in str(error) and "\n" not in str(error)
        return
    if (module, argument) in WITHOUT_EFFECT:
        return
    config = made.get_config() if hasattr(made, "get_config") else {}
    if argument in ("shape", "batch_shape"):
        assert made.output.shape[1:] == value[argument == "batch_shape" :]
    elif argument == "axis":
        assert config["axis"] == [value]  # which a shape will refuse
    elif argument == "initial_value_threshold":
        assert made.best == value
    elif argument.endswith(("initializer", "regularizer", "constraint")):
        assert config[argument]["class_name"] == CLASS_NAMES[value]
    else:
        kept = config[argument] if argument in config else getattr(made, argument)
        assert kept == (list(value) if isinstance(kept, list) else value)


@pytest.mark.parametrize("module", ["layers", "optimizers", "losses", "metrics", "initializers"])
def test_what_keras_does_not_have_is_refused(module):
    for name in sorted(getattr(keras, module).CLASSES):
        with pytest.raises(TypeError, match=r"unknown argument nonsense=1; supported are "):
            getattr(getattr(keras, module), name)(**NEEDED.get(name, {}), nonsense=1)


# ---------------------------------------------------------------------------------------------- seeds


def noisy(seed, other=None):
    keras.utils.set_random_seed(other or np.random.default_rng().integers(2**31))
    model = Sequential([keras.Input((4,)), layers.Dropout(0.5, seed=seed), layers.Dense(50, "relu"),
                        layers.GaussianNoise(0.1), layers.Dense(1)])  # fmt: skip
    model.set_weights([np.full(weight.shape, 0.1) for weight in model.get_weights()])
    model.compile("sgd", "mse")
    return model.fit(X, X[:, 0], shuffle=False, epochs=2, verbose=0).history["loss"]


def test_seeds_of_layers_decide_their_masks():
    assert noisy(3) == noisy(3)
    assert noisy(3) != noisy(4)
    assert noisy(None) != noisy(None)
    assert noisy(None, 5) == noisy(None, 5) != noisy(None, 6)


def test_seeds_of_initializers_decide_the_weights():
    for name, cls in keras.initializers.CLASSES.items():
        if "seed" in inspect.signature(cls).parameters:
            first, second, other = (
                Sequential([keras.Input((4,)), layers.Dense(3, kernel_initializer=cls(seed=seed))]).get_weights()[0]
                for seed in (1, 1, 2)
            )
            np.testing.assert_array_equal(first, second, err_msg=name)
            assert np.abs(first - other).max() > 1e-3, name


# ---------------------------------------------------------------------------------------------- methods


def compiled():
    keras.utils.set_random_seed(1)
    model = Sequential([keras.Input((4,)), layers.Dense(3, "tanh"), layers.Dense(1)])
    model.compile("sgd", "mse", jit_compile=True, steps_per_execution=4)
    return model


def test_arguments_of_the_validation():
    model, y = compiled(), X[:, 0]
    history = model.fit(X, y, epochs=5, verbose=0, validation_data=(X, y), validation_freq=2).history
    assert len(history["loss"]) == 5 and len(history["val_loss"]) == 2
    history = model.fit(X, y, epochs=5, verbose=0, validation_split=0.5, validation_freq=[1, 2, 5]).history
    assert len(history["val_loss"]) == 3
    weights = np.linspace(1, 2, 80)
    found = model.fit(X, y, verbose=0, validation_data=(X, y, weights), validation_steps=3, validation_batch_size=10)
    expected = model.evaluate(X[:30], y[:30], sample_weight=weights[:30], verbose=0)
    assert found.history["val_loss"] == [pytest.approx(expected, rel=1e-6)]
    found = model.fit(X, y, verbose=0, validation_data=(X, y), validation_batch_size=7).history["val_loss"]
    assert found == [pytest.approx(model.evaluate(X, y, verbose=0), rel=1e-6)]
    for wrong in ({"validation_batch_size": 0}, {"validation_freq": 0}, {"validation_freq": [1.5]}):
        with pytest.raises((TypeError, ValueError), match=next(iter(wrong))):
            model.fit(X, y, verbose=0, validation_data=(X, y), **wrong)
    before = model.get_weights()
    for idle in ({"validation_batch_size": 8}, {"validation_freq": 2}, {"validation_freq": [1]}):
        with pytest.raises(ValueError, match=f"{next(iter(idle))}=.* needs data to validate with"):
            model.fit(X, y, verbose=0, **idle)
    with pytest.raises(ValueError, match="names no epoch"):
        model.fit(X, y, verbose=0, validation_data=(X, y), validation_freq=[])
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    chunks = ((X[:10], y[:10]), (X[10:], y[10:]))
    with pytest.raises(ValueError, match="validation_steps=1"):
        model.fit(X, y, verbose=0, validation_data=chunks, validation_steps=1)


def test_steps_are_the_first_batches():
    model, y = compiled(), X[:, 0]
    assert model.predict(X, batch_size=10, steps=2, verbose=0).shape == (20, 1)
    assert model.evaluate(X, y, steps=2, verbose=0) == model.evaluate(X[:64], y[:64], verbose=0)
    chunks = ((X[i : i + 10], y[i : i + 10]) for i in range(0, 80, 10))
    assert model.evaluate(chunks, steps=4) == pytest.approx(model.evaluate(X[:40], y[:40], verbose=0))
    assert model.predict((X[i : i + 10] for i in range(0, 80, 10)), steps=3).shape == (30, 1)
    with pytest.raises(ValueError, match="begin 'late' with an Input"):
        Sequential([layers.Dense(1)], name="late").predict(x for x in [X])


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (
            lambda model: model.compile("sgd", "mse", ["mae"]),
            "loss_weights=['mae'], only None; supported are optimizer",
        ),
        (lambda model: model.compile("sgd", "mse", run_eagerly=True), "run_eagerly=True"),
        (lambda model: model.compile("sgd", "mse", jit_compile="always"), "jit_compile"),
        (lambda model: model.compile("sgd", "mse", steps_per_execution=0), "steps_per_execution"),
        (lambda model: model.predict(X, callbacks=[print]), "callbacks="),
        (lambda model: model.fit(X, X[:, 0], workers=4), "workers=4"),
        (lambda model: model.save("x.keras", zipped=False), "zipped=False"),
        (lambda model: model.save_weights("x.weights.h5", max_shard_size=1), "max_shard_size=1"),
        (lambda model: model.load_weights("x.weights.h5", skip_mismatch=True), "skip_mismatch=True"),
        (lambda model: keras.models.load_model("x.keras", custom_objects={"a": 1}), "custom_objects={'a': 1}"),
        (lambda model: model(X, training=True), "training=True"),
    ],
)
def test_arguments_of_methods_are_refused(call, said):
    with pytest.raises((TypeError, ValueError), match=re.escape(said)):
        call(compiled())
