"""MLP: a network of dense layers that comes compiled."""

from . import losses, targets, validation
from .layers import Dense, Dropout, Input
from .scaling import InputScaling
from .sequential import Sequential

_TASKS = {  # task -> output activation, loss, metrics
    "classification": ("softmax", "sparse_categorical_crossentropy", ("accuracy",)),
    "regression": ("linear", "mse", ()),
    "multilabel": ("sigmoid", "binary_crossentropy", ("accuracy",)),
}


def per_layer(name, value, count):
    """Return `value` as a list of `count`: a list as it is, anything else repeated."""
    if not isinstance(value, (list, tuple)):
        return [value] * count
    if len(value) != count:
        raise ValueError(f"{name} must be one value, or a list of one a hidden layer, {count} here; got {value!r}")
    return list(value)


def scaling_layers(input_layer, shape):
    """Return the layers that begin a model of samples of a shape whose inputs are scaled; none where they are not."""
    if input_layer is None:
        return []
    if not isinstance(input_layer, InputScaling):
        raise TypeError(f"input_layer must be a layer such as Normalization(), got {input_layer!r}")
    return [Input(shape), input_layer]


class MLP(Sequential):
    """A multi-layer perceptron: dense layers with dropout in between, compiled and ready to fit.

    For classification the labels may be integers from 0 to classes - 1, strings, rows that are one-hot or rows of
    probabilities.

    Parameters
    ----------
    sizes : list of int
        Widths from the inputs over the hidden layers to the outputs.
    activation : str or list of str, default "relu"
        Of the hidden layers: one for all or one each.
    dropout : float or list of float, default 0.0
        Share of every hidden layer's outputs to drop in training: one for all or one each.
    task : {"classification", "regression", "multilabel"}, default "classification"
        classification: softmax and cross-entropy (with one output: sigmoid and binary cross-entropy). regression:
        linear outputs and mean squared error. multilabel: sigmoid and binary cross-entropy.
    optimizer : str or Optimizer, default "adam"
    loss : str or Loss, optional
        Another loss than the task's.
    metrics : list, optional
        Other metrics than the task's, which are accuracy for the classifications and none for regression.
    input_layer : Layer, optional
        A layer that scales the inputs, such as ``Normalization()``, which learns how from the training data.
    seed, backend, dtype, threads, input_scale, name
        As for `Sequential`.
    kernel_initializer : str or Initializer, default "glorot_uniform"

    Raises
    ------
    ValueError, TypeError
        If an argument has a value that it cannot have.

    Examples
    --------
    >>> import numpy as np, fastnn
    >>> model = fastnn.MLP([4, 16, 3], seed=0)
    >>> history = model.fit(np.random.default_rng(0).normal(size=(60, 4)), np.arange(60) % 3, epochs=2)
    >>> sorted(history.history)
    ['accuracy', 'loss']
    """

    def __init__(
        self,
        sizes,
        activation="relu",
        dropout=0.0,
        task="classification",
        optimizer="adam",
        loss=None,
        metrics=None,
        *,
        input_layer=None,
        seed=None,
        backend="auto",
        dtype="float32",
        threads=None,
        input_scale="auto",
        kernel_initializer="glorot_uniform",
        name=None,
    ):
        sizes = validation.sizes(sizes)
        n_inputs, *hidden, n_outputs = sizes
        self.task = validation.choice("task", task, _TASKS)
        output, default_loss, default_metrics = _TASKS[self.task]
        if self.task == "classification" and n_outputs == 1:
            output, default_loss, _ = _TASKS["multilabel"]
        loss = losses.get(default_loss if loss is None else loss)
        if loss.from_logits:
            output = "linear"
        first = (n_inputs,)
        layers = scaling_layers(input_layer, first)
        first = None if layers else first
        activations = per_layer("activation", activation, len(hidden))
        rates = per_layer("dropout", dropout, len(hidden))
        for i, (units, act, rate) in enumerate(zip(hidden, activations, rates, strict=True)):
            shape = None if i else first
            layers.append(Dense(units, act, kernel_initializer=kernel_initializer, input_shape=shape))
            if validation.number("dropout", rate, low=0.0, high=1.0, below=True):
                layers.append(Dropout(rate))
        shape = None if hidden else first
        layers.append(Dense(n_outputs, output, kernel_initializer=kernel_initializer, input_shape=shape))
        super().__init__(
            layers, seed=seed, backend=backend, dtype=dtype, threads=threads, input_scale=input_scale, name=name
        )
        self.compile(optimizer, loss, default_metrics if metrics is None else metrics)

    def _check_targets(self, y, name, wanted):
        if self.task == "classification":
            return targets.check_classes(y, name, wanted)
        return super()._check_targets(y, name, wanted)

    def get_config(self):
        return {**super().get_config(), "task": self.task}

    def _restore(self, config):
        self.task = validation.choice("task", config["task"], _TASKS)
