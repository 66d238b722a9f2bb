"""The weights: gradients tile by tile, and what becomes of each tile while it is in the first-level cache.

Arguments as in `batch`.
"""

import numpy as np

from ..plan import DENSE
from .batch import (
    INDEX,
    LOSS_GRAD,
    TRAIN,
    UPDATE,
    has_whole_slabs,
    is_thin,
    own_parts,
    own_rows,
    private,
    private_parts,
)
from .cache import inline, routine
from .intrinsics import at, call, cast, outlined, pointer, value_of, view
from .layout import BLOCK_PARTS, PART, SIDE, SLABS
from .matmul import blocks, share
from .microkernel import add_outer, tile
from .optimizers import CONSTANTS
from .processor import ROWS
from .threads import begin_jobs, take_jobs

# Rows of a batch that plain gradient descent adds to W one by one: few enough terms that W loses no digits.
FEW = 4
# Tiles of a weight gradient that a thread takes at least from another.
LEAST = 4


@routine
def slab_gradients(like, job, op, x, rows, high, team):
    """Gradients of W and b from each slab of this thread's rows alone, for `weight_gradients` to add up. So these go
    between threads, and not the rows.

    Shapes: x (rows, n_in), d (rows, n_out), for each slab W (n_in, n_out) and b (n_out,).
    Layout: x and d in panels, of each slab W and b as in the packed vector.
    Aliasing: none.
    """
    outlined()
    scratch, zeros, one = pointer(like, job.scratch), pointer(like, job.zeros), pointer(like, job.numbers)
    block, panel, panel_in = private(like, job, team)[0], op.panel, op.panel_in
    panels = blocks(op.n_out, panel)
    first, last = share(SLABS, team)
    for slab in range(first, last):
        start, end = own_rows(job, rows, (slab, SLABS))
        out, depth = at(scratch, op.slabs + slab * slab_size(op)), end - start
        for j in range(panels if depth else 0):
            d = at(scratch, op.d + (j * high + start) * panel)
            for q in range(blocks(op.n_in, panel_in)):
                height = min(panel_in, op.n_in - q * panel_in)
                place, whole = at(out, (j * op.deep + q * panel_in) * panel), height % ROWS == 0
                a = at(x, (q * high + start) * panel_in)
                call(job.multiply, (
                    a, 1, panel_in, depth, 0, height, d, panel, depth, zeros, place if whole else block,
                ))  # fmt: skip
                if not whole:
                    copy_block(block, panel, place, panel, height, panel)
            call(job.multiply, (
                at(one, CONSTANTS - 1), 0, 0, depth, 0, 1, d, panel, depth, zeros,
                at(out, (panels * op.deep + j) * panel),
            ))  # fmt: skip


@inline
def slab_size(op):
    """Numbers that the gradients of a slab take."""
    return blocks(op.n_out, op.panel) * (op.deep + 1) * op.panel


@inline
def _sum_slabs(like, job, op, number, a, height, row, step, d, rows, spare, out, team):
    """The gradients that all slabs have at `number` of theirs into out, in order."""
    panel, n, count = op.panel, len(out), 0
    for slab in range(SLABS):
        start, end = own_rows(job, rows, (slab, SLABS))
        if start == end:
            continue
        piece = at(pointer(like, job.scratch), op.slabs + slab * slab_size(op) + number)
        if not has_whole_slabs(team):  # nobody has made it
            piece, depth = spare, end - start
            tile(
                panel, depth, at(a, start * step), height, row, step, depth, 0, at(d, start * panel),
                pointer(like, job.zeros), 0, piece, panel,
            )  # fmt: skip
        numbers = view(piece, n)
        for k in range(n):
            out[k] = out[k] + numbers[k] if count else numbers[k]
        count += 1


@inline
def descends(job, op, mode, rows):
    """Whether `descend` is all that becomes of a gradient."""
    plain = not op.penalized and job.clip_value == 0.0 and op.kernel_decay == 0.0 and op.bias_decay == 0.0
    return mode == TRAIN and job.sgd and rows <= FEW and plain and op.x_parts < 0 and op.slabs < 0


@inline
def looks_ahead(job, op, batch):
    """Whether the first operation's product for a batch of the call is made as the one before updates its weights: see
    `lookahead`."""
    plain = op.code == DENSE and not (op.by_rows or op.rowwise or job.whole or job.constrained)
    return 0 < batch < job.count and job.batch == 1 and plain and descends(job, op, job.mode, job.batch)


@routine
def descend(like, job, op, x, constants, rows, high, team):
    """Plain gradient descent from a few rows of a batch: W += X' (-rate D), and b as well.

    Shapes, layout, aliasing: as for `weight_gradients`.
    """
    outlined()
    scratch, params, shares = pointer(like, job.scratch), pointer(like, job.params), pointer(INDEX, job.shares)
    panel, panel_in, size, rate = op.panel, op.panel_in, rows * op.panel, -view(constants, 1)[0]
    spare = private(like, job, team)[1]
    scaled = view(spare, size)
    # A job is all of W for one panel of x; a bias is one more.
    pieces = blocks(op.n_in, panel_in)
    per_panel = pieces + 1 if op.flat_b >= 0 else pieces
    jobs, least = per_panel * blocks(op.n_out, panel), min(LEAST, per_panel)
    begin_jobs(shares, team)
    first, last = take_jobs(shares, jobs, per_panel, least, team)
    while first < last:
        j, low = first // per_panel, first % per_panel
        d = view(at(scratch, op.d + j * high * panel), size)
        for k in range(size):
            scaled[k] = rate * d[k]
        for q in range(low, low + last - first):
            a, step, k = at(x, q * high * panel_in), panel_in, q * panel_in
            height, place = min(panel_in, op.n_in - k), op.w + (j * op.deep + k) * panel
            if q == pieces:
                a, step, height, place = at(constants, CONSTANTS - 1), np.int64(0), np.int64(1), op.b + j * panel
            add_outer(panel, height, a, step, rows, spare, at(params, place))
        first, last = take_jobs(shares, jobs, per_panel, least, team)


@routine
def weight_gradients(like, job, ops, number, mode, x, constants, rows, high, team):
    """Gradient of one dense operation, used as the mode says: to update, to be stored; or (UPDATE) read instead.

    Shapes: x (rows, n_in), d (rows, n_out); gradient, W (n_in, n_out); constants (CONSTANTS,).
    Layout: x and d in panels, gradient flat, W and state packed; a tile is one piece of each packed vector.
    Aliasing: none.
    """
    outlined()
    scratch, params = pointer(like, job.scratch), pointer(like, job.params)
    block = private(like, job, team)[0]
    op, zeros, numbers = ops[number], pointer(like, job.zeros), view(constants, CONSTANTS)
    one, panel, panel_in = at(constants, CONSTANTS - 1), op.panel, op.panel_in
    deep, panels = op.deep, blocks(op.n_out, panel)
    in_parts, room = op.x_parts >= 0, private_parts(like, job, team)
    tallest, thin = SIDE if in_parts else ROWS, is_thin(job, op, number, rows)
    row_of_blocks = blocks(rows, SIDE) * (PART if thin else BLOCK_PARTS)
    scale = cast(like, job.input_scale if thin else 1.0)
    # Tiles do not cross panels of x. A bias is one more tile of its panel of W, of one row.
    across = blocks(panel_in, tallest)
    tiles = op.n_in // panel_in * across + blocks(op.n_in % panel_in, tallest)
    if mode == UPDATE and op.source >= 0:
        tiles = 0  # the kernel is another's
    per_panel = tiles + 1 if op.flat_b >= 0 else tiles
    of_w, of_b = 1.0, 1.0
    if mode == UPDATE and job.clip_norm > 0.0:
        of_w = value_of(job.clip_factor, (job, ops, number, 0))
        of_b = value_of(job.clip_factor, (job, ops, number, 1))
    shares, least = pointer(INDEX, job.shares), min(LEAST, per_panel)
    begin_jobs(shares, team)
    first, last = take_jobs(shares, per_panel * panels, per_panel, least, team)
    while first < last:
        j, low = first // per_panel, first % per_panel
        end = low + last - first
        columns, d = min(panel, op.n_out - j * panel), at(scratch, op.d + j * high * panel)
        if in_parts and mode != UPDATE:
            call(job.split_panel, (d, panel, rows, room[0]))
        q, r = low // across, low % across * tallest
        for i in range(low, end):
            is_bias = i == tiles
            a, row, step, k = at(x, q * high * panel_in + r), np.int64(1), panel_in, q * panel_in + r
            height = min(tallest, panel_in - r, op.n_in - k)
            place, start = op.w + (j * deep + k) * panel, op.flat_w + k * op.n_out + j * panel
            if is_bias:
                a, row, step, height = one, np.int64(0), np.int64(0), np.int64(1)
                place, start = op.b + j * panel, op.flat_b + j * panel
            x_parts = op.x_parts + own_parts(job, number, team) + q * row_of_blocks
            r += tallest
            if r >= panel_in:
                q, r = q + 1, np.int64(0)
            gradient = job.tied_gradient if op.source >= 0 and not is_bias else job.gradient
            old, flat = at(params, place), at(pointer(like, gradient), start)
            size = height * panel
            w, g = view(old, size), view(block, size)
            if mode == UPDATE:
                copy_block(flat, op.n_out, block, panel, height, columns)
                if job.clip_norm > 0.0:
                    factor = cast(like, of_b if is_bias else of_w)
                    for k in range(size):
                        g[k] *= factor
            else:
                if in_parts and not is_bias:
                    call(job.multiply_parts, (
                        job, thin, scale, at(scratch, x_parts), room[0],
                        a, row, step, rows, 0, height, d, panel, columns, rows, zeros, block, room[1],
                    ))  # fmt: skip
                elif op.slabs >= 0:
                    part = (deep * panels + j) * panel if is_bias else place - op.w
                    _sum_slabs(like, job, op, part, a, height, row, step, d, rows, at(block, ROWS * panel), g, team)
                else:
                    tile(panel, rows, a, height, row, step, rows, 0, d, zeros, 0, block, panel)
                if op.penalized:
                    l1, l2 = (op.bias_l1, op.bias_l2) if is_bias else (op.kernel_l1, op.kernel_l2)
                    call(job.add_slope, (w, l1, l2, g))
            if mode == LOSS_GRAD:
                copy_block(block, panel, flat, op.n_out, height, columns)
            else:
                if job.clip_value > 0.0:
                    call(job.clip_values, (g, job.clip_value))
                state = at(pointer(like, job.state), place)
                m, v = view(state, size), view(at(state, job.packed), size)
                decay = op.bias_decay if is_bias else op.kernel_decay
                if decay != 0.0:
                    call(job.decay_weights, (numbers, decay, w))
                call(job.apply, (numbers, w, m, v, g))
        first, last = take_jobs(shares, per_panel * panels, per_panel, least, team)


@inline
def copy_block(source, source_step, place, step, height, columns):
    for r in range(height):
        line, part = view(at(place, r * step), columns), view(at(source, r * source_step), columns)
        for c in range(columns):
            line[c] = part[c]
