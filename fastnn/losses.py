"""Losses, by the names of Keras. Declarations only: the formulas are in `fastnn.kernels.losses`."""

from . import validation

__all__ = [
    "BinaryCrossentropy",
    "CategoricalCrossentropy",
    "Loss",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "SparseCategoricalCrossentropy",
    "deserialize",
    "get",
    "serialize",
]


class Loss:
    """Base class of the losses.

    Attributes
    ----------
    name : str
        The name in Keras.
    kernel : str
        The name of the row in the kernels' table.
    from_logits : bool
        Whether the network's output is taken for logits.
    """

    name = None
    kernel = None
    from_logits = False

    def get_config(self):
        """Return the constructor's arguments as a dict that JSON can hold."""
        return dict(vars(self))

    def __repr__(self):
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.get_config().items())})"


class MeanSquaredError(Loss):
    """Mean over the outputs of the squared differences. Targets are (n, outputs)."""

    name, kernel = "mean_squared_error", "mse"


class MeanAbsoluteError(Loss):
    """Mean over the outputs of the absolute differences. Targets are (n, outputs)."""

    name, kernel = "mean_absolute_error", "mae"


class _Crossentropy(Loss):
    def __init__(self, from_logits=False):
        self.from_logits = validation.flag("from_logits", from_logits)


class BinaryCrossentropy(_Crossentropy):
    """Mean over the outputs of the binary cross-entropies. Targets are (n, outputs) in [0, 1].

    Parameters
    ----------
    from_logits : bool, default False
        False: the network ends in a sigmoid, which the loss absorbs (nothing is clipped). True: it ends in logits.
    """

    name = kernel = "binary_crossentropy"


class CategoricalCrossentropy(_Crossentropy):
    """Cross-entropy between rows of probabilities. Targets are (n, outputs) in [0, 1], one-hot as a rule.

    Parameters
    ----------
    from_logits : bool, default False
        False: the network ends in a softmax, which the loss absorbs (nothing is clipped). True: it ends in logits.
    """

    name = kernel = "categorical_crossentropy"


class SparseCategoricalCrossentropy(_Crossentropy):
    """Cross-entropy with labels. Targets are labels (n,), from 0 to outputs - 1.

    Parameters
    ----------
    from_logits : bool, default False
        False: the network ends in a softmax, which the loss absorbs (nothing is clipped). True: it ends in logits.
    """

    name = kernel = "sparse_categorical_crossentropy"


_BY_NAME = {
    cls.name: cls
    for cls in (
        MeanSquaredError,
        MeanAbsoluteError,
        BinaryCrossentropy,
        CategoricalCrossentropy,
        SparseCategoricalCrossentropy,
    )
}
NAMES = tuple(_BY_NAME)
_ALIASES = {
    "mse": "mean_squared_error",
    "mae": "mean_absolute_error",
    "bce": "binary_crossentropy",
    **{cls.__name__.lower(): name for name, cls in _BY_NAME.items()},
}


def get(identifier):
    """Return a loss.

    Parameters
    ----------
    identifier : str or Loss
        A name such as ``"mse"`` or ``"sparse_categorical_crossentropy"``, or an instance.

    Returns
    -------
    Loss

    Raises
    ------
    ValueError
        If the name is unknown.
    TypeError
        If it is neither a name nor a loss.
    """
    return validation.resolve("loss", identifier, Loss, _BY_NAME, _ALIASES)


def serialize(loss):
    """Return ``{"name", "config"}`` of a loss, which JSON can hold."""
    return validation.serialize(loss, _BY_NAME)


def deserialize(config):
    """Return the loss that `serialize` described."""
    return validation.deserialize("loss", config, _BY_NAME)
