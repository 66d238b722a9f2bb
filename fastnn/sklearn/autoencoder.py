"""AutoencoderTransformer: an autoencoder as a transformer and as a detector of outliers."""

from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, OutlierMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from ..autoencoder import Autoencoder
from ..kernels.registry import MODULES
from ..optimizers import Adam
from .base import fit_context, store
from .model import activation_name, dtypes_for, per_hidden, widths


class AutoencoderTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, OutlierMixin, BaseEstimator):
    """An autoencoder: `transform` encodes, `inverse_transform` decodes, and what it reproduces badly is an outlier.

    Parameters
    ----------
    hidden_layer_sizes : int or sequence of int, default (32, 2)
        Widths of the encoder's layers; the last is the code's. The decoder mirrors them.
    activation : str or list of str, default "relu"
        Of the encoder's layers before the code, one for all or one each, and mirrored in the decoder: "identity",
        "logistic", "tanh", "relu", and what else `fastnn.layers.Activation` takes.
    code_activation, output_activation : str, default "identity"
        "logistic" is for outputs in [0, 1].
    learning_rate_init : float, default 0.001
        Of Adam.
    batch_size : int or "auto", default "auto"
        "auto" is 200, or all samples if they are fewer.
    max_iter : int, default 100
        Number of epochs.
    shuffle : bool, default True
    random_state : int, RandomState or None, default None
    contamination : float, default 0.1
        Share of the training samples that `predict` calls outliers, in (0, 0.5].
    verbose : bool, default False
        Whether to print the loss of every epoch.
    backend : {"auto", "cython", "numba", "numpy"}, default "auto"
    threads : int, optional

    Attributes
    ----------
    model_ : fastnn.Autoencoder
    loss_curve_ : list of float, shape (n_iter_,)
        Mean squared errors of the epochs.
    loss_ : float
    offset_ : float
        Score below which a sample is an outlier.
    n_iter_ : int
    n_features_in_ : int
    feature_names_in_ : ndarray, shape (n_features_in_,)
        If X has names of features.

    Notes
    -----
    float64 inputs are computed in float64, all others in float32.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from fastnn.sklearn import AutoencoderTransformer
    >>> X = load_digits().data / 16
    >>> AutoencoderTransformer((32, 8), max_iter=5, random_state=0).fit_transform(X).shape
    (1797, 8)
    """

    _parameter_constraints = {  # noqa: RUF012
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": [str, "array-like"],
        "code_activation": [str],
        "output_activation": [str],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "shuffle": ["boolean"],
        "random_state": ["random_state"],
        "contamination": [Interval(Real, 0, 0.5, closed="right")],
        "verbose": ["verbose"],
        "backend": [StrOptions({"auto", *MODULES})],
        "threads": [None, Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        hidden_layer_sizes=(32, 2),
        activation="relu",
        *,
        code_activation="identity",
        output_activation="identity",
        learning_rate_init=0.001,
        batch_size="auto",
        max_iter=100,
        shuffle=True,
        random_state=None,
        contamination=0.1,
        verbose=False,
        backend="auto",
        threads=None,
    ):
        store(self, locals())

    # ------------------------------------------------------------------------------------------ fitting

    @fit_context
    def fit(self, X, y=None, *, callbacks=None):
        """Train.

        Parameters
        ----------
        X : array-like, shape (n, features)
        y : None
            Not used; there for pipelines.
        callbacks : list of fastnn.callbacks.Callback, optional

        Returns
        -------
        AutoencoderTransformer
            Itself.
        """
        hidden = widths(self.hidden_layer_sizes)
        if not hidden:
            raise ValueError("hidden_layer_sizes is empty; its last number is the code's width")
        X = np.ascontiguousarray(validate_data(self, X, dtype=dtypes_for(X)))
        encoder = [*per_hidden("activation", self.activation, len(hidden) - 1), self.code_activation]
        model = Autoencoder(
            [X.shape[1], *hidden],
            [activation_name(act) for act in encoder],
            activation_name(self.output_activation),
            Adam(float(self.learning_rate_init), epsilon=1e-8),
            seed=int(check_random_state(self.random_state).randint(2**31 - 1)),
            backend=self.backend,
            threads=self.threads,
            dtype=X.dtype.name,
        )
        history = model.fit(
            X,
            batch_size=200 if self.batch_size == "auto" else int(self.batch_size),
            epochs=int(self.max_iter),
            shuffle=bool(self.shuffle),
            verbose=2 if self.verbose else 0,
            callbacks=callbacks,
        )
        self.model_ = model
        self.loss_curve_ = list(history.history.get("loss", ()))  # of no epoch where TerminateOnNaN ended the first
        self.loss_, self.n_iter_ = [float("nan"), *self.loss_curve_][-1], len(self.loss_curve_)
        self._n_features_out = hidden[-1]
        self.offset_ = float(np.percentile(self._scores(X), 100.0 * self.contamination))
        return self

    # ------------------------------------------------------------------------------------------ using

    def _check(self, X):
        check_is_fitted(self)
        return np.ascontiguousarray(validate_data(self, X, dtype=dtypes_for(X), reset=False), dtype=self.model_.dtype)

    def _scores(self, X):
        return -self.model_.reconstruction_error(X).astype(np.float64)

    def transform(self, X):
        """Encode: return the codes (n, code) of X (n, features)."""
        X = self._check(X)
        return self.model_.encode(X)

    def inverse_transform(self, X):
        """Decode: return the samples (n, features) that codes (n, code) stand for."""
        check_is_fitted(self)
        return self.model_.decode(check_array(X, dtype=self.model_.dtype, input_name="X"))

    def score_samples(self, X):
        """Return the negative mean squared error of the reproduction of every sample (n,)."""
        return self._scores(self._check(X))

    def score(self, X, y=None):
        """Return the mean of `score_samples`: the greater, the better."""
        return float(self.score_samples(X).mean())

    def decision_function(self, X):
        """Return `score_samples` minus `offset_` (n,): negative for outliers."""
        return self.score_samples(X) - self.offset_

    def predict(self, X):
        """Return -1 for outliers and 1 for the others (n,)."""
        return np.where(self.decision_function(X) < 0, -1, 1)
