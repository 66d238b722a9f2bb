"""Training with L-BFGS: SciPy's minimizer on the loss and the gradient of all rows at once."""

import contextlib

import numpy as np

from .callbacks import BackupAndRestore
from .callbacks.dispatch import waits_for_batches
from .layers import Activation, Dense, Flatten, Input, LayerNormalization
from .scaling import InputScaling
from .session import deferred_interrupt

# Rows that a gradient is computed of at a time: what the scratch of the kernels is for.
_ROWS = 4096


def check(model, batch_size, iterator, hooks):
    """Raise unless a fit with L-BFGS can do what it was asked for."""
    try:
        import scipy.optimize  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f'the optimizer "lbfgs" needs SciPy, which cannot be imported ({error}); pip install -e ".[lbfgs]" in the '
            "clone gets it"
        ) from error
    if batch_size is not None:
        raise ValueError(f"L-BFGS takes all rows at once: batch_size={batch_size} has no meaning for it")
    if iterator:
        raise ValueError(
            "L-BFGS goes through the data again and again: pass arrays or a sequence of chunks, no iterator"
        )
    for layer in model.layers:
        if layer.weight_decay:
            raise ValueError(f"L-BFGS has no weight decay: {layer!r} cannot be trained with it")
        if not isinstance(layer, (Input, Dense, Activation, Flatten, LayerNormalization, InputScaling)):
            raise ValueError(f"L-BFGS needs a loss that is always the same, so {layer!r} cannot be trained with it")
        if getattr(layer, "kernel_constraint", None) is not None:
            raise ValueError(f"L-BFGS has no constraints: {layer!r} cannot be trained with it")
    for callback in hooks:
        if waits_for_batches(callback):
            raise ValueError(f"L-BFGS has no batches, but {type(callback).__name__} waits for them")
        if isinstance(callback, BackupAndRestore):
            raise ValueError("BackupAndRestore does not go with L-BFGS, whose state is in SciPy; use ModelCheckpoint")


class _Moved(Exception):
    """A callback has set the weights before an iteration."""


class _Fit:
    """A running fit: what SciPy calls.

    The host's weights are those of the last iteration, whatever the line search tries.
    """

    def __init__(self, model, network, plan, source, validate, results, callbacks):
        self.model, self.network, self.plan, self.source = model, network, plan, source
        self.validate, self.results, self.callbacks = validate, results, callbacks
        self.begun = self.moved = False
        self.logs = {}
        self.tried = None  # the parameters that were tried last, and the sums and rows there

    # What `Network` asks of a running fit.

    def sync(self):
        """Nothing to do: the host has the weights."""

    def reload(self):
        """The weights were set: begin again from there."""
        self.moved = True

    def objective(self, x):
        """Return the loss (float) and its gradient (P,), float64, at the parameters x (P,)."""
        self._begin()
        if self.moved:
            raise _Moved
        network, rows_done = self.network, 0
        params = x.astype(network.dtype)
        gradient, part = np.zeros(len(x)), np.empty(len(x), network.dtype)
        sums = np.zeros(1 + len(self.plan.metrics))
        with network.lock, deferred_interrupt():
            backend = network.backend
            space = backend.to_backend(self.plan, params, network.state, _ROWS, network.thread_count())
            for data in self._parts():
                sums += backend.loss_grad(space, data.x, data.y, data.weights, network.seed, network.step, part)
                gradient += part.astype(np.float64) * len(data)
                rows_done += len(data)
        loss = float(sums[0] / rows_done)
        if not np.isfinite(loss) or not np.isfinite(gradient).all():
            raise FloatingPointError(
                f"the loss became {loss!r} in epoch {self.epoch + 1}, with L-BFGS. Try inputs and targets scaled to "
                "about [-1, 1]. The model keeps the weights of the last completed epoch."
            )
        self.tried = (params, sums, rows_done)
        return loss, gradient / rows_done

    def _parts(self):
        for data in self.source.in_order():
            for start in range(0, len(data), _ROWS):
                yield data.rows(start, min(start + _ROWS, len(data)))

    def _begin(self):
        if not self.begun:
            self.begun = True
            self.callbacks.on_epoch_begin(self.epoch)

    def iterated(self, intermediate_result):
        """Take an iteration of the minimizer for an epoch."""
        network, model = self.network, self.model
        params = intermediate_result.x.astype(network.dtype)
        if not np.array_equal(params, self.tried[0]):
            self.objective(intermediate_result.x)
        with network.lock, deferred_interrupt():
            network.replace(params, network.state)
            network.step += 1
        sums, rows = self.tried[1:]
        self.logs = self.results.logs(sums, rows, *self._outputs())
        self.callbacks.progress(rows, self.logs)
        if self.validate is not None:
            self.logs.update(self.validate.logs(self.epoch, self.callbacks))
        network.epoch += 1
        epoch, self.epoch, self.begun = self.epoch, self.epoch + 1, False
        self.callbacks.on_epoch_end(epoch, self.logs)
        if model.stop_training or self.moved:
            raise StopIteration

    def _outputs(self):
        if not self.results.need_outputs:
            return ()
        targets, outputs = [], []
        for data in self._parts():
            outputs.append(np.empty((len(data), self.plan.n_outputs), self.network.dtype))
            self.network.forward(self.plan, data.x, 0, len(self.plan.ops) - 1, outputs[-1])
            targets.append(data.scaled_targets(self.plan.target_scale))
        return np.concatenate(targets), np.concatenate(outputs)

    def run(self, epochs, initial_epoch):
        """Minimize until an end is found, or for so many iterations."""
        from scipy.optimize import minimize

        self.epoch = initial_epoch
        optimizer = self.model.optimizer
        while self.epoch < epochs and not self.model.stop_training:
            options = {
                "maxiter": epochs - self.epoch,
                "maxfun": np.iinfo(np.int32).max,
                "maxcor": optimizer.history_size,
                "maxls": optimizer.max_line_search,
                "gtol": optimizer.tolerance,
                "ftol": 0.0,
            }
            self.moved = False
            start = self.network.params.astype(np.float64)
            with contextlib.suppress(_Moved):
                minimize(self.objective, start, jac=True, method="L-BFGS-B", callback=self.iterated, options=options)
            if not self.moved:
                break


def fit(model, network, plan, source, validate, results, loss, *, epochs, initial_epoch, callbacks):
    """Train as `training.fit` does, an iteration an epoch."""
    running = _Fit(model, network, plan, source, validate, results, callbacks)
    try:
        with network.lock:
            if network.live is not None:
                raise RuntimeError("the model is in fit() already, in another thread")
            network.live = running
            model.history = callbacks.history
        callbacks.on_train_begin()
        try:
            running.run(epochs, initial_epoch)
        except FloatingPointError as error:
            if not callbacks.terminate(error):
                raise
        callbacks.on_train_end(running.logs)
    finally:
        with deferred_interrupt():
            callbacks.close()
            if network.live is running:
                network.live = None
