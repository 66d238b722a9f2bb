"""Penalties on kernels, biases and outputs, the constraints on kernels, and the norms of gradients.

Formulas: `kernels.penalties`. Arguments as in `batch`.
"""

import math

from ..penalties import EPSILON
from .batch import SUM, get_row, own_rows, private
from .cache import inline, jit, routine
from .intrinsics import at, cast, outlined, pointer, view
from .layout import NORM_BLOCK
from .matmul import blocks, share


@jit
def _penalty(w, rows, step, wide, l1, l2):
    """The penalty on `wide` of the columns of a panel, in float64."""
    sizes, squares = 0.0, 0.0
    for r in range(rows):
        line = view(at(w, r * step), wide)
        for c in range(wide):
            sizes += abs(line[c])
            squares += float(line[c]) * line[c]
    return l1 * sizes + l2 * squares


@routine
def sum_penalties(like, job, ops, team):
    """This thread's share of the penalties: one number for each panel of each kernel and bias, which must not change
    meanwhile."""
    outlined()
    params, out = pointer(like, job.params), pointer(SUM, job.penalty)
    for number in range(job.n_ops):
        op = ops[number]
        if op.penalized:
            panel, deep = op.panel, op.deep
            first, last = share(blocks(op.n_out, panel), team)
            for j in range(first, last):
                wide = min(panel, op.n_out - j * panel)
                w = at(params, op.w + j * deep * panel)
                total = _penalty(w, op.w_rows, panel, wide, op.kernel_l1, op.kernel_l2)
                if op.flat_b >= 0:
                    total += _penalty(at(params, op.b + j * panel), 1, panel, wide, op.bias_l1, op.bias_l2)
                view(at(out, op.first_panel + j), 1)[0] = total


@routine
def total_penalty(job, ops) -> float:
    """The sum of those numbers, in order."""
    total = 0.0
    for number in range(job.n_ops):
        op = ops[number]
        if op.penalized:
            parts = view(at(pointer(SUM, job.penalty), op.first_panel), blocks(op.n_out, op.panel))
            for j in range(len(parts)):
                total += parts[j]
    return total


@routine
def add_slope(w, l1, l2, g):
    """Add the derivative of the penalty on w to g.

    Shapes: w, g (n,).
    Layout: contiguous.
    Aliasing: none.
    """
    outlined()
    one, twice, zero = cast(w[0], l1), cast(w[0], 2.0 * l2), cast(w[0], 0.0)
    for k in range(len(w)):
        g[k] += twice * w[k] + (one if w[k] > zero else -one if w[k] < zero else zero)


@routine
def add_activities(like, job, ops, rows, high, team):
    """Add the penalties on the outputs of every operation to the losses of this thread's rows."""
    outlined()
    first, last = own_rows(job, rows, team)
    spare, columns = private(like, job, team)[1], 1 + job.n_metrics
    for number in range(job.n_ops):
        op = ops[number]
        if op.activity_l1 != 0.0 or op.activity_l2 != 0.0:
            for i in range(first, last):
                get_row(like, at(pointer(like, job.scratch), op.y), high, op.panel, i, op.n_out, spare)
                sums = view(at(pointer(SUM, job.row_sums), i * columns), 1)
                sums[0] += _penalty(spare, 1, 0, op.n_out, op.activity_l1, op.activity_l2)


@jit
def _bound_norm(w, column, panel, low, high):
    """Cut the norm of one column of a panel to [low, high]."""
    total = 0.0
    for k in range(column, len(w), panel):
        total += float(w[k]) * w[k]
    norm = math.sqrt(total)
    factor = cast(w[0], (high if norm > high else low if norm < low else norm) / (EPSILON + norm))
    for k in range(column, len(w), panel):
        w[k] *= factor


@routine
def constrain(like, job, ops, team):
    """Hold the kernels to their constraints; this thread's share of the panels."""
    outlined()
    params = pointer(like, job.params)
    for number in range(job.n_ops):
        op = ops[number]
        if op.max_norm > 0.0 or op.non_negative != 0.0:
            panel, deep = op.panel, op.deep
            first, last = share(blocks(op.n_out, panel), team)
            for j in range(first, last):
                w = view(at(params, op.w + j * deep * panel), op.n_in * panel)
                if op.max_norm > 0.0:
                    for c in range(min(panel, op.n_out - j * panel)):
                        _bound_norm(w, c, panel, op.min_norm, op.max_norm)
                if op.non_negative != 0.0:
                    for k in range(len(w)):
                        w[k] = cast(like, 0.0) if w[k] < cast(like, 0.0) else w[k]  # NaN stays


@inline
def own_kernel(op):
    """How many parameters the kernel has that are not another's."""
    return op.w_rows * op.n_out if op.source < 0 else 0


@routine
def sum_squares(like, job, ops, team):
    """This thread's share of the partial sums of squares of every kernel's and every bias's gradient."""
    outlined()
    flat, out = pointer(like, job.gradient), pointer(SUM, job.squares)
    part = 0
    for number in range(job.n_ops):
        op = ops[number]
        for start, size in ((op.flat_w, own_kernel(op)), (op.flat_b, op.n_out)):
            count = blocks(size, NORM_BLOCK)
            first, last = share(count, team)
            for k in range(first, last):
                g, total = view(at(flat, start + k * NORM_BLOCK), min(NORM_BLOCK, size - k * NORM_BLOCK)), 0.0
                for c in range(len(g) if start >= 0 else 0):
                    total += float(g[c]) * g[c]
                view(at(out, part + k), 1)[0] = total
            part += count


@routine
def clip_factor(job, ops, number, of_bias) -> float:
    """What the gradient of operation `number`'s kernel, or of its bias, is multiplied by."""
    parts, part = pointer(SUM, job.squares), 0
    whole, own = 0.0, 0.0
    for i in range(job.n_ops):
        op = ops[i]
        count, more = blocks(own_kernel(op), NORM_BLOCK), blocks(op.n_out, NORM_BLOCK)
        w, b = view(at(parts, part), count), view(at(parts, part + count), more)
        here, there = 0.0, 0.0
        for k in range(count):
            here += w[k]
        for k in range(more):
            there += b[k]
        whole += here + there
        if i == number:
            own = there if of_bias else here
        part += count + more
    norm, limit = math.sqrt(whole if job.clip_global else own), job.clip_norm
    return 1.0 if norm <= limit else limit / norm + (norm - norm)


@routine
def clip_values(g, limit):
    """Cut the values of g at -limit and limit."""
    outlined()
    high = cast(g[0], limit)
    for k in range(len(g)):
        g[k] = high if g[k] > high else -high if g[k] < -high else g[k]  # NaN stays
