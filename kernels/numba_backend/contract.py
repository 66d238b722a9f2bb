"""The contract of `fastnn.kernels.backend` in terms of `engine.run`: fill in the record, call."""

from dataclasses import dataclass, field

import numpy as np

from .. import dropout
from ..losses import LOSSES
from ..memory import address, all_finite
from ..plan import RATE_KERNEL_L2
from . import engine, link, matrix_unit, noise, optimizers, probes
from .batch import output
from .layout import (
    DEPTH,
    INT32,
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
    private_parts_size,
    private_size,
    round_up,
    tall_parts,
)
from .layout import workspace as _workspace
from .matmul import multiply
from .microkernel import lanes, panel
from .quantize import quantize_numbers
from .threads import team

# Work below which a thread more costs more than it saves, in multiplications a batch.
_WORK_PER_THREAD = 1_000_000
# Numbers to go through once below which it does.
_NUMBERS_PER_THREAD = 1 << 16
_KINDS = {np.dtype(np.uint8): UINT8, np.dtype(np.int32): INT32}
_NO_OPS = np.zeros(1, OP)


def _prepared(routine, dtype, job, ops, threads, wishes):
    fields = JobFields.of(job)
    for name, value in wishes.items():
        setattr(fields, name, value)
    fields.threads = threads
    args = dtype.type(0), routine.address(dtype), job, ops
    return engine.enter.function(dtype, (*args, 0)), threads, *args


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

    def __post_init__(self):
        self.fields = JobFields.of(self.job)


_spare = []  # the probe that ran last


def _take():
    try:
        return _spare.pop()
    except IndexError:
        return _Probe()


def _prepare(probe, routine, dtype, threads=1, scratch_size=0, widest=1, deepest=0, **wishes):
    parts = round_up(private_size(widest, dtype.itemsize), 16)
    step = parts + round_up(private_parts_size(deepest), 16)
    size = (scratch_size + threads * step) * dtype.itemsize
    if probe.scratch.size < size:
        probe.scratch = aligned(size, np.dtype(np.uint8))
    wishes |= {"scratch": address(probe.scratch), "private": scratch_size, "private_step": step}
    wishes |= {"private_parts": parts, "deepest": deepest}
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
    wishes = {"a": address(x), "out": address(out), "n": x.size, "alpha": scale, "done": 1}
    return _probe(quantize_numbers, x.dtype, threads=threads, **wishes) == 1


def gemm(a, b, out, trans_a, trans_b, threads):
    kind = out.shape, a.shape, trans_a, trans_b, threads, a.itemsize
    probe = _take()
    if probe.kind != kind:
        _prepare_product(probe, *out.shape, a.shape[0 if trans_a else 1], trans_a, trans_b, a.dtype, threads)
        probe.kind = kind
    fields = probe.fields
    fields.out, fields.a, fields.b = address(out), address(a), address(b)
    team(*probe.call)
    _spare[:] = [probe]


def _prepare_product(probe, m, n, k, trans_a, trans_b, dtype, threads):
    threads = min(threads, 1 + m * n * k // _WORK_PER_THREAD)
    wishes = {
        "m": m, "k": k, "n": n, "trans_a": trans_a, "trans_b": trans_b, "itemsize": dtype.itemsize,
        "multiply": multiply.address(dtype),
    }  # fmt: skip
    if by_parts(k, n, m, dtype):
        wishes |= {name: getattr(matrix_unit, name).address(dtype) for name in ("split_panel", "multiply_parts")}
        deep = min(k, DEPTH)
        size = round_up(parts_size(min(round_up(m, SIDE), tall_parts(deep)), deep), 16)
        probe.shares = np.zeros(threads * SHARE, np.int64)
        wishes |= {"right": size, "shares": address(probe.shares), "deepest": -(-deep // SIDE)}
        _prepare(probe, probes.product_parts, dtype, threads, threads * size, **wishes)
        return
    count = lanes(dtype.itemsize)
    right, left = round_up(n, panel(n, count)) * k, round_up(m, panel(m, count)) * k if trans_a else 0
    _prepare(probe, probes.product, dtype, threads, round_up(right + left, 16), right=right, **wishes)


def _rows(z, out, **wishes):
    width = round_up(z.shape[1], 16)
    return {"a": address(z), "out": address(out), "m": z.shape[0], "k": z.shape[1], "scratch_size": width, **wishes}


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
