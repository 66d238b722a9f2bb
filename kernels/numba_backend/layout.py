"""Where everything lies: the packed vectors, the scratch, and the records that compiled code reads.

Every matrix (rows, n) lies in panels, [n / P][rows][P], with P = `panel(n)`, one to three vectors wide: a panel is what
a register tile takes for its right side and makes for its result, and its left side is read from panels as well.
Weights (I, O) have their rows rounded up to whole tiles, so that a tile of a weight gradient is one contiguous piece of
W and of each state vector; a bias is one row. A batch has its rows rounded up, see `panel_height` (`high`).

What stands in padding is arbitrary, and only padding is ever computed from it.
"""

import ctypes
from dataclasses import dataclass

import numpy as np

from .. import dropout
from ..activations import ACTIVATIONS, LINEAR
from ..memory import address
from ..optimizers import OPTIMIZERS
from ..plan import (
    BATCH_NORM,
    CLIP_GLOBAL,
    CLIP_NORM,
    CLIP_VALUE,
    DENSE,
    ELEMENTWISE,
    OP_ACTIVATION,
    OP_BIAS,
    OP_CODE,
    OP_IN,
    OP_MOVING,
    OP_OUT,
    OP_WEIGHTS,
    RATE_ACTIVITY_L1,
    RATE_DROPOUT,
    RATE_KEPT,
    RATE_KERNEL_L1,
    RATE_MAX_NORM,
    RATE_NON_NEGATIVE,
    RATES,
    TIED,
    Plan,
)
from .microkernel import lanes, panel
from .processor import LANES, MATRIX_UNIT, ROWS, VECTORS


def _record(integers, reals, *others):
    return np.dtype([(n, np.int64) for n in integers.split()] + [(n, np.float64) for n in reals.split()] + [*others])


# Routines that a job may need: fields of the record by the same names hold their addresses; see `link`.
ROUTINES = """
    gather gather_parts forward multiply rowwise_forward drop_rows noise_rows loss loss_row output output_activation
    rows_backward rowwise_backward finish_backward backward input_gradients weight_gradients apply decay_weights
    activate_row add_activities sum_penalties total_penalty add_slope sum_squares clip_factor clip_values constrain
    add_tied refresh_tied normalize hand_down_norm norm_weights multiply_parts split_inputs split_panel split_rows
    input_gradients_parts input_gradients_rows slab_gradients add_up update descend descend_and_look_ahead forward_ahead
    prepare_left prepare_right multiply_panels
"""

# One record an operation. `panel_in` and `panel` are the widths of the panels of its inputs and of its outputs.
# Offsets count elements: w, b in the packed vectors, flat_* in the flat ones (-1: none), the others in the scratch.
# z holds the pre-activation, y the output (in the same place where there is no activation), d the gradient by z, turned
# its transpose (-1: nobody needs it). Where products are made on the matrix unit, x_parts are those of the transpose of
# the inputs (elsewhere -1) and d_parts those of d (-1: nobody needs them). For by_rows see the function; `slabs` are
# gradients of W and b, one after the other for each slab of rows (-1: none). W has w_rows rows and room for `deep`; a
# gamma has 1. At `moving` are the moving means, moving_jump further on the variances; `statistics` is the address of
# what `normalization` keeps.
OP = _record(
    "code n_in n_out panel_in panel rowwise w b flat_w flat_b y z d turned threshold penalized first_panel source "
    "x_parts d_parts by_rows slabs activate activate_grad w_rows deep moving moving_jump flat_moving statistics groups",
    "alpha scale kernel_l1 kernel_l2 bias_l1 bias_l2 activity_l1 activity_l2 min_norm max_norm non_negative "
    "gaussian_noise gaussian_dropout kernel_decay bias_decay epsilon momentum",
)

# What one call of the compiled code does and on what: `mode` is a constant of `engine`, arrays are addresses.
# `barrier` is the address of `meeting`, where the threads wait for each other: it lies in here because a late thread,
# which has hold of this record, may still look at it when the call is over.
# `product` is what `lookahead` makes for the next row.
# For one product alone: panels of its right factor are `width` wide and prepared `across` at a time; stretches of it
# have `tall` rows, shared out `together`, and are `deep`; a thread's left factor comes first in what it has for itself,
# the right one at `right`.
JOB = _record(
    "mode threads done barrier n_ops lowest labels sgd n_metrics metrics packed params state itemsize "
    "scratch gathered copy_step row_step private private_step widest row_sums x x_kind y y_kind weights order n batch "
    "numbers count sums gradient seed step first last out a b m k trans_a trans_b code zeros "
    "width together tall deep across right "
    "penalty penalized constrained whole squares clip_global tied tied_gradient "
    "parts own_parts deepest private_parts private_turned shares slabs product" + ROUTINES,
    "input_scale target_scale threshold loss_parameter alpha clip_value clip_norm",
    ("meeting", np.int64, 16),
)


class JobFields(ctypes.Structure):
    """The numbers of a JOB record, for a call to fill in: NumPy would take five times as long."""

    __slots__ = ()  # no other names
    _fields_ = [(n, ctypes.c_double if JOB[n] == np.float64 else ctypes.c_int64) for n in JOB.names if n != "meeting"]

    @classmethod
    def of(cls, job):
        """Those of an array of one record."""
        return cls.from_buffer(job.view(np.uint8))  # of a record NumPy would describe all fields


REAL, UINT8, INT32 = range(3)
# Up to so many threads gather the whole batch each for themselves: quicker than to fetch the others' part from their
# caches, and than to wait for it.
COPIES = 4
# Numbers that a normalisation keeps of each column, or of each row.
GROUP_NUMBERS = 5
# Integers that a thread has for sharing out jobs, two cache lines; see `threads.take_jobs`.
SHARE = 16
# Rows of scratch that a thread has for itself.
SPARE_ROWS = 4
CACHE_LINE, _LARGE_PAGE = 64, 1 << 21
# Bytes of a left factor that stay in a second-level cache while panels of the right one go by.
L2_BLOCK = 1 << 20
# Slabs that a batch is cut into at most, whatever the number of threads; and weights of a layer whose rows threads
# share.
SLABS, BY_ROWS = 4, 1 << 15
# Room for the parts of the inputs, in float32 numbers, up to which each thread has its own; see `batch.has_own_parts`.
OWN_PARTS = 3 << 20
# Blocks of the matrix unit: rows and columns, and float32 numbers of room that a part and all three parts take.
SIDE, PART, BLOCK_PARTS = 32, 32 * 32 // 2, 3 * 32 * 32 // 2
# Weights of a layer that the matrix unit is not used for, and rows of a batch from which on it is.
SMALL, LEAST_ROWS = 4096, 16
# Squares that are summed at a time: always the same, so that threads do not matter.
NORM_BLOCK = 8192


def round_up(n, step):
    """The smallest multiple of `step` that is not below `n`."""
    return -(-n // step) * step


def padded_rows(rows, itemsize):
    """`rows` of a batch, rounded up to whole tiles and whole vectors."""
    return round_up(rows, int(np.lcm(ROWS, lanes(itemsize))))


def aligned(size, dtype):
    """Zeros (size,) that begin on a cache line, or on a large page where they fill one.

    With small pages, a sweep over large weights and state would wait for addresses as often as for data.
    """
    step = CACHE_LINE if size * dtype.itemsize < _LARGE_PAGE else _LARGE_PAGE
    raw = np.zeros(size * dtype.itemsize + step, np.uint8)
    start = -raw.ctypes.data % step
    return raw[start : start + size * dtype.itemsize].view(dtype)


_ZEROS = aligned(VECTORS * LANES, np.dtype(np.float32))


def panel_height(rows, itemsize):
    """Rows of a panel for a batch: an odd number of steps, so that the same row of neighbouring panels is not always in
    the same places of the first-level cache."""
    step = padded_rows(1, itemsize)
    return (-(-rows // step) | 1) * step


def new_job():
    """A JOB record (in an array of one) of zeros, but for the addresses of its own barrier and of a row of zeros."""
    job = np.zeros(1, JOB)
    job["barrier"] = job.ctypes.data + JOB.fields["meeting"][1]
    job["zeros"] = address(_ZEROS)
    return job


class _Space:
    """Hands out offsets, a cache line apart at least."""

    def __init__(self, itemsize):
        self.size, self._step = 0, CACHE_LINE // itemsize

    def take(self, n):
        start = self.size
        self.size += round_up(n, self._step)
        return start


def by_parts(n_in, n_out, rows, dtype):
    """Whether a product of these sizes is made on the matrix unit: it must be worth its splitting and its padding."""
    large = min(n_in, n_out) > LANES and rows >= LEAST_ROWS and n_in * n_out > SMALL
    return MATRIX_UNIT and dtype == np.float32 and large


def by_rows(n_in, n_out, rows):
    """Whether threads share the rows of a layer, and not its columns. Each then needs all weights, which must be few,
    but its own rows of everything else: a run of such layers goes up, and down again, without a barrier."""
    return n_in * n_out <= BY_ROWS and n_in * n_out <= rows * (n_in + n_out)


def by_slabs(n_in, n_out, rows):
    """Whether, of such a layer, threads exchange gradients of slabs of rows and not the rows: if that is less."""
    return SLABS * n_in * n_out <= rows * (n_in + n_out)


def parts_size(rows, columns):
    """Float32 numbers of room that the parts of a matrix take."""
    return -(-rows // SIDE) * -(-columns // SIDE) * BLOCK_PARTS


def tall_parts(depth):
    """Rows of a left factor in parts, whole blocks of them, that stay in a second-level cache."""
    return max(1, L2_BLOCK // ((depth + SIDE - 1) // SIDE * BLOCK_PARTS * 4)) * SIDE


def private_parts_size(deepest):
    """Float32 numbers of room that a thread has for panels of so many blocks; see `batch.private_parts`."""
    return deepest * (BLOCK_PARTS + SIDE * SIDE) + (SIDE + ROWS) * SIDE


def _operations(plan, batch_size, copies, packed, scratch):
    """The OP records of a plan, with room taken for all they need."""
    itemsize = plan.dtype.itemsize
    count = lanes(itemsize)
    high = panel_height(batch_size, itemsize)
    ops = np.zeros(len(plan.ops), OP)
    trained = False  # whether there is an operation further down whose weights want a gradient
    first_panel = copied = 0
    for i, (op, record, rates) in enumerate(zip(ops, plan.ops, plan.rates, strict=True)):
        for name, value in zip(RATES, rates, strict=True):
            if name in op.dtype.names:
                op[name] = value
        op["penalized"], op["first_panel"] = rates[RATE_KERNEL_L1:RATE_ACTIVITY_L1].any(), first_panel
        rate = rates[RATE_DROPOUT].item()
        n_in, n_out, activation = int(record[OP_IN]), int(record[OP_OUT]), int(record[OP_ACTIVATION])
        op["code"], op["n_in"], op["n_out"] = record[OP_CODE], n_in, n_out
        op["panel_in"], op["panel"] = panel(n_in, count), panel(n_out, count)
        op["rowwise"] = ACTIVATIONS[activation].rowwise
        op["threshold"], op["scale"] = dropout.threshold(rate) if rate else -1, 1.0 / (rates[RATE_KEPT] or 1.0)
        first_panel += -(-n_out // int(op["panel"]))
        op["flat_w"], op["flat_b"], op["flat_moving"] = record[OP_WEIGHTS], record[OP_BIAS], record[OP_MOVING]
        op["source"] = -1
        if record[OP_CODE] == TIED:
            # A copy of its own in the packed vector, and a gradient of its own beside the flat one.
            op["code"], op["source"], op["flat_w"] = DENSE, plan.source_of(i), copied
            copied += n_in * n_out
        wide = round_up(n_out, int(op["panel"]))
        op["turned"] = op["x_parts"] = op["d_parts"] = op["slabs"] = -1
        if op["code"] == DENSE:
            in_parts = by_parts(n_in, n_out, batch_size, plan.dtype)
            op["by_rows"] = not in_parts and by_rows(n_in, n_out, batch_size)
            op["w_rows"], op["deep"] = n_in, round_up(n_in, SIDE) if in_parts else padded_rows(n_in, itemsize)
            op["w"] = packed.take(int(op["deep"]) * wide)
            op["b"] = packed.take(wide)  # zeros where there is none
            if in_parts:
                size = parts_size(batch_size, n_in)
                op["x_parts"] = scratch.take(size * (copies if i == 0 and size <= OWN_PARTS else 1))
            if trained and in_parts:
                op["d_parts"] = scratch.take(parts_size(batch_size, n_out))
            elif trained and not op["by_rows"]:
                # Panels of a narrower batch may pad more, by less than a panel.
                op["turned"] = scratch.take((high + VECTORS * count) * wide)
            if op["by_rows"] and by_slabs(n_in, n_out, batch_size):
                op["slabs"] = scratch.take(SLABS * (int(op["deep"]) + 1) * wide)
        elif op["code"] != ELEMENTWISE:
            op["w_rows"], op["deep"], op["groups"], op["moving_jump"] = op["flat_w"] >= 0, 1, max(wide, high), wide
            op["w"], op["b"], op["moving"] = (packed.take(size * wide) for size in (1, 1, 2))
        trained |= op["code"] != ELEMENTWISE
        op["y"], op["d"] = scratch.take(high * wide), scratch.take(high * wide)
        op["z"] = op["y"] if activation == LINEAR else scratch.take(high * wide)
    return ops


def _pieces(ops, flat, packed):
    """Pairs of the same weights in the flat and in the packed vector, one panel or one bias at a time."""
    for op in ops:
        n_in, n_out, panel, deep = (int(op[name]) for name in ("w_rows", "n_out", "panel", "deep"))
        panels = -(-n_out // panel)
        w = packed[op["w"] : op["w"] + panels * deep * panel].reshape(panels, deep, panel)
        if op["source"] >= 0:
            source = ops[op["source"]]
            flat_w = flat[source["flat_w"] : source["flat_w"] + n_in * n_out].reshape(n_out, n_in).T
        else:
            flat_w = flat[op["flat_w"] : op["flat_w"] + n_in * n_out].reshape(n_in, n_out)
        for j in range(panels if n_in else 0):
            columns = slice(j * panel, min((j + 1) * panel, n_out))
            yield flat_w[:, columns], w[j, :n_in, : columns.stop - columns.start]
        if op["flat_b"] >= 0:
            yield flat[op["flat_b"] : op["flat_b"] + n_out], packed[op["b"] : op["b"] + n_out]
        for k in range(2 if op["code"] == BATCH_NORM else 0):
            start, place = op["flat_moving"] + k * n_out, op["moving"] + k * op["moving_jump"]
            yield flat[start : start + n_out], packed[place : place + n_out]


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
    sums: np.ndarray
    gradient: np.ndarray
    copies: np.ndarray
    statistics: np.ndarray
    metrics: np.ndarray
    shares: np.ndarray
    linked: set  # what its records have the addresses for; see `link`
    weights: int  # of all operations, and biases

    def pack(self, params, state):
        """Flat vectors into the packed ones."""
        for flat, packed in zip((params, *state), (self.params, *self.state), strict=True):
            for source, place in _pieces(self.ops, flat, packed):
                place[...] = source

    def unpack(self, params, state):
        """The packed vectors into flat ones."""
        for flat, packed in zip((params, *state), (self.params, *self.state), strict=True):
            # Back to front, so that a kernel overwrites what its copies hold: of its state they hold nothing.
            for place, source in reversed(list(_pieces(self.ops, flat, packed))):
                place[...] = source


def private_size(widest, itemsize):
    """Elements of scratch that one thread has for itself; see `batch.private`."""
    width = VECTORS * lanes(itemsize)
    return (width + 2 * ROWS) * width + SPARE_ROWS * widest


def workspace(plan, batch_size, threads):
    """Allocate all that a fit with batches of up to `batch_size` rows needs; parameters and state are zero."""
    itemsize = plan.dtype.itemsize
    line = CACHE_LINE // itemsize
    packed, scratch = _Space(itemsize), _Space(itemsize)
    copies = threads if threads <= COPIES else 1
    ops = _operations(plan, batch_size, copies, packed, scratch)
    inputs = int(max(round_up(op["n_in"], op["panel_in"]) for op in ops))  # `forward` may begin at any operation
    widest = round_up(max(inputs, *(int(round_up(op["n_out"], op["panel"])) for op in ops)), line)
    job = new_job()
    job["copy_step"] = round_up(panel_height(batch_size, itemsize) * inputs, line)
    job["gathered"] = scratch.take(int(job["copy_step"][0]) * min(threads, COPIES))  # a call may have fewer threads
    job["widest"], job["product"] = widest, scratch.take(widest)
    made_of_parts = ops[ops["x_parts"] >= 0]
    deepest = 0
    if len(made_of_parts):
        deepest = -(-max(batch_size, *made_of_parts["n_in"].tolist(), *made_of_parts["n_out"].tolist()) // SIDE)
        first, largest = (parts_size(batch_size, int(n_in)) for n_in in (ops[0]["n_in"], made_of_parts["n_in"].max()))
        job["own_parts"] = first if ops[0]["x_parts"] >= 0 and first <= OWN_PARTS and threads <= COPIES else 0
        job["parts"] = scratch.take(max(largest, int(job["own_parts"][0]) * copies))
    job["deepest"], job["private_parts"] = deepest, round_up(private_size(widest, itemsize), line)
    job["private_turned"] = job["private_parts"] + round_up(private_parts_size(deepest), line)
    turned = max(int(round_up(op["n_out"], op["panel"]) * op["panel_in"] * op["by_rows"]) for op in ops)
    job["private_step"] = job["private_turned"] + round_up(turned, line)
    job["private"] = scratch.take(int(job["private_step"][0]) * threads)
    params = aligned(packed.size, plan.dtype)
    state = aligned(packed.size * plan.n_slots, plan.dtype).reshape(plan.n_slots, packed.size)
    room = aligned(scratch.size, plan.dtype)
    row_sums = np.zeros(batch_size * (1 + len(plan.metrics)))
    panels = int(sum(-(-op["n_out"] // op["panel"]) for op in ops))
    variables = [size for op in ops for size in (int(op["w_rows"] * op["n_out"]), int(op["n_out"]))]
    sums = np.zeros(panels + sum(-(-size // NORM_BLOCK) for size in variables))
    tied = ops["source"] >= 0
    copies = aligned(int((ops["n_in"] * ops["n_out"])[tied].sum()), plan.dtype)
    metrics = np.zeros(len(plan.metrics), np.int64)
    shares = aligned(threads * SHARE, np.dtype(np.int64))
    gradient = aligned(plan.n_params if plan.whole_gradient else 0, plan.dtype)
    standing = {
        "n_ops": len(ops), "lowest": int(np.argmax(ops["code"] != ELEMENTWISE)) if plan.n_params else len(ops),
        "sgd": OPTIMIZERS[plan.optimizer].name == "sgd", "n_metrics": len(metrics), "metrics": address(metrics),
        "packed": packed.size, "params": address(params), "state": address(state), "itemsize": itemsize,
        "scratch": address(room), "row_step": padded_rows(1, itemsize), "row_sums": address(row_sums),
        "batch": batch_size, "input_scale": plan.input_scale, "target_scale": plan.target_scale,
        "threshold": plan.threshold, "loss_parameter": plan.loss_parameter,
        "penalty": address(sums), "squares": address(sums[panels:]),
        "penalized": plan.rates[:, RATE_KERNEL_L1:RATE_MAX_NORM].any(),
        "constrained": plan.rates[:, [RATE_MAX_NORM, RATE_NON_NEGATIVE]].any(),
        "whole": plan.whole_gradient, "clip_value": plan.clip[CLIP_VALUE],
        "clip_norm": max(plan.clip[CLIP_NORM], plan.clip[CLIP_GLOBAL]), "clip_global": plan.clip[CLIP_GLOBAL] > 0,
        "tied": tied.any(), "tied_gradient": address(copies), "shares": address(shares),
        "slabs": (ops["slabs"] >= 0).any(),
    }  # fmt: skip
    for name, value in standing.items():
        job[name] = value
    statistics = np.zeros((len(ops), GROUP_NUMBERS, int(ops["groups"].max())))
    ops["statistics"] = [address(part) for part in statistics]
    for op in ops[ops["groups"] > 0]:
        params[op["w"] : op["w"] + op["moving_jump"]] = 1.0  # a gamma that is not there
    arrays = ops, job, params, state, room, row_sums, sums, gradient, copies, statistics, metrics, shares
    return Workspace(plan, batch_size, threads, *arrays, set(), int(((ops["w_rows"] + 1) * ops["n_out"]).sum()))
