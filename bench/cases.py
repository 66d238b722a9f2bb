"""From a workload to what runs: data, a plan for the kernels, a model for the API."""

import functools

import numpy as np
from fastnn.kernels import PlanBuilder

import fastnn

SEED = 0


@functools.cache
def _images(n):
    """Ten prototypes under noise (n, 784), uint8, with labels (n,), a tenth of which are wrong."""
    rng = np.random.default_rng(SEED)
    prototypes = rng.integers(0, 128, (10, 784), dtype=np.uint8) * (rng.random((10, 784)) < 0.5)
    labels = rng.integers(0, 10, n, dtype=np.int32)
    x = prototypes[labels].astype(np.uint8) + rng.integers(0, 128, (n, 784), dtype=np.uint8)
    wrong = rng.random(n) < 0.1
    labels[wrong] = rng.integers(0, 10, wrong.sum())
    return x, labels


def data(workload, n):
    """Make `n` rows to learn from.

    Parameters
    ----------
    workload : Workload
    n : int

    Returns
    -------
    x : ndarray, shape (n, inputs), uint8 (images) or float32
    y : ndarray, int32 (n,) for losses with labels, x itself for an autoencoder, otherwise float32 (n, outputs)
    """
    if workload.images:
        x, labels = _images(n)
        if workload.autoencoder:
            return x, x
        return x, labels if workload.labels else np.eye(workload.sizes[-1], dtype=np.float32)[labels]
    rng = np.random.default_rng(SEED)
    x = rng.normal(size=(n, workload.sizes[0])).astype(np.float32)
    mix = rng.normal(size=(workload.sizes[0], workload.sizes[-1])) / workload.sizes[0] ** 0.5
    return x, (np.sin(2 * x @ mix) + rng.normal(0, 0.3, (n, workload.sizes[-1]))).astype(np.float32)


def plan(workload, dtype="float32"):
    """Build the plan of a workload, uint8 scaled to [0, 1]."""
    builder = PlanBuilder(workload.sizes[0])
    for units in workload.sizes[1:-1]:
        builder.dense(units)
        builder.activation(workload.activation)
        builder.dropout(workload.dropout)
    builder.dense(workload.sizes[-1])
    builder.activation(workload.last)
    return builder.build(
        loss=workload.loss, optimizer=workload.optimizer, dtype=dtype, input_scale=1 / 255, target_scale=1 / 255
    )


def parameters(plan, seed=SEED):
    """Draw parameters (P,) of a plan, Glorot-uniform weights and zero biases; float32 values in either dtype."""
    rng = np.random.default_rng(seed)
    params = np.zeros(plan.n_params, np.float32)
    for _, n_in, n_out, _, start, *_ in plan.ops:
        if start >= 0:
            limit = (6 / (n_in + n_out)) ** 0.5
            params[start : start + n_in * n_out] = rng.uniform(-limit, limit, n_in * n_out)
    return params.astype(plan.dtype)


class Run:
    """A backend, ready to train a workload through the contract.

    Parameters
    ----------
    backend : module
    workload : Workload
    n : int
        Rows of an epoch.
    threads : int
    dtype : str
    """

    def __init__(self, backend, workload, n, threads, dtype="float32"):
        self.backend, self.workload = backend, workload
        self.plan = plan(workload, dtype)
        x, y = data(workload, n)
        self.x, self.y = (a if a.dtype in (np.uint8, np.int32) else a.astype(dtype) for a in (x, y))
        self.params = parameters(self.plan)
        self.state = np.zeros((self.plan.n_slots, self.plan.n_params), dtype)
        self.workspace = backend.to_backend(self.plan, self.params, self.state, workload.batch, threads)
        self.order = np.random.default_rng(SEED).permutation(n)
        self.step = 0

    def train(self, steps):
        """Run `steps` batches from the beginning of the epoch; the sums (steps, 1)."""
        rates = np.full(steps, self.workload.rate)
        sums = np.empty((steps, 1))
        order = self.order[: steps * self.workload.batch]
        done = self.backend.train(
            self.workspace, self.x, self.y, None, order, rates, self.workload.batch, SEED, self.step, sums, None
        )
        if done != steps:
            raise FloatingPointError(f"{self.backend.NAME} stopped at batch {done} of {self.workload.id}")
        self.step += steps
        return sums

    def host(self):
        """The parameters of this moment (P,)."""
        params, state = np.empty_like(self.params), np.empty_like(self.state)
        self.backend.to_host(self.workspace, params, state)
        return params


def model(workload, backend="auto", threads=None, dtype="float32"):
    """Build the compiled `fastnn.Sequential` of a workload."""
    layers = []
    for i, units in enumerate(workload.sizes[1:-1]):
        shape = None if i else (workload.sizes[0],)
        layers.append(fastnn.layers.Dense(units, workload.activation, input_shape=shape))
        if workload.dropout:
            layers.append(fastnn.layers.Dropout(workload.dropout))
    layers.append(fastnn.layers.Dense(workload.sizes[-1], workload.last))
    net = fastnn.Sequential(layers, seed=SEED, backend=backend, threads=threads, dtype=dtype)
    return net.compile(workload.optimizer, workload.loss)
