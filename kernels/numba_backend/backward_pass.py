"""The operations of a network, downwards. Arguments as in `batch`, threads as in `forward_pass`."""

from ..plan import DENSE, ELEMENTWISE
from .batch import (
    INDEX,
    UPDATE,
    get_row,
    has_whole_slabs,
    own_rows,
    private,
    private_parts,
    private_turned,
    put_row,
    reads_all_rows,
    wait,
)
from .cache import inline, routine
from .intrinsics import at, call, cast, outlined, pointer, value_of, view
from .layout import BLOCK_PARTS, SIDE
from .matmul import blocks, panel_of, share, turn_rows, turn_weights
from .microkernel import read_vector, turn, vector_size
from .noise import disturb
from .optimizers import CONSTANTS
from .threads import begin_jobs, take_jobs
from .weights import descends, looks_ahead


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
        disturb(like, job, op, number, step, first, j * op.panel, last - first, columns, op.panel, 0.0, d)
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
    first, last = own_rows(job, rows, team)
    spare = private(like, job, team)[1]
    z, d, scratch, n = spare, at(spare, job.widest), pointer(like, job.scratch), op.n_out
    for i in range(first, last):
        get_row(like, at(scratch, op.z), high, op.panel, i, n, z)
        get_row(like, at(scratch, op.d), high, op.panel, i, n, d)
        disturb(like, job, op, number, step, i, 0, 1, n, n, 0.0, d)
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
    first, last = own_rows(job, rows, team)
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
def input_gradients_rows(like, job, op, below, number, step, rows, high, team):
    """The same for this thread's rows, as D W^T.

    Shapes: D (rows, n_out), W^T (n_out, n_in), a panel at a time in this thread's own place.
    Layout: panels.
    Aliasing: none.
    """
    outlined()
    scratch, turned, zeros = pointer(like, job.scratch), private_turned(like, job, team), pointer(like, job.zeros)
    panel, panel_in = op.panel, op.panel_in
    first, last = own_rows(job, rows, team)
    across = panel_of(rows, vector_size(like))
    for q in range(blocks(op.n_in, panel_in) if first < last else 0):
        w = at(pointer(like, job.params), op.w + q * panel_in * panel)
        turn_weights(w, panel, panel_in, op.n_out, op.deep, turned)
        call(job.multiply, (
            at(scratch, op.d + first * panel), panel, 1, panel, high * panel, last - first, turned, panel_in, op.n_out,
            zeros, at(scratch, below.d + (q * high + first) * panel_in),
        ))  # fmt: skip
        if not below.rowwise:
            call(job.finish_backward, (like, job, below, number, step, q, first, last, rows, high, across))


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
        turn_weights(at(params, op.w + q * panel_in * panel), panel, panel_in, op.n_out, op.deep, room[2])
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
    first, last = own_rows(job, rows, team)
    for j in range(blocks(op.n_out, op.panel)):
        place = (j * high + first) * op.panel
        for k in range(0, (last - first) * op.panel, vector_size(like)):
            read_vector(at(scratch, op.d + place + k), like, at(scratch, below.d + place + k))


@inline
def _change_weights(like, job, ops, number, mode, x, constants, rows, high, team):
    """The gradient of an operation's weights, if it has any, used as the mode says."""
    op = ops[number]
    inputs = at(pointer(like, job.scratch), ops[number - 1].y) if number > 0 else x
    if op.code == DENSE and descends(job, op, mode, rows):
        call(job.descend, (like, job, op, inputs, constants, rows, high, team))
    elif op.code == DENSE:
        call(job.weight_gradients, (like, job, ops, number, mode, inputs, constants, rows, high, team))
    elif op.code != ELEMENTWISE:
        call(job.norm_weights, (like, job, ops, number, mode, inputs, constants, rows, high, team))


@routine
def backward(like, job, ops, x, batch, rows, high, step, mode, team) -> float:
    """Gradients of all operations from the last output's, which `loss` left for this thread's rows, each used as the
    mode says; 0 if the loss is not finite, and then nothing is changed.

    The weights of an operation change after everybody has read them for the operation below.
    """
    outlined()
    scratch, constants = pointer(like, job.scratch), at(pointer(like, job.numbers), batch * CONSTANTS)
    number = waiting = job.n_ops - 1
    complete = summed = False  # whether all rows of d are there, or only this thread's; whether the losses are added up
    call(job.rows_backward, (like, job, ops[number], number, step, rows, high, team))
    while True:
        op = ops[number]
        inputs = at(scratch, ops[number - 1].y) if number > 0 else x
        if op.slabs >= 0 and has_whole_slabs(team):
            call(job.slab_gradients, (like, job, op, inputs, rows, high, team))
            complete = False  # others' slabs have to be waited for, even where all of d was there
        if number <= job.lowest or reads_all_rows(op):
            if not complete:
                wait(job, team)
            if not summed:
                summed = True
                if value_of(job.add_up, (job, ops, batch, rows, team)) == 0.0:
                    return 0.0
            while waiting > number:
                _change_weights(like, job, ops, waiting, mode, x, constants, rows, high, team)
                waiting -= 1
        if number <= job.lowest:
            break
        below = ops[number - 1]
        if op.x_parts >= 0:
            call(job.input_gradients_parts, (like, job, op, below, number - 1, step, rows, high, team))
        elif op.by_rows:
            call(job.input_gradients_rows, (like, job, op, below, number - 1, step, rows, high, team))
        elif op.code == DENSE:
            call(job.input_gradients, (like, job, op, below, number - 1, step, rows, high, team))
        elif op.code == ELEMENTWISE:
            _hand_down(like, job, op, below, rows, high, team)
        else:
            call(job.hand_down_norm, (like, job, op, below, inputs, rows, high, team))
        complete = reads_all_rows(op)
        if complete:
            wait(job, team)
        if op.code != DENSE or below.rowwise:
            call(job.rows_backward, (like, job, below, number - 1, step, rows, high, team))
            complete = False
        number -= 1
    if number == 0 and looks_ahead(job, ops[0], batch + 1):
        call(job.descend_and_look_ahead, (like, job, ops[0], x, constants, batch + 1, high, team))
    elif number == job.lowest:
        _change_weights(like, job, ops, number, mode, x, constants, rows, high, team)
    return 1.0


@routine
def update(like, job, ops, x, batch, rows, high, team):
    """Update all weights from the stored gradient."""
    outlined()
    constants = at(pointer(like, job.numbers), batch * CONSTANTS)
    for number in range(job.lowest, job.n_ops):
        _change_weights(like, job, ops, number, UPDATE, x, constants, rows, high, team)
