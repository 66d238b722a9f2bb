"""The Cython backend: one engine source, compiled for several instruction sets and for both precisions.

The best variant that was built and that the processor can run is used; the environment variable ``FASTNN_ISA`` (v2, v3,
v4, amx or generic) forces another. The layout of the engine: `net.pxi` (what it knows of a network), `scratch.pxi` (its
memory), `tile.h` (the register tile), `gemm.pxi` (the loops around it), `slabs.pxi` (gradients of narrow layers),
`single.h` (layers with one output), `lookahead.pxi` and `lookahead.h` (batches of a few rows), `parts.h`, `parts.pxi`
and `blocks.pxi` (products on a matrix unit), `jobs.h` (who does what of a product), `epilogues.pxi`, `updates.pxi` and
`losses.pxi` (what happens to a block while it is in cache), `elementary.h` (their functions), `softmax.h`,
`penalties.pxi`, `clipping.pxi`, `tied.pxi`, `noise.pxi` and `noise.h`, `normalization.pxi` and `normalization.h` (what
the names say), `panels.pxi`, `transpose.h` and `gather.h` (packing), `step.pxi` (the step, which reads like the
mathematics), `quantize.pxi` (numbers back into bytes), `engine.pxi` and `probes.pxi` (the doors), `pool.h` and
`event.h` (threads, and how they wait for one another).
"""

import functools
import importlib
import importlib.util
import os

import numpy as np
import threadpoolctl

from ..backend import BackendUnavailable
from ..losses import LOSSES
from ..memory import address
from ..plan import RATE_KERNEL_L2

try:
    _pool = importlib.import_module(f"{__name__}._pool")
except ImportError as error:
    raise BackendUnavailable(
        f"its compiled modules are missing ({error}); install a C compiler (gcc or clang) and the Python headers, "
        "then run `pip install -e .` again"
    ) from error

NAME = "cython"
_UINT8 = np.dtype(np.uint8)


def variants():
    """List the engine variants that were built, best first; a subset can run here."""
    return [v for v in ("amx", "v4", "v3", "v2", "generic") if importlib.util.find_spec(f"{__name__}._engine_{v}_f32")]


@functools.cache
def instruction_set():
    """The variant in use: the best that was built and can run, or the one that ``FASTNN_ISA`` names.

    Raises
    ------
    BackendUnavailable
        If there is none, or if the one named was not built or cannot run on this processor.
    """
    forced, built = os.environ.get("FASTNN_ISA"), variants()
    runs = _pool.instruction_sets("amx" in built and (not forced or forced == "amx"))
    usable = [v for v in runs if v in built]
    if forced and forced not in usable:
        raise BackendUnavailable(f"FASTNN_ISA={forced!r}: built are {built}, and this processor runs {runs}")
    if not usable:
        raise BackendUnavailable(f"no engine for this processor: built are {built}, and it runs {runs}")
    return forced or usable[0]


instruction_set()  # unavailable is unavailable on import, not in the first fit


class PoolController(threadpoolctl.LibController):
    """Makes `threadpoolctl.threadpool_limits` hold for the pool: a cap on the `threads` that each fit asks for."""

    user_api = internal_api = "fastnn"
    filename_prefixes = ("_pool",)
    check_symbols = ("fastnn_pool_get_num_threads", "fastnn_pool_set_num_threads")  # other packages have a _pool, too

    def get_num_threads(self):
        return self.dynlib.fastnn_pool_get_num_threads()

    def set_num_threads(self, num_threads):
        self.dynlib.fastnn_pool_set_num_threads(num_threads)

    def get_version(self):
        return None

    def set_additional_attributes(self):
        self.instruction_set = instruction_set()


threadpoolctl.register(PoolController)


@functools.cache
def _module(dtype):
    bits = {"float32": "f32", "float64": "f64"}[dtype.name]
    variant = instruction_set()
    if variant == "amx" and bits == "f64":  # what the matrix unit has nothing for
        variant = "v4"
    return importlib.import_module(f"{__name__}._engine_{variant}_{bits}")


class Workspace:
    """An engine with the plan it was made from."""

    def __init__(self, plan, batch_size, threads):
        self.plan = plan
        self.labels = LOSSES[plan.loss].labels
        self.engine = _module(plan.dtype).Engine(_pool.address(), plan, batch_size, threads)

    def data(self, x, y=None, weights=None, order=None):
        """Addresses as the engine takes them: x as uint8 or real, y as labels, uint8 or real, weights, order."""
        x8 = x.dtype == _UINT8
        y8 = y is not None and not self.labels and y.dtype == _UINT8
        a, t = address(x), address(y)
        return (
            a if x8 else 0,
            0 if x8 else a,
            t if self.labels else 0,
            t if y8 else 0,
            0 if self.labels or y8 else t,
            address(weights),
            address(order),
        )


def to_backend(plan, params, state, batch_size, threads):
    workspace = Workspace(plan, batch_size, threads)
    load(workspace, params, state)
    return workspace


def load(workspace, params, state):
    workspace.engine.load(address(params), address(state), workspace.plan.n_params)


def to_host(workspace, params, state):
    workspace.engine.store(address(params), address(state), workspace.plan.n_params)


def retune(workspace, plan):
    workspace.plan = plan
    workspace.engine.retune(plan.rates[:, RATE_KERNEL_L2].tolist())


def poison(workspace, byte):
    workspace.engine.poison(byte)


def expect(workspace, batch_size):
    _pool.rouse(workspace.engine.threads_for(batch_size))


def train(workspace, x, y, weights, order, rates, batch_size, seed, step, sums, outputs):
    data = workspace.data(x, y, weights, order)
    return workspace.engine.train(
        data,
        len(order),
        batch_size,
        address(rates),
        len(rates),
        seed & (2**64 - 1),
        step,
        address(sums),
        address(outputs),
    )


def loss_grad(workspace, x, y, weights, seed, step, gradient):
    sums = np.zeros(1 + len(workspace.plan.metrics))
    data = workspace.data(x, y, weights)
    workspace.engine.loss_grad(data, len(x), seed & (2**64 - 1), step, address(gradient), address(sums))
    return sums


def update(workspace, gradient, rate, step):
    workspace.engine.update(address(gradient), rate, step)


def evaluate(workspace, x, y, weights, sums):
    sums[...] = 0.0
    workspace.engine.evaluate(workspace.data(x, y, weights), len(x), address(sums))


def forward(workspace, x, first, last, out):
    return workspace.engine.forward(workspace.data(x), len(x), first, last, address(out))


def quantize(x, scale, out, threads):
    return _module(x.dtype).quantize(_pool.address(), address(x), x.size, scale, address(out), threads)


def gemm(a, b, out, trans_a, trans_b, threads):
    m, n = out.shape
    k = a.shape[0] if trans_a else a.shape[1]
    _module(out.dtype).gemm(_pool.address(), a, b, out, m, k, n, trans_a, trans_b, threads)


def activate(code, z, out, alpha):
    _module(z.dtype).activate(code, address(z), address(out), alpha, *z.shape)


def activate_grad(code, z, dy, out, alpha):
    _module(z.dtype).activate_grad(code, address(z), address(dy), address(out), alpha, *z.shape)


def loss(code, z, y, values, gradient, parameter):
    labels = LOSSES[code].labels
    addresses = (address(y), 0) if labels else (0, address(y))
    _module(z.dtype).loss(code, address(z), *addresses, address(values), address(gradient), parameter, *z.shape)


def dropout_mask(seed, step, op, out, rate):
    _module(np.dtype("float32")).dropout_mask(seed & (2**64 - 1), step, op, address(out), *out.shape, rate)


def normal_noise(seed, step, op, out):
    _module(out.dtype).normal_noise_rows(seed & (2**64 - 1), step, op, address(out), out.size)
