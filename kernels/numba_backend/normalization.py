"""Normalisation layers. Formulas: `kernels.normalization`. Arguments as in `batch`.

What is normalised together, a group, is a column (BATCH_NORM) or a row (LAYER_NORM). A thread takes all rows of some
panels, or some rows of all of them, and so whole groups. Of every group an operation keeps some float64 numbers.
"""

import math

from ..plan import BATCH_NORM
from .batch import LOSS_GRAD, SUM, TRAIN, UPDATE, own_rows, private
from .cache import inline, routine
from .intrinsics import at, call, cast, outlined, pointer, value_of, view
from .layout import GROUP_NUMBERS
from .matmul import blocks, share
from .optimizers import CONSTANTS

# Numbers of a group, `op.groups` apart; the last two are sums that come and go.
MEAN, VARIANCE, FACTOR, TOTAL, PRODUCT = range(GROUP_NUMBERS)


@inline
def _own_part(job, op, rows, team):
    """The first and the last panel and row that are this thread's."""
    panels, batch = blocks(op.n_out, op.panel), op.code == BATCH_NORM
    some_panels, some_rows = share(panels, team), own_rows(job, rows, team)
    return (
        some_panels[0] if batch else 0,
        some_panels[1] if batch else panels,
        0 if batch else some_rows[0],
        rows if batch else some_rows[1],
    )


@routine
def normalize(like, job, op, x, rows, high, team):
    """The pre-activation: gamma times the normalised x plus beta.

    Shapes: x, z (rows, n_out).
    Layout: panels.
    Aliasing: none.
    """
    outlined()
    params, panel, n, batch, groups = pointer(like, job.params), op.panel, op.n_out, op.code == BATCH_NORM, op.groups
    gamma, beta, numbers = view(at(params, op.w), n), view(at(params, op.b), n), pointer(SUM, op.statistics)
    mean, factor = view(numbers, groups), view(at(numbers, FACTOR * groups), groups)
    j0, j1, r0, r1 = _own_part(job, op, rows, team)
    k0, k1 = j0 * panel if batch else r0, min(j1 * panel, n) if batch else r1
    size = rows if batch else n
    for part in range(2):
        out = view(at(numbers, part * groups), groups)
        if batch and job.mode > LOSS_GRAD:
            moving = view(at(params, op.moving + part * op.moving_jump), n)
            for k in range(k0, k1):
                out[k] = moving[k]
            continue
        for k in range(k0, k1):
            out[k] = 0.0
        for j in range(j0, j1):
            for r in range(r0, r1):
                line = view(at(x, (j * high + r) * panel), min(panel, n - j * panel))
                for c in range(len(line)):
                    k = j * panel + c if batch else r
                    apart = line[c] - (mean[k] if part else 0.0)
                    out[k] += apart * apart if part else apart
        for k in range(k0, k1):
            out[k] /= size
    variance = view(at(numbers, VARIANCE * groups), groups)
    for k in range(k0, k1):
        factor[k] = 1.0 / math.sqrt(variance[k] + op.epsilon)
    for j in range(j0, j1):
        for r in range(r0, r1):
            place = (j * high + r) * panel
            line = view(at(x, place), min(panel, n - j * panel))
            z = view(at(pointer(like, job.scratch), op.z + place), len(line))
            for c in range(len(line)):
                i = j * panel + c
                k = i if batch else r
                z[c] = (line[c] - mean[k]) * factor[k] * gamma[i] + beta[i]


@routine
def hand_down_norm(like, job, op, below, x, rows, high, team):
    """From d of a normalisation to the gradient by the output of the operation below, in the place of its d.

    Shapes: x, d (rows, n_out).
    Layout: panels.
    Aliasing: none.
    """
    outlined()
    panel, n, batch, groups = op.panel, op.n_out, op.code == BATCH_NORM, op.groups
    gamma, numbers = view(at(pointer(like, job.params), op.w), n), pointer(SUM, op.statistics)
    mean, factor = view(numbers, groups), view(at(numbers, FACTOR * groups), groups)
    total, product = view(at(numbers, TOTAL * groups), groups), view(at(numbers, PRODUCT * groups), groups)
    j0, j1, r0, r1 = _own_part(job, op, rows, team)
    size = float(rows if batch else n)
    for k in range(j0 * panel if batch else r0, min(j1 * panel, n) if batch else r1):
        total[k] = product[k] = 0.0
    for part in range(2):
        for j in range(j0, j1):
            for r in range(r0, r1):
                place = (j * high + r) * panel
                line = view(at(x, place), min(panel, n - j * panel))
                d = view(at(pointer(like, job.scratch), op.d + place), len(line))
                out = view(at(pointer(like, job.scratch), below.d + place), len(line))
                for c in range(len(line)):
                    i = j * panel + c
                    k = i if batch else r
                    hat, slope = (line[c] - mean[k]) * factor[k], float(d[c]) * gamma[i]
                    if part:
                        out[c] = factor[k] * (slope - total[k] / size - hat * (product[k] / size))
                    else:
                        total[k] += slope
                        product[k] += slope * hat


@routine
def norm_weights(like, job, ops, number, mode, x, constants, rows, high, team):
    """What `weight_gradients` does, for gamma and beta; in training the moving statistics advance.

    Shapes: x, d (rows, n_out); gamma, beta (n_out,).
    Layout, aliasing: as there.
    """
    outlined()
    op = ops[number]
    panel, n, batch, groups, params = op.panel, op.n_out, op.code == BATCH_NORM, op.groups, pointer(like, job.params)
    spare, numbers, found = private(like, job, team)[1], view(constants, CONSTANTS), pointer(SUM, op.statistics)
    mean, factor = view(found, groups), view(at(found, FACTOR * groups), groups)
    first, last = share(blocks(n, panel), team)
    for j in range(first, last):
        columns = min(panel, n - j * panel)
        total = view(at(found, TOTAL * groups + j * panel), columns)
        for part in range(2):
            flat, place = (op.flat_b if part else op.flat_w), (op.b if part else op.w) + j * panel
            if flat < 0:
                continue
            w, g = view(at(params, place), columns), view(spare, columns)
            stored = view(at(pointer(like, job.gradient), flat + j * panel), columns)
            if mode == UPDATE:
                scale = value_of(job.clip_factor, (job, ops, number, part)) if job.clip_norm > 0.0 else 1.0
                for c in range(columns):
                    g[c] = stored[c] * cast(like, scale)
            else:
                for c in range(columns):
                    total[c] = 0.0
                for r in range(rows):
                    line = view(at(x, (j * high + r) * panel), columns)
                    d = view(at(pointer(like, job.scratch), op.d + (j * high + r) * panel), columns)
                    for c in range(columns):
                        k = j * panel + c if batch else r
                        total[c] += d[c] * (1.0 if part else (line[c] - mean[k]) * factor[k])
                for c in range(columns):
                    g[c] = total[c]
                if op.penalized:
                    l1, l2 = (op.bias_l1, op.bias_l2) if part else (op.kernel_l1, op.kernel_l2)
                    call(job.add_slope, (w, l1, l2, g))
            if mode == LOSS_GRAD:
                for c in range(columns):
                    stored[c] = g[c]
            else:
                if job.clip_value > 0.0:
                    call(job.clip_values, (g, job.clip_value))
                decay = op.bias_decay if part else op.kernel_decay
                if decay != 0.0:
                    call(job.decay_weights, (numbers, decay, w))
                state = at(pointer(like, job.state), place)
                call(job.apply, (numbers, w, view(state, columns), view(at(state, job.packed), columns), g))
        for part in range(2 if batch and mode != UPDATE else 0):
            batch_has = view(at(found, part * groups + j * panel), columns)
            moving = view(at(params, op.moving + part * op.moving_jump + j * panel), columns)
            stored = view(at(pointer(like, job.gradient), op.flat_moving + part * n + j * panel), columns)
            for c in range(columns):
                if job.mode == TRAIN:
                    moving[c] = moving[c] * op.momentum + batch_has[c] * (1.0 - op.momentum)
                if mode == LOSS_GRAD:
                    stored[c] = cast(like, 0.0)
