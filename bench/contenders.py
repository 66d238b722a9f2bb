"""fastnn and its peers, each behind the same calls. Libraries are imported when a contender is made.

A contender is made from a workload, initial weights and data, trains with ``fit(epochs, shuffle)``, which returns the
mean training loss of the last epoch, and predicts. All have Keras's optimizers and hyper-parameters, as far as they can
express them, and get the data in the form that is fastest for them: float32 for the peers, bytes for fastnn.
"""

import os
from abc import ABC, abstractmethod
from itertools import pairwise

import numpy as np

from bench import cases

ADAM_EPSILON = RMS_EPSILON = 1e-7


class NotExpressible(Exception):
    """The library has no such network, loss or optimizer; the message says which."""


class Contender(ABC):
    """One library, ready to train one workload.

    Parameters
    ----------
    workload : Workload
    weights : list of ndarray
        Kernel (n_in, n_out) and bias (n_out,) of every layer, float32.
    x, y : ndarray
        As `cases.data` makes them.
    threads : int
    """

    name = ""
    packages = ()  # whose versions count
    tolerance = 0.01  # how far its loss may be from fastnn's, relatively, where only rounding can differ

    def __init__(self, workload, weights, x, y, threads):
        self.workload, self.n = workload, len(x)
        self.rate = workload.rate
        x = self.real(x)
        self.prepare(weights, x, x if workload.autoencoder else self.real(y), threads)

    def real(self, a):
        """Images as float32 in [0, 1]."""
        return a.astype(np.float32) / 255 if a.dtype == np.uint8 else a

    @abstractmethod
    def prepare(self, weights, x, y, threads):
        """Build the network and take the data."""

    @abstractmethod
    def fit(self, epochs, shuffle):
        """Train; return the mean loss of the last epoch."""

    @abstractmethod
    def predict(self, x):
        """Compute the outputs (n, n_out) of float32 rows (n, n_in), from array to array and in one call."""

    def orders(self, epochs, shuffle):
        """The order of the rows (n,) in each epoch."""
        rng = np.random.default_rng()
        return (rng.permutation(self.n) if shuffle else np.arange(self.n) for _ in range(epochs))


class Fastnn(Contender):
    name = "fastnn"
    packages = ("fastnn-engine", "numpy", "numba")

    def __init__(self, *arguments, backend="auto"):
        self.backend = backend
        super().__init__(*arguments)

    def real(self, a):
        return a

    def prepare(self, weights, x, y, threads):
        self.x, self.y = x, y
        self.model = cases.model(self.workload, self.backend, threads)
        self.model.set_weights(weights)

    def fit(self, epochs, shuffle):
        options = {"epochs": epochs, "shuffle": shuffle, "verbose": 0, "batch_size": self.workload.batch}
        return self.model.fit(self.x, self.y, **options).history["loss"][-1]

    def predict(self, x):
        return self.model.predict(x, verbose=0)


class Torch(Contender):
    """Eager PyTorch on tensors in memory: rows by index, no DataLoader, fused optimizers where there are any."""

    name = "PyTorch"
    packages = ("torch",)
    # Its Adam adds epsilon after the correction of the bias, its RMSprop after the root; Keras and fastnn before. That
    # shows in the first steps, and more in the autoencoder, whose gradients are small.
    tolerance = 0.06

    def prepare(self, weights, x, y, threads):
        import torch
        from torch import nn

        torch.set_num_threads(threads)
        activations = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid}
        work, layers = self.workload, []
        for units in pairwise(work.sizes):
            layers += [nn.Linear(*units), activations[work.activation](), nn.Dropout(work.dropout)]
        layers = [layer for layer in layers[:-2] if not (isinstance(layer, nn.Dropout) and not work.dropout)]
        if work.last == "sigmoid":
            layers.append(nn.Sigmoid())
        self.net = nn.Sequential(*layers)
        with torch.no_grad():
            for parameter, value in zip(self.net.parameters(), weights, strict=True):
                parameter.copy_(torch.from_numpy(value.T.copy()))
        parameters = self.net.parameters()
        self.optimizer = {
            "adam": lambda: torch.optim.Adam(parameters, self.rate, eps=ADAM_EPSILON, fused=True),
            "rmsprop": lambda: torch.optim.RMSprop(parameters, self.rate, alpha=0.9, eps=RMS_EPSILON**0.5),
            "sgd": lambda: torch.optim.SGD(parameters, self.rate, fused=True),
        }[work.optimizer]()
        self.loss = nn.CrossEntropyLoss() if work.labels else nn.MSELoss()
        self.torch, self.x, self.y = (
            torch,
            torch.from_numpy(x),
            torch.from_numpy(y.astype(np.int64) if work.labels else y),
        )

    def fit(self, epochs, shuffle):
        batch, net, optimizer = self.workload.batch, self.net, self.optimizer
        for order in self.orders(epochs, shuffle):
            total = 0.0
            for rows in self.torch.from_numpy(order).split(batch):
                optimizer.zero_grad()
                loss = self.loss(net(self.x[rows]), self.y[rows])
                loss.backward()
                optimizer.step()
                total = total + loss.detach() * len(rows)
        return float(total) / self.n

    def predict(self, x):
        with self.torch.inference_mode():
            outputs = self.net.eval()(self.torch.from_numpy(x))
            self.net.train()
            return (outputs.softmax(1) if self.workload.labels else outputs).numpy()


class Keras(Contender):
    """Keras with the JAX backend, through its `fit`."""

    name = "Keras (JAX)"
    packages = ("keras", "jax")

    def prepare(self, weights, x, y, threads):
        os.environ["KERAS_BACKEND"] = "jax"
        import keras

        if keras.backend.backend() != "jax":
            raise NotExpressible("keras was imported with another backend than JAX")
        work, layers = self.workload, keras.layers
        stack = [layers.Input((work.sizes[0],))]
        for units in work.sizes[1:-1]:
            stack += [layers.Dense(units, work.activation)] + ([layers.Dropout(work.dropout)] if work.dropout else [])
        self.model = keras.Sequential([*stack, layers.Dense(work.sizes[-1], work.last)])
        self.model.set_weights(weights)
        self.model.compile(type(keras.optimizers.get(work.optimizer))(self.rate), work.loss)
        self.x, self.y = x, y

    def fit(self, epochs, shuffle):
        options = {"epochs": epochs, "shuffle": shuffle, "verbose": 0, "batch_size": self.workload.batch}
        return self.model.fit(self.x, self.y, **options).history["loss"][-1]

    def predict(self, x):
        return self.model.predict_on_batch(x)  # `predict` cuts the rows into batches, which takes longer


class Jax(Contender):
    """The strongest that can be written in JAX: an epoch is one compiled `lax.scan` over donated buffers."""

    name = "JAX scan"
    packages = ("jax",)

    def prepare(self, weights, x, y, threads):
        import jax
        import jax.numpy as jnp

        work, rate = self.workload, self.rate
        last = len(work.sizes) - 2
        activations = {"relu": jax.nn.relu, "sigmoid": jax.nn.sigmoid, "linear": lambda z: z, "softmax": lambda z: z}

        def forward(params, x, key=None):
            for i, (w, b) in enumerate(zip(params[::2], params[1::2], strict=True)):
                x = activations[work.last if i == last else work.activation](x @ w + b)
                if work.dropout and i < last and key is not None:
                    key, own = jax.random.split(key)
                    x = jnp.where(jax.random.bernoulli(own, 1 - work.dropout, x.shape), x / (1 - work.dropout), 0)
            return x

        def loss_of(params, x, y, key):
            x = forward(params, x, key)
            if work.labels:
                return -jnp.take_along_axis(jax.nn.log_softmax(x), y[:, None], axis=1).mean()
            return jnp.square(x - y).mean()

        def update(w, g, slots, t):
            if work.optimizer == "adam":
                m, v = slots[0] * 0.9 + g * 0.1, slots[1] * 0.999 + g * g * 0.001
                corrected = rate * jnp.sqrt(1 - 0.999**t) / (1 - 0.9**t)
                return w - corrected * m / (jnp.sqrt(v) + ADAM_EPSILON), (m, v)
            if work.optimizer == "rmsprop":
                v = slots[0] * 0.9 + g * g * 0.1
                return w - rate * g / jnp.sqrt(v + RMS_EPSILON), (v,)
            return w - rate * g, ()

        def epoch(carry, x, y, order):
            def step(carry, rows):
                params, slots, t, key = carry
                key, own = jax.random.split(key)
                loss, grads = jax.value_and_grad(loss_of)(params, x[rows], y[rows], own)
                t = t + 1
                new = [update(*each, t) for each in zip(params, grads, slots, strict=True)]
                return ([w for w, _ in new], [s for _, s in new], t, key), loss

            carry, losses = jax.lax.scan(step, carry, order)
            return carry, losses.mean()

        self.epoch = jax.jit(epoch, donate_argnums=0)
        self.forward = jax.jit(
            lambda params, x: jax.nn.softmax(forward(params, x)) if work.labels else forward(params, x)
        )
        n_slots = {"adam": 2, "rmsprop": 1, "sgd": 0}[work.optimizer]
        params = [jnp.array(w) for w in weights]
        slots = [tuple(jnp.zeros_like(w) for _ in range(n_slots)) for w in params]
        self.carry = (params, slots, jnp.float32(0), jax.random.key(0))
        self.x, self.y = jnp.array(x), jnp.array(y)

    def fit(self, epochs, shuffle):
        for order in self.orders(epochs, shuffle):
            self.carry, loss = self.epoch(self.carry, self.x, self.y, order.reshape(-1, self.workload.batch))
        return float(loss)

    def predict(self, x):
        return np.asarray(self.forward(self.carry[0], x))


class Sklearn(Contender):
    """scikit-learn's MLPClassifier and MLPRegressor, which have neither dropout nor RMSprop nor a choice of outputs."""

    name = "scikit-learn"
    packages = ("scikit-learn",)

    def prepare(self, weights, x, y, threads):
        from sklearn.neural_network import MLPClassifier, MLPRegressor

        work = self.workload
        if work.dropout or work.optimizer not in ("adam", "sgd"):
            raise NotExpressible(f"no {'dropout' if work.dropout else work.optimizer}")
        if (work.last, work.labels) not in (("softmax", True), ("linear", False)):
            raise NotExpressible(f"no {work.last} outputs with the loss {work.loss}")
        self.classes = {"classes": np.arange(work.sizes[-1])} if work.labels else {}
        # Its loss for regression is half the squared error; so is its gradient, which Adam does not feel but SGD does.
        self.scale = 1.0 if work.labels else 2.0
        rate = self.rate * (1.0 if work.optimizer == "adam" else self.scale)
        self.model = (MLPClassifier if work.labels else MLPRegressor)(
            hidden_layer_sizes=work.sizes[1:-1],
            activation={"sigmoid": "logistic"}.get(work.activation, work.activation),
            solver=work.optimizer,
            alpha=0.0,
            batch_size=work.batch,
            learning_rate_init=rate,
            momentum=0.0,
            epsilon=ADAM_EPSILON,
        )
        self.x, self.y = x, y.ravel() if work.sizes[-1] == 1 else y
        # The first call draws weights; they are replaced, and the optimizer made anew by the next.
        self.model.partial_fit(self.x[: work.batch], self.y[: work.batch], **self.classes)
        self.model.coefs_ = [w.copy() for w in weights[::2]]
        self.model.intercepts_ = [b.copy() for b in weights[1::2]]
        del self.model._optimizer

    def fit(self, epochs, shuffle):
        self.model.shuffle = shuffle
        for _ in range(epochs):
            self.model.partial_fit(self.x, self.y)
        return self.model.loss_ * self.scale

    def predict(self, x):
        return self.model.predict_proba(x) if self.workload.labels else self.model.predict(x).reshape(len(x), -1)


PEERS = (Torch, Keras, Jax, Sklearn)
