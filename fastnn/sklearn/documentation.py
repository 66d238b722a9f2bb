"""What the docstrings of the classifier and of the regressor share."""

_PARAMETERS = """
    hidden_layer_sizes : int or sequence of int, default (100,)
        Widths of the hidden layers.
    activation : str or list of str, default "relu"
        Of the hidden layers, one for all or one each: "identity", "logistic", "tanh", "relu", and what else
        `fastnn.layers.Activation` takes.
    solver : {{"adam", "sgd", "lbfgs"}}, default "adam"
    alpha : float, default 0.0001
        The penalty on the weights, not the biases, is ``alpha / 2 * sum(W**2)`` divided by the samples of the batch, or
        by the sum of their weights.
    batch_size : int or "auto", default "auto"
        "auto" is 200, or all samples if they are fewer. The solver "lbfgs" takes all at once.
    learning_rate : {{"constant", "invscaling", "adaptive"}}, default "constant"
        For "sgd". "invscaling" divides `learning_rate_init` by the `power_t`-th power of `t_` + 1; "adaptive" divides
        the rate by 5 whenever training would end for want of progress, until it is 1e-6.
    learning_rate_init : float, default 0.001
    power_t : float, default 0.5
    max_iter : int, default 200
        Epochs, or iterations of "lbfgs", at most.
    shuffle : bool, default True
        Whether every epoch of "adam" and "sgd" has an order of its own.
    random_state : int, RandomState or None, default None
        Of weights, split, orders and dropout. Weights, split and orders are the ones that scikit-learn draws.
    tol : float, default 1e-4
        Training ends when the loss, or with `early_stopping` the validation score, has not become better by `tol` for
        more than `n_iter_no_change` epochs. For "lbfgs", the largest element of a gradient that is taken for zero.
    verbose : bool or int, default False
        Whether to print the loss of every iteration.
    warm_start : bool, default False
        Whether `fit` goes on from the weights there are.
    momentum : float, default 0.9
    nesterovs_momentum : bool, default True
        These two are for "sgd".
    early_stopping : bool, default False
        Whether to hold `validation_fraction` of the samples out, or take `X_val` and `y_val`, and keep the weights that
        score best there. Not for "lbfgs".
    validation_fraction : float, default 0.1
    beta_1 : float, default 0.9
    beta_2 : float, default 0.999
    epsilon : float, default 1e-8
        These three are for "adam".
    n_iter_no_change : int or inf, default 10
    max_fun : int, default 15000
        Evaluations of the loss that "lbfgs" may make.
    dropout : float or list of float, default 0.0
        Share of every hidden layer's outputs to drop in training: one for all or one each. Not for "lbfgs".{extra}
    backend : {{"auto", "cython", "numba", "numpy"}}, default "auto"
        What computes.
    threads : int, optional
        By default ``FASTNN_NUM_THREADS`` or the CPUs that this process may use. Results do not depend on it.

    Attributes
    ----------{attributes}
    loss_ : float
        Of the last epoch.
    best_loss_ : float or None
        None with `early_stopping`.
    loss_curve_ : list of float, shape (n_iter_,)
        Not for "lbfgs", like the next three.
    validation_scores_ : list of float, shape (n_iter_,), or None
        {score}
    best_validation_score_ : float or None
    t_ : int
        Samples seen in training.
    coefs_ : list of ndarray, shape (n_layers_ - 1,)
        Weights (n_in, n_out) of every layer. They and `intercepts_` may be set.
    intercepts_ : list of ndarray, shape (n_layers_ - 1,)
    n_features_in_ : int
    feature_names_in_ : ndarray, shape (n_features_in_,)
        If X has names of features.
    n_iter_ : int
    n_layers_ : int
    n_outputs_ : int
    out_activation_ : str

    Notes
    -----
    float64 inputs are computed in float64, all others in float32. Sparse inputs are made dense a few rows at a time.
    With `sample_weight` and several batches an epoch, `alpha` is divided by the average sum of a batch's weights.
"""


def document(cls, **texts):
    """Put the parameters and attributes into the docstring of an estimator, where it says ``{parameters}``."""
    head, _, tail = cls.__doc__.partition("    {parameters}\n")
    cls.__doc__ = head + _PARAMETERS.lstrip("\n").format(**texts) + tail
    return cls
