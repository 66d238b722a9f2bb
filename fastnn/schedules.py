"""Learning rates by the step, by the names of Keras: the ``learning_rate`` of an optimizer may be one of these.

A step is a batch; the first one since the model was compiled is number 0. The rates of all batches are computed ahead
of an epoch, in float64, so that a schedule costs training nothing.
"""

import math

import numpy as np

from . import validation

__all__ = [
    "Constant",
    "CosineDecay",
    "CosineDecayRestarts",
    "ExponentialDecay",
    "InverseTimeDecay",
    "LearningRateSchedule",
    "LinearWarmup",
    "OneCycle",
    "PiecewiseConstantDecay",
    "PolynomialDecay",
    "deserialize",
    "serialize",
]


class LearningRateSchedule:
    """Base class of the schedules.

    A subclass of one's own defines ``__call__(step)``, which returns the rate of a step, an int. A model with such a
    schedule trains, but cannot be saved.
    """

    def __call__(self, step):
        """Return the learning rate of a step (int), or of an array of steps."""
        raise NotImplementedError(f"{type(self).__name__} does not define __call__(self, step)")

    def rates(self, step, count):
        """Return the rates of the steps from number `step` on (count,), float64; finite and not negative."""
        values = [self(i) for i in range(step, step + count)]
        return self._checked(np.array(values, dtype=np.float64).reshape(count), step)

    def _checked(self, values, step):
        wrong = ~(np.isfinite(values) & (values >= 0.0))
        if wrong.any():
            first = int(wrong.argmax())
            raise ValueError(
                f"the schedule {self!r} gives the learning rate {float(values[first])!r} for step {step + first}; it "
                "must be a finite number of at least 0"
            )
        return values

    def get_config(self):
        """Return the constructor's arguments as a dict that JSON can hold."""
        return dict(vars(self))

    def __eq__(self, other):
        return type(self) is type(other) and self.get_config() == other.get_config()

    __hash__ = None

    def __repr__(self):
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.get_config().items())})"


class _Formula(LearningRateSchedule):
    """A schedule whose subclasses have ``_formula(steps)``, of an array (n,) of float64."""

    def __call__(self, step):
        steps = np.asarray(step)
        values = self._formula(np.atleast_1d(steps).astype(np.float64))
        return float(values[0]) if steps.ndim == 0 else values

    def rates(self, step, count):
        return self._checked(self(np.arange(step, step + count)), step)


def _rate(name, value):
    return validation.number(name, value, low=0.0)


def _steps(name, value):
    return validation.number(name, value, low=0.0, above=True)


class Constant(_Formula):
    """The same rate at every step.

    Parameters
    ----------
    learning_rate : float
    """

    def __init__(self, learning_rate):
        self.learning_rate = _rate("learning_rate", learning_rate)

    def _formula(self, steps):
        return np.full(len(steps), self.learning_rate)


class PiecewiseConstantDecay(_Formula):
    """Another rate after each of some steps.

    Parameters
    ----------
    boundaries : list of float
        The last steps of all rates but the last, rising.
    values : list of float
        The rates, one more than boundaries.
    """

    def __init__(self, boundaries, values):
        for name, value in (("boundaries", boundaries), ("values", values)):
            if not isinstance(value, (list, tuple, np.ndarray)):
                raise TypeError(f"{name} must be a list of numbers, got {value!r}")
        if len(values) != len(boundaries) + 1:
            raise ValueError(
                f"values must be one more than boundaries, got {len(values)} values for {len(boundaries)} boundaries"
            )
        self.boundaries = [validation.number("every boundary", value, low=0.0) for value in boundaries]
        if any(b <= a for a, b in zip(self.boundaries, self.boundaries[1:], strict=False)):
            raise ValueError(f"boundaries must rise, got {boundaries!r}")
        self.values = [_rate("every value", value) for value in values]

    def _formula(self, steps):
        return np.array(self.values)[np.searchsorted(self.boundaries, steps, side="left")]


class _Decay(_Formula):
    def __init__(self, initial_learning_rate, decay_steps, decay_rate, staircase=False):
        self.initial_learning_rate = _rate("initial_learning_rate", initial_learning_rate)
        self.decay_steps = _steps("decay_steps", decay_steps)
        self.decay_rate = _rate("decay_rate", decay_rate)
        self.staircase = validation.flag("staircase", staircase)

    def _progress(self, steps):
        progress = steps / self.decay_steps
        return np.floor(progress) if self.staircase else progress


class ExponentialDecay(_Decay):
    """``initial_learning_rate * decay_rate ** (step / decay_steps)``.

    Parameters
    ----------
    initial_learning_rate : float
    decay_steps : float
        Above 0.
    decay_rate : float
    staircase : bool, default False
        Whether the exponent is rounded down, so that the rate falls in steps.
    """

    def _formula(self, steps):
        return self.initial_learning_rate * self.decay_rate ** self._progress(steps)


class InverseTimeDecay(_Decay):
    """``initial_learning_rate / (1 + decay_rate * step / decay_steps)``.

    Parameters
    ----------
    initial_learning_rate : float
    decay_steps : float
        Above 0.
    decay_rate : float
    staircase : bool, default False
        Whether the quotient of the steps is rounded down, so that the rate falls in steps.
    """

    def _formula(self, steps):
        return self.initial_learning_rate / (1.0 + self.decay_rate * self._progress(steps))


class PolynomialDecay(_Formula):
    """From one rate to another: ``end + (initial - end) * (1 - step / decay_steps) ** power``.

    Parameters
    ----------
    initial_learning_rate : float
    decay_steps : float
        Above 0; afterwards the rate stays what it is.
    end_learning_rate : float, default 0.0001
    power : float, default 1.0
        Above 0.
    cycle : bool, default False
        Whether, after `decay_steps`, the next multiple of them takes their place.
    """

    def __init__(self, initial_learning_rate, decay_steps, end_learning_rate=0.0001, power=1.0, cycle=False):
        self.initial_learning_rate = _rate("initial_learning_rate", initial_learning_rate)
        self.decay_steps = _steps("decay_steps", decay_steps)
        self.end_learning_rate = _rate("end_learning_rate", end_learning_rate)
        self.power = validation.number("power", power, low=0.0, above=True)
        self.cycle = validation.flag("cycle", cycle)

    def _formula(self, steps):
        multiple = np.maximum(np.ceil(steps / self.decay_steps), 1.0) if self.cycle else 1.0
        progress = np.minimum(steps / (self.decay_steps * multiple), 1.0)
        span = self.initial_learning_rate - self.end_learning_rate
        return span * (1.0 - progress) ** self.power + self.end_learning_rate


class CosineDecay(_Formula):
    """Half a cosine from one rate down to a share of it (Loshchilov and Hutter, 2017), after a linear warm-up if asked.

    Parameters
    ----------
    initial_learning_rate : float
        The rate of step 0.
    decay_steps : float
        Above 0; afterwards the rate stays what it is.
    alpha : float, default 0.0
        The last rate, as a share of the highest one.
    warmup_target : float, optional
        The rate after the warm-up, from which it decays; without it there is no warm-up.
    warmup_steps : float, default 0
        Steps from `initial_learning_rate` to `warmup_target`.
    """

    def __init__(self, initial_learning_rate, decay_steps, alpha=0.0, warmup_target=None, warmup_steps=0):
        self.initial_learning_rate = _rate("initial_learning_rate", initial_learning_rate)
        self.decay_steps = _steps("decay_steps", decay_steps)
        self.alpha = validation.number("alpha", alpha, low=0.0)
        self.warmup_target = None if warmup_target is None else _rate("warmup_target", warmup_target)
        self.warmup_steps = validation.number("warmup_steps", warmup_steps, low=0.0)
        if self.warmup_target is None and self.warmup_steps:
            raise ValueError(f"warmup_steps={warmup_steps!r} needs a warmup_target")

    def _formula(self, steps):
        first, top, warmup = self.initial_learning_rate, self.warmup_target, self.warmup_steps
        top = first if top is None else top
        progress = np.clip((steps - warmup) / self.decay_steps, 0.0, 1.0)
        rates = top * ((1.0 - self.alpha) * 0.5 * (1.0 + np.cos(np.pi * progress)) + self.alpha)
        return np.where(steps < warmup, (top - first) * (steps / (warmup or 1.0)) + first, rates)


class CosineDecayRestarts(_Formula):
    """Half a cosine again and again (Loshchilov and Hutter, 2017).

    Parameters
    ----------
    initial_learning_rate : float
    first_decay_steps : float
        Above 0: steps of the first period.
    t_mul : float, default 2.0
        How much longer every next period is; at least 1.
    m_mul : float, default 1.0
        What the rate at the beginning of every next period is multiplied by.
    alpha : float, default 0.0
        The lowest rate, as a share of `initial_learning_rate`.
    """

    def __init__(self, initial_learning_rate, first_decay_steps, t_mul=2.0, m_mul=1.0, alpha=0.0):
        self.initial_learning_rate = _rate("initial_learning_rate", initial_learning_rate)
        self.first_decay_steps = _steps("first_decay_steps", first_decay_steps)
        self.t_mul = validation.number("t_mul", t_mul, low=1.0)
        self.m_mul = validation.number("m_mul", m_mul, low=0.0)
        self.alpha = validation.number("alpha", alpha, low=0.0)

    def _formula(self, steps):
        progress = steps / self.first_decay_steps
        if self.t_mul == 1.0:
            period = np.floor(progress)
            progress = progress - period
        else:
            # Not through a logarithm, whose rounding would place a restart a step too late.
            count = math.ceil(math.log1p(progress.max(initial=0.0) * (self.t_mul - 1.0)) / math.log(self.t_mul)) + 2
            starts = (self.t_mul ** np.arange(count) - 1.0) / (self.t_mul - 1.0)
            period = np.searchsorted(starts, progress, side="right") - 1
            progress = (progress - starts[period]) / self.t_mul**period
        cosine = 0.5 * self.m_mul**period * (1.0 + np.cos(np.pi * progress))
        return self.initial_learning_rate * ((1.0 - self.alpha) * cosine + self.alpha)


class OneCycle(_Formula):
    """Up to a high rate and down to almost nothing (Smith and Topin, 2018), as PyTorch's OneCycleLR in two phases.

    Momentum is not cycled.

    Parameters
    ----------
    max_learning_rate : float
    total_steps : int
        Steps of the whole fit, at least 2: epochs times batches an epoch. Afterwards the rate stays what it is.
    pct_start : float, default 0.3
        Share of the steps before the highest rate.
    anneal_strategy : {"cos", "linear"}, default "cos"
    div_factor : float, default 25.0
        The first rate is the highest one divided by this.
    final_div_factor : float, default 1e4
        The last rate is the first one divided by this.
    """

    def __init__(
        self,
        max_learning_rate,
        total_steps,
        pct_start=0.3,
        anneal_strategy="cos",
        div_factor=25.0,
        final_div_factor=1e4,
    ):
        self.max_learning_rate = _rate("max_learning_rate", max_learning_rate)
        self.total_steps = validation.integer("total_steps", total_steps, low=2)
        self.pct_start = validation.number("pct_start", pct_start, low=0.0, high=1.0)
        self.anneal_strategy = validation.choice("anneal_strategy", anneal_strategy, ("cos", "linear"))
        self.div_factor = validation.number("div_factor", div_factor, low=0.0, above=True)
        self.final_div_factor = validation.number("final_div_factor", final_div_factor, low=0.0, above=True)

    def _formula(self, steps):
        top, first = self.max_learning_rate, self.max_learning_rate / self.div_factor
        end = self.total_steps - 1
        # The step of the highest rate; where it would be before step 0 there is no way up.
        peak = self.pct_start * self.total_steps - 1
        up = np.clip(steps / peak if peak > 0 else np.ones_like(steps), 0.0, 1.0)
        down = np.clip((steps - peak) / (end - peak) if end > peak else np.zeros_like(steps), 0.0, 1.0)
        rising = self._between(first, top, up)
        return np.where(steps <= peak, rising, self._between(top, first / self.final_div_factor, down))

    def _between(self, first, last, share):
        if self.anneal_strategy == "linear":
            return (last - first) * share + first
        return last + (first - last) / 2.0 * (np.cos(np.pi * share) + 1.0)


class LinearWarmup(LearningRateSchedule):
    """A straight line up to the first rate of another schedule, which then takes over.

    Parameters
    ----------
    schedule : float or LearningRateSchedule
        What comes after the warm-up; its step 0 is the first one after it.
    warmup_steps : int
        At least 1.
    initial_learning_rate : float, default 0.0
        The rate of step 0.
    """

    def __init__(self, schedule, warmup_steps, initial_learning_rate=0.0):
        if not isinstance(schedule, LearningRateSchedule):
            schedule = deserialize(schedule) if isinstance(schedule, dict) else Constant(schedule)
        self.schedule = schedule
        self.warmup_steps = validation.integer("warmup_steps", warmup_steps, low=1)
        self.initial_learning_rate = _rate("initial_learning_rate", initial_learning_rate)

    def __call__(self, step):
        if np.ndim(step):
            return np.array([self(int(i)) for i in step])
        if step >= self.warmup_steps:
            return self.schedule(step - self.warmup_steps)
        first = self.initial_learning_rate
        return first + (self.schedule(0) - first) * (step / self.warmup_steps)

    def rates(self, step, count):
        rising = range(step, min(step + count, max(step, self.warmup_steps)))
        after = max(step - self.warmup_steps, 0)
        rest = self.schedule.rates(after, count - len(rising))
        return np.concatenate([np.array([self(i) for i in rising], dtype=np.float64), rest])

    def get_config(self):
        return {**vars(self), "schedule": serialize(self.schedule)}


_BY_NAME = {
    cls.__name__: cls
    for cls in (
        Constant,
        CosineDecay,
        CosineDecayRestarts,
        ExponentialDecay,
        InverseTimeDecay,
        LinearWarmup,
        OneCycle,
        PiecewiseConstantDecay,
        PolynomialDecay,
    )
}


def serialize(schedule):
    """Return ``{"name", "config"}`` of a schedule, which JSON can hold."""
    return validation.serialize(schedule, _BY_NAME)


def deserialize(config):
    """Return the schedule that `serialize` described."""
    return validation.deserialize("schedule", config, _BY_NAME)
