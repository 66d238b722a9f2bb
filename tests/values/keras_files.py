"""Files as Keras writes them, and what the models in them predict. Writes the folder keras_files beside this file.

KERAS_BACKEND=jax python tests/values/keras_files.py    (keras 3.15.1)
"""

from pathlib import Path

import keras
import numpy as np

FOLDER = Path(__file__).with_suffix("")


def sequential():
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(6, activation="gelu", kernel_regularizer=keras.regularizers.L2(1e-3)),
            layers.Dropout(0.2),
            layers.Dense(5, kernel_initializer=keras.initializers.HeNormal(seed=1)),
            layers.LeakyReLU(negative_slope=0.1),
            layers.Dense(3, activation="softmax"),
        ]
    )
    metrics = ["accuracy", keras.metrics.SparseCategoricalAccuracy(name="again")]
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=metrics)
    return model


def functional():
    layers = keras.layers
    start, codes = keras.Input((2, 2)), keras.Input((3,))
    encoder = keras.Model(start, layers.Dense(3, activation="tanh")(layers.Flatten()(start)), name="encoder")
    decoder = keras.Model(codes, layers.Reshape((2, 2))(layers.Dense(4, activation="sigmoid")(codes)), name="decoder")
    return keras.Model(start, decoder(encoder(start)), name="autoencoder")


def layered():
    """A layer of every kind that the others do not have."""
    layers, initializers, constraints = keras.layers, keras.initializers, keras.constraints
    normalization = layers.Normalization()
    normalization.adapt(np.random.default_rng(1).normal(2, 3, (50, 4)))
    model = keras.Sequential(
        [
            keras.Input((4,)),
            normalization,
            layers.GaussianNoise(0.1, seed=1),
            layers.Dense(6, activation="tanh", use_bias=False, kernel_initializer=initializers.Orthogonal(seed=2)),
            layers.GaussianDropout(0.1, seed=1),
            layers.Dense(5, kernel_constraint=constraints.MaxNorm(1.5), bias_initializer=initializers.Constant(0.1)),
            layers.ELU(0.5),
            layers.Dense(5, activity_regularizer=keras.regularizers.L1(1e-4), bias_regularizer="l2"),
            layers.ReLU(negative_slope=0.1),
            layers.Dense(4, kernel_constraint=constraints.NonNeg(), kernel_initializer=initializers.TruncatedNormal()),
            layers.Activation("softplus"),
            layers.Dense(3, kernel_initializer=initializers.VarianceScaling(2.0, "fan_out", "uniform", seed=3)),
            layers.Softmax(),
        ]
    )
    rate = keras.optimizers.schedules.ExponentialDecay(0.01, 10, 0.9)
    model.compile(keras.optimizers.SGD(rate, momentum=0.9, nesterov=True, weight_decay=0.01, clipnorm=1.0), "mse")
    return model


def rescaled():
    layers = keras.layers
    start = keras.Input((2, 2))
    made = layers.Dense(3)(layers.Flatten()(layers.Rescaling(1 / 255, -0.5)(start)))
    return keras.Model(start, made)


def normalized():
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((4,)),
            layers.BatchNormalization(momentum=0.7, epsilon=0.01, gamma_regularizer="l2"),
            layers.Dense(5, activation="tanh"),
            layers.LayerNormalization(epsilon=0.01, beta_initializer="ones"),
            layers.Dense(5, activation="tanh"),
            layers.BatchNormalization(center=False, scale=False),
            layers.Dense(4),
        ]
    )
    model.compile(keras.optimizers.Adam(0.01), "mse")
    return model


def main():
    keras.utils.set_random_seed(0)
    x, labels = np.random.default_rng(0).random((24, 4), np.float32), np.arange(24) % 3
    values = {"x": x, "labels": labels}
    for make in (sequential, functional, layered, rescaled, normalized):
        model, name = make(), make.__name__
        data = x if make in (sequential, layered, normalized) else x.reshape(-1, 2, 2)
        if make is layered:
            model.fit(data, np.eye(3)[labels], shuffle=False, verbose=0)
        if make is normalized:
            model.fit(data, data, epochs=2, shuffle=False, verbose=0)
        if make is sequential:
            model.fit(data, labels, epochs=2, shuffle=False, verbose=0)
            values["loss"] = model.evaluate(data, labels, verbose=0)[0]
        for ending in ("keras", "h5", "weights.h5"):
            (model.save_weights if ending == "weights.h5" else model.save)(FOLDER / f"{name}.{ending}")
        values[name] = model.predict(data, verbose=0)
    np.savez(FOLDER / "values.npz", **values)


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    main()
