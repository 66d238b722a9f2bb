"""Autoencoder: a network that learns to reproduce its input through a narrow code."""

import numpy as np

from . import losses, network, targets, validation
from .kernels import losses as loss_table
from .layers import Dense
from .mlp import per_layer
from .sequential import Sequential

# Rows that `reconstruction_error` holds as floats at a time.
_ROWS = 4096


class Autoencoder(Sequential):
    """An encoder, a decoder that mirrors it, and all compiled and ready to fit.

    Parameters
    ----------
    sizes : list of int
        Widths of the encoder, from the inputs to the code; ``[784, 256, 32]`` makes 784-256-32-256-784.
    activation : str or list of str, default "relu"
        Of the encoder's layers, the code included: one for all or one each. The decoder mirrors them.
    output_activation : str, default "sigmoid"
        Of the last layer; "sigmoid" is for inputs in [0, 1].
    optimizer : str or Optimizer, default "adam"
    loss : str or Loss, default "mse"
    metrics : list, optional
    activity_regularizer : str or Regularizer, optional
        Of the code: ``fastnn.regularizers.L1(1e-4)`` makes a sparse autoencoder, whose codes are mostly zeros.
    seed, backend, dtype, threads, input_scale, name
        As for `Sequential`.
    kernel_initializer : str or Initializer, default "glorot_uniform"

    Raises
    ------
    ValueError, TypeError
        If an argument has a value that it cannot have.
    """

    _reproduces = True

    def __init__(
        self,
        sizes,
        activation="relu",
        output_activation="sigmoid",
        optimizer="adam",
        loss="mse",
        metrics=None,
        *,
        activity_regularizer=None,
        seed=None,
        backend="auto",
        dtype="float32",
        threads=None,
        input_scale="auto",
        kernel_initializer="glorot_uniform",
        name=None,
    ):
        sizes = validation.sizes(sizes)
        encoder = per_layer("activation", activation, len(sizes) - 1)
        widths = [*sizes[1:], *reversed(sizes[:-1])]
        activations = [*encoder, *reversed(encoder[:-1]), output_activation]
        layers = [
            Dense(
                units,
                act,
                kernel_initializer=kernel_initializer,
                activity_regularizer=activity_regularizer if i == len(encoder) - 1 else None,
                input_shape=None if i else (sizes[0],),
                name=f"encoder_{i}" if i < len(encoder) else f"decoder_{i - len(encoder)}",
            )
            for i, (units, act) in enumerate(zip(widths, activations, strict=True))
        ]
        super().__init__(
            layers, seed=seed, backend=backend, dtype=dtype, threads=threads, input_scale=input_scale, name=name
        )
        self.encoder_layers = len(encoder)
        self.compile(optimizer, losses.get(loss), metrics)

    def _check_targets(self, y, name, wanted):
        values = validation.array(y, name)
        width = values.size // len(values) if values.ndim and values.size else 0
        if values.dtype != np.uint8 or wanted.row.labels or width != wanted.outputs:
            return super()._check_targets(y, name, wanted)
        # Other images than the inputs, as when noise is to be taken away: they are on the scale of the inputs.
        rows = validation.rows(values, name, wanted.outputs, wanted.dtype)
        return targets.reproduce(rows, name, wanted, self.input_scale)

    def _unpack_validation(self, data):
        if isinstance(data, (tuple, list)):
            return (*data, None, None)[:3] if len(data) == 1 else super()._unpack_validation(data)
        return data, None, None

    def _code(self):
        """Number of the last operation of the encoder."""
        _, ends = network.builder(self._layers, self._input_shape)
        return ends[self.encoder_layers - 1] - 1

    def encode(self, x, batch_size=None):
        """Compute the code of every sample.

        Parameters
        ----------
        x : array_like, shape (n, ...)
        batch_size : int, optional
            Rows to work on at a time.

        Returns
        -------
        ndarray, shape (n, code), of the model's dtype
        """
        self._need_built()
        last = self._code()
        return self._forward(x, "x", 0, last, self._width(last + 1), batch_size)

    def decode(self, z, batch_size=None):
        """Compute the sample that every code stands for.

        Parameters
        ----------
        z : array_like, shape (n, code)
        batch_size : int, optional
            Rows to work on at a time.

        Returns
        -------
        ndarray, shape (n, inputs), of the model's dtype
        """
        self._need_built()
        return self._forward(z, "z", self._code() + 1, self._last_op, self._outputs, batch_size)

    def reconstruction_error(self, x):
        """Compute how far every sample is from its reconstruction.

        Parameters
        ----------
        x : array_like, shape (n, ...)

        Returns
        -------
        ndarray, shape (n,), of the model's dtype
            Mean over the values of a sample of the squared differences, on the scale that the model works on.
        """
        self._need_built()
        dtype = self._network.dtype
        x = validation.rows(x, "x", self._outputs, dtype, self._input_shape)
        mse = loss_table.LOSS_BY_NAME["mse"].code
        errors = np.empty(len(x), dtype)
        for start in range(0, len(x), _ROWS):
            rows = x[start : start + _ROWS]
            y = self.predict(rows)
            target = rows.astype(dtype) * dtype.type(self.input_scale) if rows.dtype == np.uint8 else rows
            self._network.backend.loss(mse, y, target, errors[start : start + _ROWS], np.empty_like(y), 0.0)
        return errors

    def get_config(self):
        return {**super().get_config(), "encoder_layers": self.encoder_layers}

    def _restore(self, config):
        count = len(self._layers) - 1
        self.encoder_layers = validation.integer("encoder_layers", config["encoder_layers"], low=1, high=count)
        if not 0 <= self._code() < self._last_op:
            raise ValueError(f"encoder_layers={self.encoder_layers} does not split the layers in two")
