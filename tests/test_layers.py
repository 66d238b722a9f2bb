"""Layers, initializers, losses, optimizers and metrics: the declarations, their arguments and their formulas."""

import json
import math

import numpy as np
import pytest
from fastnn.kernels import dropout

import fastnn
from fastnn import constraints, initializers, layers, losses, metrics, optimizers, regularizers
from fastnn.layers import Activation, Dense, Dropout, Flatten, Input


def build(*parts, **options):
    return fastnn.Sequential(list(parts), seed=0, backend="numpy", **options)


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: Dense(0), ValueError, "units .* got 0"),
        (lambda: Dense(2.5), TypeError, "units .* 2.5"),
        (lambda: Dense(True), TypeError, "units .* True"),
        (lambda: Dense("8"), TypeError, "units .* '8'"),
        (lambda: Dense(3, activation="rellu"), ValueError, "'rellu'. Did you mean 'relu'"),
        (lambda: Dense(3, activation=np.tanh), TypeError, "activation must be a name"),
        (lambda: Dense(3, use_bias=1), TypeError, "use_bias"),
        (lambda: Dense(3, kernel_initializer="he_norml"), ValueError, "'he_norml'. Did you mean 'he_normal'"),
        (lambda: Dense(3, bias_initializer=0), TypeError, "initializer .* 0"),
        (lambda: Dense(3, input_shape=(0,)), ValueError, "input_shape .* 0"),
        (lambda: Dense(3, input_shape=()), ValueError, "input_shape"),
        (lambda: Dense(3, name=7), TypeError, "name .* 7"),
        (lambda: Dense(3, kernel_regularizer="l3"), ValueError, "unknown regularizer 'l3'"),
        (lambda: Dense(3, activity_regularizer=0.1), TypeError, "regularizer .* 0.1"),
        (lambda: Dense(3, kernel_constraint="maxnrm"), ValueError, "constraint .*'maxnrm'. Did you mean"),
        (lambda: Dense(3, bias_constraint="max_norm"), TypeError, "bias_constraint"),
        (lambda: regularizers.L1L2(l2=-1.0), ValueError, "l2 .* -1.0"),
        (lambda: constraints.MaxNorm(0), ValueError, "max_value .* above 0.0, got 0"),
        (lambda: optimizers.Adam(clipnorm=0.0), ValueError, "clipnorm .* above 0.0"),
        (
            lambda: optimizers.Adam(clipnorm=1.0, clipvalue=1.0),
            ValueError,
            "only one of clipnorm, clipvalue and global",
        ),
        (lambda: Dropout(1.0), ValueError, r"rate .* below 1.0, got 1.0"),
        (lambda: Dropout(-0.1), ValueError, "rate .* -0.1"),
        (lambda: Dropout(math.nan), ValueError, "rate .* nan"),
        (lambda: Dropout("half"), TypeError, "rate .* 'half'"),
        (lambda: layers.GaussianNoise(-0.5), ValueError, "stddev .* -0.5"),
        (lambda: layers.GaussianDropout(1.0), ValueError, "rate .* below 1.0"),
        (lambda: Activation("softmx"), ValueError, "Did you mean 'softmax'"),
        (lambda: Activation("relu", alpha=0.1), ValueError, "alpha is for .* not for 'relu'"),
        (lambda: Activation("elu", alpha=math.inf), ValueError, "alpha .* inf"),
        (lambda: Input(None), ValueError, "shape"),
        (lambda: optimizers.SGD(-1.0), ValueError, "learning_rate .* -1.0"),
        (lambda: optimizers.SGD(math.inf), ValueError, "learning_rate .* inf"),
        (lambda: optimizers.SGD("fast"), TypeError, "learning_rate .* 'fast'"),
        (lambda: optimizers.SGD(momentum=1.5), ValueError, "momentum .* 1.5"),
        (lambda: optimizers.SGD(nesterov=1), TypeError, "nesterov"),
        (lambda: optimizers.Adam(beta_1=1.0), ValueError, "beta_1 .* below 1.0"),
        (lambda: optimizers.Adam(beta_2=-0.1), ValueError, "beta_2 .* -0.1"),
        (lambda: optimizers.Adam(epsilon=0.0), ValueError, "epsilon .* above 0.0"),
        (lambda: optimizers.Adam(amsgrad=True), TypeError, "amsgrad"),
        (lambda: optimizers.AdamW(weight_decay=-1), ValueError, "weight_decay .* -1"),
        (lambda: optimizers.AdamW(weight_decay=None), ValueError, "weight_decay .* None"),
        (lambda: optimizers.RMSprop(rho=2), ValueError, "rho .* 2"),
        (lambda: optimizers.Adagrad(initial_accumulator_value=-1), ValueError, "initial_accumulator_value .* -1"),
        (lambda: optimizers.Nadam(beta_1=1.0), ValueError, "beta_1 .* below 1.0"),
        (lambda: optimizers.Lion(beta_1=0.0), ValueError, "beta_1 .* above 0.0"),
        (lambda: optimizers.get("adm"), ValueError, "'adm'. Did you mean 'adam'"),
        (lambda: optimizers.get(3), TypeError, "optimizer .* 3"),
        (lambda: losses.get("mean_squared"), ValueError, "'mean_squared'. Did you mean 'mean_squared_error'"),
        (lambda: losses.Huber(0.0), ValueError, "delta .* above 0.0, got 0.0"),
        (lambda: losses.CategoricalCrossentropy(label_smoothing=1.5), ValueError, "label_smoothing .* 1.5"),
        (lambda: losses.get(None), TypeError, "loss"),
        (lambda: losses.BinaryCrossentropy(from_logits="yes"), TypeError, "from_logits"),
        (lambda: metrics.get("acuracy"), ValueError, "'acuracy'. Did you mean 'accuracy'"),
        (lambda: metrics.get_all(["mae", "mae"]), ValueError, "'mae' is taken"),
        (lambda: metrics.get_all([3]), TypeError, "metric"),
        (lambda: initializers.RandomUniform(1.0, -1.0), ValueError, "minval"),
        (lambda: initializers.RandomNormal(stddev=-1.0), ValueError, "stddev .* -1.0"),
    ],
)
def test_wrong_arguments_are_named(make, error, words):
    with pytest.raises(error, match=words):
        make()


def test_keras_defaults():
    assert optimizers.SGD().get_config() == {"learning_rate": 0.01, "momentum": 0.0, "nesterov": False}
    assert optimizers.Adam().get_config() == {"learning_rate": 0.001, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7}
    assert optimizers.AdamW().get_config()["weight_decay"] == 0.004
    assert optimizers.RMSprop().get_config() == {"learning_rate": 0.001, "rho": 0.9, "epsilon": 1e-7}
    start = {"learning_rate": 0.001, "initial_accumulator_value": 0.1, "epsilon": 1e-7}
    assert optimizers.Adagrad().get_config() == start
    assert optimizers.Adamax().get_config() == optimizers.Nadam().get_config() == optimizers.Adam().get_config()
    assert optimizers.Lion().get_config() == {"learning_rate": 0.001, "beta_1": 0.9, "beta_2": 0.99}
    dense = Dense(3)
    assert (dense.activation, dense.use_bias) == ("linear", True)
    assert isinstance(dense.kernel_initializer, initializers.GlorotUniform)
    assert isinstance(dense.bias_initializer, initializers.Zeros)


@pytest.mark.parametrize("name", sorted(initializers._BY_NAME))
def test_initializers_follow_their_formulas(name):
    fan_in, fan_out = 300, 200
    w = initializers.get(name)((fan_in, fan_out), np.random.default_rng(1))
    again = initializers.get(name)((fan_in, fan_out), np.random.default_rng(1))
    np.testing.assert_array_equal(w, again)
    variance = {
        "glorot": 2.0 / (fan_in + fan_out),
        "he": 2.0 / fan_in,
        "lecun": 1.0 / fan_in,
        "variance": 1.0 / fan_in,
    }.get(name.split("_")[0])
    if variance is None:
        spread = {"zeros": 0.0, "ones": 0.0, "constant": 0.0, "random_uniform": 0.05 / math.sqrt(3.0),
                  "random_normal": 0.05, "truncated_normal": 0.05 * 0.87962566103423978,
                  "orthogonal": 1.0 / math.sqrt(fan_in)}[name]  # fmt: skip
        assert w.std() == pytest.approx(spread, rel=0.02)
        assert w.mean() == pytest.approx(1.0 if name == "ones" else 0.0, abs=1e-3)
        return
    assert w.mean() == pytest.approx(0.0, abs=4 * math.sqrt(variance / w.size))
    assert w.var() == pytest.approx(variance, rel=0.02)
    # Keras cuts its normal distributions at two sigma of the uncut one.
    bound = math.sqrt(3.0 * variance) if name.endswith("uniform") else 2.0 * math.sqrt(variance) / 0.87962566103423978
    assert 0.99 * bound < abs(w).max() <= bound


def test_initializers_with_arguments():
    rng = np.random.default_rng(0)
    w = initializers.Orthogonal(2.0)((30, 20), rng)
    np.testing.assert_allclose(w.T @ w, 4.0 * np.eye(20), atol=1e-12)
    w = initializers.Orthogonal()((20, 30), rng)
    np.testing.assert_allclose(w @ w.T, np.eye(20), atol=1e-12)
    np.testing.assert_array_equal(initializers.Constant(0.5)((2, 3), rng), np.full((2, 3), 0.5))
    z = (initializers.TruncatedNormal(1.0, 0.1)((40_000,), rng) - 1.0) / 0.1
    assert 1.99 < abs(z).max() <= 2.0 and z.std() == pytest.approx(0.87962566103423978, rel=0.01)
    for mode, n in (("fan_in", 300), ("fan_out", 200), ("fan_avg", 250)):
        w = initializers.VarianceScaling(3.0, mode, "untruncated_normal")((300, 200), rng)
        assert w.var() == pytest.approx(3.0 / n, rel=0.02) and abs(w).max() > 3.5 * math.sqrt(3.0 / n)
    w = initializers.VarianceScaling(mode="fan_out", distribution="uniform")((300, 200), rng)
    assert abs(w).max() == pytest.approx(math.sqrt(3.0 / 200), rel=1e-3)
    with pytest.raises(ValueError, match="two axes or more, got the shape \\(3,\\)"):
        initializers.Orthogonal()((3,), rng)
    assert isinstance(initializers.get(initializers.HeNormal), initializers.HeNormal)
    assert isinstance(initializers.get("uniform"), initializers.RandomUniform)
    assert isinstance(initializers.get("GlorotNormal"), initializers.GlorotNormal)


def test_initializer_of_a_bias_takes_its_length_for_both_fans():
    b = initializers.GlorotUniform()((50,), np.random.default_rng(0))
    assert 0.8 * math.sqrt(6 / 100) < abs(b).max() <= math.sqrt(6 / 100)


LAYERS = [
    lambda: Input((4, 5), name="start"),
    lambda: Dense(7, "gelu", use_bias=False, kernel_initializer=initializers.RandomNormal(0.5, 0.25), input_shape=(3,)),
    lambda: Dense(2),
    lambda: Dense(
        2,
        kernel_regularizer="l2",
        bias_regularizer=regularizers.L1(0.5),
        activity_regularizer="l1_l2",
        kernel_constraint=constraints.MaxNorm(3.0),
    ),
    lambda: Dropout(0.25, name="drop"),
    lambda: layers.GaussianNoise(0.5),
    lambda: layers.GaussianDropout(0.25),
    lambda: layers.MaskingNoise(0.25, input_shape=(3,)),
    lambda: Activation("leaky_relu", alpha=0.3),
    lambda: Flatten(input_shape=(2, 2)),
]


@pytest.mark.parametrize("make", LAYERS)
def test_layers_survive_json(make):
    layer = make()
    config = json.loads(json.dumps(layers.serialize(layer)))
    again = layers.deserialize(config)
    assert type(again) is type(layer)
    assert layers.serialize(again) == config
    assert repr(again) == repr(layer)


def test_what_cannot_be_saved_says_so():
    class Custom(Dense):
        pass

    with pytest.raises(ValueError, match=r"cannot save .* only Input, Dense"):
        layers.serialize(Custom(3))


def test_shapes_and_weights_follow_keras():
    model = build(Input((4, 5)), Flatten(), Dense(6, "relu"), Dropout(0.5), Dense(3, use_bias=False))
    assert model.input_shape == (None, 4, 5)
    assert model.output_shape == (None, 3)
    assert [layer.output_shape for layer in model.layers] == [(None, 4, 5), (None, 20), (None, 6), (None, 6), (None, 3)]
    assert [w.shape for w in model.get_weights()] == [(20, 6), (6,), (6, 3)]
    assert [layer.count_params() for layer in model.layers] == [0, 0, 126, 0, 18]
    assert model.count_params() == 144 == len(model.params)
    kernel, bias = model.layers[2].get_weights()
    np.testing.assert_array_equal(model.params[:120], kernel.ravel())
    np.testing.assert_array_equal(bias, np.zeros(6))
    assert [layer.name for layer in model.layers] == ["input", "flatten", "dense", "dropout", "dense_1"]


def test_layer_weights_can_be_replaced():
    model = build(Dense(4, "relu", input_shape=(3,)), Dense(2))
    before = model.get_weights()
    kernel, bias = np.arange(8.0).reshape(4, 2), [1, 2]
    model.layers[1].set_weights([kernel, bias])
    after = model.get_weights()
    np.testing.assert_array_equal(after[2], kernel)
    np.testing.assert_array_equal(after[3], bias)
    np.testing.assert_array_equal(after[0], before[0])
    x = np.ones((1, 3), "f4")
    hidden = np.maximum(x @ before[0] + before[1], 0)
    np.testing.assert_allclose(model.predict(x), hidden @ kernel + bias, rtol=1e-5)
    after[0][...] = 7  # a copy: the model does not notice
    assert not (model.get_weights()[0] == 7).any()


@pytest.mark.parametrize(
    "weights",
    [
        [np.zeros((4, 2))],
        [np.zeros((2, 4)), np.zeros(2)],
        [np.zeros((4, 2)), np.full(2, np.nan)],
        [np.zeros((4, 2)), np.zeros(2, complex)],
        [np.zeros((4, 2)), ["a", "b"]],
        np.zeros((4, 2)),
        None,
    ],
)
def test_weights_that_do_not_fit_change_nothing(weights):
    model = build(Dense(4, input_shape=(3,)), Dense(2))
    before = model.params.copy()
    with pytest.raises((ValueError, TypeError), match="dense_1"):
        model.layers[1].set_weights(weights)
    with pytest.raises((ValueError, TypeError)):
        model.set_weights([*model.layers[0].get_weights(), *(weights if isinstance(weights, list) else [weights])])
    np.testing.assert_array_equal(model.params, before)


def test_a_layer_belongs_to_one_model():
    layer = Dense(2, input_shape=(3,))
    with pytest.raises(RuntimeError, match="not part of a built model"):
        layer.get_weights()
    build(layer)
    with pytest.raises(ValueError, match="belongs to a model already"):
        build(layer)
    with pytest.raises(ValueError, match="only the first layer"):
        build(Dense(2, input_shape=(3,)), Dense(2, input_shape=(2,)))
    with pytest.raises(ValueError, match="'same' belongs to another layer"):
        build(Dense(2, input_shape=(3,), name="same"), Dense(2, name="same"))
    with pytest.raises(TypeError, match=r"fastnn.layers.Layer, got 'dense'"):
        build("dense")


def test_parts_of_a_layer_are_that_layer():
    x = np.random.default_rng(0).normal(size=(5, 3)).astype("f4")
    one = build(Dense(4, "tanh", input_shape=(3,)), Dense(2, "softmax"))
    many = build(Dense(4, input_shape=(3,)), Activation("tanh"), Dense(2), Activation("softmax"))
    many.set_weights(one.get_weights())
    np.testing.assert_array_equal(one.predict(x), many.predict(x))


def test_elementwise_layers_alone():
    x = np.array([[-1.0, 2.0]], "f4")
    np.testing.assert_array_equal(build(Dropout(0.5, input_shape=(2,))).predict(x), x)
    np.testing.assert_array_equal(build(Activation("relu", input_shape=(2,))).predict(x), [[0.0, 2.0]])
    leaky = build(Activation("leaky_relu", alpha=0.5, input_shape=(2,)))
    np.testing.assert_array_equal(leaky.predict(x), [[-0.5, 2.0]])
    np.testing.assert_array_equal(build(Flatten(input_shape=(2,))).predict(x), x)


@pytest.mark.parametrize("alias", ["mse", "MSE", "mean_squared_error", "MeanSquaredError"])
def test_losses_have_keras_aliases(alias):
    assert isinstance(losses.get(alias), losses.MeanSquaredError)


def test_accuracy_means_what_the_model_needs():
    def row(name, loss, n_outputs):
        return metrics.get(name).row(loss, n_outputs)

    assert row("accuracy", "sparse_categorical_crossentropy", 10) == "categorical_accuracy"
    assert row("accuracy", "mse", 10) == "categorical_accuracy"
    assert row("accuracy", "mse", 1) == "binary_accuracy"
    assert row("acc", "binary_crossentropy", 4) == "binary_accuracy"
    assert row("mae", "mse", 3) == "mae"
    assert row("mae", "categorical_crossentropy", 3) is None  # from the outputs, for the kernels have logits
    for name in ("mae", "binary_accuracy"):
        with pytest.raises(ValueError, match=f"'{name}' needs targets"):
            row(name, "sparse_categorical_crossentropy", 3)


def test_declarations_survive_json():
    for module, instance in [
        (optimizers, optimizers.SGD(0.5, 0.25, True)),
        (optimizers, optimizers.AdamW(0.25, 0.5, 0.75, 0.125, 1e-3)),
        (optimizers, optimizers.Adagrad(0.25, 0.5, 1e-3)),
        (optimizers, optimizers.Lion(0.25, 0.5, 0.75, global_clipnorm=0.5)),
        (regularizers, regularizers.L1L2(0.25, 0.5)),
        (constraints, constraints.MaxNorm(1.5)),
        (losses, losses.BinaryCrossentropy(from_logits=True, label_smoothing=0.25)),
        (losses, losses.Huber(0.5)),
        (losses, losses.CosineSimilarity()),
        (initializers, initializers.RandomUniform(-1.0, 2.0)),
    ]:
        config = json.loads(json.dumps(module.serialize(instance)))
        again = module.deserialize(config)
        assert type(again) is type(instance) and vars(again) == vars(instance)


def test_a_tied_layer_trains_the_kernel_of_another():
    """As a network of two kernels whose gradients are added by hand."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(6, 5))
    first = Dense(3, "tanh", input_shape=(5,))
    model = build(first, layers.TiedDense(first, "tanh"), dtype="float64")
    assert [w.shape for w in model.get_weights()] == [(5, 3), (3,), (5,)]
    assert model.output_shape == (None, 5)
    w, b = first.get_weights()
    model.layers[1].set_weights([rng.normal(size=5)])
    (c,) = model.layers[1].get_weights()
    hidden = np.tanh(x @ w + b)
    y = np.tanh(hidden @ w.T + c)
    np.testing.assert_allclose(model.predict(x), y, rtol=1e-12)
    model.compile("sgd", "mse")
    model.fit(x, x, batch_size=6, verbose=0)
    dz = 2 * (y - x) / x.size * (1 - y**2)
    down = dz @ w * (1 - hidden**2)
    np.testing.assert_allclose(model.get_weights()[0], w - 0.01 * (x.T @ down + dz.T @ hidden), rtol=1e-10)
    np.testing.assert_allclose(model.get_weights()[2], c - 0.01 * dz.sum(axis=0), rtol=1e-10)


def test_a_tied_layer_survives_saving(tmp_path):
    model = build(Dense(3, "relu", input_shape=(5,), name="code"), layers.TiedDense("code", use_bias=False))
    model.compile("adam", "mse")
    x = np.random.default_rng(0).normal(size=(6, 5)).astype("f4")
    model.fit(x, x, verbose=0)
    model.save(tmp_path / "m.safetensors")
    again = fastnn.load(tmp_path / "m.safetensors", backend=model.backend)
    np.testing.assert_array_equal(again.predict(x), model.predict(x))
    again.fit(x, x, verbose=0)
    model.fit(x, x, verbose=0)
    np.testing.assert_array_equal(again.params, model.params)


@pytest.mark.parametrize(
    ("parts", "error", "words"),
    [
        (lambda: [Dense(3, input_shape=(5,)), layers.TiedDense("code")], ValueError, r"one of \['dense'\], got 'code'"),
        (lambda: [Dense(3, input_shape=(5,)), layers.TiedDense(Dense(3))], ValueError, "earlier Dense layer"),
        (
            lambda: [Dense(3, input_shape=(5,)), Dense(4), layers.TiedDense("dense")],
            ValueError,
            "gets 4 inputs, but 'dense', .* has 3 outputs",
        ),
        (lambda: [Dense(3, input_shape=(5,)), layers.TiedDense(3)], TypeError, "Dense layer or the name of one, got 3"),
    ],
)
def test_tied_layers_that_do_not_fit(parts, error, words):
    with pytest.raises(error, match=words):
        build(*parts())


@pytest.mark.parametrize(
    ("layer", "noisy"),
    [
        (layers.Dropout(0.4), lambda x, kept, z: np.where(kept, x / 0.6, 0.0)),
        (layers.MaskingNoise(0.4), lambda x, kept, z: np.where(kept, x, 0.0)),
        (layers.GaussianNoise(0.3), lambda x, kept, z: x + 0.3 * z),
        (layers.GaussianDropout(0.2), lambda x, kept, z: x * (1.0 + 0.5 * z)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_noise_in_training_and_none_in_inference(layer, noisy, backend):
    """A step on inputs with noise is one on inputs to which it was added by hand; outputs have none."""
    x, y = np.random.default_rng(5).normal(size=(2, 9, 6))
    made = []
    for first in ([type(layer).from_config({**layer.get_config(), "name": None})], []):
        model = fastnn.Sequential(
            [layers.Input((6,)), *first, layers.Dense(6)], seed=7, backend=backend.NAME, dtype="float64"
        )
        made.append(model.compile(optimizers.SGD(0.5), "mse"))
    a, b = made
    a.set_weights(b.get_weights())
    np.testing.assert_array_equal(a.predict(x), b.predict(x))
    kept, z = dropout.mask(7, 0, 0, 9, 6, 0.4), dropout.normal(7, 0, 0, 9, 6)
    a.fit(x, y, batch_size=9, shuffle=False)
    b.fit(noisy(x, kept, z), y, batch_size=9, shuffle=False)
    np.testing.assert_allclose(a.params, b.params, rtol=1e-6, atol=1e-9)
