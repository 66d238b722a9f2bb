"""The loop over epochs: order, slices, progress, validation, and what happens when a fit stops early.

The vectors on the host are never ahead of nor torn by training: a slice runs in a workspace, and the session can
always get back to any batch since the host last had the weights, for training is bit-identical however it is cut.
"""

import contextlib
import math
import signal
import threading
import time
from dataclasses import dataclass

import numpy as np

from .network import ORDER

# Seconds a slice should take, so that progress moves and Ctrl-C answers.
SLICE_SECONDS = 0.2
# The host's vectors are at most this old, unless fetching them would take more than a hundredth of the time.
SYNC_SECONDS = 0.3
SYNC_SHARE = 0.01


@dataclass
class Data:
    """Checked arrays: x (n, I), y (n,) or (n, O), weights (n,) or None."""

    x: np.ndarray
    y: np.ndarray
    weights: np.ndarray | None

    def __len__(self):
        return len(self.x)

    def rows(self, start, stop):
        """Return some of the rows, as views."""
        weights = None if self.weights is None else self.weights[start:stop]
        return Data(self.x[start:stop], self.y[start:stop], weights)


@contextlib.contextmanager
def deferred_interrupt():
    """Hold Ctrl-C back until the block ends, so that it never falls between a kernel and its bookkeeping.

    A second Ctrl-C goes through at once. Signals reach the main thread only, so elsewhere there is nothing to do.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.getsignal(signal.SIGINT)
    if not callable(previous):
        yield
        return
    pending = []

    def hold(number, frame):
        if pending:
            previous(number, frame)
        pending.append((number, frame))

    signal.signal(signal.SIGINT, hold)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
        if len(pending) == 1:
            previous(*pending[0])


class Pace:
    """Chooses how many batches a slice has, from how long the last one took."""

    def __init__(self):
        self.batches = 1

    def record(self, batches, seconds):
        """Take in that `batches` took `seconds`."""
        wish = SLICE_SECONDS * batches / max(seconds, 1e-6)
        # The first slice may include a compilation, and any slice a hiccup: grow by steps, and shrink at once.
        self.batches = max(1, min(int(wish), 16 * batches))


class Session:
    """The workspace of a running fit.

    Parameters
    ----------
    network : Network
    plan : Plan
    data : Data
    batch_size : int
    loss : str
        The loss's name, for messages.
    optimizer : optimizers.Optimizer
        Its learning rate counts at the beginning of every slice.
    """

    def __init__(self, network, plan, data, batch_size, loss, optimizer):
        self.network = network
        self.plan = plan
        self.data = data
        self.batch_size = batch_size
        self.loss = loss
        self.optimizer = optimizer
        self.workspace = network.workspace(plan, batch_size)
        self.torn = False
        self.log = []  # slices done since the host had the weights: (order, rates, step)
        self.synced_at = time.perf_counter()
        self.sync_after = SYNC_SECONDS
        self.begin_epoch(0)

    def begin_epoch(self, epoch):
        """Count batches from here on as those of an epoch."""
        self.epoch, self.first_step = epoch, self.network.step

    def _train(self, workspace, order, rates, step, sums):
        data, size = self.data, self.batch_size
        seed = self.network.seed
        return self.network.backend.train(workspace, data.x, data.y, data.weights, order, rates, size, seed, step, sums)

    def run(self, order, sums):
        """Train on a slice and fill its sums (batches, 1 + metrics).

        Raises
        ------
        FloatingPointError
            If a loss is not finite. The host then has the last finite weights.
        """
        network = self.network
        rates = np.full(len(sums), self.optimizer.learning_rate)
        with network.lock, deferred_interrupt():
            self.torn = True  # unless we get past the next line
            done = self._train(self.workspace, order, rates, network.step, sums)
            self.torn = False
            if done:
                self.log.append((order[: done * self.batch_size], rates[:done], network.step))
                network.step += done
            if done < len(sums):
                failed = network.step
                with contextlib.suppress(FloatingPointError):
                    self.sync(with_state=True)
                rows = len(order[done * self.batch_size : (done + 1) * self.batch_size])
                raise self._error(f"the loss became {float(sums[done, 0]) / rows!r}", failed, rates[done])

    def sync(self, with_state=False):
        """Write the weights to the host unless they are there.

        Parameters
        ----------
        with_state : bool, default False
            Whether the optimizer's state has to be finite too: after a failure, for the next fit goes on from it.

        Raises
        ------
        FloatingPointError
            If they are not finite. The host then has the last ones that are.
        """
        network = self.network
        with network.lock, deferred_interrupt():
            if self.torn:
                self._repair()
            if not self.log:
                return
            params, state, finite = self._fetch(with_state)
            if finite:
                network.replace(params, state)
                self.log.clear()
                return
            last, rate = network.step - 1, float(self.log[-1][1][-1])
            self._recover()
            raise self._error("the weights became NaN or infinite", last, rate)

    def sync_if_due(self):
        """Do `sync` if the host's weights are old."""
        start = time.perf_counter()
        if start - self.synced_at > self.sync_after:
            self.sync()
            now = time.perf_counter()
            self.synced_at, self.sync_after = now, max(SYNC_SECONDS, (now - start) / SYNC_SHARE)

    def settle(self):
        """Leave the last finite weights on the host, whatever has happened."""
        with contextlib.suppress(FloatingPointError):
            self.sync()

    def reload(self):
        """Take the weights from the host."""
        self.workspace = self.network.workspace(self.plan, self.batch_size)
        self.torn = False
        self.log.clear()

    def _fetch(self, with_state):
        network = self.network
        params, state = np.empty_like(network.params), np.empty_like(network.state)
        network.backend.to_host(self.workspace, params, state)
        finite = np.isfinite(params).all() and (not with_state or np.isfinite(state).all())
        return params, state, bool(finite)

    def _replay(self, order, rates, step):
        self._train(self.workspace, order, rates, step, np.empty((len(rates), 1 + len(self.plan.metrics))))

    def _repair(self):
        """Bring back the end of the last complete slice after the backend stopped inside one."""
        log, self.log = self.log, []
        if log:
            self.network.step = log[0][2]  # should the replay fail too, the host's weights are those to keep
        self.reload()
        for order, rates, step in log:
            self._replay(order, rates, step)
            self.network.step = step + len(rates)
            self.log.append((order, rates, step))

    def _recover(self):
        """Leave on the host the last finite weights since it had any, and the step that they belong to."""
        network, size = self.network, self.batch_size
        batches = [
            (order[k * size : (k + 1) * size], rates[k : k + 1], step + k)
            for order, rates, step in self.log
            for k in range(len(rates))
        ]
        network.step = batches[0][2]
        self.reload()
        # As a rule the last update alone went wrong; otherwise look at the weights after each.
        for batch in batches[:-1]:
            self._replay(*batch)
        params, state, finite = self._fetch(with_state=True)
        kept = len(batches) - 1
        if not finite:
            self.reload()
            kept, params, state = 0, network.params, network.state
            for i, batch in enumerate(batches[:-1], 1):
                self._replay(*batch)
                now, its_state, finite = self._fetch(with_state=True)
                if finite:
                    kept, params, state = i, now, its_state
        network.replace(params, state)
        network.step += kept
        self.reload()

    def _error(self, what, step, rate):
        kept = self.network.step - self.first_step
        whose = f"those after {kept} batches of that epoch" if kept >= 0 else "those of an earlier epoch"
        return FloatingPointError(
            f"{what} in epoch {self.epoch + 1}, batch {step - self.first_step + 1}, with the loss {self.loss!r} and "
            f"the learning rate {float(rate)!r}. Try a lower learning rate, and inputs and targets scaled to "
            f"about [-1, 1]. The model keeps the last finite weights, {whose}."
        )


def epoch_order(seed, epoch, n, shuffle):
    """Return the order of the rows in an epoch (n,), int64: a function of the seed and the epoch's number alone."""
    if not shuffle:
        return np.arange(n)
    return np.random.default_rng([seed, ORDER, epoch]).permutation(n)


def means(sums, n, names):
    """Return the means over n rows as a dict of name to float."""
    return dict(zip(names, (sums / n).tolist(), strict=True))


def _run_epoch(session, order, pace, progress, names):
    size = session.batch_size
    n, n_batches = len(order), math.ceil(len(order) / size)
    sums = np.zeros((n_batches, len(names)))
    done = 0
    while done < n_batches:
        count = min(pace.batches, n_batches - done)
        start = time.perf_counter()
        session.run(order[done * size : (done + count) * size], sums[done : done + count])
        pace.record(count, time.perf_counter() - start)
        done += count
        session.sync_if_due()
        rows = min(done * size, n)
        progress(rows, means(sums[:done].sum(axis=0), rows, names))
    # Summed as a whole, so that the slices, which depend on the clock, cannot change the last bits.
    return means(sums.sum(axis=0), n, names)


def fit(model, network, plan, data, validate, names, loss, *, batch_size, epochs, initial_epoch, shuffle, callbacks):
    """Train.

    Parameters
    ----------
    model : Sequential
        For `stop_training` and the optimizer.
    network : Network
    plan : Plan
    data : Data
    validate : callable or None
        Returns the logs of the validation data.
    names : list of str
        "loss" and the metrics' names.
    loss : str
        The loss's name, for messages.
    batch_size, epochs, initial_epoch : int
    shuffle : bool
    callbacks : callbacks.CallbackList

    Raises
    ------
    FloatingPointError
        If the loss or the weights became NaN or infinite. The model keeps the last finite weights.
    """
    session = Session(network, plan, data, min(batch_size, len(data)), loss, model.optimizer)
    pace = Pace()
    try:
        with network.lock:
            if network.live is not None:
                raise RuntimeError("the model is in fit() already, in another thread")
            network.live = session
            model.history = callbacks.history
        callbacks.on_train_begin()
        logs = {}
        for epoch in range(initial_epoch, epochs):
            callbacks.on_epoch_begin(epoch)
            session.begin_epoch(epoch)
            order = epoch_order(network.seed, network.epoch, len(data), shuffle)
            logs = _run_epoch(session, order, pace, callbacks.progress, names)
            if epoch == epochs - 1:
                session.sync()  # so that an epoch that ruined the weights does not count as completed
            if validate is not None:
                logs.update(validate())
            network.epoch += 1
            callbacks.on_epoch_end(epoch, logs)
            if model.stop_training:
                break
        session.sync()
        callbacks.on_train_end(logs)
    finally:
        with deferred_interrupt():
            callbacks.close()
            if network.live is session:
                try:
                    session.settle()
                finally:
                    network.live = None
