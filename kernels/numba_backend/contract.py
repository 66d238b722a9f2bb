"""The contract of `fastnn.kernels.backend` in terms of `engine.run`: fill in the record, call."""

from dataclasses import dataclass, field

import numpy as np

from .. import dropout
from ..losses import LOSSES
from ..memory import address, all_finite
from ..plan import RATE_KERNEL_L2
from . import engine, link, noise, optimizers, probes, products
from .batch import output
from .layout import (
    CACHE_LINE,
    INT32,
    L2_BLOCK,
    OP,
    REAL,
    SHARE,
    SIDE,
    UINT8,
    JobFields,
    aligned,
    by_parts,
    new_job,
    parts_size,
    private_size,
    round_up,
    tall_parts,
)
from .layout import workspace as _workspace
from .microkernel import lanes, panel
from .processor import ROWS
from .quantize import quantize_numbers
from .threads import NOBODY, team

# Work below which a thread more costs more than it saves, in multiplications a batch.
_WORK_PER_THREAD = 1_000_000
# Numbers to go through once below which it does.
_NUMBERS_PER_THREAD = 1 << 16
# And that `quantize` looks at before it wakes threads for the others.
_QUANTIZED_FIRST = 256
_KINDS = {np.dtype(np.uint8): UINT8, np.dtype(np.int32): INT32}
_NO_OPS = np.zeros(1, OP)


def _prepared(routine, dtype, job, ops, threads, wishes):
    fields = JobFields.of(job)
    for name, value in wishes.items():
        setattr(fields, name, value)
    args = dtype.type(0), routine.address(dtype), job, ops
    lead = engine.lead.function(dtype, (*args, NOBODY, 0))
    return lead, engine.attend_to.function(dtype, (*args, NOBODY)), threads, *args


def _call(routine, dtype, job, ops, threads, **wishes):
    team(*_prepared(routine, dtype, job, ops, threads, wishes))


def _run(workspace, rows, mode, **wishes):
    link.link(workspace, mode)
    workspace.shares[:] = 0
    dtype, threads = workspace.plan.dtype, _threads(workspace, rows)
    _call(engine.run, dtype, workspace.job, workspace.ops, threads, mode=mode, **wishes)
    return int(workspace.job["done"][0])


def _numbers(workspace, rates, step):
    plan = workspace.plan
    return optimizers.constants(plan.optimizer, plan.hyper, rates, step, plan.dtype)


def _threads(workspace, rows):
    # Results are the same for any number, so this is free to choose.
    return max(1, min(workspace.threads, 1 + 3 * rows * workspace.weights // _WORK_PER_THREAD))


def _data(x, y, weights):
    return {
        "x": address(x), "x_kind": _KINDS.get(x.dtype, REAL), "y": address(y),
        "y_kind": _KINDS.get(y.dtype, REAL), "weights": address(weights), "n": len(x),
    }  # fmt: skip


def _outputs(workspace, out, activation):
    if out is None:
        return {"out": 0}
    dtype = workspace.plan.dtype
    wishes = {"out": address(out), "output": output.address(dtype)}
    return wishes | {"output_activation": link.activation(activation, dtype)}


def to_backend(plan, params, state, batch_size, threads):
    workspace = _workspace(plan, batch_size, threads)
    load(workspace, params, state)
    return workspace


def load(workspace, params, state):
    workspace.pack(params, state)


def to_host(workspace, params, state):
    workspace.unpack(params, state)


def retune(workspace, plan):
    workspace.plan = plan
    workspace.ops["kernel_l2"] = plan.rates[:, RATE_KERNEL_L2]


def poison(workspace, byte):
    workspace.scratch.view(np.uint8)[...] = byte
    for scratch in (workspace.row_sums, workspace.sums, workspace.gradient, workspace.copies, workspace.statistics):
        scratch.view(np.uint8)[...] = byte


def expect(workspace, batch_size):
    pass  # to wake up, a helper takes the interpreter lock, which the caller still needs


def train(workspace, x, y, weights, order, rates, batch_size, seed, step, sums, outputs):
    numbers = _numbers(workspace, rates, step)
    return _run(
        workspace, batch_size, engine.TRAIN, order=address(order), numbers=address(numbers), count=len(rates),
        batch=batch_size, seed=_signed(seed), step=step, sums=address(sums),
        gradient=address(workspace.gradient), **_outputs(workspace, outputs, workspace.plan.output_activation),
        **_all_ops(workspace), **(_data(x, y, weights) | {"n": len(order)}),
    )  # fmt: skip


def loss_grad(workspace, x, y, weights, seed, step, gradient):
    sums, numbers = np.zeros(1 + len(workspace.plan.metrics)), _numbers(workspace, np.zeros(1), step)
    _run(
        workspace, len(x), engine.LOSS_GRAD, numbers=address(numbers), order=0, count=1, batch=len(x),
        seed=_signed(seed), step=step, sums=address(sums), gradient=address(gradient), out=0, **_all_ops(workspace),
        **_data(x, y, weights),
    )  # fmt: skip
    return sums


def update(workspace, gradient, rate, step):
    numbers = _numbers(workspace, np.array([rate], np.float64), step)
    _run(
        workspace, 1, engine.UPDATE, numbers=address(numbers), count=1, batch=1, n=1, gradient=address(gradient),
        step=step,
    )  # fmt: skip


def _all_ops(workspace):
    return {"first": 0, "last": len(workspace.ops) - 1}


def _in_order(workspace, n):
    # Inference takes the rows as they lie, as many at a time as there is room for.
    return {"order": 0, "batch": workspace.batch_size, "count": -(-n // workspace.batch_size)}


def evaluate(workspace, x, y, weights, sums):
    sums[...] = 0.0
    rows = min(len(x), workspace.batch_size)
    _run(
        workspace, rows, engine.EVALUATE, sums=address(sums), out=0, **_all_ops(workspace), **_data(x, y, weights),
        **_in_order(workspace, len(x)),
    )  # fmt: skip


def forward(workspace, x, first, last, out):
    rows = min(len(x), workspace.batch_size)
    outputs = _outputs(workspace, out, workspace.plan.activation_after(last))
    _run(
        workspace, rows, engine.FORWARD, x=address(x), x_kind=_KINDS.get(x.dtype, REAL), n=len(x), first=first,
        last=last, **outputs, **_in_order(workspace, len(x)),
    )  # fmt: skip
    return x.dtype == np.uint8 or all_finite(x)


def _signed(seed):
    """A seed of 64 bits as the int64 with the same bits."""
    return (seed + 2**63) % 2**64 - 2**63


@dataclass
class _Probe:
    """A record and scratch: new ones would cost more than a small product. A product of the same kind as the last finds
    all but three addresses in place: to fill in the rest would take longer than to compute it."""

    job: np.ndarray = field(default_factory=new_job)
    scratch: np.ndarray = field(default_factory=lambda: aligned(0, np.dtype(np.uint8)))
    shares: np.ndarray = None
    kind: tuple = ()
    call: tuple = ()


_spare = []  # the probe that ran last


def _take():
    try:
        return _spare.pop()
    except IndexError:
        return _Probe()


def _prepare(probe, routine, dtype, threads=1, own=0, widest=1, **wishes):
    # Each thread has `own` numbers for a start, and then what `batch.private` says.
    step = round_up(own + private_size(widest, dtype.itemsize), CACHE_LINE // dtype.itemsize)
    if probe.scratch.size < threads * step * dtype.itemsize:
        probe.scratch = aligned(threads * step * dtype.itemsize, np.dtype(np.uint8))
    wishes |= {"scratch": address(probe.scratch), "private": own, "private_step": step}
    probe.kind, probe.call = (), _prepared(routine, dtype, probe.job, _NO_OPS, threads, wishes)


def _probe(routine, dtype, **wishes):
    probe = _take()
    _prepare(probe, routine, dtype, **wishes)
    team(*probe.call)
    done = int(probe.job["done"][0])
    _spare[:] = [probe]
    return done


def quantize(x, scale, out, threads):
    threads = max(1, min(threads, x.size // _NUMBERS_PER_THREAD))
    if threads > 1 and not quantize(x.reshape(-1)[:_QUANTIZED_FIRST], scale, out.reshape(-1)[:_QUANTIZED_FIRST], 1):
        return False  # without waking them
    wishes = {"a": address(x), "out": address(out), "n": x.size, "alpha": scale, "done": 1}
    return _probe(quantize_numbers, x.dtype, threads=threads, **wishes) == 1


def gemm(a, b, out, trans_a, trans_b, threads):
    kind = out.shape, a.shape, trans_a, trans_b, threads, a.itemsize
    probe = _take()
    if probe.kind != kind:
        _prepare_product(probe, *out.shape, a.shape[0 if trans_a else 1], trans_a, trans_b, a.dtype, threads)
        probe.kind = kind
    products.take.function(a.dtype, (probe.job, a, b, out))(probe.job, a, b, out)
    probe.shares.fill(0)  # who has not come the last time has not counted its products
    team(*probe.call)
    _spare[:] = [probe]


def _stretch(whole, most, unit):
    """The length of equal stretches, multiples of `unit`, that `whole` is cut into: about `most`."""
    units = -(-whole // unit)
    return -(-units // -(-units * unit // max(most, unit))) * unit


def _prepare_product(probe, m, n, k, trans_a, trans_b, dtype, threads):
    threads = min(threads, 1 + m * n * k // _WORK_PER_THREAD)
    parts = by_parts(k, n, m, dtype)
    if parts:
        routines = products.split_left_blocks, products.split_right_blocks, products.panels_by_blocks
        width = together = SIDE
        deep = _stretch(k, L2_BLOCK // parts_size(min(m, 8 * SIDE), SIDE) // dtype.itemsize * SIDE, SIDE)
        tall, size = tall_parts(deep), parts_size(SIDE, deep)
        across = min(-(-n // width), max(1, L2_BLOCK // 2 // size // dtype.itemsize))
    else:
        routines = products.pack_left, products.pack_right, products.panels_by_tiles
        width, count = panel(n, lanes(dtype.itemsize)), lanes(dtype.itemsize)
        together = panel(m, count) if trans_a else ROWS
        deep, tall, across, size = k, L2_BLOCK // (k * dtype.itemsize), 1, round_up(k, count) * width
    tall = _stretch(m, tall, together)
    left = parts_size(tall, deep) if parts else tall * k if trans_a else 0
    probe.shares = np.zeros(threads * SHARE, np.int64)
    names = "prepare_left", "prepare_right", "multiply_panels"
    _prepare(
        probe, products.product, dtype, threads, left + across * size, m=m, k=k, n=n, trans_a=trans_a, trans_b=trans_b,
        width=width, together=together, tall=tall, deep=deep, across=across, right=left, deepest=int(parts),
        shares=address(probe.shares), **{name: one.address(dtype) for name, one in zip(names, routines, strict=True)},
    )  # fmt: skip


def _rows(z, out, **wishes):
    width = round_up(z.shape[1], 16)
    return {"a": address(z), "out": address(out), "m": z.shape[0], "k": z.shape[1], "own": width, **wishes}


def activate(code, z, out, alpha):
    routine = link.activation(code, z.dtype)
    if routine:
        _probe(probes.activated_rows, z.dtype, **_rows(z, out, activate_row=routine, alpha=alpha))
    else:
        out[...] = z


def activate_grad(code, z, dy, out, alpha):
    routine = link.activation(code, z.dtype, gradient=True)
    if routine:
        wishes = {"activate_row": routine, "alpha": alpha, "b": address(dy)}
        _probe(probes.activation_gradients, z.dtype, **_rows(z, out, **wishes))
    else:
        out[...] = dy


def loss(code, z, y, values, gradient, parameter):
    wishes = {"loss_row": link.loss(code, z.dtype), "alpha": parameter, "labels": LOSSES[code].labels}
    _probe(probes.loss_rows, z.dtype, **_rows(z, gradient, b=address(y), sums=address(values), **wishes))


def dropout_mask(seed, step, op, out, rate):
    wishes = {"seed": _signed(seed), "step": step, "code": op, "k": dropout.threshold(rate)}
    _probe(noise.fill_mask, np.dtype(np.float32), out=address(out), n=out.size, **wishes)


def normal_noise(seed, step, op, out):
    _probe(noise.fill_noise, out.dtype, seed=_signed(seed), step=step, code=op, out=address(out), n=out.size)
