"""From the parameters of an estimator to a `Sequential`, its plans and its data."""

import dataclasses
import math
from numbers import Integral

import numpy as np

from .. import losses, validation
from ..kernels.plan import DENSE, OP_CODE, RATE_KERNEL_L2
from ..layers import Dense, Dropout
from ..mlp import per_layer
from ..sequential import Sequential
from ..sources import Data

# scikit-learn's names of what has another name here.
_ACTIVATIONS = {"identity": "linear", "logistic": "sigmoid", "exp": "exponential"}


class _Poisson(losses.Poisson):
    parameter = 1e-30  # scikit-learn adds nothing to the outputs; this keeps those that underflow from a division by 0


# Loss of an estimator -> the loss here, and what its mean over the outputs is multiplied by to be scikit-learn's sum
# over the outputs, of which it takes the gradient.
_LOSSES = {
    "squared_error": ("mse", 0.5),
    "absolute_error": ("mae", 1.0),
    "huber": ("huber", 1.0),
    "log_cosh": ("log_cosh", 1.0),
    "poisson": (_Poisson(), 1.0),
}
# The first is what other dtypes than these become.
DTYPES = (np.float32, np.float64)
# Values of a sparse matrix that are made dense at a time.
_BLOCK = 1 << 22


def loss_of(loss, out_activation, outputs):
    """Return the loss here, and the factor that makes it scikit-learn's."""
    if loss == "log_loss":
        if out_activation == "softmax":
            return "sparse_categorical_crossentropy", 1.0
        return "binary_crossentropy", float(outputs)
    here, factor = _LOSSES[loss]
    return here, factor * outputs


def missing_of(loss, y):
    """Return what the loss here lacks of scikit-learn's, by rows (n,), or None: it does not depend on the outputs."""
    if loss != "poisson":
        return None
    y = y.astype(np.float64)
    return (y * np.log(np.where(y > 0, y, 1.0)) - y).mean(axis=1)


def activation_name(name):
    """Return the name here of an activation."""
    return _ACTIVATIONS.get(name, name)


def dtypes_for(x):
    """Return the dtypes that validation may leave; the first is what others become.

    scikit-learn does not see the dtypes of a frame that are not NumPy's, as those of polars.
    """
    wide = not hasattr(x, "dtype") and any(str(dtype) == "Float64" for dtype in getattr(x, "dtypes", ()))
    return DTYPES[::-1] if wide else DTYPES


def widths(sizes):
    """Return `hidden_layer_sizes` as a list of int, or raise."""
    sizes = list(sizes) if hasattr(sizes, "__iter__") else [sizes]
    if not all(isinstance(size, Integral) for size in sizes):
        raise TypeError(f"hidden_layer_sizes must be integers, got {sizes}.")
    if any(size <= 0 for size in sizes):
        raise ValueError(f"hidden_layer_sizes must be > 0, got {sizes}.")
    return [int(size) for size in sizes]


def per_hidden(name, value, count):
    """Return a parameter of the hidden layers as a list of one each."""
    return per_layer(name, value.tolist() if isinstance(value, np.ndarray) else value, count)


def build(sizes, activation, dropout, out_activation, **options):
    """Make a network whose weights are zero.

    Parameters
    ----------
    sizes : list of int
    activation : str or list of str
    dropout : float or list of float
    out_activation : str
    **options
        Of `Sequential`.
    """
    n_inputs, *hidden, n_outputs = sizes
    layers = []
    for units, act, rate in zip(
        [*hidden, n_outputs],
        [*per_hidden("activation", activation, len(hidden)), out_activation],
        [*per_hidden("dropout", dropout, len(hidden)), 0.0],
        strict=True,
    ):
        shape = None if layers else (n_inputs,)
        layers.append(Dense(units, activation_name(act), kernel_initializer="zeros", input_shape=shape))
        if rate:
            layers.append(Dropout(rate))
    return Sequential(layers, **options)


def load(model, coefs, intercepts):
    """Give the network the weights of an estimator, unless it has them."""
    wanted, at = model.params, 0
    widths = [layer.units for layer in model.layers if isinstance(layer, Dense)]
    needed = list(zip([math.prod(model.input_shape[1:]), *widths], widths, strict=False))
    found = [np.shape(coef) for coef in coefs]
    if found != needed or [np.shape(part) for part in intercepts] != [(width,) for width in widths]:
        shapes = [np.shape(part) for part in intercepts]
        raise ValueError(
            f"coefs_ have the shapes {found} and intercepts_ {shapes}, but the layers need {needed} and a number for "
            "every output"
        )
    parts = [np.ravel(part) for pair in zip(coefs, intercepts, strict=True) for part in pair]
    for part in parts:
        if not np.array_equal(part, wanted[at : at + part.size]):
            model._network.write(np.concatenate(parts).astype(model.dtype, copy=False))
            return
        at += part.size


def weights(model):
    """Return copies of the kernels and of the biases, as lists."""
    values = model.get_weights()
    return values[::2], values[1::2]


def plan(model, l2):
    """Return the plan of a compiled network with the penalty ``l2 * sum(W**2)`` on every kernel."""
    base = model._make_plan(model._optimizer, model._loss, [], model._loss.kernel, 1.0, model._input_shape)
    rates = base.rates.copy()
    rates[base.ops[:, OP_CODE] == DENSE, RATE_KERNEL_L2] = l2
    return dataclasses.replace(base, rates=rates)


def dense(x, rows, dtype):
    """Return rows of a CSR matrix as a C-contiguous array."""
    return np.ascontiguousarray(x[rows].toarray(), dtype=dtype)


def converted(x, dtype):
    """Return an array or a CSR matrix in a dtype, for which its values may be too large."""
    if not isinstance(x, np.ndarray):
        x = x.tocsr()
        converted(x.data, dtype)  # the dense rows are converted when their turn comes
        return x
    return np.ascontiguousarray(x) if x.dtype == dtype else validation.real(x, "X", dtype)


def outputs(model, x):
    """Compute the outputs (n, O) for an array or a CSR matrix (n, I)."""
    network, plan, last = model._network, model._inference_plan(), model._last_op
    x = converted(x, network.dtype)
    result = np.empty((x.shape[0], model._outputs), network.dtype)
    if isinstance(x, np.ndarray):
        network.forward(plan, x, 0, last, result)
        return result
    for part in _slices(x.shape[0], max(1, _BLOCK // max(1, x.shape[1]))):
        network.forward(plan, dense(x, part, network.dtype), 0, last, result[part])
    return result


def _slices(n, size):
    return (slice(start, min(start + size, n)) for start in range(0, n, size))


def targets(y, loss, dtype):
    """Return encoded targets (n, O) as the loss wants them."""
    if loss == "sparse_categorical_crossentropy":
        return y.argmax(axis=1).astype(np.int32)
    return np.ascontiguousarray(y, dtype=dtype)


class Rows:
    """The rows of a fit, and the batches of an epoch.

    The loss of a batch is the mean that its weights define, and `alpha` is divided by their sum, or by what that is on
    average where there are several batches.

    Parameters
    ----------
    x : ndarray or CSR matrix, shape (n, I)
    y : ndarray, shape (n,) or (n, O)
    sample_weight : ndarray, shape (n,), or None
    factor : float
        What the loss is multiplied by.
    alpha : float
    batch_size : int
    dtype : numpy.dtype
    missing : ndarray, shape (n,), or None
        What is to be added to the losses of the rows, before the factor and the weights.
    """

    def __init__(self, x, y, sample_weight, factor, alpha, batch_size, dtype, missing=None):
        self.sparse = not isinstance(x, np.ndarray)
        self.x = converted(x, np.dtype(dtype))
        self.y, self.sample_weight, self.factor, self.dtype = y, sample_weight, factor, np.dtype(dtype)
        self.batch_size, self.missing = batch_size, missing
        n = len(y)
        mean = 1.0 if sample_weight is None else float(np.mean(sample_weight, dtype=np.float64))
        rest = n % batch_size
        self.l2, self.l2_of_rest = (
            0.5 * alpha / (size * mean) if size and mean else 0.0 for size in (min(batch_size, n), rest)
        )
        self.full = n - rest

    def __len__(self):
        return len(self.y)

    def _weights(self, order):
        """Weights of all rows, such that each batch of the order has the mean `factor`."""
        if self.sample_weight is None:
            return None if self.factor == 1.0 else np.full(len(self), self.factor, self.dtype)
        result = np.empty(len(self), self.dtype)
        starts = np.arange(0, len(order), self.batch_size)
        w = self.sample_weight[order].astype(np.float64)
        counts = np.diff(np.append(starts, len(order)))
        sums = np.add.reduceat(w, starts)
        scale = self.factor * counts / np.where(sums == 0, 1.0, sums)
        result[order] = w * np.repeat(scale, counts)
        return result

    def missing_loss(self, order):
        """Return what is to be added to the mean loss of an epoch in this order."""
        if self.missing is None:
            return 0.0
        weights = self._weights(order)
        return float(np.mean(self.missing if weights is None else self.missing * weights))

    def blocks(self, order):
        """Yield data, the order to take its rows in, and the strength of the penalty, of all batches."""
        weights = self._weights(order)
        data = None if self.sparse else Data(self.x, self.y, weights)
        for part, l2 in ((order[: self.full], self.l2), (order[self.full :], self.l2_of_rest)):
            if not len(part):
                continue
            if not self.sparse:
                yield data, part, l2
                continue
            size = max(1, _BLOCK // max(1, self.x.shape[1]) // self.batch_size) * self.batch_size
            for piece in _slices(len(part), size):
                rows = part[piece]
                y = np.ascontiguousarray(self.y[rows])
                data = Data(dense(self.x, rows, self.dtype), y, None if weights is None else weights[rows])
                yield data, np.arange(len(rows)), l2
