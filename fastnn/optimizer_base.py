"""What an optimizer is."""

import re

import numpy as np

from . import schedules, validation
from .kernels import optimizers as table


class Optimizer:
    """Base class of the optimizers.

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule
    weight_decay : float, optional
        Decoupled weight decay (Loshchilov and Hutter, 2019): before every step
        ``w -= learning_rate * weight_decay * w``, for all weights, as in Keras for the biases too. A layer may have a
        `weight_decay` of its own.
    exclude_from_weight_decay : list of str, default ()
        Weights that do not decay: regular expressions, each found in paths such as "dense_1/kernel" and "dense_1/bias".
        ``["bias"]`` leaves out all biases.
    clipnorm : float, optional
        The gradient of every kernel and bias is scaled so that its norm is this at most.
    clipvalue : float, optional
        Every element of the gradient is cut to ``[-clipvalue, clipvalue]``.
    global_clipnorm : float, optional
        The gradient is scaled so that the norm of all of it is this at most. Of these three one may be given.

    Raises
    ------
    ValueError, TypeError
        If an argument is not a finite number in its range.

    Attributes
    ----------
    name : str
        The name in Keras.
    kernel : str
        The name of the row in the kernels' table.
    hyper : dict of str to float
        What that row needs besides the learning rate.
    """

    name = None

    def __init__(
        self,
        learning_rate,
        *,
        weight_decay=None,
        exclude_from_weight_decay=(),
        clipnorm=None,
        clipvalue=None,
        global_clipnorm=None,
    ):
        self.learning_rate = learning_rate
        self.weight_decay = None if weight_decay is None else validation.number("weight_decay", weight_decay, low=0.0)
        self.exclude_from_weight_decay(exclude_from_weight_decay)
        given = {"clipnorm": clipnorm, "clipvalue": clipvalue, "global_clipnorm": global_clipnorm}
        for name, value in given.items():
            limit = None if value is None else validation.number(name, value, low=0.0, above=True)
            setattr(self, name, limit)
        if sum(value is not None for value in given.values()) > 1:
            raise ValueError(f"only one of clipnorm, clipvalue and global_clipnorm may be given, got {given}")

    @property
    def clip(self):
        """Value, norm and global norm to clip the gradient to, 0 for none."""
        return self.clipvalue or 0.0, self.clipnorm or 0.0, self.global_clipnorm or 0.0

    def exclude_from_weight_decay(self, var_names):
        """Say which weights do not decay, from the next `fit` on.

        Parameters
        ----------
        var_names : list of str
            As for the argument of the constructor.
        """
        if not isinstance(var_names, (list, tuple)) or not all(isinstance(name, str) for name in var_names):
            raise TypeError(f"the weights to exclude from decay must be a list of names, got {var_names!r}")
        for name in var_names:
            try:
                re.compile(name)
            except re.error as error:
                raise ValueError(f"{name!r}, to exclude from decay, is no regular expression: {error}") from None
        self._exclude_from_weight_decay = list(var_names)

    def decays(self, weights):
        """Return the decay of every weight by its offset, a dict; for (layer, path, offset) of each.

        Raises
        ------
        ValueError
            If a name to exclude is found in no path.
        """
        weights = list(weights)
        excluded = set()
        for name in self._exclude_from_weight_decay:
            found = [start for _, path, start in weights if re.search(name, path)]
            if not found:
                paths = ", ".join(path for _, path, _ in weights)
                raise ValueError(f"{name!r}, to exclude from decay, is the name of no weight; there are {paths}")
            excluded.update(found)
        usual = self.weight_decay or 0.0
        return {
            start: 0.0 if start in excluded else usual if layer.weight_decay is None else layer.weight_decay
            for layer, _, start in weights
        }

    @property
    def learning_rate(self):
        """The learning rate: a float, not negative, or a schedule.

        It may be set at any time; a float counts from the next slice on.
        """
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, value):
        if isinstance(value, dict):  # from `get_config`
            value = schedules.deserialize(value)
        if not isinstance(value, schedules.LearningRateSchedule):
            value = validation.number("learning_rate", value, low=0.0)
        self._learning_rate = value

    def rates(self, step, count):
        """Return the learning rates of the batches from number `step` on (count,), float64."""
        rate = self.learning_rate
        return np.full(count, rate) if isinstance(rate, float) else rate.rates(step, count)

    @property
    def kernel(self):
        return self.name

    @property
    def hyper(self):
        return {name: float(getattr(self, name)) for name in self.row.hyper}

    @property
    def row(self):
        """The optimizer's row in the kernels' table."""
        return table.BY_NAME[self.kernel]

    def get_config(self):
        """Return the constructor's arguments as a dict that JSON can hold."""
        config = self._arguments()
        if isinstance(self.learning_rate, schedules.LearningRateSchedule):
            config["learning_rate"] = schedules.serialize(self.learning_rate)
        return config

    def _arguments(self):
        return {name.lstrip("_"): value for name, value in vars(self).items() if value is not None and value != []}

    def __repr__(self):
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self._arguments().items())})"
