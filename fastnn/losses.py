"""Losses, by the names of Keras. Declarations only: the formulas are in `fastnn.kernels.losses`."""

from . import validation

__all__ = [
    "BinaryCrossentropy",
    "CategoricalCrossentropy",
    "CategoricalHinge",
    "CosineSimilarity",
    "Hinge",
    "Huber",
    "KLDivergence",
    "LogCosh",
    "Loss",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "Poisson",
    "SparseCategoricalCrossentropy",
    "SquaredHinge",
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
    parameter : float or None
        The parameter of the row, if it has one.
    """

    name = None
    kernel = None
    from_logits = False
    parameter = None

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


class Huber(Loss):
    """Mean over the outputs of ``e**2 / 2`` where ``|e| <= delta`` and ``delta * (|e| - delta / 2)`` elsewhere, with e
    the difference. Targets are (n, outputs).

    Parameters
    ----------
    delta : float, default 1.0
        Above 0.
    """

    name = kernel = "huber"

    def __init__(self, delta=1.0):
        self.delta = validation.number("delta", delta, low=0.0, above=True)

    parameter = property(lambda self: self.delta)


class LogCosh(Loss):
    """Mean over the outputs of ``log(cosh(e))``, with e the difference. Targets are (n, outputs)."""

    name = kernel = "log_cosh"


class Poisson(Loss):
    """Mean over the outputs of ``y - t * log(y + 1e-7)``. Targets t are counts (n, outputs); outputs y are positive."""

    name = kernel = "poisson"
    parameter = 1e-7


class KLDivergence(Loss):
    """Sum over the outputs of ``t * log(t / y)``, both cut to [1e-7, 1]. Targets t are probabilities (n, outputs)."""

    name = kernel = "kl_divergence"


class Hinge(Loss):
    """Mean over the outputs of ``max(1 - t * y, 0)``. Targets t are -1 and 1, or 0 and 1 for them, (n, outputs)."""

    name = kernel = "hinge"


class SquaredHinge(Loss):
    """Mean over the outputs of ``max(1 - t * y, 0)**2``. Targets t are -1 and 1, or 0 and 1 for them, (n, outputs)."""

    name = kernel = "squared_hinge"


class CategoricalHinge(Loss):
    """``max(1 + max((1 - t) * y) - sum(t * y), 0)`` of each row. Targets t are one-hot rows (n, outputs)."""

    name = kernel = "categorical_hinge"


class CosineSimilarity(Loss):
    """Minus the cosine of the angle between target and output, of lengths 1e-7 at least. Targets are (n, outputs)."""

    name = kernel = "cosine_similarity"


class _Crossentropy(Loss):
    def __init__(self, from_logits=False, label_smoothing=0.0):
        self.from_logits = validation.flag("from_logits", from_logits)
        self.label_smoothing = validation.number("label_smoothing", label_smoothing, low=0.0, high=1.0)

    parameter = property(lambda self: self.label_smoothing)


class BinaryCrossentropy(_Crossentropy):
    """Mean over the outputs of the binary cross-entropies. Targets are (n, outputs) in [0, 1].

    Parameters
    ----------
    from_logits : bool, default False
        False: the network ends in a sigmoid, which the loss absorbs (nothing is clipped). True: it ends in logits.
    label_smoothing : float, default 0.0
        In [0, 1]; targets t become ``t * (1 - label_smoothing) + label_smoothing / 2``.
    """

    name = kernel = "binary_crossentropy"


class CategoricalCrossentropy(_Crossentropy):
    """Cross-entropy between rows of probabilities. Targets are (n, outputs) in [0, 1], one-hot as a rule.

    Parameters
    ----------
    from_logits : bool, default False
        False: the network ends in a softmax, which the loss absorbs (nothing is clipped). True: it ends in logits.
    label_smoothing : float, default 0.0
        In [0, 1]; targets t become ``t * (1 - label_smoothing) + label_smoothing / outputs``.
    """

    name = kernel = "categorical_crossentropy"


class SparseCategoricalCrossentropy(_Crossentropy):
    """Cross-entropy with labels. Targets are labels (n,), from 0 to outputs - 1.

    Parameters
    ----------
    from_logits : bool, default False
        False: the network ends in a softmax, which the loss absorbs (nothing is clipped). True: it ends in logits.
    label_smoothing : float, default 0.0
        In [0, 1]; the labels as one-hot rows t become ``t * (1 - label_smoothing) + label_smoothing / outputs``. (In
        Keras the loss for one-hot rows alone has it.)
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
        Huber,
        LogCosh,
        Poisson,
        KLDivergence,
        Hinge,
        SquaredHinge,
        CategoricalHinge,
        CosineSimilarity,
    )
}
NAMES = tuple(_BY_NAME)
_ALIASES = {
    "mse": "mean_squared_error",
    "mae": "mean_absolute_error",
    "bce": "binary_crossentropy",
    "kld": "kl_divergence",
    "huber_loss": "huber",
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
