"""The operations of a network, upwards. Arguments as in `batch`.

Threads share the tiles of a product, or (`layout.by_rows`) the rows of a batch; what follows a product is done by the
same thread while the numbers are in its cache. Threads meet wherever a phase reads what others wrote.
"""

from ..plan import DENSE, ELEMENTWISE, LAYER_NORM
from .batch import (
    INDEX,
    LOSS_GRAD,
    gathers_all,
    get_row,
    has_own_parts,
    is_in_parts,
    is_thin,
    own_parts,
    own_rows,
    private,
    private_parts,
    put_row,
    reads_all_rows,
    wait,
)
from .cache import inline, routine
from .intrinsics import at, call, cast, outlined, pointer, view
from .layout import BLOCK_PARTS, PART, SIDE
from .matmul import blocks, share, tall, tall_parts
from .matrix_unit import split_left
from .microkernel import read_vector, turn, vector_size
from .noise import disturb
from .processor import ROWS
from .threads import begin_jobs, take_jobs
from .weights import looks_ahead


@inline
def finish_forward(like, job, op, number, step, j, first, last, high):
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
    disturb(like, job, op, number, step, first, j * op.panel, last - first, columns, op.panel, op.gaussian_noise, y)


@routine
def rowwise_forward(like, job, op, number, step, rows, high, team):
    """What `finish_forward` does, for activations of whole rows."""
    outlined()
    scratch, spare = pointer(like, job.scratch), private(like, job, team)[1]
    out, n = at(spare, job.widest), op.n_out
    first, last = own_rows(job, rows, team)
    for i in range(first, last):
        get_row(like, at(scratch, op.z), high, op.panel, i, n, spare)
        call(op.activate, (cast(like, op.alpha), view(spare, n), view(out, n)))
        disturb(like, job, op, number, step, i, 0, 1, n, n, op.gaussian_noise, out)
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
    across, down = blocks(op.n_in, SIDE), blocks(rows, SIDE)
    own = number == job.first and has_own_parts(job, op)
    first, last = (0, across * down) if own else share(across * down, team)
    to = own_parts(job, number, team)
    for task in range(first, last):
        i, j = task // across, task % across
        columns, height = min(SIDE, op.n_in - j * SIDE), min(SIDE, rows - i * SIDE)
        a = at(x, (j * high + i * SIDE) * panel)
        split_left(a, panel, 0, height, columns, 0, at(scratch, job.parts + to + task * BLOCK_PARTS))
        if job.mode <= LOSS_GRAD:
            for r in range(0, height, lanes):
                for c in range(0, columns, lanes):
                    turn(at(a, r * panel + c), panel, at(block, c * SIDE + r), SIDE)
            turned = at(scratch, op.x_parts + to + (j * down + i) * BLOCK_PARTS)
            split_left(block, SIDE, 0, columns, height, 0, turned)


@inline
def _multiply_tiles(like, job, op, number, x, rows, high, step, team):
    """z of a dense operation from all rows of x, and what follows: the tiles that this thread takes."""
    scratch, params, shares = pointer(like, job.scratch), pointer(like, job.params), pointer(INDEX, job.shares)
    panel, panels, z = op.panel, blocks(op.n_out, op.panel), at(scratch, op.z)
    in_parts, thin = is_in_parts(job, op, rows), is_thin(job, op, number, rows)
    scale = cast(like, job.input_scale if thin else 1.0)
    row = blocks(op.n_in, SIDE) * (PART if thin else BLOCK_PARTS)
    size, height = ROWS, tall(op.n_in, job.itemsize)
    room, own = private_parts(like, job, team), own_parts(job, number, team)
    if in_parts:
        if not thin:
            call(job.split_inputs, (like, job, op, number, x, rows, high, team))
            if number != job.first or not has_own_parts(job, op):
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
                columns, parts = min(panel, op.n_out - j * panel), at(scratch, job.parts + own + r // SIDE * row)
                call(job.multiply_parts, (
                    job, thin, scale, parts, room[0], a, op.panel_in, 1, op.panel_in, high * op.panel_in,
                    s - r, w, panel, columns, op.n_in, bias, c, room[1],
                ))  # fmt: skip
            else:
                call(job.multiply, (
                    a, op.panel_in, 1, op.panel_in, high * op.panel_in, s - r, w, panel, op.n_in, bias, c,
                ))  # fmt: skip
            if not op.rowwise:
                finish_forward(like, job, op, number, step, j, r, s, high)
            first, last = take_jobs(shares, panels * tiles, tiles, blocks(tiles, 2), team)


@routine
def forward(like, job, ops, x, rows, high, step, team):
    """Run the operations first..last of the job on the gathered rows; with dropout where gradients follow.

    Shapes: x (rows, n_in), of each operation z and y (rows, n_out).
    Layout: panels.
    Aliasing: none.
    """
    outlined()
    scratch, params = pointer(like, job.scratch), pointer(like, job.params)
    first, last = own_rows(job, rows, team)
    complete = gathers_all(job, ops[job.first], team)  # whether all rows of x are there, or only this thread's
    for number in range(job.first, job.last + 1):
        op = ops[number]
        panel, z = op.panel, at(scratch, op.z)
        if reads_all_rows(op):
            if not complete:
                wait(job, team)
            if number == job.first and looks_ahead(job, op, step - job.step):
                call(job.forward_ahead, (like, job, op, number, step, high, team))
            elif op.code == DENSE:
                _multiply_tiles(like, job, op, number, x, rows, high, step, team)
            else:
                call(job.normalize, (like, job, op, x, rows, high, team))
            wait(job, team)
        elif op.code == LAYER_NORM:
            call(job.normalize, (like, job, op, x, rows, high, team))
        complete = op.code == DENSE and not op.by_rows and not op.rowwise
        for j in range(0 if complete else blocks(op.n_out, panel)):
            place = (j * high + first) * panel
            if op.by_rows and first < last:
                call(job.multiply, (
                    at(x, first * op.panel_in), op.panel_in, 1, op.panel_in, high * op.panel_in, last - first,
                    at(params, op.w + j * op.deep * panel), panel, op.n_in, at(params, op.b + j * panel),
                    at(z, place),
                ))  # fmt: skip
            if op.code == ELEMENTWISE:
                for k in range(0, (last - first) * panel, vector_size(like)):
                    read_vector(at(x, place + k), like, at(z, place + k))
            if not op.rowwise:
                finish_forward(like, job, op, number, step, j, first, last, high)
        if op.rowwise:
            call(job.rowwise_forward, (like, job, op, number, step, rows, high, team))
        x = at(scratch, op.y)
