"""Optimizers, by the names of Keras. Declarations only: the formulas are in `fastnn.kernels.optimizers`.

An optimizer object holds rates; the state that training builds up belongs to the model.
"""

from . import schedules, validation
from .optimizer_base import Optimizer

__all__ = [
    "LBFGS",
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Lion",
    "Nadam",
    "Optimizer",
    "RMSprop",
    "deserialize",
    "get",
    "schedules",
    "serialize",
]


class SGD(Optimizer):
    """Gradient descent, with momentum if asked.

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule, default 0.01
    momentum : float, default 0.0
        In [0, 1].
    nesterov : bool, default False
        Whether the momentum is Nesterov's.
    **options
        As for `Optimizer`.
    """

    name = "sgd"

    def __init__(self, learning_rate=0.01, momentum=0.0, nesterov=False, **options):
        super().__init__(learning_rate, **options)
        self.momentum = validation.number("momentum", momentum, low=0.0, high=1.0)
        self.nesterov = validation.flag("nesterov", nesterov)

    @property
    def kernel(self):
        return "momentum" if self.momentum else "sgd"


class Adam(Optimizer):
    """Adam (Kingma and Ba, 2015).

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule, default 0.001
    beta_1 : float, default 0.9
        In [0, 1).
    beta_2 : float, default 0.999
        In [0, 1).
    epsilon : float, default 1e-7
        Above 0.
    **options
        As for `Optimizer`.
    """

    name = "adam"

    def __init__(self, learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-7, **options):
        super().__init__(learning_rate, **options)
        self.beta_1 = validation.number("beta_1", beta_1, low=0.0, high=1.0, below=True)
        self.beta_2 = validation.number("beta_2", beta_2, low=0.0, high=1.0, below=True)
        self.epsilon = validation.number("epsilon", epsilon, low=0.0, above=True)


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019).

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule, default 0.001
    weight_decay : float, default 0.004
        As for `Optimizer`.
    beta_1, beta_2, epsilon
        As for `Adam`.
    **options
        As for `Optimizer`.
    """

    name = "adamw"
    kernel = Adam.name

    def __init__(self, learning_rate=0.001, weight_decay=0.004, beta_1=0.9, beta_2=0.999, epsilon=1e-7, **options):
        if weight_decay is None:
            raise ValueError("AdamW needs a weight_decay that is a number, got None; Adam has none unless given")
        super().__init__(learning_rate, beta_1, beta_2, epsilon, weight_decay=weight_decay, **options)


class RMSprop(Optimizer):
    """RMSprop (Hinton, 2012).

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule, default 0.001
    rho : float, default 0.9
        In [0, 1).
    epsilon : float, default 1e-7
        Above 0.
    **options
        As for `Optimizer`.
    """

    name = "rmsprop"

    def __init__(self, learning_rate=0.001, rho=0.9, epsilon=1e-7, **options):
        super().__init__(learning_rate, **options)
        self.rho = validation.number("rho", rho, low=0.0, high=1.0, below=True)
        self.epsilon = validation.number("epsilon", epsilon, low=0.0, above=True)


class Adagrad(Optimizer):
    """Adagrad (Duchi, Hazan and Singer, 2011).

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule, default 0.001
    initial_accumulator_value : float, default 0.1
        What the sums of squares start from; not negative.
    epsilon : float, default 1e-7
        Above 0.
    **options
        As for `Optimizer`.
    """

    name = "adagrad"

    def __init__(self, learning_rate=0.001, initial_accumulator_value=0.1, epsilon=1e-7, **options):
        super().__init__(learning_rate, **options)
        self.initial_accumulator_value = validation.number(
            "initial_accumulator_value", initial_accumulator_value, low=0.0
        )
        self.epsilon = validation.number("epsilon", epsilon, low=0.0, above=True)


class Adamax(Adam):
    """Adam with the largest of the past gradients for their mean square (Kingma and Ba, 2015, section 7).

    Parameters
    ----------
    learning_rate, beta_1, beta_2, epsilon
        As for `Adam`.
    **options
        As for `Optimizer`.
    """

    name = "adamax"


class Nadam(Adam):
    """Adam with Nesterov momentum (Dozat, 2016).

    The momentum of step t is ``beta_1 * (1 - 0.5 * 0.96**t)``; it and its products follow from the number of the step.

    Parameters
    ----------
    learning_rate, beta_1, beta_2, epsilon
        As for `Adam`.
    **options
        As for `Optimizer`.
    """

    name = "nadam"


class Lion(Optimizer):
    """Lion (Chen et al., 2023): steps of the learning rate in the direction of the momentum's sign.

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule, default 0.001
    beta_1 : float, default 0.9
        In (0, 1].
    beta_2 : float, default 0.99
        In [0, 1).
    **options
        As for `Optimizer`.
    """

    name = "lion"

    def __init__(self, learning_rate=0.001, beta_1=0.9, beta_2=0.99, **options):
        super().__init__(learning_rate, **options)
        self.beta_1 = validation.number("beta_1", beta_1, low=0.0, high=1.0, above=True)
        self.beta_2 = validation.number("beta_2", beta_2, low=0.0, high=1.0, below=True)


class LBFGS(Optimizer):
    """L-BFGS (Liu and Nocedal, 1989), by SciPy: for small data and smooth losses, which it minimizes to many digits.

    An epoch is one iteration of it, over all rows at once; a fit ends early where the gradient is small enough or the
    line search finds nothing lower, and begins afresh when called again. There is no learning rate, and no layer may be
    random. ``dtype="float64"`` lets it go further.

    Parameters
    ----------
    history_size : int, default 10
        Number of past steps that the curvature is learned from.
    tolerance : float, default 1e-5
        The fit ends when no element of the gradient is larger.
    max_line_search : int, default 20
        Evaluations that an iteration may take.
    """

    name = "lbfgs"
    kernel = "sgd"  # which has no state and is never asked for an update
    # The line search needs the gradient as it is, and moves along nothing else.
    clipnorm = clipvalue = global_clipnorm = weight_decay = None
    _exclude_from_weight_decay = ()
    learning_rate = property(lambda self: None, doc="There is none, and none can be set.")

    def __init__(self, history_size=10, tolerance=1e-5, max_line_search=20):
        self.history_size = validation.integer("history_size", history_size, low=1)
        self.tolerance = validation.number("tolerance", tolerance, low=0.0)
        self.max_line_search = validation.integer("max_line_search", max_line_search, low=1)


_BY_NAME = {cls.name: cls for cls in (LBFGS, SGD, Adam, AdamW, RMSprop, Adagrad, Adamax, Nadam, Lion)}
# Those that go from batch to batch.
NAMES = tuple(name for name in _BY_NAME if name != LBFGS.name)


def get(identifier):
    """Return an optimizer.

    Parameters
    ----------
    identifier : str or Optimizer
        A name such as ``"adam"``, or an instance.

    Returns
    -------
    Optimizer

    Raises
    ------
    ValueError
        If the name is unknown.
    TypeError
        If it is neither a name nor an optimizer.
    """
    return validation.resolve("optimizer", identifier, Optimizer, _BY_NAME)


def serialize(optimizer):
    """Return ``{"name", "config"}`` of an optimizer, which JSON can hold."""
    return validation.serialize(optimizer, _BY_NAME)


def deserialize(config):
    """Return the optimizer that `serialize` described."""
    return validation.deserialize("optimizer", config, _BY_NAME)
