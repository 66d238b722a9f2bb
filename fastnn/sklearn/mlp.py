"""MLPClassifier and MLPRegressor."""

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.metrics import accuracy_score, r2_score
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils import column_or_1d, compute_class_weight, compute_sample_weight
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import _check_partial_fit_first_call, type_of_target, unique_labels

from .base import CONSTRAINTS, BaseMLP, fit_context, store
from .documentation import document


class MLPClassifier(ClassifierMixin, BaseMLP):
    """A classifier: a multi-layer perceptron with the interface of scikit-learn's.

    The output is a softmax for several classes, and a logistic function for two classes and for several labels a
    sample.

    Parameters
    ----------
    {parameters}
    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from fastnn.sklearn import MLPClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> bool(MLPClassifier(max_iter=300, tol=1e-3, random_state=0).fit(X, y).score(X, y) > 0.9)
    True
    """

    _parameter_constraints = {  # noqa: RUF012
        **CONSTRAINTS,
        "loss": [StrOptions({"log_loss", "squared_error"})],
        "class_weight": [StrOptions({"balanced"}), dict, list, None],
    }
    _y_options = {}  # noqa: RUF012

    def __init__(
        self,
        hidden_layer_sizes=(100,),
        activation="relu",
        *,
        solver="adam",
        alpha=0.0001,
        batch_size="auto",
        learning_rate="constant",
        learning_rate_init=0.001,
        power_t=0.5,
        max_iter=200,
        shuffle=True,
        random_state=None,
        tol=1e-4,
        verbose=False,
        warm_start=False,
        momentum=0.9,
        nesterovs_momentum=True,
        early_stopping=False,
        validation_fraction=0.1,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-8,
        n_iter_no_change=10,
        max_fun=15000,
        loss="log_loss",
        dropout=0.0,
        class_weight=None,
        backend="auto",
        threads=None,
    ):
        store(self, locals())

    # ------------------------------------------------------------------------------------------ fitting

    @fit_context
    def fit(self, X, y, sample_weight=None, *, X_val=None, y_val=None, callbacks=None):
        """Train.

        Parameters
        ----------
        X : {array-like, sparse matrix}, shape (n, features)
        y : array-like, shape (n,), or (n, labels) of zeros and ones
        sample_weight : array-like, shape (n,), optional
        X_val, y_val : array-like, optional
            Data to score after every epoch, and what `early_stopping` then looks at.
        callbacks : list of fastnn.callbacks.Callback, optional
            Their logs have "loss" and, with data to validate, "val_score".

        Returns
        -------
        MLPClassifier
            Itself.
        """
        return self._fit(X, y, sample_weight, X_val, y_val, callbacks)

    @available_if(lambda self: self._check_solver())
    @fit_context
    def partial_fit(self, X, y, sample_weight=None, classes=None):
        """Train for one epoch, with the optimizer's state of the last call.

        Parameters
        ----------
        X, y, sample_weight
            As for `fit`.
        classes : array-like, shape (n_classes,), optional
            All there will ever be in y; the first call needs them.

        Returns
        -------
        MLPClassifier
            Itself.
        """
        if self.class_weight == "balanced":
            raise ValueError(
                "class_weight='balanced' does not go with partial_fit, which does not see all samples; give the "
                "weights as a dict"
            )
        if _check_partial_fit_first_call(self, classes):
            self._label_binarizer = LabelBinarizer().fit(y if type_of_target(y).startswith("multilabel") else classes)
        return self._fit(X, y, sample_weight, incremental=True)

    def _encode(self, y, incremental):
        """Return targets as bool, shape (n, outputs)."""
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if not hasattr(self, "classes_") or not (self.warm_start or incremental):
            self._label_binarizer = LabelBinarizer().fit(y)
            self.classes_ = self._label_binarizer.classes_
            kind = self._label_binarizer.y_type_
            # What its `transform` gives, which looks through y three times more.
            if kind == "multiclass":
                return y[:, None] == self.classes_
            if kind == "binary" and len(self.classes_) == 2:
                return y[:, None] == self.classes_[1:]
        else:
            classes = unique_labels(y)
            if self.warm_start and set(classes) != set(self.classes_):
                raise ValueError(
                    "warm_start can only be used where `y` has the same classes as in the previous call to fit. "
                    f"Previously got {self.classes_}, `y` has {classes}"
                )
            if len(np.setdiff1d(classes, self.classes_)):
                raise ValueError(
                    f"`y` has classes not in `self.classes_`, which are {self.classes_}; `y` has {classes}"
                )
        return self._label_binarizer.transform(y).astype(bool)

    def _weigh(self, y, sample_weight):
        if self.class_weight is None:
            return sample_weight
        labels = self._decode(y)
        if labels.ndim == 2:
            by_class = compute_sample_weight(self.class_weight, labels)
        else:
            index = np.searchsorted(self.classes_, labels)
            if self.class_weight == "balanced":
                # A sample of weight 2 counts as two of them.
                counts = np.bincount(index, sample_weight, len(self.classes_))
                weights = counts.sum() / (np.count_nonzero(counts) * np.where(counts > 0, counts, 1.0))
            else:  # by all classes, for these rows need not have every one
                weights = compute_class_weight(self.class_weight, classes=self.classes_, y=self.classes_)
            by_class = weights[index]
        return by_class if sample_weight is None else by_class * sample_weight

    def _output_activation(self):
        return "softmax" if self._label_binarizer.y_type_ == "multiclass" else "logistic"

    def _stratify(self, y):
        return y if self.n_outputs_ == 1 else None

    def _decode(self, y):
        return self._label_binarizer.inverse_transform(y)

    def _decode_outputs(self, outputs):
        kind = self._label_binarizer.y_type_
        if kind == "multiclass":
            return self.classes_[outputs.argmax(axis=1)]
        if kind == "binary" and len(self.classes_) == 2:
            return self.classes_[(outputs.ravel() > 0.5).astype(np.intp)]
        return self._label_binarizer.inverse_transform(outputs.ravel() if self.n_outputs_ == 1 else outputs)

    def _score(self, y, predicted, sample_weight):
        return accuracy_score(y, predicted, sample_weight=sample_weight)

    # ------------------------------------------------------------------------------------------ predicting

    def predict(self, X):
        """Predict classes.

        Parameters
        ----------
        X : {array-like, sparse matrix}, shape (n, features)

        Returns
        -------
        ndarray, shape (n,), or (n, labels)
        """
        return self._decode_outputs(self._outputs(X))

    def predict_proba(self, X):
        """Predict probabilities.

        Parameters
        ----------
        X : {array-like, sparse matrix}, shape (n, features)

        Returns
        -------
        ndarray, shape (n, classes)
            In the order of `classes_`.
        """
        outputs = self._outputs(X)
        return np.hstack([1 - outputs, outputs]) if self.n_outputs_ == 1 else outputs

    def predict_log_proba(self, X):
        """Return the logarithm of `predict_proba`."""
        probabilities = self.predict_proba(X)
        return np.log(probabilities, out=probabilities)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


class MLPRegressor(RegressorMixin, BaseMLP):
    """A regressor: a multi-layer perceptron with the interface of scikit-learn's.

    Parameters
    ----------
    loss : {"squared_error", "poisson", "absolute_error", "huber", "log_cosh"}, default "squared_error"
        For a sample, the sum over the outputs; half of it for "squared_error". "poisson" is half the Poisson deviance,
        for targets that are not negative; the outputs are exponentials then.
    {parameters}
    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.preprocessing import scale
    >>> from fastnn.sklearn import MLPRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = MLPRegressor(max_iter=100, n_iter_no_change=5, random_state=0, solver="lbfgs", alpha=10, tol=0.1)
    >>> bool(model.fit(X, scale(y)).score(X, scale(y)) > 0.4)
    True
    """

    _parameter_constraints = {  # noqa: RUF012
        **CONSTRAINTS,
        "loss": [StrOptions({"squared_error", "poisson", "absolute_error", "huber", "log_cosh"})],
    }
    _y_options = {"y_numeric": True}  # noqa: RUF012

    def __init__(
        self,
        loss="squared_error",
        hidden_layer_sizes=(100,),
        activation="relu",
        *,
        solver="adam",
        alpha=0.0001,
        batch_size="auto",
        learning_rate="constant",
        learning_rate_init=0.001,
        power_t=0.5,
        max_iter=200,
        shuffle=True,
        random_state=None,
        tol=1e-4,
        verbose=False,
        warm_start=False,
        momentum=0.9,
        nesterovs_momentum=True,
        early_stopping=False,
        validation_fraction=0.1,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-8,
        n_iter_no_change=10,
        max_fun=15000,
        dropout=0.0,
        backend="auto",
        threads=None,
    ):
        store(self, locals())

    # ------------------------------------------------------------------------------------------ fitting

    @fit_context
    def fit(self, X, y, sample_weight=None, *, X_val=None, y_val=None, callbacks=None):
        """Train.

        Parameters
        ----------
        X : {array-like, sparse matrix}, shape (n, features)
        y : array-like, shape (n,) or (n, outputs)
        sample_weight : array-like, shape (n,), optional
        X_val, y_val : array-like, optional
            Data to score after every epoch, and what `early_stopping` then looks at.
        callbacks : list of fastnn.callbacks.Callback, optional
            Their logs have "loss" and, with data to validate, "val_score".

        Returns
        -------
        MLPRegressor
            Itself.
        """
        return self._fit(X, y, sample_weight, X_val, y_val, callbacks)

    @available_if(lambda self: self._check_solver())
    @fit_context
    def partial_fit(self, X, y, sample_weight=None):
        """Train for one epoch, with the optimizer's state of the last call.

        Parameters
        ----------
        X, y, sample_weight
            As for `fit`.

        Returns
        -------
        MLPRegressor
            Itself.
        """
        return self._fit(X, y, sample_weight, incremental=True)

    def _encode(self, y, incremental):
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if not isinstance(y, np.ndarray):
            raise TypeError(f"y of a regression must be dense, got a {type(y).__name__}; use y.toarray()")
        if self.loss == "poisson" and y.min() < 0:
            raise ValueError(f"y must not be negative for loss='poisson', but its smallest value is {float(y.min())!r}")
        return y.reshape(len(y), -1)

    def _weigh(self, y, sample_weight):
        return sample_weight

    def _output_activation(self):
        return "exp" if self.loss == "poisson" else "identity"

    def _stratify(self, y):
        return None

    def _decode(self, y):
        return y

    def _decode_outputs(self, outputs):
        return outputs.ravel() if self.n_outputs_ == 1 else outputs

    def _score(self, y, predicted, sample_weight):
        return r2_score(y, predicted, sample_weight=sample_weight)

    # ------------------------------------------------------------------------------------------ predicting

    def predict(self, X):
        """Predict.

        Parameters
        ----------
        X : {array-like, sparse matrix}, shape (n, features)

        Returns
        -------
        ndarray, shape (n,) or (n, outputs)
        """
        return self._decode_outputs(self._outputs(X))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


document(
    MLPClassifier,
    extra="""
    loss : {"log_loss", "squared_error"}, default "log_loss"
        "squared_error" is the Brier score: that of the probabilities.
    class_weight : dict, list of dict, "balanced" or None, default None
        Weights of the classes in training; "balanced", not for `partial_fit`, makes them weigh the
        same together.""",
    attributes="\n    classes_ : ndarray, shape (n_classes,)",
    score="Accuracies, with `early_stopping` or data to validate.",
)
document(
    MLPRegressor,
    extra="",
    attributes="",
    score="R2, with `early_stopping` or data to validate.",
)
