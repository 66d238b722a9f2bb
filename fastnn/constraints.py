"""Constraints on weights, by the names of Keras. Declarations only: see `fastnn.kernels.penalties`."""

from . import validation

__all__ = ["Constraint", "MaxNorm", "NonNeg", "UnitNorm", "deserialize", "get", "serialize"]


class Constraint:
    """Base class of the constraints, which hold after every update.

    Attributes
    ----------
    min_norm, max_norm : float
        What the norm of each column of the kernel, one a unit, is cut to; a `max_norm` of 0 leaves it.
    non_negative : bool
        Whether weights below 0 become 0.
    """

    min_norm = max_norm = 0.0
    non_negative = False

    def get_config(self):
        """Return the constructor's arguments as a dict that JSON can hold."""
        return dict(vars(self))

    def __repr__(self):
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.get_config().items())})"


class MaxNorm(Constraint):
    """Cuts the norm of each column of the kernel (Srivastava et al., 2014, section 5.1).

    Parameters
    ----------
    max_value : float, default 2.0
        The largest norm, above 0.
    """

    def __init__(self, max_value=2.0):
        self.max_value = validation.number("max_value", max_value, low=0.0, above=True)

    max_norm = property(lambda self: self.max_value)


class UnitNorm(Constraint):
    """Brings each column of the kernel to the norm 1."""

    min_norm = max_norm = 1.0


class NonNeg(Constraint):
    """Keeps the kernel from being negative."""

    non_negative = True


_BY_NAME = {"max_norm": MaxNorm, "unit_norm": UnitNorm, "non_neg": NonNeg}
_ALIASES = {"maxnorm": "max_norm", "unitnorm": "unit_norm", "nonneg": "non_neg"}


def get(identifier):
    """Return a constraint, or None for None.

    Parameters
    ----------
    identifier : str, Constraint or None
        "max_norm", "unit_norm" or "non_neg", or an instance.

    Returns
    -------
    Constraint or None

    Raises
    ------
    ValueError
        If the name is unknown.
    TypeError
        If it is neither a name nor a constraint.
    """
    return None if identifier is None else validation.resolve("constraint", identifier, Constraint, _BY_NAME, _ALIASES)


def serialize(constraint):
    """Return ``{"name", "config"}`` of a constraint, which JSON can hold; None for None."""
    return None if constraint is None else validation.serialize(constraint, _BY_NAME)


def deserialize(config):
    """Return the constraint that `serialize` described."""
    return None if config is None else validation.deserialize("constraint", config, _BY_NAME)
