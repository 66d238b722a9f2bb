"""Scripts with the names of Keras: models, shared layers, arguments, printed lines. Keras itself is not needed."""

import re

import numpy as np
import pytest

from fastnn import keras
from fastnn.keras import Input, Model, Sequential, layers
from fastnn.keras.layers import Dense, Dropout, Flatten

RNG = np.random.default_rng(0)
X = RNG.random((96, 6), np.float32)
LABELS = (X[:, 0] * 2.99).astype(np.int64)


def classifier(**options):
    keras.utils.set_random_seed(3)
    model = Sequential([Input((6,)), Dense(8, activation="relu"), Dropout(0.1), Dense(3, activation="softmax")])
    options = {"optimizer": "adam", "loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"], **options}
    model.compile(**options)
    return model


def relu(z):
    return np.maximum(z, 0)


# ---------------------------------------------------------------------------------------------- structure


def test_every_way_to_give_a_shape():
    for first in (
        [Input(shape=(6,)), Dense(4)],
        [Input(batch_shape=(None, 6)), Dense(4)],
        [layers.InputLayer(input_shape=(6,)), Dense(4)],
        [Dense(4, input_dim=6)],
        [Dense(4, input_shape=(6,))],
    ):
        model = Sequential(first)
        assert model.input_shape == (None, 6)
        assert model.output_shape == (None, 4)
        assert model.count_params() == 28
    late = Sequential([Dense(4)])
    assert not late.built
    late.compile("sgd", "mse")
    late.fit(X, X[:, :4], verbose=0)
    assert late.count_params() == 28


def test_layers_share_their_weights_with_every_model():
    start = Input((6,))
    code = Dense(2, activation="tanh", name="code")(start)
    out = Dense(6)(code)
    whole, encoder = Model(start, out), Model(start, code)
    codes = Input((2,))
    decoder = Model(codes, whole.layers[-1](codes))
    assert [type(layer).__name__ for layer in decoder.layers] == ["InputLayer", "Dense"]
    before = encoder.predict(X, verbose=0)
    whole.compile("adam", "mse")
    seen = []

    class Look(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append(encoder.predict(X, verbose=0))

    whole.fit(X, X, epochs=2, verbose=0, callbacks=[Look()])
    after = encoder.predict(X, verbose=0)
    assert np.abs(after - before).max() > 1e-4
    assert np.abs(seen[0] - before).max() > 1e-4  # within the fit too
    np.testing.assert_array_equal(seen[1], after)
    np.testing.assert_allclose(decoder.predict(after, verbose=0), whole.predict(X, verbose=0), atol=1e-6)
    decoder.compile("sgd", "mse")
    decoder.fit(after, X, verbose=0)  # and the other way round
    kernel, bias = whole.layers[-1].get_weights()
    np.testing.assert_allclose(whole.predict(X, verbose=0), after @ kernel + bias, atol=1e-5)
    whole.get_layer("code").set_weights([np.zeros((6, 2)), np.ones(2)])
    np.testing.assert_allclose(encoder.predict(X, verbose=0), np.tanh(1.0), atol=1e-6)


def test_a_subclass_with_functions():
    class Classifier(Model):
        def __init__(self):
            super().__init__()
            self.flatten, self.first, self.drop, self.last = Flatten(), Dense(4), Dropout(0.2), Dense(3)

        def call(self, inputs, training=False):
            x = keras.activations.relu(self.first(self.flatten(inputs)))
            return keras.activations.softmax(self.last(self.drop(x, training=training)))

    model, images = Classifier(), X.reshape(-1, 2, 3)
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(images, LABELS, verbose=0, validation_data=[images, LABELS])
    k1, b1, k2, b2 = model.get_weights()
    z = relu(X @ k1 + b1) @ k2 + b2
    expected = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(model(images).numpy(), expected, atol=1e-5)
    np.testing.assert_allclose(model.first(X), X @ k1 + b1, atol=1e-6)
    with pytest.raises(ValueError, match=r"negative_slope=0\.1"):
        keras.activations.relu(Input((3,)), 0.1)


def test_models_in_models_and_a_subclass():
    encoder = Sequential([Flatten(), Dense(3, activation="relu")])
    decoder = Sequential([Dense(6), layers.Reshape((2, 3))])

    class Autoencoder(Model):
        def __init__(self):
            super().__init__()
            self.encoder, self.decoder = encoder, decoder

        def call(self, inputs):
            return self.decoder(self.encoder(inputs))

    model = Autoencoder()
    model.compile("adam", "mse")
    images = X.reshape(-1, 2, 3)
    first = model.fit(images, images, epochs=1, verbose=0).history["loss"][0]
    assert model.fit(images, images, epochs=20, verbose=0).history["loss"][-1] < first
    assert model.layers == [encoder, decoder]
    found = model.predict(images, verbose=0)
    assert found.shape == images.shape
    np.testing.assert_allclose(decoder(encoder(images)), found, atol=1e-6)
    (k1, b1), (k2, b2) = encoder.get_weights(), decoder.get_weights()
    np.testing.assert_allclose(found.reshape(-1, 6), relu(X @ k1 + b1) @ k2 + b2, atol=1e-5)
    np.testing.assert_allclose(model.evaluate(images, images, verbose=0), ((found - images) ** 2).mean(), rtol=1e-5)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Model([Input((2,)), Input((2,))], Input((2,))), "one input and one output"),
        (lambda: Model(Input((2,)), Dense(1)(Input((2,)))), "does not follow"),
        (lambda: Sequential([Input((2, 3)), Dense(1)]), "put a Flatten"),
        (lambda: Dense(3, kernel_size=2), "kernel_size=2; supported are units"),
        (lambda: Dense(3, bias_constraint="max_norm"), "bias_constraint='max_norm'"),
        (lambda: Dropout(0.1, noise_shape=(1,)), "noise_shape"),
        (lambda: Dense(3, activation=layers.LeakyReLU()), "activation cannot be a layer"),
        (lambda: type("Own", (layers.Layer,), {"call": lambda self, x: x})(), "Own is not one of keras.layers"),
        (lambda: type("Own", (keras.losses.Loss,), {"call": lambda self, y, p: 0}), "Own is one's own"),
        (lambda: type("Own", (keras.metrics.Metric,), {"result": lambda self: 0}), "Own defines result; here a metric"),
        (lambda: classifier(loss=lambda y, p: 0), "a function of one's own cannot be a loss; supported are mean_sq"),
        (lambda: keras.backend.set_value(np.ones(3), 1), "set_value sets model.optimizer.learning_rate"),
        (lambda: keras.optimizers.Adam(use_ema=True), "use_ema=True"),
        (lambda: keras.optimizers.Adam(rate=0.1), "unknown argument rate=0.1; supported are learning_rate"),
        (lambda: keras.losses.MeanSquaredError(reduction="sum"), "reduction='sum'"),
        (lambda: classifier(loss_weights=[1.0]), "loss_weights"),
        (lambda: classifier().fit(X, LABELS, validation_steps=3), "validation_steps=3"),
        (lambda: classifier().evaluate(X, LABELS, callbacks=[1]), "callbacks=[1]"),
        (lambda: setattr(Dense(3), "trainable", False), "cannot be frozen"),
        (lambda: setattr(classifier(), "trainable", False), "cannot be frozen"),
        (lambda: layers.Conv2D, "has no 'Conv2D'; supported are Activation"),
        (lambda: keras.random, "has no 'random'; supported are Input"),
    ],
)
def test_what_is_not_supported_is_refused_in_one_line(make, said):
    with pytest.raises((TypeError, ValueError, AttributeError), match=re.escape(said)) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_an_import_that_fails_says_what_there_is():
    with pytest.raises(ImportError, match=r"keras.layers has no 'Conv2D'; supported are Activation, BatchNorm"):
        from fastnn.keras.layers import Conv2D  # noqa: F401


# ---------------------------------------------------------------------------------------------- training


def test_images_are_not_scaled():
    images = np.full((4, 2, 2), 200, np.uint8)
    model = Sequential([Input((2, 2)), Flatten(), Dense(1, kernel_initializer="ones")])
    np.testing.assert_array_equal(model.predict(images, verbose=0), 800.0)


def test_scaling_and_noise(tmp_path):
    images = (X * 255).astype(np.uint8)
    model = Sequential([Input((6,)), layers.Rescaling(1 / 255, 0.5), layers.GaussianNoise(0.1), Dense(3)])
    kernel, bias = model.get_weights()
    expected = (images / 255 + 0.5) @ kernel + bias
    np.testing.assert_allclose(model.predict(images, verbose=0), expected, atol=1e-5)  # no noise
    model.compile("sgd", "mse")
    kernel, bias = model.get_weights()
    noisy = model.train_on_batch(images, np.zeros((96, 3)))
    assert abs(noisy - (expected**2).mean()) > 1e-6


def test_normalization_is_shared_and_part_of_the_weights(capsys):
    layer = layers.Normalization()
    model, other = (Sequential([Input((6,)), layer, Dense(2)]) for _ in range(2))
    kernel, bias = model.get_weights()[3:]
    np.testing.assert_allclose(model.predict(X, verbose=0), X @ kernel + bias, atol=1e-5)  # nothing to go by yet
    layer.adapt(X)
    scaled = (X - X.mean(axis=0)) / X.std(axis=0)
    for each in (model, other):
        np.testing.assert_allclose(each(X), scaled @ each.get_weights()[3] + each.get_weights()[4], atol=1e-5)
    before = model.get_weights()
    np.testing.assert_allclose(before[0], X.mean(axis=0), rtol=1e-6)
    for wrong in (before[:-1], [*before, before[0]], [before[0][:3], *before[1:]]):
        with pytest.raises(ValueError, match="got"):
            model.set_weights([2 * np.asarray(weight) for weight in wrong])
        assert all((now == then).all() for now, then in zip(model.get_weights(), before, strict=True))
    model.set_weights([np.zeros(6), np.ones(6), 0, kernel, bias])
    np.testing.assert_allclose(other(X), X @ other.get_weights()[3] + other.get_weights()[4], atol=1e-5)
    assert [weight.path for weight in model.non_trainable_weights] == [
        f"{layer.name}/{name}" for name in ("mean", "variance", "count")
    ]
    model.summary()
    assert " Non-trainable params: 13 (52.00 B)\n" in capsys.readouterr().out
    with pytest.raises(ValueError, match="nothing to adapt"):
        layers.Normalization(mean=0.0, variance=1.0).adapt(X)
    with pytest.raises(ValueError, match="supports the last axis only, got axis=1"):
        layers.Normalization(axis=1)(Input((2, 3)))


def test_the_same_seed_gives_the_same_model():
    first, second = (classifier().fit(X, LABELS, epochs=2, verbose=0).history for _ in range(2))
    assert first == second
    assert list(first) == ["accuracy", "loss"]
    keras.utils.set_random_seed(4)
    other = Dense(3)
    other(Input((6,)))
    keras.utils.set_random_seed(5)
    another = Dense(3)
    another(Input((6,)))
    assert np.abs(other.get_weights()[0] - another.get_weights()[0]).max() > 0.1


def test_train_on_batch_is_a_fit_of_one_batch():
    one, many = classifier(), classifier()
    one.set_weights(many.get_weights())
    for start in range(0, 96, 32):
        rows = slice(start, start + 32)
        expected = one.test_on_batch(X[rows], LABELS[rows])
        loss, accuracy = one.train_on_batch(X[rows], LABELS[rows])
        assert 0 <= accuracy <= 1 and abs(loss - expected[0]) < 0.3  # dropout
    many.fit(X, LABELS, batch_size=32, shuffle=False, verbose=0)
    assert one.history is None
    assert one._network.step == many._network.step == 3
    assert np.abs(one.predict_on_batch(X) - many.predict_on_batch(X)).max() < 0.05
    assert set(one.train_on_batch(X, LABELS, return_dict=True)) == {"loss", "accuracy"}


def test_old_spellings():
    model = classifier(optimizer=keras.optimizers.SGD(lr=0.5))
    assert model.optimizer.lr == model.optimizer.learning_rate == 0.5
    assert len(model.fit(X, LABELS, nb_epoch=3, verbose=0).epoch) == 3
    one_hot = keras.utils.np_utils.to_categorical(LABELS, 4)
    assert one_hot.shape == (96, 4)
    np.testing.assert_array_equal(one_hot.argmax(axis=1), LABELS)
    np.testing.assert_array_equal(keras.utils.to_categorical([[1], [0]]), [[0, 1], [1, 0]])
    with pytest.raises(ValueError, match=r"\[0, 2\), got 0 to 2"):
        keras.utils.to_categorical([0, 2], 2)


def test_losses_are_functions_too():
    p = np.array([[0.2, 0.8], [0.5, 0.5]])
    np.testing.assert_allclose(keras.losses.mse(p, p + 0.5), [0.25, 0.25], rtol=1e-6)
    expected = -np.log([0.8, 0.5])
    np.testing.assert_allclose(keras.losses.sparse_categorical_crossentropy([1, 0], p), expected, rtol=1e-6)
    np.testing.assert_allclose(keras.losses.CategoricalCrossentropy()([[0, 1], [1, 0]], p), expected.mean(), rtol=1e-6)
    np.testing.assert_allclose(keras.losses.binary_crossentropy([[1], [0]], [[0.8], [0.5]]), expected, rtol=1e-6)
    model = Sequential([Input((6,)), Dense(6)])
    model.compile(keras.optimizers.RMSprop(0.01), keras.losses.mean_squared_error, metrics=[keras.metrics.mae])
    assert model.fit(X, X, verbose=0).history.keys() == {"loss", "mean_absolute_error"}
    np.testing.assert_allclose(keras.activations.relu([-1.0, 2.0]), [0, 2])
    np.testing.assert_allclose(keras.activations.elu([-1.0, 2.0], alpha=0.0), [0, 2])


# ---------------------------------------------------------------------------------------------- printed lines


@pytest.mark.parametrize("name", ["BatchNormalization", "LayerNormalization"])
def test_axes_of_normalisations(name):
    cls = getattr(layers, name)
    for axis in (-1, 1, [1], (-1,)):
        assert cls(axis=axis).get_config()["axis"] in (-1, 1)
    with pytest.raises(ValueError, match=r"axis must be -1 or 1.*got \[1, 2\]"):
        cls(axis=[1, 2])
    with pytest.raises(ValueError, match=r"one axis.*Flatten"):
        cls()(keras.Input((2, 3)))


def test_summary(capsys):
    keras.backend.clear_session()
    classifier().summary()
    found = capsys.readouterr().out
    assert found.startswith('Model: "sequential"\n┏')
    assert "│ dense (Dense)                   │ (None, 8)              │            56 │\n" in found
    assert "│ dropout (Dropout)               │ (None, 8)              │             0 │\n" in found
    totals = " Total params: 83 (332.00 B)\n Trainable params: 83 (332.00 B)\n Non-trainable params: 0 (0.00 B)\n"
    assert found.endswith(totals)


def test_progress(capsys):
    model = classifier()
    model.fit(X, LABELS, epochs=2, verbose=2, validation_split=0.25)
    lines = capsys.readouterr().out.splitlines()
    assert lines[::2] == ["Epoch 1/2", "Epoch 2/2"]
    number = r"\d+\.\d{4}(e-\d+)?"
    names = " - ".join(f"{name}: {number}" for name in ("accuracy", "loss", "val_accuracy", "val_loss"))
    assert re.fullmatch(rf"3/3 - \d+s - \d+(s|ms|us)/step - {names}", lines[1])
    model.fit(X, LABELS)
    last = re.sub(r"\x1b\[\d+m", "", capsys.readouterr().out.splitlines()[-1])
    assert re.fullmatch(rf"3/3 ━{{20}} \d+s \d+(s|ms|us)/step - accuracy: {number} - loss: {number}", last.strip())
    loss, accuracy = model.evaluate(X, LABELS)
    last = re.sub(r"\x1b\[\d+m", "", capsys.readouterr().out)
    assert last.strip().endswith(f"accuracy: {accuracy:.4f} - loss: {loss:.4f}")
    model.predict(X)
    assert "3/3" in capsys.readouterr().out
    model.predict(X, verbose=0)
    assert capsys.readouterr().out == ""


def test_a_fit_goes_on_from_a_backup(tmp_path):
    class Stop(keras.callbacks.Callback):
        def __init__(self, epoch):
            self.epoch = epoch

        def on_epoch_end(self, epoch, logs=None):
            if epoch == self.epoch:
                raise KeyboardInterrupt

    def train(stop, *callbacks):
        keras.utils.set_random_seed(4)
        inputs = keras.Input((6,))
        kernel = {"kernel_initializer": keras.initializers.GlorotUniform(seed=3), "kernel_regularizer": "l2"}
        x = keras.layers.BatchNormalization()(keras.layers.Dense(8, "relu", **kernel)(inputs))
        outputs = keras.layers.Dense(3, kernel_constraint=keras.constraints.MaxNorm(2))(keras.layers.Dropout(0.2)(x))
        model = keras.Model(inputs, outputs)
        rate = keras.optimizers.schedules.ExponentialDecay(0.01, 10, 0.9)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.Adam(rate, clipnorm=1.0), loss, metrics=["accuracy", keras.metrics.AUC()])
        return model, model.fit(X, LABELS, 10, 6, verbose=0, callbacks=[Stop(stop), *callbacks])

    whole, history = train(None)
    with pytest.raises(KeyboardInterrupt):
        train(3, keras.callbacks.BackupAndRestore(tmp_path / "backup"))
    resumed, again = train(None, keras.callbacks.BackupAndRestore(tmp_path / "backup"))
    assert again.history == history.history
    assert again.epoch == list(range(6))
    for a, b in zip(whole.get_weights(), resumed.layers[1].get_weights() + resumed.get_weights()[2:], strict=True):
        np.testing.assert_array_equal(a, b)
    assert not (tmp_path / "backup").exists()
