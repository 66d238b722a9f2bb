"""A running fit: its workspace, and how the host gets the weights of any batch.

The vectors on the host are never ahead of nor torn by training: a slice runs in a workspace, and the session can
always get back to any batch since the host last had the weights, for training is bit-identical however it is cut.
"""

import contextlib
import signal
import threading
import time

import numpy as np

from . import validation
from .kernels.plan import OP_OUT

# Seconds a slice should take, so that progress moves and Ctrl-C answers.
SLICE_SECONDS = 0.2
# A slow backend on a slow machine, from which the length of the first slice comes: what it computes in a second, and
# how long it takes for a batch of nothing.
SLOW_FLOPS = 4e9
SLOW_BATCH_SECONDS = 5e-4
# The host's vectors are at most this old, unless fetching them would take more than a hundredth of the time.
SYNC_SECONDS = 0.3
SYNC_SHARE = 0.01
# Bytes of weights and state that it fetches in a second, until the time has been taken.
SYNC_BYTES = 2e9
# Data of blocks that have been trained on may wait so long for the host to have the weights, not to be replayed.
HELD_BYTES = 1 << 26


class Pace:
    """Chooses how many batches a slice has: the first by what a batch computes, the others by how long the last took.

    Parameters
    ----------
    plan : Plan
    batch_size : int
    """

    def __init__(self, plan, batch_size):
        # Three products with every weight, which have to be read and updated however few the rows are; and for every
        # output what activation, loss, noise and normalisation may take.
        outputs = float(plan.ops[:, OP_OUT].sum())
        flops = 6.0 * (batch_size + 16) * plan.n_params + 64.0 * batch_size * outputs
        self.batches = max(1, int(SLICE_SECONDS / (SLOW_BATCH_SECONDS + flops / SLOW_FLOPS)))

    def record(self, batches, seconds):
        """Take in that `batches` took `seconds`; less than one, where a batch is smaller than the others."""
        wish = SLICE_SECONDS * batches / max(seconds, 1e-6)
        # Any slice may include a hiccup, the first a compilation: grow by steps, and shrink at once.
        self.batches = max(1, min(int(wish), 16 * self.batches))


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


class Session:
    """The workspace and the pace of a running fit: those of the fit before, where nothing has changed since.

    Parameters
    ----------
    network : Network
    plan : Plan
    batch_size : int
    loss : str
        The loss's name, for messages.
    optimizer : optimizers.Optimizer
        Its learning rate counts at the beginning of every slice; a schedule's, at that of every block.
    """

    def __init__(self, network, plan, batch_size, loss, optimizer):
        self.network = network
        self.plan = plan
        self.batch_size = batch_size
        self.loss = loss
        self.optimizer = optimizer
        kept = network.take(plan, batch_size)
        self.workspace, self.pace = kept or (network.workspace(plan, batch_size), Pace(plan, batch_size))
        network.backend.expect(self.workspace, batch_size)  # the order of the rows is yet to be drawn
        self.torn = False
        self.log = []  # slices done since the host had the weights: (data, order, rates, step, plan)
        self.logged_bytes = 0  # of the blocks of data in the log but the last
        self.synced_at = time.perf_counter()
        self.sync_after = self._patience((network.params.nbytes + network.state.nbytes) / SYNC_BYTES)
        self.begin_epoch(0)

    def begin_epoch(self, epoch):
        """Count batches from here on as those of an epoch."""
        self.epoch, self.first_step = epoch, self.network.step

    def replan(self, plan):
        """Go on with another plan, which differs from the one before as `retune` of the backends allows."""
        if plan is not self.plan:
            self.network.backend.retune(self.workspace, plan)
            self.plan = plan

    def begin_block(self, data, batches, batch_size):
        """Take the data of the next batches, of up to `batch_size` rows."""
        if batch_size > self.batch_size:
            with self.network.lock:
                self.sync(with_state=True)
                # In this order: there is never less room than `batch_size` says.
                self.workspace = self.network.workspace(self.plan, batch_size)
                self.batch_size = batch_size
        if self.log and self.log[-1][0] is not data:
            self.logged_bytes += sum(part.nbytes for part in (data.x, data.y))
            if self.logged_bytes > HELD_BYTES:
                self.sync()
        self.data = data
        # As a whole, so that how NumPy computes the ends of an array cannot make slices differ.
        self.planned = self.optimizer.rates(self.network.step, batches)
        self.planned_for, self.block_step = self.optimizer.learning_rate, self.network.step

    def _rates(self, batches):
        step, rate = self.network.step, self.optimizer.learning_rate
        if rate is not self.planned_for:  # somebody has set another
            return self.optimizer.rates(step, batches)
        return self.planned[step - self.block_step :][:batches]

    def _train(self, data, order, rates, step, sums, outputs=None):
        train, seed, size = self.network.backend.train, self.network.random(), self.batch_size
        return train(self.workspace, data.x, data.y, data.weights, order, rates, size, seed, step, sums, outputs)

    def run(self, order, sums, outputs=None):
        """Train on a slice of the block and fill its sums (batches, 1 + metrics), and outputs (rows, O) if given.

        Raises
        ------
        FloatingPointError
            If a loss is not finite. The host then has the last finite weights.
        """
        network = self.network
        rates = self._rates(len(sums))
        with network.lock, deferred_interrupt():
            self.torn = True  # unless all of this happens
            done = self._train(self.data, order, rates, network.step, sums, outputs)
            if done:
                self.log.append((self.data, order[: done * self.batch_size], rates[:done], network.step, self.plan))
                network.step += done
            self.torn = False
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
        with self.network.lock:
            if not self.torn and not self.log:
                return
            with deferred_interrupt():
                if self.torn:
                    self._repair()
                if self.log:
                    self._pull(with_state)

    def _pull(self, with_state):
        network = self.network
        params, state, finite = self._fetch(with_state)
        if finite:
            network.replace(params, state)
            self._forget()
            return
        last, rate = network.step - 1, float(self.log[-1][2][-1])
        self._recover()
        raise self._error("the weights became NaN or infinite", last, rate)

    def sync_if_due(self):
        """Do `sync` if the host's weights are old."""
        start = time.perf_counter()
        if start - self.synced_at > self.sync_after:
            self.sync()
            now = time.perf_counter()
            self.synced_at, self.sync_after = now, self._patience(now - start)

    @staticmethod
    def _patience(seconds):
        return max(SYNC_SECONDS, seconds / SYNC_SHARE)

    def settle(self):
        """Leave the last finite weights on the host, whatever has happened; workspace and pace are for the next fit."""
        with self.network.lock:  # or another thread could set weights in between
            with contextlib.suppress(FloatingPointError):
                self.sync()
            if not self.torn and not self.log:
                self.network.keep((self.workspace, self.pace), self.plan, self.batch_size)

    def reload(self):
        """Take the weights from the host."""
        self._forget()
        self.torn = True  # unless the workspace gets them
        self.workspace = self.network.workspace(self.plan, self.batch_size)
        self.torn = False

    def _forget(self):
        self.log.clear()
        self.logged_bytes = 0

    def _fetch(self, with_state):
        network = self.network
        params, state = np.empty_like(network.params), np.empty_like(network.state)
        network.backend.to_host(self.workspace, params, state)
        finite = validation.all_finite(params) and (not with_state or validation.all_finite(state))
        return params, state, finite

    def _replay(self, data, order, rates, step, plan):
        self.torn = True  # until it is known again which batch the workspace is at
        self.replan(plan)
        self._train(data, order, rates, step, np.empty((len(rates), 1 + len(self.plan.metrics))))

    def _repair(self):
        """Bring back the end of the last complete slice after the backend stopped inside one."""
        log, self.log, plan = self.log, [], self.plan
        if log:
            self.network.step = log[0][3]  # should the replay fail too, the host's weights are those to keep
        self.reload()
        for data, order, rates, step, its_plan in log:
            self._replay(data, order, rates, step, its_plan)
            self.network.step = step + len(rates)
            self.log.append((data, order, rates, step, its_plan))
        self.replan(plan)
        self.torn = False

    def _recover(self):
        """Leave on the host the last finite weights since it had any, and the step that they belong to."""
        network, size = self.network, self.batch_size
        batches = [
            (data, order[k * size : (k + 1) * size], rates[k : k + 1], step + k, plan)
            for data, order, rates, step, plan in self.log
            for k in range(len(rates))
        ]
        network.step = batches[0][3]
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
