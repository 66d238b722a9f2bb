"""Oracles: what the tables say, written down a second time from the literature and in extended precision.

Nothing here comes from the kernels, so that the reference backend is judged like any other. Where an expression has two
usual forms, this file takes the one that the tables do not. A new row of a table needs an oracle here; until it has
one, its tests fail and say so.
"""

import functools
import math

import numpy as np
import pytest

# 80 bits on x86, 128 on some machines, a plain double elsewhere.
Extended = np.longdouble

_erfc = np.vectorize(math.erfc, otypes=[np.float64])


def _sigmoid(z):
    return (1 + np.tanh(z / 2)) / 2


def _softplus(z):
    return np.logaddexp(0, z)


def _normal_cdf(z):
    return _erfc(-np.asarray(z / np.sqrt(np.asarray(2, z.dtype)), np.float64)).astype(z.dtype) / 2


def _normal_density(z):
    return np.exp(-z * z / 2) / np.sqrt(2 * np.asarray(np.pi, z.dtype))


def _softmax(z):
    e = np.exp(z - np.max(z, axis=-1, keepdims=True))
    return e / np.sum(e, axis=-1, keepdims=True)


def _log_softmax(z):
    shifted = z - np.max(z, axis=-1, keepdims=True)
    return shifted - np.log(np.sum(np.exp(shifted), axis=-1, keepdims=True))


def _softmax_backward(z, dy, a):
    y = _softmax(z)
    jacobian = y[..., :, None] * (np.eye(z.shape[-1], dtype=z.dtype) - y[..., None, :])
    return np.sum(dy[..., :, None] * jacobian, axis=-2)


# name -> (forward(z, alpha), backward(z, dy, alpha)); at a kink the derivative is the one from the left.
ACTIVATIONS = {
    "linear": (lambda z, a: z, lambda z, dy, a: dy),
    # Nair and Hinton 2010.
    "relu": (lambda z, a: np.clip(z, 0, np.inf), lambda z, dy, a: dy * (z > 0)),
    # Maas, Hannun and Ng 2013.
    "leaky_relu": (
        lambda z, a: np.clip(z, 0, np.inf) + a * np.clip(z, -np.inf, 0),
        lambda z, dy, a: dy * ((z > 0) + a * (z <= 0)),
    ),
    # Clevert, Unterthiner and Hochreiter 2016, equation 15.
    "elu": (
        lambda z, a: np.where(z > 0, z, a * np.expm1(np.clip(z, -np.inf, 0))),
        lambda z, dy, a: dy * np.where(z > 0, 1, a * np.exp(np.clip(z, -np.inf, 0))),
    ),
    # Hendrycks and Gimpel 2016, the exact form.
    "gelu": (
        lambda z, a: z * _normal_cdf(z),
        lambda z, dy, a: dy * (_normal_cdf(z) + z * _normal_density(z)),
    ),
    # Elfwing, Uchibe and Doya 2018, equation 5: the derivative as s (1 + z (1 - s)).
    "silu": (
        lambda z, a: z * _sigmoid(z),
        lambda z, dy, a: dy * (_sigmoid(z) * (1 + z * _sigmoid(-z))),
    ),
    "tanh": (lambda z, a: np.tanh(z), lambda z, dy, a: dy / np.cosh(z) ** 2),
    "sigmoid": (lambda z, a: _sigmoid(z), lambda z, dy, a: dy * _sigmoid(z) * _sigmoid(-z)),
    "softplus": (lambda z, a: _softplus(z), lambda z, dy, a: dy * _sigmoid(z)),
    "softmax": (lambda z, a: _softmax(z), _softmax_backward),
    "exponential": (lambda z, a: np.exp(z), lambda z, dy, a: dy * np.exp(z)),
}


def one_hot(labels, outputs, dtype):
    """Labels (n,) as rows (n, outputs)."""
    return np.eye(outputs, dtype=dtype)[labels]


def _smoothed(t, a):
    # Szegedy et al. 2016, section 7: a mixture of the target and the uniform distribution.
    return (1 - a) * t + a * np.ones_like(t) / t.shape[-1]


def _cross_entropy(z, t, a):
    return -np.sum(_smoothed(t, a) * _log_softmax(z), axis=-1)


def _cross_entropy_gradient(z, t, a):
    t = _smoothed(t, a)
    # -sum_i t_i d log p_i / d z_j with d log p_i / d z_j = [i = j] - p_j.
    return np.sum(t, axis=-1, keepdims=True) * np.exp(_log_softmax(z)) - t


def _bernoulli(z, t, a):
    t = (1 - a) * t + a / 2
    return np.mean(t * _softplus(-z) + (1 - t) * _softplus(z), axis=-1)


def _bernoulli_gradient(z, t, a):
    t = (1 - a) * t + a / 2
    return ((1 - t) * _sigmoid(z) - t * _sigmoid(-z)) / z.shape[-1]


_EPSILON = 1e-7  # Keras's


def _huber(z, t, a):
    # Huber 1964; a (|e| - a / 2) beyond a.
    inside = np.minimum(abs(t - z), a)
    return np.mean(inside * (abs(t - z) - inside / 2), axis=-1)


def _kl_divergence(z, t, a):
    p, q = np.clip(t, _EPSILON, 1), np.clip(z, _EPSILON, 1)
    return np.sum(p * np.log(p) - p * np.log(q), axis=-1)


def _hinge(z, t, power):
    return np.mean(np.maximum(1 - z * t, 0) ** power, axis=-1)


def _hinge_gradient(z, t, power):
    return (z * t < 1) * -t * power * (1 - z * t) ** (power - 1) / z.shape[-1]


def _categorical_hinge(z, t, a):
    return np.maximum(0, 1 + np.max(z - t * z, axis=-1) - np.sum(t * z, axis=-1))


def _categorical_hinge_gradient(z, t, a):
    worst = np.eye(z.shape[-1])[np.argmax(z - t * z, axis=-1)]
    return (_categorical_hinge(z, t, a) > 0)[..., None] * ((1 - t) * worst - t)


def _length(z):
    return np.maximum(np.sqrt(np.sum(z**2, axis=-1, keepdims=True)), _EPSILON)


def _cosine(z, t, a):
    return -np.sum(z * t, axis=-1) / (_length(z) * _length(t))[..., 0]


def _cosine_gradient(z, t, a):
    return (z * np.sum(z * t, axis=-1, keepdims=True) / _length(z) ** 2 - t) / (_length(z) * _length(t))


# name -> (value(z, t, a), gradient(z, t, a)) of each row, with z the logits where the loss absorbs the last activation
# and a the loss's parameter. Labels come as one-hot rows.
LOSSES = {
    "mse": (lambda z, t, a: np.mean((t - z) ** 2, axis=-1), lambda z, t, a: 2 * (z - t) / z.shape[-1]),
    "mae": (lambda z, t, a: np.mean(abs(t - z), axis=-1), lambda z, t, a: ((z > t) * 1.0 - (z < t)) / z.shape[-1]),
    "huber": (_huber, lambda z, t, a: np.sign(z - t) * np.minimum(abs(z - t), a) / z.shape[-1]),
    "log_cosh": (
        lambda z, t, a: np.mean(np.logaddexp(z - t, t - z) - np.log(np.asarray(2, z.dtype)), axis=-1),
        lambda z, t, a: (2 * _sigmoid(2 * (z - t)) - 1) / z.shape[-1],
    ),
    "poisson": (
        lambda z, t, a: np.mean(z, axis=-1) - np.mean(t * np.log(z + a), axis=-1),
        lambda z, t, a: (z + a - t) / (z + a) / z.shape[-1],
    ),
    "kl_divergence": (
        _kl_divergence,
        lambda z, t, a: (z >= _EPSILON) * (z <= 1) * -np.clip(t, _EPSILON, 1) / np.clip(z, _EPSILON, 1),
    ),
    "hinge": (lambda z, t, a: _hinge(z, t, 1), lambda z, t, a: _hinge_gradient(z, t, 1)),
    "squared_hinge": (lambda z, t, a: _hinge(z, t, 2), lambda z, t, a: _hinge_gradient(z, t, 2)),
    "categorical_hinge": (_categorical_hinge, _categorical_hinge_gradient),
    "cosine_similarity": (_cosine, _cosine_gradient),
    "binary_crossentropy": (_bernoulli, _bernoulli_gradient),
    "categorical_crossentropy": (_cross_entropy, _cross_entropy_gradient),
    "sparse_categorical_crossentropy": (_cross_entropy, _cross_entropy_gradient),
}


def _top_is_right(z, t, c):
    # The first of several equal maxima counts.
    return [float(list(p).index(max(p)) == list(q).index(max(q))) for p, q in zip(z, t, strict=True)]


# name -> value(z, t, threshold) of each row.
METRICS = {
    "categorical_accuracy": _top_is_right,
    "binary_accuracy": lambda z, t, c: np.mean((z > c) == (t > 0.5), axis=-1),
    "mae": lambda z, t, c: LOSSES["mae"][0](z, t, None),
    "mse": lambda z, t, c: LOSSES["mse"][0](z, t, None),
}


def _sgd(w, g, slots, rate, t):
    return w - rate * g, ()


def _momentum(w, g, slots, rate, t, momentum, nesterov):
    # Sutskever et al. 2013, equations 1 to 4, with the velocity that looks ahead for Nesterov.
    velocity = momentum * slots[0] - rate * g
    return w + (momentum * velocity - rate * g if nesterov else velocity), (velocity,)


def _adam(w, g, slots, rate, t, beta_1, beta_2, epsilon):
    # Kingma and Ba 2015, algorithm 1 with the epsilon-hat of section 2 written back into epsilon.
    m = beta_1 * slots[0] + (1 - beta_1) * g
    v = beta_2 * slots[1] + (1 - beta_2) * g**2
    correction = 1 - beta_2**t
    return w - rate * (m / (1 - beta_1**t)) / (np.sqrt(v / correction) + epsilon / np.sqrt(correction)), (m, v)


def _rmsprop(w, g, slots, rate, t, rho, epsilon):
    # Hinton's lecture 6e, with Keras' place for epsilon.
    v = rho * slots[0] + (1 - rho) * g**2
    return w - rate * g / np.sqrt(v + epsilon), (v,)


def _adagrad(w, g, slots, rate, t, initial_accumulator_value, epsilon):
    # Duchi, Hazan and Singer 2011, the diagonal form, with Keras' place for epsilon; the state leaves the start out.
    s = slots[0] + g**2
    return w - rate * g / np.sqrt(initial_accumulator_value + s + epsilon), (s,)


def _adamax(w, g, slots, rate, t, beta_1, beta_2, epsilon):
    # Kingma and Ba 2015, algorithm 2, with Keras' epsilon.
    m, u = beta_1 * slots[0] + (1 - beta_1) * g, np.maximum(beta_2 * slots[1], abs(g))
    return w - rate / (1 - beta_1**t) * m / (u + epsilon), (m, u)


@functools.cache
def _nadam_momenta(beta_1, t):
    mu = [beta_1 * (1 - 0.5 * 0.96**i) for i in range(1, t + 2)]
    return *mu[-2:], math.prod(mu[:-1])


def _nadam(w, g, slots, rate, t, beta_1, beta_2, epsilon):
    # Dozat 2016, algorithm 2, with the momentum schedule of its section 3 that Keras takes.
    now, following, product = _nadam_momenta(beta_1, t)
    m = beta_1 * slots[0] + (1 - beta_1) * g
    v = beta_2 * slots[1] + (1 - beta_2) * g**2
    m_hat = following * m / (1 - product * following) + (1 - now) * g / (1 - product)
    return w - rate * m_hat / (np.sqrt(v / (1 - beta_2**t)) + epsilon), (m, v)


def _lion(w, g, slots, rate, t, beta_1, beta_2):
    # Chen et al. 2023, program 1, without weight decay.
    c = beta_1 * slots[0] + (1 - beta_1) * g
    return w - rate * ((c > 0) * 1.0 - (c < 0)), (beta_2 * slots[0] + (1 - beta_2) * g,)


# name -> step(w, g, slots, rate, t, **hyper) -> (w, slots), nothing changed in place.
OPTIMIZERS = {
    "sgd": _sgd,
    "momentum": _momentum,
    "adam": _adam,
    "rmsprop": _rmsprop,
    "adagrad": _adagrad,
    "adamax": _adamax,
    "nadam": _nadam,
    "lion": _lion,
}


def find(table, name):
    """The oracle of a table row, or a failed test that says what is missing."""
    if name not in table:
        which = next(k for k, v in globals().items() if v is table)
        pytest.fail(f"no oracle for {name!r}: write one in {which} of tests/helpers/oracles.py, from the literature")
    return table[name]


def extended(*arrays):
    """Copies in extended precision."""
    return [np.asarray(a).astype(Extended) for a in arrays]


def network(layers, params, x, masks, penalties=None, training=True):
    """Logits of a network: what its loss sees.

    Parameters
    ----------
    layers : sequence of tuple
        As `nets.parse` gives them, without an absorbed last activation.
    params : ndarray, shape (m, P)
        One parameter vector or many at once.
    x : ndarray, shape (n, I)
    masks : iterable of ndarray, shape (n, width)
        What each dropout layer keeps and the normal numbers of each noise layer, in order.
    penalties : list, optional
        Receives the penalties on kernels, biases and outputs (per row), (m,) each.
    training : bool, default True
        Whether a batch normalisation takes the statistics of x, or the moving ones.

    Returns
    -------
    ndarray, shape (m, n, O)
    """
    masks = iter(masks)
    h, start = np.broadcast_to(x, (len(params), *x.shape)), 0
    kernel = bias_values = None
    kernels = []
    for what, *arguments in layers:
        if what == "dense":
            units, bias = arguments
            shape = (h.shape[-1], units)
            end = start + shape[0] * units
            kernel = params[:, start:end]
            h, start = h @ kernel.reshape(-1, *shape), end
            if bias:
                bias_values = params[:, start : start + units]
                h, start = h + bias_values[:, None], start + units
            kernels.append(kernel.reshape(-1, *shape))
        elif what == "tied":
            h = h @ np.swapaxes(kernels[arguments[0]], 1, 2)
            if arguments[1]:
                bias_values = params[:, start : start + h.shape[-1]]
                h, start = h + bias_values[:, None], start + h.shape[-1]
        elif what == "normalization":
            over, epsilon, center, scale, _ = arguments
            sizes = h.shape[-1] * np.array([scale, center, over == "batch", over == "batch"])
            kernel, bias_values, *moving = np.split(
                params[:, start : start + sizes.sum()], np.cumsum(sizes)[:-1], axis=1
            )
            start += sizes.sum()
            axis = 1 if over == "batch" else 2
            mean = h.mean(axis, keepdims=True)
            variance = (h * h).mean(axis, keepdims=True) - mean * mean
            if over == "batch" and not training:
                mean, variance = (values[:, None] for values in moving)
            h = (h - mean) * (variance + epsilon) ** -0.5
            h = h * (kernel[:, None] if scale else 1) + (bias_values[:, None] if center else 0)
        elif what == "regularize":
            where, _, power = arguments[0].partition("_l")
            if penalties is not None and power:
                values = {"kernel": kernel, "bias": bias_values, "activity": h.reshape(len(h), -1)}[where]
                share = len(x) if where == "activity" else 1
                penalties.append(arguments[1] * np.sum(abs(values) ** int(power), axis=1) / share)
        elif what == "dropout":
            rate, scaled = arguments
            h = h * next(masks) / (1 - rate if scaled else 1)
        elif what == "noise":
            noise = arguments[1] * next(masks)
            h = h + noise if arguments[0] == "gaussian_noise" else h * (1 + noise)
        else:
            h = find(ACTIVATIONS, arguments[0])[0](h, arguments[1])
    assert start == params.shape[1]
    return h


def splitmix64(x):
    """Steele, Lea and Flood 2014, figure 9, from the state x."""
    x = (x + 0x9E3779B97F4A7C15) % 2**64
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    x = (x ^ x >> 27) * 0x94D049BB133111EB % 2**64
    return x ^ x >> 31


def dropout_hash(seed, step, op, index):
    """The 32 bits that decide on one element, in plain integers."""
    return _finalized(splitmix64((splitmix64(seed % 2**64 ^ splitmix64(step)) + op) % 2**64), index)


def _finalized(key, index):
    h = (index + key) % 2**32
    h = (h ^ h >> 16) * 0x7FEB352D % 2**32 ^ key >> 32
    h = (h ^ h >> 15) * 0x846CA68B % 2**32
    return h ^ h >> 16


def normal(seed, step, op, index):
    """A standard normal number from two such hashes, the second with the keys exchanged: Box and Muller 1958."""
    key = splitmix64((splitmix64(seed % 2**64 ^ splitmix64(step)) + op) % 2**64)
    swapped = key >> 32 | key << 32 & 2**64 - 1
    u, v = ((_finalized(k, index) >> 8) / 2**24 for k in (key, swapped))
    return math.sqrt(-2 * math.log(u + 2**-24)) * math.cos(2 * math.pi * v)


def two_tails(limit):
    """The share of standard normal numbers that is farther from zero."""
    return math.erfc(limit / math.sqrt(2))
