"""Autoencoder: a network that learns to reproduce its input through a narrow code."""

import numpy as np

from . import losses, mapped, network, targets, validation
from .kernels import losses as loss_table
from .layers import Dense, GaussianNoise, MaskingNoise, TiedDense
from .mlp import per_layer, scaling_layers
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
    noise : float, default 0.0
        Standard deviation of normal numbers to add to the inputs in training, which then learns to take the noise away:
        a denoising autoencoder. Inputs of bytes count from 0 to 1 here.
    masking : float, default 0.0
        Share of the inputs to set to zero in training, in [0, 1), likewise.
    activity_regularizer : str or Regularizer, optional
        Of the code: ``fastnn.regularizers.L1(1e-4)`` makes a sparse autoencoder, whose codes are mostly zeros.
    tied : bool, default False
        Whether the decoder's kernels are the encoder's, transposed; biases are not shared.
    input_layer : Layer, optional
        A layer that scales the inputs, such as ``Normalization()``, which learns how from the training data. What is
        reproduced are the scaled inputs: losses, errors and outputs are on their scale.
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
        noise=0.0,
        masking=0.0,
        activity_regularizer=None,
        tied=False,
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
        encoder = per_layer("activation", activation, len(sizes) - 1)
        widths = [*sizes[1:], *reversed(sizes[:-1])]
        activations = [*encoder, *reversed(encoder[:-1]), output_activation]
        tied = validation.flag("tied", tied)
        shape = (sizes[0],)  # which the first layer is told
        layers = scaling_layers(input_layer, shape)
        for kind, amount, label in ((GaussianNoise, noise, "noise"), (MaskingNoise, masking, "masking")):
            if amount:
                layers.append(kind(amount, input_shape=None if layers else shape, name=label))
        prefix = len(layers)
        for i, (units, act) in enumerate(zip(widths, activations, strict=True)):
            mirrored = i - len(encoder)
            if mirrored >= 0 and tied:
                layers.append(TiedDense(f"encoder_{len(encoder) - 1 - mirrored}", act, name=f"decoder_{mirrored}"))
                continue
            name = f"encoder_{i}" if mirrored < 0 else f"decoder_{mirrored}"
            penalty = activity_regularizer if mirrored == -1 else None
            layers.append(
                Dense(
                    units,
                    act,
                    kernel_initializer=kernel_initializer,
                    activity_regularizer=penalty,
                    input_shape=None if layers else shape,
                    name=name,
                )
            )
        super().__init__(
            layers, seed=seed, backend=backend, dtype=dtype, threads=threads, input_scale=input_scale, name=name
        )
        self.encoder_layers = prefix + len(encoder)
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
        given, x = x, mapped.rows(x, "x", self._outputs, dtype, self._input_shape)
        wanted = self._scaled(given, x, "x", self._input_shape)
        mse = loss_table.LOSS_BY_NAME["mse"].code
        errors = np.empty(len(x), dtype)
        for start in range(0, len(x), _ROWS):
            part = slice(start, start + _ROWS)
            y = self.predict(x.take(part) if isinstance(x, mapped.MappedRows) else x[part])
            target = wanted.take(part) if isinstance(wanted, mapped.MappedRows) else wanted[part]
            target = target.astype(dtype) * dtype.type(self.input_scale) if target.dtype == np.uint8 else target
            self._network.backend.loss(mse, y, target, errors[start : start + _ROWS], np.empty_like(y), 0.0)
        return errors

    def get_config(self):
        return {**super().get_config(), "encoder_layers": self.encoder_layers}

    def _restore(self, config):
        count = len(self._layers) - 1
        self.encoder_layers = validation.integer("encoder_layers", config["encoder_layers"], low=1, high=count)
        if not 0 <= self._code() < self._last_op:
            raise ValueError(f"encoder_layers={self.encoder_layers} does not split the layers in two")
