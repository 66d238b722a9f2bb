"""What scripts for Keras do besides what the tutorials do."""

import numpy as np
import pytest

from fastnn import keras
from fastnn.keras import Input, Model, Sequential, layers

RNG = np.random.default_rng(0)
X = RNG.random((96, 6), np.float32)
LABELS = (X[:, 0] * 2.99).astype(np.int64)


def compiled(*stack, **options):
    model = Sequential([Input((6,)), *stack, layers.Dense(3, activation="softmax", name="last")])
    model.compile(**{"optimizer": "adam", "loss": "sparse_categorical_crossentropy", **options})
    return model


class Stop(keras.callbacks.Callback):
    at = None

    def on_epoch_end(self, epoch, logs=None):
        if epoch == self.at:
            raise KeyboardInterrupt


def test_a_backup_of_a_model_that_was_adapted(tmp_path):
    def train(at=None, *more):
        keras.utils.set_random_seed(1)
        normalization = layers.Normalization()
        normalization.adapt(X)
        model, stop = compiled(normalization, layers.Dense(4, "relu")), Stop()
        stop.at = at
        return model, model.fit(X, LABELS, epochs=4, verbose=0, callbacks=[stop, *more])

    whole, history = train()
    backup = keras.callbacks.BackupAndRestore(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        train(2, backup)
    resumed, again = train(None, backup)
    assert again.history == history.history
    for a, b in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_a_callback_puts_into_the_logs_is_seen_and_recorded(tmp_path):
    class Score(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["score"] = np.float32(0 - epoch)
            logs["loss"] = 7.0

    stopping = keras.callbacks.EarlyStopping(monitor="score", mode="max", patience=1)
    checkpoint = keras.callbacks.ModelCheckpoint(tmp_path / "m.{score:.1f}.weights.h5", save_weights_only=True)
    history = compiled().fit(X, LABELS, epochs=9, verbose=0, callbacks=[Score(), stopping, checkpoint]).history
    assert history == {"loss": [7.0, 7.0], "score": [0.0, -1.0]}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.-1.0.weights.h5", "m.0.0.weights.h5"]
    with pytest.raises(TypeError, match=r"logs\['note'\] must be a number for the history, got 'good'"):
        compiled().fit(
            X,
            LABELS,
            verbose=0,
            callbacks=keras.callbacks.LambdaCallback(on_epoch_end=lambda _, d: d.update(note="good")),
        )


def test_metrics_without_a_name_are_numbered():
    recalls = [keras.metrics.Recall(class_id=i) for i in range(3)]
    model = compiled(metrics=[*recalls, "accuracy"])
    codes = keras.utils.to_categorical(LABELS, 3)
    for _ in range(2):
        model.compile("adam", "categorical_crossentropy", metrics=recalls)
        history = model.fit(X, codes, verbose=0).history
        assert list(history) == ["loss", "recall", "recall_1", "recall_2"]


def test_a_list_of_one_is_the_input():
    model = compiled(metrics=["accuracy"])
    expected = model.predict(X, verbose=0)
    np.testing.assert_array_equal(model.predict([X], verbose=0), expected)
    np.testing.assert_array_equal(model.predict_on_batch([X]), expected)
    assert model.evaluate([X], LABELS, verbose=0) == model.evaluate(X, LABELS, verbose=0)
    assert model.test_on_batch([X], LABELS) == model.evaluate(X, LABELS, 96, 0)
    assert len(model.train_on_batch([X], LABELS)) == 2
    tied = Model(model.inputs, model.outputs)
    tied.compile("adam", "mse")
    assert "val_loss" in tied.fit([X], [expected], verbose=0, validation_data=([X], [expected])).history


def test_classes_of_old():
    model = compiled()
    y = model.predict(X, verbose=0)
    np.testing.assert_array_equal(model.predict_proba(X), y)
    np.testing.assert_array_equal(model.predict_classes(X), y.argmax(axis=1))
    binary = Sequential([Input((6,)), layers.Dense(1, activation="sigmoid")])
    found = binary.predict_classes(X)
    assert found.shape == (96, 1) and found.dtype == np.int32
    np.testing.assert_array_equal(found, binary.predict(X, verbose=0) > 0.5)


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (
            lambda m: setattr(m.layers[-1], "activation", keras.activations.linear),
            "activation of the layer 'last' cannot",
        ),
        (
            lambda m: setattr(m.layers[0], "rate", 0.5),
            "rate of the layer .* cannot be changed; make a Dropout with 0.5",
        ),
        (
            lambda m: setattr(m.layers[-1], "kernel_regularizer", "l2"),
            "kernel_regularizer of the layer 'last' cannot be",
        ),
        (lambda m: m.layers[-1].kernel.assign(0), "arrays here are copies; set_weights"),
        (lambda m: m.layers[-1].input_spec, "Dense has no 'input_spec'; supported are activation, .* weights"),
        (lambda m: m.pop(), "Sequential has no 'pop'; supported are add, .* weights"),
        (lambda m: m.optimizer.iterations, "Adam has no 'iterations'; supported are .*learning_rate"),
        (
            lambda _: keras.metrics.Accuracy().update_state(0, 0),
            "Accuracy has no 'update_state'; supported are compute",
        ),
        (lambda m: m.output + m.output, "computing with tensors is not supported: models are chains"),
        (lambda m: 2 * m.output, "computing with tensors is not supported: models are chains"),
        (lambda m: keras.ops.mean(m.output), "computing with tensors is not supported: models are chains"),
        (lambda m: keras.backend.sum(m.output, axis=-1), "computing with tensors is not supported: models are chains"),
    ],
)
def test_what_is_not_there_says_what_is(act, said):
    model = compiled(layers.Dropout(0.1), metrics=["accuracy"])
    with pytest.raises((AttributeError, TypeError), match=said):
        act(model)


def test_layers_show_their_arguments():
    layer = layers.Dense(3, "relu", kernel_initializer="he_normal", kernel_regularizer=keras.regularizers.L2(0.5))
    assert (layer.units, layer.use_bias, layer.activation.__name__) == (3, True, "relu")
    assert type(layer.kernel_initializer).__name__ == "HeNormal"
    assert layer.kernel_regularizer.l2 == 0.5
    layer.units = 3
    layer.build((None, 5))
    assert layer.count_params() == 18


def test_arguments_by_the_names_of_release_1():
    old = layers.Dense(
        output_dim=3, input_dim=6, init="he_normal", bias=False, W_regularizer="l2", W_constraint="max_norm"
    )
    new = layers.Dense(3, input_dim=6, kernel_initializer="he_normal", use_bias=False, kernel_regularizer="l2",
                       kernel_constraint="max_norm")  # fmt: skip
    names = {"name": None}
    assert {**old.get_config(), **names} == {**new.get_config(), **names}
    assert layers.Dense(3, b_regularizer="l1").bias_regularizer.l1 == 0.01
    assert layers.Dropout(p=0.25).rate == 0.25
    start = Input((6,))
    assert Model(input=start, output=old(start)).output_shape == (None, 3)
    with pytest.raises(TypeError, match="init='zeros' is an old name of kernel_initializer='ones': give one"):
        layers.Dense(3, init="zeros", kernel_initializer="ones")


def test_long_names_are_wrapped_in_the_summary(capsys):
    # Printed by Keras 3.15.
    Sequential([Input((4,), name="i"), layers.BatchNormalization(name="batch_normalization")], name="m").summary()
    assert capsys.readouterr().out.splitlines()[4:6] == [
        "│ batch_normalization             │ (None, 4)              │            16 │",
        "│ (BatchNormalization)            │                        │               │",
    ]


def test_models_are_saved_and_loaded_by_the_module_of_release_3(tmp_path):
    pytest.importorskip("h5py")
    model = compiled()
    keras.saving.save_model(model, tmp_path / "m.keras")
    np.testing.assert_array_equal(
        keras.saving.load_model(tmp_path / "m.keras").predict(X, verbose=0), model.predict(X, verbose=0)
    )
    with pytest.raises(AttributeError, match=r"keras\.saving has no 'register'; supported are load_model, save_model"):
        keras.saving.__getattr__("register")


def test_a_model_without_a_shape_says_so():
    model = Sequential([layers.Dense(3)])
    with pytest.raises(RuntimeError, match=r"'sequential.*' has no weights yet: .*an Input, build"):
        model.get_weights()
    with pytest.raises(RuntimeError, match="has no weights yet"):
        model.save("m.keras")


def test_the_seed_of_an_initializer_is_part_of_its_configuration():
    layer = keras.layers.Dense(3, kernel_initializer=keras.initializers.GlorotUniform(seed=3))
    assert layer.kernel_initializer.get_config() == {"seed": 3}
    again = layer.from_config(layer.get_config())
    first, second = (keras.Sequential([keras.Input((4,)), one]) for one in (layer, again))
    np.testing.assert_array_equal(first.get_weights()[0], second.get_weights()[0])
