"""The operations of a network, up and down. Arguments as in `batch`.

The tiles of each product are shared out; what follows a product (activation, dropout, their derivatives, the optimiser)
is done by the same thread while the numbers are in its cache. Threads meet wherever a phase reads what others wrote.
"""

from ..plan import DENSE, ELEMENTWISE
from .batch import (
    INDEX,
    LOSS_GRAD,
    UPDATE,
    get_row,
    is_in_parts,
    is_thin,
    own_rows,
    private,
    private_parts,
    put_row,
    wait,
)
from .cache import inline, routine
from .intrinsics import at, call, cast, outlined, pointer, view
from .layout import BLOCK_PARTS, PART, SIDE
from .matmul import blocks, panel_of, share, tall, tall_parts, turn_rows
from .matrix_unit import split_left
from .microkernel import read_vector, turn, vector_size
from .processor import ROWS
from .threads import begin_jobs, take_jobs


@inline
def _disturb(like, job, op, number, step, row, column, rows, columns, apart, stddev, p):
    """Dropout and noise on rows of values or of gradients at p, where gradients follow."""
    if job.mode <= LOSS_GRAD:
        if op.threshold >= 0:
            call(job.drop_rows, (like, job, op, number, step, row, column, rows, columns, apart, p))
        if stddev != 0.0 or op.gaussian_dropout != 0.0:
            call(job.noise_rows, (like, job, op, number, step, row, column, rows, columns, apart, stddev, p))


@inline
def _finish_forward(like, job, op, number, step, j, first, last, high):
    """Rows first..last of panel j: from the pre-activation to the output, for all but rowwise activations.

    Shapes: z, y (high, panel).
    Layout: one panel.
    Aliasing: z may be y, where the record says so.
    """
    scratch = pointer(like, job.scratch)
    place, size = (j * high + first) * op.panel, (last - first) * op.panel
    y = at(scratch, op.y + place)
    if op.activate:
        call(op.activate, (cast(like, op.alpha), view(at(scratch, op.z + place), size), view(y, size)))
    columns = min(op.panel, op.n_out - j * op.panel)
    _disturb(like, job, op, number, step, first, j * op.panel, last - first, columns, op.panel, op.gaussian_noise, y)


@routine
def rowwise_forward(like, job, op, number, step, rows, high, team):
    """What `_finish_forward` does, for activations of whole rows."""
    outlined()
    scratch, spare = pointer(like, job.scratch), private(like, job, team)[1]
    out, n = at(spare, job.widest), op.n_out
    first, last = own_rows(like, rows, team)
    for i in range(first, last):
        get_row(like, at(scratch, op.z), high, op.panel, i, n, spare)
        call(op.activate, (cast(like, op.alpha), view(spare, n), view(out, n)))
        _disturb(like, job, op, number, step, i, 0, 1, n, n, op.gaussian_noise, out)
        put_row(like, out, high, op.panel, i, n, at(scratch, op.y))


@routine
def split_inputs(like, job, op, number, x, rows, high, team):
    """The inputs of a dense operation into parts, and their transpose where gradients follow: this thread's share.

    Shapes: x (rows, n_in).
    Layout: x in panels; parts by rows of blocks, one after the other, the transpose's at x_parts.
    Aliasing: none.
    """
    outlined()
    scratch, panel, lanes = pointer(like, job.scratch), op.panel_in, vector_size(like)
    block = private(like, job, team)[0]
    across, down, thin = blocks(op.n_in, SIDE), blocks(rows, SIDE), is_thin(job, op, number, rows)
    size = PART if thin else BLOCK_PARTS
    first, last = share(across * down, team)
    for task in range(first, last):
        i, j = task // across, task % across
        columns, height = min(SIDE, op.n_in - j * SIDE), min(SIDE, rows - i * SIDE)
        a = at(x, (j * high + i * SIDE) * panel)
        split_left(a, panel, 0, height, columns, thin, 0, at(scratch, job.parts + task * size))
        if job.mode <= LOSS_GRAD:
            for r in range(0, height, lanes):
                for c in range(0, columns, lanes):
                    turn(at(a, r * panel + c), panel, at(block, c * SIDE + r), SIDE)
            split_left(block, SIDE, 0, columns, height, thin, 0, at(scratch, op.x_parts + (j * down + i) * size))


@routine
def forward(like, job, ops, x, rows, high, step, team):
    """Run the operations first..last of the job on the gathered rows; with dropout where gradients follow.

    Shapes: x (rows, n_in), of each operation z and y (rows, n_out).
    Layout: panels.
    Aliasing: none.
    """
    outlined()
    scratch, params = pointer(like, job.scratch), pointer(like, job.params)
    shares = pointer(INDEX, job.shares)
    for number in range(job.first, job.last + 1):
        op = ops[number]
        panel, panels = op.panel, blocks(op.n_out, op.panel)
        z = at(scratch, op.z)
        if op.code == DENSE:
            in_parts, thin = is_in_parts(job, op, rows), is_thin(job, op, number, rows)
            scale = cast(like, job.input_scale if thin else 1.0)
            row = blocks(op.n_in, SIDE) * (PART if thin else BLOCK_PARTS)
            size, height = ROWS, tall(op.n_in, job.itemsize)
            room = private_parts(like, job, team)
            if in_parts:
                call(job.split_inputs, (like, job, op, number, x, rows, high, team))
                wait(job, team)
                size, height = SIDE, tall_parts(op.n_in)
            for top in range(0, rows, height):
                below = min(rows, top + height)
                tiles = blocks(below - top, size)
                begin_jobs(shares, team)
                first, last = take_jobs(shares, panels * tiles, tiles, blocks(tiles, 2), team)
                while first < last:
                    j, start = first // tiles, first % tiles
                    r, s = top + start * size, min(top + (start + last - first) * size, below)
                    a, w = at(x, r * op.panel_in), at(params, op.w + j * op.deep * panel)
                    bias, c = at(params, op.b + j * panel), at(z, (j * high + r) * panel)
                    if in_parts:
                        call(job.split_panel, (w, panel, op.n_in, room[0]))
                        columns, parts = min(panel, op.n_out - j * panel), at(scratch, job.parts + r // SIDE * row)
                        call(job.multiply_parts, (
                            job, thin, scale, parts, room[0], a, op.panel_in, 1, op.panel_in, high * op.panel_in,
                            s - r, w, panel, columns, op.n_in, bias, c, room[1],
                        ))  # fmt: skip
                    else:
                        call(job.multiply, (
                            a, op.panel_in, 1, op.panel_in, high * op.panel_in, s - r, w, panel, op.n_in, bias, c,
                        ))  # fmt: skip
                    if not op.rowwise:
                        _finish_forward(like, job, op, number, step, j, r, s, high)
                    first, last = take_jobs(shares, panels * tiles, tiles, blocks(tiles, 2), team)
        else:
            if op.code != ELEMENTWISE:
                call(job.normalize, (like, job, op, x, rows, high, team))
                wait(job, team)
                x = z
            first, last = own_rows(like, rows, team)
            for j in range(panels):
                place = (j * high + first) * panel
                for k in range(0, (last - first) * panel, vector_size(like)):
                    read_vector(at(x, place + k), like, at(z, place + k))
                if not op.rowwise:
                    _finish_forward(like, job, op, number, step, j, first, last, high)
        wait(job, team)
        if op.rowwise:
            call(job.rowwise_forward, (like, job, op, number, step, rows, high, team))
            wait(job, team)
        x = at(scratch, op.y)


@routine
def finish_backward(like, job, op, number, step, j, first, last, rows, high, across):
    """Rows first..last of panel j of d: from the gradient by the output to that by the pre-activation, for all but
    rowwise activations; then into the transpose, in panels `across` wide, where somebody needs it.

    Shapes: z, d (high, panel).
    Layout: one panel.
    Aliasing: none.
    """
    outlined()
    scratch = pointer(like, job.scratch)
    place = (j * high + first) * op.panel
    d, size = at(scratch, op.d + place), (last - first) * op.panel
    if not op.rowwise:
        columns = min(op.panel, op.n_out - j * op.panel)
        _disturb(like, job, op, number, step, first, j * op.panel, last - first, columns, op.panel, 0.0, d)
        if op.activity_l1 != 0.0 or op.activity_l2 != 0.0:
            y = view(at(scratch, op.y + place), size)
            call(job.add_slope, (y, op.activity_l1 / rows, op.activity_l2 / rows, view(d, size)))
        if op.activate_grad:
            z = view(at(scratch, op.z + place), size)
            call(op.activate_grad, (cast(like, op.alpha), z, view(d, size), z))
    if op.d_parts >= 0:
        columns, row = min(op.panel, op.n_out - j * op.panel), blocks(op.n_out, SIDE) * BLOCK_PARTS
        parts = at(scratch, op.d_parts + j * BLOCK_PARTS)
        call(job.split_rows, (at(scratch, op.d + j * high * op.panel), op.panel, first, last, columns, row, parts))
    if op.turned >= 0:
        wide = blocks(op.n_out, op.panel) * op.panel
        # `turn_rows` counts rows from the beginning of the panel.
        start = at(scratch, op.d + j * high * op.panel)
        turn_rows(start, op.panel, first, last, across, wide, at(scratch, op.turned + j * op.panel * across))


@routine
def rowwise_backward(like, job, op, number, step, rows, high, team):
    """What `finish_backward` does before the transpose, for activations of whole rows."""
    outlined()
    first, last = own_rows(like, rows, team)
    spare = private(like, job, team)[1]
    z, d, scratch, n = spare, at(spare, job.widest), pointer(like, job.scratch), op.n_out
    for i in range(first, last):
        get_row(like, at(scratch, op.z), high, op.panel, i, n, z)
        get_row(like, at(scratch, op.d), high, op.panel, i, n, d)
        _disturb(like, job, op, number, step, i, 0, 1, n, n, 0.0, d)
        if op.activity_l1 != 0.0 or op.activity_l2 != 0.0:
            y = at(spare, 2 * job.widest)
            get_row(like, at(scratch, op.y), high, op.panel, i, n, y)
            call(job.add_slope, (view(y, n), op.activity_l1 / rows, op.activity_l2 / rows, view(d, n)))
        room = view(at(spare, 2 * job.widest), n)
        call(op.activate_grad, (cast(like, op.alpha), view(z, n), view(d, n), room))
        put_row(like, d, high, op.panel, i, n, at(scratch, op.d))


@routine
def rows_backward(like, job, op, number, step, rows, high, team):
    """`finish_backward` of this thread's rows, complete in every column."""
    outlined()
    first, last = own_rows(like, rows, team)
    if op.rowwise:
        call(job.rowwise_backward, (like, job, op, number, step, rows, high, team))
    across = panel_of(rows, vector_size(like))
    for j in range(blocks(op.n_out, op.panel)):
        call(job.finish_backward, (like, job, op, number, step, j, first, last, rows, high, across))


@routine
def input_gradients(like, job, op, below, number, step, rows, high, team):
    """From d of a dense operation to d of the one below, number `number`, as (W D^T)^T.

    Shapes: W (n_in, n_out), D^T (n_out, rows), blocks of (panel_in, panel of rows) in this thread's own place.
    Layout: panels.
    Aliasing: none.
    """
    outlined()
    scratch, params = pointer(like, job.scratch), pointer(like, job.params)
    block, zeros = private(like, job, team)[0], pointer(like, job.zeros)
    lanes = vector_size(like)
    across, panel_in, deep = panel_of(rows, lanes), op.panel_in, op.deep
    wide = blocks(op.n_out, op.panel) * op.panel
    count = blocks(rows, across)
    first, last = share(blocks(op.n_in, panel_in) * count, team)
    for task in range(first, last):
        q, p = task // count, task % count
        call(job.multiply, (
            at(params, op.w + q * panel_in * op.panel), op.panel, 1, op.panel, deep * op.panel,
            min(panel_in, op.n_in - q * panel_in), at(scratch, op.turned + p * wide * across), across, op.n_out, zeros,
            block,
        ))  # fmt: skip
        top, bottom = p * across, min(rows, p * across + across)
        place = at(scratch, below.d + (q * high + top) * panel_in)
        for r in range(0, bottom - top, lanes):
            for c in range(0, panel_in, lanes):
                turn(at(block, c * across + r), across, at(place, r * panel_in + c), panel_in)
        if not below.rowwise:
            call(job.finish_backward, (like, job, below, number, step, q, top, bottom, rows, high, across))


@routine
def input_gradients_parts(like, job, op, below, number, step, rows, high, team):
    """The same on the matrix unit, as D W^T.

    Shapes: D (rows, n_out), W^T (n_out, n_in), a panel at a time in this thread's own place.
    Layout: panels.
    Aliasing: none.
    """
    outlined()
    scratch, params = pointer(like, job.scratch), pointer(like, job.params)
    room, zeros = private_parts(like, job, team), pointer(like, job.zeros)
    lanes, panel, panel_in = vector_size(like), op.panel, op.panel_in
    across, row = panel_of(rows, lanes), blocks(op.n_out, SIDE) * BLOCK_PARTS
    count = blocks(rows, SIDE)
    shares, jobs = pointer(INDEX, job.shares), blocks(op.n_in, panel_in) * count
    begin_jobs(shares, team)
    first, last = take_jobs(shares, jobs, count, blocks(count, 2), team)
    while first < last:
        q, start = first // count, first % count
        top, bottom = start * SIDE, min((start + last - first) * SIDE, rows)
        for c in range(0, blocks(op.n_out, panel) * panel, lanes):
            w = at(params, op.w + (c // panel * op.deep + q * panel_in) * panel + c % panel)
            for r in range(0, panel_in, lanes):
                turn(at(w, r * panel), panel, at(room[2], c * panel_in + r), panel_in)
        call(job.split_panel, (room[2], panel_in, op.n_out, room[0]))
        call(job.multiply_parts, (
            job, 0, cast(like, 1.0), at(scratch, op.d_parts + start * row), room[0],
            at(scratch, op.d + top * panel), panel, 1, panel, high * panel, bottom - top,
            room[2], panel_in, min(panel_in, op.n_in - q * panel_in), op.n_out, zeros,
            at(scratch, below.d + (q * high + top) * panel_in), room[1],
        ))  # fmt: skip
        if not below.rowwise:
            call(job.finish_backward, (like, job, below, number, step, q, top, bottom, rows, high, across))
        first, last = take_jobs(shares, jobs, count, blocks(count, 2), team)


@inline
def _hand_down(like, job, op, below, rows, high, team):
    """d of an operation without weights as the gradient by the output of the one below: this thread's rows."""
    scratch = pointer(like, job.scratch)
    first, last = own_rows(like, rows, team)
    for j in range(blocks(op.n_out, op.panel)):
        place = (j * high + first) * op.panel
        for k in range(0, (last - first) * op.panel, vector_size(like)):
            read_vector(at(scratch, op.d + place + k), like, at(scratch, below.d + place + k))


@routine
def backward(like, job, ops, x, constants, rows, high, step, mode, team):
    """Gradients of all operations from the last output's, which `loss` left, each used as the mode says.

    The weights of an operation change after everybody has read them for the operation below.
    """
    outlined()
    number = job.n_ops - 1
    while number >= job.lowest:
        op = ops[number]
        inputs = at(pointer(like, job.scratch), ops[number - 1].y) if number > 0 else x
        if number > job.lowest and mode != UPDATE:
            below = ops[number - 1]
            if op.x_parts >= 0:
                call(job.input_gradients_parts, (like, job, op, below, number - 1, step, rows, high, team))
            elif op.code == DENSE:
                call(job.input_gradients, (like, job, op, below, number - 1, step, rows, high, team))
            elif op.code == ELEMENTWISE:
                _hand_down(like, job, op, below, rows, high, team)
            else:
                call(job.hand_down_norm, (like, job, op, below, inputs, rows, high, team))
            wait(job, team)
            if op.code != DENSE or below.rowwise:
                call(job.rows_backward, (like, job, below, number - 1, step, rows, high, team))
                wait(job, team)
        if op.code == DENSE:
            call(job.weight_gradients, (like, job, ops, number, mode, inputs, constants, rows, high, team))
        elif op.code != ELEMENTWISE:
            call(job.norm_weights, (like, job, ops, number, mode, inputs, constants, rows, high, team))
        number -= 1
