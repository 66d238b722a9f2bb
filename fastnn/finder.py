"""The learning-rate finder: a short training with a rate that rises, on a copy of the model."""

import copy
import itertools
import math
from dataclasses import dataclass

import numpy as np

from . import sources, validation
from .session import Session

# The running average that tells when the loss diverges: how much of it is the latest loss, how many times its lowest
# ends the search, and how many losses at the beginning, where it is one of few, do not count.
_LATEST = 0.1
_DIVERGED = 4.0
_FIRST = 5
# What is looked at: losses averaged with their neighbours on both sides, which moves no fall to another rate, by a
# normal curve with this share of all steps for a deviation; by what share of itself the loss has to fall; and how much
# of its fall it has done at the suggestion. The steepest descent is in the middle of the fall, but a slope is noisy.
_SMOOTHING = 0.03
_FALL = 1e-3
_DONE = 0.75


@dataclass(frozen=True, eq=False)
class LRFind:
    """What `lr_find` found; `fastnn.plot.lr_finder` draws it.

    Attributes
    ----------
    rates : ndarray of float64, shape (steps,)
        Learning rates of the batches, rising by a constant factor.
    losses : ndarray of float64, shape (steps,)
        Losses of the batches, each averaged with its neighbours.
    suggestion : float or None
        The rate at which the loss had done three quarters of its fall: just past where it falls fastest, and well below
        where it is lowest, which is about to diverge. None if it hardly fell.
    """

    rates: np.ndarray
    losses: np.ndarray
    suggestion: float | None


def lr_find(
    model,
    x,
    y=None,
    batch_size=32,
    min_rate=1e-6,
    max_rate=10.0,
    steps=150,
    class_weight=None,
    sample_weight=None,
):
    """Look for a good learning rate (Smith, 2017): train on one batch after the other with a rate that rises.

    It begins with the model's weights and optimizer state, and leaves both as they are. It ends early where the loss
    diverges. The rate of the optimizer does not matter, a schedule neither.

    Parameters
    ----------
    model : Sequential
        Compiled.
    x, y : array_like
        As for `Sequential.fit`.
    batch_size : int, default 32
        That of the training to come: a good rate depends on it.
    min_rate, max_rate : float, default 1e-6 and 10.0
        The first and the last rate.
    steps : int, default 150
        Number of batches from the one to the other, at least 10; the data are gone through as often as that takes.
    class_weight : dict, optional
    sample_weight : array_like, shape (n,), optional
        As for `Sequential.fit`.

    Returns
    -------
    LRFind

    Raises
    ------
    ValueError, TypeError
        If an argument is not right.
    RuntimeError
        If the model is not compiled, or in `fit`.

    Examples
    --------
    >>> import numpy as np, fastnn
    >>> model = fastnn.MLP([4, 16, 3], seed=0)
    >>> found = fastnn.lr_find(model, np.random.default_rng(0).normal(size=(60, 4)), np.arange(60) % 3)
    >>> model.optimizer.learning_rate = found.suggestion
    """
    model._need_compiled()
    model._not_in_fit("lr_find")
    batch_size = validation.integer("batch_size", batch_size, low=1)
    steps = validation.integer("steps", steps, low=10)
    min_rate = validation.number("min_rate", min_rate, low=0.0, above=True)
    max_rate = validation.number("max_rate", max_rate, low=min_rate, above=True)
    trial = copy.deepcopy(model)
    input_shape = trial._input_shape
    if input_shape is None:
        input_shape = validation.array(x, "x").shape[1:] or (1,)
    data, targets, _ = trial._arrays(x, y, sample_weight, class_weight, 0.0, input_shape)
    plan = trial._make_plan(trial.optimizer, trial._loss, [], targets.loss, targets.scale, input_shape, data.scale)
    if not trial.built:
        trial._build(input_shape)
    source = sources.Arrays(data, batch_size, True)
    trial._adapt(source.inputs())
    source.load()
    network = trial._network
    if network.state.shape != (plan.n_slots, plan.n_params):
        network.reset_state(plan.n_slots)
    rates = np.geomspace(min_rate, max_rate, steps)
    losses = np.array(list(_losses(trial, plan, source, rates)))
    rates, smooth = rates[: len(losses)], _smooth(losses, _SMOOTHING * steps)
    return LRFind(rates, smooth, _suggest(rates, smooth))


def _losses(model, plan, source, rates):
    """Yield the losses of batches at these rates, until they diverge."""
    network, optimizer = model._network, model.optimizer
    session = Session(network, plan, source.batch_size, model._loss.name, optimizer)
    average, weight, lowest, count = 0.0, 0.0, math.inf, 0
    for epoch in itertools.count():
        for block, order in source.blocks(network.seed, network.epoch + epoch):
            size = session.batch_size
            session.begin_block(block, 0, size)  # of no batches: no rate is planned
            for start in range(0, len(order), size):
                rows = order[start : start + size]
                sums = np.zeros((1, 1))
                if count == len(rates):
                    return
                optimizer.learning_rate = float(rates[count])
                try:
                    session.run(rows, sums)
                except FloatingPointError:
                    return
                count += 1
                loss = float(sums[0, 0] / len(rows))
                yield loss
                average += _LATEST * (loss - average)
                weight += _LATEST * (1.0 - weight)  # what the average is of: it began with nothing
                if count > _FIRST:
                    lowest = min(lowest, average / weight)
                    if average / weight > lowest + (_DIVERGED - 1.0) * abs(lowest):
                        return


def _smooth(losses, deviation):
    """Average losses with their neighbours by a normal curve, `deviation` steps wide; of fewer at the ends."""
    reach = math.ceil(3.0 * deviation)
    curve = np.exp(-0.5 * (np.arange(-reach, reach + 1) / deviation) ** 2)
    weights = np.convolve(np.ones(len(losses)), curve)[reach : reach + len(losses)]
    return np.convolve(losses, curve)[reach : reach + len(losses)] / weights


def _suggest(rates, losses):
    if len(losses) < _FIRST or losses.min() > losses[0] - _FALL * abs(losses[0]):
        return None
    wanted = losses[0] + _DONE * (losses.min() - losses[0])
    return float(rates[(losses <= wanted).argmax()])
