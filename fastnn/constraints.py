"""Constraints on weights, by the names of Keras. Declarations only: see `fastnn.kernels.penalties`."""

from . import validation

__all__ = ["Constraint", "MaxNorm", "deserialize", "get", "serialize"]


class Constraint:
    """Base class of the constraints."""

    def get_config(self):
        """Return the constructor's arguments as a dict that JSON can hold."""
        return dict(vars(self))

    def __repr__(self):
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.get_config().items())})"


class MaxNorm(Constraint):
    """After every update, cuts the norm of each column of the kernel (Srivastava et al., 2014, section 5.1).

    Parameters
    ----------
    max_value : float, default 2.0
        The largest norm, above 0.
    """

    def __init__(self, max_value=2.0):
        self.max_value = validation.number("max_value", max_value, low=0.0, above=True)


_BY_NAME = {"max_norm": MaxNorm}
_ALIASES = {"maxnorm": "max_norm"}


def get(identifier):
    """Return a constraint, or None for None.

    Parameters
    ----------
    identifier : str, Constraint or None
        "max_norm", or an instance.

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
