"""The solvers: scikit-learn's loop over epochs around the one of this package, and L-BFGS."""

import contextlib
import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from .. import metrics, optimizers, training
from ..callbacks import BackupAndRestore, dispatch
from ..session import Session, deferred_interrupt
from . import model as model_module

_NOT_FINITE = (
    "Solver produced non-finite parameter weights. The input data may contain large values and need to be preprocessed."
)
# Learning rate at which "adaptive" gives up, and what it divides by before.
_LOWEST_RATE, _DIVISOR = 1e-6, 5.0


def optimizer(estimator):
    """Make the optimizer that the parameters describe."""
    if estimator.solver == "adam":
        return optimizers.Adam(
            float(estimator.learning_rate_init),
            beta_1=float(estimator.beta_1),
            beta_2=float(estimator.beta_2),
            epsilon=float(estimator.epsilon),
        )
    momentum = float(estimator.momentum)
    return optimizers.SGD(float(estimator.learning_rate_init), momentum, bool(estimator.nesterovs_momentum))


def check_callbacks(callbacks):
    """Return the callbacks of a fit as a list, or raise."""
    callbacks = dispatch.check(callbacks)
    if any(isinstance(callback, BackupAndRestore) for callback in callbacks):
        raise ValueError("BackupAndRestore does not go with an estimator; use warm_start, or pickle the estimator")
    return callbacks


class Stochastic:
    """A running fit with batches.

    Parameters
    ----------
    estimator : MLPClassifier or MLPRegressor
        Its attributes are kept up to date.
    model : Sequential
        Compiled, with the weights to begin with.
    rows : model.Rows
    validation : tuple or None
        x, y and sample_weight to score after every epoch.
    callbacks : list of Callback
    """

    def __init__(self, estimator, model, rows, validation, callbacks):
        self.estimator, self.model, self.rows, self.validation = estimator, model, rows, validation
        self.plans = {l2: model_module.plan(model, l2) for l2 in {rows.l2, rows.l2_of_rest}}
        self.results = metrics.Results([], model._loss.kernel, self.plans[rows.l2].n_outputs)
        steps = -(-len(rows) // rows.batch_size)
        params = {"epochs": int(estimator.max_iter), "steps": steps, "samples": len(rows)}
        self.hooks = dispatch.CallbackList(callbacks, 0, model, params, {})
        # The parameters (P,) with the best validation score; a warm start without a better one keeps its last.
        self.best = model.params if estimator.early_stopping and not estimator.validation_scores_ else None

    def run(self, max_iter, incremental):
        """Train for up to so many epochs."""
        network, plan = self.model._network, self.plans[self.rows.l2]
        if network.state.shape != (plan.n_slots, plan.n_params):
            network.reset_state(plan.n_slots)
        self.session = Session(network, plan, self.rows.batch_size, self.model._loss.name, self.model._optimizer)
        self.order = np.arange(len(self.rows))
        self.model.stop_training = False
        network.live = self.session
        self.model.history = self.hooks.history
        try:
            self.hooks.on_train_begin()
            self._epochs(max_iter, incremental)
            self.session.sync()
            self.hooks.on_train_end({})
        except KeyboardInterrupt:
            warnings.warn("Training interrupted by user.", stacklevel=5)
        except FloatingPointError as error:
            self._diverged(error)
        finally:
            with deferred_interrupt():
                self.hooks.close()
                try:
                    self.session.settle()
                finally:
                    network.live = None
        if self.best is not None:
            network.write(self.best)

    def _diverged(self, error):
        """End in peace if there are better weights to go back to."""
        if not self.hooks.terminate(error) and not self.estimator.early_stopping:
            raise ValueError(f"{_NOT_FINITE} ({error})") from error
        self.estimator.loss_ = float("nan")
        self.estimator.loss_curve_.append(float("nan"))
        if self.validation is not None:
            self.estimator.validation_scores_.append(float("nan"))
        warnings.warn(f"Training ended early: {error}", ConvergenceWarning, stacklevel=6)

    def _epochs(self, max_iter, incremental):
        estimator = self.estimator
        for epoch in range(max_iter):
            self.hooks.on_epoch_begin(epoch)
            logs = self._epoch(epoch)
            estimator.n_iter_ += 1
            estimator.t_ += len(self.rows)
            estimator.loss_ = logs["loss"]
            estimator.loss_curve_.append(estimator.loss_)
            if estimator.verbose:
                print(f"Iteration {estimator.n_iter_}, loss = {estimator.loss_:.8f}")
            logs.update(self._judge())
            self.hooks.on_epoch_end(epoch, logs)
            if estimator.solver == "sgd" and estimator.learning_rate == "invscaling":
                rate = float(estimator.learning_rate_init) / (estimator.t_ + 1) ** estimator.power_t
                self.model.optimizer.learning_rate = rate
            if estimator._no_improvement_count > estimator.n_iter_no_change:
                if self._converged():
                    return
                estimator._no_improvement_count = 0
            if incremental or self.model.stop_training:
                return
        warnings.warn(
            f"Stochastic Optimizer: Maximum iterations ({max_iter}) reached, and training has not converged yet.",
            ConvergenceWarning,
            stacklevel=6,
        )

    def _epoch(self, epoch):
        if self.estimator.shuffle:
            # The numbers that sklearn.utils.shuffle draws.
            order = np.arange(len(self.rows))
            self.estimator._random_state.shuffle(order)
            self.order = self.order[order]
        self.session.begin_epoch(epoch)
        run = training.Epoch(self.session, self.hooks, self.results, self.rows.batch_size)
        with contextlib.closing(self._blocks()) as blocks:
            logs = run.run(blocks, self.model)
        logs["loss"] += self.rows.missing_loss(self.order)
        # scikit-learn reports a squared error as the mean over the outputs, though it descends the sum.
        if self.estimator.loss == "squared_error":
            logs["loss"] /= self.estimator.n_outputs_
        self.model._network.epoch += 1
        return logs

    def _blocks(self):
        for data, order, l2 in self.rows.blocks(self.order):
            self.session.replan(self.plans[l2])
            yield data, order

    def _judge(self):
        """Compare the epoch with those before; return the validation score as logs."""
        estimator, logs = self.estimator, {}
        if self.validation is not None:
            score = estimator._score_outputs(model_module.outputs(self.model, self.validation[0]), *self.validation[1:])
            estimator.validation_scores_.append(score)
            if estimator.verbose:
                print(f"Validation score: {score:.6f}")
            logs["val_score"] = score
        if estimator.early_stopping:
            worse = score < estimator.best_validation_score_ + estimator.tol
            if score > estimator.best_validation_score_:
                estimator.best_validation_score_ = score
                self.best = self.model._network.host()
        else:
            worse = estimator.loss_ > estimator.best_loss_ - estimator.tol
            estimator.best_loss_ = min(estimator.best_loss_, estimator.loss_)
            if logs:
                estimator.best_validation_score_ = max(estimator.best_validation_score_, score)
        estimator._no_improvement_count = estimator._no_improvement_count + 1 if worse else 0
        return logs

    def _converged(self):
        """Whether to stop, or go on with a lower rate."""
        estimator, optimizer = self.estimator, self.model.optimizer
        what = "Validation score" if estimator.early_stopping else "Training loss"
        epochs = f"{estimator.n_iter_no_change} consecutive epochs"
        message = f"{what} did not improve more than tol={estimator.tol:f} for {epochs}."
        adaptive = estimator.solver == "sgd" and estimator.learning_rate == "adaptive"
        stop = not adaptive or optimizer.learning_rate <= _LOWEST_RATE
        if not stop:
            optimizer.learning_rate = optimizer.learning_rate / _DIVISOR
        if estimator.verbose:
            end = "Learning rate too small. Stopping." if adaptive else "Stopping."
            print(message, end if stop else f"Setting learning rate to {optimizer.learning_rate:f}")
        return stop


class FullBatch:
    """The loss of all rows and its gradient, for L-BFGS.

    Parameters
    ----------
    model : Sequential
        Compiled.
    rows : model.Rows
        Of one batch.
    """

    ROWS = 4096

    def __init__(self, model, rows):
        self.network, self.rows = model._network, rows
        self.plan = model_module.plan(model, rows.l2)

    def __call__(self, params):
        """Return the loss (float) and its gradient (P,), float64, at the parameters (P,)."""
        network, rows = self.network, self.rows
        plan = self.plan
        state = np.empty((plan.n_slots, plan.n_params), network.dtype)
        host = np.ascontiguousarray(params, dtype=network.dtype)
        space = network.backend.to_backend(plan, host, state, self.ROWS, network.thread_count())
        loss, gradient, part = 0.0, np.zeros(len(params)), np.empty(len(params), network.dtype)
        for data, order, _ in rows.blocks(np.arange(len(rows))):
            for start in range(0, len(order), self.ROWS):
                some = data.rows(start, min(start + self.ROWS, len(order)))
                sums = network.backend.loss_grad(space, some.x, some.y, some.weights, 0, 0, part)
                loss += float(sums[0])
                gradient += part.astype(np.float64) * len(some)
        return loss / len(rows) + rows.missing_loss(np.arange(len(rows))), gradient / len(rows)


def lbfgs(estimator, model, rows):
    """Train with L-BFGS; the estimator's `loss_` and `n_iter_` say how it went."""
    from scipy.optimize import minimize

    objective = FullBatch(model, rows)

    def progress(intermediate_result):
        if estimator.verbose:
            print(f"loss = {intermediate_result.fun:.8f}")

    start = model.params.astype(np.float64)
    if not np.isfinite(objective(start)[1]).all():
        raise ValueError(_NOT_FINITE)
    options = {"maxfun": int(estimator.max_fun), "maxiter": int(estimator.max_iter), "gtol": float(estimator.tol)}
    found = minimize(objective, start, jac=True, method="L-BFGS-B", callback=progress, options=options)
    if not (np.isfinite(found.x).all() and np.isfinite(found.fun)):
        raise ValueError(_NOT_FINITE)
    if not found.success:
        warnings.warn(
            f"lbfgs failed to converge after {found.nit} iterations (status {found.status}: {found.message}). Raise "
            f"max_iter={estimator.max_iter} or max_fun={estimator.max_fun}, or scale the data.",
            ConvergenceWarning,
            stacklevel=5,
        )
    estimator.n_iter_ = min(int(found.nit), int(estimator.max_iter))
    estimator.loss_ = float(found.fun) / (estimator.n_outputs_ if estimator.loss == "squared_error" else 1)
    model._network.write(found.x.astype(model.dtype))
