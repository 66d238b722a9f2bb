"""Where everything lies: the packed vectors, the scratch, and the records that compiled code reads.

Packed weights: W (I, O) becomes panels (O / WIDTH, I8, WIDTH) with I8 = I rounded up to whole tiles, so that a tile of
a weight gradient, 8 rows of a panel, is one contiguous piece of parameters and of each state vector. A bias becomes
(O / WIDTH, WIDTH). All padding is zero and stays zero.

Activations and their gradients are rows, `pitch` apart (see `pitch`); a gradient that has to be multiplied with W^T
lies transposed for the time of that product, in panels (rows / WIDTH, O, WIDTH).
"""

from dataclasses import dataclass

import numpy as np

from .. import activations, dropout
from ..losses import LOSSES
from ..plan import DENSE, OP_ACTIVATION, OP_BIAS, OP_CODE, OP_IN, OP_OUT, OP_WEIGHTS, RATE_ALPHA, RATE_DROPOUT, Plan
from .microkernel import ROWS, lanes, width


def _record(integers, reals, *others):
    return np.dtype([(n, np.int64) for n in integers.split()] + [(n, np.float64) for n in reals.split()] + [*others])


# One record an operation. Offsets count elements: w, b in the packed vectors (-1: none), flat_* in the flat ones, the
# others in the scratch. `same` says that the output is the pre-activation itself.
OP = _record(
    "code n_in n_out activation w b flat_w flat_b x x_pitch z y d pitch same threshold",
    "alpha scale",
)

# What one call of the compiled code does and on what: `mode` is a constant of `engine`, arrays are addresses.
# `barrier` is the address of `meeting`, where the threads wait for each other: it lies in here because a late thread,
# which has hold of this record, may still look at it when the call is over.
JOB = _record(
    "mode threads barrier n_ops loss labels optimizer n_metrics metrics hyper slots packed params state scratch "
    "turned widest private private_step row_sums x x_kind y y_kind weights order n batch rates count sums gradient "
    "seed step first last after out a b m k trans_a trans_b code",
    "input_scale target_scale threshold alpha rate",
    ("meeting", np.int64, 16),
)

REAL, UINT8, INT32 = range(3)
_CACHE_LINE = 64


def round_up(n, step):
    """The smallest multiple of `step` that is not below `n`."""
    return -(-n // step) * step


def pitch(n, itemsize):
    """Distance of rows of n: whole vectors, and no multiple of 1 KB, which would put all rows in one cache set."""
    row = round_up(n, lanes(itemsize))
    return row + lanes(itemsize) if row * itemsize % 1024 == 0 else row


def aligned(size, dtype):
    """Zeros (size,) that begin on a cache line."""
    raw = np.zeros(size * dtype.itemsize + _CACHE_LINE, np.uint8)
    start = -raw.ctypes.data % _CACHE_LINE
    return raw[start : start + size * dtype.itemsize].view(dtype)


def new_job():
    """A JOB record (in an array of one) of zeros, but for the address of its own barrier."""
    job = np.zeros(1, JOB)
    job["barrier"] = job.ctypes.data + JOB.fields["meeting"][1]
    return job


class _Space:
    """Hands out offsets, a cache line apart at least."""

    def __init__(self, itemsize):
        self.size, self._step = 0, _CACHE_LINE // itemsize

    def take(self, n):
        start = self.size
        self.size += round_up(n, self._step)
        return start


def _operations(plan, batch_size, packed, scratch):
    """The OP records of a plan, with room taken for all they need."""
    itemsize = plan.dtype.itemsize
    panel = width(itemsize)
    ops, gradient = np.zeros(len(plan.ops), OP), None
    place, place_pitch = scratch.take(batch_size * pitch(plan.n_inputs, itemsize)), pitch(plan.n_inputs, itemsize)
    for op, record, rates in zip(ops, plan.ops, plan.rates, strict=True):
        rate = rates[RATE_DROPOUT].item()
        op["code"], op["n_in"], op["n_out"] = record[OP_CODE], record[OP_IN], record[OP_OUT]
        op["activation"], op["alpha"] = record[OP_ACTIVATION], rates[RATE_ALPHA]
        op["threshold"], op["scale"] = dropout.threshold(rate) if rate else -1, 1.0 / (1.0 - rate)
        op["x"], op["x_pitch"], op["w"], op["b"] = place, place_pitch, -1, -1
        op["flat_w"], op["flat_b"] = record[OP_WEIGHTS], record[OP_BIAS]
        n_in, n_out = int(record[OP_IN]), int(record[OP_OUT])
        if record[OP_CODE] == DENSE:
            op["w"] = packed.take(round_up(n_in, ROWS) * round_up(n_out, panel))
            op["b"] = packed.take(round_up(n_out, panel)) if record[OP_BIAS] >= 0 else -1
            place_pitch = pitch(n_out, itemsize)
            place = scratch.take(batch_size * place_pitch)
        # One gradient serves a dense operation and the elementwise ones that follow it, in place.
        if record[OP_CODE] == DENSE or gradient is None:
            gradient = scratch.take(batch_size * place_pitch)
        op["d"] = gradient
        op["z"], op["pitch"] = place, place_pitch
        op["same"] = record[OP_ACTIVATION] == activations.LINEAR and not rate
        if not op["same"]:
            place = scratch.take(batch_size * place_pitch)
        op["y"] = place
    return ops


def _views(ops, flat, packed, itemsize):
    """Pairs of a part of the flat vector and its place in the packed one, of equal shapes."""
    panel = width(itemsize)
    for op in ops:
        if op["code"] != DENSE:
            continue
        n_in, n_out, panels = int(op["n_in"]), int(op["n_out"]), -(-int(op["n_out"]) // panel)
        deep = round_up(n_in, ROWS)
        w = packed[op["w"] : op["w"] + panels * deep * panel].reshape(panels, deep, panel)
        flat_w = flat[op["flat_w"] : op["flat_w"] + n_in * n_out].reshape(n_in, n_out)
        for j in range(panels):
            columns = slice(j * panel, min((j + 1) * panel, n_out))
            yield flat_w[:, columns], w[j, :n_in, : columns.stop - columns.start]
        if op["b"] >= 0:
            yield flat[op["flat_b"] : op["flat_b"] + n_out], packed[op["b"] : op["b"] + n_out]


@dataclass
class Workspace:
    """One fit: the job record with its standing entries filled in, and the arrays it points to."""

    plan: Plan
    batch_size: int
    threads: int
    ops: np.ndarray
    job: np.ndarray
    params: np.ndarray
    state: np.ndarray
    scratch: np.ndarray
    row_sums: np.ndarray

    def pack(self, params, state):
        """Flat vectors into the packed ones."""
        for flat, packed in zip((params, *state), (self.params, *self.state), strict=True):
            for source, place in _views(self.ops, flat, packed, self.plan.dtype.itemsize):
                place[...] = source

    def unpack(self, params, state):
        """The packed vectors into flat ones."""
        for flat, packed in zip((params, *state), (self.params, *self.state), strict=True):
            for place, source in _views(self.ops, flat, packed, self.plan.dtype.itemsize):
                place[...] = source


def address(array):
    """Where an array's data lies; 0 for None."""
    return 0 if array is None else array.ctypes.data


def private_size(widest, itemsize):
    """Elements of scratch that one thread has for itself: a tile, the optimiser's constants, two rows."""
    return ROWS * width(itemsize) + 16 + 2 * pitch(widest, itemsize)


def workspace(plan, batch_size, threads):
    """Allocate all that a fit with batches of up to `batch_size` rows needs; parameters and state are zero."""
    itemsize = plan.dtype.itemsize
    packed, scratch = _Space(itemsize), _Space(itemsize)
    ops = _operations(plan, batch_size, packed, scratch)
    widest = max(int(ops["n_in"].max()), int(ops["n_out"].max()))
    job = new_job()
    # Each thread turns its own rows, in panels of its own.
    job["widest"] = round_up(widest, _CACHE_LINE // itemsize)
    job["turned"] = scratch.take((batch_size + threads * width(itemsize)) * int(job["widest"][0]))
    job["private_step"] = round_up(private_size(widest, itemsize), _CACHE_LINE // itemsize)
    job["private"] = scratch.take(int(job["private_step"][0]) * threads)
    params = aligned(packed.size, plan.dtype)
    state = aligned(packed.size * plan.n_slots, plan.dtype).reshape(plan.n_slots, packed.size)
    room = aligned(scratch.size, plan.dtype)
    row_sums = np.zeros(batch_size * (1 + len(plan.metrics)))
    standing = {
        "n_ops": len(ops), "loss": plan.loss, "labels": LOSSES[plan.loss].labels,
        "optimizer": plan.optimizer, "n_metrics": len(plan.metrics), "metrics": address(plan.metrics),
        "hyper": address(plan.hyper), "slots": plan.n_slots, "packed": packed.size, "params": address(params),
        "state": address(state), "scratch": address(room), "row_sums": address(row_sums), "batch": batch_size,
        "input_scale": plan.input_scale, "target_scale": plan.target_scale, "threshold": plan.threshold,
    }  # fmt: skip
    for name, value in standing.items():
        job[name] = value
    return Workspace(plan, batch_size, threads, ops, job, params, state, room, row_sums)
