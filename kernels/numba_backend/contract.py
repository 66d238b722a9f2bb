"""The contract of `fastnn.kernels.backend` in terms of `engine.run`: fill in the record, call."""

import numpy as np

from .. import dropout
from ..losses import LOSSES
from ..plan import OP_IN, OP_OUT, OP_WEIGHTS, RATE_KERNEL_L2
from . import engine
from .layout import INT32, OP, REAL, UINT8, address, aligned, new_job, private_size, round_up
from .layout import workspace as _workspace
from .microkernel import lanes, panel
from .threads import team

# Work below which a thread more costs more than it saves, in multiplications a batch.
_WORK_PER_THREAD = 1_000_000
_KINDS = {np.dtype(np.uint8): UINT8, np.dtype(np.int32): INT32}
_NO_OPS = np.zeros(1, OP)
_spare = []  # scratch that the last probe gave back: fresh pages would cost more than a small product


def _call(entry, dtype, job, ops, threads, **wishes):
    for name, value in wishes.items():
        job[name] = value
    job["threads"] = threads
    like = dtype.type(0)
    entry.prepare(dtype, (like, job, ops, 0))
    return team(entry, threads, like, job, ops)


def _run(workspace, rows, **wishes):
    return _call(engine.run, workspace.plan.dtype, workspace.job, workspace.ops, _threads(workspace, rows), **wishes)


def _threads(workspace, rows):
    # Results are the same for any number, so this is free to choose.
    ops = workspace.plan.ops
    work = 3 * rows * int((ops[:, OP_IN] * ops[:, OP_OUT] * (ops[:, OP_WEIGHTS] >= 0) + ops[:, OP_OUT]).sum())
    return max(1, min(workspace.threads, 1 + work // _WORK_PER_THREAD))


def _data(x, y, weights):
    return {
        "x": address(x), "x_kind": _KINDS.get(x.dtype, REAL), "y": address(y),
        "y_kind": _KINDS.get(y.dtype, REAL), "weights": address(weights), "n": len(x),
    }  # fmt: skip


def to_backend(plan, params, state, batch_size, threads):
    workspace = _workspace(plan, batch_size, threads)
    workspace.pack(params, state)
    return workspace


def to_host(workspace, params, state):
    workspace.unpack(params, state)


def retune(workspace, plan):
    workspace.plan = plan
    workspace.ops["kernel_l2"] = plan.rates[:, RATE_KERNEL_L2]


def poison(workspace, byte):
    workspace.scratch.view(np.uint8)[...] = byte
    for scratch in (workspace.row_sums, workspace.sums, workspace.gradient, workspace.copies):
        scratch.view(np.uint8)[...] = byte


def train(workspace, x, y, weights, order, rates, batch_size, seed, step, sums, outputs):
    return _run(
        workspace, batch_size, mode=engine.TRAIN, order=address(order), rates=address(rates), count=len(rates),
        batch=batch_size, seed=_signed(seed), step=step, sums=address(sums), out=address(outputs),
        gradient=address(workspace.gradient),
        after=workspace.plan.output_activation, **_all_ops(workspace), **(_data(x, y, weights) | {"n": len(order)}),
    )  # fmt: skip


def loss_grad(workspace, x, y, weights, seed, step, gradient):
    sums = np.zeros(1 + len(workspace.plan.metrics))
    _run(
        workspace, len(x), mode=engine.LOSS_GRAD, order=0, count=1, batch=len(x), seed=_signed(seed), step=step,
        sums=address(sums), gradient=address(gradient), out=0, **_all_ops(workspace), **_data(x, y, weights),
    )  # fmt: skip
    return sums


def update(workspace, gradient, rate, step):
    rates = np.array([rate], np.float64)
    _run(
        workspace, 1, mode=engine.UPDATE, rates=address(rates), count=1, batch=1, n=1, gradient=address(gradient),
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
        workspace, rows, mode=engine.EVALUATE, sums=address(sums), out=0, **_all_ops(workspace), **_data(x, y, weights),
        **_in_order(workspace, len(x)),
    )  # fmt: skip


def forward(workspace, x, first, last, out):
    rows = min(len(x), workspace.batch_size)
    after = workspace.plan.activation_after(last)
    _run(
        workspace, rows, mode=engine.FORWARD, x=address(x), x_kind=_KINDS.get(x.dtype, REAL), n=len(x), first=first,
        last=last, after=after, out=address(out), **_in_order(workspace, len(x)),
    )  # fmt: skip


def _signed(seed):
    """A seed of 64 bits as the int64 with the same bits."""
    return (seed + 2**63) % 2**64 - 2**63


def _probe(dtype, threads=1, scratch_size=0, widest=1, **wishes):
    step = round_up(private_size(widest, dtype.itemsize), 16)
    size = (scratch_size + threads * step) * dtype.itemsize
    try:
        scratch = _spare.pop()
    except IndexError:
        scratch = None
    if scratch is None or scratch.size < size:
        scratch = aligned(size, np.dtype(np.uint8))
    wishes |= {"scratch": address(scratch), "private": scratch_size, "private_step": step}
    _call(engine.probe, dtype, new_job(), _NO_OPS, threads, **wishes)
    _spare[:] = [scratch]


def gemm(a, b, out, trans_a, trans_b, threads):
    (m, n), k = out.shape, a.shape[0 if trans_a else 1]
    count = lanes(a.itemsize)
    right, left = round_up(n, panel(n, count)) * k, round_up(m, panel(m, count)) * k if trans_a else 0
    _probe(
        a.dtype, threads, round_up(right + left, 16), mode=engine.GEMM, a=address(a), b=address(b), out=address(out),
        m=m, k=k, n=n, trans_a=trans_a, trans_b=trans_b, after=right, itemsize=a.itemsize,
    )  # fmt: skip


def activate(code, z, out, alpha):
    wishes = {"mode": engine.ACTIVATE, "code": code, "alpha": alpha, "a": address(z), "out": address(out)}
    _probe(z.dtype, scratch_size=round_up(z.shape[1], 16), m=z.shape[0], k=z.shape[1], **wishes)


def activate_grad(code, z, dy, out, alpha):
    wishes = {"mode": engine.ACTIVATE_GRAD, "code": code, "alpha": alpha, "b": address(dy)}
    shape = {"m": z.shape[0], "k": z.shape[1], "scratch_size": round_up(z.shape[1], 16)}
    _probe(z.dtype, a=address(z), out=address(out), **shape, **wishes)


def loss(code, z, y, values, gradient, parameter):
    wishes = {"mode": engine.LOSS, "code": code, "alpha": parameter, "labels": LOSSES[code].labels}
    wishes |= {"a": address(z), "b": address(y)}
    shape = {"m": z.shape[0], "k": z.shape[1], "scratch_size": round_up(z.shape[1], 16)}
    _probe(z.dtype, out=address(gradient), sums=address(values), **shape, **wishes)


def dropout_mask(seed, step, op, out, rate):
    wishes = {"mode": engine.MASK, "seed": _signed(seed), "step": step, "code": op, "k": dropout.threshold(rate)}
    _probe(np.dtype(np.float32), out=address(out), n=out.size, **wishes)


def normal_noise(seed, step, op, out):
    _probe(out.dtype, mode=engine.NOISE, seed=_signed(seed), step=step, code=op, out=address(out), n=out.size)
