"""The loop over epochs: slices, progress, validation, and what happens when a fit stops early."""

import contextlib
import math
import time

import numpy as np

from .session import Session, deferred_interrupt


class Epoch:
    """Runs one epoch and sums what its batches lost."""

    def __init__(self, session, callbacks, results, batch_size):
        self.batch_size = batch_size  # None: every block is a batch
        self.session, self.callbacks, self.results = session, callbacks, results
        self.width = 1 + len(results.rows)
        self.parts = []  # sums of the blocks (batches, width)
        self.before = np.zeros(self.width)  # the sum of all blocks but the last
        self.rows = self.batches = 0  # that are done
        self.targets, self.outputs = [], []  # of the blocks, where a metric needs them

    def run(self, blocks, model):
        """Train on all blocks, or until a callback of the batches stops the fit; return the logs."""
        for data, order in blocks:
            self._run_block(data, order, model)
            if self.callbacks.by_batch and model.stop_training:
                break
        # Summed as a whole, so that the slices, which depend on the clock, cannot change the last bits.
        sums = np.concatenate(self.parts).sum(axis=0)
        if not self.results.need_outputs:
            return self.results.logs(sums, self.rows)
        return self.results.logs(sums, self.rows, np.concatenate(self.targets), np.concatenate(self.outputs))

    def _run_block(self, data, order, model):
        session, size, by_batch = self.session, self.batch_size or len(order), self.callbacks.by_batch
        n_batches = math.ceil(len(order) / size)
        sums = np.zeros((n_batches, self.width))
        outputs = None
        if self.results.need_outputs:
            outputs = np.empty((len(order), session.plan.n_outputs), session.network.dtype)
        session.begin_block(data, n_batches, size)
        done, rows_before, so_far = 0, self.rows, self.before
        while done < n_batches:
            count = 1 if by_batch else min(session.pace.batches, n_batches - done)
            if by_batch:
                self.callbacks.on_train_batch_begin(self.batches)
            start = time.perf_counter()
            rows = slice(done * size, (done + count) * size)
            session.run(order[rows], sums[done : done + count], None if outputs is None else outputs[rows])
            session.pace.record(min(count, len(order) / size - done), time.perf_counter() - start)
            done += count
            session.sync_if_due()
            self.rows = rows_before + min(done * size, len(order))
            so_far = self.before + sums[:done].sum(axis=0)
            logs = self.results.logs(so_far, self.rows)
            self.callbacks.progress(self.rows, logs)
            if by_batch:
                self.callbacks.on_train_batch_end(self.batches, logs)
            self.batches += count
            if by_batch and model.stop_training:
                break
        self.parts.append(sums[:done])
        self.before = so_far
        if outputs is not None:
            seen = self.rows - rows_before
            self.targets.append(data.scaled_targets(session.plan.target_scale, order[:seen]))
            self.outputs.append(outputs[:seen])


def fit(model, network, plan, source, validate, results, loss, *, epochs, initial_epoch, callbacks):
    """Train.

    Parameters
    ----------
    model : Sequential
        For `stop_training` and the optimizer.
    network : Network
    plan : Plan
    source : sources.Arrays or sources.Chunks
    validate : Validation or None
    results : metrics.Results
    loss : str
        The loss's name, for messages.
    epochs, initial_epoch : int
    callbacks : callbacks.dispatch.CallbackList

    Raises
    ------
    FloatingPointError
        If the loss or the weights became NaN or infinite. The model keeps the last finite weights.
    """
    session = None
    try:
        with network.lock:
            if network.live is not None:
                raise RuntimeError("the model is in fit() already, in another thread")
            session = network.live = Session(network, plan, source.batch_size or 1, loss, model.optimizer)
            model.history = callbacks.history
        callbacks.on_train_begin()
        logs = {}
        for epoch in range(initial_epoch, epochs):
            if model.stop_training:
                break
            callbacks.on_epoch_begin(epoch)
            session.begin_epoch(epoch)
            try:
                with contextlib.closing(source.blocks(network.seed, network.epoch)) as blocks:
                    logs = Epoch(session, callbacks, results, source.batch_size).run(blocks, model)
                if epoch == epochs - 1:
                    session.sync()  # so that an epoch that ruined the weights does not count as completed
            except FloatingPointError as error:
                if not callbacks.terminate(error):
                    raise
                break
            if validate is not None:
                logs.update(validate.logs(epoch, callbacks))
            network.epoch += 1
            callbacks.on_epoch_end(epoch, logs)
        session.sync()
        callbacks.on_train_end(logs)
    finally:
        with deferred_interrupt():
            callbacks.close()
            if session is not None:
                try:
                    session.settle()
                finally:
                    network.live = None


class Validation:
    """The validation at the end of epochs.

    Parameters
    ----------
    compute : callable
        Returns the logs of the validation data.
    every : int or collection of int
        Number of epochs from one to the next, or the epochs that end with one, counted from 1.
    """

    def __init__(self, compute, every):
        self.compute, self.every = compute, every

    def logs(self, epoch, callbacks):
        """Return the logs of an epoch, {} if it has no validation."""
        if (epoch + 1) % self.every if isinstance(self.every, int) else epoch + 1 not in self.every:
            return {}
        callbacks.on_test_begin()
        logs = self.compute()
        callbacks.on_test_end(logs)
        return {f"val_{name}": value for name, value in logs.items()}
