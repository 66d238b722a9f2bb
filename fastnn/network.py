"""The numbers of a model: its flat vectors on the host, its counters, and the workspaces made from them."""

import math
import threading

import numpy as np

from .kernels import get_backend
from .kernels.plan import PlanBuilder
from .kernels.threads import default_threads

_REALS = np.dtype(np.float32), np.dtype(np.float64)
# Streams of random numbers that one seed gives; the other key is the layer or the epoch.
INITIAL_WEIGHTS, ORDER = range(2)
# Rows that inference works on at a time unless told otherwise.
ROWS = 512


def shapes(layers, input_shape):
    """List the shape of a sample after every layer."""
    result = []
    for layer in layers:
        input_shape = layer.compute_output_shape(input_shape)
        result.append(input_shape)
    return result


def builder(layers, input_shape):
    """Return a `PlanBuilder` with all layers appended, and for each layer the number of operations up to it."""
    plan = PlanBuilder(math.prod(input_shape))
    ends = []
    for layer in layers:
        layer.emit(plan)
        ends.append(plan.n_ops)
    return plan, ends


def weights(layers, input_shape):
    """Yield for every weight its layer, its path, such as "dense/kernel", and where it begins in the flat vector."""
    start = 0
    for layer in layers:
        for name, shape, _ in layer.weight_specs(input_shape):
            yield layer, f"{layer.name}/{name}", start
            start += math.prod(shape)
        input_shape = layer.compute_output_shape(input_shape)


def can_be_quantized(values):
    """Whether the kernels can look at an array as it lies in memory for bytes times a scale."""
    flags = type(values) is np.ndarray and values.size and values.dtype in _REALS and values.flags
    return bool(flags and flags.c_contiguous and flags.aligned)


class Network:
    """Flat vectors, counters and workspaces of one model.

    Parameters
    ----------
    dtype : numpy.dtype
    seed : int
    backend : str
    threads : int or None

    Attributes
    ----------
    params : ndarray, shape (P,)
        The parameters when the host last had them; `host()` has them now. Replaced, never written into.
    state : ndarray, shape (S, P)
        The optimizer's state, likewise.
    step : int
        Batches trained since the model was compiled.
    epoch : int
        Epochs trained in the model's life.
    noise_seed : int or None
        Seed of dropout and noise where it is another than that of the model.
    live : session.Session or None
        The fit that runs, whose workspace may be ahead of the vectors here.
    """

    def __init__(self, dtype, seed, backend, threads):
        self.dtype = dtype
        self.seed = seed
        self.requested = backend
        self.backend = get_backend(backend)
        self.threads = threads
        self.params = np.empty(0, dtype)
        self.state = np.empty((0, 0), dtype)
        self.step = 0
        self.epoch = 0
        self.noise_seed = None
        self.live = None
        self._inference = None  # (plan, rows, workspace)
        self._stale = False  # whether that has other parameters than the host
        self._training = None  # what the last fit has left to the next, see `keep`
        # A workspace belongs to one thread at a time, and predict may be called from several.
        self.lock = threading.RLock()

    def __getstate__(self):
        with self.lock:
            self.host()
            keep = ("dtype", "seed", "requested", "threads", "params", "state", "step", "epoch", "noise_seed")
            return {name: getattr(self, name) for name in keep}

    def __setstate__(self, fields):
        self.__init__(fields["dtype"], fields["seed"], fields["requested"], fields["threads"])
        vars(self).update(fields)

    def extend(self, layers, first, input_shape, initial=True):
        """Place the layers from number `first` on after the parameters there are, and draw their weights."""
        parts = [self.params]
        placed = len(self.params)
        todo = []
        for i, layer in enumerate(layers):
            output_shape = layer.compute_output_shape(input_shape)
            if i >= first:
                rng = np.random.default_rng([self.seed, INITIAL_WEIGHTS, i])
                spans = []
                for _, shape, initializer in layer.weight_specs(input_shape):
                    if initial:
                        parts.append(initializer(shape, rng).astype(self.dtype).ravel())
                    spans.append((placed, shape))
                    placed += math.prod(shape)
                todo.append((layer, spans, (input_shape, output_shape)))
            input_shape = output_shape
        params = np.concatenate(parts)  # the last thing here that can fail
        for layer, spans, both in todo:
            layer._network, layer._spans, layer._shapes = self, spans, both
        if initial:
            self.params = params
        self.drop()

    def random(self):
        """Return the seed of dropout and noise."""
        return self.seed if self.noise_seed is None else self.noise_seed

    def host(self):
        """Return the parameters of this moment (P,): those of the running fit, if there is one."""
        with self.lock:
            if self.live is not None:
                self.live.sync()
            return self.params

    def write(self, params):
        """Replace the parameters, in a running fit too."""
        with self.lock:
            if self.live is not None:
                self.live.sync()
            self.replace(params, self.state)
            if self.live is not None:
                self.live.reload()

    def replace(self, params, state):
        """Replace the host's vectors."""
        with self.lock:  # or a prediction in another thread could take the old ones for these
            self.params, self.state = params, state
            self._stale, self._training = True, None

    def reset_state(self, n_slots):
        """Start the optimizer afresh."""
        self.state = np.zeros((n_slots, len(self.params)), self.dtype)
        self.step = 0

    def thread_count(self):
        """Return how many threads to use at most."""
        return self.threads or default_threads()

    def quantized(self, values, scale):
        """Return the bytes of which an array in memory is `scale` times, but for rounding, or None if it is not."""
        if self.dtype != np.float32 or not can_be_quantized(values):  # float64 is for those who count the last digits
            return None
        result = np.empty(values.shape, np.uint8)
        threads = self.thread_count() if self.live is None else 1  # a fit is not to be disturbed
        return result if self.backend.quantize(values, scale, result, threads) else None

    def workspace(self, plan, batch_size, state=None):
        """Make a workspace from the host's parameters, and from its state unless another is given."""
        state = self.state if state is None else state
        return self.backend.to_backend(plan, self.params, state, batch_size, self.thread_count())

    def keep(self, made, plan, batch_size):
        """Keep what was made for a fit, a workspace that has the host's parameters and state, for the next one."""
        for vector in (self.params, self.state):
            vector.flags.writeable = False  # to write into them would not reach the workspace
        self._training = (plan, batch_size, self.thread_count(), self.params, self.state, made)

    def take(self, plan, batch_size):
        """Return what was kept, if it was made for the same and nothing has changed since, or else None."""
        with self.lock:
            kept, self._training = self._training, None
        if kept is None:
            return None
        old_plan, rows, threads, params, state, made = kept
        same = rows == batch_size and threads == self.thread_count() and old_plan.key == plan.key
        return made if same and params is self.params and state is self.state else None

    def drop(self):
        """Forget the workspaces, for what they were made from has changed."""
        self._inference = self._training = None

    def _workspace_for(self, plan, rows, alike):
        self.host()
        cached = self._inference
        if cached is None or cached[1] != rows or not alike(cached[0]):
            state = np.empty((plan.n_slots, len(self.params)), self.dtype)
            cached = self._inference = (plan, rows, self.workspace(plan, rows, state))
        elif self._stale:
            state = np.empty((cached[0].n_slots, len(self.params)), self.dtype)
            self.backend.load(cached[2], self.params, state)
        self._stale = False
        return cached[2]

    def forward(self, plan, x, first, last, out, rows=ROWS):
        """Run the operations first..last of the plan, which has no optimizer state, on x into out, both (n, width).
        Return whether every number of x is finite."""
        with self.lock:
            # All plans that a model makes between two `drop` run forward alike, but for what bytes are multiplied by.
            workspace = self._workspace_for(
                plan, rows, lambda other: x.dtype != np.uint8 or other.input_scale == plan.input_scale
            )
            return self.backend.forward(workspace, x, first, last, out)

    def evaluate(self, plan, x, y, weights, rows=ROWS):
        """Return the sums of the loss and of the metrics over all rows, float64 (1 + metrics,)."""
        sums = np.zeros(1 + len(plan.metrics))
        with self.lock:
            self.backend.evaluate(self._workspace_for(plan, rows, lambda other: other is plan), x, y, weights, sums)
        return sums
