"""Penalties on weights and outputs, by the names of Keras. Declarations only: see `fastnn.kernels.penalties`."""

from . import validation

__all__ = ["L1", "L1L2", "L2", "Regularizer", "deserialize", "get", "serialize"]


class Regularizer:
    """Base class: a penalty ``l1 * sum(|w|) + l2 * sum(w**2)`` that is part of the loss.

    For outputs, the sum is over the batch and divided by its rows.

    Attributes
    ----------
    l1, l2 : float
    """

    l1 = 0.0
    l2 = 0.0

    def get_config(self):
        """Return the constructor's arguments as a dict that JSON can hold."""
        return dict(vars(self))

    def __repr__(self):
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.get_config().items())})"


class L1(Regularizer):
    """``l1 * sum(|w|)``.

    Parameters
    ----------
    l1 : float, default 0.01
        Not negative.
    """

    def __init__(self, l1=0.01):
        self.l1 = validation.number("l1", l1, low=0.0)


class L2(Regularizer):
    """``l2 * sum(w**2)``.

    Parameters
    ----------
    l2 : float, default 0.01
        Not negative.
    """

    def __init__(self, l2=0.01):
        self.l2 = validation.number("l2", l2, low=0.0)


class L1L2(Regularizer):
    """``l1 * sum(|w|) + l2 * sum(w**2)``.

    Parameters
    ----------
    l1, l2 : float, default 0.0
        Not negative.
    """

    def __init__(self, l1=0.0, l2=0.0):
        self.l1 = validation.number("l1", l1, low=0.0)
        self.l2 = validation.number("l2", l2, low=0.0)


_BY_NAME = {"l1": L1, "l2": L2, "l1_l2": L1L2}
_ALIASES = {"l1l2": "l1_l2"}


def get(identifier):
    """Return a regularizer, or None for None.

    Parameters
    ----------
    identifier : str, Regularizer or None
        "l1", "l2" or "l1_l2", or an instance.

    Returns
    -------
    Regularizer or None

    Raises
    ------
    ValueError
        If the name is unknown.
    TypeError
        If it is neither a name nor a regularizer.
    """
    return (
        None if identifier is None else validation.resolve("regularizer", identifier, Regularizer, _BY_NAME, _ALIASES)
    )


def serialize(regularizer):
    """Return ``{"name", "config"}`` of a regularizer, which JSON can hold; None for None."""
    return None if regularizer is None else validation.serialize(regularizer, _BY_NAME)


def deserialize(config):
    """Return the regularizer that `serialize` described."""
    return None if config is None else validation.deserialize("regularizer", config, _BY_NAME)
