"""What the classifier and the regressor share: parameters, checks, fitting."""

import warnings
from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator, _fit_context
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from ..kernels.activations import BY_NAME as ACTIVATIONS
from ..kernels.registry import MODULES
from . import model as model_module
from . import solvers

_SPARSE = ("csr", "csc")
_STOCHASTIC = ("adam", "sgd")

CONSTRAINTS = {
    "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
    "activation": [StrOptions({"identity", "logistic"} | set(ACTIVATIONS) - {"softmax"}), "array-like"],
    "solver": [StrOptions({"lbfgs", "sgd", "adam"})],
    "alpha": [Interval(Real, 0, None, closed="left")],
    "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
    "learning_rate": [StrOptions({"constant", "invscaling", "adaptive"})],
    "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
    "power_t": [Interval(Real, 0, None, closed="left")],
    "max_iter": [Interval(Integral, 1, None, closed="left")],
    "shuffle": ["boolean"],
    "random_state": ["random_state"],
    "tol": [Interval(Real, 0, None, closed="left")],
    "verbose": ["verbose"],
    "warm_start": ["boolean"],
    "momentum": [Interval(Real, 0, 1, closed="both")],
    "nesterovs_momentum": ["boolean"],
    "early_stopping": ["boolean"],
    "validation_fraction": [Interval(Real, 0, 1, closed="left")],
    "beta_1": [Interval(Real, 0, 1, closed="left")],
    "beta_2": [Interval(Real, 0, 1, closed="left")],
    "epsilon": [Interval(Real, 0, None, closed="neither")],
    "n_iter_no_change": [Interval(Integral, 1, None, closed="left"), Options(Real, {np.inf})],
    "max_fun": [Interval(Integral, 1, None, closed="left")],
    "dropout": [Interval(Real, 0, 1, closed="left"), "array-like"],
    "backend": [StrOptions({"auto", *MODULES})],
    "threads": [None, Interval(Integral, 1, None, closed="left")],
}

# Checks the parameters before `fit`, unless scikit-learn is configured not to.
fit_context = _fit_context(prefer_skip_nested_validation=True)


def store(estimator, arguments):
    """Keep the arguments of a constructor, its ``locals()``, as attributes."""
    for name, value in arguments.items():
        if name != "self":
            setattr(estimator, name, value)


class BaseMLP(BaseEstimator):
    """Base class of `MLPClassifier` and `MLPRegressor`.

    `coefs_` and `intercepts_` are the weights; the network below takes them over whenever they have been set.
    """

    # ------------------------------------------------------------------------------------------ fitting

    def _fit(self, X, y, sample_weight=None, X_val=None, y_val=None, callbacks=None, incremental=False):
        callbacks = solvers.check_callbacks(callbacks)
        self._check_combination(X_val, y_val, callbacks, incremental)
        hidden = model_module.widths(self.hidden_layer_sizes)
        first = not hasattr(self, "coefs_") or not (self.warm_start or incremental)
        options = {"accept_sparse": _SPARSE, "multi_output": True, **self._y_options}
        X, y = validate_data(self, X, y, dtype=model_module.dtypes_for(X), reset=first, **options)
        y = self._encode(y, incremental)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X)
        validation = None
        if X_val is not None:
            X_val, y_val = validate_data(self, X_val, y_val, dtype=model_module.DTYPES, reset=False, **options)
            validation = X_val.tocsr() if hasattr(X_val, "tocsr") else X_val, y_val, None
        self.n_outputs_ = y.shape[1]
        sizes = [X.shape[1], *hidden, self.n_outputs_]
        self._random_state = check_random_state(self.random_state)
        if first:
            self._initialize(sizes, X.dtype)
        if self.solver in _STOCHASTIC and (first or not hasattr(self, "loss_curve_")):
            self._begin_curves()
        self.n_iter_ = 0
        if self.solver == "lbfgs":
            model = self._make_model(sizes, "sgd")
        else:
            going_on = incremental and hasattr(self, "_optimizer")
            model = self._next_model(sizes) if going_on else self._make_model(sizes, solvers.optimizer(self))
            self._optimizer = model.optimizer
        with model._network.lock:
            if self.solver == "lbfgs":
                solvers.lbfgs(self, model, self._rows(model, X, y, sample_weight, len(y)))
            else:
                self._fit_stochastic(model, X, y, sample_weight, validation, callbacks, incremental)
            self._model = model
            self.coefs_, self.intercepts_ = model_module.weights(model)
        return self

    def _check_combination(self, X_val, y_val, callbacks, incremental):
        if (X_val is None) != (y_val is None):
            raise ValueError("X_val and y_val go together, but only one of them is given")
        if self.early_stopping and incremental:
            raise ValueError("partial_fit does not support early_stopping=True")
        if self.solver == "lbfgs":
            if np.any(np.asarray(self.dropout)):
                raise ValueError(f"dropout={self.dropout!r} does not go with solver='lbfgs', which needs one loss")
            if X_val is not None or callbacks:
                raise ValueError("X_val, y_val and callbacks are for the solvers 'adam' and 'sgd'")

    def _initialize(self, sizes, dtype):
        """Draw the weights, and begin to count."""
        self.t_ = 0
        self.n_layers_ = len(sizes)
        self.out_activation_ = out = self._output_activation()
        self.coefs_, self.intercepts_ = [], []
        activations = model_module.per_hidden("activation", self.activation, len(sizes) - 2)
        last = self.activation if isinstance(self.activation, str) else [out, *activations][-1]
        # Glorot and Bengio 2010, from the stream of random numbers that scikit-learn's estimators draw from.
        for act, n_in, n_out in zip([*activations, last], sizes[:-1], sizes[1:], strict=True):
            bound = np.sqrt((2.0 if model_module.activation_name(act) == "sigmoid" else 6.0) / (n_in + n_out))
            for values, shape in ((self.coefs_, (n_in, n_out)), (self.intercepts_, n_out)):
                values.append(self._random_state.uniform(-bound, bound, shape).astype(dtype, copy=False))

    def _begin_curves(self):
        self.loss_curve_, self._no_improvement_count = [], 0
        self.best_loss_ = None if self.early_stopping else np.inf
        self.validation_scores_, self.best_validation_score_ = ([], -np.inf) if self.early_stopping else (None, None)

    def _make_model(self, sizes, optimizer):
        """Make the network of the parameters, with the weights of the estimator."""
        dropping = np.any(np.asarray(self.dropout))
        model = model_module.build(
            sizes,
            self.activation,
            self.dropout,
            model_module.activation_name(self.out_activation_),
            seed=int(self._random_state.randint(2**31 - 1)) if dropping else 0,
            backend=self.backend,
            threads=self.threads,
            dtype=self.coefs_[0].dtype.name,
        )
        loss, _ = model_module.loss_of(self.loss, self.out_activation_, self.n_outputs_)
        model.compile(optimizer, loss)
        model_module.load(model, self.coefs_, self.intercepts_)
        self._recipe = self._describe(sizes)
        return model

    def _describe(self, sizes):
        return repr([sizes, self.activation, self.dropout, self.loss, self.backend, self.threads])

    def _next_model(self, sizes):
        """Return the network to go on with, whose optimizer is that of the last fit, with its state."""
        old = self._model
        trained = old.optimizer is self._optimizer  # not by L-BFGS
        if trained and self._recipe == self._describe(sizes):
            return self._current_model()
        model = self._make_model(sizes, self._optimizer)
        if trained:
            model._network.replace(model.params, old._network.state)
            model._network.step = old._network.step
        return model

    def _current_model(self):
        """Return the network, with the weights of the estimator."""
        if not hasattr(self, "_model"):
            sizes = [len(self.coefs_[0]), *(coef.shape[1] for coef in self.coefs_)]
            return self._make_model(sizes, "sgd")
        with self._model._network.lock:  # which a partial_fit in another thread holds until `coefs_` are its own
            model_module.load(self._model, self.coefs_, self.intercepts_)
        return self._model

    def _rows(self, model, X, y, sample_weight, batch_size):
        loss, factor = model_module.loss_of(self.loss, self.out_activation_, self.n_outputs_)
        missing, sample_weight = model_module.missing_of(self.loss, y), self._weigh(y, sample_weight)
        y = model_module.targets(y, loss, model.dtype)
        return model_module.Rows(X, y, sample_weight, factor, float(self.alpha), batch_size, model.dtype, missing)

    def _fit_stochastic(self, model, X, y, sample_weight, validation, callbacks, incremental):
        if self.early_stopping and validation is None:
            X, y, sample_weight, validation = self._split(X, y, sample_weight)
        if validation is not None and self.validation_scores_ is None:
            self.validation_scores_, self.best_validation_score_ = [], -np.inf
        if not self.early_stopping and self.best_loss_ is None:
            self.best_loss_ = np.inf
        n = len(y)
        batch_size = min(200, n) if self.batch_size == "auto" else int(self.batch_size)
        if batch_size > n:
            warnings.warn(
                f"Got `batch_size` larger than sample size: {batch_size}, with {n} samples. All are one batch.",
                stacklevel=4,
            )
        rows = self._rows(model, X, y, sample_weight, min(batch_size, n))
        running = solvers.Stochastic(self, model, rows, validation, callbacks)
        running.run(int(self.max_iter), incremental)

    def _split(self, X, y, sample_weight):
        """Hold rows out for validation."""
        parts = [X, y] if sample_weight is None else [X, y, sample_weight]
        split = train_test_split(
            *parts, random_state=self._random_state, test_size=self.validation_fraction, stratify=self._stratify(y)
        )
        X, X_val, y, y_val = split[:4]
        weight, weight_val = split[4:] or (None, None)
        if X_val.shape[0] < 2:
            raise ValueError(
                f"The validation set is too small: validation_fraction={self.validation_fraction} of the samples is "
                f"{X_val.shape[0]}, and a score needs 2."
            )
        X_val = X_val.tocsr() if hasattr(X_val, "tocsr") else X_val
        return X, y, weight, (X_val, self._decode(y_val), weight_val)

    def _loss_grad_lbfgs(self, packed, X, y, sample_weight=None, *scratch):
        """Return the loss and its gradient for all kernels and then all biases in one vector.

        X and y are checked and encoded. Scratch, for which scikit-learn has places, is not needed.
        """
        model = self._current_model()
        n_layers, spans = len(self.coefs_), np.cumsum([0] + [part.size for part in [*self.coefs_, *self.intercepts_]])
        order = [i for layer in range(n_layers) for i in (layer, n_layers + layer)]
        places = np.concatenate([np.arange(spans[i], spans[i + 1]) for i in order])
        loss, gradient = solvers.FullBatch(model, self._rows(model, X, y, sample_weight, len(y)))(packed[places])
        result = np.empty_like(gradient)
        result[places] = gradient
        return loss, result

    # ------------------------------------------------------------------------------------------ predicting

    def _outputs(self, X):
        if not self._is_plain(X):
            check_is_fitted(self)
            X = validate_data(self, X, accept_sparse=_SPARSE, dtype=model_module.dtypes_for(X), reset=False)
        return model_module.outputs(self._current_model(), X.tocsr() if hasattr(X, "tocsr") else X)

    def _is_plain(self, X):
        """Whether X is what `validate_data` would return as it is; that takes longer than to predict for a few rows."""
        if type(X) is not np.ndarray or X.dtype not in model_module.DTYPES or X.ndim != 2 or len(X) == 0:
            return False
        if not hasattr(self, "coefs_") or hasattr(self, "feature_names_in_") or X.shape[1] != self.n_features_in_:
            return False
        with np.errstate(over="ignore", invalid="ignore"):
            return bool(np.isfinite(X.sum()))

    def _score_outputs(self, outputs, y, sample_weight):
        """Score outputs; NaN if they are not finite."""
        if not np.isfinite(outputs).all():
            return float("nan")
        return float(self._score(y, self._decode_outputs(outputs), sample_weight))

    def _check_solver(self):
        if self.solver not in _STOCHASTIC:
            raise AttributeError(
                "partial_fit is only available for stochastic optimizers, 'adam' and 'sgd'; "
                f"{self.solver} is not stochastic."
            )
        return True

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
